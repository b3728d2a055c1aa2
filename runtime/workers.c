/* workers.c: who has which task, at the start and when the number of workers changes.
 *
 * A task is not bound to a thread: what it has read and not committed is in its own outs and tables.
 * It can change hands at any moment in which no commit of its worker is in flight. So a change goes
 * like this, with the main thread in the lead:
 *
 *   1. new workers are started, without tasks
 *   2. every worker finishes its turn, awaits the decision of its commit in flight, and parks
 *   3. tasks are dealt anew, and go with all that they have: nothing is closed, restored or read again
 *   4. all go on; workers that are one too many end
 *
 * Processing rests from the first worker's parking to the last one's: as long as a turn and a
 * commit take. When the run ends or fails meanwhile, everybody goes on as before and ends.
 *
 * What belongs to a worker and a task together: marks (progress records of upstream tasks), read by
 * the worker for all its tasks. A worker that gets a task goes back to where the one before it was;
 * marks may come twice. Numbers of commits, by which tables know what their stores hold, are given
 * out by the run, so that they grow with each commit of a task, whoever makes it.
 *
 * What a task costs is the time that its turns and flushes took lately (each half second
 * counts 7/8 of the next one's), or, before that is known, the records that it has before it.
 *
 * Tasks that read a partition alike are dealt together, so that one read does for all of them
 * (worker_read.c), unless that would be more than a worker's part: then they are dealt in as many lots
 * as are needed, and each lot has a read. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/base/thread.h"
#include "runtime/app_hold.h"
#include "runtime/placement.h"
#include "runtime/worker.h"

enum { PARK_WATCH_MS = 20 };
/* A task costs that much when it does nothing, so that small differences do not crowd tasks together. */
enum { IDLE_NS = 20000000, IDLE_RECORDS = 4096 };
/* Less time than this in all says nothing. */
enum { KNOWN_NS = 200000000 };

/* ---- what tasks cost ---- */

static int64_t busy_ns(const struct run *run, uint32_t task)
{
    return atomic_load_explicit(&run->gauges[task].busy_ns, memory_order_relaxed);
}

void run_measure_load(struct run *run)
{
    for (uint32_t i = 0; i < run->task_count; i++) {
        struct task_load *load = &run->loads[i];
        int64_t now_ns = busy_ns(run, i);
        load->recent_ns = load->recent_ns / 8 * 7 + (now_ns - load->seen_ns);
        load->seen_ns = now_ns;
    }
}

/* Records between the committed position and the end. */
static uint64_t lag_of(struct run *run, const struct task *task)
{
    struct port_range range;
    if (run->port->ops->range(run->port, task->stage->input_topic, task->partition, &range, NULL) <
        0)
        return 0;
    pthread_mutex_lock(&run->mutex);
    int64_t position = run->positions[task->index];
    pthread_mutex_unlock(&run->mutex);
    if (position < range.start)
        position = range.start;
    return range.stable > position ? (uint64_t)(range.stable - position) : 0;
}

/* What lies before a stage comes to the next one too: all of it when it is passed on, an eighth where
 * rows become partial sums. */
static void cost_by_lag(struct run *run, struct placement_task *tasks)
{
    for (uint32_t s = 0; s < run->plan->stage_count; s++) {
        const struct stage *stage = &run->plan->stages[s];
        uint64_t before = 0;
        for (uint32_t w = 0; stage->upstream >= 0 && w < stage->upstream_count; w++) {
            uint32_t writer = (uint32_t)stage->upstream + w;
            for (int32_t p = 0; p < run->plan->stages[writer].partitions; p++)
                before += tasks[run->first_task[writer] + (uint32_t)p].cost;
        }
        before /= (uint64_t)stage->partitions * (stage->input == INPUT_PARTIALS ? 8 : 1);
        for (int32_t p = 0; p < stage->partitions; p++) {
            uint32_t i = run->first_task[s] + (uint32_t)p;
            tasks[i].cost = lag_of(run, &run->tasks[i]) + before;
        }
    }
    for (uint32_t i = 0; i < run->task_count; i++)
        tasks[i].cost += IDLE_RECORDS;
}

