/* verify.c: reads everything a partition has, and believes none of it.
 *
 * What is compared with what:
 *
 *   each batch        its CRC, its header, each of its records: framing, offsets, times, headers
 *   the next batch    begins where it ended, in the file and in offsets
 *   the next segment  likewise; only what compaction wrote may have gaps
 *   its epoch         the leader epoch checkpoint
 *   the indexes       verify_index.c
 *   transactions      verify_txn.c
 *   meta              closed segments: size, end, largest timestamp; the flushed end is the end of
 *                     a batch; the start offset lies in the first file
 *   the directory     every file is somebody's, and none is missing
 *
 * Files are opened by path and read with a buffer of their own: descriptors, read hints and index
 * tails of the running log play no part, so that a bug in them cannot hide what is on the disk.
 *
 * The log goes on meanwhile. The directory, the end of the active segment and meta are looked at in
 * one moment, under the partition's lock, and not in the middle of a purge or a compaction; appends come after that
 * moment and are not looked at. A purge or a compaction may take files away while they are read: so findings wait until
 * the walk is over, and when the segments changed the walk is done again, the last time with the partition's
 * purge_mutex held throughout.
 *
 * A partition that damage stopped has no trustworthy moment; there the files alone are the measure,
 * to their last byte. */
#include "log/verify_internal.h"
#include "runtime/base/io.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NOTES_MOST = 1000, ATTEMPTS = 3 };

/* ---- findings ---- */

void verify_say(struct verify *verify, enum verify_kind kind, const char *file, int64_t position,
                int64_t offset, const char *format, ...)
{
    if (verify->note_count == NOTES_MOST) {
        verify->left_out++;
        return;
    }
    if (verify->note_count == verify->note_capacity) {
        size_t capacity = verify->note_capacity == 0 ? 16 : verify->note_capacity * 2;
        struct verify_note *notes = realloc(verify->notes, capacity * sizeof *notes);
        if (notes == NULL) {
            verify->no_memory = true;
            return;
        }
        verify->notes = notes;
        verify->note_capacity = capacity;
    }
    struct verify_note note = {kind, position, offset, strdup(file), NULL};
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&note.text, format, arguments);
    va_end(arguments);
    if (note.file == NULL || length < 0) {
        free(note.file);
        verify->no_memory = true;
        return;
    }
    verify->notes[verify->note_count++] = note;
}

static void report_notes(struct verify *verify, verify_finding_fn fn, void *context)
{
    struct partition *partition = verify->partition;
    for (size_t i = 0; fn != NULL && i < verify->note_count; i++) {
        const struct verify_note *note = &verify->notes[i];
        struct verify_finding finding = {note->kind, partition->topic->name, partition->index,
                                         note->file, note->position,         note->offset,
                                         note->text};
        fn(context, &finding);
    }
    if (fn != NULL && verify->left_out > 0) {
        char text[64];
        snprintf(text, sizeof text, "%" PRId64 " findings more", verify->left_out);
        struct verify_finding finding = {VERIFY_RECORDS,
                                         partition->topic->name,
                                         partition->index,
                                         verify->directory,
                                         -1,
                                         -1,
                                         text};
        fn(context, &finding);
    }
}

/* Ready for another walk. */
static void forget(struct verify *verify)
{
    struct partition *partition = verify->partition;
    for (size_t i = 0; i < verify->note_count; i++) {
        free(verify->notes[i].file);
        free(verify->notes[i].text);
    }
    free(verify->notes);
    partition_listing_deinit(&verify->listing);
    leader_epochs_deinit(&verify->epochs);
    free(verify->records);
    *verify = (struct verify){.partition = partition};
}

/* ---- the moment ---- */

static int load_flushed(void *context, struct bytes key, struct bytes value, struct diag *diag)
{
    struct meta_place place;
    (void)diag;
    return meta_read_partition(key, value, &place, &((struct verify *)context)->flushed);
}

static int load_record(void *context, struct bytes key, struct bytes value, struct diag *diag)
{
    struct verify *verify = context;
    struct meta_place place;
    struct meta_segment record;
    TRY(meta_read_segment(key, value, &place, &record));
    if (verify->record_count == verify->record_capacity) {
        size_t capacity = verify->record_capacity == 0 ? 16 : verify->record_capacity * 2;
        struct meta_segment *records = realloc(verify->records, capacity * sizeof *records);
        if (records == NULL)
            return diag_set(diag, ERR_NOMEM, "no memory for segments");
        verify->records = records;
        verify->record_capacity = capacity;
    }
    verify->records[verify->record_count++] = record;
    return 0;
}

