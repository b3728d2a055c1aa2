/* told.h: of rows that several pipelines refuse for the same reason, one dead letter.
 *
 * Pipelines that read one source and begin with the same steps (plan_verdict.c) find the same rows bad, each at its own time: they stand at
 * different offsets, in different workers, one is paused or begins anew. The letter is written by the one whose commit passes the row first; all count it
 * as dead in their own accounts.
 *
 * How far that is needs no record of its own: every row below the highest committed position of those pipelines has been told of, since the commit that moved
 * a position there wrote the letters that were missing. That is a front: one per verdict and partition of the source. A task keeps its letters
 * until its worker commits (task_letter.c); then, in this order,
 *
 *   told_must_wait   a row of this commit is part of another worker's that is not decided yet: whether it has been told of is not known. The commit
 *                    waits, which cannot go round in a circle, since it waits only for commits that have begun
 *   told_claim       letters below the front are dropped, and the front is claimed up to the tasks' positions
 *   told_settle      decided: the claims are the front; undone: they never were, and the restored tasks find their rows again
 *
 * So nothing is told twice and nothing is lost, whichever process, worker or task dies when. Pipelines that are no longer in the
 * topology are forgotten: what such a one alone had passed is told by those that pass it later. Everything is guarded by the run's mutex. */
#ifndef WEIR_RUNTIME_TOLD_H
#define WEIR_RUNTIME_TOLD_H

#include "runtime/base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct run;
struct worker;
/* Of a worker's commit that is not decided: told up to here when it is. */
struct told_claim {
    const struct worker *worker;
    int64_t to;
};
struct told_front {
    int64_t decided;                  /* rows below have been told of */
    struct told_claim *claims;        /* room for one of each task that shares it */
    uint32_t claim_count;
};
/* All fronts of a run. */
struct told {
    struct told_front *fronts;
    uint32_t front_count;
    struct told_claim *claims;        /* the memory of theirs */
    struct told_front **shared;       /* the memory of the tasks' lists */
    bool is_waited_for;               /* some worker waits for another's decision: it is woken by that */
};

/* Finds out what the run's tasks share, from its plan and their last records, and gives them their lists. Nothing is shared: nothing is kept. ERR_NOMEM. */
int told_open(struct run *run, struct diag *diag);
void told_close(struct run *run);

/* By a worker, as above. claim and settle do nothing for who shares nothing. */
bool told_must_wait(struct worker *worker);
/* False: as told_must_wait, and nothing is claimed. */
bool told_claim(struct worker *worker);
void told_settle(struct worker *worker, bool decided);

#endif
