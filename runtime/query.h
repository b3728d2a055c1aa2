/* query.h: a question to a view: parsed, bound to the view's state, run.
 *
 *   query_create    text → statement
 *   query_bind      names and types, and what need not be read; the view stays the caller's
 *   query_start     the first row is next (again)
 *   query_next      batches
 *
 * One thread at a time. */
#ifndef WEIR_RUNTIME_QUERY_H
#define WEIR_RUNTIME_QUERY_H

#include "operators/column.h"

struct query;
struct view_reader;
/* Parses. Negative with place and hint in diag; the text is copied. */
int query_create(const char *sql, size_t size, struct query **query, struct diag *diag);
void query_destroy(struct query *query);
/* The name in FROM. */
const char *query_view(const struct query *query);
/* Names, types and what need not be read, against a view that is compiled and perhaps not open; once. query_bind does it. */
struct view;
int query_compile(struct query *query, const struct view *view, struct diag *diag);
struct view_access;
const struct view_access *query_access(const struct query *query);
/* Once. memory_bytes bounds what ORDER BY, GROUP BY and looking for closed windows keep, each. reader outlives the query. */
int query_bind(struct query *query, struct view_reader *reader, size_t memory_bytes, struct diag *diag);

/* The columns of the answer; of a bound query. */
uint32_t query_column_count(const struct query *query);
const char *query_column_name(const struct query *query, uint32_t column);
enum col_type query_column_type(const struct query *query, uint32_t column);
/* What is read and what is done with it, as lines of text. */
int query_explain(struct query *query, struct buf *out, struct diag *diag);

int query_start(struct query *query, struct diag *diag);
/* 1: a batch with rows, until the next call; 0: the end; negative: an error: ERR_NOMEM with the limit, ERR_INVALID when an expression fails for a row. */
int query_next(struct query *query, const struct batch **batch, struct diag *diag);
/* Whether its rows have places: it neither groups nor sorts. */
struct view_mark;
bool query_has_marks(const struct query *query);
/* After query_start: rows behind a mark. And the place of a row, by its selection, of the last batch. ERR_NOMEM. */
int query_begin_behind(struct query *query, const struct view_mark *mark);
int query_mark(const struct query *query, uint32_t row, struct view_mark *mark);
/* See view_scan_left_out. */
uint64_t query_left_out(const struct query *query, const char **reason);

#endif
