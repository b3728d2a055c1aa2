/* test_bytes.c: buffers (growth, limits, failure that sticks), varints against the tables of the
 * protobuf documentation and a naive encoder, checked reading at every truncation, order of ranges.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include "runtime/base/bytes.h"
#include "runtime/base/error.h"

static uint64_t random_state = 0x9E3779B97F4A7C15u;

static uint64_t random_u64(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static void ranges_compare_like_memcmp_then_by_size(void **state)
{
    (void)state;
    assert_int_equal(bytes_compare(bytes_text("abc"), bytes_text("abc")), 0);
    assert_true(bytes_compare(bytes_text("abc"), bytes_text("abd")) < 0);
    assert_true(bytes_compare(bytes_text("b"), bytes_text("abc")) > 0);
    assert_true(bytes_compare(bytes_text("ab"), bytes_text("abc")) < 0);
    assert_true(bytes_compare(bytes_of("\xff", 1), bytes_of("\x01", 1)) > 0);
    assert_true(bytes_compare(bytes_of(NULL, 0), bytes_text("")) < 0);
    assert_int_equal(bytes_compare(bytes_of(NULL, 0), bytes_of(NULL, 0)), 0);
    assert_true(bytes_equal(bytes_text("x"), bytes_of("x", 1)));
    assert_false(bytes_equal(bytes_of(NULL, 0), bytes_text("")));
    assert_false(bytes_equal(bytes_text("x"), bytes_text("xy")));
    assert_null(bytes_text(NULL).data);
}

static void numbers_are_stored_big_endian(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 0);
    buf_u8(&buf, 0x01);
    buf_be16(&buf, 0x0203);
    buf_be32(&buf, 0x04050607);
    buf_be64(&buf, 0x08090a0b0c0d0e0f);
    buf_append(&buf, NULL, 0);
    assert_true(buf_ok(&buf));
    assert_int_equal(buf.size, 15);
    for (size_t i = 0; i < buf.size; i++)
        assert_int_equal(buf.data[i], i + 1);
    struct bytes in = bytes_of(buf.data, buf.size);
    uint8_t a = 0;
    uint16_t b;
    uint32_t c;
    uint64_t d;
    assert_int_equal(take_u8(&in, &a), 0);
    assert_int_equal(take_be16(&in, &b), 0);
    assert_int_equal(take_be32(&in, &c), 0);
    assert_int_equal(take_be64(&in, &d), 0);
    assert_true(a == 1 && b == 0x0203 && c == 0x04050607 && d == 0x08090a0b0c0d0e0f);
    assert_int_equal(in.size, 0);
    buf_deinit(&buf);
}

static void reading_past_the_end_changes_nothing(void **state)
{
    (void)state;
    static const uint8_t bytes[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    uint8_t a = 0;
    uint16_t b;
    uint32_t c;
    uint64_t d;
    struct bytes e;
    for (size_t size = 0; size < 8; size++) {
        struct bytes in = bytes_of(bytes, size);
        assert_int_equal(take_be64(&in, &d), ERR_CORRUPT);
        if (size < 4)
            assert_int_equal(take_be32(&in, &c), ERR_CORRUPT);
        if (size < 2)
            assert_int_equal(take_be16(&in, &b), ERR_CORRUPT);
        if (size < 1)
            assert_int_equal(take_u8(&in, &a), ERR_CORRUPT);
        assert_int_equal(take_bytes(&in, size + 1, &e), ERR_CORRUPT);
        assert_int_equal(take_bytes(&in, SIZE_MAX, &e), ERR_CORRUPT);
        assert_true(in.data == bytes && in.size == size);
        assert_int_equal(take_bytes(&in, size, &e), 0);
        assert_true(e.data == bytes && e.size == size && in.size == 0);
    }
}

static void varints_match_published_examples(void **state)
{
    (void)state;
    /* protobuf.dev, "Encoding": 150 → 96 01; sint64: -1 → 1, 1 → 2, -2 → 3, extremes. */
    static const struct {
        int64_t value;
        uint8_t encoded[10];
        size_t size;
    } cases[] = {
        {0, {0x00}, 1},
        {-1, {0x01}, 1},
        {1, {0x02}, 1},
        {-2, {0x03}, 1},
        {75, {0x96, 0x01}, 2},
        {63, {0x7e}, 1},
        {-64, {0x7f}, 1},
        {64, {0x80, 0x01}, 2},
        {INT32_MAX, {0xfe, 0xff, 0xff, 0xff, 0x0f}, 5},
        {INT32_MIN, {0xff, 0xff, 0xff, 0xff, 0x0f}, 5},
        {INT64_MAX, {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, 10},
        {INT64_MIN, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, 10},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf buf = {0};
        buf_varint(&buf, cases[i].value);
        assert_int_equal(buf.size, cases[i].size);
        assert_memory_equal(buf.data, cases[i].encoded, buf.size);
        for (size_t size = 0; size < buf.size; size++) { /* every truncation */
            struct bytes in = bytes_of(buf.data, size);
            int64_t value;
            assert_int_equal(take_varint(&in, &value), ERR_CORRUPT);
            assert_int_equal(in.size, size);
        }
        struct bytes in = bytes_of(buf.data, buf.size);
        int64_t value;
        assert_int_equal(take_varint(&in, &value), 0);
        assert_true(value == cases[i].value && in.size == 0);
        buf_deinit(&buf);
    }
}

