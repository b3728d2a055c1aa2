/* test_flusher.c: many threads at once: appends that wait, transactions of several producers,
 * readers of both kinds, watchers, purges, topics that come and go; under ThreadSanitizer too. And
 * what the flusher does by itself: old tails, flushed ends in meta, decisions that go away,
 * hundreds of files in one round. */
#include "log/log_internal.h"
#include "runtime/base/clock.h"
#include "runtime/base/io.h"
#include "tests/support/io_gate.h"
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

enum { PARTITIONS = 4, WRITERS = 2, PRODUCERS = 2, ROUNDS = 60 };

struct shared {
    struct log *log;
    struct partition *p[PARTITIONS];
    atomic_int failures, watched;
    atomic_bool stop;
    int64_t plain[WRITERS][PARTITIONS]; /* records written */
    int64_t committed[PRODUCERS][PARTITIONS];
};
struct worker {
    struct shared *shared;
    int number;
};

#define NOTE(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            atomic_fetch_add(&shared->failures, 1);                                                \
        }                                                                                          \
    } while (0)

static void *write_plain(void *context)
{
    struct worker *worker = context;
    struct shared *shared = worker->shared;
    for (int i = 0; i < ROUNDS * 3; i++) {
        int p = (i + worker->number) % PARTITIONS;
        int64_t base = fixture_append(shared->p[p], 1, 2);
        NOTE(base >= 0);
        shared->plain[worker->number][p] += 2;
        if (i % 3 == 0)
            NOTE(partition_wait(shared->p[p], base + 2, 10000) == 0);
    }
    return NULL;
}

static void *write_transactions(void *context)
{
    struct worker *worker = context;
    struct shared *shared = worker->shared;
    struct producer *producer;
    char name[16];
    snprintf(name, sizeof name, "tx%d", worker->number);
    NOTE(producer_open(shared->log, name, &producer, NULL) == 0);
    for (int i = 0; i < ROUNDS; i++) {
        bool commit = i % 3 != 2;
        NOTE(txn_begin(producer, NULL) == 0);
        for (int p = 0; p < PARTITIONS; p++) {
            NOTE(fixture_txn_append(producer, shared->p[p], 1000, 1) >= 0);
            if (commit)
                shared->committed[worker->number][p]++;
        }
        NOTE((commit ? txn_commit(producer, NULL) : txn_abort(producer, NULL)) == 0);
        if (i % 20 == 19) {
            struct producer *newer;
            NOTE(producer_open(shared->log, name, &newer, NULL) == 0);
            producer_close(producer);
            producer = newer;
        }
    }
    producer_close(producer);
    return NULL;
}

static void *read_on(void *context)
{
    struct worker *worker = context;
    struct shared *shared = worker->shared;
    struct fetch fetch;
    int64_t at[PARTITIONS] = {0};
    fetch_init(&fetch);
    while (!atomic_load(&shared->stop))
        for (int p = 0; p < PARTITIONS; p++) {
            struct diag diag = {0};
            int rc = partition_fetch(shared->p[p], at[p],
                                     worker->number % 2 ? READ_COMMITTED : READ_UNCOMMITTED, 5000,
                                     &fetch, &diag);
            if (rc == ERR_RANGE) { /* purged */
                struct partition_offsets offsets;
                partition_offsets(shared->p[p], &offsets);
                at[p] = offsets.start;
                continue;
            }
            if (rc < 0)
                fprintf(stderr, "%s\n", diag.text);
            NOTE(rc == 0);
            NOTE(fetch.next_offset <= fetch.offsets.high_watermark || fetch.next_offset == at[p]);
            if (worker->number % 2)
                NOTE(fetch.next_offset <= fetch.offsets.stable || fetch.next_offset == at[p]);
            at[p] = fetch.next_offset;
        }
    fetch_deinit(&fetch);
    return NULL;
}

static void count_call(void *context)
{
    atomic_fetch_add((atomic_int *)context, 1);
}

static void *disturb(void *context)
{
    struct worker *worker = context;
    struct shared *shared = worker->shared;
    for (int i = 0; i < ROUNDS / 3; i++) {
        int id = partition_watch(shared->p[1], count_call, &shared->watched);
        NOTE(id >= 0);
        NOTE(topic_create(shared->log, "side", 2, NULL, 0, NULL) == 0);
        struct partition *side;
        int64_t offset, found;
        NOTE(partition_get(shared->log, "side", 0, &side, NULL) == 0);
        NOTE(fixture_append(side, 1, 1) == 0);
        struct partition_offsets offsets;
        partition_offsets(shared->p[0], &offsets);
        NOTE(partition_purge(shared->p[0], offsets.stable / 2, NULL) == 0);
        NOTE(partition_find_time(shared->p[1], 5, &offset, &found, NULL) == 0);
        NOTE(topic_delete(shared->log, "side", NULL) == 0);
        partition_unwatch(shared->p[1], id);
    }
    return NULL;
}

