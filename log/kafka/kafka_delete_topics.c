/* kafka_delete_topics.c: DeleteTopics (key 20, versions 0 to 6).
 *
 *   request   v0–5: names [string]; v6+: topics {name (nullable), id, tags}; timeout i32, tags
 *   response  v1+: throttle time i32, topics {name (v6+: nullable), v6+: id, error i16, v5+: error message (nullable), tags}, tags
 *
 * By name, or from version 6 on by id where the name is null. A topic is gone for good when it is answered. */
#include "log/kafka/kafka_handlers.h"

struct named {
    struct bytes name; /* data NULL: by id */
    struct uuid id;
};

static struct named read_topic(struct kafka_request *request)
{
    struct wire_reader *in = &request->in;
    struct named topic = {.name = {NULL, 0}};
    if (request->version < 6) {
        topic.name = wire_read_string(in);
        return topic;
    }
    topic.name = wire_read_nullable_string(in);
    topic.id = wire_read_uuid(in);
    wire_read_tags(in);
    return topic;
}

static enum kafka_error find(struct kafka_request *request, const struct named *topic,
                             struct topic_info *info)
{
    char name[250];
    if (topic->name.data == NULL)
        return kafka_topic_by_id(request, topic->id, info);
    enum kafka_error error = kafka_check_topic(request, topic->name);
    if (error != KAFKA_NONE)
        return error;
    if (kafka_topic_name(topic->name, name) != KAFKA_NONE)
        return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    return kafka_error_of(topic_describe(request->log, name, info, NULL));
}

static void answer_topic(struct kafka_request *request, const struct named *topic)
{
    struct wire_writer *w = &request->writer;
    struct topic_info info;
    struct diag diag = {.text = "there is no such topic"};
    enum kafka_error error = find(request, topic, &info);
    bool found = error == KAFKA_NONE, shows_name = topic->name.data == NULL && found;
    if (shows_name) {
        error = kafka_check_topic(request, bytes_text(info.name));
        shows_name = kafka_may(request, ACL_TOPIC, bytes_text(info.name), ACL_DESCRIBE);
        error = shows_name ? error : KAFKA_TOPIC_AUTHORIZATION_FAILED;
    }
    if (error == KAFKA_TOPIC_AUTHORIZATION_FAILED)
        diag_set(&diag, ERR_INVALID, "the client may not delete this topic");
    else if (found)
        error = kafka_error_of(topic_delete(request->log, info.name, &diag));
    struct bytes name = shows_name ? bytes_text(info.name) : topic->name;
    wire_write_string(w, name);
    if (request->version >= 6)
        wire_write_uuid(w, found ? info.id : topic->id);
    wire_write_i16(w, (int16_t)error);
    if (request->version >= 5)
        wire_write_text(w, error == KAFKA_NONE ? NULL : diag.text);
    wire_write_tags(w);
}

/* The topics twice: to see that all of the request can be read, then to delete them. */
static void walk(struct kafka_request *request, bool deletes)
{
    struct wire_reader *in = &request->in;
    int32_t count = wire_read_array(in, request->version >= 6 ? 18 : in->flexible ? 1 : 2);
    if (deletes)
        wire_write_array(&request->writer, count);
    for (int32_t i = 0; i < count && wire_read_ok(in) && buf_ok(&request->out); i++) {
        struct named topic = read_topic(request);
        if (deletes)
            answer_topic(request, &topic);
    }
}

enum kafka_result kafka_handle_delete_topics(struct kafka_request *request)
{
    struct wire_reader *in = &request->in;
    struct wire_reader topics = *in;
    walk(request, false);
    wire_read_i32(in);
    wire_read_tags(in);
    if (!wire_read_ok(in))
        return KAFKA_CLOSE;
    request->in = topics;
    if (request->version >= 1)
        wire_write_i32(&request->writer, 0);
    walk(request, true);
    wire_write_tags(&request->writer);
    return KAFKA_ANSWER;
}
