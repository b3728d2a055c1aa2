/* compact.c: compaction: of a topic with cleanup.policy=compact, the newest record of each key.
 *
 * A pass works on the closed segments of one partition that nothing can change any more: recorded
 * in meta (so flushed), below the last stable offset, older than min.compaction.lag.ms. They have a
 * clean part, which earlier passes went through, and a dirty part behind it (from clean_end on).
 *
 *   1. The dirty part is read, and the newest offset of each of its keys goes into a map of fixed
 *      size (key_map.c). When the map is full the dirty part ends there, even inside a batch; the
 *      rest is the next pass's, which follows at once.
 *   2. Every segment from the first to the end of the dirty part is read again and written anew,
 *      batch by batch, without what no longer counts (clean_batch.c). Neighbours that became small
 *      share one new segment, as long as what they hold fits into segment.bytes for certain.
 *   3. Each new segment takes the place of those it was made from (segment_swap.c) before the next
 *      is begun. So a pass needs room for one segment; and when it is interrupted, what was swapped
 *      stays and is right: it lost only what a newer record replaces, which is still there.
 *   4. clean_end moves, and is recorded.
 *
 * Due is a partition of whose bytes at least min.cleanable.dirty.ratio are dirty; or whose oldest
 * dirty segment is older than max.compaction.lag.ms (the active one is rolled for that; its turn is
 * the pass after); or in which the last delete horizon has passed, so that tombstones go even when
 * nothing is written any more.
 *
 * What meta still asks of the log. A decision is kept until its markers are flushed; as long as it
 * is, recovery looks for the producer's marker at or after the end of its records, and writes one
 * when there is none, which would decide about a later transaction of that producer. So nothing at
 * or above such an end is touched; the last stable offset is read before the decisions, so that a
 * transaction which is decided in between is above the one or among the others. A producer's
 * participants name a lower bound, from which recovery looks for records that no marker follows:
 * they need no protection, since a marker stays as long as anything of its transaction does, and
 * what is undecided lies above the last stable offset.
 *
 * Memory: the map has three quarters of cleaner_memory_bytes, the rest is for a slice to write, the
 * indexes of a segment and one batch as it was read, decoded, and written anew; a batch that is
 * larger than what is left for it takes what it needs. Reading and writing together keep to
 * cleaner_bytes_per_s.
 *
 * Nothing here holds a lock while it works. Purge, deletion and truncation go their way; the swap
 * finds out, and then the pass ends without a word. Only one pass at a time looks at a partition:
 * keeper.c sees to that. */
#include "log/compact_internal.h"
#include "runtime/base/clock.h"
#include "runtime/base/io.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

enum {
    NAP_MS = 20,
    ROLL_LIMIT_MS = 10000,
    ROLL_POLL_MS = 5,
    MEMORY_BYTES = 64 << 20, /* the defaults of the options */
    BYTES_PER_SECOND = 64 << 20,
    MEMORY_LEAST_BYTES = 512
};

struct pass {
    struct partition *partition;
    struct keeper_report *report;
    int64_t now_ms;
    bool forced;
    int64_t bound;             /* nothing at or above is touched */
    struct segment **segments; /* with references */
    int32_t count;
    int64_t clean_bytes, dirty_bytes, dirty_since_ms;
    int64_t tombstones_needed;
    struct meta_cleaned cleaned;
    struct cleaner cleaner;
    struct cleaned_file file;
    int32_t group_first; /* of the segments that go into file */
    int64_t began_ns, moved_bytes;
    bool gave_up; /* the partition changed */
};

/* ---- what there is to do ---- */

static int bound_by_decision(void *context, struct bytes key, struct bytes value, struct diag *diag)
{
    struct pass *pass = context;
    struct meta_place place = partition_place(pass->partition);
    struct meta_decision decision;
    struct meta_decision_part part;
    (void)diag;
    TRY(meta_read_decision(key, value, &decision));
    while (meta_take_decision_part(&decision, &part) == 0)
        if (part.place.partition == place.partition &&
            memcmp(&part.place.topic, &place.topic, sizeof place.topic) == 0 &&
            part.end_offset < pass->bound)
            pass->bound = part.end_offset;
    return 0;
}

