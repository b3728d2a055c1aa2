/* verify_table.c: rows of a table (see verify_parts.h): their keys, what takes them away, and what
 * comes of the table in the end.
 *
 * A table is a map from keys to rows, and a row of its topic puts one there or takes one away. So an
 * aggregate over a table needs nothing to be taken back here: when the source is read, each row
 * that stands goes into its group, once. A table that is written as it is says in the same way what the
 * last record of each key ought to be.
 *
 * What a record without a value removes is said in operators/op_keyed.c's first words: its key is
 * text, read as the types of the key's columns; where the only one is uncast, 5 and "5" both go. */
#include <stdlib.h>

#include "operators/group_key.h"
#include "operators/json_value.h"
#include "runtime/verify/verify_parts.h"

enum { KEY_MAX_BYTES = 60000, CELLS_WRITTEN = 2 };

/* ---- rows by key ---- */

static void free_cells(const struct verify_table *table, struct cell *cells)
{
    if (cells == NULL)
        return;
    for (uint32_t i = 0; i < table->cell_count; i++)
        cell_release(&cells[i]);
    verify_let_go((table->cell_count + 1) * sizeof *cells);
    free(cells);
}

void verify_table_remove(struct verify_table *table, struct hash128 key)
{
    struct verify_entry *entry = verify_map_find(&table->rows, key);
    if (entry == NULL)
        return;
    free_cells(table, entry->value);
    entry->value = NULL;
}

int verify_table_put(struct verify_table *table, struct hash128 key, const struct cell *cells)
{
    struct verify_entry *entry = verify_map_at(&table->rows, key);
    if (entry != NULL && entry->value == NULL) {
        entry->value = calloc(table->cell_count + 1, sizeof *cells);
        if (entry->value != NULL)
            verify_hold((table->cell_count + 1) * sizeof *cells);
    }
    if (entry == NULL || entry->value == NULL)
        return ERR_NOMEM;
    struct cell *kept = entry->value;
    for (uint32_t i = 0; i < table->cell_count; i++)
        TRY(cell_keep(&kept[i], &cells[i]));
    return 0;
}

const struct cell *verify_table_find(const struct verify_table *table, struct hash128 key)
{
    const struct verify_entry *entry = verify_map_find(&table->rows, key);
    return entry != NULL ? entry->value : NULL;
}

void verify_table_deinit(struct verify_table *table)
{
    for (size_t i = 0; i < table->rows.capacity; i++)
        free_cells(table, table->rows.slots[i].value);
    verify_map_deinit(&table->rows);
}

/* ---- keys ---- */

bool verify_lies_right(const struct verify_source *source, const struct column *key)
{
    struct cell cell;
    cell_read(&cell, key, 0);
    if (cell.is_null)
        return true;
    if (cell.type == COL_VARIANT && cell.variant.kind == VARIANT_TEXT)
        cell.text = bytes_of(cell.variant.data, cell.variant.size);
    else if (cell.type != COL_TEXT)
        return false;
    return murmur2_partition(cell.text.data, cell.text.size, source->stage->partitions) ==
           source->partition;
}

/* False: there is a NULL among them, which only groups have for a key, or they are more than a store
 * takes. */
static bool is_key(struct verify *v, const struct keyed_params *params,
                   const struct column *columns, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (column_is_null(&columns[i], 0) && !params->takes_nulls)
            return false;
    buf_clear(&v->scratch);
    group_key_encode(&v->scratch, columns, count, 0);
    return v->scratch.size <= KEY_MAX_BYTES;
}

/* The name of the key's values, in the forms that equal ones share. */
static int name_key(struct verify_walk *walk, const struct expr_list *list,
                    const struct batch *batch, bool *is_good)
{
    struct verify *v = walk->source->verify;
    struct arena *arena = &walk->source->arena;
    struct reject_list rejects = {.arena = arena};
    struct column *columns = arena_zalloc(arena, (list->count + 1) * sizeof *columns);
    if (columns == NULL)
        return verify_no_memory(v);
    for (uint32_t i = 0; i < list->count; i++)
        TRY(expr_eval(list->exprs[i], batch, &columns[i], &rejects));
    *is_good = rejects.count == 0 && is_key(v, walk->source->arm->keyed, columns, list->count);
    for (uint32_t i = 0; i < list->count && *is_good; i++) {
        struct cell cell;
        cell_read(&cell, &columns[i], 0);
        TRY(cell_canonical(&cell, arena));
        TRY(cell_write(&cell, &columns[i], arena));
    }
    walk->row.key_columns = columns;
    *is_good = *is_good && (walk->source->arm->keyed->placed_table == NULL ||
                            verify_lies_right(walk->source, columns));
    return *is_good ? verify_name(v, columns, list->count, arena, &walk->row.key) : 0;
}

