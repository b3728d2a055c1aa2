/* naive_draw.c: draws a job and its input (see naive.h).
 *
 * Most rows are good; the rest are what producers send on bad days: nulls, missing fields, wrong
 * types, broken lines, unreadable, equal, negative and late times. */
#include "tests/support/naive.h"

#include <stdio.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/base/error.h"
#include "runtime/base/hash.h"

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
static const char *const group_texts[GROUPINGS] = {"k", "k, g", "g % 2 AS h"};

static int64_t below(struct naive_plan *plan, int64_t limit)
{
    return chance_below(&plan->chance, limit);
}

/* ---- the pipeline ---- */

static void condition_sql(struct naive_step *step)
{
    long long x = step->number;
    switch (step->condition) {
    case N_GREATER:
        snprintf(step->sql, sizeof step->sql, "n > %lld", x);
        break;
    case K_IS_B:
        snprintf(step->sql, sizeof step->sql, "k = 'b'");
        break;
    case N_MODULO:
        snprintf(step->sql, sizeof step->sql, "n %% 3 = %lld", x % 3);
        break;
    case K_OR_G:
        snprintf(step->sql, sizeof step->sql, "k IS NOT NULL OR g > %lld", x % 4);
        break;
    case A_AT_LEAST:
        snprintf(step->sql, sizeof step->sql, "a >= %lld.5", x < 0 ? -x : x);
        break;
    case DIVIDED:
        snprintf(step->sql, sizeof step->sql, "12 / n > %lld", x % 5);
        break;
    case AND_NOT:
        snprintf(step->sql, sizeof step->sql, "g <> 2 AND NOT (n < %lld)", x);
        break;
    case CONDITIONS:
        break;
    }
}

bool naive_is_mapped(const struct naive_plan *plan)
{
    for (int i = 0; i < plan->step_count; i++)
        if (plan->steps[i].kind == STEP_MAP)
            return true;
    return false;
}

static bool reads_n(const struct naive_step *step)
{
    return step->kind == STEP_MAP || step->condition == N_GREATER || step->condition == N_MODULO ||
           step->condition == DIVIDED;
}

static void draw_steps(struct naive_plan *plan)
{
    bool is_mapped = false;
    plan->step_count = (int)below(plan, NAIVE_STEPS_MAX + 1);
    for (int i = 0; i < plan->step_count; i++) {
        struct naive_step *step = &plan->steps[i];
        *step = (struct naive_step){.number = below(plan, 41) - 20};
        int64_t kind = below(plan, 6);
        step->kind = kind < 3 ? STEP_FILTER : kind < 5 || is_mapped ? STEP_CHECK : STEP_MAP;
        do
            step->condition = (enum condition)below(plan, CONDITIONS);
        while (is_mapped && (step->condition == N_MODULO || step->condition == DIVIDED));
        if (step->kind == STEP_MAP)
            snprintf(step->sql, sizeof step->sql, "k, g, n * 2 AS n, a, ts");
        else
            condition_sql(step);
        is_mapped |= step->kind == STEP_MAP;
    }
}

/* A stage in front: it ends behind some of the steps, and gives new rows when its last one is a
 * map. */
static void draw_middle(struct naive_plan *plan)
{
    if (below(plan, 4) != 0)
        return;
    plan->middle_steps = (int)below(plan, plan->step_count + 1);
    plan->middle = MIDDLE_PASS;
    for (int i = 0; i < plan->middle_steps; i++)
        if (plan->steps[i].kind == STEP_MAP)
            plan->middle = MIDDLE_ROWS;
}

/* Sessions merge, and sets of values that are records of their own do not. */
static bool can_aggregate(const struct naive_plan *plan, enum aggregate aggregate)
{
    return !plan->is_session ||
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
    if (plan->function != NULL)
        snprintf(plan->aggregate_sql, sizeof plan->aggregate_sql,
                 "c bigint, sn numeric, low bigint, high bigint");
    for (int i = 0; i < plan->aggregate_count && plan->function == NULL; i++) {
        size_t size = strlen(plan->aggregate_sql);
        snprintf(plan->aggregate_sql + size, sizeof plan->aggregate_sql - size, "%s%s",
                 i > 0 ? ", " : "", aggregate_texts[plan->aggregates[i]]);
    }
}

