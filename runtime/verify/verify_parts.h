/* verify_parts.h: what the files of the naive evaluator share (see README.md). Private to runtime/verify/. */
#ifndef WEIR_RUNTIME_VERIFY_PARTS_H
#define WEIR_RUNTIME_VERIFY_PARTS_H

#include "runtime/base/hash.h"
#include "runtime/plan.h"
#include "runtime/progress.h"
#include "runtime/verify/verify.h"

/* ---- verify_memory.c: how much is held ---- */

/* What the calling thread's verification has taken, and given back. */
void verify_hold(size_t bytes);
void verify_let_go(size_t bytes);
int64_t verify_held(void);
/* realloc, counted; old and new are sizes in bytes. NULL: no memory, and nothing has changed. */
void *verify_grow(void *memory, size_t old, size_t new);

/* ---- verify_set.c: a hash table of 128-bit names ---- */

struct verify_entry {
    struct hash128 name;
    void *value;
};
struct verify_map {
    struct verify_entry *slots; /* name all zero: free */
    size_t capacity, count;
};
void verify_map_deinit(struct verify_map *map);
/* The entry of a name, made (value NULL) when it is not there. NULL: no memory. */
struct verify_entry *verify_map_at(struct verify_map *map, struct hash128 name);
/* NULL: it is not there. */
struct verify_entry *verify_map_find(const struct verify_map *map, struct hash128 name);

/* ---- verify_cell.c: one value by itself ---- */

struct cell {
    enum col_type type;
    bool is_null;
    union {
        uint8_t boolean;
        int64_t i64;
        double f64;
        struct numeric numeric;
        struct bytes text;
        struct variant variant;
    };
    uint8_t *own;               /* what text or variant points to, once it is kept */
};
/* Borrows from the column. */
void cell_read(struct cell *cell, const struct column *column, uint32_t row);
/* Makes *kept an own copy. ERR_NOMEM. */
int cell_keep(struct cell *kept, const struct cell *cell);
void cell_release(struct cell *cell);
/* Puts it into the only row of a column of its type. ERR_NOMEM. */
int cell_write(const struct cell *cell, struct column *column, struct arena *arena);
/* The total order of min and max: -1, 0, 1. Neither is NULL. */
int cell_order(const struct cell *a, const struct cell *b);
/* The one form that equal group values have: no zeros behind the point, integers as such. Text is the arena's. ERR_NOMEM. */
int cell_canonical(struct cell *cell, struct arena *arena);
/* Appends the one form that equal values have, whatever their types: 1, 1.0 and a JSON field 1 are the same. ERR_NOMEM. */
int cell_put(const struct cell *cell, struct buf *out, struct arena *arena);
/* False: a number of more than 38 digits, or none at all, which sums do not take. */
bool cell_number(const struct cell *cell, struct numeric *number);

/* ---- verify_accumulator.c: aggregates ---- */

struct accumulator {
    int64_t count;              /* of values; of rows for count(*) */
    struct numeric_sum coarse, fine; /* addends of up to 19 decimals, and of more */
    double f64;
    bool is_exceeded;           /* 256 bits did not hold a sum */
    struct cell kept;           /* min, max, first, last */
    bool has_kept;
    int64_t time_ms, offset;    /* of first and last */
    uint64_t origin, order;
};
/* Where a row stands among rows of one event time. */
struct place {
    int64_t time_ms, offset;
    uint64_t origin, order;     /* order: of rows that were made of one record */
};
struct verify_distinct {
    struct verify_map values;   /* of (group, call, value) */
    uint64_t groups;            /* numbers that were given out */
};
/* What is wrong with a row's value, by the class of its dead letter; NULL: nothing. */
const char *accumulator_refuses(const struct agg_call *call, const struct column *argument, const struct column *filter);
int accumulator_add(struct accumulator *to, const struct agg_call *call, const struct column *argument, const struct column *filter, const struct place *place,
                    struct verify_distinct *distinct, uint64_t group, uint32_t number, struct arena *arena);
