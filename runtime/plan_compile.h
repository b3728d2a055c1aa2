/* plan_compile.h: what the files that compile a view share. Private to plan.c, plan_arms.c, plan_rows.c and topology_rows.c. */
#ifndef WEIR_RUNTIME_PLAN_COMPILE_H
#define WEIR_RUNTIME_PLAN_COMPILE_H

#include "operators/function.h"
#include "runtime/plan.h"

enum { COMPILE_MADE_MAX = 64, COMPILE_CHAIN_MAX = PLAN_MAX_OPS + 8 };
/* A column that an operator adds to the fields of a source: the element of an array, or one of a table. */
struct made_column {
    const char *name;
    uint32_t column;
    enum col_type type;
};
struct compile {
    struct view *view;
    struct diag *diag;
    struct scope scope;
    struct made_column made[COMPILE_MADE_MAX]; /* over a source: columns that hide fields */
    uint32_t made_count;
    struct named_columns columns;   /* that the rows have, once a step has made columns; the arrays are its own */
    uint32_t *origins;              /* by those columns: 1 + the source's column whose text it has, as it came or cast to text; 0: of none. NULL: of none. Own array */
    bool *is_time;                  /* by those columns: it is the source's event time as it came; NULL: none is. Own array */
};

/* A way from a source to weir_to. */
struct arm_chain {
    struct weir_stream *steps[COMPILE_CHAIN_MAX];
    uint32_t count;
    uint32_t within;                /* which step is a join of two streams, or of two tables; 0: none is */
    unsigned side;                  /* of it */
};
/* What the rows of the first arm that came to a merge look like there. */
struct arm_shape {
    const struct weir_stream *merge, *source;
    bool has_columns;
    char **names;
    enum col_type *types;
    uint32_t count;
};
struct arm_chains {
    struct arm_chain *items;
    uint32_t count;
    struct arm_shape *shapes;
    uint32_t shape_count;
};
/* plan_arms.c. All ways that lead to the sink, in the order of the merged streams; at most 64. */
int arm_chains_find(const struct sink *sink, struct arm_chains *chains, struct diag *diag);
void arm_chains_deinit(struct arm_chains *chains);
/* An arm has come to a merge: ERR_INVALID with the first difference when its rows are not as those of the arms before it. */
int arm_chains_pass_merge(struct arm_chains *chains, const struct compile *c, const struct weir_stream *merge);
/* The view of an arm, which is the lead when it is the first; plan_destroy frees it. */
int plan_arm_add(struct view *lead, uint32_t arm, struct view **view, struct diag *diag);
/* When all are compiled: whether what they write is of one form; gives them the hashes of the whole. */
int plan_arms_finish(struct view *lead, struct diag *diag);

/* Names over a source: any is a field, but for columns that steps have added. */
void compile_source_scope(struct compile *c);
/* plan_rows.c: a source whose format has columns in an order: what they are narrower than their columns' types is cast first. */
int compile_declared_source(struct compile *c);
/* plan_rows.c: filter, check, map and what else works on rows. */
int compile_row_step(struct compile *c, const struct weir_stream *node);
void compile_columns_destroy(struct compile *c);
void compile_row_step_destroy(const struct op_spec *spec);
/* plan.c: begins a view at its source: fields, scope, declared columns. */
int compile_source(struct compile *c);
/* plan_verdict.c: when all is compiled: sets the view's verdicts. op_ends: how many operators there were after each step of the chain. */
void compile_verdicts(struct view *view, const struct arm_chain *chain, const uint32_t *op_ends);
/* plan_rows.c. Adds a step; takes over params (NULL: there was no memory for them). */
int compile_add_op(struct compile *c, const char *name, const void *params);
/* Adds columns behind those that rows have, and tells where they stand: over a source as made columns, else behind the others. what: the step's function. */
int compile_add_columns(struct compile *c, const char *what, const char *const *names, const enum col_type *types, uint32_t count, uint32_t *first);
/* plan_latest.c: weir_latest, of the table of a join or of a view. */
int compile_keyed(struct compile *c, const struct weir_stream *node);
/* ERR_UNSUPPORTED: the step cannot work on the rows of a table. */
int compile_after_keyed(struct compile *c, const struct weir_stream *node);
/* An aggregate over a table: whether it can be; and when its group is compiled, the operator before it. */
int compile_check_net(struct compile *c, const struct weir_stream *aggregate);
int compile_latest(struct compile *c);
/* The record key of a table that is written as it is. */
int compile_table_out(struct compile *c);
/* plan_join.c */
int compile_join(struct compile *c, const struct weir_stream *node);
void compile_tables_destroy(struct view *view);
/* plan_within.c: an arm has come to a join of two streams or tables, and ends there. */
int compile_side(struct compile *c, const struct arm_chain *chain);
/* Once all arms are compiled: the join, and the steps behind it. */
int compile_joined(struct view *lead, const struct arm_chain *chain, struct diag *diag);
/* A view that begins at the lead's join: lead->joined, without its operators. */
int compile_begin_joined(struct view *lead, struct diag *diag);
/* What a join takes of the rows as they are now; columns NULL: all that they have. step: the join's function. */
int compile_side_columns(struct compile *c, const char *step, const char *columns, struct expr_list **list);
int compile_types_of(const struct expr_list *list, enum col_type **types, struct diag *diag);
/* Whether equal values of the two types have one form as keys (group_key.h). */
bool compile_are_comparable(enum col_type a, enum col_type b);
/* plan_tables.c: an arm has come to a join of two tables; the columns behind it. */
int compile_table_side(struct compile *c, const struct arm_chain *chain);
int compile_joined_tables(struct compile *c, const struct view *lead);
/* Frees the view behind the join of a lead, if it has one. */
void compile_joined_destroy(struct view *lead);
/* plan.c: what the rows of a view without groups are written as. */
int compile_rows_out(struct compile *c);
/* plan_rows.c: whether a column of the rows as they are now is the source's event time. */
bool compile_is_time(const struct compile *c, uint32_t column);
/* plan.c: what the steps of a chain say, for hashes; that of a table's chain, for the join's. */
int compile_hash_texts(struct buf *all, const struct view *view, struct weir_stream *const *chain, uint32_t count, struct diag *diag);
int compile_hash_meanings(struct buf *all, const struct view *view, struct weir_stream *const *chain, uint32_t count, struct diag *diag);
/* plan.c: frees what a view holds, not the view. */
void compile_view_deinit(struct view *view);
/* The nodes from its source to this one. ERR_TOO_LARGE. */
int compile_chain_of(const struct weir_stream *last, struct weir_stream *chain[COMPILE_CHAIN_MAX], uint32_t *count);
/* Puts "stream to T: weir_filter: " before the sentence that the expression compiler left, and returns rc. */
int compile_in_context(struct diag *diag, int rc, const struct view *view, const char *what);
/* When the only column of a list over a source is a plain field, its dotted name (malloc'ed). */
int compile_find_field(struct compile *c, const struct expr_list *list, const char **field);
int compile_no_memory(struct diag *diag);

/* aggregate_fn.c: fills function and aggregates of a group whose aggregate is a user's function. */
int compile_aggregate_fn(struct compile *c, const struct weir_stream *node, struct group_params *group);
void compile_aggregate_fn_destroy(struct agg_function *function);
/* topology_rows.c: the adapter to the node's function. */
void topology_set_invoke(struct function_params *params, const struct weir_stream *node);

#endif
