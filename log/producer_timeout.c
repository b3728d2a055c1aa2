/* producer_timeout.c: transactions that their producer does not end, and producers nobody uses any
 * more.
 *
 * While a transaction is open, committed readers of its partitions wait in front of it. A producer
 * that went away without a word would make them wait for ever; so a transaction may have a timeout
 * (producer_set_timeout), looked at once a second. One that is over it is aborted in its
 * producer's stead:
 *
 *   1. under producer.mutex, while the transaction is open and nobody has begun to end it: the
 * epoch goes up in meta, durably. From here on nothing of the old epoch can commit, whatever
 * crashes
 *   2. the handle is fenced, and the abort is handed to the flusher; the markers have the new
 * epoch, so that partitions refuse late batches of the old one too
 *
 * A commit takes the same mutex to hand itself in: it comes before 1 and is the outcome, or after 2
 * and is refused. There is no third case.
 *
 * At log_close, transactions of this process are aborted; it takes their handles along. Those of
 * producers that outlive it (producer_keep_outcome) stay open when they have a timeout, which goes
 * on (recovery_open.c). Without one they end as by a timeout: who goes on with the old epoch after
 * the restart must not take the rest of the transaction for all of it.
 *
 * The record of a transactional id that nobody used for TRANSACTIONAL_ID_EXPIRY_MS goes. The next
 * producer_open of that name begins with a new producer id. */
#include "log/log_internal.h"
#include "runtime/base/clock.h"
#include "runtime/base/io.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { WAIT_FOR = 64, ID_CHECK_INTERVAL_MS = 3600 * 1000 };
#define TRANSACTIONAL_ID_EXPIRY_MS (INT64_C(7) * 24 * 3600 * 1000)

int producer_set_timeout(struct producer *producer, int32_t timeout_ms, struct diag *diag)
{
    if (timeout_ms < 0)
        return diag_set(diag, ERR_INVALID, "a transaction's timeout cannot be %d ms", timeout_ms);
    pthread_mutex_lock(&producer->mutex);
    producer->timeout_ms = timeout_ms;
    if (producer->state == TXN_OPEN)
        producer->began_ms = clock_wall_ms();
    pthread_mutex_unlock(&producer->mutex);
    return 0;
}

/* ---- ending what nobody ends ---- */

/* Steps 1 and 2 of the essay; open_mutex and producer.mutex held, a transaction is open. outcome: what the record of the new epoch says. */
static int abort_and_fence(struct producer *producer, enum txn_outcome outcome, struct diag *diag)
{
    must(producer->epoch < INT16_MAX); /* handles end one below */
    int16_t epoch = (int16_t)(producer->epoch + 1);
    struct meta_producer record = {.producer_id = producer->id,
                                   .epoch = epoch,
                                   .updated_ms = clock_wall_ms(),
                                   .outcome = outcome,
                                   .timeout_ms = producer->timeout_ms};
    struct meta_batch batch;
    meta_batch_init(&batch);
    meta_put_producer(&batch, producer->transactional_id, &record);
    crash_point("timeout.before");
    int rc = log_meta_apply(producer->log, &batch, diag);
    meta_batch_deinit(&batch);
    TRY(rc);
    crash_point("timeout.fenced");
    producer->marker_epoch = epoch;
    atomic_store(&producer->fenced, true);
    producer_submit(producer, false, NULL, NULL);
    return 0;
}

static bool is_over(const struct producer *producer, int64_t now_ms)
{
    return producer->state == TXN_OPEN && producer->timeout_ms > 0 &&
           !atomic_load(&producer->fenced) && now_ms - producer->began_ms >= producer->timeout_ms;
}

/* A producer whose transaction is over its time, with a reference. */
static struct producer *next_over(struct log *log, int64_t now_ms)
{
    pthread_mutex_lock(&log->producers_mutex);
    struct producer *producer = log->producers;
    for (; producer != NULL; producer = producer->next) {
        pthread_mutex_lock(&producer->mutex);
        bool over = is_over(producer, now_ms);
        pthread_mutex_unlock(&producer->mutex);
        if (over) {
            atomic_fetch_add(&producer->references, 1);
            break;
        }
    }
    pthread_mutex_unlock(&log->producers_mutex);
    return producer;
}

static int time_out(struct producer *producer, int64_t now_ms, struct diag *diag)
{
    pthread_mutex_lock(&producer->mutex);
    int rc = 0;
    if (is_over(producer, now_ms)) { /* else its commit came before us */
        rc = abort_and_fence(producer, TXN_OUTCOME_NONE, diag);
        if (rc == 0) {
            producer->timed_out_ms = producer->timeout_ms;
            log_line('W',
                     "a transaction of producer %s is aborted: it was open longer than its timeout "
                     "of %d ms",
                     producer->transactional_id, producer->timeout_ms);
        }
    }
    pthread_mutex_unlock(&producer->mutex);
    return rc;
}

static void wait_and_release(struct producer *producer)
{
    pthread_mutex_lock(&producer->mutex);
    if (producer->state == TXN_DECIDING)
        (void)producer_wait(producer); /* what cannot be written now the flusher tries again */
    pthread_mutex_unlock(&producer->mutex);
    producer_release(producer);
}

