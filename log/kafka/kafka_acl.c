/* kafka_acl.c: what the APIs of access lists share (see kafka_acl.h).
 *
 * Where nobody is asked who he is, lists of who may do what would mean nothing: Kafka without an authorizer answers error 54, and so does this. `weir acl` changes
 * the lists of a directory that is not served.
 *
 * With the first binding everything that no binding allows is forbidden, to the one who makes it as well. So a change after which its author could make no other one is refused
 * (44), unless the server knows a super user. */
#include "log/kafka/kafka_acl.h"
#include "log/kafka/kafka_member.h"
#include "log/kafka/kafka_session.h"

struct kafka_acl_refusal kafka_acl_refuse(struct kafka_request *request)
{
    const struct kafka_server_options *options = request->options;
    if (!options->requires_users && options->tls.client_ca == NULL)
        return (struct kafka_acl_refusal){
            KAFKA_SECURITY_DISABLED,
            "nobody is asked who he is here: access lists need users, or client certificates"};
    enum kafka_error error = kafka_check_cluster(request);
    return (struct kafka_acl_refusal){
        error, error == KAFKA_NONE ? NULL : "the client may not do this to the cluster"};
}

static uint8_t read_number(struct wire_reader *in)
{
    int8_t number = wire_read_i8(in);
    return number > 0 ? (uint8_t)number : 0;
}

struct acl_binding kafka_read_acl(struct kafka_request *request, bool is_filter)
{
    const char *(*read)(struct kafka_request * request) =
        is_filter ? kafka_read_nullable_text : kafka_read_text;
    struct wire_reader *in = &request->in;
    struct acl_binding b = {.resource = read_number(in)};
    b.name = read(request);
    b.pattern = read_number(in);
    b.principal = read(request);
    b.host = read(request);
    b.operation = read_number(in);
    b.permission = read_number(in);
    return b;
}

void kafka_write_acl_resource(struct wire_writer *w, const struct acl_binding *b)
{
    wire_write_i8(w, (int8_t)b->resource);
    wire_write_text(w, b->name);
    wire_write_i8(w, (int8_t)b->pattern);
}

void kafka_write_acl_entry(struct wire_writer *w, const struct acl_binding *b)
{
    wire_write_text(w, b->principal);
    wire_write_text(w, b->host);
    wire_write_i8(w, (int8_t)b->operation);
    wire_write_i8(w, (int8_t)b->permission);
}

bool kafka_acl_agrees(void *context, const struct acl_rules *after)
{
    const struct kafka_request *request = context;
    const char *principal = kafka_session_principal(request->session);
    if (after == NULL || request->options->super_user_count > 0)
        return true;
    return acl_rights_may(acl_rights_of(after, principal != NULL ? principal : KAFKA_ANONYMOUS,
                                        request->peer_host, ACL_CLUSTER,
                                        bytes_text(ACL_CLUSTER_NAME)),
                          ACL_ALTER);
}

enum kafka_error kafka_acl_error_of(int code, const char **message)
{
    *message = code == ERR_STATE
                   ? "after this the client could not change access lists any more: first allow it "
                     "to alter the cluster, or start 'weir serve' with --super-user"
               : code == ERR_TOO_LARGE ? "there are as many bindings as there can be"
               : code < 0              ? "the access lists cannot be written"
                                       : NULL;
    return code == ERR_STATE || code == ERR_TOO_LARGE ? KAFKA_POLICY_VIOLATION
                                                      : kafka_error_of(code);
}
