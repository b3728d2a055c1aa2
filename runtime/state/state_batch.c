/* state_batch.c: the changes that one call of state_apply_commit will write: collected, one per
 * key, until state_sort.c puts them in order.
 *
 * A changelog names a busy key again and again, and a store needs the last value only. So a key
 * that comes a second time replaces its first record, in place when the value still fits: memory
 * and everything that follows (sorting, walking the tree) depend on how many keys a batch touches
 * and not on how often. Keys are found by a hash table over the records: slots of 32 bits of hash
 * and a place in `order`, so that growing it reads no record. Changes come in blocks, so that the
 * cache misses of their lookups overlap.
 *
 * Memory decides how often each page of a store is written (memory.c), so a change takes little of it: a
 * record of 11 bytes and what is stored, 16 bytes in `order`, 11 to 21 in the hash table, which makes room
 * for the sort. */
#include "runtime/state/state_private.h"

#include <stddef.h>
#include <stdlib.h>
#include "runtime/base/hash.h"
#include "runtime/base/pages.h"

enum {
    ORDER_FIRST_CAPACITY = 1024,
    SLOTS_FIRST_LOG2 = 11,
    FIRST_BLOCK_BYTES = 64 << 10, /* most checkpoints bring little */
    BLOCKS_FIRST = 16,
    PUT_BLOCK = 64,
};

static size_t slots_bytes(const struct apply_batch *batch)
{
    return batch->slots != NULL ? sizeof *batch->slots << batch->slots_log2 : 0;
}

void state_batch_drop_slots(struct apply_batch *batch)
{
    pages_free(batch->slots, slots_bytes(batch));
    batch->slots = NULL;
}

void state_batch_drop(struct apply_batch *batch)
{
    for (uint32_t i = 0; i < batch->block_count; i++)
        pages_free(batch->blocks[i].data, batch->blocks[i].size_bytes);
    free(batch->blocks);
    free(batch->order);
    state_batch_drop_slots(batch);
    *batch = (struct apply_batch){0};
}

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
    state->batch.open = true;
    return 0;
}

void state_apply_abort(struct state *state)
{
    state_batch_drop(&state->batch);
}

size_t state_apply_bytes(const struct state *state)
{
    /* The sort takes as much as `order` once more, and has no use for the slots. */
    const struct apply_batch *batch = &state->batch;
    size_t order = batch->count * sizeof *batch->order, slots = slots_bytes(batch);
    return batch->full_bytes + batch->used_bytes + order + (order > slots ? order : slots);
}

/* ---- finding a key again ---- */

static uint32_t slot_home(const struct apply_batch *batch, uint32_t tag)
{
    return (uint32_t)((uint64_t)tag >> (32 - batch->slots_log2));
}

/* Room for a block of puts, at most three quarters full. */
static int slots_reserve(struct apply_batch *batch)
{
    size_t old_count = batch->slots != NULL ? (size_t)1 << batch->slots_log2 : 0;
    if ((batch->count + PUT_BLOCK) * 4 <= old_count * 3)
        return 0;
    uint32_t log2 = batch->slots != NULL ? batch->slots_log2 + 1 : SLOTS_FIRST_LOG2;
    struct apply_slot *old = batch->slots,
                      *slots = log2 < 32 ? pages_alloc(sizeof *slots << log2) : NULL;
    if (slots == NULL)
        return ERR_NOMEM;
    batch->slots = slots;
    batch->slots_log2 = log2;
    uint32_t mask = (uint32_t)(((size_t)1 << log2) - 1);
    for (size_t i = 0; i < old_count; i++) {
        if (old[i].place == 0)
            continue;
        uint32_t at = slot_home(batch, old[i].tag);
        while (slots[at].place != 0)
            at = (at + 1) & mask;
        slots[at] = old[i];
    }
    pages_free(old, old_count * sizeof *old);
    return 0;
}

static uint32_t key_tag(struct bytes key)
{
    return (uint32_t)(hash64(key.data, key.size) >> 32);
}

/* From at on, the first slot that is empty or has the tag. */
static struct apply_slot *slot_seek(const struct apply_batch *batch, uint32_t at, uint32_t tag)
{
    uint32_t mask = (uint32_t)(((size_t)1 << batch->slots_log2) - 1);
    while (batch->slots[at & mask].place != 0 && batch->slots[at & mask].tag != tag)
        at++;
    return &batch->slots[at & mask];
}

