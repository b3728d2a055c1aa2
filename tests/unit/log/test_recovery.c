/* test_recovery.c: damaged, cut, missing and foreign files (P9), and crashes at each step of a
 * transaction. */
#include "log/log_internal.h"
#include "runtime/base/clock.h"
#include "runtime/base/io.h"
#include "tests/support/log_fixture.h"
#include "tests/support/scratch_dir.h"

#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { BATCH_BYTES = 69 }; /* header 61, and one record of one byte: 8 */

struct setup {
    char *dir, *log_file;
};

static int fill_in_child(void *context)
{
    struct setup *s = context;
    struct log *log = fixture_open(s->dir);
    struct partition *p = fixture_partition(log, "t", 0);
    for (int i = 0; i < 10; i++)
        fixture_append(p, i, 1);
    return partition_wait(p, 10, -1) == 0 ? 0 : 1; /* and no clean close */
}

/* Ten batches in t-0, one in t-1, clean or not. */
static void begin(struct setup *s, bool clean)
{
    s->dir = scratch_dir_create();
    s->log_file = scratch_path(s->dir, "topics/t-0/00000000000000000000.log");
    struct log *log = fixture_open(s->dir);
    fixture_topic(log, "t", 2, NULL);
    assert_int_equal(fixture_append(fixture_partition(log, "t", 1), 77, 1), 0);
    if (clean)
        for (int i = 0; i < 10; i++)
            assert_int_equal(fixture_append(fixture_partition(log, "t", 0), i, 1), i);
    log_close(log);
    if (!clean)
        assert_int_equal(fixture_child(fill_in_child, s, NULL), 0);
    struct stat info;
    assert_int_equal(stat(s->log_file, &info), 0);
    assert_int_equal(info.st_size, 10 * BATCH_BYTES);
}

static void end(struct setup *s)
{
    free(s->log_file);
    scratch_dir_remove(s->dir);
}

static void flip(const char *path, int64_t at)
{
    uint8_t byte;
    int fd = open(path, O_RDWR);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

/* Opens; partition 0 is stopped with a text that holds what, 1 works. */
static void expect_stopped(struct setup *s, const char *file, const char *what)
{
    struct log *log = fixture_open(s->dir);
    struct diag diag = {0};
    struct partition *p = fixture_partition(log, "t", 0), *other = fixture_partition(log, "t", 1);
    assert_int_equal(partition_status(p, &diag), ERR_CORRUPT);
    if (strstr(diag.text, file) == NULL || strstr(diag.text, what) == NULL)
        fail_msg("%s (wanted: %s, %s)", diag.text, file, what);
    assert_int_equal(fixture_append(p, 1, 1), ERR_CORRUPT);
    assert_string_equal(fixture_values(p, READ_COMMITTED), "error -3");
    int64_t offset = fixture_append(other, 78, 1);
    assert_true(offset >= 1);
    assert_int_equal(partition_wait(other, offset + 1, -1), 0);
    assert_memory_equal(fixture_values(other, READ_COMMITTED), "77 78", 5);
    log_close(log);
}

static void expect_values(struct setup *s, const char *values)
{
    struct log *log = fixture_open(s->dir);
    assert_string_equal(fixture_values(fixture_partition(log, "t", 0), READ_COMMITTED), values);
    log_close(log);
}

/* Each byte of a batch, outside the CRC too. The leader epoch (bytes 12 to 15) alone carries
 * nothing. */
static void test_flip_below_flushed_end(void **state)
{
    (void)state;
    for (int64_t at = 0; at < BATCH_BYTES; at++) {
        struct setup s;
        if (at >= 12 && at < 16)
            continue;
        begin(&s, true);
        flip(s.log_file, 4 * BATCH_BYTES + at);
        expect_stopped(&s, s.log_file, "below the recorded flushed end");
        expect_stopped(&s, s.log_file, "byte 276"); /* and nothing was changed */
        end(&s);
    }
}

static void test_truncated_below_flushed_end(void **state)
{
    (void)state;
    struct setup s;
    begin(&s, true);
    assert_int_equal(truncate(s.log_file, 5 * BATCH_BYTES), 0);
    expect_stopped(&s, s.log_file, "truncated at byte 345");
    end(&s);
}

static void append_bytes(const char *path, const void *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_APPEND);
    assert_int_equal(write(fd, data, size), (ssize_t)size);
    close(fd);
}

