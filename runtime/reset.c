/* reset.c: what the progress topic says at the start, and starting a stage anew.
 *
 * A reset deletes internal topics and stores, which cannot be one transaction. So it is written
 * down first: a progress record with reset=true for each task, in one transaction. Then topics and
 * stores go, and a second transaction removes the records. A crash in between finds them at the
 * next start and deletes again; once they are gone the stages are as if they had never run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/run.h"

enum { READ_ROWS = 1024 };

static int read_rows(struct run *run, struct progress_set *set, struct port_reader *reader,
                     struct source_row *rows, struct diag *diag)
{
    for (;;) {
        uint32_t count;
        int64_t next;
        TRY(run->port->ops->reader_read(reader, rows, READ_ROWS, &count, &next, diag));
        for (uint32_t i = 0; i < count; i++)
            TRY(progress_set_apply(set, rows[i].key, rows[i].value, diag));
        if (next == set->next_offset)
            return 0;
        set->next_offset = next;
    }
}

/* No progress topic: either the app never ran, or somebody deleted it, and starting over would give
 * every row a second time. The group's positions in the log's metadata tell which. */
static int check_never_ran(struct run *run, struct diag *diag)
{
    const struct port_ops *ops = run->port->ops;
    for (uint32_t i = 0; i < run->plan->view_count && !run->app->options.from_beginning; i++) {
        const char *topic = run->plan->views[i].source->text;
        struct port_topic info;
        if (ops->topic_describe(run->port, topic, &info, NULL) < 0)
            continue;
        for (int32_t p = 0; p < info.partitions; p++) {
            int64_t offset;
            TRY(ops->position(run->port, run->app->name, topic, p, &offset, diag));
            if (offset >= 0)
                return diag_set(diag, ERR_STATE,
                                "group %s has read %s-%d up to offset %lld, but the topic %s, "
                                "which says what came of it, is missing. "
                                "Start the app anew with from_beginning, or under another name",
                                run->app->name, topic, (int)p, (long long)offset,
                                run->plan->progress_topic);
        }
    }
    return 0;
}

int run_load_progress(struct run *run, struct progress_set *set, struct diag *diag)
{
    const struct port_ops *ops = run->port->ops;
    struct port_reader *reader;
    struct port_range range;
    TRY(ops->range(run->port, run->plan->progress_topic, 0, &range, diag));
    set->next_offset = range.start;
    TRY(ops->reader_open(run->port, run->plan->progress_topic, 0, range.start, &reader, diag));
    struct source_row *rows = malloc(READ_ROWS * sizeof *rows);
    int rc = rows != NULL ? read_rows(run, set, reader, rows, diag)
                          : diag_set(diag, ERR_NOMEM, "no memory to read progress");
    free(rows);
    ops->reader_close(reader);
    return rc;
}

int run_read_progress(struct run *run, struct diag *diag)
{
    struct port_topic info;
    progress_set_deinit(&run->progress);
    int rc = run->port->ops->topic_describe(run->port, run->plan->progress_topic, &info, NULL);
    if (rc == ERR_NOT_FOUND)
        return check_never_ran(run, diag);
    TRY(rc);
    return run_load_progress(run, &run->progress, diag);
}

/* The view of this plan that a record is of, by its number; -1: none. A stage is named after its
 * view's topic, or that with -repartition. */
static int view_of_record(const struct run *run, const struct progress *progress)
{
    for (uint32_t i = 0; i < run->plan->view_count; i++) {
        const char *topic = run->plan->views[i].sink->topic;
        size_t size = strlen(topic);
        if (strncmp(progress->stage, topic, size) == 0 &&
            (progress->stage[size] == '\0' || strcmp(progress->stage + size, "-repartition") == 0))
            return (int)i;
    }
    return -1;
}

static bool is_ours(const struct run *run, const struct progress *progress)
{
    int view = view_of_record(run, progress);
    return view >= 0 && run->resets[view];
}

