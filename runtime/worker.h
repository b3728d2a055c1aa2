/* worker.h: what the files of the worker share: worker.c (the thread, turns), worker_task.c (tasks that open, fail and come back),
 * worker_commit.c (the commit of all of them). Everything here is called by the worker's own thread. */
#ifndef WEIR_RUNTIME_WORKER_H
#define WEIR_RUNTIME_WORKER_H

#include "runtime/run.h"

static inline bool task_is_running(const struct task *task)
{
    return task->port != NULL;
}

/* ---- worker_task.c ---- */

/* Opens every task that is not open; those that fail do as their pipelines' policies say. */
int worker_open_tasks(struct worker *worker);
/* The task failed with rc (worker->diag has the text): closes it, which throws away what it has not committed, and does as its
 * pipeline's policy says. 0: the worker goes on; negative: the run ends. No commit of the task may be in flight. */
int worker_task_failed(struct worker *worker, struct task *task, int rc);
/* Throws away what the task has not committed and restores it. As worker_task_failed. */
int worker_restore_task(struct worker *worker, struct task *task);
/* Opens the tasks whose time to be tried again has come, and takes up what the checkpoint thread found wrong with a store. */
int worker_tend_tasks(struct worker *worker);
/* Milliseconds until a task is to be tried again; -1: none waits. */
int64_t worker_retry_due_ms(const struct worker *worker);

/* ---- worker_commit.c ---- */

/* Everything up to the request for the decision. */
int worker_start_commit(struct worker *worker);
/* When the decision is there: publishes it. 0 also when it is not there yet. */
int worker_finish_commit(struct worker *worker);
/* Waits for the decision of the commit in flight, if there is one. */
int worker_settle_commit(struct worker *worker);

#endif
