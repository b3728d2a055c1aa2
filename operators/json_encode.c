/* json_encode.c: rows → JSON objects, and → keys.
 *
 * Encoding runs once per result row and commit, so it copies as little as it can: names are escaped
 * and given their quotes and colon once, when the plan is made; integers go through a table of
 * digit pairs; text is scanned for characters that need an escape 8 bytes at a time and, in nearly
 * every case, copied whole. Room is asked for once per value, for its largest form, so that the
 * writing itself never checks.
 *
 * Keys are canonical: one group has one key text, whatever the source wrote. Hence numeric prints
 * without trailing zeros (also a number inside a variant: 1, 1.0 and 1e0 are one group), −0 as 0,
 * and what JSON has no number for (NaN, infinities) as text, since a null would be the key of the
 * NULL group. A variant number over 38 digits keeps its raw token; so does nested JSON, whose white
 * space then counts. */
#include "operators/json_encode.h"

#include <math.h>
#include <stdlib.h>

#include "operators/bytea.h"
#include "operators/decimal_text.h"
#include "runtime/base/clock.h"

enum { ISO_BYTES = 40, SCALAR_BYTES = NUMERIC_TEXT_BYTES + 8 /* the largest that is not text */ };

struct json_names {
    uint32_t count;
    struct buf text;
    struct bytes names[]; /* in text: the brace or comma before, the escaped name, the colon */
};

static inline uint8_t *room(struct buf *out, size_t size)
{
    if (__builtin_expect(!out->failed && out->capacity - out->size >= size && out->data != NULL, 1))
        return out->data + out->size;
    return buf_reserve(out, size);
}

static inline void put_raw(struct buf *out, const void *data, size_t size)
{
    uint8_t *at = room(out, size);
    if (at == NULL)
        return;
    if (size > 0)
        memcpy(at, data, size);
    out->size += size;
}

/* ---- text ---- */

static inline bool needs_escape(uint8_t byte)
{
    return byte < 0x20 || byte == '"' || byte == '\\';
}

/* Not 0 when one of the 8 bytes needs an escape. */
static inline uint64_t word_needs_escape(uint64_t word)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;
    uint64_t quote = word ^ ones * '"', backslash = word ^ ones * '\\';
    uint64_t below = (word - ones * 0x20) & ~word;
    return (below | ((quote - ones) & ~quote) | ((backslash - ones) & ~backslash)) & tops;
}

/* How many bytes from the start need no escape. */
static size_t plain_size(const uint8_t *text, size_t size)
{
    size_t at = 0;
    for (; size - at >= 8; at += 8) {
        uint64_t word;
        memcpy(&word, text + at, sizeof(word));
        if (word_needs_escape(word))
            break;
    }
    if (size >= 8 && size - at < 8) { /* the last word, which overlaps the one before */
        uint64_t word;
        memcpy(&word, text + size - 8, sizeof(word));
        if (!word_needs_escape(word))
            return size;
    }
    while (at < size && !needs_escape(text[at]))
        at++;
    return at;
}

/* Writes the escape of a byte; returns its length, at most 6. */
static size_t put_escape(uint8_t *at, uint8_t byte)
{
    static const char letters[0x60] = {
        ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n',  ['\r'] = 'r',
        ['\t'] = 't', ['"'] = '"',  ['\\'] = '\\',
    };
    at[0] = '\\';
    if (letters[byte] != 0) {
        at[1] = (uint8_t)letters[byte];
        return 2;
    }
    memcpy(at + 1, "u00", 3);
    at[4] = (uint8_t) "0123456789abcdef"[byte >> 4];
    at[5] = (uint8_t) "0123456789abcdef"[byte & 15];
    return 6;
}

/* The rest of a text whose first byte needs an escape, and the closing quote. */
static void put_escaped(struct buf *out, const uint8_t *text, size_t size)
{
    while (size > 0) {
        size_t plain = plain_size(text, size);
        put_raw(out, text, plain);
        text += plain;
        size -= plain;
        uint8_t *at = room(out, 6);
        if (size == 0 || at == NULL)
            break;
        out->size += put_escape(at, *text);
        text++;
        size--;
    }
    put_raw(out, "\"", 1);
}

