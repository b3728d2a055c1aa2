/* producer.c: producers and the transactions they write.
 *
 * A producer is a transactional id with a producer id and an epoch (producer_open.c). A handle
 * whose epoch is not the newest is fenced: what it appends or commits from then on is refused.
 *
 * A transaction is begin, appends and offsets in any order, commit or abort. What recovery needs to
 * know is on disk before the first append to a partition: the participant, with the partition's end
 * as the lower bound of a search for the transaction's records. Each decision renews the whole set
 * for the next transaction, so that a producer that writes the same partitions again pays one
 * synced write per commit and none in between.
 *
 * Batches that a producer elsewhere made (txn_append_numbered) carry id, epoch and sequence
 * themselves, and may come late: they are written only into a transaction that is open, of their
 * own epoch, and whose partitions were named since it began. The set that is carried over for
 * recovery's sake does not count as named.
 *
 * Ending a transaction is handed to the flusher (decide.c). While it has it (TXN_DECIDING) every
 * other call answers ERR_STATE; fields of the transaction belong to the flusher then, and to the
 * caller otherwise, under producer.mutex. */
#include "log/log_internal.h"
#include "runtime/base/clock.h"
#include "runtime/base/io.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { OFFSETS_BYTES = 64 << 20 }; /* of a transaction's group offsets, as they wait for its end */

int64_t producer_id(const struct producer *producer)
{
    return producer->id;
}

int16_t producer_epoch(const struct producer *producer)
{
    return producer->epoch;
}

/* ---- the handle ---- */

void producer_count_offsets(struct producer *producer, bool has_some)
{
    if (has_some != producer->is_offset_producer)
        atomic_fetch_add(&producer->log->offset_producers, has_some ? 1 : -1);
    producer->is_offset_producer = has_some;
}

void producer_free(struct producer *producer)
{
    producer_count_offsets(producer, false);
    pthread_mutex_destroy(&producer->mutex);
    pthread_cond_destroy(&producer->quiet);
    meta_batch_deinit(&producer->offsets);
    free(producer->participants);
    free(producer->transactional_id);
    free(producer);
}

/* Drops one reference; the last one takes the producer off the list. */
void producer_release(struct producer *producer)
{
    struct log *log = producer->log;
    pthread_mutex_lock(&log->producers_mutex);
    bool last = atomic_fetch_sub(&producer->references, 1) == 1;
    if (last) {
        struct producer **link = &log->producers;
        while (*link != NULL && *link != producer)
            link = &(*link)->next;
        if (*link != NULL)
            *link = producer->next;
    }
    pthread_mutex_unlock(&log->producers_mutex);
    if (last)
        producer_free(producer);
}

/* Hands the open transaction to the flusher; mutex held, state TXN_OPEN. */
void producer_submit(struct producer *producer, bool commit, void (*done)(void *, int),
                     void *context)
{
    producer->state = TXN_DECIDING;
    producer->wants_commit = commit;
    producer->decided = producer->answered = false;
    producer->answer = 0;
    producer->done = done;
    producer->done_context = context;
    atomic_fetch_add(&producer->references, 1); /* the flusher's */
    flusher_submit(producer);
}

int producer_wait(struct producer *producer)
{
    while (!producer->answered)
        flusher_await(&producer->log->flusher, &producer->quiet, &producer->mutex, INT64_MAX);
    return producer->answer;
}

/* ---- closing ---- */

/* A closed producer's participants need no search after a crash. */
static void delete_participants(struct producer *producer)
{
    struct meta_batch batch;
    struct diag diag;
    meta_batch_init(&batch);
    meta_delete_participants(&batch, producer->id);
    producer_put_outcome(producer, producer->outcome, &batch); /* heard of until now */
    if (log_meta_apply(producer->log, &batch, &diag) < 0)
        log_line('W', "%s", diag.text); /* recovery's search is longer, nothing else */
    meta_batch_deinit(&batch);
}

