/* test_state_reader.c: readers beside a store's owner: each goes on seeing what it saw, until the store moves, closes, or ten seconds are over; and a thread that writes and grows
 * the store while others read it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/state/state_reader.h"
#include "tests/support/scratch_dir.h"

enum { PLAN = 5, KEYS = 5000 };

static struct state *open_store(const char *dir, const struct state_options *options)
{
    struct state *state;
    struct diag diag = {0};
    if (state_open(dir, PLAN, options, &state, &diag) < 0)
        fail_msg("%s", diag.text);
    return state;
}

/* Every key gets the value `round`, in one commit that ends at offset `round`. */
static void write_round(struct state *state, int64_t round, size_t keys, size_t value_bytes)
{
    static char value[4096];
    struct state_position position = {.topic_id = {1}, .offset = round};
    struct diag diag = {0};
    memset(value, (int)('a' + round % 26), sizeof value);
    assert_int_equal(state_apply_begin(state, &diag), 0);
    for (size_t i = 0; i < keys; i++) {
        char key[16];
        int size = snprintf(key, sizeof key, "k%08zu", i);
        assert_int_equal(state_apply_put(state, bytes_of(key, (size_t)size),
                                         bytes_of(value, value_bytes), &diag),
                         0);
    }
    if (state_apply_commit(state, &position, false, &diag) < 0)
        fail_msg("%s", diag.text);
}

struct sum {
    size_t pairs;
    char value; /* of all of them */
};

static int add_pair(void *context, struct bytes key, struct bytes value)
{
    struct sum *sum = context;
    (void)key;
    if (sum->pairs++ == 0)
        sum->value = (char)value.data[0];
    return (char)value.data[0] == sum->value ? 0 : ERR_CORRUPT;
}

/* Of a reader's snapshot: all pairs are of one round. ERR_STOPPED: it was taken away. */
static int scan(struct state_reader *reader, struct sum *sum)
{
    *sum = (struct sum){0};
    return state_reader_scan(reader, bytes_of("", 0), (struct bytes){NULL, 0}, add_pair, sum, NULL);
}

static void test_a_snapshot_stays(void **unused)
{
    (void)unused;
    char *dir = scratch_dir_create();
    struct state *state = open_store(dir, NULL);
    struct state_reader *first, *second;
    struct sum sum;
    struct bytes value;
    struct arena arena;
    arena_init(&arena, 0);
    write_round(state, 1, 100, 8);
    assert_int_equal(state_reader_open(dir, &first, NULL), 0);
    write_round(state, 2, 200, 8);
    assert_int_equal(state_reader_open(dir, &second, NULL), 0);
    assert_int_equal(scan(first, &sum), 0);
    assert_true(sum.pairs == 100 && sum.value == 'b');
    assert_int_equal(scan(second, &sum), 0);
    assert_true(sum.pairs == 200 && sum.value == 'c');
    assert_int_equal(state_reader_position(first).offset, 1);
    assert_int_equal(state_reader_get(first, bytes_text("k00000150"), &arena, &value, NULL), 0);
    assert_int_equal(state_reader_get(second, bytes_text("k00000150"), &arena, &value, NULL), 1);
    state_close(state); /* and readers are told */
    assert_int_equal(scan(first, &sum), ERR_STOPPED);
    assert_int_equal(state_reader_get(second, bytes_text("k"), &arena, &value, NULL), ERR_STOPPED);
    state_reader_close(first);
    state_reader_close(second);
    assert_int_equal(state_reader_open(dir, &first, NULL), ERR_NOT_FOUND);
    arena_deinit(&arena);
    scratch_dir_remove(dir);
}

static void test_a_snapshot_ends(void **unused)
{
    (void)unused;
    char *dir = scratch_dir_create();
    struct sum sum;
    clock_virtual_start(1772352000000);
    struct state *state = open_store(dir, NULL);
    struct state_reader *reader;
    write_round(state, 1, 10, 8);
    assert_int_equal(state_reader_open(dir, &reader, NULL), 0);
    clock_virtual_advance(STATE_READER_MS - 1);
    write_round(state, 2, 10, 8);
    assert_int_equal(scan(reader, &sum), 0);
    clock_virtual_advance(2);
    assert_int_equal(scan(reader, &sum), 0); /* nobody needs its pages */
    write_round(state, 3, 10, 8);
    assert_int_equal(scan(reader, &sum), ERR_STOPPED);
    state_reader_close(reader);
    state_close(state);
    clock_virtual_stop();
    scratch_dir_remove(dir);
}

