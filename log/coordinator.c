/* coordinator.c: the requests of the group protocol: join, sync, heartbeat, leave, commits.
 *
 * The rules are those of Kafka's classic group coordinator (the table is in coordinator.h); where
 * its clients can see an order or a code, it is Kafka's. This file decides who is let in and what a
 * request means for the group's state; rebalance.c is what follows, group_table.c the memory, and
 * group_clock.c what happens when nobody asks for anything. */
#include "log/coordinator_internal.h"
#include "runtime/base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
    SESSION_MIN_MS = 6000,
    SESSION_MAX_MS = 30 * 60 * 1000,
    NEW_MEMBER_JOIN_MS = 5 * 60 * 1000, /* a first join that is not answered by then is given up */
    MEMORY_BYTES = 256 << 20
};

struct coordinator *coordinator_create(const struct coordinator_options *options)
{
    struct coordinator *c = calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    c->options = *options;
    if (c->options.now_ms == NULL)
        c->options.now_ms = clock_mono_ms;
    if (c->options.session_timeout_min_ms == 0)
        c->options.session_timeout_min_ms = SESSION_MIN_MS;
    if (c->options.session_timeout_max_ms == 0)
        c->options.session_timeout_max_ms = SESSION_MAX_MS;
    c->table.bytes_most = options->memory_bytes > 0 ? options->memory_bytes : MEMORY_BYTES;
    c->next_deadline_ms = NO_DEADLINE;
    pthread_mutex_init(&c->mutex, NULL);
    return c;
}

void coordinator_destroy(struct coordinator *c)
{
    if (c == NULL)
        return;
    group_table_deinit(&c->table);
    pthread_mutex_destroy(&c->mutex);
    free(c);
}

void coordinator_set_clock(struct coordinator *c, int64_t (*now_ms)(void))
{
    pthread_mutex_lock(&c->mutex);
    c->options.now_ms = now_ms;
    c->next_deadline_ms = INT64_MIN;
    pthread_mutex_unlock(&c->mutex);
}

int64_t coordinator_now(struct coordinator *c)
{
    pthread_mutex_lock(&c->mutex);
    int64_t now = c->options.now_ms();
    pthread_mutex_unlock(&c->mutex);
    return now;
}

int64_t coordinator_deadline(struct coordinator *c, int64_t delay_ms)
{
    int64_t deadline = c->options.now_ms() + delay_ms;
    if (deadline < c->next_deadline_ms)
        c->next_deadline_ms = deadline;
    return deadline;
}

/* ---- groups in memory ---- */

struct group *coordinator_group(struct coordinator *c, const char *name)
{
    struct group *group = group_find(&c->table, name);
    if (group != NULL)
        return group;
    struct group_stored stored = {.empty_since_ms = -1};
    group = group_add(&c->table, name);
    if (group == NULL || c->options.load == NULL ||
        c->options.load(c->options.context, name, &stored) < 0)
        return group;
    group->generation = stored.generation;
    group->empty_since_ms = stored.empty_since_ms;
    group->protocol_type = strdup(stored.protocol_type);
    if (group->protocol_type == NULL) {
        group_remove(&c->table, group);
        return NULL;
    }
    return group;
}

void coordinator_forget_idle(struct coordinator *c, struct group *group)
{
    if (group->state == GROUP_EMPTY && group->pending_count == 0 && group->commits == 0 &&
        !group->changed && (c->options.load != NULL || group->generation == 0))
        group_remove(&c->table, group);
}

void coordinator_touch(struct coordinator *c, struct member *member)
{
    member->session_deadline_ms = coordinator_deadline(c, member->session_timeout_ms);
}

enum group_error group_find_member(const struct group *group, const struct group_member *who,
                                   struct member **member)
{
    *member = NULL;
    if (group == NULL)
        return GROUP_UNKNOWN_MEMBER_ID;
    if (who->instance_id != NULL) {
        struct member *known = group_instance_find(group, who->instance_id);
        if (known == NULL)
            return GROUP_UNKNOWN_MEMBER_ID;
        if (strcmp(known->id, who->member_id) != 0)
            return GROUP_FENCED_INSTANCE_ID;
        *member = known;
        return GROUP_OK;
    }
    struct member *known = group_member_find(group, who->member_id);
    *member =
        known; /* a static one, too: older versions of the protocol do not name the instance */
    return known != NULL ? GROUP_OK : GROUP_UNKNOWN_MEMBER_ID;
}

