/* test_verify_view.c: verify finds what was changed in a store and in the accounts, which no command
 * can change, and says what it cannot recompute. The output is test_cli_verify.py's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/app_views.h"
#include "runtime/port.h"
#include "runtime/progress.h"
#include "runtime/state/state.h"
#include "runtime/store_view.h"
#include "runtime/verify/verify.h"
#include "tests/support/scratch_dir.h"
#include "tests/support/weir_fixture.h"

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

/* ---- the job ---- */

static int keep_all(void *context, weir_call *call, const weir_value *values, size_t count)
{
    (void)context;
    (void)call;
    (void)values;
    (void)count;
    return 1;
}

static void run_job(const char *dir)
{
    weir_app *app = weir_app_open("job", &(weir_options){.data = dir, .until_end = true});
    weir_stream *rows = weir_lateness(weir_source(app, "events", WEIR_JSON, "at"), 0);
    weir_to(weir_aggregate(weir_group_by(rows, "who"), "sum(n) AS n, count(*) AS rows"), "sums");
    weir_stream *spans = weir_session(weir_group_by(rows, "who"), 10);
    weir_to(weir_aggregate(spans, "count(*) AS rows, last(n) AS n"), "spans");
    weir_to(weir_filter_fn(rows, "mine-1", "n", keep_all, NULL), "mine");
    weir_to(weir_filter(rows, "n > 2"), "some");
    assert_works(weir_app_run(app), weir_app_error(app));
    weir_app_close(app);
}

static void make(const char *dir)
{
    weir_log *log = weir_fixture_open(dir);
    weir_producer *producer = weir_fixture_producer(log, NULL);
    assert_works(weir_topic_create(log, "events", 1, NULL, 0), "events");
    char text[80];
    for (int i = 0; i < 30; i++) {
        snprintf(text, sizeof text, "{\"who\":\"u%d\",\"n\":%d,\"at\":%d}", i % 3, i,
                 1000 + i * 3 + (i / 10) * 40);
        assert_works(send_text(producer, "events", NULL, text), text);
    }
    assert_works(weir_flush(producer, -1), "flush");
    weir_producer_close(producer);
    weir_log_close(log);
    run_job(dir);
}

/* ---- what verify says ---- */

struct heard {
    int count;
    char kind[20], where[20], found[200], expected[200], text[200];
};

static void hear(void *context, const struct verify_difference *difference)
{
    struct heard *heard = context;
    if (heard->count++ > 0)
        return;
    snprintf(heard->kind, sizeof heard->kind, "%s", difference->kind);
    snprintf(heard->where, sizeof heard->where, "%s", difference->where);
    snprintf(heard->text, sizeof heard->text, "%s", difference->text);
    snprintf(heard->found, sizeof heard->found, "%.*s", (int)difference->found.size,
             (const char *)difference->found.data);
    snprintf(heard->expected, sizeof heard->expected, "%.*s", (int)difference->expected.size,
             (const char *)difference->expected.data);
}

static int verify(const char *dir, const char *view, struct heard *heard,
                  struct verify_outcome *outcome, struct diag *diag)
{
    struct port_log_options log = {.keeper_interval_ms = -1, .must_exist = true};
    struct verify_options options = {
        .data = dir, .app = "job", .view = view, .each = hear, .context = heard};
    struct port *port;
    *heard = (struct heard){0};
    *diag = (struct diag){0};
    assert_int_equal(port_log_open(dir, &log, &port, diag), 0);
    int rc = verify_view(&options, port, outcome, diag);
    port->ops->close(port);
    return rc;
}

static void assert_identical(const char *dir, const char *view, int64_t compared, int64_t states)
{
    struct heard heard;
    struct verify_outcome outcome;
    struct diag diag;
    assert_works(verify(dir, view, &heard, &outcome, &diag), diag.text);
    assert_string_equal(heard.text, "");
    assert_int_equal(outcome.differences, 0);
    assert_int_equal(outcome.compared, compared);
    assert_int_equal(outcome.states, states);
}

static void assert_found(const char *dir, const char *view, const char *kind, const char *where,
                         struct heard *heard)
{
    struct verify_outcome outcome;
    struct diag diag;
    assert_works(verify(dir, view, heard, &outcome, &diag), diag.text);
    assert_string_equal(heard->kind, kind);
    assert_string_equal(heard->where, where);
    assert_int_equal(outcome.differences, heard->count);
}

/* ---- what is changed ---- */

struct pairs_seen {
    struct bytes keys[64], values[64];
    int count;
    struct arena arena;
};

static int see(void *context, struct bytes key, struct bytes value)
{
    struct pairs_seen *seen = context;
    assert_true(seen->count < 64);
    seen->keys[seen->count] = arena_copy(&seen->arena, key);
    seen->values[seen->count++] = arena_copy(&seen->arena, value);
    return 0;
}

enum change { SWAPPED, REMOVED, ADDED };

/* In the store, behind the engine's back. */
static void change_store(const char *dir, const char *view, enum change change)
{
    struct pairs_seen seen = {.count = 0};
    struct state_options options = {.must_exist = true};
    struct state_position position;
    struct store_view *made;
    struct state *state;
    char *path = scratch_path(dir, "state/job/%s-0", view);
    arena_init(&seen.arena, 0);
    assert_int_equal(store_view_open(path, &made, NULL), 0);
    assert_int_equal(state_open(path, store_view_state_hash(made), &options, &state, NULL), 0);
    assert_int_equal(state_scan(state, bytes_of("", 0), (struct bytes){NULL, 0}, see, &seen, NULL),
                     0);
    assert_true(seen.count >= 2);
    state_position(state, &position);
    assert_int_equal(state_apply_begin(state, NULL), 0);
    if (change == SWAPPED)
        assert_int_equal(state_apply_put(state, seen.keys[0], seen.values[1], NULL), 0);
    else if (change == REMOVED)
        assert_int_equal(state_apply_put(state, seen.keys[0], (struct bytes){NULL, 0}, NULL), 0);
    else
        assert_int_equal(state_apply_put(state, bytes_text("\5\2u9"), seen.values[0], NULL), 0);
    assert_int_equal(state_apply_commit(state, &position, true, NULL), 0);
    state_close(state);
    store_view_close(made);
    arena_deinit(&seen.arena);
    free(path);
}

