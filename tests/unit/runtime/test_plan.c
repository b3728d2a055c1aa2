/* test_plan.c: what a topology compiles to (plan.c) and how it is laid over topics (plan_place.c).
 *
 * Apps are built with weir.h and compiled without running. Places are made on a log of the test's
 * own; topics and their configuration are read back through log.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log/log.h"
#include "runtime/plan.h"
#include "tests/support/log_fixture.h"
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

static weir_app *app_on(const char *dir)
{
    weir_app *app = weir_app_open("shop", &(weir_options){.data = dir});
    assert_non_null(app);
    return app;
}
static weir_stream *orders(weir_app *app)
{
    return weir_source(app, "orders", WEIR_JSON, "meta.ts");
}

static struct plan *compile(weir_app *app)
{
    struct plan *plan;
    struct diag diag = {0};
    if (plan_compile(app, &plan, &diag) < 0)
        fail_msg("plan_compile: %s", diag.text);
    return plan;
}
static void close_plan(weir_app *app, struct plan *plan)
{
    plan_destroy(plan);
    weir_app_close(app);
}

/* ---- compiling ---- */

static void assert_fields(const struct view *view, const char *expected)
{
    char all[1024] = "";
    size_t size = 0;
    for (uint32_t i = 0; i < field_set_count(view->fields); i++) {
        const struct field_path *path = field_set_path(view->fields, i);
        for (uint32_t p = 0; p < path->count; p++)
            size += (size_t)snprintf(all + size, sizeof all - size, "%s%s",
                                     p > 0   ? "."
                                     : i > 0 ? " "
                                             : "",
                                     path->parts[p]);
    }
    assert_string_equal(all, expected);
}

static void assert_columns(const struct view *view, const char *expected)
{
    char all[1024] = "";
    size_t size = 0;
    for (uint32_t i = 0; i < view->column_count; i++)
        size += (size_t)snprintf(all + size, sizeof all - size, "%s%s:%s", i > 0 ? " " : "",
                                 view->column_names[i], col_type_name(view->column_types[i]));
    assert_string_equal(all, expected);
}

static void test_fields(void **state)
{
    (void)state;
    weir_app *app = app_on("nowhere");
    weir_stream *paid = weir_filter(orders(app), "status = 'paid' AND customer.id IS NOT NULL");
    weir_stream *mapped = weir_map(paid, "customer.id, quantity * price AS amount");
    weir_to(mapped, "rows");
    weir_to(weir_aggregate(weir_group_by(mapped, "id"), "sum(amount) AS amount"), "sums");
    weir_to(paid, "pass");
    weir_to(weir_source(app, "plain", WEIR_JSON, NULL), "copy");
    struct plan *plan = compile(app);
    assert_int_equal(plan->view_count, 4);
    assert_fields(&plan->views[0], "meta.ts status customer.id quantity price");
    assert_int_equal(plan->views[0].event_time_field, 0);
    assert_true(plan->views[0].is_mapped && plan->views[0].group == NULL);
    assert_fields(&plan->views[1], "meta.ts status customer.id quantity price");
    assert_fields(&plan->views[2], "meta.ts status customer.id");
    assert_false(plan->views[2].is_mapped);
    assert_fields(&plan->views[3], "");
    assert_int_equal(plan->views[3].event_time_field, -1);
    assert_int_equal(plan->views[3].op_count, 0);
    close_plan(app, plan);
}

static void test_columns(void **state)
{
    (void)state;
    weir_app *app = app_on("nowhere");
    weir_to(
        weir_map(
            orders(app),
            "id, id::bigint AS number, price::numeric, note::text AS note, paid::boolean AS paid, "
            "ratio::float8 AS ratio, at::timestamptz AS at"),
        "rows");
    weir_to(weir_aggregate(
                weir_tumbling(weir_group_by(orders(app), "region, at::timestamptz AS at"), 1000),
                "count(*) AS n, sum(amount) AS total, avg(x::float8) AS mean, min(name::text) AS "
                "first, max(y) AS last, "
                "sum(q::bigint) AS quantity"),
            "sums");
    struct plan *plan = compile(app);
    assert_columns(&plan->views[0], "id:json number:bigint price:numeric note:text paid:boolean "
                                    "ratio:double precision at:timestamptz");
    assert_columns(&plan->views[1], "region:json at:timestamptz window_start:timestamptz "
                                    "window_end:timestamptz n:bigint total:numeric "
                                    "mean:double precision first:text last:json quantity:numeric");
    assert_true(plan->views[1].is_windowed && plan->views[1].group->window.size_ms == 1000 &&
                !plan->views[1].group->emit_final);
    close_plan(app, plan);
}

