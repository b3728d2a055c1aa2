/* made_rows.h: batches whose rows an operator made of other rows: several of one, as unnest and flat_map_fn do. */
#ifndef WEIR_OPERATORS_MADE_ROWS_H
#define WEIR_OPERATORS_MADE_ROWS_H

#include "operators/op.h"

/* Up to BATCH_ROWS made rows, by the input row that each was made of. */
struct made_rows {
    uint32_t *rows;            /* physical rows of the input, ascending */
    uint32_t *elements;        /* the how-manieth of its input row, from 0 */
    uint32_t count;
};
int made_rows_init(struct made_rows *made, struct arena *arena);
static inline bool made_rows_is_full(const struct made_rows *made) { return made->count == BATCH_ROWS; }
static inline void made_rows_add(struct made_rows *made, uint32_t row, uint32_t element)
{
    made->rows[made->count] = row;
    made->elements[made->count++] = element;
}
/* out: a batch of these rows that all count, with times and provenance, and room for column_count columns, which the caller fills. ERR_NOMEM. */
int made_rows_batch(const struct made_rows *made, const struct batch *in, uint32_t column_count, struct arena *arena, struct batch *out);
/* How many rows an input row turned into, one way or the other, once it is done: keeps call->made_rows. */
static inline void made_rows_account(struct op_call *call, uint32_t became)
{
    call->made_rows += became > 0 ? became - 1 : 0;
}

#endif
