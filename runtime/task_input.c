/* task_input.c: from a topic to the operators: read, decode, time.
 *
 * Time and lateness are decided here, once, row by row in offset order. Every row with an event
 * time that can be read moves the watermark of its source partition, also one that a condition
 * rejects later; each row carries the watermark at its own place, so that neither where a batch was
 * cut nor what other partitions do can change the verdict on it.
 *
 * Watermarks cross a re-keying as marks: an upstream task's progress record says up to which offset
 * of this partition its watermark covers; the mark is applied when the position reaches that
 * offset. */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/task.h"

/* Year 0001 to 9999: what prints as ISO 8601 and what any data set holds. */
#define EVENT_TIME_MIN_MS INT64_C(-62135596800000)
#define EVENT_TIME_MAX_MS INT64_C(253402300799999)

/* A batch that takes longer than this keeps the other tasks of its worker waiting: the next one has
 * fewer rows. */
#define BATCH_LONG_NS (50 * INT64_C(1000000))

/* Eight digits at once: whether they are, and their value. */
static bool eight_digits(const uint8_t *text, uint64_t *value)
{
    uint64_t word, low;
    memcpy(&word, text, sizeof word);
    low = word - UINT64_C(0x3030303030303030);
    if (((word & UINT64_C(0xf0f0f0f0f0f0f0f0)) ^ UINT64_C(0x3030303030303030)) |
        ((low + UINT64_C(0x0606060606060606)) & UINT64_C(0xf0f0f0f0f0f0f0f0)))
        return false;
    word = le64toh(low);
    word = (word * 10 + (word >> 8)) & UINT64_C(0x00ff00ff00ff00ff);
    word = (word * 100 + (word >> 16)) & UINT64_C(0x0000ffff0000ffff);
    *value = (word * 10000 + (word >> 32)) & UINT64_C(0xffffffff);
    return true;
}

/* Text of 1 to 18 digits, perhaps with a minus, and nothing else. */
static bool digits_value(struct bytes text, int64_t *value)
{
    size_t at = text.size > 0 && text.data[0] == '-';
    int64_t sum = 0;
    uint64_t eight;
    if (at == text.size || text.size - at > 18)
        return false;
    for (; text.size - at >= sizeof eight; at += sizeof eight) {
        if (!eight_digits(text.data + at, &eight))
            return false;
        sum = sum * 100000000 + (int64_t)eight;
    }
    for (; at < text.size; at++) {
        unsigned digit = (unsigned)text.data[at] - '0';
        if (digit > 9)
            return false;
        sum = sum * 10 + digit;
    }
    *value = text.data[0] == '-' ? -sum : sum;
    return true;
}

/* Epoch milliseconds (a number, or text of digits) or ISO 8601 text. 0 or ERR_INVALID. */
static int event_time_of(const struct variant *value, int64_t *time_ms)
{
    struct bytes text = bytes_of(value->data, value->size);
    struct numeric number;
    switch (value->kind) {
    case VARIANT_INT:
        *time_ms = value->i64;
        return 0;
    case VARIANT_NUMBER:
        if (numeric_parse(text, &number) < 0 || numeric_floor(number, &number) < 0)
            return ERR_INVALID;
        return numeric_to_i64(number, time_ms) < 0 ? ERR_INVALID : 0;
    case VARIANT_TEXT:
        if (digits_value(text, time_ms))
            return 0;
        return time_parse_iso(text, time_ms) < 0 ? ERR_INVALID : 0;
    default:
        return ERR_INVALID;
    }
}

static int reject_time(struct task *task, uint32_t row, const struct variant *value)
{
    const char *field = task->stage->view->source->extra;
    if (value->kind == VARIANT_NULL)
        return reject_add(&task->chain.rejects, row, "event_time_missing",
                          "the row has no event time: field %s is missing or null", field);
    return reject_add(&task->chain.rejects, row, "event_time_invalid",
                      "field %s is not an event time: epoch milliseconds or ISO 8601 is expected",
                      field);
}

/* Fills times and watermarks of all rows; rows without a usable time are rejected and do not move
 * the watermark. */
