/* op_join_tables.c: rows of two tables whose keys are equal, as a table.
 *
 * Changes of both sides come as records of one topic, each key in one partition (join_tables.h). The
 * latest row of each side is kept. A change is laid beside what the other side has under its key:
 * what leaves are changes of a table, as from the operator keyed: the joined row where there is one
 * now, a removal where there was one and is none any more, and nothing where there never was. A
 * record that says what is known already changes nothing, and nothing leaves.
 *
 * The two sides reach the topic in any order. What stands in the end depends on the latest rows
 * alone, also the timestamp of a result: the later one of its two rows.
 *
 * Steps behind it may leave a row out, which takes it away, or reject it, which leaves what stood. */
#include "operators/join.h"
#include "operators/join_tables.h"
#include "operators/row_codec.h"
#include "operators/row_table.h"

enum { ROW_GONE = 2 };

struct join_tables_op {
    struct op op;
    struct row_table *rows;
    struct arena arena; /* of the batch given last */
    struct buf key, value;
    struct table_changes changes;
};

/* A row as it is kept. */
struct kept_row {
    bool is_there;
    int64_t timestamp_ms;
    struct bytes columns;
};

/* What is being given. */
struct joined_rows {
    struct column *columns;
    struct source_row *records;
    uint16_t *selection;
    uint32_t row_count, selected_count;
};

void table_side_encode(struct buf *out, unsigned side, const struct column *columns, uint32_t count,
                       uint32_t row)
{
    buf_u8(out, (uint8_t)(side | (columns == NULL ? ROW_GONE : 0)));
    if (columns != NULL)
        row_encode(out, columns, count, row);
}

int table_side_decode(struct bytes value, struct table_side_row *row)
{
    uint8_t head;
    TRY(take_u8(&value, &head));
    row->side = head & 1;
    row->columns = head & ROW_GONE ? (struct bytes){NULL, 0} : value;
    return head <= (ROW_GONE | 1) && ((head & ROW_GONE) != 0) == (value.size == 0) ? 0 : ERR_CORRUPT;
}

static const struct join_tables_params *params_of(const struct join_tables_op *join)
{
    return join->op.params;
}

static int join_tables_open(struct op *op, struct op_env *env, struct diag *diag)
{
    struct join_tables_op *join = (struct join_tables_op *)op;
    arena_init(&join->arena, 0);
    buf_init(&join->key, 0);
    buf_init(&join->value, 0);
    return row_table_create(env, op->number, &join->rows) < 0
               ? diag_set(diag, ERR_NOMEM, "no memory for the rows of two tables")
               : 0;
}

static void join_tables_close(struct op *op)
{
    struct join_tables_op *join = (struct join_tables_op *)op;
    if (join->rows != NULL)
        row_table_destroy(join->rows);
    arena_deinit(&join->arena);
    buf_deinit(&join->key);
    buf_deinit(&join->value);
}

/* ---- what is kept ---- */

/* Both sides of a key: two keys of the table, in the arena. */
static int side_keys(struct join_tables_op *join, struct bytes key, struct bytes keys[2])
{
    uint8_t *room = arena_alloc(&join->arena, 2 * (key.size + 1));
    if (room == NULL)
        return ERR_NOMEM;
    for (unsigned side = 0; side < 2; side++, room += key.size + 1) {
        room[0] = (uint8_t)side;
        memcpy(room + 1, key.data, key.size);
        keys[side] = bytes_of(room, key.size + 1);
    }
    return 0;
}

/* What the store has of all keys is brought into memory at once. */
static int load(struct join_tables_op *join, const struct batch *in, struct bytes *keys,
                struct diag *diag)
{
    struct bytes *found =
        arena_alloc(&join->arena, (2 * (size_t)in->row_count + 1) * sizeof *found);
    if (found == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < in->row_count; i++)
        TRY(side_keys(join, in->source[i].key, keys + 2 * i));
    return row_table_get_many(join->rows, 2 * in->row_count, NULL, keys, found, diag);
}

