/* segment_index.c: .index and .timeindex, in Kafka's formats.
 *
 *   .index       8 bytes an entry     0  4  last offset of a batch − base offset
 *                                     4  4  position of that batch in .log
 *   .timeindex   12 bytes an entry    0  8  largest timestamp so far
 *                                     8  4  last offset of the batch that has it − base offset
 *
 * Big-endian, ascending. An entry is added with the first batch after each 4096 bytes of batches, a
 * time entry with it when the largest timestamp rose, and one more when the segment is closed.
 * Files are never preallocated: their length is the number of entries.
 *
 * The indexes are hints, and treated so. They are written without a flush and no reader believes
 * them: an entry is used only when the batch at its position ends with its offset; else a closed
 * segment's indexes are built again from its batches, and the search begins at the segment's start.
 * A lost or stale tail only makes a search longer. The one thing that must not happen is a time
 * entry left over from batches that were cut off; so recovery flushes the files when it shortens
 * them.
 *
 * The active segment's newest entries wait in memory (INDEX_PENDING of them) and are written
 * together: two small writes for some 128 KiB of records, and no descriptor kept open. */
#include "log/log_internal.h"
#include "runtime/base/io.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

enum { INDEX_ENTRY_BYTES = 8, TIME_ENTRY_BYTES = 12 };

static void encode_entry(uint8_t out[INDEX_ENTRY_BYTES], const struct index_entry *entry)
{
    store_be32(out, (uint32_t)entry->relative_offset);
    store_be32(out + 4, (uint32_t)entry->position);
}

static struct index_entry decode_entry(const uint8_t *in)
{
    return (struct index_entry){(int32_t)load_be32(in), (int32_t)load_be32(in + 4)};
}

static void encode_time(uint8_t out[TIME_ENTRY_BYTES], const struct time_entry *entry)
{
    store_be64(out, (uint64_t)entry->timestamp_ms);
    store_be32(out + 8, (uint32_t)entry->relative_offset);
}

static struct time_entry decode_time(const uint8_t *in)
{
    return (struct time_entry){(int64_t)load_be64(in), (int32_t)load_be32(in + 8)};
}

/* ---- the active segment ---- */

static void add_time_entry(struct segment *segment)
{
    struct segment_index *index = segment->index;
    if (segment->max_timestamp_ms <= index->last_time_ms)
        return;
    index->time_pending[index->time_pending_count++] = (struct time_entry){
        segment->max_timestamp_ms, (int32_t)(segment->max_timestamp_offset - segment->base_offset)};
    index->last_time_ms = segment->max_timestamp_ms;
}

void index_note(struct segment *segment, const struct batch_header *header, int64_t position)
{
    struct segment_index *index = segment->index;
    if (header->max_timestamp_ms > segment->max_timestamp_ms) {
        segment->max_timestamp_ms = header->max_timestamp_ms;
        segment->max_timestamp_offset = batch_last_offset(header);
    }
    if (index->bytes_since_entry > INDEX_INTERVAL_BYTES) {
        if (index->pending_count == INDEX_PENDING || index->time_pending_count == INDEX_PENDING)
            index_write_pending(segment);
        index->pending[index->pending_count++] = (struct index_entry){
            (int32_t)(batch_last_offset(header) - segment->base_offset), (int32_t)position};
        add_time_entry(segment);
        index->bytes_since_entry = 0;
    }
    index->bytes_since_entry += header->size_bytes;
}

/* Only the holder of partition.mutex changes the counts. */
bool index_is_full(const struct segment *segment, int64_t limit_bytes)
{
    const struct segment_index *index = segment->index;
    int64_t entries = (int64_t)index->entry_count + index->pending_count + 1;
    int64_t times = (int64_t)index->time_count + index->time_pending_count + 2;
    return entries * INDEX_ENTRY_BYTES > limit_bytes || times * TIME_ENTRY_BYTES > limit_bytes;
}

static int write_at(const struct segment *segment, const char *suffix, const uint8_t *data,
                    size_t size, int64_t position)
{
    char path[LOG_PATH_BYTES];
    int fd;
    segment_path(segment, suffix, path);
    TRY(log_open_file(segment->partition->log, path, O_WRONLY | O_CREAT, &fd, NULL));
    int rc = size > 0 ? io_pwrite(fd, data, size, position, NULL) : 0;
    io_close(fd);
    return rc;
}