static int64_t count_records(struct partition *partition, int64_t from)
{
    struct fixture_record *records;
    int64_t count = fixture_read(partition, from, READ_COMMITTED, 5000, &records);
    free(records);
    return count;
}

static void test_all_at_once(void **state)
{
    (void)state;
    static struct shared shared;
    char *dir = scratch_dir_create();
    memset(&shared, 0, sizeof shared);
    shared.log = fixture_open(dir);
    fixture_topic(shared.log, "t", PARTITIONS, "3000");
    for (int p = 0; p < PARTITIONS; p++)
        shared.p[p] = fixture_partition(shared.log, "t", p);
    void *(*const kinds[])(void *) = {
        write_plain, write_plain, write_transactions, write_transactions, disturb,
        read_on,     read_on};
    const int numbers[] = {0, 1, 0, 1, 0, 0, 1};
    enum { THREADS = 7, ENDING = 5 };
    pthread_t threads[THREADS];
    struct worker workers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){&shared, numbers[i]};
        assert_int_equal(pthread_create(&threads[i], NULL, kinds[i], &workers[i]), 0);
    }
    for (int i = 0; i < ENDING; i++)
        pthread_join(threads[i], NULL);
    atomic_store(&shared.stop, true);
    for (int i = ENDING; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&shared.failures), 0);
    assert_true(atomic_load(&shared.watched) > 0);
    for (int reopened = 0; reopened < 2; reopened++) {
        for (int p = 1; p < PARTITIONS; p++) { /* 0 was purged */
            struct partition *partition = fixture_partition(shared.log, "t", p);
            struct partition_offsets offsets;
            partition_offsets(partition, &offsets);
            assert_int_equal(partition_wait(partition, offsets.end, -1), 0);
            int64_t wanted = 0;
            for (int i = 0; i < WRITERS; i++)
                wanted += shared.plain[i][p] + shared.committed[i][p];
            assert_int_equal(count_records(partition, 0), wanted);
        }
        log_close(shared.log);
        shared.log = fixture_open(dir);
    }
    log_close(shared.log);
    scratch_dir_remove(dir);
}

/* ---- by itself ---- */

/* Waits for a condition that the flusher brings about; the test's time limit ends it otherwise. */
#define UNTIL(condition)                                                                           \
    while (!(condition))                                                                           \
    usleep(1000)

static int64_t high_watermark(struct partition *partition)
{
    struct partition_offsets offsets;
    partition_offsets(partition, &offsets);
    return offsets.high_watermark;
}

static void test_tails_nobody_waits_for(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log *log = fixture_open(dir);
    fixture_topic(log, "t", 1, NULL);
    struct partition *partition = fixture_partition(log, "t", 0);
    assert_int_equal(fixture_append(partition, 1, 3), 0);
    UNTIL(high_watermark(partition) == 3);
    log_close(log);
    scratch_dir_remove(dir);
}

static int count_entry(void *context, struct bytes key, struct bytes value, struct diag *diag)
{
    (void)key;
    (void)value;
    (void)diag;
    ++*(int *)context;
    return 0;
}

static int entries(struct log *log, enum meta_table table)
{
    int count = 0;
    assert_int_equal(meta_scan(log->meta, table, bytes_of(NULL, 0), count_entry, &count, NULL), 0);
    return count;
}

static int64_t recorded_end(struct log *log, struct partition *partition)
{
    struct meta_place place = partition_place(partition);
    struct meta_partition record = {0};
    uint8_t key[META_PLACE_BYTES];
    struct buf value = {0};
    meta_encode_place(key, &place);
    if (meta_get(log->meta, META_PARTITIONS, bytes_of(key, sizeof key), &value, NULL) == 0)
        assert_int_equal(meta_read_partition(bytes_of(key, sizeof key),
                                             bytes_of(value.data, value.size), &place, &record),
                         0);
    buf_deinit(&value);
    return record.flushed_end;
}

