/* drawn_groups.c: grouped statements of drawn files (see drawn_sql.h): windows, groups found by
 * walking a list, aggregates that keep what they saw, sessions built of sorted rows. */
#include <stdlib.h>
#include <string.h>

#include "runtime/base/error.h"
#include "tests/support/drawn_sql.h"

/* What one row brings to its groups. */
struct brought {
    struct datum keys[DRAWN_GROUPS_MAX];
    struct datum args[DRAWN_CALLS_MAX];
    bool counts[DRAWN_CALLS_MAX]; /* it passed the FILTER */
    int64_t time_ms;
    int place, order;
};
struct group {
    struct datum keys[DRAWN_GROUPS_MAX];
    int64_t start_ms, end_ms;
    int place;
    struct brought *rows;
    int count;
};
struct grouped {
    struct brought *visits; /* of sessions */
    int visit_count;
    struct group *groups;
    int count;
};

/* ---- windows ---- */

static int64_t floor_of(int64_t value, int64_t step)
{
    int64_t rest = value % step;
    return value - (rest < 0 ? rest + step : rest);
}

static struct group *find_group(struct grouped *grouped, const struct drawn_result *result,
                                const struct datum *keys, int64_t start_ms)
{
    for (int i = 0; i < grouped->count; i++) {
        struct group *group = &grouped->groups[i];
        bool is_same = group->start_ms == start_ms;
        for (int g = 0; g < result->group_count; g++)
            is_same = is_same && datum_same(&group->keys[g], &keys[g]);
        if (is_same)
            return group;
    }
    grouped->groups =
        realloc(grouped->groups, (size_t)(grouped->count + 1) * sizeof *grouped->groups);
    must(grouped->groups != NULL);
    struct group *group = &grouped->groups[grouped->count++];
    *group = (struct group){.start_ms = start_ms};
    memcpy(group->keys, keys, sizeof group->keys);
    return group;
}

static void add_row(struct brought **rows, int *count, const struct brought *row)
{
    if ((*count & (*count - 1)) == 0) {
        *rows = realloc(*rows, (size_t)(*count == 0 ? 1 : *count * 2) * sizeof **rows);
        must(*rows != NULL);
    }
    (*rows)[(*count)++] = *row;
}

static void take(struct grouped *grouped, const struct drawn_result *result,
                 const struct brought *row, int64_t start_ms)
{
    struct group *group = find_group(grouped, result, row->keys, start_ms);
    group->end_ms = start_ms + result->size_ms;
    group->place = row->place;
    add_row(&group->rows, &group->count, row);
}

static void take_windows(struct drawn_pipeline *pipeline, struct grouped *grouped,
                         const struct drawn_row *row, const struct brought *brought)
{
    const struct drawn_result *result = pipeline->result;
    bool is_session = result->window == WINDOW_SESSION;
    int64_t start_ms = is_session ? row->time_ms : floor_of(row->time_ms, result->hop_ms);
    for (; start_ms + result->size_ms > row->time_ms; start_ms -= result->hop_ms) {
        if (start_ms + result->size_ms <= row->watermark_ms)
            drawn_late(pipeline, row);
        else if (is_session)
            add_row(&grouped->visits, &grouped->visit_count, brought);
        else
            take(grouped, result, brought, start_ms);
        if (is_session)
            break;
    }
}

/* ---- rows ---- */

static const char *bring(const struct drawn_result *result, const struct drawn_row *row,
                         struct brought *brought)
{
    const char *error = NULL;
    for (int g = 0; g < result->group_count && error == NULL; g++)
        error = drawn_expr_value(result->groups[g], row->cells, &brought->keys[g]);
    for (int i = 0; i < result->call_count && error == NULL; i++) {
        const struct drawn_call *call = &result->calls[i];
        struct datum filter = datum_number(DATUM_BOOLEAN, 1, 0);
        if (call->filter != NULL)
            error = drawn_expr_value(call->filter, row->cells, &filter);
        brought->counts[i] = !filter.is_null && filter.n != 0;
        if (error == NULL && call->arg != NULL && brought->counts[i])
            error = drawn_expr_value(call->arg, row->cells, &brought->args[i]);
    }
    return error;
}

static void group_row(struct drawn_pipeline *pipeline, struct drawn_row *row, void *context)
{
    struct grouped *grouped = context;
    const struct drawn_result *result = pipeline->result;
    struct brought brought = {.time_ms = row->time_ms, .place = row->place, .order = row->order};
    struct datum value;
    if (result->where != NULL) {
        const char *error = drawn_expr_value(result->where, row->cells, &value);
        if (error != NULL)
            drawn_die(pipeline, row, error);
        if (error != NULL || value.is_null || value.n == 0)
            return;
    }
    const char *error = bring(result, row, &brought);
    if (error != NULL)
        drawn_die(pipeline, row, error);
    else if (result->window == WINDOW_NONE)
        take(grouped, result, &brought, 0);
    else
        take_windows(pipeline, grouped, row, &brought);
}

