/* test_replay.c: from_beginning gives what there was once more, to the row: also where the end of a run
 * closed windows (close_windows), and where the wall clock did (weir_idle_close) with sessions and local
 * windows, which test_idle_close.c does not have. The engine is driven by weir_test; the windows, late
 * rows and instants that are expected are worked out by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/weir.h"

#define T0                                                                                         \
    INT64_C(                                                                                       \
        1700000000000) /* 2023-11-14T22:13:20Z; in Berlin 23:13:20, in Apia (UTC+13) Wednesday 11:13:20 */

enum { GAP_MS = 10000 };

static weir_stream *source(weir_app *app, int64_t idle_ms)
{
    weir_stream *stream = weir_lateness(weir_source(app, "events", WEIR_JSON, "ts"), 0);
    return weir_idle_close(weir_max_future_skew(stream, WEIR_DAYS(10)), idle_ms);
}

static void finish_view(weir_stream *windowed)
{
    weir_to(weir_emit(weir_aggregate(windowed, "count(*) AS n"), WEIR_EMIT_FINAL), "finals");
}

static void tumbling(weir_app *app, int64_t idle_ms)
{
    finish_view(weir_tumbling(weir_group_by(source(app, idle_ms), "k"), GAP_MS));
}
static void sessions(weir_app *app, int64_t idle_ms)
{
    finish_view(weir_session(weir_group_by(source(app, idle_ms), "k"), GAP_MS));
}
static void local_days(weir_app *app, int64_t idle_ms)
{
    finish_view(
        weir_tumbling_in(weir_group_by(source(app, idle_ms), "k"), 1, WEIR_DAY, "Pacific/Apia"));
}

/* ---- a job and its replay ---- */

struct job {
    void (*build)(weir_app *app, int64_t idle_ms);
    int64_t idle_ms;
    weir_app *apps[4];
    int app_count;
    weir_test *test;
};

static weir_app *make_app(struct job *job, bool from_beginning, int threads)
{
    weir_app *app =
        weir_app_open("job", &(weir_options){.from_beginning = from_beginning, .threads = threads});
    job->build(app, job->idle_ms);
    job->apps[job->app_count++] = app;
    return app;
}

static void works(struct job *job, int rc)
{
    if (rc != 0)
        fail_msg("%d: %s", rc, weir_test_error(job->test));
}

static void start(struct job *job, int32_t partitions)
{
    weir_test_options options = {.start_ms = T0, .partitions = partitions};
    if (weir_test_open(make_app(job, false, 2), &options, &job->test) != 0)
        fail_msg("%s", weir_log_error());
}

static void stop(struct job *job)
{
    works(job, weir_test_close(job->test));
    for (int i = 0; i < job->app_count; i++)
        weir_app_close(job->apps[i]);
}

static void send(struct job *job, int32_t partition, const char *k, int64_t after_ms)
{
    char value[100];
    snprintf(value, sizeof value, "{\"k\":\"%s\",\"ts\":%lld}", k, (long long)(T0 + after_ms));
    works(job, weir_test_send(job->test, "events", partition, 0, NULL, value));
}

static int64_t records_in(struct job *job, const char *topic)
{
    weir_record *records;
    size_t count;
    int rc = weir_test_read(job->test, topic, &records, &count);
    if (rc == WEIR_ENOTFOUND)
        return 0;
    works(job, rc);
    weir_free(records);
    return (int64_t)count;
}

/* How many records each of the topics got since the last call. */
static void assert_new(struct job *job, int64_t finals, int64_t late)
{
    works(job, weir_test_run(job->test));
    assert_int_equal(records_in(job, "finals"), finals);
    assert_int_equal(records_in(job, "finals.late"), late);
}

/* Twice more, with other workers, and no window is closed at the end of either. */
static void assert_replays(struct job *job, int64_t finals, int64_t late)
{
    for (int threads = 1; threads <= 3; threads += 2) {
        works(job, weir_test_restart(job->test, make_app(job, true, threads)));
        works(job, weir_test_finish(job->test, false));
        assert_int_equal(records_in(job, "finals"), finals);
        assert_int_equal(records_in(job, "finals.late"), late);
    }
}

static void advance(struct job *job, int64_t ms)
{
    works(job, weir_test_advance(job->test, ms));
}

/* ---- tests ---- */

