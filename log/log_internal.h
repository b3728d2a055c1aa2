/* log_internal.h: what the files of log/ share with each other, and nobody else sees.
 *
 * Lock order (take from top to bottom, never upwards; README.md says what each protects):
 *   keeper.pass_mutex → log.groups_mutex → log.topics_mutex → partition.purge_mutex → log.producers_mutex → producer.mutex → partition.snapshot_mutex → partition.mutex
 *   → partition.list_mutex → flusher.mutex → fd_cache.everything_mutex → fd_cache.mutex → the coordinator's; and, held alone: partition.watch_mutex, log.status_mutex, keeper.mutex, log.acl_mutex, LMDB's writer lock inside meta_apply.
 * No partition lock but purge_mutex and snapshot_mutex (and the keeper's pass_mutex, groups_mutex) is held over an fdatasync or over a write to meta. */
#ifndef WEIR_LOG_LOG_INTERNAL_H
#define WEIR_LOG_LOG_INTERNAL_H

#include "log/coordinator.h"
#include "log/log.h"
#include "log/meta.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    LOG_PATH_BYTES = 4096,
    INDEX_INTERVAL_BYTES = 4096,   /* one index entry for so many bytes of records */
    INDEX_PENDING = 32,            /* entries kept in memory before they are written */
    MARKER_BYTES = 78,
    MARKER_ROOM_BYTES = 4096,      /* reserved ahead of a decision, for its markers */
    RECHECK_BYTES = 65536,         /* so much below the flushed end is verified when a log is opened */
    HINT_COUNT = 16,
    PARTITION_LIMIT = 10000
};
#define NO_OFFSET INT64_MAX /* "no undecided transaction" */

/* ---- config_key.c, config.c ---- */
enum { CONFIG_TEXT_LIMIT_BYTES = 4096, COMPRESSION_PRODUCER = -1 };
struct topic_config { /* effective values; the names are Kafka's keys */
    int64_t segment_bytes, segment_ms, segment_index_bytes;
    int64_t max_message_bytes, timestamp_before_max_ms, timestamp_after_max_ms;
    int64_t retention_ms, retention_bytes; /* -1: no limit */
    int64_t min_compaction_lag_ms, max_compaction_lag_ms, delete_retention_ms;
    double min_cleanable_dirty_ratio;
    int compression;      /* enum codec, or COMPRESSION_PRODUCER */
    bool log_append_time;
    bool deletes, compacted; /* what cleanup.policy names */
    bool internal;
};
struct config_set { /* what a topic's creator set; texts are owned */
    size_t count;
    struct config_pair { char *key, *value; } *pairs;
};
void config_set_deinit(struct config_set *set);
/* Checks and merges entries into set. On error set is unchanged. */
int config_set_merge(struct config_set *set, const struct config_entry *entries, size_t count, struct diag *diag);
int config_set_copy(const struct config_set *from, struct config_set *to);
int config_set_encode(const struct config_set *set, struct buf *out);
int config_set_decode(struct bytes in, uint16_t count, struct config_set *set);
/* Effective values. */
void config_effective(const struct config_set *set, const struct log_options *options, struct topic_config *config);
/* Text of one key; ERR_NOT_FOUND for an unknown key or one without value or default. */
int config_text(const struct config_set *set, const struct log_options *options, const char *key, char *value, size_t value_size, bool *is_set);
/* Levenshtein distance, for hints; SIZE_MAX when b is longer than EDIT_DISTANCE_BYTES. */
enum { EDIT_DISTANCE_BYTES = 256 };
size_t edit_distance(const char *a, const char *b);

/* The largest distance at which a hint for this name still helps: a third of its bytes, as for commands. */
size_t edit_distance_limit(const char *name);

/* ---- lock.c ---- */
/* Takes DIR/LOCK for this process. ERR_BUSY names the holder. */
int lock_take(const char *dir, int *fd, struct diag *diag);
void lock_release(int fd);
/* For reading: shared with other readers, without writing to DIR. *fd is -1 when there is no LOCK to take. */
int lock_take_shared(const char *dir, int *fd, struct diag *diag);
/* Whether DIR is, or may become, a data directory: before anything is written into it. */
int format_precheck(const char *dir, bool may_create, struct diag *diag);
/* Reads or (may_create) writes DIR/FORMAT. */
int format_check(const char *dir, bool may_create, struct diag *diag);

/* ---- fd_cache.c ---- */
struct segment;
struct fd_cache {
    pthread_mutex_t mutex;
    pthread_mutex_t everything_mutex; /* one flush of the whole file system at a time */
    struct segment *newest, *oldest; /* open descriptors, by last use */
    int32_t open_count, limit;
};
void fd_cache_init(struct fd_cache *cache);
void fd_cache_deinit(struct fd_cache *cache);
/* See log_leave_files. */
void fd_cache_leave(struct fd_cache *cache, int64_t count);
/* Opens the segment's .log when it is not, and keeps it open until the matching unpin. ERR_STATE: it is closed, and compaction put another
 * file in its place: look again. */
int segment_pin(struct segment *segment, int *fd, struct diag *diag);
void segment_unpin(struct segment *segment);
/* Before the rename that gives the segment's name to another file (and back, when it failed). */
void segment_set_replaced(struct segment *segment, bool replaced);
/* io_open, and, where the process or the system has no descriptor left, closes cached ones for it. ERR_NOMEM names ulimit -n. */
int log_open_file(struct log *log, const char *path, int flags, int *fd, struct diag *diag);
/* io_fsync_dir; where not one descriptor can be had the whole file system is flushed through one that the log keeps for that. */
int log_flush_directory(struct log *log, const char *path, struct diag *diag);
int log_flush_everything(struct log *log, struct diag *diag);
/* Closes the descriptor of a segment that goes away; nobody has it pinned. */
void segment_forget_fd(struct segment *segment);

