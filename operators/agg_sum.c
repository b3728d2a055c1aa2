/* agg_sum.c: count, sum and avg.
 *
 * Sums of exact types do not depend on the order of the addends, on how they were split into
 * partials, or on what overflows in between; only a final value of more than 38 digits is an error,
 * and it comes from the result.
 *
 *   bigint    128 bits. 2^63 addends of 64 bits fit, and the row count cannot exceed that.
 *   numeric   two 256-bit sums by the addend's scale: coarse (0 … 19 digits) and fine (20 … 38, on
 *             the heap since hardly anybody has such numbers). One sum alone could overflow: 10^37
 *             at scale 38 needs 250 bits, six of them too many. Apart, each addend is below 10^57,
 *             and 2^63 of them need 253 bits. The two meet in the result, where an overflow of 256
 *             bits means more than 38 digits anyway.
 *   double    one double, like PostgreSQL's float8 but range-checked in the result: a sum that
 *             became infinite is ERR_RANGE. Infinities and NaN are not let in, since they could
 *             never be taken out of a group again.
 *   json      by the value of each row: integer tokens take the short way, others are parsed
 *             exactly. Text and the rest are rejected by agg_check.
 *
 * Each keeps the count of its values: sum of none is NULL, and avg needs it. */
#include "operators/agg_kind.h"

#include <math.h>
#include <stdlib.h>
#include "operators/wide_int.h"

/* ---- count ---- */

static int count_update(const struct agg_step *step)
{
    for (uint32_t k = 0; k < step->count; k++)
        ++*(int64_t *)step_slot(step, k);
    return 0;
}

static int count_variant_update(const struct agg_step *step)
{
    const uint16_t *physical = step->physical;
    const struct variant *values = step->argument->variant;
    for (uint32_t k = 0; k < step->count; k++)
        *(int64_t *)step_slot(step, k) += values[step_at(physical, k)].kind != VARIANT_NULL;
    return 0;
}

static void count_encode(const void *slot, struct buf *out)
{
    buf_uvarint(out, (uint64_t) * (const int64_t *)slot);
}

static int count_merge(void *slot, struct bytes *in, uint64_t row_count, bool wants_max)
{
    (void)wants_max;
    uint64_t count;
    TRY(agg_take_count(in, row_count, &count));
    if (slot != NULL)
        *(int64_t *)slot += (int64_t)count;
    return 0;
}

static int count_result(const void *slot, struct column *out, uint32_t at)
{
    out->i64[at] = *(const int64_t *)slot;
    return 1;
}

const struct agg_kind agg_kind_count = {.slot_bytes = sizeof(int64_t),
                                        .update = count_update,
                                        .encode = count_encode,
                                        .merge = count_merge,
                                        .result = count_result};
const struct agg_kind agg_kind_count_variant = {.slot_bytes = sizeof(int64_t),
                                                .update = count_variant_update,
                                                .encode = count_encode,
                                                .merge = count_merge,
                                                .result = count_result};

/* ---- bigint ---- */

struct bigint_slot {
    int64_t count;
    uint64_t low, high; /* two's complement */
};

static inline uint128 bigint_sum(const struct bigint_slot *slot)
{
    return (uint128)slot->high << 64 | slot->low;
}

static inline void bigint_add(struct bigint_slot *slot, int128 addend)
{
    uint128 sum = bigint_sum(slot) + (uint128)addend;
    slot->low = (uint64_t)sum;
    slot->high = (uint64_t)(sum >> 64);
}

static int bigint_update(const struct agg_step *step)
{
    const uint16_t *physical = step->physical;
    const int64_t *values = step->argument->i64;
    for (uint32_t k = 0; k < step->count; k++) {
        struct bigint_slot *slot = step_slot(step, k);
        slot->count++;
        bigint_add(slot, values[step_at(physical, k)]);
    }
    return 0;
}

static void bigint_encode(const void *memory, struct buf *out)
{
    const struct bigint_slot *slot = memory;
    buf_uvarint(out, (uint64_t)slot->count);
    if (slot->count == 0)
        return;
    struct u256 wide = u256_from_signed((int128)bigint_sum(slot));
    agg_put_wide(out, wide.limb);
}

static int bigint_merge(void *memory, struct bytes *in, uint64_t row_count, bool wants_max)
{
    (void)wants_max;
    uint64_t count;
    struct u256 wide;
    TRY(agg_take_count(in, row_count, &count));
    if (count == 0)
        return 0;
    TRY(agg_take_wide(in, wide.limb));
    /* count values of 64 bits reach no further than this, so sums of what passes never leave 128
     * bits. */
    int128 sum = (int128)u256_low(&wide), bound = (int128)count << 63;
    struct u256 back = u256_from_signed(sum);
    if (u256_compare(&back, &wide) != 0 || sum < -bound || sum > bound)
        return ERR_CORRUPT;
    struct bigint_slot *slot = memory;
    if (slot != NULL) {
        slot->count += (int64_t)count;
        bigint_add(slot, sum);
    }
    return 0;
}

