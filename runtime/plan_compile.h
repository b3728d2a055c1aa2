/* plan_compile.h: what the files that compile a view share. Private to plan.c, plan_rows.c and topology_rows.c. */
#ifndef WEIR_RUNTIME_PLAN_COMPILE_H
#define WEIR_RUNTIME_PLAN_COMPILE_H

#include "operators/function.h"
#include "runtime/plan.h"

enum { COMPILE_UNNEST_MAX = 8 };
struct unnested {
    const char *name;
    uint32_t column;
};
struct compile {
    struct view *view;
    struct diag *diag;
    struct scope scope;
    struct unnested elements[COMPILE_UNNEST_MAX]; /* over a source: columns that hide fields */
    uint32_t element_count;
    struct named_columns columns;   /* that the rows have, once a step has made columns; the arrays are its own */
};

/* Names over a source: any is a field, but for columns that steps have added. */
void compile_source_scope(struct compile *c);
/* plan_rows.c: a source whose format has columns in an order: what they are narrower than their columns' types is cast first. */
int compile_declared_source(struct compile *c);
/* plan_rows.c: filter, check, map and what else works on rows. */
int compile_row_step(struct compile *c, const struct weir_stream *node);
void compile_columns_destroy(struct named_columns *columns);
void compile_row_step_destroy(const struct op_spec *spec);
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
