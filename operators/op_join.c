/* op_join.c: the columns of a table's row beside those of each row (a join of a stream with a table).
 *
 * The operator keeps the table: for each key the columns that were asked for, encoded (row_codec.h),
 * in a row_table over the task's store. Whoever reads the table's topic puts rows in and takes them
 * out (join_put); a row of the stream meets what is there when it comes. So what a row is joined
 * with depends on the order in which the owner reads the two, and on nothing else.
 *
 * Keys are compared as groups are (group_key.h): by value, 1 and 1.0 are the same. NULL equals
 * nothing. An inner join leaves rows without a match out, and counts them; a left join gives them
 * NULLs. Rows keep their place, so that a match costs a probe and the decoding of its values, whose
 * texts borrow from the table: nothing is put there while the batch is on its way. */
#include "operators/join.h"
#include "operators/group_key.h"
#include "operators/key_place.h"
#include "operators/row_codec.h"
#include "operators/row_table.h"

struct join_op {
    struct op op;
    struct row_table *rows;
    struct buf value;
};

static int join_open(struct op *op, struct op_env *env, struct diag *diag)
{
    struct join_op *join = (struct join_op *)op;
    buf_init(&join->value, 0);
    return row_table_create(env, op->number, &join->rows) < 0
               ? diag_set(diag, ERR_NOMEM, "no memory for a join's table")
               : 0;
}

static void join_close(struct op *op)
{
    struct join_op *join = (struct join_op *)op;
    row_table_destroy(join->rows);
    buf_deinit(&join->value);
}

/* The columns of a row that has none of the table's. */
static void set_nulls(const struct join_params *params, struct column *columns, uint32_t row)
{
    for (uint32_t c = 0; c < params->column_count; c++)
        row_set_null(&columns[c], row);
}

static bool has_null(const struct column *keys, uint32_t count, uint32_t row)
{
    for (uint32_t k = 0; k < count; k++)
        if (column_is_null(&keys[k], row))
            return true;
    return false;
}

/* Where the task has a part of the table alone, rows whose match lies elsewhere go. */
static int check_places(const struct join_op *join, struct op_call *call, const struct column *keys,
                        struct batch *rows)
{
    const struct join_params *params = join->op.params;
    uint32_t first = call->rejects->count;
    struct bytes *wanted =
        arena_alloc(call->arena, ((size_t)rows->selected_count + 1) * sizeof *wanted);
    if (wanted == NULL)
        return ERR_NOMEM;
    TRY(group_key_encode_batch(rows, keys, params->on->count, wanted));
    TRY(key_place_check(join->op.env, params->table, call, rows, wanted));
    return batch_drop_rejected(rows, call->rejects, first, call->arena);
}

/* The table's rows that the selected rows of the batch meet; data NULL: none. */
static int find(struct join_op *join, struct op_call *call, const struct batch *in,
                const struct column *keys, struct bytes *found)
{
    const struct join_params *params = join->op.params;
    struct bytes *wanted =
        arena_alloc(call->arena, ((size_t)in->selected_count + 1) * sizeof *wanted);
    if (wanted == NULL)
        return ERR_NOMEM;
    TRY(group_key_encode_batch(in, keys, params->on->count, wanted));
    TRY(row_table_get_many(join->rows, in->selected_count, NULL, wanted, found, call->diag));
    for (uint32_t i = 0; i < in->selected_count; i++)
        if (has_null(keys, params->on->count, batch_row(in, i)))
            found[i] = (struct bytes){NULL, 0};
    return 0;
}

static int add_columns(const struct join_params *params, struct op_call *call,
                       const struct batch *in, struct batch *out)
{
    uint32_t end = params->first_column + params->column_count;
    out->column_count = in->column_count > end ? in->column_count : end;
    out->columns = arena_zalloc(call->arena, (out->column_count + 1) * sizeof *out->columns);
    if (out->columns == NULL)
        return ERR_NOMEM;
    if (in->column_count > 0)
        memcpy(out->columns, in->columns, in->column_count * sizeof *in->columns);
    for (uint32_t c = 0; c < params->column_count; c++)
        TRY(column_alloc(&out->columns[params->first_column + c], params->types[c], in->row_count,
                         params->types[c] != COL_VARIANT, call->arena));
    return 0;
}

static int join_process(struct op *op, struct op_call *call, const struct batch *in,
                        struct batch *out)
{
    struct join_op *join = (struct join_op *)op;
    const struct join_params *params = op->params;
    uint32_t first = call->rejects->count, kept = 0;
    struct batch rows = *in;
    struct column *keys = arena_alloc(call->arena, (params->on->count + 1) * sizeof *keys);
    if (keys == NULL)
        return ERR_NOMEM;
    for (uint32_t k = 0; k < params->on->count; k++)
        TRY(expr_eval(params->on->exprs[k], in, &keys[k], call->rejects));
    TRY(batch_drop_rejected(&rows, call->rejects, first, call->arena));
    if (params->by_partition)
        TRY(check_places(join, call, keys, &rows));
    *out = rows;
    struct bytes *found =
        arena_alloc(call->arena, ((size_t)rows.selected_count + 1) * sizeof *found);
    uint16_t *selection =
        arena_alloc(call->arena, ((size_t)rows.selected_count + 1) * sizeof *selection);
    if (found == NULL || selection == NULL)
        return ERR_NOMEM;
    TRY(find(join, call, &rows, keys, found));
    TRY(add_columns(params, call, in, out));
    struct column *columns = out->columns + params->first_column;
    for (uint32_t i = 0; i < rows.selected_count; i++) {
        uint32_t row = batch_row(&rows, i);
        if (found[i].data == NULL)
            set_nulls(params, columns, row);
        else if (row_decode(found[i], columns, params->column_count, row) < 0)
            return diag_set(call->diag, ERR_CORRUPT, "a row of table %s does not decode",
                            params->table);
        selection[kept] = (uint16_t)row;
        kept += found[i].data != NULL || params->keeps_unmatched;
    }
    out->selection = selection;
    out->selected_count = kept;
    call->unmatched_rows += rows.selected_count - kept;
    return OP_DONE;
}

static int join_save(struct op *op, int64_t commit_number, struct diag *diag)
{
    return row_table_save(((struct join_op *)op)->rows, commit_number, diag);
}

static size_t join_held(const struct op *op, size_t *entries)
{
    const struct join_op *join = (const struct join_op *)op;
    *entries = row_table_entries(join->rows);
    return row_table_bytes(join->rows);
}

static void join_evict(struct op *op, int64_t stored_commit, size_t target_bytes)
{
    row_table_evict(((struct join_op *)op)->rows, stored_commit, target_bytes);
}

int join_put(struct op *op, struct bytes key, const struct column *columns, uint32_t row,
             struct diag *diag)
{
    struct join_op *join = (struct join_op *)op;
    const struct join_params *params = op->params;
    buf_clear(&join->value);
    if (columns != NULL)
        row_encode(&join->value, columns, params->column_count, row);
    if (!buf_ok(&join->value))
        return ERR_NOMEM;
    return row_table_put(join->rows, ROW_BUCKET_NONE, key,
                         columns != NULL ? bytes_of(join->value.data, join->value.size)
                                         : (struct bytes){NULL, 0},
                         diag);
}

const struct op_type op_join_type = {
    .name = "join",
    .size_bytes = sizeof(struct join_op),
    .open = join_open,
    .process = join_process,
    .close = join_close,
    .save = join_save,
    .held = join_held,
    .evict = join_evict,
};
