/* recovery_files.c: the names in a partition's directory when the log is opened.
 *
 * Recovery needs the base offsets of the .log files, in order. On the way it deals with what else
 * lies there:
 *
 *   ….deleted of ours     a removal that a crash interrupted: removed;
 *   .index, .timeindex    without their .log and below the start offset, or inside a segment that
 *                         compaction put there: the same removal, removed;
 *                         elsewhere they say that a .log is missing: named, left alone;
 *   ….cleaned             a compaction's: segment_swap.c decides;
 *   ….tmp of ours         a file that was being written beside the one it replaces: removed;
 *   a foreign name        named, one line per partition and opening, and left alone. Somebody put
 *                         it there, and may look for it.
 *
 * A directory that must not change (a log opened for reading) keeps its left-overs. */
#include "log/log_internal.h"
#include "runtime/base/io.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES = 256 };

struct found { /* beside the segments */
    const char *directory;
    int64_t *index_bases;
    size_t index_count, index_capacity;
    char foreign[NAME_BYTES]; /* the first one's name */
    size_t foreign_count;
};

static int compare_bases(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

static int add_base(int64_t **bases, size_t *count, size_t *capacity, int64_t base)
{
    if (*count == *capacity) {
        size_t grown = *capacity == 0 ? 8 : *capacity * 2;
        int64_t *list = realloc(*bases, grown * sizeof *list);
        if (list == NULL)
            return ERR_NOMEM;
        *bases = list;
        *capacity = grown;
    }
    (*bases)[(*count)++] = base;
    return 0;
}

static void note_foreign(struct found *found, const char *name)
{
    if (found->foreign_count++ == 0)
        snprintf(found->foreign, sizeof found->foreign, "%s", name);
}

static int remove_left_over(const struct partition *partition, const char *directory,
                            const char *name, struct diag *diag)
{
    char path[LOG_PATH_BYTES];
    if (partition->log->read_only)
        return 0;
    int length = snprintf(path, sizeof path, "%s/%s", directory, name);
    must(length > 0 && length < LOG_PATH_BYTES);
    return io_unlink(path, diag);
}

/* ERR_NOMEM without a text. */
static int sort_name(struct partition *partition, const char *name, struct segment_listing *listing,
                     struct found *found, struct diag *diag)
{
    int64_t base;
    switch (partition_file_kind(name, &base)) {
    case FILE_LOG:
        return add_base(&listing->bases, &listing->count, &listing->capacity, base);
    case FILE_INDEX:
    case FILE_TIMEINDEX:
        return add_base(&found->index_bases, &found->index_count, &found->index_capacity, base);
    case FILE_CLEANED:
        listing->has_cleaned = true;
        return 0;
    case FILE_DELETED:
        return remove_left_over(partition, found->directory, name, diag);
    case FILE_FOREIGN:
        note_foreign(found, name);
        return 0;
    case FILE_SNAPSHOT:
        listing->has_snapshot = true;
        return 0;
    case FILE_TXNINDEX:
    case FILE_EPOCHS:
    case FILE_METADATA:
        break;
    }
    return 0;
}

static void remove_orphan(struct partition *partition, const struct found *found, int64_t base)
{
    static const char *const suffixes[] = {"index", "timeindex"};
    for (size_t i = 0; i < 2; i++) {
        char name[64];
        struct diag ignored; /* one of the two may never have been there */
        snprintf(name, sizeof name, "%020" PRId64 ".%s", base, suffixes[i]);
        (void)remove_left_over(partition, found->directory, name, &ignored);
    }
}

int listing_insert(struct segment_listing *listing, int64_t base)
{
    TRY(add_base(&listing->bases, &listing->count, &listing->capacity, base));
    qsort(listing->bases, listing->count, sizeof base, compare_bases);
    return 0;
}

bool listing_holds(const struct segment_listing *listing, int64_t base)
{
    return listing->count > 0 &&
           bsearch(&base, listing->bases, listing->count, sizeof base, compare_bases) != NULL;
}

/* Whether a recorded segment begins before base and ends after it: then a compaction put that one in the place of the segment that
 * began here. */
static bool was_replaced(const struct partition *partition, int64_t base)
{
    for (int32_t i = 0; i < partition->segment_count; i++)
        if (partition->segments[i]->base_offset < base && base < partition->segments[i]->end_offset)
            return true;
    return false;
}

/* Indexes whose .log is not there. */
static void check_orphans(struct partition *partition, const struct segment_listing *listing,
                          struct found *found)
{
    int64_t start = atomic_load(&partition->start_offset);
    for (size_t i = 0; i < found->index_count; i++) {
        int64_t base = found->index_bases[i];
        if (listing_holds(listing, base))
            continue;
        char name[64];
        snprintf(name, sizeof name, "%020" PRId64 ".index", base);
        if (base < start || was_replaced(partition, base))
            remove_orphan(partition, found, base);
        else
            note_foreign(found, name);
    }
}

static void name_foreign(const struct found *found)
{
    char more[64] = "";
    if (found->foreign_count > 1)
        snprintf(more, sizeof more, " (and %zu more)", found->foreign_count - 1);
    if (found->foreign_count > 0)
        log_line('W', "%s/%s%s: no file of this partition; it is left alone", found->directory,
                 found->foreign, more);
}

int recovery_list(struct partition *partition, const char *directory,
                  struct segment_listing *listing, struct diag *diag)
{
    struct found found = {.directory = directory};
    DIR *stream = opendir(directory);
    if (stream == NULL)
        return errno == ENOENT ? ERR_NOT_FOUND : diag_errno(diag, "cannot read %s", directory);
    int rc = 0;
    struct dirent *entry;
    while (rc == 0 && (entry = readdir(stream)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        rc = sort_name(partition, entry->d_name, listing, &found, diag);
        if (rc == ERR_NOMEM)
            diag_set(diag, rc, "no memory to list %s", directory);
    }
    closedir(stream);
    if (listing->count > 1)
        qsort(listing->bases, listing->count, sizeof *listing->bases, compare_bases);
    if (rc == 0) {
        check_orphans(partition, listing, &found);
        name_foreign(&found);
    }
    free(found.index_bases);
    return rc;
}
