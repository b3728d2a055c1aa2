/* plan.h: from the topology to stages that tasks can run.
 *
 * Compiling happens in two steps. plan_compile parses and types every expression; it touches no disk. plan_place looks at
 * the topics: it finds partition counts, decides where re-keying is needed, and creates the topics that are missing.
 *
 * A view is what one weir_to asks for. It becomes one stage, or two when its groups must be re-keyed:
 *   <topic>              rows → filter/check/map → topic          (pass or rows)
 *   <topic>              rows → … → keyed → … → topic             (a table as it is: records under its key, and tombstones)
 *   <topic>              rows → … → aggregate → topic             (groups already lie where they belong)
 *   <topic>-repartition  rows → … → preaggregate → repartition topic
 *   <topic>              partials → merge → topic
 * Rows of one key must meet for weir_distinct: unless they are in one partition already, the steps before it are a stage of their own,
 *   <topic>-distinct     rows → … → distinct topic
 * and one of the stages above takes what has crossed (task_cross.c) in the place of rows, and goes on with the distinct operator.
 * A stage has one task per partition of its input. Stage names are stable: they name stores and progress records.
 *
 * A view that joins with tables (weir_join) has, for each, a chain of its own that begins at the table's topic (struct table). It is no stage: the tasks of the stage that joins
 * read the table's topic too, all of its partitions each, or with weir_table_partitioned the one of their own number, and keep its rows in their stores (task_table.c).
 *
 * A view whose rows come from several sources (weir_merge) has arms: chains that each begin at a source. Each arm is compiled as a view of its own, steps behind
 * the merge included, and becomes a source stage <topic>:<source topic>; all of them write to the same topic, and groups are always re-keyed.
 *
 * A view that joins two streams (weir_join_within) has arms as well, those of either side, which write rows to a repartition topic; one more view (struct view.joined) begins at the
 * join and has the steps behind it:
 *   <topic>:<source topic>  rows → … → join_side → repartition topic
 *   <topic>                 rows of both sides → join_within → … → topic
 * A view that joins two tables (weir_join of a table) is made in the same way:
 *   <topic>:<source topic>  rows → … → keyed → … → map → repartition topic
 *   <topic>                 changes of both sides → join_tables → … → topic (a table as it is) */
#ifndef WEIR_RUNTIME_PLAN_H
#define WEIR_RUNTIME_PLAN_H

#include "operators/column_list.h"
#include "operators/join.h"
#include "operators/join_tables.h"
#include "operators/join_within.h"
#include "operators/json_decode.h"
#include "operators/op.h"
#include "runtime/app.h"
#include "runtime/format.h"
#include "runtime/port.h"
#include "runtime/time_marker.h"

enum { PLAN_MAX_OPS = 64, TOPIC_NAME_BYTES = 250, VIEW_TABLES_MAX = 16 };

enum stage_input { INPUT_ROWS, INPUT_PARTIALS, INPUT_CROSSED, INPUT_SIDES };
enum stage_output { OUTPUT_PASS, OUTPUT_ROWS, OUTPUT_TABLE, OUTPUT_PARTIALS, OUTPUT_VIEW, OUTPUT_CROSSING, OUTPUT_SIDES };

struct op_spec {
    const struct op_type *type;
    const void *params;
};

/* How a stage that reads the topic of another one knows what time it is (plan_time.c). */
enum stage_time {
    TIME_OF_ROWS,                        /* by the rows of its partition, in offset order: as of any topic */
    TIME_OF_WRITERS,                     /* each row says how far its own source was (TIME_HEADER); windows close when all writers have come so far */
    TIME_OF_CLOSING                      /* rows are final results: none is late, windows close when all writers have closed theirs */
};

