/* kafka_create_topics.c: CreateTopics (key 19, versions 0 to 7).
 *
 *   request   topics {name, partitions i32, replication i16, assignments {partition i32, [broker i32], tags}, configs {key, value (nullable), tags},
 *             tags}, timeout i32, v1+: validate only bool, tags
 *   response  v2+: throttle time i32, topics {name, v7+: id, error i16, v1+: error message (nullable), v5+: partitions i32, replication i16,
 *             configs {key, value (nullable), read only bool, source i8, sensitive bool, tags}, tags (v5+: 0: error of the configs i16)}, tags
 *
 * -1 partitions are as many as a topic gets that a client names without creating it. Of replicas there is one: -1 and 1 say so, and an assignment, which must
 * name every partition once and no other broker than this one. A topic is durable when it is answered, so that the timeout does not matter.
 * A null value of a config is the key's default. */
#include "log/kafka/kafka_handlers.h"

enum { SOURCE_TOPIC = 1, SOURCE_DEFAULT = 5, CONFIGS_MOST = 200, SINCE_DETAILS = 5 };

struct creating {
    struct bytes wire_name;
    char name[250];
    int32_t partitions;
    int16_t replication;
    int32_t assigned; /* partitions in assignments; -1: they make no sense */
    struct config_entry configs[CONFIGS_MOST];
    size_t config_count;
    const char *trouble; /* what cannot be a config */
};

/* ---- the request ---- */

static void read_assignments(struct wire_reader *in, struct creating *c)
{
    uint8_t seen[KAFKA_TOPIC_PARTITIONS / 8 + 1] = {0};
    int32_t count = wire_read_array(in, in->flexible ? 6 : 8);
    bool ours = true;
    for (int32_t i = 0; i < count && wire_read_ok(in); i++) {
        int32_t index = wire_read_i32(in);
        int32_t brokers = wire_read_array(in, 4);
        ours &= brokers == 1 && index >= 0 && index < count;
        for (int32_t b = 0; b < brokers; b++)
            ours &= wire_read_i32(in) == KAFKA_NODE_ID;
        wire_read_tags(in);
        if (!ours || index >= KAFKA_TOPIC_PARTITIONS)
            continue; /* there are too many: check says so */
        ours = (seen[index / 8] >> index % 8 & 1) == 0;
        seen[index / 8] |= (uint8_t)(1 << index % 8);
    }
    c->assigned = ours ? count : -1;
}

static void read_configs(struct kafka_request *request, struct creating *c)
{
    struct wire_reader *in = &request->in;
    int32_t count = wire_read_array(in, in->flexible ? 3 : 4);
    c->config_count = 0;
    c->trouble = count > CONFIGS_MOST ? "more configs than there are keys" : NULL;
    for (int32_t i = 0; i < count && wire_read_ok(in); i++) {
        struct bytes key = wire_read_string(in), value = wire_read_nullable_string(in);
        wire_read_tags(in);
        if (c->trouble != NULL || value.data == NULL)
            continue;
        struct config_entry entry = {kafka_request_text(request, key),
                                     kafka_request_text(request, value)};
        if (entry.key == NULL || entry.value == NULL)
            c->trouble = "a config with a zero byte in it";
        else
            c->configs[c->config_count++] = entry;
    }
}

static void read_topic(struct kafka_request *request, struct creating *c)
{
    struct wire_reader *in = &request->in;
    c->wire_name = wire_read_string(in);
    c->partitions = wire_read_i32(in);
    c->replication = wire_read_i16(in);
    read_assignments(in, c);
    read_configs(request, c);
    wire_read_tags(in);
}

/* ---- one topic ---- */

static enum kafka_error say(struct diag *diag, enum kafka_error error, const char *text)
{
    diag_set(diag, ERR_INVALID, "%s", text);
    return error;
}

static enum kafka_error check(struct kafka_request *request, struct creating *c, struct diag *diag)
{
    if (!kafka_may_create(request, c->wire_name))
        return say(diag, KAFKA_TOPIC_AUTHORIZATION_FAILED, "the client may not create this topic");
    if (kafka_topic_name(c->wire_name, c->name) != KAFKA_NONE)
        return say(diag, KAFKA_INVALID_TOPIC,
                   "a name has 1 to 249 letters, digits, '.', '_' and '-'");
    if (topic_describe(request->log, c->name, NULL, NULL) == 0)
        return say(diag, KAFKA_TOPIC_ALREADY_EXISTS, "there is such a topic");
    if (c->assigned < 0 || (c->assigned > 0 && c->partitions != -1))
        return say(diag, KAFKA_INVALID_REPLICA_ASSIGNMENT,
                   "assignments name every partition once, each on broker 0 alone");
    if (c->replication != -1 && c->replication != 1)
        return say(diag, KAFKA_INVALID_REPLICATION_FACTOR, "there is one broker");
    if (c->assigned > 0)
        c->partitions = c->assigned;
    else if (c->partitions == -1)
        c->partitions =
            request->options->new_topic_partitions > 0 ? request->options->new_topic_partitions : 1;
    if (c->partitions < 1 || c->partitions > KAFKA_TOPIC_PARTITIONS)
        return say(diag, KAFKA_INVALID_PARTITIONS, "a topic has 1 to 10000 partitions");
    if (c->trouble != NULL)
        return say(diag, KAFKA_INVALID_CONFIG, c->trouble);
    if (topic_config_check(c->configs, c->config_count, diag) < 0)
        return KAFKA_INVALID_CONFIG;
    return KAFKA_NONE;
}

