/* verify_join.c: rows that meet tables (see verify_parts.h).
 *
 * What a row meets is decided by how far the tables had been read when it came, and that is written
 * down: each commit that read tables on has left a cut in the progress topic (join_cut.h). From the
 * offset of a cut in rows on, the tables stand at its positions. A cut by time covers a range of the
 * stream: at its beginning the tables stand where they did before; then a row comes when all rows of
 * the tables with a time up to its own have come, the table first; behind the range they stand at its
 * positions. There is nothing else to a join here than a map for each table.
 *
 * All tables are read once more for each partition of the stream, as each of its tasks did: all of
 * their partitions, or the one of its own number, where rows of others are no rows (op_join.c). */
#include <stdlib.h>

#include "runtime/join_cut.h"
#include "runtime/verify/verify_parts.h"

enum { READ_ROWS = 256 };

/* A partition of a table's topic. */
struct input {
    struct port_reader *reader;
    int32_t partition;
    int64_t next; /* the offset behind those that were read */
    struct source_row *rows;
    uint32_t count, at;   /* [at, count) wait */
    int64_t compacted_to; /* rows below it may be gone, where newer ones came */
};
struct joined_table {
    const struct table *table;
    struct verify_source reader; /* of its rows: decoder, arena, and what it shows */
    struct input *inputs;
    int32_t input_count;
};
struct verify_joins {
    struct joined_table *tables;
    uint32_t table_count;
    const struct join_cut **cuts; /* by offset */
    uint32_t cut_count, next;
};

/* ---- cuts ---- */

/* Cuts of topics that have been made anew since are about others. */
static int find_cuts(struct verify_source *source)
{
    const struct progress_set *set = &source->verify->progress;
    struct verify_joins *joins = source->joins;
    joins->cuts = calloc((size_t)set->cut_count + 1, sizeof(struct join_cut *));
    if (joins->cuts == NULL)
        return verify_no_memory(source->verify);
    uint32_t count = join_cuts_of_task(set, source->stage->name, source->partition, joins->cuts),
             kept = 0;
    for (uint32_t i = 0; i < count; i++)
        if (!joins->cuts[i]->is_gone &&
            join_cut_fits(joins->cuts[i], source->stage, source->partition))
            joins->cuts[kept++] = joins->cuts[i];
    joins->cut_count = kept;
    return 0;
}

/* The oldest cuts go when there are very many. */
static int check_cuts(struct verify_source *source)
{
    const struct verify_joins *joins = source->joins;
    if (joins->cut_count < JOIN_CUTS_MAX || source->first >= joins->cuts[0]->offset)
        return 0;
    return diag_set(source->verify->diag, ERR_RANGE,
                    "%s cannot be recomputed: which rows of its tables those of %s-%d below offset "
                    "%lld met is known of the latest %d commits alone",
                    source->verify->options->view, source->stage->input_topic,
                    (int)source->partition, (long long)joins->cuts[0]->offset, JOIN_CUTS_MAX);
}

/* ---- open ---- */

static int open_input(struct verify *v, struct joined_table *table, int32_t partition)
{
    struct input *input = &table->inputs[table->input_count++];
    const char *topic = table->table->rows.source->text;
    struct port_range range;
    input->partition = partition;
    input->rows = calloc(READ_ROWS, sizeof *input->rows);
    if (input->rows == NULL)
        return verify_no_memory(v);
    TRY(v->port->ops->range(v->port, topic, partition, &range, v->diag));
    input->next = range.start;
    input->compacted_to = range.compacted_to;
    return v->port->ops->reader_open(v->port, topic, partition, range.start, &input->reader,
                                     v->diag);
}

