/* test_window_local.c: local windows of every zone of the system's database, against Python's
 * zoneinfo (tests/support/local_windows.py), and what must hold of any: windows lie next to each
 * other, and what they are does not depend on who asks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "operators/window.h"
#include "operators/window_local.h"
#include "runtime/base/clock.h"

static struct zone *zone_of(const char *name)
{
    struct zone *zone;
    struct diag diag = {0};
    if (zone_open(name, &zone, &diag) < 0)
        fail_msg("%s", diag.text);
    return zone;
}

static enum local_unit unit_of(const char *name)
{
    return strcmp(name, "hour") == 0   ? LOCAL_HOUR
           : strcmp(name, "day") == 0  ? LOCAL_DAY
           : strcmp(name, "week") == 0 ? LOCAL_WEEK
                                       : LOCAL_MONTH;
}

static void test_every_zone_against_zoneinfo(void **state)
{
    (void)state;
    char root[2048], command[4096], name[128], unit[16], open_name[128] = "";
    const char *source = getenv("WEIR_SOURCE_DIR"), *seed_text = getenv("WEIR_RANDOM_SEED");
    uint64_t seed = seed_text != NULL ? strtoull(seed_text, NULL, 10) : (uint64_t)clock_wall_ms();
    const char *file = strstr(__FILE__, "/tests/");
    assert_true(source != NULL || file != NULL);
    snprintf(root, sizeof root, "%.*s", source != NULL ? 2000 : (int)(file - __FILE__),
             source != NULL ? source : __FILE__);
    snprintf(command, sizeof command, "python3 '%s/tests/support/local_windows.py' %llu 2", root,
             (unsigned long long)seed);
    FILE *lines = popen(command, "r");
    assert_non_null(lines);
    struct local_windows windows = {0};
    long long time, start, end;
    int count, cases = 0;
    while (fscanf(lines, "%127s %15s %d %lld %lld %lld", name, unit, &count, &time, &start, &end) ==
           6) {
        int64_t is_start, is_end;
        if (strcmp(name, open_name) != 0) {
            zone_close(windows.zone);
            windows.zone = zone_of(name);
            snprintf(open_name, sizeof open_name, "%s", name);
        }
        windows.unit = unit_of(unit);
        windows.count = count;
        assert_true(local_count_is_good(windows.unit, count));
        local_window_at(&windows, time, &is_start, &is_end);
        if (is_start != start || is_end != end)
            fail_msg("%s, %d %s at %lld: %lld to %lld, but zoneinfo says %lld to %lld (seed %llu)",
                     name, count, unit, time, (long long)is_start, (long long)is_end, start, end,
                     (unsigned long long)seed);
        cases++;
    }
    zone_close(windows.zone);
    assert_int_equal(pclose(lines), 0);
    assert_true(cases > 600);
}

struct known {
    const char *zone;
    enum local_unit unit;
    int32_t count;
    int64_t time_s, start_s, hours_in_60ths; /* the length in minutes */
};

