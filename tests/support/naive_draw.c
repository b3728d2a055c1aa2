/* naive_draw.c: draws a job and its input (see naive.h).
 *
 * Most rows are good; the rest are what producers send on bad days: nulls, missing fields, wrong
 * types, broken lines, unreadable, equal, negative, late and future times.
 *
 * Some things are not drawn together, because what comes of them is nowhere defined: min and max of
 * mixed kinds; first and last where rows of several partitions come together in one, and short lateness where the time of each is not known there;
 * idle times of a topic that several tasks of the same app write. */
#include "tests/support/naive.h"

#include <stdio.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/base/error.h"
#include "runtime/base/hash.h"
#include "tests/support/naive_model.h"

#define TEN_YEARS_MS INT64_C(315360000000)

static const char *const aggregate_texts[AGGREGATES] = {
    "count(*) AS c",
    "count(n) AS cn",
    "sum(n) AS sn",
    "sum(a) AS sa",
    "min(n) AS low",
    "max(n) AS high",
    "count(*) FILTER (WHERE n > 0) AS cp",
    "avg(n) AS mean",
    "first(n) AS fn",
    "last(a) AS la",
    "first(k) AS fk",
    "count(DISTINCT n) AS dn",
    "count(DISTINCT a) AS da",
    "count(DISTINCT g) FILTER (WHERE a > 0) AS dg",
};

static int64_t below(struct naive_plan *plan, int64_t limit)
{
    return chance_below(&plan->chance, limit);
}

/* ---- the pipeline ---- */

static void condition_sql(enum condition condition, long long x, char *sql, size_t size)
{
    switch (condition) {
    case N_GREATER:
        snprintf(sql, size, "n > %lld", x);
        break;
    case K_IS_B:
        snprintf(sql, size, "k = 'b'");
        break;
    case N_MODULO:
        snprintf(sql, size, "n %% 3 = %lld", x % 3);
        break;
    case K_OR_G:
        snprintf(sql, size, "k IS NOT NULL OR g > %lld", x % 4);
        break;
    case A_AT_LEAST:
        snprintf(sql, size, "a >= %lld.5", x < 0 ? -x : x);
        break;
    case DIVIDED:
        snprintf(sql, size, "12 / n > %lld", x % 5);
        break;
    case AND_NOT:
        snprintf(sql, size, "g <> 2 AND NOT (n < %lld)", x);
        break;
    case CONDITIONS:
        break;
    }
}

/* Whatever is no number in n does not pass it. */
static bool rejects_odd_n(const struct naive_step *step)
{
    switch (step->kind) {
    case STEP_MAP:
    case STEP_FILTER_FN:
        return true;
    case STEP_FILTER:
    case STEP_CHECK:
        return step->condition == N_GREATER || step->condition == N_MODULO ||
               step->condition == DIVIDED;
    default:
        return false;
    }
}

static enum condition draw_condition(struct naive_plan *plan, bool is_numeric)
{
    enum condition condition;
    do
        condition = (enum condition)below(plan, CONDITIONS);
    while (is_numeric && (condition == N_MODULO || condition == DIVIDED));
    return condition;
}

static enum step_kind draw_kind(struct naive_plan *plan, bool makes_columns, bool has_unnest)
{
    static const enum step_kind kinds[] = {
        STEP_FILTER, STEP_FILTER,    STEP_FILTER, STEP_CHECK,       STEP_CHECK,
        STEP_MAP,    STEP_FILTER_FN, STEP_MAP_FN, STEP_FLAT_MAP_FN, STEP_UNNEST,
        STEP_UNNEST, STEP_BRANCH,    STEP_PEEK};
    enum step_kind kind = kinds[below(plan, sizeof kinds / sizeof kinds[0])];
    if (kind == STEP_UNNEST && (makes_columns || has_unnest || plan->is_csv))
        return STEP_FILTER;
    return kind;
}

