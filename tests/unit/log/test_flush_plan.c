/* test_flush_plan.c: which flushes run side by side, and which never do. A hook holds the flushes of one partition's file,
 * so that what others do meanwhile can be looked at; another one counts, file by file, how many of its flushes run at once. */
#include "log/log_internal.h"
#include "runtime/base/clock.h"
#include "runtime/base/io.h"
#include "tests/support/log_fixture.h"
#include "tests/support/scratch_dir.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { PARTITIONS = 3, PATIENCE_MS = 20000, BRIEFLY_MS = 20, TRANSACTIONS = 100, FILES = 64 };

struct scene {
    char *dir;
    struct log *log;
    struct partition *p[PARTITIONS];
    struct producer *first, *second;
    atomic_int answers;
};

/* ---- the gate ---- */

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t moved;
    bool held[PARTITIONS]; /* flushes of that partition's files wait */
    int waiting;
} gate = {.mutex = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER};

static bool is_held(int fd)
{
    char link[64], path[LOG_PATH_BYTES];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    path[size > 0 ? size : 0] = '\0';
    bool held = false;
    for (int i = 0; i < PARTITIONS; i++) {
        char name[8];
        snprintf(name, sizeof name, "/t-%d/", i);
        held |= gate.held[i] && strstr(path, name) != NULL;
    }
    return held;
}

static int hold(void *context, enum io_call call, const char *path, int fd, size_t *size)
{
    (void)context;
    (void)path;
    (void)size;
    if (call != IO_FDATASYNC)
        return 0;
    pthread_mutex_lock(&gate.mutex);
    bool held = is_held(fd);
    gate.waiting += held;
    pthread_cond_broadcast(&gate.moved);
    while (is_held(fd))
        pthread_cond_wait(&gate.moved, &gate.mutex);
    gate.waiting -= held;
    pthread_mutex_unlock(&gate.mutex);
    return 0;
}

static void set_gate(int partition, bool held)
{
    pthread_mutex_lock(&gate.mutex);
    gate.held[partition] = held;
    pthread_cond_broadcast(&gate.moved);
    pthread_mutex_unlock(&gate.mutex);
}

static void await_held(int count)
{
    pthread_mutex_lock(&gate.mutex);
    while (gate.waiting < count)
        pthread_cond_wait(&gate.moved, &gate.mutex);
    pthread_mutex_unlock(&gate.mutex);
}

/* ---- the scene ---- */

static void open_scene(struct scene *scene, bool driven)
{
    /* Nothing is flushed for its age: a round that is held takes along what is awaited, and no more. */
    struct log_options options = {
        .keeper_interval_ms = -1, .driven = driven, .flush_interval_ms = driven ? 0 : 3600 * 1000};
    *scene = (struct scene){.dir = scratch_dir_create()};
    if (driven)
        clock_virtual_start(INT64_C(1767225600000));
    scene->log = fixture_open_options(scene->dir, &options);
    fixture_topic(scene->log, "t", PARTITIONS, NULL);
    for (int i = 0; i < PARTITIONS; i++)
        scene->p[i] = fixture_partition(scene->log, "t", i);
    assert_int_equal(producer_open(scene->log, "first", &scene->first, NULL), 0);
    assert_int_equal(producer_open(scene->log, "second", &scene->second, NULL), 0);
    assert_int_equal(txn_begin(scene->first, NULL), 0);
    assert_int_equal(txn_begin(scene->second, NULL), 0);
}

static void close_scene(struct scene *scene)
{
    io_set_fault(NULL, NULL);
    producer_close(scene->first);
    producer_close(scene->second);
    log_close(scene->log);
    clock_virtual_stop();
    scratch_dir_remove(scene->dir);
}

static void note_answer(void *context, int code)
{
    struct scene *scene = context;
    pthread_mutex_lock(&gate.mutex);
    if (code == 0)
        atomic_fetch_add(&scene->answers, 1);
    pthread_cond_broadcast(&gate.moved);
    pthread_mutex_unlock(&gate.mutex);
}

