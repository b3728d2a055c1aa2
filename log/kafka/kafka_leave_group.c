/* kafka_leave_group.c: LeaveGroup (key 13, versions 0 to 5): members go, or are sent away by an administrator.
 *
 *   request   group, v0–2: member id; v3+: members {member id, instance id (nullable), v5+: reason (nullable), tags}, tags
 *   response  v1+: throttle time i32, error i16, v3+: members {member id, instance id (nullable), error i16, tags}, tags
 *
 * An instance id with an empty member id names the static member of that name, whoever it is. */
#include "log/kafka/kafka_handlers.h"
#include "log/kafka/kafka_member.h"

static enum kafka_result leave_one(struct kafka_request *request, const char *group)
{
    struct wire_writer *w = &request->writer;
    struct group_member member = {.member_id = kafka_read_text(request), .generation = -1};
    if (!wire_read_ok(&request->in))
        return KAFKA_CLOSE;
    enum kafka_error error = kafka_check_group(request, group);
    if (error == KAFKA_NONE)
        error =
            (enum kafka_error)coordinator_leave(log_coordinator(request->log), group, &member);
    if (request->version >= 1)
        wire_write_i32(w, 0);
    wire_write_i16(w, (int16_t)error);
    return KAFKA_ANSWER;
}

/* The members twice: once to see that all of the request can be read, then to send them away. */
static bool walk(struct kafka_request *request, const char *group, bool leaves)
{
    struct wire_reader *in = &request->in;
    struct wire_writer *w = &request->writer;
    int32_t count = wire_read_array(in, in->flexible ? 3 : 4);
    if (leaves)
        wire_write_array(w, count);
    for (int32_t i = 0; i < count && wire_read_ok(in); i++) {
        struct group_member member = {.member_id = kafka_read_text(request), .generation = -1};
        member.instance_id = kafka_read_nullable_text(request);
        if (request->version >= 5)
            wire_read_nullable_string(in);
        wire_read_tags(in);
        if (!leaves)
            continue;
        enum group_error error = coordinator_leave(log_coordinator(request->log), group, &member);
        wire_write_text(w, member.member_id);
        wire_write_text(w, member.instance_id);
        wire_write_i16(w, (int16_t)error);
        wire_write_tags(w);
    }
    wire_read_tags(in);
    return wire_read_ok(in);
}

enum kafka_result kafka_handle_leave_group(struct kafka_request *request)
{
    struct wire_writer *w = &request->writer;
    const char *group = kafka_read_text(request);
    enum kafka_result result = KAFKA_ANSWER;
    if (request->version < 3) {
        result = leave_one(request, group);
    } else {
        struct wire_reader members = request->in;
        if (!walk(request, group, false))
            return KAFKA_CLOSE;
        enum kafka_error error = kafka_check_group(request, group);
        request->in = members;
        wire_write_i32(w, 0);
        wire_write_i16(w, (int16_t)error);
        if (error == KAFKA_NONE)
            result = walk(request, group, true) ? KAFKA_ANSWER : KAFKA_CLOSE;
        else
            wire_write_array(w, 0);
        wire_write_tags(w);
    }
    if (log_status(request->log, NULL) == 0)
        groups_store(request->log, NULL);
    return result;
}
