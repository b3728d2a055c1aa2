/* test_hash.c: published vectors (CRC-32C from RFC 3720 B.4, murmur2 as Kafka's Java client prints
 * it, XXH3 from xxHash's own sanity test) and naive re-implementations over random bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include "runtime/base/hash.h"

static uint32_t naive_crc32c(const uint8_t *p, size_t size)
{
    uint32_t crc = 0xFFFFFFFF;
    for (size_t i = 0; i < size; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78u : 0);
    }
    return ~crc;
}

static void crc32c_matches_rfc_3720(void **state)
{
    (void)state;
    uint8_t bytes[48];
    assert_int_equal(crc32c("123456789", 9), 0xE3069283);
    assert_int_equal(crc32c("", 0), 0);
    memset(bytes, 0, 32);
    assert_int_equal(crc32c(bytes, 32), 0x8A9136AA);
    memset(bytes, 0xff, 32);
    assert_int_equal(crc32c(bytes, 32), 0x62A8AB43);
    for (uint8_t i = 0; i < 32; i++)
        bytes[i] = i;
    assert_int_equal(crc32c(bytes, 32), 0x46DD794E);
    for (uint8_t i = 0; i < 32; i++)
        bytes[i] = (uint8_t)(31 - i);
    assert_int_equal(crc32c(bytes, 32), 0x113FDB5C);
}

static void crc32c_matches_a_bitwise_one_at_any_size_and_alignment(void **state)
{
    (void)state;
    static uint8_t bytes[20000];
    srand(2);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)rand();
    for (size_t size = 0; size < 600; size++)
        assert_int_equal(crc32c(bytes + size % 17, size), naive_crc32c(bytes + size % 17, size));
    for (int i = 0; i < 100; i++) {
        size_t from = (size_t)rand() % 10000, size = (size_t)rand() % 10000;
        assert_int_equal(crc32c(bytes + from, size), naive_crc32c(bytes + from, size));
    }
}

static void murmur2_matches_kafka(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        uint32_t hash;
        int32_t of_12;
    } cases[] = {
        {"kafka", 0xd067cf64, 4},
        {"hello-world", 0x76d725ed, 1},
        {"user-42", 0x5700682c, 4},
        {"foobar", 0xd0e47bbe, 6},
        {"21", 0xc5f2f8ec, 0},
        {"k", 0xa291e5e0, 8},
        /* UtilsTest.testMurmur2 of Apache Kafka */
        {"a-little-bit-long-string", (uint32_t)-985981536, -1},
        {"a-little-bit-longer-string", (uint32_t)-1486304829, -1},
        {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", (uint32_t)-58897971, -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t size = strlen(cases[i].key);
        assert_int_equal(murmur2(cases[i].key, size), cases[i].hash);
        if (cases[i].of_12 >= 0)
            assert_int_equal(murmur2_partition(cases[i].key, size, 12), cases[i].of_12);
        assert_int_equal(murmur2_partition(cases[i].key, size, 1), 0);
    }
    assert_int_equal(murmur2("abc", 3), 479470107); /* UtilsTest */
}

static void murmur2_ignores_alignment(void **state)
{
    (void)state;
    const char text[] = "a-little-bit-long-string";
    char shifted[64];
    for (size_t shift = 0; shift < 8; shift++) {
        memcpy(shifted + shift, text, sizeof text - 1);
        assert_int_equal(murmur2(shifted + shift, sizeof text - 1), (uint32_t)-985981536);
    }
}

static void xxh3_matches_its_sanity_test(void **state)
{
    (void)state;
    /* XXH3 of nothing with seed 0, from xxHash's xxhsum sanity check. */
    assert_true(hash64("", 0) == 0x2D06800538D394C2u);
    struct hash128 empty = hash128("", 0);
    assert_true(empty.low == 0x6001C324468D497Fu && empty.high == 0x99AA06D3014798D8u);
    /* The first byte of the sanity buffer: byte_i = (gen >> 56), gen = PRIME32 at the start. */
    uint64_t generator = 2654435761u;
    uint8_t buffer[6];
    for (size_t i = 0; i < sizeof buffer; i++) {
        buffer[i] = (uint8_t)(generator >> 56);
        generator *= 11400714785074694797u;
    }
    assert_true(hash64(buffer, 1) == 0xC44BDFF4074EECDBu);
    assert_true(hash64(buffer, 6) == 0x27B56A84CD2D7325u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc32c_matches_rfc_3720),
        cmocka_unit_test(crc32c_matches_a_bitwise_one_at_any_size_and_alignment),
        cmocka_unit_test(murmur2_matches_kafka),
        cmocka_unit_test(murmur2_ignores_alignment),
        cmocka_unit_test(xxh3_matches_its_sanity_test),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
