/* group_clock.c: what time does to groups, and who looks at them.
 *
 * Deadlines are absolute times of the coordinator's clock. next_deadline_ms is a lower bound of all
 * of them: a deadline that is set lowers it, one that is moved away leaves it, and
 * coordinator_tick, which looks at every member when the bound is reached, computes it anew. So a
 * tick costs nothing while nothing is due, and members that send heartbeats cost one look per
 * session timeout. A tick lets go of groups that nobody is in and nobody comes to, too: a name costs whoever says it nothing.
 *
 * The views show a group as it is, under the mutex; take_changes shows those whose generation or
 * emptiness is not stored yet, and lets go of the memory of groups that nobody is in. */
#include "log/coordinator_internal.h"
#include "runtime/base/clock.h"

#include <stdlib.h>
#include <string.h>

enum { COMMIT_LOOK_MS = 20 };

/* ---- time ---- */

/* The session of a member whose request is parked does not end, but for a first join. */
static bool session_is_over(const struct member *member, int64_t now)
{
    bool parked = member->join.done != NULL || member->sync.done != NULL;
    return member->session_deadline_ms <= now && (member->is_new || !parked);
}

static void expire_members(struct coordinator *c, struct group *group, int64_t now)
{
    group_expire_pending(group, now);
    bool removed = false;
    for (size_t i = group->member_count; i-- > 0;) {
        if (!session_is_over(group->members[i], now))
            continue;
        group_remove_member(group, group->members[i], GROUP_UNKNOWN_MEMBER_ID);
        removed = true;
    }
    if (removed)
        group_rebalance(c, group, 0);
}

/* Members that joined a generation and did not come for their assignment hold up the others. */
static void expire_sync(struct coordinator *c, struct group *group, int64_t now)
{
    if (group->sync_deadline_ms > now)
        return;
    bool removed = false;
    group->sync_deadline_ms = NO_DEADLINE;
    for (size_t i = group->member_count; i-- > 0;) {
        if (group->members[i]->synced)
            continue;
        group_remove_member(group, group->members[i], GROUP_UNKNOWN_MEMBER_ID);
        removed = true;
    }
    if (removed)
        group_rebalance(c, group, 0);
}

