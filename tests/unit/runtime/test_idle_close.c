/* test_idle_close.c: a partition without rows follows the wall clock, and a replay follows what the
 * clock did then.
 *
 * A task driven by hand shows when the watermark moves and how far; whole apps, on a log that the
 * test holds open and with a clock that the test moves, show that windows close, that rows behind
 * the clock are late, and that from_beginning gives the same finals and the same late rows although
 * the clock no longer has a part in it. The windows and rows expected are written by hand. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/app_hold.h"
#include "runtime/base/clock.h"
#include "runtime/task.h"
#include "tests/support/accounts.h"
#include "tests/support/scratch_dir.h"
#include "tests/support/topic_rows.h"
#include "tests/support/weir_fixture.h"

#define T0 INT64_C(1700000000000) /* 2023-11-14T22:13:20Z */
enum { IDLE_MS = 5000, WINDOW_MS = 10000, DEADLINE_MS = 30000 };

static atomic_int_fast64_t now_ms;
static int64_t test_clock(void)
{
    return atomic_load(&now_ms);
}

static int set_up(void **state)
{
    *state = scratch_dir_create();
    atomic_store(&now_ms, T0);
    clock_wall_replace(test_clock);
    return 0;
}
static int tear_down(void **state)
{
    clock_wall_replace(NULL);
    scratch_dir_remove(*state);
    return 0;
}

static void topology(weir_app *app, int64_t idle_ms)
{
    weir_stream *source = weir_lateness(weir_source(app, "events", WEIR_JSON, "ts"), 1000);
    weir_idle_close(source, idle_ms);
    weir_to(weir_emit(weir_aggregate(weir_tumbling(weir_group_by(source, "k"), WINDOW_MS),
                                     "count(*) AS n"),
                      WEIR_EMIT_FINAL),
            "finals");
}

static void send_at(struct log *log, int32_t partition, const char *k, int64_t ts_ms)
{
    struct sender *sender;
    struct bytes none = {NULL, 0};
    char value[100];
    int size = snprintf(value, sizeof value, "{\"k\":\"%s\",\"ts\":%lld}", k, (long long)ts_ms);
    assert_int_equal(sender_open(log, "events", NULL, &sender, NULL), 0);
    assert_int_equal(
        sender_send(sender, partition, ts_ms, none, bytes_of(value, (size_t)size), none, 0, NULL),
        0);
    assert_int_equal(sender_flush(sender, true, NULL), 0);
    sender_close(sender);
}

/* ---- a task by hand ---- */

struct by_hand {
    weir_app *app;
    struct plan *plan;
    struct port *port;
    struct task task;
    atomic_int_fast64_t peers_ms;
    struct diag diag;
};

static void open_task(struct by_hand *h, const char *dir, int64_t idle_ms, bool until_end)
{
    memset(h, 0, sizeof *h);
    h->app = weir_app_open("shop", &(weir_options){.data = dir, .until_end = until_end});
    topology(h->app, idle_ms);
    assert_int_equal(plan_compile(h->app, &h->plan, NULL), 0);
    assert_int_equal(port_log_open(dir, NULL, &h->port, NULL), 0);
    assert_int_equal(plan_place(h->plan, h->port, NULL), 0);
    h->task.stage = &h->plan->stages[0];
    atomic_init(&h->task.end_target, INT64_MAX);
    atomic_init(&h->task.raise_ms, TIME_NONE);
    atomic_init(&h->peers_ms, TIME_NONE);
    h->task.peer_max_event_ms = &h->peers_ms;
    assert_int_equal(task_open(&h->task, h->plan, h->port, NULL, &h->diag), 0);
    struct progress_set none = {0};
    assert_int_equal(task_restore_markers(&h->task, &none, &h->diag), 0);
}
static void close_task(struct by_hand *h)
{
    task_close(&h->task);
    h->port->ops->close(h->port);
    plan_destroy(h->plan);
    weir_app_close(h->app);
}
/* The watermark after a read that finds nothing at this time. */
static int64_t at(struct by_hand *h, int64_t time_ms)
{
    atomic_store(&now_ms, time_ms);
    assert_int_equal(task_poll(&h->task, &h->diag), 0);
    return h->task.watermark_ms;
}

static void make_events(const char *dir, int32_t partitions, int rows)
{
    struct log *log = topic_log_open(dir);
    assert_int_equal(topic_create(log, "events", partitions, NULL, 0, NULL), 0);
    for (int i = 0; i < rows; i++)
        send_at(log, 0, "a", T0 + i * 1000);
    log_close(log);
}

