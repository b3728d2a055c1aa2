/* row_codec.c: rows to bytes and back (see row_codec.h).
 *
 * Bytes come from our own stores and topics, and may still be damaged: every length is checked
 * against what is left, and a value of another kind than its column's is refused. */
#include "operators/row_codec.h"

enum kind {
    KIND_NULL,
    KIND_FALSE,
    KIND_TRUE,
    KIND_BIGINT,
    KIND_INTERVAL,
    KIND_TIMESTAMPTZ,
    KIND_DOUBLE,
    KIND_NUMERIC,
    KIND_TEXT,
    KIND_BYTEA,
    KIND_VARIANT = 16, /* + enum variant_kind */
};

static void put_text(struct buf *out, uint8_t kind, const uint8_t *data, size_t size)
{
    buf_u8(out, kind);
    buf_uvarint(out, size);
    buf_append(out, data, size);
}

static void put_variant(struct buf *out, const struct variant *value)
{
    uint8_t kind = (uint8_t)(KIND_VARIANT + value->kind);
    if (value->kind >= VARIANT_NUMBER) {
        put_text(out, kind, value->data, value->size);
        return;
    }
    buf_u8(out, kind);
    if (value->kind == VARIANT_INT)
        buf_varint(out, value->i64);
}

static void put_numeric(struct buf *out, struct numeric value)
{
    buf_u8(out, KIND_NUMERIC);
    buf_uvarint(out, (uint64_t)value.scale);
    buf_be64(out, (uint64_t)((uint128)value.coefficient >> 64));
    buf_be64(out, (uint64_t)value.coefficient);
}

static void put_value(struct buf *out, const struct column *column, uint32_t row)
{
    uint32_t at = column_at(column, row);
    uint64_t word;
    switch (column->type) {
    case COL_VARIANT:
        put_variant(out, &column->variant[at]);
        return;
    case COL_BOOLEAN:
        buf_u8(out, column->boolean[at] ? KIND_TRUE : KIND_FALSE);
        return;
    case COL_BIGINT:
    case COL_INTERVAL:
    case COL_TIMESTAMPTZ:
        buf_u8(out, column->type == COL_BIGINT     ? KIND_BIGINT
                    : column->type == COL_INTERVAL ? KIND_INTERVAL
                                                   : KIND_TIMESTAMPTZ);
        buf_varint(out, column->i64[at]);
        return;
    case COL_DOUBLE:
        memcpy(&word, &column->f64[at], sizeof word);
        buf_u8(out, KIND_DOUBLE);
        buf_be64(out, word);
        return;
    case COL_NUMERIC:
        put_numeric(out, column->numeric[at]);
        return;
    case COL_TEXT:
    case COL_BYTEA:
        put_text(out, column->type == COL_TEXT ? KIND_TEXT : KIND_BYTEA, column->text[at].data,
                 column->text[at].size);
        return;
    case COL_TYPE_COUNT:
        break;
    }
    must(false && "a type of column");
}

void row_encode(struct buf *out, const struct column *columns, uint32_t count, uint32_t row)
{
    buf_uvarint(out, count);
    for (uint32_t i = 0; i < count; i++)
        if (column_is_null(&columns[i], row))
            buf_u8(out, KIND_NULL);
        else
            put_value(out, &columns[i], row);
}

void row_set_null(struct column *column, uint32_t row)
{
    if (column->type == COL_VARIANT)
        column->variant[row] = (struct variant){.kind = VARIANT_NULL};
    else
        column->nulls[row] = 1;
}

static int take_text(struct bytes *data, struct bytes *text)
{
    uint64_t size;
    TRY(take_uvarint(data, &size));
    return size > UINT32_MAX ? ERR_CORRUPT : take_bytes(data, (size_t)size, text);
}

static int take_variant(struct bytes *data, uint8_t kind, struct variant *value)
{
    struct bytes text;
    if (kind < KIND_VARIANT || kind > KIND_VARIANT + VARIANT_JSON)
        return ERR_CORRUPT;
    *value = (struct variant){.kind = (uint8_t)(kind - KIND_VARIANT)};
    if (value->kind == VARIANT_INT)
        return take_varint(data, &value->i64);
    if (value->kind < VARIANT_NUMBER)
        return 0;
    TRY(take_text(data, &text));
    value->data = text.data;
    value->size = (uint32_t)text.size;
    return 0;
}

static int take_numeric(struct bytes *data, struct numeric *value)
{
    uint64_t scale, high, low;
    TRY(take_uvarint(data, &scale));
    TRY(take_be64(data, &high));
    TRY(take_be64(data, &low));
    if (scale > NUMERIC_MAX_DIGITS)
        return ERR_CORRUPT;
    *value = (struct numeric){(int128)((uint128)high << 64 | low), (int32_t)scale};
    return 0;
}

/* A value that is not NULL, of a column that has a type. */
static int take_typed(struct bytes *data, uint8_t kind, struct column *column, uint32_t row)
{
    static const uint8_t kinds[COL_TYPE_COUNT] = {
        [COL_BIGINT] = KIND_BIGINT,   [COL_INTERVAL] = KIND_INTERVAL,
        [COL_DOUBLE] = KIND_DOUBLE,   [COL_TIMESTAMPTZ] = KIND_TIMESTAMPTZ,
        [COL_NUMERIC] = KIND_NUMERIC, [COL_TEXT] = KIND_TEXT,
        [COL_BYTEA] = KIND_BYTEA};
    uint64_t word;
    if (column->type == COL_BOOLEAN) {
        column->boolean[row] = kind == KIND_TRUE;
        return kind == KIND_TRUE || kind == KIND_FALSE ? 0 : ERR_CORRUPT;
    }
    if (kind != kinds[column->type])
        return ERR_CORRUPT;
    if (kind == KIND_TEXT || kind == KIND_BYTEA)
        return take_text(data, &column->text[row]);
    if (kind == KIND_NUMERIC)
        return take_numeric(data, &column->numeric[row]);
    if (kind != KIND_DOUBLE)
        return take_varint(data, &column->i64[row]);
    TRY(take_be64(data, &word));
    memcpy(&column->f64[row], &word, sizeof word);
    return 0;
}

int row_decode(struct bytes data, struct column *columns, uint32_t count, uint32_t row)
{
    uint64_t written;
    TRY(take_uvarint(&data, &written));
    if (written != count)
        return ERR_CORRUPT;
    for (uint32_t i = 0; i < count; i++) {
        uint8_t kind;
        TRY(take_u8(&data, &kind));
        if (kind == KIND_NULL)
            row_set_null(&columns[i], row);
        else if (columns[i].type == COL_VARIANT)
            TRY(take_variant(&data, kind, &columns[i].variant[row]));
        else {
            columns[i].nulls[row] = 0;
            TRY(take_typed(&data, kind, &columns[i], row));
        }
    }
    return data.size == 0 ? 0 : ERR_CORRUPT;
}
