/* http_state.c: the stores of jobs: which there are, and what is in them, as `weir state` prints it.
 *
 * A store holds what its last checkpoint saw, which "behind" tells; what a view has as of its last commit is /api/v1/views and /api/v1/query.
 * Stores of jobs that run in this server are read beside them. */
#include <stdio.h>
#include <stdlib.h>

#include "runtime/http/http_internal.h"
#include "runtime/plan.h"
#include "runtime/store_look.h"

/* ---- the list ---- */

/* The sum of what comes after "APP/STORE/PARTITION", as a name and its order. */
static int order_of(const struct store_name *name, const char *cursor)
{
    char app[256], store[256];
    int32_t partition;
    if (sscanf(cursor, "%255[^/]/%255[^/]/%9d", app, store, &partition) != 3)
        return 1;
    int order = strcmp(name->app, app);
    order = order != 0 ? order : strcmp(name->store, store);
    return order != 0 ? order : (name->partition > partition) - (name->partition < partition);
}

static void put_store(struct http_exchange *exchange, const struct store_name *name)
{
    struct json *json = &exchange->json;
    struct store_look *look;
    struct store_description store;
    struct diag diag = {0};
    weir_log *log = exchange->http->log;
    int rc = store_look_open(log, name, &look, &diag);
    if (rc == 0)
        rc = store_look_describe(log, look, &store, &diag);
    store_look_close(log, look);
    json_begin(json, '{');
    json_member_text(json, "app", name->app);
    json_member_text(json, "store", name->store);
    json_member_int(json, "partition", name->partition);
    if (rc == 0) {
        json_member_int(json, "entries", (int64_t)store.entries);
        json_member_int(json, "bytes", (int64_t)store.bytes);
        json_member_text(json, "changelog", store.changelog[0] != '\0' ? store.changelog : NULL);
        json_member_int(json, "changelog_offset", store.position);
        json_member_int(json, "behind", store.behind);
    } else {
        /* One store that cannot be read does not hide the others. */
        json_member_text(json, "error", diag.text);
    }
    json_end(json, '}');
}

static void list_stores(struct http_exchange *exchange, const char *app)
{
    struct json *json = &exchange->json;
    struct store_names names = {0};
    struct diag diag = {0};
    const char *cursor = http_argument(exchange, "cursor");
    const struct store_name *last = NULL;
    bool has_more = false;
    int64_t limit;
    if (!http_argument_limit(exchange, &limit))
        return;
    int rc = store_names_read(weir_log_dir(exchange->http->log), &names, &diag);
    json_begin(json, '{');
    json_name(json, "stores");
    json_begin(json, '[');
    for (size_t i = 0; rc == 0 && i < names.count && !has_more; i++) {
        const struct store_name *name = &names.items[i];
        if ((app != NULL && strcmp(name->app, app) != 0) ||
            (cursor != NULL && order_of(name, cursor) <= 0))
            continue;
        has_more = limit-- == 0 || http_is_over(exchange);
        if (has_more)
            break;
        put_store(exchange, name);
        last = name;
    }
    json_end(json, ']');
    json_name(json, "next_cursor");
    if (has_more && last != NULL) {
        char text[600];
        snprintf(text, sizeof text, "%s/%s/%d", last->app, last->store, (int)last->partition);
        json_text(json, text);
    } else {
        json_null(json);
    }
    json_end(json, '}');
    store_names_free(&names);
    if (rc < 0)
        http_fail_code(exchange, rc, diag.text);
}

void http_get_state(struct http_exchange *exchange)
{
    list_stores(exchange, NULL);
}

void http_get_state_of_app(struct http_exchange *exchange)
{
    list_stores(exchange, exchange->parameters[0]);
}

/* ---- rows ---- */

struct look {
    struct http_exchange *exchange;
    const char *app, *store;
    int64_t only; /* partition; −1: all */
    struct store_names names;
    struct store_look *at; /* the one that is read */
    int32_t partition;     /* of it */
    int64_t left;
    bool has_more;
    struct buf last; /* the last key, as far as a cursor has it */
    int32_t last_partition;
    struct diag *diag; /* of scan_pair */
};

