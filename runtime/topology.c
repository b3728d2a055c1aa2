/* topology.c: the builder functions of weir.h.
 *
 * They only record what the user asked for, as a list of nodes with parents; nothing is parsed or
 * opened here. The first mistake is kept in the app (code and sentence) and every later call on the
 * chain returns NULL, so that a program checks once, at weir_app_check or weir_app_run. */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "operators/column.h"
#include "operators/value.h"
#include "operators/window_local.h"
#include "runtime/app.h"
#include "runtime/format.h"
#include "runtime/metrics.h"
#include "runtime/port.h"

enum { APP_NAME_MAX = 100, CLASS_MAX = 60, INTERVAL_MAX_MS = 24 * 3600 * 1000 };

/* Public and internal codes are the same numbers. */
#define SAME(a, b) _Static_assert((int)(a) == (int)(b), #a)
SAME(WEIR_ENOMEM, ERR_NOMEM);
SAME(WEIR_EIO, ERR_IO);
SAME(WEIR_ECORRUPT, ERR_CORRUPT);
SAME(WEIR_EINVALID, ERR_INVALID);
SAME(WEIR_ENOTFOUND, ERR_NOT_FOUND);
SAME(WEIR_EEXISTS, ERR_EXISTS);
SAME(WEIR_EBUSY, ERR_BUSY);
SAME(WEIR_EFENCED, ERR_FENCED);
SAME(WEIR_ERANGE, ERR_RANGE);
SAME(WEIR_ETOOLARGE, ERR_TOO_LARGE);
SAME(WEIR_EUNSUPPORTED, ERR_UNSUPPORTED);
SAME(WEIR_ESTOPPED, ERR_STOPPED);
SAME(WEIR_ETIMEOUT, ERR_TIMEOUT);
SAME(WEIR_ESTATE, ERR_STATE);
SAME(WEIR_EFULL, ERR_FULL);
SAME(WEIR_EREADONLY, ERR_READ_ONLY);
SAME(WEIR_ESEQUENCE, ERR_SEQUENCE);
SAME(WEIR_EREBALANCE, ERR_REBALANCE);
SAME(WEIR_EMEMBER, ERR_MEMBER);
/* And so are the values that users' functions get and give. */
SAME(WEIR_NULL, VALUE_NULL);
SAME(WEIR_BOOLEAN, VALUE_BOOLEAN);
SAME(WEIR_BIGINT, VALUE_BIGINT);
SAME(WEIR_DOUBLE, VALUE_DOUBLE);
SAME(WEIR_NUMERIC, VALUE_NUMERIC);
SAME(WEIR_TEXT, VALUE_TEXT);
SAME(WEIR_TIMESTAMP, VALUE_TIMESTAMP);
SAME(WEIR_INTERVAL, VALUE_INTERVAL);
SAME(WEIR_JSON_VALUE, VALUE_JSON);
SAME(WEIR_BYTEA, VALUE_BYTEA);
SAME(sizeof(weir_value), sizeof(struct value));
SAME(offsetof(weir_value, i64), offsetof(struct value, i64));
SAME(offsetof(weir_value, text.data), offsetof(struct value, text.data));
SAME(offsetof(weir_value, text.size), offsetof(struct value, text.size));

#define TEXT_OF(x)  TEXT_OF_(x)
#define TEXT_OF_(x) #x
const char *weir_version(void)
{
    return TEXT_OF(WEIR_VERSION_MAJOR) "." TEXT_OF(WEIR_VERSION_MINOR) "." TEXT_OF(
        WEIR_VERSION_PATCH);
}
const char *weir_strerror(int code)
{
    return error_text(code);
}

int topology_fail(struct weir_app *app, int code, const char *format, ...)
{
    if (app->error == 0) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(app->diag.text, sizeof app->diag.text, format, arguments);
        va_end(arguments);
        app->diag.code = app->error = code;
    }
    return code;
}

bool topology_name_is_good(const char *name, size_t limit)
{
    size_t size = name != NULL ? strlen(name) : 0;
    return size > 0 && size <= limit && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") ==
               size;
}

