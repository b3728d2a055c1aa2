/* fuzz_expr.c: libFuzzer target: any bytes as a condition, a select list and an aggregate list;
 * what compiles is evaluated over rows of every kind of JSON value, whole and row by row, and both
 * must agree. */
#include "operators/expr.h"

#include <stdlib.h>

enum { ROWS = 12, COLUMNS_MAX = 32 };

static const struct variant rows[ROWS] = {
    {.kind = VARIANT_NULL},
    {.kind = VARIANT_TRUE},
    {.kind = VARIANT_FALSE},
    {.i64 = 0, .kind = VARIANT_INT},
    {.i64 = 7, .kind = VARIANT_INT},
    {.i64 = INT64_MIN, .kind = VARIANT_INT},
    {.i64 = INT64_MAX, .kind = VARIANT_INT},
    {.data = (const uint8_t *)"-1.50", .size = 5, .kind = VARIANT_NUMBER},
    {.data = (const uint8_t *)"1e400", .size = 5, .kind = VARIANT_NUMBER},
    {.data = (const uint8_t *)"", .size = 0, .kind = VARIANT_TEXT},
    {.data = (const uint8_t *)"2026-01-31T10:20:30Z", .size = 20, .kind = VARIANT_TEXT},
    {.data = (const uint8_t *)"{\"a\":1}", .size = 7, .kind = VARIANT_JSON},
};

/* Every column holds the rows in another order. */
static int evaluate(const struct expr *expr, uint32_t column_count, uint32_t first, uint32_t count,
                    struct arena *arena, struct column *out, struct reject_list *rejects)
{
    static struct variant values[COLUMNS_MAX][ROWS];
    static struct column columns[COLUMNS_MAX];
    for (uint32_t c = 0; c < column_count; c++) {
        for (uint32_t row = 0; row < ROWS; row++)
            values[c][row] = rows[(row * (2 * c + 1) + c) % ROWS];
        columns[c] = (struct column){.type = COL_VARIANT, .variant = values[c] + first};
    }
    struct batch batch = {.row_count = count,
                          .selected_count = count,
                          .columns = columns,
                          .column_count = column_count,
                          .arena = arena};
    *rejects = (struct reject_list){.arena = arena};
    return expr_eval(expr, &batch, out, rejects);
}

static void check_row(const struct column *whole, uint32_t row, const struct column *one)
{
    must(column_is_null(whole, row) == column_is_null(one, 0));
    if (column_is_null(one, 0) || one->type == COL_VARIANT)
        return;
    uint32_t a = column_at(whole, row), b = column_at(one, 0);
    switch (one->type) {
    case COL_TEXT:
        must(bytes_equal(whole->text[a], one->text[b]));
        break;
    case COL_NUMERIC:
        must(numeric_compare(whole->numeric[a], one->numeric[b]) == 0);
        must(whole->numeric[a].scale == one->numeric[b].scale);
        break;
    case COL_BOOLEAN:
        must(whole->boolean[a] == one->boolean[b]);
        break;
    case COL_DOUBLE:
        must(memcmp(&whole->f64[a], &one->f64[b], sizeof(double)) == 0);
        break;
    default:
        must(whole->i64[a] == one->i64[b]);
    }
}

static void check_expression(const struct expr *expr, uint32_t column_count)
{
    struct arena whole_arena, arena;
    struct column whole, one;
    struct reject_list whole_rejects, rejects;
    if (column_count > COLUMNS_MAX)
        return;
    arena_init(&whole_arena, 256 << 20);
    arena_init(&arena, 256 << 20);
    uint32_t next = 0;
    if (evaluate(expr, column_count, 0, ROWS, &whole_arena, &whole, &whole_rejects) == 0) {
        for (uint32_t row = 0; row < ROWS; row++) {
            arena_reset(&arena);
            if (evaluate(expr, column_count, row, 1, &arena, &one, &rejects) != 0)
                break;
            bool rejected = next < whole_rejects.count && whole_rejects.items[next].row == row;
            next += rejected;
            must(rejects.count == rejected);
            check_row(&whole, row, &one);
        }
    }
    arena_deinit(&arena);
    arena_deinit(&whole_arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *sql = malloc(size + 1);
    struct field_set *fields = field_set_create();
    must(sql != NULL && fields != NULL);
    struct scope scope = field_set_scope(fields);
    struct expr *condition;
    struct expr_list *list;
    struct agg_list *aggregates;
    struct diag diag;
    memcpy(sql, data, size);
    sql[size] = '\0';
    if (expr_parse_condition(sql, &scope, &condition, &diag) == 0)
        check_expression(condition, field_set_count(fields));
    expr_destroy(condition);
    if (expr_parse_list(sql, &scope, &list, &diag) == 0) {
        for (uint32_t i = 0; i < list->count; i++)
            check_expression(list->exprs[i], field_set_count(fields));
    }
    expr_list_destroy(list);
    if (expr_parse_aggregates(sql, &scope, NULL, true, &aggregates, &diag) == 0)
        agg_list_destroy(aggregates);
    field_set_destroy(fields);
    free(sql);
    return 0;
}
