/* test_plan_time.c: by whose time a stage goes that reads another one's topic (plan_time.c), and what
 * follows for that other one: whether its rows carry TIME_HEADER, whether its records name ends.
 *
 * Topologies are placed on topics of the test's own. Each is two pipelines, the second reading the
 * first one's topic "mid"; some have a third behind it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/plan.h"
#include "tests/support/log_fixture.h"
#include "tests/support/scratch_dir.h"

static int set_up(void **state)
{
    char *dir = scratch_dir_create();
    struct log *log = fixture_open(dir);
    assert_int_equal(topic_create(log, "one", 1, NULL, 0, NULL), 0);
    assert_int_equal(topic_create(log, "three", 3, NULL, 0, NULL), 0);
    log_close(log);
    *state = dir;
    return 0;
}
static int tear_down(void **state)
{
    scratch_dir_remove(*state);
    return 0;
}

static void make_mid(const char *dir, int32_t partitions)
{
    struct log *log = fixture_open(dir);
    assert_int_equal(topic_create(log, "mid", partitions, NULL, 0, NULL), 0);
    log_close(log);
}

static weir_app *open_app(void)
{
    weir_app *app = weir_app_open("shop", NULL);
    assert_non_null(app);
    return app;
}
static weir_stream *three(weir_app *app)
{
    return weir_source(app, "three", WEIR_JSON, "ts");
}
/* Counts the rows of a topic by hours. */
static void read_topic(weir_app *app, const char *topic, const char *time, const char *to)
{
    weir_stream *rows = weir_source(app, topic, WEIR_JSON, time);
    weir_to(weir_aggregate(weir_tumbling(weir_group_by(rows, "k"), WEIR_HOURS(1)), "count(*) AS n"),
            to);
}

static const struct stage *reader_of(const struct plan *plan, const char *topic)
{
    for (uint32_t i = 0; i < plan->stage_count; i++)
        if (strcmp(plan->stages[i].input_topic, topic) == 0)
            return &plan->stages[i];
    fail_msg("nobody reads %s", topic);
    return NULL;
}

/* The time of the stage that reads topic, and whether those that write it say what it needs. Closes
 * the app. */
static void expect(const char *dir, weir_app *app, const char *topic, enum stage_time time)
{
    struct plan *plan;
    struct port *port;
    struct diag diag = {0};
    if (plan_compile(app, &plan, &diag) < 0)
        fail_msg("plan_compile: %s", diag.text);
    assert_int_equal(port_log_open(dir, NULL, &port, NULL), 0);
    if (plan_place(plan, port, &diag) < 0)
        fail_msg("plan_place: %s", diag.text);
    port->ops->close(port);
    const struct stage *reader = reader_of(plan, topic);
    assert_int_equal(reader->time, time);
    for (uint32_t w = 0; w < reader->upstream_count; w++) {
        const struct stage *writer = &plan->stages[(uint32_t)reader->upstream + w];
        assert_int_equal(writer->tells_time, time == TIME_OF_WRITERS);
        assert_int_equal(writer->tells_ends, time != TIME_OF_ROWS);
    }
    plan_destroy(plan);
    weir_app_close(app);
}

/* What the first pipeline writes, and by which time the second one reads it. */
static void expect_read(const char *dir, weir_app *app, weir_stream *rows, const char *time,
                        enum stage_time expected)
{
    assert_int_equal(weir_to(rows, "mid"), 0);
    read_topic(app, "mid", time, "out");
    expect(dir, app, "mid", expected);
}

static void test_rekeyed_rows(void **state)
{
    weir_app *app = open_app();
    expect_read(*state, app, weir_rekey(three(app), "k"), "ts", TIME_OF_WRITERS);
    app = open_app(); /* of one partition alone there is nothing to mix */
    expect_read(*state, app, weir_rekey(weir_source(app, "one", WEIR_JSON, "ts"), "k"), "ts",
                TIME_OF_ROWS);
}

static void test_rows_that_stay_where_they_are(void **state)
{
    weir_app *app = open_app();
    expect_read(*state, app, weir_filter(three(app), "n > 0"), "ts", TIME_OF_ROWS);
}

static void test_a_topic_with_fewer_partitions(void **state)
{
    make_mid(*state, 2);
    weir_app *app = open_app();
    expect_read(*state, app, weir_filter(three(app), "n > 0"), "ts", TIME_OF_WRITERS);
}

static void test_merged_rows(void **state)
{
    weir_app *app = open_app();
    weir_stream *rows[] = {weir_source(app, "one", WEIR_JSON, "ts"), three(app)};
    expect_read(*state, app, weir_merge(rows, 2), "ts", TIME_OF_WRITERS);
    app = open_app(); /* one of them goes by another time */
    weir_stream *others[] = {weir_source(app, "one", WEIR_JSON, "at"), three(app)};
    expect_read(*state, app, weir_merge(others, 2), "ts", TIME_OF_ROWS);
    app = open_app(); /* the same in other words */
    weir_stream *mapped[] = {weir_map(weir_source(app, "one", WEIR_JSON, "at"), "k, at AS ts"),
                             weir_map(three(app), "k, ts")};
    expect_read(*state, app, weir_merge(mapped, 2), "ts", TIME_OF_WRITERS);
}

