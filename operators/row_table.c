/* row_table.c: an open-addressing hash table of malloc'ed rows over a store (see row_table.h).
 *
 * Slots. 16 bytes: the whole hash and a pointer (NULL: empty), collisions in the next slot, at most
 * 3 of 4 full, no tombstones (deleting moves later slots back). Lookups come in blocks of 64: hash
 * and prefetch the slots, find them and prefetch the rows, then compare keys, so that the waits for
 * memory overlap.
 *
 * Rows. One block each: head, key, value. A row stays where it is until its value outgrows the
 * block, so that what get_many gave stays valid between puts. A row is one of
 *
 *   live        it has a value. In the list of its bucket, unless that is ROW_BUCKET_NONE
 *   gone        removed, and the store may still have it: it hides what the store says. When its
 *               tombstone has been written it waits in the list of gone rows, in the order of
 *               commits, until the store has followed
 *   none        the store was asked and had nothing
 *
 * and dirty beside that: in the array of what the next save writes. Whether the store or a commit on
 * the way to it may have a row of the key is remembered (in_store), so that a row which comes and
 * goes between two commits leaves nothing in the changelog; where it is not known, removing asks.
 *
 * The store is asked as rarely as possible: not at all when nothing was in it and nothing was
 * evicted; not for buckets above the last one that it may have, found by bisection at the first use.
 * What is asked for in one batch is asked in one call.
 *
 * Expiry merges two orders: the buckets in memory (window_index.h) and a scan of the store's front
 * that passes over keys which memory knows. scan_bucket_ms and scan_key say where the first row that
 * is in the store alone can be; the scan moves them on to the first row that it does not take, and
 * evicting a row moves them back. So a row of the store is passed over once, and nothing is looked at
 * while the front is not old enough.
 *
 * Eviction goes round the slots: a row that was used since the hand last came by stays once more. */
#include "operators/row_table_internal.h"

#include <stdlib.h>
#include "runtime/base/pages.h"

enum {
    SLOTS_MAX_LOG2 = 31,
    DIRTY_FIRST = 256,
    ROOM_UNIT = 16,
};

int row_table_create(const struct op_env *env, uint8_t number, struct row_table **result)
{
    struct row_table *table = calloc(1, sizeof *table);
    *result = NULL;
    if (table == NULL)
        return ERR_NOMEM;
    table->env = env;
    table->number = number;
    table->slots_log2 = ROW_SLOTS_FIRST_LOG2;
    table->slots = pages_alloc(sizeof *table->slots << ROW_SLOTS_FIRST_LOG2);
    arena_init(&table->load, 0);
    buf_init(&table->scan_key, 0);
    if (table->slots == NULL) {
        row_table_destroy(table);
        return ERR_NOMEM;
    }
    *result = table;
    return 0;
}

void row_table_destroy(struct row_table *table)
{
    if (table == NULL)
        return;
    for (size_t i = 0; table->slots != NULL && i < row_slot_count(table); i++)
        free(table->slots[i].row);
    pages_free(table->slots, row_slot_count(table) * sizeof *table->slots);
    free(table->dirty);
    window_index_deinit(&table->buckets);
    arena_deinit(&table->load);
    buf_deinit(&table->scan_key);
    free(table);
}

/* ---- slots ---- */

int row_slots_resize(struct row_table *table, uint32_t log2)
{
    if (log2 > SLOTS_MAX_LOG2)
        return ERR_NOMEM;
    size_t old_count = row_slot_count(table), mask = ((size_t)1 << log2) - 1;
    struct slot *old = table->slots, *slots = pages_alloc(sizeof *slots << log2);
    if (slots == NULL)
        return ERR_NOMEM;
    table->slots = slots;
    table->slots_log2 = log2;
    table->hand = 0;
    for (size_t i = 0; i < old_count; i++) {
        if (old[i].row == NULL)
            continue;
        size_t at = row_slot_home(table, old[i].hash);
        while (slots[at].row != NULL)
            at = (at + 1) & mask;
        slots[at] = old[i];
    }
    pages_free(old, old_count * sizeof *old);
    return 0;
}

