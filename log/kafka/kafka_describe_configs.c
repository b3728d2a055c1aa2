/* kafka_describe_configs.c: DescribeConfigs (key 32, versions 1 to 4).
 *
 *   request   resources {type i8, name, keys [string] (nullable), tags}, synonyms bool, v3+: documentation bool, tags
 *   response  throttle time i32, results {error i16, error message (nullable), type i8, name, configs {key, value (nullable), read only bool, source i8,
 *             sensitive bool, synonyms {key, value (nullable), source i8, tags}, v3+: type i8, documentation (nullable), tags}, tags}, tags
 *
 * Null or no keys ask for all; of those that are named, what there is comes back. Synonyms are where a value could come from, the one in force first: what was set
 * for the topic, then the default. */
#include "log/kafka/kafka_handlers.h"
#include "log/kafka/kafka_resource.h"

struct asking {
    int8_t type;
    struct bytes name;
    struct wire_reader keys; /* at the first of key_count */
    int32_t key_count;       /* ≤ 0: all are asked for */
    bool synonyms, documentation;
};
struct listing { /* entries go to the worker's buffer: their number stands before them */
    const struct asking *asking;
    int16_t version;
    struct wire_writer writer;
    int32_t count;
};

static void read_resource(struct kafka_request *request, struct asking *asking)
{
    struct wire_reader *in = &request->in;
    asking->type = wire_read_i8(in);
    asking->name = wire_read_string(in);
    asking->key_count = wire_read_nullable_array(in, in->flexible ? 1 : 2);
    asking->keys = *in;
    for (int32_t i = 0; i < asking->key_count && wire_read_ok(in); i++)
        wire_read_string(in);
    wire_read_tags(in);
}

static bool is_asked_for(const struct asking *asking, const char *key)
{
    struct wire_reader keys = asking->keys;
    for (int32_t i = 0; i < asking->key_count; i++)
        if (bytes_equal(wire_read_string(&keys), bytes_text(key)))
            return true;
    return asking->key_count <= 0;
}

static void write_head(struct wire_writer *w, const char *key, const char *value, bool read_only,
                       enum kafka_config_source source)
{
    wire_write_text(w, key);
    wire_write_text(w, value);
    wire_write_bool(w, read_only);
    wire_write_i8(w, (int8_t)source);
    wire_write_bool(w, false);
}

static void write_synonym(struct wire_writer *w, const char *key, const char *value,
                          enum kafka_config_source source)
{
    wire_write_text(w, key);
    wire_write_text(w, value);
    wire_write_i8(w, (int8_t)source);
    wire_write_tags(w);
}

static void write_tail(struct listing *listing, enum kafka_config_type type, const char *help)
{
    struct wire_writer *w = &listing->writer;
    if (listing->version >= 3) {
        wire_write_i8(w, (int8_t)type);
        wire_write_text(w, listing->asking->documentation ? help : NULL);
    }
    wire_write_tags(w);
    listing->count++;
}

static void list_topic_config(void *context, const char *name, const char *value, bool is_set)
{
    struct listing *listing = context;
    struct wire_writer *w = &listing->writer;
    const struct config_key *key = config_key_find(name);
    if (!is_asked_for(listing->asking, name))
        return;
    write_head(w, name, value, key->role == KEY_FIXED,
               is_set ? KAFKA_SOURCE_TOPIC : KAFKA_SOURCE_DEFAULT);
    const char *fallback = is_set ? key->fallback : value;
    bool told = listing->asking->synonyms;
    wire_write_array(w, told ? (is_set ? 1 : 0) + (fallback != NULL ? 1 : 0) : 0);
    if (told && is_set)
        write_synonym(w, name, value, KAFKA_SOURCE_TOPIC);
    if (told && fallback != NULL)
        write_synonym(w, name, fallback, KAFKA_SOURCE_DEFAULT);
    write_tail(listing, kafka_config_type(key), key->help);
}

