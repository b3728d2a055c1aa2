/* test_told.c: a row that several pipelines refuse alike is one dead letter of the app.
 *
 * Pipelines over one source, each with its own steps behind the same beginning, as statements of SQL
 * over one table have. Some are paused, so that they stand at different offsets; the engine dies at
 * any place of any worker's commit, comes back with other threads, without one of them or with one
 * more. The model is a list of what was sent: every row that the beginning refuses has one letter, and
 * every row that one pipeline alone refuses one of that pipeline. */
#include "tests/support/draw.h"
#include "tests/support/drawn_kills.h"
#include "tests/support/random_json.h"
#include "tests/support/scratch_dir.h"
#include "runtime/base/io.h"
#include "runtime/weir.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define START INT64_C(1772442000000)

enum { ROWS_MAX = 2048, PARTITIONS = 2 };
enum { EVEN = 1, PER_USER = 2, REST = 4, LATER = 8, ALL = 15 };

/* By row, whose number is its record's timestamp less START. */
struct model {
    enum fate { GOOD, BROKEN, NO_NUMBER, NEGATIVE, SEVEN } fates[ROWS_MAX];
    int rows;
};

/* The beginning that they share, each with nodes of its own. */
static weir_stream *declared(weir_app *app)
{
    weir_stream *rows = weir_map(weir_source(app, "events", WEIR_JSON, NULL),
                                 "CAST(n AS bigint) AS n, CAST(u AS text) AS u");
    return weir_check(rows, "n >= 0", "negative");
}

static weir_app *build(uint32_t which, bool from_beginning)
{
    weir_app *app = weir_app_open("told", &(weir_options){.threads = 1 + (int32_t)draw(3),
                                                          .batch_rows = 1 + (int32_t)draw(9),
                                                          .from_beginning = from_beginning});
    if (which & EVEN)
        weir_to(weir_filter(declared(app), "n % 2 = 0"), "even");
    if (which & PER_USER)
        weir_to(weir_aggregate(weir_group_by(declared(app), "u"), "count(*) AS n"), "per-user");
    if (which & REST)
        weir_to(weir_check(declared(app), "n % 7 <> 0", "seven"), "rest");
    if (which & LATER)
        weir_to(declared(app), "later");
    return app;
}

static void send(weir_test *test, struct model *model)
{
    static const char *const values[] = {[GOOD] = "{\"n\":15,\"u\":\"a\"}",
                                         [BROKEN] = "{\"n\":15,\"u\":\"a\"",
                                         [NO_NUMBER] = "{\"n\":\"many\",\"u\":\"b\"}",
                                         [NEGATIVE] = "{\"n\":-14,\"u\":\"c\"}",
                                         [SEVEN] = "{\"n\":14,\"u\":\"c\"}"};
    enum fate fate = draw(2) ? GOOD : (enum fate)draw(5);
    ok(test, weir_test_send(test, "events", (int32_t)draw(PARTITIONS), START + model->rows, NULL,
                            values[fate]));
    model->fates[model->rows++] = fate;
}

static bool has_header(const weir_record *record, const char *name, const char *text)
{
    for (size_t i = 0; i < record->header_count; i++)
        if (strcmp(record->headers[i].key, name) == 0)
            return record->headers[i].value_size == strlen(text) &&
                   memcmp(record->headers[i].value, text, strlen(text)) == 0;
    return false;
}

/* What has been told of the rows: wanted times what the beginning refuses, and as often as it lived the
 * sevens, by the only pipeline that minds them. */
static void check_letters(weir_test *test, const struct model *model, int wanted, int sevens)
{
    static const char *const classes[] = {[BROKEN] = "json_malformed",
                                          [NO_NUMBER] = "cast_failed",
                                          [NEGATIVE] = "negative",
                                          [SEVEN] = "seven"};
    int told[ROWS_MAX] = {0};
    weir_record *records;
    size_t count;
    ok(test, weir_test_rewind(test, "told.dlq"));
    ok(test, weir_test_read(test, "told.dlq", &records, &count));
    for (size_t i = 0; i < count; i++) {
        int64_t row = records[i].timestamp_ms - START;
        assert_in_range(row, 0, model->rows - 1);
        enum fate fate = model->fates[row];
        assert_int_not_equal(fate, GOOD);
        assert_true(has_header(&records[i], "weir.error.class", classes[fate]));
        assert_true(fate != SEVEN || has_header(&records[i], "weir.stage", "rest"));
        told[row]++;
    }
    for (int i = 0; i < model->rows; i++) {
        int is = model->fates[i] == GOOD ? 0 : model->fates[i] == SEVEN ? sevens : wanted;
        if (told[i] != is)
            fail_msg("seed %llu: row %d (fate %d) has %d letters in place of %d",
                     (unsigned long long)seed, i, (int)model->fates[i], told[i], is);
    }
    weir_free(records);
}

