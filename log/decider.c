/* decider.c: the background thread that writes to meta what the flusher made durable.
 *
 * The flusher's lanes hand over each round that holds transactions, or facts that meta is to know. The
 * decider takes all rounds that wait, in their order, and does for them together:
 *
 *   1. one transaction in meta: decisions, aborted ranges, group offsets, next participants,
 * flushed ends, records of closed segments, and the removal of old decisions whose markers are
 * flushed by now. Skipped when it would hold nothing but flushed ends and the second is not over;
 *   2. decide_settle: last stable offsets move; readers are woken;
 *   3. decide_finish: commit markers are appended, callbacks are called.
 *
 * Why a thread of its own: a write to meta is two flushes, one after the other (LMDB's pages, then
 * the page that names them). In a flusher's thread they were added to the flush of whoever came meanwhile: of
 * four flushes in a row, a producer's records waited for three that were not theirs.
 *
 * Order. Only a flushed round is handed over, so a decision is never durable before the records
 * that it covers. Rounds are decided in the order their flushes ended in, and a transaction is in one round at a time. A
 * flushed end that is recorded may be newer than the round that asked for it: it is one that the
 * flusher published, which it does after the flush. What the flusher does meanwhile is to flush more;
 * nothing here depends on what is not flushed yet.
 *
 * ROUND_COUNT rounds may wait, the ones being decided among them; who has flushed one more waits until it
 * can hand it over. A stopped writer decides nothing: what waits then is answered with the reason.
 *
 * Flushed ends that meta lacks are a list under the flusher's mutex. A pass takes from it copies of those that it
 * records, and puts back what could not be written. */
#include "log/log_internal.h"
#include "runtime/base/io.h"
#include "runtime/base/thread.h"

#include <stdlib.h>

/* ---- rounds in and out ---- */

static void round_deinit(struct round *round)
{
    free(round->targets);
    round->targets = NULL;
}

void decider_await(struct flusher *flusher)
{
    pthread_mutex_lock(&flusher->mutex);
    while (flusher->round_count > 0)
        pthread_cond_wait(&flusher->settled, &flusher->mutex);
    pthread_mutex_unlock(&flusher->mutex);
}

/* ---- flushed ends ---- */

/* Of the rounds' partitions, or of all, what meta lacks; from now on it counts as recorded. */
static void take_unrecorded(struct decide_pass *pass)
{
    struct flusher *flusher = &pass->log->flusher;
    size_t count = 0;
    pthread_mutex_lock(&flusher->mutex);
    for (uint32_t r = 0; r < pass->round_count; r++)
        for (size_t i = 0; i < pass->rounds[r]->target_count; i++)
            pass->rounds[r]->targets[i].partition->in_pass = true;
    for (struct partition *p = flusher->unrecorded; p != NULL; p = p->next_unrecorded)
        count += pass->record_all || p->in_pass;
    if (count > 0)
        pass->records = malloc(count * sizeof *pass->records);
    if (count > 0 && pass->records == NULL)
        pass->batch.operations.failed = true;
    struct partition **link = &flusher->unrecorded;
    while (*link != NULL && pass->records != NULL) {
        struct partition *p = *link;
        if (!pass->record_all && !p->in_pass) {
            link = &p->next_unrecorded;
            continue;
        }
        pass->records[pass->record_count++] = (struct flushed_record){p, p->flushed};
        *link = p->next_unrecorded;
        p->next_unrecorded = NULL;
        p->unrecorded = false;
    }
    for (uint32_t r = 0; r < pass->round_count; r++)
        for (size_t i = 0; i < pass->rounds[r]->target_count; i++)
            pass->rounds[r]->targets[i].partition->in_pass = false;
    pthread_mutex_unlock(&flusher->mutex);
}

void partition_put_record(struct partition *partition, const struct meta_partition *flushed,
                          struct meta_batch *batch)
{
    struct meta_place place = partition_place(partition);
    meta_put_partition(batch, &place, flushed);
    pthread_mutex_lock(&partition->list_mutex);
    for (int32_t i = partition->segment_count - 2; i >= 0 && !partition->segments[i]->recorded;
         i--) {
        struct segment *segment = partition->segments[i];
        if (segment->base_offset >= flushed->segment_base)
            continue; /* rolled after the round began */
        struct meta_segment record = segment_record(segment);
        meta_put_segment(batch, &place, &record);
    }
    pthread_mutex_unlock(&partition->list_mutex);
}

static void collect_records(struct decide_pass *pass)
{
    take_unrecorded(pass);
    for (size_t i = 0; i < pass->record_count; i++) {
        struct flushed_record *record = &pass->records[i];
        if (!atomic_load(&record->partition->deleted))
            partition_put_record(record->partition, &record->flushed, &pass->batch);
    }
}

/* What partition_put_record put is durable. */
static void mark_recorded(const struct flushed_record *record)
{
    struct partition *partition = record->partition;
    pthread_mutex_lock(&partition->list_mutex);
    for (int32_t i = partition->segment_count - 2; i >= 0 && !partition->segments[i]->recorded; i--)
        if (partition->segments[i]->base_offset < record->flushed.segment_base)
            partition->segments[i]->recorded = true;
    pthread_mutex_unlock(&partition->list_mutex);
}

