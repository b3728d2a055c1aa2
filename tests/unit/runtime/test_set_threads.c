/* test_set_threads.c: the number of workers is changed while an app runs.
 *
 * Orders in six partitions are copied, the copies counted per minute when that is over, and the
 * orders summed per region (re-keyed). Meanwhile workers come and go; in some tests a pipeline is paused, or
 * its changelog takes no writes for a while. Every order must be copied once and counted once, and each
 * minute be told once: what is expected is counted here, order by order.
 *
 * Where tasks are is seen by the thread that a function of the job runs in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "runtime/app_hold.h"
#include "runtime/base/clock.h"
#include "runtime/base/io.h"
#include "tests/support/kill_ledger.h"
#include "tests/support/log_fixture.h"
#include "tests/support/scratch_dir.h"
#include "tests/support/topic_rows.h"
#include "tests/support/weir_fixture.h"

enum { PARTITIONS = 6, REGIONS = 7, ORDERS_MAX = 40000, A_MINUTE = 600, WAIT_MS = 30000 };

struct fixture {
    char *dir;
    weir_log *log;
    weir_producer *producer;
    weir_app *app;
    pthread_t thread;
    int rc;
    int orders;
    atomic_int faults_left; /* writes to a changelog that fail */
    atomic_int abort_phase; /* 1: the next of some records fails, 2: then that of a marker */
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->dir = scratch_dir_create();
    f->log = weir_fixture_open(f->dir);
    *state = f;
    return 0;
}
static int tear_down(void **state)
{
    struct fixture *f = *state;
    io_set_fault(NULL, NULL);
    weir_producer_close(f->producer);
    weir_app_close(f->app);
    if (f->log != NULL)
        weir_log_close(f->log);
    scratch_dir_remove(f->dir);
    free(f);
    return 0;
}

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
}

/* ---- the job ---- */

static void build(weir_app *app)
{
    weir_stream *orders = weir_source(app, "orders", WEIR_JSON, "ts");
    weir_to(weir_map(orders, "n, region, ts"), "copy");
    weir_stream *minutes = weir_tumbling(
        weir_group_by(weir_source(app, "copy", WEIR_JSON, "ts"), "region"), WEIR_MINUTES(1));
    weir_to(weir_emit(weir_aggregate(minutes, "count(*) AS n"), WEIR_EMIT_FINAL), "minutes");
    weir_stream *all = weir_group_by(weir_source(app, "orders", WEIR_JSON, "ts"), "region");
    weir_to(weir_aggregate(all, "sum(n::bigint) AS total, count(*) AS n"), "sums");
}

static void open_app(struct fixture *f, const weir_options *options)
{
    weir_options set = *options;
    set.log = f->log;
    set.commit_interval_ms = 5;
    set.checkpoint_interval_ms = 20;
    f->app = weir_app_open("shop", &set);
    assert_non_null(f->app);
    build(f->app);
}
static void *run_app(void *context)
{
    struct fixture *f = context;
    f->rc = weir_app_run(f->app);
    return NULL;
}
static void start(struct fixture *f)
{
    assert_int_equal(pthread_create(&f->thread, NULL, run_app, f), 0);
}
static void await_threads(const struct fixture *f, int threads)
{
    struct timespec began, now;
    clock_gettime(CLOCK_MONOTONIC, &began);
    while (weir_app_threads(f->app) != threads) {
        nap();
        clock_gettime(CLOCK_MONOTONIC, &now);
        if ((now.tv_sec - began.tv_sec) * 1000 > WAIT_MS)
            fail_msg("%d workers, and %d were asked for: %s", weir_app_threads(f->app), threads,
                     weir_app_error(f->app));
    }
}
static void set_threads(const struct fixture *f, int threads)
{
    assert_int_equal(weir_app_set_threads(f->app, threads), 0);
    await_threads(f, threads);
}
static void stop(struct fixture *f)
{
    weir_app_stop(f->app);
    assert_int_equal(pthread_join(f->thread, NULL), 0);
    assert_works(f->rc, weir_app_error(f->app));
    assert_int_equal(weir_app_threads(f->app), 0);
}

/* ---- input ---- */

