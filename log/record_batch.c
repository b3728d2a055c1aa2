/* record_batch.c: record batches v2, decoder and encoder side by side. The batch's byte table is in
 * the header; a record is
 *
 *   varint  length of what follows          varint  key length, -1 null; key
 *   i8      attributes, unused              varint  value length, -1 null; value
 *   varlong timestamp - base_timestamp      varint  header count; of each: varint key length, key,
 *   varint  offset - base_offset                    varint value length, -1 null; value
 *
 * Varints are zigzag LEB128. Every batch may come from a stranger, so lengths are checked against
 * the bytes that are there before anything is believed; a count is believed only up to one record
 * per RECORD_MIN_BYTES.
 *
 * record_reader_next runs once per record of every job. Two things make it fast: while the rest of
 * the batch is long enough for the longest possible varints, they are read without asking for the
 * end each time, one compare per byte; only the tail of a batch, or a record whose fields run up to
 * it, takes the checked way. And nothing is copied: the record points into the plain bytes. Offsets
 * and timestamps add without overflow traps (unsigned), because the deltas are foreign.
 *
 * Relies on crc32c of base/hash.h and on compress.h. */
#include "log/record_batch.h"

#include "runtime/base/hash.h"

enum {
    AT_BATCH_LENGTH = 8,
    AT_LEADER_EPOCH = 12,
    AT_MAGIC = 16,
    AT_CRC = 17,
    AT_ATTRIBUTES = 21, /* the CRC covers from here to the end */
    AT_LAST_OFFSET_DELTA = 23,
    AT_BASE_TIMESTAMP = 27,
    AT_MAX_TIMESTAMP = 35,
    AT_PRODUCER_ID = 43,
    AT_PRODUCER_EPOCH = 51,
    AT_BASE_SEQUENCE = 53,
    AT_RECORD_COUNT = 57,

    MAGIC = 2,
    RECORD_MIN_BYTES = 7, /* seven fields of one byte */
    HEADER_MIN_BYTES = 2,
    VARINT_MAX_BYTES = 10,
    BUILDER_LIMIT_BYTES = 1 << 30,
    CONTROL_ABORT = 0,
    CONTROL_COMMIT = 1,
};

#define likely(condition) __builtin_expect(!!(condition), 1)

/* ---- the batch header ---- */

static int check_sizes(struct bytes in, const struct batch_header *h, struct diag *diag)
{
    if (h->base_offset < 0 || h->last_offset_delta < 0 ||
        h->base_offset > INT64_MAX - 1 - h->last_offset_delta)
        return diag_set(diag, ERR_CORRUPT, "batch at offset %lld has last offset delta %d",
                        (long long)h->base_offset, h->last_offset_delta);
    /* Compaction leaves fewer records than offsets, never more. */
    if (h->record_count < 0 || h->record_count > (int64_t)h->last_offset_delta + 1)
        return diag_set(diag, ERR_CORRUPT, "batch at offset %lld: %d records for %lld offsets",
                        (long long)h->base_offset, h->record_count,
                        (long long)h->last_offset_delta + 1);
    if ((h->attributes & BATCH_ATTR_CODEC) == CODEC_NONE &&
        h->record_count > (h->size_bytes - BATCH_HEADER_BYTES) / RECORD_MIN_BYTES)
        return diag_set(diag, ERR_CORRUPT, "batch at offset %lld: %d records in %d bytes",
                        (long long)h->base_offset, h->record_count, h->size_bytes);
    if ((size_t)h->size_bytes > in.size)
        return diag_set(diag, ERR_RANGE, "batch at offset %lld ends after %zu of %d bytes",
                        (long long)h->base_offset, in.size, h->size_bytes);
    return 0;
}