/* What one weir_to compiles to, or one arm of it. */
struct view {
    const struct sink *sink;
    struct view *next_arm;               /* the same sink by another source; its own memory */
    const struct view *lead;             /* the first arm: itself when there is one only */
    uint32_t arm;                        /* which one this is */
    uint32_t arm_count;                  /* of the lead */
    const struct weir_stream *source;
    struct field_set *fields;            /* JSON fields that the chain, and the event time, read */
    struct column_list *declared;        /* the columns of the source's records, in order; NULL: it has fields (format.h). The column of event times is one more */
    int time_column;                     /* which of them holds the event time; -1: the record's timestamp */
    int event_time_field;                /* index in what is decoded; -1: the record's timestamp */
    struct op_spec ops[PLAN_MAX_OPS];    /* filter, check, map; the group operator is added by placement */
    uint32_t op_count;
    bool is_mapped;
    bool is_remade;                      /* unnested or joined: rows are no longer the records they came as */
    bool is_windowed;
    struct keyed_params *keyed;          /* its rows are those of a table (weir_latest): the parameters of that operator; NULL */
    int keyed_op;                        /* which of its operators that is */
    struct group_params *group;          /* NULL: no aggregate */
    const struct format *format;         /* of what is written; of rows that pass as they came: their source's */
    char **column_names;                 /* of the output value */
    enum col_type *column_types;
    uint32_t column_count;
    uint32_t first_value;                /* of a group with selected columns: where those begin; the output's value has them alone */
    struct json_names *value_names, *key_names;
    struct json_names *result_names;     /* of a group: its columns before others are selected */
    struct expr_list *rekey;             /* rows get this record key, and lie where it puts them; NULL: they keep theirs. key_names are its names */
    bool *is_time;                       /* by column: it is the source's event time as it came; NULL: none is */
    const char *rekey_field;             /* the field of the output's records that says where they lie, for weir.partitioned.by; NULL */
    const char *group_field;             /* the source field a single group column is a plain reference to; NULL */
    uint64_t plan_hash;                  /* of the texts: equal, nothing has changed */
    uint64_t state_hash;                 /* of what decides what the state means */
    uint64_t verdicts[PLAN_MAX_OPS + 1]; /* plan_verdict.c: of what the source (0) and operator i - 1 (i) decide about a row with what came before them … */
    uint32_t verdict_count;              /* … as far as that can be said by texts */
    int upstream;                        /* view of this app (its lead) that writes the source topic; -1 */
    const struct within_params *within;  /* of arms that are sides of a join of two streams, and of what is behind it; NULL */
    const struct join_tables_params *join_tables; /* the same of a join of two tables, of which the first arm is the left one; NULL */
    struct view *joined;                 /* of the lead of such arms: the join and the steps behind it. Its source stands for both: no topic, a lateness that covers results */
    struct table *tables[VIEW_TABLES_MAX]; /* that its rows are joined with, in the order of the joins */
    uint32_t table_count;
    const struct distinct_params *distinct; /* of its distinct operator; NULL: there is none */
    uint32_t distinct_op;                /* which of the operators that is */
    bool is_distinct_over_fields;        /* no step before it has made columns: those of the rows that cross are what is decoded */
};

/* A table that the rows of a view are joined with (plan_join.c). */
struct table {
    struct view rows;                    /* source, fields, operators, upstream; the sink is the joining view's */
    uint32_t join_op;                    /* which of the view's operators joins with it */
    struct expr_list *columns;           /* that rows get, over the table's */
    enum col_type *types;
    bool by_event_time;                  /* with until_end: rows of both are read by event time; else by the timestamps of the records */
    bool by_partition;                   /* each task keeps the rows of its own partition alone (weir_table_partitioned) */
    const char *stream_field;            /* by_partition: the source field that the key is compared with; NULL: it is none as it came */
};

/* Where a table of the stage's view lies. */
struct stage_table {
    uint8_t id[16];
    int32_t partitions;
    bool by_partition;                   /* a task reads the partition of its own number, and else all */
    int upstream;                        /* first stage of this plan that writes it; -1 */
};
/* The partitions of it that one task reads: how many, and the i-th. */
static inline int32_t stage_table_inputs(const struct stage_table *table)
{
    return table->by_partition ? 1 : table->partitions;
}
static inline int32_t stage_table_partition(const struct stage_table *table, int32_t partition, int32_t i)
{
    return table->by_partition ? partition : i;
}

