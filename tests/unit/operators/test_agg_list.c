/* test_agg_list.c: select lists with aggregates: the calls that are found, what they become, and
 * what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "operators/expr.h"

static const char *const group_names[] = {"country", "page.id"};
static const enum col_type group_types[] = {COL_TEXT, COL_VARIANT};
static const struct named_columns groups = {group_names, group_types, 2};

static const char *const input_names[] = {"i", "n", "d", "t", "b", "z", "v"};
static const enum col_type input_types[] = {COL_BIGINT,  COL_NUMERIC,     COL_DOUBLE, COL_TEXT,
                                            COL_BOOLEAN, COL_TIMESTAMPTZ, COL_VARIANT};
static const struct named_columns input = {input_names, input_types, 7};

static int parse(const char *sql, bool windowed, struct agg_list **list, struct diag *diag)
{
    struct scope scope = named_columns_scope(&input);
    *diag = (struct diag){0};
    return expr_parse_aggregates(sql, &scope, &groups, windowed, list, diag);
}

static void calls_and_outputs(void **state)
{
    (void)state;
    struct agg_list *list;
    struct diag diag;
    uint32_t index;
    assert_int_equal(
        parse("country, window_start, sum(n) AS revenue, count(*), sum(n) / count(*) AS mean, "
              "\"page\".id, max(v) AS top, count(*) FILTER (WHERE i > 0) AS positive",
              true, &list, &diag),
        0);
    assert_int_equal(list->call_count, 4);
    assert_int_equal(list->calls[0].func, AGG_SUM);
    assert_int_equal(list->calls[0].argument_type, COL_NUMERIC);
    assert_int_equal(list->calls[1].func, AGG_COUNT_STAR);
    assert_null(list->calls[1].argument);
    assert_int_equal(list->calls[2].func, AGG_MAX);
    assert_int_equal(list->calls[2].result_type, COL_VARIANT);
    assert_int_equal(list->calls[3].func, AGG_COUNT_STAR);
    assert_non_null(list->calls[3].filter);
    assert_int_equal(list->output_count, 8);
    assert_string_equal(list->names[3], "count");
    assert_string_equal(list->names[5], "id");
    assert_true(expr_is_column(list->outputs[0], &index) && index == 0);
    assert_true(expr_is_column(list->outputs[1], &index) && index == 2);
    assert_true(expr_is_column(list->outputs[2], &index) && index == 4);
    assert_true(expr_is_column(list->outputs[3], &index) && index == 5);
    assert_false(expr_is_column(list->outputs[4], &index));
    assert_true(expr_is_column(list->outputs[5], &index) && index == 1);
    assert_true(expr_is_column(list->outputs[7], &index) && index == 7);
    bool used[8] = {false};
    expr_uses(list->outputs[4], used, 8);
    assert_true(used[4] && used[5] && !used[0] && !used[6]);
    assert_int_equal(expr_type(list->outputs[4]), COL_NUMERIC);
    agg_list_destroy(list);
}

static void result_types(void **state)
{
    (void)state;
    static const struct {
        const char *sql;
        enum col_type type;
    } cases[] = {
        {"count(i)", COL_BIGINT},
        {"count(t)", COL_BIGINT},
        {"count('x')", COL_BIGINT},
        {"sum(i)", COL_NUMERIC},
        {"sum(n)", COL_NUMERIC},
        {"sum(d)", COL_DOUBLE},
        {"sum(v)", COL_NUMERIC},
        {"avg(i)", COL_NUMERIC},
        {"avg(d)", COL_DOUBLE},
        {"avg(v)", COL_NUMERIC},
        {"min(i)", COL_BIGINT},
        {"min(t)", COL_TEXT},
        {"max(z)", COL_TIMESTAMPTZ},
        {"max(v)", COL_VARIANT},
        {"max(v::text)", COL_TEXT},
        {"sum(i * v)", COL_NUMERIC},
        {"sum(v * v)", COL_NUMERIC},
        {"min(v + 1)", COL_NUMERIC},
        {"sum(v::bigint)", COL_NUMERIC},
        {"max(z - z)", COL_INTERVAL},
        {"first(v)", COL_VARIANT},
        {"last(z)", COL_TIMESTAMPTZ},
        {"first(b)", COL_BOOLEAN},
        {"count(DISTINCT v)", COL_BIGINT},
        {"sum(CASE WHEN b THEN 1 ELSE 0 END)", COL_NUMERIC},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct agg_list *list;
        struct diag diag;
        char sql[200];
        snprintf(sql, sizeof sql, "%s AS r", cases[i].sql);
        assert_int_equal(parse(sql, false, &list, &diag), 0);
        assert_int_equal(list->call_count, 1);
        assert_int_equal(list->calls[0].result_type, cases[i].type);
        assert_int_equal(expr_type(list->outputs[0]), cases[i].type);
        agg_list_destroy(list);
    }
}

static void refused(void **state)
{
    (void)state;
    static const struct {
        const char *sql;
        int code;
        const char *word;
    } cases[] = {
        {"sum(sum(i)) AS r", ERR_INVALID, "nested"},
        {"sum(i) FILTER (WHERE count(*) > 1) AS r", ERR_INVALID, "nested"},
        {"sum(DISTINCT i) AS r", ERR_UNSUPPORTED, "DISTINCT"},
        {"first(DISTINCT i) AS r", ERR_UNSUPPORTED, "DISTINCT"},
        {"count(DISTINCT i, n) AS r", ERR_INVALID, "one argument"},
        {"last(*) AS r", ERR_INVALID, "last(*)"},
        {"sum(i ORDER BY i) AS r", ERR_UNSUPPORTED, "ORDER BY"},
        {"sum(i) OVER () AS r", ERR_UNSUPPORTED, "window function"},
        {"sum(*) AS r", ERR_INVALID, "sum(*)"},
        {"sum() AS r", ERR_INVALID, "one argument"},
        {"sum(i, n) AS r", ERR_INVALID, "one argument"},
        {"count() AS r", ERR_INVALID, "one argument"},
        {"sum(t) AS r", ERR_INVALID, "does not take text"},
        {"sum(b) AS r", ERR_INVALID, "does not take boolean"},
        {"sum(z) AS r", ERR_INVALID, "does not take timestamptz"},
        {"min(b) AS r", ERR_INVALID, "does not take boolean"},
        {"i, count(*)", ERR_NOT_FOUND, "not grouped by"},
        {"sum(i) + i AS r", ERR_NOT_FOUND, "not grouped by"},
        {"countri, count(*)", ERR_NOT_FOUND, "did you mean \"country\""},
        {"sum(amount) AS r", ERR_NOT_FOUND, "column \"amount\" does not exist, line 1, column 5"},
        {"window_start, count(*)", ERR_NOT_FOUND, "windowed"},
        {"sum(i), sum(n)", ERR_EXISTS, "two columns are named \"sum\""},
        {"sum(i) + 1", ERR_INVALID, "no name"},
        {"sum(i) FILTER (WHERE i) AS r", ERR_INVALID, "must be boolean"},
        {"array_agg(i) AS r", ERR_UNSUPPORTED, "array_agg"},
        {"", ERR_INVALID, "empty"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct agg_list *list;
        struct diag diag;
        int rc = parse(cases[i].sql, false, &list, &diag);
        if (rc != cases[i].code || strstr(diag.text, cases[i].word) == NULL)
            print_error("%s: %d\n%s\n", cases[i].sql, rc, diag.text);
        assert_int_equal(rc, cases[i].code);
        assert_non_null(strstr(diag.text, cases[i].word));
        assert_null(list);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(calls_and_outputs),
                                       cmocka_unit_test(result_types), cmocka_unit_test(refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
