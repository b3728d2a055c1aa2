/* kafka_end_txn.c: EndTxn (key 26, versions 0 to 4): a transaction is committed or aborted.
 *
 *   request   transactional id, producer id i64, epoch i16, commits bool, tags
 *   response  throttle time i32, error i16, tags
 *
 * Answered when it is decided, durably, and readers see it; markers are written by then but where the disk is full. Sent again, because the answer was lost,
 * it finds the same outcome and that is no error, also after a restart: the outcome is part of the decision. The opposite of what was decided, or the end of what
 * never began, is INVALID_TXN_STATE. The abort of what a restart has aborted is done. */
#include "log/kafka/kafka_handlers.h"
#include "log/kafka/kafka_txn.h"

static void write_response(struct kafka_request *request, enum kafka_error error)
{
    wire_write_i32(&request->writer, 0);
    wire_write_i16(&request->writer, (int16_t)error);
    wire_write_tags(&request->writer);
}

/* *waits: the answer comes later. */
static enum kafka_error end(struct kafka_request *request, const struct kafka_producer *who,
                            bool commit, bool *waits)
{
    struct kafka_txn *txn;
    enum kafka_error error = kafka_txn_take(request, who, &txn);
    if (error == KAFKA_INVALID_PRODUCER_ID_MAPPING && !commit && kafka_txn_is_over(request, who))
        return KAFKA_NONE;
    if (error != KAFKA_NONE)
        return error;
    enum txn_outcome outcome = producer_outcome(kafka_txn_producer(txn));
    if (outcome == TXN_OUTCOME_OPEN) {
        error = kafka_txn_end(request, txn, commit, write_response);
        *waits = error == KAFKA_NONE;
    } else if (outcome != (commit ? TXN_OUTCOME_COMMITTED : TXN_OUTCOME_ABORTED)) {
        error = KAFKA_INVALID_TXN_STATE;
    }
    kafka_txn_give_back(request, txn);
    return error;
}

enum kafka_result kafka_handle_end_txn(struct kafka_request *request)
{
    struct kafka_producer who = kafka_read_producer(request);
    bool commit = wire_read_bool(&request->in), waits = false;
    wire_read_tags(&request->in);
    if (!wire_read_ok(&request->in))
        return KAFKA_CLOSE;
    enum kafka_error error = end(request, &who, commit, &waits);
    if (waits)
        return KAFKA_CALLBACK;
    write_response(request, error);
    return KAFKA_ANSWER;
}
