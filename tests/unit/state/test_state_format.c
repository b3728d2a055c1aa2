/* test_state_format.c: stored keys keep the order of keys, stored values give back what went in,
 * and nothing else is believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include "runtime/state/state_format.h"

static uint64_t random_state = 88172645463325252ULL;
static uint64_t random_u64(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}
static uint32_t random_below(uint32_t bound)
{
    return (uint32_t)(random_u64() % bound);
}

static int sign(int order)
{
    return (order > 0) - (order < 0);
}

/* memcmp, then the shorter first, as LMDB compares. */
static int naive_order(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size)
{
    size_t size = a_size < b_size ? a_size : b_size;
    int order = size > 0 ? memcmp(a, b, size) : 0;
    return order != 0 ? sign(order) : (a_size > b_size) - (a_size < b_size);
}

static size_t random_key(uint8_t buffer[700])
{
    static const size_t sizes[] = {0, 1, 2, 3, 10, 478, 479, 480, 481, 482, 700};
    size_t size = sizes[random_below(11)];
    memset(buffer, random_below(3) == 0 ? 0 : 'a', size);
    for (int i = 0; i < 2 && size > 0; i++)
        buffer[random_below((uint32_t)size)] = (uint8_t)random_below(3);
    return size;
}

static void stored_keys_keep_the_order(void **unused)
{
    (void)unused;
    for (int i = 0; i < 200000; i++) {
        uint8_t a[700], b[700];
        size_t a_size = random_key(a), b_size = random_key(b);
        struct stored_key x, y;
        stored_key_encode(bytes_of(a, a_size), &x);
        stored_key_encode(bytes_of(b, b_size), &y);
        assert_true(x.size >= 1 && x.size <= 511);
        int expected = naive_order(a, a_size, b, b_size);
        int actual = naive_order(x.data, x.size, y.data, y.size);
        bool both_hashed =
            stored_is_long(x.size) && stored_is_long(y.size) && memcmp(x.data, y.data, 480) == 0;
        if (both_hashed)
            assert_int_equal(actual == 0, expected == 0);
        else
            assert_int_equal(actual, expected);
    }
}

static void values_come_back_and_damage_is_found(void **unused)
{
    (void)unused;
    for (int i = 0; i < 2000; i++) {
        uint8_t key[700], value[64], stored_value[1000];
        size_t key_size = random_key(key), value_size = random_below(sizeof value);
        for (size_t b = 0; b < value_size; b++)
            value[b] = (uint8_t)random_u64();
        struct stored_key stored;
        struct bytes whole = bytes_of(key, key_size), out_key, out_value;
        stored_key_encode(whole, &stored);
        size_t size = stored_value_size(stored.size, key_size, value_size);
        assert_true(size <= sizeof stored_value);
        stored_value_encode(stored.size, whole, bytes_of(value, value_size), stored_value);
        struct bytes k = bytes_of(stored.data, stored.size);
        assert_int_equal(stored_decode(k, bytes_of(stored_value, size), &out_key, &out_value), 0);
        assert_true(bytes_equal(out_key, whole));
        assert_true(bytes_equal(out_value, bytes_of(value, value_size)));
        for (size_t cut = 0; cut < size; cut += 1 + random_below(20)) {
            uint8_t *exact = malloc(cut + 1);
            memcpy(exact, stored_value, cut);
            assert_int_equal(stored_decode(k, bytes_of(exact, cut), &out_key, &out_value),
                             ERR_CORRUPT);
            free(exact);
        }
        for (int flips = 0; flips < 20; flips++) {
            size_t at = random_below((uint32_t)size);
            uint8_t bit = (uint8_t)(1u << random_below(8));
            stored_value[at] ^= bit;
            assert_int_equal(stored_decode(k, bytes_of(stored_value, size), &out_key, &out_value),
                             ERR_CORRUPT);
            stored_value[at] ^= bit;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stored_keys_keep_the_order),
        cmocka_unit_test(values_come_back_and_damage_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
