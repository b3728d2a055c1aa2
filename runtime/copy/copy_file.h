/* copy_file.h: the file of a COPY, read from its beginning to the end that it had when it was opened, row by row; what its bytes were so far, as a hash. One thread. */
#ifndef WEIR_COPY_FILE_H
#define WEIR_COPY_FILE_H

#include "runtime/base/hash.h"
#include "runtime/copy/copy_syntax.h"

enum { COPY_ROW_MAX_BYTES = 16 << 20 };

struct copy_row {
    struct bytes text;           /* without its line end; borrowed until the next call */
    int64_t line;                /* where it begins, from 1 */
};

/* What a file looked like: two that are alike in this hold the same bytes, but for who hides a change on purpose. */
struct copy_stamp {
    int64_t size, mtime_ns;
};
static inline bool copy_stamp_equal(struct copy_stamp a, struct copy_stamp b) { return a.size == b.size && a.mtime_ns == b.mtime_ns; }

struct copy_file;
/* ERR_NOT_FOUND, ERR_INVALID (a directory, a pipe), ERR_IO; ERR_NOMEM. */
int copy_file_open(const char *path, struct copy_file **file, struct diag *diag);
void copy_file_close(struct copy_file *file);
struct copy_stamp copy_file_stamp(const struct copy_file *file);
/* Passes bytes that were read in an earlier life, before any row is read. ERR_STATE: they are not those of `hash`, or not there any more. */
int copy_file_resume(struct copy_file *file, int64_t position, int64_t lines, struct hash128 hash, struct diag *diag);
/* Up to most rows, all that one piece of the file has; *count = 0: the end. ERR_TOO_LARGE: a row is longer than COPY_ROW_MAX_BYTES; ERR_INVALID: its last
 * quote is not closed; ERR_STATE: the file has changed while it was read. */
int copy_file_read(struct copy_file *file, const struct copy_syntax *syntax, struct copy_row *rows, uint32_t most, uint32_t *count, struct diag *diag);
/* Behind the rows that were read: bytes, line ends in them, and the hash of all bytes before, which gives the rows up. */
int64_t copy_file_position(const struct copy_file *file);
int64_t copy_file_lines(const struct copy_file *file);
struct hash128 copy_file_hash(struct copy_file *file);
/* The hash of all of it, whatever was read. ERR_STATE: the file has changed since it was opened. */
int copy_file_hash_all(struct copy_file *file, struct hash128 *hash, struct diag *diag);

#endif
