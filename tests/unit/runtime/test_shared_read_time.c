/* test_shared_read_time.c: time in pipelines that share a read: what windows wait for, and what pipelines do not wait for.
 *
 * Windows, sessions, late rows and idle times are held against runs of the same rows in which each pipeline has the topic for itself. */
#include "runtime/base/clock.h"
#include "runtime/weir.h"
#include "tests/support/draw.h"
#include "tests/support/drawn_kills.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define START INT64_C(1772442000000)

enum { PARTITIONS = 2 };

/* ---- time ---- */

enum { TIMED = 4, TIMED_ALL = (1 << TIMED) - 1 };
static const char *const timed_topics[TIMED] = {"none-late", "few-late", "sessions", "ahead"};

/* Alike as far as rows are decoded; windows, and what they wait for, are each one's own. */
static weir_app *build_timed(uint32_t which, bool closes_idle, int threads, int batch_rows)
{
    static const int64_t lateness_ms[TIMED] = {0, 3000, 20000, 0};
    weir_app *app =
        weir_app_open("timed", &(weir_options){.threads = threads, .batch_rows = batch_rows});
    for (int i = 0; i < TIMED; i++) {
        if ((which & 1u << i) == 0)
            continue;
        weir_stream *rows = weir_source(app, "events", WEIR_JSON, "t");
        rows = weir_max_future_skew(weir_lateness(rows, lateness_ms[i]), 30000);
        if (closes_idle && i % 2 == 0)
            rows = weir_idle_close(rows, 5000);
        rows = weir_map(rows, "CAST(i AS bigint) AS i, CAST(u AS text) AS u, t::timestamptz AS t");
        rows = weir_check(rows, "i % 17 <> 0", "seventeen");
        if (i == 3) {
            weir_to(weir_filter(rows, "i % 3 = 0"), timed_topics[i]);
            continue;
        }
        weir_stream *groups = weir_group_by(rows, "u");
        groups = i == 2 ? weir_session(groups, 4000) : weir_tumbling(groups, 10000);
        weir_to(weir_emit(weir_aggregate(groups, "count(*) AS c, sum(i) AS s"), WEIR_EMIT_FINAL),
                timed_topics[i]);
    }
    return app;
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The values of a topic, sorted, one a line, for weir_free. "" where there is none. */
static char *sorted_values(weir_test *test, const char *topic)
{
    weir_record *records = NULL;
    size_t count = 0, size = 1;
    ok(test, weir_test_rewind(test, topic));
    ok(test, weir_test_read(test, topic, &records, &count));
    char **lines = calloc(count + 1, sizeof *lines);
    for (size_t i = 0; i < count; i++) {
        lines[i] = strndup(records[i].value, records[i].value_size);
        size += records[i].value_size + 1;
    }
    qsort(lines, count, sizeof *lines, compare_texts);
    char *all = calloc(size, 1), *at = all;
    for (size_t i = 0; i < count; i++) {
        at += sprintf(at, "%s\n", lines[i]);
        free(lines[i]);
    }
    free(lines);
    weir_free(records);
    return all;
}

/* The rows of this seed, in turns; what becomes of the pipelines meanwhile is drawn from elsewhere. */
static void run_timed(weir_app *app, uint64_t rows_seed, bool is_disturbed, bool closes_idle,
                      char *values[2 * TIMED], uint32_t which)
{
    uint64_t other_seed = rows_seed * 77;
    int64_t now_ms = START;
    weir_test *test;
    weir_test_options options = {.start_ms = START, .partitions = PARTITIONS};
    assert_int_equal(weir_test_open(app, &options, &test), 0);
    seed = rows_seed;
    for (int turn = 0, i = 0; turn < 8; turn++) {
        for (uint32_t left = 20 + draw(60); left > 0; left--, i++) {
            char text[96];
            int64_t ahead_ms = draw(20) == 0 ? 25000 + (int64_t)draw(10000) : (int64_t)draw(1500);
            int64_t time_ms = draw(6) == 0 ? now_ms - (int64_t)draw(15000) : now_ms + ahead_ms;
            snprintf(text, sizeof text,
                     draw(30) == 0 ? "{\"i\":%d,\"u\":\"a\"}"
                                   : "{\"i\":%d,\"u\":\"user-%d\",\"t\":%lld}",
                     i, (int)draw(3), (long long)time_ms);
            ok(test, weir_test_send(test, "events", (int)draw(PARTITIONS), now_ms, NULL, text));
            now_ms += draw(400);
        }
        uint64_t rows_at = seed;
        seed = other_seed;
        if (is_disturbed) {
            const char *topic = timed_topics[draw(TIMED)];
            assert_int_equal((draw(2) ? weir_app_pause : weir_app_resume)(app, topic), 0);
            run_through_kills(test, draw);
        } else {
            ok(test, weir_test_run(test));
        }
        if (closes_idle) {
            for (int step = 0; step < 8; step++) {
                ok(test, weir_test_advance(test, 2000));
                ok(test, weir_test_run(test));
            }
            now_ms = weir_test_now(test);
        }
        other_seed = seed;
        seed = rows_at;
    }
    for (int i = 0; i < TIMED; i++)
        if (is_disturbed)
            assert_int_equal(weir_app_resume(app, timed_topics[i]), 0);
    ok(test, weir_test_run(test));
    ok(test, weir_test_finish(test, true));
    for (int i = 0; i < TIMED; i++) {
        char late[64];
        snprintf(late, sizeof late, "%s.late", timed_topics[i]);
        if (which & 1u << i)
            values[2 * i] = sorted_values(test, timed_topics[i]);
        if ((which & 1u << i) && i != 3)
            values[2 * i + 1] = sorted_values(test, late);
    }
    ok(test, weir_test_close(test));
    weir_app_close(app);
}

/* Windows, sessions, late rows and those too far ahead: as of each pipeline that has the topic for itself. */
static void time_is_each_ones_own(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < 6; round++) {
        char *alone[2 * TIMED] = {NULL}, *together[2 * TIMED] = {NULL};
        bool closes_idle = round % 3 == 0;
        for (uint32_t i = 0; i < TIMED; i++)
            run_timed(build_timed(1u << i, closes_idle, 1, 0), 300 + round, false, closes_idle,
                      alone, 1u << i);
        run_timed(build_timed(TIMED_ALL, closes_idle, 1 + (int)(round % 3), 1 + (int)round * 9),
                  300 + round, !closes_idle, closes_idle, together, TIMED_ALL);
        assert_true(alone[0][0] != '\0' &&
                    alone[1][0] != '\0'); /* windows, and rows that are late */
        for (int i = 0; i < 2 * TIMED; i++) {
            if (alone[i] != NULL)
                assert_string_equal(together[i], alone[i]);
            free(alone[i]);
            free(together[i]);
        }
    }
}

