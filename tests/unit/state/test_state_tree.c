/* test_state_tree.c: many keys at once against LMDB's own lookups and against damaged pages.
 *
 * The store's contents come from a generator that is a pure function of a number, so what must be
 * found is known without asking the store. Pages are damaged in a copy of the map, whose last page
 * ends where the memory ends: a step outside is seen under AddressSanitizer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <lmdb.h>
#include "runtime/base/io.h"
#include "runtime/state/state.h"
#include "runtime/state/state_tree.h"

enum { PLAN = 5, GROUPS = 60000, ODD_KEYS = 3000, MIXED = 1500, KEY_ROOM = 4096 };

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
    return x ^ x >> 31;
}

static char *make_directory(void)
{
    const char *base = getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp";
    char path[512];
    snprintf(path, sizeof path, "%s/weir-tree-XXXXXX", base);
    assert_non_null(mkdtemp(path));
    return strdup(path);
}

static void drop_directory(char *dir)
{
    assert_int_equal(io_remove_tree(dir, NULL), 0);
    free(dir);
}

/* Keys as groups have them, all of one length. */
static struct bytes group_key(uint32_t n, uint8_t *buffer)
{
    int size = snprintf((char *)buffer, KEY_ROOM, "\x05\x0cuser-%07u", n);
    return bytes_of(buffer, (size_t)size);
}

/* Keys of any kind: empty, beginning with 0x00, prefixes of each other, some over 480 bytes. */
static struct bytes odd_key(uint32_t n, uint8_t *buffer)
{
    uint64_t random = mix(n);
    size_t size = n == 0 ? 0 : random % 9 == 0 ? 470 + random / 16 % 600 : random / 16 % 40;
    for (size_t i = 0; i < size; i++)
        buffer[i] = (uint8_t)(mix(n / 3 + i) % 3);
    if (size >= 4)
        memcpy(buffer + size - 4, &n, 4); /* no two are equal, unless they are short */
    return bytes_of(buffer, size);
}

static void put(struct state *state, struct bytes key, struct bytes value)
{
    struct diag diag = {0};
    assert_int_equal(state_apply_put(state, key, value, &diag), 0);
}

static void commit(struct state *state, int64_t offset)
{
    struct diag diag = {0};
    struct state_position position = {.topic_id = {1}, .offset = offset};
    assert_int_equal(state_apply_commit(state, &position, false, &diag), 0);
    assert_int_equal(state_renew(state, &diag), 0);
}

/* Asks for all keys at once and for each alone. Returns how many are there. */
static size_t compare_many(struct state *state, struct bytes (*key_of)(uint32_t, uint8_t *),
                           uint32_t count)
{
    struct arena arena;
    struct diag diag = {0};
    size_t present = 0;
    arena_init(&arena, 0);
    struct bytes *keys = arena_alloc(&arena, count * sizeof *keys);
    struct bytes *values = arena_alloc(&arena, count * sizeof *values), one;
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *buffer = arena_alloc(&arena, KEY_ROOM);
        keys[i] = key_of((uint32_t)(mix(i) % (count * 2)), buffer);
    }
    assert_int_equal(state_get_many(state, keys, count, &arena, values, &diag), 0);
    for (uint32_t i = 0; i < count; i++) {
        int rc = state_get(state, keys[i], &arena, &one, &diag);
        assert_true(rc >= 0);
        assert_int_equal(values[i].data != NULL, rc == 1);
        if (rc == 1)
            assert_true(bytes_equal(values[i], one));
        present += rc == 1;
    }
    arena_deinit(&arena);
    return present;
}

