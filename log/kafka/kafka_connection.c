/* kafka_connection.c: one client: bytes in, requests in order, responses in the same order.
 *
 * A request arrives in a buffer that grows with what has arrived, never with what the size field promises. Complete, it stands in the connection's list
 * and goes through these states; all of it happens in the loop's thread:
 *
 *     WAITS ─▶ RUNS (a worker has it) ─▶ ANSWERED ─▶ BEING_SENT ─▶ freed
 *                    │        ▲
 *                    └▶ PARKED ┘
 *
 * One request of a connection runs at a time, and what follows waits for its answer, as with Kafka; but a Produce that waits for its flush lets those
 * behind it begin (park.lets_pass), so that one flush serves all that a client has sent meanwhile. Responses leave in the order of the
 * list, whatever the order in which they became ready.
 *
 * Limits. A connection is not read while it has CONNECTION_REQUESTS unanswered requests or CONNECTION_BYTES of them, and no request of it begins while it
 * has not taken CONNECTION_OUT_BYTES of responses. A request over FRAME_FREE_BYTES books its whole size in the server's budget before more
 * of it is read; when there is no room the connection waits. What is booked can always be finished: reading it needs nothing more, and a
 * client that does not send the rest is cut off after FRAME_MS.
 *
 * Times: kafka_internal.h. One timer for each connection, set to the earliest of what it waits for, and moved only to an earlier time: when it
 * fires too early it is set again. */
#include "log/kafka/kafka_internal.h"
#include "runtime/base/clock.h"

#include <inttypes.h>
#include <stdlib.h>

/* ---- the end ---- */

static void free_when_over(struct kafka_connection *c)
{
    struct kafka_server *server = c->server;
    if (c->handles > 0 || c->request_count > 0)
        return;
    if (c->previous != NULL)
        c->previous->next = c->next;
    else
        server->connections = c->next;
    if (c->next != NULL)
        c->next->previous = c->previous;
    server->connection_count--;
    buf_deinit(&c->frame);
    buf_deinit(&c->backlog);
    kafka_session_deinit(&c->session);
    free(c);
}

static void on_closed(uv_handle_t *handle)
{
    struct kafka_connection *c = handle->data;
    c->handles--;
    free_when_over(c);
}

static void forget_frame(struct kafka_connection *c)
{
    if (c->frame_is_booked)
        kafka_server_use_bytes(c->server, -(int64_t)c->frame_size);
    c->frame_is_booked = false;
    c->waits_for_budget = false;
    c->frame_size = 0;
    c->size_have = 0;
    buf_deinit(&c->frame);
    c->frame = (struct buf){0};
}

static void free_request(struct kafka_request *request)
{
    struct kafka_connection *c = request->connection;
    size_t size = request->frame.size;
    c->in_bytes -= size;
    c->request_count--;
    if (size > FRAME_FREE_BYTES)
        kafka_server_use_bytes(c->server, -(int64_t)size);
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
        free_request(request);
    }
}

void kafka_connection_close(struct kafka_connection *c, const char *reason)
{
    if (c->closing)
        return;
    c->closing = true;
    if (reason != NULL)
        kafka_server_complain(c->server, "kafka: closed the connection of %s: %s", c->peer, reason);
    forget_frame(c);
    drop_requests(c);
    kafka_transport_end(c);
    uv_close((uv_handle_t *)&c->socket, on_closed);
    uv_close((uv_handle_t *)&c->timer, on_closed);
}

/* ---- time ---- */

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* It must say who it is before anything else. */
static bool is_stranger(const struct kafka_connection *c)
{
    return c->server->options.requires_users && !c->is_known;
}

static int64_t next_deadline(const struct kafka_connection *c)
{
    int64_t at = INT64_MAX;
    if (c->size_have > 0 && c->reading && !c->waits_for_budget)
        at = earlier(at, c->frame_deadline_ms);
    else if (c->size_have == 0 && c->request_count == 0)
        at = earlier(at, c->had_request ? c->used_ms + IDLE_MS : c->opened_ms + FIRST_REQUEST_MS);
    if (c->out_bytes > 0)
        at = earlier(at, c->sent_ms + WRITE_MS);
    if (!kafka_transport_is_ready(c))
        at = earlier(at, c->opened_ms + TLS_HANDSHAKE_MS);
    if (is_stranger(c))
        at = earlier(at, c->opened_ms + AUTHENTICATION_MS);
    for (const struct kafka_request *r = c->first; r != NULL; r = r->next)
        if (r->state_of_work == REQUEST_PARKED) {
            at = earlier(at, r->park.deadline_ms);
            if (r->park.is_flush)
                at = earlier(at, clock_mono_ms() + FLUSH_LOOK_MS);
        }
    return at;
}

