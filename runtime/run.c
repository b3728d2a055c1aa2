/* run.c: weir_app_run: from a topology to running workers, and the way to the end.
 *
 * The start, in order: compile the plan, open the log (which recovers), read the progress topic,
 * finish or begin a reset, place the plan on the topics, then workers open their tasks (which
 * restore their stores) and work. Tasks are dealt to workers by what they have before them, else
 * round robin with the stage as an offset, so that neighbouring stages of one partition land on
 * different workers (workers.c).
 *
 * until_end goes stage by stage. A source stage ends at what its topic held at the start. When
 * every task of a stage has committed up to its end, the stage is drained; with close_windows its
 * tasks then raise their watermarks to the end of the last window that any of them saw, and commit
 * again. Then the stage is done, its output topic has its final end, and the stages that read it
 * learn their own end from that. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/app_views.h"
#include "runtime/base/clock.h"
#include "runtime/base/thread.h"
#include "runtime/run.h"
#include "runtime/weir_view.h"

enum { WATCH_MS = 20, PROGRESS_MS = 500 };

int weir_app_check(weir_app *app)
{
    struct plan *plan = NULL;
    if (app == NULL)
        return ERR_NOMEM;
    if (app->error != 0)
        return app->error;
    app->diag.text[0] = '\0';
    int rc = plan_compile(app, &plan, &app->diag);
    plan_destroy(plan);
    return rc;
}

/* ---- what workers call ---- */

void run_fail(struct run *run, int code, const struct diag *diag)
{
    pthread_mutex_lock(&run->mutex);
    if (run->code == 0) {
        run->code = code;
        run->diag = *diag;
    }
    atomic_store(&run->failed, true);
    pthread_cond_broadcast(&run->changed);
    pthread_mutex_unlock(&run->mutex);
    run_wake_workers(run);
}

void run_committed(struct run *run, struct task *const *tasks, const bool *in_commit,
                   uint32_t count)
{
    pthread_mutex_lock(&run->mutex);
    run->commits++;
    for (uint32_t i = 0; i < count; i++)
        if (in_commit[i]) {
            run->counts[tasks[i]->index] = tasks[i]->committed_counts;
            run->positions[tasks[i]->index] = tasks[i]->committed_position;
        }
    pthread_mutex_unlock(&run->mutex);
}

void run_wake_workers(struct run *run)
{
    for (int i = 0; i < run->worker_count; i++)
        waker_wake(&run->workers[i].waker);
}

static int settled_end(struct run *run, const struct stage *reader, const char *topic,
                       int32_t partition, atomic_int_fast64_t *end, struct diag *diag)
{
    struct port_range range;
    int rc = run->port->ops->settled_range(run->port, topic, partition, &range, diag);
    /* One that cannot be read fails when its task reads it. */
    if (rc < 0 && reader->view->sink->failure.policy == WEIR_FAILURE_END)
        return rc;
    atomic_store(end, rc < 0 ? INT64_MAX - 1 : range.stable);
    return 0;
}

/* The same for who reads that output as a table. */
static int end_tables(struct run *run, uint32_t stage, struct diag *diag)
{
    for (uint32_t k = 0; k < run->task_count; k++) {
        struct task *task = &run->tasks[k];
        uint32_t at = 0;
        for (uint32_t t = 0; t < task->stage->table_count; t++) {
            const struct stage_table *table = &task->stage->tables[t];
            for (int32_t i = 0; i < stage_table_inputs(table); i++, at++)
                if (table->upstream == (int)stage)
                    TRY(settled_end(run, task->stage,
                                    stage_table(task->stage, t)->rows.source->text,
                                    stage_table_partition(table, task->partition, i),
                                    &task->table_ends[at], diag));
        }
    }
    return 0;
}

/* With the mutex held. The output of the stage and its arms has its final end now: the stages that
 * read it get theirs. */
