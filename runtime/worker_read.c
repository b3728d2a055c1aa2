/* worker_read.c: turns of tasks that share a read (shared_read.h).
 *
 * Tasks of one worker whose stages read one partition alike take their turns together. Those that stand
 * at the same offset take the same batch one after the other; each goes on for itself where the batch
 * fails it, where its table is over its part, or its pipeline is paused. Nobody is bound to the others:
 *
 *   - a task that is behind reads for itself, up to where the next one stands, and goes on with it
 *     from there. Others wait for it when it is near and moves: by no more than WAIT_BATCHES of its own
 *     batches, which are as large as its pace allows, so that it takes less than a second
 *   - one whose batches are small because a function is slow, or because a row of it changes very many
 *     windows, and one that looks for the row that failed, is never waited for and takes turns as if
 *     nobody else were there
 *   - when the read itself fails, each task reads for itself and meets the failure under its own policy
 *
 * A batch has as many rows as the one that takes the fewest at a time. What a task costs, for its pace and
 * for the dealing of tasks, is its own part and its share of the read. */
#include <stdlib.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/worker.h"

enum {
    WAIT_BATCHES = 64, /* one that is behind by no more of its batches is waited for */
    LEAST_ROWS = 256,  /* of a batch that is worth sharing, unless the app's are smaller */
};

/* ---- who shares ---- */

static struct shared_read *read_of(const struct worker *worker, const struct task *task)
{
    for (uint32_t r = 0; r < worker->read_count; r++)
        if (worker->reads[r].stage->read_group == task->stage->read_group &&
            worker->reads[r].partition == task->partition)
            return &worker->reads[r];
    return NULL;
}

static bool has_partner(const struct worker *worker, const struct task *task)
{
    for (uint32_t i = 0; task->stage->read_group >= 0 && i < worker->task_count; i++)
        if (worker->tasks[i] != task && worker->tasks[i]->partition == task->partition &&
            worker->tasks[i]->stage->read_group == task->stage->read_group)
            return true;
    return false;
}

static int begin_read(struct worker *worker, const struct task *task)
{
    struct shared_read *read = &worker->reads[worker->read_count++];
    read->stage = task->stage;
    read->partition = task->partition;
    read->port = worker->run->port;
    read->members = calloc(worker->task_count, sizeof *read->members);
    read->waiting = calloc(worker->task_count, sizeof *read->waiting);
    read->joined = calloc(worker->task_count, sizeof *read->joined);
    return read->members == NULL || read->waiting == NULL || read->joined == NULL ? ERR_NOMEM : 0;
}

int worker_open_reads(struct worker *worker)
{
    uint32_t sharers = 0;
    for (uint32_t i = 0; i < worker->task_count; i++)
        sharers += has_partner(worker, worker->tasks[i]);
    if (sharers == 0)
        return 0;
    worker->reads = calloc(sharers, sizeof *worker->reads);
    worker->read_of = calloc(worker->task_count, sizeof(struct shared_read *));
    if (worker->reads == NULL || worker->read_of == NULL)
        return diag_set(&worker->diag, ERR_NOMEM, "no memory for what pipelines read together");
    for (uint32_t i = 0; i < worker->task_count; i++) {
        struct task *task = worker->tasks[i];
        if (!has_partner(worker, task))
            continue;
        if (read_of(worker, task) == NULL && begin_read(worker, task) < 0)
            return diag_set(&worker->diag, ERR_NOMEM, "no memory for what pipelines read together");
        struct shared_read *read = read_of(worker, task);
        worker->read_of[i] = read;
        read->members[read->member_count++] = task;
    }
    return 0;
}

void worker_close_reads(struct worker *worker)
{
    for (uint32_t r = 0; r < worker->read_count; r++) {
        shared_read_close(&worker->reads[r]);
        free(worker->reads[r].members);
        free(worker->reads[r].waiting);
        free(worker->reads[r].joined);
    }
    free(worker->reads);
    free(worker->read_of);
    worker->reads = NULL;
    worker->read_of = NULL;
    worker->read_count = 0;
}

/* ---- one batch ---- */

static bool may_run(const struct task *task)
{
    return task_is_running(task) && !task_is_paused(task);
}

