/* JSON text by itself: what is JSON and what is not (cases of RFC 8259 and of JSONTestSuite), its
 * members and elements. Every text is read from memory of its exact size, so that a reader that
 * goes one byte too far is seen by the address sanitizer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "operators/json_value.h"

struct held {
    uint8_t *memory;
    struct bytes text;
};
static struct held hold(const char *text)
{
    size_t size = strlen(text);
    struct held held = {malloc(size > 0 ? size : 1), {NULL, 0}};
    assert_non_null(held.memory);
    memcpy(held.memory, text, size);
    held.text = bytes_of(held.memory, size);
    return held;
}

static bool is_json(const char *text)
{
    struct held held = hold(text);
    bool yes = json_value_check(held.text);
    free(held.memory);
    return yes;
}

static void json_is_told_from_what_is_not(void **state)
{
    (void)state;
    static const char *const good[] = {
        "1",
        "-0",
        "0.5",
        "1e9",
        "-1.25E-3",
        "123456789012345678901234567890",
        "\"\"",
        "\"a\"",
        "\"\\u00e9\\n\\\"\"",
        "\"\\uD83D\\uDE00\"",
        "true",
        "false",
        "null",
        "[]",
        "{}",
        " [ 1 , [ ] , { } ] ",
        "{\"a\":1,\"a\":2}",
        "{\"\":{\"b\":[null]}}",
        "\t\r\n1\n",
        "\"é\"",
    };
    static const char *const bad[] = {
        "",
        " ",
        "tru",
        "nul",
        "True",
        "01",
        "-",
        "+1",
        "1.",
        ".5",
        "1e",
        "1e+",
        "0x1",
        "NaN",
        "\"",
        "\"a",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\uD83D\"",
        "\"\t\"",
        "[",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,}",
        "{a:1}",
        "{1:1}",
        "1 1",
        "[] []",
        "\"\xFF\"",
        "\"\xC3\"",
        ("\xEF\xBB\xBF"
         "1"),
        "{\"a\" 1}",
        "]",
        "\"\\\"",
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        if (!is_json(good[i]))
            fail_msg("%s is JSON", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (is_json(bad[i]))
            fail_msg("%s is not JSON", bad[i]);
    assert_false(json_value_check((struct bytes){NULL, 0}));
}

static void depth_is_bounded(void **state)
{
    (void)state;
    enum { DEPTH = 1024 };
    char text[2 * DEPTH + 3];
    for (int depth = DEPTH; depth <= DEPTH + 1; depth++) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        text[2 * depth] = '\0';
        assert_int_equal(depth == DEPTH, is_json(text));
    }
}

static void values_are_read(void **state)
{
    (void)state;
    struct arena arena;
    struct variant v;
    arena_init(&arena, 0);
    assert_int_equal(0, json_value_read(bytes_text(" -9223372036854775808 "), &arena, &v));
    assert_int_equal(VARIANT_INT, v.kind);
    assert_true(v.i64 == INT64_MIN);
    assert_int_equal(0, json_value_read(bytes_text("9223372036854775807"), &arena, &v));
    assert_true(v.kind == VARIANT_INT && v.i64 == INT64_MAX);
    assert_int_equal(0, json_value_read(bytes_text("9223372036854775808"), &arena, &v));
    assert_int_equal(VARIANT_NUMBER, v.kind);
    assert_int_equal(19, v.size);
    assert_int_equal(0, json_value_read(bytes_text("1.50"), &arena, &v));
    assert_true(v.kind == VARIANT_NUMBER && v.size == 4 && memcmp(v.data, "1.50", 4) == 0);
    assert_int_equal(0, json_value_read(bytes_text("\"a\\u00e9\\\\\""), &arena, &v));
    assert_true(v.kind == VARIANT_TEXT && v.size == 4 && memcmp(v.data, "a\xC3\xA9\\", 4) == 0);
    assert_int_equal(0, json_value_read(bytes_text(" {\"a\": 1} "), &arena, &v));
    assert_true(v.kind == VARIANT_JSON && v.size == 8);
    assert_int_equal(0, json_value_read(bytes_text("true"), &arena, &v));
    assert_int_equal(VARIANT_TRUE, v.kind);
    assert_int_equal(0, json_value_read(bytes_text("null"), &arena, &v));
    assert_int_equal(VARIANT_NULL, v.kind);
    assert_int_equal(ERR_INVALID, json_value_read(bytes_text("nope"), &arena, &v));
    arena_deinit(&arena);
}

static void check_member(const char *object, const char *key, const char *expected)
{
    struct arena arena;
    struct held held = hold(object);
    struct bytes value;
    arena_init(&arena, 0);
    int rc = json_value_member(held.text, bytes_text(key), &arena, &value);
    assert_int_equal(expected != NULL, rc);
    if (expected != NULL)
        assert_true(bytes_equal(value, bytes_text(expected)));
    arena_deinit(&arena);
    free(held.memory);
}

static void members_are_found_by_their_unescaped_key(void **state)
{
    (void)state;
    check_member("{\"a\":1,\"b\":{\"a\":2}}", "b", "{\"a\":2}");
    check_member("{\"a\": 1 ,\"a\":2}", "a", "1");
    check_member("{\"\\u0061\":\"x\"}", "a", "\"x\"");
    check_member("{\"b\":{\"a\":2}}", "a", NULL);
    check_member("{}", "a", NULL);
    check_member("{\"\":null}", "", "null");
    check_member("[1]", "a", NULL);
    check_member("1", "a", NULL);
    struct arena arena;
    struct bytes value;
    arena_init(&arena, 0);
    assert_int_equal(ERR_INVALID,
                     json_value_member(bytes_text("{\"b\":1,"), bytes_text("a"), &arena, &value));
    arena_deinit(&arena);
}

static void check_element(const char *array, int64_t index, const char *expected)
{
    struct held held = hold(array);
    struct bytes value;
    int rc = json_value_element(held.text, index, &value);
    assert_int_equal(expected != NULL, rc);
    if (expected != NULL)
        assert_true(bytes_equal(value, bytes_text(expected)));
    free(held.memory);
}

static void elements_are_found_from_both_ends(void **state)
{
    (void)state;
    check_element("[10, \"b\" ,[3]]", 0, "10");
    check_element("[10, \"b\" ,[3]]", 1, "\"b\"");
    check_element("[10, \"b\" ,[3]]", 2, "[3]");
    check_element("[10, \"b\" ,[3]]", 3, NULL);
    check_element("[10, \"b\" ,[3]]", -1, "[3]");
    check_element("[10, \"b\" ,[3]]", -3, "10");
    check_element("[10, \"b\" ,[3]]", -4, NULL);
    check_element("[]", 0, NULL);
    check_element("[ ]", -1, NULL);
    check_element("{\"a\":1}", 0, NULL);
    check_element("[1]", INT64_MIN, NULL);
    check_element("[1]", INT64_MAX, NULL);
}

static void elements_come_in_order(void **state)
{
    (void)state;
    struct json_elements elements;
    struct bytes element;
    static const char *const expected[] = {"1", "{\"a\":[]}", "\"]\"", "null"};
    assert_int_equal(
        0, json_elements_begin(&elements, bytes_text(" [ 1, {\"a\":[]} ,\"]\", null ] ")));
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(1, json_elements_next(&elements, &element));
        assert_true(bytes_equal(element, bytes_text(expected[i])));
    }
    assert_int_equal(0, json_elements_next(&elements, &element));
    assert_int_equal(ERR_INVALID, json_elements_begin(&elements, bytes_text("{}")));
    assert_int_equal(0, json_elements_begin(&elements, bytes_text("[1,]")));
    assert_int_equal(1, json_elements_next(&elements, &element));
    assert_int_equal(ERR_INVALID, json_elements_next(&elements, &element));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_is_told_from_what_is_not),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(values_are_read),
        cmocka_unit_test(members_are_found_by_their_unescaped_key),
        cmocka_unit_test(elements_are_found_from_both_ends),
        cmocka_unit_test(elements_come_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
