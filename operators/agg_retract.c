/* agg_retract.c: count, sum and avg of rows that may be taken back: of a table, whose rows change.
 * (min, max and count(DISTINCT) are sets of values: agg_least.c, counted.c.)
 *
 * Each row of a batch has a weight, 1 or −1 (struct batch). What a row brought is taken back by the
 * same value with the other sign, exactly: counts are integers, and sums are 256 bits as in
 * agg_sum.c, in which a sum that leaves and comes back is what it was. A sum of double precision is
 * not (1e300 + 1 − 1e300 is 0), so there is none here.
 *
 * The result of a sum has as many digits after the point as the addend with the most of them. Of
 * rows that are gone nothing may show, these digits neither, so a slot counts its addends by their
 * scale, as soon as one has digits there at all. A sum is then brought down to the largest scale
 * that some row still has, which leaves no remainder.
 *
 * A partial may hold more that went than that came, hence counts have a sign here. A group's own
 * total has none: each row was added before it is taken back, by the same task, and partials of one
 * task are merged in its order.
 *
 * Encoding (operators/README.md): signed counts; of a sum 1 byte scale of the coarse sum, plus 80
 * (hexadecimal) when more follows, the coarse sum; more: 1 byte scale and value of the fine sum,
 * uvarint number of scales, and for each 1 byte and a signed count. */
#include "operators/agg_kind.h"

#include <stdlib.h>
#include "operators/wide_int.h"

enum { NET_MAX_LOG2 = 60, MORE_FOLLOWS = 0x80, SCALES = NUMERIC_MAX_DIGITS + 1 };

/* Of the k-th row of the step. */
static inline int64_t weight_of(const struct agg_step *step, uint32_t k)
{
    return step->batch->weights != NULL ? step->batch->weights[step_at(step->batch_rows, k)] : 1;
}

int agg_take_net(struct bytes *in, int64_t *count)
{
    TRY(take_varint(in, count));
    const int64_t most = INT64_C(1) << NET_MAX_LOG2;
    return *count <= most && *count >= -most ? 0 : ERR_CORRUPT;
}

/* Whatever damaged partials add up to must not be undefined. */
static void add_net(int64_t *count, int64_t addend)
{
    *count = (int64_t)((uint64_t)*count + (uint64_t)addend);
}

/* ---- count ---- */

static int count_update(const struct agg_step *step)
{
    for (uint32_t k = 0; k < step->count; k++)
        *(int64_t *)step_slot(step, k) += weight_of(step, k);
    return 0;
}

static int count_variant_update(const struct agg_step *step)
{
    const struct variant *values = step->argument->variant;
    for (uint32_t k = 0; k < step->count; k++)
        if (values[step_at(step->physical, k)].kind != VARIANT_NULL)
            *(int64_t *)step_slot(step, k) += weight_of(step, k);
    return 0;
}

static void count_encode(const void *slot, struct buf *out)
{
    buf_varint(out, *(const int64_t *)slot);
}

static int count_merge(void *slot, struct bytes *in, uint64_t row_count, bool wants_max)
{
    int64_t count;
    (void)row_count;
    (void)wants_max;
    TRY(agg_take_net(in, &count));
    if (slot != NULL)
        add_net(slot, count);
    return 0;
}

static int count_result(const void *slot, struct column *out, uint32_t at)
{
    out->i64[at] = *(const int64_t *)slot;
    return 1;
}

#define COUNT_KIND(update_fn)                                                                      \
    {                                                                                              \
        .slot_bytes = sizeof(int64_t), .needs_place = true, .update = update_fn,                   \
        .encode = count_encode, .merge = count_merge, .result = count_result                       \
    }
const struct agg_kind agg_kind_net_count = COUNT_KIND(count_update);
const struct agg_kind agg_kind_net_count_variant = COUNT_KIND(count_variant_update);
const struct agg_kind agg_kind_net_distinct = COUNT_KIND(NULL); /* counted.c counts */

/* ---- sum and avg ---- */

/* What a slot has from its first addend with digits after the point on. */
struct net_more {
    struct numeric_sum fine;
    int64_t scales[SCALES]; /* addends by scale; [0] is not counted */
};

struct net_slot {
    int64_t count;
    struct numeric_sum coarse;
    struct net_more *more;
};

