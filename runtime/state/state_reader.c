/* state_reader.c: readers beside a store's owner (see state_reader.h).
 *
 * Between a store and its readers stands a link, which outlives whichever ends first. Its lock is shared by who reads, for the length of one
 * call, or of STATE_PAUSE_PAIRS pairs of a scan, and exclusive for what readers must not see happen: the map moves, the store closes, a
 * reader begins or ends. Who has it exclusively may abort the readers' transactions, and does: LMDB wants none while the map moves. A
 * reader whose transaction was taken away finds that out at its next call.
 *
 * The lock prefers writers, so that questions in a row cannot keep a store from growing; a reader that is called from within its own scan
 * has the lock already and does not take it again. */
#include "runtime/state/state_reader.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "runtime/base/clock.h"
#include "runtime/state/state_private.h"

struct state_link {
    pthread_rwlock_t lock;
    struct state *state; /* NULL: it was closed */
    struct state_reader *readers;
    atomic_uint users; /* the store, and each reader */
};

struct state_reader {
    struct state_link *link;
    struct state_reader *next;
    MDB_txn *txn;   /* NULL: the snapshot is gone */
    uint32_t depth; /* of calls: a scan's callback may ask */
    int64_t began_ns;
    struct state_position position;
};

/* ---- the link ---- */

struct state_link *state_link_create(struct state *state)
{
    pthread_rwlockattr_t attributes;
    struct state_link *link = calloc(1, sizeof *link);
    if (link == NULL || pthread_rwlockattr_init(&attributes) != 0) {
        free(link);
        return NULL;
    }
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    int rc = pthread_rwlock_init(&link->lock, &attributes);
    pthread_rwlockattr_destroy(&attributes);
    if (rc != 0) {
        free(link);
        return NULL;
    }
    link->state = state;
    atomic_store(&link->users, 1);
    return link;
}

struct state_link *state_link_hold(struct state_link *link)
{
    atomic_fetch_add(&link->users, 1);
    return link;
}

void state_link_drop(struct state_link *link)
{
    if (atomic_fetch_sub(&link->users, 1) > 1)
        return;
    pthread_rwlock_destroy(&link->lock);
    free(link);
}

/* With the lock. */
static void end_snapshot(struct state_reader *reader)
{
    if (reader->txn != NULL)
        mdb_txn_abort(reader->txn);
    reader->txn = NULL;
}

void state_link_stop(struct state_link *link, bool is_end)
{
    pthread_rwlock_wrlock(&link->lock);
    for (struct state_reader *reader = link->readers; reader != NULL; reader = reader->next)
        end_snapshot(reader);
    if (is_end)
        link->state = NULL;
}

void state_link_resume(struct state_link *link)
{
    pthread_rwlock_unlock(&link->lock);
}

void state_link_expire(struct state_link *link)
{
    int64_t before_ns = clock_mono_ns() - (int64_t)STATE_READER_MS * 1000000;
    if (atomic_load(&link->users) == 1)
        return;
    pthread_rwlock_wrlock(&link->lock);
    for (struct state_reader *reader = link->readers; reader != NULL; reader = reader->next)
        if (reader->began_ns < before_ns)
            end_snapshot(reader);
    pthread_rwlock_unlock(&link->lock);
}

/* ---- a reader ---- */

/* With the lock. */
static int begin_snapshot(struct state_reader *reader, const char *dir, struct diag *diag)
{
    struct state *state = reader->link->state;
    struct state_header header;
    if (state == NULL || state->map_lost)
        return diag_set(diag, ERR_NOT_FOUND, "the state store %s is not open", dir);
    int rc = mdb_txn_begin(state->env, NULL, MDB_RDONLY, &reader->txn);
    if (rc != 0)
        return state_error(state, diag, rc, "cannot take a snapshot of");
    rc = state_read_header(state, reader->txn, &header, diag);
    if (rc < 0) {
        end_snapshot(reader);
        return rc;
    }
    reader->position = header.position;
    reader->began_ns = clock_mono_ns();
    reader->next = reader->link->readers;
    reader->link->readers = reader;
    return 0;
}

int state_reader_open(const char *dir, struct state_reader **result, struct diag *diag)
{
    struct state_link *link = state_find_link(dir);
    *result = NULL;
    if (link == NULL)
        return diag_set(diag, ERR_NOT_FOUND, "the state store %s is not open", dir);
    struct state_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL) {
        state_link_drop(link);
        return diag_set(diag, ERR_NOMEM, "no memory to read the state store %s", dir);
    }
    reader->link = link;
    pthread_rwlock_wrlock(&link->lock);
    int rc = begin_snapshot(reader, dir, diag);
    pthread_rwlock_unlock(&link->lock);
    if (rc < 0) {
        state_link_drop(link);
        free(reader);
        return rc;
    }
    *result = reader;
    return 0;
}

void state_reader_close(struct state_reader *reader)
{
    if (reader == NULL)
        return;
    must(reader->depth == 0);
    struct state_link *link = reader->link;
    pthread_rwlock_wrlock(&link->lock);
    struct state_reader **at = &link->readers;
    while (*at != reader)
        at = &(*at)->next;
    *at = reader->next;
    end_snapshot(reader);
    pthread_rwlock_unlock(&link->lock);
    state_link_drop(link);
    free(reader);
}

struct state_position state_reader_position(const struct state_reader *reader)
{
    return reader->position;
}

/* ---- reading ---- */

static int enter(struct state_reader *reader, struct diag *diag)
{
    if (reader->depth++ == 0)
        pthread_rwlock_rdlock(&reader->link->lock);
    if (reader->txn != NULL)
        return 0;
    return diag_set(diag, ERR_STOPPED,
                    "the state was moved or closed while it was read\nhint: ask again");
}

static int leave(struct state_reader *reader, int rc)
{
    if (--reader->depth == 0)
        pthread_rwlock_unlock(&reader->link->lock);
    return rc;
}

/* Lets in who waits for the lock. */
static int pause_scan(void *context)
{
    struct state_reader *reader = context;
    if (reader->depth > 1)
        return 0;
    pthread_rwlock_unlock(&reader->link->lock);
    pthread_rwlock_rdlock(&reader->link->lock);
    return reader->txn != NULL ? 0 : ERR_STOPPED;
}

int state_reader_get(struct state_reader *reader, struct bytes key, struct arena *arena,
                     struct bytes *value, struct diag *diag)
{
    int rc = enter(reader, diag);
    if (rc == 0)
        rc = state_get_in(reader->link->state, reader->txn, key, arena, value, diag);
    return leave(reader, rc);
}

int state_reader_scan(struct state_reader *reader, struct bytes from, struct bytes to,
                      int (*fn)(void *context, struct bytes key, struct bytes value), void *context,
                      struct diag *diag)
{
    int rc = enter(reader, diag);
    if (rc == 0)
        rc = state_scan_in(reader->link->state, reader->txn, from, to, fn, context, pause_scan,
                           reader, diag);
    if (rc == ERR_STOPPED && reader->txn == NULL)
        diag_set(diag, rc, "the state was moved or closed while it was read\nhint: ask again");
    return leave(reader, rc);
}

int state_reader_stat(struct state_reader *reader, struct state_statistics *statistics,
                      struct diag *diag)
{
    int rc = enter(reader, diag);
    if (rc == 0)
        rc = state_stat_in(reader->link->state, reader->txn, statistics, diag);
    return leave(reader, rc);
}
