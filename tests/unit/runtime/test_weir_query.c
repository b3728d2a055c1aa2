/* Tests of weir_query_…: rows as values, queries side by side, what is refused, long keys, and a store behind its
 * changelog. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/app.h"
#include "runtime/base/clock.h"
#include "runtime/base/io.h"
#include "runtime/weir_view.h"
#include "tests/support/scratch_dir.h"
#include "tests/support/weir_fixture.h"

static weir_app *build(weir_log *log)
{
    weir_app *app = weir_app_open("shop", &(weir_options){.log = log, .until_end = true});
    weir_stream *rows = weir_map(weir_source(app, "rows", WEIR_JSON, NULL),
                                 "k::text AS k, n::bigint AS n, ts::timestamptz AS ts");
    weir_to(
        weir_aggregate(weir_group_by(rows, "k"),
                       "count(*) AS rows, sum(n) AS total, max(ts) AS seen, max(n) > 2 AS many"),
        "by-key");
    weir_to(weir_aggregate(weir_group_by(rows, "n"), "count(*) AS rows"), "by-n");
    return app;
}

static void run(weir_log *log)
{
    weir_app *app = build(log);
    assert_works(weir_app_run(app), weir_app_error(app));
    weir_app_close(app);
}

static void send_row(weir_producer *producer, const char *key, int n)
{
    char value[4096];
    snprintf(value, sizeof value, "{\"k\":\"%s\",\"n\":%d,\"ts\":%d}", key, n, n * 1000);
    assert_works(send_text(producer, "rows", key, value), weir_producer_error(producer));
}

static weir_query *ask(weir_log *log, const char *sql)
{
    weir_query *query;
    assert_works(weir_query_open(log, sql, NULL, &query), weir_log_error());
    return query;
}

static int64_t count_rows(weir_query *query)
{
    const weir_value *row;
    int64_t count = 0;
    int rc;
    while ((rc = weir_query_next(query, &row)) == 1)
        count++;
    assert_works(rc, weir_query_error(query));
    return count;
}

static int64_t count_of(weir_log *log, const char *sql)
{
    weir_query *query = ask(log, sql);
    int64_t count = count_rows(query);
    weir_query_close(query);
    return count;
}

static weir_log *open_with_rows(const char *dir, const char *const *keys, size_t count)
{
    weir_log *log = weir_fixture_open(dir);
    assert_works(weir_topic_create(log, "rows", 2, NULL, 0), weir_log_error());
    weir_producer *producer = weir_fixture_producer(log, NULL);
    for (size_t i = 0; i < count; i++)
        send_row(producer, keys[i], (int)i + 1);
    assert_works(weir_producer_close(producer), "close");
    run(log);
    return log;
}

static const char *const three[] = {"a", "b", "a"};

static bool is_text(const weir_value *value, weir_type type, const char *text)
{
    return value->type == type && value->text.size == strlen(text) &&
           memcmp(value->text.data, text, value->text.size) == 0;
}

static void test_values(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    weir_log *log = open_with_rows(dir, three, 3);
    weir_query *query = ask(log, "SELECT *, NULL::text AS nothing FROM \"by-key\" ORDER BY k");
    const weir_query_column *columns;
    const weir_value *row;
    static const struct {
        const char *name;
        weir_type type;
    } expected[] = {{"k", WEIR_TEXT},         {"rows", WEIR_BIGINT},  {"total", WEIR_NUMERIC},
                    {"seen", WEIR_TIMESTAMP}, {"many", WEIR_BOOLEAN}, {"nothing", WEIR_TEXT}};
    assert_int_equal(weir_query_columns(query, &columns), 6);
    for (size_t i = 0; i < 6; i++) {
        assert_string_equal(columns[i].name, expected[i].name);
        assert_int_equal(columns[i].type, expected[i].type);
    }
    for (int time = 0; time < 2; time++) {
        assert_int_equal(weir_query_next(query, &row), 1);
        assert_true(is_text(&row[0], WEIR_TEXT, "a"));
        assert_int_equal(row[1].i64, 2);
        assert_true(is_text(&row[2], WEIR_NUMERIC, "4"));
        assert_int_equal(row[3].i64, 3000);
        assert_true(row[4].type == WEIR_BOOLEAN && row[4].boolean);
        assert_int_equal(row[5].type, WEIR_NULL);
        assert_int_equal(weir_query_next(query, &row), 1);
        assert_true(is_text(&row[0], WEIR_TEXT, "b"));
        assert_false(row[4].boolean);
        assert_int_equal(weir_query_next(query, &row), 0);
        assert_null(row);
        assert_int_equal(weir_query_next(query, &row), 0);
        assert_int_equal(weir_query_rewind(query), 0);
    }
    assert_int_equal(weir_query_left_out(query, NULL), 0);
    assert_says(weir_query_explain(query), "state: scan, 2 of 2 partitions");
    assert_string_equal(weir_query_error(query), "");
    weir_query_close(query);
    weir_query_close(NULL);
    assert_works(weir_log_close(log), weir_log_error());
    scratch_dir_remove(dir);
}

static void *ask_often(void *argument)
{
    weir_log *log = argument;
    for (int i = 0; i < 20; i++) {
        assert_int_equal(count_of(log, "SELECT * FROM \"by-key\" WHERE k = 'a'"), 1);
        assert_int_equal(count_of(log, "SELECT n FROM \"by-n\" ORDER BY n DESC"), 3);
    }
    return NULL;
}

/* Several at once, of one view and of two, in several threads; the app cannot run meanwhile, and the
 * log is not closed. */
