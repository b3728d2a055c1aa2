/* state_tree.c: looks for a block of keys in LMDB's B+tree, side by side.
 *
 * A store that is larger than the processor's caches answers one mdb_get in about a microsecond, and
 * nearly all of that is waiting: a binary search of a page touches some eight cache lines, each of
 * which is known only when the one before has come. Keys that are looked for together need not wait
 * for each other. So a block of keys goes down the tree level by level, and inside a level step by
 * step of the search: each step compares, chooses the next node and asks for its line, and when it
 * is this key's turn again the line has come (measured, 10 million keys: a fifth of the time).
 *
 * LMDB has no call for that, so the pages are read here. Only reading, only what a snapshot pins, and
 * only the layout of data format 1, which every LMDB 0.9 writes:
 *
 *   page     0  8  its number
 *           10  2  flags: 1 branch, 2 leaf (others are not followed)
 *           12  2  lower: end of the array of node offsets
 *           16     node offsets, 2 bytes each, in key order
 *   node     0  4  leaf: size of the value; branch: low 32 bits of the child's number
 *            4  2  leaf: flags, 1: the value has pages of its own; branch: high 16 bits of the child
 *            6  2  size of the key
 *            8     key, then value; the first key of a branch page counts as below all others
 *   record of a named database in the unnamed one: 48 bytes: 4 pad, 2 flags, 2 depth, 8 branch, 8 leaf,
 *                  8 overflow pages, 8 entries, 8 number of the root (all bits set: empty)
 *
 * All in the machine's byte order; only little-endian machines of 64 bits take this way. Values carry
 * checksums that include their key (state_format.c), so that a wrong value can not come out of here. Every
 * offset is checked against its page and every page against its number and the map: what does not fit
 * is left to LMDB. Another version of LMDB, another byte order: everything is. */
#include "runtime/state/state_tree.h"

#include <lmdb.h>

enum {
    PAGE_FLAGS_AT = 10,
    PAGE_LOWER_AT = 12,
    PAGE_HEADER_BYTES = 16,
    PAGE_BRANCH = 1,
    PAGE_LEAF = 2,
    NODE_FLAGS_AT = 4,
    NODE_KEY_SIZE_AT = 6,
    NODE_HEADER_BYTES = 8,
    RECORD_BYTES = 48,
    RECORD_FLAGS_AT = 4,
    RECORD_DEPTH_AT = 6,
    RECORD_ROOT_AT = 40,
    DEPTH_MAX = 32, /* LMDB's own limit of a cursor's stack */
    LINE_BYTES = 64,
    LINES_OF_OFFSETS = 4, /* header and offsets of the 120 nodes that a page of small groups has */
};

static bool format_is_known(void)
{
    int major, minor, patch;
    mdb_version(&major, &minor, &patch);
    return major == 0 && minor == 9 && sizeof(size_t) == 8 &&
           __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;
}

