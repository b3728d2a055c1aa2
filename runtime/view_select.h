/* view_select.h: rows of a view by key and by range, as the SELECT that asks for them. */
#ifndef WEIR_RUNTIME_VIEW_SELECT_H
#define WEIR_RUNTIME_VIEW_SELECT_H

#include "runtime/plan.h"

/* What is wanted, as text; NULL: anything. */
struct view_wanted {
    const char *key;              /* a JSON object of columns of the key, some or all, or the text of the only one: rows that are equal there */
    const char *key_from, *key_to; /* the same of one column: from ≤ column < to */
    const char *from, *to;        /* ISO 8601 or epoch milliseconds: from ≤ window_start < to */
    const char *open;             /* "true", "false": window_open */
};
/* Appends the SELECT over the view called name. ERR_INVALID with what is wrong. */
int view_select(const struct view *view, const char *name, const struct view_wanted *wanted, struct buf *sql, struct diag *diag);

#endif
