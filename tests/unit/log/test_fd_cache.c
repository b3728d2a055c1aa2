/* test_fd_cache.c: very few descriptors, very many partitions: everything works, or says what to raise; nothing is
 * stopped. Each test is a child of its own, since a limit that was lowered is not raised again. */
#include "log/log_internal.h"
#include "runtime/base/clock.h"
#include "runtime/base/io.h"
#include "tests/support/log_fixture.h"
#include "tests/support/scratch_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

enum { DESCRIPTORS = 64, PARTITIONS = 300, ROUNDS = 4 };

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            print_error("%s:%d: %s\n", __FILE__, __LINE__, #condition);                            \
            return 1;                                                                              \
        }                                                                                          \
    } while (0)

static const struct log_options quiet = {.keeper_interval_ms = -1};

struct life {
    char *dir;
    enum durability durability;
};

static int lower_limit(void)
{
    struct rlimit limit = {DESCRIPTORS, DESCRIPTORS};
    return setrlimit(RLIMIT_NOFILE, &limit);
}

static void run(int (*fn)(void *context), enum durability durability)
{
    struct life life = {scratch_dir_create(), durability};
    assert_int_equal(fixture_child(fn, &life, NULL), 0);
    scratch_dir_remove(life.dir);
}

static int check_all(struct log *log, int64_t count)
{
    for (int32_t i = 0; i < PARTITIONS; i++) {
        struct fixture_record *records;
        CHECK(fixture_read(fixture_partition(log, "t", i), 0, READ_COMMITTED, 1000, &records) ==
              count);
        for (int64_t k = 0; k < count; k++)
            CHECK(records[k].value == k);
        free(records);
    }
    return 0;
}

/* Five times as many dirty partitions as there are descriptors. */
static int many_partitions(void *context)
{
    struct life *life = context;
    struct log_options options = {
        .keeper_interval_ms = -1, .flush_interval_ms = 60000, .durability = life->durability};
    struct diag diag;
    CHECK(lower_limit() == 0);
    struct log *log = fixture_open_options(life->dir, &options);
    CHECK(log->fds.limit <= DESCRIPTORS);
    fixture_topic(log, "t", PARTITIONS, "300"); /* they roll, too */
    for (int64_t round = 0; round < ROUNDS; round++)
        for (int32_t i = 0; i < PARTITIONS; i++)
            CHECK(fixture_append_sized(fixture_partition(log, "t", i), round, 1, 100, 5) == round);
    for (int32_t i = 0; i < PARTITIONS; i++)
        CHECK(partition_wait(fixture_partition(log, "t", i), ROUNDS, 20000) == 0);
    CHECK(check_all(log, ROUNDS) == 0);
    /* A transaction over more partitions than there are descriptors. */
    struct producer *producer;
    CHECK(producer_open(log, "x", &producer, &diag) == 0);
    CHECK(txn_begin(producer, &diag) == 0);
    for (int32_t i = 0; i < PARTITIONS; i++)
        CHECK(fixture_txn_append(producer, fixture_partition(log, "t", i), ROUNDS, 1) == ROUNDS);
    CHECK(txn_commit(producer, &diag) == 0);
    producer_close(producer);
    CHECK(check_all(log, ROUNDS + 1) == 0);
    CHECK(log_status(log, &diag) == 0);
    log_close(log);
    log = fixture_open_options(life->dir, &options);
    CHECK(check_all(log, ROUNDS + 1) == 0);
    log_close(log);
    return 0;
}
static void test_many_partitions(void **state)
{
    (void)state;
    run(many_partitions, DURABILITY_COMMIT);
}
static void test_many_partitions_without_waiting(void **state)
{
    (void)state;
    run(many_partitions, DURABILITY_OS);
}

