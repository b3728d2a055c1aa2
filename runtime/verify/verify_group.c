/* verify_group.c: groups, their windows, and what their results ought to be (see verify_parts.h).
 *
 * A group is found by the text of its columns, as record keys print them, and the start of its
 * window. Windows are computed from the row's time alone: those that hold it, one after the other.
 * Sessions are kept as intervals, the newest first, and a row that lies between two makes one of
 * them; the engine's cells have no counterpart here.
 *
 * A result is put together when it is asked for: group columns, window, aggregates, the expressions
 * over them, HAVING, the selected columns, the format. */
#include <stdlib.h>

#include "operators/group_key.h"
#include "operators/window_local.h"
#include "runtime/verify/verify_parts.h"

/* Limits of what a group can keep (operators/README.md). */
enum {
    VALUES_MAX_BYTES = 32 << 20,
    VALUE_MAX_BYTES = 1 << 20,
    DISTINCT_MAX_BYTES = 32000,
    GROUP_MAX_BYTES = 65536 - 8,
    GROUP_SHORT_BYTES = 20000 /* a text of no more cannot be over the limit in any form */
};

static const struct group_params *params_of(const struct verify *v)
{
    return v->view->group;
}

/* ---- one row ---- */

struct inputs {
    struct column *groups, *arguments, *filters;
};

/* False when an expression fails for the row. */
static int eval_inputs(const struct group_params *params, const struct verify_row *row,
                       uint32_t calls, struct inputs *in, bool *is_good)
{
    struct arena *arena = &row->source->arena;
    struct reject_list rejects = {.arena = arena};
    in->groups = arena_zalloc(arena, (params->groups->count + 2) * sizeof *in->groups);
    in->arguments = arena_zalloc(arena, (calls + 1) * sizeof *in->arguments);
    in->filters = arena_zalloc(arena, (calls + 1) * sizeof *in->filters);
    if (in->groups == NULL || in->arguments == NULL || in->filters == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < params->groups->count; i++)
        TRY(expr_eval(params->groups->exprs[i], row->batch, &in->groups[i], &rejects));
    for (uint32_t c = 0; c < calls; c++) {
        const struct agg_call *call = &params->aggregates->calls[c];
        if (call->argument != NULL)
            TRY(expr_eval(call->argument, row->batch, &in->arguments[c], &rejects));
        if (call->filter != NULL)
            TRY(expr_eval(call->filter, row->batch, &in->filters[c], &rejects));
    }
    *is_good = rejects.count == 0;
    return 0;
}

static size_t limit_of(enum agg_func func, uint32_t calls)
{
    size_t share = VALUES_MAX_BYTES / (calls > 0 ? calls : 1);
    if (func == AGG_COUNT_DISTINCT)
        return DISTINCT_MAX_BYTES;
    if (func != AGG_MIN && func != AGG_MAX && func != AGG_FIRST && func != AGG_LAST)
        return SIZE_MAX;
    return share < VALUE_MAX_BYTES ? share : VALUE_MAX_BYTES;
}

static size_t length_of(const struct column *column)
{
    struct cell cell;
    if (column->data == NULL)
        return 0;
    cell_read(&cell, column, 0);
    if (cell.is_null)
        return 0;
    if (cell.type == COL_TEXT || cell.type == COL_BYTEA)
        return cell.text.size;
    return cell.type == COL_VARIANT && cell.variant.kind >= VARIANT_NUMBER ? cell.variant.size : 0;
}

static bool is_refused(const struct group_params *params, const struct inputs *in, uint32_t calls)
{
    for (uint32_t c = 0; c < calls; c++) {
        const struct agg_call *call = &params->aggregates->calls[c];
        if (accumulator_refuses(call, &in->arguments[c], &in->filters[c]) != NULL ||
            length_of(&in->arguments[c]) > limit_of(call->func, params->aggregates->call_count))
            return true;
    }
    return false;
}

