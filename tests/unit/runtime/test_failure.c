/* test_failure.c: partitions of pipelines that fail, and what becomes of them and of all the others.
 *
 * Two pipelines read one topic on one worker, so that they commit together: a copy of rows, and sums
 * that are re-keyed. One is made to fail: bytes of its input are flipped, its output's file refuses
 * writes for a while, garbage lies in its repartition topic. What the other gives, and what the
 * failing one gives in the end, is written by hand. Every row of the copy is counted: a commit that
 * was undone and done again must not show twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/io.h"
#include "tests/support/job.h"
#include "tests/support/log_fixture.h"
#include "tests/support/orders.h"
#include "tests/support/pairs.h"
#include "tests/support/scratch_dir.h"

struct fixture {
    char *dir;
    int threads;
    bool until_end;
    weir_app *app;
    weir_progress progress;
    char error[1024];
    /* writes to files of this topic fail so often */
    const char *failing_topic;
    atomic_int failures_left;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->dir = scratch_dir_create();
    f->threads = 1;
    f->until_end = true;
    *state = f;
    return 0;
}
static int tear_down(void **state)
{
    struct fixture *f = *state;
    io_set_fault(NULL, NULL);
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
    weir_options options = {
        .data = f->dir, .until_end = f->until_end, .threads = f->threads, .commit_interval_ms = 10};
    weir_app_close(f->app);
    f->app = weir_app_open("shop", &options);
    assert_non_null(f->app);
    job_add(&job, JOB_SOURCE, "orders", "ts", 0);
    job_add(&job, JOB_FILTER, "amount >= 0", NULL, 0);
    job_add(&job, JOB_TO, "copy", NULL, 0);
    job_add(&job, JOB_SOURCE, "orders", "ts", 0);
    job_add(&job, JOB_GROUP, "region", NULL, 0);
    job_add(&job, JOB_AGGREGATE, "sum(amount::bigint) AS total, count(*) AS n", NULL, 0);
    job_add(&job, JOB_TO, "sums", NULL, 0);
    job_build(&job, f->app);
}
static void on_failure(struct fixture *f, const char *topic, weir_failure policy, int32_t retries)
{
    assert_int_equal(weir_on_failure(f->app, topic,
                                     &(weir_failure_options){
                                         .policy = policy, .retries = retries, .backoff_ms = 1}),
                     0);
}
static int run(struct fixture *f)
{
    int rc = weir_app_run(f->app);
    snprintf(f->error, sizeof f->error, "%s", rc < 0 ? weir_app_error(f->app) : "");
    weir_app_progress(f->app, &f->progress);
    return rc;
}
static void run_well(struct fixture *f)
{
    int rc = run(f);
    if (rc < 0)
        print_error("%s\n", f->error);
    assert_int_equal(rc, 0);
}

/* Of the pipeline; texts belong to a static copy. */
static weir_stage_info stage(struct fixture *f, const char *topic)
{
    static char reason[1024];
    weir_stage_info *stages, found = {.topic = NULL};
    size_t count;
    assert_int_equal(weir_app_stages(f->app, &stages, &count), 0);
    for (size_t i = 0; i < count; i++)
        if (strcmp(stages[i].topic, topic) == 0)
            found = stages[i];
    assert_non_null(found.topic);
    snprintf(reason, sizeof reason, "%s", found.reason);
    found.topic = topic;
    found.reason = reason;
    weir_free(stages);
    return found;
}

/* ---- output ---- */

#define ROW(region, total, n) "{\"region\":\"" region "\",\"total\":" total ",\"n\":" n "}"

static void assert_sums(const struct fixture *f, const char *north, const char *south)
{
    orders_assert_table(f->dir, "sums", NULL, north, south);
}

/* ---- what breaks ---- */

/* A byte in the middle of the only batch of a partition. */
static void damage(const struct fixture *f, const char *topic, int partition)
{
    char *path = scratch_path(f->dir, "topics/%s-%d/00000000000000000000.log", topic, partition);
    int fd = open(path, O_RDWR);
    uint8_t byte;
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, 80), 1);
    byte ^= 0x40;
    assert_int_equal(pwrite(fd, &byte, 1, 80), 1);
    close(fd);
    free(path);
}

