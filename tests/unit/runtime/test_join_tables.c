/* test_join_tables.c: joins of two tables, against a model that is two arrays of rows.
 *
 * Rows of both tables come, change, are left out by a condition and removed, with kills at any place
 * and restarts in between, few threads or batches of few rows. After each round the topics of an
 * inner, a left and a full join, folded to the last record of each key, are what the model's rows
 * give, down to the records' timestamps; so are groups over one of them and a join of two of them,
 * which read them as tables. At the end the app starts from the beginning and comes to the same. A
 * row that says what it said before writes nothing. */
#include "tests/support/draw.h"
#include "tests/support/drawn_kills.h"
#include "tests/support/folded_rows.h"
#include "tests/support/scratch_dir.h"
#include "tests/support/verified.h"
#include "runtime/weir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define START INT64_C(1772442000000)

enum { KEYS = 12, NAMES = 3, PLANS = 3, USERS = 0, PROFILES = 1 };

/* Of a user its name and whether it is active, of a profile its plan. */
struct row {
    bool is_there, is_active;
    int word;
    int64_t timestamp_ms; /* of the record since which it says what it says */
};
struct model {
    struct row tables[2][KEYS];
};

static weir_stream *users(weir_app *app)
{
    weir_stream *table = weir_filter(weir_table(app, "users", WEIR_JSON, "id"), "active");
    return weir_map(table, "id, name");
}

static weir_stream *profiles(weir_app *app)
{
    return weir_table(app, "profiles", WEIR_JSON, "id");
}

static weir_app *join_app(const weir_options *options)
{
    weir_app *app = weir_app_open("tables", options);
    weir_to(weir_join(users(app), profiles(app), WEIR_JOIN_INNER, NULL, "plan"), "both");
    weir_stream *left = weir_join(users(app), profiles(app), WEIR_JOIN_LEFT, NULL, "plan");
    weir_to(weir_filter(left, "plan IS NULL OR plan <> 'p0'"), "named");
    weir_stream *full =
        weir_join(users(app), profiles(app), WEIR_JOIN_FULL, NULL, "id AS pid, plan");
    weir_to(weir_map(full, "coalesce(id, pid) AS id, name, plan"), "all");
    weir_to(weir_aggregate(weir_group_by(weir_table(app, "named", WEIR_JSON, "id"), "plan"),
                           "count(*) AS n"),
            "by-plan");
    weir_stream *both = weir_map(weir_table(app, "both", WEIR_JSON, "id"), "id, plan");
    weir_to(
        weir_join(both, weir_table(app, "named", WEIR_JSON, "id"), WEIR_JOIN_LEFT, NULL, "name"),
        "again");
    return app;
}

/* ---- the model ---- */

static void text_of(char *text, size_t size, char letter, const struct row *row)
{
    if (row->is_there)
        snprintf(text, size, "\"%c%d\"", letter, row->word);
    else
        snprintf(text, size, "null");
}

static int64_t later_of(const struct row *a, const struct row *b)
{
    if (!a->is_there || !b->is_there)
        return a->is_there ? a->timestamp_ms : b->timestamp_ms;
    return a->timestamp_ms > b->timestamp_ms ? a->timestamp_ms : b->timestamp_ms;
}

static void add_result(struct folded_rows *rows, int id, const struct row *user,
                       const struct row *profile)
{
    char key[16], value[128], name[16], plan[16];
    snprintf(key, sizeof key, "k%d", id);
    text_of(name, sizeof name, 'n', user);
    text_of(plan, sizeof plan, 'p', profile);
    snprintf(value, sizeof value, "{\"id\":\"%s\",\"name\":%s,\"plan\":%s}", key, name, plan);
    folded_rows_add(rows, key, value);
    rows->items[rows->count - 1].timestamp_ms = later_of(user, profile);
}

static void add_again(struct folded_rows *rows, int id, const struct row *user,
                      const struct row *profile)
{
    char key[16], value[128], name[16];
    struct row none = {.is_there = false};
    snprintf(key, sizeof key, "k%d", id);
    text_of(name, sizeof name, 'n', profile->word != 0 ? user : &none);
    snprintf(value, sizeof value, "{\"id\":\"%s\",\"plan\":\"p%d\",\"name\":%s}", key,
             profile->word, name);
    folded_rows_add(rows, key, value);
}

