/* op_rekey.c: the columns that become a row's new record key, behind those that it has.
 *
 * It ends a chain of rows: whoever encodes them takes the last columns as the key and the others as
 * the value. A row whose key cannot be computed is rejected, as in map. */
#include "operators/op.h"

static int rekey_process(struct op *op, struct op_call *call, const struct batch *in,
                         struct batch *out)
{
    const struct map_params *params = op->params;
    uint32_t first = call->rejects->count, count = in->column_count + params->list->count;
    *out = *in;
    out->columns = arena_alloc(call->arena, (count + 1) * sizeof *out->columns);
    if (out->columns == NULL)
        return ERR_NOMEM;
    if (in->column_count > 0)
        memcpy(out->columns, in->columns, in->column_count * sizeof *out->columns);
    for (uint32_t i = 0; i < params->list->count; i++)
        TRY(expr_eval(params->list->exprs[i], in, &out->columns[in->column_count + i],
                      call->rejects));
    out->column_count = count;
    return batch_drop_rejected(out, call->rejects, first, call->arena);
}

const struct op_type op_rekey_type = {
    .name = "rekey",
    .size_bytes = sizeof(struct op),
    .process = rekey_process,
};