static void test_side_by_side(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    weir_log *log = open_with_rows(dir, three, 3);
    const weir_value *row;
    weir_query *first = ask(log, "SELECT * FROM \"by-key\""),
               *second = ask(log, "SELECT * FROM \"by-key\" LIMIT 1"),
               *other = ask(log, "SELECT * FROM \"by-n\"");
    assert_int_equal(weir_query_next(first, &row), 1);
    assert_int_equal(count_rows(second), 1);
    assert_int_equal(count_rows(other), 3);
    assert_int_equal(count_rows(first), 1);
    weir_app *app = build(log);
    assert_int_equal(weir_app_run(app), WEIR_EBUSY);
    assert_says(weir_app_error(app), "shop");
    weir_app_close(app);
    assert_int_equal(weir_log_close(log), WEIR_EBUSY);
    assert_says(weir_log_error(), "queries: 3");
    weir_query_close(first);
    weir_query_close(second);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_often, log), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    weir_query_close(other);
    run(log);
    assert_int_equal(count_of(log, "SELECT * FROM \"by-key\""), 2);
    assert_works(weir_log_close(log), weir_log_error());
    scratch_dir_remove(dir);
}

static void refuse(weir_log *log, int code, const char *sql, const char *part)
{
    weir_query *query = (weir_query *)(uintptr_t)1;
    assert_int_equal(weir_query_open(log, sql, NULL, &query), code);
    assert_null(query);
    assert_says(weir_log_error(), part);
}

static void test_refused(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    weir_log *log = open_with_rows(dir, three, 3);
    weir_query *query;
    const weir_value *row;
    refuse(log, WEIR_EINVALID, "SELECT", "line 1, column 1");
    refuse(log, WEIR_ENOTFOUND, "SELECT * FROM \"by_key\"", "did you mean by-key");
    refuse(log, WEIR_ENOTFOUND, "SELECT x FROM \"by-key\"", "column \"x\" does not exist");
    refuse(log, WEIR_EUNSUPPORTED, "SELECT DISTINCT k FROM \"by-key\"", "DISTINCT");
    refuse(log, WEIR_EINVALID, NULL, "sql is NULL");
    char *text = malloc(40000);
    memset(text, ' ', 39999);
    memcpy(text, "SELECT", 6);
    text[39999] = '\0';
    refuse(log, WEIR_ETOOLARGE, text, "32768");
    free(text);
    weir_query_options options = {.reserved = {1}};
    assert_int_equal(weir_query_open(log, "SELECT 1 FROM \"by-n\"", &options, &query),
                     WEIR_EINVALID);
    assert_says(weir_log_error(), "reserved");
    options = (weir_query_options){.app = "other"};
    assert_int_equal(weir_query_open(log, "SELECT 1 FROM \"by-n\"", &options, &query),
                     WEIR_ENOTFOUND);
    query = ask(log, "SELECT k, rows / (rows - 1) AS x FROM \"by-key\"");
    int rc;
    while ((rc = weir_query_next(query, &row)) == 1)
        ;
    assert_int_equal(rc, WEIR_EINVALID);
    assert_says(weir_query_error(query), "division by zero");
    assert_int_equal(weir_query_next(query, &row), WEIR_EINVALID);
    assert_null(row);
    assert_int_equal(weir_query_next(query, NULL), WEIR_EINVALID);
    weir_query_close(query);
    assert_works(weir_log_close(log), weir_log_error());
    scratch_dir_remove(dir);
}

