/* test_record_batch.c: batches against bytes that Kafka's own classes made, against a naive encoder
 * and decoder that read one byte at a time, and against everything a hostile sender can put into
 * them: truncation, flipped bits, counts and lengths that lie. Foreign bytes are given to the
 * reader in memory of exactly their size, so that AddressSanitizer sees a read past the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "log/record_batch.h"
#include "runtime/base/hash.h"

/* Kafka 3.9's MemoryRecords: {k=v, header h=x}, {null=w}. */
static const char two_records_hex[] =
    "000000000000000000000046ffffffff027a79b0760000000000010000018bcfe568000000018bcfe56805ffffffff"
    "ff"
    "ffffffffffffffffff0000000218000000026b027602026802780e000a0201027700";
/* Kafka 3.9: COMMIT, offset 111, producer 4000, epoch 2, coordinator epoch 7. */
static const char commit_hex[] = "000000000000006f000000420000000002e3e276810030000000000000018bcfe"
                                 "568000000018bcfe568000000000000"
                                 "000fa00002ffffffff000000012000000008000000010c00000000000700";
#define BASE_TIME INT64_C(1700000000000)

static uint64_t random_state = 0x2545F4914F6CDD1Du;

static uint64_t random_u64(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static size_t random_below(size_t bound)
{
    return (size_t)(random_u64() % bound);
}

/* malloc'ed, exactly sized. */
static uint8_t *from_hex(const char *hex, size_t *size)
{
    *size = strlen(hex) / 2;
    uint8_t *bytes = malloc(*size);
    for (size_t i = 0; i < *size; i++) {
        unsigned value;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &value), 1);
        bytes[i] = (uint8_t)value;
    }
    return bytes;
}

static uint8_t *exact_copy(struct bytes source)
{
    uint8_t *copy = malloc(source.size + (source.size == 0));
    memcpy(copy, source.data, source.size);
    return copy;
}

static void fix_crc(uint8_t *batch, size_t size)
{
    store_be32(batch + 17, crc32c(batch + 21, size - 21));
}

/* ---- a naive decoder ---- */

struct naive {
    const uint8_t *bytes;
    size_t size, at;
    bool failed;
};

static unsigned naive_byte(struct naive *in)
{
    if (in->failed || in->at >= in->size) {
        in->failed = true;
        return 0;
    }
    return in->bytes[in->at++];
}

static int64_t naive_varint(struct naive *in)
{
    uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
        unsigned byte = naive_byte(in);
        if (shift > 63 || (shift == 63 && byte > 1))
            in->failed = true;
        if (in->failed)
            return 0;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            break;
    }
    return (value & 1) != 0 ? -(int64_t)(value >> 1) - 1 : (int64_t)(value >> 1);
}

static struct bytes naive_field(struct naive *in)
{
    int64_t size = naive_varint(in);
    if (size == -1)
        return bytes_of(NULL, 0);
    if (size < 0 || in->failed || (uint64_t)size > in->size - in->at) {
        in->failed = true;
        return bytes_of(NULL, 0);
    }
    struct bytes field = bytes_of(in->bytes + in->at, (size_t)size);
    in->at += (size_t)size;
    return field;
}

/* One record at in; false when it is broken. */
static bool naive_record(struct naive *in, const struct batch_header *h, struct record *record)
{
    struct bytes body = naive_field(in);
    if (in->failed || body.data == NULL)
        return false;
    struct naive fields = {.bytes = body.data, .size = body.size};
    (void)naive_byte(&fields);
    uint64_t timestamp_delta = (uint64_t)naive_varint(&fields);
    int64_t offset_delta = naive_varint(&fields);
    record->key = naive_field(&fields);
    record->value = naive_field(&fields);
    int64_t count = naive_varint(&fields);
    size_t rest = fields.size - fields.at;
    if (fields.failed || offset_delta < 0 || offset_delta > h->last_offset_delta || count < 0 ||
        (uint64_t)count > rest / 2)
        return false;
    struct naive headers = {.bytes = body.data + fields.at, .size = rest};
    for (int64_t i = 0; i < count; i++) {
        if (naive_field(&headers).data == NULL)
            headers.failed = true; /* a header's key is never null */
        (void)naive_field(&headers);
    }
    if (headers.failed || headers.at != headers.size)
        return false;
    record->offset = h->base_offset + offset_delta;
    record->timestamp_ms = (h->attributes & BATCH_ATTR_LOG_APPEND_TIME) != 0
                               ? h->max_timestamp_ms
                               : (int64_t)((uint64_t)h->base_timestamp_ms + timestamp_delta);
    record->header_count = (int32_t)count;
    record->headers = bytes_of(body.data + fields.at, rest);
    return true;
}

static void expect_same_record(const struct record *a, const struct record *b)
{
    assert_true(a->offset == b->offset && a->timestamp_ms == b->timestamp_ms);
    assert_true(bytes_equal(a->key, b->key) && bytes_equal(a->value, b->value));
    assert_true(a->header_count == b->header_count && bytes_equal(a->headers, b->headers));
}

