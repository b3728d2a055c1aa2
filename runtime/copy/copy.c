/* copy.c: COPY … FROM, exactly once (see copy.h).
 *
 *   1. What the progress topic says of each job is read: its mark (copy_mark.h).
 *   2. Topics that are missing are made.
 *   3. A job whose mark is not that of a finished copy is copied: rows are encoded until there is enough for a transaction, which holds
 *      them, their dead letters and the mark with the place in the file behind them.
 *
 * A crash leaves the file's rows up to a mark, or none, and the next run goes on behind it, after it has looked whether the bytes before that place are still those which were
 * copied. A mark counts for the topic of its id alone: rows go with their topic, and are then copied anew.
 *
 * A file that is another one than when it was copied is no failure of anybody's, and nothing that may be decided without being asked: its rows are in the topic, and others have
 * been made of them. So a run ends there with what has changed, unless it was told what to do about it. */
#include "runtime/copy/copy_rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/base/clock.h"
#include "runtime/base/io.h"
#include "runtime/commit_wait.h"
#include "runtime/topic_use.h"

enum { READ_ROWS = 1024, COMMIT_ROWS = 20000, COMMIT_BYTES = 8 << 20 };

/* One job on its way. */
struct copying {
    const struct copy_job *job;
    bool is_topic_there;
    struct port_topic topic;
    struct copy_mark mark;
    struct copy_file *file; /* NULL: it cannot be read, and need not be */
    struct copy_outcome outcome;
    char reason[256];
};

/* A call of copy_jobs_run. */
struct copier {
    const struct copy_run *run;
    struct port *port;
    char progress_topic[TOPIC_NAME_BYTES];
    struct copying *jobs;
    uint32_t count;
    struct port_txn *txn;
    struct port_out *marks;
    uint32_t *at; /* the job that is worked on */
    struct diag *diag;
};

/* ---- marks ---- */

static int take_mark(struct copier *copier, struct bytes key, struct bytes value)
{
    struct buf own;
    int rc = 0;
    if (!copy_mark_is_key(key))
        return 0;
    buf_init(&own, 0);
    for (uint32_t i = 0; rc == 0 && i < copier->count; i++) {
        buf_clear(&own);
        copy_mark_key(&own, copier->jobs[i].job->topic, copier->jobs[i].job->file);
        if (!buf_ok(&own))
            rc = diag_set(copier->diag, ERR_NOMEM, "no memory for the mark of a COPY");
        else if (bytes_equal(bytes_of(own.data, own.size), key))
            rc = copy_mark_decode(key, value, &copier->jobs[i].mark, copier->diag);
    }
    buf_deinit(&own);
    return rc;
}

static int take_marks(struct copier *copier, struct port_reader *reader, struct source_row *rows)
{
    int64_t next = -1, before;
    uint32_t count;
    do {
        before = next;
        TRY(copier->port->ops->reader_read(reader, rows, READ_ROWS, &count, &next, copier->diag));
        for (uint32_t i = 0; i < count; i++)
            TRY(take_mark(copier, rows[i].key, rows[i].value));
    } while (count > 0 || next != before);
    return 0;
}

static int read_marks(struct copier *copier)
{
    const struct port_ops *ops = copier->port->ops;
    struct port_topic info;
    struct port_range range;
    struct port_reader *reader = NULL;
    int rc = ops->topic_describe(copier->port, copier->progress_topic, &info, NULL);
    if (rc == ERR_NOT_FOUND)
        return 0;
    TRY(ops->range(copier->port, copier->progress_topic, 0, &range, copier->diag));
    TRY(ops->reader_open(copier->port, copier->progress_topic, 0, range.start, &reader,
                         copier->diag));
    struct source_row *rows = malloc(READ_ROWS * sizeof *rows);
    rc = rows == NULL ? diag_set(copier->diag, ERR_NOMEM, "no memory to read progress")
                      : take_marks(copier, reader, rows);
    free(rows);
    ops->reader_close(reader);
    return rc;
}

/* ---- what is to be done ---- */

