/* producer_open.c: how a producer comes by its id and epoch, and how older handles lose theirs.
 *
 * A transactional id has a record in meta: producer id, epoch, when it was last heard of. Opening
 * makes epoch + 1 durable, after the handles of older epochs were fenced and what they had open was
 * aborted. An epoch that is used up (32766; 32767 is left for fencing) gives way to a new producer
 * id. One open at a time (open_mutex), and whoever else raises an epoch takes the same lock.
 *
 * For a program in this process a handle is all there is: when the process ends, so does its
 * transaction. A producer on the other end of a connection lives on. For it (producer_keep_outcome)
 * the record also says whether a transaction of the epoch is open, or how the last one ended:
 * written before the first append, and in the same write to meta as the decision. So it can be
 * answered after a crash whether a commit whose answer was lost had been one, and it goes on with
 * the same epoch (producer_resume), also in the middle of a transaction (recovery_open.c). Where that
 * cannot stay open, opening the log aborts it and raises the epoch, and the record says so
 * (TXN_OUTCOME_CONTINUED): the one who had it is not fenced by another, and may ask for a new
 * epoch. */
#include "log/log_internal.h"
#include "runtime/base/clock.h"
#include "runtime/base/io.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { EPOCH_LAST = 32766, ID_BLOCK = 1000, END_PATIENCE_MS = 1000 };

/* ---- ids and epochs ---- */

/* Ids come in blocks, so that most cost no write; the rest of a block is lost when the log closes.
 * producers_mutex held. */
static int new_producer_id(struct log *log, int64_t *id, struct diag *diag)
{
    if (log->next_producer_id == log->producer_id_limit) {
        int64_t next;
        struct meta_batch batch;
        TRY(meta_get_counter(log->meta, "next_producer_id", &next, diag));
        meta_batch_init(&batch);
        meta_put_counter(&batch, "next_producer_id", next + ID_BLOCK);
        int rc = log_meta_apply(log, &batch, diag);
        meta_batch_deinit(&batch);
        TRY(rc);
        log->next_producer_id = next;
        log->producer_id_limit = next + ID_BLOCK;
    }
    *id = log->next_producer_id++;
    return 0;
}

static int read_record(struct log *log, const char *transactional_id, struct meta_producer *record,
                       struct diag *diag)
{
    struct buf value;
    buf_init(&value, 0);
    int rc = meta_get(log->meta, META_PRODUCERS, bytes_text(transactional_id), &value, diag);
    if (rc == 0 && meta_read_producer(bytes_of(value.data, value.size), record) < 0)
        rc = diag_set(diag, ERR_CORRUPT, "meta: the entry of producer %s is damaged",
                      transactional_id);
    buf_deinit(&value);
    return rc;
}

/* The durable epoch of a transactional id goes up by one. */
static int bump_epoch(struct producer *producer, struct diag *diag)
{
    struct log *log = producer->log;
    struct meta_producer record = {.producer_id = -1};
    struct meta_batch batch;
    int rc = read_record(log, producer->transactional_id, &record, diag);
    if (rc < 0 && rc != ERR_NOT_FOUND)
        return rc;
    meta_batch_init(&batch);
    rc = 0;
    if (record.producer_id >= 0)
        meta_delete_participants(&batch, record.producer_id);
    if (record.producer_id < 0 || record.epoch >= EPOCH_LAST) {
        pthread_mutex_lock(&log->producers_mutex);
        rc = new_producer_id(log, &record.producer_id, diag);
        pthread_mutex_unlock(&log->producers_mutex);
        record.epoch = -1;
    }
    record = (struct meta_producer){.producer_id = record.producer_id,
                                    .epoch = (int16_t)(record.epoch + 1),
                                    .updated_ms = clock_wall_ms(),
                                    .outcome = producer->outcome,
                                    .timeout_ms = producer->timeout_ms};
    if (rc == 0) {
        meta_put_producer(&batch, producer->transactional_id, &record);
        rc = log_meta_apply(log, &batch, diag);
    }
    meta_batch_deinit(&batch);
    producer->id = record.producer_id;
    producer->epoch = producer->marker_epoch = record.epoch;
    return rc;
}

