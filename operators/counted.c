/* counted.c: sets of values that rows may be taken out of again.
 *
 * Over a table a value leaves its set when the last row that has it goes. So a pair of a group and a
 * value (distinct.c) has a count of rows here:
 *
 *     key      group key, uvarint number of the call, the value: of count(DISTINCT) as group_key.h
 *              writes it, of min as value_order.h does, of max the same turned round
 *     value    1 byte: 4; uvarint size of the group's part of the key; varint count of rows
 *
 * Pairs lie in the same table, changelog and store as their groups. A partial's pairs say how many
 * rows came with the value, less those that went, and one that comes to 0 does not cross. The task
 * that merges adds them up. A value whose count falls to 0 leaves a tombstone, and its entry stays
 * until the store has followed, because what is in the table is what counts.
 *
 * The group's own row knows what its results need: how many values there are, or which is the first
 * one (agg_least.h). When that one went, the next one is looked for, once for each group and commit:
 * in the store by a scan from its place on, in which what the table has is passed over, and in the
 * table by an index of its pairs in key order (pair_index.h). Both ask for the first value that is
 * not before the place, so what was passed is not passed again, and a set that is worked off from
 * its front is not walked anew for each value. The scan ends at the first value that it finds and
 * where the index has found a better one. Only long keys (STATE_ORDERED_BYTES) may lie out of order
 * in the store, among those that begin alike: of these all are looked at.
 *
 * A commit upstream may reach the merging task in two halves, so that for one commit a group has
 * values and no rows. Its state is kept for as long as anything of it is left (flush_gone). */
#include "operators/counted.h"

#include "operators/agg_kind.h"
#include "operators/agg_least.h"
#include "operators/pair_index.h"
#include "operators/value_order.h"

static const int64_t ROWS_MAX = INT64_C(1) << 60;

static const struct agg_plan *plan_of(const struct group_op *group)
{
    return ((const struct group_params *)group->op.params)->plan;
}

/* ---- a pair's words ---- */

int64_t counted_rows(const struct agg_entry *pair)
{
    return (int64_t)((const uint64_t *)agg_entry_row(pair))[1];
}

static void set_rows(struct agg_entry *pair, int64_t count)
{
    ((uint64_t *)agg_entry_row(pair))[1] = (uint64_t)count;
}

/* The count in the value of a pair; *group_bytes as in its front. */
static int take_rows(struct bytes value, int64_t *count)
{
    uint8_t version;
    uint64_t group_bytes;
    TRY(take_u8(&value, &version));
    TRY(take_uvarint(&value, &group_bytes));
    return agg_take_net(&value, count);
}

int counted_set_rows(struct agg_entry *pair, struct bytes value)
{
    int64_t count;
    TRY(take_rows(value, &count));
    if (count <= 0)
        return ERR_CORRUPT;
    set_rows(pair, count);
    return 0;
}

void counted_forget(struct group_op *group, struct agg_entry *entry)
{
    if (!entry->is_ordered)
        return;
    pair_index_remove(group->ordered, entry);
    entry->is_ordered = 0;
}

/* ---- changes ---- */

/* The value of a pair as its group's row has it. */
static int plain_value(struct group_op *group, struct bytes key, size_t group_bytes, bool wants_max,
                       struct bytes *value)
{
    uint32_t call;
    TRY(pair_split(group->op.params, key, group_bytes, &call, value));
    if (!wants_max)
        return 0;
    buf_clear(&group->text);
    TRY(value_order_unflip(&group->text, *value));
    *value = bytes_of(group->text.data, group->text.size);
    return buf_ok(&group->text) ? 0 : ERR_NOMEM;
}

static int change_first(struct group_op *group, struct agg_entry *row, uint32_t c,
                        const struct agg_entry *pair, bool came)
{
    const struct agg_plan *plan = plan_of(group);
    bool wants_max = agg_call_wants_max(plan, c);
    struct bytes value;
    TRY(plain_value(group, agg_entry_key(pair), agg_entry_key(row).size, wants_max, &value));
    agg_table_touch(group->table, row);
    struct agg_least *least = agg_row_least(plan, agg_entry_row(row), c);
    if (came)
        return agg_least_came(least, value, wants_max);
    agg_least_went(least, value);
    return 0;
}

