/* test_plan_arms.c: streams that come together (topology_merge.c, plan_arms.c, plan_place.c).
 *
 * What is refused and how it is said; what the hashes of such a view depend on; which stages and
 * topics it becomes; what becomes of its state when an arm comes or goes. That rows come out right is
 * shown by tests/cases/merge_*.case. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/plan.h"
#include "runtime/store_view.h"
#include "tests/support/log_fixture.h"
#include "tests/support/pairs.h"
#include "tests/support/scratch_dir.h"

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

static weir_app *app_on(const char *dir, weir_on_change on_change)
{
    weir_app *app = weir_app_open(
        "shop", &(weir_options){.data = dir, .until_end = true, .on_change = on_change});
    assert_non_null(app);
    return app;
}
static weir_stream *source(weir_app *app, const char *topic)
{
    return weir_source(app, topic, WEIR_JSON, "ts");
}
static weir_stream *merge(weir_stream *a, weir_stream *b)
{
    return weir_merge((weir_stream *[]){a, b}, 2);
}

/* ---- refused by the builder ---- */

static void refuse(weir_app *app, const weir_stream *merged, int code, const char *part)
{
    assert_null(merged);
    assert_int_equal(weir_app_check(app), code);
    if (strstr(weir_app_error(app), part) == NULL)
        fail_msg("'%s' does not contain '%s'", weir_app_error(app), part);
    weir_app_close(app);
}

static void test_streams_that_cannot_be_merged(void **state)
{
    weir_app *app = app_on(*state, 0);
    weir_stream *a = source(app, "a"), *many[33];
    refuse(app, weir_merge(&a, 1), WEIR_EINVALID, "2 to 32");

    app = app_on(*state, 0);
    for (int i = 0; i < 33; i++)
        many[i] = source(app, "a");
    refuse(app, weir_merge(many, 33), WEIR_ETOOLARGE, "2 to 32");

    app = app_on(*state, 0);
    a = source(app, "a");
    refuse(app, merge(a, a), WEIR_EINVALID, "streams 1 and 2 are the same");

    app = app_on(*state, 0);
    a = source(app, "a");
    refuse(app, merge(a, NULL), WEIR_ESTATE, "stream 2 is NULL");

    app = app_on(*state, 0);
    weir_stream *failed = weir_filter(source(app, "a"), "");
    refuse(app, merge(source(app, "b"), failed), WEIR_EINVALID, "weir_filter needs an expression");

    app = app_on(*state, 0);
    a = weir_group_by(source(app, "a"), "k");
    refuse(app, merge(source(app, "b"), a), WEIR_ESTATE, "weir_group_by once behind the merge");

    app = app_on(*state, 0);
    a = weir_tumbling(weir_group_by(source(app, "a"), "k"), 1000);
    refuse(app, merge(source(app, "b"), a), WEIR_ESTATE,
           "stream 2 is grouped: merge the rows first");

    app = app_on(*state, 0);
    a = weir_aggregate(weir_group_by(source(app, "a"), "k"), "count(*) AS n");
    refuse(app, merge(a, source(app, "b")), WEIR_EUNSUPPORTED,
           "weir_merge cannot follow an aggregate directly");

    app = app_on(*state, 0);
    a = weir_rekey(source(app, "a"), "k");
    refuse(app, merge(a, source(app, "b")), WEIR_ESTATE, "weir_rekey once behind the merge");

    app = app_on(*state, 0);
    refuse(app, weir_lateness(merge(source(app, "a"), source(app, "b")), 5), WEIR_ESTATE,
           "weir_lateness belongs on a source");
    assert_null(weir_merge(NULL, 2));
    assert_null(merge(NULL, NULL));
}

static void test_streams_of_two_apps(void **state)
{
    weir_app *app = app_on(*state, 0);
    weir_app *other = weir_app_open("other", NULL);
    weir_stream *theirs = source(other, "b");
    refuse(app, merge(source(app, "a"), theirs), WEIR_EINVALID,
           "stream 2 is of app other and not of app shop");
    assert_int_equal(weir_to(theirs, "fine"), 0); /* the other one is as it was */
    assert_int_equal(weir_app_check(other), 0);
    weir_app_close(other);
}

