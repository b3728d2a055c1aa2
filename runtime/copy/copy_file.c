/* copy_file.c: reads the file of a COPY (see copy_file.h).
 *
 * What counts is the file as it was when it was opened: its size and the time of its last change are noted then and looked at again behind every piece, so that
 * one which somebody is still writing is an error and no half of it passes for the whole. Rows are cut out of a window of the file, a piece
 * longer than the longest row so far; what is left of a row at the window's end moves to its front. The hash follows the rows that were given out, not what was
 * read ahead: together with the position it says which bytes a mark stands for. */
#include "runtime/copy/copy_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/io.h"

enum { PIECE_BYTES = 1 << 20 };

struct copy_file {
    int fd;
    const char *path; /* the caller's */
    struct copy_stamp stamp;
    struct buf window;        /* of the file, from `position` on */
    size_t used;              /* of the window: rows that were given out */
    int64_t position, lines;  /* behind those before the window */
    struct hash_stream *hash; /* of the bytes before the window */
    struct copy_scan scan;    /* of the row at `used` */
    bool has_ended;           /* \. stands at `used`, and stays there */
};

static struct copy_stamp stamp_of(const struct stat *about)
{
    /* Whatever year somebody has set: it is only compared. */
    uint64_t mtime_ns = (uint64_t)about->st_mtim.tv_sec * 1000000000;
    return (struct copy_stamp){about->st_size,
                               (int64_t)(mtime_ns + (uint64_t)about->st_mtim.tv_nsec)};
}

static int look_at(struct copy_file *file, struct diag *diag)
{
    struct stat about;
    if (fstat(file->fd, &about) < 0)
        return diag_errno(diag, "cannot look at %s", file->path);
    if (!S_ISREG(about.st_mode))
        return diag_set(diag, ERR_INVALID, "%s is %s and not a file", file->path,
                        S_ISDIR(about.st_mode) ? "a directory" : "a pipe or a device");
    file->stamp = stamp_of(&about);
    return 0;
}

