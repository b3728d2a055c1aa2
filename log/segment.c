/* segment.c: one .log file: created, written at its end, cut, walked.
 *
 * The file holds batches exactly as on the wire, one after the other. What is visible of it is
 * size_bytes, which only moves forward after a whole batch was written: a failed or short write
 * changes nothing that a reader can see, and what it left behind is cut off, now or before the next
 * write, so that garbage never lies in front of a later batch.
 *
 * Space may be reserved beyond the end (fallocate with KEEP_SIZE: the file's size stays the truth),
 * so that the markers of a decided transaction find room on a full disk.
 *
 * Walking (segment_scan) trusts nothing: sizes are checked against what is left before memory is
 * taken. Base offset, length and leader epoch are outside the batch's CRC; who walks checks that
 * offsets continue.
 *
 * Descriptors come from fd_cache.c. Which lock guards which field stands in log_internal.h. */
#include "log/log_internal.h"
#include "runtime/base/clock.h"
#include "runtime/base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    HEADER_CHUNK_BYTES = 16 << 10,
    WHOLE_CHUNK_BYTES = 256 << 10,
    RESERVE_LEAST_BYTES = 64 << 10,
    RESERVE_MOST_BYTES = 4 << 20
};

void segment_path(const struct segment *segment, const char *suffix, char path[LOG_PATH_BYTES])
{
    char directory[LOG_PATH_BYTES];
    partition_directory(segment->partition, directory);
    int length = snprintf(path, LOG_PATH_BYTES, "%s/%020" PRId64 ".%s%s", directory,
                          segment->base_offset, suffix, segment->is_cleaned ? ".cleaned" : "");
    must(length > 0 && length < LOG_PATH_BYTES);
}

struct segment *segment_new(struct partition *partition, int64_t base_offset)
{
    struct segment *segment = calloc(1, sizeof *segment);
    if (segment == NULL)
        return NULL;
    segment->index = calloc(1, sizeof *segment->index);
    if (segment->index == NULL) {
        free(segment);
        return NULL;
    }
    segment->index->last_time_ms = INT64_MIN;
    segment->index->broken =
        partition->log->read_only; /* entries that cannot be written are left out */
    segment->partition = partition;
    segment->base_offset = base_offset;
    segment->end_offset = -1;
    segment->max_timestamp_ms = INT64_MIN;
    segment->max_timestamp_offset = base_offset;
    atomic_init(&segment->appended_from, INT64_MAX);
    segment->references = 1;
    segment->fd = -1;
    return segment;
}

struct meta_segment segment_record(const struct segment *segment)
{
    return (struct meta_segment){
        .base_offset = segment->base_offset,
        .end_offset = segment->end_offset,
        .size_bytes = atomic_load(&segment->size_bytes),
        .max_timestamp_ms = segment->max_timestamp_ms,
        .last_write_ms = segment->last_write_ms,
        .flags = (segment->compacted ? META_SEGMENT_COMPACTED : 0u) |
                 (segment->swapping ? META_SEGMENT_SWAPPING : 0u),
    };
}

void segment_free(struct segment *segment)
{
    if (segment == NULL)
        return;
    segment_forget_fd(segment);
    free(segment->index);
    free(segment);
}

/* Wherever room is missing the keeper looks at once whether something may go. */
static int told_keeper(const struct segment *segment, int rc)
{
    if (rc == ERR_FULL)
        keeper_wake(segment->partition->log);
    return rc;
}

int segment_create_files(struct segment *segment, struct diag *diag)
{
    char path[LOG_PATH_BYTES];
    int fd;
    int64_t size = 0;
    segment_path(segment, "log", path);
    TRY(told_keeper(segment,
                    log_open_file(segment->partition->log, path, O_RDWR | O_CREAT, &fd, diag)));
    int rc = io_file_size(fd, &size, diag);
    io_close(fd);
    if (rc == 0 && size != 0)
        rc = diag_set(diag, ERR_CORRUPT, "%s: a new segment's file has %" PRId64 " bytes already",
                      path, size);
    segment->created_ms = clock_wall_ms();
    segment->last_write_ms = segment->created_ms;
    return rc;
}

/* ---- writing ---- */

