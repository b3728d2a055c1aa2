/* drawn_model.c: what drawn files write (see drawn_sql.h): each result's rows are computed anew from
 * the records that it reads, one record at a time, in the order in which they lie in their
 * partitions. Statements are evaluated in their order, so that what one reads of another is there.
 *
 * A relation gives its rows to a visitor. A table takes its records apart first: casts, NOT NULL,
 * CHECK; what breaks them is a dead letter of one of the results that read it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/error.h"
#include "tests/support/drawn_sql.h"

enum { DEFAULT_LATENESS_MS = 30000 };

/* A row that DISTINCT ON kept. */
struct kept_row {
    struct datum cells[2];
    int64_t time_ms;
};

/* ---- what happens to rows that do not get on ---- */

static void die_of(struct drawn_pipeline *pipeline, const char *text, const char *error_class,
                   const char *times)
{
    struct buf key;
    buf_init(&key, 0);
    buf_printf(&key, "%s/%s%s", pipeline->result->name, error_class, times);
    pairs_add(&pipeline->expected->dead, bytes_of(key.data, key.size), bytes_text(text));
    buf_deinit(&key);
}

void drawn_die(struct drawn_pipeline *pipeline, const struct drawn_row *row,
               const char *error_class)
{
    die_of(pipeline, row->source->text, error_class, "");
}

void drawn_late(struct drawn_pipeline *pipeline, const struct drawn_row *row)
{
    pairs_add_text(&pipeline->expected->late[pipeline->index], "", row->source->text);
}

/* ---- tables ---- */

/* NULL, or why the record is no good row of the table. */
static const char *good_row(const struct drawn_relation *table, const struct drawn_input *input,
                            struct datum *cells)
{
    if (input->defect != NULL)
        return input->defect;
    memcpy(cells, input->cells, sizeof input->cells);
    for (int i = 0; i < table->column_count; i++) {
        if (!input->is_bad[i])
            continue;
        if (!table->nulls_bad)
            return "cast_failed";
        cells[i] = datum_null(cells[i].type);
    }
    for (int i = 0; i < table->column_count; i++)
        if (table->declared[i].not_null && cells[i].is_null)
            return "not_null";
    for (int i = 0; i < table->column_count; i++) {
        struct datum value;
        const struct drawn_declared *declared = &table->declared[i];
        if (declared->check == NULL)
            continue;
        const char *error = drawn_expr_value(declared->check, cells, &value);
        if (error != NULL)
            return error;
        if (!value.is_null && value.n == 0)
            return declared->check_class != NULL ? declared->check_class : "check";
    }
    return NULL;
}

static void move_time(struct drawn_pipeline *pipeline, const struct drawn_relation *table,
                      int place, int64_t time_ms)
{
    int64_t lateness_ms = table->lateness_ms >= 0 ? table->lateness_ms : DEFAULT_LATENESS_MS;
    if (time_ms > pipeline->seen_ms[place])
        pipeline->seen_ms[place] = time_ms;
    if (time_ms - lateness_ms > pipeline->watermarks_ms[place])
        pipeline->watermarks_ms[place] = time_ms - lateness_ms;
}

static void walk_record(struct drawn_pipeline *pipeline, const struct drawn_relation *table,
                        int leaf, const struct drawn_input *input, drawn_visit *visit,
                        void *context)
{
    struct drawn_row row = {.time_ms = input->time_ms,
                            .stamp = input->stamp,
                            .place = leaf * DRAWN_PARTITIONS_MAX + input->partition,
                            .order = pipeline->order++,
                            .source = input};
    if (input->defect == NULL)
        move_time(pipeline, table, row.place, input->time_ms);
    row.watermark_ms = pipeline->watermarks_ms[row.place];
    const char *error = good_row(table, input, row.cells);
    if (error == NULL) {
        visit(pipeline, &row, context);
        return;
    }
    char mark[DRAWN_NAME_BYTES + 32];
    snprintf(mark, sizeof mark, DRAWN_DECLARED "%s#%d", table->topic, leaf);
    die_of(pipeline, input->text, error, mark);
}

