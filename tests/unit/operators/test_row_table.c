/* test_row_table.c: a row table says what an array of values says, whatever is in memory, in the
 * store, or on the way there.
 *
 * A life: two tables over one store, as two operators of a task have them. Commits go into a list of
 * records; the store follows some commits behind, through state.h as a checkpoint does; a crash
 * forgets tables and what was not committed, and the store is kept as it lies or built anew from the
 * records. The model is an array: number, bucket, key → value. Nothing of the table's own is asked
 * what should be there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "operators/op.h"
#include "operators/row_table.h"
#include "runtime/state/state.h"
#include "tests/support/scratch_dir.h"

enum {
    TABLES = 2,
    BUCKETS = 12, /* the first one is ROW_BUCKET_NONE */
    KEYS = 40,
    LONG_KEYS = 4, /* the last ones: they share more bytes than LMDB's keys have */
    LONG_BYTES = 700,
    VALUE_BYTES_MAX = 300,
    LIVES = 150,
    STEPS = 250,
    BATCH = 100,
    PLAN = 7,
};

struct record {
    uint8_t *key, *value; /* value NULL: a tombstone */
    size_t key_bytes, value_bytes;
};
struct records {
    struct record *items;
    size_t count, capacity;
};

struct life {
    char *dir;
    uint64_t random;
    struct state *state;
    struct op_env env;
    struct row_table *tables[TABLES];
    struct records log;            /* all committed ones, then those of the commit being made */
    size_t commit_ends[STEPS + 2]; /* of commit i: where it ended in the log */
    int64_t commits, stored;       /* how many; how many the store has */
    int values[TABLES][BUCKETS][KEYS], committed[TABLES][BUCKETS][KEYS]; /* 0: no row */
    bool was_logged[TABLES][BUCKETS][KEYS];
};
static const uint8_t numbers[TABLES] = {3, 255};

static uint32_t draw(struct life *life, uint32_t below)
{
    life->random ^= life->random << 13;
    life->random ^= life->random >> 7;
    life->random ^= life->random << 17;
    return (uint32_t)((life->random >> 11) % below);
}

static int64_t bucket_ms(int bucket)
{
    return bucket == 0 ? ROW_BUCKET_NONE : (bucket - 4) * INT64_C(1000);
}
static int bucket_number(int64_t ms)
{
    return ms == ROW_BUCKET_NONE ? 0 : (int)(ms / 1000) + 4;
}

static struct bytes key_of(int key, char text[LONG_BYTES])
{
    if (key == 0)
        return bytes_of(text, 0);
    if (key < KEYS - LONG_KEYS)
        return bytes_of(text, (size_t)snprintf(text, LONG_BYTES, "key%d", key));
    memset(text, 'k', LONG_BYTES);
    text[LONG_BYTES - 1] = (char)key;
    return bytes_of(text, LONG_BYTES);
}
static int key_number(struct bytes key)
{
    if (key.size == 0)
        return 0;
    return key.size == LONG_BYTES ? key.data[LONG_BYTES - 1] : atoi((const char *)key.data + 3);
}

/* The length goes with the value, so that rows grow and shrink. */
static struct bytes value_of(int value, char text[VALUE_BYTES_MAX])
{
    size_t size = 12 + (size_t)value * 37 % (VALUE_BYTES_MAX - 12);
    memset(text, 'v', size);
    snprintf(text, size, "%d", value);
    return bytes_of(text, size);
}
static void assert_value(struct bytes actual, int expected)
{
    char text[VALUE_BYTES_MAX];
    if (expected == 0) {
        assert_null(actual.data);
        return;
    }
    struct bytes value = value_of(expected, text);
    assert_true(bytes_equal(actual, value));
}

/* ---- commits and the store ---- */

static uint8_t *copy_of(struct bytes bytes)
{
    if (bytes.data == NULL)
        return NULL;
    uint8_t *copy = malloc(bytes.size + 1);
    assert_non_null(copy);
    memcpy(copy, bytes.data, bytes.size);
    copy[bytes.size] = 0;
    return copy;
}

