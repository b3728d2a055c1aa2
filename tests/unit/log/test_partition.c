/* test_partition.c: appending, waiting, watching, reading from either end, by offset and by time,
 * purging; and what a failing disk does to them. */
#include "log/log_internal.h"
#include "runtime/base/clock.h"
#include "runtime/base/io.h"
#include "tests/support/log_fixture.h"
#include "tests/support/scratch_dir.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct setup {
    char *dir;
    struct log *log;
    struct partition *p;
};

static void begin_with(struct setup *s, const char *segment_bytes,
                       const struct log_options *options)
{
    s->dir = scratch_dir_create();
    s->log = fixture_open_options(s->dir, options);
    fixture_topic(s->log, "t", 2, segment_bytes);
    s->p = fixture_partition(s->log, "t", 0);
}

static void begin(struct setup *s, const char *segment_bytes)
{
    struct log_options options = {0};
    begin_with(s, segment_bytes, &options);
}

static void reopen(struct setup *s)
{
    log_close(s->log);
    s->log = fixture_open(s->dir);
    s->p = fixture_partition(s->log, "t", 0);
}

static void end(struct setup *s)
{
    log_close(s->log);
    scratch_dir_remove(s->dir);
}

static void test_append_wait_read(void **state)
{
    (void)state;
    struct setup s;
    struct partition_offsets offsets;
    begin(&s, NULL);
    partition_offsets(s.p, &offsets);
    assert_int_equal(offsets.end, 0);
    assert_int_equal(fixture_append(s.p, 10, 3), 0);
    assert_int_equal(fixture_append(s.p, 20, 2), 3);
    assert_int_equal(partition_wait(s.p, 5, 10000), 0);
    partition_offsets(s.p, &offsets);
    assert_int_equal(offsets.start, 0);
    assert_int_equal(offsets.stable, 5);
    assert_int_equal(offsets.high_watermark, 5);
    assert_int_equal(offsets.end, 5);
    assert_int_equal(partition_wait(s.p, 6, 0), ERR_TIMEOUT);
    assert_int_equal(partition_wait(s.p, 6, 20), ERR_TIMEOUT);
    for (int i = 0; i < 2; i++) {
        assert_string_equal(fixture_values(s.p, READ_COMMITTED), "10 11 12 20 21");
        reopen(&s);
    }
    assert_int_equal(fixture_append(s.p, 30, 1), 5);
    end(&s);
}

static void test_fetch_edges(void **state)
{
    (void)state;
    struct setup s;
    struct fetch fetch;
    begin(&s, NULL);
    fetch_init(&fetch);
    assert_int_equal(partition_fetch(s.p, 0, READ_COMMITTED, 1000, &fetch, NULL), 0);
    assert_int_equal(fetch.bytes.size, 0);
    assert_int_equal(partition_fetch(s.p, 1, READ_COMMITTED, 1000, &fetch, NULL), ERR_RANGE);
    assert_int_equal(partition_fetch(s.p, -1, READ_COMMITTED, 1000, &fetch, NULL), ERR_RANGE);
    assert_int_equal(fixture_append(s.p, 0, 3), 0);
    assert_int_equal(fixture_append(s.p, 3, 3), 3);
    assert_int_equal(partition_wait(s.p, 6, -1), 0);
    /* The batch that contains the offset, whole, whatever max_bytes says. */
    assert_int_equal(partition_fetch(s.p, 4, READ_COMMITTED, 1, &fetch, NULL), 0);
    assert_int_equal(load_be64(fetch.bytes.data), 3);
    assert_int_equal(fetch.next_offset, 6);
    assert_int_equal(partition_fetch(s.p, 6, READ_COMMITTED, 1, &fetch, NULL), 0);
    assert_int_equal(fetch.next_offset, 6);
    assert_int_equal(fetch.offsets.end, 6);
    assert_int_equal(partition_fetch(s.p, 7, READ_COMMITTED, 1, &fetch, NULL), ERR_RANGE);
    /* A batch larger than any first guess of the read size. */
    int64_t base = fixture_append_sized(s.p, 6, 40, 4000, 1);
    assert_int_equal(base, 6);
    assert_int_equal(partition_wait(s.p, 46, -1), 0);
    assert_int_equal(partition_fetch(s.p, 30, READ_UNCOMMITTED, 1, &fetch, NULL), 0);
    assert_int_equal(fetch.next_offset, 46);
    assert_true(fetch.bytes.size > 160000);
    fetch_deinit(&fetch);
    end(&s);
}

