/* drawn_sql.h: files of SQL drawn at random, with their input, and what must come of them, computed row by row from the drawn trees: nothing parses the text that they are printed as.
 *
 *   CREATE TABLE t<N>a, t<N>b (streams), t<N>k (the latest row of a key)
 *     ──► views, CTEs, SELECTs in FROM, UNION ALL, joins with the table, DISTINCT ON
 *     ──► INSERT INTO (a name, or a declared table, which later statements read), materialized views: groups in windows or none, HAVING, FILTER; aggregates over tables
 *
 * drawn_sql.c draws, drawn_print.c prints, drawn_rows.c draws input, drawn_model.c and drawn_groups.c evaluate, drawn_life.c runs and compares. */
#ifndef WEIR_TESTS_DRAWN_SQL_H
#define WEIR_TESTS_DRAWN_SQL_H

#include "tests/support/drawn_expr.h"
#include "tests/support/pairs.h"

enum {
    DRAWN_COLUMNS_MAX = 8,
    DRAWN_RELATIONS_MAX = 48,
    DRAWN_RESULTS_MAX = 6,
    DRAWN_ROWS_MAX = 90,
    DRAWN_PARTITIONS_MAX = 4,
    DRAWN_ROUNDS_MAX = 4,
    DRAWN_CALLS_MAX = 4,
    DRAWN_GROUPS_MAX = 2,
    DRAWN_NAME_BYTES = 24,
};
#define DRAWN_START_MS INT64_C(1772442000000)
#define DRAWN_NEVER INT64_MIN

/* ---- what is written ---- */

enum declared_type { DECLARED_BIGINT, DECLARED_INTEGER, DECLARED_SMALLINT, DECLARED_NUMERIC, DECLARED_MONEY, DECLARED_TEXT, DECLARED_BOOLEAN, DECLARED_TIME, DECLARED_TYPES };
struct drawn_column {
    char name[DRAWN_NAME_BYTES];
    enum datum_type type;
};
/* Of a declared table. */
struct drawn_declared {
    enum declared_type type;
    bool is_nested;            /* OPTIONS (path 'o.<name>') */
    bool not_null;
    const struct drawn_expr *check;
    const char *check_class;   /* NULL: "check" */
};

enum relation_form { FORM_TABLE, FORM_SELECT, FORM_UNION };
enum relation_place { PLACE_STATEMENT, PLACE_CTE, PLACE_SUBSELECT };
struct drawn_result;
struct drawn_relation {
    enum relation_form form;
    enum relation_place place;
    char name[DRAWN_NAME_BYTES];
    struct drawn_column columns[DRAWN_COLUMNS_MAX];
    int column_count;
    int time_column;           /* whose value is the event time; -1: none */
    int key_column;            /* of a table of the latest rows; -1: a stream (or a table of results) */
    bool is_table;             /* rows change */
    bool is_placed;            /* rows of one value of placed_column lie in one partition */
    int placed_column;
    bool is_mixed;             /* it reads a topic in one partition of which rows of several come together */
    bool reads_written;        /* it reads what a statement writes */
    bool is_distinct;          /* it, or what it is made of, is SELECT DISTINCT ON */
    int leaves;

    /* a table */
    char topic[DRAWN_NAME_BYTES];
    bool is_declared, has_event_time, nulls_bad;
    struct drawn_declared declared[DRAWN_COLUMNS_MAX];
    int64_t lateness_ms;
    struct drawn_result *writer; /* whose output it reads; NULL: input */
    struct drawn_input *inputs;
    int input_count;

    /* a SELECT of rows */
    struct drawn_relation *base, *table; /* table: joined; NULL: none */
    bool is_left;
    const struct drawn_expr *on; /* what the table's key equals, over the base's columns */
    const struct drawn_expr *also; /* a condition beside it, over both; NULL: none */
    const struct drawn_expr *where; /* over both */
    const struct drawn_expr *values[DRAWN_COLUMNS_MAX];
    bool is_star;
    int64_t within_ms;         /* DISTINCT ON the first distinct_count columns of base; 0: it is none */
    int distinct_columns[2], distinct_count;

    /* UNION ALL */
    struct drawn_relation *arms[2];
};

enum drawn_window { WINDOW_NONE, WINDOW_TUMBLE, WINDOW_HOP, WINDOW_SESSION };
enum drawn_call_kind { CALL_COUNT_ALL, CALL_COUNT, CALL_SUM, CALL_AVG, CALL_MIN, CALL_MAX, CALL_COUNT_DISTINCT, CALL_FIRST, CALL_LAST };
struct drawn_call {
    enum drawn_call_kind kind;
    const struct drawn_expr *arg, *filter; /* filter NULL: none */
    char name[DRAWN_NAME_BYTES];
};
struct drawn_result {
    char name[DRAWN_NAME_BYTES]; /* and topic */
    struct drawn_relation *rows; /* INSERT: what is selected; groups: whose rows are grouped, a PLACE_STATEMENT relation or an inline one */
    struct drawn_relation *into; /* the declared table that the INSERT writes; NULL: a name */
    bool is_view;              /* rows by CREATE MATERIALIZED VIEW, not INSERT */
    bool is_grouped;
    const struct drawn_expr *where;
    enum drawn_window window;
    int64_t size_ms, hop_ms;
    bool emit_final;
    const struct drawn_expr *groups[DRAWN_GROUPS_MAX];
    char group_names[DRAWN_GROUPS_MAX][DRAWN_NAME_BYTES];
    int group_style[DRAWN_GROUPS_MAX]; /* by position, by output name, by expression */
    int group_count;
    struct drawn_call calls[DRAWN_CALLS_MAX];
    int call_count;
    bool shows_start, shows_end;
    int after;                 /* it stands in front of this relation */
    int having;                /* a call of type count or sum, which must be greater than having_above; -1: none */
    int64_t having_above;
    struct drawn_relation *reader; /* the relation by which later statements read it; NULL: they do not */