static void on_timer(uv_timer_t *timer);

static void set_timer(struct kafka_connection *c)
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

/* Each time of next_deadline that has come is somebody's end here, or a parked request's; one that is not makes the timer fire again and again. */
static const char *overdue(const struct kafka_connection *c, int64_t now)
{
    if (c->size_have > 0 && c->reading && !c->waits_for_budget && now >= c->frame_deadline_ms)
        return "a request did not arrive whole in time";
    if (c->out_bytes > 0 && now >= c->sent_ms + WRITE_MS)
        return "it does not take its responses";
    if (!kafka_transport_is_ready(c) && now >= c->opened_ms + TLS_HANDSHAKE_MS)
        return "the TLS handshake was not over in time";
    if (c->size_have == 0 && c->request_count == 0 && !c->had_request &&
        now >= c->opened_ms + FIRST_REQUEST_MS)
        return "it asked for nothing";
    if (is_stranger(c) && now >= c->opened_ms + AUTHENTICATION_MS)
        return "it did not authenticate in time";
    return NULL;
}

/* Back to a worker. */
static void run_again(struct kafka_request *request)
{
    struct kafka_server *server = request->connection->server;
    kafka_park_end(request);
    request->stopping = server->stopping;
    request->state_of_work = REQUEST_RUNS;
    kafka_workers_push(&server->workers, request);
}

void kafka_connection_answer_parked(struct kafka_connection *c)
{
    for (struct kafka_request *r = c->first; r != NULL; r = r->next) {
        if (r->state_of_work == REQUEST_PARKED && !r->park.is_flush)
            run_again(r);
        if (r->state_of_work == REQUEST_RUNS && atomic_load(&r->is_parked)) {
            kafka_connection_close(c, NULL); /* it waits for members of a group */
            return;
        }
    }
}

static void resume_overdue(struct kafka_connection *c, int64_t now)
{
    bool stopped = log_status(c->server->log, NULL) < 0;
    for (struct kafka_request *r = c->first; r != NULL; r = r->next)
        if (r->state_of_work == REQUEST_PARKED &&
            (now >= r->park.deadline_ms || (r->park.is_flush && stopped)))
            run_again(r);
}

static void on_timer(uv_timer_t *timer)
{
    struct kafka_connection *c = timer->data;
    int64_t now = clock_mono_ms();
    if (c->closing)
        return;
    c->timer_at_ms = INT64_MAX;
    const char *reason = overdue(c, now);
    bool idle =
        c->size_have == 0 && c->request_count == 0 && c->had_request && now >= c->used_ms + IDLE_MS;
    if (reason != NULL || idle) {
        kafka_connection_close(c, reason);
        return;
    }
    resume_overdue(c, now);
    set_timer(c);
}

/* ---- responses ---- */

static void on_sent(uv_write_t *write, int status)
{
    struct kafka_request *request = write->data;
    struct kafka_connection *c = request->connection;
    size_t size = request->out.size;
    free(write);
    c->out_bytes -= size;
    kafka_server_use_bytes(c->server, -(int64_t)size);
    c->sent_ms = c->used_ms = clock_mono_ms();
    free_request(request);
    if (c->closing)
        free_when_over(c);
    else if (status < 0 || c->ends_when_sent)
        kafka_connection_close(c, status < 0 ? NULL : c->end_reason);
    else
        kafka_connection_step(c);
}

/* Takes the head of the list. False: the connection is closed. */
static bool send_first(struct kafka_connection *c)
{
    struct kafka_request *request = c->first;
    c->first = request->next;
    if (c->first == NULL)
        c->last = NULL;
    if (request->result == KAFKA_SILENT) {
        free_request(request);
        return true;
    }
    uv_write_t *write = malloc(sizeof *write);
    if (write == NULL) {
        free_request(request);
        kafka_connection_close(c, "no memory");
        return false;
    }
    if (!kafka_transport_seal(c, &request->out)) {
        free(write);
        free_request(request);
        kafka_connection_close(c, "no memory");
        return false;
    }
    if (c->out_bytes == 0)
        c->sent_ms = clock_mono_ms();
    request->state_of_work = REQUEST_BEING_SENT;
    c->ends_when_sent = request->result == KAFKA_LAST;
    write->data = request;
    c->out_bytes += request->out.size;
    kafka_server_use_bytes(c->server, (int64_t)request->out.size);
    uv_buf_t bytes = uv_buf_init((char *)request->out.data, (unsigned)request->out.size);
    if (uv_write(write, (uv_stream_t *)&c->socket, &bytes, 1, on_sent) == 0)
        return true;
    c->out_bytes -= request->out.size;
    kafka_server_use_bytes(c->server, -(int64_t)request->out.size);
    free(write);
    free_request(request);
    kafka_connection_close(c, NULL);
    return false;
}

