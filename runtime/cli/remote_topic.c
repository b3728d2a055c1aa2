/* remote_topic.c: topics behind a server (door.h), over the Kafka protocol.
 *
 * The names come from Metadata, the offsets from ListOffsets (one request for all partitions of a server), the configurations from
 * DescribeConfigs. librdkafka 2.0 has neither topic ids nor DescribeLogDirs, so that sizes and ids are not told.
 *
 * It has no IncrementalAlterConfigs either. AlterConfigs sets all of a topic's configuration: what was set is read first and sent along with what
 * changes, and what somebody else sets in between is lost. weir leaves the keys of its own alone that are not named, and resets one that is sent empty. */
#include "runtime/cli/door_acl.h"
#include "runtime/cli/remote.h"
#include "runtime/cli/remote_group.h"

#include <stdio.h>
#include <stdlib.h>

static void close_remote(struct door *door)
{
    remote_close(door->remote);
}

static void name_topic(char text[300], const char *name)
{
    snprintf(text, 300, "topic %s", name);
}

/* ---- configurations ---- */

/* Asks for the configurations of topics. The answer is in call->event, which the caller ends. */
static int ask_configs(struct remote *remote, const struct door_topic *topics, size_t count,
                       struct remote_call *call, struct diag *diag)
{
    rd_kafka_ConfigResource_t **resources = calloc(count + 1, sizeof *resources);
    if (resources == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for %zu topics", count);
    for (size_t i = 0; i < count; i++)
        resources[i] = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topics[i].name);
    rd_kafka_DescribeConfigs(remote->handle, resources, count, call->options, call->queue);
    int code = remote_wait(remote, call, "the configuration", diag);
    rd_kafka_ConfigResource_destroy_array(resources, count);
    free(resources);
    return code;
}

static const rd_kafka_ConfigResource_t **configs_of(struct remote_call *call, size_t *count)
{
    return rd_kafka_DescribeConfigs_result_resources(
        rd_kafka_event_DescribeConfigs_result(call->event), count);
}

static bool is_set(const rd_kafka_ConfigEntry_t *entry)
{
    return rd_kafka_ConfigEntry_source(entry) == RD_KAFKA_CONFIG_SOURCE_DYNAMIC_TOPIC_CONFIG;
}

static int check_resource(struct remote *remote, const rd_kafka_ConfigResource_t *resource,
                          struct diag *diag)
{
    char what[300];
    rd_kafka_resp_err_t error = rd_kafka_ConfigResource_error(resource);
    name_topic(what, rd_kafka_ConfigResource_name(resource));
    return error == RD_KAFKA_RESP_ERR_NO_ERROR
               ? 0
               : remote_error(remote, error, what, rd_kafka_ConfigResource_error_string(resource),
                              diag);
}

/* One topic's. The entries live as long as call. */
static int read_configs(struct remote *remote, const char *name, struct remote_call *call,
                        const rd_kafka_ConfigEntry_t ***entries, size_t *count, struct diag *diag)
{
    struct door_topic topic = {.partitions = 0};
    size_t resources;
    snprintf(topic.name, sizeof topic.name, "%s", name);
    TRY(ask_configs(remote, &topic, 1, call, diag));
    const rd_kafka_ConfigResource_t **resource = configs_of(call, &resources);
    if (resources != 1)
        return diag_set(diag, ERR_STATE, "topic %s: the server describes %zu topics", name,
                        resources);
    TRY(check_resource(remote, resource[0], diag));
    *entries = rd_kafka_ConfigResource_configs(resource[0], count);
    return 0;
}

static int list_configs(struct door *door, const char *name,
                        void (*fn)(void *context, const char *key, const char *value, bool is_set),
                        void *context, struct diag *diag)
{
    const rd_kafka_ConfigEntry_t **entries;
    size_t count;
    struct remote_call call;
    int code = remote_begin(door->remote, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, &call, diag);
    if (code == 0)
        code = read_configs(door->remote, name, &call, &entries, &count, diag);
    for (size_t i = 0; code == 0 && i < count; i++)
        if (rd_kafka_ConfigEntry_value(entries[i]) != NULL)
            fn(context, rd_kafka_ConfigEntry_name(entries[i]),
               rd_kafka_ConfigEntry_value(entries[i]), is_set(entries[i]));
    remote_end(&call);
    return code;
}

