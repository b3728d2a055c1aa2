/* kafka_fetch.c: Fetch (key 1, versions 4 to 17): batches out of partitions.
 *
 *   request   v4–14: replica i32; longest wait i32, least bytes i32, most bytes i32, isolation i8, v7+: session i32, session epoch i32;
 *             topics {name (v13+: id), partitions {index i32, v9+: leader epoch i32, offset i64, v12+: last epoch i32, v5+: start offset i64,
 *             most bytes i32, tags}, tags}, v7+: forgotten {name (v13+: id), [i32], tags}, v11+: rack, tags
 *   response  throttle time i32, v7+: error i16, session i32; topics {name (v13+: id), partitions {index i32, error i16, high watermark i64, last
 *             stable offset i64, v5+: start offset i64, aborted (null for read_uncommitted) {producer i64, first offset i64, tags}, v11+:
 *             preferred replica i32, records bytes, tags}, tags}, tags
 *
 * Whole batches as they are stored, from the one that holds the asked offset. What is not flushed is not shown; with read_committed nothing from the last
 * stable offset on. The first batch goes out however large; after that the limits of the request hold. Once one did not fit, nothing more is read: of the other
 * partitions the client hears their offsets.
 *
 * With less than the least bytes, room for more, and no error, the request waits: until an end has moved on (the high watermark, or the last stable offset for read_committed) or its
 * time is over, and is then done again from its beginning.
 *
 * Session epoch -1 asks for what the request names, once. Epoch 0 makes a session of it; with later ones the partitions are the session's, the request says what
 * changed, and the response leaves out what did not (kafka_fetch_session.c).
 *
 * Compaction can remove the last batches below the end. A reader there would ask for the same offset for ever: it gets an empty batch that ends where the
 * gap does. */
#include "log/kafka/kafka_fetch_session.h"
#include "log/kafka/kafka_handlers.h"
#include "runtime/base/clock.h"

#include <unistd.h>

enum {
    FETCH_BYTES = 64 << 20,
    SESSIONS_SINCE = 7,
    ZSTD_SINCE = 10,
    IDS_SINCE = 13,
    NO_REPLICA_SINCE = 15,
    EPOCH_FULL = 0,
    EPOCH_NONE = -1
};

struct fetching {
    struct wire_reader topics; /* where the body goes on: read again when the request is resumed */
    struct wire_reader forgotten;
    int64_t deadline_ms;
    int32_t min_bytes, max_bytes, session_id, session_epoch;
    enum isolation isolation;
    size_t partition_count;              /* in the request */
    struct kafka_fetch_session *session; /* NULL: none */
    bool is_full;                        /* every partition of the session is answered */
    struct topic_info topic;             /* that was looked up by its id last; name "": none */

    /* of one run */
    struct fetch fetch;
    size_t records_at,
        records_size; /* of the partition that was read last: in the response's buffer, beyond its end */
    bool in_piece; /* they are in the request's last piece instead */
    int64_t bytes;
    bool is_over; /* a batch did not fit any more: the partitions after it have their turn later */
    bool has_error;
    struct kafka_wait *waits; /* one for each that was read */
    size_t wait_count;
};

/* ---- the request ---- */

