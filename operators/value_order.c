/* value_order.c: values as bytes whose order by memcmp is theirs.
 *
 *     boolean                     1 byte: 0 false, 1 true
 *     bigint, timestamptz,        1 byte: 80 + n for a value from 0 on, 7F − n for one below, n how
 *     interval                    many bytes follow; n bytes big-endian: the value without leading
 *                                 zeros, of one below 0 its two's complement without leading ones
 *     double                      8 bytes big-endian: IEEE 754 with the sign bit flipped, of one
 *                                 below 0 all bits; finite, −0.0 as 0.0
 *     numeric                     a decimal, 1 byte scale
 *     text                        its bytes
 *     json                        1 byte rank: 1 false, 2 true, 3 number, 5 text, 6 object or array;
 *                                 of a number a decimal and 1 byte: 3, or 4 and the token; of the
 *                                 last two their bytes
 *     a decimal                   1 byte: 7F below 0, 80 zero, 81 above; unless zero, with all bits
 *                                 flipped below 0: 1 byte 40 (decimal) + e, digits two by two, each
 *                                 pair + 1, a byte 0. The value is 0.digits × 10^e, without zeros at
 *                                 either end, the last pair filled up with one
 *
 * (80, 7F, 81 are hexadecimal.) Each form but the text at an end says where it ends, so none is the
 * beginning of another, and what follows it decides only between equals: of equal numerics the one
 * with fewer decimals is the smaller, of equal JSON numbers an integer token, then bytes decide.
 * Small numbers are short: a set has as many of these as it has values.
 *
 * For max the same bytes sort the other way round: complemented, with 00 written as FF 00, and FF FF
 * at the end. So a text comes behind those that it is the beginning of.
 *
 * The decoder trusts nothing, since values come back from disk, and takes one form of a value only. */
#include "operators/value_order.h"

#include <math.h>
#include "operators/wide_int.h"

enum { ZERO = 0x80, ABOVE = 0x81, BELOW = 0x7F, EXPONENT_BIAS = 40, NEGATIVE_LEAD = 0x7F };

/* Kinds of JSON by rank; numbers of both kinds share one. */
enum { RANK_NUMBER = VARIANT_INT };

static const uint64_t SIGN_BIT = UINT64_C(1) << 63;

/* ---- integers and doubles ---- */

static uint32_t significant_bytes(uint64_t magnitude)
{
    return magnitude == 0 ? 0 : 8 - (uint32_t)__builtin_clzll(magnitude) / 8;
}

static void put_i64(struct buf *out, int64_t value)
{
    uint64_t bits = (uint64_t)value;
    uint32_t n = significant_bytes(value < 0 ? ~bits : bits);
    buf_u8(out, (uint8_t)(value < 0 ? NEGATIVE_LEAD - n : ZERO + n));
    for (uint32_t i = n; i-- > 0;)
        buf_u8(out, (uint8_t)(bits >> 8 * i));
}

static int take_i64(struct bytes *in, int64_t *value)
{
    uint8_t lead, byte;
    TRY(take_u8(in, &lead));
    bool is_negative = lead < ZERO;
    uint32_t n = is_negative ? (uint32_t)(NEGATIVE_LEAD - lead) : (uint32_t)(lead - ZERO);
    uint64_t bits = is_negative ? UINT64_MAX : 0;
    if (n > 8)
        return ERR_CORRUPT;
    for (uint32_t i = 0; i < n; i++) {
        TRY(take_u8(in, &byte));
        bits = bits << 8 | byte;
    }
    *value = (int64_t)bits;
    bool is_right = (*value < 0) == is_negative;
    return is_right && significant_bytes(is_negative ? ~bits : bits) == n ? 0 : ERR_CORRUPT;
}

static void put_double(struct buf *out, double value)
{
    uint64_t bits;
    value += 0.0; /* −0.0 + 0.0 is 0.0 */
    memcpy(&bits, &value, sizeof bits);
    buf_be64(out, (bits & SIGN_BIT) != 0 ? ~bits : bits | SIGN_BIT);
}

static int take_double(struct bytes *in, double *value)
{
    uint64_t bits;
    TRY(take_be64(in, &bits));
    bits = (bits & SIGN_BIT) != 0 ? bits & ~SIGN_BIT : ~bits;
    memcpy(value, &bits, sizeof bits);
    return isfinite(*value) && bits != SIGN_BIT ? 0 : ERR_CORRUPT;
}

/* ---- decimals ---- */

/* 0.digits × 10^exponent. */
struct decimal {
    uint8_t digits[NUMERIC_MAX_DIGITS + 1]; /* and room for the zero that fills the last pair */
    uint32_t count;
    int32_t exponent;
};