static int table_of_number(uint8_t number)
{
    return number == numbers[0] ? 0 : 1;
}

static int64_t big_endian(const uint8_t *at)
{
    uint64_t number = 0;
    for (int i = 0; i < 8; i++)
        number = number << 8 | at[i];
    return (int64_t)(number - (UINT64_C(1) << 63));
}

static int add_record(void *context, struct bytes key, struct bytes value)
{
    struct life *life = context;
    struct records *log = &life->log;
    if (log->count == log->capacity) {
        log->capacity = log->capacity * 2 + 64;
        log->items = realloc(log->items, log->capacity * sizeof *log->items);
        assert_non_null(log->items);
    }
    log->items[log->count++] = (struct record){copy_of(key), copy_of(value), key.size, value.size};
    /* The key's form, as documented; and no tombstone of what was never written. */
    assert_true(key.size >= 9);
    int table = table_of_number(key.data[0]), bucket = bucket_number(big_endian(key.data + 1)),
        number = key_number(bytes_of(log->items[log->count - 1].key + 9, key.size - 9));
    assert_int_equal(key.data[0], numbers[table]);
    assert_true(value.data != NULL || life->was_logged[table][bucket][number]);
    assert_value(value, life->values[table][bucket][number]);
    life->was_logged[table][bucket][number] = true;
    return 0;
}

static void commit(struct life *life)
{
    for (int table = 0; table < TABLES; table++)
        assert_int_equal(row_table_save(life->tables[table], life->commits, NULL), 0);
    memcpy(life->committed, life->values, sizeof life->values);
    life->commit_ends[life->commits++] = life->log.count;
}

static void apply(struct life *life, size_t from, size_t to)
{
    const struct state_position position = {.topic_id = {1}, .offset = (int64_t)to};
    assert_int_equal(state_apply_begin(life->state, NULL), 0);
    for (size_t i = from; i < to; i++) {
        const struct record *record = &life->log.items[i];
        assert_int_equal(state_apply_put(life->state, bytes_of(record->key, record->key_bytes),
                                         bytes_of(record->value, record->value_bytes), NULL),
                         0);
    }
    assert_int_equal(state_apply_commit(life->state, &position, false, NULL), 0);
    assert_int_equal(state_renew(life->state, NULL), 0);
}

/* The store comes as far as that commit. */
static void follow(struct life *life, int64_t commits)
{
    size_t from = life->stored > 0 ? life->commit_ends[life->stored - 1] : 0;
    if (commits == life->stored)
        return;
    apply(life, from, life->commit_ends[commits - 1]);
    life->stored = commits;
}

static char *state_dir(const struct life *life)
{
    return scratch_path(life->dir, "state");
}

static void open_tables(struct life *life)
{
    struct state_statistics statistics;
    char *dir = state_dir(life);
    assert_int_equal(state_open(dir, PLAN, NULL, &life->state, NULL), 0);
    free(dir);
    follow(life, life->commits); /* as a restore does */
    assert_int_equal(state_stat(life->state, &statistics, NULL), 0);
    life->env = (struct op_env){.state = life->state,
                                .changelog = add_record,
                                .context = life,
                                .store_may_have = statistics.entries > 0};
    for (int table = 0; table < TABLES; table++)
        assert_int_equal(row_table_create(&life->env, numbers[table], &life->tables[table]), 0);
}

static void close_tables(struct life *life)
{
    for (int table = 0; table < TABLES; table++)
        row_table_destroy(life->tables[table]);
    state_close(life->state);
}

static void crash(struct life *life, bool store_is_lost)
{
    close_tables(life);
    if (store_is_lost) {
        char *dir = state_dir(life);
        assert_int_equal(state_destroy(dir, NULL), 0);
        free(dir);
        life->stored = 0;
    }
    memcpy(life->values, life->committed, sizeof life->values);
    open_tables(life);
}

