/* wide_int.h: the 256-bit arithmetic behind numeric.c and numeric_sum.c, and powers of ten.
 *
 * A u256 is four little-endian 64-bit limbs. Only what exact decimals need is here: product of two
 * 128-bit numbers, sum, two's complement negation, comparison, and division by a 128-bit number
 * (Knuth's algorithm D on 64-bit limbs; the compilers turn the 128 by 64 bit steps into libgcc's
 * single-instruction division). All of it is the slow path: callers first try 64-bit and then
 * 128-bit arithmetic. Everything is pure and inline. */
#ifndef WEIR_OPERATORS_WIDE_INT_H
#define WEIR_OPERATORS_WIDE_INT_H

#include "operators/numeric.h"

struct u256 {
    uint64_t limb[4];
};

extern const uint128 numeric_pow10[NUMERIC_MAX_DIGITS + 1]; /* 10^0 … 10^38; in numeric.c */

static inline uint128 int128_magnitude(int128 value)
{
    return value < 0 ? -(uint128)value : (uint128)value;
}

static inline struct u256 u256_from(uint128 value)
{
    return (struct u256){{(uint64_t)value, (uint64_t)(value >> 64), 0, 0}};
}
static inline struct u256 u256_from_signed(int128 value)
{
    uint64_t fill = value < 0 ? UINT64_MAX : 0;
    return (struct u256){{(uint64_t)value, (uint64_t)((uint128)value >> 64), fill, fill}};
}
static inline bool u256_fits_128(const struct u256 *a)
{
    return (a->limb[2] | a->limb[3]) == 0;
}
static inline uint128 u256_low(const struct u256 *a)
{
    return (uint128)a->limb[1] << 64 | a->limb[0];
}
static inline bool u256_is_negative(const struct u256 *a)
{
    return a->limb[3] >> 63;
}

/* a += b modulo 2^256; returns the carry out of the top. */
static inline uint64_t u256_add(struct u256 *a, const struct u256 *b)
{
    uint128 carry = 0;
    for (int i = 0; i < 4; i++) {
        carry += (uint128)a->limb[i] + b->limb[i];
        a->limb[i] = (uint64_t)carry;
        carry >>= 64;
    }
    return (uint64_t)carry;
}

/* Two's complement. */
static inline void u256_negate(struct u256 *a)
{
    uint64_t carry = 1;
    for (int i = 0; i < 4; i++) {
        a->limb[i] = ~a->limb[i] + carry;
        carry = carry && a->limb[i] == 0;
    }
}

static inline int u256_compare(const struct u256 *a, const struct u256 *b)
{
    for (int i = 3; i >= 0; i--)
        if (a->limb[i] != b->limb[i])
            return a->limb[i] < b->limb[i] ? -1 : 1;
    return 0;
}

/* a *= factor; false when the product needs more than 256 bits (a is then undefined). */
static inline bool u256_multiply_64(struct u256 *a, uint64_t factor)
{
    uint64_t carry = 0;
    for (int i = 0; i < 4; i++) {
        uint128 product = (uint128)a->limb[i] * factor + carry;
        a->limb[i] = (uint64_t)product;
        carry = (uint64_t)(product >> 64);
    }
    return carry == 0;
}

/* a *= 10^exponent (0 … 76); false on overflow. */
static inline bool u256_scale_up(struct u256 *a, int32_t exponent)
{
    for (; exponent > 19; exponent -= 19)
        if (!u256_multiply_64(a, (uint64_t)numeric_pow10[19]))
            return false;
    return u256_multiply_64(a, (uint64_t)numeric_pow10[exponent]);
}

static inline struct u256 u256_product(uint128 a, uint128 b)
{
    uint64_t a0 = (uint64_t)a, a1 = (uint64_t)(a >> 64), b0 = (uint64_t)b, b1 = (uint64_t)(b >> 64);
    uint128 low = (uint128)a0 * b0, high = (uint128)a1 * b1, cross1 = (uint128)a0 * b1,
            cross2 = (uint128)a1 * b0;
    uint128 middle = (low >> 64) + (uint64_t)cross1 + (uint64_t)cross2;
    high += (cross1 >> 64) + (cross2 >> 64) + (middle >> 64);
    return (struct u256){{(uint64_t)low, (uint64_t)middle, (uint64_t)high, (uint64_t)(high >> 64)}};
}

