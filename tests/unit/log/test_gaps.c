/* test_gaps.c: reading and opening segments whose offsets have gaps, as compaction and Kafka's
 * cleaner leave them: batches with fewer records than offsets, without any, missing ones, empty
 * files. The segments are made by hand: what a reader must see is known from how they were made. */
#include "log/log_internal.h"
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

/* Offsets 0 … 29 are in closed segments [0, 10), [10, 20), [20, 30), then 30 … 39 in an active one.
 * Of the closed ones only these offsets are left; each value is its offset. */
static const int64_t left[] = {3, 5, 12, 27, 28};
enum { LEFT = sizeof left / sizeof *left, BASE_TIME = 1000 };

struct hand { /* a segment that is written by hand */
    struct buf bytes;
    int64_t max_timestamp_ms;
};

/* A batch of base … base + delta that holds the offsets of a 0-ended list of "offset + 1". */
static void put_batch(struct hand *hand, int64_t base, int32_t delta, enum codec codec,
                      uint16_t attributes, const int64_t *offsets, int32_t count)
{
    struct buf records = {0};
    int64_t largest = BASE_TIME + base;
    for (int32_t i = 0; i < count; i++) {
        char text[32];
        snprintf(text, sizeof text, "%" PRId64, offsets[i]);
        assert_int_equal(record_encode(&records, offsets[i] - base, (int32_t)(offsets[i] - base),
                                       bytes_text("k"), bytes_text(text), bytes_of("", 0), 0),
                         0);
        largest = BASE_TIME + offsets[i];
    }
    struct batch_header header = {
        .base_offset = base,
        .attributes = (uint16_t)(attributes | codec),
        .last_offset_delta = delta,
        .base_timestamp_ms = BASE_TIME + base,
        .max_timestamp_ms = largest,
        .producer_id = count == 0 ? 77 : -1,
        .producer_epoch = count == 0 ? 3 : -1,
        .base_sequence = count == 0 ? 5 : -1,
        .record_count = count,
    };
    assert_int_equal(batch_assemble(&header, bytes_of(records.data, records.size), &hand->bytes),
                     0);
    if (largest > hand->max_timestamp_ms)
        hand->max_timestamp_ms = largest;
    buf_deinit(&records);
}

static void put_segment(const char *dir, struct meta_batch *batch, const struct meta_place *place,
                        struct hand *hand, int64_t base, int64_t end)
{
    char *path = scratch_path(dir, "topics/t-0/%020" PRId64 ".log", base);
    assert_int_equal(io_write_file(path, hand->bytes.size > 0 ? hand->bytes.data : (uint8_t *)"",
                                   hand->bytes.size, NULL),
                     0);
    free(path);
    for (int i = 0; i < 2; i++) {
        path =
            scratch_path(dir, "topics/t-0/%020" PRId64 ".%s", base, i == 0 ? "index" : "timeindex");
        unlink(path);
        free(path);
    }
    struct meta_segment record = {
        base, end, (int64_t)hand->bytes.size, hand->max_timestamp_ms, 5, META_SEGMENT_COMPACTED};
    meta_put_segment(batch, place, &record);
    buf_deinit(&hand->bytes);
    *hand = (struct hand){.max_timestamp_ms = INT64_MIN};
}

static void append_ten(struct partition *partition, int64_t first)
{
    assert_int_equal(fixture_append_sized(partition, first, 10, 20, BASE_TIME + first), first);
    assert_int_equal(partition_wait(partition, first + 10, -1), 0);
}

static struct meta *open_meta(const char *dir)
{
    struct meta *meta;
    char *path = scratch_path(dir, "meta");
    assert_int_equal(meta_open(path, 0, &meta, NULL), 0);
    free(path);
    return meta;
}

