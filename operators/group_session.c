/* group_session.c: groups over session windows.
 *
 * A session of a group is a run of its rows in which each comes at most a gap after the one before.
 * Where it starts and ends is known only from its rows, and any row may be the one that joins two
 * sessions; yet the answer must be the same whatever the order, the batches and the commits.
 *
 * Time is cut into cells as long as the gap. All rows of a group in one cell belong to the same
 * session, so a cell's accumulators are kept like those of a tumbling window: one entry per cell
 * and group in table, changelog and store; partials of cells cross a re-keying. Three accumulators
 * more than the user asked for say what a cell needs to be joined: the first and the last event
 * time in it, and (where changes are emitted) the mark, which is the start of the session that was
 * last given out from this cell on. Two cells next to each other are of one session when the later
 * one's first row is at most a gap after the earlier one's last.
 *
 * Changes. At a commit the session of each changed cell is put together from its cells and given
 * out under its start. A session that was given out under another start, because it began later
 * before or has been swallowed by one that did, has left its mark in a cell: its record gets a
 * tombstone and the mark goes.
 *
 * Closing. A row is late when its own [ts, ts + gap) ends at or below the watermark at its place.
 * So when the watermark has reached the end of a cell by two gaps, no row can come any more that
 * would join what is in the cell to something later. Cells close in time order then: one whose
 * session goes on in the next cell is merged into that one, which takes over its first time and its
 * mark; one whose session does not go on is the whole session, and a final view gives it out. So an
 * open session has few cells however long it lasts: those since the watermark, and one. */
#include <stdlib.h>
#include <string.h>

#include "operators/grouping.h"

enum { CALL_FIRST, CALL_LAST, CALL_MARK, SESSION_CALLS };

static const struct group_params *params_of(const struct group_op *group)
{
    return group->op.params;
}

/* ---- the three accumulators ---- */

int group_session_calls(struct agg_list *list, uint32_t *first, struct diag *diag)
{
    static const enum agg_func functions[SESSION_CALLS] = {AGG_MIN, AGG_MAX, AGG_MIN};
    for (uint32_t c = 0; c < list->call_count; c++)
        if (list->calls[c].func == AGG_COUNT_DISTINCT)
            return diag_set(diag, ERR_UNSUPPORTED,
                            "count(DISTINCT …) over session windows is not supported\nhint: "
                            "tumbling and hopping windows have it");
    struct agg_call *calls =
        realloc(list->calls, (list->call_count + SESSION_CALLS) * sizeof *calls);
    if (calls == NULL)
        return ERR_NOMEM;
    list->calls = calls;
    *first = list->call_count;
    for (uint32_t c = 0; c < SESSION_CALLS; c++)
        calls[list->call_count++] = (struct agg_call){
            .func = functions[c], .argument_type = COL_BIGINT, .result_type = COL_BIGINT};
    return 0;
}

void group_session_arguments(const struct group_params *params, const struct batch *batch,
                             struct column *arguments)
{
    static int64_t no_value;
    static uint8_t is_null = 1;
    struct column *own = arguments + params->session_call;
    own[CALL_FIRST] = own[CALL_LAST] =
        (struct column){.type = COL_BIGINT, .i64 = (int64_t *)(uintptr_t)batch->event_time_ms};
    own[CALL_MARK] =
        (struct column){.type = COL_BIGINT, .constant = true, .nulls = &is_null, .i64 = &no_value};
}

void group_session_bounds(const struct group_params *params, const struct column *results,
                          uint32_t at, int64_t *start_ms, int64_t *end_ms)
{
    const struct column *own = results + params->session_call;
    *start_ms = own[CALL_FIRST].i64[at];
    *end_ms = own[CALL_LAST].i64[at] + params->window.size_ms;
}

bool group_session_times(const struct group_params *params, const void *row, int64_t *first_ms,
                         int64_t *last_ms)
{
    return agg_row_i64(params->plan, row, params->session_call + CALL_FIRST, first_ms) &&
           agg_row_i64(params->plan, row, params->session_call + CALL_LAST, last_ms);
}

