/* test_idle_kill.c: an app whose windows are closed by the wall clock, killed in the middle of it.
 *
 * The child sends a burst of rows to one of three partitions (re-keyed: every partition must move for
 * a window to close), waits until idle_close has closed its windows, and sends one row more for a
 * window that is closed now: without the marker that row would be on time. It dies at a crash point
 * somewhere in this and is started again, and goes on where the topics say it stood. At the end each window must
 * have its one final result with all rows that were on time, each straggler must be late, and
 * from_beginning must give the same once more, with another number of workers, under a clock that
 * plays no part. Times are of 1970, so that nothing depends on when the test runs. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "tests/support/accounts.h"
#include "tests/support/fork_child.h"
#include "tests/support/scratch_dir.h"
#include "tests/support/topic_rows.h"
#include "tests/support/weir_fixture.h"

enum {
    CRASH_EXIT = 137,
    PARTITIONS = 3,
    BURSTS = 6,
    ROWS = 4,
    WINDOW_MS = 10000,
    LIMIT_MS = 30000
};

static weir_app *make_app(const weir_options *options)
{
    weir_app *app = weir_app_open("idle", options);
    weir_stream *source = weir_lateness(weir_source(app, "events", WEIR_JSON, "ts"), 0);
    weir_idle_close(source, 20);
    weir_to(weir_emit(weir_aggregate(weir_tumbling(weir_group_by(source, "k"), WINDOW_MS),
                                     "count(*) AS n"),
                      WEIR_EMIT_FINAL),
            "finals");
    return app;
}

/* ---- the child ---- */

static void *run_app(void *app)
{
    if (weir_app_run(app) < 0) {
        fprintf(stderr, "%s\n", weir_app_error(app));
        _exit(1);
    }
    return NULL;
}

static int64_t records_in(weir_log *log, const char *topic)
{
    int64_t count = 0;
    weir_topic_info info;
    if (weir_topic_describe(log, topic, &info) < 0)
        return 0;
    for (int32_t p = 0; p < info.partitions; p++) {
        const char *values = weir_fixture_values(log, topic, p, WEIR_READ_COMMITTED);
        for (; (values = strchr(values, '{')) != NULL; values++)
            count++;
    }
    return count;
}

static void await(weir_log *log, const char *topic, int64_t count)
{
    int64_t limit_ms = clock_mono_ms() + LIMIT_MS;
    while (records_in(log, topic) < count) {
        if (clock_mono_ms() > limit_ms) {
            fprintf(stderr, "%s: %lld of %lld\n", topic, (long long)records_in(log, topic),
                    (long long)count);
            _exit(2);
        }
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
}

static void send_row(weir_log *log, int burst, int64_t ts_ms)
{
    weir_producer *producer = weir_fixture_producer(log, NULL);
    char value[64];
    snprintf(value, sizeof value, "{\"k\":\"a\",\"ts\":%lld}", (long long)ts_ms);
    weir_record record = text_record("events", NULL, value);
    must(weir_send_to(producer, burst % PARTITIONS, &record) == 0 && weir_flush(producer, -1) == 0);
    weir_producer_close(producer);
}

static int child_main(const char *dir)
{
    weir_log *log = weir_fixture_open(dir);
    pthread_t thread;
    weir_app *app = make_app(
        &(weir_options){.log = log, .threads = 2, .commit_interval_ms = 2, .batch_rows = 3});
    must(pthread_create(&thread, NULL, run_app, app) == 0);
    for (int64_t sent = records_in(log, "events"); sent < BURSTS * (ROWS + 1); sent++) {
        int64_t burst = sent / (ROWS + 1), row = sent % (ROWS + 1);
        if (row == ROWS) /* the straggler: once the clock has closed its window */
            await(log, "finals", burst + 1);
        send_row(log, (int)burst, burst * WINDOW_MS + (row == ROWS ? 9000 : row * 1000));
    }
    await(log, "finals", BURSTS);
    await(log, "finals.late", BURSTS);
    weir_app_stop(app);
    pthread_join(thread, NULL);
    weir_app_close(app);
    must(weir_log_close(log) == 0);
    return 0;
}

static int run_child(const char *dir, const char *crash_at)
{
    pid_t child = fork_child();
    must(child >= 0);
    if (child == 0) {
        if (crash_at != NULL)
            setenv("WEIR_CRASH_AT", crash_at, 1);
        execl("/proc/self/exe", "test_idle_kill", "child", dir, (char *)NULL);
        _exit(127);
    }
    int status;
    must(waitpid(child, &status, 0) == child && WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* ---- the parent ---- */

static void assert_results(const char *dir, int times)
{
    struct log *log = topic_log_open(dir);
    struct topic_rows rows;
    topic_rows_init(&rows);
    topic_rows_read(log, "finals", READ_COMMITTED, &rows);
    assert_int_equal(rows.count, times * BURSTS);
    for (int burst = 0; burst < BURSTS; burst++) {
        char expected[200], start[40], end[40];
        int count = 0;
        start[time_format_iso(burst * WINDOW_MS, start)] = '\0';
        end[time_format_iso((burst + 1) * WINDOW_MS, end)] = '\0';
        snprintf(expected, sizeof expected,
                 "{\"k\":\"a\",\"window_start\":\"%s\",\"window_end\":\"%s\",\"n\":%d}", start, end,
                 ROWS);
        for (size_t i = 0; i < rows.count; i++)
            count += bytes_equal(rows.items[i].value, bytes_text(expected));
        assert_int_equal(count, times);
    }
    topic_rows_deinit(&rows);
    topic_rows_init(&rows);
    topic_rows_read(log, "finals.late", READ_COMMITTED, &rows);
    assert_int_equal(rows.count, times * BURSTS);
    for (size_t i = 0; i < rows.count; i++)
        assert_non_null(memmem(rows.items[i].value.data, rows.items[i].value.size, "9000}", 5));
    topic_rows_deinit(&rows);
    assert_true(accounts_close(log, "idle", times > 1));
    log_close(log);
}

static void replay(const char *dir, int threads)
{
    weir_app *app = make_app(&(weir_options){
        .data = dir, .until_end = true, .from_beginning = true, .threads = threads});
    assert_works(weir_app_run(app), weir_app_error(app));
    weir_app_close(app);
}

static void killed_while_the_clock_closes_windows(void **state)
{
    (void)state;
    static const char *const points[] = {"commit_before_append:%d",   "commit_before_progress:%d",
                                         "commit_started:%d",         "commit_decided:%d",
                                         "commit_between_outputs:%d", "checkpoint_before:%d"};
    char *dir = scratch_dir_create();
    weir_log *log = weir_fixture_open(dir);
    assert_works(weir_topic_create(log, "events", PARTITIONS, NULL, 0), weir_log_error());
    assert_works(weir_log_close(log), weir_log_error());
    int crashes = 0;
    for (int i = 0; i < 18; i++) {
        char point[64];
        snprintf(point, sizeof point, points[i % 6], 1 + i * 7 % 5);
        int code = run_child(dir, point);
        assert_true(code == 0 || code == CRASH_EXIT);
        crashes += code == CRASH_EXIT;
    }
    assert_true(crashes >= 10);
    assert_int_equal(run_child(dir, NULL), 0);
    assert_results(dir, 1);
    replay(dir, 1);
    assert_results(dir, 2);
    replay(dir, 3);
    assert_results(dir, 3);
    scratch_dir_remove(dir);
}

int main(int argc, char **argv)
{
    scratch_dir_in_memory();
    if (argc == 3 && strcmp(argv[1], "child") == 0)
        return child_main(argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_while_the_clock_closes_windows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