static int describe_topic(struct copier *copier, struct copying *copying)
{
    const struct copy_job *job = copying->job;
    int rc = copier->port->ops->topic_describe(copier->port, job->topic, &copying->topic, NULL);
    copying->is_topic_there = rc == 0;
    if (rc < 0 && rc != ERR_NOT_FOUND)
        return diag_set(copier->diag, rc, "cannot look at topic %s", job->topic);
    if (rc == 0 && memcmp(copying->mark.topic_id, copying->topic.id, sizeof copying->topic.id) == 0)
        return 0;
    copying->mark = (struct copy_mark){.is_there = false};
    return 0;
}

/* A finished copy's file: whether its bytes are still the same. */
static int compare_file(struct copier *copier, struct copying *copying)
{
    const struct copy_mark *mark = &copying->mark;
    struct copy_stamp stamp = copy_file_stamp(copying->file);
    struct hash128 hash;
    if (copy_stamp_equal(stamp, mark->stamp))
        return 0;
    if (stamp.size == mark->stamp.size) {
        TRY(copy_file_hash_all(copying->file, &hash, copier->diag));
        if (hash.low == mark->hash.low && hash.high == mark->hash.high)
            return 0;
    }
    snprintf(copying->reason, sizeof copying->reason,
             "its file has changed since it was copied: it had %" PRId64 " bytes, and has %" PRId64
             "%s",
             mark->stamp.size, stamp.size, stamp.size == mark->stamp.size ? " others" : "");
    return 0;
}

/* A copy that was interrupted goes on where it was, in the same file. */
static int resume_file(struct copier *copier, struct copying *copying)
{
    const struct copy_mark *mark = &copying->mark;
    struct diag why = {0};
    int rc = copy_file_resume(copying->file, mark->position, mark->lines, mark->hash, &why);
    if (rc != ERR_STATE)
        return rc < 0 ? diag_set(copier->diag, rc, "%s", why.text) : 0;
    snprintf(copying->reason, sizeof copying->reason,
             "its file has changed while it was copied, after line %" PRId64, mark->lines);
    return 0;
}

/* Sets `reason` when the mark is not of what would be copied now. */
static int compare(struct copier *copier, struct copying *copying)
{
    const struct copy_mark *mark = &copying->mark;
    if (!mark->is_there)
        return 0;
    if (mark->meaning != copying->job->meaning) {
        snprintf(copying->reason, sizeof copying->reason,
                 "the statement has changed since its file was copied");
        return 0;
    }
    return mark->is_done ? compare_file(copier, copying) : resume_file(copier, copying);
}

/* From the file's beginning, whatever the mark says. */
static int begin_anew(struct copier *copier, struct copying *copying)
{
    copying->mark = (struct copy_mark){
        .time_ms = copying->job->is_table && !copying->mark.is_there ? 0 : clock_wall_ms()};
    copy_file_close(copying->file);
    copying->file = NULL;
    return copier->run->mode == COPY_WRITE
               ? copy_file_open(copying->job->path, &copying->file, copier->diag)
               : 0;
}

static int settle_change(struct copier *copier, struct copying *copying)
{
    struct copy_outcome *outcome = &copying->outcome;
    switch (copier->run->changed) {
    case COPY_CHANGED_AGAIN:
        *outcome = (struct copy_outcome){.state = COPY_STATE_DUE, .reason = copying->reason};
        return begin_anew(copier, copying);
    case COPY_CHANGED_STAYS:
        *outcome = (struct copy_outcome){COPY_STATE_KEPT, copying->mark.rows, copying->mark.dead,
                                         copying->reason};
        return 0;
    default:
        return diag_set(copier->diag, ERR_EXISTS, "%s", copying->reason);
    }
}

static int decide(struct copier *copier, struct copying *copying)
{
    const struct copy_mark *mark = &copying->mark;
    struct diag why = {0};
    TRY(describe_topic(copier, copying));
    int rc = copy_file_open(copying->job->path, &copying->file, &why);
    if (rc < 0 && !mark->is_done)
        return diag_set(copier->diag, rc == ERR_NOMEM ? rc : ERR_NOT_FOUND, "%s", why.text);
    if (copying->file != NULL)
        TRY(compare(copier, copying));
    copying->outcome = (struct copy_outcome){mark->is_done ? COPY_STATE_DONE : COPY_STATE_DUE,
                                             mark->rows, mark->dead, NULL};
    if (copying->reason[0] != '\0') {
        TRY(settle_change(copier, copying));
    } else if (!mark->is_there) {
        TRY(begin_anew(copier, copying));
    }
    return 0;
}

