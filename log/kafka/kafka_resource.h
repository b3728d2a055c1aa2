/* kafka_resource.h: what the three config APIs share: topics and the broker as resources with configs. */
#ifndef WEIR_KAFKA_RESOURCE_H
#define WEIR_KAFKA_RESOURCE_H

#include "log/kafka/kafka_request.h"

enum kafka_resource_type { KAFKA_RESOURCE_TOPIC = 2, KAFKA_RESOURCE_BROKER = 4 };
enum kafka_config_source { KAFKA_SOURCE_TOPIC = 1, KAFKA_SOURCE_BROKER = 4, KAFKA_SOURCE_DEFAULT = 5 };
enum kafka_config_type {
    KAFKA_CONFIG_BOOLEAN = 1,
    KAFKA_CONFIG_STRING = 2,
    KAFKA_CONFIG_INT = 3,
    KAFKA_CONFIG_LONG = 5,
    KAFKA_CONFIG_DOUBLE = 6,
    KAFKA_CONFIG_LIST = 7,
};
/* What a key of a topic is to clients. */
enum kafka_config_type kafka_config_type(const struct config_key *key);

/* The broker's configs: facts of this server, none of which can be changed over the network. Calls fn for each, in the order of names. */
struct kafka_broker_config {
    const char *name, *value;
    enum kafka_config_type type;
    enum kafka_config_source source; /* BROKER: somebody said so when the server was started */
    const char *help;
};
void kafka_broker_configs(struct kafka_request *request, void (*fn)(void *context, const struct kafka_broker_config *config), void *context);
/* Whether a resource name is the broker's: "0", or "" (the default of all brokers, for which nothing is set: *is_default). */
bool kafka_names_broker(struct bytes name, bool *is_default);

/* ---- changes ---- */
enum { KAFKA_CONFIGS_MOST = 200 }; /* of one resource: there are fewer keys */
struct kafka_alteration {
    int8_t type;
    struct bytes name;
    char topic[250];
    struct config_entry entries[KAFKA_CONFIGS_MOST];
    int8_t operations[KAFKA_CONFIGS_MOST]; /* of IncrementalAlterConfigs */
    size_t count;
    const char *trouble; /* why the request makes no sense for this resource */
};
/* Adds what a request says about one key, in the arena; trouble says why it cannot be. */
void kafka_alteration_add(struct kafka_request *request, struct kafka_alteration *alteration, struct bytes key, struct bytes value, int8_t operation);
/* How the two APIs differ. */
struct kafka_alter_api {
    size_t config_bytes; /* the smallest config of a request that is not flexible */
    void (*read_config)(struct kafka_request *request, struct kafka_alteration *alteration);
    /* From what is asked for to what is to be set, given what is in force: nobody else changes it meanwhile. NONE; an error with a sentence. */
    enum kafka_error (*settle)(struct kafka_request *request, struct kafka_alteration *alteration, struct diag *diag);
};
enum kafka_result kafka_alter_resources(struct kafka_request *request, const struct kafka_alter_api *api);

#endif
