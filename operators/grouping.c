/* grouping.c: groups and their accumulators between commits.
 *
 * The table is a set of pending changes over the store (when there is one): an entry in the table
 * is authoritative, a group that is not in the table is as the store says. Each commit writes every
 * changed group once, as an absolute value, to the changelog; the store follows the changelog
 * later, on another thread. So an entry may be forgotten only when the reader's snapshot of the
 * store already holds its last commit (op_group_evict).
 *
 * Windows close in time order: group_close.c. Which windows a row is in: group_window.c.
 *
 * Whether a miss needs a look into the store is known without looking for most windows: nothing
 * later than store_bound_ms has ever left the table. */
#include <stdlib.h>
#include <string.h>

#include "operators/counted.h"
#include "operators/distinct.h"
#include "operators/grouping.h"
#include "operators/pair_index.h"

extern const struct op_type op_preaggregate_type, op_aggregate_type, op_merge_type;

/* Changed groups are written in passes (changelog, then results), each over so many: a pass finds them
 * where the one before left them, in the second-level cache. */
enum { FLUSH_ROWS = 1024 };

static const struct group_params *params_of(const struct group_op *group)
{
    return group->op.params;
}

static bool is_windowed(const struct group_params *params)
{
    return params->window.kind != WINDOW_ABSENT;
}

static int encode_nothing(struct group_op *group)
{
    const struct agg_plan *plan = params_of(group)->plan;
    void *row = malloc(agg_plan_row_bytes(plan));
    if (row == NULL)
        return ERR_NOMEM;
    agg_row_init(plan, row);
    agg_encode(plan, row, &group->nothing);
    free(row);
    return buf_ok(&group->nothing) ? 0 : ERR_NOMEM;
}

int group_open(struct op *op, struct op_env *env, struct diag *diag)
{
    struct group_op *group = (struct group_op *)op;
    const struct group_params *params = op->params;
    buf_init(&group->store_key, 0);
    buf_init(&group->encoded, 0);
    buf_init(&group->text, 0);
    arena_init(&group->load, 0);
    group->closed_before_ms = env->closed_before_ms;
    group->max_window_ms =
        env->store_max_window_ms == INT64_MAX ? INT64_MIN : env->store_max_window_ms;
    group->store_bound_ms = env->store_max_window_ms;
    group->store_may_have = op_group_is_stored(op) && env->state != NULL && env->store_may_have;
    buf_init(&group->nothing, 0);
    int rc = agg_table_create(params->plan, &group->table);
    if (rc == 0 && agg_plan_takes_back(params->plan))
        rc = encode_nothing(group);
    if (rc == 0 && params->window.kind == WINDOW_HOPPING && op->type == &op_aggregate_type)
        rc = agg_table_create(params->plan, &group->runs);
    if (rc == 0 && params->window.kind == WINDOW_SESSION)
        rc = group_session_open(group);
    if (rc == 0 && agg_plan_has_order(params->plan) && op_group_is_stored(op))
        rc = pair_index_create(&group->ordered);
    return rc < 0 ? diag_set(diag, rc, "no memory for the aggregation table") : 0;
}

void group_close(struct op *op)
{
    struct group_op *group = (struct group_op *)op;
    if (group->table != NULL)
        agg_table_destroy(group->table);
    if (group->runs != NULL)
        agg_table_destroy(group->runs);
    pair_index_destroy(group->ordered);
    group_session_close(group);
    free(group->closing);
    buf_deinit(&group->store_key);
    buf_deinit(&group->encoded);
    buf_deinit(&group->text);
    buf_deinit(&group->nothing);
    arena_deinit(&group->load);
}

void group_store_key(struct buf *out, int64_t window_start_ms, struct bytes group_key)
{
    if (window_start_ms != WINDOW_NONE)
        buf_be64(out, (uint64_t)window_start_ms ^ (1ull << 63));
    buf_append_bytes(out, group_key);
}

int group_store_key_split(struct bytes key, bool windowed, int64_t *window_start_ms,
                          struct bytes *group_key)
{
    *window_start_ms = WINDOW_NONE;
    if (windowed) {
        uint64_t start;
        TRY(take_be64(&key, &start));
        *window_start_ms = (int64_t)(start ^ (1ull << 63));
    }
    *group_key = key;
    return 0;
}