static int add_reset(struct run *run, struct port_out *out, const struct progress *old,
                     bool is_over, struct diag *diag)
{
    struct progress reset = {.partition = old->partition,
                             .is_reset = true,
                             .watermark_ms = TIME_NONE,
                             .max_event_ms = TIME_NONE,
                             .closed_before_ms = TIME_NONE,
                             .max_window_ms = TIME_NONE};
    struct buf key, value;
    memcpy(reset.stage, old->stage, sizeof reset.stage);
    buf_init(&key, 0);
    buf_init(&value, 0);
    progress_key(&reset, &key);
    progress_encode(&reset, &value);
    int rc = !buf_ok(&key) || !buf_ok(&value)
                 ? diag_set(diag, ERR_NOMEM, "no memory for a progress record")
                 : run->port->ops->out_add(out, clock_wall_ms(), bytes_of(key.data, key.size),
                                           is_over ? (struct bytes){NULL, 0}
                                                   : bytes_of(value.data, value.size),
                                           (struct bytes){NULL, 0}, 0, diag);
    buf_deinit(&key);
    buf_deinit(&value);
    return rc;
}

struct decision {
    struct waker waker;
    atomic_int code;
};
static void decided(void *context, int code)
{
    struct decision *decision = context;
    waker_answer(&decision->waker, &decision->code, code < 0 ? code : 0);
}

static int commit_and_wait(struct run *run, struct port_txn *txn, struct diag *diag)
{
    struct decision decision;
    waker_init(&decision.waker);
    atomic_init(&decision.code, COMMIT_PENDING);
    int rc = run->port->ops->txn_commit(txn, decided, &decision, diag);
    while (rc == 0 && atomic_load(&decision.code) == COMMIT_PENDING)
        waker_wait(&decision.waker, 1000);
    if (rc == 0)
        rc = atomic_load(&decision.code);
    waker_deinit(&decision.waker);
    return rc;
}

/* A tombstone for every row of a partition of a table: who reads it sees the old rows go. */
static int take_back_rows(struct run *run, struct port_txn *txn, struct port_reader *reader,
                          struct port_out *out, struct source_row *rows, struct diag *diag)
{
    const struct port_ops *ops = run->port->ops;
    const struct bytes none = {NULL, 0};
    int64_t next = -1, before, end;
    for (;;) {
        uint32_t count;
        before = next;
        TRY(ops->reader_read(reader, rows, READ_ROWS, &count, &next, diag));
        for (uint32_t i = 0; i < count; i++)
            if (rows[i].value.data != NULL)
                TRY(ops->out_add(out, clock_wall_ms(), rows[i].key, none, none, 0, diag));
        if (ops->out_records(out) > 0)
            TRY(ops->txn_send(txn, out, &end, diag));
        if (count == 0 && next == before)
            return 0;
    }
}

static int take_back_partition(struct run *run, struct port_txn *txn, const char *topic,
                               int32_t partition, struct diag *diag)
{
    const struct port_ops *ops = run->port->ops;
    struct port_range range;
    struct port_reader *reader = NULL;
    struct port_out *out = NULL;
    struct source_row *rows = malloc(READ_ROWS * sizeof *rows);
    int rc = rows == NULL ? diag_set(diag, ERR_NOMEM, "no memory to take rows back")
                          : ops->range(run->port, topic, partition, &range, diag);
    if (rc == 0)
        rc = ops->reader_open(run->port, topic, partition, range.start, &reader, diag);
    if (rc == 0)
        rc = ops->out_open(run->port, topic, partition, &out, diag);
    if (rc == 0)
        rc = take_back_rows(run, txn, reader, out, rows, diag);
    ops->out_close(out);
    ops->reader_close(reader);
    free(rows);
    return rc;
}

/* The rows of the old plan, where a table is rebuilt under another one. */
static int take_back_tables(struct run *run, struct port_txn *txn, struct diag *diag)
{
    for (uint32_t i = 0; i < run->plan->view_count; i++) {
        const char *topic = run->plan->views[i].sink->topic;
        struct port_topic info;
        if (run->evolutions[i].change != WEIR_CHANGE_REBUILD || !run->evolutions[i].takes_back ||
            run->app->options.from_beginning ||
            run->port->ops->topic_describe(run->port, topic, &info, NULL) < 0)
            continue;
        for (int32_t p = 0; p < info.partitions; p++)
            TRY(take_back_partition(run, txn, topic, p, diag));
    }
    return 0;
}

