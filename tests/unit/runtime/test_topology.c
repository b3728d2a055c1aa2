/* test_topology.c: what the builder refuses, and that the sentence names the place and what to do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "runtime/weir.h"
#include "tests/support/log_fixture.h"
#include "tests/support/scratch_dir.h"

static void expect(weir_app *app, int code, const char *part)
{
    assert_int_equal(weir_app_check(app), code);
    if (strstr(weir_app_error(app), part) == NULL)
        fail_msg("'%s' does not contain '%s'", weir_app_error(app), part);
    weir_app_close(app);
}

static weir_stream *source(weir_app *app)
{
    return weir_source(app, "events", WEIR_JSON, "ts");
}

static void test_good(void **state)
{
    (void)state;
    weir_app *app = weir_app_open("good", NULL);
    weir_stream *paid = weir_filter(source(app), "status = 'paid'");
    weir_stream *sums = weir_aggregate(weir_tumbling(weir_group_by(paid, "region"), WEIR_HOURS(1)),
                                       "sum(amount::numeric) AS revenue, count(*) AS orders");
    assert_int_equal(weir_to(sums, "out"), 0);
    assert_int_equal(weir_app_check(app), 0);
    assert_string_equal(weir_app_error(app), "");
    weir_app_close(app);
}

static void test_names(void **state)
{
    (void)state;
    static const char *const bad[] = {"", ".", "..", "a/b", "a b", "ü", NULL};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        expect(weir_app_open(bad[i], NULL), WEIR_EINVALID, "app");
        weir_app *app = weir_app_open("a", NULL);
        assert_null(weir_source(app, bad[i], WEIR_JSON, NULL));
        expect(app, WEIR_EINVALID, "topic");
        app = weir_app_open("a", NULL);
        assert_int_equal(weir_to(source(app), bad[i]), WEIR_EINVALID);
        expect(app, WEIR_EINVALID, "output");
    }
}

static void test_order_of_calls(void **state)
{
    (void)state;
    weir_app *app = weir_app_open("a", NULL);
    assert_null(weir_tumbling(source(app), 1000));
    expect(app, WEIR_ESTATE, "weir_group_by");
    app = weir_app_open("a", NULL);
    assert_null(weir_filter(weir_group_by(source(app), "region"), "true"));
    expect(app, WEIR_ESTATE, "aggregate it first");
    app = weir_app_open("a", NULL);
    weir_stream *counts = weir_aggregate(weir_group_by(source(app), "region"), "count(*) AS n");
    assert_null(weir_emit(counts, WEIR_EMIT_FINAL));
    expect(app, WEIR_EINVALID, "window");
    app = weir_app_open("a", NULL);
    expect(app, WEIR_ESTATE, "weir_to");
    app = weir_app_open("a", NULL);
    assert_int_equal(weir_to(source(app), "out"), 0);
    assert_int_equal(weir_to(source(app), "out"), WEIR_EEXISTS);
    expect(app, WEIR_EEXISTS, "out");
}

static void bad_output(const char *topic, weir_output_options options, int code, const char *part)
{
    weir_app *app = weir_app_open("a", NULL);
    assert_int_equal(weir_to(source(app), "out"), 0);
    assert_int_equal(weir_output(app, topic, &options), code);
    expect(app, code, part);
}

static void bad_source(weir_app *app, const weir_stream *stream, int code, const char *part)
{
    assert_null(stream);
    expect(app, code, part);
}

/* What is asked of topics and of bad rows. */
static void test_topics_as_asked(void **state)
{
    (void)state;
    bad_output("other", (weir_output_options){0}, WEIR_ENOTFOUND, "writes topic other");
    bad_output(NULL, (weir_output_options){0}, WEIR_ENOTFOUND, "weir_output");
    bad_output("out", (weir_output_options){.partitions = -1}, WEIR_EINVALID, "-1 partitions");
    bad_output("out", (weir_output_options){.partitions = 10001}, WEIR_EINVALID, "10001");
    bad_output("out", (weir_output_options){.retention_ms = -2}, WEIR_EINVALID, "retention of -2");
    bad_output("out", (weir_output_options){.reserved = {0, 0, 0, 1}}, WEIR_EINVALID, "reserved");
    weir_app *app = weir_app_open("a", NULL);
    assert_int_equal(weir_on_bad_row(app, "out", WEIR_BAD_ROW_FAIL), WEIR_ENOTFOUND);
    expect(app, WEIR_ENOTFOUND, "weir_on_bad_row");
    app = weir_app_open("a", NULL);
    assert_int_equal(weir_to(source(app), "out"), 0);
    assert_int_equal(weir_on_bad_row(app, "out", (weir_bad_row)2), WEIR_EINVALID);
    expect(app, WEIR_EINVALID, "2 is not known");
    app = weir_app_open("a", NULL);
    bad_source(app, weir_partitions(source(app), 0), WEIR_EINVALID, "weir_partitions: 0");
    app = weir_app_open("a", NULL);
    bad_source(app, weir_partitions(weir_filter(source(app), "true"), 1), WEIR_ESTATE,
               "belongs on a source");
    app = weir_app_open("a", NULL);
    bad_source(app, weir_partitioned_by(weir_filter(source(app), "true"), "user"), WEIR_ESTATE,
               "belongs on a source");
    app = weir_app_open("a", NULL);
    bad_source(app, weir_partitioned_by(source(app), ""), WEIR_EINVALID, "needs a field");
    assert_null(weir_partitions(NULL, 1));
    assert_null(weir_partitioned_by(NULL, "user"));
    assert_int_equal(weir_output(NULL, "out", &(weir_output_options){0}), WEIR_EINVALID);
    assert_int_equal(weir_on_bad_row(NULL, "out", WEIR_BAD_ROW_FAIL), WEIR_EINVALID);
}

