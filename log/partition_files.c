/* partition_files.c: the files of a partition's directory, by name.
 *
 *   <20 digits>.log|.index|.timeindex    a segment; the digits are its base offset
 *   <20 digits>.snapshot                 producers as of that offset
 *   <20 digits>.txnindex                 aborted transactions of a segment; Kafka's, not ours
 *   <…>.cleaned                          of a compaction that has not ended
 *   <…>.deleted                          renamed, waits for its removal
 *   <…>.tmp                              was being written
 *   leader-epoch-checkpoint              leader epochs
 *   partition.metadata                   Kafka's topic id
 *
 * Anything else is foreign: named by who looks, never touched. Names are all that is looked at
 * here, and sizes; used by those who report on a directory or bring one in, not on the way of a
 * record. */
#include "log/log_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { NAME_DIGITS = 20 };

static bool ends_with(const char *name, const char *suffix)
{
    size_t length = strlen(name), wanted = strlen(suffix);
    return length > wanted && strcmp(name + length - wanted, suffix) == 0;
}

/* The digits in front; false when there are not exactly 20, or they are no offset. */
static bool parse_base(const char *name, int64_t *base)
{
    uint64_t value = 0;
    for (int i = 0; i < NAME_DIGITS; i++) {
        if (name[i] < '0' || name[i] > '9' || value > (uint64_t)INT64_MAX / 10)
            return false;
        value = value * 10 + (uint64_t)(name[i] - '0');
    }
    *base = (int64_t)value;
    return name[NAME_DIGITS] == '.' && value <= (uint64_t)INT64_MAX;
}

enum file_kind partition_file_kind(const char *name, int64_t *base)
{
    static const struct {
        const char *suffix;
        enum file_kind kind;
    } suffixes[] = {{".log", FILE_LOG},
                    {".index", FILE_INDEX},
                    {".timeindex", FILE_TIMEINDEX},
                    {".txnindex", FILE_TXNINDEX},
                    {".snapshot", FILE_SNAPSHOT}};
    bool has_base = parse_base(name, base);
    if (!has_base)
        *base = -1;
    if (ends_with(name, ".deleted"))
        return has_base ? FILE_DELETED : FILE_FOREIGN;
    if (ends_with(name, ".tmp") && (has_base || strcmp(name, "leader-epoch-checkpoint.tmp") == 0))
        return FILE_DELETED; /* was being written, and is nothing */
    if (has_base && ends_with(name, ".cleaned"))
        return FILE_CLEANED;
    for (size_t i = 0; has_base && i < sizeof suffixes / sizeof *suffixes; i++)
        if (strcmp(name + NAME_DIGITS, suffixes[i].suffix) == 0)
            return suffixes[i].kind;
    *base = -1;
    if (strcmp(name, "leader-epoch-checkpoint") == 0)
        return FILE_EPOCHS;
    return strcmp(name, "partition.metadata") == 0 ? FILE_METADATA : FILE_FOREIGN;
}

static int compare_files(const void *a, const void *b)
{
    const struct partition_file *left = a, *right = b;
    if (left->base_offset != right->base_offset)
        return left->base_offset < right->base_offset ? -1 : 1;
    if (left->kind != right->kind)
        return left->kind < right->kind ? -1 : 1;
    return strcmp(left->name, right->name);
}

static struct partition_file *listing_add(struct partition_listing *listing)
{
    if (listing->count == listing->capacity) {
        size_t capacity = listing->capacity == 0 ? 16 : listing->capacity * 2;
        struct partition_file *files = realloc(listing->files, capacity * sizeof *files);
        if (files == NULL)
            return NULL;
        listing->files = files;
        listing->capacity = capacity;
    }
    return &listing->files[listing->count++];
}

int partition_listing_read(const char *directory, struct partition_listing *listing,
                           struct diag *diag)
{
    *listing = (struct partition_listing){0};
    DIR *stream = opendir(directory);
    if (stream == NULL)
        return errno == ENOENT
                   ? diag_set(diag, ERR_NOT_FOUND, "there is no directory %s", directory)
                   : diag_errno(diag, "cannot read %s", directory);
    int rc = 0;
    struct dirent *entry;
    while (rc == 0 && (entry = readdir(stream)) != NULL) {
        struct stat info;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (fstatat(dirfd(stream), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0)
            continue; /* removed meanwhile */
        struct partition_file *file = listing_add(listing);
        if (file == NULL) {
            rc = diag_set(diag, ERR_NOMEM, "no memory to list %s", directory);
            break;
        }
        file->kind = partition_file_kind(entry->d_name, &file->base_offset);
        file->size_bytes = (int64_t)info.st_size;
        file->regular = S_ISREG(info.st_mode);
        memcpy(file->name, entry->d_name, strlen(entry->d_name) + 1);
    }
    closedir(stream);
    if (listing->count > 1)
        qsort(listing->files, listing->count, sizeof *listing->files, compare_files);
    return rc;
}

void partition_listing_deinit(struct partition_listing *listing)
{
    free(listing->files);
    *listing = (struct partition_listing){0};
}
