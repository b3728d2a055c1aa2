/* verify_memory.c: how much a verification holds (see verify_parts.h).
 *
 * Results, rows of tables and lists of records grow with the data, and a machine that runs out of
 * memory ends whatever the kernel chooses. So what grows is counted where it is taken and given back,
 * and verify_look asks now and then whether it is too much. The count is the calling thread's:
 * the maps and cells that do most of the taking know of no verification, and one runs on one thread.
 * What malloc adds to each piece is not known, and not counted. */
#include <stdlib.h>

#include "runtime/verify/verify_parts.h"

static _Thread_local int64_t held;

void verify_hold(size_t bytes)
{
    held += (int64_t)bytes;
}

void verify_let_go(size_t bytes)
{
    held -= (int64_t)bytes;
}

int64_t verify_held(void)
{
    return held;
}

void *verify_grow(void *memory, size_t old, size_t new)
{
    void *grown = realloc(memory, new);
    if (grown == NULL)
        return NULL;
    if (memory != NULL)
        verify_let_go(old);
    verify_hold(new);
    return grown;
}