/* Texts and booleans in n only where something rejects them: min and max of mixed kinds have an
 * order that SQL does not define. */
static bool takes_odd_n(const struct naive_plan *plan)
{
    bool rejects = plan->is_rows || plan->function != NULL, has_extreme = false;
    for (int i = 0; i < plan->aggregate_count; i++) {
        enum aggregate aggregate = plan->aggregates[i];
        rejects |= aggregate == SUM_N || aggregate == COUNT_POSITIVE || aggregate == AVG_N;
        has_extreme |= aggregate == MIN_N || aggregate == MAX_N;
    }
    for (int i = 0; i < plan->step_count; i++)
        rejects |= reads_n(&plan->steps[i]);
    return rejects || !has_extreme;
}

bool naive_is_sound(const struct naive_plan *plan)
{
    bool takes = takes_odd_n(plan);
    for (int i = 0; i < plan->row_count; i++)
        if (!takes && (plan->rows[i].n_kind == VALUE_TEXT || plan->rows[i].n_kind == VALUE_BOOL))
            return false;
    return true;
}

/* ---- input ---- */

static void draw_values(struct naive_plan *plan, struct naive_row *row, bool takes_odd)
{
    int64_t kind = below(plan, 20);
    row->k = kind < 2 ? 0 : (char)('a' + below(plan, 5));
    row->g = below(plan, 4);
    row->n = below(plan, 61) - 30;
    kind = below(plan, 20);
    row->n_kind = kind == 0 ? VALUE_NULL : kind == 1 ? VALUE_MISSING : VALUE_INT;
    if (takes_odd && kind == 2)
        row->n_kind = VALUE_TEXT;
    if (takes_odd && kind == 3)
        row->n_kind = VALUE_BOOL;
    row->a = below(plan, 4001) - 2000;
    row->a_scale = (int)below(plan, 3);
    row->a_kind = below(plan, 10) == 0 ? VALUE_NULL : VALUE_INT;
}

void naive_print_decimal(struct buf *out, int64_t value, int scale)
{
    int64_t unit = scale == 0 ? 1 : scale == 1 ? 10 : 100, whole = value < 0 ? -value : value;
    buf_printf(out, "%s%lld", value < 0 ? "-" : "", (long long)(whole / unit));
    if (scale > 0)
        buf_printf(out, ".%0*lld", scale, (long long)(whole % unit));
}

void naive_print_n(struct buf *out, const struct naive_row *row)
{
    if (row->n_kind == VALUE_INT)
        buf_printf(out, "%lld", (long long)row->n);
    else
        buf_printf(out, row->n_kind == VALUE_TEXT   ? "\"x\""
                        : row->n_kind == VALUE_BOOL ? "true"
                                                    : "null");
}

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
        snprintf(row->ts_token, sizeof row->ts_token, "%lld", (long long)row->ts);
    }
}

static void print_values(struct naive_plan *plan, const struct naive_row *row, struct buf *out)
{
    buf_printf(out, "{\"g\":%lld", (long long)row->g);
    if (row->k != 0)
        buf_printf(out, ",\"k\":\"%c\"", row->k);
    else if (below(plan, 2) == 0)
        buf_printf(out, ",\"k\":null");
    if (row->n_kind != VALUE_MISSING) {
        buf_printf(out, ",\"n\":");
        naive_print_n(out, row);
    }
    buf_printf(out, ",\"a\":");
    if (row->a_kind == VALUE_INT)
        naive_print_decimal(out, row->a, row->a_scale);
    else
        buf_printf(out, "null");
}

