/* state_apply.c: the one way to change a store: a batch of puts and deletes (state_batch.c) and the
 * position that it leads to.
 *
 * Checkpoints and restores bring keys in hash order or in changelog order; a B+tree wants them
 * sorted. So changes are collected first, and the commit walks the tree from left to right inside
 * one LMDB transaction. Neighbouring keys hit the same leaf, which LMDB copies once per
 * transaction.
 *
 *   append   Keys above the store's last key are written with MDB_APPEND: no search, full pages. For
 *            an empty store that is the whole batch.
 *   full     Before the transaction the map is enlarged when the batch would not fit; should LMDB run
 *            out of map nevertheless, the transaction is aborted, the map doubled, the walk repeated.
 *
 * The position is read and checked inside the write transaction: it may not go back in the same
 * topic. Position and data change together or not at all (promise P3). */
#include "runtime/state/state_private.h"

#include "runtime/base/io.h"

/* Sorted records lie scattered: so many before its turn a record is fetched. */
enum { RECORDS_AHEAD = 8 };

/* ---- writing ---- */

/* What a transaction came to: an LMDB code, which may call for a larger map, or a finished error.
 */
struct write_result {
    int lmdb_code;
    int error;
};

/* Writes or deletes one record through the cursor. beyond: the key is above all keys of the store.
 */
static struct write_result write_record(struct state *state, MDB_cursor *cursor,
                                        const struct apply_record *record, bool beyond,
                                        struct diag *diag)
{
    MDB_val key = {record->key_size, (void *)(uintptr_t)record->bytes}, found;
    MDB_val value = {record->value_size, (void *)(uintptr_t)(record->bytes + record->key_size)};
    if (beyond)
        return (struct write_result){
            .lmdb_code = record->deletes ? 0 : mdb_cursor_put(cursor, &key, &value, MDB_APPEND)};
    if (record->deletes || stored_is_long(record->key_size)) {
        int rc = mdb_cursor_get(cursor, &key, &found, MDB_SET);
        if (rc == 0 && stored_is_long(record->key_size)) {
            int error =
                state_check_long_key(state, record, bytes_of(found.mv_data, found.mv_size), diag);
            if (error < 0)
                return (struct write_result){.error = error};
        }
        if (rc != 0 && rc != MDB_NOTFOUND)
            return (struct write_result){.lmdb_code = rc};
        if (record->deletes)
            return (struct write_result){.lmdb_code = rc == 0 ? mdb_cursor_del(cursor, 0) : 0};
    }
    return (struct write_result){.lmdb_code = mdb_cursor_put(cursor, &key, &value, 0)};
}

/* Copies the last key of the store; size 0 when it is empty. */
static int last_key(MDB_cursor *cursor, struct stored_key *last)
{
    MDB_val key, value;
    last->size = 0;
    int rc = mdb_cursor_get(cursor, &key, &value, MDB_LAST);
    if (rc == MDB_NOTFOUND)
        return 0;
    if (rc != 0)
        return rc;
    if (key.mv_size > sizeof last->data)
        return MDB_CORRUPTED;
    memcpy(last->data, key.mv_data, key.mv_size);
    last->size = (uint16_t)key.mv_size;
    return 0;
}

/* Writes records from ≤ i < to of the sorted batch. */
static struct write_result write_records(struct state *state, MDB_txn *txn, size_t from, size_t to,
                                         struct diag *diag)
{
    const struct apply_batch *batch = &state->batch;
    struct write_result result = {0};
    MDB_cursor *cursor;
    struct stored_key last;
    result.lmdb_code = mdb_cursor_open(txn, state->data, &cursor);
    if (result.lmdb_code != 0)
        return result;
    result.lmdb_code = last_key(cursor, &last);
    bool beyond = false;
    for (size_t i = from; i < to && result.lmdb_code == 0 && result.error == 0; i++) {
        const struct apply_record *record = state_record(batch, &batch->order[i]);
        if (i + RECORDS_AHEAD < to)
            __builtin_prefetch(state_record(batch, &batch->order[i + RECORDS_AHEAD]));
        if (!beyond)
            beyond = bytes_compare(bytes_of(record->bytes, record->key_size),
                                   bytes_of(last.data, last.size)) > 0;
        result = write_record(state, cursor, record, beyond, diag);
    }
    mdb_cursor_close(cursor);
    return result;
}