static const char *group_field_of(const char *map, const char *group, char out[64])
{
    weir_app *app = app_on("nowhere");
    weir_stream *source = orders(app);
    if (map != NULL)
        source = weir_map(source, map);
    weir_to(weir_aggregate(weir_group_by(source, group), "count(*) AS n"), "t");
    struct plan *plan = compile(app);
    snprintf(out, 64, "%s",
             plan->views[0].group_field != NULL ? plan->views[0].group_field : "none");
    close_plan(app, plan);
    return out;
}

static void test_group_field(void **state)
{
    (void)state;
    char text[64];
    assert_string_equal(group_field_of(NULL, "region", text), "region");
    assert_string_equal(group_field_of(NULL, "customer.address.region AS r", text),
                        "customer.address.region");
    assert_string_equal(group_field_of(NULL, "region, country", text), "none");
    assert_string_equal(group_field_of(NULL, "lower(region) AS region", text), "none");
    /* Through maps that pass the field on, or its text; a number's text is not what it is placed by. */
    assert_string_equal(group_field_of("region", "region", text), "region");
    assert_string_equal(group_field_of("a, customer.region::text AS r", "r AS s", text),
                        "customer.region");
    assert_string_equal(group_field_of("region::bigint AS region", "region", text), "none");
    assert_string_equal(group_field_of("upper(region) AS region", "region", text), "none");
    assert_string_equal(group_field_of("a AS region, region AS a", "region", text), "a");
}

/* What a hash is taken of, each with one thing changed. */
struct recipe {
    const char *source, *time, *filter, *check, *check_class, *map, *group, *aggregate, *topic;
    int64_t lateness_ms, window_ms;
    weir_emit_mode emit;
    int64_t hop_ms;
};
static const struct recipe plain = {
    "orders",        "ts",  "a > 0", "b > 0", "bad_b",           "a, b, c", "a",
    "count(*) AS n", "out", 30000,   1000,    WEIR_EMIT_CHANGES, 0};

static uint64_t hash_of(struct recipe r)
{
    weir_app *app = app_on("nowhere");
    weir_stream *at = weir_lateness(weir_source(app, r.source, WEIR_JSON, r.time), r.lateness_ms);
    at = r.filter != NULL ? weir_filter(at, r.filter) : at;
    at = r.check != NULL ? weir_check(at, r.check, r.check_class) : at;
    at = r.map != NULL ? weir_map(at, r.map) : at;
    at = weir_group_by(at, r.group);
    if (r.hop_ms < 0)
        at = weir_session(at, r.window_ms);
    else if (r.hop_ms > 0)
        at = weir_hopping(at, r.window_ms, r.hop_ms);
    else
        at = r.window_ms > 0 ? weir_tumbling(at, r.window_ms) : at;
    weir_to(weir_emit(weir_aggregate(at, r.aggregate), r.emit), r.topic);
    struct plan *plan = compile(app);
    uint64_t hash = plan->views[0].plan_hash;
    close_plan(app, plan);
    return hash;
}

#define CHANGED(field, value)                                                                      \
    do {                                                                                           \
        struct recipe r = plain;                                                                   \
        r.field = (value);                                                                         \
        assert_true(hash_of(r) != hash_of(plain));                                                 \
    } while (0)
#define SAME(field, value)                                                                         \
    do {                                                                                           \
        struct recipe r = plain;                                                                   \
        r.field = (value);                                                                         \
        assert_true(hash_of(r) == hash_of(plain));                                                 \
    } while (0)
