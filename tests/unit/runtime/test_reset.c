/* test_reset.c: from_beginning, and crashes inside it.
 *
 * Orders of a shop are copied and summed again and again; the numbers expected are written by hand.
 * A reset that was begun (its progress records are committed) must be finished by the next start,
 * wherever the crash was; one that was finished must never be done again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/progress.h"
#include "tests/support/job.h"
#include "tests/support/log_fixture.h"
#include "tests/support/orders.h"
#include "tests/support/pairs.h"
#include "tests/support/scratch_dir.h"

struct fixture {
    char *dir;
    bool from_beginning, close_windows;
    weir_progress progress;
    char error[1024];
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->dir = scratch_dir_create();
    *state = f;
    return 0;
}
static int tear_down(void **state)
{
    struct fixture *f = *state;
    scratch_dir_remove(f->dir);
    free(f);
    return 0;
}

/* ---- input ---- */

/* ---- the job: a copy, and sums that are re-keyed ---- */

static int run(void *context)
{
    struct fixture *f = context;
    struct job job = {.app = "shop"};
    weir_options options = {.data = f->dir,
                            .until_end = true,
                            .from_beginning = f->from_beginning,
                            .close_windows = f->close_windows};
    char error[1024];
    job_add(&job, JOB_SOURCE, "orders", "ts", 0);
    job_add(&job, JOB_FILTER, "amount >= 0", NULL, 0);
    job_add(&job, JOB_TO, "copy", NULL, 0);
    job_add(&job, JOB_SOURCE, "orders", "ts", 0);
    job_add(&job, JOB_GROUP, "region", NULL, 0);
    job_add(&job, JOB_WINDOW, NULL, NULL, 1000000);
    job_add(&job, JOB_AGGREGATE, "sum(amount::bigint) AS total, count(*) AS n", NULL, 0);
    job_add(&job, JOB_TO, "sums", NULL, 0);
    int rc = job_run(&job, &options, &f->progress, error, sizeof error);
    if (rc < 0)
        print_error("%s\n", error);
    snprintf(f->error, sizeof f->error, "%s", rc < 0 ? error : "");
    return rc == 0 ? 0 : 1;
}
static void run_well(struct fixture *f, bool from_beginning)
{
    f->from_beginning = from_beginning;
    assert_int_equal(run(f), 0);
}

#define KEY(region) "{\"region\":\"" region "\",\"window_start\":\"1970-01-01T00:00:00.000Z\"}"
#define ROW(region, total, n)                                                                      \
    "{\"region\":\"" region "\",\"window_start\":\"1970-01-01T00:00:00.000Z\",\"window_end\":"     \
    "\"1970-01-01T00:16:40.000Z\",\"total\":" total ",\"n\":" n "}"

static void assert_sums(const struct fixture *f, const char *north, const char *south)
{
    static const char *const keys[] = {KEY("north"), KEY("south")};
    orders_assert_table(f->dir, "sums", keys, north, south);
}

/* How many tasks' latest progress records say that they are being started anew. */
static int resets_left(const struct fixture *f)
{
    struct topic_rows rows;
    struct log *log = topic_log_open(f->dir);
    int count = 0;
    topic_rows_init(&rows);
    topic_rows_read(log, "shop-progress", READ_COMMITTED, &rows);
    topic_rows_latest(&rows);
    for (size_t i = 0; i < rows.count; i++) {
        struct progress progress;
        assert_int_equal(progress_decode(rows.items[i].key, rows.items[i].value, &progress, NULL),
                         0);
        count += progress.is_reset;
        progress_deinit(&progress);
    }
    topic_rows_deinit(&rows);
    log_close(log);
    return count;
}

static void test_from_beginning(void **state)
{
    struct fixture *f = *state;
    orders_fill(f->dir);
    run_well(f, false);
    assert_sums(f, ROW("north", "55", "10"), ROW("south", "50", "4"));
    assert_int_equal(topic_rows_count(f->dir, "copy"), 14);
    orders_append(f->dir, 0, "north", 20, 1);
    run_well(f, true);
    assert_sums(f, ROW("north", "75", "11"),
                ROW("south", "50", "4")); /* not 130: the state was forgotten */
    assert_int_equal(topic_rows_count(f->dir, "copy"), 14 + 15); /* rows are appended once more */
    assert_int_equal(f->progress.rows_in, 2 * 15);               /* both streams read all of it */
    assert_int_equal(resets_left(f), 0);
    orders_append(f->dir, 1, "south", 30, 1);
    run_well(f, false);
    assert_sums(f, ROW("north", "75", "11"), ROW("south", "80", "5"));
    assert_int_equal(topic_rows_count(f->dir, "copy"), 14 + 15 + 1);
}

static void test_on_nothing(void **state)
{
    struct fixture *f = *state;
    orders_fill(f->dir);
    run_well(f, true);
    assert_sums(f, ROW("north", "55", "10"), ROW("south", "50", "4"));
    assert_int_equal(topic_rows_count(f->dir, "copy"), 14);
}

/* Stages of the same app that are not in the topology keep their place. */
static void test_other_stages_stay(void **state)
{
    struct fixture *f = *state;
    struct job job = {.app = "shop"};
    weir_options options = {.data = f->dir, .until_end = true};
    char error[1024];
    orders_fill(f->dir);
    run_well(f, false);
    job_add(&job, JOB_SOURCE, "orders", "ts", 0);
    job_add(&job, JOB_TO, "copy2", NULL, 0);
    assert_int_equal(job_run(&job, &options, NULL, error, sizeof error), 0);
    run_well(f, true);
    assert_int_equal(job_run(&job, &options, NULL, error, sizeof error), 0);
    assert_int_equal(topic_rows_count(f->dir, "copy2"), 14);
    assert_int_equal(topic_rows_count(f->dir, "copy"), 2 * 14);
}

