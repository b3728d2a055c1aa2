/* kafka_fetch.c: Fetch (key 1, versions 4 to 12): batches out of partitions.
 *
 *   request   replica i32, longest wait i32, least bytes i32, most bytes i32, isolation i8, v7+: session i32, session epoch i32;
 *             topics {name, partitions {index i32, v9+: leader epoch i32, offset i64, v12+: last epoch i32, v5+: start offset i64,
 *             most bytes i32, tags}, tags}, v7+: forgotten {name, [i32], tags}, v11+: rack, tags
 *   response  throttle time i32, v7+: error i16, session i32; topics {name, partitions {index i32, error i16, high watermark i64, last stable
 *             offset i64, v5+: start offset i64, aborted (null for read_uncommitted) {producer i64, first offset i64, tags}, v11+: preferred
 *             replica i32, records bytes, tags}, tags}, tags
 *
 * Whole batches as they are stored, from the one that holds the asked offset. What is not flushed is not shown; with read_committed nothing from the last
 * stable offset on. The first batch goes out however large; after that the limits of the request hold.
 *
 * With less than the least bytes, and no error, the request waits: until an end has moved on (the high watermark, or the last stable offset for read_committed) or its
 * time is over, and is then done again from its beginning. There are no fetch sessions: session 0 in the answer says so, and a session that a client
 * thinks it has is not found (error 70), upon which it sends full requests.
 *
 * Compaction can remove the last batches below the end. A reader there would ask for the same offset for ever: it gets an empty batch that ends where the
 * gap does. */
#include "log/kafka/kafka_handlers.h"
#include "runtime/base/clock.h"

enum { FETCH_BYTES = 64 << 20, ZSTD_SINCE = 10 };

struct fetching {
    struct wire_reader topics; /* where the body goes on: read again when the request is resumed */
    int64_t deadline_ms;
    int32_t min_bytes, max_bytes, session_id;
    enum isolation isolation;
    size_t partition_count; /* in the request */

    /* of one run */
    struct fetch fetch;
    int64_t bytes;
    bool has_error;
    struct kafka_wait *waits; /* one for each that was read */
    size_t wait_count;
};
struct asked_partition {
    int32_t index, leader_epoch, max_bytes;
    int64_t offset;
};

/* ---- the request ---- */

static struct asked_partition read_partition(struct kafka_request *request, struct wire_reader *in)
{
    struct asked_partition asked = {.index = wire_read_i32(in), .leader_epoch = -1};
    if (request->version >= 9)
        asked.leader_epoch = wire_read_i32(in);
    asked.offset = wire_read_i64(in);
    if (request->version >= 12)
        wire_read_i32(in);
    if (request->version >= 5)
        wire_read_i64(in);
    asked.max_bytes = wire_read_i32(in);
    wire_read_tags(in);
    return asked;
}

static int32_t read_topic_count(struct wire_reader *in)
{
    return wire_read_array(in, in->flexible ? 3 : 6);
}

static int32_t read_partition_count(struct wire_reader *in)
{
    return wire_read_array(in, 16);
}

/* That all of it can be read, and how many partitions there are. */
static bool look_through(struct kafka_request *request, struct fetching *f)
{
    struct wire_reader *in = &request->in;
    int32_t topics = read_topic_count(in);
    for (int32_t t = 0; t < topics; t++) {
        wire_read_string(in);
        int32_t partitions = read_partition_count(in);
        for (int32_t i = 0; i < partitions; i++)
            read_partition(request, in);
        f->partition_count += (size_t)partitions;
        wire_read_tags(in);
    }
    topics = request->version >= 7 ? read_topic_count(in) : 0;
    for (int32_t t = 0; t < topics; t++) {
        wire_read_string(in);
        int32_t partitions = wire_read_array(in, 4);
        for (int32_t i = 0; i < partitions; i++)
            wire_read_i32(in);
        wire_read_tags(in);
    }
    if (request->version >= 11)
        wire_read_string(in);
    wire_read_tags(in);
    return wire_read_ok(in);
}

