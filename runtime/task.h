/* task.h: one stage on one partition of its input: reader, operators, outputs, time, counts.
 *
 * One worker owns a task; the fields under "shared" are atomics that the run's coordinator sets. */
#ifndef WEIR_RUNTIME_TASK_H
#define WEIR_RUNTIME_TASK_H

#include <stdatomic.h>

#include "runtime/chain.h"
#include "runtime/metrics.h"
#include "runtime/memory.h"
#include "runtime/progress.h"
#include "runtime/store.h"
#include "runtime/task_letter.h"
#include "runtime/task_table.h"
#include "runtime/time_marker.h"

/* The header of a row that says how far its source had come, in milliseconds; the first of its headers (plan_time.c). */
#define TIME_HEADER "weir.time"
/* Event times: year 0001 to 9999, what prints as ISO 8601 and what any data set holds. */
#define TASK_TIME_MIN_MS INT64_C(-62135596800000)
#define TASK_TIME_MAX_MS INT64_C(253402300799999)

/* Watermarks of one upstream task that wait for this task to reach the end offset they belong to. */
struct marks {
    struct mark {
        int64_t end, watermark_ms;
    } *items;
    uint32_t first, count, capacity;
    int64_t applied_ms;               /* TIME_NONE: none yet */
};

/* After commit `number` the changelog ended at `end`: a store that has followed that far holds what the commit wrote. */
struct commit_end {
    int64_t number, end;
};

/* A record that the pipeline's policy leaves out: its processing failed for a reason of its own. */
struct skipped_row {
    int64_t offset;
    char *reason;
};
enum { SKIPPED_ROWS_MAX = 1000 };     /* of one task between two commits */

/* What a failed task is to do next, and what outlives its being closed and opened again. */
struct task_fate {
    bool is_stopped;                  /* for the rest of the run */
    int64_t retry_at_ns;              /* closed until then (monotonic clock); 0: not waiting */
    int32_t failures;                 /* in a row: none of its commits came in between */
    int64_t careful_until;            /* rows below this offset are processed one by one: one of them fails */
    struct skipped_row *skips;        /* at or above the committed position */
    uint32_t skip_count;
    bool row_failed;                  /* the last failure was one row's own … */
    bool row_is_alone;                /* … and it is known which: that at failed_from */
    int64_t failed_from, failed_to;   /* offsets of the batch in which it lies */
};

struct task {
    const struct stage *stage;
    int32_t partition;
    uint32_t index;                   /* in the run's array of tasks */
    struct memory *memory;            /* the run's */
    struct task_fate fate;
    struct told_front **fronts;       /* by verdict: what it shares with tasks of other stages (told.h) */
    uint32_t front_count;

    /* from here on: of one opening; zero when closed */
    const struct plan *plan;
    struct port *port;                /* NULL: closed */
    struct port_reader *reader;
    struct source_row *rows;          /* of the read in progress */
    const struct shared_read *shared; /* whose rows those are, while it takes them (shared_read.h); else NULL */
    int64_t meet_at;                  /* an offset at which others wait for it: it reads up to there; 0: nobody does */
    struct task_tables *tables;       /* that its rows are joined with; NULL: none */
    const char *source_topic;         /* of the row in hand: the stage's input, or a table's topic … */
    int32_t source_partition;         /* … and its partition */
    struct crossed *crossed;          /* rows that came from elsewhere, while they are told of; NULL: no such */
    uint32_t batch_rows;              /* of the next read; task_pace */
    void *decoder;                    /* what the source's format keeps for this task; NULL: nothing */
    struct chain chain;
    struct op_env env;
    size_t table_held_bytes;          /* as the budget knows it */
    struct store store;
    bool has_store;

    struct port_out **outs;           /* of the output topic, by partition; only own_out when single_out */
    int32_t out_count;
    bool single_out;
    struct port_out *changelog, *late, *dead;
    int32_t late_partition;
    size_t pending_bytes;             /* rough size of what was added to outs since the last commit */
    struct letters letters;           /* dead letters that wait for the commit; of a task that shares fronts */
    struct buf key, value, headers, text;

    int64_t position, watermark_ms, max_event_ms;
    int64_t first_position;        /* where it began when its stage was first started; -1: nobody wrote it down */
    int64_t given_before_ms;          /* of a join of two streams: all that was due by this watermark has come out */
    int64_t changelog_end;
    int64_t *ends;                    /* of the output partitions, -1: never written */
    int64_t *output_from;             /* where they ended when the stage was first started; NULL: they were empty, or nobody knows */
    struct time_markers time_markers; /* INPUT_ROWS */
    int64_t idle_since_ms;            /* wall clock of the first read that found nothing after the last row; TIME_NONE: rows come */
    int64_t rows_end;                 /* offset after the last row read, or the position at the start */
    struct marks *marks;              /* one per upstream task, stage by stage; none when time is that of the rows alone */
    uint32_t mark_count;
    struct counts counts;
    struct counts committed_counts;   /* as of the commit in flight or the last one */
    int64_t committed_position;
    int64_t committed_watermark_ms;
    bool has_pending;                 /* something to commit */
    bool is_closing;                  /* more windows to close than one commit takes */
    bool moved;                       /* the position passed markers only */
    int64_t now_ms;                   /* the wall clock as of the poll or commit in progress */
    struct diag *diag;                /* of the call in progress */

