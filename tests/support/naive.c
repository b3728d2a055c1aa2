/* naive.c: the model (see naive.h). Slow and plain: each stage walks its rows once, in the order of
 * their partitions, round by round, and prints what it makes of them.
 *
 * Time is kept per partition of the main stage's source: rows move it, the wall clock moves what is
 * idle, and closing all windows moves all of it. */
#include "tests/support/naive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/error.h"
#include "runtime/base/hash.h"
#include "tests/support/naive_model.h"

#define NEVER INT64_MIN
enum { ORDER_STEP = 64, HOUR_MS = 3600000 };

/* A row that session windows took. */
struct visit {
    char k;
    int64_t g;
    struct naive_row row;
};
struct model {
    const struct naive_plan *plan;
    struct naive_result *result;
    struct naive_groups groups;
    struct time {
        int64_t watermark_ms, seen_ms, idle_since_ms;
    } times
        [NAIVE_PLACES_MAX]; /* of the main stage's source, by partition, or by place when that is several */
    int64_t clocks_ms[NAIVE_PLACES_MAX]; /* by place: how far rows in front of m<N> have come */
    int64_t order;
    struct visit *visits;
    int visit_count;
};

/* Where the main stage's rows lie, one after the other. */
static int main_places(const struct naive_plan *plan)
{
    return plan->middle != MIDDLE_NONE ? plan->partitions : naive_places(plan);
}

static int64_t floor_to(int64_t value, int64_t step)
{
    int64_t rest = value % step;
    return value - (rest < 0 ? rest + step : rest);
}

/* ---- windows ---- */

/* A window that holds the time: the newest one. Of sessions the one that a row would make alone. */
static void newest_window(const struct naive_plan *plan, int64_t ts_ms, int64_t *start_ms,
                          int64_t *end_ms)
{
    if (plan->windows == LOCAL) {
        naive_local_window(plan->zone, plan->unit, plan->units, ts_ms, start_ms, end_ms);
        return;
    }
    *start_ms = plan->windows == SESSIONS ? ts_ms : floor_to(ts_ms, plan->hop_ms);
    *end_ms = *start_ms + plan->window_ms;
}

/* The watermark at which a window closes. Sessions close when the cell of their last row does: at
 * three gaps from the cell's start. */
static int64_t closes_at(const struct naive_plan *plan, int64_t end_ms)
{
    if (plan->windows != SESSIONS)
        return end_ms;
    return floor_to(end_ms - plan->window_ms, plan->window_ms) + 3 * plan->window_ms;
}

/* What the functions of job_functions.c do not take. */
static bool function_refuses(const struct naive_plan *plan, const struct naive_row *row)
{
    return plan->function != NULL && (row->n_kind == VALUE_TEXT || row->n_kind == VALUE_BOOL ||
                                      (row->n_kind == VALUE_INT && row->n == 7));
}

static void take(struct model *model, const struct naive_row *row, int64_t start_ms, int64_t end_ms)
{
    const struct naive_plan *plan = model->plan;
    char k = plan->grouping == BY_G_MODULO ? 0 : row->k;
    int64_t g = plan->grouping == BY_K ? 0 : plan->grouping == BY_K_AND_G ? row->g : row->g % 2;
    if (plan->windows == SESSIONS) {
        if ((model->visit_count & (model->visit_count - 1)) == 0) {
            size_t room = model->visit_count == 0 ? 1 : (size_t)model->visit_count * 2;
            model->visits = realloc(model->visits, room * sizeof *model->visits);
            must(model->visits != NULL);
        }
        model->visits[model->visit_count++] = (struct visit){k, g, *row};
        return;
    }
    struct naive_group *group = naive_find_group(&model->groups, k, g, start_ms, row->partition);
    group->end_ms = end_ms;
    naive_add_row(group, row);
}

/* Up to where windows are closed for this row. Where rows of several places come together, by the
 * time of its own place; what has closed at the end of a run has in any case. */
static int64_t watermark_at(const struct model *model, const struct naive_row *row)
{
    int64_t closed_ms = model->times[row->partition].watermark_ms;
    if (!model->plan->mixes)
        return closed_ms;
    int64_t own_ms = model->clocks_ms[row->place] - model->plan->lateness_ms;
    return own_ms > closed_ms ? own_ms : closed_ms;
}

/* Every window that holds the row takes it or has closed; the row is late when none takes it, and
 * a function sees it when one does. */