static void varints_round_trip_at_every_width(void **state)
{
    (void)state;
    struct buf buf = {0};
    for (int i = 0; i < 200000; i++) {
        uint64_t value = random_u64() >> (random_u64() % 64);
        buf_clear(&buf);
        buf_uvarint(&buf, value);
        buf_varint(&buf, (int64_t)value);
        buf_varint(&buf, -(int64_t)(value >> 1));
        struct bytes in = bytes_of(buf.data, buf.size);
        uint64_t plain;
        int64_t one, two;
        assert_int_equal(take_uvarint(&in, &plain), 0);
        assert_int_equal(take_varint(&in, &one), 0);
        assert_int_equal(take_varint(&in, &two), 0);
        assert_true(plain == value && one == (int64_t)value && two == -(int64_t)(value >> 1));
        assert_int_equal(in.size, 0);
    }
    buf_deinit(&buf);
}

static void varints_that_are_too_long_are_corrupt(void **state)
{
    (void)state;
    uint8_t endless[16];
    memset(endless, 0x80, sizeof endless);
    uint64_t value;
    struct bytes in = bytes_of(endless, sizeof endless);
    assert_int_equal(take_uvarint(&in, &value), ERR_CORRUPT);
    assert_int_equal(in.size, sizeof endless);
    uint8_t over[10] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02};
    in = bytes_of(over, sizeof over);
    assert_int_equal(take_uvarint(&in, &value), ERR_CORRUPT); /* a 65th bit */
    over[9] = 0x01;
    assert_int_equal(take_uvarint(&in, &value), 0);
    assert_true(value == UINT64_MAX);
    uint8_t padded[3] = {0x81, 0x80, 0x00};
    in = bytes_of(padded, sizeof padded);
    assert_int_equal(take_uvarint(&in, &value), 0); /* longer than needed is allowed */
    assert_int_equal(value, 1);
}

static void a_buffer_grows_and_keeps_its_bytes(void **state)
{
    (void)state;
    struct buf buf = {0};
    for (uint32_t i = 0; i < 100000; i++)
        buf_be32(&buf, i);
    assert_int_equal(buf.size, 400000);
    for (uint32_t i = 0; i < 100000; i++)
        assert_int_equal(load_be32(buf.data + 4 * i), i);
    size_t capacity = buf.capacity;
    buf_clear(&buf);
    assert_int_equal(buf.capacity, capacity);
    uint8_t *room = buf_reserve(&buf, 100);
    assert_non_null(room);
    assert_int_equal(buf.size, 0);
    buf_deinit(&buf);
    assert_null(buf.data);
    assert_non_null(buf_reserve(&buf, 0)); /* NULL means failure only */
    buf_deinit(&buf);
}

static void a_limit_is_reached_exactly_and_failure_sticks(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 100);
    for (int i = 0; i < 25; i++)
        buf_be32(&buf, 1);
    assert_true(buf_ok(&buf));
    assert_int_equal(buf.size, 100);
    assert_true(buf.capacity <= 100);
    buf_u8(&buf, 1);
    assert_false(buf_ok(&buf));
    assert_int_equal(buf.size, 100);
    buf.size = 0; /* room again, but the failure stays */
    buf_u8(&buf, 1);
    buf_printf(&buf, "x");
    assert_null(buf_reserve(&buf, 1));
    assert_int_equal(buf.size, 0);
    buf_clear(&buf);
    buf_u8(&buf, 1);
    assert_true(buf_ok(&buf));
    assert_null(buf_reserve(&buf, SIZE_MAX));
    assert_false(buf_ok(&buf));
    buf_deinit(&buf);
    struct buf unlimited = {0};
    buf_u8(&unlimited, 1);
    assert_null(buf_reserve(&unlimited, SIZE_MAX - 10));
    assert_false(buf_ok(&unlimited));
    buf_deinit(&unlimited);
}

static void printf_appends_without_a_nul(void **state)
{
    (void)state;
    struct buf buf = {0};
    char expected[4096] = "";
    for (int i = 0; i < 300; i++) {
        buf_printf(&buf, "%d,", i);
        sprintf(expected + strlen(expected), "%d,", i);
    }
    assert_true(buf_ok(&buf));
    assert_int_equal(buf.size, strlen(expected));
    assert_memory_equal(buf.data, expected, buf.size);
    buf_deinit(&buf);
    struct buf exact;
    buf_init(&exact, 5);
    buf_printf(&exact, "%s", "12345"); /* fits although the NUL would not */
    assert_true(buf_ok(&exact));
    assert_memory_equal(exact.data, "12345", 5);
    buf_printf(&exact, "%s", "");
    assert_true(buf_ok(&exact));
    buf_printf(&exact, "6");
    assert_false(buf_ok(&exact));
    buf_deinit(&exact);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_compare_like_memcmp_then_by_size),
        cmocka_unit_test(numbers_are_stored_big_endian),
        cmocka_unit_test(reading_past_the_end_changes_nothing),
        cmocka_unit_test(varints_match_published_examples),
        cmocka_unit_test(varints_round_trip_at_every_width),
        cmocka_unit_test(varints_that_are_too_long_are_corrupt),
        cmocka_unit_test(a_buffer_grows_and_keeps_its_bytes),
        cmocka_unit_test(a_limit_is_reached_exactly_and_failure_sticks),
        cmocka_unit_test(printf_appends_without_a_nul),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