/* Reads an uncompressed batch with both decoders and expects the same records and the same end. */
static void expect_decoders_agree(struct bytes batch)
{
    struct record_reader reader;
    struct buf plain = {0};
    if (record_reader_open(&reader, batch, BATCH_PLAIN_LIMIT_BYTES, &plain, NULL) < 0)
        return;
    struct naive in = {.bytes = reader.rest.data, .size = reader.rest.size};
    struct record record, expected;
    for (int32_t i = 0;; i++) {
        int rc = record_reader_next(&reader, &record);
        if (i == reader.header.record_count) {
            assert_int_equal(rc, in.at == in.size ? 0 : ERR_CORRUPT);
            break;
        }
        bool good = naive_record(&in, &reader.header, &expected);
        assert_int_equal(rc, good ? 1 : ERR_CORRUPT);
        if (!good)
            break;
        expect_same_record(&record, &expected);
    }
    buf_deinit(&plain);
}

/* ---- vectors ---- */

static void kafkas_bytes_are_read(void **state)
{
    (void)state;
    size_t size;
    uint8_t *bytes = from_hex(two_records_hex, &size);
    struct bytes batch = bytes_of(bytes, size);
    struct batch_header h;
    struct diag diag = {0};
    assert_int_equal(size, 82);
    assert_int_equal(batch_parse_header(batch, &h, &diag), 0);
    assert_int_equal(batch_check_crc(batch, &diag), 0);
    assert_true(h.base_offset == 0 && h.size_bytes == 82 && h.leader_epoch == -1);
    assert_true(h.crc == 0x7a79b076 && h.attributes == 0 && h.last_offset_delta == 1);
    assert_true(h.base_timestamp_ms == BASE_TIME && h.max_timestamp_ms == BASE_TIME + 5);
    assert_true(h.producer_id == -1 && h.producer_epoch == -1 && h.base_sequence == -1);
    assert_int_equal(h.record_count, 2);
    assert_int_equal(batch_last_offset(&h), 1);

    struct record_reader reader;
    struct record record;
    struct header header;
    assert_int_equal(record_reader_open(&reader, batch, 1000, NULL, &diag), 0);
    assert_int_equal(record_reader_next(&reader, &record), 1);
    assert_true(record.offset == 0 && record.timestamp_ms == BASE_TIME);
    assert_true(bytes_equal(record.key, bytes_text("k")));
    assert_true(bytes_equal(record.value, bytes_text("v")));
    assert_int_equal(record.header_count, 1);
    assert_int_equal(header_take(&record.headers, &header), 0);
    assert_true(bytes_equal(header.key, bytes_text("h")));
    assert_true(bytes_equal(header.value, bytes_text("x")));
    assert_int_equal(record.headers.size, 0);
    assert_int_equal(header_take(&record.headers, &header), ERR_CORRUPT);
    assert_int_equal(record_reader_next(&reader, &record), 1);
    assert_true(record.offset == 1 && record.timestamp_ms == BASE_TIME + 5);
    assert_null(record.key.data);
    assert_true(bytes_equal(record.value, bytes_text("w")));
    assert_int_equal(record.header_count, 0);
    assert_int_equal(record_reader_next(&reader, &record), 0);
    assert_int_equal(record_reader_next(&reader, &record), 0);

    struct buf scratch = {0};
    assert_int_equal(batch_validate(batch, 1000, &scratch, &diag), 0);
    buf_deinit(&scratch);
    free(bytes);
}

static void kafkas_bytes_are_written(void **state)
{
    (void)state;
    size_t size;
    uint8_t *expected = from_hex(two_records_hex, &size);
    struct batch_builder builder;
    struct buf headers = {0};
    struct bytes batch;
    batch_builder_init(&builder, CODEC_NONE);
    headers_add(&headers, "h", bytes_text("x"));
    assert_int_equal(batch_builder_add(&builder, BASE_TIME, bytes_text("k"), bytes_text("v"),
                                       bytes_of(headers.data, headers.size), 1),
                     0);
    assert_int_equal(batch_builder_add(&builder, BASE_TIME + 5, bytes_of(NULL, 0), bytes_text("w"),
                                       bytes_of(NULL, 0), 0),
                     0);
    assert_int_equal(batch_builder_bytes(&builder), size - BATCH_HEADER_BYTES);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(batch_builder_finish(&builder, &batch), 0);
        batch_set_base(builder.batch.data, 0, -1);
        assert_int_equal(batch.size, size);
        assert_memory_equal(batch.data, expected, size);
    }
    batch_builder_deinit(&builder);
    buf_deinit(&headers);
    free(expected);
}

