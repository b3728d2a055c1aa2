/* kafka_init_producer_id.c: InitProducerId (key 22, versions 0 to 5): the id under which an idempotent producer numbers its batches.
 *
 *   request   transactional id (nullable), transaction timeout i32, v3+: producer id i64, epoch i16 (what it has had so far), tags
 *   response  throttle time i32, error i16, producer id i64, epoch i16, tags
 *
 * Without a transactional id each request gets an id of its own, never given before, with epoch 0: what the producer had so far does not matter.
 *
 * A transactional id keeps its producer id and gets the next epoch; who had an older one is fenced, and what he left open is aborted before this is
 * answered. A producer that presents its id and epoch (KIP-360) gets the next one only if nobody came after it. */
#include "log/kafka/kafka_handlers.h"
#include "log/kafka/kafka_txn.h"

enum { TXN_TIMEOUT_MOST_MS = 900000 }; /* transaction.max.timeout.ms of Kafka */

static int new_id(struct kafka_request *request, int64_t *id, int16_t *epoch)
{
    struct producer *producer;
    struct diag diag = {0};
    int code = producer_open(request->log, NULL, &producer, &diag);
    if (code < 0) {
        log_line('W', "kafka: no producer id for %s: %s", request->peer_host, diag.text);
        return code;
    }
    *id = producer_id(producer);
    *epoch = producer_epoch(producer);
    producer_close(producer);
    return 0;
}

static enum kafka_error open_txn(struct kafka_request *request, const struct kafka_producer *who,
                                 int32_t timeout_ms, int64_t *id, int16_t *epoch)
{
    if ((who->producer_id < 0) != (who->epoch < 0))
        return KAFKA_INVALID_REQUEST;
    if (timeout_ms <= 0 || timeout_ms > TXN_TIMEOUT_MOST_MS)
        return KAFKA_INVALID_TRANSACTION_TIMEOUT;
    return kafka_txn_open(request, who, timeout_ms, id, epoch);
}

/* Who may write to any topic at all needs no right of his own for it (KIP-679). */
static bool may_number(struct kafka_request *request)
{
    return kafka_check_cluster(request) == KAFKA_NONE || kafka_may_write_somewhere(request);
}

enum kafka_result kafka_handle_init_producer_id(struct kafka_request *request)
{
    struct wire_reader *in = &request->in;
    struct wire_writer *w = &request->writer;
    enum kafka_error error = KAFKA_NONE;
    int64_t id = -1;
    int16_t epoch = -1;
    struct kafka_producer who = {wire_read_nullable_string(in), -1, -1};
    int32_t timeout_ms = wire_read_i32(in);
    if (request->version >= 3) {
        who.producer_id = wire_read_i64(in);
        who.epoch = wire_read_i16(in);
    }
    wire_read_tags(in);
    if (!wire_read_ok(in))
        return KAFKA_CLOSE;
    if (who.transactional_id.data != NULL)
        error = open_txn(request, &who, timeout_ms, &id, &epoch);
    else if (!may_number(request))
        error = KAFKA_CLUSTER_AUTHORIZATION_FAILED;
    else if (new_id(request, &id, &epoch) < 0)
        error = KAFKA_COORDINATOR_NOT_AVAILABLE;
    wire_write_i32(w, 0);
    wire_write_i16(w, (int16_t)error);
    wire_write_i64(w, id);
    wire_write_i16(w, epoch);
    wire_write_tags(w);
    return KAFKA_ANSWER;
}