static void fill_defaults(struct weir_options *options)
{
    if (options->threads == 0)
        options->threads = 1;
    if (options->commit_interval_ms == 0)
        options->commit_interval_ms = 100;
    if (options->checkpoint_interval_ms == 0)
        options->checkpoint_interval_ms = 10000;
    if (options->keeper_interval_ms == 0)
        options->keeper_interval_ms = 15000;
    if (options->memory_bytes == 0)
        options->memory_bytes = (size_t)256 << 20;
    if (options->batch_rows == 0)
        options->batch_rows = BATCH_ROWS;
}

/* What an option cannot mean is an error and not a default. */
static void check_options(struct weir_app *app)
{
    const struct weir_options *options = &app->options;
    if (options->threads < 1 || options->threads > WORKERS_MAX)
        topology_fail(app, ERR_INVALID, "threads must be 1 to %d, not %d", WORKERS_MAX,
                      options->threads);
    if (options->commit_interval_ms < 1 || options->commit_interval_ms > INTERVAL_MAX_MS)
        topology_fail(app, ERR_INVALID, "commit_interval_ms must be 1 to %d, not %lld",
                      INTERVAL_MAX_MS, (long long)options->commit_interval_ms);
    if (options->checkpoint_interval_ms < 1 || options->checkpoint_interval_ms > INTERVAL_MAX_MS)
        topology_fail(app, ERR_INVALID, "checkpoint_interval_ms must be 1 to %d, not %lld",
                      INTERVAL_MAX_MS, (long long)options->checkpoint_interval_ms);
    if (options->keeper_interval_ms < 1 || options->keeper_interval_ms > INTERVAL_MAX_MS)
        topology_fail(app, ERR_INVALID, "keeper_interval_ms must be 1 to %d, not %lld",
                      INTERVAL_MAX_MS, (long long)options->keeper_interval_ms);
    if (options->batch_rows < 1 || options->batch_rows > BATCH_ROWS)
        topology_fail(app, ERR_INVALID, "batch_rows must be 1 to %d, not %d", BATCH_ROWS,
                      (int)options->batch_rows);
    if (options->durability != WEIR_DURABILITY_COMMIT && options->durability != WEIR_DURABILITY_OS)
        topology_fail(app, ERR_INVALID,
                      "durability must be WEIR_DURABILITY_COMMIT or WEIR_DURABILITY_OS, not %d",
                      (int)options->durability);
    if ((int)options->on_change < WEIR_ON_CHANGE_REFUSE ||
        options->on_change > WEIR_ON_CHANGE_REBUILD_APPEND)
        topology_fail(app, ERR_INVALID, "on_change must be one of enum weir_on_change, not %d",
                      (int)options->on_change);
    if (options->close_windows && !options->until_end)
        topology_fail(app, ERR_INVALID, "close_windows needs until_end");
}

weir_app *weir_app_open(const char *name, const weir_options *options)
{
    struct weir_app *app = calloc(1, sizeof *app);
    if (app == NULL)
        return NULL;
    app->sinks_end = &app->sinks;
    pthread_mutex_init(&app->mutex, NULL);
    if (options != NULL)
        app->options = *options;
    port_log_hold(app->options.log);
    fill_defaults(&app->options);
    app->name = strdup(name != NULL ? name : "");
    bool has_both = app->options.data != NULL && app->options.log != NULL;
    const char *data =
        app->options.log != NULL ? weir_log_dir(app->options.log) : app->options.data;
    app->data = strdup(data != NULL ? data : "./weir-data");
    app->metrics = metrics_create();
    if (app->name == NULL || app->data == NULL || app->metrics == NULL) {
        weir_app_close(app);
        return NULL;
    }
    app->options.data = app->data;
    if (app->options.metrics != NULL &&
        (app->options.metrics = strdup(app->options.metrics)) == NULL) {
        weir_app_close(app);
        return NULL;
    }
    if (!topology_name_is_good(name, APP_NAME_MAX))
        topology_fail(app, ERR_INVALID,
                      "'%s' cannot name an app: 1 to %d characters of [A-Za-z0-9._-]", app->name,
                      APP_NAME_MAX);
    check_options(app);
    if (has_both)
        topology_fail(app, ERR_INVALID, "an app runs on data or on an open log: name one of them");
    return app;
}

