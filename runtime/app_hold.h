/* app_hold.h: keeps a running app between two commits, for who looks at what it has left. Any thread.
 *
 * A held app reads, commits and closes nothing: its workers stand parked (workers.c), no commit is in flight, and positions, outputs, changelogs and the
 * progress topic all say the same moment, that of each task's last commit. Stores may still be brought up to their changelogs, metrics
 * are kept, and whoever writes to its sources goes on. */
#ifndef WEIR_RUNTIME_APP_HOLD_H
#define WEIR_RUNTIME_APP_HOLD_H

#include "runtime/app.h"

enum app_hold { APP_HOLD_NONE, APP_HOLD_WANTED, APP_HOLD_HELD };

/* Waits until it is held, at most until then (monotonic clock). ERR_STATE: it does not run now; ERR_BUSY: somebody holds it; ERR_TIMEOUT: a commit
 * takes that long. */
int app_hold(struct weir_app *app, int64_t until_ns);
/* false: it ends, or has ended, and the hold with it: what was seen since is not to be relied on. */
bool app_is_held(const struct weir_app *app);
/* Goes on. Also when the hold is over by itself. */
void app_release(struct weir_app *app);

#endif
