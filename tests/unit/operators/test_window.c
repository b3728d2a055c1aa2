/* test_window.c: windows against their definition: every start is tried and kept when it is a
 * window that holds the row and had not closed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "operators/window.h"

struct chance {
    uint64_t state;
};
static int64_t chance_below(struct chance *chance, int64_t limit)
{
    chance->state = chance->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (int64_t)((chance->state >> 33) % (uint64_t)limit);
}

/* Starts from −3 sizes to +3 around the row, one by one. */
static void check_run(int64_t size, int64_t hop, int64_t ts, int64_t watermark)
{
    struct window_spec spec = window_hopping(size, hop);
    struct window_run run, back;
    uint32_t taken = 0, missed = 0;
    int64_t newest = INT64_MIN, oldest_taken = INT64_MIN;
    for (int64_t start = ts - size + 1; start <= ts; start++) {
        if (start % hop != 0)
            continue;
        newest = start;
        if (start + size <= watermark) {
            missed++;
        } else {
            oldest_taken = taken == 0 ? start : oldest_taken;
            taken++;
        }
    }
    assert_true(window_run_of(&spec, ts, watermark, &run));
    assert_int_equal(run.newest_ms, newest);
    assert_int_equal(run.count, taken);
    assert_int_equal(run.missed, missed);
    assert_true(taken + missed <= spec.per_row);
    if (taken == 0)
        return;
    assert_int_equal(run.newest_ms - (run.count - 1) * hop, oldest_taken);
    assert_true(window_run_unpack(&spec, window_run_pack(&spec, &run), &back));
    assert_int_equal(back.newest_ms, run.newest_ms);
    assert_int_equal(back.count, run.count);
}

static void test_runs(void **state)
{
    (void)state;
    struct chance chance = {20260101};
    for (int i = 0; i < 20000; i++) {
        int64_t size = 1 + chance_below(&chance, 60), hop = 1 + chance_below(&chance, size);
        int64_t ts = chance_below(&chance, 400) - 200;
        int64_t watermark = chance_below(&chance, 5) == 0
                                ? INT64_MIN
                                : ts + chance_below(&chance, 4 * size) - 2 * size;
        check_run(size, hop, ts, watermark);
    }
}

/* Rows with the same run lie in the same windows, and no two runs share a number. */
static void test_numbers_differ(void **state)
{
    (void)state;
    struct window_spec spec = window_hopping(10, 3);
    assert_int_equal(spec.per_row, 4);
    int64_t last = INT64_MIN;
    for (int64_t newest = -30; newest <= 30; newest += 3)
        for (uint32_t count = 1; count <= spec.per_row; count++) {
            int64_t number = window_run_pack(&spec, &(struct window_run){newest, count, 0});
            assert_true(number > last);
            last = number;
        }
}

static void test_range(void **state)
{
    (void)state;
    struct window_spec spec = window_hopping(1000, 10);
    struct window_run run;
    int64_t start;
    assert_false(window_run_of(&spec, INT64_MAX, INT64_MIN, &run));
    assert_false(window_run_of(&spec, INT64_MIN, INT64_MIN, &run));
    assert_false(window_run_unpack(&spec, INT64_MIN, &run));
    assert_false(window_newest(&spec, INT64_MAX, &start));
    assert_false(window_newest(&spec, INT64_MIN, &start));
    int64_t year_9999 = INT64_C(253402300799999), year_1 = INT64_C(-62135596800000);
    spec = window_hopping(INT64_C(86400000) * 36500, INT64_C(86400000) * 36500 / WINDOW_HOPS_MAX);
    assert_true(window_run_of(&spec, year_9999, INT64_MIN, &run));
    assert_true(window_run_of(&spec, year_1, INT64_MIN, &run));
}

/* Closed at W: exactly the windows that end at or before W. */
static void test_closing(void **state)
{
    (void)state;
    struct window_spec specs[] = {window_tumbling(10), window_hopping(10, 4), window_session(10)};
    /* A cell of a session closes two gaps after its end. */
    static const int64_t after_end[] = {0, 0, 20};
    for (size_t s = 0; s < sizeof specs / sizeof *specs; s++)
        for (int64_t watermark = -30; watermark < 30; watermark++)
            for (int64_t start = -40; start < 40; start++) {
                if (start % specs[s].hop_ms != 0)
                    continue;
                bool is_closed = window_end(&specs[s], start) + after_end[s] <= watermark;
                assert_int_equal(window_closes_at(&specs[s], start) <= watermark, is_closed);
                assert_int_equal(start < window_closed_before(&specs[s], watermark), is_closed);
            }
    assert_int_equal(window_closed_before(&specs[0], INT64_MIN), INT64_MIN);
    int64_t closed;
    assert_true(window_all_closed_at(&specs[1], 9, &closed));
    assert_int_equal(closed, 18);
    assert_false(window_all_closed_at(&specs[1], INT64_MAX, &closed));
}

static void test_first_from(void **state)
{
    (void)state;
    struct window_spec specs[] = {window_tumbling(10), window_hopping(10, 4), window_session(7)};
    int64_t start;
    for (size_t s = 0; s < sizeof specs / sizeof *specs; s++)
        for (int64_t ts = -50; ts < 50; ts++) {
            int64_t expected = ts;
            while (expected % specs[s].hop_ms != 0)
                expected++;
            assert_true(window_first_from(&specs[s], ts, &start));
            assert_int_equal(start, expected);
        }
    assert_false(window_first_from(&specs[0], INT64_MAX - 3, &start));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs),
        cmocka_unit_test(test_numbers_differ),
        cmocka_unit_test(test_range),
        cmocka_unit_test(test_closing),
        cmocka_unit_test(test_first_from),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