static enum kafka_error create(struct kafka_request *request, struct creating *c, bool validate,
                               struct diag *diag)
{
    enum kafka_error error = check(request, c, diag);
    if (error != KAFKA_NONE || validate)
        return error;
    int code =
        topic_create(request->log, c->name, c->partitions, c->configs, c->config_count, diag);
    return code == ERR_INVALID ? KAFKA_INVALID_CONFIG : kafka_error_of(code);
}

/* ---- the response ---- */

struct listing {
    struct wire_writer *writer; /* NULL: they are counted */
    int32_t count;
};

static void list_config(void *context, const char *key, const char *value, bool is_set)
{
    struct listing *listing = context;
    struct wire_writer *w = listing->writer;
    listing->count++;
    if (w == NULL)
        return;
    wire_write_text(w, key);
    wire_write_text(w, value);
    wire_write_bool(w, false);
    wire_write_i8(w, is_set ? SOURCE_TOPIC : SOURCE_DEFAULT);
    wire_write_bool(w, false);
    wire_write_tags(w);
}

static void write_details(struct kafka_request *request, const struct creating *c, bool created)
{
    struct wire_writer *w = &request->writer;
    struct listing counted = {0}, written = {.writer = w};
    wire_write_i32(w, c->partitions);
    wire_write_i16(w, c->partitions < 0 ? -1 : 1);
    if (created)
        topic_config_each(request->log, c->name, list_config, &counted);
    wire_write_array(w, counted.count);
    if (created)
        topic_config_each(request->log, c->name, list_config, &written);
    if (written.count != counted.count)
        request->out.failed = true; /* deleted between the two: there is no such answer */
}

static void answer_topic(struct kafka_request *request, struct creating *c, bool validate)
{
    struct wire_writer *w = &request->writer;
    struct topic_info info = {.partitions = -1};
    struct diag diag = {0};
    enum kafka_error error = create(request, c, validate, &diag);
    if (error != KAFKA_NONE)
        c->partitions = -1;
    bool created =
        error == KAFKA_NONE && !validate && topic_describe(request->log, c->name, &info, NULL) == 0;
    wire_write_string(w, c->wire_name);
    if (request->version >= 7)
        wire_write_uuid(w, info.id);
    wire_write_i16(w, (int16_t)error);
    if (request->version >= 1)
        wire_write_text(w, error == KAFKA_NONE ? NULL : diag.text);
    bool shows =
        error != KAFKA_NONE || kafka_may(request, ACL_TOPIC, c->wire_name, ACL_DESCRIBE_CONFIGS);
    if (!shows)
        c->partitions = -1;
    if (request->version >= SINCE_DETAILS)
        write_details(request, c, created && shows);
    if (request->version >= SINCE_DETAILS && !shows)
        wire_write_tag_i16(w, 0, KAFKA_TOPIC_AUTHORIZATION_FAILED);
    else
        wire_write_tags(w);
}

/* The topics twice: to see that all of the request can be read, and what stands behind them; then to make them. */
static int32_t walk(struct kafka_request *request, struct creating *c, bool creates, bool validate)
{
    struct wire_reader *in = &request->in;
    int32_t count = wire_read_array(in, in->flexible ? 10 : 16);
    if (creates)
        wire_write_array(&request->writer, count);
    for (int32_t i = 0; i < count && wire_read_ok(in) && buf_ok(&request->out); i++) {
        read_topic(request, c);
        if (creates)
            answer_topic(request, c, validate);
    }
    return count;
}

enum kafka_result kafka_handle_create_topics(struct kafka_request *request)
{
    struct wire_reader *in = &request->in;
    struct creating *c = arena_zalloc(&request->arena, sizeof *c);
    struct wire_reader topics = *in;
    if (c == NULL)
        return KAFKA_CLOSE;
    walk(request, c, false, false);
    wire_read_i32(in);
    bool validate = request->version >= 1 && wire_read_bool(in);
    wire_read_tags(in);
    if (!wire_read_ok(in))
        return KAFKA_CLOSE;
    request->in = topics;
    if (request->version >= 2)
        wire_write_i32(&request->writer, 0);
    walk(request, c, true, validate);
    wire_write_tags(&request->writer);
    return wire_read_ok(in) ? KAFKA_ANSWER : KAFKA_CLOSE;
}
