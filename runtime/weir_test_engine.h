/* weir_test_engine.h: one life of an app's engine, driven by its caller's thread. Private to weir_test.c. */
#ifndef WEIR_RUNTIME_WEIR_TEST_ENGINE_H
#define WEIR_RUNTIME_WEIR_TEST_ENGINE_H

#include "runtime/run.h"

struct engine {
    struct run run;
    struct weir_log *log;             /* driven; borrowed */
    int open_workers;
    int64_t next_checkpoint_ns;
    int64_t wait_ms;                  /* of the last turn, when it was idle: some worker has something to do, or looks around, then */
    bool is_open;
};

/* Opens the run and its workers (which restore their stores). On failure it is closed, and the app's error says why. */
int engine_open(struct engine *engine, struct weir_app *app, struct weir_log *log);
/* A turn of each worker, then what the log and the checkpoint have to do. *idle: nothing was to be done. A failure closes the engine; so does, with
 * 0, the end of the run (run_set_ends, weir_app_stop): is_open says so. */
int engine_turn(struct engine *engine, bool *idle);
/* Commits what was read, brings the stores up to date, closes. */
int engine_end(struct engine *engine);
/* Closes without any of that: for an engine whose files take nothing any more. */
void engine_drop(struct engine *engine);
/* The state of a group as JSON text; see weir_test_get. */
int engine_get(struct engine *engine, const char *topic, const char *key, struct buf *json, struct diag *diag);

#endif
