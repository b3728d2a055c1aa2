/* assign.c: range, roundrobin, and what cooperative-sticky adds to sticky.
 *
 * Each gives the result of Kafka's assignor of that name for the same members, so that members of
 * both kinds can meet in a group and whoever leads decides alike. Members are sorted as Kafka sorts
 * them: static ones first, by instance id, then the others by member id.
 *
 *   range        each topic by itself: neighbouring partitions, the first members get one more when
 *                it does not come out even. Two topics with as many partitions are dealt alike.
 *   roundrobin   all partitions by topic and number, to the next member that subscribes to the topic.
 *   sticky       assign_sticky.c
 *   cooperative  sticky, but a partition that leaves an owner goes to nobody in this generation: the
 *                owner gives it up and joins again, and the second generation hands it out. */
#include "log/assign.h"

#include <stdlib.h>
#include <string.h>

static const char *const names[] = {NULL, "range", "roundrobin", "sticky", "cooperative-sticky"};

const char *assignor_name(enum assignor assignor)
{
    return assignor > ASSIGN_NONE && assignor <= ASSIGN_COOPERATIVE_STICKY ? names[assignor] : NULL;
}

enum assignor assignor_named(const char *name)
{
    for (int i = ASSIGN_RANGE; i <= ASSIGN_COOPERATIVE_STICKY; i++)
        if (strcmp(name, names[i]) == 0)
            return (enum assignor)i;
    return ASSIGN_NONE;
}

size_t assign_row_size(const struct assign_problem *problem)
{
    size_t size = 0;
    for (size_t i = 0; i < problem->topic_count; i++)
        size += (size_t)problem->partition_counts[i];
    return size;
}

/* ---- the order of members ---- */

static int compare_members(const void *a, const void *b)
{
    const struct assign_member *left = *(const struct assign_member *const *)a;
    const struct assign_member *right = *(const struct assign_member *const *)b;
    if (left->instance_id != NULL && right->instance_id != NULL)
        return strcmp(left->instance_id, right->instance_id);
    if (left->instance_id != NULL || right->instance_id != NULL)
        return left->instance_id != NULL ? -1 : 1;
    return strcmp(left->id, right->id);
}

static const struct assign_member **sorted_members(const struct assign_problem *problem)
{
    const struct assign_member **sorted =
        malloc((problem->member_count + 1) * sizeof(const struct assign_member *));
    if (sorted == NULL)
        return NULL;
    for (size_t i = 0; i < problem->member_count; i++)
        sorted[i] = &problem->members[i];
    qsort(sorted, problem->member_count, sizeof(const struct assign_member *), compare_members);
    return sorted;
}

bool assign_subscribes(const struct assign_member *member, uint32_t topic)
{
    size_t low = 0, high = member->topic_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (member->topics[middle] < topic)
            low = middle + 1;
        else
            high = middle;
    }
    return low < member->topic_count && member->topics[low] == topic;
}

/* ---- range ---- */

static void range_topic(const struct assign_problem *problem, const struct assign_member **sorted,
                        uint32_t topic, int32_t *owners)
{
    int32_t readers = 0, partition = 0;
    for (size_t i = 0; i < problem->member_count; i++)
        readers += assign_subscribes(sorted[i], topic);
    if (readers == 0)
        return;
    int32_t share = problem->partition_counts[topic] / readers;
    int32_t larger_shares = problem->partition_counts[topic] % readers;
    for (size_t i = 0; i < problem->member_count; i++) {
        if (!assign_subscribes(sorted[i], topic))
            continue;
        int32_t end = partition + share + (larger_shares-- > 0);
        while (partition < end)
            owners[partition++] = (int32_t)(sorted[i] - problem->members);
    }
}

static void assign_range(const struct assign_problem *problem, const struct assign_member **sorted,
                         int32_t *owners)
{
    for (uint32_t topic = 0; topic < problem->topic_count; topic++) {
        range_topic(problem, sorted, topic, owners);
        owners += problem->partition_counts[topic];
    }
}

/* ---- roundrobin ---- */