static void finish_records(struct decide_pass *pass, bool written)
{
    for (size_t i = 0; i < pass->record_count; i++) {
        if (written)
            mark_recorded(&pass->records[i]);
        else
            flusher_note_unrecorded(pass->records[i].partition);
    }
}

/* ---- a pass ---- */

static int write_meta(struct decide_pass *pass, struct diag *diag)
{
    struct flusher *flusher = &pass->log->flusher;
    decide_collect(pass);
    if (!pass->decides && !pass->rolled && !pass->record_all)
        return 0;
    collect_records(pass);
    decided_collect(flusher, &pass->batch);
    crash_point("decide.before");
    int rc = log_meta_apply(pass->log, &pass->batch, diag);
    finish_records(pass, rc == 0);
    TRY(rc);
    flusher->told_full = false;
    crash_point("decide.done");
    decided_forget(flusher);
    return 0;
}

/* Before markers are written, so that nobody waits for them. */
static void wake_readers(const struct decide_pass *pass)
{
    for (uint32_t r = 0; r < pass->round_count; r++)
        for (size_t i = 0; i < pass->rounds[r]->target_count; i++)
            partition_notify(pass->rounds[r]->targets[i].partition, true);
}

static void tell_failure(struct flusher *flusher, int rc, const struct diag *diag)
{
    if (rc == ERR_FULL && !flusher->told_full)
        log_line('W', "%s", diag->text); /* once, until there is room */
    else if (rc < 0 && rc != ERR_FULL)
        log_line('E', "%s", diag->text);
    flusher->told_full |= rc == ERR_FULL;
}

static void run_pass(struct decide_pass *pass)
{
    struct flusher *flusher = &pass->log->flusher;
    struct diag diag = {0};
    int rc = log_status(pass->log, &diag);
    if (rc < 0) {
        decide_fail_all(pass->requests, rc);
    } else {
        rc = write_meta(pass, &diag);
        if (rc < 0 && log_status(pass->log, NULL) < 0) {
            decide_fail_all(pass->requests, rc);
        } else {
            decide_settle(pass, rc);
            if (pass->decides && rc == 0)
                wake_readers(pass);
            decide_finish(pass, rc);
        }
        tell_failure(flusher, rc, &diag);
    }
    if (log_status(pass->log, NULL) < 0)
        flusher_tell_progress(flusher); /* nobody else's end has come nearer */
}

/* Joins the rounds that wait, from the first on. */
static void decide_rounds(struct flusher *flusher, uint32_t first, uint32_t count)
{
    struct decide_pass pass = {.log = flusher->log};
    struct producer **last = &pass.requests;
    meta_batch_init(&pass.batch);
    for (uint32_t r = 0; r < count; r++) {
        struct round *round = &flusher->rounds[(first + r) % ROUND_COUNT];
        pass.rounds[pass.round_count++] = round;
        pass.rolled |= round->rolled;
        pass.record_all |= round->record_all;
        *last = round->requests;
        while (*last != NULL)
            last = &(*last)->next_request;
    }
    run_pass(&pass);
    for (uint32_t r = 0; r < count; r++)
        round_deinit(pass.rounds[r]);
    free(pass.records);
    meta_batch_deinit(&pass.batch);
}

static void *decider_main(void *context)
{
    struct flusher *flusher = context;
    pthread_mutex_lock(&flusher->mutex);
    while (!flusher->decider_stopping || flusher->round_count > 0) {
        uint32_t first = flusher->first_round, count = flusher->round_count;
        if (count == 0) {
            pthread_cond_wait(&flusher->handed, &flusher->mutex);
            continue;
        }
        pthread_mutex_unlock(&flusher->mutex);
        decide_rounds(flusher, first, count);
        pthread_mutex_lock(&flusher->mutex);
        flusher->first_round = (first + count) % ROUND_COUNT;
        flusher->round_count -= count;
        pthread_cond_broadcast(&flusher->settled);
    }
    pthread_mutex_unlock(&flusher->mutex);
    return NULL;
}

void decider_take(struct flusher *flusher, struct round *round, bool wanted)
{
    if (!wanted) {
        round_deinit(round);
        return;
    }
    pthread_mutex_lock(&flusher->mutex);
    while (flusher->round_count == ROUND_COUNT)
        pthread_cond_wait(&flusher->settled, &flusher->mutex);
    flusher->rounds[(flusher->first_round + flusher->round_count) % ROUND_COUNT] = *round;
    if (flusher->decider_started)
        flusher->round_count++;
    pthread_mutex_unlock(&flusher->mutex);
    if (flusher->decider_started)
        pthread_cond_signal(&flusher->handed);
    else
        decide_rounds(flusher, flusher->first_round, 1);
}

/* ---- start and stop ---- */

int decider_start(struct flusher *flusher, struct diag *diag)
{
    if (thread_start(&flusher->decider, decider_main, flusher) != 0)
        return diag_set(diag, ERR_NOMEM, "cannot start the decider of %s", flusher->log->dir);
    flusher->decider_started = true;
    return 0;
}

void decider_stop(struct flusher *flusher)
{
    if (!flusher->decider_started)
        return;
    pthread_mutex_lock(&flusher->mutex);
    flusher->decider_stopping = true;
    pthread_cond_signal(&flusher->handed);
    pthread_mutex_unlock(&flusher->mutex);
    pthread_join(flusher->decider, NULL);
    flusher->decider_started = false;
}