static bool has_distinct(const struct group_params *params)
{
    for (uint32_t c = 0; c < params->aggregates->call_count; c++)
        if (params->aggregates->calls[c].func == AGG_COUNT_DISTINCT)
            return true;
    return false;
}

/* What a store cannot hold as a key. */
static int is_too_long(struct verify *v, const struct column *groups, bool *is_long)
{
    size_t limit = has_distinct(params_of(v)) ? DISTINCT_MAX_BYTES : GROUP_MAX_BYTES;
    *is_long = false;
    if (v->text.size <= GROUP_SHORT_BYTES)
        return 0;
    buf_clear(&v->scratch);
    group_key_encode(&v->scratch, groups, params_of(v)->groups->count, 0);
    *is_long = v->scratch.size > limit;
    return buf_ok(&v->scratch) ? 0 : verify_no_memory(v);
}

int verify_group_name(struct verify *v, const struct column *columns, int32_t partitions,
                      struct hash128 *name, int32_t *partition)
{
    buf_clear(&v->text);
    json_encode_key(&v->text, params_of(v)->key_names, columns, 0, false);
    if (!buf_ok(&v->text))
        return verify_no_memory(v);
    const void *text = v->text.data != NULL ? (const void *)v->text.data : "";
    *name = hash128(text, v->text.size);
    *partition = murmur2_partition(text, v->text.size, partitions);
    return 0;
}

/* ---- groups ---- */

static size_t group_bytes(const struct verify *v)
{
    return sizeof(struct verify_group) + (params_of(v)->groups->count + 1) * sizeof(struct cell) +
           (v->calls + 1) * sizeof(struct accumulator);
}

static int make_group(struct verify *v, const struct column *columns, struct hash128 name,
                      struct verify_group **made)
{
    uint32_t count = params_of(v)->groups->count;
    struct verify_group *group = calloc(1, sizeof *group);
    *made = group;
    if (group == NULL)
        return verify_no_memory(v);
    verify_hold(group_bytes(v));
    group->columns = calloc(count + 1, sizeof *group->columns);
    group->accumulators = calloc(v->calls + 1, sizeof *group->accumulators);
    group->name = name;
    group->number = v->distinct.groups++;
    group->offset = -1;
    if (group->columns == NULL || group->accumulators == NULL)
        return verify_no_memory(v);
    for (uint32_t i = 0; i < count; i++) {
        struct cell cell;
        cell_read(&cell, &columns[i], 0);
        if (cell_keep(&group->columns[i], &cell) < 0)
            return verify_no_memory(v);
    }
    return 0;
}

static void free_group(struct verify *v, struct verify_group *group)
{
    for (uint32_t i = 0; group->columns != NULL && i < params_of(v)->groups->count; i++)
        cell_release(&group->columns[i]);
    for (uint32_t c = 0; group->accumulators != NULL && c < v->calls; c++)
        accumulator_release(&group->accumulators[c]);
    verify_let_go(group_bytes(v));
    free(group->columns);
    free(group->accumulators);
    free(group);
}

static int add_row(struct verify *v, struct verify_group *group, const struct verify_row *row,
                   const struct inputs *in)
{
    if (!v->is_rekeyed)
        group->owner = row->partition;
    for (uint32_t c = 0; c < v->calls; c++)
        TRY(accumulator_add(&group->accumulators[c], &params_of(v)->aggregates->calls[c],
                            &in->arguments[c], &in->filters[c], &row->place, &v->distinct,
                            group->number, c, &row->source->arena));
    return 0;
}

static int add_to_window(struct verify *v, const struct verify_row *row, const struct inputs *in,
                         struct hash128 name, int64_t start_ms, int64_t end_ms)
{
    struct {
        struct hash128 name;
        int64_t start_ms;
    } both = {name, start_ms};
    struct verify_entry *entry = verify_map_at(&v->groups, hash128(&both, sizeof both));
    if (entry == NULL)
        return verify_no_memory(v);
    if (entry->value == NULL) {
        struct verify_group *group;
        int rc = make_group(v, in->groups, name, &group);
        entry->value = group;
        TRY(rc);
        group->start_ms = start_ms;
        group->end_ms = end_ms;
    }
    return add_row(v, entry->value, row, in);
}