static void assign_round_robin(const struct assign_problem *problem,
                               const struct assign_member **sorted, int32_t *owners)
{
    size_t next = 0;
    for (uint32_t topic = 0; topic < problem->topic_count; topic++) {
        for (int32_t p = 0; p < problem->partition_counts[topic]; p++, owners++) {
            size_t tried = 0;
            while (tried < problem->member_count && !assign_subscribes(sorted[next], topic)) {
                next = (next + 1) % problem->member_count;
                tried++;
            }
            if (tried == problem->member_count)
                continue;
            *owners = (int32_t)(sorted[next] - problem->members);
            next = (next + 1) % problem->member_count;
        }
    }
}

/* ---- cooperation ---- */

size_t *assign_row_starts(const struct assign_problem *problem)
{
    size_t *starts = malloc((problem->topic_count + 1) * sizeof *starts);
    if (starts == NULL)
        return NULL;
    starts[0] = 0;
    for (size_t i = 0; i < problem->topic_count; i++)
        starts[i + 1] = starts[i] + (size_t)problem->partition_counts[i];
    return starts;
}

size_t assign_row_place(const struct assign_problem *problem, const size_t *starts,
                        const struct assign_partition *p)
{
    if (p->topic >= problem->topic_count || p->partition < 0 ||
        p->partition >= problem->partition_counts[p->topic])
        return SIZE_MAX;
    return starts[p->topic] + (size_t)p->partition;
}

/* Which partitions stay where they are. */
static void mark_kept(const struct assign_problem *problem, const size_t *starts,
                      const int32_t *owners, bool *kept)
{
    for (size_t m = 0; m < problem->member_count; m++) {
        const struct assign_member *member = &problem->members[m];
        for (size_t i = 0; i < member->owned_count; i++) {
            size_t at = assign_row_place(problem, starts, &member->owned[i]);
            if (at != SIZE_MAX && owners[at] == (int32_t)m)
                kept[at] = true;
        }
    }
}

/* What somebody else has to give up first waits for the next generation: a partition that its new
 * owner does not have and another one has, or that two say they have since the same generation. */
static int withhold_moving(const struct assign_problem *problem, int32_t *owners)
{
    size_t size = assign_row_size(problem), *starts = assign_row_starts(problem);
    bool *kept = calloc(size + 1, sizeof *kept), *claimed = calloc(size + 1, sizeof *claimed);
    int rc = starts != NULL && kept != NULL && claimed != NULL ? 0 : ERR_NOMEM;
    if (rc == 0)
        mark_kept(problem, starts, owners, kept);
    for (size_t m = 0; rc == 0 && m < problem->member_count; m++) {
        const struct assign_member *member = &problem->members[m];
        for (size_t i = 0; i < member->owned_count; i++) {
            size_t at = assign_row_place(problem, starts, &member->owned[i]);
            if (at == SIZE_MAX || owners[at] < 0 || owners[at] == (int32_t)m)
                continue;
            if (!kept[at] || member->generation == problem->members[owners[at]].generation)
                claimed[at] = true;
        }
    }
    for (size_t i = 0; rc == 0 && i < size; i++)
        if (claimed[i])
            owners[i] = -1;
    free(starts);
    free(kept);
    free(claimed);
    return rc;
}

int assign_partitions(enum assignor assignor, const struct assign_problem *problem, int32_t *owners)
{
    size_t size = assign_row_size(problem);
    for (size_t i = 0; i < size; i++)
        owners[i] = -1;
    if (assignor_name(assignor) == NULL)
        return ERR_INVALID;
    if (problem->member_count == 0)
        return 0;
    if (assignor == ASSIGN_STICKY || assignor == ASSIGN_COOPERATIVE_STICKY) {
        TRY(assign_sticky(problem, owners));
        if (assignor == ASSIGN_COOPERATIVE_STICKY)
            TRY(withhold_moving(problem, owners));
        return 0;
    }
    const struct assign_member **sorted = sorted_members(problem);
    if (sorted == NULL)
        return ERR_NOMEM;
    if (assignor == ASSIGN_RANGE)
        assign_range(problem, sorted, owners);
    else
        assign_round_robin(problem, sorted, owners);
    free(sorted);
    return 0;
}