/* A pair of the i-th place had so many rows and has so many now: what its group makes of that. */
static int count_change(struct group_op *group, const struct pair_list *list, uint32_t i,
                        int64_t before, int64_t after, struct diag *diag)
{
    struct agg_entry *pair = list->entries[i], *row = list->groups[i];
    uint32_t c = list->calls[i];
    bool is_ordered = agg_call_values(plan_of(group), c) == AGG_VALUES_ORDERED;
    if (after < 0 || after > ROWS_MAX)
        return diag_set(diag, ERR_CORRUPT,
                        "more rows with a value went than came: delete the state directory to "
                        "rebuild it");
    if (is_ordered && !pair->is_ordered) {
        TRY(pair_index_insert(group->ordered, pair));
        pair->is_ordered = 1;
    }
    if ((before > 0) == (after > 0))
        return 0;
    if (is_ordered)
        return change_first(group, row, c, pair, after > 0);
    agg_row_count_distinct(plan_of(group), agg_entry_row(row), c, after > 0 ? 1 : -1);
    return 0;
}

int counted_change(struct group_op *group, struct agg_table *table, struct op_call *call,
                   struct pair_list *list, bool counts)
{
    TRY(agg_table_probe_pairs(table, list->count, list->starts, list->keys, list->entries));
    TRY(group_load_entries(group, list->entries, list->count, call->diag));
    TRY(agg_table_mark(table, list->entries, list->count));
    for (uint32_t i = 0; i < list->count; i++) {
        struct agg_entry *pair = list->entries[i];
        int64_t before = counted_rows(pair), after = before + list->changes[i];
        ((uint64_t *)agg_entry_row(pair))[0] = list->group_bytes[i] + 1;
        set_rows(pair, after);
        if (counts)
            TRY(count_change(group, list, i, before, after, call->diag));
    }
    return 0;
}

/* Whether the value behind the group's part of a key is one of its call's. */
static int check_value(struct group_op *group, struct bytes key, size_t group_bytes,
                       struct arena *arena, uint32_t *call)
{
    const struct group_params *params = group->op.params;
    struct bytes value;
    struct column column;
    TRY(pair_split(params, key, group_bytes, call, &value));
    bool is_ordered = agg_call_values(params->plan, *call) == AGG_VALUES_ORDERED;
    TRY(column_alloc(&column,
                     is_ordered ? params->aggregates->calls[*call].argument_type : COL_VARIANT, 1,
                     false, arena));
    if (!is_ordered)
        return group_key_decode(value, &column, 1, 0, arena);
    TRY(plain_value(group, key, group_bytes, agg_call_wants_max(params->plan, *call), &value));
    return value_order_take(value, &column, 0);
}

int counted_merge(struct group_op *group, struct op_call *call, uint32_t n,
                  const struct bytes *pairs, const struct bytes *values,
                  struct agg_entry *const *groups, struct pair_list *list)
{
    for (uint32_t i = 0; i < n; i++) {
        int rc = group_value_is_pair(values[i], &list->group_bytes[i]) &&
                         list->group_bytes[i] == agg_entry_key(groups[i]).size
                     ? take_rows(values[i], &list->changes[i])
                     : ERR_CORRUPT;
        if (rc == 0)
            rc = check_value(group, pairs[i], list->group_bytes[i], call->arena, &list->calls[i]);
        if (rc < 0)
            return diag_set(call->diag, rc, "a partial count of a value does not decode");
        list->keys[i] = pairs[i];
        list->groups[i] = groups[i];
    }
    list->count = n;
    return counted_change(group, group->table, call, list, true);
}

/* ---- the next one ---- */

struct search {
    struct group_op *group;
    struct bytes prefix; /* of the pairs of the set */
    struct buf best;     /* the first key that was found; empty: none */
};

static bool has_prefix(struct bytes key, struct bytes prefix)
{
    return key.size >= prefix.size && memcmp(key.data, prefix.data, prefix.size) == 0;
}

static struct bytes head_of(struct bytes key)
{
    return bytes_of(key.data, key.size < STATE_ORDERED_BYTES ? key.size : STATE_ORDERED_BYTES);
}

static int offer(struct search *search, struct bytes key)
{
    struct bytes best = bytes_of(search->best.data, search->best.size);
    if (best.size > 0 && bytes_compare(key, best) >= 0)
        return 0;
    buf_clear(&search->best);
    buf_append_bytes(&search->best, key);
    return buf_ok(&search->best) ? 0 : ERR_NOMEM;
}

