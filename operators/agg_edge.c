/* agg_edge.c: first and last.
 *
 * first(x) is the x of the earliest row, last(x) that of the latest, by event time. Rows whose x is
 * NULL do not count, as for every aggregate of PostgreSQL that takes a value; so a result is NULL
 * only when no row of the group had one. A constant argument is a value like any other.
 *
 * Rows of one event time are ordered by their place: origin (input and partition), then offset.
 * Both are the same in every run, so neither the cut of batches and commits nor the order in which
 * partials arrive decides. Rows that an operator made of one source row (unnest) share its place;
 * they reach the accumulator together and in order, so that the one that comes first wins in first
 * and the one that comes last in last.
 *
 * The slot keeps the winner's time and place beside its value, and so do the encoding and with it
 * partials and the store: without them two partials could not be merged.
 *
 * Nothing is computed with the value, so all of a type's values are taken: infinities and NaN, and
 * JSON numbers of any length, which keep their token. */
#include "operators/agg_kind.h"
#include "operators/wide_int.h"
#include "runtime/base/utf8.h"

struct edge {
    int64_t time_ms, offset;
    uint64_t origin_plus_1; /* 0: no value */
};

/* Which value a step offers to which slot. */
static inline struct edge edge_of(const struct agg_step *step, uint32_t k)
{
    const struct batch *batch = step->batch;
    uint32_t row = step->batch_rows != NULL ? step->batch_rows[k] : k;
    return (struct edge){batch->event_time_ms != NULL ? batch->event_time_ms[row] : 0,
                         batch->source != NULL ? batch_source(batch, row)->offset : 0,
                         batch->origin + 1};
}

static inline int edge_order(const struct edge *a, const struct edge *b)
{
    if (a->time_ms != b->time_ms)
        return a->time_ms < b->time_ms ? -1 : 1;
    if (a->origin_plus_1 != b->origin_plus_1)
        return a->origin_plus_1 < b->origin_plus_1 ? -1 : 1;
    return (a->offset > b->offset) - (a->offset < b->offset);
}

static inline bool edge_wins(const struct edge *offered, const struct edge *kept, bool wants_last)
{
    if (kept->origin_plus_1 == 0)
        return true;
    int order = edge_order(offered, kept);
    return wants_last ? order >= 0 : order < 0;
}

/* ---- encoding of time and place ---- */

static void edge_encode(const struct edge *edge, struct buf *out)
{
    buf_uvarint(out, edge->origin_plus_1);
    if (edge->origin_plus_1 == 0)
        return;
    buf_varint(out, edge->time_ms);
    buf_uvarint(out, (uint64_t)edge->offset);
}

/* 1: a value follows; 0: none. */
static int edge_take(struct bytes *in, uint64_t row_count, struct edge *edge)
{
    uint64_t offset;
    TRY(take_uvarint(in, &edge->origin_plus_1));
    if (edge->origin_plus_1 == 0)
        return 0;
    TRY(take_varint(in, &edge->time_ms));
    TRY(take_uvarint(in, &offset));
    if (offset > INT64_MAX || row_count == 0)
        return ERR_CORRUPT;
    edge->offset = (int64_t)offset;
    return 1;
}

/* ---- bigint, timestamptz, interval, boolean ---- */

struct i64_edge {
    struct edge edge;
    int64_t value;
};

static inline void i64_offer(struct i64_edge *slot, struct edge edge, int64_t value, bool last)
{
    if (edge_wins(&edge, &slot->edge, last))
        *slot = (struct i64_edge){edge, value};
}

static int i64_update(const struct agg_step *step)
{
    const int64_t *values = step->argument->i64;
    for (uint32_t k = 0; k < step->count; k++)
        i64_offer(step_slot(step, k), edge_of(step, k), values[step_at(step->physical, k)],
                  step->wants_max);
    return 0;
}