static void test_hash(void **state)
{
    (void)state;
    assert_true(hash_of(plain) == hash_of(plain));
    CHANGED(source, "other");
    CHANGED(time, "ts2");
    CHANGED(time, NULL);
    CHANGED(filter, "a > 1");
    CHANGED(filter, NULL);
    CHANGED(check, "b > 1");
    CHANGED(check, NULL);
    CHANGED(map, "a, b + 1 AS b, c");
    CHANGED(map, NULL);
    CHANGED(group, "b");
    CHANGED(aggregate, "count(c) AS n");
    CHANGED(aggregate, "count(*) AS m");
    CHANGED(window_ms, 2000);
    CHANGED(window_ms, 0);
    CHANGED(hop_ms, -1); /* sessions */
    CHANGED(hop_ms, 500);
    CHANGED(hop_ms, 1000); /* the same windows, kept by another kind of operator */
    struct recipe hopping = plain, other_hop;
    hopping.hop_ms = 500;
    other_hop = hopping;
    other_hop.hop_ms = 250;
    assert_true(hash_of(hopping) != hash_of(other_hop));
    SAME(lateness_ms, 0);
    SAME(emit, WEIR_EMIT_FINAL);
    SAME(check_class, "other_class");
    SAME(topic, "elsewhere");
    /* The same texts in another order, or a filter in a check's place, are other steps. */
    struct recipe swapped = plain;
    swapped.filter = NULL;
    swapped.check = plain.filter;
    struct recipe filtered = plain;
    filtered.check = NULL;
    assert_true(hash_of(swapped) != hash_of(filtered));
}

/* Rules of a zone are in the hash, its name is not enough: see docs/decisions/time-zone-rules.md. */
static uint64_t local_hash(const char *zone, int64_t count, weir_unit unit)
{
    weir_app *app = app_on("nowhere");
    weir_to(
        weir_aggregate(weir_tumbling_in(weir_group_by(orders(app), "region"), count, unit, zone),
                       "count(*) AS n"),
        "out");
    struct plan *plan = compile(app);
    uint64_t hash = plan->views[0].plan_hash;
    close_plan(app, plan);
    return hash;
}

static void copy_zone(const char *dir, const char *from, const char *to)
{
    char path[1024], *data;
    size_t size;
    snprintf(path, sizeof path, "/usr/share/zoneinfo/%s", from);
    assert_int_equal(io_read_file(path, 1 << 20, &data, &size, NULL), 0);
    snprintf(path, sizeof path, "%s/%s", dir, to);
    assert_int_equal(io_write_file(path, data, size, NULL), 0);
    free(data);
}

static void test_hash_of_zones(void **state)
{
    (void)state;
    uint64_t berlin = local_hash("Europe/Berlin", 1, WEIR_DAY);
    assert_true(berlin == local_hash("Europe/Berlin", 1, WEIR_DAY));
    assert_true(berlin != local_hash("Europe/Berlin", 2, WEIR_DAY));
    assert_true(berlin != local_hash("Europe/Berlin", 1, WEIR_WEEK));
    assert_true(berlin != local_hash("Europe/London", 1, WEIR_DAY));
    /* A database in which the zone follows other rules. */
    char *dir = scratch_dir_create();
    copy_zone(dir, "Europe/Berlin", "Here");
    setenv("TZDIR", dir, 1);
    uint64_t before = local_hash("Here", 1, WEIR_DAY);
    copy_zone(dir, "Europe/London", "Here");
    assert_true(before != local_hash("Here", 1, WEIR_DAY));
    copy_zone(dir, "Europe/Berlin", "Here");
    assert_true(before == local_hash("Here", 1, WEIR_DAY));
    unsetenv("TZDIR");
    scratch_dir_remove(dir);
}

static void refuse(weir_app *app, int code, const char *part)
{
    struct plan *plan;
    struct diag diag = {0};
    assert_int_equal(plan_compile(app, &plan, &diag), code);
    if (strstr(diag.text, part) == NULL)
        fail_msg("'%s' does not contain '%s'", diag.text, part);
    weir_app_close(app);
}

