/* placement.h: which worker has which task. A pure function: the same tasks, the same answer. */
#ifndef WEIR_RUNTIME_PLACEMENT_H
#define WEIR_RUNTIME_PLACEMENT_H

#include <stdint.h>

struct placement_task {
    uint64_t cost;                    /* of any unit */
    int home;                         /* the worker that it has when costs do not say otherwise */
    int current;                      /* the one that it has now; -1: none */
};

/* Deals tasks to workers 0 … workers − 1. 0, or ERR_NOMEM. */
int placement_deal(const struct placement_task *tasks, uint32_t count, int workers, int *worker_of);

#endif
