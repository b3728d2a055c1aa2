/* test_join.c: rows that meet tables, against a model that is an array of plans.
 *
 * Live: in each round changes of the table and rows of the stream are written, and the engine runs
 * until it has nothing to do: all rows of the round meet the table behind its changes. Kills at any
 * place and restarts in between change nothing. until_end: both are read by time, and each row meets
 * what is no later than itself, whatever came first in the log. What a table's condition leaves out,
 * what a deletion takes away, and what is left over for the next run is in both. `weir verify`, which
 * knows nothing of the model, must find each of these directories right.
 *
 * Half of the rounds read the table by partition: then both topics lie by the user, rows that do not
 * are dead letters, and what a task keeps is its part of the table. */
#include "tests/support/draw.h"
#include "tests/support/drawn_kills.h"
#include "tests/support/random_json.h"
#include "tests/support/scratch_dir.h"
#include "tests/support/verified.h"
#include "runtime/base/hash.h"
#include "runtime/weir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define START INT64_C(1772442000000)

enum { USERS = 12, EVENTS_MAX = 4096, PARTITIONS = 3 };

struct model {
    int plans[USERS];    /* 0: no row */
    int met[EVENTS_MAX]; /* by event: the plan; 0: none */
    int events;
    bool by_partition;
    int misplaced; /* rows of either that lie elsewhere */
};

static weir_app *join_app(const weir_options *options, weir_join_kind kind, bool by_partition)
{
    weir_app *app = weir_app_open("join", options);
    weir_stream *users = weir_filter(weir_table(app, "users", WEIR_JSON, "id"), "plan < 90");
    weir_stream *events = weir_source(app, "events", WEIR_JSON, "ts");
    if (by_partition) {
        users = weir_table_partitioned(users);
        events = weir_partitioned_by(events, "uid");
    }
    weir_stream *joined = weir_join(events, users, kind, "uid", "plan, plan * 2 AS twice");
    weir_to(weir_map(joined, "n::bigint, plan::bigint, twice"), "met");
    weir_to(weir_aggregate(weir_group_by(joined, "plan::bigint AS plan"), "count(*) AS n"),
            "by-plan");
    return app;
}

/* Now and then a partition that a key does not belong in; else -1. */
static int32_t misplace(struct model *model, const char *key)
{
    int32_t right = murmur2_partition(key, strlen(key), PARTITIONS);
    if (!model->by_partition || draw(10) != 0)
        return -1;
    model->misplaced++;
    return (right + 1) % PARTITIONS;
}

static void send_user(weir_test *test, struct model *model, int64_t time_ms)
{
    char key[16], value[64];
    int user = (int)draw(USERS), plan = 1 + (int)draw(99);
    snprintf(key, sizeof key, "u%d", user);
    snprintf(value, sizeof value, "{\"id\":\"%s\",\"plan\":%d}", key, plan);
    bool gone = draw(5) == 0;
    int32_t elsewhere = misplace(model, key);
    ok(test, weir_test_send(test, "users", elsewhere, time_ms, key, gone ? NULL : value));
    if (elsewhere < 0)
        model->plans[user] = gone || plan >= 90 ? 0 : plan;
}

static void send_event(weir_test *test, struct model *model, int64_t time_ms)
{
    char value[96], key[16];
    int user = (int)draw(USERS + 2);
    int32_t partition = (int32_t)draw(2);
    snprintf(key, sizeof key, "u%d", user);
    snprintf(value, sizeof value, "{\"uid\":\"%s\",\"n\":%d,\"ts\":%lld}", key, model->events,
             (long long)time_ms);
    int32_t elsewhere = misplace(model, key);
    if (model->by_partition)
        partition = elsewhere;
    ok(test, weir_test_send(test, "events", partition, time_ms, key, value));
    if (elsewhere < 0)
        model->met[model->events++] = user < USERS ? model->plans[user] : 0;
}

/* Every event that met something, or all of them, once: in what has not been read. */
static void check_met(weir_test *test, const struct model *model, bool keeps_all)
{
    weir_record *records;
    size_t count, wanted = 0;
    char *seen = calloc((size_t)model->events + 1, 1);
    ok(test, weir_test_read(test, "met", &records, &count));
    for (size_t i = 0; i < count; i++) {
        char is[128], want[128];
        int n;
        snprintf(is, sizeof is, "%.*s", (int)records[i].value_size, (const char *)records[i].value);
        assert_int_equal(sscanf(is, "{\"n\":%d", &n), 1);
        assert_in_range(n, 0, model->events - 1);
        if (model->met[n] > 0)
            snprintf(want, sizeof want, "{\"n\":%d,\"plan\":%d,\"twice\":%d}", n, model->met[n],
                     2 * model->met[n]);
        else
            snprintf(want, sizeof want, "{\"n\":%d,\"plan\":null,\"twice\":null}", n);
        assert_string_equal(is, want);
        assert_int_equal(seen[n], 0);
        seen[n] = 1;
    }
    for (int n = 0; n < model->events; n++)
        wanted += keeps_all || model->met[n] > 0;
    assert_int_equal(count, wanted);
    weir_free(records);
    free(seen);
}

/* Behind a join, groups count what it gave. */
static void check_counts(weir_test *test, const struct model *model, bool keeps_all)
{
    for (int plan = 0; plan < 90; plan++) {
        char key[32], want[64], *json = NULL;
        int count = 0;
        for (int n = 0; n < model->events; n++)
            count += model->met[n] == plan;
        if (count == 0 || (plan == 0 && !keeps_all))
            continue;
        snprintf(key, sizeof key, plan > 0 ? "{\"plan\":%d}" : "{\"plan\":null}", plan);
        snprintf(want, sizeof want,
                 plan > 0 ? "{\"plan\":%d,\"n\":%d}" : "{\"plan\":null,\"n\":%d}",
                 plan > 0 ? plan : count, count);
        ok(test, weir_test_get(test, "by-plan", key, &json));
        assert_string_equal(json, want);
        weir_free(json);
    }
}

