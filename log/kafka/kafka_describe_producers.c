/* kafka_describe_producers.c: DescribeProducers (key 61, version 0): who writes to a partition, and which transactions are open on it.
 *
 *   request   topics {name, [index i32], tags}, tags
 *   response  throttle time i32, topics {name, partitions {index i32, error i16, error message (nullable), producers {producer id i64, epoch i32, last
 *             sequence i32, last time i64, coordinator epoch i32, start of its open transaction i64, tags}, tags}, tags}, tags
 */
#include "log/kafka/kafka_handlers.h"

#include <stdlib.h>

static void write_producer(struct wire_writer *w, const struct producer_info *producer)
{
    wire_write_i64(w, producer->producer_id);
    wire_write_i32(w, producer->epoch);
    wire_write_i32(w, producer->last_sequence);
    wire_write_i64(w, producer->last_write_ms);
    wire_write_i32(w, producer->coordinator_epoch);
    wire_write_i64(w, producer->txn_first_offset);
    wire_write_tags(w);
}

static void answer_partition(struct kafka_request *request, struct bytes topic, int32_t index)
{
    struct wire_writer *w = &request->writer;
    struct partition *partition;
    struct producer_info *producers = NULL;
    size_t count = 0;
    struct diag diag = {.text = "there is no such partition"};
    enum kafka_error error = kafka_partition(request, topic, index, &partition);
    if (error == KAFKA_TOPIC_AUTHORIZATION_FAILED)
        diag_set(&diag, ERR_INVALID, "the client may not read this topic");
    if (error == KAFKA_NONE)
        error = kafka_error_of(partition_producers(partition, &producers, &count, &diag));
    wire_write_i32(w, index);
    wire_write_i16(w, (int16_t)error);
    wire_write_text(w, error == KAFKA_NONE ? NULL : diag.text);
    wire_write_array(w, (int32_t)count);
    for (size_t i = 0; i < count; i++)
        write_producer(w, &producers[i]);
    wire_write_tags(w);
    free(producers);
}

enum kafka_result kafka_handle_describe_producers(struct kafka_request *request)
{
    struct wire_reader *in = &request->in;
    struct wire_writer *w = &request->writer;
    int32_t topics = wire_read_array(in, 3);
    wire_write_i32(w, 0);
    wire_write_array(w, topics);
    for (int32_t t = 0; t < topics && wire_read_ok(in) && buf_ok(&request->out); t++) {
        struct bytes topic = wire_read_string(in);
        int32_t count = wire_read_array(in, 4);
        wire_write_string(w, topic);
        wire_write_array(w, count);
        for (int32_t i = 0; i < count && buf_ok(&request->out); i++)
            answer_partition(request, topic, wire_read_i32(in));
        wire_read_tags(in);
        wire_write_tags(w);
    }
    wire_read_tags(in);
    wire_write_tags(w);
    return wire_read_ok(in) ? KAFKA_ANSWER : KAFKA_CLOSE;
}
