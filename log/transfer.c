/* transfer.c: a partition's segments written out, and segments of elsewhere brought in.
 *
 * Both copy batch by batch, each checked as verify checks it: a copy of damage is not made. What goes
 * out is what a reader could have read: up to the last stable offset. It has Kafka's names, so that
 * Kafka's tools read it, and topic_import_segments too.
 *
 * What comes in must not count before it is whole, on the disk, for all partitions of the topic, and
 * a crash must leave all of it or nothing. For this the import speaks the language of compaction's
 * swap (segment_swap.c): segments are written as <base>.log.cleaned with their indexes and flushed;
 * then one transaction in meta records them all as META_SEGMENT_SWAPPING, with flushed ends, start
 * offsets and aborted ranges. From that moment they are the partition; the next opening gives them
 * their names. Before it, files of that name belong to nobody, and opening removes them.
 *
 * Foreign leader epochs mean nothing here: batches get epoch 0. Producer ids stay; they matter only
 * inside the transactions that are copied with them. */
#include "log/verify_internal.h"
#include "runtime/base/clock.h"
#include "runtime/base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { COPY_BUFFER_BYTES = 1 << 20, OPEN_TRANSACTIONS = 10000 };

/* ---- a segment that is written ---- */

struct copy {
    char path[LOG_PATH_BYTES + 64]; /* of the .log */
    const char *ending;             /* "" or ".cleaned" */
    int fd;
    int64_t base, position, end, max_timestamp_ms;
    bool gaps;
    struct index_builder indexes;
    struct buf waiting;
};

static void copy_path(const char *directory, int64_t base, const char *suffix, const char *ending,
                      char path[LOG_PATH_BYTES + 64])
{
    snprintf(path, LOG_PATH_BYTES + 64, "%s/%020" PRId64 ".%s%s", directory, base, suffix, ending);
}

static int copy_begin(struct copy *copy, const char *directory, int64_t base, const char *ending,
                      struct diag *diag)
{
    *copy = (struct copy){
        .fd = -1, .base = base, .end = base, .ending = ending, .max_timestamp_ms = INT64_MIN};
    buf_init(&copy->waiting, 0);
    index_builder_init(&copy->indexes, base);
    copy_path(directory, base, "log", ending, copy->path);
    return io_open(copy->path, O_WRONLY | O_CREAT | O_TRUNC, 0644, &copy->fd, diag);
}

static int copy_write(struct copy *copy, struct diag *diag)
{
    if (!buf_ok(&copy->waiting))
        return diag_set(diag, ERR_NOMEM, "no memory to copy a segment");
    int64_t at = copy->position - (int64_t)copy->waiting.size;
    int rc = copy->waiting.size > 0
                 ? io_pwrite(copy->fd, copy->waiting.data, copy->waiting.size, at, diag)
                 : 0;
    buf_clear(&copy->waiting);
    return rc;
}

/* leader_epoch -1: as it is. */
static int copy_batch(struct copy *copy, const struct batch_header *header, struct bytes batch,
                      int32_t leader_epoch, struct diag *diag)
{
    if (copy->position + header->size_bytes > INT32_MAX ||
        batch_last_offset(header) - copy->base > INT32_MAX)
        return diag_set(diag, ERR_TOO_LARGE, "%s would have over 2 GiB, or offsets too far apart",
                        copy->path);
    size_t at = copy->waiting.size;
    buf_append_bytes(&copy->waiting, batch);
    if (leader_epoch >= 0 && buf_ok(&copy->waiting))
        batch_set_base(copy->waiting.data + at, header->base_offset, leader_epoch);
    index_builder_note(&copy->indexes, header, copy->position);
    copy->gaps = copy->gaps || header->base_offset != copy->end ||
                 header->record_count != header->last_offset_delta + 1;
    copy->position += header->size_bytes;
    copy->end = batch_last_offset(header) + 1;
    if (header->max_timestamp_ms > copy->max_timestamp_ms)
        copy->max_timestamp_ms = header->max_timestamp_ms;
    return copy->waiting.size >= COPY_BUFFER_BYTES || !buf_ok(&copy->waiting)
               ? copy_write(copy, diag)
               : 0;
}

