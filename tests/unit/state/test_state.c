/* test_state.c: the store against a naive model, and against crashes, damage and a second thread.
 *
 * The model is a plain array of pairs that is searched linearly and sorted with memcmp. Crash tests
 * start this program again with "crash DIR POINT", because a crash point reads its environment once
 * per process and an LMDB environment must not cross a fork. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include <lmdb.h>
#include "runtime/base/io.h"
#include "runtime/state/state.h"
#include "runtime/state/state_format.h"

enum { PLAN = 77 };

/* ---- helpers ---- */

static uint64_t random_state = 88172645463325252ULL;
static uint64_t random_u64(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}
static size_t random_below(size_t bound)
{
    return (size_t)(random_u64() % bound);
}

static char *make_directory(void)
{
    const char *base = getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp";
    char path[512];
    snprintf(path, sizeof path, "%s/weir-state-XXXXXX", base);
    assert_non_null(mkdtemp(path));
    return strdup(path);
}

static void drop_directory(char *dir)
{
    assert_int_equal(io_remove_tree(dir, NULL), 0);
    free(dir);
}

static struct state *open_store(const char *dir, const struct state_options *options)
{
    struct diag diag = {0};
    struct state *state;
    int rc = state_open(dir, PLAN, options, &state, &diag);
    if (rc != 0)
        print_error("state_open: %s\n", diag.text);
    assert_int_equal(rc, 0);
    return state;
}

static int open_code(const char *dir, uint64_t plan, const struct state_options *options)
{
    struct diag diag = {0};
    struct state *state;
    int rc = state_open(dir, plan, options, &state, &diag);
    if (rc == 0)
        state_close(state);
    else {
        assert_null(state);
        assert_true(diag.text[0] != '\0');
    }
    return rc;
}

static struct state_position position_at(int64_t offset)
{
    struct state_position position = {.offset = offset};
    memset(position.topic_id, 0xA5, sizeof position.topic_id);
    return position;
}

static void begin(struct state *state)
{
    assert_int_equal(state_apply_begin(state, NULL), 0);
}

static void put(struct state *state, const char *key, const char *value)
{
    assert_int_equal(state_apply_put(state, bytes_text(key), bytes_text(value), NULL), 0);
}

static int commit_code(struct state *state, int64_t offset, bool durable)
{
    struct state_position position = position_at(offset);
    return state_apply_commit(state, &position, durable, NULL);
}

static void put_one(struct state *state, const char *key, const char *value, int64_t offset)
{
    begin(state);
    put(state, key, value);
    assert_int_equal(commit_code(state, offset, true), 0);
}

static int64_t offset_of(struct state *state)
{
    struct state_position position;
    assert_int_equal(state_renew(state, NULL), 0);
    state_position(state, &position);
    return position.offset;
}

/* The value as text, "(none)" or "(error)"; renews the snapshot. */
static const char *value_of(struct state *state, const char *key, char text[128])
{
    struct arena arena;
    struct bytes value;
    arena_init(&arena, 0);
    assert_int_equal(state_renew(state, NULL), 0);
    int rc = state_get(state, bytes_text(key), &arena, &value, NULL);
    if (rc == 1)
        snprintf(text, 128, "%.*s", (int)value.size, (const char *)value.data);
    else
        strcpy(text, rc == 0 ? "(none)" : "(error)");
    arena_deinit(&arena);
    return text;
}

/* ---- opening ---- */

static void opens_creates_and_reopens(void **unused)
{
    (void)unused;
    char *dir = make_directory(), path[600], text[128];
    snprintf(path, sizeof path, "%s/app/sub-0", dir);
    const struct state_options existing = {.must_exist = true}, reading = {.read_only = true};
    assert_int_equal(open_code(path, PLAN, &existing), ERR_NOT_FOUND);
    assert_int_equal(open_code(path, PLAN, &reading), ERR_NOT_FOUND);
    struct state *state = open_store(path, NULL);
    struct state_position position;
    state_position(state, &position);
    assert_int_equal(position.offset, 0);
    for (size_t i = 0; i < 16; i++)
        assert_int_equal(position.topic_id[i], 0);
    assert_int_equal(open_code(path, PLAN, NULL), ERR_BUSY);
    put_one(state, "a", "1", 5);
    state_close(state);

    assert_int_equal(open_code(path, PLAN + 1, NULL), ERR_STATE);
    assert_int_equal(open_code(path, PLAN + 1, &reading), ERR_STATE);
    assert_int_equal(open_code(path, 0, NULL), ERR_STATE);
    assert_int_equal(open_code(path, 0, &reading), 0);
    state = open_store(path, &existing);
    assert_int_equal(offset_of(state), 5);
    assert_string_equal(value_of(state, "a", text), "1");
    state_close(state);

    struct diag diag = {0};
    assert_int_equal(state_open(path, PLAN, &reading, &state, &diag), 0);
    assert_string_equal(value_of(state, "a", text), "1");
    assert_int_equal(state_apply_begin(state, &diag), ERR_STATE);
    state_close(state);
    assert_int_equal(state_destroy(path, NULL), 0);
    assert_int_equal(state_destroy(path, NULL), 0);
    assert_int_equal(open_code(path, PLAN, &existing), ERR_NOT_FOUND);
    drop_directory(dir);
}

