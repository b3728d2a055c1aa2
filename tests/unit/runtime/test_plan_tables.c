/* test_plan_tables.c: joins of two tables as plans: what is refused and how it is said, which stages
 * they become, and which changes of one make its state another. What they give is shown by
 * tests/cases/join_of_two_tables.case and test_join_tables.c. */
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

static weir_app *app_on(const char *dir)
{
    weir_app *app = weir_app_open("shop", &(weir_options){.data = dir});
    assert_non_null(app);
    return app;
}
static weir_stream *table(weir_app *app, const char *topic)
{
    return weir_table(app, topic, WEIR_JSON, "id");
}
static weir_stream *named(weir_app *app)
{
    return weir_map(table(app, "users"), "id, name");
}
static weir_stream *join(weir_app *app, weir_join_kind kind)
{
    return weir_join(named(app), table(app, "plans"), kind, NULL, "plan");
}

static void refuse(weir_app *app, int code, const char *part)
{
    assert_int_equal(weir_app_check(app), code);
    if (strstr(weir_app_error(app), part) == NULL)
        fail_msg("'%s' does not contain '%s'", weir_app_error(app), part);
    weir_app_close(app);
}

static void what_is_no_pair_of_tables_is_refused(void **state)
{
    weir_app *app = app_on(*state);
    assert_null(weir_join(named(app), weir_source(app, "plans", WEIR_JSON, NULL), WEIR_JOIN_INNER,
                          NULL, "plan"));
    refuse(app, WEIR_ESTATE, "weir_join takes a table second");

    app = app_on(*state);
    assert_null(join(app, (weir_join_kind)3));
    refuse(app, WEIR_EINVALID, "kind 3 is not WEIR_JOIN_INNER, WEIR_JOIN_LEFT or WEIR_JOIN_FULL");

    app = app_on(*state);
    assert_null(weir_join(weir_source(app, "orders", WEIR_JSON, NULL), table(app, "plans"),
                          WEIR_JOIN_FULL, "id", "plan"));
    refuse(app, WEIR_EINVALID, "kind 2 is not WEIR_JOIN_INNER or WEIR_JOIN_LEFT");

    app = app_on(*state);
    assert_null(weir_join(named(app), table(app, "plans"), WEIR_JOIN_LEFT, NULL, ""));
    refuse(app, WEIR_EINVALID, "weir_join needs the columns of the table");

    app = app_on(*state);
    assert_null(
        weir_join(join(app, WEIR_JOIN_LEFT), table(app, "more"), WEIR_JOIN_LEFT, NULL, "x"));
    refuse(app, WEIR_EUNSUPPORTED, "not from weir_join: write that to a topic with weir_to");

    app = app_on(*state);
    assert_null(weir_join(weir_source(app, "orders", WEIR_JSON, NULL), join(app, WEIR_JOIN_LEFT),
                          WEIR_JOIN_LEFT, "id", "plan"));
    refuse(app, WEIR_EUNSUPPORTED, "not from weir_join: write that to a topic with weir_to");

    app = app_on(*state);
    assert_null(weir_group_by(join(app, WEIR_JOIN_LEFT), "plan"));
    refuse(app, WEIR_EUNSUPPORTED,
           "weir_group_by cannot follow a join of two tables directly: write the joined rows to a "
           "topic with weir_to, and read that with weir_table");
}