static void test_refused(void **state)
{
    (void)state;
    refuse(app_on("nowhere"), ERR_STATE, "weir_to");
    weir_app *app = app_on("nowhere");
    weir_to(weir_filter(orders(app), "a +"), "out");
    refuse(app, ERR_INVALID, "stream to out: weir_filter:");
    app = app_on("nowhere");
    weir_to(weir_filter(orders(app), "a::bigint"), "out");
    refuse(app, ERR_INVALID, "a condition must be boolean, not bigint");
    app = app_on("nowhere");
    weir_to(weir_filter(weir_map(orders(app), "a"), "b > 0"), "out");
    refuse(app, ERR_NOT_FOUND, "b");
    app = app_on("nowhere");
    weir_to(weir_aggregate(weir_group_by(orders(app), "a"), "count(*) AS a"), "out");
    refuse(app, ERR_INVALID, "two output columns are named \"a\"");
    app = app_on("nowhere");
    weir_to(weir_filter(orders(app), "a > 0"), "orders");
    refuse(app, ERR_INVALID, "reads the topic that it writes");
    app = app_on("nowhere");
    weir_to(weir_source(app, "b", WEIR_JSON, NULL), "a");
    weir_to(weir_source(app, "a", WEIR_JSON, NULL), "b");
    refuse(app, ERR_INVALID, "in a circle");
    app = app_on("nowhere");
    weir_to(weir_aggregate(weir_group_by(orders(app), "a"), "count(*) AS n"), "table");
    weir_to(weir_source(app, "table", WEIR_JSON, NULL), "out");
    refuse(app, ERR_UNSUPPORTED, "upsert table");
    static const char *const own[] = {"shop-progress",       "shop.dlq",
                                      "shop-sums-changelog", "shop-sums-repartition",
                                      "sums-repartition",    "sums.late"};
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        app = app_on("nowhere");
        weir_to(weir_aggregate(weir_group_by(orders(app), "a"), "count(*) AS n"), "sums");
        weir_to(orders(app), own[i]);
        refuse(app, ERR_INVALID, "uses that name itself");
    }
}

/* ---- placing ---- */

static void make_topic(const char *dir, const char *name, int32_t partitions,
                       const char *partitioned_by)
{
    struct log *log = fixture_open(dir);
    struct config_entry by = {"weir.partitioned.by", partitioned_by};
    assert_int_equal(topic_create(log, name, partitions, &by, partitioned_by != NULL ? 1 : 0, NULL),
                     0);
    log_close(log);
}

static int place(struct plan *plan, const char *dir, struct diag *diag)
{
    struct port *port;
    assert_int_equal(port_log_open(dir, NULL, &port, NULL), 0);
    int rc = plan_place(plan, port, diag);
    port->ops->close(port);
    return rc;
}
static void place_well(struct plan *plan, const char *dir)
{
    struct diag diag = {0};
    if (place(plan, dir, &diag) < 0)
        fail_msg("plan_place: %s", diag.text);
}

/* "name/partitions name/partitions …", sorted by name. */
static void assert_topics(const char *dir, const char *expected)
{
    char all[2048] = "";
    size_t size = 0, count;
    struct topic_info *topics;
    struct log *log = fixture_open(dir);
    assert_int_equal(topic_list(log, &topics, &count), 0);
    for (size_t i = 0; i < count; i++)
        size += (size_t)snprintf(all + size, sizeof all - size, "%s%s/%d", i > 0 ? " " : "",
                                 topics[i].name, (int)topics[i].partitions);
    free(topics);
    log_close(log);
    assert_string_equal(all, expected);
}
static void assert_config(const char *dir, const char *topic, const char *key, const char *expected)
{
    char value[256];
    struct log *log = fixture_open(dir);
    assert_int_equal(topic_config_get(log, topic, key, value, sizeof value), 0);
    log_close(log);
    assert_string_equal(value, expected);
}

/* A windowed count by region. */
static weir_app *counting(const char *dir, weir_emit_mode emit)
{
    weir_app *app = app_on(dir);
    weir_to(weir_emit(
                weir_aggregate(
                    weir_tumbling(weir_group_by(weir_filter(orders(app), "x > 0"), "region"), 1000),
                    "count(*) AS n"),
                emit),
            "sums");
    return app;
}

