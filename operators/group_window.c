/* group_window.c: which windows the rows of a batch belong to, and which of them are late.
 *
 * Lateness is judged against the watermark of the row's own source partition at the row's place in
 * it (column watermark_ms), never against the table's time, so that where a batch or commit is cut
 * never matters. Each kind of window has its own loop; the loop of tumbling windows is the one that
 * most jobs spend time in.
 *
 * A row's session is found when its cell is joined with the cells beside it (group_session.c); here
 * it gets its cell, and is late when a session of it alone would have ended.
 *
 * A row of hopping windows lies in several: what it gets is the run of those that are open at its
 * place, packed into one number (window.h). It counts as late only when that run is empty; every
 * window that it missed has a record of its own among the late rows. */
#include "operators/grouping.h"
#include "operators/window_local.h"

static int reject_range(struct op_call *call, const struct batch *batch, uint32_t row,
                        const struct window_spec *spec)
{
    return reject_add(call->rejects, row, "event_time_range",
                      "event time %lld has no window of %lld ms",
                      (long long)batch->event_time_ms[row], (long long)spec->size_ms);
}

static int assign_tumbling(const struct window_spec *spec, struct op_call *call,
                           const struct batch *batch, int64_t *starts, uint16_t *kept,
                           uint32_t *kept_count)
{
    uint32_t count = 0;
    int64_t size_ms = spec->size_ms;
    /* Copies, which the stores below cannot change: they are not read again for each row. */
    const int64_t *times = batch->event_time_ms, *watermarks = batch->watermark_ms;
    const uint16_t *selection = batch->selection;
    for (uint32_t i = 0, n = batch->selected_count; i < n; i++) {
        uint32_t row = selection != NULL ? selection[i] : i;
        int64_t start;
        if (__builtin_expect(!window_start_of(times[row], size_ms, &start), 0)) {
            TRY(reject_range(call, batch, row, spec));
            continue;
        }
        int64_t end = start + size_ms;
        if (watermarks != NULL && __builtin_expect(end <= watermarks[row], 0)) {
            TRY(late_add(
                call, &(struct late_row){row, start, end, watermarks[row] - end, true, 0, NULL}));
            continue;
        }
        starts[count] = start;
        kept[count++] = (uint16_t)row;
    }
    *kept_count = count;
    return 0;
}

/* The windows that a row missed, the oldest first. */
static int miss_windows(const struct window_spec *spec, struct op_call *call, uint32_t row,
                        int64_t watermark_ms, const struct window_run *run)
{
    int64_t start = run->newest_ms - (int64_t)(run->count + run->missed - 1) * spec->hop_ms;
    for (uint32_t i = 0; i < run->missed; i++, start += spec->hop_ms) {
        int64_t end = start + spec->size_ms;
        TRY(late_add(call, &(struct late_row){row, start, end, watermark_ms - end,
                                              run->count == 0 && i == 0, run->count, NULL}));
    }
    return 0;
}

static int assign_hopping(const struct window_spec *spec, struct op_call *call,
                          const struct batch *batch, int64_t *starts, uint16_t *kept,
                          uint32_t *kept_count)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < batch->selected_count; i++) {
        uint32_t row = batch_row(batch, i);
        int64_t watermark_ms = batch->watermark_ms != NULL ? batch->watermark_ms[row] : INT64_MIN;
        struct window_run run;
        if (!window_run_of(spec, batch->event_time_ms[row], watermark_ms, &run)) {
            TRY(reject_range(call, batch, row, spec));
            continue;
        }
        if (__builtin_expect(run.missed > 0, 0))
            TRY(miss_windows(spec, call, row, watermark_ms, &run));
        if (run.count == 0)
            continue;
        starts[count] = window_run_pack(spec, &run);
        kept[count++] = (uint16_t)row;
    }
    *kept_count = count;
    return 0;
}

static int assign_sessions(const struct window_spec *spec, struct op_call *call,
                           const struct batch *batch, int64_t *starts, uint16_t *kept,
                           uint32_t *kept_count)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < batch->selected_count; i++) {
        uint32_t row = batch_row(batch, i);
        int64_t ts = batch->event_time_ms[row], end;
        if (!window_newest(spec, ts, &starts[count])) {
            TRY(reject_range(call, batch, row, spec));
            continue;
        }
        end = ts + spec->size_ms;
        if (batch->watermark_ms != NULL && end <= batch->watermark_ms[row]) {
            TRY(late_add(call, &(struct late_row){row, ts, end, batch->watermark_ms[row] - end,
                                                  true, 0, NULL}));
            continue;
        }
        kept[count++] = (uint16_t)row;
    }
    *kept_count = count;
    return 0;
}

/* Rows come nearly in time order, so most are in the window of the row before. */
static int assign_local(const struct window_spec *spec, struct op_call *call,
                        const struct batch *batch, int64_t *starts, uint16_t *kept,
                        uint32_t *kept_count)
{
    uint32_t count = 0;
    int64_t start = 0, end = 0;
    for (uint32_t i = 0; i < batch->selected_count; i++) {
        uint32_t row = batch_row(batch, i);
        int64_t ts = batch->event_time_ms[row];
        if (ts < start || ts >= end) {
            if (!local_has_window(ts)) {
                TRY(reject_add(call->rejects, row, "event_time_range",
                               "event time %lld has no local window", (long long)ts));
                continue;
            }
            local_window_at(spec->local, ts, &start, &end);
        }
        if (batch->watermark_ms != NULL && end <= batch->watermark_ms[row]) {
            TRY(late_add(call, &(struct late_row){row, start, end, batch->watermark_ms[row] - end,
                                                  true, 0, NULL}));
            continue;
        }
        starts[count] = start;
        kept[count++] = (uint16_t)row;
    }
    *kept_count = count;
    return 0;
}

int group_assign_windows(const struct group_params *params, struct op_call *call,
                         struct batch *batch, int64_t *starts)
{
    uint16_t *kept = arena_alloc(call->arena, (batch->selected_count + 1) * sizeof *kept);
    uint32_t count = 0;
    if (kept == NULL)
        return ERR_NOMEM;
    switch (params->window.kind) {
    case WINDOW_TUMBLING:
        TRY(assign_tumbling(&params->window, call, batch, starts, kept, &count));
        break;
    case WINDOW_HOPPING:
        TRY(assign_hopping(&params->window, call, batch, starts, kept, &count));
        break;
    case WINDOW_SESSION:
        TRY(assign_sessions(&params->window, call, batch, starts, kept, &count));
        break;
    case WINDOW_LOCAL:
        TRY(assign_local(&params->window, call, batch, starts, kept, &count));
        break;
    case WINDOW_ABSENT:
        must(false);
    }
    batch->selection = kept;
    batch->selected_count = count;
    return 0;
}
