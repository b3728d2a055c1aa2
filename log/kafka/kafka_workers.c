/* kafka_workers.c: the threads that run handlers, and how requests come back from them.
 *
 * A queue, a mutex and a condition: a request is pushed by the loop, run by the next free thread and put on the list of what is done; the loop is
 * woken once however many come back together. Why not a thread per connection, and why the loop does not call the log itself:
 * docs/decisions/wire-loop-and-workers.md.
 *
 * InitProducerId waits for the end of what an older producer left open, which is a flush, or longer on a full disk; the log opens producers one after
 * the other. A topic may have thousands of partitions to make or to delete, and each is a directory. So these have queues and threads of their own (kafka_api.lane): however
 * many there are, the workers answer everybody else. What strangers may ask for is in kafka_strangers.c. Nobody hears the answer when the connection has gone
 * by then, and it is not begun.
 *
 * KAFKA_CALLBACK needs care. The one that calls back may do so while the handler is still running, in the same thread or another, and may never do so
 * because the connection has gone. So the request has two holds: the handler's and the callback's. Who lets go of the last gives it back to the
 * loop. The callback's hold is let go of by whoever sets `called` first: the callback, or the one who forgets it. And a handler that returns
 * when the connection has just been closed, too early for the loop to have seen anything to forget, forgets it itself: each of the two
 * writes its own flag before it reads the other's. */
#include "log/kafka/kafka_internal.h"
#include "log/kafka/kafka_txn.h"
#include "runtime/base/clock.h"
#include "runtime/base/thread.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

/* A list by queue_next, the newest first. */
static void take_back_list(struct kafka_server *server, struct kafka_request *newest,
                           struct kafka_request *oldest)
{
    pthread_mutex_lock(&server->done_mutex);
    bool was_empty = server->done == NULL;
    oldest->queue_next = server->done;
    server->done = newest;
    pthread_mutex_unlock(&server->done_mutex);
    if (was_empty)
        uv_async_send(&server->wake);
}

void kafka_server_take_back(struct kafka_server *server, struct kafka_request *request)
{
    take_back_list(server, request, request);
}

static void let_go(struct kafka_request *request)
{
    if (atomic_fetch_sub(&request->holds, 1) == 1)
        kafka_server_take_back(request->connection->server, request);
}

bool kafka_request_take_call(struct kafka_request *request)
{
    return !atomic_exchange(&request->called, true);
}

void kafka_request_called(struct kafka_request *request)
{
    request->result = KAFKA_ANSWER;
    kafka_request_complete(request);
    let_go(request);
}

/* The connection is gone: the callback will not be needed, and must not come later. */
static void forget(struct kafka_request *request)
{
    request->forget(request);
    if (kafka_request_take_call(request)) {
        request->result = KAFKA_SILENT;
        let_go(request);
    }
}

void kafka_request_abandon(struct kafka_request *request)
{
    atomic_store(&request->abandoned, true);
    if (atomic_load(&request->is_parked))
        forget(request);
}

/* True: it is answered elsewhere. */
static bool run_here(struct kafka_server *server, struct kafka_request *request,
                     struct buf *scratch)
{
    request->scratch = scratch;
    atomic_store(&request->holds, 2);
    request->result = KAFKA_CALLBACK;
    atomic_store(&request->is_parked, false);
    atomic_store(&request->called, false);
    bool elsewhere = kafka_request_run(request);
    if (request->api->moves_groups && !atomic_exchange(&server->groups_moved, true))
        uv_async_send(&server->wake);
    return elsewhere;
}

/* Those behind it may be begun before it is answered, as the loop would do. */
static bool lets_others_begin(const struct kafka_request *request)
{
    return request->result == KAFKA_ANSWER || request->result == KAFKA_SILENT ||
           (request->result == KAFKA_PARK && request->park.lets_pass);
}

/* One after the other, and all go back together: what it costs to wake a worker and the loop is spent once for them. */
static void run_chain(struct kafka_server *server, struct kafka_request *request,
                      struct buf *scratch)
{
    struct kafka_request *oldest = request, *list = NULL, *next;
    bool goes_on = true;
    for (; request != NULL; request = next) {
        next = request->chain;
        request->chain = NULL;
        request->was_left = !goes_on;
        if (goes_on) {
            must(!run_here(server, request, scratch));
            goes_on = lets_others_begin(request);
        }
        request->queue_next = list;
        list = request;
    }
    take_back_list(server, list, oldest);
}

static void run(struct kafka_server *server, struct kafka_request *request, struct buf *scratch)
{
    if (request->chain != NULL) {
        run_chain(server, request, scratch);
        return;
    }
    if (!run_here(server, request, scratch)) {
        kafka_server_take_back(server, request);
        return;
    }
    atomic_store(&request->is_parked, true);
    if (atomic_load(&request->abandoned))
        forget(request);
    let_go(request);
}

/* Transactional ids that nobody uses: only the thread that opens them closes them, a few at a time, since each may be a write to meta and requests go
 * first. workers->mutex held, not meanwhile. */
