/* weir_test.c: the test driver: an app's engine on a log of its own, driven by the calling thread.
 *
 * It owns a directory, a log without threads (log_options.driven), the virtual clock
 * (base/clock.h) and, while there is one, a life of the engine (weir_test_engine.c). The app is the
 * caller's: its options are lent (log, data) for as long as the test lasts. Nothing here processes
 * a record; what a test sees is what weir_app_run would have done.
 *
 * Every call has the same shape: enter refuses bad handles and a dead engine; then the work; leave
 * notices that the engine died in it (weir_test_kill.c), takes it down, and keeps the sentence of a
 * failure. */
#include "runtime/weir_test.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/base/io.h"
#include "runtime/weir_handle.h"

#define START_MS   INT64_C(1767225600000) /* 2026-01-01T00:00:00Z */
#define ADVANCE_MS (INT64_C(365250) * 86400000)

enum { FINISH_MS = 3600000 }; /* then weir_test_finish gives up */

static atomic_bool is_taken; /* the process's clock and its files' gate */

/* ---- coming and going ---- */

static void close_producer(weir_test *test)
{
    if (test->producer != NULL)
        (void)weir_producer_close(test->producer);
    test->producer = NULL;
}

/* After death: closes what may still write, if it could. */
static int take_down(weir_test *test)
{
    if (test->engine.is_open)
        test->app->options.progress = NULL; /* the dead call nobody */
    engine_drop(&test->engine);
    test->app->options.progress = test->app_options.progress;
    close_producer(test);
    if (test->log == NULL)
        return 0;
    int rc = weir_log_close(test->log);
    if (rc < 0)
        return diag_set(&test->diag, rc, "%s", weir_log_error());
    test->log = NULL;
    test->app->options.log = NULL;
    return 0;
}

static int leave(weir_test *test, int rc)
{
    if (test->is_dead) {
        (void)take_down(test); /* what is open on the log keeps it, until weir_test_restart */
        test->diag = (struct diag){0};
        test->is_told = true;
        return WEIR_TEST_KILLED;
    }
    if (rc < 0 && test->diag.text[0] == '\0')
        diag_set(&test->diag, rc, "%s", error_text(rc));
    return rc;
}

/* 0: the call may go on; else what it returns. */
static int enter(weir_test *test)
{
    if (test == NULL)
        return ERR_INVALID;
    test->diag = (struct diag){0};
    if (test->is_dead && !test->is_told)
        return leave(test, 0); /* it died in a call on weir_test_log */
    if (test->is_dead)
        return diag_set(&test->diag, ERR_STATE,
                        "the engine was killed at %s: weir_test_restart starts the next one",
                        test->died_at);
    return 0;
}

static int fail_by_log(weir_test *test, int rc)
{
    return rc < 0 ? diag_set(&test->diag, rc, "%s", weir_log_error()) : rc;
}

static int fail_by_app(weir_test *test, int rc)
{
    return rc < 0 ? diag_set(&test->diag, rc, "%s", weir_app_error(test->app)) : rc;
}

/* ---- topics and records that come in ---- */

static int make_topic(weir_test *test, const char *topic)
{
    int rc = weir_topic_describe(test->log, topic, NULL);
    if (rc == ERR_NOT_FOUND)
        rc = weir_topic_create(test->log, topic, test->partitions, NULL, 0);
    return fail_by_log(test, rc);
}

static int send_record(weir_test *test, int32_t partition, const weir_record *record)
{
    if (record == NULL || record->topic == NULL)
        return diag_set(&test->diag, ERR_INVALID, "a record and its topic are needed, not NULL");
    if (test->producer == NULL)
        TRY(fail_by_log(test,
                        weir_producer_open(test->log, &(weir_producer_options){.linger_ms = -1},
                                           &test->producer)));
    int rc = partition == -1 ? weir_send(test->producer, record)
                             : weir_send_to(test->producer, partition, record);
    if (rc == ERR_NOT_FOUND && weir_topic_describe(test->log, record->topic, NULL) < 0) {
        TRY(make_topic(test, record->topic));
        rc = partition == -1 ? weir_send(test->producer, record)
                             : weir_send_to(test->producer, partition, record);
    }
    return rc < 0 ? diag_set(&test->diag, rc, "%s", weir_producer_error(test->producer)) : 0;
}