/* Whether a segment may be touched; list_mutex held. */
static bool is_cleanable(const struct pass *pass, const struct segment *segment)
{
    int64_t lag = atomic_load(&pass->partition->topic->min_compaction_lag_ms);
    return segment->recorded && segment->end_offset >= 0 && segment->end_offset <= pass->bound &&
           (lag <= 0 || pass->now_ms - segment->last_write_ms >= lag);
}

/* When its first record was written, as far as that is known: before its file was closed, and not
 * before its predecessor was. */
static int64_t written_since(const struct segment *segment, const struct segment *before)
{
    if (segment->created_ms != 0)
        return segment->created_ms;
    return before != NULL ? before->last_write_ms : segment->last_write_ms;
}

static int take_segments(struct pass *pass, struct diag *diag)
{
    struct partition *partition = pass->partition;
    int rc = 0;
    pthread_mutex_lock(&partition->list_mutex);
    pass->segments = malloc(((size_t)partition->segment_count + 1) * sizeof *pass->segments);
    if (pass->segments == NULL)
        rc = diag_set(diag, ERR_NOMEM, "no memory to compact");
    for (int32_t i = 0; rc == 0 && i + 1 < partition->segment_count; i++) {
        struct segment *segment = partition->segments[i];
        int64_t size = atomic_load(&segment->size_bytes);
        if (!is_cleanable(pass, segment))
            break;
        if (segment->end_offset <= pass->cleaned.clean_end) {
            pass->clean_bytes += size;
        } else {
            if (pass->dirty_bytes == 0)
                pass->dirty_since_ms =
                    written_since(segment, i > 0 ? partition->segments[i - 1] : NULL);
            pass->dirty_bytes += size;
        }
        segment->references++;
        pass->segments[pass->count++] = segment;
    }
    pthread_mutex_unlock(&partition->list_mutex);
    return rc;
}

static void drop_segments(struct pass *pass, int32_t kept)
{
    while (pass->count > kept)
        segment_release(pass->segments[--pass->count]);
}

static bool is_due(const struct pass *pass)
{
    const struct topic *topic = pass->partition->topic;
    int64_t horizon = pass->cleaned.last_horizon_ms;
    /* Who asks does not wait for the last of the horizons: others may have passed. */
    bool has_expired = horizon >= 0 && (pass->forced || pass->now_ms >= horizon);
    if (pass->count == 0 || (pass->dirty_bytes == 0 && !has_expired))
        return false;
    if (pass->forced || has_expired)
        return true;
    if (pass->now_ms - pass->dirty_since_ms > atomic_load(&topic->max_compaction_lag_ms))
        return true;
    return (double)pass->dirty_bytes >= atomic_load(&topic->min_cleanable_dirty_ratio) *
                                            (double)(pass->clean_bytes + pass->dirty_bytes);
}

/* Rolls an active segment whose records have waited for too long; it is closed, flushed and
 * recorded when the next pass comes. */
static int roll_old(const struct pass *pass, struct diag *diag)
{
    struct partition *partition = pass->partition;
    int64_t lag = atomic_load(&partition->topic->max_compaction_lag_ms);
    pthread_mutex_lock(&partition->mutex);
    const struct segment *active = partition->active;
    bool is_old = active != NULL && atomic_load(&active->size_bytes) > 0 &&
                  pass->now_ms - active->created_ms > lag;
    pthread_mutex_unlock(&partition->mutex);
    return is_old ? partition_roll(partition, diag) : 0;
}

static bool is_stopping(const struct pass *pass)
{
    return atomic_load(&pass->partition->log->keeper.stopping);
}

/* 1: everything below end is closed, and neither a record of a segment nor a decision is missing or
 * left over in meta. */
static int is_settled(struct pass *pass, int64_t end, struct diag *diag)
{
    struct partition *partition = pass->partition;
    bool recorded = true;
    pthread_mutex_lock(&partition->list_mutex);
    for (int32_t i = 0; i + 1 < partition->segment_count; i++)
        recorded = recorded && partition->segments[i]->recorded;
    pthread_mutex_unlock(&partition->list_mutex);
    if (!recorded)
        return 0;
    pass->bound = end;
    TRY(meta_scan(partition->log->meta, META_DECISIONS, bytes_of(NULL, 0), bound_by_decision, pass,
                  diag));
    return pass->bound == end;
}

