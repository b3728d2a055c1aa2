/* worker_commit.c: all tasks of a worker commit as one transaction.
 *
 * Flush the operators, append changelogs, outputs and progress, ask for the decision. The decision
 * itself (flush, one synced meta transaction) happens on the log's thread while this one goes on
 * with the next rows; at most one commit is in flight. Progress records are appended last, since
 * they carry the end offsets of what was written before them.
 *
 * What can fail, and what becomes of the other tasks:
 *
 *   a task's flush          nothing has been appended: that task is closed (worker_task.c), the
 *                           others go on into the commit
 *   the beginning           nothing has been appended: the tasks whose outputs take no writes fail;
 *                           the others keep what they have encoded for the next commit
 *   an append               the transaction is aborted (as soon as that can be written). What was sent is gone from the outs, so
 *                           every task that was in the commit is restored from the last decision;
 *                           the one whose append it was fails
 *   the decision            the log has aborted the transaction: likewise; those whose outputs take
 *                           no writes are to blame, else all of them
 *
 * Readers see nothing of an aborted transaction, and its input positions do not count, so that the
 * restored tasks read the same rows again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/base/io.h"
#include "runtime/worker.h"

enum { DECISION_WAIT_MS = 50 };

static void commit_decided(void *context, int code)
{
    struct worker *worker = context;
    waker_answer(&worker->waker, &worker->commit_done, code < 0 ? code : 0);
}

/* ---- failing ---- */

/* What a new producer and new outs know nothing of: records of the commit that came to nothing. */
static int empty_progress_out(struct worker *worker)
{
    const struct port_ops *ops = worker->run->port->ops;
    ops->out_close(worker->progress_out);
    worker->progress_out = NULL;
    worker->outs_changed = true;
    return ops->out_open(worker->run->port, worker->run->plan->progress_topic, 0,
                         &worker->progress_out, &worker->diag);
}

/* Nothing of the commit counts. Tasks that are to blame fail, as do all when none is; the others
 * are restored. `blamed` NULL: those whose outputs take no writes. */
static int undo_commit(struct worker *worker, const struct task *blamed, int code)
{
    struct diag why = worker->diag;
    bool *failed = calloc(worker->task_count + 1, sizeof *failed);
    bool any = false;
    if (failed == NULL)
        return diag_set(&worker->diag, ERR_NOMEM, "no memory for a worker");
    for (uint32_t i = 0; i < worker->task_count; i++) {
        struct task *task = worker->tasks[i];
        failed[i] = worker->in_commit[i] &&
                    (blamed != NULL ? task == blamed : task_check_outs(task, NULL) < 0);
        any |= failed[i];
    }
    told_settle(worker, false);
    int rc = empty_progress_out(worker);
    for (uint32_t i = 0; rc == 0 && i < worker->task_count; i++) {
        if (!worker->in_commit[i])
            continue;
        worker->in_commit[i] = false;
        if (any && !failed[i]) {
            rc = worker_restore_task(worker, worker->tasks[i]);
        } else {
            worker->diag = why;
            rc = worker_task_failed(worker, worker->tasks[i], code);
        }
    }
    free(failed);
    return rc;
}

/* Whether the run ends with the first failure of any task that is in the commit. */
static bool must_end(const struct worker *worker, const struct task *blamed)
{
    bool ends = true;
    for (uint32_t i = 0; i < worker->task_count; i++)
        if (blamed != NULL ? worker->tasks[i] == blamed : worker->in_commit[i])
            ends = ends && worker->tasks[i]->stage->view->sink->failure.policy == WEIR_FAILURE_END;
    return ends;
}

static int abort_commit(struct worker *worker, const struct task *blamed, int rc)
{
    struct diag why = worker->diag;
    if (must_end(worker, blamed))
        return rc;
    /* Where even the abort cannot be written, the log goes on trying, and no transaction begins before
     * it has: that is for the beginning of the next commit to find out. */
    if (worker->run->port->ops->txn_abort(worker->txn, &worker->diag) < 0)
        log_line('W', "app %s: %s", worker->run->app->name, worker->diag.text);
    worker->diag = why;
    return undo_commit(worker, blamed, rc);
}

/* ---- the start ---- */

