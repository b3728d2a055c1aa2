/* weir.h: the public interface of libweir, and the only public header. Two parts: jobs over topics (weir_app_…), and below them the
 * partitioned log by itself (weir_log_…: topics, producers, transactions, consumers, groups).
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
 * Threads. One thread at a time uses an app, with exceptions: weir_app_stop may be called from any thread and from
 * a signal handler; weir_app_pause, weir_app_resume, weir_app_stages, weir_app_set_threads and weir_app_threads from any thread. weir_app_run starts options.threads workers of its own and blocks until they have ended.
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
    WEIR_ENOTFOUND = -5,    /* a topic, partition, group or directory is missing */
    WEIR_EEXISTS = -6,
    WEIR_EBUSY = -7,        /* the directory is held by another process or handle; a group has members; a log has open handles */
    WEIR_EFENCED = -8,      /* a newer instance of this app, producer or member took over */
    WEIR_ERANGE = -9,       /* an offset or number is outside what exists */
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

/* One value, as C functions of a job get and give it. numeric and JSON are exact text. Text is UTF-8, is not terminated by a zero byte, and belongs to who gives it:
 * what a function gets is valid during that call; what it gives is copied when it returns. A JSON field that no expression has cast has the type that its row holds:
 * an integer is bigint, any other number numeric, an object or array is WEIR_JSON_VALUE. */
typedef enum {
    WEIR_NULL = 0,
    WEIR_BOOLEAN,
    WEIR_BIGINT,
    WEIR_DOUBLE,
    WEIR_NUMERIC,                 /* text: decimal digits */
    WEIR_TEXT,
    WEIR_TIMESTAMP,               /* i64: epoch milliseconds */
    WEIR_INTERVAL,                /* i64: milliseconds */
    WEIR_JSON_VALUE,              /* text: JSON */
    WEIR_BYTEA                    /* text: any bytes */
} weir_type;
typedef struct weir_value {
    weir_type type;
    union {
        bool boolean;
        int64_t i64;
        double f64;
        struct {
            const char *data;
            size_t size;
        } text;
    };
} weir_value;

typedef struct weir_app weir_app;
typedef struct weir_stream weir_stream;
typedef struct weir_log weir_log;
struct weir_progress;

/* What the values of a topic's records are. */
typedef int weir_format;
enum {
    WEIR_JSON = 1,                /* an object; its fields are named as they are used */
    WEIR_CSV = 2,                 /* one row of comma-separated values (RFC 4180); its columns are declared */
    WEIR_PLAIN_TEXT = 3,          /* UTF-8 text: the column "value", and "key" (bytea) */
    WEIR_RAW = 4                  /* any bytes: the columns "value" and "key", both bytea */
};
typedef enum { WEIR_EMIT_CHANGES = 0, WEIR_EMIT_FINAL = 1 } weir_emit_mode;
typedef enum { WEIR_DURABILITY_COMMIT = 0, WEIR_DURABILITY_OS = 1 } weir_durability;

typedef enum {
    WEIR_ON_CHANGE_REFUSE = 0,
    WEIR_ON_CHANGE_REBUILD = 1,   /* a pipeline that must be rebuilt starts at the beginning of its source, and with it those of the app that read its topic, which begin with the first
                                   * row of its new life. Its topic holds afterwards what the new pipeline makes: old rows of an upsert table get tombstones, those of any other topic are
                                   * removed, as delete-records does it, whoever wrote them. No other pipeline is touched */
    WEIR_ON_CHANGE_REBUILD_APPEND = 2 /* likewise, but old rows stay: the new ones come behind them, and those of an upsert table replace what has their keys */
} weir_on_change;

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
    bool close_windows;           /* with until_end: then close every open window and keep the raised watermark, also for whoever reads the same rows again */
    weir_on_change on_change;     /* [refuse] when the state of a pipeline no longer means what its steps say (weir_app_plan) */
    bool from_beginning;          /* forget this app's positions and state for the stages of this topology, and replay them */
    int32_t batch_rows;           /* [4096] rows a batch; results never depend on it (tests use 1 and 7) */
    void (*progress)(void *context, const struct weir_progress *progress); /* called about twice a second and at the end, from one thread */
    void *progress_context;
    const char *metrics;          /* [none] a file that is replaced by OpenMetrics text when the run starts, about each second, and at its end */
    weir_log *log;                /* run on this open log, beside its producers and consumers, and not on data, which must then be NULL; its durability holds */
} weir_options;

/* Sums over all stages of the app since it was started (not since its first run). */
typedef struct weir_progress {
    int64_t rows_in;              /* records read; rows_in + rows_made = applied + filtered + late + duplicate + dead + unmatched */
    int64_t rows_made;            /* by weir_unnest and weir_flat_map_fn: n - 1 for each row that became n > 0; one that became none is filtered */
    int64_t rows_applied, rows_filtered, rows_late, rows_duplicate, rows_dead;
    int64_t rows_unmatched;       /* by an inner join; the rows of its tables count as well: what changed a table is applied */
    int64_t rows_out;             /* records written to output topics */
    int64_t lag;                  /* records between the committed positions and the ends of the source topics */
    int64_t commits;
    double seconds;
    int32_t tasks_retrying, tasks_stopped; /* partitions of pipelines that failed; weir_app_stages says why */
} weir_progress;

/* Opens an app. The name ([A-Za-z0-9._-], at most 100 characters) prefixes its internal topics and is its consumer group. Nothing on disk is touched
 * before weir_app_run. options may be NULL and is copied. NULL only when memory is short. */
WEIR_API weir_app *weir_app_open(const char *name, const weir_options *options);
WEIR_API void weir_app_close(weir_app *app);
/* The sentence of the last error, "" when there was none. */
WEIR_API const char *weir_app_error(const weir_app *app);

/* Reads a topic. event_time names the JSON field (dots for nested ones), or the column, that holds the event time: epoch milliseconds (a number, or text of digits) or
 * ISO 8601 text; NULL takes the record's timestamp. A row whose event time cannot be read is dead-lettered. So is a record that is not what format says ("json_…",
 * "text_utf8"); one without a value is "value_null" in JSON, and NULL in plain text and raw bytes. */
WEIR_API weir_stream *weir_source(weir_app *app, const char *topic, weir_format format, const char *event_time);
/* The same for formats whose records name nothing: columns declares what they hold, in order, "id bigint, shop text". Such are WEIR_CSV and those of weir_format_add. */
WEIR_API weir_stream *weir_source_columns(weir_app *app, const char *topic, weir_format format, const char *columns, const char *event_time);
/* weir_source_columns with WEIR_CSV: rows of comma-separated values (RFC 4180; one row a record). columns declares them in order: "id bigint, shop text, amount numeric(10,2), ts
 * timestamptz"; each field is cast from its text as in SQL. An empty field is NULL, and "" an empty text. event_time names a column (epoch milliseconds or ISO 8601), or is NULL. Rows that
 * are no CSV, have another number of fields or a field that does not cast are dead letters: "csv_malformed" (with the byte), "csv_columns", "csv_utf8", "cast_failed". */
WEIR_API weir_stream *weir_source_csv(weir_app *app, const char *topic, const char *columns, const char *event_time);
/* How far behind the highest event time of its source partition a row may be before its window counts as closed [30 s]. On a source. Returns stream. */
WEIR_API weir_stream *weir_lateness(weir_stream *source, int64_t lateness_ms);
/* How far ahead of its record's own timestamp a row's event time may be [1 h]; a row further ahead is a dead letter (event_time_future) and moves no time, so that
 * one wrong clock cannot close everybody's windows. 0 allows nothing ahead. The wall clock plays no part: a replay rejects the same rows. On a source. Returns
 * stream. */
WEIR_API weir_stream *weir_max_future_skew(weir_stream *source, int64_t skew_ms);
/* When a partition of the source has had no new records for idle_ms by the wall clock, its time follows the wall clock less the lateness, so that windows close
 * without new rows and one silent partition does not hold up the others [off; 0 switches it off]. As far as it matters: up to the end of the last window that any
 * partition has seen. Each advance is kept with its offset in <app>-progress, and a replay closes the same windows at the same offsets; the source topic is never
 * written to. A row that then comes with a time behind the wall clock by more than the lateness is late, so choose the lateness by how far behind now rows may
 * be. Runs with until_end never advance by the clock. On a source. Returns stream. */
WEIR_API weir_stream *weir_idle_close(weir_stream *source, int64_t idle_ms);

/* Says that records lie in the partition that Kafka's clients choose for the field's text (murmur2), where the topic's own configuration key weir.partitioned.by does not say
 * so already (weir produce --key and weir_rekey set it). A pipeline that groups by the field, as it came or cast to text, then finds each group in one place and re-keys nothing.
 * Every row is checked: one that lies elsewhere is a dead letter of class "misplaced". On a source. Returns stream. */
WEIR_API weir_stream *weir_partitioned_by(weir_stream *source, const char *field);
/* The topic must have so many partitions (1 to 10,000), else weir_app_run is WEIR_ESTATE: for jobs whose readers count on it. On a source. Returns stream. */
WEIR_API weir_stream *weir_partitions(weir_stream *source, int32_t partitions);

/* Keeps the rows for which a SQL condition is true. */
WEIR_API weir_stream *weir_filter(weir_stream *stream, const char *condition);
/* Rows for which the condition is false are dead letters of error_class ([a-z0-9_], at most 60 characters); as for a SQL CHECK, NULL passes. */
WEIR_API weir_stream *weir_check(weir_stream *stream, const char *condition, const char *error_class);
/* New columns from a SQL select list: "country, quantity * unit_price AS amount". */
WEIR_API weir_stream *weir_map(weir_stream *stream, const char *select_list);

/* Where SQL is not enough, C functions work on rows. A function gets the values of a SQL select list, in its order. It must be deterministic (the same values, the same
 * answer: rows are processed again after a crash, and a replay must give the same) and may be called by several threads at once, each with its own rows; context is
 * passed on as it is. Code cannot be compared between two runs, so that name, which also stands in messages, should carry a version ("score-2"): a stage whose
 * name changed is a changed stage. A negative answer makes the row a dead letter of class "function", with the text of weir_call_error. So do values that do not fit. */
