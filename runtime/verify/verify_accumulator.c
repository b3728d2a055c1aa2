/* verify_accumulator.c: the aggregate functions, a value at a time (see verify_parts.h).
 *
 * What each means is in operators/README.md. Sums of exact numbers use numeric.h's 256 bits, apart
 * for addends of up to 19 decimals and of more, so that the order of the rows never decides whether
 * a sum is there. Nothing is shared with the accumulators of the engine: no slots, no encodings, no
 * partials. */
#include <math.h>
#include <stdlib.h>

#include "operators/json_encode.h"
#include "runtime/verify/verify_parts.h"

enum { COARSE_DECIMALS = 19 };

static bool is_sum(const struct agg_call *call)
{
    return call->func == AGG_SUM || call->func == AGG_AVG;
}

/* 1: the row counts; 0: it does not (false and NULL are the same to FILTER); −1: no boolean. */
static int passes(const struct column *filter)
{
    struct cell cell;
    if (filter == NULL || filter->data == NULL)
        return 1;
    cell_read(&cell, filter, 0);
    if (cell.is_null)
        return 0;
    if (cell.type == COL_BOOLEAN)
        return cell.boolean != 0;
    return cell.variant.kind == VARIANT_TRUE ? 1 : cell.variant.kind == VARIANT_FALSE ? 0 : -1;
}

static const char *sum_refuses(const struct cell *cell)
{
    struct numeric number;
    if (cell->type == COL_DOUBLE)
        return isfinite(cell->f64) ? NULL : "numeric_out_of_range";
    if (cell->type != COL_VARIANT)
        return NULL;
    if (cell->variant.kind != VARIANT_INT && cell->variant.kind != VARIANT_NUMBER)
        return "type_mismatch";
    return cell_number(cell, &number) ? NULL : "numeric_out_of_range";
}

static const char *extreme_refuses(const struct cell *cell)
{
    struct numeric number;
    if (cell->type == COL_DOUBLE)
        return isfinite(cell->f64) ? NULL : "numeric_out_of_range";
    return cell->type == COL_VARIANT && cell->variant.kind == VARIANT_NUMBER &&
                   !cell_number(cell, &number)
               ? "numeric_out_of_range"
               : NULL;
}

const char *accumulator_refuses(const struct agg_call *call, const struct column *argument,
                                const struct column *filter)
{
    struct cell cell;
    int passing = passes(filter);
    if (passing < 0)
        return "type_mismatch";
    if (passing == 0 || call->argument == NULL)
        return NULL;
    cell_read(&cell, argument, 0);
    if (cell.is_null)
        return NULL;
    if (is_sum(call))
        return sum_refuses(&cell);
    return call->func == AGG_MIN || call->func == AGG_MAX ? extreme_refuses(&cell) : NULL;
}

/* ---- add ---- */

static void add_number(struct accumulator *to, const struct cell *cell)
{
    struct numeric number;
    if (cell->type == COL_DOUBLE) {
        to->f64 += cell->f64;
        return;
    }
    if (!cell_number(cell, &number))
        return; /* accumulator_refuses has seen to it */
    struct numeric_sum *sum = number.scale > COARSE_DECIMALS ? &to->fine : &to->coarse;
    to->is_exceeded |= numeric_sum_add(sum, number) < 0;
}

static int keep_extreme(struct accumulator *to, const struct cell *cell, bool wants_max)
{
    struct cell value = *cell;
    if (value.type == COL_DOUBLE)
        value.f64 += 0.0; /* of −0.0, which is equal, nothing is left */
    int order = to->has_kept ? cell_order(&value, &to->kept) : wants_max ? 1 : -1;
    if (wants_max ? order <= 0 : order >= 0)
        return 0;
    to->has_kept = true;
    return cell_keep(&to->kept, &value);
}

static int order_places(const struct place *a, const struct place *b)
{
    if (a->time_ms != b->time_ms)
        return a->time_ms < b->time_ms ? -1 : 1;
    if (a->origin != b->origin)
        return a->origin < b->origin ? -1 : 1;
    if (a->offset != b->offset)
        return a->offset < b->offset ? -1 : 1;
    return a->order != b->order ? (a->order < b->order ? -1 : 1) : 0;
}

static int keep_edge(struct accumulator *to, const struct cell *cell, const struct place *place,
                     bool wants_last)
{
    struct place kept = {to->time_ms, to->offset, to->origin, to->order};
    int order = to->has_kept ? order_places(place, &kept) : wants_last ? 1 : -1;
    if (wants_last ? order < 0 : order >= 0)
        return 0;
    to->has_kept = true;
    to->time_ms = place->time_ms;
    to->offset = place->offset;
    to->origin = place->origin;
    to->order = place->order;
    return cell_keep(&to->kept, cell);
}

