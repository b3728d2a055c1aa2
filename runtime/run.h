/* run.h: one weir_app_run: its plan, tasks, workers, and what they share.
 *
 * Shared between threads: everything in struct run, guarded by its mutex unless it says otherwise. */
#ifndef WEIR_RUNTIME_RUN_H
#define WEIR_RUNTIME_RUN_H

#include <pthread.h>
#include <stdatomic.h>

#include "runtime/task.h"
#include "runtime/told.h"
#include "runtime/waker.h"

struct worker {
    struct run *run;
    int index;
    pthread_t thread;
    bool is_started;
    bool is_leaving;                  /* it has no tasks any more and ends; set while it is parked */
    struct waker waker;
    struct task **tasks;              /* that it owns */
    uint32_t task_count;
    uint32_t next_task;               /* whose turn it is */
    struct shared_read *reads;        /* that some of its tasks share; NULL: none do */
    uint32_t read_count;
    struct shared_read **read_of;     /* by task: the one it shares; NULL */
    struct watched {
        const char *topic;
        int32_t partition;
        int id;
    } *watches;                       /* the progress topic, and what the tasks read; room for those of all tasks */
    uint32_t watch_count;
    struct port_txn *txn;
    struct port_reader *progress_reader;
    int64_t progress_position;
    struct port_out *progress_out;
    int64_t commit_number;            /* of the commit in flight, or the last one; the run's */
    int64_t last_commit_ns;
    int64_t undone;                   /* commits that came to nothing: their tasks were restored */
    int64_t sent_end, progress_end;   /* of the progress topic after the commit in flight, after the last one that was decided */
    bool outs_changed;                /* tasks were opened or closed since the transactions' partitions were named */
    int64_t commit_began_ns;          /* the one in flight */
    bool in_flight;
    bool *in_commit;                  /* by task: its record is in the commit in flight */
    struct progress *sent;            /* by task: the record in the commit in flight; memory that is used again */
    atomic_int commit_done;           /* set by the log's thread: 1 + 0 decided, or the negative code */
    struct diag diag;
};
enum { COMMIT_PENDING = 1 };          /* commit_done while there is no answer; 0 = decided, < 0 = failed */

/* Where a stage is on its way to the end (until_end). */
enum stage_phase { STAGE_RUNNING, STAGE_RAISING, STAGE_DONE };
struct stage_state {
    enum stage_phase phase;
    int32_t left;                     /* tasks that have not reported for this phase */
    bool is_incomplete;               /* a task of it, or of what it reads, was stopped: its windows stay open */
    int64_t max_window_end_ms;        /* over its tasks; TIME_NONE */
    atomic_int_fast64_t max_event_ms; /* over its tasks, kept when the source has idle_close; TIME_NONE */
};

/* What others are told of a task. */
struct task_status {
    weir_stage_state state;
    int code;                         /* of the last failure */
    char *reason, *store_reason;      /* of it; what the checkpoint thread found */
    int64_t retry_at_ms, failures, skipped;
};

/* How much time a task takes, as the main thread measures it. */
struct task_load {
    int64_t seen_ns, recent_ns;       /* of busy_ns when it last looked; lately */
};

/* What has become of a view since it last ran (evolve.c). */
struct evolution {
    weir_change change;
    bool takes_back;                  /* rebuild: its output is a table, whose rows go first */
    char reason[512];
};

struct run {
    struct weir_app *app;
    struct plan *plan;
    struct port *port;
    struct progress_set progress;     /* as of the start; read only afterwards */
    struct evolution *evolutions;     /* by view */
    struct progress *last;            /* by task: as of its last commit; its worker's. stage "": none yet */
    struct task *tasks;               /* those of a stage are neighbours */
    uint32_t task_count;
    uint32_t *first_task;             /* by stage */
    struct worker *workers;           /* room for WORKERS_MAX, so that they stay where they are */
    atomic_int worker_count;          /* that were ever made: the first active_workers have the tasks */
    int active_workers;               /* the main thread's */
    struct task_load *loads;          /* of each task; the main thread's */
    atomic_int_fast64_t commit_number; /* of all workers */
    struct memory memory;
    struct told told;                 /* guarded by the mutex */
    struct task_gauges *gauges;       /* of each task */
    int64_t started_ns;
    struct counts base;               /* what the tasks had counted before this run */
    bool has_checkpointer;

    pthread_mutex_t mutex;
    pthread_cond_t changed;           /* main thread: stop, failure, end, somebody parks */
    atomic_bool parking;              /* workers stop between two turns, without a commit in flight, until it is false: workers.c */
    pthread_cond_t resume;
    int parked;                       /* workers that have */
    bool is_holding;                  /* they stay parked: somebody holds the app; the main thread's */
    atomic_bool stopping;             /* commit what there is and end */
    atomic_bool failed;               /* end without a commit */
    int code;                         /* the first failure */
    struct diag diag;
    struct stage_state *stages;
    uint32_t stages_done;
    struct task_status *status;       /* of each task */
    uint32_t stopped_tasks;
    int stop_code;                    /* of the first one, and why */
    struct diag stop_diag;
    struct counts *counts;            /* of each task, as of its last commit */
    int64_t *positions;
    int64_t commits;
    atomic_int_fast64_t progress_target;   /* drained tasks must have read the progress topic up to here */
    bool want_checkpoint, end_checkpoints;
    pthread_cond_t checkpoint;
    pthread_t checkpointer;
};

