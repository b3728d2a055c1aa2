/* test_row_steps.c: what the cases (tests/cases) do not see of steps on rows: peek, what a function
 * is told, which element a dead letter names, and what counts as a changed function. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/plan.h"
#include "tests/support/job.h"
#include "tests/support/scratch_dir.h"
#include "tests/support/topic_rows.h"
#include "tests/support/weir_fixture.h"

static void fill(const char *dir, const char *const *lines, size_t count)
{
    weir_log *log = weir_fixture_open(dir);
    assert_works(weir_topic_create(log, "events", 1, NULL, 0), weir_log_error());
    weir_producer *producer = weir_fixture_producer(log, NULL);
    for (size_t i = 0; i < count; i++)
        assert_works(send_text(producer, "events", NULL, lines[i]), weir_producer_error(producer));
    assert_works(weir_producer_close(producer), weir_log_error());
    assert_works(weir_log_close(log), weir_log_error());
}

static void run(weir_app *app)
{
    assert_works(weir_app_run(app), weir_app_error(app));
    weir_app_close(app);
}

struct seen {
    char text[256];
};

static void look(void *context, const weir_value *values, size_t count)
{
    struct seen *seen = context;
    size_t size = strlen(seen->text);
    assert_int_equal(2, count);
    snprintf(seen->text + size, sizeof seen->text - size, "%d:%lld ", (int)values[0].type,
             values[0].type == WEIR_BIGINT ? (long long)values[0].i64 : -1);
}

static void test_peek_sees_rows_and_changes_nothing(void **state)
{
    (void)state;
    static const char *const lines[] = {"{\"n\":1}", "{\"n\":0}", "{\"n\":3}", "{\"n\":\"x\"}",
                                        "{}"};
    char *dir = scratch_dir_create();
    struct seen seen = {""};
    fill(dir, lines, 5);
    weir_app *app = weir_app_open("peek", &(weir_options){.data = dir, .until_end = true});
    /* 12 / 0 and 12 / 'x' cannot be computed: those rows are not shown, and go on. */
    weir_to(weir_peek(weir_source(app, "events", WEIR_JSON, NULL), "n, 12 / n AS q", look, &seen),
            "out");
    run(app);
    assert_string_equal("2:1 2:3 0:-1 ", seen.text);
    weir_log *log = weir_fixture_open(dir);
    assert_string_equal("{\"n\":1} {\"n\":0} {\"n\":3} {\"n\":\"x\"} {}",
                        weir_fixture_values(log, "out", 0, WEIR_READ_COMMITTED));
    assert_string_equal("", weir_fixture_values(log, "peek.dlq", 0, WEIR_READ_COMMITTED));
    weir_log_close(log);
    scratch_dir_remove(dir);
}

static int tell_time(void *context, weir_call *call, const weir_value *values, size_t count,
                     weir_value *results)
{
    (void)context, (void)values, (void)count;
    results[0] = (weir_value){.type = WEIR_TIMESTAMP, .i64 = weir_call_event_time(call)};
    return 0;
}

static void test_functions_know_the_event_time(void **state)
{
    (void)state;
    static const char *const lines[] = {"{\"ts\":1000}", "{\"ts\":\"1969-12-31T23:59:59Z\"}"};
    char *dir = scratch_dir_create();
    fill(dir, lines, 2);
    weir_app *app = weir_app_open("time", &(weir_options){.data = dir, .until_end = true});
    weir_to(weir_map_fn(weir_source(app, "events", WEIR_JSON, "ts"), "t-1", "ts", "at timestamptz",
                        tell_time, NULL),
            "out");
    run(app);
    weir_log *log = weir_fixture_open(dir);
    assert_string_equal(
        "{\"at\":\"1970-01-01T00:00:01.000Z\"} {\"at\":\"1969-12-31T23:59:59.000Z\"}",
        weir_fixture_values(log, "out", 0, WEIR_READ_COMMITTED));
    weir_log_close(log);
    scratch_dir_remove(dir);
}

