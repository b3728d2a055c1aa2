/* test_evolve.c: a topology that has changed since its app last ran.
 *
 * One source, one sum per region, changed in every way that is told apart: what weir_app_plan says,
 * what weir_app_run then does, and what stands in the output. Numbers are written by hand. A rebuild
 * must leave nothing of the old plan, whatever point it is killed at, and touch no other pipeline. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/job.h"
#include "tests/support/log_fixture.h"
#include "tests/support/orders.h"
#include "tests/support/pairs.h"
#include "tests/support/scratch_dir.h"

/* The topology, as it is to be next. */
struct shape {
    const char *filter, *group, *aggregate, *copy_filter, *having, *results;
    int64_t window_ms, lateness_ms;
    bool is_final, counts_copy;
};
static const struct shape plain = {.filter = "amount >= 0",
                                   .group = "region",
                                   .aggregate = "sum(amount::bigint) AS total, count(*) AS n",
                                   .copy_filter = "amount > 0",
                                   .lateness_ms = 30000};

struct fixture {
    char *dir;
    weir_app *app;
    struct shape shape;
    bool rebuild, from_beginning;
    weir_on_change on_change; /* of a rebuild */
    char error[1024];
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->dir = scratch_dir_create();
    f->shape = plain;
    f->on_change = WEIR_ON_CHANGE_REBUILD;
    *state = f;
    return 0;
}
static int tear_down(void **state)
{
    struct fixture *f = *state;
    weir_app_close(f->app);
    scratch_dir_remove(f->dir);
    free(f);
    return 0;
}

/* ---- input ---- */

/* ---- the job ---- */

static void open_app(struct fixture *f)
{
    struct job job = {.app = "shop"};
    const struct shape *shape = &f->shape;
    weir_options options = {.data = f->dir,
                            .until_end = true,
                            .from_beginning = f->from_beginning,
                            .on_change = f->rebuild ? f->on_change : WEIR_ON_CHANGE_REFUSE};
    weir_app_close(f->app);
    f->app = weir_app_open("shop", &options);
    assert_non_null(f->app);
    job_add(&job, JOB_SOURCE, "orders", "ts", 0);
    job_add(&job, JOB_LATENESS, NULL, NULL, shape->lateness_ms);
    job_add(&job, JOB_FILTER, shape->filter, NULL, 0);
    job_add(&job, JOB_GROUP, shape->group, NULL, 0);
    if (shape->window_ms > 0)
        job_add(&job, JOB_WINDOW, NULL, NULL, shape->window_ms);
    job_add(&job, JOB_AGGREGATE, shape->aggregate, NULL, 0);
    if (shape->is_final)
        job_add(&job, JOB_EMIT_FINAL, NULL, NULL, 0);
    if (shape->having != NULL)
        job_add(&job, JOB_FILTER, shape->having, NULL, 0);
    if (shape->results != NULL)
        job_add(&job, JOB_MAP, shape->results, NULL, 0);
    job_add(&job, JOB_TO, "sums", NULL, 0);
    job_add(&job, JOB_SOURCE, "orders", "ts", 0);
    job_add(&job, JOB_FILTER, shape->copy_filter, NULL, 0);
    job_add(&job, JOB_TO, "copy", NULL, 0);
    if (shape->counts_copy) {
        job_add(&job, JOB_SOURCE, "copy", "ts", 0);
        job_add(&job, JOB_GROUP, "region", NULL, 0);
        job_add(&job, JOB_AGGREGATE, "sum(amount::bigint) AS total, count(*) AS n", NULL, 0);
        job_add(&job, JOB_TO, "counts", NULL, 0);
    }
    job_build(&job, f->app);
}
static int run(void *context)
{
    struct fixture *f = context;
    open_app(f);
    int rc = weir_app_run(f->app);
    snprintf(f->error, sizeof f->error, "%s", rc < 0 ? weir_app_error(f->app) : "");
    return rc;
}
static void run_well(struct fixture *f)
{
    int rc = run(f);
    if (rc < 0)
        print_error("%s\n", f->error);
    assert_int_equal(rc, 0);
}

