/* kafka_describe_groups.c: DescribeGroups (key 15, versions 0 to 5): who is in a group, and what each was given.
 *
 *   request   groups [string], v3+: operations bool, tags
 *   response  v1+: throttle time i32, groups {error i16, group, state, protocol type, protocol, members {member id, v4+: instance id (nullable), client id,
 *             client host, metadata bytes, assignment bytes, tags}, v3+: operations i32, tags}, tags
 *
 * A group that there is not has state "Dead" and no error: so says the protocol up to version 5. What members know about each other is shown while it holds:
 * the protocol, metadata and assignments of a Stable group. */
#include "log/kafka/kafka_handlers.h"
#include "log/kafka/kafka_member.h"

static void write_head(struct kafka_request *request, const char *group, enum kafka_error error,
                       enum group_state state, const char *protocol_type, const char *protocol)
{
    struct wire_writer *w = &request->writer;
    wire_write_i16(w, (int16_t)error);
    wire_write_text(w, group);
    wire_write_text(w, group_state_text(state));
    wire_write_text(w, protocol_type);
    wire_write_text(w, protocol);
}

static void write_member(struct kafka_request *request, const struct member_view *member,
                         bool is_stable)
{
    struct wire_writer *w = &request->writer;
    struct bytes nothing = bytes_of("", 0);
    wire_write_text(w, member->member_id);
    if (request->version >= 4)
        wire_write_text(w, member->instance_id);
    wire_write_text(w, member->client_id);
    wire_write_text(w, member->host);
    wire_write_bytes(w, is_stable && member->metadata.size > 0 ? member->metadata : nothing);
    wire_write_bytes(w, is_stable && member->assignment.size > 0 ? member->assignment : nothing);
    wire_write_tags(w);
}

/* Under the coordinator's mutex. */
static int write_group(void *context, const struct group_view *view)
{
    struct kafka_request *request = context;
    bool is_stable = view->state == GROUP_STABLE;
    write_head(request, view->name, KAFKA_NONE, view->state, view->protocol_type,
               is_stable ? view->protocol : "");
    wire_write_array(&request->writer, (int32_t)view->member_count);
    for (size_t i = 0; i < view->member_count; i++)
        write_member(request, &view->members[i], is_stable);
    return 0;
}

/* A group that nobody has joined since the server began. */
static void write_stored(struct kafka_request *request, const char *group)
{
    struct group_info info = {.state = GROUP_DEAD};
    enum kafka_error error = KAFKA_INVALID_GROUP_ID;
    if (group_name_check(group, NULL) == 0) {
        int code = group_info(request->log, group, &info, NULL);
        error = code == ERR_NOT_FOUND ? KAFKA_NONE : kafka_group_error_of(code);
        if (code < 0)
            info = (struct group_info){.state = GROUP_DEAD};
    }
    write_head(request, group, error, info.state, info.protocol_type, "");
    wire_write_array(&request->writer, 0);
}

static void answer_group(struct kafka_request *request, const char *group, bool operations)
{
    struct coordinator *coordinator = log_coordinator(request->log);
    enum kafka_error error = kafka_check_group(request, group);
    if (error != KAFKA_NONE) {
        write_head(request, group, error, GROUP_DEAD, "", "");
        wire_write_array(&request->writer, 0);
        operations = false;
    } else if (coordinator_view(coordinator, group, write_group, request) < 0)
        write_stored(request, group);
    if (request->version >= 3)
        wire_write_i32(&request->writer,
                       operations ? kafka_operations(request, ACL_GROUP, bytes_text(group))
                                  : KAFKA_OPERATIONS_NOT_ASKED);
    wire_write_tags(&request->writer);
}

/* The groups twice: what is wanted of all of them stands behind them. */
static void walk(struct kafka_request *request, bool answers, bool operations)
{
    struct wire_reader *in = &request->in;
    int32_t count = wire_read_array(in, in->flexible ? 1 : 2);
    if (answers)
        wire_write_array(&request->writer, count);
    for (int32_t i = 0; i < count && wire_read_ok(in) && buf_ok(&request->out); i++) {
        const char *group = kafka_read_text(request);
        if (answers && wire_read_ok(in))
            answer_group(request, group, operations);
    }
}

enum kafka_result kafka_handle_describe_groups(struct kafka_request *request)
{
    struct wire_reader *in = &request->in;
    struct wire_reader groups = *in;
    walk(request, false, false);
    bool operations = request->version >= 3 && wire_read_bool(in);
    wire_read_tags(in);
    if (!wire_read_ok(in))
        return KAFKA_CLOSE;
    request->in = groups;
    if (request->version >= 1)
        wire_write_i32(&request->writer, 0);
    walk(request, true, operations);
    wire_write_tags(&request->writer);
    return wire_read_ok(in) ? KAFKA_ANSWER : KAFKA_CLOSE;
}
