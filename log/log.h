/* log.h: the partitioned log. One directory, one process; topics, partitions, offsets, transactions, group offsets.
 *
 * Threads: every function may be called from any thread unless it says otherwise. Handles (struct partition, struct
 * producer) belong to their log and are valid until log_close; a producer is used by one thread at a time.
 * The log starts background threads: the flushers and the decider (group commit, decisions, markers, the persisted flushed end) and the keeper
 * (retention, compaction, expiry).
 *
 * What the words mean:
 *   end offset            the next offset to be assigned (written end)
 *   high watermark        flushed end (durability=commit) or written end (durability=os)
 *   last stable offset    min(high watermark, first offset of an undecided transaction). A decision moves it at once.
 *   start offset          the first offset that still exists
 *
 * Files: docs/formats-log.md. Rules of recovery and of the commit: docs/state-and-commit.md. */
#ifndef WEIR_LOG_LOG_H
#define WEIR_LOG_LOG_H

#include "log/record_batch.h"
#include "runtime/base/bytes.h"
#include "runtime/base/error.h"

struct log;
struct partition;
struct producer;

enum durability { DURABILITY_COMMIT = 0, DURABILITY_OS = 1 };
enum isolation { READ_COMMITTED = 0, READ_UNCOMMITTED = 1 };

struct log_options {
    bool must_exist;              /* false: a missing directory is created */
    bool read_only;               /* changes no file of the directory, which must exist; see log_open */
    enum durability durability;
    int64_t segment_bytes;        /* default of topics; 0: 1 GiB */
    int64_t segment_ms;           /* default of topics; 0: 7 days */
    int32_t flush_interval_ms;    /* an unflushed tail nobody waits for is flushed within this; 0: 5 */
    int32_t keeper_interval_ms;   /* how often retention, compaction and expiry are looked at; 0: 15 s; -1: never by itself */
    int64_t cleaner_memory_bytes; /* of a compaction's table of keys; 0: 64 MiB */
    int64_t cleaner_bytes_per_s;  /* a compaction reads and writes at most so much; 0: 64 MiB; -1: no limit */
    int64_t offsets_retention_ms; /* offsets of a group without members are kept so long; 0: 7 days */
    int64_t producer_expiry_ms;   /* an idle idempotent producer is remembered so long; 0: 24 h */
    bool driven;                  /* no threads: one thread uses the log; its waits, and log_drive, do what the log's threads would do */
};

/* Opens DIR: lock (ERR_BUSY names the pid), FORMAT (ERR_UNSUPPORTED for unknown bits), meta, tails, decided transactions
 * completed, undecided ones fenced and aborted, flush. A damaged partition is stopped (P9), reported by log_line and by
 * partition_status; the others work.
 *
 * Read-only: asked for, or because the directory cannot be written, or because the disk is so full that recovery fails (log_line
 * says so). Nothing in the directory changes. What recovery would do is done in memory: a torn tail is not shown, an undecided
 * transaction holds the last stable offset, a decided one counts. log_status is ERR_READ_ONLY with the reason, and so is every
 * call that writes; reading and describing work. Readers may share a directory; a writer and readers exclude each other. */
int log_open(const char *dir, const struct log_options *options, struct log **log, struct diag *diag);
/* Clean stop: flushes, persists flushed ends, joins the flusher, frees everything. */
void log_close(struct log *log);
const char *log_dir(const struct log *log);
/* Writes into DIR/LOCK where the process that holds it can be reached, for who finds it held: "http", "127.0.0.1:9644"; "security",
 * "SASL_SSL" (Kafka's word for what its listener speaks); "kafka", "127.0.0.1:9092", which comes last: it is what makes a server. Once for each name. */
int log_announce(struct log *log, const char *name, const char *address, struct diag *diag);

struct log_server {
    long pid;
    char kafka[300], http[300]; /* HOST:PORT; http "": it did not say */
    char security[32];          /* "PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL" */
};
/* Whether another process holds the directory now and serves it: what it announced. Opens nothing but LOCK. Any thread. */
bool log_find_server(const char *dir, struct log_server *server);
/* Of a driven log: flushes, decisions and house-keeping that are due by the clock. True: there was something. Never waits. */
bool log_drive(struct log *log);
bool log_is_driven(const struct log *log);
/* 0, or the code of the failure that stopped the writer (a failed flush), or ERR_READ_ONLY; with its text in diag. */
int log_status(struct log *log, struct diag *diag);
/* Keeps so few segments open that count of the files that the process may open (RLIMIT_NOFILE) are left for others; a quarter is anyhow, and a quarter stays the log's. Any thread. */
void log_leave_files(struct log *log, int64_t count);