/* Into a buffer that holds something already: it stays, whatever becomes of the fetch. */
static void test_fetch_behind_others(void **state)
{
    (void)state;
    struct setup s;
    struct fetch plain, behind;
    begin(&s, NULL);
    fetch_init(&plain);
    fetch_init(&behind);
    assert_int_equal(fixture_append(s.p, 0, 3), 0);
    assert_int_equal(fixture_append_sized(s.p, 3, 40, 4000, 1), 3);
    assert_int_equal(partition_wait(s.p, 43, -1), 0);
    buf_append(&behind.bytes, "in front", 8);
    behind.begin = 8;
    for (int64_t offset = 0; offset <= 44; offset += 4) {
        int code = partition_fetch(s.p, offset, READ_UNCOMMITTED, 1, &plain, NULL);
        assert_int_equal(partition_fetch(s.p, offset, READ_UNCOMMITTED, 1, &behind, NULL), code);
        assert_int_equal(code, offset <= 43 ? 0 : ERR_RANGE);
        assert_int_equal(behind.next_offset, plain.next_offset);
        assert_int_equal(behind.bytes.size, 8 + plain.bytes.size);
        assert_memory_equal(behind.bytes.data, "in front", 8);
        if (plain.bytes.size > 0)
            assert_memory_equal(behind.bytes.data + 8, plain.bytes.data, plain.bytes.size);
    }
    fetch_deinit(&plain);
    fetch_deinit(&behind);
    end(&s);
}

static void test_refused_batches(void **state)
{
    (void)state;
    struct setup s;
    size_t size;
    struct diag diag;
    begin(&s, NULL);
    uint8_t *batch = fixture_batch(1, 2, 10, clock_wall_ms(), &size);
    batch[size - 1] ^= 1;
    assert_int_equal(partition_append(s.p, batch, size, NULL, &diag), ERR_CORRUPT);
    batch[size - 1] ^= 1;
    assert_int_equal(partition_append(s.p, batch, size - 1, NULL, &diag), ERR_CORRUPT);
    assert_int_equal(partition_append(s.p, batch, 10, NULL, &diag), ERR_CORRUPT);
    batch_set_producer(batch, 1, 0, 0, true);
    assert_int_equal(partition_append(s.p, batch, size, NULL, &diag), ERR_INVALID);
    free(batch);
    assert_int_equal(fixture_append_sized(s.p, 1, 1, 10, clock_wall_ms() + 3600000 + 60000),
                     ERR_INVALID);
    assert_int_equal(fixture_append_sized(s.p, 1, 1, 10, INT64_MIN + 5),
                     0); /* the past is fine, however far */
    struct config_entry config[] = {{"max.message.bytes", "100"},
                                    {"message.timestamp.after.max.ms", "9223372036854775807"}};
    assert_int_equal(topic_alter(s.log, "t", config, 2, NULL), 0);
    assert_int_equal(fixture_append_sized(s.p, 1, 1, 90, 5), ERR_TOO_LARGE);
    assert_int_equal(fixture_append_sized(s.p, 1, 1, 10, INT64_MAX - 5), 1);
    uint8_t marker[78];
    control_batch_encode(true, 1, 0, 0, 5, marker);
    assert_int_equal(partition_append(s.p, marker, sizeof marker, NULL, &diag), ERR_INVALID);
    end(&s);
}