static int region_of(int n)
{
    return n % REGIONS;
}
static void send_orders(struct fixture *f, int count)
{
    if (f->producer == NULL) {
        assert_works(weir_topic_create(f->log, "orders", PARTITIONS, NULL, 0), weir_log_error());
        f->producer = weir_fixture_producer(f->log, NULL);
    }
    for (int i = 0; i < count; i++) {
        char value[96];
        int n = f->orders++;
        int size = snprintf(value, sizeof value, "{\"n\":%d,\"region\":\"r%d\",\"ts\":%d}", n,
                            region_of(n), n * (60000 / A_MINUTE));
        weir_record record = {.topic = "orders", .value = value, .value_size = (size_t)size};
        assert_int_equal(weir_send_to(f->producer, n % PARTITIONS, &record), 0);
    }
    assert_int_equal(weir_flush(f->producer, -1), 0);
    assert_true(f->orders <= ORDERS_MAX);
}

/* ---- output ---- */

static void read_topic(struct log *log, const char *topic, bool latest, struct topic_rows *rows)
{
    topic_rows_init(rows);
    topic_rows_read(log, topic, READ_COMMITTED, rows);
    if (latest)
        topic_rows_latest(rows);
}
static int number_in(const struct topic_row *row, const char *name)
{
    char text[256], *at;
    snprintf(text, sizeof text, "%.*s", (int)row->value.size, (const char *)row->value.data);
    at = strstr(text, name);
    assert_non_null(at);
    return atoi(at + strlen(name));
}

static void check_copy(const struct fixture *f, struct log *log)
{
    static uint8_t seen[ORDERS_MAX];
    struct topic_rows rows;
    memset(seen, 0, sizeof seen);
    read_topic(log, "copy", false, &rows);
    for (size_t i = 0; i < rows.count; i++) {
        int n = number_in(&rows.items[i], "\"n\":");
        assert_in_range(n, 0, f->orders - 1);
        assert_int_equal(seen[n]++, 0);
    }
    assert_int_equal(rows.count, f->orders);
    topic_rows_deinit(&rows);
}
static void check_sums(const struct fixture *f, struct log *log)
{
    int64_t totals[REGIONS] = {0};
    int counts[REGIONS] = {0};
    struct topic_rows rows;
    for (int n = 0; n < f->orders; n++) {
        totals[region_of(n)] += n;
        counts[region_of(n)]++;
    }
    read_topic(log, "sums", true, &rows);
    assert_int_equal(rows.count, REGIONS);
    for (size_t i = 0; i < rows.count; i++) {
        int region = number_in(&rows.items[i], "\"region\":\"r");
        assert_int_equal(number_in(&rows.items[i], "\"total\":"), totals[region]);
        assert_int_equal(number_in(&rows.items[i], "\"n\":"), counts[region]);
    }
    topic_rows_deinit(&rows);
}
/* All of a region's orders of a minute, told once. */
static void check_minutes(const struct fixture *f, struct log *log)
{
    static int counts[ORDERS_MAX / A_MINUTE + 1][REGIONS];
    int left = 0;
    struct topic_rows rows;
    memset(counts, 0, sizeof counts);
    for (int n = 0; n < f->orders; n++)
        left += counts[n / A_MINUTE][region_of(n)]++ == 0;
    read_topic(log, "minutes", false, &rows);
    for (size_t i = 0; i < rows.count; i++) {
        int region = number_in(&rows.items[i], "\"region\":\"r");
        int hour = number_in(&rows.items[i], "\"window_start\":\"1970-01-01T");
        int minute = number_in(&rows.items[i], "T00:") + 60 * hour;
        assert_int_equal(number_in(&rows.items[i], "\"n\":"), counts[minute][region]);
        counts[minute][region] = -1; /* and not again */
        left--;
    }
    assert_int_equal(left, 0);
    topic_rows_deinit(&rows);
}

/* Ends what there is in another run, with another number of workers, and compares. */
static void check(struct fixture *f, int threads)
{
    weir_app_close(f->app);
    open_app(f, &(weir_options){.until_end = true, .close_windows = true, .threads = threads});
    f->rc = weir_app_run(f->app);
    assert_works(f->rc, weir_app_error(f->app));
    weir_app_close(f->app);
    weir_producer_close(f->producer);
    assert_int_equal(weir_log_close(f->log), 0);
    f->app = NULL;
    f->producer = NULL;
    f->log = NULL;
    struct log *log = topic_log_open(f->dir);
    check_copy(f, log);
    check_sums(f, log);
    check_minutes(f, log);
    log_close(log);
}