/* ---- which topics there are ---- */

/* Kafka's own, and those that say so: a job of weir made them for itself. */
static void note_internal(struct door_topic *topic, const rd_kafka_ConfigResource_t *resource)
{
    size_t count;
    const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(resource, &count);
    topic->internal = strcmp(topic->name, "__consumer_offsets") == 0 ||
                      strcmp(topic->name, "__transaction_state") == 0;
    for (size_t i = 0; i < count; i++) {
        const char *value = rd_kafka_ConfigEntry_value(entries[i]);
        if (strcmp(rd_kafka_ConfigEntry_name(entries[i]), "weir.internal") == 0)
            topic->internal |= value != NULL && strcmp(value, "true") == 0;
    }
}

static int compare_topics(const void *a, const void *b)
{
    const struct door_topic *left = a, *right = b;
    return strcmp(left->name, right->name);
}

static void note_all_internal(struct door_topic *topics, size_t count, struct remote_call *call)
{
    size_t resources;
    const rd_kafka_ConfigResource_t **resource = configs_of(call, &resources);
    for (size_t i = 0; i < resources; i++) {
        struct door_topic key = {.partitions = 0}, *topic;
        snprintf(key.name, sizeof key.name, "%s", rd_kafka_ConfigResource_name(resource[i]));
        topic = bsearch(&key, topics, count, sizeof key, compare_topics);
        if (topic != NULL)
            note_internal(topic, resource[i]);
    }
}

static int mark_internal(struct remote *remote, struct door_topic *topics, size_t count,
                         struct diag *diag)
{
    struct remote_call call;
    if (count == 0)
        return 0;
    int code = remote_begin(remote, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, &call, diag);
    if (code == 0)
        code = ask_configs(remote, topics, count, &call, diag);
    if (code == 0)
        note_all_internal(topics, count, &call);
    remote_end(&call);
    return code;
}

static int name_topics(struct remote *remote, struct door_topic **topics, size_t *count,
                       struct diag *diag)
{
    const struct rd_kafka_metadata *metadata;
    TRY(remote_metadata(remote, true, &metadata, diag));
    *count = (size_t)metadata->topic_cnt;
    *topics = calloc(*count + 1, sizeof **topics);
    for (size_t i = 0; *topics != NULL && i < *count; i++) {
        struct door_topic *topic = &(*topics)[i];
        snprintf(topic->name, sizeof topic->name, "%s", metadata->topics[i].topic);
        topic->partitions = metadata->topics[i].partition_cnt;
    }
    rd_kafka_metadata_destroy(metadata);
    if (*topics == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for %zu topics", *count);
    qsort(*topics, *count, sizeof **topics, compare_topics);
    return 0;
}

static int list_topics(struct door *door, struct door_topic **topics, size_t *count,
                       struct diag *diag)
{
    *topics = NULL;
    TRY(name_topics(door->remote, topics, count, diag));
    return mark_internal(door->remote, *topics, *count, diag);
}

static int no_topic(const char *name, const struct door_topic *topics, size_t count,
                    struct diag *diag)
{
    const char **names = calloc(count + 1, sizeof *names);
    for (size_t i = 0; names != NULL && i < count; i++)
        names[i] = topics[i].name;
    const char *near = names != NULL ? suggest(name, names, (int)count) : NULL;
    diag_set(diag, ERR_NOT_FOUND, "there is no topic %s%s%s%s", name,
             near != NULL ? "; did you mean " : "", near != NULL ? near : "",
             near != NULL ? "?" : "");
    free(names);
    return ERR_NOT_FOUND;
}

static int find_topic(struct door *door, const char *name, struct door_topic *topic,
                      struct diag *diag)
{
    struct door_topic *topics = NULL, *found, key = {.partitions = 0};
    size_t count = 0;
    int code = name_topics(door->remote, &topics, &count, diag);
    snprintf(key.name, sizeof key.name, "%s", name);
    found = code == 0 ? bsearch(&key, topics, count, sizeof key, compare_topics) : NULL;
    if (code == 0 && found == NULL)
        code = no_topic(name, topics, count, diag);
    if (code == 0 && topic != NULL) {
        *topic = *found;
        code = mark_internal(door->remote, topic, 1, diag);
    }
    free(topics);
    return code;
}

/* ---- partitions ---- */

static int64_t *start_of(struct door_partition *row)
{
    return &row->start;
}
static int64_t *stable_of(struct door_partition *row)
{
    return &row->stable;
}
static int64_t *high_watermark_of(struct door_partition *row)
{
    return &row->high_watermark;
}

static int take_offsets(struct remote *remote, enum isolation isolation,
                        const rd_kafka_topic_partition_list_t *partitions, int64_t which,
                        int64_t *(*place)(struct door_partition *row), struct door_partition *rows,
                        struct diag *diag)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_copy(partitions);
    for (int i = 0; i < list->cnt; i++)
        list->elems[i].offset = which;
    int code = remote_offsets(remote, isolation, list, diag);
    for (int i = 0; code == 0 && i < list->cnt; i++) {
        struct door_partition *row = &rows[(uintptr_t)list->elems[i].opaque];
        *place(row) = list->elems[i].offset;
        if (list->elems[i].err != RD_KAFKA_RESP_ERR_NO_ERROR) {
            snprintf(row->status, sizeof row->status, "%s", rd_kafka_err2str(list->elems[i].err));
            *place(row) = -1;
        }
    }
    rd_kafka_topic_partition_list_destroy(list);
    return code;
}

