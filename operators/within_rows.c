/* within_rows.c: rows of both sides of a join in a row table (see within_rows.h).
 *
 * A bucket is one of ends and not of times: both sides then expire by one watermark, though rows of
 * one may be kept longer than those of the other. What a row meets lies in one to five buckets,
 * each a look into the table; that no row of the key is there is the usual answer, and costs a probe.
 *
 * Chunks are read where the table has them, and copied once a row in one is met: the table may move
 * them at the next put, and marking a row as matched is one. */
#include "operators/within_rows.h"

enum {
    CHUNK_BYTES = 2048,  /* a chunk that has grown so far gets no more rows */
    EXPIRE_CHUNKS = 256, /* a call */
    FLAG_MATCHED = 1,
};

int within_rows_open(struct within_rows *rows, const struct within_params *params,
                     const struct op_env *env, uint8_t number)
{
    rows->params = params;
    buf_init(&rows->key, 0);
    buf_init(&rows->value, 0);
    return row_table_create(env, number, &rows->table);
}

void within_rows_close(struct within_rows *rows)
{
    if (rows->table != NULL)
        row_table_destroy(rows->table);
    buf_deinit(&rows->key);
    buf_deinit(&rows->value);
}

static int64_t floor_to(int64_t time_ms, int64_t step_ms)
{
    int64_t rest = time_ms % step_ms;
    return time_ms - (rest < 0 ? rest + step_ms : rest);
}

static int64_t end_of(const struct within_params *params, unsigned side, int64_t time_ms)
{
    return time_ms + (side == WITHIN_LEFT ? params->after_ms : params->before_ms);
}

static int64_t bucket_of(const struct within_params *params, unsigned side, int64_t time_ms)
{
    return floor_to(end_of(params, side, time_ms), within_bucket_ms(params));
}

static int64_t span_of(const struct within_params *params)
{
    return params->before_ms + params->after_ms;
}

static void put_key(struct buf *out, unsigned side, uint64_t chunk, struct bytes key)
{
    buf_u8(out, (uint8_t)side);
    buf_uvarint(out, chunk);
    buf_append_bytes(out, key);
}

static int damaged(struct diag *diag)
{
    return diag_set(diag, ERR_CORRUPT, "what a join keeps does not decode");
}

/* ---- chunks ---- */

/* data NULL: there is none. Valid until the next put. */
static int get_chunk(struct within_rows *rows, int64_t bucket_ms, unsigned side, uint64_t chunk,
                     struct bytes key, struct bytes *value, struct diag *diag)
{
    buf_clear(&rows->key);
    put_key(&rows->key, side, chunk, key);
    if (!buf_ok(&rows->key))
        return ERR_NOMEM;
    struct bytes wanted = bytes_of(rows->key.data, rows->key.size);
    return row_table_get_many(rows->table, 1, &bucket_ms, &wanted, value, diag);
}

static int put_chunk(struct within_rows *rows, int64_t bucket_ms, unsigned side, uint64_t chunk,
                     struct bytes key, struct bytes value, struct diag *diag)
{
    buf_clear(&rows->key);
    put_key(&rows->key, side, chunk, key);
    if (!buf_ok(&rows->key))
        return ERR_NOMEM;
    return row_table_put(rows->table, bucket_ms, bytes_of(rows->key.data, rows->key.size), value,
                         diag);
}

static int take_kept(struct bytes *in, struct within_kept *kept)
{
    uint8_t flags;
    uint64_t size;
    TRY(take_u8(in, &flags));
    TRY(take_varint(in, &kept->time_ms));
    TRY(take_varint(in, &kept->timestamp_ms));
    TRY(take_uvarint(in, &size));
    kept->is_matched = flags & FLAG_MATCHED;
    return size > in->size ? ERR_CORRUPT : take_bytes(in, (size_t)size, &kept->columns);
}

static void put_kept(struct buf *out, const struct within_kept *kept)
{
    buf_u8(out, kept->is_matched ? FLAG_MATCHED : 0);
    buf_varint(out, kept->time_ms);
    buf_varint(out, kept->timestamp_ms);
    buf_uvarint(out, kept->columns.size);
    buf_append_bytes(out, kept->columns);
}

/* ---- rows that come ---- */

