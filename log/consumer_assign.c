/* consumer_assign.c: what a member says when it joins, and what the leader makes of it.
 *
 * Metadata and assignments are Kafka's bytes (consumer_protocol.h), so that members of both kinds can
 * share a group. A member whose metadata nobody can read subscribes to nothing; topics that do not
 * exist have no partitions.
 *
 * The leader remembers how many partitions the group's topics had. When that changes it joins again,
 * which makes the whole group share anew: that is how new partitions find a reader. */
#include "log/consumer_internal.h"
#include "log/consumer_protocol.h"

#include <stdlib.h>
#include <string.h>

/* ---- a member's metadata ---- */

static int previous_data(const struct consumer *c, struct buf *out)
{
    struct named_partition *owned = malloc((c->previous.count + 1) * sizeof *owned);
    if (owned == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < c->previous.count; i++)
        owned[i] = (struct named_partition){bytes_text(c->previous.items[i].topic),
                                            c->previous.items[i].partition};
    sticky_data_encode(out, owned, c->previous.count, c->previous.generation);
    free(owned);
    return 0;
}

int member_subscription(const struct consumer *c, enum assignor assignor, struct buf *out)
{
    struct buf user_data = {0};
    struct bytes *topics = malloc((c->topic_count + 1) * sizeof *topics);
    struct named_partition *owned = malloc((c->sources.count + 1) * sizeof *owned);
    int rc = topics != NULL && owned != NULL ? 0 : ERR_NOMEM;
    for (size_t i = 0; rc == 0 && i < c->topic_count; i++)
        topics[i] = bytes_text(c->topics[i]);
    for (size_t i = 0; rc == 0 && i < c->sources.count; i++)
        owned[i] = (struct named_partition){bytes_text(c->sources.items[i]->topic),
                                            c->sources.items[i]->index};
    if (rc == 0 && assignor == ASSIGN_STICKY && c->previous.generation >= 0)
        rc = previous_data(c, &user_data);
    if (rc == 0 && assignor == ASSIGN_COOPERATIVE_STICKY)
        buf_be32(&user_data, (uint32_t)c->generation);
    if (rc == 0) {
        struct subscription subscription = {.version = CONSUMER_PROTOCOL_VERSION,
                                            .topics = topics,
                                            .topic_count = c->topic_count,
                                            .owned = owned,
                                            .owned_count = c->sources.count,
                                            .generation = c->generation};
        if (user_data.size > 0)
            subscription.user_data = bytes_of(user_data.data, user_data.size);
        subscription_encode(out, &subscription);
        rc = buf_ok(out) && buf_ok(&user_data) ? 0 : ERR_NOMEM;
    }
    buf_deinit(&user_data);
    free(topics);
    free(owned);
    return rc;
}

/* ---- the leader ---- */

/* The group as the assignors want it. */
struct plan {
    struct subscription *subscriptions; /* of each member */
    struct assign_member *members;
    uint32_t **topics; /* of each member: numbers in names */
    struct assign_partition **owned;
    const char **names; /* all topics, sorted; interned */
    int32_t *sizes;
    size_t topic_count, member_count;
    int32_t *owners;
};

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void plan_deinit(struct plan *plan)
{
    for (size_t i = 0; i < plan->member_count; i++) {
        if (plan->subscriptions != NULL)
            subscription_deinit(&plan->subscriptions[i]);
        if (plan->topics != NULL)
            free(plan->topics[i]);
        if (plan->owned != NULL)
            free(plan->owned[i]);
    }
    free(plan->subscriptions);
    free(plan->members);
    free(plan->topics);
    free(plan->owned);
    free(plan->names);
    free(plan->sizes);
    free(plan->owners);
}

