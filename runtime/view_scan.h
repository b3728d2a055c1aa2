/* view_scan.h: the rows of a view, as batches: of groups without windows, and of windows that the engine has not closed yet, from its state; of the others from its topic.
 *
 * What need not be read is said by a view_access: whole groups or a range of them, a range of windows. A scan gives every row that is inside, and may give others. */
#ifndef WEIR_RUNTIME_VIEW_SCAN_H
#define WEIR_RUNTIME_VIEW_SCAN_H

#include "runtime/view_columns.h"
#include "runtime/view_reader.h"

enum window_part { WINDOWS_ALL, WINDOWS_OPEN, WINDOWS_CLOSED };
struct view_access {
    bool is_empty;                /* no row can be meant */
    struct bytes *points;         /* keys of groups (group_key.h), each once: no other group is meant; NULL: see low and high */
    uint32_t point_count;
    struct bytes low, high;       /* low ≤ group key < high; high.data NULL: to the end */
    int64_t window_from_ms, window_to_ms; /* window_from ≤ window_start ≤ window_to; of views with windows */
    enum window_part part;
};

/* A row's place among all that a scan gives: what another scan goes on behind. Of the state: the partition of the store, and the key, at most STATE_ORDERED_BYTES of it; of closed
 * windows, which come behind: the partition of the topic, and the record's offset. */
struct view_mark {
    int32_t partition;
    bool is_closed;
    int64_t offset;
    struct buf key;               /* of the state; the owner's to free */
};

struct view_scan;
/* All is borrowed until the close. memory_bytes bounds what is kept to find the last record of each key of the topic. */
int view_scan_open(struct view_reader *reader, const struct view_columns *columns, const struct view_access *access, size_t memory_bytes, struct view_scan **scan,
                   struct diag *diag);
void view_scan_close(struct view_scan *scan);
/* 1: a batch of rows (its selection, which may be empty: there may be more all the same), in the columns of view_columns, in the arena until the next call; 0: the end. room: how many rows are wanted, a hint. */
int view_scan_next(struct view_scan *scan, uint32_t room, struct arena *arena, struct batch *batch, struct diag *diag);
/* Begins behind a mark; before the first rows. ERR_NOMEM. */
int view_scan_begin_behind(struct view_scan *scan, const struct view_mark *mark);
/* The place of a row (by number, not by selection) of the batch that was given last; mark: zeroed, or used before. ERR_NOMEM. */
int view_scan_mark(const struct view_scan *scan, uint32_t row, struct view_mark *mark);
/* Rows of the view that have no values any more that can be written (a sum of over 38 digits, a division by zero behind the aggregate), or records of its topic that no view
 * wrote: they were left out. *reason: of the first one, until the close. */
uint64_t view_scan_left_out(const struct view_scan *scan, const char **reason);

/* Shared by view_scan.c and view_closed.c: the store's partition of a group, and whether the state has a row of this group with this window_start. */
int view_scan_partition(struct view_reader *reader, struct bytes group_key, struct arena *arena, struct buf *scratch);
/* 1: it has, 0: it has not. */
int view_state_has(struct view_reader *reader, int32_t partition, struct bytes group_key, int64_t window_start_ms, struct arena *arena, struct diag *diag);
bool view_access_takes(const struct view_access *access, struct bytes group_key, int64_t window_start_ms, bool is_windowed);

#endif