static int64_t time_of(const struct group_op *group, const struct agg_entry *entry, uint32_t call)
{
    int64_t time_ms = 0;
    must(agg_row_i64(params_of(group)->plan, agg_entry_row(entry),
                     params_of(group)->session_call + call, &time_ms));
    return time_ms;
}

static bool mark_of(const struct group_op *group, const struct agg_entry *entry, int64_t *mark_ms)
{
    return agg_row_i64(params_of(group)->plan, agg_entry_row(entry),
                       params_of(group)->session_call + CALL_MARK, mark_ms);
}

static void set_mark(struct group_op *group, struct agg_entry *entry, bool is_set, int64_t mark_ms)
{
    agg_row_set_i64(params_of(group)->plan, agg_entry_row(entry),
                    params_of(group)->session_call + CALL_MARK, is_set, mark_ms);
}

/* ---- neighbours ---- */

/* The store may have a cell that the table does not; not one that is closed, or is being closed,
 * whose tombstone may not have got there yet. */
static bool store_may_have(const struct group_op *group, int64_t cell_ms)
{
    return group->store_may_have && cell_ms <= group->store_bound_ms &&
           !(group_is_closing(group) && cell_ms == group->closing_window_ms);
}

/* The group's entry in another cell, loaded when only the store has it; NULL when there is none. */
static int find_cell(struct group_op *group, struct bytes key, int64_t cell_ms,
                     struct agg_entry **found, struct diag *diag)
{
    struct bytes value;
    *found = NULL;
    if (cell_ms < group->closed_before_ms)
        return 0;
    *found = agg_table_find(group->table, cell_ms, key);
    if (*found != NULL || !store_may_have(group, cell_ms))
        return 0;
    buf_clear(&group->store_key);
    group_store_key(&group->store_key, cell_ms, key);
    if (!buf_ok(&group->store_key))
        return ERR_NOMEM;
    arena_reset(&group->load);
    int rc = state_get(group->op.env->state, bytes_of(group->store_key.data, group->store_key.size),
                       &group->load, &value, diag);
    if (rc <= 0)
        return rc;
    TRY(agg_table_probe(group->table, 1, &cell_ms, &key, found));
    return group_load_entries(group, found, 1, diag);
}

/* The cell beside one (direction −1 or 1) when it belongs to the same session, else NULL. */
static int find_joined(struct group_op *group, const struct agg_entry *entry, int direction,
                       struct agg_entry **found, struct diag *diag)
{
    int64_t gap = params_of(group)->window.size_ms;
    TRY(find_cell(group, agg_entry_key(entry), entry->window_start_ms + direction * gap, found,
                  diag));
    if (*found == NULL)
        return 0;
    const struct agg_entry *early = direction < 0 ? *found : entry,
                           *later = direction < 0 ? entry : *found;
    if (time_of(group, later, CALL_FIRST) - time_of(group, early, CALL_LAST) > gap)
        *found = NULL;
    return 0;
}

/* Adds what one entry holds to another's accumulators. */
static int merge_entry(struct group_op *group, const struct agg_entry *from, void *row,
                       struct diag *diag)
{
    group_encode_entry(group, from);
    if (!buf_ok(&group->encoded))
        return ERR_NOMEM;
    int rc = agg_merge_encoded(params_of(group)->plan, row,
                               bytes_of(group->encoded.data, group->encoded.size));
    return rc < 0 ? diag_set(diag, rc, "the cells of a session do not merge") : 0;
}

/* ---- changes ---- */

/* What is given out between two calls: sessions put together from several cells, whose rows the
 * batch borrows, and starts that are to get tombstones. */
struct session_out {
    uint8_t *rows; /* room for rows_capacity */
    uint32_t row_count;
    struct gone {
        int64_t start_ms;
        struct bytes key; /* of an entry */
    } * gone;
    uint32_t gone_count, gone_capacity, gone_next;
    struct agg_entry **touched; /* entries whose mark changed */
    uint32_t touched_count, touched_capacity;
};

int group_session_open(struct group_op *group)
{
    group->session = calloc(1, sizeof *group->session);
    return group->session != NULL ? 0 : ERR_NOMEM;
}

