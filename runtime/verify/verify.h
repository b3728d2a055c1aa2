/* verify.h: recomputes a view from the topics that it reads, slowly and plainly, and compares what comes of it with what the engine has left.
 *
 * One thread; nothing is written. See README.md. */
#ifndef WEIR_RUNTIME_VERIFY_H
#define WEIR_RUNTIME_VERIFY_H

#include "runtime/base/bytes.h"
#include "runtime/base/error.h"

#define VERIFY_MEMORY_BYTES (INT64_C(1) << 30)

struct port;

/* A place where the engine's work and the recomputation differ. Texts and bytes are borrowed for the call. */
struct verify_difference {
    const char *kind;             /* "value", "missing", "unknown", "second", "partition", "open", "order", "count", "time" */
    const char *where;            /* "output", "store" or "progress" */
    const char *topic;            /* the output topic, the store's changelog topic, the stage */
    int32_t partition;            /* -1: none */
    int64_t offset;               /* of the record; -1: none */
    struct bytes key;             /* of the result or row; data NULL: none */
    struct bytes expected, found; /* data NULL: nothing */
    const char *text;             /* a sentence */
};

struct verify_outcome {
    int64_t rows_read, made, applied, filtered, late, duplicate, unmatched, dead; /* of the view's sources */
    int64_t undecided;            /* rows of a de-duplication that came from different partitions: which was first is not written down, and each outcome is right */
    int64_t groups;               /* results that were recomputed, by group and window */
    int64_t closed, open;         /* of windows: those that the engine has closed, and the others */
    int64_t compared;             /* results or rows that were compared with the output topic */
    int64_t states;               /* results that were compared with the store; of a join of two tables the rows of both */
    int64_t waiting;              /* results that the engine has rows for which it has not merged yet, and changes of two tables that it has not joined yet: not compared */
    int64_t inexpressible;        /* results without a value (dead letters): not compared */
    int64_t records;              /* of the output topic */
    int64_t differences;
    bool is_rows;                 /* the view has no groups */
    bool is_of_tables;            /* it joins two tables */
    bool is_final, is_windowed;
};

struct verify_options {
    const char *data, *app, *view;
    /* Called for each difference; all are counted. */
    void (*each)(void *context, const struct verify_difference *difference);
    void *context;
    int64_t memory_bytes; /* results may take so much, 0: VERIFY_MEMORY_BYTES; what needs more is ERR_TOO_LARGE */
    /* Asked now and then; true ends the work with ERR_STOPPED. NULL: never. */
    bool (*is_stopped)(void *context);
};

/* The app in the directory that has a view of this name. ERR_NOT_FOUND, and ERR_INVALID when there are several, with a sentence. */
int verify_find_app(const char *data, const char *view, char app[250], struct diag *diag);
/* The topic of the app's view, which may be named as SQL does. ERR_INVALID: the name is one view's and the topic of another, with a sentence. */
int verify_find_topic(const char *data, const char *app, const char *view, char topic[250], struct diag *diag);

/* 0 with a report, whatever it says. ERR_NOT_FOUND: no such app or view; ERR_UNSUPPORTED: it cannot be recomputed (functions in C …); ERR_RANGE: rows that it has read
 * are gone; ERR_TOO_LARGE: memory_bytes are not enough; each with a sentence. */
int verify_view(const struct verify_options *options, struct port *port, struct verify_outcome *report, struct diag *diag);

#endif
