/* kafka_server.c: the listener, the loop's thread, and its ends.
 *
 * kafka_server_start binds in the caller's thread, so that a port that is taken is an error where it can be told, and then starts the workers and
 * the loop. Everything that other threads want of the loop comes through one wake-up (on_wake): requests that are done, partitions that
 * moved, the wish to stop.
 *
 * A stop closes the listener, reads no more, lets every request that has arrived be answered (parked fetches with what there is), and closes each
 * connection when its last response has left. What is not done after STOP_MS is cut off. The workers end when the loop has ended: a request
 * that one of them still has then goes nowhere, and is freed with its connection. */
#include "log/coordinator.h"
#include "log/kafka/kafka_fetch_session.h"
#include "log/kafka/kafka_internal.h"
#include "log/kafka/kafka_txn.h"
#include "runtime/base/clock.h"
#include "runtime/base/thread.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

enum { DEFAULT_WORKERS = 4, DEFAULT_CONNECTIONS = 10000, LISTEN_BACKLOG = 511, SPARE_FILES = 64 };
#define DEFAULT_MEMORY_BYTES  (INT64_C(512) << 20)
#define SMALLEST_MEMORY_BYTES (INT64_C(128) << 20)

/* ---- what connections need of it ---- */

void kafka_server_complain(struct kafka_server *server, const char *format, ...)
{
    char text[400];
    va_list arguments;
    int64_t second = clock_mono_ms() / 1000;
    if (second != server->complaints_second) {
        if (server->complaints_held_back > 0)
            log_line('W', "kafka: %d more connections were closed", server->complaints_held_back);
        server->complaints_second = second;
        server->complaints = server->complaints_held_back = 0;
    }
    if (++server->complaints > COMPLAINTS_PER_S) {
        server->complaints_held_back++;
        return;
    }
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    log_line('W', "%s", text);
}

/* ---- the loop ---- */

static void take_done(struct kafka_server *server)
{
    pthread_mutex_lock(&server->done_mutex);
    struct kafka_request *list = server->done, *ordered = NULL;
    server->done = NULL;
    pthread_mutex_unlock(&server->done_mutex);
    while (list != NULL) { /* the oldest first */
        struct kafka_request *next = list->queue_next;
        list->queue_next = ordered;
        ordered = list;
        list = next;
    }
    while (ordered != NULL) {
        struct kafka_request *next = ordered->queue_next;
        kafka_connection_took_back(ordered);
        ordered = next;
    }
}

static void take_ready(struct kafka_server *server)
{
    struct kafka_request *list = kafka_park_take_ready(server), *flushed = NULL, *next;
    for (; list != NULL; list = next) {
        next = list->queue_next;
        list->state_of_work = REQUEST_RUNS; /* all of them, before one ends its connection */
        if (list->park.is_flush) {
            list->queue_next = flushed;
            flushed = list;
        } else {
            kafka_connection_run_again(list);
        }
    }
    for (; flushed != NULL; flushed = next) {
        next = flushed->queue_next;
        kafka_connection_answer_flushed(flushed);
    }
}

/* Each connection goes on with what it can: everything comes to its end. */
static void step_all(struct kafka_server *server)
{
    struct kafka_connection *next;
    for (struct kafka_connection *c = server->connections; c != NULL; c = next) {
        next = c->next;
        kafka_connection_step(c);
    }
}

static void on_stop_time(uv_timer_t *timer)
{
    struct kafka_server *server = timer->data;
    struct kafka_connection *next;
    for (struct kafka_connection *c = server->connections; c != NULL; c = next) {
        next = c->next;
        kafka_connection_close(c, NULL);
    }
}

static void begin_stop(struct kafka_server *server)
{
    server->stopping = true;
    uv_close((uv_handle_t *)&server->listener, NULL);
    uv_timer_start(&server->stop_timer, on_stop_time, STOP_MS, 0);
    for (struct kafka_connection *c = server->connections; c != NULL; c = c->next)
        kafka_connection_answer_parked(c);
    step_all(server);
}

/* In the caller's or the loop's thread: the handles that there are. */
static void close_handles(struct kafka_server *server)
{
    uv_handle_t *const handles[] = {
        (uv_handle_t *)&server->listener,    (uv_handle_t *)&server->stop_timer,
        (uv_handle_t *)&server->group_timer, (uv_handle_t *)&server->hangup,
        (uv_handle_t *)&server->wake,
    };
    for (size_t i = 0; i < sizeof handles / sizeof *handles; i++)
        if (handles[i]->type != UV_UNKNOWN_HANDLE && !uv_is_closing(handles[i]))
            uv_close(handles[i], NULL);
}

static void end_when_empty(struct kafka_server *server)
{
    if (!server->stopping || server->connection_count > 0 ||
        uv_is_closing((uv_handle_t *)&server->wake))
        return;
    close_handles(server);
}

