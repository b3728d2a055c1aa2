/* test_task_input.c: event times, watermarks row by row, and watermarks that cross a re-keying.
 *
 * Whole runs over a few rows show what becomes of each form of event time; a task driven by hand
 * (task_open, task_poll on a log of the test's own) shows where its watermark stands after each row
 * and when marks apply. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/task.h"
#include "tests/support/log_fixture.h"
#include "tests/support/scratch_dir.h"
#include "tests/support/topic_rows.h"

#define RECORD_MS INT64_C(1700000000000) /* the records' own timestamp: 2023-11-14T22:13:20Z */
enum { LATENESS_MS = 1000 };
static const struct bytes none = {NULL, 0};

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

static void fill(const char *dir, const char *const *values, size_t count, int32_t partitions)
{
    struct sender *sender;
    struct log *log = topic_log_open(dir);
    assert_int_equal(topic_create(log, "events", partitions, NULL, 0, NULL), 0);
    assert_int_equal(sender_open(log, "events", NULL, &sender, NULL), 0);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(
            sender_send(sender, 0, RECORD_MS, none, bytes_text(values[i]), none, 0, NULL), 0);
    assert_int_equal(sender_flush(sender, true, NULL), 0);
    sender_close(sender);
    log_close(log);
}

/* ---- a task by hand ---- */

struct driver {
    weir_app *app;
    struct plan *plan;
    struct port *port;
    struct task *tasks; /* one of each stage, on partition 0 */
    struct diag diag;
};

static void count_by_window(weir_app *app)
{
    weir_stream *source = weir_lateness(weir_source(app, "events", WEIR_JSON, "ts"), LATENESS_MS);
    weir_to(
        weir_aggregate(weir_tumbling(weir_group_by(weir_check(weir_filter(source, "kind IS NULL"),
                                                              "x > 0", "not_positive"),
                                                   "k"),
                                     10000),
                       "count(*) AS n"),
        "counts");
}

static void open_driver(struct driver *d, const char *dir, int batch_rows)
{
    memset(d, 0, sizeof *d);
    d->app = weir_app_open("shop", &(weir_options){.data = dir, .batch_rows = batch_rows});
    count_by_window(d->app);
    assert_int_equal(plan_compile(d->app, &d->plan, NULL), 0);
    assert_int_equal(port_log_open(dir, NULL, &d->port, NULL), 0);
    assert_int_equal(plan_place(d->plan, d->port, NULL), 0);
    d->tasks = calloc(d->plan->stage_count, sizeof *d->tasks);
    assert_non_null(d->tasks);
    for (uint32_t i = 0; i < d->plan->stage_count; i++) {
        d->tasks[i].stage = &d->plan->stages[i];
        d->tasks[i].index = i;
        atomic_init(&d->tasks[i].end_target, INT64_MAX);
        atomic_init(&d->tasks[i].raise_ms, TIME_NONE);
        if (task_open(&d->tasks[i], d->plan, d->port, NULL, &d->diag) < 0)
            fail_msg("task_open: %s", d->diag.text);
    }
}
static void close_driver(struct driver *d)
{
    for (uint32_t i = 0; i < d->plan->stage_count; i++)
        task_close(&d->tasks[i]);
    free(d->tasks);
    d->port->ops->close(d->port);
    plan_destroy(d->plan);
    weir_app_close(d->app);
}

/* After each row, in offset order: where the watermark stands. Times are small, so that they read
 * well. */
