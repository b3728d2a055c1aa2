/* key_place.h: which partition the rows of a key belong in, where a stream and a table are read partition by partition (weir_table_partitioned). */
#ifndef WEIR_OPERATORS_KEY_PLACE_H
#define WEIR_OPERATORS_KEY_PLACE_H

#include "operators/op.h"

enum { KEY_PLACE_ANY = -1, KEY_PLACE_NONE = -2 };
/* Of a key of one column as group_key.h writes it: the partition that Kafka's clients choose for its text (murmur2); KEY_PLACE_ANY: it is NULL, which meets nothing anywhere; KEY_PLACE_NONE: it is
 * no text, by whose bytes records lie. */
int32_t key_place(struct bytes key, int32_t partition_count);
/* Rejects rows ("misplaced") whose key does not belong in the task's partition; keys[i] is that of the i-th selected row. The selection stays as it is. ERR_NOMEM. */
int key_place_check(const struct op_env *env, const char *table, struct op_call *call, const struct batch *batch, const struct bytes *keys);
/* The same of one row. */
int key_place_check_row(const struct op_env *env, const char *table, struct op_call *call, uint32_t row, struct bytes key);

#endif
