/* state_apply.c: the one way to change a store: a batch of puts and deletes and the position that
 * it leads to.
 *
 * Checkpoints and restores bring keys in hash order or in changelog order; a B+tree wants them
 * sorted. So puts are collected first: each record is encoded once, in its stored form, into an
 * arena, and the commit sorts pointers to the records, drops all but the last record of a key, and
 * walks the tree from left to right inside one LMDB transaction. Neighbouring keys hit the same
 * leaf, which LMDB copies once per transaction.
 *
 *   sort     A stable merge sort over {16 bytes of key, pointer}. The 16 bytes are taken after the
 *            prefix that all keys of the batch share (a table's windowed keys often share seven
 *            bytes), so that nearly no comparison follows a pointer. Stable, because of equal keys
 *            the last one wins. Sorted input costs one pass.
 *   append   Keys above the store's last key are written with MDB_APPEND: no search, full pages.
 * For an empty store that is the whole batch. full     Before the transaction the map is enlarged
 * when the batch would not fit; should LMDB run out of map nevertheless, the transaction is
 * aborted, the map doubled, the walk repeated.
 *
 * The position is read and checked inside the write transaction: it may not go back in the same
 * topic. Position and data change together or not at all (promise P3). */
#include "runtime/state/state_private.h"

#include <stdlib.h>
#include "runtime/base/io.h"

enum { ORDER_FIRST_CAPACITY = 1024, INSERTION_SORT_COUNT = 12, RECORD_ALIGN = 8 };

void state_batch_drop(struct apply_batch *batch)
{
    arena_deinit(&batch->arena);
    free(batch->order);
    *batch = (struct apply_batch){0};
}

/* ---- collecting ---- */

int state_apply_begin(struct state *state, struct diag *diag)
{
    if (state->read_only)
        return diag_set(diag, ERR_STATE, "the state store %s is open for reading only",
                        state->path);
    if (state->failed)
        return diag_set(diag, ERR_STOPPED,
                        "an earlier write to the state store %s failed: open it again",
                        state->path);
    if (state->batch.open)
        return diag_set(diag, ERR_STATE, "the state store %s is being applied to already",
                        state->path);
    arena_init(&state->batch.arena, 0);
    state->batch.open = true;
    return 0;
}

static int order_reserve(struct apply_batch *batch)
{
    if (batch->count < batch->capacity)
        return 0;
    size_t capacity = batch->capacity == 0 ? ORDER_FIRST_CAPACITY : batch->capacity * 2;
    struct apply_order *order = realloc(batch->order, capacity * sizeof *order);
    if (order == NULL)
        return ERR_NOMEM;
    batch->order = order;
    batch->capacity = capacity;
    return 0;
}

static size_t shared_prefix(const uint8_t *a, const uint8_t *b, size_t limit)
{
    size_t same = 0;
    while (same < limit && a[same] == b[same])
        same++;
    return same;
}

int state_apply_put(struct state *state, struct bytes key, struct bytes value, struct diag *diag)
{
    struct apply_batch *batch = &state->batch;
    must(batch->open);
    if (key.size > STATE_KEY_MAX_BYTES || value.size > STATE_VALUE_MAX_BYTES)
        return diag_set(diag, ERR_TOO_LARGE,
                        "state store %s: a key of %zu or a value of %zu bytes is over the limit "
                        "(%d, %d)",
                        state->path, key.size, value.size, STATE_KEY_MAX_BYTES,
                        STATE_VALUE_MAX_BYTES);
    struct stored_key stored;
    stored_key_encode(key, &stored);
    bool deletes = value.data == NULL;
    if (deletes)
        value.size = 0;
    /* A delete keeps the value form too: for a long key it holds the whole key, which is compared.
     */
    size_t value_size = stored_value_size(stored.size, key.size, value.size);
    struct apply_record *record =
        order_reserve(batch) == 0
            ? arena_alloc_aligned(&batch->arena, sizeof *record + stored.size + value_size,
                                  RECORD_ALIGN)
            : NULL;
    if (record == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for a change of the state store %s",
                        state->path);
    record->key_size = stored.size;
    record->value_size = (uint32_t)value_size;
    record->deletes = deletes;
    memcpy(record->bytes, stored.data, stored.size);
    stored_value_encode(stored.size, key, value, record->bytes + stored.size);
    if (batch->count == 0)
        batch->shared_prefix_bytes = stored.size;
    else {
        const struct apply_record *first = batch->order[0].record;
        size_t limit =
            batch->shared_prefix_bytes < stored.size ? batch->shared_prefix_bytes : stored.size;
        batch->shared_prefix_bytes = shared_prefix(first->bytes, record->bytes, limit);
    }
    batch->order[batch->count++] = (struct apply_order){.record = record};
    batch->stored_bytes += stored.size + value_size;
    return 0;
}

size_t state_apply_bytes(const struct state *state)
{
    /* The commit takes half of the order array once more to sort. */
    const struct apply_batch *batch = &state->batch;
    return batch->arena.held_bytes + batch->capacity * sizeof *batch->order * 3 / 2;
}

void state_apply_abort(struct state *state)
{
    state_batch_drop(&state->batch);
}