struct step {
    const char *value;
    int64_t watermark_ms;
};
static const struct step steps[] = {
    {"{\"k\":\"a\",\"x\":1}", TIME_NONE}, /* no time: dead, moves nothing */
    {"{\"k\":\"a\",\"x\":1,\"ts\":5000}", 4000},
    {"{\"k\":\"a\",\"x\":1,\"ts\":3000}", 4000}, /* behind: stays */
    {"{\"k\":\"a\",\"x\":1,\"ts\":\"7000\"}", 6000},
    {"{\"k\":\"a\",\"x\":1,\"ts\":8000,\"kind\":\"noise\"}", 7000}, /* filtered: moves it */
    {"{\"k\":\"a\",\"x\":-1,\"ts\":9000}", 8000}, /* violates the check: moves it */
    {"{\"k\":\"a\",\"x\":1,\"ts\":true}", 8000},
    {"not json", 8000},
    {"{\"k\":\"a\",\"x\":1,\"ts\":\"1970-01-01T00:00:12Z\"}", 11000},
    {"{\"k\":\"a\",\"x\":1,\"ts\":9999}", 11000}, /* window [0, 10000) closed: late */
    {"{\"k\":\"a\",\"x\":1,\"ts\":1700003600001}",
     11000}, /* an hour and 1 ms ahead of its record */
    {"{\"k\":\"a\",\"x\":1,\"ts\":1700003600000}", RECORD_MS + 3600000 - LATENESS_MS},
    {"{\"k\":\"a\",\"x\":1,\"ts\":12000}", RECORD_MS + 3600000 - LATENESS_MS},
};
enum { STEPS = sizeof steps / sizeof steps[0] };

static void fill_steps(const char *dir, int32_t partitions)
{
    const char *values[STEPS];
    for (size_t i = 0; i < STEPS; i++)
        values[i] = steps[i].value;
    fill(dir, values, STEPS, partitions);
}

static void test_watermark_of_each_row(void **state)
{
    struct driver d;
    fill_steps(*state, 1);
    open_driver(&d, *state, 1);
    struct task *task = &d.tasks[0];
    for (size_t i = 0; i < STEPS; i++) {
        assert_int_equal(task_poll(task, &d.diag), 1);
        assert_true(task->position == (int64_t)i + 1);
        if (task->watermark_ms != steps[i].watermark_ms)
            fail_msg("after %s: %" PRId64, steps[i].value, task->watermark_ms);
    }
    assert_int_equal(task_poll(task, &d.diag), 0);
    close_driver(&d);
}

/* However the rows are cut into batches: the same verdicts. */
static void test_counts_do_not_depend_on_batches(void **state)
{
    static const int sizes[] = {1, 2, 3, 7, 4096};
    fill_steps(*state, 1);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct driver d;
        open_driver(&d, *state, sizes[i]);
        struct task *task = &d.tasks[0];
        while (task_poll(task, &d.diag) == 1)
            ;
        const struct counts *c = &task->counts;
        assert_int_equal(c->rows_in, 13);
        assert_int_equal(c->applied, 5);
        assert_int_equal(c->filtered, 1);
        assert_int_equal(c->late, 2);
        assert_int_equal(c->dead, 5);
        assert_true(task->max_event_ms == RECORD_MS + 3600000);
        close_driver(&d);
    }
}

static void test_end_target(void **state)
{
    struct driver d;
    fill_steps(*state, 1);
    open_driver(&d, *state, 4096);
    struct task *task = &d.tasks[0];
    atomic_store(&task->end_target, 4);
    assert_false(task_at_end(task));
    assert_int_equal(task_poll(task, &d.diag), 1);
    assert_true(task->position == 4 && task->counts.rows_in == 4 && task->watermark_ms == 6000);
    assert_true(task_at_end(task));
    assert_int_equal(task_poll(task, &d.diag), 0);
    close_driver(&d);
}

static int64_t raised(struct driver *d)
{
    int64_t raised_ms;
    assert_int_equal(task_apply_raise(&d->tasks[0], &raised_ms, &d->diag), 0);
    return raised_ms;
}

