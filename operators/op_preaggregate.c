/* op_preaggregate.c: rows → one partial per group and commit, before a re-keying.
 *
 * It ends the chain of a source task whose groups live elsewhere. Partials are mergeable
 * accumulators that carry their row count, so what crosses the repartition topic is one record per
 * changed group and commit instead of one per event. Nothing is held across commits: flush gives
 * everything and the table is empty again, so there is no store. Lateness is judged here, at the
 * source; a partial that has crossed is never late. */
#include "operators/grouping.h"

static int preaggregate_process(struct op *op, struct op_call *call, const struct batch *in,
                                struct batch *out)
{
    out->row_count = out->selected_count = 0;
    TRY(group_update_rows((struct group_op *)op, call, in));
    return OP_DONE;
}

static int preaggregate_flush(struct op *op, struct op_call *call, struct batch *out)
{
    return group_flush_partials((struct group_op *)op, call, out);
}

const struct op_type op_preaggregate_type = {
    .name = "preaggregate",
    .size_bytes = sizeof(struct group_op),
    .open = group_open,
    .process = preaggregate_process,
    .flush = preaggregate_flush,
    .close = group_close,
};
