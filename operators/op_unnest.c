/* op_unnest.c: one row for each element of a JSON array.
 *
 * The element becomes a column beside those of the row it came from, as an uncast JSON value. A
 * row whose array is missing, null or empty gives nothing: it is filtered. What is there and is not
 * an array is rejected ("unnest_not_array"). Accounts stay closed because each further row is
 * counted as made (made_rows.h).
 *
 * An array may have more elements than a batch has rows: where it stopped is kept in the instance
 * between two calls with the same input, beside the evaluated arrays, which lie in the batch's
 * arena. The JSON in a column has been checked by whoever put it there; should it turn out broken
 * after some elements, that is one more row, and it is rejected. */
#include "operators/expr_internal.h"
#include "operators/json_value.h"
#include "operators/made_rows.h"

struct unnest_op {
    struct op op;
    bool is_started; /* with the input of the last call */
    struct column arrays;
    struct batch kept; /* the input without rows whose array could not be computed */
    uint32_t next;     /* of kept's selected rows */
    bool is_inside;    /* the elements of row `next` are being given out */
    struct json_elements elements;
    uint32_t element;
};

static int start(struct unnest_op *unnest, struct op_call *call, const struct batch *in)
{
    const struct unnest_params *params = unnest->op.params;
    uint32_t first = call->rejects->count;
    unnest->kept = *in;
    unnest->next = 0;
    unnest->is_inside = false;
    TRY(expr_eval(params->array, in, &unnest->arrays, call->rejects));
    return batch_drop_rejected(&unnest->kept, call->rejects, first, call->arena);
}

/* Begins with the array of a row. 0: it has none. */
static int enter(struct unnest_op *unnest, struct op_call *call, uint32_t row)
{
    const struct column *arrays = &unnest->arrays;
    const struct variant *value = &arrays->variant[column_at(arrays, row)];
    char what[80];
    if (value->kind == VARIANT_NULL)
        return 0;
    unnest->element = 0;
    unnest->is_inside =
        value->kind == VARIANT_JSON &&
        json_elements_begin(&unnest->elements, bytes_of(value->data, value->size)) == 0;
    if (unnest->is_inside)
        return 1;
    return reject_add(call->rejects, row, "unnest_not_array", "unnest takes an array, not %s",
                      variant_describe(value, what));
}

/* Takes elements of the row until it, or the batch, has no more. */
static int take_elements(struct unnest_op *unnest, struct op_call *call, uint32_t row,
                         struct made_rows *made, struct column *values)
{
    while (!made_rows_is_full(made)) {
        struct bytes text;
        int rc = json_elements_next(&unnest->elements, &text);
        if (rc > 0)
            rc = json_value_read(text, call->arena, &values->variant[made->count]) < 0 ? ERR_INVALID
                                                                                       : 1;
        if (rc > 0) {
            made_rows_add(made, row, unnest->element++);
            continue;
        }
        if (rc < 0) {
            unnest->element++;
            TRY(reject_add(call->rejects, row, "json_malformed",
                           "an element of the array is not JSON"));
        }
        made_rows_account(call, unnest->element);
        unnest->is_inside = false;
        return 0;
    }
    return 0;
}

static int give(const struct unnest_op *unnest, struct op_call *call, const struct made_rows *made,
                const struct column *values, struct batch *out)
{
    const struct unnest_params *params = unnest->op.params;
    const struct batch *in = &unnest->kept;
    uint32_t count = in->column_count > params->column ? in->column_count : params->column + 1;
    TRY(made_rows_batch(made, in, count, call->arena, out));
    for (uint32_t i = 0; i < in->column_count; i++)
        if (i != params->column)
            TRY(column_gather(&in->columns[i], made->rows, made->count, call->arena,
                              &out->columns[i]));
    out->columns[params->column] = *values;
    return 0;
}

static int unnest_process(struct op *op, struct op_call *call, const struct batch *in,
                          struct batch *out)
{
    struct unnest_op *unnest = (struct unnest_op *)op;
    struct made_rows made;
    struct column values;
    if (!unnest->is_started)
        TRY(start(unnest, call, in));
    unnest->is_started = false; /* an error ends the input */
    TRY(made_rows_init(&made, call->arena));
    TRY(column_alloc(&values, COL_VARIANT, BATCH_ROWS, false, call->arena));
    while (unnest->next < unnest->kept.selected_count && !made_rows_is_full(&made)) {
        uint32_t row = batch_row(&unnest->kept, unnest->next);
        if (!unnest->is_inside)
            TRY(enter(unnest, call, row));
        if (unnest->is_inside)
            TRY(take_elements(unnest, call, row, &made, &values));
        unnest->next += !unnest->is_inside;
    }
    TRY(give(unnest, call, &made, &values, out));
    unnest->is_started = unnest->next < unnest->kept.selected_count;
    return unnest->is_started ? OP_MORE : OP_DONE;
}

const struct op_type op_unnest_type = {
    .name = "unnest",
    .size_bytes = sizeof(struct unnest_op),
    .process = unnest_process,
};