/* The windows end at T0 + 10 s and + 20 s; both runs close all that there is. */
static void closed_windows_stay_closed(int32_t partitions)
{
    struct job job = {.build = tumbling};
    start(&job, partitions);
    send(&job, 0, "a", 0);
    send(&job, partitions - 1, "a", 11000);
    works(&job, weir_test_finish(job.test, true));
    assert_new(&job, 2, 0);
    send(&job, 0, "a", 12000);              /* late: its window was closed */
    send(&job, partitions - 1, "b", 19000); /* late */
    send(&job, 0, "a", 20000);
    works(&job, weir_test_finish(job.test, true));
    assert_new(&job, 1, 2);
    assert_replays(&job, 3, 2);
    stop(&job);
}
static void closed_windows_stay_closed_in_a_replay(void **state)
{
    (void)state;
    closed_windows_stay_closed(1);
    closed_windows_stay_closed(2);
}

/* A job that is run each day, and its topic goes on in time: the markers say nothing any more. */
static void markers_of_closed_windows_go(void **state)
{
    (void)state;
    struct job job = {.build = tumbling};
    int64_t markers = 0;
    weir_record *records;
    size_t count;
    start(&job, 1);
    for (int day = 0; day < 5; day++) {
        send(&job, 0, "a", day * 20000);
        works(&job, weir_test_finish(job.test, true));
    }
    works(&job, weir_test_read(job.test, "job-progress", &records, &count));
    for (size_t i = 0; i < count; i++)
        if (records[i].key_size > 5 && memcmp(records[i].key, "time/", 5) == 0)
            markers += records[i].value != NULL ? 1 : -1;
    weir_free(records);
    assert_int_equal(markers, 1); /* of the end */
    assert_new(&job, 5, 0);
    assert_replays(&job, 5, 0);
    stop(&job);
}

/* T0 is a multiple of the gap. A session of rows at 0 and 4 s ends at 14 s and is final when the
 * watermark has passed the cell of its last row by two gaps: at 30 s. */
static void sessions_end_by_the_clock(void **state)
{
    (void)state;
    struct job job = {.build = sessions, .idle_ms = 5000};
    start(&job, 2);
    send(&job, 0, "a", 0);
    send(&job, 0, "a", 4000);
    assert_new(&job, 0, 0);
    advance(&job, 29000); /* idle since T0; the watermark is at 20 s, where a cell may close */
    assert_new(&job, 0, 0);
    send(&job, 1, "b", 10000); /* alone it would end at 20 s: late */
    send(&job, 1, "b", 10001);
    assert_new(&job, 0, 1);
    advance(&job, 1000); /* partition 1 is not idle yet, and time is the lowest of both */
    assert_new(&job, 0, 0);
    advance(&job, 5000);
    assert_new(&job, 1, 0);
    advance(&job, 60000); /* "b": in the cell of 10 s, closed at 40 s */
    assert_new(&job, 1, 0);
    assert_replays(&job, 2, 1);
    stop(&job);
}

/* In Apia the day of T0 ends at 11:00 UTC on the 15th, 12 h 46 min 40 s later. */
static void local_days_end_by_the_clock(void **state)
{
    (void)state;
    const int64_t end_ms = ((12 * 60 + 46) * 60 + 40) * 1000;
    struct job job = {.build = local_days, .idle_ms = 60000};
    start(&job, 2);
    send(&job, 0, "a", 0);
    send(&job, 0, "a", end_ms - 1);
    works(&job, weir_test_run(job.test));
    advance(&job, end_ms - 1000);
    assert_new(&job, 0, 0);
    advance(&job, 1000);
    assert_new(&job, 1, 0);
    send(&job, 1, "a", end_ms - 1); /* late */
    send(&job, 1, "b", end_ms);
    assert_new(&job, 0, 1);
    advance(&job, WEIR_DAYS(1) - 1000);
    assert_new(&job, 0, 0);
    advance(&job, 1000);
    assert_new(&job, 1, 0);
    assert_replays(&job, 2, 1);
    stop(&job);
}

/* Time crosses a re-keying with offsets of its topic, and a replay cuts commits elsewhere: what the
 * records before the replay say of the old topic must not count. */
static void windows_close_behind_a_rekeying(void **state)
{
    (void)state;
    struct job job = {.build = tumbling};
    start(&job, 2);
    for (int i = 0; i < 40; i++) {
        send(&job, i % 2, i % 3 == 0 ? "a" : "b", i * 1000);
        works(&job, weir_test_run(job.test));
    }
    works(&job, weir_test_finish(job.test, false));
    assert_int_equal(records_in(&job, "finals"), 6); /* two keys, windows up to 30 s */
    assert_replays(&job, 6, 0);
    stop(&job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(closed_windows_stay_closed_in_a_replay),
        cmocka_unit_test(markers_of_closed_windows_go),
        cmocka_unit_test(sessions_end_by_the_clock),
        cmocka_unit_test(local_days_end_by_the_clock),
        cmocka_unit_test(windows_close_behind_a_rekeying),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