int weir_test_send_record(weir_test *test, int32_t partition, const weir_record *record)
{
    int rc = enter(test);
    return rc != 0 ? rc : leave(test, send_record(test, partition, record));
}

int weir_test_send(weir_test *test, const char *topic, int32_t partition, int64_t timestamp_ms,
                   const char *key, const char *value)
{
    return weir_test_send_record(test, partition,
                                 &(weir_record){.topic = topic,
                                                .key = key,
                                                .key_size = key != NULL ? strlen(key) : 0,
                                                .value = value,
                                                .value_size = value != NULL ? strlen(value) : 0,
                                                .timestamp_ms = timestamp_ms});
}

static int flush(weir_test *test)
{
    if (test->producer == NULL)
        return 0;
    int rc = weir_flush(test->producer, -1);
    return rc < 0 ? diag_set(&test->diag, rc, "%s", weir_producer_error(test->producer)) : 0;
}

int weir_test_flush(weir_test *test)
{
    int rc = enter(test);
    return rc != 0 ? rc : leave(test, flush(test));
}

/* ---- the engine ---- */

static bool is_written(const weir_app *app, const char *topic)
{
    for (const struct sink *sink = app->sinks; sink != NULL; sink = sink->next)
        if (strcmp(sink->topic, topic) == 0)
            return true;
    return false;
}

static int make_sources(weir_test *test)
{
    for (const struct weir_stream *s = test->app->nodes; s != NULL; s = s->next_owned)
        if (s->kind == NODE_SOURCE && s->text != NULL && !is_written(test->app, s->text))
            TRY(make_topic(test, s->text));
    return 0;
}

/* What was sent is written, and there is an engine. */
static int need_engine(weir_test *test)
{
    TRY(flush(test));
    if (test->engine.is_open || test->is_dead)
        return 0;
    if (test->app->error == 0)
        TRY(make_sources(test));
    if (test->is_dead)
        return 0;
    int rc = fail_by_app(test, engine_open(&test->engine, test->app, test->log));
    if (rc == 0)
        test->app->options.from_beginning = false; /* it was asked for once */
    return rc;
}

static int step(weir_test *test, bool *idle)
{
    *idle = true;
    return fail_by_app(test, engine_turn(&test->engine, idle));
}

int weir_test_step(weir_test *test, bool *idle)
{
    bool unused;
    if (idle == NULL)
        idle = &unused;
    *idle = true;
    int rc = enter(test);
    if (rc != 0)
        return rc;
    rc = need_engine(test);
    if (rc == 0 && !test->is_dead)
        rc = step(test, idle);
    return leave(test, rc);
}

static int run(weir_test *test)
{
    bool idle = false;
    TRY(need_engine(test));
    while (!idle && !test->is_dead && test->engine.is_open)
        TRY(step(test, &idle));
    return 0;
}

int weir_test_run(weir_test *test)
{
    int rc = enter(test);
    return rc != 0 ? rc : leave(test, run(test));
}

static int finish(weir_test *test, bool close_windows)
{
    TRY(need_engine(test));
    if (test->is_dead)
        return 0;
    test->app->options.close_windows = close_windows;
    int rc = run_set_ends(&test->engine.run);
    if (rc < 0)
        test->diag = test->engine.run.diag;
    bool idle = false;
    int64_t until_ms = clock_mono_ms() + FINISH_MS;
    while (rc == 0 && !test->is_dead && test->engine.is_open) {
        rc = step(test, &idle);
        if (!idle || !test->engine.is_open)
            continue;
        if (clock_mono_ms() >= until_ms)
            rc =
                diag_set(&test->diag, ERR_TIMEOUT,
                         "app %s did not come to its end in %d minutes of its clock: is a pipeline "
                         "paused, or does one go on failing?",
                         test->app->name, FINISH_MS / 60000);
        else /* what is left waits: for the interval of commits, to try again */
            clock_virtual_advance(test->engine.wait_ms);
    }
    test->app->options.until_end = test->app->options.close_windows = false;
    return rc;
}

