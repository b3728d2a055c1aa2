/* test_metrics.c: what an app tells of itself, read by Prometheus' own OpenMetrics parser.
 *
 * A job with a row of every fate runs, and each number expected is counted by hand; the names are
 * those of docs/operations.md, both ways (tests/support/openmetrics.py). A second run shows that counters
 * go on. Then files that cannot be written, and a reader beside a run. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/base/io.h"
#include "tests/support/scratch_dir.h"
#include "tests/support/topic_rows.h"
#include "tests/support/weir_fixture.h"

static int set_up(void **state)
{
    *state = scratch_dir_create();
    return 0;
}
static int tear_down(void **state)
{
    scratch_dir_remove(*state);
    return 0;
}

static void send_rows(const char *dir)
{
    static const char *const rows[] = {"{\"k\":\"a\",\"ts\":1000}",
                                       "{\"k\":\"b\",\"ts\":2000}",
                                       "{\"k\":\"a\",\"ts\":15000}",
                                       "{\"k\":\"a\",\"ts\":3000}",   /* late */
                                       "{\"k\":\"no\",\"ts\":15000}", /* filtered */
                                       "{\"k\":",                     /* dead */
                                       "{\"k\":\"a\",\"ts\":16500}"};
    struct bytes none = {NULL, 0};
    struct sender *sender;
    struct log *log = topic_log_open(dir);
    if (topic_describe(log, "events", NULL, NULL) < 0)
        assert_int_equal(topic_create(log, "events", 2, NULL, 0, NULL), 0);
    assert_int_equal(sender_open(log, "events", NULL, &sender, NULL), 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(sender_send(sender, 0, 20000, none, bytes_text(rows[i]), none, 0, NULL),
                         0);
    assert_int_equal(sender_flush(sender, true, NULL), 0);
    sender_close(sender);
    log_close(log);
}

static weir_app *make_app(const char *dir, const char *metrics)
{
    weir_app *app =
        weir_app_open("shop", &(weir_options){.data = dir, .until_end = true, .metrics = metrics});
    weir_stream *source = weir_lateness(weir_source(app, "events", WEIR_JSON, "ts"), 0);
    weir_to(
        weir_aggregate(weir_tumbling(weir_group_by(weir_filter(source, "k <> 'no'"), "k"), 10000),
                       "count(*) AS n"),
        "counts");
    return app;
}

/* What the parser makes of a file; "" when it is not installed. Ends the test when the parser, or
 * the documentation, objects. The caller frees it. */
static char *parsed(const char *dir, const char *file)
{
    const char *root = getenv("WEIR_SOURCE_DIR");
    char command[16384], *text = NULL, *output = scratch_path(dir, "parsed");
    char source[4096];
    size_t size;
    if (root != NULL)
        snprintf(source, sizeof source, "%s", root);
    else
        snprintf(source, sizeof source, "%.*s", (int)(strstr(__FILE__, "/tests/unit/") - __FILE__),
                 __FILE__);
    /* Debian's package belongs to Debian's python3, which need not be the first one in PATH. */
    snprintf(command, sizeof command,
             "python3=python3; python3 -c 'import prometheus_client' 2>/dev/null || "
             "python3=/usr/bin/python3; $python3 '%s/tests/support/openmetrics.py' '%s' "
             "'%s/docs/operations.md' >'%s'",
             source, file, source, output);
    int status = system(command);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        print_message("python3-prometheus-client is not installed: only the text is looked at\n");
    else
        assert_int_equal(status, 0);
    assert_int_equal(io_read_file(output, 1 << 20, &text, &size, NULL), 0);
    free(output);
    return text;
}

static void assert_line(const char *text, const char *line)
{
    if (text[0] == '\0')
        return;
    const char *at = strstr(text, line);
    if (at == NULL || (at != text && at[-1] != '\n') || at[strlen(line)] != '\n')
        fail_msg("no line '%s' in:\n%s", line, text);
}

#define SOURCE "partition=0,stage=counts-repartition,topic=events"
#define SECOND "stage=counts,topic=shop-counts-repartition"

