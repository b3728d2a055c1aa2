/* store_view.c: a store's pairs as rows (see store_view.h).
 *
 * view.json holds the builder calls that made the view; reading it back makes them again on an app
 * that is never run, so there is one compiler and one printer for what the engine writes and what a
 * person looks at. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/base/io.h"
#include "operators/bytea.h"
#include "operators/group_key.h"
#include "runtime/plan.h"
#include "runtime/app_views.h"
#include "runtime/store_view.h"

enum { VIEW_FILE_LIMIT = 1 << 20, MAX_STEPS = PLAN_MAX_OPS + 8, MERGED_MAX = 32 };

static const char *const kind_names[] = {
    "source",    "filter", "check",       "map",         "group",      "window", "aggregate",
    "filter_fn", "map_fn", "flat_map_fn", "unnest",      "peek",       "rekey",  "merge",
    "latest",    "join",   "distinct",    "join_within", "join_tables"};

static int no_memory(struct diag *diag)
{
    return diag_set(diag, ERR_NOMEM, "no memory for a view");
}

/* ---- write ---- */

static const char *const window_names[] = {
    [WINDOW_TUMBLING] = "tumbling",
    [WINDOW_HOPPING] = "hopping",
    [WINDOW_SESSION] = "session",
    [WINDOW_LOCAL] = "local",
};

/* A window step without a word for its kind is a tumbling one. */
static int add_window(json_t *step, const struct weir_stream *node)
{
    if (node->kind != NODE_WINDOW || node->window == WINDOW_TUMBLING)
        return 0;
    int rc = json_object_set_new(step, "window", json_string(window_names[node->window]));
    return rc < 0 ? rc : json_object_set_new(step, "hop", json_integer((json_int_t)node->hop_ms));
}

/* Of a source; JSON and CSV are known without. */
static int add_format(json_t *step, const struct weir_stream *node)
{
    if (node->format == NULL || node->format->number == WEIR_JSON ||
        node->format->number == WEIR_CSV)
        return 0;
    return json_object_set_new(step, "format", json_string(node->format->name));
}

static int add_options(json_t *step, const struct weir_stream *node)
{
    if (node->is_partitioned)
        return json_object_set_new(step, "partitioned", json_true());
    if (node->kind != NODE_SOURCE)
        return 0;
    int rc = json_object_set_new(step, "skew", json_integer((json_int_t)node->skew_ms));
    if (rc == 0 && node->partitioned_by != NULL)
        rc = json_object_set_new(step, "partitioned_by", json_string(node->partitioned_by));
    return rc < 0 || node->idle_ms == 0
               ? rc
               : json_object_set_new(step, "idle", json_integer((json_int_t)node->idle_ms));
}

/* Of a join its table, or its right side, as steps of their own. */
static int add_table(json_t *step, const struct weir_stream *node)
{
    if (node->kind == NODE_JOIN || node->kind == NODE_JOIN_TABLES)
        return json_object_set_new(step, "table", store_view_steps(node->table));
    if (node->kind != NODE_WITHIN)
        return 0;
    json_t *own = json_pack("{s:o, s:s?, s:I, s:I}", "right", store_view_steps(node->table),
                            "right_columns", node->right_columns, "before",
                            (json_int_t)node->before_ms, "after", (json_int_t)node->after_ms);
    int rc = own != NULL ? json_object_update(step, own) : -1;
    json_decref(own);
    return rc;
}

/* Of a merge what comes together, each as steps of its own. */
static int add_merged(json_t *step, const struct weir_stream *node)
{
    if (node->kind != NODE_MERGE)
        return 0;
    json_t *streams = json_array();
    int rc = json_object_set_new(step, "streams", streams);
    for (uint32_t i = 0; rc == 0 && i < node->merged_count; i++)
        rc = json_array_append_new(streams, store_view_steps(node->merged[i]));
    return rc;
}

