/* expr_parse.h: the part of the parser that knows PostgreSQL's protobuf tree; expr_parse.c,
 * expr_type.c and their test include it. */
#ifndef WEIR_OPERATORS_EXPR_PARSE_H
#define WEIR_OPERATORS_EXPR_PARSE_H

#include "operators/expr_internal.h"

#include <pg_query/pg_query.pb-c.h>

struct parse {
    struct source source;
    struct arena *arena;
    uint32_t depth;
    int32_t near; /* the last known place, for nodes without one */
};
/* One node and what is below it. ERR_UNSUPPORTED with the node's name where there is no handler. */
int syntax_from_node(struct parse *parse, const PgQuery__Node *node, struct syntax **out);
/* The type that a cast names (expr_type.c). ERR_UNSUPPORTED, ERR_INVALID. */
int type_from_name(struct parse *parse, const PgQuery__TypeName *name, int32_t at,
                   struct sql_type *type);
/* A position in the parsed text as one in the user's; −1 when it has none. */
int32_t user_position(int32_t location);
/* The text of a string node, or NULL. */
const char *string_of(const PgQuery__Node *node);

#endif
