/* metrics.h: what an app tells a monitoring system of itself, as OpenMetrics text (docs/operations.md lists the names).
 *
 * Rows, positions and watermarks are those of committed progress. The rest (tables, stores, restoring) is told by the threads that own it, in the
 * task's gauges: atomics, written when something changes and never waited for. Text is made when it is asked for: once a second for the file of
 * weir_options.metrics, or by weir_app_metrics from any thread. */
#ifndef WEIR_RUNTIME_METRICS_H
#define WEIR_RUNTIME_METRICS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/bytes.h"
#include "runtime/base/error.h"

struct counts;
struct plan;
struct run;
struct stage;
struct stage_metrics;
struct task;
struct weir_app;

/* Of one task. Anybody may write and read. */
struct task_gauges {
    atomic_int_fast64_t watermark_ms;          /* TIME_NONE: none */
    atomic_int_fast64_t table_entries, table_bytes;
    atomic_int_fast64_t pending_bytes;         /* output that waits for a commit */
    atomic_int_fast64_t store_entries, store_bytes, stored_ns;   /* as of the monotonic time stored_ns */
    atomic_int_fast64_t store_from, store_offset, store_end;     /* changelog offsets: where its store began to follow in this run, stands, and had to come */
    atomic_int_fast64_t store_read;                              /* how far that was read, before the store took it in */
    atomic_bool is_restored;
    atomic_int_fast64_t busy_ns;               /* that its turns and flushes took; its worker writes it */
    atomic_int_fast64_t shared_rows;           /* read and decoded by another task that shares its read */
    atomic_int worker;                         /* that it belongs to */
    struct stage_metrics *stage;               /* of its stage; NULL: nobody looks. Set before workers run */
};

struct metrics;
/* NULL: no memory. */
struct metrics *metrics_create(void);
void metrics_destroy(struct metrics *metrics);
/* From attach to detach the run's tasks, which have gauges then, are what is told; afterwards what they were at its end. The file (may be NULL) is written at once, so that a
 * path that cannot be is an error of the start. */
int metrics_attach(struct metrics *metrics, struct run *run, struct diag *diag);
void metrics_detach(struct metrics *metrics);
/* Writes the file when a second has passed since the last time, or now. A failure after the first time is said once and stops nothing. */
void metrics_publish(struct metrics *metrics, bool now);
/* By the worker that made the commit: what its tasks hold now, and how long the commit took from its making to its decision. */
void metrics_task(struct task *task);
/* Of the task of a stage, while a run is attached; else NULL. */
struct task_gauges *metrics_gauges(const struct metrics *metrics, const struct plan *plan, const struct stage *stage, int32_t partition);
void metrics_commit(struct metrics *metrics, double seconds);
/* The same for a task that had part in the commit, in its stage's histograms (metrics_stage.c). */
void metrics_committed(const struct task *task, double seconds);
/* One observation for the stage of a task. Any thread. */
enum stage_histogram { STAGE_COMMIT_LATENCY, STAGE_FLUSH, STAGE_WATERMARK_DELAY, STAGE_RESTORE, STAGE_HISTOGRAMS };
void metrics_observe(const struct task *task, enum stage_histogram what, double seconds);

/* One task, as others are told of it. */
struct task_reading {
    const char *pipeline, *stage, *input;      /* topics, and the stage's name */
    int32_t partition;
    int64_t position, lag;                     /* lag -1: it cannot be read */
    int64_t watermark_ms;                      /* TIME_NONE: none */
    const struct counts *counts;               /* as of its last commit */
    bool reads_rows;                           /* its input counts as rows of the pipeline */
    bool has_store, is_open;                   /* opened, and its store restored, since the run began */
    double restored;                           /* how much of its store: 0 to 1 */
};
/* Tells of each task of the run that is attached, in order, under its mutex: fn must be quick. false: none is. Any thread. */
bool metrics_read_tasks(struct metrics *metrics, void (*fn)(void *context, const struct task_reading *reading), void *context);

#endif
