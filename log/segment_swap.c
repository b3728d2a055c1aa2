/* segment_swap.c: puts the segment that a compaction wrote in the place of those it was made from.
 *
 * The new segment covers the offsets of a run of old ones: it has the base offset, and with it the
 * name, of the first, and ends where the last did. Its files are written beside theirs as
 * <base>.log.cleaned, .index.cleaned, .timeindex.cleaned. Then, each step on disk before the next:
 *
 *   1. the new files, flushed, and the directory that names them;
 *   2. one transaction in meta: the records of the old segments go, that of the new one comes, with
 *      META_SEGMENT_SWAPPING. This is the moment: before it the old segments are the partition,
 *      after it the new one is, whatever stands in the directory;
 *   3. .log.cleaned is renamed over .log, the indexes likewise; the other old files are removed;
 *   4. the directory is flushed;
 *   5. the record loses its flag.
 *
 * A crash before 2 leaves .cleaned files that no record speaks of: they are removed. One after it
 * leaves a record with the flag: recovery does steps 3 to 5, each of which may have been done
 * already. It removes nothing before it has checked the new file, CRC by CRC: for this moment the
 * old files are still there, and damage that cut the new one short must not cost what it was made
 * from. A file that is not what was recorded stops the partition as it is.
 *
 * A pass does 4 and 5 once, after its last swap. One that ended early left that to the next, which
 * begins with it: a .cleaned file of its own would have the name that a flagged record speaks of.
 *
 * In memory step 3 is done under list_mutex, so that a reader who looks up an offset finds either
 * the old segments with their files or the new one with its own. Readers that hold an old segment
 * go on through its open descriptor, see fd_cache.c.
 *
 * When a rename fails after step 2 meta and the directory disagree until it succeeds: the swap
 * stays pending, and nothing else may change the partition's list of segments before it is finished
 * (swap_settle, under purge_mutex). A flush that fails in step 4 is not tried again: the flag
 * stays, for the next opening, and the partition is not compacted any more until then. */
#include "log/compact_internal.h"
#include "runtime/base/io.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CLEANED_SUFFIX ".cleaned"

static const char *const suffixes[] = {"log", "index", "timeindex"};
enum { SUFFIX_COUNT = sizeof suffixes / sizeof *suffixes };

bool swap_is_cleaned_name(const char *name)
{
    size_t size = strlen(name), suffix = sizeof CLEANED_SUFFIX - 1;
    return size > suffix && strcmp(name + size - suffix, CLEANED_SUFFIX) == 0;
}

static void path_of(const struct segment *segment, bool is_cleaned, const char *suffix,
                    char path[LOG_PATH_BYTES])
{
    struct segment named = {.partition = segment->partition,
                            .base_offset = segment->base_offset,
                            .is_cleaned = is_cleaned};
    segment_path(&named, suffix, path);
}

/* ---- recovery ---- */

