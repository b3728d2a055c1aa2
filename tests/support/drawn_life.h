/* drawn_life.h: one life of an app that is several drawn files (drawn_sql.h): run by weir_test, with kills and restarts, and compared with what the model says. */
#ifndef WEIR_TESTS_DRAWN_LIFE_H
#define WEIR_TESTS_DRAWN_LIFE_H

#include "tests/support/drawn_sql.h"
#include "tests/support/job.h"

enum { SQL_LIFE_FILES = 6 };

enum sql_begin { SQL_GOES_ON, SQL_RESTARTS, SQL_IS_KILLED };
struct sql_life_run {
    int threads, batch_rows, commit_interval_ms, checkpoint_interval_ms;
    enum sql_begin begin;
    const char *kill_at;       /* NULL: nowhere */
    int64_t kill_number;
    int steps;                 /* before its rows are all sent */
};
struct sql_life {
    uint64_t seed;
    int rounds, file_count;
    bool is_timed, closes_windows;
    struct sql_life_run runs[DRAWN_ROUNDS_MAX];
    struct drawn_file files[SQL_LIFE_FILES];
    int kills;
};
void sql_life_draw(struct sql_life *life, uint64_t seed);
void sql_life_free(struct sql_life *life);
/* Which of its files differ, as bits; all of them when the app failed. Differences go to stderr. */
unsigned sql_life_run(struct sql_life *life);

#endif