static void check_plans(weir_test *test, const int counts[PLANS + 1])
{
    struct folded_rows plans = {.count = 0};
    for (int plan = 0; plan <= PLANS; plan++) {
        char key[32], value[64];
        if (counts[plan] == 0)
            continue;
        snprintf(key, sizeof key, plan == PLANS ? "{\"plan\":null}" : "p%d", plan);
        if (plan == PLANS)
            snprintf(value, sizeof value, "{\"plan\":null,\"n\":%d}", counts[plan]);
        else
            snprintf(value, sizeof value, "{\"plan\":\"p%d\",\"n\":%d}", plan, counts[plan]);
        folded_rows_add(&plans, key, value);
    }
    folded_rows_check(test, "by-plan", &plans);
}

static void check(weir_test *test, const struct model *model)
{
    struct folded_rows both = {.count = 0}, named = {.count = 0}, all = {.count = 0},
                       again = {.count = 0};
    int counts[PLANS + 1] = {0};
    for (int id = 0; id < KEYS; id++) {
        struct row user = model->tables[USERS][id];
        const struct row *profile = &model->tables[PROFILES][id];
        user.is_there &= user.is_active;
        if (user.is_there || profile->is_there)
            add_result(&all, id, &user, profile);
        if (user.is_there && profile->is_there) {
            add_result(&both, id, &user, profile);
            add_again(&again, id, &user, profile);
        }
        if (!user.is_there || (profile->is_there && profile->word == 0))
            continue;
        add_result(&named, id, &user, profile);
        counts[profile->is_there ? profile->word : PLANS]++;
    }
    folded_rows_check(test, "both", &both);
    folded_rows_check(test, "named", &named);
    folded_rows_check(test, "all", &all);
    folded_rows_check(test, "again", &again);
    check_plans(test, counts);
}

/* ---- the engine ---- */

static bool says_the_same(const struct row *a, const struct row *b)
{
    bool a_shown = a->is_there && a->is_active, b_shown = b->is_there && b->is_active;
    return a_shown == b_shown && (!a_shown || a->word == b->word);
}

static void send_row(weir_test *test, struct model *model)
{
    int table = (int)draw(2), id = (int)draw(KEYS);
    struct row *row = &model->tables[table][id];
    struct row next = {.is_there = draw(5) != 0,
                       .is_active = table == PROFILES || draw(5) != 0,
                       .word = (int)draw(table == USERS ? NAMES : PLANS),
                       .timestamp_ms = START + (int64_t)draw(100000)};
    char key[16], value[128];
    snprintf(key, sizeof key, "k%d", id);
    if (table == USERS)
        snprintf(value, sizeof value, "{\"id\":\"%s\",\"name\":\"n%d\",\"active\":%s,\"n\":%u}",
                 key, next.word, next.is_active ? "true" : "false", draw(9));
    else
        snprintf(value, sizeof value, "{\"id\":\"%s\",\"plan\":\"p%d\"}", key, next.word);
    ok(test, weir_test_send(test, table == USERS ? "users" : "profiles", -1, next.timestamp_ms, key,
                            next.is_there ? value : NULL));
    if (says_the_same(row, &next))
        next.timestamp_ms = row->timestamp_ms;
    *row = next;
}

static void both_sides_change(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < 16; round++) {
        seed = round;
        struct model model = {.tables = {{{0}}}};
        weir_app *app = join_app(&(weir_options){.threads = 1 + (int32_t)draw(2),
                                                 .batch_rows = draw(2) ? 1 + (int32_t)draw(7) : 0});
        weir_test *test = NULL;
        char *dir = scratch_dir_create();
        weir_test_options options = {.data = dir, .start_ms = START, .partitions = 3};
        if (weir_test_open(app, &options, &test) < 0)
            fail_msg("%s", weir_log_error());
        for (int turn = 0; turn < 8; turn++) {
            send_row(test, &model);
            for (uint32_t i = draw(24); i > 0; i--)
                send_row(test, &model);
            run_through_kills(test, draw);
            ok(test, weir_test_run(test));
            check(test, &model);
        }
        if (round % 4 == 0) {
            weir_app *again = join_app(&(weir_options){.from_beginning = true});
            ok(test, weir_test_restart(test, again));
            ok(test, weir_test_run(test));
            check(test, &model);
            weir_app_close(app);
            app = again;
        }
        ok(test, weir_test_close(test));
        static const char *const views[] = {"both", "named", "all", "again"};
        assert_true(view_is_identical(dir, "tables", views[round % 4]));
        weir_app_close(app);
        scratch_dir_remove(dir);
    }
}

