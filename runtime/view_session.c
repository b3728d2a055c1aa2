/* view_session.c: open sessions (see view_session.h).
 *
 * Cells next to each other are of one session when the later one's first event is at most a gap after the earlier one's last.
 * A session is told of once, at its first cell: each cell looks at the one before it, and the first one adds up those behind. When
 * a cell closes while its session goes on, the engine merges it into the next cell, so that a session's first event may be
 * long before the cell that has it; only the first cell that is not closed can be such a one. */
#include "runtime/view_session.h"

/* The row of a group's cell, when the state has it: 1. */
static int read_cell(struct view_reader *reader, int32_t partition, struct bytes group_key,
                     int64_t cell_ms, struct arena *arena, struct bytes *value, struct diag *diag)
{
    struct buf key;
    buf_init(&key, 0);
    group_store_key(&key, cell_ms, group_key);
    int rc = buf_ok(&key) ? view_reader_get(reader, partition, bytes_of(key.data, key.size), arena,
                                            value, diag)
                          : diag_set(diag, ERR_NOMEM, "no memory for a key");
    buf_deinit(&key);
    return rc;
}

struct cell_times {
    int64_t first_ms, last_ms;
};

static int times_of(const struct group_params *group, const void *row, struct cell_times *times,
                    struct diag *diag)
{
    return group_session_times(group, row, &times->first_ms, &times->last_ms)
               ? 0
               : diag_set(diag, ERR_CORRUPT, "a cell of a session has no times");
}

static int times_of_value(const struct group_params *group, struct bytes value, struct arena *arena,
                          struct cell_times *times, struct diag *diag)
{
    void *row = arena_alloc(arena, agg_plan_row_bytes(group->plan));
    if (row == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for a session");
    agg_row_init(group->plan, row);
    int rc = agg_decode(group->plan, row, value);
    rc = rc < 0 ? diag_set(diag, rc, "a stored aggregate does not decode")
                : times_of(group, row, times, diag);
    agg_row_release(group->plan, row);
    return rc;
}

int view_session_compose(struct view_reader *reader, int32_t partition, struct bytes group_key,
                         int64_t cell_ms, void *row, struct arena *arena, struct diag *diag)
{
    const struct group_params *group = view_reader_view(reader)->group;
    int64_t gap = group->window.size_ms;
    struct cell_times times, other;
    struct bytes value;
    TRY(times_of(group, row, &times, diag));
    if (cell_ms < INT64_MIN + gap || cell_ms > INT64_MAX / 2)
        return diag_set(diag, ERR_CORRUPT, "a cell of a session is at no time that events have");
    int rc = read_cell(reader, partition, group_key, cell_ms - gap, arena, &value, diag);
    if (rc == 1)
        rc = times_of_value(group, value, arena, &other, diag);
    else
        other.last_ms = INT64_MIN;
    TRY(rc);
    if (other.last_ms != INT64_MIN && times.first_ms - other.last_ms <= gap)
        return 0;
    for (;;) {
        cell_ms += gap;
        rc = read_cell(reader, partition, group_key, cell_ms, arena, &value, diag);
        if (rc <= 0)
            return rc < 0 ? rc : 1;
        TRY(times_of_value(group, value, arena, &other, diag));
        if (other.first_ms - times.last_ms > gap)
            return 1;
        rc = agg_merge_encoded(group->plan, row, value);
        if (rc < 0)
            return diag_set(diag, rc, "the cells of a session do not merge");
        times.last_ms = other.last_ms;
    }
}

void view_session_cells(const struct view *view, struct view_time time, int64_t *from_ms,
                        int64_t *to_ms)
{
    const struct window_spec *window = &view->group->window;
    int64_t carried = INT64_MAX;
    if (!window_newest(window, *from_ms, from_ms))
        *from_ms = INT64_MIN;
    if (!window_newest(window, *to_ms, to_ms))
        *to_ms = INT64_MAX;
    if (time.closed_before_ms != INT64_MIN &&
        window_first_from(window, time.closed_before_ms, &carried) &&
        carried < INT64_MAX - window->size_ms)
        carried += window->size_ms; /* the first one may be closing, and have carried on already */
    if (time.closed_before_ms != INT64_MIN && carried > *to_ms)
        *to_ms = carried;
}
