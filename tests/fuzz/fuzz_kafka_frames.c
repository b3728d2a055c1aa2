/* fuzz_kafka_frames.c: any bytes of a client, in pieces of any size: the requests that come out are those that somebody who has all of it at once would cut, up to the first that ends the
 * connection or the limit of unanswered ones; nothing is booked that is not there, and all of it is given back.
 *
 * The first byte says how the rest is cut into pieces. There is no socket: the connection's handles are libuv's, and closed by a round of its loop. */
#include "log/kafka/kafka_internal.h"
#include "runtime/base/clock.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static struct kafka_server *server;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    server = calloc(1, sizeof *server);
    must(server != NULL && uv_loop_init(&server->loop) == 0);
    server->budget_bytes = INT64_C(512) << 20;
    server->times = (struct kafka_times){1000, 1000, 1000, 1000, 1000, 1000};
    log_line_mute(true);
    return 0;
}

static struct kafka_connection *connect_one(void)
{
    struct sockaddr_storage address = {.ss_family = AF_INET};
    struct kafka_connection *c = calloc(1, sizeof *c);
    must(c != NULL);
    c->server = server;
    must(uv_tcp_init(&server->loop, &c->socket) == 0 &&
         uv_timer_init(&server->loop, &c->timer) == 0);
    c->handles = 2;
    c->socket.data = c->timer.data = c;
    c->timer_at_ms = INT64_MAX;
    kafka_session_init(&c->session);
    server->connections = c;
    server->connection_count++;
    must(kafka_peer_enter(c, &address));
    return c;
}

/* The next frame of what is left, if it is whole and a request; as kafka_frames.c says it. */
static bool cut(struct bytes *rest, struct bytes *frame)
{
    struct kafka_request *request;
    struct buf copy = {0};
    if (rest->size < 4)
        return false;
    uint32_t size = load_be32(rest->data);
    if (size < FRAME_SMALLEST_BYTES || size > KAFKA_FRAME_BYTES || size > rest->size - 4)
        return false;
    *frame = bytes_of(rest->data + 4, size);
    *rest = bytes_of(frame->data + size, rest->size - 4 - size);
    buf_append_bytes(&copy, *frame);
    int code = kafka_request_create(&copy, &request, NULL);
    if (code == 0)
        kafka_request_free(request);
    buf_deinit(&copy);
    return code == 0;
}

static void compare(const struct kafka_connection *c, struct bytes rest)
{
    struct bytes frame;
    const struct kafka_request *request = c->first;
    int32_t count = 0;
    for (; request != NULL; request = request->next, count++)
        must(cut(&rest, &frame) && bytes_equal(request->frame, frame));
    must(count == c->request_count && count <= CONNECTION_REQUESTS);
    must(count == CONNECTION_REQUESTS || c->waits_for_budget || !cut(&rest, &frame));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct kafka_connection *c = connect_one();
    struct bytes all = bytes_of(data + 1, size - 1);
    for (size_t at = 0, step = data[0]; at < all.size && !c->closing && c->backlog.size == 0;) {
        size_t piece = step == 0 ? all.size : 1 + (step * (at + 7)) % 61;
        piece = piece < all.size - at ? piece : all.size - at;
        kafka_frames_take(c, bytes_of(all.data + at, piece));
        at += piece;
    }
    if (!c->closing) {
        compare(c, all);
        kafka_connection_close(c, NULL);
    }
    uv_run(&server->loop, UV_RUN_DEFAULT);
    must(server->connection_count == 0 && server->used_bytes[SHARE_REQUESTS] == 0);
    return 0;
}