static int more_reserve(struct net_slot *slot)
{
    if (slot->more == NULL)
        slot->more = calloc(1, sizeof *slot->more);
    return slot->more != NULL ? 0 : ERR_NOMEM;
}

static int add_value(struct net_slot *slot, struct numeric value, int64_t weight)
{
    slot->count += weight;
    if (weight < 0)
        value.coefficient = -value.coefficient;
    if (value.scale == 0)
        return numeric_sum_add(&slot->coarse, value);
    TRY(more_reserve(slot));
    slot->more->scales[value.scale] += weight;
    return numeric_sum_add(value.scale <= AGG_COARSE_SCALE_MAX ? &slot->coarse : &slot->more->fine,
                           value);
}

static int bigint_update(const struct agg_step *step)
{
    const int64_t *values = step->argument->i64;
    for (uint32_t k = 0; k < step->count; k++)
        TRY(add_value(step_slot(step, k), numeric_from_i64(values[step_at(step->physical, k)]),
                      weight_of(step, k)));
    return 0;
}

static int numeric_update(const struct agg_step *step)
{
    const struct numeric *values = step->argument->numeric;
    for (uint32_t k = 0; k < step->count; k++)
        TRY(add_value(step_slot(step, k), values[step_at(step->physical, k)], weight_of(step, k)));
    return 0;
}

static int variant_update(const struct agg_step *step)
{
    const struct variant *values = step->argument->variant;
    for (uint32_t k = 0; k < step->count; k++) {
        const struct variant *value = &values[step_at(step->physical, k)];
        if (value->kind != VARIANT_NULL)
            TRY(add_value(step_slot(step, k), agg_variant_numeric(value), weight_of(step, k)));
    }
    return 0;
}

static const char *variant_check(const struct column *argument, uint32_t at, const char **message)
{
    return agg_kind_sum_variant.check(argument, at, message);
}

static bool is_zero(const struct numeric_sum *sum)
{
    return (sum->limb[0] | sum->limb[1] | sum->limb[2] | sum->limb[3]) == 0;
}

static uint32_t scale_count(const struct net_more *more)
{
    uint32_t count = 0;
    for (uint32_t i = 1; i < SCALES; i++)
        count += more->scales[i] != 0;
    return count;
}

static void sum_encode(const void *memory, struct buf *out)
{
    const struct net_slot *slot = memory;
    const struct net_more *more = slot->more;
    uint32_t scales = more != NULL ? scale_count(more) : 0;
    bool follows = more != NULL && (scales > 0 || !is_zero(&more->fine));
    buf_varint(out, slot->count);
    uint32_t scale = is_zero(&slot->coarse) ? 0 : (uint32_t)slot->coarse.scale;
    buf_u8(out, (uint8_t)(scale | (follows ? MORE_FOLLOWS : 0)));
    agg_put_wide(out, slot->coarse.limb);
    if (!follows)
        return;
    buf_u8(out, (uint8_t)more->fine.scale);
    agg_put_wide(out, more->fine.limb);
    buf_uvarint(out, scales);
    for (uint32_t i = 1; i < SCALES; i++)
        if (more->scales[i] != 0) {
            buf_u8(out, (uint8_t)i);
            buf_varint(out, more->scales[i]);
        }
}

static int take_more(struct bytes *in, struct net_more *more)
{
    uint8_t scale;
    uint64_t count;
    *more = (struct net_more){.fine.scale = 0};
    TRY(take_u8(in, &scale));
    if (scale > NUMERIC_MAX_DIGITS)
        return ERR_CORRUPT;
    TRY(agg_take_sum(in, scale, INT64_MAX, &more->fine));
    TRY(take_uvarint(in, &count));
    if (count >= SCALES)
        return ERR_CORRUPT;
    for (uint64_t i = 0; i < count; i++) {
        TRY(take_u8(in, &scale));
        if (scale == 0 || scale >= SCALES)
            return ERR_CORRUPT;
        TRY(agg_take_net(in, &more->scales[scale]));
    }
    return 0;
}

static int merge_more(struct net_slot *slot, const struct net_more *more)
{
    TRY(more_reserve(slot));
    for (uint32_t i = 1; i < SCALES; i++)
        add_net(&slot->more->scales[i], more->scales[i]);
    return numeric_sum_merge(&slot->more->fine, &more->fine) < 0 ? ERR_CORRUPT : 0;
}