void weir_app_close(weir_app *app)
{
    if (app == NULL)
        return;
    port_log_release(app->options.log);
    while (app->nodes != NULL) {
        struct weir_stream *node = app->nodes;
        app->nodes = node->next_owned;
        free(node->text);
        free(node->extra);
        free(node->name);
        free(node->right_columns);
        free(node->partitioned_by);
        free(node->merged);
        free(node);
    }
    format_release(app);
    while (app->sinks != NULL) {
        struct sink *sink = app->sinks;
        app->sinks = sink->next;
        free(sink->topic);
        free(sink->name);
        free(sink->partitions_like);
        free(sink);
    }
    pthread_mutex_destroy(&app->mutex);
    free(app->stages);
    metrics_destroy(app->metrics);
    free((void *)(uintptr_t)app->options.metrics);
    free(app->name);
    free(app->data);
    free(app);
}

const char *weir_app_error(const weir_app *app)
{
    return app != NULL ? app->diag.text : "no memory";
}

void weir_app_stop(weir_app *app)
{
    if (app != NULL)
        atomic_store(&app->stop, 1);
}

struct weir_stream *topology_add_node(struct weir_app *app, struct weir_stream *parent,
                                      enum node_kind kind, const char *text, const char *extra)
{
    if (app == NULL || app->error != 0)
        return NULL;
    struct weir_stream *node = calloc(1, sizeof *node);
    if (node == NULL) {
        topology_fail(app, ERR_NOMEM, "no memory for the topology");
        return NULL;
    }
    node->app = app;
    node->parent = parent;
    node->kind = kind;
    node->next_owned = app->nodes;
    app->nodes = node;
    node->text = text != NULL ? strdup(text) : NULL;
    node->extra = extra != NULL ? strdup(extra) : NULL;
    if ((text != NULL && node->text == NULL) || (extra != NULL && node->extra == NULL)) {
        topology_fail(app, ERR_NOMEM, "no memory for the topology");
        return NULL;
    }
    return node;
}

static bool follows_aggregate(const struct weir_stream *stream)
{
    while (stream->kind == NODE_FILTER || stream->kind == NODE_MAP)
        stream = stream->parent;
    return stream->kind == NODE_AGGREGATE;
}

/* What works on results: a condition, and behind it their columns. */
static bool may_follow_aggregate(const struct weir_stream *stream, enum node_kind kind)
{
    return (kind == NODE_FILTER && stream->kind == NODE_AGGREGATE) ||
           (kind == NODE_MAP && stream->kind != NODE_MAP);
}

/* The join of two streams or tables on the way to the stream; NULL: there is none. */
static const struct weir_stream *find_joined(const struct weir_stream *stream)
{
    while (stream != NULL && stream->kind != NODE_WITHIN && stream->kind != NODE_JOIN_TABLES)
        stream = stream->parent;
    return stream;
}

/* Behind a join of two streams or tables one task works on rows of many sources: what must know of
 * their time, or keeps rows of its own, reads the topic of the results. */
static bool may_follow_joined(const struct weir_stream *joined, enum node_kind kind)
{
    return joined == NULL || kind == NODE_FILTER || kind == NODE_CHECK || kind == NODE_MAP ||
           kind == NODE_FILTER_FN || kind == NODE_MAP_FN || kind == NODE_PEEK || kind == NODE_REKEY;
}