    struct commit_end *commit_ends;   /* not yet held by the store, in order */
    uint32_t commit_end_count, commit_end_capacity;
    int64_t stored_commit;            /* the store's snapshot holds what commits up to this one wrote */

    /* shared */
    pthread_mutex_t following;        /* held while another thread follows the store: closing waits for that */
    atomic_int_fast64_t *peer_max_event_ms; /* highest event time that any task of the stage has seen; NULL: this one is alone */
    struct task_gauges *gauges;       /* NULL: nobody looks */
    atomic_bool is_open;              /* the store may be followed */
    atomic_int store_failure;         /* the code with which following failed; 0: none */
    atomic_int_fast64_t end_target;   /* process up to this offset; INT64_MAX: no end */
    atomic_int_fast64_t *table_ends;  /* the same of each task_table_inputs; NULL: it has none */
    atomic_int_fast64_t raise_ms;     /* raise the source's watermark to this; TIME_NONE: don't */
    bool reported_drained, reported_closed;
};

/* Opens reader, operators, store (restoring it) and outputs, from the task's last progress record (NULL: none). The task's stage,
 * partition and index are set already, and other threads may read them. */
int task_open(struct task *task, const struct plan *plan, struct port *port, const struct progress *progress,
              struct diag *diag);
/* All that was not committed is thrown away. The task may be opened again. */
void task_close(struct task *task);
/* Frees what outlives closing. */
void task_deinit(struct task *task);
/* 0, or the state of the first of its outputs that takes no writes. */
int task_check_outs(const struct task *task, struct diag *diag);
/* Leaves out the row that failed alone, when the task is opened again. Takes over nothing; ERR_TOO_LARGE: too many. */
int task_skip_row(struct task *task, const char *reason, struct diag *diag);
/* Every out of the task, for participation; returns how many were written to outs (room for task_out_count). */
size_t task_out_count(const struct task *task);
size_t task_outs(struct task *task, struct port_out **outs);

/* Reads and processes up to batch_rows rows. 1: there was something; 0: nothing there now. */
int task_poll(struct task *task, struct diag *diag);
/* The same in steps, for a read that several tasks share (worker_read.c). begin: what is due before the next rows; POLL_ROWS: they are, those below *target;
 * else what task_poll returns. Then take: the rows of a read that began at the task's position, or found_nothing: there was none. */
enum { POLL_ROWS = 2 };
int task_begin_poll(struct task *task, int64_t *target, struct diag *diag);
int task_take_read(struct task *task, const struct shared_read *read, struct diag *diag);
int task_found_nothing(struct task *task, struct diag *diag);
/* Rows that a batch may have. */
uint32_t task_most_rows(const struct task *task);
/* Sets how many rows the next read takes, from how long the last one took: fewer when a batch holds up the worker's other tasks. */
void task_pace(struct task *task, int64_t took_ns);
/* Its worker spent so much time on it. */
static inline void task_took(struct task *task, int64_t took_ns)
{
    if (task->gauges != NULL && took_ns > 0)
        atomic_store_explicit(&task->gauges->busy_ns,
                              atomic_load_explicit(&task->gauges->busy_ns, memory_order_relaxed) + took_ns, memory_order_relaxed);
}
bool task_at_end(const struct task *task);
/* ERR_RANGE, with a text that says which records were removed before the task read them, and what to do. */
int task_lost_records(const struct task *task, struct diag *diag);

/* task_time.c. An event time as records hold it: epoch milliseconds, a number or text of digits, or ISO 8601. 0 or ERR_INVALID. */
int task_read_time(const struct variant *value, int64_t *time_ms);
/* Fills event times and watermarks of all rows of a batch, in offset order. Rows that are gone (by row) and rows without a usable time, which
 * are rejected, do not move the watermark. columns NULL: task_read_times has filled the times, and no row is rejected. */
int task_assign_times(struct task *task, const struct column *columns, const uint8_t *gone, uint32_t count, int64_t *times,
                      int64_t *watermarks);
/* The part of it that is the same for all tasks whose sources decode alike: the times. Rows that are rejected are gone. */
int task_read_times(const struct view *view, const struct source_row *rows, const struct column *columns, uint8_t *gone,
                    uint32_t count, int64_t *times, struct reject_list *rejects);