/* ---- topics ---- */

static int check_topic(struct copier *copier, const struct copying *copying, const char *field)
{
    const struct copy_job *job = copying->job;
    const struct port_topic *topic = &copying->topic;
    if (job->partitions > 0 && topic->partitions != job->partitions)
        return diag_set(copier->diag, ERR_STATE, "topic %s has %d partition%s, and %s says %d",
                        job->topic, (int)topic->partitions, topic->partitions == 1 ? "" : "s",
                        job->name, (int)job->partitions);
    if (topic->partitioned_by[0] != '\0' &&
        (field == NULL || strcmp(topic->partitioned_by, field) != 0))
        return diag_set(
            copier->diag, ERR_STATE,
            "records of topic %s lie by their field %s, and those of COPY %s would not: "
            "declare the table with partitioned_by",
            job->topic, topic->partitioned_by, job->name);
    return 0;
}

static int ensure_topic(struct copier *copier, struct copying *copying)
{
    const struct copy_job *job = copying->job;
    struct weir_output_options output = {.retention_ms = job->retention_ms};
    struct plan *plan = NULL;
    int32_t partitions = copier->run->new_partitions > 0 ? copier->run->new_partitions : 1;
    TRY(plan_compile(job->app, &plan, copier->diag));
    const char *field = job->partitioned_by;
    if (field == NULL && !job->passes_rows)
        field = plan->views[0].rekey_field;
    int rc = topic_ensure(
        copier->port, job->topic, job->partitions > 0 ? job->partitions : partitions,
        job->is_table ? USE_TABLE : USE_STREAM, field, &output, &copying->topic, copier->diag);
    if (rc == 0)
        rc = check_topic(copier, copying, field);
    plan_destroy(plan);
    return rc;
}

/* ---- transactions ---- */

static int participate(struct copier *copier, struct copy_rows *rows)
{
    struct port_out **outs = malloc(((size_t)rows->partitions + 2) * sizeof *outs);
    size_t count = 0;
    if (outs == NULL)
        return diag_set(copier->diag, ERR_NOMEM, "no memory to copy");
    for (int32_t p = 0; p < rows->partitions; p++)
        outs[count++] = rows->outs[p];
    if (rows->dead != NULL)
        outs[count++] = rows->dead;
    outs[count++] = copier->marks;
    int rc = copier->port->ops->txn_participate(copier->txn, outs, count, copier->diag);
    free(outs);
    rows->outs_changed = rc < 0;
    return rc;
}

static int send_if_any(struct copier *copier, struct port_out *out)
{
    int64_t end;
    if (out == NULL || copier->port->ops->out_records(out) == 0)
        return 0;
    return copier->port->ops->txn_send(copier->txn, out, &end, copier->diag);
}

/* The mark of the rows that the transaction holds. */
static int send_mark(struct copier *copier, struct copying *copying)
{
    struct buf key, value;
    buf_init(&key, 0);
    buf_init(&value, 0);
    copy_mark_key(&key, copying->job->topic, copying->job->file);
    copy_mark_encode(&value, &copying->mark);
    int rc = !buf_ok(&key) || !buf_ok(&value)
                 ? diag_set(copier->diag, ERR_NOMEM, "no memory for the mark of a COPY")
                 : copier->port->ops->out_add(
                       copier->marks, clock_wall_ms(), bytes_of(key.data, key.size),
                       bytes_of(value.data, value.size), (struct bytes){NULL, 0}, 0, copier->diag);
    buf_deinit(&key);
    buf_deinit(&value);
    return rc < 0 ? rc : send_if_any(copier, copier->marks);
}

static int make_mark(struct copier *copier, struct copying *copying, const struct copy_rows *rows,
                     bool is_done)
{
    struct copy_mark *mark = &copying->mark;
    mark->is_there = true;
    mark->is_done = is_done;
    memcpy(mark->topic_id, copying->topic.id, sizeof mark->topic_id);
    mark->meaning = copying->job->meaning;
    mark->stamp = copy_file_stamp(copying->file);
    mark->hash = copy_file_hash(copying->file);
    mark->position = copy_file_position(copying->file);
    mark->lines = copy_file_lines(copying->file);
    mark->rows = rows->rows;
    mark->dead = rows->bad_rows;
    if (!is_done || mark->position == mark->stamp.size)
        return 0;
    mark->position = mark->stamp.size; /* \. ended it before its end */
    return copy_file_hash_all(copying->file, &mark->hash, copier->diag);
}

