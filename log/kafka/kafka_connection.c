/* kafka_connection.c: one client: its requests in order, its responses in the same order, its end.
 *
 * A request that has arrived whole (kafka_frames.c) stands in the connection's list and goes through these states; all of it happens in the loop's thread:
 *
 *     WAITS ─▶ RUNS (a worker has it) ─▶ ANSWERED ─▶ BEING_SENT ─▶ freed
 *                    │        ▲
 *                    └▶ PARKED ┘
 *
 * One request of a connection runs at a time, and what follows waits for its answer, as with Kafka; but a Produce that waits for its flush lets those
 * behind it begin (park.lets_pass), so that one flush serves all that a client has sent meanwhile. Responses leave in the order of the
 * list, whatever the order in which they became ready. Several small Produce requests that stand one behind the other go to a worker together (request->chain). No request of a connection begins while it has not taken CONNECTION_OUT_BYTES of responses.
 *
 * How it begins: kafka_accept.c. Its times: kafka_deadlines.c. */
#include "log/kafka/kafka_internal.h"
#include "runtime/base/clock.h"

#include <stdlib.h>

/* ---- the end ---- */

void kafka_connection_free_when_over(struct kafka_connection *c)
{
    struct kafka_server *server = c->server;
    if (c->handles > 0 || c->request_count > 0 || c->shake != NULL)
        return;
    if (c->previous != NULL)
        c->previous->next = c->next;
    else
        server->connections = c->next;
    if (c->next != NULL)
        c->next->previous = c->previous;
    server->connection_count--;
    kafka_peer_leave(c);
    buf_deinit(&c->frame);
    buf_deinit(&c->backlog);
    kafka_session_deinit(&c->session);
    free(c);
}

static void on_closed(uv_handle_t *handle)
{
    struct kafka_connection *c = handle->data;
    c->handles--;
    kafka_connection_free_when_over(c);
}

void kafka_connection_free_request(struct kafka_request *request)
{
    struct kafka_connection *c = request->connection;
    size_t size = request->frame.size;
    c->in_bytes -= size;
    c->request_count--;
    if (request->is_booked)
        kafka_peer_use(c, SHARE_REQUESTS, -(int64_t)size);
    kafka_spare_give(c->server, &request->frame_memory);
    kafka_spare_give(c->server, &request->out);
    kafka_request_free(request);
}

/* Those that nobody works on: the others are freed when they come back. */
static void drop_requests(struct kafka_connection *c)
{
    struct kafka_request **at = &c->first;
    c->last = NULL;
    while (*at != NULL) {
        struct kafka_request *request = *at;
        if (request->state_of_work == REQUEST_RUNS) {
            kafka_request_abandon(request);
            c->last = request;
            at = &request->next;
            continue;
        }
        *at = request->next;
        kafka_park_end(request);
        kafka_connection_free_request(request);
    }
}

void kafka_connection_close(struct kafka_connection *c, const char *reason)
{
    if (c->closing)
        return;
    c->closing = true;
    if (reason != NULL)
        kafka_server_complain(c->server, "kafka: closed the connection of %s: %s", c->peer_name,
                              reason);
    kafka_peer_stop_waiting(c);
    kafka_frames_forget(c);
    drop_requests(c);
    kafka_transport_end(c);
    uv_close((uv_handle_t *)&c->socket, on_closed);
    uv_close((uv_handle_t *)&c->timer, on_closed);
}

/* ---- responses ---- */

static void on_sent(uv_write_t *write, int status)
{
    struct kafka_request *request = write->data;
    struct kafka_connection *c = request->connection;
    size_t size = request->out.size;
    free(write);
    c->out_bytes -= size;
    kafka_peer_use(c, SHARE_RESPONSES, -(int64_t)size);
    c->used_ms = clock_mono_ms();
    kafka_deadlines_sent(c);
    kafka_connection_free_request(request);
    if (c->closing)
        kafka_connection_free_when_over(c);
    else if (status < 0 || c->ends_when_sent)
        kafka_connection_close(c, status < 0 ? NULL : c->end_reason);
    else
        kafka_connection_step(c);
}

/* Has the loop send what the socket did not take at once. False: the connection is closed. */
static bool send_later(struct kafka_connection *c, struct kafka_request *request, size_t sent)
{
    uv_write_t *write = malloc(sizeof *write);
    size_t size = request->out.size;
    if (write == NULL) {
        kafka_connection_free_request(request);
        kafka_connection_close(c, "no memory");
        return false;
    }
    bool is_first = c->out_bytes == 0;
    kafka_spare_fit(c->server, &request->out);
    request->state_of_work = REQUEST_BEING_SENT;
    write->data = request;
    c->out_bytes += size;
    kafka_peer_use(c, SHARE_RESPONSES, (int64_t)size);
    uv_buf_t bytes = uv_buf_init((char *)request->out.data + sent, (unsigned)(size - sent));
    if (uv_write(write, (uv_stream_t *)&c->socket, &bytes, 1, on_sent) == 0) {
        if (is_first)
            kafka_deadlines_sent(c);
        else
            c->left_bytes += size - sent;
        return true;
    }
    c->out_bytes -= size;
    kafka_peer_use(c, SHARE_RESPONSES, -(int64_t)size);
    free(write);
    kafka_connection_free_request(request);
    kafka_connection_close(c, NULL);
    return false;
}