int batch_parse_header(struct bytes in, struct batch_header *header, struct diag *diag)
{
    const uint8_t *p = in.data;
    if (in.size < BATCH_OVERHEAD_BYTES)
        return diag_set(diag, ERR_RANGE, "batch header ends after %zu bytes", in.size);
    int32_t length = (int32_t)load_be32(p + AT_BATCH_LENGTH);
    if (length < BATCH_HEADER_BYTES - BATCH_OVERHEAD_BYTES ||
        length > INT32_MAX - BATCH_OVERHEAD_BYTES)
        return diag_set(diag, ERR_CORRUPT, "batch length %d is not possible", length);
    if (in.size > AT_MAGIC && p[AT_MAGIC] != MAGIC)
        return diag_set(diag, ERR_CORRUPT, "batch format %u instead of 2", p[AT_MAGIC]);
    if (in.size < BATCH_HEADER_BYTES)
        return diag_set(diag, ERR_RANGE, "batch header ends after %zu bytes", in.size);
    *header = (struct batch_header){
        .base_offset = (int64_t)load_be64(p),
        .size_bytes = length + BATCH_OVERHEAD_BYTES,
        .leader_epoch = (int32_t)load_be32(p + AT_LEADER_EPOCH),
        .crc = load_be32(p + AT_CRC),
        .attributes = load_be16(p + AT_ATTRIBUTES),
        .last_offset_delta = (int32_t)load_be32(p + AT_LAST_OFFSET_DELTA),
        .base_timestamp_ms = (int64_t)load_be64(p + AT_BASE_TIMESTAMP),
        .max_timestamp_ms = (int64_t)load_be64(p + AT_MAX_TIMESTAMP),
        .producer_id = (int64_t)load_be64(p + AT_PRODUCER_ID),
        .producer_epoch = (int16_t)load_be16(p + AT_PRODUCER_EPOCH),
        .base_sequence = (int32_t)load_be32(p + AT_BASE_SEQUENCE),
        .record_count = (int32_t)load_be32(p + AT_RECORD_COUNT),
    };
    return check_sizes(in, header, diag);
}

/* The size that a batch's own length field says, for batches whose header was parsed. */
static size_t batch_size(const uint8_t *batch)
{
    return (size_t)load_be32(batch + AT_BATCH_LENGTH) + BATCH_OVERHEAD_BYTES;
}

static uint32_t batch_crc(const uint8_t *batch, size_t size)
{
    return crc32c(batch + AT_ATTRIBUTES, size - AT_ATTRIBUTES);
}

int batch_check_crc(struct bytes batch, struct diag *diag)
{
    must(batch.size >= BATCH_HEADER_BYTES && batch_size(batch.data) <= batch.size);
    uint32_t stored = load_be32(batch.data + AT_CRC);
    uint32_t computed = batch_crc(batch.data, batch_size(batch.data));
    if (stored == computed)
        return 0;
    return diag_set(diag, ERR_CORRUPT, "batch at offset %lld: CRC is %08x, the bytes give %08x",
                    (long long)load_be64(batch.data), stored, computed);
}

void batch_set_base(uint8_t *batch, int64_t base_offset, int32_t leader_epoch)
{
    store_be64(batch, (uint64_t)base_offset);
    store_be32(batch + AT_LEADER_EPOCH, (uint32_t)leader_epoch);
}

void batch_set_producer(uint8_t *batch, int64_t producer_id, int16_t epoch, int32_t base_sequence,
                        bool transactional)
{
    uint16_t attributes = load_be16(batch + AT_ATTRIBUTES);
    attributes = (uint16_t)(transactional ? attributes | BATCH_ATTR_TRANSACTIONAL
                                          : attributes & ~BATCH_ATTR_TRANSACTIONAL);
    store_be16(batch + AT_ATTRIBUTES, attributes);
    store_be64(batch + AT_PRODUCER_ID, (uint64_t)producer_id);
    store_be16(batch + AT_PRODUCER_EPOCH, (uint16_t)epoch);
    store_be32(batch + AT_BASE_SEQUENCE, (uint32_t)base_sequence);
    store_be32(batch + AT_CRC, batch_crc(batch, batch_size(batch)));
}

