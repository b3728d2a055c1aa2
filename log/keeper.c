/* keeper.c: the house-keeper: what a log does for itself, in the background, without being asked.
 *
 * A pass looks at every partition: what expires (producers, groups' offsets) and retention first, since
 * they are quick and make room; then compaction. The first one runs a second (at most the interval) after the log was opened,
 * so that a program that opens a log for a moment pays nothing, then one each keeper_interval_ms,
 * and earlier when somebody wakes the keeper: a disk that is full, an altered configuration,
 * deleted records. Woken passes keep a distance from each other: on a full disk every refused
 * append wakes it.
 *
 * Between passes the thread ticks once a second for what has deadlines of that size; inside them long
 * work does (keeper_goes_on).
 *
 * Passes are exclusive (pass_mutex), whoever runs them: the thread, log_keep_house, topic_clean. So
 * what they call needs no protection against itself. It does need it against everybody else: topics
 * are deleted, appended to, purged, read and grown meanwhile. A pass works on a list of partition
 * handles taken under topics_mutex; handles are valid until the log is closed, and a deleted
 * topic's answer ERR_NOT_FOUND, which is no failure here.
 *
 * Nothing here holds a lock of a partition over a flush or a write to meta but its purge_mutex.
 * Whatever takes long looks at keeper.stopping, so that closing a log does not wait for a
 * compaction.
 *
 * A failure concerns one partition; it is logged, and the pass goes on with the next one. */
#include "log/group.h"
#include "log/log_internal.h"
#include "runtime/base/thread.h"
#include "runtime/base/clock.h"

#include <stdlib.h>
#include <time.h>

enum {
    FIRST_PASS_MS = 1000,
    TICK_MS = 1000,
    WOKEN_DISTANCE_MS = 200, /* between the passes that somebody asked for */
    KEEPER_INTERVAL_MS = 15000
};

int log_partitions(struct log *log, const char *name, struct partition ***partitions, size_t *count,
                   struct diag *diag)
{
    int rc = 0;
    *partitions = NULL;
    *count = 0;
    pthread_mutex_lock(&log->topics_mutex);
    struct topic *only = name != NULL ? topic_find(log, name) : NULL;
    if (name != NULL && only == NULL)
        rc = topic_not_found(log, name, diag);
    size_t total = 1; /* never malloc(0) */
    for (size_t t = 0; t < log->topic_count; t++)
        if (only == NULL || log->topics[t] == only)
            total += (size_t)log->topics[t]->partition_count;
    if (rc == 0 && (*partitions = malloc(total * sizeof **partitions)) == NULL)
        rc = diag_set(diag, ERR_NOMEM, "no memory to list %zu partitions", total - 1);
    for (size_t t = 0; rc == 0 && t < log->topic_count; t++)
        for (int32_t i = 0; i < log->topics[t]->partition_count; i++)
            if (only == NULL || log->topics[t] == only)
                (*partitions)[(*count)++] = log->topics[t]->partitions[i];
    pthread_mutex_unlock(&log->topics_mutex);
    return rc;
}

/* ---- one pass ---- */

struct pass {
    struct log *log;
    int64_t now_ms;
    bool forced; /* compaction that is asked for */
    struct keeper_report *report;
    int failure; /* the first one */
    struct diag *diag;
};

/* One partition's failure: told once here, and the pass goes on. */
static void note_failure(struct pass *pass, const struct partition *partition, int code,
                         const struct diag *why)
{
    if (code >= 0 || atomic_load(&partition->deleted) || code == ERR_STOPPED)
        return;
    log_line('W', "keeping %s-%d in order: %s", partition->topic->name, partition->index,
             why->text);
    if (pass->failure == 0) {
        pass->failure = code;
        if (pass->diag != NULL)
            *pass->diag = *why;
    }
}

static void keep_partition(struct pass *pass, struct partition *partition)
{
    struct diag why = {0};
    if (partition_writable(partition, NULL) < 0)
        return; /* deleted, or stopped: that was said when it happened */
    producer_state_expire(partition, pass->now_ms, pass->log->options.producer_expiry_ms);
    note_failure(pass, partition, snapshot_take(partition, SNAPSHOT_BYTES, &why), &why);
    note_failure(pass, partition, retain_partition(partition, pass->now_ms, pass->report, &why),
                 &why);
}

