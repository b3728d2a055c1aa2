/* naive.c: the model (see naive.h). Slow and plain: each stage walks its rows once, in the order of
 * their partitions, and prints what it makes of them. */
#include "tests/support/naive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/base/error.h"

enum truth { NO, YES, UNKNOWN, TYPE_MISMATCH, DIVISION_BY_ZERO };

/* Values that were seen, each once. */
struct values {
    int64_t *items;
    int count;
};
struct group {
    char k;
    int64_t g, window_ms, end_ms;
    int partition; /* of the first row; where a direct job keeps it */
    int64_t c, cn, sn, sa, low, high, cp;
    int sa_scale;
    bool has_n, has_a;
    const struct naive_row *first_n, *last_a, *first_k;
    struct values distinct_n, distinct_a, distinct_g;
};
/* A row that session windows took. */
struct visit {
    char k;
    int64_t g;
    const struct naive_row *row;
};
struct model {
    const struct naive_plan *plan;
    struct group groups[NAIVE_GROUPS_MAX];
    int group_count;
    int64_t watermarks[NAIVE_PARTITIONS_MAX];
    struct naive_row rows[NAIVE_ROWS_MAX]; /* as the main stage gets them */
    int row_count;
    struct visit visits[NAIVE_ROWS_MAX];
    int visit_count;
};

static const char *const aggregate_names[AGGREGATES] = {
    "c", "cn", "sn", "sa", "low", "high", "cp", "mean", "fn", "la", "fk", "dn", "da", "dg"};

/* ---- conditions ---- */

static enum truth truth_of(bool value)
{
    return value ? YES : NO;
}

/* For conditions over n: NULL is unknown, anything but a number an error. YES means: n may be used.
 */
static enum truth n_usable(const struct naive_row *row)
{
    if (row->n_kind == VALUE_NULL || row->n_kind == VALUE_MISSING)
        return UNKNOWN;
    return row->n_kind == VALUE_INT ? YES : TYPE_MISMATCH;
}

static int64_t a_in_hundredths(const struct naive_row *row)
{
    int64_t a = row->a;
    for (int scale = row->a_scale; scale < 2; scale++)
        a *= 10;
    return a;
}

static enum truth evaluate(const struct naive_step *step, const struct naive_row *row)
{
    int64_t x = step->number;
    enum truth n = n_usable(row);
    switch (step->condition) {
    case N_GREATER:
        return n == YES ? truth_of(row->n > x) : n;
    case K_IS_B:
        return row->k == 0 ? UNKNOWN : truth_of(row->k == 'b');
    case N_MODULO:
        return n == YES ? truth_of(row->n % 3 == x % 3) : n;
    case K_OR_G:
        return truth_of(row->k != 0 || row->g > x % 4);
    case A_AT_LEAST:
        return row->a_kind == VALUE_INT
                   ? truth_of(a_in_hundredths(row) >= (x < 0 ? -x : x) * 100 + 50)
                   : UNKNOWN;
    case DIVIDED:
        if (n != YES)
            return n;
        return row->n == 0 ? DIVISION_BY_ZERO : truth_of(12 / row->n > x % 5);
    case AND_NOT:
        if (row->g == 2)
            return NO;
        return n == YES ? truth_of(row->n >= x) : n;
    case CONDITIONS:
        break;
    }
    return NO;
}

static void die(struct naive_stage *stage, const struct naive_row *row, const char *error_class)
{
    stage->dead++;
    pairs_add_text(&stage->dead_rows, error_class, row->text);
}

/* False when the row ends here. The map doubles n in place: the caller gave a copy. */
static bool pass_steps(const struct naive_plan *plan, int from, int to, struct naive_stage *stage,
                       struct naive_row *row)
{
    for (int i = from; i < to; i++) {
        const struct naive_step *step = &plan->steps[i];
        enum truth truth = step->kind == STEP_MAP ? n_usable(row) : evaluate(step, row);
        if (truth == TYPE_MISMATCH || truth == DIVISION_BY_ZERO) {
            die(stage, row, truth == DIVISION_BY_ZERO ? "division_by_zero" : "type_mismatch");
            return false;
        }
        if (step->kind == STEP_MAP) {
            row->n *= 2;
        } else if (step->kind == STEP_CHECK && truth == NO) {
            die(stage, row, "violated");
            return false;
        } else if (step->kind == STEP_FILTER && truth != YES) {
            stage->filtered++;
            return false;
        }
    }
    return true;
}