/* ---- refused by the compiler ---- */

static int check(weir_app *app, weir_stream *a, weir_stream *b)
{
    assert_int_equal(weir_to(weir_map(weir_filter(merge(a, b), "k = 'x'"), "k"), "out"), 0);
    return weir_app_check(app);
}
static void differ(weir_app *app, weir_stream *a, weir_stream *b, const char *part)
{
    assert_int_equal(check(app, a, b), WEIR_EINVALID);
    if (strstr(weir_app_error(app), part) == NULL ||
        strstr(weir_app_error(app), "stream to out: weir_merge: the rows of a and of b differ") ==
            NULL)
        fail_msg("'%s' does not contain '%s'", weir_app_error(app), part);
    weir_app_close(app);
}

static void test_rows_must_have_the_same_columns(void **state)
{
    weir_app *app = app_on(*state, 0);
    differ(app, weir_map(source(app, "a"), "k, n"), weir_map(source(app, "b"), "k, m"),
           "column 2 is n json in the first and m json in the second");
    app = app_on(*state, 0);
    differ(app, weir_map(source(app, "a"), "k, n::bigint AS n"),
           weir_map(source(app, "b"), "k, n::text AS n"),
           "column 2 is n bigint in the first and n text in the second");
    app = app_on(*state, 0);
    differ(app, weir_map(source(app, "a"), "k, n"), weir_map(source(app, "b"), "n, k"),
           "column 1 is k json in the first and n json in the second");
    app = app_on(*state, 0);
    differ(app, weir_map(source(app, "a"), "k, n"), weir_map(source(app, "b"), "k"),
           "only those of a have a column n");
    app = app_on(*state, 0);
    differ(app, weir_map(source(app, "a"), "k"), weir_map(source(app, "b"), "k, n"),
           "only those of b have a column n");
    app = app_on(*state, 0);
    differ(app, source(app, "a"), weir_map(source(app, "b"), "k"),
           "those of b have declared columns, those of a any field");
    app = app_on(*state, 0);
    differ(app, weir_unnest(source(app, "a"), "items", "item"), source(app, "b"),
           "only those of a have a column item");
    /* Only where they would stand in one topic. */
    app = app_on(*state, 0);
    weir_stream *csv = weir_source_csv(app, "a", "k text, n bigint", NULL);
    weir_stream *made = weir_map(source(app, "b"), "k::text AS k, n::bigint AS n");
    assert_int_equal(weir_to(merge(csv, made), "out"), 0);
    assert_int_equal(weir_app_check(app), WEIR_EINVALID);
    assert_non_null(
        strstr(weir_app_error(app), "the first are written as csv and the second as json"));
    weir_app_close(app);
}

static void check_well(weir_app *app, weir_stream *a, weir_stream *b)
{
    if (check(app, a, b) < 0)
        fail_msg("%s", weir_app_error(app));
    weir_app_close(app);
}

static void test_rows_that_have_the_same_columns(void **state)
{
    weir_app *app = app_on(*state, 0);
    check_well(app, source(app, "a"), source(app, "b"));
    app = app_on(*state, 0);
    check_well(app, weir_map(source(app, "a"), "k, n"),
               weir_map(source(app, "b"), "x AS k, y AS n"));
    app = app_on(*state, 0);
    check_well(app, weir_source_csv(app, "a", "k text, n bigint", NULL),
               weir_map(source(app, "b"), "k::text AS k, n::bigint AS n"));
    app = app_on(*state, 0);
    check_well(app, weir_source_csv(app, "a", "k text, n bigint", NULL),
               weir_source_csv(app, "b", "k text, n bigint", NULL));
    app = app_on(*state, 0);
    weir_stream *items = merge(weir_unnest(source(app, "a"), "items", "item"),
                               weir_unnest(source(app, "b"), "lines", "item"));
    assert_int_equal(weir_to(weir_map(items, "item ->> 'sku' AS sku"), "out"), 0);
    if (weir_app_check(app) < 0)
        fail_msg("%s", weir_app_error(app));
    weir_app_close(app);
}

