/* remote_acl.c: access lists behind a server (see door_acl.h), over the Kafka protocol.
 *
 * librdkafka 2.0 knows topics, groups and the cluster as resources, and no transactional ids: a binding of one can be neither made nor
 * chosen here, and in a list it has a type that is not told. Nor does it pass on that somebody may not see the lists: then there are none. */
#include "runtime/cli/door_acl.h"
#include "runtime/cli/remote.h"

#include <stdlib.h>

static const char what[] = "the access lists";

static int check_resource(const struct acl_binding *b, struct diag *diag)
{
    if (b->resource <= ACL_CLUSTER)
        return 0;
    return diag_set(diag, ERR_UNSUPPORTED,
                    "bindings of transactional ids cannot be changed through a server\n"
                    "hint: kafka-acls.sh can, or this command when the directory is not served");
}

static int error_of(struct remote *remote, const rd_kafka_error_t *error, struct diag *diag)
{
    if (error == NULL)
        return 0;
    return remote_error(remote, rd_kafka_error_code(error), what, rd_kafka_error_string(error),
                        diag);
}

static rd_kafka_AclBindingFilter_t *new_filter(const struct acl_binding *f, struct diag *diag)
{
    char text[512] = "";
    rd_kafka_AclBindingFilter_t *filter = rd_kafka_AclBindingFilter_new(
        (rd_kafka_ResourceType_t)f->resource, f->name, (rd_kafka_ResourcePatternType_t)f->pattern,
        f->principal, f->host, (rd_kafka_AclOperation_t)f->operation,
        (rd_kafka_AclPermissionType_t)f->permission, text, sizeof text);
    if (filter == NULL)
        diag_set(diag, ERR_INVALID, "%s", text);
    return filter;
}

/* ---- list ---- */

struct told {
    const rd_kafka_AclBinding_t **bindings;
    struct acl_binding *shapes;
};

static const struct acl_binding *told_at(const void *context, size_t i)
{
    const struct told *told = context;
    const rd_kafka_AclBinding_t *b = told->bindings[i];
    told->shapes[i] =
        (struct acl_binding){.resource = (uint8_t)rd_kafka_AclBinding_restype(b),
                             .pattern = (uint8_t)rd_kafka_AclBinding_resource_pattern_type(b),
                             .operation = (uint8_t)rd_kafka_AclBinding_operation(b),
                             .permission = (uint8_t)rd_kafka_AclBinding_permission_type(b),
                             .name = rd_kafka_AclBinding_name(b),
                             .principal = rd_kafka_AclBinding_principal(b),
                             .host = rd_kafka_AclBinding_host(b)};
    return &told->shapes[i];
}

static int take_list(struct remote_call *call, struct acl_binding **list, size_t *count,
                     struct diag *diag)
{
    struct told told = {
        rd_kafka_DescribeAcls_result_acls(rd_kafka_event_DescribeAcls_result(call->event), count),
        NULL};
    told.shapes = calloc(*count + 1, sizeof *told.shapes);
    if (told.shapes != NULL)
        *list = door_acl_copy(told_at, &told, *count);
    free(told.shapes);
    return *list != NULL ? 0 : diag_set(diag, ERR_NOMEM, "no memory for the access lists");
}

int remote_acl_list(struct door *door, const struct acl_binding *filter, struct acl_binding **list,
                    size_t *count, struct diag *diag)
{
    struct remote_call call;
    *list = NULL;
    *count = 0;
    TRY(check_resource(filter, diag));
    rd_kafka_AclBindingFilter_t *asked = new_filter(filter, diag);
    if (asked == NULL)
        return ERR_INVALID;
    int code = remote_begin(door->remote, RD_KAFKA_ADMIN_OP_DESCRIBEACLS, &call, diag);
    if (code == 0) {
        rd_kafka_DescribeAcls(door->remote->handle, asked, call.options, call.queue);
        code = remote_wait(door->remote, &call, what, diag);
    }
    if (code == 0)
        code = take_list(&call, list, count, diag);
    remote_end(&call);
    rd_kafka_AclBinding_destroy(asked);
    return code;
}

/* ---- add ---- */

static int make_bindings(const struct acl_binding *bindings, size_t count,
                         rd_kafka_AclBinding_t **made, struct diag *diag)
{
    for (size_t i = 0; i < count; i++) {
        const struct acl_binding *b = &bindings[i];
        char text[512] = "";
        TRY(check_resource(b, diag));
        made[i] =
            rd_kafka_AclBinding_new((rd_kafka_ResourceType_t)b->resource, b->name,
                                    (rd_kafka_ResourcePatternType_t)b->pattern, b->principal,
                                    b->host, (rd_kafka_AclOperation_t)b->operation,
                                    (rd_kafka_AclPermissionType_t)b->permission, text, sizeof text);
        if (made[i] == NULL)
            return diag_set(diag, ERR_INVALID, "%s", text);
    }
    return 0;
}

static int add(struct remote *remote, rd_kafka_AclBinding_t **made, size_t count, struct diag *diag)
{
    struct remote_call call;
    size_t answered = 0;
    int code = remote_begin(remote, RD_KAFKA_ADMIN_OP_CREATEACLS, &call, diag);
    if (code == 0) {
        rd_kafka_CreateAcls(remote->handle, made, count, call.options, call.queue);
        code = remote_wait(remote, &call, what, diag);
    }
    if (code == 0) {
        const rd_kafka_acl_result_t **results = rd_kafka_CreateAcls_result_acls(
            rd_kafka_event_CreateAcls_result(call.event), &answered);
        for (size_t i = 0; i < answered && code == 0; i++)
            code = error_of(remote, rd_kafka_acl_result_error(results[i]), diag);
    }
    remote_end(&call);
    return code;
}

int remote_acl_add(struct door *door, const struct acl_binding *bindings, size_t count,
                   struct diag *diag)
{
    rd_kafka_AclBinding_t **made = calloc(count + 1, sizeof *made);
    if (made == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for %zu bindings", count);
    int code = make_bindings(bindings, count, made, diag);
    if (code == 0)
        code = add(door->remote, made, count, diag);
    for (size_t i = 0; i < count && made[i] != NULL; i++)
        rd_kafka_AclBinding_destroy(made[i]);
    free(made);
    return code;
}

/* ---- delete ---- */

int remote_acl_delete(struct door *door, const struct acl_binding *filter, size_t *count,
                      struct diag *diag)
{
    struct remote_call call;
    size_t answered = 0;
    *count = 0;
    TRY(check_resource(filter, diag));
    rd_kafka_AclBindingFilter_t *asked = new_filter(filter, diag);
    if (asked == NULL)
        return ERR_INVALID;
    int code = remote_begin(door->remote, RD_KAFKA_ADMIN_OP_DELETEACLS, &call, diag);
    if (code == 0) {
        rd_kafka_DeleteAcls(door->remote->handle, &asked, 1, call.options, call.queue);
        code = remote_wait(door->remote, &call, what, diag);
    }
    if (code == 0) {
        const rd_kafka_DeleteAcls_result_response_t **responses =
            rd_kafka_DeleteAcls_result_responses(rd_kafka_event_DeleteAcls_result(call.event),
                                                 &answered);
        if (answered == 1)
            code = error_of(door->remote, rd_kafka_DeleteAcls_result_response_error(responses[0]),
                            diag);
        if (answered == 1 && code == 0)
            rd_kafka_DeleteAcls_result_response_matching_acls(responses[0], count);
    }
    remote_end(&call);
    rd_kafka_AclBinding_destroy(asked);
    return code;
}
