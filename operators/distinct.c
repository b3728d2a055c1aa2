/* distinct.c: count(DISTINCT x).
 *
 * Exact counts of distinct values need the values. They are not kept inside the group's
 * accumulator: a record with a million values would be written again in each commit that adds one,
 * and no two partials could be merged without both sets in memory. Instead each (group, value) is
 * an entry of its own beside the groups, in the same table, the same changelog and the same store,
 * under the group's key with the value behind it:
 *
 *     key      group key, uvarint number of the call, the value as group_key.h writes it
 *     value    1 byte: 2; uvarint size of the group's part of the key
 *
 * The accumulator holds a number alone: how many pairs the group has. A pair is written once, when
 * its value is new to the group, and never again; so a commit's changelog grows by what is new,
 * whatever the size of the set. Pairs are evicted and read back like groups, which bounds memory
 * by the budget and not by the sets, and they close with their window. There is no limit on the
 * number of values of a group.
 *
 * A re-keying is crossed by the pairs themselves. The task in front of it (preaggregate) keeps the
 * pairs of one commit and does not count them: two tasks, or two commits, may see the same value.
 * Whoever merges partials knows all pairs of its groups and counts those that are new to it. The
 * order of partials decides nothing: a union is a union.
 *
 * Values are equal when GROUP BY would make one group of them: 1, 1.0 and 1e0 are one value, 0.0
 * and −0.0 are, objects and arrays are compared by their text. NULL is no value.
 *
 * Rows that may be taken back need to know how often a value is there: counted.c, whose pairs are
 * listed, named and written here as well (version 4). */
#include "operators/distinct.h"

#include "operators/agg_kind.h"
#include "operators/counted.h"
#include "operators/value_order.h"

enum { PAIR_VERSION = 2, COUNTED_VERSION = 4 };

/* ---- the accumulator: a number ---- */

static void count_encode(const void *slot, struct buf *out)
{
    buf_uvarint(out, *(const uint64_t *)slot);
}

static int count_merge(void *slot, struct bytes *in, uint64_t row_count, bool wants_max)
{
    uint64_t count;
    (void)wants_max;
    TRY(agg_take_count(in, row_count, &count));
    if (slot != NULL)
        *(uint64_t *)slot += count;
    return 0;
}

static int count_result(const void *slot, struct column *out, uint32_t at)
{
    out->i64[at] = (int64_t) * (const uint64_t *)slot;
    return 1;
}

const struct agg_kind agg_kind_distinct = {.slot_bytes = sizeof(uint64_t),
                                           .encode = count_encode,
                                           .merge = count_merge,
                                           .result = count_result};

/* ---- pairs, as stored ---- */

bool group_value_is_pair(struct bytes value, size_t *group_bytes)
{
    uint8_t version;
    uint64_t size = 0;
    int64_t count;
    *group_bytes = 0;
    if (take_u8(&value, &version) < 0 || (version != PAIR_VERSION && version != COUNTED_VERSION))
        return false;
    if (take_uvarint(&value, &size) == 0 &&
        (version == PAIR_VERSION || agg_take_net(&value, &count) == 0) && value.size == 0)
        *group_bytes = (size_t)size;
    return true;
}

void distinct_encode(const struct group_params *params, const struct agg_entry *pair,
                     struct buf *out)
{
    bool is_counted = agg_plan_takes_back(params->plan);
    const uint64_t *words = agg_entry_row(pair);
    must(pair->is_pair);
    buf_u8(out, is_counted ? COUNTED_VERSION : PAIR_VERSION);
    buf_uvarint(out, words[0] - 1);
    if (is_counted)
        buf_varint(out, counted_rows(pair));
}

int pair_split(const struct group_params *params, struct bytes key, size_t group_bytes,
               uint32_t *call, struct bytes *value)
{
    uint64_t number;
    if (group_bytes > key.size)
        return ERR_CORRUPT;
    *value = bytes_of(key.data + group_bytes, key.size - group_bytes);
    TRY(take_uvarint(value, &number));
    *call = (uint32_t)number;
    return agg_call_values(params->plan, number) != AGG_VALUES_NONE ? 0 : ERR_CORRUPT;
}

/* Which call's value a pair is, once what lies behind the group's part has been looked at. */
static int check_pair(const struct group_op *group, struct bytes key, size_t group_bytes,
                      struct arena *arena, uint32_t *call)
{
    struct bytes value;
    struct column column;
    TRY(pair_split(group->op.params, key, group_bytes, call, &value));
    TRY(column_alloc(&column, COL_VARIANT, 1, false, arena));
    return group_key_decode(value, &column, 1, 0, arena);
}