static int keep(void *context, weir_call *call, const weir_value *values, size_t count)
{
    (void)context, (void)call, (void)values, (void)count;
    return 1;
}
static int give_back(void *context, weir_call *call, const weir_value *values, size_t count,
                     weir_value *results)
{
    (void)context, (void)call, (void)values, (void)count, (void)results;
    return 0;
}

static void test_functions(void **state)
{
    (void)state;
    static const struct {
        const char *name, *list, *columns, *part;
    } bad[] = {
        {"", "a", "a text", "name"},
        {NULL, "a", "a text", "name"},
        {"\n", "a", "a text", "name"},
        {"f", "", "a text", "expression"},
        {"f", "a + 1", "a text", "give it a name with AS"},
        {"f", "a", "", "not a column and its type"},
        {"f", "a", NULL, "not a column and its type"},
        {"f", "a", "a", "not a column and its type"},
        {"f", "a", "a text,", "not a column and its type"},
        {"f", "a", "a text b", "syntax"},
        {"f", "a", "a varchar", "use text"},
        {"f", "a", "a text, a bigint", "two columns"},
        {"f", "a", "a numeric(99)", "precision"},
        {"f", "a", "a text) AS a, (b", "not a column and its type"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        weir_app *app = weir_app_open("a", NULL);
        weir_to(weir_map_fn(source(app), bad[i].name, bad[i].list, bad[i].columns, give_back, NULL),
                "out");
        assert_true(weir_app_check(app) < 0);
        if (strstr(weir_app_error(app), bad[i].part) == NULL)
            fail_msg("'%s' does not contain '%s'", weir_app_error(app), bad[i].part);
        weir_app_close(app);
    }
    weir_app *app = weir_app_open("a", NULL);
    assert_null(weir_filter_fn(source(app), "f", "a", NULL, NULL));
    expect(app, WEIR_EINVALID, "needs a function");
    app = weir_app_open("a", NULL);
    assert_null(weir_filter_fn(weir_group_by(source(app), "a"), "f", "a", keep, NULL));
    expect(app, WEIR_ESTATE, "aggregate it first");
    assert_null(weir_filter_fn(NULL, "f", "a", keep, NULL));
}

static void test_unnest(void **state)
{
    (void)state;
    weir_app *app = weir_app_open("a", NULL);
    assert_null(weir_unnest(source(app), "items", "2x"));
    expect(app, WEIR_EINVALID, "elements' column");
    app = weir_app_open("a", NULL);
    assert_int_equal(weir_to(weir_unnest(source(app), "items", "item"), "out"), 0);
    expect(app, WEIR_EINVALID, "weir_map");
    app = weir_app_open("a", NULL);
    weir_to(weir_map(weir_unnest(source(app), "items", "item"), "item.sku"), "out");
    expect(app, WEIR_ENOTFOUND, "item ->> 'sku'");
    app = weir_app_open("a", NULL);
    weir_to(weir_map(weir_unnest(source(app), "items::text", "item"), "item"), "out");
    expect(app, WEIR_EINVALID, "not a JSON array but text");
    app = weir_app_open("a", NULL);
    weir_to(weir_map(weir_unnest(source(app), "a, b", "item"), "item"), "out");
    assert_true(weir_app_check(app) < 0);
    weir_app_close(app);
    app = weir_app_open("a", NULL);
    weir_to(weir_unnest(weir_map(source(app), "items, id AS item"), "items", "item"), "out");
    expect(app, WEIR_EEXISTS, "already");
    app = weir_app_open("a", NULL);
    weir_to(weir_map(source(app), "lower(a) -> 'b' AS c"), "out");
    expect(app, WEIR_EINVALID, "takes a JSON value");
}

static void test_csv(void **state)
{
    (void)state;
    static const struct {
        const char *columns, *time, *part;
    } bad[] = {
        {NULL, NULL, "not a column and its type"},
        {"a text, b", NULL, "not a column and its type"},
        {"a jsonb", NULL, "declare it as text"},
        {"a text, a text", NULL, "two columns"},
        {"a date", NULL, "date_trunc"},
        {"a text", "b", "is not declared"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        weir_app *app = weir_app_open("a", NULL);
        weir_to(weir_source_csv(app, "events", bad[i].columns, bad[i].time), "out");
        assert_true(weir_app_check(app) < 0);
        if (strstr(weir_app_error(app), bad[i].part) == NULL)
            fail_msg("'%s' does not contain '%s'", weir_app_error(app), bad[i].part);
        weir_app_close(app);
    }
    weir_app *app = weir_app_open("a", NULL);
    weir_stream *rows = weir_source_csv(app, "events", "a text, b bigint", "b");
    weir_to(weir_filter(rows, "c > 0"), "out");
    expect(app, WEIR_ENOTFOUND, "does not exist");
}

static void test_formats(void **state)
{
    (void)state;
    weir_app *app = weir_app_open("a", NULL);
    weir_to(weir_source(app, "events", 77, NULL), "out");
    expect(app, WEIR_EINVALID, "format 77 is not known");
    app = weir_app_open("a", NULL);
    weir_to(weir_source(app, "events", WEIR_CSV, NULL), "out");
    expect(app, WEIR_EINVALID, "weir_source_columns");
    app = weir_app_open("a", NULL);
    weir_to(weir_source_columns(app, "events", WEIR_PLAIN_TEXT, "a text", NULL), "out");
    expect(app, WEIR_EINVALID, "take no declared columns");
    app = weir_app_open("a", NULL);
    weir_to(weir_filter(weir_source(app, "events", WEIR_PLAIN_TEXT, NULL), "line <> ''"), "out");
    expect(app, WEIR_ENOTFOUND, "\"line\" does not exist");
    app = weir_app_open("a", NULL);
    weir_to(weir_source(app, "events", WEIR_PLAIN_TEXT, "ts"), "out");
    expect(app, WEIR_ENOTFOUND, "\"ts\" is not declared");
    app = weir_app_open("a", NULL);
    weir_to(weir_source(app, "events", WEIR_RAW, "value"), "out");
    expect(app, WEIR_EINVALID, "is bytea, and not timestamptz");
    app = weir_app_open("a", NULL);
    weir_to(weir_aggregate(weir_group_by(weir_source(app, "events", WEIR_RAW, NULL), "key"),
                           "max(value) AS m"),
            "out");
    expect(app, WEIR_EINVALID, "max does not take bytea");
}

static void test_output_formats(void **state)
{
    (void)state;
    weir_app *app = weir_app_open("a", NULL);
    weir_to_as(source(app), "out", 77);
    expect(app, WEIR_EINVALID, "format 77 is not known");
    app = weir_app_open("a", NULL);
    weir_to_as(weir_filter(source(app), "a > 0"), "out", WEIR_CSV);
    expect(app, WEIR_EINVALID, "whole JSON records");
    app = weir_app_open("a", NULL);
    weir_to_as(weir_map(source(app), "a, b"), "out", WEIR_PLAIN_TEXT);
    expect(app, WEIR_EINVALID, "holds one column, and there are 2");
    app = weir_app_open("a", NULL);
    weir_to_as(weir_map(source(app), "a::bigint AS a"), "out", WEIR_RAW);
    expect(app, WEIR_EINVALID, "column \"a\" is bigint");
    app = weir_app_open("a", NULL);
    weir_to_as(weir_map(source(app), "a, b"), "middle", WEIR_CSV);
    weir_to(weir_filter(weir_source(app, "middle", WEIR_JSON, NULL), "a > 0"), "out");
    expect(app, WEIR_EINVALID, "reads middle as json, which is written as csv");
    app = weir_app_open("a", NULL);
    weir_to_as(weir_filter(source(app), "a > 0"), "same", WEIR_JSON);
    weir_to_as(weir_map(source(app), "a, b"), "middle", WEIR_CSV);
    weir_to(weir_filter(weir_source(app, "middle", WEIR_RAW, NULL), "length(value) > 0"), "out");
    assert_int_equal(weir_app_check(app), 0);
    weir_app_close(app);
    assert_int_equal(weir_to_as(NULL, "out", WEIR_CSV), WEIR_ESTATE);
}

static void test_rekey_and_branch(void **state)
{
    (void)state;
    static const char *const conditions[] = {"a > 0", "b > 0"}, *const broken[] = {"a > 0", ""};
    weir_stream *branches[3];
    weir_app *app = weir_app_open("a", NULL);
    assert_null(weir_filter(weir_rekey(source(app), "a"), "true"));
    expect(app, WEIR_ESTATE, "last step before weir_to");
    app = weir_app_open("a", NULL);
    weir_to(weir_rekey(source(app), "a +"), "out");
    assert_true(weir_app_check(app) < 0);
    weir_app_close(app);
    app = weir_app_open("a", NULL);
    assert_int_equal(weir_branch(source(app), conditions, 0, branches), WEIR_EINVALID);
    expect(app, WEIR_EINVALID, "1 to 32 conditions");
    app = weir_app_open("a", NULL);
    assert_int_equal(weir_branch(source(app), broken, 2, branches), WEIR_EINVALID);
    assert_true(branches[0] == NULL && branches[1] == NULL && branches[2] == NULL);
    expect(app, WEIR_EINVALID, "condition 2 is empty");
    assert_int_equal(weir_branch(NULL, conditions, 2, branches), WEIR_ESTATE);
    assert_null(branches[2]);
    app = weir_app_open("a", NULL);
    assert_int_equal(weir_branch(source(app), conditions, 2, branches), 0);
    assert_true(branches[0] != branches[1] && branches[2] != NULL);
    assert_int_equal(weir_to(branches[1], "out"), 0);
    assert_int_equal(weir_app_check(app), 0);
    weir_app_close(app);
}

static void test_the_first_error_stays(void **state)
{
    (void)state;
    weir_app *app = weir_app_open("a", NULL);
    weir_stream *none = weir_lateness(source(app), -1);
    assert_null(none);
    assert_null(weir_filter(none, "true"));
    assert_int_equal(weir_to(none, "out"), WEIR_ESTATE);
    expect(app, WEIR_EINVALID, "lateness");
}

/* The spans of a source: 0 and 100 years are the ends, and they belong on a source. */
static void test_spans_of_a_source(void **state)
{
    (void)state;
    static weir_stream *(*const setters[])(weir_stream *, int64_t) = {
        weir_lateness, weir_max_future_skew, weir_idle_close};
    static const char *const names[] = {"lateness", "future skew", "idle time"};
    static const int64_t bad[] = {-1, INT64_MIN, WEIR_DAYS(36500) + 1, INT64_MAX};
    for (size_t i = 0; i < sizeof setters / sizeof setters[0]; i++) {
        assert_null(setters[i](NULL, 1));
        weir_app *app = weir_app_open("a", NULL);
        weir_stream *from = source(app);
        assert_ptr_equal(setters[i](from, 0), from);
        assert_ptr_equal(setters[i](from, WEIR_DAYS(36500)), from);
        assert_null(setters[i](weir_filter(from, "true"), 1));
        expect(app, WEIR_ESTATE, "belongs on a source");
        for (size_t b = 0; b < sizeof bad / sizeof bad[0]; b++) {
            app = weir_app_open("a", NULL);
            assert_null(setters[i](source(app), bad[b]));
            expect(app, WEIR_EINVALID, names[i]);
        }
    }
}

static weir_stream *grouped(weir_app **app)
{
    *app = weir_app_open("a", NULL);
    return weir_group_by(source(*app), "user_id");
}

static void test_windows(void **state)
{
    (void)state;
    static const struct {
        int64_t size, hop;
        int code;
        const char *part;
    } bad[] = {
        {0, 1, WEIR_EINVALID, "a window of 0 ms"},
        {WEIR_DAYS(36500) + 1, 1, WEIR_EINVALID, "100 years"},
        {1000, 0, WEIR_EINVALID, "a hop of 0 ms"},
        {1000, -1, WEIR_EINVALID, "a hop of -1 ms"},
        {1000, 1001, WEIR_EINVALID, "a hop of 1001 ms"},
        {1441, 1, WEIR_ETOOLARGE, "hold each row 1441 times; the limit is 1440"},
        {14401, 10, WEIR_ETOOLARGE, "hold each row 1441 times"},
        {INT64_MAX, INT64_MAX, WEIR_EINVALID, "100 years"},
    };
    weir_app *app;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_null(weir_hopping(grouped(&app), bad[i].size, bad[i].hop));
        expect(app, bad[i].code, bad[i].part);
    }
    assert_null(weir_hopping(NULL, 2, 1));
    assert_null(weir_tumbling(grouped(&app), 0));
    expect(app, WEIR_EINVALID, "a window of 0 ms");
    assert_null(weir_session(NULL, 1));
    assert_null(weir_session(grouped(&app), 0));
    expect(app, WEIR_EINVALID, "a window of 0 ms");
    assert_null(weir_session(source(app = weir_app_open("a", NULL)), 1));
    expect(app, WEIR_ESTATE, "weir_session follows weir_group_by");
    weir_to(weir_aggregate(weir_session(grouped(&app), 1), "count(DISTINCT url) AS urls"), "out");
    expect(app, WEIR_EUNSUPPORTED, "count(DISTINCT");
    static const struct {
        int64_t count;
        weir_unit unit;
        const char *zone;
        int code;
        const char *part;
    } local[] = {
        {1, WEIR_DAY, NULL, WEIR_EINVALID, "needs a time zone"},
        {1, WEIR_DAY, "", WEIR_EINVALID, "needs a time zone"},
        {0, WEIR_DAY, "Europe/Berlin", WEIR_EINVALID, "windows of 0"},
        {5, WEIR_HOUR, "Europe/Berlin", WEIR_EINVALID, "hours go by 1, 2, 3, 4, 6, 8 or 12"},
        {INT64_MAX, WEIR_WEEK, "Europe/Berlin", WEIR_EINVALID, "weeks to 52"},
        {1, (weir_unit)0, "Europe/Berlin", WEIR_EINVALID, "unit 0"},
        {1, (weir_unit)9, "Europe/Berlin", WEIR_EINVALID, "unit 9"},
        {1, WEIR_DAY, "Europe/Berln", WEIR_ENOTFOUND, "did you mean \"Europe/Berlin\""},
    };
    for (size_t i = 0; i < sizeof local / sizeof local[0]; i++) {
        weir_stream *by_day =
            weir_tumbling_in(grouped(&app), local[i].count, local[i].unit, local[i].zone);
        weir_to(weir_aggregate(by_day, "count(*) AS n"), "out");
        expect(app, local[i].code, local[i].part);
    }
    assert_null(weir_tumbling_in(NULL, 1, WEIR_DAY, "Europe/Berlin"));
    weir_stream *by = grouped(&app);
    assert_non_null(weir_hopping(by, 1440, 1));
    assert_non_null(weir_hopping(by, 1000, 1000));
    assert_null(weir_hopping(source(app), 1000, 10));
    expect(app, WEIR_ESTATE, "weir_hopping follows weir_group_by");
}

static void test_expressions(void **state)
{
    (void)state;
    static const struct {
        const char *filter, *part;
    } bad[] = {
        {"quantity >", "syntax"}, {"quantity + 1", "boolean"}, {"frobnicate(x)", "frobnicate"}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        weir_app *app = weir_app_open("a", NULL);
        weir_to(weir_filter(source(app), bad[i].filter), "out");
        assert_true(weir_app_check(app) < 0);
        if (strstr(weir_app_error(app), bad[i].part) == NULL ||
            strstr(weir_app_error(app), "out") == NULL)
            fail_msg("'%s' does not name '%s' and the stream", weir_app_error(app), bad[i].part);
        weir_app_close(app);
    }
    weir_app *app = weir_app_open("a", NULL);
    weir_to(weir_aggregate(weir_tumbling(weir_group_by(source(app), "window_start"), 1000),
                           "count(*) AS n"),
            "out");
    expect(app, WEIR_EINVALID, "window_start");
}

static void test_streams_that_read_each_other(void **state)
{
    (void)state;
    weir_app *app = weir_app_open("a", NULL);
    weir_to(weir_source(app, "x", WEIR_JSON, NULL), "y");
    weir_to(weir_source(app, "y", WEIR_JSON, NULL), "x");
    expect(app, WEIR_EINVALID, "circle");
    app = weir_app_open("a", NULL);
    weir_to(weir_source(app, "x", WEIR_JSON, NULL), "x");
    expect(app, WEIR_EINVALID, "reads the topic that it writes");
    app = weir_app_open("a", NULL);
    weir_to(weir_aggregate(weir_group_by(source(app), "region"), "count(*) AS n"), "counts");
    weir_to(weir_filter(weir_source(app, "counts", WEIR_JSON, NULL), "n > 1"), "out");
    expect(app, WEIR_EUNSUPPORTED, "upsert");
}

static void test_names_that_the_app_uses_itself(void **state)
{
    (void)state;
    static const char *const taken[] = {"a-progress",        "a.dlq",
                                        "out.late",          "a-out-changelog",
                                        "a-out-repartition", "out-repartition"};
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++) {
        weir_app *app = weir_app_open("a", NULL);
        assert_int_equal(
            weir_to(weir_aggregate(weir_group_by(source(app), "region"), "count(*) AS n"), "out"),
            0);
        assert_int_equal(weir_to(source(app), taken[i]), 0);
        expect(app, WEIR_EINVALID, taken[i]);
    }
}