/* What the plan says of a pipeline, now. */
static weir_change change_of(struct fixture *f, const char *topic)
{
    weir_view_plan *views;
    size_t count;
    weir_change change = (weir_change)99;
    open_app(f);
    int rc = weir_app_plan(f->app, &views, &count);
    if (rc < 0)
        print_error("%s\n", weir_app_error(f->app));
    assert_int_equal(rc, 0);
    for (size_t i = 0; i < count; i++)
        if (strcmp(views[i].topic, topic) == 0) {
            change = views[i].change;
            assert_true((change >= WEIR_CHANGE_REUSABLE) == (views[i].reason[0] != '\0'));
        }
    weir_free(views);
    return change;
}

/* ---- output ---- */

#define ROW(region, total, n) "{\"region\":\"" region "\",\"total\":" total ",\"n\":" n "}"

static void assert_sums(const struct fixture *f, const char *north, const char *south)
{
    orders_assert_table(f->dir, "sums", NULL, north, south);
}
static void run_first(struct fixture *f)
{
    orders_fill(f->dir);
    assert_int_equal(change_of(f, "sums"), WEIR_CHANGE_NEW);
    run_well(f);
    assert_int_equal(change_of(f, "sums"), WEIR_CHANGE_NONE);
    assert_int_equal(change_of(f, "copy"), WEIR_CHANGE_NONE);
}

/* ---- reusable ---- */

/* The state is used: only new rows are read, and they are added to the old sums. */
static void go_on(struct fixture *f, const char *north, const char *south)
{
    assert_int_equal(change_of(f, "sums"), WEIR_CHANGE_REUSABLE);
    assert_int_equal(change_of(f, "copy"), WEIR_CHANGE_NONE);
    orders_append(f->dir, 0, "north", 20, 1);
    orders_append(f->dir, 1, "south", 30, 1);
    run_well(f);
    assert_sums(f, north, south);
    assert_int_equal(topic_rows_count(f->dir, "copy"), 16);
    assert_int_equal(change_of(f, "sums"), WEIR_CHANGE_NONE);
}
static void test_another_layout(void **state)
{
    struct fixture *f = *state;
    run_first(f);
    f->shape.filter = "(amount>=0)";
    f->shape.group = " REGION ";
    f->shape.aggregate = "SUM(CAST(amount AS bigint)) as total,   count(*) n";
    go_on(f, ROW("north", "75", "11"), ROW("south", "80", "5"));
}
static void test_other_columns_of_the_same_calls(void **state)
{
    struct fixture *f = *state;
    run_first(f);
    f->shape.aggregate = "sum(amount::bigint) + 1 AS more, count(*) AS n, sum(amount::bigint) AS t";
    go_on(f, "{\"region\":\"north\",\"more\":76,\"n\":11,\"t\":75}",
          "{\"region\":\"south\",\"more\":81,\"n\":5,\"t\":80}");
}
static void test_lateness_changes_nothing(void **state)
{
    struct fixture *f = *state;
    run_first(f);
    f->shape.lateness_ms = 1;
    assert_int_equal(change_of(f, "sums"), WEIR_CHANGE_NONE);
    run_well(f);
}

/* ---- rebuild ---- */