int group_mark_entries(struct agg_table *table, struct agg_entry *const *entries, uint32_t count,
                       void **rows)
{
    for (uint32_t i = 0; i < count; i++)
        rows[i] = agg_entry_row(entries[i]);
    return agg_table_mark(table, entries, count);
}

/* ---- rows in ---- */

int32_t group_partition(const struct group_params *params, struct bytes group_key,
                        int32_t partition_count, struct arena *arena, struct buf *scratch)
{
    if (partition_count == 1)
        return 0;
    struct bytes text = group_key, one;
    uint8_t kind;
    uint64_t size;
    if (params->groups->count == 1 && take_u8(&text, &kind) == 0 && kind == GROUP_KEY_TEXT &&
        take_uvarint(&text, &size) == 0 && take_bytes(&text, size, &one) == 0 &&
        (size == 0 || one.data[0] != '{'))
        return murmur2_partition(one.data, one.size, partition_count);
    uint32_t count = params->groups->count;
    struct column *columns = arena_alloc(arena, count * sizeof *columns);
    must(columns != NULL);
    for (uint32_t i = 0; i < count; i++)
        must(column_alloc(&columns[i], params->group_types[i], 1, true, arena) == 0);
    must(group_key_decode(group_key, columns, count, 0, arena) == 0);
    buf_clear(scratch);
    json_encode_key(scratch, params->key_names, columns, 0, false);
    must(buf_ok(scratch));
    return murmur2_partition(scratch->data, scratch->size, partition_count);
}

static int reject_misplaced(struct group_op *group, struct op_call *call, const struct batch *batch,
                            const struct bytes *keys)
{
    const struct op_env *env = group->op.env;
    for (uint32_t i = 0; i < batch->selected_count; i++) {
        int32_t where = group_partition(params_of(group), keys[i], env->partition_count,
                                        call->arena, &group->text);
        if (where != env->partition)
            TRY(reject_add(
                call->rejects, batch_row(batch, i), "misplaced",
                "the topic is declared to be partitioned by this group, which belongs in partition "
                "%d, not %d",
                (int)where, (int)env->partition));
    }
    return 0;
}

/* Evaluates the arguments and filters of all calls; a constant TRUE stands for no filter (data
 * NULL). */
static int eval_arguments(const struct group_params *params, struct op_call *call,
                          const struct batch *batch, struct column *arguments,
                          struct column *filters)
{
    for (uint32_t c = 0; c < params->aggregates->call_count; c++) {
        const struct agg_call *agg = &params->aggregates->calls[c];
        memset(&arguments[c], 0, sizeof arguments[c]);
        memset(&filters[c], 0, sizeof filters[c]);
        if (agg->argument != NULL)
            TRY(expr_eval(agg->argument, batch, &arguments[c], call->rejects));
        if (agg->filter != NULL)
            TRY(expr_eval(agg->filter, batch, &filters[c], call->rejects));
    }
    if (params->window.kind == WINDOW_SESSION)
        group_session_arguments(params, batch, arguments);
    return 0;
}

/* How long a value may be that an aggregate keeps; 0: it keeps none. */
static size_t value_limit(const struct agg_plan *plan, uint32_t call, enum agg_func func,
                          uint32_t calls)
{
    size_t limit = GROUP_VALUES_MAX_BYTES / (calls > 0 ? calls : 1);
    if (agg_call_values(plan, call) == AGG_VALUES_ORDERED)
        return ORDERED_VALUE_MAX_BYTES;
    switch (func) {
    case AGG_MIN:
    case AGG_MAX:
    case AGG_FIRST:
    case AGG_LAST:
        return limit < GROUP_VALUE_MAX_BYTES ? limit : GROUP_VALUE_MAX_BYTES;
    case AGG_COUNT_DISTINCT:
        return DISTINCT_VALUE_MAX_BYTES;
    default:
        return 0;
    }
}