static void i64_encode(const void *memory, struct buf *out)
{
    const struct i64_edge *slot = memory;
    edge_encode(&slot->edge, out);
    if (slot->edge.origin_plus_1 != 0)
        buf_varint(out, slot->value);
}

static int i64_merge(void *memory, struct bytes *in, uint64_t row_count, bool wants_last)
{
    struct edge edge;
    int64_t value;
    int has_value = edge_take(in, row_count, &edge);
    if (has_value <= 0)
        return has_value;
    TRY(take_varint(in, &value));
    if (memory != NULL)
        i64_offer(memory, edge, value, wants_last);
    return 0;
}

static int i64_result(const void *memory, struct column *out, uint32_t at)
{
    const struct i64_edge *slot = memory;
    if (slot->edge.origin_plus_1 == 0)
        return 0;
    out->i64[at] = slot->value;
    return 1;
}

const struct agg_kind agg_kind_edge_i64 = {.slot_bytes = sizeof(struct i64_edge),
                                           .needs_place = true,
                                           .update = i64_update,
                                           .encode = i64_encode,
                                           .merge = i64_merge,
                                           .result = i64_result};

static int boolean_update(const struct agg_step *step)
{
    const uint8_t *values = step->argument->boolean;
    for (uint32_t k = 0; k < step->count; k++)
        i64_offer(step_slot(step, k), edge_of(step, k), values[step_at(step->physical, k)] != 0,
                  step->wants_max);
    return 0;
}

static void boolean_encode(const void *memory, struct buf *out)
{
    const struct i64_edge *slot = memory;
    edge_encode(&slot->edge, out);
    if (slot->edge.origin_plus_1 != 0)
        buf_u8(out, (uint8_t)slot->value);
}

static int boolean_merge(void *memory, struct bytes *in, uint64_t row_count, bool wants_last)
{
    struct edge edge;
    uint8_t value;
    int has_value = edge_take(in, row_count, &edge);
    if (has_value <= 0)
        return has_value;
    TRY(take_u8(in, &value));
    if (memory != NULL)
        i64_offer(memory, edge, value, wants_last);
    return value <= 1 ? 0 : ERR_CORRUPT;
}

static int boolean_result(const void *memory, struct column *out, uint32_t at)
{
    const struct i64_edge *slot = memory;
    if (slot->edge.origin_plus_1 == 0)
        return 0;
    out->boolean[at] = (uint8_t)slot->value;
    return 1;
}

const struct agg_kind agg_kind_edge_boolean = {.slot_bytes = sizeof(struct i64_edge),
                                               .needs_place = true,
                                               .update = boolean_update,
                                               .encode = boolean_encode,
                                               .merge = boolean_merge,
                                               .result = boolean_result};

/* ---- double ---- */

struct f64_edge {
    struct edge edge;
    double value;
};

static inline void f64_offer(struct f64_edge *slot, struct edge edge, double value, bool last)
{
    if (edge_wins(&edge, &slot->edge, last))
        *slot = (struct f64_edge){edge, value};
}

static int f64_update(const struct agg_step *step)
{
    const double *values = step->argument->f64;
    for (uint32_t k = 0; k < step->count; k++)
        f64_offer(step_slot(step, k), edge_of(step, k), values[step_at(step->physical, k)],
                  step->wants_max);
    return 0;
}

static void f64_encode(const void *memory, struct buf *out)
{
    const struct f64_edge *slot = memory;
    uint64_t bits;
    edge_encode(&slot->edge, out);
    if (slot->edge.origin_plus_1 == 0)
        return;
    memcpy(&bits, &slot->value, sizeof bits);
    buf_be64(out, bits);
}

static int f64_merge(void *memory, struct bytes *in, uint64_t row_count, bool wants_last)
{
    struct edge edge;
    uint64_t bits;
    double value;
    int has_value = edge_take(in, row_count, &edge);
    if (has_value <= 0)
        return has_value;
    TRY(take_be64(in, &bits));
    memcpy(&value, &bits, sizeof value);
    if (memory != NULL)
        f64_offer(memory, edge, value, wants_last);
    return 0;
}