static int finish_stage(struct run *run, uint32_t stage, struct diag *diag)
{
    struct port_range range;
    run->stages[stage].phase = STAGE_DONE;
    run->stages_done += run->plan->stages[stage].arm_count;
    TRY(run->port->ops->range(run->port, run->plan->progress_topic, 0, &range, diag));
    atomic_store(&run->progress_target, range.stable);
    for (uint32_t s = 0; s < run->plan->stage_count; s++) {
        const struct stage *reader = &run->plan->stages[s];
        if (reader->upstream != (int)stage)
            continue;
        run->stages[reader->first_arm].is_incomplete |= run->stages[stage].is_incomplete;
        for (int32_t p = 0; p < reader->partitions; p++)
            TRY(settled_end(run, reader, reader->input_topic, p,
                            &run->tasks[run->first_task[s] + (uint32_t)p].end_target, diag));
    }
    TRY(end_tables(run, stage, diag));
    if (run->stages_done == run->plan->stage_count) {
        atomic_store(&run->stopping, true);
        pthread_cond_broadcast(&run->changed);
    }
    return 0;
}

static void report(struct run *run, int rc, const struct diag *diag)
{
    if (rc < 0)
        run_fail(run, rc, diag);
    else
        run_wake_workers(run);
}

/* With the mutex held. All tasks of a stage and its arms are drained: time goes up to the end of the
 * last window that any of them saw. */
static void raise_stage(struct run *run, uint32_t stage)
{
    struct stage_state *state = &run->stages[stage];
    state->phase = STAGE_RAISING;
    state->left = 0;
    for (uint32_t s = stage; s < stage + run->plan->stages[stage].arm_count; s++)
        for (int32_t p = 0; p < run->plan->stages[s].partitions; p++, state->left++)
            atomic_store(&run->tasks[run->first_task[s] + (uint32_t)p].raise_ms,
                         state->max_window_end_ms);
}

/* When all is closed that a stage of this view has opened up to a time; false: nothing waits for that. */
static bool all_closed_at(const struct view *view, int64_t time_ms, int64_t *closed_ms)
{
    if (view->is_windowed)
        return window_all_closed_at(&view->group->window, time_ms, closed_ms);
    if (view->within == NULL || !view->within->keeps_unmatched)
        return false;
    *closed_ms = within_all_gone_at(view->within, time_ms);
    return true;
}

void run_task_drained(struct run *run, struct task *task)
{
    struct diag diag = {0};
    uint32_t s = task->stage->first_arm; /* arms come to their end together */
    struct stage_state *state = &run->stages[s];
    const struct view *view = task->stage->view;
    int64_t closed_ms;
    int rc = 0;
    pthread_mutex_lock(&run->mutex);
    if (task->stage->input == INPUT_ROWS && task->max_event_ms != TIME_NONE &&
        all_closed_at(view, task->max_event_ms, &closed_ms) && closed_ms > state->max_window_end_ms)
        state->max_window_end_ms = closed_ms;
    if (--state->left == 0) {
        if (run->app->options.close_windows && !state->is_incomplete &&
            state->max_window_end_ms != TIME_NONE)
            raise_stage(run, s);
        else
            rc = finish_stage(run, s, &diag);
    }
    pthread_mutex_unlock(&run->mutex);
    report(run, rc, &diag);
}

void run_task_closed(struct run *run, struct task *task)
{
    struct diag diag = {0};
    uint32_t s = task->stage->first_arm;
    int rc = 0;
    pthread_mutex_lock(&run->mutex);
    if (--run->stages[s].left == 0)
        rc = finish_stage(run, s, &diag);
    pthread_mutex_unlock(&run->mutex);
    report(run, rc, &diag);
}

/* With the mutex held: the task will report nothing any more. Whatever waits for all of its stage
 * goes on without it, but for closing windows: rows of theirs may lie behind what stopped it. */
static int count_out(struct run *run, struct task *task, struct diag *diag)
{
    uint32_t s = task->stage->first_arm;
    struct stage_state *state = &run->stages[s];
    state->is_incomplete = true;
    bool awaited = state->phase == STAGE_RUNNING   ? !task->reported_drained
                   : state->phase == STAGE_RAISING ? !task->reported_closed
                                                   : false;
    task->reported_drained = task->reported_closed = true;
    return awaited && --state->left == 0 ? finish_stage(run, s, diag) : 0;
}

int run_task_stopped(struct run *run, struct task *task, int code, const struct diag *diag)
{
    struct diag why = {0};
    int rc = 0;
    pthread_mutex_lock(&run->mutex);
    if (run->stopped_tasks++ == 0) {
        run->stop_code = code;
        run->stop_diag = *diag;
    }
    if (run->stopped_tasks == run->task_count)
        rc = code;
    else if (run->app->options.until_end)
        rc = count_out(run, task, &why);
    pthread_mutex_unlock(&run->mutex);
    if (rc < 0 && rc != code)
        run_fail(run, rc, &why);
    else if (rc == 0)
        run_wake_workers(run);
    return rc;
}

