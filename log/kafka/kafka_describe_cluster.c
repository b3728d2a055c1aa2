/* kafka_describe_cluster.c: DescribeCluster (key 60, versions 0 and 1): where the broker is.
 *
 *   request   operations bool, v1+: endpoint type i8, tags
 *   response  throttle time i32, error i16, error message (nullable), v1+: endpoint type i8, cluster id, controller i32, brokers {node i32, host, port i32,
 *             rack (nullable), tags}, operations i32, tags
 *
 * Endpoint type 1 are brokers. Controllers (2) are reached elsewhere in a cluster that has them: error 114. */
#include "log/kafka/kafka_handlers.h"

enum { ENDPOINT_BROKERS = 1, ENDPOINT_CONTROLLERS = 2 };

static enum kafka_error check(int8_t endpoint)
{
    if (endpoint == ENDPOINT_BROKERS)
        return KAFKA_NONE;
    return endpoint == ENDPOINT_CONTROLLERS ? KAFKA_MISMATCHED_ENDPOINT_TYPE
                                            : KAFKA_UNSUPPORTED_ENDPOINT_TYPE;
}

static void write_broker(struct kafka_request *request)
{
    struct wire_writer *w = &request->writer;
    wire_write_i32(w, KAFKA_NODE_ID);
    wire_write_text(w, request->advertised_host);
    wire_write_i32(w, request->advertised_port);
    wire_write_text(w, NULL);
    wire_write_tags(w);
}

enum kafka_result kafka_handle_describe_cluster(struct kafka_request *request)
{
    struct wire_reader *in = &request->in;
    struct wire_writer *w = &request->writer;
    struct uuid cluster = {{0}};
    char cluster_text[23];
    bool operations = wire_read_bool(in);
    int8_t endpoint = request->version >= 1 ? wire_read_i8(in) : ENDPOINT_BROKERS;
    wire_read_tags(in);
    if (!wire_read_ok(in))
        return KAFKA_CLOSE;
    enum kafka_error error = check(endpoint);
    bool is_told = error == KAFKA_NONE;
    if (is_told)
        error = kafka_error_of(log_cluster_id(request->log, &cluster, NULL));
    uuid_text(cluster, cluster_text);
    wire_write_i32(w, 0);
    wire_write_i16(w, (int16_t)error);
    wire_write_text(w, is_told ? NULL : "there are brokers here, and no controllers");
    if (request->version >= 1)
        wire_write_i8(w, endpoint);
    wire_write_text(w, cluster_text);
    wire_write_i32(w, KAFKA_NODE_ID);
    wire_write_array(w, is_told ? 1 : 0);
    if (is_told)
        write_broker(request);
    wire_write_i32(w,
                   operations && is_told ? kafka_cluster_operations(request)
                                         : KAFKA_OPERATIONS_NOT_ASKED);
    wire_write_tags(w);
    return KAFKA_ANSWER;
}