/* The columns of a map as a row of the topic. */
static void print_mapped(struct naive_row *row)
{
    struct buf out;
    buf_init(&out, 0);
    if (row->k != 0)
        buf_printf(&out, "{\"k\":\"%c\"", row->k);
    else
        buf_printf(&out, "{\"k\":null");
    buf_printf(&out, ",\"g\":%lld,\"n\":", (long long)row->g);
    naive_print_n(&out, row);
    buf_printf(&out, ",\"a\":");
    if (row->a_kind == VALUE_INT)
        naive_print_decimal(&out, row->a, row->a_scale);
    else
        buf_printf(&out, "null");
    buf_printf(&out, ",\"ts\":%s}", row->ts_token);
    must(buf_ok(&out) && out.size < sizeof row->text);
    memcpy(row->text, out.data, out.size);
    row->text[out.size] = '\0';
    buf_deinit(&out);
}

/* ---- the stage in front ---- */

static void run_middle(struct model *model, struct naive_result *result)
{
    const struct naive_plan *plan = model->plan;
    for (int i = 0; i < plan->row_count; i++) {
        struct naive_row row = plan->rows[i];
        if (plan->middle != MIDDLE_NONE) {
            result->middle.in++;
            if (row.defect != NULL) {
                die(&result->middle, &row, row.defect);
                continue;
            }
            if (!pass_steps(plan, 0, plan->middle_steps, &result->middle, &row))
                continue;
            if (plan->middle == MIDDLE_ROWS)
                print_mapped(&row);
            result->middle.applied++;
            pairs_add_text(&result->middle_rows, "", row.text);
        }
        model->rows[model->row_count++] = row;
    }
}

/* ---- groups ---- */

static bool aggregates_take(const struct naive_plan *plan, const struct naive_row *row)
{
    for (int i = 0; i < plan->aggregate_count && plan->function == NULL; i++) {
        enum aggregate aggregate = plan->aggregates[i];
        if ((aggregate == SUM_N || aggregate == COUNT_POSITIVE || aggregate == AVG_N) &&
            n_usable(row) == TYPE_MISMATCH)
            return false;
    }
    return true;
}

static struct group *find_group(struct model *model, char k, int64_t g, int64_t window_ms,
                                int partition)
{
    for (int i = 0; i < model->group_count; i++) {
        struct group *group = &model->groups[i];
        if (group->k == k && group->g == g && group->window_ms == window_ms)
            return group;
    }
    must(model->group_count < NAIVE_GROUPS_MAX);
    struct group *group = &model->groups[model->group_count++];
    *group = (struct group){.k = k, .g = g, .window_ms = window_ms, .partition = partition};
    return group;
}

static void see(struct values *values, int64_t value)
{
    for (int i = 0; i < values->count; i++)
        if (values->items[i] == value)
            return;
    values->items = realloc(values->items, (size_t)(values->count + 1) * sizeof *values->items);
    must(values->items != NULL);
    values->items[values->count++] = value;
}

/* By event time, then partition, then order in it: rows lie in model->rows in that order. */
static bool is_earlier(const struct naive_row *a, const struct naive_row *b)
{
    if (a->ts != b->ts)
        return a->ts < b->ts;
    return a->partition != b->partition ? a->partition < b->partition : a < b;
}