static void draw_step(struct naive_plan *plan, struct naive_step *step, bool is_numeric)
{
    char first[72], second[72];
    const char *n = is_numeric ? "n::bigint AS n" : "n";
    step->condition = draw_condition(plan, is_numeric);
    step->second = draw_condition(plan, is_numeric);
    step->branch = (int)below(plan, 3);
    switch (step->kind) {
    case STEP_MAP:
        snprintf(step->sql, sizeof step->sql, "k, g, n * 2 AS n, a, ts");
        return;
    case STEP_FILTER_FN:
    case STEP_PEEK:
        snprintf(step->sql, sizeof step->sql, "%s", n);
        return;
    case STEP_MAP_FN:
    case STEP_FLAT_MAP_FN:
        snprintf(step->sql, sizeof step->sql, "k, g, %s, a, ts", n);
        return;
    case STEP_UNNEST:
        snprintf(step->sql, sizeof step->sql, "xs");
        return;
    case STEP_BRANCH:
        condition_sql(step->second, step->number, second, sizeof second);
        condition_sql(step->condition, step->number, first, sizeof first);
        snprintf(step->sql, sizeof step->sql, "%s;%s", first, second);
        return;
    default:
        condition_sql(step->condition, step->number, step->sql, sizeof step->sql);
    }
}

static void draw_steps(struct naive_plan *plan)
{
    bool has_unnest = false;
    plan->step_count = (int)below(plan, NAIVE_STEPS_MAX + 1);
    for (int i = 0; i < plan->step_count; i++) {
        struct naive_step *step = &plan->steps[i];
        bool is_numeric = naive_n_is_numeric(plan, i);
        *step = (struct naive_step){.number = below(plan, 41) - 20};
        step->kind = draw_kind(plan, naive_maps(plan, 0, i), has_unnest);
        if (step->kind == STEP_MAP && is_numeric)
            step->kind = STEP_CHECK;
        has_unnest |= step->kind == STEP_UNNEST;
        draw_step(plan, step, is_numeric);
    }
}

/* A stage in front: it ends behind some of the steps, and gives new rows when one of them makes
 * columns. */
static void draw_middle(struct naive_plan *plan, const struct naive_setting *setting)
{
    if (setting->is_replayed || below(plan, 4) != 0)
        return;
    plan->middle_steps = (int)below(plan, plan->step_count + 1);
    plan->middle = naive_maps(plan, 0, plan->middle_steps) ? MIDDLE_ROWS : MIDDLE_PASS;
    if (below(plan, 3) == 0)
        plan->rekey = below(plan, 2) == 0 ? "k" : "k, g";
}

/* The rows that unnest makes have no form of their own: where they are written, something must give
 * them one. */
static void form_unnested(struct naive_plan *plan)
{
    for (int i = 0; i < plan->step_count; i++) {
        int to = i < plan->middle_steps ? plan->middle_steps : plan->step_count;
        if (plan->steps[i].kind == STEP_UNNEST && (plan->is_rows || i < plan->middle_steps) &&
            !naive_maps(plan, i, to)) {
            plan->steps[i].kind = STEP_PEEK;
            snprintf(plan->steps[i].sql, sizeof plan->steps[i].sql, "n");
        }
    }
}

/* Sessions merge, and sets of values that are records of their own do not. */
static bool can_aggregate(const struct naive_plan *plan, enum aggregate aggregate)
{
    if (naive_comes_together(plan) &&
        (aggregate == FIRST_N || aggregate == LAST_A || aggregate == FIRST_K))
        return false;
    return plan->windows != SESSIONS ||
           (aggregate != DISTINCT_N && aggregate != DISTINCT_A && aggregate != DISTINCT_G);
}

static void draw_aggregates(struct naive_plan *plan)
{
    static const enum aggregate function_results[] = {COUNT_ALL, SUM_N, MIN_N, MAX_N};
    bool used[AGGREGATES] = {false};
    if (below(plan, 6) == 0) {
        plan->function = below(plan, 2) == 0 ? "span" : "packed";
        plan->aggregate_count = 4;
        memcpy(plan->aggregates, function_results, sizeof function_results);
        return;
    }
    plan->aggregate_count = 1 + (int)below(plan, NAIVE_AGGREGATES_MAX);
    for (int i = 0; i < plan->aggregate_count; i++) {
        enum aggregate aggregate;
        do
            aggregate = (enum aggregate)below(plan, AGGREGATES);
        while (used[aggregate] || !can_aggregate(plan, aggregate));
        used[aggregate] = true;
        plan->aggregates[i] = aggregate;
    }
}