static void assert_ops(const struct stage *stage, const char *expected)
{
    char all[256] = "";
    size_t size = 0;
    for (uint32_t i = 0; i < stage->op_count; i++)
        size += (size_t)snprintf(all + size, sizeof all - size, "%s%s", i > 0 ? " " : "",
                                 stage->ops[i].type->name);
    assert_string_equal(all, expected);
}

static void assert_direct(const char *dir, int32_t partitions, bool check_placement)
{
    weir_app *app = counting(dir, WEIR_EMIT_CHANGES);
    struct plan *plan = compile(app);
    place_well(plan, dir);
    assert_int_equal(plan->stage_count, 1);
    const struct stage *stage = &plan->stages[0];
    assert_string_equal(stage->name, "sums");
    assert_true(stage->input == INPUT_ROWS && stage->output == OUTPUT_VIEW &&
                stage->upstream == -1);
    assert_true(stage->partitions == partitions && stage->output_partitions == partitions);
    assert_true(stage->check_placement == check_placement);
    assert_string_equal(stage->input_topic, "orders");
    assert_string_equal(stage->output_topic, "sums");
    assert_string_equal(stage->changelog_topic, "shop-sums-changelog");
    assert_string_equal(stage->late_topic, "sums.late");
    assert_ops(stage, "filter aggregate");
    assert_true(stage->plan_hash == plan->views[0].plan_hash);
    assert_int_equal(plan->dlq_partitions, partitions);
    close_plan(app, plan);
}

static void test_one_partition_is_direct(void **state)
{
    make_topic(*state, "orders", 1, NULL);
    assert_direct(*state, 1, false);
    assert_topics(*state,
                  "orders/1 shop-progress/1 shop-sums-changelog/1 shop.dlq/1 sums/1 sums.late/1");
    assert_config(*state, "shop-progress", "cleanup.policy", "compact");
    assert_config(*state, "shop-sums-changelog", "cleanup.policy", "compact");
    assert_config(*state, "sums", "cleanup.policy", "compact"); /* changes: an upsert table */
    assert_config(*state, "sums.late", "cleanup.policy", "delete");
    assert_config(*state, "shop.dlq", "cleanup.policy", "delete");
    /* Nothing that the app needs, and nothing that was put aside, goes because it is old. */
    assert_config(*state, "sums.late", "retention.ms", "-1");
    assert_config(*state, "shop.dlq", "retention.ms", "-1");
    assert_config(*state, "shop-progress", "segment.bytes", "4194304");
    assert_config(*state, "shop-sums-changelog", "segment.bytes", "67108864");
    assert_direct(*state, 1, false); /* what is there already is used */
}

static void test_partitioned_by_is_direct(void **state)
{
    make_topic(*state, "orders", 3, "region");
    assert_direct(*state, 3, true);
    assert_topics(*state,
                  "orders/3 shop-progress/1 shop-sums-changelog/3 shop.dlq/3 sums/3 sums.late/3");
}

static void test_several_partitions_are_rekeyed(void **state)
{
    const char *dir = *state;
    make_topic(dir, "orders", 3, "country"); /* another field does not help */
    weir_app *app = counting(dir, WEIR_EMIT_FINAL);
    struct plan *plan = compile(app);
    place_well(plan, dir);
    assert_int_equal(plan->stage_count, 2);
    const struct stage *first = &plan->stages[0], *second = &plan->stages[1];
    assert_string_equal(first->name, "sums-repartition");
    assert_true(first->input == INPUT_ROWS && first->output == OUTPUT_PARTIALS &&
                first->partitions == 3 && first->output_partitions == 3);
    assert_string_equal(first->output_topic, "shop-sums-repartition");
    assert_string_equal(first->changelog_topic, "");
    assert_string_equal(first->late_topic, "sums.late");
    assert_ops(first, "filter preaggregate");
    assert_string_equal(second->name, "sums");
    assert_true(second->input == INPUT_PARTIALS && second->output == OUTPUT_VIEW &&
                second->upstream == 0);
    assert_string_equal(second->input_topic, "shop-sums-repartition");
    assert_string_equal(second->changelog_topic, "shop-sums-changelog");
    assert_string_equal(second->late_topic, "");
    assert_ops(second, "merge");
    assert_false(first->check_placement || second->check_placement);
    close_plan(app, plan);
    assert_topics(dir, "orders/3 shop-progress/1 shop-sums-changelog/3 shop-sums-repartition/3 "
                       "shop.dlq/3 sums/3 sums.late/3");
    assert_config(dir, "shop-sums-repartition", "segment.bytes", "67108864");
    assert_config(dir, "shop-sums-repartition", "cleanup.policy", "delete");
    assert_config(dir, "shop-sums-repartition", "retention.ms", "-1");
    assert_config(dir, "sums", "cleanup.policy", "delete"); /* final: a stream */
}

