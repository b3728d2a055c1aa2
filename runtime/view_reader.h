/* view_reader.h: the committed state of one view, to be read and not written: its stores, and what their changelogs hold beyond them.
 *
 * A store is a prefix of its changelog. What the view is as of the last commit is the store and the rest of the changelog, so the reader keeps that rest in memory and
 * looks there first. It writes nothing: neither to the store, as a restart would, nor to the log. Rows are as of the opening: the app must not run meanwhile, which the
 * caller sees to.
 *
 * Threads: any number may read; opening and closing are one thread's. */
#ifndef WEIR_RUNTIME_VIEW_READER_H
#define WEIR_RUNTIME_VIEW_READER_H

#include "runtime/plan.h"
#include "runtime/view_find.h"

struct view_reader;
/* memory_bytes bounds what is kept of changelogs, for all partitions (ERR_NOMEM with what to do). data, port and place are borrowed until the close. ERR_STATE: the view's
 * changelog is gone (it was reset). */
int view_reader_open(struct port *port, const char *data, const struct view_place *place, size_t memory_bytes, struct view_reader **reader, struct diag *diag);
void view_reader_close(struct view_reader *reader);

const struct view *view_reader_view(const struct view_reader *reader);
const struct store_view_names *view_reader_names(const struct view_reader *reader);
struct port *view_reader_port(const struct view_reader *reader);
int32_t view_reader_partitions(const struct view_reader *reader);

/* How far time has come in a partition; of a view with windows. INT64_MIN: unknown. */
struct view_time {
    int64_t watermark_ms;
    int64_t closed_before_ms;     /* no window that starts earlier is in the state */
};
struct view_time view_reader_time(const struct view_reader *reader, int32_t partition);

/* Makes a partition ready, which the functions below do by themselves. */
int view_reader_prepare(struct view_reader *reader, int32_t partition, struct diag *diag);
/* 1: found, the value copied into arena; 0: it is not there; negative: an error. */
int view_reader_get(struct view_reader *reader, int32_t partition, struct bytes key, struct arena *arena, struct bytes *value, struct diag *diag);
/* The pairs with from ≤ key < to (to.data NULL: to the end) in the order of keys, to fn, as state_scan does it: fn's last answer that is not 0, or 0. Keys of over 479 bytes that
 * share those come in any order. fn may call view_reader_get. */
int view_reader_scan(struct view_reader *reader, int32_t partition, struct bytes from, struct bytes to, int (*fn)(void *context, struct bytes key, struct bytes value),
                     void *context, struct diag *diag);

#endif
