/* shared_read.h: records of one partition, read, decoded and judged once for several tasks of a worker.
 *
 * Pipelines that read one topic alike (plan_read.c) begin with the same work: fetch, check, decompress, decode, event times, and the steps that they have in
 * common, which of a declared table in SQL are all its casts and checks. A shared read does that once for a batch. Each of its tasks then takes the batch
 * from there on (task_take_read): its own selections, watermark, counts, dead letters, position and commit, so that nothing of what a task is
 * depends on whether it shares.
 *
 * Everything that tasks take belongs to the read and stays as it is until the next one: one thread owns it, and no task keeps anything of a batch. */
#ifndef WEIR_RUNTIME_SHARED_READ_H
#define WEIR_RUNTIME_SHARED_READ_H

#include "runtime/chain.h"

struct task;
struct shared_read {
    struct task **members;            /* that share it, in the worker's order */
    bool *waiting, *joined;           /* by member, for worker_read.c */
    uint32_t member_count;
    const struct stage *stage;        /* of the first one, which stands for all as far as they read alike */
    int32_t partition;
    struct port *port;
    struct port_reader *reader;       /* NULL: nothing has been read, or the last read was cut */
    int64_t position;                 /* of the reader */
    void *decoder;
    bool is_open;                     /* decoder, rows and chain are there */
    struct op_env env;
    struct chain chain;               /* the steps in common; its arena holds the batch, its rejects what they refused, filtered_rows what they left out */

    /* what was read last */
    struct source_row *rows;
    uint32_t count;
    int64_t next;                     /* the position after it */
    struct batch batch;               /* behind the steps in common; watermarks are for each task to fill in */
    int64_t *times;
    uint8_t *gone;                    /* by row: it has no event time that moves the watermark */
};

/* Reads up to max_rows records from the offset on, those below target. 1: there were some, or next is behind what holds none; 0: there is nothing now;
 * negative: nothing can be taken, and each task finds out for itself what that means to it. */
int shared_read_next(struct shared_read *read, int64_t from, uint32_t max_rows, int64_t target, struct diag *diag);
/* Gives back what it holds, but for the lists of members. */
void shared_read_close(struct shared_read *read);

#endif
