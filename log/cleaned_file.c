/* cleaned_file.c: the file that a compaction writes: a segment in the making.
 *
 * Batches come in order and keep their offsets, so there is nothing to number and nothing to roll:
 * they are collected into slices, the slices are written one after the other, and every FLUSH_BYTES
 * the file is flushed, so that a compaction never leaves the disk a gigabyte to swallow at once
 * while appends wait for their flush. The indexes are built beside it, in memory (five bytes for
 * each KiB at most), and written at the end.
 *
 * Until the swap nobody relies on the file. A write or flush that fails costs this file and the
 * pass, and does not stop the writer: what was acknowledged is in the old segments. */
#include "log/compact_internal.h"
#include "runtime/base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>

enum { SLICE_BYTES = 1 << 20, FLUSH_BYTES = 32 << 20 };

int cleaned_file_open(struct cleaned_file *file, struct partition *partition, int64_t base_offset,
                      struct diag *diag)
{
    char path[LOG_PATH_BYTES];
    *file = (struct cleaned_file){.fd = -1};
    buf_init(&file->slice, 0);
    index_builder_init(&file->index, base_offset);
    file->segment = segment_new(partition, base_offset);
    if (file->segment == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for a segment");
    file->segment->is_cleaned = true;
    file->segment->compacted = true;
    segment_path(file->segment, "log", path);
    return io_open(path, O_RDWR | O_CREAT | O_TRUNC, 0644, &file->fd, diag);
}

static int write_slice(struct cleaned_file *file, struct diag *diag)
{
    TRY(io_pwrite(file->fd, file->slice.data, file->slice.size, file->written, diag));
    file->written += (int64_t)file->slice.size;
    buf_clear(&file->slice);
    if (file->written - file->synced < FLUSH_BYTES)
        return 0;
    file->synced = file->written;
    return io_fdatasync(file->fd, diag);
}

int cleaned_file_add(struct cleaned_file *file, const struct batch_header *header,
                     struct bytes batch, struct diag *diag)
{
    int64_t position = file->written + (int64_t)file->slice.size;
    if (position + (int64_t)batch.size > INT32_MAX)
        return diag_set(diag, ERR_TOO_LARGE,
                        "a compacted segment of %s-%d would be larger than 2 GiB: lower its "
                        "segment.bytes",
                        file->segment->partition->topic->name, file->segment->partition->index);
    if (file->slice.size + batch.size > SLICE_BYTES && file->slice.size > 0)
        TRY(write_slice(file, diag));
    buf_append_bytes(&file->slice, batch);
    if (!buf_ok(&file->slice))
        return diag_set(diag, ERR_NOMEM, "no memory to write a segment");
    index_builder_note(&file->index, header, position);
    return 0;
}

static int write_index(struct cleaned_file *file, const char *suffix, const struct buf *entries,
                       struct diag *diag)
{
    char path[LOG_PATH_BYTES];
    int fd;
    segment_path(file->segment, suffix, path);
    TRY(io_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644, &fd, diag));
    int rc = entries->size > 0 ? io_pwrite(fd, entries->data, entries->size, 0, diag) : 0;
    if (rc == 0)
        rc = io_fdatasync(fd, diag);
    io_close(fd);
    return rc;
}

int cleaned_file_finish(struct cleaned_file *file, struct diag *diag)
{
    struct segment *segment = file->segment;
    char directory[LOG_PATH_BYTES];
    if (file->slice.size > 0)
        TRY(write_slice(file, diag));
    TRY(io_fdatasync(file->fd, diag));
    if (index_builder_end(&file->index) < 0)
        return diag_set(diag, ERR_NOMEM, "no memory to index a segment");
    TRY(write_index(file, "index", &file->index.entries, diag));
    TRY(write_index(file, "timeindex", &file->index.times, diag));
    partition_directory(segment->partition, directory);
    TRY(io_fsync_dir(directory, diag));
    segment->max_timestamp_ms = file->index.largest_ms;
    segment->max_timestamp_offset =
        segment->base_offset + (file->written > 0 ? file->index.largest_offset : 0);
    atomic_store(&segment->size_bytes, file->written);
    atomic_store(&segment->flushed_bytes, file->written);
    return 0;
}

static void release(struct cleaned_file *file)
{
    if (file->fd >= 0)
        io_close(file->fd);
    buf_deinit(&file->slice);
    index_builder_deinit(&file->index);
    *file = (struct cleaned_file){.fd = -1};
}

struct segment *cleaned_file_take(struct cleaned_file *file)
{
    struct segment *segment = file->segment;
    free(segment->index);
    segment->index = NULL;
    segment->recorded = true;
    file->segment = NULL;
    release(file);
    return segment;
}

void cleaned_file_discard(struct cleaned_file *file)
{
    if (file->segment != NULL) {
        swap_remove_files(file->segment);
        segment_free(file->segment);
        release(file);
    }
}