/* Every topic that somebody subscribes to, once, with as many partitions as it has now. */
static int plan_topics(struct plan *plan, struct consumer *c)
{
    size_t named = 0, count = 0;
    for (size_t m = 0; m < plan->member_count; m++)
        named += plan->subscriptions[m].topic_count;
    plan->names = malloc((named + 1) * sizeof(const char *));
    plan->sizes = calloc(named + 1, sizeof *plan->sizes);
    if (plan->names == NULL || plan->sizes == NULL)
        return ERR_NOMEM;
    for (size_t m = 0; m < plan->member_count; m++) {
        for (size_t i = 0; i < plan->subscriptions[m].topic_count; i++) {
            struct bytes name = plan->subscriptions[m].topics[i];
            const char *text =
                consumer_intern(c, name.size > 0 ? (const char *)name.data : "", name.size);
            if (text == NULL)
                return ERR_NOMEM;
            plan->names[count++] = text;
        }
    }
    qsort(plan->names, count, sizeof(const char *), compare_text);
    for (size_t i = 0; i < count; i++)
        if (plan->topic_count == 0 ||
            strcmp(plan->names[plan->topic_count - 1], plan->names[i]) != 0)
            plan->names[plan->topic_count++] = plan->names[i];
    for (size_t i = 0; i < plan->topic_count; i++) {
        struct topic_info info;
        plan->sizes[i] =
            topic_describe(c->log, plan->names[i], &info, NULL) == 0 ? info.partitions : 0;
    }
    return 0;
}