typedef struct weir_call weir_call;
/* 1 keeps the row, 0 drops it. */
typedef int (*weir_filter_function)(void *context, weir_call *call, const weir_value *values, size_t count);
/* Fills results, which are WEIR_NULL before the call, one per declared column, and returns 0. */
typedef int (*weir_map_function)(void *context, weir_call *call, const weir_value *values, size_t count, weir_value *results);
/* Gives any number of rows (at most 65,536) with weir_call_give, values in the order of the declared columns, and returns 0. They count when it returns 0. */
typedef int (*weir_flat_map_function)(void *context, weir_call *call, const weir_value *values, size_t count);
typedef void (*weir_peek_function)(void *context, const weir_value *values, size_t count);
/* Inside a function: why it is about to return a negative code. The text is copied, and cut at 511 bytes. */
WEIR_API void weir_call_error(weir_call *call, const char *message);
/* Inside a flat-map function: one more row. Copies. Negative: it does not fit, and the row that the function works on will be a dead letter. */
WEIR_API int weir_call_give(weir_call *call, const weir_value *values);
/* Inside a function: the row's event time. */
WEIR_API int64_t weir_call_event_time(const weir_call *call);

/* A format of your own, for sources and outputs. Its functions are called row by row, under the same rules; what context points to is shared by all threads. Rows are
 * decoded again after a crash and by a replay. */
typedef struct weir_column {
    const char *name;
    weir_type type;               /* WEIR_JSON_VALUE: any of them, by row */
} weir_column;
typedef struct weir_format_functions {
    /* Reads a record. key and value are WEIR_BYTEA, or WEIR_NULL where the record has none. Fills results, which are WEIR_NULL before the call, one per column that
     * weir_source_columns declared, and returns 0; what it gives is copied when it returns. Negative: a dead letter of class "decode"; so is a value that its column does not
     * take (as for weir_map_fn). weir_call_event_time gives the record's timestamp. NULL: no sources. */
    int (*decode)(void *context, weir_call *call, const weir_value *key, const weir_value *value, const weir_column *columns, size_t count,
                  weir_value *results);
    /* Writes a row's values as the value of its record, with weir_call_write, and returns 0; without a write it is empty. 1: the record has no value (in an upsert
     * table a deletion). Negative: a dead letter of class "encode"; of a group the last record that was written stands. NULL: no outputs. */
    int (*encode)(void *context, weir_call *call, const weir_column *columns, size_t count, const weir_value *values);
    uint64_t reserved[4];         /* 0 */
} weir_format_functions;
/* Inside encode: appends to the record's value, up to 16 MiB. Negative: it does not fit, and the row will be a dead letter. */
WEIR_API int weir_call_write(weir_call *call, const void *data, size_t size);
/* Adds a format to the app and returns its number, for weir_source_columns and weir_to_as; 0 after an error, which the app keeps. functions is copied. The name stands in
 * messages, too: a source whose format's name changed is a changed source. */
WEIR_API weir_format weir_format_add(weir_app *app, const char *name, const weir_format_functions *functions, void *context);

/* A topic of upserts as a table: the latest row of each key, and none after a record without a value. key is a select list over the rows, "user_id" or "shop, id": the same
 * as weir_latest(weir_source(app, topic, format, NULL), key). Take weir_latest for a source with an event time, or behind steps that cast and check. */
WEIR_API weir_stream *weir_table(weir_app *app, const char *topic, weir_format format, const char *key);
/* From here on the stream is a table: of the rows with one key the latest counts, in the order of their topic, whose records of one key must lie in one partition, as Kafka's
 * partitioners see to. A record without a value removes the row of its record key: the text of a single key column, or a JSON object that holds the key columns by name. A row
 * with a NULL in its key is a dead letter of class "primary_key". Steps before it (weir_filter, weir_check, weir_map and functions) decide which rows count at all: one that is
 * rejected or left out there changes nothing. Steps behind it are conditions and columns of the table: a row that weir_filter leaves out there takes the one before it away.
 *
 * A table is what weir_join takes. weir_to writes it as one: a record for each change under the table's key (a text as it is, else a JSON object), without a value when the row goes, to a
 * compacted topic. weir_group_by and weir_aggregate count the rows that stand: when one changes, what the old one brought is taken back, and a group whose last row went gets a
 * tombstone. count, sum, avg, min, max and count(DISTINCT) follow the rows that stand, exactly, with FILTER; first, last, weir_aggregate_fn, sums of double precision and windows are refused, as
 * are weir_unnest, weir_flat_map_fn, weir_rekey, weir_merge and weir_distinct behind weir_latest. A row that the aggregate cannot take is a dead letter, and the row of its key stays what it was.
 *
 * The topic of a view that emits changes is a table to whoever reads it, within the app too: weir_table(app, "by-user", WEIR_JSON, "user"), with the names of its record key. */
WEIR_API weir_stream *weir_latest(weir_stream *rows, const char *key);
/* For a large table: a task of a stream that weir_joins with it reads and keeps the partition of its own number, and not all of them [each task keeps the whole table]. The key must be one text, by
 * which the records of the table's topic lie (murmur2, as Kafka's clients choose); the stream's topic must have as many partitions and lie by the field that is compared with the key
 * (weir_partitioned_by, or its weir.partitioned.by, which weir produce --key and weir_rekey set): else weir_app_run is WEIR_ESTATE and says which it is. Each row of both is checked; one that lies elsewhere is a
 * dead letter of class "misplaced". A stream that lies by something else goes through weir_rekey and weir_to first. Stores that were made in one way are not read in the other: a change means a rebuild.
 * On a table, or behind one. Returns table. */
WEIR_API weir_stream *weir_table_partitioned(weir_stream *table);
typedef enum {
    WEIR_JOIN_INNER = 0,          /* rows without a match are left out, and counted: rows_unmatched */
    WEIR_JOIN_LEFT = 1,           /* they get NULLs */
    WEIR_JOIN_FULL = 2            /* of two tables: so do rows of the right one */
} weir_join_kind;
/* Rows with columns of the table's row whose key equals `on`: weir_join(orders, users, WEIR_JOIN_LEFT, "user_id", "plan, country AS home"). on is a list of expressions over the
 * stream's rows, one for each column of the table's key, in its order, of the same types (an uncast JSON field compares by value); columns is a select list over the table's rows, whose
 * names must be new among the stream's. NULL equals nothing. A stream of JSON fields needs a weir_map behind the join, which says what to write.
 *
 * A row meets the table as it is when the row is read. In a live run each commit reads what has come for the table first, then rows of the stream; with until_end both are read by time, the
 * table first where times are equal: by event time when the table's source has one, else by the timestamps of the records. The task keeps its copy of the table in its store, with a
 * changelog, whole: every partition of the stream holds all rows of the table. A restart goes on exactly.
 *
 * Where the first argument is a table too, the result is a table: weir_join(weir_map(weir_table(app, "users", WEIR_JSON, "id"), "id, name"), plans, WEIR_JOIN_LEFT, NULL, "plan"). on is NULL: rows whose
 * keys are equal meet, of the same number of columns and of types that compare. A row of the result has the left table's key and columns (JSON fields need a weir_map behind weir_latest, which says which), and
 * changes when either side does; it goes, with a tombstone, when what it is made of goes. WEIR_JOIN_LEFT keeps left rows without a partner, WEIR_JOIN_FULL those of both sides, with NULLs (there the two keys need one
 * type). What says the same as before is not written again. A result's record has the later of its rows' timestamps. Both tables are sent by their keys to <app>-<topic>-repartition, so that their topics may be partitioned in any
 * way; no order between them matters: what stands follows from the latest rows alone. Behind it weir_filter, weir_check, weir_map, weir_filter_fn, weir_map_fn and weir_peek work; groups, and further joins, read the topic of the result
 * with weir_table. */
WEIR_API weir_stream *weir_join(weir_stream *stream, weir_stream *table, weir_join_kind kind, const char *on, const char *columns);

/* Of the rows with the same columns the first: weir_distinct(clicks, "event_id", WEIR_DAYS(1)). columns is a select list. A row is a duplicate when a row that was kept has the
 * same values (NULL equals NULL; 1 and 1.0 are one) and an event time at most within_ms away from its own, before or behind: repeats do not extend the time. Duplicates
 * are counted and go nowhere. First is what comes first in the source's partition; of rows in different partitions, what was read first.
 *
 * A row whose event time + within_ms is at or below the watermark of its partition at its place is late, and goes to <topic>.late, as if it began a window of that length; what has
 * been kept is forgotten when no row that is not late can be near it. Whatever a source gives is judged the same in every run and replay.
 *
 * A source of several partitions is re-keyed by the columns first, to <app>-<topic>-distinct, with records as they came: keys, headers, timestamps and event times
 * stay what they are. At most one on the way to a topic, and behind weir_merge when there is one. */
WEIR_API weir_stream *weir_distinct(weir_stream *stream, const char *columns, int64_t within_ms);

/* Rows of two streams that belong together by key and by time. */
typedef struct weir_within {
    weir_join_kind kind;
    const char *on_left, *on_right;           /* select lists over the left and the right rows: what must be equal, one by one. Types as for weir_join; NULL equals nothing */
    const char *columns_left, *columns_right; /* what results get of each: "id, amount::numeric AS amount". NULL: all columns of a stream that has some (weir_map, declared ones). Names must differ */
    int64_t before_ms, after_ms;              /* right's time BETWEEN left's - before_ms AND left's + after_ms: 0 to 366 days each */
    uint64_t reserved[4];                     /* 0 */
} weir_within;
/* Joins rows of two streams by event time: weir_join_within(orders, payments, &(weir_within){.on_left = "id", .on_right = "order_id", .columns_left = "id, ts", .columns_right =
 * "paid", .after_ms = WEIR_MINUTES(10)}). Each pair is given once, when the second of the two has come, in whatever order they come. WEIR_JOIN_LEFT gives each left row without a partner
 * too, with NULLs, when the watermarks of all partitions of both sources have passed what could match it, and with close_windows at the end of the run. An inner join leaves
 * rows without a partner out; those whose key is NULL are counted: rows_unmatched.
 *
 * A row whose event time is below its own partition's watermark (the newest row's time less weir_lateness) is late: it joins nothing and is kept in <topic>.late, where weir.window.start and
 * .end say between which times its partners would have been. Rows are kept in stores until no partner can come, so that the slowest source decides how many; weir_idle_close on both lets a silent one go.
 * The record of a result has the join key as its key and the later timestamp of the two. A chained stage that goes by the event time of either side (a column passed on as it is), or by timestamps
 * when both sides do, gets no late rows of it.
 *
 * Either stream may be filtered, mapped, unnested, merged, or joined with tables before. Behind it weir_filter, weir_check, weir_map, weir_filter_fn, weir_map_fn, weir_peek and weir_rekey work; for
 * groups, write the results with weir_to and read that topic. A row that a step behind it rejects is a dead letter that holds the joined columns. */