/* Most responses fit into the socket's buffer: then nothing is left for the loop to do. What does not go is for uv_write to complain of. */
static size_t send_at_once(struct kafka_connection *c, const struct kafka_request *request)
{
    uv_buf_t bytes = uv_buf_init((char *)request->out.data, (unsigned)request->out.size);
    if (c->out_bytes > 0)
        return 0;
    int sent = uv_try_write((uv_stream_t *)&c->socket, &bytes, 1);
    return sent > 0 ? (size_t)sent : 0;
}

/* Takes the head of the list. False: the connection is closed. */
static bool send_first(struct kafka_connection *c)
{
    struct kafka_request *request = c->first;
    c->first = request->next;
    if (c->first == NULL)
        c->last = NULL;
    if (request->result == KAFKA_SILENT) {
        kafka_connection_free_request(request);
        return true;
    }
    if (request->piece_count > 0) {
        c->ends_when_sent = request->result == KAFKA_LAST;
        return kafka_stream_begin(c, request);
    }
    if (!kafka_transport_seal(c, &request->out)) {
        kafka_connection_free_request(request);
        kafka_connection_close(c, "no memory");
        return false;
    }
    c->ends_when_sent = request->result == KAFKA_LAST;
    size_t sent = send_at_once(c, request);
    if (sent < request->out.size)
        return send_later(c, request, sent);
    c->used_ms = clock_mono_ms();
    kafka_connection_free_request(request);
    if (c->ends_when_sent)
        kafka_connection_close(c, c->end_reason);
    return !c->closing;
}

/* One with pieces has the socket for itself, until it is over. */
static bool may_send_first(const struct kafka_connection *c)
{
    return !c->ends_when_sent && c->sending == NULL && c->first != NULL &&
           c->first->state_of_work == REQUEST_ANSWERED &&
           (c->first->piece_count == 0 || c->out_bytes == 0);
}

static bool send_answered(struct kafka_connection *c)
{
    while (may_send_first(c))
        if (!send_first(c))
            return false;
    return true;
}

/* ---- requests ---- */

bool kafka_connection_is_stranger(const struct kafka_connection *c)
{
    return c->server->options.requires_users && !c->is_known;
}

/* NULL, or why a request is not even begun. */
static const char *not_admitted(const struct kafka_connection *c, const struct kafka_api *api)
{
    if (!c->server->options.requires_users || api->key == KAFKA_SASL_HANDSHAKE ||
        api->key == KAFKA_SASL_AUTHENTICATE || api->key == KAFKA_SASL_TOKEN)
        return NULL;
    if (!c->is_known)
        return api->key == KAFKA_API_VERSIONS
                   ? NULL
                   : "it did not authenticate (security.protocol is SASL_SSL or SASL_PLAINTEXT)";
    return clock_mono_ms() < c->session_expires_ms
               ? NULL
               : "its session is over, and it did not authenticate again";
}

/* To a worker. A response that may become large gets memory that was in use before. */
static void push(struct kafka_request *request)
{
    struct kafka_server *server = request->connection->server;
    request->state_of_work = REQUEST_RUNS;
    if (request->api->key == KAFKA_FETCH)
        kafka_spare_take(server, SPARE_FETCH_BYTES, SPARE_BYTES, &request->out);
    kafka_workers_push(&server->workers, request);
}

static bool is_linked(const struct kafka_request *next)
{
    return next != NULL && next->state_of_work == REQUEST_WAITS && next->api->key == KAFKA_PRODUCE;
}

/* A Produce takes those along that stand behind it: they would be begun as soon as it is done, and it waits for nobody but the disk. */
static void link_chain(struct kafka_request *request)
{
    if (request->api->key != KAFKA_PRODUCE)
        return;
    size_t bytes = request->frame.size;
    for (int count = 1; count < CHAIN_REQUESTS && is_linked(request->next); count++) {
        bytes += request->next->frame.size;
        if (bytes > CHAIN_BYTES)
            return;
        request->chain = request->next;
        request = request->next;
        request->state_of_work = REQUEST_RUNS;
    }
}

static void begin(struct kafka_connection *c, struct kafka_request *request)
{
    const char *reason = not_admitted(c, request->api);
    if (reason != NULL) {
        kafka_connection_close(c, reason);
        return;
    }
    link_chain(request);
    push(request);
}

static void begin_next(struct kafka_connection *c)
{
    if (c->ends_when_sent || c->out_bytes > CONNECTION_OUT_BYTES)
        return;
    if (c->first != NULL && c->first->state_of_work == REQUEST_ANSWERED)
        return; /* its response is not booked yet */
    for (struct kafka_request *r = c->first; r != NULL; r = r->next) {
        if (r->state_of_work == REQUEST_WAITS) {
            if (kafka_peer_may_be_answered(c))
                begin(c, r);
            else
                kafka_peer_wait(c, SHARE_RESPONSES);
            return;
        }
        bool passes = r->state_of_work == REQUEST_ANSWERED ||
                      (r->state_of_work == REQUEST_PARKED && r->park.lets_pass);
        if (!passes)
            return;
    }
}

