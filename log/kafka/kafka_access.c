/* kafka_access.c: what a client may do (see kafka_access.h). */
#include "log/kafka/kafka_access.h"
#include "log/kafka/kafka_request.h"
#include "log/kafka/kafka_session.h"

static bool is_super(const struct kafka_server_options *options, const char *principal)
{
    for (size_t i = 0; i < options->super_user_count; i++)
        if (strcmp(options->super_users[i], principal) == 0)
            return true;
    return false;
}

void kafka_access_begin(struct kafka_request *request)
{
    struct kafka_access *access = &request->access;
    struct acl_rules *rules = acl_rules_take(request->log);
    access->asks = false;
    access->rules = NULL;
    access->resource = 0;
    if (rules == NULL && request->options->super_user_count == 0)
        return;
    const char *principal = kafka_session_principal(request->session);
    access->rules = rules;
    access->principal = principal != NULL ? principal : KAFKA_ANONYMOUS;
    access->asks = !is_super(request->options, access->principal);
}

struct acl_rules *kafka_access_rules(const struct kafka_request *request)
{
    return request->access.rules;
}

bool kafka_access_allows(struct log *log, const struct kafka_server_options *options,
                         const char *principal, const char *host, enum acl_resource resource,
                         struct bytes name, enum acl_operation operation)
{
    struct acl_rules *rules = acl_rules_take(log);
    bool asks = (rules != NULL || options->super_user_count > 0) && !is_super(options, principal);
    bool may =
        !asks || acl_rights_may(acl_rights_of(rules, principal, host, resource, name), operation);
    acl_rules_give_back(rules);
    return may;
}

/* ---- questions ---- */

static struct acl_rights rights_of(struct kafka_request *request, enum acl_resource resource,
                                   struct bytes name)
{
    struct kafka_access *access = &request->access;
    if (access->resource == resource &&
        bytes_equal(bytes_of(access->name, access->name_size), name))
        return access->rights;
    access->rights =
        acl_rights_of(access->rules, access->principal, request->peer_host, resource, name);
    access->resource = name.size <= sizeof access->name ? (uint8_t)resource : 0;
    access->name_size = access->resource != 0 ? name.size : 0;
    if (access->name_size > 0)
        memcpy(access->name, name.data, name.size);
    return access->rights;
}

bool kafka_may(struct kafka_request *request, enum acl_resource resource, struct bytes name,
               enum acl_operation operation)
{
    return !request->access.asks || acl_rights_may(rights_of(request, resource, name), operation);
}

bool kafka_may_cluster(struct kafka_request *request, enum acl_operation operation)
{
    return kafka_may(request, ACL_CLUSTER, bytes_text(ACL_CLUSTER_NAME), operation);
}

bool kafka_may_create(struct kafka_request *request, struct bytes topic)
{
    return kafka_may_cluster(request, ACL_CREATE) ||
           kafka_may(request, ACL_TOPIC, topic, ACL_CREATE);
}

/* operation 0: the table says that the API does not ask about such a resource, because it asks about the cluster. */
static enum kafka_error check(struct kafka_request *request, enum acl_resource resource,
                              struct bytes name, uint8_t operation, enum kafka_error error)
{
    if (!request->access.asks)
        return KAFKA_NONE;
    must(operation != 0);
    return kafka_may(request, resource, name, (enum acl_operation)operation) ? KAFKA_NONE : error;
}

enum kafka_error kafka_check_topic(struct kafka_request *request, struct bytes topic)
{
    return check(request, ACL_TOPIC, topic, request->api->rights.topic,
                 KAFKA_TOPIC_AUTHORIZATION_FAILED);
}

enum kafka_error kafka_check_group(struct kafka_request *request, const char *group)
{
    return check(request, ACL_GROUP, bytes_text(group), request->api->rights.group,
                 KAFKA_GROUP_AUTHORIZATION_FAILED);
}

enum kafka_error kafka_check_txn(struct kafka_request *request, struct bytes transactional_id)
{
    return check(request, ACL_TRANSACTIONAL_ID, transactional_id, request->api->rights.txn,
                 KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
}

enum kafka_error kafka_check_cluster(struct kafka_request *request)
{
    return check(request, ACL_CLUSTER, bytes_text(ACL_CLUSTER_NAME), request->api->rights.cluster,
                 KAFKA_CLUSTER_AUTHORIZATION_FAILED);
}

enum kafka_error kafka_describe_topic(struct kafka_request *request, const char *name,
                                      struct topic_info *info, struct diag *diag)
{
    int code = topic_describe(request->log, name, info, diag);
    if (code == ERR_NOT_FOUND && !kafka_may_cluster(request, ACL_DESCRIBE))
        diag_set(diag, code, "there is no topic %s", name);
    return kafka_error_of(code);
}

int32_t kafka_operations(struct kafka_request *request, enum acl_resource resource,
                         struct bytes name)
{
    if (!request->access.asks)
        return (int32_t)acl_operations_of(resource);
    return (int32_t)acl_rights_operations(rights_of(request, resource, name), resource);
}

int32_t kafka_cluster_operations(struct kafka_request *request)
{
    if (!kafka_may_cluster(request, ACL_DESCRIBE))
        return 0;
    return kafka_operations(request, ACL_CLUSTER, bytes_text(ACL_CLUSTER_NAME));
}

bool kafka_may_write_somewhere(struct kafka_request *request)
{
    const struct kafka_access *access = &request->access;
    return !access->asks ||
           acl_may_any(access->rules, access->principal, request->peer_host, ACL_TOPIC, ACL_WRITE);
}
