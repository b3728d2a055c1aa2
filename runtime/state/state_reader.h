/* state_reader.h: reading a store that somebody else in this process has open, beside its owner's threads.
 *
 * An LMDB environment may be open once in a process, so that who wants to look into a store that a task works with takes part in the task's handle: a reader has a snapshot
 * of its own and shares the map. It waits for nobody, and its owner never waits for it longer than for STATE_PAUSE_PAIRS pairs of a scan: when the map must grow, or the
 * store closes, readers lose their snapshot and are told so.
 *
 * A snapshot keeps LMDB from using again the pages that it sees, so it has an end: from STATE_READER_MS on, the owner's next write takes it away.
 *
 * Threads: a reader is used by one thread at a time; any number of readers. */
#ifndef WEIR_STATE_STATE_READER_H
#define WEIR_STATE_STATE_READER_H

#include "runtime/state/state.h"

enum { STATE_READER_MS = 10000 };

struct state_reader;
/* A snapshot of the store in this directory. ERR_NOT_FOUND: no store is open there in this process. */
int state_reader_open(const char *dir, struct state_reader **reader, struct diag *diag);
/* NULL is allowed. Also after the store was closed. */
void state_reader_close(struct state_reader *reader);
/* Of the snapshot, when it was taken. */
struct state_position state_reader_position(const struct state_reader *reader);
/* As state_get, state_scan and state_stat, in the snapshot. ERR_STOPPED: it is gone; begin again with a new reader. fn may call state_reader_get. */
int state_reader_get(struct state_reader *reader, struct bytes key, struct arena *arena, struct bytes *value, struct diag *diag);
int state_reader_scan(struct state_reader *reader, struct bytes from, struct bytes to, int (*fn)(void *context, struct bytes key, struct bytes value), void *context,
                      struct diag *diag);
int state_reader_stat(struct state_reader *reader, struct state_statistics *statistics, struct diag *diag);

#endif