/* ---- segment.c, segment_index.c ---- */
struct index_entry {
    int32_t relative_offset; /* of the batch's last record */
    int32_t position;        /* of the batch in .log */
};
struct time_entry {
    int64_t timestamp_ms;    /* the largest so far */
    int32_t relative_offset; /* last offset of the batch that has it */
};
struct segment_index {       /* owner: partition.list_mutex */
    int32_t entry_count, time_count;     /* in the files */
    int32_t pending_count, time_pending_count;
    struct index_entry pending[INDEX_PENDING];
    struct time_entry time_pending[INDEX_PENDING];
    int64_t bytes_since_entry;
    int64_t last_time_ms;                /* of the last time entry, INT64_MIN: none */
    bool broken;                         /* a write failed: rebuilt on the next open */
};
struct segment {
    struct partition *partition;
    int64_t base_offset;
    int64_t end_offset;                  /* of a closed one; -1: active. list_mutex */
    _Atomic int64_t size_bytes;          /* whole batches; written by the holder of partition.mutex */
    _Atomic int64_t flushed_bytes;
    _Atomic int64_t checked_bytes;       /* a fetch of this process has checked the CRCs of the batches up to here */
    _Atomic int64_t appended_from;       /* this process has written what is from here on; INT64_MAX: nothing */
    int64_t reserved_bytes;              /* the file has blocks up to here; partition.mutex */
    int64_t created_ms, last_write_ms;   /* partition.mutex; constant once closed */
    int64_t max_timestamp_ms;            /* list_mutex; INT64_MIN: empty */
    int64_t max_timestamp_offset;
    struct segment_index *index;         /* NULL once closed */
    bool compacted;                      /* offsets have gaps. Constant once in the list */
    bool swapping;                       /* META_SEGMENT_SWAPPING; purge_mutex */
    bool is_cleaned;                     /* its files are named .cleaned yet. Constant once in the list */
    atomic_bool replaced;                /* compaction put another file in its place; written under fd_cache.mutex */
    bool recorded;                       /* meta has its closing record; list_mutex, set by the decider and recovery */
    bool cut_needed;                     /* a failed write left bytes after size_bytes; partition.mutex */
    int32_t references;                  /* list_mutex: the list's own, readers, the flusher */
    int fd, pins;                        /* fd_cache.mutex */
    struct segment *newer, *older;
};
void segment_path(const struct segment *segment, const char *suffix, char path[LOG_PATH_BYTES]);
/* What meta records of a closed one. */
struct meta_segment segment_record(const struct segment *segment);
struct segment *segment_new(struct partition *partition, int64_t base_offset);
void segment_free(struct segment *segment);
/* Creates the files of a new active segment. */
int segment_create_files(struct segment *segment, struct diag *diag);
/* Writes one batch at the end: nothing changed on failure. Caller holds partition.mutex. */
int segment_write(struct segment *segment, const uint8_t *batch, size_t size, struct diag *diag);
/* Makes the batch just written visible: size, timestamps, index. Caller holds list_mutex. */
void segment_publish(struct segment *segment, const struct batch_header *header, int64_t position);
/* Cuts the file at size_bytes. */
int segment_cut(struct segment *segment, struct diag *diag);
int segment_reserve(struct segment *segment, int64_t bytes_ahead, struct diag *diag);
/* Removes the three files: renames them to ….deleted first (purge.c says why), then unlinks them. Missing ones are fine. */
#define SEGMENT_DELETED_SUFFIX ".deleted"
int segment_remove_files(struct segment *segment, struct diag *diag);

/* Notes a batch for the indexes, as Kafka does: an entry after each 4096 bytes. */
void index_note(struct segment *segment, const struct batch_header *header, int64_t position);
/* Whether another entry, and the time entry that closing adds, would take one of the files over limit_bytes. partition.mutex. */
bool index_is_full(const struct segment *segment, int64_t limit_bytes);
/* Writes what is pending. A failure marks the index broken, no more: it can be rebuilt. */
void index_write_pending(struct segment *segment);
/* Writes a closed segment's indexes anew from its batches. */
int index_rebuild(struct segment *segment);
/* On roll: the last time entry, then all pending; the index memory is freed. */
void index_close(struct segment *segment);
/* Position of a batch at or before the one that holds offset. Always right, whatever the index file holds: at worst 0. tail: a copy of
 * the active segment's index, NULL for a closed one. */
int64_t index_find_offset(struct segment *segment, const struct segment_index *tail, int64_t offset);
/* Position of the last batch with an entry that begins at or before position; 0: none is known. */
int64_t index_find_position(struct segment *segment, const struct segment_index *tail, int64_t position);
/* An offset such that no record before it has a timestamp ≥ timestamp_ms. */
int64_t index_find_time(struct segment *segment, const struct segment_index *tail, int64_t timestamp_ms);
/* Both indexes of a segment that is written or read from its first batch to its last. */
struct index_builder {
    struct buf entries, times;           /* what the files hold; taken out by whoever writes them */
    int64_t base_offset, since, largest_ms, largest_offset, last_time_ms;
};
void index_builder_init(struct index_builder *builder, int64_t base_offset);
void index_builder_deinit(struct index_builder *builder);
void index_builder_note(struct index_builder *builder, const struct batch_header *header, int64_t position);
/* After the last batch: the last time entry. ERR_NOMEM when any entry was lost. */
int index_builder_end(struct index_builder *builder);
/* Recovery: loads the index files of the active segment and keeps the entries that agree with the file up to limit_bytes; gives
 * a batch position at or before limit_bytes - RECHECK_BYTES to start checking from, with the offset expected there. The index
 * memory is then as it was when that batch was noted last, and entries after it are forgotten (but see index_settle). */
int index_load(struct segment *segment, int64_t limit_bytes, int64_t *position, int64_t *offset, struct diag *diag);
/* After the walk: brings the files to what the memory says, writing only where they differ. */
int index_settle(struct segment *segment, struct diag *diag);

/* Walks the batches of a segment's file from a position to a limit. */
struct segment_scan {
    struct segment *segment;
    int fd;
    int64_t position, limit;       /* of the next batch; end of what may be read */
    bool whole;                    /* bring whole batches, not only headers */
    struct buf chunk;
    int64_t chunk_position;
    size_t chunk_size;
};
int segment_scan_open(struct segment_scan *scan, struct segment *segment, int64_t position, int64_t limit, bool whole, struct diag *diag);
void segment_scan_close(struct segment_scan *scan);
/* 1: a batch at *position (borrowed bytes: the header, or all of it with whole); 0: the limit; ERR_RANGE: the limit cuts a batch;
 * ERR_CORRUPT: no batch header there. On an error scan->position stays on the bad batch. */
int segment_scan_next(struct segment_scan *scan, struct batch_header *header, struct bytes *batch, int64_t *position, struct diag *diag);