int verify_keyed_step(struct verify_walk *walk, const struct batch *batch, uint32_t step)
{
    const struct keyed_params *params = walk->source->arm->ops[step].params;
    bool is_good;
    TRY(name_key(walk, params->key, batch, &is_good));
    walk->is_keyed = is_good;
    return is_good ? verify_walk(walk, batch, step + 1) : verify_walk_end(walk, FATE_DEAD);
}

int verify_keyed_hidden(struct verify_walk *walk)
{
    if (walk->is_keyed && walk->fate == FATE_FILTERED)
        verify_table_remove(walk->source->table, walk->row.key);
    return 0;
}

/* ---- records without a value ---- */

/* The values that the record's key names, uncast; false: none. */
static int split_key(const struct keyed_params *params, struct bytes key, struct arena *arena,
                     struct variant *values, bool *is_good)
{
    *is_good = false;
    if (key.data == NULL)
        return 0;
    if (params->key->count == 1 && (key.size == 0 || key.data[0] != '{')) {
        *is_good = true;
        *values =
            (struct variant){.data = key.data, .size = (uint32_t)key.size, .kind = VARIANT_TEXT};
        return 0;
    }
    if (!json_value_check(key))
        return 0;
    for (uint32_t i = 0; i < params->key->count; i++) {
        struct bytes text;
        int rc = json_value_member(key, bytes_text(params->key->names[i]), arena, &text);
        if (rc <= 0)
            return rc == ERR_NOMEM ? rc : 0;
        TRY(json_value_read(text, arena, &values[i]));
        if (values[i].kind == VARIANT_NULL && !params->takes_nulls)
            return 0;
    }
    *is_good = true;
    return 0;
}

static int remove_values(struct verify_walk *walk, struct variant *values, bool *is_good)
{
    const struct expr_list *list = walk->source->arm->keyed->record_key;
    struct arena *arena = &walk->source->arena;
    struct column *columns = arena_zalloc(arena, (list->count + 1) * sizeof *columns);
    if (columns == NULL)
        return verify_no_memory(walk->source->verify);
    for (uint32_t i = 0; i < list->count; i++)
        columns[i] = (struct column){.type = COL_VARIANT, .variant = &values[i]};
    struct batch batch = {.row_count = 1,
                          .selected_count = 1,
                          .columns = columns,
                          .column_count = list->count,
                          .arena = arena};
    TRY(name_key(walk, list, &batch, is_good));
    if (*is_good)
        verify_table_remove(walk->source->table, walk->row.key);
    return 0;
}

int verify_keyed_removal(struct verify_walk *walk, const struct source_row *record)
{
    const struct keyed_params *params = walk->source->arm->keyed;
    struct arena *arena = &walk->source->arena;
    struct variant number, *values = arena_zalloc(arena, params->key->count * sizeof *values);
    bool is_good, is_number = false, is_text = false;
    if (values == NULL)
        return verify_no_memory(walk->source->verify);
    TRY(split_key(params, record->key, arena, values, &is_good));
    if (!is_good)
        return verify_walk_end(walk, FATE_DEAD);
    if (params->key->count == 1 && expr_type(params->key->exprs[0]) == COL_VARIANT &&
        values->kind == VARIANT_TEXT && json_value_check(record->key) &&
        json_value_read(record->key, arena, &number) == 0)
        TRY(remove_values(walk, &number, &is_number));
    TRY(remove_values(walk, values, &is_text));
    return verify_walk_end(walk, is_number || is_text ? FATE_APPLIED : FATE_DEAD);
}

/* ---- a view's own table ---- */

static const struct latest_params *latest_of(const struct view *arm)
{
    for (uint32_t i = 0; i < arm->op_count; i++)
        if (strcmp(arm->ops[i].type->name, "latest") == 0)
            return arm->ops[i].params;
    return NULL;
}

