/* recovery_open.c: transactions of clients that stay open over a restart.
 *
 * A client goes on when its connection is lost, and so does its transaction, if nothing of it is missing. All that it needs is durable before a client is told of it:
 *
 *   that it is open, and since when   the producer's record (TXN_OUTCOME_OPEN; its time of writing)
 *   where it may have written         its participants, with lower bounds
 *   what it has written               the partitions themselves: no marker of the producer follows
 *   group offsets                     META_TXN_OFFSETS, out of the way of readers. The write to meta that decides moves or removes them
 *
 * But for the records: they are acknowledged before they are flushed, since a commit flushes them. So a transaction stays open only when nothing can be lost:
 *
 *   the log was closed                log_close flushed all, and made a note of that
 *   the process was killed            what it had written is in the system's cache, and the system is the one that the first transaction made a note of (its boot id)
 *   the system went down, or a flush  nobody knows: it is aborted, as is one that has an abort marker already, one of whose partitions is stopped or lost bytes
 *   failed                            at its end, and one without a timeout, which nobody might ever end
 *
 * A survivor is a producer without an owner (is_orphan): it holds the last stable offset, runs into its timeout, and is fenced by whoever opens the transactional
 * id, as any other. producer_resume gives it to the client that comes back. What the record cannot say is which of the participants this transaction has named:
 * they all count as named.
 *
 * Runs before other threads exist, but for producer_adopt, survivors_drop and what notes the system and the close. */
#include "log/log_internal.h"
#include "runtime/base/clock.h"
#include "runtime/base/hash.h"
#include "runtime/base/io.h"

#include <stdlib.h>
#include <string.h>

enum { SYSTEM_UNKNOWN = 0, SYSTEM_CLOSED = 1, BOOT_ID_BYTES = 256 };
#define SYSTEM_COUNTER "transactions_of_boot"
#define BOOT_ID_PATH   "/proc/sys/kernel/random/boot_id"

/* ---- whether something may be lost ---- */

static int64_t boot_number(void)
{
    char *text;
    size_t size;
    if (io_read_file(BOOT_ID_PATH, BOOT_ID_BYTES, &text, &size, NULL) < 0)
        return SYSTEM_UNKNOWN;
    uint64_t number = hash64(text, size) >> 1;
    free(text);
    return size == 0 ? SYSTEM_UNKNOWN : (int64_t)(number < 2 ? 2 : number);
}

void survivors_note_system(struct log *log, struct meta_batch *batch)
{
    if (!atomic_load(&log->system_noted))
        meta_put_counter(batch, SYSTEM_COUNTER, boot_number());
}

static int lost_nothing(struct log *log, bool *lost_nothing, struct diag *diag)
{
    int64_t noted;
    TRY(meta_get_counter(log->meta, SYSTEM_COUNTER, &noted, diag));
    *lost_nothing = noted == SYSTEM_CLOSED || (noted != SYSTEM_UNKNOWN && noted == boot_number());
    return 0;
}

bool producer_survives(const struct producer *producer)
{
    return producer->keeps_outcome && producer->timeout_ms > 0 && !atomic_load(&producer->fenced);
}

/* Not where a partition was stopped. */
static bool is_flushed(const struct producer *producer)
{
    for (uint32_t i = 0; i < producer->participant_count; i++) {
        const struct participant *part = &producer->participants[i];
        if (part->first_offset >= 0 && !atomic_load(&part->partition->deleted) &&
            atomic_load(&part->partition->flushed_end) < part->end_offset)
            return false;
    }
    return true;
}

/* What a failed flush leaves in the system's cache need not be on the disk, also when the next one is told that it is. */
void survivors_doubt(struct log *log)
{
    struct meta_batch batch;
    struct diag diag;
    meta_batch_init(&batch);
    meta_put_counter(&batch, SYSTEM_COUNTER, SYSTEM_UNKNOWN);
    if (meta_apply(log->meta, &batch, &diag) < 0)
        log_line('W', "%s", diag.text);
    meta_batch_deinit(&batch);
}

void survivors_note_close(struct log *log)
{
    struct meta_batch batch;
    struct diag diag;
    bool any = false, all_flushed = true;
    pthread_mutex_lock(&log->producers_mutex);
    for (struct producer *p = log->producers; p != NULL; p = p->next) {
        pthread_mutex_lock(&p->mutex);
        bool survives = p->state == TXN_OPEN && producer_survives(p);
        any = any || survives;
        all_flushed = all_flushed && (!survives || is_flushed(p));
        pthread_mutex_unlock(&p->mutex);
    }
    pthread_mutex_unlock(&log->producers_mutex);
    if (any && log_status(log, NULL) < 0)
        survivors_doubt(log);
    if (!any || !all_flushed || log_status(log, NULL) < 0)
        return;
    meta_batch_init(&batch);
    meta_put_counter(&batch, SYSTEM_COUNTER, SYSTEM_CLOSED);
    if (log_meta_apply(log, &batch, &diag) < 0)
        log_line('W', "%s", diag.text); /* they survive while the system does */
    meta_batch_deinit(&batch);
}

