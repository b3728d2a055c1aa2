/* row_table_internal.h: what the files of the row table share: row_table.c (rows, put, save), row_table_load.c (get), row_table_expire.c (expiry, eviction). */
#ifndef WEIR_OPERATORS_ROW_TABLE_INTERNAL_H
#define WEIR_OPERATORS_ROW_TABLE_INTERNAL_H

#include "operators/op.h"
#include "operators/row_table.h"
#include "operators/window_index.h"
#include "runtime/base/hash.h"

enum {
    ROW_SLOTS_FIRST_LOG2 = 8,
    ROW_KEY_HEAD_BYTES = 9,
};
#define ROW_COMMIT_NONE INT64_MIN
#define ROW_NOT_DIRTY   UINT32_MAX

enum in_store { IN_STORE_NO, IN_STORE_YES, IN_STORE_UNKNOWN };

struct row {
    struct row *next, *previous; /* of its bucket, or among gone rows */
    int64_t bucket_ms;
    int64_t commit; /* the last one that wrote it; ROW_COMMIT_NONE: it is as the store has it */
    uint32_t key_bytes, value_bytes;
    uint32_t room_bytes;                           /* of the block behind the head */
    uint32_t dirty_place;                          /* in the array of dirty rows */
    uint8_t has_value, is_used, in_store, is_gone; /* is_gone: in the list of gone rows */
    uint8_t bytes[];                               /* key, value */
};

struct slot {
    uint64_t hash;
    struct row *row;
};

struct row_table {
    const struct op_env *env;
    uint8_t number;
    struct slot *slots;
    uint32_t slots_log2;
    size_t count, row_bytes;
    struct row **dirty;
    uint32_t dirty_count, dirty_capacity;
    struct window_index buckets; /* of live rows */
    struct row *gone_first, *gone_last;

    bool knows_store;      /* what follows has been found */
    bool store_may_have;   /* rows that are not in memory */
    int64_t store_most_ms; /* no such row has a later bucket */
    int64_t scan_bucket_ms; /* of times, none has an earlier one; nor, in this bucket, … */
    struct buf scan_key;    /* … a key of the store before this one; empty: any */

    size_t hand; /* eviction: the next slot */
    int64_t evicted_commit;
    bool has_evicted; /* the last round found no more; valid for evicted_commit */
    struct arena load;
};

static inline size_t row_slot_count(const struct row_table *table)
{
    return (size_t)1 << table->slots_log2;
}

static inline uint64_t row_hash(int64_t bucket_ms, struct bytes key)
{
    uint64_t hash = hash64(key.data, key.size) ^ (uint64_t)bucket_ms * 0x9E3779B97F4A7C15ULL;
    return (hash ^ hash >> 32) * 0xD6E8FEB86659FD93ULL;
}

static inline struct bytes row_key(const struct row *row)
{
    return bytes_of(row->bytes, row->key_bytes);
}

static inline struct bytes row_value(const struct row *row)
{
    return row->has_value ? bytes_of(row->bytes + row->key_bytes, row->value_bytes)
                          : (struct bytes){NULL, 0};
}

static inline bool row_is(const struct row *row, int64_t bucket_ms, struct bytes key)
{
    return row->bucket_ms == bucket_ms && row->key_bytes == key.size &&
           (key.size == 0 || memcmp(row->bytes, key.data, key.size) == 0);
}

static inline size_t row_slot_home(const struct row_table *table, uint64_t hash)
{
    return (size_t)(hash >> (64 - table->slots_log2));
}

/* The slot of the row, or the empty one where it would be. */
static inline size_t row_slot_find(const struct row_table *table, uint64_t hash, int64_t bucket_ms, struct bytes key)
{
    size_t mask = row_slot_count(table) - 1, at = row_slot_home(table, hash);
    while (table->slots[at].row != NULL &&
           (table->slots[at].hash != hash || !row_is(table->slots[at].row, bucket_ms, key)))
        at = (at + 1) & mask;
    return at;
}

static inline void row_set(struct row *row, struct bytes value)
{
    if (value.size > 0)
        memmove(row->bytes + row->key_bytes, value.data, value.size);
    row->value_bytes = (uint32_t)value.size;
    row->has_value = true;
}

static inline bool row_may_be_stored(const struct row_table *table, int64_t bucket_ms)
{
    return table->store_may_have && bucket_ms <= table->store_most_ms;
}

/* row_table.c. The slots; ERR_NOMEM. */
int row_slots_reserve(struct row_table *table);                /* for one row more */
int row_slots_resize(struct row_table *table, uint32_t log2);
size_t row_slot_of(const struct row_table *table, const struct row *row);

/* Buckets of live rows. */
int row_bucket_reserve(struct row_table *table, int64_t bucket_ms);
void row_bucket_release(struct row_table *table, int64_t bucket_ms);   /* when it holds no row */
void row_bucket_link(struct row_table *table, struct row *row);        /* the bucket has been reserved */
void row_bucket_unlink(struct row_table *table, struct row *row);
void row_gone_unlink(struct row_table *table, struct row *row);        /* of the list of gone rows, when it is there */
int row_dirty_reserve(struct row_table *table);                        /* for one row more */
void row_dirty_add(struct row_table *table, struct row *row);          /* there is room; idempotent */

/* A row without a value in this empty slot; room among the slots has been made. NULL: no memory. */
struct row *row_create(struct row_table *table, size_t at, uint64_t hash, int64_t bucket_ms, struct bytes key, size_t value_bytes);
/* Of the row in the slot, which is in no list any more. */
void row_free(struct row_table *table, size_t at);
/* Takes the value away from a row that has one; room among the dirty ones has been made. */
int row_remove(struct row_table *table, struct row *row, struct diag *diag);

/* row_table_load.c: what the store has. */
void row_key_head(const struct row_table *table, int64_t bucket_ms, uint8_t out[ROW_KEY_HEAD_BYTES]);
int row_store_key(const struct row_table *table, int64_t bucket_ms, struct bytes key, struct arena *arena, struct bytes *out);
int row_store_key_split(struct bytes in, int64_t *bucket_ms, struct bytes *key, struct diag *diag);   /* ERR_CORRUPT */
struct bytes row_store_end(const struct row_table *table, uint8_t out[1]);   /* of the table's keys */
/* Finds out what the store may have, at the first use: before anything is evicted. */
int row_learn_store(struct row_table *table, struct diag *diag);
/* 1: the store has such a row; 0: it has not. */
int row_ask_store(struct row_table *table, int64_t bucket_ms, struct bytes key, struct diag *diag);

#endif