void batch_set_time(uint8_t *batch, bool log_append_time, int64_t max_timestamp_ms)
{
    uint16_t attributes = load_be16(batch + AT_ATTRIBUTES);
    attributes = (uint16_t)(log_append_time ? attributes | BATCH_ATTR_LOG_APPEND_TIME
                                            : attributes & ~BATCH_ATTR_LOG_APPEND_TIME);
    store_be16(batch + AT_ATTRIBUTES, attributes);
    store_be64(batch + AT_MAX_TIMESTAMP, (uint64_t)max_timestamp_ms);
    store_be32(batch + AT_CRC, batch_crc(batch, batch_size(batch)));
}

int batch_recode(struct bytes batch, struct bytes records, enum codec codec, struct buf *out)
{
    must(batch.size >= BATCH_HEADER_BYTES);
    buf_clear(out);
    buf_append(out, batch.data, BATCH_HEADER_BYTES);
    if (!buf_ok(out))
        return ERR_NOMEM;
    TRY(codec_compress(codec, records, out));
    if (out->size > INT32_MAX)
        return ERR_TOO_LARGE;
    uint16_t attributes = load_be16(out->data + AT_ATTRIBUTES);
    attributes = (uint16_t)((attributes & ~BATCH_ATTR_CODEC) | (int)codec);
    store_be16(out->data + AT_ATTRIBUTES, attributes);
    store_be32(out->data + AT_BATCH_LENGTH, (uint32_t)out->size - BATCH_OVERHEAD_BYTES);
    store_be32(out->data + AT_CRC, batch_crc(out->data, out->size));
    return 0;
}

/* ---- reading records ---- */

int record_reader_open(struct record_reader *reader, struct bytes batch, size_t limit_bytes,
                       struct buf *plain, struct diag *diag)
{
    struct batch_header *h = &reader->header;
    TRY(batch_parse_header(batch, h, diag));
    reader->index = 0;
    reader->rest =
        bytes_of(batch.data + BATCH_HEADER_BYTES, (size_t)h->size_bytes - BATCH_HEADER_BYTES);
    int codec = h->attributes & BATCH_ATTR_CODEC;
    /* A batch that compaction emptied may keep its codec bits and has nothing to decode. */
    if (codec == CODEC_NONE || (h->record_count == 0 && reader->rest.size == 0))
        return 0;
    buf_clear(plain);
    int rc = codec_decompress((enum codec)codec, reader->rest, limit_bytes, plain);
    if (rc < 0)
        return diag_set(diag, rc, "batch at offset %lld: records (%s, %zu bytes): %s",
                        (long long)h->base_offset, codec_name(codec), reader->rest.size,
                        error_text(rc));
    reader->rest = bytes_of(plain->data, plain->size);
    if ((size_t)h->record_count > plain->size / RECORD_MIN_BYTES)
        return diag_set(diag, ERR_CORRUPT, "batch at offset %lld: %d records in %zu plain bytes",
                        (long long)h->base_offset, h->record_count, plain->size);
    return 0;
}

static inline int64_t unzigzag(uint64_t value)
{
    return (int64_t)((value >> 1) ^ (~(value & 1) + 1));
}

/* A varint of three and more bytes; NULL when it does not end. The caller made sure of
 * VARINT_MAX_BYTES. */
static __attribute__((noinline)) const uint8_t *long_varint(const uint8_t *p, int64_t *value)
{
    struct bytes in = bytes_of(p, VARINT_MAX_BYTES);
    return take_varint(&in, value) == 0 ? in.data : NULL;
}

/* A varint where VARINT_MAX_BYTES are known to be readable. */
static inline const uint8_t *fast_varint(const uint8_t *p, int64_t *value)
{
    uint32_t low = p[0];
    if (likely(low < 0x80)) {
        *value = unzigzag(low);
        return p + 1;
    }
    uint32_t high = p[1];
    if (likely(high < 0x80)) {
        *value = unzigzag((low & 0x7f) | high << 7);
        return p + 2;
    }
    return long_varint(p, value);
}

