/* kafka_fetch_session.c: fetch sessions.
 *
 * A full request (epoch 0) makes a session of its partitions. Those that follow name what changed: partitions with another offset, new ones, forgotten ones; and
 * the response leaves out a partition that has no records, no error, and the high watermark and start that the client has heard of. Both count the epoch, 1 to
 * 2147483647 and on with 1, so that one who missed a response finds out (error 71) and begins again.
 *
 * Limits, since a session outlives its connection: SESSIONS_MOST of them, PARTITIONS_MOST partitions in all of them. When there is no room, one that nobody
 * has used for IDLE_MS goes; otherwise the newcomer gets none (session id 0), which every client understands: it sends full requests.
 *
 * Partitions are found by a table with chains, by topic and index, and read in the order of a list. Ids are random, so that a client that guesses one of another does not
 * find it. */
#include "log/kafka/kafka_fetch_session.h"
#include "runtime/base/clock.h"
#include "runtime/base/hash.h"

#include <stdlib.h>
#include <sys/random.h>

enum {
    SESSIONS_MOST = 1000, /* max.incremental.fetch.session.cache.slots of Kafka */
    PARTITIONS_MOST = 200000,
    TOPIC_BYTES = 249, /* each partition has a copy of the name: what cannot be one is not kept */
    IDLE_MS = 120000,  /* min.incremental.fetch.session.eviction.ms */
    FIRST_CHAINS = 16
};

struct kafka_fetch_sessions {
    pthread_mutex_t mutex;
    struct kafka_fetch_session *first;
    int32_t count;
    _Atomic int64_t partition_count;
};

struct kafka_fetch_sessions *kafka_fetch_sessions_create(void)
{
    struct kafka_fetch_sessions *sessions = calloc(1, sizeof *sessions);
    if (sessions != NULL)
        pthread_mutex_init(&sessions->mutex, NULL);
    return sessions;
}

static void free_session(struct kafka_fetch_session *session)
{
    for (struct kafka_fetched *f = session->first, *next; f != NULL; f = next) {
        next = f->next;
        free(f);
    }
    atomic_fetch_sub(&session->sessions->partition_count, (int64_t)session->count);
    free(session->chains);
    free(session->waits);
    free(session);
}

void kafka_fetch_sessions_destroy(struct kafka_fetch_sessions *sessions)
{
    while (sessions->first != NULL) {
        struct kafka_fetch_session *session = sessions->first;
        sessions->first = session->next;
        free_session(session);
    }
    pthread_mutex_destroy(&sessions->mutex);
    free(sessions);
}

/* ---- which session; mutex held ---- */

static struct kafka_fetch_session *find(struct kafka_fetch_sessions *sessions, int32_t id)
{
    struct kafka_fetch_session *session = sessions->first;
    while (session != NULL && session->id != id)
        session = session->next;
    return session;
}

static void unlink_session(struct kafka_fetch_sessions *sessions,
                           struct kafka_fetch_session *session)
{
    struct kafka_fetch_session **link = &sessions->first;
    while (*link != session)
        link = &(*link)->next;
    *link = session->next;
    sessions->count--;
}

/* The one that was idle the longest, if that is long. */
static struct kafka_fetch_session *unlink_idle(struct kafka_fetch_sessions *sessions)
{
    struct kafka_fetch_session *oldest = NULL;
    for (struct kafka_fetch_session *s = sessions->first; s != NULL; s = s->next)
        if (!s->in_hands && (oldest == NULL || s->used_ms < oldest->used_ms))
            oldest = s;
    if (oldest == NULL || clock_mono_ms() - oldest->used_ms < IDLE_MS)
        return NULL;
    unlink_session(sessions, oldest);
    return oldest;
}

static int32_t new_id(struct kafka_fetch_sessions *sessions)
{
    int32_t id = 0;
    do {
        if (getrandom(&id, sizeof id, 0) != (ssize_t)sizeof id)
            return 0;
        id &= INT32_MAX;
    } while (id == 0 || find(sessions, id) != NULL);
    return id;
}

static bool is_full(struct kafka_fetch_sessions *sessions)
{
    return sessions->count >= SESSIONS_MOST ||
           atomic_load(&sessions->partition_count) >= PARTITIONS_MOST;
}

struct kafka_fetch_session *kafka_fetch_session_begin(struct kafka_fetch_sessions *sessions,
                                                      bool by_id)
{
    struct kafka_fetch_session *session = calloc(1, sizeof *session), *idle = NULL;
    if (session == NULL)
        return NULL;
    *session = (struct kafka_fetch_session){
        .epoch = 1, .by_id = by_id, .sessions = sessions, .in_hands = true};
    session->chains = calloc(FIRST_CHAINS, sizeof *session->chains);
    session->chain_count = FIRST_CHAINS;
    pthread_mutex_lock(&sessions->mutex);
    if (is_full(sessions))
        idle = unlink_idle(sessions);
    if (session->chains != NULL && (idle != NULL || !is_full(sessions)))
        session->id = new_id(sessions);
    bool made = session->id != 0;
    if (made) {
        session->next = sessions->first;
        sessions->first = session;
        sessions->count++;
    }
    pthread_mutex_unlock(&sessions->mutex);
    if (idle != NULL)
        free_session(idle);
    if (!made)
        free_session(session);
    return made ? session : NULL;
}