static void await_answers(struct scene *scene, int count)
{
    pthread_mutex_lock(&gate.mutex);
    while (atomic_load(&scene->answers) < count)
        pthread_cond_wait(&gate.moved, &gate.mutex);
    pthread_mutex_unlock(&gate.mutex);
}

static int64_t high_watermark(struct partition *partition)
{
    struct partition_offsets offsets;
    partition_offsets(partition, &offsets);
    return offsets.high_watermark;
}

/* ---- side by side ---- */

static void test_records_do_not_wait_for_the_flush_of_a_commit(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene, false);
    assert_int_equal(fixture_txn_append(scene.first, scene.p[1], 1, 1), 0);
    set_gate(1, true);
    io_set_fault(hold, NULL);
    assert_int_equal(txn_commit_start(scene.first, note_answer, &scene, NULL), 0);
    await_held(1);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(fixture_append(scene.p[0], i, 1), i);
        assert_int_equal(partition_wait(scene.p[0], i + 1, PATIENCE_MS), 0);
    }
    assert_int_equal(high_watermark(scene.p[1]), 0);
    assert_int_equal(atomic_load(&scene.answers), 0);
    set_gate(1, false);
    await_answers(&scene, 1);
    assert_string_equal(fixture_values(scene.p[1], READ_COMMITTED), "1");
    close_scene(&scene);
}

static void test_a_commit_does_not_wait_for_the_flush_of_records(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene, false);
    set_gate(0, true);
    io_set_fault(hold, NULL);
    assert_int_equal(fixture_append(scene.p[0], 5, 1), 0);
    assert_int_equal(partition_wait(scene.p[0], 1, BRIEFLY_MS), ERR_TIMEOUT);
    await_held(1);
    /* Not before: the round that is held would take it along when it is old enough. */
    assert_int_equal(fixture_txn_append(scene.first, scene.p[1], 1, 1), 0);
    assert_int_equal(txn_commit(scene.first, NULL), 0);
    assert_string_equal(fixture_values(scene.p[1], READ_COMMITTED), "1");
    assert_int_equal(high_watermark(scene.p[0]), 0);
    set_gate(0, false);
    assert_int_equal(partition_wait(scene.p[0], 1, PATIENCE_MS), 0);
    close_scene(&scene);
}

/* ---- never at once ---- */

/* The first transaction wants a partition whose tail is being flushed: it waits, and others are decided past it. When that
 * flush is over, no other tail of the partition comes before the transaction, even if its lane is busy. */
static void test_a_transaction_waits_for_its_partitions(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene, false);
    set_gate(1, true);
    io_set_fault(hold, NULL);
    assert_int_equal(fixture_append(scene.p[1], 5, 1), 0);
    assert_int_equal(partition_wait(scene.p[1], 1, BRIEFLY_MS), ERR_TIMEOUT);
    await_held(1);
    assert_int_equal(fixture_txn_append(scene.first, scene.p[0], 1, 1), 0);
    assert_int_equal(fixture_txn_append(scene.first, scene.p[1], 2, 1), 1);
    assert_int_equal(txn_commit_start(scene.first, note_answer, &scene, NULL), 0);
    assert_int_equal(fixture_txn_append(scene.second, scene.p[2], 3, 1), 0);
    assert_int_equal(txn_commit(scene.second, NULL), 0);
    assert_int_equal(atomic_load(&scene.answers), 0);
    assert_int_equal(high_watermark(scene.p[0]), 0);

    set_gate(2, true);
    assert_int_equal(txn_begin(scene.second, NULL), 0);
    assert_int_equal(fixture_txn_append(scene.second, scene.p[2], 4, 1), 2);
    assert_int_equal(txn_commit_start(scene.second, note_answer, &scene, NULL), 0);
    await_held(2);
    assert_int_equal(partition_wait(scene.p[1], 2, BRIEFLY_MS), ERR_TIMEOUT);
    set_gate(1, false);
    assert_int_equal(partition_wait(scene.p[1], 1, PATIENCE_MS), 0);
    assert_int_equal(partition_wait(scene.p[1], 2, BRIEFLY_MS), ERR_TIMEOUT);
    assert_int_equal(atomic_load(&scene.answers), 0);
    set_gate(2, false);
    await_answers(&scene, 2);
    assert_string_equal(fixture_values(scene.p[0], READ_COMMITTED), "1");
    assert_string_equal(fixture_values(scene.p[1], READ_COMMITTED), "5 2");
    close_scene(&scene);
}

