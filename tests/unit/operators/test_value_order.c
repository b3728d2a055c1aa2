/* test_value_order.c: bytes of values sort as the values do, and come back.
 *
 * Each type has a list of values in the order of min, written by hand: of each two the bytes must
 * say the same, turned round the opposite. Random bigints, doubles and numerics are compared by C's
 * own operators and by numeric_compare. Damaged bytes are refused, or are another value's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "operators/value_order.h"

enum { MANY = 24 };

static uint64_t seed;
static uint64_t draw_bits(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return seed ^ seed >> 29;
}
static uint32_t draw(uint32_t n)
{
    return (uint32_t)(draw_bits() >> 33) % n;
}

/* What value `at` looks like, plain and turned round. */
static void put(const struct column *column, uint32_t at, struct buf *plain, struct buf *turned)
{
    buf_clear(plain);
    buf_clear(turned);
    value_order_put(plain, column, at);
    value_order_flip(turned, bytes_of(plain->data, plain->size));
    assert_true(buf_ok(plain) && buf_ok(turned));
}

static int sign(int n)
{
    return (n > 0) - (n < 0);
}

/* What was read is written as the same bytes. */
static void assert_comes_back(enum col_type type, const struct buf *plain, const struct buf *turned)
{
    uint64_t place[8];
    struct column column = {.type = type, .data = place};
    struct bytes bytes = bytes_of(plain->data, plain->size);
    struct buf again;
    buf_init(&again, 0);
    assert_true(col_type_bytes(type) <= sizeof place);
    assert_int_equal(value_order_take(bytes, &column, 0), 0);
    value_order_put(&again, &column, 0);
    assert_true(bytes_equal(bytes_of(again.data, again.size), bytes) || bytes.size == 0);
    buf_clear(&again);
    assert_int_equal(value_order_unflip(&again, bytes_of(turned->data, turned->size)), 0);
    assert_true(again.size == bytes.size &&
                (bytes.size == 0 || memcmp(again.data, bytes.data, bytes.size) == 0));
    buf_deinit(&again);
}

/* No damage reads as the value that it was. */
static void damage(enum col_type type, const struct buf *plain)
{
    for (size_t i = 0; i < plain->size; i++) {
        uint64_t place[8];
        struct column column = {.type = type, .data = place};
        uint8_t *copy = malloc(plain->size);
        struct buf again;
        assert_non_null(copy);
        memcpy(copy, plain->data, plain->size);
        copy[i] = (uint8_t)(copy[i] + 1 + draw(255));
        buf_init(&again, 0);
        struct bytes bytes = bytes_of(copy, draw(3) == 0 ? i : plain->size);
        if (value_order_take(bytes, &column, 0) == 0) {
            value_order_put(&again, &column, 0);
            assert_true(again.size == bytes.size &&
                        (bytes.size == 0 || memcmp(again.data, bytes.data, bytes.size) == 0));
        }
        buf_clear(&again);
        (void)value_order_unflip(&again, bytes);
        buf_deinit(&again);
        free(copy);
    }
}

/* order(a, b) < 0, 0, > 0 by the values' places. */
static void assert_sorts(const struct column *column, uint32_t count,
                         int (*order)(const struct column *column, uint32_t a, uint32_t b))
{
    struct buf plain[2], turned[2];
    for (int i = 0; i < 2; i++) {
        buf_init(&plain[i], 0);
        buf_init(&turned[i], 0);
    }
    for (uint32_t a = 0; a < count; a++) {
        put(column, a, &plain[0], &turned[0]);
        assert_comes_back(column->type, &plain[0], &turned[0]);
        damage(column->type, &plain[0]);
        for (uint32_t b = 0; b < count; b++) {
            put(column, b, &plain[1], &turned[1]);
            int wanted = sign(order(column, a, b));
            assert_int_equal(sign(bytes_compare(bytes_of(plain[0].data, plain[0].size),
                                                bytes_of(plain[1].data, plain[1].size))),
                             wanted);
            assert_int_equal(sign(bytes_compare(bytes_of(turned[0].data, turned[0].size),
                                                bytes_of(turned[1].data, turned[1].size))),
                             -wanted);
        }
    }
    for (int i = 0; i < 2; i++) {
        buf_deinit(&plain[i]);
        buf_deinit(&turned[i]);
    }
}

static int by_place(const struct column *column, uint32_t a, uint32_t b)
{
    (void)column;
    return a < b ? -1 : a > b;
}
static int by_i64(const struct column *column, uint32_t a, uint32_t b)
{
    return column->i64[a] < column->i64[b] ? -1 : column->i64[a] > column->i64[b];
}
static int by_double(const struct column *column, uint32_t a, uint32_t b)
{
    return column->f64[a] < column->f64[b] ? -1 : column->f64[a] > column->f64[b];
}
static int by_numeric(const struct column *column, uint32_t a, uint32_t b)
{
    int order = numeric_compare(column->numeric[a], column->numeric[b]);
    return order != 0 ? order : column->numeric[a].scale - column->numeric[b].scale;
}