static int open_table(struct verify_source *source, struct joined_table *table, uint32_t number)
{
    struct verify *v = source->verify;
    const struct stage_table *stands = &source->stage->tables[number];
    int32_t inputs = stage_table_inputs(stands);
    table->table = stage_table(source->stage, number);
    table->reader = (struct verify_source){.verify = v,
                                           .stage = source->stage,
                                           .arm = &table->table->rows,
                                           .partition = source->partition};
    arena_init(&table->reader.arena, 0);
    table->reader.table = calloc(1, sizeof *table->reader.table);
    table->inputs = calloc((size_t)inputs + 1, sizeof *table->inputs);
    if (table->reader.table == NULL || table->inputs == NULL)
        return verify_no_memory(v);
    table->reader.table->cell_count = table->table->columns->count;
    for (int32_t i = 0; i < inputs; i++)
        TRY(open_input(v, table, stage_table_partition(stands, source->partition, i)));
    return format_open(table->reader.arm, &table->reader.decoder, v->diag);
}

int verify_joins_open(struct verify_source *source)
{
    uint32_t count = source->stage->table_count;
    struct verify_joins *joins = source->joins = calloc(1, sizeof *joins);
    if (joins == NULL)
        return verify_no_memory(source->verify);
    joins->tables = calloc((size_t)count + 1, sizeof *joins->tables);
    if (joins->tables == NULL)
        return verify_no_memory(source->verify);
    for (uint32_t t = 0; t < count; t++) {
        joins->table_count++;
        TRY(open_table(source, &joins->tables[t], t));
    }
    return find_cuts(source);
}

static void close_table(struct verify *v, struct joined_table *table)
{
    for (int32_t p = 0; p < table->input_count; p++) {
        if (table->inputs[p].reader != NULL)
            v->port->ops->reader_close(table->inputs[p].reader);
        free(table->inputs[p].rows);
    }
    free(table->inputs);
    if (table->reader.decoder != NULL)
        format_close(table->reader.arm, table->reader.decoder);
    if (table->reader.table != NULL)
        verify_table_deinit(table->reader.table);
    free(table->reader.table);
    arena_deinit(&table->reader.arena);
}

void verify_joins_close(struct verify_source *source)
{
    struct verify_joins *joins = source->joins;
    if (joins == NULL)
        return;
    for (uint32_t t = 0; t < joins->table_count; t++)
        close_table(source->verify, &joins->tables[t]);
    free(joins->tables);
    free(joins->cuts);
    free(joins);
}

/* ---- rows of a table ---- */

/* Those of its columns that were asked for. */
static int keep_row(void *context, const struct verify_row *row, enum fate *fate)
{
    const struct joined_table *table = context;
    const struct expr_list *list = table->table->columns;
    struct arena *arena = &row->source->arena;
    struct reject_list rejects = {.arena = arena};
    struct cell *cells = arena_zalloc(arena, (list->count + 1) * sizeof *cells);
    *fate = FATE_DEAD;
    if (cells == NULL)
        return verify_no_memory(row->source->verify);
    for (uint32_t i = 0; i < list->count; i++) {
        struct column column;
        TRY(expr_eval(list->exprs[i], row->batch, &column, &rejects));
        if (rejects.count == 0)
            cell_read(&cells[i], &column, 0);
    }
    if (rejects.count > 0)
        return 0; /* the row of its key stays what it was */
    *fate = FATE_APPLIED;
    return verify_table_put(row->source->table, row->key, cells) < 0
               ? verify_no_memory(row->source->verify)
               : 0;
}

/* Each task reads all of the table; one of them tells what is wrong with a row. */
static int take_row(struct verify_source *source, struct joined_table *table,
                    const struct input *input, const struct source_row *record)
{
    struct counts *counts = &source->counts;
    bool tells = input->partition % source->stage->partitions == source->partition;
    enum fate fate;
    TRY(verify_table_record(&table->reader, record, keep_row, table, &fate));
    counts->rows_in++;
    counts->applied += fate == FATE_APPLIED;
    counts->dead += fate == FATE_DEAD && tells;
    counts->filtered += fate == FATE_FILTERED || (fate == FATE_DEAD && !tells);
    return 0;
}