json_t *store_view_steps(const struct weir_stream *stream)
{
    json_t *steps = json_array();
    for (const struct weir_stream *node = stream; steps != NULL && node != NULL;
         node = node->parent) {
        json_t *step =
            json_pack("{s:s, s:s?, s:s?, s:s?, s:I, s:i}", "kind", kind_names[node->kind], "text",
                      node->text, "extra", node->extra, "name", node->name, "number",
                      (json_int_t)node->number_ms, "emit", (int)node->emit);
        if (step == NULL || add_window(step, node) < 0 || add_format(step, node) < 0 ||
            add_options(step, node) < 0 || add_merged(step, node) < 0 ||
            add_table(step, node) < 0) {
            json_decref(step);
            json_decref(steps);
            return NULL;
        }
        if (json_array_insert_new(steps, 0, step) < 0) {
            json_decref(steps);
            return NULL;
        }
    }
    return steps;
}

/* rows: of a store of rows, what is told of them; NULL: a store of groups. */
static int write_description(const char *state_dir, const struct weir_app *app,
                             const struct view *view, json_t *rows, struct diag *diag)
{
    char path[4096], *old = NULL;
    size_t old_size = 0;
    snprintf(path, sizeof path, "%s/view.json", state_dir);
    const char *format = view->sink->format != NULL ? view->sink->format->name : NULL;
    json_t *object =
        json_pack("{s:i, s:s, s:s, s:s*, s:s*, s:o*, s:o}", "version", 1, "app", app->name, "topic",
                  view->sink->topic, "name", view->sink->name, "format", format, "rows", rows,
                  "steps", store_view_steps(view->sink->stream));
    char *text = object != NULL ? json_dumps(object, JSON_INDENT(2)) : NULL;
    json_decref(object);
    if (text == NULL)
        return no_memory(diag);
    int rc = 0;
    if (io_read_file(path, VIEW_FILE_LIMIT, &old, &old_size, NULL) < 0 ||
        old_size != strlen(text) || memcmp(old, text, old_size) != 0)
        rc = io_write_file(path, text, strlen(text), diag);
    free(old);
    free(text);
    return rc;
}

int store_view_write(const char *state_dir, const struct weir_app *app, const struct view *view,
                     struct diag *diag)
{
    return write_description(state_dir, app, view, NULL, diag);
}

int store_view_write_rows(const char *state_dir, const struct weir_app *app,
                          const struct stage *stage, struct diag *diag)
{
    bool is_joined = stage->view == stage->view->lead->joined;
    json_t *rows = json_pack("{s:i, s:i, s:i, s:o*}", "arm", (int)stage->view->arm, "first",
                             (int)stage->first_op, "count", (int)stage->op_count, "joined",
                             is_joined ? json_true() : NULL);
    return rows != NULL ? write_description(state_dir, app, stage->view, rows, diag)
                        : no_memory(diag);
}

int store_view_remove(const char *state_dir, struct diag *diag)
{
    static const char *const names[] = {
        "view.json", "view.json.tmp"}; /* the second one is what a crash leaves */
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", state_dir, names[i]);
        if (access(path, F_OK) == 0)
            TRY(io_unlink(path, diag));
    }
    return 0;
}

/* ---- read ---- */

struct store_view {
    weir_app *app;
    struct plan *plan;
    const struct view *view;
    bool has_rows;               /* … that operators of the view keep, … */
    uint32_t first_op, op_count; /* … which are among these */
    struct arena arena;
};

static weir_stream *make_window(weir_stream *at, const json_t *step, int64_t number)
{
    const char *kind = json_string_value(json_object_get(step, "window"));
    if (kind == NULL)
        return weir_tumbling(at, number);
    if (strcmp(kind, window_names[WINDOW_HOPPING]) == 0)
        return weir_hopping(at, number, json_integer_value(json_object_get(step, "hop")));
    if (strcmp(kind, window_names[WINDOW_SESSION]) == 0)
        return weir_session(at, number);
    if (strcmp(kind, window_names[WINDOW_LOCAL]) == 0)
        return weir_tumbling_in(at, number,
                                (weir_unit)json_integer_value(json_object_get(step, "hop")),
                                json_string_value(json_object_get(step, "text")));
    return NULL;
}

/* A view that is only looked at calls no functions. */
static int no_filter(void *context, weir_call *call, const weir_value *values, size_t count)
{
    (void)context;
    (void)call;
    (void)values;
    (void)count;
    return WEIR_ESTATE;
}
static int no_map(void *context, weir_call *call, const weir_value *values, size_t count,
                  weir_value *results)
{
    (void)results;
    return no_filter(context, call, values, count);
}