void kafka_connection_run_again(struct kafka_request *request)
{
    kafka_park_end(request);
    request->stopping = request->connection->server->stopping;
    push(request);
}

void kafka_connection_answer_flushed(struct kafka_request *request)
{
    kafka_park_end(request);
    request->state_of_work = REQUEST_RUNS;
    request->stopping = request->connection->server->stopping;
    must(!kafka_request_run(request));
    kafka_connection_took_back(request);
}

void kafka_connection_answer_parked(struct kafka_connection *c)
{
    for (struct kafka_request *r = c->first; r != NULL; r = r->next) {
        if (r->state_of_work == REQUEST_PARKED && !r->park.is_flush)
            kafka_connection_run_again(r);
        if (r->state_of_work == REQUEST_RUNS && atomic_load(&r->is_parked)) {
            kafka_connection_close(c, NULL); /* it waits for members of a group */
            return;
        }
    }
}

/* What the loop needs to know of it: nothing that changes it runs now. */
static void look_at_session(struct kafka_connection *c, const struct kafka_request *request)
{
    int16_t key = request->api->key;
    if (key != KAFKA_SASL_HANDSHAKE && key != KAFKA_SASL_AUTHENTICATE && key != KAFKA_SASL_TOKEN)
        return;
    c->takes_tokens = c->session.is_raw;
    c->is_known = c->session.principal != NULL;
    c->session_expires_ms = c->session.expires_ms;
}

void kafka_connection_took_back(struct kafka_request *request)
{
    struct kafka_connection *c = request->connection;
    if (c->closing) {
        struct kafka_request **at = &c->first;
        while (*at != request)
            at = &(*at)->next;
        *at = request->next;
        kafka_connection_free_request(request);
        kafka_connection_free_when_over(c);
        return;
    }
    if (request->was_left) {
        request->was_left = false;
        request->state_of_work = REQUEST_WAITS;
        kafka_connection_step(c);
        return;
    }
    if (request->result == KAFKA_CLOSE) {
        char reason[200];
        snprintf(reason, sizeof reason, "%s version %d: %s", request->api->name, request->version,
                 request->reason);
        request->state_of_work = REQUEST_ANSWERED;
        kafka_connection_close(c, reason);
        return;
    }
    if (request->result == KAFKA_LAST)
        snprintf(c->end_reason, sizeof c->end_reason, "%s", request->reason);
    look_at_session(c, request);
    if (request->result == KAFKA_PARK) {
        request->state_of_work = REQUEST_PARKED;
        kafka_spare_give(c->server, &request->out); /* what was written is written anew */
        kafka_request_drop_pieces(request);
        bool waits = !c->server->stopping && kafka_park_begin(c->server, request);
        if (!waits && request->park.is_flush) {
            kafka_connection_answer_flushed(request);
            return;
        }
        if (!waits)
            kafka_connection_run_again(request);
    } else {
        request->state_of_work = REQUEST_ANSWERED;
    }
    kafka_connection_step(c);
}

bool kafka_connection_take_request(struct kafka_connection *c)
{
    struct kafka_request *request;
    struct diag diag = {0};
    int code = c->takes_tokens ? kafka_request_create_token(&c->frame, &request)
                               : kafka_request_create(&c->frame, &request, &diag);
    if (code < 0) {
        kafka_connection_close(c, diag.text[0] != '\0' ? diag.text : "no memory");
        return false;
    }
    request->is_booked = c->frame_is_booked;
    c->frame_is_booked = false;
    c->frame_size = c->size_have = 0;
    c->had_request = true;
    if (c->server->options.stats != NULL && request->api->key >= 0) /* a SASL token is of no API */
        kafka_stats_count(c->server->options.stats, request->api->key, request->version);
    request->connection = c;
    request->options = &c->server->options;
    request->log = c->server->log;
    request->txns = c->server->txns;
    request->session = &c->session;
    request->fetch_sessions = c->server->fetch_sessions;
    request->pipes = c->server->tls == NULL ? &c->server->pipes : NULL;
    request->peer_host = c->peer_host;
    bool advertised = c->server->advertised_host[0] != '\0';
    request->advertised_host = advertised ? c->server->advertised_host : c->local_host;
    request->advertised_port =
        c->server->options.advertised_port > 0 ? c->server->options.advertised_port : c->local_port;
    if (c->last != NULL)
        c->last->next = request;
    else
        c->first = request;
    c->last = request;
    c->request_count++;
    c->in_bytes += request->frame.size;
    return true;
}

void kafka_connection_step(struct kafka_connection *c)
{
    if (c->closing || !send_answered(c))
        return;
    kafka_frames_step(c);
    if (c->closing)
        return;
    begin_next(c);
    kafka_deadlines_set(c);
    if (c->server->stopping && c->request_count == 0)
        kafka_connection_close(c, NULL);
}
