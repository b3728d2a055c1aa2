/* placement.c: deals tasks to workers by what they cost (see placement.h).
 *
 * The dearest task first, each to the worker that has least so far: no worker then has more than 4/3
 * of what the best of all placements would give the busiest one (Graham's bound for this rule), which is
 * less than costs change by while they are measured. Among workers with as little, a task stays
 * where it is, else goes to its home, else to the next one after that. Nothing is moved when that
 * would not take anything off the busiest. So equal costs give round robin, and nothing depends on
 * addresses, threads or time. */
#include "runtime/placement.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/base/error.h"

struct order {
    uint64_t cost;
    uint32_t index;
};

static int dearest_first(const void *a, const void *b)
{
    const struct order *x = a, *y = b;
    if (x->cost != y->cost)
        return x->cost > y->cost ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static int choose(const struct placement_task *task, const uint64_t *held, int workers)
{
    uint64_t least = UINT64_MAX;
    for (int w = 0; w < workers; w++)
        if (held[w] < least)
            least = held[w];
    if (task->current >= 0 && task->current < workers && held[task->current] == least)
        return task->current;
    int worker = task->home % workers;
    while (held[worker] != least)
        worker = (worker + 1) % workers;
    return worker;
}

/* What the busiest worker has; UINT64_MAX when a task has none of these. */
static uint64_t busiest(const struct placement_task *tasks, uint32_t count, int workers,
                        const int *worker_of, uint64_t *held)
{
    uint64_t most = 0;
    memset(held, 0, (size_t)workers * sizeof *held);
    for (uint32_t i = 0; i < count; i++) {
        int worker = worker_of != NULL ? worker_of[i] : tasks[i].current;
        if (worker < 0 || worker >= workers)
            return UINT64_MAX;
        held[worker] += tasks[i].cost;
        if (held[worker] > most)
            most = held[worker];
    }
    return most;
}

int placement_deal(const struct placement_task *tasks, uint32_t count, int workers, int *worker_of)
{
    struct order *order = calloc(count + 1, sizeof *order);
    uint64_t *held = calloc((size_t)workers, sizeof *held);
    int rc = order != NULL && held != NULL ? 0 : ERR_NOMEM;
    for (uint32_t i = 0; rc == 0 && i < count; i++)
        order[i] = (struct order){tasks[i].cost, i};
    if (rc == 0)
        qsort(order, count, sizeof *order, dearest_first);
    for (uint32_t i = 0; rc == 0 && i < count; i++) {
        uint32_t task = order[i].index;
        worker_of[task] = choose(&tasks[task], held, workers);
        held[worker_of[task]] += tasks[task].cost;
    }
    if (rc == 0 && busiest(tasks, count, workers, NULL, held) <=
                       busiest(tasks, count, workers, worker_of, held))
        for (uint32_t i = 0; i < count; i++)
            worker_of[i] = tasks[i].current;
    free(order);
    free(held);
    return rc;
}