static bool send_answered(struct kafka_connection *c)
{
    while (!c->ends_when_sent && c->first != NULL && c->first->state_of_work == REQUEST_ANSWERED)
        if (!send_first(c))
            return false;
    return true;
}

/* ---- requests ---- */

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

static void begin(struct kafka_connection *c, struct kafka_request *request)
{
    const char *reason = not_admitted(c, request->api);
    if (reason != NULL) {
        kafka_connection_close(c, reason);
        return;
    }
    request->state_of_work = REQUEST_RUNS;
    kafka_workers_push(&c->server->workers, request);
}

static void begin_next(struct kafka_connection *c)
{
    struct kafka_server *server = c->server;
    if (c->ends_when_sent)
        return;
    if (c->out_bytes > CONNECTION_OUT_BYTES || server->used_bytes > server->budget_bytes) {
        server->somebody_waits |= c->first != NULL;
        return;
    }
    for (struct kafka_request *r = c->first; r != NULL; r = r->next) {
        if (r->state_of_work == REQUEST_WAITS) {
            begin(c, r);
            return;
        }
        bool passes = r->state_of_work == REQUEST_ANSWERED ||
                      (r->state_of_work == REQUEST_PARKED && r->park.lets_pass);
        if (!passes)
            return;
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
        free_request(request);
        free_when_over(c);
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
        if (c->server->stopping || !kafka_park_begin(c->server, request))
            run_again(request);
    } else {
        request->state_of_work = REQUEST_ANSWERED;
    }
    kafka_connection_step(c);
}

