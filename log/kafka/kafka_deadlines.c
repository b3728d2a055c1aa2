/* kafka_deadlines.c: what a connection waits for, and until when. The times: kafka_internal.h.
 *
 * One timer for each connection, set to the earliest of what it waits for, and moved only to an earlier time: when it fires too early it is set
 * again. */
#include "log/kafka/kafka_internal.h"
#include "runtime/base/clock.h"

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t next_deadline(const struct kafka_connection *c)
{
    int64_t at = INT64_MAX;
    if (c->size_have > 0 && c->reading && !c->waits_for_budget)
        at = earlier(at, c->frame_deadline_ms);
    else if (c->size_have == 0 && c->request_count == 0)
        at = earlier(at, c->had_request ? c->used_ms + c->server->times.idle
                                        : c->opened_ms + c->server->times.first_request);
    if (c->out_bytes > 0)
        at = earlier(at, c->sent_ms + c->server->times.write);
    if (!kafka_transport_is_ready(c))
        at = earlier(at, c->opened_ms + c->server->times.tls_handshake);
    if (kafka_connection_is_stranger(c))
        at = earlier(at, c->opened_ms + c->server->times.authentication);
    for (const struct kafka_request *r = c->first; r != NULL; r = r->next)
        if (r->state_of_work == REQUEST_PARKED) {
            at = earlier(at, r->park.deadline_ms);
            if (r->park.is_flush)
                at = earlier(at, clock_mono_ms() + FLUSH_LOOK_MS);
        }
    return at;
}

static void on_timer(uv_timer_t *timer);

void kafka_deadlines_set(struct kafka_connection *c)
{
    int64_t at = next_deadline(c);
    if (at >= c->timer_at_ms)
        return;
    int64_t now = clock_mono_ms();
    c->timer_at_ms = at;
    /* The loop's own idea of now may be old. */
    uv_update_time(&c->server->loop);
    uv_timer_start(&c->timer, on_timer, at > now ? (uint64_t)(at - now) : 0, 0);
}

void kafka_deadlines_sent(struct kafka_connection *c)
{
    c->sent_ms = clock_mono_ms();
    c->left_bytes = uv_stream_get_write_queue_size((uv_stream_t *)&c->socket);
}

/* A response of many megabytes takes its time on a slow line: who takes a part of it that is worth it has the time for the next one. */
static void look_at_sending(struct kafka_connection *c, int64_t now)
{
    if (c->out_bytes == 0 || now < c->sent_ms + c->server->times.write)
        return;
    size_t left = uv_stream_get_write_queue_size((uv_stream_t *)&c->socket);
    if (left + WRITE_LEAST_BYTES <= c->left_bytes)
        kafka_deadlines_sent(c);
}

/* Each time of next_deadline that has come is somebody's end here, or a parked request's; one that is not makes the timer fire again and again. */
static const char *overdue(const struct kafka_connection *c, int64_t now)
{
    if (c->size_have > 0 && c->reading && !c->waits_for_budget && now >= c->frame_deadline_ms)
        return "a request did not arrive whole in time";
    if (c->out_bytes > 0 && now >= c->sent_ms + c->server->times.write)
        return "it does not take its responses";
    if (!kafka_transport_is_ready(c) && now >= c->opened_ms + c->server->times.tls_handshake)
        return "the TLS handshake was not over in time";
    if (c->size_have == 0 && c->request_count == 0 && !c->had_request &&
        now >= c->opened_ms + c->server->times.first_request)
        return "it asked for nothing";
    if (kafka_connection_is_stranger(c) && now >= c->opened_ms + c->server->times.authentication)
        return "it did not authenticate in time";
    return NULL;
}

static void resume_overdue(struct kafka_connection *c, int64_t now)
{
    bool stopped = log_status(c->server->log, NULL) < 0;
    for (struct kafka_request *r = c->first; r != NULL; r = r->next)
        if (r->state_of_work == REQUEST_PARKED &&
            (now >= r->park.deadline_ms || (r->park.is_flush && stopped)))
            kafka_connection_run_again(r);
}

static void on_timer(uv_timer_t *timer)
{
    struct kafka_connection *c = timer->data;
    int64_t now = clock_mono_ms();
    if (c->closing)
        return;
    c->timer_at_ms = INT64_MAX;
    look_at_sending(c, now);
    const char *reason = overdue(c, now);
    bool idle = c->size_have == 0 && c->request_count == 0 && c->had_request &&
                now >= c->used_ms + c->server->times.idle;
    if (reason != NULL || idle) {
        kafka_connection_close(c, reason);
        return;
    }
    resume_overdue(c, now);
    kafka_deadlines_set(c);
}
