/* test_segment_index.c: indexes at the edges where logs have gone wrong before: preallocated files,
 * full ones, empty and missing ones, numbers near 31 bits.
 *
 * What is right is known without the index: every offset and time is looked up and the record that
 * comes must be the one that was appended; files are compared with what Kafka's rule gives. The
 * log's warnings are caught, since an index that is in order must not be reported. */
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

#define FIRST_MS INT64_C(1700000000000)
enum { PREALLOCATED_BYTES = 10 << 20, VALUE_BYTES = 2000 };

struct setup {
    char *dir;
    struct log *log;
    struct partition *partition;
};

static void begin(struct setup *s, const char *key, const char *value)
{
    struct config_entry config = {key, value};
    struct diag diag = {0};
    s->dir = scratch_dir_create();
    s->log = fixture_open(s->dir);
    if (topic_create(s->log, "t", 1, &config, key != NULL ? 1 : 0, &diag) < 0)
        fail_msg("%s", diag.text);
    s->partition = fixture_partition(s->log, "t", 0);
}

static void reopen(struct setup *s)
{
    s->log = fixture_open(s->dir);
    s->partition = fixture_partition(s->log, "t", 0);
}

static void end(struct setup *s)
{
    log_close(s->log);
    scratch_dir_remove(s->dir);
}

/* Records of 2,000 bytes, one a batch, a second apart: an index entry for each second one. */
static void append_until(struct setup *s, int64_t until)
{
    struct partition_offsets offsets;
    partition_offsets(s->partition, &offsets);
    for (int64_t n = offsets.end; n < until; n++)
        assert_int_equal(fixture_append_sized(s->partition, n, 1, VALUE_BYTES, FIRST_MS + n * 1000),
                         n);
}

static void expect_record(struct setup *s, int64_t offset)
{
    struct fetch fetch;
    struct fetch_reader reader;
    struct record record;
    char text[32];
    fetch_init(&fetch);
    fetch_reader_init(&reader);
    assert_int_equal(partition_fetch(s->partition, offset, READ_UNCOMMITTED, 1, &fetch, NULL), 0);
    fetch_reader_start(&reader, &fetch, offset);
    assert_int_equal(fetch_reader_next(&reader, &record), 1);
    assert_int_equal(record.offset, offset);
    snprintf(text, sizeof text, "%" PRId64 " ", offset);
    assert_memory_equal(record.value.data, text, strlen(text));
    fetch_reader_deinit(&reader);
    fetch_deinit(&fetch);
}

/* Every offset, and the time of every record, last first so that no hint of a read before helps. */
static void expect_all(struct setup *s, int64_t count)
{
    assert_int_equal(partition_wait(s->partition, count, -1), 0);
    for (int64_t n = count - 1; n >= 0; n--) {
        int64_t offset, found_ms;
        expect_record(s, n);
        assert_int_equal(
            partition_find_time(s->partition, FIRST_MS + n * 1000, &offset, &found_ms, NULL), 0);
        assert_int_equal(offset, n);
        assert_int_equal(found_ms, FIRST_MS + n * 1000);
    }
}

static void pad_with_zeros(const struct setup *s, const char *name)
{
    char *path = scratch_path(s->dir, "topics/t-0/%s", name);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, PREALLOCATED_BYTES), 0);
    close(fd);
    free(path);
}

/* -1: there is none. */
static int64_t file_bytes(const struct setup *s, const char *name)
{
    char *path = scratch_path(s->dir, "topics/t-0/%s", name);
    struct stat info;
    int64_t size = stat(path, &info) == 0 ? (int64_t)info.st_size : -1;
    free(path);
    return size;
}

/* ---- what the log says ---- */

static int stderr_copy;
static FILE *caught;

static void catch_begin(void)
{
    fflush(stderr);
    stderr_copy = dup(STDERR_FILENO);
    caught = tmpfile();
    assert_non_null(caught);
    dup2(fileno(caught), STDERR_FILENO);
}

/* Everything that was said since; static. */
static const char *catch_end(void)
{
    static char text[8192];
    fflush(stderr);
    rewind(caught);
    text[fread(text, 1, sizeof text - 1, caught)] = '\0';
    dup2(stderr_copy, STDERR_FILENO);
    close(stderr_copy);
    fclose(caught);
    return text;
}

/* ---- preallocated and full ---- */

enum { ENOUGH = 200 }; /* records: 400 KB, well above what recovery reads again */

/* A file that is preallocated and was not trimmed (Kafka's after a crash) has room for a million
 * more entries; it is not full, and the zeros are no entries. */
