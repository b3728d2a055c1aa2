/* naive.h: random jobs, and what must come of them, computed without any of the engine's means.
 *
 * A job is a pipeline of up to three stages over one source topic:
 *
 *   e<N> ──► [m<N>: steps, passed on or as new rows] ──► o<N>: steps, then rows or groups ──► [r<N>: a rollup of final windows]
 *
 * Rows are structs that the generator made and nobody parses back; conditions are C functions with three-valued logic; groups are found by walking a list; sums
 * are 64-bit integers with a scale; distinct values are lists. */
#ifndef WEIR_TESTS_NAIVE_H
#define WEIR_TESTS_NAIVE_H

#include "tests/support/job.h"
#include "tests/support/kill_ledger.h"
#include "tests/support/pairs.h"

enum {
    NAIVE_ROWS_MAX = 400,
    NAIVE_STEPS_MAX = 4,
    NAIVE_AGGREGATES_MAX = 6,
    NAIVE_PARTITIONS_MAX = 3,
    NAIVE_GROUPS_MAX = 4096,
};

enum value_kind { VALUE_NULL, VALUE_MISSING, VALUE_INT, VALUE_TEXT, VALUE_BOOL };
struct naive_row {
    int partition, round;
    const char *defect;  /* dead-letter class that the decoder or the event time gives it; NULL: none */
    char k;              /* 'a'…; 0: null or missing */
    int64_t g, n, a, ts; /* a: hundredths or tenths or whole, by a_scale */
    enum value_kind n_kind, a_kind;
    int a_scale;
    char ts_token[40];
    char text[224];
};

enum condition { N_GREATER, K_IS_B, N_MODULO, K_OR_G, A_AT_LEAST, DIVIDED, AND_NOT, CONDITIONS };
enum step_kind { STEP_FILTER, STEP_CHECK, STEP_MAP };
struct naive_step {
    enum step_kind kind;
    enum condition condition;
    int64_t number;
    char sql[96];
};
enum grouping { BY_K, BY_K_AND_G, BY_G_MODULO, GROUPINGS };
enum aggregate {
    COUNT_ALL, COUNT_N, SUM_N, SUM_A, MIN_N, MAX_N, COUNT_POSITIVE, AVG_N,
    FIRST_N, LAST_A, FIRST_K, DISTINCT_N, DISTINCT_A, DISTINCT_G, AGGREGATES
};
enum middle { MIDDLE_NONE, MIDDLE_PASS, MIDDLE_ROWS };

/* steps[0 … middle_steps) stand in front of m<N>, the others behind it. */
struct naive_plan {
    int number;
    char source[16], middle_topic[16], out[16], rollup_topic[16], late[24];
    struct chance chance;
    enum middle middle;
    struct naive_step steps[NAIVE_STEPS_MAX];
    int step_count, middle_steps;
    bool is_rows, has_rollup;  /* is_rows: no groups, o<N> gets the rows */
    enum grouping grouping;
    enum aggregate aggregates[NAIVE_AGGREGATES_MAX];
    int aggregate_count;
    int64_t window_ms, hop_ms, lateness_ms; /* hop_ms = window_ms: tumbling */
    bool is_session;           /* window_ms is the gap */
    const char *function;      /* the aggregates are made by this function of job_functions.c; NULL: by SQL */
    bool is_final, is_direct;
    int partitions, row_count;
    struct naive_row rows[NAIVE_ROWS_MAX];
    char aggregate_sql[768];
};

void naive_draw(struct naive_plan *plan, uint64_t seed, int number, int rounds);
/* Writes the texts that depend on the drawn lists: again after one was changed. */
void naive_print(struct naive_plan *plan);
/* False when a change left values in min and max that SQL does not order. */
bool naive_is_sound(const struct naive_plan *plan);
void naive_add_job(const struct naive_plan *plan, struct job *job);
void naive_describe(const struct naive_plan *plan);

/* One stage that reads rows: what its accounts must say, and what lies beside its output. */
struct naive_stage {
    int64_t in, applied, filtered, late, dead;
    struct pairs dead_rows;    /* class, source row */
};
struct naive_result {
    struct naive_stage middle, main, rollup;
    struct pairs middle_rows, outputs, late_rows, rollups;
};
void naive_evaluate(const struct naive_plan *plan, bool close_windows, struct naive_result *result);
void naive_result_deinit(struct naive_result *result);

/* Shared by the generator and the model. */
void naive_print_decimal(struct buf *out, int64_t value, int scale);
void naive_print_n(struct buf *out, const struct naive_row *row);
bool naive_is_mapped(const struct naive_plan *plan);

#endif