static void wait_for_flusher(struct partition *partition)
{
    struct flusher *flusher = &partition->log->flusher;
    int64_t until_ns = clock_mono_ns() + ROLL_POLL_MS * INT64_C(1000000);
    pthread_mutex_lock(&flusher->mutex);
    if (flusher_hurry(partition))
        flusher_wake(flusher, LANE_TAILS);
    partition->waiter_count++;
    flusher_await(flusher, &flusher->progress, &flusher->mutex, until_ns);
    partition->waiter_count--;
    pthread_mutex_unlock(&flusher->mutex);
}

/* What is asked for takes in all that is decided: the active segment is closed, and what the
 * flusher has to do about it waited for. */
static int roll_now(struct pass *pass, struct diag *diag)
{
    struct partition *partition = pass->partition;
    int64_t until_ms = clock_mono_ms() + ROLL_LIMIT_MS, end = partition_stable(partition);
    int rc;
    TRY(partition_roll(partition, diag));
    while ((rc = is_settled(pass, end, diag)) == 0 && clock_mono_ms() < until_ms &&
           !is_stopping(pass)) {
        TRY(partition_writable(partition, diag));
        wait_for_flusher(partition);
    }
    return rc < 0 ? rc : 0; /* what is not settled by now is left for later */
}

/* Segments above the end of a decision that meta still has are left for later. */
static int respect_decisions(struct pass *pass, struct diag *diag)
{
    TRY(meta_scan(pass->partition->log->meta, META_DECISIONS, bytes_of(NULL, 0), bound_by_decision,
                  pass, diag));
    int32_t kept = 0;
    while (kept < pass->count && pass->segments[kept]->end_offset <= pass->bound)
        kept++;
    drop_segments(pass, kept);
    return 0;
}

/* ---- going easy ---- */

static bool has_changed(const struct pass *pass)
{
    const struct partition *partition = pass->partition;
    return atomic_load(&partition->deleted) || atomic_load(&partition->status) != 0 ||
           atomic_load(&partition->start_offset) != pass->cleaner.start_offset;
}

/* Accounts for what was moved and waits until that much may have been. */
static int go_easy(struct pass *pass, int64_t bytes, struct diag *diag)
{
    int64_t rate = pass->partition->log->options.cleaner_bytes_per_s;
    if (rate == 0)
        rate = BYTES_PER_SECOND;
    pass->moved_bytes += bytes;
    for (;;) {
        if (!keeper_goes_on(pass->partition->log))
            return diag_set(diag, ERR_STOPPED, "the log is being closed");
        int64_t spent_ms = (clock_mono_ns() - pass->began_ns) / 1000000;
        int64_t ahead_ms =
            rate < 0 ? 0 : (int64_t)((double)pass->moved_bytes * 1000 / (double)rate) - spent_ms;
        if (ahead_ms <= 0)
            return 0;
        if (ahead_ms > NAP_MS)
            ahead_ms = NAP_MS;
        clock_sleep_until(clock_mono_ns() + ahead_ms * 1000000);
    }
}

/* ---- reading ---- */

typedef int (*batch_fn)(struct pass *pass, const struct batch_header *header, struct bytes batch,
                        struct diag *diag);

/* Whether the batch is what was written there. */
static int check_batch(const struct segment *segment, const struct batch_header *header,
                       struct bytes batch, int64_t next_offset, struct diag *diag)
{
    if (segment->compacted
            ? header->base_offset < next_offset || batch_last_offset(header) >= segment->end_offset
            : header->base_offset != next_offset)
        return diag_set(diag, ERR_CORRUPT, "offset %" PRId64 " where %" PRId64 " was expected",
                        header->base_offset, next_offset);
    return batch_check_crc(batch, diag);
}