/* ---- producer_state.c ---- */
enum { PRODUCER_BATCHES = 5, PRODUCERS_PER_PARTITION = 16384 };
struct producer_batch {
    int32_t first_sequence, last_sequence;
    int64_t last_offset;
};
struct producer_entry {
    int64_t producer_id, last_write_ms;  /* by this machine's clock */
    int64_t txn_first_offset;            /* of the transaction whose marker has not come yet; -1: none */
    struct producer_batch batches[PRODUCER_BATCHES]; /* a ring */
    int32_t coordinator_epoch;           /* of the last marker; -1: none */
    int16_t epoch;
    uint8_t batch_count, newest;
    int32_t next;                        /* in the chain of its hash, or of unused places */
    int32_t newer, older;                /* by last write */
};
struct producer_table {                  /* all under partition.mutex; zero: empty */
    struct producer_entry *entries;
    int32_t *heads;
    int32_t count, capacity;             /* a power of two; of both arrays */
    int32_t unused, oldest, newest;
};
struct partition;
void producer_table_deinit(struct producer_table *table);
/* NULL: not known. */
struct producer_entry *producer_table_find(const struct producer_table *table, int64_t producer_id);
/* Judges a batch of a producer (id ≥ 0); partition.mutex held. 0: it goes on; 1: it was written already, its records begin at *base_offset;
 * ERR_FENCED, ERR_SEQUENCE, ERR_INVALID. */
int producer_state_check(struct partition *partition, const struct batch_header *header, int64_t *base_offset, struct diag *diag);
/* Room for one more producer, so that the next note cannot fail; partition.mutex held. ERR_NOMEM. */
int producer_state_reserve(struct partition *partition);
/* A batch or marker stands in the log at header->base_offset; partition.mutex held. Nothing is judged: recovery tells what is there. */
void producer_state_note(struct partition *partition, const struct batch_header *header, int64_t now_ms);
/* Whether the batch that ends with last_offset is the newest of a producer that is still known: compaction keeps its header. Takes partition.mutex. */
bool producer_state_is_last(struct partition *partition, int64_t producer_id, int64_t last_offset);
/* Forgets who wrote nothing for expiry_ms and has no open transaction; returns how many. Takes partition.mutex. */
int32_t producer_state_expire(struct partition *partition, int64_t now_ms, int64_t expiry_ms);
/* The next entry by last write, oldest first; after NULL: the first. partition.mutex held. */
const struct producer_entry *producer_state_each(const struct partition *partition, const struct producer_entry *after);
/* Adds an entry of a snapshot (links apart). ERR_CORRUPT: its id is there already; ERR_NOMEM. Before other threads exist, or partition.mutex held. */
int producer_state_load(struct partition *partition, const struct producer_entry *loaded);

/* ---- snapshot.c ---- */
enum {
    SNAPSHOT_BYTES = 16 << 20,           /* appended since the last one: the keeper makes the next */
    SNAPSHOT_CLOSE_BYTES = 256 << 10     /* so much less is read again faster than a snapshot is flushed at a clean close */
};
/* The state of a partition's producers as a file's content, and back (into an empty table); partition.mutex held, or no other thread.
 * next_offset: the one in the file's name. ERR_CORRUPT with the reason. */
int snapshot_encode(const struct partition *partition, struct buf *out);
int snapshot_decode(struct partition *partition, struct bytes in, int64_t next_offset, struct diag *diag);
/* Before the first numbered batch: an empty one. From then on the partition tracks its producers. */
int snapshot_begin(struct partition *partition, struct diag *diag);
/* Makes one when after_bytes were appended since the last, or a segment was rolled; older ones are removed. Flushes: no partition locks held. */
int snapshot_take(struct partition *partition, int64_t after_bytes, struct diag *diag);
/* Makes one when the newest lies below offset. */
int snapshot_before_purge(struct partition *partition, int64_t offset, struct diag *diag);
/* Opening: loads the newest snapshot and reads the headers that follow. Also after the end of a partition was cut off, while nobody appends. A log that
 * is read only keeps the snapshots that cannot be used. */
int recover_producers(struct partition *partition, struct diag *diag);

/* ---- topics and partitions ---- */
struct topic {
    struct log *log;
    char name[250];
    struct uuid id;
    int32_t partition_count;
    int64_t created_ms;
    struct config_set config;      /* log.topics_mutex */
    /* What is in force now: as in struct topic_config. Written under log.topics_mutex, read by anyone: each use loads what it
     * needs once. */
    _Atomic int64_t segment_bytes, segment_ms, segment_index_bytes;
    _Atomic int64_t max_message_bytes, timestamp_before_max_ms, timestamp_after_max_ms;
    _Atomic int64_t retention_ms, retention_bytes;
    _Atomic int64_t min_compaction_lag_ms, max_compaction_lag_ms, delete_retention_ms;
    _Atomic double min_cleanable_dirty_ratio;
    atomic_int compression;
    atomic_bool log_append_time, deletes, compacted, internal;
    _Atomic int64_t seen_ms;       /* the clock when a batch was admitted last; 0: none yet */
    struct partition **partitions; /* like partition_count: log.topics_mutex, since growth replaces the array */
    struct partition ***outgrown;  /* arrays of before; kept until the topic is freed, for whoever still walks one */
    int32_t outgrown_count;
    struct topic *next_deleted;    /* deleted topics wait here for log_close */
};

struct open_txn {
    int64_t producer_id, first_offset;
};
struct watcher {
    void (*fn)(void *context);
    void *context;
    bool committed; /* told only when the last stable offset has moved */
};
struct read_hint {
    int64_t offset, position;
    struct segment *segment;
};
struct partition {
    struct log *log;
    struct topic *topic;
    int32_t index;

    pthread_mutex_t purge_mutex;   /* one purge at a time; held over its write to meta */
    pthread_mutex_t mutex;         /* appends, rolls, open transactions, producers */
    struct open_txn *open_txns;
    int32_t open_count, open_capacity;
    struct segment *active;        /* the last of segments; NULL: no file yet */
    struct producer_table producers;
    int64_t snapshot_bytes;        /* appended since the last snapshot */
    bool snapshot_rolled;          /* a segment was closed since then */
    atomic_bool tracks_producers;  /* there is a snapshot; never false again */

    pthread_mutex_t snapshot_mutex; /* one snapshot at a time; held over its flush */
    int64_t *snapshots;            /* next offsets in the names of the files, ascending */
    int32_t snapshot_count, snapshot_capacity;

