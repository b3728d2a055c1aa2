/* kafka_offset_for_leader_epoch.c: OffsetForLeaderEpoch (key 23, versions 2 to 4): where an epoch of a partition ended, so that a client finds out whether what it
 * has read was cut off and written anew.
 *
 *   request   v3+: replica i32; topics {name, partitions {index i32, current epoch i32, epoch i32, tags}, tags}, tags
 *   response  throttle time i32, topics {name, partitions {error i16, index i32, epoch i32, end offset i64, tags}, tags}, tags
 *
 * The answer is the largest epoch at or below the one asked for and the first offset after it; both -1 for an epoch that never was. */
#include "log/kafka/kafka_handlers.h"

static void answer_partition(struct kafka_request *request, struct bytes topic)
{
    struct wire_reader *in = &request->in;
    struct wire_writer *w = &request->writer;
    struct partition *partition;
    int32_t found = -1;
    int64_t end = -1;
    int32_t index = wire_read_i32(in), current = wire_read_i32(in), epoch = wire_read_i32(in);
    wire_read_tags(in);
    enum kafka_error error = kafka_partition(request, topic, index, &partition);
    if (error == KAFKA_NONE)
        error = kafka_check_leader_epoch(partition, current);
    if (error == KAFKA_NONE)
        error = kafka_error_of(partition_epoch_end(partition, epoch, &found, &end, NULL));
    wire_write_i16(w, (int16_t)error);
    wire_write_i32(w, index);
    wire_write_i32(w, error == KAFKA_NONE ? found : -1);
    wire_write_i64(w, error == KAFKA_NONE ? end : -1);
    wire_write_tags(w);
}

enum kafka_result kafka_handle_offset_for_leader_epoch(struct kafka_request *request)
{
    struct wire_reader *in = &request->in;
    struct wire_writer *w = &request->writer;
    if (request->version >= 3)
        wire_read_i32(in);
    int32_t topics = wire_read_array(in, in->flexible ? 3 : 6);
    wire_write_i32(w, 0);
    wire_write_array(w, topics);
    for (int32_t t = 0; t < topics && wire_read_ok(in) && buf_ok(&request->out); t++) {
        struct bytes topic = wire_read_string(in);
        int32_t partitions = wire_read_array(in, 12);
        wire_write_string(w, topic);
        wire_write_array(w, partitions);
        for (int32_t i = 0; i < partitions && wire_read_ok(in); i++)
            answer_partition(request, topic);
        wire_read_tags(in);
        wire_write_tags(w);
    }
    wire_read_tags(in);
    wire_write_tags(w);
    return wire_read_ok(in) ? KAFKA_ANSWER : KAFKA_CLOSE;
}
