/* verify_state.c: a view's store against what its groups ought to hold (see verify_parts.h).
 *
 * The pairs are those of verify_pairs.c. Only the encodings of keys and accumulators are the engine's
 * (operators/README.md names them byte by byte).
 *
 * Of sessions a store holds cells as long as the gap; cells next to each other whose rows are no more
 * than the gap apart are one session. */
#include <stdio.h>
#include <stdlib.h>

#include "operators/group_key.h"
#include "runtime/verify/verify_parts.h"

struct cell_of_session {
    struct bytes group, value;
    int64_t start_ms;
};
struct check {
    struct verify *v;
    int32_t partition;
    struct arena arena;        /* of this partition */
    struct arena row_arena;    /* of one pair */
    struct group_params plain; /* results without HAVING and selected columns */
    struct cell_of_session *cells;
    size_t cell_count, cell_capacity;
};

/* ---- partials on their way ---- */

/* The group columns of a store key, a changelog key or a partial's. */
static int read_group(struct verify *v, struct bytes key, struct arena *arena,
                      struct column **columns)
{
    const struct group_params *params = v->view->group;
    *columns = arena_alloc(arena, (params->groups->count + 2) * sizeof **columns);
    if (*columns == NULL)
        return verify_no_memory(v);
    for (uint32_t i = 0; i < params->groups->count; i++)
        TRY(column_alloc(&(*columns)[i], params->group_types[i], 1, true, arena));
    int rc = group_key_decode(key, *columns, params->groups->count, 0, arena);
    return rc < 0 ? diag_set(v->diag, rc, "a group key of %s does not decode", v->options->view)
                  : 0;
}

struct hash128 verify_key_name(struct bytes key)
{
    static const char mark[] = ",\"window_start\":";
    size_t size = key.size, length = sizeof mark - 1;
    for (size_t at = key.size; at-- > 0;)
        if (key.size - at >= length && memcmp(key.data + at, mark, length) == 0) {
            size = at;
            break;
        }
    return hash128(key.data, size);
}

int verify_name_group(struct verify *v, struct verify_map *set, struct column *columns,
                      struct arena *arena)
{
    const struct group_params *params = v->view->group;
    struct hash128 name;
    int32_t where;
    TRY(verify_group_name(v, columns, 1, &name, &where));
    if (verify_map_at(set, name) == NULL)
        return verify_no_memory(v);
    if (!v->view->is_windowed)
        return 0;
    TRY(column_alloc(&columns[params->groups->count], COL_TIMESTAMPTZ, 1, true, arena));
    columns[params->groups->count].i64[0] = 0;
    buf_clear(&v->key);
    json_encode_key(&v->key, v->view->key_names, columns, 0, true);
    if (!buf_ok(&v->key) ||
        verify_map_at(set, verify_key_name(bytes_of(v->key.data, v->key.size))) == NULL)
        return verify_no_memory(v);
    return 0;
}

static int take_partial(void *context, const struct source_row *record)
{
    struct verify *v = context;
    struct bytes group;
    struct column *columns;
    int64_t start_ms;
    size_t group_bytes;
    if (group_store_key_split(record->key, v->view->is_windowed, &start_ms, &group) < 0)
        return diag_set(v->diag, ERR_CORRUPT, "the record at offset %lld of %s is no partial",
                        (long long)record->offset, v->final->input_topic);
    if (group_value_is_pair(record->value, &group_bytes) && group_bytes <= group.size)
        group.size = group_bytes;
    arena_reset(&v->arena);
    TRY(read_group(v, group, &v->arena, &columns));
    return verify_name_group(v, &v->waiting, columns, &v->arena);
}

/* What the tasks in front of a re-keying have committed, and the one behind it has not read. */
int verify_waiting(struct verify *v)
{
    return v->is_rekeyed ? verify_read_unread(v, v->final, take_partial, v) : 0;
}

/* ---- one result ---- */

static void tell(struct check *check, const char *kind, struct bytes key, struct bytes expected,
                 struct bytes found, const char *text)
{
    struct verify_difference difference = {.kind = kind,
                                           .where = "store",
                                           .topic = check->v->final->changelog_topic,
                                           .partition = check->partition,
                                           .offset = -1,
                                           .key = key,
                                           .expected = expected,
                                           .found = found,
                                           .text = text};
    verify_tell(check->v, &difference);
}