static void refused_then_rebuilt(struct fixture *f, const char *north, const char *south)
{
    assert_int_equal(change_of(f, "sums"), WEIR_CHANGE_REBUILD);
    assert_int_equal(change_of(f, "copy"), WEIR_CHANGE_NONE);
    assert_int_equal(run(f), WEIR_ESTATE);
    assert_non_null(strstr(f->error, "sums"));
    assert_non_null(strstr(f->error, "on_change"));
    assert_sums(f, ROW("north", "55", "10"), ROW("south", "50", "4"));
    f->rebuild = true;
    run_well(f);
    assert_sums(f, north, south);
    assert_int_equal(topic_rows_count(f->dir, "copy"), 14); /* it was not touched */
    assert_int_equal(change_of(f, "sums"), WEIR_CHANGE_NONE);
    run_well(f); /* and not again */
    assert_sums(f, north, south);
}
/* South has no rows left: its old one must go. */
static void test_another_filter(void **state)
{
    struct fixture *f = *state;
    run_first(f);
    f->shape.filter = "amount <= 3";
    refused_then_rebuilt(f, ROW("north", "6", "3"), NULL);
}
static void test_another_call(void **state)
{
    struct fixture *f = *state;
    run_first(f);
    f->shape.aggregate = "max(amount::bigint) AS total, count(*) AS n";
    refused_then_rebuilt(f, ROW("north", "10", "10"), ROW("south", "14", "4"));
}
static void test_another_order_of_calls(void **state)
{
    struct fixture *f = *state;
    run_first(f);
    f->shape.aggregate = "max(amount::bigint) AS total, sum(1) AS n";
    f->rebuild = true;
    run_well(f);
    f->shape.aggregate = "sum(1) AS n, max(amount::bigint) AS total";
    f->rebuild = false;
    assert_int_equal(change_of(f, "sums"), WEIR_CHANGE_REBUILD);
}
static void test_another_group(void **state)
{
    struct fixture *f = *state;
    run_first(f);
    f->shape.group = "'all of ' || region AS region";
    assert_int_equal(change_of(f, "sums"), WEIR_CHANGE_REBUILD);
    f->shape.group = "region AS place";
    assert_int_equal(change_of(f, "sums"), WEIR_CHANGE_REBUILD);
    f->shape = plain;
    f->shape.window_ms = 1000;
    assert_int_equal(change_of(f, "sums"), WEIR_CHANGE_REBUILD);
}
/* Which results there are is part of the table; what their values hold is not. */
static void test_another_condition_on_results(void **state)
{
    struct fixture *f = *state;
    run_first(f);
    f->shape.results = "n, total";
    assert_int_equal(change_of(f, "sums"), WEIR_CHANGE_REUSABLE);
    f->shape.results = NULL;
    f->shape.having = "n > 5";
    assert_int_equal(change_of(f, "sums"), WEIR_CHANGE_REBUILD);
    f->rebuild = true;
    run_well(f);
    assert_sums(f, ROW("north", "55", "10"), NULL);
    f->shape.having = "(n) > 5";
    assert_int_equal(change_of(f, "sums"), WEIR_CHANGE_REUSABLE);
}
/* 13 and 14 are left; with APPEND the 14 rows before stay. */
static void rebuild_copy(struct fixture *f, weir_on_change on_change, size_t rows)
{
    run_first(f);
    f->shape.copy_filter = "amount > 12";
    assert_int_equal(change_of(f, "copy"), WEIR_CHANGE_REBUILD);
    assert_int_equal(change_of(f, "sums"), WEIR_CHANGE_NONE);
    f->rebuild = true;
    f->on_change = on_change;
    run_well(f);
    assert_int_equal(topic_rows_count(f->dir, "copy"), rows);
    assert_sums(f, ROW("north", "55", "10"), ROW("south", "50", "4"));
    orders_append(f->dir, 1, "south", 15, 1);
    run_well(f); /* and not again */
    assert_int_equal(topic_rows_count(f->dir, "copy"), rows + 1);
}
static void test_rows_of_another_filter_replace_the_old_ones(void **state)
{
    rebuild_copy(*state, WEIR_ON_CHANGE_REBUILD, 2);
}
static void test_rows_of_another_filter_are_appended(void **state)
{
    rebuild_copy(*state, WEIR_ON_CHANGE_REBUILD_APPEND, 14 + 2);
}
static void test_an_appended_table_keeps_other_keys(void **state)
{
    struct fixture *f = *state;
    run_first(f);
    f->shape.filter = "amount <= 3";
    f->rebuild = true;
    f->on_change = WEIR_ON_CHANGE_REBUILD_APPEND;
    run_well(f);
    assert_sums(f, ROW("north", "6", "3"), ROW("south", "50", "4"));
}
static void test_final_and_changes(void **state)
{
    struct fixture *f = *state;
    f->shape.window_ms = 1000000;
    run_first(f);
    f->shape.is_final = true;
    f->shape.aggregate = "sum(amount::bigint) AS t, count(*) AS n";
    assert_int_equal(change_of(f, "sums"), WEIR_CHANGE_REUSABLE);
    run_well(f);
    orders_append(f->dir, 0, "north", 20, 1);
    run_well(f); /* the record says that it is final now */
    f->shape.is_final = false;
    assert_int_equal(change_of(f, "sums"), WEIR_CHANGE_REBUILD);
}

/* ---- refused ---- */

