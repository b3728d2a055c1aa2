/* window_local.c: local hours, days, weeks and months as spans of UTC.
 *
 * Days, weeks (from Monday), months, and hours by the 2, 3, 4, 6, 8 or 12 are parted by boundaries
 * of the wall clock: midnights, or the hours of the day that the count divides. A window begins at
 * the first instant at which the wall clock shows its boundary or more. So a day on which clocks
 * are put forward has 23 hours and one on which they are put back has 25; where midnight is
 * skipped the day begins with the instant that skips it; where clocks are put back over midnight
 * the new day has begun at its first midnight and keeps the hour that comes again; a date that a
 * zone left out (Samoa, 30 December 2011) has no window.
 *
 * Single hours differ: a clock that is put back begins another window, so that the hour that comes
 * twice is two windows, and not one of two hours. A clock that is put forward by less than an hour
 * inside an hour shortens it.
 *
 * All of this is asked of spans with one offset (zone.h), of which a window touches one or two. */
#include "operators/window_local.h"

#define HOUR_MS  INT64_C(3600000)
#define DAY_MS   INT64_C(86400000)
#define RANGE_MS INT64_C(10000000000000000)

bool local_count_is_good(enum local_unit unit, int64_t count)
{
    if (count < 1)
        return false;
    switch (unit) {
    case LOCAL_HOUR:
        return count < 24 && 24 % count == 0;
    case LOCAL_DAY:
        return count <= 366;
    case LOCAL_WEEK:
        return count <= 52;
    case LOCAL_MONTH:
        return count <= 1200;
    }
    return false;
}

bool local_has_window(int64_t time_ms)
{
    return time_ms > -RANGE_MS && time_ms < RANGE_MS;
}

static int64_t floor_div(int64_t value, int64_t by)
{
    return value / by - (value % by < 0);
}

/* The boundary at or before a wall clock, and the one after it. */
static int64_t boundary_before(const struct local_windows *w, int64_t wall_ms, int64_t *next_ms)
{
    int64_t step, first = 0, day = floor_div(wall_ms, DAY_MS), year;
    int month;
    switch (w->unit) {
    case LOCAL_HOUR:
        step = w->count * HOUR_MS;
        break;
    case LOCAL_DAY:
        step = w->count * DAY_MS;
        break;
    case LOCAL_WEEK:
        step = w->count * 7 * DAY_MS;
        first = 4 * DAY_MS; /* Monday, 5 January 1970 */
        break;
    case LOCAL_MONTH:
    default:
        zone_date_of(day, &year, &month);
        int64_t index = floor_div((year - 1970) * 12 + month - 1, w->count) * w->count;
        int64_t after = index + w->count;
        *next_ms = zone_days_of(1970 + floor_div(after, 12),
                                (int)(after - floor_div(after, 12) * 12) + 1, 1) *
                   DAY_MS;
        return zone_days_of(1970 + floor_div(index, 12),
                            (int)(index - floor_div(index, 12) * 12) + 1, 1) *
               DAY_MS;
    }
    int64_t boundary = floor_div(wall_ms - first, step) * step + first;
    *next_ms = boundary + step;
    return boundary;
}

/* The first instant at which the wall clock shows wall_ms or more. */
static int64_t first_instant(const struct zone *zone, int64_t wall_ms)
{
    int64_t at = wall_ms - ZONE_OFFSET_MAX_MS; /* no earlier instant shows as much */
    for (;;) {
        struct zone_span span = zone_span_at(zone, at);
        int64_t shows = wall_ms - span.offset_ms;
        if (shows < at)
            shows = at;
        if (shows < span.to_ms)
            return shows;
        at = span.to_ms;
    }
}

static void calendar_window(const struct local_windows *w, int64_t time_ms, int64_t *start_ms,
                            int64_t *end_ms)
{
    int64_t next,
        boundary = boundary_before(w, time_ms + zone_span_at(w->zone, time_ms).offset_ms, &next);
    *start_ms = first_instant(w->zone, boundary);
    *end_ms = first_instant(w->zone, next);
    /* The clock was put back over a boundary that had been reached before. */
    while (*end_ms <= time_ms) {
        *start_ms = *end_ms;
        boundary_before(w, next, &next);
        *end_ms = first_instant(w->zone, next);
    }
}

static void hour_window(const struct zone *zone, int64_t time_ms, int64_t *start_ms,
                        int64_t *end_ms)
{
    struct zone_span span = zone_span_at(zone, time_ms), early = span, late = span;
    int64_t hour = floor_div(time_ms + span.offset_ms, HOUR_MS) * HOUR_MS;
    while (hour - early.offset_ms < early.from_ms) {
        struct zone_span before = zone_span_at(zone, early.from_ms - 1);
        if (before.offset_ms > early.offset_ms || early.from_ms + before.offset_ms <= hour)
            break; /* put back here, or the hour's beginning was skipped */
        early = before;
    }
    while (hour + HOUR_MS - late.offset_ms > late.to_ms) {
        struct zone_span after = zone_span_at(zone, late.to_ms);
        if (after.offset_ms < late.offset_ms || late.to_ms + after.offset_ms >= hour + HOUR_MS)
            break;
        late = after;
    }
    *start_ms = hour - early.offset_ms < early.from_ms ? early.from_ms : hour - early.offset_ms;
    *end_ms =
        hour + HOUR_MS - late.offset_ms > late.to_ms ? late.to_ms : hour + HOUR_MS - late.offset_ms;
}

void local_window_at(const struct local_windows *windows, int64_t time_ms, int64_t *start_ms,
                     int64_t *end_ms)
{
    must(local_has_window(time_ms));
    if (windows->unit == LOCAL_HOUR && windows->count == 1)
        hour_window(windows->zone, time_ms, start_ms, end_ms);
    else
        calendar_window(windows, time_ms, start_ms, end_ms);
    must(*start_ms <= time_ms && time_ms < *end_ms);
}