static void set_costs(struct run *run, struct placement_task *tasks)
{
    int64_t all_ns = 0;
    run_measure_load(run);
    for (uint32_t i = 0; i < run->task_count; i++) {
        all_ns += run->loads[i].recent_ns;
        tasks[i].cost = (uint64_t)run->loads[i].recent_ns + IDLE_NS;
    }
    if (all_ns < KNOWN_NS)
        cost_by_lag(run, tasks);
}

/* ---- dealing ---- */

int run_make_worker(struct run *run, int index)
{
    struct worker *worker = &run->workers[index];
    uint32_t watches = 1;
    for (uint32_t i = 0; i < run->task_count; i++)
        watches += 1 + task_table_inputs(&run->tasks[i]);
    worker->run = run;
    worker->index = index;
    waker_init(&worker->waker);
    worker->tasks = calloc(run->task_count + 1, sizeof *worker->tasks);
    worker->in_commit = calloc(run->task_count + 1, sizeof *worker->in_commit);
    worker->watches = calloc(watches, sizeof *worker->watches);
    worker->sent = calloc(run->task_count + 1, sizeof *worker->sent);
    atomic_store(&run->worker_count, index + 1);
    return worker->tasks != NULL && worker->sent != NULL && worker->in_commit != NULL &&
                   worker->watches != NULL
               ? 0
               : ERR_NOMEM;
}

/* A worker reads marks from where the last owners of its tasks were. */
static void hand_over(struct run *run, const int *worker_of, const int *was_of, int64_t *positions)
{
    int count = atomic_load(&run->worker_count);
    int64_t ends = 0;
    for (int w = 0; w < count; w++) {
        positions[w] = run->workers[w].progress_position;
        if (run->workers[w].progress_end > ends)
            ends = run->workers[w].progress_end;
        run->workers[w].task_count = run->workers[w].next_task = 0;
        memset(run->workers[w].in_commit, 0, run->task_count * sizeof(bool));
    }
    for (uint32_t i = 0; i < run->task_count; i++) {
        struct worker *worker = &run->workers[worker_of[i]];
        int64_t position = was_of[i] >= 0 ? positions[was_of[i]] : run->progress.next_offset;
        if (worker->task_count == 0 || position < worker->progress_position)
            worker->progress_position = position;
        worker->tasks[worker->task_count++] = &run->tasks[i];
        atomic_store_explicit(&run->gauges[i].worker, worker_of[i], memory_order_relaxed);
    }
    for (int w = 0; w < count; w++)
        run->workers[w].progress_end = ends;
}

/* Whether both read the same partition alike, so that one worker reads it once for both. */
static bool share_a_read(const struct task *a, const struct task *b)
{
    return a->stage->read_group >= 0 && a->stage->read_group == b->stage->read_group &&
           a->partition == b->partition;
}

/* The last unit of those that this task's read is shared with, when it has room for its cost; or a new one. */
static uint32_t choose_unit(const struct run *run, uint32_t task, const uint32_t *unit_of,
                            const struct placement_task *units, uint32_t unit_count, uint64_t room)
{
    for (uint32_t i = task; i-- > 0;)
        if (share_a_read(&run->tasks[i], &run->tasks[task]))
            return units[unit_of[i]].cost < room ? unit_of[i] : unit_count;
    return unit_count;
}

/* What is dealt: tasks, and tasks that share a read as one, as long as that is not more than a worker's
 * part and a quarter of it. */
static uint32_t make_units(const struct run *run, const struct placement_task *tasks, int workers,
                           struct placement_task *units, uint32_t *unit_of)
{
    uint64_t part = 0;
    uint32_t count = 0;
    for (uint32_t i = 0; i < run->task_count; i++)
        part += tasks[i].cost;
    part = part / (uint64_t)workers / 4 * 5;
    for (uint32_t i = 0; i < run->task_count; i++) {
        uint64_t room = part > tasks[i].cost ? part - tasks[i].cost + 1 : 0;
        uint32_t unit = choose_unit(run, i, unit_of, units, count, room);
        unit_of[i] = unit;
        if (unit == count) {
            units[count++] = tasks[i];
            continue;
        }
        units[unit].cost += tasks[i].cost;
        if (units[unit].current != tasks[i].current)
            units[unit].current = -1;
    }
    return count;
}

