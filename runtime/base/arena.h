/* arena.h: a chunk list that is freed as a whole. Arenas are named by lifetime: batch, commit, task.
 * One thread owns an arena. Allocation returns NULL when the limit or the system's memory is reached, never aborts. */
#ifndef WEIR_BASE_ARENA_H
#define WEIR_BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>
#include "runtime/base/bytes.h"

struct arena_chunk;
struct arena {
    struct arena_chunk *first, *current;
    uint8_t *next, *end;       /* free part of the current chunk */
    size_t used_bytes;         /* handed out since the last reset, chunk tails included */
    size_t held_bytes;         /* taken from the system */
    size_t limit_bytes;        /* 0: none */
};

void arena_init(struct arena *arena, size_t limit_bytes);
void arena_deinit(struct arena *arena);
/* Forgets every allocation, keeps the chunks for reuse (gives back those over 1 MiB when held_bytes exceeds 64 MiB). */
void arena_reset(struct arena *arena);
/* The slow path of arena_alloc. */
void *arena_grow(struct arena *arena, size_t size_bytes, size_t align);
/* Uninitialised memory, aligned to align (a power of two ≤ 64). */
static inline void *arena_alloc_aligned(struct arena *arena, size_t size_bytes, size_t align)
{
    uintptr_t at = ((uintptr_t)arena->next + (align - 1)) & ~(uintptr_t)(align - 1);
    if (__builtin_expect(arena->next != NULL && at <= (uintptr_t)arena->end &&
                             size_bytes <= (uintptr_t)arena->end - at, 1)) {
        arena->used_bytes += (at - (uintptr_t)arena->next) + size_bytes;
        arena->next = (uint8_t *)at + size_bytes;
        return (void *)at;
    }
    return arena_grow(arena, size_bytes, align);
}
static inline void *arena_alloc(struct arena *arena, size_t size_bytes)
{
    return arena_alloc_aligned(arena, size_bytes, 16);
}
void *arena_zalloc(struct arena *arena, size_t size_bytes);      /* zeroed */
/* Copies; a null range stays null. On lack of memory .data is NULL and .size SIZE_MAX. */
struct bytes arena_copy(struct arena *arena, struct bytes source);
char *arena_text(struct arena *arena, const char *text);         /* strdup */

#endif
