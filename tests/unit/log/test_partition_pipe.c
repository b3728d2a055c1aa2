/* test_partition_pipe.c: what goes into a pipe is what an ordinary fetch brings: the same whole batches, offsets and aborted transactions; and nothing goes
 * there that this process has neither written nor checked. */
#include "log/log_internal.h"
#include "tests/support/log_fixture.h"
#include "tests/support/scratch_dir.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { PIPE_BYTES = 1 << 20, PLENTY = 1 << 20 };

struct setup {
    char *dir;
    struct log *log;
    struct partition *p;
    int pipe[2];
    struct fetch fetch, plain;
    uint8_t *bytes;
    size_t size;
};

static void open_log(struct setup *s)
{
    s->log = fixture_open(s->dir);
    s->p = fixture_partition(s->log, "t", 0);
}

static void begin(struct setup *s, const char *segment_bytes)
{
    s->dir = scratch_dir_create();
    s->log = fixture_open(s->dir);
    fixture_topic(s->log, "t", 1, segment_bytes);
    s->p = fixture_partition(s->log, "t", 0);
    assert_int_equal(pipe2(s->pipe, O_NONBLOCK), 0);
    assert_true(fcntl(s->pipe[1], F_SETPIPE_SZ, PIPE_BYTES) >= PIPE_BYTES);
    fetch_init(&s->fetch);
    fetch_init(&s->plain);
    s->bytes = malloc(PIPE_BYTES);
    assert_non_null(s->bytes);
}

static void end(struct setup *s)
{
    log_close(s->log);
    close(s->pipe[0]);
    close(s->pipe[1]);
    fetch_deinit(&s->fetch);
    fetch_deinit(&s->plain);
    free(s->bytes);
    scratch_dir_remove(s->dir);
}

static void wait_flushed(struct setup *s)
{
    struct partition_offsets offsets;
    partition_offsets(s->p, &offsets);
    assert_int_equal(partition_wait(s->p, offsets.end, -1), 0);
}

/* Batches of some batch_bytes: of a record, or of as many of 1,000 bytes as make that. */
static void append(struct setup *s, int count, size_t batch_bytes)
{
    int32_t records = batch_bytes < 1000 ? 1 : (int32_t)(batch_bytes / 1000);
    for (int i = 0; i < count; i++)
        assert_true(
            fixture_append_sized(s->p, i, records, batch_bytes / (size_t)records, 1000 + i) >= 0);
    wait_flushed(s);
}

/* What went into the pipe; 0: nothing did. */
static size_t fetch_piped(struct setup *s, int64_t offset, enum isolation isolation,
                          size_t max_bytes)
{
    assert_int_equal(partition_fetch_into_pipe(s->p, offset, isolation, max_bytes, s->pipe[1],
                                               &s->fetch, &s->size),
                     0);
    ssize_t got = read(s->pipe[0], s->bytes, PIPE_BYTES);
    assert_int_equal(got < 0 ? 0 : got, s->size);
    uint8_t more;
    assert_true(read(s->pipe[0], &more, 1) < 0); /* and nothing else */
    return s->size;
}

/* What went into the pipe is what an ordinary fetch brings, which the limit makes end at the same batch. */
static void compare(struct setup *s, int64_t offset, enum isolation isolation, size_t max_bytes)
{
    assert_true(s->size >= FETCH_PIPE_LEAST_BYTES);
    assert_int_equal(partition_fetch(s->p, offset, isolation, max_bytes, &s->plain, NULL), 0);
    assert_int_equal(s->size, s->plain.bytes.size);
    assert_memory_equal(s->bytes, s->plain.bytes.data, s->size);
    assert_int_equal(s->fetch.next_offset, s->plain.next_offset);
    assert_int_equal(s->fetch.offsets.high_watermark, s->plain.offsets.high_watermark);
    assert_int_equal(s->fetch.offsets.stable, s->plain.offsets.stable);
    assert_int_equal(s->fetch.offsets.start, s->plain.offsets.start);
    assert_int_equal(s->fetch.aborted_count, s->plain.aborted_count);
    for (size_t i = 0; i < s->plain.aborted_count; i++)
        assert_memory_equal(&s->fetch.aborted[i], &s->plain.aborted[i], sizeof(struct aborted));
}

static void expect_same(struct setup *s, int64_t offset, enum isolation isolation, size_t max_bytes)
{
    fetch_piped(s, offset, isolation, max_bytes);
    compare(s, offset, isolation, max_bytes);
}

/* From the start to the end; returns how many went through the pipe. */
static int read_all(struct setup *s, enum isolation isolation, size_t max_bytes)
{
    int piped = 0;
    struct partition_offsets offsets;
    partition_offsets(s->p, &offsets);
    for (int64_t at = 0; at < offsets.high_watermark;) {
        if (fetch_piped(s, at, isolation, max_bytes) > 0) {
            compare(s, at, isolation, max_bytes);
            piped++;
        } else {
            assert_int_equal(partition_fetch(s->p, at, isolation, max_bytes, &s->plain, NULL), 0);
        }
        int64_t next = s->size > 0 ? s->fetch.next_offset : s->plain.next_offset;
        assert_true(next > at);
        at = next;
    }
    return piped;
}

static void test_own_batches(void **state)
{
    (void)state;
    static const size_t sizes[] = {10, 1000, 5000, 60000, 200000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct setup s;
        begin(&s, "1000000");
        append(&s, (int)(3000000 / (sizes[i] + 75)), sizes[i]); /* four segments */
        for (size_t most = FETCH_PIPE_LEAST_BYTES; most <= 700000; most = most * 3 + 77)
            assert_int_equal(read_all(&s, READ_UNCOMMITTED, most) > 0,
                             most > FETCH_PIPE_LEAST_BYTES && most > sizes[i] / 1000 * 1010 + 100);
        end(&s);
    }
}