static int refuse_writes(void *context, enum io_call call, const char *path, int fd, size_t *size)
{
    struct fixture *f = context;
    char link[64], name[512], part[128];
    if (call != IO_PWRITE || path != NULL || atomic_load(&f->failures_left) <= 0)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, name, sizeof name - 1);
    if (length < 0)
        return 0;
    name[length] = '\0';
    snprintf(part, sizeof part, "/%s-", f->failing_topic);
    if (strstr(name, part) == NULL)
        return 0;
    atomic_fetch_sub(&f->failures_left, 1);
    *size = 0;
    return ENOSPC;
}
static void fail_writes(struct fixture *f, const char *topic, int times)
{
    f->failing_topic = topic;
    atomic_store(&f->failures_left, times);
    io_set_fault(refuse_writes, f);
}

/* ---- tests ---- */

static void test_the_default_ends_the_run(void **state)
{
    struct fixture *f = *state;
    orders_fill(f->dir);
    damage(f, "orders", 1);
    open_app(f);
    assert_true(run(f) < 0);
    assert_non_null(strstr(f->error, "orders-1"));
    assert_int_equal(stage(f, "copy").state == WEIR_STAGE_RUNNING, 0);
}

/* Everything that does not need the damaged partition is done; the error is returned in the end. */
static void test_a_damaged_partition_stops_itself_only(void **state)
{
    struct fixture *f = *state;
    orders_fill(f->dir);
    damage(f, "orders", 1);
    open_app(f);
    on_failure(f, NULL, WEIR_FAILURE_STOP, 0);
    assert_int_equal(run(f), WEIR_ECORRUPT);
    assert_non_null(strstr(f->error, "orders-1"));
    weir_stage_info copy = stage(f, "copy"), sums = stage(f, "sums");
    assert_int_equal(copy.state, WEIR_STAGE_STOPPED);
    assert_int_equal(copy.partition, 1);
    assert_int_equal(copy.code, WEIR_ECORRUPT);
    assert_non_null(strstr(copy.reason, "orders-1"));
    assert_int_equal(copy.tasks, 2);
    assert_int_equal(copy.tasks_stopped, 1);
    assert_int_equal(sums.tasks, 4);
    assert_int_equal(sums.tasks_stopped, 1);
    assert_int_equal(f->progress.tasks_stopped, 2);
    assert_int_equal(topic_rows_count(f->dir, "copy"), 10);
    assert_sums(f, ROW("north", "55", "10"), NULL);
}

static void test_retries_come_to_an_end(void **state)
{
    struct fixture *f = *state;
    orders_fill(f->dir);
    damage(f, "orders", 1);
    open_app(f);
    on_failure(f, "copy", WEIR_FAILURE_RETRY, 2);
    on_failure(f, "sums", WEIR_FAILURE_SKIP, 3); /* what is wrong around a record is not skipped */
    assert_int_equal(run(f), WEIR_ECORRUPT);
    assert_int_equal(stage(f, "copy").failures, 3);
    assert_int_equal(stage(f, "copy").state, WEIR_STAGE_STOPPED);
    assert_int_equal(stage(f, "sums").failures, 4);
    assert_int_equal(stage(f, "sums").skipped, 0);
    assert_int_equal(topic_rows_count(f->dir, "copy"), 10);
    assert_int_equal(topic_rows_count(f->dir, "shop.dlq"), 0);
    assert_sums(f, ROW("north", "55", "10"), NULL);
}

/* An append fails inside a transaction that holds records of others: it is aborted, and all of them
 * come back. */