static void refuses_foreign_directories(void **unused)
{
    (void)unused;
    char *dir = make_directory(), path[600];
    /* Another program's LMDB environment. */
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    MDB_val key = {1, "k"}, value = {1, "v"};
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_open(env, dir, 0, 0644), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, NULL, 0, &dbi), 0);
    assert_int_equal(mdb_put(txn, dbi, &key, &value, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
    assert_int_equal(open_code(dir, PLAN, NULL), ERR_CORRUPT);
    assert_int_equal(state_destroy(dir, NULL), 0);

    /* A directory with somebody's files is neither used nor removed. */
    assert_int_equal(io_mkdirs(dir, NULL), 0);
    snprintf(path, sizeof path, "%s/letter.txt", dir);
    assert_int_equal(io_write_file(path, "dear", 4, NULL), 0);
    assert_int_equal(open_code(dir, PLAN, NULL), ERR_CORRUPT);
    assert_int_equal(state_destroy(dir, NULL), ERR_STATE);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(open_code(path, PLAN, NULL), ERR_CORRUPT); /* a file, not a directory */

    /* Garbage in place of the data file. */
    assert_int_equal(io_unlink(path, NULL), 0);
    snprintf(path, sizeof path, "%s/data.mdb", dir);
    char garbage[8192];
    memset(garbage, 'x', sizeof garbage);
    assert_int_equal(io_write_file(path, garbage, sizeof garbage, NULL), 0);
    assert_int_equal(open_code(dir, PLAN, NULL), ERR_CORRUPT);
    drop_directory(dir);
}

/* ---- positions ---- */

static void position_moves_with_the_data_and_never_back(void **unused)
{
    (void)unused;
    char *dir = make_directory(), text[128];
    struct state *state = open_store(dir, NULL);
    put_one(state, "a", "1", 10);
    begin(state);
    assert_int_equal(commit_code(state, 11, false), 0); /* empty apply */
    assert_int_equal(offset_of(state), 11);
    begin(state);
    put(state, "a", "2");
    assert_int_equal(commit_code(state, 10, false), ERR_STATE);
    assert_string_equal(value_of(state, "a", text), "1");
    put_one(state, "a", "3", 11); /* replay of the same position */
    assert_string_equal(value_of(state, "a", text), "3");

    begin(state); /* another topic id: a re-created changelog starts again */
    put(state, "a", "4");
    struct state_position other = {.topic_id = {1}, .offset = 0};
    assert_int_equal(state_apply_commit(state, &other, false, NULL), 0);
    assert_int_equal(offset_of(state), 0);

    begin(state);
    assert_int_equal(state_apply_begin(state, NULL), ERR_STATE);
    put(state, "a", "5");
    state_apply_abort(state);
    assert_string_equal(value_of(state, "a", text), "4");
    state_close(state);
    drop_directory(dir);
}

static void a_snapshot_stays_until_renewed(void **unused)
{
    (void)unused;
    char *dir = make_directory(), text[128];
    struct state *state = open_store(dir, NULL);
    put_one(state, "a", "1", 1);
    assert_string_equal(value_of(state, "a", text), "1");
    put_one(state, "a", "2", 2);
    struct arena arena;
    struct bytes value;
    struct state_position position;
    arena_init(&arena, 0);
    assert_int_equal(state_get(state, bytes_text("a"), &arena, &value, NULL), 1);
    assert_memory_equal(value.data, "1", 1);
    state_position(state, &position);
    assert_int_equal(position.offset, 1);
    state_release(state);
    assert_int_equal(state_get(state, bytes_text("a"), &arena, &value, NULL), 1);
    assert_memory_equal(value.data, "2", 1);
    state_position(state, &position);
    assert_int_equal(position.offset, 2);
    arena_deinit(&arena);
    state_close(state);
    drop_directory(dir);
}

static void delete_and_put_in_one_apply(void **unused)
{
    (void)unused;
    char *dir = make_directory(), text[128];
    struct state *state = open_store(dir, NULL);
    put_one(state, "kept", "0", 1);
    begin(state);
    put(state, "b", "1");
    put(state, "b", NULL);
    put(state, "c", NULL);
    put(state, "c", "2");
    put(state, "kept", "3");
    put(state, "kept", NULL);
    put(state, "kept", "4");
    put(state, "never", NULL);
    put(state, "zz", NULL);
    put(state, "empty", "");
    assert_int_equal(commit_code(state, 2, false), 0);
    assert_string_equal(value_of(state, "b", text), "(none)");
    assert_string_equal(value_of(state, "c", text), "2");
    assert_string_equal(value_of(state, "kept", text), "4");
    assert_string_equal(value_of(state, "never", text), "(none)");
    assert_string_equal(value_of(state, "empty", text), "");
    struct state_statistics statistics;
    assert_int_equal(state_stat(state, &statistics, NULL), 0);
    assert_int_equal(statistics.entries, 3);
    state_close(state);
    drop_directory(dir);
}

static void limits_are_refused(void **unused)
{
    (void)unused;
    char *dir = make_directory();
    struct state *state = open_store(dir, NULL);
    uint8_t *big = calloc(1, STATE_VALUE_MAX_BYTES + 1);
    struct bytes small = bytes_text("x"), found;
    struct arena arena;
    arena_init(&arena, 0);
    begin(state);
    assert_int_equal(state_apply_put(state, bytes_of(big, STATE_KEY_MAX_BYTES + 1), small, NULL),
                     ERR_TOO_LARGE);
    assert_int_equal(state_apply_put(state, small, bytes_of(big, STATE_VALUE_MAX_BYTES + 1), NULL),
                     ERR_TOO_LARGE);
    assert_int_equal(state_apply_put(state, bytes_of(big, STATE_KEY_MAX_BYTES), small, NULL), 0);
    assert_int_equal(state_apply_put(state, small, bytes_of(big, STATE_VALUE_MAX_BYTES), NULL), 0);
    assert_true(state_apply_bytes(state) >= STATE_VALUE_MAX_BYTES);
    assert_int_equal(commit_code(state, 1, false), 0);
    assert_int_equal(state_get(state, bytes_of(big, STATE_KEY_MAX_BYTES), &arena, &found, NULL), 1);
    assert_int_equal(state_get(state, bytes_of(big, STATE_KEY_MAX_BYTES - 1), &arena, &found, NULL),
                     0);
    assert_int_equal(state_get(state, small, &arena, &found, NULL), 1);
    assert_int_equal(found.size, STATE_VALUE_MAX_BYTES);
    arena_deinit(&arena);
    free(big);
    state_close(state);
    drop_directory(dir);
}

/* ---- the model ---- */

struct pair {
    uint8_t *key, *value;
    size_t key_size, value_size;
};
struct model {
    struct pair pairs[4096];
    size_t count;
};

static size_t model_find(const struct model *model, struct bytes key)
{
    size_t i = 0;
    while (i < model->count && !(model->pairs[i].key_size == key.size &&
                                 memcmp(model->pairs[i].key, key.data, key.size) == 0))
        i++;
    return i;
}

static void model_set(struct model *model, struct bytes key, struct bytes value)
{
    size_t at = model_find(model, key);
    if (at < model->count) {
        free(model->pairs[at].key);
        free(model->pairs[at].value);
        model->pairs[at] = model->pairs[--model->count];
    }
    if (value.data == NULL)
        return;
    struct pair *pair = &model->pairs[model->count++];
    *pair = (struct pair){malloc(key.size + 1), malloc(value.size + 1), key.size, value.size};
    memcpy(pair->key, key.data, key.size);
    memcpy(pair->value, value.data, value.size);
}

/* Keys of every sort: empty, zero bytes in front, around the 480-byte border, long with equal
 * beginnings. */
static struct bytes random_key(uint8_t buffer[2048])
{
    static const size_t sizes[] = {0, 1, 2, 3, 8, 16, 479, 480, 481, 495, 496, 497, 511, 512, 1500};
    size_t size = sizes[random_below(sizeof sizes / sizeof *sizes)];
    memset(buffer, random_below(3) == 0 ? 0 : 'k', size);
    if (size > 0 && random_below(2) == 0)
        buffer[random_below(size)] = (uint8_t)random_below(3);
    if (size > 0)
        buffer[size - 1] = (uint8_t)random_below(6);
    return bytes_of(buffer, size);
}

struct scan_check {
    const struct model *model;
    struct bytes from, to, last;
    uint8_t last_key[2048];
    size_t seen;
};

static bool inside(const struct scan_check *check, struct bytes key)
{
    return (check->from.data == NULL || bytes_compare(key, check->from) >= 0) &&
           (check->to.data == NULL || bytes_compare(key, check->to) < 0);
}

static int check_pair(void *context, struct bytes key, struct bytes value)
{
    struct scan_check *check = context;
    size_t at = model_find(check->model, key);
    assert_true(at < check->model->count);
    assert_int_equal(value.size, check->model->pairs[at].value_size);
    assert_memory_equal(value.data, check->model->pairs[at].value, value.size);
    assert_true(inside(check, key));
    /* Ascending, but for long keys with equal first bytes. (An escape byte is the first one of a
     * key with a leading zero.) */
    size_t head = key.size > 0 && key.data[0] == 0 ? 479 : 480;
    bool hashed = check->last.data != NULL && key.size > head && check->last.size > head &&
                  memcmp(key.data, check->last.data, head) == 0;
    if (check->last.data != NULL && !hashed)
        assert_true(bytes_compare(check->last, key) < 0);
    if (key.size > 0)
        memcpy(check->last_key, key.data, key.size);
    check->last = bytes_of(check->last_key, key.size);
    check->seen++;
    return 0;
}

static void check_scan(struct state *state, const struct model *model, struct bytes from,
                       struct bytes to)
{
    struct scan_check check = {.model = model, .from = from, .to = to};
    assert_int_equal(state_scan(state, from, to, check_pair, &check, NULL), 0);
    size_t expected = 0;
    for (size_t i = 0; i < model->count; i++)
        expected += inside(&check, bytes_of(model->pairs[i].key, model->pairs[i].key_size));
    assert_int_equal(check.seen, expected);
}

static void random_changes_match_the_model(void **unused)
{
    (void)unused;
    char *dir = make_directory();
    struct model *model = calloc(1, sizeof *model);
    struct state *state = open_store(dir, NULL);
    struct arena arena;
    arena_init(&arena, 0);
    uint8_t key_bytes[2048], to_bytes[2048], value_bytes[9000];
    for (int64_t round = 0; round < 120; round++) {
        begin(state);
        for (size_t i = random_below(40); i > 0; i--) {
            struct bytes key = random_key(key_bytes);
            size_t size =
                random_below(20) == 0 ? random_below(sizeof value_bytes) : random_below(30);
            for (size_t b = 0; b < size; b++)
                value_bytes[b] = (uint8_t)random_u64();
            struct bytes value = bytes_of(random_below(4) == 0 ? NULL : value_bytes, size);
            assert_int_equal(state_apply_put(state, key, value, NULL), 0);
            model_set(model, key, value);
        }
        assert_int_equal(commit_code(state, round, random_below(10) == 0), 0);
        if (random_below(10) == 0) {
            state_close(state);
            state = open_store(dir, NULL);
        }
        assert_int_equal(offset_of(state), round);
        check_scan(state, model, bytes_of(NULL, 0), bytes_of(NULL, 0));
        for (int i = 0; i < 10; i++) {
            struct bytes from = random_key(key_bytes), to = random_key(to_bytes), value;
            if (random_below(5) == 0)
                to.data = NULL;
            check_scan(state, model, from, to);
            size_t at = model_find(model, from);
            int rc = state_get(state, from, &arena, &value, NULL);
            assert_int_equal(rc, at < model->count);
            if (rc == 1) {
                assert_int_equal(value.size, model->pairs[at].value_size);
                assert_memory_equal(value.data, model->pairs[at].value, value.size);
            }
        }
        arena_reset(&arena);
    }
    for (size_t i = 0; i < model->count; i++) {
        free(model->pairs[i].key);
        free(model->pairs[i].value);
    }
    free(model);
    arena_deinit(&arena);
    state_close(state);
    drop_directory(dir);
}

/* Large batches in random order: exercises the sort, appending and rewriting in the middle. */
struct order_check {
    uint8_t last[64];
    size_t last_size, seen;
};
static int ascending(void *context, struct bytes key, struct bytes value)
{
    struct order_check *check = context;
    assert_true(key.size <= sizeof check->last);
    assert_true(bytes_equal(key, value));
    assert_true(check->seen == 0 ||
                bytes_compare(bytes_of(check->last, check->last_size), key) < 0);
    memcpy(check->last, key.data, key.size);
    check->last_size = key.size;
    check->seen++;
    return 0;
}

static void large_batches_are_sorted(void **unused)
{
    (void)unused;
    char *dir = make_directory();
    struct state *state = open_store(dir, NULL);
    enum { KEYS = 30000 };
    for (int64_t round = 0; round < 4; round++) {
        begin(state);
        for (uint64_t i = 0; i < KEYS; i++) {
            uint64_t number =
                (i * 7919 + (uint64_t)round) % KEYS; /* 7919 is prime to KEYS: a permutation */
            uint8_t key[16];
            store_be64(key, number / 1000 + (round == 3 ? 1000 : 0));
            store_be64(key + 8, number);
            struct bytes b = bytes_of(key, sizeof key);
            assert_int_equal(state_apply_put(state, b, b, NULL), 0);
        }
        assert_int_equal(commit_code(state, round, false), 0);
        struct order_check check = {0};
        assert_int_equal(state_renew(state, NULL), 0);
        assert_int_equal(
            state_scan(state, bytes_of(NULL, 0), bytes_of(NULL, 0), ascending, &check, NULL), 0);
        assert_int_equal(check.seen, round == 3 ? 2 * KEYS : KEYS);
    }
    state_close(state);
    drop_directory(dir);
}

/* Some differ in their first byte, all others only behind twenty equal ones; some are prefixes. */
static void keys_that_differ_far_behind_are_sorted(void **unused)
{
    (void)unused;
    char *dir = make_directory();
    struct state *state = open_store(dir, NULL);
    enum { KEYS = 7000, TAIL = 24 };
    begin(state);
    for (uint64_t i = 0; i < KEYS; i++) {
        uint64_t number = i * 3571 % KEYS; /* prime to KEYS: a permutation */
        uint8_t key[TAIL + 8];
        memset(key, 'x', sizeof key);
        key[0] = (uint8_t)('a' + number % 3);
        store_be64(key + TAIL, number);
        struct bytes b = bytes_of(key, number == 5 ? 1 : number == 6 ? 10 : sizeof key);
        assert_int_equal(state_apply_put(state, b, b, NULL), 0);
    }
    assert_int_equal(commit_code(state, 1, false), 0);
    struct order_check check = {0};
    assert_int_equal(state_renew(state, NULL), 0);
    assert_int_equal(
        state_scan(state, bytes_of(NULL, 0), bytes_of(NULL, 0), ascending, &check, NULL), 0);
    assert_int_equal(check.seen, KEYS);
    state_close(state);
    drop_directory(dir);
}

/* A batch takes memory for the keys that it touches, not for the times that it touches them. */
static void a_key_that_comes_again_takes_no_memory(void **unused)
{
    (void)unused;
    char *dir = make_directory();
    struct state *state = open_store(dir, NULL);
    struct arena arena;
    struct bytes value;
    enum { KEYS = 1000, TIMES = 200 };
    size_t once = 0;
    arena_init(&arena, 0);
    begin(state);
    for (uint32_t i = 0; i < KEYS * TIMES; i++) {
        uint8_t key[8], count[4];
        store_be64(key, i % KEYS + 1);
        store_be32(count, i / KEYS);
        struct bytes put = bytes_of(i % KEYS == 7 && i / KEYS == TIMES - 1 ? NULL : count, 4);
        assert_int_equal(state_apply_put(state, bytes_of(key, 8), put, NULL), 0);
        if (i == KEYS)
            once = state_apply_bytes(state);
    }
    assert_int_equal(state_apply_bytes(state), once);
    assert_int_equal(commit_code(state, 1, false), 0);
    for (uint32_t i = 0; i < KEYS; i++) {
        uint8_t key[8];
        store_be64(key, i + 1);
        assert_int_equal(state_get(state, bytes_of(key, 8), &arena, &value, NULL), i != 7);
        if (i != 7)
            assert_int_equal(load_be32(value.data), TIMES - 1);
    }
    arena_deinit(&arena);
    state_close(state);
    drop_directory(dir);
}

static int stop_third(void *context, struct bytes key, struct bytes value)
{
    (void)key;
    (void)value;
    int *calls = context;
    return ++*calls == 3 ? 1 : 0;
}
static int fail_now(void *context, struct bytes key, struct bytes value)
{
    (void)context;
    (void)key;
    (void)value;
    return ERR_RANGE;
}
static int get_inside(void *context, struct bytes key, struct bytes value)
{
    struct arena arena;
    struct bytes again;
    arena_init(&arena, 0);
    assert_int_equal(state_get(context, key, &arena, &again, NULL), 1);
    assert_true(bytes_equal(again, value));
    arena_deinit(&arena);
    return 0;
}

static void scans_stop_and_fail_on_request(void **unused)
{
    (void)unused;
    char *dir = make_directory();
    struct state *state = open_store(dir, NULL);
    begin(state);
    for (char key[2] = "a"; key[0] <= 'f'; key[0]++)
        put(state, key, "v");
    assert_int_equal(commit_code(state, 1, false), 0);
    int calls = 0;
    struct bytes none = {0};
    assert_int_equal(state_scan(state, none, none, stop_third, &calls, NULL), 1);
    assert_int_equal(calls, 3);
    calls = 0;
    assert_int_equal(state_scan(state, bytes_text("b"), bytes_text("d"), stop_third, &calls, NULL),
                     0);
    assert_int_equal(calls, 2);
    assert_int_equal(state_scan(state, none, none, fail_now, NULL, NULL), ERR_RANGE);
    assert_int_equal(state_scan(state, none, none, get_inside, state, NULL), 0);
    state_close(state);
    drop_directory(dir);
}

/* ---- crashes ---- */

static int crash_child(const char *dir)
{
    struct state *state;
    if (state_open(dir, PLAN, NULL, &state, NULL) != 0)
        return 3;
    struct state_position position = position_at(2);
    if (state_apply_begin(state, NULL) != 0 ||
        state_apply_put(state, bytes_text("a"), bytes_text("new"), NULL) != 0 ||
        state_apply_put(state, bytes_text("b"), bytes_text("new"), NULL) != 0 ||
        state_apply_commit(state, &position, true, NULL) != 0)
        return 4;
    return 5; /* not reached: the crash point ends the process */
}

enum { CUT_KEYS = 60000 };

/* Round 2 (or 3) of many scattered keys, in transactions of at most 1 MiB of pages. */
static int cut_round(struct state *state, int64_t round)
{
    struct state_position position = position_at(round);
    uint8_t key[8], value[40] = {0};
    store_be64(value, (uint64_t)round);
    if (state_apply_begin(state, NULL) != 0)
        return 4;
    for (uint64_t i = 0; i < CUT_KEYS; i++) {
        store_be64(key, (i * 0x9e3779b97f4a7c15ull) ^ (i >> 3));
        if (state_apply_put(state, bytes_of(key, 8), bytes_of(value, sizeof value), NULL) != 0)
            return 4;
    }
    return state_apply_commit(state, &position, false, NULL) == 0 ? 5 : 4;
}

static const struct state_options cut_options = {.dirty_limit_bytes = 1 << 20};

static int cut_child(const char *dir)
{
    struct state *state;
    return state_open(dir, PLAN, &cut_options, &state, NULL) == 0 ? cut_round(state, 2) : 3;
}

static void crash_at(const char *dir, const char *point)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        setenv("WEIR_CRASH_AT", point, 1);
        execl("/proc/self/exe", "test_state", strstr(point, ":1") != NULL ? "crash" : "cut", dir,
              (char *)NULL);
        _exit(99);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 137);
}

