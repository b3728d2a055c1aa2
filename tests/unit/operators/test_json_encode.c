/* Rows to JSON: each type's form, escapes byte by byte, doubles against printf and strtod, keys,
 * and back again through the decoder and through jansson. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>

#include "operators/json_decode.h"
#include "operators/json_encode.h"
#include "tests/support/decode_compare.h"
#include "tests/support/random_json.h"

static struct buf out;

static const char *taken(void)
{
    assert_true(buf_ok(&out));
    buf_u8(&out, 0);
    return (const char *)out.data;
}

static const char *value_text(const struct column *column, bool epoch_ms)
{
    buf_clear(&out);
    json_encode_value(&out, column, 0, epoch_ms);
    return taken();
}

static const char *i64_text(enum col_type type, int64_t value, bool epoch_ms)
{
    struct column column = {.type = type, .i64 = &value};
    return value_text(&column, epoch_ms);
}

static const char *double_text(double value)
{
    struct column column = {.type = COL_DOUBLE, .f64 = &value};
    return value_text(&column, false);
}

static struct numeric number(const char *text)
{
    struct numeric value;
    assert_int_equal(0, numeric_parse(bytes_text(text), &value));
    return value;
}

static struct variant text_variant(enum variant_kind kind, const char *text)
{
    struct variant value = {.kind = (uint8_t)kind, .size = (uint32_t)strlen(text)};
    value.data = (const uint8_t *)text;
    return value;
}

static void each_type_has_its_form(void **state)
{
    (void)state;
    assert_string_equal("0", i64_text(COL_BIGINT, 0, false));
    assert_string_equal("-1", i64_text(COL_BIGINT, -1, false));
    assert_string_equal("9223372036854775807", i64_text(COL_BIGINT, INT64_MAX, false));
    assert_string_equal("-9223372036854775808", i64_text(COL_BIGINT, INT64_MIN, false));
    assert_string_equal("\"2026-01-01T00:00:00.000Z\"",
                        i64_text(COL_TIMESTAMPTZ, 1767225600000, false));
    assert_string_equal("1767225600000", i64_text(COL_TIMESTAMPTZ, 1767225600000, true));
    assert_string_equal("\"PT1.500S\"", i64_text(COL_INTERVAL, 1500, false));
    assert_string_equal("\"PT-0.001S\"", i64_text(COL_INTERVAL, -1, true));
    assert_string_equal("\"PT90061.000S\"", i64_text(COL_INTERVAL, 90061000, false));
    assert_string_equal("\"PT-9223372036854775.808S\"", i64_text(COL_INTERVAL, INT64_MIN, false));

    struct numeric price = number("-12.50");
    struct column column = {.type = COL_NUMERIC, .numeric = &price};
    assert_string_equal("-12.50", value_text(&column, false));
    uint8_t yes = 1, no = 0;
    column = (struct column){.type = COL_BOOLEAN, .boolean = &yes};
    assert_string_equal("true", value_text(&column, false));
    column.boolean = &no;
    assert_string_equal("false", value_text(&column, false));
    struct bytes text = bytes_text("x\"y");
    column = (struct column){.type = COL_TEXT, .text = &text};
    assert_string_equal("\"x\\\"y\"", value_text(&column, false));
    text = bytes_text("");
    assert_string_equal("\"\"", value_text(&column, false));
    column.nulls = &yes;
    assert_string_equal("null", value_text(&column, false));
}

static void variants_print_as_they_came(void **state)
{
    (void)state;
    static const struct {
        enum variant_kind kind;
        const char *text, *expected;
    } cases[] = {
        {VARIANT_NULL, "", "null"},
        {VARIANT_FALSE, "", "false"},
        {VARIANT_TRUE, "", "true"},
        {VARIANT_NUMBER, "1.50", "1.50"},
        {VARIANT_NUMBER, "1E+400", "1E+400"},
        {VARIANT_TEXT, "a\nb", "\"a\\nb\""},
        {VARIANT_JSON, "{\"x\" : [1]}", "{\"x\" : [1]}"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct variant value = text_variant(cases[i].kind, cases[i].text);
        struct column column = {.type = COL_VARIANT, .variant = &value};
        assert_string_equal(cases[i].expected, value_text(&column, false));
    }
    struct variant integer = {.i64 = -42, .kind = VARIANT_INT};
    struct column column = {.type = COL_VARIANT, .variant = &integer};
    assert_string_equal("-42", value_text(&column, false));
}

static void constants_and_rows_are_found(void **state)
{
    (void)state;
    int64_t values[] = {10, 11, 12}, five = 5;
    uint8_t nulls[] = {0, 1, 0};
    struct column columns[] = {{.type = COL_BIGINT, .i64 = values, .nulls = nulls},
                               {.type = COL_BIGINT, .constant = true, .i64 = &five}};
    static const char *const names[] = {"v", "odd \"name\"\n"};
    struct json_names *made = json_names_create(names, 2);
    static const char *const expected[] = {"10", "null", "12"};
    for (uint32_t row = 0; row < 3; row++) {
        char text[64];
        snprintf(text, sizeof(text), "{\"v\":%s,\"odd \\\"name\\\"\\n\":5}", expected[row]);
        buf_clear(&out);
        json_encode_row(&out, made, columns, row, false);
        assert_string_equal(text, taken());
    }
    json_names_destroy(made);
    made = json_names_create(NULL, 0);
    buf_clear(&out);
    json_encode_row(&out, made, NULL, 0, false);
    assert_string_equal("{}", taken());
    json_names_destroy(made);
    json_names_destroy(NULL);
}

/* Every ASCII byte at every place of texts of every short length: jansson reads the same text, and
 * only what must be is escaped. */