static void kafkas_commit_marker(void **state)
{
    (void)state;
    size_t size;
    uint8_t *expected = from_hex(commit_hex, &size);
    uint8_t marker[78];
    assert_int_equal(size, 78);
    control_batch_encode(true, 4000, 2, 7, BASE_TIME, marker);
    batch_set_base(marker, 111, 0);
    assert_memory_equal(marker, expected, 78);
    assert_int_equal(control_batch_decode(bytes_of(expected, 78)), 1);
    control_batch_encode(false, 4000, 2, 7, BASE_TIME, marker);
    assert_int_equal(control_batch_decode(bytes_of(marker, 78)), 0);
    assert_int_equal(batch_check_crc(bytes_of(marker, 78), NULL), 0);

    for (size_t cut = 0; cut < 78; cut++) {
        uint8_t *copy = exact_copy(bytes_of(marker, cut));
        assert_true(control_batch_decode(bytes_of(copy, cut)) < 0);
        free(copy);
    }
    marker[61 + 5 + 3] = 2; /* a type that does not exist */
    assert_int_equal(control_batch_decode(bytes_of(marker, 78)), ERR_CORRUPT);
    marker[61 + 5 + 3] = 1;
    assert_int_equal(control_batch_decode(bytes_of(marker, 78)), 1);
    marker[22] = 0x10; /* not a control batch */
    assert_int_equal(control_batch_decode(bytes_of(marker, 78)), ERR_CORRUPT);
    marker[22] = 0x33; /* compressed */
    assert_int_equal(control_batch_decode(bytes_of(marker, 78)), ERR_CORRUPT);
    free(expected);
}

/* ---- round trips ---- */

enum { MODEL_RECORDS = 400, MODEL_BYTES = 700 };

struct model {
    int64_t timestamp_ms;
    uint8_t key[MODEL_BYTES], value[MODEL_BYTES];
    int key_size, value_size; /* -1: null */
    int header_count;
};
static struct model models[MODEL_RECORDS];

static int random_size(void)
{
    static const int sizes[] = {-1, 0, 1, 62, 63, 64, 65, 127, 128, MODEL_BYTES};
    return random_below(3) == 0 ? sizes[random_below(10)] : (int)random_below(40);
}

static struct bytes model_field(const uint8_t *data, int size)
{
    return size < 0 ? bytes_of(NULL, 0) : bytes_of(data, (size_t)size);
}

static void model_fill(struct model *model)
{
    model->timestamp_ms = BASE_TIME + (int64_t)random_below(200000) - 100000;
    if (random_below(50) == 0)
        model->timestamp_ms = (int64_t)random_u64() >> 1;
    model->key_size = random_size();
    model->value_size = random_size();
    model->header_count = random_below(4) == 0 ? (int)random_below(4) : 0;
    for (int i = 0; i < MODEL_BYTES; i++) {
        model->key[i] = (uint8_t)random_below(4);
        model->value[i] = (uint8_t)random_below(4);
    }
}

/* Header i of a model has the key "h" or "" and the model's own key as value. */
static void model_headers(const struct model *model, struct buf *headers)
{
    buf_clear(headers);
    for (int i = 0; i < model->header_count; i++)
        headers_add(headers, i % 2 == 0 ? "h" : "", model_field(model->key, model->key_size));
}

static void build(struct batch_builder *builder, int count, struct bytes *batch)
{
    struct buf headers = {0};
    batch_builder_reset(builder);
    for (int i = 0; i < count; i++) {
        struct model *model = &models[i];
        model_fill(model);
        model_headers(model, &headers);
        assert_int_equal(batch_builder_add(
                             builder, model->timestamp_ms, model_field(model->key, model->key_size),
                             model_field(model->value, model->value_size),
                             bytes_of(headers.data, headers.size), model->header_count),
                         0);
    }
    assert_int_equal(batch_builder_finish(builder, batch), 0);
    buf_deinit(&headers);
}

static void expect_models(struct bytes batch, int count, int64_t base_offset)
{
    struct record_reader reader;
    struct record record;
    struct buf plain = {0}, headers = {0};
    struct diag diag = {0};
    int64_t max = INT64_MIN;
    assert_int_equal(record_reader_open(&reader, batch, BATCH_PLAIN_LIMIT_BYTES, &plain, &diag), 0);
    for (int i = 0; i < count; i++) {
        const struct model *model = &models[i];
        assert_int_equal(record_reader_next(&reader, &record), 1);
        assert_true(record.offset == base_offset + i);
        assert_true(record.timestamp_ms == model->timestamp_ms);
        assert_true(bytes_equal(record.key, model_field(model->key, model->key_size)));
        assert_true(bytes_equal(record.value, model_field(model->value, model->value_size)));
        assert_int_equal(record.header_count, model->header_count);
        for (int j = 0; j < model->header_count; j++) {
            struct header header;
            assert_int_equal(header_take(&record.headers, &header), 0);
            assert_true(bytes_equal(header.key, bytes_text(j % 2 == 0 ? "h" : "")));
            assert_true(bytes_equal(header.value, model_field(model->key, model->key_size)));
        }
        assert_int_equal(record.headers.size, 0);
        if (model->timestamp_ms > max)
            max = model->timestamp_ms;
    }
    assert_int_equal(record_reader_next(&reader, &record), 0);
    assert_true(reader.header.max_timestamp_ms == max);
    buf_deinit(&plain);
    buf_deinit(&headers);
}

