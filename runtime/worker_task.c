/* worker_task.c: tasks that open, fail and come back, so that one does not stop the others.
 *
 * A worker commits all its tasks as one transaction, so what a task that failed has done since its
 * last commit must not be in the next one. It need not be taken out piece by piece: nothing that a
 * task has not committed is anywhere but in its own outs and its own table. Closing the task throws
 * both away, and opening it again restores it from the last decision, as a restart would. So a
 * failure has four steps, always in this order:
 *
 *   1. the commit in flight, if there is one, is awaited: it was complete before the task failed;
 *   2. the task is closed;
 *   3. its pipeline's policy says what is next: the run ends, or the task stays closed, or it is
 *      opened again later, or at once without one record;
 *   4. the others go on; a commit of theirs has nothing of the closed task in it.
 *
 * A failure inside a commit that has already appended something is in worker_commit.c: there the
 * transaction is aborted, and every task that was in it is closed and restored.
 *
 * Records that can be left out are those whose processing fails for a reason of their own: over a
 * limit, or not what they claim to be. Which one of a batch it is, is found by processing the batch
 * again row by row; then once more without it. What is wrong around a record (a damaged input
 * partition, a full disk, a broken store) would fail for every other record as well, so it is never
 * skipped: it is retried, then the task is stopped. */
#include <stdlib.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/worker.h"

enum { PROGRESS_WAIT_MS = 5000 };

/* ---- opening ---- */

/* Another worker's transaction that is being decided may hide what this one's last commit wrote to
 * the progress topic, for as long as a decision takes. */
static int await_own_progress(struct worker *worker)
{
    struct run *run = worker->run;
    const char *topic = run->plan->progress_topic;
    int64_t until_ms = clock_mono_ms() + PROGRESS_WAIT_MS;
    for (;;) {
        struct port_range range;
        TRY(run->port->ops->range(run->port, topic, 0, &range, &worker->diag));
        if (range.stable >= worker->progress_end)
            return 0;
        if (clock_mono_ms() >= until_ms)
            return diag_set(&worker->diag, ERR_TIMEOUT,
                            "topic %s did not show the last commit within %d ms", topic,
                            PROGRESS_WAIT_MS);
        waker_wait(&worker->waker, 1);
    }
}

/* What else the progress topic has for a task: the watermarks that upstream tasks have committed
 * (all that this worker's reader of the topic can have passed, and perhaps more: marks may come
 * twice), its time markers, and the cuts of its joins. */
static int take_progress(struct worker *worker, struct task *task, const struct progress_set *set)
{
    struct run *run = worker->run;
    TRY(task_restore_markers(task, set, &worker->diag));
    TRY(task_restore_cuts(task, set, &worker->diag));
    for (uint32_t w = 0; task->mark_count > 0 && w < task->stage->upstream_count; w++) {
        const struct stage *writer = &run->plan->stages[(uint32_t)task->stage->upstream + w];
        for (int32_t p = 0; p < writer->partitions; p++) {
            const struct progress *from = progress_set_find(set, writer->name, p);
            if (from != NULL)
                TRY(task_take_mark(task, from, &worker->diag));
        }
    }
    task_apply_marks(task);
    return 0;
}

/* At the start of the run what was read for all; later the topic is read again. */
static int restore_from_progress(struct worker *worker, struct task *task)
{
    struct progress_set set = {.next_offset = 0};
    if (worker->progress_end == 0 && worker->progress_position == worker->run->progress.next_offset)
        return take_progress(worker, task, &worker->run->progress);
    TRY(await_own_progress(worker));
    int rc =
        progress_load(worker->run->port, worker->run->plan->progress_topic, &set, &worker->diag);
    if (rc == 0)
        rc = take_progress(worker, task, &set);
    progress_set_deinit(&set);
    return rc;
}

/* Rows that lie below the committed position are gone for good and need not be remembered. */
static void forget_skips(struct task *task)
{
    struct task_fate *fate = &task->fate;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < fate->skip_count; i++)
        if (fate->skips[i].offset < task->position)
            free(fate->skips[i].reason);
        else
            fate->skips[kept++] = fate->skips[i];
    fate->skip_count = kept;
}

static int open_task(struct worker *worker, struct task *task)
{
    struct run *run = worker->run;
    const struct progress *last =
        run->last[task->index].stage[0] != '\0' ? &run->last[task->index] : NULL;
    worker->diag.code = 0;
    TRY(task_open(task, run->plan, run->port, last, &worker->diag));
    TRY(run_set_end(run, task, &worker->diag));
    TRY(restore_from_progress(worker, task));
    forget_skips(task);
    task->fate.retry_at_ns = 0;
    worker->outs_changed = true;
    run_task_state(run, task, WEIR_STAGE_RUNNING, 0, NULL, 0);
    return 0;
}

static int open_or_fail(struct worker *worker, struct task *task)
{
    int rc = open_task(worker, task);
    return rc < 0 ? worker_task_failed(worker, task, rc) : 0;
}

int worker_open_tasks(struct worker *worker)
{
    for (uint32_t i = 0; i < worker->task_count; i++)
        if (!task_is_running(worker->tasks[i]) && !worker->tasks[i]->fate.is_stopped)
            TRY(open_or_fail(worker, worker->tasks[i]));
    return 0;
}

