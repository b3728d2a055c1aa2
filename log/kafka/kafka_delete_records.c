/* kafka_delete_records.c: DeleteRecords (key 21, versions 0 to 2): records go from the beginning of partitions.
 *
 *   request   topics {name, partitions {index i32, offset i64, tags}, tags}, timeout i32, tags
 *   response  throttle time i32, topics {name, partitions {index i32, low watermark i64, error i16, tags}, tags}, tags
 *
 * What lies below the offset goes; -1 stands for all that is decided. The low watermark is where the partition begins now, which is no error when it is
 * above what was asked for; an offset above the end is error 1. A compacted topic's rows go by tombstones and an internal topic is a job's: error 44. Durable
 * when it is answered. */
#include "log/kafka/kafka_handlers.h"

enum { ALL_RECORDS = -1 };

static enum kafka_error may_delete(struct kafka_request *request, struct bytes topic)
{
    struct topic_info info;
    char name[250], policy[64];
    if (kafka_topic_name(topic, name) != KAFKA_NONE)
        return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    int code = topic_describe(request->log, name, &info, NULL);
    if (code == 0)
        code = topic_config_get(request->log, name, "cleanup.policy", policy, sizeof policy);
    if (code < 0)
        return kafka_error_of(code);
    return info.internal || strstr(policy, "delete") == NULL ? KAFKA_POLICY_VIOLATION : KAFKA_NONE;
}

static enum kafka_error delete_below(struct partition *partition, int64_t offset)
{
    struct partition_offsets now;
    partition_offsets(partition, &now);
    if (offset == ALL_RECORDS)
        offset = now.stable;
    if (offset < 0 || offset > now.high_watermark)
        return KAFKA_OFFSET_OUT_OF_RANGE;
    if (offset <= now.start)
        return KAFKA_NONE;
    return kafka_error_of(partition_delete_records(partition, offset, NULL));
}

static void answer_partition(struct kafka_request *request, struct bytes topic, int32_t index,
                             int64_t offset)
{
    struct wire_writer *w = &request->writer;
    struct partition *partition;
    struct partition_offsets now = {.start = -1};
    enum kafka_error error = kafka_partition(request, topic, index, &partition);
    if (error == KAFKA_NONE)
        error = may_delete(request, topic);
    if (error == KAFKA_NONE)
        error = delete_below(partition, offset);
    if (error == KAFKA_NONE)
        partition_offsets(partition, &now);
    wire_write_i32(w, index);
    wire_write_i64(w, now.start);
    wire_write_i16(w, (int16_t)error);
    wire_write_tags(w);
}

/* The topics twice: to see that all of the request can be read, then to delete. */
static void walk(struct kafka_request *request, bool deletes)
{
    struct wire_reader *in = &request->in;
    struct wire_writer *w = &request->writer;
    int32_t topics = wire_read_array(in, in->flexible ? 3 : 6);
    if (deletes)
        wire_write_array(w, topics);
    for (int32_t t = 0; t < topics && wire_read_ok(in) && buf_ok(&request->out); t++) {
        struct bytes topic = wire_read_string(in);
        int32_t count = wire_read_array(in, 12);
        if (deletes) {
            wire_write_string(w, topic);
            wire_write_array(w, count);
        }
        for (int32_t i = 0; i < count && wire_read_ok(in); i++) {
            int32_t index = wire_read_i32(in);
            int64_t offset = wire_read_i64(in);
            wire_read_tags(in);
            if (deletes)
                answer_partition(request, topic, index, offset);
        }
        wire_read_tags(in);
        if (deletes)
            wire_write_tags(w);
    }
}

enum kafka_result kafka_handle_delete_records(struct kafka_request *request)
{
    struct wire_reader *in = &request->in;
    struct wire_reader topics = *in;
    walk(request, false);
    wire_read_i32(in);
    wire_read_tags(in);
    if (!wire_read_ok(in))
        return KAFKA_CLOSE;
    request->in = topics;
    wire_write_i32(&request->writer, 0);
    walk(request, true);
    wire_write_tags(&request->writer);
    return KAFKA_ANSWER;
}
