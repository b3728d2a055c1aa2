/* test_store_view.c: stored pairs print as the engine wrote them, and keys given as text find them.
 *
 * The engine runs over a few rows with emit = changes, so its output topic holds, for each key, the
 * row that the store must print. Both are compared with each other and, for one group, with text
 * written by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/io.h"
#include "runtime/plan.h"
#include "runtime/state/state.h"
#include "runtime/store_view.h"
#include "tests/support/log_fixture.h"
#include "tests/support/pairs.h"
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

static const char *const rows[] = {
    "{\"who\":\"u1\",\"n\":1,\"x\":1.50,\"at\":1000}",
    "{\"who\":\"u2\",\"n\":2,\"x\":2.25,\"at\":2000}",
    "{\"who\":\"u1\",\"n\":1,\"x\":0.50,\"at\":1999}",
    "{\"who\":null,\"n\":-3,\"x\":7,\"at\":2500}",
    "{\"who\":\"{odd \\\"key\\\"\",\"n\":4,\"x\":1e2,\"at\":-1}",
    "{\"n\":2.50,\"x\":3,\"at\":0}",
    "{\"who\":7,\"n\":true,\"x\":3,\"at\":0}",
};

enum { SESSIONS = -1, LOCAL_DAYS = -2 }; /* as hop_ms */
struct query {
    const char *map, *group, *aggregate;
    int64_t window_ms, hop_ms;
};
static enum { AS_JSON, AS_BYTES, AS_OWN } source_kind; /* how the rows are read */

/* A format of the program's own: the value as it is, in a column of text. */
static int take_text(void *context, weir_call *call, const weir_value *key, const weir_value *value,
                     const weir_column *columns, size_t count, weir_value *results)
{
    (void)context;
    (void)call;
    (void)key;
    (void)columns;
    (void)count;
    results[0] = *value;
    results[0].type = WEIR_TEXT;
    return 0;
}

static weir_stream *source_of(weir_app *app)
{
    static const weir_format_functions own = {.decode = take_text};
    if (source_kind == AS_JSON)
        return weir_source(app, "events", WEIR_JSON, "at");
    if (source_kind == AS_BYTES)
        return weir_source(app, "events", WEIR_RAW, NULL);
    return weir_source_columns(app, "events", weir_format_add(app, "whole-1", &own, NULL),
                               "value text", NULL);
}

static void build(weir_app *app, const struct query *q)
{
    weir_stream *at = weir_lateness(source_of(app), WEIR_DAYS(1));
    if (source_kind == AS_JSON)
        at = weir_check(weir_filter(at, "x > -1"), "x < 1000000", "too_large");
    if (q->map != NULL)
        at = weir_map(at, q->map);
    at = weir_group_by(at, q->group);
    if (q->hop_ms == LOCAL_DAYS)
        at = weir_tumbling_in(at, q->window_ms, WEIR_DAY, "Pacific/Apia");
    else if (q->hop_ms == SESSIONS)
        at = weir_session(at, q->window_ms);
    else if (q->hop_ms > 0)
        at = weir_hopping(at, q->window_ms, q->hop_ms);
    else if (q->window_ms > 0)
        at = weir_tumbling(at, q->window_ms);
    assert_int_equal(weir_to(weir_aggregate(at, q->aggregate), "sums"), 0);
}

