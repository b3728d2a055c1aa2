/* join.h: a join of a stream with a table (op_join.c), where rows become a table (op_keyed.c), and what its changes are for aggregates (op_latest.c): what their owner needs to bring
 * them together. */
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
    bool by_partition;                /* a task has the rows of its own partition: those of both that belong to another one are rejected */
};
/* The table's row of this key (group_key.h) becomes `row` of these columns, params->column_count of them; columns NULL: there is none any more. ERR_NOMEM. */
int join_put(struct op *join, struct bytes key, const struct column *columns, uint32_t row, struct diag *diag);

struct keyed_params {
    struct expr_list *key;            /* over the rows */
    struct expr_list *record_key;     /* the same as a record's key spells it: over uncast values of those names */
    const char *placed_table;         /* rows that belong in another partition than the task's are rejected: the table's name, for messages; NULL: a task has them all */
    bool takes_nulls;                 /* rows are results of groups, of which NULLs are one; else a key with a NULL in it is none */
};
/* A row of a table's topic, and the key that it is about. */
struct table_change {
    uint32_t row;                     /* of the batch */
    bool is_removal;                  /* a record without a value */
    struct bytes key;                 /* group_key.h */
};
/* What rows of a table came by, in the order of their topic; a record without a value may name two keys, one behind the other. Arena of the call. */
struct table_changes {
    struct table_change *items;
    uint32_t count;
};
/* After a push: what came by, NULL when nothing did. */
const struct table_changes *keyed_changes(const struct op *keyed);
/* Before a push. */
void keyed_begin(struct op *keyed);

/* op_latest.c: rows of a table as what they change: the row that stood before, with weight −1, and the one that takes its place. */
struct latest_params {
    struct expr_list *list;           /* what is kept of a row, and given: its groups, then arguments and filters of the aggregates */
    enum col_type *types;
    const struct group_params *group; /* who gets them: what it cannot take does not become a row of the table */
};

#endif
