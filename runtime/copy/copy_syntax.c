/* copy_syntax.c: rows and fields of COPY's formats (see copy_syntax.h).
 *
 * The rules are PostgreSQL's (its manual, COPY, "File Formats"), since that is where such files come from and go to:
 *
 *   text  a row a line; fields apart by the delimiter; a backslash takes the next byte, a line end too, for what it is or for \b \f \n \r \t \v,
 *         \1 to \377, \x1 to \xFF; NULL is written as the field \N, before anything is taken from it
 *   csv   quotes may open and close anywhere in a field, and inside of them delimiters and line ends are text; the escape (by default the quote itself) stands
 *         before a quote or an escape; NULL is the empty field, as it is written, that no quote touched
 *   json  a row a line, and a row is a JSON value
 *
 * A line ends with LF or CR LF. Finding a row's end needs no fields, and reading fields no search for its end, so that a row of any shape is given up alone
 * and the next one is read. */
#include "runtime/copy/copy_syntax.h"

#include <stdio.h>

#include "runtime/base/utf8.h"

static int refuse(struct copy_problem *problem, const char *error_class, const char *sentence,
                  const char *column)
{
    problem->error_class = error_class;
    snprintf(problem->message, sizeof problem->message, "%s%s%s%s", sentence,
             column != NULL ? " \"" : "", column != NULL ? column : "", column != NULL ? "\"" : "");
    return ERR_INVALID;
}

/* ---- rows ---- */

static size_t end_at(struct bytes data, size_t line_end, size_t *size)
{
    *size = line_end > 0 && data.data[line_end - 1] == '\r' ? line_end - 1 : line_end;
    return line_end + 1;
}

static bool end_of_lines(const uint8_t *data, size_t *at, size_t end)
{
    const uint8_t *found = memchr(data + *at, '\n', end - *at);
    *at = found != NULL ? (size_t)(found - data) : end;
    return found != NULL;
}

/* A backslash takes the byte behind it, whatever that is. */
static bool end_of_text(const uint8_t *data, struct copy_scan *scan, size_t end)
{
    for (; scan->at < end; scan->at++) {
        if (scan->after_escape)
            scan->after_escape = false;
        else if (data[scan->at] == '\\')
            scan->after_escape = true;
        else if (data[scan->at] == '\n')
            return true;
    }
    return false;
}

/* An escape that is not the quote counts inside of quotes, and takes what is behind it. */
static bool end_of_csv(const struct copy_syntax *syntax, const uint8_t *data,
                       struct copy_scan *scan, size_t end)
{
    bool has_escape = syntax->escape != syntax->quote;
    for (; scan->at < end; scan->at++) {
        uint8_t byte = data[scan->at];
        if (has_escape && scan->in_quotes && byte == syntax->escape)
            scan->after_escape = !scan->after_escape;
        if (byte == syntax->quote && !scan->after_escape)
            scan->in_quotes = !scan->in_quotes;
        if (!has_escape || byte != syntax->escape)
            scan->after_escape = false;
        if (byte == '\n' && !scan->in_quotes)
            return true;
    }
    return false;
}

size_t copy_row_end(const struct copy_syntax *syntax, struct bytes data, bool is_last,
                    struct copy_scan *scan, size_t *size)
{
    bool found = syntax->format == COPY_CSV    ? end_of_csv(syntax, data.data, scan, data.size)
                 : syntax->format == COPY_TEXT ? end_of_text(data.data, scan, data.size)
                                               : end_of_lines(data.data, &scan->at, data.size);
    if (found)
        return end_at(data, scan->at, size);
    if (!is_last)
        return 0;
    *size = data.size;
    return data.size;
}

bool copy_row_ends_file(const struct copy_syntax *syntax, struct bytes row)
{
    return syntax->format != COPY_JSON && row.size == 2 && row.data[0] == '\\' &&
           row.data[1] == '.';
}

int copy_row_check(struct bytes row, struct copy_problem *problem)
{
    if (row.size > 0 && memchr(row.data, 0, row.size) != NULL)
        return refuse(problem, "copy_utf8", "there is a NUL byte", NULL);
    return utf8_check(row) ? 0 : refuse(problem, "copy_utf8", "the row is not valid UTF-8", NULL);
}

/* ---- fields ---- */

/* A row on its way to fields. */
struct fields {
    const struct copy_syntax *syntax;
    struct bytes row;
    size_t at;
    uint8_t *out; /* what fields become that are not as they stand: never more than the row */
    size_t out_size;
    struct copy_problem *problem;
};

static bool is_null(const struct copy_syntax *syntax, struct bytes written)
{
    return bytes_equal(written, bytes_text(syntax->null_text));
}

static bool is_octal(uint8_t byte)
{
    return byte >= '0' && byte <= '7';
}

static int hex_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9'   ? byte - '0'
           : byte >= 'a' && byte <= 'f' ? byte - 'a' + 10
           : byte >= 'A' && byte <= 'F' ? byte - 'A' + 10
                                        : -1;
}

/* The byte of \101 or \x41, whose first digit is at `at`. */
static uint8_t take_number(struct fields *fields, unsigned base, unsigned most)
{
    unsigned number = 0;
    for (unsigned digits = 0; digits < most && fields->at < fields->row.size; digits++) {
        int digit = hex_digit(fields->row.data[fields->at]);
        if (digit < 0 || digit >= (int)base)
            break;
        number = number * base + (unsigned)digit;
        fields->at++;
    }
    return (uint8_t)number;
}

