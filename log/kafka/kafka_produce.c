/* kafka_produce.c: Produce (key 0, versions 3 to 11): batches into partitions.
 *
 *   request   transactional id (nullable), acks i16, timeout i32, topics {name, partitions {index i32, records (nullable bytes), tags}, tags},
 *             tags
 *   response  topics {name, partitions {index i32, error i16, base offset i64, append time i64, v5+: start offset i64, v8+: errors of
 *             records {…}, error message (nullable), tags}, tags}, throttle time i32, tags
 *
 * The bytes of the request are the bytes of the log: offsets are patched into the batch where it arrived, and it is written from there. Before that every
 * record of it is looked at (batch_validate), for a log that has swallowed what nobody can read is no log.
 *
 * acks=0 has no response; when something is wrong the connection ends, which is all that such a client can be told. acks=1 is answered when the batches are
 * written, acks=all when they are flushed: the handler asks for the flush and parks, and requests behind it go on. The high watermark that
 * the wait is for is that of each batch's end, also for a batch that an idempotent producer sent again.
 *
 * A transactional batch goes into the open transaction of the transactional id that the request names, if that has the batch's producer id and epoch, and the
 * partition was added (kafka_txn.c). Whether it is there to stay is decided by EndTxn, so that acks=all has nothing to wait for here.
 *
 * Versions 0 to 2 are advertised and not served: librdkafka 2.0 does not compress for a broker that does not say it has them, and never sends them. */
#include "log/kafka/kafka_handlers.h"
#include "log/kafka/kafka_txn.h"
#include "runtime/base/clock.h"

#include <stdlib.h>

enum { ACKS_ALL = -1, CODEC_ZSTD_SINCE = 7 };

struct produced {
    int32_t index;
    enum kafka_error error;
    struct partition *partition;
    int64_t base_offset, end_offset, append_time_ms;
    bool in_txn;
    const char *message; /* NULL: none */
};
struct produced_topic {
    struct bytes name;
    struct produced *partitions;
    int32_t count;
};
struct produce {
    struct bytes transactional_id; /* data NULL: none */
    struct produced_topic *topics;
    int32_t topic_count;
    int16_t acks;
    int32_t timeout_ms;
    size_t appended;
};

/* ---- one batch ---- */

static enum kafka_error fail(struct kafka_request *request, struct produced *p,
                             enum kafka_error error, const char *message)
{
    p->error = error;
    p->message = arena_text(&request->arena, message); /* without memory: without words */
    return error;
}

/* Bytes that arrived as they were sent, and are wrong all the same, are the producer's mistake; others are the network's. */
static enum kafka_error blame(struct bytes batch)
{
    enum { LENGTH_AT = 8 };
    bool whole = batch.size >= BATCH_HEADER_BYTES &&
                 (size_t)load_be32(batch.data + LENGTH_AT) + BATCH_OVERHEAD_BYTES == batch.size;
    return whole && batch_check_crc(batch, NULL) == 0 ? KAFKA_INVALID_RECORD
                                                      : KAFKA_CORRUPT_MESSAGE;
}

/* What no client that means well sends, told apart as Kafka does. */
static enum kafka_error check_batch(struct kafka_request *request, struct produced *p,
                                    struct bytes transactional_id, struct bytes batch)
{
    struct batch_header header;
    struct diag diag = {0};
    enum { MAGIC_AT = 16 };
    if (batch.data == NULL)
        return fail(request, p, KAFKA_INVALID_RECORD, "there are no records");
    if (batch.size > MAGIC_AT && batch.data[MAGIC_AT] != 2)
        return fail(request, p, KAFKA_INVALID_RECORD, "the message format is not version 2");
    if (batch_parse_header(batch, &header, &diag) < 0)
        return fail(request, p, blame(batch), diag.text);
    if ((size_t)header.size_bytes != batch.size)
        return fail(request, p, KAFKA_INVALID_RECORD, "there is not exactly one batch");
    if ((header.attributes & BATCH_ATTR_TRANSACTIONAL) != 0 && transactional_id.data == NULL)
        return fail(request, p, KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
                    "a transactional batch, and the request names no transactional id");
    if ((header.attributes & BATCH_ATTR_CODEC) == CODEC_ZSTD && request->version < CODEC_ZSTD_SINCE)
        return fail(request, p, KAFKA_UNSUPPORTED_COMPRESSION_TYPE,
                    "zstd needs version 7 of Produce");
    int rc = batch_validate(batch, BATCH_PLAIN_LIMIT_BYTES, request->scratch, &diag);
    if (rc == ERR_CORRUPT)
        return fail(request, p, blame(batch), diag.text);
    return rc < 0 ? fail(request, p, kafka_error_of(rc), diag.text) : KAFKA_NONE;
}

