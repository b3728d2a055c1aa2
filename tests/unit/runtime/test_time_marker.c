/* test_time_marker.c: marker records byte by byte and hostile, and the list of a task: what is
 * applied when, and what is taken back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/progress.h"
#include "runtime/time_marker.h"

static const char key_text[] = "time/hourly-revenue/3/9007199254740993";
static const char value_text[] = "{\"version\":1,\"topic\":\"orders\",\"input\":"
                                 "\"000102030405060708090a0b0c0d0e0f\",\"partition\":3,"
                                 "\"offset\":9007199254740993,\"time\":-5}";

static struct time_marker example(void)
{
    struct time_marker marker = {.stage = "hourly-revenue",
                                 .partition = 3,
                                 .topic = "orders",
                                 .offset = 9007199254740993,
                                 .time_ms = -5};
    for (int i = 0; i < 16; i++)
        marker.input_id[i] = (uint8_t)i;
    return marker;
}

static void assert_same(const struct time_marker *a, const struct time_marker *b)
{
    assert_string_equal(a->stage, b->stage);
    assert_string_equal(a->topic, b->topic);
    assert_int_equal(a->partition, b->partition);
    assert_int_equal(a->offset, b->offset);
    assert_int_equal(a->time_ms, b->time_ms);
    assert_int_equal(a->closes, b->closes);
    assert_memory_equal(a->input_id, b->input_id, sizeof a->input_id);
}

static void test_bytes(void **state)
{
    (void)state;
    struct time_marker from = example(), to;
    struct buf key, value;
    buf_init(&key, 0);
    buf_init(&value, 0);
    time_marker_key(&key, from.stage, from.partition, from.offset);
    time_marker_value(&value, &from);
    assert_true(bytes_equal(bytes_of(key.data, key.size), bytes_text(key_text)));
    assert_true(bytes_equal(bytes_of(value.data, value.size), bytes_text(value_text)));
    assert_int_equal(time_marker_decode(bytes_text(key_text), bytes_text(value_text), &to, NULL),
                     0);
    assert_same(&to, &from);
    /* One that close_windows set says so behind the rest. */
    from.closes = true;
    buf_clear(&value);
    time_marker_value(&value, &from);
    assert_true(value.size == strlen(value_text) + strlen(",\"closes\":true"));
    assert_memory_equal(value.data + strlen(value_text) - 1, ",\"closes\":true}",
                        strlen(",\"closes\":true}"));
    assert_int_equal(
        time_marker_decode(bytes_text(key_text), bytes_of(value.data, value.size), &to, NULL), 0);
    assert_same(&to, &from);
    buf_deinit(&key);
    buf_deinit(&value);
}

static void test_hostile(void **state)
{
    (void)state;
    static const char *const keys[] = {
        "time/",        "time/s",     "time/s/1",    "time/s//5",   "time//1/5",
        "time/s/1/",    "time/s/1/x", "time/s/-1/5", "time/s/1/-5", "time/s/2147483648/5",
        "time/s/1/5/6", "times/1/5",  "time/s/1/5x", "time"};
    struct time_marker to;
    struct diag diag;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        diag = (struct diag){0};
        assert_int_equal(
            time_marker_decode(bytes_text(keys[i]), bytes_text(value_text), &to, &diag),
            ERR_CORRUPT);
        assert_non_null(strstr(diag.text, keys[i]));
    }
    for (size_t size = 0; size < sizeof value_text - 1; size++)
        assert_int_equal(
            time_marker_decode(bytes_text(key_text), bytes_of(value_text, size), &to, NULL),
            ERR_CORRUPT);
    char changed[sizeof value_text];
    memcpy(changed, value_text, sizeof changed);
    for (size_t at = 0; at < sizeof value_text - 1; at++) { /* the sanitizers watch */
        changed[at] ^= 0x15;
        time_marker_decode(bytes_text(key_text), bytes_of(changed, sizeof changed - 1), &to, NULL);
        changed[at] ^= 0x15;
    }
}

/* What the progress topic holds: markers beside progress, the last one of a key, none after a
 * tombstone. */
