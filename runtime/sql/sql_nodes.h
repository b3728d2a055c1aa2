/* sql_nodes.h: the part of the front-end that knows PostgreSQL's protobuf tree; sql_parse.c, sql_table.c and sql_select.c
 * include it. */
#ifndef WEIR_SQL_NODES_H
#define WEIR_SQL_NODES_H

#include "operators/expr_parse.h"
#include "runtime/sql/statement.h"

/* Refuses a message of PostgreSQL's tree that has any field set which is not in `known` (names apart by blanks; location always is), so that nothing that
 * somebody wrote is passed over: a handler names what it looks at. what begins the sentence: "CREATE TABLE". */
int nodes_know(struct parse *parse, const ProtobufCMessage *message, const char *what, const char *known);
/* The error of something that has a place and is not supported. */
int nodes_refuse(struct parse *parse, int32_t location, const char *hint, const char *what);

/* A name without schema. */
int nodes_relation(struct parse *parse, const PgQuery__RangeVar *range, struct sql_name *name);
int nodes_name(struct parse *parse, const char *text, int32_t location, struct sql_name *name);
/* A list of plain names (columns of INSERT, of a view, of an alias). */
int nodes_names(struct parse *parse, PgQuery__Node **nodes, size_t count, struct sql_name **names, uint32_t *name_count);
int nodes_options(struct parse *parse, PgQuery__Node **nodes, size_t count, struct option_list *options);

/* sql_parse.c. Whether a text may be parsed at all: its size, NUL bytes, UTF-8. */
int nodes_check_text(const char *text, size_t size, struct diag *diag);
/* Parses one statement and gives its node to read(parse, node, into), whose result it returns; the node is gone then. Errors of the parser have their
 * place and a hint. On a large stack (expr_on_large_stack). */
typedef int nodes_read(struct parse *parse, PgQuery__Node *node, void *into);
int nodes_parse(struct parse *parse, const char *text, nodes_read *read, void *into);

/* sql_table.c */
int nodes_create_table(struct parse *parse, const PgQuery__CreateStmt *create, struct statement *statement);
/* sql_copy.c */
int nodes_copy(struct parse *parse, const PgQuery__CopyStmt *copy, struct statement *statement);
/* sql_select.c */
int nodes_select(struct parse *parse, const PgQuery__Node *node, struct select **select);

#endif