static void draw_row(struct naive_plan *plan, struct naive_row *row, int64_t time_ms,
                     bool takes_odd)
{
    struct buf out;
    buf_init(&out, 0);
    row->ts = time_ms;
    int64_t defect = below(plan, 60);
    draw_values(plan, row, takes_odd);
    print_values(plan, row, &out);
    if (defect == 0) {
        row->defect = "event_time_missing";
    } else if (defect == 1) {
        row->defect = "event_time_invalid";
        buf_printf(&out, ",\"ts\":\"soon\"");
    } else {
        if (defect == 2)
            row->defect = "json_malformed";
        print_time(plan, row);
        buf_printf(&out, ",\"ts\":%s", row->ts_token);
    }
    buf_printf(&out, "%s", defect == 2 ? "" : "}");
    if (defect == 3) {
        buf_clear(&out);
        buf_printf(&out, "[%lld]", (long long)row->n);
        row->defect = "json_not_object";
    }
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

static void draw_rows(struct naive_plan *plan, int rounds)
{
    int64_t now = below(plan, 3) == 0 ? -60000 : below(plan, 1000000), step = 1 + below(plan, 2000);
    int64_t most = below(plan, 4) == 0 ? NAIVE_ROWS_MAX : 120;
    bool takes_odd = takes_odd_n(plan);
    plan->row_count =
        (int)below(plan, 8) == 0 ? (int)below(plan, 4) : 20 + (int)below(plan, most - 20);
    for (int i = 0; i < plan->row_count; i++) {
        struct naive_row *row = &plan->rows[i];
        now += below(plan, 4) == 0 ? 0 : below(plan, step);
        int64_t back = below(plan, 10);
        draw_row(plan, row,
                 back == 0   ? now - below(plan, 20 * step)
                 : back == 1 ? now - below(plan, 300 * step)
                             : now,
                 takes_odd);
        row->partition = place(plan, row);
        row->round = i * rounds / plan->row_count;
    }
}

void naive_draw(struct naive_plan *plan, uint64_t seed, int number, int rounds)
{
    static const int64_t windows[] = {0, 1, 1000, 7000, 60000};
    memset(plan, 0, sizeof *plan);
    plan->number = number;
    plan->chance.state = seed;
    snprintf(plan->source, sizeof plan->source, "e%d", number);
    snprintf(plan->middle_topic, sizeof plan->middle_topic, "m%d", number);
    snprintf(plan->out, sizeof plan->out, "o%d", number);
    snprintf(plan->rollup_topic, sizeof plan->rollup_topic, "r%d", number);
    snprintf(plan->late, sizeof plan->late, "o%d.late", number);
    plan->is_rows = below(plan, 10) == 0;
    plan->window_ms = plan->is_rows ? 0 : windows[below(plan, 5)];
    plan->hop_ms = plan->window_ms;
    if (plan->window_ms > 1 && below(plan, 3) == 0)
        plan->hop_ms = plan->window_ms / (1 + below(plan, 5)) + below(plan, 2);
    if (plan->hop_ms > plan->window_ms)
        plan->hop_ms = plan->window_ms;
    plan->is_session =
        plan->window_ms > 0 && plan->hop_ms == plan->window_ms && below(plan, 3) == 0;
    plan->lateness_ms = below(plan, 3) == 0 ? 0 : below(plan, 30000);
    plan->is_final = plan->window_ms > 0 && below(plan, 2) == 0;
    plan->has_rollup = plan->is_final && below(plan, 3) == 0;
    plan->grouping = (enum grouping)below(plan, GROUPINGS);
    plan->partitions = 1 + (int)below(plan, NAIVE_PARTITIONS_MAX);
    draw_steps(plan);
    draw_middle(plan);
    if (!plan->is_rows)
        draw_aggregates(plan);
    plan->is_direct = plan->middle == MIDDLE_NONE && !plan->is_rows && plan->grouping == BY_K &&
                      !naive_is_mapped(plan) && below(plan, 2) == 0;
    naive_print(plan);
    draw_rows(plan, rounds);
}

/* ---- the job ---- */

static void add_steps(const struct naive_plan *plan, struct job *job, int from, int to)
{
    static const enum job_step_kind kinds[] = {JOB_FILTER, JOB_CHECK, JOB_MAP};
    for (int i = from; i < to; i++)
        job_add(job, kinds[plan->steps[i].kind], plan->steps[i].sql, "violated", 0);
}

void naive_add_job(const struct naive_plan *plan, struct job *job)
{
    const char *source = plan->source;
    job_add(job, JOB_SOURCE, source, "ts", 0);
    if (plan->middle != MIDDLE_NONE) {
        add_steps(plan, job, 0, plan->middle_steps);
        job_add(job, JOB_TO, plan->middle_topic, NULL, 0);
        job_add(job, JOB_SOURCE, plan->middle_topic, "ts", 0);
    }
    job_add(job, JOB_LATENESS, NULL, NULL, plan->lateness_ms);
    add_steps(plan, job, plan->middle_steps, plan->step_count);
    if (!plan->is_rows) {
        job_add(job, JOB_GROUP, group_texts[plan->grouping], NULL, 0);
        if (plan->is_session)
            job_add(job, JOB_SESSION, NULL, NULL, plan->window_ms);
        else if (plan->hop_ms < plan->window_ms)
            job_add_window(job, JOB_HOPPING, NULL, plan->window_ms, plan->hop_ms);
        else if (plan->window_ms > 0)
            job_add(job, JOB_WINDOW, NULL, NULL, plan->window_ms);
        if (plan->function != NULL)
            job_add_function(job, JOB_AGGREGATE_FN, naive_is_mapped(plan) ? "n::bigint AS n" : "n",
                             plan->function, plan->aggregate_sql);
        else
            job_add(job, JOB_AGGREGATE, plan->aggregate_sql, NULL, 0);
        if (plan->is_final)
            job_add(job, JOB_EMIT_FINAL, NULL, NULL, 0);
    }
    job_add(job, JOB_TO, plan->out, NULL, 0);
    if (!plan->has_rollup)
        return;
    job_add(job, JOB_SOURCE, plan->out, NULL, 0);
    job_add(job, JOB_GROUP, plan->grouping == BY_G_MODULO ? "h" : "k", NULL, 0);
    job_add(job, JOB_AGGREGATE,
            "count(*) AS windows, count(DISTINCT window_start) AS starts, max(window_start) AS "
            "newest",
            NULL, 0);
    job_add(job, JOB_TO, plan->rollup_topic, NULL, 0);
}

void naive_describe(const struct naive_plan *plan)
{
    static const char *const kinds[] = {"filter", "check", "map"};
    fprintf(stderr, "  source %s by ts, %d rows in %d partition(s)%s\n", plan->source,
            plan->row_count, plan->partitions, plan->is_direct ? " by k" : "");
    for (int i = 0; i < plan->step_count; i++) {
        if (plan->middle != MIDDLE_NONE && i == plan->middle_steps)
            fprintf(stderr, "  to %s, which is read by ts\n", plan->middle_topic);
        fprintf(stderr, "  %s %s\n", kinds[plan->steps[i].kind], plan->steps[i].sql);
    }
    if (plan->middle != MIDDLE_NONE && plan->middle_steps == plan->step_count)
        fprintf(stderr, "  to %s, which is read by ts\n", plan->middle_topic);
    if (!plan->is_rows)
        fprintf(stderr, "  group %s, %s %lld ms every %lld ms, lateness %lld ms, %s%s\n",
                group_texts[plan->grouping], plan->is_session ? "sessions" : "windows",
                (long long)plan->window_ms, (long long)plan->hop_ms, (long long)plan->lateness_ms,
                plan->aggregate_sql, plan->is_final ? ", final" : "");
    fprintf(stderr, "  to %s%s\n", plan->out, plan->has_rollup ? ", rolled up" : "");
    for (int i = 0; i < plan->row_count && plan->row_count <= 24; i++)
        fprintf(stderr, "    run %d, partition %d: %s\n", plan->rows[i].round,
                plan->rows[i].partition, plan->rows[i].text);
}
