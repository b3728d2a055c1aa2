/* copy.h: COPY … FROM: files whose rows are written to topics once, before the pipelines that read those begin.
 *
 * A job is one statement, compiled. How a row of the file becomes a record is a pipeline of weir.h's builder like any other (`app`: a source, casts, checks, a key, an
 * output), run here over the file's rows in place of a topic's: what COPY writes is what INSERT would write of the same rows. All jobs of one call belong to one app: name,
 * data directory, log and durability are those of their `app`. */
#ifndef WEIR_COPY_COPY_H
#define WEIR_COPY_COPY_H

#include "runtime/app.h"
#include "runtime/copy/copy_mark.h"

struct copy_job {
    const char *name;            /* of the table */
    const char *topic;
    const char *file, *path;     /* as the statement names it, and as it is opened */
    struct copy_syntax syntax;
    weir_app *app;
    int32_t time_column;         /* of the rows that the pipeline gives: the record's timestamp; -1: none */
    bool passes_rows;            /* the record's value is the row of the file as it is */
    bool is_table;               /* of the latest rows: its topic is compacted */
    const char *partitioned_by;  /* the field that its keys are; NULL: what the pipeline says */
    int32_t partitions;          /* 0: nothing is said */
    int64_t retention_ms;        /* -1: for ever, 0: nothing is said */
    bool fails_on_bad_row;
    uint64_t meaning;            /* copy_mark.h */
};

/* What a copy whose file or statement is another one than when it was made does. */
enum copy_changed { COPY_CHANGED_FAILS, COPY_CHANGED_STAYS, COPY_CHANGED_AGAIN };
enum copy_mode {
    COPY_LOOK,                   /* writes nothing */
    COPY_PREPARE,                /* makes topics that are missing */
    COPY_WRITE
};
enum copy_state {
    COPY_STATE_DONE,             /* in an earlier run */
    COPY_STATE_KEPT,             /* likewise, and has changed since: reason says how */
    COPY_STATE_DUE,              /* will be copied, from the row behind `rows` and `dead` on */
    COPY_STATE_WRITTEN           /* now */
};
struct copy_outcome {
    enum copy_state state;
    int64_t rows, dead;          /* of the whole file so far */
    const char *reason;
};

struct copy_run {
    enum copy_mode mode;
    enum copy_changed changed;
    int32_t new_partitions;      /* of a topic of which nobody says how many; 0: 1 */
    bool (*is_stopped)(void *context); /* NULL: never */
    /* Called for each job, in their order, when its outcome is known. */
    void (*tell)(void *context, const struct copy_job *job, const struct copy_outcome *outcome);
    void *context;
};

/* ERR_EXISTS: a file or statement has changed, and run->changed does not say what to do; ERR_NOT_FOUND: a file cannot be read; ERR_STOPPED; ERR_INVALID: what is wrong with a file, or a bad row of a table
 * with on_error = 'fail'; the errors of files and of the log. What was committed before a failure stays, and the next call goes on behind it. *failed: which of
 * the jobs it was; count: none of them alone. */
int copy_jobs_run(const struct copy_run *run, const struct copy_job *jobs, uint32_t count, uint32_t *failed, struct diag *diag);

#endif