/* Where each task goes. units: room for as many as there are tasks. */
static int deal(struct run *run, struct placement_task *tasks, struct placement_task *units,
                int workers, int *worker_of)
{
    uint32_t *unit_of = calloc(run->task_count + 1, sizeof *unit_of);
    int *unit_worker = calloc(run->task_count + 1, sizeof *unit_worker);
    int rc = unit_of != NULL && unit_worker != NULL ? 0 : ERR_NOMEM;
    if (rc == 0) {
        set_costs(run, tasks);
        rc = placement_deal(units, make_units(run, tasks, workers, units, unit_of), workers,
                            unit_worker);
    }
    for (uint32_t i = 0; rc == 0 && i < run->task_count; i++)
        worker_of[i] = unit_worker[unit_of[i]];
    free(unit_of);
    free(unit_worker);
    return rc;
}

int run_deal_tasks(struct run *run, int workers)
{
    struct placement_task *tasks = calloc(2 * (size_t)run->task_count + 1, sizeof *tasks);
    int *worker_of = calloc(2 * (size_t)run->task_count + 1, sizeof *worker_of);
    int64_t *positions = calloc(WORKERS_MAX, sizeof *positions);
    int rc = tasks != NULL && worker_of != NULL && positions != NULL ? 0 : ERR_NOMEM;
    for (uint32_t i = 0; rc == 0 && i < run->task_count; i++) {
        const struct task *task = &run->tasks[i];
        int stage = (int)(task->stage - run->plan->stages);
        tasks[i].home = (task->partition + stage) % workers;
        tasks[i].current = -1;
    }
    int *was_of = rc == 0 ? worker_of + run->task_count : NULL;
    for (uint32_t i = 0; rc == 0 && i < run->task_count; i++)
        was_of[i] = -1;
    for (int w = 0; rc == 0 && w < run->worker_count; w++)
        for (uint32_t t = 0; t < run->workers[w].task_count; t++) {
            uint32_t i = run->workers[w].tasks[t]->index;
            tasks[i].current = was_of[i] = w;
        }
    if (rc == 0)
        rc = deal(run, tasks, tasks + run->task_count, workers, worker_of);
    if (rc == 0) {
        hand_over(run, worker_of, was_of, positions);
        run->active_workers = workers;
        run->app->options.threads = workers;
        atomic_store(&run->app->workers, workers);
        memory_set_workers(&run->memory, (uint32_t)workers);
    }
    free(positions);
    free(tasks);
    free(worker_of);
    return rc;
}

/* ---- parking ---- */

void run_wait_parked(struct run *run)
{
    pthread_mutex_lock(&run->mutex);
    run->parked++;
    pthread_cond_broadcast(&run->changed);
    while (atomic_load(&run->parking) && !atomic_load(&run->failed))
        clock_cond_wait(&run->resume, &run->mutex,
                        clock_mono_ns() + PARK_WATCH_MS * INT64_C(1000000));
    run->parked--;
    pthread_mutex_unlock(&run->mutex);
}

static bool is_ending(const struct run *run)
{
    return atomic_load(&run->stopping) || atomic_load(&run->failed) || atomic_load(&run->app->stop);
}

/* With the mutex held. false: the run ends instead. */
static bool await_parked(struct run *run, int workers)
{
    while (run->parked < workers && !is_ending(run))
        clock_cond_wait(&run->changed, &run->mutex,
                        clock_mono_ns() + PARK_WATCH_MS * INT64_C(1000000));
    return run->parked == workers && !is_ending(run);
}