static int damaged(struct diag *diag)
{
    return diag_set(diag, ERR_CORRUPT,
                    "a stored row of a joined table does not decode: delete the state directory to "
                    "rebuild it");
}

/* Columns are copied: the table may move what it gave. */
static int get(struct join_tables_op *join, struct bytes key, struct kept_row *row,
               struct diag *diag)
{
    struct bytes value;
    *row = (struct kept_row){.is_there = false};
    TRY(row_table_get_many(join->rows, 1, NULL, &key, &value, diag));
    if (value.data == NULL)
        return 0;
    if (take_varint(&value, &row->timestamp_ms) < 0)
        return damaged(diag);
    row->is_there = true;
    row->columns = arena_copy(&join->arena, value);
    return row->columns.data != NULL ? 0 : ERR_NOMEM;
}

static int put(struct join_tables_op *join, struct bytes key, const struct kept_row *row,
               struct diag *diag)
{
    if (!row->is_there)
        return row_table_put(join->rows, ROW_BUCKET_NONE, key, (struct bytes){NULL, 0}, diag);
    buf_clear(&join->value);
    buf_varint(&join->value, row->timestamp_ms);
    buf_append_bytes(&join->value, row->columns);
    if (!buf_ok(&join->value))
        return ERR_NOMEM;
    return row_table_put(join->rows, ROW_BUCKET_NONE, key,
                         bytes_of(join->value.data, join->value.size), diag);
}

/* ---- what that gives ---- */

static int begin(struct join_tables_op *join, uint32_t room, struct joined_rows *out)
{
    const struct join_tables_params *params = params_of(join);
    uint32_t left = params->column_counts[0], count = left + params->column_counts[1];
    struct arena *arena = &join->arena;
    *out =
        (struct joined_rows){.columns = arena_alloc(arena, (count + 1) * sizeof *out->columns),
                             .records = arena_zalloc(arena, (room + 1) * sizeof *out->records),
                             .selection = arena_alloc(arena, (room + 1) * sizeof *out->selection)};
    join->changes = (struct table_changes){
        .items = arena_zalloc(arena, (room + 1) * sizeof *join->changes.items)};
    if (out->columns == NULL || out->records == NULL || out->selection == NULL ||
        join->changes.items == NULL)
        return ERR_NOMEM;
    for (uint32_t c = 0; c < count; c++) {
        enum col_type type = c < left ? params->types[0][c] : params->types[1][c - left];
        TRY(column_alloc(&out->columns[c], type, room, type != COL_VARIANT, arena));
    }
    return 0;
}

static int fill_side(struct column *columns, uint32_t count, const struct kept_row *row,
                     uint32_t at)
{
    if (row->is_there)
        return row_decode(row->columns, columns, count, at);
    for (uint32_t c = 0; c < count; c++)
        row_set_null(&columns[c], at);
    return 0;
}

/* Rows without a partner have NULLs in its place, and a row that is gone has nothing but NULLs. */
static int give(struct join_tables_op *join, struct joined_rows *out, struct bytes key,
                const struct kept_row rows[2], bool is_removal, int64_t timestamp_ms)
{
    static const struct kept_row none;
    const struct join_tables_params *params = params_of(join);
    struct column *columns = out->columns;
    uint32_t at = out->row_count++;
    for (unsigned side = 0; side < 2; side++) {
        TRY(fill_side(columns, params->column_counts[side], is_removal ? &none : &rows[side], at));
        columns += params->column_counts[side];
    }
    if (!is_removal)
        out->selection[out->selected_count++] = (uint16_t)at;
    out->records[at].timestamp_ms = timestamp_ms;
    join->changes.items[join->changes.count++] =
        (struct table_change){.row = at, .is_removal = is_removal, .key = key};
    return 0;
}