/* Sessions of a group that touch each other are one. */
static int join_older(struct verify *v, struct verify_group *session)
{
    struct verify_group *older;
    while ((older = session->next_session) != NULL && older->end_ms >= session->start_ms) {
        for (uint32_t c = 0; c < v->calls; c++)
            TRY(accumulator_merge(&session->accumulators[c], &older->accumulators[c],
                                  &params_of(v)->aggregates->calls[c]));
        if (older->start_ms < session->start_ms)
            session->start_ms = older->start_ms;
        if (older->end_ms > session->end_ms)
            session->end_ms = older->end_ms;
        session->next_session = older->next_session;
        free_group(v, older);
    }
    return 0;
}

static int add_to_session(struct verify *v, const struct verify_row *row, const struct inputs *in,
                          struct hash128 name)
{
    int64_t gap_ms = params_of(v)->window.size_ms, ts = row->time_ms;
    struct verify_entry *entry = verify_map_at(&v->groups, name);
    if (entry == NULL)
        return verify_no_memory(v);
    struct verify_group *newer = NULL, *at = entry->value;
    while (at != NULL && at->start_ms - gap_ms > ts) {
        newer = at;
        at = at->next_session;
    }
    if (at == NULL || ts > at->end_ms) {
        struct verify_group *made;
        int rc = make_group(v, in->groups, name, &made);
        if (made != NULL) {
            made->next_session = at;
            made->start_ms = ts;
            made->end_ms = ts + gap_ms;
            if (newer == NULL)
                entry->value = made;
            else
                newer->next_session = made;
        }
        TRY(rc);
        return add_row(v, made, row, in);
    }
    if (ts < at->start_ms)
        at->start_ms = ts;
    if (ts + gap_ms > at->end_ms)
        at->end_ms = ts + gap_ms;
    TRY(add_row(v, at, row, in));
    return join_older(v, at);
}

/* ---- windows ---- */

static int64_t floor_to(int64_t time_ms, int64_t step_ms)
{
    int64_t rest = time_ms % step_ms;
    return time_ms - (rest < 0 ? rest + step_ms : rest);
}

/* Every window that holds the row takes it unless it has ended at the row's place; the row is late
 * when none takes it. */
static int add_to_windows(struct verify *v, const struct verify_row *row, const struct inputs *in,
                          struct hash128 name, enum fate *fate)
{
    const struct window_spec *window = &params_of(v)->window;
    int64_t ts = row->time_ms, start_ms, end_ms;
    *fate = FATE_LATE;
    if (window->kind == WINDOW_LOCAL) {
        local_window_at(window->local, ts, &start_ms, &end_ms);
        if (end_ms <= row->watermark_ms)
            return 0;
        *fate = FATE_APPLIED;
        return add_to_window(v, row, in, name, start_ms, end_ms);
    }
    if (window->kind == WINDOW_SESSION) {
        if (ts + window->size_ms <= row->watermark_ms)
            return 0;
        *fate = FATE_APPLIED;
        return add_to_session(v, row, in, name);
    }
    start_ms = floor_to(ts, window->hop_ms);
    for (; start_ms + window->size_ms > ts; start_ms -= window->hop_ms) {
        if (start_ms + window->size_ms <= row->watermark_ms)
            break; /* and so have those before it */
        *fate = FATE_APPLIED;
        TRY(add_to_window(v, row, in, name, start_ms, start_ms + window->size_ms));
    }
    return 0;
}

static bool can_be_taken(const struct window_spec *window, const struct verify_row *row)
{
    return window->kind == WINDOW_ABSENT || window->kind == WINDOW_SESSION ||
           window->kind == WINDOW_LOCAL ||
           floor_to(row->time_ms, window->hop_ms) + window->size_ms > row->watermark_ms;
}