int verify_table_open(struct verify_source *source)
{
    const struct latest_params *latest = latest_of(source->arm);
    source->table = calloc(1, sizeof *source->table);
    if (source->table == NULL)
        return verify_no_memory(source->verify);
    source->table->cell_count = latest != NULL ? latest->list->count : CELLS_WRITTEN;
    const struct join_tables_params *join = source->arm->join_tables;
    if (join != NULL && source->stage->input == INPUT_ROWS) /* verify_tables.c: and the key */
        source->table->cell_count =
            join->column_counts[source->arm->arm] + source->arm->keyed->key->count;
    return 0;
}

/* What the groups need of a row, unless they cannot take it. */
static int keep_inputs(struct verify *v, const struct verify_row *row, struct cell *cells,
                       enum fate *fate)
{
    const struct expr_list *list = latest_of(row->source->arm)->list;
    struct arena *arena = &row->source->arena;
    struct reject_list rejects = {.arena = arena};
    struct column *columns = arena_zalloc(arena, (list->count + 1) * sizeof *columns);
    struct batch batch = *row->batch;
    struct verify_row inputs = *row;
    bool is_good;
    if (columns == NULL)
        return verify_no_memory(v);
    for (uint32_t i = 0; i < list->count; i++)
        TRY(expr_eval(list->exprs[i], row->batch, &columns[i], &rejects));
    *fate = FATE_DEAD;
    if (rejects.count > 0)
        return 0;
    batch.columns = columns;
    batch.column_count = list->count;
    inputs.batch = &batch;
    TRY(verify_group_takes(v, &inputs, &is_good));
    for (uint32_t i = 0; i < list->count; i++)
        cell_read(&cells[i], &columns[i], 0);
    *fate = is_good ? FATE_APPLIED : FATE_DEAD;
    return 0;
}

static struct cell text_cell(struct bytes text)
{
    return (struct cell){.type = COL_TEXT, .is_null = text.data == NULL, .text = text};
}

/* The record that the row becomes. */
static int keep_record(struct verify *v, const struct verify_row *row, struct cell *cells,
                       enum fate *fate)
{
    struct bytes value;
    bool is_good;
    TRY(verify_row_value(v, row, &value, &is_good));
    *fate = is_good ? FATE_APPLIED : FATE_DEAD;
    buf_clear(&v->key);
    json_encode_key(&v->key, v->final->view->key_names, row->key_columns, 0, false);
    cells[0] =
        text_cell(bytes_of(v->key.data != NULL ? (const void *)v->key.data : "", v->key.size));
    cells[1] = text_cell(value);
    return buf_ok(&v->key) ? 0 : verify_no_memory(v);
}

int verify_table_row(void *verify, const struct verify_row *row, enum fate *fate)
{
    struct verify *v = verify;
    struct verify_table *table = row->source->table;
    struct cell *cells = arena_zalloc(&row->source->arena, (table->cell_count + 1) * sizeof *cells);
    if (cells == NULL)
        return verify_no_memory(v);
    TRY(v->view->group != NULL ? keep_inputs(v, row, cells, fate)
                               : keep_record(v, row, cells, fate));
    if (*fate != FATE_APPLIED)
        return 0; /* the row of its key stays what it was */
    return verify_table_put(table, row->key, cells) < 0 ? verify_no_memory(v) : 0;
}

/* ---- what comes of it ---- */

static int add_to_group(struct verify_source *source, const struct cell *cells)
{
    struct verify_row row = {
        .source = source, .stage = source->stage, .partition = source->partition};
    uint32_t count = source->table->cell_count;
    enum fate fate;
    arena_reset(&source->arena);
    struct column *columns = arena_zalloc(&source->arena, (count + 1) * sizeof *columns);
    if (columns == NULL)
        return verify_no_memory(source->verify);
    for (uint32_t i = 0; i < count; i++)
        TRY(cell_write(&cells[i], &columns[i], &source->arena));
    struct batch batch = {.row_count = 1,
                          .selected_count = 1,
                          .columns = columns,
                          .column_count = count,
                          .arena = &source->arena};
    row.batch = &batch;
    TRY(verify_group_row(source->verify, &row, &fate));
    must(fate == FATE_APPLIED); /* it was asked before */
    return 0;
}

/* What the output topic should hold under a key, and what it holds. */
struct written {
    struct cell key, value;
    int32_t found_partition;
    int64_t found_offset; /* -1: no record */
    bool is_wanted, is_there, is_same;
    bool is_unknown; /* which of them it ought to be */
};