static void apply_windows(struct model *model, const struct naive_row *row, const char *source)
{
    const struct naive_plan *plan = model->plan;
    struct naive_stage *stage = &model->result->main;
    int64_t start_ms, end_ms, watermark_ms = watermark_at(model, row);
    newest_window(plan, row->ts, &start_ms, &end_ms);
    bool is_late = end_ms <= watermark_ms, is_refused = function_refuses(plan, row);
    for (;;) {
        if (end_ms <= watermark_ms)
            pairs_add_text(&model->result->late_rows, "", source);
        else if (!is_refused)
            take(model, row, start_ms, end_ms);
        if (plan->windows != HOPPING)
            break;
        start_ms -= plan->hop_ms;
        end_ms -= plan->hop_ms;
        if (end_ms <= row->ts)
            break;
    }
    if (is_late)
        stage->late++;
    else if (is_refused)
        naive_die(stage, source, "function");
    else
        stage->applied++;
}

/* ---- the main stage ---- */

static bool aggregates_take(const struct naive_plan *plan, const struct naive_row *row)
{
    for (int i = 0; i < plan->aggregate_count && plan->function == NULL; i++) {
        enum aggregate aggregate = plan->aggregates[i];
        if ((aggregate == SUM_N || aggregate == COUNT_POSITIVE || aggregate == AVG_N) &&
            naive_n_usable(row) == TYPE_MISMATCH)
            return false;
    }
    return true;
}

static void end_main(void *context, struct naive_row *row, const char *source)
{
    struct model *model = context;
    const struct naive_plan *plan = model->plan;
    struct naive_stage *stage = &model->result->main;
    if (plan->is_rows) {
        if (naive_maps(plan, plan->middle_steps, plan->step_count))
            naive_print_mapped(row);
        stage->applied++;
        pairs_add_text(&model->result->outputs, "", row->text);
    } else if (!aggregates_take(plan, row)) {
        naive_die(stage, source, "type_mismatch");
    } else if (plan->windows != NO_WINDOWS) {
        apply_windows(model, row, source);
    } else if (function_refuses(plan, row)) {
        naive_die(stage, source, "function");
    } else {
        stage->applied++;
        take(model, row, 0, 0);
    }
}

/* What is wrong with a record whatever the steps are; it moves no time. */
static const char *defect_of(const struct naive_row *row, int64_t skew_ms)
{
    if (row->defect != NULL)
        return row->defect;
    if (row->timestamp_ms != INT64_MIN && row->ts > row->timestamp_ms + skew_ms)
        return "event_time_future";
    return NULL;
}

/* Of comma-separated values every column is cast before any step. */
static bool casts_fail(bool is_csv, const struct naive_row *row)
{
    return is_csv && naive_n_usable(row) == TYPE_MISMATCH;
}

static void apply_row(struct model *model, const struct naive_row *given)
{
    const struct naive_plan *plan = model->plan;
    struct naive_row row = *given;
    struct naive_stage *stage = &model->result->main;
    struct time *time = &model->times[row.partition];
    row.order = model->order += ORDER_STEP;
    time->idle_since_ms = NEVER;
    stage->in++;
    const char *defect = defect_of(&row, plan->skew_ms >= 0 ? plan->skew_ms : HOUR_MS);
    if (defect != NULL) {
        naive_die(stage, row.text, defect);
        return;
    }
    if (row.ts > time->seen_ms)
        time->seen_ms = row.ts;
    if (!plan->mixes && row.ts - plan->lateness_ms > time->watermark_ms)
        time->watermark_ms = row.ts - plan->lateness_ms;
    if (casts_fail(plan->is_csv && plan->middle != MIDDLE_ROWS, &row)) {
        naive_die(stage, row.text, "cast_failed");
        return;
    }
    struct naive_walk walk = {plan, stage, plan->step_count, given->text, end_main, model, 0};
    naive_walk(&walk, &row, plan->middle_steps);
}

/* ---- the stage in front ---- */

static void rekey(const struct naive_plan *plan, struct naive_row *row, char key[64])
{
    char k[8] = "null";
    if (row->k != 0)
        snprintf(k, sizeof k, "\"%c\"", row->k);
    if (strcmp(plan->rekey, "k") != 0)
        snprintf(key, 64, "{\"k\":%s,\"g\":%lld}", k, (long long)row->g);
    else if (row->k != 0)
        snprintf(key, 64, "%c", row->k);
    else
        snprintf(key, 64, "{\"k\":null}");
    row->partition = murmur2_partition(key, strlen(key), plan->partitions);
}

