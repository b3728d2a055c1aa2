/* group_key.c: the binary form of a group.
 *
 *     kind  value behind it                                     written for
 *     0     –                                                   NULL
 *     1, 2  –                                                   false, true
 *     3     8 bytes: int64 + 2^63, big-endian                   bigint, interval, integral numerics
 *                                                               that fit int64
 *     4     uvarint scale, 16 bytes: coefficient, big-endian    numeric without trailing zeros
 *     5     uvarint length, bytes                               text
 *     6     8 bytes: IEEE 754, big-endian                       double; −0 as 0, one NaN
 *     7     8 bytes as kind 3                                   timestamptz
 *     8     uvarint length, bytes                               raw JSON: object, array, number over
 *                                                               38 digits
 *     9     uvarint length, bytes                               bytea
 *
 * Columns follow each other without separators; every value knows its length. Equal groups have
 * equal bytes, because each value has one form: numbers that are equal in SQL (1, 1.0, 1e0) are
 * written alike, whether they come from a bigint, a numeric or a variant, so that GROUP BY on an
 * uncast JSON field does what a reader of the JSON expects.
 *
 * The encoder writes into memory that is known to be large enough: a first pass adds up upper
 * bounds (18 bytes a column, and the length of texts), a second one writes. For a batch the bounds
 * of all rows are one arena allocation. The decoder trusts nothing: keys come back from disk. */
#include "operators/group_key.h"

#include <math.h>

#include "operators/bytea.h"
#include "operators/decimal_text.h"
#include "operators/wide_int.h"
#include "runtime/base/clock.h"

enum kind {
    KIND_NULL,
    KIND_FALSE,
    KIND_TRUE,
    KIND_BIGINT,
    KIND_NUMERIC,
    KIND_TEXT,
    KIND_DOUBLE,
    KIND_TIMESTAMPTZ,
    KIND_JSON,
    KIND_BYTEA,
};

enum { FIXED_BYTES = 1 + 1 + 16, TEXT_EXTRA_BYTES = 1 + 5 };

static const uint64_t SIGN_BIT = UINT64_C(1) << 63;

/* ---- encoding ---- */

static inline uint8_t *put_word(uint8_t *p, enum kind kind, uint64_t word)
{
    *p++ = (uint8_t)kind;
    store_be64(p, word);
    return p + 8;
}

static inline uint8_t *put_i64(uint8_t *p, enum kind kind, int64_t value)
{
    return put_word(p, kind, (uint64_t)value ^ SIGN_BIT);
}

static inline uint8_t *put_text(uint8_t *p, enum kind kind, const uint8_t *data, size_t size)
{
    *p++ = (uint8_t)kind;
    size_t left = size;
    for (; left >= 0x80; left >>= 7)
        *p++ = (uint8_t)(left | 0x80);
    *p++ = (uint8_t)left;
    if (size > 0)
        memcpy(p, data, size);
    return p + size;
}

static uint8_t *put_numeric(uint8_t *p, struct numeric value)
{
    value = numeric_canonical(value);
    if (value.scale == 0 && value.coefficient == (int64_t)value.coefficient)
        return put_i64(p, KIND_BIGINT, (int64_t)value.coefficient);
    *p++ = KIND_NUMERIC;
    *p++ = (uint8_t)value.scale;
    store_be64(p, (uint64_t)((uint128)value.coefficient >> 64));
    store_be64(p + 8, (uint64_t)value.coefficient);
    return p + 16;
}

static uint8_t *put_double(uint8_t *p, double value)
{
    uint64_t word;
    if (isnan(value))
        value = (double)NAN;
    else if (value == 0)
        value = 0;
    memcpy(&word, &value, sizeof(word));
    return put_word(p, KIND_DOUBLE, word);
}