void producer_close(struct producer *producer)
{
    if (producer == NULL)
        return;
    pthread_mutex_lock(&producer->mutex);
    atomic_store(&producer->closed, true);
    if (producer->state == TXN_OPEN)
        producer_submit(producer, false, NULL, NULL);
    if (producer->state == TXN_DECIDING)
        producer_wait(producer);
    bool lone = producer->state == TXN_NONE && producer->participant_count > 0 &&
                !atomic_load(&producer->fenced) && log_status(producer->log, NULL) == 0;
    pthread_mutex_unlock(&producer->mutex);
    if (lone) {
        /* Not while another thread opens the same id: its participants are not ours to delete. */
        pthread_mutex_lock(&producer->log->open_mutex);
        if (!atomic_load(&producer->fenced))
            delete_participants(producer);
        pthread_mutex_unlock(&producer->log->open_mutex);
    }
    producer_release(producer);
}

/* ---- the transaction ---- */

/* 0 when the producer may be used in this state; mutex held. */
static int usable(struct producer *producer, enum txn_state state, struct diag *diag)
{
    TRY(log_status(producer->log, diag));
    if (atomic_load(&producer->fenced))
        return producer->timed_out_ms > 0
                   ? diag_set(
                         diag, ERR_FENCED,
                         "the transaction of producer %s with epoch %d was aborted: it was open "
                         "longer than its timeout of %d ms",
                         producer->transactional_id, producer->epoch, producer->timed_out_ms)
                   : diag_set(diag, ERR_FENCED,
                              "producer %s with epoch %d is fenced: a newer one was opened",
                              producer->transactional_id, producer->epoch);
    if (producer->state == state)
        return 0;
    if (producer->state == TXN_DECIDING && producer->answered)
        return diag_set(diag, ERR_FULL,
                        "the last transaction's markers are not written yet: the disk is full");
    static const char *const words[] = {"there is no open transaction", "a transaction is open",
                                        "a transaction is being decided"};
    return diag_set(diag, ERR_STATE, "%s", words[producer->state]);
}

/* Durable before anything is written: after a restart it is known to be open, and since when. */
static int write_begin(struct producer *producer, struct diag *diag)
{
    struct meta_batch batch;
    meta_batch_init(&batch);
    producer_put_outcome(producer, TXN_OUTCOME_OPEN, &batch);
    survivors_note_system(producer->log, &batch);
    int rc = log_meta_apply(producer->log, &batch, diag);
    meta_batch_deinit(&batch);
    if (rc == 0)
        atomic_store(&producer->log->system_noted, true);
    return rc;
}

int txn_begin(struct producer *producer, struct diag *diag)
{
    if (producer->transactional_id == NULL)
        return diag_set(diag, ERR_STATE, "a producer without transactional id has no transactions");
    pthread_mutex_lock(&producer->mutex);
    int rc = usable(producer, TXN_NONE, diag);
    if (rc == 0 && producer->keeps_outcome)
        rc = write_begin(producer, diag);
    if (rc == 0) {
        producer->state = TXN_OPEN;
        if (producer->timeout_ms > 0)
            producer->began_ms = clock_wall_ms();
    }
    pthread_mutex_unlock(&producer->mutex);
    return rc;
}

static struct participant *find_participant(struct producer *producer,
                                            const struct partition *partition)
{
    /* Appends tend to come in the order in which the partitions were named. */
    uint32_t count = producer->participant_count;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = producer->last_participant + i;
        at = at >= count ? at - count : at;
        if (producer->participants[at].partition == partition) {
            producer->last_participant = at;
            return &producer->participants[at];
        }
    }
    return NULL;
}

static int grow_participants(struct producer *producer, size_t more)
{
    size_t needed = producer->participant_count + more;
    if (needed > UINT32_MAX / 2)
        return ERR_NOMEM;
    if (needed <= producer->participant_capacity)
        return 0;
    if (needed < (size_t)producer->participant_capacity * 2)
        needed = (size_t)producer->participant_capacity * 2;
    struct participant *list = realloc(producer->participants, needed * sizeof *list);
    if (list == NULL)
        return ERR_NOMEM;
    producer->participants = list;
    producer->participant_capacity = (uint32_t)needed;
    return 0;
}

