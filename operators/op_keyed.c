/* op_keyed.c: where a stream of rows becomes a table: from here on there is one row for each key.
 *
 * The operator passes rows on as they are and remembers, for whoever keeps the table, which came by
 * and what their keys are. Rows that do not come out at the end of the chain were left out by a
 * condition on the table: their keys have no row any more. Those that were rejected behind it
 * changed nothing. A key with a NULL in it is no key: the row is a dead letter. */
#include "operators/group_key.h"
#include "operators/join.h"

struct keyed_op {
    struct op op;
    struct batch passed; /* of the last batch, in the call's arena */
    struct bytes *keys;  /* of its selected rows */
};

static int reject_nulls(const struct keyed_params *params, struct op_call *call,
                        const struct batch *in, const struct column *columns)
{
    for (uint32_t k = 0; k < params->key->count; k++)
        for (uint32_t i = 0; i < in->selected_count; i++)
            if (column_is_null(&columns[k], batch_row(in, i)))
                TRY(reject_add(call->rejects, batch_row(in, i), "primary_key",
                               "column \"%s\" of the key is null", params->key->names[k]));
    return 0;
}

static int keyed_process(struct op *op, struct op_call *call, const struct batch *in,
                         struct batch *out)
{
    struct keyed_op *keyed = (struct keyed_op *)op;
    const struct keyed_params *params = op->params;
    uint32_t first = call->rejects->count;
    struct column *columns = arena_alloc(call->arena, (params->key->count + 1) * sizeof *columns);
    if (columns == NULL)
        return ERR_NOMEM;
    *out = *in;
    for (uint32_t k = 0; k < params->key->count; k++)
        TRY(expr_eval(params->key->exprs[k], in, &columns[k], call->rejects));
    TRY(batch_drop_rejected(out, call->rejects, first, call->arena));
    first = call->rejects->count;
    TRY(reject_nulls(params, call, out, columns));
    TRY(batch_drop_rejected(out, call->rejects, first, call->arena));
    keyed->keys = arena_alloc(call->arena, ((size_t)out->selected_count + 1) * sizeof *keyed->keys);
    if (keyed->keys == NULL)
        return ERR_NOMEM;
    keyed->passed = *out;
    return group_key_encode_batch(out, columns, params->key->count, keyed->keys);
}

const struct batch *keyed_rows(const struct op *op, const struct bytes **keys)
{
    const struct keyed_op *keyed = (const struct keyed_op *)op;
    *keys = keyed->keys;
    return &keyed->passed;
}

void keyed_begin(struct op *op)
{
    struct keyed_op *keyed = (struct keyed_op *)op;
    keyed->passed = (struct batch){0};
    keyed->keys = NULL;
}

const struct op_type op_keyed_type = {
    .name = "keyed",
    .size_bytes = sizeof(struct keyed_op),
    .process = keyed_process,
};
