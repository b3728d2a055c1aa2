/* remote.h: a connection to 'weir serve' or Apache Kafka through librdkafka: what remote_topic.c, remote_group.c, remote_source.c and remote_sink.c share.
 *
 * One thread calls all of this; librdkafka has threads of its own, which call nothing here but the log function (it drops their lines: what
 * matters comes as an error, too, and becomes a message of weir's). Every wait ends with the answer, with a signal, or after reach->timeout_ms. */
#ifndef WEIR_CLI_REMOTE_H
#define WEIR_CLI_REMOTE_H

#include "log/log.h"
#include "runtime/cli/reach.h"

#include <librdkafka/rdkafka.h>

struct remote {
    struct reach reach;
    rd_kafka_t *handle;    /* answers questions; its offsets are those of undecided records, too */
    rd_kafka_t *committed; /* the same for committed records alone; NULL until somebody asks */
    int fault;             /* the last RD_KAFKA_RESP_ERR_ that a handle reported; 0: none */
    int64_t down_since_ms; /* since when no server can be reached; 0: one can, as far as is known */
    char fault_text[512];
    struct remote_source *source; /* for callbacks of its handle */
    struct remote_sink *sink;     /* the same */
};

/* Connects. Takes reach (and forgets its password in remote_close). 0, or an exit code after a message and a hint. */
int remote_open(const struct reach *reach, struct remote **remote);
void remote_close(struct remote *remote);

/* A new configuration with the addresses, the security and the callbacks. The caller owns it. NULL after diag. */
rd_kafka_conf_t *remote_conf(struct remote *remote, struct diag *diag);
/* Sets a property whose name and value are known to be right. */
void remote_set(rd_kafka_conf_t *conf, const char *name, const char *value);
/* Takes conf, whatever comes of it. */
int remote_create(rd_kafka_type_t type, rd_kafka_conf_t *conf, rd_kafka_t **handle, struct diag *diag);

/* An ERR_ code and the sentence for an error of Kafka's; text NULL: Kafka's own words for it. what: "topic orders". */
int remote_error(struct remote *remote, rd_kafka_resp_err_t error, const char *what, const char *text, struct diag *diag);
/* ERR_TIMEOUT once no server was to be reached for reach.timeout_ms, ERR_STATE for a login that is refused; else 0. Serves a handle's callbacks. */
int remote_check(struct remote *remote, rd_kafka_t *handle, struct diag *diag);

/* ---- a request to administer something ---- */
struct remote_call {
    rd_kafka_queue_t *queue;
    rd_kafka_AdminOptions_t *options;
    rd_kafka_event_t *event; /* the answer, after remote_wait */
};
/* Always followed by remote_end. */
int remote_begin(struct remote *remote, rd_kafka_admin_op_t operation, struct remote_call *call, struct diag *diag);
/* Waits for call->event. An error of the whole request is one of this function. */
int remote_wait(struct remote *remote, struct remote_call *call, const char *what, struct diag *diag);
void remote_end(struct remote_call *call);

/* ---- questions ---- */
/* All topics, or those that the handle knows (all false). The caller destroys *metadata. */
int remote_metadata(struct remote *remote, bool all, const struct rd_kafka_metadata **metadata, struct diag *diag);
/* Which offsets begin at the times in list's offsets: RD_KAFKA_OFFSET_BEGINNING, RD_KAFKA_OFFSET_END (of committed records: the last stable
 * one), or epoch ms (-1: none). The answers take their places; an error of one partition is left in its place. */
int remote_offsets(struct remote *remote, enum isolation isolation, rd_kafka_topic_partition_list_t *list, struct diag *diag);

#endif