static void add_n(struct group *group, const struct naive_row *row)
{
    enum { TEXT = 1000000, BOOL };
    if (row->n_kind == VALUE_NULL || row->n_kind == VALUE_MISSING)
        return;
    group->cn++;
    see(&group->distinct_n, row->n_kind == VALUE_TEXT   ? TEXT
                            : row->n_kind == VALUE_BOOL ? BOOL
                                                        : row->n);
    if (group->first_n == NULL || is_earlier(row, group->first_n))
        group->first_n = row;
    if (row->n_kind != VALUE_INT)
        return;
    group->sn += row->n;
    group->cp += row->n > 0;
    group->low = !group->has_n || row->n < group->low ? row->n : group->low;
    group->high = !group->has_n || row->n > group->high ? row->n : group->high;
    group->has_n = true;
}

static void add_row(struct group *group, const struct naive_row *row)
{
    group->c++;
    add_n(group, row);
    if (row->k != 0 && (group->first_k == NULL || is_earlier(row, group->first_k)))
        group->first_k = row;
    if (row->a_kind != VALUE_INT)
        return;
    group->sa += a_in_hundredths(row);
    group->sa_scale = row->a_scale > group->sa_scale ? row->a_scale : group->sa_scale;
    group->has_a = true;
    see(&group->distinct_a, a_in_hundredths(row));
    if (row->a > 0)
        see(&group->distinct_g, row->g);
    if (group->last_a == NULL || is_earlier(group->last_a, row))
        group->last_a = row;
}

/* No window takes the row: the newest one that holds it has closed. */
static bool is_late(const struct model *model, const struct naive_row *row)
{
    const struct naive_plan *plan = model->plan;
    int64_t rest = row->ts % plan->hop_ms;
    int64_t newest = plan->is_session ? row->ts : row->ts - (rest < 0 ? rest + plan->hop_ms : rest);
    return newest + plan->window_ms <= model->watermarks[row->partition];
}

/* What the functions of job_functions.c do not take. */
static bool function_refuses(const struct naive_plan *plan, const struct naive_row *row)
{
    return plan->function != NULL && (row->n_kind == VALUE_TEXT || row->n_kind == VALUE_BOOL ||
                                      (row->n_kind == VALUE_INT && row->n == 7));
}

/* Every window that holds the row takes it or has closed; the row is late when none took it. */
static void apply_windows(struct model *model, struct naive_row *row,
                          const struct naive_row *source, struct naive_result *result)
{
    const struct naive_plan *plan = model->plan;
    char k = plan->grouping == BY_G_MODULO ? 0 : row->k;
    int64_t g = plan->grouping == BY_K ? 0 : plan->grouping == BY_K_AND_G ? row->g : row->g % 2;
    bool is_refused = function_refuses(plan, row);
    if (is_refused && (plan->window_ms == 0 || !is_late(model, row)))
        die(&result->main, source, "function");
    if (plan->window_ms == 0) {
        if (is_refused)
            return;
        result->main.applied++;
        add_row(find_group(model, k, g, 0, row->partition), row);
        return;
    }
    int64_t rest = row->ts % plan->hop_ms, watermark = model->watermarks[row->partition];
    bool is_taken = false;
    if (plan->is_session) {
        is_taken = row->ts + plan->window_ms > watermark;
        if (is_taken && !is_refused)
            model->visits[model->visit_count++] = (struct visit){k, g, row};
        else if (!is_taken)
            pairs_add_text(&result->late_rows, "", source->text);
        result->main.applied += is_taken && !is_refused;
        result->main.late += !is_taken;
        return;
    }
    for (int64_t window = row->ts - (rest < 0 ? rest + plan->hop_ms : rest);
         window + plan->window_ms > row->ts; window -= plan->hop_ms) {
        if (window + plan->window_ms <= watermark) {
            pairs_add_text(&result->late_rows, "", source->text);
        } else {
            is_taken = true;
            if (is_refused)
                continue;
            struct group *group = find_group(model, k, g, window, row->partition);
            group->end_ms = window + plan->window_ms;
            add_row(group, row);
        }
    }
    result->main.applied += is_taken && !is_refused;
    result->main.late += !is_taken;
}