int weir_test_finish(weir_test *test, bool close_windows)
{
    int rc = enter(test);
    return rc != 0 ? rc : leave(test, finish(test, close_windows));
}

/* ---- time ---- */

int weir_test_advance(weir_test *test, int64_t ms)
{
    int rc = enter(test);
    if (rc != 0)
        return rc;
    rc = ms >= 0 && ms <= ADVANCE_MS
             ? flush(test)
             : diag_set(&test->diag, ERR_INVALID,
                        "time goes forward, by 1000 years at most, and not by %" PRId64 " ms", ms);
    if (rc == 0 && !test->is_dead)
        clock_virtual_advance(ms);
    return leave(test, rc);
}

int64_t weir_test_now(const weir_test *test)
{
    return test != NULL ? clock_wall_ms() : 0;
}

/* ---- what comes out ---- */

static struct test_cursor *find_cursor(weir_test *test, const char *topic)
{
    struct test_cursor *cursor = test->cursors;
    while (cursor != NULL && strcmp(cursor->topic, topic) != 0)
        cursor = cursor->next;
    return cursor;
}

/* Of a topic that exists; topics grow. */
static int need_cursor(weir_test *test, const char *topic, struct test_cursor **out)
{
    weir_topic_info info;
    TRY(fail_by_log(test, weir_topic_describe(test->log, topic, &info)));
    struct test_cursor *cursor = find_cursor(test, topic);
    if (cursor == NULL) {
        cursor = calloc(1, sizeof *cursor + strlen(topic) + 1);
        if (cursor == NULL)
            return diag_set(&test->diag, ERR_NOMEM, "no memory to read %s", topic);
        memcpy(cursor->topic, topic, strlen(topic) + 1);
        cursor->next = test->cursors;
        test->cursors = cursor;
    }
    if (cursor->partitions < info.partitions) {
        int64_t *positions =
            realloc(cursor->positions, (size_t)info.partitions * sizeof *positions);
        if (positions == NULL)
            return diag_set(&test->diag, ERR_NOMEM, "no memory to read %s", topic);
        for (int32_t p = cursor->partitions; p < info.partitions; p++)
            positions[p] = 0;
        cursor->positions = positions;
        cursor->partitions = info.partitions;
    }
    *out = cursor;
    return 0;
}

int weir_test_read(weir_test *test, const char *topic, weir_record **records, size_t *count)
{
    struct test_cursor *cursor;
    if (records != NULL)
        *records = NULL;
    if (count != NULL)
        *count = 0;
    int rc = enter(test);
    if (rc != 0)
        return rc;
    if (topic == NULL || records == NULL || count == NULL)
        return diag_set(&test->diag, ERR_INVALID,
                        "weir_test_read needs a topic and places for its results, not NULL");
    rc = flush(test);
    if (rc == 0 && !test->is_dead)
        rc = need_cursor(test, topic, &cursor);
    if (rc == 0 && !test->is_dead)
        rc = read_topic(test, cursor, records, count, &test->diag);
    return leave(test, rc);
}

int weir_test_rewind(weir_test *test, const char *topic)
{
    int rc = enter(test);
    if (rc != 0)
        return rc;
    if (topic == NULL)
        return diag_set(&test->diag, ERR_INVALID, "topic is NULL");
    struct test_cursor *cursor = find_cursor(test, topic);
    for (int32_t p = 0; cursor != NULL && p < cursor->partitions; p++)
        cursor->positions[p] = 0;
    return 0;
}

