/* kafka_join_group.c: JoinGroup (key 11, versions 0 to 9): a member comes into a group, or comes back for its next generation.
 *
 *   request   group, session timeout i32, v1+: rebalance timeout i32, member id, v5+: instance id (nullable), protocol type, protocols {name,
 *             metadata bytes, tags}, v8+: reason (nullable), tags
 *   response  v2+: throttle time i32, error i16, generation i32, v7+: protocol type (nullable), protocol (v7+: nullable), leader, v9+: skip
 *             assignment bool, member id, members {member id, v5+: instance id (nullable), metadata bytes, tags}, tags
 *
 * The rules are the coordinator's (coordinator.h); the answer is written when it calls, with its mutex held: into memory, nothing else. */
#include "log/kafka/kafka_handlers.h"
#include "log/kafka/kafka_member.h"

#include <stdio.h>

static void write_response(struct kafka_request *request, const struct join_response *response)
{
    struct wire_writer *w = &request->writer;
    const char *protocol = response->protocol;
    if (request->version >= 2)
        wire_write_i32(w, 0);
    wire_write_i16(w, (int16_t)response->error);
    wire_write_i32(w, response->generation);
    if (request->version >= 7)
        wire_write_text(w, response->protocol_type);
    wire_write_text(w, protocol == NULL && request->version < 7 ? "" : protocol);
    wire_write_text(w, response->leader != NULL ? response->leader : "");
    if (request->version >= 9)
        wire_write_bool(w, response->skip_assignment);
    wire_write_text(w, response->member_id != NULL ? response->member_id : "");
    wire_write_array(w, (int32_t)response->member_count);
    for (size_t i = 0; i < response->member_count; i++) {
        const struct join_member *member = &response->members[i];
        wire_write_text(w, member->member_id);
        if (request->version >= 5)
            wire_write_text(w, member->instance_id);
        wire_write_bytes(w, member->metadata.data != NULL ? member->metadata : bytes_of("", 0));
        wire_write_tags(w);
    }
    wire_write_tags(w);
}

static void on_joined(void *context, const struct join_response *response)
{
    struct kafka_request *request = context;
    if (!kafka_request_take_call(request))
        return;
    write_response(request, response);
    kafka_request_called(request);
}

static enum kafka_result refuse(struct kafka_request *request, const struct join_request *join,
                                enum group_error error)
{
    struct join_response response = {
        .error = error, .generation = -1, .leader = "", .member_id = join->member_id};
    write_response(request, &response);
    return KAFKA_ANSWER;
}

static const struct join_protocol *read_protocols(struct kafka_request *request, size_t *count)
{
    struct wire_reader *in = &request->in;
    int32_t wire_count = wire_read_array(in, in->flexible ? 3 : 6);
    struct join_protocol *protocols =
        arena_zalloc(&request->arena, (size_t)(wire_count + 1) * sizeof *protocols);
    *count = 0;
    if (protocols == NULL) {
        wire_read_fail(in, "more protocols than its size allows");
        return NULL;
    }
    for (int32_t i = 0; i < wire_count && wire_read_ok(in); i++) {
        protocols[i].name = kafka_read_text(request);
        protocols[i].metadata = wire_read_bytes(in);
        wire_read_tags(in);
    }
    *count = (size_t)wire_count;
    return protocols;
}

static bool read_request(struct kafka_request *request, struct join_request *join)
{
    struct wire_reader *in = &request->in;
    char host[64];
    snprintf(host, sizeof host, "/%s", request->peer_host);
    *join = (struct join_request){.group = kafka_read_text(request)};
    join->session_timeout_ms = wire_read_i32(in);
    if (request->version >= 1)
        join->rebalance_timeout_ms = wire_read_i32(in);
    join->member_id = kafka_read_text(request);
    if (request->version >= 5)
        join->instance_id = kafka_read_nullable_text(request);
    join->protocol_type = kafka_read_text(request);
    join->protocols = read_protocols(request, &join->protocol_count);
    if (request->version >= 8)
        wire_read_nullable_string(in);
    wire_read_tags(in);
    struct bytes client = request->client_id;
    join->client_id = kafka_request_text(request, client.data != NULL ? client : bytes_of("", 0));
    join->host = arena_text(&request->arena, host);
    join->initial_rebalance_delay_ms = request->options->rebalance_delay_ms;
    join->member_id_required = request->version >= 4 && join->instance_id == NULL;
    join->can_skip_assignment = request->version >= 9;
    if (join->client_id == NULL || join->host == NULL)
        wire_read_fail(in, "a client id with a zero byte in it");
    return wire_read_ok(in);
}

enum kafka_result kafka_handle_join_group(struct kafka_request *request)
{
    struct join_request join;
    if (!read_request(request, &join))
        return KAFKA_CLOSE;
    enum kafka_error error = kafka_check_group(request, join.group);
    if (error != KAFKA_NONE)
        return refuse(request, &join, (enum group_error)error);
    if (group_name_check(join.group, NULL) < 0)
        return refuse(request, &join, GROUP_INVALID_GROUP_ID);
    if (join.protocol_type[0] == '\0' || join.protocol_count == 0)
        return refuse(request, &join, GROUP_INCONSISTENT_PROTOCOL);
    if (!kafka_expect_call(request, join.group)) {
        request->reason = "no memory";
        return KAFKA_CLOSE;
    }
    coordinator_join(log_coordinator(request->log), &join, on_joined, request);
    return KAFKA_CALLBACK;
}