static struct fetching *read_request(struct kafka_request *request)
{
    struct wire_reader *in = &request->in;
    struct fetching *f = arena_zalloc(&request->arena, sizeof *f);
    if (f == NULL)
        return NULL;
    wire_read_i32(in);
    int32_t wait_ms = wire_read_i32(in);
    f->min_bytes = wire_read_i32(in);
    f->max_bytes = wire_read_i32(in);
    f->isolation = wire_read_i8(in) == 1 ? READ_COMMITTED : READ_UNCOMMITTED;
    if (request->version >= 7) {
        f->session_id = wire_read_i32(in);
        wire_read_i32(in);
    }
    f->topics = *in;
    if (!look_through(request, f))
        return NULL;
    f->deadline_ms = clock_mono_ms() + (wait_ms > 0 ? wait_ms : 0);
    f->max_bytes = f->max_bytes < FETCH_BYTES ? f->max_bytes : FETCH_BYTES;
    f->waits = arena_alloc(&request->arena, (f->partition_count + 1) * sizeof *f->waits);
    return f->waits == NULL ? NULL : f;
}

/* ---- one partition ---- */

static bool holds_zstd(struct bytes batches)
{
    struct batch_header header;
    while (batches.size > 0 && batch_parse_header(batches, &header, NULL) == 0) {
        if ((header.attributes & BATCH_ATTR_CODEC) == CODEC_ZSTD)
            return true;
        batches.data += header.size_bytes;
        batches.size -= (size_t)header.size_bytes;
    }
    return false;
}

/* Offsets that compaction left empty, as a batch. */
static int put_gap(struct fetch *fetch, int64_t from, int64_t until)
{
    int64_t last = until - from > INT32_MAX ? INT32_MAX : until - from;
    struct batch_header header = {.base_offset = from,
                                  .last_offset_delta = (int32_t)(last - 1),
                                  .base_timestamp_ms = -1,
                                  .max_timestamp_ms = -1,
                                  .producer_id = -1,
                                  .producer_epoch = -1,
                                  .base_sequence = -1};
    buf_clear(&fetch->bytes);
    return batch_assemble(&header, bytes_of("", 0), &fetch->bytes);
}

static enum kafka_error read_records(struct kafka_request *request, struct fetching *f,
                                     struct partition *partition,
                                     const struct asked_partition *asked)
{
    struct fetch *fetch = &f->fetch;
    int64_t room = f->max_bytes - f->bytes;
    int64_t most = asked->max_bytes < room ? asked->max_bytes : room;
    int code = partition_fetch(partition, asked->offset, f->isolation, most > 0 ? (size_t)most : 0,
                               fetch, NULL);
    if (code < 0)
        return kafka_error_of(code);
    if (fetch->bytes.size == 0 && fetch->next_offset > asked->offset &&
        put_gap(fetch, asked->offset, fetch->next_offset) < 0)
        return KAFKA_STORAGE_ERROR;
    if (request->version < ZSTD_SINCE && holds_zstd(bytes_of(fetch->bytes.data, fetch->bytes.size)))
        return KAFKA_UNSUPPORTED_COMPRESSION_TYPE;
    if (f->bytes > 0 && (int64_t)fetch->bytes.size > room) {
        buf_clear(&fetch->bytes); /* only the first one may pass the limit */
        fetch->aborted_count = 0;
    }
    f->bytes += (int64_t)fetch->bytes.size;
    bool committed = f->isolation == READ_COMMITTED;
    f->waits[f->wait_count++] = (struct kafka_wait){
        .partition = partition,
        .high_watermark = committed ? INT64_MAX : fetch->offsets.high_watermark + 1,
        .stable = committed ? fetch->offsets.stable + 1 : INT64_MAX};
    return KAFKA_NONE;
}

