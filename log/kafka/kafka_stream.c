/* kafka_stream.c: a response that stands partly in pipes. Loop thread.
 *
 *     request->out     head … │ head of a partition │ head of a partition │ end
 *     request->pieces         └ a pipe with records ┘ └ a pipe with records
 *
 * What is in memory is written, what is in a pipe is spliced, as long as the socket takes it. When it takes no more, the next few kilobytes go through libuv,
 * which knows when the socket has room again; then it goes on here. So nothing but these few is copied, and the loop never waits: a worker had the disk
 * bring the pages before they came into the pipe.
 *
 * While such a response is under way (connection->sending) nothing else is sent on its connection, and it begins when all before it has gone. All of it counts as
 * bytes that the client has not taken, and the client has the time that a response in memory has. */
#include "log/kafka/kafka_internal.h"
#include "runtime/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PUMP_BYTES = 16 << 10 };

struct pump { /* what goes through libuv */
    uv_write_t write;
    size_t size;
    uint8_t bytes[PUMP_BYTES];
};

static void go_on(struct kafka_connection *c);

/* Its bytes are no longer the client's to take. */
static void end(struct kafka_connection *c)
{
    struct kafka_request *request = c->sending;
    c->sending = NULL;
    c->out_bytes -= request->stream.size;
    kafka_peer_use(c, SHARE_RESPONSES, -(int64_t)request->stream.size);
    kafka_connection_free_request(request);
}

static void end_and_close(struct kafka_connection *c, const char *reason)
{
    end(c);
    kafka_connection_close(c, reason);
}

/* In memory, before the next piece. */
static size_t left_in_memory(const struct kafka_request *request)
{
    const struct kafka_stream *s = &request->stream;
    size_t until =
        s->piece < request->piece_count ? request->pieces[s->piece].at : request->out.size;
    return until - s->at;
}

/* The next bytes are gone. */
static void pass(struct kafka_connection *c, struct kafka_request *request, size_t size)
{
    struct kafka_stream *s = &request->stream;
    size_t left = left_in_memory(request);
    if (left > 0) {
        s->at += size;
    } else {
        struct kafka_piece *piece = &request->pieces[s->piece];
        piece->size -= size;
        if (piece->size == 0)
            s->piece++;
    }
    s->unnoted_bytes += size;
    if (s->unnoted_bytes >= WRITE_LEAST_BYTES) {
        s->unnoted_bytes = 0;
        kafka_deadlines_sent(c);
    }
}

static void on_pumped(uv_write_t *write, int status)
{
    struct pump *pump = (struct pump *)(void *)write;
    struct kafka_connection *c = write->data;
    size_t size = pump->size;
    free(pump);
    if (c->closing) {
        end(c);
        kafka_connection_free_when_over(c);
    } else if (status < 0) {
        end_and_close(c, NULL);
    } else {
        pass(c, c->sending, size);
        go_on(c);
    }
}

/* The next bytes for libuv. False: they cannot be had. */
static bool fill(struct pump *pump, const struct kafka_request *request)
{
    const struct kafka_stream *s = &request->stream;
    size_t left = left_in_memory(request);
    if (left > 0) {
        pump->size = left < PUMP_BYTES ? left : PUMP_BYTES;
        memcpy(pump->bytes, request->out.data + s->at, pump->size);
        return true;
    }
    const struct kafka_piece *piece = &request->pieces[s->piece];
    ssize_t got =
        read(piece->pipe.read_fd, pump->bytes, piece->size < PUMP_BYTES ? piece->size : PUMP_BYTES);
    pump->size = got > 0 ? (size_t)got : 0;
    return got > 0;
}

/* Has libuv tell when the socket takes more. */
static void wait_for_room(struct kafka_connection *c)
{
    struct pump *pump = malloc(sizeof *pump);
    if (pump == NULL) {
        end_and_close(c, "no memory");
        return;
    }
    uv_buf_t bytes = {0};
    kafka_spare_fit(c->server, &c->sending->out);
    if (fill(pump, c->sending)) {
        pump->write.data = c;
        bytes = uv_buf_init((char *)pump->bytes, (unsigned)pump->size);
        if (uv_write(&pump->write, (uv_stream_t *)&c->socket, &bytes, 1, on_pumped) == 0)
            return;
    }
    free(pump);
    end_and_close(c, NULL);
}

/* Whether the next bytes, or some, may go another time or another way: through libuv, which needs no splice into a socket. */
static bool may_wait(int number)
{
    return number == EAGAIN || number == EWOULDBLOCK || number == EINVAL || number == ENOSYS;
}

/* What the socket takes of the next bytes; as a system call. */
static ssize_t send_some(int socket, const struct kafka_request *request)
{
    const struct kafka_stream *s = &request->stream;
    size_t left = left_in_memory(request);
    bool has_pieces = s->piece < request->piece_count;
    if (left > 0)
        return send(socket, request->out.data + s->at, left,
                    MSG_DONTWAIT | MSG_NOSIGNAL | (has_pieces ? MSG_MORE : 0));
    const struct kafka_piece *piece = &request->pieces[s->piece];
    bool is_last = s->piece + 1 == request->piece_count && s->at == request->out.size;
    return splice(piece->pipe.read_fd, NULL, socket, NULL, piece->size,
                  SPLICE_F_NONBLOCK | (is_last ? 0u : SPLICE_F_MORE));
}

static bool is_over(const struct kafka_request *request)
{
    return request->stream.piece == request->piece_count && left_in_memory(request) == 0;
}

static void finish(struct kafka_connection *c)
{
    end(c);
    c->used_ms = clock_mono_ms();
    kafka_deadlines_sent(c);
    if (c->ends_when_sent)
        kafka_connection_close(c, c->end_reason);
}

/* Sends until it is over, or the socket is full. */
static void send_until_full(struct kafka_connection *c)
{
    uv_os_fd_t socket;
    must(uv_fileno((uv_handle_t *)&c->socket, &socket) == 0);
    while (!is_over(c->sending)) {
        ssize_t sent = send_some(socket, c->sending);
        if (sent > 0) {
            pass(c, c->sending, (size_t)sent);
        } else if (sent < 0 && may_wait(errno)) {
            wait_for_room(c);
            return;
        } else if (sent == 0 || errno != EINTR) {
            end_and_close(c, NULL);
            return;
        }
    }
    finish(c);
}

static void go_on(struct kafka_connection *c)
{
    send_until_full(c);
    if (!c->closing && c->sending == NULL)
        kafka_connection_step(c);
}

bool kafka_stream_begin(struct kafka_connection *c, struct kafka_request *request)
{
    request->stream = (struct kafka_stream){.size = request->out.size + request->pieces_bytes};
    request->state_of_work = REQUEST_BEING_SENT;
    c->sending = request;
    c->out_bytes += request->stream.size;
    kafka_peer_use(c, SHARE_RESPONSES, (int64_t)request->stream.size);
    kafka_deadlines_sent(c);
    send_until_full(c);
    return !c->closing;
}
