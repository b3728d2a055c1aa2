/* kafka_txn.h: transactional producers of clients: which handle of the log belongs to a transactional id, and whether the one who asks has the right to it.
 *
 * A request names itself by transactional id, producer id and epoch. kafka_txn_take finds the producer and keeps every other request for the same
 * transactional id out until kafka_txn_give_back. The transaction itself is the log's (log.h): this holds no state of it that must survive.
 *
 * Threads: workers call everything here, but for create and destroy. A struct kafka_txn that was taken is the taker's; its mutex is taken before every lock of the log. */
#ifndef WEIR_KAFKA_TXN_H
#define WEIR_KAFKA_TXN_H

#include "log/kafka/kafka_request.h"

struct kafka_txns;
struct kafka_txns *kafka_txns_create(struct log *log); /* NULL: no memory */
/* After the last request. Waits for transactions that are being decided. What is open stays so. */
void kafka_txns_destroy(struct kafka_txns *txns);

/* As a client calls itself. producer_id -1: it had none so far (InitProducerId). */
struct kafka_producer {
    struct bytes transactional_id;
    int64_t producer_id;
    int16_t epoch;
};
/* Transactional id, producer id and epoch, in that order. */
struct kafka_producer kafka_read_producer(struct kafka_request *request);

struct kafka_txn;
/* 0, and *txn is the caller's until it is given back; or, in Kafka's words for this request's version, why not: another producer has the
 * transactional id now (47, 90), the producer id is not this transactional id's (49), the epoch was lost when the machine went down (49: the client may ask for a new one),
 * a new epoch is being made at this moment (14: the client asks again); before all else, that the client may not use the transactional id (53), as kafka_txn_open and
 * kafka_txn_look say, too. */
enum kafka_error kafka_txn_take(struct kafka_request *request, const struct kafka_producer *who, struct kafka_txn **txn);
/* After 49: whether it is the epoch that was lost, so that what it had open is aborted, and nobody has come since. */
bool kafka_txn_is_over(struct kafka_request *request, const struct kafka_producer *who);
void kafka_txn_give_back(struct kafka_request *request, struct kafka_txn *txn);
struct producer *kafka_txn_producer(struct kafka_txn *txn);

/* A new epoch for the transactional id: older ones are fenced, and what they left open is aborted,
 * which is waited for. One thread calls it (kafka_api.lane). */
enum kafka_error kafka_txn_open(struct kafka_request *request, const struct kafka_producer *who, int32_t timeout_ms, int64_t *producer_id, int16_t *epoch);

/* Closes a few of the handles that nobody has used for ten minutes and that have no transaction. False: there may be more. The thread that calls kafka_txn_open, which does some of it, too. */
bool kafka_txns_sweep(struct kafka_txns *txns);

/* Begins a transaction when none is open. */
enum kafka_error kafka_txn_begin(struct kafka_request *request, struct kafka_txn *txn);
/* Groups whose offsets the open transaction may commit. KAFKA_POLICY_VIOLATION: these are some hundred already. */
enum kafka_error kafka_txn_add_group(struct kafka_txn *txn, const char *group);
bool kafka_txn_has_group(const struct kafka_txn *txn, const char *group);
/* Asks for the end of the open transaction. KAFKA_NONE: done is called with the outcome's error from another thread, unless the request was
 * forgotten (it sets request->state and request->forget); it writes the response and returns. Any other error: it is not called. */
enum kafka_error kafka_txn_end(struct kafka_request *request, struct kafka_txn *txn, bool commit, void (*done)(struct kafka_request *request, enum kafka_error error));

/* What a call of log.h about a transaction answered. */
enum kafka_error kafka_txn_error_of(struct kafka_request *request, int code);

/* How Kafka calls the state of a transaction. */
struct kafka_txn_view {
    const char *state; /* constant */
    int64_t producer_id, began_ms;
    int16_t epoch;
    int32_t timeout_ms;
    struct txn_partition *partitions; /* malloc'ed, the caller frees it */
    size_t partition_count;
};
/* 0; KAFKA_TRANSACTIONAL_ID_NOT_FOUND; another. */
enum kafka_error kafka_txn_look(struct kafka_request *request, struct bytes transactional_id, struct kafka_txn_view *view);

#endif