/* Of sessions that turn out to be one. */
int accumulator_merge(struct accumulator *to, struct accumulator *from, const struct agg_call *call);
/* Writes the result into the only row of a column. 1: it has one; 0: it needs more than 38 digits; or ERR_NOMEM. */
int accumulator_result(const struct accumulator *from, const struct agg_call *call, struct column *column, struct arena *arena);
void accumulator_release(struct accumulator *accumulator);

/* ---- the work ---- */

struct verify;

struct verify_cross;
struct verify_joins;
struct verify_within;
struct verify_tables;

/* A table as it is understood most simply: its rows by key. */
struct verify_table {
    struct verify_map rows;     /* by key: cells */
    uint32_t cell_count;        /* of a row */
};

/* A stage that reads rows, at one partition of its source. */
struct verify_source {
    struct verify *verify;
    const struct stage *stage;
    const struct view *arm;
    int32_t partition;
    const struct progress *progress; /* NULL: it has committed nothing */
    struct time_mark *markers;  /* by offset */
    uint32_t marker_count, marker_next;
    int64_t watermark_ms, max_event_ms;
    struct counts counts;
    struct verify_map failed;   /* offsets of records that the pipeline's policy left out */
    struct verify_map seen;     /* of a de-duplication: by key, the times of rows that were kept */
    uint32_t number;            /* among all partitions of all sources */
    struct verify_joins *joins; /* verify_join.c; NULL: its rows meet no table */
    struct verify_table *table; /* of rows that are a table's: what it shows now; NULL */
    int64_t first;              /* offset of its first row */
    bool is_compacted;          /* rows that others replaced are gone: they cannot be counted */
    void *decoder;
    struct arena arena;         /* of one record */
};

#define VERIFY_NO_CLUSTER UINT32_MAX

/* What became of a row. */
enum fate { FATE_APPLIED, FATE_FILTERED, FATE_LATE, FATE_DEAD, FATE_DUPLICATE, FATE_UNMATCHED };
/* A row behind all steps: the only one of its batch. */
struct verify_row {
    struct verify_source *source;
    const struct stage *stage;  /* the task that gives it: the source's own, or behind a de-duplication the one where its rows met */
    int32_t partition;
    bool is_undecided;          /* that task may have dropped it: see verify_cross.c */
    uint32_t cluster;           /* then: of which rows it is one; VERIFY_NO_CLUSTER: it may be there or not, whatever others are */
    struct hash128 key;         /* of a table's row, … */
    const struct column *key_columns; /* … canonical */
    bool is_anyones;            /* another partition has the same row, and it may be that one which was kept */
    const struct batch *batch;
    const struct source_row *record;
    int64_t time_ms, watermark_ms;
    struct place place;
};

/* A record's way through the steps. */
struct verify_walk {
    struct verify_source *source;
    struct verify_row row;
    int (*end)(void *context, const struct verify_row *row, enum fate *fate);
    void *context;
    struct reject_list rejects;
    uint64_t order;             /* of rows that came of this record so far */
    struct counts *counts;      /* of the task that the row is in */
    enum fate fate;             /* of the last row that ended */
    bool is_keyed;              /* it is a table's row from here on, whatever becomes of it */
};

enum group_status { GROUP_OPEN, GROUP_CLOSING, GROUP_CLOSED };
struct verify_group {
    struct cell *columns;       /* canonical */
    struct accumulator *accumulators; /* one per call of the user's */
    uint64_t number;
    int64_t start_ms, end_ms;   /* of the window; of a session also: its last row's time is end_ms less the gap */
    int32_t owner;              /* partition of the stage that keeps it */
    int32_t partition;          /* of its results in the output topic */
    struct hash128 name;        /* of the group columns alone */
    uint8_t status;             /* enum group_status */
    bool is_waiting;            /* partials of the group have not been merged */
    bool is_undecided;          /* rows that nobody can tell of would be its */
    bool is_in_state, is_in_output;
    bool is_misplaced;          /* told */
    int64_t offset;             /* of its last record in the output */
    int32_t found_partition;
    uint64_t found_hash;        /* of that record's value */
    bool found_null;
    struct verify_group *next_session; /* of the same group, by start */
};

