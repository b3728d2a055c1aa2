/* chain.c: pushes batches through operators (see chain.h).
 *
 * process works depth first: what an operator gives is pushed to the next one before the operator
 * is asked for more, so memory is bounded by one batch per step. Between calls the last operator of
 * a chain may hold groups, and any of the others rows over the task's store (row_table.h). A commit
 * asks those on rows first, in their order: what time does to what they keep is saved with what the
 * rows did. Then the groups.
 *
 * Rows that leave a selection in a filter are counted here: what went in, and what was made of it,
 * less what came out, less what was rejected. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/chain.h"

int chain_open(struct chain *chain, const struct op_spec *ops, uint32_t count, struct op_env *env,
               struct diag *diag)
{
    arena_init(&chain->arena, 0);
    for (; chain->count < count; chain->count++) {
        const struct op_spec *spec = &ops[chain->count];
        TRY(op_create(spec->type, spec->params, env, &chain->ops[chain->count], diag));
        chain->keeps_rows |= spec->type->save != NULL;
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

const char *chain_element(struct chain *chain, const struct row_origin *origin)
{
    char text[256];
    size_t at = sizeof text - 1;
    text[at] = '\0';
    for (; origin != NULL && at > 16; origin = origin->outer) {
        char number[16];
        int size = snprintf(number, sizeof number, text[at] != '\0' ? "%u." : "%u",
                            (unsigned)origin->element);
        at -= (size_t)size;
        memcpy(text + at, number, (size_t)size);
    }
    return arena_text(&chain->arena, text + at);
}

/* Whose verdict they are. */
static void sign_rejects(struct chain *chain, uint32_t first, uint32_t step)
{
    for (uint32_t i = first; i < chain->rejects.count; i++)
        chain->rejects.items[i].step = step;
}

/* What happened to made rows since `rejected` and `late` is told by the row of the task's input
 * that they came from. Of several things that are wrong with one, the first counts. */
static int settle_made(struct chain *chain, const struct batch *batch, uint32_t rejected,
                       uint32_t late)
{
    struct reject_list *rejects = &chain->rejects;
    struct op_call *call = &chain->call;
    if (batch->made_from == NULL || (rejects->count == rejected && call->late_count == late))
        return 0;
    uint8_t *seen = arena_zalloc(&chain->arena, batch->row_count + 1);
    if (seen == NULL)
        return ERR_NOMEM;
    uint32_t kept = rejected;
    for (uint32_t i = rejected; i < rejects->count; i++) {
        struct reject *reject = &rejects->items[i];
        if (seen[reject->row]++)
            continue;
        const struct row_origin *origin = &batch->made_from[reject->row];
        reject->element = chain_element(chain, origin);
        reject->row = origin->row;
        if (reject->element == NULL)
            return ERR_NOMEM;
        rejects->items[kept++] = *reject;
    }
    rejects->count = kept;
    for (uint32_t i = late; i < call->late_count; i++) {
        const struct row_origin *origin = &batch->made_from[call->late[i].row];
        call->late[i].element = chain_element(chain, origin);
        call->late[i].row = origin->row;
        if (call->late[i].element == NULL)
            return ERR_NOMEM;
    }
    return 0;
}

static int push_to_sink(struct chain *chain, const struct batch *batch)
{
    uint32_t rejected = chain->rejects.count;
    TRY(chain->sink(chain->context, batch));
    sign_rejects(chain, rejected, chain->count + 1);
    return settle_made(chain, batch, rejected, chain->call.late_count);
}

/* Rows that left for a reason of their own, which the operator has counted. */
static uint64_t rows_told(const struct op_call *call)
{
    return call->unmatched_rows + call->duplicate_rows;
}

/* What an operator made of rows that it keeps has no record of its own: what is wrong with a result
 * is told with the result. Nothing is left in the arena that anybody needs. */
static int settle_results(struct chain *chain, const struct batch *batch)
{
    if (chain->rejects.count > 0) {
        uint8_t *seen = arena_zalloc(&chain->arena, batch->row_count + 1);
        if (seen == NULL)
            return ERR_NOMEM;
        for (uint32_t i = 0; i < chain->rejects.count; i++)
            if (!seen[chain->rejects.items[i].row]++)
                TRY(chain->reject(chain->context, batch, &chain->rejects.items[i]));
    }
    return chain_begin(chain, chain->call.diag);
}

static int push_from(struct chain *chain, const struct batch *batch, uint32_t at)
{
    if (batch->selected_count == 0 && !batch->is_table)
        return 0;
    if (at == chain->count)
        return push_to_sink(chain, batch);
    struct op *op = chain->ops[at];
    int64_t left = batch->selected_count;
    for (;;) {
        struct batch out = {0};
        uint32_t rejected = chain->rejects.count, late = chain->call.late_count;
        uint64_t made = chain->call.made_rows, gone = rows_told(&chain->call);
        int rc = op->type->process(op, &chain->call, batch, &out);
        if (rc < 0)
            return rc;
        sign_rejects(chain, rejected, at + 1);
        left += (int64_t)(chain->call.made_rows - made);
        left -= (int64_t)(rows_told(&chain->call) - gone) + (chain->call.late_count - late);
        left -= (int64_t)out.selected_count + rejected_rows(chain, batch, rejected);
        TRY(settle_made(chain, batch, rejected, late));
        TRY(push_from(chain, &out, at + 1));
        if (__builtin_expect(op->type->gives_results, 0))
            TRY(settle_results(chain, &out));
        if (rc == OP_DONE)
            break;
    }
    if (!op_is_group(op) && !op->type->gives_changes)
        chain->filtered_rows += left;
    return 0;
}

