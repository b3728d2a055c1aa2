/* flusher.c: the background threads that make records durable: group commit.
 *
 * They work in rounds. A round begins when somebody waits (partition_wait, a transaction), or when
 * an unflushed tail has reached its age (flush_interval_ms), and does, in this order:
 *
 *   1. take what waits; decide_prepare: abort markers are appended, room for commit markers is reserved;
 *   2. note, per partition, where it ends now; flush its files, and its directory when a file was
 * made, all in parallel (flush_plan.c);
 *   3. move the flushed ends; wake waiters and watchers;
 *   4. hand the round to the decider (decider.c) when it holds transactions, or when flushed ends or closed segments are to be
 * recorded in meta.
 *
 * While a round waits for the disk the next one collects: that is all there is to group commit. And while the
 * decider waits for meta, which takes two flushes one after the other, the next round's records are flushed: a producer
 * waits for no decision but its own. At most ROUND_COUNT rounds wait to be decided.
 *
 * Two lanes, a thread each, run their rounds side by side: one takes tails (records that are awaited, or old), the other
 * transactions. So whoever sends rows waits for no commit of those who read them, nor they for it. What keeps the two apart:
 *
 *   - A partition is in one round at a time (partition.in_round): its files are never flushed twice at once, of which only
 * one would be told of a failure (P9), and its flushed end moves in order.
 *   - A transaction is taken when all its partitions are free, else none of them is. The tails leave alone what it waits
 * for (partition.wanted), so that an endless row of appends cannot keep it out. The other way about nothing is needed: a
 * transaction's round flushes whatever its partitions hold, others' records as well.
 *   - Whoever ends a round looks what the other lane waits for.
 *
 * A thread is woken only for what it would not see in time by itself (lane.wakes_at_ms), and after the mutex was let go:
 * it runs at once, and would wait for it. After a round it looks again within flush_interval_ms, so that in a steady
 * stream an append that nobody awaits wakes nobody.
 *
 * A failed flush, or a write to meta whose outcome is not known, stops the writer for good (P9). A
 * disk that is full fails what waits, and nothing else.
 *
 * A driven log (log_options.driven) has none of these threads: rounds are run by whoever waits (flusher_await) and by
 * log_drive, in the one thread that uses the log, each takes all kinds of work, and each is decided before the next one. The order is the same, so that what a crash
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

enum { RECORD_INTERVAL_MS = 1000, RETRY_INTERVAL_MS = 100, LAST_ROUNDS = 4 };

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

/* Whether the thread of the lane sleeps beyond due_ms; mutex held. */
static bool must_wake(const struct lane *lane, int64_t due_ms)
{
    return due_ms < lane->wakes_at_ms;
}

static int64_t flush_age_ms(const struct log *log)
{
    return log->options.flush_interval_ms;
}

void flusher_mark_dirty(struct partition *partition)
{
    struct flusher *flusher = &partition->log->flusher;
    struct lane *tails = &flusher->lanes[LANE_TAILS];
    bool awaited = false, wake = false;
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
        wake = must_wake(tails, partition->dirty_since_ms + flush_age_ms(flusher->log));
    }
    pthread_mutex_unlock(&flusher->mutex);
    if (awaited)
        pthread_cond_broadcast(&flusher->progress);
    if (wake)
        pthread_cond_signal(&tails->work);
}

bool flusher_hurry(struct partition *partition)
{
    if (!atomic_load(&partition->dirty) || partition->urgent)
        return false;
    partition->urgent = true;
    if (partition->in_round != NULL || partition->wanted)
        return false; /* its round's end tells of it */
    partition->log->flusher.urgent = true;
    return true;
}

void flusher_wake(struct flusher *flusher, enum lane_kind kind)
{
    pthread_cond_signal(&flusher->lanes[kind].work);
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
    flusher->requests_wait = false;
    pthread_mutex_unlock(&flusher->mutex);
    flusher_wake(flusher, LANE_COMMITS);
}

/* ---- collecting a round ---- */

bool round_has_target(struct round *round, struct partition *partition, bool sync)
{
    if (partition->in_round != round)
        return false;
    for (size_t i = 0; sync && i < round->target_count; i++)
        if (round->targets[i].partition == partition)
            round->targets[i].sync = true;
    return true;
}

/* Of a partition that is free, or the round's; flusher->mutex held. */
static int add_target(struct round *round, struct partition *partition, bool sync)
{
    if (round_has_target(round, partition, sync))
        return 0;
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
    partition->in_round = round;
    return 0;
}

static bool is_free(const struct partition *partition)
{
    return partition->in_round == NULL && !partition->wanted;
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
        if (is_free(p) && add_target(round, p, true) == 0)
            unlink_dirty(flusher, p); /* on lack of memory it stays for the next round */
    }
    flusher->urgent = false;
}

