/* test_join_within.c: two streams that are joined by key and time, against a nested loop over all
 * rows that were in time.
 *
 * Orders and payments are written to partitions in an order that is drawn, with times that go back
 * and forth, so that some are late by their own partition's rows; the right side may be two topics
 * that are merged. The engine runs in turns, is killed at places that are drawn, restarted, and has
 * little memory or small batches. Whatever happened, the results are those of the model, each once,
 * and no group that goes by the time of a side, behind the topic of the results, finds one late. */
#include "tests/support/draw.h"
#include "tests/support/drawn_kills.h"
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

enum { ROWS_MAX = 600, KEYS = 6, PARTITIONS = 3, TOPICS = 3, LATENESS_MS = 5000 };
static const char *const topics[TOPICS] = {"orders", "cards", "cash"};

struct row {
    int n, key; /* key -1: NULL */
    int64_t time_ms;
    bool is_left, is_late;
};

struct model {
    struct row rows[ROWS_MAX];
    int count;
    int64_t newest_ms[TOPICS][PARTITIONS];
    int64_t before_ms, after_ms;
    bool is_left_join;
    int keys; /* with one, many rows of it are kept together */
    int results, late, unmatched;
};

static void model_init(struct model *model)
{
    for (int t = 0; t < TOPICS; t++)
        for (int p = 0; p < PARTITIONS; p++)
            model->newest_ms[t][p] = INT64_MIN / 2;
}

static weir_stream *source(weir_app *app, const char *topic, int64_t idle_ms)
{
    return weir_idle_close(weir_lateness(weir_source(app, topic, WEIR_JSON, "ts"), LATENESS_MS),
                           idle_ms);
}

/* The joined rows, and groups over their topic by the time of the left side. */
static weir_app *join_app(const weir_options *options, const struct model *model, bool is_merged,
                          int64_t idle_ms)
{
    weir_app *app = weir_app_open("meeting", options);
    weir_stream *right[] = {source(app, "cards", idle_ms), NULL};
    if (is_merged)
        right[1] = source(app, "cash", idle_ms);
    weir_stream *joined = weir_join_within(
        source(app, "orders", idle_ms), is_merged ? weir_merge(right, 2) : right[0],
        &(weir_within){.kind = model->is_left_join ? WEIR_JOIN_LEFT : WEIR_JOIN_INNER,
                       .on_left = "k",
                       .on_right = "k",
                       .columns_left = "n::bigint AS l, ts AS at, pad AS wide",
                       .columns_right = "n::bigint AS r, pad",
                       .before_ms = model->before_ms,
                       .after_ms = model->after_ms});
    weir_to(weir_map(joined, "l, r, at"), "met");
    weir_stream *met = weir_lateness(weir_source(app, "met", WEIR_JSON, "at"), 0);
    weir_to(weir_aggregate(weir_tumbling(weir_group_by(met, "l::bigint % 3 AS third"), 2000),
                           "count(*) AS n"),
            "counted");
    return app;
}

static void send_row(weir_test *test, struct model *model, bool is_merged, int64_t now_ms)
{
    static const char pad[] =
        "0123456789012345678901234567890123456789012345678901234567890123456789";
    char value[256], key[16] = "null";
    int topic = (int)draw(is_merged ? 3 : 2), partition = (int)draw(PARTITIONS);
    struct row *row = &model->rows[model->count];
    *row = (struct row){.n = model->count++,
                        .key = (int)draw((uint32_t)model->keys + 1) - 1,
                        .time_ms = now_ms - (int64_t)draw(9000),
                        .is_left = topic == 0};
    int64_t *newest_ms = &model->newest_ms[topic][partition];
    if (row->time_ms > *newest_ms)
        *newest_ms = row->time_ms;
    row->is_late = row->time_ms < *newest_ms - LATENESS_MS;
    if (row->key >= 0)
        snprintf(key, sizeof key, draw(2) ? "%d" : "%d.0", row->key);
    bool is_unmatched = row->key < 0 && !(row->is_left && model->is_left_join);
    model->unmatched += is_unmatched;
    model->late += row->is_late && !is_unmatched;
    snprintf(value, sizeof value, "{\"k\":%s,\"n\":%d,\"ts\":%lld,\"pad\":\"%s\"}", key, row->n,
             (long long)row->time_ms, pad);
    ok(test, weir_test_send(test, topics[topic], partition, START + 1000000, NULL, value));
}

