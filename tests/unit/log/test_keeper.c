/* test_keeper.c: the house-keeper's thread: when it passes, who wakes it, how it ends; and that a pass may run beside
 * everything else that goes on in a log. What a pass does is tested where it is done. */
#include "log/log_internal.h"
#include "runtime/base/clock.h"
#include "tests/support/log_fixture.h"
#include "tests/support/scratch_dir.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATIENCE_MS = 20000 };

static struct log *open_with(const char *dir, int32_t interval_ms)
{
    struct log_options options = {.keeper_interval_ms = interval_ms};
    return fixture_open_options(dir, &options);
}

static void alter(struct log *log, const char *topic, const char *key, const char *value)
{
    struct config_entry entry = {key, value};
    assert_int_equal(topic_alter(log, topic, &entry, 1, NULL), 0);
}

static int64_t start_of(struct partition *p)
{
    struct partition_offsets offsets;
    partition_offsets(p, &offsets);
    return offsets.start;
}

static bool becomes(struct partition *p, int64_t start)
{
    int64_t until_ms = clock_mono_ms() + PATIENCE_MS;
    while (start_of(p) < start && clock_mono_ms() < until_ms)
        usleep(1000);
    return start_of(p) >= start;
}

static void append(struct partition *p, int64_t from, int64_t count)
{
    for (int64_t i = from; i < from + count; i++)
        assert_int_equal(fixture_append_sized(p, i, 1, 200, 5), i);
    assert_int_equal(partition_wait(p, from + count, PATIENCE_MS), 0);
}

/* An hour to the next pass: what is altered is looked at now. */
static void test_an_alteration_wakes_it(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log *log = open_with(dir, 3600 * 1000);
    fixture_topic(log, "t", 1, "1000");
    struct partition *p = fixture_partition(log, "t", 0);
    append(p, 0, 30);
    assert_int_equal(start_of(p), 0);
    alter(log, "t", "retention.bytes", "2000");
    assert_true(becomes(p, 20));
    int64_t began = clock_mono_ms();
    log_close(log); /* an hour early */
    assert_true(clock_mono_ms() - began < 10000);
    scratch_dir_remove(dir);
}

static void test_it_passes_again_and_again(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log *log = open_with(dir, 5);
    fixture_topic(log, "t", 1, "1000");
    struct partition *p = fixture_partition(log, "t", 0);
    alter(log, "t", "retention.bytes", "2000");
    for (int round = 0; round < 3; round++) {
        append(p, 30 * round, 30);
        assert_true(becomes(p, 30 * round + 20));
    }
    log_close(log);
    scratch_dir_remove(dir);
}

static void test_without_a_thread(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log *log = open_with(dir, -1);
    assert_false(log->keeper.started);
    fixture_topic(log, "t", 1, "1000");
    struct partition *p = fixture_partition(log, "t", 0);
    append(p, 0, 30);
    alter(log, "t", "retention.bytes", "2000"); /* wakes nobody */
    assert_int_equal(start_of(p), 0);
    struct keeper_report report = {.segments_deleted = 1000};
    assert_int_equal(log_keep_house(log, 0, &report, NULL), 0);
    assert_true(report.segments_deleted > 1000); /* added to what stood there */
    assert_true(report.duration_ns > 0);
    assert_true(start_of(p) > 0);
    log_close(log);
    scratch_dir_remove(dir);
}

static void test_one_topic(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log *log = open_with(dir, -1);
    struct diag diag = {0};
    struct keeper_report report = {0};
    struct partition *p[2];
    for (int i = 0; i < 2; i++) {
        const char *name = i == 0 ? "a" : "b";
        fixture_topic(log, name, 1, "1000");
        p[i] = fixture_partition(log, name, 0);
        append(p[i], 0, 30);
        alter(log, name, "retention.bytes", "2000");
    }
    assert_int_equal(topic_clean(log, "b", 0, &report, &diag), 0);
    assert_int_equal(start_of(p[0]), 0);
    assert_true(start_of(p[1]) > 0);
    assert_int_equal(topic_clean(log, "c", 0, &report, &diag), ERR_NOT_FOUND);
    log_close(log);
    scratch_dir_remove(dir);
}

/* One partition that is stopped keeps the pass from none of the others. */
static void test_a_stopped_partition_is_passed_by(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log *log = open_with(dir, -1);
    struct diag why;
    fixture_topic(log, "t", 3, "1000");
    for (int32_t i = 0; i < 3; i++)
        append(fixture_partition(log, "t", i), 0, 30);
    alter(log, "t", "retention.bytes", "2000");
    diag_set(&why, ERR_CORRUPT, "stopped by the test");
    partition_stop(fixture_partition(log, "t", 1), ERR_CORRUPT, &why);
    assert_int_equal(log_keep_house(log, 0, NULL, NULL), 0);
    assert_true(start_of(fixture_partition(log, "t", 0)) > 0);
    assert_int_equal(start_of(fixture_partition(log, "t", 1)), 0);
    assert_true(start_of(fixture_partition(log, "t", 2)) > 0);
    log_close(log);
    scratch_dir_remove(dir);
}

