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
    TRY(format_open(source->arm, &source->decoder, v->diag));
    if (source->arm->keyed != NULL)
        TRY(verify_table_open(source));
    return stage->table_count > 0 ? verify_joins_open(source) : 0;
}

void verify_source_close(struct verify_source *source)
{
    if (source->decoder != NULL)
        format_close(source->arm, source->decoder);
    verify_map_deinit(&source->failed);
    verify_repeat_close(source);
    verify_joins_close(source);
    if (source->table != NULL)
        verify_table_deinit(source->table);
    free(source->table);
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

static bool read_time(const struct view *view, const struct column *columns,
                      const struct source_row *record, int64_t *time_ms)
{
    int field = view->event_time_field;
    *time_ms = record->timestamp_ms;
    return field < 0 ||
           event_time_of(&columns[field].variant[column_at(&columns[field], 0)], time_ms);
}

/* False: the record has no usable event time. */
static bool assign_time(struct verify_source *source, const struct column *columns,
                        const struct source_row *record, struct verify_row *row)
{
    const struct weir_stream *node = source->arm->source;
    if (!read_time(source->arm, columns, record, &row->time_ms))
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

/* ---- records ---- */

struct run {
    struct verify_source *source;
    int (*end)(void *context, const struct verify_row *row, enum fate *fate);
    void *context;
};

static int decode(struct verify_walk *walk, const struct source_row *record, struct batch *batch)
{
    struct verify_source *source = walk->source;
    struct column *columns =
        arena_alloc(&source->arena, format_room(source->arm) * sizeof *columns);
    struct decoding decoding = {.view = source->arm,
                                .state = source->decoder,
                                .rows = record,
                                .count = 1,
                                .arena = &source->arena,
                                .columns = columns,
                                .rejects = &walk->rejects};
    if (columns == NULL)
        return verify_no_memory(source->verify);
    TRY(format_decode(&decoding));
    walk->row = (struct verify_row){
        .source = source, .stage = source->stage, .partition = source->partition, .record = record};
    *batch = (struct batch){.row_count = 1,
                            .selected_count = 1,
                            .columns = columns,
                            .column_count = format_column_count(source->arm),
                            .source = record,
                            .arena = &source->arena};
    return 0;
}

static int take_record(void *context, const struct source_row *record)
{
    struct run *run = context;
    struct verify_source *source = run->source;
    struct verify_walk walk = {
        .source = source, .end = run->end, .context = run->context, .counts = &source->counts};
    struct batch batch;
    arena_reset(&source->arena);
    source->counts.rows_in++;
    walk.rejects.arena = &source->arena;
    if (source->failed.count > 0 &&
        verify_map_find(&source->failed, offset_name(record->offset)) != NULL)
        return verify_walk_end(&walk, FATE_DEAD);
    pass_markers(source, record->offset);
    if (source->arm->keyed != NULL && record->value.data == NULL)
        return verify_keyed_removal(&walk, record);
    TRY(decode(&walk, record, &batch));
    if (walk.rejects.count > 0 || !assign_time(source, batch.columns, record, &walk.row))
        return verify_walk_end(&walk, FATE_DEAD);
    walk.row.place =
        (struct place){walk.row.time_ms, record->offset,
                       (uint64_t)source->arm->arm << 32 | (uint32_t)source->partition, 0};
    batch.event_time_ms = &walk.row.time_ms;
    batch.watermark_ms = &walk.row.watermark_ms;
    batch.origin = walk.row.place.origin;
    if (source->joins != NULL)
        TRY(verify_joins_follow(source, record, walk.row.time_ms));
    TRY(verify_walk(&walk, &batch, 0));
    return verify_keyed_hidden(&walk);
}

/* A row of a table that others are joined with: its time says when it comes, and nothing else. */
int verify_table_record(struct verify_source *source, const struct source_row *record,
                        int (*end)(void *context, const struct verify_row *row, enum fate *fate),
                        void *context, enum fate *fate)
{
    struct verify_walk walk = {
        .source = source, .end = end, .context = context, .counts = &source->counts};
    struct batch batch;
    int64_t time_ms;
    arena_reset(&source->arena);
    walk.rejects.arena = &source->arena;
    int rc;
    if (record->value.data == NULL) {
        rc = verify_keyed_removal(&walk, record);
    } else {
        rc = decode(&walk, record, &batch);
        if (rc == 0 &&
            (walk.rejects.count > 0 || !read_time(source->arm, batch.columns, record, &time_ms)))
            rc = verify_walk_end(&walk, FATE_DEAD);
        else if (rc == 0)
            rc = verify_walk(&walk, &batch, 0);
        if (rc == 0)
            rc = verify_keyed_hidden(&walk);
    }
    *fate = walk.is_keyed && walk.fate == FATE_FILTERED ? FATE_APPLIED : walk.fate;
    return rc;
}

int verify_table_time(struct verify_source *source, const struct source_row *record,
                      int64_t *time_ms)
{
    struct verify_walk walk = {.source = source};
    struct batch batch;
    int64_t read_ms;
    *time_ms = record->timestamp_ms;
    arena_reset(&source->arena);
    walk.rejects.arena = &source->arena;
    if (source->arm->event_time_field < 0 || record->value.data == NULL)
        return 0;
    TRY(decode(&walk, record, &batch));
    if (batch.columns[source->arm->event_time_field].variant != NULL &&
        read_time(source->arm, batch.columns, record, &read_ms))
        *time_ms = read_ms;
    return 0;
}

/* Of a table the rows that stand are enough, but not those that took their place since. */
static int check_compacted(struct verify_source *source, const struct port_range *range)
{
    struct verify *v = source->verify;
    if (source->arm->keyed == NULL || range->compacted_to <= range->start)
        return 0;
    source->is_compacted = true;
    if (range->compacted_to <= source->progress->position)
        return 0;
    return diag_set(v->diag, ERR_RANGE,
                    "%s-%d was compacted up to offset %lld, and %s has read it up to %lld: rows "
                    "that newer ones replaced cannot be recomputed. Run %s, and verify then",
                    source->stage->input_topic, (int)source->partition,
                    (long long)range->compacted_to, v->options->view,
                    (long long)source->progress->position, v->options->app);
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
    TRY(check_compacted(source, &range));
    source->first = first;
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
    return source->joins != NULL ? verify_joins_finish(source) : 0;
}