static int search_table(struct search *search, struct bytes from)
{
    const struct pair_node *node = pair_index_seek(search->group->ordered, from);
    for (; node != NULL; node = pair_node_next(node)) {
        const struct agg_entry *pair = pair_node_entry(node);
        if (!has_prefix(agg_entry_key(pair), search->prefix))
            return 0;
        if (counted_rows(pair) > 0)
            return offer(search, agg_entry_key(pair));
    }
    return 0;
}

/* One key of the store. Behind the best one nothing better comes, unless both are long. */
static int search_stored(void *context, struct bytes key, struct bytes value)
{
    struct search *search = context;
    struct bytes best = bytes_of(search->best.data, search->best.size);
    int64_t count;
    if (best.size > 0 && bytes_compare(head_of(key), head_of(best)) > 0)
        return 1;
    if (!has_prefix(key, search->prefix) ||
        agg_table_find(search->group->table, WINDOW_NONE, key) != NULL)
        return 0;
    TRY(take_rows(value, &count));
    if (count <= 0)
        return ERR_CORRUPT;
    TRY(offer(search, key));
    return key.size <= STATE_ORDERED_BYTES;
}

static int search_store(struct search *search, struct bytes from, struct diag *diag)
{
    struct group_op *group = search->group;
    if (!group->store_may_have)
        return 0;
    /* The prefix ends with the number of a call, whose last byte is below 80 (hexadecimal). */
    struct bytes to = arena_copy(&group->load, search->prefix);
    if (to.data == NULL)
        return ERR_NOMEM;
    ((uint8_t *)(uintptr_t)to.data)[to.size - 1]++;
    int rc = state_scan(group->op.env->state, from, to, search_stored, search, diag);
    return rc < 0 ? diag_set(diag, rc, "the values of a group cannot be read") : 0;
}

/* Into search->best the first pair of a call whose value is not before that one. */
static int search_next(struct search *search, struct bytes group_key, uint32_t c,
                       struct bytes bound, bool wants_max, struct diag *diag)
{
    struct buf key;
    buf_init(&key, 0);
    buf_append_bytes(&key, group_key);
    buf_uvarint(&key, c);
    size_t prefix_bytes = key.size;
    if (wants_max)
        value_order_flip(&key, bound);
    else
        buf_append_bytes(&key, bound);
    int rc = buf_ok(&key) ? 0 : ERR_NOMEM;
    struct bytes from = bytes_of(key.data, key.size);
    search->prefix = bytes_of(key.data, prefix_bytes);
    buf_clear(&search->best);
    if (rc == 0)
        rc = search_table(search, from);
    if (rc == 0)
        rc = search_store(search, from, diag);
    buf_deinit(&key);
    return rc;
}

static int settle_call(struct group_op *group, struct agg_entry *entry, uint32_t c,
                       struct search *search, struct diag *diag)
{
    struct bytes from, value = {NULL, 0};
    const struct agg_plan *plan = plan_of(group);
    struct agg_least *least = agg_row_least(plan, agg_entry_row(entry), c);
    bool wants_max = agg_call_wants_max(plan, c);
    if (!agg_least_is_lost(least, &from))
        return 0;
    struct bytes group_key = agg_entry_key(entry);
    TRY(search_next(search, group_key, c, from, wants_max, diag));
    if (search->best.size > 0)
        TRY(plain_value(group, bytes_of(search->best.data, search->best.size), group_key.size,
                        wants_max, &value));
    agg_table_touch(group->table, entry);
    return agg_least_found(least, value);
}

int counted_settle(struct group_op *group, struct agg_entry *const *entries, uint32_t n,
                   struct diag *diag)
{
    const struct group_params *params = group->op.params;
    struct search search = {.group = group};
    int rc = 0;
    if (!agg_plan_has_order(params->plan))
        return 0;
    buf_init(&search.best, 0);
    for (uint32_t i = 0; i < n && rc == 0; i++)
        for (uint32_t c = 0; !entries[i]->is_pair && c < params->aggregates->call_count && rc == 0;
             c++)
            if (agg_call_values(params->plan, c) == AGG_VALUES_ORDERED)
                rc = settle_call(group, entries[i], c, &search, diag);
    buf_deinit(&search.best);
    arena_reset(&group->load);
    return rc;
}