static void bug_04_a_preallocated_index_is_not_full(void **state)
{
    (void)state;
    struct setup s;
    begin(&s, NULL, NULL);
    append_until(&s, ENOUGH);
    log_close(s.log);
    int64_t index_bytes = file_bytes(&s, "00000000000000000000.index");
    int64_t time_bytes = file_bytes(&s, "00000000000000000000.timeindex");
    assert_true(index_bytes > 0 && time_bytes > 0);
    pad_with_zeros(&s, "00000000000000000000.index");
    pad_with_zeros(&s, "00000000000000000000.timeindex");
    reopen(&s);
    const struct segment_index *index = s.partition->active->index;
    assert_int_equal(index->entry_count + index->pending_count, index_bytes / 8);
    assert_int_equal(index->time_count + index->time_pending_count, time_bytes / 12);
    assert_true(index->entry_count > 50); /* taken over, not counted again from the batches */
    /* Not full: a few more batches do not begin a segment. */
    append_until(&s, ENOUGH + 6);
    struct partition_files files;
    partition_files(s.partition, &files);
    assert_int_equal(files.segments, 1);
    expect_all(&s, ENOUGH + 6);
    /* The roll leaves a file that has its entries and nothing else, in the right places. */
    assert_int_equal(partition_roll(s.partition, NULL), 0);
    append_until(&s, ENOUGH + 7);
    assert_int_equal(file_bytes(&s, "00000000000000000000.index"), index_bytes + 3 * 8);
    assert_int_equal(file_bytes(&s, "00000000000000000000.timeindex"), time_bytes + 4 * 12);
    expect_all(&s, ENOUGH + 7);
    log_close(s.log);
    reopen(&s);
    expect_all(&s, ENOUGH + 7);
    end(&s);
}

/* The same in a closed segment: searches see through the zeros and nothing needs to be built again.
 */
static void bug_04_zeros_in_a_closed_index_are_no_entries(void **state)
{
    (void)state;
    struct setup s;
    begin(&s, NULL, NULL);
    append_until(&s, ENOUGH);
    assert_int_equal(partition_roll(s.partition, NULL), 0);
    append_until(&s, ENOUGH + 1);
    log_close(s.log);
    pad_with_zeros(&s, "00000000000000000000.index");
    pad_with_zeros(&s, "00000000000000000000.timeindex");
    catch_begin();
    reopen(&s);
    expect_all(&s, ENOUGH + 1);
    /* Nearby, and not from the segment's beginning. */
    struct segment *segment = s.partition->segments[0];
    assert_true(index_find_offset(segment, NULL, 150) > 140 * VALUE_BYTES);
    assert_true(index_find_time(segment, NULL, FIRST_MS + 150 * 1000) > 140);
    end(&s);
    assert_string_equal(catch_end(), "");
}

/* A full index closes its segment; neither file ever passes its limit, across several rolls and a
 * reopening. */
static void bug_04_a_full_index_rolls_without_overflow(void **state)
{
    (void)state;
    struct setup s;
    begin(&s, "segment.index.bytes", "128");
    append_until(&s, 100);
    log_close(s.log);
    reopen(&s);
    append_until(&s, ENOUGH);
    struct partition_files files;
    partition_files(s.partition, &files);
    assert_true(files.segments >= 6);
    expect_all(&s, ENOUGH);
    for (int64_t base = 0; base < ENOUGH; base++) {
        char name[64];
        snprintf(name, sizeof name, "%020" PRId64 ".index", base);
        assert_true(file_bytes(&s, name) <= 128);
        snprintf(name, sizeof name, "%020" PRId64 ".timeindex", base);
        assert_true(file_bytes(&s, name) <= 128);
    }
    end(&s);
}

/* ---- healthy, empty, missing ---- */

/* Segments too small for an entry have an empty index, and one time entry; an index that ends
 * exactly with the segment's last batch is in order; a partition without records has no files; none
 * of it is worth a word when the log is opened and read. */
static void bug_05_healthy_and_empty_indexes_are_in_order(void **state)
{
    (void)state;
    static const int64_t counts[] = {0, 1, 2, 3, 4, 31, 32, 33, 34, ENOUGH};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        for (int rolled = 0; rolled < 2; rolled++) {
            struct setup s;
            begin(&s, NULL, NULL);
            append_until(&s, counts[i]);
            if (rolled)
                assert_int_equal(partition_roll(s.partition, NULL), 0);
            log_close(s.log);
            catch_begin();
            reopen(&s);
            expect_all(&s, counts[i]);
            log_close(s.log);
            reopen(&s);
            append_until(&s, counts[i] + 3);
            expect_all(&s, counts[i] + 3);
            assert_int_equal(partition_status(s.partition, NULL), 0);
            end(&s);
            assert_string_equal(catch_end(), "");
        }
    }
}