/* ---- set up ---- */

static int no_memory(struct run *run)
{
    return diag_set(&run->diag, ERR_NOMEM, "no memory to run app %s", run->app->name);
}

/* Some source of the view has an idle time, and so asks how far all of them are. */
static bool follows_clock(const struct view *lead)
{
    for (const struct view *arm = lead; arm != NULL; arm = arm->next_arm)
        if (arm->source->idle_ms > 0)
            return true;
    return false;
}

static int make_tasks(struct run *run)
{
    const struct plan *plan = run->plan;
    uint32_t stores = 0, preaggregating = 0;
    for (uint32_t s = 0; s < plan->stage_count; s++)
        run->task_count += (uint32_t)plan->stages[s].partitions;
    run->tasks = calloc(run->task_count, sizeof *run->tasks);
    run->counts = calloc(run->task_count, sizeof *run->counts);
    run->last = calloc(run->task_count, sizeof *run->last);
    run->status = calloc(run->task_count, sizeof *run->status);
    run->gauges = calloc(run->task_count, sizeof *run->gauges);
    run->loads = calloc(run->task_count, sizeof *run->loads);
    run->positions = calloc(run->task_count, sizeof *run->positions);
    run->stages = calloc(plan->stage_count, sizeof *run->stages);
    run->first_task = calloc(plan->stage_count, sizeof *run->first_task);
    if (run->tasks == NULL || run->last == NULL || run->status == NULL || run->gauges == NULL ||
        run->loads == NULL || run->counts == NULL || run->positions == NULL ||
        run->stages == NULL || run->first_task == NULL)
        return no_memory(run);
    uint32_t index = 0;
    for (uint32_t s = 0; s < plan->stage_count; s++) {
        const struct stage *stage = &plan->stages[s];
        run->first_task[s] = index;
        run->stages[stage->first_arm].left += stage->partitions;
        run->stages[s].max_window_end_ms = TIME_NONE;
        atomic_init(&run->stages[s].max_event_ms, TIME_NONE);
        stores += stage->changelog_topic[0] != '\0' ? (uint32_t)stage->partitions : 0;
        preaggregating += stage->output == OUTPUT_PARTIALS ? (uint32_t)stage->partitions : 0;
        for (int32_t p = 0; p < stage->partitions; p++, index++) {
            struct task *task = &run->tasks[index];
            pthread_mutex_init(&task->following, NULL);
            task->stage = stage;
            task->partition = p;
            task->index = index;
            task->memory = &run->memory;
            task->peer_max_event_ms = follows_clock(stage->view->lead)
                                          ? &run->stages[stage->first_arm].max_event_ms
                                          : NULL;
            task->gauges = &run->gauges[index];
            if (stage->table_count > 0) {
                task->table_ends = calloc(task_table_inputs(task), sizeof *task->table_ends);
                if (task->table_ends == NULL)
                    return no_memory(run);
            }
            atomic_init(&task->gauges->watermark_ms, TIME_NONE);
            const struct progress *progress = progress_set_find(&run->progress, stage->name, p);
            if (progress == NULL && stage->input == INPUT_ROWS)
                progress = progress_set_begin(&run->progress, stage->view->sink->topic,
                                              stage->input_id, p);
            if (progress != NULL) {
                TRY(progress_copy(&run->last[index], progress, &run->diag));
                run->counts[index] = progress->counts;
                run->positions[index] = progress->position > 0 ? progress->position : 0;
            }
        }
    }
    memory_init(&run->memory, run->app->options.memory_bytes, (uint32_t)run->app->options.threads,
                run->task_count, stores, preaggregating);
    return 0;
}

static int make_workers(struct run *run)
{
    int wanted = run_wanted_threads(run);
    if (wanted > 0)
        run->app->options.threads = wanted;
    run->workers = calloc(WORKERS_MAX, sizeof *run->workers);
    if (run->workers == NULL)
        return no_memory(run);
    for (int i = 0; i < run->app->options.threads; i++)
        if (run_make_worker(run, i) < 0)
            return no_memory(run);
    return run_deal_tasks(run, run->app->options.threads) < 0 ? no_memory(run) : 0;
}

