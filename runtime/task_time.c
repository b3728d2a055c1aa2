/* task_time.c: when a row happened, and how far time has come.
 *
 * Time and lateness are decided here, once, row by row in offset order. Every row with an event
 * time that can be read moves the watermark of its source partition, also one that a condition
 * rejects later; each row carries the watermark at its own place, so that neither where a batch was
 * cut nor what other partitions do can change the verdict on it. A row whose event time is further
 * ahead of its record's timestamp than the source allows moves nothing: the limit is taken from the
 * log and not from the wall clock, so that a replay rejects the same rows.
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

int task_assign_times(struct task *task, const struct column *columns, const uint8_t *gone,
                      uint32_t count, int64_t *times, int64_t *watermarks)
{
    int field = task->stage->view->event_time_field;
    int64_t lateness_ms = task->stage->view->source->number_ms;
    int64_t skew_ms = task->stage->view->source->skew_ms;
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
                                 times[i] - task->rows[i].timestamp_ms > skew_ms,
                             0)) {
            TRY(reject_add(
                &task->chain.rejects, i, "event_time_future",
                "event time %lld is more than %lld ms ahead of the record's timestamp %lld",
                (long long)times[i], (long long)skew_ms, (long long)task->rows[i].timestamp_ms));
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