static void refused(struct fixture *f, const char *part)
{
    assert_int_equal(change_of(f, "sums"), WEIR_CHANGE_REFUSED);
    f->rebuild = true;
    assert_int_equal(run(f), WEIR_ESTATE);
    assert_non_null(strstr(f->error, part));
    assert_non_null(strstr(f->error, "from_beginning"));
    assert_sums(f, ROW("north", "55", "10"), ROW("south", "50", "4"));
}
static void test_a_source_without_its_beginning(void **state)
{
    struct fixture *f = *state;
    run_first(f);
    struct log *log = topic_log_open(f->dir);
    assert_int_equal(partition_purge(fixture_partition(log, "orders", 0), 3, NULL), 0);
    log_close(log);
    assert_int_equal(change_of(f, "sums"), WEIR_CHANGE_NONE);
    f->shape.filter = "amount <= 3";
    refused(f, "beginning");
}
static void test_a_source_that_is_another(void **state)
{
    struct fixture *f = *state;
    run_first(f);
    struct log *log = topic_log_open(f->dir);
    assert_int_equal(topic_delete(log, "orders", NULL), 0);
    log_close(log);
    orders_fill(f->dir);
    refused(f, "deleted and created again");
}

/* ---- views that others read ---- */

/* counts is of the rows of copy, and re-keyed. 13 + 14 = 27. */
static void run_chain_first(struct fixture *f)
{
    f->shape.counts_copy = true;
    run_first(f);
    assert_int_equal(change_of(f, "counts"), WEIR_CHANGE_NONE);
    orders_assert_table(f->dir, "counts", NULL, ROW("north", "55", "10"), ROW("south", "50", "4"));
    f->shape.copy_filter = "amount > 12";
    assert_int_equal(change_of(f, "copy"), WEIR_CHANGE_REBUILD);
    assert_int_equal(change_of(f, "counts"), WEIR_CHANGE_REBUILD);
    assert_int_equal(change_of(f, "sums"), WEIR_CHANGE_NONE);
    f->rebuild = true;
}
static void assert_chain_rebuilt(struct fixture *f)
{
    assert_int_equal(topic_rows_count(f->dir, "copy"), 2);
    orders_assert_table(f->dir, "counts", NULL, NULL, ROW("south", "27", "2"));
    assert_sums(f, ROW("north", "55", "10"), ROW("south", "50", "4"));
    f->rebuild = false;
    orders_append(f->dir, 0, "north", 20, 1);
    run_well(f);
    assert_int_equal(topic_rows_count(f->dir, "copy"), 3);
    orders_assert_table(f->dir, "counts", NULL, ROW("north", "20", "1"), ROW("south", "27", "2"));
    assert_sums(f, ROW("north", "75", "11"), ROW("south", "50", "4"));
}
static void test_who_reads_a_view_is_rebuilt_with_it(void **state)
{
    struct fixture *f = *state;
    run_chain_first(f);
    run_well(f);
    assert_chain_rebuilt(f);
}
/* Old rows stay in the topic, and are no part of what is made of the new ones. */
static void test_readers_begin_behind_rows_that_stay(void **state)
{
    struct fixture *f = *state;
    run_chain_first(f);
    f->on_change = WEIR_ON_CHANGE_REBUILD_APPEND;
    run_well(f);
    assert_int_equal(topic_rows_count(f->dir, "copy"), 14 + 2);
    orders_assert_table(f->dir, "counts", NULL, ROW("north", "55", "10"), ROW("south", "27", "2"));
}
static void test_readers_begin_behind_what_a_replay_appends_to(void **state)
{
    struct fixture *f = *state;
    f->shape.counts_copy = true;
    run_first(f);
    f->from_beginning = true;
    run_well(f);
    run_well(f);
    assert_int_equal(topic_rows_count(f->dir, "copy"), 3 * 14);
    orders_assert_table(f->dir, "counts", NULL, ROW("north", "55", "10"), ROW("south", "50", "4"));
}
/* A reader that is new when what it reads is rebuilt, and one that has read another topic before. */
static void test_a_new_reader_of_a_rebuilt_view(void **state)
{
    struct fixture *f = *state;
    run_first(f);
    f->shape.counts_copy = true;
    f->shape.copy_filter = "amount > 12";
    f->rebuild = true;
    f->on_change = WEIR_ON_CHANGE_REBUILD_APPEND;
    run_well(f);
    assert_int_equal(topic_rows_count(f->dir, "copy"), 14 + 2);
    orders_assert_table(f->dir, "counts", NULL, NULL, ROW("south", "27", "2"));
    /* Its tasks have two records by now: where they were to begin, and where they stand. */
    weir_log *log;
    weir_offset offsets[] = {{"copy", 0, 0, NULL}, {"copy", 1, 5, NULL}};
    weir_app_reset_options options = {.topic = "counts",
                                      .to = WEIR_RESET_TO_OFFSET,
                                      .offsets = offsets,
                                      .offset_count = 2,
                                      .outputs = WEIR_OUTPUTS_CLEAR,
                                      .execute = true};
    assert_int_equal(weir_log_open(f->dir, NULL, &log), 0);
    assert_int_equal(weir_app_reset(log, "shop", &options, NULL), 0);
    assert_int_equal(weir_log_close(log), 0);
    f->rebuild = false;
    run_well(f);
    orders_assert_table(f->dir, "counts", NULL, ROW("north", "55", "10"), ROW("south", "27", "2"));
}
/* While it is not in the topology, its state is of rows that go. */
static void test_a_reader_that_is_away(void **state)
{
    struct fixture *f = *state;
    run_chain_first(f);
    f->shape.counts_copy = false;
    run_well(f);
    f->shape.counts_copy = true;
    f->rebuild = false;
    run_well(f);
    assert_chain_rebuilt(f);
}

