/* remote_group.c: consumer groups behind a server, over the Kafka protocol.
 *
 * What log/group_lag.c and log/group_reset.c do on the log is done here on what a server tells: members and their partitions (DescribeGroups),
 * committed offsets (OffsetFetch), the offsets that exist (ListOffsets). The arithmetic of a reset is theirs (group_reset_place). A
 * group without members and without offsets does not exist, though Kafka calls it dead. */
#include "runtime/cli/remote_group.h"

#include "runtime/cli/remote.h"

#include <stdio.h>
#include <stdlib.h>

static void name_group(char text[600], const char *group)
{
    snprintf(text, 600, "group %s", group);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int remote_group_list(struct door *door, char ***names, size_t *count, struct diag *diag)
{
    struct remote_call call;
    size_t bytes = 0;
    *names = NULL;
    *count = 0;
    int code = remote_begin(door->remote, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPS, &call, diag);
    if (code == 0) {
        rd_kafka_ListConsumerGroups(door->remote->handle, call.options, call.queue);
        code = remote_wait(door->remote, &call, "the groups", diag);
    }
    if (code == 0) {
        const rd_kafka_ConsumerGroupListing_t **groups = rd_kafka_ListConsumerGroups_result_valid(
            rd_kafka_event_ListConsumerGroups_result(call.event), count);
        for (size_t i = 0; i < *count; i++)
            bytes += strlen(rd_kafka_ConsumerGroupListing_group_id(groups[i])) + 1;
        *names = malloc((*count + 1) * sizeof **names + bytes);
        char *text = *names != NULL ? (char *)(*names + *count + 1) : NULL;
        for (size_t i = 0; text != NULL && i < *count; i++) {
            (*names)[i] = text;
            text = stpcpy(text, rd_kafka_ConsumerGroupListing_group_id(groups[i])) + 1;
        }
        if (text == NULL)
            code = diag_set(diag, ERR_NOMEM, "no memory for %zu groups", *count);
        else
            qsort(*names, *count, sizeof **names, compare_names);
    }
    remote_end(&call);
    return code;
}

/* ---- what a group is ---- */

struct group_view {
    const char *group;
    struct remote_call describe, fetch; /* hold what the two below point to */
    const rd_kafka_ConsumerGroupDescription_t *description;
    const rd_kafka_topic_partition_list_t *committed; /* offset < 0: none */
};

static int check_group(struct remote *remote, const rd_kafka_error_t *error, const char *group,
                       struct diag *diag)
{
    char what[600];
    name_group(what, group);
    return error == NULL ? 0
                         : remote_error(remote, rd_kafka_error_code(error), what,
                                        rd_kafka_error_string(error), diag);
}

/* The group's error, or the first of a partition of it. */
static int check_partitions(struct remote *remote, const rd_kafka_group_result_t **groups,
                            size_t count, const char *group, struct diag *diag)
{
    char what[600];
    name_group(what, group);
    for (size_t i = 0; i < count; i++) {
        const rd_kafka_topic_partition_list_t *done = rd_kafka_group_result_partitions(groups[i]);
        TRY(check_group(remote, rd_kafka_group_result_error(groups[i]), group, diag));
        for (int p = 0; done != NULL && p < done->cnt; p++)
            if (done->elems[p].err != RD_KAFKA_RESP_ERR_NO_ERROR)
                return remote_error(remote, done->elems[p].err, what, NULL, diag);
    }
    return 0;
}

static int describe_members(struct remote *remote, struct group_view *view, struct diag *diag)
{
    size_t count = 0;
    TRY(remote_begin(remote, RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS, &view->describe, diag));
    rd_kafka_DescribeConsumerGroups(remote->handle, &view->group, 1, view->describe.options,
                                    view->describe.queue);
    TRY(remote_wait(remote, &view->describe, "the group", diag));
    const rd_kafka_ConsumerGroupDescription_t **groups =
        rd_kafka_DescribeConsumerGroups_result_groups(
            rd_kafka_event_DescribeConsumerGroups_result(view->describe.event), &count);
    if (count != 1)
        return diag_set(diag, ERR_STATE, "group %s: the server describes %zu groups", view->group,
                        count);
    view->description = groups[0];
    return check_group(remote, rd_kafka_ConsumerGroupDescription_error(groups[0]), view->group,
                       diag);
}

static int fetch_committed(struct remote *remote, struct group_view *view, struct diag *diag)
{
    size_t count = 0;
    TRY(remote_begin(remote, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS, &view->fetch, diag));
    rd_kafka_ListConsumerGroupOffsets_t *wanted =
        rd_kafka_ListConsumerGroupOffsets_new(view->group, NULL);
    rd_kafka_ListConsumerGroupOffsets(remote->handle, &wanted, 1, view->fetch.options,
                                      view->fetch.queue);
    int code = remote_wait(remote, &view->fetch, "the group's offsets", diag);
    rd_kafka_ListConsumerGroupOffsets_destroy(wanted);
    TRY(code);
    const rd_kafka_group_result_t **groups = rd_kafka_ListConsumerGroupOffsets_result_groups(
        rd_kafka_event_ListConsumerGroupOffsets_result(view->fetch.event), &count);
    if (count != 1)
        return diag_set(diag, ERR_STATE, "group %s: the server has offsets of %zu groups",
                        view->group, count);
    view->committed = rd_kafka_group_result_partitions(groups[0]);
    return check_group(remote, rd_kafka_group_result_error(groups[0]), view->group, diag);
}

/* Always followed by view_end. ERR_NOT_FOUND when must_exist. */
static int view_group(struct remote *remote, const char *group, bool must_exist,
                      struct group_view *view, struct diag *diag)
{
    *view = (struct group_view){.group = group};
    TRY(group_name_check(group, diag));
    TRY(describe_members(remote, view, diag));
    TRY(fetch_committed(remote, view, diag));
    if (must_exist && view->committed->cnt == 0 &&
        rd_kafka_ConsumerGroupDescription_member_count(view->description) == 0)
        return diag_set(diag, ERR_NOT_FOUND, "there is no group %s", group);
    return 0;
}

static void view_end(struct group_view *view)
{
    if (view->describe.queue != NULL)
        remote_end(&view->describe);
    if (view->fetch.queue != NULL)
        remote_end(&view->fetch);
}

static size_t member_count(const struct group_view *view)
{
    return rd_kafka_ConsumerGroupDescription_member_count(view->description);
}

static const rd_kafka_topic_partition_list_t *assigned_to(const struct group_view *view, size_t i)
{
    const rd_kafka_MemberAssignment_t *assignment = rd_kafka_MemberDescription_assignment(
        rd_kafka_ConsumerGroupDescription_member(view->description, i));
    return assignment != NULL ? rd_kafka_MemberAssignment_partitions(assignment) : NULL;
}

/* ---- partitions of topics ---- */

static void add_topic(rd_kafka_topic_partition_list_t *topics, const char *name)
{
    if (rd_kafka_topic_partition_list_find(topics, name, 0) == NULL)
        rd_kafka_topic_partition_list_add(topics, name, 0);
}

static void add_topics(rd_kafka_topic_partition_list_t *topics,
                       const rd_kafka_topic_partition_list_t *list, bool committed_only)
{
    for (int i = 0; list != NULL && i < list->cnt; i++)
        if (!committed_only || list->elems[i].offset >= 0)
            add_topic(topics, list->elems[i].topic);
}

static int compare_partitions(const rd_kafka_topic_partition_t *a,
                              const rd_kafka_topic_partition_t *b, void *unused)
{
    (void)unused;
    int order = strcmp(a->topic, b->topic);
    return order != 0 ? order : (a->partition > b->partition) - (a->partition < b->partition);
}

static int list_compare(const void *a, const void *b, void *unused)
{
    return compare_partitions(a, b, unused);
}

/* All partitions of those topics that exist, by name and number; -1 in count of a topic that does not. */
static int all_partitions(struct door *door, const rd_kafka_topic_partition_list_t *topics,
                          rd_kafka_topic_partition_list_t **list, struct diag *diag)
{
    const struct rd_kafka_metadata *metadata;
    TRY(remote_metadata(door->remote, true, &metadata, diag));
    *list = rd_kafka_topic_partition_list_new(16);
    for (int i = 0; i < metadata->topic_cnt; i++) {
        const struct rd_kafka_metadata_topic *topic = &metadata->topics[i];
        if (rd_kafka_topic_partition_list_find(topics, topic->topic, 0) != NULL)
            for (int p = 0; p < topic->partition_cnt; p++)
                rd_kafka_topic_partition_list_add(*list, topic->topic, p);
    }
    rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_partition_list_sort(*list, list_compare, NULL);
    return 0;
}

/* A copy of list with the offsets that which stands for. */
static int offsets_at(struct remote *remote, const rd_kafka_topic_partition_list_t *list,
                      int64_t which, rd_kafka_topic_partition_list_t **offsets, struct diag *diag)
{
    *offsets = rd_kafka_topic_partition_list_copy(list);
    for (int i = 0; i < list->cnt; i++)
        (*offsets)->elems[i].offset = which;
    TRY(remote_offsets(remote, READ_UNCOMMITTED, *offsets, diag));
    for (int i = 0; i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *one = &(*offsets)->elems[i];
        char what[300];
        snprintf(what, sizeof what, "%s-%d", one->topic, one->partition);
        if (one->err != RD_KAFKA_RESP_ERR_NO_ERROR)
            return remote_error(remote, one->err, what, NULL, diag);
    }
    return 0;
}

static int64_t offset_in(const rd_kafka_topic_partition_list_t *list,
                         const rd_kafka_topic_partition_t *place, int64_t fallback)
{
    const rd_kafka_topic_partition_t *found = rd_kafka_topic_partition_list_find(
        (rd_kafka_topic_partition_list_t *)(uintptr_t)list, place->topic, place->partition);
    return found != NULL && found->offset >= 0 ? found->offset : fallback;
}

/* ---- lag ---- */

struct lag_texts {
    char *at; /* in the block behind the rows */
};

static const char *put_text(struct lag_texts *texts, const char *text)
{
    const char *place = texts->at;
    texts->at = stpcpy(texts->at, text != NULL ? text : "") + 1;
    return place;
}

/* Members' texts take room once for each partition at most. */
static size_t text_bytes(const struct group_view *view)
{
    size_t bytes = 0;
    for (size_t i = 0; i < member_count(view); i++) {
        const rd_kafka_MemberDescription_t *member =
            rd_kafka_ConsumerGroupDescription_member(view->description, i);
        bytes += strlen(rd_kafka_MemberDescription_consumer_id(member)) +
                 strlen(rd_kafka_MemberDescription_client_id(member)) +
                 strlen(rd_kafka_MemberDescription_host(member)) + 3;
    }
    return bytes;
}

static void note_owners(const struct group_view *view, struct group_lag *rows, size_t count,
                        struct lag_texts *texts)
{
    for (size_t i = 0; i < member_count(view); i++) {
        const rd_kafka_MemberDescription_t *member =
            rd_kafka_ConsumerGroupDescription_member(view->description, i);
        const rd_kafka_topic_partition_list_t *list = assigned_to(view, i);
        const char *id = put_text(texts, rd_kafka_MemberDescription_consumer_id(member));
        const char *client = put_text(texts, rd_kafka_MemberDescription_client_id(member));
        const char *host = put_text(texts, rd_kafka_MemberDescription_host(member));
        for (size_t r = 0; list != NULL && r < count; r++)
            if (rd_kafka_topic_partition_list_find(
                    (rd_kafka_topic_partition_list_t *)(uintptr_t)list, rows[r].topic,
                    rows[r].partition) != NULL) {
                rows[r].member_id = id;
                rows[r].client_id = client;
                rows[r].host = host;
            }
    }
}

static int make_rows(struct remote *remote, const struct group_view *view,
                     const rd_kafka_topic_partition_list_t *list, struct group_lag **rows,
                     struct diag *diag)
{
    rd_kafka_topic_partition_list_t *starts = NULL, *ends = NULL;
    size_t count = (size_t)list->cnt;
    *rows = calloc(1, count * sizeof **rows + text_bytes(view) + 1);
    int code = *rows != NULL ? 0 : diag_set(diag, ERR_NOMEM, "no memory for %zu rows", count);
    if (code == 0)
        code = offsets_at(remote, list, RD_KAFKA_OFFSET_BEGINNING, &starts, diag);
    if (code == 0)
        code = offsets_at(remote, list, RD_KAFKA_OFFSET_END, &ends, diag);
    for (size_t i = 0; code == 0 && i < count; i++) {
        struct group_lag *row = &(*rows)[i];
        snprintf(row->topic, sizeof row->topic, "%s", list->elems[i].topic);
        row->partition = list->elems[i].partition;
        row->start = starts->elems[i].offset;
        row->end = ends->elems[i].offset;
        row->committed = offset_in(view->committed, &list->elems[i], -1);
        row->lag = row->committed < 0          ? -1
                   : row->end > row->committed ? row->end - row->committed
                                               : 0;
    }
    if (code == 0) {
        struct lag_texts texts = {(char *)(*rows + count)};
        note_owners(view, *rows, count, &texts);
    }
    if (starts != NULL)
        rd_kafka_topic_partition_list_destroy(starts);
    if (ends != NULL)
        rd_kafka_topic_partition_list_destroy(ends);
    return code;
}

static void take_info(const struct group_view *view, struct group_info *info)
{
    static const struct {
        rd_kafka_consumer_group_state_t state;
        enum group_state ours;
    } states[] = {
        {RD_KAFKA_CONSUMER_GROUP_STATE_PREPARING_REBALANCE, GROUP_PREPARING_REBALANCE},
        {RD_KAFKA_CONSUMER_GROUP_STATE_COMPLETING_REBALANCE, GROUP_COMPLETING_REBALANCE},
        {RD_KAFKA_CONSUMER_GROUP_STATE_STABLE, GROUP_STABLE},
    };
    *info = (struct group_info){.state = GROUP_EMPTY, .member_count = member_count(view)};
    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        if (rd_kafka_ConsumerGroupDescription_state(view->description) == states[i].state)
            info->state = states[i].ours;
}

static int lag_rows(struct door *door, const struct group_view *view, struct group_lag **rows,
                    size_t *count, struct diag *diag)
{
    rd_kafka_topic_partition_list_t *list = NULL;
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(16);
    add_topics(topics, view->committed, true);
    for (size_t i = 0; i < member_count(view); i++)
        add_topics(topics, assigned_to(view, i), false);
    int code = all_partitions(door, topics, &list, diag);
    if (code == 0) {
        *count = (size_t)list->cnt;
        code = make_rows(door->remote, view, list, rows, diag);
        rd_kafka_topic_partition_list_destroy(list);
    }
    rd_kafka_topic_partition_list_destroy(topics);
    return code;
}

int remote_group_lag(struct door *door, const char *group, struct group_lag **rows, size_t *count,
                     int64_t *total, struct group_info *info, struct diag *diag)
{
    struct group_view view;
    *rows = NULL;
    *count = 0;
    *total = 0;
    int code = view_group(door->remote, group, true, &view, diag);
    if (code == 0) {
        take_info(&view, info);
        code = lag_rows(door, &view, rows, count, diag);
    }
    for (size_t i = 0; code == 0 && i < *count; i++)
        *total += (*rows)[i].lag > 0 ? (*rows)[i].lag : 0;
    view_end(&view);
    return code;
}

/* ---- reset ---- */

static int place_rows(struct remote *remote, const struct group_view *view,
                      const struct group_reset *reset, const rd_kafka_topic_partition_list_t *list,
                      struct group_reset_row *rows, struct diag *diag)
{
    rd_kafka_topic_partition_list_t *starts = NULL, *ends = NULL, *found = NULL;
    int64_t time_ms = reset->to == GROUP_RESET_TIME ? reset->number : RD_KAFKA_OFFSET_END;
    int code = offsets_at(remote, list, RD_KAFKA_OFFSET_BEGINNING, &starts, diag);
    if (code == 0)
        code = offsets_at(remote, list, RD_KAFKA_OFFSET_END, &ends, diag);
    if (code == 0)
        code = offsets_at(remote, list, time_ms, &found, diag);
    for (int i = 0; code == 0 && i < list->cnt; i++) {
        struct group_reset_row *row = &rows[i];
        row->partition = list->elems[i].partition;
        snprintf(row->topic, sizeof row->topic, "%s", list->elems[i].topic);
        row->old_offset = offset_in(view->committed, &list->elems[i], -1);
        code = group_reset_place(view->group, reset, starts->elems[i].offset, ends->elems[i].offset,
                                 found->elems[i].offset, row, diag);
    }
    rd_kafka_topic_partition_list_t *const lists[] = {starts, ends, found};
    for (size_t i = 0; i < 3; i++)
        if (lists[i] != NULL)
            rd_kafka_topic_partition_list_destroy(lists[i]);
    return code;
}

static int commit_rows(struct remote *remote, const char *group, const struct group_reset_row *rows,
                       size_t count, struct diag *diag)
{
    struct remote_call call;
    char what[600];
    size_t results = 0;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    for (size_t i = 0; i < count; i++)
        rd_kafka_topic_partition_list_add(list, rows[i].topic, rows[i].partition)->offset =
            rows[i].new_offset;
    rd_kafka_AlterConsumerGroupOffsets_t *wanted =
        rd_kafka_AlterConsumerGroupOffsets_new(group, list);
    name_group(what, group);
    int code = remote_begin(remote, RD_KAFKA_ADMIN_OP_ALTERCONSUMERGROUPOFFSETS, &call, diag);
    if (code == 0) {
        rd_kafka_AlterConsumerGroupOffsets(remote->handle, &wanted, 1, call.options, call.queue);
        code = remote_wait(remote, &call, what, diag);
    }
    if (code == 0) {
        const rd_kafka_group_result_t **groups = rd_kafka_AlterConsumerGroupOffsets_result_groups(
            rd_kafka_event_AlterConsumerGroupOffsets_result(call.event), &results);
        code = check_partitions(remote, groups, results, group, diag);
    }
    remote_end(&call);
    rd_kafka_AlterConsumerGroupOffsets_destroy(wanted);
    rd_kafka_topic_partition_list_destroy(list);
    return code;
}

/* The partitions that the reset is about. */
static int reset_partitions(struct door *door, const struct group_view *view,
                            const struct group_reset *reset, rd_kafka_topic_partition_list_t **list,
                            struct diag *diag)
{
    struct door_topic topic;
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(16);
    int code = 0;
    if (reset->topic != NULL) {
        code = door->ops->topic_find(door, reset->topic, &topic, diag);
        if (code == 0 && reset->partition >= topic.partitions)
            code = diag_set(diag, ERR_RANGE, "topic %s has partitions 0 to %d, not %d",
                            reset->topic, topic.partitions - 1, reset->partition);
        add_topic(topics, reset->topic);
    } else {
        add_topics(topics, view->committed, true);
        if (topics->cnt == 0)
            code = diag_set(diag, ERR_NOT_FOUND, "group %s has no offsets", view->group);
    }
    if (code == 0)
        code = all_partitions(door, topics, list, diag);
    for (int i = 0; code == 0 && reset->partition >= 0 && i < (*list)->cnt;)
        if ((*list)->elems[i].partition != reset->partition)
            rd_kafka_topic_partition_list_del_by_idx(*list, i);
        else
            i++;
    rd_kafka_topic_partition_list_destroy(topics);
    return code;
}

int remote_group_reset(struct door *door, const char *group, const struct group_reset *reset,
                       struct group_reset_row **rows, size_t *count, struct diag *diag)
{
    struct group_view view;
    rd_kafka_topic_partition_list_t *list = NULL;
    *rows = NULL;
    *count = 0;
    int code = view_group(door->remote, group, false, &view, diag);
    if (code == 0 && member_count(&view) > 0)
        code = diag_set(diag, ERR_BUSY, "group %s has members: stop them first", group);
    if (code == 0)
        code = reset_partitions(door, &view, reset, &list, diag);
    if (code == 0 && (*rows = calloc((size_t)list->cnt + 1, sizeof **rows)) == NULL)
        code = diag_set(diag, ERR_NOMEM, "no memory for %d partitions", list->cnt);
    if (code == 0)
        code = place_rows(door->remote, &view, reset, list, *rows, diag);
    if (code == 0 && reset->execute && list->cnt > 0)
        code = commit_rows(door->remote, group, *rows, (size_t)list->cnt, diag);
    if (code == 0)
        *count = (size_t)list->cnt;
    if (list != NULL)
        rd_kafka_topic_partition_list_destroy(list);
    view_end(&view);
    if (code < 0) {
        free(*rows);
        *rows = NULL;
    }
    return code;
}

/* ---- delete ---- */

int remote_group_delete(struct door *door, const char *group, struct diag *diag)
{
    struct remote_call call;
    size_t results = 0;
    TRY(group_name_check(group, diag));
    rd_kafka_DeleteGroup_t *wanted = rd_kafka_DeleteGroup_new(group);
    int code = remote_begin(door->remote, RD_KAFKA_ADMIN_OP_DELETEGROUPS, &call, diag);
    if (code == 0) {
        rd_kafka_DeleteGroups(door->remote->handle, &wanted, 1, call.options, call.queue);
        code = remote_wait(door->remote, &call, "the group", diag);
    }
    if (code == 0) {
        const rd_kafka_group_result_t **groups = rd_kafka_DeleteGroups_result_groups(
            rd_kafka_event_DeleteGroups_result(call.event), &results);
        for (size_t i = 0; i < results && code == 0; i++)
            code = check_group(door->remote, rd_kafka_group_result_error(groups[i]), group, diag);
    }
    if (code == ERR_NOT_FOUND)
        diag_set(diag, code, "there is no group %s", group);
    if (code == ERR_BUSY)
        diag_set(diag, code, "group %s has members: stop them first", group);
    remote_end(&call);
    rd_kafka_DeleteGroup_destroy(wanted);
    return code;
}

static int send_delete_offsets(struct remote *remote, const char *group,
                               const rd_kafka_topic_partition_list_t *list, struct diag *diag)
{
    struct remote_call call;
    char what[600];
    size_t results = 0;
    name_group(what, group);
    rd_kafka_DeleteConsumerGroupOffsets_t *wanted =
        rd_kafka_DeleteConsumerGroupOffsets_new(group, list);
    int code = remote_begin(remote, RD_KAFKA_ADMIN_OP_DELETECONSUMERGROUPOFFSETS, &call, diag);
    if (code == 0) {
        rd_kafka_DeleteConsumerGroupOffsets(remote->handle, &wanted, 1, call.options, call.queue);
        code = remote_wait(remote, &call, what, diag);
    }
    if (code == 0) {
        const rd_kafka_group_result_t **groups = rd_kafka_DeleteConsumerGroupOffsets_result_groups(
            rd_kafka_event_DeleteConsumerGroupOffsets_result(call.event), &results);
        code = check_partitions(remote, groups, results, group, diag);
    }
    remote_end(&call);
    rd_kafka_DeleteConsumerGroupOffsets_destroy(wanted);
    return code;
}

int remote_group_delete_offsets(struct door *door, const char *group, const char *topic,
                                int32_t partition, struct diag *diag)
{
    struct group_view view;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(16);
    int code = door->ops->topic_find(door, topic, NULL, diag);
    view = (struct group_view){.group = group};
    if (code == 0)
        code = view_group(door->remote, group, false, &view, diag);
    for (int i = 0; code == 0 && i < view.committed->cnt; i++) {
        const rd_kafka_topic_partition_t *one = &view.committed->elems[i];
        if (strcmp(one->topic, topic) == 0 && one->offset >= 0 &&
            (partition < 0 || partition == one->partition))
            rd_kafka_topic_partition_list_add(list, topic, one->partition);
    }
    if (code == 0 && list->cnt == 0)
        code = diag_set(diag, ERR_NOT_FOUND, "group %s has no offsets of topic %s", group, topic);
    if (code == 0)
        code = send_delete_offsets(door->remote, group, list, diag);
    if (code == ERR_BUSY)
        diag_set(diag, code, "a member of group %s reads topic %s: stop it first", group, topic);
    view_end(&view);
    rd_kafka_topic_partition_list_destroy(list);
    return code;
}