    /* what comes of it */
    struct drawn_input *outputs; /* rows, for readers */
    int output_count, output_capacity;
};

/* ---- input ---- */

struct drawn_input {
    int partition, round;
    int64_t stamp;             /* rows of a stream meet the changes of tables whose stamp is no greater */
    int64_t timestamp_ms, time_ms;
    const char *defect;        /* class of what is no row at all, or has no event time */
    struct datum cells[DRAWN_COLUMNS_MAX];
    bool is_bad[DRAWN_COLUMNS_MAX]; /* does not cast */
    bool is_tombstone;
    char key[8];               /* of a table's record */
    const char *text;
};

/* ---- a file ---- */

struct drawn_file {
    int number, partitions, rounds;
    bool is_timed;             /* inputs are read by their records' timestamps, which grow in the order of sending */
    struct chance chance;
    struct arena arena;
    struct drawn_relation *relations[DRAWN_RELATIONS_MAX];
    int relation_count;
    struct drawn_result *results[DRAWN_RESULTS_MAX];
    int result_count;
    int name_count;
    struct buf sql;
};
/* Draws the file and its input, and prints it. drawn_file_free frees. */
void drawn_file_draw(struct drawn_file *file, uint64_t seed, int number, int rounds, bool is_timed);
void drawn_file_free(struct drawn_file *file);
/* The text, and the input of a small file. */
void drawn_file_describe(const struct drawn_file *file);

/* drawn_print.c */
void drawn_file_print(struct drawn_file *file);
/* The columns that a SELECT over base, and perhaps a joined table, reads. */
void drawn_scope_of(const struct drawn_relation *base, const struct drawn_relation *table, struct drawn_scope *scope);
extern const char *const declared_names[DECLARED_TYPES];
enum datum_type declared_datum_type(enum declared_type type);

/* drawn_rows.c */
void drawn_rows_draw(struct drawn_file *file, struct drawn_relation *table);
/* What a value becomes when a column of the type takes it; false: it does not cast. */
bool declared_cast(enum declared_type type, const struct datum *from, struct datum *to);
/* The JSON object of a row of the table. */
void drawn_row_print(const struct drawn_relation *table, const struct datum *cells, struct buf *out);

#define DRAWN_DECLARED " declared "
/* drawn_model.c: everything that the file writes. */
struct drawn_expected {
    struct pairs outputs[DRAWN_RESULTS_MAX]; /* of groups by their record keys; of rows by "" */
    struct pairs late[DRAWN_RESULTS_MAX];
    struct pairs dead;         /* result/class, source record; of tables each once, as "result/class once"; of what breaks a declaration with DRAWN_DECLARED, the topic, # and which source of the result it is */
};
void drawn_evaluate(struct drawn_file *file, bool closes_windows, struct drawn_expected *expected);
void drawn_expected_free(struct drawn_expected *expected);

/* What the files of the evaluator share. */
struct drawn_row {
    struct datum cells[DRAWN_SCOPE_MAX];
    int64_t time_ms, watermark_ms, stamp;
    int place, order;          /* which partition of which leaf, and which row of the pipeline */
    const struct drawn_input *source;
};
struct drawn_pipeline {
    struct drawn_file *file;
    const struct drawn_result *result;
    struct drawn_expected *expected;
    int index;                 /* of the result */
    int leaf_count;
    int64_t seen_ms[8 * DRAWN_PARTITIONS_MAX], watermarks_ms[8 * DRAWN_PARTITIONS_MAX]; /* by place */
    int order;
    struct kept_row *kept;     /* of DISTINCT ON */
    int kept_count;
};
typedef void drawn_visit(struct drawn_pipeline *pipeline, struct drawn_row *row, void *context);
void drawn_die(struct drawn_pipeline *pipeline, const struct drawn_row *row, const char *error_class);
void drawn_late(struct drawn_pipeline *pipeline, const struct drawn_row *row);
void drawn_walk(struct drawn_pipeline *pipeline, const struct drawn_relation *relation, drawn_visit *visit, void *context);
/* A record more that the result writes, and a text as long as the file: who reads the result finds them. */
struct drawn_input *drawn_output(struct drawn_pipeline *pipeline);
const char *drawn_keep(struct drawn_pipeline *pipeline, struct buf *text);
/* drawn_groups.c */
void drawn_group(struct drawn_pipeline *pipeline, bool closes_windows);

#endif