/* A directory with the hand-made segments. */
static char *make(bool with_batches)
{
    char *dir = scratch_dir_create();
    struct log *log = fixture_open(dir);
    fixture_topic(log, "t", 1, "256");
    struct partition *partition = fixture_partition(log, "t", 0);
    struct meta_place place = partition_place(partition);
    for (int64_t first = 0; first < 40; first += 10)
        append_ten(partition, first);
    log_close(log);
    struct meta *meta;
    struct meta_batch batch;
    struct hand hand = {.max_timestamp_ms = INT64_MIN};
    meta = open_meta(dir);
    meta_batch_init(&batch);
    if (with_batches) {
        put_batch(&hand, 2, 3, CODEC_LZ4, 0, (const int64_t[]){3, 5}, 2);
        put_batch(&hand, 7, 1, CODEC_NONE, 0, NULL, 0);
        put_segment(dir, &batch, &place, &hand, 0, 10);
        put_batch(&hand, 10, 2, CODEC_NONE, BATCH_ATTR_DELETE_HORIZON, (const int64_t[]){12}, 1);
        put_batch(&hand, 17, 0, CODEC_NONE, 0, NULL, 0);
        put_segment(dir, &batch, &place, &hand, 10, 20);
        put_batch(&hand, 25, 2, CODEC_ZSTD, 0, (const int64_t[]){27}, 1);
        put_batch(&hand, 28, 0, CODEC_NONE, 0, (const int64_t[]){28}, 1);
        put_segment(dir, &batch, &place, &hand, 20, 30);
    } else {
        for (int64_t base = 0; base < 30; base += 10)
            put_segment(dir, &batch, &place, &hand, base, base + 10);
    }
    assert_int_equal(meta_apply(meta, &batch, NULL), 0);
    meta_batch_deinit(&batch);
    meta_close(meta);
    return dir;
}

/* Everything from an offset on, in fetches of max_bytes, against the list. */
static void expect_from(struct partition *partition, int64_t from, size_t max_bytes)
{
    struct fixture_record *records;
    int64_t count = fixture_read(partition, from, READ_COMMITTED, max_bytes, &records), at = 0;
    for (int i = 0; i < LEFT; i++)
        if (left[i] >= from) {
            assert_true(at < count);
            assert_int_equal(records[at].offset, left[i]);
            assert_int_equal(records[at++].value, left[i]);
        }
    for (int64_t offset = from > 30 ? from : 30; offset < 40; offset++) {
        assert_true(at < count);
        assert_int_equal(records[at++].offset, offset);
    }
    assert_int_equal(at, count);
    free(records);
}

static void test_every_offset_is_read(void **state)
{
    (void)state;
    char *dir = make(true);
    struct log *log = fixture_open(dir);
    struct partition *partition = fixture_partition(log, "t", 0);
    for (int round = 0; round < 2; round++)
        for (int64_t from = 0; from <= 40; from++) {
            expect_from(partition, from, 1);
            expect_from(partition, from, 1 << 20);
        }
    assert_int_equal(partition_status(partition, NULL), 0);
    log_close(log);
    scratch_dir_remove(dir);
}

/* One fetch never ends where it began unless there is nothing left: it passes a gap. */
static void test_next_offset_passes_gaps(void **state)
{
    (void)state;
    static const struct {
        int64_t from, next;
        bool has_bytes;
    } cases[] = {{0, 6, true},   {6, 10, true},  {9, 13, true},  {13, 20, true},
                 {18, 28, true}, {28, 30, true}, {29, 40, true}, {40, 40, false}};
    char *dir = make(true);
    struct log *log = fixture_open(dir);
    struct partition *partition = fixture_partition(log, "t", 0);
    struct fetch fetch;
    fetch_init(&fetch);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        /* the least that is read is one page: ask for one batch by the position of the second */
        assert_int_equal(partition_fetch(partition, cases[i].from, READ_COMMITTED, 1, &fetch, NULL),
                         0);
        assert_true(fetch.next_offset >= cases[i].next);
        assert_int_equal(fetch.bytes.size > 0, cases[i].has_bytes);
    }
    fetch_deinit(&fetch);
    log_close(log);
    scratch_dir_remove(dir);
}

static void test_empty_segments_are_passed(void **state)
{
    (void)state;
    char *dir = make(false);
    struct log *log = fixture_open(dir);
    struct partition *partition = fixture_partition(log, "t", 0);
    struct partition_files files;
    int64_t offset, timestamp;
    for (int64_t from = 0; from < 40; from++) {
        struct fixture_record *records;
        int64_t first = from < 30 ? 30 : from;
        assert_int_equal(fixture_read(partition, from, READ_UNCOMMITTED, 1, &records), 40 - first);
        assert_int_equal(records[0].offset, first);
        free(records);
    }
    assert_int_equal(partition_find_time(partition, 0, &offset, &timestamp, NULL), 0);
    assert_int_equal(offset, 30);
    partition_files(partition, &files);
    assert_int_equal(files.segments, 4);
    /* a start inside an empty one, and past it */
    assert_int_equal(partition_purge(partition, 15, NULL), 0);
    expect_from(partition, 35, 1);
    assert_int_equal(partition_purge(partition, 25, NULL), 0);
    log_close(log);
    log = fixture_open(dir);
    partition = fixture_partition(log, "t", 0);
    struct partition_offsets offsets;
    partition_offsets(partition, &offsets);
    assert_int_equal(offsets.start, 25);
    assert_int_equal(offsets.end, 40);
    log_close(log);
    scratch_dir_remove(dir);
}