/* ---- changing ---- */

static void test_arguments(void **state)
{
    struct fixture *f = *state;
    send_orders(f, 100);
    open_app(f, &(weir_options){.until_end = true});
    assert_int_equal(weir_app_set_threads(NULL, 1), WEIR_EINVALID);
    assert_int_equal(weir_app_set_threads(f->app, 0), WEIR_EINVALID);
    assert_int_equal(weir_app_set_threads(f->app, 1025), WEIR_EINVALID);
    assert_int_equal(weir_app_threads(f->app), 0);
    assert_int_equal(weir_app_threads(NULL), 0);
    assert_int_equal(weir_app_set_threads(f->app, 3), 0); /* before the run */
    assert_works(weir_app_run(f->app), weir_app_error(f->app));
    check(f, 1);
}

static void test_up_and_down_under_load(void **state)
{
    struct fixture *f = *state;
    struct chance chance = {11};
    send_orders(f, 1000);
    open_app(f, &(weir_options){.threads = 1});
    start(f);
    await_threads(f, 1);
    for (int i = 0; i < 60; i++) {
        send_orders(f, 1 + (int)chance_below(&chance, 500));
        set_threads(f, 1 + (int)chance_below(&chance, 5));
    }
    stop(f);
    check(f, 3);
}
/* Asked for faster than it can be done: the last one holds. */
static void test_asked_for_in_a_hurry(void **state)
{
    struct fixture *f = *state;
    send_orders(f, 5000);
    open_app(f, &(weir_options){.threads = 4});
    start(f);
    for (int i = 0; i < 2000; i++)
        assert_int_equal(weir_app_set_threads(f->app, 1 + i % 8), 0);
    set_threads(f, 2);
    send_orders(f, 1000);
    set_threads(f, 12); /* more than tasks have anything to do */
    stop(f);
    check(f, 2);
}
static void test_to_the_end_meanwhile(void **state)
{
    struct fixture *f = *state;
    send_orders(f, 20000);
    open_app(f, &(weir_options){.threads = 2, .until_end = true});
    start(f);
    for (int i = 0; weir_app_threads(f->app) == 0 && i < 1000; i++)
        nap();
    for (int i = 0; weir_app_threads(f->app) != 0; i++) {
        assert_int_equal(weir_app_set_threads(f->app, 1 + i % 4), 0);
        nap();
    }
    assert_int_equal(pthread_join(f->thread, NULL), 0);
    assert_works(f->rc, weir_app_error(f->app));
    check(f, 1);
}
static void test_while_a_pipeline_is_paused(void **state)
{
    struct fixture *f = *state;
    send_orders(f, 1000);
    open_app(f, &(weir_options){.threads = 2});
    assert_int_equal(weir_app_pause(f->app, "copy"), 0);
    start(f);
    await_threads(f, 2);
    for (int i = 0; i < 12; i++) {
        send_orders(f, 300);
        set_threads(f, 1 + i % 4);
        assert_int_equal((i % 3 == 2 ? weir_app_resume : weir_app_pause)(f->app, "copy"), 0);
    }
    assert_int_equal(weir_app_resume(f->app, "copy"), 0);
    stop(f);
    check(f, 2);
}

