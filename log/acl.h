/* acl.h: what those who connect to a log that is served may do: bindings of a principal to an operation on a resource, as Kafka's access lists
 * have them. In meta, beside the users, so that a copy of the directory keeps them.
 *
 *   a binding   principal ("User:alice", "User:*") · host (an address, "*") · ALLOW or DENY · operation · resource type, pattern type, name
 *   a host      is an address, however it is written; ::ffff:10.0.0.7 is 10.0.0.7
 *   a pattern   LITERAL: that name alone ("*": every name); PREFIXED: every name that begins so
 *
 * One DENY that fits beats every ALLOW. An ALLOW of Read, Write, Delete or Alter is one of Describe, one of AlterConfigs is one of DescribeConfigs, and All is one of
 * everything; a DENY denies what it says, and All everything. What no binding allows is denied. Whether anybody asks here at all (there may be no
 * binding, or a super user asks) is decided where requests come in: log/kafka/kafka_access.h.
 *
 * Threads: any thread may call any of these. The bindings are held in memory as struct acl_rules, which never change: a change makes new ones, and who
 * has taken the old ones keeps them until he gives them back. What is changed is durable on return. */
#ifndef WEIR_LOG_ACL_H
#define WEIR_LOG_ACL_H

#include "log/log.h"

/* Kafka's numbers throughout. ANY stands in filters alone. */
enum acl_resource { ACL_RESOURCE_ANY = 1, ACL_TOPIC = 2, ACL_GROUP = 3, ACL_CLUSTER = 4, ACL_TRANSACTIONAL_ID = 5, ACL_DELEGATION_TOKEN = 6, ACL_USER = 7 };
enum acl_pattern { ACL_PATTERN_ANY = 1, ACL_MATCH = 2 /* filters: every pattern that fits the name */, ACL_LITERAL = 3, ACL_PREFIXED = 4 };
enum acl_operation {
    ACL_OPERATION_ANY = 1,
    ACL_ALL = 2,
    ACL_READ = 3,
    ACL_WRITE = 4,
    ACL_CREATE = 5,
    ACL_DELETE = 6,
    ACL_ALTER = 7,
    ACL_DESCRIBE = 8,
    ACL_CLUSTER_ACTION = 9,
    ACL_DESCRIBE_CONFIGS = 10,
    ACL_ALTER_CONFIGS = 11,
    ACL_IDEMPOTENT_WRITE = 12,
    ACL_CREATE_TOKENS = 13,
    ACL_DESCRIBE_TOKENS = 14,
};
enum acl_permission { ACL_PERMISSION_ANY = 1, ACL_DENY = 2, ACL_ALLOW = 3 };
#define ACL_CLUSTER_NAME "kafka-cluster" /* the one resource of its type */
enum {
    ACL_NAME_BYTES = 400,      /* longest name of a resource */
    ACL_PRINCIPAL_BYTES = 1024,
    ACL_HOST_BYTES = 64,
    ACL_BINDINGS_MOST = 100000,
};

/* A binding, or a filter of bindings: a text that is NULL and a number that is ANY fit all. */
struct acl_binding {
    uint8_t resource, pattern, operation, permission;
    const char *name, *principal, *host;
};
/* Whether it can be: kinds that go together, a name that such a resource can have, "User:…" as principal. 0; ERR_INVALID with a sentence. */
int acl_binding_check(const struct acl_binding *binding, struct diag *diag);
int acl_filter_check(const struct acl_binding *filter, struct diag *diag);
bool acl_filter_matches(const struct acl_binding *filter, const struct acl_binding *binding);
/* As Kafka's tools print them ("TransactionalId", "IdempotentWrite"); NULL: there is no such number. */
const char *acl_resource_text(unsigned number);
const char *acl_operation_text(unsigned number);
/* Which operations there are for a resource, as bits 1 << operation, without All. */
uint32_t acl_operations_of(unsigned resource);

/* ---- the bindings as they are ---- */
struct acl_rules;
/* NULL: there are none. Give them back when they are looked at no more. */
struct acl_rules *acl_rules_take(struct log *log);
void acl_rules_give_back(struct acl_rules *rules); /* NULL is allowed */
size_t acl_rules_count(const struct acl_rules *rules);
/* Sorted by resource, name, pattern, principal. Valid as long as the rules. */
const struct acl_binding *acl_rules_at(const struct acl_rules *rules, size_t i);

/* What all bindings say of one principal at one host about one resource. */
struct acl_rights {
    uint32_t allowed, denied; /* bits 1 << operation, as the bindings say it */
};
/* rules NULL: nothing. */
struct acl_rights acl_rights_of(const struct acl_rules *rules, const char *principal, const char *host, enum acl_resource resource, struct bytes name);
bool acl_rights_may(struct acl_rights rights, enum acl_operation operation);
/* Everything that they allow, as bits. */
uint32_t acl_rights_operations(struct acl_rights rights, enum acl_resource resource);
/* Whether there could be a resource of the type that the principal may do this to: one name that an ALLOW covers and no DENY. */
bool acl_may_any(const struct acl_rules *rules, const char *principal, const char *host, enum acl_resource resource, enum acl_operation operation);

/* ---- changes ---- */
/* Reads the bindings from meta: once, when the log is opened. */
int acl_load(struct log *log, struct diag *diag);
void acl_unload(struct log *log);
struct acl_change {
    const struct acl_binding *add; /* each of them checked; one that is there already is no error */
    size_t add_count;
    const struct acl_binding *filters; /* what one of them fits goes */
    size_t filter_count;
    /* Asked before anything is written, with the rules that there would be (NULL: none); false: nothing is changed, ERR_STATE. NULL: nobody is asked. */
    bool (*agrees)(void *context, const struct acl_rules *after);
    void *context;
};
/* All of it or nothing. *before, unless NULL: the rules that were changed, to be given back. ERR_TOO_LARGE: more than ACL_BINDINGS_MOST. */
int acl_change(struct log *log, const struct acl_change *change, struct acl_rules **before, struct diag *diag);

#endif