static void a_crash_keeps_data_and_position_together(void **unused)
{
    (void)unused;
    static const struct {
        const char *point, *a, *b;
        int64_t offset;
    } cases[] = {{"state_before_commit:1", "old", "(none)", 1},
                 {"state_after_commit:1", "new", "new", 2}};
    for (size_t i = 0; i < 2; i++) {
        char *dir = make_directory(), text[128];
        struct state *state = open_store(dir, NULL);
        put_one(state, "a", "old", 1);
        state_close(state);
        crash_at(dir, cases[i].point);
        state = open_store(dir, NULL);
        assert_int_equal(offset_of(state), cases[i].offset);
        assert_string_equal(value_of(state, "a", text), cases[i].a);
        assert_string_equal(value_of(state, "b", text), cases[i].b);
        put_one(state, "a", "after", 3); /* the lock of the dead writer is taken over */
        assert_string_equal(value_of(state, "a", text), "after");
        state_close(state);
        drop_directory(dir);
    }
}

/* ---- damage ---- */

struct file_bytes {
    char path[600];
    char *data;
    size_t size;
};

static struct file_bytes read_data_file(const char *dir)
{
    struct file_bytes file = {0};
    snprintf(file.path, sizeof file.path, "%s/data.mdb", dir);
    assert_int_equal(io_read_file(file.path, (size_t)1 << 30, &file.data, &file.size, NULL), 0);
    return file;
}