int row_slots_reserve(struct row_table *table)
{
    return (table->count + 1) * 4 > row_slot_count(table) * 3
               ? row_slots_resize(table, table->slots_log2 + 1)
               : 0;
}

static void slot_erase(struct row_table *table, size_t hole)
{
    size_t mask = row_slot_count(table) - 1;
    for (size_t at = (hole + 1) & mask; table->slots[at].row != NULL; at = (at + 1) & mask) {
        size_t home = row_slot_home(table, table->slots[at].hash);
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            table->slots[hole] = table->slots[at];
            hole = at;
        }
    }
    table->slots[hole] = (struct slot){0};
}

/* ---- lists ---- */

int row_bucket_reserve(struct row_table *table, int64_t bucket_ms)
{
    return bucket_ms == ROW_BUCKET_NONE || window_index_get(&table->buckets, bucket_ms) != NULL
               ? 0
               : ERR_NOMEM;
}

/* A bucket without rows was only made to hold one. */
void row_bucket_release(struct row_table *table, int64_t bucket_ms)
{
    struct window *bucket =
        bucket_ms != ROW_BUCKET_NONE ? window_index_find(&table->buckets, bucket_ms) : NULL;
    if (bucket != NULL && bucket->first == NULL)
        window_index_remove(&table->buckets, bucket);
}

/* The bucket has been reserved. */
void row_bucket_link(struct row_table *table, struct row *row)
{
    if (row->bucket_ms == ROW_BUCKET_NONE)
        return;
    struct window *bucket = window_index_find(&table->buckets, row->bucket_ms);
    struct row *first = bucket->first;
    row->previous = NULL;
    row->next = first;
    if (first != NULL)
        first->previous = row;
    bucket->first = row;
}

void row_bucket_unlink(struct row_table *table, struct row *row)
{
    if (row->bucket_ms == ROW_BUCKET_NONE)
        return;
    if (row->next != NULL)
        row->next->previous = row->previous;
    if (row->previous != NULL) {
        row->previous->next = row->next;
    } else {
        struct window *bucket = window_index_find(&table->buckets, row->bucket_ms);
        bucket->first = row->next;
        row_bucket_release(table, row->bucket_ms);
    }
    row->next = row->previous = NULL;
}

static void gone_link(struct row_table *table, struct row *row)
{
    row->is_gone = true;
    row->next = NULL;
    row->previous = table->gone_last;
    if (table->gone_last != NULL)
        table->gone_last->next = row;
    else
        table->gone_first = row;
    table->gone_last = row;
}

void row_gone_unlink(struct row_table *table, struct row *row)
{
    if (!row->is_gone)
        return;
    row->is_gone = false;
    if (row->next != NULL)
        row->next->previous = row->previous;
    else
        table->gone_last = row->previous;
    if (row->previous != NULL)
        row->previous->next = row->next;
    else
        table->gone_first = row->next;
    row->next = row->previous = NULL;
}

/* After a row has moved: who pointed to it. */
static void relink(struct row_table *table, struct row *row)
{
    if (row->next != NULL)
        row->next->previous = row;
    else if (row->is_gone)
        table->gone_last = row;
    if (row->previous != NULL)
        row->previous->next = row;
    else if (row->is_gone)
        table->gone_first = row;
    else if (row->has_value && row->bucket_ms != ROW_BUCKET_NONE)
        window_index_find(&table->buckets, row->bucket_ms)->first = row;
    if (row->dirty_place != ROW_NOT_DIRTY)
        table->dirty[row->dirty_place] = row;
}

int row_dirty_reserve(struct row_table *table)
{
    if (table->dirty_count < table->dirty_capacity)
        return 0;
    if (table->dirty_capacity > ROW_NOT_DIRTY / 2)
        return ERR_NOMEM;
    uint32_t capacity = table->dirty_capacity > 0 ? table->dirty_capacity * 2 : DIRTY_FIRST;
    struct row **grown = realloc(table->dirty, capacity * sizeof(struct row *));
    if (grown == NULL)
        return ERR_NOMEM;
    table->dirty = grown;
    table->dirty_capacity = capacity;
    return 0;
}