/* Texts that an aggregate would keep, and no store or record could hold. */
static int reject_long_values(const struct group_params *params, struct op_call *call,
                              const struct batch *batch, const struct column *arguments)
{
    static const char *const names[] = {
        "count", "count", "sum", "avg", "min", "max", "first", "last", "count(DISTINCT)"};
    uint32_t calls = params->aggregates->call_count;
    for (uint32_t c = 0; c < calls; c++) {
        enum agg_func func = params->aggregates->calls[c].func;
        const struct column *value = &arguments[c];
        size_t limit = value_limit(params->plan, c, func, calls);
        bool is_bytes = value->type == COL_TEXT || value->type == COL_BYTEA;
        if (limit == 0 || (!is_bytes && value->type != COL_VARIANT))
            continue;
        for (uint32_t i = 0; i < batch->selected_count; i++) {
            uint32_t row = batch_row(batch, i), at = column_at(value, row);
            size_t size = is_bytes                                    ? value->text[at].size
                          : value->variant[at].kind >= VARIANT_NUMBER ? value->variant[at].size
                                                                      : 0;
            if (__builtin_expect(size > limit, 0) && !column_is_null(value, row))
                TRY(reject_add(call->rejects, row, "value_too_long",
                               "%s of a value of %zu bytes; the limit is %zu", names[func], size,
                               limit));
        }
    }
    return 0;
}

static int eval_inputs(const struct group_params *params, struct op_call *call, struct batch *batch,
                       struct column *groups, struct column *arguments, struct column *filters)
{
    uint32_t first = call->rejects->count;
    for (uint32_t i = 0; i < params->groups->count; i++)
        TRY(expr_eval(params->groups->exprs[i], batch, &groups[i], call->rejects));
    TRY(eval_arguments(params, call, batch, arguments, filters));
    TRY(batch_drop_rejected(batch, call->rejects, first, call->arena));
    first = call->rejects->count;
    TRY(agg_check(params->plan, batch, arguments, filters, call->rejects));
    TRY(reject_long_values(params, call, batch, arguments));
    return batch_drop_rejected(batch, call->rejects, first, call->arena);
}

/* The groups of the rows that are left. A group that no store can hold would stop the job for good
 * at its next checkpoint, so its row is a dead letter. Hardly any batch has one; those that have
 * are encoded twice. */
static int encode_groups(const struct group_params *params, struct op_call *call,
                         struct batch *batch, const struct column *groups, int64_t *starts,
                         struct bytes *keys)
{
    uint32_t first = call->rejects->count;
    struct batch before = *batch;
    size_t limit =
        agg_plan_has_values(params->plan) ? DISTINCT_GROUP_MAX_BYTES : GROUP_KEY_MAX_BYTES;
    TRY(group_key_encode_batch(batch, groups, params->groups->count, keys));
    for (uint32_t i = 0; i < batch->selected_count; i++)
        if (__builtin_expect(keys[i].size > limit, 0))
            TRY(reject_add(call->rejects, batch_row(batch, i), "group_too_long",
                           "the row's group takes %zu bytes; the limit is %zu", keys[i].size,
                           limit));
    if (call->rejects->count == first)
        return 0;
    TRY(batch_drop_rejected(batch, call->rejects, first, call->arena));
    for (uint32_t i = 0, old = 0; starts != NULL && i < batch->selected_count; i++, old++) {
        while (batch_row(&before, old) != batch_row(batch, i))
            old++;
        starts[i] = starts[old];
    }
    return group_key_encode_batch(batch, groups, params->groups->count, keys);
}

int group_check_rows(const struct group_params *params, struct op_call *call, struct batch *batch)
{
    uint32_t calls = params->aggregates->call_count;
    struct column *columns =
        arena_alloc(call->arena, (params->groups->count + 2 * (size_t)calls + 1) * sizeof *columns);
    struct bytes *keys =
        arena_alloc(call->arena, ((size_t)batch->selected_count + 1) * sizeof *keys);
    if (columns == NULL || keys == NULL)
        return ERR_NOMEM;
    struct column *arguments = columns + params->groups->count;
    TRY(eval_inputs(params, call, batch, columns, arguments, arguments + calls));
    return encode_groups(params, call, batch, columns, NULL, keys);
}

/* The user's function sees rows one by one, before anything else counts them. Those that it refuses
 * leave the batch; a group that is new and got none is not there. */