static inline uint8_t *put_variant(uint8_t *p, const struct variant *value)
{
    struct numeric number;
    switch ((enum variant_kind)value->kind) {
    case VARIANT_TEXT:
        return put_text(p, KIND_TEXT, value->data, value->size);
    case VARIANT_INT:
        return put_i64(p, KIND_BIGINT, value->i64);
    case VARIANT_NULL:
        *p = KIND_NULL;
        return p + 1;
    case VARIANT_FALSE:
        *p = KIND_FALSE;
        return p + 1;
    case VARIANT_TRUE:
        *p = KIND_TRUE;
        return p + 1;
    case VARIANT_NUMBER:
        if (numeric_parse(bytes_of(value->data, value->size), &number) == 0)
            return put_numeric(p, number);
        return put_text(p, KIND_JSON, value->data, value->size);
    case VARIANT_JSON:
        return put_text(p, KIND_JSON, value->data, value->size);
    }
    must(false && "a kind of variant");
}

static uint8_t *put_value(uint8_t *p, const struct column *column, uint32_t row)
{
    if (column_is_null(column, row)) {
        *p = KIND_NULL;
        return p + 1;
    }
    uint32_t at = column_at(column, row);
    switch (column->type) {
    case COL_VARIANT:
        return put_variant(p, &column->variant[at]);
    case COL_BOOLEAN:
        *p = column->boolean[at] ? KIND_TRUE : KIND_FALSE;
        return p + 1;
    case COL_BIGINT:
    case COL_INTERVAL:
        return put_i64(p, KIND_BIGINT, column->i64[at]);
    case COL_DOUBLE:
        return put_double(p, column->f64[at]);
    case COL_NUMERIC:
        return put_numeric(p, column->numeric[at]);
    case COL_TEXT:
        return put_text(p, KIND_TEXT, column->text[at].data, column->text[at].size);
    case COL_BYTEA:
        return put_text(p, KIND_BYTEA, column->text[at].data, column->text[at].size);
    case COL_TIMESTAMPTZ:
        return put_i64(p, KIND_TIMESTAMPTZ, column->i64[at]);
    case COL_TYPE_COUNT:
        break;
    }
    must(false && "a type of column");
}

/* No value of this row is longer. */
static inline size_t value_bound(const struct column *column, uint32_t row)
{
    uint32_t at = column_at(column, row);
    if (column->type == COL_TEXT || column->type == COL_BYTEA)
        return column_is_null(column, row) ? 1 : column->text[at].size + TEXT_EXTRA_BYTES;
    if (column->type == COL_VARIANT && column->variant[at].kind >= VARIANT_NUMBER)
        return column->variant[at].size + (size_t)FIXED_BYTES;
    return FIXED_BYTES;
}

void group_key_encode(struct buf *out, const struct column *columns, uint32_t column_count,
                      uint32_t row)
{
    size_t bound = 0;
    for (uint32_t i = 0; i < column_count; i++)
        bound += value_bound(&columns[i], row);
    uint8_t *first = buf_reserve(out, bound), *p = first;
    if (first == NULL)
        return;
    for (uint32_t i = 0; i < column_count; i++)
        p = put_value(p, &columns[i], row);
    out->size += (size_t)(p - first);
}

/* One column of texts: the bound is exact enough to allocate row by row, so that each row is
 * touched once. */
static int encode_variants(const struct batch *batch, const struct column *column,
                           struct bytes *keys)
{
    for (uint32_t i = 0; i < batch->selected_count; i++) {
        const struct variant *value = &column->variant[column_at(column, batch_row(batch, i))];
        size_t size = value->kind >= VARIANT_NUMBER ? value->size : 0;
        uint8_t *key = arena_alloc_aligned(batch->arena, size + FIXED_BYTES, 1);
        if (key == NULL)
            return ERR_NOMEM;
        keys[i] = bytes_of(key, (size_t)(put_variant(key, value) - key));
    }
    return 0;
}

static int encode_texts(const struct batch *batch, const struct column *column, struct bytes *keys)
{
    for (uint32_t i = 0; i < batch->selected_count; i++) {
        uint32_t row = batch_row(batch, i);
        size_t bound = value_bound(column, row);
        uint8_t *key = arena_alloc_aligned(batch->arena, bound, 1);
        if (key == NULL)
            return ERR_NOMEM;
        keys[i] = bytes_of(key, (size_t)(put_value(key, column, row) - key));
    }
    return 0;
}