/* What a crash leaves behind the last whole batch is cut off; what was flushed stays. */
static void test_torn_tails(void **state)
{
    (void)state;
    size_t size;
    uint8_t *batch = fixture_batch(10, 1, 1, 5, &size);
    batch_set_base(batch, 10, 0);
    for (size_t torn = 1; torn < size; torn += 3) {
        struct setup s;
        begin(&s, torn % 2 == 0);
        append_bytes(s.log_file, batch, torn);
        expect_values(&s, "0 1 2 3 4 5 6 7 8 9");
        struct stat info;
        assert_int_equal(stat(s.log_file, &info), 0);
        assert_int_equal(info.st_size, 10 * BATCH_BYTES);
        struct log *log = fixture_open(s.dir);
        assert_int_equal(fixture_append(fixture_partition(log, "t", 0), 10, 1), 10);
        log_close(log);
        expect_values(&s, "0 1 2 3 4 5 6 7 8 9 10");
        end(&s);
    }
    free(batch);
}

/* Whole valid batches above the recorded flushed end may have been acknowledged: they stay. */
static void test_valid_tail_is_kept(void **state)
{
    (void)state;
    struct setup s;
    size_t size;
    uint8_t *batch = fixture_batch(10, 1, 1, 5, &size);
    batch_set_base(batch, 10, 0);
    begin(&s, true);
    append_bytes(s.log_file, batch, size);
    expect_values(&s, "0 1 2 3 4 5 6 7 8 9 10");
    batch_set_base(batch, 12, 0); /* not the next offset: no continuation */
    append_bytes(s.log_file, batch, size);
    expect_values(&s, "0 1 2 3 4 5 6 7 8 9 10");
    free(batch);
    end(&s);
}

/* Damage before a later valid batch is damage, not an end. */
static void test_hole_before_valid_batch(void **state)
{
    (void)state;
    struct setup s;
    size_t size;
    uint8_t *batch = fixture_batch(10, 1, 1, 5, &size);
    begin(&s, true);
    batch_set_base(batch, 10, 0);
    batch[size - 1] ^= 1;
    append_bytes(s.log_file, batch, size);
    batch[size - 1] ^= 1;
    batch_set_base(batch, 11, 0);
    append_bytes(s.log_file, batch, size);
    expect_stopped(&s, s.log_file, "before a valid batch at byte 760");
    free(batch);
    end(&s);
}

static void test_zeros_after_the_end(void **state)
{
    (void)state;
    struct setup s;
    static const uint8_t zeros[100000];
    begin(&s, false);
    append_bytes(s.log_file, zeros, sizeof zeros);
    expect_values(&s, "0 1 2 3 4 5 6 7 8 9");
    end(&s);
}

/* ---- several segments ---- */

static void begin_segments(struct setup *s)
{
    s->dir = scratch_dir_create();
    s->log_file = scratch_path(s->dir, "topics/t-0/%020d.log", 6);
    struct log *log = fixture_open(s->dir);
    fixture_topic(log, "t", 2, "256"); /* three batches a segment */
    assert_int_equal(fixture_append(fixture_partition(log, "t", 1), 77, 1), 0);
    for (int i = 0; i < 12; i++)
        assert_int_equal(fixture_append(fixture_partition(log, "t", 0), i, 1), i);
    log_close(log);
    assert_int_equal(access(s->log_file, F_OK), 0);
}

