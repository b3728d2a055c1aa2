/* test_shared_read.c: pipelines that read one topic alike share a read, and nobody can tell by what they write.
 *
 * That they share is told by a counter, of which a test says what it must be. That nobody can tell is
 * held against a model of what was sent: pipelines are paused, die, fail, come later, and run with
 * other threads and batches, and each topic must hold what its own steps make of the rows. */
#include "tests/support/draw.h"
#include "tests/support/drawn_kills.h"
#include "tests/support/scratch_dir.h"
#include "tests/support/weir_fixture.h"
#include "runtime/base/arena.h"
#include "runtime/shared_read.h"
#include "runtime/weir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define START INT64_C(1772442000000)

enum { ROWS_MAX = 4096, PARTITIONS = 2, USERS = 5 };

/* ---- what is sent ---- */

struct row {
    int partition, number, user;
    bool is_bad;
};
struct model {
    struct row rows[ROWS_MAX];
    int count;
    bool has_no_bad_rows;
};

static void send(weir_test *test, struct model *model, int partition)
{
    char text[96];
    struct row *row = &model->rows[model->count];
    *row = (struct row){partition, (int)draw(100), (int)draw(USERS),
                        !model->has_no_bad_rows && draw(8) == 0};
    snprintf(text, sizeof text, "{\"i\":%d,\"n\":%s%d,\"u\":\"user-%d\"}", model->count,
             row->is_bad ? "-" : "", row->number + 1, row->user);
    ok(test, weir_test_send(test, "events", partition, START + model->count++ * 1000, NULL, text));
}

/* ---- pipelines ---- */

enum { EVEN = 1, PER_USER = 2, ALL_ROWS = 4, WINDOWS = 8, EVERY = 15, JOINED = 16 };
static const char *const topics[] = {"even", "per-user", "all-rows", "windows", "joined"};

/* The same beginning each time, of nodes of its own. */
static weir_stream *declared(weir_app *app)
{
    weir_stream *rows =
        weir_map(weir_source(app, "events", WEIR_JSON, NULL),
                 "CAST(i AS bigint) AS i, CAST(n AS bigint) AS n, CAST(u AS text) AS u");
    return weir_check(rows, "n > 0", "negative");
}

static weir_app *build(uint32_t which, int threads, int batch_rows)
{
    weir_app *app =
        weir_app_open("shared", &(weir_options){.threads = threads, .batch_rows = batch_rows});
    if (which & EVEN)
        weir_to(weir_filter(declared(app), "n % 2 = 0"), "even");
    if (which & PER_USER)
        weir_to(weir_aggregate(weir_group_by(declared(app), "u"), "count(*) AS c, sum(n) AS s"),
                "per-user");
    if (which & ALL_ROWS)
        weir_to(declared(app), "all-rows");
    if (which & WINDOWS)
        weir_to(weir_aggregate(weir_tumbling(weir_group_by(declared(app), "u"), 60000),
                               "count(*) AS c, sum(n) AS s"),
                "windows");
    if (which & JOINED)
        weir_to(weir_join(declared(app), weir_table(app, "users", WEIR_JSON, "id"), WEIR_JOIN_INNER,
                          "u", "name"),
                "joined");
    return app;
}

static weir_test *open_test(weir_app *app, int partitions)
{
    weir_test *test = NULL;
    if (weir_test_open(app, &(weir_test_options){.start_ms = START, .partitions = partitions},
                       &test) < 0)
        fail_msg("%s", weir_log_error());
    return test;
}

/* ---- the counter ---- */

/* What the family says of the stage, over its partitions. */
static int64_t counted(weir_app *app, const char *family, const char *stage)
{
    char *text, wanted[64];
    int64_t sum = 0;
    size_t size = strlen(family);
    assert_int_equal(weir_app_metrics(app, &text), 0);
    snprintf(wanted, sizeof wanted, "stage=\"%s\"", stage);
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"))
        if (strncmp(line, family, size) == 0 && line[size] == '{' && strstr(line, wanted) != NULL)
            sum += strtoll(strrchr(line, ' '), NULL, 10);
    weir_free(text);
    return sum;
}

