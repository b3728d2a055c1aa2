/* kafka_peers.c: the addresses that clients connect from, and what each may take of what all share.
 *
 * One machine, or one that pretends to be many clients, is not to shut the others out. So what all connections share is counted for each address, too:
 *
 *   connections             a fixed part of all that there may be (--connections-per-address)
 *   requests that arrive    half of the budget of memory; an address may have as many bytes as are still free: alone it gets half of them, two that take what
 *                           they can get a third each, and so on; who has nothing yet finds something free
 *   responses not taken     the other half, in the same way. How large a response will be nobody knows before, so that all of it may be too much; then whose address has
 *                           none still gets one
 *   TLS handshakes          in the same way
 *
 * What is asked for is booked before it is read, so that it can be finished without booking more; and a request that has arrived is run whatever others book.
 *
 * A connection for which there is no room waits on its address's list. When something is given back one connection of each address that waits may try again, and the next one
 * when the first has got what it wanted, or waits for something else: so the work of one wake-up grows with the addresses that wait, not with their connections, but for a look at each where
 * those of one address wait for different things.
 *
 * An IPv6 address counts by its first 64 bits, of which one machine has all the rest; one that stands for an IPv4 address counts as that. Loop thread. */
#include "log/kafka/kafka_internal.h"
#include "runtime/base/hash.h"

#include <stdlib.h>

static void key_of(const struct sockaddr_storage *address, uint8_t key[PEER_KEY_BYTES])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    memset(key, 0, PEER_KEY_BYTES);
    memcpy(key, mapped, sizeof mapped);
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *four = (const struct sockaddr_in *)(const void *)address;
        memcpy(key + 12, &four->sin_addr, 4);
    } else {
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)(const void *)address;
        bool is_four = memcmp(&six->sin6_addr, mapped, sizeof mapped) == 0;
        memset(key, 0, PEER_KEY_BYTES);
        memcpy(key, &six->sin6_addr, is_four ? PEER_KEY_BYTES : 8);
    }
}

static struct kafka_peer **bucket_of(struct kafka_server *server, const uint8_t *key)
{
    return &server->peers[hash64(key, PEER_KEY_BYTES) % PEER_BUCKETS];
}

/* Whether somebody waits for something else than that. */
static bool has_others(const struct kafka_peer *peer, unsigned refused)
{
    for (int i = 0; i < KAFKA_WAITS; i++)
        if (peer->waiting_count[i] > 0 && (refused & 1U << i) == 0)
            return true;
    return false;
}

bool kafka_peer_enter(struct kafka_connection *c, const struct sockaddr_storage *address)
{
    uint8_t key[PEER_KEY_BYTES];
    key_of(address, key);
    struct kafka_peer **bucket = bucket_of(c->server, key), *peer = *bucket;
    while (peer != NULL && memcmp(peer->key, key, sizeof key) != 0)
        peer = peer->next;
    if (peer == NULL) {
        peer = calloc(1, sizeof *peer);
        if (peer == NULL)
            return false;
        memcpy(peer->key, key, sizeof key);
        peer->next = *bucket;
        *bucket = peer;
    }
    peer->connection_count++;
    c->peer = peer;
    return true;
}

void kafka_peer_leave(struct kafka_connection *c)
{
    struct kafka_peer *peer = c->peer;
    if (peer == NULL || --peer->connection_count > 0)
        return;
    must(peer->used_bytes[SHARE_REQUESTS] == 0 && peer->used_bytes[SHARE_RESPONSES] == 0);
    must(peer->handshake_count == 0 && peer->first_waiting == NULL && !peer->is_waiting);
    must(!has_others(peer, 0));
    struct kafka_peer **at = bucket_of(c->server, peer->key);
    while (*at != peer)
        at = &(*at)->next;
    *at = peer->next;
    free(peer);
}

/* ---- what is shared ---- */

bool kafka_peer_may_ask(const struct kafka_connection *c, size_t bytes)
{
    const struct kafka_server *server = c->server;
    int64_t used = server->used_bytes[SHARE_REQUESTS];
    return used == 0 ||
           c->peer->used_bytes[SHARE_REQUESTS] + (int64_t)bytes <= server->budget_bytes / 2 - used;
}

bool kafka_peer_may_be_answered(const struct kafka_connection *c)
{
    const struct kafka_server *server = c->server;
    int64_t used = server->used_bytes[SHARE_RESPONSES];
    int64_t own = c->peer->used_bytes[SHARE_RESPONSES];
    return own <= server->budget_bytes / 2 - used || (own == 0 && used <= server->budget_bytes);
}

