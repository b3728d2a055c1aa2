/* agg_extreme.c: min and max.
 *
 * The result must not depend on the order of the rows, so each type has a total order that also
 * decides between values that are equal but not identical: of equal numerics the one with fewer
 * decimals is the smaller, −0.0 counts as 0.0, and of equal JSON numbers an integer token comes
 * before another token, then bytes decide. min takes the least and max the greatest.
 *
 *   text     memcmp over UTF-8 (PostgreSQL's collation "C"), kept in a heap block that grows
 *   json     by kind (false, true, numbers, text, objects and arrays), then by value: numbers by
 *            value together whatever their token looks like, text and raw JSON by bytes. Numbers
 *            keep their token, so that they print as they came.
 *
 * Infinities and NaN are not let in (agg_sum.c says why). */
#include "operators/agg_kind.h"
#include "runtime/base/utf8.h"

#include <math.h>
#include <stdlib.h>
#include "operators/wide_int.h"

/* ---- bigint, timestamptz, interval, boolean ---- */

struct i64_slot {
    int64_t value;
    uint64_t is_set;
};

static inline void i64_offer(struct i64_slot *slot, int64_t value, bool wants_max)
{
    if (slot->is_set == 0 || (wants_max ? value > slot->value : value < slot->value))
        *slot = (struct i64_slot){value, 1};
}

static int i64_update(const struct agg_step *step)
{
    const uint16_t *physical = step->physical;
    const int64_t *values = step->argument->i64;
    for (uint32_t k = 0; k < step->count; k++)
        i64_offer(step_slot(step, k), values[step_at(physical, k)], step->wants_max);
    return 0;
}

static void i64_encode(const void *memory, struct buf *out)
{
    const struct i64_slot *slot = memory;
    buf_u8(out, (uint8_t)slot->is_set);
    if (slot->is_set != 0)
        buf_varint(out, slot->value);
}

/* The byte in front of most encodings: 0 no value, 1 a value follows. */
static int take_is_set(struct bytes *in, uint8_t *is_set)
{
    TRY(take_u8(in, is_set));
    return *is_set <= 1 ? 0 : ERR_CORRUPT;
}

static int i64_merge(void *memory, struct bytes *in, uint64_t row_count, bool wants_max)
{
    uint8_t is_set;
    int64_t value;
    TRY(take_is_set(in, &is_set));
    if (is_set == 0)
        return 0;
    TRY(take_varint(in, &value));
    if (memory != NULL)
        i64_offer(memory, value, wants_max);
    return row_count > 0 ? 0 : ERR_CORRUPT;
}

bool agg_extreme_i64(const void *memory, int64_t *value)
{
    const struct i64_slot *slot = memory;
    if (slot->is_set != 0)
        *value = slot->value;
    return slot->is_set != 0;
}

void agg_extreme_set_i64(void *memory, bool is_set, int64_t value)
{
    *(struct i64_slot *)memory = (struct i64_slot){is_set ? value : 0, is_set};
}

static int i64_result(const void *memory, struct column *out, uint32_t at)
{
    const struct i64_slot *slot = memory;
    if (slot->is_set == 0)
        return 0;
    out->i64[at] = slot->value;
    return 1;
}

const struct agg_kind agg_kind_extreme_i64 = {.slot_bytes = sizeof(struct i64_slot),
                                              .update = i64_update,
                                              .encode = i64_encode,
                                              .merge = i64_merge,
                                              .result = i64_result};

static int boolean_update(const struct agg_step *step)
{
    const uint16_t *physical = step->physical;
    const uint8_t *values = step->argument->boolean;
    for (uint32_t k = 0; k < step->count; k++)
        i64_offer(step_slot(step, k), values[step_at(physical, k)] != 0, step->wants_max);
    return 0;
}

