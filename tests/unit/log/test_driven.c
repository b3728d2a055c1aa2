/* test_driven.c: a log without threads: what flusher, keeper and sync pool would do is done by who
 * waits and by log_drive, by the virtual clock alone. */
#include "log/log_internal.h"
#include "runtime/base/clock.h"
#include "tests/support/log_fixture.h"
#include "tests/support/scratch_dir.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define START_MS INT64_C(1767225600000)

static int thread_count(void)
{
    int count = -2; /* . and .. */
    DIR *directory = opendir("/proc/self/task");
    assert_non_null(directory);
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
}

static struct log *open_driven(const char *dir)
{
    clock_virtual_start(START_MS);
    return fixture_open_options(dir, &(struct log_options){.driven = true});
}

static void end(struct log *log, char *dir)
{
    log_close(log);
    clock_virtual_stop();
    scratch_dir_remove(dir);
}

static void test_who_waits_does_the_round(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log *log = open_driven(dir);
    fixture_topic(log, "t", 3, NULL);
    for (int32_t i = 0; i < 3; i++)
        assert_int_equal(fixture_append(fixture_partition(log, "t", i), 1, 2), 0);
    assert_string_equal(fixture_values(fixture_partition(log, "t", 0), READ_COMMITTED), "");
    assert_int_equal(partition_wait(fixture_partition(log, "t", 0), 2, -1), 0);
    assert_string_equal(fixture_values(fixture_partition(log, "t", 0), READ_COMMITTED), "1 2");
    assert_int_equal(clock_wall_ms(), START_MS);
    assert_int_equal(thread_count(), 1);
    /* an offset that never comes: the time goes by and nothing else */
    assert_int_equal(partition_wait(fixture_partition(log, "t", 0), 3, 60000), ERR_TIMEOUT);
    assert_int_equal(clock_wall_ms(), START_MS + 60000);
    end(log, dir);
}

static void test_old_tails_are_flushed_when_they_are_due(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log *log = open_driven(dir);
    fixture_topic(log, "t", 1, NULL);
    struct partition *partition = fixture_partition(log, "t", 0);
    while (log_drive(log))
        ;
    assert_int_equal(fixture_append(partition, 1, 1), 0);
    clock_virtual_advance(4);
    assert_false(log_drive(log));
    assert_int_equal(partition_high_watermark(partition), 0);
    clock_virtual_advance(1);
    assert_true(log_drive(log));
    assert_int_equal(partition_high_watermark(partition), 1);
    end(log, dir);
}

static void note(void *context, int code)
{
    *(int *)context = code;
}

static void test_transactions(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log *log = open_driven(dir);
    struct producer *producer;
    struct diag diag;
    int decided = 1;
    fixture_topic(log, "t", 1, NULL);
    struct partition *partition = fixture_partition(log, "t", 0);
    assert_int_equal(producer_open(log, "tx", &producer, &diag), 0);
    assert_int_equal(txn_begin(producer, &diag), 0);
    assert_int_equal(txn_participate(producer, &partition, 1, &diag), 0);
    assert_int_equal(fixture_txn_append(producer, partition, 1, 1), 0);
    assert_int_equal(txn_commit_start(producer, note, &decided, &diag), 0);
    assert_int_equal(decided, 1); /* nobody has driven it */
    assert_true(log_drive(log));
    assert_int_equal(decided, 0);
    assert_string_equal(fixture_values(partition, READ_COMMITTED), "1");
    assert_int_equal(txn_begin(producer, &diag), 0);
    assert_int_equal(fixture_txn_append(producer, partition, 2, 1), 2);
    assert_int_equal(txn_abort(producer, &diag), 0); /* waits, and so does it */
    assert_string_equal(fixture_values(partition, READ_COMMITTED), "1");
    producer_close(producer);
    end(log, dir);
}

static void test_house_keeping_follows_the_clock_over_a_restart(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log *log = open_driven(dir);
    struct diag diag;
    struct partition_offsets offsets;
    assert_int_equal(
        topic_create(log, "t", 1, (struct config_entry[]){{"retention.ms", "3600000"}}, 1, &diag),
        0);
    assert_int_equal(fixture_append(fixture_partition(log, "t", 0), 1, 5), 0);
    log_close(log); /* the age of what was written is the virtual clock's afterwards, too */
    log = fixture_open_options(dir, &(struct log_options){.driven = true});
    struct partition *partition = fixture_partition(log, "t", 0);
    clock_virtual_advance(3500 * 1000);
    assert_true(log_drive(log));
    partition_offsets(partition, &offsets);
    assert_int_equal(offsets.start, 0);
    clock_virtual_advance(200 * 1000);
    assert_true(log_drive(log));
    partition_offsets(partition, &offsets);
    assert_int_equal(offsets.start, 5);
    end(log, dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_waits_does_the_round),
        cmocka_unit_test(test_old_tails_are_flushed_when_they_are_due),
        cmocka_unit_test(test_transactions),
        cmocka_unit_test(test_house_keeping_follows_the_clock_over_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
