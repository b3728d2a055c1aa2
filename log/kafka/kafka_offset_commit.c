/* kafka_offset_commit.c: OffsetCommit (key 8, versions 2 to 9): how far a group has read.
 *
 *   request   group, generation i32, member id, v7+: instance id (nullable), v2–4: retention i64, topics {name, partitions {index i32, offset i64,
 *             v6+: leader epoch i32, metadata (nullable), tags}, tags}, tags
 *   response  v3+: throttle time i32, topics {name, partitions {index i32, error i16, tags}, tags}, tags
 *
 * Durable when it is answered. The right to commit is taken once for the whole request, so that no generation begins in the middle of it. Without a member
 * (generation -1) anybody may commit while the group has none. How long offsets are kept is the log's decision (offsets_retention_ms), not the client's. */
#include "log/coordinator.h"
#include "log/kafka/kafka_handlers.h"
#include "log/kafka/kafka_member.h"
#include "log/kafka/kafka_offsets.h"

static enum kafka_error write_offsets(void *context, struct kafka_request *request,
                                      const struct group_offset *offsets, size_t count)
{
    const struct kafka_group_member *who = context;
    return kafka_group_error_of(
        group_commit_member(request->log, who->group, &who->member, offsets, count, NULL));
}

enum kafka_result kafka_handle_offset_commit(struct kafka_request *request)
{
    struct coordinator *coordinator = log_coordinator(request->log);
    struct kafka_group_member who = kafka_read_member(request, 7);
    struct kafka_offsets offsets = {
        .request = request, .epoch_since = 6, .write = write_offsets, .context = &who};
    if (request->version <= 4)
        wire_read_i64(&request->in);
    if (!kafka_offsets_begin(&offsets))
        return KAFKA_CLOSE;
    offsets.refusal = kafka_check_group(request, who.group);
    if (offsets.refusal == KAFKA_NONE && group_name_check(who.group, NULL) < 0)
        offsets.refusal = KAFKA_INVALID_GROUP_ID;
    if (offsets.refusal == KAFKA_NONE)
        offsets.refusal =
            (enum kafka_error)coordinator_commit_begin(coordinator, who.group, &who.member);
    if (request->version >= 3)
        wire_write_i32(&request->writer, 0);
    kafka_offsets_commit(&offsets);
    if (offsets.refusal == KAFKA_NONE)
        coordinator_commit_end(coordinator, who.group);
    return KAFKA_ANSWER;
}