/* One byte: 0 no value, 1 false, 2 true. */
static void boolean_encode(const void *memory, struct buf *out)
{
    const struct i64_slot *slot = memory;
    buf_u8(out, slot->is_set == 0 ? 0 : (uint8_t)(slot->value + 1));
}

static int boolean_merge(void *memory, struct bytes *in, uint64_t row_count, bool wants_max)
{
    uint8_t byte;
    TRY(take_u8(in, &byte));
    if (byte == 0)
        return 0;
    if (memory != NULL)
        i64_offer(memory, byte - 1, wants_max);
    return byte <= 2 && row_count > 0 ? 0 : ERR_CORRUPT;
}

static int boolean_result(const void *memory, struct column *out, uint32_t at)
{
    const struct i64_slot *slot = memory;
    if (slot->is_set == 0)
        return 0;
    out->boolean[at] = (uint8_t)slot->value;
    return 1;
}

const struct agg_kind agg_kind_extreme_boolean = {.slot_bytes = sizeof(struct i64_slot),
                                                  .update = boolean_update,
                                                  .encode = boolean_encode,
                                                  .merge = boolean_merge,
                                                  .result = boolean_result};

/* ---- double ---- */

struct f64_slot {
    double value;
    uint64_t is_set;
};

static inline void f64_offer(struct f64_slot *slot, double value, bool wants_max)
{
    if (slot->is_set == 0 || (wants_max ? value > slot->value : value < slot->value))
        *slot = (struct f64_slot){value + 0.0, 1}; /* −0.0 + 0.0 is 0.0 */
}

static int f64_update(const struct agg_step *step)
{
    const uint16_t *physical = step->physical;
    const double *values = step->argument->f64;
    for (uint32_t k = 0; k < step->count; k++)
        f64_offer(step_slot(step, k), values[step_at(physical, k)], step->wants_max);
    return 0;
}

static const char *f64_check(const struct column *argument, uint32_t at, const char **message)
{
    if (isfinite(argument->f64[at]))
        return NULL;
    *message = "min and max need a finite number";
    return "numeric_out_of_range";
}

static void f64_encode(const void *memory, struct buf *out)
{
    const struct f64_slot *slot = memory;
    uint64_t bits;
    buf_u8(out, (uint8_t)slot->is_set);
    if (slot->is_set == 0)
        return;
    memcpy(&bits, &slot->value, sizeof bits);
    buf_be64(out, bits);
}

static int f64_merge(void *memory, struct bytes *in, uint64_t row_count, bool wants_max)
{
    uint8_t is_set;
    uint64_t bits;
    double value;
    TRY(take_is_set(in, &is_set));
    if (is_set == 0)
        return 0;
    TRY(take_be64(in, &bits));
    memcpy(&value, &bits, sizeof value);
    if (!isfinite(value) || row_count == 0)
        return ERR_CORRUPT;
    if (memory != NULL)
        f64_offer(memory, value, wants_max);
    return 0;
}

static int f64_result(const void *memory, struct column *out, uint32_t at)
{
    const struct f64_slot *slot = memory;
    if (slot->is_set == 0)
        return 0;
    out->f64[at] = slot->value;
    return 1;
}

const struct agg_kind agg_kind_extreme_double = {.slot_bytes = sizeof(struct f64_slot),
                                                 .update = f64_update,
                                                 .check = f64_check,
                                                 .encode = f64_encode,
                                                 .merge = f64_merge,
                                                 .result = f64_result};

/* ---- numeric ---- */

struct numeric_extreme_slot {
    uint64_t low, high; /* of the coefficient, two's complement */
    int32_t scale;
    uint32_t is_set;
};

static inline struct numeric slot_numeric(const struct numeric_extreme_slot *slot)
{
    return (struct numeric){(int128)((uint128)slot->high << 64 | slot->low), slot->scale};
}

