/* kafka_elect_leaders.c: ElectLeaders (key 43, versions 0 to 2).
 *
 *   request   v1+: election type i8 (0 preferred, 1 unclean); topics {name, [index i32], tags} (nullable: all), timeout i32, tags
 *   response  throttle time i32, v1+: error i16, topics {name, partitions {index i32, error i16, error message (nullable), tags}, tags}, tags
 *
 * One broker leads every partition, and it is the preferred one: what is asked for by name is answered with error 84, election not needed; of all,
 * none needs one, and none is named. */
#include "log/kafka/kafka_handlers.h"

enum { ELECTION_PREFERRED = 0, ELECTION_UNCLEAN = 1 };

static void answer_partition(struct kafka_request *request, struct bytes topic, int32_t index)
{
    struct wire_writer *w = &request->writer;
    struct partition *partition;
    enum kafka_error refusal = kafka_check_cluster(request);
    enum kafka_error error =
        refusal != KAFKA_NONE ? refusal : kafka_partition(request, topic, index, &partition);
    wire_write_i32(w, index);
    wire_write_i16(w, (int16_t)(error == KAFKA_NONE ? KAFKA_ELECTION_NOT_NEEDED : error));
    wire_write_text(w, refusal != KAFKA_NONE ? "the client may not alter the cluster"
                       : error == KAFKA_NONE ? "there is one broker, which leads it"
                                             : "there is no such partition");
    wire_write_tags(w);
}

static void walk(struct kafka_request *request, int32_t topics, bool answers)
{
    struct wire_reader *in = &request->in;
    struct wire_writer *w = &request->writer;
    for (int32_t t = 0; t < topics && wire_read_ok(in) && buf_ok(&request->out); t++) {
        struct bytes topic = wire_read_string(in);
        int32_t count = wire_read_array(in, 4);
        if (answers) {
            wire_write_string(w, topic);
            wire_write_array(w, count);
        }
        for (int32_t i = 0; i < count && buf_ok(&request->out); i++) {
            int32_t index = wire_read_i32(in);
            if (answers)
                answer_partition(request, topic, index);
        }
        wire_read_tags(in);
        if (answers)
            wire_write_tags(w);
    }
}

enum kafka_result kafka_handle_elect_leaders(struct kafka_request *request)
{
    struct wire_reader *in = &request->in;
    struct wire_writer *w = &request->writer;
    int8_t type = request->version >= 1 ? wire_read_i8(in) : ELECTION_PREFERRED;
    int32_t topics = wire_read_nullable_array(in, in->flexible ? 3 : 6);
    struct wire_reader first = *in;
    walk(request, topics, false);
    wire_read_i32(in);
    wire_read_tags(in);
    if (!wire_read_ok(in))
        return KAFKA_CLOSE;
    bool is_known = type == ELECTION_PREFERRED || type == ELECTION_UNCLEAN;
    enum kafka_error error = kafka_check_cluster(request);
    if (error == KAFKA_NONE && !is_known)
        error = KAFKA_INVALID_REQUEST;
    request->in = first;
    wire_write_i32(w, 0);
    if (request->version >= 1)
        wire_write_i16(w, (int16_t)error);
    topics = is_known && topics > 0 ? topics : 0;
    wire_write_array(w, topics);
    walk(request, topics, true);
    wire_write_tags(w);
    return KAFKA_ANSWER;
}
