/* group_close.c: windows that end.
 *
 * Windows close in time order. closed_before_ms is the cursor: every window that starts before it
 * has been closed, and its entries that the store still shows (their tombstones are on the way) are
 * dead. Closing walks the table's and the store's windows together, loads what only the store has,
 * gives the results of final views, writes tombstones, and stops after GROUP_CLOSE_ROWS_PER_COMMIT
 * rows, also inside a window, so that a commit stays bounded. The cursor is part of the commit; the
 * rest of a window that was begun is listed in closing[], and after a restart it is what the store
 * still has of it. */
#include <stdlib.h>
#include <string.h>

#include "operators/grouping.h"

static const struct group_params *params_of(const struct group_op *group)
{
    return group->op.params;
}
struct next_window {
    int64_t start_ms;
    bool found;
};
static int first_key(void *context, struct bytes key, struct bytes value)
{
    (void)value;
    struct next_window *next = context;
    struct bytes group_key;
    TRY(group_store_key_split(key, true, &next->start_ms, &group_key));
    next->found = true;
    return 1;
}

static int next_stored_window(struct group_op *group, struct next_window *next, struct diag *diag)
{
    next->found = false;
    if (!group->store_may_have || group->closed_before_ms > group->store_bound_ms)
        return 0;
    uint8_t from[8];
    store_be64(from, (uint64_t)group->closed_before_ms ^ (1ull << 63));
    int rc = state_scan(group->op.env->state, bytes_of(from, 8), (struct bytes){NULL, 0}, first_key,
                        next, diag);
    return rc < 0 ? rc : 0;
}

struct load_window {
    struct group_op *group;
    struct diag *diag;
};
static int load_stored(void *context, struct bytes key, struct bytes value)
{
    struct load_window *load = context;
    struct group_op *group = load->group;
    int64_t start;
    struct bytes group_key;
    TRY(group_store_key_split(key, true, &start, &group_key));
    struct agg_entry *entry;
    size_t group_bytes;
    if (group_value_is_pair(value, &group_bytes))
        TRY(agg_table_probe_pairs(group->table, 1, &start, &group_key, &entry));
    else
        TRY(agg_table_probe(group->table, 1, &start, &group_key, &entry));
    if (!entry->is_new)
        return 0;
    entry->is_new = 0;
    return group_decode_entry(group, entry, value, load->diag);
}

static int compare_keys(const void *a, const void *b)
{
    return bytes_compare(agg_entry_key(*(struct agg_entry *const *)a),
                         agg_entry_key(*(struct agg_entry *const *)b));
}

/* Brings the whole window into the table and lists its entries, for a final view in key order, so
 * that what it gives does not depend on where its groups lay. */
static int collect_window(struct group_op *group, int64_t start_ms, struct diag *diag)
{
    if (group->store_may_have && start_ms <= group->store_bound_ms) {
        uint8_t from[8], to[8];
        store_be64(from, (uint64_t)start_ms ^ (1ull << 63));
        store_be64(to, ((uint64_t)start_ms ^ (1ull << 63)) + 1);
        struct load_window load = {group, diag};
        TRY(state_scan(group->op.env->state, bytes_of(from, 8), bytes_of(to, 8), load_stored, &load,
                       diag));
    }
    group->closing_count = group->closing_first = group->closing_next = 0;
    group->closing_window_ms = start_ms;
    for (struct agg_entry *e = agg_table_window(group->table, start_ms); e != NULL;
         e = agg_entry_next_in_window(e)) {
        if (group->closing_count == group->closing_capacity) {
            size_t capacity = group->closing_capacity ? group->closing_capacity * 2 : 256;
            struct agg_entry **grown = realloc(group->closing, capacity * sizeof *grown);
            if (grown == NULL)
                return ERR_NOMEM;
            group->closing = grown;
            group->closing_capacity = capacity;
        }
        group->closing[group->closing_count++] = e;
    }
    if (params_of(group)->emit_final)
        qsort(group->closing, group->closing_count, sizeof *group->closing, compare_keys);
    return 0;
}

/* 1: closing[] holds a window to close; 0: no window ends at or before the watermark. */
static int open_next_window(struct group_op *group, int64_t watermark_ms, struct diag *diag)
{
    const struct window_spec *spec = &params_of(group)->window;
    int64_t start;
    struct next_window stored;
    TRY(next_stored_window(group, &stored, diag));
    bool found = agg_table_first_window(group->table, &start);
    if (stored.found && (!found || stored.start_ms < start)) {
        start = stored.start_ms;
        found = true;
    }
    if (!found || window_closes_at(spec, start) > watermark_ms) {
        int64_t closed_before_ms = window_closed_before(spec, watermark_ms);
        if (closed_before_ms > group->closed_before_ms)
            group->closed_before_ms = closed_before_ms;
        return 0;
    }
    TRY(collect_window(group, start, diag));
    return 1;
}

/* Entries of the last batch are gone only now, since that batch borrowed from them. */
static void remove_closed(struct group_op *group)
{
    for (; group->closing_first < group->closing_next; group->closing_first++)
        agg_table_remove(group->table, group->closing[group->closing_first]);
}

bool group_is_closing(const struct group_op *group)
{
    return group->closing_first < group->closing_count;
}

/* Sessions that go on are carried into their next cells; the others have ended. */
static int close_cells(struct group_op *group, struct op_call *call,
                       struct agg_entry *const *closing, uint32_t n, struct batch *out)
{
    struct agg_entry **ended = arena_alloc(call->arena, (n + 1) * sizeof *ended);
    uint32_t count = 0;
    if (ended == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < n; i++) {
        bool has_ended;
        TRY(group_session_ended(group, closing[i], &has_ended, call->diag));
        if (has_ended)
            ended[count++] = closing[i];
    }
    return params_of(group)->emit_final ? group_build_entries(group, call, ended, count, out) : 0;
}

int group_advance(struct op *op, struct op_call *call, int64_t watermark_ms, struct batch *out)
{
    struct group_op *group = (struct group_op *)op;
    const struct group_params *params = op->params;
    memset(out, 0, sizeof *out);
    if (params->window.kind == WINDOW_ABSENT || watermark_ms == INT64_MIN)
        return OP_DONE;
    crash_point("close_before");
    remove_closed(group);
    if (group->closed_rows >= GROUP_CLOSE_ROWS_PER_COMMIT)
        return OP_AGAIN;
    if (!group_is_closing(group)) {
        int rc = open_next_window(group, watermark_ms, call->diag);
        if (rc <= 0)
            return rc < 0 ? rc : OP_DONE;
    }
    struct agg_entry *const *closing = group->closing + group->closing_first;
    size_t left = group->closing_count - group->closing_first;
    uint32_t n = (uint32_t)(left < BATCH_ROWS ? left : BATCH_ROWS);
    if (group->session != NULL)
        TRY(close_cells(group, call, closing, n, out));
    else if (params->emit_final)
        TRY(group_build_entries(group, call, closing, n, out));
    for (uint32_t i = 0; i < n; i++)
        TRY(group_write_change(group, closing[i], true));
    group->closing_next = group->closing_first + n;
    group->closed_rows += n;
    if (group->closing_next == group->closing_count)
        group->closed_before_ms = group->closing_window_ms + 1;
    return OP_MORE;
}