enum kafka_error kafka_fetch_session_take(struct kafka_fetch_sessions *sessions, int32_t id,
                                          int32_t epoch, bool by_id,
                                          struct kafka_fetch_session **out)
{
    enum kafka_error error = KAFKA_NONE;
    pthread_mutex_lock(&sessions->mutex);
    struct kafka_fetch_session *session = find(sessions, id);
    if (session == NULL)
        error = KAFKA_FETCH_SESSION_ID_NOT_FOUND;
    else if (session->epoch != epoch || session->in_hands)
        error = KAFKA_INVALID_FETCH_SESSION_EPOCH;
    else if (session->by_id != by_id)
        error = KAFKA_FETCH_SESSION_TOPIC_ID_ERROR;
    *out = error == KAFKA_NONE ? session : NULL;
    if (error == KAFKA_NONE) {
        session->in_hands = true;
        session->epoch = epoch == INT32_MAX ? 1 : epoch + 1;
    }
    pthread_mutex_unlock(&sessions->mutex);
    return error;
}

void kafka_fetch_session_give_back(struct kafka_fetch_session *session)
{
    struct kafka_fetch_sessions *sessions = session->sessions;
    pthread_mutex_lock(&sessions->mutex);
    session->in_hands = false;
    session->used_ms = clock_mono_ms();
    pthread_mutex_unlock(&sessions->mutex);
}

void kafka_fetch_session_end(struct kafka_fetch_session *session)
{
    struct kafka_fetch_sessions *sessions = session->sessions;
    pthread_mutex_lock(&sessions->mutex);
    unlink_session(sessions, session);
    pthread_mutex_unlock(&sessions->mutex);
    free_session(session);
}

void kafka_fetch_sessions_close(struct kafka_fetch_sessions *sessions, int32_t id)
{
    pthread_mutex_lock(&sessions->mutex);
    struct kafka_fetch_session *session = find(sessions, id);
    bool ends = session != NULL && !session->in_hands;
    if (ends)
        unlink_session(sessions, session);
    pthread_mutex_unlock(&sessions->mutex);
    if (ends)
        free_session(session);
}

/* ---- its partitions ---- */

static struct kafka_fetched **chain_of(const struct kafka_fetch_session *session,
                                       struct bytes topic, int32_t index)
{
    uint64_t hash = hash64(topic.data, topic.size) + (uint32_t)index;
    return &session->chains[hash & (session->chain_count - 1)];
}

static struct kafka_fetched **find_partition(const struct kafka_fetch_session *session,
                                             struct bytes topic, int32_t index)
{
    struct kafka_fetched **link = chain_of(session, topic, index);
    while (*link != NULL &&
           ((*link)->asked.index != index || !bytes_equal((*link)->asked.topic, topic)))
        link = &(*link)->chain;
    return link;
}

static bool grow(struct kafka_fetch_session *session)
{
    size_t count = session->chain_count * 2;
    struct kafka_fetched **chains = calloc(count, sizeof *chains);
    struct kafka_wait *waits = realloc(session->waits, count * sizeof *waits);
    if (waits != NULL) {
        session->waits = waits;
        session->wait_capacity = count;
    }
    if (chains == NULL || waits == NULL) {
        free(chains);
        return false;
    }
    free(session->chains);
    session->chains = chains;
    session->chain_count = count;
    for (struct kafka_fetched *f = session->first; f != NULL; f = f->next) {
        struct kafka_fetched **chain = chain_of(session, f->asked.topic, f->asked.index);
        f->chain = *chain;
        *chain = f;
    }
    return true;
}

static void append(struct kafka_fetch_session *session, struct kafka_fetched *f)
{
    f->previous = session->last;
    f->next = NULL;
    if (session->last != NULL)
        session->last->next = f;
    else
        session->first = f;
    session->last = f;
}

static void take_out(struct kafka_fetch_session *session, struct kafka_fetched *f)
{
    if (f->previous != NULL)
        f->previous->next = f->next;
    else
        session->first = f->next;
    if (f->next != NULL)
        f->next->previous = f->previous;
    else
        session->last = f->previous;
}

bool kafka_fetch_session_put(struct kafka_fetch_session *session,
                             const struct kafka_asked_partition *asked)
{
    struct kafka_fetched *known = *find_partition(session, asked->topic, asked->index);
    if (known != NULL) {
        struct bytes topic = known->asked.topic;
        known->asked = *asked;
        known->asked.topic = topic;
        return true;
    }
    if (asked->topic.size > TOPIC_BYTES ||
        atomic_load(&session->sessions->partition_count) >= PARTITIONS_MOST ||
        (session->count >= session->wait_capacity && !grow(session)))
        return false;
    struct kafka_fetched *f = calloc(1, sizeof *f + asked->topic.size);
    if (f == NULL)
        return false;
    f->asked = *asked;
    memcpy(f->topic_bytes, asked->topic.data, asked->topic.size);
    f->asked.topic = bytes_of(f->topic_bytes, asked->topic.size);
    f->sent_high_watermark = f->sent_start = -1;
    struct kafka_fetched **chain = chain_of(session, f->asked.topic, asked->index);
    f->chain = *chain;
    *chain = f;
    append(session, f);
    session->count++;
    atomic_fetch_add(&session->sessions->partition_count, 1);
    return true;
}

void kafka_fetch_session_remove(struct kafka_fetch_session *session, struct bytes topic,
                                int32_t index)
{
    struct kafka_fetched **link = find_partition(session, topic, index), *f = *link;
    if (f == NULL)
        return;
    *link = f->chain;
    take_out(session, f);
    free(f);
    session->count--;
    atomic_fetch_sub(&session->sessions->partition_count, 1);
}

void kafka_fetch_session_sent(struct kafka_fetch_session *session)
{
    struct kafka_fetched *last = session->last, *next;
    for (struct kafka_fetched *f = session->first; f != NULL; f = next) {
        next = f == last ? NULL : f->next;
        if (!f->is_in_response)
            continue;
        f->sent_high_watermark = f->high_watermark;
        f->sent_start = f->start;
        if (f->has_records && f != session->last) {
            take_out(session, f);
            append(session, f);
        }
    }
}