static void random_batches_round_trip_with_every_codec(void **state)
{
    (void)state;
    struct buf scratch = {0};
    for (int codec = CODEC_NONE; codec <= CODEC_ZSTD; codec++) {
        struct batch_builder builder;
        batch_builder_init(&builder, (enum codec)codec);
        for (int round = 0; round < 60; round++) {
            struct bytes batch;
            struct diag diag = {0};
            int count = 1 + (int)random_below(round < 30 ? 5 : MODEL_RECORDS);
            build(&builder, count, &batch);
            if (batch_validate(batch, BATCH_PLAIN_LIMIT_BYTES, &scratch, &diag) != 0)
                fail_msg("%s", diag.text);
            batch_set_base(builder.batch.data, 1000000, 3);
            uint8_t *copy = exact_copy(batch);
            expect_models(bytes_of(copy, batch.size), count, 1000000);
            if (((load_be16(copy + 21)) & BATCH_ATTR_CODEC) == CODEC_NONE)
                expect_decoders_agree(bytes_of(copy, batch.size));
            free(copy);
        }
        batch_builder_deinit(&builder);
    }
    buf_deinit(&scratch);
}

static void what_compression_does_not_shrink_stays_plain(void **state)
{
    (void)state;
    for (int codec = CODEC_GZIP; codec <= CODEC_ZSTD; codec++) {
        struct batch_builder builder;
        struct bytes batch;
        uint8_t noise[50];
        for (size_t i = 0; i < sizeof noise; i++)
            noise[i] = (uint8_t)random_u64();
        batch_builder_init(&builder, (enum codec)codec);
        batch_builder_add(&builder, BASE_TIME, bytes_of(NULL, 0), bytes_of(noise, sizeof noise),
                          bytes_of(NULL, 0), 0);
        assert_int_equal(batch_builder_finish(&builder, &batch), 0);
        assert_int_equal(load_be16(batch.data + 21) & BATCH_ATTR_CODEC, CODEC_NONE);
        for (int i = 0; i < 100; i++)
            batch_builder_add(&builder, BASE_TIME, bytes_of(NULL, 0), bytes_text("the same again"),
                              bytes_of(NULL, 0), 0);
        assert_int_equal(batch_builder_finish(&builder, &batch), 0);
        assert_int_equal(load_be16(batch.data + 21) & BATCH_ATTR_CODEC, codec);
        assert_true(batch.size < batch_builder_bytes(&builder));
        batch_builder_deinit(&builder);
    }
}

static void the_builder_refuses_what_a_batch_cannot_hold(void **state)
{
    (void)state;
    struct batch_builder builder;
    struct bytes batch;
    static const uint8_t byte[1];
    batch_builder_init(&builder, CODEC_LZ4);
    assert_int_equal(batch_builder_finish(&builder, &batch), ERR_STATE);
    /* Sizes are looked at before the bytes are. */
    struct bytes huge = bytes_of(byte, (size_t)1 << 31);
    struct bytes none = bytes_of(NULL, 0);
    assert_int_equal(batch_builder_add(&builder, 0, huge, none, none, 0), ERR_TOO_LARGE);
    assert_int_equal(batch_builder_add(&builder, 0, none, huge, none, 0), ERR_TOO_LARGE);
    assert_int_equal(batch_builder_add(&builder, 0, none, none, huge, 1), ERR_TOO_LARGE);
    assert_int_equal(batch_builder_add(&builder, 0, none, bytes_of(byte, 1u << 30), none, 0),
                     ERR_TOO_LARGE);
    assert_int_equal(batch_builder_add(&builder, 5, none, bytes_text("x"), none, 0), 0);
    assert_int_equal(batch_builder_finish(&builder, &batch), 0);
    assert_int_equal(load_be32(batch.data + 57), 1);
    batch_builder_deinit(&builder);
}

static void a_builder_out_of_memory_keeps_what_it_has(void **state)
{
    (void)state;
    struct batch_builder builder;
    struct bytes batch, none = bytes_of(NULL, 0);
    uint8_t large[500] = {0};
    batch_builder_init(&builder, CODEC_NONE);
    builder.records.limit = 100;
    assert_int_equal(batch_builder_add(&builder, 1, none, bytes_text("first"), none, 0), 0);
    assert_int_equal(batch_builder_add(&builder, 2, none, bytes_of(large, 500), none, 0),
                     ERR_NOMEM);
    assert_int_equal(batch_builder_add(&builder, 3, none, bytes_text("second"), none, 0), 0);
    builder.batch.limit = 70;
    assert_int_equal(batch_builder_finish(&builder, &batch), ERR_NOMEM);
    builder.batch.limit = 0;
    assert_int_equal(batch_builder_finish(&builder, &batch), 0);
    struct buf scratch = {0};
    assert_int_equal(batch_validate(batch, 1000, &scratch, NULL), 0);
    assert_int_equal(load_be32(batch.data + 57), 2);
    buf_deinit(&scratch);
    batch_builder_deinit(&builder);
}