/* The slot of a stored key, or the empty one where it belongs. */
static struct apply_slot *slot_find(const struct apply_batch *batch, const struct stored_key *key,
                                    uint32_t tag)
{
    struct apply_slot *slot = slot_seek(batch, slot_home(batch, tag), tag);
    while (slot->place != 0) {
        const struct apply_record *record = state_record(batch, &batch->order[slot->place - 1]);
        if (record->key_size == key->size && memcmp(record->bytes, key->data, key->size) == 0)
            return slot;
        slot = slot_seek(batch, (uint32_t)(slot - batch->slots) + 1, tag);
    }
    return slot;
}

/* Brings near what putting these keys will look at: slots, then their places, then records. Each
 * step waits for memory once for all keys and not once for each. */
static void prefetch_keys(const struct apply_batch *batch, const uint32_t *tags, uint32_t n)
{
    const struct apply_order *known[PUT_BLOCK];
    for (uint32_t i = 0; i < n; i++)
        __builtin_prefetch(&batch->slots[slot_home(batch, tags[i])]);
    for (uint32_t i = 0; i < n; i++) {
        const struct apply_slot *slot = slot_seek(batch, slot_home(batch, tags[i]), tags[i]);
        known[i] = slot->place != 0 ? &batch->order[slot->place - 1] : NULL;
        __builtin_prefetch(known[i]);
    }
    for (uint32_t i = 0; i < n; i++)
        if (known[i] != NULL)
            __builtin_prefetch(state_record(batch, known[i]));
}

/* ---- collecting ---- */

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

static int block_add(struct apply_batch *batch, size_t record_bytes)
{
    size_t size = batch->block_count == 0 ? FIRST_BLOCK_BYTES
                                          : (size_t)RECORD_BLOCK_UNITS * RECORD_UNIT_BYTES;
    if (batch->block_count == UINT32_MAX / RECORD_BLOCK_UNITS)
        return ERR_NOMEM; /* 32 GiB */
    if (batch->block_count == batch->block_capacity) {
        uint32_t capacity = batch->block_capacity == 0 ? BLOCKS_FIRST : batch->block_capacity * 2;
        struct record_block *blocks = realloc(batch->blocks, capacity * sizeof *blocks);
        if (blocks == NULL)
            return ERR_NOMEM;
        batch->blocks = blocks;
        batch->block_capacity = capacity;
    }
    if (size < record_bytes)
        size = record_bytes;
    uint8_t *data = pages_alloc(size);
    if (data == NULL)
        return ERR_NOMEM;
    batch->full_bytes += batch->used_bytes;
    batch->used_bytes = 0;
    batch->blocks[batch->block_count++] = (struct record_block){data, size};
    return 0;
}

/* NULL: no memory. */
static struct apply_record *record_create(struct apply_batch *batch, const struct stored_key *key,
                                          size_t value_size, uint32_t *reference)
{
    size_t size = offsetof(struct apply_record, bytes) + key->size + value_size;
    size = (size + RECORD_UNIT_BYTES - 1) / RECORD_UNIT_BYTES * RECORD_UNIT_BYTES;
    if ((batch->block_count == 0 ||
         batch->blocks[batch->block_count - 1].size_bytes - batch->used_bytes < size) &&
        block_add(batch, size) < 0)
        return NULL;
    const struct record_block *block = &batch->blocks[batch->block_count - 1];
    struct apply_record *record = (struct apply_record *)(void *)(block->data + batch->used_bytes);
    *reference = (batch->block_count - 1) * RECORD_BLOCK_UNITS +
                 (uint32_t)(batch->used_bytes / RECORD_UNIT_BYTES);
    batch->used_bytes += size;
    record->room = (uint32_t)(size - offsetof(struct apply_record, bytes) - key->size);
    record->key_size = key->size;
    memcpy(record->bytes, key->data, key->size);
    return record;
}

static void record_fill(struct apply_record *record, struct bytes key, struct bytes value,
                        size_t value_size)
{
    record->value_size = (uint32_t)value_size;
    record->deletes = value.data == NULL;
    stored_value_encode(record->key_size, key, value, record->bytes + record->key_size);
}

