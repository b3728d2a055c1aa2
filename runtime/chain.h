/* chain.h: drives the operators of one task. The only code that calls operators. One thread owns a chain. */
#ifndef WEIR_RUNTIME_CHAIN_H
#define WEIR_RUNTIME_CHAIN_H

#include "runtime/plan.h"

struct chain {
    struct op *ops[PLAN_MAX_OPS + 1];
    uint32_t count;
    struct op_call call;               /* arena, rejects and late rows of the call in progress */
    struct arena arena;                /* batch lifetime */
    struct reject_list rejects;
    int64_t filtered_rows;             /* since the owner last took it */
    /* Receives batches that leave the last operator. */
    int (*sink)(void *context, const struct batch *batch);
    /* Receives result rows that an operator rejected outside of process (they have no source row). */
    int (*reject)(void *context, const struct batch *batch, const struct reject *reject);
    void *context;
};

int chain_open(struct chain *chain, const struct op_spec *ops, uint32_t count, struct op_env *env, struct diag *diag);
void chain_close(struct chain *chain);
/* Starts a batch: resets arena, rejects and late rows. */
int chain_begin(struct chain *chain, struct diag *diag);
/* Pushes a batch through all operators. Rejects and late rows are left in call for the owner. */
int chain_push(struct chain *chain, const struct batch *batch);
/* Drains what changed since the last commit into the sink. */
int chain_flush(struct chain *chain, struct diag *diag);
/* Lets time pass. Returns OP_AGAIN when there is more to close than one commit takes. */
int chain_advance(struct chain *chain, int64_t watermark_ms, struct diag *diag);
/* The group operator that ends the chain, or NULL. */
struct op *chain_group(const struct chain *chain);

#endif
