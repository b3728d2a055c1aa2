/* query_access.h: which rows of a view a WHERE can mean, so that the others need not be read. */
#ifndef WEIR_RUNTIME_QUERY_ACCESS_H
#define WEIR_RUNTIME_QUERY_ACCESS_H

#include "operators/syntax.h"
#include "runtime/view_scan.h"

enum { QUERY_POINTS_MAX = 1000 };

/* where: with plain names of columns (sql_query.h); NULL: none. Every row for which it is true is inside *access, whose memory is the arena's. ERR_NOMEM. */
int query_access_find(const struct view *view, const struct view_columns *columns, const struct syntax *where, struct arena *arena, struct view_access *access,
                      struct diag *diag);
/* What would be read, as lines of text. */
int query_access_explain(struct view_reader *reader, const struct view_access *access, struct arena *arena, struct buf *out, struct diag *diag);

#endif