static void apply_row(struct model *model, struct naive_row *row, struct naive_result *result)
{
    const struct naive_plan *plan = model->plan;
    struct naive_row source = *row; /* late and dead rows are kept as they came */
    struct naive_stage *stage = &result->main;
    stage->in++;
    if (row->defect != NULL) {
        die(stage, row, row->defect);
        return;
    }
    int64_t *watermark = &model->watermarks[row->partition];
    if (row->ts - plan->lateness_ms > *watermark)
        *watermark = row->ts - plan->lateness_ms;
    if (!pass_steps(plan, plan->middle_steps, plan->step_count, stage, row))
        return;
    if (plan->is_rows) {
        bool has_map = false;
        for (int i = plan->middle_steps; i < plan->step_count; i++)
            has_map |= plan->steps[i].kind == STEP_MAP;
        if (has_map)
            print_mapped(row);
        stage->applied++;
        pairs_add_text(&result->outputs, "", row->text);
        return;
    }
    if (!aggregates_take(plan, row)) {
        die(stage, &source, "type_mismatch");
        return;
    }
    apply_windows(model, row, &source, result);
}

/* ---- printing ---- */

static void print_group(const struct naive_plan *plan, const struct group *group, bool with_g,
                        struct buf *out)
{
    buf_printf(out, "{");
    if (plan->grouping != BY_G_MODULO && group->k != 0)
        buf_printf(out, "\"k\":\"%c\"", group->k);
    else if (plan->grouping != BY_G_MODULO)
        buf_printf(out, "\"k\":null");
    if (plan->grouping == BY_K_AND_G && with_g)
        buf_printf(out, ",\"g\":%lld", (long long)group->g);
    else if (plan->grouping == BY_G_MODULO)
        buf_printf(out, "\"h\":%lld", (long long)group->g);
}

static void print_window(struct buf *out, const char *name, int64_t time_ms)
{
    char iso[40];
    iso[time_format_iso(time_ms, iso)] = '\0';
    buf_printf(out, ",\"%s\":\"%s\"", name, iso);
}

/* PostgreSQL's scale of a quotient: 16 significant digits at least, counted in groups of four. */
static void print_mean(struct buf *out, int64_t sum, int64_t count)
{
    uint64_t rest = (uint64_t)(sum < 0 ? -sum : sum), head = rest >= 10000 ? rest / 10000 : rest;
    int weight = rest >= 10000 ? 1 : 0;
    must(rest < 100000000 && count < 10000);
    if (head <= (uint64_t)count)
        weight--;
    int scale = 16 - 4 * weight;
    uint64_t divisor = (uint64_t)count, whole = rest / divisor;
    char digits[32];
    rest %= divisor;
    for (int i = 0; i < scale; i++) {
        rest *= 10;
        digits[i] = (char)('0' + rest / divisor);
        rest %= divisor;
    }
    bool carry = rest * 2 >= divisor;
    for (int i = scale - 1; i >= 0 && carry; i--) {
        carry = digits[i] == '9';
        digits[i] = (char)(carry ? '0' : digits[i] + 1);
    }
    whole += carry;
    buf_printf(out, "%s%llu.%.*s", sum < 0 ? "-" : "", (unsigned long long)whole, scale, digits);
}

static void print_sum_a(struct buf *out, const struct group *group)
{
    int64_t value = group->sa;
    for (int scale = group->sa_scale; scale < 2; scale++)
        value /= 10;
    naive_print_decimal(out, value, group->sa_scale);
}

static bool aggregate_is_null(enum aggregate aggregate, const struct group *group)
{
    switch (aggregate) {
    case SUM_A:
    case LAST_A:
        return !group->has_a;
    case SUM_N:
    case MIN_N:
    case MAX_N:
    case AVG_N:
        return !group->has_n;
    case FIRST_N:
        return group->first_n == NULL;
    case FIRST_K:
        return group->first_k == NULL;
    default:
        return false;
    }
}