static void test_raise(void **state)
{
    struct driver d;
    fill_steps(*state, 1);
    open_driver(&d, *state, 4096);
    struct task *task = &d.tasks[0];
    assert_true(raised(&d) == TIME_NONE && task->watermark_ms == TIME_NONE && !task->has_pending);
    atomic_store(&task->raise_ms, 20000);
    assert_true(raised(&d) == 20000 && task->watermark_ms == 20000 && task->has_pending);
    assert_true(task->time_markers.count == 1 && task->time_markers.items[0].closes);
    atomic_store(&task->raise_ms, 10000);
    assert_true(raised(&d) == 10000 && task->watermark_ms == 20000); /* never back */
    assert_true(task->time_markers.items[0].time_ms == 20000);
    close_driver(&d);
}

/* Retention overtakes a task that runs: it says which records it never saw, and goes no further. */
static void test_records_removed_before_they_were_read(void **state)
{
    struct driver d;
    fill_steps(*state, 1);
    open_driver(&d, *state, 4096);
    struct task *task = &d.tasks[0];
    assert_int_equal(d.port->ops->purge(d.port, "events", 0, 5, NULL), 0);
    for (int i = 0; i < 2; i++) {
        memset(&d.diag, 0, sizeof d.diag);
        assert_int_equal(task_poll(task, &d.diag), ERR_RANGE);
        assert_non_null(
            strstr(d.diag.text, "events-0 starts at offset 5: the records from 0 to 4"));
        assert_non_null(strstr(d.diag.text, "from_beginning"));
        assert_true(task->position == 0 && task->counts.rows_in == 0);
    }
    close_driver(&d);
}

/* ---- marks ---- */

static void mark(struct driver *d, uint32_t upstream, int64_t end, int64_t watermark_ms)
{
    struct task *task = &d->tasks[1];
    int64_t ends[] = {end, end};
    struct progress progress = {.partition = (int32_t)upstream,
                                .watermark_ms = watermark_ms,
                                .ends = ends,
                                .end_count = (uint32_t)task->partition + 1};
    snprintf(progress.stage, sizeof progress.stage, "%s",
             task->plan->stages[task->stage->upstream].name);
    assert_int_equal(task_take_mark(task, &progress, NULL), 0);
    task_apply_marks(task);
}

static void test_marks(void **state)
{
    struct driver d;
    fill_steps(*state, 2);
    open_driver(&d, *state, 4096);
    struct task *task = &d.tasks[1];
    assert_true(task->stage->input == INPUT_PARTIALS && task->mark_count == 2);
    task->position = 10;
    mark(&d, 0, 10, 500);
    assert_true(task->watermark_ms == TIME_NONE &&
                !task->has_pending); /* the other upstream has said nothing */
    mark(&d, 1, 12, 300);
    assert_true(task->watermark_ms == TIME_NONE); /* not there yet */
    task->position = 11;
    task_apply_marks(task);
    assert_true(task->watermark_ms == TIME_NONE);
    task->position = 12;
    task_apply_marks(task);
    assert_true(task->watermark_ms == 300 && task->has_pending); /* the minimum */
    mark(&d, 1, 12, 400);
    assert_true(task->watermark_ms == 400);
    mark(&d, 1, -1, 900); /* it never wrote here: applies at once, and the other one holds it */
    assert_true(task->watermark_ms == 500);
    mark(&d, 0, 20, 600);
    mark(&d, 0, 30, 700);
    task->position = 29;
    task_apply_marks(task);
    assert_true(task->watermark_ms == 600);
    task->position = 40;
    task_apply_marks(task);
    assert_true(task->watermark_ms == 700);
    mark(&d, 0, 40, TIME_NONE); /* nothing seen upstream: nothing said */
    mark(&d, 7, 40, 5000);      /* no such upstream */
    assert_true(task->watermark_ms == 700);
    mark(&d, 0, 90, 750);
    mark(&d, 0, 41, 800); /* the topic was made anew: the end before is not waited for */
    task->position = 41;
    task_apply_marks(task);
    assert_true(task->watermark_ms == 800);
    close_driver(&d);
}

