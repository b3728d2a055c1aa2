/* rebalance.c: how a group's members agree on a generation.
 *
 * Two phases. In the join phase (PreparingRebalance) the members' joins are parked until all of
 * them have come, or the longest rebalance timeout is over; then they are answered all at once,
 * with a new generation, and those that did not come are no members any more (static ones are: they
 * have until their session ends). In the sync phase (CompletingRebalance) the members' syncs are
 * parked until the leader's brings everybody's assignment.
 *
 * group_try_complete_join is called after whatever may have been the last thing that the join phase
 * waited for: a join, a leave, an expiry, a pending id that is dropped, a commit that ends, time.
 *
 * No generation begins while a commit of the one before is being written: so an owner's last commit
 * lies before its successor's first look at the offsets, without a lock that is held over the
 * write. */
#include "log/coordinator_internal.h"
#include "runtime/base/clock.h"

#include <stdlib.h>
#include <string.h>

/* ---- answers ---- */

void group_answer_join(struct member *member, const struct join_response *response)
{
    struct parked_join join = member->join;
    member->join = (struct parked_join){0};
    if (join.done != NULL)
        join.done(join.context, response);
}

void group_fail_join(struct member *member, enum group_error error)
{
    struct join_response response = {
        .error = error, .generation = -1, .leader = "", .member_id = member->id};
    group_answer_join(member, &response);
}

void group_answer_sync(struct group *group, struct member *member, enum group_error error)
{
    struct parked_sync sync = member->sync;
    struct sync_response response = {.error = error,
                                     .protocol_type = group->protocol_type,
                                     .protocol = group->protocol,
                                     .assignment = bytes_of("", 0)};
    if (error == GROUP_OK && member->assignment.size > 0)
        response.assignment = bytes_of(member->assignment.data, member->assignment.size);
    member->sync = (struct parked_sync){0};
    if (sync.done != NULL)
        sync.done(sync.context, &response);
}

/* ---- rebalance: the join phase ---- */

static void prepare_rebalance(struct coordinator *c, struct group *group, int32_t initial_delay_ms)
{
    group->initial = group->state == GROUP_EMPTY && initial_delay_ms > 0;
    for (size_t i = 0; i < group->member_count; i++)
        group_answer_sync(group, group->members[i], GROUP_REBALANCE_IN_PROGRESS);
    int64_t timeout = group_rebalance_timeout(group);
    group->sync_deadline_ms = NO_DEADLINE;
    group->joined_more = false;
    group->state = GROUP_PREPARING_REBALANCE;
    if (group->initial) {
        group->initial_delay_ms = initial_delay_ms;
        group->initial_left_ms = timeout > initial_delay_ms ? timeout - initial_delay_ms : 0;
        timeout = initial_delay_ms;
    }
    group->join_deadline_ms = coordinator_deadline(c, timeout);
    for (size_t i = 0; i < group->member_count; i++) {
        struct member *member = group->members[i];
        if (member->join.done == NULL && member->rebalancing != NULL)
            member->rebalancing(member->rebalancing_context);
    }
}

void group_rebalance(struct coordinator *c, struct group *group, int32_t initial_delay_ms)
{
    if (group->state != GROUP_PREPARING_REBALANCE)
        prepare_rebalance(c, group, initial_delay_ms);
    group_try_complete_join(c, group);
}

void group_remove_member(struct group *group, struct member *member, enum group_error error)
{
    group_fail_join(member, error);
    group_answer_sync(group, member, error);
    group_drop(group, member);
}

static void remove_missing_members(struct group *group)
{
    for (size_t i = group->member_count; i-- > 0;) {
        struct member *member = group->members[i];
        if (member->join.done == NULL && member->instance_id == NULL)
            group_remove_member(group, member, GROUP_UNKNOWN_MEMBER_ID);
    }
}

/* A leader that has joined. false: nobody has. */
static bool elect_leader(struct group *group)
{
    if (group->leader != NULL && group->leader->join.done != NULL)
        return true;
    for (size_t i = 0; i < group->member_count; i++) {
        if (group->members[i]->join.done == NULL)
            continue;
        group->leader = group->members[i];
        return true;
    }
    return false;
}

static void become_empty(struct coordinator *c, struct group *group)
{
    free(group->protocol);
    group->protocol = NULL;
    group->state = GROUP_EMPTY;
    group->join_deadline_ms = group->sync_deadline_ms = NO_DEADLINE;
    group->empty_since_ms = clock_wall_ms();
    group->generation++;
    group->changed = c->changed = true;
}