static bool may_share(const struct task *task)
{
    int32_t most = task->plan->app->options.batch_rows;
    uint32_t least = most < LEAST_ROWS ? (uint32_t)most : LEAST_ROWS;
    return task->position >= task->fate.careful_until && task->batch_rows >= least;
}

/* What a batch is to be like, so that all who take it can. */
struct bounds {
    int64_t from, target;
    uint32_t rows;
    uint32_t takers;
};

/* 1: it takes part; 0: not this time; 2: not either, but it has done something else. */
static int ask(struct worker *worker, struct task *task, struct bounds *bounds)
{
    int64_t target;
    if (!may_run(task) || !may_share(task) || task->position != bounds->from)
        return 0;
    worker->diag.code = 0;
    int rc = worker_table_is_over(worker, task);
    if (rc == 0)
        rc = task_apply_raise(task, NULL, &worker->diag);
    else if (rc > 0)
        return 0;
    if (rc >= 0)
        rc = task_begin_poll(task, &target, &worker->diag);
    if (rc < 0) {
        TRY(worker_turn_failed(worker, task, rc));
        return 2;
    }
    if (rc != POLL_ROWS)
        return rc > 0 ? 2 : 0;
    bounds->target = target < bounds->target ? target : bounds->target;
    bounds->rows = task->batch_rows < bounds->rows ? task->batch_rows : bounds->rows;
    bounds->takers++;
    return 1;
}

/* Those of the joined that can take a batch now stay joined; none, when a failure has restored some that
 * were asked before. 1: some other did something. */
static int ask_all(struct worker *worker, struct shared_read *read, struct bounds *bounds)
{
    int any = 0;
    int64_t undone = worker->undone;
    for (uint32_t i = 0; i < read->member_count; i++) {
        if (!read->joined[i])
            continue;
        int rc = ask(worker, read->members[i], bounds);
        TRY(rc);
        read->joined[i] = rc == 1;
        any |= rc == 2;
    }
    if (worker->undone != undone)
        bounds->takers = 0;
    return any;
}

static int give(struct worker *worker, const struct shared_read *read, struct task *task,
                bool is_first, int64_t read_ns, uint32_t takers)
{
    int64_t began_ns = clock_mono_ns();
    worker->diag.code = 0;
    int rc = task_take_read(task, read, &worker->diag);
    if (rc < 0)
        return worker_turn_failed(worker, task, rc);
    int64_t took_ns = clock_mono_ns() - began_ns;
    task_pace(task, read_ns + took_ns);
    task_took(task, read_ns / takers + took_ns);
    if (!is_first && task->gauges != NULL)
        atomic_fetch_add_explicit(&task->gauges->shared_rows, read->count, memory_order_relaxed);
    return 0;
}

/* A failure restores others too, when the commit in flight turns out to have come to nothing: what they
 * were asked before does not count any more, and they take the batch another time. */
static int give_all(struct worker *worker, struct shared_read *read, const struct bounds *bounds,
                    int64_t read_ns)
{
    bool is_first = true;
    int64_t undone = worker->undone;
    for (uint32_t i = 0; i < read->member_count && worker->undone == undone; i++) {
        struct task *task = read->members[i];
        if (!read->joined[i] || !task_is_running(task) || task->position != bounds->from)
            continue;
        TRY(give(worker, read, task, is_first, read_ns, bounds->takers));
        is_first = false;
    }
    return 0;
}

static int find_nothing(struct worker *worker, const struct shared_read *read)
{
    for (uint32_t i = 0; i < read->member_count; i++) {
        struct task *task = read->members[i];
        if (!read->joined[i] || !task_is_running(task))
            continue;
        worker->diag.code = 0;
        int rc = task_found_nothing(task, &worker->diag);
        if (rc < 0)
            TRY(worker_turn_failed(worker, task, rc));
    }
    return 0;
}

/* Each of the joined, as if it were alone. */
static int turns_alone(struct worker *worker, const struct shared_read *read, int64_t limit)
{
    int any = 0;
    for (uint32_t i = 0; i < read->member_count; i++) {
        struct task *task = read->members[i];
        if (!read->joined[i] || !may_run(task))
            continue;
        task->meet_at = limit != INT64_MAX ? limit : 0;
        int rc = worker_give_turn(worker, task);
        task->meet_at = 0;
        TRY(rc);
        any |= rc;
    }
    return any;
}