static inline int numeric_total_order(struct numeric a, struct numeric b)
{
    if (a.scale == b.scale)
        return (a.coefficient > b.coefficient) - (a.coefficient < b.coefficient);
    int order = numeric_compare(a, b);
    return order != 0 ? order : (a.scale > b.scale) - (a.scale < b.scale);
}

static inline void numeric_offer(struct numeric_extreme_slot *slot, struct numeric value,
                                 bool wants_max)
{
    if (slot->is_set != 0) {
        int order = numeric_total_order(value, slot_numeric(slot));
        if (wants_max ? order <= 0 : order >= 0)
            return;
    }
    uint128 bits = (uint128)value.coefficient;
    *slot = (struct numeric_extreme_slot){(uint64_t)bits, (uint64_t)(bits >> 64), value.scale, 1};
}

static int numeric_extreme_update(const struct agg_step *step)
{
    const uint16_t *physical = step->physical;
    const struct numeric *values = step->argument->numeric;
    for (uint32_t k = 0; k < step->count; k++)
        numeric_offer(step_slot(step, k), values[step_at(physical, k)], step->wants_max);
    return 0;
}

/* 0: no value, else scale + 1; then the coefficient. */
static void numeric_extreme_encode(const void *memory, struct buf *out)
{
    const struct numeric_extreme_slot *slot = memory;
    if (slot->is_set == 0) {
        buf_u8(out, 0);
        return;
    }
    uint64_t sign = (uint64_t)((int64_t)slot->high >> 63);
    buf_u8(out, (uint8_t)(slot->scale + 1));
    agg_put_wide(out, (const uint64_t[4]){slot->low, slot->high, sign, sign});
}

static int numeric_extreme_merge(void *memory, struct bytes *in, uint64_t row_count, bool wants_max)
{
    uint8_t byte;
    uint64_t limb[4];
    TRY(take_u8(in, &byte));
    if (byte == 0)
        return 0;
    TRY(agg_take_wide(in, limb));
    uint64_t sign = (uint64_t)((int64_t)limb[1] >> 63);
    struct numeric value = {(int128)((uint128)limb[1] << 64 | limb[0]), byte - 1};
    if (byte > NUMERIC_MAX_DIGITS + 1 || limb[2] != sign || limb[3] != sign || row_count == 0 ||
        int128_magnitude(value.coefficient) >= numeric_pow10[NUMERIC_MAX_DIGITS])
        return ERR_CORRUPT;
    if (memory != NULL)
        numeric_offer(memory, value, wants_max);
    return 0;
}

static int numeric_extreme_result(const void *memory, struct column *out, uint32_t at)
{
    const struct numeric_extreme_slot *slot = memory;
    if (slot->is_set == 0)
        return 0;
    out->numeric[at] = slot_numeric(slot);
    return 1;
}

const struct agg_kind agg_kind_extreme_numeric = {.slot_bytes = sizeof(struct numeric_extreme_slot),
                                                  .update = numeric_extreme_update,
                                                  .encode = numeric_extreme_encode,
                                                  .merge = numeric_extreme_merge,
                                                  .result = numeric_extreme_result};

/* ---- text ---- */

int agg_text_keep(struct agg_text *slot, struct bytes value)
{
    if (value.size > UINT32_MAX - 16)
        return ERR_TOO_LARGE;
    if (slot->data == NULL || value.size > slot->capacity) {
        size_t capacity = (value.size + 16) & ~(size_t)15;
        uint8_t *data = realloc(slot->data, capacity);
        if (data == NULL)
            return ERR_NOMEM;
        slot->data = data;
        slot->capacity = (uint32_t)capacity;
    }
    if (value.size > 0)
        memcpy(slot->data, value.data, value.size);
    slot->size = (uint32_t)value.size;
    return 0;
}

static inline int text_offer(struct agg_text *slot, struct bytes value, bool wants_max)
{
    if (slot->data != NULL) {
        int order = bytes_compare(value, bytes_of(slot->data, slot->size));
        if (wants_max ? order <= 0 : order >= 0)
            return 0;
    }
    return agg_text_keep(slot, value);
}