/* For the leader: everybody and what they said. NULL: no memory. */
static struct join_member *list_members(const struct group *group)
{
    struct join_member *members = calloc(group->member_count + 1, sizeof *members);
    for (size_t i = 0; i < group->member_count && members != NULL; i++) {
        const struct member *member = group->members[i];
        members[i] = (struct join_member){member->id, member->instance_id,
                                          member_metadata(member, group->protocol)};
    }
    return members;
}

struct join_response group_current_generation(const struct group *group,
                                              const struct member *member)
{
    return (struct join_response){.generation = group->generation,
                                  .protocol_type = group->protocol_type,
                                  .protocol = group->protocol,
                                  .leader = group->leader->id,
                                  .member_id = member->id};
}

void group_answer_current(struct group *group, struct member *member, bool skip_assignment)
{
    struct join_response response = group_current_generation(group, member);
    struct join_member *members = NULL;
    if (member == group->leader) {
        members = list_members(group);
        if (members == NULL) {
            group_fail_join(member, GROUP_NO_MEMORY);
            return;
        }
        response.members = members;
        response.member_count = group->member_count;
        response.skip_assignment = skip_assignment;
    }
    group_answer_join(member, &response);
    free(members);
}

/* A new generation: everybody that joined is told, and must sync. */
static void begin_generation(struct coordinator *c, struct group *group)
{
    const char *selected = group_select_protocol(group);
    char *protocol = selected != NULL ? strdup(selected) : NULL;
    if (protocol == NULL) { /* no memory: the joins are refused, and the members try again */
        for (size_t i = 0; i < group->member_count; i++)
            group_fail_join(group->members[i], GROUP_NO_MEMORY);
        group->join_deadline_ms = coordinator_deadline(c, group_rebalance_timeout(group));
        return;
    }
    free(group->protocol);
    group->protocol = protocol;
    group->generation++;
    group->state = GROUP_COMPLETING_REBALANCE;
    group->empty_since_ms = -1;
    group->changed = c->changed = true;
    group->initial = false;
    group->join_deadline_ms = NO_DEADLINE;
    group->sync_deadline_ms = coordinator_deadline(c, group_rebalance_timeout(group));
    for (size_t i = 0; i < group->member_count; i++) {
        struct member *member = group->members[i];
        member->synced = false;
        buf_clear(&member->assignment);
        coordinator_touch(c, member);
        member->is_new = false;
        if (member->join.done != NULL)
            group_answer_current(group, member, false);
    }
}

static void complete_join(struct coordinator *c, struct group *group)
{
    remove_missing_members(group);
    if (group->member_count == 0)
        become_empty(c, group);
    else if (elect_leader(group))
        begin_generation(c, group);
    else /* static members alone, none of them here: until their sessions end */
        group->join_deadline_ms = coordinator_deadline(c, group_rebalance_timeout(group));
}

void group_try_complete_join(struct coordinator *c, struct group *group)
{
    if (group->state != GROUP_PREPARING_REBALANCE || group->commits > 0)
        return;
    bool everybody = group_joined_count(group) == group->member_count && group->pending_count == 0;
    bool over = group->join_deadline_ms <= c->options.now_ms();
    if (group->initial && over && group->joined_more && group->initial_left_ms > 0) {
        int64_t delay = group->initial_delay_ms < group->initial_left_ms ? group->initial_delay_ms
                                                                         : group->initial_left_ms;
        group->joined_more = false;
        group->initial_left_ms -= delay;
        group->join_deadline_ms = coordinator_deadline(c, delay);
        return;
    }
    /* An Empty group's first phase lasts its time, but not for members that have all gone. */
    if (over || (everybody && (!group->initial || group->member_count == 0)))
        complete_join(c, group);
}

/* ---- the sync phase ---- */

void group_become_stable(struct coordinator *c, struct group *group)
{
    group->state = GROUP_STABLE;
    for (size_t i = 0; i < group->member_count; i++) {
        struct member *member = group->members[i];
        if (member->sync.done == NULL)
            continue;
        coordinator_touch(c, member);
        group_answer_sync(group, member, GROUP_OK);
    }
}

static bool is_embedded(const struct member *member)
{
    return member->rebalancing != NULL;
}

enum group_error group_take_assignments(struct group *group, const struct sync_request *request)
{
    for (size_t i = 0; i < group->member_count; i++)
        buf_clear(&group->members[i]->assignment);
    for (size_t i = 0; i < request->assignment_count; i++) {
        const struct sync_assignment *given = &request->assignments[i];
        struct member *member = group_member_find(group, given->member_id);
        if (member == NULL)
            continue;
        if (!is_embedded(group->leader) &&
            !group_table_has_room(group->table, given->assignment.size))
            return GROUP_NOT_AVAILABLE;
        enum group_error error = group_assign(group, member, given->assignment);
        if (error != GROUP_OK)
            return error;
    }
    return GROUP_OK;
}
