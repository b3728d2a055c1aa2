/* http_views.c: the views of jobs: which there are, and what their columns and keys are. The state directories are the list (view_find.c). */
#include <stdio.h>
#include <string.h>

#include "runtime/http/http_internal.h"
#include "runtime/store_list.h"
#include "runtime/view_columns.h"
#include "runtime/view_find.h"
#include "runtime/view_reader.h"
#include "runtime/weir_view.h"

/* ---- a view ---- */

static void put_window(struct json *json, const struct window_spec *window)
{
    static const char *const kinds[] = {[WINDOW_TUMBLING] = "tumbling",
                                        [WINDOW_HOPPING] = "hopping",
                                        [WINDOW_SESSION] = "session",
                                        [WINDOW_LOCAL] = "local"};
    json_name(json, "window");
    if (window->kind == WINDOW_ABSENT) {
        json_null(json);
        return;
    }
    json_begin(json, '{');
    json_member_text(json, "kind", kinds[window->kind]);
    json_member_int(json, "size_ms", window->size_ms);
    json_member_int(json, "hop_ms", window->hop_ms);
    json_end(json, '}');
}

static int put_columns(struct json *json, const struct view *view)
{
    struct arena arena;
    struct view_columns columns;
    arena_init(&arena, 0);
    int rc = view_columns_make(view, &arena, &columns);
    json_name(json, "columns");
    json_begin(json, '[');
    for (uint32_t i = 0; rc == 0 && i < columns.count - columns.hidden; i++) {
        json_begin(json, '{');
        json_member_text(json, "name", columns.items[i].name);
        json_member_text(json, "type", col_type_name(columns.items[i].type));
        json_end(json, '}');
    }
    json_end(json, ']');
    json_name(json, "key");
    json_begin(json, '[');
    for (uint32_t i = 0; i < view->group->groups->count + (view->is_windowed ? 1 : 0); i++) {
        json_begin(json, '{');
        json_member_text(json, "name", view->column_names[i]);
        json_member_text(json, "type", col_type_name(view->column_types[i]));
        json_end(json, '}');
    }
    json_end(json, ']');
    arena_deinit(&arena);
    return rc;
}

static int put_view(struct http_exchange *exchange, const struct view_place *place,
                    struct diag *diag)
{
    struct json *json = &exchange->json;
    const struct store_view_names *names = &place->names;
    struct store_view *store;
    struct diag why = {0};
    int rc = store_view_open(place->dir, &store, &why);
    if (rc < 0 && rc != ERR_UNSUPPORTED)
        return diag_set(diag, rc, "%s", why.text);
    json_begin(json, '{');
    json_member_text(json, "name", names->name[0] != '\0' ? names->name : names->topic);
    json_member_text(json, "app", names->app);
    json_member_text(json, "topic", names->topic);
    json_member_text(json, "format", names->format);
    json_member_bool(json, "running", shared_views_app_runs(exchange->http->log, names->app));
    json_member_text(json, "error", rc < 0 ? why.text : NULL);
    if (rc == 0) {
        const struct view *view = store_view_plan(store);
        json_member_text(json, "emit", plan_is_final(view) ? "final" : "changes");
        put_window(json, &view->group->window);
        rc = put_columns(json, view);
        store_view_close(store);
    }
    json_end(json, '}');
    return rc == ERR_NOMEM ? diag_set(diag, rc, "no memory for the columns of a view") : 0;
}

static bool may_read(const struct http_exchange *exchange, const char *topic)
{
    return http_may(exchange, HTTP_TOPIC, topic, HTTP_READ);
}

/* Why there is none is told without other views, apps and topics: only who may describe the cluster sees them all. */
static int fail_alone(const struct http_exchange *exchange, int rc, const char *name,
                      struct diag *diag)
{
    if (http_may(exchange, HTTP_CLUSTER, NULL, HTTP_DESCRIBE))
        return rc;
    static const char hint[] = "GET /api/v1/views lists those that you may read";
    if (rc == ERR_NOT_FOUND)
        return diag_set(diag, rc, "there is no view \"%.200s\"\nhint: %s", name, hint);
    if (rc == ERR_INVALID)
        return diag_set(diag, rc, "\"%.200s\" is the name of several views\nhint: %s", name, hint);
    return rc;
}