/* The directory, and where the partition ends: nothing is appended meanwhile. */
static int look_at_directory(struct verify *verify, struct diag *diag)
{
    struct partition *partition = verify->partition;
    verify->active_base = -1;
    pthread_mutex_lock(&partition->mutex);
    partition_offsets(partition, &verify->offsets);
    pthread_mutex_lock(&partition->list_mutex);
    const struct segment *active = partition->active;
    if (active != NULL && !verify->stopped) {
        verify->active_base = active->base_offset;
        verify->active_bytes = atomic_load(&active->size_bytes);
        verify->index_entries[0] = active->index->entry_count;
        verify->index_entries[1] = active->index->time_count;
    }
    verify->swaps = partition->swaps;
    pthread_mutex_unlock(&partition->list_mutex);
    int rc = partition_listing_read(verify->directory, &verify->listing, diag);
    pthread_mutex_unlock(&partition->mutex);
    if (rc == ERR_NOT_FOUND) {
        verify_say(verify, VERIFY_FILES, verify->directory, -1, -1, "the directory is missing");
        rc = 0;
    }
    return rc;
}

static int look(struct verify *verify, struct diag *diag)
{
    struct partition *partition = verify->partition;
    struct meta *meta = partition->log->meta;
    struct meta_place place = partition_place(partition);
    uint8_t prefix[META_PLACE_BYTES];
    meta_encode_place(prefix, &place);
    partition_directory(partition, verify->directory);
    verify->stopped = partition_status(partition, NULL) < 0;
    verify->flushed = (struct meta_partition){.segment_base = -1};
    /* Before the directory: what meta has recorded is there. */
    TRY(meta_scan(meta, META_PARTITIONS, bytes_of(prefix, sizeof prefix), load_flushed, verify,
                  diag));
    TRY(look_at_directory(verify, diag));
    TRY(meta_scan(meta, META_SEGMENTS, bytes_of(prefix, sizeof prefix), load_record, verify, diag));
    int rc = leader_epochs_read(verify->directory, &verify->epochs, diag);
    if (rc == ERR_CORRUPT) {
        verify_say(verify, VERIFY_FILES, verify->directory, -1, -1, "%s",
                   diag != NULL ? diag->text : "the leader epoch checkpoint is damaged");
        rc = 0;
    }
    return rc;
}

/* Whether files may have gone while they were read. */
static bool has_changed(struct verify *verify)
{
    struct partition *partition = verify->partition;
    bool stopped = partition_status(partition, NULL) < 0;
    pthread_mutex_lock(&partition->list_mutex);
    bool changed = partition->swaps != verify->swaps || stopped != verify->stopped ||
                   atomic_load(&partition->start_offset) != verify->offsets.start;
    pthread_mutex_unlock(&partition->list_mutex);
    return changed;
}

/* ---- one batch ---- */

static int broken_record(const struct record_reader *reader, struct diag *why)
{
    return diag_set(why, ERR_CORRUPT, "record %d of %d is broken, or bytes follow the last one",
                    reader->index, reader->header.record_count);
}

static int check_record(const struct record *record, struct diag *why)
{
    struct bytes headers = record->headers;
    struct header header;
    for (int32_t i = 0; i < record->header_count; i++)
        if (header_take(&headers, &header) < 0)
            return diag_set(why, ERR_CORRUPT, "the headers of offset %" PRId64 " are broken",
                            record->offset);
    if (headers.size != 0)
        return diag_set(why, ERR_CORRUPT, "bytes follow the headers of offset %" PRId64,
                        record->offset);
    return 0;
}

static int check_records(struct record_reader *reader, bool gaps, struct diag *why)
{
    const struct batch_header *h = &reader->header;
    struct record record;
    int64_t next = h->base_offset, largest_ms = INT64_MIN;
    int rc;
    while ((rc = record_reader_next(reader, &record)) == 1) {
        if (gaps ? record.offset < next : record.offset != next)
            return diag_set(why, ERR_CORRUPT, "offset %" PRId64 " where %" PRId64 " was expected",
                            record.offset, next);
        TRY(check_record(&record, why));
        next = record.offset + 1;
        if (record.timestamp_ms > largest_ms)
            largest_ms = record.timestamp_ms;
    }
    if (rc < 0)
        return broken_record(reader, why);
    if (h->record_count > 0 && largest_ms != h->max_timestamp_ms)
        return diag_set(why, ERR_CORRUPT,
                        "the largest timestamp is %" PRId64 ", the batch says %" PRId64, largest_ms,
                        h->max_timestamp_ms);
    return 0;
}

