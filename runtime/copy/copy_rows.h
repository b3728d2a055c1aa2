/* copy_rows.h: rows of a file, through the steps of a COPY's pipeline, into outs: records of the table's topic, and dead letters. One thread. */
#ifndef WEIR_COPY_ROWS_H
#define WEIR_COPY_ROWS_H

#include "runtime/chain.h"
#include "runtime/copy/copy.h"

struct copy_rows {
    const struct copy_job *job;
    struct port *port;
    struct plan *plan;           /* of the job's app: one view */
    const struct view *view;
    void *decoder;               /* of JSON's format */
    struct chain chain;
    struct op_env env;
    struct port_out **outs;      /* by partition of the topic */
    int32_t partitions;
    struct port_out *dead;       /* opened with the first bad row */
    int32_t dead_partitions;     /* of the topic of dead letters, if it is made now */
    struct buf key, value, headers;
    int64_t now_ms, time_ms;     /* the clock, and the timestamp of rows that say none */
    int64_t rows, bad_rows;      /* of the file so far */
    size_t pending_bytes;        /* in the outs */
    bool outs_changed;           /* since the owner last looked */
    const struct copy_row *current; /* of the call in progress */
    uint32_t current_count;
    struct diag *diag;
};

/* The topic exists, with so many partitions. */
int copy_rows_open(struct copy_rows *rows, const struct copy_job *job, struct port *port, int32_t partitions, struct diag *diag);
void copy_rows_close(struct copy_rows *rows);
/* count <= BATCH_ROWS rows of the file, in order. ERR_INVALID: a bad row of a table that wants none. */
int copy_rows_add(struct copy_rows *rows, const struct copy_row *from, uint32_t count, struct diag *diag);

#endif
