/* test_table.c: aggregates over tables, and tables as topics, against a model that is an array of rows.
 *
 * Rows of a table come, change, are left out by a condition and removed, with kills at any place and
 * restarts in between. After each round the topics, folded to the last record of each key, are what
 * the model's rows give when they are counted anew: groups without a row are not there, sums have the
 * digits of the rows that are. A second view reads the first one's changes as its table. At the end
 * the app starts from the beginning and comes to the same. */
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

enum { USERS = 15, PLANS = 4 };

struct user {
    bool is_there, is_active, has_score;
    int plan, score, scale; /* score / 10^scale */
};
static weir_app *table_app(const weir_options *options)
{
    weir_app *app = weir_app_open("table", options);
    weir_stream *users = weir_filter(weir_table(app, "users", WEIR_JSON, "id"), "active");
    weir_to(weir_map(users, "id, plan, score"), "active");
    weir_to(weir_aggregate(weir_group_by(users, "plan"),
                           "count(*) AS n, count(score) AS scored, sum(score) AS total, "
                           "min(score) AS low, max(score) AS high, "
                           "count(DISTINCT score) AS scores"),
            "by-plan");
    weir_to(weir_aggregate(weir_group_by(weir_table(app, "by-plan", WEIR_JSON, "plan"), "n"),
                           "count(*) AS plans, sum(scored) AS scored"),
            "by-count");
    return app;
}

static void print_decimal(char *text, size_t size, int coefficient, int scale)
{
    static const char *const forms[] = {"%s%d", "%s%d.%01d", "%s%d.%02d", "%s%d.%03d"};
    static const int units[] = {1, 10, 100, 1000};
    int magnitude = abs(coefficient);
    snprintf(text, size, forms[scale], coefficient < 0 ? "-" : "", magnitude / units[scale],
             magnitude % units[scale]);
}

static void send_user(weir_test *test, struct user *users)
{
    char key[16], value[192], score[64];
    int id = (int)draw(USERS);
    struct user *user = &users[id];
    snprintf(key, sizeof key, "u%d", id);
    *user = (struct user){.is_there = draw(5) != 0,
                          .is_active = draw(5) != 0,
                          .has_score = draw(4) != 0,
                          .plan = (int)draw(PLANS),
                          .score = draw(3) ? (int)draw(20000) - 10000 : ((int)draw(5) - 2) * 1000,
                          .scale = (int)draw(4)};
    print_decimal(score, sizeof score, user->score, user->scale);
    snprintf(value, sizeof value, "{\"id\":\"%s\",\"plan\":\"p%d\",\"active\":%s,\"score\":%s}",
             key, user->plan, user->is_active ? "true" : "false", user->has_score ? score : "null");
    ok(test, weir_test_send(test, "users", -1, START, key, user->is_there ? value : NULL));
}

static void model_active(const struct user *users, struct folded_rows *rows)
{
    for (int id = 0; id < USERS; id++) {
        char key[16], value[192], score[64];
        const struct user *user = &users[id];
        if (!user->is_there || !user->is_active)
            continue;
        snprintf(key, sizeof key, "u%d", id);
        print_decimal(score, sizeof score, user->score, user->scale);
        snprintf(value, sizeof value, "{\"id\":\"%s\",\"plan\":\"p%d\",\"score\":%s}", key,
                 user->plan, user->has_score ? score : "null");
        folded_rows_add(rows, key, value);
    }
}

/* In thousandths, so that equal scores are equal numbers. */
static int score_of(const struct user *user)
{
    static const int to_thousandths[] = {1000, 100, 10, 1};
    return user->score * to_thousandths[user->scale];
}

/* As min orders them: of equal ones a whole number, then by text. */
static int compare_scores(const struct user *a, const struct user *b)
{
    char text_a[64], text_b[64];
    int order = (score_of(a) > score_of(b)) - (score_of(a) < score_of(b));
    if (order != 0 || (a->scale == 0) != (b->scale == 0))
        return order != 0 ? order : a->scale == 0 ? -1 : 1;
    print_decimal(text_a, sizeof text_a, a->score, a->scale);
    print_decimal(text_b, sizeof text_b, b->score, b->scale);
    return strcmp(text_a, text_b);
}

static bool has_score_in(const struct user *user, int plan)
{
    return user->is_there && user->is_active && user->has_score && user->plan == plan;
}

/* The scores of one plan: the first and the last, printed, and how many different ones. */
static int model_scores(const struct user *users, int plan, char *low, char *high, size_t size)
{
    const struct user *first = NULL, *last = NULL;
    int different = 0;
    for (int id = 0; id < USERS; id++) {
        bool is_new = has_score_in(&users[id], plan);
        if (!is_new)
            continue;
        first = first == NULL || compare_scores(&users[id], first) < 0 ? &users[id] : first;
        last = last == NULL || compare_scores(&users[id], last) > 0 ? &users[id] : last;
        for (int other = 0; other < id; other++)
            is_new &= !has_score_in(&users[other], plan) ||
                      score_of(&users[other]) != score_of(&users[id]);
        different += is_new;
    }
    snprintf(low, size, "null");
    snprintf(high, size, "null");
    if (first != NULL) {
        print_decimal(low, size, first->score, first->scale);
        print_decimal(high, size, last->score, last->scale);
    }
    return different;
}