static bool claims_nothing(const struct producer *producer, uint32_t i)
{
    return producer->decided || producer->participants[i].first_offset < 0;
}

/* The partitions of a transaction become targets, all or none; flusher->mutex held. What lack of memory keeps out is found missing by
 * decide_prepare. */
static bool claim(struct flusher *flusher, struct round *round, struct producer *producer)
{
    bool free = true;
    for (uint32_t i = 0; i < producer->participant_count; i++) {
        struct partition *p = producer->participants[i].partition;
        if (claims_nothing(producer, i) || p->in_round == NULL || p->in_round == round)
            continue;
        p->wanted = true;
        free = false;
    }
    for (uint32_t i = 0; free && i < producer->participant_count; i++) {
        struct partition *p = producer->participants[i].partition;
        bool sync = decide_wants_sync(producer);
        if (claims_nothing(producer, i))
            continue;
        p->wanted = false;
        if (add_target(round, p, sync) == 0 && sync && atomic_load(&p->dirty))
            unlink_dirty(flusher, p);
    }
    return free;
}

/* Transactions whose partitions are free; flusher->mutex held. */
static void take_requests(struct flusher *flusher, struct round *round)
{
    struct producer **link = &flusher->requests, **last = &round->requests;
    flusher->last_request = NULL;
    while (*link != NULL) {
        struct producer *producer = *link;
        if (!claim(flusher, round, producer)) {
            flusher->last_request = producer;
            link = &producer->next_request;
            continue;
        }
        *link = producer->next_request;
        producer->next_request = NULL;
        *last = producer;
        last = &producer->next_request;
    }
    flusher->requests_wait = flusher->requests != NULL;
}