static void test_rolls_by_size_and_time(void **state)
{
    (void)state;
    struct setup s;
    struct partition_files files;
    begin(&s, "1000");
    for (int i = 0; i < 50; i++)
        assert_int_equal(fixture_append_sized(s.p, i, 1, 200, 5), i);
    partition_files(s.p, &files);
    assert_int_equal(files.segments, 17); /* three batches of 270 bytes fit in 1000 */
    int64_t bytes = files.bytes;
    for (int i = 0; i < 3; i++) {
        struct fixture_record *records;
        assert_int_equal(partition_wait(s.p, 50, -1), 0);
        assert_int_equal(fixture_read(s.p, 7, READ_COMMITTED, 100000, &records), 43);
        free(records);
        reopen(&s);
        partition_files(s.p, &files);
        assert_int_equal(files.segments, 17);
        assert_int_equal(files.bytes, bytes);
    }
    struct config_entry config[] = {{"segment.ms", "1"}, {"segment.bytes", NULL}};
    assert_int_equal(topic_alter(s.log, "t", config, 2, NULL), 0);
    int64_t later = clock_mono_ms() + 2;
    while (clock_mono_ms() < later)
        ; /* the segment must be older than its limit */
    assert_int_equal(fixture_append(s.p, 50, 1), 50);
    partition_files(s.p, &files);
    assert_int_equal(files.segments, 18);
    end(&s);
}

static int64_t file_bytes(const struct setup *s, int64_t base, const char *suffix)
{
    char path[LOG_PATH_BYTES];
    struct stat info;
    snprintf(path, sizeof path, "%s/topics/t-0/%020" PRId64 ".%s", s->dir, base, suffix);
    return stat(path, &info) == 0 ? info.st_size : -1;
}

/* A segment ends when its offset index, or its time index, is full: neither file ever grows larger
 * than it may, and none is made larger than its entries. */
static void test_rolls_by_index(void **state)
{
    (void)state;
    struct setup s;
    struct config_entry config[] = {{"segment.index.bytes", "80"}};
    for (int rising = 0; rising <= 1; rising++) {
        struct partition_files files;
        begin(&s, NULL);
        assert_int_equal(topic_alter(s.log, "t", config, 1, NULL), 0);
        /* Each batch but a segment's first has an entry; with rising times a time entry as well. */
        for (int i = 0; i < 40; i++) {
            assert_int_equal(fixture_append_sized(s.p, i, 2, 3000, rising ? 1000 + i : 1000),
                             i * 2);
            if (i == 20)
                reopen(&s); /* the count of entries survives */
        }
        /* 80 bytes: 10 entries of 8, or 6 of 12, of which closing may need one. */
        int32_t batches = rising ? 6 : 11, segments = (40 + batches - 1) / batches;
        partition_files(s.p, &files);
        assert_int_equal(files.segments, segments);
        for (int32_t i = 0; i < segments - 1; i++) {
            int64_t base = (int64_t)i * batches * 2;
            assert_int_equal(file_bytes(&s, base, "index"), (batches - 1) * 8);
            assert_int_equal(file_bytes(&s, base, "timeindex"), rising ? 60 : 12);
        }
        /* The next append acts on what is altered. */
        struct config_entry more[] = {{"segment.index.bytes", NULL}};
        assert_int_equal(topic_alter(s.log, "t", more, 1, NULL), 0);
        for (int i = 40; i < 80; i++)
            assert_int_equal(fixture_append_sized(s.p, i, 2, 3000, 1000 + i), i * 2);
        partition_files(s.p, &files);
        assert_int_equal(files.segments, segments);
        end(&s);
    }
}

