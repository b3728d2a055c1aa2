/* op_merge.c: partials → results: the far side of a re-keying.
 *
 * Merging is commutative and associative, so the order in which partials of different upstream
 * tasks arrive does not matter. Windows close on the minimum of the upstream tasks' watermarks,
 * which the runtime applies only after every partial that lies before them was merged. See
 * grouping.c. */
#include "operators/grouping.h"

static int merge_process(struct op *op, struct op_call *call, const struct batch *in,
                         struct batch *out)
{
    out->row_count = out->selected_count = 0;
    TRY(group_merge_partials((struct group_op *)op, call, in));
    return OP_DONE;
}

const struct op_type op_merge_type = {
    .name = "merge",
    .size_bytes = sizeof(struct group_op),
    .open = group_open,
    .process = merge_process,
    .advance = group_advance,
    .flush = group_flush_results,
    .close = group_close,
};
