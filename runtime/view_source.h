/* view_source.h: one view of a data directory, to be read: where its rows as of its last commit come from. Shared by all who ask it.
 *
 * A store is a prefix of its changelog. What the view is as of a commit is the store, and what the changelog holds beyond it up to there. A source keeps that rest in memory
 * (view_tail.h) and gives out parts: of a partition a snapshot of the store, the rest, and how far time had come, all as of one commit of the task that writes them.
 *
 * Of a job that does not run the source opens the stores itself, and all is as of its last commit. Of one that runs in this process, its stores are open already
 * (state_reader.h), and each part is as of the latest commit that readers of the log see; the job is neither asked nor held up.
 *
 * Threads: any, but for opening and closing. */
#ifndef WEIR_RUNTIME_VIEW_SOURCE_H
#define WEIR_RUNTIME_VIEW_SOURCE_H

#include "runtime/plan.h"
#include "runtime/state/state_reader.h"
#include "runtime/view_find.h"
#include "runtime/view_tail.h"

struct view_source;
/* memory_bytes bounds what is kept of changelogs, for all partitions (ERR_NOMEM with what to do). runs: the job runs in this process. data, port and place are borrowed until
 * the close. ERR_STATE: the view's changelog is gone (it was reset). */
int view_source_open(struct port *port, const char *data, const struct view_place *place, bool runs, size_t memory_bytes, struct view_source **source, struct diag *diag);
void view_source_close(struct view_source *source);

const struct view *view_source_view(const struct view_source *source);
const struct store_view_names *view_source_names(const struct view_source *source);
struct port *view_source_port(const struct view_source *source);
int32_t view_source_partitions(const struct view_source *source);
bool view_source_runs(const struct view_source *source);

/* How far time has come in a partition; of a view with windows. INT64_MIN: unknown. */
struct view_time {
    int64_t watermark_ms;
    int64_t closed_before_ms;     /* no window that starts earlier is in the state */
};
struct view_part {
    struct state_reader *state;   /* NULL: the rest has everything */
    struct tail_runs rest;
    struct view_time time;
    int64_t position;             /* of the task's input: rows before it are counted in; -1: it has not committed */
};
/* Waits at most VIEW_SETTLE_MS for what is committed to be seen everywhere. ERR_STOPPED: the partition's store is not open: it is being restored, or its pipeline is
 * stopped. ERR_NOMEM: what changed since the last checkpoint is over the source's memory. */
enum { VIEW_SETTLE_MS = 2000 };
int view_source_take(struct view_source *source, int32_t partition, struct view_part *part, struct diag *diag);
void view_part_release(struct view_part *part);
/* Its memory was full since this was last asked: a checkpoint would help. */
bool view_source_wants_checkpoint(struct view_source *source);

#endif
