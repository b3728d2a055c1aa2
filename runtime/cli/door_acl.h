/* door_acl.h: access lists behind a door (door.h): in the directory that the command has opened (door_acl.c), or behind a server (remote_acl.c). */
#ifndef WEIR_CLI_DOOR_ACL_H
#define WEIR_CLI_DOOR_ACL_H

#include "log/acl.h"
#include "runtime/cli/door.h"

/* The bindings at(context, i) for i below count as one block for free(), or NULL: no memory. */
struct acl_binding *door_acl_copy(const struct acl_binding *(*at)(const void *context, size_t i), const void *context, size_t count);

/* What door.h says of the functions of these names. */
int log_acl_list(struct door *door, const struct acl_binding *filter, struct acl_binding **list, size_t *count, struct diag *diag);
int log_acl_add(struct door *door, const struct acl_binding *bindings, size_t count, struct diag *diag);
int log_acl_delete(struct door *door, const struct acl_binding *filter, size_t *count, struct diag *diag);
int remote_acl_list(struct door *door, const struct acl_binding *filter, struct acl_binding **list, size_t *count, struct diag *diag);
int remote_acl_add(struct door *door, const struct acl_binding *bindings, size_t count, struct diag *diag);
int remote_acl_delete(struct door *door, const struct acl_binding *filter, size_t *count, struct diag *diag);

#endif