static void bigint_as_sum(const struct bigint_slot *slot, struct numeric_sum *sum)
{
    struct u256 wide = u256_from_signed((int128)bigint_sum(slot));
    *sum = (struct numeric_sum){0};
    memcpy(sum->limb, wide.limb, sizeof sum->limb);
}

/* 1, 0 (no value) or ERR_RANGE from a finished sum. */
static int sum_out(const struct numeric_sum *sum, int64_t count, struct column *out, uint32_t at)
{
    if (count == 0)
        return 0;
    TRY(numeric_sum_value(sum, &out->numeric[at]));
    return 1;
}

static int average_out(const struct numeric_sum *sum, int64_t count, struct column *out,
                       uint32_t at)
{
    if (count == 0)
        return 0;
    TRY(numeric_sum_average(sum, count, &out->numeric[at]));
    return 1;
}

static int bigint_sum_result(const void *memory, struct column *out, uint32_t at)
{
    struct numeric_sum sum;
    bigint_as_sum(memory, &sum);
    return sum_out(&sum, ((const struct bigint_slot *)memory)->count, out, at);
}

static int bigint_avg_result(const void *memory, struct column *out, uint32_t at)
{
    struct numeric_sum sum;
    bigint_as_sum(memory, &sum);
    return average_out(&sum, ((const struct bigint_slot *)memory)->count, out, at);
}

const struct agg_kind agg_kind_sum_bigint = {.slot_bytes = sizeof(struct bigint_slot),
                                             .update = bigint_update,
                                             .encode = bigint_encode,
                                             .merge = bigint_merge,
                                             .result = bigint_sum_result};
const struct agg_kind agg_kind_avg_bigint = {.slot_bytes = sizeof(struct bigint_slot),
                                             .update = bigint_update,
                                             .encode = bigint_encode,
                                             .merge = bigint_merge,
                                             .result = bigint_avg_result};

/* ---- numeric and json ---- */

struct numeric_slot {
    int64_t count;
    struct numeric_sum coarse; /* addends with at most 19 digits after the point */
    struct numeric_sum *fine;  /* the others; NULL until there is one */
};

static int fine_reserve(struct numeric_slot *slot)
{
    if (slot->fine == NULL)
        slot->fine = calloc(1, sizeof *slot->fine);
    return slot->fine != NULL ? 0 : ERR_NOMEM;
}

/* coarse += addend, both at the same scale. Cannot overflow (see above), and rarely needs the upper
 * half. */
static inline void coarse_add(struct numeric_sum *coarse, int128 addend)
{
    uint128 low = ((uint128)coarse->limb[1] << 64 | coarse->limb[0]) + (uint128)addend;
    int64_t upper = (addend < 0 ? -1 : 0) + (low < (uint128)addend); /* sign extension and carry */
    coarse->limb[0] = (uint64_t)low;
    coarse->limb[1] = (uint64_t)(low >> 64);
    if (__builtin_expect(upper != 0, 0)) {
        uint128 high = ((uint128)coarse->limb[3] << 64 | coarse->limb[2]) + (uint128)(int128)upper;
        coarse->limb[2] = (uint64_t)high;
        coarse->limb[3] = (uint64_t)(high >> 64);
    }
}

static int numeric_add_value(struct numeric_slot *slot, struct numeric value)
{
    slot->count++;
    if (__builtin_expect(value.scale == slot->coarse.scale, 1)) {
        coarse_add(&slot->coarse, value.coefficient);
        return 0;
    }
    if (value.scale <= AGG_COARSE_SCALE_MAX)
        return numeric_sum_add(&slot->coarse, value);
    TRY(fine_reserve(slot));
    return numeric_sum_add(slot->fine, value);
}

static int numeric_update(const struct agg_step *step)
{
    const uint16_t *physical = step->physical;
    const struct numeric *values = step->argument->numeric;
    for (uint32_t k = 0; k < step->count; k++)
        TRY(numeric_add_value(step_slot(step, k), values[step_at(physical, k)]));
    return 0;
}

static int variant_update(const struct agg_step *step)
{
    const uint16_t *physical = step->physical;
    const struct variant *values = step->argument->variant;
    for (uint32_t k = 0; k < step->count; k++) {
        const struct variant *value = &values[step_at(physical, k)];
        struct numeric_slot *slot = step_slot(step, k);
        if (value->kind == VARIANT_INT) {
            /* 2^63 × 10^19 is below 2^127. */
            slot->count++;
            coarse_add(&slot->coarse, value->i64 * (int128)numeric_pow10[slot->coarse.scale]);
        } else if (value->kind != VARIANT_NULL) {
            TRY(numeric_add_value(slot, agg_variant_numeric(value)));
        }
    }
    return 0;
}

