/* recovery.c: what log_open does to the files of each partition.
 *
 * Three kinds of bytes:
 *
 *   closed segments      meta has a record of each, written after it was flushed: base, end, size.
 *                        They are only looked at by name and size; their bytes are checked by
 *                        whoever reads them.
 *   below the recorded   must be there and be right. The last RECHECK_BYTES of them are read again
 *   flushed end          and checked: CRC, offsets that continue, a batch boundary exactly at the
 *                        flushed end.
 *   above it             may have been acknowledged (the record is up to a second old) or not. Whole
 *                        valid batches that continue are kept. What follows them is cut off and
 *                        reported, unless a later valid batch shows that it is damage and not an end.
 *
 * Anything else is damage: the partition is stopped with file and position, and nothing in it is
 * changed (P9). The other partitions go on.
 *
 * The work per partition is one directory listing and a read of some tens of KiB, so that a
 * thousand partitions open in a fraction of a second. Runs before any other thread exists; locks
 * are not needed. */
#include "log/log_internal.h"
#include "runtime/base/clock.h"
#include "runtime/base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- what meta knows ---- */

struct loader {
    struct log *log;
    struct topic *last; /* entries come sorted by topic id */
    struct meta_batch cleanup;
};

/* NULL: of a topic that is gone. */
static struct partition *find_partition(struct loader *loader, const struct meta_place *place)
{
    struct topic *topic = loader->last;
    if (topic == NULL || memcmp(&topic->id, &place->topic, sizeof place->topic) != 0)
        topic = topic_find_id(loader->log, &place->topic);
    loader->last = topic;
    if (topic == NULL || place->partition < 0 || place->partition >= topic->partition_count)
        return NULL;
    return topic->partitions[place->partition];
}

static int load_partition(void *context, struct bytes key, struct bytes value, struct diag *diag)
{
    struct meta_place place;
    struct meta_partition record;
    (void)diag;
    TRY(meta_read_partition(key, value, &place, &record));
    struct partition *partition = find_partition(context, &place);
    if (partition != NULL)
        partition->flushed = record;
    return 0;
}

static int load_start(void *context, struct bytes key, struct bytes value, struct diag *diag)
{
    struct meta_place place;
    int64_t start;
    (void)diag;
    TRY(meta_read_start(key, value, &place, &start));
    struct partition *partition = find_partition(context, &place);
    if (partition != NULL)
        atomic_store(&partition->start_offset, start);
    return 0;
}

static int load_segment(void *context, struct bytes key, struct bytes value, struct diag *diag)
{
    struct loader *loader = context;
    struct meta_place place;
    struct meta_segment record;
    TRY(meta_read_segment(key, value, &place, &record));
    struct partition *partition = find_partition(context, &place);
    if (partition == NULL)
        return 0;
    if (record.end_offset <= atomic_load(&partition->start_offset)) {
        /* A purge recorded the new start while the flusher recorded the segment. */
        meta_delete_segment(&loader->cleanup, &place, record.base_offset);
        return 0;
    }
    struct segment *segment = segment_new(partition, record.base_offset);
    if (segment == NULL || partition_add_segment(partition, segment) < 0) {
        segment_free(segment);
        return diag_set(diag, ERR_NOMEM, "no memory for segments");
    }
    free(segment->index);
    segment->index = NULL;
    segment->recorded = true;
    segment->compacted = (record.flags & META_SEGMENT_COMPACTED) != 0;
    segment->swapping = (record.flags & META_SEGMENT_SWAPPING) != 0;
    segment->end_offset = record.end_offset;
    segment->max_timestamp_ms = record.max_timestamp_ms;
    segment->last_write_ms = record.last_write_ms;
    atomic_store(&segment->size_bytes, record.size_bytes);
    atomic_store(&segment->flushed_bytes, record.size_bytes);
    return 0;
}