/* The id by which clients know this log again, wherever it is; made when it is first asked for, durable on return. Of a read-only log that has none it
 * is all zero. */
struct uuid { uint8_t bytes[16]; };
int log_cluster_id(struct log *log, struct uuid *id, struct diag *diag);

/* ---- house-keeping ---- */
struct keeper_report { /* what passes did: everything is added to what stands there */
    int64_t segments_deleted, bytes_deleted;    /* by retention */
    int64_t partitions_compacted, bytes_read, bytes_written;
    int64_t records_kept, records_removed;
    int64_t tombstones_removed, markers_removed;
    int64_t keyless_removed;                    /* records without a key in a compacted topic */
    int64_t offsets_expired;                    /* of groups */
    int64_t duration_ns;
};
/* One pass over all topics, now, in the calling thread: retention, compaction of what is due, expiry. The background thread does the
 * same each keeper_interval_ms; one pass at a time, so that this waits for one that runs. now_ms moves the clock that ages are taken by;
 * 0: the wall clock. report may be NULL. 0, or the first failure, after everything else was tried. */
int log_keep_house(struct log *log, int64_t now_ms, struct keeper_report *report, struct diag *diag);
/* The same for one topic, and compaction whether it is due or not. */
int topic_clean(struct log *log, const char *name, int64_t now_ms, struct keeper_report *report, struct diag *diag);

/* ---- topics ---- */
void uuid_text(struct uuid id, char text[23]);   /* URL-safe base64 without padding: 22 characters */

/* [A-Za-z0-9._-]{1,249}, not "." or "..": else ERR_INVALID with the reason. */
int topic_name_check(const char *name, struct diag *diag);

struct config_entry { const char *key, *value; };
/* The configuration keys (config_key.c; `weir topic configs` prints them). */
enum config_role {
    KEY_ACTS,   /* the log or the engine acts on it */
    KEY_FIXED,  /* Kafka's; one value is true here and accepted, its fallback */
    KEY_REFUSED /* Kafka's; no value is accepted, help says why */
};
enum config_kind { KIND_NUMBER, KIND_RATIO, KIND_BOOL, KIND_CHOICE, KIND_POLICY, KIND_TEXT };
struct config_key {
    const char *name;
    enum config_role role;
    enum config_kind kind;
    const char *unit;     /* "ms", "bytes" or NULL */
    int64_t min, max;     /* of numbers */
    const char *choices;  /* KIND_CHOICE: words with a space between them */
    const char *fallback; /* the default, as text; NULL: none. segment.bytes, segment.ms: struct log_options may say otherwise */
    const char *help;     /* what it does, in whole sentences */
    const char *differs;  /* how it differs from Kafka, and why; NULL: it does not */
};
/* The i-th key, in the order of listings; NULL after the last. Constant memory. */
const struct config_key *config_key_at(size_t i);
const struct config_key *config_key_find(const char *name); /* NULL: unknown */
/* What values it takes, in words. */
void config_key_values(const struct config_key *key, char *text, size_t text_size);

/* Whether a topic could be created with this configuration: 0, or ERR_INVALID with the reason. */
int topic_config_check(const struct config_entry *config, size_t config_count, struct diag *diag);
/* partitions 1…10000. An unknown key or a bad value is ERR_INVALID with a hint. ERR_EXISTS when there is one. Durable (topic record, directories) on return. */
int topic_create(struct log *log, const char *name, int32_t partitions, const struct config_entry *config,
                 size_t config_count, struct diag *diag);
/* Sets (value) or resets to the default (value NULL) configuration keys. Durable on return, and in force for the next append, roll
 * or pass of the keeper. */
int topic_alter(struct log *log, const char *name, const struct config_entry *config, size_t config_count, struct diag *diag);
/* More partitions, at once and durably; every handle and topic id stays valid. Keys move: a record of a key that follows may lie in
 * another partition than those before, so weir.partitioned.by is reset. ERR_INVALID for as many or fewer (records of a partition
 * cannot be handed to another without changing their offsets) and over 10000. On failure nothing changed. */
int topic_grow(struct log *log, const char *name, int32_t partitions, struct diag *diag);
/* Renames its directories to .deleted first, then removes them; handles of its partitions answer ERR_NOT_FOUND from now on. */
int topic_delete(struct log *log, const char *name, struct diag *diag);