static bool are_pair(const struct model *model, const struct row *left, const struct row *right)
{
    return left->is_left && !right->is_left && !left->is_late && !right->is_late &&
           left->key >= 0 && left->key == right->key &&
           right->time_ms >= left->time_ms - model->before_ms &&
           right->time_ms <= left->time_ms + model->after_ms;
}

/* How often each left row was seen with each right one; the last column: alone. */
static void check_met(weir_test *test, struct model *model)
{
    weir_record *records;
    size_t count, wanted = 0, rows = (size_t)model->count;
    uint8_t *seen = calloc(rows * (rows + 1) + 1, 1);
    ok(test, weir_test_rewind(test, "met"));
    ok(test, weir_test_read(test, "met", &records, &count));
    for (size_t i = 0; i < count; i++) {
        char text[128];
        int l, r;
        snprintf(text, sizeof text, "%.*s", (int)records[i].value_size,
                 (const char *)records[i].value);
        const char *right = strstr(text, "\"r\":");
        assert_int_equal(sscanf(text, "{\"l\":%d", &l), 1);
        assert_non_null(right);
        r = strncmp(right + 4, "null", 4) == 0 ? model->count : atoi(right + 4);
        assert_in_range(l, 0, model->count - 1);
        assert_in_range(r, 0, model->count);
        assert_int_equal(seen[(size_t)l * (rows + 1) + (size_t)r]++, 0);
    }
    for (size_t l = 0; l < rows; l++) {
        bool is_alone = model->is_left_join && model->rows[l].is_left && !model->rows[l].is_late;
        for (size_t r = 0; r < rows; r++) {
            bool is_met = are_pair(model, &model->rows[l], &model->rows[r]);
            assert_int_equal(seen[l * (rows + 1) + r], is_met);
            wanted += is_met;
            is_alone = is_alone && !is_met;
        }
        assert_int_equal(seen[l * (rows + 1) + rows], is_alone);
        wanted += is_alone;
    }
    assert_int_equal(count, wanted);
    model->results = (int)count;
    weir_free(records);
    free(seen);
}

/* 0 for a topic that nothing has made. */
static size_t records_in(weir_test *test, const char *topic)
{
    weir_record *records = NULL;
    size_t count = 0;
    ok(test, weir_test_rewind(test, topic));
    ok(test, weir_test_read(test, topic, &records, &count));
    weir_free(records);
    return count;
}

/* The last count of each group and window, together: all results were counted once. */
static void check_counted(weir_test *test, const struct model *model)
{
    weir_record *records;
    size_t count;
    int total = 0;
    ok(test, weir_test_rewind(test, "counted"));
    ok(test, weir_test_read(test, "counted", &records, &count));
    for (size_t i = 0; i < count; i++) {
        bool is_last = true;
        for (size_t j = i + 1; j < count && is_last; j++)
            is_last = records[i].key_size != records[j].key_size ||
                      memcmp(records[i].key, records[j].key, records[i].key_size) != 0;
        char text[256];
        snprintf(text, sizeof text, "%.*s", (int)records[i].value_size,
                 (const char *)records[i].value);
        const char *n = strstr(text, "\"n\":");
        assert_non_null(n);
        total += is_last ? atoi(n + 4) : 0;
    }
    assert_int_equal(records_in(test, "counted.late"), 0);
    assert_int_equal(total, model->results);
    weir_free(records);
}

/* dir NULL: one that goes with the test. */
static weir_test *open_test(weir_app *app, const char *dir)
{
    weir_test *test = NULL;
    weir_test_options options = {.data = dir, .start_ms = START, .partitions = PARTITIONS};
    if (weir_test_open(app, &options, &test) < 0)
        fail_msg("%s", weir_log_error());
    return test;
}

