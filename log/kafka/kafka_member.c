/* kafka_member.c: what the group APIs share. Names of groups and members are text to the log, with a zero byte at their end, so that one with a zero byte inside
 * would be taken for another: such a request cannot be read. */
#include "log/kafka/kafka_member.h"

const char *kafka_read_nullable_text(struct kafka_request *request)
{
    struct bytes value = wire_read_nullable_string(&request->in);
    if (value.data == NULL)
        return NULL;
    const char *text = kafka_request_text(request, value);
    if (text == NULL)
        wire_read_fail(&request->in, "a name with a zero byte in it");
    return text;
}

const char *kafka_read_text(struct kafka_request *request)
{
    const char *text = kafka_read_nullable_text(request);
    if (text != NULL)
        return text;
    wire_read_fail(&request->in, "null where there must be a name");
    return "";
}

struct kafka_group_member kafka_read_member(struct kafka_request *request,
                                            int16_t has_instance_since)
{
    struct kafka_group_member who = {.group = kafka_read_text(request)};
    who.member.generation = wire_read_i32(&request->in);
    who.member.member_id = kafka_read_text(request);
    if (request->version >= has_instance_since)
        who.member.instance_id = kafka_read_nullable_text(request);
    return who;
}

enum kafka_error kafka_group_error_of(int code)
{
    enum kafka_error error = kafka_error_of(code);
    if (error == KAFKA_STORAGE_ERROR)
        return KAFKA_COORDINATOR_NOT_AVAILABLE;
    if (code == ERR_FENCED)
        return KAFKA_FENCED_INSTANCE_ID;
    if (code == ERR_TOO_LARGE)
        return KAFKA_OFFSET_METADATA_TOO_LARGE;
    return code == ERR_INVALID ? KAFKA_INVALID_REQUEST : error;
}

static void forget(struct kafka_request *request)
{
    const struct kafka_group_call *call = request->state;
    coordinator_orphan(log_coordinator(request->log), call->group, request);
}

bool kafka_expect_call(struct kafka_request *request, const char *group)
{
    struct kafka_group_call *call = arena_zalloc(&request->arena, sizeof *call);
    if (call == NULL)
        return false;
    call->group = group;
    request->state = call;
    request->forget = forget;
    return true;
}