int within_rows_fetch(struct within_rows *rows, uint32_t n, const struct within_row *come,
                      const struct bytes *keys, struct arena *arena, struct diag *diag)
{
    const struct within_params *params = rows->params;
    int64_t width_ms = within_bucket_ms(params);
    size_t most = (size_t)n * ((size_t)(span_of(params) / width_ms) + 3) + 1;
    struct bytes *wanted = arena_alloc(arena, most * sizeof *wanted);
    struct bytes *values = arena_alloc(arena, most * sizeof *values);
    int64_t *buckets_ms = arena_alloc(arena, most * sizeof *buckets_ms);
    uint32_t count = 0;
    if (wanted == NULL || values == NULL || buckets_ms == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < n; i++) {
        if (keys[i].data == NULL)
            continue;
        struct bytes sides[2];
        for (unsigned side = 0; side < 2; side++) {
            buf_clear(&rows->key);
            put_key(&rows->key, side, 0, keys[i]);
            sides[side] = buf_ok(&rows->key)
                              ? arena_copy(arena, bytes_of(rows->key.data, rows->key.size))
                              : (struct bytes){NULL, 0};
            if (sides[side].data == NULL)
                return ERR_NOMEM;
        }
        buckets_ms[count] = bucket_of(params, come[i].side, come[i].time_ms);
        wanted[count++] = sides[come[i].side];
        int64_t until_ms = come[i].time_ms + span_of(params);
        for (int64_t at_ms = floor_to(come[i].time_ms, width_ms); at_ms <= until_ms;
             at_ms += width_ms) {
            buckets_ms[count] = at_ms;
            wanted[count++] = sides[!come[i].side];
        }
    }
    must(count <= most);
    return count > 0 ? row_table_get_many(rows->table, count, buckets_ms, wanted, values, diag) : 0;
}

struct meeting {
    struct within_rows *rows;
    unsigned side; /* of the kept rows */
    int64_t from_ms, until_ms;
    struct bytes key;
    struct arena *arena;
    int (*each)(void *context, const struct within_kept *kept);
    void *context;
    struct diag *diag;
};

/* The rows of one chunk, from `rest` to its end. */
static int meet_in_chunk(struct meeting *meeting, int64_t bucket_ms, uint64_t number,
                         struct bytes value, struct bytes rest)
{
    const struct within_params *params = meeting->rows->params;
    uint8_t *copy = NULL;
    bool has_changed = false;
    while (rest.size > 0) {
        size_t at = (size_t)(rest.data - value.data);
        struct within_kept kept;
        if (take_kept(&rest, &kept) < 0)
            return damaged(meeting->diag);
        int64_t end_ms = end_of(params, meeting->side, kept.time_ms);
        if (end_ms < meeting->from_ms || end_ms > meeting->until_ms)
            continue;
        if (copy == NULL) {
            struct bytes copied = arena_copy(meeting->arena, value);
            if (copied.data == NULL)
                return ERR_NOMEM;
            copy = (uint8_t *)(uintptr_t)copied.data;
        }
        if (params->keeps_unmatched && meeting->side == WITHIN_LEFT && !kept.is_matched) {
            copy[at] |= FLAG_MATCHED;
            has_changed = true;
        }
        kept.columns.data = copy + (kept.columns.data - value.data);
        TRY(meeting->each(meeting->context, &kept));
    }
    return has_changed ? put_chunk(meeting->rows, bucket_ms, meeting->side, number, meeting->key,
                                   bytes_of(copy, value.size), meeting->diag)
                       : 0;
}

static int meet_in_bucket(struct meeting *meeting, int64_t bucket_ms)
{
    uint64_t chunks = 1;
    for (uint64_t i = 0; i < chunks; i++) {
        struct bytes value, rest;
        TRY(get_chunk(meeting->rows, bucket_ms, meeting->side, i, meeting->key, &value,
                      meeting->diag));
        if (value.data == NULL)
            return i == 0 ? 0 : damaged(meeting->diag);
        rest = value;
        if (i == 0 && take_uvarint(&rest, &chunks) < 0)
            return damaged(meeting->diag);
        TRY(meet_in_chunk(meeting, bucket_ms, i, value, rest));
    }
    return 0;
}

int within_rows_meet(struct within_rows *rows, const struct within_row *come, struct bytes key,
                     struct arena *arena,
                     int (*each)(void *context, const struct within_kept *kept), void *context,
                     struct diag *diag)
{
    int64_t width_ms = within_bucket_ms(rows->params);
    struct meeting meeting = {.rows = rows,
                              .side = !come->side,
                              .from_ms = come->time_ms,
                              .until_ms = come->time_ms + span_of(rows->params),
                              .key = key,
                              .arena = arena,
                              .each = each,
                              .context = context,
                              .diag = diag};
    for (int64_t at_ms = floor_to(meeting.from_ms, width_ms); at_ms <= meeting.until_ms;
         at_ms += width_ms)
        TRY(meet_in_bucket(&meeting, at_ms));
    return 0;
}

