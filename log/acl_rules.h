/* acl_rules.h: access lists in memory, for who makes them (acl.c). Who asks them includes acl.h. */
#ifndef WEIR_LOG_ACL_RULES_H
#define WEIR_LOG_ACL_RULES_H

#include "log/acl.h"

struct acl_stored {
    uint32_t number; /* its key in meta */
    struct acl_binding binding;
};
/* Copies the list, and sorts the copy. NULL: no memory. One reference, the caller's. */
struct acl_rules *acl_rules_create(const struct acl_stored *list, size_t count);
const struct acl_stored *acl_rules_stored(const struct acl_rules *rules, size_t i);
/* One reference more. */
void acl_rules_refer(struct acl_rules *rules);

#endif