/* dividend /= divisor (> 0, 64 bits); returns the remainder. */
static inline uint64_t u256_divide_64(struct u256 *dividend, uint64_t divisor)
{
    uint128 rest = 0;
    for (int i = 3; i >= 0; i--) {
        rest = rest << 64 | dividend->limb[i];
        dividend->limb[i] = (uint64_t)(rest / divisor);
        rest %= divisor;
    }
    return (uint64_t)rest;
}

/* One digit of algorithm D: divides the three limbs {top, middle, low} by the normalised divisor
 * (top bit set); top:middle < divisor. Returns the digit, leaves the remainder in *rest. */
static inline uint64_t u256_divide_step(uint128 top, uint64_t low, uint128 divisor, uint128 *rest)
{
    uint64_t d1 = (uint64_t)(divisor >> 64), d0 = (uint64_t)divisor, t1 = (uint64_t)(top >> 64);
    uint128 digit, remainder;
    if (t1 >= d1) { /* only t1 == d1 can happen: the digit is at most 2^64 − 1 */
        digit = UINT64_MAX;
        remainder = (uint128)(uint64_t)top + d1;
    } else {
        digit = top / d1;
        remainder = top % d1;
    }
    while (remainder >> 64 == 0 && digit * d0 > (remainder << 64 | low)) {
        digit--;
        remainder += d1;
    }
    /* The true remainder is below the divisor, so that arithmetic modulo 2^128 gives it exactly. */
    *rest = (top << 64 | low) - digit * divisor;
    return (uint64_t)digit;
}

/* dividend /= divisor (> 0); returns the remainder. */
static inline uint128 u256_divide(struct u256 *dividend, uint128 divisor)
{
    if (u256_fits_128(dividend)) {
        uint128 value = u256_low(dividend);
        *dividend = u256_from(value / divisor);
        return value % divisor;
    }
    if (divisor >> 64 == 0)
        return u256_divide_64(dividend, (uint64_t)divisor);

    int shift = __builtin_clzll((uint64_t)(divisor >> 64));
    uint64_t n[5] = {dividend->limb[0], dividend->limb[1], dividend->limb[2], dividend->limb[3], 0};
    if (shift > 0) {
        for (int i = 4; i > 0; i--)
            n[i] = n[i] << shift | n[i - 1] >> (64 - shift);
        n[0] <<= shift;
        divisor <<= shift;
    }
    uint128 rest = (uint128)n[4] << 64 | n[3];
    dividend->limb[3] = 0;
    for (int i = 2; i >= 0; i--)
        dividend->limb[i] = u256_divide_step(rest, n[i], divisor, &rest);
    return rest >> shift;
}

/* Decimal digits of a value (0 has none): the bit length times log10(2) is right or one too many.
 */
static inline int32_t uint128_digits(uint128 value)
{
    if (value == 0)
        return 0;
    uint64_t high = (uint64_t)(value >> 64);
    int32_t bits = high ? 128 - __builtin_clzll(high) : 64 - __builtin_clzll((uint64_t)value);
    int32_t guess = (int32_t)((uint32_t)bits * 1233 >> 12);
    return guess + (value >= numeric_pow10[guess]);
}

/* For values below 2^255. */
static inline int32_t u256_digits(struct u256 value)
{
    if (u256_fits_128(&value))
        return uint128_digits(u256_low(&value));
    u256_divide(&value,
                numeric_pow10[NUMERIC_MAX_DIGITS]); /* the quotient is between 3 and 5.8 × 10^38 */
    return NUMERIC_MAX_DIGITS +
           (u256_fits_128(&value) ? uint128_digits(u256_low(&value)) : NUMERIC_MAX_DIGITS + 1);
}

/* numeric.c: rounds ±a × 10^-a_scale ÷ (b × 10^-b_scale) half away from zero, with the scale that
 * PostgreSQL's division selects; shared with averages, whose dividend has 256 bits. */
int numeric_divide_wide(struct u256 a, int32_t a_scale, uint128 b, int32_t b_scale, bool negative,
                        struct numeric *result);

#endif
