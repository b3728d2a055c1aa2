/* query_sort.h: rows kept in memory to be given in another order. One thread's. */
#ifndef WEIR_RUNTIME_QUERY_SORT_H
#define WEIR_RUNTIME_QUERY_SORT_H

#include "operators/column.h"

struct sort_key {
    uint32_t column;
    bool is_descending, nulls_first;
};
struct query_sort;
/* keys and types are borrowed. keep: only the first so many rows are asked for (-1: all); memory is then for about twice as many. */
int query_sort_create(const enum col_type *types, uint32_t column_count, const struct sort_key *keys, uint32_t key_count, int64_t keep, struct query_sort **sort);
void query_sort_destroy(struct query_sort *sort);
/* Copies the selected rows. ERR_NOMEM. */
int query_sort_add(struct query_sort *sort, const struct batch *batch);
size_t query_sort_bytes(const struct query_sort *sort);
/* After the last row: 1 with the next rows in order, whose texts are the sorter's; 0: the end. ERR_NOMEM. */
int query_sort_next(struct query_sort *sort, struct arena *arena, struct batch *batch);
/* Whether a is before b, by one value of each that are not NULL: negative, 0, positive. Numbers by value (NaN is above all), text by its bytes, JSON by kind (false, true,
 * numbers, texts, the rest) and then value. */
int query_sort_compare(enum col_type type, const void *a, const void *b);

#endif
