/* compact_internal.h: what the files of compaction share: compact.c (the pass), clean_batch.c (what stays of a batch), cleaned_file.c (the file
 * it goes to), key_map.c (the newest offset of each key), segment_swap.c. All of it belongs to one pass and one thread; segment_swap.c says
 * what it does about the others. */
#ifndef WEIR_LOG_COMPACT_INTERNAL_H
#define WEIR_LOG_COMPACT_INTERNAL_H

#include "log/log_internal.h"
#include "runtime/base/hash.h"

/* ---- key_map.c ---- */
struct key_slot {
    struct hash128 hash;
    int64_t next_offset;           /* the key's newest offset + 1; 0: the slot is empty */
};
struct key_map {
    struct key_slot *slots;
    uint64_t slot_count, used, limit;
};
/* At most memory_bytes, and no more than key_count keys need. ERR_NOMEM. */
int key_map_init(struct key_map *map, size_t memory_bytes, uint64_t key_count);
void key_map_deinit(struct key_map *map);
static inline struct key_slot *key_map_home(const struct key_map *map, struct hash128 hash)
{
    return &map->slots[(uint64_t)(((unsigned __int128)hash.low * map->slot_count) >> 64)];
}
static inline void key_map_prefetch(const struct key_map *map, struct hash128 hash) { __builtin_prefetch(key_map_home(map, hash)); }
static inline uint64_t key_map_room(const struct key_map *map) { return map->limit - map->used; }
/* Offsets come in ascending order. False: a new key has no room, nothing was changed. */
bool key_map_put(struct key_map *map, struct hash128 hash, int64_t offset);
/* Sets the bits of all offsets in the map, counted from base on, in bits of bit_count. */
void key_map_mark(const struct key_map *map, int64_t base, uint64_t *bits, uint64_t bit_count);
/* -1: not there. */
int64_t key_map_get(const struct key_map *map, struct hash128 hash);

/* ---- cleaned_file.c ---- */
struct cleaned_file {
    struct segment *segment;       /* the segment to be: its size, end and times grow with the file. Owned until cleaned_file_take */
    int fd;
    int64_t written, synced;       /* bytes */
    struct buf slice;              /* not written yet */
    struct index_builder index;
};
/* Makes <base>.log.cleaned, empty. */
int cleaned_file_open(struct cleaned_file *file, struct partition *partition, int64_t base_offset, struct diag *diag);
int cleaned_file_add(struct cleaned_file *file, const struct batch_header *header, struct bytes batch, struct diag *diag);
/* Everything is written and flushed, indexes and directory too. */
int cleaned_file_finish(struct cleaned_file *file, struct diag *diag);
/* The segment, and with it its files, are the caller's. The rest is freed. */
struct segment *cleaned_file_take(struct cleaned_file *file);
/* Removes the files and frees everything; nothing when it was taken or never opened. */
void cleaned_file_discard(struct cleaned_file *file);

/* ---- clean_batch.c ---- */
struct id_set { /* of producers */
    int64_t *ids;                  /* -1: empty */
    size_t count, capacity;        /* a power of two */
};
struct cleaner {
    struct partition *partition;
    int64_t now_ms, delete_retention_ms;
    int64_t start_offset;          /* records below may go */
    int64_t tombstones_needed;     /* from here on they stay: somebody follows the partition as a table */
    int64_t clean_end, map_end;    /* the map has the keys of what lies between */
    struct key_map map;
    uint64_t *newest;              /* a bit for each offset from clean_end to map_end: the newest of its key. NULL: look into the map */
    struct fetch aborted;          /* its list alone: transactions that overlap the current segment */
    size_t aborted_first;
    struct id_set with_data;       /* producers of whose open transaction something was kept */
    struct buf plain, records, encoded, batch;
    struct buf ended;              /* struct aborted: producer and marker of those whose abort marker went */
    /* what was found */
    int64_t tombstone_horizon, last_horizon_ms;
    int64_t kept, removed, tombstones_removed, markers_removed, keyless_removed;
    bool changed;                  /* something went, or was stamped, since the caller cleared it */
};
void cleaner_init(struct cleaner *cleaner, struct partition *partition);
void cleaner_deinit(struct cleaner *cleaner);
/* Brings the aborted transactions of a segment. */
int cleaner_begin_segment(struct cleaner *cleaner, const struct segment *segment, struct diag *diag);
/* Adds the keys of a batch to the map. 1: it is full; map_end is where it ends. */
int cleaner_map_batch(struct cleaner *cleaner, struct bytes batch, struct diag *diag);
/* After the last batch of the map: notes which offsets are in it, when that takes no more than memory_bytes. */
void cleaner_end_map(struct cleaner *cleaner, size_t memory_bytes);
/* What stays of a batch: empty when it goes, the batch itself when all of it stays, else borrowed until the next call. */
int cleaner_filter_batch(struct cleaner *cleaner, struct bytes batch, struct bytes *kept, struct diag *diag);

/* ---- segment_swap.c ---- */
struct segment_swap {
    struct partition *partition;
    struct segment *segment;       /* the new one, its files named .cleaned; owned */
    struct segment **old;          /* those it replaces, in order, each with a reference of ours; owned */
    int32_t old_count;
    struct aborted *ended;         /* aborted transactions of which nothing is left; sorted by last_offset; owned */
    size_t ended_count;
    int64_t start_offset;          /* of the partition when the new segment was made */
    struct meta_cleaned cleaned;   /* to be recorded with it */
};
/* Removes a segment's three .cleaned files, as far as they are there. */
void swap_remove_files(const struct segment *segment);
/* Frees what the swap owns; the files of a segment that was not swapped are removed. */
void segment_swap_destroy(struct segment_swap *swap);
/* Replaces the old segments. Takes over swap, whatever happens. 1: done; 0: the partition changed meanwhile, nothing was done; an error:
 * nothing was done, or (after the write to meta) it is pending and swap_settle goes on with it. */
int segment_swap_run(struct segment_swap *swap, struct diag *diag);
/* Before a pass: brings what an earlier one left to its end; purge_mutex held. */
int segment_swap_begin(struct partition *partition, struct diag *diag);
/* After the swaps of a pass: what they renamed is flushed, their records lose their flag, cleaned is recorded. */
int segment_swap_end(struct partition *partition, const struct meta_cleaned *cleaned, struct diag *diag);

#endif
