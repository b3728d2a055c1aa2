/* op_join_within.c: pairs of rows of two streams whose keys are equal and whose times are close.
 *
 * Rows of both sides come as records of one topic, each key in one partition (join_within.h). A row
 * first meets the rows of the other side that are kept, and is then kept itself: so each pair is made
 * once, by whichever of the two comes second, and which pairs there are does not depend on how the
 * sides were interleaved. The watermark lets rows go that can have no more partners; in a left join
 * a left row that found none comes out then, with NULLs.
 *
 * A result has the later of the two times, and the later timestamp. What it says of its source's
 * time (column watermark_ms) is the earlier of the two: readers of the results may go by the event
 * time of either side, and none of them is to be late.
 *
 * A row may meet any number of others. They are noted first, as pairs in memory of the operator's
 * own, then given out batch by batch; chain.c forgets each before it asks for the next. */
#include <stdlib.h>

#include "operators/row_codec.h"
#include "operators/within_rows.h"

/* A commit lets go so many times what within_rows_expire takes at once; the rest is for the next. */
enum { EXPIRE_CALLS = 256 };

struct pair {
    struct bytes columns[2]; /* of both sides; data NULL: NULLs */
    struct bytes key;        /* of the result's record */
    int64_t first_ms, last_ms, timestamp_ms;
};

struct within_op {
    struct op op;
    struct within_rows rows;
    struct arena in_arena, arena, out_arena; /* of the input; of pairs; of the batch given last */
    struct buf text;
    struct diag *diag;
    struct pair *pairs;
    uint32_t pair_count, pair_capacity, given;
    bool is_started; /* with the input of the last call */
    uint32_t next;   /* of its rows */
    struct within_row *come;
    struct bytes *keys;
    int expiry; /* of the commit: OP_MORE while rows may have to go */
    uint32_t expire_calls;
};

static const struct within_params *params_of(const struct within_op *within)
{
    return within->op.params;
}

static int within_open(struct op *op, struct op_env *env, struct diag *diag)
{
    struct within_op *within = (struct within_op *)op;
    arena_init(&within->in_arena, 0);
    arena_init(&within->arena, 0);
    arena_init(&within->out_arena, 0);
    buf_init(&within->text, 0);
    within->expiry = OP_MORE;
    return within_rows_open(&within->rows, op->params, env, op->number) < 0
               ? diag_set(diag, ERR_NOMEM, "no memory for a join's rows")
               : 0;
}

static void within_close(struct op *op)
{
    struct within_op *within = (struct within_op *)op;
    within_rows_close(&within->rows);
    arena_deinit(&within->in_arena);
    arena_deinit(&within->arena);
    arena_deinit(&within->out_arena);
    buf_deinit(&within->text);
    free(within->pairs);
}

/* ---- pairs ---- */

static int add_pair(struct within_op *within, const struct pair *pair)
{
    if (within->pair_count == within->pair_capacity) {
        uint32_t capacity = within->pair_capacity > 0 ? within->pair_capacity * 2 : 256;
        struct pair *grown = capacity > within->pair_capacity
                                 ? realloc(within->pairs, capacity * sizeof *grown)
                                 : NULL;
        if (grown == NULL)
            return ERR_NOMEM;
        within->pairs = grown;
        within->pair_capacity = capacity;
    }
    within->pairs[within->pair_count++] = *pair;
    return 0;
}

static void forget_pairs(struct within_op *within)
{
    arena_reset(&within->arena);
    within->pair_count = within->given = 0;
}

static int text_of_key(struct within_op *within, struct bytes key, struct bytes *text)
{
    buf_clear(&within->text);
    int rc = within_key_text(params_of(within), key, &within->arena, &within->text);
    if (rc == ERR_CORRUPT)
        return diag_set(within->diag, rc, "the key of a row that is joined does not decode");
    TRY(rc);
    *text = arena_copy(&within->arena, within->text.size > 0
                                           ? bytes_of(within->text.data, within->text.size)
                                           : bytes_text(""));
    return text->data != NULL ? 0 : ERR_NOMEM;
}

