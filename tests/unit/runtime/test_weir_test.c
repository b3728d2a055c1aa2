/* test_weir_test.c: the test driver by itself: what it promises about records, time, restarts,
 * state, several workers and bad calls. How it kills is test_weir_test_kill.c. */
#include "tests/support/scratch_dir.h"
#include "runtime/weir.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define START INT64_C(1772442000000) /* 2026-03-02T09:00:00Z */

static weir_app *counts_app(const weir_options *options, weir_emit_mode emit)
{
    weir_app *app = weir_app_open("counts", options);
    weir_stream *rows = weir_source(app, "clicks", WEIR_JSON, "ts");
    weir_stream *counted = weir_aggregate(
        weir_tumbling(weir_group_by(rows, "uid"), WEIR_MINUTES(5)), "count(*) AS n, sum(v) AS v");
    weir_emit(counted, emit);
    weir_to(counted, "user-counts");
    return app;
}

static weir_test *open_test(weir_app *app, int32_t partitions)
{
    weir_test *test = NULL;
    int rc = weir_test_open(app, &(weir_test_options){.start_ms = START, .partitions = partitions},
                            &test);
    if (rc < 0)
        fail_msg("%s", weir_log_error());
    return test;
}

static void ok(weir_test *test, int rc)
{
    if (rc != 0)
        fail_msg("%d: %s", rc, weir_test_error(test));
}

static void click(weir_test *test, int user, int64_t ts, int v)
{
    char key[32], value[128];
    snprintf(key, sizeof key, "u%d", user);
    snprintf(value, sizeof value, "{\"uid\":\"u%d\",\"ts\":%lld,\"v\":%d}", user, (long long)ts, v);
    ok(test, weir_test_send(test, "clicks", -1, 0, key, value));
}

/* What the next read of the topic gives: "key=value key=value", a tombstone as key=-. */
static const char *read_all(weir_test *test, const char *topic)
{
    static char text[1 << 16];
    weir_record *records;
    size_t count, used = 0;
    ok(test, weir_test_read(test, topic, &records, &count));
    text[0] = '\0';
    for (size_t i = 0; i < count; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%.*s=%.*s", i > 0 ? " " : "",
                                 (int)records[i].key_size, (const char *)records[i].key,
                                 records[i].value != NULL ? (int)records[i].value_size : 1,
                                 records[i].value != NULL ? (const char *)records[i].value : "-");
    weir_free(records);
    return text;
}

static size_t read_count(weir_test *test, const char *topic)
{
    weir_record *records;
    size_t count;
    ok(test, weir_test_read(test, topic, &records, &count));
    weir_free(records);
    return count;
}

static void records_come_out_once(void **state)
{
    (void)state;
    weir_app *app = counts_app(NULL, WEIR_EMIT_CHANGES);
    weir_test *test = open_test(app, 1);
    click(test, 1, START, 10);
    click(test, 1, START + 1000, 5);
    ok(test, weir_test_run(test));
    const char *key = "{\"uid\":\"u1\",\"window_start\":\"2026-03-02T09:00:00.000Z\"}";
    const char *bounds = "\"window_start\":\"2026-03-02T09:00:00.000Z\",\"window_end\":"
                         "\"2026-03-02T09:05:00.000Z\"";
    char expected[512];
    snprintf(expected, sizeof expected, "%s={\"uid\":\"u1\",%s,\"n\":2,\"v\":15}", key, bounds);
    assert_string_equal(read_all(test, "user-counts"), expected);
    assert_string_equal(read_all(test, "user-counts"), "");
    weir_test_rewind(test, "user-counts");
    assert_string_equal(read_all(test, "user-counts"), expected);
    char *json;
    ok(test, weir_test_get(test, "user-counts", key, &json));
    assert_non_null(strstr(json, "\"n\":2"));
    weir_free(json);
    weir_progress progress;
    weir_app_progress(app, &progress);
    assert_int_equal(progress.rows_in, 2);
    assert_int_equal(progress.rows_applied, 2);
    ok(test, weir_test_close(test));
    weir_app_close(app);
}