static int text_update(const struct agg_step *step)
{
    const uint16_t *physical = step->physical;
    const struct bytes *values = step->argument->text;
    for (uint32_t k = 0; k < step->count; k++)
        TRY(text_offer(step_slot(step, k), values[step_at(physical, k)], step->wants_max));
    return 0;
}

/* uvarint: 0 no value, else size + 1; then the bytes. */
static void text_encode(const void *memory, struct buf *out)
{
    const struct agg_text *slot = memory;
    buf_uvarint(out, slot->data != NULL ? (uint64_t)slot->size + 1 : 0);
    if (slot->data != NULL)
        buf_append(out, slot->data, slot->size);
}

static int text_merge(void *memory, struct bytes *in, uint64_t row_count, bool wants_max)
{
    uint64_t size;
    struct bytes value;
    TRY(take_uvarint(in, &size));
    if (size == 0)
        return 0;
    TRY(take_bytes(in, size - 1, &value));
    if (memory != NULL)
        return text_offer(memory, value, wants_max);
    return utf8_check(value) && row_count > 0 ? 0 : ERR_CORRUPT;
}

static int text_result(const void *memory, struct column *out, uint32_t at)
{
    const struct agg_text *slot = memory;
    if (slot->data == NULL)
        return 0;
    out->text[at] = bytes_of(slot->data, slot->size);
    return 1;
}

void agg_text_release(void *memory)
{
    struct agg_text *slot = memory;
    free(slot->data);
    *slot = (struct agg_text){0};
}

size_t agg_text_heap_bytes(const void *memory)
{
    return agg_block_bytes(((const struct agg_text *)memory)->capacity);
}

const struct agg_kind agg_kind_extreme_text = {.slot_bytes = sizeof(struct agg_text),
                                               .update = text_update,
                                               .encode = text_encode,
                                               .merge = text_merge,
                                               .result = text_result,
                                               .release = agg_text_release,
                                               .heap_bytes = agg_text_heap_bytes};

/* ---- json ---- */

struct variant_slot {
    struct agg_text token; /* of kinds with bytes */
    int64_t i64;
    uint64_t kind; /* enum variant_kind; VARIANT_NULL: no value */
};

static struct variant slot_variant(const struct variant_slot *slot)
{
    struct variant value = {.kind = (uint8_t)slot->kind};
    if (agg_kind_has_bytes(slot->kind)) {
        value.data = slot->token.data;
        value.size = slot->token.size;
    } else {
        value.i64 = slot->i64;
    }
    return value;
}

/* Numbers of both kinds share a rank. */
static int kind_rank(uint8_t kind)
{
    return kind == VARIANT_NUMBER ? VARIANT_INT : kind;
}

static int bytes_order(const struct variant *a, const struct variant *b)
{
    return bytes_compare(bytes_of(a->data, a->size), bytes_of(b->data, b->size));
}

static int variant_total_order(const struct variant *a, const struct variant *b)
{
    if (a->kind == VARIANT_INT && b->kind == VARIANT_INT)
        return (a->i64 > b->i64) - (a->i64 < b->i64);
    int rank_a = kind_rank(a->kind), rank_b = kind_rank(b->kind);
    if (rank_a != rank_b)
        return rank_a < rank_b ? -1 : 1;
    if (rank_a == VARIANT_INT) {
        int order = numeric_compare(agg_variant_numeric(a), agg_variant_numeric(b));
        if (order == 0)
            order = (a->kind > b->kind) - (a->kind < b->kind);
        return order != 0 ? order : bytes_order(a, b); /* both are tokens */
    }
    return agg_kind_has_bytes(a->kind) ? bytes_order(a, b) : 0;
}

