/* kafka_resource.c: topics and the broker as resources with configs.
 *
 * A topic's configs are the log's (config_key.c). A key that takes one value only is read-only to clients. Changes go to topic_alter: checked as a whole and
 * durable before they are answered.
 *
 * The broker's configs are what tools ask for before they do something: they compare the replication factor, look for automatic creation, show the directory.
 * All of them are true of this server, and all are read-only: they come from the command line. */
#include "log/kafka/kafka_resource.h"
#include "log/group.h"

#include <ctype.h>
#include <pthread.h>
#include <stdio.h>

/* ---- topics ---- */

static enum kafka_config_type type_of_value(const char *value)
{
    if (strcmp(value, "true") == 0 || strcmp(value, "false") == 0)
        return KAFKA_CONFIG_BOOLEAN;
    return value[0] == '-' || isdigit((unsigned char)value[0]) ? KAFKA_CONFIG_LONG
                                                               : KAFKA_CONFIG_LIST;
}

enum kafka_config_type kafka_config_type(const struct config_key *key)
{
    if (key->role == KEY_FIXED)
        return type_of_value(key->fallback);
    switch (key->kind) {
    case KIND_NUMBER:
        return key->max <= INT32_MAX ? KAFKA_CONFIG_INT : KAFKA_CONFIG_LONG;
    case KIND_RATIO:
        return KAFKA_CONFIG_DOUBLE;
    case KIND_BOOL:
        return KAFKA_CONFIG_BOOLEAN;
    case KIND_POLICY:
        return KAFKA_CONFIG_LIST;
    case KIND_CHOICE:
    case KIND_TEXT:
        break;
    }
    return KAFKA_CONFIG_STRING;
}

/* ---- the broker ---- */

struct telling {
    void (*fn)(void *context, const struct kafka_broker_config *config);
    void *context;
};

static void tell(const struct telling *telling, const char *name, const char *value,
                 enum kafka_config_type type, enum kafka_config_source source, const char *help)
{
    struct kafka_broker_config config = {name, value, type, source, help};
    telling->fn(telling->context, &config);
}

static void tell_number(const struct telling *telling, const char *name, int64_t value,
                        enum kafka_config_source source, const char *help)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)value);
    tell(telling, name, text, value > INT32_MAX ? KAFKA_CONFIG_LONG : KAFKA_CONFIG_INT, source,
         help);
}

static void tell_default(const struct telling *telling, const char *name, const char *topic_key,
                         const char *help)
{
    const struct config_key *key = config_key_find(topic_key);
    tell(telling, name, key->fallback, kafka_config_type(key), KAFKA_SOURCE_DEFAULT, help);
}