bool topology_gives_rows(const struct weir_stream *stream, enum node_kind kind, const char *what)
{
    struct weir_app *app = stream->app;
    const struct weir_stream *joined = find_joined(stream);
    if (stream->kind == NODE_GROUP || stream->kind == NODE_WINDOW)
        topology_fail(app, ERR_STATE, "%s cannot follow a group: aggregate it first", what);
    else if (stream->kind == NODE_REKEY)
        topology_fail(app, ERR_STATE,
                      "%s cannot follow weir_rekey, which is the last step before weir_to", what);
    else if (!may_follow_joined(joined, kind))
        topology_fail(
            app, ERR_UNSUPPORTED,
            "%s cannot follow %s directly: write the joined rows to a topic with weir_to, "
            "and read that with %s",
            what, joined->kind == NODE_WITHIN ? "weir_join_within" : "a join of two tables",
            joined->kind == NODE_WITHIN ? "weir_source" : "weir_table");
    else if (follows_aggregate(stream) && !may_follow_aggregate(stream, kind))
        topology_fail(
            app, ERR_UNSUPPORTED,
            "%s cannot follow an aggregate directly, which takes one weir_filter and then one "
            "weir_map: write it with weir_to (emit final) and read that topic with weir_source",
            what);
    else
        return true;
    return false;
}

/* A step on a stream that is not grouped; after an aggregate on its results. */
struct weir_stream *topology_add_step(struct weir_stream *stream, enum node_kind kind,
                                      const char *what, const char *text, const char *extra)
{
    if (stream == NULL)
        return NULL;
    struct weir_app *app = stream->app;
    if (text == NULL || text[0] == '\0') {
        topology_fail(app, ERR_INVALID, "%s needs an expression", what);
        return NULL;
    }
    if (!topology_gives_rows(stream, kind, what))
        return NULL;
    return topology_add_node(app, stream, kind, text, extra);
}

static struct weir_stream *add_source(struct weir_app *app, const char *topic, weir_format format,
                                      const char *columns, const char *event_time)
{
    if (app == NULL)
        return NULL;
    const struct format *known = format_find(app, format);
    if (known != NULL && known->decode == NULL)
        topology_fail(app, ERR_UNSUPPORTED, "source %s: format %s has no function that reads",
                      topic ? topic : "", known->name);
    if (known == NULL)
        topology_fail(app, ERR_INVALID, "source %s: format %d is not known", topic ? topic : "",
                      format);
    else if (!known->has_fields && known->columns == NULL && columns == NULL)
        topology_fail(app, ERR_INVALID,
                      "source %s: records of format %s have no names: declare their columns with "
                      "weir_source_columns",
                      topic ? topic : "", known->name);
    else if ((known->has_fields || known->columns != NULL) && columns != NULL)
        topology_fail(app, ERR_INVALID,
                      "source %s: records of format %s take no declared columns: name it with "
                      "weir_source",
                      topic ? topic : "", known->name);
    if (!topology_name_is_good(topic, 249))
        topology_fail(
            app, ERR_INVALID,
            "'%s' cannot name a topic: 1 to 249 characters of [A-Za-z0-9._-], not . or ..",
            topic ? topic : "");
    struct weir_stream *node = topology_add_node(app, NULL, NODE_SOURCE, topic, event_time);
    if (node == NULL)
        return NULL;
    node->number_ms = WEIR_SECONDS(30);
    node->skew_ms = WEIR_HOURS(1);
    node->format = known;
    node->name = columns != NULL ? strdup(columns) : NULL;
    if (columns != NULL && node->name == NULL) {
        topology_fail(app, ERR_NOMEM, "no memory for the topology");
        return NULL;
    }
    return node;
}

weir_stream *weir_source(weir_app *app, const char *topic, weir_format format,
                         const char *event_time)
{
    return add_source(app, topic, format, NULL, event_time);
}

weir_stream *weir_source_columns(weir_app *app, const char *topic, weir_format format,
                                 const char *columns, const char *event_time)
{
    return add_source(app, topic, format, columns != NULL ? columns : "", event_time);
}

weir_stream *weir_source_csv(weir_app *app, const char *topic, const char *columns,
                             const char *event_time)
{
    return weir_source_columns(app, topic, WEIR_CSV, columns, event_time);
}

