/* task_table.c: reads tables beside a task's stream (see task_table.h).
 *
 * A run of a table's rows is decoded and pushed through the table's own steps, up to the columns
 * that the join asked for; then each row, in offset order, changes the table: it takes the place of
 * the row of its key, or takes it away when a condition on the table left it out or when it has no
 * value. What is wrong with a row is wrong by itself, as in a stream: it becomes a dead letter, and
 * the row of its key stays what it was.
 *
 * Rows of a table count like rows of the stream (P5), in each task: applied when they changed the
 * table, filtered when a step before weir_latest left them out. A dead letter is written by one task
 * of all, and filtered in the others. */
#include <stdlib.h>
#include <string.h>

#include "runtime/task.h"

/* Rows of one partition that are read at once. Each input holds as many, and a task may have many. */
enum { TABLE_ROWS = 256 };

struct table_input {
    struct port_reader *reader;
    int32_t partition;
    uint32_t index;          /* among all of the task's */
    int64_t position;        /* what lies below was applied */
    int64_t target;          /* live: read this far before rows of the stream */
    int64_t next;            /* the position after rows */
    struct source_row *rows; /* as read; [at, count) wait */
    int64_t *times;          /* of rows, by the table's clock; until_end alone */
    uint32_t count, at;
};

/* ---- open and close ---- */

static int keep_shown(void *context, const struct batch *batch)
{
    struct task_table *table = context;
    const struct expr_list *list = table->table->columns;
    struct reject_list *rejects = &table->chain.rejects;
    uint32_t first = rejects->count;
    table->columns = arena_alloc(&table->chain.arena, (list->count + 1) * sizeof *table->columns);
    if (table->columns == NULL)
        return ERR_NOMEM;
    table->shown = *batch;
    for (uint32_t i = 0; i < list->count; i++)
        TRY(expr_eval(list->exprs[i], batch, &table->columns[i], rejects));
    return batch_drop_rejected(&table->shown, rejects, first, &table->chain.arena);
}

static int64_t begin_position(const struct task_table *table, const struct progress *progress,
                              int32_t partition)
{
    const struct stage_table *stage = &table->task->stage->tables[table->number];
    for (uint32_t i = 0; progress != NULL && i < progress->table_count; i++) {
        const struct progress_table *known = &progress->tables[i];
        if (known->number == table->number && known->partition == partition &&
            memcmp(known->id, stage->id, 16) == 0)
            return known->position;
    }
    return 0;
}

/* The table's topic must be the one that the state is of. */
static int check_topic(const struct task_table *table, const struct progress *progress,
                       struct diag *diag)
{
    const struct stage *stage = table->task->stage;
    for (uint32_t i = 0; progress != NULL && i < progress->table_count; i++)
        if (progress->tables[i].number == table->number &&
            memcmp(progress->tables[i].id, stage->tables[table->number].id, 16) != 0)
            return diag_set(diag, ERR_STATE,
                            "topic %s was deleted and created again since stage %s last read it "
                            "as a table. Start the stage anew with from_beginning",
                            table->table->rows.source->text, stage->name);
    return 0;
}

static int removed_rows(const struct task_table *table, const struct table_input *input,
                        struct diag *diag)
{
    return diag_set(diag, ERR_RANGE,
                    "%s-%d: records behind offset %lld were removed before stage %s read them: "
                    "its table may have missed some. Start the stage anew with from_beginning",
                    table->table->rows.source->text, (int)input->partition,
                    (long long)input->position, table->task->stage->name);
}

/* What lies below the start of a topic that is compacted, or old, is gone for a table that begins;
 * one that has begun may have missed deletions. */
static int check_range(const struct task_table *table, struct table_input *input, struct diag *diag)
{
    const struct task *task = table->task;
    const char *topic = table->table->rows.source->text;
    struct port_range range;
    TRY(task->port->ops->range(task->port, topic, input->partition, &range, diag));
    if (input->position > range.stable)
        return diag_set(diag, ERR_CORRUPT,
                        "%s-%d ends at offset %lld, before the committed position %lld of stage "
                        "%s: the log lost records that were acknowledged, or its end was cut off. "
                        "Start the stage anew with from_beginning",
                        topic, (int)input->partition, (long long)range.stable,
                        (long long)input->position, task->stage->name);
    if (input->position > 0 &&
        (input->position < range.start ||
         (input->position > range.start && input->position < range.complete_from)))
        return removed_rows(table, input, diag);
    if (input->position < range.start)
        input->position = range.start;
    return 0;
}

