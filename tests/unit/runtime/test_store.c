/* test_store.c: a store holds exactly the committed prefix of its changelog, wherever it was opened
 * from.
 *
 * The changelog is written here, through the door, with transactions; the expected content is a
 * small array of the last value of each key. A stage is filled in by hand: a store asks no more of
 * a plan than names, ids and hashes. */
#include <errno.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/io.h"
#include "runtime/store.h"
#include "runtime/weir_handle.h"
#include "tests/support/log_fixture.h"
#include "tests/support/pairs.h"
#include "tests/support/scratch_dir.h"

enum { KEYS = 5000, VALUE_BYTES_MAX = 2000, WAIT_SECONDS = 60 };
#define CHANGELOG "shop-sums-changelog"

struct fixture {
    char *dir;
    weir_app *app;
    struct plan *plan;
    struct stage stage;
    weir_log *log;
    struct port *port;
    struct port_txn *txn;
    struct port_out *out;
    int values[KEYS]; /* the model: 0 = not there */
    int keys;         /* how many of them are used */
    size_t value_bytes;
};

static void open_log(struct fixture *f)
{
    struct port_topic info;
    assert_int_equal(weir_log_open(f->dir, NULL, &f->log), 0);
    assert_int_equal(port_log_share(f->log, "shop", &f->port, NULL), 0);
    int rc = f->port->ops->topic_describe(f->port, CHANGELOG, &info, NULL);
    if (rc == ERR_NOT_FOUND) {
        assert_int_equal(f->port->ops->topic_create(f->port, CHANGELOG, 1, NULL, 0, NULL), 0);
        rc = f->port->ops->topic_describe(f->port, CHANGELOG, &info, NULL);
    }
    assert_int_equal(rc, 0);
    memcpy(f->stage.changelog_id, info.id, 16);
    assert_int_equal(f->port->ops->out_open(f->port, CHANGELOG, 0, &f->out, NULL), 0);
    assert_int_equal(f->port->ops->txn_open(f->port, "w", &f->txn, NULL), 0);
    assert_int_equal(f->port->ops->txn_participate(f->txn, &f->out, 1, NULL), 0);
}
static void close_log(struct fixture *f)
{
    f->port->ops->txn_close(f->txn);
    f->port->ops->out_close(f->out);
    f->port->ops->close(f->port);
    assert_int_equal(weir_log_close(f->log), 0);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    *state = f;
    f->dir = scratch_dir_create();
    f->value_bytes = 8;
    f->keys = 40;
    f->app = weir_app_open("shop", &(weir_options){.data = f->dir, .memory_bytes = 1 << 20});
    weir_to(weir_aggregate(weir_group_by(weir_source(f->app, "orders", WEIR_JSON, NULL), "k"),
                           "count(*) AS n"),
            "sums");
    assert_int_equal(plan_compile(f->app, &f->plan, NULL), 0);
    f->stage.view = &f->plan->views[0];
    f->stage.plan_hash = f->plan->views[0].plan_hash;
    snprintf(f->stage.name, sizeof f->stage.name, "sums");
    snprintf(f->stage.changelog_topic, sizeof f->stage.changelog_topic, CHANGELOG);
    open_log(f);
    return 0;
}
static int tear_down(void **state)
{
    struct fixture *f = *state;
    close_log(f);
    plan_destroy(f->plan);
    weir_app_close(f->app);
    scratch_dir_remove(f->dir);
    free(f);
    return 0;
}

/* ---- the changelog ---- */

static size_t value_of(const struct fixture *f, int value, char out[VALUE_BYTES_MAX])
{
    memset(out, 'v', f->value_bytes);
    int size = snprintf(out, 32, "%d", value);
    out[size] = 'v';
    return f->value_bytes;
}

/* value 0: a tombstone. */
static void add(struct fixture *f, int key, int value)
{
    char name[16], text[VALUE_BYTES_MAX];
    snprintf(name, sizeof name, "key%04d", key);
    struct bytes bytes =
        value != 0 ? bytes_of(text, value_of(f, value, text)) : (struct bytes){NULL, 0};
    assert_int_equal(
        f->port->ops->out_add(f->out, 0, bytes_text(name), bytes, (struct bytes){NULL, 0}, 0, NULL),
        0);
}

