/* naive_local.c: windows by local clocks, from what the C library says that a clock on the wall shows (see naive.h).
 *
 * Nothing here knows rules or spans of a zone: localtime_r is asked for single instants. A calendar window begins at the
 * first instant at which the wall clock shows its boundary or more, found by walking the quarters of an hour and halving
 * the last one; a window of one hour is parted from the next where the hour on the wall changes or the clock is put back,
 * found by walking minutes. TZ is the process's: no other thread may run. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/base/error.h"
#include "tests/support/naive_model.h"

enum { HOUR_S = 3600, DAY_S = 86400, CACHE_SLOTS = 64 };

static char zone_set[64];

static void set_zone(const char *zone)
{
    if (strcmp(zone, zone_set) == 0)
        return;
    must(strlen(zone) < sizeof zone_set && setenv("TZ", zone, 1) == 0);
    strcpy(zone_set, zone);
    tzset();
}

/* The wall clock at t, in seconds since 1970 as if local were UTC. */
static int64_t wall(int64_t t)
{
    struct tm tm;
    time_t time = (time_t)t;
    must(localtime_r(&time, &tm) != NULL);
    return t + tm.tm_gmtoff;
}

static int64_t floor_div(int64_t value, int64_t by)
{
    return value / by - (value % by < 0);
}

/* Midnight of the first of a month that is counted from January 1970. */
static int64_t month_start(int64_t month)
{
    struct tm tm = {.tm_year = 70 + (int)floor_div(month, 12), .tm_mday = 1};
    tm.tm_mon = (int)(month - floor_div(month, 12) * 12);
    return timegm(&tm);
}

/* The boundary at or before a wall clock, and the next one. */
static int64_t boundary(int64_t clock, int unit, int units, int64_t *next)
{
    int64_t step = unit == WEIR_HOUR ? HOUR_S : unit == WEIR_DAY ? DAY_S : 7 * DAY_S, first = 0;
    if (unit == WEIR_MONTH) {
        struct tm tm;
        time_t time = (time_t)clock;
        must(gmtime_r(&time, &tm) != NULL);
        int64_t month = floor_div((tm.tm_year - 70) * 12 + tm.tm_mon, units) * units;
        *next = month_start(month + units);
        return month_start(month);
    }
    step *= units;
    if (unit == WEIR_WEEK)
        first = 4 * DAY_S; /* Monday, 5 January 1970 */
    int64_t at = floor_div(clock - first, step) * step + first;
    *next = at + step;
    return at;
}

static int64_t first_instant(int64_t clock)
{
    int64_t step = HOUR_S / 4, at = floor_div(clock - 27 * HOUR_S, step) * step;
    while (wall(at) < clock)
        at += step;
    for (int64_t low = at - step; at - low > 1;) {
        int64_t middle = low + (at - low) / 2;
        if (wall(middle) >= clock)
            at = middle;
        else
            low = middle;
    }
    return at;
}

static bool parted(int64_t before, int64_t after)
{
    int64_t a = wall(before), b = wall(after);
    return floor_div(a, HOUR_S) != floor_div(b, HOUR_S) || b <= a;
}

static void hour_window(int64_t t, int64_t *start, int64_t *end)
{
    *start = floor_div(t, 60) * 60;
    *end = *start + 60;
    while (!parted(*start - 60, *start))
        *start -= 60;
    while (!parted(*end - 60, *end))
        *end += 60;
}

static void calendar_window(int64_t t, int unit, int units, int64_t *start, int64_t *end)
{
    int64_t after;
    *start = first_instant(boundary(wall(t), unit, units, &after));
    *end = first_instant(after);
    while (*end <= t) { /* the clock was put back over a boundary that it had reached */
        *start = *end;
        boundary(after, unit, units, &after);
        *end = first_instant(after);
    }
}

void naive_local_window(const char *zone, int unit, int units, int64_t ts_ms, int64_t *start_ms,
                        int64_t *end_ms)
{
    static struct found {
        const char *zone;
        int unit, units;
        int64_t start_ms, end_ms;
    } cache[CACHE_SLOTS];
    static unsigned next;
    for (int i = 0; i < CACHE_SLOTS; i++) {
        const struct found *found = &cache[i];
        if (found->zone == zone && found->unit == unit && found->units == units &&
            found->start_ms <= ts_ms && ts_ms < found->end_ms) {
            *start_ms = found->start_ms;
            *end_ms = found->end_ms;
            return;
        }
    }
    int64_t t = floor_div(ts_ms, 1000), start, end;
    set_zone(zone);
    if (unit == WEIR_HOUR && units == 1)
        hour_window(t, &start, &end);
    else
        calendar_window(t, unit, units, &start, &end);
    *start_ms = start * 1000;
    *end_ms = end * 1000;
    cache[next++ % CACHE_SLOTS] = (struct found){zone, unit, units, *start_ms, *end_ms};
}

/* ---- drawing ---- */

const char *naive_draw_zone(struct chance *chance)
{
    /* Whole and half hours, at night and at noon, over midnight and over the date line. Of most
     * interest is where the clock is put back to the middle of an hour, or over a midnight. */
    static const char *const zones[] = {
        "America/St_Johns",    "America/St_Johns",    "America/St_Johns",  "America/St_Johns",
        "Australia/Lord_Howe", "Australia/Lord_Howe", "Europe/Berlin",     "America/New_York",
        "Pacific/Apia",        "Africa/Cairo",        "America/Havana",    "Asia/Kathmandu",
        "Asia/Beirut",         "Antarctica/Troll",    "America/Sao_Paulo", "UTC",
        "Pacific/Chatham",     "Africa/Casablanca",   "America/Caracas",   "Asia/Pyongyang",
    };
    return zones[chance_below(chance, sizeof zones / sizeof zones[0])];
}

int64_t naive_near_a_change(struct chance *chance, const char *zone, int64_t spread_ms)
{
    set_zone(zone);
    int64_t begin = 631152000 + chance_below(chance, 34 * INT64_C(31556952)); /* 1990 to 2023 */
    int64_t offset = wall(begin) - begin, back_ms = chance_below(chance, spread_ms);
    for (int64_t day = 1; day < 366; day++) {
        int64_t low = begin + (day - 1) * DAY_S, t = low + DAY_S;
        if (wall(t) - t == offset)
            continue;
        while (t - low > 1) {
            int64_t middle = low + (t - low) / 2;
            if (wall(middle) - middle == offset)
                low = middle;
            else
                t = middle;
        }
        return t * 1000 - back_ms;
    }
    return begin * 1000;
}