static int assign_times(struct task *task, const struct column *columns, const uint8_t *gone,
                        uint32_t count, int64_t *times, int64_t *watermarks)
{
    int field = task->stage->view->event_time_field;
    int64_t lateness_ms = task->stage->view->source->number_ms;
    for (uint32_t i = 0; i < count; i++) {
        times[i] = task->rows[i].timestamp_ms;
        watermarks[i] = task->watermark_ms;
        if (gone[i])
            continue;
        if (field >= 0 &&
            __builtin_expect(event_time_of(&columns[field].variant[i], &times[i]) < 0, 0)) {
            TRY(reject_time(task, i, &columns[field].variant[i]));
            continue;
        }
        if (__builtin_expect(times[i] < EVENT_TIME_MIN_MS || times[i] > EVENT_TIME_MAX_MS, 0)) {
            TRY(reject_add(&task->chain.rejects, i, "event_time_range",
                           "event time %lld is outside the years 1 to 9999", (long long)times[i]));
            continue;
        }
        if (__builtin_expect(times[i] > task->rows[i].timestamp_ms &&
                                 times[i] - task->rows[i].timestamp_ms > MAX_FUTURE_SKEW_MS,
                             0)) {
            TRY(reject_add(
                &task->chain.rejects, i, "event_time_future",
                "event time %lld is more than %lld ms ahead of the record's timestamp %lld",
                (long long)times[i], (long long)MAX_FUTURE_SKEW_MS,
                (long long)task->rows[i].timestamp_ms));
            continue;
        }
        if (times[i] > task->max_event_ms)
            task->max_event_ms = times[i];
        if (times[i] - lateness_ms > task->watermark_ms)
            task->watermark_ms = times[i] - lateness_ms;
        watermarks[i] = task->watermark_ms;
    }
    return 0;
}

static int decode_rows(struct task *task, uint32_t count, struct column *columns)
{
    struct bytes *docs = arena_alloc(&task->chain.arena, (count + 1) * sizeof *docs);
    if (docs == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++)
        docs[i] = task->rows[i].value;
    return json_decode(task->decoder, docs, count, false, &task->chain.arena, columns,
                       &task->chain.rejects);
}

static void mark_rejected(const struct reject_list *rejects, uint8_t *gone)
{
    for (uint32_t i = 0; i < rejects->count; i++)
        gone[rejects->items[i].row] = 1;
}

/* Rows that did not pass: each once to its topic, in offset order however batches were cut, under
 * the first thing that was wrong with it. */
static int keep_the_rest(struct task *task, uint32_t count)
{
    const struct reject_list *rejects = &task->chain.rejects;
    if (rejects->count == 0 && task->chain.call.late_count == 0)
        return 0;
    const struct reject **first = arena_zalloc(&task->chain.arena, (count + 1) * sizeof *first);
    if (first == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < rejects->count; i++)
        if (first[rejects->items[i].row] == NULL)
            first[rejects->items[i].row] = &rejects->items[i];
    for (uint32_t row = 0; row < count; row++)
        if (first[row] != NULL)
            TRY(task_dead_letter(task, &task->rows[row], first[row]->error_class,
                                 first[row]->message));
    for (uint32_t i = 0; i < task->chain.call.late_count; i++)
        TRY(task_late_row(task, &task->rows[task->chain.call.late[i].row],
                          &task->chain.call.late[i]));
    return 0;
}

static int process_rows(struct task *task, uint32_t count)
{
    struct chain *chain = &task->chain;
    uint32_t fields = field_set_count(task->stage->view->fields);
    TRY(chain_begin(chain, task->diag));
    struct column *columns = arena_alloc(&chain->arena, (fields + 1) * sizeof *columns);
    uint8_t *gone = arena_zalloc(&chain->arena, count + 1);
    int64_t *times = arena_alloc(&chain->arena, (count + 1) * sizeof *times);
    int64_t *watermarks = arena_alloc(&chain->arena, (count + 1) * sizeof *watermarks);
    if (columns == NULL || gone == NULL || times == NULL || watermarks == NULL)
        return ERR_NOMEM;
    if (fields > 0)
        TRY(decode_rows(task, count, columns));
    mark_rejected(&chain->rejects, gone);
    TRY(assign_times(task, columns, gone, count, times, watermarks));
    struct batch batch = {.row_count = count,
                          .selected_count = count,
                          .columns = columns,
                          .column_count = fields,
                          .event_time_ms = times,
                          .watermark_ms = watermarks,
                          .source = task->rows,
                          .arena = &chain->arena};
    TRY(batch_drop_rejected(&batch, &chain->rejects, 0, &chain->arena));
    chain->call.applied_rows = 0;
    chain->filtered_rows = 0;
    TRY(chain_push(chain, &batch));
    task->counts.rows_in += count;
    task->counts.applied += (int64_t)chain->call.applied_rows;
    task->counts.filtered += chain->filtered_rows;
    TRY(keep_the_rest(task, count));
    const struct counts *c = &task->counts;
    must(c->rows_in == c->applied + c->filtered + c->late + c->dead); /* P5 */
    return 0;
}

