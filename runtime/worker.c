/* worker.c: a thread that owns tasks and gives each of them its turns.
 *
 * A round: tend to tasks that failed, read marks from the progress topic, give each task its turn,
 * finish the commit in flight, start the next one when it is due. A commit (worker_commit.c) is due
 * when the interval is over, when the input is drained, or when the outs are full.
 *
 * Turns are bounded by time, and batches by how long the last one took, so that a task whose
 * functions are slow has as much of its worker as the others and no more. A task that fails is
 * closed and comes back (worker_task.c). */
#include <stdlib.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/base/io.h"
#include "runtime/worker.h"

enum {
    OVER_MIN_ENTRIES = 2 * BATCH_ROWS,
    IDLE_WAIT_MS = 50, /* how often an idle worker looks whether it should stop */
    PROGRESS_ROWS = 256,
    TOLD_WAIT_MS = 1, /* how often a commit that waits for another one's decision looks for it */
};

/* ---- open ---- */

static int watch(struct worker *worker, const char *topic, int32_t partition)
{
    struct run *run = worker->run;
    int id = run->port->ops->watch(run->port, topic, partition, waker_wake, &worker->waker,
                                   &worker->diag);
    if (id < 0)
        return id;
    worker->watches[worker->watch_count++] = (struct watched){topic, partition, id};
    return 0;
}

static int watch_inputs(struct worker *worker)
{
    TRY(watch(worker, worker->run->plan->progress_topic, 0));
    for (uint32_t i = 0; i < worker->task_count; i++) {
        const struct task *task = worker->tasks[i];
        uint32_t tables = task_table_inputs(task);
        TRY(watch(worker, task->stage->input_topic, task->partition));
        for (uint32_t t = 0; t < tables; t++) {
            const char *topic;
            int32_t partition;
            task_table_input(task, t, &topic, &partition);
            TRY(watch(worker, topic, partition));
        }
    }
    return 0;
}

static void unwatch_inputs(struct worker *worker)
{
    struct run *run = worker->run;
    while (worker->watch_count > 0) {
        const struct watched *watched = &worker->watches[--worker->watch_count];
        run->port->ops->unwatch(run->port, watched->topic, watched->partition, watched->id);
    }
}

int worker_open(struct worker *worker)
{
    struct run *run = worker->run;
    const struct port_ops *ops = run->port->ops;
    struct buf id;
    buf_init(&id, 0);
    buf_printf(&id, "%s-%d", run->app->name, worker->index);
    buf_u8(&id, 0);
    int rc = buf_ok(&id)
                 ? ops->txn_open(run->port, (const char *)id.data, &worker->txn, &worker->diag)
                 : ERR_NOMEM;
    buf_deinit(&id);
    TRY(rc);
    TRY(ops->out_open(run->port, run->plan->progress_topic, 0, &worker->progress_out,
                      &worker->diag));
    worker->progress_position = run->progress.next_offset;
    TRY(ops->reader_open(run->port, run->plan->progress_topic, 0, worker->progress_position,
                         &worker->progress_reader, &worker->diag));
    worker->last_commit_ns = clock_mono_ns();
    worker->outs_changed = true;
    TRY(worker_open_tasks(worker));
    TRY(worker_open_reads(worker));
    return watch_inputs(worker);
}

/* ---- time from upstream tasks ---- */

static int apply_progress(struct worker *worker, const struct source_row *row)
{
    struct progress progress;
    if (row->value.data == NULL || time_marker_is_key(row->key) || join_cut_is_key(row->key))
        return 0;
    TRY(progress_decode(row->key, row->value, &progress, &worker->diag));
    int rc = 0;
    bool is_commit = !progress.is_reset && !progress.is_begin; /* others name no ends of topics */
    for (uint32_t i = 0; rc == 0 && is_commit && i < worker->task_count; i++) {
        rc = task_take_mark(worker->tasks[i], &progress, &worker->diag);
        task_apply_marks(worker->tasks[i]);
    }
    progress_deinit(&progress);
    return rc;
}

static int follow_progress(struct worker *worker)
{
    struct source_row rows[PROGRESS_ROWS];
    for (;;) {
        uint32_t count;
        int64_t next;
        TRY(worker->run->port->ops->reader_read(worker->progress_reader, rows, PROGRESS_ROWS,
                                                &count, &next, &worker->diag));
        for (uint32_t i = 0; i < count; i++)
            TRY(apply_progress(worker, &rows[i]));
        if (next == worker->progress_position)
            return 0;
        worker->progress_position = next;
    }
}

/* ---- the end ---- */

static int report_ends(struct worker *worker)
{
    struct run *run = worker->run;
    for (uint32_t i = 0; i < worker->task_count; i++) {
        struct task *task = worker->tasks[i];
        if (!task_is_running(task))
            continue;
        int64_t raised_ms;
        TRY(task_apply_raise(task, &raised_ms, &worker->diag));
        if (task->has_pending || task->is_closing || task->moved || !task_at_end(task) ||
            worker->progress_position < atomic_load(&run->progress_target))
            continue;
        if (!task->reported_drained) {
            task->reported_drained = true;
            run_task_drained(run, task);
        } else if (!task->reported_closed && raised_ms != TIME_NONE) {
            task->reported_closed = true;
            run_task_closed(run, task);
        }
    }
    return 0;
}