/* ---- sorting ---- */

static uint64_t key_word(const struct apply_record *record, size_t at)
{
    if (at + 8 <= record->key_size)
        return load_be64(record->bytes + at);
    uint8_t padded[8] = {0};
    if (at < record->key_size)
        memcpy(padded, record->bytes + at, record->key_size - at);
    return load_be64(padded);
}

static inline bool order_less(const struct apply_order *a, const struct apply_order *b)
{
    if (a->high != b->high)
        return a->high < b->high;
    if (a->low != b->low)
        return a->low < b->low;
    return bytes_compare(bytes_of(a->record->bytes, a->record->key_size),
                         bytes_of(b->record->bytes, b->record->key_size)) < 0;
}

static void insertion_sort(struct apply_order *items, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct apply_order item = items[i];
        size_t at = i;
        for (; at > 0 && order_less(&item, &items[at - 1]); at--)
            items[at] = items[at - 1];
        items[at] = item;
    }
}

/* Stable; spare has room for count / 2 items. */
static void merge_sort(struct apply_order *items, size_t count, struct apply_order *spare)
{
    if (count <= INSERTION_SORT_COUNT) {
        insertion_sort(items, count);
        return;
    }
    size_t half = count / 2;
    merge_sort(items, half, spare);
    merge_sort(items + half, count - half, spare);
    if (!order_less(&items[half], &items[half - 1]))
        return;
    memcpy(spare, items, half * sizeof *items);
    size_t left = 0, right = half, out = 0;
    while (left < half && right < count) {
        bool take_right = order_less(&items[right], &spare[left]);
        items[out++] = take_right ? items[right] : spare[left];
        right += take_right;
        left += !take_right;
    }
    memcpy(items + out, spare + left, (half - left) * sizeof *items);
}

static bool same_key(const struct apply_record *a, const struct apply_record *b)
{
    return a->key_size == b->key_size && memcmp(a->bytes, b->bytes, a->key_size) == 0;
}

/* Two long keys with equal beginning and equal 128-bit hash can not both be stored. Nobody meets
 * that by chance. */
static int check_same_long_key(const struct state *state, const struct apply_record *record,
                               struct bytes other_value, struct diag *diag)
{
    struct bytes key, other_key;
    must(stored_long_key(bytes_of(record->bytes + record->key_size, record->value_size), &key) ==
         0);
    if (stored_long_key(other_value, &other_key) < 0)
        return diag_set(diag, ERR_CORRUPT, "state store %s: the entry of a long key is damaged",
                        state->path);
    if (!bytes_equal(key, other_key))
        return diag_set(diag, ERR_UNSUPPORTED,
                        "state store %s: two keys of %zu and %zu bytes share their first bytes and "
                        "their 128-bit hash",
                        state->path, key.size, other_key.size);
    return 0;
}

/* Sorts the batch and keeps the last record of each key. */
static int batch_sort(struct state *state, struct diag *diag)
{
    struct apply_batch *batch = &state->batch;
    for (size_t i = 0; i < batch->count; i++) {
        struct apply_order *item = &batch->order[i];
        item->high = key_word(item->record, batch->shared_prefix_bytes);
        item->low = key_word(item->record, batch->shared_prefix_bytes + 8);
    }
    struct apply_order *spare = malloc((batch->count / 2 + 1) * sizeof *spare);
    if (spare == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory to sort %zu changes", batch->count);
    merge_sort(batch->order, batch->count, spare);
    free(spare);
    size_t kept = 0;
    for (size_t i = 0; i < batch->count; i++) {
        if (kept > 0 && same_key(batch->order[kept - 1].record, batch->order[i].record)) {
            const struct apply_record *old = batch->order[--kept].record;
            if (stored_is_long(old->key_size))
                TRY(check_same_long_key(state, batch->order[i].record,
                                        bytes_of(old->bytes + old->key_size, old->value_size),
                                        diag));
        }
        batch->order[kept++] = batch->order[i];
    }
    batch->count = kept;
    return 0;
}

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
                check_same_long_key(state, record, bytes_of(found.mv_data, found.mv_size), diag);
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
        const struct apply_record *record = batch->order[i].record;
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
    result.lmdb_code = mdb_txn_commit(txn);
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

/* LMDB keeps each page that a transaction changes in malloc'ed memory until the commit, so a batch of
 * scattered keys over a large store is cut, in key order, into transactions of at most dirty_bytes.
 * A record changes at most one leaf, and no more leaves change than there are and will be. */
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

static int write_slice(struct state *state, const struct state_position *position, size_t from, size_t to,
                       struct diag *diag)
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
    TRY(batch_sort(state, diag));
    TRY(grow_ahead(state, diag));
    TRY(records_per_slice(state, &step, diag));
    do {
        to = state->batch.count - from <= step ? state->batch.count : from + step;
        TRY(write_slice(state, position, from, to, diag));
        from = to;
    } while (from < state->batch.count);
    crash_point("state_after_commit");
    TRY(state_fill_up(state, diag));
    int rc = durable ? mdb_env_sync(state->env, 1) : 0;
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
    int rc = apply_write(state, position, durable, diag);
    state_batch_drop(&state->batch);
    return rc;
}
