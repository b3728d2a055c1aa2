/* op_flat_map_fn.c: any number of new rows from a user's function for each row.
 *
 * The function gives rows one by one (function_give); they count only when it ends well, so that a
 * row that it refuses half way is one dead letter and no rows. A row for which it gives none is
 * filtered. As in unnest, the place in the input, and in the rows given for one, is kept in the
 * instance between two calls with the same input. */
#include "operators/function.h"
#include "operators/made_rows.h"

struct flat_map_fn_op {
    struct op op;
    bool is_started;
    struct function_call function;
    struct function_arguments arguments;
    struct batch kept;
    uint32_t next;  /* of kept's selected rows */
    bool is_inside; /* rows that were given for it are being given out */
    uint32_t given_next;
};

static int start(struct flat_map_fn_op *flat, struct op_call *call, const struct batch *in)
{
    flat->function = (struct function_call){.params = flat->op.params};
    flat->next = 0;
    flat->is_inside = false;
    return function_arguments_eval(flat->op.params, call, in, &flat->kept, &flat->arguments);
}

/* Calls the function for the next row. */
static int enter(struct flat_map_fn_op *flat, uint32_t row)
{
    int answer = function_invoke(&flat->function, &flat->arguments, &flat->kept, row, NULL);
    if (answer == ERR_NOMEM)
        return answer;
    flat->given_next = 0;
    flat->is_inside = answer >= 0 && flat->function.given_count > 0;
    return 0;
}

static void take_given(struct flat_map_fn_op *flat, struct op_call *call, uint32_t row,
                       struct made_rows *made, struct column *columns)
{
    const struct function_call *function = &flat->function;
    const struct column_list *list = function->params->results;
    uint32_t count = function->given_count - flat->given_next;
    if (count > BATCH_ROWS - made->count)
        count = BATCH_ROWS - made->count;
    for (uint32_t c = 0; c < list->count; c++) {
        size_t size = col_type_bytes(list->types[c]);
        memcpy((uint8_t *)columns[c].data + made->count * size,
               (const uint8_t *)function->given[c].data + flat->given_next * size, count * size);
        if (columns[c].nulls != NULL)
            memcpy(columns[c].nulls + made->count, function->given[c].nulls + flat->given_next,
                   count);
    }
    for (uint32_t i = 0; i < count; i++)
        made_rows_add(made, row, flat->given_next++);
    if (flat->given_next == function->given_count) {
        made_rows_account(call, function->given_count);
        flat->is_inside = false;
    }
}

static int flat_map_fn_process(struct op *op, struct op_call *call, const struct batch *in,
                               struct batch *out)
{
    struct flat_map_fn_op *flat = (struct flat_map_fn_op *)op;
    const struct function_params *params = op->params;
    struct made_rows made;
    struct column *columns;
    if (!flat->is_started)
        TRY(start(flat, call, in));
    flat->is_started = false; /* an error ends the input */
    flat->function.op = call;
    TRY(made_rows_init(&made, call->arena));
    TRY(function_columns_alloc(params->results, BATCH_ROWS, call->arena, &columns));
    while (flat->next < flat->kept.selected_count && !made_rows_is_full(&made)) {
        uint32_t row = batch_row(&flat->kept, flat->next);
        if (!flat->is_inside)
            TRY(enter(flat, row));
        if (flat->is_inside)
            take_given(flat, call, row, &made, columns);
        flat->next += !flat->is_inside;
    }
    TRY(made_rows_batch(&made, &flat->kept, params->results->count, call->arena, out));
    if (params->results->count > 0)
        memcpy(out->columns, columns, params->results->count * sizeof *columns);
    flat->is_started = flat->next < flat->kept.selected_count;
    return flat->is_started ? OP_MORE : OP_DONE;
}

const struct op_type op_flat_map_fn_type = {
    .name = "flat_map_fn",
    .size_bytes = sizeof(struct flat_map_fn_op),
    .process = flat_map_fn_process,
};