static void clean_partition(struct pass *pass, struct partition *partition)
{
    struct diag why = {0};
    if (partition_writable(partition, NULL) < 0)
        return;
    note_failure(pass, partition,
                 compact_partition(partition, pass->now_ms, pass->forced, pass->report, &why),
                 &why);
}

/* Failures are told, and keep nothing else from being done. */
static int keep_producers(struct pass *pass)
{
    struct diag why = {0};
    int rc = producers_check_timeouts(pass->log, pass->now_ms, &why);
    if (rc == 0)
        rc = producers_forget_idle(pass->log, pass->now_ms, &why);
    if (rc == 0)
        return 0;
    log_line('W', "keeping producers in order: %s", why.text);
    pass->failure = rc;
    if (pass->diag != NULL)
        *pass->diag = why;
    return log_status(pass->log, NULL);
}

static void keep_groups(struct pass *pass)
{
    struct diag why = {0};
    size_t removed = 0;
    int rc = groups_expire(pass->log, pass->now_ms, &removed, &why);
    pass->report->offsets_expired += (int64_t)removed;
    if (rc == 0)
        return;
    log_line('W', "keeping groups in order: %s", why.text);
    pass->failure = rc;
    if (pass->diag != NULL)
        *pass->diag = why;
}

static int run_pass(struct pass *pass, const char *topic)
{
    struct log *log = pass->log;
    struct partition **partitions;
    struct keeper_report ignored = {0};
    size_t count;
    int64_t began = clock_mono_ns();
    if (pass->report == NULL)
        pass->report = &ignored;
    if (pass->now_ms == 0)
        pass->now_ms = clock_wall_ms();
    int rc = log_status(log, pass->diag);
    if (rc == 0 && topic == NULL)
        rc = keep_producers(pass);
    pthread_mutex_lock(&log->keeper.pass_mutex);
    if (rc == 0)
        rc = log_partitions(log, topic, &partitions, &count, pass->diag);
    if (rc == 0) {
        reserve_take(log);
        for (size_t i = 0; i < count && !atomic_load(&log->keeper.stopping); i++)
            keep_partition(pass, partitions[i]);
        for (size_t i = 0; i < count && !atomic_load(&log->keeper.stopping); i++)
            clean_partition(pass, partitions[i]);
        free(partitions);
        if (topic == NULL && !atomic_load(&log->keeper.stopping))
            keep_groups(pass);
    }
    pthread_mutex_unlock(&log->keeper.pass_mutex);
    pass->report->duration_ns += clock_mono_ns() - began;
    return rc < 0 ? rc : pass->failure;
}

int log_keep_house(struct log *log, int64_t now_ms, struct keeper_report *report, struct diag *diag)
{
    struct pass pass = {.log = log, .now_ms = now_ms, .report = report, .diag = diag};
    return run_pass(&pass, NULL);
}

int topic_clean(struct log *log, const char *name, int64_t now_ms, struct keeper_report *report,
                struct diag *diag)
{
    struct pass pass = {
        .log = log, .now_ms = now_ms, .forced = true, .report = report, .diag = diag};
    return run_pass(&pass, name);
}

/* ---- the thread ---- */

/* What has deadlines of a second; the clock is the wall's. */
static void tick(struct log *log)
{
    struct diag diag;
    if (producers_check_timeouts(log, clock_wall_ms(), &diag) < 0 && log_status(log, NULL) == 0)
        log_line('W', "a transaction's timeout: %s", diag.text);
}

/* Once a second, whoever comes first: the thread between passes, or long work inside one. */
static void tick_when_due(struct keeper *keeper, int64_t now)
{
    int64_t last = atomic_load(&keeper->last_tick_ms);
    if (keeper->log->options.keeper_interval_ms >= 0 && now - last >= TICK_MS &&
        atomic_compare_exchange_strong(&keeper->last_tick_ms, &last, now))
        tick(keeper->log);
}

bool keeper_goes_on(struct log *log)
{
    tick_when_due(&log->keeper, clock_mono_ms());
    return !atomic_load(&log->keeper.stopping);
}