static void escapes_are_right_at_every_place(void **state)
{
    (void)state;
    for (int byte = 0; byte < 128; byte++)
        for (size_t size = 1; size < 20; size++)
            for (size_t at = 0; at < size; at++) {
                char text[20];
                memset(text, 'x', size);
                text[at] = (char)byte;
                buf_clear(&out);
                json_escape(&out, bytes_of(text, size));
                assert_true(buf_ok(&out));
                size_t extra = byte == '"' || byte == '\\'          ? 1
                               : byte >= 0x20                       ? 0
                               : strchr("\b\f\n\r\t", byte) && byte ? 1
                                                                    : 5;
                assert_int_equal(size + 2 + extra, out.size);
                json_t *json = json_loadb((const char *)out.data, out.size,
                                          JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
                assert_true(json_is_string(json) && json_string_length(json) == size);
                assert_memory_equal(text, json_string_value(json), size);
                json_decref(json);
            }
}

static void random_text_comes_back_from_jansson(void **state)
{
    (void)state;
    static const char *const pieces[] = {"a",
                                         "bc",
                                         "\"",
                                         "\\",
                                         "\n",
                                         "\x01",
                                         "\x7F",
                                         "\xC3\xA9",
                                         "\xE2\x82\xAC",
                                         "\xF0\x9F\x98\x80",
                                         "/",
                                         "long enough for several words of eight bytes"};
    struct random_json random = {5};
    for (int round = 0; round < 20000; round++) {
        char text[1024] = "";
        for (uint32_t i = random_json_below(&random, 12); i > 0; i--)
            strcat(text, pieces[random_json_below(&random, sizeof(pieces) / sizeof(*pieces))]);
        buf_clear(&out);
        json_escape(&out, bytes_text(text));
        json_t *json = json_loadb((const char *)out.data, out.size, JSON_DECODE_ANY, NULL);
        assert_non_null(json);
        assert_string_equal(text, json_string_value(json));
        json_decref(json);
    }
}

/* The fewest significant digits that read back the same, by trying. */
static int shortest_digits(double value)
{
    for (int digits = 1; digits < 17; digits++) {
        char text[64];
        snprintf(text, sizeof(text), "%.*e", digits - 1, value);
        if (strtod(text, NULL) == value)
            return digits;
    }
    return 17;
}

static int significant_digits(const char *text)
{
    int count = 0, zeros = 0;
    for (; *text != 0 && *text != 'e'; text++) {
        if (*text == '0')
            zeros += count > 0;
        else if (*text >= '1' && *text <= '9') {
            count += zeros + 1;
            zeros = 0;
        }
    }
    return count;
}

static void doubles_are_shortest_and_exact(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0.1, "0.1"},
        {0.1 + 0.2, "0.30000000000000004"},
        {1, "1"},
        {-1500, "-1500"},
        {100000, "100000"},
        {1e14, "100000000000000"},
        {1e15, "1e+15"},
        {1e20, "1e+20"},
        {1e-5, "1e-05"},
        {0.0001, "0.0001"},
        {1.5e-7, "1.5e-07"},
        {123456789.5, "123456789.5"},
        {0, "0"},
        {-0.0, "-0"},
        {5e-324, "5e-324"},
        {1.7976931348623157e308, "1.7976931348623157e+308"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        assert_string_equal(cases[i].text, double_text(cases[i].value));
    assert_string_equal("null", double_text((double)NAN));
    assert_string_equal("null", double_text((double)INFINITY));
    assert_string_equal("null", double_text(-(double)INFINITY));
    struct random_json random = {11};
    for (int i = 0; i < 200000; i++) {
        double value;
        uint64_t bits = (uint64_t)random_json_below(&random, UINT32_MAX) << 32 |
                        random_json_below(&random, UINT32_MAX);
        memcpy(&value, &bits, sizeof(value));
        if (i % 2)
            value = (double)(int32_t)bits / 100;
        if (!isfinite(value))
            continue;
        const char *text = double_text(value);
        if (strtod(text, NULL) != value || significant_digits(text) > shortest_digits(value))
            fail_msg("%.17g is printed as %s", value, text);
    }
}

/* ---- keys ---- */

static const char *key_text(const char *const *names, uint32_t count, const struct column *columns,
                            bool has_window)
{
    struct json_names *made = json_names_create(names, count);
    buf_clear(&out);
    json_encode_key(&out, made, columns, 0, has_window);
    json_names_destroy(made);
    return taken();
}

static void a_lone_text_is_the_key(void **state)
{
    (void)state;
    static const char *const name[] = {"user"};
    static const char *const cases[][2] = {
        {"u1", "u1"},
        {"", ""},
        {"5", "5"},
        {"with \"quotes\"\n", "with \"quotes\"\n"},
        {"[1]", "[1]"},
        {"{", "{\"user\":\"{\"}"},
        {"{\"user\":\"u1\"}", "{\"user\":\"{\\\"user\\\":\\\"u1\\\"}\"}"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct bytes text = bytes_text(cases[i][0]);
        struct variant variant = text_variant(VARIANT_TEXT, cases[i][0]);
        struct column typed = {.type = COL_TEXT, .text = &text},
                      untyped = {.type = COL_VARIANT, .variant = &variant};
        assert_string_equal(cases[i][1], key_text(name, 1, &typed, false));
        assert_string_equal(cases[i][1], key_text(name, 1, &untyped, false));
    }
    uint8_t null = 1;
    struct bytes text = bytes_text("u1");
    struct variant missing = {.kind = VARIANT_NULL};
    struct column columns[] = {{.type = COL_TEXT, .text = &text, .nulls = &null},
                               {.type = COL_VARIANT, .variant = &missing}};
    assert_string_equal("{\"user\":null}", key_text(name, 1, &columns[0], false));
    assert_string_equal("{\"user\":null}", key_text(name, 1, &columns[1], false));
    columns[0].nulls = NULL;
    assert_string_equal("{\"user\":\"u1\"}", key_text(name, 1, &columns[0], true));
}

static void other_keys_are_canonical_objects(void **state)
{
    (void)state;
    static const char *const names[] = {"user_id", "window_start"};
    struct bytes user = bytes_text("u1");
    int64_t start = 1767225600000;
    struct column columns[] = {{.type = COL_TEXT, .text = &user},
                               {.type = COL_TIMESTAMPTZ, .i64 = &start}};
    assert_string_equal("{\"user_id\":\"u1\",\"window_start\":\"2026-01-01T00:00:00.000Z\"}",
                        key_text(names, 2, columns, true));

    static const char *const numbers[][2] = {
        {"1", "1"},     {"1.0", "1"},    {"1.50", "1.5"},    {"1e3", "1000"},   {"1e0", "1"},
        {"-0.00", "0"}, {"0.10", "0.1"}, {"1E400", "1E400"}, {"100.00", "100"}, {"10e-1", "1"}};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
        char expected[64];
        snprintf(expected, sizeof(expected), "{\"user_id\":%s}", numbers[i][1]);
        struct variant variant = text_variant(VARIANT_NUMBER, numbers[i][0]);
        struct column column = {.type = COL_VARIANT, .variant = &variant};
        assert_string_equal(expected, key_text(names, 1, &column, false));
        struct numeric value;
        if (numeric_parse(bytes_text(numbers[i][0]), &value) == 0) {
            column = (struct column){.type = COL_NUMERIC, .numeric = &value};
            assert_string_equal(expected, key_text(names, 1, &column, false));
        }
    }
    static const struct {
        double value;
        const char *text;
    } doubles[] = {{-0.0, "{\"user_id\":0}"}, {2.50, "{\"user_id\":2.5}"}};
    for (size_t i = 0; i < 2; i++) {
        struct column column = {.type = COL_DOUBLE, .f64 = (double *)&doubles[i].value};
        assert_string_equal(doubles[i].text, key_text(names, 1, &column, false));
    }
    double odd[] = {(double)NAN, (double)INFINITY, -(double)INFINITY};
    static const char *const odd_texts[] = {"{\"user_id\":\"NaN\"}", "{\"user_id\":\"Infinity\"}",
                                            "{\"user_id\":\"-Infinity\"}"};
    for (int i = 0; i < 3; i++) {
        struct column column = {.type = COL_DOUBLE, .f64 = &odd[i]};
        assert_string_equal(odd_texts[i], key_text(names, 1, &column, false));
    }
}

/* ---- round trips ---- */

static const char *const keys[] = {"a", "b", "c\"\\", "\xC3\xA9"};
enum { KEYS = 4, DOCS = 32 };

/* decode, encode, decode: the same variants; and jansson reads the same object from both texts. */
static void documents_survive_the_round_trip(void **state)
{
    (void)state;
    static const char *const spelled[] = {"a", "b", "c\\\"\\\\", "\xC3\xA9"};
    struct field_path paths[KEYS];
    const struct field_path *list[KEYS];
    for (int i = 0; i < KEYS; i++) {
        paths[i] = (struct field_path){{keys[i]}, 1};
        list[i] = &paths[i];
    }
    struct json_decoder *decoder;
    assert_int_equal(0, json_decoder_create(list, KEYS, &decoder, NULL));
    struct json_names *names = json_names_create(keys, KEYS);
    struct random_json random = {3};
    struct arena arena;
    arena_init(&arena, 0);
    for (int round = 0; round < 300; round++) {
        struct column first[KEYS], second[KEYS];
        struct reject_list rejects = {.arena = &arena};
        struct buf doc = {0};
        struct bytes docs[DOCS];
        for (int i = 0; i < DOCS; i++) {
            buf_clear(&doc);
            buf_append(&doc, "{", 1);
            for (int k = 0; k < KEYS; k++) {
                buf_printf(&doc, "%s\"%s\":", k ? "," : "", spelled[k]);
                random_json_value(&random, &doc, 2);
            }
            buf_append(&doc, "}", 1);
            docs[i] = arena_copy(&arena, bytes_of(doc.data, doc.size));
        }
        buf_deinit(&doc);
        assert_int_equal(0, json_decode(decoder, docs, DOCS, false, &arena, first, &rejects));
        struct bytes again[DOCS];
        for (uint32_t i = 0; i < DOCS; i++) {
            buf_clear(&out);
            json_encode_row(&out, names, first, i, false);
            again[i] = arena_copy(&arena, bytes_of(out.data, out.size));
            json_t *before =
                json_loadb((const char *)docs[i].data, docs[i].size, JSON_ALLOW_NUL, NULL);
            json_t *after =
                json_loadb((const char *)again[i].data, again[i].size, JSON_ALLOW_NUL, NULL);
            assert_non_null(before);
            assert_true(json_equal(before, after));
            json_decref(before);
            json_decref(after);
        }
        assert_int_equal(0, json_decode(decoder, again, DOCS, false, &arena, second, &rejects));
        assert_int_equal(0, rejects.count);
        for (int k = 0; k < KEYS; k++)
            for (int i = 0; i < DOCS; i++)
                assert_true(variants_equal(&first[k].variant[i], &second[k].variant[i]));
        arena_reset(&arena);
    }
    arena_deinit(&arena);
    json_names_destroy(names);
    json_decoder_destroy(decoder);
}

static void a_full_buffer_is_reported_once(void **state)
{
    (void)state;
    static const char *const names[] = {"number", "text"};
    struct json_names *made = json_names_create(names, 2);
    int64_t value = 123456;
    struct bytes text = bytes_text("with \n escapes \x01 and more text");
    struct column columns[] = {{.type = COL_BIGINT, .i64 = &value},
                               {.type = COL_TEXT, .text = &text}};
    for (size_t limit = 1; limit < 200; limit++) {
        struct buf small;
        buf_init(&small, limit);
        json_encode_row(&small, made, columns, 0, false);
        json_encode_key(&small, made, columns, 0, true);
        assert_true(small.size <= limit);
        buf_deinit(&small);
    }
    json_names_destroy(made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_type_has_its_form),
        cmocka_unit_test(variants_print_as_they_came),
        cmocka_unit_test(constants_and_rows_are_found),
        cmocka_unit_test(escapes_are_right_at_every_place),
        cmocka_unit_test(random_text_comes_back_from_jansson),
        cmocka_unit_test(doubles_are_shortest_and_exact),
        cmocka_unit_test(a_lone_text_is_the_key),
        cmocka_unit_test(other_keys_are_canonical_objects),
        cmocka_unit_test(documents_survive_the_round_trip),
        cmocka_unit_test(a_full_buffer_is_reported_once),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    buf_deinit(&out);
    return failed;
}