void naive_print(struct naive_plan *plan)
{
    plan->aggregate_sql[0] = '\0';
    snprintf(plan->shown_sql, sizeof plan->shown_sql, "%s > %lld",
             plan->shown_by == COUNT_ALL ? "c" : "sn", (long long)plan->shown_above);
    if (plan->function != NULL)
        snprintf(plan->aggregate_sql, sizeof plan->aggregate_sql,
                 "c bigint, sn numeric, low bigint, high bigint");
    for (int i = 0; i < plan->aggregate_count && plan->function == NULL; i++) {
        size_t size = strlen(plan->aggregate_sql);
        snprintf(plan->aggregate_sql + size, sizeof plan->aggregate_sql - size, "%s%s",
                 i > 0 ? ", " : "", aggregate_texts[plan->aggregates[i]]);
    }
}

static bool makes_elements(const struct naive_plan *plan)
{
    for (int i = 0; i < plan->step_count; i++)
        if (plan->steps[i].kind == STEP_UNNEST)
            return true;
    return false;
}

/* Texts and booleans as values that are aggregated only where something rejects them: min and max of
 * mixed kinds have an order that SQL does not define. Elements take the place of n. */
static bool takes_odd_n(const struct naive_plan *plan)
{
    bool rejects = plan->is_rows || plan->function != NULL || plan->is_csv, has_extreme = false;
    for (int i = 0; i < plan->aggregate_count; i++) {
        enum aggregate aggregate = plan->aggregates[i];
        rejects |= aggregate == SUM_N || aggregate == COUNT_POSITIVE || aggregate == AVG_N;
        has_extreme |= aggregate == MIN_N || aggregate == MAX_N;
    }
    for (int i = plan->step_count - 1; i >= 0 && plan->steps[i].kind != STEP_UNNEST; i--)
        rejects |= rejects_odd_n(&plan->steps[i]);
    return rejects || !has_extreme;
}

static bool is_odd(enum value_kind kind)
{
    return kind == VALUE_TEXT || kind == VALUE_BOOL;
}

static bool has_aggregate(const struct naive_plan *plan, enum aggregate aggregate)
{
    for (int i = 0; i < plan->aggregate_count; i++)
        if (plan->aggregates[i] == aggregate)
            return true;
    return false;
}

bool naive_is_sound(const struct naive_plan *plan)
{
    bool has_elements = makes_elements(plan);
    if (plan->shown_by != AGGREGATES && !has_aggregate(plan, plan->shown_by))
        return false;
    if (takes_odd_n(plan))
        return true;
    for (int i = 0; i < plan->row_count; i++) {
        const struct naive_row *row = &plan->rows[i];
        if (!has_elements && is_odd(row->n_kind))
            return false;
        for (int x = 0; has_elements && x < row->x_count; x++)
            if (is_odd(row->xs[x].kind))
                return false;
    }
    return true;
}

/* ---- input ---- */

static void draw_elements(struct naive_plan *plan, struct naive_row *row, bool takes_odd)
{
    int64_t kind = below(plan, 20);
    row->xs_kind = kind == 0   ? ARRAY_NULL
                   : kind == 1 ? ARRAY_MISSING
                   : kind == 2 ? ARRAY_NOT
                               : ARRAY;
    row->x_count = row->xs_kind == ARRAY ? (int)below(plan, NAIVE_ELEMENTS_MAX + 1) : 0;
    for (int i = 0; i < row->x_count; i++) {
        kind = below(plan, 20);
        row->xs[i].n = below(plan, 61) - 30;
        row->xs[i].kind = kind == 0                ? VALUE_NULL
                          : takes_odd && kind == 1 ? VALUE_TEXT
                          : takes_odd && kind == 2 ? VALUE_BOOL
                                                   : VALUE_INT;
    }
}

