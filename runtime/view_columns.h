/* view_columns.h: the columns of a view that is asked: what its topic's records hold, whether the window is open, and, where the records do not have them, the columns
 * of its key. Immutable once made; any thread's. */
#ifndef WEIR_RUNTIME_VIEW_COLUMNS_H
#define WEIR_RUNTIME_VIEW_COLUMNS_H

#include "runtime/plan.h"

enum { KEY_NONE = -1, KEY_WINDOW_START = -2, KEY_WINDOW_END = -3 };
struct view_column {
    const char *name;
    enum col_type type;
    uint32_t result;              /* its place among the columns of group_build_results */
    int key;                      /* the group's column that it is, by number, or one of KEY_… */
    bool is_open_mark;            /* window_open: no result's column */
};
struct view_columns {
    struct view_column *items;
    uint32_t count, hidden;       /* the last `hidden` are columns of the key alone */
    uint32_t value_count;         /* the first ones, as the topic's records have them */
};
/* Names are borrowed from the view, memory is the arena's. ERR_NOMEM. */
int view_columns_make(const struct view *view, struct arena *arena, struct view_columns *columns);

#endif
