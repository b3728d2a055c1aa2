/* kafka_delete_groups.c: DeleteGroups (key 42, versions 0 to 2): groups and their offsets go.
 *
 *   request   groups [string], tags
 *   response  throttle time i32, results {group, error i16, tags}, tags
 *
 * A group with members stays (error 68). What is answered without an error is gone for good. */
#include "log/kafka/kafka_handlers.h"
#include "log/kafka/kafka_member.h"

static enum kafka_error delete_group(struct kafka_request *request, const char *group)
{
    enum kafka_error error = kafka_check_group(request, group);
    if (error != KAFKA_NONE)
        return error;
    if (group_name_check(group, NULL) < 0)
        return KAFKA_INVALID_GROUP_ID;
    int code = group_delete(request->log, group, NULL);
    if (code == ERR_BUSY)
        return KAFKA_NON_EMPTY_GROUP;
    return code == ERR_NOT_FOUND ? KAFKA_GROUP_ID_NOT_FOUND : kafka_group_error_of(code);
}

/* The groups twice: to see that all of the request can be read, then to delete them. */
static void walk(struct kafka_request *request, bool deletes)
{
    struct wire_reader *in = &request->in;
    struct wire_writer *w = &request->writer;
    int32_t count = wire_read_array(in, in->flexible ? 1 : 2);
    if (deletes)
        wire_write_array(w, count);
    for (int32_t i = 0; i < count && wire_read_ok(in) && buf_ok(&request->out); i++) {
        const char *group = kafka_read_text(request);
        if (!deletes || !wire_read_ok(in))
            continue;
        enum kafka_error error = delete_group(request, group);
        wire_write_text(w, group);
        wire_write_i16(w, (int16_t)error);
        wire_write_tags(w);
    }
    wire_read_tags(in);
}

enum kafka_result kafka_handle_delete_groups(struct kafka_request *request)
{
    struct wire_reader groups = request->in;
    walk(request, false);
    if (!wire_read_ok(&request->in))
        return KAFKA_CLOSE;
    request->in = groups;
    wire_write_i32(&request->writer, 0);
    walk(request, true);
    wire_write_tags(&request->writer);
    return wire_read_ok(&request->in) ? KAFKA_ANSWER : KAFKA_CLOSE;
}