static void test_marks_are_merged(void **state)
{
    struct driver d;
    fill_steps(*state, 2);
    open_driver(&d, *state, 4096);
    struct task *task = &d.tasks[1];
    for (int i = 0; i < 1000; i++)
        mark(&d, 0, 50, 100 + i); /* one end: the last one counts */
    assert_int_equal(task->marks[0].count, 1);
    for (int i = 0; i < 1000; i++)
        mark(&d, 0, 60 + i, 1099); /* the same time at later ends: the first one says it */
    assert_int_equal(task->marks[0].count, 1);
    for (int i = 0; i < 1000; i++)
        mark(&d, 0, 2000 + i, 2000 + i); /* all different: all kept, in order */
    assert_int_equal(task->marks[0].count, 1001);
    mark(&d, 1, 0, INT64_MAX);
    task->position = 50;
    task_apply_marks(task);
    assert_true(task->watermark_ms == 1099);
    for (int i = 0; i < 1000; i += 37) {
        task->position = 2000 + i;
        task_apply_marks(task);
        assert_true(task->watermark_ms == 2000 + i);
        mark(&d, 0, 4000 + i, 4000 + i); /* while the front is used up */
    }
    task->position = INT64_MAX;
    task_apply_marks(task);
    assert_true(task->watermark_ms == 4999);
    assert_int_equal(task->marks[0].count, 0);
    close_driver(&d);
}

/* ---- event times, in whole runs ---- */

/* The window start that the row was counted in, or would have been had it not been late; or the
 * class of its dead letter. Windows of 1 ms show the time itself. */
static const struct {
    const char *ts, *expected;
} times[] = {
    {"1500000000123", "2017-07-14T02:40:00.123Z"},
    {"0", "1970-01-01T00:00:00.000Z"},
    {"-1", "1969-12-31T23:59:59.999Z"},
    {"1500000000123.999", "2017-07-14T02:40:00.123Z"},
    {"-0.5", "1969-12-31T23:59:59.999Z"},
    {"1.5e12", "2017-07-14T02:40:00.000Z"},
    {"\"1500000000123\"", "2017-07-14T02:40:00.123Z"},
    {"\"-1\"", "1969-12-31T23:59:59.999Z"},
    {"\"2017-07-14T02:40:00.123Z\"", "2017-07-14T02:40:00.123Z"},
    {"\"2017-07-14T04:40:00+02:00\"", "2017-07-14T02:40:00.000Z"},
    {"-62135596800000", "0001-01-01T00:00:00.000Z"},
    {"1700003600000", "2023-11-14T23:13:20.000Z"},
    {"1700003600001", "event_time_future"},
    {"253402300799999", "event_time_future"},
    {"253402300800000", "event_time_range"},
    {"-62135596800001", "event_time_range"},
    {"\"999999999999999999\"", "event_time_range"},
    {"9223372036854775807", "event_time_range"},
    {"-9223372036854775808", "event_time_range"},
    {"9223372036854775808", "event_time_invalid"},
    {"1e40", "event_time_invalid"},
    {"\"1000000000000000000\"", "event_time_invalid"}, /* 19 digits are no time */
    {"\"-\"", "event_time_invalid"},
    {"\"\"", "event_time_invalid"},
    {"\"1500000000123.5\"", "event_time_invalid"},
    {"\"2017-02-29T00:00:00Z\"", "event_time_invalid"},
    {"\"soon\"", "event_time_invalid"},
    {"true", "event_time_invalid"},
    {"[1]", "event_time_invalid"},
    {"{}", "event_time_invalid"},
    {"null", "event_time_missing"},
    {NULL, "event_time_missing"},
};
enum { TIMES = sizeof times / sizeof times[0] };

