/* naive.h: random jobs, and what must come of them, computed without any of the engine's means.
 *
 * A job is a pipeline of up to three stages over one source topic:
 *
 *   e<N> (and f<N>, merged) ──► [m<N>: steps, passed on or as new rows] ──► o<N>: steps, then rows or groups ──► [r<N>: a rollup of final windows]
 *
 * Rows are structs that the generator made and nobody parses back; conditions are C functions with three-valued logic; groups are found by walking a list; sums
 * are 64-bit integers with a scale; distinct values are lists; local windows ask the C library what a clock on the wall shows.
 *
 * What decides results beside the job and its rows is in struct naive_round: what was done to the app between two sendings. */
#ifndef WEIR_TESTS_NAIVE_H
#define WEIR_TESTS_NAIVE_H

#include "tests/support/job.h"
#include "tests/support/kill_ledger.h"
#include "tests/support/pairs.h"

enum {
    NAIVE_ROWS_MAX = 400,
    NAIVE_ELEMENTS_MAX = 3,
    NAIVE_STEPS_MAX = 4,
    NAIVE_AGGREGATES_MAX = 6,
    NAIVE_PARTITIONS_MAX = 3,
    NAIVE_PLACES_MAX = 2 * NAIVE_PARTITIONS_MAX,
    NAIVE_ROUNDS_MAX = 4,
    NAIVE_CLOCKS_MAX = 4,
};

enum value_kind { VALUE_NULL, VALUE_MISSING, VALUE_INT, VALUE_TEXT, VALUE_BOOL };
/* What stands in the field xs, an array of values like those of n. */
enum array_kind { ARRAY, ARRAY_NULL, ARRAY_MISSING, ARRAY_NOT };
struct naive_element {
    enum value_kind kind;
    int64_t n;
};
struct naive_row {
    int arm;               /* which source it is sent to */
    int partition, round;
    int place;             /* which partition of which source it came from (naive_place) */
    int64_t order;         /* in its partition */
    int64_t timestamp_ms;  /* of the record; INT64_MIN: when it is sent */
    const char *defect;    /* dead-letter class that the decoder or the event time gives it; NULL: none */
    char k;                /* 'a'…; 0: null or missing */
    int64_t g, n, a, ts;   /* a: hundredths or tenths or whole, by a_scale */
    enum value_kind n_kind, a_kind;
    int a_scale;
    enum array_kind xs_kind;
    struct naive_element xs[NAIVE_ELEMENTS_MAX];
    int x_count;
    char ts_token[40];     /* as JSON */
    char text[256];        /* of its record */
};

enum condition { N_GREATER, K_IS_B, N_MODULO, K_OR_G, A_AT_LEAST, DIVIDED, AND_NOT, CONDITIONS };
enum step_kind {
    STEP_FILTER, STEP_CHECK, STEP_MAP, STEP_FILTER_FN, STEP_MAP_FN, STEP_FLAT_MAP_FN, STEP_UNNEST, STEP_BRANCH, STEP_PEEK, STEPS
};
struct naive_step {
    enum step_kind kind;
    enum condition condition, second; /* second: of a branch */
    int64_t number;
    int branch;
    char sql[160];
};
enum grouping { BY_K, BY_K_AND_G, BY_G_MODULO, GROUPINGS };
enum aggregate {
    COUNT_ALL, COUNT_N, SUM_N, SUM_A, MIN_N, MAX_N, COUNT_POSITIVE, AVG_N,
    FIRST_N, LAST_A, FIRST_K, DISTINCT_N, DISTINCT_A, DISTINCT_G, AGGREGATES
};
enum middle { MIDDLE_NONE, MIDDLE_PASS, MIDDLE_ROWS };
enum windows { NO_WINDOWS, TUMBLING, HOPPING, SESSIONS, LOCAL };