/* Merges of merges of one stream are 2^n ways. */
static void test_too_many_ways(void **state)
{
    weir_app *app = app_on(*state, 0);
    weir_stream *at = source(app, "a");
    for (int i = 0; i < 7; i++)
        at = merge(weir_filter(at, "k = 'x'"), weir_filter(at, "k = 'y'"));
    assert_int_equal(weir_to(at, "out"), 0);
    assert_int_equal(weir_app_check(app), WEIR_ETOOLARGE);
    assert_non_null(strstr(weir_app_error(app), "more than 64 ways"));
    weir_app_close(app);
}

static void test_circles_through_a_merge(void **state)
{
    weir_app *app = app_on(*state, 0);
    weir_to(merge(source(app, "a"), source(app, "second")), "first");
    weir_to(source(app, "first"), "second");
    assert_int_equal(weir_app_check(app), WEIR_EINVALID);
    assert_non_null(strstr(weir_app_error(app), "read each other in a circle"));
    weir_app_close(app);
    app = app_on(*state, 0);
    weir_to(merge(source(app, "a"), source(app, "out")), "out");
    assert_int_equal(weir_app_check(app), WEIR_EINVALID);
    assert_non_null(strstr(weir_app_error(app), "reads the topic that it writes"));
    weir_app_close(app);
}

/* ---- hashes ---- */

struct recipe {
    const char *first, *second, *filter, *behind;
    int64_t lateness_ms;
    bool peeks;
};
static const struct recipe plain = {"a", "b", "n > 0", "n < 9", 30000, false};

static void look(void *context, const weir_value *values, size_t count)
{
    (void)context;
    (void)values;
    (void)count;
}

static void hashes_of(struct recipe recipe, uint64_t hashes[2])
{
    weir_app *app = app_on("nowhere", 0);
    struct plan *plan;
    struct diag diag = {0};
    weir_stream *a = weir_lateness(source(app, recipe.first), recipe.lateness_ms);
    weir_stream *b = weir_filter(source(app, recipe.second), recipe.filter);
    if (recipe.peeks)
        b = weir_peek(b, "n", look, NULL);
    weir_stream *all = weir_filter(merge(a, b), recipe.behind);
    weir_to(weir_aggregate(weir_group_by(all, "k"), "count(*) AS n"), "out");
    assert_int_equal(plan_compile(app, &plan, &diag), 0);
    hashes[0] = plan->views[0].plan_hash;
    hashes[1] = plan->views[0].state_hash;
    assert_true(plan->views[0].next_arm->plan_hash == hashes[0]);
    plan_destroy(plan);
    weir_app_close(app);
}

/* How many of the two hashes the change of a recipe changes. */
static int changes(struct recipe changed)
{
    uint64_t was[2], is[2];
    hashes_of(plain, was);
    hashes_of(changed, is);
    return (was[0] != is[0]) + (was[1] != is[1]);
}

#define CHANGED(field, value)                                                                      \
    ({                                                                                             \
        struct recipe changed_ = plain;                                                            \
        changed_.field = (value);                                                                  \
        changes(changed_);                                                                         \
    })

static void test_hashes(void **state)
{
    (void)state;
    struct recipe turned = {"b", "a", "n > 0", "n < 9", 30000, false};
    assert_int_equal(changes(plain), 0);
    assert_int_equal(changes(turned), 2);
    assert_int_equal(CHANGED(first, "c"), 2);
    assert_int_equal(CHANGED(second, "c"), 2);
    assert_int_equal(CHANGED(filter, "n > 1"), 2);
    assert_int_equal(CHANGED(behind, "n < 8"), 2);
    assert_int_equal(CHANGED(behind, "n<9"), 1); /* laid out otherwise: the state is as good */
    assert_int_equal(CHANGED(lateness_ms, 0), 0);
    assert_int_equal(CHANGED(peeks, true), 0);
}

/* ---- placing ---- */

static void make_topic(const char *dir, const char *name, int32_t partitions)
{
    struct log *log = fixture_open(dir);
    assert_int_equal(topic_create(log, name, partitions, NULL, 0, NULL), 0);
    log_close(log);
}