static void retry_writes(struct fixture *f, const char *topic, int times)
{
    orders_fill(f->dir);
    open_app(f);
    f->until_end = true;
    run_well(f); /* topics are there: none of what follows is written while they are made */
    orders_append(f->dir, 0, "north", 20, 5);
    orders_append(f->dir, 1, "south", 30, 5);
    open_app(f);
    on_failure(f, NULL, WEIR_FAILURE_RETRY, 50);
    fail_writes(f, topic, times);
    run_well(f);
    assert_int_equal(atomic_load(&f->failures_left), 0);
    io_set_fault(NULL, NULL);
    assert_int_equal(topic_rows_count(f->dir, "copy"), 24);
    assert_sums(f, ROW("north", "165", "15"), ROW("south", "210", "9"));
    assert_int_equal(f->progress.rows_in, 2 * 10);
}
static void test_an_output_that_is_full_for_a_while(void **state)
{
    struct fixture *f = *state;
    retry_writes(f, "copy", 3);
    assert_true(stage(f, "copy").failures > 0);
    assert_int_equal(stage(f, "sums").failures, 0);
}
static void test_a_changelog_that_is_full_for_a_while(void **state)
{
    struct fixture *f = *state;
    retry_writes(f, "shop-sums-changelog", 3);
    assert_true(stage(f, "sums").failures > 0);
    assert_int_equal(stage(f, "copy").failures, 0);
}
static void test_a_repartition_topic_that_is_full_for_a_while(void **state)
{
    retry_writes(*state, "shop-sums-repartition", 4);
}
static void test_progress_that_is_full_for_a_while(void **state)
{
    retry_writes(*state, "shop-progress", 3);
}
static void test_an_append_fails_on_two_workers(void **state)
{
    struct fixture *f = *state;
    f->threads = 2;
    retry_writes(f, "sums", 5);
}

/* Killed somewhere among failures and retries: what is committed is committed once. */
static int run_with_failures(void *context)
{
    struct fixture *f = context;
    open_app(f);
    on_failure(f, NULL, WEIR_FAILURE_RETRY, 50);
    fail_writes(f, f->failing_topic, 2);
    return run(f) == 0 ? 0 : 1;
}
static void kill_among_retries(struct fixture *f, const char *topic, const char *point)
{
    f->failing_topic = topic;
    orders_fill(f->dir);
    open_app(f);
    run_well(f);
    orders_append(f->dir, 0, "north", 20, 5);
    orders_append(f->dir, 1, "south", 30, 5);
    weir_app_close(f->app);
    f->app = NULL;
    assert_int_equal(fixture_child(run_with_failures, f, point), 137);
    open_app(f);
    run_well(f);
    assert_int_equal(topic_rows_count(f->dir, "copy"), 24);
    assert_sums(f, ROW("north", "165", "15"), ROW("south", "210", "9"));
}
static void test_killed_while_a_commit_is_undone(void **state)
{
    /* Two open their stores at the start; the third is one that comes back. */
    kill_among_retries(*state, "sums", "restore_before:3");
}
static void test_killed_in_the_commit_after(void **state)
{
    kill_among_retries(*state, "copy", "commit_before_progress:1");
}
static void test_killed_after_the_commit_after(void **state)
{
    kill_among_retries(*state, "copy", "commit_decided:1");
}

/* A record of the repartition topic that is no partial. */
static void put_garbage(const struct fixture *f, int partition)
{
    struct log *log = topic_log_open(f->dir);
    assert_true(fixture_append(fixture_partition(log, "shop-sums-repartition", partition), 1, 2) >=
                0);
    log_close(log);
}
static void test_a_bad_record_becomes_a_dead_letter(void **state)
{
    struct fixture *f = *state;
    orders_fill(f->dir);
    open_app(f);
    run_well(f);
    put_garbage(f, 0);
    put_garbage(f, 1);
    orders_append(f->dir, 0, "north", 20, 1);
    orders_append(f->dir, 1, "south", 30, 1);
    open_app(f);
    on_failure(f, "sums", WEIR_FAILURE_SKIP, 0);
    run_well(f);
    assert_int_equal(stage(f, "sums").skipped, 4);
    assert_sums(f, ROW("north", "75", "11"), ROW("south", "80", "5"));
    assert_int_equal(topic_rows_count(f->dir, "copy"), 16);
    struct topic_rows rows;
    struct log *log = topic_log_open(f->dir);
    topic_rows_init(&rows);
    topic_rows_read(log, "shop.dlq", READ_COMMITTED, &rows);
    assert_int_equal(rows.count, 4);
    for (size_t i = 0; i < rows.count; i++) {
        struct bytes class = topic_row_header(&rows.items[i], "weir.error.class");
        struct bytes topic = topic_row_header(&rows.items[i], "weir.source.topic");
        assert_int_equal(class.size, 6);
        assert_memory_equal(class.data, "failed", 6);
        assert_int_equal(topic.size, strlen("shop-sums-repartition"));
    }
    topic_rows_deinit(&rows);
    log_close(log);
    open_app(f); /* nothing of it is read again */
    run_well(f);
    assert_int_equal(topic_rows_count(f->dir, "shop.dlq"), 4);
}
static void test_a_bad_record_stops_when_it_may_not_be_skipped(void **state)
{
    struct fixture *f = *state;
    orders_fill(f->dir);
    open_app(f);
    run_well(f);
    put_garbage(f, 0);
    orders_append(f->dir, 1, "south", 30, 1);
    open_app(f);
    on_failure(f, "sums", WEIR_FAILURE_RETRY, 2);
    assert_int_equal(run(f), WEIR_ECORRUPT);
    assert_non_null(strstr(f->error, "partial aggregate does not decode"));
    assert_int_equal(topic_rows_count(f->dir, "copy"), 15);
    assert_int_equal(topic_rows_count(f->dir, "shop.dlq"), 0);
}