static int write_index(const struct copy *copy, const char *directory, const char *suffix,
                       const struct buf *entries, struct diag *diag)
{
    char path[LOG_PATH_BYTES + 64];
    copy_path(directory, copy->base, suffix, copy->ending, path);
    return io_write_file(path, entries->size > 0 ? entries->data : (const uint8_t *)"",
                         entries->size, diag);
}

static void copy_deinit(struct copy *copy)
{
    if (copy->fd >= 0)
        io_close(copy->fd);
    copy->fd = -1;
    buf_deinit(&copy->waiting);
    index_builder_deinit(&copy->indexes);
}

/* On the disk, with its indexes. */
static int copy_end(struct copy *copy, const char *directory, struct transfer *transfer,
                    struct diag *diag)
{
    int rc = copy_write(copy, diag);
    if (rc == 0)
        rc = io_fdatasync(copy->fd, diag);
    if (rc == 0 && (rc = index_builder_end(&copy->indexes)) < 0)
        diag_set(diag, rc, "no memory for the indexes of %s", copy->path);
    if (rc == 0)
        rc = write_index(copy, directory, "index", &copy->indexes.entries, diag);
    if (rc == 0)
        rc = write_index(copy, directory, "timeindex", &copy->indexes.times, diag);
    transfer->segments++;
    transfer->bytes += copy->position;
    copy_deinit(copy);
    return rc;
}

/* ---- out ---- */

struct out_walk {
    const char *directory;
    int64_t start, stable;
    struct transfer *transfer;
    struct buf scratch;
    bool ended;
};

static int damaged(const char *path, int64_t position, const struct diag *why, struct diag *diag)
{
    return diag_set(diag, ERR_CORRUPT, "%s, byte %" PRId64 ": %s", path, position, why->text);
}

/* One batch; begins the file with the first one. */
static int export_batch(struct out_walk *out, struct copy *copy, int64_t file_base, bool gaps,
                        const struct batch_header *header, struct bytes batch, struct diag *diag)
{
    if (batch_last_offset(header) < out->start)
        return 0;
    out->ended = batch_last_offset(header) >= out->stable;
    if (out->ended)
        return 0;
    int rc = verify_batch(batch, header, gaps, &out->scratch, diag);
    if (rc == 0 && copy->fd < 0) /* a beginning that was purged away is not in the name either */
        rc = copy_begin(copy, out->directory,
                        file_base < out->start ? header->base_offset : file_base, "", diag);
    if (rc == 0)
        rc = copy_batch(copy, header, batch, -1, diag);
    if (rc == 0) {
        out->transfer->batches++;
        out->transfer->records += header->record_count;
    }
    return rc;
}

static int export_file(struct out_walk *out, const char *path, int64_t base, int64_t limit,
                       bool gaps, struct diag *diag)
{
    struct file_walk walk;
    struct copy copy = {.fd = -1};
    struct batch_header header;
    struct bytes batch;
    int64_t position = 0;
    struct diag why = {0};
    int rc = file_walk_open(&walk, path, limit, &why);
    while (rc == 0 && !out->ended) {
        rc = file_walk_next(&walk, &header, &batch, &position, &why);
        if (rc == 0)
            break;
        if (rc == 1)
            rc = export_batch(out, &copy, base, gaps, &header, batch, &why);
    }
    file_walk_close(&walk);
    if (rc == 0 && copy.fd >= 0)
        rc = copy_end(&copy, out->directory, out->transfer, &why);
    copy_deinit(&copy);
    if (rc == ERR_CORRUPT)
        return damaged(path, position, &why, diag);
    if (rc < 0 && diag != NULL)
        *diag = why;
    return rc;
}

struct out_segment {
    int64_t base, bytes;
    bool compacted;
};

