/* task_time.c: when a row happened, and how far time has come.
 *
 * Time and lateness are decided here, once, row by row in offset order. Every row with an event
 * time that can be read moves the watermark of its source partition, also one that a condition
 * rejects later; each row carries the watermark at its own place, so that neither where a batch was
 * cut nor what other partitions do can change the verdict on it. A row whose event time is further
 * ahead of its record's timestamp than the source allows moves nothing: the limit is taken from the
 * log and not from the wall clock, so that a replay rejects the same rows.
 *
 * Watermarks cross a re-keying as marks (task_marks.c). A stage whose input has rows of several
 * sources in one partition (plan_time.c) has its watermark from marks as well, and judges each row by
 * what its header says.
 *
 * With idle_close the wall clock has a part in it: a partition without new rows for so long is as
 * late as the clock says, less the lateness; with close_windows the end of a run has. Where that moved
 * the watermark a time marker is committed (time_marker.h), and a replay moves it at the same offset,
 * whatever the clock says then and however it ends. The clock is read in one place, task_poll
 * (now_ms). */
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/task.h"

/* The wall clock moves an idle partition in steps, so that it costs a commit a second at most. */
enum { IDLE_STEP_MS = 1000 };

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

int task_read_time(const struct variant *value, int64_t *time_ms)
{
    return event_time_of(value, time_ms);
}

static __attribute__((cold)) int reject_time(const struct weir_stream *source, uint32_t row,
                                             const struct variant *value,
                                             struct reject_list *rejects)
{
    if (value->kind == VARIANT_NULL)
        TRY(reject_add(rejects, row, "event_time_missing",
                       "the row has no event time: field %s is missing or null", source->extra));
    else
        TRY(reject_add(rejects, row, "event_time_invalid",
                       "field %s is not an event time: epoch milliseconds or ISO 8601 is expected",
                       source->extra));
    return 1;
}

/* The event time of a row, whose record's timestamp *time_ms is. 0; 1: it has none that can be used and
 * is rejected. field: NULL when it is the record's timestamp. */
static inline __attribute__((always_inline)) int
read_row_time(const struct weir_stream *source, const struct column *field, uint32_t row,
              struct reject_list *rejects, int64_t *time_ms)
{
    const int64_t timestamp_ms = *time_ms;
    if (field != NULL && __builtin_expect(event_time_of(&field->variant[row], time_ms) < 0, 0))
        return reject_time(source, row, &field->variant[row], rejects);
    if (__builtin_expect(*time_ms < TASK_TIME_MIN_MS || *time_ms > TASK_TIME_MAX_MS, 0)) {
        TRY(reject_add(rejects, row, "event_time_range",
                       "event time %lld is outside the years 1 to 9999", (long long)*time_ms));
        return 1;
    }
    if (__builtin_expect(*time_ms > timestamp_ms && *time_ms - timestamp_ms > source->skew_ms, 0)) {
        TRY(reject_add(rejects, row, "event_time_future",
                       "event time %lld is more than %lld ms ahead of the record's timestamp %lld",
                       (long long)*time_ms, (long long)source->skew_ms, (long long)timestamp_ms));
        return 1;
    }
    return 0;
}

int task_read_times(const struct view *view, const struct source_row *rows,
                    const struct column *columns, uint8_t *gone, uint32_t count, int64_t *times,
                    struct reject_list *rejects)
{
    const struct column *field =
        view->event_time_field >= 0 ? &columns[view->event_time_field] : NULL;
    for (uint32_t i = 0; i < count; i++) {
        times[i] = rows[i].timestamp_ms;
        if (gone[i])
            continue;
        int rc = read_row_time(view->source, field, i, rejects, &times[i]);
        TRY(rc);
        gone[i] = (uint8_t)rc;
    }
    return 0;
}

/* The verdict on a row that has rows of other sources around it follows from its header. Without one it
 * was written by somebody else, and all that came before it decide, as in any topic. What has closed
 * has closed in any case. */