static int judge_group(struct check *check, struct verify_group *group, struct bytes found)
{
    struct verify *v = check->v;
    struct verify_result result;
    group->is_in_state = true;
    if (group->is_waiting || group->is_undecided)
        return 0;
    TRY(verify_group_render(v, group, &result));
    v->report->states++;
    if (group->status == GROUP_CLOSED)
        tell(check, "open", result.key, (struct bytes){NULL, 0}, found,
             "the window is closed, and the store still has it");
    else if (check->partition != group->owner)
        tell(check, "partition", result.key, result.row, found,
             "the group belongs to another partition's store");
    else if (result.is_expressible && found.data == NULL)
        tell(check, "value", result.key, result.row, found, "what the store holds has no result");
    else if (result.is_expressible && !verify_same(v, false, result.row, found))
        tell(check, "value", result.key, result.row, found, "the store holds another result");
    return 0;
}

/* Prints what a group's accumulators come to, and looks for what they ought to. */
static int judge_row(struct check *check, struct bytes group, int64_t start_ms, const void *row)
{
    struct verify *v = check->v;
    struct group_item item = {.window_start_ms = start_ms, .key = group, .row = row};
    struct batch batch;
    struct reject_list rejects = {.arena = &check->row_arena};
    struct op_call call = {.arena = &check->row_arena, .rejects = &rejects, .diag = v->diag};
    struct buf key, text;
    TRY(group_build_results(&check->plain, &call, &item, 1, &batch));
    buf_init(&key, 0);
    buf_init(&text, 0);
    json_encode_key(&key, v->view->key_names, batch.columns, 0, v->view->is_windowed);
    if (rejects.count == 0)
        json_encode_row(&text, v->view->result_names, batch.columns, 0, false);
    int rc = buf_ok(&key) && buf_ok(&text) ? 0 : verify_no_memory(v);
    struct bytes found = bytes_of(text.data, text.size);
    struct bytes key_bytes = bytes_of(key.data != NULL ? (const void *)key.data : "", key.size);
    if (rc == 0) {
        struct verify_entry *entry =
            verify_map_find(&v->by_key, hash128(key_bytes.data, key_bytes.size));
        if (entry != NULL) {
            rc = judge_group(check, entry->value, found);
        } else {
            struct column *columns;
            struct hash128 name;
            int32_t where;
            rc = read_group(v, group, &check->row_arena, &columns);
            if (rc == 0)
                rc = verify_group_name(v, columns, 1, &name, &where);
            if (rc == 0 && verify_map_find(&v->waiting, name) == NULL &&
                verify_map_find(&v->undecided, name) == NULL)
                tell(check, "unknown", key_bytes, (struct bytes){NULL, 0}, found,
                     "no row of the sources belongs to this group");
        }
    }
    buf_deinit(&key);
    buf_deinit(&text);
    return rc;
}

static int add_cell(struct check *check, struct bytes group, int64_t start_ms, struct bytes value)
{
    if (check->cell_count == check->cell_capacity) {
        size_t capacity = check->cell_capacity > 0 ? check->cell_capacity * 2 : 64;
        struct cell_of_session *grown = realloc(check->cells, capacity * sizeof *grown);
        if (grown == NULL)
            return verify_no_memory(check->v);
        check->cells = grown;
        check->cell_capacity = capacity;
    }
    struct cell_of_session *cell = &check->cells[check->cell_count++];
    *cell = (struct cell_of_session){arena_copy(&check->arena, group),
                                     arena_copy(&check->arena, value), start_ms};
    return cell->group.data != NULL && cell->value.data != NULL ? 0 : verify_no_memory(check->v);
}

/* A pair of the state: a group, or a value that count(DISTINCT) has seen, which stands behind one. */
static int judge_pair(void *context, struct bytes key, struct bytes value)
{
    struct check *check = context;
    struct verify *v = check->v;
    const struct agg_plan *plan = v->view->group->plan;
    struct bytes group;
    int64_t start_ms;
    size_t group_bytes;
    TRY(verify_look(v));
    if (group_value_is_pair(value, &group_bytes))
        return 0;
    if (group_store_key_split(key, v->view->is_windowed, &start_ms, &group) < 0)
        return diag_set(v->diag, ERR_CORRUPT, "a stored key of %s does not decode",
                        v->options->view);
    if (v->view->group->window.kind == WINDOW_SESSION)
        return add_cell(check, group, start_ms, value);
    arena_reset(&check->row_arena);
    void *row = arena_alloc(&check->row_arena, agg_plan_row_bytes(plan));
    if (row == NULL)
        return verify_no_memory(v);
    agg_row_init(plan, row);
    int rc = agg_decode(plan, row, value);
    if (rc < 0)
        diag_set(v->diag, rc, "a stored aggregate of %s does not decode", v->options->view);
    else
        rc = judge_row(check, group, start_ms, row);
    agg_row_release(plan, row);
    return rc;
}