static void end_middle(void *context, struct naive_row *row, const char *source)
{
    struct model *model = context;
    char key[64] = "";
    (void)source;
    row->partition = row->place % model->plan->partitions;
    if (model->plan->middle == MIDDLE_ROWS)
        naive_print_mapped(row);
    if (model->plan->rekey != NULL)
        rekey(model->plan, row, key);
    model->result->middle.applied++;
    pairs_add_text(&model->result->middle_rows, key, row->text);
    apply_row(model, row);
}

static void run_middle(struct model *model, const struct naive_row *row)
{
    const struct naive_plan *plan = model->plan;
    struct naive_stage *stage = &model->result->middle;
    stage->in++;
    const char *defect = defect_of(row, HOUR_MS);
    if (defect == NULL && row->ts > model->clocks_ms[row->place])
        model->clocks_ms[row->place] = row->ts;
    if (defect == NULL && casts_fail(plan->is_csv, row))
        defect = "cast_failed";
    if (defect != NULL) {
        naive_die(stage, row->text, defect);
        return;
    }
    struct naive_walk walk = {plan, stage, plan->middle_steps, row->text, end_middle, model, 0};
    naive_walk(&walk, row, 0);
}

/* ---- time ---- */

static int64_t seen_by_any(const struct model *model)
{
    int64_t seen_ms = NEVER;
    for (int p = 0; p < main_places(model->plan); p++)
        seen_ms = model->times[p].seen_ms > seen_ms ? model->times[p].seen_ms : seen_ms;
    return seen_ms;
}

/* Up to which watermark any window is open. */
static int64_t last_closing(const struct model *model)
{
    int64_t start_ms, end_ms, seen_ms = seen_by_any(model);
    if (seen_ms == NEVER)
        return NEVER;
    newest_window(model->plan, seen_ms, &start_ms, &end_ms);
    return closes_at(model->plan, end_ms);
}

static void raise_to(struct time *time, int64_t watermark_ms)
{
    if (watermark_ms > time->watermark_ms)
        time->watermark_ms = watermark_ms;
}

/* The wall clock shows clock_ms and all rows are read: partitions without new ones for the idle
 * time follow it in steps of a second, as far as there are windows; sessions by whole gaps. */
static void show_clock(struct model *model, int64_t clock_ms)
{
    const struct naive_plan *plan = model->plan;
    int64_t last_ms = plan->windows == NO_WINDOWS ? NEVER : last_closing(model);
    for (int p = 0; p < main_places(plan) && plan->idle_ms > 0; p++) {
        struct time *time = &model->times[p];
        if (time->idle_since_ms == NEVER)
            time->idle_since_ms = clock_ms;
        if (clock_ms - time->idle_since_ms < plan->idle_ms || last_ms == NEVER)
            continue;
        int64_t to_ms =
            floor_to(clock_ms - plan->lateness_ms, plan->idle_ms < 1000 ? plan->idle_ms : 1000);
        to_ms = to_ms < last_ms ? to_ms : last_ms;
        raise_to(time, plan->windows == SESSIONS ? floor_to(to_ms, plan->window_ms) : to_ms);
    }
}

static void run_round(struct model *model, const struct naive_round *round, int number)
{
    const struct naive_plan *plan = model->plan;
    for (int p = 0; p < main_places(plan) && round->restarts; p++)
        model->times[p].idle_since_ms = NEVER;
    if (round->has_clock)
        show_clock(model, round->send_clock_ms);
    for (int i = 0; i < plan->row_count; i++) {
        struct naive_row row = plan->rows[i];
        if (row.round != number)
            continue;
        row.partition = row.place = naive_place(plan, &row);
        if (plan->middle != MIDDLE_NONE)
            run_middle(model, &row);
        else
            apply_row(model, &row);
    }
    if (round->has_clock)
        show_clock(model, round->send_clock_ms);
    for (int i = 0; i < round->clock_count; i++)
        show_clock(model, round->clocks_ms[i]);
    int64_t last_ms = plan->windows == NO_WINDOWS ? NEVER : last_closing(model);
    for (int p = 0; p < main_places(plan) && round->close_windows; p++)
        raise_to(&model->times[p], last_ms);
}

/* ---- results ---- */

/* What all places have passed. */
static int64_t slowest_clock(const struct model *model)
{
    int64_t lowest = INT64_MAX;
    for (int p = 0; p < naive_places(model->plan); p++)
        lowest = model->clocks_ms[p] < lowest ? model->clocks_ms[p] : lowest;
    return lowest == NEVER ? NEVER : lowest - model->plan->lateness_ms;
}

