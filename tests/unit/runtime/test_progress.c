/* test_progress.c: progress records: round trip, times that were never set, hostile bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/progress.h"

static void encode(const struct progress *progress, struct buf *key, struct buf *value)
{
    buf_init(key, 0);
    buf_init(value, 0);
    progress_key(progress, key);
    progress_encode(progress, value);
    assert_true(buf_ok(key) && buf_ok(value));
}

static struct progress example(int64_t *ends)
{
    struct progress p = {.stage = "hourly-revenue", .partition = 17, .plan_hash = 0xfedcba9876543210ull, .position = INT64_MAX - 1,
                         .watermark_ms = -1, .max_event_ms = INT64_MAX, .closed_before_ms = TIME_NONE, .max_window_ms = 0,
                         .changelog_end = 9007199254740993, .counts = {7, 3, 1, 2, 1, 3, 2, 1, 5}, .output_partitions = 3, .ends = ends, .end_count = 3};
    for (int i = 0; i < 16; i++) {
        p.input_id[i] = (uint8_t)(i * 17);
        p.changelog_id[i] = (uint8_t)(255 - i);
    }
    return p;
}

static void test_round_trip(void **state)
{
    (void)state;
    int64_t ends[] = {-1, 0, INT64_MAX};
    struct progress from = example(ends), to;
    struct buf key, value;
    encode(&from, &key, &value);
    assert_int_equal(key.size, strlen("hourly-revenue/17"));
    assert_memory_equal(key.data, "hourly-revenue/17", key.size);
    assert_int_equal(progress_decode(bytes_of(key.data, key.size), bytes_of(value.data, value.size), &to, NULL), 0);
    assert_string_equal(to.stage, from.stage);
    assert_int_equal(to.partition, 17);
    assert_true(to.plan_hash == from.plan_hash && to.position == from.position && to.watermark_ms == -1);
    assert_true(to.max_event_ms == INT64_MAX && to.closed_before_ms == TIME_NONE && to.max_window_ms == 0);
    assert_true(to.changelog_end == 9007199254740993); /* 2^53 + 1: not through a double */
    assert_memory_equal(to.input_id, from.input_id, 16);
    assert_memory_equal(to.changelog_id, from.changelog_id, 16);
    assert_memory_equal(&to.counts, &from.counts, sizeof to.counts);
    assert_int_equal(to.end_count, 3);
    assert_int_equal(to.output_partitions, 3);
    assert_memory_equal(to.ends, ends, sizeof ends);
    progress_deinit(&to);
    buf_deinit(&key);
    buf_deinit(&value);
}

/* A record of before rows were made or duplicate has neither member: none were. */
static void test_counts_that_an_older_record_lacks(void **state)
{
    (void)state;
    struct progress to;
    static const char value[] = "{\"version\":1,\"reset\":false,\"plan\":\"00000000000000ff\",\"input\":\"00000000000000000000000000000000\","
                                "\"position\":4,\"watermark\":null,\"max_event_time\":null,\"closed_before\":null,\"max_window\":null,"
                                "\"changelog\":\"00000000000000000000000000000000\",\"changelog_end\":0,"
                                "\"rows\":{\"in\":10,\"applied\":4,\"filtered\":3,\"late\":2,\"dead\":1,\"out\":4},\"output_partitions\":1,\"ends\":[]}";
    assert_int_equal(progress_decode(bytes_text("sums/0"), bytes_text(value), &to, NULL), 0);
    struct counts expected = {.rows_in = 10, .applied = 4, .filtered = 3, .late = 2, .dead = 1, .out = 4};
    assert_memory_equal(&to.counts, &expected, sizeof expected);
    assert_true(counts_add_up(&to.counts));
    to.counts.filtered--;
    assert_false(counts_add_up(&to.counts));
    to.counts.rows_made--;
    assert_true(counts_add_up(&to.counts));
    to.counts.duplicate++;
    assert_false(counts_add_up(&to.counts));
    progress_deinit(&to);
}

/* Every cut of a record, and every single changed byte, decodes or is refused; the sanitizers watch. */
static void test_hostile(void **state)
{
    (void)state;
    int64_t ends[] = {1, 2, 3};
    struct progress from = example(ends), to;
    struct buf key, value;
    encode(&from, &key, &value);
    for (size_t size = 0; size < value.size; size++) {
        struct diag diag = {0};
        assert_int_equal(progress_decode(bytes_of(key.data, key.size), bytes_of(value.data, size), &to, &diag), ERR_CORRUPT);
        assert_non_null(strstr(diag.text, "hourly-revenue/17"));
    }
    for (size_t at = 0; at < value.size; at++) {
        uint8_t kept = value.data[at];
        value.data[at] ^= 0x15;
        if (progress_decode(bytes_of(key.data, key.size), bytes_of(value.data, value.size), &to, NULL) == 0)
            progress_deinit(&to);
        value.data[at] = kept;
    }
    assert_int_equal(progress_decode(bytes_text("noslash"), bytes_of(value.data, value.size), &to, NULL), ERR_CORRUPT);
    assert_int_equal(progress_decode(bytes_text(""), bytes_of(value.data, value.size), &to, NULL), ERR_CORRUPT);
    buf_deinit(&key);
    buf_deinit(&value);
}

static void test_set_keeps_the_latest(void **state)
{
    (void)state;
    struct progress_set set = {0};
    for (int i = 0; i < 100; i++) {
        struct progress p = {.partition = i % 10, .position = i};
        snprintf(p.stage, sizeof p.stage, "stage%d", i % 2);
        assert_int_equal(progress_set_put(&set, &p, NULL), 0);
    }
    assert_int_equal(set.count, 10);
    assert_int_equal(progress_set_find(&set, "stage1", 7)->position, 97);
    assert_null(progress_set_find(&set, "stage1", 6));
    progress_set_deinit(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_counts_that_an_older_record_lacks),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_set_keeps_the_latest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
