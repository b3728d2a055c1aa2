/* join_within.c: rows on their way to where they are joined (see join_within.h).
 *
 * Keys are compared by their binary form, in which equal values have equal bytes whatever their type
 * was. The text that places them is made from that form, and not from the columns, so that 1 of one
 * side and 1.0 of the other one go to the same partition. */
#include "operators/join_within.h"
#include "operators/group_key.h"
#include "operators/row_codec.h"

void within_row_encode(struct buf *out, const struct within_side_params *params,
                       const struct column *columns, uint32_t row, int64_t time_ms)
{
    buf_u8(out, (uint8_t)params->side);
    buf_varint(out, time_ms);
    row_encode(out, columns, params->columns->count, row);
}

int within_row_decode(struct bytes value, struct within_row *row)
{
    uint8_t side;
    TRY(take_u8(&value, &side));
    TRY(take_varint(&value, &row->time_ms));
    row->side = side;
    row->columns = value;
    /* Beyond any event time, an end would not fit. */
    return side <= WITHIN_RIGHT && row->time_ms > -(INT64_MAX / 4) && row->time_ms < INT64_MAX / 4
               ? 0
               : ERR_CORRUPT;
}

int within_key_text(const struct within_params *params, struct bytes key, struct arena *arena,
                    struct buf *text)
{
    struct column *columns = arena_alloc(arena, (params->key_count + 1) * sizeof *columns);
    if (columns == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < params->key_count; i++)
        TRY(column_alloc(&columns[i], params->key_types[i], 1, true, arena));
    TRY(group_key_decode(key, columns, params->key_count, 0, arena));
    json_encode_key(text, params->key_names, columns, 0, false);
    return buf_ok(text) ? 0 : ERR_NOMEM;
}

/* A row looks into all buckets that a span of before + after touches: few, and yet what is kept too
 * long is little. */
int64_t within_bucket_ms(const struct within_params *params)
{
    int64_t quarter_ms = (params->before_ms + params->after_ms) / 4 + 1;
    return quarter_ms > 1000 ? quarter_ms : 1000;
}

int64_t within_all_gone_at(const struct within_params *params, int64_t time_ms)
{
    return time_ms + params->after_ms + within_bucket_ms(params);
}

int64_t within_lag_ms(const struct within_params *params)
{
    return (params->before_ms > params->after_ms ? params->before_ms : params->after_ms) +
           within_bucket_ms(params);
}
