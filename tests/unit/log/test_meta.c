/* test_meta.c: the LMDB store of small facts: layouts byte by byte (written here by hand, from
 * docs/formats-log.md), batches, scans, checksums, a map that has to grow. */
#include "log/meta.h"
#include "tests/support/scratch_dir.h"

#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const struct meta_place place = {{{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}},
                                        7};

static struct bytes hex(const char *text, uint8_t *out)
{
    size_t size = 0;
    for (; text[0] != '\0'; text += 2) {
        while (*text == ' ')
            text++;
        unsigned byte;
        assert_int_equal(sscanf(text, "%2x", &byte), 1);
        out[size++] = (uint8_t)byte;
    }
    return bytes_of(out, size);
}

static void apply(struct meta *meta, struct meta_batch *batch)
{
    struct diag diag = {0};
    if (meta_apply(meta, batch, &diag) < 0)
        fail_msg("%s", diag.text);
    meta_batch_clear(batch);
}

static void expect_stored(struct meta *meta, enum meta_table table, const char *key,
                          const char *value)
{
    uint8_t key_bytes[512], value_bytes[512];
    struct buf got = {0};
    struct bytes wanted = hex(value, value_bytes);
    assert_int_equal(meta_get(meta, table, hex(key, key_bytes), &got, NULL), 0);
    assert_int_equal(got.size, wanted.size);
    assert_memory_equal(got.data, wanted.data, wanted.size);
    buf_deinit(&got);
}

static void expect_gone(struct meta *meta, enum meta_table table, const char *key)
{
    uint8_t key_bytes[512];
    struct buf got = {0};
    assert_int_equal(meta_get(meta, table, hex(key, key_bytes), &got, NULL), ERR_NOT_FOUND);
    buf_deinit(&got);
}

#define PLACE_HEX "0102030405060708090a0b0c0d0e0f10 00000007"

static void test_layouts(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct meta *meta;
    struct meta_batch batch, offsets;
    assert_int_equal(meta_open(dir, 0, &meta, NULL), 0);
    meta_batch_init(&batch);
    struct meta_topic topic = {place.topic, META_TOPIC_DELETING,      3, 0x0102030405060708,
                               1,           bytes_of("\0\1k\0\1v", 6)};
    struct meta_partition partition = {9, 2, 300, 77};
    struct meta_segment segment = {16, 32, 1000, -1, 5, 0};
    struct meta_segment swapped = {32, 48, 0,
                                   -1, 6,  META_SEGMENT_COMPACTED | META_SEGMENT_SWAPPING};
    struct meta_cleaned cleaned = {48, 40, 7, -1};
    struct aborted aborted = {4000, 101, 110};
    struct meta_producer producer = {4000, 2, 6, TXN_OUTCOME_ABORTED, 60000};
    struct meta_participant participants[] = {{place, 12}};
    struct meta_decision decision = {
        .sequence = 5, .producer_id = 4000, .epoch = 2, .commit = true, .count = 1};
    struct meta_decision_part part = {place, 101, 110};
    struct meta_offset offset = {55, 66, bytes_of("m", 1), true};
    struct meta_group group = {7, -1, bytes_text("consumer"), bytes_text("range")};
    meta_put_topic(&batch, "ab", &topic);
    meta_put_partition(&batch, &place, &partition);
    meta_put_start(&batch, &place, 8);
    meta_put_segment(&batch, &place, &segment);
    meta_put_segment(&batch, &place, &swapped);
    meta_put_cleaned(&batch, &place, &cleaned);
    meta_put_aborted(&batch, &place, &aborted);
    meta_put_producer(&batch, "tx", &producer);
    meta_put_participants(&batch, 4000, 2, participants, 1);
    meta_put_decision(&batch, &decision, &part);
    meta_batch_init(&offsets);
    meta_put_offset(&offsets, "g", &place, &offset);
    meta_batch_join(&batch, &offsets);
    meta_put_txn_offsets(&batch, 4000, 2, &offsets);
    meta_put_txn_offsets(&batch, 4000, 3, &offsets);
    meta_delete_txn_offsets(&batch, 4000, 3, &offsets);
    meta_put_group(&batch, "g", &group);
    meta_put_counter(&batch, "n", 3);
    apply(meta, &batch);
    expect_stored(
        meta, META_TOPICS, "6162",
        "01 0102030405060708090a0b0c0d0e0f10 00000003 0102030405060708 0001 0001 6b 0001 76");
    expect_stored(meta, META_PARTITIONS, PLACE_HEX,
                  "0000000000000009 0000000000000002 000000000000012c 000000000000004d");
    expect_stored(meta, META_STARTS, PLACE_HEX, "0000000000000008");
    expect_stored(meta, META_SEGMENTS, PLACE_HEX "0000000000000010",
                  "0000000000000020 00000000000003e8 ffffffffffffffff 0000000000000005");
    expect_stored(meta, META_SEGMENTS, PLACE_HEX "0000000000000020",
                  "0000000000000030 0000000000000000 ffffffffffffffff 0000000000000006 00000003");
    expect_stored(meta, META_CLEANED, PLACE_HEX,
                  "0000000000000030 0000000000000028 0000000000000007 ffffffffffffffff");
    expect_stored(meta, META_ABORTED, PLACE_HEX "0000000000000065 0000000000000fa0",
                  "000000000000006e");
    expect_stored(meta, META_PRODUCERS, "7478",
                  "0000000000000fa0 0002 0000000000000006 03 0000ea60");
    expect_stored(meta, META_PARTICIPANTS, "0000000000000fa0",
                  "0002 00000001" PLACE_HEX "000000000000000c");
    expect_stored(meta, META_DECISIONS, "0000000000000005",
                  "0000000000000fa0 0002 01 00000001" PLACE_HEX
                  "0000000000000065 000000000000006e");
    expect_stored(meta, META_OFFSETS, "67 00" PLACE_HEX,
                  "0000000000000037 0000000000000042 8001 6d");
    expect_stored(meta, META_TXN_OFFSETS, "0000000000000fa0 0002 67 00" PLACE_HEX,
                  "0000000000000037 0000000000000042 8001 6d");
    expect_gone(meta, META_TXN_OFFSETS, "0000000000000fa0 0003 67 00" PLACE_HEX);
    expect_stored(meta, META_GROUPS, "67",
                  "00000007 ffffffffffffffff 08 636f6e73756d6572 05 72616e6765");
    expect_stored(meta, META_COUNTERS, "6e", "0000000000000003");
    meta_batch_deinit(&batch);
    meta_batch_deinit(&offsets);
    meta_close(meta);
    scratch_dir_remove(dir);
}