/* By hand, from what is known of the zones; instants from `date -u -d`. */
static void test_known_days(void **state)
{
    (void)state;
    static const struct known table[] = {
        /* 2026-03-29: clocks in Berlin go from 02:00 to 03:00; the day begins at 23:00 UTC */
        {"Europe/Berlin", LOCAL_DAY, 1, 1774778400, 1774738800, 23 * 60},
        /* 2026-10-25: from 03:00 back to 02:00 */
        {"Europe/Berlin", LOCAL_DAY, 1, 1792922400, 1792879200, 25 * 60},
        /* the hour from 02:00 comes twice: 00:00 UTC and 01:00 UTC */
        {"Europe/Berlin", LOCAL_HOUR, 1, 1792888200, 1792886400, 60},
        {"Europe/Berlin", LOCAL_HOUR, 1, 1792890000, 1792890000, 60},
        /* 6 hours from midnight are 7 */
        {"Europe/Berlin", LOCAL_HOUR, 6, 1792890000, 1792879200, 7 * 60},
        /* Sao Paulo, 2018-11-04: there is no midnight; the day begins at 03:00 UTC, 01:00 local */
        {"America/Sao_Paulo", LOCAL_DAY, 1, 1541340000, 1541300400, 23 * 60},
        /* Lord Howe, 2026-04-05: from 02:00 (+11) back to 01:30 (+10:30) at 15:00 UTC the day
           before */
        {"Australia/Lord_Howe", LOCAL_DAY, 1, 1775340000, 1775307600, 24 * 60 + 30},
        {"Australia/Lord_Howe", LOCAL_HOUR, 1, 1775314800, 1775314800, 30},
        /* Apia has no 30 December 2011: the 29th ends where the 31st begins, at 10:00 UTC */
        {"Pacific/Apia", LOCAL_DAY, 1, 1325239199, 1325152800, 24 * 60},
        {"Pacific/Apia", LOCAL_DAY, 1, 1325239200, 1325239200, 24 * 60},
        /* Kathmandu is 05:45 ahead */
        {"Asia/Kathmandu", LOCAL_DAY, 1, 1767225600, 1767204900, 24 * 60},
        {"Asia/Kathmandu", LOCAL_HOUR, 1, 1767225600, 1767222900, 60},
        /* March 2026 in Berlin has an hour less: from 28 February 23:00 UTC */
        {"Europe/Berlin", LOCAL_MONTH, 1, 1774778400, 1772319600, 31 * 24 * 60 - 60},
        {"Etc/UTC", LOCAL_WEEK, 1, 0, -259200, 7 * 24 * 60}, /* Monday, 1969-12-29 */
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct local_windows w = {zone_of(table[i].zone), table[i].unit, table[i].count};
        int64_t start, end;
        local_window_at(&w, table[i].time_s * 1000, &start, &end);
        zone_close(w.zone);
        if (start != table[i].start_s * 1000 || end - start != table[i].hours_in_60ths * 60000)
            fail_msg("case %zu, %s: begins at %lld, %lld minutes", i, table[i].zone,
                     (long long)start / 1000, (long long)(end - start) / 60000);
    }
}

/* From 1900 on, window after window: each begins where the one before ended, every instant in it
 * gives the same, and closing goes with the ends. */
static void test_windows_are_next_to_each_other(void **state)
{
    (void)state;
    static const char *const zones[] = {"Europe/Berlin", "America/St_Johns",
                                        "Pacific/Apia",  "Africa/Casablanca",
                                        "Asia/Tehran",   "Antarctica/Troll"};
    static const struct {
        enum local_unit unit;
        int32_t count, steps;
    } kinds[] = {{LOCAL_DAY, 1, 60000},
                 {LOCAL_HOUR, 1, 60000},
                 {LOCAL_HOUR, 8, 60000},
                 {LOCAL_WEEK, 3, 4000},
                 {LOCAL_MONTH, 5, 4000}};
    for (size_t z = 0; z < sizeof zones / sizeof *zones; z++)
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
            struct local_windows w = {zone_of(zones[z]), kinds[k].unit, kinds[k].count};
            struct window_spec spec = window_local(&w);
            int64_t at = INT64_C(-2208988800000), start, end, again, closed;
            assert_true(window_newest(&spec, at, &at));
            for (int32_t i = 0; i < kinds[k].steps; i++) {
                local_window_at(&w, at, &start, &end);
                assert_true(start == at && end > at);
                assert_true(window_newest(&spec, end - 1, &again) && again == start);
                assert_int_equal(window_closed_before(&spec, end - 1), start);
                assert_int_equal(window_closed_before(&spec, end), end);
                assert_true(window_all_closed_at(&spec, start, &closed) && closed == end);
                at = end;
            }
            zone_close(w.zone);
        }
    struct local_windows utc = {zone_of("Etc/UTC"), LOCAL_DAY, 1};
    struct window_spec spec = window_local(&utc);
    int64_t start;
    assert_false(window_newest(&spec, INT64_MAX, &start));
    assert_false(window_newest(&spec, INT64_MIN, &start));
    assert_int_equal(window_closed_before(&spec, INT64_MIN), INT64_MIN);
    zone_close(utc.zone);
}

static void test_counts(void **state)
{
    (void)state;
    for (int64_t n = -1; n < 2000; n++) {
        assert_int_equal(local_count_is_good(LOCAL_HOUR, n),
                         n == 1 || n == 2 || n == 3 || n == 4 || n == 6 || n == 8 || n == 12);
        assert_int_equal(local_count_is_good(LOCAL_DAY, n), n >= 1 && n <= 366);
        assert_int_equal(local_count_is_good(LOCAL_MONTH, n), n >= 1 && n <= 1200);
    }
    assert_false(local_count_is_good(LOCAL_DAY, INT64_MAX));
    assert_false(local_count_is_good(LOCAL_WEEK, INT64_MIN));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_zone_against_zoneinfo),
        cmocka_unit_test(test_known_days),
        cmocka_unit_test(test_windows_are_next_to_each_other),
        cmocka_unit_test(test_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