static int load_cleaned(void *context, struct bytes key, struct bytes value, struct diag *diag)
{
    struct meta_place place;
    struct meta_cleaned cleaned;
    (void)diag;
    TRY(meta_read_cleaned(key, value, &place, &cleaned));
    struct partition *partition = find_partition(context, &place);
    if (partition != NULL) {
        partition->cleaned = cleaned;
        atomic_store(&partition->tombstone_horizon, cleaned.tombstone_horizon);
    }
    return 0;
}

static int load_aborted(void *context, struct bytes key, struct bytes value, struct diag *diag)
{
    struct meta_place place;
    struct aborted aborted;
    TRY(meta_read_aborted(key, value, &place, &aborted));
    struct partition *partition = find_partition(context, &place);
    if (partition != NULL && partition_add_aborted(partition, &aborted) < 0)
        return diag_set(diag, ERR_NOMEM, "no memory for aborted transactions");
    return 0;
}

static int load_all(struct loader *loader, struct diag *diag)
{
    static const struct {
        enum meta_table table;
        meta_scan_fn fn;
    } steps[] = {{META_STARTS, load_start}, /* before the segments */
                 {META_PARTITIONS, load_partition},
                 {META_SEGMENTS, load_segment},
                 {META_CLEANED, load_cleaned},
                 {META_ABORTED, load_aborted}};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        TRY(meta_scan(loader->log->meta, steps[i].table, bytes_of(NULL, 0), steps[i].fn, loader,
                      diag));
    return 0;
}