static int commit(struct copier *copier, struct copying *copying, struct copy_rows *rows,
                  bool is_done)
{
    TRY(make_mark(copier, copying, rows, is_done));
    if (rows->outs_changed)
        TRY(participate(copier, rows));
    crash_point("copy_before_append");
    TRY(copier->port->ops->txn_begin(copier->txn, copier->diag));
    for (int32_t p = 0; p < rows->partitions; p++)
        TRY(send_if_any(copier, rows->outs[p]));
    crash_point("copy_written");
    TRY(send_if_any(copier, rows->dead));
    TRY(send_mark(copier, copying));
    crash_point("copy_marked");
    TRY(commit_and_wait(copier->port, copier->txn, copier->diag));
    crash_point("copy_committed");
    rows->pending_bytes = 0;
    return 0;
}

/* ---- copying ---- */

/* The first row is no row. HEADER MATCH: it has the columns' names. */
static int pass_header(struct copier *copier, struct copying *copying, const struct copy_row *row)
{
    const struct copy_syntax *syntax = &copying->job->syntax;
    struct copy_problem problem;
    struct arena arena;
    if (syntax->header == COPY_HEADER_SKIPPED)
        return 0;
    arena_init(&arena, 0);
    struct bytes *fields = arena_alloc(&arena, (syntax->column_count + 1) * sizeof *fields);
    int rc =
        fields != NULL ? copy_row_fields(syntax, row->text, &arena, fields, &problem) : ERR_NOMEM;
    if (rc == ERR_INVALID)
        diag_set(copier->diag, rc, "%s: the header: %s", copying->job->path, problem.message);
    for (uint32_t c = 0; rc == 0 && c < syntax->column_count; c++)
        if (fields[c].data == NULL || !bytes_equal(fields[c], bytes_text(syntax->column_names[c])))
            rc = diag_set(copier->diag, ERR_INVALID,
                          "%s: column %u of the header is \"%.*s\", and \"%s\" is copied",
                          copying->job->path, c + 1,
                          (int)(fields[c].size < 60 ? fields[c].size : 60),
                          fields[c].data != NULL ? (const char *)fields[c].data : "",
                          syntax->column_names[c]);
    arena_deinit(&arena);
    return rc == ERR_NOMEM ? diag_set(copier->diag, rc, "no memory to copy") : rc;
}

/* Lines of JSON without anything in them are no rows. */
static uint32_t drop_blank(const struct copy_syntax *syntax, struct copy_row *rows, uint32_t count)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        bool is_blank = syntax->format == COPY_JSON;
        for (size_t at = 0; is_blank && at < rows[i].text.size; at++)
            is_blank = strchr(" \t\r", rows[i].text.data[at]) != NULL && rows[i].text.data[at] != 0;
        if (!is_blank)
            rows[kept++] = rows[i];
    }
    return kept;
}

static int copy_rows(struct copier *copier, struct copying *copying, struct copy_rows *to,
                     struct copy_row *rows)
{
    const struct copy_syntax *syntax = &copying->job->syntax;
    const struct copy_run *run = copier->run;
    bool has_header = syntax->header != COPY_HEADER_NONE && copying->mark.position == 0;
    int64_t committed = to->rows + to->bad_rows;
    uint32_t count;
    do {
        if (run->is_stopped != NULL && run->is_stopped(run->context))
            return diag_set(copier->diag, ERR_STOPPED, "stopped while %s was copied",
                            copying->job->path);
        TRY(copy_file_read(copying->file, syntax, rows, BATCH_ROWS, &count, copier->diag));
        uint32_t first = has_header && count > 0;
        if (first > 0)
            TRY(pass_header(copier, copying, &rows[0]));
        has_header = has_header && count == 0;
        uint32_t kept = drop_blank(syntax, rows + first, count - first);
        if (kept > 0)
            TRY(copy_rows_add(to, rows + first, kept, copier->diag));
        bool is_enough =
            to->rows + to->bad_rows - committed >= COMMIT_ROWS || to->pending_bytes >= COMMIT_BYTES;
        if (count == 0 || is_enough)
            TRY(commit(copier, copying, to, count == 0));
        if (is_enough)
            committed = to->rows + to->bad_rows;
    } while (count > 0);
    return 0;
}