int distinct_decode(const struct group_params *params, struct agg_entry *pair, struct bytes value)
{
    size_t group_bytes;
    bool is_counted = agg_plan_takes_back(params->plan);
    if (!group_value_is_pair(value, &group_bytes) || group_bytes >= agg_entry_key(pair).size ||
        value.data[0] != (is_counted ? COUNTED_VERSION : PAIR_VERSION))
        return ERR_CORRUPT;
    ((uint64_t *)agg_entry_row(pair))[0] = group_bytes + 1;
    return is_counted ? counted_set_rows(pair, value) : 0;
}

/* ---- finding pairs ---- */

/* New pairs are marked; counted[] receives whether pairs[i] is new to its group. A pair that occurs
 * twice among them is new once. */
static int find_pairs(struct group_op *group, struct agg_table *table, struct op_call *call,
                      uint32_t n, const int64_t *starts, const struct bytes *keys,
                      const size_t *group_bytes, struct agg_entry **pairs, uint8_t *is_new)
{
    TRY(agg_table_probe_pairs(table, n, starts, keys, pairs));
    for (uint32_t i = 0; i < n; i++)
        is_new[i] = pairs[i]->is_new;
    if (table == group->table)
        TRY(group_load_entries(group, pairs, n, call->diag));
    for (uint32_t i = 0; i < n; i++) {
        if (__builtin_expect(!is_new[i], 1))
            continue;
        uint64_t *word = agg_entry_row(pairs[i]);
        pairs[i]->is_new = 0;
        is_new[i] = *word == 0;
        if (!is_new[i])
            continue; /* the store had it, or it came before */
        *word = group_bytes[i] + 1;
        TRY(agg_table_mark(table, &pairs[i], 1));
    }
    return 0;
}

int pair_list_alloc(struct pair_list *list, uint32_t room, bool windowed, struct arena *arena)
{
    list->count = 0;
    list->keys = arena_alloc(arena, (room + 1) * sizeof *list->keys);
    list->group_bytes = arena_alloc(arena, (room + 1) * sizeof *list->group_bytes);
    list->starts = windowed ? arena_alloc(arena, (room + 1) * sizeof *list->starts) : NULL;
    list->groups = arena_alloc(arena, (room + 1) * sizeof(struct agg_entry *));
    list->entries = arena_alloc(arena, (room + 1) * sizeof(struct agg_entry *));
    list->calls = arena_alloc(arena, (room + 1) * sizeof *list->calls);
    list->changes = arena_alloc(arena, (room + 1) * sizeof *list->changes);
    list->is_new = arena_alloc(arena, room + 1);
    return list->keys == NULL || list->group_bytes == NULL || (windowed && list->starts == NULL) ||
                   list->groups == NULL || list->entries == NULL || list->calls == NULL ||
                   list->changes == NULL || list->is_new == NULL
               ? ERR_NOMEM
               : 0;
}

/* ---- rows ---- */

static bool counts_row(const struct column *filter, const struct column *argument, uint32_t row)
{
    if (column_is_null(argument, row))
        return false;
    if (filter->data == NULL)
        return true;
    uint32_t at = column_at(filter, row);
    if (filter->type == COL_VARIANT)
        return filter->variant[at].kind == VARIANT_TRUE;
    return filter->boolean[at] != 0 && !column_is_null(filter, row);
}

static int pair_key(struct arena *arena, struct bytes group, uint32_t call, struct bytes value,
                    struct bytes *key)
{
    size_t number_bytes = call < 0x80 ? 1 : 2; /* a uvarint */
    must(call < 0x4000);
    size_t size = group.size + number_bytes + value.size;
    uint8_t *data = arena_alloc_aligned(arena, size, 1), *p = data;
    if (data == NULL)
        return ERR_NOMEM;
    if (group.size > 0)
        memcpy(p, group.data, group.size);
    p += group.size;
    *p++ = (uint8_t)(number_bytes == 1 ? call : call | 0x80);
    if (number_bytes == 2)
        *p++ = (uint8_t)(call >> 7);
    memcpy(p, value.data, value.size);
    *key = bytes_of(data, size);
    return 0;
}

/* Of a value that sorts as min or max does; it stays in a scratch buffer. NULLs and rows that do not
 * count are not asked for: what filters leave out need not be a value that can be compared. */