/* steps[0 … middle_steps) stand in front of m<N>, the others behind it. */
struct naive_plan {
    int number;
    char source[16], second_source[16], middle_topic[16], out[16], rollup_topic[16], late[24];
    struct chance chance;
    int arms;                  /* 2: rows come from two sources of one form */
    bool is_csv;               /* they hold comma-separated values: columns have types from the beginning */
    bool is_text, is_raw;      /* with is_csv: values between bars in plain text, or in raw bytes, that a map takes apart; the event time is the record's */
    bool mixes;                /* a partition of m<N> has rows of several places, whose time the main stage knows */
    enum middle middle;
    const char *rekey;         /* of m<N>; NULL: rows keep their place */
    struct naive_step steps[NAIVE_STEPS_MAX];
    int step_count, middle_steps;
    bool is_rows, has_rollup;  /* is_rows: no groups, o<N> gets the rows */
    enum grouping grouping;
    enum aggregate aggregates[NAIVE_AGGREGATES_MAX];
    int aggregate_count;
    enum aggregate shown_by;   /* COUNT_ALL or SUM_N: results are shown where it is greater than shown_above; AGGREGATES: all are */
    int64_t shown_above;
    enum windows windows;
    int64_t window_ms, hop_ms; /* of hopping ones; of tumbling ones they are equal; of sessions window_ms is the gap */
    const char *zone;          /* of local ones */
    int unit, units;           /* weir_unit, and how many */
    int64_t lateness_ms, idle_ms;
    int64_t skew_ms;           /* -1: as it is unless it is said */
    const char *function;      /* the aggregates are made by this function of job_functions.c; NULL: by SQL */
    bool is_final, is_direct;
    bool is_paused[NAIVE_ROUNDS_MAX]; /* while the round's rows are sent */
    int partitions, row_count;
    struct naive_row rows[NAIVE_ROWS_MAX]; /* by round */
    char aggregate_sql[768], shown_sql[40];
};

/* What a case is drawn for. */
struct naive_setting {
    int rounds;
    bool is_driven;            /* by weir_test: the clock is virtual, rows are sent at now_ms and later */
    bool is_replayed;          /* from_beginning at the end: nothing in front, nothing behind */
    bool may_idle;
    enum windows only_windows; /* NO_WINDOWS: any, or none */
    int64_t now_ms, step_ms;   /* is_driven: where event times begin, and by how much they go on at most */
};
/* Places are the partitions of one source, then those of the other. */
static inline int naive_places(const struct naive_plan *plan) { return plan->arms * plan->partitions; }
static inline int naive_place(const struct naive_plan *plan, const struct naive_row *row) { return row->arm * plan->partitions + row->partition; }
static inline const char *naive_source(const struct naive_plan *plan, const struct naive_row *row) { return row->arm == 0 ? plan->source : plan->second_source; }
/* Whether rows of several places come together in one partition of m<N>. */
bool naive_comes_together(const struct naive_plan *plan);
void naive_draw(struct naive_plan *plan, uint64_t seed, int number, const struct naive_setting *setting);
/* Writes the texts that depend on the drawn lists: again after one was changed. */
void naive_print(struct naive_plan *plan);
/* False when a change left values in min and max that SQL does not order, or took the aggregate by which results are shown. */
bool naive_is_sound(const struct naive_plan *plan);
/* Up to the spread before a change of the zone's clocks, forward or back, of 1990 to 2024; anywhere when there was none within a year. */
int64_t naive_near_a_change(struct chance *chance, const char *zone, int64_t spread_ms);
const char *naive_draw_zone(struct chance *chance);

/* naive_job.c */
void naive_add_job(const struct naive_plan *plan, struct job *job);
void naive_describe(const struct naive_plan *plan);
void naive_describe_row(const struct naive_row *row);

/* A round: the app takes the rows that were sent for it; then the clock is moved to each of clocks in turn, and the app
 * does what is due. With until_end it is ended, perhaps with close_windows. */
struct naive_round {
    bool restarts;             /* the app was started anew before it */
    bool close_windows;
    bool has_clock;            /* false: time stands still (runs with until_end) */
    int64_t send_clock_ms;     /* as of sending */
    int64_t clocks_ms[NAIVE_CLOCKS_MAX];
    int clock_count;
};

/* One stage that reads rows: what its accounts must say, and what lies beside its output. */
struct naive_stage {
    int64_t in, made, applied, filtered, late, dead;
    struct pairs dead_rows;    /* class, source row */
};
struct naive_result {
    struct naive_stage middle, main, rollup;
    struct pairs middle_rows, outputs, late_rows, rollups;
};
void naive_evaluate(const struct naive_plan *plan, const struct naive_round *rounds, int count, struct naive_result *result);
void naive_result_deinit(struct naive_result *result);

#endif
