/* op_map_fn.c: new columns from a user's function.
 *
 * One row in, one row out: selection, event times and provenance stay those of the input, so
 * lateness and dead letters still know the source row. Each value that the function gives is
 * checked against the declared column before anything behind it sees it. */
#include "operators/function.h"

#include <stdio.h>

/* Puts a row's results into the columns. ERR_INVALID: one did not fit and the row was rejected. */
static int put_results(struct function_call *function, struct column *columns, uint32_t row,
                       const struct value *results)
{
    const struct column_list *list = function->params->results;
    for (uint32_t i = 0; i < list->count; i++) {
        const char *problem = NULL;
        int rc = value_put(&results[i], &columns[i], row, function->op->arena, &problem);
        if (rc == ERR_INVALID) {
            snprintf(function->message, sizeof function->message, "%s: %s", list->names[i],
                     problem);
            rc = function_reject(function, row);
        }
        TRY(rc);
    }
    return 0;
}

static int map_fn_process(struct op *op, struct op_call *call, const struct batch *in,
                          struct batch *out)
{
    const struct function_params *params = op->params;
    struct function_call function = {.op = call, .params = params};
    struct function_arguments arguments;
    struct column *columns;
    TRY(function_arguments_eval(params, call, in, out, &arguments));
    TRY(function_columns_alloc(params->results, in->row_count, call->arena, &columns));
    size_t size = (params->results->count + 1) * sizeof(struct value);
    struct value *results = arena_alloc(call->arena, size);
    if (results == NULL)
        return ERR_NOMEM;
    uint32_t first = call->rejects->count;
    for (uint32_t i = 0; i < out->selected_count; i++) {
        uint32_t row = batch_row(out, i);
        memset(results, 0, size);
        int rc = function_invoke(&function, &arguments, in, row, results);
        if (rc >= 0)
            rc = put_results(&function, columns, row, results);
        if (rc == ERR_NOMEM)
            return rc;
    }
    TRY(batch_drop_rejected(out, call->rejects, first, call->arena));
    out->columns = columns;
    out->column_count = params->results->count;
    return OP_DONE;
}

const struct op_type op_map_fn_type = {
    .name = "map_fn",
    .size_bytes = sizeof(struct op),
    .process = map_fn_process,
};