WEIR_API weir_stream *weir_join_within(weir_stream *left, weir_stream *right, const weir_within *within);

/* weir_filter with a C function. */
WEIR_API weir_stream *weir_filter_fn(weir_stream *stream, const char *name, const char *select_list, weir_filter_function function, void *context);
/* weir_map with a C function. columns declares what it gives: "score numeric(6,2), label text, tags jsonb". A result's type must be the column's (a bigint also
 * goes into numeric and double precision, a text into bytea; jsonb takes any but interval); narrower types (integer, numeric(p,s)) are then cast as in SQL. */
WEIR_API weir_stream *weir_map_fn(weir_stream *stream, const char *name, const char *select_list, const char *columns, weir_map_function function, void *context);
/* Any number of new rows for each row, from a C function. Each has the event time, the key and the headers of the row it came from, and is counted by itself: rows_made. */
WEIR_API weir_stream *weir_flat_map_fn(weir_stream *stream, const char *name, const char *select_list, const char *columns, weir_flat_map_function function,
                                       void *context);
/* One row for each element of a JSON array: weir_unnest(orders, "items", "item"). The element, which may be anything, is a column beside those that the row has, and
 * hides a field of its name; expressions reach into it with item ->> 'sku' (text), item -> 'price' (JSON) and item -> 0. A row whose array is missing, null or empty gives none and
 * is filtered; one that has something else there is a dead letter of class "unnest_not_array". Dead letters and late rows of an element hold the whole source record,
 * and the header weir.source.element says which element (from 0). */
WEIR_API weir_stream *weir_unnest(weir_stream *stream, const char *array, const char *column);
/* Deals rows out: branches[i] gets those for which conditions[i] is the first that is true, branches[count] the rest, so that each row is in exactly one. count is 1 to 32, and
 * branches has room for count + 1 streams, which are NULL after an error. A row for which a condition cannot be computed is a dead letter of every branch that is written. */
WEIR_API int weir_branch(weir_stream *stream, const char *const *conditions, size_t count, weir_stream **branches);
/* The rows of several streams as one: steps, groups and weir_to behind it see all of them. 2 to 32 streams of one app, in whatever order their rows come; each row keeps
 * the event time, the lateness and the source of its own stream, in late rows and dead letters too. All must have the same columns (names, types, order: the error names
 * the first difference), or all any field of their JSON. None may be grouped, aggregated or re-keyed: that is done behind the merge. A window closes when all sources have passed it, so that
 * the slowest holds it open. Each source is read by a stage of its own, <topic>:<source topic> in metrics and headers; the same topic may come twice, by different
 * branches. Topics that are made have as many partitions as the source with the most. */
WEIR_API weir_stream *weir_merge(weir_stream *const *streams, size_t count);
/* Gives rows a new record key, from a SQL select list, and the partition that Kafka's clients choose for it (murmur2). A single text or bytea is the key as it is; anything else is
 * a JSON object of the columns. The last step before weir_to. When that makes the topic and the key is a single field of its records, the topic's configuration
 * weir.partitioned.by says so, and a stage that reads it and groups by that field finds each group in one place. Rows of several partitions come together
 * in one: a stage of this app that reads them by the same event time knows how far each has come, by the header weir.time; whoever else goes by event time needs a lateness that covers how far they may
 * be apart. */
WEIR_API weir_stream *weir_rekey(weir_stream *stream, const char *select_list);
/* Shows every row to a function and changes nothing: for logging and counting. A row may be shown again after a crash; one whose select list cannot be
 * computed is not shown. Fields that only peek reads must be well formed like any field that is read. */
WEIR_API weir_stream *weir_peek(weir_stream *stream, const char *select_list, weir_peek_function function, void *context);

/* Groups by a SQL select list; NULLs form one group. */
WEIR_API weir_stream *weir_group_by(weir_stream *stream, const char *select_list);
/* Tumbling windows of size_ms (> 0), aligned to 1970-01-01 UTC: [start, start + size). */
WEIR_API weir_stream *weir_tumbling(weir_stream *grouped, int64_t size_ms);
/* Hopping windows: [start, start + size_ms) for every start that is a multiple of hop_ms since 1970-01-01 UTC. A row is in every window that holds it:
 * up to size_ms / hop_ms rounded up, at most 1440 (over that WEIR_ETOOLARGE); 0 < hop_ms ≤ size_ms. A window that had closed when the row came misses it,
 * and the row is kept once for each such window in the late topic; it counts as late only when no window took it. */
WEIR_API weir_stream *weir_hopping(weir_stream *grouped, int64_t size_ms, int64_t hop_ms);
/* Session windows: rows of a group of which each comes at most gap_ms after the one before are one session, from its first row's event time (window_start)
 * to its last row's + gap_ms (window_end). A row is late when its own [time, time + gap_ms) ends at or below its partition's watermark; any other row joins
 * the sessions that it touches, and makes one of two when it lies between them: with emit changes the record of a session that another one swallowed, or that
 * now starts earlier, gets a tombstone. A session is final when no row that is not late can join it any more: when the watermark has passed its last row by two to three
 * gaps. count(DISTINCT) is WEIR_EUNSUPPORTED. */
WEIR_API weir_stream *weir_session(weir_stream *grouped, int64_t gap_ms);
typedef enum { WEIR_HOUR = 1, WEIR_DAY, WEIR_WEEK, WEIR_MONTH } weir_unit;
/* Windows of count hours, days, weeks (from Monday) or months by the clocks of a time zone of the system's database ("Europe/Berlin"; from $TZDIR or
 * /usr/share/zoneinfo): local days of 23 and 25 hours are exact. A window begins at the first instant at which local clocks show its boundary or more (a local midnight; for hours
 * by 2, 3, 4, 6, 8 or 12 those of the day that they divide). Of single hours one that comes twice is two windows. window_start and window_end are instants, printed in UTC.
 * An unknown zone is WEIR_ENOTFOUND, with a suggestion, when the app is checked or run. State that was written under other rules of the zone is refused (WEIR_ESTATE). */
WEIR_API weir_stream *weir_tumbling_in(weir_stream *grouped, int64_t count, weir_unit unit, const char *zone);
/* Aggregates each group (and window): "sum(amount::numeric) AS revenue, count(*) AS orders". The result's columns are the group columns, window_start
 * and window_end when windowed, then these. */
WEIR_API weir_stream *weir_aggregate(weir_stream *grouped, const char *select_list);
/* An aggregate in C, where SQL's are not enough. The functions work on a state of state_size bytes (1 to 16,384, aligned to 8, zeroed before init): plain memory without pointers, since weir
 * keeps it in its table of groups, writes it to the changelog, and copies it. Rows of a group reach add in no order that a function may rely on: partitions are read side by side, each commit
 * begins a new state where the stream is re-keyed, and merge puts them together in the order in which they come. So add and merge must be commutative and associative (as for a
 * sum, a maximum, a sketch), or results depend on the cut. All must be deterministic and may be called by several threads at once, each with its own state. */
typedef struct weir_aggregate_functions {
    size_t state_size;
    void (*init)(void *context, void *state);                       /* NULL: zeros are an empty state */
    /* Adds a row: values of the select list, in its order. 0, or negative: the row is a dead letter of class "function" and the state as before. */
    int (*add)(void *context, weir_call *call, void *state, const weir_value *values, size_t count);
    void (*merge)(void *context, void *state, const void *other);   /* adds other's rows to state */
    /* Fills results, which are WEIR_NULL before the call, one per declared column, and returns 0. Negative: a dead letter of class "function" stands for the group. */
    int (*result)(void *context, weir_call *call, const void *state, weir_value *results);
    /* How a state is written: at most room (65,536) bytes; returns how many. NULL, with decode: the memory as it is. */
    size_t (*encode)(void *context, const void *state, void *bytes, size_t room);
    /* Reads that back into zeroed memory. 0, or negative: these bytes are no state, which stops the partition. */
    int (*decode)(void *context, void *state, const void *bytes, size_t size);
} weir_aggregate_functions;
/* Aggregates each group (and window) with functions, which are copied: "amount, quantity" are the values that add gets, "median numeric, spread numeric(10,2)" the columns that result
 * gives. name: as for weir_filter_fn; another name, or another state_size, is another plan. 'weir state' cannot show such states. */
WEIR_API weir_stream *weir_aggregate_fn(weir_stream *grouped, const char *name, const char *select_list, const char *columns, const weir_aggregate_functions *functions,
                                        void *context);
/* An aggregate may be followed by one weir_filter and then one weir_map: the first says which results are shown (SQL's HAVING; with emit changes a result for which it is not
 * true is a tombstone, which takes back what was shown before), the second what their values hold ("region, revenue / orders AS mean, window_start"). The record
 * keys stay those of the group. */
/* Of an aggregate: changes (default) gives, at each commit, one record per changed group, an upsert; final gives one record per window, after it closed. Returns stream. */
WEIR_API weir_stream *weir_emit(weir_stream *aggregate, weir_emit_mode mode);

