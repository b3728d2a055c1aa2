/* http_server.c: sockets: what is listened on, who may ask, how much and for how long (see http.h).
 *
 * libmicrohttpd reads and writes HTTP, with a thread for each connection, so that a question that takes seconds keeps nobody else
 * waiting. What it does not know is decided here:
 *
 *   who        an address beyond loopback is refused unless it was allowed by name. A page in somebody's browser is on this machine, too: a
 *              Host that is neither a number nor localhost may be a name that its owner has pointed here ("DNS rebinding"), and is 403; so
 *              is what changes anything (not a GET) with an Origin that is not this server. Where there are users, http_user.c asks for one.
 *   how much   HTTP_CONNECTIONS at once, HTTP_CONNECTIONS_PER_ADDRESS of one address, HTTP_HEAD_BYTES of a head, HTTP_BODY_BYTES of a body.
 *   how long   a request has HTTP_REQUEST_MS from the connection's start, or from the last answer, to its last byte, and its answer
 *              HTTP_SEND_MS to be taken. The library's own timeout counts from the last byte alone: a byte every few seconds would hold a
 *              thread for ever. So a thread of ours looks at all connections each second and shuts down those that are over.
 *
 * The target is taken as it was sent (the library's own decoding takes anything) and parsed by http_target.c. */
#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/base/thread.h"
#include "runtime/http/http_internal.h"
#include "runtime/weir_view.h"

enum { LOOK_MS = 1000, HTTP_SEND_MS = 60000, BACKLOG = 128 };

/* One connection; in the list from its start to its end. */
struct link {
    struct link *next, **back;
    int fd;
    int64_t until_ns; /* INT64_MAX: its request is being answered */
};

struct http_listener {
    struct MHD_Daemon *daemon;
    pthread_t watcher;
    bool has_watcher;
    pthread_mutex_t mutex; /* of what is below; taken alone */
    pthread_cond_t ending;
    bool is_ending;
    struct link *links;
};

/* One request. */
struct call {
    struct http_exchange exchange;
    int target_code; /* of parsing it */
    struct diag diag;
    bool has_begun, is_too_large;
};

/* ---- connections ---- */

static void set_deadline(struct http_listener *listener, struct link *link, int64_t until_ns)
{
    if (link == NULL)
        return;
    pthread_mutex_lock(&listener->mutex);
    link->until_ns = until_ns;
    pthread_mutex_unlock(&listener->mutex);
}

static int64_t in_ms(int64_t ms)
{
    return clock_mono_ns() + ms * 1000000;
}

static struct link *link_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info != NULL ? info->socket_context : NULL;
}

static void on_connection(void *context, struct MHD_Connection *connection, void **link_at,
                          enum MHD_ConnectionNotificationCode code)
{
    struct http_listener *listener = ((struct http *)context)->listener;
    struct link *link = *link_at;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        link = *link_at = calloc(1, sizeof *link);
        if (link == NULL || info == NULL)
            return; /* it is served without a deadline of ours */
        link->fd = info->connect_fd;
        link->until_ns = in_ms(HTTP_REQUEST_MS);
    }
    if (link == NULL)
        return;
    pthread_mutex_lock(&listener->mutex);
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        link->next = listener->links;
        link->back = &listener->links;
        if (link->next != NULL)
            link->next->back = &link->next;
        listener->links = link;
    } else if (link->back != NULL) {
        *link->back = link->next;
        if (link->next != NULL)
            link->next->back = link->back;
    }
    pthread_mutex_unlock(&listener->mutex);
    if (code == MHD_CONNECTION_NOTIFY_CLOSED)
        free(link);
}

/* The descriptor is open for as long as the link is in the list: the library tells of the end before it closes it. */
static void *watch(void *context)
{
    struct http_listener *listener = context;
    pthread_mutex_lock(&listener->mutex);
    while (!listener->is_ending) {
        clock_cond_wait(&listener->ending, &listener->mutex, in_ms(LOOK_MS));
        int64_t now_ns = clock_mono_ns();
        for (struct link *link = listener->links; link != NULL; link = link->next)
            if (link->until_ns < now_ns)
                shutdown(link->fd, SHUT_RDWR);
    }
    pthread_mutex_unlock(&listener->mutex);
    return NULL;
}

