/* purge.c: forgetting the beginning of a partition.
 *
 * A purge moves the start offset up and removes the segments that lie wholly below it. Its steps,
 * so that a crash after any of them leaves nothing to wonder about:
 *
 *   1. meta: the new start offset in, the records of the segments and of the aborted ranges below
 *      it out, one transaction. On a full disk the reserve is given back for it (reserve.c): who
 *      wants to make room must not need any.
 *   2. The start offset moves. Nobody begins to read below it any more.
 *   3. Segment by segment, oldest first: off the list, its files renamed to <name>.deleted, then
 *      unlinked. A reader that holds the segment's descriptor reads on; one that has to open the
 *      file finds it gone, looks at the start offset again, and answers ERR_RANGE.
 *
 * The rename comes first because unlinking a large file can take long and can be interrupted
 * between the three files: a name that ends in .deleted says for itself that it is nothing any
 * more. Recovery removes such files, and whole segments below the start that were not renamed yet.
 *
 * The last segment never goes, even when it lies below the start offset: it takes the next append.
 * Whoever wants its space back rolls first (partition_roll_for_removal). Nothing above the last stable offset
 * goes, so a transaction never loses its beginning.
 *
 * With durability=os a purge can be on disk where the records around it are not. When a power cut
 * took so many of those that the partition ends below its start, the start is moved back to the
 * end: what is appended next must not be taken for purged.
 *
 * One purge at a time per partition: purge_mutex, the only lock held over the write to meta. */
#include "log/log_internal.h"
#include "runtime/base/io.h"

#include <inttypes.h>
#include <string.h>

/* What a purge below offset removes, as deletes in batch: records of whole segments and of aborted
 * ranges. */
static void plan_purge(struct partition *partition, int64_t offset, struct meta_batch *batch)
{
    struct meta_place place = partition_place(partition);
    meta_put_start(batch, &place, offset);
    pthread_mutex_lock(&partition->list_mutex);
    for (int32_t i = 0; i < partition->segment_count - 1; i++)
        if (partition->segments[i]->end_offset <= offset)
            meta_delete_segment(batch, &place, partition->segments[i]->base_offset);
    for (size_t i = 0; i < partition->aborted_count; i++)
        if (partition->aborted[i].last_offset < offset)
            meta_delete_aborted(batch, &place, &partition->aborted[i]);
    pthread_mutex_unlock(&partition->list_mutex);
}

/* Takes the first segment off the list when it ends at or below offset; the active one stays. */
static struct segment *detach_first(struct partition *partition, int64_t offset)
{
    struct segment *first = NULL;
    pthread_mutex_lock(&partition->list_mutex);
    if (partition->segment_count > 1 && partition->segments[0]->end_offset <= offset) {
        first = partition->segments[0];
        partition->segment_count--;
        memmove(partition->segments, partition->segments + 1,
                (size_t)partition->segment_count * sizeof first);
        memset(partition->hints, 0, sizeof partition->hints);
    }
    pthread_mutex_unlock(&partition->list_mutex);
    return first;
}

/* A roll after a purge leaves a closed segment below the start offset. */
static bool has_closed_below(struct partition *partition, int64_t offset)
{
    pthread_mutex_lock(&partition->list_mutex);
    bool found = partition->segment_count > 1 && partition->segments[0]->end_offset <= offset;
    pthread_mutex_unlock(&partition->list_mutex);
    return found;
}

static void forget_aborted(struct partition *partition, int64_t offset)
{
    pthread_mutex_lock(&partition->list_mutex);
    size_t n = 0;
    while (n < partition->aborted_count && partition->aborted[n].last_offset < offset)
        n++;
    partition->aborted_count -= n;
    if (n > 0)
        memmove(partition->aborted, partition->aborted + n,
                partition->aborted_count * sizeof *partition->aborted);
    pthread_mutex_unlock(&partition->list_mutex);
}

static void remove_below(struct partition *partition, int64_t offset, struct purged *purged)
{
    struct segment *segment;
    while ((segment = detach_first(partition, offset)) != NULL) {
        struct diag why;
        purged->segments++;
        purged->bytes += atomic_load(&segment->size_bytes);
        /* A file that stays is removed when the log is opened next. */
        if (segment_remove_files(segment, &why) < 0)
            log_line('W', "%s", why.text);
        crash_point("purge.removed");
        segment_release(segment);
    }
    forget_aborted(partition, offset);
}

static int purge_locked(struct partition *partition, int64_t offset, struct purged *purged,
                        struct diag *diag)
{
    struct meta_batch batch;
    int64_t start = atomic_load(&partition->start_offset);
    TRY(partition_readable(partition, diag)); /* deleted while we waited for the mutex */
    TRY(swap_settle(partition, diag));
    if (offset < start)
        offset = start;
    if (offset == start && !has_closed_below(partition, start))
        return 0;
    meta_batch_init(&batch);
    plan_purge(partition, offset, &batch);
    /* What is known of producers comes from batches that go now. A full disk is no reason to keep
     * them. */
    struct diag why = {0};
    if (snapshot_before_purge(partition, offset, &why) < 0)
        log_line('W', "%s", why.text);
    crash_point("purge.begin");
    int rc = log_meta_apply_cleanup(partition->log, &batch, diag);
    meta_batch_deinit(&batch);
    TRY(rc);
    crash_point("purge.recorded");
    atomic_store(&partition->start_offset, offset);
    remove_below(partition, offset, purged);
    return 0;
}

int partition_purge_counted(struct partition *partition, int64_t offset, struct purged *purged,
                            struct diag *diag)
{
    *purged = (struct purged){0};
    TRY(partition_writable(partition, diag));
    int64_t stable = partition_stable(partition);
    if (offset > stable || offset < 0)
        return diag_set(diag, ERR_RANGE,
                        "cannot purge %s-%d below %" PRId64 ": its last stable offset is %" PRId64,
                        partition->topic->name, partition->index, offset, stable);
    pthread_mutex_lock(&partition->purge_mutex);
    int rc = purge_locked(partition, offset, purged, diag);
    pthread_mutex_unlock(&partition->purge_mutex);
    return rc;
}

int partition_purge(struct partition *partition, int64_t offset, struct diag *diag)
{
    struct purged ignored;
    return partition_purge_counted(partition, offset, &ignored, diag);
}

int partition_delete_records(struct partition *partition, int64_t offset, struct diag *diag)
{
    TRY(partition_writable(partition, diag));
    int rc = 0;
    if (offset == atomic_load(&partition->end_offset) && offset <= partition_stable(partition))
        rc = partition_roll_for_removal(partition, diag);
    if (rc < 0 && rc != ERR_FULL) /* without a new file the closed ones can go all the same */
        return rc;
    return partition_purge(partition, offset, diag);
}

void purge_recover(struct partition *partition, struct meta_batch *batch)
{
    int64_t start = atomic_load(&partition->start_offset);
    int64_t end = atomic_load(&partition->end_offset);
    struct meta_place place = partition_place(partition);
    if (start <= end)
        return;
    log_line('W',
             "%s-%d ends at offset %" PRId64 ", below its start offset %" PRId64
             ": what followed was never flushed. It goes on from there",
             partition->topic->name, partition->index, end, start);
    atomic_store(&partition->start_offset, end);
    meta_put_start(batch, &place, end);
}
