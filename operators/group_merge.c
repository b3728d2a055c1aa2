/* group_merge.c: partials → accumulators: what has crossed a re-keying.
 *
 * A partial is a group's accumulators since the last commit of the task that sent it, or a pair of a
 * group and a value (distinct.h). Both are records of one batch, in the order in which they were
 * written. The groups of all are found first, those of pairs too, so that each is in the table, and
 * is written again, whatever comes to it. Hopping windows have runs instead: group_hopping.c. */
#include "operators/distinct.h"
#include "operators/grouping.h"

/* Sorts partials into groups and pairs: keys[i] becomes the group's part of each, pairs[] lists the
 * partials that are pairs. */
static int list_partials(const struct batch *in, struct bytes *keys, uint32_t *pairs,
                         uint32_t *pair_count, struct diag *diag)
{
    *pair_count = 0;
    for (uint32_t i = 0; i < in->selected_count; i++) {
        size_t group_bytes;
        keys[i] = in->columns[0].text[i];
        if (!group_value_is_pair(in->columns[2].text[i], &group_bytes))
            continue;
        if (group_bytes > keys[i].size)
            return diag_set(diag, ERR_CORRUPT, "a partial aggregate does not decode");
        keys[i].size = group_bytes;
        pairs[(*pair_count)++] = i;
    }
    return 0;
}

static int merge_pairs(struct group_op *group, struct op_call *call, const struct batch *in,
                       const uint32_t *pairs, uint32_t n, struct agg_entry *const *entries)
{
    const struct group_params *params = group->op.params;
    struct arena *arena = call->arena;
    int64_t *starts = arena_alloc(arena, n * sizeof *starts);
    struct bytes *keys = arena_alloc(arena, n * sizeof *keys);
    struct bytes *values = arena_alloc(arena, n * sizeof *values);
    struct agg_entry **groups = arena_alloc(arena, n * sizeof *groups);
    if (starts == NULL || keys == NULL || values == NULL || groups == NULL)
        return ERR_NOMEM;
    for (uint32_t k = 0; k < n; k++) {
        uint32_t i = pairs[k];
        starts[k] = in->columns[1].i64[i];
        keys[k] = in->columns[0].text[i];
        values[k] = in->columns[2].text[i];
        groups[k] = entries[i];
    }
    return distinct_merge(group, call, n, params->window.kind != WINDOW_ABSENT ? starts : NULL,
                          keys, values, groups);
}

int group_merge_windows(struct group_op *group, struct op_call *call, const struct batch *in)
{
    const struct group_params *params = group->op.params;
    uint32_t n = in->selected_count;
    struct agg_entry **entries = arena_alloc(call->arena, (n + 1) * sizeof *entries);
    struct bytes *keys = in->columns[0].text;
    uint32_t *pairs = NULL, pair_count = 0;
    void **rows = arena_alloc(call->arena, (n + 1) * sizeof *rows);
    if (entries == NULL || rows == NULL)
        return ERR_NOMEM;
    must(in->column_count == 3 && in->selection == NULL);
    const int64_t *starts = in->columns[1].i64;
    if (params->window.kind != WINDOW_ABSENT)
        for (uint32_t i = 0; i < n; i++)
            if (starts[i] < group->closed_before_ms)
                return diag_set(call->diag, ERR_STATE,
                                "a partial for the window that starts at %lld arrived after the "
                                "window was closed",
                                (long long)starts[i]);
    if (agg_plan_has_values(params->plan)) {
        keys = arena_alloc(call->arena, (n + 1) * sizeof *keys);
        pairs = arena_alloc(call->arena, (n + 1) * sizeof *pairs);
        if (keys == NULL || pairs == NULL)
            return ERR_NOMEM;
        TRY(list_partials(in, keys, pairs, &pair_count, call->diag));
    }
    TRY(agg_table_probe(group->table, n, params->window.kind != WINDOW_ABSENT ? starts : NULL, keys,
                        entries));
    TRY(group_load_entries(group, entries, n, call->diag));
    TRY(group_mark_entries(group->table, entries, n, rows));
    for (uint32_t i = 0, next_pair = 0; i < n; i++) {
        if (next_pair < pair_count && pairs[next_pair] == i) {
            next_pair++;
            continue;
        }
        int rc = agg_merge_encoded(params->plan, rows[i], in->columns[2].text[i]);
        if (rc < 0)
            return diag_set(call->diag, rc, "a partial aggregate does not decode");
    }
    if (pair_count > 0)
        TRY(merge_pairs(group, call, in, pairs, pair_count, entries));
    return 0;
}

int group_merge_partials(struct group_op *group, struct op_call *call, const struct batch *in)
{
    const struct group_params *params = group->op.params;
    call->applied_rows += in->selected_count;
    return params->window.kind == WINDOW_HOPPING ? group_merge_runs(group, call, in)
                                                 : group_merge_windows(group, call, in);
}
