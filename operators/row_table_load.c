/* row_table_load.c: what a row table asks of its store, and how it takes the answer (see
 * row_table.c).
 *
 * A lookup is a probe in memory; what is missing there and may be in the store is asked for in one
 * call for the whole batch, and becomes a row of the table, live or none. The last bucket that the
 * store has is found at the first use by bisection: some ten to sixty seeks, once. */
#include "operators/row_table_internal.h"

enum { PROBE_BLOCK = 64 };

/* ---- keys ---- */

void row_key_head(const struct row_table *table, int64_t bucket_ms, uint8_t out[ROW_KEY_HEAD_BYTES])
{
    out[0] = table->number;
    store_be64(out + 1, (uint64_t)bucket_ms ^ (1ull << 63));
}

int row_store_key(const struct row_table *table, int64_t bucket_ms, struct bytes key,
                  struct arena *arena, struct bytes *out)
{
    uint8_t *data = arena_alloc_aligned(arena, ROW_KEY_HEAD_BYTES + key.size, 1);
    if (data == NULL)
        return ERR_NOMEM;
    row_key_head(table, bucket_ms, data);
    if (key.size > 0)
        memcpy(data + ROW_KEY_HEAD_BYTES, key.data, key.size);
    *out = bytes_of(data, ROW_KEY_HEAD_BYTES + key.size);
    return 0;
}

int row_store_key_split(struct bytes in, int64_t *bucket_ms, struct bytes *key, struct diag *diag)
{
    if (in.size < ROW_KEY_HEAD_BYTES)
        return diag_set(
            diag, ERR_CORRUPT,
            "a stored row's key has %zu bytes: delete the state directory to rebuild it", in.size);
    *bucket_ms = (int64_t)(load_be64(in.data + 1) ^ (1ull << 63));
    *key = bytes_of(in.data + ROW_KEY_HEAD_BYTES, in.size - ROW_KEY_HEAD_BYTES);
    return 0;
}

/* ---- what the store has ---- */

struct first_row {
    struct diag *diag;
    int64_t bucket_ms;
};
static int take_first(void *context, struct bytes key, struct bytes value)
{
    struct first_row *first = context;
    struct bytes rest;
    (void)value;
    TRY(row_store_key_split(key, &first->bucket_ms, &rest, first->diag));
    return 1;
}

/* The end of the table's keys in the store. */
struct bytes row_store_end(const struct row_table *table, uint8_t out[1])
{
    if (table->number == UINT8_MAX)
        return (struct bytes){NULL, 0};
    out[0] = (uint8_t)(table->number + 1);
    return bytes_of(out, 1);
}

/* The first bucket at or after from_ms: 1, or 0 when there is none. */
static int store_seek(struct row_table *table, int64_t from_ms, int64_t *bucket_ms,
                      struct diag *diag)
{
    uint8_t from[ROW_KEY_HEAD_BYTES], to[1];
    struct first_row first = {.diag = diag};
    row_key_head(table, from_ms, from);
    int rc = state_scan(table->env->state, bytes_of(from, sizeof from), row_store_end(table, to),
                        take_first, &first, diag);
    *bucket_ms = first.bucket_ms;
    return rc;
}

static int find_store_most(struct row_table *table, int64_t known_ms, struct diag *diag)
{
    uint64_t flip = 1ull << 63, low = (uint64_t)known_ms ^ flip, high = UINT64_MAX;
    while (low < high) { /* low is there, nothing is above high */
        uint64_t middle = low + (high - low) / 2 + 1;
        int64_t found_ms;
        int rc = store_seek(table, (int64_t)(middle ^ flip), &found_ms, diag);
        TRY(rc);
        if (rc > 0)
            low = (uint64_t)found_ms ^ flip;
        else
            high = middle - 1;
    }
    table->store_most_ms = (int64_t)(low ^ flip);
    return 0;
}

/* Before anything was evicted. */
int row_learn_store(struct row_table *table, struct diag *diag)
{
    if (__builtin_expect(table->knows_store, 1))
        return 0;
    table->store_most_ms = INT64_MIN;
    table->scan_bucket_ms = INT64_MAX;
    table->store_may_have = table->env->store_may_have;
    if (table->store_may_have) {
        int64_t first_ms, timed_ms;
        int rc = store_seek(table, INT64_MIN, &first_ms, diag);
        TRY(rc);
        table->store_may_have = rc > 0;
        if (rc > 0)
            TRY(find_store_most(table, first_ms, diag));
        rc = rc > 0 ? store_seek(table, INT64_MIN + 1, &timed_ms, diag) : 0;
        TRY(rc);
        if (rc > 0)
            table->scan_bucket_ms = timed_ms;
    }
    table->knows_store = true;
    return 0;
}