void kafka_peer_use(struct kafka_connection *c, enum kafka_share share, int64_t bytes)
{
    struct kafka_server *server = c->server;
    server->used_bytes[share] += bytes;
    c->peer->used_bytes[share] += bytes;
    must(server->used_bytes[share] >= 0 && c->peer->used_bytes[share] >= 0);
    if (bytes < 0 && server->first_waiting != NULL)
        uv_async_send(&server->wake);
}

bool kafka_peer_begin_handshake(struct kafka_connection *c)
{
    struct kafka_server *server = c->server;
    if (c->peer->handshake_count >= HANDSHAKES - server->handshake_count)
        return false;
    c->peer->handshake_count++;
    server->handshake_count++;
    c->has_handshake = true;
    return true;
}

void kafka_peer_end_handshake(struct kafka_connection *c)
{
    struct kafka_server *server = c->server;
    if (!c->has_handshake)
        return;
    c->has_handshake = false;
    c->peer->handshake_count--;
    server->handshake_count--;
    if (server->first_waiting != NULL)
        uv_async_send(&server->wake);
}

/* ---- who waits ---- */

static void link_peer(struct kafka_server *server, struct kafka_peer *peer)
{
    if (peer->is_waiting)
        return;
    peer->is_waiting = true;
    peer->next_waiting = NULL;
    if (server->last_waiting != NULL)
        server->last_waiting->next_waiting = peer;
    else
        server->first_waiting = peer;
    server->last_waiting = peer;
}

static void unlink_peer(struct kafka_server *server, struct kafka_peer *peer)
{
    struct kafka_peer *before = NULL;
    if (!peer->is_waiting)
        return;
    for (struct kafka_peer *at = server->first_waiting; at != peer; at = at->next_waiting)
        before = at;
    if (before != NULL)
        before->next_waiting = peer->next_waiting;
    else
        server->first_waiting = peer->next_waiting;
    if (server->last_waiting == peer)
        server->last_waiting = before;
    peer->is_waiting = false;
}

void kafka_peer_wait(struct kafka_connection *c, int what)
{
    struct kafka_peer *peer = c->peer;
    bool waits = c->waits_for != 0;
    if ((c->waits_for & 1U << what) != 0)
        return;
    c->waits_for |= 1U << what;
    peer->waiting_count[what]++;
    if (waits)
        return;
    c->next_waiting = NULL;
    c->previous_waiting = peer->last_waiting;
    if (peer->last_waiting != NULL)
        peer->last_waiting->next_waiting = c;
    else
        peer->first_waiting = c;
    peer->last_waiting = c;
    link_peer(c->server, peer);
}

void kafka_peer_stop_waiting(struct kafka_connection *c)
{
    struct kafka_peer *peer = c->peer;
    if (c->waits_for == 0)
        return;
    for (int i = 0; i < KAFKA_WAITS; i++)
        peer->waiting_count[i] -= (c->waits_for & 1U << i) != 0;
    c->waits_for = 0;
    if (c->previous_waiting != NULL)
        c->previous_waiting->next_waiting = c->next_waiting;
    else
        peer->first_waiting = c->next_waiting;
    if (c->next_waiting != NULL)
        c->next_waiting->previous_waiting = c->previous_waiting;
    else
        peer->last_waiting = c->previous_waiting;
    if (peer->first_waiting == NULL)
        unlink_peer(c->server, peer);
}

/* Those of one address, in their order. One that waits again stands for all that wait for the same. */
static void step_those_of(struct kafka_peer *peer)
{
    struct kafka_connection *c = peer->first_waiting, *last = peer->last_waiting, *next;
    unsigned refused = 0;
    for (; c != NULL && has_others(peer, refused); c = next) {
        next = c == last ? NULL : c->next_waiting;
        if ((c->waits_for & ~refused) == 0)
            continue;
        kafka_peer_stop_waiting(c);
        kafka_connection_step(c); /* frees nothing: that is for libuv's next round */
        refused |= c->waits_for;
    }
}

void kafka_peers_step(struct kafka_server *server)
{
    struct kafka_peer *peer = server->first_waiting, *next;
    server->first_waiting = server->last_waiting = NULL;
    for (struct kafka_peer *at = peer; at != NULL; at = at->next_waiting)
        at->is_waiting = false;
    for (; peer != NULL; peer = next) {
        next = peer->next_waiting;
        step_those_of(peer);
        if (peer->first_waiting != NULL)
            link_peer(server, peer);
    }
}