static void test_every_number(void **state)
{
    char *file = scratch_path(*state, "metrics"), *raw, *text;
    size_t size;
    for (int run = 1; run <= 2; run++) {
        char line[200];
        if (run == 1) {
            send_rows(*state);
        }
        weir_app *app = make_app(*state, file);
        assert_works(weir_app_run(app), weir_app_error(app));
        assert_int_equal(weir_app_metrics(app, &raw), 0);
        weir_app_close(app);
        assert_non_null(strstr(raw, "# EOF\n"));
        assert_string_equal(strstr(raw, "# EOF\n"), "# EOF\n");
        weir_free(raw);
        text = parsed(*state, file);
        assert_line(text, "weir_rows_in_total counter {app=shop," SOURCE "} 7.0");
        assert_line(text, "weir_rows_made_total counter {app=shop," SOURCE "} 0.0");
        assert_line(text, "weir_rows_total counter {app=shop,fate=applied," SOURCE "} 4.0");
        assert_line(text, "weir_rows_total counter {app=shop,fate=filtered," SOURCE "} 1.0");
        assert_line(text, "weir_rows_total counter {app=shop,fate=late," SOURCE "} 1.0");
        assert_line(text, "weir_rows_total counter {app=shop,fate=duplicate," SOURCE "} 0.0");
        assert_line(text, "weir_rows_total counter {app=shop,fate=dead," SOURCE "} 1.0");
        assert_line(text, "weir_input_offset gauge {app=shop," SOURCE "} 7.0");
        assert_line(text, "weir_lag_records gauge {app=shop," SOURCE "} 0.0");
        assert_line(text, "weir_watermark_seconds gauge {app=shop," SOURCE "} 16.5");
        assert_line(text, "weir_store_lag_records gauge {app=shop,partition=0," SECOND "} 0.0");
        assert_line(text, "weir_restored_ratio gauge {app=shop,partition=1," SECOND "} 1.0");
        assert_line(text, "weir_memory_budget_bytes gauge {app=shop} 268435456.0");
        snprintf(line, sizeof line, "weir_app_info info {app=shop,version=%s} 1.0", weir_version());
        assert_line(text, line);
        /* The second partition never had a row: no watermark. */
        assert_null(
            strstr(text, "weir_watermark_seconds gauge {app=shop,partition=1,stage=counts-r"));
        free(text);
    }
    assert_int_equal(io_read_file(file, 1 << 20, &raw, &size, NULL), 0);
    assert_true(size > 6 && strcmp(raw + size - 6, "# EOF\n") == 0);
    free(raw);
    free(file);
}

static double number_behind(const char *text, const char *start)
{
    const char *at = strstr(text, start);
    assert_non_null(at);
    return strtod(at + strlen(start), NULL);
}

/* Buckets are cumulative, the last one is the count, and each commit is in it once. */
static void test_commit_histogram(void **state)
{
    char *raw;
    weir_progress progress;
    weir_app *app;
    send_rows(*state);
    app = make_app(*state, NULL);
    assert_works(weir_app_run(app), weir_app_error(app));
    weir_app_progress(app, &progress);
    assert_int_equal(weir_app_metrics(app, &raw), 0);
    double last = 0;
    int count = 0;
    for (const char *at = raw; (at = strstr(at, "weir_commit_latency_seconds_bucket{")) != NULL;
         at++, count++) {
        double value = strtod(strchr(at, '}') + 1, NULL);
        assert_true(value >= last);
        last = value;
    }
    assert_true(count > 5 && progress.commits > 0);
    assert_true(last == (double)progress.commits);
    assert_true(number_behind(raw, "weir_commit_latency_seconds_count{app=\"shop\"} ") == last);
    assert_true(number_behind(raw, "weir_commit_latency_seconds_sum{app=\"shop\"} ") > 0);
    assert_true(number_behind(raw, "weir_memory_bytes{app=\"shop\",kind=\"tables\"} ") > 0);
    weir_free(raw);
    weir_app_close(app);
}

/* A sample of a stage's histogram: name ends with _bucket, _count or _sum; le: of which bucket. */
static double of_stage(const char *text, const char *name, const char *stage, const char *le)
{
    char start[400];
    snprintf(start, sizeof start, "\nweir_stage_%s{app=\"shop\",%s%s%s%s} ", name, stage,
             le != NULL ? ",le=\"" : "", le != NULL ? le : "", le != NULL ? "\"" : "");
    return number_behind(text, start);
}

enum { NEWEST_MS = 16500, BEHIND_MS = 100000 };
static int64_t wall_of_the_test(void)
{
    return NEWEST_MS + BEHIND_MS;
}

#define FIRST_STAGE  "stage=\"counts-repartition\",topic=\"events\""
#define SECOND_STAGE "stage=\"counts\",topic=\"shop-counts-repartition\""

/* The clock stands 100 s behind the newest row. Whatever commits there were, each that had a watermark of the first stage saw it at a row of
 * send_rows, and the last one at the newest. */