/* Whether a later record of the table changes this one's row. */
static bool is_replaced(const struct drawn_relation *table, const struct drawn_input *input,
                        int64_t stamp)
{
    struct datum cells[DRAWN_SCOPE_MAX];
    for (const struct drawn_input *later = input + 1; later < table->inputs + table->input_count;
         later++)
        if (later->stamp <= stamp && strcmp(later->key, input->key) == 0 &&
            (later->is_tombstone || good_row(table, later, cells) == NULL))
            return true;
    return false;
}

/* Those that stand at the end. */
static void walk_latest(struct drawn_pipeline *pipeline, const struct drawn_relation *table,
                        drawn_visit *visit, void *context)
{
    for (int i = 0; i < table->input_count; i++) {
        const struct drawn_input *input = &table->inputs[i];
        struct drawn_row row = {.source = input, .order = pipeline->order++};
        const char *error = input->is_tombstone ? NULL : good_row(table, input, row.cells);
        if (error != NULL)
            die_of(pipeline, input->text, error, " once");
        else if (!input->is_tombstone &&
                 (table->writer != NULL || !is_replaced(table, input, INT64_MAX)))
            visit(pipeline, &row, context);
    }
}

static void walk_table(struct drawn_pipeline *pipeline, const struct drawn_relation *table,
                       drawn_visit *visit, void *context)
{
    int leaf = pipeline->leaf_count++;
    must(leaf < 8);
    if (table->is_table) {
        walk_latest(pipeline, table, visit, context);
        return;
    }
    for (int i = 0; i < table->input_count; i++)
        walk_record(pipeline, table, leaf, &table->inputs[i], visit, context);
}

/* ---- joins ---- */

/* The row of the table, or of a view of it, with the key, as of the stamp. */
static bool find_row(const struct drawn_relation *table, const char *key, int64_t stamp,
                     struct datum *cells)
{
    struct datum base[DRAWN_SCOPE_MAX], value;
    if (table->form == FORM_TABLE) {
        for (int i = table->input_count - 1; i >= 0; i--) {
            const struct drawn_input *input = &table->inputs[i];
            if (input->stamp > stamp || strcmp(input->key, key) != 0)
                continue;
            if (input->is_tombstone)
                return false;
            if (good_row(table, input, cells) == NULL)
                return true;
        }
        return false;
    }
    if (!find_row(table->base, key, stamp, base))
        return false;
    if (table->where != NULL) {
        must(drawn_expr_value(table->where, base, &value) == NULL);
        if (value.is_null || value.n == 0)
            return false;
    }
    for (int i = 0; i < table->column_count; i++)
        must(drawn_expr_value(table->values[i], base, &cells[i]) == NULL);
    return true;
}

/* Adds the table's columns behind the row's; false when an inner join finds none. */
static bool join_row(const struct drawn_relation *select, struct drawn_row *row)
{
    const struct drawn_relation *table = select->table;
    struct datum *found = &row->cells[select->base->column_count], key, value;
    must(drawn_expr_value(select->on, row->cells, &key) == NULL);
    bool matches = !key.is_null && find_row(table, key.text, row->stamp, found);
    if (matches && select->also != NULL) {
        must(drawn_expr_value(select->also, row->cells, &value) == NULL);
        matches = !value.is_null && value.n != 0;
    }
    for (int i = 0; i < table->column_count && !matches; i++)
        found[i] = datum_null(table->columns[i].type);
    return matches || select->is_left;
}

/* Bad records of a joined table are dead letters of the result. */
static void walk_joined(struct drawn_pipeline *pipeline, const struct drawn_relation *table)
{
    struct datum cells[DRAWN_SCOPE_MAX];
    while (table->form != FORM_TABLE)
        table = table->base;
    for (int i = 0; i < table->input_count; i++) {
        const struct drawn_input *input = &table->inputs[i];
        const char *error = input->is_tombstone ? NULL : good_row(table, input, cells);
        if (error != NULL)
            die_of(pipeline, input->text, error, " once");
    }
}