static void draw_values(struct naive_plan *plan, struct naive_row *row)
{
    bool has_elements = makes_elements(plan), takes_odd = takes_odd_n(plan);
    int64_t kind = below(plan, 20);
    row->k = kind < 2 ? 0 : (char)('a' + below(plan, 5));
    row->g = below(plan, 4);
    row->n = below(plan, 61) - 30;
    kind = below(plan, 20);
    row->n_kind = kind == 0 ? VALUE_NULL : kind == 1 ? VALUE_MISSING : VALUE_INT;
    if (kind == 2 && (takes_odd || has_elements))
        row->n_kind = VALUE_TEXT;
    if (kind == 3 && (takes_odd || has_elements))
        row->n_kind = VALUE_BOOL;
    row->a = below(plan, 4001) - 2000;
    row->a_scale = (int)below(plan, 3);
    row->a_kind = below(plan, 10) == 0 ? VALUE_NULL : VALUE_INT;
    if (has_elements)
        draw_elements(plan, row, takes_odd);
}

/* Of comma-separated values the time is a text. */
static void print_time(struct naive_plan *plan, struct naive_row *row)
{
    char iso[40];
    switch (row->defect == NULL ? below(plan, 6) : 0) {
    case 0:
        snprintf(row->ts_token, sizeof row->ts_token, "\"%lld\"", (long long)row->ts);
        break;
    case 1:
        iso[time_format_iso(row->ts, iso)] = '\0';
        snprintf(row->ts_token, sizeof row->ts_token, "\"%.30s\"", iso);
        break;
    default:
        snprintf(row->ts_token, sizeof row->ts_token, plan->is_csv ? "\"%lld\"" : "%lld",
                 (long long)row->ts);
    }
}

static void print_elements(const struct naive_row *row, struct buf *out)
{
    if (row->xs_kind == ARRAY_MISSING)
        return;
    buf_printf(out, ",\"xs\":%s",
               row->xs_kind == ARRAY        ? "["
               : row->xs_kind == ARRAY_NULL ? "null"
                                            : "{\"0\":1}");
    for (int i = 0; i < row->x_count; i++) {
        buf_printf(out, i > 0 ? "," : "");
        naive_print_value(out, row->xs[i].kind, row->xs[i].n);
    }
    buf_printf(out, row->xs_kind == ARRAY ? "]" : "");
}

static void print_json(struct naive_plan *plan, struct naive_row *row, int64_t defect,
                       struct buf *out)
{
    buf_printf(out, "{\"g\":%lld", (long long)row->g);
    if (row->k != 0)
        buf_printf(out, ",\"k\":\"%c\"", row->k);
    else if (below(plan, 2) == 0)
        buf_printf(out, ",\"k\":null");
    if (row->n_kind != VALUE_MISSING) {
        buf_printf(out, ",\"n\":");
        naive_print_value(out, row->n_kind, row->n);
    }
    buf_printf(out, ",\"a\":");
    if (row->a_kind == VALUE_INT)
        naive_print_decimal(out, row->a, row->a_scale);
    else
        buf_printf(out, "null");
    if (makes_elements(plan))
        print_elements(row, out);
    if (defect == 0)
        row->defect = "event_time_missing";
    else
        buf_printf(out, ",\"ts\":%s", row->ts_token);
    if (defect == 2)
        row->defect = "json_malformed";
    else
        buf_printf(out, "}");
    if (defect != 3)
        return;
    buf_clear(out);
    buf_printf(out, "[%lld]", (long long)row->n);
    row->defect = "json_not_object";
}

