/* join.h: a join of a stream with a table (op_join.c), and where rows become a table (op_keyed.c): what the owner of both needs to keep the one by the other. */
#ifndef WEIR_OPERATORS_JOIN_H
#define WEIR_OPERATORS_JOIN_H

#include "operators/op.h"

struct join_params {
    const char *table;                /* for messages */
    struct expr_list *on;             /* over the stream: what the columns of the table's key must equal, in their order */
    bool keeps_unmatched;             /* left join */
    uint32_t first_column;            /* where the table's columns stand in what leaves */
    uint32_t column_count;
    const enum col_type *types;
    uint32_t side;                    /* which of the view's tables it is */
};
/* The table's row of this key (group_key.h) becomes `row` of these columns, params->column_count of them; columns NULL: there is none any more. ERR_NOMEM. */
int join_put(struct op *join, struct bytes key, const struct column *columns, uint32_t row, struct diag *diag);

struct keyed_params {
    struct expr_list *key;
};
/* Before a push: nothing has come by. */
void keyed_begin(struct op *keyed);
/* After a push: the rows that came by, and the key of each selected one (group_key.h); in the arena of the call. */
const struct batch *keyed_rows(const struct op *keyed, const struct bytes **keys);

#endif
