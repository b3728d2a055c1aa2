/* kafka_alter_client_quotas.c: AlterClientQuotas (key 49, versions 0 and 1). A quota that nobody would keep is refused: error 44.
 *
 *   request   entries {entity {type, name (nullable), tags}, operations {key, value f64, remove bool, tags}, tags}, validate only bool, tags
 *   response  throttle time i32, entries {error i16, error message (nullable), entity {type, name (nullable), tags}, tags}, tags */
#include "log/kafka/kafka_handlers.h"

/* The entity, which stands in the answer as it does in the request. */
static void pass_entity(struct kafka_request *request, bool answers)
{
    struct wire_reader *in = &request->in;
    struct wire_writer *w = &request->writer;
    int32_t count = wire_read_array(in, in->flexible ? 3 : 4);
    if (answers)
        wire_write_array(w, count);
    for (int32_t i = 0; i < count && wire_read_ok(in); i++) {
        struct bytes type = wire_read_string(in), name = wire_read_nullable_string(in);
        wire_read_tags(in);
        if (!answers)
            continue;
        wire_write_string(w, type);
        wire_write_string(w, name);
        wire_write_tags(w);
    }
}

static void skip_operations(struct wire_reader *in)
{
    int32_t count = wire_read_array(in, 11);
    for (int32_t i = 0; i < count && wire_read_ok(in); i++) {
        wire_read_string(in);
        wire_read_i64(in);
        wire_read_bool(in);
        wire_read_tags(in);
    }
}

/* The entries twice: to see that all of the request can be read, then to answer. */
static void walk(struct kafka_request *request, bool answers)
{
    struct wire_reader *in = &request->in;
    struct wire_writer *w = &request->writer;
    int32_t count = wire_read_array(in, in->flexible ? 3 : 8);
    if (answers)
        wire_write_array(w, count);
    for (int32_t i = 0; i < count && wire_read_ok(in) && buf_ok(&request->out); i++) {
        if (answers) {
            bool may = kafka_check_cluster(request) == KAFKA_NONE;
            wire_write_i16(w, may ? KAFKA_POLICY_VIOLATION : KAFKA_CLUSTER_AUTHORIZATION_FAILED);
            wire_write_text(w, may ? "there are no quotas here"
                                   : "the client may not alter the cluster's configs");
        }
        pass_entity(request, answers);
        skip_operations(in);
        wire_read_tags(in);
        if (answers)
            wire_write_tags(w);
    }
}

enum kafka_result kafka_handle_alter_client_quotas(struct kafka_request *request)
{
    struct wire_reader *in = &request->in;
    struct wire_reader entries = *in;
    walk(request, false);
    wire_read_bool(in);
    wire_read_tags(in);
    if (!wire_read_ok(in))
        return KAFKA_CLOSE;
    request->in = entries;
    wire_write_i32(&request->writer, 0);
    walk(request, true);
    wire_write_tags(&request->writer);
    return KAFKA_ANSWER;
}
