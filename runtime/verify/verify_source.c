/* verify_source.c: the rows of one source partition, one by one (see verify_parts.h).
 *
 * Each record is decoded by itself, gets its event time, and is judged by its own partition's time at
 * its own place, as docs/state-and-commit.md says; then it goes through the view's steps, row by row.
 * Batches of a single row: whatever the engine does about cutting, sharing and selecting batches has no
 * counterpart here.
 *
 * Time. Rows with a usable event time move it, in offset order; so do the time markers of the
 * progress topic, which say what the wall clock or the end of a run did. Where rows of several
 * sources lie in one partition, the header weir.time says how far the row's own source had come. */
#include <stdlib.h>

#include "operators/json_value.h"
#include "runtime/base/clock.h"
#include "runtime/task.h"
#include "runtime/verify/verify_parts.h"

enum { TIME_TEXT_DIGITS = 18 };

/* ---- open ---- */

static int compare_markers(const void *a, const void *b)
{
    const struct time_mark *x = a, *y = b;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

/* The markers of idle times count as long as the source has an idle time. */
static int open_markers(struct verify_source *source)
{
    const struct progress_set *set = &source->verify->progress;
    source->markers = calloc((size_t)set->marker_count + 1, sizeof *source->markers);
    if (source->markers == NULL)
        return verify_no_memory(source->verify);
    for (uint32_t i = 0; i < set->marker_count; i++) {
        const struct time_marker *marker = &set->markers[i];
        if (marker->partition == source->partition &&
            strcmp(marker->stage, source->stage->name) == 0 &&
            memcmp(marker->input_id, source->stage->input_id, 16) == 0 &&
            (marker->closes || source->arm->source->idle_ms != 0))
            source->markers[source->marker_count++] =
                (struct time_mark){marker->offset, marker->time_ms, marker->closes, false};
    }
    qsort(source->markers, source->marker_count, sizeof *source->markers, compare_markers);
    return 0;
}

/* The value of a header, as text; false: there is none of this name, or it is too long. */
static bool find_header(const struct source_row *record, const char *name, char *text, size_t size)
{
    struct bytes left = record->headers, header, value;
    int64_t length;
    for (int32_t i = 0; i < record->header_count; i++) {
        if (take_varint(&left, &length) < 0 || length < 0 ||
            take_bytes(&left, (size_t)length, &header) < 0 || take_varint(&left, &length) < 0)
            return false;
        if (length < 0)
            continue;
        if (take_bytes(&left, (size_t)length, &value) < 0)
            return false;
        if (header.size != strlen(name) || memcmp(header.data, name, header.size) != 0 ||
            value.size >= size)
            continue;
        memcpy(text, value.data, value.size);
        text[value.size] = '\0';
        return true;
    }
    return false;
}

static struct hash128 offset_name(int64_t offset)
{
    return hash128(&offset, sizeof offset);
}

/* A record that the pipeline's policy left out is a dead letter of class "failed". What failed lay
 * around it, so that no recomputation can know of it: it is followed. */
static int take_failed(void *context, const struct source_row *record)
{
    struct verify_source *source = context;
    char text[400], *end;
    if (!find_header(record, "weir.error.class", text, sizeof text) || strcmp(text, "failed") != 0)
        return 0;
    if (!find_header(record, "weir.stage", text, sizeof text) ||
        strcmp(text, source->stage->name) != 0)
        return 0;
    if (!find_header(record, "weir.source.partition", text, sizeof text) ||
        strtol(text, &end, 10) != source->partition ||
        !find_header(record, "weir.source.offset", text, sizeof text))
        return 0;
    struct verify_entry *entry =
        verify_map_at(&source->failed, offset_name(strtoll(text, &end, 10)));
    return entry != NULL ? 0 : verify_no_memory(source->verify);
}

static int find_failed(struct verify_source *source)
{
    struct verify *v = source->verify;
    struct port_topic topic;
    struct port_range range;
    int32_t partition;
    TRY(v->port->ops->topic_describe(v->port, v->plan->dlq_topic, &topic, v->diag));
    partition = source->partition % topic.partitions;
    TRY(v->port->ops->range(v->port, v->plan->dlq_topic, partition, &range, v->diag));
    return verify_read(v, v->plan->dlq_topic, partition, range.start, range.stable, take_failed,
                       source);
}

int verify_source_open(struct verify_source *source, struct verify *v, const struct stage *stage,
                       int32_t partition)
{
    *source = (struct verify_source){.verify = v,
                                     .stage = stage,
                                     .arm = stage->view,
                                     .partition = partition,
                                     .number = v->source_number++,
                                     .watermark_ms = TIME_NONE,
                                     .max_event_ms = TIME_NONE};
    arena_init(&source->arena, 0);
    source->progress = progress_set_find(&v->progress, stage->name, partition);
    if (source->progress != NULL && (source->progress->is_begin || source->progress->is_reset))
        source->progress = NULL; /* started anew, and has not committed since */
    TRY(open_markers(source));
    TRY(find_failed(source));
    return format_open(source->arm, &source->decoder, v->diag);
}

void verify_source_close(struct verify_source *source)
{
    if (source->decoder != NULL)
        format_close(source->arm, source->decoder);
    verify_map_deinit(&source->failed);
    verify_repeat_close(source);
    free(source->markers);
    arena_deinit(&source->arena);
}

/* ---- time ---- */

static void pass_markers(struct verify_source *source, int64_t offset)
{
    for (; source->marker_next < source->marker_count &&
           source->markers[source->marker_next].offset <= offset;
         source->marker_next++)
        if (source->markers[source->marker_next].time_ms > source->watermark_ms)
            source->watermark_ms = source->markers[source->marker_next].time_ms;
}

static bool is_digits(struct bytes text)
{
    size_t at = text.size > 0 && text.data[0] == '-';
    if (at == text.size || text.size - at > TIME_TEXT_DIGITS)
        return false;
    for (; at < text.size; at++)
        if (text.data[at] < '0' || text.data[at] > '9')
            return false;
    return true;
}

/* Epoch milliseconds, as a number or as text of digits, or ISO 8601. */
static bool event_time_of(const struct variant *value, int64_t *time_ms)
{
    struct bytes text = bytes_of(value->data, value->size);
    struct numeric number;
    char digits[TIME_TEXT_DIGITS + 2];
    if (value->kind == VARIANT_INT) {
        *time_ms = value->i64;
        return true;
    }
    if (value->kind == VARIANT_NUMBER)
        return numeric_parse(text, &number) == 0 && numeric_floor(number, &number) == 0 &&
               numeric_to_i64(number, time_ms) == 0;
    if (value->kind != VARIANT_TEXT)
        return false;
    if (!is_digits(text))
        return time_parse_iso(text, time_ms) == 0;
    memcpy(digits, text.data, text.size);
    digits[text.size] = '\0';
    *time_ms = strtoll(digits, NULL, 10);
    return true;
}

/* How far the row's own source had come, as its writer says; else all rows before it decide. */
static int64_t told_time(const struct verify_source *source, const struct source_row *record)
{
    char text[32], *end;
    if (source->stage->time == TIME_OF_CLOSING)
        return TIME_NONE;
    if (!find_header(record, TIME_HEADER, text, sizeof text))
        return source->max_event_ms;
    int64_t time_ms = strtoll(text, &end, 10);
    return *end == '\0' && end != text && time_ms >= TASK_TIME_MIN_MS ? time_ms
                                                                      : source->max_event_ms;
}

/* False: the record has no usable event time. */
static bool assign_time(struct verify_source *source, const struct column *columns,
                        const struct source_row *record, struct verify_row *row)
{
    const struct weir_stream *node = source->arm->source;
    int field = source->arm->event_time_field;
    row->time_ms = record->timestamp_ms;
    if (field >= 0 &&
        !event_time_of(&columns[field].variant[column_at(&columns[field], 0)], &row->time_ms))
        return false;
    if (row->time_ms < TASK_TIME_MIN_MS || row->time_ms > TASK_TIME_MAX_MS ||
        (row->time_ms > record->timestamp_ms &&
         row->time_ms - record->timestamp_ms > node->skew_ms))
        return false;
    if (row->time_ms > source->max_event_ms)
        source->max_event_ms = row->time_ms;
    int64_t time_ms = row->time_ms;
    if (source->stage->time != TIME_OF_ROWS)
        time_ms = told_time(source, record);
    row->watermark_ms = source->watermark_ms;
    if (time_ms != TIME_NONE && time_ms - node->number_ms > row->watermark_ms)
        row->watermark_ms = time_ms - node->number_ms;
    if (source->stage->time == TIME_OF_ROWS)
        source->watermark_ms = row->watermark_ms;
    return true;
}

/* ---- steps ---- */

struct walk {
    struct verify_source *source;
    struct verify_row row;
    int (*end)(void *context, const struct verify_row *row, enum fate *fate);
    void *context;
    struct reject_list rejects;
    uint64_t order;        /* of rows that came of this record so far */
    struct counts *counts; /* of the task that the row is in */
};

static int walk_steps(struct walk *walk, const struct batch *batch, uint32_t step);

static void count_fate(struct walk *walk, enum fate fate)
{
    struct counts *counts = walk->counts;
    counts->applied += fate == FATE_APPLIED;
    counts->filtered += fate == FATE_FILTERED;
    counts->late += fate == FATE_LATE;
    counts->dead += fate == FATE_DEAD;
    counts->duplicate += fate == FATE_DUPLICATE;
}

static int end_row(struct walk *walk, enum fate fate)
{
    count_fate(walk, fate);
    return 0;
}

/* A row behind the steps of its task. */
static int end_steps(struct walk *walk, const struct batch *batch)
{
    struct verify_row row = walk->row;
    enum fate fate = FATE_APPLIED;
    row.batch = batch;
    row.place.order = walk->order++;
    TRY(walk->end(walk->context, &row, &fate));
    return end_row(walk, fate);
}

/* Rows that meet elsewhere come by twice: they are listed, and, once it is known what became of each,
 * they go on where they met. */
static int step_cross(struct walk *walk, const struct batch *batch, uint32_t step)
{
    struct verify *v = walk->source->verify;
    enum fate fate;
    if (!v->is_second)
        return end_steps(walk, batch);
    struct verify_row row = walk->row;
    struct counts *counts = walk->counts;
    verify_cross_next(v, &walk->row, &fate, &walk->counts);
    int rc = 0;
    if (walk->counts != NULL)
        rc = fate == FATE_APPLIED ? walk_steps(walk, batch, step + 1) : end_row(walk, fate);
    walk->row = row;
    walk->counts = counts;
    return rc;
}

static int step_distinct(struct walk *walk, const struct batch *batch, uint32_t step)
{
    struct verify_source *source = walk->source;
    const struct distinct_params *params = source->arm->ops[step].params;
    struct verify_row row = walk->row;
    struct hash128 name;
    enum fate fate;
    bool is_repeat;
    if (source->verify->crossed != NULL)
        return step_cross(walk, batch, step);
    row.batch = batch;
    TRY(verify_repeat_name(source->verify, params, &row, &name, &fate));
    if (fate != FATE_APPLIED)
        return end_row(walk, fate);
    TRY(verify_repeat_is(source, params, name, row.time_ms, &is_repeat));
    return is_repeat ? end_row(walk, FATE_DUPLICATE) : walk_steps(walk, batch, step + 1);
}

static int step_filter(struct walk *walk, const struct batch *batch, uint32_t step)
{
    const struct filter_params *params = walk->source->arm->ops[step].params;
    uint16_t selection[1];
    uint32_t count = 0, before = walk->rejects.count;
    TRY(expr_filter(params->condition, batch, selection, &count, &walk->rejects));
    if (walk->rejects.count > before)
        return end_row(walk, FATE_DEAD);
    return count == 0 ? end_row(walk, FATE_FILTERED) : walk_steps(walk, batch, step + 1);
}

/* As in PostgreSQL, NULL passes. */
static int step_check(struct walk *walk, const struct batch *batch, uint32_t step)
{
    const struct filter_params *params = walk->source->arm->ops[step].params;
    uint32_t before = walk->rejects.count;
    struct column column;
    struct cell cell;
    TRY(expr_eval(params->condition, batch, &column, &walk->rejects));
    if (walk->rejects.count > before)
        return end_row(walk, FATE_DEAD);
    cell_read(&cell, &column, 0);
    bool is_false = !cell.is_null && (cell.type == COL_VARIANT ? cell.variant.kind == VARIANT_FALSE
                                                               : cell.boolean == 0);
    return is_false ? end_row(walk, FATE_DEAD) : walk_steps(walk, batch, step + 1);
}

/* New columns, in place of the old ones or behind them. */
static int step_columns(struct walk *walk, const struct batch *batch, uint32_t step,
                        uint32_t kept_count)
{
    const struct map_params *params = walk->source->arm->ops[step].params;
    uint32_t before = walk->rejects.count, count = kept_count + params->list->count;
    struct batch out = *batch;
    out.columns = arena_alloc(&walk->source->arena, (count + 1) * sizeof *out.columns);
    if (out.columns == NULL)
        return ERR_NOMEM;
    if (kept_count > 0)
        memcpy(out.columns, batch->columns, kept_count * sizeof *out.columns);
    for (uint32_t i = 0; i < params->list->count; i++)
        TRY(expr_eval(params->list->exprs[i], batch, &out.columns[kept_count + i], &walk->rejects));
    out.column_count = count;
    return walk->rejects.count > before ? end_row(walk, FATE_DEAD)
                                        : walk_steps(walk, &out, step + 1);
}

static int walk_element(struct walk *walk, const struct batch *batch, uint32_t step,
                        struct bytes text)
{
    const struct unnest_params *params = walk->source->arm->ops[step].params;
    struct arena *arena = &walk->source->arena;
    uint32_t column = params->column;
    uint32_t count = batch->column_count > column ? batch->column_count : column + 1;
    struct batch out = *batch;
    out.columns = arena_alloc(arena, (count + 1) * sizeof *out.columns);
    if (out.columns == NULL)
        return ERR_NOMEM;
    memcpy(out.columns, batch->columns, batch->column_count * sizeof *out.columns);
    out.column_count = count;
    TRY(column_alloc(&out.columns[column], COL_VARIANT, 1, false, arena));
    int rc = json_value_read(text, arena, &out.columns[column].variant[0]);
    if (rc == ERR_NOMEM)
        return rc;
    return rc < 0 ? end_row(walk, FATE_DEAD) : walk_steps(walk, &out, step + 1);
}

static int walk_elements(struct walk *walk, const struct batch *batch, uint32_t step,
                         struct bytes array)
{
    struct json_elements elements;
    struct bytes text;
    int64_t count = 0;
    int rc;
    if (json_elements_begin(&elements, array) < 0)
        return end_row(walk, FATE_DEAD);
    for (; (rc = json_elements_next(&elements, &text)) > 0; count++)
        TRY(walk_element(walk, batch, step, text));
    if (rc < 0) {
        count++;
        TRY(end_row(walk, FATE_DEAD));
    }
    walk->counts->rows_made += count > 0 ? count - 1 : 0;
    return count == 0 ? end_row(walk, FATE_FILTERED) : 0;
}

static int step_unnest(struct walk *walk, const struct batch *batch, uint32_t step)
{
    const struct unnest_params *params = walk->source->arm->ops[step].params;
    uint32_t before = walk->rejects.count;
    struct column arrays;
    struct cell cell;
    TRY(expr_eval(params->array, batch, &arrays, &walk->rejects));
    if (walk->rejects.count > before)
        return end_row(walk, FATE_DEAD);
    cell_read(&cell, &arrays, 0);
    if (cell.is_null)
        return end_row(walk, FATE_FILTERED);
    if (cell.variant.kind != VARIANT_JSON)
        return end_row(walk, FATE_DEAD);
    return walk_elements(walk, batch, step, bytes_of(cell.variant.data, cell.variant.size));
}

static int walk_steps(struct walk *walk, const struct batch *batch, uint32_t step)
{
    const struct view *arm = walk->source->arm;
    if (step == arm->op_count)
        return end_steps(walk, batch);
    const char *name = arm->ops[step].type->name;
    if (strcmp(name, "filter") == 0)
        return step_filter(walk, batch, step);
    if (strcmp(name, "check") == 0)
        return step_check(walk, batch, step);
    if (strcmp(name, "map") == 0)
        return step_columns(walk, batch, step, 0);
    if (strcmp(name, "rekey") == 0)
        return step_columns(walk, batch, step, batch->column_count);
    if (strcmp(name, "distinct") == 0)
        return step_distinct(walk, batch, step);
    if (strcmp(name, "unnest") == 0)
        return step_unnest(walk, batch, step);
    must(strcmp(name, "peek") == 0); /* verify_view.c has refused the others */
    return walk_steps(walk, batch, step + 1);
}

/* ---- records ---- */

struct run {
    struct verify_source *source;
    int (*end)(void *context, const struct verify_row *row, enum fate *fate);
    void *context;
};

static int take_record(void *context, const struct source_row *record)
{
    struct run *run = context;
    struct verify_source *source = run->source;
    const struct view *arm = source->arm;
    struct walk walk = {
        .source = source, .end = run->end, .context = run->context, .counts = &source->counts};
    arena_reset(&source->arena);
    source->counts.rows_in++;
    walk.rejects.arena = &source->arena;
    if (source->failed.count > 0 &&
        verify_map_find(&source->failed, offset_name(record->offset)) != NULL)
        return end_row(&walk, FATE_DEAD);
    pass_markers(source, record->offset);
    struct column *columns = arena_alloc(&source->arena, format_room(arm) * sizeof *columns);
    struct decoding decoding = {.view = arm,
                                .state = source->decoder,
                                .rows = record,
                                .count = 1,
                                .arena = &source->arena,
                                .columns = columns,
                                .rejects = &walk.rejects};
    if (columns == NULL)
        return verify_no_memory(source->verify);
    TRY(format_decode(&decoding));
    walk.row = (struct verify_row){
        .source = source, .stage = source->stage, .partition = source->partition, .record = record};
    if (walk.rejects.count > 0 || !assign_time(source, columns, record, &walk.row))
        return end_row(&walk, FATE_DEAD);
    walk.row.place = (struct place){walk.row.time_ms, record->offset,
                                    (uint64_t)arm->arm << 32 | (uint32_t)source->partition, 0};
    struct batch batch = {.row_count = 1,
                          .selected_count = 1,
                          .columns = columns,
                          .column_count = format_column_count(arm),
                          .event_time_ms = &walk.row.time_ms,
                          .watermark_ms = &walk.row.watermark_ms,
                          .source = record,
                          .origin = walk.row.place.origin,
                          .arena = &source->arena};
    return walk_steps(&walk, &batch, 0);
}

int verify_source_run(struct verify_source *source,
                      int (*end)(void *context, const struct verify_row *row, enum fate *fate),
                      void *context)
{
    struct verify *v = source->verify;
    const struct stage *stage = source->stage;
    struct run run = {source, end, context};
    struct port_range range;
    if (source->progress == NULL)
        return 0;
    TRY(v->port->ops->range(v->port, stage->input_topic, source->partition, &range, v->diag));
    int64_t first = source->progress->first >= 0 ? source->progress->first : range.start;
    if (first < range.start)
        return diag_set(v->diag, ERR_RANGE,
                        "%s-%d starts at offset %lld, and %s has read it from %lld on: what was "
                        "removed (retention.ms, retention.bytes or delete-records) cannot be "
                        "recomputed",
                        stage->input_topic, (int)source->partition, (long long)range.start,
                        v->options->view, (long long)first);
    TRY(verify_read(v, stage->input_topic, source->partition, first, source->progress->position,
                    take_record, &run));
    pass_markers(source, source->progress->position);
    return 0;
}
