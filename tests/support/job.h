/* job.h: a job as data, so that tests can write it in a file or draw it at random, and run it through weir.h. */
#ifndef WEIR_TESTS_JOB_H
#define WEIR_TESTS_JOB_H

#include "runtime/weir.h"

enum job_step_kind {
    JOB_SOURCE,     /* text: topic, second: event time field or NULL */
    JOB_LATENESS,   /* number: ms */
    JOB_IDLE,       /* number: ms; weir_idle_close */
    JOB_SKEW,       /* number: ms; weir_max_future_skew */
    JOB_FILTER,     /* text */
    JOB_CHECK,      /* text: condition, second: class */
    JOB_MAP,        /* text */
    JOB_GROUP,      /* text */
    JOB_WINDOW,     /* number: ms */
    JOB_HOPPING,    /* number: ms, other: hop in ms */
    JOB_SESSION,    /* number: gap in ms */
    JOB_LOCAL,      /* text: zone, number: units, other: weir_unit */
    JOB_AGGREGATE,  /* text */
    JOB_EMIT_FINAL,
    JOB_TO,         /* text: topic, number: the format or 0; ends a stage */
    JOB_FILTER_FN,  /* text: select list, second: a function of job_functions.c, which is its name */
    JOB_MAP_FN,     /* the same; third: declared columns */
    JOB_FLAT_MAP_FN,
    JOB_AGGREGATE_FN,
    JOB_UNNEST,     /* text: array, second: column */
    JOB_REKEY,      /* text */
    JOB_SOURCE_AS,  /* as JOB_SOURCE; third: columns or NULL, number: the format */
    JOB_BRANCH,     /* text: conditions with ; between them, number: which branch */
    JOB_PEEK,       /* text: select list, second: a function of job_functions.c */
    JOB_MERGE,      /* text: names of streams that were kept, with blanks between them; the stream in hand comes first */
    JOB_LATEST,     /* text: the key */
    JOB_JOIN,       /* text: what the key must equal, second: the name of a stream that was kept, third: columns, number: weir_join_kind */
    JOB_DISTINCT,   /* text: columns, number: ms */
    JOB_WITHIN,     /* text: "keys = keys: columns => columns" of the stream in hand and of one that was kept, second: its name, third: "left" or NULL, number and other: ms before and after */
    JOB_KEEP,       /* text: the name under which the stream in hand is kept */
};
struct job_step {
    enum job_step_kind kind;
    const char *text, *second, *third;
    int64_t number, other;
};
enum { JOB_STEPS_MAX = 512, JOB_KEPT_MAX = 16 };
struct sql_program;
struct job {
    const char *app;
    struct sql_program *sql; /* what is built in place of the steps; those then say which topics there are (job_set_sql). NULL: the steps */
    struct job_step steps[JOB_STEPS_MAX];
    int step_count;
};

/* job_functions.c: users' functions by name; NULL when there is none.
 *   filter   even     keeps even bigints; refuses negative ones with a message, and other types without
 *   map      echo     gives its values back
 *            nudge    the third value plus one when it is a bigint; refuses 13
 *   peek     look     looks at the types of its values
 *   flat map fan      as many rows as the second value says, which counts them, the third, when it is a bigint, from itself on; refuses 13 there, after it
 *                     gave rows
 *            repeat   n, x → n rows (0, x) … (n − 1, x); a negative n: −n rows, then it fails
 *   aggregate span    bigint n: rows, sum, least, greatest; refuses 7 with a message, and what is no bigint. NULL is a row alone
 *             packed  the same, with encode and decode
 *             wary    the same; refuses to give a negative sum */
weir_filter_function job_filter_function(const char *name);
weir_map_function job_map_function(const char *name);
weir_flat_map_function job_flat_map_function(const char *name);
weir_peek_function job_peek_function(const char *name);
const weir_aggregate_functions *job_aggregate_functions(const char *name);

/* job_formats.c: a user's format, as a source's or an output's number JOB_PAIRS; this adds it to an app. */
enum { JOB_PAIRS = -1 };
weir_format job_add_pairs(weir_app *app);

void job_add(struct job *job, enum job_step_kind kind, const char *text, const char *second, int64_t number);
void job_add_function(struct job *job, enum job_step_kind kind, const char *list, const char *function, const char *columns);
void job_add_window(struct job *job, enum job_step_kind kind, const char *text, int64_t number, int64_t other);
/* A job in SQL. 0, or negative after its errors went to stderr. job_release frees it, and is allowed for any job. */
int job_set_sql(struct job *job, const char *text, size_t size);
void job_release(struct job *job);
/* Builds the topology into app. */
void job_build(const struct job *job, weir_app *app);
/* Opens, builds, runs, closes. The code of weir_app_run; error (size bytes, may be NULL) receives weir_app_error, progress (may be NULL) the sums. */
int job_run(const struct job *job, const weir_options *options, weir_progress *progress, char *error, size_t error_size);
/* True when the stage that writes topic is an aggregate with emit = changes: its topic is read as a table. */
bool job_topic_is_upsert(const struct job *job, const char *topic);

#endif