/* Zero is the default; what an option cannot mean is named. */
static void test_options(void **state)
{
    (void)state;
    const struct {
        weir_options options;
        const char *name;
    } bad[] = {
        {{.threads = -1}, "threads"},
        {{.threads = 1025}, "threads"},
        {{.commit_interval_ms = -1}, "commit_interval_ms"},
        {{.commit_interval_ms = INT64_MAX}, "commit_interval_ms"},
        {{.keeper_interval_ms = -1}, "keeper_interval_ms"},
        {{.keeper_interval_ms = INT64_MAX}, "keeper_interval_ms"},
        {{.checkpoint_interval_ms = -1}, "checkpoint_interval_ms"},
        {{.checkpoint_interval_ms = INT64_MAX}, "checkpoint_interval_ms"},
        {{.batch_rows = -1}, "batch_rows"},
        {{.batch_rows = 4097}, "batch_rows"},
        {{.durability = (weir_durability)2}, "durability"},
        {{.close_windows = true}, "until_end"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        expect(weir_app_open("a", &bad[i].options), WEIR_EINVALID, bad[i].name);
}

static void test_null_app(void **state)
{
    (void)state;
    weir_progress progress;
    assert_null(weir_source(NULL, "x", WEIR_JSON, NULL));
    assert_null(weir_aggregate(NULL, "count(*) AS n"));
    assert_true(weir_app_run(NULL) < 0);
    weir_app_stop(NULL);
    weir_app_close(NULL);
    weir_app_progress(NULL, &progress);
    weir_app_progress(NULL, NULL);
    assert_int_equal(progress.rows_in, 0);
    assert_string_equal(weir_version(), "0.1.0");
    assert_string_equal(weir_strerror(WEIR_OK), weir_strerror(0));
}

static int run_to(const char *dir, const char *app_name, const char *topic, weir_app **app)
{
    *app = weir_app_open(app_name, &(weir_options){.data = dir, .until_end = true});
    weir_to(weir_aggregate(weir_group_by(source(*app), "region"), "count(*) AS n"), topic);
    return weir_app_run(*app);
}

/* Rows in another app's progress or changelog would be the end of that app. */
static void test_internal_topics_are_not_written_to(void **state)
{
    (void)state;
    static const char *const internal[] = {"one-progress", "one-sums-changelog"};
    char *dir = scratch_dir_create();
    struct log *log = fixture_open(dir);
    fixture_topic(log, "events", 1, NULL);
    log_close(log);
    weir_app *app;
    assert_int_equal(run_to(dir, "one", "sums", &app), 0);
    weir_app_close(app);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(run_to(dir, "two", internal[i], &app), WEIR_EINVALID);
        assert_non_null(strstr(weir_app_error(app), internal[i]));
        weir_app_close(app);
    }
    assert_int_equal(run_to(dir, "two", "sums", &app), 0);
    weir_app_close(app);
    scratch_dir_remove(dir);
}

static int run_rows(const char *dir, bool from_beginning, weir_app **app)
{
    *app = weir_app_open(
        "rows", &(weir_options){.data = dir, .until_end = true, .from_beginning = from_beginning});
    weir_to(weir_filter(weir_source(*app, "events", WEIR_JSON, NULL), "n > 0"), "kept");
    return weir_app_run(*app);
}

/* Without its progress the app would start over and give every row twice. */
static void test_deleted_progress_is_refused(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log *log = fixture_open(dir);
    fixture_topic(log, "events", 1, NULL);
    assert_int_equal(fixture_append(fixture_partition(log, "events", 0), 1, 3), 0);
    log_close(log);
    weir_app *app;
    assert_int_equal(run_rows(dir, false, &app), 0);
    weir_app_close(app);
    log = fixture_open(dir);
    assert_int_equal(topic_delete(log, "rows-progress", NULL), 0);
    log_close(log);
    assert_int_equal(run_rows(dir, false, &app), WEIR_ESTATE);
    assert_non_null(strstr(weir_app_error(app), "rows-progress"));
    weir_app_close(app);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(run_rows(dir, i == 0, &app), 0);
        weir_app_close(app);
    }
    scratch_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_order_of_calls),
        cmocka_unit_test(test_topics_as_asked),
        cmocka_unit_test(test_functions),
        cmocka_unit_test(test_unnest),
        cmocka_unit_test(test_csv),
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_output_formats),
        cmocka_unit_test(test_rekey_and_branch),
        cmocka_unit_test(test_the_first_error_stays),
        cmocka_unit_test(test_spans_of_a_source),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_expressions),
        cmocka_unit_test(test_streams_that_read_each_other),
        cmocka_unit_test(test_names_that_the_app_uses_itself),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_null_app),
        cmocka_unit_test(test_internal_topics_are_not_written_to),
        cmocka_unit_test(test_deleted_progress_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