    pthread_mutex_t list_mutex;    /* segments, aborted, hints, stop reason */
    struct segment **segments;
    int32_t segment_count, segment_capacity;
    struct aborted *aborted;       /* sorted by last offset */
    size_t aborted_count, aborted_capacity;
    struct read_hint hints[HINT_COUNT];
    uint64_t swaps;                /* of segments by compaction, since the log was opened */
    struct diag stop_reason;

    struct meta_cleaned cleaned;   /* purge_mutex */
    int64_t tombstones_needed;     /* from this offset on; INT64_MAX: none. purge_mutex */
    struct segment_swap *pending_swap; /* recorded in meta, and not in the directory yet; purge_mutex */
    bool swap_stuck;               /* what a swap did is not known to be durable: no more of them; purge_mutex */
    _Atomic int64_t tombstone_horizon;
    _Atomic int32_t leader_epoch;  /* that batches get; set before other threads exist */

    _Atomic int64_t start_offset, end_offset, flushed_end, first_undecided;
    _Atomic int64_t last_marker;   /* where the newest one since the log was opened lies; -1: there is none */
    atomic_int status;             /* 0 or the code that stopped it */
    atomic_bool deleted;
    bool directory_dirty;          /* a file was made and its directory not flushed; partition.mutex */
    bool lost_tail;                /* opening took something off its end; set before other threads exist */

    /* flusher.mutex */
    atomic_bool dirty;
    bool urgent;
    int32_t waiter_count;          /* in partition_wait */
    int64_t dirty_since_ms;
    struct partition *next_dirty, *previous_dirty;
    bool unrecorded;               /* flushed is ahead of what meta has; in flusher.unrecorded */
    bool in_pass;                  /* the decider records it now */
    struct partition *next_unrecorded;
    struct meta_partition flushed; /* what a record of the flushed end would say */
    struct round *in_round;        /* that flushes it, one at a time */
    bool wanted;                   /* by a transaction that waits for all its partitions: no round of tails takes it */

    pthread_mutex_t watch_mutex;
    pthread_cond_t watch_quiet;
    struct watcher *watchers;
    int32_t watcher_count, watchers_running;
};

struct meta_place partition_place(const struct partition *partition);
void partition_directory(const struct partition *partition, char path[LOG_PATH_BYTES]);
struct partition *partition_new(struct topic *topic, int32_t index);
void partition_free(struct partition *partition);
int partition_add_segment(struct partition *partition, struct segment *segment); /* list_mutex held */
/* Stops the partition (first reason wins) and says so once. Returns code. */
int partition_stop(struct partition *partition, int code, const struct diag *diag);
/* 0 when the partition can be read (written). */
int partition_readable(struct partition *partition, struct diag *diag);
int partition_writable(struct partition *partition, struct diag *diag);
int64_t partition_high_watermark(struct partition *partition);
int64_t partition_stable(struct partition *partition);
/* Calls watchers: all, or, when the last stable offset has not moved, only those of whatever is flushed. No locks held. */
void partition_notify(struct partition *partition, bool stable_moved);
/* Appends under partition.mutex. Markers never roll a segment for its size. */
int partition_append_locked(struct partition *partition, uint8_t *batch, const struct batch_header *header, bool is_marker,
                            int64_t *base_offset, struct diag *diag);
int partition_append_marker(struct partition *partition, bool commit, int64_t producer_id, int16_t epoch, int64_t *offset,
                            struct diag *diag); /* takes the mutex */
/* Says where a segment is damaged, stops its partition, returns ERR_CORRUPT (a deleted topic's: ERR_NOT_FOUND). */
int segment_damaged(struct segment *segment, int64_t position, const char *why, struct diag *diag);
/* Where a fetch begins. */
struct read_place {
    struct segment *segment; /* with a reference */
    int64_t position;        /* of a batch at or before the offset looked for */
    int64_t end_offset;      /* of the segment: INT64_MAX when it is the active one */
    uint64_t swaps;          /* of the partition, when the segment was taken */
    bool exact;              /* position is that of the first batch that ends at or after the offset */
    bool has_tail;
    struct segment_index tail; /* with has_tail and without exact */
};
/* ERR_RANGE when no segment holds the offset. */
int partition_locate(struct partition *partition, int64_t offset, struct read_place *place, struct diag *diag);
/* A fetch ended here: who goes on with this offset finds its position. */
void partition_keep_hint(struct partition *partition, struct segment *segment, int64_t offset, int64_t position);
/* Whether segments were swapped since the place was taken: then the list of aborted transactions may no longer have those whose records the
 * old segment still holds. */
bool partition_was_swapped(struct partition *partition, const struct read_place *place);
/* Those that overlap [from, to), sorted by first offset, into fetch. ERR_NOMEM. */
int partition_collect_aborted(struct partition *partition, int64_t from, int64_t to, struct fetch *fetch);
int partition_open_txn(struct partition *partition, int64_t producer_id, int64_t first_offset);  /* mutex held */
void partition_close_txn(struct partition *partition, int64_t producer_id);                      /* mutex held */
int partition_add_aborted(struct partition *partition, const struct aborted *aborted);           /* list_mutex held */
void segment_release(struct segment *segment); /* drops a reference; takes list_mutex */
/* Closes a non-empty active segment and begins a new, empty one. Nothing to do: 0. Takes partition.mutex. The new file is durable, and
 * the closed segment recorded, with the flusher's next round. */
int partition_roll(struct partition *partition, struct diag *diag);

/* purge.c: partition_purge, and what it removed. */
struct purged {
    int32_t segments;
    int64_t bytes;
};
int partition_purge_counted(struct partition *partition, int64_t offset, struct purged *purged, struct diag *diag);
/* Recovery: a start offset above the end moves back to it, in memory and in batch. */
void purge_recover(struct partition *partition, struct meta_batch *batch);

/* partition_roll for who removes all below it next: with the reserve on a full disk, and with the successor's name durable on return;
 * otherwise a power cut could leave a partition with a flushed end and no file. */
int partition_roll_for_removal(struct partition *partition, struct diag *diag);
/* retention.c: applies retention.ms and retention.bytes once, counted in report. The caller is the keeper's pass. */
int retain_partition(struct partition *partition, int64_t now_ms, struct keeper_report *report, struct diag *diag);

/* ---- admit.c: between a producer and the log ---- */
struct admission {
    struct batch_header header; /* of batch */
    uint8_t *batch;             /* what to append: the producer's bytes, or the thread's own after compression.type */
    bool log_append_time, uses_scratch;
};
enum crc_check { CRC_CHECK, CRC_IS_GOOD };
/* Checks a batch as partition_append promises and brings it into the form that the topic stores. CRC_IS_GOOD: somebody has just computed it. No locks needed. On success the
 * caller appends admission->batch and then calls admit_done in the same thread, before it admits another. */
