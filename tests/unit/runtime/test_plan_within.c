/* test_plan_within.c: joins of two streams as plans: what is refused and how it is said, which stages
 * they become, and which changes of one make its state another. What they give is shown by
 * tests/cases/join_within*.case and test_join_within.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

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

static const weir_within good = {.on_left = "id",
                                 .on_right = "order_id",
                                 .columns_left = "id, ts",
                                 .columns_right = "paid",
                                 .before_ms = 1000,
                                 .after_ms = 5000};

static weir_app *app_on(const char *dir)
{
    weir_app *app = weir_app_open("shop", &(weir_options){.data = dir});
    assert_non_null(app);
    return app;
}
static weir_stream *source(weir_app *app, const char *topic)
{
    return weir_source(app, topic, WEIR_JSON, "ts");
}
static weir_stream *join(weir_app *app, const weir_within *within)
{
    return weir_join_within(source(app, "orders"), source(app, "payments"), within);
}

static void refuse(weir_app *app, int code, const char *part)
{
    assert_int_equal(weir_app_check(app), code);
    if (strstr(weir_app_error(app), part) == NULL)
        fail_msg("'%s' does not contain '%s'", weir_app_error(app), part);
    weir_app_close(app);
}

static void bounds_and_texts_are_checked(void **state)
{
    static const struct {
        weir_within within;
        const char *part;
    } wrong[] = {
        {{.on_left = "a", .on_right = "b", .columns_right = "c", .after_ms = -1}, "0 to 366 days"},
        {{.on_left = "a", .on_right = "b", .before_ms = WEIR_DAYS(367)}, "0 to 366 days"},
        {{.on_left = "a", .on_right = "", .after_ms = 1}, "on_left and on_right"},
        {{.on_right = "a", .after_ms = 1}, "on_left and on_right"},
        {{.on_left = "a", .on_right = "b", .kind = (weir_join_kind)7}, "kind 7"},
        {{.on_left = "a", .on_right = "b", .reserved = {1}}, "reserved words"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        weir_app *app = app_on(*state);
        assert_null(join(app, &wrong[i].within));
        refuse(app, WEIR_EINVALID, wrong[i].part);
    }
}

static void other_streams_are_refused(void **state)
{
    weir_app *app = app_on(*state), *other = weir_app_open("other", NULL);
    assert_null(weir_join_within(source(app, "a"), source(other, "b"), &good));
    weir_app_close(other);
    refuse(app, WEIR_EINVALID, "the right stream is of app other");

    app = app_on(*state);
    assert_null(weir_join_within(source(app, "a"), weir_table(app, "b", WEIR_JSON, "k"), &good));
    refuse(app, WEIR_EUNSUPPORTED, "the right stream is a table");

    app = app_on(*state);
    assert_null(weir_join_within(join(app, &good), source(app, "c"), &good));
    refuse(app, WEIR_EUNSUPPORTED, "weir_join_within cannot follow weir_join_within directly");

    app = app_on(*state);
    assert_null(
        weir_join_within(weir_distinct(source(app, "a"), "id", 1000), source(app, "b"), &good));
    refuse(app, WEIR_EUNSUPPORTED, "cannot follow weir_distinct directly");

    app = app_on(*state);
    assert_null(weir_group_by(join(app, &good), "id"));
    refuse(app, WEIR_EUNSUPPORTED, "write the joined rows to a topic");

    app = app_on(*state);
    assert_null(weir_unnest(weir_filter(join(app, &good), "paid IS NOT NULL"), "paid", "p"));
    refuse(app, WEIR_EUNSUPPORTED, "weir_unnest cannot follow weir_join_within directly");
}

static void columns_and_keys_are_checked(void **state)
{
    static const struct {
        const char *on_left, *on_right, *left, *right, *part;
    } wrong[] = {
        {"id", "a, b", "id", "paid", "1 columns of the left side are compared with 2"},
        {"id::bigint", "order_id::text", "id", "paid", "\"order_id\" of the right side is text"},
        {"id", "at::timestamptz", "id", "paid", "cast one of them"},
        {"id", "order_id", "id", "id", "there is a column \"id\" already"},
        {"id", "order_id", "id, id", "paid", "two columns are named \"id\""},
        {"id", "order_id", NULL, "paid", "say which columns results get"},
        {"id +", "order_id", "id", "paid", "weir_join_within"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        weir_app *app = app_on(*state);
        weir_within within = good;
        within.on_left = wrong[i].on_left;
        within.on_right = wrong[i].on_right;
        within.columns_left = wrong[i].left;
        within.columns_right = wrong[i].right;
        weir_to(join(app, &within), "out");
        bool is_there =
            strstr(wrong[i].left != NULL ? wrong[i].part : "", "column \"id\"") != NULL ||
            strstr(wrong[i].part, "two columns") != NULL;
        refuse(app, is_there ? WEIR_EEXISTS : WEIR_EINVALID, wrong[i].part);
    }
}

/* Two hashes of the view that a join makes. */
static void hashes(const char *dir, const weir_within *within, uint64_t *plan, uint64_t *meaning)
{
    struct plan *compiled;
    struct diag diag = {0};
    weir_app *app = app_on(dir);
    weir_to(join(app, within), "out");
    if (plan_compile(app, &compiled, &diag) < 0)
        fail_msg("%s", diag.text);
    *plan = compiled->views[0].plan_hash;
    *meaning = compiled->views[0].state_hash;
    assert_int_equal(compiled->views[0].joined->state_hash, *meaning);
    plan_destroy(compiled);
    weir_app_close(app);
}

