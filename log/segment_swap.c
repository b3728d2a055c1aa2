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
 * In memory step 3 is done under list_mutex, so that a reader who looks up an offset finds either
 * the old segments with their files or the new one with its own. Readers that hold an old segment
 * go on through its open descriptor, see fd_cache.c.
 *
 * When a rename fails after step 2 meta and the directory disagree until it succeeds: the swap
 * stays pending, and nothing else may change the partition's list of segments before it is finished
 * (swap_settle, under purge_mutex). A flush that fails in step 4 is not tried again: the flag
 * stays, for the next opening, and the partition is not compacted any more until then. */
#include "log/log_internal.h"
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

static void cleaned_path(const struct segment *segment, const char *suffix,
                         char path[LOG_PATH_BYTES])
{
    struct segment named = {
        .partition = segment->partition, .base_offset = segment->base_offset, .is_cleaned = true};
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
    cleaned_path(segment, suffix, from);
    segment_path(segment, suffix, to);
    return io_rename(from, to, diag);
}

int swap_recover(struct segment *segment, struct diag *diag)
{
    char path[LOG_PATH_BYTES];
    struct stat info;
    int64_t size = atomic_load(&segment->size_bytes);
    cleaned_path(segment, "log", path);
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
        cleaned_path(segment, "log", path);
        segment->is_cleaned = stat(path, &info) == 0; /* it is read under that name */
        return 0;
    }
    for (int i = 0; i < SUFFIX_COUNT; i++) {
        cleaned_path(segment, suffixes[i], path);
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
