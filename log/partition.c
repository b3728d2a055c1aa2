/* partition.c: one partition: appending, its offsets, waiting, watching.
 *
 * A partition is a list of segments, the last of which takes appends, and four offsets that any
 * thread reads without a lock: start, end, flushed end, and the first offset of the earliest
 * undecided transaction. From them:
 *
 *   high watermark      = flushed end (durability=commit) or end (durability=os)
 *   last stable offset  = min(high watermark, first undecided)
 *
 * Order makes this safe. An append that opens a transaction stores first_undecided before it stores
 * the end; a reader loads the high watermark before first_undecided. So a reader that sees the
 * record also sees that it is undecided. An abort puts its range into the aborted list before it
 * moves first_undecided; a reader takes the list afterwards.
 *
 * Appends are serialised by partition.mutex and do one pwrite each. The segment list has its own
 * mutex, held for a few instructions, so that a reader never waits behind a write. Segments are
 * counted: a reader's segment is closed and freed after the reader is done with it.
 *
 * A partition whose bytes turn out to be damaged is stopped: it answers the reason, with file and
 * position, to everything, and the rest of the log goes on (P9). */
#include "log/log_internal.h"
#include "runtime/base/clock.h"
#include "runtime/base/io.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct meta_place partition_place(const struct partition *partition)
{
    return (struct meta_place){partition->topic->id, partition->index};
}

void partition_directory(const struct partition *partition, char path[LOG_PATH_BYTES])
{
    int length = snprintf(path, LOG_PATH_BYTES, "%s/topics/%s-%d", partition->log->dir,
                          partition->topic->name, partition->index);
    /* log_open refuses directories that leave no room for the names below. */
    must(length > 0 && length < LOG_PATH_BYTES - 64);
}

struct partition *partition_new(struct topic *topic, int32_t index)
{
    struct partition *partition = calloc(1, sizeof *partition);
    if (partition == NULL)
        return NULL;
    partition->log = topic->log;
    partition->topic = topic;
    partition->index = index;
    partition->flushed.segment_base = -1;
    partition->tombstones_needed = INT64_MAX;
    partition->cleaned.last_horizon_ms = -1;
    atomic_store(&partition->first_undecided, NO_OFFSET);
    atomic_store(&partition->last_marker, -1);
    pthread_mutex_init(&partition->purge_mutex, NULL);
    pthread_mutex_init(&partition->mutex, NULL);
    pthread_mutex_init(&partition->snapshot_mutex, NULL);
    pthread_mutex_init(&partition->list_mutex, NULL);
    pthread_mutex_init(&partition->watch_mutex, NULL);
    pthread_cond_init(&partition->watch_quiet, NULL);
    return partition;
}

void partition_free(struct partition *partition)
{
    if (partition == NULL)
        return;
    swap_forget(partition);
    for (int32_t i = 0; i < partition->segment_count; i++)
        segment_free(partition->segments[i]);
    free(partition->segments);
    free(partition->open_txns);
    producer_table_deinit(&partition->producers);
    free(partition->snapshots);
    free(partition->aborted);
    free(partition->watchers);
    pthread_mutex_destroy(&partition->purge_mutex);
    pthread_mutex_destroy(&partition->mutex);
    pthread_mutex_destroy(&partition->snapshot_mutex);
    pthread_mutex_destroy(&partition->list_mutex);
    pthread_mutex_destroy(&partition->watch_mutex);
    pthread_cond_destroy(&partition->watch_quiet);
    free(partition);
}

int partition_get(struct log *log, const char *name, int32_t index, struct partition **partition,
                  struct diag *diag)
{
    int rc = 0;
    *partition = NULL;
    pthread_mutex_lock(&log->topics_mutex);
    struct topic *topic = topic_find(log, name);
    if (topic == NULL)
        rc = topic_not_found(log, name, diag);
    else if (index < 0 || index >= topic->partition_count)
        rc = diag_set(diag, ERR_NOT_FOUND, "topic %s has partitions 0 to %d, not %d", name,
                      topic->partition_count - 1, index);
    else
        *partition = topic->partitions[index];
    pthread_mutex_unlock(&log->topics_mutex);
    return rc;
}