int verify_batch(struct bytes batch, const struct batch_header *header, bool gaps,
                 struct buf *scratch, struct diag *why)
{
    if (gaps ? header->record_count > header->last_offset_delta + 1
             : header->record_count != header->last_offset_delta + 1)
        return diag_set(why, ERR_CORRUPT, "%d records with last offset delta %d",
                        header->record_count, header->last_offset_delta);
    struct record_reader reader;
    int rc = record_reader_open(&reader, batch, BATCH_PLAIN_LIMIT_BYTES, scratch, why);
    if (rc == ERR_RANGE || rc == ERR_TOO_LARGE || rc == ERR_UNSUPPORTED)
        rc = ERR_CORRUPT;
    return rc < 0 ? rc : check_records(&reader, gaps, why);
}

/* ---- one segment ---- */

struct segment_walk {
    struct verify *verify;
    struct index_check indexes;
    struct txn_check *txns;
    struct buf scratch;
    char path[LOG_PATH_BYTES + 256];
    int64_t base, next_base; /* of the file, and of the next one: -1 there is none */
    int64_t expected;        /* offset; -1: not known, after damage */
    int64_t largest_ms;
    const struct meta_segment *record; /* NULL: meta knows no closed segment here */
    bool gaps, is_last, was_off, damaged, flushed_end_seen;
};

static const struct meta_segment *find_record(const struct verify *verify, int64_t base)
{
    for (size_t i = 0; i < verify->record_count; i++)
        if (verify->records[i].base_offset == base)
            return &verify->records[i];
    return NULL;
}

static bool offset_is_right(const struct segment_walk *walk, int64_t base)
{
    return walk->expected < 0 || (walk->gaps ? base >= walk->expected : base == walk->expected);
}

/* A single wrong number is taken for damage to that number, a second one for a jump. */
static void check_offset(struct segment_walk *walk, const struct batch_header *header,
                         int64_t position)
{
    bool right = offset_is_right(walk, header->base_offset);
    int64_t begin = right || walk->was_off ? header->base_offset : walk->expected;
    if (!right)
        verify_say(walk->verify, VERIFY_RECORDS, walk->path, position, walk->expected,
                   "a batch of offset %" PRId64 " where %" PRId64 " was expected",
                   header->base_offset, walk->expected);
    else if (walk->next_base >= 0 && batch_last_offset(header) >= walk->next_base)
        verify_say(walk->verify, VERIFY_RECORDS, walk->path, position, header->base_offset,
                   "the batch reaches offset %" PRId64 ", but the next segment begins at %" PRId64,
                   batch_last_offset(header), walk->next_base);
    walk->was_off = !right;
    walk->expected = begin + header->last_offset_delta + 1;
}

static void check_flushed_end(struct segment_walk *walk, int64_t position)
{
    const struct meta_partition *flushed = &walk->verify->flushed;
    if (walk->base != flushed->segment_base || position != flushed->flushed_position)
        return;
    walk->flushed_end_seen = true;
    if (walk->expected >= 0 && walk->expected != flushed->flushed_end && !walk->was_off)
        verify_say(walk->verify, VERIFY_META, walk->path, position, walk->expected,
                   "meta has the flushed end %" PRId64 " here, the batches say %" PRId64,
                   flushed->flushed_end, walk->expected);
}

static int check_batch(struct segment_walk *walk, const struct batch_header *header,
                       struct bytes batch, int64_t position, struct diag *diag)
{
    struct verify *verify = walk->verify;
    struct diag why = {0};
    check_offset(walk, header, position);
    int rc = verify_batch(batch, header, walk->gaps, &walk->scratch, &why);
    if (rc == ERR_CORRUPT)
        verify_say(verify, VERIFY_RECORDS, walk->path, position, header->base_offset, "%s",
                   why.text);
    else if (rc < 0)
        return diag_set(diag, rc, "%s", why.text);
    int32_t epoch = leader_epoch_at(&verify->epochs, header->base_offset);
    if (header->leader_epoch != epoch)
        verify_say(verify, VERIFY_RECORDS, walk->path, position, header->base_offset,
                   "the batch has leader epoch %d, the checkpoint says %d", header->leader_epoch,
                   epoch);
    if (header->max_timestamp_ms > walk->largest_ms)
        walk->largest_ms = header->max_timestamp_ms;
    index_check_batch(&walk->indexes, header, position);
    check_flushed_end(walk, position + header->size_bytes);
    verify->report.batches++;
    verify->report.records += header->record_count;
    verify->report.bytes += header->size_bytes;
    return txn_check_batch(walk->txns, walk->path, position, batch, header, diag);
}

