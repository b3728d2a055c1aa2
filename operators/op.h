/* op.h: the contract between operators and the chain that drives them, and the one table that lists them.
 *
 * An operator is a type (struct op_type: what it can do) and instances (struct op: its type, its parameters, its state).
 * Only the chain calls operators; operators never call each other, never touch the log, and allocate from the batch's arena
 * (struct op_call) or, for state, from memory that they own.
 *
 *   open      once; keeps pointers to params (they outlive the instance)
 *   process   takes a batch, may give batches: OP_DONE = this input is used up (out holds a last batch or none:
 *             out->row_count 0), OP_MORE = pass out on and call again with the same input
 *   advance   time moved: windows that end at or before watermark_ms close. OP_MORE / OP_DONE as above, and OP_AGAIN: enough for
 *             one commit, call again in the next one. NULL: time does not matter to it. Of an operator on rows: what it keeps
 *             grows old; it gives rows only when gives_results
 *   flush     a commit is being made: give what changed since the last one. NULL: nothing is held
 *   close     frees what the instance owns
 *
 * `in` is read-only: a filter shares its columns and writes only a selection. A row that cannot be processed goes to call->rejects (a dead
 * letter), a late one to call->late; both leave the selection. Negative return values are errors of the environment.
 * One thread owns an instance. */
#ifndef WEIR_OPERATORS_OP_H
#define WEIR_OPERATORS_OP_H

#include "operators/agg_table.h"
#include "operators/aggregate.h"
#include "operators/column.h"
#include "operators/expr.h"
#include "operators/json_encode.h"
#include "operators/window.h"
#include "operators/window_local.h"
#include "runtime/base/hash.h"
#include "runtime/base/io.h"
#include "runtime/state/state.h"

enum { OP_DONE = 0, OP_MORE = 1, OP_AGAIN = 2 };

/* A window that had closed when a row came that it would hold. */
struct late_row {
    uint32_t row;
    int64_t window_start_ms, window_end_ms, lateness_ms;
    bool counts;                      /* the row counts as late: no window took it. Set once for such a row */
    uint32_t taken;                   /* other windows that took the row */
    const char *element;              /* of a made row, as in struct reject; set by the chain */
};

/* What an operator may use; one a task, made by the runtime, valid as long as the instance. */
struct op_env {
    struct state *state;              /* the task's store; NULL for stateless tasks */
    /* Adds a changelog record to the commit being made; value.data NULL is a tombstone. Copies. */
    int (*changelog)(void *context, struct bytes key, struct bytes value);
    void *context;
    int32_t partition, partition_count;
    bool check_placement;             /* re-keying was skipped: a row whose group belongs elsewhere is rejected */
    int64_t closed_before_ms;         /* restored: windows that start before this are closed (INT64_MIN: none) */
    int64_t store_max_window_ms;      /* restored: no window that starts later is in the store; INT64_MAX when unknown */
    bool store_may_have;              /* restored: the store may hold something */
    uint8_t row_keepers;              /* operators that keep rows, made so far: the number of the next one */
};

/* What belongs to one call. */
struct op_call {
    struct arena *arena;              /* batch lifetime */
    struct reject_list *rejects;
    struct late_row *late;            /* arena memory, grown by late_add; in the order of the rows */
    uint32_t late_count, late_capacity;
    uint64_t applied_rows;            /* added to by operators that end a chain */
    uint64_t duplicate_rows;          /* added to by distinct */
    uint64_t unmatched_rows;          /* added to by joins: rows that left for want of a match */
    uint64_t made_rows;               /* added to by operators that make several rows of one: n − 1 for each row that became n > 0 */
    struct diag *diag;
};

/* ERR_NOMEM. */
int late_add(struct op_call *call, const struct late_row *late);

struct op;
struct op_type {
    const char *name;                 /* as plans and metrics spell it */
    size_t size_bytes;                /* of an instance, zeroed before open */
    int (*open)(struct op *op, struct op_env *env, struct diag *diag);
    int (*process)(struct op *op, struct op_call *call, const struct batch *in, struct batch *out);
    int (*advance)(struct op *op, struct op_call *call, int64_t watermark_ms, struct batch *out);
    int (*flush)(struct op *op, struct op_call *call, struct batch *out);
    void (*close)(struct op *op);
    /* Of operators on rows that keep some (row_table.h); NULL for others, groups too, which have op_group_…. save gives what has changed to the commit being
     * made; held says how much memory they take, evict gives back what the store holds as of stored_commit. */
    int (*save)(struct op *op, int64_t commit_number, struct diag *diag);
    size_t (*held)(const struct op *op, size_t *entries);
    void (*evict)(struct op *op, int64_t stored_commit, size_t target_bytes);
    bool gives_changes;               /* what leaves it is not what is left of what came: nobody counts the difference as filtered rows */
    bool gives_results;               /* the first of a chain: it takes records (batch.source) and gives rows that are not theirs, in memory of its own; call->arena is emptied between two of its batches */
};
struct op {
    const struct op_type *type;
    const void *params;               /* struct filter_params … of the type; immutable, shared by tasks */
    struct op_env *env;
    uint8_t number;                   /* its place among the operators of its chain that keep rows: of its row_table */
};

/* The table of operators. NULL when there is none of that name. */
const struct op_type *op_type_find(const char *name);
/* Allocates and opens an instance. */
int op_create(const struct op_type *type, const void *params, struct op_env *env, struct op **op, struct diag *diag);
void op_destroy(struct op *op);