struct topic_info {
    char name[250];
    struct uuid id;
    int32_t partitions;
    bool internal;             /* named so by its creator through topic_create's config weir.internal=true */
};
/* ERR_NOT_FOUND (diag lists the closest name). info may be NULL. */
int topic_describe(struct log *log, const char *name, struct topic_info *info, struct diag *diag);
/* The same by its id. ERR_NOT_FOUND. */
int topic_describe_id(struct log *log, struct uuid id, struct topic_info *info, struct diag *diag);
/* Sorted by name; *topics is malloc'ed, the caller frees it. */
int topic_list(struct log *log, struct topic_info **topics, size_t *count);
/* The effective value as text (default included) into value; ERR_NOT_FOUND for an unset key without a default. */
int topic_config_get(struct log *log, const char *name, const char *key, char *value, size_t value_size);
/* Calls fn for each key that has a value, in the order of config_key_at, with its effective value and whether it was set. */
int topic_config_each(struct log *log, const char *name, void (*fn)(void *context, const char *key, const char *value, bool is_set),
                      void *context);

/* ---- partitions ---- */
int partition_get(struct log *log, const char *topic, int32_t index, struct partition **partition, struct diag *diag);

struct partition_offsets { int64_t start, stable, high_watermark, end; };
void partition_offsets(struct partition *partition, struct partition_offsets *offsets);
/* 0, or the code that stopped this partition (ERR_CORRUPT: file and offset in diag). */
int partition_status(struct partition *partition, struct diag *diag);
struct partition_files { int64_t bytes; int32_t segments; };
void partition_files(struct partition *partition, struct partition_files *files);

/* What an operator asks about a partition's directory. A stopped partition is described too, as far as its files go. */
struct segment_description {
    int64_t base_offset;
    int64_t end_offset;         /* -1: unknown (a file of a stopped partition that was not read) */
    int64_t bytes;              /* of .log */
    int64_t first_timestamp_ms; /* of its first record; INT64_MIN: no record, or unreadable */
    int64_t max_timestamp_ms;   /* INT64_MIN: no record, or unknown */
    int64_t last_write_ms;
    bool active;                /* takes the appends */
};
struct partition_description {
    struct partition_offsets offsets;
    int status;                 /* 0, or the code that stopped it, with the reason */
    struct diag reason;
    int64_t bytes, other_bytes; /* of the .log files; of indexes and all other files */
    int64_t first_timestamp_ms, max_timestamp_ms, last_write_ms; /* INT64_MIN: unknown or none */
    struct segment_description *segments;
    size_t segment_count;
};
/* Reads one batch header per segment. The caller calls partition_description_deinit, also after an error. */
int partition_describe(struct partition *partition, struct partition_description *description, struct diag *diag);
void partition_description_deinit(struct partition_description *description);

/* Appends one whole finished batch (not transactional): offsets are assigned and patched in place, as is the time of the append with
 * message.timestamp.type=LogAppendTime. The batch must be well-formed (batch_builder or batch_validate made sure); checked here
 * (admit.c): header and count (ERR_INVALID), CRC (ERR_CORRUPT), codec (ERR_UNSUPPORTED), max.message.bytes of what will be stored
 * (ERR_TOO_LARGE), timestamps against message.timestamp.before.max.ms and .after.max.ms, keys where the topic is compacted
 * (ERR_INVALID). With a compression.type that the batch does not have, a copy with that codec is stored. Returns once written;
 * durable when the high watermark passes it (partition_wait). base_offset may be NULL.
 *
 * A batch with a producer id (batch_set_producer, not transactional) is written once, however often it is sent: what this partition wrote among the
 * last five batches of that producer id and epoch answers 0 with the offset of the first time and appends nothing; wait for that offset + the
 * number of records as after the first append. ERR_SEQUENCE: it does not continue where the producer's last batch ended (the first of a newer epoch
 * has sequence 0; a producer that is not known, or not any more, may begin anywhere). ERR_FENCED: a newer epoch wrote here. ERR_STATE: a transaction of that
 * producer id has records here, and its end comes first. An id and epoch of one's own: producer_open(NULL). Sequences go from 0 to 2147483647 and on with 0. Retries are recognised across restarts and crashes. */
int partition_append(struct partition *partition, uint8_t *batch, size_t size, int64_t *base_offset, struct diag *diag);
/* The same of bytes that batch_validate has just found good: their CRC is not computed once more. */
int partition_append_validated(struct partition *partition, uint8_t *batch, size_t size, int64_t *base_offset, struct diag *diag);
/* Whether a record with this key and time (INT64_MIN: the time of the append) would be admitted at this moment: for who collects records, so that one of
 * them does not take its batch with it. 0, or ERR_INVALID with the reason. Cheap. */
