/* port.h: the only door from the engine to a log.
 *
 * One table of functions, so that the same engine can work on the embedded log (port_log.c) and, one day, on a Kafka cluster. Nothing of
 * one implementation leaks through: records go in one by one and come out as rows; batches, control markers, segments and LMDB stay
 * behind the door. Readers see committed records only.
 *
 * Threads: a reader, an out and a txn are used by one thread at a time; the rest may be called from any thread. */
#ifndef WEIR_PORT_H
#define WEIR_PORT_H

#include "operators/column.h"
#include "runtime/base/error.h"

struct port_topic {
    uint8_t id[16];                  /* a deleted and re-created topic has another one */
    int32_t partitions;
    bool internal;                   /* made by an app for itself: nobody else writes to it */
    char partitioned_by[256];        /* the field that murmur2 was taken of, "" when unknown */
};
struct port_setting {
    const char *key, *value;
};
struct port_position {
    char topic[250];
    int32_t partition;
    int64_t offset;
};
/* What is in one partition: start and end of the committed records. Of a compacted one: who holds it as a table up to an offset above
 * start and below complete_from may have missed deletions, and has to begin at the start; records below compacted_to may be gone because their key came again. */
struct port_range {
    int64_t start, stable, complete_from, compacted_to;
};

struct port_reader;
struct port_out;
struct port_txn;
struct port;

struct port_ops {
    /* ERR_NOT_FOUND when there is none (diag names the closest). */
    int (*topic_describe)(struct port *port, const char *topic, struct port_topic *info, struct diag *diag);
    /* The name of the topic with this id; ERR_NOT_FOUND when there is none (any more). */
    int (*topic_name)(struct port *port, const uint8_t id[16], char name[250], struct diag *diag);
    int (*topic_create)(struct port *port, const char *topic, int32_t partitions, const struct port_setting *settings,
                        size_t setting_count, struct diag *diag);
    int (*topic_delete)(struct port *port, const char *topic, struct diag *diag);
    int (*range)(struct port *port, const char *topic, int32_t partition, struct port_range *range, struct diag *diag);
    /* Waits until all that was written to the partition so far, markers included, is visible to readers; then as range. For topics whose
     * writers have ended. */
    int (*settled_range)(struct port *port, const char *topic, int32_t partition, struct port_range *range, struct diag *diag);
    /* The first record with a timestamp at or after time_ms; -1: there is none. */
    int (*offset_at)(struct port *port, const char *topic, int32_t partition, int64_t time_ms, int64_t *offset, struct diag *diag);
    /* wake(context) is called, from any thread, after committed records were added. It must be quick and not call the port.
     * Returns an id for unwatch, or a negative code. */
    int (*watch)(struct port *port, const char *topic, int32_t partition, void (*wake)(void *), void *context, struct diag *diag);
    void (*unwatch)(struct port *port, const char *topic, int32_t partition, int watch_id);
    /* Forgets records below offset (of an internal topic that has been consumed). */
    int (*purge)(struct port *port, const char *topic, int32_t partition, int64_t offset, struct diag *diag);
    /* Deletions at or above offset are still needed by this table of a compacted topic; INT64_MAX: the table is no longer followed. After the
     * call complete_from of range does not pass offset. */
    void (*keep_deletions)(struct port *port, const char *topic, int32_t partition, int64_t offset);
    /* The committed position of a consumer group; -1: none. */
    int (*position)(struct port *port, const char *group, const char *topic, int32_t partition, int64_t *offset, struct diag *diag);

    /* Calls each(context, group, of_app) for every consumer group that has a committed position in the topic; of_app: an app's. */
    int (*readers)(struct port *port, const char *topic, int (*each)(void *context, const char *group, bool of_app), void *context, struct diag *diag);

    int (*reader_open)(struct port *port, const char *topic, int32_t partition, int64_t offset, struct port_reader **reader,
                       struct diag *diag);
    /* Up to max_rows committed records, in offset order; rows borrow from the reader until the next call. *next is the position
     * after them, which also passes what holds no records (markers, aborted transactions). *count = 0 with *next unchanged: nothing there now.
     * Never blocks. */
    int (*reader_read)(struct port_reader *reader, struct source_row *rows, uint32_t max_rows, uint32_t *count, int64_t *next,
                       struct diag *diag);
    void (*reader_close)(struct port_reader *reader);

    /* Records for one partition, encoded as they are added and kept until out_send. */
    int (*out_open)(struct port *port, const char *topic, int32_t partition, struct port_out **out, struct diag *diag);
    int (*out_add)(struct port_out *out, int64_t timestamp_ms, struct bytes key, struct bytes value, struct bytes headers,
                   int32_t header_count, struct diag *diag);
    /* One of many that are open: its batches hold so many bytes before compression, and memory is given back when they are sent. */
    void (*out_is_one_of_many)(struct port_out *out, size_t batch_bytes);
    size_t (*out_bytes)(const struct port_out *out);   /* memory held */
    int64_t (*out_records)(const struct port_out *out);
    void (*out_close)(struct port_out *out);

    /* A transactional writer; opening it fences older ones of the same id. */
    int (*txn_open)(struct port *port, const char *id, struct port_txn **txn, struct diag *diag);
    /* Names every partition that this writer's transactions may touch from the next begin on, in place of those named before. */
    int (*txn_participate)(struct port_txn *txn, struct port_out *const *outs, size_t count, struct diag *diag);
    /* A failure leaves no transaction open. */
    int (*txn_begin)(struct port_txn *txn, struct diag *diag);
    /* Appends what out holds and empties it; *end receives the end offset after it (the position of a reader that has read it all). */
    int (*txn_send)(struct port_txn *txn, struct port_out *out, int64_t *end, struct diag *diag);
    int (*txn_positions)(struct port_txn *txn, const char *group, const struct port_position *positions, size_t count, struct diag *diag);
    /* done(context, code) is called once, from another thread; no call on txn before that. */
    int (*txn_commit)(struct port_txn *txn, void (*done)(void *context, int code), void *context, struct diag *diag);
    int (*txn_abort)(struct port_txn *txn, struct diag *diag);
    /* Of a log without threads: takes a step of what its threads would do, for who waits for an answer of txn_commit. False: there are threads, and waiting
     * is enough. */
    bool (*drive)(struct port *port);
    void (*txn_close)(struct port_txn *txn);

    void (*close)(struct port *port);
};

struct port {
    const struct port_ops *ops;
};

/* Appends one header to an encoded list of headers (the form in which rows carry them and out_add takes them). */
void port_header_add(struct buf *headers, const char *key, struct bytes value);

struct weir_log;
/* The embedded log in a directory. */
struct port_log_options {
    bool os_durability;              /* acknowledge after the write */
    int64_t keeper_interval_ms;      /* how often the log looks at retention and compaction; 0: its own default; -1: never */
    int64_t cleaner_memory_bytes;    /* of a compaction; 0: the log's own default */
    bool must_exist;                 /* a directory without a log is an error */
};
/* options may be NULL. */
int port_log_open(const char *dir, const struct port_log_options *options, struct port **port, struct diag *diag);
/* An app that may run on the log keeps it from being closed. NULL is allowed. */
void port_log_hold(struct weir_log *log);
void port_log_release(struct weir_log *log);
/* A log that is open already, for one running app of this name (else ERR_BUSY); closing the port leaves the log open. name outlives the port. NULL: for who only
 * reads, beside whatever runs. */
int port_log_share(struct weir_log *log, const char *name, struct port **port, struct diag *diag);

#endif