/* The columns of naive_job.c. */
static void print_csv(struct naive_plan *plan, struct naive_row *row, int64_t defect,
                      struct buf *out)
{
    int quotes = (int)below(plan, 4);
    if (row->k != 0)
        buf_printf(out, quotes == 0 ? "\"%c\"" : "%c", row->k);
    buf_printf(out, ",%lld,", (long long)row->g);
    if (row->n_kind == VALUE_INT)
        buf_printf(out, "%lld", (long long)row->n);
    else if (row->n_kind == VALUE_TEXT || row->n_kind == VALUE_BOOL)
        buf_printf(out, row->n_kind == VALUE_TEXT ? "x" : "true");
    buf_printf(out, ",");
    if (row->a_kind == VALUE_INT)
        naive_print_decimal(out, row->a, row->a_scale);
    if (defect == 3)
        row->defect = "csv_columns";
    else
        buf_printf(out, ",");
    if (defect == 0)
        row->defect = "event_time_missing";
    else if (defect != 3)
        buf_printf(out, "%.*s", (int)strlen(row->ts_token) - 2, row->ts_token + 1);
    if (defect == 2) {
        buf_printf(out, "\"");
        row->defect = "csv_malformed";
    }
}

/* The values that a map of naive_job.c takes apart. Of a text bytes that are none are a defect; of
 * raw bytes nothing is. */
static void print_text(struct naive_plan *plan, struct naive_row *row, int64_t defect,
                       struct buf *out)
{
    if (row->k != 0)
        buf_printf(out, "%c", row->k);
    buf_printf(out, "|%lld|", (long long)row->g);
    if (row->n_kind == VALUE_INT)
        buf_printf(out, "%lld", (long long)row->n);
    else if (row->n_kind == VALUE_TEXT || row->n_kind == VALUE_BOOL)
        buf_printf(out, row->n_kind == VALUE_TEXT ? "x" : "true");
    buf_printf(out, "|");
    if (row->a_kind == VALUE_INT)
        naive_print_decimal(out, row->a, row->a_scale);
    buf_printf(out, "|%.*s", (int)strlen(row->ts_token) - 2, row->ts_token + 1);
    if (defect == 2 && !plan->is_raw) {
        buf_printf(out, "\xff");
        row->defect = "text_utf8";
    }
}

static void draw_row(struct naive_plan *plan, struct naive_row *row, int64_t time_ms)
{
    struct buf out;
    buf_init(&out, 0);
    int64_t defect = below(plan, 60);
    row->ts = plan->is_text && time_ms < 1 ? 1 : time_ms; /* no record is from before 1970 */
    draw_values(plan, row);
    print_time(plan, row);
    if (defect == 1 && !plan->is_text) {
        row->defect = "event_time_invalid";
        snprintf(row->ts_token, sizeof row->ts_token, "\"soon\"");
    }
    if (plan->is_text)
        print_text(plan, row, defect, &out);
    else if (plan->is_csv)
        print_csv(plan, row, defect, &out);
    else
        print_json(plan, row, defect, &out);
    must(buf_ok(&out) && out.size < sizeof row->text);
    memcpy(row->text, out.data, out.size);
    row->text[out.size] = '\0';
    buf_deinit(&out);
}

static int place(struct naive_plan *plan, const struct naive_row *row)
{
    char text[2] = {row->k, 0};
    if (!plan->is_direct || row->defect != NULL)
        return (int)below(plan, plan->partitions);
    const char *key = row->k != 0 ? text : "{\"k\":null}";
    return murmur2_partition(key, strlen(key), plan->partitions);
}

/* Around the event time, so that some are further ahead of it than the source allows; else the time
 * of sending. */
static int64_t draw_timestamp(struct naive_plan *plan, const struct naive_row *row)
{
    if (plan->is_text)
        return row->ts;
    if (plan->skew_ms < 0)
        return INT64_MIN;
    int64_t time_ms = row->ts - 2 * plan->skew_ms + below(plan, 8 * plan->skew_ms + 10);
    return time_ms > 0 ? time_ms : 1;
}

/* Some rows lie behind, some on the edge of a window, and some a window or a gap after the row before,
 * to the millisecond. */