static int sum_merge(void *memory, struct bytes *in, uint64_t row_count, bool wants_max)
{
    struct net_slot *slot = memory;
    struct numeric_sum coarse;
    struct net_more more;
    int64_t count;
    uint8_t scale;
    (void)row_count;
    (void)wants_max;
    TRY(agg_take_net(in, &count));
    TRY(take_u8(in, &scale));
    bool follows = (scale & MORE_FOLLOWS) != 0;
    scale &= (uint8_t)~MORE_FOLLOWS;
    if (scale > AGG_COARSE_SCALE_MAX)
        return ERR_CORRUPT;
    TRY(agg_take_sum(in, scale, INT64_MAX, &coarse));
    if (follows)
        TRY(take_more(in, &more));
    if (slot == NULL)
        return 0;
    add_net(&slot->count, count);
    if (numeric_sum_merge(&slot->coarse, &coarse) < 0)
        return ERR_CORRUPT;
    return follows ? merge_more(slot, &more) : 0;
}

/* The sum without the digits that no addend has any more. */
static int lower_scale(struct numeric_sum *sum, int32_t scale)
{
    struct u256 value;
    memcpy(value.limb, sum->limb, sizeof value.limb);
    bool negative = u256_is_negative(&value);
    if (negative)
        u256_negate(&value);
    for (; sum->scale > scale; sum->scale--)
        if (u256_divide_64(&value, 10) != 0)
            return ERR_CORRUPT;
    if (negative)
        u256_negate(&value);
    memcpy(sum->limb, value.limb, sizeof value.limb);
    return 0;
}

static int whole(const struct net_slot *slot, struct numeric_sum *sum)
{
    const struct net_more *more = slot->more;
    int32_t scale = more != NULL ? NUMERIC_MAX_DIGITS : 0;
    while (scale > 0 && more->scales[scale] == 0)
        scale--;
    *sum = slot->coarse;
    if (more != NULL && !is_zero(&more->fine))
        TRY(numeric_sum_merge(sum, &more->fine));
    /* A sum of 0 has lost its digits on the way here, those of its addends count all the same. */
    TRY(numeric_sum_merge(sum, &(struct numeric_sum){.scale = scale}));
    return lower_scale(sum, scale);
}

static int sum_result(const void *memory, struct column *out, uint32_t at)
{
    const struct net_slot *slot = memory;
    struct numeric_sum sum;
    if (slot->count == 0)
        return 0;
    TRY(whole(slot, &sum));
    TRY(numeric_sum_value(&sum, &out->numeric[at]));
    return 1;
}

static int avg_result(const void *memory, struct column *out, uint32_t at)
{
    const struct net_slot *slot = memory;
    struct numeric_sum sum;
    if (slot->count <= 0)
        return 0;
    TRY(whole(slot, &sum));
    TRY(numeric_sum_average(&sum, slot->count, &out->numeric[at]));
    return 1;
}

static void sum_release(void *memory)
{
    struct net_slot *slot = memory;
    free(slot->more);
    slot->more = NULL;
}

static size_t sum_heap_bytes(const void *memory)
{
    const struct net_slot *slot = memory;
    return slot->more != NULL ? agg_block_bytes(sizeof *slot->more) : 0;
}

#define SUM_KIND(update_fn, check_fn, result_fn)                                                   \
    {                                                                                              \
        .slot_bytes = sizeof(struct net_slot), .needs_place = true, .update = update_fn,           \
        .check = check_fn, .encode = sum_encode, .merge = sum_merge, .result = result_fn,          \
        .release = sum_release, .heap_bytes = sum_heap_bytes                                       \
    }
const struct agg_kind agg_kind_net_sum_bigint = SUM_KIND(bigint_update, NULL, sum_result);
const struct agg_kind agg_kind_net_sum_numeric = SUM_KIND(numeric_update, NULL, sum_result);
const struct agg_kind agg_kind_net_sum_variant =
    SUM_KIND(variant_update, variant_check, sum_result);
const struct agg_kind agg_kind_net_avg_bigint = SUM_KIND(bigint_update, NULL, avg_result);
const struct agg_kind agg_kind_net_avg_numeric = SUM_KIND(numeric_update, NULL, avg_result);
const struct agg_kind agg_kind_net_avg_variant =
    SUM_KIND(variant_update, variant_check, avg_result);
