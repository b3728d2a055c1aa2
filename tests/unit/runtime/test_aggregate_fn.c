/* test_aggregate_fn.c: what cases and random jobs do not see of weir_aggregate_fn: what the builder refuses, what counts as another plan, a
 * group whose result is refused, a state that cannot be read back, and what 'weir state' says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "operators/agg_function.h"
#include "runtime/plan.h"
#include "runtime/store_view.h"
#include "tests/support/job.h"
#include "tests/support/scratch_dir.h"
#include "tests/support/topic_rows.h"
#include "tests/support/weir_fixture.h"

#define COLUMNS "hits bigint, total bigint, low bigint, high bigint"

static weir_stream *grouped(weir_app *app)
{
    return weir_group_by(weir_source(app, "events", WEIR_JSON, NULL), "k");
}

static void refuses(const char *name, const char *list, const char *columns,
                    const weir_aggregate_functions *functions, int code, const char *part)
{
    weir_app *app = weir_app_open("a", NULL);
    weir_to(weir_aggregate_fn(grouped(app), name, list, columns, functions, NULL), "out");
    assert_int_equal(weir_app_check(app), code);
    assert_says(weir_app_error(app), part);
    weir_app_close(app);
}

static void test_the_builder_refuses(void **state)
{
    (void)state;
    const weir_aggregate_functions *span = job_aggregate_functions("span");
    weir_aggregate_functions bad = *span;
    refuses("", "n", COLUMNS, span, WEIR_EINVALID, "printable ASCII");
    refuses(NULL, "n", COLUMNS, span, WEIR_EINVALID, "printable ASCII");
    refuses("f", "", COLUMNS, span, WEIR_EINVALID, "select list");
    refuses("f", "n", NULL, span, WEIR_EINVALID, "columns");
    refuses("f", "n", COLUMNS, NULL, WEIR_EINVALID, "add, merge and result");
    refuses("f", "n +", COLUMNS, span, WEIR_EINVALID, "weir_aggregate_fn");
    refuses("f", "n", "hits bigint, k text", span, WEIR_EINVALID, "\"k\"");
    refuses("f", "n", "hits", span, WEIR_EINVALID, "a column and its type");
    bad.merge = NULL;
    refuses("f", "n", COLUMNS, &bad, WEIR_EINVALID, "add, merge and result");
    bad = *job_aggregate_functions("packed");
    bad.decode = NULL;
    refuses("f", "n", COLUMNS, &bad, WEIR_EINVALID, "come together");
    bad = *span;
    bad.state_size = 0;
    refuses("f", "n", COLUMNS, &bad, WEIR_EINVALID, "a state of 0 bytes");
    bad.state_size = AGG_STATE_MAX_BYTES + 1;
    refuses("f", "n", COLUMNS, &bad, WEIR_EINVALID, "1 to 16384");
    weir_app *app = weir_app_open("a", NULL);
    assert_null(weir_aggregate_fn(weir_source(app, "events", WEIR_JSON, NULL), "f", "n", COLUMNS,
                                  span, NULL));
    assert_int_equal(weir_app_check(app), WEIR_ESTATE);
    assert_says(weir_app_error(app), "weir_group_by");
    weir_app_close(app);
}

static uint64_t hash_of(const char *name, const char *columns, size_t state_size)
{
    struct plan *plan;
    struct diag diag = {0};
    weir_app *app = weir_app_open("a", NULL);
    weir_aggregate_functions functions = *job_aggregate_functions("span");
    functions.state_size = state_size;
    weir_to(weir_aggregate_fn(grouped(app), name, "n", columns, &functions, NULL), "out");
    assert_works(plan_compile(app, &plan, &diag), diag.text);
    uint64_t hash = plan->views[0].plan_hash;
    plan_destroy(plan);
    weir_app_close(app);
    return hash;
}

static void test_another_name_is_another_plan(void **state)
{
    (void)state;
    uint64_t hash = hash_of("f-1", COLUMNS, 40);
    assert_true(hash == hash_of("f-1", COLUMNS, 40));
    assert_true(hash != hash_of("f-2", COLUMNS, 40));
    assert_true(hash != hash_of("f-1", "hits integer, total bigint, low bigint, high bigint", 40));
    assert_true(hash != hash_of("f-1", COLUMNS, 48));
}

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

static int run(const char *dir, const weir_aggregate_functions *functions, char *error, size_t room)
{
    weir_app *app = weir_app_open("a", &(weir_options){.data = dir, .until_end = true});
    weir_to(weir_aggregate_fn(grouped(app), "f-1", "n", COLUMNS, functions, NULL), "out");
    int rc = weir_app_run(app);
    snprintf(error, room, "%s", weir_app_error(app));
    weir_app_close(app);
    return rc;
}

/* The other groups of the commit are there; the one that was refused is a dead letter without a source row. */
static void test_a_result_that_is_refused(void **state)
{
    (void)state;
    static const char *const lines[] = {"{\"k\":\"a\",\"n\":5}", "{\"k\":\"b\",\"n\":-5}"};
    char *dir = scratch_dir_create(), error[512];
    fill(dir, lines, 2);
    assert_works(run(dir, job_aggregate_functions("wary"), error, sizeof error), error);
    weir_log *log = weir_fixture_open(dir);
    assert_string_equal("{\"k\":\"a\",\"hits\":1,\"total\":5,\"low\":5,\"high\":5}",
                        weir_fixture_values(log, "out", 0, WEIR_READ_COMMITTED));
    weir_log_close(log);
    struct log *opened = topic_log_open(dir);
    struct topic_rows rows;
    topic_rows_init(&rows);
    topic_rows_read(opened, "a.dlq", READ_COMMITTED, &rows);
    assert_int_equal(rows.count, 1);
    struct bytes message = topic_row_header(&rows.items[0], "weir.error.message");
    assert_true(bytes_equal(message, bytes_text("f-1: a sum below zero")));
    assert_true(
        bytes_equal(topic_row_header(&rows.items[0], "weir.error.class"), bytes_text("function")));
    assert_true(bytes_equal(rows.items[0].value, bytes_text("{\"k\":\"b\"}")));
    topic_rows_deinit(&rows);
    log_close(opened);
    scratch_dir_remove(dir);
}