/* Writes the stream to a topic, which is created when missing (partitions: those of the stage's input). The topic names the stage: its store, its changelog
 * <app>-<topic>-changelog, its repartition topic <app>-<topic>-repartition, its late rows <topic>.late. Rows of a stream that was filtered and checked only
 * keep their record's key, value, headers and timestamp byte for byte and their partition. A stage of the same app reads the topic with weir_source; where it goes by event time, and rows of
 * several partitions or sources come together in one partition, each has one header more, the first: weir.time, how far its source had come. */
WEIR_API int weir_to(weir_stream *stream, const char *topic);
/* weir_to, and what its records are written as (weir_to: JSON, or the bytes of rows that were filtered and checked only). WEIR_CSV: one row a record, without a header; NULL is nothing,
 * an empty text is "", and quoted is what holds a comma, a quote or a line end. WEIR_PLAIN_TEXT and WEIR_RAW: the stream's one column, of text or bytea for WEIR_RAW; NULL is a record
 * without a value (of an upsert table: a deletion). Whole JSON records have no columns, so that they need weir_map before another format; rows of other sources are written from their columns
 * unless format is the source's. Keys, late rows and dead letters are as ever. */
WEIR_API int weir_to_as(weir_stream *stream, const char *topic, weir_format format);

/* ---- pipelines: what one weir_to asks for, named by its topic ---- */

/* What is done when a partition of a pipeline fails: its input is damaged or gone, its store or its output cannot be written, a record cannot be
 * processed. All that it has not committed is thrown away in any case; when it is started again it stands where its last commit left it. */
typedef enum {
    WEIR_FAILURE_END = 0,   /* weir_app_run ends with the error */
    WEIR_FAILURE_STOP = 1,  /* the partition stops; everything else goes on. weir_app_run returns the error when it ends, which it does when nothing is left that works */
    WEIR_FAILURE_RETRY = 2, /* the partition is started again after backoff_ms, twice that, …; after `retries` failures without a commit in between it stops */
    WEIR_FAILURE_SKIP = 3   /* a record whose processing fails for a reason of its own (over a limit; not what it claims to be) becomes a dead letter of class "failed". What
                             * is wrong around it (a damaged partition, a full disk, a broken store) cannot be skipped: as WEIR_FAILURE_RETRY */
} weir_failure;
typedef struct weir_failure_options {
    weir_failure policy;
    int32_t retries;              /* [10]; -1: without limit */
    int64_t backoff_ms;           /* [100] */
    int64_t backoff_max_ms;       /* [30000] */
    uint64_t reserved[4];         /* 0 */
} weir_failure_options;
/* Sets the policy of the pipeline that writes topic; NULL: of every pipeline that the app has by now. Before weir_app_run. WEIR_ENOTFOUND, WEIR_EINVALID. */
WEIR_API int weir_on_failure(weir_app *app, const char *topic, const weir_failure_options *options);

typedef struct weir_output_options {
    int32_t partitions;           /* [those of the stage's input] of the topic, when it is made; one that is there with another number is WEIR_ESTATE. Rows go by their keys, results by their groups */
    bool compacts;                /* the topic keeps the latest row of each key, when it is made (cleanup.policy=compact); as that of an aggregate's changes does without being told */
    bool epoch_ms;                /* timestamps in JSON values as numbers of epoch milliseconds; in keys they stay ISO 8601 */
    int64_t retention_ms;         /* [the log's default] how long the topic keeps rows, when it is made; -1: for ever. Of an upsert table also how long a key lives that is not written again */
    uint64_t reserved[4];         /* 0 */
} weir_output_options;
/* What becomes of the records that a weir_to writes. After it, before weir_app_run. The app keeps an error. WEIR_ENOTFOUND, WEIR_EINVALID. */
WEIR_API int weir_output(weir_app *app, const char *topic, const weir_output_options *options);

typedef enum {
    WEIR_BAD_ROW_DEAD_LETTER = 0, /* it goes to <app>.dlq, and everything goes on */
    WEIR_BAD_ROW_FAIL = 1         /* the pipeline fails at it, as weir_on_failure says: nothing of the commit that would hold it is written */
} weir_bad_row;
/* What a row means that cannot be processed: one that is not what its format says, whose expressions cannot be computed, or that a weir_check refuses. For the pipeline that writes
 * topic. After its weir_to, before weir_app_run. The app keeps an error. WEIR_ENOTFOUND, WEIR_EINVALID. */
WEIR_API int weir_on_bad_row(weir_app *app, const char *topic, weir_bad_row what);

/* A paused pipeline reads nothing: what it has read is committed, its time stands still, its windows stay open, its lag grows. A pipeline that reads its output
 * just gets no rows meanwhile. weir_app_run with until_end does not end while a paused one has something to read. It is the handle that is paused: this holds before and
 * across runs, and not in another process or after a restart. Any thread, any time. WEIR_ENOTFOUND. */
WEIR_API int weir_app_pause(weir_app *app, const char *topic);
WEIR_API int weir_app_resume(weir_app *app, const char *topic);

typedef enum {
    WEIR_STAGE_ENDED = 0,    /* weir_app_run is not working, or has not come to it yet */
    WEIR_STAGE_RUNNING = 1,
    WEIR_STAGE_PAUSED = 2,
    WEIR_STAGE_RETRYING = 3, /* a partition at least waits for its next try */
    WEIR_STAGE_STOPPED = 4   /* a partition at least has stopped */
} weir_stage_state;
typedef struct weir_stage_info {
    const char *topic;            /* names the pipeline */
    weir_stage_state state;       /* the worst of its partitions' */
    int32_t tasks, tasks_retrying, tasks_stopped; /* one a partition of its source, and of its groups when they are re-keyed */
    int32_t partition;            /* that reason is about; -1: none */
    int code;                     /* of its last failure; 0: none */
    const char *reason;           /* the sentence; "" */
    int64_t retry_at_ms;          /* when it is tried again; 0: not waiting */
    int64_t failures, skipped;    /* in this run; records that became dead letters of class "failed" */
    int64_t lag;                  /* records between the committed positions in its source and the source's end; -1 where that cannot be read */
    uint64_t reserved[4];
} weir_stage_info;
/* The app's pipelines in the order of weir_to, as of now, or as they were when the last run ended. *stages is one block that the caller frees with
 * weir_free. Any thread, any time; also from the progress callback. */
WEIR_API int weir_app_stages(weir_app *app, weir_stage_info **stages, size_t *count);

/* Plans the topology without running it: names, types, expressions. 0 or the first error. */
WEIR_API int weir_app_check(weir_app *app);
/* What weir_app_run would do about each pipeline, by what it was when it last ran. */
typedef enum {
    WEIR_CHANGE_NEW = 0,          /* it never ran */
    WEIR_CHANGE_NONE = 1,
    WEIR_CHANGE_REUSABLE = 2,     /* it goes on with its state, which means the same: columns computed or named otherwise from the same aggregate calls, final results instead of changes, the same texts laid out anew */
    WEIR_CHANGE_REBUILD = 3,      /* its state means something else: another source, condition, group, window or call; or that of one whose topic it reads does. Rebuilt with on_change, else refused */
    WEIR_CHANGE_REFUSED = 4       /* likewise, and it cannot be rebuilt. Only from_beginning, or another name, helps */
} weir_change;
typedef struct weir_view_plan {
    const char *topic;            /* names the pipeline */
    weir_change change;
    const char *reason;           /* "" when there is nothing to say */
    uint64_t reserved[4];
} weir_view_plan;
/* In the order of weir_to; *views is one block for weir_free. Opens the log (WEIR_EBUSY while another has it; on options.log while the app runs) and changes nothing in it. */
WEIR_API int weir_app_plan(weir_app *app, weir_view_plan **views, size_t *count);
/* Runs until weir_app_stop, the end (until_end) or an error; restores first. 0, or a negative code with weir_app_error. A missing source topic is WEIR_ENOTFOUND and
 * the message names the command that creates it. */
WEIR_API int weir_app_run(weir_app *app);
/* Asks weir_app_run to commit what it has and return. Safe in a signal handler. */
WEIR_API void weir_app_stop(weir_app *app);
/* From now on threads workers (1 to 1024), also while weir_app_run works and in later runs. Every worker finishes its turn and its commit, then the partitions are shared out anew, by
 * the time that they took lately, or by how many records lie before them: nothing is closed, read again or written twice. The same number again only shares out anew. Returns at once, and
 * the change comes soon after; another call before that replaces this one. Any thread, any time, also from functions of the job. WEIR_EINVALID. */
WEIR_API int weir_app_set_threads(weir_app *app, int threads);
/* How many workers have the partitions now; 0 while the app does not run. Any thread. */
WEIR_API int weir_app_threads(const weir_app *app);
/* As of now or of the end of the last run. */
WEIR_API void weir_app_progress(const weir_app *app, weir_progress *progress);
/* What the metrics file holds, as of now or of the end of the last run: OpenMetrics text (docs/operations.md lists the names), which ends with a NUL. The caller
 * frees it with weir_free. From any thread while the app is open. */
WEIR_API int weir_app_metrics(weir_app *app, char **text);

/* ================ the log by itself ================
 *
 *     weir_log *log;
 *     if (weir_log_open("weir-data", NULL, &log) < 0)
 *         return fail(weir_log_error());
 *     weir_topic_create(log, "orders", 4, NULL, 0);
 *
 *     weir_producer *producer;                                     weir_consumer *consumer;
 *     weir_producer_open(log, NULL, &producer);                    weir_consumer_open(log, &(weir_consumer_options){
 *     weir_send(producer, &(weir_record){                              .group = "billing", .topics = &topic, .topic_count = 1}, &consumer);
 *         .topic = "orders", .key = "harbour", .key_size = 7,      while (weir_poll(consumer, 1000, &records, &count) == 0) {
 *         .value = json, .value_size = strlen(json)});                 …
 *     weir_flush(producer, -1);                                        weir_commit(consumer); }
 *
 * Threads. A weir_log is shared: all of its functions may be called from any thread at any time, but weir_log_close. A producer and a
 * consumer belong to one thread at a time (weir_consumer_wake excepted). A log keeps threads of its own that flush and clean up.
 * On threads that weir starts all signals are blocked: a process's signals are handled on its own.
 * After fork() only the parent goes on using its handles; the child may exec or _exit.
 *
 * Errors. 0 or a negative WEIR_E code, unless it is said otherwise. weir_producer_error and weir_consumer_error have the sentence of that
 * handle's last failure, weir_log_error that of this thread's last failure on a log. A NULL handle or a NULL where a text or a place for a
 * result is needed is WEIR_EINVALID. What a failed call was to fill in is NULL, 0 or -1.
 *
 * Options and records. Zero-initialise them: a zero means the default in brackets. Structs grow in their reserved words only, which must be
 * zero (else WEIR_EINVALID: written for a newer library), so that a program that was compiled against this header goes on working.
 *
 * Results. Arrays that a function gives out with ** are one block, with all that they point to; the caller frees it with weir_free.
 *
 * Offsets are 64 bits and start at 0. Timestamps are milliseconds since 1970-01-01 UTC. timeout_ms: 0 does not wait, -1 waits without limit. */

