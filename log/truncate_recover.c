/* truncate_recover.c: makes the cuts that partition_truncate recorded. Steps, and why: truncate.c.
 *
 * Runs while the log is opened, before any partition was looked at and before any other thread
 * exists. Each step finds out by itself what is left to do. */
#include "log/log_internal.h"
#include "runtime/base/clock.h"
#include "runtime/base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cutter {
    struct partition *partition;
    struct meta_place place;
    struct meta_truncation *cut;
    char directory[LOG_PATH_BYTES];
    struct meta_batch batch;
};

/* ---- files ---- */

static bool goes(const struct cutter *cutter, const struct partition_file *file)
{
    switch (file->kind) {
    case FILE_SNAPSHOT:
        return file->base_offset > cutter->cut->offset;
    case FILE_LOG:
    case FILE_INDEX:
    case FILE_TIMEINDEX:
    case FILE_TXNINDEX:
    case FILE_CLEANED:
        return file->base_offset >= cutter->cut->offset ||
               file->base_offset > cutter->cut->segment_base;
    default:
        return false;
    }
}

/* What stays counts as flushed from now on, also a closed segment that a crash kept from being recorded. */
static int flush_file(const char *path, struct diag *diag)
{
    int fd;
    TRY(io_open(path, O_RDWR, 0, &fd, diag));
    int rc = io_fdatasync(fd, diag);
    io_close(fd);
    return rc;
}

/* Removes what lies beyond the cut, and flushes the rest. */
static int remove_beyond(struct cutter *cutter, struct diag *diag)
{
    struct partition_listing listing;
    int rc = partition_listing_read(cutter->directory, &listing, diag);
    if (rc == ERR_NOT_FOUND) {
        partition_listing_deinit(&listing);
        return io_mkdir(cutter->directory, diag);
    }
    for (size_t i = listing.count; rc == 0 && i > 0; i--) { /* the newest first */
        char path[LOG_PATH_BYTES + 300];
        snprintf(path, sizeof path, "%s/%s", cutter->directory, listing.files[i - 1].name);
        if (goes(cutter, &listing.files[i - 1])) {
            rc = io_unlink(path, diag);
            crash_point("truncate.removed");
        } else if (listing.files[i - 1].kind == FILE_LOG) {
            rc = flush_file(path, diag);
        }
    }
    partition_listing_deinit(&listing);
    return rc;
}