/* Where the topics of its tables end that this app does not write. */
static int set_table_ends(struct run *run, struct task *task, struct diag *diag)
{
    uint32_t at = 0;
    for (uint32_t t = 0; t < task->stage->table_count; t++) {
        const struct stage_table *table = &task->stage->tables[t];
        for (int32_t i = 0; i < stage_table_inputs(table); i++, at++) {
            struct port_range range;
            if (table->upstream >= 0 || atomic_load(&task->table_ends[at]) != INT64_MAX)
                continue;
            TRY(run->port->ops->range(run->port, stage_table(task->stage, t)->rows.source->text,
                                      stage_table_partition(table, task->partition, i), &range,
                                      diag));
            atomic_store(&task->table_ends[at], range.stable);
        }
    }
    return 0;
}

int run_set_end(struct run *run, struct task *task, struct diag *diag)
{
    struct port_range range;
    if (run->app->options.until_end)
        TRY(set_table_ends(run, task, diag));
    if (!run->app->options.until_end || task->stage->upstream >= 0 ||
        atomic_load(&task->end_target) != INT64_MAX)
        return 0;
    TRY(run->port->ops->range(run->port, task->stage->input_topic, task->partition, &range, diag));
    atomic_store(&task->end_target, range.stable);
    return 0;
}

/* A partition that cannot be read has no end yet; its task will fail and say why. */
static int set_end_targets(struct run *run)
{
    for (uint32_t i = 0; i < run->task_count; i++) {
        struct task *task = &run->tasks[i];
        atomic_init(&task->end_target, INT64_MAX);
        atomic_init(&task->raise_ms, TIME_NONE);
        for (uint32_t t = 0; t < task_table_inputs(task); t++)
            atomic_init(&task->table_ends[t], INT64_MAX);
        int rc = run_set_end(run, task, &run->diag);
        if (task->stage->view->sink->failure.policy == WEIR_FAILURE_END)
            TRY(rc);
    }
    run->diag = (struct diag){0};
    return 0;
}

static int look(struct run *run)
{
    TRY(plan_compile(run->app, &run->plan, &run->diag));
    const weir_options *options = &run->app->options;
    struct port_log_options log = {.os_durability = options->durability == WEIR_DURABILITY_OS,
                                   .keeper_interval_ms = options->keeper_interval_ms,
                                   .cleaner_memory_bytes =
                                       (int64_t)memory_cleaner_bytes(options->memory_bytes)};
    if (options->log != NULL)
        TRY(port_log_share(options->log, run->app->name, &run->port, &run->diag));
    else
        TRY(port_log_open(run->app->data, &log, &run->port, &run->diag));
    return run_read_progress(run, &run->diag);
}

static int prepare(struct run *run)
{
    TRY(look(run));
    TRY(run_end_resets(run, &run->diag));
    TRY(run_evolve(run, &run->diag));
    if (!run->app->options.from_beginning)
        TRY(run_admit_changes(run, &run->diag));
    TRY(run_reset(run, &run->diag));
    TRY(plan_place(run->plan, run->port, &run->diag));
    TRY(app_views_write(run->app, &run->diag));
    TRY(make_tasks(run));
    TRY(told_open(run, &run->diag));
    TRY(set_end_targets(run));
    TRY(make_workers(run));
    return metrics_attach(run->app->metrics, run, &run->diag);
}

/* ---- run ---- */

/* Only tasks that read rows count rows; all count what they write. */
static void sum_counts(const struct run *run, struct counts *sum)
{
    for (uint32_t i = 0; i < run->task_count; i++) {
        struct counts counts = run->counts[i];
        /* A row that crosses between two stages of a view is one row, which is read when it has come
         * to the second. */
        if (run->tasks[i].stage->output == OUTPUT_CROSSING) {
            counts.rows_in -= counts.out;
            counts.applied -= counts.out;
            counts.out = 0;
        }
        counts_add(sum, &counts, 1);
    }
}

static int64_t source_lag(struct run *run)
{
    int64_t lag = 0;
    for (uint32_t i = 0; i < run->task_count; i++) {
        const struct task *task = &run->tasks[i];
        struct port_range range;
        if (task->stage->input == INPUT_ROWS && task->stage->upstream < 0 &&
            run->port->ops->range(run->port, task->stage->input_topic, task->partition, &range,
                                  NULL) == 0 &&
            range.stable > run->positions[i])
            lag += range.stable - run->positions[i];
    }
    return lag;
}

