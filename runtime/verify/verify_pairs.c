/* verify_pairs.c: what a task's state is after its last commit (see verify_parts.h).
 *
 * The pairs of its store, and over them what the changelog says from the store's position on: what a
 * restart would restore. It is put together here by itself: the tail in a table, then every pair of the
 * store that the tail does not replace. A store of another changelog, or none, leaves the changelog,
 * which has all. A job of this process that is held has the store open: it is read beside it. */
#include "runtime/state/state_reader.h"
#include "runtime/store.h"
#include "runtime/verify/verify_parts.h"

struct pair {
    struct bytes key, value; /* value.data NULL: a tombstone */
};
struct pairs {
    struct verify *v;
    const struct stage *stage;
    int32_t partition;
    struct arena arena; /* what the tail has of it is counted in held */
    size_t held;
    struct verify_map tail; /* by key: struct pair */
    int (*each)(void *context, struct bytes key, struct bytes value);
    void *context;
};

static int take_change(void *context, const struct source_row *record)
{
    struct pairs *pairs = context;
    struct verify_entry *entry =
        verify_map_at(&pairs->tail, hash128(record->key.data, record->key.size));
    if (entry != NULL && entry->value == NULL)
        entry->value = arena_zalloc(&pairs->arena, sizeof(struct pair));
    if (entry == NULL || entry->value == NULL)
        return verify_no_memory(pairs->v);
    struct pair *pair = entry->value;
    size_t size = sizeof *pair + record->key.size + record->value.size;
    verify_hold(size);
    pairs->held += size;
    if (pair->key.data == NULL)
        pair->key = arena_copy(&pairs->arena, record->key);
    pair->value = arena_copy(&pairs->arena, record->value);
    return pair->key.data != NULL && pair->value.size != SIZE_MAX ? 0 : verify_no_memory(pairs->v);
}

static int take_stored(void *context, struct bytes key, struct bytes value)
{
    struct pairs *pairs = context;
    return verify_map_find(&pairs->tail, hash128(key.data, key.size)) != NULL
               ? 0
               : pairs->each(pairs->context, key, value);
}

/* The store, as it is read: by this process alone, or beside the job of it that has it open. */
struct opened {
    struct state *own; /* NULL: a job's */
    struct state_reader
        *reader; /* NULL: there is no store of this changelog, and the changelog is all there is */
    int64_t position; /* from here on the changelog says more */
};

static void close_store(struct opened *opened)
{
    state_reader_close(opened->reader);
    state_close(opened->own);
    *opened = (struct opened){.own = NULL};
}

static int open_store(struct pairs *pairs, struct opened *opened)
{
    struct verify *v = pairs->v;
    const struct stage *stage = pairs->stage;
    char path[4096];
    struct state_options options = {.must_exist = true, .read_only = true};
    *opened = (struct opened){.own = NULL};
    TRY(store_path(v->options->data, v->options->app, stage->name, pairs->partition, path,
                   sizeof path, v->diag));
    int rc = state_open(path, stage->state_hash, &options, &opened->own, v->diag);
    if (rc == ERR_STATE)
        rc = state_open(path, stage->plan_hash, &options, &opened->own, v->diag);
    if (rc == ERR_NOT_FOUND || rc == ERR_STATE)
        return 0; /* a restart builds it from the changelog */
    if (rc == 0 || rc == ERR_BUSY)
        rc = state_reader_open(path, &opened->reader, v->diag);
    if (rc < 0) {
        close_store(opened);
        return rc == ERR_NOT_FOUND ? 0 : rc; /* the job has closed it meanwhile */
    }
    struct state_position at = state_reader_position(opened->reader);
    if (memcmp(at.topic_id, stage->changelog_id, sizeof at.topic_id) == 0)
        opened->position = at.offset;
    else
        close_store(opened);
    return 0;
}

static int scan_store(struct pairs *pairs, struct state_reader *reader)
{
    struct verify *v = pairs->v;
    int rc = state_reader_scan(reader, bytes_of("", 0), (struct bytes){NULL, 0}, take_stored, pairs,
                               v->diag);
    bool is_asked = v->options->is_stopped != NULL && v->options->is_stopped(v->options->context);
    if (rc != ERR_STOPPED || is_asked)
        return rc;
    return diag_set(v->diag, ERR_TIMEOUT,
                    "the store of %s-%d was moved while it was read\nhint: ask again",
                    pairs->stage->name, (int)pairs->partition);
}

static int give_all(struct pairs *pairs, struct state_reader *reader)
{
    if (reader != NULL)
        TRY(scan_store(pairs, reader));
    for (size_t i = 0; i < pairs->tail.capacity; i++) {
        const struct pair *pair = pairs->tail.slots[i].value;
        if (pair != NULL && pair->value.data != NULL)
            TRY(pairs->each(pairs->context, pair->key, pair->value));
    }
    return 0;
}

static int read_all(struct pairs *pairs)
{
    struct verify *v = pairs->v;
    const char *topic = pairs->stage->changelog_topic;
    struct port_range range;
    struct opened opened;
    TRY(v->port->ops->range(v->port, topic, pairs->partition, &range, v->diag));
    TRY(open_store(pairs, &opened));
    if (opened.position < range.start)
        opened.position = range.start;
    int rc =
        verify_read(v, topic, pairs->partition, opened.position, range.stable, take_change, pairs);
    if (rc == 0)
        rc = give_all(pairs, opened.reader);
    close_store(&opened);
    return rc;
}

int verify_pairs(struct verify *v, const struct stage *stage, int32_t partition,
                 int (*each)(void *context, struct bytes key, struct bytes value), void *context)
{
    struct pairs pairs = {
        .v = v, .stage = stage, .partition = partition, .each = each, .context = context};
    arena_init(&pairs.arena, 0);
    int rc = read_all(&pairs);
    arena_deinit(&pairs.arena);
    verify_map_deinit(&pairs.tail);
    verify_let_go(pairs.held);
    return rc;
}