static int variant_offer(struct variant_slot *slot, const struct variant *value, bool wants_max)
{
    if (slot->kind != VARIANT_NULL) {
        struct variant kept = slot_variant(slot);
        int order = variant_total_order(value, &kept);
        if (wants_max ? order <= 0 : order >= 0)
            return 0;
    }
    if (agg_kind_has_bytes(value->kind))
        TRY(agg_text_keep(&slot->token, bytes_of(value->data, value->size)));
    slot->i64 = value->kind == VARIANT_INT ? value->i64 : 0;
    slot->kind = value->kind;
    return 0;
}

static int variant_extreme_update(const struct agg_step *step)
{
    const uint16_t *physical = step->physical;
    const struct variant *values = step->argument->variant;
    for (uint32_t k = 0; k < step->count; k++) {
        const struct variant *value = &values[step_at(physical, k)];
        if (value->kind != VARIANT_NULL)
            TRY(variant_offer(step_slot(step, k), value, step->wants_max));
    }
    return 0;
}

static const char *variant_extreme_check(const struct column *argument, uint32_t at,
                                         const char **message)
{
    const struct variant *value = &argument->variant[at];
    if (value->kind != VARIANT_NUMBER || agg_number_fits(value))
        return NULL;
    *message = "a number has more than 38 digits";
    return "numeric_out_of_range";
}

/* The kind, then for integers a varint, for kinds with bytes uvarint size and bytes. */
static void variant_encode(const void *memory, struct buf *out)
{
    const struct variant_slot *slot = memory;
    buf_u8(out, (uint8_t)slot->kind);
    if (slot->kind == VARIANT_INT)
        buf_varint(out, slot->i64);
    if (!agg_kind_has_bytes(slot->kind))
        return;
    buf_uvarint(out, slot->token.size);
    buf_append(out, slot->token.data, slot->token.size);
}

static int take_variant(struct bytes *in, struct variant *value)
{
    uint64_t size;
    struct bytes token;
    *value = (struct variant){0};
    TRY(take_u8(in, &value->kind));
    if (value->kind == VARIANT_INT)
        return take_varint(in, &value->i64);
    if (!agg_kind_has_bytes(value->kind))
        return 0;
    TRY(take_uvarint(in, &size));
    TRY(take_bytes(in, size, &token));
    if (value->kind > VARIANT_JSON || size > UINT32_MAX - 16 || !utf8_check(token))
        return ERR_CORRUPT;
    value->data = token.data;
    value->size = (uint32_t)size;
    struct numeric number;
    return value->kind != VARIANT_NUMBER || numeric_parse(token, &number) == 0 ? 0 : ERR_CORRUPT;
}

static int variant_extreme_merge(void *memory, struct bytes *in, uint64_t row_count, bool wants_max)
{
    struct variant value;
    TRY(take_variant(in, &value));
    if (value.kind == VARIANT_NULL)
        return 0;
    if (memory != NULL)
        return variant_offer(memory, &value, wants_max);
    return row_count > 0 ? 0 : ERR_CORRUPT;
}

static int variant_extreme_result(const void *memory, struct column *out, uint32_t at)
{
    const struct variant_slot *slot = memory;
    if (slot->kind == VARIANT_NULL)
        return 0;
    out->variant[at] = slot_variant(slot);
    return 1;
}

static void variant_release(void *memory)
{
    struct variant_slot *slot = memory;
    agg_text_release(&slot->token);
    slot->kind = VARIANT_NULL;
}

static size_t variant_heap_bytes(const void *memory)
{
    return agg_text_heap_bytes(&((const struct variant_slot *)memory)->token);
}

const struct agg_kind agg_kind_extreme_variant = {.slot_bytes = sizeof(struct variant_slot),
                                                  .update = variant_extreme_update,
                                                  .check = variant_extreme_check,
                                                  .encode = variant_encode,
                                                  .merge = variant_extreme_merge,
                                                  .result = variant_extreme_result,
                                                  .release = variant_release,
                                                  .heap_bytes = variant_heap_bytes};