static weir_test *open_test(weir_app *app)
{
    weir_test *test = NULL;
    if (weir_test_open(app, &(weir_test_options){.start_ms = START, .partitions = PARTITIONS},
                       &test) < 0)
        fail_msg("%s", weir_log_error());
    return test;
}

/* Any of them, or none, stand still for a while. */
static void pause_some(weir_app *app, bool paused[3])
{
    static const char *const topics[] = {"even", "per-user", "rest"};
    for (int i = 0; i < 3; i++) {
        bool was = paused[i];
        paused[i] = draw(3) == 0;
        if (paused[i] && !was)
            assert_int_equal(weir_app_pause(app, topics[i]), 0);
        if (!paused[i] && was)
            assert_int_equal(weir_app_resume(app, topics[i]), 0);
    }
}

static void resume_all(weir_app *app, bool paused[3])
{
    static const char *const topics[] = {"even", "per-user", "rest"};
    for (int i = 0; i < 3; i++)
        if (paused[i])
            assert_int_equal(weir_app_resume(app, topics[i]), 0);
}

static void a_bad_row_is_one_letter_through_kills(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < 60; round++) {
        seed = round;
        struct model model = {.rows = 0};
        bool paused[3] = {false};
        weir_app *app = build(EVEN | PER_USER | REST, false);
        weir_test *test = open_test(app);
        for (int turn = 0; turn < 8; turn++) {
            for (uint32_t i = draw(30); i > 0; i--)
                send(test, &model);
            pause_some(app, paused);
            run_through_kills(test, draw);
        }
        resume_all(app, paused);
        ok(test, weir_test_run(test));
        check_letters(test, &model, 1, 1);
        ok(test, weir_test_close(test));
        weir_app_close(app);
    }
}

/* Who waited for another worker's commit makes its own in the same run: nothing is left for later. */
static void a_run_leaves_nothing_uncommitted(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < 60; round++) {
        seed = 5000 + round;
        struct model model = {.rows = 0};
        weir_app *app = build(EVEN | PER_USER | REST, false);
        weir_test *test = open_test(app);
        for (int turn = 0; turn < 8; turn++) {
            weir_progress before, after;
            for (uint32_t i = 1 + draw(30); i > 0; i--)
                send(test, &model);
            ok(test, weir_test_run(test));
            weir_app_progress(app, &before);
            weir_test_advance(test, 10000);
            ok(test, weir_test_run(test));
            weir_app_progress(app, &after);
            assert_int_equal(after.rows_in, before.rows_in);
            assert_int_equal(after.rows_dead, before.rows_dead);
            assert_int_equal(after.rows_out, before.rows_out);
        }
        ok(test, weir_test_close(test));
        weir_app_close(app);
    }
}

static int failures_left;
static const char *failing_topic;

/* A full disk, for one topic and a while. */
static int refuse_writes(void *context, enum io_call call, const char *path, int fd, size_t *size)
{
    char link[64], name[512];
    (void)context;
    if (call != IO_PWRITE || path != NULL || failures_left == 0)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, name, sizeof name - 1);
    if (length < 0)
        return 0;
    name[length] = '\0';
    if (strstr(name, failing_topic) == NULL)
        return 0;
    failures_left--;
    *size = 0;
    return ENOSPC;
}