static int list_partitions(struct door *door, const struct door_topic *topics, size_t count,
                           struct door_partition **rows, struct diag *diag)
{
    size_t total = 0, at = 0;
    for (size_t i = 0; i < count; i++)
        total += (size_t)topics[i].partitions;
    *rows = calloc(total + 1, sizeof **rows);
    if (*rows == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for %zu partitions", total);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)total);
    for (size_t i = 0; i < count; i++)
        for (int32_t p = 0; p < topics[i].partitions; p++) {
            rd_kafka_topic_partition_list_add(list, topics[i].name, p)->opaque =
                (void *)(uintptr_t)at;
            (*rows)[at++] = (struct door_partition){-1, -1, -1, -1, -1, -1, "ok"};
        }
    int code = take_offsets(door->remote, READ_UNCOMMITTED, list, RD_KAFKA_OFFSET_BEGINNING,
                            start_of, *rows, diag);
    if (code == 0)
        code = take_offsets(door->remote, READ_UNCOMMITTED, list, RD_KAFKA_OFFSET_END,
                            high_watermark_of, *rows, diag);
    if (code == 0)
        code = take_offsets(door->remote, READ_COMMITTED, list, RD_KAFKA_OFFSET_END, stable_of,
                            *rows, diag);
    rd_kafka_topic_partition_list_destroy(list);
    return code;
}

/* ---- changes ---- */

/* The one result of a request about one topic. */
static int check_result(struct remote *remote, const rd_kafka_topic_result_t **results,
                        size_t count, const char *what, struct diag *diag)
{
    for (size_t i = 0; i < count; i++) {
        rd_kafka_resp_err_t error = rd_kafka_topic_result_error(results[i]);
        if (error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
            return no_topic(rd_kafka_topic_result_name(results[i]), NULL, 0, diag);
        if (error == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
            return diag_set(diag, ERR_EXISTS, "%s exists", what);
        if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
            return remote_error(remote, error, what, rd_kafka_topic_result_error_string(results[i]),
                                diag);
    }
    return 0;
}

static int create_topic(struct door *door, const char *name, int32_t partitions,
                        const struct config_entry *entries, size_t count, struct diag *diag)
{
    char text[512], what[300];
    size_t results;
    const rd_kafka_topic_result_t **topics;
    struct remote_call call;
    name_topic(what, name);
    rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(name, partitions, -1, text, sizeof text);
    if (topic == NULL)
        return diag_set(diag, ERR_INVALID, "%s: %s", what, text);
    for (size_t i = 0; i < count; i++)
        if (entries[i].value != NULL)
            rd_kafka_NewTopic_set_config(topic, entries[i].key, entries[i].value);
    int code = remote_begin(door->remote, RD_KAFKA_ADMIN_OP_CREATETOPICS, &call, diag);
    if (code == 0) {
        rd_kafka_CreateTopics(door->remote->handle, &topic, 1, call.options, call.queue);
        code = remote_wait(door->remote, &call, what, diag);
    }
    if (code == 0) {
        topics = rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(call.event),
                                                     &results);
        code = check_result(door->remote, topics, results, what, diag);
    }
    remote_end(&call);
    rd_kafka_NewTopic_destroy(topic);
    return code;
}

static int grow_topic(struct door *door, const char *name, int32_t partitions, struct diag *diag)
{
    char text[512], what[300];
    size_t results;
    const rd_kafka_topic_result_t **topics;
    struct remote_call call;
    name_topic(what, name);
    rd_kafka_NewPartitions_t *wanted =
        rd_kafka_NewPartitions_new(name, (size_t)partitions, text, sizeof text);
    if (wanted == NULL)
        return diag_set(diag, ERR_INVALID, "%s: %s", what, text);
    int code = remote_begin(door->remote, RD_KAFKA_ADMIN_OP_CREATEPARTITIONS, &call, diag);
    if (code == 0) {
        rd_kafka_CreatePartitions(door->remote->handle, &wanted, 1, call.options, call.queue);
        code = remote_wait(door->remote, &call, what, diag);
    }
    if (code == 0) {
        topics = rd_kafka_CreatePartitions_result_topics(
            rd_kafka_event_CreatePartitions_result(call.event), &results);
        code = check_result(door->remote, topics, results, what, diag);
    }
    remote_end(&call);
    rd_kafka_NewPartitions_destroy(wanted);
    return code;
}

static int delete_topic(struct door *door, const char *name, struct diag *diag)
{
    char what[300];
    size_t results;
    const rd_kafka_topic_result_t **topics;
    struct remote_call call;
    rd_kafka_DeleteTopic_t *topic = rd_kafka_DeleteTopic_new(name);
    name_topic(what, name);
    int code = remote_begin(door->remote, RD_KAFKA_ADMIN_OP_DELETETOPICS, &call, diag);
    if (code == 0) {
        rd_kafka_DeleteTopics(door->remote->handle, &topic, 1, call.options, call.queue);
        code = remote_wait(door->remote, &call, what, diag);
    }
    if (code == 0) {
        topics = rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(call.event),
                                                     &results);
        code = check_result(door->remote, topics, results, what, diag);
    }
    remote_end(&call);
    rd_kafka_DeleteTopic_destroy(topic);
    return code;
}

static int find_time(struct door *door, const char *name, int32_t index, int64_t timestamp_ms,
                     int64_t *offset, struct diag *diag)
{
    char what[300];
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, name, index)->offset =
        timestamp_ms < 0 ? 0 : timestamp_ms; /* below 0 it has other meanings */
    name_topic(what, name);
    int code = remote_offsets(door->remote, READ_UNCOMMITTED, list, diag);
    if (code == 0 && list->elems[0].err != RD_KAFKA_RESP_ERR_NO_ERROR)
        code = remote_error(door->remote, list->elems[0].err, what, NULL, diag);
    *offset = list->elems[0].offset >= 0 ? list->elems[0].offset : -1;
    rd_kafka_topic_partition_list_destroy(list);
    return code;
}

