/* numeric.h: exact decimals. A numeric is coefficient × 10^-scale, |coefficient| < 10^38, 0 ≤ scale ≤ 38.
 *
 * Semantics follow PostgreSQL 15's numeric where it fits in 38 digits: the result scale of + − is the larger scale, of × the
 * sum of both (an exact product that needs more than 38 digits or scale > 38 is ERR_RANGE), of ÷ select_div_scale's rule
 * (at least 16 significant digits), rounding half away from zero; when 38 digits do not hold a quotient at that scale, it gets the
 * largest scale that they hold. There is no NaN and no infinity. Sums accumulate in 256
 * bits and are range-checked on leaving, so that overflow does not depend on order. */
#ifndef WEIR_OPERATORS_NUMERIC_H
#define WEIR_OPERATORS_NUMERIC_H

#include "runtime/base/bytes.h"
#include "runtime/base/error.h"

typedef __int128 int128;
typedef unsigned __int128 uint128;

struct numeric {
    int128 coefficient;
    int32_t scale;
};
enum { NUMERIC_MAX_DIGITS = 38, NUMERIC_TEXT_BYTES = 80 };

struct numeric numeric_from_i64(int64_t value);
/* Decimal text as JSON and PostgreSQL write it: [+-]digits[.digits][(e|E)[+-]digits]. "1e3" is 1000 with scale 0, "1.50" keeps scale 2;
 * zeros at the end that 38 digits do not hold are dropped. ERR_INVALID (not a number), ERR_RANGE (does not fit). */
int numeric_parse(struct bytes text, struct numeric *value);
/* Prints exactly, with `scale` digits after the point, no exponent; returns the length (≤ NUMERIC_TEXT_BYTES). */
size_t numeric_print(struct numeric value, char *text);
int numeric_compare(struct numeric a, struct numeric b);          /* −1, 0, 1; by value, scales may differ */
int numeric_add(struct numeric a, struct numeric b, struct numeric *result);
int numeric_subtract(struct numeric a, struct numeric b, struct numeric *result);
int numeric_multiply(struct numeric a, struct numeric b, struct numeric *result);
int numeric_divide(struct numeric a, struct numeric b, struct numeric *result);   /* ERR_INVALID: division by zero */
int numeric_modulo(struct numeric a, struct numeric b, struct numeric *result);   /* sign of the dividend */
struct numeric numeric_negate(struct numeric a);
/* Rounds half away from zero to a scale (may be less than 0 for round(); the result then has scale 0). ERR_RANGE. */
int numeric_round(struct numeric a, int32_t scale, struct numeric *result);
int numeric_truncate(struct numeric a, int32_t scale, struct numeric *result);
int numeric_floor(struct numeric a, struct numeric *result);
int numeric_ceil(struct numeric a, struct numeric *result);
/* numeric(p,s): rounds to s, ERR_RANGE when more than p − s digits stand before the point. */
int numeric_fit(struct numeric a, int32_t precision, int32_t scale, struct numeric *result);
int numeric_to_i64(struct numeric a, int64_t *value);             /* rounds half away from zero; ERR_RANGE */
double numeric_to_double(struct numeric a);
/* PostgreSQL's float8 → numeric: 15 significant digits; ERR_INVALID for NaN and infinities, ERR_RANGE. */
int numeric_from_double(double value, struct numeric *result);
/* Trailing zeros off the scale: equal values get equal bytes (used in keys). */
struct numeric numeric_canonical(struct numeric a);

/* A 256-bit accumulator with the largest scale seen. Zero-initialised = 0. Plain data: copied and stored as 40 bytes. */
struct numeric_sum {
    uint64_t limb[4];          /* two's complement, little-endian limbs */
    int32_t scale;
    int32_t reserved;
};
int numeric_sum_add(struct numeric_sum *sum, struct numeric value);           /* ERR_RANGE when 256 bits overflow */
void numeric_sum_add_i64(struct numeric_sum *sum, int64_t value);             /* the fast path */
int numeric_sum_merge(struct numeric_sum *sum, const struct numeric_sum *other);
int numeric_sum_negate(struct numeric_sum *sum);
int numeric_sum_value(const struct numeric_sum *sum, struct numeric *value);  /* ERR_RANGE over 38 digits */
/* sum ÷ count with the scale of PostgreSQL's avg(numeric). */
int numeric_sum_average(const struct numeric_sum *sum, int64_t count, struct numeric *value);

#endif