static int ordered_value(struct group_op *group, const struct column *argument, uint32_t row,
                         bool wants_max, struct bytes *value)
{
    struct buf *plain = &group->encoded, *flipped = &group->text;
    buf_clear(plain);
    value_order_put(plain, argument, row);
    *value = bytes_of(plain->data, plain->size);
    if (wants_max) {
        buf_clear(flipped);
        value_order_flip(flipped, *value);
        *value = bytes_of(flipped->data, flipped->size);
    }
    return buf_ok(plain) && (!wants_max || buf_ok(flipped)) ? 0 : ERR_NOMEM;
}

int pair_list_rows(struct group_op *group, uint32_t c, const struct batch *batch,
                   const struct column *argument, const struct column *filter,
                   const int64_t *starts, const struct bytes *keys, struct agg_entry *const *groups,
                   struct pair_list *list)
{
    const struct agg_plan *plan = ((const struct group_params *)group->op.params)->plan;
    bool is_ordered = agg_call_values(plan, c) == AGG_VALUES_ORDERED;
    struct bytes *values = arena_alloc(batch->arena, (batch->selected_count + 1) * sizeof *values);
    if (values == NULL)
        return ERR_NOMEM;
    if (!is_ordered)
        TRY(group_key_encode_batch(batch, argument, 1, values));
    list->count = 0;
    for (uint32_t i = 0; i < batch->selected_count; i++) {
        uint32_t row = batch_row(batch, i);
        if (!counts_row(filter, argument, row))
            continue;
        uint32_t at = list->count++;
        if (is_ordered)
            TRY(ordered_value(group, argument, row, agg_call_wants_max(plan, c), &values[i]));
        TRY(pair_key(batch->arena, keys[i], c, values[i], &list->keys[at]));
        list->group_bytes[at] = keys[i].size;
        list->groups[at] = groups[i];
        list->calls[at] = c;
        list->changes[at] = batch->weights != NULL ? batch->weights[row] : 1;
        if (starts != NULL)
            list->starts[at] = starts[i];
    }
    return 0;
}

int distinct_update(struct group_op *group, struct agg_table *table, struct op_call *call,
                    const struct batch *batch, const struct column *arguments,
                    const struct column *filters, const int64_t *starts, const struct bytes *keys,
                    struct agg_entry *const *groups, bool counts)
{
    const struct group_params *params = group->op.params;
    struct pair_list list;
    TRY(pair_list_alloc(&list, batch->selected_count, starts != NULL, batch->arena));
    for (uint32_t c = 0; c < params->aggregates->call_count; c++) {
        if (agg_call_values(params->plan, c) == AGG_VALUES_NONE)
            continue;
        TRY(pair_list_rows(group, c, batch, &arguments[c], &filters[c], starts, keys, groups,
                           &list));
        if (agg_plan_takes_back(params->plan)) {
            TRY(counted_change(group, table, call, &list, counts));
            continue;
        }
        TRY(find_pairs(group, table, call, list.count, list.starts, list.keys, list.group_bytes,
                       list.entries, list.is_new));
        for (uint32_t i = 0; counts && i < list.count; i++)
            if (list.is_new[i])
                agg_row_count_distinct(params->plan, agg_entry_row(list.groups[i]), c, 1);
    }
    return 0;
}

/* ---- partials ---- */

int distinct_merge(struct group_op *group, struct op_call *call, uint32_t n, const int64_t *starts,
                   const struct bytes *pairs, const struct bytes *values,
                   struct agg_entry *const *groups)
{
    const struct group_params *params = group->op.params;
    struct pair_list list;
    TRY(pair_list_alloc(&list, n, false, call->arena));
    if (agg_plan_takes_back(params->plan))
        return counted_merge(group, call, n, pairs, values, groups, &list);
    for (uint32_t i = 0; i < n; i++) {
        int rc = group_value_is_pair(values[i], &list.group_bytes[i]) &&
                         values[i].data[0] == PAIR_VERSION &&
                         list.group_bytes[i] == agg_entry_key(groups[i]).size
                     ? check_pair(group, pairs[i], list.group_bytes[i], call->arena, &list.calls[i])
                     : ERR_CORRUPT;
        if (rc < 0)
            return diag_set(call->diag, rc, "a partial count of distinct values does not decode");
    }
    TRY(find_pairs(group, group->table, call, n, starts, pairs, list.group_bytes, list.entries,
                   list.is_new));
    for (uint32_t i = 0; i < n; i++)
        if (list.is_new[i])
            agg_row_count_distinct(params->plan, agg_entry_row(groups[i]), list.calls[i], 1);
    return 0;
}
