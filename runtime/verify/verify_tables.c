/* verify_tables.c: joins of two tables (see verify_parts.h).
 *
 * Each side is a map from keys to rows, which its records change in any order of the two (verify_table.c).
 * When all are read, the rows of one key are laid side by side, once, and what that gives goes
 * through the steps behind the join into what the output topic should hold under the key.
 *
 * Changes that the joining task has not read yet lie in the topic between: of their keys neither the result nor
 * what is kept can be known. Nor can the result of a key whose rows a step behind the join refuses: the
 * one before stays, and which that was nobody wrote down.
 *
 * What the tasks keep is the latest row of each side and key, and is compared row by row. */
#include <stdlib.h>

#include "operators/group_key.h"
#include "operators/row_codec.h"
#include "runtime/verify/verify_parts.h"

enum { STORE_KEY_HEAD_BYTES = 9 }; /* row_table.h: number and bucket */

/* The rows of one key. */
struct meeting {
    struct bytes key;      /* group_key.h; own copy */
    struct cell *sides[2]; /* NULL: the table has no row of it */
    bool is_waiting, is_kept[2];
};
struct verify_tables {
    struct verify_map meetings;   /* by key */
    struct verify_source results; /* what the steps behind the join take for a source */
};

static const struct join_tables_params *params_of(const struct verify *v)
{
    return v->view->joined->join_tables;
}

/* ---- open and close ---- */

int verify_tables_open(struct verify *v)
{
    v->tables = calloc(1, sizeof *v->tables);
    if (v->tables == NULL)
        return verify_no_memory(v);
    v->tables->results =
        (struct verify_source){.verify = v, .stage = v->met, .arm = v->view->joined};
    arena_init(&v->tables->results.arena, 0);
    v->report->is_of_tables = true;
    return verify_table_open(&v->tables->results);
}

static void free_side(const struct verify *v, struct meeting *meeting, unsigned side)
{
    uint32_t count = params_of(v)->column_counts[side];
    if (meeting->sides[side] == NULL)
        return;
    for (uint32_t i = 0; i < count; i++)
        cell_release(&meeting->sides[side][i]);
    verify_let_go((count + 1) * sizeof(struct cell));
    free(meeting->sides[side]);
    meeting->sides[side] = NULL;
}

void verify_tables_close(struct verify *v)
{
    struct verify_tables *tables = v->tables;
    if (tables == NULL)
        return;
    for (size_t i = 0; i < tables->meetings.capacity; i++) {
        struct meeting *meeting = tables->meetings.slots[i].value;
        if (meeting == NULL)
            continue;
        free_side(v, meeting, JOIN_TABLES_LEFT);
        free_side(v, meeting, JOIN_TABLES_RIGHT);
        verify_let_go(sizeof *meeting + meeting->key.size);
        free(meeting);
    }
    verify_map_deinit(&tables->meetings);
    if (tables->results.table != NULL)
        verify_table_deinit(tables->results.table);
    free(tables->results.table);
    arena_deinit(&tables->results.arena);
    free(tables);
}

/* ---- rows of both ---- */

static struct meeting *meeting_at(struct verify *v, struct bytes key)
{
    struct verify_entry *entry = verify_map_at(&v->tables->meetings, hash128(key.data, key.size));
    if (entry == NULL || entry->value != NULL)
        return entry != NULL ? entry->value : NULL;
    struct meeting *meeting = calloc(1, sizeof *meeting + key.size);
    if (meeting == NULL)
        return NULL;
    verify_hold(sizeof *meeting + key.size);
    memcpy(meeting + 1, key.data, key.size);
    meeting->key = bytes_of(meeting + 1, key.size);
    return entry->value = meeting;
}

int verify_tables_row(void *verify, const struct verify_row *row, enum fate *fate)
{
    struct verify *v = verify;
    struct verify_source *source = row->source;
    uint32_t count = params_of(v)->column_counts[source->arm->arm];
    struct cell *cells =
        arena_zalloc(&source->arena, (source->table->cell_count + 1) * sizeof *cells);
    if (cells == NULL)
        return verify_no_memory(v);
    for (uint32_t i = 0; i < count; i++)
        cell_read(&cells[i], &row->batch->columns[i], 0);
    for (uint32_t i = count; i < source->table->cell_count; i++)
        cell_read(&cells[i], &row->key_columns[i - count], 0);
    *fate = FATE_APPLIED;
    return verify_table_put(source->table, row->key, cells) < 0 ? verify_no_memory(v) : 0;
}

static int write_cells(const struct cell *cells, uint32_t count, struct arena *arena,
                       struct column **columns)
{
    *columns = arena_zalloc(arena, (count + 1) * sizeof **columns);
    if (*columns == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++)
        TRY(cell_write(&cells[i], &(*columns)[i], arena));
    return 0;
}