/* A span of time of a source, 0 to 100 years. */
static weir_stream *set_span(weir_stream *source, const char *function, const char *what,
                             int64_t span_ms, int64_t *place)
{
    if (source->kind != NODE_SOURCE) {
        topology_fail(source->app, ERR_STATE, "%s belongs on a source", function);
        return NULL;
    }
    if (span_ms < 0 || span_ms > WEIR_DAYS(36500)) {
        topology_fail(source->app, ERR_INVALID,
                      "%s of source %s: %lld ms is not between 0 and 100 years", what, source->text,
                      (long long)span_ms);
        return NULL;
    }
    *place = span_ms;
    return source;
}

weir_stream *weir_lateness(weir_stream *source, int64_t lateness_ms)
{
    return source == NULL
               ? NULL
               : set_span(source, "weir_lateness", "lateness", lateness_ms, &source->number_ms);
}

weir_stream *weir_idle_close(weir_stream *source, int64_t idle_ms)
{
    return source == NULL
               ? NULL
               : set_span(source, "weir_idle_close", "idle time", idle_ms, &source->idle_ms);
}

weir_stream *weir_max_future_skew(weir_stream *source, int64_t skew_ms)
{
    return source == NULL
               ? NULL
               : set_span(source, "weir_max_future_skew", "future skew", skew_ms, &source->skew_ms);
}

static struct weir_stream *need_source(struct weir_stream *source, const char *what)
{
    if (source != NULL && source->kind != NODE_SOURCE) {
        topology_fail(source->app, ERR_STATE, "%s belongs on a source", what);
        return NULL;
    }
    return source;
}

weir_stream *weir_partitioned_by(weir_stream *source, const char *field)
{
    source = need_source(source, "weir_partitioned_by");
    if (source == NULL)
        return NULL;
    free(source->partitioned_by);
    source->partitioned_by = field != NULL && field[0] != '\0' ? strdup(field) : NULL;
    if (source->partitioned_by == NULL)
        topology_fail(source->app, field == NULL || field[0] == '\0' ? ERR_INVALID : ERR_NOMEM,
                      "weir_partitioned_by needs a field");
    return source->app->error == 0 ? source : NULL;
}

weir_stream *weir_partitions(weir_stream *source, int32_t partitions)
{
    source = need_source(source, "weir_partitions");
    if (source == NULL)
        return NULL;
    source->partitions = partitions;
    if (partitions < 1 || partitions > PARTITIONS_MAX)
        topology_fail(source->app, ERR_INVALID, "weir_partitions: %d is not between 1 and %d",
                      (int)partitions, PARTITIONS_MAX);
    return source->app->error == 0 ? source : NULL;
}

weir_stream *weir_filter(weir_stream *stream, const char *condition)
{
    return topology_add_step(stream, NODE_FILTER, "weir_filter", condition, NULL);
}

weir_stream *weir_check(weir_stream *stream, const char *condition, const char *error_class)
{
    if (stream == NULL)
        return NULL;
    size_t size = error_class != NULL ? strlen(error_class) : 0;
    if (size == 0 || size > CLASS_MAX ||
        strspn(error_class, "abcdefghijklmnopqrstuvwxyz0123456789_") != size) {
        topology_fail(stream->app, ERR_INVALID,
                      "weir_check: '%s' cannot be an error class: 1 to %d characters of [a-z0-9_]",
                      error_class ? error_class : "", CLASS_MAX);
        return NULL;
    }
    return topology_add_step(stream, NODE_CHECK, "weir_check", condition, error_class);
}

weir_stream *weir_map(weir_stream *stream, const char *select_list)
{
    return topology_add_step(stream, NODE_MAP, "weir_map", select_list, NULL);
}

weir_stream *weir_group_by(weir_stream *stream, const char *select_list)
{
    return topology_add_step(stream, NODE_GROUP, "weir_group_by", select_list, NULL);
}