bool agg_number_fits(const struct variant *value)
{
    bool plain = value->size <= NUMERIC_MAX_DIGITS;
    for (uint32_t i = 0; plain && i < value->size; i++)
        plain = (value->data[i] | 0x20) != 'e';
    struct numeric parsed;
    return plain || numeric_parse(bytes_of(value->data, value->size), &parsed) == 0;
}

struct numeric agg_variant_numeric(const struct variant *value)
{
    if (value->kind == VARIANT_INT)
        return numeric_from_i64(value->i64);
    struct numeric parsed;
    must(value->kind == VARIANT_NUMBER); /* agg_check has seen every row */
    must(numeric_parse(bytes_of(value->data, value->size), &parsed) == 0);
    return parsed;
}

static const char *variant_check(const struct column *argument, uint32_t at, const char **message)
{
    const struct variant *value = &argument->variant[at];
    if (value->kind == VARIANT_INT)
        return NULL;
    if (value->kind != VARIANT_NUMBER) {
        *message = value->kind == VARIANT_TEXT
                       ? "sum and avg need a number, this is text; cast it if it holds a number"
                       : "sum and avg need a number";
        return "type_mismatch";
    }
    if (agg_number_fits(value))
        return NULL;
    *message = "a number has more than 38 digits";
    return "numeric_out_of_range";
}

/* Flag bit in the scale byte: a fine part follows. */
enum { FINE_FOLLOWS = 0x80 };

static void numeric_encode(const void *memory, struct buf *out)
{
    const struct numeric_slot *slot = memory;
    buf_uvarint(out, (uint64_t)slot->count);
    if (slot->count == 0)
        return;
    buf_u8(out, (uint8_t)(slot->coarse.scale | (slot->fine != NULL ? FINE_FOLLOWS : 0)));
    agg_put_wide(out, slot->coarse.limb);
    if (slot->fine == NULL)
        return;
    buf_u8(out, (uint8_t)slot->fine->scale);
    agg_put_wide(out, slot->fine->limb);
}

/* One of the two sums. count addends of less than 10^57 reach no further than the bound, so what
 * passes can be merged for ever: the counts of a row add up to 2^63 at most. */
int agg_take_sum(struct bytes *in, uint8_t scale, uint64_t count, struct numeric_sum *sum)
{
    *sum = (struct numeric_sum){.scale = scale};
    TRY(agg_take_wide(in, sum->limb));
    struct u256 magnitude, bound = u256_from(numeric_pow10[NUMERIC_MAX_DIGITS]);
    memcpy(magnitude.limb, sum->limb, sizeof magnitude.limb);
    if (u256_is_negative(&magnitude))
        u256_negate(&magnitude);
    must(u256_multiply_64(&bound, (uint64_t)numeric_pow10[AGG_COARSE_SCALE_MAX]) &&
         u256_multiply_64(&bound, count));
    return u256_compare(&magnitude, &bound) <= 0 ? 0 : ERR_CORRUPT;
}

static int numeric_merge_parts(struct numeric_slot *slot, const struct numeric_sum *coarse,
                               const struct numeric_sum *fine)
{
    if (numeric_sum_merge(&slot->coarse, coarse) < 0)
        return ERR_CORRUPT;
    if (fine == NULL)
        return 0;
    TRY(fine_reserve(slot));
    return numeric_sum_merge(slot->fine, fine) < 0 ? ERR_CORRUPT : 0;
}

static int numeric_merge(void *memory, struct bytes *in, uint64_t row_count, bool wants_max)
{
    (void)wants_max;
    uint64_t count;
    TRY(agg_take_count(in, row_count, &count));
    if (count == 0)
        return 0;
    uint8_t scale, fine_scale;
    struct numeric_sum coarse, fine;
    TRY(take_u8(in, &scale));
    bool has_fine = (scale & FINE_FOLLOWS) != 0;
    scale &= (uint8_t)~FINE_FOLLOWS;
    if (scale > AGG_COARSE_SCALE_MAX)
        return ERR_CORRUPT;
    TRY(agg_take_sum(in, scale, count, &coarse));
    if (has_fine) {
        TRY(take_u8(in, &fine_scale));
        if (fine_scale <= AGG_COARSE_SCALE_MAX || fine_scale > NUMERIC_MAX_DIGITS)
            return ERR_CORRUPT;
        TRY(agg_take_sum(in, fine_scale, count, &fine));
    }
    struct numeric_slot *slot = memory;
    if (slot == NULL)
        return 0;
    slot->count += (int64_t)count;
    return numeric_merge_parts(slot, &coarse, has_fine ? &fine : NULL);
}