static int compare_visits(const void *left, const void *right)
{
    const struct brought *a = left, *b = right;
    for (int g = 0; g < DRAWN_GROUPS_MAX; g++) {
        if (a->keys[g].is_null != b->keys[g].is_null)
            return a->keys[g].is_null ? -1 : 1;
        int order = a->keys[g].is_null ? 0 : datum_compare(&a->keys[g], &b->keys[g]);
        if (order != 0)
            return order;
    }
    return (a->time_ms > b->time_ms) - (a->time_ms < b->time_ms);
}

/* Rows of a group in the order of their times; one that is more than the gap behind the one before
 * begins a session. */
static void build_sessions(const struct drawn_result *result, struct grouped *grouped)
{
    int64_t start_ms = 0;
    if (grouped->visit_count > 0)
        qsort(grouped->visits, (size_t)grouped->visit_count, sizeof *grouped->visits,
              compare_visits);
    for (int i = 0; i < grouped->visit_count; i++) {
        const struct brought *visit = &grouped->visits[i], *before = visit - 1;
        bool goes_on = i > 0 && visit->time_ms - before->time_ms <= result->size_ms;
        for (int g = 0; g < result->group_count && goes_on; g++)
            goes_on = datum_same(&visit->keys[g], &before->keys[g]);
        start_ms = goes_on ? start_ms : visit->time_ms;
        take(grouped, result, visit, start_ms);
        struct group *group = find_group(grouped, result, visit->keys, start_ms);
        group->end_ms = visit->time_ms + result->size_ms;
    }
}

/* ---- aggregates ---- */

static bool is_counted(const struct brought *row, int call, bool needs_value)
{
    return row->counts[call] && (!needs_value || !row->args[call].is_null);
}

static int count_rows(const struct group *group, int call, bool needs_value, bool is_distinct)
{
    int count = 0;
    for (int i = 0; i < group->count; i++) {
        bool counts = is_counted(&group->rows[i], call, needs_value);
        for (int before = 0; before < i && counts && is_distinct; before++)
            counts = !is_counted(&group->rows[before], call, true) ||
                     !datum_same(&group->rows[before].args[call], &group->rows[i].args[call]);
        count += counts;
    }
    return count;
}

/* Of at least one value; with the most digits behind the point that one has. */
static struct datum sum_of(const struct group *group, int call)
{
    struct datum sum = datum_number(DATUM_NUMERIC, 0, 0);
    for (int i = 0; i < group->count; i++) {
        struct datum value = group->rows[i].args[call];
        if (!is_counted(&group->rows[i], call, true))
            continue;
        if (value.scale > sum.scale)
            sum = datum_round(&sum, value.scale);
        else
            value = datum_round(&value, sum.scale);
        sum.n += value.n;
    }
    return sum;
}

static bool is_before(const struct brought *a, const struct brought *b)
{
    if (a->time_ms != b->time_ms)
        return a->time_ms < b->time_ms;
    return a->place != b->place ? a->place < b->place : a->order < b->order;
}

/* The row whose value is the least, greatest, first or last. */
static struct datum picked(const struct group *group, int call, enum drawn_call_kind kind)
{
    const struct brought *best = NULL;
    for (int i = 0; i < group->count; i++) {
        const struct brought *row = &group->rows[i];
        if (!is_counted(row, call, true))
            continue;
        bool is_better = best == NULL;
        if (!is_better && (kind == CALL_MIN || kind == CALL_MAX)) {
            int order = datum_compare(&row->args[call], &best->args[call]);
            if (order ==
                0) /* of equal numbers the one with fewer digits behind the point is the smaller */
                order = row->args[call].scale - best->args[call].scale;
            is_better = kind == CALL_MIN ? order < 0 : order > 0;
        } else if (!is_better) {
            is_better = kind == CALL_FIRST ? is_before(row, best) : is_before(best, row);
        }
        best = is_better ? row : best;
    }
    return best->args[call];
}

static struct datum call_value(const struct drawn_result *result, const struct group *group,
                               int call)
{
    enum drawn_call_kind kind = result->calls[call].kind;
    bool is_distinct = kind == CALL_COUNT_DISTINCT;
    int count = count_rows(group, call, kind != CALL_COUNT_ALL, is_distinct);
    if (kind == CALL_COUNT_ALL || kind == CALL_COUNT || is_distinct)
        return datum_number(DATUM_BIGINT, count, 0);
    if (count == 0)
        return datum_null(DATUM_NUMERIC);
    if (kind == CALL_SUM)
        return sum_of(group, call);
    if (kind == CALL_AVG)
        return datum_mean(sum_of(group, call).n, count);
    return picked(group, call, kind);
}