static int shorten(struct cutter *cutter, struct diag *diag)
{
    struct segment *segment = segment_new(cutter->partition, cutter->cut->segment_base);
    char path[LOG_PATH_BYTES];
    int fd;
    if (segment == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory to cut a segment");
    segment_path(segment, "log", path);
    int rc = io_open(path, O_RDWR, 0, &fd, diag);
    if (rc == 0) {
        rc = io_truncate(fd, cutter->cut->position, diag);
        if (rc == 0)
            rc = io_fdatasync(fd, diag);
        io_close(fd);
    }
    crash_point("truncate.shortened");
    atomic_store(&segment->size_bytes, cutter->cut->position);
    atomic_store(&segment->flushed_bytes, cutter->cut->position);
    if (rc == 0 && (rc = index_rebuild(segment)) < 0)
        diag_set(diag, rc, "cannot build the indexes of %s again", path);
    segment_free(segment);
    return rc;
}

static bool is_here(const struct cutter *cutter, const struct meta_place *place)
{
    return place->partition == cutter->place.partition &&
           memcmp(&place->topic, &cutter->place.topic, sizeof place->topic) == 0;
}

/* A decision that came after the plan was made has the last word: one of this transaction. The
 * producer's earlier ones may still be in meta. */
static int look_at_decision(void *context, struct bytes key, struct bytes value, struct diag *diag)
{
    struct cutter *cutter = context;
    struct meta_decision decision;
    struct meta_decision_part part;
    (void)diag;
    TRY(meta_read_decision(key, value, &decision));
    while (meta_take_decision_part(&decision, &part) == 0)
        for (uint32_t i = 0; is_here(cutter, &part.place) && i < cutter->cut->count; i++) {
            struct meta_truncation_marker *marker = &cutter->cut->markers[i];
            if (marker->producer_id == decision.producer_id &&
                marker->first_offset >= part.first_offset && marker->first_offset < part.end_offset)
                marker->commit = decision.commit;
        }
    return 0;
}

/* The file that appends go on in, with the markers. */
static int begin_new(struct cutter *cutter, struct diag *diag)
{
    const struct meta_truncation *cut = cutter->cut;
    struct segment named = {.partition = cutter->partition, .base_offset = cut->offset};
    char path[LOG_PATH_BYTES];
    struct buf markers;
    int fd;
    TRY(meta_scan(cutter->partition->log->meta, META_DECISIONS, bytes_of(NULL, 0), look_at_decision,
                  cutter, diag));
    buf_init(&markers, 0);
    for (uint32_t i = 0; i < cut->count; i++) {
        uint8_t marker[MARKER_BYTES];
        control_batch_encode(cut->markers[i].commit, cut->markers[i].producer_id,
                             cut->markers[i].epoch, 0, clock_wall_ms(), marker);
        batch_set_base(marker, cut->offset + i, cut->leader_epoch);
        buf_append(&markers, marker, sizeof marker);
    }
    segment_path(&named, "log", path);
    int rc = buf_ok(&markers) ? io_open(path, O_RDWR | O_CREAT | O_TRUNC, 0644, &fd, diag)
                              : diag_set(diag, ERR_NOMEM, "no memory to cut a segment");
    if (rc == 0) {
        if (markers.size > 0)
            rc = io_pwrite(fd, markers.data, markers.size, 0, diag);
        if (rc == 0)
            rc = io_fdatasync(fd, diag);
        io_close(fd);
    }
    buf_deinit(&markers);
    return rc;
}

static int raise_epoch(struct cutter *cutter, struct diag *diag)
{
    struct leader_epochs epochs;
    TRY(leader_epochs_read(cutter->directory, &epochs, diag));
    int rc = 0;
    if (leader_epoch_latest(&epochs) < cutter->cut->leader_epoch) {
        rc = leader_epochs_cut(&epochs, cutter->cut->offset);
        if (rc == 0) {
            epochs.entries[epochs.count - 1].epoch = cutter->cut->leader_epoch;
            rc = leader_epochs_write(cutter->directory, &epochs, diag);
        } else {
            diag_set(diag, rc, "no memory for leader epochs");
        }
    }
    leader_epochs_deinit(&epochs);
    return rc;
}

static int cut_files(struct cutter *cutter, struct diag *diag)
{
    crash_point("truncate.begin");
    TRY(remove_beyond(cutter, diag));
    if (cutter->cut->segment_base >= 0 && cutter->cut->position > 0)
        TRY(shorten(cutter, diag));
    TRY(begin_new(cutter, diag));
    crash_point("truncate.marked");
    TRY(raise_epoch(cutter, diag));
    TRY(io_fsync_dir(cutter->directory, diag));
    crash_point("truncate.files");
    return 0;
}

/* ---- meta ---- */

static int drop_record(void *context, struct bytes key, struct bytes value, struct diag *diag)
{
    struct cutter *cutter = context;
    struct meta_place place;
    struct meta_segment record;
    (void)diag;
    TRY(meta_read_segment(key, value, &place, &record));
    /* One that compaction left empty, and that ends at the cut, stays as it is. */
    if (record.base_offset >= cutter->cut->offset ||
        (record.base_offset >= cutter->cut->segment_base && cutter->cut->position > 0))
        meta_delete_segment(&cutter->batch, &cutter->place, record.base_offset);
    return 0;
}

static int drop_range(void *context, struct bytes key, struct bytes value, struct diag *diag)
{
    struct cutter *cutter = context;
    struct meta_place place;
    struct aborted range;
    (void)diag;
    TRY(meta_read_aborted(key, value, &place, &range));
    if (range.last_offset >= cutter->cut->offset)
        meta_delete_aborted(&cutter->batch, &cutter->place, &range);
    return 0;
}

static int cut_cleaned(void *context, struct bytes key, struct bytes value, struct diag *diag)
{
    struct cutter *cutter = context;
    struct meta_place place;
    struct meta_cleaned cleaned;
    (void)diag;
    TRY(meta_read_cleaned(key, value, &place, &cleaned));
    if (cleaned.clean_end > cutter->cut->offset) {
        cleaned.clean_end = cutter->cut->offset;
        meta_put_cleaned(&cutter->batch, &place, &cleaned);
    }
    return 0;
}

/* Decisions lose their part here: its records below the cut have their marker, the others are gone. */
static int cut_decision(void *context, struct bytes key, struct bytes value, struct diag *diag)
{
    struct cutter *cutter = context;
    struct meta_decision decision;
    struct meta_decision_part part;
    uint32_t kept = 0;
    bool found = false;
    TRY(meta_read_decision(key, value, &decision));
    struct meta_decision_part *parts = calloc((size_t)decision.count + 1, sizeof *parts);
    if (parts == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for a decision");
    struct meta_decision without = decision;
    while (meta_take_decision_part(&decision, &part) == 0) {
        if (is_here(cutter, &part.place) && part.end_offset > cutter->cut->offset)
            found = true;
        else
            parts[kept++] = part;
    }
    without.count = kept;
    if (found && kept > 0)
        meta_put_decision(&cutter->batch, &without, parts);
    else if (found)
        meta_delete_decision(&cutter->batch, without.sequence);
    free(parts);
    return 0;
}

static void put_new(struct cutter *cutter)
{
    const struct meta_truncation *cut = cutter->cut;
    int64_t now = clock_wall_ms();
    struct meta_segment record = {.base_offset = cut->segment_base,
                                  .end_offset = cut->segment_end,
                                  .size_bytes = cut->position,
                                  .max_timestamp_ms = cut->max_timestamp_ms,
                                  .last_write_ms = now,
                                  .flags = cut->flags};
    struct meta_partition flushed = {.flushed_end = cut->offset + cut->count,
                                     .segment_base = cut->offset,
                                     .flushed_position = (int64_t)cut->count * MARKER_BYTES,
                                     .segment_created_ms = now};
    /* A compacted one needs its record, and those before it have theirs. Any other is walked by recovery, which records it
     * behind what a crash may have left unrecorded before it. */
    if (cut->segment_base >= 0 && cut->position > 0 && (cut->flags & META_SEGMENT_COMPACTED) != 0)
        meta_put_segment(&cutter->batch, &cutter->place, &record);
    meta_put_partition(&cutter->batch, &cutter->place, &flushed);
    for (uint32_t i = 0; i < cut->count; i++) {
        struct aborted range = {cut->markers[i].producer_id, cut->markers[i].first_offset,
                                cut->offset + i};
        if (!cut->markers[i].commit)
            meta_put_aborted(&cutter->batch, &cutter->place, &range);
    }
    meta_delete_truncation(&cutter->batch, &cutter->place);
}

static int cut_meta(struct cutter *cutter, struct diag *diag)
{
    struct log *log = cutter->partition->log;
    uint8_t prefix[META_PLACE_BYTES];
    meta_encode_place(prefix, &cutter->place);
    struct bytes here = bytes_of(prefix, sizeof prefix);
    TRY(meta_scan(log->meta, META_SEGMENTS, here, drop_record, cutter, diag));
    TRY(meta_scan(log->meta, META_ABORTED, here, drop_range, cutter, diag));
    TRY(meta_scan(log->meta, META_CLEANED, here, cut_cleaned, cutter, diag));
    TRY(meta_scan(log->meta, META_DECISIONS, bytes_of(NULL, 0), cut_decision, cutter, diag));
    put_new(cutter);
    TRY(log_meta_apply_cleanup(log, &cutter->batch, diag));
    crash_point("truncate.recorded");
    return 0;
}

/* ---- all of them ---- */

static int cut_one(struct partition *partition, struct meta_truncation *cut, struct diag *diag)
{
    if (partition->log->read_only) {
        struct diag why;
        diag_set(&why, ERR_STOPPED,
                 "%s-%d is to be cut at offset %" PRId64
                 ", which opening for reading only cannot do",
                 partition->topic->name, partition->index, cut->offset);
        partition_stop(partition, ERR_STOPPED, &why);
        return 0;
    }
    struct cutter cutter = {
        .partition = partition, .place = partition_place(partition), .cut = cut};
    partition_directory(partition, cutter.directory);
    meta_batch_init(&cutter.batch);
    partition->lost_tail = true;
    int rc = cut_files(&cutter, diag);
    if (rc == 0)
        rc = cut_meta(&cutter, diag);
    meta_batch_deinit(&cutter.batch);
    if (rc == 0)
        log_line('W',
                 "%s is cut at offset %" PRId64 "; leader epoch %d begins, %u transactions ended",
                 cutter.directory, cut->offset, cut->leader_epoch, cut->count);
    return rc;
}

static int copy_entry(void *context, struct bytes key, struct bytes value, struct diag *diag)
{
    struct buf *entries = context;
    (void)diag;
    buf_be32(entries, (uint32_t)key.size);
    buf_be32(entries, (uint32_t)value.size);
    buf_append_bytes(entries, key);
    buf_append_bytes(entries, value);
    return buf_ok(entries) ? 0 : ERR_NOMEM;
}

static int forget_cut(struct log *log, const struct meta_place *place, struct diag *diag)
{
    struct meta_batch batch;
    meta_batch_init(&batch);
    meta_delete_truncation(&batch, place);
    int rc = log_meta_apply_cleanup(log, &batch, diag);
    meta_batch_deinit(&batch);
    return rc;
}

int recover_truncations(struct log *log, struct diag *diag)
{
    struct buf entries; /* copies: no read transaction is open while we write */
    buf_init(&entries, 0);
    int rc = meta_scan(log->meta, META_TRUNCATIONS, bytes_of(NULL, 0), copy_entry, &entries, diag);
    struct bytes rest = bytes_of(entries.data, entries.size), key, value;
    struct meta_truncation *cut = rest.size > 0 ? malloc(sizeof *cut) : NULL;
    if (rc == 0 && rest.size > 0 && cut == NULL)
        rc = diag_set(diag, ERR_NOMEM, "no memory to cut a partition");
    while (rc == 0 && rest.size > 0) {
        uint32_t key_size, value_size;
        struct meta_place place;
        rc = take_be32(&rest, &key_size) < 0 || take_be32(&rest, &value_size) < 0 ||
                     take_bytes(&rest, key_size, &key) < 0 ||
                     take_bytes(&rest, value_size, &value) < 0 ||
                     meta_read_truncation(key, value, &place, cut) < 0
                 ? diag_set(diag, ERR_CORRUPT, "meta: a truncation is damaged")
                 : 0;
        struct partition *partition = rc == 0 ? log_find_place(log, &place) : NULL;
        if (partition != NULL)
            rc = cut_one(partition, cut, diag);
        else if (rc == 0 && !log->read_only) /* the topic was deleted */
            rc = forget_cut(log, &place, diag);
    }
    free(cut);
    buf_deinit(&entries);
    return rc;
}