/* The reader's event time must be the writer's. */
static void test_which_time(void **state)
{
    weir_app *app = open_app();
    expect_read(*state, app, weir_rekey(three(app), "k"), "other", TIME_OF_ROWS);
    app = open_app();
    expect_read(*state, app, weir_rekey(three(app), "k"), NULL, TIME_OF_ROWS);
    app = open_app();
    expect_read(*state, app, weir_rekey(weir_source(app, "three", WEIR_JSON, NULL), "k"), NULL,
                TIME_OF_WRITERS);
    app = open_app();
    expect_read(*state, app, weir_rekey(weir_map(three(app), "k, ts AS at"), "k"), "at",
                TIME_OF_WRITERS);
    app = open_app();
    expect_read(*state, app,
                weir_rekey(weir_map(weir_map(three(app), "k, ts AS at"), "at AS t, k"), "k"), "t",
                TIME_OF_WRITERS);
    app = open_app();
    expect_read(*state, app, weir_rekey(weir_map(three(app), "k, ts::bigint + 1 AS ts"), "k"), "ts",
                TIME_OF_ROWS);
    app = open_app();
    expect_read(*state, app,
                weir_rekey(weir_map(weir_map(three(app), "k, ts, n AS m"), "k, m AS ts"), "k"),
                "ts", TIME_OF_ROWS);
}

/* Who closes no windows needs no time, and then nothing is said. */
static void test_nobody_asks(void **state)
{
    weir_app *app = open_app();
    weir_to(weir_rekey(three(app), "k"), "mid");
    weir_stream *rows = weir_source(app, "mid", WEIR_JSON, "ts");
    weir_to(weir_aggregate(weir_group_by(rows, "k"), "count(*) AS n"), "out");
    expect(*state, app, "mid", TIME_OF_ROWS);
    app = open_app();
    weir_to(weir_rekey(three(app), "k"), "mid");
    weir_to(weir_source(app, "mid", WEIR_JSON, "ts"), "copy");
    expect(*state, app, "mid", TIME_OF_ROWS);
}

/* A partition of rows that came together stays mixed, however few write it. */
static void test_handed_on(void **state)
{
    for (int i = 0; i < 2; i++) {
        weir_app *app = open_app();
        weir_to(weir_rekey(three(app), "k"), "mid");
        weir_to(weir_filter(weir_source(app, "mid", WEIR_JSON, "ts"), "n > 0"), "copy");
        read_topic(app, "copy", "ts", "out");
        expect(*state, app, i == 0 ? "mid" : "copy", TIME_OF_WRITERS);
    }
}

/* ---- final results ---- */

static weir_stream * final(weir_app *app, int kind)
{
    weir_stream *by = weir_group_by(three(app), "k");
    by = kind == 0   ? weir_tumbling(by, 1000)
         : kind == 1 ? weir_hopping(by, 1000, 300)
         : kind == 2 ? weir_tumbling_in(by, 1, WEIR_DAY, "Europe/Berlin")
                     : weir_session(by, 1000);
    return weir_emit(weir_aggregate(by, "count(*) AS n, max(ts) AS newest"), WEIR_EMIT_FINAL);
}

static void test_final_results_that_stay_where_they_are(void **state)
{
    weir_app *app = open_app();
    expect_read(*state, app, final(app, 0), "window_end", TIME_OF_ROWS);
}

static void test_final_results(void **state)
{
    weir_app *app;
    make_mid(*state, 2);
    for (int kind = 0; kind < 4; kind++) {
        app = open_app();
        expect_read(*state, app, final(app, kind), "window_end",
                    kind < 3 ? TIME_OF_CLOSING : TIME_OF_ROWS);
    }
    app = open_app();
    expect_read(*state, app, final(app, 0), "window_start", TIME_OF_CLOSING);
    app = open_app();
    expect_read(*state, app, final(app, 0), "newest", TIME_OF_ROWS);
    app = open_app();
    expect_read(*state, app, final(app, 0), NULL, TIME_OF_ROWS);
    app = open_app();
    expect_read(*state, app, weir_map(final(app, 0), "k, window_end AS at"), "at", TIME_OF_CLOSING);
    app = open_app();
    expect_read(*state, app, weir_map(final(app, 0), "k, newest AS window_end"), "window_end",
                TIME_OF_ROWS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_rekeyed_rows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rows_that_stay_where_they_are, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_topic_with_fewer_partitions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_merged_rows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_which_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nobody_asks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_handed_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_final_results_that_stay_where_they_are, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_final_results, set_up, tear_down),
    };
    scratch_dir_in_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
