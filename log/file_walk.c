/* file_walk.c: the batches of a .log file, read for those who trust nothing: verify, truncate,
 * import.
 *
 * No descriptor cache, no partition, no lock: a path, a position and a limit. A batch is handed out
 * when its header can be true, all of it lies below the limit, and its CRC is right. Where that is
 * not so the walk stays, and the caller may let it look for the next place where a whole valid
 * batch begins; what lies between is the damage.
 *
 * The CRC leaves out base offset, length, leader epoch and format number. A wrong length or format
 * shows here; continuity of offsets, and epochs, are the caller's to check. */
#include "log/log_internal.h"
#include "runtime/base/io.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

enum { WALK_CHUNK_BYTES = 1 << 20, MAGIC_POSITION = 16, NEWEST_FORMAT = 2 };

int file_walk_open(struct file_walk *walk, const char *path, int64_t limit, struct diag *diag)
{
    *walk = (struct file_walk){.fd = -1};
    buf_init(&walk->chunk, 0);
    TRY(io_open(path, O_RDONLY, 0, &walk->fd, diag));
    TRY(io_file_size(walk->fd, &walk->file_size, diag));
    walk->limit = limit >= 0 && limit < walk->file_size ? limit : walk->file_size;
    return 0;
}

void file_walk_close(struct file_walk *walk)
{
    if (walk->fd >= 0)
        io_close(walk->fd);
    walk->fd = -1;
    buf_deinit(&walk->chunk);
}

/* size bytes at position, which lie below the limit. ERR_CORRUPT when the file became shorter. */
static int bring(struct file_walk *walk, int64_t position, size_t size, const uint8_t **data,
                 struct diag *diag)
{
    int64_t end = walk->chunk_position + (int64_t)walk->chunk_size;
    if (position < walk->chunk_position || position + (int64_t)size > end) {
        size_t wanted = size > WALK_CHUNK_BYTES ? size : WALK_CHUNK_BYTES;
        if ((int64_t)wanted > walk->limit - position)
            wanted = (size_t)(walk->limit - position);
        buf_clear(&walk->chunk);
        uint8_t *memory = buf_reserve(&walk->chunk, wanted);
        if (memory == NULL)
            return diag_set(diag, ERR_NOMEM, "no memory to read %zu bytes of a segment", wanted);
        walk->chunk_position = position;
        walk->chunk_size = 0;
        TRY(io_pread(walk->fd, memory, wanted, position, &walk->chunk_size, diag));
        if (walk->chunk_size < size)
            return diag_set(diag, ERR_CORRUPT, "the file became shorter while it was read");
    }
    *data = walk->chunk.data + (position - walk->chunk_position);
    return 0;
}

/* Zeros are what a lost write leaves on some file systems: worth its own words. */
static int no_header(const uint8_t *data, struct diag *why, struct diag *diag)
{
    static const uint8_t zeros[BATCH_HEADER_BYTES];
    if (memcmp(data, zeros, sizeof zeros) == 0)
        return diag_set(diag, ERR_CORRUPT, "zeros where a batch should begin");
    if (data[MAGIC_POSITION] < NEWEST_FORMAT && load_be64(data) <= INT64_MAX)
        return diag_set(
            diag, ERR_CORRUPT,
            "batch format %u instead of 2 (a message set of Kafka before 0.11, or damage)",
            data[MAGIC_POSITION]);
    if (diag != NULL)
        *diag = *why;
    return ERR_CORRUPT;
}

static int batch_at(struct file_walk *walk, int64_t at, struct batch_header *header,
                    struct bytes *batch, struct diag *diag)
{
    const uint8_t *data = NULL;
    struct diag why = {0};
    int64_t left = walk->limit - at;
    if (left < BATCH_HEADER_BYTES)
        return diag_set(diag, ERR_CORRUPT, "%" PRId64 " bytes are less than a batch header", left);
    TRY(bring(walk, at, BATCH_HEADER_BYTES, &data, diag));
    int64_t size = (int64_t)(int32_t)load_be32(data + 8) + BATCH_OVERHEAD_BYTES;
    int rc = batch_parse_header(bytes_of(data, BATCH_HEADER_BYTES), header, &why);
    if (rc == ERR_CORRUPT)
        return no_header(data, &why, diag);
    if (size > left)
        return diag_set(diag, ERR_CORRUPT,
                        "a batch of %" PRId64 " bytes begins %" PRId64 " bytes before the end",
                        size, left);
    TRY(bring(walk, at, (size_t)size, &data, diag));
    *batch = bytes_of(data, (size_t)size);
    TRY(batch_parse_header(*batch, header, diag));
    if (header->base_offset < 0 || header->last_offset_delta < 0 ||
        header->base_offset > INT64_MAX - INT32_MAX)
        return diag_set(diag, ERR_CORRUPT, "offset %" PRId64 " with last offset delta %d",
                        header->base_offset, header->last_offset_delta);
    return batch_check_crc(*batch, diag);
}

int file_walk_next(struct file_walk *walk, struct batch_header *header, struct bytes *batch,
                   int64_t *position, struct diag *diag)
{
    *position = walk->position;
    if (walk->position >= walk->limit)
        return 0;
    TRY(batch_at(walk, walk->position, header, batch, diag));
    walk->position += header->size_bytes;
    return 1;
}

/* Whether a header could begin here, before its batch is read and its CRC computed. */
static bool is_plausible(const uint8_t *data, int64_t left, int64_t least_offset)
{
    int64_t base = (int64_t)load_be64(data), length = (int32_t)load_be32(data + 8);
    return data[MAGIC_POSITION] == NEWEST_FORMAT && base >= least_offset &&
           base - least_offset <= INT32_MAX &&
           length >= BATCH_HEADER_BYTES - BATCH_OVERHEAD_BYTES &&
           length + BATCH_OVERHEAD_BYTES <= left;
}

int file_walk_resync(struct file_walk *walk, int64_t least_offset, struct diag *diag)
{
    for (int64_t at = walk->position + 1; at + BATCH_HEADER_BYTES <= walk->limit; at++) {
        const uint8_t *data = NULL;
        struct batch_header header;
        struct bytes batch;
        TRY(bring(walk, at, BATCH_HEADER_BYTES, &data, diag));
        if (!is_plausible(data, walk->limit - at, least_offset))
            continue;
        int rc = batch_at(walk, at, &header, &batch, diag);
        if (rc == 0) {
            walk->position = at;
            return 0;
        }
        if (rc != ERR_CORRUPT)
            return rc;
    }
    walk->position = walk->limit;
    return 0;
}
