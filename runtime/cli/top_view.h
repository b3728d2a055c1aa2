/* top_view.h: a reading as lines for a screen, or as NDJSON. One thread. */
#ifndef WEIR_CLI_TOP_VIEW_H
#define WEIR_CLI_TOP_VIEW_H

#include "runtime/cli/top_reading.h"

enum top_sort { TOP_SORT_NAME, TOP_SORT_RATE, TOP_SORT_LAG, TOP_SORT_BUSY, TOP_SORT_STATE, TOP_SORTS };
extern const char *const top_sort_names[TOP_SORTS];

struct top_view {
    const char *app;        /* NULL: all */
    bool by_partition;
    enum top_sort sort;
    int width, height;      /* of the screen; 0: as large as it takes */
    bool color;
    const char *source;     /* what is looked at, for the first line */
    int64_t now_ns;         /* of the wall clock */
    bool is_live;           /* the reading is new, and there was one before it */
};

/* Appends lines, each ended by a line feed, none wider than the screen, and no more than it has. ERR_NOMEM. */
int top_view_text(const struct top_view *view, const struct top_reading *reading, struct buf *text);
/* Appends an object per stage (or partition), one per app, and one of totals. */
int top_view_json(const struct top_view *view, const struct top_reading *reading, struct buf *text);

#endif