/* A record from before there were flags has none; a flag that nobody gave is damage. */
static void test_segment_flags(void **state)
{
    (void)state;
    uint8_t key_bytes[64], value_bytes[64];
    struct bytes key = hex(PLACE_HEX "0000000000000010", key_bytes);
    struct bytes value = hex("0000000000000020 00000000000003e8 ffffffffffffffff 0000000000000005"
                             "00000001",
                             value_bytes);
    struct meta_place got;
    struct meta_segment segment;
    assert_int_equal(meta_read_segment(key, value, &got, &segment), 0);
    assert_int_equal(segment.flags, META_SEGMENT_COMPACTED);
    assert_int_equal(segment.end_offset, 32);
    assert_int_equal(meta_read_segment(key, bytes_of(value.data, 32), &got, &segment), 0);
    assert_int_equal(segment.flags, 0);
    assert_int_equal(meta_read_segment(key, bytes_of(value.data, 34), &got, &segment), ERR_CORRUPT);
    value_bytes[32] = 1;
    assert_int_equal(meta_read_segment(key, value, &got, &segment), ERR_CORRUPT);
}

/* Decoders take every cut of a value as damage, and never read past it. */
static void test_decoders_refuse_cuts(void **state)
{
    (void)state;
    uint8_t key_bytes[64], value_bytes[128];
    struct bytes key = hex("0000000000000005", key_bytes);
    struct bytes value =
        hex("0000000000000fa0 0002 01 00000001" PLACE_HEX "0000000000000065 000000000000006e",
            value_bytes);
    struct meta_decision decision;
    struct meta_decision_part part;
    for (size_t size = 0; size < value.size; size++) {
        uint8_t *copy = malloc(size + 1);
        memcpy(copy, value.data, size);
        assert_int_equal(meta_read_decision(key, bytes_of(copy, size), &decision), ERR_CORRUPT);
        free(copy);
    }
    assert_int_equal(meta_read_decision(key, value, &decision), 0);
    assert_int_equal(meta_take_decision_part(&decision, &part), 0);
    assert_int_equal(part.end_offset, 110);
    assert_int_equal(meta_take_decision_part(&decision, &part), ERR_CORRUPT);
    struct meta_topic topic;
    char name[250];
    assert_int_equal(meta_read_topic(bytes_text("t"), bytes_of(value.data, 30), name, &topic),
                     ERR_CORRUPT);
    struct meta_group group;
    value = hex("00000007 ffffffffffffffff 08 636f6e73756d6572 05 72616e6765", value_bytes);
    for (size_t size = 0; size < value.size; size++) {
        uint8_t *copy = malloc(size + 1);
        memcpy(copy, value.data, size);
        assert_int_equal(meta_read_group(bytes_of(copy, size), &group), ERR_CORRUPT);
        free(copy);
    }
    assert_int_equal(meta_read_group(value, &group), 0);
    assert_true(bytes_equal(group.assignor, bytes_text("range")));
    struct meta_offset offset;
    assert_int_equal(meta_read_offset(bytes_of(value.data, 17), &offset), ERR_CORRUPT);
}