static void test_histograms_of_stages(void **state)
{
    weir_progress progress;
    int64_t began_ns = clock_mono_ns();
    char *raw;
    send_rows(*state);
    weir_app *app = make_app(*state, NULL);
    clock_wall_replace(wall_of_the_test);
    assert_works(weir_app_run(app), weir_app_error(app));
    weir_app_progress(app, &progress);
    assert_int_equal(weir_app_metrics(app, &raw), 0);
    double commits = of_stage(raw, "commit_latency_seconds_count", FIRST_STAGE, NULL);
    double delays = of_stage(raw, "watermark_delay_seconds_count", FIRST_STAGE, NULL);
    double sum_s = of_stage(raw, "watermark_delay_seconds_sum", FIRST_STAGE, NULL);
    double took_s = (double)(clock_mono_ns() - began_ns) / 1e9;
    assert_true(commits >= 1 && delays >= 1 && delays <= commits);
    assert_true(of_stage(raw, "watermark_delay_seconds_bucket", FIRST_STAGE, "60.0") == 0);
    assert_true(of_stage(raw, "watermark_delay_seconds_bucket", FIRST_STAGE, "300.0") == delays);
    assert_true(of_stage(raw, "watermark_delay_seconds_bucket", FIRST_STAGE, "+Inf") == delays);
    /* The first row lies 15.5 s before the newest. */
    assert_true(sum_s >= 100 * delays && sum_s <= 115.5 * (delays - 1) + 100);
    /* Partitions that are in one commit see it each. */
    assert_true(commits <= 2 * (double)progress.commits);
    assert_true(of_stage(raw, "commit_latency_seconds_sum", FIRST_STAGE, NULL) <= took_s * commits);
    assert_true(of_stage(raw, "flush_seconds_count", FIRST_STAGE, NULL) == commits);
    assert_true(of_stage(raw, "flush_seconds_sum", FIRST_STAGE, NULL) <=
                of_stage(raw, "commit_latency_seconds_sum", FIRST_STAGE, NULL));
    /* One opening of each partition that keeps state, in each run; the first stage keeps none. */
    assert_null(strstr(raw, "weir_stage_restore_seconds_count{app=\"shop\"," FIRST_STAGE));
    assert_true(of_stage(raw, "restore_seconds_count", SECOND_STAGE, NULL) == 2);
    assert_true(of_stage(raw, "restore_seconds_sum", SECOND_STAGE, NULL) > 0);
    assert_true(of_stage(raw, "restore_seconds_sum", SECOND_STAGE, NULL) <= 2 * took_s);
    weir_free(raw);
    /* They go on when the app runs again. */
    assert_works(weir_app_run(app), weir_app_error(app));
    clock_wall_replace(NULL);
    assert_int_equal(weir_app_metrics(app, &raw), 0);
    assert_true(of_stage(raw, "restore_seconds_count", SECOND_STAGE, NULL) == 4);
    assert_true(of_stage(raw, "commit_latency_seconds_count", FIRST_STAGE, NULL) >= commits);
    assert_true(of_stage(raw, "watermark_delay_seconds_bucket", FIRST_STAGE, "60.0") == 0);
    weir_free(raw);
    weir_app_close(app);
}

/* A path that cannot be is an error of the start; one that becomes bad later stops nothing. */
static void test_files_that_cannot_be_written(void **state)
{
    char *file = scratch_path(*state, "missing/metrics"), *raw;
    send_rows(*state);
    weir_app *app = make_app(*state, file);
    assert_int_equal(weir_app_run(app), WEIR_EIO);
    assert_says(weir_app_error(app), "missing/metrics");
    assert_int_equal(weir_app_metrics(app, &raw), 0); /* the run that failed told something, too */
    weir_free(raw);
    weir_app_close(app);
    app = weir_app_open("never", NULL);
    assert_int_equal(weir_app_metrics(app, &raw), 0);
    assert_string_equal(raw, "# EOF\n");
    weir_free(raw);
    assert_int_equal(weir_app_metrics(app, NULL), WEIR_EINVALID);
    weir_app_close(app);
    assert_int_equal(weir_app_metrics(NULL, &raw), WEIR_EINVALID);
    assert_null(raw);
    free(file);
}

static int fail_metrics(void *context, enum io_call call, const char *path, int fd, size_t *size)
{
    int *left = context;
    (void)fd;
    (void)size;
    return call == IO_OPEN && path != NULL && strstr(path, "metrics") != NULL && (*left)-- <= 0
               ? 28 /* no space left */
               : 0;
}
static void test_a_file_that_fails_later(void **state)
{
    char *file = scratch_path(*state, "metrics");
    int left = 1;
    send_rows(*state);
    weir_app *app = make_app(*state, file);
    io_set_fault(fail_metrics, &left);
    int rc = weir_app_run(app);
    io_set_fault(NULL, NULL);
    assert_works(rc, weir_app_error(app));
    assert_true(left < 0);
    weir_app_close(app);
    free(file);
}

static void *read_metrics(void *context)
{
    for (int i = 0; i < 200; i++) {
        char *text;
        assert_int_equal(weir_app_metrics(context, &text), 0);
        size_t size = strlen(text);
        assert_true(size >= 6 && strcmp(text + size - 6, "# EOF\n") == 0);
        weir_free(text);
    }
    return NULL;
}
static void test_a_reader_beside_a_run(void **state)
{
    pthread_t thread;
    send_rows(*state);
    weir_app *app = make_app(*state, NULL);
    assert_int_equal(pthread_create(&thread, NULL, read_metrics, app), 0);
    for (int i = 0; i < 5; i++)
        assert_works(weir_app_run(app), weir_app_error(app));
    pthread_join(thread, NULL);
    weir_app_close(app);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_number, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_commit_histogram, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_histograms_of_stages, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_files_that_cannot_be_written, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_file_that_fails_later, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_reader_beside_a_run, set_up, tear_down),
    };
    scratch_dir_in_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
