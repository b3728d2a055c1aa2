/* window_index.h: windows in time order, each with its list of entries, of an aggregation table; the buckets of a row table. Private to agg_table.c and row_table.c.
 *
 * Between 1 and some 200,000 windows; nearly all accesses hit the window of the access before. Found through a hash table, ordered by a
 * binary heap whose nodes know their places, so that any window can leave. */
#ifndef WEIR_OPERATORS_WINDOW_INDEX_H
#define WEIR_OPERATORS_WINDOW_INDEX_H

#include "operators/agg_table.h"

struct window {
    int64_t start_ms;
    void *first;               /* the entries, as the table links them; NULL: none */
    uint32_t heap_place;       /* UINT32_MAX: not in the heap (WINDOW_NONE) */
    struct window *next_free;
};

struct window_index {
    struct window **slots;     /* open addressing, linear, power of two */
    struct window **heap;      /* smallest start first */
    uint32_t slot_count, heap_count, heap_capacity, window_count;
    struct window *last;       /* of the last access */
    struct window *free;
    size_t bytes;              /* held */
};

void window_index_deinit(struct window_index *index);
/* Forgets all windows, keeps memory. */
void window_index_clear(struct window_index *index);
/* Without remembering it as the last access. */
const struct window *window_index_peek(const struct window_index *index, int64_t start_ms);
struct window *window_index_find(struct window_index *index, int64_t start_ms);
/* Finds or creates; a created window has no entries. NULL: no memory. */
struct window *window_index_get(struct window_index *index, int64_t start_ms);
void window_index_remove(struct window_index *index, struct window *window);
bool window_index_first(const struct window_index *index, int64_t *start_ms);

#endif