/* ---- sessions ---- */

static int compare_cells(const void *a, const void *b)
{
    const struct cell_of_session *x = a, *y = b;
    int order = bytes_compare(x->group, y->group);
    return order != 0 ? order : (x->start_ms > y->start_ms) - (x->start_ms < y->start_ms);
}

/* Takes cells into *row as long as they are of one session; how many. */
static int join_cells(struct check *check, size_t first, void *row, size_t *joined)
{
    const struct group_params *params = check->v->view->group;
    int64_t gap_ms = params->window.size_ms, last_ms = 0, first_ms = 0;
    *joined = 0;
    for (size_t i = first; i < check->cell_count; i++) {
        const struct cell_of_session *cell = &check->cells[i];
        void *one = arena_alloc(&check->row_arena, agg_plan_row_bytes(params->plan));
        if (one == NULL)
            return verify_no_memory(check->v);
        agg_row_init(params->plan, one);
        int rc = agg_decode(params->plan, one, cell->value);
        bool has_times = rc == 0 && agg_row_i64(params->plan, one, params->session_call, &first_ms);
        int64_t end_ms = 0;
        has_times = has_times && agg_row_i64(params->plan, one, params->session_call + 1, &end_ms);
        agg_row_release(params->plan, one);
        if (!has_times)
            return diag_set(check->v->diag, ERR_CORRUPT, "a stored session of %s does not decode",
                            check->v->options->view);
        if (*joined > 0 && (bytes_compare(cell->group, check->cells[first].group) != 0 ||
                            cell->start_ms != check->cells[i - 1].start_ms + gap_ms ||
                            first_ms - last_ms > gap_ms))
            return 0;
        TRY(agg_merge_encoded(params->plan, row, cell->value));
        last_ms = end_ms;
        ++*joined;
    }
    return 0;
}

static int judge_sessions(struct check *check)
{
    const struct agg_plan *plan = check->v->view->group->plan;
    size_t joined;
    if (check->cell_count > 0)
        qsort(check->cells, check->cell_count, sizeof *check->cells, compare_cells);
    for (size_t i = 0; i < check->cell_count; i += joined) {
        arena_reset(&check->row_arena);
        void *row = arena_alloc(&check->row_arena, agg_plan_row_bytes(plan));
        if (row == NULL)
            return verify_no_memory(check->v);
        agg_row_init(plan, row);
        int rc = join_cells(check, i, row, &joined);
        if (rc == 0)
            rc = judge_row(check, check->cells[i].group, check->cells[i].start_ms, row);
        agg_row_release(plan, row);
        TRY(rc);
    }
    return 0;
}

/* ---- what the state lacks ---- */

static int tell_missing(struct verify *v)
{
    for (size_t i = 0; i < v->list_count; i++) {
        struct verify_group *group = v->list[i];
        struct verify_result result;
        if (group->is_in_state || group->is_waiting || group->is_undecided ||
            group->status != GROUP_OPEN)
            continue;
        TRY(verify_group_render(v, group, &result));
        struct verify_difference difference = {.kind = "missing",
                                               .where = "store",
                                               .topic = v->final->changelog_topic,
                                               .partition = group->owner,
                                               .offset = -1,
                                               .key = result.key,
                                               .expected = result.row,
                                               .text = "the store does not have the group"};
        verify_tell(v, &difference);
    }
    return 0;
}

int verify_state(struct verify *v)
{
    for (int32_t p = 0; p < v->final->partitions; p++) {
        struct check check = {.v = v, .partition = p, .plain = *v->view->group};
        check.plain.having = NULL;
        check.plain.select = NULL;
        check.plain.emit_final = false;
        arena_init(&check.arena, 0);
        arena_init(&check.row_arena, 0);
        int rc = verify_pairs(v, v->final, p, judge_pair, &check);
        if (rc == 0)
            rc = judge_sessions(&check);
        arena_deinit(&check.arena);
        arena_deinit(&check.row_arena);
        free(check.cells);
        TRY(rc);
    }
    return tell_missing(v);
}