/* filter, check */
struct filter_params {
    struct expr *condition;
    const char *error_class;          /* check: what a row that fails is called */
    const char *text;                 /* check: the condition's text for messages */
};
/* map */
struct map_params {
    struct expr_list *list;
    uint32_t *time_fields;            /* by column: 1 + the JSON field of which it is a cast to timestamptz, when that is where the event time is from; else 0. NULL: none is */
};
/* distinct */
struct distinct_params {
    struct map_params key;            /* the columns of its key; what re-keying takes too */
    int64_t within_ms;
};
/* unnest */
struct unnest_params {
    struct expr *array;
    uint32_t column;                  /* that receives the element: one of the input's that nothing else fills, or one more */
};

/* Groups: shared by preaggregate (rows → partials), aggregate (rows → results) and merge (partials → results).
 * Partials travel as batches of three columns: group key (text), window start (bigint), encoded accumulators (text). */
struct group_params {
    struct expr_list *groups;         /* group columns over the input */
    struct agg_list *aggregates;
    struct agg_plan *plan;
    struct local_windows local;       /* what window.local points to; zone NULL without */
    struct agg_function *function;    /* of the user's, in place of SQL's aggregates; its outputs are expressions over its results alone. NULL: none */
    struct window_spec window;        /* kind WINDOW_ABSENT: groups without windows */
    uint32_t session_call;            /* session windows: the first of the calls that group_session_calls added */
    bool emit_final;
    const char *const *group_names;   /* of the group columns */
    enum col_type *group_types;
    struct json_names *key_names;     /* group columns only: the text that decides the partition */
    struct expr *having;              /* over the columns below: results for which it is not true are not shown. NULL: all are */
    struct expr_list *select;         /* over the same: the columns of the results' values in their place. NULL: those */
};
/* Columns of a result: group columns, window_start and window_end when windowed, then the aggregates' outputs. */
static inline uint32_t group_result_columns(const struct group_params *p)
{
    return p->groups->count + (p->window.kind != WINDOW_ABSENT ? 2 : 0) + p->aggregates->output_count;
}
/* Session windows: adds the accumulators that they need to the user's. ERR_UNSUPPORTED (count(DISTINCT)), ERR_NOMEM. */
int group_session_calls(struct agg_list *list, uint32_t *first, struct diag *diag);
/* The first and the last event time in a cell; false: it has none, which no cell of a task is without. */
bool group_session_times(const struct group_params *params, const void *row, int64_t *first_ms, int64_t *last_ms);
struct group_item {
    int64_t window_start_ms;
    struct bytes key;
    const void *row;                  /* accumulators */
};
/* Behind those stand the selected ones, and then, where a result that is not shown takes back the one before, whether it is shown. */
static inline uint32_t group_batch_columns(const struct group_params *p)
{
    return group_result_columns(p) + (p->select != NULL ? p->select->count : 0) + (p->having != NULL);
}
static inline bool group_is_shown(const struct group_params *p, const struct batch *batch, uint32_t row)
{
    return p->having == NULL || batch->columns[batch->column_count - 1].boolean[row] != 0;
}
/* Writes the result rows of n groups into out (arena memory of the call; text borrows from keys and rows). With emit_final the rows that having does not show
 * are not selected. */
int group_build_results(const struct group_params *params, struct op_call *call, const struct group_item *items, uint32_t n,
                        struct batch *out);
/* The partition of a group: murmur2 of its text (a single text column: raw; else the canonical object). scratch is reused. */
int32_t group_partition(const struct group_params *params, struct bytes group_key, int32_t partition_count, struct arena *arena,
                        struct buf *scratch);
/* What the runtime asks a group operator between commits. */
size_t op_group_bytes(const struct op *op);
size_t op_group_entries(const struct op *op);
int64_t op_group_closed_before(const struct op *op);
int64_t op_group_max_window(const struct op *op);
/* Marks what the commit with this number wrote; forgets entries that the store holds (commit number ≤ stored_commit) until at most target_bytes are used. */
void op_group_evict(struct op *op, int64_t stored_commit, size_t target_bytes);
/* The number that entries flushed from now on belong to. */
void op_group_commit_number(struct op *op, int64_t number);
bool op_is_group(const struct op *op);
/* Whether its groups are kept over a store, and not sent on with each commit. */
bool op_group_is_stored(const struct op *op);

/* Store and changelog keys: [8 bytes big-endian window start, sign flipped] when windowed, then the group key. */
void group_store_key(struct buf *out, int64_t window_start_ms, struct bytes group_key);
/* True when a value of the store, a changelog or a partial is that of a pair of a group and a value (count(DISTINCT)), not of a group;
 * *group_bytes: how much of its key (behind the window) is the group's. ERR_CORRUPT is left to who decodes it. */
bool group_value_is_pair(struct bytes value, size_t *group_bytes);
/* Splits such a key. ERR_CORRUPT. */
int group_store_key_split(struct bytes key, bool windowed, int64_t *window_start_ms, struct bytes *group_key);

/* Writes the selected rows of batch that are not in rejects[first…] into a new selection of out (out may equal batch). ERR_NOMEM. */
int batch_drop_rejected(struct batch *batch, const struct reject_list *rejects, uint32_t first, struct arena *arena);

#endif
