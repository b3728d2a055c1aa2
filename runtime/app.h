/* app.h: what stands behind weir_app and weir_stream: the topology as the user built it. Private to runtime/. */
#ifndef WEIR_RUNTIME_APP_H
#define WEIR_RUNTIME_APP_H

#include <pthread.h>
#include <stdatomic.h>

#include "operators/window.h"
#include "runtime/base/error.h"
#include "runtime/weir.h"

enum { WORKERS_MAX = 1024 };

/* The numbers are part of plan hashes: new kinds go to the end. */
enum node_kind {
    NODE_SOURCE, NODE_FILTER, NODE_CHECK, NODE_MAP, NODE_GROUP, NODE_WINDOW, NODE_AGGREGATE,
    NODE_FILTER_FN, NODE_MAP_FN, NODE_FLAT_MAP_FN, NODE_UNNEST, NODE_PEEK, NODE_REKEY, NODE_MERGE,
    NODE_KEYED, NODE_JOIN, NODE_DISTINCT, NODE_WITHIN, NODE_JOIN_TABLES
};

struct format;
struct user_format;

/* A user's function: one of the pointers, by the node's kind. */
struct user_function {
    weir_filter_function filter;
    weir_map_function map;
    weir_flat_map_function flat_map;
    weir_peek_function peek;
    void *context;
};

/* One step of a chain. Nodes are immutable once built but for lateness, skew and idle time (source) and emit (aggregate). */
struct weir_stream {
    struct weir_app *app;
    struct weir_stream *parent;       /* NULL for a source and a merge */
    struct weir_stream **merged;      /* of a merge: what comes together, in order; own array */
    uint32_t merged_count;
    struct weir_stream *table;        /* of a join; of a join of two streams or tables the right one */
    char *right_columns;              /* of a join of two streams, whose left keys, left columns and right keys are text, extra and name */
    int64_t before_ms, after_ms;
    struct weir_stream *next_owned;   /* list of all nodes of the app */
    enum node_kind kind;
    char *text;                       /* topic, condition or select list */
    char *extra;                      /* event time field (or NULL), error class, declared result columns */
    char *name;                       /* of a function, with its version; of a source, its declared columns */
    const struct format *format;      /* of a source */
    struct user_function function;
    weir_aggregate_functions aggregate; /* of an aggregate with a name; context is function.context */
    int64_t number_ms;                /* lateness, window size, within, or of a join its weir_join_kind */
    int64_t idle_ms;                  /* source: without new rows for so long, time follows the wall clock; 0: never */
    char *partitioned_by;             /* source: the field whose text is said to decide where records lie; NULL: the topic says it or nobody */
    int32_t partitions;               /* source: that the topic must have; 0: any */
    bool is_partitioned;              /* weir_latest: a task that joins with the table reads its own partition of it (weir_table_partitioned) */
    int64_t skew_ms;                  /* source: how far a row's event time may be ahead of its record's timestamp */
    enum window_kind window;          /* of a window */
    int64_t hop_ms;                   /* of a hopping window; of a local one its unit */
    weir_emit_mode emit;
};

struct sink {
    struct weir_stream *stream;
    char *topic;
    char *name;                       /* under which weir query knows it too; NULL: its topic's alone */
    char *partitions_like;            /* its topic gets as many partitions as this one has; NULL: as the output's options, or its source, say */
    const struct format *format;      /* of weir_to_as; NULL: JSON, or what the rows have that pass as they came */
    struct weir_failure_options failure;   /* defaults filled in */
    struct weir_output_options output;
    bool fails_on_bad_row;
    atomic_bool is_paused;
    struct sink *next;
};

struct metrics;
struct run;
struct weir_app {
    char *name;
    char *data;
    struct weir_options options;      /* defaults filled in; data points to the copy above */
    struct weir_stream *nodes;
    struct user_format *formats;      /* the last one first */
    struct sink *sinks, **sinks_end;  /* in the order of weir_to */
    struct diag diag;                 /* the first error of the builder, or the last of a run */
    int error;                        /* of the builder */
    atomic_int wanted_threads;        /* weir_app_set_threads; 0: nothing new */
    atomic_int workers;               /* that have tasks now; 0: it does not run */
    atomic_int hold;                  /* enum app_hold, app_hold.h */
    atomic_int stop;                  /* set by weir_app_stop: lock-free, so safe in a signal handler */
    struct weir_progress progress;    /* of the last run */
    pthread_mutex_t mutex;            /* of what is below; taken before the run's */
    struct metrics *metrics;          /* of all runs */
    struct run *run;                  /* while weir_app_run works */
    uint32_t stage_count;
    struct weir_stage_info *stages;   /* as the last run left them: one block; NULL: there was none */
};

/* What the files of builder functions share (topology.c). */
bool topology_function_name_is_good(const char *name);   /* topology_rows.c */
/* 1 to limit characters of [A-Za-z0-9._-], not . or .. */
bool topology_name_is_good(const char *name, size_t limit);
enum { PARTITIONS_MAX = 10000 };  /* of a topic */
enum { OUTPUT_NAME_MAX = 130 };   /* of a topic that weir_to writes: Kafka's 249 less the longest thing that is added, <app>- … -repartition */
/* Keeps the app's first error and returns its code. */
int topology_fail(struct weir_app *app, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* A new node behind parent. NULL after an error, this one or an earlier one. */
struct weir_stream *topology_add_node(struct weir_app *app, struct weir_stream *parent, enum node_kind kind, const char *text,
                                      const char *extra);
/* Gives the pipeline that writes topic, the last one that was added, a second name. ERR_NOMEM. */
int topology_name_sink(struct weir_app *app, const char *topic, const char *name);
/* The topic of the pipeline gets as many partitions as another topic has, when it is made. ERR_NOMEM. */
int topology_spread_sink(struct weir_app *app, const char *topic, const char *like);
/* Whether such a step may follow the stream: it is not grouped or re-keyed, and not aggregated unless the step works on results. what is the step's function. */
bool topology_gives_rows(const struct weir_stream *stream, enum node_kind kind, const char *what);
/* Whether some step on the way to it is weir_distinct. */
bool topology_is_distinct(const struct weir_stream *stream);
/* The same for a step on rows: text is needed, and the stream is not grouped or aggregated. what is the function's name. */
struct weir_stream *topology_add_step(struct weir_stream *stream, enum node_kind kind, const char *what, const char *text,
                                      const char *extra);

#endif
