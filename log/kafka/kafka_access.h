/* kafka_access.h: what the client of a request may do, by the log's access lists (log/acl.h).
 *
 * Which operation an API needs on each kind of resource that it names stands in the table of APIs (struct kafka_rights in kafka_api.c), and nowhere else: a
 * handler asks about a name. The functions that find what is named ask, too: kafka_partition, kafka_txn_take, kafka_txn_open, kafka_txn_look.
 *
 * Nobody is asked, and everything is allowed, when the log has no bindings and the server was told of no super users, and when a super user asks: then
 * request->access.asks is false, and each question costs one look at it. Otherwise what no binding allows is forbidden. A request sees the
 * bindings as they were when its run began; one that waits (Fetch) sees new ones when it goes on.
 *
 * Who is not authenticated is "User:ANONYMOUS", as with Kafka.
 *
 * Threads: the worker that runs the request. */
#ifndef WEIR_KAFKA_ACCESS_H
#define WEIR_KAFKA_ACCESS_H

#include "log/acl.h"
#include "log/kafka/kafka_error.h"

struct kafka_request;

#define KAFKA_ANONYMOUS "User:ANONYMOUS"

/* A part of the request. */
struct kafka_access {
    bool asks; /* false: everything is allowed */
    struct acl_rules *rules;
    const char *principal;
    /* what was asked about last: partitions of one topic come one after the other */
    uint8_t resource; /* 0: nothing was */
    size_t name_size;
    char name[ACL_NAME_BYTES];
    struct acl_rights rights;
};

/* The question without a request: for whoever serves the same log otherwise. Any thread. */
struct kafka_server_options;
bool kafka_access_allows(struct log *log, const struct kafka_server_options *options, const char *principal, const char *host, enum acl_resource resource,
                         struct bytes name, enum acl_operation operation);

/* Around a run of the handler. */
void kafka_access_begin(struct kafka_request *request);
/* What begin has taken. The request may be gone by the time that it is given back. */
struct acl_rules *kafka_access_rules(const struct kafka_request *request);

/* NONE, or the error that says that it is not allowed: 29, 30, 31, 53. The operation is that of the request's API. */
enum kafka_error kafka_check_topic(struct kafka_request *request, struct bytes topic);
enum kafka_error kafka_check_group(struct kafka_request *request, const char *group);
enum kafka_error kafka_check_txn(struct kafka_request *request, struct bytes transactional_id);
enum kafka_error kafka_check_cluster(struct kafka_request *request);
/* The same question about any operation: for what an API needs beside. */
bool kafka_may(struct kafka_request *request, enum acl_resource resource, struct bytes name, enum acl_operation operation);
bool kafka_may_cluster(struct kafka_request *request, enum acl_operation operation);
/* A topic may be made by who may create in the cluster, or that name. */
bool kafka_may_create(struct kafka_request *request, struct bytes topic);
/* topic_describe (info may be NULL) for a client that may ask about this topic: what is told of one that is not there names no other, unless he may see all. */
enum kafka_error kafka_describe_topic(struct kafka_request *request, const char *name, struct topic_info *info, struct diag *diag);
/* Every operation that is allowed, as bits 1 << operation: what the fields of authorized operations say. */
int32_t kafka_operations(struct kafka_request *request, enum acl_resource resource, struct bytes name);
int32_t kafka_cluster_operations(struct kafka_request *request);
/* Whether there is any topic that the client may write: idempotent producers ask for an id before they name one. */
bool kafka_may_write_somewhere(struct kafka_request *request);

#endif