static int64_t mixed_watermark(const struct task *task, const struct source_row *row)
{
    const struct stage *stage = task->stage;
    int64_t time_ms = TIME_NONE, lateness_ms = stage->view->source->number_ms;
    if (stage->time == TIME_OF_WRITERS && !task_row_time(row, &time_ms))
        time_ms = task->max_event_ms;
    return time_ms != TIME_NONE && time_ms - lateness_ms > task->watermark_ms
               ? time_ms - lateness_ms
               : task->watermark_ms;
}

/* columns NULL: task_read_times has read the times. */
static inline __attribute__((always_inline)) int
assign(struct task *task, const struct column *columns, const uint8_t *gone, uint32_t from,
       uint32_t to, int64_t *times, int64_t *watermarks, bool is_mixed, bool is_read)
{
    const struct view *view = task->stage->view;
    int64_t lateness_ms = view->source->number_ms;
    const struct column *field =
        !is_read && view->event_time_field >= 0 ? &columns[view->event_time_field] : NULL;
    for (uint32_t i = from; i < to; i++) {
        if (!is_read)
            times[i] = task->rows[i].timestamp_ms;
        watermarks[i] = task->watermark_ms;
        if (gone[i])
            continue;
        int rc =
            is_read ? 0 : read_row_time(view->source, field, i, &task->chain.rejects, &times[i]);
        if (__builtin_expect(rc != 0, 0)) {
            TRY(rc);
            continue;
        }
        if (times[i] > task->max_event_ms)
            task->max_event_ms = times[i];
        if (is_mixed) {
            watermarks[i] = mixed_watermark(task, &task->rows[i]);
            continue;
        }
        if (times[i] - lateness_ms > task->watermark_ms)
            task->watermark_ms = times[i] - lateness_ms;
        watermarks[i] = task->watermark_ms;
    }
    return 0;
}

static int assign_rows(struct task *task, const struct column *columns, const uint8_t *gone,
                       uint32_t from, uint32_t to, int64_t *times, int64_t *watermarks)
{
    bool is_mixed = task->stage->time != TIME_OF_ROWS;
    if (__builtin_expect(!is_mixed && columns != NULL, 1))
        return assign(task, columns, gone, from, to, times, watermarks, false, false);
    if (columns != NULL)
        return assign(task, columns, gone, from, to, times, watermarks, true, false);
    return is_mixed ? assign(task, NULL, gone, from, to, times, watermarks, true, true)
                    : assign(task, NULL, gone, from, to, times, watermarks, false, true);
}

/* Applies the markers that lie before row `from` and returns up to where rows follow one another
 * without a marker. The row behind a marker stands alone: it decides whether the marker may go. */
static uint32_t pass_markers(struct task *task, uint32_t from, uint32_t count)
{
    struct time_markers *markers = &task->time_markers;
    while (time_markers_next(markers) <= task->rows[from].offset) {
        int64_t time_ms = time_markers_apply(markers);
        if (time_ms > task->watermark_ms)
            task->watermark_ms = time_ms;
    }
    if (markers->is_open)
        return from + 1;
    uint32_t to = from + 1;
    while (to < count && task->rows[to].offset < time_markers_next(markers))
        to++;
    return to;
}

static void tell_peers(struct task *task)
{
    if (task->peer_max_event_ms == NULL)
        return;
    int64_t seen = atomic_load(task->peer_max_event_ms);
    while (task->max_event_ms > seen &&
           !atomic_compare_exchange_weak(task->peer_max_event_ms, &seen, task->max_event_ms))
        ;
}

int task_assign_times(struct task *task, const struct column *columns, const uint8_t *gone,
                      uint32_t count, int64_t *times, int64_t *watermarks)
{
    struct time_markers *markers = &task->time_markers;
    if (count == 0)
        return 0;
    if (!markers->is_open && task->rows[count - 1].offset < time_markers_next(markers)) {
        TRY(assign_rows(task, columns, gone, 0, count, times, watermarks));
        tell_peers(task);
        return 0;
    }
    for (uint32_t from = 0, to; from < count; from = to) {
        uint32_t rejected = task->chain.rejects.count;
        to = pass_markers(task, from, count);
        TRY(assign_rows(task, columns, gone, from, to, times, watermarks));
        if (markers->is_open && !gone[from] && task->chain.rejects.count == rejected &&
            task->stage->time == TIME_OF_ROWS) /* a row of one source says nothing of the others */
            TRY(time_markers_close(markers, times[from] - task->stage->view->source->number_ms,
                                   task->diag));
    }
    tell_peers(task);
    return 0;
}

