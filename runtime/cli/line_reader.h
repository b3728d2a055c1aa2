/* line_reader.h: lines from a file descriptor, as many as have arrived, borrowed from one buffer. One thread. */
#ifndef WEIR_CLI_LINE_READER_H
#define WEIR_CLI_LINE_READER_H

#include "runtime/base/bytes.h"
#include "runtime/base/error.h"

struct line_reader {
    int fd;
    size_t limit_bytes;     /* of one line, without its line feed */
    uint8_t *data;
    size_t start, scanned, end, capacity; /* start ≤ scanned ≤ end: next line, no line feed before this, filled */
    bool ended;             /* the descriptor has no more */
    int64_t line_count;     /* lines handed out, blank ones too: the number of the last line */
    int64_t read_bytes;
};

int line_reader_init(struct line_reader *reader, int fd, size_t limit_bytes);
void line_reader_deinit(struct line_reader *reader);
/* Reads once (blocks when nothing is there). Lines taken before are gone afterwards. 0; ERR_NOMEM, ERR_IO with errno. */
int line_reader_fill(struct line_reader *reader);
/* 1: the next line without its LF or CR LF; 0: fill first (or, once ended, no more); ERR_TOO_LARGE: the next line passes the
 * limit (its number is line_count + 1). At the end a last line without a line feed counts. */
int line_reader_next(struct line_reader *reader, struct bytes *line);
/* Bytes that wait for line_reader_next. */
static inline size_t line_reader_waiting(const struct line_reader *reader) { return reader->end - reader->start; }

#endif
