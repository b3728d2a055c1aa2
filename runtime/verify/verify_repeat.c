/* verify_repeat.c: which rows of a de-duplication take part, and which repeat one that was kept (see
 * verify_parts.h).
 *
 * A row repeats another when that one was kept, has the same key, and an event time at most
 * within_ms away, before or behind. Here that is a list of the times that were kept of each key,
 * sorted, which never forgets: no buckets, no expiry, no batches. Being late is settled by the row's
 * own partition at its own place, so that forgetting could not change anything, if the engine does
 * it right. */
#include <stdlib.h>

#include "operators/group_key.h"
#include "runtime/verify/verify_parts.h"

enum { KEY_MAX_BYTES = 32000 }; /* of a key, as stores keep it */

/* ---- one row ---- */

/* A key that no store can hold. */
static int is_too_long(struct verify *v, const struct column *columns, uint32_t count,
                       bool *is_long)
{
    buf_clear(&v->scratch);
    group_key_encode(&v->scratch, columns, count, 0);
    *is_long = v->scratch.size > KEY_MAX_BYTES;
    return buf_ok(&v->scratch) ? 0 : verify_no_memory(v);
}

int verify_repeat_name(struct verify *v, const struct distinct_params *params,
                       const struct verify_row *row, struct hash128 *name, enum fate *fate)
{
    const struct expr_list *list = params->key.list;
    struct arena *arena = &row->source->arena;
    struct reject_list rejects = {.arena = arena};
    struct column *columns = arena_zalloc(arena, (list->count + 1) * sizeof *columns);
    bool is_long = false;
    *fate = FATE_DEAD;
    if (columns == NULL)
        return verify_no_memory(v);
    for (uint32_t i = 0; i < list->count; i++)
        TRY(expr_eval(list->exprs[i], row->batch, &columns[i], &rejects));
    if (rejects.count > 0)
        return 0;
    TRY(is_too_long(v, columns, list->count, &is_long));
    if (is_long)
        return 0;
    *fate = row->watermark_ms != TIME_NONE && row->time_ms + params->within_ms <= row->watermark_ms
                ? FATE_LATE
                : FATE_APPLIED;
    return verify_name(v, columns, list->count, arena, name);
}

/* ---- what was kept ---- */

/* The first that is not before. */
static size_t seek(const struct kept_times *kept, int64_t time_ms)
{
    size_t low = 0, high = kept->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (kept->times_ms[middle] < time_ms)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool kept_times_near(const struct kept_times *kept, int64_t time_ms, int64_t within_ms)
{
    size_t at = seek(kept, time_ms - within_ms);
    return at < kept->count && kept->times_ms[at] <= time_ms + within_ms;
}

int kept_times_add(struct kept_times *kept, int64_t time_ms)
{
    if (kept->count == kept->capacity) {
        size_t capacity = kept->capacity > 0 ? kept->capacity * 2 : 1;
        int64_t *grown =
            verify_grow(kept->times_ms, kept->capacity * sizeof *grown, capacity * sizeof *grown);
        if (grown == NULL)
            return ERR_NOMEM;
        kept->times_ms = grown;
        kept->capacity = capacity;
    }
    size_t at = seek(kept, time_ms);
    memmove(kept->times_ms + at + 1, kept->times_ms + at,
            (kept->count - at) * sizeof *kept->times_ms);
    kept->times_ms[at] = time_ms;
    kept->count++;
    return 0;
}

static struct kept_times *new_times(void)
{
    struct kept_times *kept = calloc(1, sizeof *kept);
    if (kept != NULL)
        verify_hold(sizeof *kept);
    return kept;
}

void kept_times_deinit(struct kept_times *kept)
{
    if (kept->times_ms != NULL)
        verify_let_go(kept->capacity * sizeof *kept->times_ms);
    free(kept->times_ms);
}

int verify_repeat_is(struct verify_source *source, const struct distinct_params *params,
                     struct hash128 name, int64_t time_ms, bool *is_repeat)
{
    struct verify_entry *entry = verify_map_at(&source->seen, name);
    if (entry != NULL && entry->value == NULL)
        entry->value = new_times();
    if (entry == NULL || entry->value == NULL)
        return verify_no_memory(source->verify);
    *is_repeat = kept_times_near(entry->value, time_ms, params->within_ms);
    return *is_repeat || kept_times_add(entry->value, time_ms) == 0
               ? 0
               : verify_no_memory(source->verify);
}

void verify_repeat_close(struct verify_source *source)
{
    for (size_t i = 0; i < source->seen.capacity; i++) {
        struct kept_times *kept = source->seen.slots[i].value;
        if (kept == NULL)
            continue;
        kept_times_deinit(kept);
        verify_let_go(sizeof *kept);
        free(kept);
    }
    verify_map_deinit(&source->seen);
}