/* Dies at the point in a run with from_beginning; the next start, without it, finishes what was
 * begun. is_recorded: at that point the topic still says that a reset is under way. */
static void crash_and_finish(struct fixture *f, const char *point, bool is_recorded)
{
    orders_fill(f->dir);
    run_well(f, false);
    f->from_beginning = true;
    assert_int_equal(fixture_child(run, f, point), 137);
    assert_true((resets_left(f) > 0) == is_recorded);
    orders_append(f->dir, 0, "north", 20, 1);
    run_well(f, false);
    assert_sums(f, ROW("north", "75", "11"), ROW("south", "50", "4"));
    assert_int_equal(topic_rows_count(f->dir, "copy"), 14 + 15);
    assert_int_equal(resets_left(f), 0);
    run_well(f, false);
    assert_sums(f, ROW("north", "75", "11"), ROW("south", "50", "4"));
    assert_int_equal(topic_rows_count(f->dir, "copy"), 14 + 15);
}

static void test_crash_before_a_deletion(void **state)
{
    crash_and_finish(*state, "topic.delete.begin", true);
}
static void test_crash_inside_a_deletion(void **state)
{
    crash_and_finish(*state, "topic.delete.renamed", true);
}
static void test_crash_after_a_deletion(void **state)
{
    crash_and_finish(*state, "topic.delete.recorded", true);
}
static void test_crash_before_the_second_deletion(void **state)
{
    crash_and_finish(*state, "topic.delete.begin:2", true);
}
static void test_crash_before_the_reset_is_over(void **state)
{
    crash_and_finish(*state, "decide.before:2", true);
}
static void test_crash_before_topics_are_made(void **state)
{
    crash_and_finish(*state, "topic.create.recorded", false);
}
static void test_crash_before_the_first_commit(void **state)
{
    crash_and_finish(*state, "commit_before_append", false);
}

/* A crash before the reset records are decided: nothing was begun. */
static void test_crash_before_the_decision(void **state)
{
    struct fixture *f = *state;
    orders_fill(f->dir);
    run_well(f, false);
    f->from_beginning = true;
    assert_int_equal(fixture_child(run, f, "decide.before"), 137);
    orders_append(f->dir, 0, "north", 20, 1);
    run_well(f, false);
    assert_sums(f, ROW("north", "75", "11"), ROW("south", "50", "4"));
    assert_int_equal(topic_rows_count(f->dir, "copy"), 14 + 1);
}

/* A task that has nothing to read after the reset makes no commit of its own. That must not keep
 * the reset alive. */
static void test_an_idle_task_does_not_reset_again(void **state)
{
    struct fixture *f = *state;
    orders_append(f->dir, 0, "north", 1, 10); /* partition 1 stays empty */
    f->close_windows = true;                  /* every task commits the raised watermark */
    run_well(f, false);
    f->close_windows = false;
    run_well(f, true);
    assert_int_equal(topic_rows_count(f->dir, "copy"), 2 * 10);
    run_well(f, false);
    assert_int_equal(topic_rows_count(f->dir, "copy"), 2 * 10);
    assert_int_equal(f->progress.rows_in, 0);
}

/* The first commit after a reset ends it: what was written by then is not written again. */
static void test_a_crash_after_the_first_commit_is_no_reset(void **state)
{
    struct fixture *f = *state;
    orders_fill(f->dir);
    run_well(f, false);
    f->from_beginning = true;
    /* Decisions: the reset's own, then those of the run. */
    assert_int_equal(fixture_child(run, f, "commit_decided"), 137);
    size_t copied = topic_rows_count(f->dir, "copy");
    assert_true(copied > 14);
    run_well(f, false);
    assert_int_equal(topic_rows_count(f->dir, "copy"), 2 * 14);
    assert_sums(f, ROW("north", "55", "10"), ROW("south", "50", "4"));
}

/* Retention, or somebody, removes records that a stage has not read: it stops and says which,
 * instead of going on without them. */
static void test_removed_records_are_not_skipped(void **state)
{
    struct fixture *f = *state;
    orders_append(f->dir, 0, "north", 1, 10);
    run_well(f, false);
    orders_append(f->dir, 0, "north", 11, 5); /* offsets 10 to 14 */
    struct log *log = topic_log_open(f->dir);
    assert_int_equal(partition_purge(fixture_partition(log, "orders", 0), 13, NULL), 0);
    log_close(log);
    f->from_beginning = false;
    assert_int_equal(run(f), 1);
    assert_non_null(
        strstr(f->error, "orders-0 starts at offset 13: the records from 10 to 12 were removed"));
    assert_non_null(strstr(f->error, "from_beginning"));
    assert_sums(f, ROW("north", "55", "10"), NULL); /* nothing was written */
    run_well(f, true);                              /* accepted: what is left counts */
    assert_sums(f, ROW("north", "29", "2"), NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
    scratch_dir_in_memory();
    const struct CMUnitTest tests[] = {
        TEST(test_from_beginning),
        TEST(test_on_nothing),
        TEST(test_other_stages_stay),
        TEST(test_crash_before_a_deletion),
        TEST(test_crash_inside_a_deletion),
        TEST(test_crash_after_a_deletion),
        TEST(test_crash_before_the_second_deletion),
        TEST(test_crash_before_the_reset_is_over),
        TEST(test_crash_before_topics_are_made),
        TEST(test_crash_before_the_first_commit),
        TEST(test_crash_before_the_decision),
        TEST(test_an_idle_task_does_not_reset_again),
        TEST(test_a_crash_after_the_first_commit_is_no_reset),
        TEST(test_removed_records_are_not_skipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