/* Keys of more than 480 bytes that begin alike lie in the store by their hashes. */
enum { LONG_KEYS = 2500 };

static void long_key(int i, char key[640])
{
    snprintf(key, 640, "%0500d%s%d", 0, i % 3 == 0 ? "x" : "", i);
}

static void test_long_keys(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    static char keys[LONG_KEYS][640];
    static const char *list[LONG_KEYS];
    for (int i = 0; i < LONG_KEYS; i++) {
        long_key(i, keys[i]);
        list[i] = keys[i];
    }
    weir_log *log = open_with_rows(dir, list, LONG_KEYS);
    assert_int_equal(count_of(log, "SELECT k FROM \"by-key\""), LONG_KEYS);
    assert_int_equal(count_of(log, "SELECT k FROM \"by-key\" LIMIT 700"), 700);
    assert_int_equal(count_of(log, "SELECT k FROM \"by-key\" GROUP BY k"), LONG_KEYS);
    char sql[1024];
    snprintf(sql, sizeof sql, "SELECT rows FROM \"by-key\" WHERE k = '%s'", keys[77]);
    assert_int_equal(count_of(log, sql), 1);
    assert_works(weir_log_close(log), weir_log_error());
    scratch_dir_remove(dir);
}

static void copy_file(const char *from, const char *to)
{
    char *data;
    size_t size;
    struct diag diag = {0};
    assert_int_equal(io_read_file(from, (size_t)64 << 20, &data, &size, &diag), 0);
    assert_int_equal(io_write_file(to, data, size, &diag), 0);
    free(data);
}

/* What the store has not, the changelog has: changed rows, new ones, and long keys among them. */
static void test_a_store_behind(void **state)
{
    (void)state;
    char *dir = scratch_dir_create(), store[2][700], kept[2][700];
    static const char *const names[2] = {"by-key-0", "by-key-1"};
    static char keys[LONG_KEYS][640];
    static const char *list[LONG_KEYS];
    for (int i = 0; i < LONG_KEYS; i++) {
        if (i % 2 == 0)
            long_key(i, keys[i]);
        else
            snprintf(keys[i], sizeof keys[i], "k%d", i);
        list[i] = keys[i];
    }
    weir_log *log = open_with_rows(dir, list, LONG_KEYS / 2);
    assert_works(weir_log_close(log), weir_log_error());
    for (int i = 0; i < 2; i++) {
        snprintf(store[i], sizeof store[i], "%s/state/shop/%s/data.mdb", dir, names[i]);
        snprintf(kept[i], sizeof kept[i], "%s/kept-%d", dir, i);
        copy_file(store[i], kept[i]);
    }
    log = weir_fixture_open(dir);
    weir_producer *producer = weir_fixture_producer(log, NULL);
    for (int i = LONG_KEYS / 4; i < LONG_KEYS; i++)
        send_row(producer, keys[i], 7);
    assert_works(weir_producer_close(producer), "close");
    run(log);
    assert_works(weir_log_close(log), weir_log_error());
    for (int i = 0; i < 2; i++)
        copy_file(kept[i], store[i]);
    log = weir_fixture_open(dir);
    assert_int_equal(count_of(log, "SELECT k FROM \"by-key\""), LONG_KEYS);
    assert_int_equal(count_of(log, "SELECT k FROM \"by-key\" WHERE rows = 2"),
                     LONG_KEYS / 2 - LONG_KEYS / 4);
    assert_int_equal(count_of(log, "SELECT k FROM \"by-key\" GROUP BY k HAVING count(*) > 1"), 0);
    assert_int_equal(count_of(log, "SELECT k FROM \"by-key\" WHERE k = 'k1001' AND rows = 2"), 1);
    assert_int_equal(count_of(log, "SELECT k FROM \"by-key\" WHERE k = 'k2001' AND rows = 1"), 1);
    weir_query *query;
    weir_query_options options = {.memory_bytes = 4096};
    assert_works(weir_query_open(log, "SELECT k FROM \"by-key\"", &options, &query),
                 weir_log_error());
    const weir_value *row;
    assert_int_equal(weir_query_next(query, &row), WEIR_ENOMEM);
    assert_says(weir_query_error(query), "run the job once");
    weir_query_close(query);
    assert_works(weir_log_close(log), weir_log_error());
    scratch_dir_remove(dir);
}