static int refuse_writes(void *context, enum io_call call, const char *path, int fd, size_t *size)
{
    struct fixture *f = context;
    char link[64], name[512];
    if (call != IO_PWRITE || path != NULL || atomic_load(&f->faults_left) <= 0)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, name, sizeof name - 1);
    if (length < 0)
        return 0;
    name[length] = '\0';
    if (strstr(name, "/shop-sums-changelog-") == NULL)
        return 0;
    atomic_fetch_sub(&f->faults_left, 1);
    *size = 0;
    return ENOSPC;
}
static void await_no_lag(const struct fixture *f)
{
    weir_stage_info *stages;
    size_t count;
    int64_t lag = -1;
    for (int n = 0; n < 2 * WAIT_MS && lag != 0; n++) {
        nap();
        assert_int_equal(weir_app_stages(f->app, &stages, &count), 0);
        assert_int_equal(count, 3);
        lag = stages[0].lag + stages[1].lag + stages[2].lag;
        weir_free(stages);
    }
    if (lag != 0)
        fail_msg("the lag stays %lld: %s", (long long)lag, weir_app_error(f->app));
}
/* The log has written what it could not: nothing in the changelogs is undecided. */
static void await_decided(const struct fixture *f)
{
    int undecided = 1;
    for (int n = 0; n < 2 * WAIT_MS && undecided > 0; n++) {
        nap();
        undecided = 0;
        for (int p = 0; p < PARTITIONS; p++) {
            weir_partition_info info;
            assert_int_equal(weir_partition_describe(f->log, "shop-sums-changelog", p, &info), 0);
            undecided += info.stable_offset < info.end_offset;
        }
    }
    assert_int_equal(undecided, 0);
}
/* Changelog 2 takes no records, so that what is in changelog 0 is aborted; that takes no marker. */
static int refuse_abort(void *context, enum io_call call, const char *path, int fd, size_t *size)
{
    enum { MARKER_BYTES_MAX = 100 };
    struct fixture *f = context;
    char link[64], name[512];
    int phase = atomic_load(&f->abort_phase);
    if (call != IO_PWRITE || path != NULL || phase == 0)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, name, sizeof name - 1);
    if (length < 0)
        return 0;
    name[length] = '\0';
    bool hit = phase == 1
                   ? strstr(name, "/shop-sums-changelog-2/") != NULL
                   : *size <= MARKER_BYTES_MAX && strstr(name, "/shop-sums-changelog-") != NULL;
    if (!hit)
        return 0;
    atomic_store(&f->abort_phase, phase == 1 ? 2 : 0);
    *size = 0;
    return ENOSPC;
}
static void test_while_aborts_cannot_be_written(void **state)
{
    struct fixture *f = *state;
    send_orders(f, 1000);
    open_app(f, &(weir_options){.threads = 1});
    assert_int_equal(
        weir_on_failure(
            f->app, NULL,
            &(weir_failure_options){.policy = WEIR_FAILURE_RETRY, .retries = -1, .backoff_ms = 10}),
        0);
    io_set_fault(refuse_abort, f);
    start(f);
    await_threads(f, 1);
    for (int i = 0; i < 4; i++) {
        atomic_store(&f->abort_phase, 1);
        send_orders(f, 300);
        for (int n = 0; n < 2 * WAIT_MS && atomic_load(&f->abort_phase) > 0; n++)
            nap();
        assert_int_equal(atomic_load(&f->abort_phase), 0);
        await_no_lag(f); /* it still runs */
        await_decided(f);
        set_threads(f, 1 + i % 2);
        set_threads(f, 1);
    }
    stop(f);
    check(f, 2);
}
static void test_while_tasks_fail_and_come_back(void **state)
{
    struct fixture *f = *state;
    send_orders(f, 1000);
    open_app(f, &(weir_options){.threads = 2});
    assert_int_equal(
        weir_on_failure(
            f->app, NULL,
            &(weir_failure_options){.policy = WEIR_FAILURE_RETRY, .retries = -1, .backoff_ms = 10}),
        0);
    io_set_fault(refuse_writes, f);
    start(f);
    await_threads(f, 2);
    set_threads(f, 1);
    for (int i = 0; i < 10; i++) {
        if (i % 3 == 0)
            atomic_store(&f->faults_left, 2);
        send_orders(f, 300);
        set_threads(f, 1 + i % 4); /* some are closed by now, some fail in what comes next */
        for (int n = 0; n < 2 * WAIT_MS && atomic_load(&f->faults_left) > 0; n++)
            nap();
        assert_int_equal(atomic_load(&f->faults_left), 0);
    }
    weir_stage_info *stages;
    size_t count;
    assert_int_equal(weir_app_stages(f->app, &stages, &count), 0);
    assert_int_equal(count, 3);
    assert_true(stages[2].failures > 0);
    weir_free(stages);
    stop(f);
    check(f, 2);
}

/* ---- where tasks are ---- */

