/* weir_consumer.h: the inside of a consumer, for weir_consumer.c (records), weir_position.c (positions and commits) and weir_txn.c. */
#ifndef WEIR_RUNTIME_WEIR_CONSUMER_H
#define WEIR_RUNTIME_WEIR_CONSUMER_H

#include "log/consumer.h"
#include "runtime/weir_handle.h"

struct partition_list {
    weir_topic_partition *partitions;
    size_t capacity;
};

struct weir_consumer {
    weir_log *log;
    struct consumer *inner;
    struct diag diag; /* of the last call */
    weir_partitions_fn assigned, revoked, lost;
    void *context;
    char *group; /* NULL: none */
    weir_reset_policy reset;
    int callback_depth;

    const struct consumer_record *pending; /* polled, and not handed out for want of memory */
    size_t pending_count;
    weir_record *records; /* of the last poll, with their headers, with their keys */
    weir_header *headers;
    char *header_keys;
    size_t record_capacity, header_capacity, header_keys_capacity;

    struct partition_list assignment;
    struct buf metadata;
};

/* Keeps the text of a failure, forgets it on success; returns rc. */
int consumer_result(weir_consumer *consumer, int rc, const struct diag *diag);
/* ERR_INVALID when the consumer or an argument is NULL. */
int consumer_need(weir_consumer *consumer, const char *name, const void *argument);
/* ERR_STATE while a poll's records wait to be handed out. */
int consumer_refuse_while_pending(weir_consumer *consumer);
/* Grows the list as needed; topics are borrowed. */
int partition_list_copy(const struct topic_partition *from, size_t count, struct partition_list *list);
/* The positions of all assigned partitions; *offsets is malloc'ed and borrows nothing. */
int consumer_positions(weir_consumer *consumer, struct group_offset **offsets, size_t *count, struct diag *diag);

#endif