/* Calls fn for each batch of a segment. Damage stops the partition. */
static int each_batch(struct pass *pass, struct segment *segment, batch_fn fn, struct diag *diag)
{
    struct segment_scan scan;
    struct batch_header header;
    struct bytes batch;
    struct diag why = {0};
    int64_t position, next_offset = segment->base_offset;
    TRY(cleaner_begin_segment(&pass->cleaner, segment, diag));
    int rc = segment_scan_open(&scan, segment, 0, atomic_load(&segment->size_bytes), true, &why);
    while (rc == 0 && (rc = segment_scan_next(&scan, &header, &batch, &position, &why)) == 1) {
        rc = check_batch(segment, &header, batch, next_offset, &why);
        if (rc == 0)
            rc = fn(pass, &header, batch, &why);
        if (rc < 0)
            scan.position = position; /* which batch it is about */
        next_offset = batch_last_offset(&header) + 1;
        pass->report->bytes_read += (int64_t)batch.size;
        if (rc == 0)
            rc = go_easy(pass, (int64_t)batch.size, &why);
    }
    segment_scan_close(&scan);
    if (rc == ERR_CORRUPT || rc == ERR_RANGE)
        return segment_damaged(segment, scan.position, why.text, diag);
    if (rc < 0 && diag != NULL)
        *diag = why;
    return rc;
}

/* ---- the map ---- */

static int map_batch(struct pass *pass, const struct batch_header *header, struct bytes batch,
                     struct diag *diag)
{
    (void)header;
    return cleaner_map_batch(&pass->cleaner, batch, diag);
}

static int build_map(struct pass *pass, struct diag *diag)
{
    struct cleaner *cleaner = &pass->cleaner;
    int64_t memory = pass->partition->log->options.cleaner_memory_bytes;
    uint64_t key_count = 0;
    if (memory <= 0)
        memory = MEMORY_BYTES;
    if (memory < MEMORY_LEAST_BYTES)
        memory = MEMORY_LEAST_BYTES;
    for (int32_t i = 0; i < pass->count; i++) {
        int64_t from = pass->segments[i]->base_offset;
        from = from > cleaner->clean_end ? from : cleaner->clean_end;
        if (pass->segments[i]->end_offset > from)
            key_count += (uint64_t)(pass->segments[i]->end_offset - from);
    }
    if (key_map_init(&cleaner->map, (size_t)memory / 4 * 3, key_count) < 0)
        return diag_set(diag, ERR_NOMEM, "no memory for the keys of a compaction");
    cleaner->map_end = pass->segments[pass->count - 1]->end_offset;
    int rc = 0; /* 1: full */
    for (int32_t i = 0; rc == 0 && i < pass->count; i++)
        if (pass->segments[i]->end_offset > cleaner->clean_end)
            rc = each_batch(pass, pass->segments[i], map_batch, diag);
    TRY(rc);
    cleaner_end_map(cleaner, (size_t)memory / 32);
    return 0;
}

/* ---- rewriting ---- */

static int filter_batch(struct pass *pass, const struct batch_header *header, struct bytes batch,
                        struct diag *diag)
{
    struct bytes kept;
    struct batch_header kept_header = *header;
    TRY(cleaner_filter_batch(&pass->cleaner, batch, &kept, diag));
    if (kept.size == 0)
        return 0;
    if (kept.data != batch.data)
        TRY(batch_parse_header(kept, &kept_header, diag));
    TRY(cleaned_file_add(&pass->file, &kept_header, kept, diag));
    pass->report->bytes_written += (int64_t)kept.size;
    return go_easy(pass, (int64_t)kept.size, diag);
}

static int compare_ended(const void *a, const void *b)
{
    const struct aborted *left = a, *right = b;
    return (left->last_offset > right->last_offset) - (left->last_offset < right->last_offset);
}

/* The aborted transactions that the group took the last of. */
static int take_ended(struct pass *pass, struct segment_swap *swap)
{
    struct buf *ended = &pass->cleaner.ended;
    if (ended->size == 0)
        return 0;
    swap->ended = malloc(ended->size);
    if (swap->ended == NULL)
        return ERR_NOMEM;
    memcpy(swap->ended, ended->data, ended->size);
    swap->ended_count = ended->size / sizeof *swap->ended;
    qsort(swap->ended, swap->ended_count, sizeof *swap->ended, compare_ended);
    buf_clear(ended);
    return 0;
}

