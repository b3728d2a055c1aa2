/* numeric.c: exact decimals of 38 digits with PostgreSQL's scales.
 *
 * A value is a 128-bit coefficient and a decimal scale; the coefficient stays strictly below 10^38
 * in magnitude, which every function relies on and restores. Nearly all real values (prices,
 * quantities, counters) have coefficients of 64 bits, and nearly all operations meet equal scales,
 * so that each function first asks for that: a machine addition or one 64 × 64 → 128 bit product.
 * What does not fit goes through 256-bit intermediate values (wide_int.h), where aligning two
 * scales can never overflow (10^38 × 10^38 < 2^253), and the range is checked once, at the end.
 *
 * Division follows PostgreSQL 15, src/backend/utils/adt/numeric.c, select_div_scale(): estimate the
 * quotient's weight from the first base-10000 digits of both sides, take the scale that gives at
 * least 16 significant digits, but not less than either scale. PostgreSQL would go on to 1000
 * digits; a quotient is rounded anyway, so when 38 digits do not hold that scale, we lower it to
 * what they hold, and only an integral part over 38 digits is an error. The tests compare with a
 * table that a real PostgreSQL wrote.
 *
 * Text is parsed by a loop of one multiplication a digit while 19 bytes hold everything; longer
 * texts, and exponents, take a second look that drops trailing zeros behind the point before it
 * gives up (1.000…0 fits, whatever the number of zeros).
 *
 * Relies on __int128, which gcc and clang have on every 64-bit target. */
#include "operators/numeric.h"

#include <stdio.h>
#include <stdlib.h>

#include "operators/decimal_text.h"
#include "operators/wide_int.h"

#define E19        UINT64_C(10000000000000000000)
#define WIDE(high) ((uint128)E19 * UINT64_C(high))

const uint128 numeric_pow10[NUMERIC_MAX_DIGITS + 1] = {
    UINT64_C(1),
    UINT64_C(10),
    UINT64_C(100),
    UINT64_C(1000),
    UINT64_C(10000),
    UINT64_C(100000),
    UINT64_C(1000000),
    UINT64_C(10000000),
    UINT64_C(100000000),
    UINT64_C(1000000000),
    UINT64_C(10000000000),
    UINT64_C(100000000000),
    UINT64_C(1000000000000),
    UINT64_C(10000000000000),
    UINT64_C(100000000000000),
    UINT64_C(1000000000000000),
    UINT64_C(10000000000000000),
    UINT64_C(100000000000000000),
    UINT64_C(1000000000000000000),
    E19,
    WIDE(10),
    WIDE(100),
    WIDE(1000),
    WIDE(10000),
    WIDE(100000),
    WIDE(1000000),
    WIDE(10000000),
    WIDE(100000000),
    WIDE(1000000000),
    WIDE(10000000000),
    WIDE(100000000000),
    WIDE(1000000000000),
    WIDE(10000000000000),
    WIDE(100000000000000),
    WIDE(1000000000000000),
    WIDE(10000000000000000),
    WIDE(100000000000000000),
    WIDE(1000000000000000000),
    WIDE(10000000000000000000),
};

#define LIMIT (numeric_pow10[NUMERIC_MAX_DIGITS])

static inline bool fits_64(int128 value)
{
    return value == (int64_t)value;
}

/* ±magnitude × 10^-scale, when it has at most 38 digits. */
static int numeric_make(uint128 magnitude, bool negative, int32_t scale, struct numeric *result)
{
    if (magnitude >= LIMIT)
        return ERR_RANGE;
    result->coefficient = negative ? -(int128)magnitude : (int128)magnitude;
    result->scale = scale;
    return 0;
}

struct numeric numeric_from_i64(int64_t value)
{
    return (struct numeric){value, 0};
}

/* ---- text ---- */

static inline bool is_digit(uint8_t byte)
{
    return (uint8_t)(byte - '0') < 10;
}

/* The significant digits of a text: coefficient (no trailing zeros) × 10^exponent, written with
 * `scale` digits behind the point. Counts are 64-bit because the text may have any length. */
struct digits {
    uint128 coefficient;
    int64_t zeros; /* after the coefficient's last digit, not yet multiplied in */
    int32_t count; /* of significant digits in the coefficient, at most 39 */
};