static int decode_columns(struct within_op *within, const struct pair *pair, unsigned side,
                          struct column *columns, uint32_t row)
{
    uint32_t count = params_of(within)->column_counts[side];
    if (pair->columns[side].data != NULL)
        return row_decode(pair->columns[side], columns, count, row);
    for (uint32_t c = 0; c < count; c++)
        row_set_null(&columns[c], row);
    return 0;
}

/* A batch of what has not been given yet; it has no rows when there is nothing. */
static int give(struct within_op *within, struct op_call *call, struct batch *out)
{
    const struct within_params *params = params_of(within);
    uint32_t left = params->column_counts[WITHIN_LEFT], count = left + params->column_counts[1],
             rows = within->pair_count - within->given;
    struct arena *arena = &within->out_arena;
    if (rows > BATCH_ROWS)
        rows = BATCH_ROWS;
    arena_reset(arena);
    struct column *columns = arena_alloc(arena, (count + 1) * sizeof *columns);
    struct source_row *records = arena_zalloc(arena, (rows + 1) * sizeof *records);
    int64_t *times = arena_alloc(arena, (rows + 1) * sizeof *times);
    int64_t *told = arena_alloc(arena, (rows + 1) * sizeof *told);
    if (columns == NULL || records == NULL || times == NULL || told == NULL)
        return ERR_NOMEM;
    for (uint32_t c = 0; c < count; c++) {
        enum col_type type = c < left ? params->types[0][c] : params->types[1][c - left];
        TRY(column_alloc(&columns[c], type, rows, type != COL_VARIANT, arena));
    }
    for (uint32_t i = 0; i < rows; i++) {
        const struct pair *pair = &within->pairs[within->given++];
        if (decode_columns(within, pair, WITHIN_LEFT, columns, i) < 0 ||
            decode_columns(within, pair, WITHIN_RIGHT, columns + left, i) < 0)
            return diag_set(call->diag, ERR_CORRUPT, "a row that is joined does not decode");
        times[i] = pair->last_ms;
        told[i] = pair->first_ms + within_lag_ms(params);
        records[i].timestamp_ms = pair->timestamp_ms;
        records[i].key = pair->key;
    }
    *out = (struct batch){.row_count = rows,
                          .selected_count = rows,
                          .columns = columns,
                          .column_count = count,
                          .event_time_ms = times,
                          .watermark_ms = told,
                          .source = records,
                          .arena = call->arena};
    return 0;
}

/* ---- rows that come ---- */

static int start(struct within_op *within, const struct batch *in)
{
    forget_pairs(within);
    arena_reset(&within->in_arena);
    within->next = 0;
    within->come = arena_alloc(&within->in_arena, (in->row_count + 1) * sizeof *within->come);
    within->keys = arena_alloc(&within->in_arena, (in->row_count + 1) * sizeof *within->keys);
    if (within->come == NULL || within->keys == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < in->row_count; i++) {
        within->keys[i] = in->source[i].key;
        if (within_row_decode(in->source[i].value, &within->come[i]) < 0)
            return diag_set(within->diag, ERR_CORRUPT,
                            "the record at offset %lld is not a row that is joined",
                            (long long)in->source[i].offset);
    }
    return within_rows_fetch(&within->rows, in->row_count, within->come, within->keys,
                             &within->in_arena, within->diag);
}

struct meeting {
    struct within_op *within;
    const struct within_row *row;
    int64_t timestamp_ms;
    struct bytes key, text; /* text: of the key, once it is needed */
};

static int make_pair(void *context, const struct within_kept *kept)
{
    struct meeting *meeting = context;
    const struct within_row *row = meeting->row;
    struct pair pair = {.first_ms = row->time_ms < kept->time_ms ? row->time_ms : kept->time_ms,
                        .last_ms = row->time_ms > kept->time_ms ? row->time_ms : kept->time_ms,
                        .timestamp_ms = meeting->timestamp_ms > kept->timestamp_ms
                                            ? meeting->timestamp_ms
                                            : kept->timestamp_ms};
    if (meeting->text.data == NULL)
        TRY(text_of_key(meeting->within, meeting->key, &meeting->text));
    pair.key = meeting->text;
    pair.columns[row->side] = row->columns;
    pair.columns[!row->side] = kept->columns;
    return add_pair(meeting->within, &pair);
}

