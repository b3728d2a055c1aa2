/* op_latest.c: changes of a table as rows with weights, for aggregates.
 *
 * Behind the steps on a table's rows (keyed lists what came by, conditions and maps follow) this
 * operator keeps of each key what the aggregate needs of its row: groups, arguments and filters,
 * evaluated, in a row_table over the task's store. When the key gets another row, it gives the one
 * that stood before with weight −1 and the new one with weight 1; when a condition on the table
 * leaves the new one out, or a record without a value removes it, the old one alone. So what is
 * taken back is what was added, value by value, whatever expressions say today.
 *
 * A row that fails here, or that the aggregate could not take, is a dead letter and changes nothing:
 * the row of its key stays what it was. That is asked before the row takes its place, so nothing
 * is rejected behind this operator. A row that says what the one before it said gives nothing.
 *
 * What it gives is not bound to the rows that came: a batch of n changes gives up to 2n rows, in
 * batches of their own, without source or event time. The rows are accounted for here, as applied. */
#include "operators/grouping.h"
#include "operators/join.h"
#include "operators/row_codec.h"
#include "operators/row_table.h"

/* The batch that is being worked on; in the arena of its call. */
struct latest_work {
    struct column *columns; /* of params->list, over the batch */
    uint8_t *marks;         /* by row of the batch */
    uint32_t next;          /* change */
};
enum { ROW_MAX_BYTES = 16 << 20 }; /* a quarter of a store's value */
enum { ROW_STAYS = 1, ROW_REJECTED = 2, ROW_COUNTED = 4 };

struct latest_op {
    struct op op;
    struct row_table *rows;
    struct latest_work work;
    bool is_working;
    struct buf value;
};

static int latest_open(struct op *op, struct op_env *env, struct diag *diag)
{
    struct latest_op *latest = (struct latest_op *)op;
    buf_init(&latest->value, 0);
    return row_table_create(env, op->number, &latest->rows) < 0
               ? diag_set(diag, ERR_NOMEM, "no memory for the rows of a table")
               : 0;
}

static void latest_close(struct op *op)
{
    struct latest_op *latest = (struct latest_op *)op;
    row_table_destroy(latest->rows);
    buf_deinit(&latest->value);
}

/* ---- what came ---- */

static int find_fates(struct latest_op *latest, struct op_call *call, const struct batch *in)
{
    const struct latest_params *params = latest->op.params;
    struct latest_work *work = &latest->work;
    struct batch rows = *in;
    work->marks = arena_zalloc(call->arena, (size_t)in->row_count + 1);
    work->columns = arena_alloc(call->arena, (params->list->count + 1) * sizeof *work->columns);
    if (work->marks == NULL || work->columns == NULL)
        return ERR_NOMEM;
    uint32_t first = call->rejects->count;
    for (uint32_t i = 0; i < params->list->count; i++)
        TRY(expr_eval(params->list->exprs[i], in, &work->columns[i], call->rejects));
    TRY(batch_drop_rejected(&rows, call->rejects, first, call->arena));
    rows.columns = work->columns;
    rows.column_count = params->list->count;
    TRY(group_check_rows(params->group, call, &rows));
    for (uint32_t i = 0; i < rows.selected_count; i++)
        work->marks[batch_row(&rows, i)] = ROW_STAYS;
    for (uint32_t i = 0; i < call->rejects->count; i++)
        work->marks[call->rejects->items[i].row] = ROW_REJECTED;
    return 0;
}

/* What the store has of all keys is brought into memory at once. */
static int load_rows(struct latest_op *latest, struct op_call *call,
                     const struct table_changes *changes)
{
    struct bytes *keys = arena_alloc(call->arena, ((size_t)changes->count + 1) * sizeof *keys);
    struct bytes *found = arena_alloc(call->arena, ((size_t)changes->count + 1) * sizeof *found);
    if (keys == NULL || found == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < changes->count; i++)
        keys[i] = changes->items[i].key;
    return row_table_get_many(latest->rows, changes->count, NULL, keys, found, call->diag);
}

/* ---- what that changes ---- */

static int begin_out(const struct latest_params *params, struct op_call *call, uint32_t room,
                     struct batch *out, int8_t **weights)
{
    *out = (struct batch){.column_count = params->list->count, .arena = call->arena};
    out->columns = arena_alloc(call->arena, (params->list->count + 1) * sizeof *out->columns);
    out->weights = *weights = arena_alloc(call->arena, room);
    if (out->columns == NULL || *weights == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < params->list->count; i++)
        TRY(column_alloc(&out->columns[i], params->types[i], room, params->types[i] != COL_VARIANT,
                         call->arena));
    return 0;
}

