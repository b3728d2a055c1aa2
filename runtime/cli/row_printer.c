/* row_printer.c: see row_printer.h. A row comes as columns, from a view that this process reads, or as the JSON object that a server made of them; an
 * object goes out as it came, so that its numbers keep their digits. */
#include "runtime/cli/row_printer.h"

#include "operators/json_encode.h"
#include "operators/value_text.h"
#include "runtime/records/json_check.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

enum { TABLE_ROWS = 1000 };

int row_printer_open(struct row_printer *printer, bool is_json, const char *const *names,
                     const bool *is_number, uint32_t column_count)
{
    *printer = (struct row_printer){.is_json = is_json, .column_count = column_count};
    printer->headers = calloc(column_count + 1, sizeof(char *));
    if (printer->headers == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < column_count; i++)
        if (asprintf(&printer->headers[i], "%s%s", is_number[i] ? ">" : "", names[i]) < 0) {
            printer->headers[i] = NULL;
            return ERR_NOMEM;
        }
    if (is_json)
        printer->names = json_names_create((const char **)names, column_count);
    return is_json && printer->names == NULL ? ERR_NOMEM : 0;
}

static void print_block(struct row_printer *printer)
{
    if (!printer->has_table)
        return;
    table_print(&printer->table, true);
    printer->has_table = false;
    printer->table_rows = 0;
}

void row_printer_close(struct row_printer *printer)
{
    print_block(printer);
    for (uint32_t i = 0; printer->headers != NULL && i < printer->column_count; i++)
        free(printer->headers[i]);
    free(printer->headers);
    json_names_destroy(printer->names);
    buf_deinit(&printer->cell);
}

static void begin_row(struct row_printer *printer)
{
    if (!printer->has_table)
        table_init(&printer->table, (const char *const *)printer->headers,
                   (int)printer->column_count);
    printer->has_table = true;
}

static void end_row(struct row_printer *printer)
{
    if (++printer->table_rows == TABLE_ROWS)
        print_block(printer);
}

static void add_cell(struct row_printer *printer)
{
    size_t size = printer->cell.size;
    if (buf_ok(&printer->cell))
        table_cell(&printer->table, "%.*s", (int)size,
                   size > 0 ? (const char *)printer->cell.data : "");
    else
        printer->table.failed = true;
}

/* NULL as tables here show what is not there. */
void row_printer_columns(struct row_printer *printer, const struct column *columns, uint32_t row)
{
    if (printer->is_json) {
        json_encode_row(&out, printer->names, columns, row, false);
        buf_u8(&out, '\n');
        return;
    }
    begin_row(printer);
    for (uint32_t i = 0; i < printer->column_count; i++) {
        buf_clear(&printer->cell);
        if (column_is_null(&columns[i], row))
            buf_u8(&printer->cell, '-');
        else
            value_text(&printer->cell, &columns[i], row);
        add_cell(printer);
    }
    end_row(printer);
}

static void put_value(struct buf *cell, struct bytes value)
{
    buf_clear(cell);
    if (bytes_equal(value, bytes_text("null"))) {
        buf_u8(cell, '-');
        return;
    }
    if (value.size == 0 || value.data[0] != '"') {
        buf_append_bytes(cell, value);
        return;
    }
    json_t *text =
        json_loadb((const char *)value.data, value.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    cell->failed |= text == NULL;
    if (text != NULL)
        buf_append(cell, json_string_value(text), json_string_length(text));
    json_decref(text);
}

void row_printer_object(struct row_printer *printer, struct bytes object)
{
    struct json_list members = {.rest = object};
    struct bytes value;
    if (printer->is_json) {
        buf_append_bytes(&out, object);
        buf_u8(&out, '\n');
        return;
    }
    begin_row(printer);
    for (uint32_t i = 0; i < printer->column_count; i++) {
        if (json_list_next(&members, &value))
            put_value(&printer->cell, value);
        else
            buf_clear(&printer->cell);
        add_cell(printer);
    }
    end_row(printer);
}

void row_printer_left_out(uint64_t count, const char *reason)
{
    if (count > 0)
        message("%llu row%s of the view cannot be expressed and %s left out: %s",
                (unsigned long long)count, count == 1 ? "" : "s", count == 1 ? "is" : "are",
                reason);
}