/* ---- joining ---- */

static char *new_member_id(const struct join_request *request)
{
    const char *prefix = request->instance_id != NULL ? request->instance_id
                         : request->client_id != NULL ? request->client_id
                                                      : "";
    uint8_t r[16];
    size_t size = strlen(prefix) + 38;
    char *id = malloc(size);
    if (id == NULL || getrandom(r, sizeof r, 0) != (ssize_t)sizeof r) {
        free(id);
        return NULL;
    }
    r[6] = (uint8_t)((r[6] & 0x0f) | 0x40); /* RFC 4122: version 4, variant 1 */
    r[8] = (uint8_t)((r[8] & 0x3f) | 0x80);
    snprintf(id, size, "%s-%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
             prefix, r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8], r[9], r[10], r[11],
             r[12], r[13], r[14], r[15]);
    return id;
}

/* The join that is being handled. */
struct joining {
    struct coordinator *c;
    struct group *group;
    const struct join_request *request;
    struct parked_join answer;
};

static void refuse_as(const struct joining *j, enum group_error error, const char *member_id)
{
    struct join_response response = {
        .error = error, .generation = -1, .leader = "", .member_id = member_id};
    j->answer.done(j->answer.context, &response);
}

static void refuse(const struct joining *j, enum group_error error)
{
    refuse_as(j, error, j->request->member_id);
}

/* Parks the join. One that the same member still had parked is told to join again. */
static void park_join(struct joining *j, struct member *member)
{
    group_fail_join(member, GROUP_REBALANCE_IN_PROGRESS);
    member->join = j->answer;
}

static void add_member(struct joining *j, char *id)
{
    struct group *group = j->group;
    struct member *member = member_create(id, j->request);
    if (member == NULL) {
        refuse(j, GROUP_NO_MEMORY);
        return;
    }
    char *type = strdup(j->request->protocol_type);
    if (type == NULL || member_update(member, j->request, j->answer.context) != GROUP_OK ||
        group_append(group, member) != GROUP_OK) {
        free(type);
        member_free(member);
        refuse(j, GROUP_NO_MEMORY);
        return;
    }
    free(group->protocol_type);
    group->protocol_type = type;
    group_drop_pending(group, member->id);
    member->is_new = true;
    member->session_deadline_ms = coordinator_deadline(j->c, NEW_MEMBER_JOIN_MS);
    if (group->state == GROUP_PREPARING_REBALANCE && group->initial)
        group->joined_more = true;
    park_join(j, member);
    group_rebalance(j->c, group, j->request->initial_rebalance_delay_ms);
}

/* Updates what the member says of itself and parks its join, or refuses. */
static bool rejoin(struct joining *j, struct member *member)
{
    if (group_update_member(j->group, member, j->request, j->answer.context) != GROUP_OK) {
        refuse(j, GROUP_NO_MEMORY);
        return false;
    }
    park_join(j, member);
    return true;
}

static void rejoin_and_rebalance(struct joining *j, struct member *member)
{
    if (rejoin(j, member))
        group_rebalance(j->c, j->group, 0);
}

/* A new process under a known instance id: it gets a new member id and the old one's place. */
static void take_over(struct joining *j, struct member *member, char *id)
{
    struct group *group = j->group;
    group_fail_join(member, GROUP_FENCED_INSTANCE_ID);
    group_answer_sync(group, member, GROUP_FENCED_INSTANCE_ID);
    if (member->rebalancing != NULL) /* so that it finds out */
        member->rebalancing(member->rebalancing_context);
    char *old_id = member->id;
    member->id = id;
    if (!rejoin(j, member)) {
        member->id = old_id;
        free(id);
        return;
    }
    coordinator_touch(j->c, member);
    const char *next = group_select_protocol(group);
    if (group->state == GROUP_STABLE && next != NULL && strcmp(next, group->protocol) == 0) {
        if (j->request->can_skip_assignment || member != group->leader) {
            group_answer_current(group, member, true);
        } else { /* clients before v9 assign when they lead: it is told that the old one does */
            struct join_response response = group_current_generation(group, member);
            response.leader = old_id;
            group_answer_join(member, &response);
        }
    } else {
        group_rebalance(j->c, group, 0);
    }
    free(old_id);
}