/* Nobody takes segments away: purge_mutex is held. */
static struct out_segment *list_segments(struct partition *partition, size_t *count)
{
    pthread_mutex_lock(&partition->list_mutex);
    struct out_segment *list = calloc((size_t)partition->segment_count + 1, sizeof *list);
    *count = list != NULL ? (size_t)partition->segment_count : 0;
    for (size_t i = 0; i < *count; i++)
        list[i] = (struct out_segment){partition->segments[i]->base_offset,
                                       atomic_load(&partition->segments[i]->size_bytes),
                                       partition->segments[i]->compacted};
    pthread_mutex_unlock(&partition->list_mutex);
    return list;
}

static int export_segments(struct partition *partition, struct out_walk *out, struct diag *diag)
{
    char from[LOG_PATH_BYTES];
    struct leader_epochs epochs;
    size_t count;
    struct out_segment *list = list_segments(partition, &count);
    int rc = list != NULL ? 0 : diag_set(diag, ERR_NOMEM, "no memory to export a partition");
    partition_directory(partition, from);
    for (size_t i = 0; rc == 0 && i < count && !out->ended; i++) {
        char path[LOG_PATH_BYTES + 64];
        copy_path(from, list[i].base, "log", "", path);
        rc = export_file(out, path, list[i].base, list[i].bytes, list[i].compacted, diag);
    }
    free(list);
    if (rc == 0)
        rc = leader_epochs_read(from, &epochs, diag);
    if (rc == 0) {
        if (epochs.count > 0)
            rc = leader_epochs_write(out->directory, &epochs, diag);
        leader_epochs_deinit(&epochs);
    }
    return rc == 0 ? io_fsync_dir(out->directory, diag) : rc;
}

int partition_export_segments(struct partition *partition, const char *directory,
                              struct transfer *transfer, struct diag *diag)
{
    struct transfer done = {0};
    TRY(partition_readable(partition, diag));
    int rc = io_mkdir_new(directory, diag);
    if (rc < 0)
        return errno == EEXIST ? diag_set(diag, ERR_EXISTS, "%s exists already", directory) : rc;
    struct partition_offsets offsets;
    pthread_mutex_lock(&partition->purge_mutex);
    partition_offsets(partition, &offsets);
    struct out_walk out = {.directory = directory,
                           .start = offsets.start,
                           .stable = offsets.stable,
                           .transfer = &done};
    rc = swap_settle(partition, diag);
    if (rc == 0)
        rc = export_segments(partition, &out, diag);
    pthread_mutex_unlock(&partition->purge_mutex);
    buf_deinit(&out.scratch);
    if (rc < 0) {
        (void)io_remove_tree(directory, NULL);
        return rc;
    }
    transfer->segments += done.segments;
    transfer->batches += done.batches;
    transfer->records += done.records;
    transfer->bytes += done.bytes;
    return 0;
}

/* ---- in ---- */

struct in_open { /* a transaction without its end so far */
    int64_t producer_id, first_offset;
    int16_t epoch;
};
struct in_walk { /* one partition */
    struct partition *partition;
    const char *from;
    char to[LOG_PATH_BYTES];
    struct meta_place place;
    struct meta_batch *batch;
    struct transfer *transfer;
    struct copy copy;
    struct buf scratch;
    bool may_have_gaps;
    int64_t start, expected;  /* -1: nothing came yet */
    struct meta_segment last; /* the newest finished segment; base -1: none */
    struct in_open *open;
    size_t open_count;
};

