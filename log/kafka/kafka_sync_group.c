/* kafka_sync_group.c: SyncGroup (key 14, versions 0 to 5): the leader hands out the partitions of a generation, the others fetch theirs.
 *
 *   request   group, generation i32, member id, v3+: instance id (nullable), v5+: protocol type (nullable), protocol (nullable), assignments {member
 *             id, assignment bytes, tags}, tags
 *   response  v1+: throttle time i32, error i16, v5+: protocol type (nullable), protocol (nullable), assignment bytes (never null), tags
 *
 * Held by the coordinator until the leader's has come. What changed of the group is stored on the way: every generation passes here. */
#include "log/kafka/kafka_handlers.h"
#include "log/kafka/kafka_member.h"

static void write_response(struct kafka_request *request, const struct sync_response *response)
{
    struct wire_writer *w = &request->writer;
    if (request->version >= 1)
        wire_write_i32(w, 0);
    wire_write_i16(w, (int16_t)response->error);
    if (request->version >= 5) {
        wire_write_text(w, response->protocol_type);
        wire_write_text(w, response->protocol);
    }
    wire_write_bytes(w, response->assignment.data != NULL ? response->assignment : bytes_of("", 0));
    wire_write_tags(w);
}

static void on_synced(void *context, const struct sync_response *response)
{
    struct kafka_request *request = context;
    if (!kafka_request_take_call(request))
        return;
    write_response(request, response);
    kafka_request_called(request);
}

static const struct sync_assignment *read_assignments(struct kafka_request *request, size_t *count)
{
    struct wire_reader *in = &request->in;
    int32_t wire_count = wire_read_array(in, in->flexible ? 3 : 6);
    struct sync_assignment *assignments =
        arena_zalloc(&request->arena, (size_t)(wire_count + 1) * sizeof *assignments);
    *count = 0;
    if (assignments == NULL) {
        wire_read_fail(in, "more assignments than its size allows");
        return NULL;
    }
    for (int32_t i = 0; i < wire_count && wire_read_ok(in); i++) {
        assignments[i].member_id = kafka_read_text(request);
        assignments[i].assignment = wire_read_bytes(in);
        wire_read_tags(in);
    }
    *count = (size_t)wire_count;
    return assignments;
}

enum kafka_result kafka_handle_sync_group(struct kafka_request *request)
{
    struct wire_reader *in = &request->in;
    struct kafka_group_member who = kafka_read_member(request, 3);
    struct sync_request sync = {.group = who.group, .member = who.member};
    if (request->version >= 5) {
        sync.protocol_type = kafka_read_nullable_text(request);
        sync.protocol = kafka_read_nullable_text(request);
    }
    sync.assignments = read_assignments(request, &sync.assignment_count);
    wire_read_tags(in);
    if (!wire_read_ok(in))
        return KAFKA_CLOSE;
    struct sync_response refusal = {.error =
                                        (enum group_error)kafka_check_group(request, sync.group)};
    if (refusal.error != GROUP_OK) {
        write_response(request, &refusal);
        return KAFKA_ANSWER;
    }
    if (!kafka_expect_call(request, sync.group)) {
        request->reason = "no memory";
        return KAFKA_CLOSE;
    }
    if (log_status(request->log, NULL) == 0)
        groups_store(request->log, NULL);
    coordinator_sync(log_coordinator(request->log), &sync, on_synced, request);
    return KAFKA_CALLBACK;
}