static void many_keys_are_what_they_are_one_by_one(void **unused)
{
    char *dir = make_directory();
    struct diag diag = {0};
    struct state *state;
    uint8_t *buffer = malloc(KEY_ROOM), *value = calloc(1, 20000);
    (void)unused;
    assert_int_equal(state_open(dir, PLAN, NULL, &state, &diag), 0);
    assert_int_equal(compare_many(state, odd_key, MIXED), 0);
    for (int round = 0; round < 3; round++) {
        assert_int_equal(state_apply_begin(state, &diag), 0);
        for (uint32_t n = 0; n < ODD_KEYS; n++) {
            uint64_t random = mix(n + 7919u * (uint32_t)round);
            size_t size = random % 50 == 0 ? random / 64 % 20000 : random / 64 % 30;
            bool is_there = random % 3 != 0;
            memset(value, (int)(n + (uint32_t)round), size);
            if (n % (uint32_t)(round + 1) == 0)
                put(state, odd_key(n, buffer),
                    is_there ? bytes_of(value, size) : (struct bytes){NULL, 0});
        }
        commit(state, round + 1);
        size_t present = compare_many(state, odd_key, MIXED);
        assert_true(present > MIXED / 8 && present < MIXED);
    }
    state_close(state);
    free(buffer);
    free(value);
    drop_directory(dir);
}

/* ---- pages ---- */

/* A store of GROUPS groups, every other number, opened with LMDB itself. */
struct pages {
    char *dir;
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi unnamed;
    size_t page_bytes;
    uint64_t count;
    struct bytes record;
};

static void pages_open(struct pages *pages)
{
    struct diag diag = {0};
    struct state *state;
    uint8_t buffer[KEY_ROOM];
    pages->dir = make_directory();
    assert_int_equal(state_open(pages->dir, PLAN, NULL, &state, &diag), 0);
    for (int64_t round = 0; round < 2; round++) { /* in order, then scattered */
        assert_int_equal(state_apply_begin(state, &diag), 0);
        for (uint32_t n = (uint32_t)round; n < GROUPS; n += 2)
            put(state, group_key(n * 2, buffer), bytes_of(&n, sizeof n));
        commit(state, round + 1);
    }
    state_close(state);

    MDB_val key = {4, "data"}, record;
    MDB_envinfo info;
    MDB_stat stat;
    assert_int_equal(mdb_env_create(&pages->env), 0);
    assert_int_equal(mdb_env_set_maxdbs(pages->env, 2), 0);
    assert_int_equal(mdb_env_open(pages->env, pages->dir, MDB_RDONLY, 0), 0);
    assert_int_equal(mdb_txn_begin(pages->env, NULL, MDB_RDONLY, &pages->txn), 0);
    assert_int_equal(mdb_dbi_open(pages->txn, NULL, 0, &pages->unnamed), 0);
    assert_int_equal(mdb_get(pages->txn, pages->unnamed, &key, &record), 0);
    mdb_env_info(pages->env, &info);
    mdb_env_stat(pages->env, &stat);
    pages->page_bytes = stat.ms_psize;
    pages->count = info.me_last_pgno + 1;
    pages->record = bytes_of(record.mv_data, record.mv_size);
}

static void pages_close(struct pages *pages)
{
    mdb_txn_abort(pages->txn);
    mdb_env_close(pages->env);
    drop_directory(pages->dir);
}

static void groups_are_found_in_the_pages(void **unused)
{
    struct pages pages;
    struct tree tree;
    static uint8_t buffers[TREE_BLOCK][KEY_ROOM];
    (void)unused;
    pages_open(&pages);
    assert_true(tree_init(&tree, pages.record, pages.page_bytes, pages.count));
    assert_true(tree.depth >= 3);
    for (uint32_t from = 0; from < GROUPS * 2 + 10; from += TREE_BLOCK) {
        struct bytes keys[TREE_BLOCK], values[TREE_BLOCK];
        enum tree_answer answers[TREE_BLOCK];
        for (uint32_t i = 0; i < TREE_BLOCK; i++)
            keys[i] = group_key(from + i, buffers[i]);
        tree_find(&tree, TREE_BLOCK, keys, values, answers);
        for (uint32_t i = 0; i < TREE_BLOCK; i++) {
            uint32_t n = from + i, half = n / 2;
            bool is_there = n % 2 == 0 && n < GROUPS * 2;
            assert_int_equal(answers[i], is_there ? TREE_FOUND : TREE_ABSENT);
            if (is_there) /* behind the checksum */
                assert_memory_equal(values[i].data + values[i].size - sizeof half, &half,
                                    sizeof half);
        }
    }
    /* What lies before, behind and between all groups. */
    struct bytes edges[] = {bytes_of("\x05", 1), bytes_of("\x06", 1),
                            bytes_of("\x05\x0cuser-0000010\x00", 15)};
    struct bytes values[3];
    enum tree_answer answers[3];
    tree_find(&tree, 3, edges, values, answers);
    for (int i = 0; i < 3; i++)
        assert_int_equal(answers[i], TREE_ABSENT);
    pages_close(&pages);
}