/* The same through restarts, kills and workers: what comes out is what a single life gives. */
static void restarts_change_nothing(void **state)
{
    (void)state;
    static char expected[1 << 16];
    for (int variant = 0; variant < 5; variant++) {
        weir_app *app =
            counts_app(&(weir_options){.threads = variant == 3 ? 3 : 1}, WEIR_EMIT_FINAL);
        weir_test *test = open_test(app, 4);
        for (int i = 0; i < 400; i++) {
            click(test, i % 23, START + i * 1000, i);
            if (i % 100 == 99 && variant > 0)
                ok(test, weir_test_run(test));
            if (i % 150 == 149 && variant == 1)
                ok(test, weir_test_restart(test, NULL));
            if (i % 150 == 149 && variant == 2) {
                ok(test, weir_test_kill(test));
                assert_int_equal(weir_test_run(test), WEIR_ESTATE);
                ok(test, weir_test_restart(test, NULL));
            }
            if (variant == 4)
                ok(test, weir_test_step(test, NULL));
        }
        ok(test, weir_test_finish(test, true));
        const char *results = read_all(test, "user-counts");
        if (variant == 0)
            strcpy(expected, results);
        assert_true(strlen(expected) > 1000);
        assert_string_equal(results, expected);
        ok(test, weir_test_close(test));
        weir_app_close(app);
    }
}

static void time_stands_still_until_it_is_moved(void **state)
{
    (void)state;
    time_t began = time(NULL);
    weir_app *app = counts_app(NULL, WEIR_EMIT_CHANGES);
    weir_test *test = open_test(app, 1);
    assert_int_equal(weir_test_now(test), START);
    click(test, 1, START + WEIR_HOURS(2), 1); /* too far ahead of the clock */
    ok(test, weir_test_run(test));
    assert_int_equal(weir_test_now(test), START);
    assert_int_equal(read_count(test, "user-counts"), 0);
    assert_int_equal(read_count(test, "counts.dlq"), 1);
    ok(test, weir_test_advance(test, WEIR_HOURS(2)));
    click(test, 1, START + WEIR_HOURS(2), 1);
    ok(test, weir_test_run(test));
    assert_int_equal(read_count(test, "user-counts"), 1);
    /* retention goes by the same clock, and so do records' timestamps */
    weir_record *records;
    size_t count;
    ok(test, weir_test_read(test, "clicks", &records, &count));
    assert_int_equal(count, 2);
    assert_int_equal(records[0].timestamp_ms, START);
    assert_int_equal(records[1].timestamp_ms, START + WEIR_HOURS(2));
    weir_free(records);
    ok(test, weir_test_advance(test, WEIR_DAYS(30)));
    ok(test, weir_test_run(test));
    weir_partition_info info;
    assert_int_equal(weir_partition_describe(weir_test_log(test), "clicks", 0, &info), 0);
    assert_int_equal(info.start_offset, 2);
    ok(test, weir_test_close(test));
    weir_app_close(app);
    assert_true(time(NULL) - began < 60);
}

/* A position that passed nothing but filtered rows waits for the interval of commits. */
static void the_interval_of_commits_follows_the_clock(void **state)
{
    (void)state;
    weir_app *app = weir_app_open("f", &(weir_options){.commit_interval_ms = 5000});
    weir_to(weir_filter(weir_source(app, "in", WEIR_JSON, NULL), "v > 1"), "out");
    weir_test *test = open_test(app, 1);
    ok(test, weir_test_send(test, "in", 0, 0, NULL, "{\"v\":1}"));
    ok(test, weir_test_send(test, "in", 0, 0, NULL, "{\"v\":2}"));
    bool idle = false;
    int steps = 0;
    for (; !idle && steps < 1000; steps++)
        ok(test, weir_test_step(test, &idle));
    assert_true(idle && steps > 1);
    assert_int_equal(read_count(test, "out"), 1);
    ok(test, weir_test_close(test));
    weir_app_close(app);
}

