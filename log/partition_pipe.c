/* partition_pipe.c: a fetch whose batches are handed on and never looked at.
 *
 * A reader over the network gets batches as they are stored. Reading them into memory and writing that to a
 * socket copies each byte twice, and that is most of what a Fetch costs. splice moves the
 * pages of the file into a pipe instead, and from there into the socket.
 *
 * Nobody sees the bytes on that way, so their CRCs are not checked. It is taken only where that was done:
 * what this process appended was checked before it was written (segment.appended_from), and what was there
 * before is checked by the first ordinary fetch that comes along (segment.checked_bytes, from the
 * segment's start without a gap). After each opening the first reader of a batch checks it.
 *
 * Where the last whole batch ends that fits is found by the segment's index: the entry at or below the
 * place where the fetch must end, and from there header by header. Compacted segments have gaps, and
 * a jump needs a search: both are left to partition_fetch, as is everything that is wrong in any way. So
 * this file reports nothing; it either has moved whole batches or has not.
 *
 * Threads: any, as partition_fetch. */
#include "log/log_internal.h"
#include "runtime/base/io.h"

#include <unistd.h>

struct span {
    int64_t end;         /* position behind its last batch */
    int64_t next_offset; /* offset behind its last batch */
};

/* A copy of the index of the segment that is being written. False: it is closed, and its files have it all. */
static bool copy_tail(struct partition *partition, const struct segment *segment,
                      struct segment_index *tail)
{
    pthread_mutex_lock(&partition->list_mutex);
    bool has_tail = segment->index != NULL;
    if (has_tail)
        *tail = *segment->index;
    pthread_mutex_unlock(&partition->list_mutex);
    return has_tail;
}

/* How far from position on bytes need no check: at most limit. */
static int64_t trusted_end(struct segment *segment, int64_t position, int64_t limit)
{
    int64_t checked = atomic_load(&segment->checked_bytes);
    int64_t appended = atomic_load(&segment->appended_from);
    if (position >= appended || checked >= appended)
        return limit;
    return checked < limit ? checked : limit;
}

/* Walks from a batch's position and takes along what ends at or before limit and below bound. False: not even a header could be read there. */
static bool walk_to_end(struct segment *segment, int64_t position, int64_t limit, int64_t bound,
                        struct span *span)
{
    struct segment_scan scan;
    struct batch_header header;
    struct bytes batch;
    int64_t at, size = atomic_load(&segment->size_bytes);
    int rc = segment_scan_open(&scan, segment, position, size, false, NULL);
    *span = (struct span){.end = position, .next_offset = -1};
    while (rc == 0 && (rc = segment_scan_next(&scan, &header, &batch, &at, NULL)) == 1) {
        if (span->next_offset < 0)
            span->next_offset = header.base_offset;
        if (scan.position > limit || batch_last_offset(&header) >= bound ||
            header.base_offset != span->next_offset)
            break;
        span->end = scan.position;
        span->next_offset = batch_last_offset(&header) + 1;
        rc = 0;
    }
    segment_scan_close(&scan);
    return span->next_offset >= 0;
}

/* The whole batches from place on. False: there are none that may be handed on so. */
static bool find_span(struct partition *partition, const struct read_place *place, int64_t offset,
                      int64_t bound, size_t max_bytes, struct span *span)
{
    struct segment *segment = place->segment;
    struct segment_index tail;
    int64_t size = atomic_load(&segment->size_bytes);
    int64_t limit =
        size - place->position > (int64_t)max_bytes ? place->position + (int64_t)max_bytes : size;
    limit = trusted_end(segment, place->position, limit);
    if (limit - place->position < FETCH_PIPE_LEAST_BYTES)
        return false;
    const struct segment_index *known = copy_tail(partition, segment, &tail) ? &tail : NULL;
    int64_t near = index_find_position(segment, known, limit - 1);
    if (near < place->position || !walk_to_end(segment, near, limit, bound, span))
        return false;
    if (span->next_offset > bound) { /* what may be read ends before that */
        near = index_find_offset(segment, known, bound);
        if (near < place->position || !walk_to_end(segment, near, limit, bound, span))
            return false;
    }
    return span->next_offset > offset && span->next_offset <= bound &&
           span->end - place->position >= FETCH_PIPE_LEAST_BYTES;
}

static int move(struct segment *segment, int64_t position, size_t size, int pipe_fd)
{
    int fd;
    size_t moved;
    if (segment_pin(segment, &fd, NULL) < 0)
        return 0;
    int rc = io_splice(fd, position, size, pipe_fd, &moved, NULL);
    segment_unpin(segment);
    return moved == size ? 1 : moved == 0 ? 0 : rc < 0 ? rc : ERR_IO;
}

/* Moves the span, once all that belongs to it is known and was not changed meanwhile. 1: it is in the pipe. */
static int bring(struct partition *partition, const struct read_place *place, int64_t offset,
                 enum isolation isolation, const struct span *span, int pipe_fd,
                 struct fetch *fetch)
{
    if (isolation == READ_COMMITTED) {
        if (partition_collect_aborted(partition, offset, span->next_offset, fetch) < 0 ||
            offset < atomic_load(&partition->start_offset) ||
            partition_was_swapped(partition, place))
            return 0;
    }
    return move(place->segment, place->position, (size_t)(span->end - place->position), pipe_fd);
}

int partition_fetch_into_pipe(struct partition *partition, int64_t offset, enum isolation isolation,
                              size_t max_bytes, int pipe_fd, struct fetch *fetch, size_t *size)
{
    struct read_place place;
    struct span span;
    *size = 0;
    fetch->aborted_count = 0;
    if (max_bytes < FETCH_PIPE_LEAST_BYTES || partition_readable(partition, NULL) < 0)
        return 0;
    partition_offsets(partition, &fetch->offsets);
    int64_t bound =
        isolation == READ_COMMITTED ? fetch->offsets.stable : fetch->offsets.high_watermark;
    if (offset < fetch->offsets.start || offset >= bound ||
        partition_locate(partition, offset, &place, NULL) < 0)
        return 0;
    int rc = 0;
    if (place.exact && !place.segment->compacted &&
        find_span(partition, &place, offset, bound, max_bytes, &span))
        rc = bring(partition, &place, offset, isolation, &span, pipe_fd, fetch);
    if (rc == 1) {
        fetch->next_offset = span.next_offset;
        *size = (size_t)(span.end - place.position);
        partition_keep_hint(partition, place.segment, span.next_offset, span.end);
    }
    segment_release(place.segment);
    return rc < 0 ? rc : 0;
}