static void lists_by_hand(void **state)
{
    (void)state;
    int64_t whole[] = {INT64_MIN, INT64_MIN + 1, -65537, -65536, -257, -256,     -255, -2, -1, 0, 1,
                       2,         127,           128,    255,    256,  INT64_MAX};
    double doubles[] = {-1.7976931348623157e308, -1e10, -1, -5e-324, 0, 5e-324, 0.5, 1, 1e300};
    uint8_t booleans[] = {0, 1};
    struct bytes texts[] = {bytes_of("", 0),
                            bytes_of("\0", 1),
                            bytes_of("\0\0", 2),
                            bytes_of("\0a", 2),
                            bytes_text("a"),
                            bytes_of("a\0", 2),
                            bytes_text("aa"),
                            bytes_text("ab"),
                            bytes_text("b"),
                            bytes_text("\xC3\xA9"),
                            bytes_text("\xF0\x9F\x98\x80")};
    struct numeric numerics[] = {{-((int128)1 << 126), 0},
                                 {-1000, 0},
                                 {-1000, 2},
                                 {-1, 0},
                                 {-10, 1},
                                 {-1, 38},
                                 {0, 0},
                                 {0, 7},
                                 {1, 38},
                                 {1, 1},
                                 {10, 2},
                                 {11, 2},
                                 {9, 0},
                                 {10, 0},
                                 {100, 1},
                                 {101, 1},
                                 {99, 0},
                                 {100, 0}};
    struct column column = {.type = COL_BIGINT, .i64 = whole};
    assert_sorts(&column, sizeof whole / sizeof whole[0], by_place);
    column = (struct column){.type = COL_DOUBLE, .f64 = doubles};
    assert_sorts(&column, sizeof doubles / sizeof doubles[0], by_place);
    column = (struct column){.type = COL_BOOLEAN, .boolean = booleans};
    assert_sorts(&column, 2, by_place);
    column = (struct column){.type = COL_TEXT, .text = texts};
    assert_sorts(&column, sizeof texts / sizeof texts[0], by_place);
    column = (struct column){.type = COL_NUMERIC, .numeric = numerics};
    assert_sorts(&column, sizeof numerics / sizeof numerics[0], by_place);
}

static struct variant variant(enum variant_kind kind, const char *text)
{
    return (struct variant){
        .data = (const uint8_t *)text, .size = (uint32_t)strlen(text), .kind = (uint8_t)kind};
}

static void json_by_hand(void **state)
{
    (void)state;
    struct variant values[] = {{.kind = VARIANT_FALSE},
                               {.kind = VARIANT_TRUE},
                               variant(VARIANT_NUMBER, "-1e30"),
                               {.i64 = INT64_MIN, .kind = VARIANT_INT},
                               {.i64 = -1, .kind = VARIANT_INT},
                               variant(VARIANT_NUMBER, "-1.0"),
                               variant(VARIANT_NUMBER, "-1e-38"),
                               {.i64 = 0, .kind = VARIANT_INT},
                               variant(VARIANT_NUMBER, "-0"),
                               variant(VARIANT_NUMBER, "0.0"),
                               {.i64 = 10, .kind = VARIANT_INT},
                               variant(VARIANT_NUMBER, "10.0"),
                               variant(VARIANT_NUMBER, "1e1"),
                               {.i64 = 11, .kind = VARIANT_INT},
                               {.i64 = INT64_MAX, .kind = VARIANT_INT},
                               variant(VARIANT_NUMBER, "9223372036854775807.5"),
                               variant(VARIANT_TEXT, ""),
                               variant(VARIANT_TEXT, "1"),
                               variant(VARIANT_TEXT, "a"),
                               variant(VARIANT_TEXT, "aa"),
                               variant(VARIANT_JSON, "[]"),
                               variant(VARIANT_JSON, "{}")};
    struct column column = {.type = COL_VARIANT, .variant = values};
    assert_sorts(&column, sizeof values / sizeof values[0], by_place);
}

static void random_numbers(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < 200; round++) {
        int64_t whole[MANY];
        double doubles[MANY];
        struct numeric numerics[MANY];
        seed = round;
        for (int i = 0; i < MANY; i++) {
            whole[i] = (int64_t)draw_bits() >> draw(64);
            do {
                uint64_t bits = draw_bits() << draw(50);
                memcpy(&doubles[i], &bits, sizeof bits);
            } while (!(doubles[i] - doubles[i] == 0) || doubles[i] == 0);
            int128 coefficient = (int128)((uint128)draw_bits() << 64 | draw_bits()) >> draw(128);
            while (coefficient >= (int128)1e37 || coefficient <= -(int128)1e37)
                coefficient /= 10;
            for (uint32_t zeros = draw(3); zeros > 0 && coefficient < (int128)1e30; zeros--)
                coefficient = coefficient > -(int128)1e30 ? coefficient * 10 : coefficient;
            numerics[i] = (struct numeric){coefficient, (int32_t)draw(39)};
            if (i > 0 && draw(4) == 0 && numerics[i - 1].coefficient % 10 == 0 &&
                numerics[i - 1].scale > 0)
                numerics[i] =
                    (struct numeric){numerics[i - 1].coefficient / 10, numerics[i - 1].scale - 1};
        }
        struct column column = {.type = COL_TIMESTAMPTZ, .i64 = whole};
        assert_sorts(&column, MANY, by_i64);
        column = (struct column){.type = COL_DOUBLE, .f64 = doubles};
        assert_sorts(&column, MANY, by_double);
        column = (struct column){.type = COL_NUMERIC, .numeric = numerics};
        assert_sorts(&column, MANY, by_numeric);
    }
}

/* −0.0 is 0.0, as min says. */
static void zeros_are_one(void **state)
{
    (void)state;
    double zeros[] = {0.0, -0.0};
    struct column column = {.type = COL_DOUBLE, .f64 = zeros};
    struct buf bytes;
    buf_init(&bytes, 0);
    value_order_put(&bytes, &column, 0);
    value_order_put(&bytes, &column, 1);
    assert_int_equal(bytes.size, 16);
    assert_memory_equal(bytes.data, bytes.data + 8, 8);
    buf_deinit(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_by_hand),
        cmocka_unit_test(json_by_hand),
        cmocka_unit_test(random_numbers),
        cmocka_unit_test(zeros_are_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
