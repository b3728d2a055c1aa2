/* kafka_find_coordinator.c: FindCoordinator (key 10, versions 0 to 6): who looks after a group. We do, after all of them.
 *
 *   request   v0–3: key; v1+: kind i8 (0 a group, 1 a transactional id); v4+: keys [string]; tags
 *   response  v1+: throttle time i32; v0–3: error i16, v1+: error message, node i32, host, port i32;
 *             v4+: coordinators {key, node i32, host, port i32, error i16, error message, tags}; tags */
#include "log/kafka/kafka_handlers.h"

enum { KIND_GROUP = 0, KIND_TRANSACTION = 1 };

static void write_place(struct kafka_request *request, enum kafka_error error)
{
    struct wire_writer *w = &request->writer;
    wire_write_i32(w, error == KAFKA_NONE ? KAFKA_NODE_ID : -1);
    wire_write_text(w, error == KAFKA_NONE ? request->advertised_host : "");
    wire_write_i32(w, error == KAFKA_NONE ? request->advertised_port : -1);
}

static enum kafka_error check(struct kafka_request *request, int8_t kind, struct bytes key)
{
    if (kind == KIND_TRANSACTION)
        return kafka_check_txn(request, key);
    if (kind != KIND_GROUP)
        return KAFKA_INVALID_REQUEST;
    const char *group = kafka_request_text(request, key);
    return group != NULL ? kafka_check_group(request, group) : KAFKA_INVALID_GROUP_ID;
}

static const char *words_of(enum kafka_error error)
{
    switch (error) {
    case KAFKA_NONE:
        return NULL;
    case KAFKA_GROUP_AUTHORIZATION_FAILED:
        return "Group authorization failed: the client may not describe it";
    case KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
        return "Transactional Id authorization failed: the client may not describe it";
    case KAFKA_INVALID_GROUP_ID:
        return "no group can have this name";
    default:
        return "there is no such kind of coordinator";
    }
}

static enum kafka_result answer_one(struct kafka_request *request)
{
    struct wire_reader *in = &request->in;
    struct wire_writer *w = &request->writer;
    struct bytes key = wire_read_string(in);
    int8_t kind = request->version >= 1 ? wire_read_i8(in) : KIND_GROUP;
    wire_read_tags(in);
    if (!wire_read_ok(in))
        return KAFKA_CLOSE;
    enum kafka_error error = check(request, kind, key);
    if (request->version >= 1)
        wire_write_i32(w, 0);
    wire_write_i16(w, (int16_t)error);
    if (request->version >= 1)
        wire_write_text(w, words_of(error));
    write_place(request, error);
    wire_write_tags(w);
    return KAFKA_ANSWER;
}

enum kafka_result kafka_handle_find_coordinator(struct kafka_request *request)
{
    struct wire_reader *in = &request->in;
    struct wire_writer *w = &request->writer;
    if (request->version < 4)
        return answer_one(request);
    int8_t kind = wire_read_i8(in);
    int32_t count = wire_read_array(in, 1);
    wire_write_i32(w, 0);
    wire_write_array(w, count);
    for (int32_t i = 0; i < count && wire_read_ok(in) && buf_ok(&request->out); i++) {
        struct bytes key = wire_read_string(in);
        if (!wire_read_ok(in))
            break;
        enum kafka_error error = check(request, kind, key);
        wire_write_string(w, key);
        write_place(request, error);
        wire_write_i16(w, (int16_t)error);
        wire_write_text(w, words_of(error));
        wire_write_tags(w);
    }
    wire_read_tags(in);
    wire_write_tags(w);
    return wire_read_ok(in) ? KAFKA_ANSWER : KAFKA_CLOSE;
}