static int take_deleted(struct remote *remote, struct remote_call *call, struct diag *diag)
{
    const rd_kafka_topic_partition_list_t *list =
        rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(call->event));
    for (int i = 0; i < list->cnt; i++) {
        char what[320];
        const rd_kafka_topic_partition_t *one = &list->elems[i];
        snprintf(what, sizeof what, "%s-%d", one->topic, one->partition);
        if (one->err != RD_KAFKA_RESP_ERR_NO_ERROR)
            return remote_error(remote, one->err, what, NULL, diag);
    }
    return 0;
}

static int delete_records(struct door *door, const char *name, const struct door_cut *cuts,
                          size_t count, struct diag *diag)
{
    char what[300];
    struct remote_call call;
    if (count == 0)
        return 0;
    name_topic(what, name);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    for (size_t i = 0; i < count; i++)
        rd_kafka_topic_partition_list_add(list, name, cuts[i].partition)->offset = cuts[i].offset;
    rd_kafka_DeleteRecords_t *wanted = rd_kafka_DeleteRecords_new(list);
    int code = remote_begin(door->remote, RD_KAFKA_ADMIN_OP_DELETERECORDS, &call, diag);
    if (code == 0) {
        rd_kafka_DeleteRecords(door->remote->handle, &wanted, 1, call.options, call.queue);
        code = remote_wait(door->remote, &call, what, diag);
    }
    if (code == 0)
        code = take_deleted(door->remote, &call, diag);
    remote_end(&call);
    rd_kafka_DeleteRecords_destroy(wanted);
    rd_kafka_topic_partition_list_destroy(list);
    return code;
}

