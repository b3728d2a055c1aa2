/* interop_write.c: writes a data directory for Apache Kafka's tools to read.
 *
 *   interop_write DIR >expected.ndjson
 *
 * DIR must not exist. What is printed is what was asked for and the offsets that the log answered,
 * one line an event, in the order of each partition; nothing is read back. tests/interop/interop.py
 * compares it with what Kafka makes of the files.
 *
 *   {"kind":"record","topic":…,"partition":…,"offset":…,"timestamp":…,"key":hex|null,"value":hex|null,"headers":[[name,hex|null]…],
 *    "codec":…,"producer_id":…,"epoch":…,"sequence":…,"transactional":…}
 *   {"kind":"cleaned","topic":…,"partition":…,"removed":…}    all before was compacted, as far as it was closed
 *   {"kind":"marker","topic":…,"partition":…,"producer_id":…,"epoch":…,"commit":…}       at the
 * next offset
 *
 * Topics: one for each codec, with segments of 16 or 32 KiB, so that indexes have entries and most
 * segments are closed; and transactions of two producers that take turns over two partitions. Keys
 * and values are printable and without blanks, since the dump tool prints them raw; null and empty
 * ones are among them, and headers with and without a value. */
#include "log/log.h"
#include "runtime/base/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS = 40, CODEC_RECORDS = 3000, TXN_COUNT = 40, PRODUCERS = 2, PARTITIONS = 2, FIRST_MS = 1700000000 };

static const char *directory;
static struct log *the_log;
static uint64_t seed = 20;

static int32_t below(int32_t bound)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (int32_t)((seed >> 33) % (uint64_t)bound);
}

static void check(int rc, const struct diag *diag)
{
    if (rc >= 0)
        return;
    fprintf(stderr, "interop_write: %s: %s\n", error_text(rc), diag->text);
    exit(1);
}

static void reopen(void)
{
    struct log_options options = {.durability = DURABILITY_OS, .keeper_interval_ms = -1};
    struct diag diag = {0};
    log_close(the_log);
    check(log_open(directory, &options, &the_log, &diag), &diag);
}

/* ---- what is expected ---- */

static void print_hex(struct bytes data)
{
    if (data.data == NULL) {
        printf("null");
        return;
    }
    putchar('"');
    for (size_t i = 0; i < data.size; i++)
        printf("%02x", data.data[i]);
    putchar('"');
}

struct stamp { /* who wrote a batch */
    int64_t producer_id;
    int16_t epoch;
    int32_t sequence;
    bool transactional;
};

static void expect_record(const char *topic, int32_t partition, const struct record *record,
                          enum codec codec, const struct stamp *stamp)
{
    static const char *const names[] = {"NONE", "GZIP", "SNAPPY", "LZ4", "ZSTD"};
    struct bytes headers = record->headers;
    struct header header;
    printf("{\"kind\":\"record\",\"topic\":\"%s\",\"partition\":%d,\"offset\":%" PRId64
           ",\"timestamp\":%" PRId64 ",\"key\":",
           topic, partition, record->offset, record->timestamp_ms);
    print_hex(record->key);
    printf(",\"value\":");
    print_hex(record->value);
    printf(",\"headers\":[");
    for (int32_t i = 0; i < record->header_count; i++) {
        check(header_take(&headers, &header), &(struct diag){0});
        printf("%s[\"%.*s\",", i > 0 ? "," : "", (int)header.key.size,
               (const char *)header.key.data);
        print_hex(header.value);
        printf("]");
    }
    printf("],\"codec\":\"%s\",\"producer_id\":%" PRId64
           ",\"epoch\":%d,\"sequence\":%d,\"transactional\":%s}\n",
           names[codec], stamp->producer_id, stamp->epoch, stamp->sequence,
           stamp->transactional ? "true" : "false");
}