int admit_batch(const struct partition *partition, uint8_t *batch, size_t size, enum crc_check crc, struct admission *admission, struct diag *diag);
/* The last touch before partition_append_locked, under partition.mutex and after the producer's fields were set: LogAppendTime. */
void admit_stamp(struct admission *admission);
void admit_done(struct admission *admission);
/* Judges the sequence of a batch with a producer id (snapshot_begin came before), stamps and appends; partition.mutex held. 1: it was there already, from
 * *base_offset on. */
int partition_append_admitted(struct partition *partition, struct admission *admission, int64_t *base_offset, struct diag *diag);

/* group.c */
/* In what group_describe gives; NULL: it is not there. */
const struct group_offset *group_offsets_find(const struct group_offset *offsets, size_t count, const char *topic, int32_t partition);
/* coordinator_options.load: what is stored of a group. */
int groups_load(void *log, const char *group, struct group_stored *stored);
/* Runs fn between the start and the end of a standalone write of the group's offsets: ERR_MEMBER while it has members. groups_mutex is held. */
int group_standalone(struct log *log, const char *group, int (*fn)(void *context, struct diag *diag), void *context, struct diag *diag);
/* group.c: resolves topics and adds the puts to batch. ERR_NOT_FOUND, ERR_INVALID. */
int group_collect(struct log *log, const char *group, const struct group_offset *offsets, size_t count, struct meta_batch *batch,
                  struct diag *diag);
/* Adds deletes of every group's offsets of a topic to batch. */
int group_collect_topic_deletes(struct log *log, const struct uuid *topic, struct meta_batch *batch, struct diag *diag);

/* topic.c */
struct topic *topic_find(struct log *log, const char *name);                  /* topics_mutex held */
struct topic *topic_find_id(struct log *log, const struct uuid *id);          /* topics_mutex held */
int topic_not_found(struct log *log, const char *name, struct diag *diag);    /* topics_mutex held */
struct partition *log_find_place(struct log *log, const struct meta_place *place); /* topics_mutex held; NULL: none */
/* Loads topics from meta, finishes interrupted creations and deletions. */
int topics_load(struct log *log, struct diag *diag);
void topic_free(struct topic *topic);
void topic_apply_config(struct topic *topic);
int topic_write_record(struct topic *topic, enum meta_topic_state state, struct diag *diag);

/* ---- partition_files.c: what lies in a partition's directory ---- */
enum file_kind { /* in the order in which a listing has files of the same base offset */
    FILE_LOG,
    FILE_INDEX,
    FILE_TIMEINDEX,
    FILE_TXNINDEX,
    FILE_SNAPSHOT,
    FILE_CLEANED,   /* of a compaction that has not ended */
    FILE_DELETED,   /* renamed, or written halfway: to be removed */
    FILE_EPOCHS,    /* leader-epoch-checkpoint */
    FILE_METADATA,  /* partition.metadata, which Kafka keeps */
    FILE_FOREIGN
};
/* By name alone; *base_offset: -1 when the name has none. */
enum file_kind partition_file_kind(const char *name, int64_t *base_offset);
struct partition_file {
    enum file_kind kind;
    int64_t base_offset;           /* -1: the name has none */
    int64_t size_bytes;
    bool regular;
    char name[256];
};
struct partition_listing {
    struct partition_file *files;  /* by base offset and kind */
    size_t count, capacity;
};
/* ERR_NOT_FOUND when there is no such directory. The caller calls partition_listing_deinit, also after an error. */
int partition_listing_read(const char *directory, struct partition_listing *listing, struct diag *diag);
void partition_listing_deinit(struct partition_listing *listing);

/* ---- compact.c ---- */
/* Compacts a partition when that is due (forced: whatever there is to do). 0, also when there is nothing to do or the partition changed
 * meanwhile; ERR_STOPPED: the log is being closed. */
int compact_partition(struct partition *partition, int64_t now_ms, bool forced, struct keeper_report *report, struct diag *diag);

/* ---- segment_swap.c ---- */
struct segment_swap;
/* Finishes a swap that could not be finished when it was made; purge_mutex held. Who changes the list of closed segments calls this first: as
 * long as it fails, meta and the directory disagree. */
int swap_settle(struct partition *partition, struct diag *diag);
/* At log_close: a swap that is still pending is recovery's. */
void swap_forget(struct partition *partition);
/* Whether a file is one that a compaction was writing. */
bool swap_is_cleaned_name(const char *name);
/* Recovery: finishes the renames of a segment whose record says META_SEGMENT_SWAPPING. ERR_CORRUPT: its file is not what was
 * recorded; nothing was changed. */
int swap_recover(struct segment *segment, struct diag *diag);
/* Recovery: removes the files of compactions that came to nothing. */
int swap_remove_cleaned(const char *directory, struct diag *diag);

/* ---- recovery_files.c ---- */
struct segment_listing {
    int64_t *bases;   /* of .log files, ascending; the caller frees it */
    size_t count, capacity;
    bool has_cleaned; /* a compaction left a file of its own */
    bool has_snapshot;
};
/* Lists a partition's directory, removes what an interrupted removal left, names what is foreign. ERR_NOT_FOUND: there is none. */
int recovery_list(struct partition *partition, const char *directory, struct segment_listing *listing, struct diag *diag);
bool listing_holds(const struct segment_listing *listing, int64_t base_offset);
int listing_insert(struct segment_listing *listing, int64_t base_offset);

/* ---- file_walk.c: the batches of a .log file, for who trusts nothing ---- */
struct file_walk {
    int fd;
    int64_t position, limit, file_size;
    struct buf chunk;
    int64_t chunk_position;
    size_t chunk_size;
};
/* limit -1: the file's size. The caller calls file_walk_close, also after an error. */
int file_walk_open(struct file_walk *walk, const char *path, int64_t limit, struct diag *diag);
void file_walk_close(struct file_walk *walk);
/* 1: a whole batch (borrowed until the next call) with a right CRC; 0: the limit; ERR_CORRUPT with the reason: there is none at
 * walk->position, which stays; ERR_IO, ERR_NOMEM. */