typedef struct weir_producer weir_producer;
typedef struct weir_consumer weir_consumer;

WEIR_API void weir_free(void *results);

/* ---- opening ---- */

typedef struct weir_log_options {
    bool must_exist;              /* [false: a missing directory is created] */
    bool read_only;               /* nothing in the directory changes; reading works, all else is WEIR_EREADONLY. So it is opened by itself when it cannot be written */
    weir_durability durability;   /* [commit] records are acknowledged, and visible, once they are on stable storage; os: once they are written */
    int64_t segment_bytes;        /* [1 GiB] default of topics that do not set segment.bytes */
    int64_t segment_ms;           /* [7 days] likewise */
    int32_t keeper_interval_ms;   /* [15 s] how often retention, compaction and expiry are looked at; -1: by weir_log_clean alone */
    int64_t cleaner_memory_bytes; /* [64 MiB] of a compaction */
    int64_t cleaner_bytes_per_s;  /* [64 MiB] a compaction reads and writes so much at most; -1: no limit */
    int64_t offsets_retention_ms; /* [7 days] a group's offsets are kept so long after its last member left, or after the commit when it never had one */
    int64_t producer_expiry_ms;   /* [24 h] an idle idempotent producer's sequence numbers are remembered so long */
    uint64_t reserved[4];
} weir_log_options;

/* Opens a data directory, recovers what a crash left and takes it for this process: WEIR_EBUSY names the process that has it. One weir_log per
 * directory; an app runs on the same one with weir_options.log. A damaged partition is no failure: it answers WEIR_ECORRUPT with file
 * and byte (weir_partition_describe), and the others work. options may be NULL. */
WEIR_API int weir_log_open(const char *dir, const weir_log_options *options, weir_log **log);
/* Flushes what was appended and lets the directory go. WEIR_EBUSY, and nothing happens, while producers, consumers or apps that use the log are
 * open; their number is in the text. NULL is allowed. */
WEIR_API int weir_log_close(weir_log *log);
/* The sentence of this thread's last failed call on a weir_log, weir_log_open included; "" when there was none. A log is used by many threads, so that its texts
 * are the threads', as errno is. Valid until this thread's next failure. */
WEIR_API const char *weir_log_error(void);
/* The directory as it was given to weir_log_open, without a slash at its end. */
WEIR_API const char *weir_log_dir(const weir_log *log);
/* 0: the log takes writes. WEIR_EREADONLY; or the code of the failed flush that stopped writing for good: close and open to go on. */
WEIR_API int weir_log_status(weir_log *log);

/* What cleaning did. */
typedef struct weir_clean_report {
    int64_t segments_deleted, bytes_deleted;                      /* by retention */
    int64_t partitions_compacted, bytes_read, bytes_written;
    int64_t records_kept, records_removed;                        /* by compaction; of those removed: */
    int64_t tombstones_removed, markers_removed, keyless_removed;
    int64_t duration_ns;
    uint64_t reserved[4];
} weir_clean_report;
/* Does now, in this thread, what the log otherwise does each keeper_interval_ms: retention, compaction of what is due, expiry. With a topic only that one, and it is
 * compacted whether it is due or not. report may be NULL. The first failure, after everything else was tried. */
WEIR_API int weir_log_clean(weir_log *log, const char *topic, weir_clean_report *report);

/* ---- topics ---- */

typedef struct weir_config {
    const char *key;              /* a topic configuration key of Kafka: `weir topic configs` prints all with their defaults */
    const char *value;            /* NULL: back to the default */
} weir_config;

typedef struct weir_topic_info {
    char name[256];
    char id[24];                  /* Kafka's text form of the topic's UUID */
    int32_t partitions;
    bool internal;                /* made by an app for itself */
    uint64_t reserved[4];
} weir_topic_info;

/* 1 to 10,000 partitions; a name has 1 to 249 characters of [A-Za-z0-9._-]. Durable on return, as all functions on topics are. WEIR_EEXISTS; WEIR_EINVALID for a
 * name or a configuration that cannot be, with a hint. */
WEIR_API int weir_topic_create(weir_log *log, const char *topic, int32_t partitions, const weir_config *config, size_t config_count);
/* Changes configuration, all of it or nothing; in force at once. */
WEIR_API int weir_topic_alter(weir_log *log, const char *topic, const weir_config *config, size_t config_count);
/* More partitions. Records of a key that are sent from now on may go to another partition than those before. Fewer are WEIR_EINVALID. Producers
 * notice within a second, consumers within their heartbeat interval. */
WEIR_API int weir_topic_grow(weir_log *log, const char *topic, int32_t partitions);
/* Removes the topic with its records and the offsets that groups committed for it. */
WEIR_API int weir_topic_delete(weir_log *log, const char *topic);
/* WEIR_ENOTFOUND names the most similar topic. info may be NULL. */
WEIR_API int weir_topic_describe(weir_log *log, const char *topic, weir_topic_info *info);
/* All topics by name. */
WEIR_API int weir_topic_list(weir_log *log, weir_topic_info **topics, size_t *count);

/* The value in force as text. WEIR_ENOTFOUND: unknown key or topic, or a key without a value; WEIR_ETOOLARGE: value_size (with the final 0) is too small. */
WEIR_API int weir_topic_config(weir_log *log, const char *topic, const char *key, char *value, size_t value_size);
typedef struct weir_config_value {
    const char *key, *value;
    bool is_set;                  /* for this topic; false: the default */
} weir_config_value;
/* Every key that has a value. */
WEIR_API int weir_topic_configs(weir_log *log, const char *topic, weir_config_value **values, size_t *count);

/* ---- partitions ---- */

typedef struct weir_partition_info {
    int32_t status;               /* 0, or the code that stopped this partition (WEIR_ECORRUPT …) */
    int32_t segments;             /* files */
    int64_t start_offset;         /* the first that exists */
    int64_t stable_offset;        /* readers of committed records read up to here */
    int64_t high_watermark;       /* acknowledged up to here */
    int64_t end_offset;           /* the next to be assigned */
    int64_t bytes, other_bytes;   /* on disk: of records; of indexes and whatever else lies beside them */
    int64_t first_timestamp_ms;   /* of its first record; WEIR_NO_TIME: it has none */
    int64_t max_timestamp_ms;     /* the largest of any record; likewise */
    int64_t last_write_ms;        /* when it was written to last, by this machine's clock; WEIR_NO_TIME: never */
    char reason[512];             /* of status: file, byte and what to do; "" for 0 */
    uint64_t reserved[4];
} weir_partition_info;
#define WEIR_NO_TIME INT64_MIN
/* Reads a few bytes of each file. */
WEIR_API int weir_partition_describe(weir_log *log, const char *topic, int32_t partition, weir_partition_info *info);

typedef enum {
    WEIR_VERIFY_RECORDS = 0,      /* batches, records, offsets: data is wrong or gone */
    WEIR_VERIFY_INDEX = 1,        /* searches take longer until the indexes are built again */
    WEIR_VERIFY_FILES = 2,        /* a file is missing, or is nobody's */
    WEIR_VERIFY_META = 3          /* what is recorded about the partition and its files disagree */
} weir_verify_kind;
typedef struct weir_finding {
    weir_verify_kind kind;
    int32_t partition;
    const char *topic;
    const char *file;             /* its path, or "meta" */
    int64_t position;             /* byte in it; -1: none */
    int64_t offset;               /* of the record or batch; -1: none */
    const char *text;             /* what is wrong */
} weir_finding;
typedef struct weir_verify_report {
    int64_t segments, batches, records, bytes; /* read, and right */
    int64_t findings;
    uint64_t reserved[4];
} weir_verify_report;
/* Reads every byte of a partition, past all caches, and compares it with what the formats, the indexes and the log's own records say; beside appends and reads, and on a
 * stopped partition too. Nothing changes. found is called for what is wrong, in this thread, with borrowed texts. 0, also with findings. found and report may be NULL. */
WEIR_API int weir_partition_verify(weir_log *log, const char *topic, int32_t partition, void (*found)(void *context, const weir_finding *finding), void *context,
                                   weir_verify_report *report);
/* *offset: of the first record with a timestamp at or after timestamp_ms, -1 when there is none. */
WEIR_API int weir_offset_at(weir_log *log, const char *topic, int32_t partition, int64_t timestamp_ms, int64_t *offset);
/* Records before the offset exist no more (-1: all up to the stable offset); files that hold nothing else are removed. WEIR_ERANGE above the stable offset. */
WEIR_API int weir_delete_records(weir_log *log, const char *topic, int32_t partition, int64_t before_offset);

/* ---- records ---- */

typedef struct weir_header {
    const char *key;
    size_t key_size;              /* sending: 0 takes strlen(key); polled keys end in a 0 that is not counted */
    const void *value;            /* NULL: null */
    size_t value_size;
} weir_header;

enum { WEIR_HAS_TIMESTAMP = 1 };  /* weir_record.flags: timestamp_ms is meant even if it is 0. Polled records have it, so that they can be sent on. */

