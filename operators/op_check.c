/* op_check.c: rejects the rows for which a condition is false, under a class of the user's choice.
 *
 * As for a SQL CHECK constraint, NULL passes. Rows that pass go on unchanged, with the input's
 * columns shared. A row whose condition cannot be evaluated is rejected under the class of that
 * failure. */
#include "operators/op.h"

static bool condition_is_false(const struct column *value, uint32_t row)
{
    if (column_is_null(value, row))
        return false;
    row = column_at(value, row);
    return value->type == COL_VARIANT ? value->variant[row].kind == VARIANT_FALSE
                                      : !value->boolean[row];
}

static int check_process(struct op *op, struct op_call *call, const struct batch *in,
                         struct batch *out)
{
    const struct filter_params *params = op->params;
    uint32_t first = call->rejects->count;
    *out = *in;
    struct column value;
    TRY(expr_eval(params->condition, in, &value, call->rejects));
    TRY(batch_drop_rejected(out, call->rejects, first, call->arena));
    first = call->rejects->count;
    for (uint32_t i = 0; i < out->selected_count; i++) {
        uint32_t row = batch_row(out, i);
        if (condition_is_false(&value, row))
            TRY(reject_add(call->rejects, row, params->error_class, "the row violates CHECK (%s)",
                           params->text));
    }
    TRY(batch_drop_rejected(out, call->rejects, first, call->arena));
    return OP_DONE;
}

const struct op_type op_check_type = {
    .name = "check",
    .size_bytes = sizeof(struct op),
    .process = check_process,
};
