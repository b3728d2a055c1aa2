/* expr_parse.h: the part of the parser that knows PostgreSQL's protobuf tree; expr_parse.c,
 * expr_type.c and their test include it. */
#ifndef WEIR_OPERATORS_EXPR_PARSE_H
#define WEIR_OPERATORS_EXPR_PARSE_H

#include "operators/expr_internal.h"

#include <pg_query/pg_query.pb-c.h>

struct parse {
    struct source source;
    struct arena *arena;
    int32_t shift; /* bytes in what PostgreSQL parsed before the first of the user's text; negative:
                      the user's text begins earlier */
    uint32_t depth;
    int32_t near; /* the last known place, for nodes without one */
};
/* One node and what is below it. ERR_UNSUPPORTED with the node's name where there is no handler. */
int syntax_from_node(struct parse *parse, const PgQuery__Node *node, struct syntax **out);
/* The type that a cast names (expr_type.c). ERR_UNSUPPORTED, ERR_INVALID. */
int type_from_name(struct parse *parse, const PgQuery__TypeName *name, int32_t at,
                   struct sql_type *type);
/* A position in the parsed text as one in the user's; −1 when it has none. */
int32_t user_position(const struct parse *parse, int32_t location);
/* The same of a place that PostgreSQL's errors name: characters from 1, in the text it was given. */
int32_t cursor_position(const struct parse *parse, const char *parsed, int cursor);
/* The items of a select list, AS names taken along. list is empty before. */
int targets_from_nodes(struct parse *parse, PgQuery__Node **nodes, size_t count,
                       struct target_list *list);
/* Refuses a node by its name. ERR_UNSUPPORTED. */
int refuse_node(struct parse *parse, const PgQuery__Node *node);
/* Whether a text is UTF-8; *bad: the first byte of what is not. */
bool parse_utf8_valid(const uint8_t *text, size_t size, size_t *bad);
/* Whether an error of PostgreSQL's parser says that the text nests too deeply for it. */
bool parse_was_too_deep(const char *message);
/* The text of a string node, or NULL. */
const char *string_of(const PgQuery__Node *node);

#endif
