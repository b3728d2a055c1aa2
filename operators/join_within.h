/* join_within.h: a join of two streams within a bound of time: rows of both sides as they travel to where they meet, and what both ends of the way know.
 *
 * A left row at time l and a right row at time r with equal keys are a pair when l − before_ms ≤ r ≤ l + after_ms. At its source (op_join_side.c) a row is
 * evaluated, judged and becomes a record of one topic:
 *
 *   key      the join key (group_key.h); none for a row of a left join whose key holds NULL
 *   value    1 byte side (0 left, 1 right), zigzag varint event time, then the columns that the join gives (row_codec.h)
 *   timestamp that of the row's own record
 *
 * Who reads that topic (op_join_within.c) keeps rows until no partner of theirs can come: partners of a left row end at l + after_ms, those of a right row at
 * r + before_ms. That instant is the row's end; rows are kept in buckets of ends. A row that comes at t meets rows whose ends are in [t, t + before_ms + after_ms], whichever side it is of:
 * what the watermark has passed lies before all of them. */
#ifndef WEIR_OPERATORS_JOIN_WITHIN_H
#define WEIR_OPERATORS_JOIN_WITHIN_H

#include "operators/op.h"

enum { WITHIN_LEFT = 0, WITHIN_RIGHT = 1 };

struct within_params {
    int64_t before_ms, after_ms;
    bool keeps_unmatched;             /* left join */
    uint32_t key_count;
    enum col_type *key_types;         /* as which a key is read back: one type on both sides, else COL_VARIANT */
    struct json_names *key_names;     /* of the results' record keys */
    struct json_names *result_names;  /* of all columns, for a result that is put aside */
    uint32_t column_counts[2];        /* of the results: first the left side's, then the right one's */
    enum col_type *types[2];
};

struct within_side_params {
    const struct within_params *join;
    unsigned side;
    struct expr_list *key, *columns;  /* over the side's rows */
};

/* What a record of the topic says; columns borrow from its value. */
struct within_row {
    unsigned side;
    int64_t time_ms;
    struct bytes columns;
};
/* Appends the value of a record: columns are those of the side. */
void within_row_encode(struct buf *out, const struct within_side_params *params, const struct column *columns, uint32_t row, int64_t time_ms);
/* ERR_CORRUPT. */
int within_row_decode(struct bytes value, struct within_row *row);
/* Appends the text of a key: the record key of its results, whose murmur2 places its rows. ERR_CORRUPT, ERR_NOMEM. */
int within_key_text(const struct within_params *params, struct bytes key, struct arena *arena, struct buf *text);
/* The width of a bucket of ends. */
int64_t within_bucket_ms(const struct within_params *params);
/* The watermark by which all rows up to this time have gone. */
int64_t within_all_gone_at(const struct within_params *params, int64_t time_ms);
/* How far behind the watermark a result's earlier row can be. */
int64_t within_lag_ms(const struct within_params *params);

#endif
