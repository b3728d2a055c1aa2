/* weir.h: the public interface of libweir, and the only public header.
 *
 * A job is an app: sources are read, streams are filtered, mapped, grouped and aggregated, results go to topics.
 *
 *     weir_app *app = weir_app_open("revenue", &(weir_options){.data = "weir-data"});
 *     weir_stream *orders  = weir_source(app, "orders", WEIR_JSON, "ts");
 *     weir_stream *paid    = weir_filter(orders, "status = 'paid'");
 *     weir_stream *revenue = weir_aggregate(weir_tumbling(weir_group_by(paid, "region"), WEIR_HOURS(1)),
 *                                           "sum(amount::numeric) AS revenue, count(*) AS orders");
 *     weir_to(revenue, "hourly-revenue");
 *     int rc = weir_app_run(app);
 *     if (rc < 0) fprintf(stderr, "%s\n", weir_app_error(app));
 *     weir_app_close(app);
 *
 * Errors. Functions that return int return 0 or a negative WEIR_E code. Builder functions return NULL after an error and
 * accept NULL, so a chain needs one check: weir_app_run (or weir_app_check) returns the first error of the chain and
 * weir_app_error its sentence, which names the place and what to do.
 *
 * Ownership. Streams belong to their app and are freed with it. Texts given to weir are copied; texts that weir returns
 * are valid until the app is closed or, for weir_app_error, until the next call on it.
 *
 * Threads. One thread at a time uses an app, with one exception: weir_app_stop may be called from any thread and from
 * a signal handler. weir_app_run starts options.threads workers of its own and blocks until they have ended.
 *
 * Time is in milliseconds; event times are milliseconds since 1970-01-01 UTC (negative before). */
#ifndef WEIR_H
#define WEIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define WEIR_API __attribute__((visibility("default")))
#else
#define WEIR_API
#endif

#define WEIR_VERSION_MAJOR 0
#define WEIR_VERSION_MINOR 1
#define WEIR_VERSION_PATCH 0

/* "0.1.0", of the library that runs (the macros are those of the header). */
WEIR_API const char *weir_version(void);

enum {
    WEIR_OK = 0,
    WEIR_ENOMEM = -1,       /* memory, or a configured memory limit */
    WEIR_EIO = -2,          /* a system call failed */
    WEIR_ECORRUPT = -3,     /* bytes on disk are not what they claim */
    WEIR_EINVALID = -4,     /* an argument, expression, name or configuration is wrong */
    WEIR_ENOTFOUND = -5,    /* a topic is missing */
    WEIR_EEXISTS = -6,
    WEIR_EBUSY = -7,        /* the directory is held by another process */
    WEIR_EFENCED = -8,      /* a newer instance of this app took over */
    WEIR_ERANGE = -9,
    WEIR_ETOOLARGE = -10,   /* over a named limit */
    WEIR_EUNSUPPORTED = -11,
    WEIR_ESTOPPED = -12,    /* an earlier failure stopped the writer */
    WEIR_ETIMEOUT = -13,
    WEIR_ESTATE = -14,      /* a call out of order, or a changed plan */
    WEIR_EFULL = -15,       /* disk full */
    WEIR_EREADONLY = -16,   /* the directory, or the handle, takes no writes */
    WEIR_ESEQUENCE = -17,   /* an idempotent producer's batch does not continue where its last one ended */
    WEIR_EREBALANCE = -18,  /* the group is sharing its partitions anew */
    WEIR_EMEMBER = -19      /* not a member of the group any more */
};
/* A short constant text for a code; never NULL. */
WEIR_API const char *weir_strerror(int code);

#define WEIR_SECONDS(n) ((int64_t)(n) * 1000)
#define WEIR_MINUTES(n) ((int64_t)(n) * 60000)
#define WEIR_HOURS(n) ((int64_t)(n) * 3600000)
#define WEIR_DAYS(n) ((int64_t)(n) * 86400000)

typedef struct weir_app weir_app;
typedef struct weir_stream weir_stream;
struct weir_progress;

typedef enum { WEIR_JSON = 1 } weir_format;
typedef enum { WEIR_EMIT_CHANGES = 0, WEIR_EMIT_FINAL = 1 } weir_emit_mode;
typedef enum { WEIR_DURABILITY_COMMIT = 0, WEIR_DURABILITY_OS = 1 } weir_durability;

