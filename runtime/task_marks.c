/* task_marks.c: time that comes from other tasks: marks, and what rows say of their source.
 *
 * An upstream task's progress record says how far its time has come and where the partitions that it
 * writes ended then. That is a mark: when this task's position reaches the end that belongs to it,
 * everything that the time covers has been read, and it holds from there on. The watermark is the
 * least of all upstream tasks that can write this partition; one that has said nothing yet holds it
 * back. Marks are as good after a restart and after a purge as before, since the last record of each
 * task is enough.
 *
 * What an upstream task's time is, in this task's terms:
 *
 *   partials, crossed,  its watermark: rows were judged by it, or have it with them, at the source
 *   sides
 *   TIME_OF_WRITERS     its watermark without its lateness, less the lateness of this stage's source
 *   TIME_OF_CLOSING     the start of the first window behind its closing cursor: results to come are of
 *                       that window at the earliest
 *
 * TIME_HEADER is written here too, and read: decimal milliseconds, the first header of a row. It is
 * the watermark at the row's place without the lateness, so that each row that comes after a mark
 * carries at least the mark's time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/task.h"

/* Beyond any time that an event may have: windows were closed behind it, of up to a hundred years. */
#define TIME_TOLD_MAX_MS (2 * TASK_TIME_MAX_MS)

/* ---- the header ---- */

/* Two lengths of one byte (zigzag), the name, the number. */
enum { NAME_BYTES = sizeof TIME_HEADER - 1, HEAD_BYTES = NAME_BYTES + 2, DIGITS_MAX = 20 };

/* Bytes of the header when it is the row's first one; 0: it is not. */
static size_t time_header_bytes(const struct source_row *row)
{
    const uint8_t *at = row->headers.data;
    if (row->header_count == 0 || row->headers.size < HEAD_BYTES || at[0] != 2 * NAME_BYTES ||
        memcmp(at + 1, TIME_HEADER, NAME_BYTES) != 0 || (at[HEAD_BYTES - 1] & 1) != 0 ||
        at[HEAD_BYTES - 1] > 2 * DIGITS_MAX)
        return 0;
    size_t size = HEAD_BYTES + at[HEAD_BYTES - 1] / 2u;
    return size <= row->headers.size ? size : 0;
}

bool task_row_time(const struct source_row *row, int64_t *time_ms)
{
    size_t size = time_header_bytes(row);
    char text[DIGITS_MAX + 1], *end;
    if (size <= HEAD_BYTES)
        return false;
    memcpy(text, row->headers.data + HEAD_BYTES, size - HEAD_BYTES);
    text[size - HEAD_BYTES] = '\0';
    *time_ms = strtoll(text, &end, 10);
    return *end == '\0' && *time_ms >= TASK_TIME_MIN_MS && *time_ms <= TIME_TOLD_MAX_MS;
}

int task_tell_time(struct task *task, const struct source_row *row, int64_t watermark_ms,
                   struct bytes *headers, int32_t *header_count)
{
    char text[DIGITS_MAX + 1];
    size_t old = time_header_bytes(row);
    /* A stage that has heard of no time yet: nothing is late by it. */
    int64_t time_ms =
        watermark_ms == TIME_NONE ? TASK_TIME_MIN_MS : watermark_ms + stage_lag_ms(task->stage);
    int size = snprintf(text, sizeof text, "%lld", (long long)time_ms);
    buf_clear(&task->headers);
    port_header_add(&task->headers, TIME_HEADER, bytes_of(text, (size_t)size));
    buf_append(&task->headers, row->headers.data + old, row->headers.size - old);
    if (!buf_ok(&task->headers))
        return ERR_NOMEM;
    *headers = bytes_of(task->headers.data, task->headers.size);
    *header_count = row->header_count + (old == 0);
    return 0;
}

/* ---- marks ---- */

int task_open_marks(struct task *task, struct diag *diag)
{
    const struct stage *stage = task->stage;
    uint32_t count = 0;
    if (stage->input == INPUT_ROWS && stage->time == TIME_OF_ROWS)
        return 0;
    const struct stage *writers = &task->plan->stages[stage->upstream];
    for (uint32_t w = 0; w < stage->upstream_count; w++)
        count += (uint32_t)writers[w].partitions;
    task->marks = calloc(count + 1, sizeof *task->marks);
    if (task->marks == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for watermarks");
    for (uint32_t w = 0; w < stage->upstream_count; w++)
        for (int32_t p = 0; p < writers[w].partitions; p++) {
            int32_t only = stage_only_output(&writers[w], p);
            bool can_write = only < 0 || only == task->partition;
            task->marks[task->mark_count++].applied_ms = can_write ? TIME_NONE : INT64_MAX;
        }
    return 0;
}

static int add_mark(struct marks *marks, int64_t end, int64_t watermark_ms, struct diag *diag)
{
    /* The topic was made anew since: what was said of the old one holds no more. */
    while (marks->count > 0 && marks->items[marks->first + marks->count - 1].end > end)
        marks->count--;
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

static int64_t told_time(const struct stage *reader, const struct stage *writer,
                         const struct progress *progress)
{
    int64_t start_ms;
    if (reader->time == TIME_OF_CLOSING)
        return progress->closed_before_ms != TIME_NONE &&
                       window_first_from(&writer->view->group->window, progress->closed_before_ms,
                                         &start_ms)
                   ? start_ms
                   : TIME_NONE;
    /* A join's time is told as far as all has come out that was due (task_flush). */
    int64_t writer_ms =
        writer->input == INPUT_SIDES ? progress->closed_before_ms : progress->watermark_ms;
    if (reader->input != INPUT_ROWS || writer_ms == TIME_NONE)
        return writer_ms;
    return writer_ms + stage_lag_ms(writer) - reader->view->source->number_ms;
}

int task_take_mark(struct task *task, const struct progress *progress, struct diag *diag)
{
    const struct stage *stage = task->stage;
    uint32_t first = 0;
    if (task->mark_count == 0 || (uint32_t)task->partition >= progress->end_count)
        return 0;
    if (progress->is_reset || progress->is_begin)
        return 0; /* its time and its ends are those of another life */
    for (uint32_t w = 0; w < stage->upstream_count; w++) {
        const struct stage *writer = &task->plan->stages[(uint32_t)stage->upstream + w];
        if (strcmp(writer->name, progress->stage) != 0) {
            first += (uint32_t)writer->partitions;
            continue;
        }
        int64_t time_ms = told_time(stage, writer, progress);
        return time_ms == TIME_NONE || progress->partition >= writer->partitions
                   ? 0
                   : add_mark(&task->marks[first + (uint32_t)progress->partition],
                              progress->ends[task->partition], time_ms, diag);
    }
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
    if (lowest != INT64_MAX && lowest > task->watermark_ms) {
        task->watermark_ms = lowest;
        task->has_pending = true;
    }
}