static void print_aggregate(struct buf *out, enum aggregate aggregate, const struct group *group)
{
    const int64_t values[AGGREGATES] = {[COUNT_ALL] = group->c,
                                        [COUNT_N] = group->cn,
                                        [SUM_N] = group->sn,
                                        [MIN_N] = group->low,
                                        [MAX_N] = group->high,
                                        [COUNT_POSITIVE] = group->cp,
                                        [DISTINCT_N] = group->distinct_n.count,
                                        [DISTINCT_A] = group->distinct_a.count,
                                        [DISTINCT_G] = group->distinct_g.count};
    buf_printf(out, ",\"%s\":", aggregate_names[aggregate]);
    if (aggregate_is_null(aggregate, group))
        buf_printf(out, "null");
    else if (aggregate == SUM_A)
        print_sum_a(out, group);
    else if (aggregate == AVG_N)
        print_mean(out, group->sn, group->cn);
    else if (aggregate == FIRST_N)
        naive_print_n(out, group->first_n);
    else if (aggregate == FIRST_K)
        buf_printf(out, "\"%c\"", group->first_k->k);
    else if (aggregate == LAST_A)
        naive_print_decimal(out, group->last_a->a, group->last_a->a_scale);
    else
        buf_printf(out, "%lld", (long long)values[aggregate]);
}

static void add_pair(struct pairs *pairs, struct buf *key, struct buf *value)
{
    must(buf_ok(key) && buf_ok(value));
    pairs_add(pairs, bytes_of(key->data, key->size), bytes_of(value->data, value->size));
    buf_deinit(key);
    buf_deinit(value);
}

static void print_output(const struct naive_plan *plan, const struct group *group,
                         struct pairs *outputs)
{
    struct buf key, value;
    buf_init(&key, 0);
    buf_init(&value, 0);
    if (plan->grouping == BY_K && plan->window_ms == 0 && group->k != 0) {
        buf_printf(&key, "%c", group->k);
    } else {
        print_group(plan, group, true, &key);
        if (plan->window_ms > 0)
            print_window(&key, "window_start", group->window_ms);
        buf_printf(&key, "}");
    }
    print_group(plan, group, true, &value);
    if (plan->window_ms > 0) {
        print_window(&value, "window_start", group->window_ms);
        print_window(&value, "window_end", group->end_ms);
    }
    for (int i = 0; i < plan->aggregate_count; i++)
        print_aggregate(&value, plan->aggregates[i], group);
    buf_printf(&value, "}");
    add_pair(outputs, &key, &value);
}

/* ---- the rollup ---- */

struct rollup {
    const struct group *group;
    struct values starts;
    int64_t windows, newest;
};

static void roll_up(const struct naive_plan *plan, const struct group *const *closed, int count,
                    struct naive_result *result)
{
    struct rollup *rollups = calloc((size_t)count + 1, sizeof *rollups);
    int rollup_count = 0;
    must(rollups != NULL);
    for (int i = 0; i < count; i++) {
        const struct group *group = closed[i];
        int at = 0;
        while (at < rollup_count &&
               (rollups[at].group->k != group->k ||
                (plan->grouping == BY_G_MODULO && rollups[at].group->g != group->g)))
            at++;
        struct rollup *rollup = &rollups[at];
        if (at == rollup_count) {
            rollup_count++;
            *rollup = (struct rollup){.group = group, .newest = group->window_ms};
        }
        rollup->windows++;
        see(&rollup->starts, group->window_ms);
        rollup->newest = group->window_ms > rollup->newest ? group->window_ms : rollup->newest;
        result->rollup.in++;
        result->rollup.applied++;
    }
    for (int i = 0; i < rollup_count; i++) {
        struct buf key, value;
        const struct group *group = rollups[i].group;
        buf_init(&key, 0);
        buf_init(&value, 0);
        if (plan->grouping != BY_G_MODULO && group->k != 0) {
            buf_printf(&key, "%c", group->k);
        } else {
            print_group(plan, group, false, &key);
            buf_printf(&key, "}");
        }
        print_group(plan, group, false, &value);
        buf_printf(&value, ",\"windows\":%lld,\"starts\":%d", (long long)rollups[i].windows,
                   rollups[i].starts.count);
        print_window(&value, "newest", rollups[i].newest);
        buf_printf(&value, "}");
        add_pair(&result->rollups, &key, &value);
        free(rollups[i].starts.items);
    }
    free(rollups);
}

