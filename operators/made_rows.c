/* made_rows.c: batches of made rows (see made_rows.h).
 *
 * A made row has the event time, and the watermark at its place, of the row it was made of, so that
 * lateness is judged as if that row had been several. Where it came from is a row_origin: the
 * runtime finds the source record through it, and says which of its rows became a dead letter. */
#include "operators/made_rows.h"

int made_rows_init(struct made_rows *made, struct arena *arena)
{
    made->count = 0;
    made->rows = arena_alloc(arena, BATCH_ROWS * sizeof *made->rows);
    made->elements = arena_alloc(arena, BATCH_ROWS * sizeof *made->elements);
    return made->rows != NULL && made->elements != NULL ? 0 : ERR_NOMEM;
}

static int gather_times(const int64_t *in, const struct made_rows *made, struct arena *arena,
                        const int64_t **out)
{
    *out = NULL;
    if (in == NULL)
        return 0;
    int64_t *times = arena_alloc(arena, (made->count + 1) * sizeof *times);
    if (times == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < made->count; i++)
        times[i] = in[made->rows[i]];
    *out = times;
    return 0;
}

int made_rows_batch(const struct made_rows *made, const struct batch *in, uint32_t column_count,
                    struct arena *arena, struct batch *out)
{
    struct row_origin *origin = arena_alloc(arena, (made->count + 1) * sizeof *origin);
    *out = (struct batch){.row_count = made->count,
                          .selected_count = made->count,
                          .column_count = column_count,
                          .source = in->source,
                          .origin = in->origin,
                          .made_from = origin,
                          .arena = in->arena};
    out->columns = arena_alloc(arena, (column_count + 1) * sizeof *out->columns);
    if (origin == NULL || out->columns == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < made->count; i++) {
        const struct row_origin *outer =
            in->made_from != NULL ? &in->made_from[made->rows[i]] : NULL;
        origin[i] = (struct row_origin){outer != NULL ? outer->row : made->rows[i],
                                        made->elements[i], outer};
    }
    TRY(gather_times(in->event_time_ms, made, arena, &out->event_time_ms));
    return gather_times(in->watermark_ms, made, arena, &out->watermark_ms);
}