/* ---- SELECT ---- */

struct selecting {
    const struct drawn_relation *relation;
    drawn_visit *visit;
    void *context;
};

/* False: a row with these columns was kept at a time near enough, or it is too late to say. */
static bool is_first(struct drawn_pipeline *pipeline, const struct drawn_relation *relation,
                     const struct drawn_row *row)
{
    struct kept_row fresh = {.time_ms = row->time_ms};
    for (int i = 0; i < relation->distinct_count; i++)
        fresh.cells[i] = row->cells[relation->distinct_columns[i]];
    if (row->watermark_ms != DRAWN_NEVER &&
        row->time_ms + relation->within_ms <= row->watermark_ms) {
        drawn_late(pipeline, row);
        return false;
    }
    for (int k = 0; k < pipeline->kept_count; k++) {
        const struct kept_row *kept = &pipeline->kept[k];
        bool is_same = llabs(kept->time_ms - row->time_ms) <= relation->within_ms;
        for (int i = 0; i < relation->distinct_count; i++)
            is_same = is_same && datum_same(&kept->cells[i], &fresh.cells[i]);
        if (is_same)
            return false;
    }
    pipeline->kept =
        realloc(pipeline->kept, (size_t)(pipeline->kept_count + 1) * sizeof *pipeline->kept);
    must(pipeline->kept != NULL);
    pipeline->kept[pipeline->kept_count++] = fresh;
    return true;
}

static void select_row(struct drawn_pipeline *pipeline, struct drawn_row *row, void *context)
{
    const struct selecting *selecting = context;
    const struct drawn_relation *relation = selecting->relation;
    struct drawn_row out;
    struct datum value;
    if (relation->table != NULL && !join_row(relation, row))
        return;
    if (relation->where != NULL) {
        const char *error = drawn_expr_value(relation->where, row->cells, &value);
        if (error != NULL)
            drawn_die(pipeline, row, error);
        if (error != NULL || value.is_null || value.n == 0)
            return;
    }
    if (relation->within_ms > 0 && !is_first(pipeline, relation, row))
        return;
    out = *row;
    for (int i = 0; i < relation->column_count; i++) {
        const char *error = drawn_expr_value(relation->values[i], row->cells, &out.cells[i]);
        if (error != NULL) {
            drawn_die(pipeline, row, error);
            return;
        }
    }
    selecting->visit(pipeline, &out, selecting->context);
}

void drawn_walk(struct drawn_pipeline *pipeline, const struct drawn_relation *relation,
                drawn_visit *visit, void *context)
{
    struct selecting selecting = {relation, visit, context};
    if (relation->form == FORM_TABLE) {
        walk_table(pipeline, relation, visit, context);
    } else if (relation->form == FORM_UNION) {
        drawn_walk(pipeline, relation->arms[0], visit, context);
        drawn_walk(pipeline, relation->arms[1], visit, context);
    } else {
        if (relation->table != NULL)
            walk_joined(pipeline, relation->table);
        drawn_walk(pipeline, relation->base, select_row, &selecting);
    }
}

/* ---- rows that are written ---- */

/* As the declared table takes them; NULL or why it does not. */
static const char *assign(const struct drawn_relation *table, struct datum *cells)
{
    struct drawn_input assigned = {.defect = NULL};
    for (int i = 0; i < table->column_count; i++)
        assigned.is_bad[i] = !declared_cast(table->declared[i].type, &cells[i], &assigned.cells[i]);
    return good_row(table, &assigned, cells);
}

static void print_row(const struct drawn_result *result, const struct datum *cells, struct buf *out)
{
    if (result->into != NULL) {
        drawn_row_print(result->into, cells, out);
        return;
    }
    for (int i = 0; i < result->rows->column_count; i++) {
        buf_printf(out, "%s\"%s\":", i > 0 ? "," : "{", result->rows->columns[i].name);
        datum_print_json(&cells[i], out);
    }
    buf_printf(out, "}");
}