static void sum_progress(struct run *run, struct weir_progress *progress)
{
    struct counts sum = {0};
    pthread_mutex_lock(&run->mutex);
    sum_counts(run, &sum);
    *progress = (struct weir_progress){.lag = source_lag(run), .commits = run->commits};
    for (uint32_t i = 0; i < run->task_count; i++) {
        progress->tasks_retrying += run->status[i].state == WEIR_STAGE_RETRYING;
        progress->tasks_stopped += run->status[i].state == WEIR_STAGE_STOPPED;
    }
    pthread_mutex_unlock(&run->mutex);
    counts_add(&sum, &run->base, -1);
    progress->rows_in = sum.rows_in;
    progress->rows_made = sum.rows_made;
    progress->rows_applied = sum.applied;
    progress->rows_filtered = sum.filtered;
    progress->rows_late = sum.late;
    progress->rows_duplicate = sum.duplicate;
    progress->rows_dead = sum.dead;
    progress->rows_unmatched = sum.unmatched;
    progress->rows_out = sum.out;
    progress->seconds = (double)(clock_mono_ns() - run->started_ns) / 1e9;
}

void run_publish_progress(struct run *run)
{
    struct weir_app *app = run->app;
    sum_progress(run, &app->progress);
    if (app->options.progress != NULL)
        app->options.progress(app->options.progress_context, &app->progress);
    metrics_publish(app->metrics, false);
}

/* The main thread: watches for a stop request, which may come from a signal handler and so only
 * sets a flag. */
static void watch(struct run *run)
{
    int64_t next_progress_ms = clock_mono_ms() + PROGRESS_MS;
    pthread_mutex_lock(&run->mutex);
    while (!atomic_load(&run->stopping) && !atomic_load(&run->failed)) {
        int64_t until_ns = clock_mono_ns() + WATCH_MS * INT64_C(1000000);
        clock_cond_wait(&run->changed, &run->mutex, until_ns);
        if (atomic_load(&run->app->stop))
            atomic_store(&run->stopping, true);
        pthread_mutex_unlock(&run->mutex);
        run_take_hold(run, false);
        run_take_threads(run);
        if (clock_mono_ms() >= next_progress_ms) {
            next_progress_ms += PROGRESS_MS;
            run_measure_load(run);
            run_publish_progress(run);
        }
        pthread_mutex_lock(&run->mutex);
    }
    pthread_mutex_unlock(&run->mutex);
    run_take_hold(run, true);
    run_wake_workers(run);
}

static int start_threads(struct run *run)
{
    for (int i = 0; i < run->worker_count; i++) {
        if (thread_start(&run->workers[i].thread, worker_main, &run->workers[i]) != 0)
            return diag_set(&run->diag, ERR_NOMEM, "cannot start worker %d: %s", i,
                            strerror(errno));
        run->workers[i].is_started = true;
    }
    if (thread_start(&run->checkpointer, checkpoint_main, run) != 0)
        return diag_set(&run->diag, ERR_NOMEM, "cannot start the checkpoint thread: %s",
                        strerror(errno));
    run->has_checkpointer = true;
    return 0;
}

static void join_threads(struct run *run)
{
    for (int i = 0; i < run->worker_count; i++)
        if (run->workers[i].is_started)
            pthread_join(run->workers[i].thread, NULL);
    for (uint32_t i = 0; i < run->task_count; i++) /* what they held is the checkpoint's now */
        task_forget_groups(&run->tasks[i]);
    pthread_mutex_lock(&run->mutex);
    run->end_checkpoints = true;
    pthread_cond_signal(&run->checkpoint);
    pthread_mutex_unlock(&run->mutex);
    if (run->has_checkpointer)
        pthread_join(run->checkpointer, NULL);
}

/* A clean end leaves the stores at the end of their changelogs, so that the next start has nothing
 * to replay. */
static int last_checkpoint(struct run *run)
{
    for (uint32_t i = 0; i < run->task_count; i++) {
        struct task *task = &run->tasks[i];
        struct port_range range;
        if (!task->has_store || atomic_load(&task->store_failure) != 0)
            continue;
        TRY(run->port->ops->settled_range(run->port, task->stage->changelog_topic, task->partition,
                                          &range, &run->diag));
        TRY(store_follow(&task->store, &run->memory, true, &run->diag));
    }
    return 0;
}