static bool is_meant(const struct look *look, const struct store_name *name)
{
    return strcmp(name->app, look->app) == 0 && strcmp(name->store, look->store) == 0 &&
           (look->only < 0 || name->partition == look->only);
}

/* By the topic of the view whose results it holds. Of a step that keeps rows, which are not all in the results, by the store's changelog, and so of one that is not known to hold
 * results. One that is not there is as if it were such a topic. */
static bool may_read(struct look *look)
{
    struct store_view_names names = {.topic = ""};
    char changelog[TOPIC_NAME_BYTES];
    const char *topic = look->store;
    for (size_t i = 0; i < look->names.count; i++)
        if (is_meant(look, &look->names.items[i])) {
            topic = names.topic;
            if (store_view_names(look->names.items[i].path, &names, NULL) < 0)
                topic = plan_changelog_name(look->app, look->store, changelog, NULL) == 0
                            ? changelog
                            : "";
            break;
        }
    if (http_may(look->exchange, HTTP_TOPIC, topic, HTTP_READ))
        return true;
    http_refuse(look->exchange, "read the state of",
                look->store); /* not its topic: nobody learns what there is */
    return false;
}

static int put_pair(struct look *look, struct bytes key, struct bytes value, struct diag *diag)
{
    json_raw(&look->exchange->json, "", 0); /* a comma, where one is needed */
    return store_view_json(store_look_view(look->at), key, value, &look->exchange->out, diag);
}

static struct bytes shown_part(struct bytes key)
{
    return bytes_of(key.data, key.size < STATE_ORDERED_BYTES ? key.size : STATE_ORDERED_BYTES);
}

static int scan_pair(void *context, struct bytes key, struct bytes value)
{
    struct look *look = context;
    struct bytes place = shown_part(key);
    bool is_same = look->last_partition == look->partition &&
                   bytes_equal(place, bytes_of(look->last.data, look->last.size));
    if (!store_look_shows(look->at, value))
        return http_is_over(look->exchange) ? ERR_TIMEOUT : 0;
    bool is_full = look->left == 0 || look->exchange->out.size > HTTP_PAGE_BYTES;
    if (is_full && (!is_same || key.size < STATE_ORDERED_BYTES)) {
        look->has_more = true;
        return 1;
    }
    look->left -= look->left > 0;
    buf_clear(&look->last);
    buf_append_bytes(&look->last, place);
    look->last_partition = look->partition;
    if (http_is_over(look->exchange))
        return ERR_TIMEOUT;
    TRY(put_pair(look, key, value, look->diag));
    return http_take_room(look->exchange, look->diag);
}

/* Behind the cursor: everything that begins with its bytes, of a key that it does not have whole. */
static int begin_behind(struct buf *place)
{
    if (place->size < STATE_ORDERED_BYTES) {
        buf_u8(place, 0);
        return 0;
    }
    while (place->size > 0 && place->data[place->size - 1] == 0xff)
        place->size--;
    if (place->size > 0)
        place->data[place->size - 1]++;
    return place->size > 0 ? 0 : 1;
}

static int scan_store(struct look *look, struct bytes from, struct diag *diag)
{
    look->diag = diag;
    return state_reader_scan(store_look_reader(look->at), from, bytes_of(NULL, 0), scan_pair, look,
                             diag);
}

/* All partitions from the cursor on, until the page is full. */
static int scan_all(struct look *look, int32_t first, struct buf *place, struct diag *diag)
{
    weir_log *log = look->exchange->http->log;
    int rc = 0;
    if (first >= 0 && begin_behind(place) != 0) {
        first++;
        buf_clear(place);
    }
    for (size_t i = 0; rc == 0 && i < look->names.count && !look->has_more; i++) {
        const struct store_name *name = &look->names.items[i];
        if (!is_meant(look, name) || name->partition < first)
            continue;
        look->partition = name->partition;
        bool is_first = name->partition == first && place->size > 0;
        rc = store_look_open(log, name, &look->at, diag);
        if (rc == 0)
            rc = scan_store(look, is_first ? bytes_of(place->data, place->size) : bytes_of("", 0),
                            diag);
        rc = rc > 0 ? 0 : rc;
        store_look_close(log, look->at);
    }
    return rc;
}

