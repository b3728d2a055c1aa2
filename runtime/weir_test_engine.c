/* weir_test_engine.c: one life of an engine in its caller's thread.
 *
 * weir_app_run starts a thread for each worker, one for checkpoints, and watches. Here the same
 * steps (run.h) are taken one after the other: a turn of each worker in their order, then the log's
 * due rounds (log_drive: flushes, decisions, house-keeping), then a checkpoint when one is due or
 * asked for. Which thread does what when is all that threads decide in production; here it is
 * always the same order, and all of it is reached by some schedule of theirs.
 *
 * A round is idle when no worker read anything, no waker was set, and neither the log nor the
 * checkpoint had anything to do: whatever comes next comes with records or with time. */
#include "runtime/weir_test_engine.h"

#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/store_view.h"
#include "runtime/weir_handle.h"

/* Who closes a worker waits for its commit in flight, which only we can bring about. */
static void settle_worker(struct engine *engine, struct worker *worker)
{
    while (worker->in_flight && atomic_load(&worker->commit_done) == COMMIT_PENDING)
        if (!log_drive(engine->log->log))
            clock_virtual_advance(1); /* the disk is full, and the decision is tried again */
}

static int close_engine(struct engine *engine, int code)
{
    struct run *run = &engine->run;
    for (int i = 0; i < engine->open_workers; i++)
        settle_worker(engine, &run->workers[i]);
    for (int i = 0; i < engine->open_workers; i++)
        worker_close(&run->workers[i]);
    engine->open_workers = 0;
    engine->is_open = false;
    if (code == 0)
        code = run_finish(run);
    else
        run_publish_progress(run);
    return run_close(run, code);
}

/* A worker's own failure, as worker_main reports it. */
static int report(struct engine *engine, struct worker *worker, int rc)
{
    if (rc >= 0)
        return rc;
    if (worker->diag.code != rc)
        diag_set(&worker->diag, rc, "app %s: %s", engine->run.app->name, error_text(rc));
    run_fail(&engine->run, rc, &worker->diag);
    return rc;
}

int engine_open(struct engine *engine, struct weir_app *app, struct weir_log *log)
{
    *engine = (struct engine){.log = log, .is_open = true};
    if (app->error != 0) {
        engine->is_open = false;
        return app->error;
    }
    int rc = run_open(&engine->run, app);
    if (rc < 0) {
        engine->is_open = false;
        return run_close(&engine->run, rc);
    }
    for (int i = 0; rc == 0 && i < engine->run.worker_count; i++) {
        engine->open_workers++;
        rc = report(engine, &engine->run.workers[i], worker_open(&engine->run.workers[i]));
    }
    engine->next_checkpoint_ns = clock_mono_ns() + app->options.checkpoint_interval_ms * 1000000;
    return rc < 0 ? close_engine(engine, rc) : 0;
}

static bool checkpoint_when_due(struct engine *engine)
{
    struct run *run = &engine->run;
    pthread_mutex_lock(&run->mutex);
    bool due = run->want_checkpoint || clock_mono_ns() >= engine->next_checkpoint_ns;
    run->want_checkpoint = false;
    pthread_mutex_unlock(&run->mutex);
    if (due) {
        checkpoint_round(run);
        engine->next_checkpoint_ns =
            clock_mono_ns() + run->app->options.checkpoint_interval_ms * 1000000;
    }
    return due;
}

/* 1: it is done and the run is ending; else 0 or the failure. */
static int turn_worker(struct engine *engine, struct worker *worker, bool *idle)
{
    bool ending = atomic_load(&engine->run.stopping);
    int64_t wait_ms;
    if (ending && worker_is_done(worker))
        return 1;
    (void)waker_take(&worker->waker);
    int rc = report(engine, worker, worker_turn(worker, ending, &wait_ms));
    if (rc < 0)
        return rc;
    if (wait_ms == 0)
        *idle = false;
    if (wait_ms < engine->wait_ms)
        engine->wait_ms = wait_ms;
    return 0;
}

/* What workers.c does with threads. */
static int set_workers(struct engine *engine, int workers)
{
    struct run *run = &engine->run;
    int before = engine->open_workers;
    for (int i = 0; i < before; i++) {
        settle_worker(engine, &run->workers[i]);
        TRY(report(engine, &run->workers[i], worker_park(&run->workers[i])));
    }
    for (int i = before; i < workers; i++) {
        struct worker *worker = &run->workers[i];
        if (i >= run->worker_count && run_make_worker(run, i) < 0)
            return diag_set(&run->diag, ERR_NOMEM, "no memory for a worker");
        engine->open_workers = i + 1;
        TRY(report(engine, worker, worker_open(worker)));
        TRY(report(engine, worker, worker_park(worker)));
    }
    if (run_deal_tasks(run, workers) < 0)
        return diag_set(&run->diag, ERR_NOMEM, "no memory to deal tasks");
    for (int i = 0; i < workers; i++)
        TRY(report(engine, &run->workers[i], worker_resume(&run->workers[i])));
    for (int i = workers; i < before; i++)
        worker_close(&run->workers[i]);
    engine->open_workers = workers;
    return 0;
}