static int make_swap(struct pass *pass, int32_t end, struct segment_swap **result,
                     struct diag *diag)
{
    struct segment_swap *swap = calloc(1, sizeof *swap);
    size_t count = (size_t)(end - pass->group_first);
    struct segment **old = malloc(count * sizeof *old);
    if (swap == NULL || old == NULL || take_ended(pass, swap) < 0) {
        free(old);
        free(swap);
        return diag_set(diag, ERR_NOMEM, "no memory to compact");
    }
    *swap = (struct segment_swap){.partition = pass->partition,
                                  .segment = cleaned_file_take(&pass->file),
                                  .old = old,
                                  .old_count = (int32_t)count,
                                  .ended = swap->ended,
                                  .ended_count = swap->ended_count,
                                  .start_offset = pass->cleaner.start_offset,
                                  .cleaned = pass->cleaned};
    struct segment *segment = swap->segment;
    pthread_mutex_lock(&pass->partition->list_mutex);
    for (size_t i = 0; i < count; i++) {
        old[i] = pass->segments[pass->group_first + (int32_t)i];
        old[i]->references++;
        if (i == 0 || old[i]->last_write_ms > segment->last_write_ms)
            segment->last_write_ms = old[i]->last_write_ms;
    }
    pthread_mutex_unlock(&pass->partition->list_mutex);
    segment->created_ms = old[0]->created_ms;
    segment->end_offset = old[count - 1]->end_offset;
    *result = swap;
    return 0;
}

/* What is to be recorded beside a group: tombstones that it took are forgotten with it. */
static void note_horizons(struct pass *pass)
{
    const struct cleaner *cleaner = &pass->cleaner;
    if (cleaner->tombstone_horizon > pass->cleaned.tombstone_horizon)
        pass->cleaned.tombstone_horizon = cleaner->tombstone_horizon;
    if (cleaner->last_horizon_ms > pass->cleaned.last_horizon_ms)
        pass->cleaned.last_horizon_ms = cleaner->last_horizon_ms;
}

/* The segments from group_first to end become one. */
static int finish_group(struct pass *pass, int32_t end, struct diag *diag)
{
    struct segment_swap *swap = NULL;
    if (!pass->cleaner.changed && end - pass->group_first == 1) {
        cleaned_file_discard(&pass->file); /* it is what is there */
        return 0;
    }
    TRY(cleaned_file_finish(&pass->file, diag));
    crash_point("compact.written");
    note_horizons(pass);
    TRY(make_swap(pass, end, &swap, diag));
    int rc = segment_swap_run(swap, diag);
    TRY(rc);
    pass->gave_up = rc == 0;
    return 0;
}

static bool fits_group(const struct pass *pass, const struct segment *segment)
{
    const struct cleaned_file *file = &pass->file;
    int64_t limit = atomic_load(&pass->partition->topic->segment_bytes);
    return file->written + (int64_t)file->slice.size + atomic_load(&segment->size_bytes) <= limit &&
           segment->end_offset - file->segment->base_offset <= INT32_MAX;
}

static int rewrite(struct pass *pass, struct diag *diag)
{
    int32_t i = 0;
    for (; i < pass->count && pass->segments[i]->base_offset < pass->cleaner.map_end; i++) {
        struct segment *segment = pass->segments[i];
        if (pass->file.segment != NULL && !fits_group(pass, segment)) {
            TRY(finish_group(pass, i, diag));
            if (pass->gave_up)
                return 0;
        }
        if (pass->file.segment == NULL) {
            pass->group_first = i;
            pass->cleaner.changed = false;
            TRY(cleaned_file_open(&pass->file, pass->partition, segment->base_offset, diag));
        }
        TRY(each_batch(pass, segment, filter_batch, diag));
    }
    return pass->file.segment != NULL ? finish_group(pass, i, diag) : 0;
}

/* ---- passes ---- */