/* From the damage to the next batch that is right. */
static int skip_damage(struct segment_walk *walk, struct file_walk *file, const struct diag *why,
                       struct diag *diag)
{
    int64_t from = file->position;
    TRY(file_walk_resync(file, walk->expected >= 0 ? walk->expected : walk->base, diag));
    verify_say(walk->verify, VERIFY_RECORDS, walk->path, from, walk->expected,
               "%" PRId64 " bytes are no batch: %s", file->position - from, why->text);
    index_check_damage(&walk->indexes, from, file->position);
    walk->damaged = walk->txns->damaged = true;
    walk->expected = -1;
    return 0;
}

static int walk_batches(struct segment_walk *walk, struct file_walk *file, struct diag *diag)
{
    struct batch_header header;
    struct bytes batch;
    int64_t position;
    for (;;) {
        struct diag why = {0};
        int rc = file_walk_next(file, &header, &batch, &position, &why);
        if (rc == 0)
            return 0;
        if (rc == 1)
            rc = check_batch(walk, &header, batch, position, diag);
        else if (rc == ERR_CORRUPT)
            rc = skip_damage(walk, file, &why, diag);
        else if (diag != NULL)
            *diag = why;
        TRY(rc);
    }
}

/* What meta recorded when it was closed. */
static void check_record_of(struct segment_walk *walk, int64_t file_size)
{
    const struct meta_segment *record = walk->record;
    if (record->size_bytes != file_size)
        verify_say(walk->verify, VERIFY_META, walk->path,
                   record->size_bytes < file_size ? record->size_bytes : file_size, -1,
                   "the file has %" PRId64 " bytes; it was closed with %" PRId64, file_size,
                   record->size_bytes);
    if (walk->damaged || walk->was_off)
        return;
    if (walk->expected >= 0 &&
        (walk->gaps ? walk->expected > record->end_offset : walk->expected != record->end_offset))
        verify_say(walk->verify, VERIFY_META, walk->path, file_size, walk->expected,
                   "the segment ends at offset %" PRId64 ", meta says %" PRId64, walk->expected,
                   record->end_offset);
    if (walk->largest_ms != record->max_timestamp_ms)
        verify_say(walk->verify, VERIFY_META, walk->path, -1, -1,
                   "the largest timestamp is %" PRId64 ", meta says %" PRId64, walk->largest_ms,
                   record->max_timestamp_ms);
    walk->expected = record->end_offset; /* behind it there may be a gap that belongs to it */
}

static void check_end(struct segment_walk *walk, const struct file_walk *file)
{
    struct verify *verify = walk->verify;
    const struct meta_partition *flushed = &verify->flushed;
    if (walk->record != NULL)
        check_record_of(walk, file->file_size);
    if (walk->base == verify->active_base) {
        if (file->limit < verify->active_bytes)
            verify_say(verify, VERIFY_RECORDS, walk->path, file->limit, walk->expected,
                       "the file is truncated: it had %" PRId64 " bytes", verify->active_bytes);
        else if (walk->expected >= 0 && walk->expected != verify->offsets.end)
            verify_say(verify, VERIFY_RECORDS, walk->path, file->limit, walk->expected,
                       "the partition ends at offset %" PRId64 ", its last file at %" PRId64,
                       verify->offsets.end, walk->expected);
    }
    if (walk->base == flushed->segment_base && !walk->flushed_end_seen && !walk->damaged &&
        flushed->flushed_position > 0)
        verify_say(verify, VERIFY_META, walk->path, flushed->flushed_position, flushed->flushed_end,
                   "meta has the flushed end here, but no batch ends here");
}

