/* state_read.c: what the reading thread asks of a store: one key, many keys, a range, figures.
 *
 * Values are copied out under the reading lock, because the map may go away after it. A key that was
 * never stored is an answer and not an error; a value that does not match its checksum is an error
 * that names the key.
 *
 * One key is LMDB's own lookup. Many keys go through state_tree.c, which lets them wait for memory
 * together; those that it leaves open, and long keys, are asked for one by one. */
#include "runtime/state/state_private.h"

#include <stdio.h>

/* ---- reading ---- */

/* A key for a message: printable bytes as they are, others as \xHH, cut after 64. */
static const char *key_text(struct bytes key, char text[264])
{
    size_t shown = key.size < 64 ? key.size : 64, at = 0;
    for (size_t i = 0; i < shown; i++) {
        uint8_t c = key.data[i];
        if (c >= 0x20 && c < 0x7f && c != '\\')
            text[at++] = (char)c;
        else
            at += (size_t)snprintf(text + at, 5, "\\x%02x", c);
    }
    strcpy(text + at, shown < key.size ? "..." : "");
    return text;
}

static int damaged(const struct state *state, struct bytes key, struct diag *diag)
{
    char text[264];
    return diag_set(diag, ERR_CORRUPT,
                    "state store %s: the value of key \"%s\" does not match its checksum",
                    state->path, key_text(key, text));
}