static int64_t draw_event_time(struct naive_plan *plan, int i, int64_t now, int64_t step)
{
    int64_t kind = below(plan, 20);
    if (kind < 4)
        return now - below(plan, (kind < 2 ? 20 : 300) * step);
    if (plan->windows == NO_WINDOWS || plan->windows == LOCAL)
        return now;
    if (kind == 4)
        return now - now % plan->hop_ms;
    return kind < 7 && i > 0 && plan->window_ms <= 40 * step
               ? plan->rows[i - 1].ts + plan->window_ms
               : now;
}

static void draw_rows(struct naive_plan *plan, const struct naive_setting *setting)
{
    int64_t now = setting->now_ms, step = setting->step_ms;
    int64_t most = below(plan, 4) == 0 ? NAIVE_ROWS_MAX : 120;
    if (!setting->is_driven) {
        now = below(plan, 3) == 0 ? -60000 : below(plan, 1000000);
        step = 1 + below(plan, 2000);
        if (plan->windows == LOCAL) {
            step = 1 + below(plan, plan->unit == WEIR_HOUR  ? 1200000
                                   : plan->unit == WEIR_DAY ? 3600000 * 4
                                                            : 86400000);
            now = naive_near_a_change(&plan->chance, plan->zone, 30 * step);
        }
    }
    plan->row_count =
        (int)below(plan, 8) == 0 ? (int)below(plan, 4) : 20 + (int)below(plan, most - 20);
    for (int i = 0; i < plan->row_count; i++) {
        struct naive_row *row = &plan->rows[i];
        now += below(plan, 4) == 0 ? 0 : below(plan, step);
        draw_row(plan, row, draw_event_time(plan, i, now, step));
        row->partition = place(plan, row);
        row->arm = (int)below(plan, plan->arms);
        row->round = i * setting->rounds / plan->row_count;
        row->timestamp_ms = draw_timestamp(plan, row);
    }
}

/* ---- all of it ---- */

static void draw_windows(struct naive_plan *plan, const struct naive_setting *setting)
{
    static const int64_t sizes[] = {1, 1000, 7000, 60000};
    static const int hours[] = {1, 1, 2, 6, 12}, more[] = {1, 1, 2, 7};
    bool is_slow = setting->is_driven && setting->step_ms > 2000;
    int64_t kind = below(plan, 10);
    if (plan->is_rows || (kind < 2 && setting->only_windows == NO_WINDOWS))
        return;
    plan->window_ms = sizes[below(plan, 4)];
    if (is_slow)
        plan->window_ms *= 600;
    plan->hop_ms = plan->window_ms;
    plan->windows = kind < 5 ? TUMBLING : kind < 7 ? HOPPING : kind < 8 ? SESSIONS : LOCAL;
    if (setting->only_windows != NO_WINDOWS)
        plan->windows = setting->only_windows;
    if (plan->windows == HOPPING) {
        plan->hop_ms = plan->window_ms / (1 + below(plan, 5)) + below(plan, 2);
        if (plan->hop_ms == 0 || plan->hop_ms >= plan->window_ms)
            plan->windows = TUMBLING;
    }
    if (plan->windows == TUMBLING)
        plan->hop_ms = plan->window_ms;
    if (plan->windows != LOCAL)
        return;
    plan->zone = naive_draw_zone(&plan->chance);
    plan->unit = WEIR_HOUR + (int)below(plan, 4);
    plan->units = plan->unit == WEIR_HOUR ? hours[below(plan, 5)] : more[below(plan, 4)];
}

bool naive_comes_together(const struct naive_plan *plan)
{
    return plan->middle != MIDDLE_NONE &&
           (plan->arms > 1 || (plan->rekey != NULL && plan->partitions > 1));
}

/* Rows of m<N> hold the event time as it came, as far as the planner can see: a map keeps it. */
static bool keeps_time(const struct naive_plan *plan)
{
    for (int i = 0; i < plan->middle_steps; i++)
        if (plan->steps[i].kind == STEP_MAP_FN || plan->steps[i].kind == STEP_FLAT_MAP_FN)
            return false;
    return plan->middle == MIDDLE_PASS || !plan->is_csv;
}

