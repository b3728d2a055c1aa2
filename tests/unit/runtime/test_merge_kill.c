/* test_merge_kill.c: merged sources and the time that they hand on survive a kill at every place.
 *
 * Two topics, one of them a day behind the other, are merged and re-keyed into a third, whose rows a
 * second pipeline counts by minutes and users, final. The test driver kills the engine at each place
 * that such a life passes, at the first, a middle and the last passing. What the sources lack then
 * is sent again, and in the end every window must have one result with all of its rows, and no row
 * may be late: the numbers are known from how the rows are made.
 *
 * The second pipeline alone then starts anew: a replay of what lies in the topic between gives the
 * same, since each row carries how far its source was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/weir.h"
#include "tests/support/scratch_dir.h"

#define START INT64_C(1772442000000) /* 2026-03-02T09:00:00Z, a whole minute */

enum { ROWS = 96, USERS = 4, MINUTES = ROWS / 2 * 5 / 60 };

static weir_app *build(void)
{
    weir_app *app = weir_app_open(
        "job",
        &(weir_options){.threads = 2, .checkpoint_interval_ms = 1000, .keeper_interval_ms = 1000});
    weir_stream *streams[] = {weir_source(app, "new", WEIR_JSON, "ts"),
                              weir_source(app, "old", WEIR_JSON, "ts")};
    weir_to(weir_rekey(weir_merge(streams, 2), "who"), "all");
    weir_stream *all = weir_lateness(weir_source(app, "all", WEIR_JSON, "ts"), 0);
    weir_stream *minutes = weir_tumbling(weir_group_by(all, "who"), WEIR_MINUTES(1));
    weir_to(weir_emit(weir_aggregate(minutes, "count(*) AS n, sum(i) AS i"), WEIR_EMIT_FINAL),
            "finals");
    return app;
}

/* Every second row is of the old topic, a day earlier; each topic has a row each five seconds. */
static int send_row(weir_test *test, int i)
{
    char value[128];
    int64_t time_ms = START + i / 2 * 5000 - (i % 2 == 0 ? 0 : WEIR_DAYS(1));
    snprintf(value, sizeof value, "{\"i\":%d,\"who\":\"w%d\",\"ts\":%lld}", i, i / 2 % USERS,
             (long long)time_ms);
    return weir_test_send(test, i % 2 == 0 ? "new" : "old", i / 2 % 2, START, NULL, value);
}

#define STEP(expression)                                                                           \
    do {                                                                                           \
        int step_rc_ = (expression);                                                               \
        if (step_rc_ != 0)                                                                         \
            return step_rc_;                                                                       \
    } while (0)

static int mark_there(weir_test *test, const char *topic, bool *is_there)
{
    weir_record *records;
    size_t count;
    if (weir_topic_describe(weir_test_log(test), topic, NULL) < 0)
        return 0;
    STEP(weir_test_rewind(test, topic));
    STEP(weir_test_read(test, topic, &records, &count));
    for (size_t i = 0; i < count; i++)
        is_there[strtol((const char *)records[i].value + 5, NULL, 10)] = true;
    weir_free(records);
    return 0;
}

/* Sends the rows that the sources do not hold yet. */
static int send_missing(weir_test *test, int end)
{
    bool is_there[ROWS] = {false};
    STEP(mark_there(test, "new", is_there));
    STEP(mark_there(test, "old", is_there));
    for (int i = 0; i < end; i++)
        if (!is_there[i])
            STEP(send_row(test, i));
    return 0;
}

static int work(weir_test *test)
{
    for (int end = ROWS / 4; end <= ROWS; end += ROWS / 4) {
        STEP(send_missing(test, end));
        STEP(weir_test_run(test));
        STEP(weir_test_advance(test, 1200));
    }
    return weir_test_finish(test, true);
}

/* ---- what must come out ---- */

/* Adds up what the rows of one day, user and minute are. */
static void add_up(int day, int user, int minute, int *n, int *sum)
{
    *n = *sum = 0;
    for (int i = 0; i < ROWS; i++)
        if (i % 2 == day && i / 2 % USERS == user && i / 2 * 5 / 60 == minute) {
            ++*n;
            *sum += i;
        }
}

static size_t count_of(weir_test *test, const char *topic, const char *value)
{
    weir_record *records;
    size_t count, found = 0;
    if (weir_topic_describe(weir_test_log(test), topic, NULL) < 0)
        return 0;
    assert_int_equal(weir_test_rewind(test, topic), 0);
    assert_int_equal(weir_test_read(test, topic, &records, &count), 0);
    for (size_t i = 0; i < count; i++)
        found += value == NULL ||
                 memmem(records[i].value, records[i].value_size, value, strlen(value)) != NULL;
    weir_free(records);
    return found;
}

