/* row_printer.h: rows of a view as lines: a JSON object each, or tables that are set anew every 1,000 rows, as their columns' widths must be known. One thread. */
#ifndef WEIR_CLI_ROW_PRINTER_H
#define WEIR_CLI_ROW_PRINTER_H

#include "operators/column.h"
#include "runtime/cli/cli.h"

struct json_names;
struct row_printer {
    bool is_json;
    uint32_t column_count;
    struct json_names *names;
    char **headers;        /* of the tables: a > before those of numbers */
    struct table table;
    uint32_t table_rows;
    bool has_table;
    struct buf cell;
};
/* names are copied. ERR_NOMEM; close in any case. */
int row_printer_open(struct row_printer *printer, bool is_json, const char *const *names, const bool *is_number, uint32_t column_count);
/* Prints what is left of a table, too. */
void row_printer_close(struct row_printer *printer);
/* To out; row is the index in the columns. */
void row_printer_columns(struct row_printer *printer, const struct column *columns, uint32_t row);
/* The same of a JSON object with a member for each column, in their order. */
void row_printer_object(struct row_printer *printer, struct bytes object);
/* Says, where it is so, that rows of the view cannot be shown. */
void row_printer_left_out(uint64_t count, const char *reason);

#endif