int run_finish(struct run *run)
{
    if (run->code == 0)
        run->code = last_checkpoint(run);
    if (run->code == 0 && run->stop_code < 0) {
        run->code = run->stop_code;
        run->diag = run->stop_diag;
    }
    run_publish_progress(run);
    return run->code;
}

static int work(struct run *run)
{
    int rc = start_threads(run);
    if (rc < 0)
        run_fail(run, rc, &run->diag);
    watch(run);
    join_threads(run);
    return run_finish(run);
}

static void run_deinit(struct run *run)
{
    for (uint32_t i = 0; i < run->task_count && run->tasks != NULL; i++) {
        task_close(&run->tasks[i]);
        task_deinit(&run->tasks[i]);
        free(run->tasks[i].table_ends);
        if (run->last != NULL)
            progress_deinit(&run->last[i]);
        if (run->status != NULL) {
            free(run->status[i].reason);
            free(run->status[i].store_reason);
        }
    }
    for (int i = 0; i < run->worker_count && run->workers != NULL; i++) {
        waker_deinit(&run->workers[i].waker);
        free(run->workers[i].tasks);
        free(run->workers[i].in_commit);
        free(run->workers[i].watches);
        for (uint32_t t = 0; run->workers[i].sent != NULL && t < run->task_count; t++)
            progress_deinit(&run->workers[i].sent[t]);
        free(run->workers[i].sent);
    }
    told_close(run);
    free(run->workers);
    free(run->tasks);
    free(run->evolutions);
    free(run->last);
    free(run->status);
    free(run->counts);
    free(run->gauges);
    free(run->loads);
    free(run->positions);
    free(run->stages);
    free(run->first_task);
    progress_set_deinit(&run->progress);
    if (run->port != NULL)
        run->port->ops->close(run->port);
    plan_destroy(run->plan);
    pthread_cond_destroy(&run->changed);
    pthread_cond_destroy(&run->resume);
    pthread_cond_destroy(&run->checkpoint);
    pthread_mutex_destroy(&run->mutex);
}

static void run_init(struct run *run, struct weir_app *app)
{
    pthread_condattr_t attributes;
    memset(run, 0, sizeof *run);
    run->app = app;
    pthread_mutex_init(&run->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&run->changed, &attributes);
    pthread_cond_init(&run->resume, &attributes);
    pthread_cond_init(&run->checkpoint, &attributes);
    pthread_condattr_destroy(&attributes);
}

int run_look(struct run *run, struct weir_app *app)
{
    app->diag = (struct diag){0};
    run_init(run, app);
    return look(run);
}

int run_open(struct run *run, struct weir_app *app)
{
    app->diag = (struct diag){0};
    run_init(run, app);
    TRY(prepare(run));
    sum_counts(run, &run->base);
    run->started_ns = clock_mono_ns();
    if (run->app->options.log != NULL)
        TRY(shared_views_begin(run->app->options.log, run->app, &run->diag));
    run_attach(run);
    return 0;
}

int run_set_ends(struct run *run)
{
    run->app->options.until_end = true;
    int rc = set_end_targets(run);
    pthread_mutex_lock(&run->mutex);
    for (uint32_t i = 0; rc == 0 && i < run->task_count; i++)
        if (run->status[i].state ==
            WEIR_STAGE_STOPPED) /* before it was known that there is an end */
            rc = count_out(run, &run->tasks[i], &run->diag);
    pthread_mutex_unlock(&run->mutex);
    return rc;
}

int run_close(struct run *run, int code)
{
    struct weir_app *app = run->app;
    if (code < 0) {
        app->diag = run->diag;
        if (app->diag.text[0] == '\0')
            diag_set(&app->diag, code, "app %s: %s", app->name, error_text(code));
    }
    if (app->options.log != NULL)
        shared_views_end(app->options.log, app);
    run_detach(run);
    atomic_store(&app->workers, 0);
    metrics_publish(app->metrics, true);
    metrics_detach(app->metrics);
    run_deinit(run);
    atomic_store(&app->stop, 0);
    return code;
}

int weir_app_run(weir_app *app)
{
    struct run run;
    if (app == NULL)
        return ERR_NOMEM;
    if (app->error != 0)
        return app->error;
    int rc = run_open(&run, app);
    if (rc == 0)
        rc = work(&run);
    return run_close(&run, rc);
}

void weir_app_progress(const weir_app *app, weir_progress *progress)
{
    if (progress != NULL)
        *progress = app != NULL ? app->progress : (struct weir_progress){0};
}