/* The fields of one record before they are made absolute. */
struct raw_record {
    int64_t timestamp_delta, offset_delta, key_size, value_size, header_count;
    const uint8_t *key, *value, *headers, *end;
};

/* Reads one record's fields at p where no varint can run past limit; lengths are checked by the
 * caller's finish_record. Returns false when the record is broken or too near the end to be read
 * this way. */
static inline bool fast_fields(const uint8_t *p, const uint8_t *limit, struct raw_record *raw)
{
    int64_t size;
    if ((size_t)(limit - p) < 1 + 4 * VARINT_MAX_BYTES)
        return false;
    if ((p = fast_varint(p, &size)) == NULL || (uint64_t)size > (uint64_t)(limit - p))
        return false;
    raw->end = p + size;
    p++; /* attributes */
    if ((p = fast_varint(p, &raw->timestamp_delta)) == NULL ||
        (p = fast_varint(p, &raw->offset_delta)) == NULL ||
        (p = fast_varint(p, &raw->key_size)) == NULL)
        return false;
    raw->key = p;
    if (raw->key_size > 0) {
        if (raw->key_size > limit - p - VARINT_MAX_BYTES)
            return false;
        p += raw->key_size;
    } else if (limit - p < VARINT_MAX_BYTES) {
        return false;
    }
    if ((p = fast_varint(p, &raw->value_size)) == NULL)
        return false;
    raw->value = p;
    if (raw->value_size > 0) {
        if (raw->value_size > limit - p - VARINT_MAX_BYTES)
            return false;
        p += raw->value_size;
    } else if (limit - p < VARINT_MAX_BYTES) {
        return false;
    }
    raw->headers = fast_varint(p, &raw->header_count);
    return raw->headers != NULL;
}

/* A nullable field of a given length off the front of in. */
static int take_field(struct bytes *in, int64_t *size, const uint8_t **data)
{
    struct bytes field;
    TRY(take_varint(in, size));
    if (*size < -1)
        return ERR_CORRUPT;
    *data = in->data;
    return *size > 0 ? take_bytes(in, (size_t)*size, &field) : 0;
}

/* The same fields with every read checked, for the tail of a batch and for broken records. */
static __attribute__((noinline)) int checked_fields(struct bytes in, struct raw_record *raw)
{
    struct bytes body;
    int64_t size;
    uint8_t attributes;
    TRY(take_varint(&in, &size));
    if (size < 0)
        return ERR_CORRUPT;
    TRY(take_bytes(&in, (size_t)size, &body));
    raw->end = body.data + body.size;
    TRY(take_u8(&body, &attributes));
    TRY(take_varint(&body, &raw->timestamp_delta));
    TRY(take_varint(&body, &raw->offset_delta));
    TRY(take_field(&body, &raw->key_size, &raw->key));
    TRY(take_field(&body, &raw->value_size, &raw->value));
    TRY(take_varint(&body, &raw->header_count));
    raw->headers = body.data;
    return 0;
}

static inline struct bytes nullable(const uint8_t *data, int64_t size)
{
    return size >= 0 ? bytes_of(data, (size_t)size) : bytes_of(NULL, 0);
}

int header_take(struct bytes *headers, struct header *header)
{
    struct bytes in = *headers;
    int64_t key_size, value_size;
    const uint8_t *key, *value;
    TRY(take_field(&in, &key_size, &key));
    if (key_size < 0)
        return ERR_CORRUPT; /* a header's key is never null */
    TRY(take_field(&in, &value_size, &value));
    header->key = bytes_of(key, (size_t)key_size);
    header->value = nullable(value, value_size);
    *headers = in;
    return 0;
}