/* Members whose time is over leave, and generations begin, by this clock. */
static void on_group_time(uv_timer_t *timer)
{
    struct kafka_server *server = timer->data;
    struct coordinator *coordinator = log_coordinator(server->log);
    int64_t next_ms = coordinator_tick(coordinator);
    if (next_ms == INT64_MAX || server->stopping) {
        uv_timer_stop(timer);
        return;
    }
    int64_t left_ms = next_ms - coordinator_now(coordinator);
    uv_update_time(&server->loop);
    uv_timer_start(timer, on_group_time, left_ms > 0 ? (uint64_t)left_ms : 0, 0);
}

static void on_wake(uv_async_t *wake)
{
    struct kafka_server *server = wake->data;
    if (atomic_load(&server->stop_asked) && !server->stopping)
        begin_stop(server);
    if (atomic_exchange(&server->groups_moved, false) && !server->stopping)
        on_group_time(&server->group_timer);
    take_done(server);
    kafka_transport_take_back(server);
    take_ready(server);
    kafka_peers_step(server);
}

/* SIGHUP, which would end a process that says nothing of it. What cannot be used leaves everything as it was. */
static void on_hangup(uv_signal_t *hangup, int number)
{
    struct kafka_server *server = hangup->data;
    struct diag diag = {0};
    (void)number;
    if (server->tls == NULL)
        log_line('W', "kafka: SIGHUP, and there is nothing to read again: this server has no "
                      "certificate; it goes on");
    else if (kafka_tls_reload(server->tls, &server->options.tls, &diag) < 0)
        log_line('E', "kafka: %s; new connections get the certificate that was there before",
                 diag.text);
    else
        log_line('W', "kafka: new connections get the certificate that is in %s now",
                 server->options.tls.certificate);
}

static void *loop_main(void *context)
{
    struct kafka_server *server = context;
    while (uv_run(&server->loop, UV_RUN_ONCE) != 0)
        end_when_empty(server);
    return NULL;
}

static void on_connection(uv_stream_t *listener, int status)
{
    if (status == 0)
        kafka_accept(listener->data);
    else
        kafka_accept_failed(listener->data, status);
}

/* ---- the beginning ---- */

static int uv_failed(struct diag *diag, const struct kafka_server *server, int error)
{
    int code = error == UV_EADDRINUSE      ? ERR_BUSY
               : error == UV_ENOMEM        ? ERR_NOMEM
               : error == UV_EADDRNOTAVAIL ? ERR_INVALID
                                           : ERR_IO;
    return diag_set(diag, code, "cannot listen on %s port %d: %s", server->host,
                    server->options.port, uv_strerror(error));
}

static int listen_there(struct kafka_server *server, struct diag *diag)
{
    struct sockaddr_storage address = {0};
    int size = sizeof address;
    if (uv_ip4_addr(server->host, server->options.port, (struct sockaddr_in *)&address) < 0 &&
        uv_ip6_addr(server->host, server->options.port, (struct sockaddr_in6 *)&address) < 0)
        return diag_set(diag, ERR_INVALID, "'%s' is not a numeric address such as 127.0.0.1",
                        server->host);
    int error = uv_tcp_bind(&server->listener, (struct sockaddr *)&address, 0);
    if (error == 0)
        error = uv_listen((uv_stream_t *)&server->listener, LISTEN_BACKLOG, on_connection);
    if (error == 0)
        error = uv_tcp_getsockname(&server->listener, (struct sockaddr *)&address, &size);
    if (error < 0)
        return uv_failed(diag, server, error);
    server->port =
        ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                            : ((struct sockaddr_in *)&address)->sin_port);
    return 0;
}

/* Connections have a quarter of the descriptors that the process may have, the log the others (log/README.md). Who asks for more connections may have five eighths,
 * and the log fewer. */
static int32_t find_connection_limit(struct log *log, const struct kafka_server_options *options)
{
    struct rlimit limit;
    int64_t most = options->connections > 0 ? options->connections : DEFAULT_CONNECTIONS;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
        int64_t all = (int64_t)limit.rlim_cur,
                files = options->connections > 0 ? all / 8 * 5 : all / 4;
        files = files > 2 * SPARE_FILES ? files - SPARE_FILES : files / 2;
        log_leave_files(log, (files < most ? files : most) + 2 * SPARE_FILES);
        if (files < options->connections)
            log_line('W',
                     "kafka: %" PRId64 " connections are taken at most, not %d: a process may have "
                     "%" PRId64
                     " open files here, of which connections get five eighths (ulimit -n)",
                     files, options->connections, (int64_t)limit.rlim_cur);
        most = files < most ? files : most;
    }
    return (int32_t)most;
}

