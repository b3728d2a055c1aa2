/* test_expr_fold.c: what literals decide is decided when an expression is compiled.
 *
 * An expression is asked which columns its evaluation can look at (expr_uses); a, b, c are columns 0
 * to 2. What it gives, with bad rows where evaluation fails, is the same whether or not anything is
 * folded: it is evaluated over rows and compared with what is written here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "operators/expr.h"

static const char *const names[] = {"a", "b", "c"};
static const enum col_type types[] = {COL_BOOLEAN, COL_BIGINT, COL_TEXT};

/* Rows: a true, false, NULL; b 1, 0, 2; c x, y, z. gives: by row t, f, n (NULL), ! (a bad row). */
static const struct {
    const char *text, *uses, *gives;
} conditions[] = {
    {"true AND a", "a", "tfn"},
    {"a AND true", "a", "tfn"},
    {"a AND true AND b > 0", "ab", "tfn"},
    {"false AND a AND b > 0", "", "fff"},
    {"a AND false AND b > 0", "a", "fff"},
    {"1 = 2 AND a", "", "fff"},
    {"10 / b > 0 AND false", "b", "f!f"},
    {"false AND 10 / b > 0", "", "fff"},
    {"true OR 10 / b > 0", "", "ttt"},
    {"false OR a", "a", "tfn"},
    {"a OR 'x' = 'x' OR b > 0", "a", "ttt"},
    {"NULL AND a", "a", "nfn"},
    {"NULL::boolean OR a", "a", "tnn"},
    {"true AND true", "", "ttt"},
    {"NOT (true AND a)", "a", "ftn"},
    {"b IN (1, 2) AND (true OR c = 'x')", "b", "tft"},
    {"CASE WHEN false THEN 10 / b ELSE 1 END = 1", "", "ttt"},
    {"CASE WHEN 1 < 2 THEN b ELSE length(c) END > 0", "b", "tft"},
    {"CASE WHEN NULL THEN c WHEN true THEN c ELSE 'q' END = 'x'", "c", "tff"},
    {"CASE WHEN a THEN 1 WHEN true THEN 2 ELSE 10 / b END = 1", "a", "tff"},
    {"CASE WHEN false THEN a END", "", "nnn"},
    {"CASE WHEN a THEN true WHEN false THEN b > 0 END", "a", "tnn"},
    {"coalesce(NULL, a, true)", "a", "tft"},
    {"coalesce(a, true, b > 0)", "a", "tft"},
    {"coalesce(true, a)", "", "ttt"},
    {"coalesce(NULL::boolean, NULL)", "", "nnn"},
};

static void fill(struct batch *batch)
{
    static uint8_t truths[] = {1, 0, 0}, nulls[] = {0, 0, 1};
    static int64_t numbers[] = {1, 0, 2};
    static struct bytes texts[3];
    static struct column columns[3];
    texts[0] = bytes_text("x");
    texts[1] = bytes_text("y");
    texts[2] = bytes_text("z");
    columns[0] = (struct column){.type = COL_BOOLEAN, .nulls = nulls, .boolean = truths};
    columns[1] = (struct column){.type = COL_BIGINT, .i64 = numbers};
    columns[2] = (struct column){.type = COL_TEXT, .text = texts};
    batch->row_count = batch->selected_count = 3;
    batch->columns = columns;
    batch->column_count = 3;
}

static void check_uses(const struct expr *expr, const char *text, const char *uses)
{
    bool used[3] = {false};
    expr_uses(expr, used, 3);
    for (int i = 0; i < 3; i++)
        if (used[i] != (strchr(uses, names[i][0]) != NULL))
            fail_msg("%s: column %s is %sused", text, names[i], used[i] ? "" : "not ");
}

static void check_rows(const struct expr *expr, const char *text, const char *gives)
{
    struct arena arena;
    arena_init(&arena, 0);
    struct batch batch = {.arena = &arena};
    struct reject_list rejects = {.arena = &arena};
    struct column out;
    fill(&batch);
    assert_int_equal(expr_eval(expr, &batch, &out, &rejects), 0);
    for (uint32_t row = 0; row < 3; row++) {
        uint32_t at = column_at(&out, row);
        char is = column_is_null(&out, row) ? 'n' : out.boolean[at] ? 't' : 'f';
        for (uint32_t i = 0; i < rejects.count; i++)
            is = rejects.items[i].row == row ? '!' : is;
        if (is != gives[row])
            fail_msg("%s: row %u is %c in place of %c", text, row, is, gives[row]);
    }
    arena_deinit(&arena);
}

static void literals_decide(void **state)
{
    (void)state;
    struct named_columns columns = {names, types, 3};
    struct scope scope = named_columns_scope(&columns);
    for (size_t i = 0; i < sizeof conditions / sizeof conditions[0]; i++) {
        struct expr *expr;
        struct diag diag = {0};
        if (expr_parse_condition(conditions[i].text, &scope, &expr, &diag) < 0)
            fail_msg("%s: %s", conditions[i].text, diag.text);
        check_uses(expr, conditions[i].text, conditions[i].uses);
        check_rows(expr, conditions[i].text, conditions[i].gives);
        expr_destroy(expr);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(literals_decide)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