/* Readers of headers count on header_take's success. */
static __attribute__((noinline)) bool headers_are_whole(const struct raw_record *raw)
{
    struct bytes headers = bytes_of(raw->headers, (size_t)(raw->end - raw->headers));
    struct header header;
    for (int64_t i = 0; i < raw->header_count; i++)
        if (header_take(&headers, &header) < 0)
            return false;
    return headers.size == 0;
}

/* Whether the fields lie inside their record and make sense. */
static inline bool fields_fit(const struct raw_record *raw, int32_t last_offset_delta)
{
    if (raw->headers > raw->end || raw->key_size < -1 || raw->value_size < -1 ||
        (uint64_t)raw->offset_delta > (uint64_t)last_offset_delta)
        return false;
    size_t header_bytes = (size_t)(raw->end - raw->headers);
    if (likely(raw->header_count == 0))
        return header_bytes == 0;
    return raw->header_count > 0 &&
           (uint64_t)raw->header_count <= header_bytes / HEADER_MIN_BYTES && headers_are_whole(raw);
}

int record_reader_next(struct record_reader *reader, struct record *record)
{
    const struct batch_header *h = &reader->header;
    if (reader->index >= h->record_count)
        return reader->rest.size == 0 ? 0 : ERR_CORRUPT;
    const uint8_t *limit = reader->rest.data + reader->rest.size;
    struct raw_record raw;
    if (!likely(fast_fields(reader->rest.data, limit, &raw)))
        TRY(checked_fields(reader->rest, &raw));
    if (!likely(fields_fit(&raw, h->last_offset_delta)))
        return ERR_CORRUPT;
    record->offset = h->base_offset + raw.offset_delta;
    record->timestamp_ms =
        likely((h->attributes & BATCH_ATTR_LOG_APPEND_TIME) == 0)
            ? (int64_t)((uint64_t)h->base_timestamp_ms + (uint64_t)raw.timestamp_delta)
            : h->max_timestamp_ms;
    record->key = nullable(raw.key, raw.key_size);
    record->value = nullable(raw.value, raw.value_size);
    record->headers = bytes_of(raw.headers, (size_t)(raw.end - raw.headers));
    record->header_count = (int32_t)raw.header_count;
    reader->rest = bytes_of(raw.end, (size_t)(limit - raw.end));
    reader->index++;
    return 1;
}

/* ---- validation of foreign batches ---- */

static int validate_record(const struct record_reader *reader, const struct record *record,
                           struct diag *diag)
{
    const struct batch_header *h = &reader->header;
    int64_t delta = record->offset - h->base_offset;
    if (delta != reader->index - 1)
        return diag_set(diag, ERR_CORRUPT, "record %d of the batch has offset delta %lld",
                        reader->index - 1, (long long)delta);
    /* The log's time index and its limit on future timestamps believe the batch's maximum. */
    if (record->timestamp_ms > h->max_timestamp_ms)
        return diag_set(diag, ERR_CORRUPT,
                        "record %lld of the batch has timestamp %lld, the batch says at most %lld",
                        (long long)delta, (long long)record->timestamp_ms,
                        (long long)h->max_timestamp_ms);
    return 0;
}

static int validate_header(struct bytes batch, const struct batch_header *h, struct diag *diag)
{
    if ((size_t)h->size_bytes != batch.size)
        return diag_set(diag, ERR_CORRUPT, "%zu bytes follow the batch",
                        batch.size - (size_t)h->size_bytes);
    if (h->record_count < 1 || h->record_count - 1 != h->last_offset_delta)
        return diag_set(diag, ERR_CORRUPT, "batch of %d records has last offset delta %d",
                        h->record_count, h->last_offset_delta);
    if ((h->attributes & BATCH_ATTR_CONTROL) != 0)
        return diag_set(diag, ERR_CORRUPT, "a producer may not send control batches");
    if (h->producer_id >= 0 && h->base_sequence < 0)
        return diag_set(diag, ERR_CORRUPT, "batch of producer %lld has sequence %d",
                        (long long)h->producer_id, h->base_sequence);
    return 0;
}