static struct written *written_at(struct verify *v, struct bytes key)
{
    struct verify_entry *entry = verify_map_at(&v->written, hash128(key.data, key.size));
    if (entry != NULL && entry->value == NULL) {
        entry->value = calloc(1, sizeof(struct written));
        if (entry->value != NULL)
            verify_hold(sizeof(struct written));
    }
    if (entry == NULL || entry->value == NULL)
        return NULL;
    return entry->value;
}

int verify_table_unknown(struct verify *v, struct bytes key)
{
    struct written *written = written_at(v, key);
    if (written == NULL)
        return verify_no_memory(v);
    written->is_unknown = true;
    return 0;
}

static int add_written(struct verify *v, const struct cell *cells)
{
    struct written *written = written_at(v, cells[0].text);
    if (written == NULL || cell_keep(&written->key, &cells[0]) < 0 ||
        cell_keep(&written->value, &cells[1]) < 0)
        return verify_no_memory(v);
    written->is_wanted = !cells[1].is_null;
    written->found_offset = -1;
    v->report->groups++;
    return 0;
}

int verify_table_finish(struct verify_source *source)
{
    const struct verify_map *rows = &source->table->rows;
    int rc = 0;
    for (size_t i = 0; i < rows->capacity && rc == 0; i++) {
        const struct cell *cells = rows->slots[i].value;
        if (cells != NULL)
            rc = source->arm->group != NULL ? add_to_group(source, cells)
                                            : add_written(source->verify, cells);
        if (rc == 0)
            rc = verify_look(source->verify);
    }
    return rc;
}

/* ---- a table that is written as it is ---- */

struct reading {
    struct verify *v;
    int32_t partition;
};

static int take_written(void *context, const struct source_row *record)
{
    const struct reading *reading = context;
    struct written *written = written_at(reading->v, record->key);
    if (written == NULL)
        return verify_no_memory(reading->v);
    reading->v->report->records++;
    written->found_partition = reading->partition;
    written->found_offset = record->offset;
    written->is_there = record->value.data != NULL;
    written->is_same =
        written->is_wanted && written->is_there && bytes_equal(written->value.text, record->value);
    return 0;
}

/* The record that a key has, read once more. */
static int show_written(void *context, const struct source_row *record)
{
    const struct reading *reading = context;
    struct verify *v = reading->v;
    const struct written *written = written_at(v, record->key);
    struct bytes expected = written->is_wanted ? written->value.text : (struct bytes){NULL, 0};
    const char *kind = !written->is_wanted ? "unknown" : !written->is_same ? "value" : "partition";
    verify_tell_output(v, kind, reading->partition, record->offset, record->key, expected,
                       record->value,
                       !written->is_wanted ? "the table has no row of this key"
                       : !written->is_same ? "the recomputation gives another value"
                                           : "the record lies in another partition than its key");
    return 1;
}

static int judge_written(struct verify *v, struct written *written)
{
    if (written->is_unknown)
        return 0;
    if (!written->is_wanted && !written->is_there)
        return 0;
    if (!written->is_there) {
        verify_tell_output(v, "missing", -1, -1, written->key.text, written->value.text,
                           (struct bytes){NULL, 0}, "the output topic has no record of this key");
        return 0;
    }
    int32_t partition = written->is_wanted
                            ? murmur2_partition(written->key.text.data, written->key.text.size,
                                                v->final->output_partitions)
                            : -1;
    if (written->is_same && partition == written->found_partition) {
        v->report->compared++;
        return 0;
    }
    struct reading reading = {v, written->found_partition};
    return verify_read(v, v->final->output_topic, written->found_partition, written->found_offset,
                       written->found_offset + 1, show_written, &reading);
}

int verify_table_output(struct verify *v)
{
    struct port_range range;
    for (int32_t p = 0; p < v->final->output_partitions; p++) {
        struct reading reading = {v, p};
        TRY(verify_output_range(v, p, &range));
        TRY(verify_read(v, v->final->output_topic, p, range.start, range.stable, take_written,
                        &reading));
    }
    for (size_t i = 0; i < v->written.capacity; i++) {
        if (v->written.slots[i].value != NULL)
            TRY(judge_written(v, v->written.slots[i].value));
        TRY(verify_look(v));
    }
    return 0;
}

void verify_table_output_close(struct verify *v)
{
    for (size_t i = 0; i < v->written.capacity; i++) {
        struct written *written = v->written.slots[i].value;
        if (written == NULL)
            continue;
        cell_release(&written->key);
        cell_release(&written->value);
        verify_let_go(sizeof *written);
        free(written);
    }
    verify_map_deinit(&v->written);
}
