/* view_session.h: sessions that are open, put together from the cells that the state keeps of them (operators/group_session.c). */
#ifndef WEIR_RUNTIME_VIEW_SESSION_H
#define WEIR_RUNTIME_VIEW_SESSION_H

#include "runtime/view_reader.h"

/* row: accumulators of the cell that starts at cell_ms, of the group. 1: a session begins in it, and the row is now that of the whole session; 0: it goes on from the cell
 * before. The row is initialised by the caller, who releases it. */
int view_session_compose(struct view_reader *reader, int32_t partition, struct bytes group_key, int64_t cell_ms, void *row, struct arena *arena, struct diag *diag);
/* The cells that may hold the beginning of a session whose window_start is in a range. A session that has been carried on from closed cells lies in the first that is
 * not closed. */
void view_session_cells(const struct view *view, struct view_time time, int64_t *from_ms, int64_t *to_ms);

#endif