static int take_row(struct verify_source *source, const struct cell *cells)
{
    struct verify *v = source->verify;
    unsigned side = source->arm->arm;
    uint32_t count = params_of(v)->column_counts[side], keys = source->table->cell_count - count;
    struct column *columns;
    arena_reset(&source->arena);
    TRY(write_cells(cells + count, keys, &source->arena, &columns));
    buf_clear(&v->scratch);
    group_key_encode(&v->scratch, columns, keys, 0);
    struct meeting *meeting =
        buf_ok(&v->scratch) ? meeting_at(v, bytes_of(v->scratch.data, v->scratch.size)) : NULL;
    if (meeting == NULL)
        return ERR_NOMEM;
    free_side(v, meeting, side); /* a key that has come to another partition */
    meeting->sides[side] = calloc(count + 1, sizeof(struct cell));
    if (meeting->sides[side] == NULL)
        return ERR_NOMEM;
    verify_hold((count + 1) * sizeof(struct cell));
    for (uint32_t i = 0; i < count; i++)
        TRY(cell_keep(&meeting->sides[side][i], &cells[i]));
    return 0;
}

int verify_tables_take(struct verify_source *source)
{
    const struct verify_map *rows = &source->table->rows;
    for (size_t i = 0; i < rows->capacity; i++) {
        if (rows->slots[i].value != NULL && take_row(source, rows->slots[i].value) < 0)
            return verify_no_memory(source->verify);
        TRY(verify_look(source->verify));
    }
    return 0;
}

/* ---- results ---- */

/* The key's columns, and its text as the result's record has it, in v->key. */
static int read_key(struct verify *v, struct bytes key, struct arena *arena,
                    struct column **columns)
{
    const struct expr_list *list = v->view->keyed->key;
    *columns = arena_zalloc(arena, (list->count + 1) * sizeof **columns);
    if (*columns == NULL)
        return verify_no_memory(v);
    for (uint32_t i = 0; i < list->count; i++)
        if (column_alloc(&(*columns)[i], expr_type(list->exprs[i]), 1, true, arena) < 0)
            return verify_no_memory(v);
    int rc = group_key_decode(key, *columns, list->count, 0, arena);
    if (rc < 0)
        return diag_set(v->diag, rc, "a key of %s does not decode", v->options->view);
    buf_clear(&v->key);
    json_encode_key(&v->key, v->final->view->key_names, *columns, 0, false);
    return buf_ok(&v->key) ? 0 : verify_no_memory(v);
}

static struct bytes key_text(const struct verify *v)
{
    return bytes_of(v->key.data != NULL ? (const void *)v->key.data : "", v->key.size);
}

static int take_unread(void *context, const struct source_row *record)
{
    struct verify *v = context;
    struct column *columns;
    struct meeting *meeting = meeting_at(v, record->key);
    if (meeting == NULL)
        return verify_no_memory(v);
    meeting->is_waiting = true;
    v->report->waiting++;
    arena_reset(&v->tables->results.arena);
    TRY(read_key(v, record->key, &v->tables->results.arena, &columns));
    return verify_table_unknown(v, key_text(v));
}

static bool is_shown(const struct verify *v, const struct meeting *meeting)
{
    const struct join_tables_params *params = params_of(v);
    bool has_left = meeting->sides[0] != NULL, has_right = meeting->sides[1] != NULL;
    return (has_left && has_right) || (has_left && params->keeps_left) ||
           (has_right && params->keeps_right);
}

static int lay_beside(struct verify *v, const struct meeting *meeting, struct arena *arena,
                      struct column **columns)
{
    const struct join_tables_params *params = params_of(v);
    uint32_t at = 0;
    *columns = arena_zalloc(arena, (params->column_counts[0] + params->column_counts[1] + 1) *
                                       sizeof **columns);
    if (*columns == NULL)
        return verify_no_memory(v);
    for (unsigned side = 0; side < 2; side++)
        for (uint32_t i = 0; i < params->column_counts[side]; i++, at++) {
            struct cell none = {.type = params->types[side][i], .is_null = true};
            const struct cell *cells = meeting->sides[side];
            if (cell_write(cells != NULL ? &cells[i] : &none, &(*columns)[at], arena) < 0)
                return verify_no_memory(v);
        }
    return 0;
}

static int give_result(struct verify *v, const struct meeting *meeting)
{
    struct verify_source *results = &v->tables->results;
    struct arena *arena = &results->arena;
    struct source_row record = {.key = {NULL, 0}};
    struct column *keys, *columns;
    arena_reset(arena);
    TRY(read_key(v, meeting->key, arena, &keys));
    TRY(lay_beside(v, meeting, arena, &columns));
    struct verify_walk walk = {
        .source = results, .end = verify_table_row, .context = v, .counts = &results->counts};
    walk.rejects.arena = arena;
    walk.row = (struct verify_row){.source = results,
                                   .stage = v->met,
                                   .record = &record,
                                   .key = hash128(meeting->key.data, meeting->key.size),
                                   .key_columns = keys};
    struct batch batch = {.row_count = 1,
                          .selected_count = 1,
                          .columns = columns,
                          .column_count =
                              params_of(v)->column_counts[0] + params_of(v)->column_counts[1],
                          .source = &record,
                          .arena = arena};
    TRY(verify_walk(&walk, &batch, 1));
    if (walk.fate != FATE_DEAD)
        return 0;
    TRY(read_key(v, meeting->key, arena, &keys));
    return verify_table_unknown(v, key_text(v));
}