struct drawn_input *drawn_output(struct drawn_pipeline *pipeline)
{
    struct drawn_result *result = pipeline->file->results[pipeline->index];
    if (result->output_count == result->output_capacity) {
        result->output_capacity = result->output_capacity * 2 + 16;
        result->outputs =
            realloc(result->outputs, (size_t)result->output_capacity * sizeof *result->outputs);
        must(result->outputs != NULL);
    }
    struct drawn_input *output = &result->outputs[result->output_count++];
    memset(output, 0, sizeof *output);
    return output;
}

const char *drawn_keep(struct drawn_pipeline *pipeline, struct buf *text)
{
    buf_u8(text, 0);
    must(buf_ok(text));
    const char *kept = arena_text(&pipeline->file->arena, (const char *)text->data);
    must(kept != NULL);
    buf_deinit(text);
    return kept;
}

static void write_row(struct drawn_pipeline *pipeline, struct drawn_row *row, void *context)
{
    const struct drawn_result *result = pipeline->result;
    const struct drawn_relation *reader = result->into != NULL ? result->into : result->reader;
    struct buf text;
    (void)context;
    const char *error = result->into != NULL ? assign(result->into, row->cells) : NULL;
    if (error != NULL) {
        drawn_die(pipeline, row, error);
        return;
    }
    buf_init(&text, 0);
    print_row(result, row->cells, &text);
    struct drawn_input *output = drawn_output(pipeline);
    output->text = drawn_keep(pipeline, &text);
    output->partition = row->place % DRAWN_PARTITIONS_MAX;
    output->stamp = row->stamp;
    output->timestamp_ms = row->source->timestamp_ms; /* a row that passes keeps its record's */
    output->time_ms = output->timestamp_ms;
    memcpy(output->cells, row->cells, sizeof output->cells);
    if (reader != NULL && reader->has_event_time) {
        const struct datum *time = &row->cells[reader->time_column];
        output->time_ms = (int64_t)time->n;
        output->defect = time->is_null ? "event_time_missing" : NULL;
    }
    const struct drawn_relation *rows = result->rows;
    pairs_add_text(&pipeline->expected->outputs[pipeline->index],
                   rows->is_table ? row->cells[rows->key_column].text : "", output->text);
}

static void evaluate(struct drawn_file *file, int index, bool closes_windows,
                     struct drawn_expected *expected)
{
    struct drawn_result *result = file->results[index];
    struct drawn_pipeline pipeline = {
        .file = file, .result = result, .expected = expected, .index = index};
    for (size_t p = 0; p < sizeof pipeline.seen_ms / sizeof *pipeline.seen_ms; p++)
        pipeline.seen_ms[p] = pipeline.watermarks_ms[p] = DRAWN_NEVER;
    result->output_count = 0;
    if (result->is_grouped)
        drawn_group(&pipeline, closes_windows);
    else
        drawn_walk(&pipeline, result->rows, write_row, NULL);
    free(pipeline.kept);
    for (int i = 0; i < file->relation_count; i++)
        if (file->relations[i]->writer == result) {
            file->relations[i]->inputs = result->outputs;
            file->relations[i]->input_count = result->output_count;
        }
}

void drawn_evaluate(struct drawn_file *file, bool closes_windows, struct drawn_expected *expected)
{
    pairs_init(&expected->dead);
    for (int i = 0; i < DRAWN_RESULTS_MAX; i++) {
        pairs_init(&expected->outputs[i]);
        pairs_init(&expected->late[i]);
    }
    for (int i = 0; i < file->result_count; i++)
        evaluate(file, i, closes_windows, expected);
}

void drawn_expected_free(struct drawn_expected *expected)
{
    pairs_deinit(&expected->dead);
    for (int i = 0; i < DRAWN_RESULTS_MAX; i++) {
        pairs_deinit(&expected->outputs[i]);
        pairs_deinit(&expected->late[i]);
    }
}