/* Until the next tick, or until somebody wakes it. */
static void wait_for_work(struct keeper *keeper, int64_t until_ms)
{
    int code = 0;
    pthread_mutex_lock(&keeper->mutex);
    while (!keeper->woken && !atomic_load(&keeper->stopping) && code == 0)
        code = clock_cond_wait(&keeper->work, &keeper->mutex, until_ms * 1000000);
    pthread_mutex_unlock(&keeper->mutex);
}

/* Whether a pass is due at now: its time has come, or somebody asked and the last one is old
 * enough. */
static bool take_due_pass(struct keeper *keeper, int64_t now)
{
    pthread_mutex_lock(&keeper->mutex);
    bool due = now >= keeper->next_pass_ms;
    if (keeper->woken) {
        keeper->woken = false;
        if (now - keeper->last_pass_ms >= WOKEN_DISTANCE_MS)
            due = true;
        else if (keeper->next_pass_ms > keeper->last_pass_ms + WOKEN_DISTANCE_MS)
            keeper->next_pass_ms = keeper->last_pass_ms + WOKEN_DISTANCE_MS;
    }
    pthread_mutex_unlock(&keeper->mutex);
    return due;
}

static void start_times(struct keeper *keeper)
{
    int64_t interval = keeper->log->options.keeper_interval_ms, now = clock_mono_ms();
    atomic_store(&keeper->last_tick_ms, now);
    keeper->next_pass_ms = now + (interval < FIRST_PASS_MS ? interval : FIRST_PASS_MS);
    keeper->last_pass_ms = now - WOKEN_DISTANCE_MS;
}

bool keeper_drive(struct keeper *keeper)
{
    int64_t now = clock_mono_ms();
    if (keeper->log->options.keeper_interval_ms < 0)
        return false;
    tick_when_due(keeper, now);
    if (atomic_load(&keeper->stopping) || !take_due_pass(keeper, now))
        return false;
    (void)log_keep_house(keeper->log, 0, NULL, NULL); /* failures were logged */
    keeper->last_pass_ms = clock_mono_ms();
    keeper->next_pass_ms = keeper->last_pass_ms + keeper->log->options.keeper_interval_ms;
    return true;
}

static void *keeper_main(void *context)
{
    struct keeper *keeper = context;
    while (!atomic_load(&keeper->stopping)) {
        int64_t next_tick = atomic_load(&keeper->last_tick_ms) + TICK_MS;
        wait_for_work(keeper, next_tick < keeper->next_pass_ms ? next_tick : keeper->next_pass_ms);
        (void)keeper_drive(keeper);
    }
    return NULL;
}

void keeper_wake(struct log *log)
{
    struct keeper *keeper = &log->keeper;
    pthread_mutex_lock(&keeper->mutex);
    keeper->woken = true;
    pthread_cond_signal(&keeper->work);
    pthread_mutex_unlock(&keeper->mutex);
}

/* ---- start and stop ---- */

void keeper_init(struct log *log)
{
    struct keeper *keeper = &log->keeper;
    keeper->log = log;
    if (log->options.keeper_interval_ms == 0)
        log->options.keeper_interval_ms = KEEPER_INTERVAL_MS;
    pthread_mutex_init(&keeper->pass_mutex, NULL);
    pthread_mutex_init(&keeper->mutex, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&keeper->work, &attributes);
    pthread_condattr_destroy(&attributes);
}

int keeper_start(struct log *log, struct diag *diag)
{
    struct keeper *keeper = &log->keeper;
    if (log->options.keeper_interval_ms < 0)
        return 0;
    start_times(keeper);
    if (log->options.driven)
        return 0;
    if (thread_start(&keeper->thread, keeper_main, keeper) != 0)
        return diag_set(diag, ERR_NOMEM, "cannot start the keeper of %s", log->dir);
    keeper->started = true;
    return 0;
}

void keeper_stop(struct log *log)
{
    struct keeper *keeper = &log->keeper;
    pthread_mutex_lock(&keeper->mutex);
    atomic_store(&keeper->stopping, true);
    pthread_cond_signal(&keeper->work);
    pthread_mutex_unlock(&keeper->mutex);
    if (keeper->started)
        pthread_join(keeper->thread, NULL);
    keeper->started = false;
}

void keeper_deinit(struct log *log)
{
    pthread_mutex_destroy(&log->keeper.pass_mutex);
    pthread_mutex_destroy(&log->keeper.mutex);
    pthread_cond_destroy(&log->keeper.work);
}
