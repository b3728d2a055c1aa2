/* kafka_offset_delete.c: OffsetDelete (key 47, version 0): a group forgets how far it has read some partitions.
 *
 *   request   group, topics {name, partitions {index i32}}
 *   response  error i16, throttle time i32, topics {name, partitions {index i32, error i16}}
 *
 * Of a topic that a member reads nothing is forgotten (error 86). A partition of which nothing is committed is forgotten already: no error. When something is wrong with
 * the group itself there are no topics in the answer, as with Kafka. */
#include "log/kafka/kafka_handlers.h"
#include "log/kafka/kafka_member.h"

static enum kafka_error check_group(struct kafka_request *request, const char *group)
{
    struct group_info info;
    enum kafka_error error = kafka_check_group(request, group);
    if (error != KAFKA_NONE)
        return error;
    if (group_name_check(group, NULL) < 0)
        return KAFKA_INVALID_GROUP_ID;
    int code = group_info(request->log, group, &info, NULL);
    if (code == ERR_NOT_FOUND)
        return KAFKA_GROUP_ID_NOT_FOUND;
    if (code == 0 && info.member_count > 0 && strcmp(info.protocol_type, "consumer") != 0)
        return KAFKA_NON_EMPTY_GROUP; /* nobody but they know what they read */
    return kafka_group_error_of(code);
}

static enum kafka_error forget(struct kafka_request *request, const char *group, struct bytes topic,
                               int32_t index)
{
    struct partition *partition;
    char name[250];
    enum kafka_error error = kafka_partition(request, topic, index, &partition);
    if (error != KAFKA_NONE)
        return error;
    if (kafka_topic_name(topic, name) != KAFKA_NONE)
        return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    int code = group_delete_offsets(request->log, group, name, index, NULL);
    if (code == ERR_BUSY)
        return KAFKA_GROUP_SUBSCRIBED_TO_TOPIC;
    return code == ERR_NOT_FOUND ? KAFKA_NONE : kafka_group_error_of(code);
}

/* The topics twice: to see that all of the request can be read, then to forget. */
static void walk(struct kafka_request *request, const char *group, bool forgets)
{
    struct wire_reader *in = &request->in;
    struct wire_writer *w = &request->writer;
    int32_t topics = wire_read_array(in, 6);
    if (forgets)
        wire_write_array(w, topics);
    for (int32_t t = 0; t < topics && wire_read_ok(in) && buf_ok(&request->out); t++) {
        struct bytes topic = wire_read_string(in);
        int32_t count = wire_read_array(in, 4);
        if (forgets) {
            wire_write_string(w, topic);
            wire_write_array(w, count);
        }
        for (int32_t i = 0; i < count && wire_read_ok(in); i++) {
            int32_t index = wire_read_i32(in);
            if (!forgets)
                continue;
            wire_write_i32(w, index);
            wire_write_i16(w, (int16_t)forget(request, group, topic, index));
        }
    }
}

enum kafka_result kafka_handle_offset_delete(struct kafka_request *request)
{
    struct wire_writer *w = &request->writer;
    const char *group = kafka_read_text(request);
    struct wire_reader topics = request->in;
    walk(request, group, false);
    if (!wire_read_ok(&request->in))
        return KAFKA_CLOSE;
    request->in = topics;
    enum kafka_error error = check_group(request, group);
    wire_write_i16(w, (int16_t)error);
    wire_write_i32(w, 0);
    if (error == KAFKA_NONE)
        walk(request, group, true);
    else
        wire_write_array(w, 0);
    return KAFKA_ANSWER;
}
