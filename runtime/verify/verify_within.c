/* verify_within.c: joins of two streams (see verify_parts.h).
 *
 * Every row of either side that was in time at its own place is kept, and when all are there each left
 * row is laid beside each right one of its key: the pairs whose times are close are the results. In a
 * left join a left row without a partner is one too, when the task has come past its last possible
 * one. There are no buckets here, no ends, and nothing goes.
 *
 * In which order rows met is nobody's promise, so results are compared without one. Rows that the
 * task has not read yet are still in the topic between: as many of the same key, time and columns are left out.
 * A row alone that time has passed, but not by much, may be there or not: the engine lets rows go
 * by the bucket. */
#include <stdlib.h>

#include "operators/group_key.h"
#include "operators/row_table.h"
#include "runtime/verify/verify_parts.h"

enum { KEY_MAX_BYTES = ROW_KEY_MAX_BYTES - 64 };

struct side_row {
    struct hash128 key, content; /* content: as the topic between has it */
    struct cell text;            /* of the key, as records of results have it; NULL: it has none */
    struct cell *cells;
    int64_t time_ms;
    int32_t partition; /* of the task that joins it */
    uint8_t side;
    bool is_matched;
};
struct verify_within {
    struct side_row *rows;
    size_t count, capacity;
    struct verify_source results; /* what the steps behind the join take for a source */
};

static const struct within_params *params_of(const struct verify *v)
{
    return v->view->joined->within;
}

/* ---- open and close ---- */

int verify_within_open(struct verify *v)
{
    v->within = calloc(1, sizeof *v->within);
    if (v->within == NULL)
        return verify_no_memory(v);
    v->within->results =
        (struct verify_source){.verify = v, .stage = v->met, .arm = v->view->joined};
    arena_init(&v->within->results.arena, 0);
    return 0;
}

static void release_row(struct verify *v, struct side_row *row)
{
    uint32_t count = params_of(v)->column_counts[row->side];
    cell_release(&row->text);
    for (uint32_t i = 0; row->cells != NULL && i < count; i++)
        cell_release(&row->cells[i]);
    if (row->cells != NULL)
        verify_let_go((count + 1) * sizeof *row->cells);
    free(row->cells);
}

void verify_within_close(struct verify *v)
{
    struct verify_within *within = v->within;
    if (within == NULL)
        return;
    for (size_t i = 0; i < within->count; i++)
        release_row(v, &within->rows[i]);
    if (within->rows != NULL)
        verify_let_go(within->capacity * sizeof *within->rows);
    free(within->rows);
    arena_deinit(&within->results.arena);
    free(within);
}

/* ---- rows ---- */

static struct side_row *add_row(struct verify_within *within)
{
    if (within->count == within->capacity) {
        size_t capacity = within->capacity > 0 ? within->capacity * 2 : 256;
        struct side_row *grown =
            verify_grow(within->rows, within->capacity * sizeof *grown, capacity * sizeof *grown);
        if (grown == NULL)
            return NULL;
        within->rows = grown;
        within->capacity = capacity;
    }
    struct side_row *row = &within->rows[within->count++];
    *row = (struct side_row){.text.is_null = true};
    return row;
}

/* A row on its way, as two that say the same have it in common. */
static struct hash128 content_of(struct verify *v, struct bytes key, struct bytes value)
{
    buf_clear(&v->text);
    buf_be64(&v->text, key.data == NULL ? UINT64_MAX : key.size);
    buf_append_bytes(&v->text, key);
    buf_append_bytes(&v->text, value);
    return hash128(v->text.data, v->text.size);
}

/* Where the row is joined, and under which text. */
static int place_row(struct verify *v, const struct within_side_params *params, struct bytes key,
                     struct arena *arena, struct side_row *row)
{
    buf_clear(&v->key);
    TRY(within_key_text(params->join, key, arena, &v->key));
    struct bytes text = bytes_of(v->key.data != NULL ? (const void *)v->key.data : "", v->key.size);
    struct cell cell = {.type = COL_TEXT, .text = text};
    row->partition = murmur2_partition(text.data, text.size, v->met->partitions);
    return cell_keep(&row->text, &cell);
}