static void test_find_time(void **state)
{
    (void)state;
    static const int64_t times[] = {100, 300, 200, -50, 300, 400, 50};
    struct setup s;
    int64_t offset, found;
    begin(&s, "256");
    for (int i = 0; i < 7; i++)
        assert_int_equal(fixture_append_sized(s.p, i, 1, 100, times[i]), i);
    assert_int_equal(partition_wait(s.p, 7, -1), 0);
    for (int round = 0; round < 2; round++) {
        for (int64_t at = -60; at <= 410; at += 10) {
            int naive = 0;
            while (naive < 7 && times[naive] < at)
                naive++;
            assert_int_equal(partition_find_time(s.p, at, &offset, &found, NULL), 0);
            assert_int_equal(offset, naive < 7 ? naive : -1);
            assert_int_equal(found, naive < 7 ? times[naive] : -1);
        }
        reopen(&s);
    }
    assert_int_equal(partition_purge(s.p, 2, NULL), 0);
    assert_int_equal(partition_find_time(s.p, 50, &offset, &found, NULL), 0);
    assert_int_equal(offset, 2);
    end(&s);
}

static void test_purge(void **state)
{
    (void)state;
    struct setup s;
    struct partition_files before, after;
    struct fetch fetch;
    begin(&s, "1000");
    for (int i = 0; i < 50; i++)
        assert_int_equal(fixture_append_sized(s.p, i, 1, 200, 5), i);
    assert_int_equal(partition_wait(s.p, 50, -1), 0);
    partition_files(s.p, &before);
    assert_int_equal(partition_purge(s.p, 51, NULL), ERR_RANGE);
    assert_int_equal(partition_purge(s.p, -1, NULL), ERR_RANGE);
    assert_int_equal(partition_purge(s.p, 10, NULL),
                     0); /* segments 0, 3 and 6 end at or below 10 */
    partition_files(s.p, &after);
    assert_int_equal(after.segments, before.segments - 3);
    assert_int_equal(partition_purge(s.p, 4, NULL), 0); /* never back */
    fetch_init(&fetch);
    for (int i = 0; i < 2; i++) {
        struct partition_offsets offsets;
        struct fixture_record *records;
        partition_offsets(s.p, &offsets);
        assert_int_equal(offsets.start, 10);
        assert_int_equal(partition_fetch(s.p, 9, READ_COMMITTED, 100, &fetch, NULL), ERR_RANGE);
        assert_int_equal(fixture_read(s.p, 10, READ_COMMITTED, 100, &records), 40);
        assert_int_equal(records[0].value, 10);
        free(records);
        reopen(&s);
    }
    fetch_deinit(&fetch);
    assert_int_equal(partition_purge(s.p, 50, NULL), 0);
    partition_files(s.p, &after);
    assert_int_equal(after.segments, 1);
    reopen(&s);
    assert_string_equal(fixture_values(s.p, READ_COMMITTED), "");
    assert_int_equal(fixture_append(s.p, 50, 1), 50);
    end(&s);
}

static void count_call(void *context)
{
    atomic_fetch_add((atomic_int *)context, 1);
}

static void test_watch(void **state)
{
    (void)state;
    struct setup s;
    atomic_int calls = 0;
    begin(&s, NULL);
    int id = partition_watch(s.p, count_call, &calls);
    assert_true(id >= 0);
    assert_int_equal(fixture_append(s.p, 1, 1), 0);
    assert_int_equal(partition_wait(s.p, 1, -1), 0);
    while (atomic_load(&calls) == 0)
        usleep(100);
    partition_unwatch(s.p, id);
    int before = atomic_load(&calls);
    assert_int_equal(fixture_append(s.p, 1, 1), 1);
    assert_int_equal(partition_wait(s.p, 2, -1), 0);
    assert_int_equal(atomic_load(&calls), before);
    assert_int_equal(partition_watch(s.p, count_call, &calls), id); /* the slot is free again */
    end(&s);
}

