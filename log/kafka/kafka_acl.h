/* kafka_acl.h: what the three APIs of access lists share: bindings and filters on the wire, and whether there are any lists here. */
#ifndef WEIR_KAFKA_ACL_H
#define WEIR_KAFKA_ACL_H

#include "log/kafka/kafka_request.h"

enum { KAFKA_ACLS_MOST = 1000 }; /* bindings, or filters, of one request: each is compared with all that there are */

/* What is wrong with all of the request: nobody is asked who he is (54), the client may not do it (31). */
struct kafka_acl_refusal {
    enum kafka_error error;
    const char *message; /* constant; NULL: nothing is wrong */
};
struct kafka_acl_refusal kafka_acl_refuse(struct kafka_request *request);

/* Type i8, name, pattern i8, principal, host, operation i8, permission i8; of a filter the texts may be null. The texts are in the arena; a number that is negative reads as 0, which
 * is none. */
struct acl_binding kafka_read_acl(struct kafka_request *request, bool is_filter);
/* The same for a binding that there is. */
void kafka_write_acl_resource(struct wire_writer *writer, const struct acl_binding *binding);
void kafka_write_acl_entry(struct wire_writer *writer, const struct acl_binding *binding);

/* acl_change.agrees: whether the client (a struct kafka_request) could change access lists afterwards. Where a super user is, somebody always can. */
bool kafka_acl_agrees(void *request, const struct acl_rules *after);
/* What acl_change answered. *message: constant, or NULL. */
enum kafka_error kafka_acl_error_of(int code, const char **message);

#endif