static inline uint16_t word16(const uint8_t *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static inline uint32_t word32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static inline uint64_t word64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

bool tree_init(struct tree *tree, struct bytes record, size_t page_bytes, uint64_t page_count)
{
    *tree = (struct tree){.page_bytes = page_bytes, .page_count = page_count};
    if (!format_is_known() || record.size != RECORD_BYTES ||
        word16(record.data + RECORD_FLAGS_AT) != 0)
        return false;
    tree->depth = word16(record.data + RECORD_DEPTH_AT);
    tree->root = word64(record.data + RECORD_ROOT_AT);
    if (tree->depth > DEPTH_MAX || (tree->depth > 0 && tree->root >= page_count))
        return false;
    /* The record lies in a page of the map, whose number says where the map begins. */
    const uint8_t *page = record.data - ((uintptr_t)record.data & (uintptr_t)(page_bytes - 1));
    uint64_t number = word64(page);
    if (number >= page_count)
        return false;
    tree->map = page - number * page_bytes;
    return true;
}

/* Where one key has got to. */
struct finger {
    const uint8_t *page;
    uint64_t number;
    uint32_t low, high; /* the first node with a larger key is low ≤ node ≤ high */
};

static inline const uint8_t *node_at(const struct finger *finger, uint32_t index)
{
    return finger->page + word16(finger->page + PAGE_HEADER_BYTES + (size_t)index * 2);
}

static inline void fetch_page(const uint8_t *page)
{
    for (int line = 0; line < LINES_OF_OFFSETS; line++)
        __builtin_prefetch(page + line * LINE_BYTES);
}

/* A node and its key, unless it is long; the middle of what is left to search. */
static inline void fetch_middle(const struct finger *finger)
{
    const uint8_t *node = node_at(finger, (finger->low + finger->high) / 2);
    __builtin_prefetch(node);
    __builtin_prefetch(node + NODE_HEADER_BYTES + 16);
}

/* memcmp's order, shorter first on a tie, by words: the last one overlaps the one before. */
static inline int compare_keys(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size)
{
    size_t common = a_size < b_size ? a_size : b_size;
    if (common < sizeof(uint64_t)) {
        int order = memcmp(a, b, common);
        return order != 0 ? order : (a_size > b_size) - (a_size < b_size);
    }
    for (size_t at = 0; at < common; at += sizeof(uint64_t)) {
        size_t from = at + sizeof(uint64_t) <= common ? at : common - sizeof(uint64_t);
        uint64_t x = load_be64(a + from), y = load_be64(b + from);
        if (x != y)
            return x < y ? -1 : 1;
    }
    return (a_size > b_size) - (a_size < b_size);
}

/* Begins the search of a page that has come. False: it is not the page that was expected. */
static bool page_begin(const struct tree *tree, struct finger *finger, bool is_leaf)
{
    const uint8_t *page = finger->page;
    uint32_t lower = word16(page + PAGE_LOWER_AT);
    int flags = word16(page + PAGE_FLAGS_AT);
    if (word64(page) != finger->number || flags != (is_leaf ? PAGE_LEAF : PAGE_BRANCH) ||
        lower < PAGE_HEADER_BYTES || lower > tree->page_bytes)
        return false;
    finger->low = is_leaf ? 0 : 1;
    finger->high = (lower - PAGE_HEADER_BYTES) / 2;
    if (finger->high < finger->low)
        return false;
    if (finger->low < finger->high)
        fetch_middle(finger);
    return true;
}

/* One step of the search. False: a node does not fit its page. */
static inline bool page_step(const struct tree *tree, struct finger *finger, struct bytes key)
{
    uint32_t middle = (finger->low + finger->high) / 2;
    const uint8_t *node = node_at(finger, middle);
    size_t at = (size_t)(node - finger->page);
    if (at + NODE_HEADER_BYTES > tree->page_bytes)
        return false;
    size_t size = word16(node + NODE_KEY_SIZE_AT);
    if (at + NODE_HEADER_BYTES + size > tree->page_bytes)
        return false;
    bool is_after = compare_keys(key.data, key.size, node + NODE_HEADER_BYTES, size) >= 0;
    finger->low = is_after ? middle + 1 : finger->low;
    finger->high = is_after ? finger->high : middle;
    if (finger->low < finger->high)
        fetch_middle(finger);
    return true;
}

/* Down into the child before the first node with a larger key. */
static bool go_down(const struct tree *tree, struct finger *finger)
{
    const uint8_t *node = node_at(finger, finger->low - 1);
    if ((size_t)(node - finger->page) + NODE_HEADER_BYTES > tree->page_bytes)
        return false;
    finger->number = word32(node) | (uint64_t)word16(node + NODE_FLAGS_AT) << 32;
    if (finger->number >= tree->page_count)
        return false;
    finger->page = tree->map + finger->number * tree->page_bytes;
    fetch_page(finger->page);
    return true;
}

/* The node before the first one with a larger key holds the key, or none does. */
static enum tree_answer leaf_answer(const struct tree *tree, const struct finger *finger,
                                    struct bytes key, struct bytes *value)
{
    if (finger->low == 0)
        return TREE_ABSENT;
    const uint8_t *node = node_at(finger, finger->low - 1);
    size_t at = (size_t)(node - finger->page), size = word16(node + NODE_KEY_SIZE_AT);
    if (size != key.size || compare_keys(key.data, size, node + NODE_HEADER_BYTES, size) != 0)
        return TREE_ABSENT;
    size_t value_size = word32(node), value_at = at + NODE_HEADER_BYTES + size;
    if (word16(node + NODE_FLAGS_AT) != 0 || value_size > tree->page_bytes - value_at)
        return TREE_UNSURE;
    *value = bytes_of(finger->page + value_at, value_size);
    return TREE_FOUND;
}

/* Searches the page of each key that is on its way, in turns. */
static void search_level(const struct tree *tree, uint32_t n, const struct bytes *keys,
                         struct finger *fingers, bool is_leaf)
{
    for (uint32_t i = 0; i < n; i++)
        if (fingers[i].page != NULL && !page_begin(tree, &fingers[i], is_leaf))
            fingers[i].page = NULL;
    for (bool any = true; any;) {
        any = false;
        for (uint32_t i = 0; i < n; i++) {
            if (fingers[i].page == NULL || fingers[i].low >= fingers[i].high)
                continue;
            if (!page_step(tree, &fingers[i], keys[i]))
                fingers[i].page = NULL;
            any = true;
        }
    }
}

void tree_find(const struct tree *tree, uint32_t n, const struct bytes *keys, struct bytes *values,
               enum tree_answer *answers)
{
    struct finger fingers[TREE_BLOCK];
    must(n <= TREE_BLOCK);
    if (tree->map == NULL || tree->depth == 0) {
        for (uint32_t i = 0; i < n; i++)
            answers[i] = tree->map == NULL ? TREE_UNSURE : TREE_ABSENT;
        return;
    }
    for (uint32_t i = 0; i < n; i++)
        fingers[i] = (struct finger){.page = tree->map + tree->root * tree->page_bytes,
                                     .number = tree->root};
    for (uint32_t level = 0; level + 1 < tree->depth; level++) {
        search_level(tree, n, keys, fingers, false);
        for (uint32_t i = 0; i < n; i++)
            if (fingers[i].page != NULL && !go_down(tree, &fingers[i]))
                fingers[i].page = NULL;
    }
    search_level(tree, n, keys, fingers, true);
    for (uint32_t i = 0; i < n; i++)
        answers[i] = fingers[i].page == NULL ? TREE_UNSURE
                                             : leaf_answer(tree, &fingers[i], keys[i], &values[i]);
}