static int start_workers(struct run *run, int from, int to)
{
    for (int i = from; i < to; i++) {
        struct worker *worker = &run->workers[i];
        if (i >= run->worker_count && run_make_worker(run, i) < 0)
            return ERR_NOMEM;
        worker->is_leaving = false;
        worker->progress_position = run->progress.next_offset;
        if (thread_start(&worker->thread, worker_main, worker) != 0)
            return ERR_NOMEM;
        worker->is_started = true;
    }
    return 0;
}

static void join_workers(struct run *run, int from)
{
    for (int i = from; i < run->worker_count; i++) {
        struct worker *worker = &run->workers[i];
        if (worker->is_started)
            pthread_join(worker->thread, NULL);
        worker->is_started = false;
    }
}

static void keep_going(struct run *run, int threads)
{
    log_line('W', "app %s goes on with %d workers: no memory for %d", run->app->name,
             run->active_workers, threads);
}

static void rebalance(struct run *run, int threads)
{
    int before = run->active_workers, started = before;
    atomic_store(&run->parking, true);
    bool is_short = start_workers(run, before, threads) < 0;
    while (started < run->worker_count && run->workers[started].is_started)
        started++;
    run_wake_workers(run);
    pthread_mutex_lock(&run->mutex);
    bool all = await_parked(run, started);
    pthread_mutex_unlock(&run->mutex);
    if (all && (is_short || run_deal_tasks(run, threads) < 0))
        keep_going(run, threads);
    pthread_mutex_lock(&run->mutex);
    for (int i = run->active_workers; i < started; i++)
        run->workers[i].is_leaving = all;
    atomic_store(&run->parking, false);
    pthread_cond_broadcast(&run->resume);
    pthread_mutex_unlock(&run->mutex);
    if (all)
        join_workers(run, run->active_workers);
}

int run_wanted_threads(struct run *run)
{
    return atomic_exchange(&run->app->wanted_threads, 0);
}

void run_take_threads(struct run *run)
{
    int threads = run->is_holding ? 0 : run_wanted_threads(run);
    if (threads > 0 && !is_ending(run))
        rebalance(run, threads);
}

/* ---- held ---- */

static void unpark(struct run *run)
{
    pthread_mutex_lock(&run->mutex);
    atomic_store(&run->parking, false);
    pthread_cond_broadcast(&run->resume);
    pthread_mutex_unlock(&run->mutex);
    run->is_holding = false;
}

/* With the mutex held. false: the run ends, or nobody waits for it any more: one worker may take long, and the others
 * are not to stand still for nothing. */
static bool await_parked_for_holder(struct run *run)
{
    while (run->parked < run->active_workers && !is_ending(run) &&
           atomic_load(&run->app->hold) == APP_HOLD_WANTED)
        clock_cond_wait(&run->changed, &run->mutex,
                        clock_mono_ns() + PARK_WATCH_MS * INT64_C(1000000));
    return run->parked == run->active_workers && !is_ending(run);
}

static void park_for_holder(struct run *run)
{
    int wanted = APP_HOLD_WANTED;
    atomic_store(&run->parking, true);
    run_wake_workers(run);
    pthread_mutex_lock(&run->mutex);
    bool all = await_parked_for_holder(run);
    pthread_mutex_unlock(&run->mutex);
    run->is_holding =
        all && atomic_compare_exchange_strong(&run->app->hold, &wanted, APP_HOLD_HELD);
    if (!run->is_holding)
        unpark(run);
}

void run_take_hold(struct run *run, bool ending)
{
    int hold = atomic_load(&run->app->hold);
    if (ending)
        atomic_store(&run->app->hold, APP_HOLD_NONE);
    if (run->is_holding && (ending || hold != APP_HOLD_HELD))
        unpark(run);
    else if (!run->is_holding && hold == APP_HOLD_WANTED && !is_ending(run))
        park_for_holder(run);
}

/* ---- weir.h ---- */

int weir_app_set_threads(weir_app *app, int threads)
{
    if (app == NULL || threads < 1 || threads > WORKERS_MAX)
        return ERR_INVALID;
    atomic_store(&app->wanted_threads, threads);
    return 0;
}

int weir_app_threads(const weir_app *app)
{
    return app != NULL ? atomic_load(&app->workers) : 0;
}
