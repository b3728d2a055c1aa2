/* flush_plan.c: the flush of one round: which files hold what its partitions have more than is durable, and the flush of
 * all of them at once.
 *
 * Per partition it is noted where it ends now; what is appended later is another round's. Its files are the segments from
 * the last one back to the first that meta has a record of, as far as they have grown since their last flush, and its directory
 * when a file was made. They are pinned and referenced over the flush, so that neither the cache of descriptors nor a
 * purge closes them.
 *
 * A partition is in one round at a time (flusher.c), hence so is each of these files: of two flushes of one file at the same
 * time only one is told of a failure (P9). */
#include "log/log_internal.h"
#include "runtime/base/clock.h"
#include "runtime/base/io.h"

#include <stdlib.h>
#include <string.h>

enum { PLAN_PATIENCE_MS = 30000, PLAN_RETRY_NS = 10000000 };

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

int round_flush(struct round *round, struct diag *diag)
{
    struct flush_plan plan = {0};
    int rc = plan_targets(&plan, round, diag);
    crash_point("flush.before");
    if (rc == 0 && plan.count > 0)
        rc = forgive_deleted(&plan, sync_pool_run(round->pool, plan.jobs, plan.count, diag), diag);
    plan_release(&plan, rc == 0);
    crash_point("flush.done");
    return rc;
}