/* ---- results ---- */

static void print_groups(const struct drawn_result *result, const struct group *group,
                         struct buf *out)
{
    for (int g = 0; g < result->group_count; g++) {
        buf_printf(out, "%s\"%s\":", g > 0 ? "," : "{", result->group_names[g]);
        datum_print_json(&group->keys[g], out);
    }
}

static void print_key(const struct drawn_result *result, const struct group *group, struct buf *out)
{
    struct datum start = datum_number(DATUM_TIME, group->start_ms, 0);
    if (result->window == WINDOW_NONE && result->group_count == 1 &&
        group->keys[0].type == DATUM_TEXT && !group->keys[0].is_null) {
        buf_printf(out, "%s", group->keys[0].text);
        return;
    }
    print_groups(result, group, out);
    if (result->group_count == 0)
        buf_printf(out, "{\"everything\":true");
    if (result->window != WINDOW_NONE) {
        buf_printf(out, ",\"window_start\":");
        datum_print_json(&start, out);
    }
    buf_printf(out, "}");
}

static void print_value(const struct drawn_result *result, const struct group *group,
                        struct drawn_input *output, struct buf *out)
{
    struct datum start = datum_number(DATUM_TIME, group->start_ms, 0);
    struct datum end = datum_number(DATUM_TIME, group->end_ms, 0);
    int cells = 0;
    print_groups(result, group, out);
    for (int g = 0; g < result->group_count; g++)
        output->cells[cells++] = group->keys[g];
    for (int i = 0; i < result->call_count; i++) {
        output->cells[cells] = call_value(result, group, i);
        buf_printf(out, "%s\"%s\":", cells > 0 ? "," : "{", result->calls[i].name);
        datum_print_json(&output->cells[cells++], out);
    }
    if (result->shows_start) {
        buf_printf(out, ",\"started\":");
        datum_print_json(&start, out);
        output->cells[cells++] = start;
    }
    if (result->shows_end) {
        buf_printf(out, ",\"ended\":");
        datum_print_json(&end, out);
        output->cells[cells++] = end;
    }
    buf_printf(out, "}");
}

static bool is_shown(const struct drawn_result *result, const struct group *group)
{
    if (result->having < 0)
        return true;
    struct datum value = call_value(result, group, result->having);
    struct datum above = datum_number(DATUM_NUMERIC, result->having_above, 0);
    return !value.is_null && datum_compare(&value, &above) > 0;
}

/* What all partitions of all sources have passed. */
static int64_t slowest(const struct drawn_pipeline *pipeline)
{
    int64_t lowest_ms = INT64_MAX;
    for (int leaf = 0; leaf < pipeline->leaf_count; leaf++)
        for (int p = 0; p < pipeline->file->partitions; p++) {
            int64_t at_ms = pipeline->watermarks_ms[leaf * DRAWN_PARTITIONS_MAX + p];
            lowest_ms = at_ms < lowest_ms ? at_ms : lowest_ms;
        }
    return lowest_ms;
}

/* Sessions close when the cell of their last row does: at three gaps from the cell's start. */
static bool is_closed(const struct drawn_pipeline *pipeline, const struct group *group)
{
    const struct drawn_result *result = pipeline->result;
    int64_t gap_ms = result->size_ms, closes_ms = group->end_ms;
    if (result->window == WINDOW_SESSION)
        closes_ms = floor_of(group->end_ms - gap_ms, gap_ms) + 3 * gap_ms;
    return closes_ms <= slowest(pipeline);
}

static void write_group(struct drawn_pipeline *pipeline, const struct group *group)
{
    const struct drawn_result *result = pipeline->result;
    struct buf key, value;
    buf_init(&key, 0);
    buf_init(&value, 0);
    struct drawn_input *output = drawn_output(pipeline);
    print_value(result, group, output, &value);
    output->text = drawn_keep(pipeline, &value);
    output->stamp = INT64_MAX;
    print_key(result, group, &key);
    pairs_add(&pipeline->expected->outputs[pipeline->index], bytes_of(key.data, key.size),
              bytes_text(output->text));
    buf_deinit(&key);
}

void drawn_group(struct drawn_pipeline *pipeline, bool closes_windows)
{
    const struct drawn_result *result = pipeline->result;
    struct grouped grouped = {.count = 0};
    drawn_walk(pipeline, result->rows, group_row, &grouped);
    build_sessions(result, &grouped);
    for (int i = 0; i < grouped.count; i++) {
        struct group *group = &grouped.groups[i];
        bool is_written = !result->emit_final || closes_windows || is_closed(pipeline, group);
        if (is_written && is_shown(result, group))
            write_group(pipeline, group);
        free(group->rows);
    }
    free(grouped.groups);
    free(grouped.visits);
}
