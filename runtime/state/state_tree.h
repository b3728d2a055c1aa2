/* state_tree.h: finds many keys at once in the pages of a snapshot. Private to runtime/state.
 *
 * Reads LMDB's own pages; says so when it cannot, and then mdb_get is asked. Pure functions over the map: no allocation, no
 * locks. The caller holds the reading lock and a live snapshot. */
#ifndef WEIR_STATE_STATE_TREE_H
#define WEIR_STATE_STATE_TREE_H

#include "runtime/base/bytes.h"

enum { TREE_BLOCK = 64 };          /* keys that are looked for side by side */

/* The tree of one database as of one snapshot. */
struct tree {
    const uint8_t *map;            /* NULL: this LMDB's pages are not known */
    size_t page_bytes;
    uint64_t page_count;           /* pages that may be looked at */
    uint64_t root;
    uint32_t depth;                /* 0: empty */
};

/* record is what LMDB's unnamed database says of a named one, as it lies in the map; page_count: of the whole file. False (map
 * NULL): it is not what LMDB 0.9 writes. */
bool tree_init(struct tree *tree, struct bytes record, size_t page_bytes, uint64_t page_count);

enum tree_answer { TREE_ABSENT, TREE_FOUND, TREE_UNSURE };

/* Looks for n ≤ TREE_BLOCK stored keys (none empty). FOUND: values[i] lies in the map. UNSURE: its value lies in pages of its own, or a page
 * does not look as it should. Never reads outside page_count pages, whatever they hold. */
void tree_find(const struct tree *tree, uint32_t n, const struct bytes *keys, struct bytes *values,
               enum tree_answer *answers);

#endif
