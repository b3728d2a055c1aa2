/* consumer_member.c: a consumer as a member of its group; and the lone reader, which is nobody's member.
 *
 *     OUT ─ join ─▶ JOINING ─ answer ─▶ SYNCING ─ answer ─▶ STABLE ─ heartbeat says: join again ─▶ OUT
 *
 * member_step goes from state to state as far as it can without waiting; poll calls it. The coordinator
 * answers in whatever thread completes the request: on_join and on_sync copy the answer and signal the
 * consumer, which takes it up in its own thread. So callbacks, and all else here, run in the thread that
 * polls.
 *
 * With an eager assignor a member gives up everything before it joins (revoked), and what it gets is new
 * (assigned). With cooperative-sticky alone it keeps reading: after the answer it gives up what it has to
 * (revoked), then joins once more, so that somebody else can get it.
 *
 * A member that the group has removed finds out by its heartbeat: then its partitions are somebody
 * else's (lost), and it joins as a new one. */
#include "log/consumer_internal.h"
#include "log/consumer_protocol.h"
#include "runtime/base/clock.h"

#include <stdlib.h>
#include <string.h>

enum { LEAVE_WAIT_MS = 5000 };

/* ---- answers, in any thread ---- */

void answer_clear(struct answer *answer)
{
    for (size_t i = 0; i < answer->member_count; i++) {
        free((char *)(uintptr_t)answer->members[i].member_id);
        free((char *)(uintptr_t)answer->members[i].instance_id);
        free((void *)(uintptr_t)answer->members[i].metadata.data);
    }
    free(answer->members);
    free(answer->member_id);
    free(answer->leader);
    free(answer->protocol);
    buf_deinit(&answer->assignment);
    *answer = (struct answer){0};
}

static bool copy_members(struct answer *answer, const struct join_response *response)
{
    answer->members = calloc(response->member_count + 1, sizeof *answer->members);
    for (size_t i = 0; answer->members != NULL && i < response->member_count; i++) {
        const struct join_member *from = &response->members[i];
        uint8_t *metadata = malloc(from->metadata.size + 1);
        answer->members[i] = (struct join_member){
            strdup(from->member_id), from->instance_id != NULL ? strdup(from->instance_id) : NULL,
            bytes_of(metadata, from->metadata.size)};
        answer->member_count++;
        if (metadata == NULL || answer->members[i].member_id == NULL ||
            (from->instance_id != NULL && answer->members[i].instance_id == NULL))
            return false;
        if (from->metadata.size > 0)
            memcpy(metadata, from->metadata.data, from->metadata.size);
    }
    return answer->members != NULL;
}

static void on_join(void *context, const struct join_response *response)
{
    struct consumer *c = context;
    struct answer answer = {.ready = true, .error = response->error};
    answer.generation = response->generation;
    answer.member_id = strdup(response->member_id);
    answer.leader = strdup(response->leader != NULL ? response->leader : "");
    answer.protocol = strdup(response->protocol != NULL ? response->protocol : "");
    if (!copy_members(&answer, response) || answer.member_id == NULL || answer.leader == NULL ||
        answer.protocol == NULL)
        answer.error = GROUP_NO_MEMORY;
    pthread_mutex_lock(&c->answer_mutex);
    answer_clear(&c->answer);
    c->answer = answer;
    pthread_mutex_unlock(&c->answer_mutex);
    consumer_signal(c);
}

static void on_sync(void *context, const struct sync_response *response)
{
    struct consumer *c = context;
    struct answer answer = {.ready = true, .error = response->error};
    buf_append_bytes(&answer.assignment, response->assignment);
    if (!buf_ok(&answer.assignment))
        answer.error = GROUP_NO_MEMORY;
    pthread_mutex_lock(&c->answer_mutex);
    answer_clear(&c->answer);
    c->answer = answer;
    pthread_mutex_unlock(&c->answer_mutex);
    consumer_signal(c);
}