/* Checks what was found for a key and copies its value. */
static int take_value(const struct state *state, struct bytes key, struct bytes stored_key,
                      struct bytes stored_value, struct arena *arena, struct bytes *value,
                      struct diag *diag)
{
    struct bytes found_key, found_value;
    if (stored_decode(stored_key, stored_value, &found_key, &found_value) < 0)
        return damaged(state, key, diag);
    if (!bytes_equal(found_key, bytes_of(key.data != NULL ? key.data : stored_key.data, key.size)))
        return 0; /* another long key with the same beginning and hash; apply lets only one in */
    *value = arena_copy(arena, found_value);
    if (value->data == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for a value of %zu bytes", found_value.size);
    return 1;
}

int state_get_in(struct state *state, MDB_txn *txn, struct bytes key, struct arena *arena,
                 struct bytes *value, struct diag *diag)
{
    if (key.size > STATE_KEY_MAX_BYTES)
        return 0; /* never stored */
    struct stored_key stored;
    stored_key_encode(key, &stored);
    MDB_val lmdb_key = {stored.size, stored.data}, lmdb_value;
    int rc = mdb_get(txn, state->data, &lmdb_key, &lmdb_value);
    if (rc == MDB_NOTFOUND)
        return 0;
    if (rc != 0)
        return state_error(state, diag, rc, "cannot read");
    return take_value(state, key, bytes_of(stored.data, stored.size),
                      bytes_of(lmdb_value.mv_data, lmdb_value.mv_size), arena, value, diag);
}

int state_get(struct state *state, struct bytes key, struct arena *arena, struct bytes *value,
              struct diag *diag)
{
    pthread_mutex_lock(&state->reading);
    int rc = state_snapshot_take(state, diag);
    if (rc == 0)
        rc = state_get_in(state, state->snapshot, key, arena, value, diag);
    pthread_mutex_unlock(&state->reading);
    return rc;
}

/* A key as the tree has it; .data NULL when it is long. Nearly all keys are stored as they are. */
static int stored_form(struct bytes key, struct arena *arena, struct bytes *stored)
{
    *stored = key;
    if (__builtin_expect(key.size > 0 && key.data[0] != 0x00, 1)) {
        if (key.size > STORED_SHORT_MAX_BYTES)
            stored->data = NULL;
        return 0;
    }
    struct stored_key encoded;
    *stored = (struct bytes){NULL, 0};
    if (key.size >= STORED_SHORT_MAX_BYTES)
        return 0;
    stored_key_encode(key, &encoded);
    *stored = arena_copy(arena, bytes_of(encoded.data, encoded.size));
    return stored->data != NULL ? 0 : ERR_NOMEM;
}

/* n ≤ TREE_BLOCK keys. */
static int get_block(struct state *state, const struct bytes *keys, uint32_t n, struct arena *arena,
                     struct bytes *values, struct diag *diag)
{
    struct bytes stored[TREE_BLOCK], asked[TREE_BLOCK], found[TREE_BLOCK];
    enum tree_answer answers[TREE_BLOCK];
    uint32_t asked_count = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (stored_form(keys[i], arena, &stored[i]) < 0)
            return diag_set(diag, ERR_NOMEM, "no memory for keys");
        if (stored[i].data != NULL)
            asked[asked_count++] = stored[i];
    }
    tree_find(&state->tree, asked_count, asked, found, answers);
    for (uint32_t i = 0, at = 0; i < n; i++) {
        enum tree_answer answer = stored[i].data != NULL ? answers[at] : TREE_UNSURE;
        struct bytes there = stored[i].data != NULL ? found[at++] : stored[i];
        int rc = 0;
        values[i] = (struct bytes){NULL, 0};
        if (answer == TREE_FOUND)
            rc = take_value(state, keys[i], stored[i], there, arena, &values[i], diag);
        else if (answer == TREE_UNSURE)
            rc = state_get_in(state, state->snapshot, keys[i], arena, &values[i], diag);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int state_get_many(struct state *state, const struct bytes *keys, size_t count, struct arena *arena,
                   struct bytes *values, struct diag *diag)
{
    pthread_mutex_lock(&state->reading);
    int rc = state_snapshot_take(state, diag);
    for (size_t from = 0; from < count && rc == 0; from += TREE_BLOCK)
        rc = get_block(state, keys + from,
                       (uint32_t)(count - from < TREE_BLOCK ? count - from : TREE_BLOCK), arena,
                       values + from, diag);
    pthread_mutex_unlock(&state->reading);
    return rc;
}

/* The bounds of a scan. Long bounds need a look at whole keys: among keys that share their first
 * bytes the stored order is that of the hash. */
struct scan_range {
    struct bytes from, to;
    struct stored_key stored_from, stored_to;
};

enum scan_verdict { SCAN_SKIP, SCAN_TAKE, SCAN_END };

static enum scan_verdict scan_judge(const struct scan_range *range, struct bytes stored,
                                    struct bytes key)
{
    if (range->to.data != NULL) {
        bool to_is_long = stored_is_long(range->stored_to.size);
        struct bytes bound = bytes_of(range->stored_to.data,
                                      to_is_long ? STORED_SHORT_MAX_BYTES : range->stored_to.size);
        struct bytes head = stored;
        if (to_is_long && head.size > STORED_SHORT_MAX_BYTES)
            head.size = STORED_SHORT_MAX_BYTES;
        int order = bytes_compare(head, bound);
        if (order > 0 || (order == 0 && !to_is_long))
            return SCAN_END;
        if (order == 0 && bytes_compare(key, range->to) >= 0)
            return SCAN_SKIP;
    }
    if (range->from.data != NULL && stored_is_long(range->stored_from.size) &&
        bytes_compare(key, range->from) < 0)
        return SCAN_SKIP;
    return SCAN_TAKE;
}

/* What a scan does with each pair, and now and then between two. */
struct scan_calls {
    int (*fn)(void *context, struct bytes key, struct bytes value);
    void *context;
    int (*pause)(void *context);
    void *pause_context;
};

static int scan_cursor(struct state *state, const struct scan_range *range, MDB_cursor *cursor,
                       const struct scan_calls *calls, struct diag *diag)
{
    MDB_val lmdb_key = {0}, lmdb_value;
    MDB_cursor_op op = MDB_FIRST;
    if (range->from.data != NULL) {
        size_t size = range->stored_from.size;
        lmdb_key.mv_data = (void *)(uintptr_t)range->stored_from.data;
        lmdb_key.mv_size = stored_is_long(size) ? STORED_SHORT_MAX_BYTES : size;
        op = MDB_SET_RANGE;
    }
    int rc;
    uint32_t pairs = 0;
    for (; (rc = mdb_cursor_get(cursor, &lmdb_key, &lmdb_value, op)) == 0; op = MDB_NEXT) {
        struct bytes stored = bytes_of(lmdb_key.mv_data, lmdb_key.mv_size), key, value;
        if (stored_decode(stored, bytes_of(lmdb_value.mv_data, lmdb_value.mv_size), &key, &value) <
            0)
            return damaged(state, stored, diag);
        enum scan_verdict verdict = scan_judge(range, stored, key);
        if (verdict == SCAN_END)
            return 0;
        int answer = verdict == SCAN_TAKE ? calls->fn(calls->context, key, value) : 0;
        if (answer == 0 && calls->pause != NULL && ++pairs % STATE_PAUSE_PAIRS == 0)
            answer = calls->pause(calls->pause_context);
        if (answer != 0)
            return answer;
    }
    return rc == MDB_NOTFOUND ? 0 : state_error(state, diag, rc, "cannot read");
}

int state_scan_in(struct state *state, MDB_txn *txn, struct bytes from, struct bytes to,
                  int (*fn)(void *context, struct bytes key, struct bytes value), void *context,
                  int (*pause)(void *context), void *pause_context, struct diag *diag)
{
    struct scan_range range = {.from = from, .to = to};
    struct scan_calls calls = {fn, context, pause, pause_context};
    MDB_cursor *cursor = NULL;
    if (from.size > STATE_KEY_MAX_BYTES || to.size > STATE_KEY_MAX_BYTES)
        return diag_set(diag, ERR_TOO_LARGE, "a scan bound is over %d bytes", STATE_KEY_MAX_BYTES);
    if (from.data != NULL)
        stored_key_encode(from, &range.stored_from);
    if (to.data != NULL)
        stored_key_encode(to, &range.stored_to);
    int code = mdb_cursor_open(txn, state->data, &cursor);
    if (code != 0)
        return state_error(state, diag, code, "cannot read");
    int rc = scan_cursor(state, &range, cursor, &calls, diag);
    mdb_cursor_close(cursor); /* also where a pause found the transaction gone */
    return rc;
}

int state_scan(struct state *state, struct bytes from, struct bytes to,
               int (*fn)(void *context, struct bytes key, struct bytes value), void *context,
               struct diag *diag)
{
    pthread_mutex_lock(&state->reading);
    state->scans_running++;
    int rc = state_snapshot_take(state, diag);
    if (rc == 0)
        rc = state_scan_in(state, state->snapshot, from, to, fn, context, NULL, NULL, diag);
    state->scans_running--;
    pthread_mutex_unlock(&state->reading);
    return rc;
}

int state_stat_in(struct state *state, MDB_txn *txn, struct state_statistics *statistics,
                  struct diag *diag)
{
    MDB_stat data;
    MDB_envinfo info;
    int code = mdb_stat(txn, state->data, &data);
    if (code != 0)
        return state_error(state, diag, code, "cannot read");
    mdb_env_info(state->env, &info);
    statistics->entries = data.ms_entries;
    statistics->used_bytes = (uint64_t)(info.me_last_pgno + 1) * data.ms_psize;
    statistics->map_bytes = info.me_mapsize;
    return 0;
}

int state_stat(struct state *state, struct state_statistics *statistics, struct diag *diag)
{
    pthread_mutex_lock(&state->reading);
    int rc = state_snapshot_take(state, diag);
    if (rc == 0)
        rc = state_stat_in(state, state->snapshot, statistics, diag);
    pthread_mutex_unlock(&state->reading);
    return rc;
}