static int no_decode(void *context, weir_call *call, const weir_value *key, const weir_value *value,
                     const weir_column *columns, size_t count, weir_value *results)
{
    (void)key;
    (void)columns;
    (void)results;
    return no_filter(context, call, value, count);
}

static int no_encode(void *context, weir_call *call, const weir_column *columns, size_t count,
                     const weir_value *values)
{
    (void)columns;
    return no_filter(context, call, values, count);
}

static weir_stream *make_function(weir_stream *at, const char *kind, const json_t *step)
{
    const char *text = json_string_value(json_object_get(step, "text"));
    const char *extra = json_string_value(json_object_get(step, "extra"));
    const char *name = json_string_value(json_object_get(step, "name"));
    if (strcmp(kind, "filter_fn") == 0)
        return weir_filter_fn(at, name, text, no_filter, NULL);
    if (strcmp(kind, "map_fn") == 0)
        return weir_map_fn(at, name, text, extra, no_map, NULL);
    if (strcmp(kind, "flat_map_fn") == 0)
        return weir_flat_map_fn(at, name, text, extra, no_filter, NULL);
    if (strcmp(kind, "unnest") == 0)
        return weir_unnest(at, text, extra);
    if (strcmp(kind, "rekey") == 0)
        return weir_rekey(at, text);
    return strcmp(kind, "peek") == 0 ? at : NULL;
}

const struct format *store_view_format(weir_app *app, const char *name)
{
    static const weir_format_functions none = {.decode = no_decode, .encode = no_encode};
    if (format_named(app, name) == NULL)
        weir_format_add(app, name, &none, NULL);
    return format_named(app, name);
}

static weir_stream *make_source(weir_app *app, const char *topic, const char *event_time,
                                const json_t *step)
{
    const char *columns = json_string_value(json_object_get(step, "name"));
    const char *name = json_string_value(json_object_get(step, "format"));
    if (name == NULL)
        name = columns != NULL ? "csv" : "json";
    const struct format *format = store_view_format(app, name);
    if (format == NULL)
        return NULL;
    return columns != NULL ? weir_source_columns(app, topic, format->number, columns, event_time)
                           : weir_source(app, topic, format->number, event_time);
}

static int no_add(void *context, weir_call *call, void *state, const weir_value *values,
                  size_t count)
{
    (void)state;
    return no_filter(context, call, values, count);
}
static void no_merge(void *context, void *state, const void *other)
{
    (void)context;
    (void)state;
    (void)other;
}
static int no_result(void *context, weir_call *call, const void *state, weir_value *results)
{
    (void)state;
    (void)results;
    return no_filter(context, call, NULL, 0);
}

static weir_stream *make_aggregate(weir_stream *at, const json_t *step)
{
    static const weir_aggregate_functions none = {
        .state_size = 8, .add = no_add, .merge = no_merge, .result = no_result};
    const char *text = json_string_value(json_object_get(step, "text"));
    const char *name = json_string_value(json_object_get(step, "name"));
    return name == NULL
               ? weir_aggregate(at, text)
               : weir_aggregate_fn(at, name, text,
                                   json_string_value(json_object_get(step, "extra")), &none, NULL);
}

/* What was written before they were kept has the defaults. */
static weir_stream *set_options(weir_stream *source, const json_t *step)
{
    const json_t *skew = json_object_get(step, "skew"), *idle = json_object_get(step, "idle");
    source = weir_lateness(source, json_integer_value(json_object_get(step, "number")));
    const char *field = json_string_value(json_object_get(step, "partitioned_by"));
    if (field != NULL)
        source = weir_partitioned_by(source, field);
    if (skew != NULL)
        source = weir_max_future_skew(source, json_integer_value(skew));
    return idle != NULL ? weir_idle_close(source, json_integer_value(idle)) : source;
}

static weir_stream *make_latest(weir_stream *table, const json_t *step)
{
    bool is_partitioned = json_is_true(json_object_get(step, "partitioned"));
    return is_partitioned ? weir_table_partitioned(table) : table;
}

