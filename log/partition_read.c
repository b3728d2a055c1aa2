/* partition_read.c: reading a partition: by offset, by time.
 *
 * A fetch is one pread of up to max_bytes from the page cache into the caller's buffer, then a walk
 * over batch headers with a CRC check (hardware instruction) of each. Finding the position costs
 * nothing in the usual case: the place where the last fetches ended is remembered (hints), so that
 * a reader that goes on sequentially never searches an index. Only the first fetch, or a jump,
 * searches: index entry, then headers.
 *
 * Compaction leaves segments whose offsets have gaps (segment.compacted), and replaces segments
 * while they are read. In such a segment a fetch begins with the first batch that ends at or after
 * the asked offset, and where nothing is left it goes on with the next segment: next_offset always
 * moves past a gap. A reader that holds a replaced segment reads it to the end as it was; only one
 * that has to open its file again, or whose list of aborted transactions may be newer than its
 * bytes (partition.swaps), looks again from the start.
 *
 * What is checked on every read, because the CRC leaves out a batch's base offset and length: the
 * batch is where its predecessor ended, its offset is the one expected, its CRC is right. Anything
 * else stops the partition, with file and position. How far a segment was found right so far is noted
 * for those who do not look at what they bring (partition_pipe.c). Bytes at or above the bound (high watermark or
 * last stable offset) are not even looked at: an append may be writing them at this moment. */
#include "log/log_internal.h"
#include "runtime/base/io.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { FETCH_LEAST_BYTES = 4096 };

/* ---- finding a place ---- */