typedef struct weir_record {
    const char *topic;
    const void *key;              /* NULL: none; an empty one is not NULL */
    size_t key_size;
    const void *value;            /* NULL: null, which deletes the key in a compacted topic */
    size_t value_size;
    const weir_header *headers;
    size_t header_count;
    int64_t timestamp_ms;         /* sending: [now], unless flags say otherwise */
    uint32_t flags;
    int32_t partition;            /* polled; weir_send does not look at it */
    int64_t offset;               /* polled */
    uint64_t tag;                 /* sending: comes back in weir_delivery */
    uint64_t reserved[4];
} weir_record;

/* ---- producers ---- */

typedef enum {
    WEIR_CODEC_DEFAULT = 0, WEIR_CODEC_NONE = 1, WEIR_CODEC_GZIP = 2, WEIR_CODEC_SNAPPY = 3, WEIR_CODEC_LZ4 = 4, WEIR_CODEC_ZSTD = 5
} weir_codec;

/* What became of a record. */
typedef struct weir_delivery {
    uint64_t tag;
    const char *topic;
    int32_t partition;
    int32_t code;                 /* 0: acknowledged (in a transaction: committed); negative: lost, and weir_flush or weir_txn_commit says why */
    int64_t offset;               /* -1 when lost */
} weir_delivery;

typedef struct weir_producer_options {
    const char *transactional_id; /* [none] at most 400 bytes, not "kafka:…" (those are clients' of a server): every record belongs to a transaction */
    weir_codec codec;             /* of batches [the topic's compression.type, else lz4]; a topic that names one has its way in the end */
    int32_t linger_ms;            /* [5] a batch that is not full is written so long after its first record; -1: by weir_flush alone. No part in transactions. */
    size_t batch_bytes;           /* [256 KiB] of records, before compression; a larger record is a batch of its own */
    size_t memory_bytes;          /* [32 MiB] of records that wait to be written; then all are */
    int32_t transaction_timeout_ms; /* [none] a transaction that is open for longer is aborted, and its producer WEIR_EFENCED */
    /* Each record's outcome, in offset order per partition; called inside weir_send, weir_flush, weir_txn_commit, weir_txn_abort and
     * weir_producer_close, in their thread; it must not use the producer. [none] */
    void (*delivered)(void *context, const weir_delivery *delivery);
    void *context;
    uint64_t reserved[4];
} weir_producer_options;

/* With a transactional_id: fences every older producer of that id, whose open transaction is aborted. No record is ever written twice. options may be NULL.
 * Failures: weir_log_error. */
WEIR_API int weir_producer_open(weir_log *log, const weir_producer_options *options, weir_producer **producer);
/* Writes and waits as weir_flush(-1) does and returns what that returns; an open transaction is aborted, which is no error. The handle is gone in any
 * case, and the text of a failure is then weir_log_error's. NULL is allowed. */
WEIR_API int weir_producer_close(weir_producer *producer);
WEIR_API const char *weir_producer_error(const weir_producer *producer);

/* Takes a copy of the record. Its partition: murmur2 of the key, as Kafka's clients choose; without a key one that changes from batch to batch. The
 * record is written when its batch is full, after linger_ms, or by weir_flush; it is acknowledged a little later (delivered, weir_flush).
 * A negative code says that this record was not taken. It may be the failure of earlier ones, whose batch had to be written first or was written in the
 * background: those that cannot be written as they are (WEIR_ETOOLARGE, WEIR_EINVALID) are lost, and weir_flush says so once more; after any other
 * failure they are kept and the next call tries again. WEIR_ESTATE: a transactional producer without an open transaction. */
WEIR_API int weir_send(weir_producer *producer, const weir_record *record);
/* The same, to a partition of the caller's choice. */
WEIR_API int weir_send_to(weir_producer *producer, int32_t partition, const weir_record *record);
/* Writes what was sent and waits until it is acknowledged. 0: every record that weir_send took since the last weir_flush is on stable storage (durability os:
 * written). Else the first failure, with the number of records lost and for each partition the reason; what is not lost is kept, and weir_flush may be called
 * again. WEIR_ETIMEOUT: written, but not acknowledged in time. In a transaction the records stay invisible until its commit. */
WEIR_API int weir_flush(weir_producer *producer, int32_t timeout_ms);

/* One transaction at a time: weir_txn_begin, then sends and offsets in any order, then weir_txn_commit or weir_txn_abort. */
WEIR_API int weir_txn_begin(weir_producer *producer);
/* The consumer's positions (all that its polls returned) are committed for its group by and with this transaction: results and input positions move together.
 * WEIR_EREBALANCE, WEIR_EMEMBER as weir_commit: abort. The consumer is used by the calling thread. */
WEIR_API int weir_txn_offsets(weir_producer *producer, weir_consumer *consumer);
typedef struct weir_offset {
    const char *topic;
    int32_t partition;
    int64_t offset;               /* the next to read */
    const char *metadata;         /* at most 4096 bytes; NULL: "" */
} weir_offset;
/* The same for offsets of the caller's choice, for a group without members. */
WEIR_API int weir_txn_group_offsets(weir_producer *producer, const char *group, const weir_offset *offsets, size_t count);
/* Writes what was sent, then makes all of the transaction visible and durable at once. 0: it is. A negative code: none of it is, and the transaction is over; begin
 * another one (WEIR_EFENCED: a newer producer has this transactional id; close). Only if weir_log_status is negative afterwards can it be either: the next
 * weir_log_open finds out. */
WEIR_API int weir_txn_commit(weir_producer *producer);
/* Nothing that was sent will ever be seen by readers of committed records. weir_consumer_rewind takes the consumer back as well. */
WEIR_API int weir_txn_abort(weir_producer *producer);

/* ---- consumers ---- */

typedef struct weir_topic_partition {
    const char *topic;
    int32_t partition;
} weir_topic_partition;

typedef enum { WEIR_READ_COMMITTED = 0, WEIR_READ_UNCOMMITTED = 1 } weir_isolation;
typedef enum {
    WEIR_RESET_EARLIEST = 0,      /* the first record that exists */
    WEIR_RESET_LATEST = 1,        /* the end */
    WEIR_RESET_ERROR = 2          /* weir_poll answers WEIR_ERANGE once for that partition, and leaves it out until weir_seek */
} weir_reset_policy;
/* How a group's partitions are dealt out to its members, as Kafka's assignors of these names do. */
typedef enum { WEIR_ASSIGN_NONE = 0, WEIR_ASSIGN_RANGE = 1, WEIR_ASSIGN_ROUND_ROBIN = 2, WEIR_ASSIGN_STICKY = 3, WEIR_ASSIGN_COOPERATIVE_STICKY = 4 } weir_assignor;

/* Called in the consumer's thread, inside weir_poll and weir_consumer_close; partitions are borrowed. It may commit, seek, pause and ask for positions. */
typedef void (*weir_partitions_fn)(void *context, weir_consumer *consumer, const weir_topic_partition *partitions, size_t count);

typedef struct weir_consumer_options {
    const char *group;            /* [none] with topics: a member that shares their partitions with the other members; none: all of them, and nothing is committed */
    const char *client_id;        /* ["weir"] what group descriptions show */
    const char *instance_id;      /* [none] a member that comes back under this name within its session timeout gets its partitions again without a rebalance */
    const char *const *topics;
    size_t topic_count;
    const weir_topic_partition *partitions; /* instead of topics: these alone, without membership */
    size_t partition_count;
    weir_assignor assignors[4];   /* [range, cooperative-sticky] by preference; a group uses one that all members name */
    weir_reset_policy reset;      /* [earliest] where to begin without a committed offset, and when a position does not exist any more */
    weir_isolation isolation;     /* [committed] only committed transactions are seen */
    int32_t session_timeout_ms;   /* [45 s] a member that does not poll for so long loses its partitions */
    int32_t rebalance_timeout_ms; /* [5 min] so long the group waits for this member to take part in a rebalance */
    int32_t heartbeat_interval_ms; /* [3 s] also how often new partitions are looked for */
    int32_t initial_rebalance_delay_ms; /* [none] so long a new group waits for more members before it deals out partitions */
    size_t max_bytes;             /* [1 MiB] of a read from one partition */
    size_t max_records;           /* [500] of a poll */
    weir_partitions_fn assigned;  /* new partitions, before their first record [none] */
    weir_partitions_fn revoked;   /* partitions that go to another member: the last chance to commit [none] */
    weir_partitions_fn lost;      /* partitions that another member has already: it is too late to commit [none] */
    void *context;                /* of the callbacks */
    uint64_t reserved[4];
} weir_consumer_options;

/* Topics and partitions must exist. The first weir_poll joins the group; a consumer that is no member may seek before it. Failures: weir_log_error. */
WEIR_API int weir_consumer_open(weir_log *log, const weir_consumer_options *options, weir_consumer **consumer);
/* Leaves the group (revoked is called first) and commits nothing by itself. Always 0; NULL is allowed. */
WEIR_API int weir_consumer_close(weir_consumer *consumer);
WEIR_API const char *weir_consumer_error(const weir_consumer *consumer);

/* Keeps the membership alive and brings records: waits up to timeout_ms for the first. *records are borrowed until the next weir_poll, weir_seek or close; *count is 0
 * when the time was over or weir_consumer_wake was called. A partition's records come in order; each poll begins with another partition.
 * A partition that cannot be read is reported once and left out from then on: the next poll goes on with the others. WEIR_EFENCED: another consumer took
 * the instance_id. */
WEIR_API int weir_poll(weir_consumer *consumer, int32_t timeout_ms, const weir_record **records, size_t *count);
/* The poll that waits, or else the next one, returns at once. Any thread, and safe in a signal handler. */
WEIR_API void weir_consumer_wake(weir_consumer *consumer);
/* A descriptor that becomes readable when weir_poll could bring something: for event loops, which poll with timeout 0 then, and at least each heartbeat
 * interval. Owned by the consumer. Negative: an error. */
WEIR_API int weir_consumer_fd(weir_consumer *consumer);