/* ---- who may ask ---- */

static bool is_number(const char *host)
{
    unsigned char address[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

/* "localhost:9644", "127.0.0.1", "[::1]:9644" without the port. false: it is none of these forms. */
static bool take_host(const char *text, char host[64])
{
    size_t size = text[0] == '[' ? strcspn(text, "]") : strcspn(text, ":");
    const char *rest = text + size;
    if (text[0] == '[') {
        if (*rest != ']')
            return false;
        text++;
        size--;
        rest++;
    }
    if (size == 0 || size > 63 || (*rest != '\0' && *rest != ':') ||
        (*rest == ':' && strspn(rest + 1, "0123456789") != strlen(rest + 1)))
        return false;
    memcpy(host, text, size);
    host[size] = '\0';
    return true;
}

static bool host_is_ours(const struct http *http, const char *header)
{
    char host[64];
    if (header == NULL || http->is_remote_allowed) /* no browser sends none; names are expected */
        return true;
    return take_host(header, host) && (is_number(host) || strcasecmp(host, "localhost") == 0 ||
                                       strcasecmp(host, http->host) == 0);
}

static bool origin_is_ours(const char *origin, const char *host)
{
    return origin == NULL || (host != NULL && strncmp(origin, "http://", 7) == 0 &&
                              strcasecmp(origin + 7, host) == 0);
}

static bool may_ask(struct call *call, struct MHD_Connection *connection, const char *method)
{
    const char *host = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Host");
    const char *origin = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Origin");
    if (!host_is_ours(call->exchange.http, host)) {
        http_fail(&call->exchange, 403, "ask by a numeric address or localhost",
                  "the Host header names another server");
        return false;
    }
    bool only_reads = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    if (!only_reads && !origin_is_ours(origin, host)) {
        http_fail(&call->exchange, 403, NULL, "a page of another server may not %.20s here",
                  method);
        return false;
    }
    struct http_exchange *exchange = &call->exchange;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    if (info != NULL)
        http_name_peer(exchange, info->client_addr);
    exchange->accept = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Accept");
    exchange->route =
        http_route_find(method, &exchange->target, exchange->parameters, exchange->allow);
    return http_user_may_ask(
        exchange, MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Authorization"));
}

/* ---- requests ---- */

static void call_free(struct call *call)
{
    http_leave_room(&call->exchange);
    http_target_deinit(&call->exchange.target);
    buf_deinit(&call->exchange.body);
    buf_deinit(&call->exchange.out);
    free(call);
}

/* The first that is heard of a request; what it returns is the request's context. */
static void *on_target(void *context, const char *target, struct MHD_Connection *connection)
{
    (void)connection;
    struct call *call = calloc(1, sizeof *call);
    if (call == NULL)
        return NULL;
    struct http_exchange *exchange = &call->exchange;
    exchange->http = context;
    exchange->socket = -1;
    exchange->json = (struct json){.text = &exchange->out};
    buf_init(&exchange->body, HTTP_BODY_BYTES);
    call->target_code = http_target_parse(target, &exchange->target, &call->diag);
    return call;
}

static void on_completed(void *context, struct MHD_Connection *connection, void **call_at,
                         enum MHD_RequestTerminationCode code)
{
    (void)code;
    struct call *call = *call_at;
    if (call != NULL)
        call_free(call);
    *call_at = NULL;
    set_deadline(((struct http *)context)->listener, link_of(connection), in_ms(HTTP_REQUEST_MS));
}

static enum MHD_Result send_answer(struct call *call, struct MHD_Connection *connection)
{
    struct http_exchange *exchange = &call->exchange;
    struct MHD_Response *response = MHD_create_response_from_buffer(
        exchange->out.size, exchange->out.data, MHD_RESPMEM_MUST_FREE);
    if (response == NULL)
        return MHD_NO;
    exchange->out = (struct buf){.data = NULL}; /* the response's now */
    MHD_add_response_header(response, "Content-Type", exchange->content_type);
    MHD_add_response_header(response, "Cache-Control", "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (exchange->status == 401)
        MHD_add_response_header(response, "WWW-Authenticate",
                                "Basic realm=\"weir\", charset=\"UTF-8\"");
    if (exchange->status == 503)
        MHD_add_response_header(response, "Retry-After", "1");
    if (exchange->status == 405)
        MHD_add_response_header(response, "Allow", exchange->allow);
    set_deadline(exchange->http->listener, link_of(connection), in_ms(HTTP_SEND_MS));
    enum MHD_Result result =
        MHD_queue_response(connection, (unsigned int)exchange->status, response);
    MHD_destroy_response(response);
    return result;
}

/* What can be refused before a body is read. */
static bool is_refused(struct call *call, struct MHD_Connection *connection, const char *method)
{
    struct http_exchange *exchange = &call->exchange;
    const char *length = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Length");
    if (call->target_code < 0) {
        int status = call->target_code == ERR_TOO_LARGE ? 414
                     : call->target_code == ERR_NOMEM   ? 503
                                                        : 400;
        http_fail(exchange, status, NULL, "%s", call->diag.text);
        return true;
    }
    if (!may_ask(call, connection, method))
        return true;
    if (length != NULL && (strlen(length) > 9 || atoi(length) > HTTP_BODY_BYTES)) {
        http_fail(exchange, 413, NULL, "a request's body has at most %d bytes", HTTP_BODY_BYTES);
        return true;
    }
    return false;
}

/* Called once when the head is there, then for each piece of the body, then once more. */
static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *data_size, void **call_at)
{
    (void)url;
    (void)version;
    struct http *http = context;
    struct call *call = *call_at;
    if (call == NULL)
        return MHD_NO;
    struct http_exchange *exchange = &call->exchange;
    if (!call->has_begun) {
        call->has_begun = true;
        return is_refused(call, connection, method) ? send_answer(call, connection) : MHD_YES;
    }
    if (*data_size > 0) {
        if (exchange->body.size + *data_size > HTTP_BODY_BYTES)
            call->is_too_large = true; /* the rest is read and dropped, as long as it has time */
        else
            buf_append(&exchange->body, data, *data_size);
        *data_size = 0;
        return MHD_YES;
    }
    struct link *link = link_of(connection);
    exchange->socket = link != NULL ? link->fd : -1;
    set_deadline(http->listener, link, INT64_MAX);
    MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, 0U);
    if (call->is_too_large)
        http_fail(exchange, 413, NULL, "a request's body has at most %d bytes", HTTP_BODY_BYTES);
    else if (!buf_ok(&exchange->body))
        http_fail(exchange, 503, NULL, "no memory for a request");
    else
        http_answer(exchange, method);
    MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, (unsigned int)HTTP_IDLE_S);
    return send_answer(call, connection);
}

/* ---- start and stop ---- */

static int make_address(const struct http_options *options, struct sockaddr_storage *address,
                        socklen_t *size, struct diag *diag)
{
    const char *host = options->host != NULL ? options->host : "127.0.0.1";
    struct sockaddr_in *v4 = (struct sockaddr_in *)address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
    if (strcasecmp(host, "localhost") == 0)
        host = "127.0.0.1";
    memset(address, 0, sizeof *address);
    if (options->port < 0 || options->port > 65535)
        return diag_set(diag, ERR_INVALID, "%d is no port", (int)options->port);
    bool is_loopback;
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)options->port);
        is_loopback = ntohl(v4->sin_addr.s_addr) >> 24 == 127;
        *size = sizeof *v4;
    } else if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)options->port);
        is_loopback = IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
        *size = sizeof *v6;
    } else {
        return diag_set(diag, ERR_INVALID, "%.60s is no numeric address", host);
    }
    if (!is_loopback && !options->is_remote_allowed)
        return diag_set(diag, ERR_INVALID,
                        "%.60s can be reached from other machines, and HTTP has no authentication",
                        host);
    return 0;
}