static void join_new(struct joining *j)
{
    char *id = new_member_id(j->request);
    struct member *known = j->request->instance_id != NULL
                               ? group_instance_find(j->group, j->request->instance_id)
                               : NULL;
    if (id == NULL) {
        refuse(j, GROUP_NO_MEMORY);
    } else if (known != NULL) {
        take_over(j, known, id);
    } else if (j->request->instance_id == NULL && j->request->member_id_required) {
        enum group_error error = group_add_pending(
            j->group, id, coordinator_deadline(j->c, j->request->session_timeout_ms));
        refuse_as(j, error == GROUP_OK ? GROUP_MEMBER_ID_REQUIRED : error, id);
        free(id);
    } else {
        add_member(j, id);
    }
}

static void join_known(struct joining *j)
{
    struct group *group = j->group;
    const struct join_request *request = j->request;
    struct member *member;
    if (request->instance_id == NULL && group_is_pending(group, request->member_id)) {
        add_member(j, strdup(request->member_id));
        return;
    }
    struct group_member who = {request->member_id, request->instance_id, -1};
    enum group_error error = group_find_member(group, &who, &member);
    if (error != GROUP_OK) {
        refuse(j, error);
        return;
    }
    bool same = member_matches(member, request);
    bool keeps_generation = group->state == GROUP_COMPLETING_REBALANCE
                                ? same
                                : group->state == GROUP_STABLE && member != group->leader && same;
    if (!keeps_generation) {
        rejoin_and_rebalance(j, member);
    } else if (rejoin(j, member)) {
        coordinator_touch(j->c, member);
        group_answer_current(group, member, false);
    }
}

/* group.max.size: who is in may come again, the others find it full. */
static bool has_room(const struct coordinator *c, const struct group *group, const char *id)
{
    int32_t limit = c->options.group_max_size;
    if (limit <= 0 || group->state == GROUP_EMPTY)
        return true;
    const struct member *member = group_member_find(group, id);
    if (group->state == GROUP_PREPARING_REBALANCE)
        return (member != NULL && member->join.done != NULL) ||
               group_joined_count(group) < (size_t)limit;
    return member != NULL || group->member_count < (size_t)limit;
}

/* What a member brings stays for as long as its session, whatever became of its connection. Who is in may say again as much as he has said. */
static bool has_memory(const struct joining *j)
{
    const struct join_request *request = j->request;
    size_t bytes = join_bytes(request), own = 0;
    const struct member *known = request->instance_id != NULL
                                     ? group_instance_find(j->group, request->instance_id)
                                     : group_member_find(j->group, request->member_id);
    if (known != NULL)
        own = known->text_bytes + known->protocol_bytes;
    return request->embedded || bytes <= own || group_table_has_room(&j->c->table, bytes - own);
}

static void join_checked(struct joining *j)
{
    struct group *group = j->group;
    bool is_new = j->request->member_id[0] == '\0';
    if (!has_room(j->c, group, j->request->member_id)) {
        struct member *member = group_member_find(group, j->request->member_id);
        group_drop_pending(group, j->request->member_id);
        if (member != NULL)
            group_remove_member(group, member, GROUP_MAX_SIZE_REACHED);
        refuse(j, GROUP_MAX_SIZE_REACHED);
    } else if (!has_memory(j)) {
        refuse(j, GROUP_NOT_AVAILABLE);
    } else if (!group_supports(group, j->request)) {
        refuse(j, GROUP_INCONSISTENT_PROTOCOL);
    } else if (is_new) {
        join_new(j);
    } else {
        join_known(j);
    }
    group_try_complete_join(j->c, group);
}

static bool session_is_allowed(const struct coordinator *c, const struct join_request *request)
{
    if (request->embedded)
        return request->session_timeout_ms > 0;
    return request->session_timeout_ms >= c->options.session_timeout_min_ms &&
           request->session_timeout_ms <= c->options.session_timeout_max_ms;
}