static void on_rebalancing(void *context)
{
    struct consumer *c = context;
    atomic_store(&c->rebalancing, true);
    consumer_signal(c);
}

static bool take_answer(struct consumer *c, struct answer *answer)
{
    pthread_mutex_lock(&c->answer_mutex);
    *answer = c->answer;
    c->answer = (struct answer){0};
    pthread_mutex_unlock(&c->answer_mutex);
    return answer->ready;
}

/* ---- what the application is told ---- */

void consumer_tell(struct consumer *c, consumer_partitions_fn fn, bool keep)
{
    struct topic_partition *list = c->assignment + c->sources.capacity;
    size_t count = 0;
    for (size_t i = 0; i < c->sources.count; i++)
        if (c->sources.items[i]->keep == keep)
            list[count++] =
                (struct topic_partition){c->sources.items[i]->topic, c->sources.items[i]->index};
    if (fn != NULL && count > 0)
        fn(c->options.context, c, list, count);
}

static void keep_all(struct consumer *c, bool keep)
{
    for (size_t i = 0; i < c->sources.count; i++)
        c->sources.items[i]->keep = keep;
}

/* Gives everything up, after a last word. */
static void give_up_all(struct consumer *c, consumer_partitions_fn fn)
{
    if (c->sources.count == 0)
        return;
    keep_all(c, false);
    consumer_tell(c, fn, false);
    consumer_drop_sources(c);
    consumer_sources_changed(c);
}

/* ---- joining ---- */

static void forget_member_id(struct consumer *c)
{
    c->member_id[0] = '\0';
    c->generation = -1;
}

/* What an error of the coordinator means for this member. 0: it joins again; or the error for the caller of poll. */
static int take_error(struct consumer *c, enum group_error error, struct diag *diag)
{
    c->state = MEMBER_OUT;
    if (error == GROUP_REBALANCE_IN_PROGRESS)
        return 0;
    if (error == GROUP_NO_MEMORY)
        return diag_set(diag, ERR_NOMEM, "no memory to join group %s", c->options.group);
    give_up_all(c, c->options.lost);
    if (error == GROUP_ILLEGAL_GENERATION) {
        c->generation = -1;
        return 0;
    }
    forget_member_id(c);
    if (error == GROUP_UNKNOWN_MEMBER_ID)
        return 0;
    if (error == GROUP_FENCED_INSTANCE_ID)
        c->state = MEMBER_FENCED;
    return diag_set(diag, group_error_code(error), "group %s does not take this consumer: %s",
                    c->options.group, group_error_text(error));
}

static size_t assignor_count(const struct consumer *c)
{
    size_t count = 0;
    while (count < ASSIGNORS_MAX && c->options.assignors[count] != ASSIGN_NONE)
        count++;
    return count;
}

static int send_join(struct consumer *c, struct diag *diag)
{
    struct join_protocol protocols[ASSIGNORS_MAX];
    struct buf metadata[ASSIGNORS_MAX] = {0};
    size_t count = assignor_count(c);
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++) {
        rc = member_subscription(c, c->options.assignors[i], &metadata[i]);
        protocols[i] = (struct join_protocol){assignor_name(c->options.assignors[i]),
                                              bytes_of(metadata[i].data, metadata[i].size)};
    }
    struct join_request request = {.group = c->options.group,
                                   .member_id = c->member_id,
                                   .instance_id = c->options.instance_id,
                                   .client_id = c->options.client_id,
                                   .host = "embedded",
                                   .protocol_type = CONSUMER_PROTOCOL_TYPE,
                                   .session_timeout_ms = c->options.session_timeout_ms,
                                   .rebalance_timeout_ms = c->options.rebalance_timeout_ms,
                                   .initial_rebalance_delay_ms =
                                       c->options.initial_rebalance_delay_ms,
                                   .protocols = protocols,
                                   .protocol_count = count,
                                   .member_id_required = true,
                                   .can_skip_assignment = true,
                                   .embedded = true,
                                   .rebalancing = on_rebalancing};
    if (rc == 0) {
        atomic_store(&c->rebalancing, false);
        c->rejoin = false;
        c->state = MEMBER_JOINING;
        coordinator_join(c->log->coordinator, &request, on_join, c);
    }
    for (size_t i = 0; i < count; i++)
        buf_deinit(&metadata[i]);
    return rc < 0 ? diag_set(diag, rc, "no memory to join group %s", c->options.group) : 0;
}