static void report_pass(const struct pass *pass)
{
    const struct cleaner *cleaner = &pass->cleaner;
    struct keeper_report *report = pass->report;
    const char *name = pass->partition->topic->name;
    int32_t index = pass->partition->index;
    report->records_kept += cleaner->kept;
    report->records_removed += cleaner->removed;
    report->tombstones_removed += cleaner->tombstones_removed;
    report->markers_removed += cleaner->markers_removed;
    report->keyless_removed += cleaner->keyless_removed;
    log_line('I',
             "%s-%d: compacted up to offset %" PRId64 ": %" PRId64 " records kept, %" PRId64
             " removed, %" PRId64 " tombstones among them",
             name, index, pass->cleaned.clean_end, cleaner->kept, cleaner->removed,
             cleaner->tombstones_removed);
    if (cleaner->keyless_removed > 0)
        log_line('W',
                 "%s-%d: %" PRId64 " records without a key were removed: a compacted topic keeps "
                 "the newest record of each key",
                 name, index, cleaner->keyless_removed);
}

static int clean(struct pass *pass, struct diag *diag)
{
    struct cleaner *cleaner = &pass->cleaner;
    cleaner->now_ms = pass->now_ms;
    cleaner->delete_retention_ms = atomic_load(&pass->partition->topic->delete_retention_ms);
    cleaner->start_offset = atomic_load(&pass->partition->start_offset);
    cleaner->clean_end = pass->cleaned.clean_end;
    cleaner->tombstones_needed = pass->tombstones_needed;
    TRY(build_map(pass, diag));
    TRY(rewrite(pass, diag));
    if (pass->gave_up)
        return 0;
    note_horizons(pass);
    pass->cleaned.last_horizon_ms = cleaner->last_horizon_ms;
    if (cleaner->map_end > pass->cleaned.clean_end)
        pass->cleaned.clean_end = cleaner->map_end;
    pass->cleaned.cleaned_ms = pass->now_ms;
    TRY(segment_swap_end(pass->partition, &pass->cleaned, diag));
    report_pass(pass);
    return 0;
}

/* 1: a pass was made, and left dirty segments because its map was full. */
static int run_pass(struct pass *pass, struct diag *diag)
{
    struct partition *partition = pass->partition;
    pthread_mutex_lock(&partition->purge_mutex);
    int rc = segment_swap_begin(partition, diag);
    bool is_stuck = partition->swap_stuck;
    pass->cleaned = partition->cleaned;
    pass->tombstones_needed = partition->tombstones_needed;
    pthread_mutex_unlock(&partition->purge_mutex);
    if (rc < 0 || is_stuck)
        return rc;
    pass->bound = partition_stable(partition); /* before the decisions: see the essay */
    TRY(take_segments(pass, diag));
    if (!is_due(pass))
        return 0;
    TRY(respect_decisions(pass, diag));
    if (pass->count == 0)
        return 0;
    int64_t end = pass->segments[pass->count - 1]->end_offset;
    cleaner_init(&pass->cleaner, partition);
    rc = clean(pass, diag);
    if (rc < 0 && rc != ERR_STOPPED && has_changed(pass)) {
        rc = 0; /* its files went away under the pass */
        pass->gave_up = true;
    }
    cleaned_file_discard(&pass->file);
    bool has_more = rc == 0 && !pass->gave_up && pass->cleaned.clean_end < end;
    if (rc == 0 && !pass->gave_up)
        pass->report->partitions_compacted += has_more ? 0 : 1;
    cleaner_deinit(&pass->cleaner);
    return rc < 0 ? rc : has_more;
}

int compact_partition(struct partition *partition, int64_t now_ms, bool forced,
                      struct keeper_report *report, struct diag *diag)
{
    int rc = 1;
    bool rolls = forced;
    if (!atomic_load(&partition->topic->compacted))
        return 0;
    while (rc == 1) {
        struct pass pass = {.partition = partition,
                            .report = report,
                            .now_ms = now_ms,
                            .forced = forced,
                            .began_ns = clock_mono_ns()};
        TRY(rolls ? roll_now(&pass, diag) : roll_old(&pass, diag));
        rolls = false;
        rc = run_pass(&pass, diag);
        drop_segments(&pass, 0);
        free(pass.segments);
        forced = forced || rc == 1; /* what was begun is finished, whatever the ratio is now */
    }
    return rc;
}