/* Looks for keys in damaged pages: any answer is right, but a value lies inside the pages. */
static void look_around(const struct tree *tree, const uint8_t *map, uint64_t seed)
{
    static uint8_t buffers[TREE_BLOCK][KEY_ROOM];
    struct bytes keys[TREE_BLOCK], values[TREE_BLOCK];
    enum tree_answer answers[TREE_BLOCK];
    for (uint32_t i = 0; i < TREE_BLOCK; i++)
        keys[i] = group_key((uint32_t)(mix(seed + i) % (GROUPS * 2)), buffers[i]);
    tree_find(tree, TREE_BLOCK, keys, values, answers);
    for (uint32_t i = 0; i < TREE_BLOCK; i++)
        if (answers[i] == TREE_FOUND)
            assert_true(values[i].data >= map && values[i].data + values[i].size <=
                                                     map + tree->page_count * tree->page_bytes);
}

static void damaged_pages_are_left_to_lmdb(void **unused)
{
    struct pages pages;
    struct tree tree;
    (void)unused;
    pages_open(&pages);
    assert_true(tree_init(&tree, pages.record, pages.page_bytes, pages.count));
    size_t size = pages.count * pages.page_bytes;
    const uint8_t *original = tree.map;
    uint8_t *copy = NULL;
    assert_int_equal(posix_memalign((void **)&copy, pages.page_bytes, size), 0);
    tree.map = copy;
    for (uint64_t round = 0; round < 300; round++) {
        if (round % 50 == 0)
            memcpy(copy, original, size);
        for (uint64_t i = 0; i < 200; i++) {
            /* Half of it hits what leads on: headers and offsets. */
            size_t page = mix(round * 1000 + i) % pages.count * pages.page_bytes;
            uint64_t random = mix(round * 777 + i);
            copy[page + random / 512 % (i % 2 ? pages.page_bytes : 64)] = (uint8_t)random;
        }
        look_around(&tree, copy, round);
    }
    tree.root = pages.count - 1;
    look_around(&tree, copy, 1);
    free(copy);
    pages_close(&pages);
}

static void another_record_is_not_taken(void **unused)
{
    struct pages pages;
    struct tree tree;
    uint8_t *page = NULL;
    (void)unused;
    pages_open(&pages);
    assert_false(tree_init(&tree, bytes_of(pages.record.data, 40), pages.page_bytes, pages.count));
    assert_false(tree_init(&tree, pages.record, pages.page_bytes, 1)); /* the root is beyond */
    assert_int_equal(posix_memalign((void **)&page, pages.page_bytes, pages.page_bytes), 0);
    memset(page, 0, pages.page_bytes);
    memcpy(page + 64, pages.record.data, pages.record.size);
    page[64 + 4] = 4; /* MDB_DUPSORT */
    assert_false(tree_init(&tree, bytes_of(page + 64, 48), pages.page_bytes, pages.count));
    struct bytes key = bytes_of("k", 1), value;
    enum tree_answer answer;
    tree_find(&tree, 1, &key, &value, &answer);
    assert_int_equal(answer, TREE_UNSURE);
    free(page);
    pages_close(&pages);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_keys_are_what_they_are_one_by_one),
        cmocka_unit_test(groups_are_found_in_the_pages),
        cmocka_unit_test(damaged_pages_are_left_to_lmdb),
        cmocka_unit_test(another_record_is_not_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
