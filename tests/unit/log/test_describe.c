/* test_describe.c: what an operator is told about a partition, also about one that damage stopped.
 */
#include "tests/support/log_fixture.h"
#include "tests/support/scratch_dir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static int64_t file_bytes(const char *dir, const char *name)
{
    char *path = scratch_path(dir, "topics/t-0/%s", name);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    free(path);
    return info.st_size;
}

static void test_segments_and_times(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log *log = fixture_open(dir);
    struct partition_description d;
    fixture_topic(log, "t", 1, "1048576");
    struct partition *partition = fixture_partition(log, "t", 0);
    assert_int_equal(partition_describe(partition, &d, NULL), 0);
    assert_int_equal(d.segment_count, 0);
    assert_int_equal(d.bytes, 0);
    assert_true(d.first_timestamp_ms == INT64_MIN && d.max_timestamp_ms == INT64_MIN);
    partition_description_deinit(&d);
    /* 300 batches of about 10 KB in files of 1 MiB: times fall, so the largest is the first */
    for (int64_t i = 0; i < 300; i++)
        assert_int_equal(fixture_append_sized(partition, i * 4, 4, 2500, 5000 - i), i * 4);
    assert_int_equal(partition_wait(partition, 1200, 10000), 0);
    assert_int_equal(partition_describe(partition, &d, NULL), 0);
    assert_int_equal(d.status, 0);
    assert_true(d.segment_count >= 3);
    int64_t bytes = 0, next = 0;
    for (size_t i = 0; i < d.segment_count; i++) {
        const struct segment_description *s = &d.segments[i];
        char name[32];
        snprintf(name, sizeof name, "%020lld.log", (long long)s->base_offset);
        assert_int_equal(s->base_offset, next);
        assert_int_equal(s->bytes, file_bytes(dir, name));
        assert_int_equal(s->first_timestamp_ms, 5000 - s->base_offset / 4);
        assert_int_equal(s->max_timestamp_ms, 5000 - s->base_offset / 4);
        assert_int_equal(s->active, i + 1 == d.segment_count);
        bytes += s->bytes;
        next = s->end_offset;
    }
    assert_int_equal(next, 1200);
    assert_int_equal(d.offsets.high_watermark, 1200);
    assert_int_equal(d.bytes, bytes);
    assert_true(d.other_bytes > 0);
    assert_int_equal(d.first_timestamp_ms, 5000);
    assert_int_equal(d.max_timestamp_ms, 5000);
    partition_description_deinit(&d);
    log_close(log);
    scratch_dir_remove(dir);
}

/* The damage is in the newest file; opening stops there, and describing still counts every file. */
static void test_stopped_partition(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log *log = fixture_open(dir);
    struct partition_description d;
    fixture_topic(log, "t", 1, NULL);
    struct partition *partition = fixture_partition(log, "t", 0);
    for (int64_t i = 0; i < 3; i++)
        assert_int_equal(fixture_append(partition, i, 1), i);
    assert_int_equal(partition_wait(partition, 3, 10000), 0);
    log_close(log);
    char *path = scratch_path(dir, "topics/t-0/00000000000000000000.log");
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, 75, SEEK_SET), 0);
    assert_int_equal(fputc(0xff, file), 0xff);
    fclose(file);
    log = fixture_open(dir);
    assert_int_equal(partition_describe(fixture_partition(log, "t", 0), &d, NULL), 0);
    assert_int_equal(d.status, ERR_CORRUPT);
    assert_non_null(strstr(d.reason.text, "00000000000000000000.log"));
    assert_int_equal(d.segment_count, 1);
    assert_int_equal(d.bytes, 207);
    partition_description_deinit(&d);
    log_close(log);
    free(path);
    scratch_dir_remove(dir);
}

static void test_deleted_topic(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log *log = fixture_open(dir);
    struct partition_description d;
    fixture_topic(log, "t", 1, NULL);
    struct partition *partition = fixture_partition(log, "t", 0);
    assert_int_equal(topic_delete(log, "t", NULL), 0);
    assert_int_equal(partition_describe(partition, &d, NULL), ERR_NOT_FOUND);
    partition_description_deinit(&d);
    log_close(log);
    scratch_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_segments_and_times),
        cmocka_unit_test(test_stopped_partition),
        cmocka_unit_test(test_deleted_topic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