int file_walk_next(struct file_walk *walk, struct batch_header *header, struct bytes *batch, int64_t *position, struct diag *diag);
/* Moves on to the next place where a whole valid batch begins, of an offset at or above least_offset; to the limit when there is none. */
int file_walk_resync(struct file_walk *walk, int64_t least_offset, struct diag *diag);

/* ---- leader_epoch.c ---- */
struct leader_epoch {
    int32_t epoch;
    int64_t start_offset;
};
struct leader_epochs { /* ascending; none: epoch 0 from the first offset on */
    struct leader_epoch *entries;
    size_t count, capacity;
};
void leader_epochs_deinit(struct leader_epochs *epochs);
int leader_epochs_add(struct leader_epochs *epochs, int32_t epoch, int64_t start_offset);
/* No file: no entries. ERR_CORRUPT. */
int leader_epochs_read(const char *directory, struct leader_epochs *epochs, struct diag *diag);
int leader_epochs_write(const char *directory, const struct leader_epochs *epochs, struct diag *diag); /* durable */
int32_t leader_epoch_latest(const struct leader_epochs *epochs);
int32_t leader_epoch_at(const struct leader_epochs *epochs, int64_t offset);
/* The partition ends at offset from now on, and what follows has a new epoch. */
int leader_epochs_cut(struct leader_epochs *epochs, int64_t offset);
/* As Kafka's OffsetForLeaderEpoch: the largest epoch at or below the one asked for and where it ended; -1, -1 for one that never was. */
int32_t leader_epoch_end(const struct leader_epochs *epochs, int32_t epoch, int64_t log_end, int64_t *end_offset);

/* ---- truncate_recover.c ---- */
/* Opening, before partitions are looked at: makes the cuts that were asked for. */
int recover_truncations(struct log *log, struct diag *diag);

/* ---- recovery.c, recovery_txn.c ---- */
/* Loads what meta knows of all partitions, checks their files and tails. Damage stops a partition and is no error here. */
int recover_partitions(struct log *log, struct diag *diag);
/* Completes decided transactions, aborts undecided ones and fences their producers (but for those of clients that can be left open), flushes. */
int recover_transactions(struct log *log, struct diag *diag);
/* An offset scan over a partition's batches, headers only, before other threads exist. fn: 0 to go on. */
typedef int (*partition_walk_fn)(void *context, const struct batch_header *header);
int partition_walk(struct partition *partition, int64_t from_offset, partition_walk_fn fn, void *context, struct diag *diag);

/* ---- recovery_open.c: transactions of clients that stay open over a restart ---- */
struct producer;
struct meta_participants;
/* Recovery: a producer for each that meta calls open, linked by next; none when records that were acknowledged may be lost. */
int survivors_load(struct log *log, struct producer **list, struct diag *diag);
/* NULL: it is none. */
struct producer *survivors_find(struct producer *list, int64_t producer_id, int16_t epoch);
/* Finds its records. 1: all is as it was, and the partitions know of the transaction; 0: it cannot stay open, and is no survivor any more. */
int survivors_attach(struct producer **list, struct producer *producer, struct meta_participants participants, struct diag *diag);
/* Gives them the group offsets that they were to commit, and adds to batch: deletes of those of other transactions, and what the next opening has to know. */
int survivors_finish(struct log *log, struct producer *list, struct meta_batch *batch, struct diag *diag);
/* The batch is applied: from now on they are producers of the log. *list is empty. */
void survivors_enlist(struct log *log, struct producer **list);
void survivors_free(struct producer **list);
/* Which system this is, where it is not known yet: in the write that begins a transaction. Applied, log.system_noted is set. */
void survivors_note_system(struct log *log, struct meta_batch *batch);
/* A flush failed: what is open may lack something from now on, whatever system the next opening finds. Takes no lock but meta's. */
void survivors_doubt(struct log *log);
/* log_close, after the last flush: what is open lacks nothing. */
void survivors_note_close(struct log *log);
/* Whether a restart leaves the producer's open transaction open; producer.mutex held. */
bool producer_survives(const struct producer *producer);
/* The handle of a survivor that nobody has come back for yet, and that is not fenced; NULL: there is none. */
struct producer *producer_adopt(struct log *log, const char *transactional_id, int64_t producer_id, int16_t epoch);
/* Lets survivors go that were fenced, and whose transaction is over; open_mutex held. */
void survivors_drop(struct log *log);

/* ---- transactions ---- */
enum txn_state {
    TXN_NONE,
    TXN_OPEN,
    TXN_DECIDING /* in the hands of the flusher */
};
struct participant {
    struct partition *partition;
    int64_t first_offset;  /* of the open transaction; -1: nothing appended */
    int64_t end_offset;
    int64_t marker_offset; /* -1: not appended yet; -2: cannot be (partition deleted or stopped) */
    int64_t lower_bound;
    int32_t next_sequence;
    bool is_named;         /* by txn_participate, since the transaction began */
};
struct producer {
    struct log *log;
    char *transactional_id; /* NULL: none */
    int64_t id;
    int16_t epoch;
    pthread_mutex_t mutex;
    pthread_cond_t quiet;   /* state left TXN_DECIDING, or the request was answered */
    enum txn_state state;
    int16_t marker_epoch;   /* of its markers: higher than epoch when the log aborted in its stead */
    bool keeps_outcome;     /* mutex, as the next four */
    enum txn_outcome outcome; /* of the last transaction */
    int32_t timeout_ms, timed_out_ms; /* 0: none; it was not */
    int64_t began_ms;       /* the open transaction; wall clock */
    atomic_bool fenced, closed;
    _Atomic int32_t references; /* the handle, the flusher, openers that fence it; reaches 0 under log.producers_mutex */
    struct participant *participants;
    uint32_t participant_count, participant_capacity, last_participant;
    struct meta_batch offsets; /* group offsets of the open transaction */
    bool is_offset_producer;   /* it counts in log.offset_producers */
    bool is_orphan;            /* a survivor without an owner: the handle's reference is the log's; log.producers_mutex */
    struct producer *next;     /* log.producers */

