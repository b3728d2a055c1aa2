/* http_verify.c: POST /api/v1/pipelines/{topic}/verify: what 'weir verify' does, of a view whose job may run in this server.
 *
 * A verification compares what was committed at one moment. So a job that runs is held between two commits (runtime/app_hold.h) from before the first
 * record is read until the last result is compared: its pipelines stand still, and its windows wait, while producers and readers go on. What
 * is compared is what 'weir verify' compares in a directory that nobody holds; the stores that a running job has open are read beside it.
 *
 * Nobody knows how long it takes, so the request lasts as long as it does. Who has gone away, and a server or job that ends, end it, and the job goes
 * on. One at a time: it may take as much memory as the pipelines. */
#include <stdatomic.h>
#include <stdio.h>

#include "runtime/app_hold.h"
#include "runtime/base/clock.h"
#include "runtime/http/http_internal.h"
#include "runtime/port.h"
#include "runtime/records/difference_json.h"
#include "runtime/verify/verify.h"

enum { SHOWN_MAX = 1000, SHOWN_BYTES = 8 << 20 };

struct verification {
    struct http_exchange *exchange;
    struct weir_app *held; /* NULL: its job does not run here */
    int64_t left, memory_mib;
    char app[250], topic[250];
};

static void put_difference(void *context, const struct verify_difference *difference)
{
    struct verification *v = context;
    struct http_exchange *exchange = v->exchange;
    if (v->left == 0 || exchange->out.size > SHOWN_BYTES)
        return;
    v->left--;
    json_raw(&exchange->json, "", 0); /* the comma */
    difference_json_put(&exchange->out, difference);
}

static bool is_stopped(void *context)
{
    const struct verification *v = context;
    return http_is_over(v->exchange) || http_is_gone(v->exchange) ||
           (v->held != NULL && !app_is_held(v->held));
}

static void put_totals(struct json *json, const struct verify_outcome *r)
{
    const struct {
        const char *name;
        int64_t number;
    } totals[] = {
        {"rows_read", r->rows_read}, {"rows_made", r->made},
        {"applied", r->applied},     {"filtered", r->filtered},
        {"late", r->late},           {"duplicate", r->duplicate},
        {"unmatched", r->unmatched}, {"dead", r->dead},
        {"undecided", r->undecided}, {"results", r->groups},
        {"closed", r->closed},       {"open", r->open},
        {"waiting", r->waiting},     {"inexpressible", r->inexpressible},
        {"states", r->states},       {"records", r->records},
        {"compared", r->compared},   {"differences", r->differences},
    };
    json_name(json, "totals");
    json_begin(json, '{');
    for (size_t i = 0; i < sizeof totals / sizeof *totals; i++)
        json_member_int(json, totals[i].name, totals[i].number);
    json_end(json, '}');
}

static int compare(struct verification *v, struct port *port, struct verify_outcome *outcome,
                   struct diag *diag)
{
    struct json *json = &v->exchange->json;
    struct verify_options options = {.data = weir_log_dir(v->exchange->http->log),
                                     .app = v->app,
                                     .view = v->topic,
                                     .memory_bytes = v->memory_mib << 20,
                                     .each = put_difference,
                                     .context = v,
                                     .is_stopped = is_stopped};
    json_begin(json, '{');
    json_member_text(json, "app", v->app);
    json_member_text(json, "view", v->topic);
    json_name(json, "differences");
    json_begin(json, '[');
    int code = verify_view(&options, port, outcome, diag);
    json_end(json, ']');
    if (code == 0 && v->held != NULL && !app_is_held(v->held))
        code = ERR_STOPPED; /* it went on while the last ones were compared */
    return code;
}

/* With the job held, where it runs here. */
static int verify(struct verification *v, struct port *port, struct diag *diag)
{
    struct json *json = &v->exchange->json;
    struct verify_outcome outcome;
    int64_t began_ns = clock_mono_ns();
    TRY(compare(v, port, &outcome, diag));
    double seconds = (double)(clock_mono_ns() - began_ns) / 1e9;
    json_member_bool(json, "is_rows", outcome.is_rows);
    json_member_bool(json, "is_of_tables", outcome.is_of_tables);
    json_member_bool(json, "is_windowed", outcome.is_windowed);
    put_totals(json, &outcome);
    json_member_int(json, "held_ms", v->held != NULL ? (int64_t)(seconds * 1000) : 0);
    json_name(json, "seconds");
    json_double(json, seconds);
    json_end(json, '}');
    return 0;
}

static int hold(struct verification *v, struct diag *diag)
{
    struct weir_app *app = v->exchange->http->app;
    if (app == NULL || strcmp(app->name, v->app) != 0)
        return 0;
    int code = app_hold(app, v->exchange->until_ns);
    if (code == ERR_STATE)
        return diag_set(diag, ERR_TIMEOUT, "the job %s is starting, or ending\nhint: ask again",
                        v->app);
    if (code < 0)
        return diag_set(diag, ERR_TIMEOUT,
                        "the job %s does not come to rest between two commits\nhint: ask again",
                        v->app);
    v->held = app;
    return 0;
}

/* Which view: an app's, and the topic that it writes. */
static int find_view(struct verification *v, struct diag *diag)
{
    const char *data = weir_log_dir(v->exchange->http->log);
    const char *app = http_argument(v->exchange, "app"), *view = v->exchange->parameters[0];
    if (app != NULL)
        snprintf(v->app, sizeof v->app, "%s", app);
    else
        TRY(verify_find_app(data, view, v->app, diag));
    return verify_find_topic(data, v->app, view, v->topic, diag);
}

static int verify_held_or_not(struct verification *v, struct diag *diag)
{
    struct port *port;
    TRY(find_view(v, diag));
    TRY(port_log_share(v->exchange->http->log, "(verify)", &port, diag)); /* no app's name */
    int code = hold(v, diag);
    if (code == 0) {
        v->exchange->until_ns = INT64_MAX;
        code = verify(v, port, diag);
    }
    if (v->held != NULL)
        app_release(v->held);
    port->ops->close(port);
    return code;
}

static void fail(struct http_exchange *exchange, int code, const char *text)
{
    if (code == ERR_STOPPED)
        http_fail(exchange, 503, NULL, "the job, or the server, ends: nothing was compared");
    else if (code == ERR_TOO_LARGE)
        http_fail(exchange, 400, "give it more with --memory MIB", "%s", text);
    else
        http_fail_code(exchange, code, text);
}

void http_post_verify(struct http_exchange *exchange)
{
    struct http *http = exchange->http;
    struct verification v = {.exchange = exchange};
    struct diag diag = {.code = 0};
    if (!http_argument_number(exchange, "max", 0, SHOWN_MAX, 10, &v.left) ||
        !http_argument_number(exchange, "memory", 1, HTTP_VERIFY_MIB, HTTP_VERIFY_MIB,
                              &v.memory_mib))
        return;
    if (atomic_exchange(&http->is_verifying, true)) {
        http_fail(exchange, 503, "ask again", "another verification is being answered");
        return;
    }
    int code = verify_held_or_not(&v, &diag);
    atomic_store(&http->is_verifying, false);
    if (code < 0)
        fail(exchange, code, diag.text);
}