static size_t count_records(weir_test *test, const char *topic)
{
    weir_record *records;
    size_t count;
    ok(test, weir_test_rewind(test, topic));
    ok(test, weir_test_read(test, topic, &records, &count));
    weir_free(records);
    return count;
}

static void send(weir_test *test, const char *topic, const char *value)
{
    ok(test, weir_test_send(test, topic, -1, START, "k0", value));
    ok(test, weir_test_run(test));
}

static void only_changes_are_written(void **state)
{
    (void)state;
    static const char user[] = "{\"id\":\"k0\",\"name\":\"n\",\"active\":true}";
    weir_app *app = join_app(NULL);
    weir_test *test = NULL;
    if (weir_test_open(app, &(weir_test_options){.start_ms = START}, &test) < 0)
        fail_msg("%s", weir_log_error());
    send(test, "profiles", "{\"id\":\"k0\",\"plan\":\"p\"}");
    assert_int_equal(count_records(test, "both"), 0);
    send(test, "users", NULL); /* there was none */
    assert_int_equal(count_records(test, "both"), 0);
    send(test, "users", user);
    assert_int_equal(count_records(test, "both"), 1);
    send(test, "users", user);
    send(test, "profiles", "{\"id\":\"k0\",\"plan\":\"p\",\"other\":1}");
    ok(test, weir_test_restart(test, NULL));
    send(test, "users", user);
    assert_int_equal(count_records(test, "both"), 1);
    send(test, "profiles", NULL);
    assert_int_equal(count_records(test, "both"), 2);
    send(test, "profiles", NULL);
    send(test, "users", NULL);
    assert_int_equal(count_records(test, "both"), 2);
    ok(test, weir_test_close(test));
    weir_app_close(app);
}

/* More keys than a batch holds, and less memory than they take. */
static void many_rows_are_joined(void **state)
{
    (void)state;
    enum { MANY = 20000 };
    weir_app *app = weir_app_open("many", &(weir_options){.memory_bytes = 16 << 20});
    weir_stream *left = weir_map(weir_table(app, "left", WEIR_JSON, "id"), "id, n::bigint AS n");
    weir_stream *joined = weir_join(left, weir_table(app, "right", WEIR_JSON, "id"),
                                    WEIR_JOIN_INNER, NULL, "n::bigint AS m");
    weir_to(weir_map(joined, "id, n, m, n + m AS total"), "out");
    weir_to(weir_aggregate(weir_group_by(weir_map(weir_table(app, "out", WEIR_JSON, "id"),
                                                  "'all' AS g, total::bigint AS total"),
                                         "g"),
                           "count(*) AS n, sum(total) AS total"),
            "sum");
    weir_test *test = NULL;
    if (weir_test_open(app, &(weir_test_options){.start_ms = START, .partitions = 2}, &test) < 0)
        fail_msg("%s", weir_log_error());
    for (int time = 0; time < 2; time++) {
        for (int i = 0; i < MANY; i++) {
            char key[16], value[64];
            snprintf(key, sizeof key, "key%d", i);
            snprintf(value, sizeof value, "{\"id\":\"%s\",\"n\":%d}", key, i);
            ok(test, weir_test_send(test, "left", -1, START, key, value));
            snprintf(value, sizeof value, "{\"id\":\"%s\",\"n\":%d}", key, time);
            ok(test, weir_test_send(test, "right", -1, START, key, value));
        }
        ok(test, weir_test_run(test));
    }
    struct folded_rows wanted = {.count = 0};
    folded_rows_add(&wanted, "all", "{\"g\":\"all\",\"n\":20000,\"total\":200010000}");
    folded_rows_check(test, "sum", &wanted);
    ok(test, weir_test_close(test));
    weir_app_close(app);
}

int main(void)
{
    scratch_dir_in_memory();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_changes_are_written),
        cmocka_unit_test(both_sides_change),
        cmocka_unit_test(many_rows_are_joined),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