static int apply_function(const struct group_params *params, struct agg_table *into,
                          struct op_call *call, struct batch *batch, const struct column *arguments,
                          struct agg_entry **entries, void **rows)
{
    uint32_t all = batch->selected_count;
    uint32_t *kept = arena_alloc(call->arena, (all + 1) * sizeof *kept);
    if (kept == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < all; i++)
        rows[i] = agg_entry_row(entries[i]);
    TRY(agg_update_function(params->plan, call, batch, arguments, rows, kept));
    if (batch->selected_count == all)
        return 0;
    for (uint32_t i = 0, next = 0; i < all; i++) {
        bool stays = next < batch->selected_count && kept[next] == i;
        next += stays;
        if (!stays && entries[i]->is_live &&
            agg_row_function_count(params->plan, agg_entry_row(entries[i])) == 0)
            agg_table_remove(into, entries[i]);
    }
    for (uint32_t i = 0; i < batch->selected_count; i++)
        entries[i] = entries[kept[i]];
    return 0;
}

int group_update_rows(struct group_op *group, struct op_call *call, const struct batch *in)
{
    const struct group_params *params = params_of(group);
    struct arena *arena = call->arena;
    struct batch batch = *in;
    uint32_t calls = params->aggregates->call_count;
    struct column *groups = arena_alloc(arena, (params->groups->count + 1) * sizeof *groups);
    struct column *arguments = arena_alloc(arena, (calls + 1) * sizeof *arguments);
    struct column *filters = arena_alloc(arena, (calls + 1) * sizeof *filters);
    struct bytes *keys = arena_alloc(arena, (in->selected_count + 1) * sizeof *keys);
    struct agg_entry **entries = arena_alloc(arena, (in->selected_count + 1) * sizeof *entries);
    void **rows = arena_alloc(arena, (in->selected_count + 1) * sizeof *rows);
    int64_t *starts = NULL;
    if (groups == NULL || arguments == NULL || filters == NULL || keys == NULL || entries == NULL ||
        rows == NULL)
        return ERR_NOMEM;

    TRY(eval_inputs(params, call, &batch, groups, arguments, filters));
    if (group->op.env->check_placement && group->op.env->partition_count > 1) {
        uint32_t first = call->rejects->count;
        TRY(group_key_encode_batch(&batch, groups, params->groups->count, keys));
        TRY(reject_misplaced(group, call, &batch, keys));
        TRY(batch_drop_rejected(&batch, call->rejects, first, arena));
    }
    if (is_windowed(params)) {
        starts = arena_alloc(arena, (batch.selected_count + 1) * sizeof *starts);
        if (starts == NULL)
            return ERR_NOMEM;
        TRY(group_assign_windows(params, call, &batch, starts));
    }
    TRY(encode_groups(params, call, &batch, groups, starts, keys));
    if (batch.selected_count == 0)
        return 0;
    struct agg_table *into = group->runs != NULL ? group->runs : group->table;
    TRY(agg_table_probe(into, batch.selected_count, starts, keys, entries));
    if (into == group->table)
        TRY(group_load_entries(group, entries, batch.selected_count, call->diag));
    if (agg_plan_function(params->plan) != NULL)
        TRY(apply_function(params, into, call, &batch, arguments, entries, rows));
    TRY(group_mark_entries(into, entries, batch.selected_count, rows));
    TRY(agg_update(params->plan, &batch, arguments, filters, rows));
    if (agg_plan_has_values(params->plan))
        TRY(distinct_update(group, into, call, &batch, arguments, filters, starts, keys, entries,
                            group->op.type != &op_preaggregate_type && into == group->table));
    if (in->weights == NULL) /* else the rows were counted where they changed their table */
        call->applied_rows += batch.selected_count;
    return 0;
}

/* ---- out ---- */

void group_encode_entry(struct group_op *group, const struct agg_entry *entry)
{
    buf_clear(&group->encoded);
    if (entry->is_pair)
        distinct_encode(params_of(group), entry, &group->encoded);
    else
        agg_encode(params_of(group)->plan, agg_entry_row(entry), &group->encoded);
}

/* Of rows that may be taken back: what came went again. */
static bool is_nothing(const struct group_op *group, const struct agg_entry *entry)
{
    if (group->nothing.size == 0)
        return false;
    return entry->is_pair ? counted_rows(entry) == 0
                          : bytes_equal(bytes_of(group->encoded.data, group->encoded.size),
                                        bytes_of(group->nothing.data, group->nothing.size));
}