int copy_file_open(const char *path, struct copy_file **out, struct diag *diag)
{
    struct copy_file *file = calloc(1, sizeof *file);
    *out = NULL;
    if (file == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory to read %s", path);
    file->path = path;
    buf_init(&file->window, 0);
    file->hash = hash_stream_create();
    file->fd =
        open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe that nobody writes must not hang */
    int rc = file->hash == NULL ? diag_set(diag, ERR_NOMEM, "no memory to read %s", path)
             : file->fd < 0     ? diag_errno(diag, "cannot read %s", path)
                                : look_at(file, diag);
    if (rc < 0) {
        copy_file_close(file);
        return rc;
    }
    *out = file;
    return 0;
}

void copy_file_close(struct copy_file *file)
{
    if (file == NULL)
        return;
    if (file->fd >= 0)
        close(file->fd);
    if (file->hash != NULL)
        hash_stream_destroy(file->hash);
    buf_deinit(&file->window);
    free(file);
}

struct copy_stamp copy_file_stamp(const struct copy_file *file)
{
    return file->stamp;
}

static int check_unchanged(const struct copy_file *file, struct diag *diag)
{
    struct stat about;
    if (fstat(file->fd, &about) < 0)
        return diag_errno(diag, "cannot look at %s", file->path);
    if (copy_stamp_equal(stamp_of(&about), file->stamp))
        return 0;
    return diag_set(diag, ERR_STATE,
                    "%s was changed while it was read: run again when it is written", file->path);
}

/* Feeds the bytes [from, to) of the file to a hash. */
static int hash_range(struct copy_file *file, struct hash_stream *hash, int64_t from, int64_t to,
                      struct diag *diag)
{
    uint8_t *piece = malloc(PIECE_BYTES);
    int rc = piece == NULL ? diag_set(diag, ERR_NOMEM, "no memory to read %s", file->path) : 0;
    while (rc == 0 && from < to) {
        size_t wanted = to - from < PIECE_BYTES ? (size_t)(to - from) : PIECE_BYTES, got;
        rc = io_pread(file->fd, piece, wanted, from, &got, diag);
        if (rc == 0 && got < wanted)
            rc = diag_set(diag, ERR_STATE, "%s became shorter while it was read", file->path);
        if (rc == 0)
            hash_stream_add(hash, piece, got);
        from += (int64_t)wanted;
    }
    free(piece);
    return rc;
}

/* A row that was the last of the file and had no line end may have become the beginning of a longer one. */
static int check_row_end(const struct copy_file *file, int64_t position, struct diag *diag)
{
    uint8_t byte = '\n';
    size_t got;
    if (position > 0 && position < file->stamp.size)
        TRY(io_pread(file->fd, &byte, 1, position - 1, &got, diag));
    return byte == '\n' ? 0
                        : diag_set(diag, ERR_STATE, "%s goes on in the last row that was copied",
                                   file->path);
}

int copy_file_resume(struct copy_file *file, int64_t position, int64_t lines, struct hash128 hash,
                     struct diag *diag)
{
    if (position > file->stamp.size)
        return diag_set(diag, ERR_STATE, "%s has %lld bytes, and %lld were copied", file->path,
                        (long long)file->stamp.size, (long long)position);
    TRY(hash_range(file, file->hash, 0, position, diag));
    struct hash128 now = hash_stream_get(file->hash);
    if (now.low != hash.low || now.high != hash.high)
        return diag_set(diag, ERR_STATE,
                        "the first %lld bytes of %s are not those that were copied",
                        (long long)position, file->path);
    TRY(check_row_end(file, position, diag));
    file->position = position;
    file->lines = lines;
    return 0;
}

/* ---- rows ---- */

/* Rows that were given out leave the window. */
static void settle(struct copy_file *file)
{
    if (file->used == 0)
        return;
    hash_stream_add(file->hash, file->window.data, file->used);
    file->position += (int64_t)file->used;
    file->window.size -= file->used;
    memmove(file->window.data, file->window.data + file->used, file->window.size);
    file->used = 0;
}

static bool is_all_there(const struct copy_file *file)
{
    return file->position + (int64_t)file->window.size == file->stamp.size;
}

static int read_piece(struct copy_file *file, struct diag *diag)
{
    int64_t at = file->position + (int64_t)file->window.size, left = file->stamp.size - at;
    size_t wanted = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES, got;
    uint8_t *to = buf_reserve(&file->window, wanted);
    if (to == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory to read %s", file->path);
    TRY(io_pread(file->fd, to, wanted, at, &got, diag));
    TRY(check_unchanged(file, diag));
    if (got < wanted)
        return diag_set(diag, ERR_IO, "%s ends at byte %lld and claims to have %lld", file->path,
                        (long long)at + (long long)got, (long long)file->stamp.size);
    file->window.size += got;
    return 0;
}

static int64_t count_lines(const uint8_t *data, size_t size)
{
    int64_t count = 0;
    const uint8_t *end = data + size;
    while (data < end && (data = memchr(data, '\n', (size_t)(end - data))) != NULL) {
        count++;
        data++;
    }
    return count;
}

/* The byte order mark that some programs begin a file with is no part of the first field. */
static void pass_mark(struct copy_file *file)
{
    static const uint8_t mark[] = {0xEF, 0xBB, 0xBF};
    if (file->position == 0 && file->used == 0 && file->window.size >= sizeof mark &&
        memcmp(file->window.data, mark, sizeof mark) == 0)
        file->used = sizeof mark;
}

/* Cuts one row out of the window: 1, or 0 when its end is not there. The end that is written (\.) is not taken: whoever goes on behind the rows before it meets it again. */
static int cut_row(struct copy_file *file, const struct copy_syntax *syntax, struct copy_row *row,
                   struct diag *diag)
{
    struct bytes rest = bytes_of(file->window.data + file->used, file->window.size - file->used);
    size_t size, taken = 0;
    if (rest.size > 0)
        taken = copy_row_end(syntax, rest, is_all_there(file), &file->scan, &size);
    if (taken == 0 ? rest.size > COPY_ROW_MAX_BYTES : size > COPY_ROW_MAX_BYTES)
        return diag_set(diag, ERR_TOO_LARGE, "the row in line %lld of %s is longer than %d bytes%s",
                        (long long)file->lines + 1, file->path, COPY_ROW_MAX_BYTES,
                        file->scan.in_quotes ? ": is a quote missing?" : "");
    if (taken == 0)
        return 0;
    if (file->scan.in_quotes)
        return diag_set(diag, ERR_INVALID,
                        "%s ends inside of quotes, which the row in line %lld opens", file->path,
                        (long long)file->lines + 1);
    *row = (struct copy_row){bytes_of(rest.data, size), file->lines + 1};
    file->has_ended = copy_row_ends_file(syntax, row->text);
    if (file->has_ended)
        return 0;
    file->lines += count_lines(rest.data, taken);
    file->used += taken;
    file->scan = (struct copy_scan){0};
    return 1;
}

int copy_file_read(struct copy_file *file, const struct copy_syntax *syntax, struct copy_row *rows,
                   uint32_t most, uint32_t *count, struct diag *diag)
{
    *count = 0;
    settle(file);
    while (!file->has_ended) {
        pass_mark(file);
        int rc = cut_row(file, syntax, &rows[*count], diag);
        TRY(rc);
        if (rc == 1 && ++*count == most)
            break;
        if (rc == 1)
            continue;
        if (*count > 0 || file->has_ended || is_all_there(file))
            break;
        TRY(read_piece(file, diag));
    }
    return *count == 0 ? check_unchanged(file, diag) : 0;
}

int64_t copy_file_position(const struct copy_file *file)
{
    return file->position + (int64_t)file->used;
}

int64_t copy_file_lines(const struct copy_file *file)
{
    return file->lines;
}

struct hash128 copy_file_hash(struct copy_file *file)
{
    settle(file);
    return hash_stream_get(file->hash);
}

int copy_file_hash_all(struct copy_file *file, struct hash128 *hash, struct diag *diag)
{
    struct hash_stream *all = hash_stream_create();
    if (all == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory to read %s", file->path);
    int rc = hash_range(file, all, 0, file->stamp.size, diag);
    if (rc == 0) /* the hash stands beside the stamp in a mark */
        rc = check_unchanged(file, diag);
    *hash = hash_stream_get(all);
    hash_stream_destroy(all);
    return rc;
}
