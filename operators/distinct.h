/* distinct.h: the values behind count(DISTINCT): pairs of a group and a value, each a key of its own. Private to operators/.
 *
 * A pair's key is its group's, then what pair_key appends; it is no group's key, because the columns of a group say where they end.
 * What changelogs, partials and the store hold of it is described in distinct.c. */
#ifndef WEIR_OPERATORS_DISTINCT_H
#define WEIR_OPERATORS_DISTINCT_H

#include "operators/grouping.h"

/* The word of an entry that is a pair (agg_entry_row): how many bytes of its key are the group's, plus 1. */
enum {
    DISTINCT_VALUE_MAX_BYTES = 32000,   /* of one value: with its group it is a store's key */
    DISTINCT_GROUP_MAX_BYTES = 32000,   /* of the group of a view that counts distinct values */
};

extern const struct agg_kind agg_kind_distinct;

/* After agg_update of entries of table: finds the pairs of the selected rows. A pair that neither table nor store has is marked, and counted for its row's group when counts is set
 * (that is, unless the groups of this table are partials: whoever merges them counts). groups[i] and keys[i] belong to the i-th selected row. */
int distinct_update(struct group_op *group, struct agg_table *table, struct op_call *call, const struct batch *batch, const struct column *arguments,
                    const struct column *filters, const int64_t *starts, const struct bytes *keys, struct agg_entry *const *groups, bool counts);
/* Takes n pairs that crossed a re-keying; groups[i] is the entry of the group of pairs[i]. ERR_CORRUPT with a sentence. */
int distinct_merge(struct group_op *group, struct op_call *call, uint32_t n, const int64_t *starts, const struct bytes *pairs,
                   const struct bytes *values, struct agg_entry *const *groups);
/* The value of an entry that is a pair, as changelogs and partials hold it. */
void distinct_encode(const struct agg_entry *pair, struct buf *out);
/* Makes an entry what the store holds of it. ERR_CORRUPT. */
int distinct_decode(struct agg_entry *pair, struct bytes value);

#endif
