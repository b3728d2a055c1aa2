/* test_topic_grow.c: more partitions: live, durable, all or nothing. */
#include "runtime/base/io.h"
#include "tests/support/log_fixture.h"
#include "tests/support/scratch_dir.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static int32_t partitions_of(struct log *log, const char *topic)
{
    struct topic_info info;
    assert_int_equal(topic_describe(log, topic, &info, NULL), 0);
    return info.partitions;
}

static void test_grows_and_stays_grown(void **state)
{
    (void)state;
    char *dir = scratch_dir_create(), value[64];
    const struct config_entry config[] = {{"weir.partitioned.by", "user"},
                                          {"segment.bytes", "1048576"}};
    struct log *log = fixture_open(dir);
    struct topic_info before, after;
    assert_int_equal(topic_create(log, "t", 2, config, 2, NULL), 0);
    assert_int_equal(topic_describe(log, "t", &before, NULL), 0);
    struct partition *first = fixture_partition(log, "t", 0);
    assert_int_equal(fixture_append(first, 10, 3), 0);
    assert_int_equal(topic_grow(log, "t", 5, NULL), 0);
    assert_int_equal(topic_describe(log, "t", &after, NULL), 0);
    assert_int_equal(after.partitions, 5);
    assert_memory_equal(&before.id, &after.id, sizeof before.id);
    /* handles live, new partitions take records at once */
    assert_ptr_equal(fixture_partition(log, "t", 0), first);
    assert_int_equal(fixture_append(first, 13, 1), 3);
    for (int32_t i = 2; i < 5; i++) {
        assert_int_equal(fixture_append(fixture_partition(log, "t", i), 100 * i, 2), 0);
        assert_int_equal(partition_wait(fixture_partition(log, "t", i), 2, 10000), 0);
    }
    assert_int_equal(topic_grow(log, "t", 6, NULL), 0);
    assert_int_equal(topic_config_get(log, "t", "weir.partitioned.by", value, sizeof value),
                     ERR_NOT_FOUND);
    assert_int_equal(topic_config_get(log, "t", "segment.bytes", value, sizeof value), 0);
    assert_string_equal(value, "1048576");
    log_close(log);
    log = fixture_open(dir);
    assert_int_equal(partitions_of(log, "t"), 6);
    assert_string_equal(fixture_values(fixture_partition(log, "t", 0), READ_COMMITTED),
                        "10 11 12 13");
    assert_string_equal(fixture_values(fixture_partition(log, "t", 4), READ_COMMITTED), "400 401");
    assert_string_equal(fixture_values(fixture_partition(log, "t", 5), READ_COMMITTED), "");
    assert_int_equal(topic_config_get(log, "t", "weir.partitioned.by", value, sizeof value),
                     ERR_NOT_FOUND);
    assert_int_equal(topic_delete(log, "t", NULL), 0);
    log_close(log);
    scratch_dir_remove(dir);
}

static void test_refusals(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log *log = fixture_open(dir);
    struct diag diag;
    fixture_topic(log, "t", 3, NULL);
    static const int32_t wrong[] = {-1, 0, 1, 2, 3, 10001, INT32_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        diag.text[0] = '\0';
        assert_int_equal(topic_grow(log, "t", wrong[i], &diag), ERR_INVALID);
        assert_true(diag.text[0] != '\0');
        assert_int_equal(partitions_of(log, "t"), 3);
    }
    assert_int_equal(topic_grow(log, "u", 4, &diag), ERR_NOT_FOUND);
    log_close(log);
    scratch_dir_remove(dir);
}

static int fail_directory_flush(void *context, enum io_call call, const char *path, int fd,
                                size_t *size)
{
    (void)path;
    (void)fd;
    (void)size;
    return call == IO_FSYNC_DIR && *(bool *)context ? EIO : 0;
}

