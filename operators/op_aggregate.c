/* op_aggregate.c: rows → results, where the source is already partitioned by the group.
 *
 * One task both judges lateness and keeps the groups; its store follows its changelog. See
 * grouping.c. */
#include "operators/grouping.h"

static int aggregate_process(struct op *op, struct op_call *call, const struct batch *in,
                             struct batch *out)
{
    out->row_count = out->selected_count = 0;
    TRY(group_update_rows((struct group_op *)op, call, in));
    return OP_DONE;
}

const struct op_type op_aggregate_type = {
    .name = "aggregate",
    .size_bytes = sizeof(struct group_op),
    .open = group_open,
    .process = aggregate_process,
    .advance = group_advance,
    .flush = group_flush_results,
    .close = group_close,
};