static void test_policies_that_mean_nothing(void **state)
{
    struct fixture *f = *state;
    open_app(f);
    weir_failure_options options = {.policy = WEIR_FAILURE_RETRY};
    assert_int_equal(weir_on_failure(f->app, "nothing", &options), WEIR_ENOTFOUND);
    assert_non_null(strstr(weir_app_error(f->app), "nothing"));
    options.retries = -2;
    assert_int_equal(weir_on_failure(f->app, NULL, &options), WEIR_EINVALID);
    options = (weir_failure_options){.policy = (weir_failure)7};
    assert_int_equal(weir_on_failure(f->app, NULL, &options), WEIR_EINVALID);
    options = (weir_failure_options){.reserved = {1}};
    assert_int_equal(weir_on_failure(f->app, NULL, &options), WEIR_EINVALID);
    assert_int_equal(weir_on_failure(NULL, NULL, &options), WEIR_EINVALID);
}

/* ---- pause ---- */

static void *run_in_thread(void *context)
{
    run(context);
    return NULL;
}
static bool waits_for(struct fixture *f, const char *topic, weir_stage_state state, int64_t lag)
{
    for (int i = 0; i < 5000; i++) {
        weir_stage_info info = stage(f, topic);
        if (info.state == state && info.lag == lag)
            return true;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return false;
}
static void test_a_paused_pipeline_waits(void **state)
{
    struct fixture *f = *state;
    pthread_t thread;
    orders_fill(f->dir);
    f->until_end = false;
    open_app(f);
    assert_int_equal(weir_app_pause(f->app, "sums"), 0);
    assert_int_equal(weir_app_pause(f->app, "nothing"), WEIR_ENOTFOUND);
    assert_int_equal(stage(f, "sums").state, WEIR_STAGE_ENDED);
    assert_int_equal(pthread_create(&thread, NULL, run_in_thread, f), 0);
    assert_true(waits_for(f, "copy", WEIR_STAGE_RUNNING, 0));
    assert_true(waits_for(f, "sums", WEIR_STAGE_PAUSED, 14));
    assert_int_equal(weir_app_resume(f->app, "sums"), 0);
    assert_true(waits_for(f, "sums", WEIR_STAGE_RUNNING, 0));
    weir_app_stop(f->app);
    pthread_join(thread, NULL);
    assert_string_equal(f->error, "");
    assert_int_equal(stage(f, "sums").state, WEIR_STAGE_ENDED);
    f->until_end = true;
    open_app(f);
    run_well(f);
    assert_sums(f, ROW("north", "55", "10"), ROW("south", "50", "4"));
    assert_int_equal(topic_rows_count(f->dir, "copy"), 14);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
    scratch_dir_in_memory();
    const struct CMUnitTest tests[] = {
        TEST(test_the_default_ends_the_run),
        TEST(test_a_damaged_partition_stops_itself_only),
        TEST(test_retries_come_to_an_end),
        TEST(test_an_output_that_is_full_for_a_while),
        TEST(test_a_changelog_that_is_full_for_a_while),
        TEST(test_a_repartition_topic_that_is_full_for_a_while),
        TEST(test_progress_that_is_full_for_a_while),
        TEST(test_an_append_fails_on_two_workers),
        TEST(test_killed_while_a_commit_is_undone),
        TEST(test_killed_in_the_commit_after),
        TEST(test_killed_after_the_commit_after),
        TEST(test_a_bad_record_becomes_a_dead_letter),
        TEST(test_a_bad_record_stops_when_it_may_not_be_skipped),
        TEST(test_policies_that_mean_nothing),
        TEST(test_a_paused_pipeline_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
