/* naive_job.c: a drawn job as calls of weir.h, and as text for who has to find out what went wrong
 * (see naive.h). */
#include <stdio.h>

#include "tests/support/naive_model.h"

static const char *const group_texts[GROUPINGS] = {"k", "k, g", "g % 2 AS h"};
static const char mapped_columns[] = "k text, g bigint, n jsonb, a numeric, ts jsonb";
static const char csv_columns[] = "k text, g bigint, n bigint, a numeric, ts text";

static void add_step(const struct naive_step *step, struct job *job)
{
    switch (step->kind) {
    case STEP_FILTER:
        job_add(job, JOB_FILTER, step->sql, NULL, 0);
        break;
    case STEP_CHECK:
        job_add(job, JOB_CHECK, step->sql, "violated", 0);
        break;
    case STEP_MAP:
        job_add(job, JOB_MAP, step->sql, NULL, 0);
        break;
    case STEP_FILTER_FN:
        job_add_function(job, JOB_FILTER_FN, step->sql, "even", NULL);
        break;
    case STEP_MAP_FN:
        job_add_function(job, JOB_MAP_FN, step->sql, "nudge", mapped_columns);
        break;
    case STEP_FLAT_MAP_FN:
        job_add_function(job, JOB_FLAT_MAP_FN, step->sql, "fan", mapped_columns);
        break;
    case STEP_UNNEST:
        job_add(job, JOB_UNNEST, step->sql, "n", 0);
        break;
    case STEP_BRANCH:
        job_add(job, JOB_BRANCH, step->sql, NULL, step->branch);
        break;
    case STEP_PEEK:
        job_add_function(job, JOB_PEEK, step->sql, "look", NULL);
        break;
    case STEPS:
        break;
    }
}

static void add_steps(const struct naive_plan *plan, struct job *job, int from, int to)
{
    for (int i = from; i < to; i++)
        add_step(&plan->steps[i], job);
}

/* What takes a text of values between bars apart; raw bytes are made a text of first. */
static const char text_columns[] =
    "nullif(split_part(value, '|', 1), '') AS k, split_part(value, '|', 2)::bigint AS g, "
    "nullif(split_part(value, '|', 3), '')::bigint AS n, "
    "nullif(split_part(value, '|', 4), '')::numeric AS a, split_part(value, '|', 5) AS ts";

static void add_text_source(struct job *job, const char *topic, bool is_raw)
{
    job_add(job, JOB_SOURCE_AS, topic, NULL, is_raw ? WEIR_RAW : WEIR_PLAIN_TEXT);
}

static void add_text_columns(const struct naive_plan *plan, struct job *job)
{
    if (plan->is_raw)
        job_add(job, JOB_MAP, "convert_from(value, 'UTF8') AS value", NULL, 0);
    job_add(job, JOB_MAP, text_columns, NULL, 0);
}

static void add_source(struct job *job, const char *topic, bool is_csv)
{
    job_add(job, is_csv ? JOB_SOURCE_AS : JOB_SOURCE, topic, "ts", WEIR_CSV);
    job->steps[job->step_count - 1].third = is_csv ? csv_columns : NULL;
}

static void add_windows(const struct naive_plan *plan, struct job *job)
{
    switch (plan->windows) {
    case NO_WINDOWS:
        break;
    case TUMBLING:
        job_add(job, JOB_WINDOW, NULL, NULL, plan->window_ms);
        break;
    case HOPPING:
        job_add_window(job, JOB_HOPPING, NULL, plan->window_ms, plan->hop_ms);
        break;
    case SESSIONS:
        job_add(job, JOB_SESSION, NULL, NULL, plan->window_ms);
        break;
    case LOCAL:
        job_add_window(job, JOB_LOCAL, plan->zone, plan->units, plan->unit);
        break;
    }
}

static void add_aggregate(const struct naive_plan *plan, struct job *job)
{
    job_add(job, JOB_GROUP, group_texts[plan->grouping], NULL, 0);
    add_windows(plan, job);
    if (plan->function != NULL)
        job_add_function(job, JOB_AGGREGATE_FN,
                         naive_n_is_numeric(plan, plan->step_count) ? "n::bigint AS n" : "n",
                         plan->function, plan->aggregate_sql);
    else
        job_add(job, JOB_AGGREGATE, plan->aggregate_sql, NULL, 0);
    if (plan->is_final)
        job_add(job, JOB_EMIT_FINAL, NULL, NULL, 0);
    if (plan->shown_by != AGGREGATES)
        job_add(job, JOB_FILTER, plan->shown_sql, NULL, 0);
}

/* Of the stream that the main stage reads. */
static void add_time(const struct naive_plan *plan, struct job *job)
{
    job_add(job, JOB_LATENESS, NULL, NULL, plan->lateness_ms);
    if (plan->skew_ms >= 0)
        job_add(job, JOB_SKEW, NULL, NULL, plan->skew_ms);
    if (plan->idle_ms > 0)
        job_add(job, JOB_IDLE, NULL, NULL, plan->idle_ms);
}