static void test_what_meta_gets(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log *log = fixture_open(dir);
    struct producer *producer;
    fixture_topic(log, "t", 1, "256");
    struct partition *partition = fixture_partition(log, "t", 0);
    assert_int_equal(fixture_append(partition, 1, 1), 0);
    UNTIL(recorded_end(log, partition) == 1); /* within the second */
    for (int i = 1; i < 4; i++)
        assert_int_equal(fixture_append(partition, 1, 1), i);
    assert_int_equal(partition_wait(partition, 4, -1), 0);
    UNTIL(entries(log, META_SEGMENTS) == 1); /* a roll is recorded with the flush that covers it */
    UNTIL(recorded_end(log, partition) == 4);
    assert_int_equal(producer_open(log, "tx", &producer, NULL), 0);
    assert_int_equal(txn_begin(producer, NULL), 0);
    assert_int_equal(fixture_txn_append(producer, partition, 1, 1), 4);
    assert_int_equal(entries(log, META_PARTICIPANTS), 1);
    assert_int_equal(txn_commit(producer, NULL), 0);
    assert_true(recorded_end(log, partition) >= 5); /* with the decision */
    UNTIL(entries(log, META_DECISIONS) == 0);       /* once the marker is flushed */
    producer_close(producer);
    assert_int_equal(entries(log, META_PARTICIPANTS), 0);
    log_close(log);
    scratch_dir_remove(dir);
}

static atomic_int file_flushes, all_flushes;

static int count_flushes(void *context, enum io_call call, const char *path, int fd, size_t *size)
{
    char link[64], name[512] = "";
    (void)context;
    (void)path;
    (void)size;
    if (call != IO_FDATASYNC)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (readlink(link, name, sizeof name - 1) > 0 && strstr(name, ".log") != NULL)
        atomic_fetch_add(&file_flushes, 1);
    else
        atomic_fetch_add(&all_flushes, 1);
    return 0;
}

/* Hundreds of dirty files: one syncfs. A dozen: one fdatasync each, in parallel. */
static void test_many_files(void **state)
{
    (void)state;
    static const int counts[] = {12, 300};
    for (size_t c = 0; c < 2; c++) {
        char *dir = scratch_dir_create();
        struct log_options options = {.flush_interval_ms = 60000};
        struct log *log = fixture_open_options(dir, &options);
        struct producer *producer;
        fixture_topic(log, "t", 300, NULL);
        assert_int_equal(producer_open(log, "tx", &producer, NULL), 0);
        assert_int_equal(txn_begin(producer, NULL), 0);
        for (int32_t i = 0; i < counts[c]; i++) {
            struct partition *partition = fixture_partition(log, "t", i);
            assert_int_equal(fixture_txn_append(producer, partition, i, 1), 0);
        }
        atomic_store(&file_flushes, 0);
        atomic_store(&all_flushes, 0);
        io_set_fault(count_flushes, NULL);
        assert_int_equal(txn_commit(producer, NULL), 0);
        io_set_fault(NULL, NULL);
        assert_int_equal(atomic_load(&file_flushes), c == 0 ? 12 : 0);
        assert_int_equal(atomic_load(&all_flushes), c == 0 ? 0 : 1);
        for (int32_t i = 0; i < counts[c]; i++)
            assert_int_equal(high_watermark(fixture_partition(log, "t", i)), 1);
        log_close(log);
        scratch_dir_remove(dir);
    }
}

/* More segments than descriptors: least recently used ones are closed. */
static void test_few_descriptors(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log *log = fixture_open(dir);
    fixture_topic(log, "t", 100, NULL);
    log->fds.limit = 16;
    for (int round = 0; round < 3; round++)
        for (int32_t i = 0; i < 100; i++) {
            struct partition *partition = fixture_partition(log, "t", i);
            assert_int_equal(fixture_append(partition, i, 1), round);
            if (i % 10 == 9)
                assert_int_equal(partition_wait(partition, round + 1, -1), 0);
        }
    for (int32_t i = 0; i < 100; i++) {
        struct partition *partition = fixture_partition(log, "t", i);
        assert_int_equal(partition_wait(partition, 3, -1), 0);
        assert_int_equal(count_records(partition, 0), 3);
    }
    assert_true(log->fds.open_count <= 16);
    log_close(log);
    scratch_dir_remove(dir);
}

/* ---- acknowledged before durable ---- */

struct acknowledged {
    struct partition *partition;
    int64_t offset;
    atomic_int waits, watched, commits;
};

static void *wait_for_offset(void *context)
{
    struct acknowledged *acknowledged = context;
    assert_int_equal(partition_wait(acknowledged->partition, acknowledged->offset, -1), 0);
    atomic_fetch_add(&acknowledged->waits, 1);
    return NULL;
}

static void note_watch(void *context)
{
    pthread_mutex_lock(&io_gate.mutex);
    atomic_fetch_add(&((struct acknowledged *)context)->watched, 1);
    pthread_cond_broadcast(&io_gate.moved);
    pthread_mutex_unlock(&io_gate.mutex);
}

static void note_commit(void *context, int code)
{
    struct acknowledged *acknowledged = context;
    assert_int_equal(code, 0);
    pthread_mutex_lock(&io_gate.mutex);
    atomic_fetch_add(&acknowledged->commits, 1);
    pthread_cond_broadcast(&io_gate.moved);
    pthread_mutex_unlock(&io_gate.mutex);
}