static void test_when_and_how_far(void **state)
{
    struct by_hand h;
    make_events(*state, 1, 3);
    open_task(&h, *state, IDLE_MS, false);
    assert_int_equal(task_poll(&h.task, &h.diag), 1);
    int64_t rows_ms = T0 + 2000 - 1000;
    assert_true(h.task.watermark_ms == rows_ms);
    h.task.has_pending = false;
    /* Idle from the first read that finds nothing; nothing moves before the idle time is over. */
    assert_true(at(&h, T0 + 20000) == rows_ms);
    assert_true(at(&h, T0 + 20000 + IDLE_MS - 1) == rows_ms);
    assert_false(h.task.has_pending);
    /* Then time is the clock less the lateness, but no further than the last window's end. */
    assert_true(at(&h, T0 + 20000 + IDLE_MS) == T0 + WINDOW_MS);
    assert_true(h.task.has_pending && h.task.time_markers.count == 1);
    assert_true(h.task.time_markers.items[0].offset == 3);
    h.task.has_pending = false;
    assert_true(at(&h, T0 + 1000000) == T0 + WINDOW_MS);
    assert_false(h.task.has_pending); /* nothing is open: no commit */
    /* Another partition saw a later window: time goes on, where a window may close by it. */
    atomic_store(&h.peers_ms, T0 + 2000000);
    assert_true(at(&h, T0 + 1001000) == T0 + 1000000);
    assert_true(at(&h, T0 + 1001000 + 9000) == T0 + 1000000); /* between two ends: no commit */
    assert_true(at(&h, T0 + 1001000 + 10000) == T0 + 1010000);
    assert_int_equal(h.task.time_markers.count, 1); /* one offset, one marker */
    /* A clock that goes back takes nothing back. */
    assert_true(at(&h, T0) == T0 + 1010000);
    assert_true(at(&h, T0 + IDLE_MS) == T0 + 1010000);
    close_task(&h);
}

static void test_a_partition_that_never_had_rows(void **state)
{
    struct by_hand h;
    make_events(*state, 1, 0);
    open_task(&h, *state, IDLE_MS, false);
    assert_true(at(&h, T0) == TIME_NONE);
    assert_true(at(&h, T0 + IDLE_MS) == TIME_NONE); /* no window is open anywhere */
    atomic_store(&h.peers_ms, T0 + 100);
    assert_true(at(&h, T0 + 60000) == T0 + WINDOW_MS);
    assert_true(h.task.time_markers.items[0].offset == 0);
    close_task(&h);
}

static void test_when_it_is_off(void **state)
{
    struct by_hand h;
    make_events(*state, 1, 1);
    for (int i = 0; i < 2; i++) {
        open_task(&h, *state, i == 0 ? 0 : IDLE_MS, i == 1);
        assert_int_equal(task_poll(&h.task, &h.diag), 1);
        assert_true(at(&h, T0 + 1000000) == T0 - 1000);
        assert_true(at(&h, T0 + 9000000) == T0 - 1000);
        assert_int_equal(h.task.time_markers.count, 0);
        close_task(&h);
    }
}

/* ---- whole apps ---- */

struct running {
    weir_log *log;
    weir_app *app;
    pthread_t thread;
    int rc;
};
static void *run_app(void *context)
{
    struct running *r = context;
    r->rc = weir_app_run(r->app);
    return NULL;
}
static void start(struct running *r, weir_log *log, int threads)
{
    r->log = log;
    r->app = weir_app_open(
        "shop", &(weir_options){.log = log, .threads = threads, .commit_interval_ms = 5});
    topology(r->app, IDLE_MS);
    assert_int_equal(pthread_create(&r->thread, NULL, run_app, r), 0);
}
static void stop(struct running *r)
{
    weir_app_stop(r->app);
    pthread_join(r->thread, NULL);
    if (r->rc < 0)
        fail_msg("%s", weir_app_error(r->app));
    weir_app_close(r->app);
}

static void send_value(weir_log *log, int32_t partition, const char *k, int64_t ts_ms)
{
    weir_producer *producer = weir_fixture_producer(log, NULL);
    char value[100];
    snprintf(value, sizeof value, "{\"k\":\"%s\",\"ts\":%lld}", k, (long long)ts_ms);
    weir_record record = text_record("events", NULL, value);
    record.timestamp_ms = ts_ms;
    assert_works(weir_send_to(producer, partition, &record), weir_producer_error(producer));
    assert_works(weir_flush(producer, -1), weir_producer_error(producer));
    weir_producer_close(producer);
}

static int64_t records_in(weir_log *log, const char *topic, int32_t partitions)
{
    int64_t count = 0;
    for (int32_t p = 0; p < partitions; p++) {
        const char *values = weir_fixture_values(log, topic, p, WEIR_READ_COMMITTED);
        for (; (values = strchr(values, '{')) != NULL; values++)
            count++;
    }
    return count;
}