/* Without groups: the output has the partitions of the source, and one that exists keeps its own.
 */
static void test_rows(void **state)
{
    const char *dir = *state;
    make_topic(dir, "orders", 4, NULL);
    make_topic(dir, "mapped", 2, NULL);
    weir_app *app = app_on(dir);
    weir_to(orders(app), "copy");
    weir_to(weir_map(orders(app), "a"), "mapped");
    struct plan *plan = compile(app);
    place_well(plan, dir);
    assert_int_equal(plan->stage_count, 2);
    assert_true(plan->stages[0].output == OUTPUT_PASS && plan->stages[0].output_partitions == 4);
    assert_true(plan->stages[1].output == OUTPUT_ROWS && plan->stages[1].partitions == 4 &&
                plan->stages[1].output_partitions == 2);
    close_plan(app, plan);
    assert_topics(dir, "copy/4 mapped/2 orders/4 shop-progress/1 shop.dlq/4");
}

static void test_missing_source(void **state)
{
    const char *dir = *state;
    char command[256];
    struct diag diag = {0};
    make_topic(dir, "orders", 1, NULL);
    weir_app *app = app_on(dir);
    weir_to(weir_map(orders(app), "a"), "rows");
    weir_to(weir_source(app, "clicks", WEIR_JSON, NULL), "copy");
    struct plan *plan = compile(app);
    assert_int_equal(place(plan, dir, &diag), ERR_NOT_FOUND);
    snprintf(command, sizeof command, "weir produce clicks --data %s", dir);
    assert_non_null(strstr(diag.text, command));
    close_plan(app, plan);
    assert_topics(dir, "orders/1"); /* nothing was created */
}

static void test_changed_partition_count(void **state)
{
    const char *dir = *state;
    struct diag diag = {0};
    make_topic(dir, "orders", 2, NULL);
    make_topic(dir, "shop-sums-changelog", 3, NULL);
    weir_app *app = counting(dir, WEIR_EMIT_CHANGES);
    struct plan *plan = compile(app);
    assert_int_equal(place(plan, dir, &diag), ERR_STATE);
    assert_non_null(
        strstr(diag.text, "shop-sums-changelog has 3 partitions, but its stage now has 2"));
    assert_non_null(strstr(diag.text, "from_beginning"));
    close_plan(app, plan);
}

/* Views are given downstream first; stages come out upstream first, with partition counts that were
 * not there to read. */
static void test_upstream_order(void **state)
{
    const char *dir = *state;
    make_topic(dir, "orders", 2, NULL);
    weir_app *app = app_on(dir);
    weir_to(weir_map(weir_source(app, "b", WEIR_JSON, NULL), "x"), "c");
    weir_to(weir_emit(
                weir_aggregate(
                    weir_tumbling(weir_group_by(weir_source(app, "a", WEIR_JSON, NULL), "x"), 1000),
                    "count(*) AS n"),
                WEIR_EMIT_FINAL),
            "b");
    weir_to(weir_map(orders(app), "x"), "a");
    struct plan *plan = compile(app);
    assert_true(plan->views[0].upstream == 1 && plan->views[1].upstream == 2 &&
                plan->views[2].upstream == -1);
    place_well(plan, dir);
    static const char *const names[] = {"a", "b-repartition", "b", "c"};
    static const int upstreams[] = {-1, 0, 1, 2};
    assert_int_equal(plan->stage_count, 4);
    for (int i = 0; i < 4; i++) {
        assert_string_equal(plan->stages[i].name, names[i]);
        assert_int_equal(plan->stages[i].upstream, upstreams[i]);
        assert_int_equal(plan->stages[i].partitions, 2);
    }
    close_plan(app, plan);
}

