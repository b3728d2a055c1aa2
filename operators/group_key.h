/* group_key.h: the binary form of a group: canonical (equal groups ↔ equal bytes), self-describing, decodable.
 * A column: 1 byte kind (0 NULL, 1 false, 2 true, 3 bigint, 4 numeric, 5 text, 6 double, 7 timestamptz, 8 json text, 9 bytea), then
 * 3: 8 bytes big-endian with the sign flipped; 4: uvarint scale, 16 bytes big-endian coefficient (canonical: no trailing zeros; an integral numeric
 * that fits int64 is written as kind 3, so that 1, 1.0 and 1.00 are one group); 5, 8, 9: uvarint length, bytes; 6: 8 bytes big-endian IEEE (−0 as 0, one NaN); 7: 8 bytes as 3.
 * A variant is written by its value. */
#ifndef WEIR_OPERATORS_GROUP_KEY_H
#define WEIR_OPERATORS_GROUP_KEY_H

#include "operators/column.h"

/* Kinds, as stored. */
enum {
    GROUP_KEY_NULL = 0, GROUP_KEY_FALSE = 1, GROUP_KEY_TRUE = 2, GROUP_KEY_BIGINT = 3, GROUP_KEY_NUMERIC = 4,
    GROUP_KEY_TEXT = 5, GROUP_KEY_DOUBLE = 6, GROUP_KEY_TIMESTAMPTZ = 7, GROUP_KEY_JSON = 8, GROUP_KEY_BYTEA = 9,
};

/* Appends the group of one row. */
void group_key_encode(struct buf *out, const struct column *columns, uint32_t column_count, uint32_t row);
/* Encodes the selected rows of a batch into arena memory: keys[i] belongs to the i-th selected row. The fast path for one text or variant column
 * touches each row once. ERR_NOMEM. */
int group_key_encode_batch(const struct batch *batch, const struct column *columns, uint32_t column_count, struct bytes *keys);
/* The reverse: writes value `row` of each column; columns are COL_VARIANT, or of the kind's type when types say so (a kind that does not fit the type is
 * ERR_CORRUPT). Numerics that were written as bigint come back as numeric for a COL_NUMERIC column. Text borrows from key. */
int group_key_decode(struct bytes key, struct column *columns, uint32_t column_count, uint32_t row, struct arena *arena);

#endif
