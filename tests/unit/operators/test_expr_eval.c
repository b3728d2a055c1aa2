/* test_expr_eval.c: evaluation of uncast JSON row by row, which rows see which branch, and random
 * expressions against an interpreter that knows nothing of columns: it walks the tree for one row
 * at a time with its own arithmetic. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/support/expression_rows.h"

static void json_arithmetic(void **state)
{
    (void)state;
    expect("a * b", "a:3 b:2.50", "7.50");
    expect("a * b", "a:3 b:4", "12");
    expect("a / b", "a:7 b:2", "3");
    expect("a / b", "a:7.0 b:2", "3.5000000000000000");
    expect("(a * b) / c", "a:2 b:3 c:4", "1");
    expect("(a * b) / c", "a:2 b:3.0 c:4", "1.5000000000000000");
    expect("a % b", "a:-7 b:3", "-1");
    expect("-a", "a:-7", "7");
    expect("-a", "a:-9223372036854775808", "!out_of_range");
    expect("a + b", "a:9223372036854775807 b:1", "!out_of_range");
    expect("a + b", "a:9223372036854775807 b:1.0", "9223372036854775808.0");
    expect("a + 1", "a:\"1\"", "!type_mismatch");
    expect("a + 1", "a:true", "!type_mismatch");
    expect("a + 1", "a:{}", "!type_mismatch");
    expect("a + 1", "", "NULL");
    expect("a / b", "a:1 b:0", "!division_by_zero");
    expect("a / b", "a:1.5 b:0", "!division_by_zero");
    expect("a + b", "a:0.1 b:0.2", "0.3");
    expect("a + b", "a:1e-3 b:1", "1.001");
    expect("a + b", "a:1e400 b:1", "!out_of_range");
    expect("a * b", "a:12345678901234567890.5 b:2", "24691357802469135781.0");
    expect("round(a * b, 1)", "a:1.25 b:1", "1.3");
    expect("mod(a, b)", "a:7.5 b:2", "1.5");
    expect("a + '1'", "a:1", "2");
}

static void json_comparison(void **state)
{
    (void)state;
    expect("a = 'paid'", "a:\"paid\"", "true");
    expect("a = 'paid'", "a:\"open\"", "false");
    expect("a = 'paid'", "a:5", "!type_mismatch");
    expect("a = 'paid'", "a:true", "!type_mismatch");
    expect("a = 'paid'", "a:null", "NULL");
    expect("a <> ''", "a:\"\"", "false");
    expect("a = 'exactly sixteen!'", "a:\"exactly_sixteen!\"", "true");
    expect("a = 'longer than sixteen bytes'", "a:\"longer_than_sixteen_bytes\"", "true");
    expect("a = 'longer than sixteen bytes'", "a:\"longer_than_sixteen_bytez\"", "false");
    expect("a < 'b'", "a:\"a\"", "true");
    expect("'b' > a", "a:\"a\"", "true");
    expect("a > 5", "a:6", "true");
    expect("a > 5", "a:5.0", "false");
    expect("a >= 5", "a:5.0", "true");
    expect("a > 5", "a:\"6\"", "!type_mismatch");
    expect("5 < a", "a:5.5", "true");
    expect("a = 1.50", "a:1.5", "true");
    expect("a = b", "a:1 b:1.0", "true");
    expect("a = b", "a:\"1\" b:1", "!type_mismatch");
    expect("a = b", "a:true b:true", "true");
    expect("a < b", "a:false b:true", "true");
    expect("a = b", "a:{} b:{}", "!type_mismatch");
    expect("a = b", "a:{}", "NULL");
    expect("a = true", "a:true", "true");
    expect("a = true", "a:1", "!type_mismatch");
    expect("a > 0.5::float8", "a:0.75", "true");
    expect("a IN ('x', 'y')", "a:\"y\"", "true");
    expect("a IN ('x', 'y')", "a:1", "!type_mismatch");
    expect("a IN ('a', 'b', 'c', 'd', 'e', 'f')", "a:\"f\"", "true");
    expect("a IN ('a', 'b', 'c', 'd', 'e', 'f')", "a:1", "!type_mismatch");
    expect("a IN (1, 2, 3, 4, 5, 6)", "a:5.0", "true");
    expect("a IN (1, 2, 3, 4, 5, 6)", "a:5.5", "false");
    expect("a IN (1, 2, 3, 4, 5, NULL)", "a:7", "NULL");
    expect("a IN (b, 3)", "a:3", "true");
    expect("a BETWEEN 1 AND b", "a:2 b:2.5", "true");
    expect("a IS DISTINCT FROM b", "a:1", "true");
    expect("a IS DISTINCT FROM b", "", "false");
    expect("a IS DISTINCT FROM b", "a:1 b:\"1\"", "!type_mismatch");
    expect("a IS NULL", "a:{}", "false");
    expect("a IS NULL", "a:null", "true");
    expect("a IS TRUE", "a:true", "true");
}

static void json_choices(void **state)
{
    (void)state;
    expect("COALESCE(a, b)", "b:\"x\"", "json \"x\"");
    expect("COALESCE(a, 0)", "", "json 0");
    expect("COALESCE(a, 0) + 1", "", "1");
    expect("COALESCE(a, 1.50)", "", "json 1.50");
    expect("COALESCE(a, 'none')", "a:5", "json 5");
    expect("COALESCE(a, true)", "", "json true");
    expect("COALESCE(a, now_ts::timestamptz)", "", "?-4");
    expect("CASE WHEN a = 1 THEN b ELSE 'other' END", "a:2", "json \"other\"");
    expect("CASE a WHEN 1 THEN 'one' WHEN 2.0 THEN 'two' END", "a:2", "two");
    expect("CASE a WHEN 'x' THEN 1 ELSE 2 END", "a:5", "!type_mismatch");
    /* What cannot be computed is NULL, and so is all that is made of it inside; outside it is a NULL as any. */
    expect("try(1 / a)", "a:0", "NULL");
    expect("try(6 / a)", "a:2", "3");
    expect("try(a::smallint)", "a:40000", "NULL");
    expect("try((1 / a) IS NULL)", "a:0", "NULL");
    expect("try(COALESCE(1 / a, 5))", "a:0", "NULL");
    expect("COALESCE(try(1 / a), 5)", "a:0", "5");
    expect("try(1 / a) + 1 / (a + 1)", "a:0", "NULL");
    expect("try(1 / a) + 1 / a", "a:0", "!division_by_zero");
    expect("try(try(1 / a) IS NULL)", "a:0", "true");
    expect("try(1 / 0)", "a:0", "NULL");
    expect("NULLIF(a, 0)", "a:0", "NULL");
    expect("NULLIF(a, 'x')", "a:\"y\"", "json \"y\"");
    expect("NULLIF(a, 0)", "a:\"y\"", "!type_mismatch");
    expect("GREATEST(a, b)", "a:1 b:1.5", "json 1.5");
    expect("LEAST(a, 5)", "a:7", "json 5");
    expect("GREATEST(a + b, 5)", "a:1 b:1", "5");
}