static int64_t shared(weir_app *app, const char *stage)
{
    return counted(app, "weir_rows_shared_total", stage);
}

/* ---- reads for nothing ---- */

static _Atomic int64_t useless_reads; /* of all workers */

int __real_shared_read_next(struct shared_read *read, int64_t from, uint32_t max_rows,
                            int64_t target, struct diag *diag);
int __wrap_shared_read_next(struct shared_read *read, int64_t from, uint32_t max_rows,
                            int64_t target, struct diag *diag);
int __wrap_shared_read_next(struct shared_read *read, int64_t from, uint32_t max_rows,
                            int64_t target, struct diag *diag)
{
    int rc = __real_shared_read_next(read, from, max_rows, target, diag);
    useless_reads += rc > 0 && read->next == from;
    return rc;
}

/* ---- what must come out ---- */

static int64_t member(const weir_record *record, const char *name)
{
    char pattern[32];
    snprintf(pattern, sizeof pattern, "\"%s\":", name);
    const char *value = record->value,
               *at = memmem(value, record->value_size, pattern, strlen(pattern));
    assert_non_null(at);
    return strtoll(at + strlen(pattern), NULL, 10);
}

static bool is_wanted(const struct row *row, bool only_even)
{
    return !row->is_bad && (!only_even || (row->number + 1) % 2 == 0);
}

/* Each row once, those of a partition in their order. */
static void check_rows(weir_test *test, const struct model *model, const char *topic,
                       bool only_even)
{
    weir_record *records;
    size_t count, wanted = 0;
    int last[PARTITIONS] = {-1, -1};
    for (int i = 0; i < model->count; i++)
        wanted += is_wanted(&model->rows[i], only_even);
    ok(test, weir_test_rewind(test, topic));
    ok(test, weir_test_read(test, topic, &records, &count));
    if (count != wanted)
        fail_msg("%s: %zu rows in place of %zu", topic, count, wanted);
    for (size_t r = 0; r < count; r++) {
        int i = (int)member(&records[r], "i");
        assert_in_range(i, 0, model->count - 1);
        const struct row *row = &model->rows[i];
        assert_true(is_wanted(row, only_even));
        assert_int_equal(member(&records[r], "n"), row->number + 1);
        assert_true(i > last[row->partition]);
        last[row->partition] = i;
    }
    weir_free(records);
}

static void check_users(weir_test *test, const struct model *model)
{
    for (int user = 0; user < USERS; user++) {
        char key[16], wanted[96], *json;
        int64_t rows = 0, sum = 0;
        for (int i = 0; i < model->count; i++)
            if (model->rows[i].user == user && !model->rows[i].is_bad) {
                rows++;
                sum += model->rows[i].number + 1;
            }
        snprintf(key, sizeof key, "user-%d", user);
        snprintf(wanted, sizeof wanted, "{\"u\":\"%s\",\"c\":%lld,\"s\":%lld}", key,
                 (long long)rows, (long long)sum);
        ok(test, weir_test_get(test, "per-user", key, &json));
        if (rows > 0)
            assert_string_equal(json, wanted);
        weir_free(json);
    }
}

/* Rows that are bad for all are one letter of the app. */
static void check_letters(weir_test *test, const struct model *model)
{
    weir_record *records;
    size_t count, wanted = 0;
    for (int i = 0; i < model->count; i++)
        wanted += model->rows[i].is_bad;
    ok(test, weir_test_rewind(test, "shared.dlq"));
    ok(test, weir_test_read(test, "shared.dlq", &records, &count));
    assert_int_equal(count, wanted);
    weir_free(records);
}

static void check(weir_test *test, const struct model *model, uint32_t which)
{
    if (which & EVEN)
        check_rows(test, model, "even", true);
    if (which & ALL_ROWS)
        check_rows(test, model, "all-rows", false);
    if (which & PER_USER)
        check_users(test, model);
    check_letters(test, model);
}

static void close_test(weir_test *test, weir_app *app)
{
    ok(test, weir_test_close(test));
    weir_app_close(app);
}

