/* row_codec.h: a row's values as bytes, for who keeps rows (row_table.h) or sends them to another stage. What is read back is what was written, to the scale of a numeric and the
 * digits of an uncast number; equal values need not have equal bytes (that is group_key.h).
 *
 * A row: uvarint number of columns, then for each one byte kind and its value: 0 NULL · 1 false · 2 true · 3 bigint, 4 interval, 5 timestamptz: zigzag varint · 6 double: 8 bytes big-endian IEEE
 * · 7 numeric: uvarint scale, 16 bytes big-endian coefficient · 8 text, 9 bytea: uvarint length, bytes. Of an uncast JSON value: 16 + enum variant_kind, for an integer a
 * zigzag varint, else uvarint length and bytes. */
#ifndef WEIR_OPERATORS_ROW_CODEC_H
#define WEIR_OPERATORS_ROW_CODEC_H

#include "operators/column.h"

void row_encode(struct buf *out, const struct column *columns, uint32_t count, uint32_t row);
/* Writes value `row` of each column, whose types are those that were written and which have room for nulls; text borrows from data. ERR_CORRUPT. */
int row_decode(struct bytes data, struct column *columns, uint32_t count, uint32_t row);
/* The value of a column that has none. */
void row_set_null(struct column *column, uint32_t row);

#endif
