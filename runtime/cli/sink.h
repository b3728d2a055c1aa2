/* sink.h: where the records of a topic go that a command makes of lines: into the embedded log (sink.c), or to a server (remote_sink.c).
 *
 *     open ─▶ (send* ─▶ hurry)* ─▶ finish (─▶ give_up) ─▶ close
 *
 * A record knows the line that it was made of: that is how what is not stored is told. One thread; lost runs in it, inside any of the functions. Functions return 0
 * or a negative code with diag. */
#ifndef WEIR_CLI_SINK_H
#define WEIR_CLI_SINK_H

#include "runtime/cli/door.h"

struct sink;
struct sink_options {
    const char *topic;
    enum codec codec;
    size_t batch_bytes;       /* how much is collected for a partition before it is sent; fits into max.message.bytes */
    int64_t max_message_bytes;
    /* A record of this line, and perhaps some after it, are not stored and will not be. reason NULL: their batch was refused. */
    void (*lost)(void *context, int64_t line, const struct diag *reason);
    void *context;
};
struct sink_ops {
    /* Takes copies. timestamp_ms INT64_MIN: now. ERR_INVALID, ERR_TOO_LARGE: this record is wrong. Anything else: nothing more can be stored. */
    int (*send)(struct sink *sink, int64_t timestamp_ms, struct bytes key, struct bytes value, int64_t line, struct diag *diag);
    /* What was sent leaves now, so that others see it. Does not wait for it. */
    int (*hurry)(struct sink *sink, struct diag *diag);
    /* Waits until all is on stable storage. */
    int (*finish)(struct sink *sink, struct diag *diag);
    /* After a failure: what is still here is lost, what has left is waited for. */
    int (*give_up)(struct sink *sink, const struct diag *reason, struct diag *diag);
    void (*close)(struct sink *sink);
};
struct sink {
    const struct sink_ops *ops;
    struct sink_options options;
};

/* What door leads to, which stays open meanwhile. */
int sink_open(struct door *door, const struct sink_options *options, struct sink **sink, struct diag *diag);
/* NULL is allowed. */
void sink_close(struct sink *sink);

/* remote_sink.c */
int remote_sink_open(struct door *door, const struct sink_options *options, struct sink **sink, struct diag *diag);

#endif