static void the_log_and_late_rows_are_there(void **state)
{
    (void)state;
    weir_app *app = counts_app(NULL, WEIR_EMIT_FINAL);
    weir_test *test = open_test(app, 1);
    assert_int_equal(weir_topic_create(weir_test_log(test), "clicks", 3, NULL, 0), 0);
    ok(test,
       weir_test_send(test, "clicks", 2, 0, NULL, "{\"uid\":\"a\",\"ts\":1772442000000,\"v\":1}"));
    ok(test,
       weir_test_send(test, "clicks", 2, 0, NULL, "{\"uid\":\"a\",\"ts\":1772442900000,\"v\":1}"));
    ok(test,
       weir_test_send(test, "clicks", 2, 0, NULL, "{\"uid\":\"a\",\"ts\":1772442000000,\"v\":1}"));
    ok(test, weir_test_run(test));
    weir_record *records;
    size_t count;
    ok(test, weir_test_read(test, "user-counts.late", &records, &count));
    assert_int_equal(count, 1);
    assert_true(records[0].header_count > 0);
    assert_string_equal(records[0].topic, "user-counts.late");
    weir_free(records);
    /* a transactional producer of the user's */
    weir_producer *producer;
    assert_int_equal(weir_producer_open(weir_test_log(test),
                                        &(weir_producer_options){.transactional_id = "x"},
                                        &producer),
                     0);
    assert_int_equal(weir_test_close(test), WEIR_EBUSY);
    assert_int_equal(weir_txn_begin(producer), 0);
    assert_int_equal(
        weir_send(producer, &(weir_record){.topic = "clicks", .value = "{}", .value_size = 2}), 0);
    assert_int_equal(weir_txn_abort(producer), 0);
    assert_int_equal(weir_producer_close(producer), 0);
    ok(test, weir_test_close(test));
    weir_app_close(app);
}

static void a_new_version_takes_over(void **state)
{
    (void)state;
    weir_app *app = counts_app(NULL, WEIR_EMIT_CHANGES);
    weir_test *test = open_test(app, 1);
    click(test, 1, START, 1);
    ok(test, weir_test_run(test));
    weir_app *other = weir_app_open("other", NULL);
    assert_int_equal(weir_test_restart(test, other), WEIR_EINVALID);
    weir_app *changed = weir_app_open("counts", NULL);
    weir_to(weir_aggregate(weir_group_by(weir_source(changed, "clicks", WEIR_JSON, "ts"), "uid"),
                           "count(*) AS n"),
            "user-counts");
    ok(test, weir_test_restart(test, changed));
    assert_true(weir_test_run(test) < 0); /* another plan: refused, as in production */
    assert_true(strlen(weir_test_error(test)) > 0);
    ok(test, weir_test_restart(test, app));
    click(test, 1, START, 1);
    ok(test, weir_test_run(test));
    assert_non_null(strstr(read_all(test, "user-counts"), "\"n\":2"));
    ok(test, weir_test_close(test));
    weir_app_close(app);
    weir_app_close(changed);
    weir_app_close(other);
}

static int entries(const char *path)
{
    DIR *directory = opendir(path);
    int count = 0;
    while (directory != NULL && readdir(directory) != NULL)
        count++;
    if (directory != NULL)
        closedir(directory);
    return count;
}

static void a_replay_gives_all_of_it_again(void **state)
{
    (void)state;
    weir_app *app = counts_app(NULL, WEIR_EMIT_FINAL);
    weir_app *again = counts_app(&(weir_options){.from_beginning = true}, WEIR_EMIT_FINAL);
    weir_test *test = open_test(app, 2);
    for (int i = 0; i < 20; i++)
        click(test, i, START, 1);
    ok(test, weir_test_finish(test, true));
    assert_int_equal(read_count(test, "user-counts"), 20);
    ok(test, weir_test_restart(test, again));
    ok(test, weir_test_finish(test, true));
    assert_int_equal(read_count(test, "user-counts"), 20);
    ok(test, weir_test_finish(test, true)); /* it was asked for once */
    assert_int_equal(read_count(test, "user-counts"), 0);
    ok(test, weir_test_close(test));
    weir_app_close(again);
    weir_app_close(app);
}

