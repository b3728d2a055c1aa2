/* stages.c: what the user of an app sets and reads of its pipelines: failure policies, pause, state.
 *
 * Workers say what becomes of their tasks (run_task_state), under the run's mutex; a list is made
 * from that when somebody asks. The list of the run that works and the one that the last run left are
 * behind the app's own mutex, so that asking is safe while a run begins or ends. Policies are read by
 * workers without a lock: they may only be set before the run. Pausing is one flag of the app's,
 * which workers look at each time before a task has its turn. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/run.h"

/* ---- policies and pause ---- */

enum { RETRIES = 10, BACKOFF_MS = 100, BACKOFF_MAX_MS = 30000, DAY_MS = 24 * 3600 * 1000 };

static struct sink *find_sink(const struct weir_app *app, const char *topic)
{
    struct sink *sink = app->sinks;
    while (sink != NULL && strcmp(sink->topic, topic) != 0)
        sink = sink->next;
    return sink;
}

static int check_failure(struct weir_app *app, const weir_failure_options *options)
{
    for (int i = 0; i < 4; i++)
        if (options->reserved[i] != 0)
            return diag_set(&app->diag, ERR_INVALID,
                            "weir_failure_options: reserved words are not zero");
    if ((int)options->policy < WEIR_FAILURE_END || options->policy > WEIR_FAILURE_SKIP)
        return diag_set(&app->diag, ERR_INVALID, "failure policy %d is not known",
                        (int)options->policy);
    if (options->retries < -1 || options->backoff_ms < 0 || options->backoff_ms > DAY_MS ||
        options->backoff_max_ms < 0 || options->backoff_max_ms > DAY_MS)
        return diag_set(&app->diag, ERR_INVALID,
                        "weir_failure_options: retries must be -1 or more, backoff_ms and "
                        "backoff_max_ms 0 to %d",
                        DAY_MS);
    return 0;
}

static int no_pipeline(struct weir_app *app, const char *topic)
{
    return diag_set(&app->diag, ERR_NOT_FOUND, "no stream of app %s writes topic %s", app->name,
                    topic);
}

int weir_on_failure(weir_app *app, const char *topic, const weir_failure_options *options)
{
    if (app == NULL || options == NULL)
        return ERR_INVALID;
    if (app->error != 0)
        return app->error;
    TRY(check_failure(app, options));
    if (topic != NULL && find_sink(app, topic) == NULL)
        return no_pipeline(app, topic);
    weir_failure_options filled = *options;
    if (filled.retries == 0)
        filled.retries = RETRIES;
    if (filled.backoff_ms == 0)
        filled.backoff_ms = BACKOFF_MS;
    if (filled.backoff_max_ms == 0)
        filled.backoff_max_ms = BACKOFF_MAX_MS;
    for (struct sink *sink = app->sinks; sink != NULL; sink = sink->next)
        if (topic == NULL || strcmp(sink->topic, topic) == 0)
            sink->failure = filled;
    return 0;
}

/* The sink that a setter is about. An error is the app's. */
static int sink_for(weir_app *app, const char *what, const char *topic, struct sink **sink)
{
    if (app == NULL)
        return ERR_INVALID;
    if (app->error != 0)
        return app->error;
    *sink = topic != NULL ? find_sink(app, topic) : NULL;
    return *sink != NULL
               ? 0
               : topology_fail(app, ERR_NOT_FOUND, "%s: no stream of app %s writes topic %s", what,
                               app->name, topic != NULL ? topic : "(NULL)");
}

int weir_output(weir_app *app, const char *topic, const weir_output_options *options)
{
    struct sink *sink;
    TRY(sink_for(app, "weir_output", topic, &sink));
    if (options == NULL)
        return topology_fail(app, ERR_INVALID, "weir_output needs options");
    for (int i = 0; i < 4; i++)
        if (options->reserved[i] != 0)
            return topology_fail(app, ERR_INVALID,
                                 "weir_output_options: reserved words are not zero");
    if (options->partitions < 0 || options->partitions > PARTITIONS_MAX)
        return topology_fail(app, ERR_INVALID, "weir_output %s: %d partitions are not 1 to %d",
                             topic, (int)options->partitions, PARTITIONS_MAX);
    if (options->retention_ms < -1)
        return topology_fail(app, ERR_INVALID, "weir_output %s: a retention of %lld ms", topic,
                             (long long)options->retention_ms);
    sink->output = *options;
    return 0;
}

