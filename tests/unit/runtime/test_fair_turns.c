/* test_fair_turns.c: a pipeline with a slow function, and another one on the same worker.
 *
 * What is counted is how many rows the slow function had seen when the fast one saw its last. That
 * one takes a millisecond a row; a worker without bounded turns would give it all that it can read
 * first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <time.h>

#include "tests/support/scratch_dir.h"
#include "tests/support/weir_fixture.h"

enum { SLOW_ROWS = 1500, FAST_ROWS = 200, FIRST_BATCH = 256, MORE = 100 };

static atomic_int slow_seen, fast_seen, slow_when_fast_ended;

static int be_slow(void *context, weir_call *call, const weir_value *values, size_t count)
{
    (void)context;
    (void)call;
    (void)values;
    (void)count;
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    atomic_fetch_add(&slow_seen, 1);
    return 1;
}

static int be_fast(void *context, weir_call *call, const weir_value *values, size_t count)
{
    (void)context;
    (void)call;
    (void)values;
    (void)count;
    if (atomic_fetch_add(&fast_seen, 1) + 1 == FAST_ROWS)
        atomic_store(&slow_when_fast_ended, atomic_load(&slow_seen));
    return 1;
}

static void fill(weir_log *log, const char *topic, int rows)
{
    weir_producer *producer = weir_fixture_producer(log, NULL);
    for (int i = 0; i < rows; i++)
        assert_int_equal(send_text(producer, topic, "k", "{\"n\":1}"), 0);
    assert_int_equal(weir_flush(producer, -1), 0);
    weir_producer_close(producer);
}

static void a_slow_function_does_not_starve_its_neighbours(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    weir_log *log = weir_fixture_open(dir);
    assert_int_equal(weir_topic_create(log, "slow", 1, NULL, 0), 0);
    assert_int_equal(weir_topic_create(log, "fast", 1, NULL, 0), 0);
    fill(log, "slow", SLOW_ROWS);
    fill(log, "fast", FAST_ROWS);
    weir_app *app = weir_app_open("fair", &(weir_options){.log = log, .until_end = true});
    weir_to(weir_filter_fn(weir_source(app, "slow", WEIR_JSON, NULL), "slow-1", "n", be_slow, NULL),
            "slow-out");
    weir_to(weir_filter_fn(weir_source(app, "fast", WEIR_JSON, NULL), "fast-1", "n", be_fast, NULL),
            "fast-out");
    assert_works(weir_app_run(app), weir_app_error(app));
    weir_app_close(app);
    assert_int_equal(atomic_load(&slow_seen), SLOW_ROWS);
    assert_int_equal(atomic_load(&fast_seen), FAST_ROWS);
    assert_in_range(atomic_load(&slow_when_fast_ended), 0, FIRST_BATCH + MORE);
    assert_int_equal(weir_log_close(log), 0);
    scratch_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slow_function_does_not_starve_its_neighbours)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
