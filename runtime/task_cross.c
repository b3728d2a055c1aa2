/* task_cross.c: rows between the two stages of a weir_distinct that re-keys.
 *
 * What crosses is the row as it stands before the distinct operator, columns and all, and the record
 * that it came from: so what is behind the topic works as if nothing lay between, down to the bytes
 * of late rows and dead letters, and nothing is evaluated twice. Its event time and the watermark at
 * its place were settled at the source and cross with it; the time of the task behind comes with marks, as
 * behind a re-keying of groups (task_marks.c).
 *
 * Record key: the distinct columns as group_key.h writes them, whose murmur2 is the partition. Record
 * timestamp: the source record's. Value:
 *
 *   1 byte      version: 1
 *   8 bytes     big-endian: the state hash of the view. Another one has other columns
 *   uvarint     arm; uvarint partition of its source; uvarint offset there
 *   varint      event time; varint watermark at the row's place, or INT64_MIN
 *   uvarint     bytes of the record's key + 1 (0: none), the key; the same of its value; uvarint number of
 *               headers, and uvarint bytes of them + 1, as they are in record batches
 *   uvarint     bytes + 1 of the element's place, when the row was made of another one, and that text
 *   uvarint     number of columns; 1 byte type of each (enum col_type)
 *   the rest    the columns (row_codec.h) */
#include <stdio.h>
#include <string.h>

#include "operators/group_key.h"
#include "operators/row_codec.h"
#include "runtime/base/hash.h"
#include "runtime/task.h"

enum { CROSS_VERSION = 1, COLUMNS_READ_MAX = 4096 };

/* ---- write ---- */

static void put_range(struct buf *out, struct bytes range)
{
    buf_uvarint(out, range.data != NULL ? range.size + 1 : 0);
    if (range.data != NULL)
        buf_append_bytes(out, range);
}

static int put_row(struct task *task, const struct batch *batch, uint32_t row,
                   uint32_t column_count)
{
    const struct source_row *source = batch_source(batch, row);
    const char *element = NULL;
    struct buf *out = &task->value;
    if (batch->made_from != NULL) {
        element = chain_element(&task->chain, &batch->made_from[row]);
        if (element == NULL)
            return ERR_NOMEM;
    }
    buf_clear(out);
    buf_u8(out, CROSS_VERSION);
    buf_be64(out, task->stage->state_hash);
    buf_uvarint(out, task->stage->view->arm);
    buf_uvarint(out, (uint64_t)task->partition);
    buf_uvarint(out, (uint64_t)source->offset);
    buf_varint(out, batch->event_time_ms[row]);
    buf_varint(out, batch->watermark_ms[row]);
    put_range(out, source->key);
    put_range(out, source->value);
    buf_uvarint(out, (uint64_t)source->header_count);
    put_range(out, source->headers);
    put_range(out, bytes_text(element));
    buf_uvarint(out, column_count);
    for (uint32_t i = 0; i < column_count; i++)
        buf_u8(out, (uint8_t)batch->columns[i].type);
    row_encode(out, batch->columns, column_count, row);
    return buf_ok(out) ? 0 : ERR_NOMEM;
}

int task_sink_crossing(struct task *task, const struct batch *batch)
{
    uint32_t keys = task->stage->view->distinct->key.list->count;
    uint32_t columns = batch->column_count - keys;
    for (uint32_t i = 0; i < batch->selected_count; i++) {
        uint32_t row = batch_row(batch, i);
        buf_clear(&task->key);
        group_key_encode(&task->key, batch->columns + columns, keys, row);
        if (put_row(task, batch, row, columns) < 0 || !buf_ok(&task->key))
            return diag_set(task->diag, ERR_NOMEM, "no memory for output of stage %s",
                            task->stage->name);
        if (task->value.size > TASK_ROW_MAX_BYTES) {
            TRY(reject_add(&task->chain.rejects, row, "row_too_long",
                           "the row takes %zu bytes; the limit is %d", task->value.size,
                           TASK_ROW_MAX_BYTES));
            continue;
        }
        struct bytes key = bytes_of(task->key.data, task->key.size);
        int32_t partition = murmur2_partition(key.data, key.size, task->stage->output_partitions);
        task->counts.applied++;
        task->counts.out++;
        TRY(task_add_row(task, partition, batch_source(batch, row)->timestamp_ms, key,
                         bytes_of(task->value.data, task->value.size)));
    }
    return 0;
}