/* The topic's number; UINT32_MAX: nobody subscribes to it. */
static uint32_t plan_topic(const struct plan *plan, struct bytes name)
{
    size_t low = 0, high = plan->topic_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (bytes_compare(bytes_text(plan->names[middle]), name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < plan->topic_count && bytes_compare(bytes_text(plan->names[low]), name) == 0
               ? (uint32_t)low
               : UINT32_MAX;
}

static int compare_numbers(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

static int plan_member_topics(struct plan *plan, size_t m)
{
    const struct subscription *subscription = &plan->subscriptions[m];
    size_t kept = 0;
    uint32_t *topics = malloc((subscription->topic_count + 1) * sizeof *topics);
    plan->topics[m] = topics;
    if (topics == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < subscription->topic_count; i++)
        topics[i] = plan_topic(plan, subscription->topics[i]);
    qsort(topics, subscription->topic_count, sizeof *topics, compare_numbers);
    for (size_t i = 0; i < subscription->topic_count; i++)
        if (topics[i] != UINT32_MAX && (kept == 0 || topics[kept - 1] != topics[i]))
            topics[kept++] = topics[i];
    plan->members[m].topics = topics;
    plan->members[m].topic_count = kept;
    return 0;
}

/* What the member had: for sticky it stands in its user data, else in the subscription. */
static int plan_member_owned(struct plan *plan, size_t m, enum assignor assignor)
{
    const struct subscription *subscription = &plan->subscriptions[m];
    struct named_partition *named = subscription->owned, *decoded = NULL;
    size_t count = subscription->owned_count;
    int32_t generation = subscription->generation;
    if (assignor == ASSIGN_STICKY && subscription->user_data.data != NULL &&
        sticky_data_decode(subscription->user_data, &decoded, &count, &generation) == 0)
        named = decoded;
    struct assign_partition *owned = malloc((count + 1) * sizeof *owned);
    plan->owned[m] = owned;
    for (size_t i = 0; i < count && owned != NULL; i++)
        owned[i] = (struct assign_partition){plan_topic(plan, named[i].topic), named[i].partition};
    plan->members[m].owned = owned;
    plan->members[m].owned_count = count;
    plan->members[m].generation = generation;
    free(decoded);
    return owned != NULL ? 0 : ERR_NOMEM;
}

static int plan_init(struct plan *plan, struct consumer *c, const struct answer *answer,
                     enum assignor assignor)
{
    size_t count = answer->member_count;
    *plan = (struct plan){.subscriptions = calloc(count + 1, sizeof *plan->subscriptions),
                          .members = calloc(count + 1, sizeof *plan->members),
                          .topics = calloc(count + 1, sizeof(uint32_t *)),
                          .owned = calloc(count + 1, sizeof(struct assign_partition *)),
                          .member_count = count};
    if (plan->subscriptions == NULL || plan->members == NULL || plan->topics == NULL ||
        plan->owned == NULL)
        return ERR_NOMEM;
    for (size_t m = 0; m < count; m++)
        if (subscription_decode(answer->members[m].metadata, &plan->subscriptions[m]) < 0)
            log_line('W',
                     "group %s: the metadata of member %s cannot be read: it gets no partitions",
                     c->options.group, answer->members[m].member_id);
    TRY(plan_topics(plan, c));
    for (size_t m = 0; m < count; m++) {
        plan->members[m].id = answer->members[m].member_id;
        plan->members[m].instance_id = answer->members[m].instance_id;
        TRY(plan_member_topics(plan, m));
        TRY(plan_member_owned(plan, m, assignor));
    }
    return 0;
}

static size_t list_owned(const struct plan *plan, size_t m, struct named_partition *out)
{
    size_t count = 0, at = 0;
    for (size_t topic = 0; topic < plan->topic_count; topic++)
        for (int32_t p = 0; p < plan->sizes[topic]; p++, at++)
            if (plan->owners[at] == (int32_t)m)
                out[count++] = (struct named_partition){bytes_text(plan->names[topic]), p};
    return count;
}

/* Writes all assignments behind one another and says where each lies. */
static int plan_encode(const struct plan *plan, size_t row, struct buf *bytes,
                       struct sync_assignment *given)
{
    struct named_partition *list = malloc((row + 1) * sizeof *list);
    size_t *ends = malloc((plan->member_count + 1) * sizeof *ends);
    int rc = list != NULL && ends != NULL ? 0 : ERR_NOMEM;
    for (size_t m = 0; rc == 0 && m < plan->member_count; m++) {
        struct member_assignment assignment = {.version = CONSUMER_PROTOCOL_VERSION,
                                               .partitions = list};
        assignment.partition_count = list_owned(plan, m, list);
        member_assignment_encode(bytes, &assignment);
        ends[m] = bytes->size;
        rc = buf_ok(bytes) ? 0 : ERR_NOMEM;
    }
    for (size_t m = 0; rc == 0 && m < plan->member_count; m++) {
        size_t start = m > 0 ? ends[m - 1] : 0;
        given[m] = (struct sync_assignment){plan->members[m].id,
                                            bytes_of(bytes->data + start, ends[m] - start)};
    }
    free(list);
    free(ends);
    return rc;
}

int member_assign_all(struct consumer *c, const struct answer *answer, struct buf *bytes,
                      struct sync_assignment **given)
{
    struct plan plan = {0};
    enum assignor assignor = assignor_named(answer->protocol);
    *given = calloc(answer->member_count + 1, sizeof **given);
    int rc = *given != NULL ? plan_init(&plan, c, answer, assignor) : ERR_NOMEM;
    if (rc == 0) {
        struct assign_problem problem = {plan.sizes, plan.topic_count, plan.members,
                                         plan.member_count};
        size_t row = assign_row_size(&problem);
        plan.owners = malloc((row + 1) * sizeof *plan.owners);
        rc = plan.owners != NULL ? assign_partitions(assignor, &problem, plan.owners) : ERR_NOMEM;
        if (rc == 0)
            rc = plan_encode(&plan, row, bytes, *given);
    }
    if (rc == 0) { /* what member_topics_changed compares with */
        free(c->group_topics);
        free(c->topic_sizes);
        c->group_topics = plan.names;
        c->topic_sizes = plan.sizes;
        c->group_topic_count = plan.topic_count;
        plan.names = NULL;
        plan.sizes = NULL;
    } else {
        free(*given);
        *given = NULL;
    }
    plan_deinit(&plan);
    return rc;
}

bool member_topics_changed(const struct consumer *c)
{
    for (size_t i = 0; i < c->group_topic_count; i++) {
        struct topic_info info;
        int32_t size =
            topic_describe(c->log, c->group_topics[i], &info, NULL) == 0 ? info.partitions : 0;
        if (size != c->topic_sizes[i])
            return true;
    }
    return false;
}