/* Partition p of a topic has rows of p alone. */
static atomic_uintptr_t seen_in[4];
static atomic_int seen[4];
static int note_thread(void *context, weir_call *call, const weir_value *values, size_t count)
{
    (void)call;
    (void)count;
    int64_t p = values[0].i64;
    if (context != NULL && p % 2 == 0) /* these are dear */
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    atomic_store(&seen_in[p], (uintptr_t)pthread_self());
    atomic_fetch_add(&seen[p], 1);
    return 1;
}
static void send_parts(struct fixture *f, const int counts[4])
{
    if (f->producer == NULL) {
        assert_works(weir_topic_create(f->log, "parts", 4, NULL, 0), weir_log_error());
        f->producer = weir_fixture_producer(f->log, NULL);
    }
    for (int p = 0; p < 4; p++)
        for (int i = 0; i < counts[p]; i++) {
            char value[32];
            int size = snprintf(value, sizeof value, "{\"p\":%d}", p);
            weir_record record = {.topic = "parts", .value = value, .value_size = (size_t)size};
            assert_int_equal(weir_send_to(f->producer, p, &record), 0);
        }
    assert_int_equal(weir_flush(f->producer, -1), 0);
}
static void open_noting(struct fixture *f, const weir_options *options, void *dear)
{
    weir_options set = *options;
    set.log = f->log;
    f->app = weir_app_open("noting", &set);
    weir_stream *parts = weir_source(f->app, "parts", WEIR_JSON, NULL);
    weir_to(weir_filter_fn(parts, "note-1", "p::bigint", note_thread, dear), "noted");
    for (int p = 0; p < 4; p++)
        atomic_store(&seen[p], 0);
}
/* Round robin gives both partitions that have something to the first worker. */
static void test_a_start_with_lag_in_two_partitions(void **state)
{
    struct fixture *f = *state;
    send_parts(f, (int[]){30000, 0, 30000, 0});
    open_noting(f, &(weir_options){.threads = 2, .until_end = true}, NULL);
    assert_works(weir_app_run(f->app), weir_app_error(f->app));
    assert_int_equal(atomic_load(&seen[0]), 30000);
    assert_int_equal(atomic_load(&seen[2]), 30000);
    assert_true(atomic_load(&seen_in[0]) != atomic_load(&seen_in[2]));
}
/* Nothing lies before any of them any more; what each took is known. */
static void test_dear_partitions_are_parted(void **state)
{
    struct fixture *f = *state;
    const int rows = 300;
    send_parts(f, (int[]){rows, rows, rows, rows});
    open_noting(f, &(weir_options){.threads = 1}, f);
    start(f);
    for (int p = 0; p < 4; p++)
        while (atomic_load(&seen[p]) < rows)
            nap();
    set_threads(f, 2);
    send_parts(f, (int[]){1, 1, 1, 1});
    for (int p = 0; p < 4; p++)
        while (atomic_load(&seen[p]) < rows + 1)
            nap();
    assert_true(atomic_load(&seen_in[0]) != atomic_load(&seen_in[2]));
    stop(f);
}

/* ---- held ---- */