void coordinator_join(struct coordinator *c, const struct join_request *request,
                      void (*done)(void *context, const struct join_response *response),
                      void *context)
{
    struct joining j = {.c = c, .request = request, .answer = {done, context}};
    pthread_mutex_lock(&c->mutex);
    if (request->group == NULL || request->group[0] == '\0') {
        refuse(&j, GROUP_INVALID_GROUP_ID);
    } else if (!session_is_allowed(c, request)) {
        refuse(&j, GROUP_INVALID_SESSION_TIMEOUT);
    } else if (request->member_id[0] != '\0' && group_find(&c->table, request->group) == NULL) {
        refuse(&j, GROUP_UNKNOWN_MEMBER_ID);
    } else {
        j.group = coordinator_group(c, request->group);
        if (j.group == NULL) {
            refuse(&j, GROUP_NO_MEMORY);
        } else {
            join_checked(&j);
            coordinator_forget_idle(c, j.group);
        }
    }
    pthread_mutex_unlock(&c->mutex);
}

/* ---- syncing ---- */

static enum group_error check_sync(struct group *group, const struct sync_request *request,
                                   struct member **member)
{
    enum group_error error = group_find_member(group, &request->member, member);
    if (error != GROUP_OK)
        return error;
    if (request->member.generation != group->generation)
        return GROUP_ILLEGAL_GENERATION;
    if ((request->protocol_type != NULL && group->protocol_type != NULL &&
         strcmp(request->protocol_type, group->protocol_type) != 0) ||
        (request->protocol != NULL && group->protocol != NULL &&
         strcmp(request->protocol, group->protocol) != 0))
        return GROUP_INCONSISTENT_PROTOCOL;
    return group->state == GROUP_PREPARING_REBALANCE ? GROUP_REBALANCE_IN_PROGRESS : GROUP_OK;
}

void coordinator_sync(struct coordinator *c, const struct sync_request *request,
                      void (*done)(void *context, const struct sync_response *response),
                      void *context)
{
    struct member *member = NULL;
    pthread_mutex_lock(&c->mutex);
    struct group *group = group_find(&c->table, request->group);
    enum group_error error = check_sync(group, request, &member);
    bool completes =
        error == GROUP_OK && group->state == GROUP_COMPLETING_REBALANCE && member == group->leader;
    if (completes)
        error = group_take_assignments(group, request);
    if (error != GROUP_OK) {
        struct sync_response response = {.error = error, .assignment = bytes_of("", 0)};
        done(context, &response);
    } else {
        group_answer_sync(group, member,
                          GROUP_REBALANCE_IN_PROGRESS); /* an older one of the same member */
        member->sync = (struct parked_sync){done, context};
        member->synced = true;
        if (completes) {
            group_become_stable(c, group);
        } else if (group->state == GROUP_STABLE) {
            coordinator_touch(c, member);
            group_answer_sync(group, member, GROUP_OK);
        }
    }
    pthread_mutex_unlock(&c->mutex);
}

/* ---- staying and leaving ---- */

enum group_error coordinator_heartbeat(struct coordinator *c, const char *name,
                                       const struct group_member *who)
{
    struct member *member;
    pthread_mutex_lock(&c->mutex);
    struct group *group = group_find(&c->table, name);
    enum group_error error = group_find_member(group, who, &member);
    if (error == GROUP_OK && who->generation != group->generation)
        error = GROUP_ILLEGAL_GENERATION;
    if (error == GROUP_OK) {
        coordinator_touch(c, member);
        if (group->state == GROUP_PREPARING_REBALANCE)
            error = GROUP_REBALANCE_IN_PROGRESS;
    }
    pthread_mutex_unlock(&c->mutex);
    return error;
}

static void remove_and_rebalance(struct coordinator *c, struct group *group, struct member *member)
{
    group_remove_member(group, member, GROUP_UNKNOWN_MEMBER_ID);
    group_rebalance(c, group, 0);
}