/* Inputs and name of the row's group. False: it cannot be taken, and is a dead letter. */
static int prepare(struct verify *v, const struct verify_row *row, struct inputs *in,
                   struct hash128 *name, bool *is_good)
{
    const struct group_params *params = row->source->arm->group; /* names are an arm's own */
    int32_t where = 0;
    bool is_long;
    TRY(eval_inputs(params, row, v->calls, in, is_good));
    *is_good = *is_good && !is_refused(params, in, v->calls);
    if (!*is_good)
        return 0;
    for (uint32_t i = 0; i < params->groups->count; i++) {
        struct cell cell;
        cell_read(&cell, &in->groups[i], 0);
        TRY(cell_canonical(&cell, &row->source->arena));
        TRY(cell_write(&cell, &in->groups[i], &row->source->arena));
    }
    TRY(verify_group_name(v, in->groups, row->stage->partitions, name, &where));
    TRY(is_too_long(v, in->groups, &is_long));
    *is_good = !(row->stage->check_placement && where != row->partition) &&
               !(is_long && can_be_taken(&params->window, row));
    return 0;
}

int verify_group_takes(struct verify *v, const struct verify_row *row, bool *is_good)
{
    struct inputs in;
    struct hash128 name;
    return prepare(v, row, &in, &name, is_good);
}

int verify_group_row(void *verify, const struct verify_row *row, enum fate *fate)
{
    struct verify *v = verify;
    struct inputs in;
    struct hash128 name;
    bool is_good;
    *fate = FATE_DEAD;
    TRY(prepare(v, row, &in, &name, &is_good));
    if (!is_good)
        return 0;
    *fate = FATE_APPLIED;
    if (row->is_undecided)
        return verify_name_group(v, &v->undecided, in.groups, &row->source->arena);
    if (row->source->arm->group->window.kind != WINDOW_ABSENT)
        return add_to_windows(v, row, &in, name, fate);
    return add_to_window(v, row, &in, name, 0, 0);
}

/* ---- all rows are in ---- */

/* What the engine's cursor stands for: the start of the window; of a session that of the cell which
 * holds its last row. */
static int64_t closing_start(const struct verify *v, const struct verify_group *group)
{
    const struct window_spec *window = &params_of(v)->window;
    return window->kind == WINDOW_SESSION
               ? floor_to(group->end_ms - window->size_ms, window->size_ms)
               : group->start_ms;
}

static int64_t closing_time(const struct verify *v, const struct verify_group *group)
{
    const struct window_spec *window = &params_of(v)->window;
    return window->kind == WINDOW_SESSION ? closing_start(v, group) + 3 * window->size_ms
                                          : group->end_ms;
}

/* A window is closed when the committed cursor has passed it; one of very many groups is closed over
 * several commits, and while it is, each of its groups may have been or not. */
static enum group_status status_of(const struct verify *v, const struct verify_group *group)
{
    const struct progress *progress = progress_set_find(&v->progress, v->final->name, group->owner);
    if (!v->view->is_windowed || progress == NULL || progress->is_begin || progress->is_reset)
        return GROUP_OPEN;
    if (progress->closed_before_ms != TIME_NONE &&
        closing_start(v, group) < progress->closed_before_ms)
        return GROUP_CLOSED;
    return progress->watermark_ms != TIME_NONE && closing_time(v, group) <= progress->watermark_ms
               ? GROUP_CLOSING
               : GROUP_OPEN;
}

/* No window closes before time has passed it at every source of its task. */
static void compare_closing(struct verify *v, const struct verify_group *group, struct bytes key)
{
    int64_t passed_ms = v->is_rekeyed ? v->lowest_ms : v->times_ms[group->owner];
    if (group->status != GROUP_CLOSED || !v->knows_time || closing_time(v, group) <= passed_ms)
        return;
    struct verify_difference difference = {
        .kind = "time",
        .where = "progress",
        .topic = v->final->name,
        .partition = group->owner,
        .offset = -1,
        .key = key,
        .text = "the window was closed before the time of its sources had passed it"};
    verify_tell(v, &difference);
}