/* What could not be finished is tried again, ahead of the others. */
static void take_deferred(struct flusher *flusher, int64_t now)
{
    if (flusher->deferred == NULL || now < flusher->next_retry_ms)
        return;
    struct producer *last = flusher->deferred;
    while (last->next_request != NULL)
        last = last->next_request;
    last->next_request = flusher->requests;
    if (flusher->requests == NULL)
        flusher->last_request = last;
    flusher->requests = flusher->deferred;
    flusher->deferred = NULL;
    flusher->requests_wait = false;
    flusher->next_retry_ms = now + RETRY_INTERVAL_MS;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t tails_due_ms(const struct flusher *flusher)
{
    int64_t due = INT64_MAX;
    const struct partition *first = flusher->dirty;
    while (first != NULL && !is_free(first))
        first = first->next_dirty;
    if (first != NULL)
        due = first->dirty_since_ms + flush_age_ms(flusher->log);
    if (flusher->unrecorded != NULL || flusher->decided != NULL)
        due = earlier(due, flusher->next_record_ms);
    return flusher->stopping || flusher->urgent ? INT64_MIN : due;
}

static int64_t commits_due_ms(const struct flusher *flusher)
{
    if (flusher->commits_stopping || (flusher->requests != NULL && !flusher->requests_wait))
        return INT64_MIN;
    return flusher->deferred != NULL ? flusher->next_retry_ms : INT64_MAX;
}

/* When the lane has something to do, as far as is known now. */
static int64_t due_ms(const struct lane *lane)
{
    int64_t due = INT64_MAX;
    if (lane->takes_tails)
        due = tails_due_ms(lane->flusher);
    return lane->takes_commits ? earlier(due, commits_due_ms(lane->flusher)) : due;
}

static int64_t ns_of_ms(int64_t ms)
{
    return ms > INT64_MAX / 1000000 ? INT64_MAX : ms * 1000000;
}

/* Until something is due; mutex held. */
static void await_work(struct lane *lane)
{
    struct flusher *flusher = lane->flusher;
    int64_t due, now;
    while ((due = due_ms(lane)) > (now = clock_mono_ms())) {
        int64_t until = lane->was_busy ? earlier(due, now + flush_age_ms(flusher->log)) : due;
        lane->wakes_at_ms = until;
        bool timed_out = clock_cond_wait(&lane->work, &flusher->mutex, ns_of_ms(until)) != 0;
        lane->wakes_at_ms = INT64_MIN;
        lane->was_busy = lane->was_busy && !timed_out;
    }
}

/* Blocks until there is something to do (a driven log's never does: the round may be empty) and takes
 * it. False: stop after this round. */
static bool next_round(struct lane *lane, struct round *round)
{
    struct flusher *flusher = lane->flusher;
    *round = (struct round){.log = flusher->log, .pool = lane->pool};
    pthread_mutex_lock(&flusher->mutex);
    if (!flusher->driven)
        await_work(lane);
    int64_t now = clock_mono_ms();
    if (lane->takes_tails) {
        take_due(flusher, round, flusher->stopping);
        round->record_all = flusher->stopping || now >= flusher->next_record_ms;
        if (round->record_all)
            flusher->next_record_ms = now + RECORD_INTERVAL_MS;
    }
    if (lane->takes_commits) {
        take_deferred(flusher, now);
        take_requests(flusher, round);
    }
    bool stopping = flusher->stopping || (!lane->takes_tails && flusher->commits_stopping);
    lane->was_busy = round->target_count > 0 && !stopping;
    pthread_mutex_unlock(&flusher->mutex);
    return !stopping;
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
    pthread_mutex_unlock(&flusher->mutex);
    flusher_wake(flusher, LANE_TAILS); /* for the time it is due */
}

/* Whether readers of committed records find more than before, where the flushed end was. A marker in front of an open
 * transaction is nothing to look for: the decision will wake them. */
static bool shows_more(struct partition *partition, int64_t before)
{
    int64_t stable = partition_stable(partition);
    bool is_marker = stable == before + 1 && atomic_load(&partition->last_marker) == before;
    return stable > before && !(is_marker && atomic_load(&partition->first_undecided) == stable);
}

/* The round's files are durable. True: somebody waits for one of its partitions. */
static bool move_flushed_ends(struct flusher *flusher, struct round *round)
{
    bool awaited = false;
    for (size_t i = 0; i < round->target_count; i++) {
        struct flush_target *target = &round->targets[i];
        struct partition *partition = target->partition;
        if (!target->sync)
            continue;
        int64_t before = atomic_load(&partition->flushed_end);
        if (memcmp(&partition->flushed, &target->flushed, sizeof target->flushed) != 0)
            note_unrecorded(flusher, partition);
        partition->flushed = target->flushed;
        atomic_store(&partition->flushed_end, target->flushed.flushed_end);
        target->moved = target->flushed.flushed_end > before;
        target->stable_moved = target->moved && shows_more(partition, before);
        awaited |= partition->waiter_count > 0;
    }
    return awaited;
}

/* The round's partitions are free for the next one. *tails, *commits: that lane has to look now. */
static void release_targets(struct flusher *flusher, const struct round *round, bool *tails,
                            bool *commits)
{
    for (size_t i = 0; i < round->target_count; i++) {
        struct partition *partition = round->targets[i].partition;
        partition->in_round = NULL;
        flusher->urgent |= partition->urgent;
    }
    *commits = round->target_count > 0 && flusher->requests_wait;
    flusher->requests_wait = flusher->requests_wait && !*commits;
    *tails = must_wake(&flusher->lanes[LANE_TAILS], tails_due_ms(flusher));
}

/* After the flush; code: how it went. */
static void end_round(struct round *round, int code)
{
    struct flusher *flusher = &round->log->flusher;
    bool tails, commits, awaited = true;
    pthread_mutex_lock(&flusher->mutex);
    if (code == 0)
        awaited = move_flushed_ends(flusher, round);
    release_targets(flusher, round, &tails, &commits);
    pthread_mutex_unlock(&flusher->mutex);
    if (awaited)
        pthread_cond_broadcast(&flusher->progress);
    if (commits)
        flusher_wake(flusher, LANE_COMMITS);
    if (tails)
        flusher_wake(flusher, LANE_TAILS);
    for (size_t i = 0; code == 0 && i < round->target_count; i++)
        if (round->targets[i].moved)
            partition_notify(round->targets[i].partition, round->targets[i].stable_moved);
}

/* ---- the round ---- */

/* True: it holds something for the decider. */
static bool run_round(struct round *round)
{
    struct diag diag = {0};
    int rc = log_status(round->log, &diag);
    if (rc == 0) {
        decide_prepare(round);
        rc = round_flush(round, &diag);
        if (rc == ERR_NOMEM)
            log_line('E', "cannot flush: %s", diag.text);
        if (rc < 0) {
            log_stop(round->log, rc, &diag);
            survivors_doubt(round->log);
        }
    }
    end_round(round, rc);
    if (rc < 0)
        decide_fail_all(round->requests, rc);
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
static bool lane_turn(struct lane *lane)
{
    struct round round;
    bool running = next_round(lane, &round);
    decider_take(lane->flusher, &round, run_round(&round));
    return running;
}

/* The commits' thread: until it is to stop. What is left then, and what becomes of it, is for the tails' last rounds. */
static void *commits_main(void *context)
{
    while (lane_turn(context))
        ;
    return NULL;
}

static void *tails_main(void *context)
{
    struct lane *lane = context;
    struct flusher *flusher = lane->flusher;
    while (lane_turn(lane))
        ;
    /* The last rounds flush the markers that the one before wrote, and then remove the decisions.
     * Their number is bounded, so that a full disk cannot keep a log from closing. */
    decider_await(flusher);
    for (int rounds = 1; rounds < LAST_ROUNDS && more_work(flusher); rounds++) {
        lane_turn(lane);
        decider_await(flusher);
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
    struct lane *lane = &flusher->lanes[LANE_TAILS];
    bool any = false;
    for (;;) {
        pthread_mutex_lock(&flusher->mutex);
        *next_ms = due_ms(lane);
        pthread_mutex_unlock(&flusher->mutex);
        if (*next_ms > clock_mono_ms())
            return any;
        lane_turn(lane);
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

static bool lane_init(struct flusher *flusher, enum lane_kind kind)
{
    struct lane *lane = &flusher->lanes[kind];
    lane->flusher = flusher;
    lane->wakes_at_ms = INT64_MIN;
    lane->takes_tails = kind == LANE_TAILS;
    lane->takes_commits = kind == LANE_COMMITS || flusher->driven;
    init_condition(&lane->work);
    lane->pool = sync_pool_create(flusher->log);
    return lane->pool != NULL;
}

int flusher_init(struct log *log, struct diag *diag)
{
    struct flusher *flusher = &log->flusher;
    flusher->log = log;
    flusher->driven = log->options.driven;
    pthread_mutex_init(&flusher->mutex, NULL);
    init_condition(&flusher->progress);
    init_condition(&flusher->handed);
    init_condition(&flusher->settled);
    bool ok = lane_init(flusher, LANE_TAILS);
    ok &= lane_init(flusher, LANE_COMMITS);
    return ok ? 0 : diag_set(diag, ERR_NOMEM, "no memory to open %s", log->dir);
}

static int lane_start(struct lane *lane, void *(*run)(void *), struct diag *diag)
{
    if (thread_start(&lane->thread, run, lane) != 0)
        return diag_set(diag, ERR_NOMEM, "cannot start a flusher of %s", lane->flusher->log->dir);
    lane->started = true;
    return 0;
}

int flusher_start(struct log *log, struct diag *diag)
{
    struct flusher *flusher = &log->flusher;
    flusher->next_record_ms = clock_mono_ms() + RECORD_INTERVAL_MS;
    flusher->started = true;
    if (flusher->driven)
        return 0;
    TRY(decider_start(flusher, diag));
    TRY(lane_start(&flusher->lanes[LANE_TAILS], tails_main, diag));
    return lane_start(&flusher->lanes[LANE_COMMITS], commits_main, diag);
}

int flusher_flush_all(struct log *log, struct diag *diag)
{
    struct flusher *flusher = &log->flusher;
    struct round round = {.log = log, .pool = flusher->lanes[LANE_TAILS].pool};
    pthread_mutex_lock(&flusher->mutex);
    take_due(flusher, &round, true);
    pthread_mutex_unlock(&flusher->mutex);
    int rc = round_flush(&round, diag);
    end_round(&round, rc);
    free(round.targets);
    return rc;
}

/* The commits' thread ends first, so that what it leaves has somebody to take it. */
static void stop_lanes(struct flusher *flusher)
{
    struct lane *tails = &flusher->lanes[LANE_TAILS], *commits = &flusher->lanes[LANE_COMMITS];
    pthread_mutex_lock(&flusher->mutex);
    flusher->commits_stopping = true;
    pthread_mutex_unlock(&flusher->mutex);
    pthread_cond_signal(&commits->work);
    if (commits->started)
        pthread_join(commits->thread, NULL);
    pthread_mutex_lock(&flusher->mutex);
    tails->takes_commits = true;
    flusher->requests_wait = false;
    flusher->stopping = true;
    pthread_mutex_unlock(&flusher->mutex);
    pthread_cond_signal(&tails->work);
    if (tails->started)
        pthread_join(tails->thread, NULL);
    else if (flusher->driven && flusher->started)
        tails_main(tails);
}

void flusher_stop(struct log *log)
{
    struct flusher *flusher = &log->flusher;
    if (flusher->started)
        stop_lanes(flusher);
    decider_stop(flusher);
    while (flusher->decided != NULL) {
        struct decided *decided = flusher->decided;
        flusher->decided = decided->next;
        free(decided);
    }
    for (int i = 0; i < LANE_COUNT; i++) {
        sync_pool_destroy(flusher->lanes[i].pool);
        pthread_cond_destroy(&flusher->lanes[i].work);
    }
    pthread_mutex_destroy(&flusher->mutex);
    pthread_cond_destroy(&flusher->progress);
    pthread_cond_destroy(&flusher->handed);
    pthread_cond_destroy(&flusher->settled);
}