static int take_row(struct within_op *within, const struct within_row *row,
                    const struct source_row *record)
{
    struct meeting meeting = {within, row, record->timestamp_ms, record->key, {NULL, 0}};
    if (record->key.data == NULL) { /* it can have no partner */
        struct pair pair = {.first_ms = row->time_ms,
                            .last_ms = row->time_ms,
                            .timestamp_ms = record->timestamp_ms};
        pair.columns[row->side] = row->columns;
        return add_pair(within, &pair);
    }
    uint32_t before = within->pair_count;
    TRY(within_rows_meet(&within->rows, row, record->key, &within->arena, make_pair, &meeting,
                         within->diag));
    struct within_kept kept = {row->time_ms, record->timestamp_ms, row->columns,
                               within->pair_count > before};
    return within_rows_add(&within->rows, row->side, record->key, &kept, within->diag);
}

/* What one call notes is a batch, and what its last row met beyond that. */
static int within_process(struct op *op, struct op_call *call, const struct batch *in,
                          struct batch *out)
{
    struct within_op *within = (struct within_op *)op;
    within->diag = call->diag;
    if (!within->is_started)
        TRY(start(within, in));
    within->is_started = false; /* an error ends the input */
    if (within->given == within->pair_count) {
        forget_pairs(within);
        for (; within->next < in->row_count && within->pair_count < BATCH_ROWS; within->next++)
            TRY(take_row(within, &within->come[within->next], &in->source[within->next]));
    }
    TRY(give(within, call, out));
    within->is_started = within->given < within->pair_count || within->next < in->row_count;
    return within->is_started ? OP_MORE : OP_DONE;
}

/* ---- rows that go ---- */

static int give_alone(void *context, struct bytes key, const struct within_kept *kept)
{
    struct within_op *within = context;
    struct pair pair = {
        .first_ms = kept->time_ms, .last_ms = kept->time_ms, .timestamp_ms = kept->timestamp_ms};
    TRY(text_of_key(within, key, &pair.key));
    pair.columns[WITHIN_LEFT] = arena_copy(&within->arena, kept->columns);
    return pair.columns[WITHIN_LEFT].data != NULL ? add_pair(within, &pair) : ERR_NOMEM;
}

static int within_advance(struct op *op, struct op_call *call, int64_t watermark_ms,
                          struct batch *out)
{
    struct within_op *within = (struct within_op *)op;
    if (watermark_ms == INT64_MIN)
        return OP_DONE;
    within->diag = call->diag;
    if (within->given == within->pair_count && within->expiry == OP_MORE) {
        forget_pairs(within);
        int rc = within_rows_expire(&within->rows, watermark_ms, give_alone, within, within->diag);
        TRY(rc);
        within->expiry = rc == 0                                  ? OP_DONE
                         : ++within->expire_calls == EXPIRE_CALLS ? OP_AGAIN
                                                                  : OP_MORE;
    }
    TRY(give(within, call, out));
    if (within->given < within->pair_count || within->expiry == OP_MORE)
        return OP_MORE;
    int rc = within->expiry;
    within->expiry = OP_MORE;
    within->expire_calls = 0;
    return rc;
}

/* ---- what is kept ---- */

static int within_save(struct op *op, int64_t commit_number, struct diag *diag)
{
    return row_table_save(((struct within_op *)op)->rows.table, commit_number, diag);
}

static size_t within_held(const struct op *op, size_t *entries)
{
    const struct within_op *within = (const struct within_op *)op;
    *entries = row_table_entries(within->rows.table);
    return row_table_bytes(within->rows.table);
}

static void within_evict(struct op *op, int64_t stored_commit, size_t target_bytes)
{
    row_table_evict(((struct within_op *)op)->rows.table, stored_commit, target_bytes);
}

const struct op_type op_join_within_type = {
    .name = "join_within",
    .size_bytes = sizeof(struct within_op),
    .open = within_open,
    .process = within_process,
    .advance = within_advance,
    .close = within_close,
    .save = within_save,
    .held = within_held,
    .evict = within_evict,
    .gives_results = true,
};