static void release_rows(struct group_op *group)
{
    struct session_out *out = group->session;
    size_t row_bytes = agg_plan_row_bytes(params_of(group)->plan);
    for (uint32_t i = 0; i < out->row_count; i++)
        agg_row_release(params_of(group)->plan, out->rows + i * row_bytes);
    free(out->rows);
    out->rows = NULL;
    out->row_count = 0;
}

void group_session_close(struct group_op *group)
{
    if (group->session == NULL)
        return;
    release_rows(group);
    free(group->session->gone);
    free(group->session->touched);
    free(group->session);
}

static void *grow(void *items, uint32_t *capacity, size_t item_bytes)
{
    uint32_t wanted = *capacity > 0 ? *capacity * 2 : 256;
    void *grown = realloc(items, wanted * item_bytes);
    if (grown != NULL)
        *capacity = wanted;
    return grown;
}

static int touch(struct session_out *out, struct agg_entry *entry)
{
    if (out->touched_count == out->touched_capacity) {
        void *grown = grow(out->touched, &out->touched_capacity, sizeof(struct agg_entry *));
        if (grown == NULL)
            return ERR_NOMEM;
        out->touched = grown;
    }
    out->touched[out->touched_count++] = entry;
    return 0;
}

static int add_gone(struct session_out *out, int64_t start_ms, struct bytes key)
{
    if (out->gone_count == out->gone_capacity) {
        void *grown = grow(out->gone, &out->gone_capacity, sizeof(struct gone));
        if (grown == NULL)
            return ERR_NOMEM;
        out->gone = grown;
    }
    out->gone[out->gone_count++] = (struct gone){start_ms, key};
    return 0;
}

/* A cell of the session that starts at start_ms: only its first cell bears a mark, of that start;
 * what another mark stood for is gone. */
static int settle_mark(struct group_op *group, struct agg_entry *cell, bool is_first,
                       int64_t start_ms)
{
    int64_t mark;
    bool is_set = mark_of(group, cell, &mark);
    if (is_set ? is_first && mark == start_ms : !is_first)
        return 0;
    if (is_set && mark != start_ms)
        TRY(add_gone(group->session, mark, agg_entry_key(cell)));
    set_mark(group, cell, is_first, start_ms);
    return touch(group->session, cell);
}

/* Puts the session together that begins in a cell. */
static int compose(struct group_op *group, struct agg_entry *first, struct group_item *item,
                   uint32_t most_rows, struct diag *diag)
{
    const struct agg_plan *plan = params_of(group)->plan;
    size_t row_bytes = agg_plan_row_bytes(plan);
    int64_t start_ms = time_of(group, first, CALL_FIRST);
    struct session_out *out = group->session;
    struct agg_entry *next;
    void *row = NULL;
    *item = (struct group_item){first->window_start_ms, agg_entry_key(first), agg_entry_row(first)};
    TRY(settle_mark(group, first, true, start_ms));
    for (const struct agg_entry *cell = first;; cell = next) {
        TRY(find_joined(group, cell, 1, &next, diag));
        if (next == NULL)
            return 0;
        TRY(settle_mark(group, next, false, start_ms));
        if (row == NULL) {
            if (out->rows == NULL)
                out->rows = malloc(most_rows * row_bytes);
            if (out->rows == NULL)
                return ERR_NOMEM;
            row = out->rows + out->row_count++ * row_bytes;
            agg_row_init(plan, row);
            TRY(merge_entry(group, first, row, diag));
            item->row = row;
        }
        TRY(merge_entry(group, next, row, diag));
    }
}

struct start {
    struct agg_entry *cell;
    uint32_t place;
};
static int compare_cells(const void *a, const void *b)
{
    const struct start *x = a, *y = b;
    if (x->cell != y->cell)
        return (uintptr_t)x->cell < (uintptr_t)y->cell ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}
static int compare_places(const void *a, const void *b)
{
    const struct start *x = a, *y = b;
    return x->place < y->place ? -1 : x->place > y->place;
}