/* There is room. */
void row_dirty_add(struct row_table *table, struct row *row)
{
    if (row->dirty_place != ROW_NOT_DIRTY)
        return;
    row->dirty_place = table->dirty_count;
    table->dirty[table->dirty_count++] = row;
}

/* ---- rows ---- */

/* What a row takes of the system's memory, about. */
static inline size_t block_bytes(const struct row *row)
{
    return sizeof *row + row->room_bytes + sizeof(void *);
}

static size_t room_for(size_t key_bytes, size_t value_bytes)
{
    size_t whole = (sizeof(struct row) + key_bytes + value_bytes + ROOM_UNIT - 1) / ROOM_UNIT;
    return whole * ROOM_UNIT - sizeof(struct row);
}

/* A row without a value in this empty slot; room for it has been made. NULL: no memory. */
struct row *row_create(struct row_table *table, size_t at, uint64_t hash, int64_t bucket_ms,
                       struct bytes key, size_t value_bytes)
{
    size_t room = room_for(key.size, value_bytes);
    if (key.size > ROW_KEY_MAX_BYTES ||
        value_bytes > UINT32_MAX - ROW_KEY_MAX_BYTES - 2 * ROOM_UNIT)
        return NULL;
    struct row *row = malloc(sizeof *row + room);
    if (row == NULL)
        return NULL;
    *row = (struct row){.bucket_ms = bucket_ms,
                        .commit = ROW_COMMIT_NONE,
                        .key_bytes = (uint32_t)key.size,
                        .room_bytes = (uint32_t)room,
                        .dirty_place = ROW_NOT_DIRTY,
                        .is_used = true};
    if (key.size > 0)
        memcpy(row->bytes, key.data, key.size);
    table->slots[at] = (struct slot){hash, row};
    table->count++;
    table->row_bytes += block_bytes(row);
    return row;
}

/* In no list any more. */
void row_free(struct row_table *table, size_t at)
{
    struct row *row = table->slots[at].row;
    table->row_bytes -= block_bytes(row);
    table->count--;
    slot_erase(table, at);
    free(row);
}

size_t row_slot_of(const struct row_table *table, const struct row *row)
{
    size_t at =
        row_slot_find(table, row_hash(row->bucket_ms, row_key(row)), row->bucket_ms, row_key(row));
    must(table->slots[at].row == row);
    return at;
}

/* Room for a value; the row in the slot may have moved. */
static int row_reserve(struct row_table *table, size_t at, size_t value_bytes)
{
    struct row *row = table->slots[at].row;
    if (row->key_bytes + value_bytes <= row->room_bytes)
        return 0;
    size_t room = room_for(row->key_bytes, value_bytes);
    if (room > UINT32_MAX)
        return ERR_NOMEM;
    struct row *grown = realloc(row, sizeof *row + room);
    if (grown == NULL)
        return ERR_NOMEM;
    table->row_bytes += room - grown->room_bytes;
    grown->room_bytes = (uint32_t)room;
    table->slots[at].row = grown;
    relink(table, grown);
    return 0;
}

/* ---- put ---- */

/* Takes the value away from a row that has one. There is room among the dirty ones. */
int row_remove(struct row_table *table, struct row *row, struct diag *diag)
{
    if (row->in_store == IN_STORE_UNKNOWN) {
        int rc = row_ask_store(table, row->bucket_ms, row_key(row), diag);
        TRY(rc);
        row->in_store = rc > 0 ? IN_STORE_YES : IN_STORE_NO;
    }
    row_bucket_unlink(table, row);
    row->has_value = false;
    row->value_bytes = 0;
    row_dirty_add(table, row);
    return 0;
}

