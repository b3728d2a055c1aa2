/* op_map.c: new columns from expressions over the old ones.
 *
 * Provenance, event times and the selection stay those of the input, so lateness and dead letters
 * still know the source row. An expression that is a plain name shares its column. A row for which
 * an expression fails is rejected. */
#include "operators/op.h"

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
        TRY(expr_eval(params->list->exprs[i], in, &out->columns[i], call->rejects));
    TRY(batch_drop_rejected(out, call->rejects, first, call->arena));
    return OP_DONE;
}

const struct op_type op_map_type = {
    .name = "map",
    .size_bytes = sizeof(struct op),
    .process = map_process,
};