/* ---- state ---- */

int64_t partition_tombstone_horizon(struct partition *partition)
{
    return atomic_load(&partition->tombstone_horizon);
}

int64_t partition_compacted_to(struct partition *partition)
{
    int64_t offset = 0;
    pthread_mutex_lock(&partition->list_mutex);
    for (int32_t i = 0; i < partition->segment_count; i++) {
        const struct segment *segment = partition->segments[i];
        if (segment->compacted && segment->end_offset > offset)
            offset = segment->end_offset;
    }
    pthread_mutex_unlock(&partition->list_mutex);
    return offset;
}

void partition_keep_tombstones(struct partition *partition, int64_t from_offset)
{
    pthread_mutex_lock(&partition->purge_mutex);
    partition->tombstones_needed = from_offset;
    pthread_mutex_unlock(&partition->purge_mutex);
}

int64_t partition_high_watermark(struct partition *partition)
{
    return partition->log->options.durability == DURABILITY_OS
               ? atomic_load(&partition->end_offset)
               : atomic_load(&partition->flushed_end);
}

int64_t partition_stable(struct partition *partition)
{
    int64_t high_watermark = partition_high_watermark(partition); /* first: see the essay */
    int64_t undecided = atomic_load(&partition->first_undecided);
    return undecided < high_watermark ? undecided : high_watermark;
}

void partition_offsets(struct partition *partition, struct partition_offsets *offsets)
{
    /* From the smallest to the largest, so that start ≤ stable ≤ high watermark ≤ end in any mix.
     */
    offsets->start = atomic_load(&partition->start_offset);
    int64_t high_watermark = partition_high_watermark(partition);
    int64_t undecided = atomic_load(&partition->first_undecided);
    offsets->high_watermark = high_watermark;
    offsets->stable = undecided < high_watermark ? undecided : high_watermark;
    offsets->end = atomic_load(&partition->end_offset);
}

int partition_stop(struct partition *partition, int code, const struct diag *diag)
{
    pthread_mutex_lock(&partition->list_mutex);
    bool first = atomic_load(&partition->status) == 0;
    if (first) {
        if (diag != NULL)
            partition->stop_reason = *diag;
        partition->stop_reason.code = code;
        atomic_store(&partition->status, code);
    }
    pthread_mutex_unlock(&partition->list_mutex);
    if (!first)
        return code;
    log_line('E', "partition %s-%d is stopped: %s", partition->topic->name, partition->index,
             partition->stop_reason.text);
    if (!partition->log->read_only)
        flusher_tell_progress(&partition->log->flusher); /* whoever waits for its records */
    return code;
}

int partition_status(struct partition *partition, struct diag *diag)
{
    int code = atomic_load(&partition->status);
    if (code == 0)
        return 0;
    pthread_mutex_lock(&partition->list_mutex);
    if (diag != NULL)
        *diag = partition->stop_reason;
    pthread_mutex_unlock(&partition->list_mutex);
    return code;
}

int partition_readable(struct partition *partition, struct diag *diag)
{
    if (__builtin_expect(atomic_load(&partition->deleted), 0))
        return diag_set(diag, ERR_NOT_FOUND, "topic %s was deleted", partition->topic->name);
    return partition_status(partition, diag);
}

int partition_writable(struct partition *partition, struct diag *diag)
{
    TRY(log_status(partition->log, diag));
    return partition_readable(partition, diag);
}