static void add_drawn_source(const struct naive_plan *plan, struct job *job, const char *topic)
{
    if (plan->is_text)
        add_text_source(job, topic, plan->is_raw);
    else
        add_source(job, topic, plan->is_csv);
}

/* The source, or both of them, merged: the first one's rows come first. */
static void add_sources(const struct naive_plan *plan, struct job *job)
{
    bool is_main = plan->middle == MIDDLE_NONE;
    if (plan->arms > 1) {
        add_drawn_source(plan, job, plan->second_source);
        if (is_main)
            add_time(plan, job);
        job_add(job, JOB_KEEP, plan->second_source, NULL, 0);
    }
    add_drawn_source(plan, job, plan->source);
    if (is_main)
        add_time(plan, job);
    if (plan->arms > 1)
        job_add(job, JOB_MERGE, plan->second_source, NULL, 0);
    if (plan->is_text)
        add_text_columns(plan, job);
}

void naive_add_job(const struct naive_plan *plan, struct job *job)
{
    add_sources(plan, job);
    if (plan->middle != MIDDLE_NONE) {
        add_steps(plan, job, 0, plan->middle_steps);
        if (plan->rekey != NULL)
            job_add(job, JOB_REKEY, plan->rekey, NULL, 0);
        job_add(job, JOB_TO, plan->middle_topic, NULL, 0);
        add_source(job, plan->middle_topic, plan->is_csv && plan->middle == MIDDLE_PASS);
        add_time(plan, job);
    }
    add_steps(plan, job, plan->middle_steps, plan->step_count);
    if (!plan->is_rows)
        add_aggregate(plan, job);
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

/* ---- as text ---- */

static void describe_middle(const struct naive_plan *plan)
{
    fprintf(stderr, "  %s%sto %s, which is read by ts\n", plan->rekey != NULL ? "rekey " : "",
            plan->rekey != NULL ? plan->rekey : "", plan->middle_topic);
}

static void describe_windows(const struct naive_plan *plan)
{
    static const char *const kinds[] = {"no windows", "windows", "hopping windows", "sessions"};
    if (plan->windows == LOCAL)
        fprintf(stderr, "windows of %d %s of %s", plan->units,
                plan->unit == WEIR_HOUR   ? "hour(s)"
                : plan->unit == WEIR_DAY  ? "day(s)"
                : plan->unit == WEIR_WEEK ? "week(s)"
                                          : "month(s)",
                plan->zone);
    else
        fprintf(stderr, "%s %lld ms every %lld ms", kinds[plan->windows],
                (long long)plan->window_ms, (long long)plan->hop_ms);
}

void naive_describe_row(const struct naive_row *row)
{
    fprintf(stderr, "    run %d, %s partition %d", row->round,
            row->arm == 0 ? "first source," : "second source,", row->partition);
    if (row->timestamp_ms != INT64_MIN)
        fprintf(stderr, ", at %lld", (long long)row->timestamp_ms);
    fprintf(stderr, ": %s\n", row->text);
}

void naive_describe(const struct naive_plan *plan)
{
    static const char *const kinds[] = {"filter",      "check",        "map",
                                        "filter_fn",   "map_fn nudge", "flat_map_fn fan",
                                        "unnest as n", "branch",       "peek"};
    fprintf(stderr, "  source %s%s%s%s, %d rows in %d partition(s)%s\n", plan->source,
            plan->arms > 1 ? " merged with " : "", plan->arms > 1 ? plan->second_source : "",
            plan->is_raw    ? " (raw) by its records' times"
            : plan->is_text ? " (text) by its records' times"
            : plan->is_csv  ? " (CSV) by ts"
                            : " by ts",
            plan->row_count, plan->partitions, plan->is_direct ? " by k" : "");
    for (int i = 0; i < plan->step_count; i++) {
        const struct naive_step *step = &plan->steps[i];
        if (plan->middle != MIDDLE_NONE && i == plan->middle_steps)
            describe_middle(plan);
        fprintf(stderr, "  %s", kinds[step->kind]);
        if (step->kind == STEP_BRANCH)
            fprintf(stderr, " %d of", step->branch);
        fprintf(stderr, " %s\n", step->sql);
    }
    if (plan->middle != MIDDLE_NONE && plan->middle_steps == plan->step_count)
        describe_middle(plan);
    fprintf(stderr, "  lateness %lld ms, idle %lld ms, skew %lld ms\n",
            (long long)plan->lateness_ms, (long long)plan->idle_ms, (long long)plan->skew_ms);
    if (!plan->is_rows) {
        fprintf(stderr, "  group %s, ", group_texts[plan->grouping]);
        describe_windows(plan);
        fprintf(stderr, ", %s%s%s\n", plan->function != NULL ? plan->function : "",
                plan->aggregate_sql, plan->is_final ? ", final" : "");
        if (plan->shown_by != AGGREGATES)
            fprintf(stderr, "  filter %s\n", plan->shown_sql);
    }
    fprintf(stderr, "  to %s%s\n", plan->out, plan->has_rollup ? ", rolled up" : "");
    for (int i = 0; i < plan->row_count && plan->row_count <= 24; i++)
        naive_describe_row(&plan->rows[i]);
}
