/* group_hopping.c: groups over hopping windows.
 *
 * A row lies in size / hop windows. Adding it to each of them would cost that many probes a row.
 * Rows are aggregated by run instead, that is by the set of windows that takes them (window.h): one
 * probe and one update a row, as for tumbling windows, whatever the number of windows. Runs become
 * windows once per commit (where the source is partitioned by the group) or on the far side of the
 * re-keying, whose topic gets one partial per group and run and not one per window: there each run's
 * accumulators are merged into every window of the run. So a hundred rows of a group in one hop cost
 * a hundred updates and size / hop merges.
 *
 * What is kept (table, changelog, store) is one entry per window and group. Keeping only panes, and
 * merging size / hop of them whenever a window's result is asked for, would keep less; but which
 * windows had closed when a row came differs from row to row, so panes could not tell what each
 * window holds, and each changed pane changes size / hop results, each of which would read as many
 * panes: docs/decisions/hopping-windows-by-run.md has the figures. */
#include "operators/grouping.h"

/* Partials on their way into windows: a batch that is filled, merged and filled again. */
struct expanded {
    struct column columns[3];
    struct batch batch;
};

static int expanded_init(struct expanded *e, struct arena *arena)
{
    TRY(column_alloc(&e->columns[0], COL_TEXT, BATCH_ROWS, false, arena));
    TRY(column_alloc(&e->columns[1], COL_BIGINT, BATCH_ROWS, false, arena));
    TRY(column_alloc(&e->columns[2], COL_TEXT, BATCH_ROWS, false, arena));
    e->batch = (struct batch){.columns = e->columns, .column_count = 3, .arena = arena};
    return 0;
}

static int merge_expanded(struct group_op *group, struct op_call *call, struct expanded *e)
{
    e->batch.selected_count = e->batch.row_count;
    if (e->batch.row_count > 0)
        TRY(group_merge_windows(group, call, &e->batch));
    e->batch.row_count = 0;
    return 0;
}

static int merge_runs(struct group_op *group, struct op_call *call, uint32_t n,
                      const int64_t *numbers, const struct bytes *keys, const struct bytes *encoded)
{
    const struct group_params *params = group->op.params;
    struct expanded e;
    TRY(expanded_init(&e, call->arena));
    for (uint32_t i = 0; i < n; i++) {
        struct window_run run;
        if (!window_run_unpack(&params->window, numbers[i], &run))
            return diag_set(call->diag, ERR_CORRUPT,
                            "a partial aggregate is for windows that do not exist: %lld",
                            (long long)numbers[i]);
        for (uint32_t w = 0; w < run.count; w++) {
            if (e.batch.row_count == BATCH_ROWS)
                TRY(merge_expanded(group, call, &e));
            uint32_t at = e.batch.row_count++;
            e.columns[0].text[at] = keys[i];
            e.columns[1].i64[at] = run.newest_ms - (int64_t)w * params->window.hop_ms;
            e.columns[2].text[at] = encoded[i];
        }
    }
    return merge_expanded(group, call, &e);
}

int group_merge_runs(struct group_op *group, struct op_call *call, const struct batch *in)
{
    must(in->column_count == 3 && in->selection == NULL);
    return merge_runs(group, call, in->selected_count, in->columns[1].i64, in->columns[0].text,
                      in->columns[2].text);
}

int group_fold_runs(struct group_op *group, struct op_call *call)
{
    const struct group_params *params = group->op.params;
    uint32_t room = BATCH_ROWS / params->window.per_row + 1;
    struct agg_entry **entries = arena_alloc(call->arena, room * sizeof *entries);
    int64_t *numbers = arena_alloc(call->arena, room * sizeof *numbers);
    struct bytes *keys = arena_alloc(call->arena, room * sizeof *keys);
    struct bytes *encoded = arena_alloc(call->arena, room * sizeof *encoded);
    if (entries == NULL || numbers == NULL || keys == NULL || encoded == NULL)
        return ERR_NOMEM;
    uint32_t n = agg_table_take_dirty(group->runs, entries, room);
    if (n == 0) {
        agg_table_clear(group->runs);
        return OP_DONE;
    }
    for (uint32_t i = 0; i < n; i++) {
        group_encode_entry(group, entries[i]);
        numbers[i] = entries[i]->window_start_ms;
        keys[i] = agg_entry_key(entries[i]);
        encoded[i] = arena_copy(call->arena, bytes_of(group->encoded.data, group->encoded.size));
        if (!buf_ok(&group->encoded) || encoded[i].data == NULL)
            return ERR_NOMEM;
    }
    TRY(merge_runs(group, call, n, numbers, keys, encoded));
    return OP_MORE;
}