static void decimal_of(uint128 magnitude, int32_t scale, struct decimal *decimal)
{
    uint8_t reversed[NUMERIC_MAX_DIGITS];
    uint32_t count = 0, zeros = 0;
    for (; magnitude > UINT64_MAX; magnitude /= 10)
        reversed[count++] = (uint8_t)(magnitude % 10);
    for (uint64_t low = (uint64_t)magnitude; low != 0; low /= 10)
        reversed[count++] = (uint8_t)(low % 10);
    while (zeros < count && reversed[zeros] == 0)
        zeros++;
    decimal->exponent = (int32_t)count - scale;
    decimal->count = count - zeros;
    for (uint32_t i = 0; i < decimal->count; i++)
        decimal->digits[i] = reversed[count - 1 - i];
    decimal->digits[decimal->count] = 0;
}

static void put_decimal(struct buf *out, struct numeric value)
{
    struct decimal decimal;
    if (value.coefficient == 0) {
        buf_u8(out, ZERO);
        return;
    }
    uint8_t flip = value.coefficient < 0 ? 0xFF : 0;
    decimal_of(int128_magnitude(value.coefficient), value.scale, &decimal);
    buf_u8(out, flip != 0 ? BELOW : ABOVE);
    buf_u8(out, (uint8_t)(decimal.exponent + EXPONENT_BIAS) ^ flip);
    for (uint32_t i = 0; i < decimal.count; i += 2)
        buf_u8(out, (uint8_t)(decimal.digits[i] * 10 + decimal.digits[i + 1] + 1) ^ flip);
    buf_u8(out, flip);
}

static int take_pairs(struct bytes *in, uint8_t flip, uint128 *digits, uint32_t *count)
{
    uint8_t byte;
    *digits = 0;
    for (*count = 0;; *count += 2) {
        TRY(take_u8(in, &byte));
        byte ^= flip;
        if (byte == 0)
            return *count > 0 && *digits % 100 != 0 ? 0 : ERR_CORRUPT;
        if (byte > 100 || *count >= NUMERIC_MAX_DIGITS || (*count == 0 && byte <= 10))
            return ERR_CORRUPT;
        *digits = *digits * 100 + (uint8_t)(byte - 1);
    }
}

/* The value with that scale; ERR_CORRUPT when it has none. */
static int take_decimal(struct bytes *in, int32_t scale, struct numeric *value)
{
    uint8_t sign, exponent;
    uint128 digits;
    uint32_t count;
    *value = (struct numeric){0, scale};
    TRY(take_u8(in, &sign));
    if (sign == ZERO)
        return 0;
    if (sign != ABOVE && sign != BELOW)
        return ERR_CORRUPT;
    uint8_t flip = sign == BELOW ? 0xFF : 0;
    TRY(take_u8(in, &exponent));
    TRY(take_pairs(in, flip, &digits, &count));
    int32_t shift = (int32_t)(exponent ^ flip) - EXPONENT_BIAS + scale - (int32_t)count;
    if (shift == -1 && digits % 10 == 0) { /* the zero that fills the last pair */
        digits /= 10;
        shift = 0;
    }
    if (shift < 0 || shift > NUMERIC_MAX_DIGITS ||
        digits > numeric_pow10[NUMERIC_MAX_DIGITS - shift] ||
        digits * numeric_pow10[shift] >= numeric_pow10[NUMERIC_MAX_DIGITS])
        return ERR_CORRUPT;
    digits *= numeric_pow10[shift];
    value->coefficient = flip != 0 ? -(int128)digits : (int128)digits;
    return 0;
}

/* The scale stands behind the decimal, but is needed to read it. */
static int take_numeric(struct bytes value, struct numeric *numeric)
{
    if (value.size < 2 || value.data[value.size - 1] > NUMERIC_MAX_DIGITS)
        return ERR_CORRUPT;
    struct bytes decimal = bytes_of(value.data, value.size - 1);
    TRY(take_decimal(&decimal, value.data[value.size - 1], numeric));
    return decimal.size == 0 ? 0 : ERR_CORRUPT;
}

/* ---- json ---- */

static void put_variant(struct buf *out, const struct variant *value)
{
    struct numeric number = {0, 0};
    bool is_number = value->kind == VARIANT_INT || value->kind == VARIANT_NUMBER;
    must(value->kind != VARIANT_NULL);
    buf_u8(out, is_number ? (uint8_t)RANK_NUMBER : value->kind);
    if (value->kind == VARIANT_INT)
        number = numeric_from_i64(value->i64);
    else if (value->kind == VARIANT_NUMBER)
        must(numeric_parse(bytes_of(value->data, value->size), &number) == 0);
    if (is_number) {
        put_decimal(out, number);
        buf_u8(out, value->kind);
    }
    if (value->kind >= VARIANT_NUMBER)
        buf_append(out, value->data, value->size);
}

/* Takes the bytes of a decimal off the front. */
static int split_decimal(struct bytes *in, struct bytes *decimal)
{
    size_t size = 1;
    if (in->size > 2 && in->data[0] != ZERO) {
        const uint8_t *end = memchr(in->data + 2, in->data[0] == BELOW ? 0xFF : 0, in->size - 2);
        size = end != NULL ? (size_t)(end - in->data) + 1 : SIZE_MAX;
    }
    return take_bytes(in, size, decimal);
}