/* Written, and neither acknowledged to whoever waits nor shown to whoever reads. */
static void expect_silence(struct acknowledged *acknowledged, struct partition *partition,
                           int64_t from)
{
    struct partition_offsets offsets;
    struct fetch fetch;
    assert_int_equal(partition_wait(partition, from + 1, 0), ERR_TIMEOUT);
    assert_int_equal(partition_wait(partition, from + 1, 5), ERR_TIMEOUT);
    partition_offsets(partition, &offsets);
    assert_int_equal(offsets.high_watermark, from);
    assert_int_equal(offsets.stable, from);
    fetch_init(&fetch);
    for (int isolation = READ_COMMITTED; isolation <= READ_UNCOMMITTED; isolation++) {
        assert_int_equal(
            partition_fetch(partition, from, (enum isolation)isolation, 1, &fetch, NULL), 0);
        assert_int_equal(fetch.bytes.size, 0);
    }
    fetch_deinit(&fetch);
    assert_int_equal(atomic_load(&acknowledged->waits), 0);
    assert_int_equal(atomic_load(&acknowledged->watched), 0);
    assert_int_equal(atomic_load(&acknowledged->commits), 0);
}

/* first: the flush that is let through first; the file's own, or that of the directory that names
 * it. Only both together make the record durable. */
static void hold_flushes(enum io_call first, enum io_call last)
{
    enum { WAITERS = 4 };
    char *dir = scratch_dir_create();
    struct log_options options = {.keeper_interval_ms = -1};
    struct log *log = fixture_open_options(dir, &options);
    struct diag diag = {0};
    pthread_t waiters[WAITERS];
    struct producer *producer;
    fixture_topic(log, "t", 2, NULL);
    struct partition *plain = fixture_partition(log, "t", 0),
                     *transactional = fixture_partition(log, "t", 1);
    struct acknowledged acknowledged = {.partition = plain, .offset = 1};
    assert_int_equal(producer_open(log, "tx", &producer, &diag), 0);
    assert_int_equal(txn_begin(producer, &diag), 0);
    assert_int_equal(txn_participate(producer, &transactional, 1, &diag), 0);
    io_set_fault(io_gate_hook, NULL);
    io_gate_set(first, true);
    io_gate_set(last, true);
    int watch = partition_watch(plain, note_watch, &acknowledged);
    assert_int_equal(fixture_append(plain, 1, 1), 0);
    assert_int_equal(fixture_txn_append(producer, transactional, 2, 1), 0);
    assert_int_equal(txn_commit_start(producer, note_commit, &acknowledged, &diag), 0);
    for (int i = 0; i < WAITERS; i++)
        assert_int_equal(pthread_create(&waiters[i], NULL, wait_for_offset, &acknowledged), 0);
    io_gate_wait_held(first);
    expect_silence(&acknowledged, plain, 0);
    expect_silence(&acknowledged, transactional, 0);
    io_gate_set(first, false);
    io_gate_wait_held(last);
    expect_silence(&acknowledged, plain, 0);
    expect_silence(&acknowledged, transactional, 0);
    io_gate_set(last, false);
    for (int i = 0; i < WAITERS; i++)
        pthread_join(waiters[i], NULL);
    pthread_mutex_lock(&io_gate.mutex);
    while (atomic_load(&acknowledged.commits) == 0 || atomic_load(&acknowledged.watched) == 0)
        pthread_cond_wait(&io_gate.moved, &io_gate.mutex);
    pthread_mutex_unlock(&io_gate.mutex);
    io_set_fault(NULL, NULL);
    assert_int_equal(atomic_load(&acknowledged.waits), WAITERS);
    assert_string_equal(fixture_values(plain, READ_UNCOMMITTED), "1");
    assert_string_equal(fixture_values(transactional, READ_COMMITTED), "2");
    partition_unwatch(plain, watch);
    producer_close(producer);
    log_close(log);
    scratch_dir_remove(dir);
}

static void bug_08_nothing_is_acknowledged_before_its_flush(void **state)
{
    (void)state;
    hold_flushes(IO_FDATASYNC, IO_FSYNC_DIR);
    hold_flushes(IO_FSYNC_DIR, IO_FDATASYNC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bug_08_nothing_is_acknowledged_before_its_flush),
        cmocka_unit_test(test_all_at_once),
        cmocka_unit_test(test_tails_nobody_waits_for),
        cmocka_unit_test(test_what_meta_gets),
        cmocka_unit_test(test_many_files),
        cmocka_unit_test(test_few_descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
