/* group_load.c: groups that go from the table because the store has them, and come back when they
 * change again.
 *
 * The table is a set of changes over the store. An entry may be forgotten when the reader's snapshot
 * of the store holds its last commit; that is tried in blocks, whose waits for memory overlap, and
 * not again before the store has moved, when a round found nothing more. What a probe creates is
 * looked up in the store, all of a batch at once (state_get_many): nothing later than
 * store_bound_ms has ever left the table, so for most windows nothing is asked. */
#include <string.h>

#include "operators/counted.h"
#include "operators/grouping.h"

enum { EVICT_BLOCK = 256 };

/* ---- coming back ---- */

int group_decode_entry(const struct group_op *group, struct agg_entry *entry, struct bytes value,
                       struct diag *diag)
{
    const struct group_params *params = group->op.params;
    int rc = entry->is_pair ? distinct_decode(params, entry, value)
                            : agg_decode(params->plan, agg_entry_row(entry), value);
    return rc < 0
               ? diag_set(
                     diag, rc,
                     "a stored aggregate does not decode: delete the state directory to rebuild it")
               : 0;
}

/* Takes an entry as not new any more. Whether the store may have it. */
static bool must_look_up(struct group_op *group, struct agg_entry *entry)
{
    entry->is_new = 0;
    if (entry->window_start_ms != WINDOW_NONE && entry->window_start_ms > group->max_window_ms)
        group->max_window_ms = entry->window_start_ms;
    return group->store_may_have && entry->window_start_ms <= group->store_bound_ms;
}

/* The entry's key in the store; without a window it is the group's key as it lies in the table. */
static int entry_store_key(const struct agg_entry *entry, struct arena *arena, struct bytes *key)
{
    *key = agg_entry_key(entry);
    if (entry->window_start_ms == WINDOW_NONE)
        return 0;
    uint8_t *data = arena_alloc_aligned(arena, sizeof(uint64_t) + key->size, 1);
    if (data == NULL)
        return ERR_NOMEM;
    store_be64(data, (uint64_t)entry->window_start_ms ^ (1ull << 63));
    memcpy(data + sizeof(uint64_t), key->data, key->size);
    *key = bytes_of(data, sizeof(uint64_t) + key->size);
    return 0;
}

static int load_listed(struct group_op *group, struct agg_entry *const *listed, uint32_t count,
                       struct diag *diag)
{
    struct arena *arena = &group->load;
    struct bytes *keys = arena_alloc(arena, count * sizeof *keys);
    struct bytes *values = arena_alloc(arena, count * sizeof *values);
    if (keys == NULL || values == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++)
        TRY(entry_store_key(listed[i], arena, &keys[i]));
    TRY(state_get_many(group->op.env->state, keys, count, arena, values, diag));
    for (uint32_t i = 0; i < count; i++)
        if (values[i].data != NULL)
            TRY(group_decode_entry(group, listed[i], values[i], diag));
    return 0;
}

int group_load_entries(struct group_op *group, struct agg_entry *const *entries, uint32_t count,
                       struct diag *diag)
{
    uint32_t listed_count = 0, at = 0;
    while (at < count && __builtin_expect(!entries[at]->is_new, 1))
        at++;
    if (at == count)
        return 0;
    struct agg_entry **listed =
        arena_alloc(&group->load, (count - at) * sizeof(struct agg_entry *));
    if (listed == NULL)
        return ERR_NOMEM;
    for (; at < count; at++)
        if (entries[at]->is_new && must_look_up(group, entries[at]))
            listed[listed_count++] = entries[at];
    int rc = listed_count > 0 ? load_listed(group, listed, listed_count, diag) : 0;
    arena_reset(&group->load);
    return rc;
}

/* ---- going ---- */

/* Groups that may be forgotten, a block at a time. */
struct evict {
    const struct group_op *group;
    int64_t stored_commit;
    size_t count;
    struct agg_entry *entries[EVICT_BLOCK];
};

static bool collect_evictable(void *context, struct agg_entry *entry)
{
    struct evict *evict = context;
    const struct group_op *group = evict->group;
    if (entry->is_dirty || entry->is_new || entry->changelog_offset > evict->stored_commit ||
        (group_is_closing(group) && entry->window_start_ms == group->closing_window_ms))
        return true;
    evict->entries[evict->count++] = entry;
    return evict->count < EVICT_BLOCK;
}

static void evict_block(struct group_op *group, const struct evict *evict)
{
    for (size_t i = 0; i < evict->count; i++) {
        counted_forget(group, evict->entries[i]);
        if (evict->entries[i]->window_start_ms > group->store_bound_ms)
            group->store_bound_ms = evict->entries[i]->window_start_ms;
    }
    group->store_may_have = true;
    agg_table_remove_many(group->table, evict->entries, evict->count);
}

void op_group_evict(struct op *op, int64_t stored_commit, size_t target_bytes)
{
    must(op_is_group(op));
    struct group_op *group = (struct group_op *)op;
    struct evict evict = {.group = group, .stored_commit = stored_commit};
    /* What is left then is newer than the store: walking the table again would find nothing until
     * the store has moved. */
    if (group->has_evicted && group->evicted_commit == stored_commit)
        return;
    group->has_evicted = false;
    /* Goes round: what has just been read back took the place of what went last, and stays a round. */
    for (int pass = 0; pass < 2;) {
        if (op_group_bytes(op) <= target_bytes)
            return;
        evict.count = 0;
        agg_table_each(group->table, &group->evict_cursor, collect_evictable, &evict);
        bool at_end = evict.count < EVICT_BLOCK;
        if (evict.count > 0)
            evict_block(group, &evict);
        if (at_end) {
            group->evict_cursor = 0;
            pass++;
        }
    }
    group->has_evicted = true;
    group->evicted_commit = stored_commit;
}