int group_flush_partials(struct group_op *group, struct op_call *call, struct batch *out)
{
    struct agg_entry **entries = arena_alloc(call->arena, BATCH_ROWS * sizeof *entries);
    if (entries == NULL)
        return ERR_NOMEM;
    memset(out, 0, sizeof *out);
    uint32_t n = agg_table_take_dirty(group->table, entries, BATCH_ROWS);
    if (n == 0) {
        agg_table_clear(group->table);
        return OP_DONE;
    }
    struct column *columns = arena_alloc(call->arena, 3 * sizeof *columns);
    if (columns == NULL)
        return ERR_NOMEM;
    TRY(column_alloc(&columns[0], COL_TEXT, n, false, call->arena));
    TRY(column_alloc(&columns[1], COL_BIGINT, n, false, call->arena));
    TRY(column_alloc(&columns[2], COL_TEXT, n, false, call->arena));
    uint32_t count = 0;
    for (uint32_t i = 0; i < n; i++) {
        group_encode_entry(group, entries[i]);
        struct bytes encoded = bytes_of(group->encoded.data, group->encoded.size);
        if (!buf_ok(&group->encoded))
            return ERR_NOMEM;
        if (is_nothing(group, entries[i]))
            continue;
        struct bytes copy = arena_copy(call->arena, encoded);
        if (copy.data == NULL)
            return ERR_NOMEM;
        columns[0].text[count] = agg_entry_key(entries[i]);
        columns[1].i64[count] = entries[i]->window_start_ms;
        columns[2].text[count++] = copy;
    }
    *out = (struct batch){.row_count = count,
                          .selected_count = count,
                          .columns = columns,
                          .column_count = 3,
                          .arena = call->arena};
    return OP_MORE;
}

/* The scope that the outputs were compiled against: group columns, window bounds, call results. */
static int fill_inputs(const struct group_params *params, struct op_call *call,
                       const struct group_item *items, uint32_t n, struct column *columns,
                       uint32_t column_count)
{
    uint32_t groups = params->groups->count, windows = is_windowed(params) ? 2 : 0;
    for (uint32_t c = 0; c < column_count; c++) {
        enum col_type type = c < groups ? params->group_types[c]
                             : c < groups + windows
                                 ? COL_TIMESTAMPTZ
                                 : params->aggregates->calls[c - groups - windows].result_type;
        TRY(column_alloc(&columns[c], type, n, true, call->arena));
    }
    for (uint32_t i = 0; i < n; i++) {
        int rc = group_key_decode(items[i].key, columns, groups, i, call->arena);
        if (rc < 0)
            return diag_set(call->diag, rc, "a stored group key does not decode");
        if (windows) {
            columns[groups].i64[i] = items[i].window_start_ms;
            columns[groups + 1].i64[i] = window_end(&params->window, items[i].window_start_ms);
        }
        if (agg_plan_function(params->plan) != NULL) {
            rc = agg_result_function(params->plan, call, items[i].row, columns + groups + windows,
                                     i);
            if (rc < 0 && rc != ERR_INVALID)
                return rc;
        }
        rc = agg_result(params->plan, items[i].row, columns + groups + windows, i);
        if (params->window.kind == WINDOW_SESSION)
            group_session_bounds(params, columns + groups + windows, i, &columns[groups].i64[i],
                                 &columns[groups + 1].i64[i]);
        if (rc == ERR_RANGE)
            TRY(reject_add(call->rejects, i, "numeric_out_of_range",
                           "an aggregate needs more than %d digits", NUMERIC_MAX_DIGITS));
        else if (rc < 0)
            return rc;
    }
    return 0;
}

/* Finds the results for which having is true; *shown is out with those alone. With changes a column
 * says it of every row: one that is not shown takes back what was shown before. */
static int judge_results(const struct group_params *params, struct op_call *call, struct batch *out,
                         struct batch *shown)
{
    uint32_t first = call->rejects->count;
    *shown = *out;
    if (params->having == NULL)
        return 0;
    uint16_t *selection = arena_alloc(call->arena, (out->selected_count + 1) * sizeof *selection);
    struct column *mark = &out->columns[group_batch_columns(params) - 1];
    if (selection == NULL)
        return ERR_NOMEM;
    TRY(column_alloc(mark, COL_BOOLEAN, out->row_count, false, call->arena));
    memset(mark->boolean, 0, out->row_count);
    TRY(expr_filter(params->having, out, selection, &shown->selected_count, call->rejects));
    shown->selection = selection;
    for (uint32_t i = 0; i < shown->selected_count; i++)
        mark->boolean[selection[i]] = 1;
    if (params->emit_final)
        *out = *shown;
    return batch_drop_rejected(out, call->rejects, first, call->arena);
}