static int flush_tasks(struct worker *worker, bool *any)
{
    *any = false;
    for (uint32_t i = 0; i < worker->task_count; i++) {
        struct task *task = worker->tasks[i];
        worker->in_commit[i] = task->has_pending || task->is_closing || task->moved;
        if (!worker->in_commit[i])
            continue;
        int64_t began_ns = clock_mono_ns();
        int rc = task_flush(task, worker->commit_number, &worker->diag);
        int64_t took_ns = clock_mono_ns() - began_ns;
        task_took(task, took_ns);
        metrics_observe(task, STAGE_FLUSH, (double)took_ns / 1e9);
        if (rc < 0) {
            worker->in_commit[i] = false;
            TRY(worker_task_failed(worker, task, rc));
        }
        *any |= worker->in_commit[i];
    }
    return 0;
}

/* Partitions that the transactions may touch: of the tasks that are open. */
static int participate(struct worker *worker)
{
    size_t count = 1;
    for (uint32_t i = 0; i < worker->task_count; i++)
        count += task_out_count(worker->tasks[i]);
    struct port_out **outs = malloc(count * sizeof *outs);
    if (outs == NULL)
        return diag_set(&worker->diag, ERR_NOMEM, "no memory for a worker");
    count = 0;
    outs[count++] = worker->progress_out;
    for (uint32_t i = 0; i < worker->task_count; i++)
        if (task_is_running(worker->tasks[i]))
            count += task_outs(worker->tasks[i], outs + count);
    int rc = worker->run->port->ops->txn_participate(worker->txn, outs, count, &worker->diag);
    free(outs);
    worker->outs_changed = rc < 0;
    return rc;
}

/* 1: begun; 0: not this time, since a task that is to blame was taken out. */
static int begin(struct worker *worker)
{
    int rc = worker->outs_changed ? participate(worker) : 0;
    if (rc == 0)
        rc = worker->run->port->ops->txn_begin(worker->txn, &worker->diag);
    if (rc == 0)
        return 1;
    struct diag why = worker->diag;
    bool any = false;
    worker->outs_changed = true;
    for (uint32_t i = 0; i < worker->task_count; i++) {
        struct task *task = worker->tasks[i];
        if (!task_is_running(task) || task_check_outs(task, &worker->diag) == 0)
            continue;
        any = true;
        TRY(worker_task_failed(worker, task, worker->diag.code));
    }
    worker->diag = why;
    return any ? 0 : undo_commit(worker, NULL, rc);
}

static void add_position(struct port_position *position, const char *topic, int32_t partition,
                         int64_t offset)
{
    snprintf(position->topic, sizeof position->topic, "%s", topic);
    position->partition = partition;
    position->offset = offset;
}

/* Of its input, and of the tables that it reads. */
static uint32_t add_positions(const struct task *task, struct port_position *positions)
{
    uint32_t count = 0, tables = task_table_inputs(task);
    add_position(&positions[count++], task->stage->input_topic, task->partition, task->position);
    for (uint32_t i = 0; i < tables; i++) {
        const char *topic;
        int32_t partition;
        task_table_input(task, i, &topic, &partition);
        add_position(&positions[count++], topic, partition, task_table_position(task, i));
    }
    return count;
}

static int add_progress(struct worker *worker, uint32_t i, struct buf *key, struct buf *value)
{
    struct task *task = worker->tasks[i];
    struct progress progress;
    TRY(task_progress(task, &progress, &worker->diag));
    TRY(progress_copy(&worker->sent[i], &progress, &worker->diag));
    buf_clear(key);
    buf_clear(value);
    progress_key(&progress, key);
    progress_encode(&progress, value);
    if (!buf_ok(key) || !buf_ok(value))
        return diag_set(&worker->diag, ERR_NOMEM, "no memory for a progress record");
    TRY(worker->run->port->ops->out_add(
        worker->progress_out, task->now_ms, bytes_of(key->data, key->size),
        bytes_of(value->data, value->size), (struct bytes){NULL, 0}, 0, &worker->diag));
    TRY(task_send_cuts(task, worker->progress_out, &worker->diag));
    return task_send_markers(task, worker->progress_out, &worker->diag);
}

static int send_progress(struct worker *worker)
{
    const struct port_ops *ops = worker->run->port->ops;
    struct buf key, value;
    uint32_t count = 0, most = 1;
    for (uint32_t i = 0; i < worker->task_count; i++)
        most += 1 + task_table_inputs(worker->tasks[i]);
    struct port_position *positions = calloc(most, sizeof *positions);
    buf_init(&key, 0);
    buf_init(&value, 0);
    int rc = positions == NULL ? diag_set(&worker->diag, ERR_NOMEM, "no memory for positions") : 0;
    for (uint32_t i = 0; rc == 0 && i < worker->task_count; i++)
        if (worker->in_commit[i]) {
            rc = add_progress(worker, i, &key, &value);
            count += add_positions(worker->tasks[i], positions + count);
        }
    crash_point("commit_before_progress");
    if (rc == 0)
        rc = ops->txn_send(worker->txn, worker->progress_out, &worker->sent_end, &worker->diag);
    if (rc == 0)
        rc = ops->txn_positions(worker->txn, worker->run->app->name, positions, count,
                                &worker->diag);
    buf_deinit(&key);
    buf_deinit(&value);
    free(positions);
    return rc;
}