static void extreme_timestamps_wrap_back(void **state)
{
    (void)state;
    static const int64_t times[] = {INT64_MIN, INT64_MAX, 0, -1, INT64_MIN + 1, INT64_MAX - 1};
    struct batch_builder builder;
    struct bytes batch, none = bytes_of(NULL, 0);
    struct buf scratch = {0};
    batch_builder_init(&builder, CODEC_NONE);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(batch_builder_add(&builder, times[i], none, none, none, 0), 0);
    assert_int_equal(batch_builder_finish(&builder, &batch), 0);
    assert_int_equal(batch_validate(batch, 1000, &scratch, NULL), 0);
    struct record_reader reader;
    struct record record;
    assert_int_equal(record_reader_open(&reader, batch, 1000, &scratch, NULL), 0);
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(record_reader_next(&reader, &record), 1);
        assert_true(record.timestamp_ms == times[i]);
    }
    buf_deinit(&scratch);
    batch_builder_deinit(&builder);
}

static void producer_fields_are_patched_and_the_crc_follows(void **state)
{
    (void)state;
    size_t size;
    uint8_t *bytes = from_hex(two_records_hex, &size);
    struct bytes batch = bytes_of(bytes, size);
    struct batch_header h;
    batch_set_base(bytes, 777, 9);
    assert_int_equal(batch_check_crc(batch, NULL), 0); /* these lie outside of it */
    batch_set_producer(bytes, 4000, 2, 17, true);
    assert_int_equal(batch_check_crc(batch, NULL), 0);
    assert_int_equal(batch_parse_header(batch, &h, NULL), 0);
    assert_true(h.base_offset == 777 && h.leader_epoch == 9 && h.producer_id == 4000);
    assert_true(h.producer_epoch == 2 && h.base_sequence == 17);
    assert_int_equal(h.attributes, BATCH_ATTR_TRANSACTIONAL);
    batch_set_producer(bytes, -1, -1, -1, false);
    batch_set_base(bytes, 0, -1);
    uint8_t *original = from_hex(two_records_hex, &size);
    assert_memory_equal(bytes, original, size);
    free(original);
    free(bytes);
}

static void log_append_time_is_the_batchs(void **state)
{
    (void)state;
    size_t size;
    uint8_t *bytes = from_hex(two_records_hex, &size);
    bytes[22] = BATCH_ATTR_LOG_APPEND_TIME;
    store_be64(bytes + 35, 42);
    fix_crc(bytes, size);
    struct record_reader reader;
    struct record record;
    assert_int_equal(record_reader_open(&reader, bytes_of(bytes, size), 1000, NULL, NULL), 0);
    while (record_reader_next(&reader, &record) == 1)
        assert_int_equal(record.timestamp_ms, 42);
    free(bytes);
}

/* ---- hostile bytes ---- */

static void every_truncation_is_seen(void **state)
{
    (void)state;
    struct buf scratch = {0};
    for (int codec = CODEC_NONE; codec <= CODEC_ZSTD; codec++) {
        struct batch_builder builder;
        struct bytes batch;
        batch_builder_init(&builder, (enum codec)codec);
        build(&builder, 12, &batch);
        for (size_t size = 0; size < batch.size; size++) {
            struct batch_header h;
            uint8_t *cut = exact_copy(bytes_of(batch.data, size));
            assert_int_equal(batch_parse_header(bytes_of(cut, size), &h, NULL), ERR_RANGE);
            assert_true(size < BATCH_HEADER_BYTES || (size_t)h.size_bytes == batch.size);
            assert_int_equal(batch_validate(bytes_of(cut, size), 1 << 20, &scratch, NULL),
                             ERR_RANGE);
            if (size >=
                BATCH_HEADER_BYTES) { /* and when the length and the CRC say that it is whole */
                store_be32(cut + 8, (uint32_t)size - BATCH_OVERHEAD_BYTES);
                fix_crc(cut, size);
                assert_int_equal(batch_validate(bytes_of(cut, size), 1 << 20, &scratch, NULL),
                                 ERR_CORRUPT);
            }
            free(cut);
        }
        batch_builder_deinit(&builder);
    }
    buf_deinit(&scratch);
}

