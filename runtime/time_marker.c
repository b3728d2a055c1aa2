/* time_marker.c: records of how far the wall clock took an idle partition, or the end of a run all of
 * them (see time_marker.h).
 *
 * Rows alone decide the time of a partition, so that a replay gives the same verdicts. Where the
 * wall clock or close_windows took part, what they did becomes part of the log: not in the source topic, which may
 * belong to others, but beside the progress of the stage, in the same commit. While a partition
 * stays idle its marker is overwritten (the same key); a new one begins after the next row.
 *
 * They do not pile up. When the first row after a marker carries time at least as far as the marker
 * did, every verdict from there on is the same without it, and windows that it closed earlier are
 * closed by that row in a replay, before any other row is judged: it is taken back. In a live
 * stream that is nearly always so. What stays are markers that made a row late, or could; those go
 * when the source's retention has passed them. Stages of one source have markers of their own,
 * since each has its own lateness and its own pace. */
#include "runtime/time_marker.h"
#include "runtime/progress_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char prefix[] = "time/";

bool time_marker_is_key(struct bytes key)
{
    return progress_place_is(key, prefix);
}

void time_marker_key(struct buf *key, const char *stage, int32_t partition, int64_t offset)
{
    progress_put_place(key, prefix, stage, partition, offset);
}

void time_marker_value(struct buf *value, const struct time_marker *marker)
{
    buf_printf(value, "{\"version\":1,\"topic\":\"%s\"", marker->topic);
    progress_put_id(value, "input", marker->input_id);
    buf_printf(value, ",\"partition\":%d,\"offset\":%lld,\"time\":%lld%s}", (int)marker->partition,
               (long long)marker->offset, (long long)marker->time_ms,
               marker->closes ? ",\"closes\":true" : "");
}

static int damaged(struct bytes key, struct diag *diag)
{
    return diag_set(diag, ERR_CORRUPT, "a time marker does not decode (key %.*s)",
                    (int)(key.size < 100 ? key.size : 100), (const char *)key.data);
}

int time_marker_decode_key(struct bytes key, struct time_marker *marker, struct diag *diag)
{
    return progress_get_place(key, prefix, marker->stage, &marker->partition, &marker->offset) < 0
               ? damaged(key, diag)
               : 0;
}

static bool decode_value(const json_t *object, struct time_marker *marker)
{
    const char *topic = json_string_value(json_object_get(object, "topic"));
    const json_t *time = json_object_get(object, "time");
    if (json_integer_value(json_object_get(object, "version")) != 1 || topic == NULL ||
        progress_get_id(object, "input", marker->input_id) < 0 || !json_is_integer(time))
        return false;
    snprintf(marker->topic, sizeof marker->topic, "%s", topic);
    marker->time_ms = json_integer_value(time);
    marker->closes = json_is_true(json_object_get(object, "closes"));
    return true;
}

int time_marker_decode(struct bytes key, struct bytes value, struct time_marker *marker,
                       struct diag *diag)
{
    json_error_t error;
    memset(marker, 0, sizeof *marker);
    TRY(time_marker_decode_key(key, marker, diag));
    json_t *object = json_loadb((const char *)value.data, value.size, 0, &error);
    bool is_good = object != NULL && decode_value(object, marker);
    json_decref(object);
    return is_good ? 0 : damaged(key, diag);
}

/* ---- the list of a task ---- */

void time_markers_deinit(struct time_markers *markers)
{
    free(markers->items);
    free(markers->gone);
    *markers = (struct time_markers){0};
}

