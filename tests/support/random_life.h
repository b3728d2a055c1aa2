/* random_life.h: one life of an app with several random jobs (naive.h): drawn, run, and compared with what the naive evaluator says. */
#ifndef WEIR_TESTS_RANDOM_LIFE_H
#define WEIR_TESTS_RANDOM_LIFE_H

#include "tests/support/naive.h"

enum { LIFE_CASES = 8 };

/* How one round of a life is made. */
struct life_run {
    int threads, batch_rows, commit_interval_ms, checkpoint_interval_ms;
    int64_t memory_bytes;
    bool loses_stores;         /* before it */
    int writes, failing_writes; /* not driven: after so many writes to outputs so many fail, and all pipelines try again; 0: none fails */
    bool ends;                 /* driven: it goes to the end of what is there, and the engine ends */
    enum life_begin { GOES_ON, RESTARTS, IS_KILLED } begin; /* driven: what happens to the engine before it */
    const char *kill_at;       /* driven: dies at this place, at the kill_number-th passing from when it has its rows */
    int64_t kill_number;
    int steps, new_threads;    /* driven, new_threads > 0: so many workers after so many steps */
    int64_t advances_ms[NAIVE_CLOCKS_MAX];
};
struct life {
    uint64_t seed;
    struct naive_setting setting;
    struct life_run runs[NAIVE_ROUNDS_MAX];
    struct naive_round rounds[NAIVE_ROUNDS_MAX]; /* what decides results; the driven clock is put down when it is known */
    int case_count;
    struct naive_plan *cases[LIFE_CASES];
    int kills;                 /* how often it died at its places */
};

/* Allocates the cases. */
void life_draw(struct life *life, uint64_t seed);
/* The same for a setting that is given; a driven life begins in 2026 when it says nothing else. */
void life_draw_for(struct life *life, uint64_t seed, const struct naive_setting *setting);
void life_free(struct life *life);
/* Which of its cases differ, as bits; all of them when the app failed or its accounts do not close. Differences go to stderr. */
unsigned life_run(struct life *life);
/* One line: how it runs. */
void life_describe(const struct life *life);

#endif