static int f64_result(const void *memory, struct column *out, uint32_t at)
{
    const struct f64_edge *slot = memory;
    if (slot->edge.origin_plus_1 == 0)
        return 0;
    out->f64[at] = slot->value;
    return 1;
}

const struct agg_kind agg_kind_edge_double = {.slot_bytes = sizeof(struct f64_edge),
                                              .needs_place = true,
                                              .update = f64_update,
                                              .encode = f64_encode,
                                              .merge = f64_merge,
                                              .result = f64_result};

/* ---- numeric ---- */

struct numeric_edge {
    struct edge edge;
    uint64_t low, high; /* of the coefficient, two's complement */
    int64_t scale;
};

static inline void numeric_offer(struct numeric_edge *slot, struct edge edge, struct numeric value,
                                 bool last)
{
    uint128 bits = (uint128)value.coefficient;
    if (edge_wins(&edge, &slot->edge, last))
        *slot = (struct numeric_edge){edge, (uint64_t)bits, (uint64_t)(bits >> 64), value.scale};
}

static int numeric_update(const struct agg_step *step)
{
    const struct numeric *values = step->argument->numeric;
    for (uint32_t k = 0; k < step->count; k++)
        numeric_offer(step_slot(step, k), edge_of(step, k), values[step_at(step->physical, k)],
                      step->wants_max);
    return 0;
}

static void numeric_encode(const void *memory, struct buf *out)
{
    const struct numeric_edge *slot = memory;
    edge_encode(&slot->edge, out);
    if (slot->edge.origin_plus_1 == 0)
        return;
    uint64_t sign = (uint64_t)((int64_t)slot->high >> 63);
    buf_u8(out, (uint8_t)slot->scale);
    agg_put_wide(out, (const uint64_t[4]){slot->low, slot->high, sign, sign});
}

static int numeric_merge(void *memory, struct bytes *in, uint64_t row_count, bool wants_last)
{
    struct edge edge;
    uint8_t scale;
    uint64_t limb[4];
    int has_value = edge_take(in, row_count, &edge);
    if (has_value <= 0)
        return has_value;
    TRY(take_u8(in, &scale));
    TRY(agg_take_wide(in, limb));
    uint64_t sign = (uint64_t)((int64_t)limb[1] >> 63);
    struct numeric value = {(int128)((uint128)limb[1] << 64 | limb[0]), scale};
    if (scale > NUMERIC_MAX_DIGITS || limb[2] != sign || limb[3] != sign ||
        int128_magnitude(value.coefficient) >= numeric_pow10[NUMERIC_MAX_DIGITS])
        return ERR_CORRUPT;
    if (memory != NULL)
        numeric_offer(memory, edge, value, wants_last);
    return 0;
}

static int numeric_result(const void *memory, struct column *out, uint32_t at)
{
    const struct numeric_edge *slot = memory;
    if (slot->edge.origin_plus_1 == 0)
        return 0;
    out->numeric[at] =
        (struct numeric){(int128)((uint128)slot->high << 64 | slot->low), (int32_t)slot->scale};
    return 1;
}

const struct agg_kind agg_kind_edge_numeric = {.slot_bytes = sizeof(struct numeric_edge),
                                               .needs_place = true,
                                               .update = numeric_update,
                                               .encode = numeric_encode,
                                               .merge = numeric_merge,
                                               .result = numeric_result};

/* ---- text, bytea ---- */

struct text_edge {
    struct edge edge;
    struct agg_text text;
};

static inline int text_offer(struct text_edge *slot, struct edge edge, struct bytes value,
                             bool last)
{
    if (!edge_wins(&edge, &slot->edge, last))
        return 0;
    TRY(agg_text_keep(&slot->text, value));
    slot->edge = edge;
    return 0;
}