static int cut_with(struct segment *segment, int fd, struct diag *diag)
{
    int64_t size = atomic_load(&segment->size_bytes);
    TRY(io_truncate(fd, size, diag));
    segment->reserved_bytes = 0;
    segment->cut_needed = false;
    return 0;
}

int segment_cut(struct segment *segment, struct diag *diag)
{
    int fd;
    TRY(segment_pin(segment, &fd, diag));
    int rc = cut_with(segment, fd, diag);
    segment_unpin(segment);
    return rc;
}

int segment_write(struct segment *segment, const uint8_t *batch, size_t size, struct diag *diag)
{
    int fd;
    TRY(segment_pin(segment, &fd, diag));
    int rc = segment->cut_needed ? cut_with(segment, fd, diag) : 0;
    if (rc == 0) {
        int64_t position = atomic_load(&segment->size_bytes);
        rc = io_pwrite(fd, batch, size, position, diag);
        if (rc == 0 && atomic_load(&segment->appended_from) > position)
            atomic_store(&segment->appended_from, position);
        if (rc < 0) {
            segment->cut_needed = true;
            struct diag ignored; /* the write's own failure is the one to report */
            (void)cut_with(segment, fd, &ignored);
        }
    }
    segment_unpin(segment);
    return told_keeper(segment, rc);
}

void segment_publish(struct segment *segment, const struct batch_header *header, int64_t position)
{
    index_note(segment, header, position);
    atomic_store(&segment->size_bytes, position + header->size_bytes);
}

int segment_reserve(struct segment *segment, int64_t bytes_ahead, struct diag *diag)
{
    int64_t size = atomic_load(&segment->size_bytes);
    if (segment->reserved_bytes - size >= bytes_ahead)
        return 0;
    /* Steps that grow with the file: one call for many commits, little waste in small partitions.
     */
    int64_t step = size / 4;
    step = step < RESERVE_LEAST_BYTES  ? RESERVE_LEAST_BYTES
           : step > RESERVE_MOST_BYTES ? RESERVE_MOST_BYTES
                                       : step;
    if (step < bytes_ahead)
        step = bytes_ahead;
    int fd;
    TRY(segment_pin(segment, &fd, diag));
    int rc = io_reserve(fd, size, step, diag);
    if (rc == ERR_FULL && step > bytes_ahead) {
        step = bytes_ahead;
        rc = io_reserve(fd, size, step, diag);
    }
    segment_unpin(segment);
    if (rc == 0 || rc == ERR_UNSUPPORTED)
        segment->reserved_bytes = size + step;
    return rc == ERR_UNSUPPORTED ? 0 : told_keeper(segment, rc);
}

static const char *const file_suffixes[] = {"log", "index", "timeindex"};
enum { FILE_COUNT = 3 };

/* A missing file is as good as a removed one. */
static int missing_is_fine(int rc)
{
    return rc == ERR_IO && errno == ENOENT ? 0 : rc;
}

static int remove_file(struct segment *segment, const char *suffix, bool renamed, struct diag *diag)
{
    char path[LOG_PATH_BYTES], name[32];
    snprintf(name, sizeof name, "%s%s", suffix, renamed ? SEGMENT_DELETED_SUFFIX : "");
    segment_path(segment, name, path);
    return missing_is_fine(io_unlink(path, diag));
}

int segment_remove_files(struct segment *segment, struct diag *diag)
{
    char from[LOG_PATH_BYTES], to[LOG_PATH_BYTES], name[32];
    bool renamed[FILE_COUNT];
    for (size_t i = 0; i < FILE_COUNT; i++) {
        snprintf(name, sizeof name, "%s" SEGMENT_DELETED_SUFFIX, file_suffixes[i]);
        segment_path(segment, file_suffixes[i], from);
        segment_path(segment, name, to);
        /* Where a longer name finds no room the file goes at once. */
        int rc = missing_is_fine(io_rename(from, to, diag));
        if (rc < 0 && rc != ERR_FULL)
            return rc;
        renamed[i] = rc == 0;
        crash_point("segment.renamed");
    }
    int rc = 0;
    for (size_t i = FILE_COUNT; rc == 0 && i-- > 0;) {
        rc = remove_file(segment, file_suffixes[i], renamed[i], diag);
        crash_point("segment.unlinked");
    }
    return rc;
}

