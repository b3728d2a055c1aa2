/* op_map.c: new columns from expressions over the old ones.
 *
 * Provenance, event times and the selection stay those of the input, so lateness and dead letters
 * still know the source row. An expression that is a plain name shares its column. A row for which
 * an expression fails is rejected.
 *
 * A table's declared columns cast the field of the event time once more: the batch has that time, so
 * it is shared. The two readings differ in decimals alone, which are a time, rounded down, but no
 * timestamptz. */
#include "operators/op.h"

static bool has_decimals(const struct batch *in, const struct column *field)
{
    for (uint32_t i = 0; i < in->selected_count; i++)
        if (field->variant[column_at(field, batch_row(in, i))].kind == VARIANT_NUMBER)
            return true;
    return false;
}

static bool is_event_time(const struct map_params *params, const struct batch *in, uint32_t column)
{
    return params->time_fields != NULL && params->time_fields[column] > 0 &&
           in->event_time_ms != NULL &&
           !has_decimals(in, &in->columns[params->time_fields[column] - 1]);
}

static int map_process(struct op *op, struct op_call *call, const struct batch *in,
                       struct batch *out)
{
    const struct map_params *params = op->params;
    uint32_t first = call->rejects->count;
    *out = *in;
    out->column_count = params->list->count;
    out->columns = arena_alloc(call->arena, (params->list->count + 1) * sizeof *out->columns);
    if (out->columns == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < params->list->count; i++)
        if (is_event_time(params, in, i))
            out->columns[i] = (struct column){.type = COL_TIMESTAMPTZ,
                                              .i64 = (int64_t *)(uintptr_t)in->event_time_ms};
        else
            TRY(expr_eval(params->list->exprs[i], in, &out->columns[i], call->rejects));
    TRY(batch_drop_rejected(out, call->rejects, first, call->arena));
    return OP_DONE;
}

const struct op_type op_map_type = {
    .name = "map",
    .size_bytes = sizeof(struct op),
    .process = map_process,
};
