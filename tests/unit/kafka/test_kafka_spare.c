/* test_kafka_spare.c: which large buffers are kept, which one a request gets, and that all of them together stay small. */
#include "log/kafka/kafka_internal.h"

#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static struct kafka_server *make_server(void **state)
{
    struct kafka_server *server = calloc(1, sizeof *server);
    assert_non_null(server);
    *state = server;
    return server;
}

static void end_server(struct kafka_server *server)
{
    kafka_spare_deinit(server);
    free(server);
}

static struct buf buf_of(size_t capacity)
{
    struct buf buf;
    buf_init(&buf, 0);
    assert_non_null(buf_reserve(&buf, capacity));
    assert_int_equal(buf.capacity, capacity);
    return buf;
}

static bool keeps(struct kafka_server *server, size_t capacity)
{
    struct buf buf = buf_of(capacity);
    kafka_spare_give(server, &buf);
    bool kept = buf.data == NULL;
    buf_deinit(&buf);
    return kept;
}

static size_t kept_bytes(const struct kafka_server *server)
{
    size_t bytes = 0;
    for (int i = 0; i < SPARE_COUNT; i++)
        bytes += server->spares[i].capacity;
    assert_int_equal(bytes, server->spare_bytes);
    return bytes;
}

static void test_the_closest_one_is_taken(void **state)
{
    struct kafka_server *server = make_server(state);
    struct buf buf = {.limit = 1 << 20};
    assert_true(keeps(server, 1 << 20));
    assert_true(keeps(server, 256 << 10));
    assert_true(keeps(server, 512 << 10));
    buf_append(&buf, "begun", 5);
    kafka_spare_take(server, 300 << 10, 1 << 20, &buf);
    assert_int_equal(buf.capacity, 512 << 10);
    assert_int_equal(buf.limit, 1 << 20);
    assert_int_equal(buf.size, 5);
    assert_memory_equal(buf.data, "begun", 5);
    assert_int_equal(kept_bytes(server), (1 << 20) + (256 << 10));
    /* One that is much too large is left for who needs it. */
    struct buf other = {0};
    kafka_spare_take(server, 300 << 10, 600 << 10, &other);
    assert_null(other.data);
    kafka_spare_give(server, &buf);
    assert_null(buf.data);
    assert_int_equal(kept_bytes(server), (1 << 20) + (768 << 10));
    end_server(server);
}

static void test_what_is_kept_is_bounded(void **state)
{
    struct kafka_server *server = make_server(state);
    assert_false(keeps(server, SPARE_LEAST_BYTES / 2));
    for (int i = 0; i < SPARE_COUNT; i++)
        assert_true(keeps(server, SPARE_LEAST_BYTES));
    assert_false(keeps(server, SPARE_LEAST_BYTES));
    assert_int_equal(kept_bytes(server), SPARE_COUNT * SPARE_LEAST_BYTES);
    /* Larger ones take the places of smaller ones until all that may be kept is kept. */
    for (size_t capacity = SPARE_LEAST_BYTES; capacity <= SPARE_BYTES; capacity *= 2)
        for (int i = 0; i < SPARE_COUNT; i++) {
            keeps(server, capacity);
            assert_true(kept_bytes(server) <= SPARE_BYTES);
        }
    assert_true(kept_bytes(server) > SPARE_BYTES / 2);
    assert_false(keeps(server, 2 * SPARE_BYTES));
    end_server(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_closest_one_is_taken),
        cmocka_unit_test(test_what_is_kept_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