static weir_stream *make_within(weir_app *app, weir_stream *left, const json_t *step)
{
    const weir_within within = {
        .kind = (weir_join_kind)json_integer_value(json_object_get(step, "number")),
        .on_left = json_string_value(json_object_get(step, "text")),
        .on_right = json_string_value(json_object_get(step, "name")),
        .columns_left = json_string_value(json_object_get(step, "extra")),
        .columns_right = json_string_value(json_object_get(step, "right_columns")),
        .before_ms = json_integer_value(json_object_get(step, "before")),
        .after_ms = json_integer_value(json_object_get(step, "after"))};
    return weir_join_within(left, store_view_make_steps(app, json_object_get(step, "right")),
                            &within);
}

static weir_stream *make_step(weir_app *app, weir_stream *at, const json_t *step)
{
    const char *kind = json_string_value(json_object_get(step, "kind"));
    const char *text = json_string_value(json_object_get(step, "text"));
    const char *extra = json_string_value(json_object_get(step, "extra"));
    int64_t number = json_integer_value(json_object_get(step, "number"));
    if (kind == NULL)
        return NULL;
    if (strcmp(kind, "source") == 0)
        return set_options(make_source(app, text, extra, step), step);
    if (strcmp(kind, "filter") == 0)
        return weir_filter(at, text);
    if (strcmp(kind, "check") == 0)
        return weir_check(at, text, extra);
    if (strcmp(kind, "map") == 0)
        return weir_map(at, text);
    if (strcmp(kind, "distinct") == 0)
        return weir_distinct(at, text, number);
    if (strcmp(kind, "latest") == 0)
        return make_latest(weir_latest(at, text), step);
    if (strcmp(kind, "join") == 0 || strcmp(kind, "join_tables") == 0)
        return weir_join(at, store_view_make_steps(app, json_object_get(step, "table")),
                         (weir_join_kind)number, text, extra);
    if (strcmp(kind, "join_within") == 0)
        return make_within(app, at, step);
    if (strcmp(kind, "group") == 0)
        return weir_group_by(at, text);
    if (strcmp(kind, "window") == 0)
        return make_window(at, step, number);
    if (strcmp(kind, "aggregate") == 0)
        return weir_emit(make_aggregate(at, step),
                         (weir_emit_mode)json_integer_value(json_object_get(step, "emit")));
    return make_function(at, kind, step);
}

static weir_stream *make_merge(weir_app *app, const json_t *step)
{
    weir_stream *streams[MERGED_MAX];
    const json_t *merged = json_object_get(step, "streams");
    size_t count = json_array_size(merged);
    for (size_t i = 0; count <= MERGED_MAX && i < count; i++)
        if ((streams[i] = store_view_make_steps(app, json_array_get(merged, i))) == NULL)
            return NULL;
    return count <= MERGED_MAX ? weir_merge(streams, count) : NULL;
}

weir_stream *store_view_make_steps(weir_app *app, const json_t *steps)
{
    weir_stream *at = NULL;
    for (size_t i = 0; i < json_array_size(steps); i++) {
        const json_t *step = json_array_get(steps, i);
        const char *kind = json_string_value(json_object_get(step, "kind"));
        at = kind != NULL && strcmp(kind, "merge") == 0 ? make_merge(app, step)
                                                        : make_step(app, at, step);
    }
    return at;
}

static bool is_function_aggregate(const json_t *step)
{
    const char *kind = json_string_value(json_object_get(step, "kind"));
    return kind != NULL && strcmp(kind, "aggregate") == 0 &&
           json_string_value(json_object_get(step, "name")) != NULL;
}

static int find_rows(struct store_view *view, const json_t *rows)
{
    if (rows == NULL)
        return view->view->group != NULL ? 0 : ERR_CORRUPT;
    view->has_rows = true;
    view->first_op = (uint32_t)json_integer_value(json_object_get(rows, "first"));
    view->op_count = (uint32_t)json_integer_value(json_object_get(rows, "count"));
    for (json_int_t arm = json_integer_value(json_object_get(rows, "arm")); arm > 0; arm--)
        if ((view->view = view->view->next_arm) == NULL)
            return ERR_CORRUPT;
    if (json_is_true(json_object_get(rows, "joined")) && (view->view = view->view->joined) == NULL)
        return ERR_CORRUPT;
    return view->first_op <= PLAN_MAX_OPS && view->op_count <= PLAN_MAX_OPS ? 0 : ERR_CORRUPT;
}