static void branches_are_guarded(void **state)
{
    (void)state;
    expect("b <> 0 AND a / b > 1", "a:1 b:0", "false");
    expect("b = 0 OR a / b > 1", "a:1 b:0", "true");
    expect("a / b > 1 AND b <> 0", "a:1 b:0", "!division_by_zero");
    expect("CASE WHEN b = 0 THEN 0 ELSE a / b END", "a:1 b:0", "0");
    expect("COALESCE(a, 1 / b)", "a:1 b:0", "json 1");
    expect("COALESCE(a, 1 / b)", "b:0", "!division_by_zero");
    expect("COALESCE(1 / b, 5)", "b:0", "!division_by_zero");
    expect("(1 / b) IS NULL", "b:0", "!division_by_zero");
    expect("CASE WHEN a = 1 THEN 1 / 0 ELSE 2 END", "a:2", "2");
    expect("CASE WHEN a = 1 THEN 1 / 0 ELSE 2 END", "a:1", "!division_by_zero");
    expect("a IN (1, 1 / b)", "a:1 b:0", "true");
    expect("a BETWEEN 5 AND 1 / b", "a:1 b:0", "false");
    expect("1 / b + 1 / b", "b:0", "!division_by_zero");
}

/* ---- Filter ---- */

static void filter_keeps_true_rows(void **state)
{
    (void)state;
    static const char *const tokens[] = {"true", "false", "null", "1", "true", "\"x\""};
    struct variant values[6];
    char copies[6][8];
    for (int i = 0; i < 6; i++) {
        strcpy(copies[i], tokens[i]);
        values[i] = rows_variant(copies[i]);
    }
    struct field_set *fields = field_set_create();
    struct scope scope = field_set_scope(fields);
    struct column column = {.type = COL_VARIANT, .variant = values};
    const uint16_t selected[] = {0, 2, 3, 4};
    struct arena arena;
    struct expr *condition;
    struct expr_list *list;
    struct diag diag;
    uint16_t kept[6];
    uint32_t count;
    arena_init(&arena, 0);
    struct reject_list rejects = {.arena = &arena};
    struct batch batch = {.row_count = 6,
                          .selected_count = 6,
                          .columns = &column,
                          .column_count = 1,
                          .arena = &arena};
    assert_int_equal(expr_parse_condition("a", &scope, &condition, &diag), 0);
    assert_int_equal(expr_filter(condition, &batch, kept, &count, &rejects), 0);
    assert_true(count == 2 && kept[0] == 0 && kept[1] == 4);
    assert_true(rejects.count == 2 && rejects.items[0].row == 3 && rejects.items[1].row == 5);
    batch.selection = selected;
    batch.selected_count = 4;
    assert_int_equal(expr_parse_list("a", &scope, &list, &diag), 0);
    assert_int_equal(expr_filter(list->exprs[0], &batch, kept, &count, &rejects), 0);
    assert_true(count == 2 && kept[0] == 0 && kept[1] == 4);
    assert_true(rejects.count == 3 && rejects.items[2].row == 3);
    expr_list_destroy(list);
    expr_destroy(condition);
    field_set_destroy(fields);
    arena_deinit(&arena);
}