/* Without its index files a segment is read as before; an empty active segment (rolled, nothing
 * appended yet) is opened whether it has index files or not. */
static void bug_05_missing_indexes_are_no_damage(void **state)
{
    (void)state;
    static const char *const names[] = {
        "00000000000000000000.index", "00000000000000000000.timeindex",
        "00000000000000000200.index", "00000000000000000200.timeindex"};
    struct setup s;
    begin(&s, NULL, NULL);
    append_until(&s, ENOUGH);
    assert_int_equal(partition_roll(s.partition, NULL), 0);
    log_close(s.log);
    for (int present = 1; present >= 0; present--) {
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            char *path = scratch_path(s.dir, "topics/t-0/%s", names[i]);
            if (present)
                close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
            else
                (void)unlink(path);
            free(path);
        }
        reopen(&s);
        assert_int_equal(partition_status(s.partition, NULL), 0);
        expect_all(&s, ENOUGH);
        log_close(s.log);
    }
    reopen(&s);
    append_until(&s, ENOUGH + 10);
    expect_all(&s, ENOUGH + 10);
    end(&s);
}

/* ---- 31 bits ---- */

/* Positions just below 2 GiB (the file has a hole before them), then the roll that keeps them
 * there. */
static void bug_07_positions_near_31_bits(void **state)
{
    (void)state;
    struct setup s;
    begin(&s, "segment.bytes", "2147483647");
    append_until(&s, 10);
    assert_int_equal(partition_wait(s.partition, 10, -1), 0);
    struct segment *segment = s.partition->active;
    /* As if the records up to here were followed by two thousand million bytes of others. */
    int64_t far = INT64_C(2147483647) - 5 * (VALUE_BYTES + 100);
    atomic_store(&segment->size_bytes, far);
    append_until(&s, 20);
    struct partition_files files;
    partition_files(s.partition, &files);
    assert_int_equal(files.segments, 2);
    assert_true(atomic_load(&segment->size_bytes) > far + 4 * VALUE_BYTES);
    assert_true(atomic_load(&segment->size_bytes) <= INT32_MAX);
    /* The last index entry names a position with 31 bits. */
    char *path = scratch_path(s.dir, "topics/t-0/00000000000000000000.index");
    char *data;
    size_t size;
    assert_int_equal(io_read_file(path, 4096, &data, &size, NULL), 0);
    assert_true(load_be32(data + size - 4) >= (uint32_t)far &&
                load_be32(data + size - 4) <= INT32_MAX);
    free(data);
    free(path);
    for (int64_t n = 10; n < 20; n++) {
        int64_t at = index_find_offset(segment, NULL, n);
        assert_true(n >= segment->end_offset || n < 13 || at >= far);
    }
    end(&s);
}

/* Relative offsets up to 2^31 - 1 are kept, a larger one rolls; also for a batch that would only
 * end above. */
static void bug_07_relative_offsets_near_31_bits(void **state)
{
    (void)state;
    struct setup s;
    begin(&s, NULL, NULL);
    append_until(&s, 10);
    assert_int_equal(partition_wait(s.partition, 10, -1), 0);
    struct segment *segment = s.partition->active;
    int64_t last = INT32_MAX;
    atomic_store(&s.partition->end_offset, last - 7);
    for (int64_t n = last - 7; n < last - 1; n++)
        assert_int_equal(fixture_append_sized(s.partition, n, 1, VALUE_BYTES, FIRST_MS), n);
    assert_int_equal(s.partition->active->base_offset, 0);
    /* Ten records from last - 1 on would end above. */
    assert_int_equal(fixture_append(s.partition, last - 1, 10), last - 1);
    assert_int_equal(s.partition->active->base_offset, last - 1);
    char *path = scratch_path(s.dir, "topics/t-0/00000000000000000000.index");
    char *data;
    size_t size;
    assert_int_equal(io_read_file(path, 4096, &data, &size, NULL), 0);
    assert_true(load_be32(data + size - 8) > (uint32_t)last - 8 &&
                load_be32(data + size - 8) <= INT32_MAX);
    free(data);
    free(path);
    assert_true(index_find_offset(segment, NULL, last - 2) > 0);
    end(&s);
}

/* Offsets far beyond 32 bits: file names, fetches, times, reopening, after a crash and after a
 * clean stop. */