static int write_transaction(struct run *run, struct port_txn *txn, struct port_out *out,
                             bool is_over, struct diag *diag)
{
    const struct port_ops *ops = run->port->ops;
    int64_t end;
    TRY(ops->txn_participate(txn, &out, 1, diag));
    TRY(ops->txn_begin(txn, diag));
    if (!is_over)
        TRY(take_back_tables(run, txn, diag));
    TRY(ops->txn_send(txn, out, &end, diag));
    return commit_and_wait(run, txn, diag);
}

/* The records that a reset has begun (reset=true; with them go the rows that are taken back), or that
 * it is over (tombstones). */
static int write_resets(struct run *run, bool is_over, struct diag *diag)
{
    const struct port_ops *ops = run->port->ops;
    struct port_out *out = NULL;
    struct port_txn *txn = NULL;
    char id[128];
    snprintf(id, sizeof id, "%s-0", run->app->name);
    int rc = ops->out_open(run->port, run->plan->progress_topic, 0, &out, diag);
    for (uint32_t i = 0; rc == 0 && i < run->progress.count; i++)
        if (is_ours(run, &run->progress.items[i]))
            rc = add_reset(run, out, &run->progress.items[i], is_over, diag);
    if (rc == 0 && ops->out_records(out) > 0) {
        rc = ops->txn_open(run->port, id, &txn, diag);
        if (rc == 0)
            rc = write_transaction(run, txn, out, is_over, diag);
    }
    ops->txn_close(txn);
    ops->out_close(out);
    return rc;
}

static int forget_state(struct run *run, const struct view *view, int32_t partitions,
                        struct diag *diag)
{
    struct stage stage = {.view = view};
    snprintf(stage.name, sizeof stage.name, "%s", view->sink->topic);
    for (int32_t i = 0; i < partitions; i++) {
        int rc = store_remove(run->plan, &stage, i, diag);
        if (rc < 0 && rc != ERR_NOT_FOUND)
            return rc;
    }
    return 0;
}

static int forget_view(struct run *run, const struct view *view, struct diag *diag)
{
    static const char *const kinds[] = {"changelog", "repartition"};
    const struct port_ops *ops = run->port->ops;
    for (size_t i = 0; i < 2; i++) {
        char topic[TOPIC_NAME_BYTES];
        struct port_topic info;
        snprintf(topic, sizeof topic, "%s-%s-%s", run->app->name, view->sink->topic, kinds[i]);
        int rc = ops->topic_describe(run->port, topic, &info, NULL);
        if (rc == ERR_NOT_FOUND)
            continue;
        TRY(rc);
        if (i == 0)
            TRY(forget_state(run, view, info.partitions, diag));
        TRY(ops->topic_delete(run->port, topic, diag));
    }
    return 0;
}

/* All of them; or those whose reset was begun and not ended; or those that must be rebuilt. */
static bool choose_views(struct run *run)
{
    bool any = false;
    for (uint32_t i = 0; i < run->plan->view_count; i++)
        run->resets[i] =
            run->app->options.from_beginning || run->evolutions[i].change == WEIR_CHANGE_REBUILD;
    for (uint32_t i = 0; i < run->progress.count; i++) {
        int view = view_of_record(run, &run->progress.items[i]);
        if (view >= 0 && run->progress.items[i].is_reset)
            run->resets[view] = true;
    }
    for (uint32_t i = 0; i < run->plan->view_count; i++)
        any |= run->resets[i];
    return any;
}

static int reset_views(struct run *run, struct diag *diag)
{
    struct port_topic info;
    bool has_progress =
        run->port->ops->topic_describe(run->port, run->plan->progress_topic, &info, NULL) == 0;
    if (has_progress)
        TRY(write_resets(run, false, diag));
    for (uint32_t i = 0; i < run->plan->view_count; i++)
        if (run->resets[i])
            TRY(forget_view(run, &run->plan->views[i], diag));
    if (has_progress)
        TRY(write_resets(run, true, diag));
    uint32_t kept = 0;
    for (uint32_t i = 0; i < run->progress.count; i++) {
        if (is_ours(run, &run->progress.items[i]))
            progress_deinit(&run->progress.items[i]);
        else
            run->progress.items[kept++] = run->progress.items[i];
    }
    run->progress.count = kept;
    return 0;
}

int run_reset(struct run *run, struct diag *diag)
{
    run->resets = calloc(run->plan->view_count + 1, sizeof *run->resets);
    if (run->resets == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for the plan");
    return choose_views(run) ? reset_views(run, diag) : 0;
}
