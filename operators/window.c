/* window.c: arithmetic of windows (see window.h).
 *
 * Event times lie in the years 1 to 9999 when they come from a source, but an operator takes any
 * int64: whatever would overflow is refused here, once, so that nobody after has to ask.
 *
 * Closing asks two questions of a spec: at which watermark does this window close, and which
 * windows are closed at this watermark. The second is answered by one bound, since windows end in
 * the order in which they start. */
#include "operators/window.h"

#include "operators/window_local.h"
#include "runtime/base/error.h"

struct window_spec window_tumbling(int64_t size_ms)
{
    must(size_ms > 0);
    return (struct window_spec){.kind = WINDOW_TUMBLING,
                                .size_ms = size_ms,
                                .hop_ms = size_ms,
                                .span_ms = size_ms,
                                .per_row = 1};
}

struct window_spec window_hopping(int64_t size_ms, int64_t hop_ms)
{
    must(hop_ms > 0 && size_ms >= hop_ms);
    int64_t per_row = size_ms / hop_ms + (size_ms % hop_ms != 0);
    must(per_row <= WINDOW_HOPS_MAX);
    return (struct window_spec){.kind = WINDOW_HOPPING,
                                .size_ms = size_ms,
                                .hop_ms = hop_ms,
                                .span_ms = size_ms,
                                .per_row = (uint32_t)per_row};
}

/* A row is late when its own [ts, ts + gap) ends at or below the watermark. So once the watermark
 * is two gaps past a cell's end, rows that come are more than a gap past it. */
struct window_spec window_session(int64_t gap_ms)
{
    must(gap_ms > 0);
    return (struct window_spec){.kind = WINDOW_SESSION,
                                .size_ms = gap_ms,
                                .hop_ms = gap_ms,
                                .span_ms = 3 * gap_ms,
                                .per_row = 1};
}

struct window_spec window_local(const struct local_windows *local)
{
    return (struct window_spec){.kind = WINDOW_LOCAL, .per_row = 1, .local = local};
}

bool window_newest(const struct window_spec *spec, int64_t ts_ms, int64_t *start_ms)
{
    int64_t end_ms;
    if (spec->kind != WINDOW_LOCAL)
        return window_start_of(ts_ms, spec->hop_ms, start_ms) &&
               *start_ms <= INT64_MAX - spec->span_ms;
    if (!local_has_window(ts_ms))
        return false;
    local_window_at(spec->local, ts_ms, start_ms, &end_ms);
    return true;
}

bool window_first_from(const struct window_spec *spec, int64_t ts_ms, int64_t *start_ms)
{
    if (!window_newest(spec, ts_ms, start_ms))
        return false;
    if (*start_ms == ts_ms)
        return true;
    if (spec->kind == WINDOW_LOCAL)
        *start_ms = window_end(spec, *start_ms);
    else if (__builtin_add_overflow(*start_ms, spec->hop_ms, start_ms))
        return false;
    return true;
}

int64_t window_end(const struct window_spec *spec, int64_t start_ms)
{
    int64_t end_ms = start_ms + spec->size_ms;
    if (spec->kind == WINDOW_LOCAL)
        local_window_at(spec->local, start_ms, &start_ms, &end_ms);
    return end_ms;
}

int64_t window_closes_at(const struct window_spec *spec, int64_t start_ms)
{
    return spec->kind == WINDOW_LOCAL ? window_end(spec, start_ms) : start_ms + spec->span_ms;
}

int64_t window_closed_before(const struct window_spec *spec, int64_t watermark_ms)
{
    int64_t start_ms;
    if (spec->kind == WINDOW_LOCAL)
        return window_newest(spec, watermark_ms, &start_ms) ? start_ms : INT64_MIN;
    return watermark_ms < INT64_MIN + spec->span_ms ? INT64_MIN : watermark_ms - spec->span_ms + 1;
}

bool window_all_closed_at(const struct window_spec *spec, int64_t ts_ms, int64_t *watermark_ms)
{
    int64_t start;
    if (!window_newest(spec, ts_ms, &start))
        return false;
    *watermark_ms = window_closes_at(spec, start);
    return true;
}

/* ---- hopping ---- */

bool window_run_of(const struct window_spec *spec, int64_t ts_ms, int64_t watermark_ms,
                   struct window_run *run)
{
    int64_t newest, number, ignored, hop = spec->hop_ms;
    if (!window_newest(spec, ts_ms, &newest) || newest < INT64_MIN + spec->size_ms)
        return false;
    number = newest / hop;
    if (__builtin_mul_overflow(number, (int64_t)spec->per_row, &ignored))
        return false;
    int64_t all = (spec->size_ms - (ts_ms - newest) + hop - 1) / hop, open = all;
    int64_t oldest_end = newest - (all - 1) * hop + spec->size_ms;
    if (oldest_end <= watermark_ms) {
        int64_t newest_end = newest + spec->size_ms;
        open = newest_end <= watermark_ms ? 0 : (newest_end - watermark_ms + hop - 1) / hop;
    }
    *run = (struct window_run){newest, (uint32_t)open, (uint32_t)(all - open)};
    return true;
}

int64_t window_run_pack(const struct window_spec *spec, const struct window_run *run)
{
    must(run->count > 0 && run->count <= spec->per_row);
    return run->newest_ms / spec->hop_ms * (int64_t)spec->per_row + (int64_t)(run->count - 1);
}

bool window_run_unpack(const struct window_spec *spec, int64_t number, struct window_run *run)
{
    int64_t rest = number % (int64_t)spec->per_row, newest;
    if (rest < 0)
        rest += (int64_t)spec->per_row;
    if (__builtin_sub_overflow(number, rest, &number) ||
        __builtin_mul_overflow(number / (int64_t)spec->per_row, spec->hop_ms, &newest) ||
        newest > INT64_MAX - spec->size_ms || newest < INT64_MIN + spec->size_ms)
        return false;
    *run = (struct window_run){newest, (uint32_t)rest + 1, 0};
    return true;
}