/* A result as it ought to be. Borrowed from the verify's buffers until the next one. */
struct verify_result {
    struct bytes key, value;    /* of the record; value.data NULL: it has none */
    struct bytes row;           /* as the store's is printed */
    bool is_shown;
    bool is_expressible;
};

struct verify {
    const struct verify_options *options;
    struct port *port;
    struct verify_outcome *report;
    struct diag *diag;
    struct weir_app *app;
    struct plan *plan;
    const struct view *view;    /* the lead */
    const struct stage *sources; /* view->arm_count of them */
    const struct stage *crossed; /* where rows of a de-duplication meet; NULL: where they are read */
    struct verify_cross *cross; /* verify_cross.c */
    const struct stage *met;    /* where the rows of two streams are joined; NULL */
    struct verify_within *within; /* verify_within.c */
    struct verify_tables *tables; /* verify_tables.c */
    const struct stage *final;  /* that writes the output; of rows the first source */
    const struct stage *writers; /* all that write it */
    uint32_t writer_count;
    bool is_rekeyed;
    struct progress_set progress;
    uint32_t calls;             /* aggregate calls of the user's: sessions have more, behind them */
    struct verify_map groups;   /* by window and group columns */
    struct verify_map by_key;   /* by record key */
    struct verify_map waiting;  /* group columns, and what record keys begin with */
    struct verify_map undecided; /* likewise */
    struct verify_group **list; /* once all rows are in */
    size_t list_count;
    struct verify_distinct distinct;
    struct rows_check *rows;    /* verify_rows.c; NULL for groups */
    struct verify_map written;  /* verify_table.c: what a table that is written as it is should hold */
    struct arena arena;         /* of one result */
    struct buf key, value, row, text, scratch;
    int64_t *times_ms;          /* watermarks by source partition, where groups are not re-keyed */
    int64_t lowest_ms;          /* the least of all sources' watermarks */
    bool knows_time;            /* rows alone decide them, and no other stage */
    uint32_t source_number;     /* of the next one to be opened */
    bool is_second;             /* the sources are read a second time: verify_cross.c */
    int64_t looks;
    int64_t held_before;        /* by others, when it began */
};

/* The name that tuples of equal values have. */
int verify_name(struct verify *v, const struct column *columns, uint32_t count, struct arena *arena, struct hash128 *name);
/* verify_view.c */
void verify_tell(struct verify *v, const struct verify_difference *difference);
/* Of a record of the output topic, or of one that is not there (offset -1). */
void verify_tell_output(struct verify *v, const char *kind, int32_t partition, int64_t offset, struct bytes key, struct bytes expected, struct bytes found,
                        const char *text);
int verify_no_memory(struct verify *v);
/* Between records: ERR_STOPPED when somebody asked for it; ERR_TOO_LARGE when more is held than may be. */
int verify_look(struct verify *v);
/* Calls each(context, row) for the committed records of a partition from `from` up to `to`, in offset order; it returns 0 to go on, 1 to end, or an error. */
int verify_read(struct verify *v, const char *topic, int32_t partition, int64_t from, int64_t to, int (*each)(void *context, const struct source_row *row), void *context);

/* The same for what a stage has not read of its input topic when it last committed. */
int verify_read_unread(struct verify *v, const struct stage *stage, int (*each)(void *context, const struct source_row *row), void *context);

/* Where the view's own records begin in a partition of its output, and where they end: in a stream that it was started anew on, behind those of its life before. */
int verify_output_range(struct verify *v, int32_t partition, struct port_range *range);

/* Of one task: what it has counted is what became of its rows. `few`: only what does not depend on who came first. */
void verify_counts(struct verify *v, const struct stage *stage, int32_t partition, const struct counts *ours, const struct progress *progress, bool few);

/* ---- verify_steps.c ---- */