int partition_admits_record(const struct partition *partition, int64_t timestamp_ms, struct bytes key, struct diag *diag);
/* The codec in which a batch would be stored that comes with codec: compression.type. */
enum codec partition_codec(const struct partition *partition, enum codec codec);
/* Blocks until the high watermark ≥ offset (asks the flusher for an early round), timeout_ms passed (ERR_TIMEOUT; -1: none)
 * or the writer stopped. */
int partition_wait(struct partition *partition, int64_t offset, int32_t timeout_ms);

/* Asks for what partition_wait would wait for, and returns: the flush begins now, not when the tail has its age. With a watcher (partition_watch) this
 * is partition_wait for who must not block. */
void partition_hurry(struct partition *partition);

/* The producers that this partition knows (idempotent and transactional ones; forgotten producer_expiry_ms after their last write), by last
 * write, the oldest first. *list is malloc'ed, the caller frees it. */
struct producer_info {
    int64_t producer_id;
    int16_t epoch;
    int32_t last_sequence;     /* -1: nothing written in this epoch yet */
    int64_t last_write_ms;     /* by the clock of this machine */
    int32_t coordinator_epoch; /* of its last marker; -1: it had none */
    int64_t txn_first_offset;  /* where its open transaction begins; -1: none */
};
int partition_producers(struct partition *partition, struct producer_info **list, size_t *count, struct diag *diag);

/* Called from a flusher, the decider or an appending thread, without locks held, after the last stable offset or high watermark moved.
 * fn must be quick and must not call into the log. One watcher per slot; remove with the returned id. */
int partition_watch(struct partition *partition, void (*fn)(void *context), void *context);
/* For who reads committed records alone: not called when only the high watermark moved. */
int partition_watch_committed(struct partition *partition, void (*fn)(void *context), void *context);
void partition_unwatch(struct partition *partition, int watch_id);

/* ---- reading ---- */
struct aborted { int64_t producer_id, first_offset, last_offset; };  /* last = the marker's offset */
struct fetch {
    size_t begin;              /* where they begin in bytes: what lies before is the caller's, and stays (0 after fetch_init) */
    struct buf bytes;          /* whole batches; the first contains the asked offset, or follows it where compaction left a gap */
    struct aborted *aborted;   /* READ_COMMITTED: those that overlap the bytes, sorted by first_offset */
    size_t aborted_count, aborted_capacity;
    struct partition_offsets offsets;  /* as of the fetch */
    int64_t next_offset;       /* the offset to ask for next: past the last batch, and past a gap that compaction left (then also without any
                                * bytes); = asked when there is nothing to read */
};
void fetch_init(struct fetch *fetch);
void fetch_deinit(struct fetch *fetch);
/* Reads whole batches from the one that contains offset, up to max_bytes (at least one batch when there is one), below the
 * last stable offset (READ_COMMITTED) or the high watermark. An offset equal to that bound: nothing, 0. ERR_RANGE below start or
 * above the end. CRCs are checked (ERR_CORRUPT with file and offset; the partition is stopped). Never blocks. */
int partition_fetch(struct partition *partition, int64_t offset, enum isolation isolation, size_t max_bytes,
                    struct fetch *fetch, struct diag *diag);

/* The same for who only hands the batches on: they go into a pipe, whole batches of at most max_bytes, and the kernel copies nothing. Their CRCs are not looked
 * at, so that it is only done where this process has written the batches itself or partition_fetch has checked them. *size 0: not done, for whatever reason, and
 * partition_fetch will tell; else fetch has all but its bytes. ERR_IO: the pipe may hold something that is of no use. Never waits for the pipe. */
enum { FETCH_PIPE_LEAST_BYTES = 64 << 10 };  /* less is not worth it, and *size is 0 */
int partition_fetch_into_pipe(struct partition *partition, int64_t offset, enum isolation isolation, size_t max_bytes, int pipe_fd,
                              struct fetch *fetch, size_t *size);

/* Walks what partition_fetch brought: batches that hold data for a reader (no control batches, no aborted ones), then records. */
struct fetch_reader {
    const struct fetch *fetch;
    struct bytes rest;
    int64_t from_offset;
    size_t aborted_first;      /* entries before it end below rest */
    struct record_reader records;
    struct buf plain;
    bool in_batch;
};
void fetch_reader_init(struct fetch_reader *reader);
void fetch_reader_deinit(struct fetch_reader *reader);
void fetch_reader_start(struct fetch_reader *reader, const struct fetch *fetch, int64_t from_offset);
/* 1: *batch is the next data batch (borrowed from the fetch), *header its header; 0: end; ERR_CORRUPT. */
int fetch_reader_next_batch(struct fetch_reader *reader, struct bytes *batch, struct batch_header *header);
/* 1: the next record at or after from_offset; 0: end. Valid until the next call. */
int fetch_reader_next(struct fetch_reader *reader, struct record *record);