/* run.c: the steps of weir_app_run, for who drives a run in its own thread (weir_test_engine.c): open (tasks are dealt to workers, none is open
 * yet), then workers open, take turns and close, then finish (the stores' last checkpoint), then close, also after a failure of open: code
 * is what the app's error says. */
int run_open(struct run *run, struct weir_app *app);
int run_finish(struct run *run);
int run_close(struct run *run, int code);
/* From now on until_end: the sources end where they end now. */
int run_set_ends(struct run *run);
/* Sums the tasks' counts into the app's progress and tells its listener. */
void run_publish_progress(struct run *run);

/* run.c, called by workers */
void run_fail(struct run *run, int code, const struct diag *diag);
/* The task has committed everything up to its end target. */
void run_task_drained(struct run *run, struct task *task);
void run_task_closed(struct run *run, struct task *task);
/* The task stays closed. Negative: it was the last one that worked, and the run ends. */
int run_task_stopped(struct run *run, struct task *task, int code, const struct diag *diag);
/* With until_end, the end of a source task that is not known yet. */
int run_set_end(struct run *run, struct task *task, struct diag *diag);
void run_committed(struct run *run, struct task *const *tasks, const bool *in_commit, uint32_t count);
void run_request_checkpoint(struct run *run);
void run_wake_workers(struct run *run);

/* worker.c: a thread of its own … */
void *worker_main(void *worker);
/* … or step by step in the caller's thread: open (opens its tasks and restores their stores), turns, close (waits for the commit in
 * flight). A worker that fails is closed all the same. A turn reads marks, gives each task its turn, finishes the commit in flight and starts
 * the next one when it is due; it never waits. *wait_ms: there is nothing to do for so long unless the waker is woken; 0: go on. ending: read
 * no more, commit what there is; worker_is_done says when nothing is left. */
int worker_open(struct worker *worker);
int worker_turn(struct worker *worker, bool ending, int64_t *wait_ms);
bool worker_is_done(const struct worker *worker);
/* Between two turns: park waits for the commit in flight, and from then on the worker's tasks may be dealt anew; resume takes up those that it has then. */
int worker_park(struct worker *worker);
int worker_resume(struct worker *worker);
void worker_close(struct worker *worker);

/* workers.c: who has which task. */
int run_make_worker(struct run *run, int index);
/* Deals the tasks to so many workers, all of which are parked or not open yet. On failure nothing has changed. */
int run_deal_tasks(struct run *run, int workers);
/* By the main thread: what weir_app_set_threads asked for, if it did. */
void run_take_threads(struct run *run);
/* By the main thread: parks the workers for who holds the app (app_hold.h), and lets them go on. ending: the hold is over. */
void run_take_hold(struct run *run, bool ending);
/* The same where there are no threads: the number of workers that is asked for; 0: none. */
int run_wanted_threads(struct run *run);
/* Called about each half second. */
void run_measure_load(struct run *run);
/* By a worker: waits until the tasks are dealt. */
void run_wait_parked(struct run *run);

/* checkpoint.c: of an app that may not run (any more). */
void app_request_checkpoint(struct weir_app *app);

/* stages.c: what weir_app_stages tells. */
void run_task_state(struct run *run, const struct task *task, weir_stage_state state, int code, const char *reason, int64_t retry_at_ms);
void run_task_skipped(struct run *run, const struct task *task);
/* The checkpoint thread's failure: kept for the task's worker, which takes it. */
void run_put_store_failure(struct run *run, struct task *task, int code, const struct diag *diag);
void run_store_failure(struct run *run, const struct task *task, struct diag *diag);
/* The app's list is the run's from attach to detach; what it was then stays. Without attach, detach does nothing. */
void run_attach(struct run *run);
void run_detach(struct run *run);

/* evolve.c: compares the views with what their progress records say; refuses what may not or cannot be done about it. */
int run_evolve(struct run *run, struct diag *diag);
int run_admit_changes(struct run *run, struct diag *diag);
/* run.c: plan, log and progress of an app, and nothing more; ends with run_close. */
int run_look(struct run *run, struct weir_app *app);

/* run_reset.c: what the progress topic says at the start … */
int run_read_progress(struct run *run, struct diag *diag);
/* … the end of resets that a crash left half done … */
int run_end_resets(struct run *run, struct diag *diag);
/* … and what from_beginning and changed views ask for is started anew (reset.h). */
int run_reset(struct run *run, struct diag *diag);

/* checkpoint.c: the thread that lets stores follow and purges what was consumed. */
void *checkpoint_main(void *run);
/* One round of it, in the caller's thread. A failure ends the run. */
void checkpoint_round(struct run *run);

#endif
