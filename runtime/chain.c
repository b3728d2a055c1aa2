/* chain.c: pushes batches through operators (see chain.h).
 *
 * process works depth first: what an operator gives is pushed to the next one before the operator
 * is asked for more, so memory is bounded by one batch per step. Only the last operator of a chain
 * may hold rows between calls (groups), so flush and advance concern that one alone.
 *
 * Rows that leave a selection in a filter are counted here: what went in, less what came out, less
 * what was rejected. */
#include <stdlib.h>
#include <string.h>

#include "runtime/chain.h"

int chain_open(struct chain *chain, const struct stage *stage, struct op_env *env,
               struct diag *diag)
{
    arena_init(&chain->arena, 0);
    for (; chain->count < stage->op_count; chain->count++) {
        const struct op_spec *spec = &stage->ops[chain->count];
        TRY(op_create(spec->type, spec->params, env, &chain->ops[chain->count], diag));
    }
    return 0;
}

void chain_close(struct chain *chain)
{
    while (chain->count > 0)
        op_destroy(chain->ops[--chain->count]);
    arena_deinit(&chain->arena);
}

int chain_begin(struct chain *chain, struct diag *diag)
{
    arena_reset(&chain->arena);
    chain->rejects = (struct reject_list){.arena = &chain->arena};
    chain->call.arena = &chain->arena;
    chain->call.rejects = &chain->rejects;
    chain->call.late = NULL;
    chain->call.late_count = chain->call.late_capacity = 0;
    chain->call.diag = diag;
    return 0;
}

/* How many different rows were rejected since `first`: an operator may find more than one thing
 * wrong with a row. */
static int64_t rejected_rows(struct chain *chain, const struct batch *batch, uint32_t first)
{
    if (chain->rejects.count == first)
        return 0;
    int64_t count = 0;
    uint8_t *seen = arena_zalloc(&chain->arena, batch->row_count + 1);
    must(seen != NULL);
    for (uint32_t i = first; i < chain->rejects.count; i++) {
        count += !seen[chain->rejects.items[i].row];
        seen[chain->rejects.items[i].row] = 1;
    }
    return count;
}

static int push_from(struct chain *chain, const struct batch *batch, uint32_t at)
{
    if (batch->selected_count == 0)
        return 0;
    if (at == chain->count)
        return chain->sink(chain->context, batch);
    struct op *op = chain->ops[at];
    int64_t left = batch->selected_count;
    for (;;) {
        struct batch out = {0};
        uint32_t rejected = chain->rejects.count;
        int rc = op->type->process(op, &chain->call, batch, &out);
        if (rc < 0)
            return rc;
        left -= (int64_t)out.selected_count + rejected_rows(chain, batch, rejected);
        TRY(push_from(chain, &out, at + 1));
        if (rc == OP_DONE)
            break;
    }
    if (!op_is_group(op))
        chain->filtered_rows += left;
    return 0;
}

int chain_push(struct chain *chain, const struct batch *batch)
{
    return push_from(chain, batch, 0);
}

static int deliver(struct chain *chain, const struct batch *out)
{
    for (uint32_t i = 0; i < chain->rejects.count; i++)
        TRY(chain->reject(chain->context, out, &chain->rejects.items[i]));
    return out->selected_count > 0 ? chain->sink(chain->context, out) : 0;
}

int chain_flush(struct chain *chain, struct diag *diag)
{
    struct op *op = chain_group(chain);
    int rc = OP_MORE;
    while (op != NULL && rc == OP_MORE) {
        struct batch out = {0};
        TRY(chain_begin(chain, diag));
        rc = op->type->flush(op, &chain->call, &out);
        if (rc < 0)
            return rc;
        TRY(deliver(chain, &out));
    }
    return 0;
}

int chain_advance(struct chain *chain, int64_t watermark_ms, struct diag *diag)
{
    struct op *op = chain_group(chain);
    int rc = OP_MORE;
    if (op == NULL || op->type->advance == NULL)
        return OP_DONE;
    while (rc == OP_MORE) {
        struct batch out = {0};
        TRY(chain_begin(chain, diag));
        rc = op->type->advance(op, &chain->call, watermark_ms, &out);
        if (rc < 0)
            return rc;
        TRY(deliver(chain, &out));
    }
    return rc;
}

struct op *chain_group(const struct chain *chain)
{
    return chain->count > 0 && op_is_group(chain->ops[chain->count - 1])
               ? chain->ops[chain->count - 1]
               : NULL;
}
