/* acl.c: access lists in meta (see acl.h).
 *
 *   acls: number (4 bytes, big-endian; counted up, never used twice while a larger one is there)
 *     0 1 resource   1 1 pattern   2 1 operation   3 1 permission (Kafka's numbers)
 *     4 2 size, name   … 2 size, principal   … 2 size, host
 *
 * All of them are in memory, read when the log is opened: every request asks. Who changes them holds acl_change_mutex over the write, so that
 * two do not undo each other; acl_mutex guards the pointer alone. */
#include "log/acl.h"
#include "log/acl_rules.h"
#include "log/log_internal.h"
#include "runtime/base/arena.h"
#include "runtime/base/utf8.h"

#include <arpa/inet.h>
#include <stdlib.h>

/* ---- words ---- */

static const char *const resource_texts[] = {[ACL_RESOURCE_ANY] = "Any",
                                             [ACL_TOPIC] = "Topic",
                                             [ACL_GROUP] = "Group",
                                             [ACL_CLUSTER] = "Cluster",
                                             [ACL_TRANSACTIONAL_ID] = "TransactionalId",
                                             [ACL_DELEGATION_TOKEN] = "DelegationToken",
                                             [ACL_USER] = "User"};
static const char *const operation_texts[] = {[ACL_OPERATION_ANY] = "Any",
                                              [ACL_ALL] = "All",
                                              [ACL_READ] = "Read",
                                              [ACL_WRITE] = "Write",
                                              [ACL_CREATE] = "Create",
                                              [ACL_DELETE] = "Delete",
                                              [ACL_ALTER] = "Alter",
                                              [ACL_DESCRIBE] = "Describe",
                                              [ACL_CLUSTER_ACTION] = "ClusterAction",
                                              [ACL_DESCRIBE_CONFIGS] = "DescribeConfigs",
                                              [ACL_ALTER_CONFIGS] = "AlterConfigs",
                                              [ACL_IDEMPOTENT_WRITE] = "IdempotentWrite",
                                              [ACL_CREATE_TOKENS] = "CreateTokens",
                                              [ACL_DESCRIBE_TOKENS] = "DescribeTokens"};

const char *acl_resource_text(unsigned number)
{
    bool is = number >= ACL_RESOURCE_ANY && number <= ACL_USER;
    return is ? resource_texts[number] : NULL;
}

const char *acl_operation_text(unsigned number)
{
    bool is = number >= ACL_OPERATION_ANY && number <= ACL_DESCRIBE_TOKENS;
    return is ? operation_texts[number] : NULL;
}

uint32_t acl_operations_of(unsigned resource)
{
    static const uint32_t operations[] = {
        [ACL_TOPIC] = 1 << ACL_READ | 1 << ACL_WRITE | 1 << ACL_CREATE | 1 << ACL_DELETE |
                      1 << ACL_ALTER | 1 << ACL_DESCRIBE | 1 << ACL_DESCRIBE_CONFIGS |
                      1 << ACL_ALTER_CONFIGS,
        [ACL_GROUP] = 1 << ACL_READ | 1 << ACL_DELETE | 1 << ACL_DESCRIBE,
        [ACL_CLUSTER] = 1 << ACL_CREATE | 1 << ACL_ALTER | 1 << ACL_DESCRIBE |
                        1 << ACL_CLUSTER_ACTION | 1 << ACL_DESCRIBE_CONFIGS |
                        1 << ACL_ALTER_CONFIGS | 1 << ACL_IDEMPOTENT_WRITE,
        [ACL_TRANSACTIONAL_ID] = 1 << ACL_WRITE | 1 << ACL_DESCRIBE,
        [ACL_DELEGATION_TOKEN] = 1 << ACL_DESCRIBE,
        [ACL_USER] = 1 << ACL_CREATE_TOKENS | 1 << ACL_DESCRIBE_TOKENS,
    };
    return resource >= ACL_TOPIC && resource <= ACL_USER ? operations[resource] : 0;
}

/* ---- what can be ---- */

static bool is_text(const char *text, size_t most)
{
    size_t size = strlen(text);
    for (size_t i = 0; i < size; i++)
        if ((uint8_t)text[i] < ' ' || text[i] == 0x7f)
            return false;
    return size > 0 && size <= most && utf8_check(bytes_of(text, size));
}