/* The row in the slot, or one that the store has, is hidden from now on. */
static int remove_at(struct row_table *table, size_t at, uint64_t hash, int64_t bucket_ms,
                     struct bytes key, struct diag *diag)
{
    struct row *row = table->slots[at].row;
    if (row != NULL)
        return row->has_value ? row_remove(table, row, diag) : 0;
    if (!row_may_be_stored(table, bucket_ms))
        return 0;
    int rc = row_ask_store(table, bucket_ms, key, diag);
    if (rc <= 0)
        return rc;
    row = row_create(table, at, hash, bucket_ms, key, 0);
    if (row == NULL)
        return ERR_NOMEM;
    row->in_store = IN_STORE_YES;
    row_dirty_add(table, row);
    return 0;
}

static int set_at(struct row_table *table, size_t at, uint64_t hash, int64_t bucket_ms,
                  struct bytes key, struct bytes value)
{
    struct row *row = table->slots[at].row;
    if (row == NULL) {
        row = row_create(table, at, hash, bucket_ms, key, value.size);
        if (row == NULL)
            return ERR_NOMEM;
        row->in_store = row_may_be_stored(table, bucket_ms) ? IN_STORE_UNKNOWN : IN_STORE_NO;
    } else {
        TRY(row_reserve(table, at, value.size));
        row = table->slots[at].row;
    }
    row_gone_unlink(table, row);
    bool was_live = row->has_value;
    row_set(row, value);
    row->is_used = true;
    if (!was_live)
        row_bucket_link(table, row);
    row_dirty_add(table, row);
    return 0;
}

int row_table_put(struct row_table *table, int64_t bucket_ms, struct bytes key, struct bytes value,
                  struct diag *diag)
{
    if (key.size > ROW_KEY_MAX_BYTES)
        return diag_set(diag, ERR_TOO_LARGE, "a row's key takes %zu bytes; the limit is %d",
                        key.size, ROW_KEY_MAX_BYTES);
    TRY(row_learn_store(table, diag));
    TRY(row_slots_reserve(table));
    TRY(row_dirty_reserve(table));
    uint64_t hash = row_hash(bucket_ms, key);
    size_t at = row_slot_find(table, hash, bucket_ms, key);
    if (value.data == NULL)
        return remove_at(table, at, hash, bucket_ms, key, diag);
    TRY(row_bucket_reserve(table, bucket_ms));
    int rc = set_at(table, at, hash, bucket_ms, key, value);
    if (rc < 0)
        row_bucket_release(table, bucket_ms);
    return rc;
}

/* ---- save ---- */

static int save_row(struct row_table *table, const struct row *row)
{
    struct bytes key;
    TRY(row_store_key(table, row->bucket_ms, row_key(row), &table->load, &key));
    int rc = table->env->changelog(table->env->context, key, row_value(row));
    arena_reset(&table->load);
    return rc;
}

int row_table_save(struct row_table *table, int64_t commit_number, struct diag *diag)
{
    for (uint32_t i = 0; i < table->dirty_count; i++)
        if (table->dirty[i]->has_value || table->dirty[i]->in_store != IN_STORE_NO) {
            int rc = save_row(table, table->dirty[i]);
            if (rc < 0)
                return diag != NULL && diag->code == rc
                           ? rc
                           : diag_set(diag, rc, "a changed row: %s", error_text(rc));
        }
    for (uint32_t i = 0; i < table->dirty_count; i++) {
        struct row *row = table->dirty[i];
        row->dirty_place = ROW_NOT_DIRTY;
        if (!row->has_value && row->in_store == IN_STORE_NO) {
            row_free(table, row_slot_of(table, row));
            continue;
        }
        row->in_store = IN_STORE_YES;
        row->commit = commit_number;
        if (!row->has_value)
            gone_link(table, row);
    }
    table->dirty_count = 0;
    return 0;
}

size_t row_table_bytes(const struct row_table *table)
{
    return sizeof *table + table->row_bytes + row_slot_count(table) * sizeof *table->slots +
           table->dirty_capacity * sizeof(struct row *) + table->buckets.bytes;
}

size_t row_table_entries(const struct row_table *table)
{
    return table->count;
}
