/* kill_ledger.h: the job of the crash tests, its input, and what must come of it, recomputed from the input log alone.
 *
 *   in ── check amount >= 0 ──► valid ── group region, 10 s ──► totals   (changes, re-keyed)
 *                                └───── group user, 10 s ────► finals   (final, re-keyed) ── group user ──► rollup   (changes, re-keyed) */
#ifndef WEIR_TESTS_KILL_LEDGER_H
#define WEIR_TESTS_KILL_LEDGER_H

#include "tests/support/job.h"
#include "tests/support/pairs.h"

enum { KILL_PARTITIONS = 2 };
#define KILL_APP "kill"

void kill_job(struct job *job);

/* The seed of everything random in a crash test; next() is its only source. */
struct chance {
    uint64_t state;
};
uint64_t chance_next(struct chance *chance);
int64_t chance_below(struct chance *chance, int64_t limit);
/* A place to be killed at (weir_test_points) that a running job may pass. */
const char *kill_place(struct chance *chance);

struct kill_input {
    int64_t next_id;
    int64_t time_ms[KILL_PARTITIONS];   /* how far each partition's events have got */
};
/* Creates the topic "in". */
void kill_input_create(struct log *log, struct kill_input *input);
/* Appends rows with ids of their own; returns when they are acknowledged. Most are good and on time; some are late, negative or no JSON. */
void kill_input_append(struct log *log, struct kill_input *input, struct chance *chance, int rows);

/* What the topics must hold once the job has read all of "in". */
struct kill_expected {
    struct pairs valid[KILL_PARTITIONS];  /* their order is that of the input: the caller compares before sorting */
    struct pairs totals, finals, rollup, late, dead;
    struct pairs open_totals, open_finals; /* of windows that the watermark has not passed: what the stores hold; keys as stored, values as in the topics */
    int64_t rows_in;
};
/* Naive recomputation. closed: every window was closed (close_windows), else those that the smallest watermark has passed. */
void kill_expected_build(struct log *log, bool closed, struct kill_expected *expected);
void kill_expected_free(struct kill_expected *expected);

#endif