/* First record with timestamp ≥ timestamp_ms below the high watermark: its offset and timestamp; none: offset -1. */
int partition_find_time(struct partition *partition, int64_t timestamp_ms, int64_t *offset, int64_t *found_timestamp_ms, struct diag *diag);

/* ---- cutting the end off ---- */
struct truncation {
    int64_t offset;            /* the new end: that of the last whole batch below the one asked for */
    int64_t end;               /* the end now, as far as it can be read */
    int64_t batches, bytes;    /* readable ones, and bytes, that go */
    int32_t leader_epoch;      /* of batches from then on */
    int32_t aborted;           /* transactions that are open there and will be aborted */
    int32_t committed;         /* whose commit lies beyond and is kept: what they have below stays committed */
    int32_t decisions;         /* committed transactions that meta still holds and that lose records here */
};
/* Cuts the end of a partition off at a batch boundary at or below offset: the way out when damage stopped it, and back behind records that
 * should not be there. execute false: only fills *truncation. Everything below the cut is read and must be right (ERR_CORRUPT names the
 * damage: cut there). ERR_RANGE outside start … end. The cut is recorded durably, the partition stops with ERR_STOPPED, and the next
 * log_open makes the cut, crash-safe, and runs the partition again. Batches get a new leader epoch from there on. Indexes, snapshots,
 * aborted ranges and segments beyond go along; committed offsets of groups beyond it stay as they are. */
int partition_truncate(struct partition *partition, int64_t offset, bool execute, struct truncation *truncation, struct diag *diag);

/* Whether a job made the partition's topic for itself (topic_info.internal): nobody else writes to it. */
bool partition_is_internal(const struct partition *partition);
/* The leader epoch that appended batches get. */
int32_t partition_leader_epoch(const struct partition *partition);
/* Where an epoch ended (Kafka's OffsetForLeaderEpoch): the largest epoch at or below the one asked for, and the first offset after it; both -1
 * for an epoch that never was. Reads a small file. */
int partition_epoch_end(struct partition *partition, int32_t epoch, int32_t *found_epoch, int64_t *end_offset, struct diag *diag);

/* ---- segments in and out ---- */
struct transfer {               /* everything is added to what stands there */
    int64_t segments, batches, records, bytes;
    int64_t aborted;            /* transactions that were open at the end of what was imported, and are aborted */
};
/* Writes a partition's segments into a new directory, as Kafka names them: whole batches from the start offset (the batch that holds it) to
 * the last stable offset, markers and aborted transactions included, each checked; indexes; the leader epoch checkpoint when there is one.
 * Durable on return. ERR_EXISTS; after any failure the directory is gone. */
int partition_export_segments(struct partition *partition, const char *directory, struct transfer *transfer, struct diag *diag);
/* Fills a topic that has no records from directories of segments, the i-th for partition i (count: as many as it has partitions). Offsets are
 * kept; the partition begins with its first batch. Kafka's own directories will do: .log files are read, batch by batch and checked (message
 * format 2; ERR_UNSUPPORTED for older ones), indexes are made anew, all other files are passed over; leader epochs become 0. Aborted
 * transactions are known by their markers; what is open at the end is aborted. Offsets must continue (ERR_CORRUPT) unless the topic is
 * compacted. Nothing counts before all of it is durable; the import is made by one write to meta. From then on the partitions answer
 * ERR_STOPPED, and the next log_open shows the records. ERR_STATE: the topic holds records. */
int topic_import_segments(struct log *log, const char *name, const char *const *directories, int32_t count, struct transfer *transfer,
                          struct diag *diag);

