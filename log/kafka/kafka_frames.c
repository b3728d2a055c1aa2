/* kafka_frames.c: the bytes of a client, cut into requests.
 *
 * A request arrives in a buffer that grows with what has arrived, never with what the size field promises.
 *
 * Limits. A connection is not read while it has CONNECTION_REQUESTS unanswered requests or CONNECTION_BYTES of them. A request that makes
 * them more than FRAME_FREE_BYTES books its whole size in the budget (kafka_peers.c) before more of it is read than that; when there is no room the connection waits. What is booked can always be
 * finished: reading it needs nothing more, and a client that does not send the rest is cut off after FRAME_MS. */
#include "log/kafka/kafka_internal.h"
#include "runtime/base/clock.h"

#include <inttypes.h>
#include <stdio.h>

static bool is_full(const struct kafka_connection *c)
{
    return c->request_count >=
               (kafka_connection_is_stranger(c) ? STRANGER_REQUESTS : CONNECTION_REQUESTS) ||
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
    int32_t most = kafka_connection_is_stranger(c) ? STRANGER_FRAME_BYTES : KAFKA_FRAME_BYTES;
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

/* Room in the budget for all of a request that is large, or stands behind others. False: it must wait. */
static bool book_frame(struct kafka_connection *c)
{
    if (c->frame_is_booked || c->in_bytes + c->frame_size <= FRAME_FREE_BYTES)
        return true;
    if (!kafka_peer_may_ask(c, c->frame_size)) {
        kafka_peer_wait(c, SHARE_REQUESTS);
        c->waits_for_budget = true;
        return false;
    }
    kafka_peer_use(c, SHARE_REQUESTS, (int64_t)c->frame_size);
    if (c->frame_size >= SPARE_LEAST_BYTES)
        kafka_spare_take(c->server, c->frame_size, 4 * c->frame_size, &c->frame);
    c->frame_is_booked = true;
    c->waits_for_budget = false;
    c->frame_deadline_ms = clock_mono_ms() + c->server->times.frame;
    return true;
}

/* Takes from bytes what belongs to the request that arrives; false: nothing more can be taken now, or at all. */
static bool take_piece(struct kafka_connection *c, struct bytes *bytes)
{
    if (c->frame_size == 0) {
        if (c->size_have == 0)
            c->frame_deadline_ms = clock_mono_ms() + c->server->times.frame;
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
    return c->frame.size < c->frame_size ? size > 0 : kafka_connection_take_request(c);
}

/* Takes what it can; what is left goes to the backlog. */
void kafka_frames_take(struct kafka_connection *c, struct bytes bytes)
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
    bool is_strange = c->server->tls != NULL && !c->is_secure;
    *room = uv_buf_init((char *)c->server->read_buffer,
                        is_strange ? TLS_HELLO_BYTES : READ_BUFFER_BYTES);
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
            kafka_connection_take_request(c);
    } else {
        struct bytes bytes = bytes_of(room->base, (size_t)count);
        kafka_frames_take(c, c->server->tls != NULL ? kafka_transport_open(c, bytes) : bytes);
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
    kafka_frames_take(c, bytes_of(backlog.data, backlog.size));
    buf_deinit(&backlog);
}

void kafka_frames_step(struct kafka_connection *c)
{
    take_backlog(c);
    if (c->closing)
        return;
    bool wanted = !is_full(c) && c->backlog.size == 0 && !c->server->stopping &&
                  !c->ends_when_sent && kafka_transport_may_read(c);
    if (wanted == c->reading)
        return;
    c->reading = wanted;
    if (wanted && c->size_have > 0) /* that we did not read was not the client's fault */
        c->frame_deadline_ms = clock_mono_ms() + c->server->times.frame;
    if (!wanted)
        uv_read_stop((uv_stream_t *)&c->socket);
    else if (uv_read_start((uv_stream_t *)&c->socket, on_room, on_read) < 0)
        kafka_connection_close(c, "it cannot be read");
}

void kafka_frames_forget(struct kafka_connection *c)
{
    if (c->frame_is_booked)
        kafka_peer_use(c, SHARE_REQUESTS, -(int64_t)c->frame_size);
    c->frame_is_booked = false;
    c->waits_for_budget = false;
    c->frame_size = 0;
    c->size_have = 0;
    buf_deinit(&c->frame);
    c->frame = (struct buf){0};
}