static int listen_on(const struct http_options *options, struct http *http, int *fd,
                     struct diag *diag)
{
    struct sockaddr_storage address;
    socklen_t size;
    int one = 1;
    TRY(make_address(options, &address, &size, diag));
    *fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*fd < 0)
        return diag_errno(diag, "cannot make a socket for HTTP");
    setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(*fd, (struct sockaddr *)&address, size) != 0 || listen(*fd, BACKLOG) != 0) {
        int code = errno == EADDRINUSE ? ERR_BUSY : errno == EADDRNOTAVAIL ? ERR_INVALID : ERR_IO;
        return diag_set(diag, code, "cannot listen on %.60s port %d: %s", http->host,
                        (int)options->port, strerror(errno));
    }
    if (getsockname(*fd, (struct sockaddr *)&address, &size) != 0)
        return diag_errno(diag, "cannot tell the port of a socket");
    http->port = ntohs(address.ss_family == AF_INET ? ((struct sockaddr_in *)&address)->sin_port
                                                    : ((struct sockaddr_in6 *)&address)->sin6_port);
    return 0;
}

/* Its threads inherit what is blocked. */
static int start_daemon(struct http *http, int fd, struct diag *diag)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    http->listener->daemon = MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_USE_POLL, 0, NULL,
        NULL, on_request, http, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned int)HTTP_CONNECTIONS, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        (unsigned int)HTTP_CONNECTIONS_PER_ADDRESS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)HTTP_HEAD_BYTES, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int)HTTP_IDLE_S,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_URI_LOG_CALLBACK, on_target, http,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, http, MHD_OPTION_NOTIFY_CONNECTION,
        on_connection, http, MHD_OPTION_END);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return http->listener->daemon != NULL
               ? 0
               : diag_set(diag, ERR_NOMEM, "the HTTP server cannot start its threads");
}