int batch_validate(struct bytes batch, size_t limit_bytes, struct buf *scratch, struct diag *diag)
{
    struct batch_header header;
    TRY(batch_parse_header(batch, &header, diag));
    TRY(validate_header(batch, &header, diag));
    TRY(batch_check_crc(batch, diag));
    struct record_reader reader;
    struct record record;
    TRY(record_reader_open(&reader, batch, limit_bytes, scratch, diag));
    int rc;
    while ((rc = record_reader_next(&reader, &record)) == 1)
        TRY(validate_record(&reader, &record, diag));
    if (rc < 0)
        return diag_set(diag, rc, "record %d of %d of the batch is broken", reader.index,
                        header.record_count);
    return 0;
}

/* ---- building ---- */

void batch_builder_init(struct batch_builder *builder, enum codec codec)
{
    *builder = (struct batch_builder){.codec = codec};
    buf_init(&builder->records, BUILDER_LIMIT_BYTES);
    buf_init(&builder->batch, 0);
    batch_builder_reset(builder);
}

void batch_builder_deinit(struct batch_builder *builder)
{
    buf_deinit(&builder->records);
    buf_deinit(&builder->batch);
}

void batch_builder_reset(struct batch_builder *builder)
{
    buf_clear(&builder->records);
    buf_clear(&builder->batch);
    builder->base_timestamp_ms = builder->max_timestamp_ms = 0;
    builder->record_count = 0;
}

static inline uint64_t zigzag(int64_t value)
{
    return ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
}

static inline size_t varint_bytes(int64_t value)
{
    unsigned bits = 64 - (unsigned)__builtin_clzll(zigzag(value) | 1);
    return (bits * 9 + 64) / 64; /* (bits + 6) / 7, for 1 to 64 bits */
}

static inline uint8_t *put_varint(uint8_t *at, int64_t value)
{
    uint64_t rest = zigzag(value);
    while (rest >= 0x80) {
        *at++ = (uint8_t)(rest | 0x80);
        rest >>= 7;
    }
    *at++ = (uint8_t)rest;
    return at;
}

static inline int64_t field_size(struct bytes field)
{
    return field.data != NULL ? (int64_t)field.size : -1;
}

static inline size_t field_bytes(struct bytes field)
{
    return varint_bytes(field_size(field)) + (field.data != NULL ? field.size : 0);
}

static inline uint8_t *put_bytes(uint8_t *at, struct bytes source)
{
    if (source.size > 0)
        memcpy(at, source.data, source.size);
    return at + source.size;
}

static inline uint8_t *put_field(uint8_t *at, struct bytes field)
{
    at = put_varint(at, field_size(field));
    return field.data != NULL ? put_bytes(at, field) : at;
}

int record_encode(struct buf *out, int64_t timestamp_delta, int32_t offset_delta, struct bytes key,
                  struct bytes value, struct bytes headers, int32_t header_count)
{
    must(header_count >= 0 && (header_count > 0 || headers.size == 0));
    if (key.size > BUILDER_LIMIT_BYTES || value.size > BUILDER_LIMIT_BYTES ||
        headers.size > BUILDER_LIMIT_BYTES)
        return ERR_TOO_LARGE;
    size_t size = 1 + varint_bytes(timestamp_delta) + varint_bytes(offset_delta) +
                  field_bytes(key) + field_bytes(value) + varint_bytes(header_count) + headers.size;
    size_t total = varint_bytes((int64_t)size) + size;
    if (out->size > BUILDER_LIMIT_BYTES || total > BUILDER_LIMIT_BYTES - out->size)
        return ERR_TOO_LARGE;
    uint8_t *at = buf_reserve(out, total);
    if (at == NULL) {
        out->failed = false; /* what was added before is whole and stays usable */
        return ERR_NOMEM;
    }
    at = put_varint(at, (int64_t)size);
    *at++ = 0;
    at = put_varint(at, timestamp_delta);
    at = put_varint(at, offset_delta);
    at = put_field(at, key);
    at = put_field(at, value);
    at = put_varint(at, header_count);
    at = put_bytes(at, headers);
    out->size += total;
    must(at == out->data + out->size);
    return 0;
}