/* A row of partition 0 takes as long as the test wants. */
static atomic_bool is_shut, is_stuck;
static int wait_at_gate(void *context, weir_call *call, const weir_value *values, size_t count)
{
    (void)context, (void)call, (void)count;
    int64_t p = values[0].i64;
    while (p == 0 && atomic_load(&is_shut)) {
        atomic_store(&is_stuck, true);
        nap();
    }
    atomic_fetch_add(&seen[p], 1);
    return 1;
}
static void await_seen(int p, int rows)
{
    for (int n = 0; n < 2 * WAIT_MS && atomic_load(&seen[p]) < rows; n++)
        nap();
    assert_int_equal(atomic_load(&seen[p]), rows);
}
static int hold_for_ms(const struct fixture *f, int64_t ms)
{
    return app_hold(f->app, clock_mono_ns() + ms * 1000000);
}
/* Who wants to hold an app gives up, and the workers that had parked for it go on. */
static void test_held_while_a_row_takes_long(void **state)
{
    struct fixture *f = *state;
    send_parts(f, (int[]){1, 1, 1, 1});
    atomic_store(&is_shut, true);
    f->app = weir_app_open("gate", &(weir_options){.log = f->log, .threads = 4});
    weir_stream *parts = weir_source(f->app, "parts", WEIR_JSON, NULL);
    weir_to(weir_filter_fn(parts, "gate-1", "p::bigint", wait_at_gate, NULL), "passed");
    for (int p = 0; p < 4; p++)
        atomic_store(&seen[p], 0);
    start(f);
    while (!atomic_load(&is_stuck))
        nap();
    assert_int_equal(hold_for_ms(f, 100), ERR_TIMEOUT);
    send_parts(f, (int[]){0, 5, 5, 5});
    for (int p = 1; p < 4; p++)
        await_seen(p, 6);
    atomic_store(&is_shut, false);
    await_seen(0, 1);
    assert_int_equal(hold_for_ms(f, WAIT_MS), 0);
    assert_true(app_is_held(f->app));
    assert_int_equal(hold_for_ms(f, 0), ERR_BUSY);
    app_release(f->app);
    send_parts(f, (int[]){1, 0, 0, 0});
    await_seen(0, 2);
    /* An app that ends while it is held is not held any more. */
    assert_int_equal(hold_for_ms(f, WAIT_MS), 0);
    stop(f);
    assert_false(app_is_held(f->app));
    assert_int_equal(hold_for_ms(f, WAIT_MS), ERR_STATE);
}

/* ---- in one thread ---- */

/* The same calls, the same places where it dies, and workers that come and go. */
static void test_in_the_test_driver(void **state)
{
    struct fixture *f = *state;
    struct chance chance = {5};
    weir_test *test;
    weir_app *app = weir_app_open("shop", &(weir_options){.threads = 1});
    build(app);
    weir_test_options options = {.start_ms = 1700000000000, .partitions = 3};
    assert_works(weir_test_open(app, &options, &test), weir_log_error());
    int64_t total = 0;
    for (int n = 0; n < 300; n++) {
        char value[96];
        snprintf(value, sizeof value, "{\"n\":%d,\"region\":\"r%d\",\"ts\":%d}", n, n % 2,
                 1000 * n);
        total += n % 2 == 0 ? n : 0;
        assert_int_equal(weir_test_send(test, "orders", n % 3, 0, NULL, value), 0);
        if (n % 5 == 0)
            assert_int_equal(weir_app_set_threads(app, 1 + (int)chance_below(&chance, 4)), 0);
        if (n % 40 == 0)
            assert_int_equal(weir_test_kill_at(test, "commit_decided", 1), 0);
        int rc = weir_test_step(test, NULL);
        if (rc == WEIR_TEST_KILLED)
            rc = weir_test_restart(test, NULL);
        assert_works(rc, weir_test_error(test));
        weir_test_advance(test, 50);
    }
    assert_int_equal(weir_test_kill_at(test, NULL, 1), 0);
    assert_works(weir_test_finish(test, true), weir_test_error(test));
    weir_record *records;
    size_t count, copies;
    assert_works(weir_test_read(test, "copy", &records, &copies), weir_test_error(test));
    assert_int_equal(copies, 300);
    weir_free(records);
    assert_works(weir_test_read(test, "minutes", &records, &count), weir_test_error(test));
    assert_int_equal(count, 2 * 5);
    weir_free(records);
    char *json, expected[96];
    assert_works(weir_test_get(test, "sums", "r0", &json), weir_test_error(test));
    snprintf(expected, sizeof expected, "{\"region\":\"r0\",\"total\":%lld,\"n\":150}",
             (long long)total);
    assert_string_equal(json, expected);
    weir_free(json);
    assert_int_equal(weir_test_close(test), 0);
    weir_app_close(app);
    (void)f;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
    scratch_dir_in_memory();
    const struct CMUnitTest tests[] = {
        TEST(test_arguments),
        TEST(test_up_and_down_under_load),
        TEST(test_asked_for_in_a_hurry),
        TEST(test_to_the_end_meanwhile),
        TEST(test_while_a_pipeline_is_paused),
        TEST(test_while_aborts_cannot_be_written),
        TEST(test_while_tasks_fail_and_come_back),
        TEST(test_a_start_with_lag_in_two_partitions),
        TEST(test_dear_partitions_are_parted),
        TEST(test_held_while_a_row_takes_long),
        TEST(test_in_the_test_driver),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
