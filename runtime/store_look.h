/* store_look.h: a look into one store of a job, running or not: what `weir state` and /api/v1/state show.
 *
 * A store holds what its last checkpoint saw. One of a job that runs in this process is read beside its task (state/state_reader.h); to look at another one its app's name is
 * taken meanwhile, so that it cannot start. One thread uses a look. */
#ifndef WEIR_RUNTIME_STORE_LOOK_H
#define WEIR_RUNTIME_STORE_LOOK_H

#include "runtime/state/state_reader.h"
#include "runtime/store_list.h"
#include "runtime/store_view.h"

struct weir_log;
struct store_look;
/* name is borrowed until the close. ERR_STOPPED: its job runs here, and the store is not open (it is being restored, or its pipeline is stopped). ERR_BUSY: something else has
 * the app's name. Errors of store_view_open_any and state_open. */
int store_look_open(struct weir_log *log, const struct store_name *name, struct store_look **look, struct diag *diag);
void store_look_close(struct weir_log *log, struct store_look *look);
/* As it prints. */
struct store_view *store_look_view(struct store_look *look);
/* As of the opening. */
struct state_reader *store_look_reader(struct store_look *look);
/* Whether a pair is one that is shown. */
bool store_look_shows(const struct store_look *look, struct bytes value);

struct store_description {
    uint64_t entries, bytes;
    char changelog[250];          /* "": it is gone, or none was followed yet */
    int64_t position, behind;     /* in the changelog; committed records behind it */
};
int store_look_describe(struct weir_log *log, struct store_look *look, struct store_description *description, struct diag *diag);

#endif