/* ---- killed in a rebuild ---- */

static void kill_and_finish(struct fixture *f, const char *point, bool begun)
{
    run_first(f);
    f->shape.filter = "amount <= 3";
    f->rebuild = true;
    assert_int_equal(fixture_child(run, f, point), 137);
    f->rebuild = !begun; /* what was begun is finished without being asked for again */
    run_well(f);
    assert_sums(f, ROW("north", "6", "3"), NULL);
    assert_int_equal(topic_rows_count(f->dir, "copy"), 14);
    run_well(f);
    assert_sums(f, ROW("north", "6", "3"), NULL);
}
static void test_killed_before_the_rebuild_is_recorded(void **state)
{
    kill_and_finish(*state, "decide.before", false);
}
static void test_killed_before_the_state_goes(void **state)
{
    kill_and_finish(*state, "topic.delete.begin", true);
}
static void test_killed_between_two_deletions(void **state)
{
    kill_and_finish(*state, "topic.delete.begin:2", true);
}
static void test_killed_before_the_rebuild_is_over(void **state)
{
    kill_and_finish(*state, "decide.before:2", true);
}
static void test_killed_in_the_first_commit(void **state)
{
    kill_and_finish(*state, "commit_before_append", true);
}

static void test_killed_anywhere_in_the_rebuild_of_a_chain(void **state)
{
    static const struct {
        const char *point;
        bool begun;
    } kills[] = {
        {"reset_before", false},   {"decide.before", false},       {"reset_begun", true},
        {"reset_forgotten", true}, {"reset_forgotten:2", true},    {"reset_cleared", true},
        {"reset_cleared:2", true}, {"reset_before_end", true},     {"decide.before:2", true},
        {"reset_ended", true},     {"commit_before_append", true}, {"commit_decided", true}};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof kills / sizeof *kills; i++) {
        f->shape = plain;
        f->rebuild = false;
        run_chain_first(f);
        assert_int_equal(fixture_child(run, f, kills[i].point), 137);
        f->rebuild = !kills[i].begun;
        run_well(f);
        assert_chain_rebuilt(f);
        scratch_dir_remove(f->dir);
        f->dir = scratch_dir_create();
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
    scratch_dir_in_memory();
    const struct CMUnitTest tests[] = {
        TEST(test_another_layout),
        TEST(test_other_columns_of_the_same_calls),
        TEST(test_lateness_changes_nothing),
        TEST(test_another_filter),
        TEST(test_another_call),
        TEST(test_another_order_of_calls),
        TEST(test_another_group),
        TEST(test_another_condition_on_results),
        TEST(test_rows_of_another_filter_replace_the_old_ones),
        TEST(test_rows_of_another_filter_are_appended),
        TEST(test_an_appended_table_keeps_other_keys),
        TEST(test_final_and_changes),
        TEST(test_a_source_without_its_beginning),
        TEST(test_a_source_that_is_another),
        TEST(test_who_reads_a_view_is_rebuilt_with_it),
        TEST(test_readers_begin_behind_rows_that_stay),
        TEST(test_readers_begin_behind_what_a_replay_appends_to),
        TEST(test_a_new_reader_of_a_rebuilt_view),
        TEST(test_a_reader_that_is_away),
        TEST(test_killed_before_the_rebuild_is_recorded),
        TEST(test_killed_before_the_state_goes),
        TEST(test_killed_between_two_deletions),
        TEST(test_killed_before_the_rebuild_is_over),
        TEST(test_killed_in_the_first_commit),
        TEST(test_killed_anywhere_in_the_rebuild_of_a_chain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