/* 1: the store has such a row. */
int row_ask_store(struct row_table *table, int64_t bucket_ms, struct bytes key, struct diag *diag)
{
    struct bytes stored, value;
    int rc = row_store_key(table, bucket_ms, key, &table->load, &stored);
    if (rc == 0)
        rc = state_get(table->env->state, stored, &table->load, &value, diag);
    arena_reset(&table->load);
    return rc;
}

/* ---- get ---- */

/* What the batch did not find in memory. */
struct misses {
    uint32_t count;
    uint32_t *at;
    struct bytes *keys, *values;
};

static int64_t bucket_at(const int64_t *buckets_ms, uint32_t i)
{
    return buckets_ms != NULL ? buckets_ms[i] : ROW_BUCKET_NONE;
}

static int add_miss(struct row_table *table, struct misses *misses, uint32_t n, uint32_t at)
{
    if (misses->at == NULL) {
        misses->at = arena_alloc(&table->load, n * sizeof *misses->at);
        if (misses->at == NULL)
            return ERR_NOMEM;
    }
    misses->at[misses->count++] = at;
    return 0;
}

static int probe_block(struct row_table *table, uint32_t first, uint32_t last, uint32_t n,
                       const int64_t *buckets_ms, const struct bytes *keys, struct bytes *values,
                       struct misses *misses)
{
    uint64_t hashes[PROBE_BLOCK];
    for (uint32_t i = first; i < last; i++) {
        hashes[i - first] = row_hash(bucket_at(buckets_ms, i), keys[i]);
        __builtin_prefetch(&table->slots[row_slot_home(table, hashes[i - first])]);
    }
    for (uint32_t i = first; i < last; i++)
        __builtin_prefetch(table->slots[row_slot_home(table, hashes[i - first])].row, 1);
    for (uint32_t i = first; i < last; i++) {
        int64_t bucket_ms = bucket_at(buckets_ms, i);
        struct row *row =
            table->slots[row_slot_find(table, hashes[i - first], bucket_ms, keys[i])].row;
        values[i] = (struct bytes){NULL, 0};
        if (row != NULL) {
            row->is_used = true;
            values[i] = row_value(row);
        } else if (row_may_be_stored(table, bucket_ms)) {
            TRY(add_miss(table, misses, n, i));
        }
    }
    return 0;
}

/* A row as the store has it; one that came twice in the batch is there already. */
static int take_loaded(struct row_table *table, int64_t bucket_ms, struct bytes key,
                       struct bytes value, struct bytes *result)
{
    TRY(row_slots_reserve(table));
    uint64_t hash = row_hash(bucket_ms, key);
    size_t at = row_slot_find(table, hash, bucket_ms, key);
    if (table->slots[at].row == NULL) {
        if (value.data != NULL)
            TRY(row_bucket_reserve(table, bucket_ms));
        struct row *row = row_create(table, at, hash, bucket_ms, key, value.size);
        if (row == NULL) {
            row_bucket_release(table, bucket_ms);
            return ERR_NOMEM;
        }
        if (value.data != NULL) {
            row_set(row, value);
            row->in_store = IN_STORE_YES;
            row_bucket_link(table, row);
        }
        table->has_evicted = false;
    }
    *result = row_value(table->slots[at].row);
    return 0;
}

static int load_misses(struct row_table *table, const int64_t *buckets_ms, const struct bytes *keys,
                       struct misses *misses, struct bytes *values, struct diag *diag)
{
    misses->keys = arena_alloc(&table->load, misses->count * sizeof *misses->keys);
    misses->values = arena_alloc(&table->load, misses->count * sizeof *misses->values);
    if (misses->keys == NULL || misses->values == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < misses->count; i++)
        TRY(row_store_key(table, bucket_at(buckets_ms, misses->at[i]), keys[misses->at[i]],
                          &table->load, &misses->keys[i]));
    TRY(state_get_many(table->env->state, misses->keys, misses->count, &table->load, misses->values,
                       diag));
    for (uint32_t i = 0; i < misses->count; i++)
        TRY(take_loaded(table, bucket_at(buckets_ms, misses->at[i]), keys[misses->at[i]],
                        misses->values[i], &values[misses->at[i]]));
    return 0;
}

int row_table_get_many(struct row_table *table, uint32_t n, const int64_t *buckets_ms,
                       const struct bytes *keys, struct bytes *values, struct diag *diag)
{
    struct misses misses = {0};
    int rc = row_learn_store(table, diag);
    for (uint32_t first = 0; rc == 0 && first < n; first += PROBE_BLOCK) {
        uint32_t last = n - first < PROBE_BLOCK ? n : first + PROBE_BLOCK;
        rc = probe_block(table, first, last, n, buckets_ms, keys, values, &misses);
    }
    if (rc == 0 && misses.count > 0)
        rc = load_misses(table, buckets_ms, keys, &misses, values, diag);
    if (misses.at != NULL)
        arena_reset(&table->load);
    return rc;
}