static void write_aborted(struct kafka_request *request, const struct fetching *f, bool has_records)
{
    struct wire_writer *w = &request->writer;
    size_t count = has_records ? f->fetch.aborted_count : 0;
    wire_write_array(w, f->isolation == READ_COMMITTED ? (int32_t)count : -1);
    for (size_t i = 0; i < count && f->isolation == READ_COMMITTED; i++) {
        wire_write_i64(w, f->fetch.aborted[i].producer_id);
        wire_write_i64(w, f->fetch.aborted[i].first_offset);
        wire_write_tags(w);
    }
}

static void answer_partition(struct kafka_request *request, struct fetching *f, struct bytes topic,
                             const struct asked_partition *asked)
{
    struct wire_writer *w = &request->writer;
    struct partition *partition = NULL;
    enum kafka_error error = kafka_partition(request, topic, asked->index, &partition);
    if (error == KAFKA_NONE)
        error = kafka_check_leader_epoch(partition, asked->leader_epoch);
    if (error == KAFKA_NONE)
        error = read_records(request, f, partition, asked);
    bool good = error == KAFKA_NONE;
    f->has_error |= !good;
    wire_write_i32(w, asked->index);
    wire_write_i16(w, (int16_t)error);
    wire_write_i64(w, good ? f->fetch.offsets.high_watermark : -1);
    wire_write_i64(w, good ? f->fetch.offsets.stable : -1);
    if (request->version >= 5)
        wire_write_i64(w, good ? f->fetch.offsets.start : -1);
    write_aborted(request, f, good);
    if (request->version >= 11)
        wire_write_i32(w, -1);
    wire_write_bytes(w, bytes_of(f->fetch.bytes.data != NULL ? (void *)f->fetch.bytes.data : "",
                                 good ? f->fetch.bytes.size : 0));
    wire_write_tags(w);
}

/* ---- the response ---- */

static void answer_topics(struct kafka_request *request, struct fetching *f)
{
    struct wire_writer *w = &request->writer;
    struct wire_reader in = f->topics;
    int32_t topics = read_topic_count(&in);
    wire_write_array(w, topics);
    for (int32_t t = 0; t < topics; t++) {
        struct bytes topic = wire_read_string(&in);
        int32_t partitions = read_partition_count(&in);
        wire_write_string(w, topic);
        wire_write_array(w, partitions);
        for (int32_t i = 0; i < partitions; i++) {
            struct asked_partition asked = read_partition(request, &in);
            answer_partition(request, f, topic, &asked);
        }
        wire_read_tags(&in);
        wire_write_tags(w);
    }
    wire_write_tags(w);
}

static enum kafka_result run(struct kafka_request *request)
{
    struct wire_writer *w = &request->writer;
    struct fetching *f = request->state;
    enum { SESSION_NOT_FOUND = 70 };
    f->bytes = 0;
    f->wait_count = 0;
    f->has_error = request->version >= 7 && f->session_id != 0;
    wire_write_i32(w, 0);
    if (request->version >= 7) {
        wire_write_i16(w, f->has_error ? SESSION_NOT_FOUND : KAFKA_NONE);
        wire_write_i32(w, 0);
    }
    if (f->has_error) {
        wire_write_array(w, 0);
        wire_write_tags(w);
        return KAFKA_ANSWER;
    }
    fetch_init(&f->fetch);
    buf_deinit(&f->fetch.bytes);
    f->fetch.bytes = *request->scratch; /* the worker's, so that it is not taken anew each time */
    answer_topics(request, f);
    *request->scratch = f->fetch.bytes;
    f->fetch.bytes = (struct buf){0};
    fetch_deinit(&f->fetch);
    if (f->bytes >= f->min_bytes || f->has_error || request->stopping ||
        clock_mono_ms() >= f->deadline_ms)
        return KAFKA_ANSWER;
    request->park = (struct kafka_park){.waits = f->waits,
                                        .wait_count = f->wait_count,
                                        .deadline_ms = f->deadline_ms,
                                        .resume = run};
    return KAFKA_PARK;
}

enum kafka_result kafka_handle_fetch(struct kafka_request *request)
{
    request->state = read_request(request);
    if (request->state != NULL)
        return run(request);
    if (wire_read_ok(&request->in))
        request->reason = "no memory";
    return KAFKA_CLOSE;
}