/* ---- turns ---- */

bool worker_is_full(const struct worker *worker)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < worker->task_count; i++) {
        const struct task *task = worker->tasks[i];
        bytes += task->pending_bytes;
        if (chain_partial_bytes(&task->chain) > worker->run->memory.partials_bytes)
            return true;
    }
    return bytes > worker->run->memory.pending_bytes;
}

static bool has_pending(const struct worker *worker, bool *only_moved)
{
    bool pending = false;
    *only_moved = true;
    for (uint32_t i = 0; i < worker->task_count; i++) {
        const struct task *task = worker->tasks[i];
        if (task->has_pending || task->is_closing)
            *only_moved = false;
        pending |= task->has_pending || task->is_closing || task->moved;
    }
    return pending;
}

/* Over the most that a table may reach: first commit what is dirty and let the store take it, then forget it, then
 * read on. A table that holds little is never over, since its own slots may be what is large. 1:
 * wait; 0: read. */
int worker_table_is_over(struct worker *worker, struct task *task)
{
    size_t entries;
    bool wanted;
    if (!task->has_store)
        return 0;
    memory_table_holds(&worker->run->memory, &task->table_held_bytes,
                       chain_held(&task->chain, &entries));
    size_t limit = memory_table_most(&worker->run->memory, task->table_held_bytes);
    if (task->table_held_bytes <= limit || entries <= OVER_MIN_ENTRIES)
        return 0;
    TRY(task_trim(task, &wanted, &worker->diag));
    if (chain_held(&task->chain, &entries) <= limit || entries <= OVER_MIN_ENTRIES)
        return 0;
    run_request_checkpoint(worker->run);
    return 1;
}

/* Milliseconds until the commit interval is over; 0: it is. */
static int64_t interval_left_ms(const struct worker *worker)
{
    int64_t waited_ms = (clock_mono_ns() - worker->last_commit_ns) / 1000000;
    int64_t left_ms = worker->run->app->options.commit_interval_ms - waited_ms;
    return left_ms > 0 ? left_ms : 0;
}

bool worker_must_commit(const struct worker *worker)
{
    return !worker->in_flight && interval_left_ms(worker) == 0;
}

/* What the task has not committed is thrown away; the commit in flight is not its failure, but when
 * that comes to nothing the task has been thrown back with it, if it has a part in it. */
int worker_turn_failed(struct worker *worker, struct task *task, int rc)
{
    struct diag why = worker->diag;
    bool has_part = worker_is_in_flight(worker, task);
    int64_t undone = worker->undone;
    if (task->stage->view->sink->failure.policy == WEIR_FAILURE_END)
        return rc;
    TRY(worker_settle_commit(worker));
    if ((has_part && worker->undone != undone) || !task_is_running(task))
        return 0; /* it came back from before: what failed will fail again */
    worker->diag = why;
    return worker_task_failed(worker, task, rc);
}

/* One task's turn: it ends when the input is drained, after some polls, or when its time is over.
 * 1: something was read. */
static int take_turn(struct worker *worker, struct task *task)
{
    int any = 0;
    int64_t began_ns = clock_mono_ns(), now_ns = began_ns;
    TRY(task_apply_raise(task, NULL, &worker->diag));
    for (int poll = 0; poll < TURN_POLLS && now_ns - began_ns < TURN_NS; poll++) {
        int rc = worker_table_is_over(worker, task);
        TRY(rc);
        if (rc > 0)
            break;
        rc = task_poll(task, &worker->diag);
        TRY(rc);
        if (rc == 0)
            break;
        any = 1;
        int64_t polled_ns = clock_mono_ns();
        task_pace(task, polled_ns - now_ns);
        now_ns = polled_ns;
    }
    task_took(task, now_ns - began_ns);
    return any;
}

int worker_give_turn(struct worker *worker, struct task *task)
{
    worker->diag.code = 0;
    int rc = take_turn(worker, task);
    if (rc >= 0)
        return rc;
    TRY(worker_turn_failed(worker, task, rc));
    return 1;
}

/* The turn of tasks that share a read is that of the first one. */
static int turn_of(struct worker *worker, uint32_t index)
{
    struct task *task = worker->tasks[index];
    struct shared_read *read = worker->reads != NULL ? worker->read_of[index] : NULL;
    if (__builtin_expect(read != NULL, 0))
        return read->members[0] == task ? worker_read_turn(worker, read) : 0;
    return task_is_running(task) && !task_is_paused(task) ? worker_give_turn(worker, task) : 0;
}

/* A turn for each task, from the one whose turn it is: a round ends early when the buffers are full
 * or a commit is due, and the next round goes on where this one ended, so that no task comes first
 * each time. 1: something was read. */