/* ---- idle_close ---- */

static int64_t floor_to(int64_t time_ms, int64_t step_ms)
{
    int64_t rest = time_ms % step_ms;
    return time_ms - (rest < 0 ? rest + step_ms : rest);
}

/* Whether a window may end above from_ms and at or below to_ms. */
static bool closes_one(const struct window_spec *windows, int64_t from_ms, int64_t to_ms)
{
    int64_t start_ms, before_ms = window_closed_before(windows, to_ms);
    return from_ms == TIME_NONE ||
           (before_ms != INT64_MIN && window_newest(windows, before_ms - 1, &start_ms) &&
            window_closes_at(windows, start_ms) > from_ms);
}

/* How far the wall clock takes an idle partition: to the end of the last window that any task of
 * the stage has seen, and only when a window may close by it, so that a stage with nothing open
 * commits nothing. A stage without windows, whose time others follow, comes as far as its other
 * tasks have; of a left join, until the last row that any of them has seen has come out. TIME_NONE:
 * no further than it is. */
static int64_t idle_time(const struct task *task)
{
    const struct view *view = task->stage->view;
    const struct window_spec *windows = view->is_windowed ? &view->group->window : NULL;
    int64_t idle_ms = view->source->idle_ms, seen_ms = task->max_event_ms, closed_ms;
    int64_t time_ms = floor_to(task->now_ms - view->source->number_ms,
                               idle_ms < IDLE_STEP_MS ? idle_ms : IDLE_STEP_MS);
    if (task->peer_max_event_ms != NULL && atomic_load(task->peer_max_event_ms) > seen_ms)
        seen_ms = atomic_load(task->peer_max_event_ms);
    if (seen_ms == TIME_NONE)
        return TIME_NONE;
    if (view->within != NULL && view->within->keeps_unmatched)
        closed_ms = within_all_gone_at(view->within, seen_ms);
    else if (windows == NULL)
        closed_ms = seen_ms - view->source->number_ms;
    else if (!window_all_closed_at(windows, seen_ms, &closed_ms))
        closed_ms = INT64_MAX;
    if (closed_ms < time_ms)
        time_ms = closed_ms;
    if (windows != NULL &&
        windows->kind == WINDOW_SESSION) /* between ends nothing closes, but rows would be late */
        time_ms = floor_to(time_ms, windows->size_ms);
    if (time_ms <= task->watermark_ms)
        return TIME_NONE;
    return windows == NULL || closes_one(windows, task->watermark_ms, time_ms) ? time_ms
                                                                               : TIME_NONE;
}

/* Before a marker begins: those whose records retention has taken go, so that they do not pile up. */
static int forget_purged_markers(struct task *task)
{
    struct port_range range;
    TRY(task->port->ops->range(task->port, task->stage->input_topic, task->partition, &range,
                               task->diag));
    return time_markers_drop_before(&task->time_markers, range.start, task->diag);
}

/* Takes the watermark on by other means than a row, and leaves a marker. */
static int advance_time(struct task *task, int64_t time_ms, bool closes)
{
    struct time_markers *markers = &task->time_markers;
    int64_t offset = task->rows_end;
    if (markers->count > 0 && markers->items[markers->count - 1].offset > offset)
        offset = markers->items[markers->count - 1].offset;
    else if (markers->count > 0 && markers->items[markers->count - 1].offset < offset)
        TRY(forget_purged_markers(task));
    TRY(time_markers_set(markers, offset, time_ms, closes, task->diag));
    task->watermark_ms = time_ms;
    task->has_pending = true;
    return 0;
}