/* Only of rows that are shown, as in SQL: HAVING count(x) > 0 guards a division by count(x). */
static int select_columns(const struct group_params *params, struct op_call *call,
                          struct batch *out, const struct batch *shown)
{
    uint32_t first = call->rejects->count, count = out->column_count;
    for (uint32_t i = 0; params->select != NULL && i < params->select->count; i++)
        TRY(expr_eval(params->select->exprs[i], shown, &out->columns[count + i], call->rejects));
    out->column_count = group_batch_columns(params);
    return batch_drop_rejected(out, call->rejects, first, call->arena);
}

int group_build_results(const struct group_params *params, struct op_call *call,
                        const struct group_item *items, uint32_t n, struct batch *out)
{
    uint32_t fixed = params->groups->count + (is_windowed(params) ? 2 : 0);
    uint32_t inputs = fixed + params->aggregates->call_count;
    uint32_t first = call->rejects->count;
    struct column *columns = arena_alloc(call->arena, (inputs + 1) * sizeof *columns);
    struct column *results =
        arena_alloc(call->arena, group_batch_columns(params) * sizeof *results);
    if (columns == NULL || results == NULL)
        return ERR_NOMEM;
    TRY(fill_inputs(params, call, items, n, columns, inputs));
    *out = (struct batch){.row_count = n,
                          .selected_count = n,
                          .columns = columns,
                          .column_count = inputs,
                          .arena = call->arena};
    TRY(batch_drop_rejected(out, call->rejects, first, call->arena));
    first = call->rejects->count;
    memcpy(results, columns, fixed * sizeof *results);
    struct batch scope = *out;
    if (params->function != NULL) {
        scope.columns += fixed;
        scope.column_count -= fixed;
    }
    for (uint32_t i = 0; i < params->aggregates->output_count; i++)
        TRY(expr_eval(params->aggregates->outputs[i], &scope, &results[fixed + i], call->rejects));
    TRY(batch_drop_rejected(out, call->rejects, first, call->arena));
    out->columns = results;
    out->column_count = group_result_columns(params);
    TRY(judge_results(params, call, out, &scope));
    return select_columns(params, call, out, &scope);
}

int group_build_entries(struct group_op *group, struct op_call *call,
                        struct agg_entry *const *entries, uint32_t n, struct batch *out)
{
    struct group_item *items = arena_alloc(call->arena, (n + 1) * sizeof *items);
    uint32_t count = 0;
    if (items == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < n; i++)
        if (!entries[i]->is_pair)
            items[count++] = (struct group_item){
                entries[i]->window_start_ms, agg_entry_key(entries[i]), agg_entry_row(entries[i])};
    return count > 0 ? group_build_results(params_of(group), call, items, count, out) : 0;
}

int group_write_change(struct group_op *group, struct agg_entry *entry, bool is_tombstone)
{
    buf_clear(&group->store_key);
    group_store_key(&group->store_key, entry->window_start_ms, agg_entry_key(entry));
    if (!is_tombstone)
        group_encode_entry(group, entry);
    if (!buf_ok(&group->store_key) || !buf_ok(&group->encoded))
        return ERR_NOMEM;
    entry->changelog_offset = group->commit_number;
    struct bytes value =
        is_tombstone ? (struct bytes){NULL, 0} : bytes_of(group->encoded.data, group->encoded.size);
    return group->op.env->changelog(group->op.env->context,
                                    bytes_of(group->store_key.data, group->store_key.size), value);
}

/* Of groups over a table those whose last row went: moves them to the front. */
static uint32_t find_gone(const struct group_op *group, struct agg_entry **entries, uint32_t n)
{
    uint32_t count = 0;
    if (!agg_plan_takes_back(params_of(group)->plan))
        return 0;
    for (uint32_t i = 0; i < n; i++) {
        struct agg_entry *entry = entries[i];
        if (entry->is_pair || agg_row_count(agg_entry_row(entry)) != 0)
            continue;
        entries[i] = entries[count];
        entries[count++] = entry;
    }
    return count;
}