/* "offset/element message" of the dead letters, in order. */
static void dead_letters(const char *dir, const char *topic, struct buf *text)
{
    struct topic_rows rows;
    struct log *log = topic_log_open(dir);
    topic_rows_init(&rows);
    topic_rows_read(log, topic, READ_COMMITTED, &rows);
    buf_clear(text);
    for (size_t i = 0; i < rows.count; i++) {
        struct bytes element = topic_row_header(&rows.items[i], "weir.source.element");
        struct bytes message = topic_row_header(&rows.items[i], "weir.error.message");
        buf_printf(text, "%lld/%.*s %.*s\n",
                   (long long)topic_row_header_i64(&rows.items[i], "weir.source.offset"),
                   element.data != NULL ? (int)element.size : 1,
                   element.data != NULL ? (const char *)element.data : "-", (int)message.size,
                   (const char *)message.data);
    }
    buf_u8(text, 0);
    topic_rows_deinit(&rows);
    log_close(log);
}

static void test_dead_letters_name_the_element(void **state)
{
    (void)state;
    static const char *const lines[] = {"{\"a\":[[1,-2],[3],[-4,5,\"x\"]]}", "{\"a\":5}",
                                        "{\"a\":[[],[-6]]}"};
    static const char expected[] = "0/0.1 even: negative numbers are odd\n"
                                   "0/2.0 even: negative numbers are odd\n"
                                   "0/2.2 even: the function refused the row\n"
                                   "1/- unnest takes an array, not a number (5)\n"
                                   "2/1.0 even: negative numbers are odd\n";
    for (int i = 0; i < 2; i++) {
        int batch_rows = i == 0 ? 1 : 4096;
        char *dir = scratch_dir_create();
        struct buf text;
        buf_init(&text, 0);
        fill(dir, lines, 3);
        weir_app *app = weir_app_open(
            "e", &(weir_options){.data = dir, .until_end = true, .batch_rows = batch_rows});
        weir_stream *at = weir_unnest(weir_source(app, "events", WEIR_JSON, NULL), "a", "b");
        at = weir_filter_fn(weir_unnest(at, "b", "c"), "even", "c", job_filter_function("even"),
                            NULL);
        weir_to(weir_map(at, "c"), "out");
        run(app);
        dead_letters(dir, "e.dlq", &text);
        assert_string_equal(expected, (const char *)text.data);
        buf_deinit(&text);
        scratch_dir_remove(dir);
    }
}

static uint64_t hash_with(const char *name, const char *columns, bool peeks)
{
    struct plan *plan;
    struct diag diag = {0};
    weir_app *app = weir_app_open("hash", NULL);
    weir_stream *at = weir_map_fn(weir_source(app, "events", WEIR_JSON, NULL), name, "a", columns,
                                  tell_time, NULL);
    struct seen seen;
    if (peeks)
        at = weir_peek(at, "a", look, &seen);
    weir_to(weir_aggregate(weir_group_by(at, "a"), "count(*) AS n"), "out");
    assert_works(plan_compile(app, &plan, &diag), diag.text);
    uint64_t hash = plan->views[0].plan_hash;
    plan_destroy(plan);
    weir_app_close(app);
    return hash;
}

static void test_a_function_is_its_name_and_columns(void **state)
{
    (void)state;
    uint64_t hash = hash_with("f-1", "a bigint", false);
    assert_true(hash == hash_with("f-1", "a bigint", false));
    assert_true(hash == hash_with("f-1", "a bigint", true));
    assert_true(hash != hash_with("f-2", "a bigint", false));
    assert_true(hash != hash_with("f-1", "a integer", false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_peek_sees_rows_and_changes_nothing),
        cmocka_unit_test(test_functions_know_the_event_time),
        cmocka_unit_test(test_dead_letters_name_the_element),
        cmocka_unit_test(test_a_function_is_its_name_and_columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