/* Somebody else in the process takes every descriptor there is. */
static int take_all(int *fds)
{
    int count = 0, fd;
    while ((fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        fds[count++] = fd;
    return count;
}

static int nothing_left(void *context)
{
    struct life *life = context;
    struct diag diag = {0};
    int fds[DESCRIPTORS];
    CHECK(lower_limit() == 0);
    struct log *log = fixture_open_options(life->dir, &quiet);
    fixture_topic(log, "t", PARTITIONS, NULL);
    for (int32_t i = 0; i < PARTITIONS; i++)
        CHECK(fixture_append(fixture_partition(log, "t", i), 0, 1) == 0);
    for (int32_t i = 0; i < PARTITIONS; i++)
        CHECK(partition_wait(fixture_partition(log, "t", i), 1, 20000) == 0);
    /* Cached descriptors are given up for what is needed. */
    int count = take_all(fds);
    CHECK(count > 0);
    for (int32_t i = 0; i < PARTITIONS; i++)
        CHECK(fixture_append(fixture_partition(log, "t", i), 1, 1) == 1);
    for (int32_t i = 0; i < PARTITIONS; i++)
        CHECK(partition_wait(fixture_partition(log, "t", i), 2, 20000) == 0);
    CHECK(check_all(log, 2) == 0);
    CHECK(log_status(log, &diag) == 0);
    while (count > 0)
        close(fds[--count]);
    log_close(log);
    return 0;
}
static void test_others_take_the_descriptors(void **state)
{
    (void)state;
    run(nothing_left, DURABILITY_COMMIT);
}

/* Not one descriptor can be had, and no cached one can be closed: the caller is told, and it goes on later. */
static int not_one(void *context)
{
    struct life *life = context;
    struct diag diag = {0};
    int fds[DESCRIPTORS];
    size_t size;
    CHECK(lower_limit() == 0);
    struct log *log = fixture_open_options(life->dir, &quiet);
    fixture_topic(log, "t", 1, NULL);
    struct partition *p = fixture_partition(log, "t", 0);
    uint8_t *batch = fixture_batch(0, 1, 1, 5, &size);
    int count = take_all(fds);
    int rc = partition_append(p, batch, size, NULL, &diag);
    CHECK(rc == ERR_NOMEM);
    CHECK(strstr(diag.text, "ulimit -n") != NULL);
    CHECK(log_status(log, &diag) == 0 && partition_status(p, &diag) == 0);
    struct log *second;
    CHECK(log_open(life->dir, &quiet, &second, &diag) < 0);
    CHECK(strstr(diag.text, "ulimit -n") != NULL);
    while (count > 0)
        close(fds[--count]);
    CHECK(fixture_append(p, 0, 1) == 0);
    CHECK(partition_wait(p, 1, 10000) == 0);
    free(batch);
    /* A flush of a new segment's directory needs none. */
    CHECK(partition_roll(p, &diag) == 0);
    CHECK(fixture_append(p, 1, 1) == 1);
    count = take_all(fds);
    CHECK(partition_wait(p, 2, 10000) == 0);
    CHECK(log_status(log, &diag) == 0);
    while (count > 0)
        close(fds[--count]);
    log_close(log);
    return 0;
}
static void test_not_one_is_left(void **state)
{
    (void)state;
    run(not_one, DURABILITY_COMMIT);
}

/* A flush that fails while it makes room is a failed flush: the writer stops. */
static int fail_flush(void *context, enum io_call call, const char *path, int fd, size_t *size)
{
    (void)context;
    (void)path;
    (void)fd;
    (void)size;
    return call == IO_FDATASYNC ? EIO : 0;
}
static int flush_fails(void *context)
{
    struct life *life = context;
    struct log_options options = {.keeper_interval_ms = -1, .flush_interval_ms = 60000};
    CHECK(lower_limit() == 0);
    struct log *log = fixture_open_options(life->dir, &options);
    fixture_topic(log, "t", PARTITIONS, NULL);
    io_set_fault(fail_flush, NULL);
    int64_t base = 0;
    for (int32_t i = 0; i < PARTITIONS && base == 0; i++)
        base = fixture_append(fixture_partition(log, "t", i), 0, 1);
    CHECK(base < 0);
    CHECK(log_status(log, NULL) == ERR_IO);
    log_close(log);
    io_set_fault(NULL, NULL);
    return 0;
}
static void test_a_failed_flush_stops_the_writer(void **state)
{
    (void)state;
    run(flush_fails, DURABILITY_COMMIT);
}

int main(void)
{
    scratch_dir_in_memory();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_partitions),
        cmocka_unit_test(test_many_partitions_without_waiting),
        cmocka_unit_test(test_others_take_the_descriptors),
        cmocka_unit_test(test_not_one_is_left),
        cmocka_unit_test(test_a_failed_flush_stops_the_writer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