static void test_time_is_found_behind_gaps(void **state)
{
    (void)state;
    char *dir = make(true);
    struct log *log = fixture_open(dir);
    struct partition *partition = fixture_partition(log, "t", 0);
    for (int64_t wanted = 0; wanted < 30; wanted++) {
        int64_t expected = 30, offset, timestamp;
        for (int i = LEFT; i > 0; i--)
            if (left[i - 1] >= wanted)
                expected = left[i - 1];
        assert_int_equal(
            partition_find_time(partition, BASE_TIME + wanted, &offset, &timestamp, NULL), 0);
        assert_int_equal(offset, expected);
        assert_int_equal(timestamp, BASE_TIME + expected);
    }
    log_close(log);
    scratch_dir_remove(dir);
}

/* The walk that recovery does over headers passes gaps too. */
static int count_batches(void *context, const struct batch_header *header)
{
    (void)header;
    ++*(int *)context;
    return 0;
}

static void test_walk(void **state)
{
    (void)state;
    static const struct {
        int64_t from;
        int batches;
    } cases[] = {{0, 7}, {6, 6}, {9, 5}, {13, 4}, {18, 3}, {28, 2}, {29, 1}, {40, 0}};
    char *dir = make(true);
    struct log *log = fixture_open(dir);
    struct partition *partition = fixture_partition(log, "t", 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int count = 0;
        assert_int_equal(partition_walk(partition, cases[i].from, count_batches, &count, NULL), 0);
        assert_int_equal(count, cases[i].batches);
    }
    log_close(log);
    scratch_dir_remove(dir);
}

/* Gaps are for compacted segments alone: elsewhere a missing batch is damage, and so is a batch
 * that reaches over the recorded end, wherever it is. */
static void test_gaps_elsewhere_are_damage(void **state)
{
    (void)state;
    for (int damage = 0; damage < 2; damage++) {
        char *dir = make(true);
        struct meta *meta;
        struct meta_batch batch;
        struct log *log = fixture_open(dir);
        struct meta_place place = partition_place(fixture_partition(log, "t", 0));
        log_close(log);
        char *path = scratch_path(dir, "topics/t-0/%020d.log", 20);
        struct stat info;
        assert_int_equal(stat(path, &info), 0);
        free(path);
        struct meta_segment record = {
            20, 30, info.st_size, BASE_TIME + 28, 5, damage == 0 ? 0 : META_SEGMENT_COMPACTED};
        if (damage == 1) { /* its last batch holds offset 28 */
            record.end_offset = 28;
            struct meta_segment next = {28, 30, 0, 0, 5, META_SEGMENT_COMPACTED};
            path = scratch_path(dir, "topics/t-0/%020d.log", 28);
            assert_int_equal(io_write_file(path, "", 0, NULL), 0);
            free(path);
            meta = open_meta(dir);
            meta_batch_init(&batch);
            meta_put_segment(&batch, &place, &next);
        } else {
            meta = open_meta(dir);
            meta_batch_init(&batch);
        }
        meta_put_segment(&batch, &place, &record);
        assert_int_equal(meta_apply(meta, &batch, NULL), 0);
        meta_batch_deinit(&batch);
        meta_close(meta);
        log = fixture_open(dir);
        struct fetch fetch;
        struct diag diag;
        fetch_init(&fetch);
        assert_int_equal(partition_fetch(fixture_partition(log, "t", 0), 20, READ_COMMITTED,
                                         1 << 20, &fetch, &diag),
                         ERR_CORRUPT);
        assert_non_null(strstr(diag.text, "00000000000000000020.log"));
        fetch_deinit(&fetch);
        log_close(log);
        scratch_dir_remove(dir);
    }
}

int main(void)
{
    scratch_dir_in_memory();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_offset_is_read),
        cmocka_unit_test(test_next_offset_passes_gaps),
        cmocka_unit_test(test_empty_segments_are_passed),
        cmocka_unit_test(test_time_is_found_behind_gaps),
        cmocka_unit_test(test_walk),
        cmocka_unit_test(test_gaps_elsewhere_are_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
