/* window_local.h: windows that follow the clocks and the calendar of a named time zone. */
#ifndef WEIR_OPERATORS_WINDOW_LOCAL_H
#define WEIR_OPERATORS_WINDOW_LOCAL_H

#include <stdbool.h>

#include "operators/zone.h"

enum local_unit { LOCAL_HOUR = 1, LOCAL_DAY, LOCAL_WEEK, LOCAL_MONTH };
struct local_windows {
    struct zone *zone;
    enum local_unit unit;
    int32_t count;             /* units a window has */
};
/* Hours: 1, or a divisor of 24; days to 366, weeks to 52, months to 1200. */
bool local_count_is_good(enum local_unit unit, int64_t count);
/* Times that have a window: some 300,000 years to either side. */
bool local_has_window(int64_t time_ms);
/* The window that holds time_ms (local_has_window): [start, end). Windows are next to each other and never empty. */
void local_window_at(const struct local_windows *windows, int64_t time_ms, int64_t *start_ms, int64_t *end_ms);

#endif