static int stop_at(struct partition *partition, int64_t base, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Stops the partition with the name of a segment's file; returns 1. */
static int stop_at(struct partition *partition, int64_t base, const char *format, ...)
{
    char path[LOG_PATH_BYTES], text[600];
    struct diag diag;
    struct segment named = {.partition = partition, .base_offset = base};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    segment_path(&named, "log", path);
    diag_set(&diag, ERR_CORRUPT, "%s: %s", path, text);
    partition_stop(partition, ERR_CORRUPT, &diag);
    return 1;
}

/* ---- swaps that a crash interrupted ---- */

static int finish_swap(struct partition *partition, struct segment_listing *listing,
                       struct segment *segment, struct diag *diag)
{
    struct diag why;
    int rc = swap_recover(segment, &why);
    if (rc == ERR_CORRUPT)
        return stop_at(partition, segment->base_offset, "%s", why.text);
    if (rc < 0) {
        *diag = why;
        return rc;
    }
    char path[LOG_PATH_BYTES];
    struct stat info;
    segment_path(segment, "log", path);
    if (!listing_holds(listing, segment->base_offset) && stat(path, &info) == 0 &&
        listing_insert(listing, segment->base_offset) < 0)
        return diag_set(diag, ERR_NOMEM, "no memory for segments"); /* an import's first name */
    size_t kept = 0;
    for (size_t i = 0; i < listing->count; i++) {
        struct segment named = {.partition = partition, .base_offset = listing->bases[i]};
        if (listing->bases[i] <= segment->base_offset || listing->bases[i] >= segment->end_offset) {
            listing->bases[kept++] = listing->bases[i];
            continue;
        }
        if (!partition->log->read_only)
            TRY(segment_remove_files(&named, diag));
        crash_point("recovery.swap");
    }
    listing->count = kept;
    return 0;
}

/* Brings every swap that meta knows of to its end; other files of a compaction go. 1: stopped. */
static int finish_swaps(struct partition *partition, struct segment_listing *listing,
                        struct diag *diag)
{
    char directory[LOG_PATH_BYTES];
    bool swapped = false;
    for (int32_t i = 0; i < partition->segment_count; i++) {
        if (!partition->segments[i]->swapping)
            continue;
        int rc = finish_swap(partition, listing, partition->segments[i], diag);
        if (rc != 0)
            return rc;
        swapped = true;
    }
    partition_directory(partition, directory);
    if (partition->log->read_only)
        return 0;
    if (listing->has_cleaned)
        TRY(swap_remove_cleaned(directory, diag));
    return swapped ? io_fsync_dir(directory, diag) : 0;
}

/* What was brought to its end needs no more mention. */
static void put_swapped(struct partition *partition, struct meta_batch *batch)
{
    struct meta_place place = partition_place(partition);
    for (int32_t i = 0; i < partition->segment_count; i++) {
        struct segment *segment = partition->segments[i];
        if (!segment->swapping || atomic_load(&partition->status) != 0)
            continue;
        segment->swapping = false;
        struct meta_segment record = segment_record(segment);
        meta_put_segment(batch, &place, &record);
    }
}

/* ---- closed segments ---- */

static int check_closed(struct partition *partition, const struct segment_listing *listing)
{
    for (int32_t i = 0; i < partition->segment_count; i++) {
        struct segment *segment = partition->segments[i];
        char path[LOG_PATH_BYTES];
        struct stat info;
        int64_t size = atomic_load(&segment->size_bytes);
        if (!listing_holds(listing, segment->base_offset))
            return stop_at(partition, segment->base_offset,
                           "the file is missing; it held offsets %" PRId64 " to %" PRId64,
                           segment->base_offset, segment->end_offset - 1);
        segment_path(segment, "log", path);
        if (stat(path, &info) != 0)
            return stop_at(partition, segment->base_offset, "cannot stat: %s", strerror(errno));
        if (info.st_size < size)
            return stop_at(partition, segment->base_offset,
                           "the file is truncated at byte %" PRId64 "; it had %" PRId64 " bytes",
                           (int64_t)info.st_size, size);
        if (info.st_size > size)
            return stop_at(partition, segment->base_offset,
                           "the file was closed with %" PRId64 " bytes, but has %" PRId64, size,
                           (int64_t)info.st_size);
        if (i > 0 && partition->segments[i - 1]->end_offset != segment->base_offset)
            return stop_at(partition, partition->segments[i - 1]->end_offset,
                           "the file is missing");
    }
    return 0;
}

/* Files wholly below the start offset are left-overs of a purge. */
static int remove_purged(struct partition *partition, struct segment_listing *listing,
                         struct diag *diag)
{
    int64_t start = atomic_load(&partition->start_offset);
    size_t gone = 0;
    while (gone + 1 < listing->count && listing->bases[gone + 1] <= start) {
        struct segment named = {.partition = partition, .base_offset = listing->bases[gone]};
        if (!partition->log->read_only)
            TRY(segment_remove_files(&named, diag));
        gone++;
    }
    if (gone > 0) {
        listing->count -= gone;
        memmove(listing->bases, listing->bases + gone, listing->count * sizeof *listing->bases);
    }
    return 0;
}

/* ---- tails ---- */

/* Whether some whole valid batch begins after position, with an offset that could follow. */
static int find_later_batch(struct segment *segment, int64_t position, int64_t size, int64_t offset,
                            int64_t *found, struct diag *diag)
{
    enum { WINDOW_BYTES = 1 << 20 };
    uint8_t *window = malloc(WINDOW_BYTES);
    int fd, rc = 0;
    *found = -1;
    if (window == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory to check a segment");
    rc = segment_pin(segment, &fd, diag);
    if (rc < 0) {
        free(window);
        return rc;
    }
    for (int64_t at = position + 1; rc == 0 && *found < 0 && at + BATCH_HEADER_BYTES <= size;) {
        size_t got;
        rc = io_pread(fd, window, WINDOW_BYTES, at, &got, diag);
        if (rc < 0 || got < BATCH_HEADER_BYTES)
            break;
        size_t i = 0;
        for (; rc == 0 && *found < 0 && i + BATCH_HEADER_BYTES <= got; i++) {
            int64_t base = (int64_t)load_be64(window + i);
            int64_t length = (int32_t)load_be32(window + i + 8);
            if (window[i + 16] != 2 || base < offset || base - offset > INT32_MAX ||
                length < BATCH_HEADER_BYTES - BATCH_OVERHEAD_BYTES ||
                at + (int64_t)i + BATCH_OVERHEAD_BYTES + length > size)
                continue;
            struct segment_scan scan;
            struct batch_header header;
            struct bytes batch;
            int64_t there;
            rc = segment_scan_open(&scan, segment, at + (int64_t)i, size, true, diag);
            if (rc == 0 && segment_scan_next(&scan, &header, &batch, &there, NULL) == 1 &&
                batch_check_crc(batch, NULL) == 0)
                *found = there;
            segment_scan_close(&scan);
        }
        at += (int64_t)i;
    }
    segment_unpin(segment);
    free(window);
    return rc;
}

struct tail {
    struct segment *segment;
    int64_t size;          /* of the file */
    int64_t flushed_bytes; /* of it, as recorded */
    int64_t flushed_end;   /* the offset there; -1: nothing recorded in this segment */
    int64_t offset;        /* expected next */
    int64_t position;      /* end of what was found right */
    struct diag why;       /* what stands at position, when it is not the end */
    bool complete;
};

/* Notes the batches that are right. 1: the partition was stopped. */
static int walk_tail(struct tail *tail, struct diag *diag)
{
    struct segment_scan scan;
    struct batch_header header;
    struct bytes batch;
    struct diag why = {0};
    int64_t position;
    int rc = segment_scan_open(&scan, tail->segment, tail->position, tail->size, true, diag);
    while (rc == 0) {
        rc = segment_scan_next(&scan, &header, &batch, &position, &why);
        if (rc == 0) {
            tail->complete = true;
            break;
        }
        if (rc == 1 && header.base_offset != tail->offset)
            rc = diag_set(&why, ERR_CORRUPT, "offset %" PRId64 " where %" PRId64 " was expected",
                          header.base_offset, tail->offset);
        if (rc == 1 && (rc = batch_check_crc(batch, &why)) == 0)
            rc = 1;
        if (rc == 1 && position < tail->flushed_bytes &&
            position + header.size_bytes > tail->flushed_bytes)
            rc = diag_set(&why, ERR_CORRUPT,
                          "the recorded flushed end, byte %" PRId64 ", lies inside a batch",
                          tail->flushed_bytes);
        if (rc != 1)
            break;
        segment_publish(tail->segment, &header, position);
        if (header.leader_epoch > atomic_load(&tail->segment->partition->leader_epoch))
            atomic_store(&tail->segment->partition->leader_epoch, header.leader_epoch);
        tail->offset = batch_last_offset(&header) + 1;
        tail->position = position + header.size_bytes;
        if (tail->position == tail->flushed_bytes && tail->flushed_end >= 0 &&
            tail->offset != tail->flushed_end) {
            rc = diag_set(&why, ERR_CORRUPT,
                          "offset %" PRId64 " at the recorded flushed end %" PRId64, tail->offset,
                          tail->flushed_end);
            tail->position = position;
            break;
        }
        rc = 0;
    }
    segment_scan_close(&scan);
    tail->why = why;
    return rc == ERR_CORRUPT || rc == ERR_RANGE ? 0 : rc;
}

/* Decides about what follows the last right batch. 1: stopped. */
static int judge_tail(struct tail *tail, struct diag *diag)
{
    struct segment *segment = tail->segment;
    if (tail->complete)
        return 0;
    if (tail->position < tail->flushed_bytes)
        return stop_at(segment->partition, segment->base_offset,
                       "damaged at byte %" PRId64 " (offset %" PRId64
                       "), below the recorded flushed end at byte %" PRId64 ": %s",
                       tail->position, tail->offset, tail->flushed_bytes, tail->why.text);
    int64_t later;
    TRY(find_later_batch(segment, tail->position, tail->size, tail->offset, &later, diag));
    if (later >= 0)
        return stop_at(segment->partition, segment->base_offset,
                       "damaged at byte %" PRId64 " (offset %" PRId64
                       "), before a valid batch at byte %" PRId64 ": %s",
                       tail->position, tail->offset, later, tail->why.text);
    return 0;
}

static int cut_tail(struct tail *tail, struct diag *diag)
{
    struct segment *segment = tail->segment;
    bool read_only = segment->partition->log->read_only;
    char path[LOG_PATH_BYTES];
    segment_path(segment, "log", path);
    log_line('W',
             "%s: %" PRId64 " bytes after offset %" PRId64 " (byte %" PRId64
             ") are no whole batch and are %s: %s",
             path, tail->size - tail->position, tail->offset - 1, tail->position,
             read_only ? "not shown" : "cut off", tail->why.text);
    atomic_store(&segment->size_bytes, tail->position);
    return read_only ? 0 : segment_cut(segment, diag);
}

/* Walks one segment that meta has no closing record of. 1: stopped. */
static int recover_segment(struct partition *partition, struct segment *segment, struct tail *tail,
                           struct diag *diag)
{
    const struct meta_partition *flushed = &partition->flushed;
    int fd;
    *tail = (struct tail){.segment = segment, .flushed_end = -1};
    TRY(segment_pin(segment, &fd, diag));
    int rc = io_file_size(fd, &tail->size, diag);
    segment_unpin(segment);
    TRY(rc);
    if (tail->size > INT32_MAX)
        return stop_at(partition, segment->base_offset,
                       "the file has %" PRId64 " bytes; at most %d can be", tail->size, INT32_MAX);
    if (segment->base_offset == flushed->segment_base) {
        tail->flushed_bytes = flushed->flushed_position;
        tail->flushed_end = flushed->flushed_end;
    } else if (segment->base_offset < flushed->segment_base) {
        tail->flushed_bytes = tail->size; /* a later segment was flushed: so was all of this */
        tail->flushed_end = -1;
    }
    if (tail->flushed_bytes > tail->size)
        return stop_at(partition, segment->base_offset,
                       "the file is truncated at byte %" PRId64
                       ", below the recorded flushed end at byte %" PRId64,
                       tail->size, tail->flushed_bytes);
    atomic_store(&segment->size_bytes, tail->flushed_bytes);
    TRY(index_load(segment, tail->flushed_bytes, &tail->position, &tail->offset, diag));
    atomic_store(&segment->size_bytes, tail->position);
    TRY(walk_tail(tail, diag));
    return judge_tail(tail, diag);
}

/* When the file was written last: what its age counts from until its record says. */
static int64_t written_ms(const struct segment *segment)
{
    char path[LOG_PATH_BYTES];
    struct stat info;
    segment_path(segment, "log", path);
    return stat(path, &info) == 0
               ? (int64_t)info.st_mtim.tv_sec * 1000 + info.st_mtim.tv_nsec / 1000000
               : clock_wall_ms();
}

static int finish_active(struct partition *partition, struct tail *tail, struct diag *diag)
{
    struct segment *segment = tail->segment;
    segment->last_write_ms = written_ms(segment); /* before anything is cut */
    if (tail->position < tail->size) {
        TRY(cut_tail(tail, diag));
        partition->lost_tail = true;
    }
    if (!partition->log->read_only)
        TRY(index_settle(segment, diag));
    segment->created_ms = segment->base_offset == partition->flushed.segment_base
                              ? partition->flushed.segment_created_ms
                              : clock_wall_ms();
    atomic_store(&segment->flushed_bytes,
                 tail->flushed_bytes < tail->position ? tail->flushed_bytes : tail->position);
    partition->active = segment;
    if (partition->log->read_only) {
        atomic_store(&segment->flushed_bytes, tail->position); /* nobody will flush it */
        return 0;
    }
    if (tail->position != tail->flushed_bytes || tail->size != tail->position ||
        segment->base_offset != partition->flushed.segment_base) {
        partition->directory_dirty = true;
        flusher_mark_dirty(partition);
    }
    return 0;
}

/* A closed one without record: the crash came between the roll and the next write to meta. */
static void finish_closed(struct tail *tail)
{
    struct segment *segment = tail->segment;
    atomic_store(&segment->flushed_bytes, 0); /* flushed again: the record of it was lost */
    segment->last_write_ms = written_ms(segment);
    index_close(segment);
    segment->end_offset = tail->offset;
}

/* 1 when the file holds a valid batch that could follow offset, or (strict) any byte at all. */
static int holds_batches(struct partition *partition, int64_t base, int64_t offset, bool strict,
                         struct diag *diag)
{
    int64_t size, found = -1;
    int fd;
    struct segment *segment = segment_new(partition, base);
    if (segment == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for segments");
    int rc = segment_pin(segment, &fd, diag);
    if (rc == 0) {
        rc = io_file_size(fd, &size, diag);
        segment_unpin(segment);
    }
    if (rc == 0 && size > 0 && !strict)
        rc = find_later_batch(segment, -1, size, offset, &found, diag);
    segment_free(segment);
    return rc < 0 ? rc : size > 0 && (strict || found >= 0);
}

/* A crash, or a full disk, between a roll and its first append leaves an empty file behind; a power
 * cut may also take the unflushed end of the segment before and leave a new file without a valid
 * batch. Such files, above the flushed end, hold nothing: they go, and the segment before is the
 * active one again. */
static int drop_empty_rolls(struct partition *partition, struct segment_listing *listing,
                            size_t from, const struct tail *tail, struct diag *diag)
{
    bool is_torn = tail->position < tail->size;
    while (listing->count > from) {
        int64_t base = listing->bases[listing->count - 1];
        if (base <= partition->flushed.segment_base || (!is_torn && base == tail->offset))
            return 0;
        int rc = holds_batches(partition, base, tail->offset, !is_torn, diag);
        if (rc != 0)
            return rc < 0 ? rc : 0;
        char path[LOG_PATH_BYTES];
        struct segment named = {.partition = partition, .base_offset = base};
        segment_path(&named, "log", path);
        if (!partition->log->read_only) {
            log_line('W', "%s: holds no batch, and no segment ends before it; removed", path);
            TRY(segment_remove_files(&named, diag));
        }
        partition->directory_dirty = true;
        listing->count--;
    }
    return 0;
}

/* The segments after the closed ones, in order. 1: stopped. */
static int recover_open_segments(struct partition *partition, struct segment_listing *listing,
                                 size_t first, struct diag *diag)
{
    int32_t closed = partition->segment_count;
    int64_t start = atomic_load(&partition->start_offset);
    int64_t expected = closed > 0 ? partition->segments[closed - 1]->end_offset : -1;
    for (size_t i = first; i < listing->count; i++) {
        int64_t base = listing->bases[i];
        struct tail tail;
        if (expected >= 0 ? base != expected : base > start)
            return stop_at(partition, base,
                           "offsets %" PRId64 " to %" PRId64 " are missing before this segment",
                           expected >= 0 ? expected : start, base - 1);
        struct segment *segment = segment_new(partition, base);
        if (segment == NULL || partition_add_segment(partition, segment) < 0) {
            segment_free(segment);
            return diag_set(diag, ERR_NOMEM, "no memory for segments");
        }
        int rc = recover_segment(partition, segment, &tail, diag);
        if (rc != 0)
            return rc;
        TRY(drop_empty_rolls(partition, listing, i + 1, &tail, diag));
        bool last = i + 1 == listing->count;
        if (!last && tail.position < tail.size)
            return stop_at(partition, base,
                           "damaged at byte %" PRId64 " (offset %" PRId64
                           "), before a later segment: %s",
                           tail.position, tail.offset, tail.why.text);
        if (last)
            TRY(finish_active(partition, &tail, diag));
        else
            finish_closed(&tail);
        expected = tail.offset;
    }
    if (expected >= 0)
        atomic_store(&partition->end_offset, expected);
    return 0;
}

/* 0, 1 when the partition was stopped, or an error that concerns the whole log. */
static int recover_directory(struct partition *partition, struct segment_listing *listing,
                             struct diag *diag)
{
    char directory[LOG_PATH_BYTES];
    partition_directory(partition, directory);
    int64_t flushed_end = partition->flushed.flushed_end;
    int rc = recovery_list(partition, directory, listing, diag);
    if (rc == ERR_NOT_FOUND && flushed_end == 0)
        return partition->log->read_only ? 0 : io_mkdir(directory, diag);
    if (rc == ERR_NOT_FOUND) {
        struct diag missing;
        diag_set(&missing, ERR_CORRUPT,
                 "%s: the directory is missing; offsets up to %" PRId64 " were flushed", directory,
                 flushed_end - 1);
        partition_stop(partition, ERR_CORRUPT, &missing);
        return 1;
    }
    TRY(rc);
    rc = finish_swaps(partition, listing, diag);
    if (rc == 0)
        rc = remove_purged(partition, listing, diag);
    if (rc == 0)
        rc = check_closed(partition, listing);
    if (rc != 0)
        return rc;
    /* Closed ones come first; a file between or before them is not ours. */
    size_t closed = (size_t)partition->segment_count;
    for (size_t i = 0; i < closed; i++)
        if (listing->bases[i] != partition->segments[i]->base_offset)
            return stop_at(partition, listing->bases[i],
                           "this file does not belong to the partition");
    if (partition->segment_count > 0 &&
        partition->segments[0]->base_offset > atomic_load(&partition->start_offset))
        return stop_at(partition, atomic_load(&partition->start_offset), "the file is missing");
    rc = recover_open_segments(partition, listing, closed, diag);
    if (rc == 0 && atomic_load(&partition->end_offset) < flushed_end)
        return stop_at(partition, partition->flushed.segment_base,
                       "the file is missing; offsets up to %" PRId64 " were flushed",
                       flushed_end - 1);
    return rc;
}

/* The epoch that appended batches get: a batch may have a newer one than a checkpoint that was lost. 1: stopped. */
static int load_epoch(struct partition *partition)
{
    char directory[LOG_PATH_BYTES];
    struct leader_epochs epochs;
    struct diag why = {0};
    partition_directory(partition, directory);
    int rc = leader_epochs_read(directory, &epochs, &why);
    if (rc < 0) {
        partition_stop(partition, rc, &why);
        return 1;
    }
    if (leader_epoch_latest(&epochs) > atomic_load(&partition->leader_epoch))
        atomic_store(&partition->leader_epoch, leader_epoch_latest(&epochs));
    leader_epochs_deinit(&epochs);
    return 0;
}

static int recover_partition(struct partition *partition, struct meta_batch *batch,
                             struct diag *diag)
{
    struct segment_listing listing = {0};
    struct diag why = {0};
    int rc = recover_directory(partition, &listing, &why);
    free(listing.bases);
    if (rc == ERR_IO || rc == ERR_CORRUPT) {
        /* What cannot be read stops its partition, not the others. */
        partition_stop(partition, rc, &why);
        rc = 1;
    } else if (rc < 0) {
        if (diag != NULL)
            *diag = why;
        return rc;
    }
    if (rc == 0)
        rc = load_epoch(partition);
    if (rc == 0) {
        purge_recover(partition, batch);
        /* Who may not flush shows what is whole, as the next writer would after its flush. */
        atomic_store(&partition->flushed_end, partition->log->read_only
                                                  ? atomic_load(&partition->end_offset)
                                                  : partition->flushed.flushed_end);
        return listing.has_snapshot ? recover_producers(partition, diag) : 0;
    }
    atomic_store(&partition->flushed_end, partition->flushed.flushed_end);
    atomic_store(&partition->end_offset, partition->flushed.flushed_end);
    return 0;
}

int recover_partitions(struct log *log, struct diag *diag)
{
    struct loader loader = {.log = log};
    meta_batch_init(&loader.cleanup);
    int rc = load_all(&loader, diag);
    for (size_t t = 0; rc == 0 && t < log->topic_count; t++)
        for (int32_t i = 0; rc == 0 && i < log->topics[t]->partition_count; i++)
            rc = recover_partition(log->topics[t]->partitions[i], &loader.cleanup, diag);
    for (size_t t = 0; rc == 0 && t < log->topic_count; t++)
        for (int32_t i = 0; i < log->topics[t]->partition_count; i++)
            put_swapped(log->topics[t]->partitions[i], &loader.cleanup);
    if (rc == 0 && !log->read_only)
        rc = log_meta_apply_cleanup(log, &loader.cleanup, diag);
    meta_batch_deinit(&loader.cleanup);
    return rc;
}