void partition_files(struct partition *partition, struct partition_files *files)
{
    *files = (struct partition_files){0};
    pthread_mutex_lock(&partition->list_mutex);
    for (int32_t i = 0; i < partition->segment_count; i++)
        files->bytes += atomic_load(&partition->segments[i]->size_bytes);
    files->segments = partition->segment_count;
    pthread_mutex_unlock(&partition->list_mutex);
}

/* ---- segments ---- */

int partition_add_segment(struct partition *partition, struct segment *segment)
{
    if (partition->segment_count == partition->segment_capacity) {
        int32_t capacity = partition->segment_capacity == 0 ? 4 : partition->segment_capacity * 2;
        struct segment **segments =
            realloc(partition->segments, (size_t)capacity * sizeof *segments);
        if (segments == NULL)
            return ERR_NOMEM;
        partition->segments = segments;
        partition->segment_capacity = capacity;
    }
    partition->segments[partition->segment_count++] = segment;
    return 0;
}

void segment_release(struct segment *segment)
{
    struct partition *partition = segment->partition;
    pthread_mutex_lock(&partition->list_mutex);
    bool last = --segment->references == 0;
    pthread_mutex_unlock(&partition->list_mutex);
    if (last)
        segment_free(segment);
}

static bool must_roll(const struct partition *partition, const struct segment *active,
                      const struct batch_header *header, bool is_marker)
{
    int64_t size = atomic_load(&active->size_bytes);
    int64_t end = atomic_load(&partition->end_offset);
    if (size == 0)
        return false;
    if (size + header->size_bytes > INT32_MAX ||
        end + header->last_offset_delta - active->base_offset > INT32_MAX)
        return true; /* 32-bit positions and relative offsets in the indexes */
    if (is_marker)
        return false; /* its room is reserved in this file */
    return size + header->size_bytes > atomic_load(&partition->topic->segment_bytes) ||
           index_is_full(active, atomic_load(&partition->topic->segment_index_bytes)) ||
           clock_wall_ms() - active->created_ms >= atomic_load(&partition->topic->segment_ms);
}

