/* expr_nodes.h: the evaluators of node kinds, named by the binder; defined in expr_eval.c,
 * expr_compare.c and expr_cast.c. */
#ifndef WEIR_OPERATORS_EXPR_NODES_H
#define WEIR_OPERATORS_EXPR_NODES_H

#include "operators/expr_internal.h"

/* flag: OR instead of AND. */
int eval_logic(const struct node *node, struct eval *eval, struct column *out);
int eval_not(const struct node *node, struct eval *eval, struct column *out);
/* flag: negated. */
int eval_null_test(const struct node *node, struct eval *eval, struct column *out);
/* op: TEST_…; flag: negated. */
int eval_boolean_test(const struct node *node, struct eval *eval, struct column *out);
/* op: enum compare_op. */
int eval_compare(const struct node *node, struct eval *eval, struct column *out);
int eval_distinct(const struct node *node, struct eval *eval, struct column *out);
int eval_in(const struct node *node, struct eval *eval, struct column *out);
/* op: symmetric. */
int eval_between(const struct node *node, struct eval *eval, struct column *out);
int eval_case(const struct node *node, struct eval *eval, struct column *out);
int eval_coalesce(const struct node *node, struct eval *eval, struct column *out);
/* target: the type that the first argument is compared at. */
int eval_nullif(const struct node *node, struct eval *eval, struct column *out);
int eval_try(const struct node *node, struct eval *eval, struct column *out);
/* expr_record.c: calls that take no arguments and are no constants all the same. */
int eval_record(const struct node *node, struct eval *eval, struct column *out);
bool is_record_function(const char *name);
int bind_record(struct binder *binder, const struct syntax *syntax, struct node **node);
/* flag: GREATEST. */
int eval_extreme(const struct node *node, struct eval *eval, struct column *out);

/* Turns an IN over many literals into a lookup in a sorted set. */
int in_set_prepare(struct binder *binder, struct node *node);

/* How a value of type `from` becomes target; false: it cannot. */
bool cast_choose(uint8_t from, const struct sql_type *target, bool explicit_cast, node_eval *eval,
                 scalar_fn *scalar);
const char *cast_hint(uint8_t from, uint8_t to);
/* expr_bytea.c */
int text_to_bytea(struct row_call *call, const union scalar *args, union scalar *result);
int variant_to_bytea(struct row_call *call, const union scalar *args, union scalar *result);
int bytea_to_text(struct row_call *call, const union scalar *args, union scalar *result);
/* Converts a column (nullif's first argument) without a node of its own. */
int cast_column(struct eval *eval, uint8_t from, const struct sql_type *target,
                const struct column *in, struct column *out);

struct expr *expr_new(void);

#endif
