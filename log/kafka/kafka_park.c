/* kafka_park.c: requests that wait for partitions: a Fetch for records, a Produce with acks=all for its flush.
 *
 * Each partition that somebody waits for gets one watcher of ours, for good. The watcher runs in a flusher's thread after every flush of the partition:
 * it puts the partition on a list and wakes the loop, and does not even that when nobody waits there. The loop then looks at those who wait for this
 * partition and no others: a wait is a pair of offsets to reach, read from the log's atomics.
 *
 * No wake-up is lost: the one who parks is counted (wait_count) and then looks at the offsets; the log moves the offsets and then
 * calls the watcher, which looks at the count. One of the two sees the other. */
#include "log/kafka/kafka_internal.h"

#include <stdlib.h>

static void on_move(void *context)
{
    struct kafka_watched *watched = context;
    struct kafka_server *server = watched->server;
    if (atomic_load(&watched->wait_count) == 0 || atomic_exchange(&watched->moved, true))
        return;
    struct kafka_watched *head = atomic_load(&server->moved);
    do {
        watched->next_moved = head;
    } while (!atomic_compare_exchange_weak(&server->moved, &head, watched));
    if (head == NULL)
        uv_async_send(&server->wake);
}

static struct kafka_watched *watch(struct kafka_server *server, struct partition *partition)
{
    size_t bucket = ((uintptr_t)partition >> 6) % WATCHED_BUCKETS;
    struct kafka_watched *watched = server->watched[bucket];
    while (watched != NULL && watched->partition != partition)
        watched = watched->next;
    if (watched != NULL)
        return watched;
    watched = calloc(1, sizeof *watched);
    if (watched == NULL)
        return NULL;
    watched->server = server;
    watched->partition = partition;
    watched->watch_id = partition_watch(partition, on_move, watched);
    if (watched->watch_id < 0) {
        free(watched);
        return NULL;
    }
    watched->next = server->watched[bucket];
    server->watched[bucket] = watched;
    return watched;
}

static bool has_come(const struct kafka_wait *wait)
{
    struct partition_offsets offsets;
    partition_offsets(wait->partition, &offsets);
    return offsets.high_watermark >= wait->high_watermark || offsets.stable >= wait->stable;
}

static void unlink_wait(struct kafka_wait *wait)
{
    if (wait->watched == NULL)
        return;
    if (wait->previous != NULL)
        wait->previous->next = wait->next;
    else
        wait->watched->waits = wait->next;
    if (wait->next != NULL)
        wait->next->previous = wait->previous;
    atomic_fetch_sub(&wait->watched->wait_count, 1);
    wait->watched = NULL;
}

/* False: there is no memory to watch the partition. */
static bool link_wait(struct kafka_server *server, struct kafka_wait *wait)
{
    struct kafka_watched *watched = watch(server, wait->partition);
    if (watched == NULL)
        return false;
    wait->watched = watched;
    wait->previous = NULL;
    wait->next = watched->waits;
    if (wait->next != NULL)
        wait->next->previous = wait;
    watched->waits = wait;
    atomic_fetch_add(&watched->wait_count, 1);
    return true;
}

/* Takes the wait away when it has come; true: the request needs no other. */
static bool settle(struct kafka_wait *wait)
{
    if (!has_come(wait))
        return false;
    struct kafka_request *request = wait->request;
    unlink_wait(wait);
    request->waits_left--;
    return request->waits_left == 0 || !request->park.needs_all;
}

bool kafka_park_begin(struct kafka_server *server, struct kafka_request *request)
{
    struct kafka_park *park = &request->park;
    bool ready = false;
    request->waits_left = park->wait_count;
    for (size_t i = 0; i < park->wait_count; i++) {
        struct kafka_wait *wait = &park->waits[i];
        wait->request = request;
        wait->watched = NULL;
        /* A partition that cannot be watched is looked at when the request's time is over. */
        if (!ready && link_wait(server, wait))
            ready = settle(wait);
    }
    if (ready)
        kafka_park_end(request);
    return !ready;
}

void kafka_park_end(struct kafka_request *request)
{
    for (size_t i = 0; i < request->park.wait_count; i++)
        unlink_wait(&request->park.waits[i]);
    request->park.wait_count = 0;
}

/* Those of one partition, onto list. */
static void take_ready_of(struct kafka_watched *watched, struct kafka_request **list)
{
    struct kafka_wait *next;
    for (struct kafka_wait *wait = watched->waits; wait != NULL; wait = next) {
        struct kafka_request *request = wait->request;
        next = wait->next;
        if (!settle(wait))
            continue;
        while (next != NULL && next->request == request)
            next = next->next; /* it asked for the partition more than once */
        kafka_park_end(request);
        request->queue_next = *list;
        *list = request;
    }
}

struct kafka_request *kafka_park_take_ready(struct kafka_server *server)
{
    struct kafka_request *list = NULL;
    struct kafka_watched *watched = atomic_exchange(&server->moved, NULL);
    while (watched != NULL) {
        struct kafka_watched *next = watched->next_moved;
        atomic_store(&watched->moved, false);
        take_ready_of(watched, &list);
        watched = next;
    }
    return list;
}

void kafka_park_deinit(struct kafka_server *server)
{
    for (size_t i = 0; i < WATCHED_BUCKETS; i++)
        while (server->watched[i] != NULL) {
            struct kafka_watched *watched = server->watched[i];
            server->watched[i] = watched->next;
            partition_unwatch(watched->partition, watched->watch_id);
            free(watched);
        }
}
