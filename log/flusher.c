/* flusher.c: the background thread that makes records durable: group commit.
 *
 * It works in rounds. A round begins when somebody waits (partition_wait, a transaction), or when
 * an unflushed tail has reached its age (flush_interval_ms), and does, in this order:
 *
 *   1. take all waiting transactions, the partitions that are awaited and those that are old
 * enough; decide_prepare: abort markers are appended, room for commit markers is reserved;
 *   2. note, per partition, where it ends now; flush its files, and its directory when a file was
 * made, all in parallel;
 *   3. move the flushed ends; wake waiters and watchers;
 *   4. hand the round to the decider (decider.c) when it holds transactions, or when flushed ends or closed segments are to be
 * recorded in meta.
 *
 * While a round waits for the disk the next one collects: that is all there is to group commit. And while the
 * decider waits for meta, which takes two flushes one after the other, the next round's records are flushed: a producer
 * waits for no decision but its own. At most ROUND_COUNT rounds wait to be decided.
 *
 * Threads are woken after the mutex is let go: they run at once, and would wait for it.
 *
 * A failed flush, or a write to meta whose outcome is not known, stops the writer for good (P9). A
 * disk that is full fails what waits, and nothing else.
 *
 * A driven log (log_options.driven) has neither thread: rounds are run by whoever waits (flusher_await) and by
 * log_drive, in the one thread that uses the log, and each is decided before the next one. The order is the same, so that what a crash
 * leaves is, too.
 *
 * With durability=os nobody waits for step 2 but aborts (an aborted range in meta must not be newer
 * than the records it covers); tails are flushed at a slow pace, for the operating system's sake
 * and the recorded flushed ends. */
#include "log/log_internal.h"
#include "runtime/base/clock.h"
#include "runtime/base/io.h"
#include "runtime/base/thread.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    RECORD_INTERVAL_MS = 1000,
    RETRY_INTERVAL_MS = 100,
    PLAN_PATIENCE_MS = 30000,
    PLAN_RETRY_NS = 10000000
};

/* ---- what others ask for ---- */

static void unlink_dirty(struct flusher *flusher, struct partition *partition)
{
    if (partition->previous_dirty != NULL)
        partition->previous_dirty->next_dirty = partition->next_dirty;
    else
        flusher->dirty = partition->next_dirty;
    if (partition->next_dirty != NULL)
        partition->next_dirty->previous_dirty = partition->previous_dirty;
    else
        flusher->last_dirty = partition->previous_dirty;
    partition->next_dirty = partition->previous_dirty = NULL;
    partition->urgent = false;
    atomic_store(&partition->dirty, false);
}

void flusher_mark_dirty(struct partition *partition)
{
    struct flusher *flusher = &partition->log->flusher;
    bool awaited = false, first = false;
    pthread_mutex_lock(&flusher->mutex);
    if (!atomic_load(&partition->dirty)) {
        atomic_store(&partition->dirty, true);
        partition->dirty_since_ms = clock_mono_ms();
        partition->previous_dirty = flusher->last_dirty;
        partition->next_dirty = NULL;
        if (flusher->last_dirty != NULL)
            flusher->last_dirty->next_dirty = partition;
        else
            flusher->dirty = partition;
        flusher->last_dirty = partition;
        /* Who waits for records that only now are there looks again, and asks for a round. */
        awaited = partition->waiter_count > 0;
        first = flusher->dirty == partition;
    }
    pthread_mutex_unlock(&flusher->mutex);
    if (awaited)
        pthread_cond_broadcast(&flusher->progress);
    if (first)
        pthread_cond_signal(&flusher->work);
}

void flusher_submit(struct producer *producer)
{
    struct flusher *flusher = &producer->log->flusher;
    pthread_mutex_lock(&flusher->mutex);
    producer->next_request = NULL;
    if (flusher->last_request != NULL)
        flusher->last_request->next_request = producer;
    else
        flusher->requests = producer;
    flusher->last_request = producer;
    pthread_mutex_unlock(&flusher->mutex);
    pthread_cond_signal(&flusher->work);
}

/* ---- collecting a round ---- */

int round_add_target(struct round *round, struct partition *partition, bool sync)
{
    if (partition->in_round) {
        for (size_t i = 0; sync && i < round->target_count; i++)
            if (round->targets[i].partition == partition)
                round->targets[i].sync = true;
        return 0;
    }
    if (round->target_count == round->target_capacity) {
        size_t capacity = round->target_capacity == 0 ? 16 : round->target_capacity * 2;
        struct flush_target *targets = realloc(round->targets, capacity * sizeof *targets);
        if (targets == NULL)
            return ERR_NOMEM;
        round->targets = targets;
        round->target_capacity = capacity;
    }
    round->targets[round->target_count++] =
        (struct flush_target){.partition = partition, .sync = sync};
    partition->in_round = true;
    return 0;
}

