/* test_session_kill.c: jobs with session windows, killed at every place at which an engine can be.
 *
 * Sessions are the windows that change after they were given out: rows make them grow at both ends, and
 * join two to one whose old records must be taken back, wherever the engine was when it died. Lives of
 * random jobs (tests/support/random_life.h) that have no other windows are driven by weir_test; each dies
 * at one place early, later, and late, in every round, sometimes with its stores gone. What they must
 * give is the naive evaluator's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "runtime/base/clock.h"
#include "tests/support/random_life.h"
#include "tests/support/scratch_dir.h"

/* Kills the life at the place, for the n-th time in each round, where it may pass it. */
static int kill_life(uint64_t seed, const char *place, int64_t n)
{
    struct naive_setting setting = {
        .rounds = 3, .is_driven = true, .step_ms = 1500, .only_windows = SESSIONS};
    struct life life;
    life_draw_for(&life, seed, &setting);
    life.case_count = 3;
    for (int round = 0; round < setting.rounds; round++) {
        life.runs[round].kill_at = place;
        life.runs[round].kill_number = n;
    }
    if (life_run(&life) != 0) {
        for (int i = 0; i < life.case_count; i++)
            naive_describe(life.cases[i]);
        life_describe(&life);
        fail_msg("killed at %s, %lld (seed %llu): sessions differ", place, (long long)n,
                 (unsigned long long)seed);
    }
    int kills = life.kills;
    life_free(&life);
    return kills;
}

static void sessions_survive_a_kill_at_every_place(void **state)
{
    static const int64_t numbers[] = {1, 4, 15};
    const char *const *places = weir_test_points(), *seed_text = getenv("WEIR_RANDOM_SEED");
    uint64_t seed = seed_text != NULL ? strtoull(seed_text, NULL, 10) : (uint64_t)clock_wall_ms();
    int kills = 0, places_met = 0;
    (void)state;
    for (int i = 0; places[i] != NULL; i++) {
        int here = kill_life(seed + (uint64_t)i, places[i], numbers[0]);
        for (size_t n = 1; n < sizeof numbers / sizeof numbers[0] && here > 0; n++)
            here += kill_life(seed + 100 * n + (uint64_t)i, places[i], numbers[n]);
        places_met += here > 0;
        kills += here;
    }
    /* Of the others some need old segments, groups or imports, which no round has. */
    assert_in_range(places_met, 20, 1000);
    assert_in_range(kills, 60, 100000);
}

int main(void)
{
    scratch_dir_in_memory();
    const struct CMUnitTest tests[] = {cmocka_unit_test(sessions_survive_a_kill_at_every_place)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