/* Room for one more of size bytes each. */
static int make_room(void **items, uint32_t count, uint32_t *capacity, size_t size,
                     struct diag *diag)
{
    if (count < *capacity)
        return 0;
    uint32_t grown = *capacity != 0 ? *capacity * 2 : 8;
    void *bigger = realloc(*items, grown * size);
    if (bigger == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for time markers");
    *items = bigger;
    *capacity = grown;
    return 0;
}

static int add_at(struct time_markers *markers, uint32_t at, struct time_mark mark,
                  struct diag *diag)
{
    void *items = markers->items;
    int rc = make_room(&items, markers->count, &markers->capacity, sizeof mark, diag);
    markers->items = items;
    TRY(rc);
    memmove(markers->items + at + 1, markers->items + at,
            (markers->count - at) * sizeof *markers->items);
    markers->items[at] = mark;
    markers->count++;
    return 0;
}

int time_markers_add(struct time_markers *markers, int64_t offset, int64_t time_ms, bool closes,
                     struct diag *diag)
{
    uint32_t at = markers->count;
    while (at > 0 && markers->items[at - 1].offset > offset)
        at--;
    if (at > 0 && markers->items[at - 1].offset == offset) {
        markers->items[at - 1].time_ms = time_ms;
        markers->items[at - 1].closes = closes;
        return 0;
    }
    return add_at(markers, at, (struct time_mark){offset, time_ms, closes, false}, diag);
}

void time_markers_begin(struct time_markers *markers, int64_t position)
{
    markers->next = 0;
    while (time_markers_next(markers) < position)
        markers->next++;
    markers->is_open = false;
}

int64_t time_markers_apply(struct time_markers *markers)
{
    must(markers->next < markers->count);
    markers->is_open = true;
    return markers->items[markers->next++].time_ms;
}

int time_markers_set(struct time_markers *markers, int64_t offset, int64_t time_ms, bool closes,
                     struct diag *diag)
{
    struct time_mark *last = markers->count > 0 ? &markers->items[markers->count - 1] : NULL;
    must(last == NULL || last->offset <= offset);
    if (last == NULL || last->offset < offset)
        TRY(add_at(markers, markers->count, (struct time_mark){offset, time_ms, closes, true},
                   diag));
    last = &markers->items[markers->count - 1];
    last->time_ms = time_ms;
    last->closes |= closes; /* once it counts without an idle time it always does */
    last->is_new = true;
    markers->next = markers->count;
    markers->is_open = true;
    return 0;
}

int time_markers_forget(struct time_markers *markers, int64_t offset, struct diag *diag)
{
    void *gone = markers->gone;
    int rc = make_room(&gone, markers->gone_count, &markers->gone_capacity, sizeof offset, diag);
    markers->gone = gone;
    TRY(rc);
    markers->gone[markers->gone_count++] = offset;
    return 0;
}

/* A tombstone is written also for a marker that never was: who set it may have committed it in an
 * earlier commit of this offset. */
static int remove_at(struct time_markers *markers, uint32_t first, uint32_t count,
                     struct diag *diag)
{
    for (uint32_t i = 0; i < count; i++)
        TRY(time_markers_forget(markers, markers->items[first + i].offset, diag));
    memmove(markers->items + first, markers->items + first + count,
            (markers->count - first - count) * sizeof *markers->items);
    markers->count -= count;
    markers->next -= markers->next >= first + count ? count : 0;
    return 0;
}

int time_markers_close(struct time_markers *markers, int64_t watermark_ms, struct diag *diag)
{
    must(markers->is_open && markers->next > 0);
    markers->is_open = false;
    if (watermark_ms < markers->items[markers->next - 1].time_ms)
        return 0;
    return remove_at(markers, markers->next - 1, 1, diag);
}

int time_markers_drop_before(struct time_markers *markers, int64_t offset, struct diag *diag)
{
    uint32_t count = 0;
    while (count < markers->next && markers->items[count].offset < offset)
        count++;
    if (count > 0 && count == markers->next)
        markers->is_open = false;
    return count > 0 ? remove_at(markers, 0, count, diag) : 0;
}

void time_markers_written(struct time_markers *markers)
{
    for (uint32_t i = markers->count; i > 0 && markers->items[i - 1].is_new; i--)
        markers->items[i - 1].is_new = false;
    markers->gone_count = 0;
}