/* The watermark that closes a group's window: its partition's own when nothing was re-keyed, else
 * the smallest. */
static int64_t closing_watermark(const struct model *model, const struct naive_group *group)
{
    if (model->plan->is_direct || main_places(model->plan) == 1)
        return model->times[group->partition].watermark_ms;
    int64_t lowest = INT64_MAX;
    for (int p = 0; p < main_places(model->plan); p++)
        if (model->times[p].watermark_ms < lowest)
            lowest = model->times[p].watermark_ms;
    return lowest;
}

static bool is_closed(const struct model *model, const struct naive_group *group)
{
    int64_t at_ms = closes_at(model->plan, group->end_ms);
    return at_ms <= closing_watermark(model, group) ||
           (model->plan->mixes && at_ms <= slowest_clock(model));
}

static int compare_visits(const void *a, const void *b)
{
    const struct visit *x = a, *y = b;
    if (x->k != y->k)
        return x->k < y->k ? -1 : 1;
    if (x->g != y->g)
        return x->g < y->g ? -1 : 1;
    return (x->row.ts > y->row.ts) - (x->row.ts < y->row.ts);
}

/* Rows of a group in the order of their times; one that is more than the gap behind the one before
 * begins a session. */
static void build_sessions(struct model *model)
{
    struct naive_group *session = NULL;
    if (model->visit_count > 0)
        qsort(model->visits, (size_t)model->visit_count, sizeof *model->visits, compare_visits);
    for (int i = 0; i < model->visit_count; i++) {
        const struct visit *visit = &model->visits[i];
        const struct naive_row *row = &visit->row;
        if (session == NULL || session->k != visit->k || session->g != visit->g ||
            row->ts > session->end_ms)
            session = naive_find_group(&model->groups, visit->k, visit->g, row->ts, row->partition);
        session->end_ms = row->ts + model->plan->window_ms;
        naive_add_row(session, row);
    }
}

static bool is_shown(const struct naive_plan *plan, const struct naive_group *group)
{
    if (plan->shown_by == COUNT_ALL)
        return group->c > plan->shown_above;
    return plan->shown_by != SUM_N || (group->has_n && group->sn > plan->shown_above);
}

static void print_results(struct model *model)
{
    const struct naive_plan *plan = model->plan;
    const struct naive_group **closed = calloc((size_t)model->groups.count + 1, sizeof *closed);
    int count = 0;
    must(closed != NULL);
    for (int i = 0; i < model->groups.count; i++) {
        const struct naive_group *group = model->groups.items[i];
        if ((plan->is_final && !is_closed(model, group)) || !is_shown(plan, group))
            continue;
        naive_print_group(plan, group, &model->result->outputs);
        closed[count++] = group;
    }
    if (plan->has_rollup)
        naive_roll_up(plan, closed, count, model->result);
    free(closed);
}

enum { RESULT_PAIRS = 7 };

static void pairs_of(struct naive_result *result, struct pairs *all[RESULT_PAIRS])
{
    struct pairs *pairs[RESULT_PAIRS] = {&result->middle.dead_rows, &result->main.dead_rows,
                                         &result->rollup.dead_rows, &result->middle_rows,
                                         &result->outputs,          &result->late_rows,
                                         &result->rollups};
    memcpy(all, pairs, sizeof pairs);
}

void naive_evaluate(const struct naive_plan *plan, const struct naive_round *rounds, int count,
                    struct naive_result *result)
{
    struct model *model = calloc(1, sizeof *model);
    struct pairs *all[RESULT_PAIRS];
    must(model != NULL);
    memset(result, 0, sizeof *result);
    pairs_of(result, all);
    for (int i = 0; i < RESULT_PAIRS; i++)
        pairs_init(all[i]);
    model->plan = plan;
    model->result = result;
    for (int p = 0; p < NAIVE_PLACES_MAX; p++) {
        model->times[p] = (struct time){NEVER, NEVER, NEVER};
        model->clocks_ms[p] = NEVER;
    }
    for (int i = 0; i < count; i++)
        run_round(model, &rounds[i], i);
    build_sessions(model);
    print_results(model);
    naive_groups_deinit(&model->groups);
    free(model->visits);
    free(model);
}

void naive_result_deinit(struct naive_result *result)
{
    struct pairs *all[RESULT_PAIRS];
    pairs_of(result, all);
    for (int i = 0; i < RESULT_PAIRS; i++)
        pairs_deinit(all[i]);
}