static void send_users(weir_test *test)
{
    for (int user = 0; user < USERS; user++) {
        char key[16], value[64];
        snprintf(key, sizeof key, "user-%d", user);
        snprintf(value, sizeof value, "{\"id\":\"%s\",\"name\":\"n\"}", key);
        ok(test, weir_test_send(test, "users", -1, START, key, value));
    }
}

/* ---- tests ---- */

static void one_of_four_decodes(void **state)
{
    static const char *const stages[] = {"even", "per-user", "all-rows", "windows"};
    struct model *model = calloc(1, sizeof *model);
    weir_app *app = build(EVERY, 1, 0);
    weir_test *test = open_test(app, 1);
    int64_t sum = 0;
    (void)state;
    seed = 1;
    for (int i = 0; i < 3000; i++)
        send(test, model, 0);
    ok(test, weir_test_run(test));
    for (int i = 0; i < 4; i++) {
        assert_int_equal(counted(app, "weir_rows_in_total", stages[i]), 3000);
        sum += shared(app, stages[i]);
    }
    assert_int_equal(sum, 3 * 3000);
    assert_int_equal(shared(app, "even"), 0);
    check(test, model, EVEN | PER_USER | ALL_ROWS);
    close_test(test, app);
    free(model);
}

/* Nothing is shared by who reads other fields, another event time, or alone. */
static void other_sources_are_read_apart(void **state)
{
    struct model *model = calloc(1, sizeof *model);
    weir_app *app = weir_app_open("shared", NULL);
    (void)state;
    weir_to(weir_map(weir_source(app, "events", WEIR_JSON, NULL), "i::bigint AS i"), "one");
    weir_to(weir_map(weir_source(app, "events", WEIR_JSON, NULL), "n::bigint AS n"), "two");
    weir_to(weir_map(weir_source(app, "events", WEIR_JSON, "i"), "i::bigint AS i"), "three");
    weir_test *test = open_test(app, 1);
    for (int i = 0; i < 100; i++)
        send(test, model, 0);
    ok(test, weir_test_run(test));
    assert_int_equal(shared(app, "one") + shared(app, "two") + shared(app, "three"), 0);
    assert_int_equal(counted(app, "weir_rows_in_total", "two"), 100);
    close_test(test, app);
    free(model);
}

static void who_was_paused_meets_the_others_again(void **state)
{
    struct model *model = calloc(1, sizeof *model);
    weir_app *app = build(EVEN | ALL_ROWS, 1, 0);
    weir_test *test = open_test(app, 1);
    (void)state;
    seed = 2;
    for (int turn = 0; turn < 4; turn++) {
        if (turn == 1)
            assert_int_equal(weir_app_pause(app, "all-rows"), 0);
        if (turn == 2) {
            assert_int_equal(weir_app_resume(app, "all-rows"), 0);
            ok(test, weir_test_run(test));
        }
        for (int i = 0; i < 500; i++)
            send(test, model, 0);
        ok(test, weir_test_run(test));
    }
    assert_int_equal(shared(app, "even"), 0);
    assert_int_equal(shared(app, "all-rows"), 1500); /* all but what came in the second turn */
    check(test, model, EVEN | ALL_ROWS);
    close_test(test, app);
    free(model);
}

/* Far behind, and with other batches, a new one catches up and goes on with the others. */
static void who_comes_later_reads_up_to_the_others(void **state)
{
    struct model *model = calloc(1, sizeof *model);
    weir_app *app = build(EVEN | PER_USER, 1, 100), *with = build(EVERY, 1, 100);
    weir_test *test = open_test(app, 1);
    (void)state;
    seed = 3;
    for (int i = 0; i < 1050; i++)
        send(test, model, 0);
    ok(test, weir_test_run(test));
    ok(test, weir_test_restart(test, with));
    for (int i = 0; i < 333; i++)
        send(test, model, 0);
    ok(test, weir_test_run(test));
    assert_int_equal(shared(with, "even") + shared(with, "per-user") + shared(with, "all-rows") +
                         shared(with, "windows"),
                     1050 + 3 * 333); /* the two new ones by themselves first */
    check(test, model, EVEN | PER_USER | ALL_ROWS);
    ok(test, weir_test_close(test));
    weir_app_close(app);
    weir_app_close(with);
    free(model);
}