static int note_transaction(struct in_walk *in, const struct batch_header *header,
                            struct bytes batch, struct diag *diag)
{
    bool control = (header->attributes & BATCH_ATTR_CONTROL) != 0;
    size_t i = 0;
    if (!control &&
        ((header->attributes & BATCH_ATTR_TRANSACTIONAL) == 0 || header->record_count == 0))
        return 0;
    while (i < in->open_count && in->open[i].producer_id != header->producer_id)
        i++;
    if (!control && i < in->open_count) {
        in->open[i].epoch = header->producer_epoch;
    } else if (!control && in->open_count == OPEN_TRANSACTIONS) {
        return diag_set(diag, ERR_TOO_LARGE, "more than %d transactions are open",
                        OPEN_TRANSACTIONS);
    } else if (!control) {
        in->open[in->open_count++] =
            (struct in_open){header->producer_id, header->base_offset, header->producer_epoch};
    } else {
        int outcome = control_batch_decode(batch);
        if (outcome < 0)
            return diag_set(diag, ERR_CORRUPT,
                            "a control batch is neither a commit nor an abort marker");
        if (i == in->open_count)
            return 0; /* its records were compacted away, or lie before the first segment */
        struct aborted range = {header->producer_id, in->open[i].first_offset, header->base_offset};
        if (outcome == 0)
            meta_put_aborted(in->batch, &in->place, &range);
        in->open[i] = in->open[--in->open_count];
    }
    return 0;
}

static int check_offset(const struct in_walk *in, const struct batch_header *header,
                        struct diag *diag)
{
    if (in->expected < 0 || header->base_offset == in->expected ||
        (in->may_have_gaps && header->base_offset > in->expected))
        return 0;
    return diag_set(diag, ERR_CORRUPT, "offset %" PRId64 " where %" PRId64 " was expected%s",
                    header->base_offset, in->expected,
                    header->base_offset > in->expected
                        ? "; a segment is missing, or the topic was compacted: then give it "
                          "cleanup.policy=compact first"
                        : "");
}

/* The record of the segment before: a gap that follows it is its own. */
static void put_last(struct in_walk *in, int64_t next_base)
{
    if (in->last.base_offset < 0)
        return;
    if (next_base > in->last.end_offset) {
        in->last.end_offset = next_base;
        in->last.flags |= META_SEGMENT_COMPACTED;
    }
    meta_put_segment(in->batch, &in->place, &in->last);
}

static int finish_segment(struct in_walk *in, struct diag *diag)
{
    const struct copy *copy = &in->copy;
    struct meta_segment record = {.base_offset = copy->base,
                                  .end_offset = copy->end,
                                  .size_bytes = copy->position,
                                  .max_timestamp_ms = copy->max_timestamp_ms,
                                  .last_write_ms = clock_wall_ms(),
                                  .flags = META_SEGMENT_SWAPPING |
                                           (copy->gaps ? META_SEGMENT_COMPACTED : 0u)};
    put_last(in, copy->base);
    in->last = record;
    return copy_end(&in->copy, in->to, in->transfer, diag);
}

static int import_batch(struct in_walk *in, int64_t file_base, const struct batch_header *header,
                        struct bytes batch, struct diag *diag)
{
    TRY(check_offset(in, header, diag));
    TRY(verify_batch(batch, header, in->may_have_gaps, &in->scratch, diag));
    TRY(note_transaction(in, header, batch, diag));
    if (in->copy.fd < 0) {
        if (header->base_offset < file_base)
            return diag_set(diag, ERR_CORRUPT,
                            "offset %" PRId64 " lies before the one in the file's name",
                            header->base_offset);
        TRY(copy_begin(&in->copy, in->to, in->may_have_gaps ? file_base : header->base_offset,
                       ".cleaned", diag));
        if (in->start < 0)
            in->start = in->copy.base;
    }
    TRY(copy_batch(&in->copy, header, batch, 0, diag));
    in->expected = batch_last_offset(header) + 1;
    in->transfer->batches++;
    in->transfer->records += header->record_count;
    return 0;
}

