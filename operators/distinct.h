/* distinct.h: the values behind count(DISTINCT): pairs of a group and a value, each a key of its own. Private to operators/.
 * Pairs of rows that may be taken back have a count, and stand behind min and max too: counted.h.
 *
 * A pair's key is its group's, then what pair_key appends; it is no group's key, because the columns of a group say where they end.
 * What changelogs, partials and the store hold of it is described in distinct.c. */
#ifndef WEIR_OPERATORS_DISTINCT_H
#define WEIR_OPERATORS_DISTINCT_H

#include "operators/grouping.h"

/* The word of an entry that is a pair (agg_entry_row): how many bytes of its key are the group's, plus 1. */
enum {
    DISTINCT_VALUE_MAX_BYTES = 32000,   /* of one value: with its group it is a store's key */
    DISTINCT_GROUP_MAX_BYTES = 32000,   /* of the group of a view that has such values */
    ORDERED_VALUE_MAX_BYTES = 16000,    /* of a value of min or max over a table: turned round for max it may be twice as long */
};

/* Pairs that rows of a batch or partials name, one for each that counts. */
struct pair_list {
    uint32_t count;
    struct bytes *keys;      /* of pairs */
    size_t *group_bytes;     /* how much of each is its group's key */
    int64_t *starts;         /* of windows; NULL without */
    struct agg_entry **groups, **entries;
    uint32_t *calls;
    int64_t *changes;        /* how many rows came with the value, less those that went */
    uint8_t *is_new;
};
/* ERR_NOMEM. */
int pair_list_alloc(struct pair_list *list, uint32_t room, bool windowed, struct arena *arena);
/* Makes it the pairs of call c: of the selected rows that its filter takes and whose value is not NULL. groups[i] and keys[i] belong to the i-th of them. ERR_NOMEM. */
int pair_list_rows(struct group_op *group, uint32_t c, const struct batch *batch, const struct column *argument, const struct column *filter,
                   const int64_t *starts, const struct bytes *keys, struct agg_entry *const *groups, struct pair_list *list);
/* What of a pair's key lies behind its group's: the call, and the value as the call's values are written. ERR_CORRUPT: none that the plan has. */
int pair_split(const struct group_params *params, struct bytes key, size_t group_bytes, uint32_t *call, struct bytes *value);

extern const struct agg_kind agg_kind_distinct;

/* After agg_update of entries of table: finds the pairs of the selected rows. A pair that neither table nor store has is marked, and counted for its row's group when counts is set
 * (that is, unless the groups of this table are partials: whoever merges them counts). groups[i] and keys[i] belong to the i-th selected row. */
int distinct_update(struct group_op *group, struct agg_table *table, struct op_call *call, const struct batch *batch, const struct column *arguments,
                    const struct column *filters, const int64_t *starts, const struct bytes *keys, struct agg_entry *const *groups, bool counts);
/* Takes n pairs that crossed a re-keying; groups[i] is the entry of the group of pairs[i]. ERR_CORRUPT with a sentence. */
int distinct_merge(struct group_op *group, struct op_call *call, uint32_t n, const int64_t *starts, const struct bytes *pairs,
                   const struct bytes *values, struct agg_entry *const *groups);
/* The value of an entry that is a pair, as changelogs and partials hold it. */
void distinct_encode(const struct group_params *params, const struct agg_entry *pair, struct buf *out);
/* Makes an entry what the store holds of it. ERR_CORRUPT. */
int distinct_decode(const struct group_params *params, struct agg_entry *pair, struct bytes value);

#endif