/* A window on a group: its size is between 1 ms and 100 years whatever its kind. */
static struct weir_stream *add_window(struct weir_stream *grouped, const char *what,
                                      enum window_kind window, int64_t size_ms, const char *text)
{
    if (grouped == NULL)
        return NULL;
    if (grouped->kind != NODE_GROUP) {
        topology_fail(grouped->app, ERR_STATE, "%s follows weir_group_by", what);
        return NULL;
    }
    if (size_ms <= 0 || size_ms > WEIR_DAYS(36500)) {
        topology_fail(grouped->app, ERR_INVALID,
                      "a window of %lld ms is not between 1 ms and 100 years", (long long)size_ms);
        return NULL;
    }
    struct weir_stream *node = topology_add_node(grouped->app, grouped, NODE_WINDOW, text, NULL);
    if (node != NULL) {
        node->window = window;
        node->number_ms = size_ms;
    }
    return node;
}

weir_stream *weir_tumbling(weir_stream *grouped, int64_t size_ms)
{
    return add_window(grouped, "weir_tumbling", WINDOW_TUMBLING, size_ms, NULL);
}

weir_stream *weir_hopping(weir_stream *grouped, int64_t size_ms, int64_t hop_ms)
{
    struct weir_stream *node = add_window(grouped, "weir_hopping", WINDOW_HOPPING, size_ms, NULL);
    if (node == NULL)
        return NULL;
    node->hop_ms = hop_ms;
    if (hop_ms <= 0 || hop_ms > size_ms)
        topology_fail(
            node->app, ERR_INVALID,
            "weir_hopping: a hop of %lld ms is not between 1 ms and the window's size of %lld ms: "
            "rows between two windows would be in none",
            (long long)hop_ms, (long long)size_ms);
    else if ((size_ms - 1) / hop_ms >= WINDOW_HOPS_MAX)
        topology_fail(
            node->app, ERR_TOO_LARGE,
            "weir_hopping: windows of %lld ms every %lld ms hold each row %lld times; the limit "
            "is %d: take a longer hop",
            (long long)size_ms, (long long)hop_ms, (long long)((size_ms - 1) / hop_ms + 1),
            WINDOW_HOPS_MAX);
    return node->app->error == 0 ? node : NULL;
}

weir_stream *weir_session(weir_stream *grouped, int64_t gap_ms)
{
    return add_window(grouped, "weir_session", WINDOW_SESSION, gap_ms, NULL);
}

weir_stream *weir_tumbling_in(weir_stream *grouped, int64_t count, weir_unit unit, const char *zone)
{
    _Static_assert((int)WEIR_HOUR == (int)LOCAL_HOUR && (int)WEIR_DAY == (int)LOCAL_DAY &&
                       (int)WEIR_WEEK == (int)LOCAL_WEEK && (int)WEIR_MONTH == (int)LOCAL_MONTH,
                   "units are passed on as they are");
    struct weir_stream *node = add_window(grouped, "weir_tumbling_in", WINDOW_LOCAL, 1, zone);
    if (node == NULL)
        return NULL;
    node->number_ms = count;
    node->hop_ms = unit;
    if (zone == NULL || zone[0] == '\0')
        topology_fail(node->app, ERR_INVALID,
                      "weir_tumbling_in needs a time zone, like \"Europe/Berlin\"");
    else if (unit < WEIR_HOUR || unit > WEIR_MONTH)
        topology_fail(
            node->app, ERR_INVALID,
            "weir_tumbling_in: unit %d is not WEIR_HOUR, WEIR_DAY, WEIR_WEEK or WEIR_MONTH",
            (int)unit);
    else if (!local_count_is_good((enum local_unit)unit, count))
        topology_fail(
            node->app, ERR_INVALID,
            "weir_tumbling_in: windows of %lld: hours go by 1, 2, 3, 4, 6, 8 or 12, days to 366, "
            "weeks to 52, months to 1200",
            (long long)count);
    return node->app->error == 0 ? node : NULL;
}

weir_stream *weir_aggregate(weir_stream *grouped, const char *select_list)
{
    if (grouped == NULL)
        return NULL;
    if (grouped->kind != NODE_GROUP && grouped->kind != NODE_WINDOW) {
        topology_fail(grouped->app, ERR_STATE,
                      "weir_aggregate follows weir_group_by or weir_tumbling");
        return NULL;
    }
    if (select_list == NULL || select_list[0] == '\0') {
        topology_fail(grouped->app, ERR_INVALID,
                      "weir_aggregate needs a select list, for example \"count(*) AS events\"");
        return NULL;
    }
    return topology_add_node(grouped->app, grouped, NODE_AGGREGATE, select_list, NULL);
}