static void each_part_of_a_join_is_part_of_its_state(void **state)
{
    uint64_t plan, meaning, other_plan, other_meaning;
    weir_within changed[6];
    for (int i = 0; i < 6; i++)
        changed[i] = good;
    changed[0].kind = WEIR_JOIN_LEFT;
    changed[1].before_ms++;
    changed[2].after_ms++;
    changed[3].columns_right = "paid, n";
    changed[4].columns_left = "id";
    changed[5].on_right = "id";
    hashes(*state, &good, &plan, &meaning);
    for (int i = 0; i < 6; i++) {
        hashes(*state, &changed[i], &other_plan, &other_meaning);
        assert_true(plan != other_plan && meaning != other_meaning);
    }
}

static void both_sides_write_to_one_topic(void **state)
{
    struct log *log = fixture_open(*state);
    struct plan *plan;
    struct port *port;
    struct diag diag = {0};
    fixture_topic(log, "orders", 2, "1048576");
    fixture_topic(log, "payments", 3, "1048576");
    log_close(log);
    weir_app *app = app_on(*state);
    weir_to(weir_filter(join(app, &good), "paid > 0"), "out");
    assert_int_equal(plan_compile(app, &plan, &diag), 0);
    assert_int_equal(port_log_open(*state, NULL, &port, &diag), 0);
    if (plan_place(plan, port, &diag) < 0)
        fail_msg("%s", diag.text);
    assert_int_equal(plan->stage_count, 3);
    for (int i = 0; i < 2; i++) {
        const struct stage *side = &plan->stages[i];
        assert_string_equal(side->name, i == 0 ? "out:orders" : "out:payments");
        assert_string_equal(side->output_topic, "shop-out-repartition");
        assert_string_equal(side->late_topic, "out.late");
        assert_string_equal(side->changelog_topic, "");
        assert_true(side->output == OUTPUT_SIDES && side->tells_ends &&
                    side->output_partitions == 3 && side->partitions == 2 + i);
    }
    const struct stage *second = &plan->stages[2];
    assert_string_equal(second->name, "out");
    assert_string_equal(second->input_topic, "shop-out-repartition");
    assert_string_equal(second->output_topic, "out");
    assert_string_equal(second->changelog_topic, "shop-out-changelog");
    assert_true(second->input == INPUT_SIDES && second->output == OUTPUT_ROWS &&
                second->upstream == 0 && second->upstream_count == 2 && second->partitions == 3);
    assert_string_equal(second->ops[0].type->name, "join_within");
    assert_int_equal(second->op_count, 2);
    plan_destroy(plan);
    port->ops->close(port);
    weir_app_close(app);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(bounds_and_texts_are_checked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_streams_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(columns_and_keys_are_checked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_part_of_a_join_is_part_of_its_state, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(both_sides_write_to_one_topic, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