/* The next record below `end` waits; false: there is none. */
static int wait_for(struct verify *v, struct input *input, int64_t end, bool *waits)
{
    while (input->at == input->count && input->next < end) {
        int64_t before = input->next;
        TRY(v->port->ops->reader_read(input->reader, input->rows, READ_ROWS, &input->count,
                                      &input->next, v->diag));
        input->at = 0;
        if (input->count == 0 && input->next == before)
            break;
    }
    *waits = input->at < input->count && input->rows[input->at].offset < end;
    return verify_look(v);
}

/* Up to an offset, whatever the time. */
static int read_to(struct verify_source *source, struct joined_table *table, struct input *input,
                   int64_t end)
{
    bool waits;
    for (;;) {
        TRY(wait_for(source->verify, input, end, &waits));
        if (!waits)
            return 0;
        TRY(take_row(source, table, input, &input->rows[input->at++]));
    }
}

/* Up to the first row that is later. */
static int read_until(struct verify_source *source, struct joined_table *table, struct input *input,
                      int64_t end, int64_t until_ms)
{
    for (;;) {
        bool waits;
        int64_t time_ms;
        TRY(wait_for(source->verify, input, end, &waits));
        if (!waits)
            return 0;
        TRY(verify_table_time(&table->reader, &input->rows[input->at], &time_ms));
        if (time_ms > until_ms)
            return 0;
        TRY(take_row(source, table, input, &input->rows[input->at++]));
    }
}

/* ---- how far ---- */

/* Where newer rows have taken the place of older ones, what stood before is not known. */
static int check_complete(const struct verify_source *source, const struct joined_table *table,
                          const struct input *input, int64_t position)
{
    struct verify *v = source->verify;
    if (position >= input->compacted_to)
        return 0;
    return diag_set(v->diag, ERR_RANGE,
                    "%s cannot be recomputed: %s-%d was compacted up to offset %lld, and rows met "
                    "it as it was at offset %lld",
                    v->options->view, table->table->rows.source->text, (int)input->partition,
                    (long long)input->compacted_to, (long long)position);
}

enum how { TO_BEGINS, TO_POSITIONS, BY_TIME };

static int follow(struct verify_source *source, const struct join_cut *cut, enum how how,
                  int64_t event_ms, int64_t record_ms)
{
    struct verify_joins *joins = source->joins;
    uint32_t at = 0;
    for (uint32_t t = 0; t < joins->table_count; t++) {
        struct joined_table *table = &joins->tables[t];
        int64_t until_ms = table->table->by_event_time ? event_ms : record_ms;
        for (int32_t p = 0; p < table->input_count; p++, at++) {
            struct input *input = &table->inputs[p];
            int64_t end = how == TO_BEGINS ? cut->begins[at] : cut->tables[at].position;
            TRY(how == BY_TIME ? read_until(source, table, input, end, until_ms)
                               : read_to(source, table, input, end));
        }
    }
    return 0;
}

/* Of what a row meets. */
static int check_all_complete(const struct verify_source *source, const struct join_cut *cut,
                              bool by_time)
{
    const struct verify_joins *joins = source->joins;
    uint32_t at = 0;
    for (uint32_t t = 0; t < joins->table_count; t++)
        for (int32_t p = 0; p < joins->tables[t].input_count; p++, at++)
            TRY(check_complete(source, &joins->tables[t], &joins->tables[t].inputs[p],
                               by_time ? cut->begins[at] : cut->tables[at].position));
    return 0;
}

int verify_joins_follow(struct verify_source *source, const struct source_row *record,
                        int64_t time_ms)
{
    struct verify_joins *joins = source->joins;
    const struct join_cut *cut = NULL;
    TRY(check_cuts(source));
    while (joins->next < joins->cut_count &&
           (cut = joins->cuts[joins->next])->offset <= record->offset) {
        if (cut->by_time && record->offset < cut->end) {
            TRY(check_all_complete(source, cut, true));
            TRY(follow(source, cut, TO_BEGINS, 0, 0));
            return follow(source, cut, BY_TIME, time_ms, record->timestamp_ms);
        }
        TRY(follow(source, cut, TO_POSITIONS, 0, 0));
        joins->next++;
    }
    return joins->next > 0 ? check_all_complete(source, joins->cuts[joins->next - 1], false) : 0;
}

