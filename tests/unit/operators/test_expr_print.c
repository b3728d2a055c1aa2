/* test_expr_print.c: what is printed parses to the tree it was printed from: for every expression that is compared with
 * PostgreSQL (data/expressions.tsv), and for forms of the grammar that are easy to get wrong. */
#include "tests/support/expression_table.h"

#include "operators/syntax.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static bool comes_back(const char *sql)
{
    struct arena arena;
    struct target_list first, second;
    struct diag diag = {0};
    struct buf text;
    arena_init(&arena, 0);
    buf_init(&text, 0);
    bool parses = syntax_parse(sql, &arena, &first, &diag) == 0;
    if (!parses)
        goto done;
    assert_int_equal(first.count, 1);
    syntax_print(first.items[0].syntax, &text);
    buf_u8(&text, 0);
    assert_true(buf_ok(&text));
    if (syntax_parse((const char *)text.data, &arena, &second, &diag) < 0)
        fail_msg("%s\nwas printed as\n%s\n%s", sql, (const char *)text.data, diag.text);
    if (!syntax_equal(first.items[0].syntax, second.items[0].syntax))
        fail_msg("%s\nis not what was printed:\n%s", sql, (const char *)text.data);
done:
    buf_deinit(&text);
    arena_deinit(&arena);
    return parses;
}

static void every_expression_of_the_table(void **state)
{
    (void)state;
    struct expression_table table;
    uint32_t parsed = 0;
    table_read(&table, __FILE__);
    assert_true(table.expression_count > 500);
    for (uint32_t i = 0; i < table.expression_count; i++)
        parsed += comes_back(table.expressions[i].sql);
    assert_true(parsed + 20 > table.expression_count); /* a few are there to be refused */
    table_free(&table);
}

static void forms(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "\"Select\"",
        "\"user\".\"a b\".\"say \"\"hi\"\"\"",
        "\"end\" + \"between\"",
        "a.b.c.d",
        "- - -5",
        "-x",
        "+x",
        "a - -5",
        "(a - b) - (c - d)",
        "2147483648 + .5 + 5. + 1e10",
        "'it''s'",
        "E'a\\nb\\\\'",
        "'back\\slash'",
        "''",
        "'\"'",
        "NULL",
        "true AND false OR NOT (a OR b AND c)",
        "a IS NULL AND b IS NOT NULL",
        "a IS TRUE OR b IS NOT FALSE OR c IS UNKNOWN OR d IS NOT UNKNOWN",
        "a IS DISTINCT FROM b",
        "a IS NOT DISTINCT FROM NULL",
        "a IN (1, 2, -3)",
        "a NOT IN ('x')",
        "a BETWEEN 1 AND 2",
        "a NOT BETWEEN SYMMETRIC b AND c",
        "a LIKE 'x%'",
        "a NOT LIKE b ESCAPE '!'",
        "a ILIKE '%y'",
        "a NOT ILIKE '%y'",
        "CASE a WHEN 1 THEN 'x' WHEN 2 THEN 'y' ELSE NULL END",
        "CASE WHEN a THEN b END",
        "COALESCE(a, b, 1)",
        "NULLIF(a, '')",
        "GREATEST(a, b)",
        "LEAST(1, 2)",
        "a::numeric(18,2)",
        "CAST(a AS smallint)",
        "a::timestamptz",
        "a::double precision",
        "INTERVAL '5 minutes'",
        "extract(hour FROM a)",
        "date_trunc('day', a)",
        "substring(a FROM 2 FOR 3)",
        "position('x' IN a)",
        "trim(both 'x' FROM a)",
        "trim(a)",
        "overlay(a PLACING 'b' FROM 1)",
        "a AT TIME ZONE 'UTC'",
        "count(*)",
        "count(DISTINCT a)",
        "sum(a) FILTER (WHERE b > 1)",
        "sum(a) / count(*)",
        "a || 'x' || b",
        "a -> 'b' ->> 0",
        "\"left\"(a, 2)",
        "left(a, 2)",
        "a = 'é'",
        "abs(a % 7) <> 0",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (!comes_back(texts[i]))
            fail_msg("%s does not parse", texts[i]);
}

static void names(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"user_id", "user_id"}, {"User", "\"User\""},     {"user", "\"user\""}, {"1a", "\"1a\""},
        {"a b", "\"a b\""},     {"a\"b", "\"a\"\"b\""},   {"value", "value"},   {"é", "\"é\""},
        {"", "\"\""},           {"select", "\"select\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf text;
        buf_init(&text, 0);
        syntax_print_name(cases[i][0], &text);
        buf_u8(&text, 0);
        assert_string_equal((const char *)text.data, cases[i][1]);
        buf_deinit(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_expression_of_the_table),
        cmocka_unit_test(forms),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
