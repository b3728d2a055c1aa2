/* state_batch.c: the changes that one call of state_apply_commit will write: collected, one per
 * key, then sorted.
 *
 * A changelog names a busy key again and again, and a store needs the last value only. So a key
 * that comes a second time replaces its first record, in place when the value still fits: memory
 * and everything that follows (sorting, walking the tree) depend on how many keys a batch touches
 * and not on how often. Keys are found by a hash table over the records: slots of 32 bits of hash
 * and a place in `order`, so that growing it reads no record. Changes come in blocks, so that the
 * cache misses of their lookups overlap.
 *
 * Sorting is a merge sort over {16 bytes of key, pointer}. The 16 bytes are taken after the prefix
 * that all keys of the batch share (a table's windowed keys often share seven bytes), so that
 * nearly no comparison follows a pointer. Sorted input costs one pass. */
#include "runtime/state/state_private.h"

#include <stdlib.h>
#include "runtime/base/hash.h"

enum {
    ORDER_FIRST_CAPACITY = 1024,
    SLOTS_FIRST_LOG2 = 11,
    INSERTION_SORT_COUNT = 12,
    RECORD_ALIGN = 8,
    PUT_BLOCK = 64,
};

void state_batch_drop(struct apply_batch *batch)
{
    arena_deinit(&batch->arena);
    free(batch->order);
    free(batch->slots);
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
    arena_init(&state->batch.arena, 0);
    state->batch.open = true;
    return 0;
}

void state_apply_abort(struct state *state)
{
    state_batch_drop(&state->batch);
}

size_t state_apply_bytes(const struct state *state)
{
    /* The commit takes half of the order array once more to sort. */
    const struct apply_batch *batch = &state->batch;
    size_t slots = batch->slots != NULL ? (size_t)1 << batch->slots_log2 : 0;
    return batch->arena.held_bytes + batch->capacity * sizeof *batch->order * 3 / 2 +
           slots * sizeof *batch->slots;
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
                      *slots = log2 < 32 ? calloc((size_t)1 << log2, sizeof *slots) : NULL;
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
    free(old);
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
        const struct apply_record *record = batch->order[slot->place - 1].record;
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
            __builtin_prefetch(known[i]->record);
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

static struct apply_record *record_create(struct apply_batch *batch, const struct stored_key *key,
                                          size_t value_size)
{
    size_t size = sizeof(struct apply_record) + key->size + value_size;
    size = (size + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
    struct apply_record *record = arena_alloc_aligned(&batch->arena, size, RECORD_ALIGN);
    if (record == NULL)
        return NULL;
    record->room = (uint32_t)(size - sizeof *record - key->size);
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

static int add_record(struct apply_batch *batch, struct apply_record *record)
{
    if (batch->count == UINT32_MAX - 1 || order_reserve(batch) < 0)
        return ERR_NOMEM;
    if (batch->count == 0) {
        batch->shared_prefix_bytes = record->key_size;
    } else {
        const struct apply_record *first = batch->order[0].record;
        size_t limit = batch->shared_prefix_bytes < record->key_size ? batch->shared_prefix_bytes
                                                                     : record->key_size;
        batch->shared_prefix_bytes = shared_prefix(first->bytes, record->bytes, limit);
    }
    batch->order[batch->count++] = (struct apply_order){.record = record};
    return 0;
}

/* The record for this key: its last one when the value fits there, else a new one. Long keys, whose
 * stored form is not yet proof that they are equal, are left to the sort. NULL: no memory. */
static struct apply_record *place_record(struct apply_batch *batch, const struct stored_key *key,
                                         uint32_t tag, size_t value_size)
{
    struct apply_record *record;
    if (stored_is_long(key->size)) {
        record = record_create(batch, key, value_size);
        return record != NULL && add_record(batch, record) == 0 ? record : NULL;
    }
    struct apply_slot *slot = slot_find(batch, key, tag);
    struct apply_record **known = slot->place != 0 ? &batch->order[slot->place - 1].record : NULL;
    if (known != NULL && (*known)->room >= value_size) {
        batch->stored_bytes -= key->size + (*known)->value_size;
        return *known;
    }
    record = record_create(batch, key, value_size);
    if (record == NULL || (known == NULL && add_record(batch, record) < 0))
        return NULL;
    if (known != NULL) {
        batch->stored_bytes -= key->size + (*known)->value_size;
        *known = record;
    } else {
        *slot = (struct apply_slot){tag, (uint32_t)batch->count};
    }
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

/* Two long keys with equal beginning and equal 128-bit hash can not both be stored. Nobody meets
 * that by chance. */
int state_check_long_key(const struct state *state, const struct apply_record *record,
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

static bool same_key(const struct apply_record *a, const struct apply_record *b)
{
    return a->key_size == b->key_size && memcmp(a->bytes, b->bytes, a->key_size) == 0;
}

/* Equal keys are left only where they are long. */
int state_batch_sort(struct state *state, struct diag *diag)
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
            must(stored_is_long(old->key_size));
            TRY(state_check_long_key(state, batch->order[i].record,
                                     bytes_of(old->bytes + old->key_size, old->value_size), diag));
        }
        batch->order[kept++] = batch->order[i];
    }
    batch->count = kept;
    return 0;
}
