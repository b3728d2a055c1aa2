/* source.h: records of one topic, for a command that prints them: read from the embedded log (source.c), or from a server (remote_source.c).
 *
 *     open ─▶ assigned ─▶ (begin, of each partition) ─▶ (take_part ─▶ read, of each partition ─▶ commit)* ─▶ close
 *
 * Without a group, or with one partition alone, all is assigned while it is opened. With a group the source is a member: partitions come and go
 * in take_part, read, commit and close, with a callback for each.
 *
 * One thread; callbacks run in it. Functions return 0 or a negative code with diag unless said otherwise. */
#ifndef WEIR_CLI_SOURCE_H
#define WEIR_CLI_SOURCE_H

#include "log/consumer.h"
#include "runtime/cli/door.h"

struct source;
typedef void (*source_partitions_fn)(void *context, struct source *source, const int32_t *partitions, size_t count);

struct source_options {
    const char *topic;
    const char *group;        /* NULL: none */
    int32_t only;             /* this partition alone; -1: all, or the group's share */
    enum isolation isolation;
    source_partitions_fn assigned; /* calls begin for each of them */
    source_partitions_fn revoked;  /* they go to somebody else: the last chance to commit */
    source_partitions_fn lost;     /* they went without asking */
    void *context;
};
struct source_ops {
    /* The first offset, and the end as far as the isolation shows it. */
    int (*bounds)(struct source *source, int32_t partition, int64_t *start, int64_t *end, struct diag *diag);
    /* The first record from then on; -1: none. */
    int (*find_time)(struct source *source, int32_t partition, int64_t timestamp_ms, int64_t *offset, struct diag *diag);
    /* What the group committed; -1: nothing. */
    int (*committed)(struct source *source, int32_t partition, int64_t *offset, struct diag *diag);
    int (*begin)(struct source *source, int32_t partition, int64_t offset, struct diag *diag);
    /* The next records at or after position: how many, valid until the next call. 0: none; then *next > position means that what lies before it is nothing for us
     * (markers, aborted records), and *next = position that this is the end, now. Does not wait at the end. A negative code is about this partition, but
     * for ERR_TIMEOUT, which is about the server. */
    int64_t (*read)(struct source *source, int32_t partition, int64_t position, const struct record **records, int64_t *next, struct diag *diag);
    /* Keeps the membership and the connection going. */
    int (*take_part)(struct source *source, struct diag *diag);
    /* Offsets of the group. */
    int (*commit)(struct source *source, const struct group_offset *offsets, size_t count, struct diag *diag);
    /* Readable when there may be something to read or to take part in; take_part takes the readiness away. */
    int (*fd)(const struct source *source);
    void (*close)(struct source *source);
};
struct source {
    const struct source_ops *ops;
    struct source_options options;
};

/* What door leads to, which stays open meanwhile. ERR_NOT_FOUND: no such topic; ERR_RANGE: no such partition. */
int source_open(struct door *door, const struct source_options *options, struct source **source, struct diag *diag);
/* NULL is allowed. */
void source_close(struct source *source);

/* remote_source.c. partitions: how many the topic has. */
int remote_source_open(struct remote *remote, const struct source_options *options, int32_t partitions, struct source **source,
                       struct diag *diag);

#endif
