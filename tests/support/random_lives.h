/* random_lives.h: what programs that draw lives of many cases share: numbers from the environment, processes, a limit of time for each life. */
#ifndef WEIR_TESTS_RANDOM_LIVES_H
#define WEIR_TESTS_RANDOM_LIVES_H

#include <stdint.h>

struct random_lives {
    const char *cases_name, *life_name; /* variables: how many cases; the one life to run */
    long cases;                /* unless the variable says otherwise */
    int cases_a_life, failures_max;
    int (*try_life)(uint64_t seed, long tried); /* 0, or 1 after it said on stderr what differs; tried: cases of these lives and those before */
};
/* Runs the life that the environment names, or as many as there are cases, in WEIR_RANDOM_JOBS processes, from WEIR_RANDOM_SEED on (the clock, and printed). How many failed. */
int random_lives_run(const struct random_lives *lives);
/* From now on a life of this number runs: when it does not come to its end, the program ends and names it. */
void random_life_begins(const struct random_lives *lives, uint64_t seed);
/* main's first call: directories in memory, and an allocator for many short lives of LMDB. */
void random_lives_prepare(void);

#endif
