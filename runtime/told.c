/* told.c: see told.h. */
#include "runtime/told.h"

#include <stdlib.h>

#include "runtime/run.h"

/* ---- who shares what ---- */

static bool shares(const struct stage *a, const struct stage *b, uint32_t verdict)
{
    return a->input == INPUT_ROWS && b->input == INPUT_ROWS && verdict < a->view->verdict_count &&
           verdict < b->view->verdict_count &&
           a->view->verdicts[verdict] == b->view->verdicts[verdict] &&
           a->partitions == b->partitions;
}

/* The first of the stages that share this verdict of a stage: itself when it is; -1 when it is alone. */
static int first_sharer(const struct plan *plan, uint32_t stage, uint32_t verdict)
{
    for (uint32_t s = 0; s < plan->stage_count; s++)
        if (s != stage && shares(&plan->stages[s], &plan->stages[stage], verdict))
            return (int)(s < stage ? s : stage);
    return -1;
}

/* How many verdicts of a stage others share: each is behind the one before it. */
static uint32_t shared_verdicts(const struct plan *plan, uint32_t stage)
{
    uint32_t count = 0;
    while (count < plan->stages[stage].view->verdict_count && first_sharer(plan, stage, count) >= 0)
        count++;
    return count;
}

/* What the task's commits of earlier runs have told of. */
static int64_t told_before(const struct run *run, const struct task *task)
{
    const struct progress *last = &run->last[task->index];
    return last->stage[0] == '\0' || last->is_begin || last->is_reset ? 0 : last->position;
}

static void join_front(struct run *run, struct told_front *front, struct task *task)
{
    int64_t told = told_before(run, task);
    if (told > front->decided)
        front->decided = told;
    task->fronts[task->front_count++] = front;
}

/* The front of one verdict at one partition; the claims of those that share it lie one after the other. */
static struct told_front *begin_front(struct run *run, uint32_t stage, uint32_t verdict,
                                      struct told_claim **claims)
{
    struct told_front *front = &run->told.fronts[run->told.front_count++];
    front->claims = *claims;
    for (uint32_t s = stage; s < run->plan->stage_count; s++)
        *claims += s == stage || shares(&run->plan->stages[s], &run->plan->stages[stage], verdict);
    return front;
}

static void share_stage(struct run *run, uint32_t stage, uint32_t verdicts,
                        struct told_claim **claims)
{
    const struct plan *plan = run->plan;
    for (uint32_t v = 0; v < verdicts; v++) {
        uint32_t first = (uint32_t)first_sharer(plan, stage, v);
        for (int32_t p = 0; p < plan->stages[stage].partitions; p++) {
            struct task *leader = &run->tasks[run->first_task[first] + (uint32_t)p];
            join_front(run, first == stage ? begin_front(run, stage, v, claims) : leader->fronts[v],
                       &run->tasks[run->first_task[stage] + (uint32_t)p]);
        }
    }
}

/* Room for all lists, of which each entry has one claim at most. */
static int make_room(struct run *run, struct diag *diag)
{
    struct told *told = &run->told;
    size_t entries = 0;
    for (uint32_t s = 0; s < run->plan->stage_count; s++)
        entries += (size_t)shared_verdicts(run->plan, s) * (size_t)run->plan->stages[s].partitions;
    if (entries == 0)
        return 0;
    told->fronts = calloc(entries, sizeof *told->fronts);
    told->claims = calloc(entries, sizeof *told->claims);
    told->shared = calloc(entries, sizeof *told->shared);
    return told->fronts == NULL || told->claims == NULL || told->shared == NULL
               ? diag_set(diag, ERR_NOMEM, "no memory for what pipelines share")
               : 1;
}

int told_open(struct run *run, struct diag *diag)
{
    int rc = make_room(run, diag);
    if (rc <= 0)
        return rc;
    struct told_front **lists = run->told.shared;
    struct told_claim *claims = run->told.claims;
    for (uint32_t s = 0; s < run->plan->stage_count; s++) {
        uint32_t verdicts = shared_verdicts(run->plan, s);
        for (int32_t p = 0; p < run->plan->stages[s].partitions; p++, lists += verdicts)
            run->tasks[run->first_task[s] + (uint32_t)p].fronts = lists;
        share_stage(run, s, verdicts, &claims);
    }
    return 0;
}

