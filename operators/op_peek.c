/* op_peek.c: shows each row to a user's function and passes the batch on as it is.
 *
 * The function sees what is processed, not what is committed: a row that is read again after a
 * crash is shown again. It cannot fail. A row whose arguments cannot be computed is not shown, and
 * goes on: looking changes nothing, so the rejects of the arguments are taken back. */
#include "operators/function.h"

static int peek_process(struct op *op, struct op_call *call, const struct batch *in,
                        struct batch *out)
{
    const struct function_params *params = op->params;
    struct function_call function = {.op = call, .params = params};
    struct function_arguments arguments;
    struct batch shown;
    uint32_t first = call->rejects->count;
    TRY(function_arguments_eval(params, call, in, &shown, &arguments));
    call->rejects->count = first;
    for (uint32_t i = 0; i < shown.selected_count; i++)
        if (function_invoke(&function, &arguments, in, batch_row(&shown, i), NULL) == ERR_NOMEM)
            return ERR_NOMEM;
    call->rejects->count = first;
    *out = *in;
    return OP_DONE;
}

const struct op_type op_peek_type = {
    .name = "peek",
    .size_bytes = sizeof(struct op),
    .process = peek_process,
};
