/* acl_rules.c: access lists as they are asked (see acl.h).
 *
 * The bindings of one pattern and one principal are one entry with two sets of operations, allowed and denied, for every host; what is bound to a single
 * host hangs behind it. Entries lie in a table by pattern and principal. A question about a name looks up:
 *
 *     LITERAL name, LITERAL *, PREFIXED each beginning of the name, of as many lengths as there are prefixes of that type
 *
 * each for the principal and for "User:*". So it costs the same whether there are ten bindings or a hundred thousand, unless their prefixes have many lengths.
 *
 * Rules never change. They are counted: log.acls has one reference, and so has whoever looks at them. */
#include "log/acl_rules.h"
#include "log/log_internal.h"
#include "runtime/base/arena.h"
#include "runtime/base/hash.h"

#include <arpa/inet.h>
#include <stdatomic.h>
#include <stdlib.h>

enum {
    RESOURCES = ACL_USER + 1,
    ALLOWS_DESCRIBE = 1 << ACL_READ | 1 << ACL_WRITE | 1 << ACL_DELETE | 1 << ACL_ALTER
};
static const char everybody[] = "User:*";

struct at_host {
    const char *host; /* as one_host writes it */
    struct acl_rights rights;
    struct at_host *next;
};
struct entry {
    uint8_t resource, pattern;
    struct bytes name;
    const char *principal;
    struct acl_rights rights; /* at every host */
    struct at_host *hosts;
    struct entry *next; /* in its chain */
};
struct acl_rules {
    atomic_int references;
    struct arena arena; /* everything below */
    struct acl_stored *list;
    size_t count;
    struct entry **chains;
    size_t chain_count;              /* a power of two */
    size_t *prefix_sizes[RESOURCES]; /* each once */
    size_t prefix_size_count[RESOURCES];
};

/* ---- the table ---- */

static struct entry **chain_of(const struct acl_rules *rules, uint8_t resource, uint8_t pattern,
                               struct bytes name, const char *principal)
{
    uint64_t hash = hash64(name.data, name.size) * 31 + hash64(principal, strlen(principal));
    return &rules->chains[(hash * 31 + resource * 8U + pattern) & (rules->chain_count - 1)];
}

static struct entry *find(const struct acl_rules *rules, uint8_t resource, uint8_t pattern,
                          struct bytes name, const char *principal)
{
    struct entry *entry = *chain_of(rules, resource, pattern, name, principal);
    while (entry != NULL &&
           (entry->resource != resource || entry->pattern != pattern ||
            !bytes_equal(entry->name, name) || strcmp(entry->principal, principal) != 0))
        entry = entry->next;
    return entry;
}

static void add_right(struct acl_rights *rights, const struct acl_binding *b)
{
    uint32_t *set = b->permission == ACL_ALLOW ? &rights->allowed : &rights->denied;
    *set |= UINT32_C(1) << b->operation;
}

/* An address in the one way in which it is compared, in text or as it is: IPv6 can be written in many (Java's tools write all eight parts), and a socket that takes both
 * kinds says "::ffff:10.0.0.7" of a client with an IPv4 address. */
static const char *one_host(const char *host, char text[INET6_ADDRSTRLEN])
{
    struct in6_addr address;
    if (strchr(host, ':') == NULL || inet_pton(AF_INET6, host, &address) != 1)
        return host;
    bool is_four = IN6_IS_ADDR_V4MAPPED(&address);
    const void *bytes = is_four ? address.s6_addr + 12 : address.s6_addr;
    return inet_ntop(is_four ? AF_INET : AF_INET6, bytes, text, INET6_ADDRSTRLEN);
}

static bool add_prefix_size(struct acl_rules *rules, uint8_t resource, size_t size)
{
    size_t count = rules->prefix_size_count[resource];
    for (size_t i = 0; i < count; i++)
        if (rules->prefix_sizes[resource][i] == size)
            return true;
    if (rules->prefix_sizes[resource] == NULL)
        rules->prefix_sizes[resource] =
            arena_alloc(&rules->arena, (ACL_NAME_BYTES + 1) * sizeof(size_t));
    if (rules->prefix_sizes[resource] == NULL)
        return false;
    rules->prefix_sizes[resource][count] = size;
    rules->prefix_size_count[resource] = count + 1;
    return true;
}