/* ---- verifying ---- */
enum verify_kind {
    VERIFY_RECORDS, /* batches, records, offsets: data is wrong or gone */
    VERIFY_INDEX,   /* .index, .timeindex: searches take longer until they are built again */
    VERIFY_FILES,   /* a file is missing, or is nobody's */
    VERIFY_META     /* what is recorded about the partition and its files disagree */
};
struct verify_finding { /* borrowed while the function runs */
    enum verify_kind kind;
    const char *topic;
    int32_t partition;
    const char *file;       /* its path, or "meta" */
    int64_t position;       /* byte in it; -1: none */
    int64_t offset;         /* of the record or batch; -1: none */
    const char *text;
};
typedef void (*verify_finding_fn)(void *context, const struct verify_finding *finding);
struct verify_report { /* everything is added to what stands there */
    int64_t segments, batches, records, bytes; /* what was read and right */
    int64_t findings;
};
/* Reads every byte of a partition's files, past all caches, and compares it with what Kafka's formats, the indexes, the offsets around
 * it and meta say. Works beside appends, reads, purges and compaction, and on stopped partitions; changes nothing. fn gets what is
 * wrong (the first 1000 findings, and how many more), in this thread. 0, also with findings; ERR_NOT_FOUND: deleted meanwhile;
 * ERR_IO, ERR_NOMEM: not all could be read. report and fn may be NULL. */
int partition_verify(struct partition *partition, verify_finding_fn fn, void *context, struct verify_report *report, struct diag *diag);

/* Moves the start offset up to offset (≤ last stable offset, else ERR_RANGE), durably, and removes whole segments below it. Works on a
 * full disk. */
int partition_purge(struct partition *partition, int64_t offset, struct diag *diag);
/* The same as an administrator means it: when all records go, the active segment is closed first, so that its space comes back too. */
int partition_delete_records(struct partition *partition, int64_t offset, struct diag *diag);

/* Compaction forgets deletions: a tombstone goes delete.retention.ms after it was compacted. Who follows a compacted partition as a table, and
 * resumes from an offset above start and below this, may have missed one: it has to begin at the start. */
int64_t partition_tombstone_horizon(struct partition *partition);
/* Below it compaction may have removed records whose keys came again; from it on all that was written is there. 0: it has removed nothing. */
int64_t partition_compacted_to(struct partition *partition);
/* While somebody follows the partition as a table: tombstones at or above from_offset stay. INT64_MAX: nobody does (as after log_open). Waits for
 * a write to meta that may be under way; from its return on the horizon does not pass from_offset. */
void partition_keep_tombstones(struct partition *partition, int64_t from_offset);

/* ---- transactions ---- */
/* Opens the producer of a transactional id: a new epoch is made durable, which fences every older handle; an open transaction
 * of the older epoch is aborted. An end that cannot be written yet (a full disk) is waited for, a second at most: then ERR_FULL, and the next
 * open waits again. transactional_id NULL: an id of its own, never transactional. */
int producer_open(struct log *log, const char *transactional_id, struct producer **producer, struct diag *diag);
void producer_close(struct producer *producer);   /* aborts an open transaction */
/* A transaction that is open longer than timeout_ms (0: no limit, the default) is aborted by the log within about a second, by the clock of this
 * machine, and the epoch goes up durably: the handle answers ERR_FENCED from then on. Needs the keeper, or log_keep_house. ERR_INVALID. */
int producer_set_timeout(struct producer *producer, int32_t timeout_ms, struct diag *diag);

/* For producers that outlive this process, on the other end of a connection. From producer_keep_outcome on (between transactions: else ERR_STATE) it is
 * durable whether a transaction of this epoch is open, and how the last one ended: one more write to meta when a transaction begins. Then a
 * commit whose answer was lost can be answered (producer_outcome, or producer_lookup without a handle), and after a restart the
 * producer goes on with its epoch: producer_resume. So does its transaction, with its records, group offsets and the time of its beginning, over log_close and a crash of
 * the process, when it has a timeout and nothing of it can be missing (recovery_open.c). Any other is aborted, raises the epoch and is continued. */
enum txn_outcome {
    TXN_OUTCOME_NONE,
    TXN_OUTCOME_OPEN,
    TXN_OUTCOME_COMMITTED,
    TXN_OUTCOME_ABORTED,
    TXN_OUTCOME_CONTINUED /* none in this epoch yet, and the epoch before was the same producer's: it asked for a new one, or opening the log aborted what it
                           * had open. Who has that epoch is not fenced by another, and may ask for the next. */
};
struct producer_record {
    int64_t producer_id;
    int16_t epoch;
    int32_t timeout_ms;
    enum txn_outcome outcome;  /* NONE: no transaction in this epoch yet, or the producer did not ask for it to be kept */
    int64_t updated_ms;
};
int producer_keep_outcome(struct producer *producer, struct diag *diag);
/* producer_open, producer_set_timeout and producer_keep_outcome by one write to meta. continues: for a producer that had the epoch before. */
int producer_open_kept(struct log *log, const char *transactional_id, int32_t timeout_ms, bool continues, struct producer **producer, struct diag *diag);
enum txn_outcome producer_outcome(struct producer *producer);
/* What is durable. ERR_NOT_FOUND: the id is not known; ids are forgotten when they had no handle and wrote nothing for 7 days. */
int producer_lookup(struct log *log, const char *transactional_id, struct producer_record *record, struct diag *diag);
/* A handle with the id and epoch that meta has, and the timeout; no new epoch. producer_outcome says whether it has a transaction that a restart left open. ERR_FENCED when meta has others, or the epoch is the one
 * after the last; ERR_BUSY when there is a handle. */
