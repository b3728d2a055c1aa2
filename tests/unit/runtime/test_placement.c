/* test_placement.c: tasks dealt to workers by cost, against all other ways to deal them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "runtime/placement.h"
#include "tests/support/kill_ledger.h"

enum { TASKS_MAX = 64 };

static void deal(const uint64_t *costs, const int *current, uint32_t count, int workers, int *of)
{
    struct placement_task tasks[TASKS_MAX] = {{.cost = 0}};
    for (uint32_t i = 0; i < count; i++)
        tasks[i] =
            (struct placement_task){costs[i], (int)i % workers, current != NULL ? current[i] : -1};
    assert_int_equal(placement_deal(tasks, count, workers, of), 0);
    for (uint32_t i = 0; i < count; i++)
        assert_in_range(of[i], 0, workers - 1);
}
static uint64_t busiest(const uint64_t *costs, const int *of, uint32_t count, int workers)
{
    uint64_t most = 0;
    for (int w = 0; w < workers; w++) {
        uint64_t sum = 0;
        for (uint32_t i = 0; i < count; i++)
            sum += of[i] == w ? costs[i] : 0;
        most = sum > most ? sum : most;
    }
    return most;
}

static void test_equal_costs_go_home(void **state)
{
    static const uint64_t costs[] = {5, 5, 5, 5, 5, 5, 5};
    int of[7];
    (void)state;
    deal(costs, NULL, 7, 3, of);
    for (int i = 0; i < 7; i++)
        assert_int_equal(of[i], i % 3);
}
static void test_equal_costs_stay_where_they_are(void **state)
{
    static const uint64_t costs[] = {5, 5, 5, 5};
    static const int current[] = {1, 1, 0, 0};
    int of[4];
    (void)state;
    deal(costs, current, 4, 2, of);
    assert_memory_equal(of, current, sizeof of);
}
/* A worker that is no more. */
static void test_who_must_go_is_shared_out(void **state)
{
    static const uint64_t costs[] = {5, 5, 5, 5};
    static const int current[] = {0, 1, 2, 3}, expected[] = {0, 1, 0, 1};
    int of[4];
    (void)state;
    deal(costs, current, 4, 2, of);
    assert_memory_equal(of, expected, sizeof of);
}
/* Where round robin gives one worker all that there is to do. */
static void test_dear_tasks_that_share_a_home(void **state)
{
    static const uint64_t costs[] = {1000, 1, 1000, 1, 1000, 1, 1000, 1};
    static const int round_robin[] = {0, 1, 0, 1, 0, 1, 0, 1};
    int of[8];
    (void)state;
    assert_int_equal(busiest(costs, round_robin, 8, 2), 4000);
    deal(costs, NULL, 8, 2, of);
    assert_int_equal(busiest(costs, of, 8, 2), 2002);
}
static void test_more_workers_than_tasks(void **state)
{
    static const uint64_t costs[] = {7, 0};
    int of[2];
    (void)state;
    deal(costs, NULL, 2, 1024, of);
    assert_int_not_equal(of[0], of[1]);
    assert_int_equal(placement_deal(NULL, 0, 3, of), 0);
}

/* The least that the busiest worker can have. */
static uint64_t best(const uint64_t *costs, uint32_t count, int workers)
{
    uint64_t least = UINT64_MAX;
    uint32_t ways = 1;
    for (uint32_t i = 0; i < count; i++)
        ways *= (uint32_t)workers;
    for (uint32_t way = 0; way < ways; way++) {
        int of[TASKS_MAX];
        uint32_t rest = way;
        for (uint32_t i = 0; i < count; i++, rest /= (uint32_t)workers)
            of[i] = (int)(rest % (uint32_t)workers);
        uint64_t most = busiest(costs, of, count, workers);
        least = most < least ? most : least;
    }
    return least;
}
/* Never over 4/3 of the best of all placements; the same twice. */
static void test_random_costs_against_all_placements(void **state)
{
    struct chance chance = {7};
    (void)state;
    for (int round = 0; round < 300; round++) {
        uint64_t costs[8];
        int of[8], again[8], current[8];
        uint32_t count = 1 + (uint32_t)chance_below(&chance, 7);
        int workers = 1 + (int)chance_below(&chance, 3);
        for (uint32_t i = 0; i < count; i++) {
            costs[i] = (uint64_t)chance_below(&chance, 1 + chance_below(&chance, 1000));
            current[i] = (int)chance_below(&chance, 5) - 1;
        }
        deal(costs, current, count, workers, of);
        deal(costs, current, count, workers, again);
        assert_memory_equal(of, again, count * sizeof *of);
        assert_true(3 * busiest(costs, of, count, workers) <= 4 * best(costs, count, workers));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_costs_go_home),
        cmocka_unit_test(test_equal_costs_stay_where_they_are),
        cmocka_unit_test(test_who_must_go_is_shared_out),
        cmocka_unit_test(test_dear_tasks_that_share_a_home),
        cmocka_unit_test(test_more_workers_than_tasks),
        cmocka_unit_test(test_random_costs_against_all_placements),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
