/* join_tables.h: a join of two tables by their keys: changes of both as they travel to where they meet, and what both ends of the way know.
 *
 * At its source a table's change (op_keyed.c) becomes a record of one topic:
 *
 *   key       of the row (group_key.h), in which equal values have equal bytes whatever their type was; murmur2 of these bytes places it
 *   value     1 byte: side (0 left, 1 right), + 2 when the row is gone; then, of one that is there, the columns that the join gives (row_codec.h)
 *   timestamp that of the row's own record
 *
 * Who reads that topic (op_join_tables.c) keeps the row of each key and side, under the byte of the side and the key: varint timestamp, columns. */
#ifndef WEIR_OPERATORS_JOIN_TABLES_H
#define WEIR_OPERATORS_JOIN_TABLES_H

#include "operators/op.h"

enum { JOIN_TABLES_LEFT = 0, JOIN_TABLES_RIGHT = 1, JOIN_TABLES_ROW_MAX_BYTES = 16 << 20 };

struct join_tables_params {
    bool keeps_left, keeps_right;     /* rows without a partner: of a left join the left ones, of a full one both */
    struct json_names *result_names;  /* of all columns, for a result that is put aside */
    uint32_t column_counts[2];        /* of the results: first the left side's, then the right one's */
    enum col_type *types[2];
};

/* What a record of the topic says; columns borrow from its value, data NULL: the row is gone. */
struct table_side_row {
    unsigned side;
    struct bytes columns;
};
/* Appends the value of a record; columns NULL: the row is gone. */
void table_side_encode(struct buf *out, unsigned side, const struct column *columns, uint32_t count, uint32_t row);
/* ERR_CORRUPT. */
int table_side_decode(struct bytes value, struct table_side_row *row);

#endif