static void every_flipped_bit_is_seen(void **state)
{
    (void)state;
    struct buf scratch = {0};
    for (int codec = CODEC_NONE; codec <= CODEC_ZSTD; codec++) {
        struct batch_builder builder;
        struct bytes batch;
        batch_builder_init(&builder, (enum codec)codec);
        build(&builder, 8, &batch);
        uint8_t *flipped = exact_copy(batch);
        for (size_t bit = 0; bit < batch.size * 8; bit++) {
            flipped[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
            int rc = batch_validate(bytes_of(flipped, batch.size), 1 << 20, &scratch, NULL);
            bool set_by_the_log = bit / 8 < 8 || (bit / 8 >= 12 && bit / 8 < 16);
            assert_true(set_by_the_log ? bit == 0 || rc == 0 : rc < 0);
            flipped[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
        }
        free(flipped);
        batch_builder_deinit(&builder);
    }
    buf_deinit(&scratch);
}

/* Random damage under a CRC that fits: both decoders agree, and validation ends. */
static void damage_under_a_good_crc_is_decoded_alike(void **state)
{
    (void)state;
    struct buf scratch = {0};
    for (int round = 0; round < 30000; round++) {
        struct batch_builder builder;
        struct bytes batch;
        batch_builder_init(&builder, CODEC_NONE);
        build(&builder, 1 + (int)random_below(4), &batch);
        uint8_t *damaged = exact_copy(batch);
        for (size_t edits = 1 + random_below(3); edits > 0; edits--) {
            static const uint8_t interesting[] = {0x00, 0x01, 0x7f, 0x80, 0xff, 0xfe};
            size_t at = BATCH_HEADER_BYTES + random_below(batch.size - BATCH_HEADER_BYTES);
            damaged[at] =
                random_below(2) == 0 ? interesting[random_below(6)] : (uint8_t)random_u64();
        }
        if (random_below(8) == 0)
            damaged[60] = (uint8_t)random_below(6); /* the count */
        fix_crc(damaged, batch.size);
        expect_decoders_agree(bytes_of(damaged, batch.size));
        (void)batch_validate(bytes_of(damaged, batch.size), 1 << 20, &scratch, NULL);
        free(damaged);
        batch_builder_deinit(&builder);
    }
    buf_deinit(&scratch);
}

/* Two valid records with one field changed. */
static int validate_patched(size_t at, int width, uint64_t value)
{
    size_t size;
    uint8_t *bytes = from_hex(two_records_hex, &size);
    struct buf scratch = {0};
    struct diag diag = {0};
    for (int i = 0; i < width; i++)
        bytes[at + (size_t)i] = (uint8_t)(value >> (8 * (width - 1 - i)));
    fix_crc(bytes, size);
    int rc = batch_validate(bytes_of(bytes, size), 1 << 20, &scratch, &diag);
    assert_true(rc == 0 || (diag.code == rc && diag.text[0] != '\0'));
    buf_deinit(&scratch);
    free(bytes);
    return rc;
}

static void header_fields_that_lie_are_refused(void **state)
{
    (void)state;
    assert_int_equal(validate_patched(16, 1, 2), 0);
    assert_int_equal(validate_patched(0, 8, UINT64_MAX), ERR_CORRUPT); /* base offset -1 */
    assert_int_equal(validate_patched(0, 8, INT64_MAX), ERR_CORRUPT);  /* its end wraps */
    assert_int_equal(validate_patched(8, 4, 0), ERR_CORRUPT);          /* length */
    assert_int_equal(validate_patched(8, 4, 48), ERR_CORRUPT);
    assert_int_equal(validate_patched(8, 4, 49), ERR_CORRUPT);
    assert_int_equal(validate_patched(8, 4, 71), ERR_RANGE);
    assert_int_equal(validate_patched(8, 4, INT32_MAX), ERR_CORRUPT);
    assert_int_equal(validate_patched(8, 4, INT32_MAX - 12), ERR_RANGE);
    assert_int_equal(validate_patched(8, 4, 0x80000000u), ERR_CORRUPT);
    assert_int_equal(validate_patched(16, 1, 1), ERR_CORRUPT); /* magic */
    assert_int_equal(validate_patched(16, 1, 3), ERR_CORRUPT);
    assert_int_equal(validate_patched(21, 2, 0x0020), ERR_CORRUPT);     /* control */
    assert_int_equal(validate_patched(21, 2, 0x0005), ERR_UNSUPPORTED); /* codec */
    assert_int_equal(validate_patched(21, 2, 0x0007), ERR_UNSUPPORTED);
    for (uint64_t codec = 1; codec <= 4; codec++)
        assert_int_equal(validate_patched(21, 2, codec), ERR_CORRUPT); /* not so compressed */
    assert_int_equal(validate_patched(23, 4, 0), ERR_CORRUPT);         /* last offset delta */
    assert_int_equal(validate_patched(23, 4, 2), ERR_CORRUPT);
    assert_int_equal(validate_patched(23, 4, UINT32_MAX), ERR_CORRUPT);
    assert_int_equal(validate_patched(23, 4, INT32_MAX), ERR_CORRUPT);
    assert_int_equal(validate_patched(35, 8, BASE_TIME + 4), ERR_CORRUPT); /* max timestamp */
    assert_int_equal(validate_patched(43, 8, 1), ERR_CORRUPT);             /* id without sequence */
    assert_int_equal(validate_patched(57, 4, 0), ERR_CORRUPT);             /* count */
    assert_int_equal(validate_patched(57, 4, 1), ERR_CORRUPT);
    assert_int_equal(validate_patched(57, 4, 3), ERR_CORRUPT);
    assert_int_equal(validate_patched(57, 4, INT32_MAX), ERR_CORRUPT);
    assert_int_equal(validate_patched(57, 4, UINT32_MAX), ERR_CORRUPT);
}

static void record_fields_that_lie_are_refused(void **state)
{
    (void)state;
    /* 61 length 18 · 62 attributes · 63 timestamp · 64 offset · 65 key length · 66 k · 67 value
     * length · 68 v · 69 header count · 70 key length · 71 h · 72 value length · 73 x · 74 the
     * second record: length 0e … */
    static const struct {
        size_t at;
        uint8_t value;
        int rc;
    } cases[] = {
        {61, 0x00, ERR_CORRUPT}, {61, 0x01, ERR_CORRUPT}, {61, 0x16, ERR_CORRUPT},
        {61, 0x1a, ERR_CORRUPT}, {61, 0x7e, ERR_CORRUPT}, {61, 0xff, ERR_CORRUPT},
        {62, 0x55, 0},           /* unused, ignored as Kafka does */
        {63, 0x01, 0},           /* one millisecond earlier */
        {63, 0x0c, ERR_CORRUPT}, /* later than the batch says */
        {63, 0x80, ERR_CORRUPT}, /* a varint that swallows the next field */
        {64, 0x02, ERR_CORRUPT}, {64, 0x01, ERR_CORRUPT}, {77, 0x00, ERR_CORRUPT},
        {77, 0x04, ERR_CORRUPT}, {65, 0x01, ERR_CORRUPT}, {65, 0x03, ERR_CORRUPT},
        {65, 0x7e, ERR_CORRUPT}, {67, 0x03, ERR_CORRUPT}, {67, 0x7e, ERR_CORRUPT},
        {69, 0x00, ERR_CORRUPT}, {69, 0x01, ERR_CORRUPT}, {69, 0x04, ERR_CORRUPT},
        {69, 0x7e, ERR_CORRUPT}, {70, 0x01, ERR_CORRUPT}, {70, 0x7e, ERR_CORRUPT},
        {72, 0x01, ERR_CORRUPT}, {72, 0x04, ERR_CORRUPT}, {72, 0x03, ERR_CORRUPT},
        {81, 0x02, ERR_CORRUPT}, {81, 0x80, ERR_CORRUPT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int rc = validate_patched(cases[i].at, 1, cases[i].value);
        if (rc != cases[i].rc)
            fail_msg("byte %zu = %02x gives %d", cases[i].at, cases[i].value, rc);
    }
}

static void bytes_after_the_batch_are_refused(void **state)
{
    (void)state;
    size_t size;
    uint8_t *bytes = from_hex(two_records_hex, &size);
    uint8_t *twice = malloc(size * 2);
    memcpy(twice, bytes, size);
    memcpy(twice + size, bytes, size);
    struct buf scratch = {0};
    assert_int_equal(batch_validate(bytes_of(twice, size * 2), 1000, &scratch, NULL), ERR_CORRUPT);
    assert_int_equal(batch_validate(bytes_of(twice, size + 1), 1000, &scratch, NULL), ERR_CORRUPT);
    buf_deinit(&scratch);
    free(twice);
    free(bytes);
}

/* A batch of one compressed block of anything. */
static uint8_t *wrap(int codec, struct bytes plain, int32_t count, size_t *size)
{
    struct buf out = {0};
    assert_non_null(buf_reserve(&out, BATCH_HEADER_BYTES));
    memset(out.data, 0, BATCH_HEADER_BYTES);
    out.size = BATCH_HEADER_BYTES;
    assert_int_equal(codec_compress((enum codec)codec, plain, &out), 0);
    store_be32(out.data + 8, (uint32_t)out.size - BATCH_OVERHEAD_BYTES);
    out.data[16] = 2;
    store_be16(out.data + 21, (uint16_t)codec);
    store_be32(out.data + 23, (uint32_t)count - 1);
    store_be64(out.data + 35, INT64_MAX);
    store_be64(out.data + 43, UINT64_MAX);
    store_be32(out.data + 57, (uint32_t)count);
    fix_crc(out.data, out.size);
    *size = out.size;
    return out.data;
}

static void a_decompression_bomb_is_capped(void **state)
{
    (void)state;
    enum { PLAIN = 32 << 20, LIMIT = 1 << 20 };
    uint8_t *zeros = calloc(1, PLAIN);
    for (int codec = CODEC_GZIP; codec <= CODEC_ZSTD; codec++) {
        size_t size;
        uint8_t *batch = wrap(codec, bytes_of(zeros, PLAIN), 1000, &size);
        struct buf scratch = {0};
        struct diag diag = {0};
        assert_int_equal(batch_validate(bytes_of(batch, size), LIMIT, &scratch, &diag),
                         ERR_TOO_LARGE);
        assert_true(scratch.capacity <= 4 * LIMIT);
        assert_non_null(strstr(diag.text, codec_name(codec)));
        buf_deinit(&scratch);
        free(batch);
    }
    free(zeros);
}

static void a_count_beyond_the_plain_bytes_is_refused(void **state)
{
    (void)state;
    static const uint8_t minimal[] = {0x0c, 0, 0, 0, 1, 1, 0}; /* null key, null value */
    for (int codec = CODEC_NONE; codec <= CODEC_ZSTD; codec++) {
        size_t size;
        struct buf scratch = {0};
        uint8_t *batch = wrap(codec, bytes_of(minimal, sizeof minimal), 1, &size);
        assert_int_equal(batch_validate(bytes_of(batch, size), 1000, &scratch, NULL), 0);
        free(batch);
        batch = wrap(codec, bytes_of(minimal, sizeof minimal), INT32_MAX, &size);
        struct record_reader reader;
        assert_int_equal(record_reader_open(&reader, bytes_of(batch, size), 1000, &scratch, NULL),
                         ERR_CORRUPT);
        free(batch);
        buf_deinit(&scratch);
    }
}

/* What compaction leaves: no records, but the offsets and the sequence. */
static void an_emptied_batch_is_read_and_not_accepted_from_outside(void **state)
{
    (void)state;
    for (uint16_t codec = CODEC_NONE; codec <= CODEC_ZSTD; codec++) {
        size_t size;
        uint8_t *bytes = from_hex(two_records_hex, &size);
        size = BATCH_HEADER_BYTES;
        store_be32(bytes + 8, BATCH_HEADER_BYTES - BATCH_OVERHEAD_BYTES);
        store_be16(bytes + 21, codec);
        store_be32(bytes + 57, 0);
        fix_crc(bytes, size);
        struct record_reader reader;
        struct record record;
        struct buf plain = {0};
        assert_int_equal(record_reader_open(&reader, bytes_of(bytes, size), 10, &plain, NULL), 0);
        assert_int_equal(record_reader_next(&reader, &record), 0);
        assert_int_equal(batch_validate(bytes_of(bytes, size), 10, &plain, NULL), ERR_CORRUPT);
        buf_deinit(&plain);
        free(bytes);
    }
}

static void compacted_batches_have_gaps(void **state)
{
    (void)state;
    size_t size;
    uint8_t *bytes = from_hex(two_records_hex, &size);
    store_be32(bytes + 23, 20);
    bytes[77] = 2 * 20; /* the second record is the last of 21 */
    fix_crc(bytes, size);
    struct record_reader reader;
    struct record record;
    assert_int_equal(record_reader_open(&reader, bytes_of(bytes, size), 10, NULL, NULL), 0);
    assert_int_equal(record_reader_next(&reader, &record), 1);
    assert_int_equal(record_reader_next(&reader, &record), 1);
    assert_int_equal(record.offset, 20);
    assert_int_equal(record_reader_next(&reader, &record), 0);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kafkas_bytes_are_read),
        cmocka_unit_test(kafkas_bytes_are_written),
        cmocka_unit_test(kafkas_commit_marker),
        cmocka_unit_test(random_batches_round_trip_with_every_codec),
        cmocka_unit_test(what_compression_does_not_shrink_stays_plain),
        cmocka_unit_test(the_builder_refuses_what_a_batch_cannot_hold),
        cmocka_unit_test(a_builder_out_of_memory_keeps_what_it_has),
        cmocka_unit_test(extreme_timestamps_wrap_back),
        cmocka_unit_test(producer_fields_are_patched_and_the_crc_follows),
        cmocka_unit_test(log_append_time_is_the_batchs),
        cmocka_unit_test(every_truncation_is_seen),
        cmocka_unit_test(every_flipped_bit_is_seen),
        cmocka_unit_test(damage_under_a_good_crc_is_decoded_alike),
        cmocka_unit_test(header_fields_that_lie_are_refused),
        cmocka_unit_test(record_fields_that_lie_are_refused),
        cmocka_unit_test(bytes_after_the_batch_are_refused),
        cmocka_unit_test(a_decompression_bomb_is_capped),
        cmocka_unit_test(a_count_beyond_the_plain_bytes_is_refused),
        cmocka_unit_test(an_emptied_batch_is_read_and_not_accepted_from_outside),
        cmocka_unit_test(compacted_batches_have_gaps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
