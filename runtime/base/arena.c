/* arena.c: chunks behind the bump pointer of arena.h.
 *
 * Chunks form a list; those up to current are in use, those after it are kept from before the last
 * reset and are taken up again before memory is asked for. A chunk is as large as everything held
 * so far, between 64 KiB and 4 MiB: a small arena stays small and a large one needs few calls. An
 * allocation that is larger gets a chunk of its own size.
 *
 * A reset keeps the chunks, because the next batch needs as much as the last one. One huge batch
 * must not hold its memory for ever: when more than 64 MiB are held, chunks over 1 MiB go back,
 * which leaves the first few.
 *
 * The limit counts what is taken from the system, because that is what a budget is about. Near it a
 * chunk is made as large as the limit still allows, and kept chunks that are too small for the
 * request are given up first.
 *
 * Under AddressSanitizer a reset frees every chunk, so that a pointer that outlives its batch is
 * reported instead of reading the next batch's bytes. */
#include "runtime/base/arena.h"

#include <stdlib.h>
#include "runtime/base/error.h"

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_RESET_FREES 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_RESET_FREES 1
#endif
#endif
#ifndef ARENA_RESET_FREES
#define ARENA_RESET_FREES 0
#endif

enum {
    CHUNK_MIN_BYTES = 64 << 10,
    CHUNK_MAX_BYTES = 4 << 20,
    KEEP_CHUNK_BYTES = 1 << 20,
    KEEP_ARENA_BYTES = 64 << 20,
    ALIGN_MAX = 64,
};

struct arena_chunk {
    struct arena_chunk *next;
    size_t size_bytes; /* this header included */
};

static uint8_t *chunk_start(struct arena_chunk *chunk)
{
    return (uint8_t *)(chunk + 1);
}

static uint8_t *chunk_end(struct arena_chunk *chunk)
{
    return (uint8_t *)chunk + chunk->size_bytes;
}

void arena_init(struct arena *arena, size_t limit_bytes)
{
    *arena = (struct arena){.limit_bytes = limit_bytes};
}

static void free_from(struct arena *arena, struct arena_chunk **link)
{
    while (*link != NULL) {
        struct arena_chunk *chunk = *link;
        *link = chunk->next;
        arena->held_bytes -= chunk->size_bytes;
        free(chunk);
    }
}

void arena_deinit(struct arena *arena)
{
    free_from(arena, &arena->first);
    arena_init(arena, arena->limit_bytes);
}

void arena_reset(struct arena *arena)
{
    if (ARENA_RESET_FREES) {
        arena_deinit(arena);
        return;
    }
    if (arena->held_bytes > KEEP_ARENA_BYTES) {
        struct arena_chunk **link = &arena->first;
        while (*link != NULL) {
            struct arena_chunk *chunk = *link;
            if (chunk->size_bytes <= KEEP_CHUNK_BYTES) {
                link = &chunk->next;
                continue;
            }
            *link = chunk->next;
            arena->held_bytes -= chunk->size_bytes;
            free(chunk);
        }
    }
    arena->used_bytes = 0;
    arena->current = arena->first;
    arena->next = arena->first != NULL ? chunk_start(arena->first) : NULL;
    arena->end = arena->first != NULL ? chunk_end(arena->first) : NULL;
}

/* The size of a new chunk that holds at least needed bytes; 0 when the limit does not allow it. */
static size_t chunk_size_for(const struct arena *arena, size_t needed)
{
    size_t size = arena->held_bytes;
    if (size < CHUNK_MIN_BYTES)
        size = CHUNK_MIN_BYTES;
    if (size > CHUNK_MAX_BYTES)
        size = CHUNK_MAX_BYTES;
    if (size < needed)
        size = needed;
    if (arena->limit_bytes == 0)
        return size;
    size_t left =
        arena->limit_bytes > arena->held_bytes ? arena->limit_bytes - arena->held_bytes : 0;
    if (size > left)
        size = left;
    return size >= needed ? size : 0;
}

/* Puts a new chunk of at least needed bytes after current; NULL when that is not possible. */
static struct arena_chunk *chunk_add(struct arena *arena, size_t needed)
{
    struct arena_chunk **link = arena->current != NULL ? &arena->current->next : &arena->first;
    size_t size = chunk_size_for(arena, needed);
    if (size == 0 && *link != NULL) {
        free_from(arena, link); /* kept chunks count against the limit and are too small for this */
        size = chunk_size_for(arena, needed);
    }
    struct arena_chunk *chunk = size != 0 ? malloc(size) : NULL;
    if (chunk == NULL)
        return NULL;
    chunk->next = *link;
    chunk->size_bytes = size;
    *link = chunk;
    arena->held_bytes += size;
    return chunk;
}

void *arena_grow(struct arena *arena, size_t size_bytes, size_t align)
{
    must(align != 0 && (align & (align - 1)) == 0 && align <= ALIGN_MAX);
    if (size_bytes > SIZE_MAX / 2)
        return NULL;
    size_t needed = sizeof(struct arena_chunk) + (align - 1) + size_bytes;
    struct arena_chunk *chunk = arena->current != NULL ? arena->current->next : arena->first;
    if (chunk == NULL || chunk->size_bytes < needed) {
        chunk = chunk_add(arena, needed);
        if (chunk == NULL)
            return NULL;
    }
    if (arena->current != NULL)
        arena->used_bytes += (size_t)(arena->end - arena->next);
    arena->current = chunk;
    arena->next = chunk_start(chunk);
    arena->end = chunk_end(chunk);
    return arena_alloc_aligned(arena, size_bytes, align); /* fits now: no further recursion */
}

void *arena_zalloc(struct arena *arena, size_t size_bytes)
{
    void *memory = arena_alloc(arena, size_bytes);
    if (memory != NULL)
        memset(memory, 0, size_bytes);
    return memory;
}

struct bytes arena_copy(struct arena *arena, struct bytes source)
{
    if (source.data == NULL)
        return source;
    uint8_t *copy = arena_alloc_aligned(arena, source.size, 1);
    if (copy == NULL)
        return bytes_of(NULL, SIZE_MAX);
    if (source.size > 0)
        memcpy(copy, source.data, source.size);
    return bytes_of(copy, source.size);
}

char *arena_text(struct arena *arena, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = arena_alloc_aligned(arena, size, 1);
    if (copy != NULL)
        memcpy(copy, text, size);
    return copy;
}
