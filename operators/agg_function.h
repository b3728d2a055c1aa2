/* agg_function.h: an aggregate that the user wrote in C (weir_aggregate_fn).
 *
 * A view has one such function or none. Its state is plain memory of a fixed size inside the group's row of accumulators, so that it is kept, merged, evicted, stored and
 * sent across a re-keying like any accumulator. The calls of the view's plan with func AGG_FUNCTION stand for it: call i has its i-th argument and its i-th result. */
#ifndef WEIR_OPERATORS_AGG_FUNCTION_H
#define WEIR_OPERATORS_AGG_FUNCTION_H

#include "operators/function.h"

enum {
    AGG_STATE_MAX_BYTES = 16384,         /* of a state */
    AGG_STATE_ENCODED_MAX_BYTES = 65536, /* of what encode makes of it */
};

struct agg_function {
    size_t state_bytes;
    uint32_t argument_count;
    struct function_params *params;      /* name and declared results; for messages */
    /* The runtime's adapters to the functions of weir.h. Negative: see there. */
    void (*init)(const struct agg_function *function, void *state);
    int (*add)(const struct agg_function *function, struct function_call *call, void *state, const struct value *values);
    void (*merge)(const struct agg_function *function, void *state, const void *other);
    int (*result)(const struct agg_function *function, struct function_call *call, const void *state, struct value *results);
    size_t (*encode)(const struct agg_function *function, const void *state, void *bytes, size_t room);   /* NULL: the memory as it is */
    int (*decode)(const struct agg_function *function, void *state, const void *bytes, size_t size);
    const void *functions;               /* the adapters' */
    void *context;
};

/* A state in a row. */
struct agg_function_slot {
    uint64_t added;                      /* rows; 0: init has not been called */
    uint64_t state[];
};
static inline size_t agg_function_slot_bytes(const struct agg_function *function)
{
    return sizeof(struct agg_function_slot) + (function->state_bytes + 7) / 8 * 8;
}

/* Adds the selected rows of batch to the slots at slot_offset of rows[]. A row that the function refuses is rejected and leaves batch and rows; its group is as before.
 * kept[i]: which of the rows the i-th one that stays was. */
int agg_function_update(const struct agg_function *function, struct op_call *op, struct batch *batch, const struct column *arguments,
                        void **rows, uint32_t *kept, uint32_t slot_offset);
void agg_function_encode(const struct agg_function *function, const struct agg_function_slot *slot, struct buf *out);
/* As agg_kind.merge. */
int agg_function_merge(const struct agg_function *function, struct agg_function_slot *slot, struct bytes *in, uint64_t row_count);
/* Writes value `at` of results[0 … declared columns). ERR_INVALID: rejected at row `at`; ERR_NOMEM. */
int agg_function_result(const struct agg_function *function, struct op_call *op, const struct agg_function_slot *slot, struct column *results, uint32_t at);

#endif