int group_key_encode_batch(const struct batch *batch, const struct column *columns,
                           uint32_t column_count, struct bytes *keys)
{
    if (column_count == 1 && columns[0].type == COL_VARIANT)
        return encode_variants(batch, &columns[0], keys);
    if (column_count == 1 && (columns[0].type == COL_TEXT || columns[0].type == COL_BYTEA))
        return encode_texts(batch, &columns[0], keys);

    size_t bound = 0;
    for (uint32_t c = 0; c < column_count; c++)
        for (uint32_t i = 0; i < batch->selected_count; i++)
            bound += value_bound(&columns[c], batch_row(batch, i));
    uint8_t *p = arena_alloc_aligned(batch->arena, bound, 1);
    if (p == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < batch->selected_count; i++) {
        uint8_t *key = p;
        for (uint32_t c = 0; c < column_count; c++)
            p = put_value(p, &columns[c], batch_row(batch, i));
        keys[i] = bytes_of(key, (size_t)(p - key));
    }
    return 0;
}

/* ---- decoding ---- */

/* A value as read; which members count depends on the kind. */
struct value {
    uint8_t kind;
    int64_t i64;
    double f64;
    struct numeric numeric;
    struct bytes text;
};

/* Refuses what numeric_canonical would not have written: equal values must have equal bytes. */
static int take_numeric(struct bytes *key, struct numeric *value)
{
    uint64_t scale, high, low;
    TRY(take_uvarint(key, &scale));
    TRY(take_be64(key, &high));
    TRY(take_be64(key, &low));
    if (scale > NUMERIC_MAX_DIGITS ||
        int128_magnitude((int128)((uint128)high << 64 | low)) >= numeric_pow10[NUMERIC_MAX_DIGITS])
        return ERR_CORRUPT;
    *value = (struct numeric){(int128)((uint128)high << 64 | low), (int32_t)scale};
    return numeric_canonical(*value).scale == value->scale ? 0 : ERR_CORRUPT;
}

static int take_value(struct bytes *key, struct value *value)
{
    uint64_t word;
    TRY(take_u8(key, &value->kind));
    switch ((enum kind)value->kind) {
    case KIND_NULL:
    case KIND_FALSE:
    case KIND_TRUE:
        return 0;
    case KIND_BIGINT:
    case KIND_TIMESTAMPTZ:
        TRY(take_be64(key, &word));
        value->i64 = (int64_t)(word ^ SIGN_BIT);
        return 0;
    case KIND_NUMERIC:
        return take_numeric(key, &value->numeric);
    case KIND_DOUBLE:
        TRY(take_be64(key, &word));
        memcpy(&value->f64, &word, sizeof(word));
        return 0;
    case KIND_TEXT:
    case KIND_JSON:
    case KIND_BYTEA:
        TRY(take_uvarint(key, &word));
        return word > UINT32_MAX ? ERR_CORRUPT : take_bytes(key, word, &value->text);
    }
    return ERR_CORRUPT;
}

static int variant_text(struct variant *variant, enum variant_kind kind, const char *text,
                        size_t size, struct arena *arena)
{
    struct bytes copy = arena_copy(arena, bytes_of(text, size));
    if (copy.data == NULL)
        return ERR_NOMEM;
    variant->data = copy.data;
    variant->size = (uint32_t)size;
    variant->kind = (uint8_t)kind;
    return 0;
}

/* JSON has no bytes: the text that spells them, as json_encode.h writes it. */
static int variant_bytea(struct variant *variant, struct bytes value, struct arena *arena)
{
    size_t size = bytea_text_bytes(value.size);
    uint8_t *text = size <= UINT32_MAX ? arena_alloc_aligned(arena, size, 1) : NULL;
    if (text == NULL)
        return ERR_NOMEM;
    bytea_print(value, text);
    *variant = (struct variant){.data = text, .size = (uint32_t)size, .kind = VARIANT_TEXT};
    return 0;
}

