/* app_views.h: the views of an app, as the last run of each had it: what `weir verify` recomputes.
 *
 * DIR/state/<app>/views.json holds the builder calls of every weir_to of the app. Reading it back makes them again on an app that is never run, so
 * that neither the SQL file nor the program is needed. Functions in C are only named there: the plan compiles, and who evaluates it has to refuse them. */
#ifndef WEIR_RUNTIME_APP_VIEWS_H
#define WEIR_RUNTIME_APP_VIEWS_H

#include <jansson.h>

#include "runtime/plan.h"

/* Writes the file (atomically; skipped when it is there and the same). */
int app_views_write(const struct weir_app *app, struct diag *diag);
/* Makes the app anew, with this view and those that write what it reads, and compiles its plan. ERR_NOT_FOUND without a file or such a view, ERR_CORRUPT when it cannot be
 * read. The caller destroys the plan, then closes the app. */
int app_views_open(const char *data, const char *app_name, const char *view, weir_app **app, struct plan **plan, struct diag *diag);
/* The topic of an app's view that is named as SQL does, or by it; the name itself when the app has no such view. ERR_INVALID: it is one view's name and another's topic. */
int app_views_topic(const char *data, const char *app, const char *view, char topic[250], struct diag *diag);
/* The app in the directory that has a view of this name. ERR_NOT_FOUND, and ERR_INVALID when there are several, with a sentence. */
int app_views_find(const char *data, const char *view, char app_name[250], struct diag *diag);

/* store_view.c: the builder calls that lead to a stream, and back. NULL: no memory, or they are not calls. */
json_t *store_view_steps(const struct weir_stream *stream);
weir_stream *store_view_make_steps(weir_app *app, const json_t *steps);
/* The format of this name; of one that the app's program has, its name alone. */
const struct format *store_view_format(weir_app *app, const char *name);

#endif