static void set_limits(struct kafka_server *server, const struct kafka_server_options *options)
{
    int32_t all = find_connection_limit(server->log, options);
    int64_t handshake_ms = options->handshake_ms, request_ms = options->request_ms;
    server->connection_limit = all;
    server->connection_limit_per_address =
        options->connections_per_address > 0 ? options->connections_per_address : all - all / 8;
    server->times = (struct kafka_times){
        .tls_handshake = handshake_ms > 0 ? handshake_ms : TLS_HANDSHAKE_MS,
        .first_request = handshake_ms > 0 ? handshake_ms : FIRST_REQUEST_MS,
        .authentication = handshake_ms > 0 ? handshake_ms : AUTHENTICATION_MS,
        .frame = request_ms > 0 ? request_ms : FRAME_MS,
        .write = request_ms > 0 ? request_ms : WRITE_MS,
        .idle = options->idle_ms > 0 ? options->idle_ms : IDLE_MS,
    };
    server->budget_bytes = options->memory_bytes > 0 ? options->memory_bytes : DEFAULT_MEMORY_BYTES;
    if (server->budget_bytes < SMALLEST_MEMORY_BYTES)
        server->budget_bytes = SMALLEST_MEMORY_BYTES;
}

static void set_options(struct kafka_server *server, const struct kafka_server_options *options)
{
    server->options = *options;
    snprintf(server->host, sizeof server->host, "%s",
             options->host != NULL ? options->host : "127.0.0.1");
    snprintf(server->advertised_host, sizeof server->advertised_host, "%s",
             options->advertised_host != NULL ? options->advertised_host : "");
    server->options.host = server->host;
    server->options.advertised_host = server->advertised_host;
    set_limits(server, options);
}

/* The loop's handles, by a caller that has no loop thread. */
static void close_loop(struct kafka_server *server)
{
    close_handles(server);
    uv_run(&server->loop, UV_RUN_DEFAULT);
    uv_loop_close(&server->loop);
}

static int open_loop(struct kafka_server *server, struct diag *diag)
{
    int error = uv_loop_init(&server->loop);
    if (error < 0)
        return uv_failed(diag, server, error);
    must(uv_tcp_init(&server->loop, &server->listener) == 0);
    must(uv_timer_init(&server->loop, &server->stop_timer) == 0);
    must(uv_timer_init(&server->loop, &server->group_timer) == 0);
    error = uv_async_init(&server->loop, &server->wake, on_wake);
    if (error == 0)
        error = uv_signal_init(&server->loop, &server->hangup);
    if (error == 0)
        error = uv_signal_start(&server->hangup, on_hangup, SIGHUP);
    server->listener.data = server->stop_timer.data = server->wake.data = server;
    server->group_timer.data = server->hangup.data = server;
    if (error == 0)
        return 0;
    close_loop(server);
    return uv_failed(diag, server, error);
}

static void free_server(struct kafka_server *server)
{
    if (server->txns != NULL)
        kafka_txns_destroy(server->txns);
    if (server->fetch_sessions != NULL)
        kafka_fetch_sessions_destroy(server->fetch_sessions);
    pthread_mutex_destroy(&server->done_mutex);
    kafka_pipes_deinit(&server->pipes);
    buf_deinit(&server->plain);
    kafka_spare_deinit(server);
    kafka_tls_destroy(server->tls);
    free(server);
}

int kafka_server_start(struct log *log, const struct kafka_server_options *options,
                       struct kafka_server **server, struct diag *diag)
{
    struct kafka_server *made = calloc(1, sizeof *made);
    *server = NULL;
    if (made == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for a server");
    made->log = log;
    set_options(made, options);
    pthread_mutex_init(&made->done_mutex, NULL);
    kafka_pipes_init(&made->pipes);
    made->txns = kafka_txns_create(log);
    made->fetch_sessions = kafka_fetch_sessions_create();
    int rc = made->txns != NULL && made->fetch_sessions != NULL
                 ? 0
                 : diag_set(diag, ERR_NOMEM, "no memory for a server");
    if (rc == 0 && options->tls.certificate != NULL)
        rc = kafka_tls_create(&options->tls, &made->tls, diag);
    if (rc == 0)
        rc = open_loop(made, diag);
    if (rc < 0)
        goto out;
    rc = listen_there(made, diag);
    if (rc == 0)
        rc = kafka_workers_start(made, options->workers > 0 ? options->workers : DEFAULT_WORKERS,
                                 diag);
    if (rc == 0 && thread_start(&made->thread, loop_main, made) != 0)
        rc = diag_set(diag, ERR_NOMEM, "cannot start a thread for connections");
    if (rc < 0) {
        kafka_workers_stop(&made->workers);
        close_loop(made);
    }
out:
    if (rc < 0) {
        free_server(made);
        return rc;
    }
    *server = made;
    return 0;
}

int32_t kafka_server_port(const struct kafka_server *server)
{
    return server->port;
}

void kafka_server_stop(struct kafka_server *server)
{
    atomic_store(&server->stop_asked, true);
    uv_async_send(&server->wake);
    pthread_join(server->thread, NULL);
    kafka_workers_stop(&server->workers);
    kafka_park_deinit(server);
    kafka_txns_destroy(server->txns); /* waits for those that may still be about to wake the loop */
    server->txns = NULL;
    must(uv_loop_close(&server->loop) == 0);
    free_server(server);
}