/* ---- pace ---- */

struct pace {
    int64_t rows, waited_for, came_ms; /* the row that is waited for, and when it came */
};

/* 50 microseconds a row. */
static int take_long(void *context, weir_call *call, const weir_value *values, size_t count)
{
    struct pace *pace = context;
    (void)call;
    (void)values;
    (void)count;
    if (++pace->rows % 20 == 0)
        clock_virtual_advance(1);
    return 1;
}

static int note_time(void *context, weir_call *call, const weir_value *values, size_t count)
{
    struct pace *pace = context;
    (void)call;
    (void)count;
    if (values[0].i64 == pace->waited_for)
        pace->came_ms = clock_mono_ms();
    return 1;
}

/* Two seconds behind is not near: the others go on. */
static void a_slow_one_does_not_hold_up_the_others(void **state)
{
    enum { ROWS = 40000 };
    struct pace slow = {0}, quick = {.waited_for = ROWS};
    char text[64];
    (void)state;
    weir_app *app = weir_app_open("shared", NULL);
    for (int i = 0; i < 2; i++) {
        weir_stream *rows = weir_map(weir_source(app, "events", WEIR_JSON, NULL), "i::bigint AS i");
        weir_to(weir_filter_fn(rows, i == 0 ? "quick-1" : "slow-1", "i",
                               i == 0 ? note_time : take_long, i == 0 ? &quick : &slow),
                i == 0 ? "quick" : "slow");
    }
    weir_test *test;
    assert_int_equal(weir_test_open(app, &(weir_test_options){.start_ms = START}, &test), 0);
    assert_int_equal(weir_app_pause(app, "slow"), 0);
    for (int i = 0; i <= ROWS; i++) {
        if (i == ROWS) {
            ok(test, weir_test_run(test));
            assert_int_equal(weir_app_resume(app, "slow"), 0);
        }
        snprintf(text, sizeof text, "{\"i\":%d}", i);
        ok(test, weir_test_send(test, "events", 0, START, NULL, text));
    }
    ok(test, weir_test_flush(test));
    int64_t began_ms = clock_mono_ms();
    ok(test, weir_test_run(test));
    assert_true(clock_mono_ms() - began_ms >= 2000);
    assert_in_range(quick.came_ms, began_ms, began_ms + 1000);
    weir_progress progress;
    weir_app_progress(app, &progress);
    assert_int_equal(progress.rows_in, 2 * (ROWS + 1));
    ok(test, weir_test_close(test));
    weir_app_close(app);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_is_each_ones_own),
        cmocka_unit_test(a_slow_one_does_not_hold_up_the_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
