/* sql_query.h: one SELECT, asked of a view that is kept: what weir query reads.
 *
 * The SELECT itself is the one of files (statement.h), compiled by the same code; what only a question has is ORDER BY, LIMIT and OFFSET. */
#ifndef WEIR_SQL_QUERY_H
#define WEIR_SQL_QUERY_H

#include "runtime/sql/sql.h"

enum { QUERY_ORDER_MAX = 64 };

struct order_item {
    struct syntax *syntax;
    int32_t at;
    bool is_descending, nulls_first;
};
struct query_statement {
    struct select *select;       /* its FROM is a name */
    struct order_item *order;
    uint32_t order_count;
    int64_t limit, offset;       /* limit -1: none */
};

/* Parses the one statement of text (NUL-terminated, size bytes before it) into arena memory. ERR_INVALID, ERR_UNSUPPORTED, ERR_TOO_LARGE, with line, column, caret and hint
 * in diag; ERR_NOMEM. */
int sql_parse_query(const char *text, size_t size, struct arena *arena, struct query_statement *query, struct diag *diag);

/* The columns that a question may use, in the order of rows; the last `hidden` of them are not in *. */
struct query_columns {
    const char *name;            /* of the view, as messages spell it */
    struct relation_column *columns;
    uint32_t count, hidden;
};
/* What is to be done with the rows: steps are FILTER, then GROUP, AGGREGATE and FILTER, MAP, or MAP alone; names and types are right, whatever else is. */
struct query_steps {
    struct relation *relation;   /* its steps, and the columns that they give: those that are shown, then what they are ordered by */
    struct syntax *where;        /* of the FILTER step, with plain column names; NULL: none */
    uint32_t shown;              /* columns of the answer */
    uint32_t *order;             /* columns that rows are ordered by, first things first: order[i] of query->order[i] */
};
/* Resolves and types a question against the view's columns. All of it is memory of program's arena, which is the statement's too. Errors as above; text is what was
 * parsed. */
int sql_plan_query(struct sql_program *program, const char *text, const struct query_statement *query, const struct query_columns *columns,
                   struct query_steps *steps, struct diag *diag);

#endif