static void expect_marker(const char *topic, int32_t partition, const struct producer *producer,
                          bool commit)
{
    printf("{\"kind\":\"marker\",\"topic\":\"%s\",\"partition\":%d,\"producer_id\":%" PRId64
           ",\"epoch\":%d,\"commit\":%s}\n",
           topic, partition, producer_id(producer), producer_epoch(producer),
           commit ? "true" : "false");
}

/* ---- records ---- */

/* Texts and headers of the records of one batch. */
struct draft {
    struct record records[64];
    char texts[64][1024];
    struct buf headers[64];
    int32_t count;
};

static struct bytes draw_text(char *at, const char *name, int64_t n, int32_t null_in,
                              int32_t most_bytes)
{
    int32_t kind = below(null_in);
    if (kind == 0)
        return bytes_of(NULL, 0);
    if (kind == 1)
        return bytes_of("", 0);
    int length = snprintf(at, 32, "%s-%" PRId64 "-", name, n);
    int32_t filler = below(most_bytes);
    memset(at + length, 'a' + (int)(n % 26), (size_t)filler);
    return bytes_of(at, (size_t)(length + filler));
}

static void draw_batch(struct draft *draft, int64_t first, int32_t count)
{
    draft->count = count;
    for (int32_t i = 0; i < count; i++) {
        struct record *record = &draft->records[i];
        struct buf *headers = &draft->headers[i];
        int64_t n = first + i;
        buf_clear(headers);
        int32_t header_count = below(4) == 0 ? 1 + below(3) : 0;
        for (int32_t h = 0; h < header_count; h++)
            headers_add(headers, h == 0 ? "trace" : "empty-or-null",
                        h == 0   ? bytes_text("4bf92f35")
                        : h == 1 ? bytes_of(NULL, 0)
                                 : bytes_of("", 0));
        *record = (struct record){
            .timestamp_ms = (int64_t)FIRST_MS * 1000 + n * 10 + below(50),
            .key = draw_text(draft->texts[i], "key", n, 9, 30),
            .value = draw_text(draft->texts[i] + 512, "value", n, 17, 400),
            .headers = bytes_of(headers->data, headers->size),
            .header_count = header_count,
        };
    }
}

static struct bytes encode(struct batch_builder *builder, const struct draft *draft)
{
    struct bytes batch;
    struct diag diag = {0};
    batch_builder_reset(builder);
    for (int32_t i = 0; i < draft->count; i++) {
        const struct record *record = &draft->records[i];
        check(batch_builder_add(builder, record->timestamp_ms, record->key, record->value,
                                record->headers, record->header_count),
              &diag);
    }
    check(batch_builder_finish(builder, &batch), &diag);
    return batch;
}

/* The codec that the finished batch really has: one that does not shrink it is left away. */
static void expect_batch(const char *topic, int32_t partition, struct draft *draft, int64_t base,
                         struct bytes batch, const struct stamp *stamp)
{
    struct stamp at = *stamp;
    for (int32_t i = 0; i < draft->count; i++) {
        draft->records[i].offset = base + i;
        if (stamp->producer_id >= 0)
            at.sequence = stamp->sequence + i;
        expect_record(topic, partition, &draft->records[i],
                      (enum codec)(load_be16(batch.data + 21) & BATCH_ATTR_CODEC), &at);
    }
}

/* ---- topics ---- */

static void make_topic(const char *name, int32_t partitions, const char *segment_bytes)
{
    struct config_entry config = {"segment.bytes", segment_bytes};
    struct diag diag = {0};
    check(topic_create(the_log, name, partitions, &config, 1, &diag), &diag);
}

static struct partition *get(const char *topic, int32_t index)
{
    struct partition *partition;
    struct diag diag = {0};
    check(partition_get(the_log, topic, index, &partition, &diag), &diag);
    return partition;
}

