/* state_sort.c: puts the changes of a batch in key order.
 *
 * Each is 16 bytes: 12 of its key, taken after the prefix that all keys of the batch share (a table's
 * windowed keys often share seven bytes and more), and where its record is. They are sorted by these 12
 * bytes, one byte after the other from the last, so that no comparison goes wrong; bytes that are the
 * same in all keys cost nothing (a number in decimal has a few that differ, in ten ways). Keys that are
 * equal in all 12 are told apart by their records afterwards. 770,000 keys take 33 ns each where a merge
 * sort took 160. Input that is in order already costs one pass. */
#include "runtime/state/state_private.h"

#include <stdlib.h>

enum { DIGITS = 12, DIGIT_VALUES = 256, FEW = 64 };

static uint64_t key_word(const struct apply_record *record, size_t at)
{
    if (at + 8 <= record->key_size)
        return load_be64(record->bytes + at);
    uint8_t padded[8] = {0};
    if (at < record->key_size)
        memcpy(padded, record->bytes + at, record->key_size - at);
    return load_be64(padded);
}

/* By the 12 bytes alone: < 0, 0, > 0. */
static inline int compare_words(const struct apply_order *a, const struct apply_order *b)
{
    if (a->high != b->high)
        return a->high < b->high ? -1 : 1;
    return (a->low > b->low) - (a->low < b->low);
}

static int compare_items(const struct apply_batch *batch, const struct apply_order *a,
                         const struct apply_order *b)
{
    int order = compare_words(a, b);
    if (order != 0)
        return order;
    const struct apply_record *x = state_record(batch, a), *y = state_record(batch, b);
    return bytes_compare(bytes_of(x->bytes, x->key_size), bytes_of(y->bytes, y->key_size));
}

/* The bytes of all keys; whether they are in order already, as far as these say. */
static bool fill_words(struct apply_batch *batch)
{
    bool in_order = true;
    for (size_t i = 0; i < batch->count; i++) {
        struct apply_order *item = &batch->order[i];
        const struct apply_record *record = state_record(batch, item);
        item->high = key_word(record, batch->shared_prefix_bytes);
        item->low = (uint32_t)(key_word(record, batch->shared_prefix_bytes + 8) >> 32);
        in_order = in_order && (i == 0 || compare_words(item - 1, item) <= 0);
    }
    return in_order;
}

/* Stable; spare has room for count / 2 items. */
static void merge_sort(const struct apply_batch *batch, struct apply_order *items, size_t count,
                       struct apply_order *spare)
{
    if (count < 2)
        return;
    size_t half = count / 2;
    merge_sort(batch, items, half, spare);
    merge_sort(batch, items + half, count - half, spare);
    if (compare_items(batch, &items[half - 1], &items[half]) <= 0)
        return;
    memcpy(spare, items, half * sizeof *items);
    size_t left = 0, right = half, out = 0;
    while (left < half && right < count) {
        bool take_right = compare_items(batch, &items[right], &spare[left]) < 0;
        items[out++] = take_right ? items[right] : spare[left];
        right += take_right;
        left += !take_right;
    }
    memcpy(items + out, spare + left, (half - left) * sizeof *items);
}

/* Digit 0 is the last of the 12 bytes. */
static inline unsigned digit_of(const struct apply_order *item, int digit)
{
    return (uint8_t)(digit < 4 ? item->low >> digit * 8 : item->high >> (digit - 4) * 8);
}

/* From `from` to `to` by one digit; counts: how often it has each value. */
static void scatter(const struct apply_order *from, size_t count, int digit, const uint32_t *counts,
                    struct apply_order *to)
{
    size_t next[DIGIT_VALUES], at = 0;
    for (int value = 0; value < DIGIT_VALUES; value++) {
        next[value] = at;
        at += counts[value];
    }
    for (size_t i = 0; i < count; i++)
        to[next[digit_of(&from[i], digit)]++] = from[i];
}

/* Sorts by the 12 bytes, stable. What is sorted lies in batch->order afterwards, and *spare is the other. */
static void sort_by_words(struct apply_batch *batch, struct apply_order **spare)
{
    uint32_t counts[DIGITS][DIGIT_VALUES] = {{0}};
    size_t count = batch->count;
    for (size_t i = 0; i < count; i++)
        for (int digit = 0; digit < DIGITS; digit++)
            counts[digit][digit_of(&batch->order[i], digit)]++;
    for (int digit = 0; digit < DIGITS; digit++) {
        if (counts[digit][digit_of(&batch->order[0], digit)] == count)
            continue;
        scatter(batch->order, count, digit, counts[digit], *spare);
        struct apply_order *sorted = *spare;
        *spare = batch->order;
        batch->order = sorted;
    }
}

/* Items that are equal in 12 bytes lie beside each other: by their whole keys. */
static void sort_equal_words(struct apply_batch *batch, struct apply_order *spare)
{
    for (size_t from = 0, to; from < batch->count; from = to) {
        for (to = from + 1; to < batch->count; to++)
            if (compare_words(&batch->order[from], &batch->order[to]) != 0)
                break;
        if (to - from > 1)
            merge_sort(batch, batch->order + from, to - from, spare);
    }
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

/* Of long keys that come more than once the last one stays; short ones come once. */
static int drop_repeated(struct state *state, struct diag *diag)
{
    struct apply_batch *batch = &state->batch;
    size_t kept = 0;
    for (size_t i = 0; i < batch->count; i++) {
        struct apply_order item = batch->order[i];
        if (kept > 0 && compare_words(&batch->order[kept - 1], &item) == 0) {
            const struct apply_record *old = state_record(batch, &batch->order[kept - 1]),
                                      *new = state_record(batch, &item);
            if (same_key(old, new)) {
                must(stored_is_long(old->key_size));
                TRY(state_check_long_key(
                    state, new, bytes_of(old->bytes + old->key_size, old->value_size), diag));
                kept--;
            }
        }
        batch->order[kept++] = item;
    }
    batch->count = kept;
    return 0;
}

int state_batch_sort(struct state *state, struct diag *diag)
{
    struct apply_batch *batch = &state->batch;
    state_batch_drop_slots(batch);
    struct apply_order *spare = malloc((batch->count + 1) * sizeof *spare);
    if (spare == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory to sort %zu changes", batch->count);
    bool in_order = fill_words(batch);
    if (!in_order && batch->count <= FEW)
        merge_sort(batch, batch->order, batch->count, spare);
    else if (!in_order)
        sort_by_words(batch, &spare);
    sort_equal_words(batch, spare);
    batch->capacity = batch->count; /* of either array */
    free(spare);
    return drop_repeated(state, diag);
}