static void draw_time(struct naive_plan *plan, const struct naive_setting *setting)
{
    int64_t scale = plan->windows == LOCAL && !setting->is_driven ? 7200000
                    : setting->is_driven                          ? 15 * setting->step_ms
                                                                  : 30000;
    plan->lateness_ms = below(plan, 3) == 0 ? 0 : below(plan, scale);
    plan->mixes = naive_comes_together(plan) && plan->windows != NO_WINDOWS && keeps_time(plan);
    if (naive_comes_together(plan) && !plan->mixes)
        plan->lateness_ms = TEN_YEARS_MS;
    plan->skew_ms = below(plan, 4) == 0 && !plan->is_text ? below(plan, 2000) : -1;
    if (!setting->may_idle || (plan->middle != MIDDLE_NONE && naive_places(plan) > 1))
        return;
    static const int64_t idle[] = {300, 1000, 4000, 15000, 60000};
    plan->idle_ms = below(plan, 4) == 0 ? 0 : idle[below(plan, 5)];
    if (setting->step_ms > 2000)
        plan->idle_ms *= 60;
}

/* A count grows; a sum goes up and down, so that results come and go. */
static void draw_shown(struct naive_plan *plan)
{
    int64_t kind = below(plan, 4);
    plan->shown_by = AGGREGATES;
    if (kind == 0 && has_aggregate(plan, COUNT_ALL))
        plan->shown_by = COUNT_ALL;
    if (kind == 1 && has_aggregate(plan, SUM_N))
        plan->shown_by = SUM_N;
    plan->shown_above = plan->shown_by == COUNT_ALL ? 1 + below(plan, 3) : below(plan, 21) - 10;
}

static void name_topics(struct naive_plan *plan)
{
    snprintf(plan->source, sizeof plan->source, "e%d", plan->number);
    snprintf(plan->second_source, sizeof plan->second_source, "f%d", plan->number);
    snprintf(plan->middle_topic, sizeof plan->middle_topic, "m%d", plan->number);
    snprintf(plan->out, sizeof plan->out, "o%d", plan->number);
    snprintf(plan->rollup_topic, sizeof plan->rollup_topic, "r%d", plan->number);
    snprintf(plan->late, sizeof plan->late, "o%d.late", plan->number);
}

void naive_draw(struct naive_plan *plan, uint64_t seed, int number,
                const struct naive_setting *setting)
{
    memset(plan, 0, sizeof *plan);
    plan->number = number;
    plan->chance.state = seed;
    name_topics(plan);
    plan->is_rows = below(plan, 10) == 0 && setting->only_windows == NO_WINDOWS;
    plan->is_csv = below(plan, 6) == 0;
    plan->is_text = plan->is_csv && below(plan, 2) == 0;
    plan->is_raw = plan->is_text && below(plan, 2) == 0;
    plan->partitions = 1 + (int)below(plan, NAIVE_PARTITIONS_MAX);
    plan->arms = below(plan, 6) == 0 ? 2 : 1;
    plan->grouping = (enum grouping)below(plan, GROUPINGS);
    draw_windows(plan, setting);
    draw_steps(plan);
    draw_middle(plan, setting);
    form_unnested(plan);
    draw_time(plan, setting);
    plan->is_final = plan->windows != NO_WINDOWS && below(plan, 2) == 0;
    plan->has_rollup = plan->is_final && !setting->is_replayed && below(plan, 3) == 0;
    if (!plan->is_rows)
        draw_aggregates(plan);
    draw_shown(plan);
    plan->is_direct = plan->middle == MIDDLE_NONE && plan->arms == 1 && !plan->is_rows &&
                      !plan->is_csv && plan->grouping == BY_K &&
                      !naive_maps(plan, 0, plan->step_count) && below(plan, 2) == 0;
    for (int i = 0; i < setting->rounds; i++)
        plan->is_paused[i] = setting->is_driven && plan->idle_ms == 0 && below(plan, 6) == 0;
    naive_print(plan);
    draw_rows(plan, setting);
}