static void test_missing_segment(void **state)
{
    (void)state;
    for (int base = 0; base < 12; base += 3) {
        struct setup s;
        begin_segments(&s);
        char *path = scratch_path(s.dir, "topics/t-0/%020d.log", base);
        assert_int_equal(unlink(path), 0);
        expect_stopped(&s, path, "missing");
        free(path);
        end(&s);
    }
}

static void test_changed_size_of_closed_segment(void **state)
{
    (void)state;
    struct setup s;
    begin_segments(&s);
    append_bytes(s.log_file, "x", 1);
    expect_stopped(&s, s.log_file, "has 208");
    assert_int_equal(truncate(s.log_file, 100), 0);
    expect_stopped(&s, s.log_file, "truncated at byte 100");
    end(&s);
}

/* Closed segments are not read when the log is opened: the reader finds the damage. */
static void test_flip_in_closed_segment(void **state)
{
    (void)state;
    struct setup s;
    begin_segments(&s);
    flip(s.log_file, 100);
    struct log *log = fixture_open(s.dir);
    struct partition *p = fixture_partition(log, "t", 0);
    struct diag diag = {0};
    struct fetch fetch;
    assert_int_equal(partition_status(p, NULL), 0);
    fetch_init(&fetch);
    assert_int_equal(partition_fetch(p, 6, READ_COMMITTED, 10000, &fetch, &diag), ERR_CORRUPT);
    assert_non_null(strstr(diag.text, s.log_file));
    assert_non_null(strstr(diag.text, "byte 69"));
    assert_int_equal(partition_fetch(p, 0, READ_COMMITTED, 10000, &fetch, &diag), ERR_CORRUPT);
    fetch_deinit(&fetch);
    log_close(log);
    end(&s);
}

static void test_foreign_segment(void **state)
{
    (void)state;
    static const int bases[] = {1, 7, 13, 5000};
    for (size_t i = 0; i < 4; i++) {
        struct setup s;
        begin_segments(&s);
        char *path = scratch_path(s.dir, "topics/t-0/%020d.log", bases[i]);
        assert_int_equal(io_write_file(path, "something", 9, NULL), 0);
        expect_stopped(&s, path, "");
        free(path);
        end(&s);
    }
}

/* What a roll leaves behind when the disk is full, or the power goes: files without batches. */
static void test_empty_rolls(void **state)
{
    (void)state;
    static const struct {
        int base;
        const char *bytes; /* of the new file */
        bool torn;         /* the last segment loses a byte that was not flushed */
        bool stopped;
    } cases[] = {{12, "", false, false}, {11, "", false, false}, {13, "", false, false},
                 {13, "x", false, true}, {13, "", true, false},  {13, "garbage", true, false}};
    size_t size;
    uint8_t *batch = fixture_batch(12, 1, 1, 5, &size);
    batch_set_base(batch, 12, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct setup s;
        begin_segments(&s);
        char *last = scratch_path(s.dir, "topics/t-0/%020d.log", 9),
             *path = scratch_path(s.dir, "topics/t-0/%020d.log", cases[i].base);
        if (cases[i].torn)
            append_bytes(last, batch, size - 1);
        assert_int_equal(io_write_file(path, cases[i].bytes, strlen(cases[i].bytes), NULL), 0);
        if (cases[i].stopped) {
            expect_stopped(&s, path, "missing before this segment");
        } else {
            expect_values(&s, "0 1 2 3 4 5 6 7 8 9 10 11");
            struct log *log = fixture_open(s.dir);
            assert_int_equal(fixture_append(fixture_partition(log, "t", 0), 12, 1), 12);
            log_close(log);
            expect_values(&s, "0 1 2 3 4 5 6 7 8 9 10 11 12");
        }
        free(last);
        free(path);
        end(&s);
    }
    free(batch);
}

/* Without meta/ nothing is known of the topics: an empty log in its place would invite to fill it.
 */