/* in: behind the rank. The decimal of a token is that of the token, or the value is none of ours. */
static int take_number(struct bytes in, struct bytes whole, struct variant *value)
{
    struct numeric number;
    struct bytes decimal;
    struct buf again;
    TRY(split_decimal(&in, &decimal));
    TRY(take_u8(&in, &value->kind));
    if (value->kind == VARIANT_INT) {
        TRY(take_decimal(&decimal, 0, &number));
        value->i64 = (int64_t)number.coefficient;
        return decimal.size == 0 && in.size == 0 && number.coefficient == value->i64 ? 0
                                                                                     : ERR_CORRUPT;
    }
    if (value->kind != VARIANT_NUMBER || in.size > UINT32_MAX || numeric_parse(in, &number) < 0)
        return ERR_CORRUPT;
    value->data = in.data;
    value->size = (uint32_t)in.size;
    buf_init(&again, 0);
    put_variant(&again, value);
    int rc = !buf_ok(&again)                                        ? ERR_NOMEM
             : bytes_equal(bytes_of(again.data, again.size), whole) ? 0
                                                                    : ERR_CORRUPT;
    buf_deinit(&again);
    return rc;
}

static int take_variant(struct bytes whole, struct variant *value)
{
    uint8_t rank;
    struct bytes in = whole;
    *value = (struct variant){0};
    TRY(take_u8(&in, &rank));
    if (rank == RANK_NUMBER)
        return take_number(in, whole, value);
    value->kind = rank;
    if (rank == VARIANT_FALSE || rank == VARIANT_TRUE)
        return in.size == 0 ? 0 : ERR_CORRUPT;
    if ((rank != VARIANT_TEXT && rank != VARIANT_JSON) || in.size > UINT32_MAX)
        return ERR_CORRUPT;
    value->data = in.data;
    value->size = (uint32_t)in.size;
    return 0;
}

/* ---- values ---- */

void value_order_put(struct buf *out, const struct column *column, uint32_t row)
{
    uint32_t at = column_at(column, row);
    switch (column->type) {
    case COL_BOOLEAN:
        buf_u8(out, column->boolean[at] != 0);
        return;
    case COL_BIGINT:
    case COL_TIMESTAMPTZ:
    case COL_INTERVAL:
        put_i64(out, column->i64[at]);
        return;
    case COL_DOUBLE:
        put_double(out, column->f64[at]);
        return;
    case COL_NUMERIC:
        put_decimal(out, column->numeric[at]);
        buf_u8(out, (uint8_t)column->numeric[at].scale);
        return;
    case COL_TEXT:
        buf_append_bytes(out, column->text[at]);
        return;
    case COL_VARIANT:
        put_variant(out, &column->variant[at]);
        return;
    case COL_BYTEA:
    case COL_TYPE_COUNT:
        break;
    }
    must(false && "a type that min takes");
}

int value_order_take(struct bytes value, struct column *column, uint32_t at)
{
    uint8_t byte;
    switch (column->type) {
    case COL_BOOLEAN:
        TRY(take_u8(&value, &byte));
        column->boolean[at] = byte;
        return byte <= 1 && value.size == 0 ? 0 : ERR_CORRUPT;
    case COL_BIGINT:
    case COL_TIMESTAMPTZ:
    case COL_INTERVAL:
        TRY(take_i64(&value, &column->i64[at]));
        return value.size == 0 ? 0 : ERR_CORRUPT;
    case COL_DOUBLE:
        TRY(take_double(&value, &column->f64[at]));
        return value.size == 0 ? 0 : ERR_CORRUPT;
    case COL_NUMERIC:
        return take_numeric(value, &column->numeric[at]);
    case COL_TEXT:
        column->text[at] = value;
        return 0;
    case COL_VARIANT:
        return take_variant(value, &column->variant[at]);
    case COL_BYTEA:
    case COL_TYPE_COUNT:
        break;
    }
    must(false && "a type that min takes");
}

/* ---- the other way round ---- */

void value_order_flip(struct buf *out, struct bytes value)
{
    for (size_t i = 0; i < value.size; i++) {
        buf_u8(out, (uint8_t)~value.data[i]);
        if (value.data[i] == 0)
            buf_u8(out, 0);
    }
    buf_be16(out, 0xFFFF);
}

int value_order_unflip(struct buf *out, struct bytes flipped)
{
    uint8_t byte, next;
    for (;;) {
        TRY(take_u8(&flipped, &byte));
        if (byte == 0xFF) {
            TRY(take_u8(&flipped, &next));
            if (next == 0xFF)
                return flipped.size == 0 ? 0 : ERR_CORRUPT;
            if (next != 0)
                return ERR_CORRUPT;
        }
        buf_u8(out, (uint8_t)~byte);
    }
}