static void was_decided(void *context, int code)
{
    assert_int_equal(code, 0);
    __atomic_store_n((int *)context, 1, __ATOMIC_RELEASE);
}

/* The commit of a stage, said once more with other numbers. */
static void change_progress(const char *dir, const char *stage, int64_t late, int64_t watermark_ms)
{
    struct port *port;
    struct port_txn *txn;
    struct port_out *out;
    struct progress_set set = {0};
    struct buf key = {0}, value = {0};
    int64_t end;
    int decided = 0;
    assert_int_equal(port_log_open(dir, NULL, &port, NULL), 0);
    assert_int_equal(progress_load(port, "job-progress", &set, NULL), 0);
    const struct progress *found = progress_set_find(&set, stage, 0);
    assert_non_null(found);
    struct progress changed = *found;
    changed.counts.late += late;
    changed.counts.applied -= late;
    changed.watermark_ms += watermark_ms;
    progress_key(&changed, &key);
    progress_encode(&changed, &value);
    assert_int_equal(port->ops->txn_open(port, "planted", &txn, NULL), 0);
    assert_int_equal(port->ops->out_open(port, "job-progress", 0, &out, NULL), 0);
    assert_int_equal(port->ops->txn_participate(txn, &out, 1, NULL), 0);
    assert_int_equal(port->ops->txn_begin(txn, NULL), 0);
    assert_int_equal(port->ops->out_add(out, 1000, bytes_of(key.data, key.size),
                                        bytes_of(value.data, value.size), (struct bytes){NULL, 0},
                                        0, NULL),
                     0);
    assert_int_equal(port->ops->txn_send(txn, out, &end, NULL), 0);
    assert_int_equal(port->ops->txn_commit(txn, was_decided, &decided, NULL), 0);
    port->ops->out_close(out);
    port->ops->txn_close(txn); /* waits for the decision */
    port->ops->close(port);
    assert_int_equal(__atomic_load_n(&decided, __ATOMIC_ACQUIRE), 1);
    progress_set_deinit(&set);
    buf_deinit(&key);
    buf_deinit(&value);
}

/* ---- tests ---- */

static void stores_are_compared(void **state)
{
    const char *dir = *state;
    struct heard heard;
    make(dir);
    assert_identical(dir, "sums", 3, 3);
    assert_identical(dir, "some", 27, 0);
    change_store(dir, "sums", SWAPPED);
    assert_found(dir, "sums", "value", "store", &heard);
    assert_string_equal(heard.expected, "{\"who\":\"u0\",\"n\":135,\"rows\":10}");
    assert_string_equal(heard.found, "{\"who\":\"u0\",\"n\":145,\"rows\":10}");
    change_store(dir, "sums", REMOVED);
    assert_found(dir, "sums", "missing", "store", &heard);
    change_store(dir, "sums", ADDED);
    assert_found(dir, "sums", "unknown", "store", &heard);
}

/* Cells of a session are changed, and it is the session that is told. */
static void sessions_are_compared(void **state)
{
    const char *dir = *state;
    struct heard heard;
    struct verify_outcome outcome;
    struct diag diag;
    make(dir);
    assert_works(verify(dir, "spans", &heard, &outcome, &diag), diag.text);
    assert_int_equal(outcome.differences, 0);
    assert_int_equal(outcome.groups, 9);
    assert_int_equal(outcome.closed + outcome.open, 9);
    assert_true(outcome.states >= 3);
    change_store(dir, "spans", SWAPPED);
    assert_works(verify(dir, "spans", &heard, &outcome, &diag), diag.text);
    assert_true(outcome.differences >= 1);
    assert_string_equal(heard.where, "store");
}

static void accounts_and_time_are_compared(void **state)
{
    const char *dir = *state;
    struct heard heard;
    make(dir);
    change_progress(dir, "some", 2, 0);
    assert_found(dir, "some", "count", "progress", &heard);
    assert_string_equal(heard.text, "the account of rows: applied");
    assert_string_equal(heard.expected, "27");
    assert_string_equal(heard.found, "25");
    change_progress(dir, "spans", 0, 1);
    assert_found(dir, "spans", "time", "progress", &heard);
    assert_string_equal(heard.text, "the watermark");
}

static void functions_are_named_and_refused(void **state)
{
    const char *dir = *state;
    struct heard heard;
    struct verify_outcome outcome;
    struct diag diag;
    make(dir);
    assert_int_equal(verify(dir, "mine", &heard, &outcome, &diag), ERR_UNSUPPORTED);
    assert_says(diag.text, "mine-1");
    assert_int_equal(verify(dir, "none", &heard, &outcome, &diag), ERR_NOT_FOUND);
    assert_says(diag.text, "has no view none");
}

int main(void)
{
    scratch_dir_in_memory();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(stores_are_compared, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sessions_are_compared, set_up, tear_down),
        cmocka_unit_test_setup_teardown(accounts_and_time_are_compared, set_up, tear_down),
        cmocka_unit_test_setup_teardown(functions_are_named_and_refused, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