struct counted {
    int count;
    uint64_t sum;
};

static int count_one(void *context, struct bytes key, struct bytes value, struct diag *diag)
{
    struct counted *counted = context;
    (void)diag;
    counted->count++;
    counted->sum += load_be64(value.data);
    return key.size > 0 ? 0 : ERR_CORRUPT;
}

static void test_batches_and_scans(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct meta *meta;
    struct meta_batch batch;
    int64_t value;
    assert_int_equal(meta_open(dir, 0, &meta, NULL), 0);
    meta_batch_init(&batch);
    assert_int_equal(meta_get_counter(meta, "a1", &value, NULL), 0);
    assert_int_equal(value, 0);
    meta_put_counter(&batch, "a1", 1);
    meta_put_counter(&batch, "a2", 2);
    meta_put_counter(&batch, "b1", 4);
    meta_put_counter(&batch, "b1", 8); /* the later one counts */
    meta_delete(&batch, META_COUNTERS, bytes_text("none"));
    apply(meta, &batch);
    struct counted counted = {0};
    assert_int_equal(meta_scan(meta, META_COUNTERS, bytes_text("a"), count_one, &counted, NULL), 0);
    assert_int_equal(counted.count, 2);
    assert_int_equal(counted.sum, 3);
    counted = (struct counted){0};
    assert_int_equal(meta_scan(meta, META_COUNTERS, bytes_of(NULL, 0), count_one, &counted, NULL),
                     0);
    assert_int_equal(counted.count, 3);
    assert_int_equal(counted.sum, 11);
    meta_delete(&batch, META_COUNTERS, bytes_text("a1"));
    apply(meta, &batch);
    meta_close(meta);
    assert_int_equal(meta_open(dir, 0, &meta, NULL), 0);
    assert_int_equal(meta_get_counter(meta, "a2", &value, NULL), 0);
    assert_int_equal(value, 2);
    assert_int_equal(meta_get_counter(meta, "a1", &value, NULL), 0);
    assert_int_equal(value, 0);
    meta_batch_deinit(&batch);
    meta_close(meta);
    scratch_dir_remove(dir);
}

static void test_map_grows(void **state)
{
    (void)state;
    char *dir = scratch_dir_create(), text[1000];
    struct meta *meta;
    struct meta_batch batch;
    memset(text, 'x', sizeof text);
    assert_int_equal(meta_open(dir, 1 << 17, &meta, NULL), 0);
    meta_batch_init(&batch);
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 200; i++) {
            char key[32];
            snprintf(key, sizeof key, "%d.%d", round, i);
            meta_put(&batch, META_COUNTERS, bytes_text(key), bytes_of(text, sizeof text));
        }
        apply(meta, &batch);
    }
    meta_close(meta);
    assert_int_equal(meta_open(dir, 0, &meta, NULL), 0);
    struct counted counted = {0};
    assert_int_equal(meta_scan(meta, META_COUNTERS, bytes_of(NULL, 0), count_one, &counted, NULL),
                     0);
    assert_int_equal(counted.count, 4000);
    meta_batch_deinit(&batch);
    meta_close(meta);
    scratch_dir_remove(dir);
}

/* One changed byte in a value on disk is noticed, and the entry is named. */
static void test_flipped_value(void **state)
{
    (void)state;
    char *dir = scratch_dir_create(), *path = scratch_path(dir, "data.mdb");
    struct meta *meta;
    struct meta_batch batch;
    assert_int_equal(meta_open(dir, 0, &meta, NULL), 0);
    meta_batch_init(&batch);
    meta_put(&batch, META_COUNTERS, bytes_text("find-me"), bytes_text("a value to be damaged"));
    apply(meta, &batch);
    meta_batch_deinit(&batch);
    meta_close(meta);
    int fd = open(path, O_RDWR), found = 0;
    char data[1 << 17];
    ssize_t size = read(fd, data, sizeof data);
    for (ssize_t i = 0; i + 21 < size; i++)
        if (memcmp(data + i, "a value to be damaged", 21) == 0) {
            assert_int_equal(pwrite(fd, "A", 1, i), 1);
            found++;
        }
    close(fd);
    assert_true(found > 0);
    struct buf value = {0};
    struct diag diag = {0};
    assert_int_equal(meta_open(dir, 0, &meta, NULL), 0);
    assert_int_equal(meta_get(meta, META_COUNTERS, bytes_text("find-me"), &value, &diag),
                     ERR_CORRUPT);
    assert_non_null(strstr(diag.text, "counters"));
    buf_deinit(&value);
    meta_close(meta);
    free(path);
    scratch_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layouts),
        cmocka_unit_test(test_segment_flags),
        cmocka_unit_test(test_decoders_refuse_cuts),
        cmocka_unit_test(test_batches_and_scans),
        cmocka_unit_test(test_map_grows),
        cmocka_unit_test(test_flipped_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