/* ---- a turn ---- */

/* The joined stand at one offset: batches for all of them, until there is nothing, one is left, or their
 * time is over. */
static int turn_together(struct worker *worker, struct shared_read *read, int64_t from,
                         int64_t limit, uint32_t count)
{
    int any = 0;
    int64_t first_ns = clock_mono_ns() + TURN_NS, until_ns = first_ns + TURN_NS * (count - 1);
    for (int poll = 0; poll < TURN_POLLS && from < limit; poll++) {
        struct bounds bounds = {.from = from, .target = limit, .rows = BATCH_ROWS};
        int rc = ask_all(worker, read, &bounds);
        TRY(rc);
        any |= rc;
        if (bounds.takers == 0)
            return any;
        int64_t began_ns = clock_mono_ns();
        rc = bounds.takers > 1
                 ? shared_read_next(read, from, bounds.rows, bounds.target, &worker->diag)
                 : ERR_STATE;
        if (rc < 0) { /* each finds out for itself */
            rc = turns_alone(worker, read, limit);
            return rc < 0 ? rc : any | rc;
        }
        if (rc == 0) {
            TRY(find_nothing(worker, read));
            return any;
        }
        any = 1;
        TRY(give_all(worker, read, &bounds, clock_mono_ns() - began_ns));
        from = read->next;
        int64_t now_ns = clock_mono_ns();
        if (now_ns >= until_ns || (now_ns >= first_ns && worker_must_commit(worker)) ||
            worker_is_full(worker))
            break;
    }
    return any;
}

/* Joins those of the waiting that are furthest behind; *next: where the next one stands. */
static uint32_t join_last(struct shared_read *read, int64_t *from, int64_t *next)
{
    uint32_t count = 0;
    *from = *next = INT64_MAX;
    for (uint32_t i = 0; i < read->member_count; i++)
        if (read->waiting[i] && read->members[i]->position < *from)
            *from = read->members[i]->position;
    for (uint32_t i = 0; i < read->member_count; i++) {
        int64_t position = read->waiting[i] ? read->members[i]->position : INT64_MAX;
        read->joined[i] = read->waiting[i] && position == *from;
        read->waiting[i] = read->waiting[i] && !read->joined[i];
        count += read->joined[i];
        if (read->waiting[i] && position < *next)
            *next = position;
    }
    return count;
}

/* How many rows the slowest of the joined may have before it to be waited for. */
static int64_t near_rows(const struct shared_read *read)
{
    int64_t rows = BATCH_ROWS;
    for (uint32_t i = 0; i < read->member_count; i++)
        if (read->joined[i] && read->members[i]->batch_rows < rows)
            rows = read->members[i]->batch_rows;
    return rows * WAIT_BATCHES;
}

static bool have_moved(const struct shared_read *read, int64_t from)
{
    for (uint32_t i = 0; i < read->member_count; i++)
        if (read->joined[i] && read->members[i]->position > from)
            return true;
    return false;
}

/* Those that nobody waits for; the others wait for their turns. */
static int sort_out(struct worker *worker, struct shared_read *read)
{
    int any = 0;
    for (uint32_t i = 0; i < read->member_count; i++) {
        struct task *task = read->members[i];
        read->waiting[i] = may_run(task) && may_share(task);
        if (read->waiting[i] || !may_run(task))
            continue;
        int rc = worker_give_turn(worker, task);
        TRY(rc);
        any |= rc;
    }
    return any;
}

int worker_read_turn(struct worker *worker, struct shared_read *read)
{
    int64_t from, next;
    uint32_t count;
    int any = sort_out(worker, read);
    TRY(any);
    while (!worker_is_full(worker) && (count = join_last(read, &from, &next)) > 0) {
        int rc = count > 1 ? turn_together(worker, read, from, next, count)
                           : turns_alone(worker, read, next);
        TRY(rc);
        any |= rc;
        if (next != INT64_MAX && next - from <= near_rows(read) && have_moved(read, from))
            break;
    }
    return any;
}