static const struct config_entry *entry_of(const struct config_entry *entries, size_t count,
                                           const char *key)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(entries[i].key, key) == 0)
            return &entries[i];
    return NULL;
}

/* A key of weir's. */
static bool is_own(const char *key)
{
    return strncmp(key, "weir.", 5) == 0;
}

/* What is set now, without what is about to change. */
static int keep_configs(struct remote *remote, const char *name, const struct config_entry *entries,
                        size_t entry_count, rd_kafka_ConfigResource_t *resource, struct diag *diag)
{
    const rd_kafka_ConfigEntry_t **configs;
    size_t count;
    struct remote_call call;
    int code = remote_begin(remote, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, &call, diag);
    if (code == 0)
        code = read_configs(remote, name, &call, &configs, &count, diag);
    for (size_t i = 0; code == 0 && i < count; i++) {
        const char *key = rd_kafka_ConfigEntry_name(configs[i]);
        const char *value = rd_kafka_ConfigEntry_value(configs[i]);
        if (is_set(configs[i]) && value != NULL && !rd_kafka_ConfigEntry_is_read_only(configs[i]) &&
            !is_own(key) && entry_of(entries, entry_count, key) == NULL)
            rd_kafka_ConfigResource_set_config(resource, key, value);
    }
    remote_end(&call);
    return code;
}

static int send_configs(struct remote *remote, rd_kafka_ConfigResource_t *resource,
                        const char *what, struct diag *diag)
{
    size_t count = 0;
    struct remote_call call;
    int code = remote_begin(remote, RD_KAFKA_ADMIN_OP_ALTERCONFIGS, &call, diag);
    if (code == 0) {
        rd_kafka_AlterConfigs(remote->handle, &resource, 1, call.options, call.queue);
        code = remote_wait(remote, &call, what, diag);
    }
    if (code == 0) {
        const rd_kafka_ConfigResource_t **results = rd_kafka_AlterConfigs_result_resources(
            rd_kafka_event_AlterConfigs_result(call.event), &count);
        for (size_t i = 0; i < count && code == 0; i++)
            code = check_resource(remote, results[i], diag);
    }
    remote_end(&call);
    return code;
}

static int alter_topic(struct door *door, const char *name, const struct config_entry *entries,
                       size_t count, struct diag *diag)
{
    char what[300];
    name_topic(what, name);
    rd_kafka_ConfigResource_t *resource =
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, name);
    int code = keep_configs(door->remote, name, entries, count, resource, diag);
    for (size_t i = 0; i < count; i++)
        if (entries[i].value != NULL || is_own(entries[i].key))
            rd_kafka_ConfigResource_set_config(resource, entries[i].key,
                                               entries[i].value != NULL ? entries[i].value : "");
    if (code == 0)
        code = send_configs(door->remote, resource, what, diag);
    rd_kafka_ConfigResource_destroy(resource);
    return code;
}

const struct door_ops door_remote_ops = {
    .close = close_remote,
    .topic_list = list_topics,
    .topic_find = find_topic,
    .topic_partitions = list_partitions,
    .topic_configs = list_configs,
    .topic_create = create_topic,
    .topic_alter = alter_topic,
    .topic_grow = grow_topic,
    .topic_delete = delete_topic,
    .topic_find_time = find_time,
    .topic_delete_records = delete_records,
    .group_list = remote_group_list,
    .group_lag = remote_group_lag,
    .group_reset = remote_group_reset,
    .group_delete = remote_group_delete,
    .group_delete_offsets = remote_group_delete_offsets,
    .acl_list = remote_acl_list,
    .acl_add = remote_acl_add,
    .acl_delete = remote_acl_delete,
};
