/* weir_view.h: the views of a log that questions are being asked of, and the jobs that run on it.
 *
 * A view of a job that does not run is opened for the first question and closed with the last; meanwhile its app cannot run on this log. A view of one that runs here is kept
 * for a while after the last question, so that the next one only has to read what came since. */
#ifndef WEIR_RUNTIME_WEIR_VIEW_H
#define WEIR_RUNTIME_WEIR_VIEW_H

#include "runtime/weir_handle.h"

enum { VIEW_REST_BYTES = 64 << 20 };
/* One question's. */
struct shared_view;
struct view_reader;
/* Finds the view (view_find) and opens it, or takes the one that is open. memory_bytes bounds what changelogs hold beyond their stores and
 * counts for who opens it first; of a job that runs here that is VIEW_REST_BYTES. Any thread. Errors of view_find and view_source_open;
 * ERR_BUSY: its app has been taken by something that is not running tasks (it starts, or is reset, or fills a topic); ERR_STOPPED: it runs here, and its state is
 * being restored: diag says what is missing. */
int shared_view_open(weir_log *log, const char *name, const char *app, size_t memory_bytes, struct shared_view **view, struct diag *diag);
void shared_view_close(weir_log *log, struct shared_view *view);
struct view_reader *shared_view_reader(struct shared_view *view);
/* Its app runs in this process. */
bool shared_view_runs(const struct shared_view *view);

/* Keeps an app that does not run here from it, as an open view does; *taken NULL: it runs here. ERR_BUSY: something else has its name. */
struct shared_port;
int shared_name_take(weir_log *log, const char *app, struct shared_port **taken, struct diag *diag);
/* NULL is allowed. */
void shared_name_give_back(weir_log *log, struct shared_port *taken);

/* A run of the app has its tasks and begins; it has ended, and its stores are closed. By the run, and by a server that is going to run it, from before it is asked
 * anything, so that no question takes the app's name first. The app lives in between. */
struct weir_app;
int shared_views_begin(weir_log *log, struct weir_app *app, struct diag *diag);
void shared_views_end(weir_log *log, const struct weir_app *app);
/* Now and then, by the run: forgets views that nobody has asked for VIEW_KEEP_MS. */
enum { VIEW_KEEP_MS = 30000 };
void shared_views_tend(weir_log *log);
/* Whether the app of this name runs here. */
bool shared_views_app_runs(weir_log *log, const char *app);

#endif