/* Two that are behind read together up to where the third one stands, and wait for it there. */
static void those_behind_meet_the_one_ahead(void **state)
{
    struct model *model = calloc(1, sizeof *model);
    weir_app *app = build(EVEN | PER_USER | ALL_ROWS, 1, 100);
    weir_test *test = open_test(app, 1);
    (void)state;
    seed = 5;
    assert_int_equal(weir_app_pause(app, "even"), 0);
    assert_int_equal(weir_app_pause(app, "all-rows"), 0);
    for (int i = 0; i < 150; i++)
        send(test, model, 0);
    ok(test, weir_test_run(test));
    for (int i = 0; i < 350; i++)
        send(test, model, 0);
    ok(test, weir_test_flush(test));
    assert_int_equal(weir_app_resume(app, "even"), 0);
    assert_int_equal(weir_app_resume(app, "all-rows"), 0);
    useless_reads = 0;
    ok(test, weir_test_run(test));
    assert_int_equal(useless_reads, 0);
    assert_int_equal(shared(app, "even") + shared(app, "per-user") + shared(app, "all-rows"),
                     150 + 2 * 350);
    check(test, model, EVEN | PER_USER | ALL_ROWS);
    close_test(test, app);
    free(model);
}

/* A pipeline that joins with a table shares as well. */
static void who_joins_shares(void **state)
{
    struct model *model = calloc(1, sizeof *model);
    weir_app *app = build(EVEN | JOINED, 1, 100);
    weir_test *test = open_test(app, 1);
    (void)state;
    seed = 4;
    send_users(test);
    ok(test, weir_test_run(test));
    for (int i = 0; i < 1000; i++)
        send(test, model, 0);
    ok(test, weir_test_run(test));
    assert_int_equal(shared(app, "joined"), 1000);
    check_rows(test, model, "even", true);
    check_rows(test, model, "joined", false);
    close_test(test, app);
    free(model);
}

/* What one does not see is its own: how late rows may be. */
static void lateness_is_each_ones_own(void **state)
{
    weir_app *app = weir_app_open("shared", NULL);
    char *json;
    (void)state;
    for (int i = 0; i < 2; i++) {
        weir_stream *rows =
            weir_lateness(weir_source(app, "events", WEIR_JSON, "t"), i == 0 ? 0 : WEIR_HOURS(1));
        weir_to(weir_aggregate(weir_tumbling(weir_group_by(rows, "u"), 1000), "count(*) AS c"),
                i == 0 ? "strict" : "patient");
    }
    weir_test *test = open_test(app, 1);
    for (int i = 0; i < 3; i++) { /* the last one is older than the first one's window */
        char text[64];
        snprintf(text, sizeof text, "{\"u\":\"a\",\"t\":%lld}",
                 (long long)START + (i == 1 ? 5000 : 0));
        ok(test, weir_test_send(test, "events", 0, START + 10000, NULL, text));
    }
    ok(test, weir_test_run(test));
    assert_int_equal(shared(app, "patient"), 3);
    ok(test, weir_test_get(test, "patient",
                           "{\"u\":\"a\",\"window_start\":\"2026-03-02T09:00:00.000Z\"}", &json));
    assert_non_null(json);
    assert_non_null(strstr(json, "\"c\":2"));
    weir_free(json);
    weir_progress progress;
    weir_app_progress(app, &progress);
    assert_int_equal(progress.rows_late, 1);
    close_test(test, app);
}

static int fail_on_forty(void *context, weir_call *call, const weir_value *values, size_t count)
{
    (void)count;
    int *left = context;
    if (values[0].i64 != 40 || *left == 0)
        return 1;
    (*left)--;
    weir_call_error(call, "forty");
    return -1;
}

