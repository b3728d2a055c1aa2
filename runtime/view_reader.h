/* view_reader.h: one question's look at a view: of each partition that it asks, the state as of one commit, the same from the first look to the last.
 *
 * A reader takes a partition's part from the source (view_source.h) when it is first asked for; of a job that runs that is its latest commit. Parts of several partitions are
 * each as of a commit of their own.
 *
 * A part of a running job lasts STATE_READER_MS, and less when its store must move (ERR_STOPPED, view_reader_is_lost): begin again, then.
 *
 * One thread uses a reader. */
#ifndef WEIR_RUNTIME_VIEW_READER_H
#define WEIR_RUNTIME_VIEW_READER_H

#include "runtime/view_source.h"

struct view_reader;
/* source outlives the reader. ERR_NOMEM. */
int view_reader_open(struct view_source *source, struct view_reader **reader, struct diag *diag);
void view_reader_close(struct view_reader *reader);
/* Of a job that runs: the next look at each partition is at its latest commit. */
void view_reader_renew(struct view_reader *reader);
/* A part was taken away since it was opened or renewed: what was read is worth nothing. */
bool view_reader_is_lost(const struct view_reader *reader);

const struct view *view_reader_view(const struct view_reader *reader);
const struct store_view_names *view_reader_names(const struct view_reader *reader);
struct port *view_reader_port(const struct view_reader *reader);
int32_t view_reader_partitions(const struct view_reader *reader);

/* Takes a partition's part, which get and scan do by themselves. */
int view_reader_prepare(struct view_reader *reader, int32_t partition, struct diag *diag);
/* Of a partition whose part was taken; else unknown. */
struct view_time view_reader_time(const struct view_reader *reader, int32_t partition);
/* 1: found, the value copied into arena; 0: it is not there; negative: an error. */
int view_reader_get(struct view_reader *reader, int32_t partition, struct bytes key, struct arena *arena, struct bytes *value, struct diag *diag);
/* The pairs with from ≤ key < to (to.data NULL: to the end) in the order of keys, to fn, as state_scan does it: fn's last answer that is not 0, or 0. Keys of over 479 bytes that
 * share those come in any order. fn may call view_reader_get. */
int view_reader_scan(struct view_reader *reader, int32_t partition, struct bytes from, struct bytes to, int (*fn)(void *context, struct bytes key, struct bytes value),
                     void *context, struct diag *diag);

#endif