static bool index_binding(struct acl_rules *rules, const struct acl_binding *b)
{
    struct bytes name = bytes_text(b->name);
    struct entry *entry = find(rules, b->resource, b->pattern, name, b->principal);
    if (entry == NULL) {
        struct entry **chain = chain_of(rules, b->resource, b->pattern, name, b->principal);
        entry = arena_zalloc(&rules->arena, sizeof *entry);
        if (entry == NULL ||
            (b->pattern == ACL_PREFIXED && !add_prefix_size(rules, b->resource, name.size)))
            return false;
        *entry = (struct entry){.resource = b->resource, .pattern = b->pattern, .name = name};
        entry->principal = b->principal;
        entry->next = *chain;
        *chain = entry;
    }
    if (strcmp(b->host, "*") == 0) {
        add_right(&entry->rights, b);
        return true;
    }
    char text[INET6_ADDRSTRLEN];
    const char *name_of_host = one_host(b->host, text);
    struct at_host *host = entry->hosts;
    while (host != NULL && strcmp(host->host, name_of_host) != 0)
        host = host->next;
    if (host == NULL) {
        host = arena_zalloc(&rules->arena, sizeof *host);
        if (host == NULL)
            return false;
        host->host = arena_text(&rules->arena, name_of_host);
        if (host->host == NULL)
            return false;
        host->next = entry->hosts;
        entry->hosts = host;
    }
    add_right(&host->rights, b);
    return true;
}

/* ---- made and gone ---- */

static int compare(const void *left, const void *right)
{
    const struct acl_binding *a = &((const struct acl_stored *)left)->binding;
    const struct acl_binding *b = &((const struct acl_stored *)right)->binding;
    int by = a->resource - b->resource;
    by = by != 0 ? by : strcmp(a->name, b->name);
    by = by != 0 ? by : a->pattern - b->pattern;
    by = by != 0 ? by : strcmp(a->principal, b->principal);
    by = by != 0 ? by : a->permission - b->permission;
    by = by != 0 ? by : a->operation - b->operation;
    return by != 0 ? by : strcmp(a->host, b->host);
}

static bool copy_binding(struct acl_rules *rules, struct acl_stored *stored)
{
    struct acl_binding *b = &stored->binding;
    b->name = arena_text(&rules->arena, b->name);
    b->principal = arena_text(&rules->arena, b->principal);
    b->host = arena_text(&rules->arena, b->host);
    return b->name != NULL && b->principal != NULL && b->host != NULL;
}

static bool fill(struct acl_rules *rules, const struct acl_stored *list, size_t count)
{
    for (rules->chain_count = 16; rules->chain_count < count;)
        rules->chain_count *= 2;
    rules->chains = arena_zalloc(&rules->arena, rules->chain_count * sizeof *rules->chains);
    rules->list = arena_alloc(&rules->arena, (count + 1) * sizeof *rules->list);
    if (rules->chains == NULL || rules->list == NULL)
        return false;
    if (count > 0)
        memcpy(rules->list, list, count * sizeof *list);
    rules->count = count;
    for (size_t i = 0; i < count; i++)
        if (!copy_binding(rules, &rules->list[i]) || !index_binding(rules, &rules->list[i].binding))
            return false;
    qsort(rules->list, count, sizeof *rules->list, compare);
    return true;
}

static void destroy(struct acl_rules *rules)
{
    arena_deinit(&rules->arena);
    free(rules);
}

struct acl_rules *acl_rules_create(const struct acl_stored *list, size_t count)
{
    struct acl_rules *rules = calloc(1, sizeof *rules);
    if (rules == NULL)
        return NULL;
    atomic_init(&rules->references, 1);
    arena_init(&rules->arena, 0);
    if (fill(rules, list, count))
        return rules;
    destroy(rules);
    return NULL;
}

void acl_rules_refer(struct acl_rules *rules)
{
    atomic_fetch_add(&rules->references, 1);
}

void acl_rules_give_back(struct acl_rules *rules)
{
    if (rules != NULL && atomic_fetch_sub(&rules->references, 1) == 1)
        destroy(rules);
}

struct acl_rules *acl_rules_take(struct log *log)
{
    if (!atomic_load_explicit(&log->has_acls, memory_order_acquire))
        return NULL;
    pthread_mutex_lock(&log->acl_mutex);
    struct acl_rules *rules = log->acls;
    if (rules != NULL)
        acl_rules_refer(rules);
    pthread_mutex_unlock(&log->acl_mutex);
    return rules;
}

size_t acl_rules_count(const struct acl_rules *rules)
{
    return rules != NULL ? rules->count : 0;
}

const struct acl_stored *acl_rules_stored(const struct acl_rules *rules, size_t i)
{
    return &rules->list[i];
}

const struct acl_binding *acl_rules_at(const struct acl_rules *rules, size_t i)
{
    return &rules->list[i].binding;
}

/* ---- asked ---- */