static void flip_bit(const struct file_bytes *file, size_t at, unsigned bit)
{
    int fd;
    uint8_t byte = (uint8_t)((uint8_t)file->data[at] ^ (1u << bit));
    assert_int_equal(io_open(file->path, O_RDWR, 0, &fd, NULL), 0);
    assert_int_equal(io_pwrite(fd, &byte, 1, (int64_t)at, NULL), 0);
    io_close(fd);
}

static void restore_file(const struct file_bytes *file)
{
    int fd;
    assert_int_equal(io_open(file->path, O_RDWR, 0, &fd, NULL), 0);
    assert_int_equal(io_pwrite(fd, file->data, file->size, 0, NULL), 0);
    io_close(fd);
}

static int count_pair(void *context, struct bytes key, struct bytes value)
{
    (void)key;
    (void)value;
    ++*(int *)context;
    return 0;
}

static void flipped_bits_in_values_and_keys_are_found(void **unused)
{
    (void)unused;
    static const char key[] = "the-key-that-we-damage", value[] = "the-value-that-we-damage-too";
    char *dir = make_directory(), long_key[1000];
    memset(long_key, 'L', sizeof long_key - 1);
    long_key[sizeof long_key - 1] = '\0';
    struct state *state = open_store(dir, NULL);
    begin(state);
    put(state, key, value);
    put(state, long_key, value);
    assert_int_equal(commit_code(state, 9, true), 0);
    state_close(state);
    struct file_bytes file = read_data_file(dir);
    struct bytes none = {0};
    int damaged = 0;
    for (const char *at = file.data; at < file.data + file.size; at++) {
        size_t left = (size_t)(file.data + file.size - at);
        const char *pattern = left >= sizeof value && memcmp(at, value, sizeof value - 1) == 0
                                  ? value
                              : left >= sizeof key && memcmp(at, key, sizeof key - 1) == 0 ? key
                              : left >= 500 && memcmp(at, long_key, 400) == 0 ? "LLLLLLLLLLLLLLLL"
                                                                              : NULL;
        if (pattern == NULL)
            continue;
        for (size_t i = 0; i < strlen(pattern); i += 3) {
            flip_bit(&file, (size_t)(at - file.data) + i, (unsigned)(i % 8));
            state = open_store(dir, NULL);
            struct diag diag = {0};
            int calls = 0;
            int rc = state_scan(state, none, none, count_pair, &calls, &diag);
            if (rc != 0) { /* else it was an old copy of the page, or the unread part of a long
                              key's own prefix */
                assert_int_equal(rc, ERR_CORRUPT);
                assert_non_null(strstr(diag.text, dir));
                damaged++;
            } else
                assert_int_equal(calls, 2);
            state_close(state);
            restore_file(&file);
        }
    }
    assert_true(damaged >= 30);
    free(file.data);
    drop_directory(dir);
}

