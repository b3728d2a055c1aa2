/* http_pipelines.c: the pipelines that run in this process: what they do, how far they are, and pausing them.
 *
 * A pipeline's state and failures are weir_app_stages', counts and positions those of its tasks' last commits (metrics.h). A rate needs two looks:
 * the server remembers each pipeline's rows when it was last asked, and a rate is what lies between two such looks, at least
 * a second apart, so that several who ask at once see the same. */
#include <stdio.h>
#include <stdlib.h>

#include "runtime/app.h"
#include "runtime/base/clock.h"
#include "runtime/http/http_internal.h"
#include "runtime/metrics.h"
#include "runtime/progress.h"

enum { RATE_NS = 1000000000 };

/* What the tasks of one pipeline add up to. */
struct sums {
    const char *topic;
    struct counts counts;
    int64_t watermark_ms; /* the lowest of its tasks': INT64_MAX: none has any */
    bool has_no_time;     /* a task of it has none */
    struct json *json;    /* each task is written, too; NULL: none is */
};

static void put_time(struct json *json, const char *name, int64_t time_ms)
{
    json_member_time(json, name, time_ms, TIME_NONE);
}

static void put_task(struct json *json, const struct task_reading *task)
{
    json_begin(json, '{');
    json_member_text(json, "stage", task->stage);
    json_member_text(json, "topic", task->input);
    json_member_int(json, "partition", task->partition);
    json_member_bool(json, "open", task->is_open);
    json_name(json, "restored");
    json_double(json, task->restored);
    json_member_int(json, "position", task->position);
    json_name(json, "lag");
    if (task->lag >= 0)
        json_int(json, task->lag);
    else
        json_null(json);
    put_time(json, "watermark", task->watermark_ms);
    json_end(json, '}');
}

static void add_task(void *context, const struct task_reading *task)
{
    struct sums *sums = context;
    if (strcmp(task->pipeline, sums->topic) != 0)
        return;
    if (task->reads_rows)
        counts_add(&sums->counts, task->counts, 1);
    else
        sums->counts.out += task->counts->out;
    sums->has_no_time |= task->watermark_ms == TIME_NONE;
    if (task->watermark_ms < sums->watermark_ms)
        sums->watermark_ms = task->watermark_ms;
    if (sums->json != NULL)
        put_task(sums->json, task);
}

/* Rows a second since the look before; negative: there was none. */
static double rate_of(struct http *http, const char *topic, int64_t rows)
{
    struct http_rate *rate = NULL;
    int64_t now_ns = clock_mono_ns();
    double result = -1;
    pthread_mutex_lock(&http->rates_mutex);
    for (int i = 0; i < http->rate_count && rate == NULL; i++)
        if (strcmp(http->rates[i].topic, topic) == 0)
            rate = &http->rates[i];
    if (rate == NULL && http->rate_count < HTTP_RATES_MAX) {
        rate = &http->rates[http->rate_count++];
        *rate = (struct http_rate){.rows = rows, .taken_ns = now_ns, .rows_per_s = -1};
        snprintf(rate->topic, sizeof rate->topic, "%s", topic);
    }
    if (rate != NULL && now_ns - rate->taken_ns >= RATE_NS) {
        rate->rows_per_s = (double)(rows - rate->rows) * 1e9 / (double)(now_ns - rate->taken_ns);
        rate->rows = rows;
        rate->taken_ns = now_ns;
    }
    if (rate != NULL)
        result = rate->rows_per_s;
    pthread_mutex_unlock(&http->rates_mutex);
    return result;
}

static void put_failure(struct json *json, const weir_stage_info *stage)
{
    json_name(json, "failure");
    if (stage->code == 0) {
        json_null(json);
        return;
    }
    json_begin(json, '{');
    json_member_text(json, "reason",
                     stage->reason[0] != '\0' ? stage->reason : weir_strerror(stage->code));
    json_member_int(json, "partition", stage->partition);
    json_member_time(json, "retry_at", stage->retry_at_ms, 0);
    json_end(json, '}');
}