static bool is_host(const char *host)
{
    struct in6_addr address;
    return strcmp(host, "*") == 0 || inet_pton(AF_INET, host, &address) == 1 ||
           inet_pton(AF_INET6, host, &address) == 1;
}

static int check_texts(const struct acl_binding *b, struct diag *diag)
{
    if (!is_text(b->name, ACL_NAME_BYTES))
        return diag_set(diag, ERR_INVALID,
                        "a resource's name has 1 to %d bytes of UTF-8, without control characters",
                        ACL_NAME_BYTES);
    if (strncmp(b->principal, "User:", 5) != 0 || !is_text(b->principal + 5, ACL_PRINCIPAL_BYTES))
        return diag_set(diag, ERR_INVALID, "a principal is User:NAME, or User:* for everybody");
    if (strlen(b->host) > ACL_HOST_BYTES || !is_host(b->host))
        return diag_set(diag, ERR_INVALID, "a host is a numeric address, or * for all");
    return 0;
}

int acl_binding_check(const struct acl_binding *b, struct diag *diag)
{
    if (b->name == NULL || b->principal == NULL || b->host == NULL)
        return diag_set(diag, ERR_INVALID, "a binding names a resource, a principal and a host");
    TRY(check_texts(b, diag));
    if (b->resource < ACL_TOPIC || b->resource > ACL_USER)
        return diag_set(diag, ERR_INVALID, "there is no such type of resource");
    if (b->pattern != ACL_LITERAL && b->pattern != ACL_PREFIXED)
        return diag_set(diag, ERR_INVALID, "a pattern is literal or prefixed");
    if (b->permission != ACL_ALLOW && b->permission != ACL_DENY)
        return diag_set(diag, ERR_INVALID, "a binding allows or denies");
    if (b->operation != ACL_ALL && (b->operation < ACL_READ || b->operation > ACL_DESCRIBE_TOKENS ||
                                    (acl_operations_of(b->resource) >> b->operation & 1) == 0))
        return diag_set(diag, ERR_INVALID, "a %s has no operation of that kind",
                        acl_resource_text(b->resource));
    if (b->resource == ACL_CLUSTER &&
        (strcmp(b->name, ACL_CLUSTER_NAME) != 0 || b->pattern != ACL_LITERAL))
        return diag_set(diag, ERR_INVALID, "the only cluster is " ACL_CLUSTER_NAME);
    return 0;
}

int acl_filter_check(const struct acl_binding *f, struct diag *diag)
{
    if (acl_resource_text(f->resource) == NULL || acl_operation_text(f->operation) == NULL ||
        f->pattern < ACL_PATTERN_ANY || f->pattern > ACL_PREFIXED ||
        f->permission < ACL_PERMISSION_ANY || f->permission > ACL_ALLOW)
        return diag_set(diag, ERR_INVALID, "a filter of kinds that there are not");
    return 0;
}

static bool name_matches(const struct acl_binding *f, const struct acl_binding *b)
{
    if (f->pattern != ACL_PATTERN_ANY && f->pattern != ACL_MATCH && f->pattern != b->pattern)
        return false;
    if (f->name == NULL || strcmp(f->name, b->name) == 0)
        return true;
    if (f->pattern != ACL_MATCH)
        return false;
    return b->pattern == ACL_PREFIXED ? strncmp(f->name, b->name, strlen(b->name)) == 0
                                      : strcmp(b->name, "*") == 0;
}

static bool number_matches(uint8_t filter, uint8_t any, uint8_t number)
{
    return filter == any || filter == number;
}

bool acl_filter_matches(const struct acl_binding *f, const struct acl_binding *b)
{
    return number_matches(f->resource, ACL_RESOURCE_ANY, b->resource) &&
           number_matches(f->operation, ACL_OPERATION_ANY, b->operation) &&
           number_matches(f->permission, ACL_PERMISSION_ANY, b->permission) &&
           (f->principal == NULL || strcmp(f->principal, b->principal) == 0) &&
           (f->host == NULL || strcmp(f->host, b->host) == 0) && name_matches(f, b);
}

/* ---- the record ---- */

static void put_text(struct buf *value, const char *text)
{
    size_t size = strlen(text);
    buf_be16(value, (uint16_t)size);
    buf_append(value, text, size);
}