/* ---- read ---- */

/* Where a row that crossed came from. */
struct crossed_row {
    uint64_t arm, partition;
    const char *element; /* NULL: it was a row of its source */
};

struct crossed {
    struct source_row *rows; /* the records that they came from */
    struct crossed_row *origins;
    int64_t *times_ms, *watermarks_ms;
    struct column *columns;
    struct bytes types; /* of them, a byte each */
};

static int take_range(struct bytes *in, struct bytes *range)
{
    uint64_t size;
    *range = (struct bytes){NULL, 0};
    TRY(take_uvarint(in, &size));
    return size > 0 ? take_bytes(in, size - 1, range) : 0;
}

/* Columns as the first row has them. Operators that add columns to fields have room for two. */
static int make_columns(struct crossed *crossed, struct bytes types, uint32_t rows,
                        struct arena *arena)
{
    crossed->types = types;
    crossed->columns = arena_zalloc(arena, (types.size + 2) * sizeof *crossed->columns);
    if (crossed->columns == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < types.size; i++) {
        enum col_type type = (enum col_type)types.data[i];
        if (type >= COL_TYPE_COUNT)
            return ERR_CORRUPT;
        TRY(column_alloc(&crossed->columns[i], type, rows, type != COL_VARIANT, arena));
        memset(crossed->columns[i].data, 0, rows * col_type_bytes(type));
    }
    return 0;
}

static int take_origin(struct bytes *in, struct crossed *crossed, uint32_t row,
                       struct source_row *source, struct arena *arena)
{
    struct crossed_row *origin = &crossed->origins[row];
    uint64_t offset, headers;
    struct bytes element;
    TRY(take_uvarint(in, &origin->arm));
    TRY(take_uvarint(in, &origin->partition));
    TRY(take_uvarint(in, &offset));
    TRY(take_varint(in, &crossed->times_ms[row]));
    TRY(take_varint(in, &crossed->watermarks_ms[row]));
    TRY(take_range(in, &source->key));
    TRY(take_range(in, &source->value));
    TRY(take_uvarint(in, &headers));
    TRY(take_range(in, &source->headers));
    TRY(take_range(in, &element));
    if (offset > INT64_MAX || headers > INT32_MAX || origin->partition > INT32_MAX ||
        crossed->times_ms[row] < TASK_TIME_MIN_MS || crossed->times_ms[row] > TASK_TIME_MAX_MS)
        return ERR_CORRUPT;
    source->offset = (int64_t)offset;
    source->header_count = (int32_t)headers;
    if (element.data == NULL)
        return 0;
    char *text = arena_alloc(arena, element.size + 1);
    if (text == NULL)
        return ERR_NOMEM;
    memcpy(text, element.data, element.size);
    text[element.size] = '\0';
    origin->element = text;
    return 0;
}

static int take_row(const struct task *task, const struct source_row *record,
                    struct crossed *crossed, uint32_t row, uint32_t rows, struct arena *arena)
{
    struct bytes in = record->value, types;
    uint64_t hash, count;
    uint8_t version;
    TRY(take_u8(&in, &version));
    TRY(take_be64(&in, &hash));
    if (version != CROSS_VERSION || hash != task->stage->state_hash)
        return ERR_CORRUPT;
    crossed->rows[row] = (struct source_row){.timestamp_ms = record->timestamp_ms};
    TRY(take_origin(&in, crossed, row, &crossed->rows[row], arena));
    if (crossed->origins[row].arm >= task->stage->view->arm_count)
        return ERR_CORRUPT;
    TRY(take_uvarint(&in, &count));
    if (count > COLUMNS_READ_MAX)
        return ERR_CORRUPT;
    TRY(take_bytes(&in, count, &types));
    if (row == 0)
        TRY(make_columns(crossed, types, rows, arena));
    if (!bytes_equal(types, crossed->types))
        return ERR_CORRUPT;
    return row_decode(in, crossed->columns, (uint32_t)count, row);
}