static void send(struct fixture *f)
{
    int64_t end;
    assert_int_equal(f->port->ops->txn_begin(f->txn, NULL), 0);
    assert_int_equal(f->port->ops->txn_send(f->txn, f->out, &end, NULL), 0);
}

struct decision {
    sem_t done;
    int code;
};
static void decided(void *context, int code)
{
    struct decision *decision = context;
    decision->code = code;
    sem_post(&decision->done);
}
static void commit(struct fixture *f)
{
    struct decision decision = {.code = 1};
    struct port_range range;
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_SECONDS;
    sem_init(&decision.done, 0, 0);
    assert_int_equal(f->port->ops->txn_commit(f->txn, decided, &decision, NULL), 0);
    int rc;
    while ((rc = sem_timedwait(&decision.done, &until)) < 0 && errno == EINTR)
        ;
    assert_int_equal(rc, 0);
    assert_int_equal(decision.code, 0);
    sem_destroy(&decision.done);
    assert_int_equal(f->port->ops->settled_range(f->port, CHANGELOG, 0, &range, NULL), 0);
}

/* A committed transaction of records first, first + 1 …: each sets a key, every fifth deletes one.
 */
static void change(struct fixture *f, int first, int count)
{
    for (int i = first; i < first + count; i++) {
        int key = (i * 7) % f->keys, value = i % 5 == 4 ? 0 : i + 1;
        add(f, key, value);
        f->values[key] = value;
    }
    send(f);
    commit(f);
}

/* ---- the store ---- */

static void open_store(struct fixture *f, struct store *store)
{
    struct diag diag = {0};
    if (store_open(store, f->port, f->plan, &f->stage, 0, &diag) < 0)
        fail_msg("store_open: %s", diag.text);
}
static int refuse_store(struct fixture *f, struct diag *diag)
{
    struct store store;
    int rc = store_open(&store, f->port, f->plan, &f->stage, 0, diag);
    store_close(&store);
    return rc;
}
static char *store_dir(const struct fixture *f)
{
    return scratch_path(f->dir, "state/shop/sums-0");
}

static int add_pair(void *context, struct bytes key, struct bytes value)
{
    pairs_add(context, key, value);
    return 0;
}
static void assert_content(struct fixture *f, struct store *store, int64_t offset)
{
    struct pairs expected, actual;
    struct state_position position;
    pairs_init(&expected);
    pairs_init(&actual);
    for (int key = 0; key < KEYS; key++) {
        char name[16], text[VALUE_BYTES_MAX];
        snprintf(name, sizeof name, "key%04d", key);
        if (f->values[key] != 0)
            pairs_add(&expected, bytes_text(name),
                      bytes_of(text, value_of(f, f->values[key], text)));
    }
    assert_int_equal(state_renew(store->state, NULL), 0);
    assert_int_equal(state_scan(store->state, (struct bytes){NULL, 0}, (struct bytes){NULL, 0},
                                add_pair, &actual, NULL),
                     0);
    assert_true(pairs_same("store", &expected, &actual));
    state_position(store->state, &position);
    assert_true(position.offset == offset && store->applied_offset == offset);
    assert_memory_equal(position.topic_id, f->stage.changelog_id, 16);
    pairs_deinit(&expected);
    pairs_deinit(&actual);
}

static void test_only_what_is_committed(void **state)
{
    struct fixture *f = *state;
    struct store store;
    change(f, 0, 30); /* offsets 0–29, marker 30 */
    open_store(f, &store);
    assert_content(f, &store, 31);
    add(f, 1, 999);
    add(f, 2, 0);
    send(f); /* 31, 32: undecided */
    assert_int_equal(store_follow(&store, NULL, true, NULL), 0);
    assert_content(f, &store, 31);
    commit(f); /* marker 33 */
    f->values[1] = 999;
    f->values[2] = 0;
    assert_int_equal(store_follow(&store, NULL, false, NULL), 0);
    assert_content(f, &store, 34);
    add(f, 3, 1234);
    send(f);
    assert_int_equal(f->port->ops->txn_abort(f->txn, NULL), 0); /* 34, marker 35 */
    change(f, 100, 1);                                          /* 36, marker 37 */
    assert_int_equal(store_follow(&store, NULL, false, NULL), 0);
    assert_content(f, &store, 38);
    assert_int_equal(store_follow(&store, NULL, false, NULL), 0); /* nothing new: nothing happens */
    assert_content(f, &store, 38);
    store_close(&store);
}