static const char *partitioned_by(const char *dir, const char *topic)
{
    static struct port_topic info;
    struct port *port;
    assert_int_equal(port_log_open(dir, NULL, &port, NULL), 0);
    assert_int_equal(port->ops->topic_describe(port, topic, &info, NULL), 0);
    port->ops->close(port);
    return info.partitioned_by;
}

/* The topic that a re-keying makes says by what it is partitioned, when a reader's text is the same. */
static void test_a_rekeyed_topic_says_where_rows_lie(void **state)
{
    static const struct {
        const char *map, *key, *expected;
    } cases[] = {
        {NULL, "customer.id", "customer.id"},
        {NULL, "customer.id AS who", ""},
        {NULL, "a, b", ""},
        {NULL, "lower(a) AS a", ""},
        {"a, b::text AS t", "t", "t"},
        {"a, b::bigint AS n", "n", "n"},
        {"b::timestamptz AS z", "z", ""},
        {"b::double precision AS d", "d", ""},
        {"a AS \"x.y\"", "\"x.y\"", ""},
    };
    const char *dir = *state;
    make_topic(dir, "orders", 3, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char topic[32];
        snprintf(topic, sizeof topic, "rows-%zu", i);
        weir_app *app = app_on(dir);
        weir_stream *at = orders(app);
        at = cases[i].map != NULL ? weir_map(at, cases[i].map) : at;
        weir_to(weir_rekey(at, cases[i].key), topic);
        struct plan *plan = compile(app);
        place_well(plan, dir);
        assert_string_equal(partitioned_by(dir, topic), cases[i].expected);
        close_plan(app, plan);
    }
}

static void test_a_group_behind_a_rekeying_needs_none(void **state)
{
    const char *dir = *state;
    make_topic(dir, "orders", 3, NULL);
    weir_app *app = app_on(dir);
    weir_to(weir_rekey(orders(app), "customer.id"), "rows");
    weir_to(weir_aggregate(weir_group_by(weir_source(app, "rows", WEIR_JSON, NULL), "customer.id"),
                           "count(*) AS n"),
            "counts");
    struct plan *plan = compile(app);
    place_well(plan, dir);
    assert_int_equal(plan->stage_count, 2);
    assert_true(plan->stages[1].check_placement);
    close_plan(app, plan);
}

static void test_a_topic_that_is_partitioned_otherwise_is_refused(void **state)
{
    const char *dir = *state;
    struct diag diag = {0};
    make_topic(dir, "orders", 3, NULL);
    make_topic(dir, "rows", 3, "region");
    weir_app *app = app_on(dir);
    weir_to(weir_rekey(orders(app), "customer.id"), "rows");
    struct plan *plan = compile(app);
    assert_int_equal(place(plan, dir, &diag), ERR_STATE);
    assert_non_null(strstr(diag.text, "partitioned by region"));
    close_plan(app, plan);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
    scratch_dir_in_memory();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_columns),
        cmocka_unit_test(test_group_field),
        cmocka_unit_test(test_hash),
        cmocka_unit_test(test_hash_of_zones),
        cmocka_unit_test(test_refused),
        TEST(test_one_partition_is_direct),
        TEST(test_partitioned_by_is_direct),
        TEST(test_several_partitions_are_rekeyed),
        TEST(test_rows),
        TEST(test_missing_source),
        TEST(test_changed_partition_count),
        TEST(test_upstream_order),
        TEST(test_a_rekeyed_topic_says_where_rows_lie),
        TEST(test_a_group_behind_a_rekeying_needs_none),
        TEST(test_a_topic_that_is_partitioned_otherwise_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