int batch_builder_add(struct batch_builder *builder, int64_t timestamp_ms, struct bytes key,
                      struct bytes value, struct bytes headers, int32_t header_count)
{
    if (builder->record_count == INT32_MAX)
        return ERR_TOO_LARGE;
    int64_t base = builder->record_count == 0 ? timestamp_ms : builder->base_timestamp_ms;
    TRY(record_encode(&builder->records, (int64_t)((uint64_t)timestamp_ms - (uint64_t)base),
                      builder->record_count, key, value, headers, header_count));
    if (builder->record_count == 0)
        builder->base_timestamp_ms = builder->max_timestamp_ms = timestamp_ms;
    builder->record_count++;
    if (timestamp_ms > builder->max_timestamp_ms)
        builder->max_timestamp_ms = timestamp_ms;
    return 0;
}

/* Writes a whole header in front of the records that already follow it, CRC last. */
static void put_header(uint8_t *batch, const struct batch_header *h)
{
    store_be64(batch, (uint64_t)h->base_offset);
    store_be32(batch + AT_BATCH_LENGTH, (uint32_t)h->size_bytes - BATCH_OVERHEAD_BYTES);
    store_be32(batch + AT_LEADER_EPOCH, (uint32_t)h->leader_epoch);
    batch[AT_MAGIC] = MAGIC;
    store_be16(batch + AT_ATTRIBUTES, h->attributes);
    store_be32(batch + AT_LAST_OFFSET_DELTA, (uint32_t)h->last_offset_delta);
    store_be64(batch + AT_BASE_TIMESTAMP, (uint64_t)h->base_timestamp_ms);
    store_be64(batch + AT_MAX_TIMESTAMP, (uint64_t)h->max_timestamp_ms);
    store_be64(batch + AT_PRODUCER_ID, (uint64_t)h->producer_id);
    store_be16(batch + AT_PRODUCER_EPOCH, (uint16_t)h->producer_epoch);
    store_be32(batch + AT_BASE_SEQUENCE, (uint32_t)h->base_sequence);
    store_be32(batch + AT_RECORD_COUNT, (uint32_t)h->record_count);
    store_be32(batch + AT_CRC, batch_crc(batch, (size_t)h->size_bytes));
}

/* Appends the records, compressed when that makes them smaller: the codec used, or an error. */
static int pack_records(enum codec codec, bool fast, struct bytes records, struct buf *out)
{
    size_t before = out->size;
    if (codec != CODEC_NONE && records.size > 0) {
        TRY(fast ? codec_compress_fast(codec, records, out) : codec_compress(codec, records, out));
        if (out->size - before < records.size)
            return (int)codec;
        out->size = before;
    }
    buf_append_bytes(out, records);
    return buf_ok(out) ? CODEC_NONE : ERR_NOMEM;
}

static int assemble(const struct batch_header *header, bool fast, struct bytes records,
                    struct buf *out)
{
    size_t begin = out->size;
    if (buf_reserve(out, BATCH_HEADER_BYTES) == NULL)
        return ERR_NOMEM;
    out->size += BATCH_HEADER_BYTES;
    int codec = pack_records(header->attributes & BATCH_ATTR_CODEC, fast, records, out);
    if (codec >= 0 && out->size - begin > INT32_MAX - BATCH_OVERHEAD_BYTES)
        codec = ERR_TOO_LARGE;
    if (codec < 0) {
        out->size = begin;
        return codec;
    }
    struct batch_header whole = *header;
    whole.size_bytes = (int32_t)(out->size - begin);
    whole.attributes = (uint16_t)((header->attributes & ~BATCH_ATTR_CODEC) | codec);
    put_header(out->data + begin, &whole);
    return 0;
}

