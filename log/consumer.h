/* consumer.h: the embedded consumer: a member of a group that shares partitions with other consumers of this process, or a
 * lone reader of its own.
 *
 *     open → (poll → commit)* → close
 *
 * What it reads:
 *   group and topics        a member: the group's assignor deals the topics' partitions out; commits carry the member's generation
 *   group and partitions    reads the named partitions alone; commits stand for the group as long as nobody is a member of it
 *   no group, topics        all partitions of the topics, also those that are added later; commits are refused (ERR_STATE)
 *   no group, partitions    the named partitions
 *
 * Where it starts: at the group's committed offset, else at what reset says. reset holds as well for a position that no longer
 * exists (retention) or does not exist any more (truncation).
 *
 * Threads: a consumer belongs to one thread at a time; consumer_wake alone may be called from any thread and from a signal
 * handler. Several consumers of one group run in several threads. There is no background thread: consumer_poll is what keeps
 * a member alive, so a member that does not poll for session_timeout_ms loses its partitions (Kafka's max.poll.interval.ms and
 * session.timeout.ms in one). Callbacks run in the consumer's thread, inside poll or close. All consumers of a log are closed
 * before log_close.
 *
 * Delivery: at least once when what poll returned is processed before it is committed; a member that leaves by consumer_close,
 * or whose partitions are revoked, has the last chance to commit in the revoked callback, and then nothing is read twice.
 * Exactly once across a transaction: txn_add_offsets_member (group.h) with consumer_member. */
#ifndef WEIR_LOG_CONSUMER_H
#define WEIR_LOG_CONSUMER_H

#include "log/group.h"
#include "log/log.h"

struct consumer;

enum reset_policy {
    RESET_EARLIEST = 0, /* the first offset that exists */
    RESET_LATEST = 1,   /* the end */
    RESET_ERROR = 2     /* poll answers ERR_RANGE for that partition, until consumer_seek */
};

/* How a group's partitions are dealt out, with the results of Kafka's assignors of these names. */
enum assignor {
    ASSIGN_NONE = 0,
    ASSIGN_RANGE = 1,              /* range: per topic, neighbouring partitions; equal numbers of different topics meet in one member */
    ASSIGN_ROUND_ROBIN = 2,        /* roundrobin: all partitions one by one */
    ASSIGN_STICKY = 3,             /* sticky: even, and as few partitions as possible move */
    ASSIGN_COOPERATIVE_STICKY = 4  /* cooperative-sticky: the same, and members go on reading what does not move */
};
enum { ASSIGNORS_MAX = 4 };

struct topic_partition {
    const char *topic;
    int32_t partition;
};

/* Called with the partitions that came or went; borrowed for the call. They may commit, seek, pause and ask for positions. */
typedef void (*consumer_partitions_fn)(void *context, struct consumer *consumer, const struct topic_partition *partitions, size_t count);

struct consumer_options {
    const char *group;                        /* NULL: none */
    const char *client_id;                    /* part of the member id; NULL: "weir" */
    const char *instance_id;                  /* a static member (KIP-345): comes back under this name without a rebalance; NULL: dynamic */
    const char *const *topics;                /* all of them must exist */
    size_t topic_count;
    const struct topic_partition *partitions; /* instead of topics */
    size_t partition_count;
    enum assignor assignors[ASSIGNORS_MAX];   /* in order of preference, ended by ASSIGN_NONE; none: range, cooperative-sticky */
    enum reset_policy reset;
    enum isolation isolation;
    int32_t session_timeout_ms;               /* 0: 45 s */
    int32_t rebalance_timeout_ms;             /* how long a rebalance waits for this member; 0: 5 min */
    int32_t heartbeat_interval_ms;            /* also how often topics are looked at for new partitions; 0: 3 s */
    int32_t initial_rebalance_delay_ms;       /* a group's first generation waits so long for more members; 0: does not wait */
    size_t max_bytes;                         /* of a fetch from one partition; 0: 1 MiB */
    size_t max_records;                       /* of a poll; 0: 500. A poll may bring fewer while more are there */
    consumer_partitions_fn assigned;          /* new partitions (not those it kept), before the first record of them; may be NULL */
    consumer_partitions_fn revoked;           /* partitions that go to somebody else: still owned during the call, commits are taken */
    consumer_partitions_fn lost;              /* partitions that are somebody else's already: commits are refused; NULL: nothing is called */
    /* A position that does not exist was replaced: the reset policy in words. NULL: a log line. */
    void (*was_reset)(void *context, const struct topic_partition *partition, int64_t from_offset, int64_t to_offset);
    void *context;                            /* of the callbacks */
};

/* Joins nothing yet: the first poll does. A reader that is no member has its partitions from the start (it may seek before it polls); assigned
 * is called by its first poll all the same. Copies what options point to. ERR_NOT_FOUND for an unknown topic or partition,
 * ERR_INVALID. The log outlives the consumer. */