static void list_broker_config(void *context, const struct kafka_broker_config *config)
{
    struct listing *listing = context;
    struct wire_writer *w = &listing->writer;
    if (!is_asked_for(listing->asking, config->name))
        return;
    write_head(w, config->name, config->value, true, config->source);
    wire_write_array(w, listing->asking->synonyms ? 1 : 0);
    if (listing->asking->synonyms)
        write_synonym(w, config->name, config->value, config->source);
    write_tail(listing, config->type, config->help);
}

static enum kafka_error list_topic(struct kafka_request *request, struct listing *listing,
                                   struct diag *diag)
{
    char topic[250];
    enum kafka_error error = kafka_check_topic(request, listing->asking->name);
    if (error != KAFKA_NONE) {
        diag_set(diag, ERR_INVALID, "the client may not read the configs of this topic");
        return error;
    }
    error = kafka_topic_name(listing->asking->name, topic);
    if (error != KAFKA_NONE) {
        diag_set(diag, ERR_INVALID, "no topic can have this name");
        return error;
    }
    error = kafka_describe_topic(request, topic, NULL, diag);
    if (error != KAFKA_NONE)
        return error;
    return kafka_error_of(topic_config_each(request->log, topic, list_topic_config, listing));
}

static enum kafka_error list_broker(struct kafka_request *request, struct listing *listing,
                                    struct diag *diag)
{
    bool is_default;
    enum kafka_error error = kafka_check_cluster(request);
    if (error != KAFKA_NONE) {
        diag_set(diag, ERR_INVALID, "the client may not read the configs of the broker");
        return error;
    }
    if (!kafka_names_broker(listing->asking->name, &is_default)) {
        diag_set(diag, ERR_INVALID, "the only broker is %d", KAFKA_NODE_ID);
        return KAFKA_INVALID_REQUEST;
    }
    if (!is_default)
        kafka_broker_configs(request, list_broker_config, listing);
    return KAFKA_NONE;
}

static void answer_resource(struct kafka_request *request, const struct asking *asking)
{
    struct wire_writer *w = &request->writer;
    struct listing listing = {asking, request->version, {request->scratch, w->flexible}, 0};
    struct diag diag = {.text = "there is no such topic"};
    enum kafka_error error = KAFKA_INVALID_REQUEST;
    buf_clear(request->scratch);
    if (asking->type == KAFKA_RESOURCE_TOPIC)
        error = list_topic(request, &listing, &diag);
    else if (asking->type == KAFKA_RESOURCE_BROKER)
        error = list_broker(request, &listing, &diag);
    else
        diag_set(&diag, ERR_INVALID, "resources of type %d have no configs here", asking->type);
    wire_write_i16(w, (int16_t)error);
    wire_write_text(w, error == KAFKA_NONE ? NULL : diag.text);
    wire_write_i8(w, asking->type);
    wire_write_string(w, asking->name);
    wire_write_array(w, listing.count);
    buf_append(&request->out, request->scratch->data, request->scratch->size);
    wire_write_tags(w);
    if (!buf_ok(request->scratch))
        request->out.failed = true;
}

/* The resources twice: what is wanted of all of them stands behind them. */
static void walk(struct kafka_request *request, struct asking *asking, bool answers)
{
    struct wire_reader *in = &request->in;
    int32_t count = wire_read_array(in, in->flexible ? 4 : 7);
    if (answers)
        wire_write_array(&request->writer, count);
    for (int32_t i = 0; i < count && wire_read_ok(in) && buf_ok(&request->out); i++) {
        read_resource(request, asking);
        if (answers)
            answer_resource(request, asking);
    }
}

enum kafka_result kafka_handle_describe_configs(struct kafka_request *request)
{
    struct wire_reader *in = &request->in;
    struct wire_reader resources = *in;
    struct asking asking = {.type = 0};
    walk(request, &asking, false);
    asking.synonyms = wire_read_bool(in);
    asking.documentation = request->version >= 3 && wire_read_bool(in);
    wire_read_tags(in);
    if (!wire_read_ok(in))
        return KAFKA_CLOSE;
    request->in = resources;
    wire_write_i32(&request->writer, 0);
    walk(request, &asking, true);
    wire_write_tags(&request->writer);
    return KAFKA_ANSWER;
}