static struct kafka_asked_partition read_partition(struct kafka_request *request,
                                                   struct wire_reader *in, struct bytes topic)
{
    struct kafka_asked_partition asked = {.topic = topic, .leader_epoch = -1};
    asked.index = wire_read_i32(in);
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

/* Its name, or its id. */
static struct bytes read_topic(const struct kafka_request *request, struct wire_reader *in)
{
    if (request->version < IDS_SINCE)
        return wire_read_string(in);
    struct bytes id = bytes_of(in->rest.data, sizeof(struct uuid));
    wire_read_uuid(in);
    return wire_read_ok(in) ? id : bytes_of("", 0);
}

static int32_t read_topic_count(struct wire_reader *in)
{
    return wire_read_array(in, in->flexible ? 3 : 6);
}

static int32_t read_partition_count(struct wire_reader *in)
{
    return wire_read_array(in, 16);
}

static void look_through_forgotten(struct kafka_request *request)
{
    struct wire_reader *in = &request->in;
    int32_t topics = read_topic_count(in);
    for (int32_t t = 0; t < topics; t++) {
        read_topic(request, in);
        int32_t partitions = wire_read_array(in, 4);
        for (int32_t i = 0; i < partitions; i++)
            wire_read_i32(in);
        wire_read_tags(in);
    }
}

/* That all of it can be read, and how many partitions there are. */
static bool look_through(struct kafka_request *request, struct fetching *f)
{
    struct wire_reader *in = &request->in;
    f->topics = *in;
    int32_t topics = read_topic_count(in);
    for (int32_t t = 0; t < topics; t++) {
        struct bytes topic = read_topic(request, in);
        int32_t partitions = read_partition_count(in);
        for (int32_t i = 0; i < partitions; i++)
            read_partition(request, in, topic);
        f->partition_count += (size_t)partitions;
        wire_read_tags(in);
    }
    f->forgotten = *in;
    if (request->version >= SESSIONS_SINCE)
        look_through_forgotten(request);
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
    if (request->version < NO_REPLICA_SINCE)
        wire_read_i32(in);
    int32_t wait_ms = wire_read_i32(in);
    f->min_bytes = wire_read_i32(in);
    f->max_bytes = wire_read_i32(in);
    f->isolation = wire_read_i8(in) == 1 ? READ_COMMITTED : READ_UNCOMMITTED;
    f->session_epoch = EPOCH_NONE;
    if (request->version >= SESSIONS_SINCE) {
        f->session_id = wire_read_i32(in);
        f->session_epoch = wire_read_i32(in);
    }
    if (!look_through(request, f))
        return NULL;
    f->deadline_ms = clock_mono_ms() + (wait_ms > 0 ? wait_ms : 0);
    f->max_bytes = f->max_bytes < FETCH_BYTES ? f->max_bytes : FETCH_BYTES;
    f->waits = arena_alloc(&request->arena, (f->partition_count + 1) * sizeof *f->waits);
    return f->waits == NULL ? NULL : f;
}

/* ---- its session ---- */

static void release(struct kafka_request *request)
{
    struct fetching *f = request->state;
    if (f != NULL && f->session != NULL)
        kafka_fetch_session_give_back(f->session);
    if (f != NULL)
        f->session = NULL;
}

/* The session is over; a client that hears of no session begins with a full request. */
static void end_session(struct fetching *f)
{
    if (f->session != NULL)
        kafka_fetch_session_end(f->session);
    f->session = NULL;
}

/* Puts what the request names into the session. False: there is no room. */
static bool merge(struct kafka_request *request, struct fetching *f)
{
    struct wire_reader in = f->topics;
    int32_t topics = read_topic_count(&in);
    bool fits = true;
    for (int32_t t = 0; t < topics; t++) {
        struct bytes topic = read_topic(request, &in);
        int32_t partitions = read_partition_count(&in);
        for (int32_t i = 0; i < partitions; i++) {
            struct kafka_asked_partition asked = read_partition(request, &in, topic);
            fits = fits && kafka_fetch_session_put(f->session, &asked);
        }
        wire_read_tags(&in);
    }
    return fits;
}

static void forget(struct kafka_request *request, struct fetching *f)
{
    struct wire_reader in = f->forgotten;
    int32_t topics = read_topic_count(&in);
    for (int32_t t = 0; t < topics; t++) {
        struct bytes topic = read_topic(request, &in);
        int32_t partitions = wire_read_array(&in, 4);
        for (int32_t i = 0; i < partitions; i++)
            kafka_fetch_session_remove(f->session, topic, wire_read_i32(&in));
        wire_read_tags(&in);
    }
}

static void begin_session(struct kafka_request *request, struct fetching *f)
{
    if (f->session_id != 0)
        kafka_fetch_sessions_close(request->fetch_sessions, f->session_id);
    if (f->session_epoch != EPOCH_FULL || f->partition_count == 0)
        return;
    f->is_full = true;
    f->session = kafka_fetch_session_begin(request->fetch_sessions, request->version >= IDS_SINCE);
    if (f->session != NULL && !merge(request, f))
        end_session(f);
}

static enum kafka_error go_on_with_session(struct kafka_request *request, struct fetching *f)
{
    enum kafka_error error =
        kafka_fetch_session_take(request->fetch_sessions, f->session_id, f->session_epoch,
                                 request->version >= IDS_SINCE, &f->session);
    if (error != KAFKA_NONE)
        return error;
    forget(request, f);
    if (!merge(request, f)) {
        end_session(f);
        return KAFKA_FETCH_SESSION_ID_NOT_FOUND;
    }
    if (f->session->count == 0)
        end_session(f); /* nothing is asked for any more */
    return KAFKA_NONE;
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
    return batch_assemble(&header, bytes_of("", 0), &fetch->bytes);
}

static enum kafka_error resolve(struct kafka_request *request, struct fetching *f,
                                const struct kafka_asked_partition *asked,
                                struct partition **partition)
{
    struct uuid id;
    if (request->version < IDS_SINCE)
        return kafka_partition(request, asked->topic, asked->index, partition);
    memcpy(id.bytes, asked->topic.data, sizeof id.bytes);
    if (f->topic.name[0] == '\0' || memcmp(id.bytes, f->topic.id.bytes, sizeof id.bytes) != 0) {
        f->topic.name[0] = '\0';
        enum kafka_error error = kafka_topic_by_id(request, id, &f->topic);
        if (error != KAFKA_NONE)
            return error;
    }
    return kafka_partition(request, bytes_text(f->topic.name), asked->index, partition);
}

/* Bytes of a length on the wire. */
static size_t count_width(const struct wire_writer *w, size_t count)
{
    size_t width = 1;
    for (count++; w->flexible && count > 127; count >>= 7)
        width++;
    return w->flexible ? width : sizeof(int32_t);
}

/* What a partition's records have before them, its index included. */
static size_t head_size(const struct kafka_request *request, size_t aborted_count,
                        size_t records_size)
{
    const struct wire_writer *w = &request->writer;
    const size_t of_all = 4 + 2 + 8 + 8, of_aborted = (size_t)16 + w->flexible;
    size_t of_start = request->version >= 5 ? 8 : 0, of_replica = request->version >= 11 ? 4 : 0;
    return of_all + of_start + count_width(w, aborted_count) + aborted_count * of_aborted +
           of_replica + count_width(w, records_size);
}

/* Has the log put the records where the response will have them, behind a head whose size is guessed: they are not copied when the guess was right. */
static int bring_records(struct kafka_request *request, struct fetching *f,
                         struct partition *partition, const struct kafka_asked_partition *asked,
                         size_t most)
{
    struct fetch *fetch = &f->fetch;
    struct buf *out = &request->out;
    size_t end = out->size, head = head_size(request, 0, most);
    if (buf_reserve(out, head) == NULL)
        return ERR_NOMEM;
    fetch->bytes = *out;
    fetch->begin = fetch->bytes.size = end + head;
    int code = partition_fetch(partition, asked->offset, f->isolation, most, fetch, NULL);
    if (code == 0 && fetch->bytes.size == fetch->begin && fetch->next_offset > asked->offset)
        code = put_gap(fetch, asked->offset, fetch->next_offset);
    f->records_at = fetch->begin;
    f->records_size = code == 0 ? fetch->bytes.size - fetch->begin : 0;
    *out = fetch->bytes;
    fetch->bytes = (struct buf){0};
    out->size = end;
    return code;
}

/* Has the log put the records into a pipe. False: they are to be read. */
static bool pipe_records(struct kafka_request *request, struct fetching *f,
                         struct partition *partition, const struct kafka_asked_partition *asked,
                         size_t most)
{
    size_t size, page = (size_t)sysconf(_SC_PAGESIZE);
    bool may = request->pipes != NULL && request->version >= ZSTD_SINCE &&
               request->piece_count < KAFKA_PIECES && most >= FETCH_PIPE_LEAST_BYTES &&
               most <= KAFKA_PIPE_BYTES;
    struct kafka_piece *piece = &request->pieces[request->piece_count];
    if (!may || !kafka_pipe_take(request->pipes, &piece->pipe))
        return false;
    /* A pipe holds so many pages, whatever is taken of the first and the last one. */
    most = most < KAFKA_PIPE_BYTES - page ? most : KAFKA_PIPE_BYTES - page;
    int code = partition_fetch_into_pipe(partition, asked->offset, f->isolation, most,
                                         piece->pipe.write_fd, &f->fetch, &size);
    if (size == 0) {
        kafka_pipe_give(request->pipes, &piece->pipe, code == 0);
        return false;
    }
    piece->size = f->records_size = size;
    request->pieces_bytes += size;
    request->piece_count++;
    f->in_piece = true;
    return true;
}

/* The same without any records. */
static enum kafka_error read_offsets(struct fetching *f, struct partition *partition,
                                     const struct kafka_asked_partition *asked)
{
    struct partition_offsets *offsets = &f->fetch.offsets;
    f->records_size = 0;
    int code = partition_status(partition, NULL);
    if (code < 0)
        return kafka_error_of(code);
    partition_offsets(partition, offsets);
    return asked->offset < offsets->start || asked->offset > offsets->end
               ? KAFKA_OFFSET_OUT_OF_RANGE
               : KAFKA_NONE;
}

static enum kafka_error read_records(struct kafka_request *request, struct fetching *f,
                                     struct partition *partition,
                                     const struct kafka_asked_partition *asked)
{
    struct fetch *fetch = &f->fetch;
    int64_t room = f->max_bytes - f->bytes;
    f->is_over |= f->bytes > 0 && room <= 0;
    if (f->is_over)
        return read_offsets(f, partition, asked);
    int64_t most = asked->max_bytes < room ? asked->max_bytes : room;
    size_t most_bytes = most > 0 ? (size_t)most : 0;
    f->in_piece = false;
    if (!pipe_records(request, f, partition, asked, most_bytes)) {
        int code = bring_records(request, f, partition, asked, most_bytes);
        if (code < 0)
            return kafka_error_of(code);
    }
    if (request->version < ZSTD_SINCE &&
        holds_zstd(bytes_of(request->out.data + f->records_at, f->records_size)))
        return KAFKA_UNSUPPORTED_COMPRESSION_TYPE;
    if (f->bytes > 0 && (int64_t)f->records_size > room) {
        f->records_size = 0; /* only the first one may pass the limit */
        fetch->aborted_count = 0;
        f->is_over = true;
    }
    f->bytes += (int64_t)f->records_size;
    bool committed = f->isolation == READ_COMMITTED;
    struct kafka_wait *waits = f->session != NULL ? f->session->waits : f->waits;
    waits[f->wait_count++] = (struct kafka_wait){
        .partition = partition,
        .high_watermark = committed ? INT64_MAX : fetch->offsets.high_watermark + 1,
        .stable = committed ? fetch->offsets.stable + 1 : INT64_MAX};
    return KAFKA_NONE;
}

/* Reads it behind the response's end. *partition NULL: it is looked up. */
static enum kafka_error fetch_partition(struct kafka_request *request, struct fetching *f,
                                        const struct kafka_asked_partition *asked,
                                        struct partition **partition)
{
    enum kafka_error error =
        *partition == NULL ? resolve(request, f, asked, partition) : KAFKA_NONE;
    if (error == KAFKA_NONE)
        error = kafka_check_leader_epoch(*partition, asked->leader_epoch);
    if (error == KAFKA_NONE)
        error = read_records(request, f, *partition, asked);
    f->has_error |= error != KAFKA_NONE;
    return error;
}

static void write_aborted(struct kafka_request *request, const struct fetching *f, size_t count)
{
    struct wire_writer *w = &request->writer;
    wire_write_array(w, f->isolation == READ_COMMITTED ? (int32_t)count : -1);
    for (size_t i = 0; i < count; i++) {
        wire_write_i64(w, f->fetch.aborted[i].producer_id);
        wire_write_i64(w, f->fetch.aborted[i].first_offset);
        wire_write_tags(w);
    }
}

/* The records behind the response's end move to where their head of this size will end. False: no memory. */
static bool place_records(struct kafka_request *request, struct fetching *f, size_t head)
{
    struct buf *out = &request->out;
    size_t at = out->size + head;
    if (buf_reserve(out, head + f->records_size) == NULL)
        return false;
    if (at != f->records_at)
        memmove(out->data + at, out->data + f->records_at, f->records_size);
    return true;
}

static void write_partition(struct kafka_request *request, struct fetching *f, int32_t index,
                            enum kafka_error error)
{
    struct wire_writer *w = &request->writer;
    bool good = error == KAFKA_NONE;
    size_t size = good ? f->records_size : 0;
    size_t aborted = size > 0 && f->isolation == READ_COMMITTED ? f->fetch.aborted_count : 0;
    size_t head = head_size(request, aborted, size), end = request->out.size + head;
    if (size > 0 && !f->in_piece && !place_records(request, f, head))
        return;
    wire_write_i32(w, index);
    wire_write_i16(w, (int16_t)error);
    wire_write_i64(w, good ? f->fetch.offsets.high_watermark : -1);
    wire_write_i64(w, good ? f->fetch.offsets.stable : -1);
    if (request->version >= 5)
        wire_write_i64(w, good ? f->fetch.offsets.start : -1);
    write_aborted(request, f, aborted);
    if (request->version >= 11)
        wire_write_i32(w, -1);
    wire_write_bytes_size(w, size);
    if (!buf_ok(w->out))
        return;
    must(w->out->size == end);
    if (size > 0 && f->in_piece)
        request->pieces[request->piece_count - 1].at = end;
    else
        w->out->size += size;
    wire_write_tags(w);
}

static void write_topic(struct kafka_request *request, struct bytes topic)
{
    if (request->version >= IDS_SINCE)
        buf_append_bytes(&request->out, topic);
    else
        wire_write_string(&request->writer, topic);
}

/* ---- the response ---- */

static void answer_topics(struct kafka_request *request, struct fetching *f)
{
    struct wire_writer *w = &request->writer;
    struct wire_reader in = f->topics;
    int32_t topics = read_topic_count(&in);
    wire_write_array(w, topics);
    for (int32_t t = 0; t < topics; t++) {
        struct bytes topic = read_topic(request, &in);
        int32_t partitions = read_partition_count(&in);
        write_topic(request, topic);
        wire_write_array(w, partitions);
        for (int32_t i = 0; i < partitions; i++) {
            struct kafka_asked_partition asked = read_partition(request, &in, topic);
            struct partition *partition = NULL;
            enum kafka_error error = fetch_partition(request, f, &asked, &partition);
            write_partition(request, f, asked.index, error);
        }
        wire_read_tags(&in);
        wire_write_tags(w);
    }
}

/* An array whose length is known at its end. In flexible versions the length has as many bytes as it needs, and it may need fewer than was
 * thought: then what follows moves up. */
struct open_array {
    size_t at, width;
    int32_t count;
};

static struct open_array begin_array(struct wire_writer *w, size_t most)
{
    struct open_array array = {.at = w->out->size};
    wire_write_array(w, (int32_t)most);
    array.width = count_width(w, most);
    return array;
}

static void end_array(struct kafka_request *request, const struct open_array *array)
{
    struct wire_writer *w = &request->writer;
    size_t width = count_width(w, (size_t)array->count), spare = array->width - width;
    if (!buf_ok(w->out))
        return;
    uint8_t *at = w->out->data + array->at;
    uint32_t value = (uint32_t)array->count;
    if (!w->flexible) {
        store_be32(at, value);
        return;
    }
    memmove(at + width, at + array->width, w->out->size - array->at - array->width);
    w->out->size -= spare;
    for (size_t i = 0; i < request->piece_count; i++)
        request->pieces[i].at -= request->pieces[i].at > array->at ? spare : 0;
    for (value++; value > 127; value >>= 7)
        *at++ = (uint8_t)(value | 128);
    *at = (uint8_t)value;
}

/* What the client does not know yet. */
static bool is_news(const struct kafka_fetched *p, enum kafka_error error)
{
    return error != KAFKA_NONE || p->has_records || p->high_watermark != p->sent_high_watermark ||
           p->start != p->sent_start;
}

static enum kafka_error fetch_one(struct kafka_request *request, struct fetching *f,
                                  struct kafka_fetched *p)
{
    if (request->access.asks)
        p->partition = NULL; /* to be looked up is to be asked whether it may be read */
    bool was_known = p->partition != NULL;
    enum kafka_error error = fetch_partition(request, f, &p->asked, &p->partition);
    if (error != KAFKA_NONE && was_known) {
        p->partition = NULL; /* it may have been deleted, and made again: with another epoch, too */
        error = fetch_partition(request, f, &p->asked, &p->partition);
    }
    bool good = error == KAFKA_NONE;
    p->high_watermark = good ? f->fetch.offsets.high_watermark : -1;
    p->start = good ? f->fetch.offsets.start : -1;
    p->has_records = good && f->records_size > 0;
    p->is_in_response = f->is_full || is_news(p, error);
    return error;
}

/* One topic of the response for each run of partitions of one topic. */
static void answer_session(struct kafka_request *request, struct fetching *f)
{
    struct wire_writer *w = &request->writer;
    struct open_array topics = begin_array(w, f->session->count), partitions = {0};
    struct bytes topic = {0};
    for (struct kafka_fetched *p = f->session->first; p != NULL && buf_ok(w->out); p = p->next) {
        enum kafka_error error = fetch_one(request, f, p);
        if (!p->is_in_response)
            continue;
        if (topics.count == 0 || !bytes_equal(topic, p->asked.topic)) {
            if (topics.count > 0) {
                end_array(request, &partitions);
                wire_write_tags(w);
            }
            topic = p->asked.topic;
            write_topic(request, topic);
            partitions = begin_array(w, f->session->count);
            topics.count++;
        }
        write_partition(request, f, p->asked.index, error);
        partitions.count++;
    }
    if (topics.count > 0) {
        end_array(request, &partitions);
        wire_write_tags(w);
    }
    end_array(request, &topics);
}

static void write_head(struct kafka_request *request, enum kafka_error error, int32_t session_id)
{
    struct wire_writer *w = &request->writer;
    wire_write_i32(w, 0);
    if (request->version >= SESSIONS_SINCE) {
        wire_write_i16(w, (int16_t)error);
        wire_write_i32(w, session_id);
    }
}

static void answer(struct kafka_request *request, struct fetching *f)
{
    f->bytes = 0;
    f->wait_count = 0;
    f->is_over = f->has_error = false;
    f->topic.name[0] = '\0'; /* it may have gone while the request waited */
    write_head(request, KAFKA_NONE, f->session != NULL ? f->session->id : 0);
    fetch_init(&f->fetch);
    if (f->session != NULL)
        answer_session(request, f);
    else
        answer_topics(request, f);
    wire_write_tags(&request->writer);
    fetch_deinit(&f->fetch);
}

static enum kafka_result run(struct kafka_request *request)
{
    struct fetching *f = request->state;
    size_t partitions = f->session != NULL ? f->session->count : f->partition_count;
    answer(request, f);
    if (f->bytes >= f->min_bytes || f->is_over || f->has_error || request->stopping ||
        partitions == 0 || clock_mono_ms() >= f->deadline_ms) {
        if (f->session != NULL)
            kafka_fetch_session_sent(f->session);
        release(request);
        return KAFKA_ANSWER;
    }
    request->park = (struct kafka_park){.waits = f->session != NULL ? f->session->waits : f->waits,
                                        .wait_count = f->wait_count,
                                        .deadline_ms = f->deadline_ms,
                                        .resume = run};
    return KAFKA_PARK;
}

enum kafka_result kafka_handle_fetch(struct kafka_request *request)
{
    struct fetching *f = read_request(request);
    if (f == NULL) {
        if (wire_read_ok(&request->in))
            request->reason = "no memory";
        return KAFKA_CLOSE;
    }
    enum kafka_error error = KAFKA_NONE;
    request->state = f;
    request->release = release;
    if (f->session_epoch == EPOCH_FULL || f->session_epoch == EPOCH_NONE)
        begin_session(request, f);
    else
        error = go_on_with_session(request, f);
    if (error == KAFKA_NONE)
        return run(request);
    write_head(request, error, 0);
    wire_write_array(&request->writer, 0);
    wire_write_tags(&request->writer);
    return KAFKA_ANSWER;
}