/* Markers for what is open behind the last batch; the last segment takes them. */
static int abort_open(struct in_walk *in, struct diag *diag)
{
    for (size_t i = 0; i < in->open_count; i++) {
        uint8_t marker[MARKER_BYTES];
        struct batch_header header;
        control_batch_encode(false, in->open[i].producer_id, in->open[i].epoch, 0, clock_wall_ms(),
                             marker);
        batch_set_base(marker, in->expected, 0);
        TRY(batch_parse_header(bytes_of(marker, sizeof marker), &header, diag));
        TRY(copy_batch(&in->copy, &header, bytes_of(marker, sizeof marker), 0, diag));
        struct aborted range = {in->open[i].producer_id, in->open[i].first_offset, in->expected};
        meta_put_aborted(in->batch, &in->place, &range);
        in->expected++;
        in->transfer->aborted++;
    }
    in->open_count = 0;
    return 0;
}

static int import_file(struct in_walk *in, const char *path, int64_t base, bool is_last,
                       struct diag *diag)
{
    struct file_walk walk;
    struct batch_header header;
    struct bytes batch;
    int64_t position = 0;
    struct diag why = {0};
    int rc = file_walk_open(&walk, path, -1, &why);
    while (rc == 0) {
        rc = file_walk_next(&walk, &header, &batch, &position, &why);
        if (rc == 0)
            break;
        if (rc == 1)
            rc = import_batch(in, base, &header, batch, &why);
    }
    file_walk_close(&walk);
    if (rc == 0 && is_last && in->copy.fd >= 0)
        rc = abort_open(in, &why);
    if (rc == 0 && in->copy.fd >= 0)
        rc = finish_segment(in, &why);
    copy_deinit(&in->copy);
    if (rc == ERR_CORRUPT && strstr(why.text, "message set") != NULL)
        return diag_set(diag, ERR_UNSUPPORTED,
                        "%s, byte %" PRId64 ": %s. Let a Kafka of 0.11 or later write it anew",
                        path, position, why.text);
    if (rc == ERR_CORRUPT)
        return damaged(path, position, &why, diag);
    if (rc < 0 && diag != NULL)
        *diag = why;
    return rc;
}

/* The last file that holds anything takes the markers. */
static size_t last_log(const struct partition_listing *listing)
{
    size_t last = listing->count;
    for (size_t i = 0; i < listing->count; i++)
        if (listing->files[i].kind == FILE_LOG && listing->files[i].size_bytes > 0)
            last = i;
    return last;
}

static int import_files(struct in_walk *in, const struct partition_listing *listing,
                        struct diag *diag)
{
    size_t last = last_log(listing);
    for (size_t i = 0; i < listing->count; i++) {
        const struct partition_file *file = &listing->files[i];
        char path[LOG_PATH_BYTES + 300];
        size_t length = strlen(file->name);
        snprintf(path, sizeof path, "%s/%s", in->from, file->name);
        if (length > 5 && strcmp(file->name + length - 5, ".swap") == 0)
            return diag_set(diag, ERR_STATE,
                            "%s: a compaction of Kafka has not ended; start and stop that broker "
                            "first",
                            path);
        if (file->kind != FILE_LOG || file->size_bytes == 0)
            continue;
        if (!file->regular)
            return diag_set(diag, ERR_INVALID, "%s is no file", path);
        TRY(import_file(in, path, file->base_offset, i == last, diag));
    }
    return 0;
}

/* What meta will know of the partition, but for segments and ranges, which are in the batch already. */
static void put_partition(struct in_walk *in)
{
    if (in->last.base_offset < 0)
        return;
    put_last(in, in->last.end_offset);
    struct meta_partition flushed = {in->last.end_offset, in->last.base_offset, in->last.size_bytes,
                                     clock_wall_ms()};
    meta_put_partition(in->batch, &in->place, &flushed);
    if (in->start > 0)
        meta_put_start(in->batch, &in->place, in->start);
}