/* Partials: record key = window and group, value = accumulators. */
static int process_partials(struct task *task, uint32_t count)
{
    struct chain *chain = &task->chain;
    TRY(chain_begin(chain, task->diag));
    struct column *columns = arena_alloc(&chain->arena, 3 * sizeof *columns);
    if (columns == NULL)
        return ERR_NOMEM;
    TRY(column_alloc(&columns[0], COL_TEXT, count, false, &chain->arena));
    TRY(column_alloc(&columns[1], COL_BIGINT, count, false, &chain->arena));
    TRY(column_alloc(&columns[2], COL_TEXT, count, false, &chain->arena));
    for (uint32_t i = 0; i < count; i++) {
        if (group_store_key_split(task->rows[i].key, task->stage->view->is_windowed,
                                  &columns[1].i64[i], &columns[0].text[i]) < 0)
            return diag_set(task->diag, ERR_CORRUPT,
                            "the record at offset %lld of %s-%d is not a partial aggregate",
                            (long long)task->rows[i].offset, task->stage->input_topic,
                            (int)task->partition);
        columns[2].text[i] = task->rows[i].value;
    }
    struct batch batch = {.row_count = count,
                          .selected_count = count,
                          .columns = columns,
                          .column_count = 3,
                          .arena = &chain->arena};
    return chain_push(chain, &batch);
}

bool task_at_end(const struct task *task)
{
    return task->position >= atomic_load(&task->end_target);
}

void task_pace(struct task *task, int64_t took_ns)
{
    uint32_t most = (uint32_t)task->plan->app->options.batch_rows;
    if (took_ns > BATCH_LONG_NS) {
        int64_t rows = (int64_t)task->batch_rows * (BATCH_LONG_NS / 4) / took_ns;
        task->batch_rows = rows > 1 ? (uint32_t)rows : 1;
    } else if (task->batch_rows < most && took_ns < BATCH_LONG_NS / 4) {
        task->batch_rows = task->batch_rows * 2 < most ? task->batch_rows * 2 : most;
    }
}

int task_poll(struct task *task, struct diag *diag)
{
    uint32_t count;
    int64_t next, target = atomic_load(&task->end_target);
    if (task->position >= target)
        return 0;
    task->diag = diag;
    task->now_ms = clock_wall_ms();
    int rc = task->port->ops->reader_read(task->reader, task->rows, task->batch_rows, &count, &next,
                                          diag);
    if (rc == ERR_RANGE)
        return task_lost_records(task,
                                 diag); /* retention overtook us: nothing is skipped in silence */
    TRY(rc);
    if (next == task->position)
        return 0;
    while (count > 0 && task->rows[count - 1].offset >= target)
        count--;
    if (count > 0) {
        rc = task->stage->input == INPUT_ROWS ? process_rows(task, count)
                                              : process_partials(task, count);
        task->has_pending = true;
    }
    if (rc < 0)
        return diag != NULL && diag->code == rc
                   ? rc
                   : diag_set(diag, rc, "stage %s, %s-%d at offset %lld: %s", task->stage->name,
                              task->stage->input_topic, (int)task->partition,
                              (long long)task->position, error_text(rc));
    task->position = next < target ? next : target;
    task->moved = true;
    task_apply_marks(task);
    return 1;
}

int task_add_mark(struct task *task, uint32_t upstream_partition, int64_t end, int64_t watermark_ms,
                  struct diag *diag)
{
    if (upstream_partition >= task->mark_count || watermark_ms == TIME_NONE)
        return 0;
    struct marks *marks = &task->marks[upstream_partition];
    struct mark *last = marks->count > 0 ? &marks->items[marks->first + marks->count - 1] : NULL;
    if (last != NULL && last->end == end) {
        last->watermark_ms = watermark_ms;
        return 0;
    }
    if (last != NULL && last->watermark_ms == watermark_ms)
        return 0; /* the earlier mark says as much and applies sooner */
    if (marks->first + marks->count == marks->capacity) {
        if (marks->first > 0)
            memmove(marks->items, marks->items + marks->first, marks->count * sizeof *marks->items);
        marks->first = 0;
        if (marks->count == marks->capacity) {
            uint32_t capacity = marks->capacity ? marks->capacity * 2 : 8;
            struct mark *grown = realloc(marks->items, capacity * sizeof *grown);
            if (grown == NULL)
                return diag_set(diag, ERR_NOMEM, "no memory for watermarks");
            marks->items = grown;
            marks->capacity = capacity;
        }
    }
    marks->items[marks->first + marks->count++] = (struct mark){end, watermark_ms};
    return 0;
}

void task_apply_marks(struct task *task)
{
    int64_t lowest = INT64_MAX;
    for (uint32_t u = 0; u < task->mark_count; u++) {
        struct marks *marks = &task->marks[u];
        while (marks->count > 0 && marks->items[marks->first].end <= task->position) {
            marks->applied_ms = marks->items[marks->first].watermark_ms;
            marks->first++;
            marks->count--;
        }
        if (marks->applied_ms < lowest)
            lowest = marks->applied_ms;
    }
    if (task->mark_count > 0 && lowest > task->watermark_ms) {
        task->watermark_ms = lowest;
        task->has_pending = true;
    }
}

int64_t task_apply_raise(struct task *task)
{
    int64_t raise_ms = atomic_load(&task->raise_ms);
    if (raise_ms != TIME_NONE && raise_ms > task->watermark_ms) {
        task->watermark_ms = raise_ms;
        task->has_pending = true;
    }
    return raise_ms;
}