/* No rows at all, physical or selected, are no special case for any node. */
static void empty_batches(void **state)
{
    (void)state;
    static const char *const sqls[] = {"a",
                                       "a = 'x' AND b > 1",
                                       "CASE WHEN a THEN b ELSE 1 END",
                                       "COALESCE(a, b)",
                                       "a IN (1, b)",
                                       "a * b + 1",
                                       "lower(a) || b",
                                       "a BETWEEN b AND 5",
                                       "a::numeric",
                                       "GREATEST(a, b)",
                                       "1 / 0"};
    static const uint16_t nothing[1] = {0};
    for (size_t i = 0; i < 2 * sizeof sqls / sizeof sqls[0]; i++) {
        char sql[128];
        struct field_set *fields = field_set_create();
        struct scope scope = field_set_scope(fields);
        struct variant value = {.kind = VARIANT_TEXT, .data = (const uint8_t *)"x", .size = 1};
        struct column columns[2] = {{.type = COL_VARIANT, .variant = &value},
                                    {.type = COL_VARIANT, .variant = &value}};
        struct arena arena;
        struct expr_list *list;
        struct column out;
        struct diag diag;
        arena_init(&arena, 0);
        struct reject_list rejects = {.arena = &arena};
        struct batch batch = {.row_count = i % 2,
                              .selection = nothing,
                              .columns = columns,
                              .column_count = 2,
                              .arena = &arena};
        snprintf(sql, sizeof sql, "%s AS r", sqls[i / 2]);
        assert_int_equal(expr_parse_list(sql, &scope, &list, &diag), 0);
        assert_int_equal(expr_eval(list->exprs[0], &batch, &out, &rejects), 0);
        assert_int_equal(rejects.count, 0);
        arena_deinit(&arena);
        expr_list_destroy(list);
        field_set_destroy(fields);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_arithmetic),        cmocka_unit_test(json_comparison),
        cmocka_unit_test(json_choices),           cmocka_unit_test(branches_are_guarded),
        cmocka_unit_test(filter_keeps_true_rows), cmocka_unit_test(empty_batches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
