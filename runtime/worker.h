/* worker.h: what the files of the worker share: worker.c (the thread, turns), worker_read.c (turns of tasks that share a read), worker_task.c (tasks that open, fail and come back),
 * worker_commit.c (the commit of all of them). Everything here is called by the worker's own thread. */
#ifndef WEIR_RUNTIME_WORKER_H
#define WEIR_RUNTIME_WORKER_H

#include "runtime/run.h"
#include "runtime/shared_read.h"

static inline bool task_is_running(const struct task *task)
{
    return task->port != NULL;
}

static inline bool task_is_paused(const struct task *task)
{
    return atomic_load_explicit(&task->stage->view->sink->is_paused, memory_order_relaxed);
}

/* ---- worker_task.c ---- */

/* Opens every task that is not open; those that fail do as their pipelines' policies say. */
int worker_open_tasks(struct worker *worker);
/* The task failed with rc (worker->diag has the text): closes it, which throws away what it has not committed, and does as its
 * pipeline's policy says. 0: the worker goes on; negative: the run ends. No commit of the task may be in flight. */
int worker_task_failed(struct worker *worker, struct task *task, int rc);
/* Whether the task is part of the commit in flight. */
bool worker_is_in_flight(const struct worker *worker, const struct task *task);
/* Throws away what the task has not committed and restores it. As worker_task_failed. */
int worker_restore_task(struct worker *worker, struct task *task);
/* Opens the tasks whose time to be tried again has come, and takes up what the checkpoint thread found wrong with a store. */
int worker_tend_tasks(struct worker *worker);
/* Milliseconds until a task is to be tried again; -1: none waits. */
int64_t worker_retry_due_ms(const struct worker *worker);

/* ---- worker.c: turns ---- */

/* What a turn may take: reads, and time. */
enum { TURN_POLLS = 16 };
#define TURN_NS (20 * INT64_C(1000000))
/* One task's turn: it ends when the input is drained, after some polls, or when its time is over. What fails is dealt with. 1: something was
 * read; negative: the run ends. */
int worker_give_turn(struct worker *worker, struct task *task);
/* Whether a task's table holds so much that nothing more is read before it has forgotten. 1, 0, or its failure. */
int worker_table_is_over(struct worker *worker, struct task *task);
/* A task's turn failed with rc: as worker_task_failed, also while a commit is in flight. */
int worker_turn_failed(struct worker *worker, struct task *task, int rc);
/* Output has to be committed before more is read. */
bool worker_is_full(const struct worker *worker);
/* A commit is due, and none is in flight. */
bool worker_must_commit(const struct worker *worker);

/* ---- worker_read.c: reads that tasks share ---- */

/* Finds which of the worker's tasks share reads. ERR_NOMEM. */
int worker_open_reads(struct worker *worker);
void worker_close_reads(struct worker *worker);
/* A turn for all tasks that share the read. As worker_give_turn. */
int worker_read_turn(struct worker *worker, struct shared_read *read);

/* ---- worker_commit.c ---- */

/* Everything up to the request for the decision. */
int worker_start_commit(struct worker *worker);
/* When the decision is there: publishes it. 0 also when it is not there yet. */
int worker_finish_commit(struct worker *worker);
/* Waits for the decision of the commit in flight, if there is one. */
int worker_settle_commit(struct worker *worker);

#endif