int producer_resume(struct log *log, const char *transactional_id, int64_t producer_id, int16_t epoch, struct producer **producer,
                    struct diag *diag);
/* Each transactional id that begins with prefix, by name: fn gets what producer_lookup would say, and calls nothing of the log. A result of fn other than 0 ends it
 * and is returned. */
int producer_each(struct log *log, const char *prefix,
                  int (*fn)(void *context, const char *transactional_id, const struct producer_record *record), void *context,
                  struct diag *diag);
/* Ids of clients of the network begin with this, and no others do, so that neither can fence the other: weir_producer_open refuses such a name, and an app's has no colon. */
#define CLIENT_TRANSACTIONAL_ID "kafka:"
/* A newer handle was opened, or the transaction was over its timeout: all that writes answers ERR_FENCED. */
bool producer_is_fenced(const struct producer *producer);
int64_t producer_id(const struct producer *producer);
int16_t producer_epoch(const struct producer *producer);

/* One transaction at a time per producer: begin → (append | add_offsets)* → commit or abort. */
int txn_begin(struct producer *producer, struct diag *diag);
/* Names partitions that this and following transactions may write. Participants are made durable before the first append to
 * them; naming them all at once costs one meta write for all, and a set that repeats from one transaction to the next costs none
 * (the decision of the last transaction renews it). */
int txn_participate(struct producer *producer, struct partition *const *partitions, size_t count, struct diag *diag);
/* Appends a finished batch as part of the open transaction, admitted as partition_append does (producer fields patched, CRC recomputed). ERR_FENCED, ERR_STATE. */
int txn_append(struct producer *producer, struct partition *partition, uint8_t *batch, size_t size, int64_t *base_offset, struct diag *diag);
/* Appends a batch that a producer elsewhere made for the open transaction, as it is: transactional, with its own producer id, epoch and sequence.
 * ERR_FENCED: not the id and epoch of this handle. ERR_STATE: no transaction is open, or txn_participate did not name the partition since it was
 * begun: so a batch of an ended transaction that comes late is not taken for one of the next. ERR_SEQUENCE, and 0 with the first offset for a
 * batch that is sent again: as partition_append. */
int txn_append_numbered(struct producer *producer, struct partition *partition, uint8_t *batch, size_t size, int64_t *base_offset,
                        struct diag *diag);
struct group_offset {
    char topic[250];
    int32_t partition;
    int64_t offset;            /* the next to read; -1: none */
    struct bytes metadata;     /* what the committer adds, up to 4096 bytes; data NULL: none */
    int64_t commit_time_ms;    /* 0 in a commit: now */
    bool of_app;               /* a weir app's: it never expires */
};
/* Offsets that are committed with the open transaction. ERR_FENCED, ERR_STATE; ERR_TOO_LARGE: 64 MiB of them wait for its end. */
int txn_add_offsets(struct producer *producer, const char *group, const struct group_offset *offsets, size_t count, struct diag *diag);
/* Asks for the commit and returns; done(context, code) is called once from the flusher thread when the transaction is decided
 * (durable) or failed (negative code: ERR_FENCED, ERR_IO …; then the transaction is aborted, or the writer is stopped). No call on
 * the producer is allowed in between. done must be quick and must not call into the log. */
int txn_commit_start(struct producer *producer, void (*done)(void *context, int code), void *context, struct diag *diag);
/* An abort in the same way. 0 for done: it is aborted; ERR_FULL: it will be, when the disk has room. */
int txn_abort_start(struct producer *producer, void (*done)(void *context, int code), void *context, struct diag *diag);
/* The same and wait. */
int txn_commit(struct producer *producer, struct diag *diag);
int txn_abort(struct producer *producer, struct diag *diag);

/* What an operator asks about a producer's transaction. */
struct txn_partition {
    char topic[250];
    int32_t partition;
};
enum txn_phase { TXN_IS_NONE, TXN_IS_OPEN, TXN_IS_BEING_DECIDED };
struct txn_description {
    enum txn_phase phase;
    int64_t began_ms;                 /* of the open one, where it has a timeout; -1: none, or not known */
    struct txn_partition *partitions; /* named by txn_participate since it began, sorted; malloc'ed, the caller frees it */
    size_t partition_count;
};
int txn_describe(struct producer *producer, struct txn_description *description, struct diag *diag);