int engine_turn(struct engine *engine, bool *idle)
{
    struct run *run = &engine->run;
    int done = 0;
    *idle = true;
    engine->wait_ms = INT64_MAX;
    if (atomic_load(&run->app->stop))
        atomic_store(&run->stopping, true);
    int threads = run_wanted_threads(run);
    if (threads > 0) {
        int rc = set_workers(engine, threads);
        if (rc < 0)
            return close_engine(engine, rc);
    }
    for (int i = 0; i < engine->open_workers; i++) {
        int rc = turn_worker(engine, &run->workers[i], idle);
        if (rc < 0)
            return close_engine(engine, rc);
        done += rc;
    }
    if (log_drive(engine->log->log))
        *idle = false;
    if (checkpoint_when_due(engine))
        *idle = false;
    for (int i = 0; i < engine->open_workers; i++) {
        if (!run->workers[i].waker.is_set)
            continue;
        *idle = false;
    }
    if (atomic_load(&run->failed))
        return close_engine(engine, run->code);
    if (done == engine->open_workers)
        return close_engine(engine, 0);
    if (atomic_load(&run->stopping))
        *idle = false;
    if (*idle)
        run_publish_progress(run);
    return 0;
}

int engine_end(struct engine *engine)
{
    bool idle;
    int rc = 0;
    atomic_store(&engine->run.stopping, true);
    while (rc == 0 && engine->is_open)
        rc = engine_turn(engine, &idle);
    return rc;
}

void engine_drop(struct engine *engine)
{
    if (engine->is_open)
        (void)close_engine(engine, ERR_STOPPED);
}

/* ---- state ---- */

static int get_in_store(struct engine *engine, struct task *task, struct bytes key,
                        struct bytes *value, struct arena *arena, struct diag *diag)
{
    struct port_range range;
    const struct port_ops *ops = engine->run.port->ops;
    if (!atomic_load(&task->is_open))
        return diag_set(diag, ERR_STATE, "task %s-%d, whose state it is, does not run",
                        task->stage->name, (int)task->partition);
    TRY(ops->settled_range(engine->run.port, task->stage->changelog_topic, task->partition, &range,
                           diag));
    TRY(store_follow(&task->store, &engine->run.memory, false, diag));
    TRY(state_renew(task->store.state, diag));
    return state_get(task->store.state, key, arena, value, diag);
}

/* 1: found and appended to json. */
static int get_in_stage(struct engine *engine, uint32_t stage_index, struct store_view *view,
                        const char *key, struct buf *json, struct diag *diag)
{
    const struct stage *stage = &engine->run.plan->stages[stage_index];
    struct buf store_key;
    struct bytes value;
    struct arena arena;
    buf_init(&store_key, 0);
    arena_init(&arena, 0);
    int rc = store_view_key(view, key, &store_key, diag);
    for (int32_t p = 0; rc == 0 && p < stage->partitions; p++)
        rc = get_in_store(engine,
                          &engine->run.tasks[engine->run.first_task[stage_index] + (uint32_t)p],
                          bytes_of(store_key.data, store_key.size), &value, &arena, diag);
    if (rc == 1) {
        rc = store_view_json(view, bytes_of(store_key.data, store_key.size), value, json, diag);
        if (rc == 0)
            rc = 1;
    }
    buf_deinit(&store_key);
    arena_deinit(&arena);
    return rc;
}

int engine_get(struct engine *engine, const char *topic, const char *key, struct buf *json,
               struct diag *diag)
{
    const struct plan *plan = engine->run.plan;
    char path[4096];
    for (uint32_t s = 0; s < plan->stage_count; s++) {
        const struct stage *stage = &plan->stages[s];
        struct store_view *view;
        if (stage->changelog_topic[0] == '\0' || stage->output != OUTPUT_VIEW ||
            strcmp(stage->view->sink->topic, topic) != 0)
            continue;
        TRY(store_path(plan->app->data, plan->app->name, stage->name, 0, path, sizeof path, diag));
        TRY(store_view_open(path, &view, diag));
        int rc = get_in_stage(engine, s, view, key, json, diag);
        store_view_close(view);
        if (rc == 0)
            return diag_set(diag, ERR_NOT_FOUND, "%s holds no group %s", topic, key);
        return rc < 0 ? rc : 0;
    }
    return diag_set(diag, ERR_NOT_FOUND, "no aggregate of app %s is written to %s",
                    engine->run.app->name, topic);
}
