/* agg_table.h: the in-memory table of groups: (window start, group key) → accumulator row; an ordered index of windows.
 *
 * It holds pending changes over a store: an entry is authoritative while it is here. Open addressing on a 64-bit hash, entries in
 * slabs with stable addresses, probes batched with prefetch. Windows are kept in time order so that closing is a walk from the front.
 * Entries carry marks that the owner uses for commit and eviction. One thread owns a table. */
#ifndef WEIR_OPERATORS_AGG_TABLE_H
#define WEIR_OPERATORS_AGG_TABLE_H

#include "operators/aggregate.h"

#define WINDOW_NONE INT64_MIN      /* the window start of groups without a window */

/* What a probe and an update look at lies together behind what they don't: with a short row and a short key that is little more than one
 * cache line. */
struct agg_entry {
    struct agg_entry *next_in_window;  /* private, as the next two */
    uint32_t previous_in_window;   /* reference; 0: first */
    uint32_t heap_bytes;           /* heap memory of the row that the table has counted */
    int64_t changelog_offset;      /* of its last committed change; -1: never committed; set by the owner */
    int64_t window_start_ms;
    uint32_t tag, key_bytes;       /* private, as units and row_units: half of the hash; size of the key */
    uint16_t units, row_units;     /* sizes of the entry and of its row in 8-byte units */
    uint8_t is_dirty;              /* on the dirty list */
    uint8_t is_new;                /* created by a probe and not initialised from the store yet: the owner clears it */
    uint8_t is_pair;               /* not a group but a value of one (distinct.h): words instead of accumulators */
    uint8_t is_ordered : 1;        /* a pair that its owner has on a list by key (pair_index.h): it leaves that first */
    uint8_t is_live : 1, key_is_outside : 1; /* private */
    uint64_t row[];                /* the accumulators, then the key when it is short, else a pointer to it */
};
static inline void *agg_entry_row(const struct agg_entry *entry) { return (void *)(uintptr_t)entry->row; }
/* Owned by the table. */
static inline struct bytes agg_entry_key(const struct agg_entry *entry)
{
    const uint8_t *key = (const uint8_t *)(entry->row + entry->row_units);
    if (__builtin_expect(entry->key_is_outside, 0))
        memcpy(&key, (const void *)key, sizeof key);
    return bytes_of(key, entry->key_bytes);
}

struct agg_table;
int agg_table_create(const struct agg_plan *plan, struct agg_table **table);
void agg_table_destroy(struct agg_table *table);
/* Finds or creates the entries of n (window start, key) pairs; entries[i] may repeat. window_starts NULL: WINDOW_NONE for all. Created entries have an initialised
 * row and is_new = 1. ERR_NOMEM (nothing is created half, entries made before stay). */
int agg_table_probe(struct agg_table *table, uint32_t n, const int64_t *window_starts_ms, const struct bytes *keys, struct agg_entry **entries);
/* The same for pairs, whose keys are no group's. A created entry has one word, 0, at agg_entry_row; two of a plan that takes back. */
int agg_table_probe_pairs(struct agg_table *table, uint32_t n, const int64_t *window_starts_ms, const struct bytes *keys, struct agg_entry **entries);
struct agg_entry *agg_table_find(struct agg_table *table, int64_t window_start_ms, struct bytes key);
/* The row of an entry may change until the next probe or removal, as if that one had returned it. */
void agg_table_touch(struct agg_table *table, struct agg_entry *entry);
void agg_table_remove(struct agg_table *table, struct agg_entry *entry);  /* must not be on the dirty list unless the list is rebuilt by the owner */
/* The same for many different ones; their waits for memory overlap. */
void agg_table_remove_many(struct agg_table *table, struct agg_entry *const *entries, size_t count);
void agg_table_clear(struct agg_table *table);                             /* keeps memory for reuse */
/* Puts entries on the dirty list (idempotent). ERR_NOMEM: none was put there. */
int agg_table_mark(struct agg_table *table, struct agg_entry *const *entries, uint32_t n);
/* Takes up to room entries off the front of the dirty list, in marking order, and clears their marks. Returns how many; 0: the list is empty. */
uint32_t agg_table_take_dirty(struct agg_table *table, struct agg_entry **entries, uint32_t room);
size_t agg_table_count(const struct agg_table *table);
size_t agg_table_bytes(const struct agg_table *table);                     /* memory in use; removing lowers it. Text accumulators included (estimate within 10 %): a row may change from the probe or find that
                                                                              returned it until the next probe or removal */
/* Window index: the smallest window start present, false when there is none. WINDOW_NONE is not a window here, and its entries are in no list. */
bool agg_table_first_window(const struct agg_table *table, int64_t *window_start_ms);
/* The entries of one window, linked through agg_entry_next_in_window; NULL when there is none. */
struct agg_entry *agg_table_window(const struct agg_table *table, int64_t window_start_ms);
static inline struct agg_entry *agg_entry_next_in_window(const struct agg_entry *entry) { return entry->next_in_window; }
/* Calls fn for each entry in slab order (no probe or remove of other entries inside; removing the entry itself is allowed). fn returns false to stop. Resumable: *cursor starts at 0. */
void agg_table_each(struct agg_table *table, size_t *cursor, bool (*fn)(void *context, struct agg_entry *entry), void *context);

#endif
