/* window.h: which windows a row belongs to, where they end, and when they close: the one description of a view's windows that the
 * operators, the planner, the store and the tests share.
 *
 *   tumbling   [start, start + size), aligned to 1970-01-01 UTC; a row is in one
 *   hopping    [start, start + size) for every start that is a multiple of hop (hop ≤ size); a row is in up to size / hop of them
 *
 *   session    runs of rows of a group of which each comes at most `size` (the gap) after the one before: from the first row to the last
 *              row + gap. The spec knows its cells: [start, start + gap), aligned as tumbling windows; operators/group_session.c joins them
 *
 *   local      hours, days, weeks or months of a named time zone (window_local.h), next to each other; a row is in one
 *
 * A window is named by its start; windows of one spec end in the order in which they start. All times are milliseconds since 1970-01-01 UTC.
 * A spec is immutable once made and shared by threads. */
#ifndef WEIR_OPERATORS_WINDOW_H
#define WEIR_OPERATORS_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

enum window_kind { WINDOW_ABSENT = 0, WINDOW_TUMBLING, WINDOW_HOPPING, WINDOW_SESSION, WINDOW_LOCAL };
struct local_windows;
enum { WINDOW_HOPS_MAX = 1440 }; /* windows that a row may be in: a day by the minute */

struct window_spec {
    enum window_kind kind;
    int64_t size_ms;
    int64_t hop_ms;            /* between starts */
    int64_t span_ms;           /* from a window's start to the watermark that closes it */
    uint32_t per_row;          /* windows that hold one instant, at most */
    const struct local_windows *local; /* local: borrowed; the sizes above are 0 */
};

struct window_spec window_tumbling(int64_t size_ms);
/* size_ms ≥ hop_ms > 0 and size_ms / hop_ms rounded up ≤ WINDOW_HOPS_MAX. */
struct window_spec window_hopping(int64_t size_ms, int64_t hop_ms);

/* gap_ms > 0. */
struct window_spec window_session(int64_t gap_ms);

struct window_spec window_local(const struct local_windows *local);

/* start = ts − floor_mod(ts, size); false when the window would leave the range of int64. */
static inline bool window_start_of(int64_t ts_ms, int64_t size_ms, int64_t *start_ms)
{
    int64_t rest = ts_ms % size_ms;
    if (rest < 0)
        rest += size_ms;
    int64_t start;
    if (__builtin_sub_overflow(ts_ms, rest, &start) || start > INT64_MAX - size_ms)
        return false;
    *start_ms = start;
    return true;
}

/* The window with the latest start that holds ts_ms. false: out of range. */
bool window_newest(const struct window_spec *spec, int64_t ts_ms, int64_t *start_ms);
/* The first window that starts at or after ts_ms. false: out of range. */
bool window_first_from(const struct window_spec *spec, int64_t ts_ms, int64_t *start_ms);
/* Where the window that starts at start_ms ends. */
int64_t window_end(const struct window_spec *spec, int64_t start_ms);
/* The lowest watermark at which the window that starts at start_ms is closed. */
int64_t window_closes_at(const struct window_spec *spec, int64_t start_ms);
/* Every window that starts before the result is closed at this watermark, and no other; INT64_MIN when the watermark is too low to say. */
int64_t window_closed_before(const struct window_spec *spec, int64_t watermark_ms);
/* The lowest watermark at which every window that holds ts_ms is closed; false: out of range. */
bool window_all_closed_at(const struct window_spec *spec, int64_t ts_ms, int64_t *watermark_ms);

/* A row of hopping windows is in a run of consecutive ones. The run, as the number of its newest window and its length: rows with the
 * same run lie in the same windows, so they may be aggregated together before any window is touched. */
struct window_run {
    int64_t newest_ms;         /* start of the newest window of the run */
    uint32_t count;            /* windows: newest_ms, newest_ms − hop, …; 0: none is open any more */
    uint32_t missed;           /* older windows that hold the row and had closed at its place */
};
/* watermark_ms: of the row's source partition at its place. false: out of range. */
bool window_run_of(const struct window_spec *spec, int64_t ts_ms, int64_t watermark_ms, struct window_run *run);
/* One number for a run with count > 0, and back. */
int64_t window_run_pack(const struct window_spec *spec, const struct window_run *run);
/* false: no run packs to this number, or its windows leave the range of int64. */
bool window_run_unpack(const struct window_spec *spec, int64_t number, struct window_run *run);

#endif
