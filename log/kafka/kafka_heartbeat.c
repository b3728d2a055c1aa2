/* kafka_heartbeat.c: Heartbeat (key 12, versions 0 to 4): a member is alive, and learns whether it must join again.
 *
 *   request   group, generation i32, member id, v3+: instance id (nullable), tags
 *   response  v1+: throttle time i32, error i16, tags */
#include "log/kafka/kafka_handlers.h"
#include "log/kafka/kafka_member.h"

enum kafka_result kafka_handle_heartbeat(struct kafka_request *request)
{
    struct wire_writer *w = &request->writer;
    struct kafka_group_member who = kafka_read_member(request, 3);
    wire_read_tags(&request->in);
    if (!wire_read_ok(&request->in))
        return KAFKA_CLOSE;
    enum kafka_error error = kafka_check_group(request, who.group);
    if (error == KAFKA_NONE)
        error = (enum kafka_error)coordinator_heartbeat(log_coordinator(request->log), who.group,
                                                        &who.member);
    if (request->version >= 1)
        wire_write_i32(w, 0);
    wire_write_i16(w, (int16_t)error);
    wire_write_tags(w);
    return KAFKA_ANSWER;
}