void kafka_broker_configs(struct kafka_request *request,
                          void (*fn)(void *context, const struct kafka_broker_config *config),
                          void *context)
{
    const struct kafka_server_options *options = request->options;
    struct telling t = {fn, context};
    char listener[300];
    bool is_ipv6 = strchr(request->advertised_host, ':') != NULL;
    bool is_secret = options->tls.certificate != NULL;
    const char *protocol = options->requires_users ? (is_secret ? "SASL_SSL" : "SASL_PLAINTEXT")
                                                   : (is_secret ? "SSL" : "PLAINTEXT");
    snprintf(listener, sizeof listener, "%s://%s%s%s:%d", protocol, is_ipv6 ? "[" : "",
             request->advertised_host, is_ipv6 ? "]" : "", request->advertised_port);
    tell(&t, "advertised.listeners", listener, KAFKA_CONFIG_STRING, KAFKA_SOURCE_BROKER,
         "Where clients are sent.");
    tell(&t, "auto.create.topics.enable", options->refuses_new_topics ? "false" : "true",
         KAFKA_CONFIG_BOOLEAN, KAFKA_SOURCE_BROKER,
         "Whether a topic that a client names and that is missing is created.");
    tell_number(&t, "broker.id", KAFKA_NODE_ID, KAFKA_SOURCE_BROKER, "There is one broker.");
    tell_default(&t, "compression.type", "compression.type", "Of topics that say nothing.");
    tell_number(&t, "default.replication.factor", 1, KAFKA_SOURCE_DEFAULT,
                "A partition has one copy.");
    tell(&t, "delete.topic.enable", "true", KAFKA_CONFIG_BOOLEAN, KAFKA_SOURCE_DEFAULT,
         "Topics can be deleted.");
    tell_number(&t, "group.initial.rebalance.delay.ms", options->rebalance_delay_ms,
                KAFKA_SOURCE_BROKER, "How long an empty group waits for more members.");
    tell_default(&t, "log.cleanup.policy", "cleanup.policy", "Of topics that say nothing.");
    tell(&t, "log.dirs", log_dir(request->log), KAFKA_CONFIG_STRING, KAFKA_SOURCE_BROKER,
         "The data directory.");
    tell_default(&t, "log.retention.bytes", "retention.bytes", "Of topics that say nothing.");
    tell_default(&t, "log.retention.ms", "retention.ms", "Of topics that say nothing.");
    tell_default(&t, "log.segment.bytes", "segment.bytes", "Of topics that say nothing.");
    tell_default(&t, "message.max.bytes", "max.message.bytes", "Of topics that say nothing.");
    tell_number(&t, "min.insync.replicas", 1, KAFKA_SOURCE_DEFAULT, "A partition has one copy.");
    tell_number(&t, "node.id", KAFKA_NODE_ID, KAFKA_SOURCE_BROKER, "There is one broker.");
    tell_number(&t, "num.partitions",
                options->new_topic_partitions > 0 ? options->new_topic_partitions : 1,
                KAFKA_SOURCE_BROKER, "Of topics that are created without a number.");
    tell_number(&t, "offset.metadata.max.bytes", GROUP_METADATA_BYTES, KAFKA_SOURCE_DEFAULT,
                "The longest text beside a committed offset.");
    tell_number(&t, "offsets.topic.replication.factor", 1, KAFKA_SOURCE_DEFAULT,
                "Offsets lie in this log.");
    tell_number(&t, "socket.request.max.bytes", KAFKA_FRAME_BYTES, KAFKA_SOURCE_DEFAULT,
                "The largest request.");
}

bool kafka_names_broker(struct bytes name, bool *is_default)
{
    *is_default = name.size == 0;
    return *is_default || bytes_equal(name, bytes_text("0"));
}

/* ---- changes ---- */

/* What is set may depend on what is in force: one change at a time. Taken before every lock of the log. */
static pthread_mutex_t altering = PTHREAD_MUTEX_INITIALIZER;

static bool is_named(const struct kafka_alteration *alteration, const char *key)
{
    for (size_t i = 0; i < alteration->count; i++)
        if (strcmp(alteration->entries[i].key, key) == 0)
            return true;
    return false;
}

void kafka_alteration_add(struct kafka_request *request, struct kafka_alteration *alteration,
                          struct bytes key, struct bytes value, int8_t operation)
{
    if (alteration->trouble != NULL)
        return;
    struct config_entry entry = {kafka_request_text(request, key), NULL};
    if (value.data != NULL)
        entry.value = kafka_request_text(request, value);
    if (entry.key == NULL || (value.data != NULL && entry.value == NULL))
        alteration->trouble = "a config with a zero byte in it";
    else if (alteration->count == KAFKA_CONFIGS_MOST)
        alteration->trouble = "more configs than there are keys";
    else if (is_named(alteration, entry.key))
        alteration->trouble = "a key is named twice";
    else {
        alteration->operations[alteration->count] = operation;
        alteration->entries[alteration->count++] = entry;
    }
}

static enum kafka_error refuse_broker(struct kafka_request *request,
                                      const struct kafka_alteration *alteration, struct diag *diag)
{
    bool is_default;
    enum kafka_error error = kafka_check_cluster(request);
    if (error != KAFKA_NONE) {
        diag_set(diag, ERR_INVALID, "the client may not alter the configs of the broker");
        return error;
    }
    if (kafka_names_broker(alteration->name, &is_default))
        diag_set(diag, ERR_INVALID,
                 "the broker's configs cannot be changed over the network: they are flags of weir "
                 "serve");
    else
        diag_set(diag, ERR_INVALID, "the only broker is %d", KAFKA_NODE_ID);
    return KAFKA_INVALID_REQUEST;
}