/* The frame is whole. False: the connection is closed. */
static bool take_request(struct kafka_connection *c)
{
    struct kafka_request *request;
    struct diag diag = {0};
    int code = c->takes_tokens ? kafka_request_create_token(&c->frame, &request)
                               : kafka_request_create(&c->frame, &request, &diag);
    if (code < 0) {
        kafka_connection_close(c, diag.text[0] != '\0' ? diag.text : "no memory");
        return false;
    }
    c->frame_is_booked = false; /* the request's now */
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

/* ---- reading ---- */

static bool is_full(const struct kafka_connection *c)
{
    return c->request_count >= (is_stranger(c) ? STRANGER_REQUESTS : CONNECTION_REQUESTS) ||
           c->in_bytes >= CONNECTION_BYTES;
}

/* The size field is there. False: the connection is closed. */
static bool take_size(struct kafka_connection *c)
{
    char reason[120];
    int32_t size = (int32_t)load_be32(c->size_bytes);
    if (c->size_bytes[0] == 0x16 && c->size_bytes[1] == 0x03) { /* a client's hello */
        kafka_connection_close(c, "it speaks TLS, and this port does not (--tls-cert)");
        return false;
    }
    int32_t least = c->takes_tokens ? 1 : FRAME_SMALLEST_BYTES;
    int32_t most = is_stranger(c) ? STRANGER_FRAME_BYTES : KAFKA_FRAME_BYTES;
    if (size >= least && size <= most) {
        c->frame_size = (size_t)size;
        buf_init(&c->frame, 0);
        return true;
    }
    snprintf(reason, sizeof reason, "a request of %" PRId32 " bytes: %d to %d are taken", size,
             least, most);
    kafka_connection_close(c, reason);
    return false;
}

/* Room in the server's budget for all of a large request. False: it must wait. */
static bool book_frame(struct kafka_connection *c)
{
    struct kafka_server *server = c->server;
    if (c->frame_is_booked || c->frame_size <= FRAME_FREE_BYTES)
        return true;
    if (server->used_bytes > 0 &&
        server->used_bytes + (int64_t)c->frame_size > server->budget_bytes) {
        server->somebody_waits = c->waits_for_budget = true;
        return false;
    }
    kafka_server_use_bytes(server, (int64_t)c->frame_size);
    c->frame_is_booked = true;
    c->waits_for_budget = false;
    c->frame_deadline_ms = clock_mono_ms() + FRAME_MS;
    return true;
}

/* Takes from bytes what belongs to the request that arrives; false: nothing more can be taken now, or at all. */
static bool take_piece(struct kafka_connection *c, struct bytes *bytes)
{
    if (c->frame_size == 0) {
        if (c->size_have == 0)
            c->frame_deadline_ms = clock_mono_ms() + FRAME_MS;
        size_t size = sizeof c->size_bytes - c->size_have;
        size = bytes->size < size ? bytes->size : size;
        memcpy(c->size_bytes + c->size_have, bytes->data, size);
        c->size_have += size;
        *bytes = bytes_of(bytes->data + size, bytes->size - size);
        return c->size_have < sizeof c->size_bytes || take_size(c);
    }
    size_t room = c->frame_size - c->frame.size;
    if (!book_frame(c))
        room = c->frame.size < FRAME_FREE_BYTES ? FRAME_FREE_BYTES - c->frame.size : 0;
    size_t size = bytes->size < room ? bytes->size : room;
    buf_append(&c->frame, bytes->data, size);
    if (!buf_ok(&c->frame)) {
        kafka_connection_close(c, "no memory");
        return false;
    }
    *bytes = bytes_of(bytes->data + size, bytes->size - size);
    return c->frame.size < c->frame_size ? size > 0 : take_request(c);
}

/* Takes what it can; what is left goes to the backlog. */
static void take_bytes_in(struct kafka_connection *c, struct bytes bytes)
{
    while (bytes.size > 0 && !c->closing && !is_full(c))
        if (!take_piece(c, &bytes))
            break;
    if (c->closing || bytes.size == 0)
        return;
    buf_append_bytes(&c->backlog, bytes);
    if (!buf_ok(&c->backlog))
        kafka_connection_close(c, "no memory");
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *room)
{
    struct kafka_connection *c = handle->data;
    (void)suggested;
    *room = uv_buf_init((char *)c->server->read_buffer, READ_BUFFER_BYTES);
    /* The rest of a large request goes where it belongs without being copied. */
    if (c->server->tls == NULL && c->frame_is_booked &&
        c->frame_size - c->frame.size > READ_BUFFER_BYTES) {
        size_t size = c->frame_size - c->frame.size;
        size_t most = c->frame.size > READ_BUFFER_BYTES ? c->frame.size : READ_BUFFER_BYTES;
        size = size < most ? size : most;
        uint8_t *at = buf_reserve(&c->frame, size);
        if (at != NULL)
            *room = uv_buf_init((char *)at, (unsigned)size);
        else
            c->frame.failed =
                false; /* it goes through the common buffer, and fails there if it must */
    }
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *room)
{
    struct kafka_connection *c = stream->data;
    if (count == 0 || c->closing)
        return;
    if (count < 0) { /* what was asked for by then is still answered, if somebody listens */
        bool cut = c->size_have > 0 || c->backlog.size > 0;
        const char *reason = c->tls != NULL && !kafka_transport_is_ready(c)
                                 ? "it ended within the TLS handshake"
                             : cut ? "it ended within a request"
                                   : NULL;
        kafka_connection_close(c, count == UV_EOF ? reason : NULL);
        return;
    }
    c->used_ms = clock_mono_ms();
    if (room->base != (char *)c->server->read_buffer) {
        c->frame.size += (size_t)count;
        if (c->frame.size == c->frame_size)
            take_request(c);
    } else {
        struct bytes bytes = bytes_of(room->base, (size_t)count);
        take_bytes_in(c, c->server->tls != NULL ? kafka_transport_open(c, bytes) : bytes);
    }
    if (!c->closing)
        kafka_connection_step(c);
}

/* What was read and left goes first. */
static void take_backlog(struct kafka_connection *c)
{
    if (c->backlog.size == 0 || is_full(c))
        return;
    struct buf backlog = c->backlog;
    buf_init(&c->backlog, 0);
    take_bytes_in(c, bytes_of(backlog.data, backlog.size));
    buf_deinit(&backlog);
}

static void step_reading(struct kafka_connection *c)
{
    take_backlog(c);
    if (c->closing)
        return;
    bool wanted = !is_full(c) && c->backlog.size == 0 && !c->server->stopping && !c->ends_when_sent;
    if (wanted == c->reading)
        return;
    c->reading = wanted;
    if (wanted && c->size_have > 0) /* that we did not read was not the client's fault */
        c->frame_deadline_ms = clock_mono_ms() + FRAME_MS;
    if (!wanted)
        uv_read_stop((uv_stream_t *)&c->socket);
    else if (uv_read_start((uv_stream_t *)&c->socket, on_room, on_read) < 0)
        kafka_connection_close(c, "it cannot be read");
}

void kafka_connection_step(struct kafka_connection *c)
{
    if (c->closing || !send_answered(c))
        return;
    step_reading(c);
    if (c->closing)
        return;
    begin_next(c);
    set_timer(c);
    if (c->server->stopping && c->request_count == 0)
        kafka_connection_close(c, NULL);
}

/* ---- the beginning ---- */

static void name_address(const struct sockaddr_storage *address, char *host, size_t size,
                         int32_t *port)
{
    if (address->ss_family == AF_INET6) {
        uv_ip6_name((const struct sockaddr_in6 *)(const void *)address, host, size);
        *port = ntohs(((const struct sockaddr_in6 *)(const void *)address)->sin6_port);
    } else {
        uv_ip4_name((const struct sockaddr_in *)(const void *)address, host, size);
        *port = ntohs(((const struct sockaddr_in *)(const void *)address)->sin_port);
    }
}

static bool name_ends(struct kafka_connection *c)
{
    struct sockaddr_storage peer, local;
    int peer_size = sizeof peer, local_size = sizeof local;
    int32_t port;
    if (uv_tcp_getpeername(&c->socket, (struct sockaddr *)&peer, &peer_size) < 0 ||
        uv_tcp_getsockname(&c->socket, (struct sockaddr *)&local, &local_size) < 0)
        return false;
    name_address(&peer, c->peer_host, sizeof c->peer_host, &port);
    name_address(&local, c->local_host, sizeof c->local_host, &c->local_port);
    snprintf(c->peer, sizeof c->peer, "%s:%d", c->peer_host, port);
    return true;
}

/* NULL, or why it is one too many. */
static const char *one_too_many(const struct kafka_connection *c)
{
    const struct kafka_server *server = c->server;
    int32_t limit = server->options.connections_per_address, same = 0;
    if (server->connection_count > server->connection_limit)
        return "there are as many connections as there may be";
    for (const struct kafka_connection *other = server->connections; limit > 0 && other != NULL;
         other = other->next)
        same += strcmp(other->peer_host, c->peer_host) == 0;
    return limit > 0 && same > limit ? "its address has as many connections as it may have" : NULL;
}

/* Without memory for a connection: libuv offers no further one before this one is taken, so it is taken and closed, in memory that is
 * always there. */
static void on_rejected(uv_handle_t *handle)
{
    struct kafka_server *server = handle->data;
    server->rejects = false;
    if (server->reject_waits && !server->stopping) {
        server->reject_waits = false;
        kafka_connection_accept(server);
    }
}

static void reject(struct kafka_server *server)
{
    server->reject_waits = server->rejects;
    if (server->rejects)
        return;
    server->rejects = true;
    must(uv_tcp_init(&server->loop, &server->rejected) == 0);
    server->rejected.data = server;
    uv_accept((uv_stream_t *)&server->listener, (uv_stream_t *)&server->rejected);
    uv_close((uv_handle_t *)&server->rejected, on_rejected);
}

void kafka_connection_accept(struct kafka_server *server)
{
    struct kafka_connection *c = calloc(1, sizeof *c);
    if (c == NULL) {
        reject(server);
        return;
    }
    c->server = server;
    c->timer_at_ms = INT64_MAX;
    c->opened_ms = c->used_ms = clock_mono_ms();
    must(uv_tcp_init(&server->loop, &c->socket) == 0);
    must(uv_timer_init(&server->loop, &c->timer) == 0);
    c->handles = 2;
    c->socket.data = c->timer.data = c;
    c->next = server->connections;
    if (c->next != NULL)
        c->next->previous = c;
    server->connections = c;
    server->connection_count++;
    if (uv_accept((uv_stream_t *)&server->listener, (uv_stream_t *)&c->socket) < 0 ||
        !name_ends(c)) {
        kafka_connection_close(c, NULL);
        return;
    }
    const char *reason = one_too_many(c);
    if (reason != NULL) {
        kafka_connection_close(c, reason);
        return;
    }
    uv_tcp_nodelay(&c->socket, 1);
    kafka_session_init(&c->session);
    c->session.lifetime_ms = c->server->options.session_lifetime_ms;
    c->session.may_say_password = c->server->tls != NULL || strncmp(c->peer_host, "127.", 4) == 0 ||
                                  strcmp(c->peer_host, "::1") == 0;
    c->session_expires_ms = INT64_MAX;
    kafka_connection_step(c);
}