static const uint8_t *digits_take(const uint8_t *p, const uint8_t *end, struct digits *digits)
{
    for (; p < end && is_digit(*p); p++) {
        if (*p == '0') {
            digits->zeros += digits->count > 0;
            continue;
        }
        if (digits->count + digits->zeros < NUMERIC_MAX_DIGITS) {
            digits->count += (int32_t)digits->zeros + 1;
            digits->coefficient =
                digits->coefficient * numeric_pow10[digits->zeros + 1] + (uint8_t)(*p - '0');
        } else {
            digits->count = NUMERIC_MAX_DIGITS + 1; /* too many: the range check will say so */
        }
        digits->zeros = 0;
    }
    return p;
}

/* [eE][+-]digits at p; saturates far outside any range that matters. NULL when malformed. */
static const uint8_t *exponent_take(const uint8_t *p, const uint8_t *end, int64_t *exponent)
{
    bool negative = false;
    p++;
    if (p < end && (*p == '-' || *p == '+'))
        negative = *p++ == '-';
    if (p == end || !is_digit(*p))
        return NULL;
    int64_t value = 0;
    for (; p < end && is_digit(*p); p++)
        if (value < INT64_C(1000000000000000))
            value = value * 10 + (*p - '0');
    *exponent = negative ? -value : value;
    return p;
}

/* What the fast path of numeric_parse leaves: long texts, exponents, errors. p is behind the sign.
 */
static int numeric_parse_long(const uint8_t *p, const uint8_t *end, bool negative,
                              struct numeric *result)
{
    struct digits digits = {0};
    int64_t fraction = 0, exponent = 0;
    if (p == end || !is_digit(*p))
        return ERR_INVALID;
    p = digits_take(p, end, &digits);
    if (p < end && *p == '.') {
        const uint8_t *first = ++p;
        p = digits_take(p, end, &digits);
        fraction = p - first;
        if (fraction == 0)
            return ERR_INVALID;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p = exponent_take(p, end, &exponent);
        if (p == NULL)
            return ERR_INVALID;
    }
    if (p != end)
        return ERR_INVALID;

    /* Value = coefficient × 10^power. Start from the scale as written and lower it to what 38
     * digits hold. */
    int64_t power = digits.zeros - fraction + exponent;
    int64_t scale = fraction - exponent;
    scale = scale < 0 ? 0 : scale > NUMERIC_MAX_DIGITS ? NUMERIC_MAX_DIGITS : scale;
    if (digits.count == 0)
        return numeric_make(0, false, (int32_t)scale, result);
    if (digits.count + power + scale > NUMERIC_MAX_DIGITS)
        scale = NUMERIC_MAX_DIGITS - digits.count - power;
    if (scale < 0 || power + scale < 0)
        return ERR_RANGE;
    return numeric_make(digits.coefficient * numeric_pow10[power + scale], negative, (int32_t)scale,
                        result);
}

int numeric_parse(struct bytes text, struct numeric *value)
{
    if (text.size == 0)
        return ERR_INVALID;
    const uint8_t *p = text.data, *end = p + text.size;
    bool negative = false;
    if (p < end && (*p == '-' || *p == '+'))
        negative = *p++ == '-';
    const uint8_t *first = p;
    if (end - first > 19) /* 19 digits fit 64 bits */
        return numeric_parse_long(first, end, negative, value);

    uint64_t coefficient = 0;
    int64_t fraction = 0;
    while (p < end && is_digit(*p))
        coefficient = coefficient * 10 + (uint64_t)(*p++ - '0');
    if (p == first)
        return ERR_INVALID;
    if (p < end && *p == '.') {
        const uint8_t *point = p++;
        while (p < end && is_digit(*p))
            coefficient = coefficient * 10 + (uint64_t)(*p++ - '0');
        fraction = p - point - 1;
        if (fraction == 0)
            return ERR_INVALID;
    }
    if (p != end)
        return numeric_parse_long(first, end, negative, value);
    value->coefficient = negative ? -(int128)coefficient : (int128)coefficient;
    value->scale = (int32_t)fraction;
    return 0;
}