static void take_headers(struct log *log, const char *topic, const char *name,
                         char outcomes[TIMES][64])
{
    struct topic_rows found;
    topic_rows_init(&found);
    topic_rows_read(log, topic, READ_COMMITTED, &found);
    for (size_t i = 0; i < found.count; i++) {
        struct bytes text = topic_row_header(&found.items[i], name);
        snprintf(outcomes[topic_row_header_i64(&found.items[i], "weir.source.offset")], 64, "%.*s",
                 (int)text.size, (const char *)text.data);
    }
    topic_rows_deinit(&found);
}

static void take_outcomes(const char *dir, char outcomes[TIMES][64])
{
    struct topic_rows found;
    struct log *log = topic_log_open(dir);
    topic_rows_init(&found);
    topic_rows_read(log, "counts", READ_COMMITTED, &found);
    topic_rows_latest(&found);
    for (size_t i = 0; i < found.count; i++) {
        int row;
        char start[64];
        char *text = strndup((const char *)found.items[i].value.data, found.items[i].value.size);
        assert_int_equal(sscanf(text, "{\"i\":%d,\"window_start\":\"%63[^\"]", &row, start), 2);
        snprintf(outcomes[row], 64, "%s", start);
        free(text);
    }
    topic_rows_deinit(&found);
    take_headers(log, "counts.late", "weir.window.start", outcomes);
    take_headers(log, "shop.dlq", "weir.error.class", outcomes);
    log_close(log);
}

static void test_event_times(void **state)
{
    char values[TIMES][128], outcomes[TIMES][64] = {""};
    const char *pointers[TIMES];
    for (int i = 0; i < TIMES; i++) {
        if (times[i].ts != NULL)
            snprintf(values[i], sizeof values[i], "{\"i\":%d,\"t\":{\"at\":%s}}", i, times[i].ts);
        else
            snprintf(values[i], sizeof values[i], "{\"i\":%d,\"t\":5}",
                     i); /* no path to the field */
        pointers[i] = values[i];
    }
    fill(*state, pointers, TIMES, 1);
    weir_app *app = weir_app_open("shop", &(weir_options){.data = *state, .until_end = true});
    weir_to(weir_aggregate(
                weir_tumbling(weir_group_by(weir_source(app, "events", WEIR_JSON, "t.at"), "i"), 1),
                "count(*) AS n"),
            "counts");
    if (weir_app_run(app) < 0)
        fail_msg("%s", weir_app_error(app));
    weir_app_close(app);
    take_outcomes(*state, outcomes);
    for (int i = 0; i < TIMES; i++)
        if (strcmp(outcomes[i], times[i].expected) != 0)
            fail_msg("%s: expected %s, got %s", values[i], times[i].expected, outcomes[i]);
}

/* Without a field the record's own timestamp is the time, whatever the row holds. */
static void test_record_timestamp(void **state)
{
    static const char *const values[] = {"{\"i\":0,\"ts\":1}", "{\"i\":1}"};
    char outcomes[TIMES][64] = {""};
    fill(*state, values, 2, 1);
    weir_app *app = weir_app_open("shop", &(weir_options){.data = *state, .until_end = true});
    weir_to(weir_aggregate(
                weir_tumbling(weir_group_by(weir_source(app, "events", WEIR_JSON, NULL), "i"), 1),
                "count(*) AS n"),
            "counts");
    if (weir_app_run(app) < 0)
        fail_msg("%s", weir_app_error(app));
    weir_app_close(app);
    take_outcomes(*state, outcomes);
    assert_string_equal(outcomes[0], "2023-11-14T22:13:20.000Z");
    assert_string_equal(outcomes[1], "2023-11-14T22:13:20.000Z");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
    scratch_dir_in_memory();
    const struct CMUnitTest tests[] = {
        TEST(test_watermark_of_each_row),
        TEST(test_counts_do_not_depend_on_batches),
        TEST(test_end_target),
        TEST(test_raise),
        TEST(test_records_removed_before_they_were_read),
        TEST(test_marks),
        TEST(test_marks_are_merged),
        TEST(test_event_times),
        TEST(test_record_timestamp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
