/* copy_syntax.h: how a file of COPY … FROM is cut into rows and fields: PostgreSQL's text and CSV formats, and JSON lines. Knows no file and no table; any thread. */
#ifndef WEIR_COPY_SYNTAX_H
#define WEIR_COPY_SYNTAX_H

#include "runtime/base/arena.h"
#include "runtime/base/bytes.h"

enum copy_format { COPY_TEXT, COPY_CSV, COPY_JSON };
enum copy_header { COPY_HEADER_NONE, COPY_HEADER_SKIPPED, COPY_HEADER_MATCHES };

struct copy_syntax {
    enum copy_format format;
    enum copy_header header;
    uint8_t delimiter, quote, escape;  /* quote and escape: of COPY_CSV */
    const char *null_text;
    uint32_t column_count;             /* of a row */
    const char *const *column_names;
    const bool *force_null, *force_not_null; /* by column; NULL: none */
};

/* Where the search for a row's end is: zeroed before the first call for a row. */
struct copy_scan {
    size_t at;
    bool in_quotes, after_escape;
};
/* The row at the front of data: the bytes that it takes, line end included, *size those without it. 0: its end is not there yet; the next call goes on, with the same bytes and more
 * behind them. is_last: nothing comes behind data, and what is left is a row (when it is not empty). */
size_t copy_row_end(const struct copy_syntax *syntax, struct bytes data, bool is_last, struct copy_scan *scan, size_t *size);
/* Whether a row says that nothing behind it counts: \. alone. */
bool copy_row_ends_file(const struct copy_syntax *syntax, struct bytes row);

/* What is wrong with a row. */
struct copy_problem {
    const char *error_class;           /* "copy_columns", "copy_malformed", "copy_utf8" */
    char message[200];
};
/* Fields of a row (not of COPY_JSON) into fields[0 … column_count), data NULL for NULL; they borrow from the row, or are arena memory. ERR_INVALID with *problem, ERR_NOMEM. */
int copy_row_fields(const struct copy_syntax *syntax, struct bytes row, struct arena *arena, struct bytes *fields, struct copy_problem *problem);
/* ERR_INVALID: the row is no text, whatever its format. */
int copy_row_check(struct bytes row, struct copy_problem *problem);

#endif