static void tend(struct kafka_workers *workers, struct kafka_lane *lane)
{
    pthread_mutex_unlock(&workers->mutex);
    bool is_all = kafka_txns_sweep(lane->server->txns);
    pthread_mutex_lock(&workers->mutex);
    lane->tends_at_ns = clock_mono_ns() + (is_all ? TEND_MS * INT64_C(1000000) : 0);
}

/* Waits for one. NULL: the server stops, and all of them are done. workers->mutex held. */
static struct kafka_request *take(struct kafka_workers *workers, struct kafka_lane *lane)
{
    while (lane->first == NULL && !workers->stopping)
        if (clock_cond_wait(&lane->work, &workers->mutex, lane->tends_at_ns) != 0)
            tend(workers, lane);
    struct kafka_request *request = lane->first;
    if (request == NULL)
        return NULL;
    lane->first = request->queue_next;
    if (lane->first == NULL)
        lane->last = NULL;
    return request;
}

static bool is_dropped(const struct kafka_request *request)
{
    return request->api->lane != KAFKA_QUICK && atomic_load(&request->abandoned);
}

static void run_or_drop(struct kafka_server *server, struct kafka_request *request,
                        struct buf *scratch)
{
    if (is_dropped(request)) {
        request->result = KAFKA_SILENT;
        kafka_server_take_back(server, request);
    } else {
        run(server, request, scratch);
    }
    if (scratch->capacity > SCRATCH_KEEP_BYTES)
        buf_deinit(scratch);
}

static void run_chore(struct kafka_chore *chore, struct buf *scratch)
{
    struct kafka_request *request =
        (struct kafka_request *)(void *)((char *)chore - offsetof(struct kafka_request, chore));
    run_or_drop(request->connection->server, request, scratch);
}

static void *lane_main(void *context)
{
    struct kafka_lane *lane = context;
    struct kafka_workers *workers = &lane->server->workers;
    struct kafka_request *request;
    struct buf scratch = {0};
    pthread_mutex_lock(&workers->mutex);
    while ((request = take(workers, lane)) != NULL) {
        pthread_mutex_unlock(&workers->mutex);
        run_or_drop(lane->server, request, &scratch);
        pthread_mutex_lock(&workers->mutex);
    }
    pthread_mutex_unlock(&workers->mutex);
    buf_deinit(&scratch);
    return NULL;
}

void kafka_workers_push(struct kafka_workers *workers, struct kafka_request *request)
{
    struct kafka_lane *lane = &workers->lanes[request->api->lane];
    if (request->api->lane == KAFKA_STRANGERS) {
        request->chore.peer = request->connection->peer;
        request->chore.run = run_chore;
        kafka_strangers_push(&workers->strangers, &request->chore);
        return;
    }
    request->queue_next = NULL;
    pthread_mutex_lock(&workers->mutex);
    if (lane->last != NULL)
        lane->last->queue_next = request;
    else
        lane->first = request;
    lane->last = request;
    pthread_mutex_unlock(&workers->mutex);
    pthread_cond_signal(&lane->work);
}

static int start_thread(struct kafka_workers *workers, struct kafka_lane *lane, struct diag *diag)
{
    int error = thread_start(&workers->threads[workers->thread_count], lane_main, lane);
    if (error != 0) {
        errno = error;
        return diag_errno(diag, "cannot start a thread for requests");
    }
    workers->thread_count++;
    return 0;
}

int kafka_workers_start(struct kafka_server *server, int32_t count, struct diag *diag)
{
    struct kafka_workers *workers = &server->workers;
    pthread_condattr_t attributes;
    pthread_mutex_init(&workers->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    for (int i = 0; i < KAFKA_LANES; i++) {
        workers->lanes[i].server = server;
        workers->lanes[i].tends_at_ns = INT64_MAX;
        pthread_cond_init(&workers->lanes[i].work, &attributes);
    }
    pthread_condattr_destroy(&attributes);
    workers->lanes[KAFKA_PRODUCERS].tends_at_ns = clock_mono_ns() + TEND_MS * INT64_C(1000000);
    workers->threads = calloc((size_t)count + KAFKA_LANES, sizeof *workers->threads);
    if (workers->threads == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for %d threads", count + KAFKA_LANES);
    for (int32_t i = 0; i < count; i++)
        TRY(start_thread(workers, &workers->lanes[KAFKA_QUICK], diag));
    TRY(start_thread(workers, &workers->lanes[KAFKA_PRODUCERS], diag));
    TRY(start_thread(workers, &workers->lanes[KAFKA_TOPICS], diag));
    return kafka_strangers_start(&workers->strangers, diag);
}

void kafka_workers_stop(struct kafka_workers *workers)
{
    if (workers->threads == NULL)
        return;
    kafka_strangers_stop(&workers->strangers);
    pthread_mutex_lock(&workers->mutex);
    workers->stopping = true;
    pthread_mutex_unlock(&workers->mutex);
    for (int i = 0; i < KAFKA_LANES; i++)
        pthread_cond_broadcast(&workers->lanes[i].work);
    for (int32_t i = 0; i < workers->thread_count; i++)
        pthread_join(workers->threads[i], NULL);
    free(workers->threads);
    pthread_mutex_destroy(&workers->mutex);
    for (int i = 0; i < KAFKA_LANES; i++)
        pthread_cond_destroy(&workers->lanes[i].work);
}