/* ---- who may survive ---- */

struct loading {
    struct log *log;
    struct producer *list;
    int64_t now_ms;
};

static int load_one(void *context, struct bytes key, struct bytes value, struct diag *diag)
{
    struct loading *loading = context;
    struct meta_producer record;
    char name[META_TRANSACTIONAL_ID_BYTES + 1];
    TRY(meta_read_producer(value, &record));
    if (key.size >= sizeof name)
        return ERR_CORRUPT;
    if (record.outcome != TXN_OUTCOME_OPEN || record.timeout_ms <= 0 || record.epoch == INT16_MAX)
        return 0;
    memcpy(name, key.data, key.size);
    name[key.size] = '\0';
    struct producer *producer = producer_new(loading->log, name);
    if (producer == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for a producer");
    producer->id = record.producer_id;
    producer->epoch = producer->marker_epoch = record.epoch;
    producer->keeps_outcome = true;
    producer->outcome = TXN_OUTCOME_OPEN;
    producer->timeout_ms = record.timeout_ms;
    /* A clock that was set back must not give it more time than it had. */
    producer->began_ms = record.updated_ms < loading->now_ms ? record.updated_ms : loading->now_ms;
    producer->state = TXN_OPEN;
    producer->is_orphan = true;
    producer->next = loading->list;
    loading->list = producer;
    return 0;
}

int survivors_load(struct log *log, struct producer **list, struct diag *diag)
{
    struct loading loading = {.log = log, .now_ms = clock_wall_ms()};
    bool all_there = false;
    *list = NULL;
    if (log->read_only)
        return 0;
    int rc = meta_scan(log->meta, META_PRODUCERS, bytes_of(NULL, 0), load_one, &loading, diag);
    *list = loading.list;
    if (rc == 0 && *list != NULL)
        rc = lost_nothing(log, &all_there, diag);
    if (!all_there)
        survivors_free(list);
    return rc;
}

void survivors_free(struct producer **list)
{
    while (*list != NULL) {
        struct producer *producer = *list;
        *list = producer->next;
        producer_free(producer);
    }
}

struct producer *survivors_find(struct producer *list, int64_t producer_id, int16_t epoch)
{
    while (list != NULL && (list->id != producer_id || list->epoch != epoch))
        list = list->next;
    return list;
}

/* ---- what they have written ---- */

struct record_search {
    int64_t producer_id;
    struct participant *part;
    bool has_end; /* its abort has begun */
};

static int look_at_batch(void *context, const struct batch_header *header)
{
    struct record_search *search = context;
    struct participant *part = search->part;
    if (header->producer_id != search->producer_id ||
        (header->attributes & BATCH_ATTR_TRANSACTIONAL) == 0)
        return 0;
    if ((header->attributes & BATCH_ATTR_CONTROL) != 0) {
        search->has_end = part->first_offset >= 0; /* else it is the end of the one before */
        return search->has_end;
    }
    if (part->first_offset < 0)
        part->first_offset = header->base_offset;
    part->end_offset = batch_last_offset(header) + 1;
    part->next_sequence =
        (int32_t)(((uint32_t)header->base_sequence + (uint32_t)header->record_count) & INT32_MAX);
    return 0;
}

/* 1: its records are there; 0: the transaction cannot stay open. */
static int find_records(struct partition *partition, struct participant *part, int64_t producer_id,
                        struct diag *diag)
{
    struct record_search search = {.producer_id = producer_id, .part = part};
    if (atomic_load(&partition->status) != 0 || partition->lost_tail)
        return 0;
    int64_t start = atomic_load(&partition->start_offset);
    int rc = partition_walk(partition, part->lower_bound > start ? part->lower_bound : start,
                            look_at_batch, &search, diag);
    return rc < 0 && rc != ERR_CORRUPT ? rc : rc == 0 && !search.has_end;
}

static int find_all_records(struct producer *producer, struct meta_participants *participants,
                            struct diag *diag)
{
    struct meta_participant one;
    producer->participants =
        calloc((size_t)participants->count + 1, sizeof *producer->participants);
    if (producer->participants == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for a transaction's participants");
    producer->participant_capacity = participants->count + 1;
    while (meta_take_participant(participants, &one) == 0) {
        struct partition *partition = log_find_place(producer->log, &one.place);
        if (partition == NULL)
            continue; /* its topic was deleted */
        struct participant *part = &producer->participants[producer->participant_count];
        *part = (struct participant){.partition = partition,
                                     .first_offset = -1,
                                     .marker_offset = -1,
                                     .lower_bound = one.lower_bound,
                                     .is_named = true};
        int rc = find_records(partition, part, producer->id, diag);
        if (rc != 1)
            return rc;
        producer->participant_count++;
    }
    return 1;
}

static void let_die(struct producer **list, struct producer *producer)
{
    while (*list != producer)
        list = &(*list)->next;
    *list = producer->next;
    producer_free(producer);
}

int survivors_attach(struct producer **list, struct producer *producer,
                     struct meta_participants participants, struct diag *diag)
{
    int rc = find_all_records(producer, &participants, diag);
    if (rc == 0)
        let_die(list, producer);
    if (rc != 1)
        return rc;
    for (uint32_t i = 0; i < producer->participant_count; i++) {
        const struct participant *part = &producer->participants[i];
        if (part->first_offset >= 0 &&
            partition_open_txn(part->partition, producer->id, part->first_offset) < 0)
            return diag_set(diag, ERR_NOMEM, "no memory for a transaction");
    }
    return 1;
}

/* ---- what they were to commit ---- */

struct sorting {
    struct log *log;
    struct producer *list;
    struct meta_batch *batch;
};

static int sort_offset(void *context, struct bytes key, struct bytes value, struct diag *diag)
{
    struct sorting *sorting = context;
    struct meta_offset offset;
    struct meta_place place;
    struct bytes offset_key, group;
    int64_t producer_id;
    int16_t epoch;
    (void)diag;
    TRY(meta_read_txn_offset_key(key, &producer_id, &epoch, &offset_key));
    TRY(meta_read_offset_key(offset_key, &group, &place));
    TRY(meta_read_offset(value, &offset));
    struct producer *producer = survivors_find(sorting->list, producer_id, epoch);
    if (producer == NULL || log_find_place(sorting->log, &place) == NULL) {
        meta_delete(sorting->batch, META_TXN_OFFSETS, key);
        return 0;
    }
    meta_put(&producer->offsets, META_OFFSETS, offset_key, value);
    producer_count_offsets(producer, true);
    return buf_ok(&producer->offsets.operations) ? 0 : ERR_NOMEM;
}

int survivors_finish(struct log *log, struct producer *list, struct meta_batch *batch,
                     struct diag *diag)
{
    struct sorting sorting = {log, list, batch};
    int rc = meta_scan(log->meta, META_TXN_OFFSETS, bytes_of(NULL, 0), sort_offset, &sorting, diag);
    if (rc == ERR_NOMEM)
        return diag_set(diag, rc, "no memory for the offsets of transactions");
    if (list != NULL)
        survivors_note_system(log, batch);
    return rc;
}

void survivors_enlist(struct log *log, struct producer **list)
{
    int count = 0;
    if (*list == NULL)
        return;
    atomic_store(&log->system_noted, true);
    pthread_mutex_lock(&log->producers_mutex);
    while (*list != NULL) {
        struct producer *producer = *list;
        *list = producer->next;
        producer->next = log->producers;
        log->producers = producer;
        count++;
    }
    pthread_mutex_unlock(&log->producers_mutex);
    log_line('I', "%s: %d open transactions of clients go on", log->dir, count);
}

/* ---- whose they are then ---- */

struct producer *producer_adopt(struct log *log, const char *transactional_id, int64_t producer_id,
                                int16_t epoch)
{
    pthread_mutex_lock(&log->producers_mutex);
    struct producer *producer = log->producers;
    while (producer != NULL &&
           (!producer->is_orphan || producer->id != producer_id || producer->epoch != epoch ||
            strcmp(producer->transactional_id, transactional_id) != 0 ||
            atomic_load(&producer->fenced)))
        producer = producer->next;
    if (producer != NULL)
        producer->is_orphan = false;
    pthread_mutex_unlock(&log->producers_mutex);
    return producer;
}

/* One that was fenced, its transaction over: its reference is the caller's. */
static struct producer *next_dead(struct log *log)
{
    pthread_mutex_lock(&log->producers_mutex);
    struct producer *producer = log->producers;
    for (; producer != NULL; producer = producer->next) {
        if (!producer->is_orphan || !atomic_load(&producer->fenced))
            continue;
        pthread_mutex_lock(&producer->mutex);
        bool is_over = producer->state == TXN_NONE;
        pthread_mutex_unlock(&producer->mutex);
        if (is_over)
            break;
    }
    if (producer != NULL)
        producer->is_orphan = false;
    pthread_mutex_unlock(&log->producers_mutex);
    return producer;
}

void survivors_drop(struct log *log)
{
    struct producer *producer;
    while ((producer = next_dead(log)) != NULL)
        producer_release(producer);
}