/* Waits for what must come; the limit is for a failure. */
static void await_records(weir_log *log, const char *topic, int32_t partitions, int64_t count)
{
    int64_t limit_ms = clock_mono_ms() + DEADLINE_MS;
    while (records_in(log, topic, partitions) < count) {
        if (clock_mono_ms() > limit_ms)
            fail_msg("%s: %lld of %lld records", topic,
                     (long long)records_in(log, topic, partitions), (long long)count);
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
}
static void await_read(weir_log *log, int32_t partition, int64_t offset)
{
    int64_t limit_ms = clock_mono_ms() + DEADLINE_MS;
    while (weir_fixture_committed(log, "shop", "events", partition) < offset) {
        assert_true(clock_mono_ms() < limit_ms);
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
}

#define FINAL(k, from, to, n)                                                                      \
    "{\"k\":\"" k "\",\"window_start\":\"2023-11-14T22:" from ".000Z\",\"window_end\":\"2023-11-"  \
    "14T22:" to ".000Z\",\"n\":" n "}"

/* Each of the finals that many times, and no other. */
static void assert_finals(const char *dir, size_t times, size_t late)
{
    static const char *const finals[] = {FINAL("a", "13:20", "13:30", "2"),
                                         FINAL("b", "13:20", "13:30", "1"),
                                         FINAL("b", "13:50", "14:00", "1")};
    struct log *log = topic_log_open(dir);
    struct topic_rows rows;
    topic_rows_init(&rows);
    topic_rows_read(log, "finals", READ_COMMITTED, &rows);
    assert_int_equal(rows.count, 3 * times);
    for (size_t f = 0; f < 3; f++) {
        size_t count = 0;
        for (size_t i = 0; i < rows.count; i++)
            count += bytes_equal(rows.items[i].value, bytes_text(finals[f]));
        assert_int_equal(count, times);
    }
    topic_rows_deinit(&rows);
    topic_rows_init(&rows);
    topic_rows_read(log, "finals.late", READ_COMMITTED, &rows);
    assert_int_equal(rows.count, late);
    topic_rows_deinit(&rows);
    assert_true(accounts_close(log, "shop", times > 1));
    log_close(log);
}

/* Live keys of the progress topic that begin with this. */
static size_t progress_keys(const char *dir, const char *prefix)
{
    struct log *log = topic_log_open(dir);
    struct topic_rows rows;
    size_t count = 0, size = strlen(prefix);
    topic_rows_init(&rows);
    topic_rows_read(log, "shop-progress", READ_COMMITTED, &rows);
    topic_rows_latest(&rows);
    for (size_t i = 0; i < rows.count; i++)
        count +=
            rows.items[i].key.size >= size && memcmp(rows.items[i].key.data, prefix, size) == 0;
    topic_rows_deinit(&rows);
    log_close(log);
    return count;
}

static void replay(const char *dir, int threads, int batch_rows)
{
    weir_app *app = weir_app_open("shop", &(weir_options){.data = dir,
                                                          .until_end = true,
                                                          .from_beginning = true,
                                                          .threads = threads,
                                                          .batch_rows = batch_rows});
    topology(app, IDLE_MS);
    assert_works(weir_app_run(app), weir_app_error(app));
    weir_app_close(app);
}

/* Two partitions, re-keyed; the second has no row for a long time, then one that is behind the
 * clock. */
static void close_idle_windows(const char *dir, int32_t partitions, int threads)
{
    struct running r;
    weir_log *log = weir_fixture_open(dir);
    int32_t other = partitions - 1;
    assert_works(weir_topic_create(log, "events", partitions, NULL, 0), weir_log_error());
    start(&r, log, threads);
    send_value(log, 0, "a", T0 + 1000);
    send_value(log, 0, "a", T0 + 2000);
    send_value(log, 0, "b", T0 + 3000);
    await_read(log, 0, 3);
    assert_int_equal(records_in(log, "finals", partitions), 0);
    /* An hour passes: both partitions are idle, the windows of the first close. */
    for (int i = 0; i < 3; i++)
        atomic_fetch_add(&now_ms, 20 * 60000);
    int64_t limit_ms = clock_mono_ms() + DEADLINE_MS;
    while (records_in(log, "finals", partitions) < 2) {
        atomic_fetch_add(&now_ms, IDLE_MS); /* idle counts from when the partition was seen empty */
        assert_true(clock_mono_ms() < limit_ms);
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
    stop(&r);
    /* Rows for what the clock has closed are late, after a restart too; others are not. */
    start(&r, log, threads);
    send_value(log, other, "a", T0 + 9000);
    send_value(log, 0, "a", T0 + 9500);
    send_value(log, 0, "b", T0 + 30000);
    await_read(log, 0, 5);
    await_records(log, "finals.late", partitions, 2);
    while (records_in(log, "finals", partitions) < 3) {
        atomic_fetch_add(&now_ms, IDLE_MS);
        assert_true(clock_mono_ms() < limit_ms);
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
    stop(&r);
    assert_works(weir_log_close(log), weir_log_error());
}

static void test_replay(const char *dir, int32_t partitions)
{
    close_idle_windows(dir, partitions, 2);
    assert_finals(dir, 1, 2);
    size_t markers = progress_keys(dir, "time/");
    assert_true(markers >= 2);
    clock_wall_replace(NULL); /* whatever it says now */
    replay(dir, 1, 4096);
    assert_finals(dir, 2, 4);
    replay(dir, 2, 1);
    assert_finals(dir, 3, 6);
    assert_int_equal(progress_keys(dir, "time/"), markers);
}
static void test_replay_of_one_partition(void **state)
{
    test_replay(*state, 1);
}
static void test_replay_behind_a_rekeying(void **state)
{
    test_replay(*state, 2);
}

/* Rows that come on time take the markers back, so that they do not pile up. */
static void test_markers_of_a_live_stream_go(void **state)
{
    struct running r;
    weir_log *log = weir_fixture_open(*state);
    assert_works(weir_topic_create(log, "events", 1, NULL, 0), weir_log_error());
    start(&r, log, 1);
    for (int64_t i = 1; i <= 5; i++) {
        int64_t limit_ms = clock_mono_ms() + DEADLINE_MS;
        send_value(log, 0, "a", atomic_load(&now_ms));
        await_read(log, 0, i);
        while (records_in(log, "finals", 1) < i) {
            atomic_fetch_add(&now_ms, IDLE_MS);
            assert_true(clock_mono_ms() < limit_ms);
            nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
        }
    }
    stop(&r);
    assert_works(weir_log_close(log), weir_log_error());
    assert_int_equal(progress_keys(*state, "time/"), 1); /* of the end, where no row came yet */
}

/* A pipeline behind another of the same app. While the app is held nothing comes to it, and that does not close its windows: what
 * the first one has not read yet is in time. */
static void test_who_is_held_is_not_idle(void **state)
{
    struct running r = {.log = weir_fixture_open(*state)};
    assert_works(weir_topic_create(r.log, "events", 1, NULL, 0), weir_log_error());
    r.app =
        weir_app_open("shop", &(weir_options){.log = r.log, .threads = 1, .commit_interval_ms = 5});
    weir_to(weir_map(weir_source(r.app, "events", WEIR_JSON, "ts"), "k, ts"), "middle");
    weir_stream *middle = weir_idle_close(weir_source(r.app, "middle", WEIR_JSON, "ts"), IDLE_MS);
    weir_to(weir_emit(weir_aggregate(weir_tumbling(weir_group_by(middle, "k"), WINDOW_MS),
                                     "count(*) AS n"),
                      WEIR_EMIT_FINAL),
            "finals");
    assert_int_equal(pthread_create(&r.thread, NULL, run_app, &r), 0);
    send_value(r.log, 0, "a", T0 + 1000);
    int64_t limit_ms = clock_mono_ms() + DEADLINE_MS;
    while (weir_fixture_committed(r.log, "shop", "middle", 0) < 1) {
        assert_true(clock_mono_ms() < limit_ms);
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
    for (int i = 0; i < 3; i++) { /* by the second it has found nothing more */
        assert_int_equal(app_hold(r.app, clock_mono_ns() + DEADLINE_MS * INT64_C(1000000)), 0);
        if (i == 2) {
            send_value(r.log, 0, "a", T0 + 2000);
            atomic_fetch_add(&now_ms, 60 * 60000);
        }
        app_release(r.app);
    }
    await_read(r.log, 0, 2);
    while (records_in(r.log, "finals", 1) < 1) {
        atomic_fetch_add(&now_ms, IDLE_MS / 5);
        assert_true(clock_mono_ms() < limit_ms);
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
    assert_non_null(
        strstr(weir_fixture_values(r.log, "finals", 0, WEIR_READ_COMMITTED), "\"n\":2"));
    stop(&r);
    assert_works(weir_log_close(r.log), weir_log_error());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_when_and_how_far, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_partition_that_never_had_rows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_when_it_is_off, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_replay_of_one_partition, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_replay_behind_a_rekeying, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_markers_of_a_live_stream_go, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_who_is_held_is_not_idle, set_up, tear_down),
    };
    scratch_dir_in_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
