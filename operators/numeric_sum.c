/* numeric_sum.c: exact sums that do not depend on order.
 *
 * A sum is a 256-bit two's complement integer at the largest scale seen so far. 38-digit values at
 * one scale leave 129 bits of headroom above the largest of them, so the sum of any stream at one
 * scale cannot overflow; only mixing the extremes (10^37 with scale 0 and scale 38 in one group)
 * can, and that is reported. The check that a result has at most 38 digits comes when it leaves, so
 * that 10^38 − 1 + 1 − 1 works in every order, and a retraction is simply a negated addend.
 *
 * numeric_sum_add_i64 returns nothing because counters and bigint sums live in the innermost loop;
 * should such an addition overflow, which needs a sum that was already near 2^255, `reserved`
 * remembers it and every later read of the value says ERR_RANGE. */
#include "operators/wide_int.h"

enum { OVERFLOWED = 1 };

/* sum += addend, both at the sum's scale. False on signed overflow, with the sum as it was. */
static bool sum_add_limbs(struct numeric_sum *sum, const struct u256 *addend)
{
    struct u256 total;
    memcpy(total.limb, sum->limb, sizeof(total.limb));
    u256_add(&total, addend);
    uint64_t same = ~(sum->limb[3] ^ addend->limb[3]), changed = total.limb[3] ^ sum->limb[3];
    if ((same & changed) >> 63)
        return false;
    memcpy(sum->limb, total.limb, sizeof(total.limb));
    return true;
}

/* value × 10^exponent; false when it does not fit 255 bits and a sign. */
static bool scale_up_signed(struct u256 *value, int32_t exponent)
{
    bool negative = u256_is_negative(value);
    if (negative)
        u256_negate(value);
    if (!u256_scale_up(value, exponent) || u256_is_negative(value))
        return false;
    if (negative)
        u256_negate(value);
    return true;
}

static int sum_raise_scale(struct numeric_sum *sum, int32_t scale)
{
    struct u256 value;
    memcpy(value.limb, sum->limb, sizeof(value.limb));
    if (!scale_up_signed(&value, scale - sum->scale))
        return ERR_RANGE;
    memcpy(sum->limb, value.limb, sizeof(value.limb));
    sum->scale = scale;
    return 0;
}

static int sum_add_wide(struct numeric_sum *sum, struct u256 addend, int32_t scale)
{
    if (scale > sum->scale)
        TRY(sum_raise_scale(sum, scale));
    else if (scale < sum->scale && !scale_up_signed(&addend, sum->scale - scale))
        return ERR_RANGE;
    return sum_add_limbs(sum, &addend) ? 0 : ERR_RANGE;
}

int numeric_sum_add(struct numeric_sum *sum, struct numeric value)
{
    return sum_add_wide(sum, u256_from_signed(value.coefficient), value.scale);
}

void numeric_sum_add_i64(struct numeric_sum *sum, int64_t value)
{
    struct u256 addend = u256_from_signed(value);
    if ((sum->scale > 0 && !scale_up_signed(&addend, sum->scale)) || !sum_add_limbs(sum, &addend))
        sum->reserved = OVERFLOWED;
}

int numeric_sum_merge(struct numeric_sum *sum, const struct numeric_sum *other)
{
    struct u256 addend;
    memcpy(addend.limb, other->limb, sizeof(addend.limb));
    TRY(sum_add_wide(sum, addend, other->scale));
    sum->reserved |= other->reserved;
    return 0;
}

int numeric_sum_negate(struct numeric_sum *sum)
{
    struct u256 value;
    memcpy(value.limb, sum->limb, sizeof(value.limb));
    bool negative = u256_is_negative(&value);
    u256_negate(&value);
    if (negative && u256_is_negative(&value)) /* −2^255 has no opposite */
        return ERR_RANGE;
    memcpy(sum->limb, value.limb, sizeof(value.limb));
    return 0;
}

/* The magnitude of a sum; *negative receives its sign. */
static struct u256 sum_magnitude(const struct numeric_sum *sum, bool *negative)
{
    struct u256 value;
    memcpy(value.limb, sum->limb, sizeof(value.limb));
    *negative = u256_is_negative(&value);
    if (*negative)
        u256_negate(&value);
    return value;
}

int numeric_sum_value(const struct numeric_sum *sum, struct numeric *value)
{
    bool negative;
    struct u256 magnitude = sum_magnitude(sum, &negative);
    if (sum->reserved == OVERFLOWED || !u256_fits_128(&magnitude) ||
        u256_low(&magnitude) >= numeric_pow10[NUMERIC_MAX_DIGITS])
        return ERR_RANGE;
    uint128 low = u256_low(&magnitude);
    *value = (struct numeric){negative ? -(int128)low : (int128)low, sum->scale};
    return 0;
}

int numeric_sum_average(const struct numeric_sum *sum, int64_t count, struct numeric *value)
{
    must(count > 0);
    if (sum->reserved == OVERFLOWED)
        return ERR_RANGE;
    bool negative;
    struct u256 magnitude = sum_magnitude(sum, &negative);
    return numeric_divide_wide(magnitude, sum->scale, (uint128)count, 0, negative, value);
}
