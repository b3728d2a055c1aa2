/* op_filter.c: keeps the rows for which a condition is true (not false, not NULL).
 *
 * The output shares every column of the input and has a selection of its own, so a filter costs the
 * evaluation of its condition and two bytes a kept row. A row whose condition cannot be evaluated
 * is rejected. */
#include "operators/op.h"

static int filter_process(struct op *op, struct op_call *call, const struct batch *in,
                          struct batch *out)
{
    const struct filter_params *params = op->params;
    uint16_t *selection = arena_alloc(call->arena, (in->selected_count + 1) * sizeof *selection);
    if (selection == NULL)
        return ERR_NOMEM;
    *out = *in;
    out->selection = selection;
    TRY(expr_filter(params->condition, in, selection, &out->selected_count, call->rejects));
    return OP_DONE;
}

const struct op_type op_filter_type = {
    .name = "filter",
    .size_bytes = sizeof(struct op),
    .process = filter_process,
};