static int numeric_whole(const struct numeric_slot *slot, struct numeric_sum *sum)
{
    *sum = slot->coarse;
    return slot->fine != NULL ? numeric_sum_merge(sum, slot->fine) : 0;
}

static int numeric_sum_result(const void *memory, struct column *out, uint32_t at)
{
    const struct numeric_slot *slot = memory;
    struct numeric_sum sum;
    TRY(numeric_whole(slot, &sum));
    return sum_out(&sum, slot->count, out, at);
}

static int numeric_avg_result(const void *memory, struct column *out, uint32_t at)
{
    const struct numeric_slot *slot = memory;
    struct numeric_sum sum;
    TRY(numeric_whole(slot, &sum));
    return average_out(&sum, slot->count, out, at);
}

static void numeric_release(void *memory)
{
    struct numeric_slot *slot = memory;
    free(slot->fine);
    slot->fine = NULL;
}

static size_t numeric_heap_bytes(const void *memory)
{
    const struct numeric_slot *slot = memory;
    return slot->fine != NULL ? agg_block_bytes(sizeof *slot->fine) : 0;
}

#define NUMERIC_KIND(update_fn, check_fn, result_fn)                                               \
    {                                                                                              \
        .slot_bytes = sizeof(struct numeric_slot), .update = update_fn, .check = check_fn,         \
        .encode = numeric_encode, .merge = numeric_merge, .result = result_fn,                     \
        .release = numeric_release, .heap_bytes = numeric_heap_bytes                               \
    }
const struct agg_kind agg_kind_sum_numeric = NUMERIC_KIND(numeric_update, NULL, numeric_sum_result);
const struct agg_kind agg_kind_avg_numeric = NUMERIC_KIND(numeric_update, NULL, numeric_avg_result);
const struct agg_kind agg_kind_sum_variant =
    NUMERIC_KIND(variant_update, variant_check, numeric_sum_result);
const struct agg_kind agg_kind_avg_variant =
    NUMERIC_KIND(variant_update, variant_check, numeric_avg_result);

/* ---- double ---- */

struct double_slot {
    int64_t count;
    double sum;
};

static int double_update(const struct agg_step *step)
{
    const uint16_t *physical = step->physical;
    const double *values = step->argument->f64;
    for (uint32_t k = 0; k < step->count; k++) {
        struct double_slot *slot = step_slot(step, k);
        slot->count++;
        slot->sum += values[step_at(physical, k)];
    }
    return 0;
}

static const char *double_check(const struct column *argument, uint32_t at, const char **message)
{
    if (isfinite(argument->f64[at]))
        return NULL;
    *message = "sum and avg need a finite number";
    return "numeric_out_of_range";
}

static void double_encode(const void *memory, struct buf *out)
{
    const struct double_slot *slot = memory;
    uint64_t bits;
    buf_uvarint(out, (uint64_t)slot->count);
    if (slot->count == 0)
        return;
    memcpy(&bits, &slot->sum, sizeof bits);
    buf_be64(out, bits);
}

static int double_merge(void *memory, struct bytes *in, uint64_t row_count, bool wants_max)
{
    (void)wants_max;
    uint64_t count, bits;
    TRY(agg_take_count(in, row_count, &count));
    if (count == 0)
        return 0;
    double sum;
    TRY(take_be64(in, &bits));
    memcpy(&sum, &bits, sizeof sum);
    struct double_slot *slot = memory;
    if (slot != NULL) {
        slot->count += (int64_t)count;
        slot->sum += sum; /* an infinite partial is one that overflowed */
    }
    return 0;
}

static int double_sum_result(const void *memory, struct column *out, uint32_t at)
{
    const struct double_slot *slot = memory;
    if (slot->count == 0)
        return 0;
    if (!isfinite(slot->sum))
        return ERR_RANGE;
    out->f64[at] = slot->sum;
    return 1;
}

static int double_avg_result(const void *memory, struct column *out, uint32_t at)
{
    int rc = double_sum_result(memory, out, at);
    if (rc == 1)
        out->f64[at] /= (double)((const struct double_slot *)memory)->count;
    return rc;
}

const struct agg_kind agg_kind_sum_double = {.slot_bytes = sizeof(struct double_slot),
                                             .update = double_update,
                                             .check = double_check,
                                             .encode = double_encode,
                                             .merge = double_merge,
                                             .result = double_sum_result};
const struct agg_kind agg_kind_avg_double = {.slot_bytes = sizeof(struct double_slot),
                                             .update = double_update,
                                             .check = double_check,
                                             .encode = double_encode,
                                             .merge = double_merge,
                                             .result = double_avg_result};