/* Commits durably, for the group, the offset after the last record that weir_poll returned of each partition. WEIR_EREBALANCE: the group shares its partitions anew; poll,
 * then commit again. WEIR_EMEMBER: this member did not poll in time and its partitions are somebody else's: what it had not committed is read again there.
 * WEIR_ESTATE: no group. */
WEIR_API int weir_commit(weir_consumer *consumer);
WEIR_API int weir_commit_offsets(weir_consumer *consumer, const weir_offset *offsets, size_t count);
/* What the group committed for a partition; *offset -1: nothing. metadata may be NULL; *metadata is valid until the next call of this function. */
WEIR_API int weir_committed(weir_consumer *consumer, const char *topic, int32_t partition, int64_t *offset, const char **metadata);

/* The partitions that this consumer has now; borrowed until the next weir_poll or close. */
WEIR_API int weir_assignment(weir_consumer *consumer, const weir_topic_partition **partitions, size_t *count);
/* The offset that the next poll reads first. WEIR_ENOTFOUND: not assigned, also of the functions below. */
WEIR_API int weir_position(weir_consumer *consumer, const char *topic, int32_t partition, int64_t *offset);
#define WEIR_BEGINNING INT64_C(-2)
#define WEIR_END INT64_C(-1)
/* An offset that does not exist is found out by the next poll, which does what reset says. */
WEIR_API int weir_seek(weir_consumer *consumer, const char *topic, int32_t partition, int64_t offset);
/* To the first record with a timestamp at or after timestamp_ms, else to the end. */
WEIR_API int weir_seek_time(weir_consumer *consumer, const char *topic, int32_t partition, int64_t timestamp_ms);
/* All assigned partitions go back to what the group committed (without: to where reset says): after weir_txn_abort. */
WEIR_API int weir_consumer_rewind(weir_consumer *consumer);
/* A paused partition stays assigned and brings no records. */
WEIR_API int weir_pause(weir_consumer *consumer, const char *topic, int32_t partition);
WEIR_API int weir_resume(weir_consumer *consumer, const char *topic, int32_t partition);

/* ---- groups ---- */

typedef struct weir_group_info {
    char name[512];
    char state[32];               /* Kafka's words: Empty, PreparingRebalance, CompletingRebalance, Stable */
    char assignor[64];            /* "" without members */
    int32_t generation;           /* 0: never had members */
    int32_t members;
    int64_t offsets;              /* partitions with a committed offset */
    int64_t lag;                  /* of those, in all */
    bool of_app;                  /* a weir app's */
    uint64_t reserved[4];
} weir_group_info;

typedef struct weir_group_lag {
    const char *topic;
    int32_t partition;
    int64_t committed_offset;     /* -1: none */
    int64_t start_offset, end_offset; /* what exists: up to the high watermark */
    int64_t lag;                  /* records from the committed offset to the end; -1: none committed */
    int64_t commit_time_ms;       /* 0: none */
    const char *metadata;
    const char *member_id, *client_id; /* who has the partition; NULL: nobody */
} weir_group_lag;

/* All groups by name. */
WEIR_API int weir_group_list(weir_log *log, weir_group_info **groups, size_t *count);
/* info and rows (all partitions of the topics that the group reads or has offsets in) may be NULL. WEIR_ENOTFOUND: neither members nor offsets. */
WEIR_API int weir_group_describe(weir_log *log, const char *group, weir_group_info *info, weir_group_lag **rows, size_t *count);

typedef enum {
    WEIR_RESET_TO_EARLIEST = 0,
    WEIR_RESET_TO_LATEST = 1,
    WEIR_RESET_TO_OFFSET = 2,     /* number */
    WEIR_RESET_TO_TIME = 3,       /* number: the first record with a timestamp at or after it, else the end */
    WEIR_RESET_BY_SHIFT = 4       /* number: so many records on, or back when negative, from the committed offset */
} weir_reset_to;
typedef struct weir_group_reset_options {
    const char *topic;            /* [every topic that the group has offsets in] */
    bool one_partition;           /* [false: all of them] only partition */
    int32_t partition;
    weir_reset_to to;
    int64_t number;
    bool execute;                 /* [false] nothing changes and the rows say what would */
    uint64_t reserved[4];
} weir_group_reset_options;
typedef struct weir_group_reset_row {
    const char *topic;
    int32_t partition;
    int64_t old_offset;           /* -1: none */
    int64_t wanted_offset;        /* what was asked for */
    int64_t new_offset;           /* that, or the nearer end of what exists */
} weir_group_reset_row;
/* New offsets for a group, all or none of them. WEIR_EBUSY while it has members; WEIR_ESTATE: a shift without a committed offset. rows may be NULL. */
WEIR_API int weir_group_reset(weir_log *log, const char *group, const weir_group_reset_options *options, weir_group_reset_row **rows, size_t *count);
/* Forgets the group's offsets. WEIR_EBUSY while it has members. */
WEIR_API int weir_group_delete(weir_log *log, const char *group);
/* Forgets those of one topic, partition -1: of all its partitions. WEIR_EBUSY while a member reads the topic; WEIR_ENOTFOUND: there are none. */
WEIR_API int weir_group_delete_offsets(weir_log *log, const char *group, const char *topic, int32_t partition);

/* ---- starting an app anew ---- */

/* What becomes of the rows that pipelines which start anew have written. */
typedef enum {
    WEIR_OUTPUTS_UNSAID = 0,      /* refused where there are any */
    WEIR_OUTPUTS_CLEAR = 1,       /* the topic holds afterwards what the replay makes: rows of an upsert table get tombstones, records of any other topic are removed as delete-records
                                   * does it, whoever wrote them */
    WEIR_OUTPUTS_KEEP = 2         /* they stay: the new ones come behind them, and those of an upsert table replace what has their keys */
} weir_outputs;
typedef struct weir_app_reset_options {
    const char *topic;            /* [every pipeline of the app] the pipeline that writes it, and those that read its output */
    weir_reset_to to;             /* [the beginning] of the sources; WEIR_RESET_TO_OFFSET: offsets; WEIR_RESET_BY_SHIFT is WEIR_EUNSUPPORTED */
    int64_t number;               /* WEIR_RESET_TO_TIME: the first record with a timestamp at or after it */
    const weir_offset *offsets;   /* WEIR_RESET_TO_OFFSET: one for each partition of each source, but of those that a pipeline which starts anew writes */
    size_t offset_count;
    weir_outputs outputs;         /* must be said to execute */
    bool execute;                 /* [false] nothing changes, and the plan says what would */
    uint64_t reserved[4];
} weir_app_reset_options;
typedef struct weir_app_reset_row {
    const char *topic;            /* the pipeline */
    const char *source;           /* what it reads, and of that a partition */
    int32_t partition;
    int64_t old_offset;           /* -1: nothing committed */
    int64_t new_offset;
    int64_t start_offset, end_offset; /* what exists */
    const char *note;             /* what to know of it; "" */
    uint64_t reserved[2];
} weir_app_reset_row;
typedef struct weir_app_reset_effect {
    const char *topic;            /* the pipeline */
    const char *kind;             /* "state", "changelog", "repartition", "output"; "reader": nothing becomes of it, and it has read the output */
    const char *name;             /* a directory below the data directory, without -PARTITION; a topic; a consumer group, which is an app or not */
    const char *effect;           /* what becomes of it */
    int64_t records;              /* that it holds, at most; of "state": its partitions */
    uint64_t reserved[2];
} weir_app_reset_effect;
typedef struct weir_app_reset_plan {
    weir_app_reset_row *rows;     /* each partition of each source of each pipeline */
    size_t row_count;
    weir_app_reset_effect *effects;
    size_t effect_count;
    uint64_t reserved[4];
} weir_app_reset_plan;
/* Makes pipelines of an app forget their state and positions and begin where it is asked; the next weir_app_run rebuilds their state and results from there, and from nothing before: a
 * window that began before holds the rows from there on. Those that read the topic of one that starts anew do, too, and begin with the first row of its new life. Late rows
 * and dead letters stay. The topology is not needed: app is the name, and its progress says the rest (of pipelines that have committed anything). A crash leaves all of it done or nothing, once the app, or a reset of it, is started
 * again. *plan (may be NULL) is one block for weir_free.
 * WEIR_EBUSY: the app runs on this log. WEIR_ENOTFOUND: it never ran here, or no pipeline of it writes topic, or a source was deleted. WEIR_ERANGE: an offset before what its partition
 * still has or behind its end; a time after the last record of every partition. WEIR_EINVALID: offsets that are missing or too many; outputs are not said. */
WEIR_API int weir_app_reset(weir_log *log, const char *app, const weir_app_reset_options *options, weir_app_reset_plan **plan);

/* ---- questions to views ----
 *
 * PostgreSQL's SELECT over the results that an aggregate of an app keeps, read from its state as of the app's last commit. Nothing is written.
 *
 *     weir_query *query;
 *     const weir_value *row;
 *     if (weir_query_open(log, "SELECT revenue FROM hourly WHERE shop = 'harbour'", NULL, &query) < 0)
 *         return fail(weir_log_error());
 *     while ((rc = weir_query_next(query, &row)) == 1)
 *         printf("%.*s\n", (int)row[0].text.size, row[0].text.data);
 *     if (rc < 0)
 *         fail(weir_query_error(query));
 *     weir_query_close(query);
 *
 * The view is named in FROM, by its topic or as its SQL statement calls it. Its columns are those of its topic's records and, of a view with windows, window_open: whether
 * rows may still come for the window. The columns of its key are known too where the records do not have them. Windows that have closed are read from the topic.
 * docs/sql.md says what a SELECT may hold and which conditions need no scan.
 *
 * Of an app that runs on this log in this process (options.log) rows are, in each partition of the view, as of its latest commit when that partition is first read after
 * weir_query_open or weir_query_rewind; the app is not held up. Such an answer is to be fetched within 10 s: then, and when the run ends, weir_query_next may answer
 * WEIR_ESTOPPED, and weir_query_rewind asks again.
 * Of an app that does not run rows are as of when the first query on the view was opened; while one is open the app cannot run on this log (WEIR_EBUSY).
 * One thread at a time uses a query; several threads may each have one. */
typedef struct weir_query weir_query;

