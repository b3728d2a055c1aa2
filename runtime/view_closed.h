/* view_closed.h: the rows of windows that have closed, from the view's topic: the last record of each key, where the state has none. Memory: 24 to 48 bytes a key that is meant. */
#ifndef WEIR_RUNTIME_VIEW_CLOSED_H
#define WEIR_RUNTIME_VIEW_CLOSED_H

#include "runtime/view_scan.h"

struct view_closed;
int view_closed_open(struct view_reader *reader, const struct view_columns *columns, const struct view_access *access, size_t memory_bytes, struct view_closed **closed,
                     struct diag *diag);
void view_closed_close(struct view_closed *closed);
/* Begins behind a record; before the first rows. */
void view_closed_begin_behind(struct view_closed *closed, int32_t partition, int64_t offset);
/* The record of a row of the batch that was given last. */
void view_closed_mark(const struct view_closed *closed, uint32_t row, int32_t *partition, int64_t *offset);
/* As view_scan_next; what was left out is added to *left_out, the reason put into reason (256 bytes) when it is empty. */
int view_closed_next(struct view_closed *closed, struct arena *arena, struct batch *batch, uint64_t *left_out, char *reason, struct diag *diag);
/* 1: a window that is meant may have closed, in some partition. Takes the parts of all. */
int view_closed_is_needed(struct view_reader *reader, const struct view_access *access, struct diag *diag);
/* The partition of the topic that holds all rows of a group; -1: the topic is gone. */
int view_closed_partition(struct view_reader *reader, struct bytes group_key, struct arena *arena, struct buf *scratch, int32_t *partition, int32_t *count, struct diag *diag);

#endif