static int persist_participants(struct producer *producer, struct diag *diag)
{
    struct meta_batch batch;
    struct meta_participant *list = malloc(producer->participant_count * sizeof *list);
    if (list == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for a transaction's participants");
    for (uint32_t i = 0; i < producer->participant_count; i++)
        list[i] = (struct meta_participant){partition_place(producer->participants[i].partition),
                                            producer->participants[i].lower_bound};
    meta_batch_init(&batch);
    meta_put_participants(&batch, producer->id, producer->epoch, list, producer->participant_count);
    crash_point("participants.before");
    int rc = log_meta_apply(producer->log, &batch, diag);
    crash_point("participants.after");
    meta_batch_deinit(&batch);
    free(list);
    return rc;
}

/* Adds those that are new and makes them durable; mutex held. */
static int participate(struct producer *producer, struct partition *const *partitions, size_t count,
                       struct diag *diag)
{
    uint32_t before = producer->participant_count;
    if (grow_participants(producer, count) < 0)
        return diag_set(diag, ERR_NOMEM, "no memory for a transaction's participants");
    for (size_t i = 0; i < count; i++) {
        if (find_participant(producer, partitions[i]) != NULL)
            continue;
        producer->participants[producer->participant_count++] =
            (struct participant){.partition = partitions[i],
                                 .first_offset = -1,
                                 .marker_offset = -1,
                                 .lower_bound = atomic_load(&partitions[i]->end_offset)};
    }
    int rc = producer->participant_count > before ? persist_participants(producer, diag) : 0;
    if (rc < 0)
        producer->participant_count = before;
    for (size_t i = 0; rc == 0 && i < count; i++)
        find_participant(producer, partitions[i])->is_named = true;
    return rc;
}

int txn_participate(struct producer *producer, struct partition *const *partitions, size_t count,
                    struct diag *diag)
{
    for (size_t i = 0; i < count; i++)
        TRY(partition_writable(partitions[i], diag));
    pthread_mutex_lock(&producer->mutex);
    int rc = usable(producer, TXN_OPEN, diag);
    if (rc == 0)
        rc = participate(producer, partitions, count, diag);
    pthread_mutex_unlock(&producer->mutex);
    return rc;
}

/* Appends with the producer's fields; the first append of a transaction holds the last stable
 * offset. */
static int append_part(struct producer *producer, struct participant *part,
                       struct admission *admission, int64_t *base_offset, struct diag *diag)
{
    struct partition *partition = part->partition;
    bool first = part->first_offset < 0;
    int64_t base = -1;
    struct batch_header *header = &admission->header;
    batch_set_producer(admission->batch, producer->id, producer->epoch, part->next_sequence, true);
    header->producer_id = producer->id;
    header->producer_epoch = producer->epoch;
    header->base_sequence = part->next_sequence;
    header->attributes |= BATCH_ATTR_TRANSACTIONAL;
    pthread_mutex_lock(&partition->mutex);
    int rc = partition_writable(partition, diag);
    if (rc == 0 && first &&
        partition_open_txn(partition, producer->id, atomic_load(&partition->end_offset)) < 0)
        rc = diag_set(diag, ERR_NOMEM, "no memory for a transaction");
    else if (rc == 0) {
        admit_stamp(admission);
        rc = partition_append_locked(partition, admission->batch, header, false, &base, diag);
        if (rc < 0 && first)
            partition_close_txn(partition, producer->id);
    }
    pthread_mutex_unlock(&partition->mutex);
    TRY(rc);
    if (first)
        part->first_offset = base;
    part->end_offset = base + header->record_count;
    part->next_sequence =
        (int32_t)(((uint32_t)part->next_sequence + (uint32_t)header->record_count) & INT32_MAX);
    if (base_offset != NULL)
        *base_offset = base;
    return 0;
}

int txn_append(struct producer *producer, struct partition *partition, uint8_t *batch, size_t size,
               int64_t *base_offset, struct diag *diag)
{
    struct admission admission;
    TRY(admit_batch(partition, batch, size, CRC_CHECK, &admission, diag));
    pthread_mutex_lock(&producer->mutex);
    int rc = usable(producer, TXN_OPEN, diag);
    struct participant *part = rc == 0 ? find_participant(producer, partition) : NULL;
    if (rc == 0 && part == NULL) {
        rc = partition_writable(partition, diag);
        if (rc == 0)
            rc = participate(producer, &partition, 1, diag);
        part = rc == 0 ? find_participant(producer, partition) : NULL;
    }
    if (rc == 0)
        rc = append_part(producer, part, &admission, base_offset, diag);
    pthread_mutex_unlock(&producer->mutex);
    admit_done(&admission);
    if (rc == 0 && partition->log->options.durability == DURABILITY_OS)
        partition_notify(partition, true);
    return rc;
}

/* 0 when the batch is the producer's own, of its epoch, for a partition that the open transaction
 * has named; mutex held. */
static int admit_numbered(struct producer *producer, const struct participant *part,
                          const struct batch_header *header, struct diag *diag)
{
    if (header->producer_id != producer->id || header->producer_epoch != producer->epoch)
        return diag_set(diag, ERR_FENCED,
                        "a batch of producer id %" PRId64 " with epoch %d: %s has id %" PRId64
                        " and epoch %d",
                        header->producer_id, header->producer_epoch, producer->transactional_id,
                        producer->id, producer->epoch);
    TRY(usable(producer, TXN_OPEN, diag));
    if (part == NULL || !part->is_named)
        return diag_set(diag, ERR_STATE,
                        "the partition was not added to the open transaction of producer %s",
                        producer->transactional_id);
    return 0;
}

/* Under producer.mutex. 1: it was there already. */
static int append_numbered(struct participant *part, struct admission *admission,
                           int64_t *base_offset, struct diag *diag)
{
    struct partition *partition = part->partition;
    const struct batch_header *header = &admission->header;
    bool first = part->first_offset < 0;
    pthread_mutex_lock(&partition->mutex);
    int rc = partition_writable(partition, diag);
    if (rc == 0 && first &&
        partition_open_txn(partition, header->producer_id, atomic_load(&partition->end_offset)) < 0)
        rc = diag_set(diag, ERR_NOMEM, "no memory for a transaction");
    else if (rc == 0) {
        rc = partition_append_admitted(partition, admission, base_offset, diag);
        if (rc != 0 && first)
            partition_close_txn(partition, header->producer_id);
    }
    pthread_mutex_unlock(&partition->mutex);
    if (rc != 0)
        return rc;
    if (first)
        part->first_offset = *base_offset;
    part->end_offset = *base_offset + header->record_count;
    part->next_sequence =
        (int32_t)(((uint32_t)header->base_sequence + (uint32_t)header->record_count) & INT32_MAX);
    return 0;
}

int txn_append_numbered(struct producer *producer, struct partition *partition, uint8_t *batch,
                        size_t size, int64_t *base_offset, struct diag *diag)
{
    struct admission admission;
    int64_t base = -1;
    TRY(admit_batch(partition, batch, size, CRC_CHECK, &admission, diag));
    int rc = 0;
    if ((admission.header.attributes & BATCH_ATTR_TRANSACTIONAL) == 0 ||
        admission.header.producer_id < 0)
        rc = diag_set(diag, ERR_INVALID, "a batch that is not transactional, or has no producer");
    else if (!atomic_load(&partition->tracks_producers))
        rc = snapshot_begin(partition, diag);
    if (rc == 0) {
        pthread_mutex_lock(&producer->mutex);
        struct participant *part = find_participant(producer, partition);
        rc = admit_numbered(producer, part, &admission.header, diag);
        if (rc == 0)
            rc = append_numbered(part, &admission, &base, diag);
        pthread_mutex_unlock(&producer->mutex);
    }
    admit_done(&admission);
    if (rc >= 0 && base_offset != NULL)
        *base_offset = base;
    if (rc == 0 && partition->log->options.durability == DURABILITY_OS)
        partition_notify(partition, true);
    if (rc == ERR_FULL)
        keeper_wake(partition->log);
    return rc < 0 ? rc : 0;
}

/* What the transaction of a producer that outlives this process commits must outlive it, too; mutex held. */
static int put_aside(struct producer *producer, const struct meta_batch *offsets, struct diag *diag)
{
    struct meta_batch batch;
    meta_batch_init(&batch);
    meta_put_txn_offsets(&batch, producer->id, producer->epoch, offsets);
    int rc = log_meta_apply(producer->log, &batch, diag);
    meta_batch_deinit(&batch);
    return rc;
}

int txn_add_offsets(struct producer *producer, const char *group,
                    const struct group_offset *offsets, size_t count, struct diag *diag)
{
    struct meta_batch batch;
    meta_batch_init(&batch);
    int rc = group_collect(producer->log, group, offsets, count, &batch, diag);
    if (rc == 0) {
        pthread_mutex_lock(&producer->mutex);
        rc = usable(producer, TXN_OPEN, diag);
        if (rc == 0 && batch.operations.size > OFFSETS_BYTES - producer->offsets.operations.size)
            rc = diag_set(diag, ERR_TOO_LARGE,
                          "more than %d MiB of group offsets in one transaction",
                          OFFSETS_BYTES >> 20);
        if (rc == 0) {
            producer_count_offsets(producer, true); /* before anybody can be told of them */
            meta_batch_join(&producer->offsets, &batch);
            if (!buf_ok(&producer->offsets.operations))
                rc = diag_set(diag, ERR_NOMEM, "no memory for a transaction's group offsets");
        }
        if (rc == 0 && producer_survives(producer))
            rc = put_aside(producer, &batch, diag);
        pthread_mutex_unlock(&producer->mutex);
    }
    meta_batch_deinit(&batch);
    return rc;
}

/* ---- looking ---- */

bool producer_is_fenced(const struct producer *producer)
{
    return atomic_load(&producer->fenced);
}

static int compare_partitions(const void *left, const void *right)
{
    const struct txn_partition *a = left, *b = right;
    int order = strcmp(a->topic, b->topic);
    return order != 0 ? order : (a->partition > b->partition) - (a->partition < b->partition);
}

int txn_describe(struct producer *producer, struct txn_description *description, struct diag *diag)
{
    static const enum txn_phase phases[] = {
        [TXN_NONE] = TXN_IS_NONE, [TXN_OPEN] = TXN_IS_OPEN, [TXN_DECIDING] = TXN_IS_BEING_DECIDED};
    *description = (struct txn_description){.began_ms = -1};
    pthread_mutex_lock(&producer->mutex);
    description->phase = phases[producer->state];
    size_t count = producer->state == TXN_NONE ? 0 : producer->participant_count;
    struct txn_partition *list = malloc((count + 1) * sizeof *list); /* never malloc(0) */
    description->partitions = list;
    for (size_t i = 0; list != NULL && i < count; i++) {
        const struct participant *part = &producer->participants[i];
        if (!part->is_named)
            continue;
        struct txn_partition *one = &list[description->partition_count++];
        memcpy(one->topic, part->partition->topic->name, sizeof one->topic);
        one->partition = part->partition->index;
    }
    if (producer->state != TXN_NONE && producer->timeout_ms > 0)
        description->began_ms = producer->began_ms;
    pthread_mutex_unlock(&producer->mutex);
    if (list == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory to describe a transaction");
    qsort(list, description->partition_count, sizeof *list, compare_partitions);
    return 0;
}

/* ---- ending it ---- */

static int end_start(struct producer *producer, bool commit, void (*done)(void *context, int code),
                     void *context, struct diag *diag)
{
    pthread_mutex_lock(&producer->mutex);
    int rc = usable(producer, TXN_OPEN, diag);
    if (rc == 0)
        producer_submit(producer, commit, done, context);
    pthread_mutex_unlock(&producer->mutex);
    return rc;
}

int txn_commit_start(struct producer *producer, void (*done)(void *context, int code),
                     void *context, struct diag *diag)
{
    return end_start(producer, true, done, context, diag);
}

int txn_abort_start(struct producer *producer, void (*done)(void *context, int code), void *context,
                    struct diag *diag)
{
    return end_start(producer, false, done, context, diag);
}

static int end_and_wait(struct producer *producer, bool commit, struct diag *diag)
{
    pthread_mutex_lock(&producer->mutex);
    int rc = usable(producer, TXN_OPEN, diag);
    if (rc == 0) {
        producer_submit(producer, commit, NULL, NULL);
        rc = producer_wait(producer);
        if (rc < 0 && log_status(producer->log, diag) == 0)
            diag_set(diag, rc, "the transaction of %s was %s: %s", producer->transactional_id,
                     commit ? "not committed but aborted" : "not aborted yet", error_text(rc));
    }
    pthread_mutex_unlock(&producer->mutex);
    return rc;
}

int txn_commit(struct producer *producer, struct diag *diag)
{
    return end_and_wait(producer, true, diag);
}

int txn_abort(struct producer *producer, struct diag *diag)
{
    return end_and_wait(producer, false, diag);
}
