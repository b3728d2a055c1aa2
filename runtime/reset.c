/* reset.c: starts views anew, so that a crash at any moment leaves the old life or the new one (see
 * reset.h).
 *
 *   1. One transaction: a progress record with reset=true for each task of the chosen views, which
 *      says where it is to begin; and, where the output is a table whose rows are to go, a tombstone
 *      for each of them.
 *   2. Changelogs, repartition topics and stores are deleted. Rows of a stream that are to go are
 *      removed: its partitions then start where they end.
 *   3. A second transaction ends the reset: a task that begins at an offset gets a record that says
 *      so, the records of the others are deleted; the group's positions are set.
 *
 * A crash before 1 has changed nothing. After it the next start, or the next reset, finds the
 * records and does 2 and 3 again, which are the same when they are done twice.
 *
 * A stage that reads what another one writes, which is started anew as well, begins behind all that
 * is there in step 3: no row of the old life and none that takes one back is among the new ones. */
#include "runtime/reset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/base/io.h"
#include "runtime/commit_wait.h"
#include "runtime/store.h"

enum { READ_ROWS = 1024 };

/* ---- transactions ---- */

/* The record of a task; a tombstone of it. */
static int add_record(struct reset *reset, struct port_out *out, const struct progress *progress,
                      bool is_gone, struct diag *diag)
{
    struct buf key, value;
    buf_init(&key, 0);
    buf_init(&value, 0);
    progress_key(progress, &key);
    progress_encode(progress, &value);
    int rc = !buf_ok(&key) || !buf_ok(&value)
                 ? diag_set(diag, ERR_NOMEM, "no memory for a progress record")
                 : reset->port->ops->out_add(out, clock_wall_ms(), bytes_of(key.data, key.size),
                                             is_gone ? (struct bytes){NULL, 0}
                                                     : bytes_of(value.data, value.size),
                                             (struct bytes){NULL, 0}, 0, diag);
    buf_deinit(&key);
    buf_deinit(&value);
    return rc;
}

/* Runs step between the begin and the commit of a transaction that has an out for progress. */
static int in_transaction(struct reset *reset,
                          int (*step)(struct reset *, struct port_txn *, struct port_out *,
                                      struct diag *),
                          struct diag *diag)
{
    const struct port_ops *ops = reset->port->ops;
    struct port_out *out = NULL;
    struct port_txn *txn = NULL;
    char id[128];
    int64_t end;
    snprintf(id, sizeof id, "%s-0", reset->app); /* of the first worker: what it left is fenced */
    int rc = ops->out_open(reset->port, reset->progress_topic, 0, &out, diag);
    if (rc == 0)
        rc = ops->txn_open(reset->port, id, &txn, diag);
    if (rc == 0)
        rc = ops->txn_participate(txn, &out, 1, diag);
    if (rc == 0)
        rc = ops->txn_begin(txn, diag);
    if (rc == 0)
        rc = step(reset, txn, out, diag);
    if (rc == 0)
        rc = ops->txn_send(txn, out, &end, diag);
    if (rc == 0)
        rc = commit_and_wait(reset->port, txn, diag);
    ops->txn_close(txn);
    ops->out_close(out);
    return rc;
}

/* ---- 1: rows that are taken back ---- */