static void collect(const struct entry *entry, const char *host, struct acl_rights *rights)
{
    if (entry == NULL)
        return;
    rights->allowed |= entry->rights.allowed;
    rights->denied |= entry->rights.denied;
    for (const struct at_host *at = entry->hosts; at != NULL; at = at->next) {
        if (strcmp(at->host, host) != 0)
            continue;
        rights->allowed |= at->rights.allowed;
        rights->denied |= at->rights.denied;
    }
}

static void collect_pattern(const struct acl_rules *rules, const char *principal, const char *host,
                            uint8_t resource, uint8_t pattern, struct bytes name,
                            struct acl_rights *rights)
{
    collect(find(rules, resource, pattern, name, principal), host, rights);
    collect(find(rules, resource, pattern, name, everybody), host, rights);
}

static void collect_prefixes(const struct acl_rules *rules, const char *principal, const char *host,
                             uint8_t resource, struct bytes name, struct acl_rights *rights)
{
    for (size_t i = 0; i < rules->prefix_size_count[resource]; i++) {
        size_t size = rules->prefix_sizes[resource][i];
        if (size <= name.size)
            collect_pattern(rules, principal, host, resource, ACL_PREFIXED,
                            bytes_of(name.data, size), rights);
    }
}

struct acl_rights acl_rights_of(const struct acl_rules *rules, const char *principal,
                                const char *host, enum acl_resource resource, struct bytes name)
{
    struct acl_rights rights = {0, 0};
    char text[INET6_ADDRSTRLEN];
    uint8_t kind = (uint8_t)resource;
    if (rules == NULL)
        return rights;
    host = one_host(host, text);
    collect_pattern(rules, principal, host, kind, ACL_LITERAL, name, &rights);
    collect_pattern(rules, principal, host, kind, ACL_LITERAL, bytes_text("*"), &rights);
    collect_prefixes(rules, principal, host, kind, name, &rights);
    return rights;
}

/* The operations of which each one allows the one that is asked about. */
static uint32_t allowing(enum acl_operation operation)
{
    uint32_t any = UINT32_C(1) << operation | 1U << ACL_ALL;
    if (operation == ACL_DESCRIBE)
        any |= ALLOWS_DESCRIBE;
    return operation == ACL_DESCRIBE_CONFIGS ? any | 1U << ACL_ALTER_CONFIGS : any;
}

bool acl_rights_may(struct acl_rights rights, enum acl_operation operation)
{
    uint32_t denying = UINT32_C(1) << operation | 1U << ACL_ALL;
    return (rights.denied & denying) == 0 && (rights.allowed & allowing(operation)) != 0;
}

uint32_t acl_rights_operations(struct acl_rights rights, enum acl_resource resource)
{
    uint32_t all = acl_operations_of(resource), may = 0;
    for (int operation = ACL_READ; operation <= ACL_DESCRIBE_TOKENS; operation++)
        if ((all >> operation & 1) != 0 && acl_rights_may(rights, (enum acl_operation)operation))
            may |= UINT32_C(1) << operation;
    return may;
}

static bool is_about(const struct entry *entry, const char *principal)
{
    return strcmp(entry->principal, principal) == 0 || strcmp(entry->principal, everybody) == 0;
}

/* Whether what an entry allows is left by the denials. Of a prefix: those of the prefix, of its beginnings and of "*" alone deny all that begins so. */
static bool is_left(const struct acl_rules *rules, const struct entry *entry, const char *principal,
                    const char *host, enum acl_operation operation)
{
    struct acl_rights own = {0, 0}, all = {0, 0};
    collect(entry, host, &own);
    if ((own.allowed & allowing(operation)) == 0)
        return false;
    collect_pattern(rules, principal, host, entry->resource, ACL_LITERAL, bytes_text("*"), &all);
    collect_prefixes(rules, principal, host, entry->resource, entry->name, &all);
    if (entry->pattern == ACL_LITERAL)
        collect_pattern(rules, principal, host, entry->resource, ACL_LITERAL, entry->name, &all);
    all.allowed = own.allowed;
    return acl_rights_may(all, operation);
}

bool acl_may_any(const struct acl_rules *rules, const char *principal, const char *host,
                 enum acl_resource resource, enum acl_operation operation)
{
    char text[INET6_ADDRSTRLEN];
    host = one_host(host, text);
    for (size_t i = 0; rules != NULL && i < rules->chain_count; i++)
        for (const struct entry *entry = rules->chains[i]; entry != NULL; entry = entry->next)
            if (entry->resource == resource && is_about(entry, principal) &&
                is_left(rules, entry, principal, host, operation))
                return true;
    return false;
}