/* One that does not end is stopped, or dies, with rows on their way and others that wait. */
static void one_round(uint64_t round, bool ends)
{
    char *dir = scratch_dir_create();
    static const int64_t spans_ms[] = {0, 1, 700, 3000, 20000};
    struct model model = {.count = 0};
    seed = round;
    model_init(&model);
    model.is_left_join = draw(2);
    model.keys = draw(3) == 0 ? 1 : KEYS;
    model.before_ms = spans_ms[draw(5)];
    model.after_ms = spans_ms[draw(5)];
    bool is_merged = draw(3) == 0;
    weir_options options = {.threads = 1 + (int32_t)draw(2),
                            .batch_rows = draw(2) ? 1 + (int32_t)draw(7) : 0,
                            .memory_bytes = draw(3) == 0 ? 1 << 20 : 0};
    weir_app *app = join_app(&options, &model, is_merged, 0);
    weir_test *test = open_test(app, dir);
    int64_t now_ms = START;
    for (int turn = 0; turn < 7; turn++) {
        for (uint32_t i = 5 + draw(60); i > 0; i--) {
            send_row(test, &model, is_merged, now_ms);
            now_ms += draw(400);
        }
        run_through_kills(test, draw);
        if (draw(3) == 0)
            ok(test, weir_test_advance(test, WEIR_SECONDS(30)));
    }
    if (ends) {
        ok(test, weir_test_finish(test, true));
        check_met(test, &model);
        check_counted(test, &model);
        assert_int_equal(records_in(test, "met.late"), model.late);
    } else {
        send_row(test, &model, is_merged, now_ms);
        for (uint32_t i = draw(6); i > 0; i--)
            ok(test, weir_test_step(test, NULL));
        if (draw(2))
            ok(test, weir_test_kill(test));
    }
    ok(test, weir_test_close(test));
    assert_true(view_is_identical(dir, "meeting", "met"));
    assert_true(view_is_identical(dir, "meeting", "counted"));
    weir_app_close(app);
    scratch_dir_remove(dir);
}

static void verify_agrees_whenever_it_is_asked(void **state)
{
    (void)state;
    for (uint64_t round = 200; round < 215; round++)
        one_round(round, false);
}

static void pairs_are_those_of_a_nested_loop(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < 25; round++)
        one_round(round, true);
}

/* What a kill does not change is counted in weir_progress: without kills, all rows of a run. */
static void every_row_is_accounted_for(void **state)
{
    (void)state;
    for (uint64_t round = 100; round < 104; round++) {
        struct model model = {
            .before_ms = 1000, .after_ms = 3000, .is_left_join = round % 2, .keys = KEYS};
        weir_progress progress;
        seed = round;
        model_init(&model);
        weir_app *app = join_app(NULL, &model, false, 0);
        weir_test *test = open_test(app, NULL);
        for (int i = 0; i < 200; i++)
            send_row(test, &model, false, START + i * 150);
        ok(test, weir_test_finish(test, true));
        weir_app_progress(app, &progress);
        check_met(test, &model);
        assert_true(model.late > 0 && model.unmatched > 0);
        assert_int_equal(progress.rows_late, model.late);
        assert_int_equal(progress.rows_unmatched, model.unmatched);
        /* Behind the topic of the results, the groups' rows are counted as well. */
        assert_int_equal(progress.rows_in, model.count + model.results);
        assert_int_equal(progress.rows_applied,
                         model.count - model.late - model.unmatched + model.results);
        ok(test, weir_test_close(test));
        weir_app_close(app);
    }
}

/* A left row comes out alone when both sources have been silent for long enough. */
static void silent_sources_let_rows_go(void **state)
{
    struct model model = {.after_ms = WEIR_MINUTES(1), .is_left_join = true};
    (void)state;
    weir_app *app = join_app(NULL, &model, false, WEIR_SECONDS(10));
    weir_test *test = open_test(app, NULL);
    char value[96];
    for (int p = 0; p < PARTITIONS; p++) {
        snprintf(value, sizeof value, "{\"k\":%d,\"n\":%d,\"ts\":%lld}", p, p, (long long)START);
        ok(test, weir_test_send(test, "orders", p, START, NULL, value));
        if (p == 1)
            ok(test, weir_test_send(test, "cards", p, START, NULL, value));
    }
    ok(test, weir_test_run(test));
    assert_int_equal(records_in(test, "met"), 1);
    ok(test, weir_test_advance(test, WEIR_SECONDS(30)));
    ok(test, weir_test_run(test));
    assert_int_equal(records_in(test, "met"), 1); /* a partner may come for a minute */
    for (int i = 0; i < 20; i++) {
        ok(test, weir_test_advance(test, WEIR_SECONDS(10)));
        ok(test, weir_test_run(test));
    }
    assert_int_equal(records_in(test, "met"), 3);
    ok(test, weir_test_close(test));
    weir_app_close(app);
}

int main(void)
{
    scratch_dir_in_memory();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verify_agrees_whenever_it_is_asked),
        cmocka_unit_test(pairs_are_those_of_a_nested_loop),
        cmocka_unit_test(every_row_is_accounted_for),
        cmocka_unit_test(silent_sources_let_rows_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