static void a_damaged_header_is_refused(void **unused)
{
    (void)unused;
    char *dir = make_directory();
    struct state *state = open_store(dir, NULL);
    put_one(state, "a", "1", 3);
    state_close(state);
    struct file_bytes file = read_data_file(dir);
    int refused = 0;
    for (size_t at = 0; at + STATE_HEADER_BYTES <= file.size; at++) {
        if (memcmp(file.data + at, "weirstat", 8) != 0)
            continue;
        for (size_t i = 0; i < STATE_HEADER_BYTES; i++) {
            flip_bit(&file, at + i, (unsigned)(i % 8));
            int rc = open_code(dir, PLAN, NULL);
            assert_true(rc == 0 || rc == ERR_CORRUPT); /* 0: an old copy */
            refused += rc == ERR_CORRUPT;
            restore_file(&file);
        }
    }
    assert_int_equal(refused, STATE_HEADER_BYTES);
    free(file.data);
    drop_directory(dir);
}

static void a_cut_file_is_an_error_and_not_a_crash(void **unused)
{
    (void)unused;
    char *dir = make_directory();
    struct state *state = open_store(dir, NULL);
    begin(state);
    for (uint64_t i = 0; i < 5000; i++) {
        uint8_t key[8];
        store_be64(key, i);
        assert_int_equal(state_apply_put(state, bytes_of(key, 8), bytes_of(key, 8), NULL), 0);
    }
    assert_int_equal(commit_code(state, 1, true), 0);
    state_close(state);
    struct file_bytes file = read_data_file(dir);
    struct bytes none = {0};
    for (size_t keep = file.size; keep >= 8192; keep -= keep > 65536 ? 40960 : 4096) {
        assert_int_equal(truncate(file.path, (off_t)keep), 0);
        struct diag diag = {0};
        int rc = state_open(dir, PLAN, NULL, &state, &diag);
        if (rc == 0) {
            int calls = 0;
            rc = state_scan(state, none, none, count_pair, &calls, &diag);
            assert_true(rc == 0 ? calls == 5000 : rc < 0);
            state_close(state);
        }
        if (keep + 8192 < file.size)
            assert_int_equal(rc, ERR_CORRUPT);
        restore_file(&file);
    }
    free(file.data);
    drop_directory(dir);
}