/* ---- what owners do ---- */

static void get_many(struct life *life)
{
    struct row_table *table;
    static char texts[BATCH][LONG_BYTES];
    int64_t buckets[BATCH] = {0};
    int bucket_numbers[BATCH], key_numbers[BATCH];
    struct bytes keys[BATCH] = {0}, values[BATCH];
    uint32_t count = draw(life, BATCH + 1);
    int number = (int)draw(life, TABLES);
    bool is_timeless = draw(life, 4) == 0;
    table = life->tables[number];
    for (uint32_t i = 0; i < count; i++) {
        bucket_numbers[i] = is_timeless ? 0 : (int)draw(life, BUCKETS);
        key_numbers[i] = (int)draw(life, KEYS);
        buckets[i] = bucket_ms(bucket_numbers[i]);
        keys[i] = key_of(key_numbers[i], texts[i]);
    }
    assert_int_equal(
        row_table_get_many(table, count, is_timeless ? NULL : buckets, keys, values, NULL), 0);
    for (uint32_t i = 0; i < count; i++)
        assert_value(values[i], life->values[number][bucket_numbers[i]][key_numbers[i]]);
}

static void put_some(struct life *life)
{
    char key_text[LONG_BYTES], value_text[VALUE_BYTES_MAX];
    uint32_t count = draw(life, 40), removals = 2 + draw(life, 4);
    for (uint32_t i = 0; i < count; i++) {
        int table = (int)draw(life, TABLES), bucket = (int)draw(life, BUCKETS),
            key = (int)draw(life, KEYS);
        int value = draw(life, removals) == 0 ? 0 : 1 + (int)draw(life, 100000);
        struct bytes bytes = value != 0 ? value_of(value, value_text) : (struct bytes){NULL, 0};
        assert_int_equal(row_table_put(life->tables[table], bucket_ms(bucket),
                                       key_of(key, key_text), bytes, NULL),
                         0);
        life->values[table][bucket][key] = value;
    }
}

struct expected {
    struct life *life;
    int table;
    int64_t before_ms, last_ms;
    uint32_t count;
};
static int expire_one(void *context, int64_t ms, struct bytes key, struct bytes value)
{
    struct expected *expected = context;
    uint8_t *copy = copy_of(key);
    int bucket = bucket_number(ms), number = key_number(bytes_of(copy, key.size));
    int *slot = &expected->life->values[expected->table][bucket][number];
    free(copy);
    assert_true(ms < expected->before_ms && ms >= expected->last_ms && ms != ROW_BUCKET_NONE);
    assert_int_not_equal(*slot, 0);
    assert_value(value, *slot);
    *slot = 0;
    expected->last_ms = ms;
    expected->count++;
    return 0;
}

static uint32_t rows_before(const struct life *life, int table, int64_t before_ms)
{
    uint32_t count = 0;
    for (int bucket = 1; bucket < BUCKETS; bucket++)
        for (int key = 0; key < KEYS && bucket_ms(bucket) < before_ms; key++)
            count += life->values[table][bucket][key] != 0;
    return count;
}

static void expire(struct life *life)
{
    int table = (int)draw(life, TABLES);
    int64_t before_ms = bucket_ms(1 + (int)draw(life, BUCKETS)) + (int64_t)draw(life, 2) * 500;
    struct expected expected = {life, table, before_ms, INT64_MIN, 0};
    uint32_t most = 1 + draw(life, 60), there = rows_before(life, table, before_ms);
    int rc = row_table_expire(life->tables[table], before_ms, most, expire_one, &expected, NULL);
    assert_int_equal(expected.count, there < most ? there : most);
    assert_int_equal(rc, there > most);
}

static void evict(struct life *life)
{
    size_t target = draw(life, 3) == 0 ? 0 : draw(life, 40000);
    for (int table = 0; table < TABLES; table++)
        row_table_evict(life->tables[table], life->stored - 1, target);
}