/* Takes the markers of this task's partition from what the progress topic held, after task_open: those of idle times when the source has one. */
int task_restore_markers(struct task *task, const struct progress_set *set, struct diag *diag);
/* A read found nothing: after the source's idle time the watermark follows the wall clock (task->now_ms), as far as windows wait for it. */
int task_idle(struct task *task);
/* Applies what lies at or below the position. */
void task_apply_markers(struct task *task);
/* Adds the markers that this commit sets or takes back to the progress topic's out. */
int task_send_markers(struct task *task, struct port_out *out, struct diag *diag);
/* task_marks.c. What a row's TIME_HEADER says; false: it has none. */
bool task_row_time(const struct source_row *row, int64_t *time_ms);
/* The row's headers with its time as this stage knows it, for as long as task->headers is not used. ERR_NOMEM. */
int task_tell_time(struct task *task, const struct source_row *row, int64_t watermark_ms, struct bytes *headers, int32_t *header_count);
/* Makes room for the marks of the upstream tasks whose progress this task follows. */
int task_open_marks(struct task *task, struct diag *diag);
/* Remembers an upstream task's watermark, to be applied when the position reaches the end that belongs to it. Records of other tasks are left alone. */
int task_take_mark(struct task *task, const struct progress *upstream, struct diag *diag);
void task_apply_marks(struct task *task);
/* Applies what the coordinator asked for, and leaves a marker: *raised_ms (may be NULL) is what was asked for, TIME_NONE: nothing. */
int task_apply_raise(struct task *task, int64_t *raised_ms, struct diag *diag);

/* Commit: flushes operators and closes windows into the outs; sends them; fills the progress record (ends and tables borrowed until the next call of the task). */
int task_flush(struct task *task, int64_t commit_number, struct diag *diag);
int task_send(struct task *task, struct port_txn *txn, int64_t commit_number, struct diag *diag);
int task_progress(struct task *task, struct progress *progress, struct diag *diag);
/* Forgets groups that the store holds, when the table is over its part of the budget. want_checkpoint: that was not enough, or
 * the store is so far behind its changelog that a restart would take long. */
int task_trim(struct task *task, bool *want_checkpoint, struct diag *diag);
/* At the end of a run: gives back the memory of its operators. Only task_close may follow. */
void task_forget_groups(struct task *task);

/* task_input.c: the parts of a batch of records that a shared read makes once for several tasks. decode: chain->arena and rejects; gone by row: has no columns.
 * batch_rows: fills in what is left of a batch that has rows, columns, times and source. */
int task_decode(const struct view *view, void *decoder, const struct source_row *rows, uint32_t count, struct chain *chain, struct column **columns,
                uint8_t **gone);
int task_batch_rows(struct chain *chain, const struct view *view, struct batch *batch);
/* task_input.c: pushes rows through the chain, tables first where they are due. Around it the accounts: end also puts aside what did not pass; rows: those of the batch. */
int task_push_rows(struct task *task, const struct batch *batch);
void task_begin_rows(struct task *task);
int task_end_rows(struct task *task, const struct source_row *rows, uint32_t count);

/* task_cross.c: rows on their way to a distinct operator elsewhere, and there. */
int task_sink_crossing(struct task *task, const struct batch *batch);
int task_process_crossed(struct task *task, uint32_t count);
/* Whether the row in hand decodes: asked of one that failed alone. */
bool task_crossed_is_sound(const struct task *task);
/* Lets dead letters and late rows tell where a row that crossed came from; *element: its place among those made of it, or NULL. ERR_NOMEM. */
int task_point_to_origin(struct task *task, uint32_t row, const char **element);

/* task_output.c: what the chain calls. */
/* Half of what a reader takes from one batch (record_batch.h), so that a row can still be read with headers and as a dead letter. */
enum { TASK_ROW_MAX_BYTES = 128 << 20 };
/* Adds a row without headers to a partition of the output. */
int task_add_row(struct task *task, int32_t partition, int64_t timestamp_ms, struct bytes key, struct bytes value);
int task_sink(void *context, const struct batch *batch);
int task_reject_result(void *context, const struct batch *batch, const struct reject *reject);
int task_changelog(void *context, struct bytes key, struct bytes value);
int task_dead_letter(struct task *task, const struct source_row *row, const struct reject *reject);
#define STEP_OF_NONE UINT32_MAX       /* struct reject: it was no step's verdict */
/* A row that is left out: counted, and a dead letter. */
int task_leave_out(struct task *task, const struct source_row *row, const char *reason);
int task_late_row(struct task *task, const struct source_row *row, const struct late_row *late);

#endif