static int walk_segment(struct segment_walk *walk, struct diag *diag)
{
    static const int32_t all[2] = {-1, -1};
    struct verify *verify = walk->verify;
    bool active = walk->base == verify->active_base;
    struct file_walk file;
    int rc = file_walk_open(&file, walk->path, active ? verify->active_bytes : -1, diag);
    if (rc == 0)
        rc = index_check_start(&walk->indexes, verify, walk->path, walk->base,
                               !walk->is_last || (!active && walk->record != NULL),
                               active ? verify->index_entries : all, diag);
    if (rc == 0) {
        rc = walk_batches(walk, &file, diag);
        index_check_end(&walk->indexes);
        check_end(walk, &file);
        verify->report.segments++;
    }
    file_walk_close(&file);
    return rc;
}

/* ---- the directory ---- */

/* What the file's name and its place among the others say, before it is read. */
static void check_place(struct segment_walk *walk, int64_t expected, bool is_first)
{
    struct verify *verify = walk->verify;
    if (is_first && walk->base > verify->offsets.start)
        verify_say(verify, VERIFY_FILES, walk->path, -1, verify->offsets.start,
                   "offsets %" PRId64 " to %" PRId64 " are missing before this segment",
                   verify->offsets.start, walk->base - 1);
    if (expected >= 0 && walk->base > expected)
        verify_say(verify, VERIFY_FILES, walk->path, -1, expected,
                   "offsets %" PRId64 " to %" PRId64 " are missing before this segment", expected,
                   walk->base - 1);
    else if (expected >= 0 && walk->base < expected)
        verify_say(verify, VERIFY_FILES, walk->path, -1, walk->base,
                   "the segment begins before offset %" PRId64 ", where the one before ends",
                   expected);
    walk->expected = walk->base;
}

static int64_t next_log(const struct partition_listing *listing, size_t at)
{
    for (size_t i = at + 1; i < listing->count; i++)
        if (listing->files[i].kind == FILE_LOG)
            return listing->files[i].base_offset;
    return -1;
}

static int walk_logs(struct verify *verify, struct txn_check *txns, int64_t *first_base,
                     struct diag *diag)
{
    struct segment_walk *walk = calloc(1, sizeof *walk); /* two paths and more: not on the stack */
    int64_t expected = -1;
    int rc = walk != NULL ? 0 : diag_set(diag, ERR_NOMEM, "no memory to verify");
    *first_base = -1;
    for (size_t i = 0; rc == 0 && i < verify->listing.count; i++) {
        const struct partition_file *file = &verify->listing.files[i];
        if (file->kind != FILE_LOG)
            continue;
        struct buf scratch = walk->scratch;
        *walk = (struct segment_walk){.verify = verify,
                                      .txns = txns,
                                      .scratch = scratch,
                                      .base = file->base_offset,
                                      .next_base = next_log(&verify->listing, i),
                                      .largest_ms = INT64_MIN,
                                      .record = find_record(verify, file->base_offset)};
        walk->is_last = walk->next_base < 0;
        if (!walk->is_last && walk->next_base <= verify->offsets.start)
            continue; /* purged, and about to be removed */
        if (walk->base == verify->active_base)
            walk->record = NULL; /* it was closed since */
        walk->gaps = walk->record != NULL && (walk->record->flags & META_SEGMENT_COMPACTED) != 0;
        snprintf(walk->path, sizeof walk->path, "%s/%s", verify->directory, file->name);
        check_place(walk, expected, *first_base < 0);
        if (*first_base < 0)
            *first_base = file->base_offset;
        rc = walk_segment(walk, diag);
        expected = walk->expected;
    }
    if (walk != NULL)
        buf_deinit(&walk->scratch);
    free(walk);
    return rc;
}

static bool has_log(const struct verify *verify, int64_t base)
{
    for (size_t i = 0; i < verify->listing.count; i++)
        if (verify->listing.files[i].kind == FILE_LOG &&
            verify->listing.files[i].base_offset == base)
            return true;
    return false;
}

