/* meta.h: the small facts about a log that are not records: topics, flushed ends, segments, producers, participants,
 * decisions, aborted ranges, group offsets. One LMDB environment in DIR/meta, always fully synced.
 *
 * Writes are collected in a struct meta_batch (a list of puts and deletes) and applied as one transaction; so a write
 * can be repeated as a whole when the map had to grow. Reads are scans and gets in short read transactions. Values
 * carry an XXH3 checksum over table, key and value. Layouts: docs/formats-log.md and meta_record.c.
 *
 * Threads: all functions may be called from any thread; a meta_batch belongs to one. Nobody else in log includes
 * lmdb.h. */
#ifndef WEIR_LOG_META_H
#define WEIR_LOG_META_H

#include "log/log.h"
#include "runtime/base/bytes.h"
#include "runtime/base/error.h"

enum meta_table {
    META_TOPICS,       /* name → struct meta_topic */
    META_PARTITIONS,   /* topic id, partition → struct meta_partition */
    META_STARTS,       /* topic id, partition → start offset */
    META_SEGMENTS,     /* topic id, partition, base offset → struct meta_segment: the closed ones */
    META_ABORTED,      /* topic id, partition, first offset, producer id → marker's offset */
    META_PRODUCERS,    /* transactional id → producer id, epoch */
    META_PARTICIPANTS, /* producer id → epoch, partitions with lower bounds */
    META_DECISIONS,    /* sequence number → struct meta_decision */
    META_OFFSETS,      /* group, topic id, partition → offset, commit time, metadata */
    META_COUNTERS,     /* name → number */
    META_CLEANED,      /* topic id, partition → what compaction did so far */
    META_GROUPS,       /* group → generation, since when it is empty */
    META_TRUNCATIONS,  /* topic id, partition → a cut that the next opening makes */
    META_USERS,        /* name → credentials (user.c) */
    META_ACLS,         /* number → a binding of the access lists (acl.c) */
    META_TXN_OFFSETS,  /* producer id, epoch, key in offsets → as there: counts when the open transaction is committed */
    META_TABLE_COUNT
};

enum { META_GROUP_BYTES = 400, META_TRANSACTIONAL_ID_BYTES = 400 }; /* longest names: LMDB keys end at 511 bytes */

struct meta;

/* map_bytes 0: 64 MiB at first; the map doubles when it is full. */
int meta_open(const char *dir, size_t map_bytes, struct meta **meta, struct diag *diag);
/* For reading alone: changes no file, not even LMDB's own lock, so that the caller must keep writers out. meta_apply fails. */
int meta_open_read_only(const char *dir, struct meta **meta, struct diag *diag);
void meta_close(struct meta *meta);

/* ---- writing ---- */
struct meta_batch {
    struct buf operations;
    size_t count;
};
void meta_batch_init(struct meta_batch *batch);
void meta_batch_deinit(struct meta_batch *batch);
void meta_batch_clear(struct meta_batch *batch);
/* Adds all operations of other at the end. */
void meta_batch_join(struct meta_batch *batch, const struct meta_batch *other);
void meta_put(struct meta_batch *batch, enum meta_table table, struct bytes key, struct bytes value);
void meta_delete(struct meta_batch *batch, enum meta_table table, struct bytes key);
/* The next put (of a value, which is borrowed as the key is) or delete of what is left of batch->operations. False: there is none. */
struct meta_operation {
    enum meta_table table;
    bool is_delete;
    struct bytes key, value;
};
bool meta_next_operation(struct bytes *rest, struct meta_operation *operation);
/* Whether some operation of batch names the key. */
bool meta_batch_names(const struct meta_batch *batch, enum meta_table table, struct bytes key);
/* Applies all operations as one durable transaction. 0; ERR_FULL: the disk is full, nothing was applied; ERR_NOMEM: the
 * batch or LMDB lacked memory, nothing was applied; ERR_IO: the outcome is unknown, the caller stops the writer. */
int meta_apply(struct meta *meta, const struct meta_batch *batch, struct diag *diag);

/* ---- reading ---- */
/* The value without its checksum into value (cleared first). ERR_NOT_FOUND, ERR_CORRUPT. */
int meta_get(struct meta *meta, enum meta_table table, struct bytes key, struct buf *value, struct diag *diag);
/* Calls fn for each entry whose key begins with prefix, in key order; a result other than 0 ends the scan and is returned. fn
 * borrows key and value and must not call meta. */