/* rows->value becomes what the last chunk is to be; *number: which it is. *is_more: it is a further
 * one, and chunk 0 is to say so. */
static int extend_last(struct within_rows *rows, int64_t bucket_ms, unsigned side, struct bytes key,
                       const struct within_kept *row, uint64_t *number, bool *is_more,
                       struct diag *diag)
{
    struct bytes first, last, rest;
    uint64_t count;
    TRY(get_chunk(rows, bucket_ms, side, 0, key, &first, diag));
    buf_clear(&rows->value);
    *number = 0;
    *is_more = false;
    if (first.data == NULL) {
        buf_uvarint(&rows->value, 1);
        put_kept(&rows->value, row);
        return 0;
    }
    rest = first;
    if (take_uvarint(&rest, &count) < 0 || count == 0)
        return damaged(diag);
    *number = count - 1;
    TRY(get_chunk(rows, bucket_ms, side, *number, key, &last, diag));
    if (last.data == NULL)
        return damaged(diag);
    *is_more = last.size >= CHUNK_BYTES;
    if (*is_more)
        *number = count;
    else
        buf_append_bytes(&rows->value, last);
    put_kept(&rows->value, row);
    return 0;
}

/* Chunk 0 says how many there are. */
static int count_chunks(struct within_rows *rows, int64_t bucket_ms, unsigned side,
                        struct bytes key, uint64_t count, struct diag *diag)
{
    struct bytes first;
    uint64_t before;
    TRY(get_chunk(rows, bucket_ms, side, 0, key, &first, diag));
    if (take_uvarint(&first, &before) < 0)
        return damaged(diag);
    buf_clear(&rows->value);
    buf_uvarint(&rows->value, count);
    buf_append_bytes(&rows->value, first);
    if (!buf_ok(&rows->value))
        return ERR_NOMEM;
    return put_chunk(rows, bucket_ms, side, 0, key, bytes_of(rows->value.data, rows->value.size),
                     diag);
}

int within_rows_add(struct within_rows *rows, unsigned side, struct bytes key,
                    const struct within_kept *row, struct diag *diag)
{
    int64_t bucket_ms = bucket_of(rows->params, side, row->time_ms);
    uint64_t number;
    bool is_more;
    TRY(extend_last(rows, bucket_ms, side, key, row, &number, &is_more, diag));
    if (!buf_ok(&rows->value))
        return ERR_NOMEM;
    TRY(put_chunk(rows, bucket_ms, side, number, key, bytes_of(rows->value.data, rows->value.size),
                  diag));
    return is_more ? count_chunks(rows, bucket_ms, side, key, number + 1, diag) : 0;
}

/* ---- rows that go ---- */

struct leaving {
    int (*each)(void *context, struct bytes key, const struct within_kept *kept);
    void *context;
    struct diag *diag;
};

static int leave(void *context, int64_t bucket_ms, struct bytes key, struct bytes value)
{
    struct leaving *leaving = context;
    uint8_t side;
    uint64_t chunk, chunks;
    (void)bucket_ms;
    if (take_u8(&key, &side) < 0 || take_uvarint(&key, &chunk) < 0 ||
        (chunk == 0 && take_uvarint(&value, &chunks) < 0))
        return damaged(leaving->diag);
    while (side == WITHIN_LEFT && value.size > 0) {
        struct within_kept kept;
        if (take_kept(&value, &kept) < 0)
            return damaged(leaving->diag);
        if (!kept.is_matched)
            TRY(leaving->each(leaving->context, key, &kept));
    }
    return 0;
}

int within_rows_expire(struct within_rows *rows, int64_t watermark_ms,
                       int (*each)(void *context, struct bytes key, const struct within_kept *kept),
                       void *context, struct diag *diag)
{
    struct leaving leaving = {each, context, diag};
    bool is_told = rows->params->keeps_unmatched;
    return row_table_expire(rows->table, watermark_ms - within_bucket_ms(rows->params) + 1,
                            EXPIRE_CHUNKS, is_told ? leave : NULL, &leaving, diag);
}