static void directories_are_removed_or_kept(void **state)
{
    (void)state;
    char *base = scratch_dir_create();
    const char *before = getenv("TMPDIR");
    char *saved = before != NULL ? strdup(before) : NULL;
    setenv("TMPDIR", base, 1);
    weir_app *app =
        counts_app(&(weir_options){.data = "/nonexistent/elsewhere"}, WEIR_EMIT_CHANGES);
    weir_test *test = open_test(app, 1);
    click(test, 1, START, 1);
    ok(test, weir_test_run(test));
    assert_int_equal(entries(base), 3);
    ok(test, weir_test_close(test));
    assert_int_equal(entries(base), 2);
    char *kept = scratch_path(base, "kept");
    assert_int_equal(
        weir_test_open(app, &(weir_test_options){.data = kept, .start_ms = START}, &test), 0);
    click(test, 1, START, 1);
    ok(test, weir_test_run(test));
    ok(test, weir_test_close(test));
    weir_app_close(app);
    weir_log *log;
    assert_int_equal(weir_log_open(kept, &(weir_log_options){.must_exist = true}, &log), 0);
    assert_int_equal(weir_topic_describe(log, "user-counts", NULL), 0);
    assert_int_equal(weir_log_close(log), 0);
    assert_int_not_equal(access("/nonexistent", F_OK), 0);
    free(kept);
    if (saved != NULL)
        setenv("TMPDIR", saved, 1);
    else
        unsetenv("TMPDIR");
    free(saved);
    scratch_dir_remove(base);
}