static void test_missing_meta(void **state)
{
    (void)state;
    struct setup s;
    begin(&s, true);
    char *path = scratch_path(s.dir, "meta/data.mdb");
    struct log *log;
    for (int empty = 0; empty < 2; empty++) {
        struct diag diag = {0};
        if (empty)
            assert_int_equal(io_write_file(path, "", 0, NULL), 0);
        else
            assert_int_equal(io_unlink(path, NULL), 0);
        assert_int_equal(log_open(s.dir, NULL, &log, &diag), ERR_CORRUPT);
        assert_non_null(strstr(diag.text, path));
    }
    free(path);
    end(&s);
}

static void test_missing_directory(void **state)
{
    (void)state;
    struct setup s;
    begin_segments(&s);
    char *path = scratch_path(s.dir, "topics/t-0");
    assert_int_equal(io_remove_tree(path, NULL), 0);
    expect_stopped(&s, "t-0", "directory is missing");
    free(path);
    end(&s);
}

/* Large enough that only its end is read again; the index must agree. */
static void test_large_segment_rechecks_its_end(void **state)
{
    (void)state;
    struct setup s;
    s.dir = scratch_dir_create();
    s.log_file = scratch_path(s.dir, "topics/t-0/%020d.log", 0);
    struct log *log = fixture_open(s.dir);
    fixture_topic(log, "t", 2, NULL);
    assert_int_equal(fixture_append(fixture_partition(log, "t", 1), 77, 1), 0);
    for (int i = 0; i < 500; i++)
        assert_int_equal(fixture_append_sized(fixture_partition(log, "t", 0), i, 1, 1000, 5 + i),
                         i);
    log_close(log);
    struct stat before, after;
    assert_int_equal(stat(s.log_file, &before), 0);
    for (int i = 0; i < 2; i++) {
        struct fixture_record *records;
        log = fixture_open(s.dir);
        assert_int_equal(
            fixture_read(fixture_partition(log, "t", 0), 0, READ_COMMITTED, 5000, &records), 500);
        free(records);
        log_close(log);
    }
    assert_int_equal(stat(s.log_file, &after), 0);
    assert_int_equal(before.st_size, after.st_size);
    flip(s.log_file, before.st_size - 30000);
    expect_stopped(&s, s.log_file, "below the recorded flushed end");
    end(&s);
}

/* ---- transactions ---- */

struct txn_case {
    const char *at;
    bool committed; /* what the next life must see */
    bool abort;     /* the child aborts instead */
};

static char *txn_dir;
static bool txn_aborts;

static int txn_in_child(void *context)
{
    struct log *log = fixture_open(txn_dir);
    struct partition *p[2] = {fixture_partition(log, "t", 0), fixture_partition(log, "t", 1)};
    struct group_offset offset = {.topic = "t", .partition = 0, .offset = 42};
    struct producer *producer;
    (void)context;
    if (producer_open(log, "tx", &producer, NULL) < 0 || txn_begin(producer, NULL) < 0 ||
        txn_participate(producer, p, 2, NULL) < 0)
        return 1;
    if (fixture_txn_append(producer, p[0], 1, 2) < 0 ||
        fixture_txn_append(producer, p[1], 3, 1) < 0 ||
        txn_add_offsets(producer, "g", &offset, 1, NULL) < 0)
        return 1;
    if ((txn_aborts ? txn_abort(producer, NULL) : txn_commit(producer, NULL)) < 0)
        return 1;
    log_close(log);
    return 0;
}

static int open_in_child(void *context)
{
    (void)context;
    fixture_open(txn_dir);
    return 0;
}

/* A transaction is committed and purged, marker and all; the next one of the same producer is open when
 * the process dies, before meta forgot the first one's decision. */