int weir_on_bad_row(weir_app *app, const char *topic, weir_bad_row what)
{
    struct sink *sink;
    TRY(sink_for(app, "weir_on_bad_row", topic, &sink));
    if (what != WEIR_BAD_ROW_DEAD_LETTER && what != WEIR_BAD_ROW_FAIL)
        return topology_fail(app, ERR_INVALID, "weir_on_bad_row: %d is not known", (int)what);
    sink->fails_on_bad_row = what == WEIR_BAD_ROW_FAIL;
    return 0;
}

static int set_paused(weir_app *app, const char *topic, bool is_paused)
{
    struct sink *sink = app != NULL && topic != NULL ? find_sink(app, topic) : NULL;
    if (sink == NULL)
        return ERR_NOT_FOUND;
    atomic_store(&sink->is_paused, is_paused);
    pthread_mutex_lock(&app->mutex);
    if (app->run != NULL)
        run_wake_workers(app->run);
    pthread_mutex_unlock(&app->mutex);
    return 0;
}

int weir_app_pause(weir_app *app, const char *topic)
{
    return set_paused(app, topic, true);
}
int weir_app_resume(weir_app *app, const char *topic)
{
    return set_paused(app, topic, false);
}

/* ---- what workers say ---- */

void run_task_state(struct run *run, const struct task *task, weir_stage_state state, int code,
                    const char *reason, int64_t retry_at_ms)
{
    struct task_status *status = &run->status[task->index];
    pthread_mutex_lock(&run->mutex);
    status->state = state;
    status->retry_at_ms = retry_at_ms;
    if (code < 0) {
        free(status->reason);
        status->reason = reason != NULL ? strdup(reason) : NULL;
        status->code = code;
        status->failures++;
    }
    pthread_mutex_unlock(&run->mutex);
}

void run_task_skipped(struct run *run, const struct task *task)
{
    pthread_mutex_lock(&run->mutex);
    run->status[task->index].skipped++;
    pthread_mutex_unlock(&run->mutex);
}

void run_put_store_failure(struct run *run, struct task *task, int code, const struct diag *diag)
{
    struct task_status *status = &run->status[task->index];
    pthread_mutex_lock(&run->mutex);
    free(status->store_reason);
    status->store_reason = strdup(diag->text);
    pthread_mutex_unlock(&run->mutex);
    atomic_store(&task->store_failure, code);
    run_wake_workers(run);
}

void run_store_failure(struct run *run, const struct task *task, struct diag *diag)
{
    const char *reason = run->status[task->index].store_reason;
    int code = atomic_load(&task->store_failure);
    pthread_mutex_lock(&run->mutex);
    diag_set(diag, code, "%s", reason != NULL && reason[0] != '\0' ? reason : error_text(code));
    pthread_mutex_unlock(&run->mutex);
}

/* ---- the list ---- */

static uint32_t count_sinks(const struct weir_app *app)
{
    uint32_t count = 0;
    for (const struct sink *sink = app->sinks; sink != NULL; sink = sink->next)
        count++;
    return count;
}

/* With the run's mutex held. */
static void add_task(struct run *run, const struct task *task, weir_stage_info *info)
{
    const struct task_status *status = &run->status[task->index];
    struct port_range range;
    info->tasks++;
    info->tasks_retrying += status->state == WEIR_STAGE_RETRYING;
    info->tasks_stopped += status->state == WEIR_STAGE_STOPPED;
    info->failures += status->failures;
    info->skipped += status->skipped;
    if (status->state > info->state || (info->code == 0 && status->code != 0)) {
        info->code = status->code;
        info->reason = status->reason != NULL ? status->reason : "";
        info->partition = status->code != 0 ? task->partition : -1;
        info->retry_at_ms = status->retry_at_ms;
    }
    if (status->state > info->state)
        info->state = status->state;
    if (task->stage->input != INPUT_ROWS || info->lag < 0)
        return;
    int64_t position = run->positions[task->index];
    if (run->port->ops->range(run->port, task->stage->input_topic, task->partition, &range, NULL) <
        0)
        info->lag = -1;
    else if (range.stable > (position > range.start ? position : range.start))
        info->lag += range.stable - (position > range.start ? position : range.start);
}