int verify_tables_finish(struct verify *v)
{
    const struct verify_map *meetings = &v->tables->meetings;
    TRY(verify_read_unread(v, v->met, take_unread, v));
    for (size_t i = 0; i < meetings->capacity; i++) {
        const struct meeting *meeting = meetings->slots[i].value;
        if (meeting != NULL && !meeting->is_waiting && is_shown(v, meeting))
            TRY(give_result(v, meeting));
        TRY(verify_look(v));
    }
    const struct counts *counts = &v->tables->results.counts;
    v->report->applied += counts->applied;
    v->report->filtered += counts->filtered;
    v->report->dead += counts->dead;
    return verify_table_finish(&v->tables->results);
}

/* ---- what is kept ---- */

struct kept {
    struct verify *v;
    int32_t partition;
};

static int tell_kept(struct verify *v, int32_t partition, const char *kind, struct bytes key,
                     const char *text)
{
    struct column *columns;
    arena_reset(&v->arena);
    TRY(read_key(v, key, &v->arena, &columns));
    struct verify_difference difference = {.kind = kind,
                                           .where = "store",
                                           .topic = v->met->changelog_topic,
                                           .partition = partition,
                                           .offset = -1,
                                           .key = key_text(v),
                                           .text = text};
    verify_tell(v, &difference);
    return 0;
}

/* Whether the pair has the columns of the row; its timestamp stands before them. */
static int is_same(struct verify *v, const struct cell *cells, unsigned side, struct bytes value,
                   bool *is)
{
    uint32_t count = params_of(v)->column_counts[side];
    struct column *columns;
    int64_t timestamp_ms;
    arena_reset(&v->arena);
    if (write_cells(cells, count, &v->arena, &columns) < 0)
        return verify_no_memory(v);
    buf_clear(&v->value);
    row_encode(&v->value, columns, count, 0);
    *is = take_varint(&value, &timestamp_ms) == 0 &&
          bytes_equal(value, bytes_of(v->value.data, v->value.size));
    return buf_ok(&v->value) ? 0 : verify_no_memory(v);
}

static int judge_pair(void *context, struct bytes key, struct bytes value)
{
    const struct kept *kept = context;
    struct verify *v = kept->v;
    TRY(verify_look(v));
    if (key.size <= STORE_KEY_HEAD_BYTES || key.data[STORE_KEY_HEAD_BYTES] > JOIN_TABLES_RIGHT)
        return diag_set(v->diag, ERR_CORRUPT, "a stored key of %s does not decode",
                        v->options->view);
    unsigned side = key.data[STORE_KEY_HEAD_BYTES];
    struct bytes own =
        bytes_of(key.data + STORE_KEY_HEAD_BYTES + 1, key.size - STORE_KEY_HEAD_BYTES - 1);
    struct verify_entry *entry = verify_map_find(&v->tables->meetings, hash128(own.data, own.size));
    struct meeting *meeting = entry != NULL ? entry->value : NULL;
    bool is = false;
    if (meeting != NULL && meeting->is_waiting)
        return 0;
    if (meeting == NULL || meeting->sides[side] == NULL)
        return tell_kept(v, kept->partition, "unknown", own,
                         "a row is kept that its table does not have");
    if (murmur2_partition(own.data, own.size, v->met->partitions) != kept->partition)
        return tell_kept(v, kept->partition, "partition", own,
                         "the row is kept in another partition than its key");
    TRY(is_same(v, meeting->sides[side], side, value, &is));
    meeting->is_kept[side] = true;
    v->report->states++;
    return is ? 0
              : tell_kept(v, kept->partition, "value", own,
                          "another row is kept than its table has");
}

int verify_tables_state(struct verify *v)
{
    for (int32_t p = 0; p < v->met->partitions; p++) {
        struct kept kept = {v, p};
        TRY(verify_pairs(v, v->met, p, judge_pair, &kept));
    }
    const struct verify_map *meetings = &v->tables->meetings;
    for (size_t i = 0; i < meetings->capacity; i++) {
        const struct meeting *meeting = meetings->slots[i].value;
        for (unsigned side = 0; meeting != NULL && !meeting->is_waiting && side < 2; side++)
            if (meeting->sides[side] != NULL && !meeting->is_kept[side])
                TRY(tell_kept(
                    v, murmur2_partition(meeting->key.data, meeting->key.size, v->met->partitions),
                    "missing", meeting->key, "a row of a table is not kept"));
    }
    return 0;
}
