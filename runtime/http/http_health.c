/* http_health.c: whether the process lives, and whether it is ready.
 *
 * /livez says that requests are answered, and no more: who restarts a process for another reason makes a long restore longer. /readyz is 200
 * once each task of the pipelines has been opened, which is after its store was restored; until then it is 503 with how far each has come. A
 * server without pipelines is ready as soon as it listens, since the log was recovered before. Of pipelines that who asks may not describe it tells how many tasks there
 * are, and no name. */
#include "runtime/app.h"
#include "runtime/http/http_internal.h"
#include "runtime/metrics.h"

void http_get_live(struct http_exchange *exchange)
{
    json_begin(&exchange->json, '{');
    json_member_text(&exchange->json, "status", "alive");
    json_end(&exchange->json, '}');
}

struct readiness {
    const struct http_exchange *exchange;
    struct json *json;
    int tasks, open;
};

static void look_at_task(void *context, const struct task_reading *reading)
{
    struct readiness *readiness = context;
    struct json *json = readiness->json;
    readiness->tasks++;
    readiness->open += reading->is_open;
    if (reading->is_open ||
        !http_may(readiness->exchange, HTTP_TOPIC, reading->pipeline, HTTP_DESCRIBE))
        return;
    json_begin(json, '{');
    json_member_text(json, "pipeline", reading->pipeline);
    json_member_text(json, "stage", reading->stage);
    json_member_int(json, "partition", reading->partition);
    json_name(json, "restored");
    json_double(json, reading->restored);
    json_end(json, '}');
}

void http_get_ready(struct http_exchange *exchange)
{
    struct json *json = &exchange->json;
    struct readiness readiness = {.exchange = exchange, .json = json};
    bool is_ready = true;
    json_begin(json, '{');
    json_name(json, "restoring");
    json_begin(json, '[');
    if (exchange->http->app != NULL)
        is_ready = metrics_read_tasks(exchange->http->app->metrics, look_at_task, &readiness) &&
                   readiness.open == readiness.tasks;
    json_end(json, ']');
    json_member_text(json, "status",
                     is_ready              ? "ready"
                     : readiness.tasks > 0 ? "restoring"
                                           : "pipelines do not run");
    json_member_int(json, "tasks", readiness.tasks);
    json_member_int(json, "open", readiness.open);
    json_end(json, '}');
    exchange->status = is_ready ? 200 : 503;
}
