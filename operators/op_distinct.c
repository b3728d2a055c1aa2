/* op_distinct.c: of the rows with one key the first, within a time.
 *
 * A row is a duplicate when a row that was kept has its key and an event time at most within_ms away,
 * before or behind. Kept rows are entries of a row table: bucket = the event time rounded down to
 * within_ms, key = the columns as group_key.h writes them, value = the event time, 8 bytes
 * big-endian. Two rows of one key in one bucket would be less than within_ms apart, so there is one
 * at most, and what a row is compared with lies in its own bucket, the one before and the one behind.
 *
 * Verdicts follow from what lies before a row in its partition and nothing else. A row takes part
 * while the watermark at its own place is before its event time + within_ms, as if it began a window
 * of that length; later ones are late. So what has been kept is needed until the time of the task
 * has passed its event time by twice within_ms: no row that is not late reaches back further, however
 * far that time is behind, or when a commit asks. It then goes (advance).
 *
 * A batch is looked up at once. Rows that it keeps itself are found in a small table of the batch:
 * what the row table gave holds until the first put. */
#include <string.h>

#include "operators/group_key.h"
#include "operators/op.h"
#include "operators/row_table.h"
#include "runtime/base/hash.h"

enum {
    KEY_MAX_BYTES = 32000, /* as of groups */
    NEAR = 3,              /* buckets that a row is compared with */
    OWN_SLOTS = 2 * BATCH_ROWS,
    EXPIRE_MOST = 20000, /* in one commit */
    NO_ROW = UINT16_MAX,
};

struct distinct_op {
    struct op op;
    struct row_table *table;
    int64_t latest_bucket_ms; /* no row that was kept is in a later one; INT64_MAX: not known */
};

/* The rows of a batch that take part. */
struct candidates {
    uint32_t count;
    uint32_t *rows; /* physical */
    struct bytes *keys;
    int64_t *times_ms;
    int64_t (*near_ms)[NEAR]; /* kept rows of the table around it; INT64_MIN: none */
    uint16_t *slots;          /* of the batch's own table: the last one kept with this hash */
    uint16_t *before;         /* the one kept before it in the same slot */
};

static int distinct_open(struct op *op, struct op_env *env, struct diag *diag)
{
    struct distinct_op *distinct = (struct distinct_op *)op;
    distinct->latest_bucket_ms = env->store_may_have ? INT64_MAX : INT64_MIN;
    int rc = row_table_create(env, op->number, &distinct->table);
    return rc < 0 ? diag_set(diag, rc, "no memory for the rows of a de-duplication") : 0;
}

static void distinct_close(struct op *op)
{
    row_table_destroy(((struct distinct_op *)op)->table);
}

static int64_t bucket_of(int64_t time_ms, int64_t within_ms)
{
    int64_t rest = time_ms % within_ms;
    return time_ms - (rest < 0 ? rest + within_ms : rest);
}

static int add_late(struct op_call *call, const struct batch *in, uint32_t row, int64_t within_ms)
{
    int64_t end_ms = in->event_time_ms[row] + within_ms;
    const struct late_row late = {.row = row,
                                  .window_start_ms = in->event_time_ms[row],
                                  .window_end_ms = end_ms,
                                  .lateness_ms = in->watermark_ms[row] - end_ms,
                                  .counts = true};
    return late_add(call, &late);
}