void json_escape(struct buf *out, struct bytes text)
{
    size_t plain = plain_size(text.data, text.size);
    uint8_t *at = room(out, plain + 2);
    if (at == NULL)
        return;
    *at++ = '"';
    if (plain > 0)
        memcpy(at, text.data, plain);
    out->size += plain + 1;
    if (__builtin_expect(plain == text.size, 1)) {
        at[plain] = '"';
        out->size++;
    } else {
        put_escaped(out, text.data + plain, text.size - plain);
    }
}

/* ---- values ---- */

static void put_i64(struct buf *out, int64_t value)
{
    uint8_t *at = room(out, SCALAR_BYTES);
    if (at != NULL)
        out->size += decimal_i64(value, (char *)at);
}

static void put_numeric(struct buf *out, struct numeric value)
{
    uint8_t *at = room(out, SCALAR_BYTES);
    if (at != NULL)
        out->size += numeric_print(value, (char *)at);
}

static void put_double(struct buf *out, double value)
{
    uint8_t *at = room(out, SCALAR_BYTES);
    if (at == NULL)
        return;
    if (isfinite(value)) {
        out->size += decimal_double(value, (char *)at);
    } else {
        memcpy(at, "null", 4);
        out->size += 4;
    }
}

static void put_timestamp(struct buf *out, int64_t epoch_ms)
{
    uint8_t *at = room(out, ISO_BYTES + 2);
    if (at == NULL)
        return;
    at[0] = '"';
    size_t size = time_format_iso(epoch_ms, (char *)at + 1);
    at[size + 1] = '"';
    out->size += size + 2;
}

/* "PT1.500S"; "PT-1.500S" as PostgreSQL signs it. */
static void put_interval(struct buf *out, int64_t ms)
{
    uint8_t *at = room(out, SCALAR_BYTES);
    if (at == NULL)
        return;
    uint8_t *p = at;
    memcpy(p, "\"PT", 3);
    p += 3;
    p += numeric_print((struct numeric){ms, 3}, (char *)p);
    memcpy(p, "S\"", 2);
    out->size += (size_t)(p + 2 - at);
}

/* "\\x6869": the backslash is JSON's own. */
static void put_bytea(struct buf *out, struct bytes value)
{
    size_t size = bytea_text_bytes(value.size);
    uint8_t *at = room(out, size + 3);
    if (at == NULL)
        return;
    memcpy(at, "\"\\", 2);
    bytea_print(value, at + 2);
    at[size + 2] = '"';
    out->size += size + 3;
}

static void put_variant(struct buf *out, const struct variant *value)
{
    switch ((enum variant_kind)value->kind) {
    case VARIANT_NULL:
        put_raw(out, "null", 4);
        return;
    case VARIANT_FALSE:
        put_raw(out, "false", 5);
        return;
    case VARIANT_TRUE:
        put_raw(out, "true", 4);
        return;
    case VARIANT_INT:
        put_i64(out, value->i64);
        return;
    case VARIANT_TEXT:
        json_escape(out, bytes_of(value->data, value->size));
        return;
    case VARIANT_NUMBER:
    case VARIANT_JSON:
        put_raw(out, value->data, value->size);
        return;
    }
    must(false && "a kind of variant");
}

static inline void put_value(struct buf *out, const struct column *column, uint32_t row,
                             bool epoch_ms)
{
    if (column_is_null(column, row)) {
        put_raw(out, "null", 4);
        return;
    }
    uint32_t at = column_at(column, row);
    switch (column->type) {
    case COL_VARIANT:
        put_variant(out, &column->variant[at]);
        return;
    case COL_BOOLEAN:
        put_raw(out, column->boolean[at] ? "true" : "false", column->boolean[at] ? 4 : 5);
        return;
    case COL_BIGINT:
        put_i64(out, column->i64[at]);
        return;
    case COL_DOUBLE:
        put_double(out, column->f64[at]);
        return;
    case COL_NUMERIC:
        put_numeric(out, column->numeric[at]);
        return;
    case COL_TEXT:
        json_escape(out, column->text[at]);
        return;
    case COL_TIMESTAMPTZ:
        if (epoch_ms)
            put_i64(out, column->i64[at]);
        else
            put_timestamp(out, column->i64[at]);
        return;
    case COL_INTERVAL:
        put_interval(out, column->i64[at]);
        return;
    case COL_BYTEA:
        put_bytea(out, column->text[at]);
        return;
    case COL_TYPE_COUNT:
        break;
    }
    must(false && "a type of column");
}

