/* value_order.h: values as bytes that sort as min and max do (agg_extreme.c), so that the least of a set is the first key of a store.
 *
 * Values that min tells apart have different bytes, also equal ones that print differently (1.5 and 1.50). Forms, byte by byte: value_order.c. */
#ifndef WEIR_OPERATORS_VALUE_ORDER_H
#define WEIR_OPERATORS_VALUE_ORDER_H

#include "operators/column.h"

/* Appends value `row` of a column, which is not NULL; a number of JSON has at most 38 digits (agg_check). Not for bytea. */
void value_order_put(struct buf *out, const struct column *column, uint32_t row);
/* Writes value `at` of a column of the type that was put; texts borrow. ERR_CORRUPT: nothing that value_order_put appends looks so. */
int value_order_take(struct bytes value, struct column *column, uint32_t at);
/* Appends a form of those bytes that sorts the other way round, and reads it: ERR_CORRUPT. */
void value_order_flip(struct buf *out, struct bytes value);
int value_order_unflip(struct buf *out, struct bytes flipped);

#endif