int weir_test_get(weir_test *test, const char *topic, const char *key, char **json)
{
    struct buf text;
    if (json != NULL)
        *json = NULL;
    int rc = enter(test);
    if (rc != 0)
        return rc;
    if (topic == NULL || key == NULL || json == NULL)
        return diag_set(&test->diag, ERR_INVALID,
                        "weir_test_get needs a topic, a key and a place for the result, not NULL");
    buf_init(&text, 0);
    rc = need_engine(test);
    if (rc == 0 && !test->is_dead)
        rc = engine_get(&test->engine, topic, key, &text, &test->diag);
    if (rc == 0 && !test->is_dead) {
        buf_u8(&text, 0);
        *json = buf_ok(&text) ? strdup((const char *)text.data) : NULL;
        if (*json == NULL)
            rc = diag_set(&test->diag, ERR_NOMEM, "no memory for the state of a group");
    }
    buf_deinit(&text);
    return leave(test, rc);
}

/* ---- lives ---- */

int weir_test_kill(weir_test *test)
{
    int rc = enter(test);
    if (rc != 0)
        return rc;
    rc = flush(test);
    if (rc < 0)
        return leave(test, rc);
    if (!test->is_dead)
        kill_now(test, "weir_test_kill");
    rc = leave(test, 0);
    return rc == WEIR_TEST_KILLED ? 0 : rc;
}

static void lend_app(weir_test *test, weir_app *app)
{
    test->app = app;
    test->app_options = app->options;
    test->app_data = app->data;
    app->data = test->dir;
    app->options.data = test->dir;
    app->options.log = test->log;
    app->options.until_end = app->options.close_windows = false;
}

static void give_back_app(weir_test *test)
{
    test->app->options = test->app_options;
    test->app->data = test->app_data;
}

static int check_app(const weir_app *app, struct diag *diag)
{
    if (app == NULL)
        return diag_set(diag, ERR_INVALID, "app is NULL");
    if (app->options.log != NULL)
        return diag_set(diag, ERR_INVALID,
                        "app %s has options.log; a weir_test has a log of its own", app->name);
    return 0;
}

static int open_log(weir_test *test)
{
    const struct weir_options *options = &test->app->options;
    struct log_options log = {
        .durability = options->durability == WEIR_DURABILITY_OS ? DURABILITY_OS : DURABILITY_COMMIT,
        .keeper_interval_ms = (int32_t)options->keeper_interval_ms,
        .cleaner_bytes_per_s = -1, /* it would only make the clock go on */
        .driven = true};
    int rc = handle_open(test->dir, &log, &test->log);
    test->app->options.log = test->log;
    return fail_by_log(test, rc);
}

static int restart(weir_test *test, weir_app *app)
{
    TRY(take_down(test));
    kill_undo(test);
    if (app != NULL) {
        give_back_app(test);
        lend_app(test, app);
    }
    return open_log(test);
}

int weir_test_restart(weir_test *test, weir_app *app)
{
    if (test == NULL)
        return ERR_INVALID;
    test->diag = (struct diag){0};
    if (app != NULL && app != test->app) {
        TRY(check_app(app, &test->diag));
        if (strcmp(app->name, test->app->name) != 0)
            return diag_set(&test->diag, ERR_INVALID,
                            "the new version of app %s has another name, %s", test->app->name,
                            app->name);
    }
    if (!test->is_dead) {
        int rc = flush(test);
        if (rc == 0 && !test->is_dead && test->engine.is_open)
            rc = fail_by_app(test, engine_end(&test->engine));
        if (rc < 0 || test->is_dead)
            return leave(test, rc);
    }
    return leave(test, restart(test, app != test->app ? app : NULL));
}

/* ---- open and close ---- */

