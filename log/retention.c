/* retention.c: records grow old, and go.
 *
 * What goes is whole segments from the partition's beginning, by Kafka's two rules, of topics whose
 * cleanup.policy has delete:
 *
 *   retention.ms      a segment goes when it was last written to longer ago than that;
 *   retention.bytes   the oldest goes as long as what remains has at least so many bytes.
 *
 * The age of a segment is that of its last write, by the clock of the machine that wrote it, as
 * meta has it (closed segments) or the file's modification time (the last one, after a restart).
 * Timestamps of records play no part, and neither do time indexes: a replay of last year's events
 * is not deleted the moment it is written, an event from the year 3000 keeps nothing alive, and a
 * damaged time index deletes nothing. That is where weir differs from Kafka; docs/guide.md says so.
 *
 * Two limits: nothing at or above the last stable offset goes, so a transaction that is undecided,
 * or not durable yet, keeps its records and all after them; and the active segment never goes. When
 * it is its turn it is closed first, an empty one takes its place, that one's directory entry is
 * made durable (otherwise a power cut could leave a partition with a flushed end and no file at
 * all), and then it is a closed segment like any other.
 *
 * The removal itself is a purge: start offset in meta first, then the files (purge.c). */
#include "log/log_internal.h"
#include "runtime/base/io.h"

#include <inttypes.h>

struct plan {
    int64_t now_ms, retention_ms, retention_bytes;
    int64_t stable;
    int64_t total_bytes;  /* that would remain */
    int64_t start_offset; /* what is below may go */
    bool takes_active;
    const char *reason;
};

/* Which key says that a segment goes; NULL: it stays. */
static const char *reason_to_go(const struct plan *plan, const struct segment *segment)
{
    int64_t size = atomic_load(&segment->size_bytes);
    int64_t age_ms = plan->now_ms - segment->last_write_ms; /* negative after the clock went back */
    if (plan->retention_ms >= 0 && age_ms > plan->retention_ms)
        return "retention.ms";
    if (plan->retention_bytes >= 0 && plan->total_bytes - size >= plan->retention_bytes)
        return "retention.bytes";
    return NULL;
}

/* From the oldest on, up to the first that stays. */
static void plan_retention(struct partition *partition, struct plan *plan)
{
    pthread_mutex_lock(&partition->mutex); /* for last_write_ms of the active one, and its end */
    pthread_mutex_lock(&partition->list_mutex);
    plan->total_bytes = 0;
    for (int32_t i = 0; i < partition->segment_count; i++)
        plan->total_bytes += atomic_load(&partition->segments[i]->size_bytes);
    for (int32_t i = 0; i < partition->segment_count; i++) {
        const struct segment *segment = partition->segments[i];
        bool active = segment == partition->active;
        int64_t size = atomic_load(&segment->size_bytes);
        int64_t end = active ? atomic_load(&partition->end_offset) : segment->end_offset;
        const char *reason = reason_to_go(plan, segment);
        if (reason == NULL || end > plan->stable || (active && size == 0))
            break;
        plan->reason = reason;
        plan->takes_active = active;
        plan->start_offset = end;
        plan->total_bytes -= size;
    }
    pthread_mutex_unlock(&partition->list_mutex);
    pthread_mutex_unlock(&partition->mutex);
}

int partition_roll_for_removal(struct partition *partition, struct diag *diag)
{
    char directory[LOG_PATH_BYTES];
    int rc = partition_roll(partition, diag);
    if (rc == ERR_FULL && reserve_release(partition->log))
        rc = partition_roll(partition, diag);
    TRY(rc);
    crash_point("retention.rolled");
    partition_directory(partition, directory);
    rc = log_flush_directory(partition->log, directory, diag);
    if (rc < 0 && !atomic_load(&partition->deleted))
        return log_stop(partition->log, rc, diag);
    return rc;
}

int retain_partition(struct partition *partition, int64_t now_ms, struct keeper_report *report,
                     struct diag *diag)
{
    const struct topic *topic = partition->topic;
    struct purged purged;
    struct plan plan = {.now_ms = now_ms,
                        .retention_ms = atomic_load(&topic->retention_ms),
                        .retention_bytes = atomic_load(&topic->retention_bytes),
                        .stable = partition_stable(partition),
                        .start_offset = -1};
    if (!atomic_load(&topic->deletes) || (plan.retention_ms < 0 && plan.retention_bytes < 0))
        return 0;
    plan_retention(partition, &plan);
    if (plan.start_offset < 0)
        return 0;
    /* Without a new file the closed ones can go all the same. */
    int rc = plan.takes_active ? partition_roll_for_removal(partition, diag) : 0;
    if (rc < 0 && rc != ERR_FULL)
        return rc;
    rc = partition_purge_counted(partition, plan.start_offset, &purged, diag);
    report->segments_deleted += purged.segments;
    report->bytes_deleted += purged.bytes;
    if (purged.segments > 0)
        log_line('I',
                 "%s-%d: %d segments of %" PRId64 " bytes below offset %" PRId64 " deleted: %s",
                 topic->name, partition->index, purged.segments, purged.bytes, plan.start_offset,
                 plan.reason);
    return rc;
}