/* Whether the .log.cleaned is the file that was recorded. */
static int check_cleaned(const struct segment *segment, struct diag *diag)
{
    struct segment *copy = segment_new(segment->partition, segment->base_offset);
    struct segment_scan scan;
    struct batch_header header;
    struct bytes batch;
    int64_t position, size = atomic_load(&segment->size_bytes), next = segment->base_offset;
    if (copy == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory to check a segment");
    copy->is_cleaned = true;
    int rc = segment_scan_open(&scan, copy, 0, size, true, diag);
    while (rc == 0 && (rc = segment_scan_next(&scan, &header, &batch, &position, diag)) == 1) {
        rc = batch_check_crc(batch, diag);
        if (rc == 0 &&
            (header.base_offset < next || batch_last_offset(&header) >= segment->end_offset))
            rc = diag_set(diag, ERR_CORRUPT, "offset %" PRId64 " does not belong at byte %" PRId64,
                          header.base_offset, position);
        next = batch_last_offset(&header) + 1;
    }
    segment_scan_close(&scan);
    segment_free(copy);
    return rc == ERR_RANGE ? ERR_CORRUPT : rc;
}

static int rename_cleaned(const struct segment *segment, const char *suffix, struct diag *diag)
{
    char from[LOG_PATH_BYTES], to[LOG_PATH_BYTES];
    path_of(segment, true, suffix, from);
    path_of(segment, false, suffix, to);
    return io_rename(from, to, diag);
}

int swap_recover(struct segment *segment, struct diag *diag)
{
    char path[LOG_PATH_BYTES];
    struct stat info;
    int64_t size = atomic_load(&segment->size_bytes);
    path_of(segment, true, "log", path);
    if (stat(path, &info) == 0) {
        struct diag why;
        if (info.st_size != size)
            return diag_set(diag, ERR_CORRUPT,
                            "its replacement, " CLEANED_SUFFIX ", has %" PRId64
                            " bytes instead of %" PRId64 "; nothing was changed",
                            (int64_t)info.st_size, size);
        int rc = check_cleaned(segment, &why);
        if (rc < 0)
            return diag_set(diag, rc,
                            "its replacement, " CLEANED_SUFFIX
                            ", is damaged: %s; nothing was changed",
                            why.text);
    } else if (errno != ENOENT) {
        return diag_errno(diag, "cannot stat %s", path);
    }
    if (segment->partition->log->read_only) {
        path_of(segment, true, "log", path);
        segment->is_cleaned = stat(path, &info) == 0; /* it is read under that name */
        return 0;
    }
    for (int i = 0; i < SUFFIX_COUNT; i++) {
        path_of(segment, true, suffixes[i], path);
        if (stat(path, &info) == 0)
            TRY(rename_cleaned(segment, suffixes[i], diag));
        crash_point("recovery.swap");
    }
    return 0;
}

int swap_remove_cleaned(const char *directory, struct diag *diag)
{
    DIR *stream = opendir(directory);
    if (stream == NULL)
        return diag_errno(diag, "cannot read %s", directory);
    int rc = 0;
    struct dirent *entry;
    while (rc == 0 && (entry = readdir(stream)) != NULL) {
        char path[LOG_PATH_BYTES];
        if (!swap_is_cleaned_name(entry->d_name))
            continue;
        int length = snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        must(length > 0);
        if ((size_t)length < sizeof path)
            rc = io_unlink(path, diag);
    }
    closedir(stream);
    return rc;
}

/* ---- swapping ---- */

void swap_remove_files(const struct segment *segment)
{
    char path[LOG_PATH_BYTES];
    for (int i = 0; i < SUFFIX_COUNT; i++) {
        path_of(segment, true, suffixes[i], path);
        (void)io_unlink(path, NULL); /* what stays is removed when the log is opened next */
    }
}

static void free_swap(struct segment_swap *swap)
{
    for (int32_t i = 0; i < swap->old_count; i++)
        segment_release(swap->old[i]);
    free(swap->old);
    free(swap->ended);
    free(swap);
}

void segment_swap_destroy(struct segment_swap *swap)
{
    if (swap->segment != NULL) {
        swap_remove_files(swap->segment);
        segment_free(swap->segment);
    }
    free_swap(swap);
}

/* Where the old segments stand in the list; -1: they do not any more. list_mutex held. */
static int32_t find_old(const struct segment_swap *swap)
{
    const struct partition *partition = swap->partition;
    for (int32_t i = 0; i + swap->old_count <= partition->segment_count; i++)
        if (partition->segments[i] == swap->old[0])
            return memcmp(partition->segments + i, swap->old,
                          (size_t)swap->old_count * sizeof *swap->old) == 0
                       ? i
                       : -1;
    return -1;
}

/* Whether the partition is still the one that the new segment was made for. */
static bool still_fits(const struct segment_swap *swap)
{
    struct partition *partition = swap->partition;
    pthread_mutex_lock(&partition->list_mutex);
    bool fits = !atomic_load(&partition->deleted) && atomic_load(&partition->status) == 0 &&
                atomic_load(&partition->start_offset) == swap->start_offset && find_old(swap) >= 0;
    pthread_mutex_unlock(&partition->list_mutex);
    /* Somebody may have come who needs the tombstones that the new segment lacks. */
    int64_t horizon = swap->cleaned.tombstone_horizon;
    return fits && (horizon == partition->cleaned.tombstone_horizon ||
                    horizon <= partition->tombstones_needed);
}

/* Whether nothing is left of an aborted transaction. *at: where to go on in the list of those,
 * which is sorted as the partition's own is, by last offset; asked in that order. */
static bool is_ended(const struct segment_swap *swap, const struct aborted *aborted, size_t *at)
{
    while (*at < swap->ended_count && swap->ended[*at].last_offset < aborted->last_offset)
        ++*at;
    return *at < swap->ended_count && swap->ended[*at].last_offset == aborted->last_offset &&
           swap->ended[*at].producer_id == aborted->producer_id;
}

static int record_swap(const struct segment_swap *swap, struct diag *diag)
{
    struct partition *partition = swap->partition;
    struct meta_place place = partition_place(partition);
    struct meta_batch batch;
    struct meta_segment record = segment_record(swap->segment);
    meta_batch_init(&batch);
    for (int32_t i = 1; i < swap->old_count; i++)
        meta_delete_segment(&batch, &place, swap->old[i]->base_offset);
    meta_put_segment(&batch, &place, &record);
    meta_put_cleaned(&batch, &place, &swap->cleaned);
    pthread_mutex_lock(&partition->list_mutex);
    for (size_t i = 0, at = 0; i < partition->aborted_count; i++)
        if (is_ended(swap, &partition->aborted[i], &at))
            meta_delete_aborted(&batch, &place, &partition->aborted[i]);
    pthread_mutex_unlock(&partition->list_mutex);
    int rc = log_meta_apply_cleanup(partition->log, &batch, diag);
    meta_batch_deinit(&batch);
    return rc;
}

/* A deletion of the topic may have looked at meta before we wrote to it. */
static void unrecord_deleted(const struct segment_swap *swap)
{
    struct meta_place place = partition_place(swap->partition);
    struct meta_batch batch;
    meta_batch_init(&batch);
    meta_delete_segment(&batch, &place, swap->segment->base_offset);
    meta_delete_cleaned(&batch, &place);
    (void)log_meta_apply(swap->partition->log, &batch, NULL); /* left-overs harm nobody */
    meta_batch_deinit(&batch);
}

static void forget_ended(struct segment_swap *swap)
{
    struct partition *partition = swap->partition;
    size_t kept = 0;
    for (size_t i = 0, at = 0; i < partition->aborted_count; i++)
        if (!is_ended(swap, &partition->aborted[i], &at))
            partition->aborted[kept++] = partition->aborted[i];
    partition->aborted_count = kept;
}

static void set_replaced(struct segment_swap *swap, bool replaced)
{
    for (int32_t i = 0; i < swap->old_count; i++)
        segment_set_replaced(swap->old[i], replaced);
}

/* The new segment's files get their names, and it takes its place in the list. list_mutex held: who
 * looks an offset up sees all of it or nothing. */
static int install(struct segment_swap *swap, struct diag *diag)
{
    struct partition *partition = swap->partition;
    struct diag why;
    int32_t at = find_old(swap);
    if (at < 0)
        return diag_set(diag, ERR_STATE, "the topic was deleted");
    set_replaced(swap, true);
    int rc = rename_cleaned(swap->segment, "log", diag);
    if (rc < 0) {
        set_replaced(swap, false);
        return rc;
    }
    crash_point("swap.renamed");
    for (int i = 1; i < SUFFIX_COUNT; i++)
        if (rename_cleaned(swap->segment, suffixes[i], &why) < 0)
            log_line('W', "%s", why.text); /* the old one misleads nobody; see finish_indexes */
    swap->segment->is_cleaned = false;
    int32_t behind = at + swap->old_count;
    partition->segments[at] = swap->segment;
    memmove(partition->segments + at + 1, partition->segments + behind,
            (size_t)(partition->segment_count - behind) * sizeof *partition->segments);
    partition->segment_count -= swap->old_count - 1;
    partition->swaps++;
    memset(partition->hints, 0, sizeof partition->hints);
    forget_ended(swap);
    swap->segment = NULL;
    return 0;
}

/* The files that the new segment did not take over; the list's references to their segments. */
static void remove_old(struct segment_swap *swap)
{
    struct diag why;
    for (int32_t i = 0; i < swap->old_count; i++) {
        if (i > 0 && segment_remove_files(swap->old[i], &why) < 0) {
            log_line('W', "%s", why.text);
            swap->partition->swap_stuck = true; /* recovery must still see that it has to go */
        }
        crash_point("swap.removed");
        segment_release(swap->old[i]);
    }
}

/* What comes after meta. Frees the swap when it is through; 1, or an error: it is pending. */
static int carry_out(struct segment_swap *swap, struct diag *diag)
{
    struct partition *partition = swap->partition;
    if (atomic_load(&partition->deleted)) {
        unrecord_deleted(swap);
        partition->pending_swap = NULL;
        segment_swap_destroy(swap);
        return 0;
    }
    pthread_mutex_lock(&partition->list_mutex);
    int rc = install(swap, diag);
    pthread_mutex_unlock(&partition->list_mutex);
    if (rc < 0)
        return rc;
    partition->pending_swap = NULL;
    partition->cleaned = swap->cleaned;
    atomic_store(&partition->tombstone_horizon, swap->cleaned.tombstone_horizon);
    remove_old(swap);
    free_swap(swap);
    return 1;
}

int swap_settle(struct partition *partition, struct diag *diag)
{
    struct diag why;
    if (partition->pending_swap == NULL)
        return 0;
    int rc = carry_out(partition->pending_swap, &why);
    if (rc < 0)
        return diag_set(diag, rc, "%s-%d: a compacted segment is not in place yet: %s",
                        partition->topic->name, partition->index, why.text);
    return 0;
}

void swap_forget(struct partition *partition)
{
    if (partition->pending_swap == NULL)
        return;
    segment_free(partition->pending_swap->segment);
    free_swap(partition->pending_swap);
    partition->pending_swap = NULL;
}

static int run_locked(struct segment_swap *swap, struct diag *diag)
{
    struct partition *partition = swap->partition;
    if (partition_writable(partition, NULL) < 0 || !still_fits(swap)) {
        segment_swap_destroy(swap);
        return 0;
    }
    swap->segment->swapping = true;
    crash_point("swap.begin");
    int rc = record_swap(swap, diag);
    crash_point("swap.recorded");
    if (rc < 0 && log_status(partition->log, NULL) < 0) {
        segment_free(swap->segment); /* meta may have it or not: the files stay for recovery */
        free_swap(swap);
        return rc;
    }
    if (rc < 0) {
        segment_swap_destroy(swap);
        return rc;
    }
    partition->pending_swap = swap;
    return carry_out(swap, diag);
}

int segment_swap_run(struct segment_swap *swap, struct diag *diag)
{
    struct partition *partition = swap->partition;
    pthread_mutex_lock(&partition->purge_mutex);
    int rc = run_locked(swap, diag);
    pthread_mutex_unlock(&partition->purge_mutex);
    return rc;
}

/* ---- the end of a pass ---- */

/* Indexes that could not be renamed with their segment: one that is too old makes searches longer,
 * but is none of the segment's. list_mutex held. */
static int finish_indexes(struct partition *partition, struct diag *diag)
{
    char path[LOG_PATH_BYTES];
    struct stat info;
    for (int32_t i = 0; i < partition->segment_count; i++)
        for (int s = 1; partition->segments[i]->swapping && s < SUFFIX_COUNT; s++) {
            path_of(partition->segments[i], true, suffixes[s], path);
            if (stat(path, &info) == 0)
                TRY(rename_cleaned(partition->segments[i], suffixes[s], diag));
        }
    return 0;
}

/* The records of swapped segments without their flag; list_mutex held. */
static void put_unflagged(struct partition *partition, struct meta_batch *batch)
{
    struct meta_place place = partition_place(partition);
    for (int32_t i = 0; i < partition->segment_count; i++) {
        if (!partition->segments[i]->swapping)
            continue; /* the active one is none of them: its record is the appender's */
        struct meta_segment record = segment_record(partition->segments[i]);
        record.flags &= ~(uint32_t)META_SEGMENT_SWAPPING;
        meta_put_segment(batch, &place, &record);
    }
}

static void clear_flags(struct partition *partition)
{
    for (int32_t i = 0; i < partition->segment_count; i++)
        partition->segments[i]->swapping = false;
}

static bool has_flags(struct partition *partition)
{
    bool found = false;
    pthread_mutex_lock(&partition->list_mutex);
    for (int32_t i = 0; !found && i < partition->segment_count; i++)
        found = partition->segments[i]->swapping;
    pthread_mutex_unlock(&partition->list_mutex);
    return found;
}

static int end_locked(struct partition *partition, const struct meta_cleaned *cleaned,
                      struct diag *diag)
{
    char directory[LOG_PATH_BYTES];
    struct meta_place place = partition_place(partition);
    struct meta_batch batch;
    TRY(swap_settle(partition, diag));
    if (atomic_load(&partition->deleted))
        return 0;
    if (partition->swap_stuck)
        return diag_set(diag, ERR_STOPPED, "%s-%d is not compacted before the log is opened again",
                        partition->topic->name, partition->index);
    if (has_flags(partition)) {
        partition_directory(partition, directory);
        pthread_mutex_lock(&partition->list_mutex);
        int rc = finish_indexes(partition, diag);
        pthread_mutex_unlock(&partition->list_mutex);
        TRY(rc);
        rc = io_fsync_dir(directory, diag);
        partition->swap_stuck = rc < 0 && !atomic_load(&partition->deleted);
        TRY(rc);
        crash_point("swap.flushed");
    }
    meta_batch_init(&batch);
    pthread_mutex_lock(&partition->list_mutex);
    put_unflagged(partition, &batch);
    pthread_mutex_unlock(&partition->list_mutex);
    meta_put_cleaned(&batch, &place, cleaned);
    int rc = log_meta_apply_cleanup(partition->log, &batch, diag);
    meta_batch_deinit(&batch);
    TRY(rc);
    crash_point("swap.done");
    pthread_mutex_lock(&partition->list_mutex);
    clear_flags(partition);
    pthread_mutex_unlock(&partition->list_mutex);
    partition->cleaned = *cleaned;
    atomic_store(&partition->tombstone_horizon, cleaned->tombstone_horizon);
    return 0;
}

int segment_swap_begin(struct partition *partition, struct diag *diag)
{
    TRY(swap_settle(partition, diag));
    if (partition->swap_stuck || !has_flags(partition))
        return 0;
    struct meta_cleaned cleaned = partition->cleaned;
    return end_locked(partition, &cleaned, diag);
}

int segment_swap_end(struct partition *partition, const struct meta_cleaned *cleaned,
                     struct diag *diag)
{
    pthread_mutex_lock(&partition->purge_mutex);
    int rc = end_locked(partition, cleaned, diag);
    pthread_mutex_unlock(&partition->purge_mutex);
    return rc;
}