enum group_error coordinator_leave(struct coordinator *c, const char *name,
                                   const struct group_member *who)
{
    enum group_error error = GROUP_UNKNOWN_MEMBER_ID;
    struct member *member = NULL;
    pthread_mutex_lock(&c->mutex);
    struct group *group = group_find(&c->table, name);
    if (group != NULL && group_is_pending(group, who->member_id)) {
        group_drop_pending(group, who->member_id);
        group_try_complete_join(c, group);
        coordinator_forget_idle(c, group);
        error = GROUP_OK;
    } else if (group != NULL && who->instance_id != NULL && who->member_id[0] == '\0') {
        member = group_instance_find(group, who->instance_id);
        error = member != NULL ? GROUP_OK : GROUP_UNKNOWN_MEMBER_ID;
    } else {
        error = group_find_member(group, who, &member);
    }
    if (member != NULL)
        remove_and_rebalance(c, group, member);
    pthread_mutex_unlock(&c->mutex);
    return error;
}

static void joined_by_nobody(void *context, const struct join_response *response)
{
    (void)context, (void)response;
}

static void synced_by_nobody(void *context, const struct sync_response *response)
{
    (void)context, (void)response;
}

static void forget(struct coordinator *c, const char *name, void *context, struct parked_join join,
                   struct parked_sync sync)
{
    pthread_mutex_lock(&c->mutex);
    struct group *group = group_find(&c->table, name);
    for (size_t i = 0; group != NULL && i < group->member_count; i++) {
        struct member *member = group->members[i];
        if (member->sync.context == context)
            member->sync = sync;
        if (member->join.context == context)
            member->join = join;
        if (member->rebalancing_context == context)
            member->rebalancing = NULL;
    }
    pthread_mutex_unlock(&c->mutex);
}

void coordinator_forget(struct coordinator *c, const char *name, void *context)
{
    forget(c, name, context, (struct parked_join){0}, (struct parked_sync){0});
}

void coordinator_orphan(struct coordinator *c, const char *name, void *context)
{
    forget(c, name, context, (struct parked_join){joined_by_nobody, NULL},
           (struct parked_sync){synced_by_nobody, NULL});
}

/* ---- commits ---- */

static bool is_nobody(const struct group_member *who)
{
    return who == NULL ||
           (who->generation < 0 && who->member_id[0] == '\0' && who->instance_id == NULL);
}

static enum group_error begin_commit(struct coordinator *c, const char *name,
                                     const struct group_member *who, bool in_transaction)
{
    struct member *member = NULL;
    enum group_error error = GROUP_OK;
    pthread_mutex_lock(&c->mutex);
    struct group *group = coordinator_group(c, name);
    if (group == NULL)
        error = GROUP_NO_MEMORY;
    else if (group->state == GROUP_EMPTY && (who == NULL || who->generation < 0))
        error =
            GROUP_OK; /* whatever it calls itself: librdkafka names its instance without a group, too */
    else if (is_nobody(who))
        error = GROUP_UNKNOWN_MEMBER_ID;
    else
        error = group_find_member(group, who, &member);
    if (error == GROUP_OK && member != NULL) {
        if (who->generation != group->generation)
            error = GROUP_ILLEGAL_GENERATION;
        else if (group->state == GROUP_COMPLETING_REBALANCE && !in_transaction)
            error = GROUP_REBALANCE_IN_PROGRESS;
        else
            coordinator_touch(c, member);
    }
    if (error == GROUP_OK)
        group->commits++;
    else if (group != NULL)
        coordinator_forget_idle(c, group);
    pthread_mutex_unlock(&c->mutex);
    return error;
}

enum group_error coordinator_commit_begin(struct coordinator *c, const char *name,
                                          const struct group_member *who)
{
    return begin_commit(c, name, who, false);
}

enum group_error coordinator_txn_commit_begin(struct coordinator *c, const char *name,
                                              const struct group_member *who)
{
    return begin_commit(c, name, who, true);
}

void coordinator_commit_end(struct coordinator *c, const char *name)
{
    pthread_mutex_lock(&c->mutex);
    struct group *group = group_find(&c->table, name);
    must(group != NULL && group->commits > 0);
    group->commits--;
    group_try_complete_join(c, group);
    coordinator_forget_idle(c, group);
    pthread_mutex_unlock(&c->mutex);
}
