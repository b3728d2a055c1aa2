/* within_rows.h: the rows that a join of two streams keeps, by side, key and end (join_within.h), over a row_table.
 *
 * The rows of one side, key and bucket of ends lie in chunks of some 2 KiB, so that many rows of one key cost neither an entry each nor a rewriting of all of them. Key of a chunk
 * in the row table: bucket, then 1 byte side, uvarint number of the chunk, the join key. Value: in chunk 0 first a uvarint, how many chunks there are; then rows, each: 1 byte flags
 * (1: a partner was found), zigzag varint event time, zigzag varint the record's timestamp, uvarint length and bytes of its columns (row_codec.h). Private to op_join_within.c. */
#ifndef WEIR_OPERATORS_WITHIN_ROWS_H
#define WEIR_OPERATORS_WITHIN_ROWS_H

#include "operators/row_table.h"
#include "operators/join_within.h"

struct within_kept {
    int64_t time_ms, timestamp_ms;
    struct bytes columns;
    bool is_matched;
};

struct within_rows {
    const struct within_params *params;
    struct row_table *table;
    struct buf key, value;            /* of the call in progress */
};
int within_rows_open(struct within_rows *rows, const struct within_params *params, const struct op_env *env, uint8_t number);
void within_rows_close(struct within_rows *rows);
/* Brings into memory what n rows that come with these keys (data NULL: none) will meet and join; in one question to the store. */
int within_rows_fetch(struct within_rows *rows, uint32_t n, const struct within_row *come, const struct bytes *keys, struct arena *arena, struct diag *diag);
/* Calls each for every kept row that a row which comes meets; kept lies in the arena. In a left join the left ones are remembered as matched. */
int within_rows_meet(struct within_rows *rows, const struct within_row *come, struct bytes key, struct arena *arena,
                     int (*each)(void *context, const struct within_kept *kept), void *context, struct diag *diag);
int within_rows_add(struct within_rows *rows, unsigned side, struct bytes key, const struct within_kept *row, struct diag *diag);
/* Removes rows whose buckets the watermark has passed, some thousands at most; 1: there are more. In a left join each is called for the left ones that found no partner; what it gets is
 * borrowed for the call. */
int within_rows_expire(struct within_rows *rows, int64_t watermark_ms, int (*each)(void *context, struct bytes key, const struct within_kept *kept), void *context,
                       struct diag *diag);

#endif