static void encode(const struct acl_binding *b, struct buf *value)
{
    buf_u8(value, b->resource);
    buf_u8(value, b->pattern);
    buf_u8(value, b->operation);
    buf_u8(value, b->permission);
    put_text(value, b->name);
    put_text(value, b->principal);
    put_text(value, b->host);
}

/* A copy with a zero byte at its end, in texts, which grows: what comes out is where it begins. */
static int take_text(struct bytes *rest, struct buf *texts, size_t *at)
{
    struct bytes text;
    uint16_t size;
    if (take_be16(rest, &size) < 0 || take_bytes(rest, size, &text) < 0 ||
        (size > 0 && memchr(text.data, 0, size) != NULL))
        return ERR_CORRUPT;
    *at = texts->size;
    buf_append_bytes(texts, text);
    buf_u8(texts, 0);
    return 0;
}

static int decode(struct bytes key, struct bytes value, struct buf *texts, uint32_t *number,
                  struct acl_binding *b)
{
    size_t at[3];
    *b = (struct acl_binding){0};
    if (take_be32(&key, number) < 0 || key.size > 0 || take_u8(&value, &b->resource) < 0 ||
        take_u8(&value, &b->pattern) < 0 || take_u8(&value, &b->operation) < 0 ||
        take_u8(&value, &b->permission) < 0)
        return ERR_CORRUPT;
    for (int i = 0; i < 3; i++)
        TRY(take_text(&value, texts, &at[i]));
    if (!buf_ok(texts))
        return ERR_NOMEM;
    const char *text = (const char *)texts->data;
    b->name = text + at[0];
    b->principal = text + at[1];
    b->host = text + at[2];
    return value.size == 0 && acl_binding_check(b, NULL) == 0 ? 0 : ERR_CORRUPT;
}

/* ---- a list that is being made ---- */

struct list {
    struct arena arena; /* of the texts */
    struct acl_stored *entries;
    size_t count, capacity;
};

static bool list_add(struct list *list, const struct acl_stored *entry, bool copies)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 64 : list->capacity * 2;
        struct acl_stored *entries = realloc(list->entries, capacity * sizeof *entries);
        if (entries == NULL)
            return false;
        list->entries = entries;
        list->capacity = capacity;
    }
    struct acl_stored *added = &list->entries[list->count];
    *added = *entry;
    if (copies) {
        struct acl_binding *b = &added->binding;
        b->name = arena_text(&list->arena, b->name);
        b->principal = arena_text(&list->arena, b->principal);
        b->host = arena_text(&list->arena, b->host);
        if (b->name == NULL || b->principal == NULL || b->host == NULL)
            return false;
    }
    list->count++;
    return true;
}

static void list_deinit(struct list *list)
{
    arena_deinit(&list->arena);
    free(list->entries);
}

/* ---- loading ---- */

static int load_one(void *context, struct bytes key, struct bytes value, struct diag *diag)
{
    struct list *list = context;
    struct acl_stored stored;
    struct buf texts = {0};
    int rc = decode(key, value, &texts, &stored.number, &stored.binding);
    if (rc == 0 && !list_add(list, &stored, true))
        rc = ERR_NOMEM;
    buf_deinit(&texts);
    if (rc == ERR_CORRUPT)
        return diag_set(diag, rc, "a record of the access lists makes no sense");
    return rc < 0 ? diag_set(diag, rc, "no memory for the access lists") : 0;
}

/* Takes over the caller's reference. NULL: there are none. */
static void publish(struct log *log, struct acl_rules *rules)
{
    pthread_mutex_lock(&log->acl_mutex);
    struct acl_rules *before = log->acls;
    log->acls = rules;
    pthread_mutex_unlock(&log->acl_mutex);
    atomic_store_explicit(&log->has_acls, rules != NULL, memory_order_release);
    acl_rules_give_back(before);
}

int acl_load(struct log *log, struct diag *diag)
{
    struct list list = {.count = 0};
    arena_init(&list.arena, 0);
    struct acl_rules *rules = NULL;
    int rc = meta_scan(log->meta, META_ACLS, bytes_of(NULL, 0), load_one, &list, diag);
    if (rc == 0 && list.count > 0) {
        rules = acl_rules_create(list.entries, list.count);
        rc = rules == NULL ? diag_set(diag, ERR_NOMEM, "no memory for the access lists") : 0;
    }
    list_deinit(&list);
    if (rc == 0)
        publish(log, rules);
    return rc;
}