/* ---- fencing ---- */

/* An end that is deferred (the disk was full in that moment) is tried again by the flusher: it gets some of
 * its tries. 0: the transaction ended, one way or the other. old->mutex held. */
static int await_end(struct producer *old)
{
    int64_t until_ns = clock_mono_ns() + (int64_t)END_PATIENCE_MS * 1000000;
    int rc = producer_wait(old);
    while (old->state == TXN_DECIDING && clock_mono_ns() < until_ns)
        flusher_await(&old->log->flusher, &old->quiet, &old->mutex, until_ns);
    if (old->state != TXN_DECIDING)
        return 0;
    return rc < 0 ? rc : ERR_FULL; /* committed, markers missing */
}

/* Fences a handle of the same transactional id and waits until its transaction is out of the way.
 */
static int fence(struct producer *old, struct diag *diag)
{
    int rc = 0;
    pthread_mutex_lock(&old->mutex);
    atomic_store(&old->fenced, true);
    if (old->state == TXN_OPEN)
        producer_submit(old, false, NULL, NULL);
    if (old->state == TXN_DECIDING)
        rc = await_end(old);
    pthread_mutex_unlock(&old->mutex);
    if (rc < 0)
        diag_set(diag, rc, "the last transaction of %s cannot be finished yet: %s",
                 old->transactional_id, error_text(rc));
    return rc;
}

/* Whether an opener has to do something about this handle; log.producers_mutex held. A fenced one
 * may still have a transaction in the flusher's hands. */
static bool is_in_the_way(struct producer *old, const char *transactional_id)
{
    if (old->transactional_id == NULL || strcmp(old->transactional_id, transactional_id) != 0)
        return false;
    pthread_mutex_lock(&old->mutex);
    bool in_the_way = !atomic_load(&old->fenced) || old->state != TXN_NONE;
    pthread_mutex_unlock(&old->mutex);
    return in_the_way;
}

/* The first handle of the id that is, with a reference; NULL: none. */
static struct producer *find_older(struct log *log, const char *transactional_id)
{
    pthread_mutex_lock(&log->producers_mutex);
    struct producer *old = log->producers;
    while (old != NULL && !is_in_the_way(old, transactional_id))
        old = old->next;
    if (old != NULL)
        atomic_fetch_add(&old->references, 1);
    pthread_mutex_unlock(&log->producers_mutex);
    return old;
}

static int fence_older(struct log *log, const char *transactional_id, struct diag *diag)
{
    struct producer *old;
    while ((old = find_older(log, transactional_id)) != NULL) {
        bool was_fenced = atomic_load(&old->fenced);
        int rc = fence(old, diag);
        if (rc < 0 && !was_fenced)
            atomic_store(&old->fenced,
                         false); /* the opener failed: the next one has to wait as well */
        producer_release(old);
        TRY(rc);
    }
    return 0;
}

/* ---- opening ---- */

struct producer *producer_new(struct log *log, const char *transactional_id)
{
    struct producer *producer = calloc(1, sizeof *producer);
    if (producer == NULL)
        return NULL;
    producer->transactional_id = transactional_id != NULL ? strdup(transactional_id) : NULL;
    if (transactional_id != NULL && producer->transactional_id == NULL) {
        free(producer);
        return NULL;
    }
    producer->log = log;
    atomic_store(&producer->references, 1);
    pthread_mutex_init(&producer->mutex, NULL);
    pthread_cond_init(&producer->quiet, NULL);
    meta_batch_init(&producer->offsets);
    return producer;
}

static void enlist(struct producer *producer)
{
    struct log *log = producer->log;
    pthread_mutex_lock(&log->producers_mutex);
    producer->next = log->producers;
    log->producers = producer;
    pthread_mutex_unlock(&log->producers_mutex);
}

static int check_id(const char *transactional_id, struct diag *diag)
{
    size_t length = strlen(transactional_id);
    return length > 0 && length <= META_TRANSACTIONAL_ID_BYTES
               ? 0
               : diag_set(diag, ERR_INVALID, "a transactional id has 1 to %d bytes",
                          META_TRANSACTIONAL_ID_BYTES);
}