static struct plan *place(weir_app *app, const char *dir)
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
    return plan;
}

static void assert_stage(const struct plan *plan, uint32_t i, const char *name, const char *input,
                         const char *output, int32_t partitions, int32_t output_partitions)
{
    const struct stage *stage = &plan->stages[i];
    assert_string_equal(stage->name, name);
    assert_string_equal(stage->input_topic, input);
    assert_string_equal(stage->output_topic, output);
    assert_int_equal(stage->partitions, partitions);
    assert_int_equal(stage->output_partitions, output_partitions);
}

static void test_stages_of_a_group(void **state)
{
    make_topic(*state, "a", 1);
    make_topic(*state, "b", 3);
    weir_app *app = app_on(*state, 0);
    weir_stream *rows = weir_merge(
        (weir_stream *[]){source(app, "a"), source(app, "b"), weir_filter(source(app, "a"), "x")},
        3);
    weir_to(weir_aggregate(weir_tumbling(weir_group_by(rows, "k"), 1000), "count(*) AS n"), "sums");
    struct plan *plan = place(app, *state);
    assert_int_equal(plan->stage_count, 4);
    assert_stage(plan, 0, "sums:a", "a", "shop-sums-repartition", 1, 3);
    assert_stage(plan, 1, "sums:b", "b", "shop-sums-repartition", 3, 3);
    assert_stage(plan, 2, "sums:a:2", "a", "shop-sums-repartition", 1, 3);
    assert_stage(plan, 3, "sums", "shop-sums-repartition", "sums", 3, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(plan->stages[i].first_arm == 0 && plan->stages[i].arm_count == 3);
        assert_true(plan->stages[i].view->arm == i && plan->stages[i].upstream == -1);
        assert_string_equal(plan->stages[i].late_topic, "sums.late");
    }
    assert_true(plan->stages[3].upstream == 0 && plan->stages[3].upstream_count == 3);
    assert_true(plan->stages[3].first_arm == 3 && plan->stages[3].arm_count == 1);
    assert_int_equal(plan->dlq_partitions, 3);
    plan_destroy(plan);
    weir_app_close(app);
}

static void test_stages_of_rows(void **state)
{
    make_topic(*state, "a", 2);
    make_topic(*state, "b", 1);
    weir_app *app = app_on(*state, 0);
    weir_to(merge(source(app, "a"), source(app, "b")), "all");
    weir_to(merge(source(app, "all"), source(app, "b")), "more");
    struct plan *plan = place(app, *state);
    assert_int_equal(plan->stage_count, 4);
    assert_stage(plan, 0, "all:a", "a", "all", 2, 2);
    assert_stage(plan, 1, "all:b", "b", "all", 1, 2);
    assert_stage(plan, 2, "more:all", "all", "more", 2, 2);
    assert_stage(plan, 3, "more:b", "b", "more", 1, 2);
    assert_true(plan->stages[2].upstream == 0 && plan->stages[2].upstream_count == 2);
    assert_true(plan->stages[3].upstream == -1);
    plan_destroy(plan);
    weir_app_close(app);
}

/* ---- arms that come and go ---- */

static void append(const char *dir, const char *topic, int first, int count)
{
    struct sender *sender;
    struct log *log = topic_log_open(dir);
    assert_int_equal(sender_open(log, topic, NULL, &sender, NULL), 0);
    for (int i = first; i < first + count; i++) {
        char value[64];
        int size = snprintf(value, sizeof value, "{\"k\":\"x\",\"n\":%d,\"ts\":%d}", i, 1000 + i);
        assert_int_equal(sender_send(sender, 0, 2000, (struct bytes){NULL, 0},
                                     bytes_of(value, (size_t)size), (struct bytes){NULL, 0}, 0,
                                     NULL),
                         0);
    }
    assert_int_equal(sender_flush(sender, true, NULL), 0);
    sender_close(sender);
    log_close(log);
}