/* ---- groups (their offsets; membership, lag, reset and expiry: group.h; the embedded consumer: consumer.h) ---- */
/* A standalone commit: ERR_MEMBER while the group has members; ERR_TOO_LARGE: metadata. */
int group_commit(struct log *log, const char *group, const struct group_offset *offsets, size_t count, struct diag *diag); /* durable */
/* offset -1 when there is none for this topic id; without the metadata (group_fetch_metadata brings it). */
int group_fetch(struct log *log, const char *group, const char *topic, int32_t partition, struct group_offset *offset);
/* All offsets of a group whose topics still exist, sorted; one malloc'ed block with the metadata. ERR_NOT_FOUND when the group has none. */
int group_describe(struct log *log, const char *group, struct group_offset **offsets, size_t *count);
/* Names of groups with offsets or members, sorted: *groups is one malloc'ed block of *count pointers and texts. */
int group_list(struct log *log, char ***groups, size_t *count);
int group_delete(struct log *log, const char *group, struct diag *diag);

/* ---- an embedded producer ---- */
/* Collects records per partition into lz4 batches; keyed records go to murmur2(key) mod partitions, null keys stick to one
 * partition per batch. One thread at a time. */
struct sender;
/* A batch that left the sender, for who asked (appended). */
struct sent_batch {
    struct sent_batch *next;   /* the receiver's */
    void *context;             /* of the sender's options */
    struct partition *partition;
    int32_t index;             /* of the partition */
    int32_t record_count;
    int64_t base_offset;       /* -1: dropped */
    int code;                  /* 0, or why it was dropped */
    uint64_t *tags;            /* of its records */
};
void sent_batch_free(struct sent_batch *sent);
struct sender_options {
    enum codec codec;          /* lz4 unless set; set with codec_is_set. A topic whose compression.type names a codec wins */
    bool codec_is_set;
    size_t batch_bytes;        /* plain bytes per batch; 0: 256 KiB */
    struct producer *producer; /* batches are appended to its open transaction; NULL: to none. It outlives the sender */
    /* Called for each batch that left the sender: appended (reason NULL) or dropped. The callee owns sent and frees it with
     * sent_batch_free. Must not use the sender. NULL: nobody asks. */
    void (*appended)(void *context, struct sent_batch *sent, const struct diag *reason);
    bool keep_tags;            /* sent->tags holds what sender_send_tagged was given; else it is NULL */
    void *context;
};
int sender_open(struct log *log, const char *topic, const struct sender_options *options, struct sender **sender, struct diag *diag);
/* partition -1: choose. timestamp_ms INT64_MIN: now. Copies what it is given. On failure the record was not taken; the failure may be that of
 * the batch that had to make room. ERR_INVALID: partition_admits_record says no, and nothing else is lost. */
int sender_send(struct sender *sender, int32_t partition, int64_t timestamp_ms, struct bytes key, struct bytes value,
                struct bytes headers, int32_t header_count, struct diag *diag);
/* The same with a number of the caller's, which comes back in a struct sent_batch. */
int sender_send_tagged(struct sender *sender, int32_t partition, int64_t timestamp_ms, struct bytes key, struct bytes value,
                       struct bytes headers, int32_t header_count, uint64_t tag, struct diag *diag);
/* Plain bytes that wait to be appended. */
size_t sender_collected_bytes(const struct sender *sender);
/* Appends what is collected, and, with wait, blocks until all of it is acknowledged (high watermark). */
int sender_flush(struct sender *sender, bool wait, struct diag *diag);
/* Appends the batches whose first record came at before_ns (clock_mono_ns) or earlier. *oldest_ns: when the oldest of the others began,
 * INT64_MAX when nothing is left. */
int sender_append_older(struct sender *sender, int64_t before_ns, int64_t *oldest_ns, struct diag *diag);
/* Waits until what was appended is acknowledged. ERR_TIMEOUT; -1: no limit. */
int sender_wait(struct sender *sender, int32_t timeout_ms, struct diag *diag);
/* Forgets what is collected and reports it as dropped for this reason. */
void sender_discard(struct sender *sender, const struct diag *reason);
/* Learns the topic's partitions anew, and the topic itself when it was deleted and made again. ERR_NOT_FOUND: it is gone, or became smaller
 * than what is collected needs. */
int sender_refresh(struct sender *sender, struct diag *diag);
void sender_close(struct sender *sender);  /* does not flush */

#endif