/* 1: it was there. */
static int get_from(struct look *look, const struct store_name *name, const char *text,
                    struct diag *diag)
{
    weir_log *log = look->exchange->http->log;
    struct arena arena;
    struct buf key;
    struct bytes value;
    arena_init(&arena, 0);
    buf_init(&key, 0);
    int rc = store_look_open(log, name, &look->at, diag);
    if (rc == 0)
        rc = store_view_key(store_look_view(look->at), text, &key, diag);
    if (rc == 0)
        rc = state_reader_get(store_look_reader(look->at), bytes_of(key.data, key.size), &arena,
                              &value, diag);
    if (rc == 1) {
        int put = put_pair(look, bytes_of(key.data, key.size), value, diag);
        rc = put < 0 ? put : 1;
    }
    store_look_close(log, look->at);
    buf_deinit(&key);
    arena_deinit(&arena);
    return rc;
}

static int get_one(struct look *look, const char *key, struct diag *diag)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < look->names.count; i++)
        if (is_meant(look, &look->names.items[i]))
            rc = get_from(look, &look->names.items[i], key, diag);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    return diag_set(diag, ERR_NOT_FOUND, "%s/%s has no entry %s", look->app, look->store, key);
}

static bool is_there(const struct look *look)
{
    for (size_t i = 0; i < look->names.count; i++)
        if (is_meant(look, &look->names.items[i]))
            return true;
    return false;
}

static int unknown_store(const struct look *look, struct diag *diag)
{
    static const char hint[] = "\nhint: GET /api/v1/state lists the stores";
    if (look->only >= 0)
        return diag_set(diag, ERR_NOT_FOUND, "there is no store %s/%s with a partition %lld%s",
                        look->app, look->store, (long long)look->only, hint);
    return diag_set(diag, ERR_NOT_FOUND, "there is no store %s/%s%s", look->app, look->store, hint);
}

static int answer(struct look *look, int32_t first, struct buf *place, struct diag *diag)
{
    struct json *json = &look->exchange->json;
    const char *key = http_argument(look->exchange, "key");
    if (!is_there(look))
        return unknown_store(look, diag);
    json_begin(json, '{');
    json_name(json, "rows");
    json_begin(json, '[');
    TRY(key != NULL ? get_one(look, key, diag) : scan_all(look, first, place, diag));
    json_end(json, ']');
    if (look->has_more) {
        http_cursor_put(json, "next_cursor", look->last_partition,
                        bytes_of(look->last.data, look->last.size));
    } else {
        json_name(json, "next_cursor");
        json_null(json);
    }
    json_end(json, '}');
    return 0;
}

void http_get_store(struct http_exchange *exchange)
{
    struct look look = {.exchange = exchange,
                        .app = exchange->parameters[0],
                        .store = exchange->parameters[1],
                        .last_partition = -1};
    struct diag diag = {0};
    struct buf place;
    int32_t first;
    buf_init(&place, 0);
    if (http_argument_limit(exchange, &look.left) &&
        http_argument_number(exchange, "partition", 0, INT32_MAX, -1, &look.only) &&
        http_argument_cursor(exchange, &first, &place)) {
        int rc = store_names_read(weir_log_dir(exchange->http->log), &look.names, &diag);
        bool may = rc < 0 || may_read(&look);
        if (rc == 0 && may)
            rc = answer(&look, first, &place, &diag);
        if (rc == ERR_TIMEOUT)
            diag_set(&diag, rc, "the rows take longer than %d s\nhint: a smaller limit",
                     HTTP_ANSWER_MS / 1000);
        if (rc < 0)
            http_fail_code(exchange, rc == ERR_BUSY ? ERR_STOPPED : rc, diag.text);
    }
    store_names_free(&look.names);
    buf_deinit(&look.last);
    buf_deinit(&place);
}