size_t numeric_print(struct numeric value, char *text)
{
    char digits[NUMERIC_TEXT_BYTES], *end = digits + sizeof(digits), *first;
    uint128 magnitude = int128_magnitude(value.coefficient);
    int scale = value.scale;
    if (magnitude >> 64 == 0) {
        first = decimal_backwards((uint64_t)magnitude, scale + 1, end);
    } else {
        first = decimal_backwards((uint64_t)(magnitude % E19), 19, end);
        first = decimal_backwards((uint64_t)(magnitude / E19), scale + 1 - 19, first);
    }
    char *out = text;
    if (value.coefficient < 0)
        *out++ = '-';
    size_t integral = (size_t)(end - first) - (size_t)scale;
    memcpy(out, first, integral);
    out += integral;
    if (scale > 0) {
        *out++ = '.';
        memcpy(out, first + integral, (size_t)scale);
        out += scale;
    }
    return (size_t)(out - text);
}

/* ---- comparison, sum, product ---- */

/* value × 10^(scale − value.scale) in 256-bit two's complement; always fits. */
static struct u256 aligned(struct numeric value, int32_t scale)
{
    struct u256 wide =
        u256_product(int128_magnitude(value.coefficient), numeric_pow10[scale - value.scale]);
    if (value.coefficient < 0)
        u256_negate(&wide);
    return wide;
}

static inline int32_t larger_scale(struct numeric a, struct numeric b)
{
    return a.scale > b.scale ? a.scale : b.scale;
}

/* When both coefficients fit 64 bits and the scales differ by at most 18, brings them to one scale
 * in 128 bits. */
static inline bool align_narrow(struct numeric *a, struct numeric *b)
{
    if (!fits_64(a->coefficient) || !fits_64(b->coefficient))
        return false;
    int32_t difference = a->scale - b->scale;
    if (difference == 0)
        return true;
    if (difference > 18 || difference < -18)
        return false;
    if (difference > 0) {
        b->coefficient *= (int64_t)numeric_pow10[difference];
        b->scale = a->scale;
    } else {
        a->coefficient *= (int64_t)numeric_pow10[-difference];
        a->scale = b->scale;
    }
    return true;
}

int numeric_compare(struct numeric a, struct numeric b)
{
    if (a.scale == b.scale || align_narrow(&a, &b))
        return (a.coefficient > b.coefficient) - (a.coefficient < b.coefficient);
    if ((a.coefficient < 0) != (b.coefficient < 0))
        return a.coefficient < 0 ? -1 : 1;
    int32_t scale = larger_scale(a, b);
    struct u256 wide_a = aligned(a, scale), wide_b = aligned(b, scale);
    return u256_compare(&wide_a, &wide_b); /* equal signs: two's complement keeps the order */
}

int numeric_add(struct numeric a, struct numeric b, struct numeric *result)
{
    if (align_narrow(&a, &b)) { /* below 2^63 × 10^18 each: the sum cannot overflow 128 bits */
        int128 sum = a.coefficient + b.coefficient;
        return numeric_make(int128_magnitude(sum), sum < 0, a.scale, result);
    }
    int32_t scale = larger_scale(a, b);
    struct u256 sum = aligned(a, scale), other = aligned(b, scale);
    u256_add(&sum, &other);
    bool negative = u256_is_negative(&sum);
    if (negative)
        u256_negate(&sum);
    if (!u256_fits_128(&sum))
        return ERR_RANGE;
    return numeric_make(u256_low(&sum), negative, scale, result);
}

struct numeric numeric_negate(struct numeric a)
{
    a.coefficient = -a.coefficient;
    return a;
}

int numeric_subtract(struct numeric a, struct numeric b, struct numeric *result)
{
    return numeric_add(a, numeric_negate(b), result);
}

int numeric_multiply(struct numeric a, struct numeric b, struct numeric *result)
{
    int32_t scale = a.scale + b.scale;
    if (scale > NUMERIC_MAX_DIGITS)
        return ERR_RANGE;
    bool negative = (a.coefficient < 0) != (b.coefficient < 0);
    if (fits_64(a.coefficient) && fits_64(b.coefficient)) {
        int128 product = a.coefficient * b.coefficient; /* at most 2^126 */
        return numeric_make(int128_magnitude(product), product < 0, scale, result);
    }
    struct u256 product =
        u256_product(int128_magnitude(a.coefficient), int128_magnitude(b.coefficient));
    if (!u256_fits_128(&product))
        return ERR_RANGE;
    return numeric_make(u256_low(&product), negative, scale, result);
}