static int finish_group(struct verify *v, struct verify_group *group)
{
    struct verify_result result;
    int32_t where = 0;
    v->list[v->list_count++] = group;
    arena_reset(&v->arena);
    struct column *columns =
        arena_alloc(&v->arena, (params_of(v)->groups->count + 1) * sizeof *columns);
    if (columns == NULL)
        return verify_no_memory(v);
    for (uint32_t i = 0; i < params_of(v)->groups->count; i++)
        TRY(cell_write(&group->columns[i], &columns[i], &v->arena));
    TRY(verify_group_name(v, columns, v->final->partitions, &group->name, &where));
    if (v->is_rekeyed)
        group->owner = where;
    TRY(verify_group_name(v, columns, v->final->output_partitions, &group->name,
                          &group->partition));
    group->status = (uint8_t)status_of(v, group);
    group->is_waiting = verify_map_find(&v->waiting, group->name) != NULL;
    group->is_undecided = verify_map_find(&v->undecided, group->name) != NULL;
    TRY(verify_group_render(v, group, &result));
    struct verify_entry *entry =
        verify_map_at(&v->by_key, hash128(result.key.data, result.key.size));
    if (entry == NULL)
        return verify_no_memory(v);
    entry->value = group;
    compare_closing(v, group, result.key);
    v->report->groups++;
    if (v->view->is_windowed) {
        v->report->closed += group->status == GROUP_CLOSED;
        v->report->open += group->status != GROUP_CLOSED;
    }
    return 0;
}

int verify_groups_finish(struct verify *v)
{
    size_t count = 0;
    for (size_t i = 0; i < v->groups.capacity; i++)
        for (const struct verify_group *group = v->groups.slots[i].value; group != NULL;
             group = group->next_session)
            count++;
    v->list = calloc(count + 1, sizeof(struct verify_group *));
    if (v->list == NULL)
        return verify_no_memory(v);
    for (size_t i = 0; i < v->groups.capacity; i++)
        for (struct verify_group *group = v->groups.slots[i].value; group != NULL;
             group = group->next_session) {
            TRY(finish_group(v, group));
            TRY(verify_look(v));
        }
    return 0;
}

void verify_groups_deinit(struct verify *v)
{
    for (size_t i = 0; i < v->groups.capacity; i++)
        for (struct verify_group *group = v->groups.slots[i].value, *next; group != NULL;
             group = next) {
            next = group->next_session;
            free_group(v, group);
        }
    verify_map_deinit(&v->groups);
    verify_map_deinit(&v->by_key);
    verify_map_deinit(&v->waiting);
    verify_map_deinit(&v->undecided);
    verify_map_deinit(&v->distinct.values);
    free(v->list);
}

/* ---- results ---- */

static int put_time(struct verify *v, struct column *column, int64_t time_ms)
{
    struct cell cell = {.type = COL_TIMESTAMPTZ, .i64 = time_ms};
    return cell_write(&cell, column, &v->arena);
}

/* Group columns, the window, and a column for each call. */
static int put_inputs(struct verify *v, const struct verify_group *group, struct column *columns,
                      bool *is_expressible)
{
    const struct group_params *params = params_of(v);
    uint32_t at = 0;
    for (; at < params->groups->count; at++)
        TRY(cell_write(&group->columns[at], &columns[at], &v->arena));
    if (v->view->is_windowed) {
        TRY(put_time(v, &columns[at++], group->start_ms));
        TRY(put_time(v, &columns[at++], group->end_ms));
    }
    for (uint32_t c = 0; c < params->aggregates->call_count; c++) {
        const struct agg_call *call = &params->aggregates->calls[c];
        if (c >= v->calls) { /* of sessions: no expression reads it */
            TRY(column_alloc(&columns[at + c], call->result_type, 1, true, &v->arena));
            continue;
        }
        int rc = accumulator_result(&group->accumulators[c], call, &columns[at + c], &v->arena);
        TRY(rc);
        *is_expressible &= rc == 1;
    }
    return 0;
}