/* Fills alteration->topic. NONE; what is wrong with the resource, with a sentence in diag. */
static enum kafka_error check(struct kafka_request *request, struct kafka_alteration *alteration,
                              struct diag *diag)
{
    if (alteration->type == KAFKA_RESOURCE_BROKER)
        return refuse_broker(request, alteration, diag);
    if (alteration->type != KAFKA_RESOURCE_TOPIC) {
        diag_set(diag, ERR_INVALID, "resources of type %d have no configs here", alteration->type);
        return KAFKA_INVALID_REQUEST;
    }
    enum kafka_error error = kafka_check_topic(request, alteration->name);
    if (error != KAFKA_NONE) {
        diag_set(diag, ERR_INVALID, "the client may not alter the configs of this topic");
        return error;
    }
    if (alteration->trouble != NULL) {
        diag_set(diag, ERR_INVALID, "%s", alteration->trouble);
        return KAFKA_INVALID_REQUEST;
    }
    error = kafka_topic_name(alteration->name, alteration->topic);
    if (error == KAFKA_NONE)
        return kafka_describe_topic(request, alteration->topic, NULL, diag);
    diag_set(diag, ERR_INVALID, "no topic can have this name");
    return error;
}

static enum kafka_error alter(struct kafka_request *request, const struct kafka_alter_api *api,
                              struct kafka_alteration *a, bool validate, struct diag *diag)
{
    int code = 0;
    enum kafka_error error = check(request, a, diag);
    if (error == KAFKA_NONE)
        error = api->settle(request, a, diag);
    if (error == KAFKA_NONE)
        code = validate ? topic_config_check(a->entries, a->count, diag)
                        : topic_alter(request->log, a->topic, a->entries, a->count, diag);
    return code == ERR_INVALID ? KAFKA_INVALID_CONFIG : code < 0 ? kafka_error_of(code) : error;
}

static void read_resource(struct kafka_request *request, const struct kafka_alter_api *api,
                          struct kafka_alteration *alteration)
{
    struct wire_reader *in = &request->in;
    alteration->type = wire_read_i8(in);
    alteration->name = wire_read_string(in);
    alteration->count = 0;
    alteration->trouble = NULL;
    int32_t count = wire_read_array(in, in->flexible ? api->config_bytes - 1 : api->config_bytes);
    for (int32_t i = 0; i < count && wire_read_ok(in); i++) {
        api->read_config(request, alteration);
        wire_read_tags(in);
    }
    wire_read_tags(in);
}

static void answer_resource(struct kafka_request *request, const struct kafka_alter_api *api,
                            struct kafka_alteration *alteration, bool validate)
{
    struct wire_writer *w = &request->writer;
    struct diag diag = {.text = ""};
    pthread_mutex_lock(&altering);
    enum kafka_error error = alter(request, api, alteration, validate, &diag);
    pthread_mutex_unlock(&altering);
    wire_write_i16(w, (int16_t)error);
    wire_write_text(w, error == KAFKA_NONE ? NULL : diag.text);
    wire_write_i8(w, alteration->type);
    wire_write_string(w, alteration->name);
    wire_write_tags(w);
}

/* The resources twice: to see that all of the request can be read, and what stands behind them; then to change them. */
static void walk(struct kafka_request *request, const struct kafka_alter_api *api,
                 struct kafka_alteration *alteration, bool alters, bool validate)
{
    struct wire_reader *in = &request->in;
    int32_t count = wire_read_array(in, in->flexible ? 4 : 7);
    if (alters)
        wire_write_array(&request->writer, count);
    for (int32_t i = 0; i < count && wire_read_ok(in) && buf_ok(&request->out); i++) {
        read_resource(request, api, alteration);
        if (alters)
            answer_resource(request, api, alteration, validate);
    }
}

enum kafka_result kafka_alter_resources(struct kafka_request *request,
                                        const struct kafka_alter_api *api)
{
    struct wire_reader *in = &request->in;
    struct wire_reader resources = *in;
    struct kafka_alteration *alteration = arena_zalloc(&request->arena, sizeof *alteration);
    if (alteration == NULL)
        return KAFKA_CLOSE;
    walk(request, api, alteration, false, false);
    bool validate = wire_read_bool(in);
    wire_read_tags(in);
    if (!wire_read_ok(in))
        return KAFKA_CLOSE;
    request->in = resources;
    wire_write_i32(&request->writer, 0);
    walk(request, api, alteration, true, validate);
    wire_write_tags(&request->writer);
    return KAFKA_ANSWER;
}