static void test_set(void **state)
{
    (void)state;
    struct progress_set set = {0};
    struct bytes none = {NULL, 0}, value = bytes_text(value_text);
    char later[sizeof value_text];
    memcpy(later, value_text, sizeof later);
    *strstr(later, "-5") = ' ';
    assert_int_equal(progress_set_apply(&set, bytes_text("time/a/0/7"), value, NULL), 0);
    assert_int_equal(progress_set_apply(&set, bytes_text("time/a/1/7"), value, NULL), 0);
    assert_int_equal(progress_set_apply(&set, bytes_text("time/b/0/7"), value, NULL), 0);
    assert_int_equal(progress_set_apply(&set, bytes_text("time/a/0/7"), bytes_text(later), NULL),
                     0);
    assert_int_equal(set.marker_count, 3);
    assert_true(set.markers[0].time_ms == 5 && set.markers[1].time_ms == -5);
    assert_int_equal(progress_set_apply(&set, bytes_text("time/a/1/7"), none, NULL), 0);
    assert_int_equal(progress_set_apply(&set, bytes_text("time/a/1/7"), none, NULL), 0);
    assert_int_equal(progress_set_apply(&set, bytes_text("time/a/x"), none, NULL), ERR_CORRUPT);
    assert_int_equal(set.marker_count, 2);
    for (int i = 0; i < 100; i++) {
        struct buf key;
        buf_init(&key, 0);
        time_marker_key(&key, "many", 0, i);
        assert_int_equal(progress_set_apply(&set, bytes_of(key.data, key.size), value, NULL), 0);
        buf_deinit(&key);
    }
    assert_int_equal(set.marker_count, 102);
    assert_int_equal(set.count, 0);
    progress_set_deinit(&set);
}

static void test_list(void **state)
{
    (void)state;
    struct time_markers m = {0};
    assert_true(time_markers_next(&m) == INT64_MAX);
    for (int64_t offset = 90; offset >= 10; offset -= 10) /* in any order */
        assert_int_equal(time_markers_add(&m, offset, offset * 100, false, NULL), 0);
    assert_int_equal(time_markers_add(&m, 50, 5001, false, NULL),
                     0); /* the last one of an offset */
    assert_int_equal(m.count, 9);
    time_markers_begin(&m, 40);
    assert_true(time_markers_next(&m) == 40 && time_markers_apply(&m) == 4000 && m.is_open);
    assert_true(time_markers_next(&m) == 50);
    /* A row behind the marker's time: the marker stays. One that is not: it goes. */
    assert_int_equal(time_markers_close(&m, 3999, NULL), 0);
    assert_true(m.count == 9 && m.gone_count == 0 && !m.is_open);
    assert_true(time_markers_apply(&m) == 5001);
    assert_int_equal(time_markers_close(&m, 5001, NULL), 0);
    assert_true(m.count == 8 && m.gone_count == 1 && m.gone[0] == 50);
    assert_true(time_markers_next(&m) == 60);
    /* Retention took what lies before 30; what is to come stays whatever the offset. */
    assert_int_equal(time_markers_drop_before(&m, 30, NULL), 0);
    assert_true(m.count == 6 && m.gone_count == 3 && m.items[0].offset == 30);
    assert_true(time_markers_next(&m) == 60);
    while (time_markers_next(&m) != INT64_MAX)
        time_markers_apply(&m);
    time_markers_written(&m);
    assert_int_equal(m.gone_count, 0);
    /* Idle at the end: one offset is one marker. */
    assert_int_equal(time_markers_set(&m, 100, 12000, true, NULL), 0);
    assert_int_equal(time_markers_set(&m, 100, 13000, false, NULL), 0);
    assert_true(m.items[6].closes); /* what the first one was, the offset stays */
    assert_true(m.count == 7 && m.items[6].time_ms == 13000 && m.items[6].is_new && m.is_open);
    assert_true(time_markers_next(&m) == INT64_MAX);
    time_markers_written(&m);
    assert_false(m.items[6].is_new);
    assert_int_equal(time_markers_drop_before(&m, 1000, NULL), 0);
    assert_true(m.count == 0 && m.gone_count == 7 && !m.is_open);
    time_markers_deinit(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