/* A directory that is only read: nothing of it changes. */
static void test_read_only(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    weir_log *log = open_with_rows(dir, three, 3);
    assert_works(weir_log_close(log), weir_log_error());
    assert_works(weir_log_open(dir, &(weir_log_options){.read_only = true}, &log),
                 weir_log_error());
    assert_int_equal(count_of(log, "SELECT * FROM \"by-key\" WHERE k IN ('a', 'b', 'c')"), 2);
    assert_works(weir_log_close(log), weir_log_error());
    scratch_dir_remove(dir);
}

/* ---- of an app that runs ---- */

static void *run_app(void *app)
{
    assert_works(weir_app_run(app), weir_app_error(app));
    return NULL;
}

/* Rows of an answer as of now; negative: there is none now. */
static int64_t sum_now(weir_query *query)
{
    const weir_value *row;
    int64_t sum = 0;
    int rc;
    assert_int_equal(weir_query_rewind(query), 0);
    while ((rc = weir_query_next(query, &row)) == 1)
        sum += row[0].i64;
    return rc < 0 ? rc : sum;
}

/* Opened as soon as its state is there: while it is being restored that is refused. The app runs already; a query of one that does not would keep it from that. */
static weir_query *ask_running(weir_log *log, const char *sql)
{
    weir_query *query;
    int rc;
    while ((rc = weir_query_open(log, sql, NULL, &query)) == WEIR_ESTOPPED || rc == WEIR_EBUSY ||
           rc == WEIR_ENOTFOUND)
        clock_sleep_until(clock_mono_ns() + 1000000);
    assert_works(rc, weir_log_error());
    return query;
}

static void *ask_while_it_runs(void *argument)
{
    weir_query *query = ask_running(argument, "SELECT rows FROM \"by-key\"");
    int64_t before = 0;
    while (before < 500) {
        int64_t sum = sum_now(query);
        if (sum < 0) /* it has lost its snapshot */
            continue;
        assert_true(sum >= before);
        before = sum;
    }
    weir_query_close(query);
    return NULL;
}

/* Three threads ask while rows come: what was there once is there ever after, and it ends as what was written. The app stops with a query open, which says so. */
static void test_while_the_app_runs(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    weir_log *log = open_with_rows(dir, three, 3);
    weir_app *app = build(log);
    app->options.until_end = false;
    pthread_t runner, threads[3];
    assert_int_equal(pthread_create(&runner, NULL, run_app, app), 0);
    while (!shared_views_app_runs(log, "shop"))
        clock_sleep_until(clock_mono_ns() + 1000000);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_while_it_runs, log), 0);
    weir_producer *producer = weir_fixture_producer(log, NULL);
    for (int i = 0; i < 497; i++) {
        char key[8];
        snprintf(key, sizeof key, "k%d", i % 40);
        send_row(producer, key, i % 7);
        if (i % 50 == 0)
            assert_works(weir_flush(producer, -1), "flush");
    }
    assert_works(weir_producer_close(producer), "close");
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    weir_query *query = ask_running(log, "SELECT rows FROM \"by-key\" WHERE k = 'k3'");
    assert_int_equal(sum_now(query), 13);
    weir_app_stop(app);
    pthread_join(runner, NULL);
    assert_int_equal(sum_now(query), WEIR_ESTOPPED);
    assert_int_equal(count_of(log, "SELECT * FROM \"by-key\""), 42); /* of the directory again */
    weir_query_close(query);
    weir_app_close(app);
    assert_works(weir_log_close(log), weir_log_error());
    scratch_dir_remove(dir);
}

int main(void)
{
    scratch_dir_in_memory();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_side_by_side),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_long_keys),
        cmocka_unit_test(test_a_store_behind),
        cmocka_unit_test(test_read_only),
        cmocka_unit_test(test_while_the_app_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