/* The log has one code for whatever is wrong with records; Kafka has one for times. */
static enum kafka_error refusal(const struct produced *p, const struct batch_header *header,
                                int code)
{
    struct bytes key = bytes_text("key");
    bool is_time = partition_admits_record(p->partition, header->max_timestamp_ms, key, NULL) < 0 ||
                   partition_admits_record(p->partition, header->base_timestamp_ms, key, NULL) < 0;
    return code == ERR_INVALID && is_time ? KAFKA_INVALID_TIMESTAMP : kafka_error_of(code);
}

/* 1: it was refused, and the reason stands in *p. Else what the log answered. */
static int append_to_txn(struct kafka_request *request, struct produced *p, struct bytes id,
                         const struct batch_header *header, uint8_t *batch, struct diag *diag)
{
    struct kafka_producer who = {id, header->producer_id, header->producer_epoch};
    struct kafka_txn *txn;
    enum kafka_error error = kafka_txn_take(request, &who, &txn);
    /* Java's producer of 4.x takes the former here for its end, and its other calls wait for a minute; after the latter it aborts and asks for a new epoch. */
    if (error == KAFKA_INVALID_PRODUCER_ID_MAPPING && kafka_txn_is_over(request, &who))
        error = KAFKA_INVALID_PRODUCER_EPOCH;
    if (error != KAFKA_NONE) {
        fail(request, p, error,
             error == KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED
                 ? "the client may not write with this transactional id"
                 : "the transactional id has no such producer id and epoch");
        return 1;
    }
    int code = txn_append_numbered(kafka_txn_producer(txn), p->partition, batch,
                                   (size_t)header->size_bytes, &p->base_offset, diag);
    kafka_txn_give_back(request, txn);
    return code;
}

static void append(struct kafka_request *request, struct produced *p, struct bytes id,
                   struct bytes batch)
{
    struct batch_header header;
    struct diag diag = {0};
    if (check_batch(request, p, id, batch) != KAFKA_NONE)
        return;
    must(batch_parse_header(batch, &header, NULL) == 0);
    uint8_t *bytes = request->frame_memory.data + (batch.data - request->frame.data);
    p->in_txn = (header.attributes & BATCH_ATTR_TRANSACTIONAL) != 0;
    int code = p->in_txn ? append_to_txn(request, p, id, &header, bytes, &diag)
                         : partition_append_validated(p->partition, bytes, batch.size,
                                                      &p->base_offset, &diag);
    if (code != 0) {
        p->base_offset = -1;
        if (code < 0)
            fail(request, p, refusal(p, &header, code), diag.text);
        return;
    }
    p->end_offset = p->base_offset + header.record_count;
    must(batch_parse_header(batch, &header, NULL) == 0);
    if ((header.attributes & BATCH_ATTR_LOG_APPEND_TIME) != 0)
        p->append_time_ms = header.max_timestamp_ms;
}

/* ---- the request ---- */