static int rebuild(struct store_view *view, const json_t *object, struct diag *diag)
{
    const char *app = json_string_value(json_object_get(object, "app"));
    const char *topic = json_string_value(json_object_get(object, "topic"));
    const json_t *steps = json_object_get(object, "steps");
    if (app == NULL || topic == NULL || json_array_size(steps) == 0 ||
        json_array_size(steps) > MAX_STEPS)
        return ERR_CORRUPT;
    view->app = weir_app_open(app, NULL);
    if (view->app == NULL)
        return no_memory(diag);
    for (size_t i = 0; i < json_array_size(steps); i++)
        if (is_function_aggregate(json_array_get(steps, i)))
            return diag_set(
                diag, ERR_UNSUPPORTED,
                "the states of %s are kept by the function %s of the app's program, "
                "and only that can show them: read the topic %s",
                topic, json_string_value(json_object_get(json_array_get(steps, i), "name")), topic);
    weir_stream *at = store_view_make_steps(view->app, steps);
    if (at == NULL || weir_to(at, topic) < 0)
        return ERR_CORRUPT;
    TRY(plan_compile(view->app, &view->plan, diag));
    view->view = &view->plan->views[0];
    return find_rows(view, json_object_get(object, "rows"));
}

static int read_description(const char *state_dir, json_t **object, struct diag *diag)
{
    char path[4096], *text = NULL;
    size_t size;
    snprintf(path, sizeof path, "%s/view.json", state_dir);
    *object = NULL;
    int read = io_read_file(path, VIEW_FILE_LIMIT, &text, &size, diag);
    if (read < 0)
        return errno == ENOENT ? diag_set(diag, ERR_NOT_FOUND, "there is no %s", path) : read;
    *object = json_loadb(text, size, 0, NULL);
    free(text);
    return *object != NULL ? 0 : diag_set(diag, ERR_CORRUPT, "%s does not describe a view", path);
}

int store_view_names(const char *state_dir, struct store_view_names *names, struct diag *diag)
{
    json_t *object;
    TRY(read_description(state_dir, &object, diag));
    const char *app = json_string_value(json_object_get(object, "app"));
    const char *topic = json_string_value(json_object_get(object, "topic"));
    const char *name = json_string_value(json_object_get(object, "name"));
    const char *format = json_string_value(json_object_get(object, "format"));
    snprintf(names->format, sizeof names->format, "%s", format != NULL ? format : "json");
    snprintf(names->app, sizeof names->app, "%s", app != NULL ? app : "");
    snprintf(names->topic, sizeof names->topic, "%s", topic != NULL ? topic : "");
    snprintf(names->name, sizeof names->name, "%s", name != NULL ? name : "");
    bool has_rows = json_object_get(object, "rows") != NULL;
    json_decref(object);
    if (has_rows)
        return diag_set(diag, ERR_NOT_FOUND, "%s holds rows that a step of %s keeps, and no groups",
                        state_dir, names->topic);
    return app != NULL && topic != NULL
               ? 0
               : diag_set(diag, ERR_CORRUPT, "%s/view.json does not describe a view", state_dir);
}

int store_view_open(const char *state_dir, struct store_view **result, struct diag *diag)
{
    TRY(store_view_open_any(state_dir, result, diag));
    if (!(*result)->has_rows)
        return 0;
    store_view_close(*result);
    *result = NULL;
    return diag_set(diag, ERR_UNSUPPORTED,
                    "%s holds rows that a step of the pipeline keeps, and no groups: weir state "
                    "scan shows them",
                    state_dir);
}