/* Values are one value when GROUP BY would make one group of them. */
static int count_distinct(struct accumulator *to, const struct column *argument,
                          struct verify_distinct *distinct, uint64_t group, uint32_t number,
                          struct arena *arena)
{
    static const char *const name = "v";
    struct cell cell;
    struct column column;
    struct buf text;
    struct json_names *names = json_names_create(&name, 1);
    cell_read(&cell, argument, 0);
    int rc = names == NULL ? ERR_NOMEM : cell_canonical(&cell, arena);
    if (rc == 0)
        rc = cell_write(&cell, &column, arena);
    buf_init(&text, 0);
    buf_be64(&text, group);
    buf_be32(&text, number);
    if (rc == 0)
        json_encode_key(&text, names, &column, 0, true);
    struct verify_entry *entry = NULL;
    if (rc == 0 && buf_ok(&text))
        entry = verify_map_at(&distinct->values, hash128(text.data, text.size));
    if (entry != NULL && entry->value == NULL) {
        entry->value = to;
        to->count++;
    }
    buf_deinit(&text);
    json_names_destroy(names);
    return rc < 0 ? rc : entry != NULL ? 0 : ERR_NOMEM;
}

int accumulator_add(struct accumulator *to, const struct agg_call *call,
                    const struct column *argument, const struct column *filter,
                    const struct place *place, struct verify_distinct *distinct, uint64_t group,
                    uint32_t number, struct arena *arena)
{
    struct cell cell;
    if (passes(filter) != 1)
        return 0;
    if (call->func == AGG_COUNT_STAR) {
        to->count++;
        return 0;
    }
    cell_read(&cell, argument, 0);
    if (cell.is_null)
        return 0;
    switch (call->func) {
    case AGG_SUM:
    case AGG_AVG:
        add_number(to, &cell);
        break;
    case AGG_MIN:
    case AGG_MAX:
        TRY(keep_extreme(to, &cell, call->func == AGG_MAX));
        break;
    case AGG_FIRST:
    case AGG_LAST:
        TRY(keep_edge(to, &cell, place, call->func == AGG_LAST));
        break;
    case AGG_COUNT_DISTINCT:
        return count_distinct(to, argument, distinct, group, number, arena);
    default:
        break;
    }
    to->count++;
    return 0;
}

int accumulator_merge(struct accumulator *to, struct accumulator *from, const struct agg_call *call)
{
    to->count += from->count;
    to->f64 += from->f64;
    to->is_exceeded |= from->is_exceeded;
    to->is_exceeded |= numeric_sum_merge(&to->coarse, &from->coarse) < 0;
    to->is_exceeded |= numeric_sum_merge(&to->fine, &from->fine) < 0;
    if (!from->has_kept)
        return 0;
    if (call->func == AGG_MIN || call->func == AGG_MAX)
        return keep_extreme(to, &from->kept, call->func == AGG_MAX);
    struct place place = {from->time_ms, from->offset, from->origin, from->order};
    return keep_edge(to, &from->kept, &place, call->func == AGG_LAST);
}

/* ---- result ---- */

static int put_sum(const struct accumulator *from, const struct agg_call *call, struct cell *cell)
{
    struct numeric_sum sum = from->fine;
    if (call->argument_type == COL_DOUBLE) {
        cell->f64 = call->func == AGG_AVG ? from->f64 / (double)from->count : from->f64;
        return isfinite(from->f64) ? 1 : 0;
    }
    if (from->is_exceeded || numeric_sum_merge(&sum, &from->coarse) < 0)
        return 0;
    int rc = call->func == AGG_AVG ? numeric_sum_average(&sum, from->count, &cell->numeric)
                                   : numeric_sum_value(&sum, &cell->numeric);
    return rc == 0;
}

int accumulator_result(const struct accumulator *from, const struct agg_call *call,
                       struct column *column, struct arena *arena)
{
    struct cell cell = {.type = call->result_type, .is_null = true};
    switch (call->func) {
    case AGG_COUNT_STAR:
    case AGG_COUNT:
    case AGG_COUNT_DISTINCT:
        cell.is_null = false;
        cell.i64 = from->count;
        break;
    case AGG_SUM:
    case AGG_AVG:
        cell.is_null = from->count == 0;
        if (!cell.is_null && put_sum(from, call, &cell) == 0) {
            cell.is_null = true;
            TRY(cell_write(&cell, column, arena));
            return 0;
        }
        break;
    default:
        if (from->has_kept)
            cell = from->kept;
        break;
    }
    TRY(cell_write(&cell, column, arena));
    return 1;
}

void accumulator_release(struct accumulator *accumulator)
{
    cell_release(&accumulator->kept);
}