static int purge_in_child(void *context)
{
    struct log *log = fixture_open(txn_dir);
    struct partition *p = fixture_partition(log, "t", 0);
    struct partition_offsets offsets;
    struct producer *producer;
    (void)context;
    if (producer_open(log, "tx", &producer, NULL) < 0 || txn_begin(producer, NULL) < 0 ||
        fixture_txn_append(producer, p, 1, 2) < 0 || txn_commit(producer, NULL) < 0)
        return 1;
    partition_offsets(p, &offsets);
    if (offsets.end != 3 || partition_wait(p, offsets.end, -1) < 0 || partition_roll(p, NULL) < 0 ||
        partition_purge(p, offsets.end, NULL) < 0)
        return 2;
    if (txn_begin(producer, NULL) < 0 || fixture_txn_append(producer, p, 3, 1) < 0)
        return 3;
    return 0; /* decisions are forgotten once a second, so that this one is still there */
}

static void test_purged_marker_is_not_written_again(void **state)
{
    (void)state;
    txn_dir = scratch_dir_create();
    struct log *log = fixture_open(txn_dir);
    fixture_topic(log, "t", 1, NULL);
    log_close(log);
    assert_int_equal(fixture_child(purge_in_child, NULL, NULL), 0);
    log = fixture_open(txn_dir);
    assert_string_equal(fixture_values(fixture_partition(log, "t", 0), READ_UNCOMMITTED), "3");
    assert_string_equal(fixture_values(fixture_partition(log, "t", 0), READ_COMMITTED), "");
    log_close(log);
    scratch_dir_remove(txn_dir);
}

static void check_transaction(bool committed, int16_t *epoch)
{
    struct log *log = fixture_open(txn_dir);
    struct producer *producer;
    struct group_offset offset;
    struct partition_offsets offsets;
    struct partition *p0 = fixture_partition(log, "t", 0), *p1 = fixture_partition(log, "t", 1);
    assert_string_equal(fixture_values(p0, READ_COMMITTED), committed ? "1 2" : "");
    assert_string_equal(fixture_values(p1, READ_COMMITTED), committed ? "3" : "");
    assert_int_equal(group_fetch(log, "g", "t", 0, &offset), 0);
    assert_int_equal(offset.offset, committed ? 42 : -1);
    partition_offsets(p0, &offsets);
    assert_int_equal(offsets.stable, offsets.end); /* nothing hangs */
    if (committed) {                               /* exactly one marker each */
        assert_int_equal(offsets.end, 3);
        partition_offsets(p1, &offsets);
        assert_int_equal(offsets.end, 2);
    }
    assert_int_equal(producer_open(log, "tx", &producer, NULL), 0);
    *epoch = producer_epoch(producer);
    producer_close(producer);
    log_close(log);
}

static void test_crash_in_a_transaction(void **state)
{
    (void)state;
    static const struct txn_case cases[] = {
        {"producer.open.before", false, false}, {"producer.open.fenced", false, false},
        {"producer.open.after", false, false},  {"participants.before", false, false},
        {"participants.after", false, false},   {"append.written:1", false, false},
        {"append.written:2", false, false},     {"roll.created:1", false, false},
        {"roll.done:2", false, false},          {"decide.prepared", false, false},
        {"decide.before", false, false},        {"decide.done", true, false},
        {"decide.stable", true, false},         {"marker.commit:1", true, false},
        {"marker.commit:2", true, false},       {"decide.finished", true, false},
        {"decision.remove:2", true, false},     {"append.written:3", true, false},
        {"marker.abort:1", false, true},        {"marker.abort:2", false, true},
        {"decide.done", false, true},           {"flush.done", false, true},
        {"decide.finished", false, true},
    };
    static const char *const again[] = {NULL,
                                        "recovery.begin",
                                        "recovery.marker:1",
                                        "recovery.marker:2",
                                        "recovery.abort:1",
                                        "recovery.abort:2",
                                        "recovery.flushed",
                                        "recovery.done"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t r = 0; r < sizeof again / sizeof *again; r++) {
            txn_dir = scratch_dir_create();
            struct log *log = fixture_open(txn_dir);
            int16_t epoch, later;
            fixture_topic(log, "t", 2, NULL);
            log_close(log);
            txn_aborts = cases[i].abort;
            int status = fixture_child(txn_in_child, NULL, cases[i].at);
            /* A tail may be flushed, and meta written, at any moment: then the point is passed by
             * another round. */
            if (status != 137 && status != 0)
                fail_msg("%s: the child failed", cases[i].at);
            if (again[r] != NULL)
                (void)fixture_child(open_in_child, NULL, again[r]);
            check_transaction(cases[i].committed, &epoch);
            check_transaction(cases[i].committed, &later);
            assert_true(later > epoch);
            scratch_dir_remove(txn_dir);
        }
}

