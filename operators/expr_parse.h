/* expr_parse.h: the part of the parser that knows PostgreSQL's protobuf tree; expr_parse.c and its test include it. */
#ifndef WEIR_OPERATORS_EXPR_PARSE_H
#define WEIR_OPERATORS_EXPR_PARSE_H

#include "operators/expr_internal.h"

#include <pg_query/pg_query.pb-c.h>

struct parse {
    struct source source;
    struct arena *arena;
    uint32_t depth;
    int32_t near;                /* the last known place, for nodes without one */
};
/* One node and what is below it. ERR_UNSUPPORTED with the node's name where there is no handler. */
int syntax_from_node(struct parse *parse, const PgQuery__Node *node, struct syntax **out);

#endif