/* Segments that meta or the running log know, and that have no file. */
static void check_missing(struct verify *verify)
{
    char path[LOG_PATH_BYTES + 64];
    for (size_t i = 0; i < verify->record_count; i++) {
        const struct meta_segment *record = &verify->records[i];
        if (record->end_offset <= verify->offsets.start || has_log(verify, record->base_offset) ||
            (verify->active_base >= 0 && record->base_offset >= verify->active_base))
            continue;
        snprintf(path, sizeof path, "%s/%020" PRId64 ".log", verify->directory,
                 record->base_offset);
        verify_say(verify, VERIFY_FILES, path, -1, record->base_offset,
                   "the file is missing; it held offsets %" PRId64 " to %" PRId64,
                   record->base_offset, record->end_offset - 1);
    }
    int64_t last = verify->active_base >= 0 ? verify->active_base : verify->flushed.segment_base;
    if (last >= 0 && !has_log(verify, last) && find_record(verify, last) == NULL) {
        snprintf(path, sizeof path, "%s/%020" PRId64 ".log", verify->directory, last);
        verify_say(verify, VERIFY_FILES, path, -1, last,
                   "the file is missing; offsets up to %" PRId64 " were flushed",
                   verify->flushed.flushed_end - 1);
    }
}

/* Files that are nobody's. What a compaction is writing and what waits for its removal is passed
 * over. */
static void check_files(struct verify *verify)
{
    char path[LOG_PATH_BYTES + 300];
    for (size_t i = 0; i < verify->listing.count; i++) {
        const struct partition_file *file = &verify->listing.files[i];
        snprintf(path, sizeof path, "%s/%s", verify->directory, file->name);
        bool of_segment = file->kind == FILE_INDEX || file->kind == FILE_TIMEINDEX;
        if (file->kind == FILE_FOREIGN || file->kind == FILE_METADATA ||
            file->kind == FILE_TXNINDEX || !file->regular)
            verify_say(verify, VERIFY_FILES, path, -1, -1, "this file is none of the log's");
        else if (of_segment && !has_log(verify, file->base_offset) &&
                 file->base_offset != verify->active_base)
            verify_say(verify, VERIFY_FILES, path, -1, file->base_offset,
                       "an index without its segment");
        else if (file->kind == FILE_LOG && file->base_offset > verify->active_base &&
                 verify->active_base >= 0)
            verify_say(verify, VERIFY_FILES, path, -1, file->base_offset,
                       "this segment is none of the partition's, which ends before it");
    }
}

/* Between two purges or compactions, not in the middle of one, when some files of a segment are gone. */
static int look_in_peace(struct verify *verify, bool is_locked, struct diag *diag)
{
    if (!is_locked)
        pthread_mutex_lock(&verify->partition->purge_mutex);
    int rc = look(verify, diag);
    if (!is_locked)
        pthread_mutex_unlock(&verify->partition->purge_mutex);
    return rc;
}

static int walk_all(struct verify *verify, bool is_locked, struct diag *diag)
{
    struct txn_check txns;
    int64_t first_base;
    TRY(look_in_peace(verify, is_locked, diag));
    int rc = txn_check_start(&txns, verify, diag);
    if (rc == 0) {
        check_missing(verify);
        check_files(verify);
        rc = walk_logs(verify, &txns, &first_base, diag);
    }
    if (rc == 0)
        rc = txn_check_end(
            &txns, first_base < verify->offsets.start ? verify->offsets.start : first_base,
            verify->offsets.end, verify->stopped ? -1 : verify->offsets.stable, diag);
    txn_check_deinit(&txns);
    if (rc == 0 && verify->no_memory)
        rc = diag_set(diag, ERR_NOMEM, "no memory for what was found");
    return rc;
}

static void add_report(struct verify *verify, struct verify_report *report)
{
    if (report == NULL)
        return;
    report->segments += verify->report.segments;
    report->batches += verify->report.batches;
    report->records += verify->report.records;
    report->bytes += verify->report.bytes;
    report->findings += (int64_t)verify->note_count + verify->left_out;
}

int partition_verify(struct partition *partition, verify_finding_fn fn, void *context,
                     struct verify_report *report, struct diag *diag)
{
    struct verify verify = {.partition = partition};
    int rc = 0;
    for (int attempt = 1; attempt <= ATTEMPTS; attempt++) {
        bool last = attempt == ATTEMPTS;
        forget(&verify);
        if (last)
            pthread_mutex_lock(&partition->purge_mutex);
        rc = walk_all(&verify, last, diag);
        if (last)
            pthread_mutex_unlock(&partition->purge_mutex);
        if (atomic_load(&partition->deleted) || (rc == 0 && verify.note_count == 0) ||
            !has_changed(&verify))
            break;
    }
    if (atomic_load(&partition->deleted))
        rc = partition_readable(partition, diag);
    if (rc == 0) {
        report_notes(&verify, fn, context);
        add_report(&verify, report);
    }
    forget(&verify);
    return rc;
}
