/* row_table_expire.c: rows that go, for good or to the store (see row_table.c). */
#include "operators/row_table_internal.h"

enum {
    WALK_AHEAD = 8, /* slots between the one that is looked at and the row that is fetched */
    SCAN_KEY_MAX_BYTES = 200,
};

/* ---- expire ---- */

struct expiry {
    struct row_table *table;
    int64_t before_ms, until_ms; /* the scan ends before this bucket, or there */
    uint32_t left;
    bool has_more;
    int (*each)(void *context, int64_t bucket_ms, struct bytes key, struct bytes value);
    void *context;
    struct diag *diag;
};

/* The first row that is in the store alone lies here or behind. Of a key the beginning will do, and
 * must: the store orders long keys that begin alike in its own way. */
static int scan_moves(struct row_table *table, int64_t bucket_ms, struct bytes stored)
{
    table->scan_bucket_ms = bucket_ms;
    buf_clear(&table->scan_key);
    buf_append(&table->scan_key, stored.data,
               stored.size < SCAN_KEY_MAX_BYTES ? stored.size : SCAN_KEY_MAX_BYTES);
    return buf_ok(&table->scan_key) ? 0 : ERR_NOMEM;
}

/* 1: far enough. */
static int expire_stored(void *context, struct bytes stored, struct bytes value)
{
    struct expiry *expiry = context;
    struct row_table *table = expiry->table;
    int64_t bucket_ms;
    struct bytes key;
    TRY(row_store_key_split(stored, &bucket_ms, &key, expiry->diag));
    if (bucket_ms >= expiry->until_ms) {
        TRY(scan_moves(table, bucket_ms, stored));
        return 1;
    }
    TRY(row_slots_reserve(table));
    TRY(row_dirty_reserve(table));
    uint64_t hash = row_hash(bucket_ms, key);
    size_t at = row_slot_find(table, hash, bucket_ms, key);
    if (table->slots[at].row != NULL)
        return 0;
    if (expiry->left == 0) {
        expiry->has_more = true;
        TRY(scan_moves(table, bucket_ms, stored));
        return 1;
    }
    if (expiry->each != NULL)
        TRY(expiry->each(expiry->context, bucket_ms, key, value));
    struct row *row = row_create(table, at, hash, bucket_ms, key, 0);
    if (row == NULL)
        return ERR_NOMEM;
    row->in_store = IN_STORE_YES;
    row_dirty_add(table, row);
    expiry->left--;
    return 0;
}

/* Rows that are in the store alone, in buckets before until_ms. */
static int expire_in_store(struct expiry *expiry)
{
    struct row_table *table = expiry->table;
    uint8_t head[ROW_KEY_HEAD_BYTES], to[1];
    if (!table->store_may_have || table->scan_bucket_ms >= expiry->until_ms)
        return 0;
    row_key_head(table, table->scan_bucket_ms, head);
    struct bytes from = bytes_of(head, sizeof head);
    if (table->scan_key.size > 0)
        TRY(row_store_key(table, table->scan_bucket_ms,
                          bytes_of(table->scan_key.data + ROW_KEY_HEAD_BYTES,
                                   table->scan_key.size - ROW_KEY_HEAD_BYTES),
                          &table->load, &from));
    int rc = state_scan(table->env->state, from, row_store_end(table, to), expire_stored, expiry,
                        expiry->diag);
    arena_reset(&table->load);
    if (rc == 0) {
        table->scan_bucket_ms = INT64_MAX;
        buf_clear(&table->scan_key);
    }
    return rc < 0 ? rc : 0;
}

/* Rows of the first bucket in memory. */
static int expire_in_memory(struct expiry *expiry, int64_t bucket_ms)
{
    struct row_table *table = expiry->table;
    struct window *bucket;
    while (expiry->left > 0 && (bucket = window_index_find(&table->buckets, bucket_ms)) != NULL) {
        struct row *row = bucket->first;
        TRY(row_dirty_reserve(table));
        if (expiry->each != NULL)
            TRY(expiry->each(expiry->context, bucket_ms, row_key(row), row_value(row)));
        TRY(row_remove(table, row, expiry->diag));
        expiry->left--;
    }
    return 0;
}

int row_table_expire(struct row_table *table, int64_t before_ms, uint32_t most,
                     int (*each)(void *context, int64_t bucket_ms, struct bytes key,
                                 struct bytes value),
                     void *context, struct diag *diag)
{
    struct expiry expiry = {table, before_ms, before_ms, most, false, each, context, diag};
    TRY(row_learn_store(table, diag));
    for (;;) {
        int64_t bucket_ms;
        bool in_memory = window_index_first(&table->buckets, &bucket_ms) && bucket_ms < before_ms;
        expiry.until_ms = in_memory ? bucket_ms + 1 : before_ms;
        TRY(expire_in_store(&expiry));
        if (expiry.has_more || (in_memory && expiry.left == 0))
            return 1;
        if (!in_memory)
            return 0;
        TRY(expire_in_memory(&expiry, bucket_ms));
    }
}

/* ---- evict ---- */

static void evict_gone(struct row_table *table, int64_t stored_commit)
{
    while (table->gone_first != NULL && table->gone_first->commit <= stored_commit) {
        struct row *row = table->gone_first;
        row_gone_unlink(table, row);
        row_free(table, row_slot_of(table, row));
    }
}

/* From now on the store alone has it. */
static void evict_live(struct row_table *table, struct row *row)
{
    row_bucket_unlink(table, row);
    table->store_may_have = true;
    if (row->bucket_ms > table->store_most_ms)
        table->store_most_ms = row->bucket_ms;
    if (row->bucket_ms != ROW_BUCKET_NONE && row->bucket_ms <= table->scan_bucket_ms) {
        table->scan_bucket_ms = row->bucket_ms;
        buf_clear(&table->scan_key);
    }
}

/* Two rounds: the first takes the marks of use away. True: nothing more can go. */
static bool evict_round(struct row_table *table, int64_t stored_commit, size_t target_bytes)
{
    size_t mask = row_slot_count(table) - 1;
    for (size_t left = 2 * row_slot_count(table); left > 0;) {
        if (row_table_bytes(table) <= target_bytes)
            return false;
        struct row *row = table->slots[table->hand].row;
        __builtin_prefetch(table->slots[(table->hand + WALK_AHEAD) & mask].row);
        bool is_used = row != NULL && row->is_used;
        if (is_used)
            row->is_used = false;
        if (row == NULL || is_used || row->dirty_place != ROW_NOT_DIRTY || row->is_gone ||
            row->commit > stored_commit) {
            table->hand = (table->hand + 1) & mask;
            left--;
            continue;
        }
        if (row->has_value)
            evict_live(table, row);
        row_free(table, table->hand); /* another one may have come into the slot */
    }
    return true;
}

void row_table_evict(struct row_table *table, int64_t stored_commit, size_t target_bytes)
{
    evict_gone(table, stored_commit);
    if (row_table_bytes(table) <= target_bytes ||
        (table->has_evicted && table->evicted_commit == stored_commit))
        return;
    table->has_evicted = evict_round(table, stored_commit, target_bytes);
    table->evicted_commit = stored_commit;
    uint32_t log2 = table->slots_log2;
    while (log2 > ROW_SLOTS_FIRST_LOG2 && table->count * 8 < (size_t)1 << log2)
        log2--;
    if (log2 < table->slots_log2)
        (void)row_slots_resize(table, log2); /* without memory it stays as large as it is */
}