/* One pass to see that all of it can be read, before anything is written; the next one appends. */
static bool walk(struct kafka_request *request, struct produce *produce, bool appends)
{
    struct wire_reader *in = &request->in;
    size_t item_bytes = in->flexible ? 3 : 6;
    produce->topic_count = wire_read_array(in, item_bytes);
    if (!appends)
        produce->topics =
            arena_zalloc(&request->arena, (size_t)produce->topic_count * sizeof *produce->topics);
    if (produce->topics == NULL && produce->topic_count > 0)
        return false;
    for (int32_t t = 0; t < produce->topic_count; t++) {
        struct produced_topic *topic = &produce->topics[t];
        topic->name = wire_read_string(in);
        topic->count = wire_read_array(in, in->flexible ? 6 : 8);
        if (!appends)
            topic->partitions =
                arena_zalloc(&request->arena, (size_t)topic->count * sizeof *topic->partitions);
        if (topic->partitions == NULL && topic->count > 0)
            return false;
        for (int32_t i = 0; i < topic->count; i++) {
            struct produced *p = &topic->partitions[i];
            *p = (struct produced){.base_offset = -1, .append_time_ms = -1};
            p->index = wire_read_i32(in);
            struct bytes batch = wire_read_nullable_bytes(in);
            wire_read_tags(in);
            if (!appends)
                continue;
            p->error = kafka_partition_for_writing(request, topic->name, p->index, &p->partition);
            if (p->error == KAFKA_TOPIC_AUTHORIZATION_FAILED)
                fail(request, p, p->error, "the client may not write to this topic");
            if (p->error == KAFKA_INVALID_TOPIC)
                fail(request, p, p->error,
                     "a job made this topic for itself: it alone writes there");
            if (p->error == KAFKA_NONE)
                append(request, p, produce->transactional_id, batch);
        }
        wire_read_tags(in);
    }
    wire_read_tags(in);
    return wire_read_ok(in);
}

static bool read_request(struct kafka_request *request, struct produce *produce)
{
    struct wire_reader *in = &request->in;
    produce->transactional_id = wire_read_nullable_string(in);
    produce->acks = wire_read_i16(in);
    produce->timeout_ms = wire_read_i32(in);
    struct wire_reader topics = *in;
    if (walk(request, produce, false)) {
        *in = topics;
        return true;
    }
    if (wire_read_ok(in))
        wire_read_fail(in, "more partitions than its size allows");
    return false;
}

/* ---- the response ---- */

static void write_partition(struct kafka_request *request, const struct produced *p)
{
    struct wire_writer *w = &request->writer;
    struct partition_offsets offsets = {.start = -1};
    if (p->partition != NULL)
        partition_offsets(p->partition, &offsets);
    wire_write_i32(w, p->index);
    wire_write_i16(w, (int16_t)p->error);
    wire_write_i64(w, p->error == KAFKA_NONE ? p->base_offset : -1);
    wire_write_i64(w, p->append_time_ms);
    if (request->version >= 5)
        wire_write_i64(w, offsets.start);
    if (request->version >= 8) {
        wire_write_array(w, 0);
        wire_write_text(w, p->message);
    }
    wire_write_tags(w);
}

static enum kafka_result answer(struct kafka_request *request, const struct produce *produce)
{
    struct wire_writer *w = &request->writer;
    wire_write_array(w, produce->topic_count);
    for (int32_t t = 0; t < produce->topic_count; t++) {
        const struct produced_topic *topic = &produce->topics[t];
        wire_write_string(w, topic->name);
        wire_write_array(w, topic->count);
        for (int32_t i = 0; i < topic->count; i++)
            write_partition(request, &topic->partitions[i]);
        wire_write_tags(w);
    }
    wire_write_i32(w, 0);
    wire_write_tags(w);
    return KAFKA_ANSWER;
}

/* Calls fn for each partition whose batch is in the log. */
static void each_appended(struct kafka_request *request, struct produce *produce,
                          void (*fn)(struct kafka_request *request, struct produced *p))
{
    for (int32_t t = 0; t < produce->topic_count; t++)
        for (int32_t i = 0; i < produce->topics[t].count; i++) {
            struct produced *p = &produce->topics[t].partitions[i];
            if (p->error == KAFKA_NONE)
                fn(request, p);
        }
}