static int open_transactional(struct producer *producer, struct diag *diag)
{
    struct log *log = producer->log;
    pthread_mutex_lock(&log->open_mutex);
    crash_point("producer.open.before");
    int rc = fence_older(log, producer->transactional_id, diag);
    crash_point("producer.open.fenced");
    if (rc == 0)
        rc = bump_epoch(producer, diag);
    crash_point("producer.open.after");
    if (rc == 0)
        enlist(producer);
    survivors_drop(log);
    pthread_mutex_unlock(&log->open_mutex);
    return rc;
}

static int open_plain(struct producer *producer, struct diag *diag)
{
    struct log *log = producer->log;
    pthread_mutex_lock(&log->producers_mutex);
    int rc = new_producer_id(log, &producer->id, diag);
    if (rc == 0) {
        producer->next = log->producers;
        log->producers = producer;
    }
    pthread_mutex_unlock(&log->producers_mutex);
    return rc;
}

/* Makes its id and epoch; it belongs to the log then, or is gone. */
static int open_new(struct producer *producer, struct producer **out, struct diag *diag)
{
    int rc = producer->transactional_id != NULL ? open_transactional(producer, diag)
                                                : open_plain(producer, diag);
    if (rc < 0)
        producer_free(producer);
    else
        *out = producer;
    return rc;
}