static int add_record(struct apply_batch *batch, const struct apply_record *record,
                      uint32_t reference)
{
    if (batch->count == UINT32_MAX - 1 || order_reserve(batch) < 0)
        return ERR_NOMEM;
    if (batch->count == 0) {
        batch->shared_prefix_bytes = record->key_size;
    } else {
        const struct apply_record *first = state_record(batch, &batch->order[0]);
        size_t limit = batch->shared_prefix_bytes < record->key_size ? batch->shared_prefix_bytes
                                                                     : record->key_size;
        batch->shared_prefix_bytes = memcmp(first->bytes, record->bytes, limit) == 0
                                         ? limit
                                         : shared_prefix(first->bytes, record->bytes, limit);
    }
    batch->order[batch->count++] = (struct apply_order){.record = reference};
    return 0;
}

/* The record for this key: its last one when the value fits there, else a new one. Long keys, whose
 * stored form is not yet proof that they are equal, are left to the sort. NULL: no memory. */
static struct apply_record *place_record(struct apply_batch *batch, const struct stored_key *key,
                                         uint32_t tag, size_t value_size)
{
    struct apply_record *record;
    uint32_t reference;
    if (stored_is_long(key->size)) {
        record = record_create(batch, key, value_size, &reference);
        return record != NULL && add_record(batch, record, reference) == 0 ? record : NULL;
    }
    struct apply_slot *slot = slot_find(batch, key, tag);
    struct apply_order *known = slot->place != 0 ? &batch->order[slot->place - 1] : NULL;
    if (known != NULL) {
        record = state_record(batch, known);
        batch->stored_bytes -= key->size + record->value_size;
        if (record->room >= value_size)
            return record;
        record = record_create(batch, key, value_size, &reference);
        if (record != NULL)
            known->record = reference;
        return record;
    }
    record = record_create(batch, key, value_size, &reference);
    if (record == NULL || add_record(batch, record, reference) < 0)
        return NULL;
    *slot = (struct apply_slot){tag, (uint32_t)batch->count};
    return record;
}

static int put_change(struct state *state, struct bytes key, struct bytes value, uint32_t tag,
                      struct diag *diag)
{
    struct stored_key stored;
    stored_key_encode(key, &stored);
    if (value.data == NULL)
        value.size = 0;
    /* A delete keeps the value form too: for a long key it holds the whole key, which is compared.
     */
    size_t value_size = stored_value_size(stored.size, key.size, value.size);
    struct apply_record *record = place_record(&state->batch, &stored, tag, value_size);
    if (record == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for a change of the state store %s",
                        state->path);
    record_fill(record, key, value, value_size);
    state->batch.stored_bytes += stored.size + value_size;
    return 0;
}

static int put_block(struct state *state, const struct state_change *changes, uint32_t n,
                     struct diag *diag)
{
    uint32_t tags[PUT_BLOCK];
    if (slots_reserve(&state->batch) < 0)
        return diag_set(diag, ERR_NOMEM, "no memory for changes of the state store %s",
                        state->path);
    for (uint32_t i = 0; i < n; i++) {
        struct bytes key = changes[i].key, value = changes[i].value;
        if (key.size > STATE_KEY_MAX_BYTES || value.size > STATE_VALUE_MAX_BYTES)
            return diag_set(diag, ERR_TOO_LARGE,
                            "state store %s: a key of %zu or a value of %zu bytes is over the "
                            "limit (%d, %d)",
                            state->path, key.size, value.size, STATE_KEY_MAX_BYTES,
                            STATE_VALUE_MAX_BYTES);
        tags[i] = key_tag(key);
    }
    prefetch_keys(&state->batch, tags, n);
    for (uint32_t i = 0; i < n; i++)
        TRY(put_change(state, changes[i].key, changes[i].value, tags[i], diag));
    return 0;
}

int state_apply_puts(struct state *state, const struct state_change *changes, size_t count,
                     struct diag *diag)
{
    must(state->batch.open);
    for (size_t from = 0; from < count; from += PUT_BLOCK)
        TRY(put_block(state, changes + from,
                      (uint32_t)(count - from < PUT_BLOCK ? count - from : PUT_BLOCK), diag));
    return 0;
}

int state_apply_put(struct state *state, struct bytes key, struct bytes value, struct diag *diag)
{
    struct state_change change = {key, value};
    return state_apply_puts(state, &change, 1, diag);
}