static int64_t flush_age_ms(const struct log *log)
{
    return log->options.flush_interval_ms;
}

/* Due partitions become targets; flusher->mutex held. */
static void take_due(struct flusher *flusher, struct round *round, bool all)
{
    int64_t old = clock_mono_ms() - flush_age_ms(flusher->log);
    struct partition *next;
    for (struct partition *p = flusher->dirty; p != NULL; p = next) {
        next = p->next_dirty;
        if (!all && !p->urgent && p->dirty_since_ms > old) {
            if (!flusher->urgent)
                break; /* oldest first: the rest is younger */
            continue;
        }
        if (round_add_target(round, p, true) == 0)
            unlink_dirty(flusher, p); /* on lack of memory it stays for the next round */
    }
    flusher->urgent = false;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static bool has_work(const struct flusher *flusher, int64_t now, int64_t *deadline)
{
    *deadline = INT64_MAX;
    if (flusher->dirty != NULL)
        *deadline = flusher->dirty->dirty_since_ms + flush_age_ms(flusher->log);
    if (flusher->unrecorded != NULL || flusher->decided != NULL)
        *deadline = earlier(*deadline, flusher->next_record_ms);
    if (flusher->deferred != NULL)
        *deadline = earlier(*deadline, flusher->next_retry_ms);
    return flusher->stopping || flusher->urgent || flusher->requests != NULL || now >= *deadline;
}

static int64_t ns_of_ms(int64_t ms)
{
    return ms > INT64_MAX / 1000000 ? INT64_MAX : ms * 1000000;
}

/* Blocks until there is something to do (a driven log's never does: the round may be empty) and takes
 * it. False: stop after this round. */
static bool next_round(struct flusher *flusher, struct round *round)
{
    int64_t deadline, now;
    pthread_mutex_lock(&flusher->mutex);
    while (!has_work(flusher, now = clock_mono_ms(), &deadline) && !flusher->driven)
        clock_cond_wait(&flusher->work, &flusher->mutex, ns_of_ms(deadline));
    bool stopping = flusher->stopping;
    round->requests = flusher->requests;
    flusher->requests = flusher->last_request = NULL;
    if (flusher->deferred != NULL && now >= flusher->next_retry_ms) {
        struct producer *last = flusher->deferred;
        while (last->next_request != NULL)
            last = last->next_request;
        last->next_request = round->requests;
        round->requests = flusher->deferred;
        flusher->deferred = NULL;
        flusher->next_retry_ms = now + RETRY_INTERVAL_MS;
    }
    take_due(flusher, round, stopping);
    round->record_all = stopping || now >= flusher->next_record_ms;
    if (round->record_all)
        flusher->next_record_ms = now + RECORD_INTERVAL_MS;
    pthread_mutex_unlock(&flusher->mutex);
    return !stopping;
}

/* ---- flushing ---- */

struct flush_plan {
    struct sync_job *jobs;
    struct segment **segments; /* of each job, pinned and referenced; NULL for a directory */
    int64_t *sizes;
    struct partition **owners;
    size_t count, capacity;
};

static int plan_grow(struct flush_plan *plan)
{
    if (plan->count < plan->capacity)
        return 0;
    size_t capacity = plan->capacity == 0 ? 32 : plan->capacity * 2;
    void *jobs = realloc(plan->jobs, capacity * sizeof *plan->jobs);
    if (jobs != NULL)
        plan->jobs = jobs;
    void *segments = realloc(plan->segments, capacity * sizeof *plan->segments);
    if (segments != NULL)
        plan->segments = segments;
    void *sizes = realloc(plan->sizes, capacity * sizeof *plan->sizes);
    if (sizes != NULL)
        plan->sizes = sizes;
    void *owners = realloc(plan->owners, capacity * sizeof *plan->owners);
    if (owners != NULL)
        plan->owners = owners;
    if (jobs == NULL || segments == NULL || sizes == NULL || owners == NULL)
        return ERR_NOMEM;
    plan->capacity = capacity;
    return 0;
}

static int plan_segment(struct flush_plan *plan, struct segment *segment, struct diag *diag)
{
    int64_t size = atomic_load(&segment->size_bytes);
    if (atomic_load(&segment->flushed_bytes) >= size)
        return 0;
    if (plan_grow(plan) < 0)
        return diag_set(diag, ERR_NOMEM, "no memory to flush");
    int fd;
    TRY(segment_pin(segment, &fd, diag));
    segment->references++;
    plan->jobs[plan->count] = (struct sync_job){.fd = fd};
    plan->segments[plan->count] = segment;
    plan->sizes[plan->count] = size;
    plan->owners[plan->count++] = segment->partition;
    return 0;
}

static int plan_directory(struct flush_plan *plan, struct partition *partition, struct diag *diag)
{
    if (plan_grow(plan) < 0)
        return diag_set(diag, ERR_NOMEM, "no memory to flush");
    char path[LOG_PATH_BYTES];
    partition_directory(partition, path);
    char *copy = strdup(path);
    if (copy == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory to flush");
    plan->jobs[plan->count] = (struct sync_job){.fd = -1, .path = copy};
    plan->segments[plan->count] = NULL;
    plan->sizes[plan->count] = 0;
    plan->owners[plan->count++] = partition;
    return 0;
}

/* Where the partition ends now, and the files that must be flushed for that. */
static int plan_target(struct flush_plan *plan, struct flush_target *target, struct round *round,
                       struct diag *diag)
{
    struct partition *partition = target->partition;
    int rc = 0;
    if (!target->sync || partition_readable(partition, NULL) < 0) {
        target->sync = false;
        return 0;
    }
    pthread_mutex_lock(&partition->mutex);
    pthread_mutex_lock(&partition->list_mutex);
    int32_t i = partition->segment_count - 1;
    target->flushed = (struct meta_partition){.flushed_end = atomic_load(&partition->end_offset),
                                              .segment_base = -1};
    if (i >= 0) {
        struct segment *active = partition->segments[i];
        target->flushed.segment_base = active->base_offset;
        target->flushed.flushed_position = atomic_load(&active->size_bytes);
        target->flushed.segment_created_ms = active->created_ms;
    }
    for (; rc == 0 && i >= 0 && !partition->segments[i]->recorded; i--) {
        rc = plan_segment(plan, partition->segments[i], diag);
        round->rolled = round->rolled || i < partition->segment_count - 1;
    }
    pthread_mutex_unlock(&partition->list_mutex);
    bool directory = rc == 0 && partition->directory_dirty;
    if (directory)
        rc = plan_directory(plan, partition, diag);
    if (directory && rc == 0)
        partition->directory_dirty = false;
    pthread_mutex_unlock(&partition->mutex);
    return rc;
}

static void plan_release(struct flush_plan *plan, bool flushed)
{
    for (size_t i = 0; i < plan->count; i++) {
        if (plan->segments[i] == NULL) {
            free((char *)(uintptr_t)plan->jobs[i].path);
            continue;
        }
        if (flushed && atomic_load(&plan->segments[i]->flushed_bytes) < plan->sizes[i])
            atomic_store(&plan->segments[i]->flushed_bytes, plan->sizes[i]);
        segment_unpin(plan->segments[i]);
        segment_release(plan->segments[i]);
    }
    free(plan->jobs);
    free(plan->segments);
    free(plan->sizes);
    free(plan->owners);
}

/* A topic that was deleted meanwhile took its directory along: that is no failed flush. */
static int forgive_deleted(struct flush_plan *plan, int rc, struct diag *diag)
{
    if (rc == 0 || plan->count == 0)
        return rc;
    bool reported = false;
    for (size_t i = 0; i < plan->count; i++) {
        if (plan->jobs[i].code >= 0)
            continue;
        reported = true;
        if (!atomic_load(&plan->owners[i]->deleted)) {
            *diag = plan->jobs[i].diag;
            return plan->jobs[i].code;
        }
    }
    return reported ? 0 : rc;
}

/* A directory that was not flushed after all is flushed by the next attempt. */
static void plan_undo(struct flush_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        if (plan->segments[i] != NULL)
            continue;
        pthread_mutex_lock(&plan->owners[i]->mutex);
        plan->owners[i]->directory_dirty = true;
        pthread_mutex_unlock(&plan->owners[i]->mutex);
    }
    plan_release(plan, false);
    *plan = (struct flush_plan){0};
}

/* Lack of memory or descriptors is no failed flush: others give some back, so it is tried for a while. */
static int plan_targets(struct flush_plan *plan, struct round *round, struct diag *diag)
{
    int64_t until_ms = clock_mono_ms() + PLAN_PATIENCE_MS;
    for (bool told = false;; told = true) {
        int rc = 0;
        for (size_t i = 0; rc == 0 && i < round->target_count; i++)
            rc = plan_target(plan, &round->targets[i], round, diag);
        if (rc != ERR_NOMEM || clock_mono_ms() >= until_ms)
            return rc;
        if (!told)
            log_line('W', "a flush has to wait: %s", diag->text);
        plan_undo(plan);
        clock_sleep_until(clock_mono_ns() + PLAN_RETRY_NS);
    }
}

static int flush_targets(struct round *round, struct diag *diag)
{
    struct flush_plan plan = {0};
    int rc = plan_targets(&plan, round, diag);
    crash_point("flush.before");
    if (rc == 0 && plan.count > 0)
        rc = forgive_deleted(
            &plan, sync_pool_run(round->log->flusher.pool, plan.jobs, plan.count, diag), diag);
    plan_release(&plan, rc == 0);
    crash_point("flush.done");
    return rc;
}

/* ---- flushed ends ---- */

static void note_unrecorded(struct flusher *flusher, struct partition *partition)
{
    if (partition->unrecorded)
        return;
    partition->unrecorded = true;
    partition->next_unrecorded = flusher->unrecorded;
    flusher->unrecorded = partition;
}

void flusher_note_unrecorded(struct partition *partition)
{
    struct flusher *flusher = &partition->log->flusher;
    pthread_mutex_lock(&flusher->mutex);
    note_unrecorded(flusher, partition);
    pthread_cond_signal(&flusher->work); /* for the time it is due */
    pthread_mutex_unlock(&flusher->mutex);
}

static void publish_flushed(struct round *round)
{
    struct flusher *flusher = &round->log->flusher;
    pthread_mutex_lock(&flusher->mutex);
    for (size_t i = 0; i < round->target_count; i++) {
        struct flush_target *target = &round->targets[i];
        struct partition *partition = target->partition;
        if (!target->sync)
            continue;
        target->moved = target->flushed.flushed_end > atomic_load(&partition->flushed_end);
        if (memcmp(&partition->flushed, &target->flushed, sizeof target->flushed) != 0)
            note_unrecorded(flusher, partition);
        partition->flushed = target->flushed;
        atomic_store(&partition->flushed_end, target->flushed.flushed_end);
    }
    pthread_mutex_unlock(&flusher->mutex);
    pthread_cond_broadcast(&flusher->progress);
    for (size_t i = 0; i < round->target_count; i++)
        if (round->targets[i].moved)
            partition_notify(round->targets[i].partition);
}

/* ---- the round ---- */

/* True: it holds something for the decider. */
static bool flush_round(struct round *round)
{
    struct diag diag = {0};
    int rc = log_status(round->log, &diag);
    if (rc == 0) {
        decide_prepare(round);
        rc = flush_targets(round, &diag);
        if (rc == ERR_NOMEM)
            log_line('E', "cannot flush: %s", diag.text);
        if (rc < 0)
            log_stop(round->log, rc, &diag);
    }
    if (rc == 0)
        publish_flushed(round);
    else
        decide_fail_all(round->requests, rc);
    for (size_t i = 0; i < round->target_count; i++)
        round->targets[i].partition->in_round = false;
    if (rc < 0)
        flusher_tell_progress(&round->log->flusher);
    return rc == 0 && (round->requests != NULL || round->rolled || round->record_all);
}

void flusher_tell_progress(struct flusher *flusher)
{
    pthread_mutex_lock(&flusher->mutex);
    pthread_cond_broadcast(&flusher->progress);
    pthread_mutex_unlock(&flusher->mutex);
}

static bool more_work(struct flusher *flusher)
{
    pthread_mutex_lock(&flusher->mutex);
    bool more = flusher->dirty != NULL || flusher->requests != NULL ||
                flusher->unrecorded != NULL || flusher->decided != NULL;
    pthread_mutex_unlock(&flusher->mutex);
    return more && log_status(flusher->log, NULL) == 0;
}

/* False: stop after this round. */
static bool flusher_turn(struct flusher *flusher)
{
    struct round *round = decider_next_round(flusher);
    bool running = next_round(flusher, round);
    decider_take(flusher, round, flush_round(round));
    return running;
}

static void *flusher_main(void *context)
{
    struct flusher *flusher = context;
    bool running = true;
    /* The last rounds flush the markers that the one before wrote, and then remove the decisions.
     * Their number is bounded, so that a full disk cannot keep a log from closing. */
    for (int last_rounds = 0; running || (last_rounds < 4 && more_work(flusher));) {
        running = flusher_turn(flusher);
        if (!running) {
            decider_await(flusher);
            last_rounds++;
        }
    }
    pthread_mutex_lock(&flusher->mutex);
    struct producer *deferred = flusher->deferred;
    flusher->deferred = NULL;
    pthread_mutex_unlock(&flusher->mutex);
    decide_fail_all(deferred, ERR_STOPPED);
    return NULL;
}

/* ---- in the caller's thread ---- */

bool flusher_drive(struct flusher *flusher, int64_t *next_ms)
{
    bool any = false;
    for (;;) {
        pthread_mutex_lock(&flusher->mutex);
        bool due = has_work(flusher, clock_mono_ms(), next_ms);
        pthread_mutex_unlock(&flusher->mutex);
        if (!due)
            return any;
        flusher_turn(flusher);
        any = true;
    }
}

/* A round, or else time goes on until one is due. ETIMEDOUT: until_ns came first. */
static int drive_until(struct flusher *flusher, int64_t until_ns)
{
    int64_t next_ms;
    if (flusher_drive(flusher, &next_ms))
        return 0;
    bool timed_out = ns_of_ms(next_ms) > until_ns || next_ms == INT64_MAX;
    must(!timed_out || until_ns != INT64_MAX); /* nobody is left who could end the wait */
    clock_sleep_until(timed_out ? until_ns : ns_of_ms(next_ms));
    return timed_out ? ETIMEDOUT : 0;
}

int flusher_await(struct flusher *flusher, pthread_cond_t *cond, pthread_mutex_t *mutex,
                  int64_t until_ns)
{
    if (!flusher->driven)
        return clock_cond_wait(cond, mutex, until_ns);
    pthread_mutex_unlock(mutex);
    int code = drive_until(flusher, until_ns);
    pthread_mutex_lock(mutex);
    return code;
}

/* ---- start and stop ---- */

static void init_condition(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

int flusher_init(struct log *log, struct diag *diag)
{
    struct flusher *flusher = &log->flusher;
    flusher->log = log;
    flusher->driven = log->options.driven;
    pthread_mutex_init(&flusher->mutex, NULL);
    init_condition(&flusher->work);
    init_condition(&flusher->progress);
    init_condition(&flusher->handed);
    init_condition(&flusher->settled);
    flusher->pool = sync_pool_create(log);
    return flusher->pool != NULL ? 0 : diag_set(diag, ERR_NOMEM, "no memory to open %s", log->dir);
}

int flusher_start(struct log *log, struct diag *diag)
{
    struct flusher *flusher = &log->flusher;
    flusher->next_record_ms = clock_mono_ms() + RECORD_INTERVAL_MS;
    flusher->started = true;
    if (flusher->driven)
        return 0;
    flusher->started = false;
    TRY(decider_start(flusher, diag));
    if (thread_start(&flusher->thread, flusher_main, flusher) != 0)
        return diag_set(diag, ERR_NOMEM, "cannot start the flusher of %s", log->dir);
    flusher->started = true;
    return 0;
}

int flusher_flush_all(struct log *log, struct diag *diag)
{
    struct round round = {.log = log};
    take_due(&log->flusher, &round, true);
    int rc = flush_targets(&round, diag);
    if (rc == 0)
        publish_flushed(&round);
    for (size_t i = 0; i < round.target_count; i++)
        round.targets[i].partition->in_round = false;
    free(round.targets);
    return rc;
}

void flusher_stop(struct log *log)
{
    struct flusher *flusher = &log->flusher;
    if (flusher->started) {
        pthread_mutex_lock(&flusher->mutex);
        flusher->stopping = true;
        pthread_cond_signal(&flusher->work);
        pthread_mutex_unlock(&flusher->mutex);
        if (flusher->driven)
            flusher_main(flusher);
        else
            pthread_join(flusher->thread, NULL);
    }
    decider_stop(flusher);
    while (flusher->decided != NULL) {
        struct decided *decided = flusher->decided;
        flusher->decided = decided->next;
        free(decided);
    }
    sync_pool_destroy(flusher->pool);
    pthread_mutex_destroy(&flusher->mutex);
    pthread_cond_destroy(&flusher->work);
    pthread_cond_destroy(&flusher->progress);
    pthread_cond_destroy(&flusher->handed);
    pthread_cond_destroy(&flusher->settled);
}