static void newer_formats_are_refused(void **unused)
{
    (void)unused;
    struct state_header header = {.plan_hash = 1}, read;
    uint8_t bytes[STATE_HEADER_BYTES + 8] = {0};
    struct diag diag = {0};
    state_header_encode(&header, bytes);
    assert_int_equal(state_header_decode(bytes_of(bytes, STATE_HEADER_BYTES), &read, &diag), 0);
    for (size_t size = 0; size < STATE_HEADER_BYTES; size++)
        assert_int_equal(state_header_decode(bytes_of(bytes, size), &read, &diag), ERR_CORRUPT);
    store_be32(bytes + 8, 2); /* version 2, with a longer header */
    assert_int_equal(state_header_decode(bytes_of(bytes, sizeof bytes), &read, &diag),
                     ERR_UNSUPPORTED);
}

/* ---- growth ---- */

struct reader {
    struct state *state;
    atomic_bool stop;
    int64_t reads;
};

/* Every committed round r holds value r under each of its keys: a reader sees one round, whole. */
static int same_round(void *context, struct bytes key, struct bytes value)
{
    (void)key;
    int64_t *round = context;
    int64_t seen = (int64_t)load_be64(value.data);
    if (*round < 0)
        *round = seen;
    assert_int_equal(seen, *round);
    return 0;
}