/* The last row of the only group; the caller's text. */
static void read_sum(const char *dir, char text[256])
{
    struct topic_rows rows;
    struct log *log = topic_log_open(dir);
    topic_rows_init(&rows);
    topic_rows_read(log, "sums", READ_COMMITTED, &rows);
    topic_rows_latest(&rows);
    assert_int_equal(rows.count, 1);
    snprintf(text, 256, "%.*s", (int)rows.items[0].value.size,
             (const char *)rows.items[0].value.data);
    topic_rows_deinit(&rows);
    log_close(log);
}

static weir_app *summing(const char *dir, const char *second, weir_on_change on_change)
{
    weir_app *app = app_on(dir, on_change);
    weir_stream *rows = source(app, "a");
    if (second != NULL)
        rows = merge(rows, source(app, second));
    weir_to(weir_aggregate(weir_group_by(rows, "k"), "sum(n::bigint) AS total, count(*) AS n"),
            "sums");
    return app;
}

static void assert_change(const char *dir, const char *second, weir_change wanted)
{
    weir_view_plan *views;
    size_t count;
    weir_app *app = summing(dir, second, 0);
    if (weir_app_plan(app, &views, &count) < 0)
        fail_msg("%s", weir_app_error(app));
    assert_int_equal(count, 1);
    if (views[0].change != wanted)
        fail_msg("%d: %s", (int)views[0].change, views[0].reason);
    weir_free(views);
    weir_app_close(app);
}

static void run_well(const char *dir, const char *second, weir_on_change on_change,
                     const char *wanted)
{
    char text[256];
    weir_app *app = summing(dir, second, on_change);
    if (weir_app_run(app) < 0)
        fail_msg("%s", weir_app_error(app));
    weir_app_close(app);
    read_sum(dir, text);
    assert_string_equal(text, wanted);
}

static void test_another_arm_is_a_rebuild(void **state)
{
    make_topic(*state, "a", 1);
    make_topic(*state, "b", 2);
    make_topic(*state, "c", 1);
    append(*state, "a", 1, 10); /* 55 */
    append(*state, "b", 11, 4); /* 50 */
    append(*state, "c", 100, 1);
    assert_change(*state, NULL, WEIR_CHANGE_NEW);
    run_well(*state, NULL, 0, "{\"k\":\"x\",\"total\":55,\"n\":10}");
    assert_change(*state, "b", WEIR_CHANGE_REBUILD);
    weir_app *app = summing(*state, "b", WEIR_ON_CHANGE_REFUSE);
    assert_int_equal(weir_app_run(app), WEIR_ESTATE);
    weir_app_close(app);
    run_well(*state, "b", WEIR_ON_CHANGE_REBUILD, "{\"k\":\"x\",\"total\":105,\"n\":14}");
    assert_change(*state, "b", WEIR_CHANGE_NONE);
    append(*state, "b", 5, 1);
    run_well(*state, "b", 0, "{\"k\":\"x\",\"total\":110,\"n\":15}");
    assert_change(*state, "c", WEIR_CHANGE_REBUILD);
    run_well(*state, "c", WEIR_ON_CHANGE_REBUILD, "{\"k\":\"x\",\"total\":155,\"n\":11}");
    assert_change(*state, NULL, WEIR_CHANGE_REBUILD);
    run_well(*state, NULL, WEIR_ON_CHANGE_REBUILD, "{\"k\":\"x\",\"total\":55,\"n\":10}");
    assert_change(*state, NULL, WEIR_CHANGE_NONE);
}

/* One of the sources was deleted and made anew: it is named. */
static void test_an_arm_whose_topic_is_another(void **state)
{
    make_topic(*state, "a", 1);
    make_topic(*state, "b", 1);
    append(*state, "a", 1, 1);
    append(*state, "b", 2, 1);
    run_well(*state, "b", 0, "{\"k\":\"x\",\"total\":3,\"n\":2}");
    struct log *log = fixture_open(*state);
    assert_int_equal(topic_delete(log, "b", NULL), 0);
    log_close(log);
    make_topic(*state, "b", 1);
    weir_app *app = summing(*state, "b", WEIR_ON_CHANGE_REBUILD);
    assert_int_equal(weir_app_run(app), WEIR_ESTATE);
    assert_non_null(strstr(weir_app_error(app), "topic b was deleted and created again"));
    weir_app_close(app);
}