static void bug_07_offsets_near_half_of_all(void **state)
{
    (void)state;
    const int64_t base = INT64_MAX / 2;
    struct setup s;
    begin(&s, "segment.bytes", "20000");
    atomic_store(&s.partition->end_offset, base);
    atomic_store(&s.partition->flushed_end, base);
    assert_int_equal(partition_purge(s.partition, base, NULL), 0);
    for (int64_t n = base; n < base + 30; n++)
        assert_int_equal(
            fixture_append_sized(s.partition, n, 1, VALUE_BYTES, FIRST_MS + (n - base) * 1000), n);
    for (int life = 0; life < 3; life++) {
        struct partition_offsets offsets;
        struct partition_files files;
        int64_t offset, found_ms;
        assert_int_equal(partition_wait(s.partition, base + 30, -1), 0);
        partition_offsets(s.partition, &offsets);
        assert_int_equal(offsets.start, base);
        assert_int_equal(offsets.end, base + 30);
        partition_files(s.partition, &files);
        assert_true(files.segments >= 3);
        for (int64_t n = base + 29; n >= base; n--)
            expect_record(&s, n);
        assert_int_equal(
            partition_find_time(s.partition, FIRST_MS + 20500, &offset, &found_ms, NULL), 0);
        assert_int_equal(offset, base + 21);
        log_close(s.log);
        reopen(&s);
    }
    assert_int_equal(fixture_append_sized(s.partition, base + 30, 1, 40, FIRST_MS), base + 30);
    assert_int_equal(partition_wait(s.partition, base + 31, -1), 0);
    expect_record(&s, base + 30);
    end(&s);
}

/* Timestamps at both ends of 64 bits: kept as they are, ordered as numbers, found. */
static void bug_07_extreme_timestamps(void **state)
{
    (void)state;
    static const int64_t times[] = {INT64_MIN,
                                    INT64_MIN + 1,
                                    -INT64_C(62135596800000),
                                    -2,
                                    -1,
                                    0,
                                    1,
                                    INT32_MAX,
                                    INT64_C(4294967296),
                                    FIRST_MS,
                                    INT64_MAX - 1,
                                    INT64_MAX};
    enum { COUNT = sizeof times / sizeof *times };
    struct setup s;
    begin(&s, "message.timestamp.after.max.ms", "9223372036854775807");
    for (int64_t n = 0; n < COUNT; n++) {
        int64_t got = fixture_append_sized(s.partition, n, 1, VALUE_BYTES, times[n]);
        if (got != n)
            fail_msg("timestamp %" PRId64 ": %s", times[n], error_text((int)got));
    }
    for (int life = 0; life < 2; life++) {
        assert_int_equal(partition_wait(s.partition, COUNT, -1), 0);
        for (int64_t n = COUNT - 1; n >= 0; n--) {
            int64_t offset, found_ms;
            expect_record(&s, n);
            assert_int_equal(partition_find_time(s.partition, times[n], &offset, &found_ms, NULL),
                             0);
            assert_int_equal(offset, n);
            assert_int_equal(found_ms, times[n]);
        }
        log_close(s.log);
        reopen(&s);
    }
    /* One batch with both ends: the deltas wrap around 64 bits, and back. */
    struct batch_builder builder;
    struct bytes batch;
    int64_t base, offset, found_ms;
    batch_builder_init(&builder, CODEC_NONE);
    assert_int_equal(batch_builder_add(&builder, INT64_MIN, bytes_of(NULL, 0), bytes_text("12 "),
                                       bytes_of("", 0), 0),
                     0);
    assert_int_equal(batch_builder_add(&builder, INT64_MAX, bytes_of(NULL, 0), bytes_text("13 "),
                                       bytes_of("", 0), 0),
                     0);
    assert_int_equal(batch_builder_finish(&builder, &batch), 0);
    assert_int_equal(partition_append(s.partition, builder.batch.data, batch.size, &base, NULL), 0);
    batch_builder_deinit(&builder);
    assert_int_equal(partition_wait(s.partition, base + 2, -1), 0);
    expect_record(&s, 13);
    assert_int_equal(partition_purge(s.partition, COUNT, NULL), 0);
    assert_int_equal(partition_find_time(s.partition, FIRST_MS, &offset, &found_ms, NULL), 0);
    assert_int_equal(offset, 13);
    assert_int_equal(found_ms, INT64_MAX);
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bug_04_a_preallocated_index_is_not_full),
        cmocka_unit_test(bug_04_zeros_in_a_closed_index_are_no_entries),
        cmocka_unit_test(bug_04_a_full_index_rolls_without_overflow),
        cmocka_unit_test(bug_05_healthy_and_empty_indexes_are_in_order),
        cmocka_unit_test(bug_05_missing_indexes_are_no_damage),
        cmocka_unit_test(bug_07_positions_near_31_bits),
        cmocka_unit_test(bug_07_relative_offsets_near_31_bits),
        cmocka_unit_test(bug_07_offsets_near_half_of_all),
        cmocka_unit_test(bug_07_extreme_timestamps),
    };
    scratch_dir_in_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