/* A server has 128 connections over HTTP, each of which may read; the owner reads, too. */
static void test_many_readers(void **unused)
{
    (void)unused;
    enum { READERS = 200 };
    char *dir = scratch_dir_create();
    struct state *state = open_store(dir, NULL);
    struct state_reader *readers[READERS];
    struct sum sum;
    struct bytes value;
    struct arena arena;
    arena_init(&arena, 0);
    write_round(state, 1, 10, 8);
    state_release(state);
    for (int i = 0; i < READERS; i++)
        assert_int_equal(state_reader_open(dir, &readers[i], NULL), 0);
    assert_int_equal(state_get(state, bytes_text("k00000001"), &arena, &value, NULL), 1);
    for (int i = 0; i < READERS; i++) {
        assert_int_equal(scan(readers[i], &sum), 0);
        state_reader_close(readers[i]);
    }
    state_close(state);
    arena_deinit(&arena);
    scratch_dir_remove(dir);
}

/* Handles that only read are one. */
static void test_read_only_handles(void **unused)
{
    (void)unused;
    struct state_options reading = {.read_only = true, .must_exist = true};
    char *dir = scratch_dir_create();
    struct state *writer = open_store(dir, NULL), *other;
    struct state_reader *reader;
    struct sum sum;
    write_round(writer, 1, 10, 8);
    assert_int_equal(state_open(dir, PLAN, &reading, &other, NULL), ERR_BUSY);
    state_close(writer);
    struct state *first = open_store(dir, &reading), *second = open_store(dir, &reading);
    assert_ptr_equal(first, second);
    assert_int_equal(state_open(dir, PLAN + 1, &reading, &other, NULL), ERR_STATE);
    assert_int_equal(state_open(dir, PLAN, NULL, &other, NULL), ERR_BUSY);
    assert_int_equal(state_reader_open(dir, &reader, NULL), 0);
    state_close(first);
    assert_int_equal(scan(reader, &sum), 0);
    state_close(second);
    assert_int_equal(scan(reader, &sum), ERR_STOPPED);
    state_reader_close(reader);
    writer = open_store(dir, NULL);
    state_close(writer);
    scratch_dir_remove(dir);
}

struct reading {
    const char *dir;
    atomic_bool is_over;
    atomic_int whole, lost;
};

static void *read_often(void *argument)
{
    struct reading *reading = argument;
    while (!atomic_load(&reading->is_over)) {
        struct state_reader *reader;
        struct sum sum;
        if (state_reader_open(reading->dir, &reader, NULL) < 0)
            continue;
        int rc = scan(reader, &sum);
        if (rc == 0 && (sum.pairs == 0 || sum.pairs == KEYS))
            atomic_fetch_add(&reading->whole, 1);
        else if (rc == ERR_STOPPED)
            atomic_fetch_add(&reading->lost, 1);
        else
            abort();
        state_reader_close(reader);
    }
    return NULL;
}

/* The map grows from 64 KiB to many MB while three read: each scan is of one round, or is told that it lost its snapshot. */
static void test_growing_beside_readers(void **unused)
{
    (void)unused;
    struct state_options small = {.map_bytes = 1};
    char *dir = scratch_dir_create();
    struct reading reading = {.dir = dir};
    pthread_t threads[3];
    struct state *state = open_store(dir, &small);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_often, &reading), 0);
    for (int64_t round = 1; round <= 20; round++)
        write_round(state, round, KEYS, (size_t)(round * 40));
    int seen = atomic_load(&reading.whole);
    for (int64_t round = 21; atomic_load(&reading.whole) < seen + 3; round++)
        write_round(state, round, KEYS, 800);
    atomic_store(&reading.is_over, true);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    state_close(state);
    scratch_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_snapshot_stays),       cmocka_unit_test(test_a_snapshot_ends),
        cmocka_unit_test(test_many_readers),           cmocka_unit_test(test_read_only_handles),
        cmocka_unit_test(test_growing_beside_readers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
