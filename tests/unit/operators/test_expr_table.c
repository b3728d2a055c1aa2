/* test_expr_table.c: every expression of data/expressions.tsv against PostgreSQL's results, whole,
 * cut into batches of 1, 7 and 4096 rows, and with selections. Where weir differs from PostgreSQL
 * on purpose, the line is listed below with the reason. */
#include "tests/support/expression_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { ROWS = 4096 };

static struct expression_table table;
static struct arena column_arena;
static struct column columns[TABLE_COLUMNS_MAX];

/* Expressions whose result differs on purpose. */
static const char *const different[] = {
    /* An interval is milliseconds, and a day 24 hours: 46 hours print as 1 day 22:00:00. */
    "- v - v",
    "v + v",
    "v * 2",
    "2 * v",
    "v / 3",
    /* PostgreSQL notices the lone escape character only when the match reaches it. */
    "'a' LIKE 'a\\'",
    /* numeric has 38 digits. */
    "d::numeric",
    /* Case mapping keeps the number of bytes. */
    "upper('ĺńŉſ')",
    /* A wrong field is refused when the expression is compiled, also where the time is NULL. */
    "date_trunc('nope', y)",
    "encode(w, 'rot13')",
    /* A text may hold the character U+0000 (JSON has it), which PostgreSQL has not. */
    "convert_from(w, 'UTF8')",
    "convert_from(substr(w, 1, 1), 'utf8')",
    /* Behind padding comes nothing. */
    "decode('YQ=a', 'base64')",
    "v * a",
    /* Months and years are no intervals; a number without its unit is none; blanks around a text do not count. */
    "extract(epoch FROM 'P1Y'::interval)",
    "extract(epoch FROM 'P1M'::interval)",
    "extract(epoch FROM 'P0001-02-03T04:05:06'::interval)",
    "extract(epoch FROM 'PT5'::interval)",
    "extract(epoch FROM 'P1D '::interval)",
    /* Regular expressions are RE2's automata: nothing looks ahead or back, and options that change what a pattern is are refused. */
    "s ~ '(?=a)'",
    "s ~ '(?!a)'",
    "s ~ '(l)\\1'",
    "s ~ '\\mHello'",
    "s ~ 'Hello\\M'",
    "s ~ '[\\D]'",
    "s ~ '***=a'",
    "s ~ '(?n)a'",
    /* Patterns match texts. */
    "w LIKE 'a%'",
};

static bool is_different(const char *sql)
{
    for (size_t i = 0; i < sizeof different / sizeof different[0]; i++) {
        if (strcmp(different[i], sql) == 0)
            return true;
    }
    return false;
}

static int setup(void **state)
{
    (void)state;
    table_read(&table, __FILE__);
    arena_init(&column_arena, 0);
    for (uint32_t c = 0; c < table.column_count; c++)
        table_column(&table, c, ROWS, &columns[c], &column_arena);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_deinit(&column_arena);
    table_free(&table);
    return 0;
}

static bool class_matches(const char *sqlstate, const char *error_class)
{
    if (strcmp(sqlstate, "22012") == 0)
        return strcmp(error_class, "division_by_zero") == 0;
    if (strcmp(sqlstate, "22003") == 0 || strcmp(sqlstate, "22008") == 0)
        return strcmp(error_class, "out_of_range") == 0 || strcmp(error_class, "cast_failed") == 0;
    if (strcmp(sqlstate, "22P02") == 0)
        return strcmp(error_class, "cast_failed") == 0 ||
               strcmp(error_class, "invalid_argument") == 0;
    return strcmp(error_class, "invalid_argument") == 0 || strcmp(error_class, "cast_failed") == 0;
}

/* One physical row's result against PostgreSQL's. */
static bool row_matches(const char *expected, const struct column *out, uint32_t row,
                        const struct reject *reject, char *got, size_t size)
{
    if (reject != NULL) {
        snprintf(got, size, "!%s (%s)", reject->error_class, reject->message);
        return expected[0] == '!' && class_matches(expected + 1, reject->error_class) &&
               column_is_null(out, row);
    }
    if (column_is_null(out, row)) {
        snprintf(got, size, "NULL");
        return strcmp(expected, "\\N") == 0;
    }
    struct bytes text = out->text[column_at(out, row)];
    snprintf(got, size, "%.*s", (int)text.size, (const char *)text.data);
    return bytes_equal(text, bytes_text(expected));
}