/* ---- division ---- */

/* The first base-10000 digit of magnitude × 10^-scale and its weight (the power of 10000), as
 * PostgreSQL stores a numeric. Zero has weight 0 and first digit 0. */
static int32_t first_digit(struct u256 magnitude, int32_t digits, int32_t scale, int32_t *weight)
{
    *weight = 0;
    if (digits == 0)
        return 0;
    int32_t exponent = digits - 1 - scale; /* of the first decimal digit */
    *weight = exponent >= 0 ? exponent / 4 : -((3 - exponent) / 4);
    int32_t used =
        exponent - 4 * *weight + 1; /* decimal digits inside the first base-10000 digit */
    for (int32_t drop = digits - used; drop > 0; drop -= NUMERIC_MAX_DIGITS)
        u256_divide(&magnitude,
                    numeric_pow10[drop < NUMERIC_MAX_DIGITS ? drop : NUMERIC_MAX_DIGITS]);
    int32_t first = (int32_t)magnitude.limb[0];
    for (int32_t missing = used - digits; missing > 0; missing--)
        first *= 10;
    return first;
}

static int32_t divide_scale(struct u256 a, int32_t a_digits, int32_t a_scale, uint128 b,
                            int32_t b_digits, int32_t b_scale)
{
    enum { MIN_SIGNIFICANT_DIGITS = 16, DIGITS_PER_WEIGHT = 4 };
    int32_t a_weight, b_weight;
    int32_t a_first = first_digit(a, a_digits, a_scale, &a_weight);
    int32_t b_first = first_digit(u256_from(b), b_digits, b_scale, &b_weight);
    int32_t weight = a_weight - b_weight - (a_first <= b_first);
    int32_t scale = MIN_SIGNIFICANT_DIGITS - weight * DIGITS_PER_WEIGHT;
    scale = scale < a_scale ? a_scale : scale;
    scale = scale < b_scale ? b_scale : scale;
    return scale < 0 ? 0 : scale > NUMERIC_MAX_DIGITS ? NUMERIC_MAX_DIGITS : scale;
}

/* round(a × 10^shift ÷ b) half up. For shift ≥ 0 the caller knows that a × 10^shift fits 256 bits.
 * False when the quotient does not fit 128 bits. */
static bool divide_rounded(struct u256 a, int32_t shift, uint128 b, uint128 *quotient)
{
    bool up;
    if (shift >= 0) {
        if (!u256_scale_up(&a, shift))
            return false;
        uint128 rest = u256_divide(&a, b);
        up = rest >= b - rest;
    } else {
        /* floor(a ÷ b ÷ 10^n) = floor(a ÷ (b × 10^n)), and half of 10^n is integral: the remainder
         * of the first division cannot change the rounding. */
        u256_divide(&a, b);
        int32_t first = -shift < NUMERIC_MAX_DIGITS ? -shift - 1 : NUMERIC_MAX_DIGITS;
        u256_divide(&a, numeric_pow10[first]);
        for (int32_t left = -shift - 1 - first; left > 0; left--)
            u256_divide_64(&a, 10);
        up = u256_divide_64(&a, 10) >= 5;
    }
    if (!u256_fits_128(&a))
        return false;
    *quotient = u256_low(&a) + up;
    return *quotient >= up;
}

int numeric_divide_wide(struct u256 a, int32_t a_scale, uint128 b, int32_t b_scale, bool negative,
                        struct numeric *result)
{
    int32_t a_digits = u256_digits(a), b_digits = uint128_digits(b);
    int32_t scale = divide_scale(a, a_digits, a_scale, b, b_digits, b_scale);
    int32_t excess = a_digits + scale + b_scale - a_scale - b_digits - NUMERIC_MAX_DIGITS;
    if (excess > 0) /* the quotient has at least that many digits too many */
        scale -= excess;
    for (; scale >= 0; scale--) {
        uint128 quotient;
        if (divide_rounded(a, scale + b_scale - a_scale, b, &quotient) &&
            numeric_make(quotient, negative, scale, result) == 0)
            return 0;
    }
    return ERR_RANGE;
}

