/* value_text.c: see value_text.h. Room is asked for once per value, for its largest form. */
#include "operators/value_text.h"

#include "operators/bytea.h"
#include "operators/decimal_text.h"
#include "operators/expr_internal.h"
#include "runtime/base/clock.h"

bool value_is_text(const struct column *column, uint32_t row, struct bytes *text)
{
    row = column_at(column, row);
    if (column->type == COL_TEXT) {
        *text = column->text[row];
        return true;
    }
    if (column->type != COL_VARIANT || column->variant[row].kind < VARIANT_NUMBER)
        return false;
    *text = bytes_of(column->variant[row].data, column->variant[row].size);
    return true;
}

static void put_bytea(struct buf *out, struct bytes value)
{
    size_t size = bytea_text_bytes(value.size);
    uint8_t *at = buf_reserve(out, size);
    if (at == NULL)
        return;
    bytea_print(value, at);
    out->size += size;
}

static size_t print_variant(const struct variant *value, char *text)
{
    if (value->kind == VARIANT_INT)
        return decimal_i64(value->i64, text);
    bool is_true = value->kind == VARIANT_TRUE;
    memcpy(text, is_true ? "true" : "false", 5);
    return is_true ? 4 : 5;
}

/* The values that have a short text. */
static size_t print_scalar(const struct column *column, uint32_t at, char *text)
{
    switch (column->type) {
    case COL_VARIANT:
        return print_variant(&column->variant[at], text);
    case COL_BOOLEAN:
        memcpy(text, column->boolean[at] ? "true" : "false", 5);
        return column->boolean[at] ? 4 : 5;
    case COL_BIGINT:
        return decimal_i64(column->i64[at], text);
    case COL_DOUBLE:
        return double_print(column->f64[at], text);
    case COL_NUMERIC:
        return numeric_print(column->numeric[at], text);
    case COL_TIMESTAMPTZ:
        return time_format_iso(column->i64[at], text);
    case COL_INTERVAL:
        return interval_print(column->i64[at], text);
    case COL_TEXT:
    case COL_BYTEA:
    case COL_TYPE_COUNT:
        break;
    }
    must(false && "a type of column");
}

void value_text(struct buf *out, const struct column *column, uint32_t row)
{
    enum { SCALAR_BYTES = NUMERIC_TEXT_BYTES + 48 };
    struct bytes text;
    uint32_t at = column_at(column, row);
    if (value_is_text(column, row, &text)) {
        buf_append_bytes(out, text);
    } else if (column->type == COL_BYTEA) {
        put_bytea(out, column->text[at]);
    } else {
        uint8_t *place = buf_reserve(out, SCALAR_BYTES);
        if (place != NULL)
            out->size += print_scalar(column, at, (char *)place);
    }
}