/* The other way about: the tail waits for the round of the transaction that its partition is in. */
static void test_a_tail_waits_for_its_partition(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene, false);
    assert_int_equal(fixture_txn_append(scene.first, scene.p[1], 1, 1), 0);
    set_gate(1, true);
    io_set_fault(hold, NULL);
    assert_int_equal(txn_commit_start(scene.first, note_answer, &scene, NULL), 0);
    await_held(1);
    assert_int_equal(fixture_append(scene.p[1], 2, 1), 1);
    assert_int_equal(partition_wait(scene.p[1], 2, BRIEFLY_MS), ERR_TIMEOUT);
    pthread_mutex_lock(&gate.mutex);
    assert_int_equal(gate.waiting, 1); /* the file's own flush, and no second one */
    pthread_mutex_unlock(&gate.mutex);
    set_gate(1, false);
    assert_int_equal(partition_wait(scene.p[1], 2, PATIENCE_MS), 0);
    await_answers(&scene, 1);
    assert_string_equal(fixture_values(scene.p[1], READ_COMMITTED), "1 2");
    close_scene(&scene);
}

static struct {
    pthread_mutex_t mutex;
    ino_t files[FILES]; /* 0: free */
    int twice;
} running = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* The flush is made here, since the hook hears only of its beginning; the one that follows finds nothing to do. */
static int count_flushes(void *context, enum io_call call, const char *path, int fd, size_t *size)
{
    (void)context;
    (void)path;
    (void)size;
    struct stat status;
    if (call != IO_FDATASYNC || fstat(fd, &status) != 0)
        return 0;
    int mine = -1;
    pthread_mutex_lock(&running.mutex);
    for (int i = 0; i < FILES; i++) {
        running.twice += running.files[i] == status.st_ino;
        if (running.files[i] == 0 && mine < 0)
            mine = i;
    }
    assert_true(mine >= 0);
    running.files[mine] = status.st_ino;
    pthread_mutex_unlock(&running.mutex);
    fdatasync(fd);
    pthread_mutex_lock(&running.mutex);
    running.files[mine] = 0;
    pthread_mutex_unlock(&running.mutex);
    return 0;
}

struct writer {
    struct partition *partition;
    atomic_bool *stop;
    int failures;
};

static void *write_on(void *context)
{
    struct writer *writer = context;
    while (!atomic_load(writer->stop)) {
        int64_t base = fixture_append(writer->partition, 1000, 1);
        writer->failures +=
            base < 0 || partition_wait(writer->partition, base + 1, PATIENCE_MS) != 0;
    }
    return NULL;
}