static void *read_rounds(void *context)
{
    struct reader *reader = context;
    struct arena arena;
    arena_init(&arena, 0);
    int64_t last = -1;
    while (!atomic_load(&reader->stop)) {
        assert_int_equal(state_renew(reader->state, NULL), 0);
        struct state_position position;
        state_position(reader->state, &position);
        int64_t round = -1;
        struct bytes none = {0}, value;
        assert_int_equal(state_scan(reader->state, none, none, same_round, &round, NULL), 0);
        assert_true(round >= last);
        assert_true(position.offset <= round || round == -1);
        last = round;
        uint8_t key[8] = {0};
        assert_true(state_get(reader->state, bytes_of(key, 8), &arena, &value, NULL) >= 0);
        arena_reset(&arena);
        reader->reads++;
    }
    arena_deinit(&arena);
    return NULL;
}

static void the_map_grows_under_a_reader(void **unused)
{
    (void)unused;
    char *dir = make_directory();
    const struct state_options options = {.map_bytes = 128 << 10};
    struct state *state = open_store(dir, &options);
    struct reader reader = {.state = state};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, read_rounds, &reader), 0);
    uint8_t value[3000] = {0};
    for (int64_t round = 1; round <= 30; round++) {
        begin(state);
        store_be64(value, (uint64_t)round);
        for (uint64_t i = 0; i < 20 * (uint64_t)round; i++) {
            uint8_t key[8];
            store_be64(key, i);
            assert_int_equal(
                state_apply_put(state, bytes_of(key, 8), bytes_of(value, sizeof value), NULL), 0);
        }
        assert_int_equal(commit_code(state, round, false), 0);
    }
    atomic_store(&reader.stop, true);
    pthread_join(thread, NULL);
    struct state_statistics statistics;
    assert_int_equal(state_renew(state, NULL), 0);
    assert_int_equal(state_stat(state, &statistics, NULL), 0);
    assert_int_equal(statistics.entries, 600);
    assert_true(statistics.map_bytes >= 2 << 20);
    assert_true(reader.reads > 0);
    state_close(state);
    state = open_store(dir, &options); /* a first size below the file's is no obstacle */
    assert_int_equal(offset_of(state), 30);
    state_close(state);
    drop_directory(dir);
}