/* ---- walking ---- */

int segment_scan_open(struct segment_scan *scan, struct segment *segment, int64_t position,
                      int64_t limit, bool whole, struct diag *diag)
{
    *scan = (struct segment_scan){
        .segment = segment, .fd = -1, .position = position, .limit = limit, .whole = whole};
    buf_init(&scan->chunk, 0);
    return segment_pin(segment, &scan->fd, diag);
}

void segment_scan_close(struct segment_scan *scan)
{
    if (scan->fd >= 0)
        segment_unpin(scan->segment);
    buf_deinit(&scan->chunk);
}

/* size bytes at position, which lie below the limit. */
static int bring(struct segment_scan *scan, int64_t position, size_t size, const uint8_t **data,
                 struct diag *diag)
{
    int64_t end = scan->chunk_position + (int64_t)scan->chunk_size;
    if (position >= scan->chunk_position && position + (int64_t)size <= end) {
        *data = scan->chunk.data + (position - scan->chunk_position);
        return 0;
    }
    size_t wanted = scan->whole ? WHOLE_CHUNK_BYTES : HEADER_CHUNK_BYTES;
    if (wanted < size)
        wanted = size;
    if ((int64_t)wanted > scan->limit - position)
        wanted = (size_t)(scan->limit - position);
    buf_clear(&scan->chunk);
    uint8_t *memory = buf_reserve(&scan->chunk, wanted);
    if (memory == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory to read a segment");
    scan->chunk_position = position;
    scan->chunk_size = 0;
    TRY(io_pread(scan->fd, memory, wanted, position, &scan->chunk_size, diag));
    *data = memory;
    return scan->chunk_size >= size ? 0 : ERR_RANGE;
}

/* The fields of a header, and whether they can be true at all. */
static bool read_header(const uint8_t *at, struct batch_header *header)
{
    int32_t length = (int32_t)load_be32(at + 8);
    header->base_offset = (int64_t)load_be64(at);
    header->leader_epoch = (int32_t)load_be32(at + 12);
    header->crc = load_be32(at + 17);
    header->attributes = load_be16(at + 21);
    header->last_offset_delta = (int32_t)load_be32(at + 23);
    header->base_timestamp_ms = (int64_t)load_be64(at + 27);
    header->max_timestamp_ms = (int64_t)load_be64(at + 35);
    header->producer_id = (int64_t)load_be64(at + 43);
    header->producer_epoch = (int16_t)load_be16(at + 51);
    header->base_sequence = (int32_t)load_be32(at + 53);
    header->record_count = (int32_t)load_be32(at + 57);
    if (at[16] != 2 || length < BATCH_HEADER_BYTES - BATCH_OVERHEAD_BYTES ||
        length > INT32_MAX - BATCH_OVERHEAD_BYTES)
        return false;
    header->size_bytes = length + BATCH_OVERHEAD_BYTES;
    return header->base_offset >= 0 && header->last_offset_delta >= 0 &&
           header->base_offset <= INT64_MAX - INT32_MAX;
}

int segment_scan_next(struct segment_scan *scan, struct batch_header *header, struct bytes *batch,
                      int64_t *position, struct diag *diag)
{
    const uint8_t *data = NULL;
    int64_t left = scan->limit - scan->position;
    if (left <= 0)
        return 0;
    if (left < BATCH_HEADER_BYTES)
        return diag_set(diag, ERR_RANGE, "%" PRId64 " bytes are less than a batch header", left);
    TRY(bring(scan, scan->position, BATCH_HEADER_BYTES, &data, diag));
    if (!read_header(data, header))
        return diag_set(diag, ERR_CORRUPT, "there is no batch header");
    if (header->size_bytes > left)
        return diag_set(diag, ERR_RANGE, "a batch of %d bytes is cut after %" PRId64,
                        header->size_bytes, left);
    size_t size = scan->whole ? (size_t)header->size_bytes : BATCH_HEADER_BYTES;
    TRY(bring(scan, scan->position, size, &data, diag));
    *batch = bytes_of(data, size);
    *position = scan->position;
    scan->position += header->size_bytes;
    return 1;
}