/* Takes out the late ones and those without a key that can be kept. */
static int choose(const struct distinct_params *params, struct op_call *call,
                  const struct batch *in, struct candidates *c)
{
    struct arena *arena = call->arena;
    const struct expr_list *list = params->key.list;
    struct batch kept = *in;
    uint32_t first = call->rejects->count;
    struct column *columns = arena_alloc(arena, (list->count + 1) * sizeof *columns);
    if (columns == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < list->count; i++)
        TRY(expr_eval(list->exprs[i], in, &columns[i], call->rejects));
    TRY(batch_drop_rejected(&kept, call->rejects, first, arena));
    size_t room = (size_t)kept.selected_count + 1;
    struct bytes *keys = arena_alloc(arena, room * sizeof *keys);
    c->keys = arena_alloc(arena, room * sizeof *c->keys);
    c->rows = arena_alloc(arena, room * sizeof *c->rows);
    c->times_ms = arena_alloc(arena, room * sizeof *c->times_ms);
    if (keys == NULL || c->keys == NULL || c->rows == NULL || c->times_ms == NULL)
        return ERR_NOMEM;
    TRY(group_key_encode_batch(&kept, columns, list->count, keys));
    for (uint32_t i = 0; i < kept.selected_count; i++) {
        uint32_t row = batch_row(&kept, i);
        int64_t time_ms = in->event_time_ms[row];
        if (keys[i].size > KEY_MAX_BYTES) {
            TRY(reject_add(call->rejects, row, "key_too_long",
                           "the key takes %zu bytes; the limit is %d", keys[i].size,
                           KEY_MAX_BYTES));
            continue;
        }
        if (in->watermark_ms != NULL && in->watermark_ms[row] != INT64_MIN &&
            in->watermark_ms[row] - params->within_ms >= time_ms) {
            TRY(add_late(call, in, row, params->within_ms));
            continue;
        }
        c->rows[c->count] = row;
        c->keys[c->count] = keys[i];
        c->times_ms[c->count++] = time_ms;
    }
    return 0;
}

/* What was kept before this batch. */
static int look_up(struct distinct_op *distinct, struct op_call *call, struct candidates *c)
{
    const struct distinct_params *params = distinct->op.params;
    size_t room = (size_t)c->count * NEAR + 1;
    int64_t *buckets = arena_alloc(call->arena, room * sizeof *buckets);
    struct bytes *keys = arena_alloc(call->arena, room * sizeof *keys);
    struct bytes *values = arena_alloc(call->arena, room * sizeof *values);
    uint32_t *places = arena_alloc(call->arena, room * sizeof *places), count = 0;
    c->near_ms = arena_alloc(call->arena, (size_t)(c->count + 1) * sizeof *c->near_ms);
    if (buckets == NULL || keys == NULL || values == NULL || places == NULL || c->near_ms == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < c->count; i++) {
        int64_t own_ms = bucket_of(c->times_ms[i], params->within_ms);
        for (uint32_t near = 0; near < NEAR; near++) {
            int64_t bucket_ms = own_ms + ((int64_t)near - 1) * params->within_ms;
            c->near_ms[i][near] = INT64_MIN;
            if (bucket_ms > distinct->latest_bucket_ms)
                continue;
            buckets[count] = bucket_ms;
            keys[count] = c->keys[i];
            places[count++] = i * NEAR + near;
        }
    }
    TRY(row_table_get_many(distinct->table, count, buckets, keys, values, call->diag));
    for (uint32_t i = 0; i < count; i++) {
        if (values[i].data == NULL)
            continue;
        if (values[i].size != sizeof(int64_t))
            return diag_set(call->diag, ERR_CORRUPT,
                            "a stored time of a de-duplication has %zu bytes: delete the state "
                            "directory to rebuild it",
                            values[i].size);
        c->near_ms[places[i] / NEAR][places[i] % NEAR] = (int64_t)load_be64(values[i].data);
    }
    return 0;
}

static bool is_near(int64_t a_ms, int64_t b_ms, int64_t within_ms)
{
    return (a_ms > b_ms ? a_ms - b_ms : b_ms - a_ms) <= within_ms;
}

static bool is_duplicate(const struct candidates *c, uint32_t i, uint32_t slot, int64_t within_ms)
{
    for (uint32_t near = 0; near < NEAR; near++)
        if (c->near_ms[i][near] != INT64_MIN &&
            is_near(c->near_ms[i][near], c->times_ms[i], within_ms))
            return true;
    for (uint16_t own = c->slots[slot]; own != NO_ROW; own = c->before[own])
        if (bytes_equal(c->keys[own], c->keys[i]) &&
            is_near(c->times_ms[own], c->times_ms[i], within_ms))
            return true;
    return false;
}