int consumer_open(struct log *log, const struct consumer_options *options, struct consumer **consumer, struct diag *diag);
/* revoked is called, and the member leaves its group (a static member does not: it may come back within its session timeout). Commits
 * nothing by itself. With cooperative-sticky it waits up to 5 s for a rebalance that is about to end, so that revoked can still commit.
 * NULL is allowed. */
void consumer_close(struct consumer *consumer);

struct consumer_record {
    const char *topic;
    int32_t partition;
    int64_t offset, timestamp_ms;
    struct bytes key, value;   /* data NULL: null */
    struct bytes headers;      /* header_count of them, for header_take */
    int32_t header_count;
};

/* Drives the membership (joins, heartbeats, rebalances with their callbacks) and brings records: waits for the first up to
 * timeout_ms (0: does not wait; -1: no limit) and returns how many *records holds, 0 when the time is over or after
 * consumer_wake. The records of one poll are of one partition, in offset order, valid until the next poll, seek or close; the partitions
 * take turns, fetch by fetch.
 * Errors: a partition that cannot be read (ERR_CORRUPT, ERR_NOT_FOUND after its topic was deleted, ERR_RANGE under RESET_ERROR) is named in
 * diag, returned once, and left out from then on until it is sought or assigned anew (consumer_partition_status); the next poll goes on
 * with the others. ERR_FENCED: another consumer took this one's instance id; it is over for this consumer. ERR_INVALID, ERR_TOO_LARGE: the
 * group does not take this member (no common assignor, it is full); a later poll asks again. */
int64_t consumer_poll(struct consumer *consumer, int32_t timeout_ms, const struct consumer_record **records, struct diag *diag);
/* Makes the poll that runs, or else the next one, return at once. Any thread; async-signal-safe. */
void consumer_wake(struct consumer *consumer);
/* A descriptor that becomes readable when a poll could bring something; for event loops, which then call poll(0) until it returns 0,
 * and at least each heartbeat interval. It belongs to the consumer. */
int consumer_fd(const struct consumer *consumer);

/* Commits, durably: offsets of count partitions, or, with offsets NULL, the positions of all assigned partitions that moved since
 * their last commit (the offset after the last record that poll returned). ERR_REBALANCE: the group is in a rebalance and the member has
 * not joined it yet: poll and commit again; ERR_MEMBER: the member was removed (it did not poll in time) and its partitions are
 * somebody else's; ERR_FENCED as in poll; ERR_TOO_LARGE: metadata over GROUP_METADATA_BYTES; ERR_STATE: no group. */
int consumer_commit(struct consumer *consumer, const struct group_offset *offsets, size_t count, struct diag *diag);
/* What the group committed for a partition, any partition; offset -1: nothing. metadata (NULL: not wanted) is cleared and receives the text. */
int consumer_committed(struct consumer *consumer, const char *topic, int32_t partition, struct group_offset *offset,
                       struct buf *metadata, struct diag *diag);
/* The offset that the next poll reads first. ERR_NOT_FOUND: not assigned (all functions on positions below answer this). ERR_BUSY: an undecided transaction
 * adds an offset for the partition, which decides where to start; polls bring nothing of it until then. */
int consumer_position(struct consumer *consumer, const char *topic, int32_t partition, int64_t *offset, struct diag *diag);

#define CONSUMER_BEGINNING INT64_C(-2) /* as in Kafka's ListOffsets */
#define CONSUMER_END INT64_C(-1)
/* Moves the position to an offset, the beginning or the end (of what the isolation shows). An offset that does not exist is found out by
 * the next poll, which applies the reset policy. */
int consumer_seek(struct consumer *consumer, const char *topic, int32_t partition, int64_t offset, struct diag *diag);
/* To the first record with timestamp ≥ timestamp_ms; to the end when there is none. */
int consumer_seek_time(struct consumer *consumer, const char *topic, int32_t partition, int64_t timestamp_ms, struct diag *diag);
/* A paused partition stays assigned and brings no records. It is paused until resume or until it is assigned anew. */
int consumer_pause(struct consumer *consumer, const char *topic, int32_t partition, struct diag *diag);
int consumer_resume(struct consumer *consumer, const char *topic, int32_t partition, struct diag *diag);
/* 0; the code that made poll leave the partition out, with its text. */
int consumer_partition_status(struct consumer *consumer, const char *topic, int32_t partition, struct diag *diag);

/* The assigned partitions by topic and partition; borrowed until the next poll or close. */
void consumer_assignment(const struct consumer *consumer, const struct topic_partition **partitions, size_t *count);
/* Who this member is, for txn_add_offsets_member; texts are borrowed until the next poll. Before the first join and without a group:
 * generation -1 and an empty member id. */
void consumer_member(const struct consumer *consumer, struct group_member *member);

#endif
