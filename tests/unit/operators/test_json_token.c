/* Single tokens: integers against strtoll, escapes one by one, and the positions in messages. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "operators/json_token.h"
#include "tests/support/random_json.h"

/* Digits of every count, with and without a sign, before every delimiter. */
static void integers_agree_with_strtoll(void **state)
{
    (void)state;
    struct random_json random = {23};
    for (int round = 0; round < 200000; round++) {
        char text[64] = "";
        uint32_t count = 1 + random_json_below(&random, 20), at = 0;
        if (random_json_below(&random, 2))
            text[at++] = '-';
        for (uint32_t i = 0; i < count; i++) {
            uint32_t lowest = i == 0 && count > 1; /* no leading zero */
            text[at++] = (char)('0' + (random_json_below(&random, 3)
                                           ? lowest + random_json_below(&random, 10 - lowest)
                                           : 9));
        }
        text[at] = ",}] \n\r\t:"[random_json_below(&random, 8)];
        struct variant value;
        assert_true(json_number_take((const uint8_t *)text, &value));
        errno = 0;
        long long expected = strtoll(text, NULL, 10);
        if (errno == ERANGE) {
            assert_int_equal(VARIANT_NUMBER, value.kind);
            assert_int_equal(at, value.size);
            assert_ptr_equal(text, value.data);
        } else if (value.kind != VARIANT_INT || value.i64 != expected) {
            fail_msg("%s is not %lld", text, (long long)value.i64);
        }
    }
}

static void numbers_follow_the_grammar(void **state)
{
    (void)state;
    static const char *const good[] = {"0",     "-0",       "10",
                                       "0.0",   "-1.25",    "1e5",
                                       "1E+05", "1.5e-300", "123456789012345678901234567890.5"};
    static const char *const bad[] = {"",   "-",    "+1", "00",  "01",   "-01",  "1.",
                                      ".1", "1.e5", "1e", "1e+", "1e5.", "1..2", "1.2.3",
                                      "1-", "0x1",  "1a", "--1", "1e5e5"};
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        char text[64] = "";
        snprintf(text, sizeof(text), "%s}", good[i]);
        assert_int_equal(strlen(good[i]), json_number_size((const uint8_t *)text));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        char text[64] = "";
        struct variant value;
        snprintf(text, sizeof(text), "%s}", bad[i]);
        if (json_number_size((const uint8_t *)text) != 0 ||
            json_number_take((const uint8_t *)text, &value))
            fail_msg("%s was taken for a number", bad[i]);
    }
}

static void every_byte_is_a_delimiter_or_not(void **state)
{
    (void)state;
    for (int byte = 0; byte < 256; byte++)
        assert_int_equal(byte != 0 && strchr(" \t\r\n,:[]{}", byte) != NULL,
                         json_is_delimiter((uint8_t)byte));
}

static void escapes_are_replaced(void **state)
{
    (void)state;
    static const struct {
        const char *text, *expected; /* NULL: malformed */
        size_t size;
    } cases[] = {
        {"", "", 0},
        {"plain", "plain", 5},
        {"\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\b\f\n\r\t", 8},
        {"a\\u0000b", "a\0b", 3},
        {"\\u007f\\u0080\\u07FF\\u0800\\uffff", "\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF", 11},
        {"\\ud800\\udc00\\uDBFF\\uDFFF", "\xF0\x90\x80\x80\xF4\x8F\xBF\xBF", 8},
        {"x\\ud83d\\ude00y", "x\xF0\x9F\x98\x80y", 6},
        {"\\", NULL, 0},
        {"\\a", NULL, 0},
        {"\\N", NULL, 0},
        {"\\u", NULL, 0},
        {"\\u123", NULL, 0},
        {"\\u12 4", NULL, 0},
        {"\\u00g0", NULL, 0},
        {"\\ud800", NULL, 0},
        {"\\udc00", NULL, 0},
        {"\\ud800\\u0041", NULL, 0},
        {"\\ud800\\ud800", NULL, 0},
        {"\\ud800x\\udc00", NULL, 0},
        {"\\ud800\\udc0", NULL, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        uint8_t out[64];
        size_t size = strlen(cases[i].text);
        ptrdiff_t length = json_unescape((const uint8_t *)cases[i].text, size, out);
        assert_int_equal(length, json_unescape((const uint8_t *)cases[i].text, size, NULL));
        assert_int_equal(cases[i].expected ? (ptrdiff_t)cases[i].size : -1, length);
        if (cases[i].expected != NULL)
            assert_memory_equal(cases[i].expected, out, cases[i].size);
    }
}

/* All code points of the basic plane, against the table of RFC 3629. */
static void code_points_become_utf8(void **state)
{
    (void)state;
    for (uint32_t code = 0; code < 0x10000; code++) {
        char text[8];
        uint8_t out[8], expected[4];
        snprintf(text, sizeof(text), "\\u%04X", code);
        ptrdiff_t length = json_unescape((const uint8_t *)text, 6, out);
        if (code >= 0xD800 && code <= 0xDFFF) {
            assert_int_equal(-1, length);
            continue;
        }
        ptrdiff_t size = code < 0x80 ? 1 : code < 0x800 ? 2 : 3;
        for (ptrdiff_t i = size - 1, rest = (ptrdiff_t)code; i >= 0; i--, rest >>= 6)
            expected[i] = (uint8_t)(i > 0       ? 0x80 | (rest & 0x3F)
                                    : size == 1 ? rest
                                    : size == 2 ? 0xC0 | rest
                                                : 0xE0 | rest);
        assert_int_equal(size, length);
        assert_memory_equal(expected, out, (size_t)size);
    }
}

static void faults_have_positions(void **state)
{
    (void)state;
    static const struct {
        size_t (*find)(const uint8_t *text, size_t size);
        const char *text;
        size_t at;
    } cases[] = {
        {json_find_bad_utf8, "ab\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", 11},
        {json_find_bad_utf8, "ab\xFF", 2},
        {json_find_bad_utf8, "ab\x80", 2},
        {json_find_bad_utf8, "ab\xC1\xBF", 2},
        {json_find_bad_utf8, "ab\xE0\x9F\xBF", 2},
        {json_find_bad_utf8, "ab\xED\xA0\x80", 2},
        {json_find_bad_utf8, "ab\xF0\x8F\xBF\xBF", 2},
        {json_find_bad_utf8, "ab\xF4\x90\x80\x80", 2},
        {json_find_bad_utf8, "ab\xF5\x80\x80\x80", 2},
        {json_find_bad_utf8, "ab\xE2\x82", 2},
        {json_find_bad_utf8, "", 0},
        {json_find_control, "{\"a\":\"x\ny\"}", 7},
        {json_find_control, "{\n\"a\":\"x\\\"\x01\"}", 10},
        {json_find_control, "{\"a\":\"x\\\n\"}", 8},
        {json_find_control, "{\"a\":\n1}", 8},
        {json_find_unclosed, "{\"a\":\"x", 5},
        {json_find_unclosed, "{\"a\":\"x\\\"", 5},
        {json_find_unclosed, "{\"a\":\"x\\", 5},
        {json_find_unclosed, "{\"a\":\"x\\\\\"}", 11},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        assert_int_equal(cases[i].at,
                         cases[i].find((const uint8_t *)cases[i].text, strlen(cases[i].text)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_agree_with_strtoll),
        cmocka_unit_test(numbers_follow_the_grammar),
        cmocka_unit_test(every_byte_is_a_delimiter_or_not),
        cmocka_unit_test(escapes_are_replaced),
        cmocka_unit_test(code_points_become_utf8),
        cmocka_unit_test(faults_have_positions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