/* Takes back what meta knows of the flushed end of t-1: what durability=os leaves after a power
 * cut. */
static void forget_flushed_end(const struct uuid *topic)
{
    struct meta *meta;
    struct meta_batch batch;
    struct meta_place place = {*topic, 1};
    struct meta_partition nothing = {.segment_base = -1};
    char *path = scratch_path(txn_dir, "meta");
    assert_int_equal(meta_open(path, 0, &meta, NULL), 0);
    meta_batch_init(&batch);
    meta_put_partition(&batch, &place, &nothing);
    assert_int_equal(meta_apply(meta, &batch, NULL), 0);
    meta_batch_deinit(&batch);
    meta_close(meta);
    free(path);
}

/* A partition that ends before a decision's end has lost what was committed. */
static void test_lost_committed_tail(void **state)
{
    (void)state;
    txn_dir = scratch_dir_create();
    struct log *log = fixture_open(txn_dir);
    struct diag diag = {0};
    struct topic_info info;
    fixture_topic(log, "t", 2, NULL);
    assert_int_equal(topic_describe(log, "t", &info, NULL), 0);
    log_close(log);
    txn_aborts = false;
    assert_int_equal(fixture_child(txn_in_child, NULL, "decide.done"), 137);
    forget_flushed_end(&info.id);
    char *path = scratch_path(txn_dir, "topics/t-1/%020d.log", 0);
    assert_int_equal(truncate(path, 0), 0);
    for (int i = 0; i < 2; i++) {
        log = fixture_open(txn_dir);
        assert_int_equal(partition_status(fixture_partition(log, "t", 1), &diag), ERR_CORRUPT);
        assert_non_null(strstr(diag.text, "committed transaction"));
        assert_int_equal(partition_status(fixture_partition(log, "t", 0), NULL), 0);
        assert_string_equal(fixture_values(fixture_partition(log, "t", 0), READ_COMMITTED), "1 2");
        log_close(log);
    }
    free(path);
    scratch_dir_remove(txn_dir);
}

/* A thousand partitions open fast; the figure is printed, the limit generous for a busy machine. */
static void test_many_partitions(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log *log = fixture_open(dir);
    fixture_topic(log, "many", 1000, NULL);
    for (int32_t i = 0; i < 1000; i++)
        assert_int_equal(fixture_append(fixture_partition(log, "many", i), i, 1), 0);
    log_close(log);
    int64_t began = clock_mono_ns();
    log = fixture_open(dir);
    int64_t ms = (clock_mono_ns() - began) / 1000000;
    print_message("1000 partitions opened in %" PRId64 " ms\n", ms);
    assert_true(ms < 3000);
    assert_string_equal(fixture_values(fixture_partition(log, "many", 999), READ_COMMITTED), "999");
    log_close(log);
    scratch_dir_remove(dir);
}

/* ---- a start that the disk never saw the records of ---- */