int http_find_view(struct http_exchange *exchange, const char *name, struct view_place *place,
                   struct diag *diag)
{
    int rc = view_find(weir_log_dir(exchange->http->log), name, http_argument(exchange, "app"),
                       place, diag);
    if (may_read(exchange, rc == 0 ? place->names.topic : name))
        return rc < 0 ? fail_alone(exchange, rc, name, diag) : 0;
    http_refuse(exchange, "read view", name);
    return 1;
}

int http_open_view(struct http_exchange *exchange, const char *name, size_t memory_bytes,
                   struct shared_view **view, struct diag *diag)
{
    struct view_place place;
    int rc = http_find_view(exchange, name, &place, diag);
    if (rc != 0)
        return rc;
    rc = shared_view_open(exchange->http->log, name, place.names.app, memory_bytes, view, diag);
    if (rc < 0) /* the job starts, or something else has its name for a while */
        return rc == ERR_BUSY ? ERR_STOPPED : rc;
    /* What was asked about is what is read. */
    const char *topic = view_reader_names(shared_view_reader(*view))->topic;
    return strcmp(topic, place.names.topic) == 0
               ? 0
               : diag_set(diag, ERR_STOPPED, "view %.200s has changed\nhint: ask again", name);
}

void http_get_view(struct http_exchange *exchange)
{
    struct view_place place;
    struct diag diag = {0};
    int rc = http_find_view(exchange, exchange->parameters[0], &place, &diag);
    if (rc == 0)
        rc = put_view(exchange, &place, &diag);
    if (rc < 0)
        http_fail_code(exchange, rc, diag.text);
}

/* ---- the list ---- */

/* A store of a view's results is named after its topic; its first partition stands for it. */
static bool is_view(const struct store_names *names, size_t i, struct view_place *place)
{
    const struct store_name *name = &names->items[i];
    if (i > 0 && strcmp(names->items[i - 1].app, name->app) == 0 &&
        strcmp(names->items[i - 1].store, name->store) == 0)
        return false;
    snprintf(place->dir, sizeof place->dir, "%s", name->path);
    return store_view_names(name->path, &place->names, NULL) == 0 &&
           strcmp(place->names.topic, name->store) == 0;
}

/* "APP/TOPIC". */
static bool is_behind(const struct view_place *place, const char *cursor)
{
    char text[600];
    snprintf(text, sizeof text, "%s/%s", place->names.app, place->names.topic);
    if (cursor == NULL)
        return true;
    size_t app = strcspn(cursor, "/"), own = strlen(place->names.app);
    int order = strncmp(place->names.app, cursor, app);
    if (order == 0 && own != app)
        order = own > app ? 1 : -1;
    return order != 0 ? order > 0 : strcmp(text + own, cursor + app) > 0;
}

static int put_views(struct http_exchange *exchange, const struct store_names *names, int64_t limit,
                     struct diag *diag)
{
    struct json *json = &exchange->json;
    const char *cursor = http_argument(exchange, "cursor");
    struct view_place place;
    char last[600] = "";
    bool has_more = false;
    json_begin(json, '{');
    json_name(json, "views");
    json_begin(json, '[');
    for (size_t i = 0; i < names->count && !has_more; i++) {
        if (!is_view(names, i, &place) || !is_behind(&place, cursor) ||
            !may_read(exchange, place.names.topic))
            continue;
        has_more = limit-- == 0;
        if (has_more)
            break;
        TRY(put_view(exchange, &place, diag));
        snprintf(last, sizeof last, "%s/%s", place.names.app, place.names.topic);
    }
    json_end(json, ']');
    json_member_text(json, "next_cursor", has_more ? last : NULL);
    json_end(json, '}');
    return 0;
}

void http_get_views(struct http_exchange *exchange)
{
    struct store_names names = {0};
    struct diag diag = {0};
    int64_t limit;
    if (!http_argument_limit(exchange, &limit))
        return;
    int rc = store_names_read(weir_log_dir(exchange->http->log), &names, &diag);
    if (rc == 0)
        rc = put_views(exchange, &names, limit, &diag);
    store_names_free(&names);
    if (rc < 0)
        http_fail_code(exchange, rc, diag.text);
}
