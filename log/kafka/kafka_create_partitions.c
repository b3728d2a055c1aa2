/* kafka_create_partitions.c: CreatePartitions (key 37, versions 0 to 3): more partitions for a topic.
 *
 *   request   topics {name, count i32, assignments {[broker i32], tags} (nullable), tags}, timeout i32, validate only bool, tags
 *   response  throttle time i32, results {name, error i16, error message (nullable), tags}, tags
 *
 * count is how many there are to be in all. An assignment names the brokers of each new partition: this one, once. A topic has its new partitions,
 * for good, when it is answered. */
#include "log/kafka/kafka_handlers.h"

struct growing {
    struct bytes wire_name;
    int32_t count;
    int32_t assigned;    /* partitions in assignments; -1: it has none */
    bool assigned_to_us; /* all of them */
};

static void read_topic(struct kafka_request *request, struct growing *g)
{
    struct wire_reader *in = &request->in;
    g->wire_name = wire_read_string(in);
    g->count = wire_read_i32(in);
    g->assigned = wire_read_nullable_array(in, in->flexible ? 2 : 4);
    g->assigned_to_us = true;
    for (int32_t i = 0; i < g->assigned && wire_read_ok(in); i++) {
        int32_t brokers = wire_read_array(in, 4);
        g->assigned_to_us &= brokers == 1;
        for (int32_t b = 0; b < brokers; b++)
            g->assigned_to_us &= wire_read_i32(in) == KAFKA_NODE_ID;
        wire_read_tags(in);
    }
    wire_read_tags(in);
}

static enum kafka_error check(struct kafka_request *request, const struct growing *g,
                              const char *name, struct diag *diag)
{
    struct topic_info info;
    enum kafka_error error = kafka_describe_topic(request, name, &info, diag);
    if (error != KAFKA_NONE)
        return error;
    if (info.internal) {
        diag_set(diag, ERR_INVALID,
                 "topic %s is internal: a job made it for itself, with as many partitions as its "
                 "input has",
                 name);
        return KAFKA_POLICY_VIOLATION;
    }
    if (g->count <= info.partitions || g->count > KAFKA_TOPIC_PARTITIONS) {
        diag_set(diag, ERR_INVALID,
                 "topic %s has %d partitions and can have more, up to %d; not %d", name,
                 info.partitions, KAFKA_TOPIC_PARTITIONS, g->count);
        return KAFKA_INVALID_PARTITIONS;
    }
    if (g->assigned >= 0 && (!g->assigned_to_us || g->assigned != g->count - info.partitions)) {
        diag_set(diag, ERR_INVALID,
                 "an assignment names broker %d, alone, for each of the %d new partitions",
                 KAFKA_NODE_ID, g->count - info.partitions);
        return KAFKA_INVALID_REPLICA_ASSIGNMENT;
    }
    return KAFKA_NONE;
}

static enum kafka_error grow(struct kafka_request *request, const struct growing *g, bool validate,
                             struct diag *diag)
{
    char name[250];
    enum kafka_error error = kafka_check_topic(request, g->wire_name);
    if (error != KAFKA_NONE) {
        diag_set(diag, ERR_INVALID, "the client may not alter this topic");
        return error;
    }
    error = kafka_topic_name(g->wire_name, name);
    if (error != KAFKA_NONE) {
        diag_set(diag, ERR_INVALID, "no topic can have this name");
        return error;
    }
    error = check(request, g, name, diag);
    if (error != KAFKA_NONE || validate)
        return error;
    int code = topic_grow(request->log, name, g->count, diag);
    return code == ERR_INVALID ? KAFKA_INVALID_PARTITIONS : kafka_error_of(code);
}

/* The topics twice: to see that all of the request can be read, and what stands behind them; then to grow them. */
static void walk(struct kafka_request *request, bool grows, bool validate)
{
    struct wire_reader *in = &request->in;
    struct wire_writer *w = &request->writer;
    int32_t count = wire_read_array(in, in->flexible ? 7 : 10);
    if (grows)
        wire_write_array(w, count);
    for (int32_t i = 0; i < count && wire_read_ok(in) && buf_ok(&request->out); i++) {
        struct growing g;
        read_topic(request, &g);
        if (!grows)
            continue;
        struct diag diag = {.text = ""};
        enum kafka_error error = grow(request, &g, validate, &diag);
        wire_write_string(w, g.wire_name);
        wire_write_i16(w, (int16_t)error);
        wire_write_text(w, error == KAFKA_NONE ? NULL : diag.text);
        wire_write_tags(w);
    }
}

enum kafka_result kafka_handle_create_partitions(struct kafka_request *request)
{
    struct wire_reader *in = &request->in;
    struct wire_reader topics = *in;
    walk(request, false, false);
    wire_read_i32(in);
    bool validate = wire_read_bool(in);
    wire_read_tags(in);
    if (!wire_read_ok(in))
        return KAFKA_CLOSE;
    request->in = topics;
    wire_write_i32(&request->writer, 0);
    walk(request, true, validate);
    wire_write_tags(&request->writer);
    return KAFKA_ANSWER;
}