static void describe_sink(struct run *run, const struct sink *sink, bool is_working,
                          weir_stage_info *info)
{
    *info = (weir_stage_info){.topic = sink->topic, .partition = -1, .reason = ""};
    for (uint32_t i = 0; run != NULL && i < run->task_count; i++)
        if (run->tasks[i].stage->view->sink == sink)
            add_task(run, &run->tasks[i], info);
    if (info->state == WEIR_STAGE_RUNNING && atomic_load(&sink->is_paused))
        info->state = WEIR_STAGE_PAUSED;
    if (!is_working && info->state != WEIR_STAGE_STOPPED)
        info->state = WEIR_STAGE_ENDED;
}

/* Array and texts as one block. */
static weir_stage_info *copy_block(const weir_stage_info *from, uint32_t count)
{
    size_t size = (size_t)count * sizeof *from + 1;
    for (uint32_t i = 0; i < count; i++)
        size += strlen(from[i].topic) + strlen(from[i].reason) + 2;
    weir_stage_info *to = malloc(size);
    if (to == NULL)
        return NULL;
    char *text = (char *)(to + count);
    for (uint32_t i = 0; i < count; i++) {
        to[i] = from[i];
        to[i].topic = memcpy(text, from[i].topic, strlen(from[i].topic) + 1);
        text += strlen(text) + 1;
        to[i].reason = memcpy(text, from[i].reason, strlen(from[i].reason) + 1);
        text += strlen(text) + 1;
    }
    return to;
}

/* With the app's mutex held. NULL: no memory. */
static weir_stage_info *list_stages(struct weir_app *app, struct run *run, bool is_working)
{
    uint32_t count = count_sinks(app), i = 0;
    weir_stage_info *borrowed = calloc(count + 1, sizeof *borrowed), *list = NULL;
    if (borrowed == NULL)
        return NULL;
    if (run != NULL)
        pthread_mutex_lock(&run->mutex);
    for (const struct sink *sink = app->sinks; sink != NULL; sink = sink->next)
        describe_sink(run, sink, is_working, &borrowed[i++]);
    list = copy_block(borrowed, count);
    if (run != NULL)
        pthread_mutex_unlock(&run->mutex);
    free(borrowed);
    return list;
}

int weir_app_stages(weir_app *app, weir_stage_info **stages, size_t *count)
{
    if (stages != NULL)
        *stages = NULL;
    if (count != NULL)
        *count = 0;
    if (app == NULL || stages == NULL || count == NULL)
        return ERR_INVALID;
    pthread_mutex_lock(&app->mutex);
    bool is_old = app->run == NULL && app->stages != NULL;
    *stages = is_old ? copy_block(app->stages, app->stage_count)
                     : list_stages(app, app->run, app->run != NULL);
    if (*stages != NULL)
        *count = is_old ? app->stage_count : count_sinks(app);
    pthread_mutex_unlock(&app->mutex);
    return *stages != NULL ? 0 : ERR_NOMEM;
}

void run_attach(struct run *run)
{
    pthread_mutex_lock(&run->app->mutex);
    free(run->app->stages);
    run->app->stages = NULL;
    run->app->run = run;
    pthread_mutex_unlock(&run->app->mutex);
}

void run_detach(struct run *run)
{
    struct weir_app *app = run->app;
    if (app->run != run)
        return; /* it did not come so far */
    pthread_mutex_lock(&app->mutex);
    app->stages = list_stages(app, run, false);
    app->stage_count = count_sinks(app);
    app->run = NULL;
    pthread_mutex_unlock(&app->mutex);
}