static int write_job(struct copier *copier, struct copying *copying)
{
    struct copy_rows to;
    struct copy_row *rows = malloc(BATCH_ROWS * sizeof *rows);
    int rc = rows == NULL ? diag_set(copier->diag, ERR_NOMEM, "no memory to copy")
                          : copy_rows_open(&to, copying->job, copier->port,
                                           copying->topic.partitions, copier->diag);
    if (rows == NULL)
        return rc;
    to.rows = copying->mark.rows;
    to.bad_rows = copying->mark.dead;
    to.time_ms = copying->mark.time_ms;
    if (rc == 0)
        rc = copy_rows(copier, copying, &to, rows);
    if (rc == 0)
        copying->outcome = (struct copy_outcome){COPY_STATE_WRITTEN, to.rows, to.bad_rows,
                                                 copying->outcome.reason};
    copy_rows_close(&to);
    free(rows);
    return rc;
}

/* The writer is opened with the first job that writes: what an earlier one left is aborted. */
static int open_writer(struct copier *copier)
{
    const struct port_ops *ops = copier->port->ops;
    struct port_topic info;
    char id[128];
    if (copier->txn != NULL)
        return 0;
    TRY(topic_ensure(copier->port, copier->progress_topic, 1, USE_PROGRESS, NULL, NULL, &info,
                     copier->diag));
    TRY(ops->out_open(copier->port, copier->progress_topic, 0, &copier->marks, copier->diag));
    snprintf(id, sizeof id, "%s-copy", copier->jobs[0].job->app->name);
    return ops->txn_open(copier->port, id, &copier->txn, copier->diag);
}

static int run_job(struct copier *copier, struct copying *copying)
{
    const struct copy_run *run = copier->run;
    bool is_due = copying->outcome.state == COPY_STATE_DUE;
    if (is_due && run->mode != COPY_LOOK)
        TRY(ensure_topic(copier, copying));
    if (is_due && run->mode == COPY_WRITE) {
        TRY(open_writer(copier));
        TRY(write_job(copier, copying));
    }
    if (run->tell != NULL)
        run->tell(run->context, copying->job, &copying->outcome);
    return 0;
}

static int run_jobs(struct copier *copier)
{
    TRY(read_marks(copier));
    /* What is wrong with one is told before any is written. */
    for (*copier->at = 0; *copier->at < copier->count; ++*copier->at)
        TRY(decide(copier, &copier->jobs[*copier->at]));
    for (*copier->at = 0; *copier->at < copier->count; ++*copier->at)
        TRY(run_job(copier, &copier->jobs[*copier->at]));
    return 0;
}

static int open_port(struct copier *copier, const weir_app *app)
{
    const weir_options *options = &app->options;
    struct port_log_options log = {.os_durability = options->durability == WEIR_DURABILITY_OS,
                                   .keeper_interval_ms = -1,
                                   .must_exist = copier->run->mode == COPY_LOOK};
    return options->log != NULL
               ? port_log_share(options->log, app->name, &copier->port, copier->diag)
               : port_log_open(app->data, &log, &copier->port, copier->diag);
}

int copy_jobs_run(const struct copy_run *run, const struct copy_job *jobs, uint32_t count,
                  uint32_t *failed, struct diag *diag)
{
    struct copier copier = {.run = run, .count = count, .at = failed, .diag = diag};
    *failed = count;
    if (count == 0)
        return 0;
    copier.jobs = calloc(count, sizeof *copier.jobs);
    if (copier.jobs == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory to copy");
    for (uint32_t i = 0; i < count; i++)
        copier.jobs[i].job = &jobs[i];
    snprintf(copier.progress_topic, sizeof copier.progress_topic, "%s-progress", jobs[0].app->name);
    int rc = open_port(&copier, jobs[0].app);
    if (rc == 0)
        rc = run_jobs(&copier);
    for (uint32_t i = 0; i < count; i++)
        copy_file_close(copier.jobs[i].file);
    free(copier.jobs);
    if (copier.port == NULL)
        return rc;
    copier.port->ops->txn_close(copier.txn);
    copier.port->ops->out_close(copier.marks);
    copier.port->ops->close(copier.port);
    return rc;
}
