/* test_segment.c: the files of a segment against byte vectors made with Kafka's own classes, and
 * against a naive index. */
#include "log/log_internal.h"
#include "tests/support/log_fixture.h"
#include "tests/support/scratch_dir.h"
#include "runtime/base/io.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void expect_file(const char *path, const char *hex)
{
    char *data;
    size_t size;
    if (io_read_file(path, 1 << 20, &data, &size, NULL) < 0)
        fail_msg("cannot read %s", path);
    assert_int_equal(size, strlen(hex) / 2);
    for (size_t i = 0; i < size; i++) {
        unsigned byte;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
        assert_int_equal((uint8_t)data[i], byte);
    }
    free(data);
}

static void note(struct segment *segment, int64_t last_offset, int32_t size, int64_t timestamp_ms,
                 int64_t position)
{
    struct batch_header header = {
        .base_offset = last_offset, .size_bytes = size, .max_timestamp_ms = timestamp_ms};
    index_note(segment, &header, position);
}

/* Base 100: index (105 at 4096), (111 at 9000); the time index of the same segment. */
static void test_index_vectors(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log *log = fixture_open(dir);
    fixture_topic(log, "t", 1, NULL);
    struct segment *segment = segment_new(fixture_partition(log, "t", 0), 100);
    note(segment, 101, 4097, 0x18bcfe56000, 0);
    note(segment, 105, 4904, 0x18bcfe56800, 4096);
    note(segment, 111, 100, 0x18bcfe569f4, 9000);
    index_close(segment);
    char *path = scratch_path(dir, "topics/t-0/00000000000000000100.index");
    expect_file(path, "00000005000010000000000b00002328");
    free(path);
    path = scratch_path(dir, "topics/t-0/00000000000000000100.timeindex");
    expect_file(path, "0000018bcfe56800000000050000018bcfe569f40000000b");
    free(path);
    segment_free(segment);
    log_close(log);
    scratch_dir_remove(dir);
}

/* Kafka's two records {k=v, header h=x}, {null=w}: stored byte for byte; the log sets base offset
 * and leader epoch. */
static void test_stored_batch(void **state)
{
    (void)state;
    static const char *const vector =
        "000000000000000000000046ffffffff027a79b0760000000000010000018bcfe568000000018bcfe56805ffff"
        "f"
        "fffffffffffffffffffffff0000000218000000026b027602026802780e000a0201027700";
    static const char *const stored =
        "0000000000000000000000460000000002"
        "7a79b0760000000000010000018bcfe568000000018bcfe56805fffff"
        "fffffffffffffffffffffff0000000218000000026b027602026802780e000a0201027700";
    char *dir = scratch_dir_create(),
         *path = scratch_path(dir, "topics/t-0/00000000000000000000.log");
    uint8_t batch[82];
    for (size_t i = 0; i < sizeof batch; i++) {
        unsigned byte;
        sscanf(vector + 2 * i, "%2x", &byte);
        batch[i] = (uint8_t)byte;
    }
    struct log *log = fixture_open(dir);
    fixture_topic(log, "t", 1, NULL);
    struct diag diag = {0};
    if (partition_append(fixture_partition(log, "t", 0), batch, sizeof batch, NULL, &diag) < 0)
        fail_msg("%s", diag.text);
    expect_file(path, stored);
    log_close(log);
    expect_file(path, stored);
    free(path);
    scratch_dir_remove(dir);
}

struct naive_batch {
    int64_t last_offset, position, size, timestamp_ms;
};

/* What Kafka's rule gives for these batches: an entry with the first batch after more than 4096
 * bytes. */
static void naive_index(const struct naive_batch *batches, int count, char *index, char *times)
{
    int64_t since = 0, largest = -1, largest_offset = 0, last_time = -1;
    index[0] = times[0] = '\0';
    for (int i = 0; i < count; i++) {
        if (batches[i].timestamp_ms > largest) {
            largest = batches[i].timestamp_ms;
            largest_offset = batches[i].last_offset;
        }
        bool entry = since > 4096;
        if (entry) {
            sprintf(index + strlen(index), "%08x%08x", (unsigned)batches[i].last_offset,
                    (unsigned)batches[i].position);
            since = 0;
        }
        if ((entry || i == count - 1) && largest > last_time) {
            sprintf(times + strlen(times), "%016" PRIx64 "%08x", (uint64_t)largest,
                    (unsigned)largest_offset);
            last_time = largest;
        }
        since += batches[i].size;
    }
}

enum { BATCHES = 300 };

