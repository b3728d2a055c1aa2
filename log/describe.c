/* describe.c: what an operator asks about a partition: offsets, sizes, times, and why it stopped.
 *
 * Segments are noted under the partition's locks, with a reference each, and then read without: one
 * batch header per segment, for the time of its first record. The directory is listed for the bytes
 * of all other files, so that the sum is what a disk usage tool would say.
 *
 * A partition that damage stopped is the one an operator looks at most closely, and opening may
 * have given up before it knew all its segments; so for such a one every .log file of the directory
 * is named, with what is known of it. */
#include "log/log_internal.h"
#include "runtime/base/io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct noted { /* the segments of a moment, referenced */
    struct segment **segments;
    struct segment_description *descriptions;
    size_t count;
};

static int note_segments(struct partition *partition, struct noted *noted)
{
    pthread_mutex_lock(&partition->mutex);
    pthread_mutex_lock(&partition->list_mutex);
    size_t count = (size_t)partition->segment_count;
    noted->segments = malloc((count + 1) * sizeof *noted->segments);
    noted->descriptions = calloc(count + 1, sizeof *noted->descriptions);
    bool ok = noted->segments != NULL && noted->descriptions != NULL;
    for (size_t i = 0; ok && i < count; i++) {
        struct segment *segment = partition->segments[i];
        bool active = segment == partition->active;
        segment->references++;
        noted->segments[i] = segment;
        noted->descriptions[i] = (struct segment_description){
            .base_offset = segment->base_offset,
            .end_offset = active ? atomic_load(&partition->end_offset) : segment->end_offset,
            .bytes = atomic_load(&segment->size_bytes),
            .first_timestamp_ms = INT64_MIN,
            .max_timestamp_ms = segment->max_timestamp_ms,
            .last_write_ms = segment->last_write_ms,
            .active = active,
        };
        noted->count++;
    }
    pthread_mutex_unlock(&partition->list_mutex);
    pthread_mutex_unlock(&partition->mutex);
    return ok ? 0 : ERR_NOMEM;
}

static void release_noted(struct noted *noted)
{
    for (size_t i = 0; i < noted->count; i++)
        segment_release(noted->segments[i]);
    free(noted->segments);
}

/* The time of a batch's first record, from its header where the header has it. */
static int64_t first_time(struct bytes batch, const struct batch_header *header)
{
    if ((header->attributes & BATCH_ATTR_LOG_APPEND_TIME) != 0)
        return header->max_timestamp_ms;
    if ((header->attributes & BATCH_ATTR_DELETE_HORIZON) == 0)
        return header->base_timestamp_ms;
    struct record_reader reader;
    struct record record;
    struct buf plain;
    int64_t timestamp_ms = INT64_MIN;
    buf_init(&plain, 0);
    if (record_reader_open(&reader, batch, BATCH_PLAIN_LIMIT_BYTES, &plain, NULL) == 0 &&
        record_reader_next(&reader, &record) == 1)
        timestamp_ms = record.timestamp_ms;
    buf_deinit(&plain);
    return timestamp_ms;
}

/* Control batches and those that compaction emptied have no record of a user's. */
static int64_t read_first_time(struct segment *segment, int64_t limit)
{
    struct segment_scan scan;
    struct batch_header header;
    struct bytes batch;
    int64_t position, timestamp_ms = INT64_MIN;
    int rc = segment_scan_open(&scan, segment, 0, limit, false, NULL);
    while (rc == 0 && segment_scan_next(&scan, &header, &batch, &position, NULL) == 1) {
        if (header.record_count == 0 || (header.attributes & BATCH_ATTR_CONTROL) != 0)
            continue;
        if ((header.attributes & BATCH_ATTR_DELETE_HORIZON) == 0 || scan.whole) {
            timestamp_ms = first_time(batch, &header);
            break;
        }
        segment_scan_close(&scan); /* once more, with the batch's records */
        rc = segment_scan_open(&scan, segment, position, limit, true, NULL);
    }
    segment_scan_close(&scan);
    return timestamp_ms;
}