int task_idle(struct task *task)
{
    const struct view *view = task->stage->view;
    int64_t idle_ms = view->source->idle_ms;
    if (idle_ms == 0 || task->stage->input != INPUT_ROWS ||
        (!view->is_windowed && !task->stage->tells_ends) || task->plan->app->options.until_end)
        return 0;
    if (task->idle_since_ms == TIME_NONE || task->now_ms < task->idle_since_ms)
        task->idle_since_ms = task->now_ms;
    if (task->now_ms - task->idle_since_ms < idle_ms)
        return 0;
    int64_t time_ms = idle_time(task);
    if (time_ms == TIME_NONE)
        return 0;
    return advance_time(task, time_ms, false);
}

int task_restore_markers(struct task *task, const struct progress_set *set, struct diag *diag)
{
    const struct stage *stage = task->stage;
    struct port_range range;
    if (stage->input != INPUT_ROWS)
        return 0;
    TRY(task->port->ops->range(task->port, stage->input_topic, task->partition, &range, diag));
    for (uint32_t i = 0; i < set->marker_count; i++) {
        const struct time_marker *marker = &set->markers[i];
        if (marker->partition != task->partition || strcmp(marker->stage, stage->name) != 0 ||
            (!marker->closes && stage->view->source->idle_ms == 0))
            continue;
        if (memcmp(marker->input_id, stage->input_id, 16) == 0 && marker->offset >= range.start &&
            marker->offset <= range.stable)
            TRY(time_markers_add(&task->time_markers, marker->offset, marker->time_ms,
                                 marker->closes, diag));
        else
            TRY(time_markers_forget(&task->time_markers, marker->offset, diag));
    }
    time_markers_begin(&task->time_markers, task->position);
    task_apply_markers(task);
    tell_peers(task);
    return 0;
}

void task_apply_markers(struct task *task)
{
    while (time_markers_next(&task->time_markers) <= task->position) {
        int64_t time_ms = time_markers_apply(&task->time_markers);
        if (time_ms <= task->watermark_ms)
            continue;
        task->watermark_ms = time_ms;
        task->has_pending = true;
    }
}

static int send_marker(struct task *task, struct port_out *out, int64_t offset,
                       const struct time_mark *mark, struct diag *diag)
{
    struct time_marker marker = {.partition = task->partition, .offset = offset};
    struct bytes none = {NULL, 0};
    snprintf(marker.topic, sizeof marker.topic, "%s", task->stage->input_topic);
    memcpy(marker.input_id, task->stage->input_id, 16);
    buf_clear(&task->key);
    buf_clear(&task->value);
    time_marker_key(&task->key, task->stage->name, task->partition, offset);
    if (mark != NULL) {
        marker.time_ms = mark->time_ms;
        marker.closes = mark->closes;
        time_marker_value(&task->value, &marker);
    }
    if (!buf_ok(&task->key) || !buf_ok(&task->value))
        return diag_set(diag, ERR_NOMEM, "no memory for a time marker");
    return task->port->ops->out_add(
        out, task->now_ms, bytes_of(task->key.data, task->key.size),
        mark != NULL ? bytes_of(task->value.data, task->value.size) : none, none, 0, diag);
}

int task_send_markers(struct task *task, struct port_out *out, struct diag *diag)
{
    struct time_markers *markers = &task->time_markers;
    for (uint32_t i = 0; i < markers->gone_count; i++)
        TRY(send_marker(task, out, markers->gone[i], NULL, diag));
    for (uint32_t i = markers->count; i > 0 && markers->items[i - 1].is_new; i--)
        TRY(send_marker(task, out, markers->items[i - 1].offset, &markers->items[i - 1], diag));
    time_markers_written(markers);
    return 0;
}

int task_apply_raise(struct task *task, int64_t *raised_ms, struct diag *diag)
{
    int64_t raise_ms = atomic_load(&task->raise_ms);
    if (raised_ms != NULL)
        *raised_ms = raise_ms;
    if (raise_ms == TIME_NONE || raise_ms <= task->watermark_ms)
        return 0;
    task->diag = diag;
    return advance_time(task, raise_ms, true);
}