int numeric_divide(struct numeric a, struct numeric b, struct numeric *result)
{
    if (b.coefficient == 0)
        return ERR_INVALID;
    return numeric_divide_wide(u256_from(int128_magnitude(a.coefficient)), a.scale,
                               int128_magnitude(b.coefficient), b.scale,
                               (a.coefficient < 0) != (b.coefficient < 0), result);
}

int numeric_modulo(struct numeric a, struct numeric b, struct numeric *result)
{
    if (b.coefficient == 0)
        return ERR_INVALID;
    if (align_narrow(&a, &b)) {
        int128 rest = a.coefficient % b.coefficient;
        return numeric_make(int128_magnitude(rest), rest < 0, a.scale, result);
    }
    int32_t scale = larger_scale(a, b);
    bool negative = a.coefficient < 0;
    struct u256 dividend =
        u256_product(int128_magnitude(a.coefficient), numeric_pow10[scale - a.scale]);
    struct u256 divisor =
        u256_product(int128_magnitude(b.coefficient), numeric_pow10[scale - b.scale]);
    /* At most one of the two was scaled up. A divisor of over 128 bits was, and is larger than the
     * dividend. */
    uint128 rest =
        u256_fits_128(&divisor) ? u256_divide(&dividend, u256_low(&divisor)) : u256_low(&dividend);
    return numeric_make(rest, negative && rest > 0, scale, result);
}

/* ---- rounding ---- */

enum rounding { ROUND_HALF_AWAY, ROUND_TO_ZERO, ROUND_FLOOR, ROUND_CEIL };

/* magnitude ÷ 10^digits, rounded. */
static uint128 drop_digits(uint128 magnitude, int32_t digits, bool negative, enum rounding rounding)
{
    if (digits > NUMERIC_MAX_DIGITS) /* 10^38 > magnitude; for halves, 10^39 > 2 × magnitude */
        return magnitude > 0 && rounding == (negative ? ROUND_FLOOR : ROUND_CEIL);
    uint128 unit = numeric_pow10[digits], quotient, rest;
    if (digits < 20 && magnitude >> 64 == 0) {
        quotient = (uint64_t)magnitude / (uint64_t)unit;
        rest = (uint64_t)magnitude % (uint64_t)unit;
    } else {
        quotient = magnitude / unit;
        rest = magnitude % unit;
    }
    switch (rounding) {
    case ROUND_HALF_AWAY:
        return quotient + (rest >= unit - rest);
    case ROUND_FLOOR:
        return quotient + (negative && rest > 0);
    case ROUND_CEIL:
        return quotient + (!negative && rest > 0);
    case ROUND_TO_ZERO:
        break;
    }
    return quotient;
}

/* To `scale` digits behind the point; a negative scale clears digits before it and leaves scale 0.
 */
static int round_to(struct numeric a, int32_t scale, enum rounding rounding, struct numeric *result)
{
    uint128 magnitude = int128_magnitude(a.coefficient);
    bool negative = a.coefficient < 0;
    if (scale > NUMERIC_MAX_DIGITS)
        return ERR_RANGE;
    if (scale >= a.scale) {
        struct u256 wide = u256_product(magnitude, numeric_pow10[scale - a.scale]);
        if (!u256_fits_128(&wide))
            return ERR_RANGE;
        return numeric_make(u256_low(&wide), negative, scale, result);
    }
    if (scale < -NUMERIC_MAX_DIGITS)
        scale = -NUMERIC_MAX_DIGITS; /* already rounds everything away */
    magnitude = drop_digits(magnitude, a.scale - scale, negative, rounding);
    if (scale < 0) {
        struct u256 wide = u256_product(magnitude, numeric_pow10[-scale]);
        if (!u256_fits_128(&wide))
            return ERR_RANGE;
        magnitude = u256_low(&wide);
        scale = 0;
    }
    return numeric_make(magnitude, negative, scale, result);
}