static void assert_results(weir_test *test, size_t times, const char *when)
{
    size_t groups = 0;
    for (int day = 0; day < 2; day++)
        for (int minute = 0; minute < MINUTES; minute++)
            for (int user = 0; user < USERS; user++) {
                char text[160];
                int n, sum;
                add_up(day, user, minute, &n, &sum);
                if (n == 0)
                    continue;
                groups++;
                snprintf(text, sizeof text,
                         "{\"who\":\"w%d\",\"window_start\":\"2026-03-%02dT09:%02d:00.000Z\","
                         "\"window_end\":\"2026-03-%02dT09:%02d:00.000Z\",\"n\":%d,\"i\":%d}",
                         user, 2 - day, minute, 2 - day, minute + 1, n, sum);
                if (count_of(test, "finals", text) != times)
                    fail_msg("%s: %zu times %s", when, count_of(test, "finals", text), text);
            }
    assert_int_equal(groups, 2 * MINUTES * USERS);
    if (count_of(test, "finals", NULL) != times * groups)
        fail_msg("%s: %zu results", when, count_of(test, "finals", NULL));
    if (count_of(test, "finals.late", NULL) != 0)
        fail_msg("%s: %zu late rows", when, count_of(test, "finals.late", NULL));
    assert_int_equal(count_of(test, "all", NULL), ROWS);
}

static weir_test *open_test(weir_app *app)
{
    weir_test *test;
    weir_test_options options = {.start_ms = START, .partitions = 2};
    if (weir_test_open(app, &options, &test) < 0)
        fail_msg("%s", weir_log_error());
    return test;
}

/* With point NULL nothing kills it. passings (may be NULL): of each point in the end. */
static void live(const char *point, int64_t n, int64_t *passings)
{
    char when[128] = "without a kill";
    weir_app *app = build();
    weir_test *test = open_test(app);
    assert_int_equal(weir_test_kill_at(test, point, n), 0);
    if (point != NULL)
        snprintf(when, sizeof when, "killed at %s:%lld", point, (long long)n);
    int rc, kills = 0;
    while ((rc = work(test)) == WEIR_TEST_KILLED) {
        kills++;
        while ((rc = weir_test_restart(test, NULL)) == WEIR_TEST_KILLED)
            kills++;
        assert_int_equal(rc, 0);
    }
    if (rc != 0)
        fail_msg("%s: %d: %s", when, rc, weir_test_error(test));
    assert_int_equal(kills, point != NULL ? 1 : 0);
    for (int i = 0; passings != NULL && weir_test_points()[i] != NULL; i++)
        passings[i] = weir_test_passings(test, weir_test_points()[i]);
    assert_results(test, 1, when);
    assert_int_equal(weir_test_close(test), 0);
    weir_app_close(app);
}

static void killed_at_every_place(void **state)
{
    (void)state;
    int64_t passed[128], opened[128];
    const char *const *points = weir_test_points();
    live(NULL, 1, passed);
    weir_app *app = build();
    weir_test *test = open_test(app);
    for (int i = 0; points[i] != NULL; i++)
        opened[i] = weir_test_passings(test, points[i]);
    assert_int_equal(weir_test_close(test), 0);
    weir_app_close(app);
    int kills = 0;
    for (int i = 0; points[i] != NULL; i++) {
        int64_t count = passed[i] - opened[i], picks[] = {1, count / 2 + 1, count};
        for (int p = 0; p < 3; p++) {
            if (picks[p] < 1 || picks[p] > count || (p > 0 && picks[p] == picks[p - 1]))
                continue;
            live(points[i], picks[p], NULL);
            kills++;
        }
    }
    assert_true(kills >= 40);
}

/* The second pipeline reads the topic once more: of its own life the progress records tell the end
 * alone, and where batches and commits fell is another matter now. */
static void read_again(void **state)
{
    (void)state;
    weir_app *app = build();
    weir_test *test = open_test(app);
    assert_int_equal(work(test), 0);
    assert_results(test, 1, "at once");
    int rc = weir_app_reset(
        weir_test_log(test), "job",
        &(weir_app_reset_options){.topic = "finals", .outputs = WEIR_OUTPUTS_KEEP, .execute = true},
        NULL);
    if (rc < 0)
        fail_msg("%s", weir_log_error());
    assert_int_equal(weir_test_restart(test, NULL), 0);
    assert_int_equal(weir_test_finish(test, false), 0);
    assert_results(test, 2, "once more");
    assert_int_equal(weir_test_close(test), 0);
    weir_app_close(app);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_at_every_place),
        cmocka_unit_test(read_again),
    };
    scratch_dir_in_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
