/* Values cross from columns to functions and back unchanged; what does not fit is refused with a
 * sentence and leaves NULL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "operators/json_encode.h"
#include "operators/value.h"

static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 0);
    return 0;
}
static int tear_down(void **state)
{
    (void)state;
    arena_deinit(&arena);
    return 0;
}

static struct value text_value(enum value_type type, const char *text)
{
    struct value value = {.type = type};
    value.text.data = text;
    value.text.size = strlen(text);
    return value;
}

static struct column column_of(enum col_type type)
{
    struct column column;
    assert_int_equal(0, column_alloc(&column, type, 2, true, &arena));
    return column;
}

/* Puts, reads back, and prints as the value of a row would be printed. */
static void check(struct value value, enum col_type type, enum value_type back, const char *printed)
{
    struct column column = column_of(type);
    struct value got;
    struct buf out;
    const char *problem = NULL;
    assert_int_equal(0, value_put(&value, &column, 1, &arena, &problem));
    assert_int_equal(0, value_get(&column, 1, &arena, &got));
    if (got.type != back)
        fail_msg("%s came back as %s", printed, value_type_name(got.type));
    buf_init(&out, 0);
    json_encode_value(&out, &column, 1, false);
    buf_u8(&out, 0);
    assert_string_equal(printed, (const char *)out.data);
    buf_deinit(&out);
}

static void values_go_there_and_back(void **state)
{
    (void)state;
    struct value truth = {.type = VALUE_BOOLEAN, .boolean = true};
    struct value seven = {.type = VALUE_BIGINT, .i64 = -7};
    struct value half = {.type = VALUE_DOUBLE, .f64 = 0.5};
    struct value when = {.type = VALUE_TIMESTAMP, .i64 = 1767225600000};
    struct value span = {.type = VALUE_INTERVAL, .i64 = 1500};
    check(truth, COL_BOOLEAN, VALUE_BOOLEAN, "true");
    check(seven, COL_BIGINT, VALUE_BIGINT, "-7");
    check(seven, COL_NUMERIC, VALUE_NUMERIC, "-7");
    check(seven, COL_DOUBLE, VALUE_DOUBLE, "-7");
    check(half, COL_DOUBLE, VALUE_DOUBLE, "0.5");
    check(when, COL_TIMESTAMPTZ, VALUE_TIMESTAMP, "\"2026-01-01T00:00:00.000Z\"");
    check(span, COL_INTERVAL, VALUE_INTERVAL, "\"PT1.500S\"");
    check(text_value(VALUE_NUMERIC, "12.50"), COL_NUMERIC, VALUE_NUMERIC, "12.50");
    check(text_value(VALUE_TEXT, "a\"b"), COL_TEXT, VALUE_TEXT, "\"a\\\"b\"");
    check(text_value(VALUE_TEXT, ""), COL_TEXT, VALUE_TEXT, "\"\"");
    check((struct value){.type = VALUE_NULL}, COL_TEXT, VALUE_NULL, "null");
    check((struct value){.type = VALUE_NULL}, COL_VARIANT, VALUE_NULL, "null");
    check(truth, COL_VARIANT, VALUE_BOOLEAN, "true");
    check(seven, COL_VARIANT, VALUE_BIGINT, "-7");
    check(half, COL_VARIANT, VALUE_NUMERIC, "0.5");
    check(when, COL_VARIANT, VALUE_TEXT, "\"2026-01-01T00:00:00.000Z\"");
    check(text_value(VALUE_NUMERIC, "12.50"), COL_VARIANT, VALUE_NUMERIC, "12.50");
    check(text_value(VALUE_TEXT, "é"), COL_VARIANT, VALUE_TEXT, "\"é\"");
    check(text_value(VALUE_JSON, " {\"a\":[1]} "), COL_VARIANT, VALUE_JSON, "{\"a\":[1]}");
    check(text_value(VALUE_JSON, "3"), COL_VARIANT, VALUE_BIGINT, "3");
    check(text_value(VALUE_BYTEA, "a\xff"), COL_BYTEA, VALUE_BYTEA, "\"\\\\x61ff\"");
    check(text_value(VALUE_TEXT, "a"), COL_BYTEA, VALUE_BYTEA, "\"\\\\x61\"");
    check(text_value(VALUE_BYTEA, "a\xff"), COL_VARIANT, VALUE_TEXT, "\"\\\\x61ff\"");
}

static void check_refused(struct value value, enum col_type type, const char *words)
{
    struct column column = column_of(type);
    const char *problem = NULL;
    assert_int_equal(ERR_INVALID, value_put(&value, &column, 0, &arena, &problem));
    assert_non_null(problem);
    if (strstr(problem, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", problem, words);
    assert_true(column_is_null(&column, 0));
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    struct value seven = {.type = VALUE_BIGINT, .i64 = 7};
    struct value infinite = {.type = VALUE_DOUBLE, .f64 = INFINITY};
    struct value missing = {.type = VALUE_TEXT};
    struct value unknown = {.type = (enum value_type)77};
    missing.text.data = NULL;
    missing.text.size = 5;
    check_refused(seven, COL_TEXT, "a bigint was given for a column of type text");
    check_refused(text_value(VALUE_TEXT, "7"), COL_BIGINT, "a text was given");
    check_refused(text_value(VALUE_BYTEA, "7"), COL_TEXT, "a bytea was given");
    check_refused((struct value){.type = VALUE_BYTEA, .text = {NULL, 1}}, COL_VARIANT,
                  "without data");
    check_refused(infinite, COL_VARIANT, "not finite");
    check_refused(infinite, COL_BIGINT, "a double precision was given");
    check_refused(text_value(VALUE_NUMERIC, "1,5"), COL_NUMERIC, "not a number");
    check_refused(text_value(VALUE_NUMERIC, ""), COL_VARIANT, "not a number");
    check_refused(text_value(VALUE_NUMERIC, "1234567890123456789012345678901234567890"),
                  COL_NUMERIC, "38 digits");
    check_refused(text_value(VALUE_TEXT, "\xC3("), COL_TEXT, "UTF-8");
    check_refused(text_value(VALUE_TEXT, "\xFF"), COL_VARIANT, "UTF-8");
    check_refused(text_value(VALUE_JSON, "{\"a\":}"), COL_VARIANT, "not JSON");
    check_refused(text_value(VALUE_JSON, "{}"), COL_TEXT, "a json was given");
    check_refused((struct value){.type = VALUE_INTERVAL, .i64 = 1}, COL_VARIANT, "interval");
    check_refused(missing, COL_TEXT, "without data");
    check_refused(unknown, COL_TEXT, "no known type");
}

static void texts_are_copied(void **state)
{
    (void)state;
    char text[] = "abc";
    struct column column = column_of(COL_TEXT);
    struct value value = text_value(VALUE_TEXT, text), got;
    const char *problem;
    assert_int_equal(0, value_put(&value, &column, 0, &arena, &problem));
    memset(text, 'x', 3);
    assert_int_equal(0, value_get(&column, 0, &arena, &got));
    assert_memory_equal("abc", got.text.data, 3);
}

static void constants_stand_for_all_rows(void **state)
{
    (void)state;
    int64_t five = 5;
    struct column column = {.type = COL_BIGINT, .constant = true, .i64 = &five};
    struct value got;
    assert_int_equal(0, value_get(&column, 1000, &arena, &got));
    assert_true(got.type == VALUE_BIGINT && got.i64 == 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(values_go_there_and_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_does_not_fit_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(texts_are_copied, set_up, tear_down),
        cmocka_unit_test_setup_teardown(constants_stand_for_all_rows, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