static int keep(struct distinct_op *distinct, struct op_call *call, const struct candidates *c,
                uint32_t i)
{
    const struct distinct_params *params = distinct->op.params;
    uint8_t value[sizeof(int64_t)];
    int64_t bucket_ms = bucket_of(c->times_ms[i], params->within_ms);
    store_be64(value, (uint64_t)c->times_ms[i]);
    if (bucket_ms > distinct->latest_bucket_ms)
        distinct->latest_bucket_ms = bucket_ms;
    return row_table_put(distinct->table, bucket_ms, c->keys[i], bytes_of(value, sizeof value),
                         call->diag);
}

static int distinct_process(struct op *op, struct op_call *call, const struct batch *in,
                            struct batch *out)
{
    struct distinct_op *distinct = (struct distinct_op *)op;
    const struct distinct_params *params = op->params;
    struct candidates c = {0};
    must(in->event_time_ms != NULL);
    TRY(choose(params, call, in, &c));
    TRY(look_up(distinct, call, &c));
    uint16_t *selection = arena_alloc(call->arena, ((size_t)c.count + 1) * sizeof *selection);
    c.slots = arena_alloc(call->arena, OWN_SLOTS * sizeof *c.slots);
    c.before = arena_alloc(call->arena, ((size_t)c.count + 1) * sizeof *c.before);
    if (selection == NULL || c.slots == NULL || c.before == NULL)
        return ERR_NOMEM;
    memset(c.slots, 0xFF, OWN_SLOTS * sizeof *c.slots);
    *out = *in;
    out->selection = selection;
    out->selected_count = 0;
    for (uint32_t i = 0; i < c.count; i++) {
        uint32_t slot = (uint32_t)(hash64(c.keys[i].data, c.keys[i].size) % OWN_SLOTS);
        if (is_duplicate(&c, i, slot, params->within_ms)) {
            call->duplicate_rows++;
            continue;
        }
        TRY(keep(distinct, call, &c, i));
        c.before[i] = c.slots[slot];
        c.slots[slot] = (uint16_t)i;
        selection[out->selected_count++] = (uint16_t)c.rows[i];
    }
    return OP_DONE;
}

/* Buckets of which every row is further behind than twice within_ms. */
static int distinct_advance(struct op *op, struct op_call *call, int64_t watermark_ms,
                            struct batch *out)
{
    const struct distinct_params *params = op->params;
    out->row_count = out->selected_count = 0;
    if (watermark_ms < INT64_MIN / 2)
        return OP_DONE;
    int64_t before_ms = watermark_ms - 3 * params->within_ms + 1;
    int rc = row_table_expire(((struct distinct_op *)op)->table, before_ms, EXPIRE_MOST, NULL, NULL,
                              call->diag);
    return rc < 0 ? rc : rc == 1 ? OP_AGAIN : OP_DONE;
}

static int distinct_save(struct op *op, int64_t commit_number, struct diag *diag)
{
    return row_table_save(((struct distinct_op *)op)->table, commit_number, diag);
}

static size_t distinct_held(const struct op *op, size_t *entries)
{
    const struct row_table *table = ((const struct distinct_op *)op)->table;
    *entries = row_table_entries(table);
    return row_table_bytes(table);
}

static void distinct_evict(struct op *op, int64_t stored_commit, size_t target_bytes)
{
    row_table_evict(((struct distinct_op *)op)->table, stored_commit, target_bytes);
}

const struct op_type op_distinct_type = {
    .name = "distinct",
    .size_bytes = sizeof(struct distinct_op),
    .open = distinct_open,
    .process = distinct_process,
    .advance = distinct_advance,
    .close = distinct_close,
    .save = distinct_save,
    .held = distinct_held,
    .evict = distinct_evict,
};