/* ---- acks=all ---- */

/* A transaction's records need no flush of their own: its commit flushes them, and before that a crash aborts all of it. */
static bool is_flushed(const struct produced *p)
{
    struct partition_offsets offsets;
    if (p->in_txn)
        return true;
    partition_offsets(p->partition, &offsets);
    return offsets.high_watermark >= p->end_offset;
}

static void judge(struct kafka_request *request, struct produced *p)
{
    struct diag diag = {0};
    if (is_flushed(p))
        return;
    int code = log_status(request->log, &diag);
    if (code == 0)
        code = partition_status(p->partition, &diag);
    if (code < 0)
        fail(request, p, KAFKA_STORAGE_ERROR, diag.text);
    else
        fail(request, p, KAFKA_REQUEST_TIMED_OUT, "the records are written, and not flushed yet");
}

static enum kafka_result flushed(struct kafka_request *request)
{
    struct produce *produce = request->state;
    each_appended(request, produce, judge);
    return answer(request, produce);
}

static void wait_for(struct kafka_request *request, struct produced *p)
{
    struct kafka_park *park = &request->park;
    if (p->in_txn)
        return;
    park->waits[park->wait_count++] = (struct kafka_wait){
        .partition = p->partition, .high_watermark = p->end_offset, .stable = INT64_MAX};
    partition_hurry(p->partition);
}

static void count(struct kafka_request *request, struct produced *p)
{
    struct produce *produce = request->state;
    produce->appended += !is_flushed(p);
}

static enum kafka_result await_flush(struct kafka_request *request, struct produce *produce)
{
    struct kafka_park *park = &request->park;
    size_t most = 0;
    request->state = produce;
    each_appended(request, produce, count);
    if (produce->appended == 0)
        return answer(request, produce);
    for (int32_t t = 0; t < produce->topic_count; t++)
        most += (size_t)produce->topics[t].count;
    park->waits = arena_alloc(&request->arena, most * sizeof *park->waits);
    if (park->waits == NULL) {
        request->reason = "no memory to wait for its flush";
        return KAFKA_CLOSE;
    }
    each_appended(request, produce, wait_for);
    park->needs_all = park->lets_pass = park->is_flush = true;
    park->deadline_ms = clock_mono_ms() + (produce->timeout_ms > 0 ? produce->timeout_ms : 0);
    park->resume = flushed;
    return KAFKA_PARK;
}

/* ---- */

static enum kafka_result refuse_acks(struct kafka_request *request, struct produce *produce)
{
    for (int32_t t = 0; t < produce->topic_count; t++)
        for (int32_t i = 0; i < produce->topics[t].count; i++)
            fail(request, &produce->topics[t].partitions[i], KAFKA_INVALID_REQUIRED_ACKS,
                 "acks is 0, 1 or -1");
    return answer(request, produce);
}

static enum kafka_result say_nothing(struct kafka_request *request, const struct produce *produce)
{
    for (int32_t t = 0; t < produce->topic_count; t++)
        for (int32_t i = 0; i < produce->topics[t].count; i++) {
            const struct produced *p = &produce->topics[t].partitions[i];
            if (p->error == KAFKA_NONE)
                continue;
            request->reason =
                p->message != NULL ? p->message : "a batch with acks=0 cannot be appended";
            return KAFKA_CLOSE;
        }
    return KAFKA_SILENT;
}

enum kafka_result kafka_handle_produce(struct kafka_request *request)
{
    struct produce *produce = arena_zalloc(&request->arena, sizeof *produce);
    if (produce == NULL || !read_request(request, produce))
        return KAFKA_CLOSE;
    if (produce->acks < ACKS_ALL || produce->acks > 1)
        return refuse_acks(request, produce);
    walk(request, produce, true);
    if (produce->acks == 0)
        return say_nothing(request, produce);
    return produce->acks == ACKS_ALL ? await_flush(request, produce) : answer(request, produce);
}
