/* kafka_describe_client_quotas.c: DescribeClientQuotas (key 48, versions 0 and 1). No client has a quota.
 *
 *   request   components {entity type, match type i8, match (nullable), tags}, strict bool, tags
 *   response  throttle time i32, error i16, error message (nullable), entries {…} (nullable: with an error), tags */
#include "log/kafka/kafka_handlers.h"

enum kafka_result kafka_handle_describe_client_quotas(struct kafka_request *request)
{
    struct wire_reader *in = &request->in;
    struct wire_writer *w = &request->writer;
    int32_t components = wire_read_array(in, in->flexible ? 4 : 5);
    for (int32_t i = 0; i < components && wire_read_ok(in); i++) {
        wire_read_string(in);
        wire_read_i8(in);
        wire_read_nullable_string(in);
        wire_read_tags(in);
    }
    wire_read_bool(in);
    wire_read_tags(in);
    if (!wire_read_ok(in))
        return KAFKA_CLOSE;
    wire_write_i32(w, 0);
    enum kafka_error error = kafka_check_cluster(request);
    wire_write_i16(w, (int16_t)error);
    wire_write_text(w, error == KAFKA_NONE ? NULL : "the client may not ask this of the cluster");
    wire_write_array(w, error == KAFKA_NONE ? 0 : -1);
    wire_write_tags(w);
    return KAFKA_ANSWER;
}