static int poll_tasks(struct worker *worker)
{
    int any = 0;
    for (uint32_t turn = 0; turn < worker->task_count; turn++) {
        int rc = turn_of(worker, worker->next_task);
        TRY(rc);
        any |= rc != 0;
        worker->next_task = (worker->next_task + 1) % worker->task_count;
        if (worker_is_full(worker) || (any != 0 && worker_must_commit(worker)))
            break;
    }
    return any;
}

/* Milliseconds until a commit is due; 0: now; -1: nothing to commit. */
static int64_t commit_due(const struct worker *worker, bool idle, bool ending)
{
    bool only_moved;
    if (!has_pending(worker, &only_moved))
        return -1;
    if ((idle && !only_moved) || ending || worker_is_full(worker))
        return 0;
    return interval_left_ms(worker);
}

static bool all_at_end(const struct worker *worker)
{
    for (uint32_t i = 0; i < worker->task_count; i++)
        if (!worker->tasks[i]->fate.is_stopped && !task_at_end(worker->tasks[i]))
            return false;
    return true;
}

int worker_turn(struct worker *worker, bool ending, int64_t *wait_ms)
{
    int any = 0;
    *wait_ms = 0;
    TRY(worker_tend_tasks(worker));
    TRY(follow_progress(worker));
    if (!ending && !worker_is_full(worker))
        any = poll_tasks(worker);
    TRY(any);
    TRY(worker_finish_commit(worker));
    int64_t due_ms = commit_due(worker, any == 0, ending || (any == 0 && all_at_end(worker)));
    if (!worker->in_flight && due_ms == 0) {
        *wait_ms = told_must_wait(worker) ? TOLD_WAIT_MS : 0;
        return *wait_ms > 0 ? 0 : worker_start_commit(worker);
    }
    if (!worker->in_flight)
        TRY(report_ends(worker));
    if (any == 0 || (worker->in_flight && worker_is_full(worker)))
        *wait_ms = due_ms > 0 && due_ms < IDLE_WAIT_MS ? due_ms : IDLE_WAIT_MS;
    int64_t retry_ms = worker_retry_due_ms(worker);
    if (retry_ms >= 0 && retry_ms < *wait_ms)
        *wait_ms = retry_ms;
    return 0;
}

bool worker_is_done(const struct worker *worker)
{
    bool only_moved;
    return !worker->in_flight && !has_pending(worker, &only_moved);
}

/* The log's thread may still call commit_decided: the transaction must not go away before it did.
 */
static void await_decision(struct worker *worker)
{
    while (worker->in_flight && atomic_load(&worker->commit_done) == COMMIT_PENDING)
        waker_wait(&worker->waker, IDLE_WAIT_MS);
    worker->in_flight = false;
}

void worker_close(struct worker *worker)
{
    const struct port_ops *ops = worker->run->port->ops;
    await_decision(worker);
    unwatch_inputs(worker);
    worker_close_reads(worker);
    ops->txn_close(worker->txn);
    ops->reader_close(worker->progress_reader);
    ops->out_close(worker->progress_out);
    worker->txn = NULL;
    worker->progress_reader = NULL;
    worker->progress_out = NULL;
}

int worker_park(struct worker *worker)
{
    TRY(worker_settle_commit(worker));
    unwatch_inputs(worker);
    worker_close_reads(worker);
    return 0;
}

int worker_resume(struct worker *worker)
{
    struct run *run = worker->run;
    const struct port_ops *ops = run->port->ops;
    ops->reader_close(worker->progress_reader);
    worker->progress_reader = NULL;
    worker->outs_changed = true;
    /* That nothing came while everything stood still says nothing of those who write. */
    for (uint32_t i = 0; i < worker->task_count; i++)
        worker->tasks[i]->idle_since_ms = TIME_NONE;
    TRY(ops->reader_open(run->port, run->plan->progress_topic, 0, worker->progress_position,
                         &worker->progress_reader, &worker->diag));
    TRY(worker_open_reads(worker));
    return watch_inputs(worker);
}

/* 1: it has no tasks any more and ends. */
static int change_tasks(struct worker *worker)
{
    TRY(worker_park(worker));
    run_wait_parked(worker->run);
    if (worker->is_leaving)
        return 1;
    return worker_resume(worker);
}

static int run_tasks(struct worker *worker)
{
    struct run *run = worker->run;
    while (!atomic_load(&run->failed)) {
        int64_t wait_ms;
        if (atomic_load(&run->parking)) {
            int rc = change_tasks(worker);
            if (rc != 0)
                return rc < 0 ? rc : 0;
        }
        bool ending = atomic_load(&run->stopping);
        if (ending && worker_is_done(worker))
            return 0;
        TRY(worker_turn(worker, ending, &wait_ms));
        if (wait_ms > 0)
            waker_wait(&worker->waker, wait_ms);
    }
    return 0;
}

void *worker_main(void *context)
{
    struct worker *worker = context;
    int rc = worker_open(worker);
    if (rc == 0)
        rc = run_tasks(worker);
    if (rc < 0) {
        if (worker->diag.code != rc)
            diag_set(&worker->diag, rc, "app %s: %s", worker->run->app->name, error_text(rc));
        run_fail(worker->run, rc, &worker->diag);
    }
    worker_close(worker);
    return NULL;
}