/* A file that opening did not get to. */
static void add_file(struct partition_description *description, const char *directory,
                     const struct partition_file *file)
{
    char path[LOG_PATH_BYTES + 256];
    struct stat info;
    struct segment_description *at = &description->segments[description->segment_count++];
    *at = (struct segment_description){.base_offset = file->base_offset,
                                       .end_offset = -1,
                                       .bytes = file->size_bytes,
                                       .first_timestamp_ms = INT64_MIN,
                                       .max_timestamp_ms = INT64_MIN,
                                       .last_write_ms = INT64_MIN};
    snprintf(path, sizeof path, "%s/%s", directory, file->name);
    if (stat(path, &info) == 0)
        at->last_write_ms = (int64_t)info.st_mtim.tv_sec * 1000 + info.st_mtim.tv_nsec / 1000000;
}

/* What a stopped partition knows of a file may end where the damage is: its size counts. */
static void take_file(struct partition_description *description, const char *directory,
                      const struct partition_file *file)
{
    for (size_t i = 0; i < description->segment_count; i++)
        if (description->segments[i].base_offset == file->base_offset) {
            description->segments[i].bytes = file->size_bytes;
            return;
        }
    add_file(description, directory, file);
}

static int compare_segments(const void *a, const void *b)
{
    const struct segment_description *left = a, *right = b;
    return (left->base_offset > right->base_offset) - (left->base_offset < right->base_offset);
}

/* Bytes of the other files; and of a stopped partition the segments that it does not know. */
static int look_at_files(struct partition *partition, struct partition_description *description,
                         struct diag *diag)
{
    char directory[LOG_PATH_BYTES];
    struct partition_listing listing;
    partition_directory(partition, directory);
    int rc = partition_listing_read(directory, &listing, diag);
    if (rc == ERR_NOT_FOUND) /* said by the status, or a topic that was deleted meanwhile */
        return 0;
    size_t room = description->segment_count + listing.count + 1;
    struct segment_description *segments =
        rc == 0 ? realloc(description->segments, room * sizeof *segments) : NULL;
    if (rc == 0 && segments == NULL)
        rc = diag_set(diag, ERR_NOMEM, "no memory to describe a partition");
    if (rc == 0) {
        description->segments = segments;
        for (size_t i = 0; i < listing.count; i++) {
            if (listing.files[i].kind != FILE_LOG)
                description->other_bytes += listing.files[i].size_bytes;
            else if (description->status < 0)
                take_file(description, directory, &listing.files[i]);
        }
        if (description->segment_count > 1)
            qsort(description->segments, description->segment_count, sizeof *description->segments,
                  compare_segments);
    }
    partition_listing_deinit(&listing);
    return rc;
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static void sum_up(struct partition_description *description)
{
    for (size_t i = 0; i < description->segment_count; i++) {
        const struct segment_description *segment = &description->segments[i];
        description->bytes += segment->bytes;
        if (description->first_timestamp_ms == INT64_MIN)
            description->first_timestamp_ms = segment->first_timestamp_ms;
        description->max_timestamp_ms =
            later(description->max_timestamp_ms, segment->max_timestamp_ms);
        if (segment->bytes > 0)
            description->last_write_ms = later(description->last_write_ms, segment->last_write_ms);
    }
}

int partition_describe(struct partition *partition, struct partition_description *description,
                       struct diag *diag)
{
    struct noted noted = {0};
    *description = (struct partition_description){
        .first_timestamp_ms = INT64_MIN, .max_timestamp_ms = INT64_MIN, .last_write_ms = INT64_MIN};
    if (atomic_load(&partition->deleted))
        return partition_readable(partition, diag);
    description->status = partition_status(partition, &description->reason);
    int rc = note_segments(partition, &noted);
    if (rc < 0)
        diag_set(diag, rc, "no memory to describe a partition");
    partition_offsets(partition, &description->offsets);
    for (size_t i = 0; rc == 0 && i < noted.count; i++)
        noted.descriptions[i].first_timestamp_ms =
            read_first_time(noted.segments[i], noted.descriptions[i].bytes);
    description->segments = noted.descriptions;
    description->segment_count = noted.count;
    release_noted(&noted);
    if (rc == 0)
        rc = look_at_files(partition, description, diag);
    if (rc == 0)
        sum_up(description);
    return rc;
}

void partition_description_deinit(struct partition_description *description)
{
    free(description->segments);
    description->segments = NULL;
    description->segment_count = 0;
}