int http_start(const struct http_options *options, struct http **result, struct diag *diag)
{
    struct http *http = calloc(1, sizeof *http);
    struct http_listener *listener = calloc(1, sizeof *listener);
    int fd = -1;
    *result = NULL;
    if (http == NULL || listener == NULL) {
        free(http);
        free(listener);
        return diag_set(diag, ERR_NOMEM, "no memory for the HTTP server");
    }
    http->log = options->log;
    http->app = options->app;
    http->metrics = options->metrics;
    http->metrics_context = options->metrics_context;
    http->is_remote_allowed = options->is_remote_allowed;
    http->answer_limit_bytes = options->answer_limit_bytes > 0 ? options->answer_limit_bytes
                                                               : (int64_t)HTTP_ANSWERS_MIB << 20;
    http->may_enter = options->may_enter;
    http->may = options->may;
    http->may_enter_context = options->may_enter_context;
    http->listener = listener;
    snprintf(http->host, sizeof http->host, "%s",
             options->host != NULL ? options->host : "127.0.0.1");
    pthread_mutex_init(&http->rates_mutex, NULL);
    pthread_mutex_init(&http->room_mutex, NULL);
    pthread_mutex_init(&listener->mutex, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&listener->ending, &monotonic);
    pthread_cond_init(&http->room_left, &monotonic);
    pthread_condattr_destroy(&monotonic);
    /* Who asks before the app runs must not keep it from running. */
    int rc = http->app != NULL ? shared_views_begin(http->log, http->app, diag) : 0;
    if (rc == 0)
        rc = listen_on(options, http, &fd, diag);
    if (rc == 0 && thread_start(&listener->watcher, watch, listener) != 0)
        rc = diag_set(diag, ERR_NOMEM, "the HTTP server cannot start its threads");
    listener->has_watcher = rc == 0;
    if (rc == 0)
        rc = start_daemon(http, fd, diag);
    if (rc < 0) {
        if (fd >= 0)
            close(fd);
        http_stop(http);
        return rc;
    }
    *result = http;
    return 0;
}

int32_t http_port(const struct http *http)
{
    return http->port;
}

void http_stop(struct http *http)
{
    if (http == NULL)
        return;
    struct http_listener *listener = http->listener;
    atomic_store(&http->is_stopping, true);
    if (listener->daemon != NULL)
        MHD_stop_daemon(listener->daemon); /* closes the socket, too */
    pthread_mutex_lock(&listener->mutex);
    listener->is_ending = true;
    pthread_cond_signal(&listener->ending);
    pthread_mutex_unlock(&listener->mutex);
    if (listener->has_watcher)
        pthread_join(listener->watcher, NULL);
    if (http->app != NULL)
        shared_views_end(http->log, http->app);
    pthread_cond_destroy(&listener->ending);
    pthread_mutex_destroy(&listener->mutex);
    pthread_mutex_destroy(&http->rates_mutex);
    pthread_mutex_destroy(&http->room_mutex);
    pthread_cond_destroy(&http->room_left);
    free(listener);
    free(http);
}