int store_view_open_any(const char *state_dir, struct store_view **result, struct diag *diag)
{
    json_t *object;
    TRY(read_description(state_dir, &object, diag));
    struct store_view *view = calloc(1, sizeof *view);
    int rc = view == NULL ? no_memory(diag) : 0;
    if (rc == 0)
        arena_init(&view->arena, 0);
    if (rc == 0)
        rc = rebuild(view, object, diag);
    json_decref(object);
    if (rc < 0) {
        store_view_close(view);
        if (rc == ERR_UNSUPPORTED)
            return rc;
        return diag_set(diag, rc, "%s/view.json does not describe a view", state_dir);
    }
    *result = view;
    return 0;
}

void store_view_close(struct store_view *view)
{
    if (view == NULL)
        return;
    plan_destroy(view->plan);
    weir_app_close(view->app);
    arena_deinit(&view->arena);
    free(view);
}

const struct view *store_view_plan(const struct store_view *view)
{
    return view->view;
}

uint64_t store_view_state_hash(const struct store_view *view)
{
    return view->view->state_hash;
}

uint64_t store_view_plan_hash(const struct store_view *view)
{
    return view->view->plan_hash;
}

bool store_view_has_rows(const struct store_view *view)
{
    return view->has_rows;
}

bool store_view_is_row(struct bytes value)
{
    size_t group_bytes;
    return !group_value_is_pair(value, &group_bytes);
}

int store_view_json(struct store_view *view, struct bytes key, struct bytes value, struct buf *out,
                    struct diag *diag)
{
    const struct group_params *group = view->view->group;
    struct group_item item;
    struct batch batch;
    arena_reset(&view->arena);
    if (view->has_rows) {
        TRY(store_rows_json(view->view, view->first_op, view->op_count, key, value, &view->arena,
                            out, diag));
        return buf_ok(out) ? 0 : no_memory(diag);
    }
    struct reject_list rejects = {.arena = &view->arena};
    struct op_call call = {.arena = &view->arena, .rejects = &rejects, .diag = diag};
    void *row = arena_alloc(&view->arena, agg_plan_row_bytes(group->plan));
    if (row == NULL)
        return no_memory(diag);
    if (group_store_key_split(key, view->view->is_windowed, &item.window_start_ms, &item.key) < 0)
        return diag_set(diag, ERR_CORRUPT, "a stored key does not decode");
    agg_row_init(group->plan, row);
    item.row = row;
    int rc = agg_decode(group->plan, row, value);
    if (rc == 0)
        rc = group_build_results(group, &call, &item, 1, &batch);
    if (rc == 0)
        json_encode_row(out, view->view->result_names, batch.columns, 0, false);
    agg_row_release(group->plan, row);
    if (rc < 0)
        return diag_set(diag, rc, "a stored aggregate does not decode");
    return buf_ok(out) ? 0 : no_memory(diag);
}

/* ---- keys from text ---- */

static int time_of(const struct variant *value, int64_t *time_ms)
{
    if (value->kind == VARIANT_INT) {
        *time_ms = value->i64;
        return 0;
    }
    return value->kind == VARIANT_TEXT ? time_parse_iso(bytes_of(value->data, value->size), time_ms)
                                       : ERR_INVALID;
}

static int double_of(const struct variant *value, double *number)
{
    struct numeric exact;
    if (value->kind == VARIANT_INT)
        *number = (double)value->i64;
    else if (value->kind == VARIANT_NUMBER &&
             numeric_parse(bytes_of(value->data, value->size), &exact) == 0)
        *number = numeric_to_double(exact);
    else
        return ERR_INVALID;
    return 0;
}

static int bytea_of(const struct variant *value, struct arena *arena, struct bytes *bytes)
{
    return value->kind == VARIANT_TEXT
               ? bytea_parse(bytes_of(value->data, value->size), arena, bytes)
               : ERR_INVALID;
}

/* A key's columns are written by the type of the view's column where a variant would be written as another kind. */
static int convert_column(const struct view *view, uint32_t index, struct column *column,
                          struct arena *arena, struct diag *diag)
{
    enum col_type type = view->group->group_types[index];
    const struct variant *value = &column->variant[0];
    struct column typed;
    if ((type != COL_TIMESTAMPTZ && type != COL_DOUBLE && type != COL_BYTEA) ||
        value->kind == VARIANT_NULL)
        return 0;
    TRY(column_alloc(&typed, type, 1, false, arena));
    int rc = type == COL_DOUBLE  ? double_of(value, &typed.f64[0])
             : type == COL_BYTEA ? bytea_of(value, arena, &typed.text[0])
                                 : time_of(value, &typed.i64[0]);
    if (rc < 0)
        return diag_set(diag, ERR_INVALID, "%s is not a %s", view->column_names[index],
                        type == COL_DOUBLE  ? "number"
                        : type == COL_BYTEA ? "text of bytes (\\x and hexadecimal digits)"
                                            : "time");
    *column = typed;
    return 0;
}

