/* test_consumer_protocol.c: Kafka's subscription and assignment bytes. The expected bytes are
 * written by hand from the schemas ConsumerProtocolSubscription.json and
 * ConsumerProtocolAssignment.json; the first one is a version 0 blob of a client of before versions
 * existed. */
#include "log/consumer_protocol.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct bytes hex(const char *text, uint8_t *out)
{
    size_t size = 0;
    unsigned byte;
    int used;
    while (sscanf(text, " %2x%n", &byte, &used) == 1) {
        out[size++] = (uint8_t)byte;
        text += used;
    }
    return bytes_of(out, size);
}

#define TOPICS "00000002 0001 61 0002 6262"
#define OWNED  "00000002 0001 61 00000002 00000000 00000003 0002 6262 00000001 00000007"

static void check_subscription(int16_t version, const char *text)
{
    uint8_t expected_bytes[128];
    struct bytes expected = hex(text, expected_bytes);
    struct bytes topics[] = {bytes_of("a", 1), bytes_of("bb", 2)};
    struct named_partition owned[] = {{topics[0], 0}, {topics[0], 3}, {topics[1], 7}};
    struct subscription in = {.version = version,
                              .topics = topics,
                              .topic_count = 2,
                              .user_data = bytes_of("u", 1),
                              .owned = owned,
                              .owned_count = 3,
                              .generation = 5,
                              .rack = bytes_of("r1", 2)};
    struct buf out = {0};
    subscription_encode(&out, &in);
    assert_int_equal(out.size, expected.size);
    assert_memory_equal(out.data, expected.data, expected.size);
    struct subscription read;
    assert_int_equal(subscription_decode(expected, &read), 0);
    assert_int_equal(read.version, version);
    assert_int_equal(read.topic_count, 2);
    assert_true(bytes_equal(read.topics[1], topics[1]));
    assert_true(bytes_equal(read.user_data, in.user_data));
    assert_int_equal(read.owned_count, version >= 1 ? 3 : 0);
    if (version >= 1) {
        assert_true(bytes_equal(read.owned[2].topic, topics[1]));
        assert_int_equal(read.owned[1].partition, 3);
    }
    assert_int_equal(read.generation, version >= 2 ? 5 : -1);
    assert_true(version >= 3 ? bytes_equal(read.rack, in.rack) : read.rack.data == NULL);
    subscription_deinit(&read);
    /* Every cut is damage, and nothing behind it is read. */
    for (size_t size = 0; size < expected.size; size++) {
        uint8_t *copy = malloc(size + 1);
        memcpy(copy, expected.data, size);
        assert_int_equal(subscription_decode(bytes_of(copy, size), &read), ERR_CORRUPT);
        free(copy);
    }
    buf_deinit(&out);
}

static void test_subscriptions(void **state)
{
    (void)state;
    check_subscription(0, "0000" TOPICS "00000001 75");
    check_subscription(1, "0001" TOPICS "00000001 75" OWNED);
    check_subscription(2, "0002" TOPICS "00000001 75" OWNED "00000005");
    check_subscription(3, "0003" TOPICS "00000001 75" OWNED "00000005 0002 7231");
}

static void test_nulls_and_newer_versions(void **state)
{
    (void)state;
    uint8_t bytes[128];
    struct subscription read;
    assert_int_equal(
        subscription_decode(hex("0003 00000000 ffffffff 00000000 ffffffff ffff", bytes), &read), 0);
    assert_null(read.user_data.data);
    assert_null(read.rack.data);
    assert_int_equal(read.generation, -1);
    struct buf out = {0};
    subscription_encode(&out, &read);
    assert_int_equal(out.size, 20);
    assert_memory_equal(out.data, bytes, 20);
    subscription_deinit(&read);
    assert_int_equal(subscription_decode(
                         hex("0009 00000000 ffffffff 00000000 00000002 ffff beef", bytes), &read),
                     0);
    assert_int_equal(read.generation, 2);
    subscription_deinit(&read);
    buf_deinit(&out);
}

static void test_sizes_that_lie(void **state)
{
    (void)state;
    uint8_t bytes[64];
    struct subscription read;
    static const char *const lies[] = {"ffff 00000000 ffffffff",
                                       "0000 7fffffff ffffffff",
                                       "0000 ffffffff ffffffff",
                                       "0000 00000001 ffff",
                                       "0000 00000000 7fffffff",
                                       "0000 00000000 fffffffe",
                                       "0001 00000000 ffffffff 00000001 0001 61 40000000"};
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++)
        assert_int_equal(subscription_decode(hex(lies[i], bytes), &read), ERR_CORRUPT);
}

static void test_assignments(void **state)
{
    (void)state;
    uint8_t bytes[128];
    struct bytes expected = hex("0001" OWNED "ffffffff", bytes);
    struct bytes a = bytes_of("a", 1), bb = bytes_of("bb", 2);
    struct named_partition partitions[] = {{a, 0}, {a, 3}, {bb, 7}};
    struct member_assignment in = {.version = 1, .partitions = partitions, .partition_count = 3};
    struct buf out = {0};
    member_assignment_encode(&out, &in);
    assert_int_equal(out.size, expected.size);
    assert_memory_equal(out.data, expected.data, expected.size);
    struct member_assignment read;
    for (size_t size = 0; size < expected.size; size++) {
        uint8_t *copy = malloc(size + 1);
        memcpy(copy, expected.data, size);
        assert_int_equal(member_assignment_decode(bytes_of(copy, size), &read), ERR_CORRUPT);
        free(copy);
    }
    assert_int_equal(member_assignment_decode(expected, &read), 0);
    assert_int_equal(read.partition_count, 3);
    assert_int_equal(read.partitions[2].partition, 7);
    member_assignment_deinit(&read);
    buf_deinit(&out);
}

static void test_sticky_data(void **state)
{
    (void)state;
    uint8_t bytes[128];
    struct bytes expected = hex(OWNED "0000000b", bytes);
    struct bytes a = bytes_of("a", 1), bb = bytes_of("bb", 2);
    struct named_partition partitions[] = {{a, 0}, {a, 3}, {bb, 7}}, *read;
    struct buf out = {0};
    size_t count;
    int32_t generation;
    sticky_data_encode(&out, partitions, 3, 11);
    assert_int_equal(out.size, expected.size);
    assert_memory_equal(out.data, expected.data, expected.size);
    assert_int_equal(sticky_data_decode(expected, &read, &count, &generation), 0);
    assert_int_equal(count, 3);
    assert_int_equal(generation, 11);
    free(read);
    expected.size -= 4; /* the first version */
    assert_int_equal(sticky_data_decode(expected, &read, &count, &generation), 0);
    assert_int_equal(generation, -1);
    free(read);
    expected.size -= 1;
    assert_int_equal(sticky_data_decode(expected, &read, &count, &generation), ERR_CORRUPT);
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_subscriptions),  cmocka_unit_test(test_nulls_and_newer_versions),
        cmocka_unit_test(test_sizes_that_lie), cmocka_unit_test(test_assignments),
        cmocka_unit_test(test_sticky_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