static int put_value(struct verify *v, struct batch *batch, struct verify_result *result)
{
    const struct view *view = v->view;
    struct encoding encoding = {.view = view,
                                .columns = batch->columns + view->first_value,
                                .count = view->column_count - view->first_value,
                                .arena = &v->arena,
                                .out = &v->value};
    buf_clear(&v->value);
    int rc = view->format->encode(&encoding, 0);
    if (rc == ERR_INVALID) {
        result->is_expressible = false;
        return 0;
    }
    if (rc < 0 || !buf_ok(&v->value))
        return verify_no_memory(v);
    result->value =
        encoding.is_null
            ? (struct bytes){NULL, 0}
            : bytes_of(v->value.data != NULL ? (const void *)v->value.data : "", v->value.size);
    return 0;
}

/* HAVING, then the selected columns, over the columns of the result. */
static int judge(struct verify *v, struct batch *batch, struct reject_list *rejects,
                 struct verify_result *result)
{
    const struct group_params *params = params_of(v);
    uint32_t count = batch->column_count, shown = 1;
    uint16_t selection[1];
    if (params->having != NULL)
        TRY(expr_filter(params->having, batch, selection, &shown, rejects));
    result->is_shown = shown > 0;
    result->is_expressible &= rejects->count == 0;
    if (!result->is_shown || !result->is_expressible)
        return 0;
    for (uint32_t i = 0; params->select != NULL && i < params->select->count; i++)
        TRY(expr_eval(params->select->exprs[i], batch, &batch->columns[count + i], rejects));
    if (rejects->count == 0)
        return put_value(v, batch, result);
    result->is_expressible = false;
    return 0;
}

static int render(struct verify *v, const struct verify_group *group, struct verify_result *result)
{
    const struct group_params *params = params_of(v);
    struct reject_list rejects = {.arena = &v->arena};
    uint32_t fixed = params->groups->count + (v->view->is_windowed ? 2 : 0);
    uint32_t count = fixed + params->aggregates->call_count;
    struct column *inputs = arena_zalloc(&v->arena, (count + 1) * sizeof *inputs);
    struct column *columns =
        arena_zalloc(&v->arena, (group_batch_columns(params) + 1) * sizeof *columns);
    if (inputs == NULL || columns == NULL)
        return ERR_NOMEM;
    TRY(put_inputs(v, group, inputs, &result->is_expressible));
    struct batch batch = {.row_count = 1,
                          .selected_count = 1,
                          .columns = inputs,
                          .column_count = count,
                          .arena = &v->arena};
    memcpy(columns, inputs, fixed * sizeof *columns);
    buf_clear(&v->key);
    json_encode_key(&v->key, v->view->key_names, columns, 0, v->view->is_windowed);
    result->key = bytes_of(v->key.data != NULL ? (const void *)v->key.data : "", v->key.size);
    if (!result->is_expressible)
        return buf_ok(&v->key) ? 0 : ERR_NOMEM;
    for (uint32_t i = 0; i < params->aggregates->output_count; i++)
        TRY(expr_eval(params->aggregates->outputs[i], &batch, &columns[fixed + i], &rejects));
    result->is_expressible = rejects.count == 0;
    batch.columns = columns;
    batch.column_count = group_result_columns(params);
    buf_clear(&v->row);
    if (result->is_expressible)
        json_encode_row(&v->row, v->view->result_names, columns, 0, false);
    result->row = bytes_of(v->row.data, v->row.size);
    if (!buf_ok(&v->key) || !buf_ok(&v->row))
        return ERR_NOMEM;
    return result->is_expressible ? judge(v, &batch, &rejects, result) : 0;
}

int verify_group_render(struct verify *v, const struct verify_group *group,
                        struct verify_result *result)
{
    *result = (struct verify_result){.is_expressible = true};
    arena_reset(&v->arena);
    int rc = render(v, group, result);
    return rc == ERR_NOMEM ? verify_no_memory(v) : rc;
}