/* An endless row of appends to each partition keeps no transaction out, and no file is flushed twice at once. */
static void test_no_file_is_flushed_twice_at_once(void **state)
{
    (void)state;
    struct scene scene;
    pthread_t threads[PARTITIONS];
    struct writer writers[PARTITIONS];
    atomic_bool stop = false;
    open_scene(&scene, false);
    running.twice = 0;
    io_set_fault(count_flushes, NULL);
    for (int i = 0; i < PARTITIONS; i++) {
        writers[i] = (struct writer){scene.p[i], &stop, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, write_on, &writers[i]), 0);
    }
    for (int i = 0; i < TRANSACTIONS; i++) {
        struct producer *producer = i % 2 == 0 ? scene.first : scene.second;
        if (i >= 2)
            assert_int_equal(txn_begin(producer, NULL), 0);
        for (int p = 0; p < PARTITIONS; p++)
            assert_true(fixture_txn_append(producer, scene.p[p], i, 1) >= 0);
        assert_int_equal(i % 5 == 4 ? txn_abort(producer, NULL) : txn_commit(producer, NULL), 0);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < PARTITIONS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(writers[i].failures, 0);
    }
    assert_int_equal(running.twice, 0);
    for (int p = 0; p < PARTITIONS; p++) {
        struct fixture_record *records;
        int64_t count = fixture_read(scene.p[p], 0, READ_COMMITTED, 1 << 20, &records), next = 0;
        for (int64_t i = 0; i < count; i++) {
            if (records[i].value >= 1000)
                continue;
            assert_int_equal(records[i].value, next);
            next += next % 5 == 3 ? 2 : 1; /* each fifth was aborted */
        }
        assert_int_equal(next, TRANSACTIONS);
        free(records);
    }
    close_scene(&scene);
}

/* ---- who is told ---- */

static void count_call(void *context)
{
    atomic_fetch_add((atomic_int *)context, 1);
}

/* Records of an open transaction become durable: who reads committed records has nothing to look for. */
static void test_readers_of_committed_records_sleep_on(void **state)
{
    (void)state;
    struct scene scene;
    atomic_int committed = 0, all = 0;
    open_scene(&scene, true);
    int first = partition_watch_committed(scene.p[0], count_call, &committed);
    int second = partition_watch(scene.p[0], count_call, &all);
    assert_int_equal(fixture_append(scene.p[0], 1, 1), 0);
    assert_int_equal(partition_wait(scene.p[0], 1, PATIENCE_MS), 0);
    assert_int_equal(atomic_load(&committed), 1);
    assert_int_equal(atomic_load(&all), 1);
    assert_int_equal(fixture_txn_append(scene.first, scene.p[0], 2, 1), 1);
    assert_int_equal(partition_wait(scene.p[0], 2, PATIENCE_MS), 0);
    assert_int_equal(atomic_load(&committed), 1);
    assert_int_equal(atomic_load(&all), 2);
    assert_int_equal(txn_commit(scene.first, NULL), 0);
    int told = atomic_load(&committed), told_all = atomic_load(&all);
    assert_true(told > 1);

    /* Its marker becomes durable with the next transaction's records: nothing to look for again. */
    assert_int_equal(txn_begin(scene.first, NULL), 0);
    assert_int_equal(fixture_txn_append(scene.first, scene.p[0], 3, 1), 3);
    assert_int_equal(partition_wait(scene.p[0], 4, PATIENCE_MS), 0);
    assert_int_equal(atomic_load(&committed), told);
    assert_int_equal(atomic_load(&all), told_all + 1);
    assert_int_equal(txn_commit(scene.first, NULL), 0);
    assert_true(atomic_load(&committed) > told);

    /* Without a transaction behind it nobody else would tell where the end is. */
    told = atomic_load(&committed);
    assert_int_equal(partition_wait(scene.p[0], 5, PATIENCE_MS), 0);
    assert_int_equal(atomic_load(&committed), told + 1);
    partition_unwatch(scene.p[0], first);
    partition_unwatch(scene.p[0], second);
    close_scene(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records_do_not_wait_for_the_flush_of_a_commit),
        cmocka_unit_test(test_a_commit_does_not_wait_for_the_flush_of_records),
        cmocka_unit_test(test_a_transaction_waits_for_its_partitions),
        cmocka_unit_test(test_a_tail_waits_for_its_partition),
        cmocka_unit_test(test_no_file_is_flushed_twice_at_once),
        cmocka_unit_test(test_readers_of_committed_records_sleep_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
