/* pages.h: large blocks of zeroed memory in large pages.
 *
 * A table that is looked into at random needs a translation for nearly every look when its pages are small. Blocks of
 * PAGES_MIN_BYTES and more come straight from the system, aligned, and ask for large pages (Linux: where transparent huge pages are "always"
 * or "madvise"); smaller ones are calloc's. */
#ifndef WEIR_BASE_PAGES_H
#define WEIR_BASE_PAGES_H

#include <stddef.h>

#define PAGES_MIN_BYTES ((size_t)2 << 20)

/* Zeroed memory, or NULL. Nothing of it is in use before it is written to, up to the rest of a large page. */
void *pages_alloc(size_t size_bytes);
/* size_bytes as given to pages_alloc. NULL is fine. */
void pages_free(void *pages, size_t size_bytes);

#endif