static void test_durability_os(void **state)
{
    (void)state;
    struct log_options options = {.durability = DURABILITY_OS};
    struct setup s;
    struct partition_offsets offsets;
    begin_with(&s, NULL, &options);
    assert_int_equal(fixture_append(s.p, 1, 2), 0);
    partition_offsets(s.p, &offsets);
    assert_int_equal(offsets.high_watermark, 2); /* without any flush */
    assert_int_equal(partition_wait(s.p, 2, 0), 0);
    assert_string_equal(fixture_values(s.p, READ_COMMITTED), "1 2");
    reopen(&s);
    assert_string_equal(fixture_values(s.p, READ_COMMITTED), "1 2");
    end(&s);
}

/* ---- a failing disk ---- */

struct fault {
    enum io_call call;
    int error, after; /* the after-th such call on a .log file fails, and all later ones */
    size_t cut_to;    /* of a pwrite; SIZE_MAX: nothing is written */
    atomic_int seen;
};

static int fail_call(void *context, enum io_call call, const char *path, int fd, size_t *size)
{
    struct fault *fault = context;
    char link[64], name[512] = "";
    (void)path;
    if (call != fault->call)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (fd >= 0 && readlink(link, name, sizeof name - 1) > 0 && strstr(name, ".log") == NULL)
        return 0;
    if (atomic_fetch_add(&fault->seen, 1) < fault->after)
        return 0;
    if (call == IO_PWRITE && fault->cut_to != SIZE_MAX)
        *size = fault->cut_to;
    return fault->error;
}

static void test_full_disk(void **state)
{
    (void)state;
    struct setup s;
    begin(&s, NULL);
    assert_int_equal(fixture_append(s.p, 1, 2), 0);
    for (size_t cut = 0; cut < 3; cut++) {
        struct fault fault = {IO_PWRITE, ENOSPC, 0, cut == 0 ? SIZE_MAX : cut * 30, 0};
        struct partition_offsets offsets;
        io_set_fault(fail_call, &fault);
        assert_int_equal(fixture_append(s.p, 9, 1), ERR_FULL);
        io_set_fault(NULL, NULL);
        partition_offsets(s.p, &offsets);
        assert_int_equal(offsets.end, 2 + (int64_t)cut);
        assert_int_equal(fixture_append(s.p, 3 + (int64_t)cut, 1), 2 + (int64_t)cut);
    }
    assert_int_equal(partition_wait(s.p, 5, -1), 0);
    assert_int_equal(log_status(s.log, NULL), 0);
    assert_string_equal(fixture_values(s.p, READ_COMMITTED), "1 2 3 4 5");
    reopen(&s);
    assert_string_equal(fixture_values(s.p, READ_COMMITTED), "1 2 3 4 5");
    end(&s);
}

/* A failed append cannot even be cut off: nothing is written behind the garbage until it can. */
static void test_full_disk_and_no_truncation(void **state)
{
    (void)state;
    struct setup s;
    begin(&s, NULL);
    assert_int_equal(fixture_append(s.p, 1, 2), 0);
    struct fault write_fault = {IO_PWRITE, ENOSPC, 0, 20, 0};
    io_set_fault(fail_call, &write_fault);
    assert_int_equal(fixture_append(s.p, 9, 1), ERR_FULL);
    struct fault cut_fault = {IO_TRUNCATE, EIO, 0, 0, 0};
    s.p->active->cut_needed = true;
    io_set_fault(fail_call, &cut_fault);
    assert_int_equal(fixture_append(s.p, 9, 1), ERR_IO);
    io_set_fault(NULL, NULL);
    assert_int_equal(fixture_append(s.p, 3, 1), 2);
    assert_int_equal(partition_wait(s.p, 3, -1), 0);
    assert_string_equal(fixture_values(s.p, READ_COMMITTED), "1 2 3");
    end(&s);
}

