/* kafka_accept.c: who is let in: a connection begins, or is closed because there are too many. Loop thread. */
#include "log/kafka/kafka_internal.h"
#include "runtime/base/clock.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    NO_DESCRIPTOR_NS = 10000000, /* between two attempts when there is nothing to give up */
    KEEPALIVE_S = 600            /* of silence, then the system asks whether the client is there */
};

/* A socket for both kinds of addresses (--kafka [::]) says ::ffff:10.0.0.7 of a client that came from 10.0.0.7. */
static bool is_mapped(const struct sockaddr_storage *address)
{
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)(const void *)address;
    return address->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&six->sin6_addr);
}

static void name_address(const struct sockaddr_storage *address, char *host, size_t size,
                         int32_t *port)
{
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)(const void *)address;
    if (is_mapped(address)) {
        uv_inet_ntop(AF_INET, six->sin6_addr.s6_addr + 12, host, size);
        *port = ntohs(six->sin6_port);
    } else if (address->ss_family == AF_INET6) {
        uv_ip6_name(six, host, size);
        *port = ntohs(six->sin6_port);
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
    snprintf(c->peer_name, sizeof c->peer_name, "%s:%d", c->peer_host, port);
    return kafka_peer_enter(c, &peer);
}

/* NULL, or why it is one too many. */
static const char *one_too_many(const struct kafka_connection *c)
{
    const struct kafka_server *server = c->server;
    if (server->connection_count > server->connection_limit)
        return "there are as many connections as there may be";
    return c->peer->connection_count > server->connection_limit_per_address
               ? "its address has as many connections as it may have"
               : NULL;
}

/* Without memory for a connection: libuv offers no further one before this one is taken, so it is taken and closed, in memory that is
 * always there. */
static void on_rejected(uv_handle_t *handle)
{
    struct kafka_server *server = handle->data;
    server->rejects = false;
    if (server->reject_waits && !server->stopping) {
        server->reject_waits = false;
        kafka_accept(server);
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

/* There is no descriptor for it, or no memory in the system. libuv keeps a descriptor back for this, with which it takes such a connection and closes it; when that is lost it asks
 * again and again, and nobody else is served. So one of ours makes room: the newest, which is the likeliest to be one of too many. */
void kafka_accept_failed(struct kafka_server *server, int error)
{
    kafka_server_complain(server, "kafka: cannot take a connection: %s", uv_strerror(error));
    struct kafka_connection *c = server->connections;
    while (c != NULL && c->closing)
        c = c->next;
    if (c != NULL)
        kafka_connection_close(c, "its descriptor is needed: the process has as many open files as "
                                  "it may have (ulimit -n)");
    else
        clock_sleep_until(clock_mono_ns() + NO_DESCRIPTOR_NS);
}

void kafka_accept(struct kafka_server *server)
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
    uv_tcp_keepalive(&c->socket, 1, KEEPALIVE_S);
    kafka_session_init(&c->session);
    c->session.lifetime_ms = c->server->options.session_lifetime_ms;
    c->session.may_say_password = c->server->tls != NULL || strncmp(c->peer_host, "127.", 4) == 0 ||
                                  strcmp(c->peer_host, "::1") == 0;
    c->session_expires_ms = INT64_MAX;
    kafka_connection_step(c);
}