/* The last segment that begins at or before offset; list_mutex held. */
static int32_t find_segment(const struct partition *partition, int64_t offset)
{
    int32_t low = 0, high = partition->segment_count;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (partition->segments[middle]->base_offset <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low - 1;
}

static bool take_hint(struct partition *partition, int64_t offset, struct read_place *place)
{
    const struct read_hint *hint = &partition->hints[(uint64_t)offset % HINT_COUNT];
    if (hint->segment != place->segment || hint->offset != offset)
        return false;
    place->position = hint->position;
    place->exact = true;
    return true;
}

int partition_locate(struct partition *partition, int64_t offset, struct read_place *place,
                     struct diag *diag)
{
    pthread_mutex_lock(&partition->list_mutex);
    int32_t at = find_segment(partition, offset);
    place->segment = NULL;
    if (at >= 0) {
        struct segment *segment = partition->segments[at];
        place->segment = segment;
        place->position = 0;
        place->exact = offset == segment->base_offset;
        place->end_offset = segment->end_offset >= 0 ? segment->end_offset : INT64_MAX;
        place->swaps = partition->swaps;
        place->has_tail = segment->index != NULL;
        segment->references++;
        if (place->exact || take_hint(partition, offset, place)) {
            pthread_mutex_unlock(&partition->list_mutex);
            return 0;
        }
        if (place->has_tail)
            place->tail = *segment->index;
    }
    pthread_mutex_unlock(&partition->list_mutex);
    if (place->segment == NULL)
        return diag_set(diag, ERR_RANGE, "%s-%d has no segment with offset %" PRId64,
                        partition->topic->name, partition->index, offset);
    place->position =
        index_find_offset(place->segment, place->has_tail ? &place->tail : NULL, offset);
    return 0;
}

void partition_keep_hint(struct partition *partition, struct segment *segment, int64_t offset,
                         int64_t position)
{
    pthread_mutex_lock(&partition->list_mutex);
    /* One that was replaced meanwhile may be freed, and its address used again. */
    if (!atomic_load(&segment->replaced))
        partition->hints[(uint64_t)offset % HINT_COUNT] =
            (struct read_hint){offset, position, segment};
    pthread_mutex_unlock(&partition->list_mutex);
}

int segment_damaged(struct segment *segment, int64_t position, const char *why, struct diag *diag)
{
    char path[LOG_PATH_BYTES];
    struct diag reason;
    if (atomic_load(&segment->partition->deleted))
        return partition_readable(segment->partition, diag);
    segment_path(segment, "log", path);
    diag_set(&reason, ERR_CORRUPT, "%s is damaged at byte %" PRId64 ": %s", path, position, why);
    partition_stop(segment->partition, ERR_CORRUPT, &reason);
    if (diag != NULL)
        *diag = reason;
    return ERR_CORRUPT;
}

/* Walks headers from place to the batch that contains offset; where offsets have gaps: to the first
 * batch that ends at or after it, or to the segment's end. */
static int walk_to(struct read_place *place, int64_t offset, struct diag *diag)
{
    struct segment_scan scan;
    struct batch_header header;
    struct bytes batch;
    int64_t position, size = atomic_load(&place->segment->size_bytes);
    struct diag why = {0};
    int rc = segment_scan_open(&scan, place->segment, place->position, size, false, diag);
    while (rc == 0) {
        rc = segment_scan_next(&scan, &header, &batch, &position, &why);
        if (rc == 1 && header.base_offset > offset && !place->segment->compacted)
            rc = segment_damaged(place->segment, position, "offsets do not continue", diag);
        else if (rc == 1 && batch_last_offset(&header) >= offset) {
            place->position = position;
            break;
        } else if (rc == 0 && place->segment->compacted) {
            place->position = size;
            break;
        } else if (rc == 0)
            rc = segment_damaged(place->segment, size, "the segment ends before its last offset",
                                 diag);
        else if (rc == ERR_RANGE || rc == ERR_CORRUPT)
            rc = segment_damaged(place->segment, scan.position, why.text, diag);
        else if (rc == 1)
            rc = 0;
        else if (diag != NULL)
            *diag = why;
    }
    segment_scan_close(&scan);
    return rc < 0 ? rc : 0;
}

/* ---- fetching ---- */

/* What partition_fetch has brought so far. */
static size_t brought_size(const struct fetch *fetch)
{
    return fetch->bytes.size - fetch->begin;
}

static void bring_nothing(struct fetch *fetch)
{
    fetch->bytes.size = fetch->begin;
    fetch->bytes.failed = false;
}

static int read_at(struct read_place *place, size_t size, struct fetch *fetch, struct diag *diag)
{
    int fd;
    size_t got;
    bring_nothing(fetch);
    uint8_t *memory = buf_reserve(&fetch->bytes, size);
    if (memory == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for a fetch of %zu bytes", size);
    TRY(segment_pin(place->segment, &fd, diag));
    int rc = io_pread(fd, memory, size, place->position, &got, diag);
    segment_unpin(place->segment);
    TRY(rc);
    if (got < size)
        return segment_damaged(place->segment, place->position + (int64_t)got,
                               "the file is shorter than what was written", diag);
    fetch->bytes.size += got;
    return 0;
}

/* Whether a batch may follow: at the fetch's first place (expected < 0) or after a batch that ended
 * at expected. */
static bool may_follow(const struct read_place *place, const struct batch_header *header,
                       int64_t offset, int64_t expected)
{
    if (place->segment->compacted)
        return batch_last_offset(header) < place->end_offset &&
               (expected >= 0 ? header->base_offset >= expected
                              : batch_last_offset(header) >= offset);
    return expected >= 0 ? header->base_offset == expected
                         : header->base_offset <= offset && batch_last_offset(header) >= offset;
}

/* The bytes from the place to here were looked at; what counts is how far that is without a gap. */
static void note_checked(const struct read_place *place, int64_t position)
{
    _Atomic int64_t *checked = &place->segment->checked_bytes;
    int64_t before = atomic_load(checked);
    while (place->position <= before && position > before &&
           !atomic_compare_exchange_weak(checked, &before, position))
        continue;
}

/* Keeps the whole batches below bound. Returns 1 with *need when the first batch is larger than
 * what was read. */
static int keep_whole(struct read_place *place, int64_t offset, int64_t bound, struct fetch *fetch,
                      size_t *need, struct diag *diag)
{
    const uint8_t *first = fetch->bytes.data + fetch->begin;
    struct bytes rest = bytes_of(first, brought_size(fetch));
    int64_t expected = -1;
    struct diag why;
    while (rest.size >= BATCH_HEADER_BYTES) {
        int64_t position = place->position + (rest.data - first);
        if (expected >= bound)
            break;
        struct batch_header header = {0};
        int rc = batch_parse_header(rest, &header, &why);
        if (rc == ERR_RANGE) {
            *need = (size_t)load_be32(rest.data + 8) + BATCH_OVERHEAD_BYTES;
            if (expected < 0 &&
                (int64_t)*need <= atomic_load(&place->segment->size_bytes) - position)
                return 1;
            break;
        }
        if (rc == 0 && !may_follow(place, &header, offset, expected))
            rc = diag_set(&why, ERR_CORRUPT,
                          "offsets %" PRId64 " to %" PRId64 " where %" PRId64 " was expected",
                          header.base_offset, batch_last_offset(&header),
                          expected >= 0 ? expected : offset);
        if (rc == 0 && batch_last_offset(&header) >= bound)
            break;
        struct bytes batch = bytes_of(rest.data, (size_t)header.size_bytes);
        if (rc == 0)
            rc = batch_check_crc(batch, &why);
        if (rc < 0)
            return segment_damaged(place->segment, position, why.text, diag);
        expected = batch_last_offset(&header) + 1;
        rest.data += batch.size;
        rest.size -= batch.size;
    }
    note_checked(place, place->position + (rest.data - first));
    fetch->bytes.size = fetch->begin + (size_t)(rest.data - first);
    if (expected >= 0)
        fetch->next_offset = expected;
    return 0;
}

static int compare_aborted(const void *a, const void *b)
{
    const struct aborted *left = a, *right = b;
    if (left->first_offset != right->first_offset)
        return left->first_offset < right->first_offset ? -1 : 1;
    return 0;
}

/* Those that overlap [from, to); the list is sorted by last offset. */
int partition_collect_aborted(struct partition *partition, int64_t from, int64_t to,
                              struct fetch *fetch)
{
    int rc = 0;
    fetch->aborted_count = 0;
    pthread_mutex_lock(&partition->list_mutex);
    size_t low = 0, high = partition->aborted_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (partition->aborted[middle].last_offset < from)
            low = middle + 1;
        else
            high = middle;
    }
    for (; rc == 0 && low < partition->aborted_count; low++) {
        if (partition->aborted[low].first_offset >= to)
            continue;
        if (fetch->aborted_count == fetch->aborted_capacity) {
            size_t capacity = fetch->aborted_capacity == 0 ? 8 : fetch->aborted_capacity * 2;
            struct aborted *list = realloc(fetch->aborted, capacity * sizeof *list);
            if (list == NULL) {
                rc = ERR_NOMEM;
                break;
            }
            fetch->aborted = list;
            fetch->aborted_capacity = capacity;
        }
        fetch->aborted[fetch->aborted_count++] = partition->aborted[low];
    }
    pthread_mutex_unlock(&partition->list_mutex);
    if (fetch->aborted_count > 1)
        qsort(fetch->aborted, fetch->aborted_count, sizeof *fetch->aborted, compare_aborted);
    return rc;
}

/* Nothing is left in a compacted segment from here to its end, which may lie above the bound of
 * another isolation. */
static void pass_segment(const struct read_place *place, int64_t bound, struct fetch *fetch)
{
    bring_nothing(fetch);
    fetch->next_offset = place->end_offset < bound ? place->end_offset : bound;
}

/* Brings batches of one segment; none when it is a compacted one and has none left from offset on.
 */
static int fetch_from(struct partition *partition, struct read_place *place, int64_t offset,
                      int64_t bound, size_t max_bytes, struct fetch *fetch, struct diag *diag)
{
    if (!place->exact)
        TRY(walk_to(place, offset, diag));
    int64_t left = atomic_load(&place->segment->size_bytes) - place->position;
    if (left == 0 && place->segment->compacted) {
        pass_segment(place, bound, fetch);
        return 0;
    }
    if (left < BATCH_HEADER_BYTES)
        return segment_damaged(place->segment, place->position,
                               "the segment ends before its last offset", diag);
    size_t size = max_bytes < FETCH_LEAST_BYTES ? FETCH_LEAST_BYTES : max_bytes;
    for (;;) {
        size_t need = 0;
        if ((int64_t)size > left)
            size = (size_t)left;
        TRY(read_at(place, size, fetch, diag));
        int rc = keep_whole(place, offset, bound, fetch, &need, diag);
        TRY(rc);
        if (rc == 0)
            break;
        if (need <= size)
            return segment_damaged(place->segment, place->position, "a batch without end", diag);
        size = need;
    }
    if (brought_size(fetch) == 0 && place->segment->compacted) {
        fetch->next_offset = bound; /* a gap up to a batch that cannot be shown yet */
        return 0;
    }
    if (brought_size(fetch) == 0)
        return segment_damaged(place->segment, place->position,
                               "a batch reaches over the readable end", diag);
    if (place->segment->compacted && (int64_t)brought_size(fetch) == left)
        fetch->next_offset = place->end_offset < bound ? place->end_offset : bound;
    partition_keep_hint(partition, place->segment, fetch->next_offset,
                        place->position + (int64_t)brought_size(fetch));
    return 0;
}

bool partition_was_swapped(struct partition *partition, const struct read_place *place)
{
    pthread_mutex_lock(&partition->list_mutex);
    bool swapped = partition->swaps != place->swaps;
    pthread_mutex_unlock(&partition->list_mutex);
    return swapped;
}

/* One segment's batches, with the aborted transactions among them. 1: look again. */
static int fetch_once(struct partition *partition, int64_t offset, int64_t bound,
                      enum isolation isolation, size_t max_bytes, struct fetch *fetch,
                      struct diag *diag)
{
    struct read_place place;
    TRY(partition_locate(partition, offset, &place, diag));
    int rc = fetch_from(partition, &place, offset, bound, max_bytes, fetch, diag);
    bool replaced = atomic_load(&place.segment->replaced);
    segment_release(place.segment);
    if (rc == ERR_STATE && replaced)
        return 1;
    TRY(rc);
    if (isolation != READ_COMMITTED)
        return 0;
    if (partition_collect_aborted(partition, offset, fetch->next_offset, fetch) < 0)
        return diag_set(diag, ERR_NOMEM, "no memory for aborted transactions");
    /* A purge forgets the aborted transactions below the start once it moved the start: ours may
     * have been among them. */
    if (offset < atomic_load(&partition->start_offset))
        return diag_set(diag, ERR_RANGE, "purged meanwhile");
    return partition_was_swapped(partition, &place) ? 1 : 0;
}

int partition_fetch(struct partition *partition, int64_t offset, enum isolation isolation,
                    size_t max_bytes, struct fetch *fetch, struct diag *diag)
{
    bring_nothing(fetch);
    fetch->aborted_count = 0;
    fetch->next_offset = offset;
    TRY(partition_readable(partition, diag));
    partition_offsets(partition, &fetch->offsets);
    int64_t bound =
        isolation == READ_COMMITTED ? fetch->offsets.stable : fetch->offsets.high_watermark;
    if (offset < fetch->offsets.start || offset > fetch->offsets.end)
        return diag_set(diag, ERR_RANGE,
                        "offset %" PRId64 " of %s-%d: it has offsets %" PRId64 " to %" PRId64,
                        offset, partition->topic->name, partition->index, fetch->offsets.start,
                        fetch->offsets.end);
    int rc = 0;
    for (int64_t at = offset; rc >= 0 && at < bound && brought_size(fetch) == 0;) {
        rc = fetch_once(partition, at, bound, isolation, max_bytes, fetch, diag);
        if (rc == 0)
            at = fetch->next_offset;
        else
            bring_nothing(fetch);
    }
    if (rc < 0) {
        bring_nothing(fetch);
        fetch->next_offset = offset;
        if (atomic_load(&partition->deleted))
            return partition_readable(partition, diag);
        /* A purge may have removed the segment between two steps: then the offset is gone, not
         * damaged. */
        if (rc != ERR_CORRUPT && offset < atomic_load(&partition->start_offset))
            return diag_set(diag, ERR_RANGE, "offset %" PRId64 " of %s-%d was purged", offset,
                            partition->topic->name, partition->index);
    }
    return rc;
}

/* ---- finding by time ---- */

struct time_search {
    struct partition *partition;
    int64_t timestamp_ms, start, bound;
    int64_t from;                       /* everything below was searched */
    int64_t offset, found_timestamp_ms; /* -1: not found yet */
    struct buf plain;
};

/* The first record of a batch with the timestamp, at or after start. */
static int search_batch(struct time_search *search, struct bytes batch, struct diag *diag)
{
    struct record_reader reader;
    struct record record;
    int rc = record_reader_open(&reader, batch, BATCH_PLAIN_LIMIT_BYTES, &search->plain, diag);
    while (rc == 0 && (rc = record_reader_next(&reader, &record)) == 1) {
        rc = 0;
        if (record.timestamp_ms >= search->timestamp_ms && record.offset >= search->start) {
            search->offset = record.offset;
            search->found_timestamp_ms = record.timestamp_ms;
            return 0;
        }
    }
    return rc;
}

static int search_segment(struct time_search *search, struct read_place *place, struct diag *diag)
{
    struct segment_scan scan;
    struct batch_header header;
    struct bytes batch;
    int64_t position;
    struct diag why = {0};
    int64_t size = atomic_load(&place->segment->size_bytes);
    int rc = segment_scan_open(&scan, place->segment, place->position, size, true, diag);
    while (rc == 0 && search->offset < 0 &&
           (rc = segment_scan_next(&scan, &header, &batch, &position, &why)) == 1) {
        rc = 0;
        if (header.base_offset >= search->bound)
            break;
        if (header.max_timestamp_ms < search->timestamp_ms ||
            (header.attributes & BATCH_ATTR_CONTROL) != 0 ||
            batch_last_offset(&header) < search->start)
            continue;
        rc = batch_check_crc(batch, &why);
        if (rc == 0)
            rc = search_batch(search, batch, &why);
    }
    if (rc == ERR_RANGE || rc == ERR_CORRUPT)
        rc = segment_damaged(place->segment, scan.position, why.text, diag);
    segment_scan_close(&scan);
    return rc < 0 ? rc : 0;
}

/* Takes the next segment that may hold the timestamp, with a reference. Goes by offsets: purge and
 * compaction change the list meanwhile. False after the last. */
static bool take_segment(struct time_search *search, struct read_place *place)
{
    struct partition *partition = search->partition;
    bool taken = false;
    pthread_mutex_lock(&partition->list_mutex);
    int32_t i = find_segment(partition, search->from);
    for (i = i < 0 ? 0 : i; !taken && i < partition->segment_count; i++) {
        struct segment *segment = partition->segments[i];
        if (segment->base_offset >= search->bound)
            break;
        if (segment->max_timestamp_ms < search->timestamp_ms)
            continue;
        segment->references++;
        place->segment = segment;
        place->end_offset = segment->end_offset >= 0 ? segment->end_offset : INT64_MAX;
        place->has_tail = segment->index != NULL;
        if (place->has_tail)
            place->tail = *segment->index;
        taken = true;
    }
    pthread_mutex_unlock(&partition->list_mutex);
    return taken;
}

/* One segment; when compaction replaced it meanwhile the answer is not taken, and it is searched
 * again. When it could not be read and a purge has moved the start, the search goes on from there. */
static int search_place(struct time_search *search, struct read_place *place, struct diag *diag)
{
    const struct segment_index *tail = place->has_tail ? &place->tail : NULL;
    int64_t from = index_find_time(place->segment, tail, search->timestamp_ms);
    place->position = index_find_offset(place->segment, tail, from);
    int rc = search_segment(search, place, diag);
    bool replaced = atomic_load(&place->segment->replaced);
    segment_release(place->segment);
    int64_t start = atomic_load(&search->partition->start_offset);
    if (rc < 0 && rc != ERR_CORRUPT && start > search->start) {
        search->start = start;
        search->from = start > search->from ? start : search->from;
        search->offset = -1;
        return 0;
    }
    if (!replaced || (rc < 0 && rc != ERR_STATE)) {
        search->from = place->end_offset;
        return rc;
    }
    search->offset = -1;
    return 0;
}

int partition_find_time(struct partition *partition, int64_t timestamp_ms, int64_t *offset,
                        int64_t *found_timestamp_ms, struct diag *diag)
{
    struct time_search search = {.partition = partition,
                                 .timestamp_ms = timestamp_ms,
                                 .start = atomic_load(&partition->start_offset),
                                 .bound = partition_high_watermark(partition),
                                 .offset = -1,
                                 .found_timestamp_ms = -1};
    struct read_place place;
    int rc = partition_readable(partition, diag);
    search.from = search.start;
    buf_init(&search.plain, 0);
    while (rc == 0 && search.offset < 0 && search.from < search.bound &&
           take_segment(&search, &place))
        rc = search_place(&search, &place, diag);
    buf_deinit(&search.plain);
    *offset = search.offset;
    if (found_timestamp_ms != NULL)
        *found_timestamp_ms = search.found_timestamp_ms;
    return rc;
}
