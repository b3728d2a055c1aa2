/* weir_test.h: what the files behind weir_test_… in weir.h share. */
#ifndef WEIR_RUNTIME_WEIR_TEST_H
#define WEIR_RUNTIME_WEIR_TEST_H

#include "runtime/weir_test_engine.h"

enum { TEST_POINTS_MAX = 96 };

/* How far weir_test_read has got in a topic. */
struct test_cursor {
    struct test_cursor *next;
    int64_t *positions;               /* by partition */
    int32_t partitions;
    char topic[];
};

/* One thread uses it. */
struct weir_test {
    weir_app *app;                    /* the caller's */
    struct weir_options app_options;  /* as they were, and */
    char *app_data;
    char *dir;
    bool owns_dir;
    int32_t partitions;
    weir_log *log;                    /* NULL: closed after a kill */
    weir_producer *producer;          /* of weir_test_send; NULL: none yet */
    struct engine engine;
    struct test_cursor *cursors;
    struct diag diag;

    /* weir_test_kill.c */
    bool is_dead;                     /* no file takes anything any more */
    bool is_told;                     /* and its caller knows it */
    const char *died_at;
    int armed;                        /* index of the point, -1: none */
    int64_t passings_left;
    int64_t passings[TEST_POINTS_MAX];
};

/* weir_test_kill.c: the gate between the engine and its files. */
void kill_begin(weir_test *test);     /* the process's hooks are ours … */
void kill_end(weir_test *test);       /* … and are no more */
void kill_now(weir_test *test, const char *where);
void kill_undo(weir_test *test);      /* files take writes again */

/* weir_test_read.c */
int read_topic(weir_test *test, struct test_cursor *cursor, weir_record **records, size_t *count, struct diag *diag);

#endif