static int purge_unflushed_in_child(void *context)
{
    struct setup *s = context;
    struct log_options options = {.durability = DURABILITY_OS, .flush_interval_ms = 3600000};
    struct log *log = fixture_open_options(s->dir, &options);
    struct partition *p = fixture_partition(log, "t", 0);
    for (int i = 0; i < 10; i++)
        fixture_append(p, i, 1);
    return partition_purge(p, 8, NULL) == 0 ? 0 : 1;
}

/* durability=os: a purge is durable, the records around it are not. After a power cut the partition ends below its start: what is
 * appended then has to be readable. */
static void test_end_below_start_after_power_cut(void **state)
{
    (void)state;
    for (int kept = 0; kept <= 5; kept += 5) {
        struct setup s = {.dir = scratch_dir_create()};
        s.log_file = scratch_path(s.dir, "topics/t-0/00000000000000000000.log");
        struct log *log = fixture_open(s.dir);
        fixture_topic(log, "t", 2, NULL);
        log_close(log);
        assert_int_equal(fixture_child(purge_unflushed_in_child, &s, NULL), 0);
        assert_int_equal(truncate(s.log_file, kept * BATCH_BYTES), 0);
        struct log_options options = {.read_only = true};
        for (int i = 0; i < 3; i++) {
            struct partition_offsets offsets;
            log = i == 0 ? fixture_open_options(s.dir, &options) : fixture_open(s.dir);
            struct partition *p = fixture_partition(log, "t", 0);
            partition_offsets(p, &offsets);
            assert_int_equal(offsets.start, kept);
            assert_int_equal(offsets.end, i < 2 ? kept : kept + 1);
            if (i == 1)
                assert_int_equal(fixture_append(p, 50, 1), kept);
            if (i == 1)
                assert_int_equal(partition_wait(p, kept + 1, -1), 0);
            assert_string_equal(fixture_values(p, READ_COMMITTED), i == 0 ? "" : "50");
            log_close(log);
        }
        end(&s);
    }
}

/* ---- closed segments are not read ---- */

enum { CLOSED_PARTITIONS = 10000, CLOSED_BYTES = 10 << 20 };

struct lengthening {
    struct meta_batch batch;
    int32_t count;
};

static int lengthen_record(void *context, struct bytes key, struct bytes value, struct diag *diag)
{
    struct lengthening *lengthening = context;
    struct meta_place place;
    struct meta_segment segment;
    (void)diag;
    TRY(meta_read_segment(key, value, &place, &segment));
    segment.size_bytes = CLOSED_BYTES;
    meta_put_segment(&lengthening->batch, &place, &segment);
    lengthening->count++;
    return 0;
}

/* Every closed segment becomes 10 MB of zeros, which take no room, and meta says so. */
static void make_closed_segments_hollow(const char *dir)
{
    struct lengthening lengthening = {.count = 0};
    struct meta *meta;
    char *path = scratch_path(dir, "meta");
    assert_int_equal(meta_open(path, 0, &meta, NULL), 0);
    free(path);
    meta_batch_init(&lengthening.batch);
    assert_int_equal(
        meta_scan(meta, META_SEGMENTS, bytes_of(NULL, 0), lengthen_record, &lengthening, NULL), 0);
    assert_int_equal(lengthening.count, CLOSED_PARTITIONS);
    assert_int_equal(meta_apply(meta, &lengthening.batch, NULL), 0);
    meta_batch_deinit(&lengthening.batch);
    meta_close(meta);
    for (int32_t i = 0; i < CLOSED_PARTITIONS; i++) {
        path = scratch_path(dir, "topics/many-%d/%020d.log", i, 0);
        assert_int_equal(truncate(path, 0), 0);
        assert_int_equal(truncate(path, CLOSED_BYTES), 0);
        free(path);
    }
}

/* What this process read through read calls so far. */
static int64_t bytes_read(void)
{
    FILE *file = fopen("/proc/self/io", "r");
    long long bytes = 0;
    assert_non_null(file);
    assert_int_equal(fscanf(file, "rchar: %lld", &bytes), 1);
    fclose(file);
    return bytes;
}