static void test_too_little(void **state)
{
    (void)state;
    struct setup s;
    begin(&s, NULL);
    append(&s, 10, 5000);
    assert_int_equal(fetch_piped(&s, 0, READ_UNCOMMITTED, PLENTY), 0);
    append(&s, 10, 5000);
    expect_same(&s, 0, READ_UNCOMMITTED, PLENTY);
    assert_int_equal(fetch_piped(&s, 0, READ_UNCOMMITTED, FETCH_PIPE_LEAST_BYTES - 1), 0);
    assert_int_equal(fetch_piped(&s, 100, READ_UNCOMMITTED, PLENTY), 0); /* the end */
    assert_int_equal(fetch_piped(&s, 101, READ_UNCOMMITTED, PLENTY), 0);
    assert_int_equal(fetch_piped(&s, -1, READ_UNCOMMITTED, PLENTY), 0);
    end(&s);
}

/* Batches of an earlier process are checked once, by an ordinary fetch. */
static void test_unchecked(void **state)
{
    (void)state;
    struct setup s;
    begin(&s, NULL);
    append(&s, 100, 5000);
    log_close(s.log);
    open_log(&s);
    assert_int_equal(fetch_piped(&s, 0, READ_UNCOMMITTED, PLENTY), 0);
    assert_int_equal(read_all(&s, READ_UNCOMMITTED, 200000), 0);
    assert_int_equal(read_all(&s, READ_UNCOMMITTED, 200000), 3);
    append(&s, 100, 5000);
    assert_int_equal(read_all(&s, READ_UNCOMMITTED, 200000), 5); /* 25 kB are left */
    log_close(s.log);
    open_log(&s);
    append(&s, 100, 5000); /* what follows is its own */
    assert_int_equal(fetch_piped(&s, 0, READ_UNCOMMITTED, PLENTY), 0);
    assert_int_equal(partition_fetch(s.p, 1000, READ_UNCOMMITTED, 4096, &s.plain, NULL), 0);
    assert_true(fetch_piped(&s, s.plain.next_offset, READ_UNCOMMITTED, PLENTY) > 0);
    end(&s);
}

/* What is damaged between two processes is found before anything of it goes out. */
static void test_damage(void **state)
{
    (void)state;
    struct setup s;
    char path[600];
    begin(&s, "300000");
    append(&s, 100, 5000);
    log_close(s.log);
    snprintf(path, sizeof path, "%s/topics/t-0/%020d.log", s.dir, 0);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "\xff", 1, 200000), 1);
    close(fd);
    open_log(&s);
    assert_int_equal(fetch_piped(&s, 0, READ_UNCOMMITTED, PLENTY), 0);
    assert_int_equal(partition_fetch(s.p, 0, READ_UNCOMMITTED, 100000, &s.plain, NULL), 0);
    expect_same(&s, 0, READ_UNCOMMITTED, 100000); /* not further */
    assert_int_equal(partition_fetch(s.p, 0, READ_UNCOMMITTED, PLENTY, &s.plain, NULL),
                     ERR_CORRUPT);
    assert_int_equal(fetch_piped(&s, 0, READ_UNCOMMITTED, 100000), 0);
    end(&s);
}

static void test_transactions(void **state)
{
    (void)state;
    struct setup s;
    struct producer *producer;
    begin(&s, NULL);
    assert_int_equal(producer_open(s.log, "id", &producer, NULL), 0);
    for (int round = 0; round < 6; round++) {
        assert_int_equal(txn_begin(producer, NULL), 0);
        for (int i = 0; i < 30; i++)
            assert_true(fixture_txn_append(producer, s.p, i, 100) >= 0);
        append(&s, 10, 5000);
        if (round < 5)
            assert_int_equal(
                round % 2 == 0 ? txn_abort(producer, NULL) : txn_commit(producer, NULL), 0);
    }
    wait_flushed(&s);
    expect_same(&s, 0, READ_COMMITTED, PLENTY);
    assert_int_equal(s.fetch.aborted_count, 3);
    assert_true(s.fetch.next_offset == s.fetch.offsets.stable); /* the last one is open */
    expect_same(&s, 0, READ_UNCOMMITTED, PLENTY);
    assert_true(s.fetch.next_offset > s.fetch.offsets.stable);
    assert_true(read_all(&s, READ_UNCOMMITTED, 100000) > 0);
    assert_int_equal(txn_abort(producer, NULL), 0);
    producer_close(producer);
    end(&s);
}

/* A pipe that has no room is of no use, and is said to be. */
static void test_full_pipe(void **state)
{
    (void)state;
    struct setup s;
    begin(&s, NULL);
    append(&s, 100, 5000);
    assert_true(fcntl(s.pipe[1], F_SETPIPE_SZ, 16384) >= 16384);
    assert_int_equal(
        partition_fetch_into_pipe(s.p, 0, READ_UNCOMMITTED, PLENTY, s.pipe[1], &s.fetch, &s.size),
        ERR_IO);
    assert_int_equal(s.size, 0);
    end(&s);
}

int main(void)
{
    scratch_dir_in_memory();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_batches),  cmocka_unit_test(test_too_little),
        cmocka_unit_test(test_unchecked),    cmocka_unit_test(test_damage),
        cmocka_unit_test(test_transactions), cmocka_unit_test(test_full_pipe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