typedef int (*meta_scan_fn)(void *context, struct bytes key, struct bytes value, struct diag *diag);
int meta_scan(struct meta *meta, enum meta_table table, struct bytes prefix, meta_scan_fn fn, void *context, struct diag *diag);

/* ---- typed records (meta_record.c) ---- */
enum meta_topic_state { META_TOPIC_LIVE = 0, META_TOPIC_DELETING = 1 };
struct meta_topic {
    struct uuid id;
    enum meta_topic_state state;
    int32_t partitions;
    int64_t created_ms;
    uint16_t config_count;
    struct bytes config; /* config_count times: u16 key size, key, u16 value size, value */
};
void meta_put_topic(struct meta_batch *batch, const char *name, const struct meta_topic *topic);
void meta_delete_topic(struct meta_batch *batch, const char *name);
int meta_read_topic(struct bytes key, struct bytes value, char name[250], struct meta_topic *topic);

struct meta_place { /* names a partition */
    struct uuid topic;
    int32_t partition;
};
enum { META_PLACE_BYTES = 20 };
void meta_encode_place(uint8_t out[META_PLACE_BYTES], const struct meta_place *place);

struct meta_partition {
    int64_t flushed_end;
    int64_t segment_base;     /* of the segment that flushed_position lies in; -1: there is none */
    int64_t flushed_position; /* bytes of that segment below flushed_end */
    int64_t segment_created_ms;
};
void meta_put_partition(struct meta_batch *batch, const struct meta_place *place, const struct meta_partition *partition);
void meta_delete_partition(struct meta_batch *batch, const struct meta_place *place);
int meta_read_partition(struct bytes key, struct bytes value, struct meta_place *place, struct meta_partition *partition);

/* The start offset has a table of its own: purge writes it, the flusher writes the record above. */
void meta_put_start(struct meta_batch *batch, const struct meta_place *place, int64_t start_offset);
void meta_delete_start(struct meta_batch *batch, const struct meta_place *place);
int meta_read_start(struct bytes key, struct bytes value, struct meta_place *place, int64_t *start_offset);

enum {
    META_SEGMENT_COMPACTED = 1, /* compaction wrote it: its offsets have gaps, and it may be empty */
    META_SEGMENT_SWAPPING = 2,  /* its file may still be named .cleaned, and what it replaces may still be there */
    META_SEGMENT_FLAGS = META_SEGMENT_COMPACTED | META_SEGMENT_SWAPPING
};
struct meta_segment {
    int64_t base_offset, end_offset, size_bytes, max_timestamp_ms, last_write_ms;
    uint32_t flags;
};
void meta_put_segment(struct meta_batch *batch, const struct meta_place *place, const struct meta_segment *segment);
void meta_delete_segment(struct meta_batch *batch, const struct meta_place *place, int64_t base_offset);
int meta_read_segment(struct bytes key, struct bytes value, struct meta_place *place, struct meta_segment *segment);

/* What compaction did so far. */
struct meta_cleaned {
    int64_t clean_end;         /* keys below it stand once each, but for those that came again since */
    int64_t tombstone_horizon; /* deletions below it may be forgotten: partition_tombstone_horizon */
    int64_t cleaned_ms;        /* when the last pass ended */
    int64_t last_horizon_ms;   /* after it, a pass finds tombstones or markers to remove; -1: there are none */
};
void meta_put_cleaned(struct meta_batch *batch, const struct meta_place *place, const struct meta_cleaned *cleaned);
void meta_delete_cleaned(struct meta_batch *batch, const struct meta_place *place);
int meta_read_cleaned(struct bytes key, struct bytes value, struct meta_place *place, struct meta_cleaned *cleaned);

enum { TRUNCATION_MARKERS = 1000 };
struct meta_truncation_marker { /* ends a transaction that the cut leaves open */
    int64_t producer_id, first_offset;
    int16_t epoch;
    bool commit;
};
struct meta_truncation {
    int64_t offset;             /* the partition's end from then on */
    int64_t segment_base;       /* of the file that the cut lies in; -1: all files go */
    int64_t position;           /* in it */
    int64_t segment_end;        /* what a closed segment's record will say, with the next two */
    int64_t max_timestamp_ms;
    uint32_t flags;
    int32_t leader_epoch;       /* from then on */
    uint32_t count;
    struct meta_truncation_marker markers[TRUNCATION_MARKERS];
};
void meta_put_truncation(struct meta_batch *batch, const struct meta_place *place, const struct meta_truncation *truncation);
void meta_delete_truncation(struct meta_batch *batch, const struct meta_place *place);
int meta_read_truncation(struct bytes key, struct bytes value, struct meta_place *place, struct meta_truncation *truncation);