static int open_input(struct task_table *table, const struct progress *progress, uint32_t index,
                      struct diag *diag)
{
    struct task *task = table->task;
    const char *topic = table->table->rows.source->text;
    const struct stage_table *stage = &task->stage->tables[table->number];
    struct table_input *input = &table->inputs[table->input_count];
    input->partition = stage_table_partition(stage, task->partition, table->input_count++);
    input->index = index;
    input->position = begin_position(table, progress, input->partition);
    TRY(check_range(table, input, diag));
    input->next = input->position;
    input->rows = malloc(TABLE_ROWS * sizeof *input->rows);
    input->times = malloc(TABLE_ROWS * sizeof *input->times);
    if (input->rows == NULL || input->times == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for a table");
    return task->port->ops->reader_open(task->port, topic, input->partition, input->position,
                                        &input->reader, diag);
}

static int open_table(struct task_table *table, const struct progress *progress, uint32_t *index,
                      struct diag *diag)
{
    struct task *task = table->task;
    const struct stage *stage = task->stage;
    const struct view *rows = &table->table->rows;
    int32_t inputs = stage_table_inputs(&stage->tables[table->number]);
    TRY(check_topic(table, progress, diag));
    table->inputs = calloc((size_t)inputs, sizeof *table->inputs);
    if (table->inputs == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for a table");
    for (int32_t i = 0; i < inputs; i++)
        TRY(open_input(table, progress, (*index)++, diag));
    table->env = (struct op_env){.partition = task->partition,
                                 .partition_count = stage->tables[table->number].partitions};
    table->chain.sink = keep_shown;
    table->chain.context = table;
    TRY(chain_open(&table->chain, rows->ops, rows->op_count, &table->env, diag));
    table->join = task->chain.ops[table->table->join_op - stage->first_op];
    return format_open(rows, &table->decoder, diag);
}

int task_tables_open(struct task *task, const struct progress *progress, struct diag *diag)
{
    const struct stage *stage = task->stage;
    uint32_t index = 0;
    if (stage->table_count == 0)
        return 0;
    task->tables = calloc(1, sizeof *task->tables);
    if (task->tables == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for tables");
    task->tables->items = calloc(stage->table_count, sizeof *task->tables->items);
    if (task->tables->items == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for tables");
    for (; task->tables->count < stage->table_count; task->tables->count++) {
        struct task_table *table = &task->tables->items[task->tables->count];
        *table = (struct task_table){.task = task,
                                     .table = stage_table(stage, task->tables->count),
                                     .number = task->tables->count};
    }
    for (uint32_t t = 0; t < stage->table_count; t++)
        TRY(open_table(&task->tables->items[t], progress, &index, diag));
    task->tables->is_open = true;
    task->tables->next_event_ms = task->tables->next_record_ms = INT64_MAX;
    return 0;
}

void task_tables_close(struct task *task)
{
    struct task_tables *tables = task->tables;
    if (tables == NULL)
        return;
    for (uint32_t t = 0; t < tables->count; t++) {
        struct task_table *table = &tables->items[t];
        for (int32_t p = 0; p < table->input_count; p++) {
            task->port->ops->reader_close(table->inputs[p].reader);
            free(table->inputs[p].rows);
            free(table->inputs[p].times);
        }
        free(table->inputs);
        chain_close(&table->chain);
        format_close(&table->table->rows, table->decoder);
    }
    join_cuts_deinit(&tables->cuts);
    free(tables->begins);
    free(tables->items);
    free(tables);
    task->tables = NULL;
}

/* ---- rows ---- */

/* The verdict on a row's event time is the source's, and does not depend on whether anybody asks for it. */
static int check_time(struct task_table *table, const struct column *columns, uint32_t row,
                      struct reject_list *rejects)
{
    const struct view *view = &table->table->rows;
    int64_t time_ms;
    if (view->event_time_field < 0)
        return 0;
    const struct variant *value = &columns[view->event_time_field].variant[row];
    if (task_read_time(value, &time_ms) == 0)
        return 0;
    return reject_add(rejects, row,
                      value->kind == VARIANT_NULL ? "event_time_missing" : "event_time_invalid",
                      "field %s is not an event time: epoch milliseconds or ISO 8601 is expected",
                      view->source->extra);
}

/* Decodes rows [0, count), of which those without a value are deletions and have no columns, and
 * gives what is good as a batch. */
static int decode(struct task_table *table, const struct source_row *rows, uint32_t count,
                  struct batch *batch)
{
    const struct view *view = &table->table->rows;
    struct chain *chain = &table->chain;
    struct arena *arena = &chain->arena;
    struct column *columns = arena_alloc(arena, format_room(view) * sizeof *columns);
    uint16_t *selection = arena_alloc(arena, (count + 1) * sizeof *selection);
    if (columns == NULL || selection == NULL)
        return ERR_NOMEM;
    struct decoding decoding = {view, table->decoder, rows, count, arena, columns, &chain->rejects};
    TRY(format_decode_table(&decoding));
    *batch = (struct batch){.row_count = count,
                            .selection = selection,
                            .columns = columns,
                            .column_count = format_column_count(view),
                            .source = rows,
                            .is_table = true,
                            .origin = (uint64_t)(table->number + 1) << 48,
                            .arena = arena};
    for (uint32_t i = 0; i < count; i++)
        if (rows[i].value.data != NULL) {
            TRY(check_time(table, columns, i, &chain->rejects));
            selection[batch->selected_count++] = (uint16_t)i;
        }
    return batch_drop_rejected(batch, &chain->rejects, 0, arena);
}

/* Marks the rows of a selection. */
static void mark_rows(const struct batch *batch, uint8_t *marks, uint8_t mark)
{
    for (uint32_t i = 0; i < batch->selected_count; i++)
        marks[batch_row(batch, i)] |= mark;
}

enum { ROW_CAME = 1, ROW_SHOWN = 2, ROW_REJECTED = 4 };

/* In the order of the rows; a record without a value may take away two. */
static int change_rows(struct task_table *table, uint32_t count, uint8_t *marks)
{
    struct task *task = table->task;
    const struct table_changes *changes =
        keyed_changes(table->chain.ops[table->table->rows.keyed_op]);
    for (uint32_t i = 0; changes != NULL && i < changes->count; i++) {
        const struct table_change *change = &changes->items[i];
        uint32_t row = change->row;
        bool shown = !change->is_removal && (marks[row] & ROW_SHOWN) != 0;
        if (marks[row] & ROW_REJECTED)
            continue;
        TRY(join_put(table->join, change->key, shown ? table->columns : NULL, row, task->diag));
        task->counts.applied += (marks[row] & ROW_CAME) == 0;
        marks[row] |= ROW_CAME;
    }
    for (uint32_t row = 0; row < count; row++)
        task->counts.filtered += (marks[row] & (ROW_CAME | ROW_REJECTED)) == 0;
    return 0;
}

static int keep_rejected(struct task_table *table, const struct table_input *input,
                         const struct source_row *rows, uint32_t count)
{
    struct task *task = table->task;
    const struct reject_list *rejects = &table->chain.rejects;
    int rc = 0;
    if (rejects->count == 0)
        return 0;
    const struct reject **first =
        arena_zalloc(&table->chain.arena, ((size_t)count + 1) * sizeof *first);
    if (first == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < rejects->count; i++)
        if (first[rejects->items[i].row] == NULL)
            first[rejects->items[i].row] = &rejects->items[i];
    /* All tasks of the stage find the same: one of them tells. */
    bool tells = input->partition % task->stage->partitions == task->partition;
    task->source_topic = table->table->rows.source->text;
    task->source_partition = input->partition;
    for (uint32_t i = 0; rc == 0 && i < count; i++) {
        task->counts.filtered += first[i] != NULL && !tells;
        if (first[i] != NULL && tells)
            rc = task_dead_letter(task, &rows[i], first[i]);
    }
    task->source_topic = task->stage->input_topic;
    task->source_partition = task->partition;
    return rc;
}

/* Applies `count` rows that wait. */
static int apply(struct task_table *table, struct table_input *input, uint32_t count)
{
    struct task *task = table->task;
    struct chain *chain = &table->chain;
    const struct source_row *rows = input->rows + input->at;
    struct batch batch;
    if (join_cuts_next(&task->tables->cuts) == NULL)
        TRY(task_tables_moved(task));
    TRY(chain_begin(chain, task->diag));
    keyed_begin(chain->ops[table->table->rows.keyed_op]);
    table->shown = (struct batch){0};
    TRY(decode(table, rows, count, &batch));
    TRY(chain_push(chain, &batch));
    uint8_t *marks = arena_zalloc(&chain->arena, (size_t)count + 1);
    if (marks == NULL)
        return ERR_NOMEM;
    mark_rows(&table->shown, marks, ROW_SHOWN);
    for (uint32_t i = 0; i < chain->rejects.count; i++)
        marks[chain->rejects.items[i].row] |= ROW_REJECTED;
    TRY(change_rows(table, count, marks));
    task->counts.rows_in += count;
    TRY(keep_rejected(table, input, rows, count));
    input->at += count;
    input->position = input->at < input->count ? input->rows[input->at].offset : input->next;
    task->has_pending = true;
    return 0;
}

/* ---- reading ---- */

static int name_failure(const struct task_table *table, const struct table_input *input, int rc)
{
    const struct task *task = table->task;
    if (task->diag != NULL && task->diag->code == rc)
        return rc;
    return diag_set(task->diag, rc, "stage %s, table %s-%d at offset %lld: %s", task->stage->name,
                    table->table->rows.source->text, (int)input->partition,
                    (long long)input->position, error_text(rc));
}

/* When no row waits, reads some, unless all below `end` have been applied. Rows from there on wait as well. */
static int read_rows(struct task_table *table, struct table_input *input, int64_t end)
{
    struct task *task = table->task;
    if (input->at < input->count || input->position >= end)
        return 0;
    input->at = input->count = 0;
    int rc = task->port->ops->reader_read(input->reader, input->rows, TABLE_ROWS, &input->count,
                                          &input->next, task->diag);
    if (rc == ERR_RANGE)
        return removed_rows(table, input, task->diag);
    TRY(rc);
    int64_t position = input->count > 0 ? input->rows[0].offset : input->next;
    task->moved |= position > input->position; /* markers, or records of aborted transactions */
    input->position = position;
    return 0;
}

/* ---- what is due ---- */

/* The cut to follow now: the stream has reached it. */
static struct cut_step *due_cut(const struct task *task)
{
    struct cut_step *cut = join_cuts_next(&task->tables->cuts);
    return cut != NULL && cut->offset <= task->position ? cut : NULL;
}

bool task_tables_by_time(const struct task *task)
{
    const struct cut_step *cut = due_cut(task);
    if (join_cuts_next(&task->tables->cuts) != NULL)
        return cut != NULL && cut->by_time;
    return task->plan->app->options.until_end;
}

static int set_targets(struct task *task)
{
    struct task_tables *tables = task->tables;
    for (uint32_t t = 0; t < tables->count; t++) {
        struct task_table *table = &tables->items[t];
        for (int32_t p = 0; p < table->input_count; p++) {
            struct port_range range;
            TRY(task->port->ops->range(task->port, table->table->rows.source->text,
                                       table->inputs[p].partition, &range, task->diag));
            table->inputs[p].target = range.stable;
        }
    }
    tables->has_targets = true;
    return 0;
}

/* Reads and applies some rows below an offset. 1: it has come further; 0: there is nothing. */
static int poll_input(struct task_table *table, struct table_input *input, int64_t end)
{
    int64_t before = input->position;
    int rc = read_rows(table, input, end);
    uint32_t to = input->at;
    while (rc == 0 && to < input->count && input->rows[to].offset < end)
        to++;
    if (to > input->at)
        rc = apply(table, input, to - input->at);
    if (rc < 0)
        return name_failure(table, input, rc);
    must(counts_add_up(&table->task->counts)); /* P5 */
    return input->position > before;
}

enum end_kind { TO_TARGETS, TO_ENDS, TO_CUT, TO_BEGINS };
static int64_t end_by(const struct task *task, const struct table_input *input, enum end_kind kind)
{
    const struct cut_step *cut = due_cut(task);
    switch (kind) {
    case TO_TARGETS:
        return input->target;
    case TO_ENDS:
        return atomic_load(&task->table_ends[input->index]);
    case TO_CUT:
        return cut->positions[input->index];
    case TO_BEGINS:
        return cut->positions[task_table_inputs(task) + input->index];
    }
    return 0;
}

/* How far tables are read by time: to the due cut's positions, or to their ends. */
static int64_t end_by_time(const struct task *task, const struct table_input *input)
{
    return end_by(task, input, due_cut(task) != NULL ? TO_CUT : TO_ENDS);
}

/* 1: some rows were applied; 0: all tables are there. */
static int poll_all(struct task *task, enum end_kind kind)
{
    struct task_tables *tables = task->tables;
    for (uint32_t t = 0; t < tables->count; t++)
        for (int32_t p = 0; p < tables->items[t].input_count; p++) {
            struct table_input *input = &tables->items[t].inputs[p];
            int rc = poll_input(&tables->items[t], input, end_by(task, input, kind));
            if (rc != 0)
                return rc;
        }
    return 0;
}

/* Rows of a topic that has lost some since the cut was made may end below its positions. */
static int follow_cut(struct task *task, const struct cut_step *cut, int64_t *limit)
{
    int rc;
    if (cut->by_time) {
        rc = poll_all(task, TO_BEGINS);
        if (rc != 0)
            return rc;
        if (task->position < cut->end) {
            *limit = cut->end;
            return 0;
        }
    }
    rc = poll_all(task, TO_CUT);
    if (rc != 0)
        return rc;
    join_cuts_pass(&task->tables->cuts);
    return 1;
}

static bool ends_are_known(const struct task *task)
{
    for (uint32_t i = 0; i < task_table_inputs(task); i++)
        if (atomic_load(&task->table_ends[i]) == INT64_MAX)
            return false;
    return true;
}

static int poll_live(struct task *task)
{
    struct task_tables *tables = task->tables;
    if (!tables->is_open)
        return 0;
    if (!tables->has_targets)
        TRY(set_targets(task));
    return poll_all(task, TO_TARGETS);
}

int task_tables_poll(struct task *task, int64_t target, int64_t *limit, struct diag *diag)
{
    struct task_tables *tables = task->tables;
    const struct cut_step *next = join_cuts_next(&tables->cuts), *due = due_cut(task);
    task->diag = diag;
    *limit = INT64_MAX;
    if (due != NULL)
        return follow_cut(task, due, limit);
    if (next != NULL) {
        *limit = next->offset;
        return 0;
    }
    if (!task->plan->app->options.until_end)
        return poll_live(task);
    if (!ends_are_known(task))
        return TABLES_WAIT;
    return task->position >= target ? poll_all(task, TO_ENDS) : 0;
}

void task_tables_close_turn(struct task *task)
{
    task->tables->is_open = false;
}

void task_tables_next_commit(struct task *task)
{
    task->tables->is_open = true;
    task->tables->has_targets = false;
}

/* ---- by time ---- */

/* The times of rows that were read, each by itself: one that has none is rejected whenever it is applied. */
static int read_times(struct task_table *table, struct table_input *input)
{
    const struct view *view = &table->table->rows;
    for (uint32_t i = 0; i < input->count; i++)
        input->times[i] = input->rows[i].timestamp_ms;
    if (!table->table->by_event_time || input->count == 0)
        return 0;
    struct arena *arena = &table->chain.arena;
    TRY(chain_begin(&table->chain, table->task->diag));
    struct column *columns = arena_alloc(arena, format_room(view) * sizeof *columns);
    struct reject_list ignored = {.arena = arena};
    if (columns == NULL)
        return ERR_NOMEM;
    struct decoding decoding = {view,  table->decoder, input->rows, input->count,
                                arena, columns,        &ignored};
    TRY(format_decode(&decoding));
    for (uint32_t i = 0; i < input->count; i++) {
        int64_t time_ms;
        if (input->rows[i].value.data != NULL && columns[view->event_time_field].variant != NULL &&
            task_read_time(&columns[view->event_time_field].variant[i], &time_ms) == 0)
            input->times[i] = time_ms;
    }
    return 0;
}

/* Applies the rows of an input up to a time; *next_ms: that of the first one left. */
static int follow_input(struct task_table *table, struct table_input *input, int64_t until_ms,
                        int64_t *next_ms)
{
    int64_t end = end_by_time(table->task, input);
    for (;;) {
        if (input->at == input->count) {
            TRY(read_rows(table, input, end));
            if (input->at == input->count && input->position < end)
                continue; /* what it passed were no records */
            if (input->at == input->count) {
                *next_ms = INT64_MAX;
                return 0;
            }
            TRY(read_times(table, input));
        }
        uint32_t to = input->at;
        while (to < input->count && input->times[to] <= until_ms && input->rows[to].offset < end)
            to++;
        if (to > input->at)
            TRY(apply(table, input, to - input->at));
        if (input->at < input->count) {
            *next_ms = input->rows[input->at].offset < end ? input->times[input->at] : INT64_MAX;
            return 0;
        }
    }
}

int task_tables_follow(struct task *task, int64_t event_ms, int64_t record_ms)
{
    struct task_tables *tables = task->tables;
    tables->next_event_ms = tables->next_record_ms = INT64_MAX;
    for (uint32_t t = 0; t < tables->count; t++) {
        struct task_table *table = &tables->items[t];
        bool by_event = table->table->by_event_time;
        int64_t *least = by_event ? &tables->next_event_ms : &tables->next_record_ms;
        for (int32_t p = 0; p < table->input_count; p++) {
            int64_t next_ms;
            int rc =
                follow_input(table, &table->inputs[p], by_event ? event_ms : record_ms, &next_ms);
            if (rc < 0)
                return name_failure(table, &table->inputs[p], rc);
            if (next_ms < *least)
                *least = next_ms;
        }
    }
    return 0;
}

bool task_tables_at_end(const struct task *task)
{
    const struct task_tables *tables = task->tables;
    for (uint32_t t = 0; t < tables->count; t++)
        for (int32_t p = 0; p < tables->items[t].input_count; p++)
            if (tables->items[t].inputs[p].position <
                end_by(task, &tables->items[t].inputs[p], TO_ENDS))
                return false;
    return join_cuts_next(&tables->cuts) == NULL;
}

/* ---- what others ask ---- */

uint32_t task_table_inputs(const struct task *task)
{
    uint32_t count = 0;
    for (uint32_t t = 0; t < task->stage->table_count; t++)
        count += (uint32_t)stage_table_inputs(&task->stage->tables[t]);
    return count;
}

void task_table_input(const struct task *task, uint32_t i, const char **topic, int32_t *partition)
{
    const struct stage *stage = task->stage;
    uint32_t t = 0;
    for (; i >= (uint32_t)stage_table_inputs(&stage->tables[t]); t++)
        i -= (uint32_t)stage_table_inputs(&stage->tables[t]);
    *topic = stage_table(stage, t)->rows.source->text;
    *partition = stage_table_partition(&stage->tables[t], task->partition, (int32_t)i);
}

int64_t task_table_position(const struct task *task, uint32_t i)
{
    uint32_t t = 0;
    for (; i >= (uint32_t)task->tables->items[t].input_count; t++)
        i -= (uint32_t)task->tables->items[t].input_count;
    return task->tables->items[t].inputs[i].position;
}

int task_tables_progress(const struct task *task, struct buf *memory, struct progress *progress)
{
    const struct task_tables *tables = task->tables;
    buf_clear(memory);
    for (uint32_t t = 0; t < tables->count; t++) {
        const struct task_table *table = &tables->items[t];
        for (int32_t p = 0; p < table->input_count; p++) {
            struct progress_table entry = {.number = t,
                                           .partition = table->inputs[p].partition,
                                           .position = table->inputs[p].position};
            memcpy(entry.id, task->stage->tables[t].id, sizeof entry.id);
            buf_append(memory, &entry, sizeof entry);
            progress->table_count++;
        }
    }
    progress->tables = (struct progress_table *)(void *)memory->data;
    return buf_ok(memory) ? 0 : ERR_NOMEM;
}