void index_write_pending(struct segment *segment)
{
    struct segment_index *index = segment->index;
    uint8_t entries[INDEX_PENDING * INDEX_ENTRY_BYTES], times[INDEX_PENDING * TIME_ENTRY_BYTES];
    for (int32_t i = 0; i < index->pending_count; i++)
        encode_entry(entries + i * INDEX_ENTRY_BYTES, &index->pending[i]);
    for (int32_t i = 0; i < index->time_pending_count; i++)
        encode_time(times + i * TIME_ENTRY_BYTES, &index->time_pending[i]);
    if (!index->broken &&
        (write_at(segment, "index", entries, (size_t)index->pending_count * INDEX_ENTRY_BYTES,
                  (int64_t)index->entry_count * INDEX_ENTRY_BYTES) < 0 ||
         write_at(segment, "timeindex", times, (size_t)index->time_pending_count * TIME_ENTRY_BYTES,
                  (int64_t)index->time_count * TIME_ENTRY_BYTES) < 0))
        index->broken = true; /* searches get longer, nothing else; the disk is probably full */
    if (!index->broken) {
        index->entry_count += index->pending_count;
        index->time_count += index->time_pending_count;
    }
    index->pending_count = 0;
    index->time_pending_count = 0;
}

void index_close(struct segment *segment)
{
    struct segment_index *index = segment->index;
    if (index->time_pending_count == INDEX_PENDING)
        index_write_pending(segment);
    add_time_entry(segment);
    index_write_pending(segment);
    free(index);
    segment->index = NULL;
}

/* ---- reading the files ---- */

struct index_file {
    int fd;
    int32_t count;
    size_t entry_bytes;
};

/* A missing file has no entries. */
static int file_open(struct index_file *file, const struct segment *segment, const char *suffix,
                     size_t entry_bytes)
{
    char path[LOG_PATH_BYTES];
    int64_t size;
    *file = (struct index_file){.fd = -1, .entry_bytes = entry_bytes};
    segment_path(segment, suffix, path);
    if (log_open_file(segment->partition->log, path, O_RDONLY, &file->fd, NULL) < 0) {
        file->fd = -1;
        return 0;
    }
    TRY(io_file_size(file->fd, &size, NULL));
    size /= (int64_t)entry_bytes;
    file->count = size > INT32_MAX ? INT32_MAX : (int32_t)size;
    return 0;
}

static void file_close(struct index_file *file)
{
    if (file->fd >= 0)
        io_close(file->fd);
}

static bool file_entry(const struct index_file *file, int32_t i, uint8_t *out)
{
    size_t got;
    return io_pread(file->fd, out, file->entry_bytes, (int64_t)i * (int64_t)file->entry_bytes, &got,
                    NULL) == 0 &&
           got == file->entry_bytes;
}

/* The number of leading entries for which below() holds; they ascend. Zeros after them (of a file
 * that was preallocated) are no entries: below() never holds there. */
