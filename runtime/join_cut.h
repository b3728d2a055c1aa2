/* join_cut.h: "before the record at this offset of the stream, the tables were read up to here": what a live run, or one that read by time, did, kept so that a replay does it again.
 *
 * One record of <app>-progress each, written in the commit that read the tables on. Key: "cut/<stage>/<partition>/<offset>", so that compaction keeps the latest of each
 * offset; value: a JSON object (docs/formats-engine.md). A tombstone takes back a cut that no replay can come to any more.
 *
 * A cut in rows: those of the stream from its offset on met the tables as of its positions. A cut by time covers a range of the stream: rows from offset to end met the rows of tables, up to its
 * positions, by their times; what lies below where the tables were when it began came before all of them. */
#ifndef WEIR_RUNTIME_JOIN_CUT_H
#define WEIR_RUNTIME_JOIN_CUT_H

#include "runtime/plan.h"
#include "runtime/progress.h"

/* As a record holds it. */
struct join_cut {
    char stage[STAGE_NAME_BYTES];
    int32_t partition;
    uint8_t input_id[16];
    int64_t offset, end;              /* end: of a cut by time */
    bool by_time;
    bool is_gone;                     /* a tombstone: it was taken back */
    struct progress_table *tables;    /* every partition of every table */
    uint32_t table_count;
    int64_t *begins;                  /* of a cut by time: where each of them was before; else NULL */
};

bool join_cut_is_key(struct bytes key);
void join_cut_key(struct buf *key, const char *stage, int32_t partition, int64_t offset);
void join_cut_value(struct buf *value, const struct join_cut *cut);
/* value.data NULL: is_gone. ERR_CORRUPT with the reason. tables is malloc'ed; join_cut_deinit frees it. */
int join_cut_decode(struct bytes key, struct bytes value, struct join_cut *cut, struct diag *diag);
void join_cut_deinit(struct join_cut *cut);
/* The cuts of one task among those of a progress topic, by offset and the latest of each offset alone, those that were taken back among them. *cuts has cut_count of the
 * set as its room; pointers borrow from the set. Returns how many. */
uint32_t join_cuts_of_task(const struct progress_set *set, const char *stage, int32_t partition, const struct join_cut **cuts);
/* Whether a cut of the stage's task on a partition is about the topics that it reads now, the same partitions of each. */
bool join_cut_fits(const struct join_cut *cut, const struct stage *stage, int32_t partition);

/* What one task knows of its cuts: those to come in a replay, and the offsets of all that stand in the topic. */
struct join_cuts {
    struct cut_step {
        int64_t offset, end;
        bool by_time;
        int64_t *positions;           /* by table input, and behind them, of one by time, the begins; NULL: behind the task, and only its offset is kept */
    } *items;                         /* by offset */
    uint32_t count, capacity;
    uint32_t next;                    /* items before it were followed */
    int64_t *gone;                    /* offsets of cuts to be taken back */
    uint32_t gone_count, gone_capacity;
};
/* So many a task are kept; the oldest go first. A replay that begins before the oldest sees, up to there, the tables of the oldest. */
enum { JOIN_CUTS_MAX = 20000 };
void join_cuts_deinit(struct join_cuts *cuts);
/* Adds one, at or behind the last (an equal offset: in its place); takes over positions (malloc'ed, may be NULL), also on failure. ERR_NOMEM. */
int join_cuts_add(struct join_cuts *cuts, const struct cut_step *step, struct diag *diag);
/* The next one to follow; NULL: none. */
static inline struct cut_step *join_cuts_next(const struct join_cuts *cuts)
{
    return cuts->next < cuts->count ? &cuts->items[cuts->next] : NULL;
}
/* It was followed: its positions are given back. */
void join_cuts_pass(struct join_cuts *cuts);
/* Takes back cuts that no row from `offset` on needs (the one in force there stays), and the oldest over the limit. */
int join_cuts_drop_before(struct join_cuts *cuts, int64_t offset, struct diag *diag);
/* Takes back one that is not in the list. */
int join_cuts_forget(struct join_cuts *cuts, int64_t offset, struct diag *diag);

#endif