/* Closes the active segment, if there is one, and begins the next at the end offset. */
static int roll(struct partition *partition, struct diag *diag)
{
    struct segment *old = partition->active;
    int64_t end = atomic_load(&partition->end_offset);
    struct segment *segment = segment_new(partition, end);
    if (segment == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for a segment");
    int rc = segment_create_files(segment, diag);
    bool created = rc == 0;
    crash_point("roll.created");
    if (rc == 0 && old != NULL && (old->cut_needed || old->reserved_bytes > 0))
        rc = segment_cut(
            old, diag); /* a closed segment ends with its last batch, and keeps no spare room */
    if (rc == 0) {
        pthread_mutex_lock(&partition->list_mutex);
        rc = partition_add_segment(partition, segment);
        if (rc == 0 && old != NULL) {
            index_close(old);
            old->end_offset = end;
        }
        pthread_mutex_unlock(&partition->list_mutex);
        if (rc < 0)
            diag_set(diag, rc, "no memory for a segment");
    }
    if (rc < 0) {
        struct diag ignored; /* an empty file that stays is removed when the log is opened next */
        if (created)
            (void)segment_remove_files(segment, &ignored);
        segment_free(segment);
        return rc;
    }
    partition->active = segment;
    partition->directory_dirty = true;
    partition->snapshot_rolled = partition->snapshot_rolled || old != NULL;
    crash_point("roll.done");
    return 0;
}

int partition_roll(struct partition *partition, struct diag *diag)
{
    pthread_mutex_lock(&partition->mutex);
    int rc = partition_writable(partition, diag);
    struct segment *active = partition->active;
    if (rc == 0 && active != NULL && atomic_load(&active->size_bytes) > 0) {
        rc = roll(partition, diag);
        if (rc == 0 && !atomic_load(&partition->dirty))
            flusher_mark_dirty(partition); /* the directory, and the closed one's record */
    }
    pthread_mutex_unlock(&partition->mutex);
    return rc;
}

/* ---- appending ---- */

int partition_append_locked(struct partition *partition, uint8_t *batch,
                            const struct batch_header *header, bool is_marker, int64_t *base_offset,
                            struct diag *diag)
{
    struct segment *active = partition->active;
    bool is_tracked = header->producer_id >= 0 && atomic_load(&partition->tracks_producers);
    if (is_tracked && producer_state_reserve(partition) < 0)
        return diag_set(diag, ERR_NOMEM, "no memory for a producer of %s-%d",
                        partition->topic->name, partition->index);
    if (active == NULL || must_roll(partition, active, header, is_marker)) {
        TRY(roll(partition, diag));
        active = partition->active;
    }
    int64_t base = atomic_load(&partition->end_offset);
    int64_t position = atomic_load(&active->size_bytes);
    batch_set_base(batch, base, atomic_load(&partition->leader_epoch));
    TRY(segment_write(active, batch, (size_t)header->size_bytes, diag));
    active->last_write_ms = clock_wall_ms();
    if (position == 0)
        active->created_ms = active->last_write_ms; /* an empty one may have waited for long */
    struct batch_header placed = *header;
    placed.base_offset = base;
    pthread_mutex_lock(&partition->list_mutex);
    segment_publish(active, &placed, position);
    pthread_mutex_unlock(&partition->list_mutex);
    atomic_store(&partition->end_offset, batch_last_offset(&placed) + 1);
    partition->snapshot_bytes += placed.size_bytes;
    if (is_tracked)
        producer_state_note(partition, &placed, active->last_write_ms);
    if (!atomic_load(&partition->dirty))
        flusher_mark_dirty(partition);
    if (base_offset != NULL)
        *base_offset = base;
    crash_point("append.written");
    return 0;
}

int partition_append_admitted(struct partition *partition, struct admission *admission,
                              int64_t *base_offset, struct diag *diag)
{
    int64_t original;
    int rc = admission->header.producer_id < 0
                 ? 0
                 : producer_state_check(partition, &admission->header, &original, diag);
    if (rc == 0) {
        admit_stamp(admission);
        return partition_append_locked(partition, admission->batch, &admission->header, false,
                                       base_offset, diag);
    }
    if (rc < 0)
        return rc;
    batch_set_base(admission->batch, original, 0);
    if (base_offset != NULL)
        *base_offset = original;
    return 1;
}

static int append_batch(struct partition *partition, uint8_t *batch, size_t size,
                        enum crc_check crc, int64_t *base_offset, struct diag *diag)
{
    struct admission admission;
    TRY(admit_batch(partition, batch, size, crc, &admission, diag));
    int rc = 0;
    if ((admission.header.attributes & BATCH_ATTR_TRANSACTIONAL) != 0)
        rc = diag_set(diag, ERR_INVALID, "a transactional batch needs txn_append");
    else if (admission.header.producer_id >= 0 && !atomic_load(&partition->tracks_producers))
        rc = snapshot_begin(partition, diag);
    if (rc == 0) {
        pthread_mutex_lock(&partition->mutex);
        rc = partition_writable(partition, diag);
        if (rc == 0)
            rc = partition_append_admitted(partition, &admission, base_offset, diag);
        pthread_mutex_unlock(&partition->mutex);
    }
    admit_done(&admission);
    if (rc == 0 && partition->log->options.durability == DURABILITY_OS)
        partition_notify(partition, true);
    return rc < 0 ? rc : 0;
}

int partition_append(struct partition *partition, uint8_t *batch, size_t size, int64_t *base_offset,
                     struct diag *diag)
{
    return append_batch(partition, batch, size, CRC_CHECK, base_offset, diag);
}

int partition_append_validated(struct partition *partition, uint8_t *batch, size_t size,
                               int64_t *base_offset, struct diag *diag)
{
    return append_batch(partition, batch, size, CRC_IS_GOOD, base_offset, diag);
}

int partition_append_marker(struct partition *partition, bool commit, int64_t producer_id,
                            int16_t epoch, int64_t *offset, struct diag *diag)
{
    uint8_t marker[MARKER_BYTES];
    struct batch_header header;
    control_batch_encode(commit, producer_id, epoch, 0, clock_wall_ms(), marker);
    TRY(batch_parse_header(bytes_of(marker, sizeof marker), &header, diag));
    pthread_mutex_lock(&partition->mutex);
    int rc = partition_writable(partition, diag);
    if (rc == 0)
        rc = partition_append_locked(partition, marker, &header, true, offset, diag);
    if (rc == 0)
        atomic_store(&partition->last_marker, *offset);
    pthread_mutex_unlock(&partition->mutex);
    return rc;
}

/* ---- undecided and aborted transactions ---- */

static void update_undecided(struct partition *partition)
{
    int64_t first = NO_OFFSET;
    for (int32_t i = 0; i < partition->open_count; i++)
        if (partition->open_txns[i].first_offset < first)
            first = partition->open_txns[i].first_offset;
    atomic_store(&partition->first_undecided, first);
}

int partition_open_txn(struct partition *partition, int64_t producer_id, int64_t first_offset)
{
    if (partition->open_count == partition->open_capacity) {
        int32_t capacity = partition->open_capacity == 0 ? 4 : partition->open_capacity * 2;
        struct open_txn *txns = realloc(partition->open_txns, (size_t)capacity * sizeof *txns);
        if (txns == NULL)
            return ERR_NOMEM;
        partition->open_txns = txns;
        partition->open_capacity = capacity;
    }
    partition->open_txns[partition->open_count++] = (struct open_txn){producer_id, first_offset};
    update_undecided(partition);
    return 0;
}

void partition_close_txn(struct partition *partition, int64_t producer_id)
{
    for (int32_t i = 0; i < partition->open_count; i++)
        if (partition->open_txns[i].producer_id == producer_id) {
            partition->open_txns[i] = partition->open_txns[--partition->open_count];
            break;
        }
    update_undecided(partition);
}

int partition_add_aborted(struct partition *partition, const struct aborted *aborted)
{
    for (size_t i = 0; i < partition->aborted_count; i++)
        if (partition->aborted[i].producer_id == aborted->producer_id &&
            partition->aborted[i].first_offset == aborted->first_offset)
            return 0; /* recovery found again what meta already knew */
    if (partition->aborted_count == partition->aborted_capacity) {
        size_t capacity = partition->aborted_capacity == 0 ? 4 : partition->aborted_capacity * 2;
        struct aborted *list = realloc(partition->aborted, capacity * sizeof *list);
        if (list == NULL)
            return ERR_NOMEM;
        partition->aborted = list;
        partition->aborted_capacity = capacity;
    }
    size_t at = partition->aborted_count++;
    for (; at > 0 && partition->aborted[at - 1].last_offset > aborted->last_offset; at--)
        partition->aborted[at] = partition->aborted[at - 1];
    partition->aborted[at] = *aborted;
    return 0;
}

/* ---- waiting ---- */

static int wait_result(struct partition *partition, int64_t offset)
{
    if (partition_high_watermark(partition) >= offset)
        return 0;
    int code = atomic_load(&partition->log->status);
    if (code == 0)
        code = partition_readable(partition, NULL);
    return code < 0 ? code : 1; /* 1: wait on */
}

int partition_wait(struct partition *partition, int64_t offset, int32_t timeout_ms)
{
    struct flusher *flusher = &partition->log->flusher;
    int rc = wait_result(partition, offset);
    if (rc <= 0)
        return rc;
    if (timeout_ms == 0)
        return ERR_TIMEOUT;
    int64_t until_ns = timeout_ms < 0 ? INT64_MAX : clock_mono_ns() + (int64_t)timeout_ms * 1000000;
    atomic_fetch_add(&flusher->waiters, 1);
    pthread_mutex_lock(&flusher->mutex);
    partition->waiter_count++;
    while ((rc = wait_result(partition, offset)) == 1) {
        if (flusher_hurry(partition)) {
            pthread_mutex_unlock(&flusher->mutex);
            flusher_wake(flusher, LANE_TAILS);
            pthread_mutex_lock(&flusher->mutex);
            continue;
        }
        if (flusher_await(flusher, &flusher->progress, &flusher->mutex, until_ns) == ETIMEDOUT) {
            rc = wait_result(partition, offset);
            if (rc == 1)
                rc = ERR_TIMEOUT;
            break;
        }
    }
    partition->waiter_count--;
    pthread_mutex_unlock(&flusher->mutex);
    atomic_fetch_sub(&flusher->waiters, 1);
    return rc;
}

void partition_hurry(struct partition *partition)
{
    struct flusher *flusher = &partition->log->flusher;
    pthread_mutex_lock(&flusher->mutex);
    bool wake = flusher_hurry(partition);
    pthread_mutex_unlock(&flusher->mutex);
    if (wake)
        flusher_wake(flusher, LANE_TAILS);
}

/* ---- watching ---- */

static int add_watcher(struct partition *partition, struct watcher watcher)
{
    int id = ERR_NOMEM;
    pthread_mutex_lock(&partition->watch_mutex);
    for (int32_t i = 0; i < partition->watcher_count && id < 0; i++)
        if (partition->watchers[i].fn == NULL)
            id = i;
    if (id < 0) {
        struct watcher *watchers =
            realloc(partition->watchers, ((size_t)partition->watcher_count + 1) * sizeof *watchers);
        if (watchers != NULL) {
            partition->watchers = watchers;
            id = partition->watcher_count++;
        }
    }
    if (id >= 0)
        partition->watchers[id] = watcher;
    pthread_mutex_unlock(&partition->watch_mutex);
    return id;
}

int partition_watch(struct partition *partition, void (*fn)(void *context), void *context)
{
    return add_watcher(partition, (struct watcher){.fn = fn, .context = context});
}

int partition_watch_committed(struct partition *partition, void (*fn)(void *context), void *context)
{
    return add_watcher(partition,
                       (struct watcher){.fn = fn, .context = context, .committed = true});
}

void partition_unwatch(struct partition *partition, int watch_id)
{
    pthread_mutex_lock(&partition->watch_mutex);
    must(watch_id >= 0 && watch_id < partition->watcher_count);
    partition->watchers[watch_id] = (struct watcher){0};
    /* The context may be freed once we return: let a running call end. */
    while (partition->watchers_running > 0)
        pthread_cond_wait(&partition->watch_quiet, &partition->watch_mutex);
    pthread_mutex_unlock(&partition->watch_mutex);
}

void partition_notify(struct partition *partition, bool stable_moved)
{
    if (partition->log->options.durability == DURABILITY_OS &&
        atomic_load(&partition->log->flusher.waiters) > 0) {
        pthread_mutex_lock(&partition->log->flusher.mutex);
        pthread_cond_broadcast(&partition->log->flusher.progress);
        pthread_mutex_unlock(&partition->log->flusher.mutex);
    }
    pthread_mutex_lock(&partition->watch_mutex);
    partition->watchers_running++;
    for (int32_t i = 0; i < partition->watcher_count; i++) {
        struct watcher watcher = partition->watchers[i];
        if (watcher.fn == NULL || (watcher.committed && !stable_moved))
            continue;
        pthread_mutex_unlock(&partition->watch_mutex);
        watcher.fn(watcher.context);
        pthread_mutex_lock(&partition->watch_mutex);
    }
    if (--partition->watchers_running == 0)
        pthread_cond_broadcast(&partition->watch_quiet);
    pthread_mutex_unlock(&partition->watch_mutex);
}