void json_encode_value(struct buf *out, const struct column *column, uint32_t row, bool epoch_ms)
{
    put_value(out, column, row, epoch_ms);
}

/* The closing brace; an object without columns has not even been opened. */
static void put_end(struct buf *out, const struct json_names *names)
{
    if (names->count == 0)
        put_raw(out, "{}", 2);
    else
        put_raw(out, "}", 1);
}

void json_encode_row(struct buf *out, const struct json_names *names, const struct column *columns,
                     uint32_t row, bool epoch_ms)
{
    for (uint32_t i = 0; i < names->count; i++) {
        put_raw(out, names->names[i].data, names->names[i].size);
        put_value(out, &columns[i], row, epoch_ms);
    }
    put_end(out, names);
}

/* ---- keys ---- */

static void put_key_double(struct buf *out, double value)
{
    if (isnan(value))
        json_escape(out, bytes_text("NaN"));
    else if (isinf(value))
        json_escape(out, bytes_text(value > 0 ? "Infinity" : "-Infinity"));
    else
        put_double(out, value == 0 ? 0.0 : value);
}

/* A value in its canonical form. */
static void put_key_value(struct buf *out, const struct column *column, uint32_t row)
{
    uint32_t at = column_at(column, row);
    struct numeric number;
    if (column_is_null(column, row)) {
        put_raw(out, "null", 4);
    } else if (column->type == COL_NUMERIC) {
        put_numeric(out, numeric_canonical(column->numeric[at]));
    } else if (column->type == COL_DOUBLE) {
        put_key_double(out, column->f64[at]);
    } else if (column->type == COL_VARIANT && column->variant[at].kind == VARIANT_NUMBER &&
               numeric_parse(bytes_of(column->variant[at].data, column->variant[at].size),
                             &number) == 0) {
        put_numeric(out, numeric_canonical(number));
    } else {
        put_value(out, column, row, false);
    }
}

/* The text of a value of type text, or of a variant that holds text; else null. */
static struct bytes text_of(const struct column *column, uint32_t row)
{
    uint32_t at = column_at(column, row);
    if (column->type == COL_TEXT && !column_is_null(column, row))
        return column->text[at];
    if (column->type == COL_VARIANT && column->variant[at].kind == VARIANT_TEXT)
        return bytes_of(column->variant[at].data, column->variant[at].size);
    return bytes_of(NULL, 0);
}

void json_encode_key(struct buf *out, const struct json_names *names, const struct column *columns,
                     uint32_t row, bool has_window)
{
    if (names->count == 1 && !has_window) {
        struct bytes text = text_of(&columns[0], row);
        if (text.data != NULL && (text.size == 0 || text.data[0] != '{')) {
            put_raw(out, text.data, text.size);
            return;
        }
    }
    for (uint32_t i = 0; i < names->count; i++) {
        put_raw(out, names->names[i].data, names->names[i].size);
        put_key_value(out, &columns[i], row);
    }
    put_end(out, names);
}

/* ---- names ---- */

struct json_names *json_names_create(const char *const *names, uint32_t count)
{
    struct json_names *made = malloc(sizeof(*made) + count * sizeof(struct bytes));
    if (made == NULL)
        return NULL;
    made->count = count;
    buf_init(&made->text, 0);
    for (uint32_t i = 0; i < count; i++) {
        size_t before = made->text.size;
        buf_u8(&made->text, i == 0 ? '{' : ',');
        json_escape(&made->text, bytes_text(names[i]));
        buf_u8(&made->text, ':');
        made->names[i].size = made->text.size - before;
    }
    if (!buf_ok(&made->text)) {
        json_names_destroy(made);
        return NULL;
    }
    const uint8_t *at = made->text.data;
    for (uint32_t i = 0; i < count; i++) {
        made->names[i].data = at;
        at += made->names[i].size;
    }
    return made;
}

void json_names_destroy(struct json_names *names)
{
    if (names == NULL)
        return;
    buf_deinit(&names->text);
    free(names);
}