static int keep_row(struct verify_walk *walk, const struct within_side_params *params,
                    const struct column *keys, const struct column *columns, bool has_null)
{
    struct verify *v = walk->source->verify;
    struct arena *arena = &walk->source->arena;
    uint32_t count = params->columns->count;
    struct side_row *row = add_row(v->within);
    struct bytes key = {NULL, 0};
    if (row == NULL)
        return ERR_NOMEM;
    row->side = (uint8_t)params->side;
    row->time_ms = walk->row.time_ms;
    row->partition = walk->source->partition % v->met->partitions;
    row->cells = calloc(count + 1, sizeof *row->cells);
    if (row->cells == NULL)
        return ERR_NOMEM;
    verify_hold((count + 1) * sizeof *row->cells);
    for (uint32_t i = 0; i < count; i++) {
        struct cell cell;
        cell_read(&cell, &columns[i], 0);
        TRY(cell_keep(&row->cells[i], &cell));
    }
    buf_clear(&v->value);
    within_row_encode(&v->value, params, columns, 0, row->time_ms);
    if (!has_null) {
        buf_clear(&v->scratch);
        group_key_encode(&v->scratch, keys, params->key->count, 0);
        key = arena_copy(arena, bytes_of(v->scratch.data, v->scratch.size));
        if (key.data == NULL)
            return ERR_NOMEM;
        TRY(place_row(v, params, key, arena, row));
        TRY(verify_name(v, keys, params->key->count, arena, &row->key));
    }
    row->content = content_of(v, key, bytes_of(v->value.data, v->value.size));
    return buf_ok(&v->value) && buf_ok(&v->text) && buf_ok(&v->scratch) ? 0 : ERR_NOMEM;
}

static int eval(struct verify_walk *walk, const struct expr_list *list, const struct batch *batch,
                struct column **columns, bool *is_good)
{
    struct arena *arena = &walk->source->arena;
    struct reject_list rejects = {.arena = arena};
    *columns = arena_zalloc(arena, (list->count + 1) * sizeof **columns);
    if (*columns == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < list->count; i++)
        TRY(expr_eval(list->exprs[i], batch, &(*columns)[i], &rejects));
    *is_good = rejects.count == 0;
    return 0;
}

static int is_too_long(struct verify *v, const struct column *keys, uint32_t count, bool *is_long)
{
    buf_clear(&v->scratch);
    group_key_encode(&v->scratch, keys, count, 0);
    *is_long = v->scratch.size > KEY_MAX_BYTES;
    return buf_ok(&v->scratch) ? 0 : ERR_NOMEM;
}

/* NULL equals nothing; late is what lies below its partition's watermark. */
static int judge_row(struct verify_walk *walk, const struct within_side_params *params,
                     const struct column *keys, bool *has_null, enum fate *fate)
{
    bool is_long;
    *has_null = false;
    for (uint32_t k = 0; k < params->key->count; k++)
        *has_null |= column_is_null(&keys[k], 0);
    *fate = FATE_UNMATCHED;
    if (*has_null && (!params->join->keeps_unmatched || params->side == WITHIN_RIGHT))
        return 0;
    TRY(is_too_long(walk->source->verify, keys, params->key->count, &is_long));
    *fate = is_long                                      ? FATE_DEAD
            : walk->row.time_ms < walk->row.watermark_ms ? FATE_LATE
                                                         : FATE_APPLIED;
    return 0;
}

int verify_side_step(struct verify_walk *walk, const struct batch *batch, uint32_t step)
{
    const struct within_side_params *params = walk->source->arm->ops[step].params;
    struct column *keys, *columns;
    bool has_key, has_columns, has_null;
    enum fate fate = FATE_DEAD;
    int rc = eval(walk, params->key, batch, &keys, &has_key);
    if (rc == 0)
        rc = eval(walk, params->columns, batch, &columns, &has_columns);
    if (rc == 0 && has_key && has_columns) {
        rc = judge_row(walk, params, keys, &has_null, &fate);
        if (rc == 0 && fate == FATE_APPLIED)
            rc = keep_row(walk, params, keys, columns, has_null);
    }
    return rc < 0 ? verify_no_memory(walk->source->verify) : verify_walk_end(walk, fate);
}

/* ---- what the task has not read ---- */

struct unread {
    struct verify *v;
    struct verify_map counts; /* by content; the value is a number */
};

static int take_unread(void *context, const struct source_row *record)
{
    struct unread *unread = context;
    struct verify_entry *entry =
        verify_map_at(&unread->counts, content_of(unread->v, record->key, record->value));
    if (entry == NULL)
        return verify_no_memory(unread->v);
    entry->value = (void *)((uintptr_t)entry->value + 1);
    return 0;
}

static int drop_unread(struct verify *v)
{
    struct verify_within *within = v->within;
    struct unread unread = {.v = v};
    size_t kept = 0;
    int rc = verify_read_unread(v, v->met, take_unread, &unread);
    for (size_t i = 0; rc == 0 && i < within->count; i++) {
        struct verify_entry *entry = verify_map_find(&unread.counts, within->rows[i].content);
        if (entry == NULL || entry->value == NULL) {
            within->rows[kept++] = within->rows[i];
            continue;
        }
        entry->value = (void *)((uintptr_t)entry->value - 1);
        release_row(v, &within->rows[i]);
    }
    if (rc == 0)
        within->count = kept;
    verify_map_deinit(&unread.counts);
    return rc;
}

/* ---- results ---- */