/* A pipeline that stops, or fails for a while, costs the others nothing. */
static void a_failure_is_one_pipelines_own(void **state)
{
    static const weir_failure policies[] = {WEIR_FAILURE_STOP, WEIR_FAILURE_RETRY,
                                            WEIR_FAILURE_SKIP};
    (void)state;
    for (int p = 0; p < 3; p++) {
        struct model *model = calloc(1, sizeof *model);
        int left = p == 1 ? 3 : 1000000;
        weir_app *app = build(EVEN | PER_USER | ALL_ROWS, 1, 64);
        weir_to(weir_filter_fn(declared(app), "forty-1", "i", fail_on_forty, &left), "failing");
        weir_failure_options options = {
            .policy = policies[p], .retries = 100, .backoff_ms = 1, .backoff_max_ms = 1};
        assert_int_equal(weir_on_failure(app, "failing", &options), 0);
        assert_int_equal(weir_on_bad_row(app, "failing", WEIR_BAD_ROW_FAIL), 0);
        model->has_no_bad_rows = true;
        weir_test *test = open_test(app, 1);
        seed = 10;
        for (int turn = 0; turn < 8; turn++) {
            for (int i = 0; i < 100; i++)
                send(test, model, 0);
            ok(test, weir_test_run(test));
            ok(test, weir_test_advance(test, 1000));
        }
        ok(test, weir_test_run(test));
        check_rows(test, model, "even", true);
        check_rows(test, model, "all-rows", false);
        check_users(test, model);
        assert_int_equal(shared(app, "all-rows"), 800);
        if (policies[p] == WEIR_FAILURE_RETRY)
            check_rows(test, model, "failing", false);
        assert_true(policies[p] == WEIR_FAILURE_STOP ? shared(app, "failing") < 100
                                                     : shared(app, "failing") >= 300);
        close_test(test, app);
        free(model);
    }
}

static void pause_some(weir_app *app, bool paused[5])
{
    for (int i = 0; i < 5; i++) {
        bool was = paused[i];
        paused[i] = draw(4) == 0;
        if (paused[i] != was)
            assert_int_equal((paused[i] ? weir_app_pause : weir_app_resume)(app, topics[i]), 0);
    }
}

/* ---- memory that there is not ---- */

static int64_t allocations_left = -1; /* then one fails; -1: none does */

void *__real_arena_grow(struct arena *arena, size_t size_bytes, size_t align);
void *__wrap_arena_grow(struct arena *arena, size_t size_bytes, size_t align);
void *__wrap_arena_grow(struct arena *arena, size_t size_bytes, size_t align)
{
    if (allocations_left >= 0 && allocations_left-- == 0)
        return NULL;
    return __real_arena_grow(arena, size_bytes, align);
}

/* Wherever it is missing, in the read or behind it: everybody has its rows in the end, once. */
static void no_memory_loses_nothing(void **state)
{
    int failures = 0;
    (void)state;
    for (int n = 0; n < 10; n++) {
        struct model *model = calloc(1, sizeof *model);
        weir_app *app = build(EVEN | PER_USER | ALL_ROWS, 1, 0);
        weir_failure_options retry = {
            .policy = WEIR_FAILURE_RETRY, .retries = 100, .backoff_ms = 1, .backoff_max_ms = 1};
        assert_int_equal(weir_on_failure(app, NULL, &retry), 0);
        weir_test *test = open_test(app, 1);
        seed = 200 + (uint64_t)n;
        ok(test, weir_test_run(test));
        for (int i = 0; i < 2000; i++)
            send(test, model, 0);
        ok(test, weir_test_flush(test));
        allocations_left = n;
        ok(test, weir_test_run(test));
        failures += allocations_left < 0;
        allocations_left = -1;
        for (int i = 0; i < 3; i++) {
            ok(test, weir_test_advance(test, 1000));
            ok(test, weir_test_run(test));
        }
        check(test, model, EVEN | PER_USER | ALL_ROWS);
        close_test(test, app);
        free(model);
    }
    assert_true(failures > 3);
}