static int import_partition(struct partition *partition, const char *from, struct meta_batch *batch,
                            struct transfer *transfer, struct diag *diag)
{
    struct partition_listing listing;
    struct in_walk in = {.partition = partition,
                         .from = from,
                         .place = partition_place(partition),
                         .batch = batch,
                         .transfer = transfer,
                         .copy = {.fd = -1},
                         .may_have_gaps = atomic_load(&partition->topic->compacted),
                         .start = -1,
                         .expected = -1,
                         .last = {.base_offset = -1},
                         .open = malloc(OPEN_TRANSACTIONS * sizeof *in.open)};
    partition_directory(partition, in.to);
    int rc = partition_listing_read(from, &listing, diag);
    if (rc == 0 && in.open == NULL)
        rc = diag_set(diag, ERR_NOMEM, "no memory for open transactions");
    if (rc == 0)
        rc = import_files(&in, &listing, diag);
    if (rc == 0) {
        put_partition(&in);
        rc = io_fsync_dir(in.to, diag);
    }
    buf_deinit(&in.scratch);
    free(in.open);
    partition_listing_deinit(&listing);
    return rc;
}

/* ---- the topic ---- */

/* From here on nobody appends; false: somebody did already. */
static bool hold_empty(struct partition *partition)
{
    pthread_mutex_lock(&partition->mutex);
    pthread_mutex_lock(&partition->list_mutex);
    bool empty = atomic_load(&partition->status) == 0 && partition->segment_count == 0 &&
                 atomic_load(&partition->end_offset) == 0;
    if (empty) {
        diag_set(&partition->stop_reason, ERR_STOPPED,
                 "segments were imported into %s-%d; they are there when the log is opened next",
                 partition->topic->name, partition->index);
        atomic_store(&partition->status, ERR_STOPPED);
    }
    pthread_mutex_unlock(&partition->list_mutex);
    pthread_mutex_unlock(&partition->mutex);
    return empty;
}

static void let_go(struct partition *partition)
{
    pthread_mutex_lock(&partition->list_mutex);
    atomic_store(&partition->status, 0);
    pthread_mutex_unlock(&partition->list_mutex);
}

static int import_all(struct partition **partitions, const char *const *directories, int32_t count,
                      struct meta_batch *batch, struct transfer *transfer, struct diag *diag)
{
    for (int32_t i = 0; i < count; i++)
        TRY(import_partition(partitions[i], directories[i], batch, transfer, diag));
    crash_point("import.written");
    TRY(log_meta_apply(partitions[0]->log, batch, diag));
    crash_point("import.recorded");
    return 0;
}

/* Held until the log is closed when all went well; else as it was. */
static int import_into(struct partition **partitions, const char *const *directories, int32_t count,
                       struct transfer *transfer, struct diag *diag)
{
    struct meta_batch batch;
    int32_t held = 0;
    int rc = 0;
    while (held < count && hold_empty(partitions[held]))
        held++;
    if (held < count)
        rc = diag_set(diag, ERR_STATE,
                      "topic %s holds records, or held some: segments keep their offsets and can "
                      "only go into a topic without any",
                      partitions[0]->topic->name);
    meta_batch_init(&batch);
    if (rc == 0)
        rc = import_all(partitions, directories, count, &batch, transfer, diag);
    meta_batch_deinit(&batch);
    for (int32_t i = 0; rc < 0 && i < held; i++) {
        char directory[LOG_PATH_BYTES];
        partition_directory(partitions[i], directory);
        (void)swap_remove_cleaned(directory, NULL);
        let_go(partitions[i]);
    }
    return rc;
}

int topic_import_segments(struct log *log, const char *name, const char *const *directories,
                          int32_t count, struct transfer *transfer, struct diag *diag)
{
    struct partition **partitions = NULL;
    size_t have = 0;
    struct transfer done = {0};
    TRY(log_status(log, diag));
    TRY(log_partitions(log, name, &partitions, &have, diag));
    int rc =
        have == (size_t)count
            ? 0
            : diag_set(diag, ERR_INVALID, "topic %s has %zu partitions, not %d", name, have, count);
    if (rc == 0)
        rc = import_into(partitions, directories, count, &done, diag);
    free(partitions);
    if (rc == 0) {
        transfer->segments += done.segments;
        transfer->batches += done.batches;
        transfer->records += done.records;
        transfer->bytes += done.bytes;
        transfer->aborted += done.aborted;
    }
    return rc;
}
