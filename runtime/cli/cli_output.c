/* cli_output.c: where words go. Data is collected in one buffer and written to stdout in large
 * pieces; messages go to stderr at once. A reader that went away (weir … | head) is no failure: the
 * writer stops and the command ends quietly. Colour and tables are for terminals; --color and
 * NO_COLOR decide, then whether the stream is a terminal. */
#include "runtime/base/utf8.h"
#include "runtime/cli/cli.h"
#include "runtime/records/letter_json.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

const char *const format_choices[2] = {"text", "json"};

static enum { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER } color_choice;

bool color_set(const char *choice)
{
    const char *none = getenv("NO_COLOR");
    color_choice = none != NULL && none[0] != '\0' ? COLOR_NEVER : COLOR_AUTO;
    if (choice == NULL)
        return true;
    if (strcmp(choice, "always") == 0)
        color_choice = COLOR_ALWAYS;
    else if (strcmp(choice, "never") == 0)
        color_choice = COLOR_NEVER;
    else
        return strcmp(choice, "auto") == 0;
    return true;
}

bool terminal(int fd)
{
    return isatty(fd) == 1;
}

bool color_on(int fd)
{
    if (color_choice != COLOR_AUTO)
        return color_choice == COLOR_ALWAYS;
    const char *term = getenv("TERM");
    return terminal(fd) && term != NULL && strcmp(term, "dumb") != 0;
}

void buf_visible(struct buf *buf, const char *text, const char *allowed)
{
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        if ((byte < 0x20 || byte == 0x7f) && strchr(allowed, byte) == NULL)
            buf_printf(buf, "\\x%02x", byte);
        else
            buf_u8(buf, byte);
    }
}

static void say(const char *color, const char *label, const char *format, va_list arguments)
{
    bool colored = color_on(STDERR_FILENO);
    char text[2048];
    struct buf shown = {0};
    vsnprintf(text, sizeof text, format, arguments);
    buf_visible(&shown, text, "\n\t");
    fprintf(stderr, "%s%s%s%.*s\n", colored ? color : "", label, colored ? "\033[0m" : "",
            (int)shown.size, shown.size > 0 ? (const char *)shown.data : "");
    buf_deinit(&shown);
}

void message(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say("\033[1;31m", "weir: ", format, arguments);
    va_end(arguments);
}

void hint(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say("\033[1;36m", "hint: ", format, arguments);
    va_end(arguments);
}

int usage_error(const struct cli *cli, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say("\033[1;31m", "weir: ", format, arguments);
    va_end(arguments);
    const struct command *command = cli->command;
    hint("weir help %s%s%s", command->noun, command->verb != NULL ? " " : "",
         command->verb != NULL ? command->verb : "");
    return EXIT_USAGE;
}

int failed(int code, const struct diag *diag)
{
    if (code == ERR_STOPPED && interrupted())
        return EXIT_INTERRUPTED; /* who pressed Ctrl-C knows */
    message("%s", diag != NULL && diag->text[0] != '\0' ? diag->text : error_text(code));
    if (code == ERR_INVALID)
        return EXIT_USAGE;
    return code == ERR_TIMEOUT ? EXIT_UNREACHABLE : EXIT_FAILED;
}

void hint_damage(int code, const char *topic)
{
    if (code == ERR_CORRUPT)
        hint(
            "'weir topic verify %s' says all that is wrong; put the files back from a copy, or see "
            "'weir help topic truncate'",
            topic);
}

/* ---- stdout ---- */
struct buf out;
static bool out_closed;

void out_text(const char *text)
{
    buf_append(&out, text, strlen(text));
}

int out_flush(void)
{
    if (!buf_ok(&out)) {
        message("no memory for the output");
        return ERR_IO;
    }
    for (size_t done = 0; !out_closed && done < out.size;) {
        ssize_t written = write(STDOUT_FILENO, out.data + done, out.size - done);
        if (written >= 0) {
            done += (size_t)written;
        } else if (errno == EPIPE) {
            out_closed = true;
        } else if (errno != EINTR) {
            message("cannot write to the output: %s", strerror(errno));
            buf_clear(&out);
            return ERR_IO;
        }
    }
    buf_clear(&out);
    return out_closed ? ERR_STOPPED : 0;
}

int out_finish(int exit_code)
{
    int code = out_flush();
    buf_deinit(&out);
    return code == ERR_IO && exit_code == EXIT_OK ? EXIT_FAILED : exit_code;
}

void out_json_text(const char *text)
{
    letter_json_text(&out, text);
}

/* ---- tables ---- */
void table_init(struct table *table, const char *const *headers, int column_count)
{
    *table = (struct table){.headers = headers, .column_count = column_count};
}

void table_cell(struct table *table, const char *format, ...)
{
    if (table->cell_count == table->capacity) {
        size_t capacity = table->capacity == 0 ? 64 : table->capacity * 2;
        char **cells = realloc(table->cells, capacity * sizeof *cells);
        if (cells == NULL) {
            table->failed = true;
            return;
        }
        table->cells = cells;
        table->capacity = capacity;
    }
    va_list arguments;
    va_start(arguments, format);
    char *cell = NULL;
    struct buf shown = {0};
    if (vasprintf(&cell, format, arguments) < 0) {
        table->failed = true;
    } else {
        buf_visible(&shown, cell, "");
        buf_u8(&shown, '\0');
        free(cell);
        if (buf_ok(&shown)) {
            table->cells[table->cell_count++] = (char *)shown.data; /* freed by table_print */
        } else {
            table->failed = true;
            buf_deinit(&shown);
        }
    }
    va_end(arguments);
}

int text_width(const char *text)
{
    int width = 0;
    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void print_cell(const struct table *table, int column, const char *text, int width)
{
    bool right = table->headers[column][0] == '>';
    int pad = width - text_width(text);
    if (column > 0)
        out_text("  ");
    for (int i = 0; right && i < pad; i++)
        buf_u8(&out, ' ');
    out_text(text);
    for (int i = 0; !right && i < pad && column + 1 < table->column_count; i++)
        buf_u8(&out, ' ');
}

void table_print(struct table *table, bool with_header)
{
    must(table->failed || table->cell_count % (size_t)table->column_count == 0);
    int *widths = calloc((size_t)table->column_count + 1, sizeof *widths);
    if (widths == NULL) {
        table->failed = true;
        with_header = false;
    }
    for (int c = 0; c < table->column_count && with_header; c++)
        widths[c] = text_width(table->headers[c] + (table->headers[c][0] == '>'));
    for (size_t i = 0; widths != NULL && i < table->cell_count; i++) {
        int column = (int)(i % (size_t)table->column_count), width = text_width(table->cells[i]);
        if (width > widths[column])
            widths[column] = width;
    }
    if (with_header) {
        out_text(color_on(STDOUT_FILENO) ? "\033[1m" : "");
        for (int c = 0; c < table->column_count; c++)
            print_cell(table, c, table->headers[c] + (table->headers[c][0] == '>'), widths[c]);
        out_text(color_on(STDOUT_FILENO) ? "\033[0m\n" : "\n");
    }
    for (size_t i = 0; i < table->cell_count; i++) {
        int column = (int)(i % (size_t)table->column_count);
        if (widths != NULL)
            print_cell(table, column, table->cells[i], widths[column]);
        if (column + 1 == table->column_count)
            buf_u8(&out, '\n');
        free(table->cells[i]);
    }
    free(table->cells);
    free(widths);
    out.failed = out.failed || table->failed;
}
