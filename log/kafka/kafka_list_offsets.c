/* kafka_list_offsets.c: ListOffsets (key 2, versions 1 to 9): where a partition begins and ends, and what lies at a time.
 *
 *   request   replica i32, v2+: isolation i8; topics {name, partitions {index i32, v4+: leader epoch i32, time i64, tags}, tags}, tags
 *   response  v2+: throttle time i32; topics {name, partitions {index i32, error i16, time i64, offset i64, v4+: leader epoch i32, tags}, tags},
 *             tags
 *
 *   time      -1 the end: the high watermark, or the last stable offset for read_committed; -2 the start; -3 (v7+) the record with the largest time;
 *             -4 (v8+) the start of what is stored here: all of it is; -5 (v9+) the end of what is stored elsewhere: nothing is, -1;
 *             else the first record at or after that time, with its own time; without one both are -1, and that is no error */
#include "log/kafka/kafka_handlers.h"

enum { TIME_END = -1, TIME_START = -2, TIME_LARGEST = -3, TIME_LOCAL_START = -4, TIME_TIERED = -5 };

struct found {
    enum kafka_error error;
    int64_t offset, timestamp_ms;
    int32_t leader_epoch;
};

static bool is_known_time(int16_t version, int64_t time)
{
    return time >= TIME_START || (time == TIME_LARGEST && version >= 7) ||
           (time == TIME_LOCAL_START && version >= 8) || (time == TIME_TIERED && version >= 9);
}

/* The first record at or after time_ms below bound. */
static void find_time(struct partition *partition, int64_t time_ms, int64_t bound,
                      struct found *found)
{
    int64_t offset, timestamp_ms;
    int code = partition_find_time(partition, time_ms, &offset, &timestamp_ms, NULL);
    found->error = kafka_error_of(code);
    if (code < 0 || offset < 0 || offset >= bound)
        return;
    found->offset = offset;
    found->timestamp_ms = timestamp_ms;
}

static void find_largest(struct partition *partition, int64_t bound, struct found *found)
{
    struct partition_description description;
    int code = partition_describe(partition, &description, NULL);
    found->error = kafka_error_of(code);
    if (code == 0 && description.max_timestamp_ms != INT64_MIN)
        find_time(partition, description.max_timestamp_ms, bound, found);
    partition_description_deinit(&description);
}

static struct found find(struct partition *partition, int64_t time, enum isolation isolation)
{
    struct found found = {.offset = -1, .timestamp_ms = -1, .leader_epoch = -1};
    struct partition_offsets offsets;
    partition_offsets(partition, &offsets);
    int64_t bound = isolation == READ_COMMITTED ? offsets.stable : offsets.high_watermark;
    if (time == TIME_END) {
        found.offset = bound;
        found.leader_epoch = partition_leader_epoch(partition);
    } else if (time == TIME_START || time == TIME_LOCAL_START) {
        found.offset = offsets.start;
    } else if (time == TIME_LARGEST) {
        find_largest(partition, bound, &found);
    } else if (time >= 0) {
        find_time(partition, time, bound, &found);
    }
    return found;
}

static void answer_partition(struct kafka_request *request, struct wire_reader *in,
                             struct bytes topic, enum isolation isolation)
{
    struct wire_writer *w = &request->writer;
    struct partition *partition;
    int32_t index = wire_read_i32(in);
    int32_t epoch = request->version >= 4 ? wire_read_i32(in) : -1;
    int64_t time = wire_read_i64(in);
    wire_read_tags(in);
    struct found found = {.offset = -1, .timestamp_ms = -1, .leader_epoch = -1};
    enum kafka_error error = kafka_partition(request, topic, index, &partition);
    if (error == KAFKA_NONE)
        error = kafka_check_leader_epoch(partition, epoch);
    if (error == KAFKA_NONE && !is_known_time(request->version, time))
        error = KAFKA_UNSUPPORTED_VERSION;
    if (error == KAFKA_NONE)
        found = find(partition, time, isolation);
    wire_write_i32(w, index);
    wire_write_i16(w, (int16_t)(error != KAFKA_NONE ? error : found.error));
    wire_write_i64(w, found.timestamp_ms);
    wire_write_i64(w, found.offset);
    if (request->version >= 4)
        wire_write_i32(w, found.leader_epoch);
    wire_write_tags(w);
}

enum kafka_result kafka_handle_list_offsets(struct kafka_request *request)
{
    struct wire_reader *in = &request->in;
    struct wire_writer *w = &request->writer;
    wire_read_i32(in);
    enum isolation isolation =
        request->version >= 2 && wire_read_i8(in) == 1 ? READ_COMMITTED : READ_UNCOMMITTED;
    int32_t topics = wire_read_array(in, in->flexible ? 3 : 6);
    if (request->version >= 2)
        wire_write_i32(w, 0);
    wire_write_array(w, topics);
    for (int32_t t = 0; t < topics && wire_read_ok(in); t++) {
        struct bytes topic = wire_read_string(in);
        int32_t partitions = wire_read_array(in, 12);
        wire_write_string(w, topic);
        wire_write_array(w, partitions);
        for (int32_t i = 0; i < partitions && wire_read_ok(in); i++)
            answer_partition(request, in, topic, isolation);
        wire_read_tags(in);
        wire_write_tags(w);
    }
    wire_read_tags(in);
    wire_write_tags(w);
    return wire_read_ok(in) ? KAFKA_ANSWER : KAFKA_CLOSE;
}