static void write_codec(struct draft *draft, const char *topic, enum codec codec)
{
    static const struct stamp nobody = {-1, -1, -1, false};
    struct batch_builder builder;
    struct diag diag = {0};
    int64_t base;
    make_topic(topic, 1, "32768");
    struct partition *partition = get(topic, 0);
    batch_builder_init(&builder, codec);
    for (int64_t n = 0; n < CODEC_RECORDS; n += draft->count) {
        draw_batch(draft, n, 1 + below(40));
        struct bytes batch = encode(&builder, draft);
        check(partition_append(partition, builder.batch.data, batch.size, &base, &diag), &diag);
        expect_batch(topic, 0, draft, base, batch, &nobody);
    }
    batch_builder_deinit(&builder);
}

/* One transaction of each producer, interleaved; either may be aborted. A partition that a
 * transaction did not write to gets no marker. */
struct writer {
    struct producer *producer;
    int32_t sequences[PARTITIONS]; /* the next one, per partition */
    bool wrote[PARTITIONS];
};

static void write_in_txn(struct draft *draft, struct writer *writer, struct batch_builder *builder,
                         const char *topic, int64_t n)
{
    struct diag diag = {0};
    int32_t p = below(PARTITIONS);
    int64_t base;
    draw_batch(draft, n, 1 + below(10));
    struct bytes batch = encode(builder, draft);
    check(
        txn_append(writer->producer, get(topic, p), builder->batch.data, batch.size, &base, &diag),
        &diag);
    struct stamp stamp = {producer_id(writer->producer), producer_epoch(writer->producer),
                          writer->sequences[p], true};
    expect_batch(topic, p, draft, base, batch, &stamp);
    writer->sequences[p] += draft->count;
    writer->wrote[p] = true;
}

static void end_txn(struct writer *writer, const char *topic, bool commit)
{
    struct diag diag = {0};
    check(commit ? txn_commit(writer->producer, &diag) : txn_abort(writer->producer, &diag), &diag);
    for (int32_t p = 0; p < PARTITIONS; p++) {
        if (writer->wrote[p])
            expect_marker(topic, p, writer->producer, commit);
        writer->wrote[p] = false;
    }
}

static void write_transactions(struct draft *draft, const char *topic)
{
    struct writer writers[PRODUCERS] = {0};
    struct batch_builder builder;
    struct diag diag = {0};
    make_topic(topic, PARTITIONS, "16384");
    batch_builder_init(&builder, CODEC_LZ4);
    for (int32_t w = 0; w < PRODUCERS; w++) {
        char id[16];
        snprintf(id, sizeof id, "writer-%d", w);
        check(producer_open(the_log, id, &writers[w].producer, &diag), &diag);
    }
    for (int32_t t = 0; t < TXN_COUNT; t++) {
        for (int32_t w = 0; w < PRODUCERS; w++)
            check(txn_begin(writers[w].producer, &diag), &diag);
        for (int32_t i = 2 + below(4); i > 0; i--)
            write_in_txn(draft, &writers[below(PRODUCERS)], &builder, topic, t * 100 + i * 10);
        for (int32_t w = 0; w < PRODUCERS; w++)
            end_txn(&writers[(w + t) % PRODUCERS], topic, below(3) != 0);
    }
    for (int32_t w = 0; w < PRODUCERS; w++)
        producer_close(writers[w].producer);
    batch_builder_deinit(&builder);
}

/* Keys for a compacted topic: few, and never null. */
static void give_keys(struct draft *draft)
{
    for (int32_t i = 0; i < draft->count; i++) {
        int size = snprintf(draft->texts[i], 16, "key-%d", below(KEYS));
        draft->records[i].key = bytes_of(draft->texts[i], (size_t)size);
    }
}