/* ---- all of it ---- */

/* The watermark that closes a group's window: its partition's own when nothing was re-keyed, else
 * the smallest. */
static int64_t closing_watermark(const struct model *model, const struct group *group)
{
    if (model->plan->is_direct || model->plan->partitions == 1)
        return model->watermarks[group->partition];
    int64_t lowest = INT64_MAX;
    for (int p = 0; p < model->plan->partitions; p++)
        lowest = model->watermarks[p] < lowest ? model->watermarks[p] : lowest;
    return lowest;
}

static int compare_visits(const void *a, const void *b)
{
    const struct visit *x = a, *y = b;
    if (x->k != y->k)
        return x->k < y->k ? -1 : 1;
    if (x->g != y->g)
        return x->g < y->g ? -1 : 1;
    return (x->row->ts > y->row->ts) - (x->row->ts < y->row->ts);
}

/* Rows of a group in the order of their times; one that is more than the gap behind the one before
 * begins a session. */
static void build_sessions(struct model *model)
{
    struct group *session = NULL;
    qsort(model->visits, (size_t)model->visit_count, sizeof *model->visits, compare_visits);
    for (int i = 0; i < model->visit_count; i++) {
        const struct visit *visit = &model->visits[i];
        if (session == NULL || session->k != visit->k || session->g != visit->g ||
            visit->row->ts > session->end_ms)
            session = find_group(model, visit->k, visit->g, visit->row->ts, visit->row->partition);
        session->end_ms = visit->row->ts + model->plan->window_ms;
        add_row(session, visit->row);
    }
}

/* Sessions close when the cell of their last row does: at three gaps from the cell's start. */
static int64_t closes_at(const struct naive_plan *plan, const struct group *group)
{
    if (!plan->is_session)
        return group->end_ms;
    int64_t last = group->end_ms - plan->window_ms, rest = last % plan->window_ms;
    return last - (rest < 0 ? rest + plan->window_ms : rest) + 3 * plan->window_ms;
}

static void print_results(struct model *model, bool close_windows, struct naive_result *result)
{
    const struct naive_plan *plan = model->plan;
    const struct group **closed = malloc(((size_t)model->group_count + 1) * sizeof(struct group *));
    int count = 0;
    must(closed != NULL);
    for (int i = 0; i < model->group_count; i++) {
        const struct group *group = &model->groups[i];
        bool is_closed = close_windows || closes_at(plan, group) <= closing_watermark(model, group);
        if (plan->is_final && !is_closed)
            continue;
        print_output(plan, group, &result->outputs);
        closed[count++] = group;
    }
    if (plan->has_rollup)
        roll_up(plan, closed, count, result);
    free(closed);
}

void naive_evaluate(const struct naive_plan *plan, bool close_windows, struct naive_result *result)
{
    struct model *model = calloc(1, sizeof *model);
    must(model != NULL);
    memset(result, 0, sizeof *result);
    struct pairs *all[] = {&result->middle.dead_rows, &result->main.dead_rows,
                           &result->rollup.dead_rows, &result->middle_rows,
                           &result->outputs,          &result->late_rows,
                           &result->rollups};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        pairs_init(all[i]);
    model->plan = plan;
    for (int p = 0; p < NAIVE_PARTITIONS_MAX; p++)
        model->watermarks[p] = INT64_MIN;
    run_middle(model, result);
    for (int i = 0; i < model->row_count; i++)
        apply_row(model, &model->rows[i], result);
    build_sessions(model);
    print_results(model, close_windows, result);
    for (int i = 0; i < model->group_count; i++) {
        free(model->groups[i].distinct_n.items);
        free(model->groups[i].distinct_a.items);
        free(model->groups[i].distinct_g.items);
    }
    free(model);
}

void naive_result_deinit(struct naive_result *result)
{
    struct pairs *all[] = {&result->middle.dead_rows, &result->main.dead_rows,
                           &result->rollup.dead_rows, &result->middle_rows,
                           &result->outputs,          &result->late_rows,
                           &result->rollups};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        pairs_deinit(all[i]);
}