/* A worker's transaction is aborted and its tasks find their rows again; the others go on. */
static void an_undone_commit_has_told_nothing(void **state)
{
    static const char *const topics[] = {"/even-", "/rest-", "/told.dlq-", "/told-progress-"};
    (void)state;
    for (uint64_t round = 0; round < 40; round++) {
        seed = 9000 + round;
        struct model model = {.rows = 0};
        weir_app *app = build(EVEN | PER_USER | REST, false);
        weir_failure_options retry = {
            .policy = WEIR_FAILURE_RETRY, .retries = 100, .backoff_ms = 1};
        assert_int_equal(weir_on_failure(app, NULL, &retry), 0);
        weir_test *test = open_test(app);
        for (int turn = 0; turn < 4; turn++) {
            for (uint32_t i = 1 + draw(30); i > 0; i--)
                send(test, &model);
            ok(test, weir_test_flush(test));
            failing_topic = topics[draw(4)];
            failures_left = (int)draw(4);
            io_set_fault(refuse_writes, NULL);
            for (int i = 0; i < 12; i++) {
                ok(test, weir_test_run(test));
                ok(test, weir_test_advance(test, 1000));
            }
            io_set_fault(NULL, NULL);
        }
        ok(test, weir_test_run(test));
        check_letters(test, &model, 1, 1);
        ok(test, weir_test_close(test));
        weir_app_close(app);
    }
}

/* One pipeline goes, another comes and begins at the beginning: what was told stays told. */
static void pipelines_come_and_go(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < 20; round++) {
        seed = 5000 + round;
        struct model model = {.rows = 0};
        weir_app *apps[8] = {build(REST | (1 + draw(3)), false)};
        weir_test *test = open_test(apps[0]);
        for (int turn = 1; turn < 8; turn++) {
            for (uint32_t i = draw(40); i > 0; i--)
                send(test, &model);
            run_through_kills(test, draw);
            apps[turn] = build(REST | draw(ALL + 1), false);
            ok(test, weir_test_restart(test, apps[turn]));
        }
        run_through_kills(test, draw);
        check_letters(test, &model, 1, 1);
        ok(test, weir_test_close(test));
        for (int i = 0; i < 8; i++)
            weir_app_close(apps[i]);
    }
}

/* A life that begins anew tells anew; a single pipeline that does, does not. */
static void a_new_life_tells_again(void **state)
{
    (void)state;
    seed = 77;
    struct model model = {.rows = 0};
    weir_app *first = build(EVEN | REST, false);
    weir_test *test = open_test(first);
    for (int i = 0; i < 200; i++)
        send(test, &model);
    ok(test, weir_test_run(test));
    weir_app *all = build(EVEN | REST, true);
    ok(test, weir_test_restart(test, all));
    ok(test, weir_test_run(test));
    check_letters(test, &model, 2, 2);
    ok(test, weir_test_close(test));
    weir_app_close(first);
    weir_app_close(all);
}

/* Rows that differ in what is read of them are refused by each for itself. */
static void other_fields_are_another_source(void **state)
{
    (void)state;
    weir_record *records;
    size_t count;
    weir_app *app = weir_app_open("told", NULL);
    weir_to(weir_map(weir_source(app, "events", WEIR_JSON, NULL), "CAST(a AS bigint) AS a"), "a");
    weir_to(weir_map(weir_source(app, "events", WEIR_JSON, NULL), "CAST(b AS bigint) AS b"), "b");
    weir_test *test = open_test(app);
    ok(test, weir_test_send(test, "events", 0, START, NULL, "{\"a\":1,\"b\":tru}"));
    ok(test, weir_test_send(test, "events", 0, START, NULL, "{\"a\":\"x\",\"b\":1}"));
    ok(test, weir_test_run(test));
    ok(test, weir_test_read(test, "told.dlq", &records, &count));
    assert_int_equal(count, 2);
    for (size_t i = 0; i < count; i++) /* the first row's by b, the second one's by a */
        assert_true(
            has_header(&records[i], "weir.stage",
                       has_header(&records[i], "weir.error.class", "cast_failed") ? "a" : "b"));
    weir_free(records);
    ok(test, weir_test_close(test));
    weir_app_close(app);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bad_row_is_one_letter_through_kills),
        cmocka_unit_test(a_run_leaves_nothing_uncommitted),
        cmocka_unit_test(an_undone_commit_has_told_nothing),
        cmocka_unit_test(pipelines_come_and_go),
        cmocka_unit_test(a_new_life_tells_again),
        cmocka_unit_test(other_fields_are_another_source),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