int producers_check_timeouts(struct log *log, int64_t now_ms, struct diag *diag)
{
    int rc = log_status(log, diag);
    struct producer *producer = rc == 0 ? next_over(log, now_ms) : NULL;
    if (producer == NULL)
        return rc;
    struct producer *waiting[WAIT_FOR]; /* one flush ends many */
    size_t count = 0;
    pthread_mutex_lock(&log->open_mutex);
    while (rc == 0 && producer != NULL) {
        rc = time_out(producer, now_ms, diag);
        waiting[count++] = producer;
        producer = rc == 0 ? next_over(log, now_ms) : NULL;
        if (count == WAIT_FOR || producer == NULL) {
            for (size_t i = 0; i < count; i++)
                wait_and_release(waiting[i]);
            count = 0;
        }
    }
    survivors_drop(log);
    pthread_mutex_unlock(&log->open_mutex);
    return rc;
}

static struct producer *next_open(struct log *log)
{
    pthread_mutex_lock(&log->producers_mutex);
    struct producer *producer = log->producers;
    for (; producer != NULL; producer = producer->next) {
        pthread_mutex_lock(&producer->mutex);
        bool busy = (producer->state == TXN_OPEN && !producer_survives(producer)) ||
                    (producer->state == TXN_DECIDING && !producer->answered);
        pthread_mutex_unlock(&producer->mutex);
        if (busy) {
            atomic_fetch_add(&producer->references, 1);
            break;
        }
    }
    pthread_mutex_unlock(&log->producers_mutex);
    return producer;
}

void producers_abort_all(struct log *log)
{
    struct producer *producer;
    while ((producer = next_open(log)) != NULL) {
        pthread_mutex_lock(&producer->mutex);
        struct diag diag;
        if (producer->state == TXN_OPEN && !producer_survives(producer) &&
            (!producer->keeps_outcome ||
             abort_and_fence(producer, TXN_OUTCOME_CONTINUED, &diag) < 0))
            producer_submit(producer, false, NULL, NULL);
        if (producer->state == TXN_DECIDING)
            producer_wait(producer);
        pthread_mutex_unlock(&producer->mutex);
        producer_release(producer);
    }
}

/* ---- ids that nobody uses ---- */

struct idle_search {
    struct log *log;
    int64_t before_ms;
    struct buf found; /* names, each with its zero byte */
    struct buf ids;   /* int64_t */
};

static int collect_idle(void *context, struct bytes key, struct bytes value, struct diag *diag)
{
    struct idle_search *search = context;
    struct meta_producer record;
    (void)diag;
    TRY(meta_read_producer(value, &record));
    if (record.updated_ms > search->before_ms || record.outcome == TXN_OUTCOME_OPEN)
        return 0;
    buf_append_bytes(&search->found, key);
    buf_u8(&search->found, 0);
    buf_append(&search->ids, &record.producer_id, sizeof record.producer_id);
    return buf_ok(&search->found) && buf_ok(&search->ids) ? 0 : ERR_NOMEM;
}

static bool has_handle(struct log *log, const char *transactional_id)
{
    bool found = false;
    pthread_mutex_lock(&log->producers_mutex);
    for (struct producer *p = log->producers; !found && p != NULL; p = p->next)
        found = p->transactional_id != NULL && strcmp(p->transactional_id, transactional_id) == 0;
    pthread_mutex_unlock(&log->producers_mutex);
    return found;
}

/* A stopped partition may keep a transaction from being finished: its participants stay in meta. */
static bool has_participants(struct log *log, int64_t producer_id)
{
    uint8_t key[8];
    struct buf value;
    buf_init(&value, 0);
    store_be64(key, (uint64_t)producer_id);
    int rc = meta_get(log->meta, META_PARTICIPANTS, bytes_of(key, sizeof key), &value, NULL);
    buf_deinit(&value);
    return rc != ERR_NOT_FOUND;
}

static int forget_found(struct idle_search *search, struct diag *diag)
{
    struct log *log = search->log;
    struct meta_batch batch;
    size_t at = 0, count = 0;
    meta_batch_init(&batch);
    for (size_t i = 0; at < search->found.size; i++) {
        const char *name = (const char *)search->found.data + at;
        int64_t id;
        memcpy(&id, search->ids.data + i * sizeof id, sizeof id);
        at += strlen(name) + 1;
        if (has_handle(log, name) || has_participants(log, id))
            continue;
        meta_delete(&batch, META_PRODUCERS, bytes_text(name));
        count++;
    }
    int rc = count > 0 ? log_meta_apply(log, &batch, diag) : 0;
    if (rc == 0 && count > 0)
        log_line('I', "%s: %zu transactional ids were not used for 7 days and are forgotten",
                 log->dir, count);
    meta_batch_deinit(&batch);
    return rc;
}

int producers_forget_idle(struct log *log, int64_t now_ms, struct diag *diag)
{
    if (now_ms < log->next_id_check_ms)
        return 0;
    struct idle_search search = {.log = log, .before_ms = now_ms - TRANSACTIONAL_ID_EXPIRY_MS};
    buf_init(&search.found, 0);
    buf_init(&search.ids, 0);
    pthread_mutex_lock(&log->open_mutex);
    int rc = meta_scan(log->meta, META_PRODUCERS, bytes_of(NULL, 0), collect_idle, &search, diag);
    if (rc == 0)
        rc = forget_found(&search, diag);
    else
        diag_set(diag, rc, "%s: cannot look through the transactional ids: %s", log->dir,
                 error_text(rc));
    pthread_mutex_unlock(&log->open_mutex);
    buf_deinit(&search.found);
    buf_deinit(&search.ids);
    if (rc == 0)
        log->next_id_check_ms = now_ms + ID_CHECK_INTERVAL_MS;
    return rc;
}
