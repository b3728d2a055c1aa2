/* task_table.h: the tables that a task's rows are joined with: how far it has read their topics, and what comes first. Private to task.h's files; the task's worker uses them.
 *
 * Each task reads all partitions of each table's topic, or with weir_table_partitioned the one of its own number, and puts what it reads into the join's operator, which keeps it in the task's store. Positions are part of
 * the task's progress record, so that table and stream are as far after a restart as they were in the commit. Whoever asks what a row met needs their order:
 *
 *   live         at the beginning of a commit tables are read to the ends that they then have; then rows of the stream, until the commit is made
 *   a cut ahead  a replay: what earlier runs did (join_cut.h), which was one of
 *   until_end    a row of the stream comes when all rows of tables with a time up to its own have been applied. Nothing of the stream is read before it is known where the
 *                tables end */
#ifndef WEIR_RUNTIME_TASK_TABLE_H
#define WEIR_RUNTIME_TASK_TABLE_H

#include "runtime/chain.h"
#include "runtime/join_cut.h"
#include "runtime/progress.h"

struct task;
struct table_input;

struct task_table {
    struct task *task;
    const struct table *table;
    uint32_t number;                  /* among the task's */
    struct op *join;                  /* of the task's chain */
    struct chain chain;               /* of the table's own steps */
    struct op_env env;
    void *decoder;
    struct batch shown;               /* rows that came out of the chain in the last push, … */
    struct column *columns;           /* … and what the join keeps of them */
    struct table_input *inputs;       /* in the order of their partitions */
    int32_t input_count;
};

struct task_tables {
    struct task_table *items;
    uint32_t count;
    bool is_open;                     /* live: no row of the stream has been processed since the last commit */
    bool has_failed;                  /* a table's rows, and not the stream's */
    bool has_targets;                 /* live: it is known how far they are read before rows of the stream */
    struct join_cuts cuts;
    bool has_moved;                   /* tables were read on since the last commit, and no cut said so: */
    bool by_time;
    bool is_cut_open;                 /* the last commit left one by time, which the next one takes on */
    int64_t moved_at;                 /* where the stream was when they were first */
    int64_t *begins;                  /* and the tables, by input */
    int64_t next_event_ms, next_record_ms; /* the least time of a row that waits, of tables by event time and by the records' timestamps; INT64_MAX: none waits */
};

/* Opens readers where the progress record says (NULL: at the beginning). After the chain. */
int task_tables_open(struct task *task, const struct progress *progress, struct diag *diag);
void task_tables_close(struct task *task);
/* Before rows of the stream are read: applies what is due in the tables. 1: something; 0: nothing is, the stream may be read below *limit; TABLES_WAIT: nor may that. */
enum { TABLES_WAIT = 2 };
int task_tables_poll(struct task *task, int64_t target, int64_t *limit, struct diag *diag);
/* Rows of the stream come by time: applies what comes before the one with these times. */
bool task_tables_by_time(const struct task *task);
int task_tables_follow(struct task *task, int64_t event_ms, int64_t record_ms);
static inline bool task_tables_wait(const struct task_tables *tables, int64_t event_ms, int64_t record_ms)
{
    return tables->next_event_ms <= event_ms || tables->next_record_ms <= record_ms;
}
bool task_tables_at_end(const struct task *task);
/* Rows of the stream were processed; a commit was made. */
void task_tables_close_turn(struct task *task);
void task_tables_next_commit(struct task *task);
/* task_cut.c. Takes what the progress topic has for the task, after task_open. */
int task_restore_cuts(struct task *task, const struct progress_set *set, struct diag *diag);
/* Adds what this commit leaves, and takes back, to the progress topic's out. */
int task_send_cuts(struct task *task, struct port_out *out, struct diag *diag);
/* A table is about to be read on, and no cut says so. ERR_NOMEM. */
int task_tables_moved(struct task *task);
/* Fills tables, which lie in memory, and table_count. ERR_NOMEM. */
int task_tables_progress(const struct task *task, struct buf *memory, struct progress *progress);
/* How many partitions of topics the task reads beside its input, the i-th of them (also of a task that is not open), and how far it has come there. */
uint32_t task_table_inputs(const struct task *task);
void task_table_input(const struct task *task, uint32_t i, const char **topic, int32_t *partition);
int64_t task_table_position(const struct task *task, uint32_t i);

#endif