/* Of each misplaced row one for each of the two pipelines, whose tables are their own; the stream's rows are rejected by
 * the join, which each of them has. */
static void check_letters(weir_test *test, const struct model *model)
{
    weir_record *records;
    size_t count;
    ok(test, weir_test_read(test, "join.dlq", &records, &count));
    assert_int_equal(count, 2 * model->misplaced);
    weir_free(records);
}

static weir_test *open_test(weir_app *app, const char *dir, int32_t partitions)
{
    weir_test *test = NULL;
    weir_test_options options = {.data = dir, .start_ms = START, .partitions = partitions};
    if (weir_test_open(app, &options, &test) < 0)
        fail_msg("%s", weir_log_error());
    return test;
}

static void verify(const char *dir)
{
    assert_true(view_is_identical(dir, "join", "met"));
    assert_true(view_is_identical(dir, "join", "by-plan"));
}

/* All over again, from the log: tables and stream have long been written, and yet each row meets what it met. */
static void replay(weir_test *test, const struct model *model, bool keeps_all)
{
    weir_app *again = join_app(&(weir_options){.from_beginning = true,
                                               .threads = 1 + (int32_t)draw(2),
                                               .batch_rows = draw(2) ? 1 + (int32_t)draw(7) : 0},
                               keeps_all ? WEIR_JOIN_LEFT : WEIR_JOIN_INNER, model->by_partition);
    ok(test, weir_test_restart(test, again));
    ok(test, draw(2) ? weir_test_run(test) : weir_test_finish(test, false));
    if (model->events > 0)
        check_met(test, model, keeps_all);
    check_counts(test, model, keeps_all);
    ok(test, weir_test_close(test));
    weir_app_close(again);
}

static void live_rows_meet_what_came_before(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < 40; round++) {
        seed = round;
        bool keeps_all = draw(2);
        struct model model = {.by_partition = round % 2 == 1};
        char *dir = scratch_dir_create();
        weir_app *app = join_app(&(weir_options){.threads = 1 + (int32_t)draw(2),
                                                 .batch_rows = draw(2) ? 1 + (int32_t)draw(7) : 0},
                                 keeps_all ? WEIR_JOIN_LEFT : WEIR_JOIN_INNER, model.by_partition);
        weir_test *test = open_test(app, dir, PARTITIONS);
        for (int turn = 0; turn < 8; turn++) {
            for (uint32_t i = draw(12); i > 0; i--)
                send_user(test, &model, START);
            for (uint32_t i = draw(20); i > 0; i--)
                send_event(test, &model, START);
            run_through_kills(test, draw);
        }
        ok(test, weir_test_run(test));
        if (model.events > 0)
            check_met(test, &model, keeps_all);
        check_counts(test, &model, keeps_all);
        check_letters(test, &model);
        if (round % 3 == 0)
            ok(test, weir_test_close(test));
        else
            replay(test, &model, keeps_all);
        verify(dir);
        weir_app_close(app);
        scratch_dir_remove(dir);
    }
}

/* Times grow in the order in which model and log see them, but the table's rows of a turn are all
 * written before the stream's. */
static void until_end_rows_meet_what_is_not_later(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < 20; round++) {
        seed = 1000 + round;
        struct model model = {.events = 0};
        struct step {
            bool is_user;
            int user, plan;
        } steps[200];
        int64_t time_ms = START;
        char *dir = scratch_dir_create();
        weir_app *app = join_app(&(weir_options){.threads = 1 + (int32_t)draw(2),
                                                 .batch_rows = draw(2) ? 1 + (int32_t)draw(7) : 0},
                                 WEIR_JOIN_LEFT, round % 2 == 1);
        weir_test *test = open_test(app, dir, PARTITIONS);
        uint64_t before = seed;
        for (int pass = 0; pass < 2; pass++) { /* the same draws, the table's rows in the first */
            struct model again = {.events = 0};
            seed = before;
            for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
                int64_t at_ms = time_ms + (int64_t)(i / 2);
                int user = (int)draw(USERS), plan = 1 + (int)draw(99);
                bool is_user = draw(3) == 0 && i % 2 == 0; /* of equal times the table's is first */
                char key[16], value[96];
                snprintf(key, sizeof key, "u%d", user);
                if (is_user) {
                    snprintf(value, sizeof value, "{\"id\":\"%s\",\"plan\":%d}", key, plan);
                    again.plans[user] = plan % 7 == 0 || plan >= 90 ? 0 : plan;
                    if (pass == 0)
                        ok(test, weir_test_send(test, "users", -1, at_ms, key,
                                                plan % 7 == 0 ? NULL : value));
                    continue;
                }
                snprintf(value, sizeof value, "{\"uid\":\"%s\",\"n\":%d,\"ts\":%lld}", key,
                         again.events, (long long)START);
                int32_t partition = (int32_t)draw(2);
                if (round % 2 == 1)
                    partition = -1;
                if (pass == 1)
                    ok(test, weir_test_send(test, "events", partition, at_ms, key, value));
                again.met[again.events++] = again.plans[user];
            }
            model = again;
        }
        ok(test, weir_test_finish(test, false));
        check_met(test, &model, true);
        check_counts(test, &model, true);
        ok(test, weir_test_close(test));
        verify(dir);
        weir_app_close(app);
        scratch_dir_remove(dir);
    }
}

int main(void)
{
    scratch_dir_in_memory();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(live_rows_meet_what_came_before),
        cmocka_unit_test(until_end_rows_meet_what_is_not_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