    /* the request in the flusher's hands: one at a time. Written by the flusher while state is TXN_DECIDING */
    bool wants_commit;
    bool decided;           /* the commit is durable; markers may be missing */
    bool answered;          /* done was called, or answer can be read. mutex */
    int answer, failure;    /* failure: why it cannot be finished now */
    bool told_waiting;      /* that a marker found no room */
    uint64_t sequence;      /* of its decision */
    void (*done)(void *context, int code);
    void *done_context;
    struct producer *next_request;
};
struct producer *producer_new(struct log *log, const char *transactional_id); /* NULL: no memory */
void producer_release(struct producer *producer);
void producer_free(struct producer *producer); /* one that nobody else knows of */
/* Its open transaction has group offsets from now on, or none any more; producer.mutex held, or nobody else has it. */
void producer_count_offsets(struct producer *producer, bool has_some);
/* Hands the open transaction to the flusher; mutex held, state TXN_OPEN. */
void producer_submit(struct producer *producer, bool commit, void (*done)(void *, int), void *context);
/* Waits for the flusher's answer and returns it; mutex held, state TXN_DECIDING. */
int producer_wait(struct producer *producer);
/* The record of a transactional id with this outcome, into a batch, or durably; mutex held. */
void producer_put_outcome(const struct producer *producer, enum txn_outcome outcome, struct meta_batch *batch);
int producer_write_outcome(struct producer *producer, enum txn_outcome outcome, struct diag *diag);
void producers_abort_all(struct log *log); /* at log_close */
/* Aborts and fences the transactions that are over their timeout at now_ms; returns when they are aborted. Each second. */
int producers_check_timeouts(struct log *log, int64_t now_ms, struct diag *diag);
/* Forgets transactional ids without a handle that were not used for 7 days; looks once an hour. */
int producers_forget_idle(struct log *log, int64_t now_ms, struct diag *diag);

struct flusher;
/* decide.c: the flusher's part of a transaction. */
struct decided { /* a decision whose markers are not all below the flushed end */
    uint64_t sequence;
    struct decided *next;
    bool removed; /* its delete is in the batch that is being applied */
    uint32_t count;
    struct decided_part {
        struct partition *partition;
        int64_t marker_end;
    } parts[];
};
struct round;
struct decide_pass;
/* Whether its end waits for a flush of its records. */
bool decide_wants_sync(const struct producer *producer);
/* Before the flush: reserves room for markers, writes abort markers, names the files to flush. */
void decide_prepare(struct round *round);
/* After the flush: adds the decisions to the pass's batch. */
void decide_collect(struct decide_pass *pass);
/* After the batch was applied (code 0) or not: moves the last stable offsets of what is decided by that. */
void decide_settle(struct decide_pass *pass, int code);
/* After that: writes commit markers, answers. */
void decide_finish(struct decide_pass *pass, int code);
/* The writer stopped: a list of requests. */
void decide_fail_all(struct producer *requests, int code);
/* Deletes of the decisions whose markers are flushed; forget frees them once the batch was applied. */
void decided_collect(struct flusher *flusher, struct meta_batch *batch);
void decided_forget(struct flusher *flusher);

/* ---- flusher.c ---- */
struct sync_pool;
struct flush_target {
    struct partition *partition;
    struct meta_partition flushed; /* what the flush of this round will have made durable */
    bool sync;                     /* false: only its last stable offset may move (durability=os) */
    bool moved, stable_moved;      /* the high watermark moved; the last stable offset too */
};
struct round { /* a lane's, then the decider's */
    struct log *log;
    struct sync_pool *pool;
    struct producer *requests;
    struct flush_target *targets;
    size_t target_count, target_capacity;
    bool rolled;                   /* a closed segment waits for its record */
    bool record_all;               /* the second is over: persist every newer flushed end */
};
enum { ROUND_COUNT = 4 };
enum lane_kind { LANE_TAILS, LANE_COMMITS, LANE_COUNT };
struct lane { /* a thread with its rounds, one after the other */
    struct flusher *flusher;
    pthread_t thread;
    bool started;
    struct sync_pool *pool;
    pthread_cond_t work;
    /* flusher.mutex */
    int64_t wakes_at_ms;                  /* when its thread looks by itself; INT64_MIN: it does not sleep */
    bool takes_tails, takes_commits;      /* both: of a driven log, and in the last rounds */
    bool was_busy;                        /* its last round had something to flush */
};
struct flusher {
    struct log *log;
    pthread_mutex_t mutex;
    pthread_cond_t progress;
    struct lane lanes[LANE_COUNT];
    bool started, commits_stopping, stopping;
    bool driven;                          /* no thread: whoever waits runs the rounds */
    struct partition *dirty, *last_dirty; /* oldest first */
    bool urgent;                          /* some dirty partition is awaited */
    struct producer *requests, *last_request;
    bool requests_wait;                   /* all of them for partitions that are in a round of tails */
    struct producer *deferred;            /* could not be finished (disk full): tried again */
    struct partition *unrecorded;         /* flushed ends newer than meta's */
    struct decided *decided;              /* mutex to change it; the decider reads it without */
    _Atomic int32_t waiters;
    int64_t next_record_ms, next_retry_ms;

    /* rounds on their way to the decider: a ring; mutex */
    struct round rounds[ROUND_COUNT];
    uint32_t first_round, round_count;
    pthread_cond_t handed, settled;
    pthread_t decider;
    bool decider_started, decider_stopping;
    /* decider thread alone (of a driven log: the one thread that uses it) */
    uint64_t next_sequence;
    bool told_full;                       /* that meta has no room */
};
int flusher_init(struct log *log, struct diag *diag);
int flusher_start(struct log *log, struct diag *diag);
/* Last rounds: everything flushed and recorded, unless the writer was stopped. Joins and frees. */
void flusher_stop(struct log *log);
/* Waits on a condition that a round signals (progress, or a producer's), with its mutex held, until until_ns (clock_mono_ns; INT64_MAX: without
 * limit). A driven log runs rounds instead, or lets time go on until one is due. 0: look again; ETIMEDOUT. */
int flusher_await(struct flusher *flusher, pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t until_ns);
/* Of a driven log: runs the rounds that are due. True: there were some. *next_ms: when the next one is due (clock_mono_ms; INT64_MAX: never). */
bool flusher_drive(struct flusher *flusher, int64_t *next_ms);
void flusher_mark_dirty(struct partition *partition);
/* Somebody waits for what the partition holds beyond its flushed end; mutex held. True: the caller wakes LANE_TAILS, best after it let the mutex go. */
bool flusher_hurry(struct partition *partition);
/* The lane's thread looks for work; with the mutex held or not. */
void flusher_wake(struct flusher *flusher, enum lane_kind kind);
void flusher_submit(struct producer *producer);
/* Whether the partition takes part in this round; sync: if so, its files are flushed. Mutex held. */
bool round_has_target(struct round *round, struct partition *partition, bool sync);
/* Recovery, before the thread runs: flushes every dirty partition. */
int flusher_flush_all(struct log *log, struct diag *diag);
void flusher_note_unrecorded(struct partition *partition);
/* Whoever waits for something looks again. */
void flusher_tell_progress(struct flusher *flusher);