static int32_t file_search(const struct index_file *file, bool (*below)(const uint8_t *, int64_t),
                           int64_t bound)
{
    int32_t low = 0, high = file->count;
    uint8_t entry[TIME_ENTRY_BYTES];
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (file_entry(file, middle, entry) && below(entry, bound))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The first batch of a file has no entry. */
static bool is_entry(struct index_entry entry)
{
    return entry.position > 0;
}

/* A true entry of the first record at the start of 1970 looks the same, and points where a search
 * without entries begins anyway. */
static bool is_time_entry(struct time_entry entry)
{
    return entry.timestamp_ms != 0 || entry.relative_offset != 0;
}

static bool offset_at_most(const uint8_t *in, int64_t bound)
{
    struct index_entry entry = decode_entry(in);
    return is_entry(entry) && entry.relative_offset <= bound;
}

static bool position_at_most(const uint8_t *in, int64_t bound)
{
    struct index_entry entry = decode_entry(in);
    return is_entry(entry) && entry.position <= bound;
}

static bool time_before(const uint8_t *in, int64_t bound)
{
    struct time_entry entry = decode_time(in);
    return is_time_entry(entry) && entry.timestamp_ms < bound;
}

static bool time_offset_at_most(const uint8_t *in, int64_t bound)
{
    struct time_entry entry = decode_time(in);
    return is_time_entry(entry) && entry.relative_offset <= bound;
}

/* Whether a batch that ends with the entry's offset begins at its position. */
static bool entry_holds(struct segment *segment, const struct index_entry *entry, int64_t limit,
                        struct batch_header *header)
{
    struct segment_scan scan;
    struct bytes batch;
    int64_t position;
    if (entry->position < 0 || entry->relative_offset < 0 || entry->position >= limit)
        return false;
    int rc = segment_scan_open(&scan, segment, entry->position, limit, false, NULL);
    if (rc == 0)
        rc = segment_scan_next(&scan, header, &batch, &position, NULL);
    segment_scan_close(&scan);
    return rc == 1 && batch_last_offset(header) == segment->base_offset + entry->relative_offset;
}

/* ---- rebuilding a closed segment's files ---- */

void index_builder_init(struct index_builder *builder, int64_t base_offset)
{
    *builder = (struct index_builder){
        .base_offset = base_offset, .largest_ms = INT64_MIN, .last_time_ms = INT64_MIN};
    buf_init(&builder->entries, 0);
    buf_init(&builder->times, 0);
}

void index_builder_deinit(struct index_builder *builder)
{
    buf_deinit(&builder->entries);
    buf_deinit(&builder->times);
}

static void build_time_entry(struct index_builder *builder)
{
    if (builder->largest_ms <= builder->last_time_ms)
        return;
    buf_be64(&builder->times, (uint64_t)builder->largest_ms);
    buf_be32(&builder->times, (uint32_t)builder->largest_offset);
    builder->last_time_ms = builder->largest_ms;
}

void index_builder_note(struct index_builder *builder, const struct batch_header *header,
                        int64_t position)
{
    int64_t last = batch_last_offset(header) - builder->base_offset;
    if (header->max_timestamp_ms > builder->largest_ms) {
        builder->largest_ms = header->max_timestamp_ms;
        builder->largest_offset = last;
    }
    if (builder->since > INDEX_INTERVAL_BYTES) {
        buf_be32(&builder->entries, (uint32_t)last);
        buf_be32(&builder->entries, (uint32_t)position);
        build_time_entry(builder);
        builder->since = 0;
    }
    builder->since += header->size_bytes;
}

int index_builder_end(struct index_builder *builder)
{
    build_time_entry(builder);
    return buf_ok(&builder->entries) && buf_ok(&builder->times) ? 0 : ERR_NOMEM;
}

static int collect(struct segment *segment, struct index_builder *builder)
{
    struct segment_scan scan;
    struct batch_header header;
    struct bytes batch;
    int64_t position;
    int rc = segment_scan_open(&scan, segment, 0, atomic_load(&segment->size_bytes), false, NULL);
    while (rc == 0 && (rc = segment_scan_next(&scan, &header, &batch, &position, NULL)) == 1) {
        rc = 0;
        index_builder_note(builder, &header, position);
    }
    segment_scan_close(&scan);
    return rc < 0 ? rc : index_builder_end(builder);
}

int index_rebuild(struct segment *segment)
{
    struct index_builder built;
    char path[LOG_PATH_BYTES];
    index_builder_init(&built, segment->base_offset);
    int rc = collect(segment, &built);
    if (rc == 0) {
        segment_path(segment, "index", path);
        rc = io_write_file(path, built.entries.size > 0 ? built.entries.data : (uint8_t *)"",
                           built.entries.size, NULL);
    }
    if (rc == 0) {
        segment_path(segment, "timeindex", path);
        rc = io_write_file(path, built.times.size > 0 ? built.times.data : (uint8_t *)"",
                           built.times.size, NULL);
    }
    index_builder_deinit(&built);
    return rc;
}

static int rebuild_wrong(struct segment *segment)
{
    char path[LOG_PATH_BYTES];
    if (segment->partition->log->read_only)
        return ERR_READ_ONLY; /* then the search begins at the segment's start */
    segment_path(segment, "index", path);
    log_line('W', "%s is missing or does not match its segment; built again from the batches", path);
    return index_rebuild(segment);
}

/* ---- searching ---- */

/* What entries are looked for by. */
enum entry_key { BY_OFFSET, BY_POSITION };

/* The last entry at or below the offset or position; false: none. */
static bool search_entries(struct segment *segment, const struct segment_index *tail,
                           enum entry_key key, int64_t most, struct index_entry *entry)
{
    for (int32_t i = tail != NULL ? tail->pending_count : 0; i > 0; i--) {
        *entry = tail->pending[i - 1];
        if ((key == BY_OFFSET ? entry->relative_offset : entry->position) <= most)
            return true;
    }
    struct index_file file;
    uint8_t bytes[INDEX_ENTRY_BYTES];
    bool found = false;
    if (file_open(&file, segment, "index", INDEX_ENTRY_BYTES) == 0) {
        if (tail != NULL && file.count > tail->entry_count)
            file.count = tail->entry_count;
        int32_t count = file_search(&file, key == BY_OFFSET ? offset_at_most : position_at_most, most);
        found = count > 0 && file_entry(&file, count - 1, bytes);
    }
    file_close(&file);
    if (found)
        *entry = decode_entry(bytes);
    return found;
}

static bool is_missing(struct segment *segment)
{
    struct index_file file;
    file_open(&file, segment, "index", INDEX_ENTRY_BYTES);
    bool missing = file.fd < 0;
    file_close(&file);
    return missing;
}

int64_t index_find_offset(struct segment *segment, const struct segment_index *tail, int64_t offset)
{
    int64_t limit = atomic_load(&segment->size_bytes);
    struct batch_header header;
    struct index_entry entry;
    for (int attempt = 0; attempt < 2; attempt++) {
        bool found = search_entries(segment, tail, BY_OFFSET, offset - segment->base_offset, &entry);
        if (found && entry_holds(segment, &entry, limit, &header))
            return entry.position;
        if (atomic_load(&segment->replaced) || segment->partition->log->read_only)
            break; /* the files belong to the segment that took its place */
        bool is_small = limit < 4 * INDEX_INTERVAL_BYTES;
        if (tail != NULL || attempt == 1 || (!found && (is_small || !is_missing(segment))) ||
            rebuild_wrong(segment) < 0)
            break;
    }
    return 0;
}

int64_t index_find_position(struct segment *segment, const struct segment_index *tail,
                            int64_t position)
{
    struct batch_header header;
    struct index_entry entry;
    int64_t limit = atomic_load(&segment->size_bytes);
    bool found = search_entries(segment, tail, BY_POSITION, position, &entry) &&
                 entry_holds(segment, &entry, limit, &header);
    return found ? entry.position : 0;
}

int64_t index_find_time(struct segment *segment, const struct segment_index *tail,
                        int64_t timestamp_ms)
{
    for (int32_t i = tail != NULL ? tail->time_pending_count : 0; i > 0; i--)
        if (tail->time_pending[i - 1].timestamp_ms < timestamp_ms)
            return segment->base_offset + tail->time_pending[i - 1].relative_offset;
    struct index_file file;
    uint8_t bytes[TIME_ENTRY_BYTES];
    int32_t relative = 0;
    if (file_open(&file, segment, "timeindex", TIME_ENTRY_BYTES) == 0) {
        if (tail != NULL && file.count > tail->time_count)
            file.count = tail->time_count;
        int32_t count = file_search(&file, time_before, timestamp_ms);
        if (count > 0 && file_entry(&file, count - 1, bytes))
            relative = decode_time(bytes).relative_offset;
    }
    file_close(&file);
    return segment->base_offset + (relative > 0 ? relative : 0);
}

/* ---- recovery of the active segment's indexes ---- */

/* Keeps the entries up to the one at `count`, when they agree with the file. */
static bool adopt(struct segment *segment, struct index_file *entries, struct index_file *times,
                  int64_t target, int64_t limit, struct index_entry *entry)
{
    struct segment_index *index = segment->index;
    struct batch_header header;
    uint8_t bytes[TIME_ENTRY_BYTES];
    int32_t count = file_search(entries, position_at_most, target);
    if (count == 0 || !file_entry(entries, count - 1, bytes))
        return false;
    *entry = decode_entry(bytes);
    if (!entry_holds(segment, entry, limit, &header))
        return false;
    int32_t time_count = file_search(times, time_offset_at_most, entry->relative_offset);
    if (time_count == 0 || !file_entry(times, time_count - 1, bytes))
        return false;
    struct time_entry last = decode_time(bytes);
    if (last.timestamp_ms < header.max_timestamp_ms || last.relative_offset < 0)
        return false;
    index->entry_count = count;
    index->time_count = time_count;
    index->last_time_ms = last.timestamp_ms;
    /* Noting the entry's own batch again adds no second entry, and leaves the right count of bytes.
     */
    index->bytes_since_entry = 0;
    segment->max_timestamp_ms = last.timestamp_ms;
    segment->max_timestamp_offset = segment->base_offset + last.relative_offset;
    return true;
}

int index_load(struct segment *segment, int64_t limit_bytes, int64_t *position, int64_t *offset,
               struct diag *diag)
{
    struct index_file entries, times;
    struct index_entry entry;
    *position = 0;
    *offset = segment->base_offset;
    if (limit_bytes <= RECHECK_BYTES)
        return 0;
    int rc = file_open(&entries, segment, "index", INDEX_ENTRY_BYTES);
    int rc2 = file_open(&times, segment, "timeindex", TIME_ENTRY_BYTES);
    if (rc == 0 && rc2 == 0 &&
        adopt(segment, &entries, &times, limit_bytes - RECHECK_BYTES, limit_bytes, &entry)) {
        struct batch_header header;
        if (entry_holds(segment, &entry, limit_bytes, &header)) {
            *position = entry.position;
            *offset = header.base_offset;
        }
    }
    file_close(&entries);
    file_close(&times);
    return rc < 0 || rc2 < 0 ? diag_errno(diag, "cannot read the indexes of a segment") : 0;
}

/* Makes the file hold exactly kept entries and then, when that is what it holds already, the
 * pending ones. Returns 1 when the pending ones are in the file. */
static int settle_file(struct segment *segment, const char *suffix, size_t entry_bytes,
                       int32_t kept, const uint8_t *pending, int32_t pending_count,
                       struct diag *diag)
{
    struct index_file file;
    uint8_t have[INDEX_PENDING * TIME_ENTRY_BYTES];
    size_t wanted = (size_t)pending_count * entry_bytes, got = 0;
    int64_t kept_bytes = (int64_t)kept * (int64_t)entry_bytes, size = 0;
    TRY(file_open(&file, segment, suffix, entry_bytes));
    if (file.fd < 0)
        return 0;
    int rc = io_file_size(file.fd, &size, diag);
    if (rc == 0)
        rc = io_pread(file.fd, have, wanted, kept_bytes, &got, diag);
    file_close(&file);
    TRY(rc);
    if (size == kept_bytes + (int64_t)wanted && got == wanted &&
        (wanted == 0 || memcmp(have, pending, wanted) == 0))
        return 1;
    if (size <= kept_bytes)
        return 0;
    char path[LOG_PATH_BYTES];
    int fd;
    segment_path(segment, suffix, path);
    TRY(log_open_file(segment->partition->log, path, O_WRONLY, &fd, diag));
    rc = io_truncate(fd, kept_bytes, diag);
    if (rc == 0)
        rc = io_fdatasync(fd, diag);
    io_close(fd);
    return rc;
}

int index_settle(struct segment *segment, struct diag *diag)
{
    struct segment_index *index = segment->index;
    uint8_t entries[INDEX_PENDING * INDEX_ENTRY_BYTES], times[INDEX_PENDING * TIME_ENTRY_BYTES];
    for (int32_t i = 0; i < index->pending_count; i++)
        encode_entry(entries + i * INDEX_ENTRY_BYTES, &index->pending[i]);
    for (int32_t i = 0; i < index->time_pending_count; i++)
        encode_time(times + i * TIME_ENTRY_BYTES, &index->time_pending[i]);
    int rc = settle_file(segment, "index", INDEX_ENTRY_BYTES, index->entry_count, entries,
                         index->pending_count, diag);
    TRY(rc);
    if (rc == 1) {
        index->entry_count += index->pending_count;
        index->pending_count = 0;
    }
    rc = settle_file(segment, "timeindex", TIME_ENTRY_BYTES, index->time_count, times,
                     index->time_pending_count, diag);
    TRY(rc);
    if (rc == 1) {
        index->time_count += index->time_pending_count;
        index->time_pending_count = 0;
    }
    return 0;
}