void acl_unload(struct log *log)
{
    acl_rules_give_back(log->acls);
    log->acls = NULL;
}

/* ---- changes ---- */

static void put(struct meta_batch *batch, uint32_t number, const struct acl_binding *b)
{
    struct buf value = {0};
    uint8_t key[4];
    store_be32(key, number);
    encode(b, &value);
    if (!buf_ok(&value))
        batch->operations.failed = true;
    else
        meta_put(batch, META_ACLS, bytes_of(key, sizeof key), bytes_of(value.data, value.size));
    buf_deinit(&value);
}

static bool same(const struct acl_binding *a, const struct acl_binding *b)
{
    return a->resource == b->resource && a->pattern == b->pattern && a->operation == b->operation &&
           a->permission == b->permission && strcmp(a->name, b->name) == 0 &&
           strcmp(a->principal, b->principal) == 0 && strcmp(a->host, b->host) == 0;
}

static bool has(const struct list *list, const struct acl_binding *b)
{
    for (size_t i = 0; i < list->count; i++)
        if (same(&list->entries[i].binding, b))
            return true;
    return false;
}

static bool fits_one(const struct acl_change *change, const struct acl_binding *b)
{
    for (size_t i = 0; i < change->filter_count; i++)
        if (acl_filter_matches(&change->filters[i], b))
            return true;
    return false;
}

/* What there would be into list, and what makes it so into batch. */
static int plan(const struct acl_rules *now, const struct acl_change *change, struct list *list,
                struct meta_batch *batch)
{
    uint32_t number = 0;
    for (size_t i = 0; i < acl_rules_count(now); i++) {
        const struct acl_stored *stored = acl_rules_stored(now, i);
        uint8_t key[4];
        number = stored->number > number ? stored->number : number;
        store_be32(key, stored->number);
        if (fits_one(change, &stored->binding))
            meta_delete(batch, META_ACLS, bytes_of(key, sizeof key));
        else if (!list_add(list, stored, false))
            return ERR_NOMEM;
    }
    for (size_t i = 0; i < change->add_count; i++) {
        struct acl_stored added = {number + 1, change->add[i]};
        if (has(list, &added.binding))
            continue;
        if (++number == 0 || list->count >= ACL_BINDINGS_MOST)
            return ERR_TOO_LARGE;
        put(batch, number, &added.binding);
        if (!list_add(list, &added, false))
            return ERR_NOMEM;
    }
    return 0;
}

/* acl_change_mutex held. */
static int apply(struct log *log, const struct acl_change *change, const struct acl_rules *now,
                 struct list *list, struct meta_batch *batch, struct diag *diag)
{
    struct acl_rules *after = NULL;
    int rc = plan(now, change, list, batch);
    if (rc == ERR_TOO_LARGE)
        return diag_set(diag, rc, "there can be %d bindings", ACL_BINDINGS_MOST);
    if (rc == 0 && batch->count == 0 && buf_ok(&batch->operations))
        return 0;
    if (rc == 0 && list->count > 0 &&
        (after = acl_rules_create(list->entries, list->count)) == NULL)
        rc = ERR_NOMEM;
    if (rc < 0)
        return diag_set(diag, rc, "no memory for the access lists");
    if (change->agrees != NULL && !change->agrees(change->context, after))
        rc = diag_set(diag, ERR_STATE, "the change was not agreed to");
    if (rc == 0)
        rc = log_status(log, diag);
    if (rc == 0)
        rc = log_meta_apply(log, batch, diag);
    if (rc == 0)
        publish(log, after);
    else
        acl_rules_give_back(after);
    return rc;
}

int acl_change(struct log *log, const struct acl_change *change, struct acl_rules **before,
               struct diag *diag)
{
    struct list list = {.count = 0};
    struct meta_batch batch;
    for (size_t i = 0; i < change->add_count; i++)
        TRY(acl_binding_check(&change->add[i], diag));
    meta_batch_init(&batch);
    arena_init(&list.arena, 0);
    pthread_mutex_lock(&log->acl_change_mutex);
    struct acl_rules *now = acl_rules_take(log);
    int rc = apply(log, change, now, &list, &batch, diag);
    pthread_mutex_unlock(&log->acl_change_mutex);
    list_deinit(&list);
    meta_batch_deinit(&batch);
    if (before != NULL)
        *before = now;
    else
        acl_rules_give_back(now);
    return rc;
}