static void nobody_can_tell(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < 24; round++) {
        struct model *model = calloc(1, sizeof *model);
        bool paused[5] = {false};
        seed = 100 + round;
        weir_app *apps[6];
        for (int i = 0; i < 6; i++)
            apps[i] = build((i == 0 ? EVERY - (uint32_t)draw(2) : EVERY) | JOINED, 1 + (int)draw(3),
                            1 + (int)draw(40));
        weir_test *test = open_test(apps[0], PARTITIONS);
        send_users(test);
        for (int turn = 0; turn < 6; turn++) {
            for (uint32_t i = draw(150); i > 0; i--)
                send(test, model, (int)draw(PARTITIONS));
            if (turn > 0) {
                ok(test, weir_test_restart(test, apps[turn]));
                memset(paused, 0, sizeof paused);
                pause_some(apps[turn], paused);
            }
            run_through_kills(test, draw);
        }
        for (int i = 0; i < 5; i++)
            if (paused[i])
                assert_int_equal(weir_app_resume(apps[5], topics[i]), 0);
        ok(test, weir_test_run(test));
        check(test, model, EVEN | PER_USER | ALL_ROWS);
        check_rows(test, model, "joined", false);
        ok(test, weir_test_close(test));
        for (int i = 0; i < 6; i++)
            weir_app_close(apps[i]);
        free(model);
    }
}

/* Threads of their own, more and fewer while it runs: tasks that share move together or apart. */
static void on_threads(void **state)
{
    enum { ROWS = 20000 };
    (void)state;
    char *dir = scratch_dir_create();
    weir_log *log = weir_fixture_open(dir);
    assert_int_equal(weir_topic_create(log, "events", PARTITIONS, NULL, 0), 0);
    weir_producer *producer = weir_fixture_producer(log, NULL);
    for (int i = 0; i < ROWS; i++) {
        char text[64], key[16];
        snprintf(key, sizeof key, "k%d", i);
        snprintf(text, sizeof text, "{\"i\":%d,\"n\":%d,\"u\":\"a\"}", i, 1 + i % 2);
        assert_int_equal(send_text(producer, "events", key, text), 0);
    }
    assert_int_equal(weir_flush(producer, -1), 0);
    weir_producer_close(producer);
    for (int threads = 1; threads <= 3; threads++) {
        char name[16];
        snprintf(name, sizeof name, "app-%d", threads);
        weir_app *app = weir_app_open(
            name,
            &(weir_options){.log = log, .threads = threads, .until_end = true, .batch_rows = 512});
        char outs[3][32];
        for (int i = 0; i < 3; i++) {
            snprintf(outs[i], sizeof outs[i], "%s-%d", name, i);
            weir_to(i == 2 ? weir_aggregate(weir_group_by(declared(app), "u"), "count(*) AS c")
                           : weir_filter(declared(app), i == 0 ? "n = 1" : "n = 2"),
                    outs[i]);
        }
        if (threads == 3)
            assert_int_equal(weir_app_set_threads(app, 2), 0);
        assert_works(weir_app_run(app), weir_app_error(app));
        weir_progress progress;
        weir_app_progress(app, &progress);
        assert_int_equal(progress.rows_in, 3 * ROWS);
        assert_int_equal(progress.rows_filtered, ROWS);
        char stage[64];
        snprintf(stage, sizeof stage, "%s-repartition", outs[2]);
        if (threads == 1) /* the first batches: later ones are small where the machine is slow */
            assert_true(shared(app, outs[1]) + shared(app, stage) > 0);
        weir_app_close(app);
    }
    assert_int_equal(weir_log_close(log), 0);
    scratch_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_of_four_decodes),
        cmocka_unit_test(other_sources_are_read_apart),
        cmocka_unit_test(who_was_paused_meets_the_others_again),
        cmocka_unit_test(who_comes_later_reads_up_to_the_others),
        cmocka_unit_test(those_behind_meet_the_one_ahead),
        cmocka_unit_test(who_joins_shares),
        cmocka_unit_test(lateness_is_each_ones_own),
        cmocka_unit_test(a_failure_is_one_pipelines_own),
        cmocka_unit_test(no_memory_loses_nothing),
        cmocka_unit_test(nobody_can_tell),
        cmocka_unit_test(on_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
