/* task_cut.c: a task's part in the cuts of its joins (join_cut.h): which it has to follow, and which it leaves.
 *
 * Following. While there is a cut ahead, tables are read only where cuts say so: a cut whose offset
 * the stream has reached is due, and the stream is not read past the next one's. So a stage that was
 * started anew goes through the same order as the runs before it, however they ended and whichever
 * way this one runs. Behind the last cut it is on its own again.
 *
 * Leaving. A commit that has read tables on by itself leaves one cut: where the stream was when
 * it did, and where the tables are now. Reading by time goes on over many commits; they write over
 * the same cut, whose end moves along. */
#include <stdlib.h>
#include <string.h>

#include "runtime/join_cut.h"
#include "runtime/task.h"

/* ---- what the topic holds ---- */

/* A cut that the task has come by already is kept for its offset alone. */
static int take(struct task *task, const struct join_cut *cut, bool is_ahead, struct diag *diag)
{
    struct cut_step step = {
        .offset = cut->offset, .end = cut->end, .by_time = cut->by_time, .positions = NULL};
    if (is_ahead) {
        step.positions = malloc((2 * (size_t)cut->table_count + 1) * sizeof *step.positions);
        if (step.positions == NULL)
            return diag_set(diag, ERR_NOMEM, "no memory for a join's cuts");
        for (uint32_t i = 0; i < cut->table_count; i++)
            step.positions[i] = cut->tables[i].position;
        if (cut->by_time)
            memcpy(step.positions + cut->table_count, cut->begins,
                   cut->table_count * sizeof *cut->begins);
    }
    TRY(join_cuts_add(&task->tables->cuts, &step, diag));
    if (!is_ahead)
        task->tables->cuts.next = task->tables->cuts.count;
    return 0;
}

static bool is_passed(const struct task *task, const struct join_cut *cut)
{
    if (cut->offset > task->position || (cut->by_time && cut->end > task->position))
        return false;
    for (uint32_t i = 0; i < cut->table_count; i++)
        if (task_table_position(task, i) < cut->tables[i].position)
            return false;
    return true;
}

int task_restore_cuts(struct task *task, const struct progress_set *set, struct diag *diag)
{
    int rc = 0;
    if (task->tables == NULL || set->cut_count == 0)
        return 0;
    const struct join_cut **own = malloc(set->cut_count * sizeof *own);
    if (own == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for a join's cuts");
    uint32_t count = join_cuts_of_task(set, task->stage->name, task->partition, own);
    bool is_ahead = false;
    for (uint32_t i = 0; rc == 0 && i < count; i++) {
        if (own[i]->is_gone)
            continue;
        if (!join_cut_fits(own[i], task->stage, task->partition)) {
            rc = join_cuts_forget(&task->tables->cuts, own[i]->offset, diag);
            continue;
        }
        is_ahead = is_ahead || !is_passed(task, own[i]);
        rc = take(task, own[i], is_ahead, diag);
    }
    free(own);
    return rc;
}

/* ---- leaving one ---- */

int task_tables_moved(struct task *task)
{
    struct task_tables *tables = task->tables;
    bool by_time = task->plan->app->options.until_end;
    uint32_t count = task_table_inputs(task);
    if (tables->has_moved || (tables->is_cut_open && tables->by_time && by_time)) {
        tables->has_moved = true;
        return 0;
    }
    if (tables->begins == NULL)
        tables->begins = malloc((count + 1) * sizeof *tables->begins);
    if (tables->begins == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++)
        tables->begins[i] = task_table_position(task, i);
    tables->has_moved = true;
    tables->by_time = by_time;
    tables->moved_at = task->position;
    return 0;
}

/* Those whose records retention has taken go, now and then. */
static int drop_old(struct task *task, struct diag *diag)
{
    enum { LOOK_EVERY = 256 };
    struct join_cuts *cuts = &task->tables->cuts;
    struct port_range range;
    if (cuts->count % LOOK_EVERY != 0)
        return 0;
    TRY(task->port->ops->range(task->port, task->stage->input_topic, task->partition, &range,
                               diag));
    return join_cuts_drop_before(cuts, range.start, diag);
}

static int send(struct task *task, struct port_out *out, const struct join_cut *cut,
                struct diag *diag)
{
    struct bytes none = {NULL, 0};
    buf_clear(&task->key);
    buf_clear(&task->value);
    join_cut_key(&task->key, task->stage->name, task->partition, cut->offset);
    if (!cut->is_gone)
        join_cut_value(&task->value, cut);
    if (!buf_ok(&task->key) || !buf_ok(&task->value))
        return diag_set(diag, ERR_NOMEM, "no memory for a join's cut");
    return task->port->ops->out_add(
        out, task->now_ms, bytes_of(task->key.data, task->key.size),
        cut->is_gone ? none : bytes_of(task->value.data, task->value.size), none, 0, diag);
}

/* First of all: a cut of this commit may stand where one is taken back. */
static int send_gone(struct task *task, struct port_out *out, struct diag *diag)
{
    struct join_cuts *cuts = &task->tables->cuts;
    for (uint32_t i = 0; i < cuts->gone_count; i++) {
        struct join_cut gone = {.offset = cuts->gone[i], .is_gone = true};
        TRY(send(task, out, &gone, diag));
    }
    cuts->gone_count = 0;
    return 0;
}

int task_send_cuts(struct task *task, struct port_out *out, struct diag *diag)
{
    struct task_tables *tables = task->tables;
    if (tables == NULL)
        return 0;
    if (tables->has_moved)
        TRY(drop_old(task, diag));
    TRY(send_gone(task, out, diag));
    if (tables->has_moved) {
        struct progress progress = {.table_count = 0};
        struct cut_step step = {
            .offset = tables->moved_at, .end = task->position, .by_time = tables->by_time};
        if (task_tables_progress(task, &task->text, &progress) < 0)
            return diag_set(diag, ERR_NOMEM, "no memory for a join's cut");
        struct join_cut cut = {.partition = task->partition,
                               .offset = step.offset,
                               .end = step.end,
                               .by_time = step.by_time,
                               .tables = progress.tables,
                               .table_count = progress.table_count,
                               .begins = tables->begins};
        memcpy(cut.input_id, task->stage->input_id, 16);
        TRY(join_cuts_add(&tables->cuts, &step, diag));
        tables->cuts.next = tables->cuts.count;
        TRY(send(task, out, &cut, diag));
        tables->has_moved = false;
        tables->is_cut_open = tables->by_time; /* the next one writes over it */
    }
    return 0;
}