static void bad_calls_are_refused(void **state)
{
    (void)state;
    weir_test *test = (weir_test *)&test, *second;
    weir_record *records;
    size_t count;
    char *json;
    assert_int_equal(weir_test_open(NULL, NULL, &test), WEIR_EINVALID);
    assert_null(test);
    weir_app *app = counts_app(NULL, WEIR_EMIT_CHANGES);
    assert_int_equal(weir_test_open(app, NULL, NULL), WEIR_EINVALID);
    assert_int_equal(weir_test_open(app, &(weir_test_options){.partitions = -1}, &test),
                     WEIR_EINVALID);
    assert_int_equal(weir_test_open(app, &(weir_test_options){.reserved = {1}}, &test),
                     WEIR_EINVALID);
    assert_int_equal(weir_test_open(app, &(weir_test_options){.data = "/proc/no/such"}, &test),
                     WEIR_EIO);
    assert_true(strlen(weir_log_error()) > 0);
    assert_int_equal(weir_test_close(NULL), 0);
    assert_int_equal(weir_test_run(NULL), WEIR_EINVALID);
    assert_int_equal(weir_test_step(NULL, NULL), WEIR_EINVALID);
    assert_int_equal(weir_test_finish(NULL, false), WEIR_EINVALID);
    assert_int_equal(weir_test_flush(NULL), WEIR_EINVALID);
    assert_int_equal(weir_test_advance(NULL, 1), WEIR_EINVALID);
    assert_int_equal(weir_test_send(NULL, "t", 0, 0, NULL, NULL), WEIR_EINVALID);
    assert_int_equal(weir_test_read(NULL, "t", &records, &count), WEIR_EINVALID);
    assert_int_equal(weir_test_rewind(NULL, "t"), WEIR_EINVALID);
    assert_int_equal(weir_test_get(NULL, "t", "k", &json), WEIR_EINVALID);
    assert_int_equal(weir_test_kill(NULL), WEIR_EINVALID);
    assert_int_equal(weir_test_kill_at(NULL, "commit_decided", 1), WEIR_EINVALID);
    assert_int_equal(weir_test_passings(NULL, "commit_decided"), WEIR_EINVALID);
    assert_int_equal(weir_test_restart(NULL, NULL), WEIR_EINVALID);
    assert_null(weir_test_log(NULL));
    assert_string_equal(weir_test_error(NULL), "");
    assert_int_equal(weir_test_now(NULL), 0);

    test = open_test(app, 1);
    assert_int_equal(weir_test_open(app, NULL, &second), WEIR_EBUSY);
    assert_null(second);
    assert_int_equal(weir_test_send(test, NULL, 0, 0, NULL, NULL), WEIR_EINVALID);
    assert_true(weir_test_send(test, "no/topic", 0, 0, NULL, NULL) < 0);
    assert_int_equal(weir_test_send(test, "clicks", 7, 0, NULL, NULL), WEIR_ERANGE);
    assert_int_equal(weir_test_send_record(test, 0, NULL), WEIR_EINVALID);
    assert_int_equal(weir_test_advance(test, -1), WEIR_EINVALID);
    assert_int_equal(weir_test_advance(test, INT64_MAX), WEIR_EINVALID);
    assert_int_equal(weir_test_read(test, "nowhere", &records, &count), WEIR_ENOTFOUND);
    assert_null(records);
    assert_int_equal(weir_test_read(test, NULL, &records, &count), WEIR_EINVALID);
    assert_int_equal(weir_test_read(test, "clicks", NULL, &count), WEIR_EINVALID);
    assert_int_equal(weir_test_get(test, "nowhere", "k", &json), WEIR_ENOTFOUND);
    assert_int_equal(weir_test_get(test, "user-counts", "k", &json), WEIR_EINVALID);
    assert_int_equal(
        weir_test_get(test, "user-counts", "{\"uid\":\"k\",\"window_start\":0}", &json),
        WEIR_ENOTFOUND);
    assert_null(json);
    assert_int_equal(weir_test_get(test, "user-counts", NULL, &json), WEIR_EINVALID);
    assert_int_equal(weir_test_kill_at(test, "commit_decide", 1), WEIR_EINVALID);
    assert_non_null(strstr(weir_test_error(test), "commit_decide"));
    assert_int_equal(weir_test_kill_at(test, "commit_decided", 0), WEIR_EINVALID);
    assert_int_equal(weir_test_kill_at(test, NULL, 1), 0);
    assert_int_equal(weir_test_passings(test, "commit_decide"), WEIR_EINVALID);
    ok(test, weir_test_kill(test));
    assert_null(weir_test_log(test));
    assert_int_equal(weir_test_send(test, "clicks", 0, 0, NULL, "{}"), WEIR_ESTATE);
    assert_int_equal(weir_test_kill(test), WEIR_ESTATE);
    assert_non_null(strstr(weir_test_error(test), "weir_test_restart"));
    ok(test, weir_test_restart(test, NULL));
    ok(test, weir_test_run(test));
    ok(test, weir_test_close(test));
    weir_app_close(app);

    /* a topology that cannot be */
    weir_app *broken = weir_app_open("broken", NULL);
    weir_to(weir_filter(weir_source(broken, "in", WEIR_JSON, NULL), "no such ("), "out");
    test = open_test(broken, 1);
    assert_true(weir_test_run(test) < 0);
    assert_true(strlen(weir_test_error(test)) > 0);
    ok(test, weir_test_close(test));
    weir_app_close(broken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_come_out_once),
        cmocka_unit_test(restarts_change_nothing),
        cmocka_unit_test(time_stands_still_until_it_is_moved),
        cmocka_unit_test(the_interval_of_commits_follows_the_clock),
        cmocka_unit_test(the_log_and_late_rows_are_there),
        cmocka_unit_test(a_new_version_takes_over),
        cmocka_unit_test(a_replay_gives_all_of_it_again),
        cmocka_unit_test(directories_are_removed_or_kept),
        cmocka_unit_test(bad_calls_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
