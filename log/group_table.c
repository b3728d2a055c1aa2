/* group_table.c: the groups that the coordinator knows, and their members.
 *
 * Memory and look-up, nothing of the protocol. Groups stand sorted by name; the members of one in
 * the order in which they came, which is the order that decides who leads next and who wins a tie
 * of the vote. A group has few members, so they are searched one by one.
 *
 * Whatever a request brings is copied before it is believed: a failure leaves the member, or the
 * group, as it was. */
#include "log/group_table.h"

#include <stdlib.h>
#include <string.h>

enum { MEMBER_BYTES = 1024, PENDING_BYTES = 1024, PROTOCOL_BYTES = 64 }; /* beside texts */

/* ---- groups ---- */

/* Where name stands, or would stand. */
static size_t place_of(const struct group_table *table, const char *name)
{
    size_t low = 0, high = table->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(table->groups[middle]->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct group *group_find(const struct group_table *table, const char *name)
{
    size_t at = place_of(table, name);
    return at < table->count && strcmp(table->groups[at]->name, name) == 0 ? table->groups[at]
                                                                           : NULL;
}

/* An id that was given out, and the group that may be there for it alone. */
static size_t pending_bytes(const char *id)
{
    return PENDING_BYTES + strlen(id);
}

static void drop_pending_at(struct group *group, size_t i)
{
    group->table->bytes -= pending_bytes(group->pending[i].id);
    free(group->pending[i].id);
    group->pending[i] = group->pending[--group->pending_count];
}

static void group_free(struct group *group)
{
    for (size_t i = 0; i < group->member_count; i++)
        member_free(group->members[i]);
    for (size_t i = 0; i < group->pending_count; i++)
        free(group->pending[i].id);
    free(group->members);
    free(group->pending);
    free(group->protocol_type);
    free(group->protocol);
    free(group->name);
    free(group);
}

struct group *group_add(struct group_table *table, const char *name)
{
    if (table->count == table->capacity) {
        size_t capacity = table->capacity == 0 ? 8 : table->capacity * 2;
        struct group **groups = realloc(table->groups, capacity * sizeof(struct group *));
        if (groups == NULL)
            return NULL;
        table->groups = groups;
        table->capacity = capacity;
    }
    struct group *group = calloc(1, sizeof *group);
    if (group == NULL)
        return NULL;
    group->table = table;
    group->name = strdup(name);
    if (group->name == NULL) {
        free(group);
        return NULL;
    }
    group->empty_since_ms = -1;
    group->join_deadline_ms = group->sync_deadline_ms = NO_DEADLINE;
    size_t at = place_of(table, name);
    memmove(table->groups + at + 1, table->groups + at,
            (table->count - at) * sizeof(struct group *));
    table->groups[at] = group;
    table->count++;
    return group;
}

void group_remove(struct group_table *table, struct group *group)
{
    size_t at = place_of(table, group->name);
    must(at < table->count && table->groups[at] == group && group->member_count == 0);
    while (group->pending_count > 0)
        drop_pending_at(group, group->pending_count - 1);
    table->count--;
    memmove(table->groups + at, table->groups + at + 1,
            (table->count - at) * sizeof(struct group *));
    group_free(group);
}

void group_table_deinit(struct group_table *table)
{
    for (size_t i = 0; i < table->count; i++)
        group_free(table->groups[i]);
    free(table->groups);
    *table = (struct group_table){0};
}

/* ---- members ---- */

struct member *group_member_find(const struct group *group, const char *id)
{
    for (size_t i = 0; i < group->member_count; i++)
        if (strcmp(group->members[i]->id, id) == 0)
            return group->members[i];
    return NULL;
}

struct member *group_instance_find(const struct group *group, const char *instance_id)
{
    for (size_t i = 0; i < group->member_count; i++)
        if (group->members[i]->instance_id != NULL &&
            strcmp(group->members[i]->instance_id, instance_id) == 0)
            return group->members[i];
    return NULL;
}

/* ---- what they take ---- */

static size_t protocol_bytes(const struct join_request *request)
{
    size_t bytes = 0;
    for (size_t i = 0; i < request->protocol_count; i++)
        bytes += PROTOCOL_BYTES + strlen(request->protocols[i].name) +
                 request->protocols[i].metadata.size;
    return bytes;
}

/* Its id is made of one of them. */
static size_t text_bytes(const struct join_request *request)
{
    const char *const texts[] = {request->client_id, request->instance_id, request->host};
    size_t bytes = MEMBER_BYTES;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        bytes += texts[i] != NULL ? 2 * strlen(texts[i]) : 0;
    return bytes;
}

size_t join_bytes(const struct join_request *request)
{
    return text_bytes(request) + protocol_bytes(request);
}

static size_t member_bytes(const struct member *member)
{
    return member->text_bytes + member->protocol_bytes + member->assignment.capacity;
}

bool group_table_has_room(const struct group_table *table, size_t bytes)
{
    return table->bytes <= table->bytes_most && bytes <= table->bytes_most - table->bytes;
}

enum group_error group_update_member(struct group *group, struct member *member,
                                     const struct join_request *request, void *context)
{
    size_t before = member_bytes(member);
    enum group_error error = member_update(member, request, context);
    group->table->bytes += member_bytes(member) - before;
    return error;
}

enum group_error group_assign(struct group *group, struct member *member, struct bytes assignment)
{
    size_t before = member_bytes(member);
    buf_clear(&member->assignment);
    buf_append_bytes(&member->assignment, assignment);
    group->table->bytes += member_bytes(member) - before;
    return buf_ok(&member->assignment) ? GROUP_OK : GROUP_NO_MEMORY;
}

static void protocols_free(struct member_protocol *protocols, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(protocols[i].name);
        free((void *)(uintptr_t)protocols[i].metadata.data);
    }
    free(protocols);
}

static struct member_protocol *protocols_copy(const struct join_request *request)
{
    struct member_protocol *copies = calloc(request->protocol_count + 1, sizeof *copies);
    if (copies == NULL)
        return NULL;
    for (size_t i = 0; i < request->protocol_count; i++) {
        struct bytes metadata = request->protocols[i].metadata;
        uint8_t *bytes = malloc(metadata.size + 1);
        copies[i].name = strdup(request->protocols[i].name);
        copies[i].metadata = bytes_of(bytes, metadata.size);
        if (bytes == NULL || copies[i].name == NULL) {
            protocols_free(copies, i + 1);
            return NULL;
        }
        if (metadata.size > 0)
            memcpy(bytes, metadata.data, metadata.size);
    }
    return copies;
}

enum group_error member_update(struct member *member, const struct join_request *request,
                               void *context)
{
    struct member_protocol *protocols = protocols_copy(request);
    if (protocols == NULL)
        return GROUP_NO_MEMORY;
    protocols_free(member->protocols, member->protocol_count);
    member->protocols = protocols;
    member->protocol_count = request->protocol_count;
    member->protocol_bytes = protocol_bytes(request);
    member->session_timeout_ms = request->session_timeout_ms;
    member->rebalance_timeout_ms = request->rebalance_timeout_ms > 0 ? request->rebalance_timeout_ms
                                                                     : request->session_timeout_ms;
    member->rebalancing = request->rebalancing;
    member->rebalancing_context = context;
    return GROUP_OK;
}

struct member *member_create(char *id, const struct join_request *request)
{
    struct member *member = id != NULL ? calloc(1, sizeof *member) : NULL;
    if (member == NULL) {
        free(id);
        return NULL;
    }
    member->id = id;
    member->client_id = strdup(request->client_id != NULL ? request->client_id : "");
    member->host = strdup(request->host != NULL ? request->host : "");
    member->instance_id = request->instance_id != NULL ? strdup(request->instance_id) : NULL;
    member->text_bytes = text_bytes(request);
    member->session_deadline_ms = NO_DEADLINE;
    if (member->client_id == NULL || member->host == NULL ||
        (request->instance_id != NULL && member->instance_id == NULL)) {
        member_free(member);
        return NULL;
    }
    return member;
}

void member_free(struct member *member)
{
    protocols_free(member->protocols, member->protocol_count);
    buf_deinit(&member->assignment);
    free(member->id);
    free(member->instance_id);
    free(member->client_id);
    free(member->host);
    free(member);
}

bool member_matches(const struct member *member, const struct join_request *request)
{
    if (member->protocol_count != request->protocol_count)
        return false;
    for (size_t i = 0; i < member->protocol_count; i++) {
        struct bytes theirs = request->protocols[i].metadata;
        struct bytes ours = member->protocols[i].metadata;
        if (strcmp(member->protocols[i].name, request->protocols[i].name) != 0 ||
            ours.size != theirs.size ||
            (ours.size > 0 && memcmp(ours.data, theirs.data, ours.size) != 0))
            return false;
    }
    return true;
}

struct bytes member_metadata(const struct member *member, const char *protocol)
{
    for (size_t i = 0; protocol != NULL && i < member->protocol_count; i++)
        if (strcmp(member->protocols[i].name, protocol) == 0)
            return member->protocols[i].metadata;
    return bytes_of("", 0);
}

enum group_error group_append(struct group *group, struct member *member)
{
    if (group->member_count == group->member_capacity) {
        size_t capacity = group->member_capacity == 0 ? 4 : group->member_capacity * 2;
        struct member **members = realloc(group->members, capacity * sizeof(struct member *));
        if (members == NULL)
            return GROUP_NO_MEMORY;
        group->members = members;
        group->member_capacity = capacity;
    }
    group->members[group->member_count++] = member;
    group->table->bytes += member_bytes(member);
    if (group->leader == NULL)
        group->leader = member;
    return GROUP_OK;
}

void group_drop(struct group *group, struct member *member)
{
    size_t at = 0;
    while (at < group->member_count && group->members[at] != member)
        at++;
    must(at < group->member_count);
    group->table->bytes -= member_bytes(member);
    group->member_count--;
    memmove(group->members + at, group->members + at + 1,
            (group->member_count - at) * sizeof(struct member *));
    if (group->leader == member)
        group->leader = group->member_count > 0 ? group->members[0] : NULL;
    member_free(member);
}

/* ---- ids that were given out and not used yet ---- */

bool group_is_pending(const struct group *group, const char *id)
{
    for (size_t i = 0; i < group->pending_count; i++)
        if (strcmp(group->pending[i].id, id) == 0)
            return true;
    return false;
}

enum group_error group_add_pending(struct group *group, const char *id, int64_t deadline_ms)
{
    if (group->pending_count == group->pending_capacity) {
        size_t capacity = group->pending_capacity == 0 ? 4 : group->pending_capacity * 2;
        struct pending_member *pending = realloc(group->pending, capacity * sizeof *pending);
        if (pending == NULL)
            return GROUP_NO_MEMORY;
        group->pending = pending;
        group->pending_capacity = capacity;
    }
    char *copy = strdup(id);
    if (copy == NULL)
        return GROUP_NO_MEMORY;
    group->pending[group->pending_count++] = (struct pending_member){copy, deadline_ms};
    group->table->bytes += pending_bytes(copy);
    return GROUP_OK;
}

void group_drop_pending(struct group *group, const char *id)
{
    for (size_t i = 0; i < group->pending_count; i++) {
        if (strcmp(group->pending[i].id, id) != 0)
            continue;
        drop_pending_at(group, i);
        return;
    }
}

void group_expire_pending(struct group *group, int64_t now_ms)
{
    for (size_t i = group->pending_count; i-- > 0;)
        if (group->pending[i].deadline_ms <= now_ms)
            drop_pending_at(group, i);
}

/* ---- what the members have in common ---- */

static bool member_lists(const struct member *member, const char *protocol)
{
    for (size_t i = 0; i < member->protocol_count; i++)
        if (strcmp(member->protocols[i].name, protocol) == 0)
            return true;
    return false;
}

static bool all_list(const struct group *group, const char *protocol)
{
    for (size_t i = 0; i < group->member_count; i++)
        if (!member_lists(group->members[i], protocol))
            return false;
    return true;
}

bool group_supports(const struct group *group, const struct join_request *request)
{
    if (request->protocol_count > GROUP_PROTOCOLS_MOST)
        return false;
    if (group->member_count == 0)
        return request->protocol_type[0] != '\0' && request->protocol_count > 0;
    if (group->protocol_type == NULL || strcmp(group->protocol_type, request->protocol_type) != 0)
        return false;
    for (size_t i = 0; i < request->protocol_count; i++)
        if (all_list(group, request->protocols[i].name))
            return true;
    return false;
}

/* The member's first one of those that all list. */
static void vote(const struct member *member, const char *const *candidates, size_t *votes,
                 size_t count)
{
    for (size_t p = 0; p < member->protocol_count; p++)
        for (size_t i = 0; i < count; i++)
            if (strcmp(member->protocols[p].name, candidates[i]) == 0) {
                votes[i]++;
                return;
            }
}

const char *group_select_protocol(const struct group *group)
{
    const char *candidates[GROUP_PROTOCOLS_MOST];
    size_t votes[GROUP_PROTOCOLS_MOST] = {0}, count = 0, best = 0;
    if (group->member_count == 0)
        return NULL;
    const struct member *first = group->members[0];
    must(first->protocol_count <= GROUP_PROTOCOLS_MOST);
    for (size_t i = 0; i < first->protocol_count; i++)
        if (all_list(group, first->protocols[i].name))
            candidates[count++] = first->protocols[i].name;
    for (size_t i = 0; i < group->member_count; i++)
        vote(group->members[i], candidates, votes, count);
    for (size_t i = 1; i < count; i++)
        if (votes[i] > votes[best])
            best = i;
    return count > 0 ? candidates[best] : NULL;
}

int32_t group_rebalance_timeout(const struct group *group)
{
    int32_t longest = 0;
    for (size_t i = 0; i < group->member_count; i++)
        if (group->members[i]->rebalance_timeout_ms > longest)
            longest = group->members[i]->rebalance_timeout_ms;
    return longest;
}

size_t group_joined_count(const struct group *group)
{
    size_t count = 0;
    for (size_t i = 0; i < group->member_count; i++)
        count += group->members[i]->join.done != NULL;
    return count;
}