/* The row goes on at a step; what becomes of it, and of rows that are made of it, is counted. */
int verify_walk(struct verify_walk *walk, const struct batch *batch, uint32_t step);
int verify_walk_end(struct verify_walk *walk, enum fate fate);

/* ---- verify_table.c: rows of a table ---- */

/* Where a row becomes one of a table: it gets its key. */
int verify_keyed_step(struct verify_walk *walk, const struct batch *batch, uint32_t step);
/* Whether a key of one text belongs in the source's partition, where a table is read by partition. */
bool verify_lies_right(const struct verify_source *source, const struct column *key);
/* A record without a value takes away the row of its key. */
int verify_keyed_removal(struct verify_walk *walk, const struct source_row *record);
/* After the steps: a row that a condition on the table left out is not in it any more. */
int verify_keyed_hidden(struct verify_walk *walk);
void verify_table_remove(struct verify_table *table, struct hash128 key);
/* The row of the key gets copies of these cells. ERR_NOMEM. */
int verify_table_put(struct verify_table *table, struct hash128 key, const struct cell *cells);
const struct cell *verify_table_find(const struct verify_table *table, struct hash128 key);
void verify_table_deinit(struct verify_table *table);
/* What a view of a table, or an aggregate over one, makes of a row that the table shows. */
int verify_table_row(void *verify, const struct verify_row *row, enum fate *fate);
int verify_table_open(struct verify_source *source);
/* The source is read: its rows go into groups, or into what the output topic should hold. */
int verify_table_finish(struct verify_source *source);
/* What the output topic has under a record's key cannot be known. ERR_NOMEM. */
int verify_table_unknown(struct verify *v, struct bytes key);
/* The output topic of a table that is written as it is. */
int verify_table_output(struct verify *v);
void verify_table_output_close(struct verify *v);

/* ---- verify_join.c: rows that meet tables ---- */

int verify_joins_open(struct verify_source *source);
void verify_joins_close(struct verify_source *source);
/* Before a row of the stream: the tables are read as far as they were then. */
int verify_joins_follow(struct verify_source *source, const struct source_row *record, int64_t time_ms);
int verify_join_step(struct verify_walk *walk, const struct batch *batch, uint32_t step);
/* Behind the last row: as far as they are now. */
int verify_joins_finish(struct verify_source *source);
bool verify_joins_are_compacted(const struct verify_source *source);

/* ---- verify_within.c: joins of two streams ---- */

int verify_within_open(struct verify *v);
void verify_within_close(struct verify *v);
/* The last step of a side: the row is judged and kept. */
int verify_side_step(struct verify_walk *walk, const struct batch *batch, uint32_t step);
/* All rows of both sides are in. */
int verify_within_finish(struct verify *v);

/* ---- verify_tables.c: joins of two tables ---- */

int verify_tables_open(struct verify *v);
void verify_tables_close(struct verify *v);
/* A row of either that its table shows. */
int verify_tables_row(void *verify, const struct verify_row *row, enum fate *fate);
/* A source of either is read: its rows as they stand. */
int verify_tables_take(struct verify_source *source);
/* All rows of both are in. */
int verify_tables_finish(struct verify *v);
/* What the tasks keep of both. */
int verify_tables_state(struct verify *v);

/* verify_source.c: a record of a table that rows are joined with; FATE_FILTERED: it is no row of the table. */
int verify_table_record(struct verify_source *source, const struct source_row *record,
                        int (*end)(void *context, const struct verify_row *row, enum fate *fate), void *context, enum fate *fate);
/* When it comes. */
int verify_table_time(struct verify_source *source, const struct source_row *record, int64_t *time_ms);

/* ---- verify_repeat.c: rows of a de-duplication ---- */

