/* checkpoint.c: the thread that lets the stores follow their changelogs, and forgets what has been
 * consumed.
 *
 * Every checkpoint_interval, or sooner when a worker's tables are over their budget, each store is
 * brought up to the committed end of its changelog. Workers do not take part and never wait for it.
 * Afterwards repartition topics are purged up to the committed position of their reader: those
 * records live on in the changelog. */
#include <errno.h>

#include "runtime/base/clock.h"
#include "runtime/run.h"
#include "runtime/weir_view.h"

void run_request_checkpoint(struct run *run)
{
    pthread_mutex_lock(&run->mutex);
    run->want_checkpoint = true;
    pthread_cond_signal(&run->checkpoint);
    pthread_mutex_unlock(&run->mutex);
}

void app_request_checkpoint(struct weir_app *app)
{
    pthread_mutex_lock(&app->mutex);
    if (app->run != NULL)
        run_request_checkpoint(app->run);
    pthread_mutex_unlock(&app->mutex);
}

/* Waits for the interval or a request; false: the run is over. */
static bool wait_for_turn(struct run *run)
{
    int64_t until_ns = clock_mono_ns() + run->app->options.checkpoint_interval_ms * 1000000;
    pthread_mutex_lock(&run->mutex);
    while (!run->want_checkpoint && !run->end_checkpoints)
        if (clock_cond_wait(&run->checkpoint, &run->mutex, until_ns) == ETIMEDOUT)
            break;
    run->want_checkpoint = false;
    bool go_on = !run->end_checkpoints;
    pthread_mutex_unlock(&run->mutex);
    return go_on;
}

static int purge_consumed(struct run *run, const struct task *task, struct diag *diag)
{
    if (task->stage->input == INPUT_ROWS)
        return 0;
    pthread_mutex_lock(&run->mutex);
    int64_t position = run->positions[task->index];
    pthread_mutex_unlock(&run->mutex);
    return position > 0 ? run->port->ops->purge(run->port, task->stage->input_topic,
                                                task->partition, position, diag)
                        : 0;
}

/* Closing a task waits until this is done with it. */
static void follow_task(struct run *run, struct task *task)
{
    struct diag diag = {0};
    int rc = 0;
    pthread_mutex_lock(&task->following);
    if (atomic_load(&task->is_open) && atomic_load(&task->store_failure) == 0) {
        rc = task->has_store ? store_follow(&task->store, &run->memory, false, &diag) : 0;
        if (rc == 0)
            rc = purge_consumed(run, task, &diag);
    }
    pthread_mutex_unlock(&task->following);
    if (rc < 0)
        run_put_store_failure(run, task, rc, &diag);
}

void checkpoint_round(struct run *run)
{
    for (uint32_t i = 0; i < run->task_count && !atomic_load(&run->failed); i++)
        follow_task(run, &run->tasks[i]);
    if (run->app->options.log != NULL)
        shared_views_tend(run->app->options.log);
    run_wake_workers(run); /* one may wait for its store to take what it must forget */
}

void *checkpoint_main(void *context)
{
    struct run *run = context;
    while (!atomic_load(&run->failed) && wait_for_turn(run))
        checkpoint_round(run);
    return NULL;
}
