/* pair_index.h: pairs of a table of groups in the order of their keys, so that the next value of a set is found. Private to operators/.
 *
 * It holds entries and not keys: one must leave the index before it leaves the table. One thread owns an index. */
#ifndef WEIR_OPERATORS_PAIR_INDEX_H
#define WEIR_OPERATORS_PAIR_INDEX_H

#include "operators/agg_table.h"

struct pair_index;
struct pair_node;
int pair_index_create(struct pair_index **index); /* ERR_NOMEM */
void pair_index_destroy(struct pair_index *index);
/* An entry whose key is not in it yet. ERR_NOMEM. */
int pair_index_insert(struct pair_index *index, struct agg_entry *entry);
/* An entry that is in it. */
void pair_index_remove(struct pair_index *index, const struct agg_entry *entry);
/* The first one whose key is not before that; NULL: none. Valid until the next insert or remove. */
const struct pair_node *pair_index_seek(const struct pair_index *index, struct bytes key);
const struct pair_node *pair_node_next(const struct pair_node *node);
const struct agg_entry *pair_node_entry(const struct pair_node *node);
size_t pair_index_bytes(const struct pair_index *index); /* memory in use, malloc's share estimated */

#endif
