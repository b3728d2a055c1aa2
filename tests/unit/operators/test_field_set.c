/* test_field_set.c: JSON paths become columns once each; named columns are found by their dotted
 * name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "operators/expr.h"

static void paths_are_shared(void **state)
{
    (void)state;
    struct field_set *fields = field_set_create();
    struct scope scope = field_set_scope(fields);
    struct expr *first, *second;
    struct diag diag;
    assert_int_equal(field_set_add(fields, "ts", &diag), 0);
    assert_int_equal(expr_parse_condition("customer.id = 'a' AND ts > 0", &scope, &first, &diag),
                     0);
    assert_int_equal(expr_parse_condition("qty > 0 AND customer.id <> 'b'", &scope, &second, &diag),
                     0);
    assert_int_equal(field_set_count(fields), 3);
    assert_int_equal(field_set_path(fields, 1)->count, 2);
    assert_string_equal(field_set_path(fields, 1)->parts[0], "customer");
    assert_string_equal(field_set_path(fields, 1)->parts[1], "id");
    assert_int_equal(field_set_add(fields, "customer.id", &diag), 1);
    assert_int_equal(field_set_add(fields, "customer", &diag), 3);
    bool used[4] = {false};
    expr_uses(second, used, 4);
    assert_true(!used[0] && used[1] && used[2] && !used[3]);
    expr_destroy(first);
    expr_destroy(second);
    field_set_destroy(fields);
}

static void bad_paths(void **state)
{
    (void)state;
    static const char *const bad[] = {"", ".", "a.", ".a", "a..b", "a.b.c.d.e.f.g.h.i"};
    struct field_set *fields = field_set_create();
    struct diag diag;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_true(field_set_add(fields, bad[i], &diag) < 0);
    assert_int_equal(field_set_count(fields), 0);
    for (int i = 0; i < 1024; i++) {
        char name[16];
        snprintf(name, sizeof name, "f%d", i);
        assert_int_equal(field_set_add(fields, name, &diag), i);
    }
    assert_int_equal(field_set_add(fields, "one_more", &diag), ERR_TOO_LARGE);
    assert_int_equal(field_set_add(fields, "f7", &diag), 7);
    field_set_destroy(fields);
}

static void named_columns(void **state)
{
    (void)state;
    static const char *const names[] = {"quantity", "page.id"};
    static const enum col_type types[] = {COL_BIGINT, COL_TEXT};
    struct named_columns columns = {names, types, 2};
    struct scope scope = named_columns_scope(&columns);
    struct expr *expr;
    struct diag diag;
    assert_int_equal(expr_parse_condition("page.id = 'x' AND quantity > 1", &scope, &expr, &diag),
                     0);
    expr_destroy(expr);
    assert_int_equal(expr_parse_condition("1 < qantity", &scope, &expr, &diag), ERR_NOT_FOUND);
    assert_string_equal(diag.text, "column \"qantity\" does not exist, line 1, column 5:\n"
                                   "  1 < qantity\n      ^\nhint: did you mean \"quantity\"?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(paths_are_shared),
                                       cmocka_unit_test(bad_paths),
                                       cmocka_unit_test(named_columns)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