/* What stands behind a backslash, which has been passed. */
static uint8_t take_escaped(struct fields *fields)
{
    static const char letters[] = "bfnrtv", meant[] = "\b\f\n\r\t\v";
    const uint8_t *data = fields->row.data;
    uint8_t byte = data[fields->at];
    const char *letter = byte != 0 ? strchr(letters, byte) : NULL;
    if (is_octal(byte))
        return take_number(fields, 8, 3);
    fields->at++;
    if (letter != NULL)
        return (uint8_t)meant[letter - letters];
    if (byte == 'x' && fields->at < fields->row.size && hex_digit(data[fields->at]) >= 0)
        return take_number(fields, 16, 2);
    return byte;
}

/* One field of a text row, up to its delimiter or the end. */
static int take_text(struct fields *fields, uint32_t column, struct bytes *field)
{
    const uint8_t *data = fields->row.data;
    size_t first = fields->at, out_first = fields->out_size;
    bool is_made = false;
    while (fields->at < fields->row.size && data[fields->at] != fields->syntax->delimiter) {
        uint8_t byte = data[fields->at];
        if (byte == '\r')
            return refuse(fields->problem, "copy_malformed", "a carriage return inside of a line",
                          NULL);
        if (byte == '\\' && ++fields->at < fields->row.size) {
            is_made = true;
            byte = take_escaped(fields);
            fields->out[fields->out_size++] = byte;
        } else if (byte == '\\') {
            is_made = true; /* the last byte of the row: it stands for nothing */
        } else {
            fields->out[fields->out_size++] = byte;
            fields->at++;
        }
    }
    struct bytes written = bytes_of(data + first, fields->at - first);
    *field = is_made ? bytes_of(fields->out + out_first, fields->out_size - out_first) : written;
    if (is_null(fields->syntax, written))
        *field = (struct bytes){NULL, 0};
    else if (is_made && (memchr(field->data, 0, field->size) != NULL || !utf8_check(*field)))
        return refuse(fields->problem, "copy_utf8", "escapes give what is no UTF-8 text in column",
                      fields->syntax->column_names[column]);
    return 0;
}

/* The part of a field between two quotes, of which the first has been passed. */
static int take_quoted(struct fields *fields)
{
    const struct copy_syntax *syntax = fields->syntax;
    const uint8_t *data = fields->row.data;
    for (; fields->at < fields->row.size; fields->at++) {
        uint8_t byte = data[fields->at];
        bool is_pair = byte == syntax->escape && fields->at + 1 < fields->row.size &&
                       (data[fields->at + 1] == syntax->quote || data[fields->at + 1] == byte);
        if (is_pair) {
            byte = data[++fields->at];
        } else if (byte == syntax->quote) {
            fields->at++;
            return 0;
        }
        fields->out[fields->out_size++] = byte;
    }
    return refuse(fields->problem, "copy_malformed", "a quote is never closed", NULL);
}

static int take_csv(struct fields *fields, uint32_t column, struct bytes *field)
{
    const struct copy_syntax *syntax = fields->syntax;
    const uint8_t *data = fields->row.data;
    size_t first = fields->at, out_first = fields->out_size;
    bool is_quoted = false;
    while (fields->at < fields->row.size && data[fields->at] != syntax->delimiter) {
        uint8_t byte = data[fields->at++];
        if (byte == '\r')
            return refuse(fields->problem, "copy_malformed", "a carriage return outside of quotes",
                          NULL);
        if (byte == syntax->quote) {
            is_quoted = true;
            TRY(take_quoted(fields));
        } else {
            fields->out[fields->out_size++] = byte;
        }
    }
    struct bytes written = bytes_of(data + first, fields->at - first);
    *field = is_quoted ? bytes_of(fields->out + out_first, fields->out_size - out_first) : written;
    bool keeps = syntax->force_not_null != NULL && syntax->force_not_null[column];
    bool nulls_quoted = syntax->force_null != NULL && syntax->force_null[column];
    if ((!is_quoted && !keeps && is_null(syntax, written)) ||
        (is_quoted && nulls_quoted && is_null(syntax, *field)))
        *field = (struct bytes){NULL, 0};
    return 0;
}

int copy_row_fields(const struct copy_syntax *syntax, struct bytes row, struct arena *arena,
                    struct bytes *fields, struct copy_problem *problem)
{
    struct fields taken = {.syntax = syntax, .row = row, .problem = problem};
    TRY(copy_row_check(row, problem));
    taken.out = arena_alloc_aligned(arena, row.size + 1, 1);
    if (taken.out == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0;; i++, taken.at++) {
        if (i == syntax->column_count)
            return refuse(problem, "copy_columns", "there is more behind the last column",
                          i > 0 ? syntax->column_names[i - 1] : NULL);
        TRY(syntax->format == COPY_CSV ? take_csv(&taken, i, &fields[i])
                                       : take_text(&taken, i, &fields[i]));
        if (taken.at < row.size)
            continue;
        return i + 1 == syntax->column_count
                   ? 0
                   : refuse(problem, "copy_columns", "nothing is there for column",
                            syntax->column_names[i + 1]);
    }
}