/* A directory in the way, and a flush that fails: as before, on disk too. */
static void test_failure_leaves_it_as_it_was(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    char *in_the_way = scratch_path(dir, "topics/t-3"), *made = scratch_path(dir, "topics/t-2");
    char value[64];
    const struct config_entry config = {"weir.partitioned.by", "user"};
    struct diag diag;
    struct log *log = fixture_open(dir);
    assert_int_equal(topic_create(log, "t", 2, &config, 1, NULL), 0);
    assert_int_equal(mkdir(in_the_way, 0755), 0);
    assert_int_equal(topic_grow(log, "t", 5, &diag), ERR_EXISTS);
    assert_non_null(strstr(diag.text, "t-3"));
    assert_int_equal(access(made, F_OK), -1);
    assert_int_equal(rmdir(in_the_way), 0);
    bool fails = true;
    io_set_fault(fail_directory_flush, &fails);
    assert_int_equal(topic_grow(log, "t", 5, &diag), ERR_IO);
    io_set_fault(NULL, NULL);
    assert_int_equal(partitions_of(log, "t"), 2);
    assert_int_equal(topic_config_get(log, "t", "weir.partitioned.by", value, sizeof value), 0);
    assert_string_equal(value, "user");
    log_close(log);
    log = fixture_open(dir);
    assert_int_equal(partitions_of(log, "t"), 2);
    assert_int_equal(topic_grow(log, "t", 5, &diag), 0);
    assert_int_equal(partitions_of(log, "t"), 5);
    log_close(log);
    free(in_the_way);
    free(made);
    scratch_dir_remove(dir);
}

static int grow_to_four(void *context)
{
    struct log *log = fixture_open(context);
    int rc = topic_grow(log, "t", 4, NULL);
    log_close(log);
    return rc < 0;
}

static void test_crash_at_every_step(void **state)
{
    (void)state;
    static const struct {
        const char *point;
        int32_t partitions;
    } steps[] = {{"topic.grow.begin:1", 2},
                 {"topic.grow.recorded:1", 4},
                 {"topic.grow.directory:1", 4},
                 {"topic.grow.directory:2", 4}};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        char *dir = scratch_dir_create();
        struct log *log = fixture_open(dir);
        fixture_topic(log, "t", 2, NULL);
        assert_int_equal(fixture_append(fixture_partition(log, "t", 1), 7, 2), 0);
        log_close(log);
        assert_int_equal(fixture_child(grow_to_four, dir, steps[i].point), 137);
        log = fixture_open(dir);
        assert_int_equal(partitions_of(log, "t"), steps[i].partitions);
        assert_string_equal(fixture_values(fixture_partition(log, "t", 1), READ_COMMITTED), "7 8");
        for (int32_t p = 0; p < steps[i].partitions; p++)
            assert_true(fixture_append(fixture_partition(log, "t", p), p, 1) >= 0);
        log_close(log);
        scratch_dir_remove(dir);
    }
}

struct appender {
    struct log *log;
    atomic_bool stop;
    int64_t appended;
};

/* Appends and looks partitions up, all the while. */
static void *append_meanwhile(void *context)
{
    struct appender *appender = context;
    struct partition *partition = fixture_partition(appender->log, "t", 0);
    while (!atomic_load(&appender->stop)) {
        struct topic_info info;
        if (fixture_append(partition, appender->appended, 1) != appender->appended ||
            topic_describe(appender->log, "t", &info, NULL) < 0)
            return appender;
        if (info.partitions > 1 &&
            fixture_append(fixture_partition(appender->log, "t", info.partitions - 1), 0, 1) < 0)
            return appender;
        appender->appended++;
    }
    return NULL;
}

static void test_while_it_is_used(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log *log = fixture_open(dir);
    struct appender appender = {.log = log};
    pthread_t thread;
    void *failed;
    fixture_topic(log, "t", 1, NULL);
    assert_int_equal(pthread_create(&thread, NULL, append_meanwhile, &appender), 0);
    for (int32_t n = 2; n <= 20; n++)
        assert_int_equal(topic_grow(log, "t", n, NULL), 0);
    atomic_store(&appender.stop, true);
    assert_int_equal(pthread_join(thread, &failed), 0);
    assert_null(failed);
    assert_int_equal(partitions_of(log, "t"), 20);
    log_close(log);
    scratch_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grows_and_stays_grown),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_failure_leaves_it_as_it_was),
        cmocka_unit_test(test_crash_at_every_step),
        cmocka_unit_test(test_while_it_is_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
