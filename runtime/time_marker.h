/* time_marker.h: "before the record at this offset of this source partition, time came up to this": what idle_close and close_windows did, kept so that a
 * replay does it again.
 *
 * One record of <app>-progress each, written in the commit that holds the raised watermark. Key: "time/<stage>/<partition>/<offset>", so that compaction
 * keeps the latest time of each offset; value: a JSON object (docs/formats-engine.md). A tombstone takes back a marker that says nothing any more.
 *
 * One thread owns a list. */
#ifndef WEIR_RUNTIME_TIME_MARKER_H
#define WEIR_RUNTIME_TIME_MARKER_H

#include <stdbool.h>

#include "runtime/base/bytes.h"
#include "runtime/base/error.h"

enum { STAGE_NAME_BYTES = 400 };      /* a view's name of up to 130 characters, a colon and a topic's of up to 249, a number */

struct time_marker {
    char stage[STAGE_NAME_BYTES];
    int32_t partition;
    char topic[250];                  /* the source, for who reads the topic; the id decides */
    uint8_t input_id[16];
    int64_t offset, time_ms;
    bool closes;                      /* close_windows had a part in it: it counts whether or not the source has an idle time */
};

bool time_marker_is_key(struct bytes key);
void time_marker_key(struct buf *key, const char *stage, int32_t partition, int64_t offset);
void time_marker_value(struct buf *value, const struct time_marker *marker);
/* Fills stage, partition and offset; ERR_CORRUPT with the reason. */
int time_marker_decode_key(struct bytes key, struct time_marker *marker, struct diag *diag);
int time_marker_decode(struct bytes key, struct bytes value, struct time_marker *marker, struct diag *diag);

/* What one task knows of its markers: those to come in a replay, those behind it, and what its next commit has to write. */
struct time_markers {
    struct time_mark {
        int64_t offset, time_ms;
        bool closes;
        bool is_new;                  /* to be written */
    } *items;                         /* by offset */
    uint32_t count, capacity;
    uint32_t next;                    /* items before it were applied */
    bool is_open;                     /* items[next - 1] was applied and no row with a time has come since */
    int64_t *gone;                    /* offsets of markers to be taken back */
    uint32_t gone_count, gone_capacity;
};
void time_markers_deinit(struct time_markers *markers);
/* Adds a marker read from the topic, in any order. */
int time_markers_add(struct time_markers *markers, int64_t offset, int64_t time_ms, bool closes, struct diag *diag);
/* A task begins at this position: what lies before it was applied. */
void time_markers_begin(struct time_markers *markers, int64_t position);
/* Offset of the next marker to apply; INT64_MAX: none. */
static inline int64_t time_markers_next(const struct time_markers *markers)
{
    return markers->next < markers->count ? markers->items[markers->next].offset : INT64_MAX;
}
/* Applies the next one: its time. */
int64_t time_markers_apply(struct time_markers *markers);
/* A new time at offset, behind all others: written with the next commit. */
int time_markers_set(struct time_markers *markers, int64_t offset, int64_t time_ms, bool closes, struct diag *diag);
/* The first row with a usable time since the last marker came: its watermark alone, by itself, is watermark_ms. When that is no lower than the marker's time, the
 * marker changed no verdict and a replay needs it no more. */
int time_markers_close(struct time_markers *markers, int64_t watermark_ms, struct diag *diag);
/* Takes back what lies before offset: those records are gone and cannot be replayed. */
int time_markers_drop_before(struct time_markers *markers, int64_t offset, struct diag *diag);
/* Takes back a marker that is not in the list. */
int time_markers_forget(struct time_markers *markers, int64_t offset, struct diag *diag);
/* What was to be written has been. */
void time_markers_written(struct time_markers *markers);

#endif