weir_stream *weir_emit(weir_stream *aggregate, weir_emit_mode mode)
{
    if (aggregate == NULL)
        return NULL;
    if (aggregate->kind != NODE_AGGREGATE ||
        (mode != WEIR_EMIT_CHANGES && mode != WEIR_EMIT_FINAL)) {
        topology_fail(
            aggregate->app, ERR_STATE,
            "weir_emit belongs on an aggregate and takes WEIR_EMIT_CHANGES or WEIR_EMIT_FINAL");
        return NULL;
    }
    if (mode == WEIR_EMIT_FINAL && aggregate->parent->kind != NODE_WINDOW) {
        topology_fail(aggregate->app, ERR_INVALID,
                      "emit final needs a window: a group without one never ends");
        return NULL;
    }
    aggregate->emit = mode;
    return aggregate;
}

static int add_sink(struct weir_stream *stream, const char *topic, const struct format *format)
{
    if (stream == NULL)
        return ERR_STATE;
    struct weir_app *app = stream->app;
    if (app->error != 0)
        return app->error;
    if (!topology_name_is_good(topic, OUTPUT_NAME_MAX))
        return topology_fail(
            app, ERR_INVALID,
            "'%s' cannot name an output: 1 to 130 characters of [A-Za-z0-9._-], not . or ..",
            topic ? topic : "");
    if (stream->kind == NODE_GROUP || stream->kind == NODE_WINDOW)
        return topology_fail(app, ERR_STATE, "weir_to %s: a group has no rows: aggregate it first",
                             topic);
    for (const struct sink *other = app->sinks; other != NULL; other = other->next)
        if (strcmp(other->topic, topic) == 0)
            return topology_fail(app, ERR_EXISTS, "two streams of app %s write topic %s", app->name,
                                 topic);
    struct sink *sink = calloc(1, sizeof *sink);
    if (sink == NULL || (sink->topic = strdup(topic)) == NULL) {
        free(sink);
        return topology_fail(app, ERR_NOMEM, "no memory for the topology");
    }
    sink->stream = stream;
    sink->format = format;
    sink->failure = (weir_failure_options){.policy = WEIR_FAILURE_END};
    *app->sinks_end = sink;
    app->sinks_end = &sink->next;
    return 0;
}

int weir_to(weir_stream *stream, const char *topic)
{
    return add_sink(stream, topic, NULL);
}

int topology_name_sink(struct weir_app *app, const char *topic, const char *name)
{
    for (struct sink *sink = app->sinks; sink != NULL; sink = sink->next)
        if (strcmp(sink->topic, topic) == 0 && sink->name == NULL &&
            (sink->name = strdup(name)) == NULL)
            return topology_fail(app, ERR_NOMEM, "no memory for the pipeline to %s", topic);
    return 0;
}

int topology_spread_sink(struct weir_app *app, const char *topic, const char *like)
{
    for (struct sink *sink = app->sinks; sink != NULL; sink = sink->next)
        if (strcmp(sink->topic, topic) == 0 && (sink->partitions_like = strdup(like)) == NULL)
            return topology_fail(app, ERR_NOMEM, "no memory for the pipeline to %s", topic);
    return 0;
}

int weir_to_as(weir_stream *stream, const char *topic, weir_format format)
{
    if (stream == NULL)
        return ERR_STATE;
    const struct format *known = format_find(stream->app, format);
    if (known == NULL)
        return topology_fail(stream->app, ERR_INVALID, "weir_to_as %s: format %d is not known",
                             topic ? topic : "", format);
    if (known->encode == NULL)
        return topology_fail(stream->app, ERR_UNSUPPORTED,
                             "weir_to_as %s: format %s has no function that writes",
                             topic ? topic : "", known->name);
    return add_sink(stream, topic, known);
}