static int give_row(const struct latest_params *params, struct op_call *call, struct bytes row,
                    int8_t weight, struct batch *out, int8_t *weights)
{
    if (row_decode(row, out->columns, params->list->count, out->row_count) < 0)
        return diag_set(call->diag, ERR_CORRUPT,
                        "a stored row of a table does not decode: delete the state directory to "
                        "rebuild it");
    weights[out->row_count++] = weight;
    out->selected_count = out->row_count;
    return 0;
}

/* The row as it will be kept, in the arena; data NULL: there will be none. 0: it was rejected. */
static int new_row(struct latest_op *latest, struct op_call *call,
                   const struct table_change *change, struct bytes *row)
{
    const struct latest_params *params = latest->op.params;
    *row = (struct bytes){NULL, 0};
    if (change->is_removal || !(latest->work.marks[change->row] & ROW_STAYS))
        return 1;
    buf_clear(&latest->value);
    row_encode(&latest->value, latest->work.columns, params->list->count, change->row);
    if (!buf_ok(&latest->value))
        return ERR_NOMEM;
    if (latest->value.size > ROW_MAX_BYTES)
        return reject_add(call->rejects, change->row, "row_too_long",
                          "what is kept of the row takes %zu bytes; the limit is %d",
                          latest->value.size, ROW_MAX_BYTES);
    *row = arena_copy(call->arena, bytes_of(latest->value.data, latest->value.size));
    return row->data != NULL ? 1 : ERR_NOMEM;
}

static void count_row(struct op_call *call, uint8_t *mark, const struct table_change *change)
{
    if (!(*mark & ROW_COUNTED) && (change->is_removal || (*mark & ROW_STAYS)))
        call->applied_rows++;
    *mark |= ROW_COUNTED;
}

static int apply(struct latest_op *latest, struct op_call *call, const struct table_change *change,
                 struct batch *out, int8_t *weights)
{
    const struct latest_params *params = latest->op.params;
    struct bytes before, after;
    int rc = new_row(latest, call, change, &after);
    if (rc <= 0)
        return rc;
    count_row(call, &latest->work.marks[change->row], change);
    TRY(row_table_get_many(latest->rows, 1, NULL, &change->key, &before, call->diag));
    if (before.data == NULL && after.data == NULL)
        return 0;
    if (before.data != NULL && after.data != NULL && bytes_equal(before, after))
        return 0;
    if (before.data != NULL) {
        before = arena_copy(call->arena, before);
        if (before.data == NULL)
            return ERR_NOMEM;
        TRY(give_row(params, call, before, -1, out, weights));
    }
    if (after.data != NULL)
        TRY(give_row(params, call, after, 1, out, weights));
    return row_table_put(latest->rows, ROW_BUCKET_NONE, change->key, after, call->diag);
}

static int latest_process(struct op *op, struct op_call *call, const struct batch *in,
                          struct batch *out)
{
    struct latest_op *latest = (struct latest_op *)op;
    struct latest_work *work = &latest->work;
    const struct table_changes *changes = in->changes;
    int8_t *weights;
    must(changes != NULL);
    if (!latest->is_working) {
        work->next = 0;
        TRY(find_fates(latest, call, in));
        TRY(load_rows(latest, call, changes));
    }
    uint64_t most = 2 * (uint64_t)(changes->count - work->next) + 2;
    uint32_t room = most < BATCH_ROWS ? (uint32_t)most : BATCH_ROWS;
    TRY(begin_out(op->params, call, room, out, &weights));
    for (; work->next < changes->count && out->row_count + 2 <= room; work->next++) {
        const struct table_change *change = &changes->items[work->next];
        if (!(work->marks[change->row] & ROW_REJECTED))
            TRY(apply(latest, call, change, out, weights));
    }
    latest->is_working = work->next < changes->count;
    return latest->is_working ? OP_MORE : OP_DONE;
}

/* ---- what is kept ---- */

static int latest_save(struct op *op, int64_t commit_number, struct diag *diag)
{
    return row_table_save(((struct latest_op *)op)->rows, commit_number, diag);
}

static size_t latest_held(const struct op *op, size_t *entries)
{
    const struct latest_op *latest = (const struct latest_op *)op;
    *entries = row_table_entries(latest->rows);
    return row_table_bytes(latest->rows);
}

static void latest_evict(struct op *op, int64_t stored_commit, size_t target_bytes)
{
    row_table_evict(((struct latest_op *)op)->rows, stored_commit, target_bytes);
}

const struct op_type op_latest_type = {
    .name = "latest",
    .size_bytes = sizeof(struct latest_op),
    .open = latest_open,
    .process = latest_process,
    .close = latest_close,
    .save = latest_save,
    .held = latest_held,
    .evict = latest_evict,
    .gives_changes = true,
};