static int join(struct consumer *c, struct diag *diag)
{
    if (!c->cooperative)
        give_up_all(c, c->options.revoked);
    return send_join(c, diag);
}

static int set_member_id(struct consumer *c, const char *id, struct diag *diag)
{
    char *copy = strdup(id);
    if (copy == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for a member id");
    free(c->member_id);
    c->member_id = copy;
    return 0;
}

static struct group_member who_am_i(const struct consumer *c)
{
    return (struct group_member){c->member_id, c->options.instance_id, c->generation};
}

static int joined(struct consumer *c, const struct answer *answer, struct diag *diag)
{
    struct buf bytes = {0};
    struct sync_assignment *given = NULL;
    if (answer->error == GROUP_MEMBER_ID_REQUIRED) {
        TRY(set_member_id(c, answer->member_id, diag));
        return send_join(c, diag);
    }
    if (answer->error != GROUP_OK)
        return take_error(c, answer->error, diag);
    TRY(set_member_id(c, answer->member_id, diag));
    c->generation = answer->generation;
    c->leads = strcmp(answer->leader, answer->member_id) == 0;
    c->state = MEMBER_OUT; /* if the leader cannot assign, it joins again, and everybody with it */
    if (answer->member_count > 0) {
        int rc = member_assign_all(c, answer, &bytes, &given);
        if (rc < 0) {
            buf_deinit(&bytes);
            return diag_set(diag, rc, "cannot share out the partitions of group %s: %s",
                            c->options.group, error_text(rc));
        }
    }
    struct sync_request request = {.group = c->options.group,
                                   .member = who_am_i(c),
                                   .protocol_type = CONSUMER_PROTOCOL_TYPE,
                                   .protocol = answer->protocol,
                                   .assignments = given,
                                   .assignment_count = answer->member_count};
    c->state = MEMBER_SYNCING;
    coordinator_sync(c->log->coordinator, &request, on_sync, c);
    free(given);
    buf_deinit(&bytes);
    return 0;
}

/* ---- an assignment ---- */

static void remember_assignment(struct consumer *c)
{
    struct assign_name *items = malloc((c->sources.count + 1) * sizeof *items);
    free(c->previous.items);
    c->previous.items = items;
    c->previous.count = items != NULL ? c->sources.count : 0;
    c->previous.generation = items != NULL ? c->generation : -1;
    for (size_t i = 0; i < c->previous.count; i++)
        items[i] = (struct assign_name){c->sources.items[i]->topic, c->sources.items[i]->index};
}

/* A topic's name as text that lasts. */
static const char *name_of(struct consumer *c, struct bytes topic)
{
    return consumer_intern(c, topic.size > 0 ? (const char *)topic.data : "", topic.size);
}

/* Gives up what the assignment does not have. true: something was. */
static int give_up_rest(struct consumer *c, const struct member_assignment *assignment)
{
    keep_all(c, false);
    for (size_t i = 0; i < assignment->partition_count; i++) {
        const char *topic = name_of(c, assignment->partitions[i].topic);
        if (topic == NULL)
            return ERR_NOMEM;
        struct source *source =
            sources_find(&c->sources, topic, assignment->partitions[i].partition);
        if (source != NULL)
            source->keep = true;
    }
    bool any = false;
    for (size_t i = 0; i < c->sources.count; i++)
        any |= !c->sources.items[i]->keep;
    if (any) {
        consumer_tell(c, c->options.revoked, false);
        consumer_drop_sources(c);
        consumer_sources_changed(c);
    }
    return any;
}

static int take_new(struct consumer *c, const struct member_assignment *assignment,
                    struct diag *diag)
{
    keep_all(c, true);
    for (size_t i = 0; i < assignment->partition_count; i++) {
        const char *topic = name_of(c, assignment->partitions[i].topic);
        int32_t index = assignment->partitions[i].partition;
        struct source *source;
        if (topic == NULL)
            return ERR_NOMEM;
        if (sources_find(&c->sources, topic, index) != NULL)
            continue;
        int rc = consumer_add_source(c, topic, index, &source, diag);
        if (rc < 0 && rc != ERR_NOT_FOUND) /* deleted since: the leader will notice */
            return rc;
    }
    consumer_sources_changed(c);
    remember_assignment(c);
    consumer_tell(c, c->options.assigned, false);
    return 0;
}

static int take_assignment(struct consumer *c, struct bytes bytes, struct diag *diag)
{
    struct member_assignment assignment = {0};
    if (bytes.size > 0 && member_assignment_decode(bytes, &assignment) < 0) {
        log_line('W', "group %s: the leader's assignment cannot be read", c->options.group);
        assignment = (struct member_assignment){0};
    }
    c->state = MEMBER_STABLE;
    c->next_heartbeat_ms = coordinator_now(c->log->coordinator) + c->options.heartbeat_interval_ms;
    int rc = give_up_rest(c, &assignment);
    if (rc > 0)
        c->rejoin = true;
    if (rc >= 0)
        rc = take_new(c, &assignment, diag);
    member_assignment_deinit(&assignment);
    if (rc == ERR_NOMEM) {
        c->rejoin = true;
        diag_set(diag, rc, "no memory for the assignment of group %s", c->options.group);
    }
    return rc;
}

/* ---- staying ---- */

static int heartbeat(struct consumer *c, struct diag *diag)
{
    struct group_member member = who_am_i(c);
    atomic_store(&c->rebalancing, false);
    enum group_error error = coordinator_heartbeat(c->log->coordinator, c->options.group, &member);
    if (error != GROUP_OK)
        return take_error(c, error, diag);
    c->next_heartbeat_ms = coordinator_now(c->log->coordinator) + c->options.heartbeat_interval_ms;
    if (c->leads && member_topics_changed(c))
        c->rejoin = true;
    return 0;
}

/* 1: something happened, there may be more to do; 0: everything waits. */
static int step_once(struct consumer *c, struct diag *diag)
{
    struct answer answer;
    int rc;
    switch (c->state) {
    case MEMBER_OUT:
        rc = join(c, diag);
        return rc < 0 ? rc : 1;
    case MEMBER_JOINING:
    case MEMBER_SYNCING:
        if (!take_answer(c, &answer))
            return 0;
        if (c->state == MEMBER_JOINING)
            rc = joined(c, &answer, diag);
        else if (answer.error == GROUP_OK)
            rc = take_assignment(c, bytes_of(answer.assignment.data, answer.assignment.size), diag);
        else
            rc = take_error(c, answer.error, diag);
        answer_clear(&answer);
        return rc < 0 ? rc : 1;
    case MEMBER_STABLE:
        if (c->rejoin) {
            c->state = MEMBER_OUT;
            return 1;
        }
        if (!atomic_load(&c->rebalancing) &&
            coordinator_now(c->log->coordinator) < c->next_heartbeat_ms)
            return 0;
        rc = heartbeat(c, diag);
        return rc < 0 ? rc : c->state != MEMBER_STABLE || c->rejoin;
    case MEMBER_FENCED:
        break;
    }
    return diag_set(diag, ERR_FENCED, "another consumer of group %s took the instance id %s",
                    c->options.group, c->options.instance_id);
}

int member_step(struct consumer *c, int64_t *next_ms, struct diag *diag)
{
    int rc;
    coordinator_tick(c->log->coordinator);
    while ((rc = step_once(c, diag)) > 0) {
    }
    *next_ms = coordinator_tick(c->log->coordinator);
    if (c->state == MEMBER_STABLE && c->next_heartbeat_ms < *next_ms)
        *next_ms = c->next_heartbeat_ms;
    if (log_status(c->log, NULL) == 0)
        groups_store(c->log, NULL);
    return rc;
}

/* Takes the right to commit, if the group's state gives it: until it is given back no generation begins. A rebalance that has
 * reached its sync phase is waited for, since nobody may commit in it: the leader is about to end it, or
 * its session will. */
static enum group_error hold_generation(struct consumer *c)
{
    int64_t end = clock_mono_ms() + LEAVE_WAIT_MS, next_ms;
    for (;;) {
        struct group_member member = who_am_i(c);
        enum group_error error =
            coordinator_commit_begin(c->log->coordinator, c->options.group, &member);
        bool waits = c->state == MEMBER_JOINING || c->state == MEMBER_SYNCING;
        if (error == GROUP_OK || !waits || c->sources.count == 0)
            return error;
        int stepped = step_once(c, NULL); /* takes up the answer: the generation is a newer one */
        next_ms = coordinator_tick(c->log->coordinator);
        if (stepped == 0) {
            int64_t left_ms = end - clock_mono_ms();
            if (left_ms <= 0)
                return error;
            consumer_wait(c, left_ms, next_ms);
        }
    }
}

void member_leave(struct consumer *c)
{
    struct coordinator *coordinator = c->log->coordinator;
    enum group_error error = GROUP_UNKNOWN_MEMBER_ID;
    if (c->sources.count > 0) {
        error = hold_generation(c);
        bool is_ours = error == GROUP_OK || error == GROUP_REBALANCE_IN_PROGRESS;
        give_up_all(c, is_ours ? c->options.revoked : c->options.lost);
    }
    coordinator_forget(coordinator, c->options.group, c);
    struct group_member member = who_am_i(c);
    if (c->options.instance_id == NULL && c->member_id[0] != '\0')
        coordinator_leave(coordinator, c->options.group, &member);
    if (error == GROUP_OK)
        coordinator_commit_end(coordinator, c->options.group);
    if (log_status(c->log, NULL) == 0)
        groups_store(c->log, NULL);
}

/* ---- readers that nobody assigns to ---- */

static int add_lone(struct consumer *c, const char *topic, int32_t index, bool later,
                    struct diag *diag)
{
    struct source *source;
    if (sources_find(&c->sources, topic, index) != NULL)
        return 0;
    TRY(consumer_add_source(c, topic, index, &source, diag));
    source->from_start = later;
    return 0;
}

/* later: they were not there when the consumer was opened. */
static int add_lone_topics(struct consumer *c, bool later, struct diag *diag)
{
    for (size_t i = 0; i < c->topic_count; i++) {
        struct topic_info info;
        if (topic_describe(c->log, c->topics[i], &info, NULL) < 0)
            continue; /* deleted: its partitions say so */
        for (int32_t p = 0; p < info.partitions; p++)
            TRY(add_lone(c, c->topics[i], p, later, diag));
    }
    consumer_sources_changed(c);
    return 0;
}

int lone_open(struct consumer *c, struct diag *diag)
{
    for (size_t i = 0; i < c->options.partition_count; i++)
        TRY(add_lone(c, c->options.partitions[i].topic, c->options.partitions[i].partition, false,
                     diag));
    return add_lone_topics(c, false, diag);
}

int lone_step(struct consumer *c, int64_t *next_ms, struct diag *diag)
{
    int64_t now = coordinator_now(c->log->coordinator);
    bool first = c->state == MEMBER_OUT;
    if (first || (c->topic_count > 0 && now >= c->next_heartbeat_ms)) {
        keep_all(c, !first);
        if (!first)
            TRY(add_lone_topics(c, true, diag));
        c->state = MEMBER_STABLE;
        c->next_heartbeat_ms = now + c->options.heartbeat_interval_ms;
        consumer_tell(c, c->options.assigned, false);
    }
    *next_ms = c->topic_count > 0 ? c->next_heartbeat_ms : INT64_MAX;
    return 0;
}