static int set_variant(struct variant *variant, const struct value *value, struct arena *arena)
{
    char text[NUMERIC_TEXT_BYTES];
    *variant = (struct variant){0};
    switch ((enum kind)value->kind) {
    case KIND_NULL:
        return 0;
    case KIND_FALSE:
        variant->kind = VARIANT_FALSE;
        return 0;
    case KIND_TRUE:
        variant->kind = VARIANT_TRUE;
        return 0;
    case KIND_BIGINT:
        variant->i64 = value->i64;
        variant->kind = VARIANT_INT;
        return 0;
    case KIND_NUMERIC:
        return variant_text(variant, VARIANT_NUMBER, text, numeric_print(value->numeric, text),
                            arena);
    case KIND_DOUBLE:
        if (!isfinite(value->f64))
            return 0;
        return variant_text(variant, VARIANT_NUMBER, text, decimal_double(value->f64, text), arena);
    case KIND_TIMESTAMPTZ:
        return variant_text(variant, VARIANT_TEXT, text, time_format_iso(value->i64, text), arena);
    case KIND_BYTEA:
        return variant_bytea(variant, value->text, arena);
    case KIND_TEXT:
    case KIND_JSON:
        break;
    }
    bool nested =
        value->text.size > 0 && (value->text.data[0] == '{' || value->text.data[0] == '[');
    variant->data = value->text.data;
    variant->size = (uint32_t)value->text.size;
    variant->kind = value->kind == KIND_TEXT ? VARIANT_TEXT
                    : nested                 ? VARIANT_JSON
                                             : VARIANT_NUMBER;
    return 0;
}

/* Stores a value that is not NULL in a typed column. */
static int set_typed(struct column *column, uint32_t row, const struct value *value)
{
    enum kind kind = (enum kind)value->kind;
    switch (column->type) {
    case COL_BOOLEAN:
        column->boolean[row] = kind == KIND_TRUE;
        return kind == KIND_TRUE || kind == KIND_FALSE ? 0 : ERR_CORRUPT;
    case COL_BIGINT:
    case COL_INTERVAL:
        column->i64[row] = value->i64;
        return kind == KIND_BIGINT ? 0 : ERR_CORRUPT;
    case COL_TIMESTAMPTZ:
        column->i64[row] = value->i64;
        return kind == KIND_TIMESTAMPTZ ? 0 : ERR_CORRUPT;
    case COL_DOUBLE:
        column->f64[row] = value->f64;
        return kind == KIND_DOUBLE ? 0 : ERR_CORRUPT;
    case COL_NUMERIC:
        column->numeric[row] = kind == KIND_BIGINT ? numeric_from_i64(value->i64) : value->numeric;
        return kind == KIND_BIGINT || kind == KIND_NUMERIC ? 0 : ERR_CORRUPT;
    case COL_TEXT:
        column->text[row] = value->text;
        return kind == KIND_TEXT ? 0 : ERR_CORRUPT;
    case COL_BYTEA:
        column->text[row] = value->text;
        return kind == KIND_BYTEA ? 0 : ERR_CORRUPT;
    case COL_VARIANT:
    case COL_TYPE_COUNT:
        break;
    }
    must(false && "a type of column");
}

int group_key_decode(struct bytes key, struct column *columns, uint32_t column_count, uint32_t row,
                     struct arena *arena)
{
    for (uint32_t i = 0; i < column_count; i++) {
        struct column *column = &columns[i];
        struct value value = {0};
        TRY(take_value(&key, &value));
        if (column->type == COL_VARIANT) {
            TRY(set_variant(&column->variant[row], &value, arena));
            continue;
        }
        bool null = value.kind == KIND_NULL;
        if (column->nulls != NULL)
            column->nulls[row] = null;
        else if (null)
            return ERR_CORRUPT;
        if (!null)
            TRY(set_typed(column, row, &value));
    }
    return key.size == 0 ? 0 : ERR_CORRUPT;
}