/* A topic that comes twice is read by two stages; a reset takes both to the same offset. */
static void test_a_reset_of_a_topic_that_comes_twice(void **state)
{
    char text[256];
    make_topic(*state, "a", 1);
    append(*state, "a", 1, 10);
    for (int i = 0; i < 2; i++) {
        weir_app *app = app_on(*state, 0);
        weir_stream *a = source(app, "a");
        weir_stream *rows = merge(weir_filter(a, "n::bigint > 5"), weir_filter(a, "n::bigint > 8"));
        weir_to(weir_aggregate(weir_group_by(rows, "k"), "sum(n::bigint) AS total, count(*) AS n"),
                "sums");
        if (weir_app_run(app) < 0)
            fail_msg("%s", weir_app_error(app));
        weir_app_close(app);
        read_sum(*state, text);
        assert_string_equal(text, i == 0 ? "{\"k\":\"x\",\"total\":59,\"n\":7}" /* 6 … 10, 9, 10 */
                                         : "{\"k\":\"x\",\"total\":38,\"n\":4}"); /* 9, 10, twice */
        if (i > 0)
            break;
        weir_log *log;
        weir_offset from = {.topic = "a", .partition = 0, .offset = 9}; /* the tenth row … */
        weir_app_reset_options options = {.to = WEIR_RESET_TO_OFFSET,
                                          .offsets = &from,
                                          .offset_count = 1,
                                          .outputs = WEIR_OUTPUTS_CLEAR,
                                          .execute = true};
        assert_int_equal(weir_log_open(*state, NULL, &log), 0);
        if (weir_app_reset(log, "shop", &options, NULL) < 0)
            fail_msg("%s", weir_log_error());
        assert_int_equal(weir_log_close(log), 0);
        append(*state, "a", 9, 1); /* … which is 10, and one of 9 behind it */
    }
}

/* What a store's description says makes the same view again. */
static void test_a_store_is_shown(void **state)
{
    struct store_view *view;
    struct pairs stored;
    struct buf text = {0};
    struct plan *plan;
    struct diag diag = {0};
    make_topic(*state, "a", 1);
    make_topic(*state, "b", 1);
    append(*state, "a", 1, 1);
    append(*state, "b", 2, 1);
    for (int i = 0; i < 2; i++) /* the second start brings the store to its changelog's end */
        run_well(*state, "b", 0, "{\"k\":\"x\",\"total\":3,\"n\":2}");
    char *path = scratch_path(*state, "state/shop/sums-0");
    if (store_view_open(path, &view, &diag) < 0)
        fail_msg("%s", diag.text);
    pairs_init(&stored);
    assert_true(pairs_add_store(&stored, path, NULL));
    assert_int_equal(stored.count, 1);
    assert_int_equal(
        store_view_json(view, stored.items[0].key, stored.items[0].value, &text, &diag), 0);
    buf_u8(&text, 0);
    assert_string_equal((const char *)text.data, "{\"k\":\"x\",\"total\":3,\"n\":2}");
    weir_app *app = summing(*state, "b", 0);
    assert_int_equal(plan_compile(app, &plan, &diag), 0);
    assert_true(store_view_plan_hash(view) == plan->views[0].plan_hash);
    assert_true(store_view_state_hash(view) == plan->views[0].state_hash);
    plan_destroy(plan);
    weir_app_close(app);
    store_view_close(view);
    pairs_deinit(&stored);
    buf_deinit(&text);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_streams_that_cannot_be_merged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_streams_of_two_apps, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rows_must_have_the_same_columns, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rows_that_have_the_same_columns, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_too_many_ways, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_circles_through_a_merge, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hashes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stages_of_a_group, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stages_of_rows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_another_arm_is_a_rebuild, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_arm_whose_topic_is_another, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_reset_of_a_topic_that_comes_twice, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_store_is_shown, set_up, tear_down),
    };
    scratch_dir_in_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