/* The first cells of the changed cells' sessions, each once, in the order of the changes. */
static int find_starts(struct group_op *group, struct agg_entry *const *entries, uint32_t n,
                       struct start *starts, uint32_t *count, struct diag *diag)
{
    bool is_joined = false;
    for (uint32_t i = 0; i < n; i++) {
        struct agg_entry *before;
        starts[i] = (struct start){entries[i], i};
        for (;;) {
            TRY(find_joined(group, starts[i].cell, -1, &before, diag));
            if (before == NULL)
                break;
            starts[i].cell = before;
            is_joined = true;
        }
    }
    *count = n;
    if (!is_joined)
        return 0;
    qsort(starts, n, sizeof *starts, compare_cells);
    *count = 0;
    for (uint32_t i = 0; i < n; i++)
        if (*count == 0 || starts[*count - 1].cell != starts[i].cell)
            starts[(*count)++] = starts[i];
    qsort(starts, *count, sizeof *starts, compare_places);
    return 0;
}

/* The keys of sessions that are gone: a batch of tombstones. */
static int build_gone(struct group_op *group, struct op_call *call, struct batch *out)
{
    const struct group_params *params = params_of(group);
    struct session_out *session = group->session;
    uint32_t groups = params->groups->count, left = session->gone_count - session->gone_next;
    uint32_t n = left < BATCH_ROWS ? left : BATCH_ROWS;
    struct column *columns = arena_alloc(call->arena, (groups + 1) * sizeof *columns);
    if (columns == NULL)
        return ERR_NOMEM;
    for (uint32_t c = 0; c <= groups; c++)
        TRY(column_alloc(&columns[c], c < groups ? params->group_types[c] : COL_TIMESTAMPTZ, n,
                         true, call->arena));
    for (uint32_t i = 0; i < n; i++) {
        const struct gone *gone = &session->gone[session->gone_next + i];
        int rc = group_key_decode(gone->key, columns, groups, i, call->arena);
        if (rc < 0)
            return diag_set(call->diag, rc, "a group key does not decode");
        columns[groups].i64[i] = gone->start_ms;
    }
    *out = (struct batch){.row_count = n,
                          .selected_count = n,
                          .columns = columns,
                          .column_count = groups + 1,
                          .is_gone = true,
                          .arena = call->arena};
    session->gone_next += n;
    if (session->gone_next == session->gone_count)
        session->gone_next = session->gone_count = 0;
    return 0;
}

int group_session_gone(struct group_op *group, struct op_call *call, struct batch *out)
{
    release_rows(group);
    if (group->session->gone_count == 0)
        return OP_DONE;
    TRY(build_gone(group, call, out));
    return OP_MORE;
}

int group_session_results(struct group_op *group, struct op_call *call,
                          struct agg_entry *const *entries, uint32_t n, struct batch *out)
{
    struct session_out *session = group->session;
    struct start *starts = arena_alloc(call->arena, (n + 1) * sizeof *starts);
    struct group_item *items = arena_alloc(call->arena, (n + 1) * sizeof *items);
    uint32_t count;
    if (starts == NULL || items == NULL)
        return ERR_NOMEM;
    session->touched_count = 0;
    TRY(find_starts(group, entries, n, starts, &count, call->diag));
    for (uint32_t i = 0; i < count; i++)
        TRY(compose(group, starts[i].cell, &items[i], n, call->diag));
    for (uint32_t i = 0; i < n; i++)
        TRY(group_write_change(group, entries[i], false));
    for (uint32_t i = 0; i < session->touched_count; i++)
        if (session->touched[i]->changelog_offset != group->commit_number)
            TRY(group_write_change(group, session->touched[i], false));
    return group_build_results(params_of(group), call, items, count, out);
}

/* ---- closing ---- */

int group_session_ended(struct group_op *group, struct agg_entry *cell, bool *has_ended,
                        struct diag *diag)
{
    struct agg_entry *next;
    TRY(find_joined(group, cell, 1, &next, diag));
    *has_ended = next == NULL;
    if (next == NULL)
        return 0;
    TRY(merge_entry(group, cell, agg_entry_row(next), diag));
    return group_write_change(group, next, false);
}