/* A tombstone for every row of a partition of a table: who reads it sees the old rows go. */
static int take_back_rows(struct reset *reset, struct port_txn *txn, struct port_reader *reader,
                          struct port_out *out, struct source_row *rows, struct diag *diag)
{
    const struct port_ops *ops = reset->port->ops;
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

static int take_back_partition(struct reset *reset, struct port_txn *txn, const char *topic,
                               int32_t partition, struct diag *diag)
{
    const struct port_ops *ops = reset->port->ops;
    struct port_range range;
    struct port_reader *reader = NULL;
    struct port_out *out = NULL;
    struct source_row *rows = malloc(READ_ROWS * sizeof *rows);
    int rc = rows == NULL ? diag_set(diag, ERR_NOMEM, "no memory to take rows back")
                          : ops->range(reset->port, topic, partition, &range, diag);
    if (rc == 0)
        rc = ops->reader_open(reset->port, topic, partition, range.start, &reader, diag);
    if (rc == 0)
        rc = ops->out_open(reset->port, topic, partition, &out, diag);
    if (rc == 0)
        rc = take_back_rows(reset, txn, reader, out, rows, diag);
    ops->out_close(out);
    ops->reader_close(reader);
    free(rows);
    return rc;
}

static int take_back_tables(struct reset *reset, struct port_txn *txn, struct diag *diag)
{
    for (uint32_t i = 0; i < reset->view_count; i++) {
        const struct reset_view *view = &reset->views[i];
        struct port_topic info;
        if (!view->is_chosen || !view->clears || !view->is_table ||
            reset->port->ops->topic_describe(reset->port, view->name, &info, NULL) < 0)
            continue;
        for (int32_t p = 0; p < info.partitions; p++)
            TRY(take_back_partition(reset, txn, view->name, p, diag));
    }
    return 0;
}

/* ---- 1: the records ---- */

static int view_of(const struct reset *reset, const struct progress *progress)
{
    char name[250];
    progress_view(progress, name);
    for (uint32_t i = 0; i < reset->view_count; i++)
        if (strcmp(reset->views[i].name, name) == 0)
            return (int)i;
    return -1;
}

static bool is_chosen(const struct reset *reset, const struct progress *progress)
{
    int view = view_of(reset, progress);
    return view >= 0 && reset->views[view].is_chosen;
}

/* Where a stage begins in a partition; of one that has no record there yet, too. */
static int mark_input(struct reset *reset, const struct reset_stage *stage, int32_t partition,
                      struct diag *diag)
{
    const struct reset_view *view = &reset->views[stage->view];
    const struct progress *old = progress_set_find(reset->set, stage->name, partition);
    struct progress mark = {.watermark_ms = TIME_NONE,
                            .max_event_ms = TIME_NONE,
                            .closed_before_ms = TIME_NONE,
                            .max_window_ms = TIME_NONE};
    if (old != NULL)
        TRY(progress_copy(&mark, old, diag));
    memcpy(mark.stage, stage->name, sizeof mark.stage);
    memcpy(mark.view, view->name, sizeof mark.view);
    memcpy(mark.input_id, stage->topic_id, sizeof mark.input_id);
    mark.partition = partition;
    mark.is_reset = true;
    mark.is_begin = mark.reads_partials = false;
    mark.is_table = view->is_table;
    mark.clears = view->clears && !view->is_table;
    mark.start = stage->start;
    mark.position = stage->start == START_AT_POSITION ? stage->inputs[partition].target : 0;
    int rc = progress_set_put(reset->set, &mark, diag);
    if (rc < 0)
        progress_deinit(&mark);
    return rc;
}

/* A topic that comes to a view twice (weir_merge) is read by two stages, which begin at the same place. */
static void begin_as_twin(const struct reset *reset, struct progress *item)
{
    int view = view_of(reset, item);
    for (uint32_t s = 0; item->is_reset && s < reset->stage_count; s++) {
        const struct reset_stage *stage = &reset->stages[s];
        if ((int)stage->view != view || item->partition >= stage->partitions ||
            memcmp(stage->topic_id, item->input_id, sizeof item->input_id) != 0)
            continue;
        item->start = stage->start;
        item->position =
            stage->start == START_AT_POSITION ? stage->inputs[item->partition].target : 0;
    }
}

/* In memory first: the transaction then writes what is there. */
static int mark_all(struct reset *reset, struct diag *diag)
{
    for (uint32_t i = 0; i < reset->set->count; i++) {
        struct progress *item = &reset->set->items[i];
        int view = view_of(reset, item);
        if (view < 0 || !reset->views[view].is_chosen)
            continue;
        memcpy(item->view, reset->views[view].name, sizeof item->view);
        item->is_reset = true;
        item->is_begin = false;
        item->start = START_AT_BEGINNING;
        item->is_table = reset->views[view].is_table;
        item->clears = reset->views[view].clears && !reset->views[view].is_table;
    }
    for (uint32_t s = 0; s < reset->stage_count; s++) {
        const struct reset_stage *stage = &reset->stages[s];
        bool is_needed = reset->views[stage->view].is_chosen && stage->start != START_AT_BEGINNING;
        for (int32_t p = 0; is_needed && p < stage->partitions; p++)
            TRY(mark_input(reset, stage, p, diag));
    }
    for (uint32_t i = 0; i < reset->set->count; i++)
        begin_as_twin(reset, &reset->set->items[i]);
    return 0;
}

static int begin_step(struct reset *reset, struct port_txn *txn, struct port_out *out,
                      struct diag *diag)
{
    TRY(take_back_tables(reset, txn, diag));
    for (uint32_t i = 0; i < reset->set->count; i++)
        if (is_chosen(reset, &reset->set->items[i]))
            TRY(add_record(reset, out, &reset->set->items[i], false, diag));
    return 0;
}

/* ---- 2: what lies around ---- */

struct forgetting {
    struct reset *reset;
    struct diag *diag;
};

static int forget_store(void *context, const char *stage, const char *changelog)
{
    const struct forgetting *forgetting = context;
    const struct reset *reset = forgetting->reset;
    struct port_topic info;
    int rc = reset->port->ops->topic_describe(reset->port, changelog, &info, NULL);
    if (rc == ERR_NOT_FOUND)
        return 0;
    TRY(rc);
    for (int32_t i = 0; i < info.partitions; i++) {
        rc = store_remove(reset->data, reset->app, stage, i, forgetting->diag);
        if (rc < 0 && rc != ERR_NOT_FOUND)
            return rc;
    }
    return reset->port->ops->topic_delete(reset->port, changelog, forgetting->diag);
}

static int forget_view(struct reset *reset, const char *view, struct diag *diag)
{
    const struct port_ops *ops = reset->port->ops;
    struct forgetting forgetting = {reset, diag};
    TRY(reset_each_store(reset, view, forget_store, &forgetting, diag));
    for (size_t i = 0; i < RESET_BETWEEN; i++) {
        char topic[400];
        struct port_topic info;
        snprintf(topic, sizeof topic, "%s-%s-%s", reset->app, view, reset_between[i]);
        int rc = ops->topic_describe(reset->port, topic, &info, NULL);
        if (rc == ERR_NOT_FOUND || (rc == 0 && !info.internal))
            continue;
        TRY(rc);
        TRY(ops->topic_delete(reset->port, topic, diag));
    }
    crash_point("reset_forgotten");
    return 0;
}

/* Records of a stream go as delete-records takes them: the partition starts behind them. */
static int clear_output(struct reset *reset, const char *topic, struct diag *diag)
{
    const struct port_ops *ops = reset->port->ops;
    struct port_topic info;
    struct port_range range;
    int rc = ops->topic_describe(reset->port, topic, &info, NULL);
    if (rc < 0)
        return rc == ERR_NOT_FOUND ? 0 : rc;
    for (int32_t p = 0; p < info.partitions; p++) {
        TRY(ops->settled_range(reset->port, topic, p, &range, diag));
        if (range.start < range.stable)
            TRY(ops->purge(reset->port, topic, p, range.stable, diag));
        crash_point("reset_cleared");
    }
    return 0;
}

/* The views whose reset is written down. */
static int choose_begun(struct reset *reset, struct diag *diag)
{
    for (uint32_t i = 0; i < reset->view_count; i++)
        reset->views[i].clears = false;
    for (uint32_t i = 0; i < reset->set->count; i++) {
        const struct progress *item = &reset->set->items[i];
        char name[250];
        if (!item->is_reset)
            continue;
        progress_view(item, name);
        int view = reset_add_view(reset, name, diag);
        TRY(view);
        reset->views[view].is_chosen = true;
        reset->views[view].clears |= item->clears;
    }
    return 0;
}

/* ---- 3: the end ---- */

/* Turns the record of a task into the one that it begins with, also at the beginning: so the next
 * reset knows of it. 0: it has none. position->offset -1: the group has none. */
static int make_begin(struct reset *reset, struct progress *item, struct port_position *position,
                      struct diag *diag)
{
    const struct port_ops *ops = reset->port->ops;
    struct port_range range = {.stable = -1};
    if (item->reads_partials ||
        ops->topic_name(reset->port, item->input_id, position->topic, NULL) < 0)
        return 0;
    if (item->start == START_BEHIND)
        TRY(ops->settled_range(reset->port, position->topic, item->partition, &range, diag));
    position->partition = item->partition;
    position->offset = item->start == START_AT_POSITION ? item->position : range.stable;
    struct progress begin = {.is_begin = true,
                             .is_table = item->is_table,
                             .partition = item->partition,
                             .position = position->offset,
                             .watermark_ms = TIME_NONE,
                             .max_event_ms = TIME_NONE,
                             .closed_before_ms = TIME_NONE,
                             .max_window_ms = TIME_NONE};
    memcpy(begin.stage, item->stage, sizeof begin.stage);
    memcpy(begin.view, item->view, sizeof begin.view);
    memcpy(begin.input_id, item->input_id, sizeof begin.input_id);
    progress_deinit(item);
    *item = begin;
    return 1;
}

static int end_step(struct reset *reset, struct port_txn *txn, struct port_out *out,
                    struct diag *diag)
{
    struct progress_set *set = reset->set;
    struct port_position *positions = calloc(set->count + 1, sizeof *positions);
    size_t position_count = 0;
    uint32_t kept = 0;
    int rc = positions != NULL ? 0 : diag_set(diag, ERR_NOMEM, "no memory for positions");
    for (uint32_t i = 0; i < set->count; i++) {
        struct progress *item = &set->items[i];
        bool is_gone = false;
        if (rc == 0 && item->is_reset) {
            rc = make_begin(reset, item, &positions[position_count], diag);
            position_count += rc > 0 && positions[position_count].offset >= 0;
            is_gone = rc == 0;
            rc = rc < 0 ? rc : add_record(reset, out, item, is_gone, diag);
        }
        if (is_gone)
            progress_deinit(item);
        else
            set->items[kept++] = *item;
    }
    set->count = kept;
    if (rc == 0 && position_count > 0)
        rc = reset->port->ops->txn_positions(txn, reset->app, positions, position_count, diag);
    free(positions);
    return rc;
}

static bool any_begun(const struct reset *reset)
{
    for (uint32_t i = 0; i < reset->set->count; i++)
        if (reset->set->items[i].is_reset)
            return true;
    return false;
}

int reset_finish(struct reset *reset, struct diag *diag)
{
    TRY(choose_begun(reset, diag));
    for (uint32_t i = 0; i < reset->view_count; i++) {
        if (!reset->views[i].is_chosen)
            continue;
        TRY(forget_view(reset, reset->views[i].name, diag));
        if (reset->views[i].clears)
            TRY(clear_output(reset, reset->views[i].name, diag));
    }
    crash_point("reset_before_end");
    if (any_begun(reset))
        TRY(in_transaction(reset, end_step, diag));
    crash_point("reset_ended");
    return 0;
}

int reset_execute(struct reset *reset, struct diag *diag)
{
    crash_point("reset_before");
    TRY(mark_all(reset, diag));
    if (any_begun(reset)) {
        TRY(in_transaction(reset, begin_step, diag));
        crash_point("reset_begun");
    }
    return reset_finish(reset, diag);
}