/* *blamed: the task whose records could not be appended. */
static int send_all(struct worker *worker, const struct task **blamed)
{
    *blamed = NULL;
    for (uint32_t i = 0; i < worker->task_count; i++) {
        struct task *task = worker->tasks[i];
        if (!worker->in_commit[i])
            continue;
        *blamed = task;
        TRY(task_send(task, worker->txn, worker->commit_number, &worker->diag));
        task->has_pending = task->moved = false;
    }
    *blamed = NULL;
    return send_progress(worker);
}

int worker_start_commit(struct worker *worker)
{
    const struct task *blamed;
    bool any;
    worker->commit_number = atomic_fetch_add(&worker->run->commit_number, 1) + 1;
    worker->last_commit_ns = worker->commit_began_ns = clock_mono_ns();
    TRY(flush_tasks(worker, &any));
    if (!any)
        return 0;
    if (!told_claim(worker))
        return 0; /* not this time either */
    crash_point("commit_before_append");
    int rc = begin(worker);
    if (rc <= 0) {
        told_settle(worker, false);
        return rc;
    }
    rc = send_all(worker, &blamed);
    if (rc < 0)
        return abort_commit(worker, blamed, rc);
    atomic_store(&worker->commit_done, COMMIT_PENDING);
    worker->in_flight = true;
    rc = worker->run->port->ops->txn_commit(worker->txn, commit_decided, worker, &worker->diag);
    if (rc < 0) {
        worker->in_flight = false;
        return rc;
    }
    crash_point("commit_started");
    worker->last_commit_ns = clock_mono_ns();
    return 0;
}

/* ---- the end ---- */

static void tell_commit(const struct worker *worker)
{
    double seconds = (double)(clock_mono_ns() - worker->commit_began_ns) / 1e9;
    metrics_commit(worker->run->app->metrics, seconds);
    for (uint32_t i = 0; i < worker->task_count; i++)
        if (worker->in_commit[i])
            metrics_committed(worker->tasks[i], seconds);
}

/* From here on a task that fails comes back to what this commit wrote. */
static void keep_progress(struct worker *worker)
{
    worker->progress_end = worker->sent_end;
    for (uint32_t i = 0; i < worker->task_count; i++) {
        if (!worker->in_commit[i])
            continue;
        struct progress *last = &worker->run->last[worker->tasks[i]->index], swap = *last;
        *last = worker->sent[i];
        worker->sent[i] = swap;
        worker->tasks[i]->fate.failures = 0;
    }
}

static int trim_tasks(struct worker *worker)
{
    bool want_checkpoint = false;
    for (uint32_t i = 0; i < worker->task_count; i++) {
        bool wanted;
        int rc = task_trim(worker->tasks[i], &wanted, &worker->diag);
        if (rc < 0)
            TRY(worker_task_failed(worker, worker->tasks[i], rc));
        else
            metrics_task(worker->tasks[i]);
        want_checkpoint |= rc == 0 && wanted;
    }
    if (want_checkpoint)
        run_request_checkpoint(worker->run);
    return 0;
}

int worker_finish_commit(struct worker *worker)
{
    int code = atomic_load(&worker->commit_done);
    if (!worker->in_flight || code == COMMIT_PENDING)
        return 0;
    worker->in_flight = false;
    if (code < 0) {
        diag_set(&worker->diag, code, "app %s: a commit failed: %s", worker->run->app->name,
                 error_text(code));
        worker->undone++;
        return must_end(worker, NULL) ? code : undo_commit(worker, NULL, code);
    }
    crash_point("commit_decided");
    told_settle(worker, true);
    keep_progress(worker);
    tell_commit(worker);
    run_committed(worker->run, worker->tasks, worker->in_commit, worker->task_count);
    return trim_tasks(worker);
}

int worker_settle_commit(struct worker *worker)
{
    while (worker->in_flight && atomic_load(&worker->commit_done) == COMMIT_PENDING)
        waker_wait(&worker->waker, DECISION_WAIT_MS);
    return worker_finish_commit(worker);
}
