/* test_window_index.c: windows in and out at random against a plain array. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include "operators/window_index.h"

static uint64_t random_state = 88172645463325252ULL;
static uint32_t random_below(uint32_t bound)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state % bound);
}

enum { STARTS = 300 };

static int64_t start_of(uint32_t i)
{
    return i == 0 ? WINDOW_NONE : ((int64_t)i - STARTS / 2) * 3600000;
}

static void check_index(struct window_index *index, struct window *const *present)
{
    uint32_t count = 0, least = 0;
    for (uint32_t i = 0; i < STARTS; i++) {
        assert_ptr_equal(window_index_peek(index, start_of(i)), present[i]);
        count += present[i] != NULL;
        if (least == 0 && i > 0 && present[i] != NULL)
            least = i;
    }
    int64_t first;
    assert_int_equal(index->window_count, count);
    assert_int_equal(window_index_first(index, &first), least != 0);
    if (least != 0)
        assert_int_equal(first, start_of(least));
}

static void random_windows_match_the_array(void **unused)
{
    (void)unused;
    struct window_index index = {0};
    struct window *present[STARTS] = {0};
    for (int step = 0; step < 60000; step++) {
        uint32_t i = random_below(STARTS);
        bool adding = step / 1000 % 2 == 0
                          ? random_below(3) != 0
                          : random_below(3) == 0; /* waves of growing and shrinking */
        if (adding) {
            struct window *window = window_index_get(&index, start_of(i));
            assert_non_null(window);
            assert_true(present[i] == NULL || present[i] == window);
            if (present[i] == NULL)
                assert_null(window->first);
            present[i] = window;
        } else if (present[i] != NULL) {
            window_index_remove(&index, present[i]);
            present[i] = NULL;
        }
        assert_ptr_equal(window_index_find(&index, start_of(i)), present[i]);
        if (step % 50 == 0)
            check_index(&index, present);
        if (random_below(5000) == 0) {
            window_index_clear(&index);
            for (uint32_t j = 0; j < STARTS; j++)
                present[j] = NULL;
        }
    }
    assert_true(index.bytes > 0);
    window_index_deinit(&index);
    assert_int_equal(index.bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_windows_match_the_array)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