static bool is_shown(const struct join_tables_params *params, const struct kept_row rows[2])
{
    if (rows[0].is_there && rows[1].is_there)
        return true;
    return (rows[0].is_there && params->keeps_left) || (rows[1].is_there && params->keeps_right);
}

static int64_t later_of(const struct kept_row rows[2])
{
    if (!rows[0].is_there || !rows[1].is_there)
        return rows[rows[0].is_there ? 0 : 1].timestamp_ms;
    return rows[0].timestamp_ms > rows[1].timestamp_ms ? rows[0].timestamp_ms
                                                       : rows[1].timestamp_ms;
}

static int apply(struct join_tables_op *join, struct op_call *call, const struct source_row *record,
                 const struct bytes keys[2], struct joined_rows *out)
{
    const struct join_tables_params *params = params_of(join);
    struct table_side_row come;
    struct kept_row rows[2];
    if (record->key.data == NULL || table_side_decode(record->value, &come) < 0)
        return diag_set(call->diag, ERR_CORRUPT,
                        "the record at offset %lld is not a row of a joined table",
                        (long long)record->offset);
    for (unsigned side = 0; side < 2; side++)
        TRY(get(join, keys[side], &rows[side], call->diag));
    struct kept_row *own = &rows[come.side];
    if (own->is_there ? come.columns.data != NULL && bytes_equal(own->columns, come.columns)
                      : come.columns.data == NULL)
        return 0;
    bool was_shown = is_shown(params, rows);
    *own = (struct kept_row){come.columns.data != NULL, record->timestamp_ms, come.columns};
    bool is_removal = !is_shown(params, rows);
    if ((was_shown || !is_removal) && give(join, out, record->key, rows, is_removal,
                                           is_removal ? record->timestamp_ms : later_of(rows)) < 0)
        return damaged(call->diag);
    return put(join, keys[come.side], own, call->diag);
}

static int join_tables_process(struct op *op, struct op_call *call, const struct batch *in,
                               struct batch *out)
{
    struct join_tables_op *join = (struct join_tables_op *)op;
    const struct join_tables_params *params = op->params;
    struct joined_rows rows;
    arena_reset(&join->arena);
    struct bytes *keys = arena_alloc(&join->arena, (2 * (size_t)in->row_count + 1) * sizeof *keys);
    if (keys == NULL)
        return ERR_NOMEM;
    TRY(begin(join, in->row_count, &rows));
    TRY(load(join, in, keys, call->diag));
    for (uint32_t i = 0; i < in->row_count; i++)
        TRY(apply(join, call, &in->source[i], keys + 2 * i, &rows));
    *out = (struct batch){.row_count = rows.row_count,
                          .selection = rows.selection,
                          .selected_count = rows.selected_count,
                          .columns = rows.columns,
                          .column_count = params->column_counts[0] + params->column_counts[1],
                          .source = rows.records,
                          .is_table = rows.row_count > 0,
                          .changes = &join->changes,
                          .arena = call->arena};
    return OP_DONE;
}

/* ---- between commits ---- */

static int join_tables_save(struct op *op, int64_t commit_number, struct diag *diag)
{
    return row_table_save(((struct join_tables_op *)op)->rows, commit_number, diag);
}

static size_t join_tables_held(const struct op *op, size_t *entries)
{
    const struct join_tables_op *join = (const struct join_tables_op *)op;
    *entries = row_table_entries(join->rows);
    return row_table_bytes(join->rows);
}

static void join_tables_evict(struct op *op, int64_t stored_commit, size_t target_bytes)
{
    row_table_evict(((struct join_tables_op *)op)->rows, stored_commit, target_bytes);
}

const struct op_type op_join_tables_type = {
    .name = "join_tables",
    .size_bytes = sizeof(struct join_tables_op),
    .open = join_tables_open,
    .process = join_tables_process,
    .close = join_tables_close,
    .save = join_tables_save,
    .held = join_tables_held,
    .evict = join_tables_evict,
    .gives_results = true,
    .gives_changes = true,
};