int producer_open(struct log *log, const char *transactional_id, struct producer **out,
                  struct diag *diag)
{
    *out = NULL;
    TRY(log_status(log, diag));
    if (transactional_id != NULL)
        TRY(check_id(transactional_id, diag));
    struct producer *producer = producer_new(log, transactional_id);
    if (producer == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for a producer");
    return open_new(producer, out, diag);
}

/* ---- producers that outlive the process ---- */

static struct meta_producer record_of(const struct producer *producer, enum txn_outcome outcome)
{
    return (struct meta_producer){.producer_id = producer->id,
                                  .epoch = producer->epoch,
                                  .updated_ms = clock_wall_ms(),
                                  .outcome = outcome,
                                  .timeout_ms = producer->timeout_ms};
}

void producer_put_outcome(const struct producer *producer, enum txn_outcome outcome,
                          struct meta_batch *batch)
{
    struct meta_producer record = record_of(producer, outcome);
    meta_put_producer(batch, producer->transactional_id, &record);
}

int producer_write_outcome(struct producer *producer, enum txn_outcome outcome, struct diag *diag)
{
    struct meta_batch batch;
    meta_batch_init(&batch);
    producer_put_outcome(producer, outcome, &batch);
    int rc = log_meta_apply(producer->log, &batch, diag);
    meta_batch_deinit(&batch);
    return rc;
}

int producer_keep_outcome(struct producer *producer, struct diag *diag)
{
    if (producer->transactional_id == NULL)
        return diag_set(diag, ERR_STATE, "a producer without transactional id has no transactions");
    pthread_mutex_lock(&producer->mutex);
    int rc = log_status(producer->log, diag);
    if (rc == 0 && (producer->state != TXN_NONE || atomic_load(&producer->fenced)))
        rc = diag_set(diag, ERR_STATE, "producer %s has a transaction, or is fenced",
                      producer->transactional_id);
    if (rc == 0)
        rc = producer_write_outcome(producer, producer->outcome, diag);
    if (rc == 0)
        producer->keeps_outcome = true;
    pthread_mutex_unlock(&producer->mutex);
    return rc;
}

int producer_open_kept(struct log *log, const char *transactional_id, int32_t timeout_ms,
                       bool continues, struct producer **out, struct diag *diag)
{
    *out = NULL;
    TRY(log_status(log, diag));
    TRY(check_id(transactional_id, diag));
    if (timeout_ms < 0)
        return diag_set(diag, ERR_INVALID, "a transaction's timeout cannot be %d ms", timeout_ms);
    struct producer *producer = producer_new(log, transactional_id);
    if (producer == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for a producer");
    producer->timeout_ms = timeout_ms;
    producer->keeps_outcome = true;
    producer->outcome = continues ? TXN_OUTCOME_CONTINUED : TXN_OUTCOME_NONE;
    return open_new(producer, out, diag);
}

enum txn_outcome producer_outcome(struct producer *producer)
{
    pthread_mutex_lock(&producer->mutex);
    enum txn_outcome outcome = producer->state == TXN_NONE ? producer->outcome : TXN_OUTCOME_OPEN;
    pthread_mutex_unlock(&producer->mutex);
    return outcome;
}

int producer_lookup(struct log *log, const char *transactional_id, struct producer_record *out,
                    struct diag *diag)
{
    struct meta_producer record;
    TRY(check_id(transactional_id, diag));
    int rc = read_record(log, transactional_id, &record, diag);
    if (rc == ERR_NOT_FOUND)
        return diag_set(diag, rc, "there is no producer with the transactional id %s",
                        transactional_id);
    TRY(rc);
    *out = (struct producer_record){record.producer_id, record.epoch, record.timeout_ms,
                                    record.outcome, record.updated_ms};
    return 0;
}

struct producer_search {
    int (*fn)(void *context, const char *transactional_id, const struct producer_record *record);
    void *context;
};

static int give_record(void *context, struct bytes key, struct bytes value, struct diag *diag)
{
    struct producer_search *search = context;
    char name[META_TRANSACTIONAL_ID_BYTES + 1];
    struct meta_producer record;
    (void)diag;
    TRY(meta_read_producer(value, &record));
    if (key.size >= sizeof name)
        return ERR_CORRUPT;
    memcpy(name, key.data, key.size);
    name[key.size] = '\0';
    struct producer_record out = {record.producer_id, record.epoch, record.timeout_ms,
                                  record.outcome, record.updated_ms};
    return search->fn(search->context, name, &out);
}

int producer_each(struct log *log, const char *prefix,
                  int (*fn)(void *context, const char *transactional_id,
                            const struct producer_record *record),
                  void *context, struct diag *diag)
{
    struct producer_search search = {fn, context};
    return meta_scan(log->meta, META_PRODUCERS, bytes_text(prefix), give_record, &search, diag);
}

/* open_mutex held. */
static int resume(struct producer *producer, int64_t id, int16_t epoch, struct diag *diag)
{
    struct producer_record record;
    const char *name = producer->transactional_id;
    TRY(producer_lookup(producer->log, name, &record, diag));
    if (record.producer_id != id || record.epoch != epoch)
        return diag_set(diag, ERR_FENCED,
                        "producer %s is at id %" PRId64 " and epoch %d, not at id %" PRId64
                        " and epoch %d",
                        name, record.producer_id, record.epoch, id, epoch);
    if (epoch > EPOCH_LAST) /* it fenced the last one: nobody was ever given it */
        return diag_set(diag, ERR_FENCED, "producer %s has used up its epochs and needs a new id",
                        name);
    struct producer *other = find_older(producer->log, name);
    if (other != NULL) {
        producer_release(other);
        return diag_set(diag, ERR_BUSY, "producer %s is open", name);
    }
    producer->id = id;
    producer->epoch = producer->marker_epoch = epoch;
    producer->timeout_ms = record.timeout_ms;
    producer->outcome = record.outcome;
    producer->keeps_outcome = true;
    return 0;
}

int producer_resume(struct log *log, const char *transactional_id, int64_t id, int16_t epoch,
                    struct producer **out, struct diag *diag)
{
    *out = NULL;
    TRY(log_status(log, diag));
    TRY(check_id(transactional_id, diag));
    *out = producer_adopt(log, transactional_id, id, epoch);
    if (*out != NULL)
        return 0;
    struct producer *producer = producer_new(log, transactional_id);
    if (producer == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for a producer");
    pthread_mutex_lock(&log->open_mutex);
    int rc = resume(producer, id, epoch, diag);
    if (rc == 0)
        enlist(producer);
    pthread_mutex_unlock(&log->open_mutex);
    if (rc < 0)
        producer_free(producer);
    else
        *out = producer;
    return rc;
}