/* Plain batches, and transactions of which some are aborted; then everything that is closed is compacted. */
static void write_compacted(struct draft *draft, const char *topic)
{
    static const struct stamp nobody = {-1, -1, -1, false};
    struct config_entry config[] = {{"segment.bytes", "16384"}, {"cleanup.policy", "compact"}};
    struct writer writer = {.producer = NULL};
    struct batch_builder builder;
    struct keeper_report report = {0};
    struct diag diag = {0};
    int64_t base;
    check(topic_create(the_log, topic, 1, config, 2, &diag), &diag);
    struct partition *partition = get(topic, 0);
    check(producer_open(the_log, topic, &writer.producer, &diag), &diag);
    for (int64_t n = 0; n < CODEC_RECORDS; n += draft->count) {
        bool transactional = below(4) == 0;
        draw_batch(draft, n, 1 + below(40));
        give_keys(draft);
        batch_builder_init(&builder, (enum codec)below(CODEC_ZSTD + 1));
        struct bytes batch = encode(&builder, draft);
        struct stamp stamp = {producer_id(writer.producer), producer_epoch(writer.producer),
                              writer.sequences[0], true};
        if (transactional)
            check(txn_begin(writer.producer, &diag), &diag);
        check(transactional
                  ? txn_append(writer.producer, partition, builder.batch.data, batch.size, &base,
                               &diag)
                  : partition_append(partition, builder.batch.data, batch.size, &base, &diag),
              &diag);
        expect_batch(topic, 0, draft, base, batch, transactional ? &stamp : &nobody);
        batch_builder_deinit(&builder);
        if (!transactional)
            continue;
        writer.sequences[0] += draft->count;
        writer.wrote[0] = true;
        end_txn(&writer, topic, below(2) == 0);
    }
    producer_close(writer.producer);
    /* Closing writes down what is flushed and forgets decisions: then all that is closed can be compacted. */
    reopen();
    check(topic_clean(the_log, topic, 0, &report, &diag), &diag);
    printf("{\"kind\":\"cleaned\",\"topic\":\"%s\",\"partition\":0,\"removed\":%" PRId64 "}\n",
           topic, report.records_removed);
}

/* Numbered batches of producers that are not transactional: each leaves its last one in a .snapshot. */
static void write_numbered(struct draft *draft, const char *topic)
{
    enum { FIRST_ID = 4000, WRITERS = 3 };
    struct batch_builder builder;
    struct diag diag = {0};
    struct stamp stamps[WRITERS];
    int64_t base;
    make_topic(topic, 1, "16384");
    batch_builder_init(&builder, CODEC_SNAPPY);
    for (int32_t w = 0; w < WRITERS; w++)
        stamps[w] = (struct stamp){FIRST_ID + w, (int16_t)w, 0, false};
    for (int64_t n = 0; n < CODEC_RECORDS; n += draft->count) {
        struct stamp *stamp = &stamps[below(WRITERS)];
        draw_batch(draft, n, 1 + below(40));
        struct bytes batch = encode(&builder, draft);
        batch_set_producer(builder.batch.data, stamp->producer_id, stamp->epoch, stamp->sequence,
                           false);
        check(partition_append(get(topic, 0), builder.batch.data, batch.size, &base, &diag), &diag);
        expect_batch(topic, 0, draft, base, batch, stamp);
        stamp->sequence += draft->count;
    }
    batch_builder_deinit(&builder);
}

int main(int argc, char **argv)
{
    static struct draft draft;
    if (argc != 2) {
        fprintf(stderr, "usage: interop_write DIR\n");
        return 2;
    }
    directory = argv[1];
    reopen();
    write_codec(&draft, "plain", CODEC_NONE);
    write_codec(&draft, "gzip", CODEC_GZIP);
    write_codec(&draft, "snappy", CODEC_SNAPPY);
    write_codec(&draft, "lz4", CODEC_LZ4);
    write_codec(&draft, "zstd", CODEC_ZSTD);
    write_transactions(&draft, "transactions");
    write_numbered(&draft, "numbered");
    write_compacted(&draft, "compacted");
    log_close(the_log);
    for (size_t i = 0; i < sizeof draft.headers / sizeof *draft.headers; i++)
        buf_deinit(&draft.headers[i]);
    return fflush(stdout) == 0 ? 0 : 1;
}