static int make_directory(weir_test *test, const char *data, struct diag *diag)
{
    const char *base = getenv("TMPDIR");
    if (data != NULL) {
        test->dir = strdup(data);
        return test->dir != NULL ? 0 : diag_set(diag, ERR_NOMEM, "no memory for a test");
    }
    if (base == NULL || base[0] == '\0')
        base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    if (asprintf(&test->dir, "%s/weir-test-XXXXXX", base) < 0) {
        test->dir = NULL;
        return diag_set(diag, ERR_NOMEM, "no memory for a test");
    }
    if (mkdtemp(test->dir) == NULL)
        return diag_errno(diag, "cannot make the directory %s", test->dir);
    test->owns_dir = true;
    return 0;
}

static int check_options(const weir_test_options *options, struct diag *diag)
{
    if (options == NULL)
        return 0;
    TRY(reserved_check(options->reserved, "weir_test_options", diag));
    if (options->partitions < 0 || options->partitions > 10000)
        return diag_set(diag, ERR_INVALID, "partitions must be 1 to 10000, not %d",
                        (int)options->partitions);
    return 0;
}

static void destroy(weir_test *test)
{
    if (test->owns_dir)
        (void)io_remove_tree(test->dir, NULL);
    while (test->cursors != NULL) {
        struct test_cursor *cursor = test->cursors;
        test->cursors = cursor->next;
        free(cursor->positions);
        free(cursor);
    }
    free(test->dir);
    free(test);
    io_set_flushing(true);
    clock_virtual_stop();
    atomic_store(&is_taken, false);
}

int weir_test_open(weir_app *app, const weir_test_options *options, weir_test **result)
{
    struct diag diag = {.code = 0};
    if (result == NULL)
        return handle_result(diag_set(&diag, ERR_INVALID, "test is NULL"), &diag);
    *result = NULL;
    if (atomic_exchange(&is_taken, true))
        return handle_result(
            diag_set(&diag, ERR_BUSY,
                     "a weir_test is open in this process, whose clock it has: close it first"),
            &diag);
    int rc = check_app(app, &diag);
    if (rc == 0)
        rc = check_options(options, &diag);
    weir_test *test = rc == 0 ? calloc(1, sizeof *test) : NULL;
    if (test == NULL) {
        atomic_store(&is_taken, false);
        return handle_result(rc == 0 ? ERR_NOMEM : rc, &diag);
    }
    rc = make_directory(test, options != NULL ? options->data : NULL, &diag);
    if (rc < 0) {
        destroy(test);
        return handle_result(rc, &diag);
    }
    test->partitions = options != NULL && options->partitions > 0 ? options->partitions : 1;
    clock_virtual_start(options != NULL && options->start_ms != 0 ? options->start_ms : START_MS);
    io_set_flushing(false);
    kill_begin(test);
    lend_app(test, app);
    rc = open_log(test);
    if (rc == 0) {
        *result = test;
        return 0;
    }
    diag = test->diag;
    give_back_app(test);
    kill_end(test);
    destroy(test);
    return handle_result(rc, &diag);
}

int weir_test_close(weir_test *test)
{
    if (test == NULL)
        return 0;
    if (test->log != NULL) {
        int own = test->producer != NULL;
        if (atomic_load(&test->log->producers) > own || atomic_load(&test->log->consumers) > 0)
            return diag_set(&test->diag, ERR_BUSY,
                            "producers or consumers are open on the test's log: close them first");
    }
    if (test->owns_dir && !test->is_dead)
        kill_now(test, "weir_test_close"); /* the files go anyway */
    if (!test->is_dead && test->engine.is_open)
        (void)engine_end(&test->engine);
    (void)take_down(test);
    must(test->log == NULL);
    give_back_app(test);
    kill_end(test);
    destroy(test);
    return 0;
}

const char *weir_test_error(const weir_test *test)
{
    return test != NULL ? test->diag.text : "";
}

weir_log *weir_test_log(weir_test *test)
{
    return test != NULL && !test->is_dead ? test->log : NULL;
}