/* Evaluates rows first … first + count − 1, all or every `step`-th of them. */
static bool check_batch(const struct expr *expr, const struct table_expression *e, uint32_t first,
                        uint32_t count, uint32_t step)
{
    static uint16_t selection[ROWS];
    struct arena arena;
    struct column cut[TABLE_COLUMNS_MAX], out;
    arena_init(&arena, 0);
    struct reject_list rejects = {.arena = &arena};
    struct batch batch = {.row_count = count,
                          .selected_count = count,
                          .columns = cut,
                          .column_count = table.column_count,
                          .arena = &arena};
    for (uint32_t c = 0; c < table.column_count; c++) {
        cut[c] = columns[c];
        cut[c].data = (uint8_t *)columns[c].data + first * col_type_bytes(columns[c].type);
        cut[c].nulls += first;
    }
    if (step > 1) {
        batch.selection = selection;
        batch.selected_count = 0;
        for (uint32_t row = step - 1; row < count; row += step)
            selection[batch.selected_count++] = (uint16_t)row;
    }
    assert_int_equal(expr_eval(expr, &batch, &out, &rejects), 0);
    uint32_t next_reject = 0;
    bool ok = true;
    for (uint32_t i = 0; i < batch.selected_count && ok; i++) {
        uint32_t row = batch_row(&batch, i);
        char got[600];
        const struct reject *reject = NULL;
        if (next_reject < rejects.count && rejects.items[next_reject].row == row)
            reject = &rejects.items[next_reject++];
        const char *expected = e->results[(first + row) % TABLE_ROWS];
        if (!row_matches(expected, &out, row, reject, got, sizeof got)) {
            print_error("%s, row %u of %u (step %u): PostgreSQL says %s, weir %s\n", e->sql, row,
                        count, step, expected, got);
            ok = false;
        }
    }
    if (ok && next_reject != rejects.count) {
        print_error("%s: rejects out of order or of rows that were not selected\n", e->sql);
        ok = false;
    }
    arena_deinit(&arena);
    return ok;
}

static bool check_cuts(const struct expr *expr, const struct table_expression *e)
{
    bool ok = check_batch(expr, e, 0, TABLE_ROWS, 1);
    for (uint32_t row = 0; row < 16 && ok; row++)
        ok = check_batch(expr, e, row, 1, 1);
    for (uint32_t row = 0; row < 70 && ok; row += 7)
        ok = check_batch(expr, e, row, 7, 1) && check_batch(expr, e, row, 7, 2);
    ok = ok && check_batch(expr, e, 0, ROWS, 1);
    return ok && check_batch(expr, e, 0, ROWS, 3);
}

/* Every row fails. A wrong regular expression is noticed before any row is seen, also one whose text is NULL. */
static bool all_errors(const struct table_expression *e)
{
    bool is_pattern = strcmp(e->results[0], "!2201B") == 0;
    for (uint32_t row = 0; row < TABLE_ROWS; row++) {
        if (e->results[row][0] != '!' && !(is_pattern && strcmp(e->results[row], "\\N") == 0))
            return false;
    }
    return true;
}

static bool check_expression(const struct table_expression *e, const struct scope *scope)
{
    char sql[4096];
    struct expr_list *list;
    struct diag diag = {0};
    snprintf(sql, sizeof sql, "(%s)::text AS result", e->sql);
    int rc = expr_parse_list(sql, scope, &list, &diag);
    if (rc != 0) {
        if (!all_errors(e))
            print_error("%s does not compile: %s\n", e->sql, diag.text);
        return all_errors(e);
    }
    /* Class 42 is PostgreSQL's refusal before it runs anything. */
    bool ok = strncmp(e->results[0], "!42", 3) != 0;
    if (!ok)
        print_error("%s compiles; PostgreSQL says %s\n", e->sql, e->results[0]);
    ok = ok && check_cuts(list->exprs[0], e);
    expr_list_destroy(list);
    return ok;
}

static void all_expressions_as_postgres(void **state)
{
    (void)state;
    struct named_columns names = {(const char *const *)table.names, table.types,
                                  table.column_count};
    struct scope scope = named_columns_scope(&names);
    uint32_t failed = 0;
    assert_true(table.expression_count >= 1000);
    for (uint32_t i = 0; i < table.expression_count; i++) {
        const struct table_expression *e = &table.expressions[i];
        failed += !is_different(e->sql) && !check_expression(e, &scope);
    }
    assert_int_equal(failed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_expressions_as_postgres)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