bool verify_joins_are_compacted(const struct verify_source *source)
{
    const struct verify_joins *joins = source->joins;
    for (uint32_t t = 0; joins != NULL && t < joins->table_count; t++)
        for (int32_t p = 0; p < joins->tables[t].input_count; p++)
            if (joins->tables[t].inputs[p].compacted_to > 0)
                return true;
    return false;
}

/* The tables stand where the task's progress record says. */
int verify_joins_finish(struct verify_source *source)
{
    const struct progress *progress = source->progress;
    struct verify_joins *joins = source->joins;
    for (uint32_t i = 0; i < progress->table_count; i++) {
        const struct progress_table *stands = &progress->tables[i];
        if (stands->number >= joins->table_count)
            continue;
        struct joined_table *table = &joins->tables[stands->number];
        for (int32_t p = 0; p < table->input_count; p++)
            if (table->inputs[p].partition == stands->partition)
                TRY(read_to(source, table, &table->inputs[p], stands->position));
    }
    return 0;
}

/* ---- the join ---- */

static int find_row(struct verify_walk *walk, const struct join_params *params,
                    const struct batch *batch, const struct cell **found, bool *is_good)
{
    struct verify_source *source = walk->source;
    struct arena *arena = &source->arena;
    struct reject_list rejects = {.arena = arena};
    struct column *keys = arena_zalloc(arena, (params->on->count + 1) * sizeof *keys);
    struct hash128 name;
    bool has_null = false;
    *found = NULL;
    if (keys == NULL)
        return verify_no_memory(source->verify);
    for (uint32_t k = 0; k < params->on->count; k++) {
        TRY(expr_eval(params->on->exprs[k], batch, &keys[k], &rejects));
        has_null = has_null || (rejects.count == 0 && column_is_null(&keys[k], 0));
    }
    *is_good = rejects.count == 0;
    if (!*is_good || has_null)
        return 0;
    if (params->by_partition && !verify_lies_right(source, keys)) {
        *is_good = false;
        return 0;
    }
    TRY(verify_name(source->verify, keys, params->on->count, arena, &name));
    const struct joined_table *table =
        &source->joins->tables[params->side - source->stage->first_table];
    *found = verify_table_find(table->reader.table, name);
    return 0;
}

int verify_join_step(struct verify_walk *walk, const struct batch *batch, uint32_t step)
{
    const struct join_params *params = walk->source->arm->ops[step].params;
    struct arena *arena = &walk->source->arena;
    uint32_t end = params->first_column + params->column_count;
    struct batch out = *batch;
    const struct cell *found;
    bool is_good = false;
    TRY(find_row(walk, params, batch, &found, &is_good));
    if (!is_good)
        return verify_walk_end(walk, FATE_DEAD);
    if (found == NULL && !params->keeps_unmatched)
        return verify_walk_end(walk, FATE_UNMATCHED);
    out.column_count = batch->column_count > end ? batch->column_count : end;
    out.columns = arena_zalloc(arena, (out.column_count + 1) * sizeof *out.columns);
    if (out.columns == NULL)
        return verify_no_memory(walk->source->verify);
    memcpy(out.columns, batch->columns, batch->column_count * sizeof *out.columns);
    for (uint32_t i = 0; i < params->column_count; i++) {
        struct cell none = {.type = params->types[i], .is_null = true};
        TRY(cell_write(found != NULL ? &found[i] : &none, &out.columns[params->first_column + i],
                       arena));
    }
    return verify_walk(walk, &out, step + 1);
}
