/* pair_index.c: a skip list over entries of a table of groups.
 *
 * The table finds a pair by its whole key. A minimum that went asks another question: which is the
 * next one behind it? The store answers for what it has; for the rest there is this list. It is a
 * skip list (Pugh, 1990) because that is the shortest ordered structure with removal, which is as
 * frequent here as insertion, and because walking on from a place, over values that are gone and not
 * forgotten yet, is one pointer a step.
 *
 * A node is one pointer to its entry and on average 1⅓ to other nodes: 32 bytes with malloc's share.
 * Heights are drawn from the table's hash of the key, spread once more; they only decide how fast it
 * is. Comparing reads the entry's key, one miss a step: log4 n of them. */
#include "operators/pair_index.h"

#include <stdlib.h>
#include "operators/agg_kind.h"

enum { HEIGHT_MAX = 16 }; /* 4^16 entries, as many as a table has references */

struct pair_node {
    struct agg_entry *entry;
    struct pair_node *next[]; /* as many as the node is high */
};

struct pair_index {
    size_t bytes;
    struct pair_node *first[HEIGHT_MAX];
};

int pair_index_create(struct pair_index **index)
{
    *index = calloc(1, sizeof **index);
    if (*index == NULL)
        return ERR_NOMEM;
    (*index)->bytes = sizeof **index;
    return 0;
}

void pair_index_destroy(struct pair_index *index)
{
    if (index == NULL)
        return;
    for (struct pair_node *node = index->first[0], *next; node != NULL; node = next) {
        next = node->next[0];
        free(node);
    }
    free(index);
}

/* 1 with three of four, 2 with three of the sixteen left … */
static uint32_t height_of(const struct agg_entry *entry)
{
    uint64_t bits = (uint64_t)entry->tag * UINT64_C(0x9E3779B97F4A7C15) >> 32;
    uint32_t height = 1;
    while (height < HEIGHT_MAX && (bits & 3) == 0) {
        height++;
        bits >>= 2;
    }
    return height;
}

static size_t node_bytes(uint32_t height)
{
    return sizeof(struct pair_node) + height * sizeof(struct pair_node *);
}

/* Where the links to the first node that is not before key stand, of each height. */
static void find_links(struct pair_index *index, struct bytes key, struct pair_node ***links)
{
    struct pair_node **link = index->first;
    for (uint32_t level = HEIGHT_MAX; level-- > 0;) {
        while (link[level] != NULL && bytes_compare(agg_entry_key(link[level]->entry), key) < 0)
            link = link[level]->next;
        links[level] = &link[level];
    }
}

int pair_index_insert(struct pair_index *index, struct agg_entry *entry)
{
    struct pair_node **links[HEIGHT_MAX];
    uint32_t height = height_of(entry);
    struct pair_node *node = malloc(node_bytes(height));
    if (node == NULL)
        return ERR_NOMEM;
    find_links(index, agg_entry_key(entry), links);
    node->entry = entry;
    for (uint32_t level = 0; level < height; level++) {
        node->next[level] = *links[level];
        *links[level] = node;
    }
    index->bytes += agg_block_bytes(node_bytes(height));
    return 0;
}

void pair_index_remove(struct pair_index *index, const struct agg_entry *entry)
{
    struct pair_node **links[HEIGHT_MAX];
    uint32_t height = height_of(entry);
    find_links(index, agg_entry_key(entry), links);
    struct pair_node *node = *links[0];
    must(node != NULL && node->entry == entry);
    for (uint32_t level = 0; level < height; level++)
        *links[level] = node->next[level];
    index->bytes -= agg_block_bytes(node_bytes(height));
    free(node);
}

const struct pair_node *pair_index_seek(const struct pair_index *index, struct bytes key)
{
    struct pair_node *const *link = index->first;
    for (uint32_t level = HEIGHT_MAX; level-- > 0;)
        while (link[level] != NULL && bytes_compare(agg_entry_key(link[level]->entry), key) < 0)
            link = link[level]->next;
    return link[0];
}

const struct pair_node *pair_node_next(const struct pair_node *node)
{
    return node->next[0];
}

const struct agg_entry *pair_node_entry(const struct pair_node *node)
{
    return node->entry;
}

size_t pair_index_bytes(const struct pair_index *index)
{
    return index->bytes;
}
