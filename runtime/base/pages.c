/* pages.c: see pages.h.
 *
 * The system maps at addresses that are multiples of a small page, so a mapping is made longer by one
 * large page and what sticks out at both ends is given back. A system without large pages, or one
 * that is told never to use them, gives small ones: slower, not wrong. */
#include "runtime/base/pages.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

static size_t whole_pages(size_t size_bytes)
{
    return (size_bytes + PAGES_MIN_BYTES - 1) / PAGES_MIN_BYTES * PAGES_MIN_BYTES;
}

void *pages_alloc(size_t size_bytes)
{
    if (size_bytes < PAGES_MIN_BYTES)
        return calloc(1, size_bytes);
    if (size_bytes > SIZE_MAX / 2)
        return NULL;
    size_t size = whole_pages(size_bytes), mapped = size + PAGES_MIN_BYTES;
    uint8_t *map = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return NULL;
    size_t before = (PAGES_MIN_BYTES - (uintptr_t)map % PAGES_MIN_BYTES) % PAGES_MIN_BYTES;
    if (before > 0)
        munmap(map, before);
    if (before < PAGES_MIN_BYTES)
        munmap(map + before + size, PAGES_MIN_BYTES - before);
    (void)madvise(map + before, size, MADV_HUGEPAGE);
    return map + before;
}

void pages_free(void *pages, size_t size_bytes)
{
    if (pages == NULL)
        return;
    if (size_bytes < PAGES_MIN_BYTES)
        free(pages);
    else
        munmap(pages, whole_pages(size_bytes));
}