static void test_restart_from_position(void **state)
{
    struct fixture *f = *state;
    struct store store;
    change(f, 0, 10);
    open_store(f, &store);
    store_close(&store);
    change(f, 10, 10);
    close_log(f);
    open_log(f);
    /* What lies below the position is gone: only the tail can have been read. */
    assert_int_equal(f->port->ops->purge(f->port, CHANGELOG, 0, 11, NULL), 0);
    open_store(f, &store);
    assert_content(f, &store, 22);
    store_close(&store);
}

/* 1 MiB slices (the smallest) over 9 MB: a crash at the n-th slice leaves a store that the next
 * start completes. */
static int follow_all(void *context)
{
    struct fixture *f = context;
    struct store store;
    open_log(f);
    int rc = store_open(&store, f->port, f->plan, &f->stage, 0, NULL);
    store_close(&store);
    close_log(f);
    return rc == 0 ? 0 : 1;
}

static void test_slices(void **state)
{
    struct fixture *f = *state;
    struct store store;
    f->value_bytes = VALUE_BYTES_MAX;
    f->keys = KEYS;
    for (int i = 0; i < 12; i++)
        change(f, i * 400, 400); /* 401 offsets each, 800 KB */
    close_log(f);
    assert_int_equal(fixture_child(follow_all, f, "checkpoint_slice:3"), 137);
    char *dir = store_dir(f);
    struct pairs pairs;
    struct state_position position;
    pairs_init(&pairs);
    assert_true(pairs_add_store(&pairs, dir, &position));
    assert_true(position.offset > 0 && position.offset < 12 * 401); /* two slices of several */
    assert_true(pairs.count > 0);
    pairs_deinit(&pairs);
    free(dir);
    open_log(f);
    open_store(f, &store);
    assert_content(f, &store, 12 * 401);
    store_close(&store);
}

static void test_other_changelog(void **state)
{
    struct fixture *f = *state;
    struct store store;
    change(f, 0, 50);
    open_store(f, &store);
    store_close(&store);
    close_log(f);
    struct log *log = fixture_open(f->dir);
    assert_int_equal(topic_delete(log, CHANGELOG, NULL), 0);
    log_close(log);
    open_log(f);
    memset(f->values, 0, sizeof f->values);
    change(f, 3, 2);
    open_store(f, &store);
    assert_content(f, &store, 3);
    store_close(&store);
}

static void test_other_plan(void **state)
{
    struct fixture *f = *state;
    struct store store;
    change(f, 0, 50);
    open_store(f, &store);
    store_close(&store);
    f->stage.plan_hash ^= 1;
    open_store(f, &store);
    assert_content(f, &store, 51);
    store_close(&store);
}

static void test_ahead_is_refused(void **state)
{
    struct fixture *f = *state;
    struct store store;
    struct diag diag = {0};
    change(f, 0, 10);
    open_store(f, &store);
    struct state_position position = {.offset = 4711};
    memcpy(position.topic_id, f->stage.changelog_id, 16);
    assert_int_equal(state_apply_begin(store.state, NULL), 0);
    assert_int_equal(state_apply_commit(store.state, &position, true, NULL), 0);
    store_close(&store);
    assert_int_equal(refuse_store(f, &diag), ERR_CORRUPT);
    assert_non_null(strstr(diag.text, "up to offset 4711"));
    assert_non_null(strstr(diag.text, "ends at 11"));
    assert_non_null(strstr(diag.text, "delete the store's directory"));
    assert_int_equal(store_remove(f->plan->app->data, f->plan->app->name, f->stage.name, 0, NULL),
                     0); /* as the message says */
    open_store(f, &store);
    assert_content(f, &store, 11);
    store_close(&store);
}