static int append_in_child(void *context)
{
    struct log *log = fixture_open(context);
    for (int32_t i = 0; i < CLOSED_PARTITIONS; i++)
        if (fixture_append(fixture_partition(log, "many", i), 7, 1) < 0)
            return 1;
    return 0; /* no clean close */
}

/* 10,000 partitions with 105 GB of closed segments that hold nothing valid: whoever looked inside
 * one would stop its partition. After a clean stop and after a crash, opening reads a few hundred
 * bytes a partition. Reading a record does find the damage. */
static void bug_10_closed_segments_are_not_read_at_opening(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log *log = fixture_open(dir);
    struct diag diag;
    fixture_topic(log, "many", CLOSED_PARTITIONS, "256");
    for (int32_t i = 0; i < 2 * CLOSED_PARTITIONS; i++) {
        struct partition *partition = fixture_partition(log, "many", i % CLOSED_PARTITIONS);
        assert_true(fixture_append_sized(partition, i, 1, 60, clock_wall_ms()) >= 0);
    }
    log_close(log);
    make_closed_segments_hollow(dir);
    for (int crashed = 0; crashed < 2; crashed++) {
        if (crashed)
            assert_int_equal(fixture_child(append_in_child, dir, NULL), 0);
        int64_t before = bytes_read(), began = clock_mono_ns();
        log = fixture_open(dir);
        int64_t read = bytes_read() - before, ms = (clock_mono_ns() - began) / 1000000;
        print_message("10,000 partitions, 105 GB closed, %s: opened in %" PRId64 " ms, %" PRId64
                      " bytes read\n",
                      crashed ? "crashed" : "clean", ms, read);
        assert_true(read < CLOSED_PARTITIONS * INT64_C(1024));
        for (int32_t i = 0; i < CLOSED_PARTITIONS; i++) {
            struct partition *partition = fixture_partition(log, "many", i);
            struct partition_offsets offsets;
            partition_offsets(partition, &offsets);
            assert_int_equal(partition_status(partition, NULL), 0);
            assert_int_equal(offsets.end, 2 + crashed);
        }
        log_close(log);
    }
    log = fixture_open(dir);
    struct fetch fetch;
    fetch_init(&fetch);
    assert_int_equal(
        partition_fetch(fixture_partition(log, "many", 77), 0, READ_UNCOMMITTED, 1, &fetch, &diag),
        ERR_CORRUPT);
    fetch_deinit(&fetch);
    log_close(log);
    scratch_dir_remove(dir);
}

int main(void)
{
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm",
               0); /* processes are killed here, not machines: see test_model.c */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flip_below_flushed_end),
        cmocka_unit_test(test_truncated_below_flushed_end),
        cmocka_unit_test(test_torn_tails),
        cmocka_unit_test(test_valid_tail_is_kept),
        cmocka_unit_test(test_hole_before_valid_batch),
        cmocka_unit_test(test_zeros_after_the_end),
        cmocka_unit_test(test_missing_segment),
        cmocka_unit_test(test_changed_size_of_closed_segment),
        cmocka_unit_test(test_flip_in_closed_segment),
        cmocka_unit_test(test_foreign_segment),
        cmocka_unit_test(test_empty_rolls),
        cmocka_unit_test(test_missing_meta),
        cmocka_unit_test(test_missing_directory),
        cmocka_unit_test(test_large_segment_rechecks_its_end),
        cmocka_unit_test(test_crash_in_a_transaction),
        cmocka_unit_test(test_purged_marker_is_not_written_again),
        cmocka_unit_test(test_end_below_start_after_power_cut),
        cmocka_unit_test(test_lost_committed_tail),
        cmocka_unit_test(test_many_partitions),
        cmocka_unit_test(bug_10_closed_segments_are_not_read_at_opening),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