/* What becomes of a row by itself: FATE_APPLIED: it takes part under this name; FATE_LATE or FATE_DEAD. */
int verify_repeat_name(struct verify *v, const struct distinct_params *params, const struct verify_row *row, struct hash128 *name, enum fate *fate);
/* The times of the rows that were kept of one key, in order. */
struct kept_times {
    int64_t *times_ms;
    size_t count, capacity;
};
bool kept_times_near(const struct kept_times *kept, int64_t time_ms, int64_t within_ms);
int kept_times_add(struct kept_times *kept, int64_t time_ms); /* ERR_NOMEM */
void kept_times_deinit(struct kept_times *kept);
/* A row of a source whose rows stay where they are: whether it repeats one that was kept, and else it is kept. */
int verify_repeat_is(struct verify_source *source, const struct distinct_params *params, struct hash128 name, int64_t time_ms, bool *is_repeat);
void verify_repeat_close(struct verify_source *source);

/* ---- verify_cross.c: rows of a de-duplication that meet in other partitions ---- */

int verify_cross_open(struct verify *v);
void verify_cross_close(struct verify *v);
/* The first time through the sources: lists the row. */
int verify_cross_row(void *verify, const struct verify_row *row, enum fate *fate);
int verify_cross_decide(struct verify *v);
/* The second time: what has become of the row, and its account. FATE_APPLIED: it goes on, as *row now says; *counts NULL: nothing has yet. */
void verify_cross_next(struct verify *v, struct verify_row *row, enum fate *fate, struct counts **counts);
/* How many rows a cluster of undecided ones has. */
uint32_t verify_cross_cluster(const struct verify *v, uint32_t cluster);
void verify_cross_counts(struct verify *v);

/* verify_source.c: takes the records of a source up to its committed position through the view's steps; `end` says what becomes of the rows that pass. */
int verify_source_run(struct verify_source *source, int (*end)(void *context, const struct verify_row *row, enum fate *fate), void *context);
int verify_source_open(struct verify_source *source, struct verify *v, const struct stage *stage, int32_t partition);
void verify_source_close(struct verify_source *source);

/* verify_group.c */
int verify_group_row(void *verify, const struct verify_row *row, enum fate *fate);
/* Whether groups can take the row: else it is a dead letter. */
int verify_group_takes(struct verify *v, const struct verify_row *row, bool *is_good);
/* All rows are in: sessions are put together, owners and names are known. */
int verify_groups_finish(struct verify *v);
int verify_group_render(struct verify *v, const struct verify_group *group, struct verify_result *result);
void verify_groups_deinit(struct verify *v);
/* The name of the group whose columns are these (row 0), and the partition that its text chooses. */
int verify_group_name(struct verify *v, const struct column *columns, int32_t partitions, struct hash128 *name, int32_t *partition);

/* verify_same.c: whether two values of the view's records say the same; sums of double precision may differ in their last bits. */
bool verify_same(const struct verify *v, bool is_output, struct bytes expected, struct bytes found);

/* verify_pairs.c. Calls each(context, key, value) for every pair of a task's state, in no order; it returns 0 or an error. */
int verify_pairs(struct verify *v, const struct stage *stage, int32_t partition, int (*each)(void *context, struct bytes key, struct bytes value), void *context);

/* verify_state.c, verify_output.c, verify_rows.c */
int verify_waiting(struct verify *v);
/* Names a group (its columns, and one more with room) in a set of groups, by its columns and by what record keys of its windows begin with. */
int verify_name_group(struct verify *v, struct verify_map *set, struct column *columns, struct arena *arena);
/* What the record keys of a group's windows have in common. */
struct hash128 verify_key_name(struct bytes key);
int verify_state(struct verify *v);
int verify_output(struct verify *v);
/* A record's headers without the one that says how far its writer's source was. */
struct bytes verify_headers(struct bytes headers);
int verify_rows_open(struct verify *v);
int verify_rows_row(void *verify, const struct verify_row *row, enum fate *fate);
/* The value of the record that a row becomes. False: it cannot be written, and is a dead letter. */
int verify_row_value(struct verify *v, const struct verify_row *row, struct bytes *value, bool *is_good);
int verify_rows_finish(struct verify *v);
void verify_rows_close(struct verify *v);

#endif