static void put_counts(struct json *json, struct counts *counts)
{
    json_name(json, "rows");
    json_begin(json, '{');
    for (int field = 0; field < COUNT_FIELDS; field++)
        json_member_int(json, count_names[field], *counts_field(counts, field));
    json_end(json, '}');
}

static void put_pipeline(struct http_exchange *exchange, const weir_stage_info *stage,
                         bool with_tasks)
{
    static const char *const states[] = {"ended", "running", "paused", "retrying", "stopped"};
    struct json *json = &exchange->json;
    struct sums sums = {.topic = stage->topic, .watermark_ms = INT64_MAX};
    json_begin(json, '{');
    json_member_text(json, "topic", stage->topic);
    json_member_text(json, "state", states[stage->state]);
    json_member_int(json, "tasks", stage->tasks);
    json_member_int(json, "tasks_retrying", stage->tasks_retrying);
    json_member_int(json, "tasks_stopped", stage->tasks_stopped);
    put_failure(json, stage);
    json_member_int(json, "failures", stage->failures);
    json_member_int(json, "skipped", stage->skipped);
    json_name(json, "lag");
    if (stage->lag >= 0)
        json_int(json, stage->lag);
    else
        json_null(json);
    if (with_tasks) {
        json_name(json, "partitions");
        json_begin(json, '[');
        sums.json = json;
    }
    metrics_read_tasks(exchange->http->app->metrics, add_task, &sums);
    if (with_tasks)
        json_end(json, ']');
    bool has_time = !sums.has_no_time && sums.watermark_ms != INT64_MAX;
    put_time(json, "watermark", has_time ? sums.watermark_ms : TIME_NONE);
    put_counts(json, &sums.counts);
    double rate = rate_of(exchange->http, stage->topic, sums.counts.rows_in);
    json_name(json, "rows_per_s");
    if (rate >= 0)
        json_double(json, rate);
    else
        json_null(json);
    json_end(json, '}');
}

/* false after http_fail. */
static bool list_stages(struct http_exchange *exchange, weir_stage_info **stages, size_t *count)
{
    weir_app *app = exchange->http->app;
    int rc = app != NULL ? weir_app_stages(app, stages, count) : 0;
    if (app == NULL)
        *stages = NULL, *count = 0;
    if (rc < 0)
        http_fail_code(exchange, rc, weir_strerror(rc));
    return rc == 0;
}

void http_get_pipelines(struct http_exchange *exchange)
{
    struct json *json = &exchange->json;
    weir_app *app = exchange->http->app;
    weir_stage_info *stages;
    size_t count;
    if (!list_stages(exchange, &stages, &count))
        return;
    json_begin(json, '{');
    json_member_text(json, "app", app != NULL ? app->name : NULL);
    json_name(json, "pipelines");
    json_begin(json, '[');
    for (size_t i = 0; i < count; i++)
        if (http_may(exchange, HTTP_TOPIC, stages[i].topic, HTTP_DESCRIBE))
            put_pipeline(exchange, &stages[i], false);
    json_end(json, ']');
    json_end(json, '}');
    weir_free(stages);
}

void http_get_pipeline(struct http_exchange *exchange)
{
    const char *topic = exchange->parameters[0];
    weir_stage_info *stages;
    size_t count, i = 0;
    if (!list_stages(exchange, &stages, &count))
        return;
    while (i < count && strcmp(stages[i].topic, topic) != 0)
        i++;
    if (i < count)
        put_pipeline(exchange, &stages[i], true);
    else
        http_fail(exchange, 404,
                  "GET /api/v1/pipelines lists them; the topic that it writes names it",
                  "no pipeline here writes topic %.250s", topic);
    weir_free(stages);
}

/* Pausing twice is pausing: who repeats a request that got lost does no harm. */
static void set_paused(struct http_exchange *exchange, bool is_paused)
{
    weir_app *app = exchange->http->app;
    const char *topic = exchange->parameters[0];
    if (app != NULL)
        (void)(is_paused ? weir_app_pause : weir_app_resume)(app, topic);
    http_get_pipeline(exchange); /* 404, when there is none */
}

void http_post_pause(struct http_exchange *exchange)
{
    set_paused(exchange, true);
}

void http_post_resume(struct http_exchange *exchange)
{
    set_paused(exchange, false);
}
