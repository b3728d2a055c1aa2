/* group.h: consumer groups beyond their bare offsets (log.h has those): commits of members, state, lag, reset, expiry.
 *
 * A group is its committed offsets (durable, in meta) and, while somebody is a member, its membership (in memory, coordinator.h); with neither
 * there is no such group.
 * Across restarts the offsets, the generation and since when the group is empty are kept.
 *
 * Threads: any thread may call any of these. Arrays that are given out are one malloc'ed block with everything they point to: the caller
 * frees it with free(). */
#ifndef WEIR_LOG_GROUP_H
#define WEIR_LOG_GROUP_H

#include "log/log.h"

enum { GROUP_METADATA_BYTES = 4096 }; /* longest metadata of an offset, as offset.metadata.max.bytes of Kafka */

/* Names a member of a generation. member_id "" and generation -1: nobody (a standalone commit). */
struct group_member {
    const char *member_id;
    const char *instance_id; /* NULL: a dynamic member */
    int32_t generation;
};

/* group_commit for a member: ERR_MEMBER (unknown member, or a generation that is over), ERR_REBALANCE (the generation's assignment is
 * not known yet: join again), ERR_FENCED (another member took the instance id). NULL or the nobody above: as group_commit, which is
 * refused with ERR_MEMBER while the group has members. Durable on return, and before a member of a later generation starts. */
int group_commit_member(struct log *log, const char *group, const struct group_member *member,
                        const struct group_offset *offsets, size_t count, struct diag *diag);
/* txn_add_offsets for a member, checked in the same way when it is called; but a member need not have its assignment yet. Until the transaction is decided, a consumer that is given the partition
 * waits before it looks up where to start. */
int txn_add_offsets_member(struct producer *producer, const char *group, const struct group_member *member,
                           const struct group_offset *offsets, size_t count, struct diag *diag);
/* group_fetch with the metadata, which goes into metadata (cleared first) and offset->metadata. */
int group_fetch_metadata(struct log *log, const char *group, const char *topic, int32_t partition,
                         struct group_offset *offset, struct buf *metadata);

/* 1..400 bytes, else ERR_INVALID. */
int group_name_check(const char *group, struct diag *diag);
/* 1: a transaction that is not decided adds an offset for the partition. Ask before group_fetch: then what that brings is the newest. */
int group_offset_pending(struct log *log, const char *group, const char *topic, int32_t partition);

/* For a front-end that brings members from elsewhere (log/kafka): the one that knows the log's groups (coordinator.h). */
struct coordinator;
struct coordinator *log_coordinator(struct log *log);
/* Stores generations and emptiness that changed. Nobody waits for it: a failure is tried again with the next change or pass of the keeper. */
int groups_store(struct log *log, struct diag *diag);

enum group_state { /* of Kafka's classic protocol */
    GROUP_EMPTY,
    GROUP_PREPARING_REBALANCE,
    GROUP_COMPLETING_REBALANCE,
    GROUP_STABLE,
    GROUP_DEAD /* there is no such group */
};
const char *group_state_text(enum group_state state); /* "Empty", "PreparingRebalance", … as on the wire */

struct group_info {
    enum group_state state;
    int32_t generation;      /* 0: never had members */
    int64_t empty_since_ms;  /* epoch ms; -1: it has members, or never had any */
    char protocol_type[64];  /* "consumer"; "" when nobody ever joined */
    char assignor[64];       /* of the generation; "": none */
    size_t member_count, offset_count;
    bool of_app;             /* holds offsets of a weir app: they do not expire */
};
/* ERR_NOT_FOUND when the group has neither offsets nor members. */
int group_info(struct log *log, const char *group, struct group_info *info, struct diag *diag);

/* A partition of a group: of a topic that the group has committed offsets in, or that is assigned to a member. */
struct group_lag {
    char topic[250];
    int32_t partition;
    int64_t committed;               /* -1: none */
    int64_t start, end;              /* of the partition: the first offset, the high watermark */
    int64_t lag;                     /* end - committed, at least 0; -1: nothing is committed */
    int64_t commit_time_ms;          /* 0: nothing is committed */
    struct bytes metadata;
    const char *member_id, *client_id, *host; /* of the owner; NULL: none */
};
/* By topic and partition: all partitions of those topics. *total_lag: of those with a committed offset. ERR_NOT_FOUND as above. */
int group_lag(struct log *log, const char *group, struct group_lag **rows, size_t *count, int64_t *total_lag, struct diag *diag);

enum group_reset_to {
    GROUP_RESET_EARLIEST, /* the first offset that exists */
    GROUP_RESET_LATEST,   /* the high watermark */
    GROUP_RESET_OFFSET,   /* number */
    GROUP_RESET_TIME,     /* the first record with timestamp ≥ number (epoch ms); the end when there is none */
    GROUP_RESET_SHIFT     /* number records further (negative: back) from the committed offset */
};
struct group_reset {
    const char *topic;       /* NULL: every topic that the group has offsets in */
    int32_t partition;       /* -1: all */
    enum group_reset_to to;
    int64_t number;
    bool execute;            /* false: nothing is changed, the rows say what would be */
};
struct group_reset_row {
    char topic[250];
    int32_t partition;
    int64_t old_offset;      /* -1: none */
    int64_t wanted_offset;   /* what was asked for */
    int64_t new_offset;      /* wanted_offset, or the nearer end of what exists */
};
/* New offsets for a group, all of them or none. ERR_BUSY while the group has members; ERR_NOT_FOUND: no such topic or partition, or no
 * offsets with topic NULL; ERR_STATE: a shift of a partition without a committed offset. Offsets of an app stay marked as such. */
int group_reset_offsets(struct log *log, const char *group, const struct group_reset *reset, struct group_reset_row **rows,
                        size_t *count, struct diag *diag);
/* The arithmetic of a reset: fills row's wanted_offset and new_offset from its old_offset and what there is: the partition's first offset, its
 * end, and, for a time, the offset found for it (-1: none). ERR_STATE as above. */
int group_reset_place(const char *group, const struct group_reset *reset, int64_t start, int64_t end, int64_t found,
                      struct group_reset_row *row, struct diag *diag);
/* Forgets the offsets of a topic (partition -1: of all its partitions). ERR_NOT_FOUND: there are none; ERR_BUSY: a member reads the topic. */
int group_delete_offsets(struct log *log, const char *group, const char *topic, int32_t partition, struct diag *diag);

/* Forgets offsets whose time is over: offsets_retention_ms after the group became empty, and after the commit where it never had members;
 * never those of a group that has members, never those of a weir app. *removed counts them. The keeper calls it. */
int groups_expire(struct log *log, int64_t now_ms, size_t *removed, struct diag *diag);

#endif