/* The rows of one plan: how many, how many have a score, and what those add up to. */
static void model_plan(const struct user *users, int plan, int *n, int *scored, char *total,
                       size_t size)
{
    int sum = 0, scale = 0;
    *n = *scored = 0;
    for (int id = 0; id < USERS; id++) {
        const struct user *user = &users[id];
        if (!user->is_there || !user->is_active || user->plan != plan)
            continue;
        ++*n;
        if (!user->has_score)
            continue;
        ++*scored;
        sum += score_of(user);
        scale = user->scale > scale ? user->scale : scale;
    }
    if (*scored == 0)
        snprintf(total, size, "null");
    else
        print_decimal(total, size, sum / score_of(&(struct user){.score = 1, .scale = scale}),
                      scale);
}

static void model_plans(const struct user *users, struct folded_rows *rows,
                        struct folded_rows *counts)
{
    int plans[USERS + 1] = {0}, scores[USERS + 1] = {0};
    for (int plan = 0; plan < PLANS; plan++) {
        char key[16], value[256], total[32], low[32], high[32];
        int n, scored, different = model_scores(users, plan, low, high, sizeof low);
        model_plan(users, plan, &n, &scored, total, sizeof total);
        if (n == 0)
            continue;
        snprintf(key, sizeof key, "p%d", plan);
        snprintf(value, sizeof value,
                 "{\"plan\":\"%s\",\"n\":%d,\"scored\":%d,\"total\":%s,\"low\":%s,\"high\":%s,"
                 "\"scores\":%d}",
                 key, n, scored, total, low, high, different);
        folded_rows_add(rows, key, value);
        plans[n]++;
        scores[n] += scored;
    }
    for (int n = 1; n <= USERS; n++) {
        char key[32], value[128];
        if (plans[n] == 0)
            continue;
        snprintf(key, sizeof key, "{\"n\":%d}", n);
        snprintf(value, sizeof value, "{\"n\":%d,\"plans\":%d,\"scored\":%d}", n, plans[n],
                 scores[n]);
        folded_rows_add(counts, key, value);
    }
}

static void check(weir_test *test, const struct user *users)
{
    struct folded_rows active = {.count = 0}, plans = {.count = 0}, counts = {.count = 0};
    model_active(users, &active);
    model_plans(users, &plans, &counts);
    folded_rows_check(test, "active", &active);
    folded_rows_check(test, "by-plan", &plans);
    folded_rows_check(test, "by-count", &counts);
}

static void changes_are_taken_back(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < 16; round++) {
        seed = round;
        struct user users[USERS] = {{0}};
        char *dir = scratch_dir_create();
        weir_app *app = table_app(&(weir_options){
            .threads = 1 + (int32_t)draw(2), .batch_rows = draw(2) ? 1 + (int32_t)draw(7) : 0});
        weir_test *test = NULL;
        weir_test_options options = {.data = dir, .start_ms = START, .partitions = 3};
        if (weir_test_open(app, &options, &test) < 0)
            fail_msg("%s", weir_log_error());
        for (int turn = 0; turn < 8; turn++) {
            send_user(test, users);
            for (uint32_t i = draw(16); i > 0; i--)
                send_user(test, users);
            run_through_kills(test, draw);
            ok(test, weir_test_run(test));
            check(test, users);
        }
        if (round % 4 == 0) {
            weir_app *again = table_app(&(weir_options){.from_beginning = true});
            ok(test, weir_test_restart(test, again));
            ok(test, weir_test_run(test));
            check(test, users);
            weir_app_close(app);
            app = again;
        }
        ok(test, weir_test_close(test));
        assert_true(view_is_identical(dir, "table", "active"));
        assert_true(view_is_identical(dir, "table", "by-plan"));
        assert_true(view_is_identical(dir, "table", "by-count"));
        weir_app_close(app);
        scratch_dir_remove(dir);
    }
}

/* A batch of changes gives up to twice as many rows. Each round takes all values that min knows, the
 * least first, with memory for a part of them. */
static void large_batches_change_all_their_rows(void **state)
{
    (void)state;
    enum { KEYS = 9000, TIMES = 3 };
    struct folded_rows came = {.count = 0};
    weir_app *app = table_app(&(weir_options){
        .threads = 1, .memory_bytes = 1 << 20, .commit_interval_ms = 1, .batch_rows = 500});
    weir_test *test = NULL;
    if (weir_test_open(app, &(weir_test_options){.start_ms = START, .partitions = 1}, &test) < 0)
        fail_msg("%s", weir_log_error());
    for (int time = 0; time < TIMES; time++)
        for (int i = 0; i < KEYS; i++) {
            char key[16], value[96];
            snprintf(key, sizeof key, "k%d", i);
            snprintf(value, sizeof value,
                     "{\"id\":\"%s\",\"plan\":\"p%d\",\"active\":true,\"score\":%d}", key,
                     time < TIMES - 1 ? i % PLANS : 0, time * KEYS + i);
            ok(test, weir_test_send(test, "users", 0, START, key, value));
        }
    ok(test, weir_test_run(test));
    folded_rows_read(test, "by-plan", &came);
    assert_int_equal(came.count, 1);
    assert_string_equal(came.items[0].value,
                        "{\"plan\":\"p0\",\"n\":9000,\"scored\":9000,\"total\":202495500,"
                        "\"low\":18000,\"high\":26999,\"scores\":9000}");
    ok(test, weir_test_close(test));
    weir_app_close(app);
}

int main(void)
{
    scratch_dir_in_memory();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(large_batches_change_all_their_rows),
        cmocka_unit_test(changes_are_taken_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
