/* kafka_list_partition_reassignments.c: ListPartitionReassignments (key 46, version 0): which partitions are on their way to other brokers. None ever is, and
 * kafka-topics --describe asks.
 *
 *   request   timeout i32, topics {name, [index i32], tags} (nullable: all), tags
 *   response  throttle time i32, error i16, error message (nullable), topics {name, partitions {…}, tags}, tags */
#include "log/kafka/kafka_handlers.h"

enum kafka_result kafka_handle_list_partition_reassignments(struct kafka_request *request)
{
    struct wire_reader *in = &request->in;
    struct wire_writer *w = &request->writer;
    wire_read_i32(in);
    int32_t topics = wire_read_nullable_array(in, 3);
    for (int32_t t = 0; t < topics && wire_read_ok(in); t++) {
        wire_read_string(in);
        int32_t count = wire_read_array(in, 4);
        for (int32_t i = 0; i < count; i++)
            wire_read_i32(in);
        wire_read_tags(in);
    }
    wire_read_tags(in);
    if (!wire_read_ok(in))
        return KAFKA_CLOSE;
    wire_write_i32(w, 0);
    enum kafka_error error = kafka_check_cluster(request);
    wire_write_i16(w, (int16_t)error);
    wire_write_text(w, error == KAFKA_NONE ? NULL : "the client may not ask this of the cluster");
    wire_write_array(w, 0);
    wire_write_tags(w);
    return KAFKA_ANSWER;
}
