/* op_filter_fn.c: keeps the rows for which a user's function answers 1.
 *
 * As filter, it shares every column of its input and writes a selection. A row that the function
 * refuses is rejected. */
#include "operators/function.h"

static int filter_fn_process(struct op *op, struct op_call *call, const struct batch *in,
                             struct batch *out)
{
    const struct function_params *params = op->params;
    struct function_call function = {.op = call, .params = params};
    struct function_arguments arguments;
    TRY(function_arguments_eval(params, call, in, out, &arguments));
    uint16_t *kept = arena_alloc(call->arena, (out->selected_count + 1) * sizeof *kept);
    uint32_t count = 0;
    if (kept == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < out->selected_count; i++) {
        uint32_t row = batch_row(out, i);
        int answer = function_invoke(&function, &arguments, in, row, NULL);
        if (answer == ERR_NOMEM)
            return answer;
        if (answer > 0)
            kept[count++] = (uint16_t)row;
    }
    out->selection = kept;
    out->selected_count = count;
    return OP_DONE;
}

const struct op_type op_filter_fn_type = {
    .name = "filter_fn",
    .size_bytes = sizeof(struct op),
    .process = filter_fn_process,
};