void told_close(struct run *run)
{
    free(run->told.fronts);
    free(run->told.claims);
    free(run->told.shared);
    run->told = (struct told){0};
}

/* ---- a commit ---- */

/* How far the worker may take the front to be told: what is decided, and its own claim. */
static int64_t told_to(const struct told_front *front, const struct worker *worker)
{
    for (uint32_t i = 0; i < front->claim_count; i++)
        if (front->claims[i].worker == worker && front->claims[i].to > front->decided)
            return front->claims[i].to;
    return front->decided;
}

/* Whether a letter hangs on what another worker's commit comes to. */
static bool is_unsettled(const struct letter *letter, const struct worker *worker)
{
    const struct told_front *front = letter->front;
    if (front == NULL || letter->offset < front->decided)
        return false;
    for (uint32_t i = 0; i < front->claim_count; i++)
        if (front->claims[i].worker != worker && letter->offset < front->claims[i].to)
            return true;
    return false;
}

static bool any_unsettled(const struct worker *worker)
{
    for (uint32_t i = 0; i < worker->task_count; i++) {
        const struct letters *letters = &worker->tasks[i]->letters;
        for (uint32_t l = 0; l < letters->count; l++)
            if (is_unsettled(&letters->items[l], worker))
                return true;
    }
    return false;
}

static bool shares_any(const struct worker *worker)
{
    for (uint32_t i = 0; i < worker->task_count; i++)
        if (worker->tasks[i]->front_count > 0)
            return true;
    return false;
}

bool told_must_wait(struct worker *worker)
{
    if (worker->run->told.front_count == 0 || !shares_any(worker))
        return false;
    pthread_mutex_lock(&worker->run->mutex);
    bool waits = any_unsettled(worker);
    worker->run->told.is_waited_for |= waits;
    pthread_mutex_unlock(&worker->run->mutex);
    return waits;
}

static void claim_front(struct told_front *front, const struct worker *worker, int64_t to)
{
    for (uint32_t i = 0; i < front->claim_count; i++)
        if (front->claims[i].worker == worker) {
            if (to > front->claims[i].to)
                front->claims[i].to = to;
            return;
        }
    if (to > front->decided)
        front->claims[front->claim_count++] = (struct told_claim){worker, to};
}

/* The worker's tasks one after the other: what the first of two claims, the second need not tell. */
static void claim_task(struct worker *worker, struct task *task)
{
    for (uint32_t l = 0; l < task->letters.count; l++) {
        struct letter *letter = &task->letters.items[l];
        letter->is_told = letter->front != NULL && letter->offset < told_to(letter->front, worker);
    }
    for (uint32_t f = 0; f < task->front_count; f++)
        claim_front(task->fronts[f], worker, task->position);
}

bool told_claim(struct worker *worker)
{
    if (worker->run->told.front_count == 0 || !shares_any(worker))
        return true;
    pthread_mutex_lock(&worker->run->mutex);
    bool settled = !any_unsettled(worker);
    worker->run->told.is_waited_for |= !settled;
    for (uint32_t i = 0; settled && i < worker->task_count; i++)
        if (worker->in_commit[i])
            claim_task(worker, worker->tasks[i]);
    pthread_mutex_unlock(&worker->run->mutex);
    return settled;
}

static void settle_front(struct told_front *front, const struct worker *worker, bool decided)
{
    for (uint32_t i = 0; i < front->claim_count; i++) {
        struct told_claim *claim = &front->claims[i];
        if (claim->worker != worker)
            continue;
        if (decided && claim->to > front->decided)
            front->decided = claim->to;
        *claim = front->claims[--front->claim_count];
        return;
    }
}

/* All that it has claims on: a task may have been closed since. */
void told_settle(struct worker *worker, bool decided)
{
    if (worker->run->told.front_count == 0)
        return;
    pthread_mutex_lock(&worker->run->mutex);
    for (uint32_t i = 0; i < worker->task_count; i++)
        for (uint32_t f = 0; f < worker->tasks[i]->front_count; f++)
            settle_front(worker->tasks[i]->fronts[f], worker, decided);
    bool is_waited_for = worker->run->told.is_waited_for;
    worker->run->told.is_waited_for = false;
    pthread_mutex_unlock(&worker->run->mutex);
    if (is_waited_for)
        run_wake_workers(worker->run);
}