/* ---- lives ---- */

static void assert_all(struct life *life)
{
    char text[LONG_BYTES];
    for (int table = 0; table < TABLES; table++)
        for (int bucket = 0; bucket < BUCKETS; bucket++)
            for (int key = 0; key < KEYS; key++) {
                struct bytes name = key_of(key, text), value;
                int64_t ms = bucket_ms(bucket);
                assert_int_equal(
                    row_table_get_many(life->tables[table], 1, &ms, &name, &value, NULL), 0);
                assert_value(value, life->values[table][bucket][key]);
            }
}

static int count_pair(void *context, struct bytes key, struct bytes value)
{
    struct life *life = context;
    uint8_t *copy = copy_of(key);
    int table = table_of_number(copy[0]), bucket = bucket_number(big_endian(copy + 1)),
        number = key_number(bytes_of(copy + 9, key.size - 9));
    free(copy);
    assert_value(value, life->values[table][bucket][number]);
    life->values[table][bucket][number] = 0;
    return 0;
}

/* All that was saved, and nothing else, is in the store when it has followed; tables of which all is
 * there can be empty. */
static void assert_end(struct life *life)
{
    commit(life);
    follow(life, life->commits);
    for (int table = 0; table < TABLES; table++) {
        row_table_evict(life->tables[table], life->commits - 1, 0);
        assert_int_equal(row_table_entries(life->tables[table]), 0);
    }
    assert_all(life);
    assert_int_equal(state_scan(life->state, (struct bytes){NULL, 0}, (struct bytes){NULL, 0},
                                count_pair, life, NULL),
                     0);
    for (int table = 0; table < TABLES; table++)
        for (int bucket = 0; bucket < BUCKETS; bucket++)
            for (int key = 0; key < KEYS; key++)
                assert_int_equal(life->values[table][bucket][key], 0);
}

static void step(struct life *life)
{
    uint32_t what = draw(life, 100);
    if (what < 35)
        put_some(life);
    else if (what < 55)
        get_many(life);
    else if (what < 70)
        commit(life);
    else if (what < 80)
        follow(life, life->stored + draw(life, (uint32_t)(life->commits - life->stored) + 1));
    else if (what < 88)
        evict(life);
    else if (what < 97)
        expire(life);
    else
        crash(life, draw(life, 3) == 0);
}

static struct life *begin_life(uint64_t seed)
{
    struct life *life = calloc(1, sizeof *life);
    assert_non_null(life);
    life->random = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    life->dir = scratch_dir_create();
    open_tables(life);
    return life;
}

static void end_life(struct life *life)
{
    close_tables(life);
    for (size_t i = 0; i < life->log.count; i++) {
        free(life->log.items[i].key);
        free(life->log.items[i].value);
    }
    free(life->log.items);
    scratch_dir_remove(life->dir);
    free(life);
}

static void live(uint64_t seed)
{
    struct life *life = begin_life(seed);
    for (int i = 0; i < STEPS; i++)
        step(life);
    assert_all(life);
    assert_end(life);
    end_life(life);
}

static void test_random_lives(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= LIVES; seed++)
        live(seed);
}

/* ---- single promises ---- */

static void put_value(struct life *life, int bucket, int key, int value)
{
    char key_text[LONG_BYTES], value_text[VALUE_BYTES_MAX];
    struct bytes bytes = value != 0 ? value_of(value, value_text) : (struct bytes){NULL, 0};
    assert_int_equal(
        row_table_put(life->tables[0], bucket_ms(bucket), key_of(key, key_text), bytes, NULL), 0);
    life->values[0][bucket][key] = value;
}