static void test_deleted_store_comes_back(void **state)
{
    struct fixture *f = *state;
    struct store store;
    for (int i = 0; i < 20; i++)
        change(f, i * 13, 13);
    open_store(f, &store);
    assert_content(f, &store, 20 * 14);
    store_close(&store);
    char *dir = store_dir(f);
    assert_int_equal(store_remove(f->plan->app->data, f->plan->app->name, f->stage.name, 0, NULL),
                     0);
    assert_int_not_equal(access(dir, F_OK), 0);
    open_store(f, &store);
    assert_content(f, &store, 20 * 14);
    store_close(&store);
    free(dir);
}

/* A store that cannot be opened is rebuilt. */
static void test_damaged_store_is_rebuilt(void **state)
{
    struct fixture *f = *state;
    struct store store;
    change(f, 0, 30);
    open_store(f, &store);
    store_close(&store);
    char *dir = store_dir(f), *data = scratch_path(dir, "data.mdb");
    assert_int_equal(access(data, F_OK), 0);
    assert_int_equal(truncate(data, 100), 0);
    open_store(f, &store);
    assert_content(f, &store, 31);
    store_close(&store);
    free(data);
    free(dir);
}

/* ---- compaction below a store ---- */

static void make_compacted(struct fixture *f)
{
    const struct config_entry config[] = {{"cleanup.policy", "compact"},
                                          {"delete.retention.ms", "1000"}};
    assert_int_equal(topic_alter(f->log->log, CHANGELOG, config, 2, NULL), 0);
}

/* Everything written so far, twice: the second pass, days later, finds the tombstones of the first
 * too old. */
static void compact_away(struct fixture *f, int days)
{
    struct diag diag = {0};
    int64_t now_ms = (int64_t)time(NULL) * 1000;
    for (int pass = 0; pass < 2; pass++, now_ms += days * WEIR_DAYS(1))
        if (topic_clean(f->log->log, CHANGELOG, now_ms, NULL, &diag) < 0)
            fail_msg("topic_clean: %s", diag.text);
}

static int64_t horizon(struct fixture *f)
{
    return partition_tombstone_horizon(fixture_partition(f->log->log, CHANGELOG, 0));
}

static void delete_key(struct fixture *f, int key)
{
    add(f, key, 0);
    send(f);
    commit(f);
    f->values[key] = 0;
}

/* A store that was away while a deletion was made and forgotten begins anew. */
static void test_missed_deletions(void **state)
{
    struct fixture *f = *state;
    struct store store;
    make_compacted(f);
    change(f, 0, 10); /* 0–9, marker 10; key 0 is there */
    open_store(f, &store);
    store_close(&store);
    delete_key(f, 0); /* 11, marker 12 */
    compact_away(f, 1);
    assert_int_equal(horizon(f), 12);
    open_store(f, &store);
    assert_content(f, &store, 13);
    store_close(&store);
    close_log(f);
    open_log(f); /* the horizon is durable; a store above it goes on */
    assert_int_equal(horizon(f), 12);
    change(f, 10, 3);
    open_store(f, &store);
    assert_content(f, &store, 17);
    store_close(&store);
}

/* As long as a store follows, nothing is forgotten that it has not seen. */
static void test_deletions_wait_for_the_store(void **state)
{
    struct fixture *f = *state;
    struct store store;
    make_compacted(f);
    change(f, 0, 10);
    open_store(f, &store);
    delete_key(f, 0); /* 11, marker 12 */
    compact_away(f, 1);
    assert_true(horizon(f) <= 11);
    assert_int_equal(store_follow(&store, NULL, false, NULL), 0);
    assert_content(f, &store, 13);
    compact_away(f, 2);
    assert_int_equal(horizon(f), 12);
    store_close(&store);
    open_store(f, &store);
    assert_content(f, &store, 13);
    store_close(&store);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
    scratch_dir_in_memory();
    const struct CMUnitTest tests[] = {
        TEST(test_only_what_is_committed),
        TEST(test_restart_from_position),
        TEST(test_slices),
        TEST(test_other_changelog),
        TEST(test_other_plan),
        TEST(test_ahead_is_refused),
        TEST(test_deleted_store_comes_back),
        TEST(test_damaged_store_is_rebuilt),
        TEST(test_missed_deletions),
        TEST(test_deletions_wait_for_the_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
