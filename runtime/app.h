/* app.h: what stands behind weir_app and weir_stream: the topology as the user built it. Private to runtime/. */
#ifndef WEIR_RUNTIME_APP_H
#define WEIR_RUNTIME_APP_H

#include <stdatomic.h>

#include "operators/window.h"
#include "runtime/base/error.h"
#include "runtime/weir.h"

enum node_kind { NODE_SOURCE, NODE_FILTER, NODE_CHECK, NODE_MAP, NODE_GROUP, NODE_WINDOW, NODE_AGGREGATE };

/* One step of a chain. Nodes are immutable once built but for lateness, skew and idle time (source) and emit (aggregate). */
struct weir_stream {
    struct weir_app *app;
    struct weir_stream *parent;       /* NULL for a source */
    struct weir_stream *next_owned;   /* list of all nodes of the app */
    enum node_kind kind;
    char *text;                       /* topic, condition or select list */
    char *extra;                      /* event time field (or NULL), error class */
    int64_t number_ms;                /* lateness or window size */
    int64_t idle_ms;                  /* source: without new rows for so long, time follows the wall clock; 0: never */
    int64_t skew_ms;                  /* source: how far a row's event time may be ahead of its record's timestamp */
    enum window_kind window;          /* of a window */
    int64_t hop_ms;                   /* of a hopping window */
    weir_emit_mode emit;
};

struct sink {
    struct weir_stream *stream;
    char *topic;
    struct sink *next;
};

struct metrics;
struct run;
struct weir_app {
    char *name;
    char *data;
    struct weir_options options;      /* defaults filled in; data points to the copy above */
    struct weir_stream *nodes;
    struct sink *sinks, **sinks_end;  /* in the order of weir_to */
    struct diag diag;                 /* the first error of the builder, or the last of a run */
    int error;                        /* of the builder */
    atomic_int stop;                  /* set by weir_app_stop: lock-free, so safe in a signal handler */
    struct weir_progress progress;    /* of the last run */
    struct metrics *metrics;          /* of all runs */
    struct run *run;                  /* while weir_app_run works */
};

#endif