/* Runs the query over the rows; the path of its store. */
static char *run(const char *dir, const struct query *q)
{
    struct sender *sender;
    struct log *log = topic_log_open(dir);
    assert_int_equal(topic_create(log, "events", 1, NULL, 0, NULL), 0);
    assert_int_equal(sender_open(log, "events", NULL, &sender, NULL), 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(sender_send(sender, 0, 1000, (struct bytes){NULL, 0}, bytes_text(rows[i]),
                                     (struct bytes){NULL, 0}, 0, NULL),
                         0);
    assert_int_equal(sender_flush(sender, true, NULL), 0);
    sender_close(sender);
    log_close(log);
    /* Twice: the second start brings the store to the end of its changelog. */
    for (int i = 0; i < 2; i++) {
        weir_app *app = weir_app_open("shop", &(weir_options){.data = dir, .until_end = true});
        build(app, q);
        if (weir_app_run(app) < 0)
            fail_msg("%s", weir_app_error(app));
        weir_app_close(app);
    }
    return scratch_path(dir, "state/shop/sums-0");
}

static struct store_view *open_view(const char *path)
{
    struct store_view *view;
    struct diag diag = {0};
    if (store_view_open(path, &view, &diag) < 0)
        fail_msg("store_view_open: %s", diag.text);
    return view;
}

/* What the store prints, and what the output topic holds by key. */
static void assert_same_rows(const char *dir, const char *path, size_t groups)
{
    struct topic_rows written;
    struct pairs stored, printed, expected;
    struct buf text = {0};
    struct log *log = topic_log_open(dir);
    topic_rows_init(&written);
    pairs_init(&stored);
    pairs_init(&printed);
    pairs_init(&expected);
    topic_rows_read(log, "sums", READ_COMMITTED, &written);
    topic_rows_latest(&written);
    for (size_t i = 0; i < written.count; i++)
        pairs_add(&expected, bytes_text("row"), written.items[i].value);
    log_close(log);
    struct store_view *view = open_view(path);
    assert_true(pairs_add_store(&stored, path, NULL));
    assert_int_equal(stored.count, groups);
    for (size_t i = 0; i < stored.count; i++) {
        buf_clear(&text);
        assert_int_equal(
            store_view_json(view, stored.items[i].key, stored.items[i].value, &text, NULL), 0);
        pairs_add(&printed, bytes_text("row"), bytes_of(text.data, text.size));
    }
    assert_true(pairs_same("rows", &expected, &printed));
    /* A key as records carry it finds its own pair. */
    for (size_t i = 0; i < written.count; i++) {
        struct buf key = {0};
        char *as_text = strndup((const char *)written.items[i].key.data, written.items[i].key.size);
        assert_int_equal(store_view_key(view, as_text, &key, NULL), 0);
        size_t at = 0;
        while (at < stored.count &&
               !bytes_equal(stored.items[at].key, bytes_of(key.data, key.size)))
            at++;
        if (at == stored.count)
            fail_msg("nothing is stored under %s", as_text);
        buf_clear(&text);
        assert_int_equal(
            store_view_json(view, stored.items[at].key, stored.items[at].value, &text, NULL), 0);
        assert_true(bytes_equal(written.items[i].value, bytes_of(text.data, text.size)));
        free(as_text);
        buf_deinit(&key);
    }
    store_view_close(view);
    buf_deinit(&text);
    topic_rows_deinit(&written);
    pairs_deinit(&stored);
    pairs_deinit(&printed);
    pairs_deinit(&expected);
}

static void check_query(const char *dir, const struct query *q, size_t groups)
{
    char *path = run(dir, q);
    assert_same_rows(dir, path, groups);
    free(path);
}

static void test_raw_keys(void **state)
{
    static const struct query q = {
        NULL, "who", "count(*) AS n, sum(x) AS total, max(x) AS most, avg(x::float8) AS mean", 0,
        0};
    check_query(*state, &q, 5); /* u1, u2, null (also where it is missing), the odd one, 7 */
}
static void test_text_keys(void **state)
{
    static const struct query q = {"who::text AS who, x, at", "who",
                                   "count(*) AS n, min(at::timestamptz) AS first", 0, 0};
    check_query(*state, &q, 5);
}
static void test_several_columns(void **state)
{
    static const struct query q = {NULL, "who, n", "sum(x::numeric) / count(*) AS mean", 0, 0};
    check_query(*state, &q, 6);
}
static void test_windows(void **state)
{
    static const struct query q = {NULL, "who", "count(*) AS n", 1000, 0};
    check_query(*state, &q, 6);
}
static void test_hopping_windows(void **state)
{
    static const struct query q = {NULL, "who", "count(*) AS n", 1000, 500};
    check_query(*state, &q, 13);
}
/* Of a session in one cell the store has the session; its key finds it under the cell. */
static void test_sessions(void **state)
{
    static const struct query q = {NULL, "who", "count(*) AS n", 1000, SESSIONS};
    check_query(*state, &q, 6);
}
static void test_local_windows(void **state)
{
    static const struct query q = {NULL, "who", "count(*) AS n", 1, LOCAL_DAYS};
    check_query(*state, &q, 5); /* in Apia all of it is one day */
}
static void test_numeric_keys(void **state)
{
    static const struct query q = {"x::numeric AS price", "price", "count(*) AS n", 0, 0};
    check_query(*state, &q, 6);
}
static void test_time_keys(void **state)
{
    static const struct query q = {"at::timestamptz AS at, who",
                                   "date_trunc('second', at) AS second", "count(*) AS n", 0, 0};
    check_query(*state, &q, 4);
}
static void test_boolean_keys(void **state)
{
    static const struct query q = {NULL, "x > 2 AS large", "count(*) AS n", 1000, 0};
    check_query(*state, &q, 4);
}
static void test_double_keys(void **state)
{
    static const struct query q = {NULL, "x::float8 AS x", "count(*) AS n", 0, 0};
    check_query(*state, &q, 6);
}

/* The view that was written down asks for the state that the app keeps. */
static void check_format(const char *dir, const struct query *q, size_t groups)
{
    check_query(dir, q, groups);
    char *path = scratch_path(dir, "state/shop/sums-0");
    struct store_view *view = open_view(path);
    weir_app *app = weir_app_open("shop", NULL);
    struct plan *plan;
    build(app, q);
    assert_int_equal(plan_compile(app, &plan, NULL), 0);
    assert_int_equal(plan->views[0].state_hash, store_view_state_hash(view));
    plan_destroy(plan);
    weir_app_close(app);
    store_view_close(view);
    free(path);
    source_kind = AS_JSON;
}

static void test_bytea_keys(void **state)
{
    static const struct query q = {NULL, "substr(value, 1, 12) AS head, key",
                                   "count(*) AS n, last(value) AS latest", 0, 0};
    source_kind = AS_BYTES;
    check_format(*state, &q, 6); /* two begin with {"who":"u1", */
}
static void test_a_format_of_the_program(void **state)
{
    static const struct query q = {"substr(value, 9, 4) AS who", "who", "count(*) AS n", 1000, 0};
    source_kind = AS_OWN;
    check_format(*state, &q, 6);
}

/* One pair by hand: the key, then its row. */
static void test_by_hand(void **state)
{
    static const struct query q = {NULL, "who", "count(*) AS n, sum(x) AS total", 1000, 0};
    char *path = run(*state, &q);
    struct store_view *view = open_view(path);
    struct buf key = {0}, other = {0}, text = {0};
    static const uint8_t expected[] = {0x80, 0, 0, 0, 0, 0, 0x03, 0xe8, 5, 2, 'u', '1'};
    assert_int_equal(
        store_view_key(view, "{\"who\":\"u1\",\"window_start\":\"1970-01-01T00:00:01.000Z\"}", &key,
                       NULL),
        0);
    assert_int_equal(
        store_view_key(view, "{ \"window_start\" : 1000, \"who\" : \"u1\" }", &other, NULL), 0);
    assert_true(bytes_equal(bytes_of(key.data, key.size), bytes_of(expected, sizeof expected)));
    assert_true(bytes_equal(bytes_of(other.data, other.size), bytes_of(expected, sizeof expected)));
    /* Version 1, 2 rows; the sum: 2 values, scale 2, 200 as a varint. */
    static const uint8_t value[] = {1, 2, 2, 2, 0x90, 0x03};
    assert_int_equal(store_view_json(view, bytes_of(expected, sizeof expected),
                                     bytes_of(value, sizeof value), &text, NULL),
                     0);
    buf_u8(&text, 0);
    assert_string_equal((const char *)text.data,
                        "{\"who\":\"u1\",\"window_start\":\"1970-01-01T00:00:01.000Z\","
                        "\"window_end\":\"1970-01-01T00:00:02.000Z\",\"n\":2,\"total\":2.00}");
    assert_int_equal(
        store_view_json(view, bytes_of(expected, 7), bytes_of(value, sizeof value), &text, NULL),
        ERR_CORRUPT);
    assert_int_equal(
        store_view_json(view, bytes_of(expected, 10), bytes_of(value, sizeof value), &text, NULL),
        ERR_CORRUPT);
    for (size_t cut = 0; cut < sizeof value; cut++)
        assert_int_equal(store_view_json(view, bytes_of(expected, sizeof expected),
                                         bytes_of(value, cut), &text, NULL),
                         ERR_CORRUPT);
    buf_deinit(&key);
    buf_deinit(&other);
    buf_deinit(&text);
    store_view_close(view);
    free(path);
}

static void refuse_key(struct store_view *view, const char *text)
{
    struct buf key = {0};
    struct diag diag = {0};
    if (store_view_key(view, text, &key, &diag) != ERR_INVALID)
        fail_msg("%s was taken as a key", text);
    assert_true(diag.text[0] != '\0');
    buf_deinit(&key);
}

static void test_bad_keys(void **state)
{
    static const struct query q = {NULL, "who", "count(*) AS n", 1000, 0};
    char *path = run(*state, &q);
    struct store_view *view = open_view(path);
    static const char *const bad[] = {"u1",
                                      "",
                                      "{",
                                      "{}",
                                      "{\"who\":\"u1\"}",
                                      "{\"who\":\"u1\",\"window_start\":\"yesterday\"}",
                                      "{\"who\":\"u1\",\"window_start\":null}",
                                      "{\"who\":\"u1\",\"window_start\":true}",
                                      "{\"who\":\"u1\",\"window_start\":1.5}",
                                      "{\"who\":\"u1\",\"window_start\":1000} x"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        refuse_key(view, bad[i]);
    store_view_close(view);
    free(path);
}

static void test_bad_keys_of_several_columns(void **state)
{
    static const struct query q = {NULL, "who, n", "count(*) AS c", 0, 0};
    char *path = run(*state, &q);
    struct store_view *view = open_view(path);
    refuse_key(view, "u1");
    refuse_key(view, "{\"who\":\"u1\",");
    store_view_close(view);
    free(path);
}

/* view.json names the same plan as the topology that wrote it, and is left alone while it is the
 * same. */
static void test_round_trip(void **state)
{
    static const struct query q = {"who, x::numeric AS x, at", "who", "sum(x) AS total", 60000, 0};
    const char *dir = *state;
    struct plan *plan;
    weir_app *app = weir_app_open("shop", &(weir_options){.data = dir});
    build(app, &q);
    assert_int_equal(plan_compile(app, &plan, NULL), 0);
    assert_int_equal(store_view_write(dir, app, &plan->views[0], NULL), 0);
    struct store_view *view = open_view(dir);
    assert_true(store_view_plan_hash(view) == plan->views[0].plan_hash);
    store_view_close(view);
    char *path = scratch_path(dir, "view.json");
    assert_int_equal(chmod(path, 0444), 0);
    struct stat before, after;
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(store_view_write(dir, app, &plan->views[0], NULL), 0);
    assert_int_equal(stat(path, &after), 0);
    assert_true(before.st_ino == after.st_ino);
    assert_int_equal(store_view_remove(dir, NULL), 0);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(store_view_remove(dir, NULL), 0);
    assert_int_equal(store_view_open(dir, &view, NULL), ERR_NOT_FOUND);
    free(path);
    plan_destroy(plan);
    weir_app_close(app);
}

static void test_bad_files(void **state)
{
    static const char *const bad[] = {
        "",
        "{",
        "[]",
        "{}",
        "null",
        "{\"app\":\"shop\",\"topic\":\"sums\",\"steps\":[]}",
        "{\"app\":\"shop\",\"topic\":\"sums\",\"steps\":[{\"kind\":\"source\",\"text\":\"events\"}]"
        "}", /* no aggregate */
        "{\"app\":\"shop\",\"topic\":\"sums\",\"steps\":[{\"kind\":\"magic\"}]}",
        "{\"app\":\"shop\",\"topic\":\"sums\",\"steps\":[{\"kind\":\"group\",\"text\":\"a\"}]}",
        "{\"app\":\"shop\",\"topic\":\"sums\",\"steps\":[5]}",
        "{\"app\":\"a/"
        "b\",\"topic\":\"sums\",\"steps\":[{\"kind\":\"source\",\"text\":\"events\"}]}",
        "{\"app\":\"shop\",\"topic\":\"sums\",\"steps\":[{\"kind\":\"source\",\"text\":\"e\"},{"
        "\"kind\":\"group\",\"text\":\"a\"},"
        "{\"kind\":\"aggregate\",\"text\":5}]}"};
    char *path = scratch_path(*state, "view.json");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct store_view *view;
        struct diag diag = {0};
        assert_int_equal(io_write_file(path, bad[i], strlen(bad[i]), NULL), 0);
        if (store_view_open(*state, &view, &diag) != ERR_CORRUPT)
            fail_msg("%s: %d %s", bad[i], diag.code, diag.text);
        assert_non_null(strstr(diag.text, "view.json"));
    }
    free(path);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
    scratch_dir_in_memory();
    const struct CMUnitTest tests[] = {
        TEST(test_raw_keys),        TEST(test_text_keys),
        TEST(test_several_columns), TEST(test_windows),
        TEST(test_hopping_windows), TEST(test_sessions),
        TEST(test_local_windows),   TEST(test_numeric_keys),
        TEST(test_time_keys),       TEST(test_boolean_keys),
        TEST(test_double_keys),     TEST(test_by_hand),
        TEST(test_bytea_keys),      TEST(test_a_format_of_the_program),
        TEST(test_bad_keys),        TEST(test_bad_keys_of_several_columns),
        TEST(test_round_trip),      TEST(test_bad_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