static int text_update(const struct agg_step *step)
{
    const struct bytes *values = step->argument->text;
    for (uint32_t k = 0; k < step->count; k++)
        TRY(text_offer(step_slot(step, k), edge_of(step, k), values[step_at(step->physical, k)],
                       step->wants_max));
    return 0;
}

static void text_encode(const void *memory, struct buf *out)
{
    const struct text_edge *slot = memory;
    edge_encode(&slot->edge, out);
    if (slot->edge.origin_plus_1 == 0)
        return;
    buf_uvarint(out, slot->text.size);
    buf_append(out, slot->text.data, slot->text.size);
}

static int bytes_merge(void *memory, struct bytes *in, uint64_t row_count, bool wants_last,
                       bool is_text)
{
    struct edge edge;
    uint64_t size;
    struct bytes value;
    int has_value = edge_take(in, row_count, &edge);
    if (has_value <= 0)
        return has_value;
    TRY(take_uvarint(in, &size));
    TRY(take_bytes(in, size, &value));
    if (memory != NULL)
        return text_offer(memory, edge, value, wants_last);
    return is_text && !utf8_check(value) ? ERR_CORRUPT : 0;
}

static int text_merge(void *memory, struct bytes *in, uint64_t row_count, bool wants_last)
{
    return bytes_merge(memory, in, row_count, wants_last, true);
}

static int bytea_merge(void *memory, struct bytes *in, uint64_t row_count, bool wants_last)
{
    return bytes_merge(memory, in, row_count, wants_last, false);
}

static int text_result(const void *memory, struct column *out, uint32_t at)
{
    const struct text_edge *slot = memory;
    if (slot->edge.origin_plus_1 == 0)
        return 0;
    out->text[at] = bytes_of(slot->text.data, slot->text.size);
    return 1;
}

static void text_release(void *memory)
{
    struct text_edge *slot = memory;
    agg_text_release(&slot->text);
    slot->edge.origin_plus_1 = 0;
}

static size_t text_heap_bytes(const void *memory)
{
    return agg_text_heap_bytes(&((const struct text_edge *)memory)->text);
}

const struct agg_kind agg_kind_edge_text = {.slot_bytes = sizeof(struct text_edge),
                                            .needs_place = true,
                                            .update = text_update,
                                            .encode = text_encode,
                                            .merge = text_merge,
                                            .result = text_result,
                                            .release = text_release,
                                            .heap_bytes = text_heap_bytes};

const struct agg_kind agg_kind_edge_bytea = {.slot_bytes = sizeof(struct text_edge),
                                             .needs_place = true,
                                             .update = text_update,
                                             .encode = text_encode,
                                             .merge = bytea_merge,
                                             .result = text_result,
                                             .release = text_release,
                                             .heap_bytes = text_heap_bytes};

/* ---- json ---- */

struct variant_edge {
    struct edge edge;
    struct agg_text token; /* of kinds with bytes */
    int64_t i64;
    uint64_t kind; /* enum variant_kind, never VARIANT_NULL when there is a value */
};

static int variant_offer(struct variant_edge *slot, struct edge edge, const struct variant *value,
                         bool last)
{
    if (!edge_wins(&edge, &slot->edge, last))
        return 0;
    if (agg_kind_has_bytes(value->kind))
        TRY(agg_text_keep(&slot->token, bytes_of(value->data, value->size)));
    slot->i64 = value->kind == VARIANT_INT ? value->i64 : 0;
    slot->kind = value->kind;
    slot->edge = edge;
    return 0;
}

static int variant_update(const struct agg_step *step)
{
    const struct variant *values = step->argument->variant;
    for (uint32_t k = 0; k < step->count; k++) {
        const struct variant *value = &values[step_at(step->physical, k)];
        if (value->kind != VARIANT_NULL)
            TRY(variant_offer(step_slot(step, k), edge_of(step, k), value, step->wants_max));
    }
    return 0;
}