static void tick_group(struct coordinator *c, struct group *group, int64_t now)
{
    expire_members(c, group, now);
    expire_sync(c, group, now);
    group_try_complete_join(c, group);
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Commits hold the end of the join phase up. Their end looks at it, but nobody ticks for it: so it is looked at
 * again soon. */
static int64_t join_deadline(const struct group *group, int64_t now)
{
    int64_t soon = now + COMMIT_LOOK_MS;
    return group->commits > 0 && group->join_deadline_ms < soon ? soon : group->join_deadline_ms;
}

static int64_t group_next_deadline(const struct group *group, int64_t now)
{
    int64_t next = earlier(join_deadline(group, now), group->sync_deadline_ms);
    for (size_t i = 0; i < group->pending_count; i++)
        next = earlier(next, group->pending[i].deadline_ms);
    for (size_t i = 0; i < group->member_count; i++) {
        const struct member *member = group->members[i];
        if (member->is_new || (member->join.done == NULL && member->sync.done == NULL))
            next = earlier(next, member->session_deadline_ms);
    }
    return next;
}

int64_t coordinator_tick(struct coordinator *c)
{
    pthread_mutex_lock(&c->mutex);
    int64_t now = c->options.now_ms();
    if (now >= c->next_deadline_ms) {
        for (size_t i = c->table.count; i-- > 0;) { /* one that is let go leaves those before it */
            struct group *group = c->table.groups[i];
            tick_group(c, group, now);
            coordinator_forget_idle(c, group);
        }
        c->next_deadline_ms = NO_DEADLINE;
        for (size_t i = 0; i < c->table.count; i++)
            c->next_deadline_ms =
                earlier(c->next_deadline_ms, group_next_deadline(c->table.groups[i], now));
    }
    int64_t next = c->next_deadline_ms;
    pthread_mutex_unlock(&c->mutex);
    return next;
}

/* ---- looking ---- */

static struct member_view *view_members(const struct group *group)
{
    struct member_view *members = calloc(group->member_count + 1, sizeof *members);
    for (size_t i = 0; i < group->member_count && members != NULL; i++) {
        const struct member *member = group->members[i];
        bool agreed = group->state == GROUP_STABLE || group->state == GROUP_COMPLETING_REBALANCE;
        struct member_view *view = &members[i];
        *view = (struct member_view){.member_id = member->id,
                                     .instance_id = member->instance_id,
                                     .client_id = member->client_id,
                                     .host = member->host,
                                     .session_timeout_ms = member->session_timeout_ms,
                                     .rebalance_timeout_ms = member->rebalance_timeout_ms,
                                     .metadata = bytes_of("", 0),
                                     .assignment = bytes_of("", 0)};
        if (agreed)
            view->metadata = member_metadata(member, group->protocol);
        if (group->state == GROUP_STABLE && member->assignment.size > 0)
            view->assignment = bytes_of(member->assignment.data, member->assignment.size);
    }
    return members;
}

static struct group_view view_of(const struct group *group)
{
    return (struct group_view){.name = group->name,
                               .state = group->state,
                               .generation = group->generation,
                               .empty_since_ms = group->empty_since_ms,
                               .protocol_type =
                                   group->protocol_type != NULL ? group->protocol_type : "",
                               .protocol = group->protocol != NULL ? group->protocol : "",
                               .leader = group->leader != NULL ? group->leader->id : ""};
}

static int show(const struct group *group, group_view_fn fn, void *context)
{
    struct member_view *members = view_members(group);
    if (members == NULL)
        return ERR_NOMEM;
    struct group_view view = view_of(group);
    view.members = members;
    view.member_count = group->member_count;
    int rc = fn(context, &view);
    free(members);
    return rc;
}

int coordinator_view(struct coordinator *c, const char *name, group_view_fn fn, void *context)
{
    int rc = ERR_NOMEM;
    pthread_mutex_lock(&c->mutex);
    struct group *group = coordinator_group(c, name);
    if (group != NULL) {
        bool known = group->generation > 0 || group->member_count > 0 || group->pending_count > 0;
        rc = known ? show(group, fn, context) : ERR_NOT_FOUND;
        coordinator_forget_idle(c, group);
    }
    pthread_mutex_unlock(&c->mutex);
    return rc;
}

int coordinator_view_all(struct coordinator *c, group_view_fn fn, void *context)
{
    int rc = 0;
    pthread_mutex_lock(&c->mutex);
    for (size_t i = 0; i < c->table.count && rc == 0; i++)
        rc = show(c->table.groups[i], fn, context);
    pthread_mutex_unlock(&c->mutex);
    return rc;
}

bool coordinator_has_members(struct coordinator *c, const char *name)
{
    pthread_mutex_lock(&c->mutex);
    const struct group *group = group_find(&c->table, name);
    bool has = group != NULL && group->state != GROUP_EMPTY;
    pthread_mutex_unlock(&c->mutex);
    return has;
}

enum group_error coordinator_delete(struct coordinator *c, const char *name)
{
    enum group_error error = GROUP_OK;
    pthread_mutex_lock(&c->mutex);
    struct group *group = group_find(&c->table, name);
    if (group == NULL)
        error = GROUP_ID_NOT_FOUND;
    else if (group->state != GROUP_EMPTY || group->commits > 0)
        error = GROUP_NON_EMPTY_GROUP;
    else
        group_remove(&c->table, group);
    pthread_mutex_unlock(&c->mutex);
    return error;
}

/* ---- what is stored ---- */

int coordinator_take_changes(struct coordinator *c, group_view_fn fn, void *context)
{
    int rc = 0;
    pthread_mutex_lock(&c->mutex);
    for (size_t i = c->table.count; i-- > 0 && rc == 0;) {
        struct group *group = c->table.groups[i];
        if (!group->changed)
            continue;
        struct group_view view = view_of(group);
        rc = fn(context, &view);
        group->changed = rc != 0;
    }
    c->changed = rc != 0;
    pthread_mutex_unlock(&c->mutex);
    return rc;
}

void coordinator_settle(struct coordinator *c, const char *name, bool stored)
{
    pthread_mutex_lock(&c->mutex);
    struct group *group = group_find(&c->table, name);
    if (group != NULL && stored)
        coordinator_forget_idle(c, group);
    else if (group != NULL)
        group->changed = c->changed = true;
    pthread_mutex_unlock(&c->mutex);
}

bool coordinator_has_changes(struct coordinator *c)
{
    pthread_mutex_lock(&c->mutex);
    bool changed = c->changed;
    pthread_mutex_unlock(&c->mutex);
    return changed;
}

/* ---- codes ---- */

static const struct {
    enum group_error error;
    int code;
    const char *text;
} errors[] = {
    {GROUP_OK, 0, "done"},
    {GROUP_NO_MEMORY, ERR_NOMEM, "out of memory"},
    {GROUP_NOT_AVAILABLE, ERR_NOMEM, "the groups hold as much as they may"},
    {GROUP_ILLEGAL_GENERATION, ERR_MEMBER, "the generation is over"},
    {GROUP_INCONSISTENT_PROTOCOL, ERR_INVALID, "no assignor that all members list"},
    {GROUP_INVALID_GROUP_ID, ERR_INVALID, "the group has no name"},
    {GROUP_UNKNOWN_MEMBER_ID, ERR_MEMBER, "the group has no such member"},
    {GROUP_INVALID_SESSION_TIMEOUT, ERR_INVALID, "the session timeout is out of bounds"},
    {GROUP_REBALANCE_IN_PROGRESS, ERR_REBALANCE, "the group is in a rebalance"},
    {GROUP_NON_EMPTY_GROUP, ERR_BUSY, "the group has members"},
    {GROUP_ID_NOT_FOUND, ERR_NOT_FOUND, "there is no such group"},
    {GROUP_MEMBER_ID_REQUIRED, ERR_MEMBER, "join again with the member id"},
    {GROUP_MAX_SIZE_REACHED, ERR_TOO_LARGE, "the group is full"},
    {GROUP_FENCED_INSTANCE_ID, ERR_FENCED, "another member took the instance id"},
};

int group_error_code(enum group_error error)
{
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
        if (errors[i].error == error)
            return errors[i].code;
    return ERR_STATE;
}

const char *group_error_text(enum group_error error)
{
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
        if (errors[i].error == error)
            return errors[i].text;
    return "unknown";
}

const char *group_state_text(enum group_state state)
{
    static const char *const texts[] = {"Empty", "PreparingRebalance", "CompletingRebalance",
                                        "Stable", "Dead"};
    return texts[state];
}