/* Checks the new position against the stored one and, in the last slice, stores it. */
static struct write_result write_header(struct state *state, MDB_txn *txn,
                                        const struct state_position *position, bool is_last,
                                        struct diag *diag)
{
    struct write_result result = {0};
    struct state_header header;
    result.error = state_read_header(state, txn, &header, diag);
    if (result.error < 0)
        return result;
    if (memcmp(header.position.topic_id, position->topic_id, sizeof position->topic_id) == 0 &&
        position->offset < header.position.offset) {
        result.error =
            diag_set(diag, ERR_STATE,
                     "the state store %s is at changelog offset %lld and can not go "
                     "back to %lld",
                     state->path, (long long)header.position.offset, (long long)position->offset);
        return result;
    }
    if (!is_last)
        return result;
    header.position = *position;
    uint8_t bytes[STATE_HEADER_BYTES];
    state_header_encode(&header, bytes);
    MDB_val key = {6, (void *)(uintptr_t) "header"}, value = {sizeof bytes, bytes};
    result.lmdb_code = mdb_put(txn, state->meta, &key, &value, 0);
    return result;
}

/* One attempt at one slice, committed or aborted on return; the last one carries the position. */
static struct write_result write_once(struct state *state, const struct state_position *position,
                                      size_t from, size_t to, struct diag *diag)
{
    MDB_txn *txn;
    struct write_result result = {.lmdb_code = mdb_txn_begin(state->env, NULL, 0, &txn)};
    if (result.lmdb_code != 0)
        return result;
    result = write_header(state, txn, position, to == state->batch.count, diag);
    if (result.lmdb_code == 0 && result.error == 0)
        result = write_records(state, txn, from, to, diag);
    if (result.lmdb_code != 0 || result.error != 0) {
        mdb_txn_abort(txn);
        return result;
    }
    crash_point("state_before_commit");
    result.lmdb_code = state_commit(state, txn);
    if (result.lmdb_code != 0 && result.lmdb_code != MDB_MAP_FULL)
        state->failed = true;
    return result;
}

/* Enlarges the map ahead of a batch that would surely fill it; at the limit the transaction itself
 * finds out, since freed pages may suffice. */
static int grow_ahead(struct state *state, struct diag *diag)
{
    MDB_envinfo info;
    mdb_env_info(state->env, &info);
    size_t used = (info.me_last_pgno + 1) * state->page_bytes;
    size_t wanted = used + state->batch.stored_bytes + state->batch.count * 16;
    wanted += wanted / 4;
    if (wanted <= info.me_mapsize || info.me_mapsize >= state->map_limit_bytes)
        return 0;
    int rc = state_grow(state, wanted, diag);
    return rc == ERR_FULL ? 0 : rc;
}

/* LMDB keeps each page that a transaction changes in malloc'ed memory until the commit, so a batch
 * of scattered keys over a large store is cut, in key order, into transactions of at most
 * dirty_bytes. A record changes at most one leaf, and no more leaves change than there are and will
 * be. */
static int records_per_slice(struct state *state, size_t *records, struct diag *diag)
{
    MDB_txn *txn;
    MDB_stat stat;
    size_t count = state->batch.count;
    int rc = mdb_txn_begin(state->env, NULL, MDB_RDONLY, &txn);
    if (rc != 0)
        return state_error(state, diag, rc, "cannot read");
    rc = mdb_stat(txn, state->data, &stat);
    mdb_txn_abort(txn);
    if (rc != 0)
        return state_error(state, diag, rc, "cannot read");
    size_t pages = (count < stat.ms_leaf_pages ? count : stat.ms_leaf_pages) +
                   state->batch.stored_bytes / state->page_bytes * 2;
    size_t slices = pages * state->page_bytes / state->dirty_limit_bytes + 1;
    *records = (count + slices - 1) / slices;
    return 0;
}

static int write_slice(struct state *state, const struct state_position *position, size_t from,
                       size_t to, struct diag *diag)
{
    for (;;) {
        struct write_result result = write_once(state, position, from, to, diag);
        if (result.error != 0)
            return result.error;
        if (result.lmdb_code == 0)
            return 0;
        if (result.lmdb_code != MDB_MAP_FULL)
            return state_error(state, diag, result.lmdb_code, "cannot write to");
        TRY(state_grow(state, 0, diag));
    }
}

static int apply_write(struct state *state, const struct state_position *position, bool durable,
                       struct diag *diag)
{
    size_t step = 0, from = 0, to;
    TRY(state_batch_sort(state, diag));
    TRY(grow_ahead(state, diag));
    TRY(records_per_slice(state, &step, diag));
    do {
        to = state->batch.count - from <= step ? state->batch.count : from + step;
        TRY(write_slice(state, position, from, to, diag));
        from = to;
    } while (from < state->batch.count);
    crash_point("state_after_commit");
    TRY(state_fill_up(state, diag));
    int rc = durable ? state_sync(state) : 0;
    if (rc != 0) {
        state->failed = true;
        return state_error(state, diag, rc, "cannot flush");
    }
    return 0;
}

int state_apply_commit(struct state *state, const struct state_position *position, bool durable,
                       struct diag *diag)
{
    must(state->batch.open);
    state_link_expire(state->link);
    int rc = apply_write(state, position, durable, diag);
    state_batch_drop(&state->batch);
    return rc;
}
