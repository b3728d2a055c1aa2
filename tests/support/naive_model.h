/* naive_model.h: what the files of the naive evaluator share (see naive.h). */
#ifndef WEIR_TESTS_NAIVE_MODEL_H
#define WEIR_TESTS_NAIVE_MODEL_H

#include "tests/support/naive.h"

/* ---- naive_rows.c: rows, and the steps that they pass ---- */

void naive_print_decimal(struct buf *out, int64_t value, int scale);
void naive_print_value(struct buf *out, enum value_kind kind, int64_t n);
/* The columns of a map, as a row of a topic. */
void naive_print_mapped(struct naive_row *row);

/* Whether one of the steps makes columns, so that rows are written anew. */
bool naive_maps(const struct naive_plan *plan, int from, int to);
/* Behind all steps n is what a map made of it, which is numeric. */
bool naive_n_is_numeric(const struct naive_plan *plan, int steps);

/* For what reads n: NULL is unknown, anything but a number an error. */
enum truth { NO, YES, UNKNOWN, TYPE_MISMATCH, DIVISION_BY_ZERO };
enum truth naive_n_usable(const struct naive_row *row);

/* Counts a dead letter of the stage: source is the record. */
void naive_die(struct naive_stage *stage, const char *source, const char *error_class);
/* Takes a row of a stage through the steps [from, to); end gets what comes out, row by row. */
struct naive_walk {
    const struct naive_plan *plan;
    struct naive_stage *stage;
    int to;
    const char *source;
    void (*end)(void *context, struct naive_row *row, const char *source);
    void *context;
    int64_t made_count;        /* rows that came of this one so far: their order */
};
void naive_walk(struct naive_walk *walk, const struct naive_row *row, int from);

/* ---- naive_local.c ---- */

/* The window of so many units of the zone's clocks that holds a time. */
void naive_local_window(const char *zone, int unit, int units, int64_t ts_ms, int64_t *start_ms, int64_t *end_ms);

/* ---- naive_group.c: groups, their aggregates, their results ---- */

/* Values that were seen, each once. */
struct naive_values {
    int64_t *items;
    int count;
};
struct naive_group {
    char k;
    int64_t g, start_ms, end_ms;
    int partition; /* of the first row; where a direct job keeps it */
    int64_t c, cn, sn, sa, low, high, cp;
    int sa_scale;
    bool has_n, has_a, has_first_n, has_last_a, has_first_k;
    struct naive_row first_n, last_a, first_k;
    struct naive_values distinct_n, distinct_a, distinct_g;
};
struct naive_groups {
    struct naive_group **items;
    int count;
};
struct naive_group *naive_find_group(struct naive_groups *groups, char k, int64_t g, int64_t start_ms, int partition);
void naive_groups_deinit(struct naive_groups *groups);
void naive_add_row(struct naive_group *group, const struct naive_row *row);
void naive_print_group(const struct naive_plan *plan, const struct naive_group *group, struct pairs *outputs);
void naive_roll_up(const struct naive_plan *plan, const struct naive_group *const *closed, int count, struct naive_result *result);

#endif