/* Zero-initialise; a zero means the default in brackets. */
typedef struct weir_query_options {
    const char *app;              /* whose view it is [the only app that has one of that name] */
    size_t memory_bytes;          /* of what a changelog holds beyond its store, and each of ORDER BY, GROUP BY and the keys of closed windows [256 MiB] */
    uint64_t reserved[4];
} weir_query_options;
typedef struct weir_query_column {
    const char *name;
    weir_type type;               /* of values that are not NULL; WEIR_JSON_VALUE: any but WEIR_INTERVAL, as each row has it */
} weir_query_column;

/* Parses and plans, and opens the view unless a query has it open. Failures: weir_log_error, with line, column and caret where they are of the text. WEIR_EINVALID,
 * WEIR_EUNSUPPORTED; WEIR_ENOTFOUND: no such view; WEIR_ESTATE: its changelog is gone; WEIR_EBUSY: its app starts, is reset, or fills
 * a topic; WEIR_ESTOPPED: it runs, and the view's state is being restored. */
WEIR_API int weir_query_open(weir_log *log, const char *sql, const weir_query_options *options, weir_query **query);
/* NULL is allowed. Rows and texts that it gave out are gone. */
WEIR_API void weir_query_close(weir_query *query);
/* How many columns a row has, and which; until the close. */
WEIR_API size_t weir_query_columns(const weir_query *query, const weir_query_column **columns);
/* 1: *values are the next row's, until the next call on the query; 0: there is none. An error ends the query: WEIR_EINVALID, an expression fails for a row;
 * WEIR_ENOMEM, over memory_bytes; WEIR_ECORRUPT, WEIR_EIO. */
WEIR_API int weir_query_next(weir_query *query, const weir_value **values);
/* The next row is the first one again, also after an error. */
WEIR_API int weir_query_rewind(weir_query *query);
/* Results that the view has and that cannot be expressed (a sum of more than 38 digits, a division by zero behind the aggregate), and records of its topic that are not
 * its own: how many rows the answer so far leaves out for that, and why the first one. reason may be NULL. */
WEIR_API int64_t weir_query_left_out(const weir_query *query, const char **reason);
/* What is read, line by line: a point read, a range or a scan, of how many partitions, and what is kept in memory. Until the close; NULL after a failure. */
WEIR_API const char *weir_query_explain(weir_query *query);
/* The sentence of the query's last failure, "" when there was none. */
WEIR_API const char *weir_query_error(const weir_query *query);

/* ================ testing a job ================
 *
 * The engine that runs in production, in the calling thread: no other threads, a clock that stands still until the test moves it, a directory of
 * its own, and places where it can be killed. The topology is built by the same calls; the same function may build it for production.
 *
 *     weir_app *app = build_revenue(weir_app_open("revenue", NULL));
 *     weir_test *test;
 *     if (weir_test_open(app, &(weir_test_options){.start_ms = 1772442000000, .partitions = 4}, &test) < 0)
 *         return fail(weir_log_error());
 *     weir_test_send(test, "orders", -1, 0, "harbour", "{\"ts\":1772442000000,\"status\":\"paid\",…}");
 *     weir_test_run(test);
 *     weir_test_kill(test);                              as kill -9 would
 *     weir_test_restart(test, NULL);
 *     weir_test_advance(test, WEIR_HOURS(1));
 *     weir_test_run(test);
 *     weir_record *records;
 *     size_t count;
 *     weir_test_read(test, "hourly-revenue", &records, &count);
 *     …
 *     weir_test_close(test);
 *     weir_app_close(app);
 *
 * docs/testing-your-jobs.md shows whole tests.
 *
 * Same calls, same results: neither the machine's clock, nor its speed, nor the order in which threads run decides anything, and nothing ever sleeps.
 * options.threads of the app are that many workers that take turns; commit_interval_ms, checkpoint_interval_ms, keeper_interval_ms, retention and
 * timeouts go by the test's clock. Files are written as ever, but not flushed to the device: a kill ends a process, not a machine.
 *
 * The clock, and the places to be killed at, are the process's: one weir_test at a time (WEIR_EBUSY), and nothing else of this library meanwhile but what
 * goes to weir_test_log, in the same thread.
 *
 * Errors. 0 or a negative WEIR_E code with weir_test_error, or WEIR_TEST_KILLED where the place of weir_test_kill_at was passed: the engine is dead and
 * its files are as they were in that moment. What the call was to do may have happened or not, as for anybody whose server dies. Until
 * weir_test_restart all other calls that need the engine are WEIR_ESTATE. An engine that failed by itself (a missing topic, a changed plan) is closed as
 * weir_app_run would close it; the next call that needs one starts one. */

typedef struct weir_test weir_test;
#define WEIR_TEST_KILLED 1

typedef struct weir_test_options {
    const char *data;             /* [a new directory in $TMPDIR, /dev/shm or /tmp, which weir_test_close removes] a directory to use and to keep */
    int64_t start_ms;             /* [1767225600000, 2026-01-01] what the clock shows first. Event times too far ahead of it are rejected as in production */
    int32_t partitions;           /* [1] of the topics that the driver makes: sources and topics of weir_test_send that are missing */
    uint64_t reserved[4];
} weir_test_options;

/* The app stays the caller's, who closes it after the test and does nothing else with it meanwhile but weir_app_progress, weir_app_set_threads and weir_app_error. Its own data
 * directory and log are not touched; an app with options.log is WEIR_EINVALID. options may be NULL. Failures: weir_log_error. The engine starts
 * with the first call that needs it; until then topics can be made in weir_test_log. */
WEIR_API int weir_test_open(weir_app *app, const weir_test_options *options, weir_test **test);
/* Ends the engine cleanly where the directory is kept (data), else as it is, and removes the directory. WEIR_EBUSY, and nothing happens, while producers or consumers of weir_test_log
 * are open. NULL is allowed. */
WEIR_API int weir_test_close(weir_test *test);
/* The sentence of the last call that failed, "" when none did. */
WEIR_API const char *weir_test_error(const weir_test *test);
/* The log that the engine runs on, for all that weir_log_… functions do: topics with a configuration, groups, transactional producers. NULL while killed.
 * What was opened on it must be closed before weir_test_restart and weir_test_close. A producer's linger is over with the first weir_send or
 * weir_flush after its time. */
WEIR_API weir_log *weir_test_log(weir_test *test);

/* Appends a record: to a partition, or with -1 to that of its key (without a key to one that changes from batch to batch). timestamp_ms 0: now. key and value
 * may be NULL. Records are gathered and written, in one batch a partition, by weir_test_flush and by every other call that needs the engine. */
WEIR_API int weir_test_send(weir_test *test, const char *topic, int32_t partition, int64_t timestamp_ms, const char *key, const char *value);
/* The same with sizes and headers; record->partition is not looked at. */
WEIR_API int weir_test_send_record(weir_test *test, int32_t partition, const weir_record *record);
/* Writes what was sent, and no more. */
WEIR_API int weir_test_flush(weir_test *test);

/* One turn of each worker, and then what the log and the checkpoint have to do by now. *idle (may be NULL): there was nothing to do, and there will not be
 * until records or time come. */
WEIR_API int weir_test_step(weir_test *test, bool *idle);
/* Turns until there is nothing to do at this time: all that was sent is processed and committed. */
WEIR_API int weir_test_run(weir_test *test);
/* What weir_app_run does with until_end, and with close_windows: to the end of what is there, through all stages; then the engine ends cleanly. The next
 * call starts one that goes on behind it. Time goes by where something waits for it (the interval of commits, a task that failed and tries
 * again); after an hour it is WEIR_ETIMEOUT: a pipeline is paused, or goes on failing. */
WEIR_API int weir_test_finish(weir_test *test, bool close_windows);

/* Writes what was sent and lets ms milliseconds (0 to 1000 years) go by. What becomes due is done by the next step or run, all at the new time. */
WEIR_API int weir_test_advance(weir_test *test, int64_t ms);
/* What the clock shows: milliseconds since 1970. */
WEIR_API int64_t weir_test_now(const weir_test *test);

/* The committed records of a topic that earlier calls for this topic have not given out yet: partition after partition, each in offset order. Late rows
 * (<topic>.late) and dead letters (<app>.dlq) are topics like any other. *records is the caller's, to be freed with weir_free. Restarts change nothing about
 * what was read. WEIR_ENOTFOUND: no such topic. */
WEIR_API int weir_test_read(weir_test *test, const char *topic, weir_record **records, size_t *count);
/* The next weir_test_read of the topic begins at its start again. */
WEIR_API int weir_test_rewind(weir_test *test, const char *topic);
/* The state of one group of the aggregate that weir_to writes to topic, as a JSON object: group columns, window bounds, results. key is the record key
 * of its results: the text of a single text column, or a JSON object of the key columns with window_start. *json is the caller's (weir_free). A checkpoint
 * comes first. WEIR_ENOTFOUND: no such group (any more), or no such aggregate. */
WEIR_API int weir_test_get(weir_test *test, const char *topic, const char *key, char **json);

/* The names of the places, NULL at the end. commit_… and checkpoint_… are the engine's, state_… its stores', those with dots the log's. */
WEIR_API const char *const *weir_test_points(void);
/* The engine dies when it passes the place for the n-th time from now (n >= 1); point NULL: nowhere. WEIR_EINVALID: no such place. */
WEIR_API int weir_test_kill_at(weir_test *test, const char *point, int64_t n);
/* How often it was passed since weir_test_open; WEIR_EINVALID: no such place. */
WEIR_API int64_t weir_test_passings(const weir_test *test, const char *point);
/* Writes what was sent, then dies here, between two turns. */
WEIR_API int weir_test_kill(weir_test *test);
/* After a kill: opens the files again, as the next process would. Else ends the engine cleanly first: what was read is committed and the stores are brought
 * up to date. app NULL: the same topology; or another one under the same name, a new version of the job, which is the caller's as the first one
 * is. Recovery passes places, too. */
WEIR_API int weir_test_restart(weir_test *test, weir_app *app);

#ifdef __cplusplus
}
#endif
#endif