int chain_push(struct chain *chain, const struct batch *batch)
{
    return push_from(chain, batch, chain->first);
}

static int deliver(struct chain *chain, const struct batch *out)
{
    for (uint32_t i = 0; i < chain->rejects.count; i++)
        TRY(chain->reject(chain->context, out, &chain->rejects.items[i]));
    return out->selected_count > 0 ? chain->sink(chain->context, out) : 0;
}

static int advance_op(struct chain *chain, uint32_t at, int64_t watermark_ms, struct diag *diag)
{
    struct op *op = chain->ops[at];
    int rc = OP_MORE;
    while (rc == OP_MORE) {
        struct batch out = {0};
        TRY(chain_begin(chain, diag));
        rc = op->type->advance(op, &chain->call, watermark_ms, &out);
        TRY(rc);
        must(op->type->gives_results || (rc != OP_MORE && out.selected_count == 0));
        TRY(push_from(chain, &out, at + 1));
        if (op->type->gives_results)
            TRY(settle_results(chain, &out));
    }
    return rc;
}

/* 1: some operator is not done. */
static int advance_rows(struct chain *chain, int64_t watermark_ms, struct diag *diag)
{
    int again = 0;
    for (uint32_t i = 0; i < chain->count; i++) {
        struct op *op = chain->ops[i];
        if (op_is_group(op) || op->type->advance == NULL)
            continue;
        int rc = advance_op(chain, i, watermark_ms, diag);
        TRY(rc);
        again |= rc == OP_AGAIN;
    }
    return again;
}

static int save_rows(struct chain *chain, int64_t commit_number, struct diag *diag)
{
    for (uint32_t i = 0; i < chain->count; i++)
        if (chain->ops[i]->type->save != NULL)
            TRY(chain->ops[i]->type->save(chain->ops[i], commit_number, diag));
    return 0;
}

static int flush_group(struct chain *chain, struct op *op, struct diag *diag)
{
    int rc = OP_MORE;
    while (rc == OP_MORE) {
        struct batch out = {0};
        TRY(chain_begin(chain, diag));
        rc = op->type->flush(op, &chain->call, &out);
        if (rc < 0)
            return rc;
        TRY(deliver(chain, &out));
    }
    return 0;
}

static int advance_group(struct chain *chain, struct op *op, int64_t watermark_ms,
                         struct diag *diag)
{
    int rc = op->type->advance != NULL ? OP_MORE : OP_DONE;
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

int chain_commit(struct chain *chain, int64_t commit_number, int64_t watermark_ms,
                 struct diag *diag)
{
    struct op *group = chain_group(chain);
    int again = 0;
    if (chain->keeps_rows) { /* what time does to them is of this commit */
        again = advance_rows(chain, watermark_ms, diag);
        TRY(again);
        TRY(save_rows(chain, commit_number, diag));
    }
    if (group == NULL)
        return again ? OP_AGAIN : OP_DONE;
    op_group_commit_number(group, commit_number);
    TRY(flush_group(chain, group, diag));
    int rc = advance_group(chain, group, watermark_ms, diag);
    return rc == OP_DONE && again ? OP_AGAIN : rc;
}

struct op *chain_group(const struct chain *chain)
{
    return chain->count > 0 && op_is_group(chain->ops[chain->count - 1])
               ? chain->ops[chain->count - 1]
               : NULL;
}

/* ---- memory ---- */

static size_t op_held(const struct op *op, size_t *entries)
{
    *entries = 0;
    if (op->type->held != NULL)
        return op->type->held(op, entries);
    if (!op_is_group(op) || !op_group_is_stored(op))
        return 0;
    *entries = op_group_entries(op);
    return op_group_bytes(op);
}

size_t chain_held(const struct chain *chain, size_t *entries)
{
    const struct op *group = chain_group(chain);
    size_t bytes = 0, more;
    *entries = 0;
    if (__builtin_expect(!chain->keeps_rows, 1))
        return group != NULL ? op_held(group, entries) : 0;
    for (uint32_t i = 0; i < chain->count; i++) {
        bytes += op_held(chain->ops[i], &more);
        *entries += more;
    }
    return bytes;
}

/* Of an emptied table nothing: the memory that it keeps for reuse is no reason to commit, and no
 * commit makes it less. */
size_t chain_partial_bytes(const struct chain *chain)
{
    const struct op *group = chain_group(chain);
    return group != NULL && !op_group_is_stored(group) && op_group_entries(group) > 0
               ? op_group_bytes(group)
               : 0;
}

/* Each gives back in proportion to what it holds. */
void chain_evict(struct chain *chain, int64_t stored_commit, size_t target_bytes)
{
    size_t entries, held = chain_held(chain, &entries);
    for (uint32_t i = 0; i < chain->count; i++) {
        struct op *op = chain->ops[i];
        size_t bytes = op_held(op, &entries), target = target_bytes;
        if (bytes == 0)
            continue;
        if (bytes < held && target_bytes != SIZE_MAX)
            target = (size_t)((double)target_bytes * (double)bytes / (double)held);
        if (op->type->evict != NULL)
            op->type->evict(op, stored_commit, target);
        else if (target != SIZE_MAX)
            op_group_evict(op, stored_commit, target);
    }
}