static void test_failed_flush_stops_the_writer(void **state)
{
    (void)state;
    struct setup s;
    struct diag diag = {0};
    struct producer *producer;
    begin(&s, NULL);
    assert_int_equal(fixture_append(s.p, 1, 2), 0);
    assert_int_equal(partition_wait(s.p, 2, -1), 0);
    assert_int_equal(producer_open(s.log, "tx", &producer, NULL), 0);
    assert_int_equal(txn_begin(producer, NULL), 0);
    assert_int_equal(fixture_txn_append(producer, s.p, 5, 1), 2);
    struct fault fault = {IO_FDATASYNC, EIO, 0, 0, 0};
    io_set_fault(fail_call, &fault);
    fixture_append(s.p, 3, 1);
    assert_int_equal(partition_wait(s.p, 4, -1), ERR_IO);
    io_set_fault(NULL, NULL);
    assert_int_equal(log_status(s.log, &diag), ERR_IO);
    assert_non_null(strstr(diag.text, "00000000000000000000.log"));
    /* The disk would work again; that is no reason to believe it. */
    assert_int_equal(fixture_append(s.p, 4, 1), ERR_IO);
    assert_int_equal(txn_commit(producer, NULL), ERR_IO);
    assert_int_equal(topic_create(s.log, "u", 1, NULL, 0, NULL), ERR_IO);
    assert_string_equal(fixture_values(s.p, READ_COMMITTED), "1 2");
    struct partition_offsets offsets;
    partition_offsets(s.p, &offsets);
    assert_int_equal(offsets.high_watermark, 2);
    reopen(&s); /* here the page cache kept everything: the uncommitted transaction is aborted, the
                   rest is there */
    assert_string_equal(fixture_values(s.p, READ_COMMITTED), "1 2 3");
    end(&s);
}

/* The directory entry of a new file is part of what is acknowledged. */
static void test_failed_directory_flush(void **state)
{
    (void)state;
    struct setup s;
    begin(&s, NULL);
    struct fault fault = {IO_FSYNC_DIR, EIO, 0, 0, 0};
    io_set_fault(fail_call, &fault);
    assert_int_equal(fixture_append(s.p, 1, 1), 0);
    assert_int_equal(partition_wait(s.p, 1, -1), ERR_IO);
    io_set_fault(NULL, NULL);
    assert_true(atomic_load(&fault.seen) > 0);
    end(&s);
}

static void test_truncated_while_open(void **state)
{
    (void)state;
    struct setup s;
    struct diag diag = {0};
    begin(&s, NULL);
    for (int i = 0; i < 10; i++)
        fixture_append(s.p, i, 1);
    assert_int_equal(fixture_append(fixture_partition(s.log, "t", 1), 7, 1), 0);
    assert_int_equal(partition_wait(s.p, 10, -1), 0);
    char *path = scratch_path(s.dir, "topics/t-0/00000000000000000000.log");
    assert_int_equal(truncate(path, 300), 0);
    assert_string_equal(fixture_values(s.p, READ_COMMITTED), "error -3");
    assert_int_equal(partition_status(s.p, &diag), ERR_CORRUPT);
    assert_non_null(strstr(diag.text, path));
    assert_int_equal(fixture_append(s.p, 1, 1), ERR_CORRUPT);
    assert_int_equal(fixture_append(fixture_partition(s.log, "t", 1), 8, 1), 1);
    free(path);
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append_wait_read),
        cmocka_unit_test(test_fetch_edges),
        cmocka_unit_test(test_fetch_behind_others),
        cmocka_unit_test(test_refused_batches),
        cmocka_unit_test(test_rolls_by_size_and_time),
        cmocka_unit_test(test_rolls_by_index),
        cmocka_unit_test(test_find_time),
        cmocka_unit_test(test_purge),
        cmocka_unit_test(test_watch),
        cmocka_unit_test(test_durability_os),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_full_disk_and_no_truncation),
        cmocka_unit_test(test_failed_flush_stops_the_writer),
        cmocka_unit_test(test_failed_directory_flush),
        cmocka_unit_test(test_truncated_while_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