/* ---- failing ---- */

static int stop_task(struct worker *worker, struct task *task, int rc)
{
    log_line('E', "stage %s, %s-%d stops: %s", task->stage->name, task->stage->input_topic,
             (int)task->partition, worker->diag.text);
    task->fate.is_stopped = true;
    task->fate.retry_at_ns = 0;
    run_task_state(worker->run, task, WEIR_STAGE_STOPPED, rc, worker->diag.text, 0);
    return run_task_stopped(worker->run, task, rc, &worker->diag);
}

static int64_t backoff_ms(const weir_failure_options *options, int32_t failures)
{
    int64_t wait_ms = options->backoff_ms;
    for (int32_t i = 1; i < failures && wait_ms < options->backoff_max_ms; i++)
        wait_ms *= 2;
    return wait_ms < options->backoff_max_ms ? wait_ms : options->backoff_max_ms;
}

static int retry_later(struct worker *worker, struct task *task, int rc,
                       const weir_failure_options *options)
{
    struct task_fate *fate = &task->fate;
    if (options->retries >= 0 && fate->failures > options->retries)
        return stop_task(worker, task, rc);
    int64_t wait_ms = backoff_ms(options, fate->failures);
    fate->retry_at_ns = clock_mono_ns() + wait_ms * 1000000;
    run_task_state(worker->run, task, WEIR_STAGE_RETRYING, rc, worker->diag.text,
                   clock_wall_ms() + wait_ms);
    return 0;
}

/* Processes the batch again, row by row; or, when the row is known, without it. */
static int skip_row(struct worker *worker, struct task *task)
{
    struct task_fate *fate = &task->fate;
    if (fate->failed_to > fate->careful_until)
        fate->careful_until = fate->failed_to;
    if (fate->row_is_alone) {
        char reason[sizeof worker->diag.text];
        memcpy(reason, worker->diag.text, sizeof reason);
        int rc = task_skip_row(task, reason, &worker->diag);
        if (rc < 0)
            return stop_task(worker, task, rc);
        run_task_skipped(worker->run, task);
    }
    return open_or_fail(worker, task);
}

static void name_failure(struct worker *worker, const struct task *task, int rc)
{
    if (worker->diag.code != rc || worker->diag.text[0] == '\0')
        diag_set(&worker->diag, rc, "stage %s, %s-%d: %s", task->stage->name,
                 task->stage->input_topic, (int)task->partition, error_text(rc));
}

bool worker_is_in_flight(const struct worker *worker, const struct task *task)
{
    for (uint32_t i = 0; worker->in_flight && i < worker->task_count; i++)
        if (worker->tasks[i] == task)
            return worker->in_commit[i];
    return false;
}

int worker_task_failed(struct worker *worker, struct task *task, int rc)
{
    struct task_fate *fate = &task->fate;
    const weir_failure_options *options = &task->stage->view->sink->failure;
    must(!worker_is_in_flight(worker, task));
    name_failure(worker, task, rc);
    if (options->policy == WEIR_FAILURE_END || rc == ERR_FENCED)
        return rc;
    bool row_failed = fate->row_failed;
    fate->row_failed = false;
    task_close(task);
    worker->outs_changed = true;
    if (options->policy == WEIR_FAILURE_SKIP && row_failed)
        return skip_row(worker, task);
    if (fate->failures == 0)
        log_line('W', "stage %s, %s-%d failed: %s", task->stage->name, task->stage->input_topic,
                 (int)task->partition, worker->diag.text);
    if (fate->failures < INT32_MAX)
        fate->failures++;
    if (options->policy == WEIR_FAILURE_STOP)
        return stop_task(worker, task, rc);
    return retry_later(worker, task, rc, options);
}

int worker_restore_task(struct worker *worker, struct task *task)
{
    task_close(task);
    worker->outs_changed = true;
    return open_or_fail(worker, task);
}

/* ---- coming back ---- */

static int tend_task(struct worker *worker, struct task *task)
{
    if (!task_is_running(task)) {
        bool is_due = task->fate.retry_at_ns != 0 && clock_mono_ns() >= task->fate.retry_at_ns;
        return is_due ? open_or_fail(worker, task) : 0;
    }
    int rc = atomic_load_explicit(&task->store_failure, memory_order_relaxed);
    if (__builtin_expect(rc == 0, 1))
        return 0;
    TRY(worker_settle_commit(worker));
    if (!task_is_running(task))
        return 0;
    run_store_failure(worker->run, task, &worker->diag);
    return worker_task_failed(worker, task, rc);
}

int worker_tend_tasks(struct worker *worker)
{
    for (uint32_t i = 0; i < worker->task_count; i++)
        TRY(tend_task(worker, worker->tasks[i]));
    return 0;
}

int64_t worker_retry_due_ms(const struct worker *worker)
{
    int64_t first_ns = INT64_MAX, now_ns = clock_mono_ns();
    for (uint32_t i = 0; i < worker->task_count; i++) {
        const struct task_fate *fate = &worker->tasks[i]->fate;
        if (fate->retry_at_ns != 0 && fate->retry_at_ns < first_ns)
            first_ns = fate->retry_at_ns;
    }
    if (first_ns == INT64_MAX)
        return -1;
    return first_ns > now_ns ? (first_ns - now_ns + 999999) / 1000000 : 0;
}