/* columns: the group columns as variants, then window_start. */
static int encode_key(const struct view *view, struct column *columns, struct arena *arena,
                      struct buf *key, struct diag *diag)
{
    uint32_t count = view->group->groups->count;
    int64_t start = WINDOW_NONE;
    for (uint32_t i = 0; i < count; i++)
        TRY(convert_column(view, i, &columns[i], arena, diag));
    if (view->is_windowed && time_of(&columns[count].variant[0], &start) < 0)
        return diag_set(diag, ERR_INVALID,
                        "the key needs window_start, for example "
                        "{\"%s\":\"…\",\"window_start\":\"2026-01-01T00:00:00.000Z\"}",
                        view->column_names[0]);
    if (view->group->window.kind == WINDOW_SESSION &&
        !window_newest(&view->group->window, start, &start))
        return diag_set(diag, ERR_INVALID, "window_start is out of range");
    struct buf group;
    buf_init(&group, 0);
    group_key_encode(&group, columns, count, 0);
    group_store_key(key, start, bytes_of(group.data, group.size));
    bool ok = buf_ok(&group) && buf_ok(key);
    buf_deinit(&group);
    return ok ? 0 : no_memory(diag);
}

static int decode_object(struct store_view *view, const char *text, struct column *columns,
                         struct diag *diag)
{
    uint32_t count = view->view->group->groups->count + (view->view->is_windowed ? 1 : 0);
    struct field_path *names = arena_zalloc(&view->arena, count * sizeof *names);
    const struct field_path **paths = arena_alloc(&view->arena, count * sizeof *paths);
    struct reject_list rejects = {.arena = &view->arena};
    struct bytes document = bytes_text(text);
    struct json_decoder *decoder;
    if (names == NULL || paths == NULL)
        return no_memory(diag);
    for (uint32_t i = 0; i < count; i++) {
        names[i] = (struct field_path){.parts = {view->view->column_names[i]}, .count = 1};
        paths[i] = &names[i];
    }
    TRY(json_decoder_create(paths, count, &decoder, diag));
    int rc = json_decode(decoder, &document, 1, false, &view->arena, columns, &rejects);
    json_decoder_destroy(decoder);
    if (rc == 0 && rejects.count > 0)
        return diag_set(diag, ERR_INVALID, "the key is not a JSON object: %s",
                        rejects.items[0].message);
    return rc;
}

int store_view_key(struct store_view *view, const char *text, struct buf *key, struct diag *diag)
{
    if (view->has_rows)
        return diag_set(
            diag, ERR_UNSUPPORTED,
            "a store of rows that a step keeps is not asked for single ones: weir state "
            "scan shows all");
    uint32_t count = view->view->group->groups->count;
    arena_reset(&view->arena);
    struct column *columns = arena_zalloc(&view->arena, (count + 1) * sizeof *columns);
    if (columns == NULL)
        return no_memory(diag);
    if (text[0] == '{') {
        TRY(decode_object(view, text, columns, diag));
        return encode_key(view->view, columns, &view->arena, key, diag);
    }
    enum col_type type = view->view->group->group_types[0];
    if (count != 1 || view->view->is_windowed || (type != COL_TEXT && type != COL_VARIANT))
        return diag_set(diag, ERR_INVALID,
                        "the key of this view is a JSON object, as its records' keys print");
    TRY(column_alloc(&columns[0], COL_VARIANT, 1, false, &view->arena));
    columns[0].variant[0] = (struct variant){
        .data = (const uint8_t *)text, .size = (uint32_t)strlen(text), .kind = VARIANT_TEXT};
    return encode_key(view->view, columns, &view->arena, key, diag);
}
