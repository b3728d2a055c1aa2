/* chain.h: drives the operators of one task. The only code that calls operators. One thread owns a chain. */
#ifndef WEIR_RUNTIME_CHAIN_H
#define WEIR_RUNTIME_CHAIN_H

#include "runtime/plan.h"

struct chain {
    struct op *ops[PLAN_MAX_OPS + 1];
    uint32_t count;
    uint32_t first;                    /* where a batch that is pushed begins: behind what a shared read has done for it; 0 */
    bool keeps_rows;                   /* some operator on rows does */
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
/* "2", or "2.0" when the row that it was made of was made as well. Arena memory; NULL: there was none. */
const char *chain_element(struct chain *chain, const struct row_origin *origin);
/* Starts a batch: resets arena, rejects and late rows. */
int chain_begin(struct chain *chain, struct diag *diag);
/* Pushes a batch through all operators. Rejects and late rows are left in call for the owner. */
int chain_push(struct chain *chain, const struct batch *batch);
/* The chain's part of a commit: time passes for what keeps rows; what changed since the last commit is drained into the sink and the
 * changelog; windows close. Returns OP_AGAIN when there is more to close than one commit takes. */
int chain_commit(struct chain *chain, int64_t commit_number, int64_t watermark_ms, struct diag *diag);
/* The group operator that ends the chain, or NULL. */
struct op *chain_group(const struct chain *chain);
/* What its operators keep over the task's store: memory in use, and how many groups and rows. */
size_t chain_held(const struct chain *chain, size_t *entries);
/* Memory of groups that the next commit sends on. */
size_t chain_partial_bytes(const struct chain *chain);
/* Gives back what the store holds as of stored_commit, until at most target_bytes are used; SIZE_MAX: only what is of no use any more. */
void chain_evict(struct chain *chain, int64_t stored_commit, size_t target_bytes);

#endif