/* Zero-initialise; a zero means the default in brackets. Numbers that make no sense are WEIR_EINVALID: threads over 1024, intervals over a day, batch_rows over 4096, negative ones. */
typedef struct weir_options {
    const char *data;             /* directory of the log and the state ["./weir-data"]; created when missing */
    int threads;                  /* workers [1] */
    weir_durability durability;   /* [commit]: results count once they are on stable storage */
    int64_t commit_interval_ms;   /* [100] from one commit to the making of the next; sooner when the input is drained */
    int64_t checkpoint_interval_ms; /* [10000] how often the stores follow their changelogs */
    int64_t keeper_interval_ms;   /* [15000] how often the log looks at retention and compaction */
    size_t memory_bytes;          /* [256 MiB] budget for pending state and buffers of the whole process */
    bool until_end;               /* process the sources to the end they had at the start, then return */
    bool close_windows;           /* with until_end: then close every open window and keep the raised watermark */
    bool from_beginning;          /* forget this app's positions and state for the stages of this topology, and replay them */
    int32_t batch_rows;           /* [4096] rows a batch; results never depend on it (tests use 1 and 7) */
    void (*progress)(void *context, const struct weir_progress *progress); /* called about twice a second and at the end, from one thread */
    void *progress_context;
} weir_options;

/* Sums over all stages of the app since it was started (not since its first run). */
typedef struct weir_progress {
    int64_t rows_in, rows_applied, rows_filtered, rows_late, rows_dead, rows_out; /* rows_in = applied + filtered + late + dead */
    int64_t lag;                  /* records between the committed positions and the ends of the source topics */
    int64_t commits;
    double seconds;
} weir_progress;

/* Opens an app. The name ([A-Za-z0-9._-], at most 100 characters) prefixes its internal topics and is its consumer group. Nothing on disk is touched
 * before weir_app_run. options may be NULL and is copied. NULL only when memory is short. */
WEIR_API weir_app *weir_app_open(const char *name, const weir_options *options);
WEIR_API void weir_app_close(weir_app *app);
/* The sentence of the last error, "" when there was none. */
WEIR_API const char *weir_app_error(const weir_app *app);

/* Reads a topic. event_time names the JSON field (dots for nested ones) that holds the event time: epoch milliseconds (a number, or text of digits) or ISO 8601
 * text; NULL takes the record's timestamp. A row whose event time cannot be read is dead-lettered. */
WEIR_API weir_stream *weir_source(weir_app *app, const char *topic, weir_format format, const char *event_time);
/* How far behind the highest event time of its source partition a row may be before its window counts as closed [30 s]. On a source. Returns stream. */
WEIR_API weir_stream *weir_lateness(weir_stream *source, int64_t lateness_ms);

/* Keeps the rows for which a SQL condition is true. */
WEIR_API weir_stream *weir_filter(weir_stream *stream, const char *condition);
/* Rows for which the condition is false are dead letters of error_class ([a-z0-9_], at most 60 characters); as for a SQL CHECK, NULL passes. */
WEIR_API weir_stream *weir_check(weir_stream *stream, const char *condition, const char *error_class);
/* New columns from a SQL select list: "country, quantity * unit_price AS amount". */
WEIR_API weir_stream *weir_map(weir_stream *stream, const char *select_list);
/* Groups by a SQL select list; NULLs form one group. */
WEIR_API weir_stream *weir_group_by(weir_stream *stream, const char *select_list);
/* Tumbling windows of size_ms (> 0), aligned to 1970-01-01 UTC: [start, start + size). */
WEIR_API weir_stream *weir_tumbling(weir_stream *grouped, int64_t size_ms);
/* Aggregates each group (and window): "sum(amount::numeric) AS revenue, count(*) AS orders". The result's columns are the group columns, window_start
 * and window_end when windowed, then these. */
WEIR_API weir_stream *weir_aggregate(weir_stream *grouped, const char *select_list);
/* Of an aggregate: changes (default) gives, at each commit, one record per changed group, an upsert; final gives one record per window, after it closed. Returns stream. */
WEIR_API weir_stream *weir_emit(weir_stream *aggregate, weir_emit_mode mode);

/* Writes the stream to a topic, which is created when missing (partitions: those of the stage's input). The topic names the stage: its store, its changelog
 * <app>-<topic>-changelog, its repartition topic <app>-<topic>-repartition, its late rows <topic>.late. Rows of a stream that was filtered and checked only
 * keep their record's key, value, headers and timestamp byte for byte and their partition. A stage of the same app reads the topic with weir_source. */
WEIR_API int weir_to(weir_stream *stream, const char *topic);

/* Plans the topology without running it: names, types, expressions. 0 or the first error. */
WEIR_API int weir_app_check(weir_app *app);
/* Runs until weir_app_stop, the end (until_end) or an error; restores first. 0, or a negative code with weir_app_error. A missing source topic is WEIR_ENOTFOUND and
 * the message names the command that creates it. */
WEIR_API int weir_app_run(weir_app *app);
/* Asks weir_app_run to commit what it has and return. Safe in a signal handler. */
WEIR_API void weir_app_stop(weir_app *app);
/* As of now or of the end of the last run. */
WEIR_API void weir_app_progress(const weir_app *app, weir_progress *progress);

#ifdef __cplusplus
}
#endif
#endif
