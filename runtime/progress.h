/* progress.h: the record of <app>-progress: where one task stands, written in each of its commits.
 *
 * One record per task; the latest of a key counts. Key: "<stage>/<partition>". Value: a JSON object (docs/formats-engine.md). The topic holds time
 * markers too (time_marker.h), whose keys begin with "time/", and cuts of joins (join_cut.h): "cut/". */
#ifndef WEIR_RUNTIME_PROGRESS_H
#define WEIR_RUNTIME_PROGRESS_H

#include <stdbool.h>

#include "runtime/base/bytes.h"
#include "runtime/base/error.h"
#include "runtime/time_marker.h"

#define TIME_NONE INT64_MIN           /* no event time seen yet */

/* What became of the rows that a task has read, since its stage was first started. The counted unit is the row:
 * rows_in + rows_made = applied + filtered + late + duplicate + dead + unmatched (counts_add_up). */
struct counts {
    int64_t rows_in;                  /* records read */
    int64_t rows_made;                /* what unnesting added: n - 1 for a row that became n; one that yields none is filtered */
    int64_t applied, filtered, late, duplicate, dead;
    int64_t unmatched;                /* by an inner join */
    int64_t out;                      /* records written to the output topic; not part of the sum */
};
/* All members of struct counts, in order, as records and metrics spell them; each is optional in a record (absent: 0). */
enum { COUNT_FIELDS = 9 };
extern const char *const count_names[COUNT_FIELDS];
static inline int64_t *counts_field(struct counts *counts, int field) { return (int64_t *)counts + field; }
static inline bool counts_add_up(const struct counts *c)
{
    return c->rows_in + c->rows_made == c->applied + c->filtered + c->late + c->duplicate + c->dead + c->unmatched;
}
/* sum += sign * counts, member by member. */
void counts_add(struct counts *sum, const struct counts *counts, int sign);

/* Where a stage that is started anew begins. */
enum progress_start {
    START_AT_BEGINNING = 0,           /* of what its source then holds */
    START_AT_POSITION,
    START_BEHIND                      /* what its source holds when the reset ends: that is of another life of the stage that writes it */
};

/* How far a task has read one partition of a table that it joins with. */
struct progress_table {
    uint8_t id[16];                   /* of the topic */
    uint32_t number;                  /* of the table among the stage's */
    int32_t partition;
    int64_t position;
};

struct progress {
    char stage[STAGE_NAME_BYTES];
    char view[250];                   /* the stage is one of this view's; "": its name says (progress_view) */
    int32_t partition;
    bool reads_partials;              /* of its view's own repartition topic */
    bool is_reset;                    /* the stage is being started anew: only names, ids, start and clears are valid, and position with START_AT_POSITION */
    enum progress_start start;        /* of a reset */
    bool clears;                      /* of a reset: the records of the view's output go */
    bool is_begin;                    /* the stage was started anew and has not committed: only names, input_id, is_table and position are valid; -1: at the beginning */
    bool is_table;                    /* of a reset, and of a begin: the view's output was an upsert table; else: the stage writes a table's rows as one */
    uint64_t plan_hash;
    uint64_t state_hash;              /* 0: not recorded */
    bool is_final;                    /* the stage has a state, and its view does not emit changes */
    uint8_t input_id[16], changelog_id[16];
    int64_t position;                 /* next input offset */
    int64_t first;                    /* where the task began when its stage was first started; -1: not recorded */
    int64_t watermark_ms;             /* TIME_NONE: none */
    int64_t max_event_ms;             /* highest event time seen; TIME_NONE: none */
    int64_t closed_before_ms;         /* windows that start earlier are closed */
    int64_t max_window_ms;            /* highest window start that was ever touched */
    int64_t changelog_end;            /* end offset of the changelog after the last commit that wrote it */
    struct counts counts;
    int32_t output_partitions;        /* of the topic that the stage writes; 0: not recorded */
    int64_t *ends;                    /* of the output topic's partitions, after this task's last commit that wrote them; -1 never */
    uint32_t end_count;
    int64_t *output_from;             /* by partition, where the output topic ended when the stage was first started; NULL: it had no records, or that is not recorded */
    uint32_t from_count;
    struct progress_table *tables;    /* each partition of each table */
    uint32_t table_count;
};

/* The name of the view that the record's stage belongs to. Records from before it was kept: a stage that ends in -repartition and writes partials is its view's first. */
void progress_view(const struct progress *progress, char view[250]);
void progress_key(const struct progress *progress, struct buf *key);
void progress_encode(const struct progress *progress, struct buf *value);
/* ERR_CORRUPT with the reason. ends, output_from and tables are malloc'ed; progress_deinit frees them. */
int progress_decode(struct bytes key, struct bytes value, struct progress *progress, struct diag *diag);
void progress_deinit(struct progress *progress);
/* *to (zeroed, or a copy) becomes a copy with ends, output_from and tables of its own. ERR_NOMEM. */
int progress_copy(struct progress *to, const struct progress *from, struct diag *diag);

/* The latest record of each task, the time markers and the joins' cuts, as read from the topic at the start. */
struct join_cut;
struct progress_set {
    struct join_cut *cuts;            /* join_cut.h; all records, in the order of the topic */
    uint32_t cut_count, cut_capacity;
    struct progress *items;
    uint32_t count, capacity;
    struct time_marker *markers;      /* in no order */
    uint32_t marker_count, marker_capacity;
    int64_t next_offset;              /* of the topic, after what was read */
};
void progress_set_deinit(struct progress_set *set);
/* Takes in a record of the topic: progress, a time marker, a join's cut, or a tombstone of one. */
int progress_set_apply(struct progress_set *set, struct bytes key, struct bytes value, struct diag *diag);
int progress_set_put(struct progress_set *set, const struct progress *progress, struct diag *diag); /* takes over ends, output_from and tables */
/* Removes the record of this key (a tombstone was read), if there is one. */
void progress_set_remove(struct progress_set *set, struct bytes key);
const struct progress *progress_set_find(const struct progress_set *set, const char *stage, int32_t partition);
/* Where a view that was started anew begins in a partition of this topic, whatever its stage was called then. NULL: nowhere in particular. */
const struct progress *progress_set_begin(const struct progress_set *set, const char *view, const uint8_t input_id[16], int32_t partition);
/* Reads a progress topic to its end. */
struct port;
int progress_load(struct port *port, const char *topic, struct progress_set *set, struct diag *diag);

#endif
