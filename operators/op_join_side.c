/* op_join_side.c: rows of one side of a join of two streams, where they are read.
 *
 * What the join needs of a row is computed here: its key, its columns, and whether it is in time.
 * A row is late when its event time is below the watermark of its own partition at its own place,
 * and nothing else decides: so the verdict is the same however batches are cut and whatever the
 * other side does. It is also enough. The watermark that lets kept rows go is the least of all
 * partitions of both sides, so it is at or below t when a row comes that was in time at t; the rows
 * that it meets have ends at t or later, and are there.
 *
 * A key that holds NULL equals none. Such a row is left out and counted as unmatched, but for the
 * left side of a left join: it goes on without a key, and comes out alone. */
#include "operators/group_key.h"
#include "operators/join_within.h"
#include "operators/row_table.h"

/* The store's key has a head, and a few bytes of the join's own. */
enum { KEY_MAX_BYTES = ROW_KEY_MAX_BYTES - 64 };

static bool has_null(const struct column *keys, uint32_t count, uint32_t row)
{
    for (uint32_t k = 0; k < count; k++)
        if (column_is_null(&keys[k], row))
            return true;
    return false;
}

/* Between which times the row's partners lie. */
static int add_late(const struct within_side_params *params, struct op_call *call,
                    const struct batch *in, uint32_t row)
{
    const struct within_params *join = params->join;
    bool is_left = params->side == WITHIN_LEFT;
    int64_t time_ms = in->event_time_ms[row];
    return late_add(call,
                    &(struct late_row){
                        .row = row,
                        .window_start_ms = time_ms - (is_left ? join->before_ms : join->after_ms),
                        .window_end_ms = time_ms + (is_left ? join->after_ms : join->before_ms),
                        .lateness_ms = in->watermark_ms[row] - time_ms,
                        .counts = true});
}

/* Whether the row goes on: 1, or 0. */
static int judge(const struct within_side_params *params, struct op_call *call,
                 const struct batch *in, uint32_t row, bool is_null, struct bytes key)
{
    if (is_null && (!params->join->keeps_unmatched || params->side == WITHIN_RIGHT)) {
        call->unmatched_rows++;
        return 0;
    }
    if (key.size > KEY_MAX_BYTES) {
        TRY(reject_add(call->rejects, row, "key_too_long",
                       "the join key takes %zu bytes; the limit is %d", key.size, KEY_MAX_BYTES));
        return 0;
    }
    if (in->event_time_ms[row] < in->watermark_ms[row]) {
        TRY(add_late(params, call, in, row));
        return 0;
    }
    return 1;
}

static int side_process(struct op *op, struct op_call *call, const struct batch *in,
                        struct batch *out)
{
    const struct within_side_params *params = op->params;
    uint32_t first = call->rejects->count, kept = 0, key_count = params->key->count,
             count = params->columns->count;
    struct batch rows = *in;
    struct column *keys = arena_alloc(call->arena, (key_count + 1) * sizeof *keys);
    struct column *columns = arena_alloc(call->arena, (count + 2) * sizeof *columns);
    if (keys == NULL || columns == NULL)
        return ERR_NOMEM;
    for (uint32_t k = 0; k < key_count; k++)
        TRY(expr_eval(params->key->exprs[k], in, &keys[k], call->rejects));
    for (uint32_t c = 0; c < count; c++)
        TRY(expr_eval(params->columns->exprs[c], in, &columns[1 + c], call->rejects));
    TRY(batch_drop_rejected(&rows, call->rejects, first, call->arena));
    struct bytes *encoded =
        arena_alloc(call->arena, ((size_t)rows.selected_count + 1) * sizeof *encoded);
    uint16_t *selection =
        arena_alloc(call->arena, ((size_t)rows.selected_count + 1) * sizeof *selection);
    if (encoded == NULL || selection == NULL)
        return ERR_NOMEM;
    TRY(group_key_encode_batch(&rows, keys, key_count, encoded));
    TRY(column_alloc(&columns[0], COL_BYTEA, in->row_count, true, call->arena));
    for (uint32_t i = 0; i < rows.selected_count; i++) {
        uint32_t row = batch_row(&rows, i);
        bool is_null = has_null(keys, key_count, row);
        int rc = judge(params, call, in, row, is_null, encoded[i]);
        TRY(rc);
        columns[0].text[row] = encoded[i];
        columns[0].nulls[row] = is_null;
        selection[kept] = (uint16_t)row;
        kept += (uint32_t)rc;
    }
    *out = rows;
    out->columns = columns;
    out->column_count = 1 + count;
    out->selection = selection;
    out->selected_count = kept;
    return OP_DONE;
}

const struct op_type op_join_side_type = {
    .name = "join_side",
    .size_bytes = sizeof(struct op),
    .process = side_process,
};
