/* kafka_add_partitions_to_txn.c: AddPartitionsToTxn (key 24, versions 0 to 3): which partitions a transaction will write; the first one begins it.
 *
 *   request   transactional id, producer id i64, epoch i16, topics {name, [index i32], tags}, tags
 *   response  throttle time i32, topics {name, partitions {index i32, error i16, tags}, tags}, tags
 *
 * All of them or none: when one does not exist the others are not attempted (error 55). They are durable before this is answered, so that after a crash the log
 * knows where to look for what it has to abort. */
#include "log/kafka/kafka_handlers.h"
#include "log/kafka/kafka_txn.h"

struct adding {
    struct kafka_producer who;
    struct wire_reader topics; /* where they begin */
    struct partition **partitions;
    size_t count;
    enum kafka_error error; /* of all of it */
    bool is_missing;        /* a partition is */
};

static int32_t read_topic(struct wire_reader *in, struct bytes *name)
{
    *name = wire_read_string(in);
    return wire_read_array(in, 4);
}

static bool read_request(struct kafka_request *request, struct adding *adding)
{
    struct wire_reader *in = &request->in;
    adding->who = kafka_read_producer(request);
    adding->topics = *in;
    int32_t topics = wire_read_array(in, in->flexible ? 3 : 6);
    for (int32_t t = 0; t < topics; t++) {
        struct bytes name;
        int32_t count = read_topic(in, &name);
        for (int32_t i = 0; i < count; i++)
            wire_read_i32(in);
        adding->count += (size_t)count;
        wire_read_tags(in);
    }
    wire_read_tags(in);
    return wire_read_ok(in);
}

/* Calls fn for each partition that is named. */
static void each_partition(struct kafka_request *request, struct adding *adding,
                           void (*fn)(struct kafka_request *request, struct adding *adding,
                                      struct bytes topic, int32_t index),
                           bool writes)
{
    struct wire_reader in = adding->topics;
    struct wire_writer *w = &request->writer;
    int32_t topics = wire_read_array(&in, in.flexible ? 3 : 6);
    if (writes)
        wire_write_array(w, topics);
    for (int32_t t = 0; t < topics; t++) {
        struct bytes name;
        int32_t count = read_topic(&in, &name);
        if (writes) {
            wire_write_string(w, name);
            wire_write_array(w, count);
        }
        for (int32_t i = 0; i < count; i++)
            fn(request, adding, name, wire_read_i32(&in));
        wire_read_tags(&in);
        if (writes)
            wire_write_tags(w);
    }
}

static void look_up(struct kafka_request *request, struct adding *adding, struct bytes topic,
                    int32_t index)
{
    struct partition *partition;
    if (kafka_partition_for_writing(request, topic, index, &partition) == KAFKA_NONE)
        adding->partitions[adding->count++] = partition;
    else
        adding->is_missing = true;
}

static void write_error(struct kafka_request *request, struct adding *adding, struct bytes topic,
                        int32_t index)
{
    struct wire_writer *w = &request->writer;
    struct partition *partition;
    enum kafka_error error = adding->error;
    if (error == KAFKA_NONE && adding->is_missing) {
        error = kafka_partition_for_writing(request, topic, index, &partition);
        error = error == KAFKA_NONE ? KAFKA_OPERATION_NOT_ATTEMPTED : error;
    }
    wire_write_i32(w, index);
    wire_write_i16(w, (int16_t)error);
    wire_write_tags(w);
}

static void add(struct kafka_request *request, struct adding *adding)
{
    struct kafka_txn *txn;
    adding->error = kafka_txn_take(request, &adding->who, &txn);
    if (adding->error != KAFKA_NONE)
        return;
    adding->count = 0;
    each_partition(request, adding, look_up, false);
    if (!adding->is_missing && adding->count > 0) {
        adding->error = kafka_txn_begin(request, txn);
        if (adding->error == KAFKA_NONE)
            adding->error = kafka_txn_error_of(
                request,
                txn_participate(kafka_txn_producer(txn), adding->partitions, adding->count, NULL));
    }
    kafka_txn_give_back(request, txn);
}

enum kafka_result kafka_handle_add_partitions_to_txn(struct kafka_request *request)
{
    struct wire_writer *w = &request->writer;
    struct adding adding = {.error = KAFKA_NONE};
    if (!read_request(request, &adding))
        return KAFKA_CLOSE;
    adding.partitions =
        arena_alloc(&request->arena, (adding.count + 1) * sizeof(struct partition *));
    if (adding.partitions == NULL) {
        request->reason = "no memory";
        return KAFKA_CLOSE;
    }
    add(request, &adding);
    wire_write_i32(w, 0);
    each_partition(request, &adding, write_error, true);
    wire_write_tags(w);
    return KAFKA_ANSWER;
}