/* The keys of results that no longer stand, and of their state, unless values of the group are left
 * (counted.c). The entries stay, empty, until the store has followed. */
static int flush_gone(struct group_op *group, struct op_call *call,
                      struct agg_entry *const *entries, uint32_t n, struct batch *out)
{
    const struct group_params *params = params_of(group);
    uint32_t count = params->groups->count;
    struct column *columns = arena_alloc(call->arena, (count + 1) * sizeof *columns);
    if (columns == NULL)
        return ERR_NOMEM;
    for (uint32_t c = 0; c < count; c++)
        TRY(column_alloc(&columns[c], params->group_types[c], n, true, call->arena));
    for (uint32_t i = 0; i < n; i++) {
        group_encode_entry(group, entries[i]);
        TRY(group_write_change(group, entries[i], is_nothing(group, entries[i])));
        int rc = group_key_decode(agg_entry_key(entries[i]), columns, count, i, call->arena);
        if (rc < 0)
            return diag_set(call->diag, rc, "a stored group key does not decode");
    }
    *out = (struct batch){.row_count = n,
                          .selected_count = n,
                          .columns = columns,
                          .column_count = count,
                          .is_gone = true,
                          .arena = call->arena};
    return OP_MORE;
}

int group_flush_results(struct op *op, struct op_call *call, struct batch *out)
{
    struct group_op *group = (struct group_op *)op;
    memset(out, 0, sizeof *out);
    group->closed_rows = 0;
    if (group->runs != NULL) {
        int rc = group_fold_runs(group, call);
        if (rc != OP_DONE)
            return rc;
    }
    bool is_session = group->session != NULL && !params_of(group)->emit_final;
    if (is_session) {
        int rc = group_session_gone(group, call, out);
        if (rc != OP_DONE)
            return rc;
    }
    struct agg_entry **entries = arena_alloc(call->arena, FLUSH_ROWS * sizeof *entries);
    if (entries == NULL)
        return ERR_NOMEM;
    uint32_t n = agg_table_take_dirty(group->table, entries, FLUSH_ROWS);
    if (n == 0)
        return OP_DONE;
    if (is_session) {
        TRY(group_session_results(group, call, entries, n, out));
        return OP_MORE;
    }
    TRY(counted_settle(group, entries, n, call->diag));
    uint32_t gone = find_gone(group, entries, n);
    if (gone > 0) {
        TRY(agg_table_mark(group->table, entries + gone, n - gone)); /* their turn comes */
        return flush_gone(group, call, entries, gone, out);
    }
    for (uint32_t i = 0; i < n; i++)
        TRY(group_write_change(group, entries[i],
                               entries[i]->is_pair && is_nothing(group, entries[i])));
    if (!params_of(group)->emit_final)
        TRY(group_build_entries(group, call, entries, n, out));
    return OP_MORE;
}

/* ---- what the runtime asks ---- */

bool op_is_group(const struct op *op)
{
    return op->type == &op_preaggregate_type || op->type == &op_aggregate_type ||
           op->type == &op_merge_type;
}
bool op_group_is_stored(const struct op *op)
{
    return op->type == &op_aggregate_type || op->type == &op_merge_type;
}
static const struct group_op *group_of(const struct op *op)
{
    must(op_is_group(op));
    return (const struct group_op *)op;
}
size_t op_group_bytes(const struct op *op)
{
    const struct group_op *group = group_of(op);
    return agg_table_bytes(group->table) +
           (group->runs != NULL ? agg_table_bytes(group->runs) : 0) +
           (group->ordered != NULL ? pair_index_bytes(group->ordered) : 0);
}
size_t op_group_entries(const struct op *op)
{
    return agg_table_count(group_of(op)->table);
}
int64_t op_group_closed_before(const struct op *op)
{
    return group_of(op)->closed_before_ms;
}
int64_t op_group_max_window(const struct op *op)
{
    return group_of(op)->max_window_ms;
}
void op_group_commit_number(struct op *op, int64_t number)
{
    must(op_is_group(op));
    ((struct group_op *)op)->commit_number = number;
}