/* A pass that takes long does between two steps what has a deadline of a second. */
static void test_long_work_ticks(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log *log = open_with(dir, 3600 * 1000);
    struct producer *producer;
    fixture_topic(log, "t", 1, NULL);
    struct partition *p = fixture_partition(log, "t", 0);
    assert_int_equal(producer_open(log, "x", &producer, NULL), 0);
    assert_int_equal(producer_set_timeout(producer, 1, NULL), 0);
    pthread_mutex_lock(&log->keeper.mutex); /* the thread cannot leave its wait: only we tick */
    assert_int_equal(txn_begin(producer, NULL), 0);
    assert_int_equal(fixture_txn_append(producer, p, 0, 1), 0);
    usleep(5000);
    atomic_store(&log->keeper.last_tick_ms, clock_mono_ms());
    assert_true(keeper_goes_on(log)); /* not due */
    assert_int_equal(p->open_count, 1);
    atomic_store(&log->keeper.last_tick_ms, clock_mono_ms() - 1000);
    assert_true(keeper_goes_on(log));
    assert_int_equal(p->open_count, 0); /* it took too long, and was aborted */
    pthread_mutex_unlock(&log->keeper.mutex);
    producer_close(producer);
    log_close(log);
    scratch_dir_remove(dir);
}

/* ---- beside everything else ---- */

struct busy {
    struct log *log;
    atomic_bool stop;
    atomic_int failures;
};

static void *appends(void *context)
{
    struct busy *busy = context;
    struct partition *p = fixture_partition(busy->log, "t", 0);
    for (int64_t i = 0; !atomic_load(&busy->stop); i++)
        if (fixture_append_sized(p, i, 1, 200, 5) != i)
            atomic_fetch_add(&busy->failures, 1);
    return NULL;
}

/* The same name again and again: a pass must never touch the files of the next topic. */
static void *creates_and_deletes(void *context)
{
    struct busy *busy = context;
    struct config_entry config[] = {{"segment.bytes", "1000"}, {"retention.bytes", "1500"}};
    while (!atomic_load(&busy->stop)) {
        struct partition *p;
        bool ok = topic_create(busy->log, "fleeting", 2, config, 2, NULL) == 0 &&
                  partition_get(busy->log, "fleeting", 1, &p, NULL) == 0;
        for (int64_t i = 0; ok && i < 20; i++)
            ok = fixture_append_sized(p, i, 1, 200, 5) == i;
        struct diag diag = {0};
        ok = ok && partition_wait(p, 20, PATIENCE_MS) == 0 && partition_status(p, &diag) == 0;
        if (!ok)
            atomic_fetch_add(&busy->failures, 1);
        if (topic_delete(busy->log, "fleeting", &diag) < 0)
            atomic_fetch_add(&busy->failures, 1);
    }
    return NULL;
}

static void *keeps_house(void *context)
{
    struct busy *busy = context;
    struct diag diag = {0};
    while (!atomic_load(&busy->stop))
        if (log_keep_house(busy->log, 0, NULL, &diag) < 0) {
            print_error("%s\n", diag.text);
            atomic_fetch_add(&busy->failures, 1);
        }
    return NULL;
}

static void test_beside_everything_else(void **state)
{
    (void)state;
    void *(*const work[])(void *) = {appends, creates_and_deletes, keeps_house, keeps_house};
    enum { THREADS = sizeof work / sizeof *work };
    char *dir = scratch_dir_create();
    pthread_t threads[THREADS];
    struct busy busy = {.log = open_with(dir, 1)};
    fixture_topic(busy.log, "t", 1, "1000");
    alter(busy.log, "t", "retention.bytes", "3000");
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work[i], &busy), 0);
    struct partition *p = fixture_partition(busy.log, "t", 0);
    assert_true(becomes(p, 1500));
    atomic_store(&busy.stop, true);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&busy.failures), 0);
    assert_int_equal(log_status(busy.log, NULL), 0);
    int64_t start, count;
    struct fixture_record *records;
    do { /* the keeper's own thread still purges */
        start = start_of(p);
        count = fixture_read(p, start, READ_COMMITTED, 10000, &records);
    } while (count == ERR_RANGE && start_of(p) > start);
    assert_true(count > 0);
    for (int64_t i = 0; i < count; i++)
        assert_int_equal(records[i].value, start + i);
    free(records);
    log_close(busy.log);
    scratch_dir_remove(dir);
}

int main(void)
{
    scratch_dir_in_memory();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_alteration_wakes_it),
        cmocka_unit_test(test_it_passes_again_and_again),
        cmocka_unit_test(test_without_a_thread),
        cmocka_unit_test(test_one_topic),
        cmocka_unit_test(test_a_stopped_partition_is_passed_by),
        cmocka_unit_test(test_long_work_ticks),
        cmocka_unit_test(test_beside_everything_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
