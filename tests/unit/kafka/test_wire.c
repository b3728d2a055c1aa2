/* test_wire.c: Kafka's primitive types against bytes of kafka-python's encoders (not flexible) and of KIP-482 and protobuf's documents (uvarints), in both directions;
 * every length and count that lies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include "log/kafka/wire_read.h"
#include "log/kafka/wire_write.h"

/* Bytes of hexadecimal text, exactly sized, so that a sanitizer sees a read past them. */
static struct bytes hex(const char *text)
{
    size_t size = strlen(text) / 2;
    uint8_t *bytes = malloc(size + (size == 0));
    for (size_t i = 0; i < size; i++) {
        char digits[3] = {text[2 * i], text[2 * i + 1], 0};
        bytes[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return bytes_of(bytes, size);
}

static void assert_written(struct buf *out, const char *text)
{
    struct bytes expected = hex(text);
    assert_true(buf_ok(out));
    assert_int_equal(out->size, expected.size);
    assert_memory_equal(out->data, expected.data, expected.size);
    free((void *)(uintptr_t)expected.data);
    buf_clear(out);
}

static void assert_text(struct bytes value, const char *text)
{
    assert_non_null(value.data);
    assert_true(bytes_equal(value, bytes_text(text)));
}

#define PLAIN                                                                                      \
    "fffe"                                                                                         \
    "deadbeef"                                                                                     \
    "fedcba9876543210"                                                                             \
    "01"                                                                                           \
    "000477656972"                                                                                 \
    "ffff"                                                                                         \
    "0000000200ff"                                                                                 \
    "ffffffff"                                                                                     \
    "0000000200000001ffffffff"

static void test_plain(void **state)
{
    (void)state;
    struct buf out = {0};
    struct wire_writer w = {&out, false};
    wire_write_i16(&w, -2);
    wire_write_i32(&w, -559038737);
    wire_write_i64(&w, -81985529216486896);
    wire_write_bool(&w, true);
    wire_write_text(&w, "weir");
    wire_write_text(&w, NULL);
    wire_write_bytes(&w, bytes_of("\0\xff", 2));
    wire_write_bytes(&w, (struct bytes){NULL, 0});
    wire_write_array(&w, 2);
    wire_write_i32(&w, 1);
    wire_write_i32(&w, -1);
    wire_write_tags(&w);
    assert_written(&out, PLAIN);
    buf_deinit(&out);

    struct bytes in = hex(PLAIN);
    struct wire_reader r = wire_reader_over(in, false);
    assert_int_equal(wire_read_i16(&r), -2);
    assert_int_equal(wire_read_i32(&r), -559038737);
    assert_true(wire_read_i64(&r) == -81985529216486896);
    assert_true(wire_read_bool(&r));
    assert_text(wire_read_string(&r), "weir");
    assert_null(wire_read_nullable_string(&r).data);
    assert_int_equal(wire_read_bytes(&r).size, 2);
    assert_null(wire_read_nullable_bytes(&r).data);
    assert_int_equal(wire_read_array(&r, 4), 2);
    assert_int_equal(wire_read_i32(&r), 1);
    assert_int_equal(wire_read_i32(&r), -1);
    wire_read_tags(&r);
    assert_true(wire_read_ok(&r));
    assert_int_equal(r.rest.size, 0);
    free((void *)(uintptr_t)in.data);
}

/* "weir", null, "", bytes of 300 (length 301 = ad 02), null array, two items, two tags (0: one byte, 5: none) */
#define FLEXIBLE_HEAD                                                                              \
    "0577656972"                                                                                   \
    "00"                                                                                           \
    "01"                                                                                           \
    "ad02"
#define FLEXIBLE_TAIL                                                                              \
    "00"                                                                                           \
    "03"                                                                                           \
    "0102"                                                                                         \
    "02"                                                                                           \
    "0001aa"                                                                                       \
    "0500"

static void test_flexible(void **state)
{
    (void)state;
    char text[1024] = FLEXIBLE_HEAD;
    for (size_t at = strlen(text), i = 0; i < 300; i++)
        memcpy(text + at + 2 * i, "5a", 3);
    strcat(text, FLEXIBLE_TAIL);
    struct bytes in = hex(text);
    struct wire_reader r = wire_reader_over(in, true);
    assert_text(wire_read_string(&r), "weir");
    assert_null(wire_read_nullable_string(&r).data);
    assert_text(wire_read_string(&r), "");
    struct bytes long_one = wire_read_bytes(&r);
    assert_int_equal(long_one.size, 300);
    assert_int_equal(wire_read_nullable_array(&r, 1), -1);
    assert_int_equal(wire_read_array(&r, 1), 2);
    assert_int_equal(wire_read_i8(&r), 1);
    assert_int_equal(wire_read_i8(&r), 2);
    wire_read_tags(&r);
    assert_true(wire_read_ok(&r));
    assert_int_equal(r.rest.size, 0);

    struct buf out = {0};
    struct wire_writer w = {&out, true};
    wire_write_text(&w, "weir");
    wire_write_text(&w, NULL);
    wire_write_text(&w, "");
    wire_write_bytes(&w, long_one);
    wire_write_array(&w, -1);
    wire_write_array(&w, 2);
    wire_write_i8(&w, 1);
    wire_write_i8(&w, 2);
    wire_write_tags(&w);
    size_t untagged = in.size - strlen("020001aa0500") / 2;
    assert_int_equal(out.size, untagged + 1);
    assert_memory_equal(out.data, in.data, untagged);
    assert_int_equal(out.data[untagged], 0);
    buf_deinit(&out);
    free((void *)(uintptr_t)in.data);
}

static void test_uvarints(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t value;
    } good[] = {{"00", 0}, {"7f", 127}, {"8001", 128}, {"ac02", 300}, {"ffffffff0f", UINT32_MAX}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct bytes in = hex(good[i].text);
        struct wire_reader r = wire_reader_over(in, true);
        assert_true(wire_read_uvarint(&r) == good[i].value);
        assert_true(wire_read_ok(&r));
        free((void *)(uintptr_t)in.data);
    }
    static const char *const bad[] = {"", "80", "ffffffff1f", "808080808000",
                                      "ffffffffffffffffff01"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct bytes in = hex(bad[i]);
        struct wire_reader r = wire_reader_over(in, true);
        assert_true(wire_read_uvarint(&r) == 0);
        assert_false(wire_read_ok(&r));
        free((void *)(uintptr_t)in.data);
    }
}

static void read_string(struct wire_reader *r)
{
    wire_read_nullable_string(r);
}
static void read_bytes(struct wire_reader *r)
{
    wire_read_nullable_bytes(r);
}
static void read_array(struct wire_reader *r)
{
    wire_read_nullable_array(r, 4);
}
static void read_not_null(struct wire_reader *r)
{
    wire_read_string(r);
}
static void read_full_array(struct wire_reader *r)
{
    wire_read_array(r, 1);
}

static void test_what_lies_fails_for_good(void **state)
{
    (void)state;
    static const struct {
        void (*read)(struct wire_reader *reader);
        bool flexible;
        const char *text;
    } lies[] = {
        {read_string, false, "00"},
        {read_string, false,
         "0002"
         "61"},
        {read_string, false, "7fff61"},
        {read_string, false, "fffe61"},
        {read_string, true, "0361"},
        {read_string, true, "ffffffff0f61"},
        {read_bytes, false, "0000000261"},
        {read_bytes, false, "7fffffff61"},
        {read_bytes, false, "8000000061"},
        {read_bytes, true, "ffffffff0f"},
        {read_array, false, "00000002000000"},
        {read_array, false, "7fffffff00000000"},
        {read_array, false, "fffffffe"},
        {read_array, true, "03000000000000"},
        {read_not_null, false, "ffff"},
        {read_not_null, true, "00"},
        {read_full_array, false, "ffffffff"},
        {read_full_array, true, "00"},
        {wire_read_tags, true, "01"},
        {wire_read_tags, true, "010005aa"},
        {wire_read_tags, true, "ffffffff0f0000"},
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        struct bytes in = hex(lies[i].text);
        struct wire_reader r = wire_reader_over(in, lies[i].flexible);
        lies[i].read(&r);
        assert_false(wire_read_ok(&r));
        /* and nothing can be read any more */
        const char *reason = r.reason;
        assert_int_equal(wire_read_i8(&r), 0);
        assert_int_equal(wire_read_nullable_array(&r, 1), 0);
        assert_null(wire_read_bytes(&r).data);
        assert_ptr_equal(r.reason, reason);
        free((void *)(uintptr_t)in.data);
    }
}

static void test_a_long_string_fails_the_buffer(void **state)
{
    (void)state;
    struct buf out = {0};
    struct wire_writer w = {&out, false};
    uint8_t *text = calloc(1, INT16_MAX + 1);
    wire_write_string(&w, bytes_of(text, INT16_MAX));
    assert_true(buf_ok(&out));
    wire_write_string(&w, bytes_of(text, INT16_MAX + 1));
    assert_false(buf_ok(&out));
    free(text);
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_flexible),
        cmocka_unit_test(test_uvarints),
        cmocka_unit_test(test_what_lies_fails_for_good),
        cmocka_unit_test(test_a_long_string_fails_the_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