/* The steps behind the join, which is the first of them. One of the rows may be NULL. */
static int give_pair(struct verify *v, const struct side_row *left, const struct side_row *right,
                     bool may_be_absent)
{
    const struct within_params *params = params_of(v);
    struct verify_source *results = &v->within->results;
    uint32_t count = params->column_counts[0] + params->column_counts[1], at = 0;
    struct source_row record = {.key =
                                    left->text.is_null ? (struct bytes){NULL, 0} : left->text.text};
    struct verify_walk walk = {
        .source = results, .end = verify_rows_row, .context = v, .counts = &results->counts};
    arena_reset(&results->arena);
    walk.rejects.arena = &results->arena;
    struct column *columns = arena_zalloc(&results->arena, (count + 1) * sizeof *columns);
    if (columns == NULL)
        return verify_no_memory(v);
    for (unsigned side = 0; side < 2; side++)
        for (uint32_t i = 0; i < params->column_counts[side]; i++, at++) {
            const struct side_row *row = side == WITHIN_LEFT ? left : right;
            struct cell none = {.type = params->types[side][i], .is_null = true};
            TRY(cell_write(row != NULL ? &row->cells[i] : &none, &columns[at], &results->arena));
        }
    walk.row = (struct verify_row){.source = results,
                                   .stage = v->met,
                                   .partition = left->partition,
                                   .record = &record,
                                   .time_ms = left->time_ms,
                                   .is_undecided = may_be_absent,
                                   .cluster = VERIFY_NO_CLUSTER,
                                   .is_anyones = true};
    struct batch batch = {.row_count = 1,
                          .selected_count = 1,
                          .columns = columns,
                          .column_count = count,
                          .event_time_ms = &walk.row.time_ms,
                          .source = &record,
                          .arena = &results->arena};
    return verify_walk(&walk, &batch, 1);
}

/* A left row without a partner comes out when time has passed what could be one. */
static int give_alone(struct verify *v, const struct side_row *left)
{
    const struct within_params *params = params_of(v);
    const struct progress *progress =
        progress_set_find(&v->progress, v->met->name, left->partition);
    int64_t end_ms = left->time_ms + params->after_ms;
    if (left->text.is_null)
        return give_pair(v, left, NULL, false); /* it waits for nobody */
    if (progress == NULL || progress->is_begin || progress->is_reset ||
        progress->watermark_ms == TIME_NONE || end_ms > progress->watermark_ms)
        return 0;
    bool is_sure = progress->closed_before_ms != TIME_NONE &&
                   end_ms + within_bucket_ms(params) <= progress->closed_before_ms;
    return give_pair(v, left, NULL, !is_sure);
}

static int compare_rows(const void *a, const void *b)
{
    const struct side_row *x = a, *y = b;
    if (x->text.is_null != y->text.is_null)
        return x->text.is_null ? -1 : 1;
    if (x->key.high != y->key.high)
        return x->key.high < y->key.high ? -1 : 1;
    if (x->key.low != y->key.low)
        return x->key.low < y->key.low ? -1 : 1;
    if (x->side != y->side)
        return x->side < y->side ? -1 : 1;
    return (x->time_ms > y->time_ms) - (x->time_ms < y->time_ms);
}

/* The rows of one key: left ones, then right ones, each by time. */
static int join_key(struct verify *v, struct side_row *rows, size_t left_count, size_t count)
{
    const struct within_params *params = params_of(v);
    for (size_t l = 0; l < left_count; l++) {
        struct side_row *left = &rows[l];
        for (size_t r = left_count; r < count && !left->text.is_null; r++) {
            int64_t after_ms = rows[r].time_ms - left->time_ms;
            if (after_ms > params->after_ms)
                break;
            if (after_ms < -params->before_ms)
                continue;
            left->is_matched = true;
            TRY(give_pair(v, left, &rows[r], false));
            TRY(verify_look(v));
        }
        if (!left->is_matched && params->keeps_unmatched)
            TRY(give_alone(v, left));
    }
    return 0;
}

int verify_within_finish(struct verify *v)
{
    struct verify_within *within = v->within;
    struct side_row *rows = within->rows;
    TRY(drop_unread(v));
    if (within->count == 0)
        return 0;
    qsort(rows, within->count, sizeof *rows, compare_rows);
    for (size_t from = 0, to; from < within->count; from = to) {
        size_t left_count = 0;
        for (to = from;
             to < within->count && rows[to].text.is_null == rows[from].text.is_null &&
             rows[to].key.high == rows[from].key.high && rows[to].key.low == rows[from].key.low;
             to++)
            left_count += rows[to].side == WITHIN_LEFT;
        TRY(join_key(v, rows + from, left_count, to - from));
    }
    const struct counts *counts = &within->results.counts;
    v->report->applied += counts->applied;
    v->report->filtered += counts->filtered;
    v->report->dead += counts->dead;
    return 0;
}
