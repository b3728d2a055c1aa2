/* weir_txn.c: transactions of a producer through weir.h.
 *
 * All or nothing, also for who does not look: after any failed weir_send, weir_flush or
 * weir_txn_offsets inside a transaction its commit is an abort that answers the same failure. A
 * record that was not taken, or a consumer's positions that were not added, would otherwise be
 * missing from a transaction that is said to be whole.
 *
 * The call that ends a transaction ends it: whatever it answers, the next one can begin. Records
 * are reported then, with offsets when they are committed. */
#include <stdlib.h>
#include <string.h>

#include "runtime/weir_consumer.h"
#include "runtime/weir_producer.h"

int txn_attach(weir_producer *producer, const weir_producer_options *options, struct diag *diag)
{
    if (strncmp(options->transactional_id, CLIENT_TRANSACTIONAL_ID,
                strlen(CLIENT_TRANSACTIONAL_ID)) == 0)
        return diag_set(diag, ERR_INVALID,
                        "transactional ids that begin with %s are those of clients of the server",
                        CLIENT_TRANSACTIONAL_ID);
    TRY(producer_open(producer->log->log, options->transactional_id, &producer->transactional,
                      diag));
    producer->sending.producer = producer->transactional;
    int rc = 0;
    if (options->transaction_timeout_ms > 0)
        rc = producer_set_timeout(producer->transactional, options->transaction_timeout_ms, diag);
    if (rc < 0) {
        producer_close(producer->transactional);
        producer->transactional = NULL;
    }
    return rc;
}

static int need_txn(const weir_producer *producer, struct diag *diag)
{
    if (producer->in_txn)
        return 0;
    if (producer->transactional == NULL)
        return diag_set(diag, ERR_STATE, "a producer without transactional_id has no transactions");
    return diag_set(diag, ERR_STATE, "there is no open transaction: weir_txn_begin opens one");
}

int weir_txn_begin(weir_producer *producer)
{
    struct diag diag = {.code = 0};
    TRY(producer_enter(producer));
    int rc;
    if (producer->transactional == NULL)
        rc = need_txn(producer, &diag);
    else if (producer->in_txn)
        rc = diag_set(&diag, ERR_STATE, "a transaction is open: commit or abort it first");
    else
        rc = txn_begin(producer->transactional, &diag);
    if (rc == 0) {
        producer->in_txn = true;
        producer->txn_failure.code = 0;
        producer_refresh(producer);
    }
    return producer_leave(producer, rc, &diag);
}

/* ---- the end ---- */

/* Reports the records and forgets the transaction. */
static void finish(weir_producer *producer, int code)
{
    static const struct diag aborted = {.code = ERR_STATE, .text = "the transaction was aborted"};
    producer_discard(producer, &aborted);
    producer->lost.record_count = 0;
    producer->lost.diag = (struct diag){.code = 0};
    producer->delayed.code = 0;
    producer->in_txn = false;
    producer->txn_failure.code = 0;
    deliveries_finish(&producer->deliveries, code, outlet_topic);
}

static int commit(weir_producer *producer, struct diag *diag)
{
    int64_t oldest_ns;
    struct diag ignored;
    int rc = 0;
    if (producer->txn_failure.code == 0)
        rc = producer_append(producer, INT64_MAX, &oldest_ns, diag);
    if (rc == 0 && producer->txn_failure.code != 0)
        rc = diag_set(diag, producer->txn_failure.code, "aborted: %s", producer->txn_failure.text);
    if (rc == 0)
        return txn_commit(producer->transactional, diag);
    txn_abort(producer->transactional, &ignored); /* rc says more */
    return rc;
}

int weir_txn_commit(weir_producer *producer)
{
    struct diag diag = {.code = 0};
    TRY(producer_enter(producer));
    int rc = need_txn(producer, &diag);
    if (rc == 0) {
        rc = commit(producer, &diag);
        finish(producer, rc);
    }
    return producer_leave(producer, rc, &diag);
}

int weir_txn_abort(weir_producer *producer)
{
    struct diag diag = {.code = 0};
    TRY(producer_enter(producer));
    int rc = need_txn(producer, &diag);
    if (rc == 0) {
        rc = txn_abort(producer->transactional, &diag);
        finish(producer, ERR_STATE);
    }
    return producer_leave(producer, rc, &diag);
}

void txn_detach(weir_producer *producer)
{
    bool was_open = producer->in_txn;
    producer_close(producer->transactional);
    if (was_open)
        finish(producer, ERR_STATE);
    producer->transactional = NULL;
}

/* ---- offsets ---- */

int weir_txn_group_offsets(weir_producer *producer, const char *group, const weir_offset *offsets,
                           size_t count)
{
    struct diag diag = {.code = 0};
    struct group_offset *translated = NULL;
    TRY(producer_enter(producer));
    int rc = need_txn(producer, &diag);
    if (rc == 0) {
        rc = offsets_translate(offsets, count, &translated, &diag);
        if (rc == 0)
            rc = txn_add_offsets(producer->transactional, group, translated, count, &diag);
        if (rc < 0 && producer->txn_failure.code == 0)
            producer->txn_failure = diag;
    }
    free(translated);
    return producer_leave(producer, rc, &diag);
}

static int add_positions(weir_producer *producer, weir_consumer *consumer, struct diag *diag)
{
    struct group_member member;
    struct group_offset *offsets;
    size_t count;
    if (consumer == NULL)
        return diag_set(diag, ERR_INVALID, "consumer is NULL");
    if (consumer->group == NULL)
        return diag_set(diag, ERR_STATE, "a consumer without a group has no offsets to commit");
    if (consumer->log != producer->log)
        return diag_set(diag, ERR_INVALID, "the consumer reads another log");
    if (consumer->pending_count > 0)
        return diag_set(diag, ERR_STATE,
                        "the consumer's last poll had no memory: poll again first");
    TRY(consumer_positions(consumer, &offsets, &count, diag));
    consumer_member(consumer->inner, &member);
    int rc = txn_add_offsets_member(producer->transactional, consumer->group, &member, offsets,
                                    count, diag);
    free(offsets);
    return rc;
}

int weir_txn_offsets(weir_producer *producer, weir_consumer *consumer)
{
    struct diag diag = {.code = 0};
    TRY(producer_enter(producer));
    int rc = need_txn(producer, &diag);
    if (rc == 0) {
        rc = add_positions(producer, consumer, &diag);
        if (rc < 0 && producer->txn_failure.code == 0)
            producer->txn_failure = diag;
    }
    return producer_leave(producer, rc, &diag);
}