static void test_rows_that_come_and_go_leave_nothing(void **unused)
{
    (void)unused;
    struct life *life = begin_life(1);
    put_value(life, 3, 5, 17);
    put_value(life, 3, 5, 0);
    put_value(life, 3, 6, 0);
    commit(life);
    assert_int_equal(life->log.count, 0);
    assert_int_equal(row_table_entries(life->tables[0]), 0);
    put_value(life, 3, 5, 18); /* once each, with its last value */
    put_value(life, 3, 5, 19);
    commit(life);
    assert_int_equal(life->log.count, 1);
    commit(life);
    assert_int_equal(life->log.count, 1);
    put_value(life, 3, 5, 0);
    put_value(life, 3, 5, 20);
    commit(life);
    assert_int_equal(life->log.count, 2);
    end_life(life);
}

/* Hidden until the store knows, and then forgotten without being asked for room. */
static void test_removed_rows_are_forgotten(void **unused)
{
    (void)unused;
    struct life *life = begin_life(1);
    put_value(life, 2, 1, 5);
    commit(life);
    follow(life, 1);
    put_value(life, 2, 1, 0);
    commit(life);
    row_table_evict(life->tables[0], 0, SIZE_MAX);
    assert_int_equal(row_table_entries(life->tables[0]), 1);
    assert_all(life);
    follow(life, 2);
    row_table_evict(life->tables[0], 1, SIZE_MAX);
    assert_int_equal(row_table_entries(life->tables[0]), 0);
    assert_all(life);
    end_life(life);
}

/* What changed since the last commit, or is on its way to the store, stays. */
static void test_what_the_store_lacks_is_not_evicted(void **unused)
{
    (void)unused;
    struct life *life = begin_life(1);
    for (int key = 1; key <= 5; key++)
        put_value(life, 4, key, key);
    commit(life);
    for (int key = 6; key <= 8; key++)
        put_value(life, 4, key, key);
    commit(life);
    put_value(life, 4, 9, 9);
    follow(life, 1);
    row_table_evict(life->tables[0], 0, 0);
    assert_int_equal(row_table_entries(life->tables[0]), 4);
    assert_all(life);
    end_life(life);
}

/* Of rows that may go, those go first that nobody asked for since the last round. */
static void test_used_rows_stay_longer(void **unused)
{
    (void)unused;
    struct life *life = begin_life(1);
    char text[LONG_BYTES];
    int64_t ms = bucket_ms(4);
    struct bytes name = key_of(7, text), value;
    for (int key = 1; key < 30; key++)
        put_value(life, 4, key, key);
    commit(life);
    follow(life, 1);
    for (int i = 0; i < 28; i++) { /* one row at a time */
        row_table_evict(life->tables[0], 0, row_table_bytes(life->tables[0]) - 1);
        assert_int_equal(row_table_get_many(life->tables[0], 1, &ms, &name, &value, NULL), 0);
        assert_value(value, 7);
    }
    assert_int_equal(row_table_entries(life->tables[0]), 1);
    assert_int_equal(row_table_expire(life->tables[0], ROW_BUCKET_NONE, 1, NULL, NULL, NULL), 0);
    end_life(life);
}

static void test_long_keys_are_refused(void **unused)
{
    (void)unused;
    struct life *life = begin_life(1);
    struct diag diag = {0};
    static uint8_t key[ROW_KEY_MAX_BYTES + 1];
    assert_int_equal(
        row_table_put(life->tables[0], 0, bytes_of(key, sizeof key), bytes_text("v"), &diag),
        ERR_TOO_LARGE);
    assert_non_null(strstr(diag.text, "60001 bytes"));
    assert_int_equal(row_table_entries(life->tables[0]), 0);
    end_life(life);
}

int main(void)
{
    scratch_dir_in_memory();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_lives),
        cmocka_unit_test(test_rows_that_come_and_go_leave_nothing),
        cmocka_unit_test(test_removed_rows_are_forgotten),
        cmocka_unit_test(test_what_the_store_lacks_is_not_evicted),
        cmocka_unit_test(test_used_rows_stay_longer),
        cmocka_unit_test(test_long_keys_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
