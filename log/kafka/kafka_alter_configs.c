/* kafka_alter_configs.c: AlterConfigs (key 33, versions 0 to 2).
 *
 *   request   resources {type i8, name, configs {key, value (nullable), tags}, tags}, validate only bool, tags
 *   response  throttle time i32, responses {error i16, error message (nullable), type i8, name, tags}, tags
 *
 * The configs that come replace all that were set: a key that is not named has its default again. But for keys of weir's own, which a client that knows Kafka
 * cannot have meant: those are reset by an empty value. */
#include "log/kafka/kafka_handlers.h"
#include "log/kafka/kafka_resource.h"

static void read_config(struct kafka_request *request, struct kafka_alteration *alteration)
{
    struct wire_reader *in = &request->in;
    struct bytes key = wire_read_string(in), value = wire_read_nullable_string(in);
    if (value.data == NULL && alteration->trouble == NULL)
        alteration->trouble = "a config without a value";
    if (value.size == 0 && key.size > 5 && memcmp(key.data, "weir.", 5) == 0)
        value = bytes_of(NULL, 0);
    kafka_alteration_add(request, alteration, key, value, 0);
}

static void reset_unnamed(void *context, const char *key, const char *value, bool is_set)
{
    struct kafka_alteration *alteration = context;
    (void)value;
    if (!is_set || strncmp(key, "weir.", 5) == 0 || alteration->count == KAFKA_CONFIGS_MOST)
        return;
    for (size_t i = 0; i < alteration->count; i++)
        if (strcmp(alteration->entries[i].key, key) == 0)
            return;
    alteration->entries[alteration->count++] = (struct config_entry){key, NULL};
}

static enum kafka_error settle(struct kafka_request *request, struct kafka_alteration *alteration,
                               struct diag *diag)
{
    int code = topic_config_each(request->log, alteration->topic, reset_unnamed, alteration);
    if (code < 0)
        diag_set(diag, code, "topic %s is gone", alteration->topic);
    return kafka_error_of(code);
}

enum kafka_result kafka_handle_alter_configs(struct kafka_request *request)
{
    static const struct kafka_alter_api api = {4, read_config, settle};
    return kafka_alter_resources(request, &api);
}