static void the_map_limit_is_an_error_that_leaves_the_store_usable(void **unused)
{
    (void)unused;
    char *dir = make_directory(), text[128];
    const struct state_options options = {.map_bytes = 128 << 10, .map_limit_bytes = 512 << 10};
    struct state *state = open_store(dir, &options);
    put_one(state, "a", "1", 1);
    uint8_t *large = calloc(1, 1 << 20);
    begin(state);
    assert_int_equal(state_apply_put(state, bytes_text("b"), bytes_of(large, 1 << 20), NULL), 0);
    assert_int_equal(commit_code(state, 2, false), ERR_FULL);
    free(large);
    assert_string_equal(value_of(state, "b", text), "(none)");
    assert_int_equal(offset_of(state), 1);
    put_one(state, "a", "2", 2);
    assert_string_equal(value_of(state, "a", text), "2");
    state_close(state);
    drop_directory(dir);
}

struct rounds {
    size_t by_round[4];
};

static int count_round(void *context, struct bytes key, struct bytes value)
{
    struct rounds *rounds = context;
    (void)key;
    rounds->by_round[load_be64(value.data)]++;
    return 0;
}

/* A batch over the dirty limit takes several transactions. Killed between them, some keys are ahead
 * of the position; the position is not, and applying the same again gives every key. */
static void a_cut_batch_is_replayed_after_a_crash(void **unused)
{
    (void)unused;
    char *dir = make_directory();
    struct state *state = open_store(dir, &cut_options);
    assert_int_equal(cut_round(state, 1), 5);
    state_close(state);
    crash_at(dir, "state_before_commit:3");
    state = open_store(dir, &cut_options);
    assert_int_equal(offset_of(state), 1);
    struct rounds rounds = {0};
    assert_int_equal(
        state_scan(state, bytes_of("", 0), bytes_of(NULL, 0), count_round, &rounds, NULL), 0);
    assert_int_equal(rounds.by_round[1] + rounds.by_round[2], CUT_KEYS);
    assert_true(rounds.by_round[1] > 0 && rounds.by_round[2] > 0);
    assert_int_equal(cut_round(state, 3), 5);
    assert_int_equal(state_renew(state, NULL), 0);
    assert_int_equal(offset_of(state), 3);
    rounds = (struct rounds){0};
    assert_int_equal(
        state_scan(state, bytes_of("", 0), bytes_of(NULL, 0), count_round, &rounds, NULL), 0);
    assert_int_equal(rounds.by_round[3], CUT_KEYS);
    state_close(state);
    drop_directory(dir);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "cut") == 0)
        return cut_child(argv[2]);
    if (argc == 3 && strcmp(argv[1], "crash") == 0)
        return crash_child(argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_creates_and_reopens),
        cmocka_unit_test(refuses_foreign_directories),
        cmocka_unit_test(position_moves_with_the_data_and_never_back),
        cmocka_unit_test(a_snapshot_stays_until_renewed),
        cmocka_unit_test(delete_and_put_in_one_apply),
        cmocka_unit_test(limits_are_refused),
        cmocka_unit_test(random_changes_match_the_model),
        cmocka_unit_test(large_batches_are_sorted),
        cmocka_unit_test(keys_that_differ_far_behind_are_sorted),
        cmocka_unit_test(a_key_that_comes_again_takes_no_memory),
        cmocka_unit_test(scans_stop_and_fail_on_request),
        cmocka_unit_test(a_crash_keeps_data_and_position_together),
        cmocka_unit_test(a_cut_batch_is_replayed_after_a_crash),
        cmocka_unit_test(flipped_bits_in_values_and_keys_are_found),
        cmocka_unit_test(a_damaged_header_is_refused),
        cmocka_unit_test(a_cut_file_is_an_error_and_not_a_crash),
        cmocka_unit_test(newer_formats_are_refused),
        cmocka_unit_test(the_map_grows_under_a_reader),
        cmocka_unit_test(the_map_limit_is_an_error_that_leaves_the_store_usable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
