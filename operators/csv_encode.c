/* csv_encode.c: see csv_encode.h. Only what was text before can need quotes: the texts of all other
 * values are digits, words and times. */
#include "operators/csv_encode.h"

#include "operators/value_text.h"

static bool needs_quotes(struct bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = text.data[i];
        if (byte == ',' || byte == '"' || byte == '\n' || byte == '\r')
            return true;
    }
    return text.size == 0;
}

static void put_quoted(struct buf *out, struct bytes text)
{
    buf_u8(out, '"');
    for (size_t i = 0; i < text.size;) {
        const uint8_t *from = text.data + i, *quote = memchr(from, '"', text.size - i);
        size_t size = quote != NULL ? (size_t)(quote - from) + 1 : text.size - i;
        buf_append(out, from, size);
        if (quote != NULL)
            buf_u8(out, '"');
        i += size;
    }
    buf_u8(out, '"');
}

void csv_encode_row(struct buf *out, const struct column *columns, uint32_t count, uint32_t row)
{
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0)
            buf_u8(out, ',');
        if (column_is_null(&columns[i], row))
            continue;
        struct bytes text;
        if (value_is_text(&columns[i], row, &text) && needs_quotes(text))
            put_quoted(out, text);
        else
            value_text(out, &columns[i], row);
    }
}