void meta_put_aborted(struct meta_batch *batch, const struct meta_place *place, const struct aborted *aborted);
void meta_delete_aborted(struct meta_batch *batch, const struct meta_place *place, const struct aborted *aborted);
int meta_read_aborted(struct bytes key, struct bytes value, struct meta_place *place, struct aborted *aborted);

struct meta_producer {
    int64_t producer_id;
    int16_t epoch;
    int64_t updated_ms;
    enum txn_outcome outcome; /* of the epoch's transactions; kept for those that asked for it */
    int32_t timeout_ms;
};
void meta_put_producer(struct meta_batch *batch, const char *transactional_id, const struct meta_producer *producer);
int meta_read_producer(struct bytes value, struct meta_producer *producer);

struct meta_participant {
    struct meta_place place;
    int64_t lower_bound; /* nothing of the open transaction lies below it */
};
/* participants: count of them, read one after the other with meta_take_participant. */
struct meta_participants {
    int64_t producer_id;
    int16_t epoch;
    uint32_t count;
    struct bytes rest;
};
void meta_put_participants(struct meta_batch *batch, int64_t producer_id, int16_t epoch,
                           const struct meta_participant *participants, uint32_t count);
void meta_delete_participants(struct meta_batch *batch, int64_t producer_id);
int meta_read_participants(struct bytes key, struct bytes value, struct meta_participants *participants);
int meta_take_participant(struct meta_participants *participants, struct meta_participant *participant);

struct meta_decision_part {
    struct meta_place place;
    int64_t first_offset, end_offset; /* of the transaction's records there */
};
struct meta_decision {
    uint64_t sequence;
    int64_t producer_id;
    int16_t epoch;
    bool commit;
    uint32_t count;
    struct bytes rest;
};
void meta_put_decision(struct meta_batch *batch, const struct meta_decision *decision, const struct meta_decision_part *parts);
void meta_delete_decision(struct meta_batch *batch, uint64_t sequence);
int meta_read_decision(struct bytes key, struct bytes value, struct meta_decision *decision);
int meta_take_decision_part(struct meta_decision *decision, struct meta_decision_part *part);

enum { META_METADATA_BYTES = 4096 }; /* longest metadata of an offset */
struct meta_offset {
    int64_t offset, commit_time_ms;
    struct bytes metadata;
    bool of_app; /* does not expire */
};
void meta_put_offset(struct meta_batch *batch, const char *group, const struct meta_place *place, const struct meta_offset *offset);
void meta_delete_offset(struct meta_batch *batch, const char *group, const struct meta_place *place);
/* Appends the key to out. */
void meta_encode_offset_key(struct buf *out, const char *group, const struct meta_place *place);
int meta_read_offset_key(struct bytes key, struct bytes *group, struct meta_place *place);
int meta_read_offset(struct bytes value, struct meta_offset *offset);

/* Offsets of a client's open transaction. offsets: a batch of meta_put_offset; each of them is put aside under the producer's name, or taken away from there. */
void meta_put_txn_offsets(struct meta_batch *batch, int64_t producer_id, int16_t epoch, const struct meta_batch *offsets);
void meta_delete_txn_offsets(struct meta_batch *batch, int64_t producer_id, int16_t epoch, const struct meta_batch *offsets);
/* offset_key: borrowed from key. */
int meta_read_txn_offset_key(struct bytes key, int64_t *producer_id, int16_t *epoch, struct bytes *offset_key);

struct meta_group {
    int32_t generation;       /* the last that was given out */
    int64_t empty_since_ms;   /* epoch ms; -1: it had members when this was written */
    struct bytes protocol_type, assignor;
};
void meta_put_group(struct meta_batch *batch, const char *group, const struct meta_group *record);
void meta_delete_group(struct meta_batch *batch, const char *group);
int meta_read_group(struct bytes value, struct meta_group *record);

void meta_put_counter(struct meta_batch *batch, const char *name, int64_t value);
/* 0 when it was never written. */
int meta_get_counter(struct meta *meta, const char *name, int64_t *value, struct diag *diag);

#endif
