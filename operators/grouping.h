/* grouping.h: what preaggregate, aggregate and merge share: a table of groups over an optional store. Private to operators/. */
#ifndef WEIR_OPERATORS_GROUPING_H
#define WEIR_OPERATORS_GROUPING_H

#include "operators/group_key.h"
#include "operators/op.h"

enum {
    GROUP_CLOSE_ROWS_PER_COMMIT = 100000,
    GROUP_KEY_MAX_BYTES = 65536 - 8, /* a store's key (state.h) less the window's start */
    GROUP_VALUES_MAX_BYTES = 32 << 20, /* of all texts that min and max keep for a group: half of a store's value */
    GROUP_VALUE_MAX_BYTES = 1 << 20,   /* of one of them */
};

struct group_op {
    struct op op;
    struct agg_table *table;
    struct agg_table *runs;       /* aggregate over hopping windows: rows since the last commit by run of windows; else NULL */
    struct pair_index *ordered;   /* pairs of the table whose values have an order (counted.c); NULL without */
    struct session_out *session;  /* group_session.c; NULL without session windows */
    int64_t commit_number;        /* that entries flushed from now on belong to */
    int64_t closed_before_ms;     /* windows that start before this are closed for good */
    size_t evict_cursor;          /* where the last eviction ended */
    int64_t evicted_commit;       /* of the store, when the last eviction found all that it could (has_evicted) */
    bool has_evicted;
    int64_t max_window_ms;        /* the highest window start ever touched */
    int64_t store_bound_ms;       /* no window that starts later is in the store and not in the table */
    bool store_may_have;          /* the store may hold groups that the table does not */
    struct agg_entry **closing;   /* entries of the window that is being closed */
    size_t closing_count, closing_capacity;
    size_t closing_first;         /* not closed yet: closing[closing_first …] */
    size_t closing_next;          /* given out, to be removed: closing[closing_first … closing_next) */
    int64_t closing_window_ms;
    uint32_t closed_rows;         /* in the commit being made */
    struct buf store_key, encoded, text;
    struct buf nothing;           /* of rows that may be taken back: what a group is that none is left of, encoded; else empty */
    struct arena load;            /* keys and values on their way from the store; reset after each batch of loads */
};

int group_open(struct op *op, struct op_env *env, struct diag *diag);
void group_close(struct op *op);
/* The windows of the selected rows (for hopping ones: packed runs); missed windows go to call->late, rows that no window took leave the
 * selection, rows whose window cannot be expressed are rejected. */
int group_assign_windows(const struct group_params *params, struct op_call *call, struct batch *batch, int64_t *starts);
/* Makes those entries that a probe created (is_new) what the store has of them; entries may repeat. */
int group_load_entries(struct group_op *group, struct agg_entry *const *entries, uint32_t count, struct diag *diag);
/* Rows → accumulators: groups, arguments, window and lateness, placement, probe, load, update. */
int group_update_rows(struct group_op *group, struct op_call *call, const struct batch *in);
/* Rejects rows that group_update_rows would, of a view without windows. */
int group_check_rows(const struct group_params *params, struct op_call *call, struct batch *batch);
/* Puts entries on the table's dirty list; rows[i] is the row of entries[i]. ERR_NOMEM. */
int group_mark_entries(struct agg_table *table, struct agg_entry *const *entries, uint32_t count, void **rows);
/* Partials → accumulators. */
int group_merge_partials(struct group_op *group, struct op_call *call, const struct batch *in);
/* group_hopping.c: partials → accumulators, each into every window of its run. ERR_CORRUPT, ERR_STATE (a window is closed), ERR_NOMEM. */
int group_merge_runs(struct group_op *group, struct op_call *call, const struct batch *in);
/* Merges what the rows since the last commit came to into their windows. OP_MORE: there is more; OP_DONE. */
int group_fold_runs(struct group_op *group, struct op_call *call);
/* Partials → accumulators, each into the window that it names. */
int group_merge_windows(struct group_op *group, struct op_call *call, const struct batch *in);
/* The value of an entry, as changelogs and partials hold it, into group->encoded. */
void group_encode_entry(struct group_op *group, const struct agg_entry *entry);
/* The next batch of changed groups as partials (OP_MORE), or OP_DONE after the last one, with the table cleared. */
int group_flush_partials(struct group_op *group, struct op_call *call, struct batch *out);
/* Changelog records of changed groups and, unless final, a batch of results. */
int group_flush_results(struct op *op, struct op_call *call, struct batch *out);
/* A changelog record of an entry, in the commit being made. */
int group_write_change(struct group_op *group, struct agg_entry *entry, bool is_tombstone);
int group_session_open(struct group_op *group);
void group_session_close(struct group_op *group);
/* Sets the arguments of the accumulators that group_session_calls added. */
void group_session_arguments(const struct group_params *params, const struct batch *batch, struct column *arguments);
/* Where a session starts and ends, by the results of its accumulators. */
void group_session_bounds(const struct group_params *params, const struct column *results, uint32_t at, int64_t *start_ms, int64_t *end_ms);
/* Tombstones of sessions that are gone: OP_MORE with a batch, OP_DONE when there is none (left). Ends what the batch before borrowed. */
int group_session_gone(struct group_op *group, struct op_call *call, struct batch *out);
/* Changelog records of changed cells, and the sessions that they belong to. */
int group_session_results(struct group_op *group, struct op_call *call, struct agg_entry *const *entries, uint32_t n, struct batch *out);
/* A cell is closing: when its session goes on in the next cell it is merged into that one, else it has ended. */
int group_session_ended(struct group_op *group, struct agg_entry *cell, bool *has_ended, struct diag *diag);
/* Makes an entry what the store holds of it. ERR_CORRUPT with a sentence. */
int group_decode_entry(const struct group_op *group, struct agg_entry *entry, struct bytes value, struct diag *diag);
/* The results of n entries. */
int group_build_entries(struct group_op *group, struct op_call *call, struct agg_entry *const *entries, uint32_t n, struct batch *out);
/* A window has been begun and not closed to its end. */
bool group_is_closing(const struct group_op *group);
/* Closes windows: results when final, and tombstones. */
int group_advance(struct op *op, struct op_call *call, int64_t watermark_ms, struct batch *out);

#endif
