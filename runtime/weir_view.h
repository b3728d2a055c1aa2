/* weir_view.h: the views of a log that questions are being asked of. A store is open once in a process, so that questions to one view share its reader. */
#ifndef WEIR_RUNTIME_WEIR_VIEW_H
#define WEIR_RUNTIME_WEIR_VIEW_H

#include "runtime/weir_handle.h"

struct shared_view;
struct view_reader;
/* Finds the view (view_find) and opens it, or takes the one that is open. Meanwhile its app cannot run on this log (ERR_BUSY there, and here while it does), so that rows
 * stay what they are. memory_bytes counts for who opens it first. Any thread. Errors of view_find and view_reader_open. */
int shared_view_open(weir_log *log, const char *name, const char *app, size_t memory_bytes, struct shared_view **view, struct diag *diag);
void shared_view_close(weir_log *log, struct shared_view *view);
struct view_reader *shared_view_reader(struct shared_view *view);

#endif