struct stage {
    const struct view *view;             /* of an arm its own, else the lead */
    char name[STAGE_NAME_BYTES];
    enum stage_input input;
    enum stage_output output;
    char input_topic[TOPIC_NAME_BYTES], output_topic[TOPIC_NAME_BYTES];
    char changelog_topic[TOPIC_NAME_BYTES], late_topic[TOPIC_NAME_BYTES]; /* "" when there is none */
    uint8_t input_id[16], changelog_id[16];
    int32_t partitions, output_partitions;
    struct op_spec ops[PLAN_MAX_OPS + 1];
    uint32_t op_count;
    uint32_t first_op;                   /* which of the view's operators is its first one */
    bool check_placement;
    struct stage_table tables[VIEW_TABLES_MAX]; /* that its operators join with */
    uint32_t table_count;
    uint32_t first_table;                /* which of the view's tables is its first one */
    int upstream;                        /* stage of this plan that writes the input topic, the first of upstream_count neighbours; -1 */
    uint32_t upstream_count;
    uint32_t first_arm, arm_count;       /* the stages that read for the same view, neighbours: they end together */
    enum stage_time time;
    bool tells_time;                     /* rows leave with TIME_HEADER: who reads them has TIME_OF_WRITERS */
    int read_group;                      /* the first of the stages that read the input alike (plan_read.c); -1: no other does */
    uint32_t read_ops;                   /* how many operators all of them begin with */
    bool tells_ends;                     /* progress records say where the output's partitions ended */
    uint64_t plan_hash, state_hash;
};

struct plan {
    const struct weir_app *app;
    struct view *views;                  /* leads */
    uint32_t view_count;
    struct stage *stages;                /* upstream before downstream */
    uint32_t stage_count;
    char progress_topic[TOPIC_NAME_BYTES], dlq_topic[TOPIC_NAME_BYTES];
    int32_t dlq_partitions;
};

int plan_compile(const struct weir_app *app, struct plan **plan, struct diag *diag);
int plan_place(struct plan *plan, struct port *port, struct diag *diag);
void plan_destroy(struct plan *plan);
/* plan_arms.c: the names under which the stages of a view stand in progress records, by which others of an earlier topology are known too. */
void plan_stage_name(const struct view *arm, char name[STAGE_NAME_BYTES]);
bool plan_is_stage_of(const struct view *view, const char *stage_name);
/* plan_time.c: after placement: sets time, tells_time and tells_ends of all stages. */
void plan_settle_time(struct plan *plan);
/* plan_read.c: after placement: sets read_group and read_ops of all stages. */
void plan_settle_reads(struct plan *plan);
/* Whether two views decode the same of the same records, and with how many of their first operators, at most `most`, they do the same with them. */
bool plan_reads_alike(const struct view *a, const struct view *b);
uint32_t plan_common_ops(const struct view *a, const struct view *b, uint32_t most);
/* The only partition of the output that the stage's task on this partition can write; -1: any. */
int32_t stage_only_output(const struct stage *stage, int32_t partition);
/* How far a stage's watermark is behind its time as TIME_HEADER tells it. */
static inline int64_t stage_lag_ms(const struct stage *stage)
{
    return stage->time == TIME_OF_CLOSING ? 0 : stage->view->source->number_ms;
}
/* The table of a stage by its number there. */
static inline const struct table *stage_table(const struct stage *stage, uint32_t number)
{
    return stage->view->tables[stage->first_table + number];
}
/* Whether what the view writes stands as it was written: final results, and rows. */
bool plan_is_final(const struct view *view);
/* Whether some operator on rows keeps rows in the store of its stage. */
bool plan_keeps_rows(const struct view *view);
/* Whether the rows of a view over this source must meet in other partitions before its distinct operator. */
bool plan_must_cross(const struct view *view, const struct port_topic *source);
/* plan_arms.c: the changelog of a stage; of an arm <app>-<view>-from-<source>-changelog. ERR_TOO_LARGE. */
int plan_changelog_name(const char *app, const char *stage, char name[TOPIC_NAME_BYTES], struct diag *diag);
/* plan_latest.c: whether what the view writes is an upsert table: changes of results, or a table as it is. */
bool plan_gives_changes(const struct view *view);
/* Whether the groups of a view over this source do not lie together and must be re-keyed. */
bool plan_must_rekey(const struct view *view, const struct port_topic *source);

#endif