static int refuse_all(void *context, void *state, const void *bytes, size_t size)
{
    (void)context, (void)state, (void)bytes, (void)size;
    return -1;
}

static void test_a_state_that_cannot_be_read_back(void **state)
{
    (void)state;
    static const char *const lines[] = {"{\"k\":\"a\",\"n\":5}"};
    char *dir = scratch_dir_create(), error[512];
    weir_aggregate_functions changed = *job_aggregate_functions("packed");
    fill(dir, lines, 1);
    assert_works(run(dir, &changed, error, sizeof error), error);
    weir_log *log = weir_fixture_open(dir);
    weir_producer *producer = weir_fixture_producer(log, NULL);
    assert_works(send_text(producer, "events", NULL, "{\"k\":\"a\",\"n\":6}"), "send");
    assert_works(weir_producer_close(producer), weir_log_error());
    weir_log_close(log);
    changed.decode = refuse_all;
    assert_true(run(dir, &changed, error, sizeof error) < 0);
    assert_says(error, "does not decode");
    changed.decode = job_aggregate_functions("packed")->decode;
    assert_works(run(dir, &changed, error, sizeof error), error);
    log = weir_fixture_open(dir);
    assert_string_equal("{\"k\":\"a\",\"hits\":1,\"total\":5,\"low\":5,\"high\":5} "
                        "{\"k\":\"a\",\"hits\":2,\"total\":11,\"low\":5,\"high\":6}",
                        weir_fixture_values(log, "out", 0, WEIR_READ_COMMITTED));
    weir_log_close(log);
    scratch_dir_remove(dir);
}

static void test_states_are_not_shown(void **state)
{
    (void)state;
    static const char *const lines[] = {"{\"k\":\"a\",\"n\":5}"};
    char *dir = scratch_dir_create(), error[512], path[600];
    struct store_view *view;
    struct diag diag = {0};
    fill(dir, lines, 1);
    assert_works(run(dir, job_aggregate_functions("span"), error, sizeof error), error);
    snprintf(path, sizeof path, "%s/state/a/out-0", dir);
    assert_int_equal(store_view_open(path, &view, &diag), ERR_UNSUPPORTED);
    assert_says(diag.text, "f-1");
    assert_says(diag.text, "read the topic out");
    scratch_dir_remove(dir);
}

int main(void)
{
    scratch_dir_in_memory();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_builder_refuses),
        cmocka_unit_test(test_another_name_is_another_plan),
        cmocka_unit_test(test_a_result_that_is_refused),
        cmocka_unit_test(test_a_state_that_cannot_be_read_back),
        cmocka_unit_test(test_states_are_not_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
