/* test_undone_commit.c: a commit comes to nothing while another pipeline of its worker fails in a turn.
 *
 * The decision about one pipeline's commit is held back, so that it is in flight, until the other one,
 * which has no part in it, has failed with a batch; then there is no room for the decision. Both are to come back from what they had committed: each row is written once. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/base/io.h"
#include "tests/support/scratch_dir.h"
#include "tests/support/weir_fixture.h"

enum { ROWS = 10, FAILING_ROW = 7 };

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t moved;
    bool is_flushed, is_held, has_failed;
} commit = {.mutex = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER};

static void reached(bool *what)
{
    pthread_mutex_lock(&commit.mutex);
    *what = true;
    pthread_cond_broadcast(&commit.moved);
    pthread_mutex_unlock(&commit.mutex);
}

static bool has_reached(const bool *what)
{
    pthread_mutex_lock(&commit.mutex);
    bool has = *what;
    pthread_mutex_unlock(&commit.mutex);
    return has;
}

static void wait_for(const bool *what)
{
    pthread_mutex_lock(&commit.mutex);
    while (!*what)
        pthread_cond_wait(&commit.moved, &commit.mutex);
    pthread_mutex_unlock(&commit.mutex);
}

/* The first decision about what the first pipeline wrote finds no room, once the other one has failed. */
static int refuse_decision(void *context, enum io_call call, const char *path, int fd, size_t *size)
{
    char link[64], name[512] = "";
    (void)context;
    (void)size;
    if (call == IO_FDATASYNC) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        if (readlink(link, name, sizeof name - 1) > 0 && strstr(name, "/topics/decided-") != NULL)
            reached(&commit.is_flushed);
    }
    if (call != IO_COMMIT || path == NULL || strstr(path, "/meta") == NULL ||
        !has_reached(&commit.is_flushed) || has_reached(&commit.is_held))
        return 0;
    reached(&commit.is_held);
    wait_for(&commit.has_failed);
    return ENOSPC;
}

static int fail_once(void *context, weir_call *call, const weir_value *values, size_t count)
{
    (void)context;
    (void)count;
    if (values[0].i64 != FAILING_ROW || has_reached(&commit.has_failed))
        return 1;
    reached(&commit.has_failed);
    weir_call_error(call, "once");
    return -1;
}

static void fill(weir_log *log, const char *topic)
{
    assert_int_equal(weir_topic_create(log, topic, 1, NULL, 0), 0);
    weir_producer *producer = weir_fixture_producer(log, NULL);
    for (int i = 0; i < ROWS; i++) {
        char text[32];
        snprintf(text, sizeof text, "{\"i\":%d}", i);
        assert_int_equal(send_text(producer, topic, "k", text), 0);
    }
    assert_int_equal(weir_flush(producer, -1), 0);
    weir_producer_close(producer);
}

static void *run(void *app)
{
    (void)weir_app_run(app);
    return NULL;
}

static bool is_drained(weir_app *app, const char *topic)
{
    weir_stage_info *stages;
    size_t count;
    bool is = false;
    assert_int_equal(weir_app_stages(app, &stages, &count), 0);
    for (size_t i = 0; i < count; i++)
        is |= strcmp(stages[i].topic, topic) == 0 && stages[i].state == WEIR_STAGE_RUNNING &&
              stages[i].lag == 0;
    weir_free(stages);
    return is;
}

static void test_who_has_no_part_in_it_comes_back_as_well(void **state)
{
    (void)state;
    pthread_t thread;
    char *dir = scratch_dir_create();
    weir_log *log = weir_fixture_open(dir);
    fill(log, "a");
    fill(log, "b");
    weir_app *app =
        weir_app_open("app", &(weir_options){.log = log, .threads = 1, .commit_interval_ms = 1});
    weir_to(weir_map(weir_source(app, "a", WEIR_JSON, NULL), "i::bigint AS i"), "decided");
    weir_to(weir_filter_fn(weir_map(weir_source(app, "b", WEIR_JSON, NULL), "i::bigint AS i"),
                           "fail-once-1", "i", fail_once, NULL),
            "failing");
    weir_failure_options retry = {.policy = WEIR_FAILURE_RETRY, .retries = -1, .backoff_ms = 1};
    assert_int_equal(weir_on_failure(app, NULL, &retry), 0);
    assert_int_equal(weir_on_bad_row(app, "failing", WEIR_BAD_ROW_FAIL), 0);
    assert_int_equal(weir_app_pause(app, "failing"), 0);
    io_set_fault(refuse_decision, NULL);
    assert_int_equal(pthread_create(&thread, NULL, run, app), 0);
    wait_for(&commit.is_held);
    assert_int_equal(weir_app_resume(app, "failing"), 0);
    while (!is_drained(app, "failing"))
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    weir_app_stop(app);
    pthread_join(thread, NULL);
    io_set_fault(NULL, NULL);
    assert_string_equal(
        weir_fixture_values(log, "failing", 0, WEIR_READ_COMMITTED),
        "{\"i\":0} {\"i\":1} {\"i\":2} {\"i\":3} {\"i\":4} {\"i\":5} {\"i\":6} {\"i\":7} {\"i\":8} "
        "{\"i\":9}");
    weir_app_close(app);
    (void)weir_log_close(log);
    scratch_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_has_no_part_in_it_comes_back_as_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