static void variant_encode(const void *memory, struct buf *out)
{
    const struct variant_edge *slot = memory;
    edge_encode(&slot->edge, out);
    if (slot->edge.origin_plus_1 == 0)
        return;
    buf_u8(out, (uint8_t)slot->kind);
    if (slot->kind == VARIANT_INT)
        buf_varint(out, slot->i64);
    if (!agg_kind_has_bytes(slot->kind))
        return;
    buf_uvarint(out, slot->token.size);
    buf_append(out, slot->token.data, slot->token.size);
}

static size_t digits_at(struct bytes text, size_t at)
{
    size_t end = at;
    while (end < text.size && text.data[end] >= '0' && text.data[end] <= '9')
        end++;
    return end - at;
}

/* RFC 8259's number. */
static bool is_json_number(struct bytes text)
{
    size_t at = text.size > 0 && text.data[0] == '-', count = digits_at(text, at);
    if (count == 0 || (count > 1 && text.data[at] == '0'))
        return false;
    at += count;
    if (at < text.size && text.data[at] == '.') {
        count = digits_at(text, ++at);
        if (count == 0)
            return false;
        at += count;
    }
    if (at < text.size && (text.data[at] | 0x20) == 'e') {
        at++;
        at += at < text.size && (text.data[at] == '+' || text.data[at] == '-');
        count = digits_at(text, at);
        if (count == 0)
            return false;
        at += count;
    }
    return at == text.size;
}

static int take_variant(struct bytes *in, struct variant *value)
{
    uint64_t size;
    struct bytes token;
    *value = (struct variant){0};
    TRY(take_u8(in, &value->kind));
    if (value->kind == VARIANT_NULL || value->kind > VARIANT_JSON)
        return ERR_CORRUPT;
    if (value->kind == VARIANT_INT)
        return take_varint(in, &value->i64);
    if (!agg_kind_has_bytes(value->kind))
        return 0;
    TRY(take_uvarint(in, &size));
    TRY(take_bytes(in, size, &token));
    if (size > UINT32_MAX - 16 || !utf8_check(token))
        return ERR_CORRUPT;
    value->data = token.data;
    value->size = (uint32_t)size;
    return value->kind != VARIANT_NUMBER || is_json_number(token) ? 0 : ERR_CORRUPT;
}

static int variant_merge(void *memory, struct bytes *in, uint64_t row_count, bool wants_last)
{
    struct edge edge;
    struct variant value;
    int has_value = edge_take(in, row_count, &edge);
    if (has_value <= 0)
        return has_value;
    TRY(take_variant(in, &value));
    return memory != NULL ? variant_offer(memory, edge, &value, wants_last) : 0;
}

static int variant_result(const void *memory, struct column *out, uint32_t at)
{
    const struct variant_edge *slot = memory;
    if (slot->edge.origin_plus_1 == 0)
        return 0;
    struct variant value = {.kind = (uint8_t)slot->kind};
    if (agg_kind_has_bytes(slot->kind)) {
        value.data = slot->token.data;
        value.size = slot->token.size;
    } else {
        value.i64 = slot->i64;
    }
    out->variant[at] = value;
    return 1;
}

static void variant_release(void *memory)
{
    struct variant_edge *slot = memory;
    agg_text_release(&slot->token);
    slot->edge.origin_plus_1 = 0;
}

static size_t variant_heap_bytes(const void *memory)
{
    return agg_text_heap_bytes(&((const struct variant_edge *)memory)->token);
}

const struct agg_kind agg_kind_edge_variant = {.slot_bytes = sizeof(struct variant_edge),
                                               .needs_place = true,
                                               .update = variant_update,
                                               .encode = variant_encode,
                                               .merge = variant_merge,
                                               .result = variant_result,
                                               .release = variant_release,
                                               .heap_bytes = variant_heap_bytes};
