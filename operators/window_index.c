/* window_index.c: hash table and heap of windows.
 *
 * Rows arrive roughly in time order, so a new window is usually the latest: it stays at the end of
 * the heap at the price of one comparison. Closing takes the front, log2(n) steps. Deleting from
 * the hash table moves later slots back, so there are no tombstones to clean up. Window structs are
 * recycled through a free list; a table that once had many windows keeps them. */
#include "operators/window_index.h"

#include <stdlib.h>
#include "runtime/base/error.h"

enum { SLOTS_FIRST = 16, HEAP_FIRST = 16 };

static uint32_t home_slot(const struct window_index *index, int64_t start_ms)
{
    /* Starts are multiples of the window size: the multiplier spreads them, the upper bits are
     * good. */
    uint64_t mixed = (uint64_t)start_ms * 0x9E3779B97F4A7C15ULL;
    return (uint32_t)(mixed >> 32) & (index->slot_count - 1);
}

static void free_list(struct window *window)
{
    while (window != NULL) {
        struct window *next = window->next_free;
        free(window);
        window = next;
    }
}

void window_index_deinit(struct window_index *index)
{
    window_index_clear(index);
    free_list(index->free);
    free(index->slots);
    free(index->heap);
    *index = (struct window_index){0};
}

void window_index_clear(struct window_index *index)
{
    for (uint32_t i = 0; i < index->slot_count; i++) {
        struct window *window = index->slots[i];
        if (window == NULL)
            continue;
        window->next_free = index->free;
        index->free = window;
        index->slots[i] = NULL;
    }
    index->heap_count = index->window_count = 0;
    index->last = NULL;
}

static struct window *window_lookup(const struct window_index *index, int64_t start_ms)
{
    if (index->last != NULL && index->last->start_ms == start_ms)
        return index->last;
    if (index->window_count == 0)
        return NULL;
    uint32_t at = home_slot(index, start_ms);
    while (index->slots[at] != NULL && index->slots[at]->start_ms != start_ms)
        at = (at + 1) & (index->slot_count - 1);
    return index->slots[at];
}

const struct window *window_index_peek(const struct window_index *index, int64_t start_ms)
{
    return window_lookup(index, start_ms);
}

struct window *window_index_find(struct window_index *index, int64_t start_ms)
{
    struct window *window = window_lookup(index, start_ms);
    if (window != NULL)
        index->last = window;
    return window;
}

static void slot_insert(struct window_index *index, struct window *window)
{
    uint32_t at = home_slot(index, window->start_ms);
    while (index->slots[at] != NULL)
        at = (at + 1) & (index->slot_count - 1);
    index->slots[at] = window;
}

static int slots_reserve(struct window_index *index)
{
    if ((index->window_count + 1) * 2 <= index->slot_count)
        return 0;
    uint32_t old_count = index->slot_count;
    struct window **old = index->slots;
    uint32_t count = old_count == 0 ? SLOTS_FIRST : old_count * 2;
    struct window **slots = calloc(count, sizeof *slots);
    if (slots == NULL)
        return ERR_NOMEM;
    index->slots = slots;
    index->slot_count = count;
    index->bytes += (count - old_count) * sizeof *slots;
    for (uint32_t i = 0; i < old_count; i++)
        if (old[i] != NULL)
            slot_insert(index, old[i]);
    free(old);
    return 0;
}

static int heap_reserve(struct window_index *index)
{
    if (index->heap_count < index->heap_capacity)
        return 0;
    uint32_t capacity = index->heap_capacity == 0 ? HEAP_FIRST : index->heap_capacity * 2;
    struct window **heap = realloc(index->heap, capacity * sizeof *heap);
    if (heap == NULL)
        return ERR_NOMEM;
    index->bytes += (capacity - index->heap_capacity) * sizeof *heap;
    index->heap = heap;
    index->heap_capacity = capacity;
    return 0;
}

static void heap_put(struct window_index *index, uint32_t place, struct window *window)
{
    index->heap[place] = window;
    window->heap_place = place;
}

static void heap_rise(struct window_index *index, uint32_t place, struct window *window)
{
    while (place > 0 && window->start_ms < index->heap[(place - 1) / 2]->start_ms) {
        heap_put(index, place, index->heap[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    heap_put(index, place, window);
}

static void heap_sink(struct window_index *index, uint32_t place, struct window *window)
{
    for (;;) {
        uint32_t child = 2 * place + 1;
        if (child >= index->heap_count)
            break;
        if (child + 1 < index->heap_count &&
            index->heap[child + 1]->start_ms < index->heap[child]->start_ms)
            child++;
        if (index->heap[child]->start_ms >= window->start_ms)
            break;
        heap_put(index, place, index->heap[child]);
        place = child;
    }
    heap_put(index, place, window);
}

static void heap_remove(struct window_index *index, struct window *window)
{
    uint32_t place = window->heap_place;
    struct window *moved = index->heap[--index->heap_count];
    if (moved == window)
        return;
    if (moved->start_ms < window->start_ms)
        heap_rise(index, place, moved);
    else
        heap_sink(index, place, moved);
}

struct window *window_index_get(struct window_index *index, int64_t start_ms)
{
    struct window *window = window_index_find(index, start_ms);
    if (window != NULL)
        return window;
    if (slots_reserve(index) < 0 || heap_reserve(index) < 0)
        return NULL;
    window = index->free;
    if (window != NULL) {
        index->free = window->next_free;
    } else {
        window = malloc(sizeof *window);
        if (window == NULL)
            return NULL;
        index->bytes += sizeof *window + 8;
    }
    *window = (struct window){.start_ms = start_ms, .heap_place = UINT32_MAX};
    slot_insert(index, window);
    index->window_count++;
    if (start_ms != WINDOW_NONE)
        heap_rise(index, index->heap_count++, window);
    index->last = window;
    return window;
}

/* Empties a slot and moves back the windows behind it that would no longer be found. */
static void slot_erase(struct window_index *index, uint32_t hole)
{
    uint32_t mask = index->slot_count - 1;
    for (uint32_t at = (hole + 1) & mask; index->slots[at] != NULL; at = (at + 1) & mask) {
        uint32_t home = home_slot(index, index->slots[at]->start_ms);
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            index->slots[hole] = index->slots[at];
            hole = at;
        }
    }
    index->slots[hole] = NULL;
}

void window_index_remove(struct window_index *index, struct window *window)
{
    uint32_t at = home_slot(index, window->start_ms);
    while (index->slots[at] != window) {
        must(index->slots[at] != NULL);
        at = (at + 1) & (index->slot_count - 1);
    }
    slot_erase(index, at);
    if (window->heap_place != UINT32_MAX)
        heap_remove(index, window);
    if (index->last == window)
        index->last = NULL;
    index->window_count--;
    window->next_free = index->free;
    index->free = window;
}

bool window_index_first(const struct window_index *index, int64_t *start_ms)
{
    if (index->heap_count == 0)
        return false;
    *start_ms = index->heap[0]->start_ms;
    return true;
}
