/* verify_pairs.c: what a task's state is after its last commit (see verify_parts.h).
 *
 * The pairs of its store, and over them what the changelog says from the store's position on: what a
 * restart would restore; of a job that runs in this process and is held, what the changelog alone would. It is put together here by itself: the tail in a table, then every pair of the
 * store that the tail does not replace. A store of another changelog, or none, leaves the changelog,
 * which has all. */
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

/* Opens the store. NULL: there is none of this changelog, and the changelog is all there is. */
static int open_store(struct pairs *pairs, struct state **state, int64_t *position)
{
    struct verify *v = pairs->v;
    const struct stage *stage = pairs->stage;
    char path[4096];
    struct state_options options = {.must_exist = true, .read_only = true};
    struct state_position at;
    *state = NULL;
    *position = 0;
    TRY(store_path(v->options->data, v->options->app, stage->name, pairs->partition, path,
                   sizeof path, v->diag));
    int rc = state_open(path, stage->state_hash, &options, state, v->diag);
    if (rc == ERR_STATE)
        rc = state_open(path, stage->plan_hash, &options, state, v->diag);
    if (rc == ERR_NOT_FOUND || rc == ERR_STATE)
        return 0; /* a restart builds it from the changelog */
    if (rc == ERR_BUSY)
        return 0; /* a job of this process has it open: the changelog alone is asked */
    TRY(rc);
    state_position(*state, &at);
    if (memcmp(at.topic_id, stage->changelog_id, sizeof at.topic_id) == 0) {
        *position = at.offset;
        return 0;
    }
    state_close(*state);
    *state = NULL;
    return 0;
}

static int give_all(struct pairs *pairs, struct state *state)
{
    if (state != NULL)
        TRY(state_scan(state, bytes_of("", 0), (struct bytes){NULL, 0}, take_stored, pairs,
                       pairs->v->diag));
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
    struct state *state;
    int64_t position;
    TRY(v->port->ops->range(v->port, topic, pairs->partition, &range, v->diag));
    TRY(open_store(pairs, &state, &position));
    if (position < range.start)
        position = range.start;
    int rc = verify_read(v, topic, pairs->partition, position, range.stable, take_change, pairs);
    if (rc == 0)
        rc = give_all(pairs, state);
    state_close(state);
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