static int take_rows(const struct task *task, uint32_t count, struct crossed *crossed,
                     struct arena *arena, uint32_t *failed)
{
    size_t room = (size_t)count + 1;
    *crossed = (struct crossed){.rows = arena_alloc(arena, room * sizeof *crossed->rows),
                                .origins = arena_zalloc(arena, room * sizeof *crossed->origins),
                                .times_ms = arena_alloc(arena, room * sizeof(int64_t)),
                                .watermarks_ms = arena_alloc(arena, room * sizeof(int64_t))};
    if (crossed->rows == NULL || crossed->origins == NULL || crossed->times_ms == NULL ||
        crossed->watermarks_ms == NULL)
        return ERR_NOMEM;
    for (*failed = 0; *failed < count; (*failed)++)
        TRY(take_row(task, &task->rows[*failed], crossed, *failed, count, arena));
    return 0;
}

bool task_crossed_is_sound(const struct task *task)
{
    struct crossed crossed;
    struct arena arena;
    uint32_t failed;
    arena_init(&arena, 0);
    int rc = take_rows(task, 1, &crossed, &arena, &failed);
    arena_deinit(&arena);
    return rc != ERR_CORRUPT;
}

static uint64_t origin_of(const struct crossed *crossed, uint32_t row)
{
    return crossed->origins[row].arm << 32 | crossed->origins[row].partition;
}

/* Rows that follow one another from one partition of one source are a batch. */
static int push_runs(struct task *task, const struct crossed *crossed, uint32_t count)
{
    uint16_t *rows = arena_alloc(&task->chain.arena, ((size_t)count + 1) * sizeof *rows);
    if (rows == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++)
        rows[i] = (uint16_t)i;
    for (uint32_t from = 0, to; from < count; from = to) {
        for (to = from + 1; to < count && origin_of(crossed, to) == origin_of(crossed, from); to++)
            ;
        struct batch batch = {.row_count = count,
                              .selection = rows + from,
                              .selected_count = to - from,
                              .columns = crossed->columns,
                              .column_count = (uint32_t)crossed->types.size,
                              .event_time_ms = crossed->times_ms,
                              .watermark_ms = crossed->watermarks_ms,
                              .source = crossed->rows,
                              .origin = origin_of(crossed, from),
                              .arena = &task->chain.arena};
        TRY(task_push_rows(task, &batch));
    }
    return 0;
}

int task_process_crossed(struct task *task, uint32_t count)
{
    struct chain *chain = &task->chain;
    struct crossed crossed;
    uint32_t failed;
    TRY(chain_begin(chain, task->diag));
    int rc = take_rows(task, count, &crossed, &chain->arena, &failed);
    if (rc == ERR_CORRUPT)
        return diag_set(
            task->diag, rc, "the record at offset %lld of %s-%d is not a row of this stage",
            (long long)task->rows[failed].offset, task->stage->input_topic, (int)task->partition);
    TRY(rc);
    for (uint32_t i = 0; i < count; i++)
        if (crossed.times_ms[i] > task->max_event_ms)
            task->max_event_ms = crossed.times_ms[i];
    task_begin_rows(task);
    TRY(push_runs(task, &crossed, count));
    task->crossed = &crossed;
    rc = task_end_rows(task, crossed.rows, count);
    task->crossed = NULL;
    task->source_topic = task->stage->input_topic;
    task->source_partition = task->partition;
    return rc;
}

/* Whose element was made behind the crossing is one of the element's. */
int task_point_to_origin(struct task *task, uint32_t row, const char **element)
{
    const struct crossed_row *origin = &task->crossed->origins[row];
    const struct view *arm = task->stage->view->lead;
    for (uint64_t i = 0; i < origin->arm; i++)
        arm = arm->next_arm;
    task->source_topic = arm->source->text;
    task->source_partition = (int32_t)origin->partition;
    if (origin->element == NULL)
        return 0;
    if (*element == NULL) {
        *element = origin->element;
        return 0;
    }
    size_t size = strlen(origin->element) + strlen(*element) + 2;
    char *both = arena_alloc(&task->chain.arena, size);
    if (both == NULL)
        return ERR_NOMEM;
    snprintf(both, size, "%s.%s", origin->element, *element);
    *element = both;
    return 0;
}