int batch_assemble(const struct batch_header *header, struct bytes records, struct buf *out)
{
    return assemble(header, false, records, out);
}

int batch_builder_finish_to(const struct batch_builder *builder, struct buf *out)
{
    if (builder->record_count == 0)
        return ERR_STATE;
    struct batch_header header = {
        .attributes = (uint16_t)builder->codec,
        .last_offset_delta = builder->record_count - 1,
        .base_timestamp_ms = builder->base_timestamp_ms,
        .max_timestamp_ms = builder->max_timestamp_ms,
        .producer_id = -1,
        .producer_epoch = -1,
        .base_sequence = -1,
        .record_count = builder->record_count,
    };
    return assemble(&header, builder->is_fast,
                    bytes_of(builder->records.data, builder->records.size), out);
}

int batch_builder_finish(struct batch_builder *builder, struct bytes *batch)
{
    buf_clear(&builder->batch);
    TRY(batch_builder_finish_to(builder, &builder->batch));
    *batch = bytes_of(builder->batch.data, builder->batch.size);
    return 0;
}

void headers_add(struct buf *out, const char *key, struct bytes value)
{
    struct bytes name = bytes_text(key);
    uint8_t *at = buf_reserve(out, field_bytes(name) + field_bytes(value));
    if (at == NULL)
        return;
    at = put_field(at, name);
    at = put_field(at, value);
    out->size = (size_t)(at - out->data);
}

/* ---- control batches ---- */

enum { CONTROL_BATCH_BYTES = 78 };

void control_batch_encode(bool commit, int64_t producer_id, int16_t producer_epoch,
                          int32_t coordinator_epoch, int64_t timestamp_ms, uint8_t out[78])
{
    uint8_t key[4], value[6];
    store_be16(key, 0);
    store_be16(key + 2, commit ? CONTROL_COMMIT : CONTROL_ABORT);
    store_be16(value, 0);
    store_be32(value + 2, (uint32_t)coordinator_epoch);
    uint8_t *at = out + BATCH_HEADER_BYTES;
    at = put_varint(at, CONTROL_BATCH_BYTES - BATCH_HEADER_BYTES - 1);
    *at++ = 0;
    at = put_varint(at, 0); /* timestamp delta */
    at = put_varint(at, 0); /* offset delta */
    at = put_field(at, bytes_of(key, sizeof key));
    at = put_field(at, bytes_of(value, sizeof value));
    at = put_varint(at, 0); /* headers */
    must(at == out + CONTROL_BATCH_BYTES);
    struct batch_header header = {
        .size_bytes = CONTROL_BATCH_BYTES,
        .attributes = BATCH_ATTR_TRANSACTIONAL | BATCH_ATTR_CONTROL,
        .base_timestamp_ms = timestamp_ms,
        .max_timestamp_ms = timestamp_ms,
        .producer_id = producer_id,
        .producer_epoch = producer_epoch,
        .base_sequence = -1,
        .record_count = 1,
    };
    put_header(out, &header);
}

int control_batch_decode(struct bytes batch)
{
    struct batch_header header = {0}; /* gcc does not see that batch_parse_header fills it */
    struct record_reader reader;
    struct record record;
    TRY(batch_parse_header(batch, &header, NULL));
    if ((header.attributes & BATCH_ATTR_CONTROL) == 0 ||
        (header.attributes & BATCH_ATTR_CODEC) != CODEC_NONE)
        return ERR_CORRUPT; /* markers are never compressed */
    TRY(record_reader_open(&reader, batch, 0, NULL, NULL));
    if (record_reader_next(&reader, &record) != 1 || record.key.size < 4)
        return ERR_CORRUPT;
    uint16_t type = load_be16(record.key.data + 2);
    return type == CONTROL_COMMIT || type == CONTROL_ABORT ? type : ERR_CORRUPT;
}