int numeric_round(struct numeric a, int32_t scale, struct numeric *result)
{
    return round_to(a, scale, ROUND_HALF_AWAY, result);
}

int numeric_truncate(struct numeric a, int32_t scale, struct numeric *result)
{
    return round_to(a, scale, ROUND_TO_ZERO, result);
}

int numeric_floor(struct numeric a, struct numeric *result)
{
    return round_to(a, 0, ROUND_FLOOR, result);
}

int numeric_ceil(struct numeric a, struct numeric *result)
{
    return round_to(a, 0, ROUND_CEIL, result);
}

int numeric_fit(struct numeric a, int32_t precision, int32_t scale, struct numeric *result)
{
    struct numeric rounded;
    TRY(round_to(a, scale, ROUND_HALF_AWAY, &rounded));
    int32_t digits = scale < 0 ? precision - scale : precision; /* of the coefficient */
    if (digits < NUMERIC_MAX_DIGITS &&
        (digits < 0 || int128_magnitude(rounded.coefficient) >= numeric_pow10[digits]))
        return ERR_RANGE;
    *result = rounded;
    return 0;
}

struct numeric numeric_canonical(struct numeric a)
{
    if (fits_64(a.coefficient)) {
        int64_t coefficient = (int64_t)a.coefficient;
        while (a.scale > 0 && coefficient % 10 == 0) {
            coefficient /= 10;
            a.scale--;
            if (coefficient == 0)
                a.scale = 0;
        }
        a.coefficient = coefficient;
        return a;
    }
    while (a.scale > 0 && a.coefficient % 10 == 0) {
        a.coefficient /= 10;
        a.scale--;
    }
    return a;
}

/* ---- other number types ---- */

int numeric_to_i64(struct numeric a, int64_t *value)
{
    struct numeric rounded = a;
    if (a.scale > 0)
        TRY(round_to(a, 0, ROUND_HALF_AWAY, &rounded));
    if (!fits_64(rounded.coefficient))
        return ERR_RANGE;
    *value = (int64_t)rounded.coefficient;
    return 0;
}

double numeric_to_double(struct numeric a)
{
    static const double pow10[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                   1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                   1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    /* Both operands are exact doubles, so that one division rounds once: the nearest double. */
    if (int128_magnitude(a.coefficient) <= UINT64_C(1) << 53 && a.scale <= 22)
        return (double)(int64_t)a.coefficient / pow10[a.scale];
    /* strtod rounds correctly. The scale goes into an exponent, since the point depends on the
     * locale. */
    char text[NUMERIC_TEXT_BYTES];
    size_t length = numeric_print((struct numeric){a.coefficient, 0}, text);
    snprintf(text + length, sizeof(text) - length, "e-%d", a.scale);
    return strtod(text, NULL);
}

int numeric_from_double(double value, struct numeric *result)
{
    if (value != value || value - value != 0)
        return ERR_INVALID;
    if (value > -1e15 && value < 1e15 && value == (double)(int64_t)value) {
        *result = numeric_from_i64((int64_t)value);
        return 0;
    }
    /* "d.dddddddddddddde±xx": 15 significant digits, the point in the locale's spelling (of one or
     * more bytes). */
    char text[64];
    snprintf(text, sizeof(text), "%.14e", value);
    const char *p = text;
    bool negative = *p == '-';
    int64_t coefficient = 0;
    for (p += negative; *p != 'e'; p++)
        if (is_digit((uint8_t)*p))
            coefficient = coefficient * 10 + (*p - '0');
    int32_t scale = 14 - (int32_t)strtol(p + 1, NULL, 10);
    while (coefficient % 10 == 0) { /* not 0: that is integral */
        coefficient /= 10;
        scale--;
    }
    if (scale > NUMERIC_MAX_DIGITS || scale < -NUMERIC_MAX_DIGITS)
        return ERR_RANGE;
    struct u256 wide = u256_product((uint128)coefficient, numeric_pow10[scale < 0 ? -scale : 0]);
    if (!u256_fits_128(&wide))
        return ERR_RANGE;
    return numeric_make(u256_low(&wide), negative, scale < 0 ? 0 : scale, result);
}