/* flush_plan.c: flushes what the partitions of the round hold, up to their ends as of now, which it notes. */
int round_flush(struct round *round, struct diag *diag);

/* decider.c: what is flushed gets into meta. */
struct flushed_record {
    struct partition *partition;
    struct meta_partition flushed;
};
struct decide_pass { /* the rounds that wait, decided by one write to meta */
    struct log *log;
    struct producer *requests;
    struct round *rounds[ROUND_COUNT];
    uint32_t round_count;
    struct meta_batch batch;
    struct flushed_record *records; /* flushed ends in the batch */
    size_t record_count;
    bool decides;                   /* batch holds decisions: it must be applied */
    bool rolled, record_all;        /* as of its rounds */
};
int decider_start(struct flusher *flusher, struct diag *diag);
/* After the flusher's thread ended: decides what it handed over; joins. */
void decider_stop(struct flusher *flusher);
/* Takes over a flushed round and, wanted, decides it: in time, or, in a driven log, now. Waits while ROUND_COUNT of them wait to be decided. */
void decider_take(struct flusher *flusher, struct round *round, bool wanted);
/* Waits until all that was handed over is decided. */
void decider_await(struct flusher *flusher);
/* Adds the record of a flushed end, and of closed segments below it, to batch. */
void partition_put_record(struct partition *partition, const struct meta_partition *flushed, struct meta_batch *batch);

/* sync_pool.c: parallel fdatasync. */
struct sync_job {
    int fd;              /* -1: a directory */
    const char *path;
    int code;
    struct diag diag;
};
struct sync_pool *sync_pool_create(struct log *log);
void sync_pool_destroy(struct sync_pool *pool);
/* Runs all jobs; 0 or the first failure. Nothing is retried. */
int sync_pool_run(struct sync_pool *pool, struct sync_job *jobs, size_t count, struct diag *diag);

/* ---- keeper.c ---- */
struct keeper {
    struct log *log;
    pthread_t thread;
    bool started;
    pthread_mutex_t pass_mutex; /* one pass at a time; taken before all others, held over the whole of it */
    pthread_mutex_t mutex;      /* woken, and the wait; taken last and alone */
    pthread_cond_t work;
    bool woken;
    atomic_bool stopping;       /* long work looks at it and ends early */
    _Atomic int64_t last_tick_ms;
    int64_t next_pass_ms, last_pass_ms; /* of the thread, or of who drives the log */
};
void keeper_init(struct log *log);
/* Does nothing where the options say so. */
int keeper_start(struct log *log, struct diag *diag);
/* Of a driven log: the tick and the pass that are due. True: there was a pass. */
bool keeper_drive(struct keeper *keeper);
/* Ends a running pass early, and joins. The log's other threads still run. */
void keeper_stop(struct log *log);
void keeper_deinit(struct log *log);
/* Asks for a pass soon: the disk is full, a configuration was altered, records were deleted. May be called with any lock held. */
void keeper_wake(struct log *log);
/* For long work inside a pass, each second or more often, without a lock of a partition or producer: false when it must end. Does meanwhile
 * what cannot wait for the pass's end (transaction timeouts). */
bool keeper_goes_on(struct log *log);
/* Handles of all partitions as of now, topic by topic; *partitions is malloc'ed. They stay valid until log_close, and answer
 * ERR_NOT_FOUND once their topic is deleted. topic NULL: of all topics. */
int log_partitions(struct log *log, const char *topic, struct partition ***partitions, size_t *count, struct diag *diag);

/* ---- reserve.c ---- */
enum { RESERVE_BYTES = 4 << 20 };
struct reserve {
    pthread_mutex_t mutex; /* taken last and alone; held over fallocate and ftruncate */
    bool held;             /* DIR/RESERVE has its blocks */
};
void reserve_init(struct log *log);
void reserve_deinit(struct log *log);
/* Takes the space, when there is room for it and as much again. Failure is no error: there is no reserve then. */
void reserve_take(struct log *log);
/* Gives it back. False: there was nothing to give. */
bool reserve_release(struct log *log);

/* ---- the log ---- */
struct log {
    char *dir;
    struct log_options options;
    bool read_only;        /* set while it is opened: nothing in the directory may change */
    int lock_fd;
    int dir_fd;            /* of the directory, for a flush that finds no descriptor; -1: read-only */
    struct meta *meta;
    struct fd_cache fds;
    struct flusher flusher;
    struct keeper keeper;
    struct reserve reserve;

    pthread_mutex_t topics_mutex;
    struct topic **topics; /* sorted by name */
    size_t topic_count, topic_capacity;
    struct topic *deleted_topics;

    struct coordinator *coordinator; /* members of groups; locks itself, after every lock but those of LMDB */
    pthread_mutex_t groups_mutex; /* writers of offsets and groups' records, and who changes a user; held over a meta write */
    pthread_mutex_t acl_change_mutex; /* who changes access lists; held over a meta write, taken alone */
    pthread_mutex_t acl_mutex;    /* of acls, the pointer; taken last */
    struct acl_rules *acls;       /* NULL: there are none */
    atomic_bool has_acls;         /* acls is not NULL: looked at without the mutex */
    pthread_mutex_t open_mutex;   /* one producer_open at a time; taken before all others */
    pthread_mutex_t producers_mutex;
    struct producer *producers;
    atomic_int offset_producers; /* of these, whose open transaction has group offsets: mostly none, and nobody needs to look for one */
    atomic_bool system_noted;    /* see survivors_note_system */
    int64_t next_producer_id, producer_id_limit;
    _Atomic int64_t next_id_check_ms; /* producers_forget_idle */

    atomic_int status;
    pthread_mutex_t status_mutex;
    struct diag stop_reason;
};
/* Stops the writer for good (P9). First reason wins. Returns code. */
int log_stop(struct log *log, int code, const struct diag *diag);
/* meta_apply, and ERR_IO stops the writer. */
int log_meta_apply(struct log *log, const struct meta_batch *batch, struct diag *diag);
/* The same for what makes room or takes things away: on a full disk it is tried again with the reserve's space. */
int log_meta_apply_cleanup(struct log *log, const struct meta_batch *batch, struct diag *diag);

#endif