static void keys_and_columns_are_checked(void **state)
{
    static const struct {
        const char *left, *right, *columns;
        weir_join_kind kind;
        int code;
        const char *part;
    } wrong[] = {
        {"id", "a, b", "x", WEIR_JOIN_LEFT, WEIR_EINVALID,
         "the key of table users has 1 columns, and that of table plans 2"},
        {"id::text AS id", "n::bigint AS id", "x", WEIR_JOIN_LEFT, WEIR_EINVALID,
         "\"id\" of table users is text, and \"id\" of table plans is bigint: cast one of them"},
        {"n::bigint AS id", "n::numeric AS id", "x", WEIR_JOIN_FULL, WEIR_EINVALID,
         "cast one of them before weir_latest"},
        {"id", "id", "id", WEIR_JOIN_LEFT, WEIR_EEXISTS, "there is a column \"id\" already"},
        {"id", "id", "x +", WEIR_JOIN_LEFT, WEIR_EINVALID, "weir_join"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        weir_app *app = app_on(*state);
        weir_stream *left =
            weir_map(weir_table(app, "users", WEIR_JSON, wrong[i].left), "id, name");
        weir_stream *right = weir_table(app, "plans", WEIR_JSON, wrong[i].right);
        weir_to(weir_join(left, right, wrong[i].kind, NULL, wrong[i].columns), "out");
        refuse(app, wrong[i].code, wrong[i].part);
    }
    weir_app *app = app_on(*state);
    weir_to(weir_join(table(app, "users"), table(app, "plans"), WEIR_JOIN_LEFT, NULL, "x"), "out");
    refuse(app, WEIR_EINVALID, "with weir_map behind weir_latest");

    app = app_on(*state);
    weir_to(weir_rekey(join(app, WEIR_JOIN_LEFT), "plan"), "out");
    refuse(app, WEIR_EUNSUPPORTED, "weir_rekey behind weir_latest");
}

static uint64_t meaning_of(const char *dir, weir_join_kind kind, const char *columns)
{
    struct plan *compiled;
    struct diag diag = {0};
    weir_app *app = app_on(dir);
    weir_to(weir_join(named(app), table(app, "plans"), kind, NULL, columns), "out");
    if (plan_compile(app, &compiled, &diag) < 0)
        fail_msg("%s", diag.text);
    uint64_t meaning = compiled->views[0].state_hash;
    assert_int_equal(compiled->views[0].joined->state_hash, meaning);
    plan_destroy(compiled);
    weir_app_close(app);
    return meaning;
}

static void kind_and_columns_are_part_of_the_state(void **state)
{
    uint64_t inner = meaning_of(*state, WEIR_JOIN_INNER, "plan");
    assert_int_equal(inner, meaning_of(*state, WEIR_JOIN_INNER, "plan"));
    assert_int_not_equal(inner, meaning_of(*state, WEIR_JOIN_LEFT, "plan"));
    assert_int_not_equal(inner, meaning_of(*state, WEIR_JOIN_FULL, "plan"));
    assert_int_not_equal(inner, meaning_of(*state, WEIR_JOIN_INNER, "plan, n"));
}

static void both_tables_write_to_one_topic(void **state)
{
    struct log *log = fixture_open(*state);
    struct plan *plan;
    struct port *port;
    struct diag diag = {0};
    fixture_topic(log, "users", 2, "1048576");
    fixture_topic(log, "plans", 3, "1048576");
    log_close(log);
    weir_app *app = app_on(*state);
    weir_to(weir_filter(join(app, WEIR_JOIN_LEFT), "plan IS NULL"), "out");
    assert_int_equal(plan_compile(app, &plan, &diag), 0);
    assert_int_equal(port_log_open(*state, NULL, &port, &diag), 0);
    if (plan_place(plan, port, &diag) < 0)
        fail_msg("%s", diag.text);
    assert_int_equal(plan->stage_count, 3);
    for (int i = 0; i < 2; i++) {
        const struct stage *side = &plan->stages[i];
        assert_string_equal(side->name, i == 0 ? "out:users" : "out:plans");
        assert_string_equal(side->output_topic, "shop-out-repartition");
        assert_string_equal(side->changelog_topic, ""); /* only where they meet rows are kept */
        assert_string_equal(side->late_topic, "");
        assert_true(side->output == OUTPUT_SIDES && side->output_partitions == 3 &&
                    side->partitions == 2 + i);
    }
    const struct stage *second = &plan->stages[2];
    struct port_topic out;
    assert_string_equal(second->name, "out");
    assert_string_equal(second->input_topic, "shop-out-repartition");
    assert_string_equal(second->changelog_topic, "shop-out-changelog");
    assert_true(second->input == INPUT_SIDES && second->output == OUTPUT_TABLE &&
                second->upstream == 0 && second->upstream_count == 2 && second->partitions == 3);
    assert_string_equal(second->ops[0].type->name, "join_tables");
    assert_int_equal(second->op_count, 2);
    assert_int_equal(port->ops->topic_describe(port, "out", &out, &diag), 0);
    assert_int_equal(out.partitions, 3);
    plan_destroy(plan);
    port->ops->close(port);
    weir_app_close(app);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_no_pair_of_tables_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keys_and_columns_are_checked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(kind_and_columns_are_part_of_the_state, set_up, tear_down),
        cmocka_unit_test_setup_teardown(both_tables_write_to_one_topic, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