static void fill(struct partition *partition, struct naive_batch *batches)
{
    int64_t position = 0;
    for (int i = 0; i < BATCHES; i++) {
        int64_t timestamp = 1700000000000 + (i * 7919) % 1000 + i; /* mostly rising */
        size_t value = (size_t)(1 + (i * 37) % 900), size;
        free(fixture_batch(i, 1, value, timestamp, &size));
        assert_int_equal(fixture_append_sized(partition, i, 1, value, timestamp), i);
        batches[i] = (struct naive_batch){i, position, (int64_t)size, timestamp};
        position += (int64_t)size;
    }
}

static void check_reads(struct partition *partition, const struct naive_batch *batches)
{
    for (int i = 0; i < BATCHES; i += 7) {
        struct fixture_record *records;
        int64_t count = fixture_read(partition, i, READ_UNCOMMITTED, 1, &records), offset, found;
        assert_int_equal(count, BATCHES - i);
        assert_int_equal(records[0].value, i);
        free(records);
        int first = 0; /* naive search by time */
        while (batches[first].timestamp_ms < batches[i].timestamp_ms)
            first++;
        assert_int_equal(
            partition_find_time(partition, batches[i].timestamp_ms, &offset, &found, NULL), 0);
        assert_int_equal(offset, first);
        assert_int_equal(found, batches[first].timestamp_ms);
    }
}

/* Index files of a segment as Kafka would write them, after a clean close; and lost or damaged ones
 * come back. */
static void test_index_files(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    static struct naive_batch batches[BATCHES];
    static char index[BATCHES * 16 + 1], times[BATCHES * 24 + 1];
    char *index_path = scratch_path(dir, "topics/t-0/00000000000000000000.index");
    char *time_path = scratch_path(dir, "topics/t-0/00000000000000000000.timeindex");
    struct log *log = fixture_open(dir);
    struct config_entry small = {"segment.bytes", "256"};
    fixture_topic(log, "t", 1, NULL);
    struct partition *partition = fixture_partition(log, "t", 0);
    fill(partition, batches);
    naive_index(batches, BATCHES, index, times);
    assert_int_equal(partition_wait(partition, BATCHES, -1), 0);
    check_reads(partition, batches);
    log_close(log);
    expect_file(index_path, index);
    for (int damage = 0; damage < 5; damage++) {
        if (damage == 1)
            unlink(index_path);
        if (damage == 2)
            unlink(time_path);
        if (damage == 3)
            assert_int_equal(truncate(index_path, 13), 0);
        if (damage == 4) {
            static const uint8_t zeros[4096];
            assert_int_equal(io_write_file(index_path, zeros, sizeof zeros, NULL), 0);
            assert_int_equal(io_write_file(time_path, zeros, sizeof zeros - 4, NULL), 0);
        }
        log = fixture_open(dir);
        partition = fixture_partition(log, "t", 0);
        check_reads(partition, batches);
        log_close(log);
        expect_file(index_path, index);
    }
    /* Closed: the last time entry is added, and a closed segment's index is built again when it is
     * needed. */
    log = fixture_open(dir);
    assert_int_equal(topic_alter(log, "t", &small, 1, NULL), 0);
    partition = fixture_partition(log, "t", 0);
    assert_int_equal(fixture_append_sized(partition, BATCHES, 1, 10, 1), BATCHES);
    log_close(log);
    expect_file(index_path, index);
    expect_file(time_path, times);
    unlink(index_path);
    log = fixture_open(dir);
    partition = fixture_partition(log, "t", 0);
    struct fixture_record *records;
    assert_int_equal(fixture_read(partition, 290, READ_UNCOMMITTED, 1, &records), 11);
    free(records);
    log_close(log);
    expect_file(index_path, index);
    expect_file(time_path, times);
    free(index_path);
    free(time_path);
    scratch_dir_remove(dir);
}

/* A relative offset never passes 31 bits. */
static void test_relative_offset_rolls(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log *log = fixture_open(dir);
    fixture_topic(log, "t", 1, NULL);
    struct partition *partition = fixture_partition(log, "t", 0);
    assert_int_equal(fixture_append(partition, 1, 1), 0);
    assert_int_equal(partition_wait(partition, 1, -1), 0);
    atomic_store(&partition->end_offset,
                 (int64_t)INT32_MAX); /* as if two thousand million records lay between */
    assert_int_equal(fixture_append(partition, 2, 1), INT32_MAX);
    struct partition_files files;
    partition_files(partition, &files);
    assert_int_equal(files.segments, 1);
    assert_int_equal(fixture_append(partition, 3, 1), (int64_t)INT32_MAX + 1);
    partition_files(partition, &files);
    assert_int_equal(files.segments, 2);
    log_close(log);
    scratch_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_index_vectors),
        cmocka_unit_test(test_stored_batch),
        cmocka_unit_test(test_index_files),
        cmocka_unit_test(test_relative_offset_rolls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
