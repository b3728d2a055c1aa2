/* door.c: see door.h: opening a door, and the embedded log behind it.
 *
 * The log knows all that is asked for, so that each function here is one call and a change of shape. */
#include "runtime/cli/door_acl.h"

#include "runtime/cli/remote.h"

#include <stdio.h>
#include <stdlib.h>

int door_open(const struct cli *cli, enum data_need need, struct door *door)
{
    struct reach reach;
    *door = (struct door){.ops = &door_log_ops};
    int exit_code = reach_find(cli, need, &reach);
    if (exit_code == 0 && reach.way == REACH_SERVER) {
        interrupt_install();
        door->ops = &door_remote_ops;
        exit_code = remote_open(&reach, &door->remote);
    } else if (exit_code == 0) {
        exit_code = data_open(cli, need, &door->log);
    }
    reach_forget(&reach);
    return exit_code;
}

void door_close(struct door *door)
{
    if (door->log != NULL || door->remote != NULL)
        door->ops->close(door);
}

const char *door_text(const struct cli *cli, const struct door *door)
{
    return door->remote != NULL && door->remote->reach.directory == NULL ? door->remote->reach.kafka
                                                                         : data_directory(cli);
}

struct wanted {
    const char *key;
    char *value;
    size_t size;
};

static void take_wanted(void *context, const char *key, const char *value, bool is_set)
{
    struct wanted *wanted = context;
    (void)is_set;
    if (strcmp(key, wanted->key) == 0)
        snprintf(wanted->value, wanted->size, "%s", value);
}

int door_config(struct door *door, const char *topic, const char *key, char *value,
                size_t value_size, struct diag *diag)
{
    struct wanted wanted = {key, value, value_size};
    value[0] = '\0';
    return door->ops->topic_configs(door, topic, take_wanted, &wanted, diag);
}

/* ---- the embedded log ---- */

static void close_log(struct door *door)
{
    log_close(door->log);
}

static void take_topic(const struct topic_info *info, struct door_topic *topic)
{
    *topic = (struct door_topic){.partitions = info->partitions, .internal = info->internal};
    memcpy(topic->name, info->name, sizeof topic->name);
    uuid_text(info->id, topic->id);
}

static int list_topics(struct door *door, struct door_topic **topics, size_t *count,
                       struct diag *diag)
{
    struct topic_info *infos;
    int code = topic_list(door->log, &infos, count);
    if (code < 0)
        return diag_set(diag, code, "cannot list the topics: %s", error_text(code));
    *topics = calloc(*count + 1, sizeof **topics);
    for (size_t i = 0; *topics != NULL && i < *count; i++)
        take_topic(&infos[i], &(*topics)[i]);
    free(infos);
    return *topics != NULL ? 0 : diag_set(diag, ERR_NOMEM, "no memory for %zu topics", *count);
}

static int find_topic(struct door *door, const char *name, struct door_topic *topic,
                      struct diag *diag)
{
    struct topic_info info;
    TRY(topic_describe(door->log, name, &info, diag));
    if (topic != NULL)
        take_topic(&info, topic);
    return 0;
}

static int take_partition(struct door *door, const char *topic, int32_t index,
                          struct door_partition *row, struct diag *diag)
{
    struct partition *partition;
    struct partition_offsets offsets;
    struct partition_files files;
    struct diag status = {0};
    TRY(partition_get(door->log, topic, index, &partition, diag));
    partition_offsets(partition, &offsets);
    partition_files(partition, &files);
    *row = (struct door_partition){offsets.start,
                                   offsets.stable,
                                   offsets.high_watermark,
                                   offsets.end,
                                   files.bytes,
                                   files.segments,
                                   ""};
    int code = partition_status(partition, &status);
    snprintf(row->status, sizeof row->status, "%.*s", (int)sizeof row->status - 1,
             code < 0 ? status.text : "ok");
    return 0;
}

static int list_partitions(struct door *door, const struct door_topic *topics, size_t count,
                           struct door_partition **rows, struct diag *diag)
{
    size_t total = 0, at = 0;
    int code = 0;
    for (size_t i = 0; i < count; i++)
        total += (size_t)topics[i].partitions;
    *rows = calloc(total + 1, sizeof **rows);
    if (*rows == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for %zu partitions", total);
    for (size_t i = 0; i < count; i++)
        for (int32_t p = 0; p < topics[i].partitions && code == 0; p++)
            code = take_partition(door, topics[i].name, p, &(*rows)[at++], diag);
    return code;
}

static int list_configs(struct door *door, const char *name,
                        void (*fn)(void *context, const char *key, const char *value, bool is_set),
                        void *context, struct diag *diag)
{
    int code = topic_config_each(door->log, name, fn, context);
    return code < 0 ? diag_set(diag, code, "topic %s: %s", name, error_text(code)) : 0;
}

static int create_topic(struct door *door, const char *name, int32_t partitions,
                        const struct config_entry *entries, size_t count, struct diag *diag)
{
    return topic_create(door->log, name, partitions, entries, count, diag);
}

static int alter_topic(struct door *door, const char *name, const struct config_entry *entries,
                       size_t count, struct diag *diag)
{
    return topic_alter(door->log, name, entries, count, diag);
}

static int grow_topic(struct door *door, const char *name, int32_t partitions, struct diag *diag)
{
    return topic_grow(door->log, name, partitions, diag);
}

static int delete_topic(struct door *door, const char *name, struct diag *diag)
{
    return topic_delete(door->log, name, diag);
}

static int list_groups(struct door *door, char ***names, size_t *count, struct diag *diag)
{
    int code = group_list(door->log, names, count);
    return code < 0 ? diag_set(diag, code, "cannot list the groups: %s", error_text(code)) : 0;
}

static int lag_of_group(struct door *door, const char *group, struct group_lag **rows,
                        size_t *count, int64_t *total, struct group_info *info, struct diag *diag)
{
    TRY(group_lag(door->log, group, rows, count, total, diag));
    return group_info(door->log, group, info, diag);
}

static int reset_group(struct door *door, const char *group, const struct group_reset *reset,
                       struct group_reset_row **rows, size_t *count, struct diag *diag)
{
    return group_reset_offsets(door->log, group, reset, rows, count, diag);
}

static int delete_group(struct door *door, const char *group, struct diag *diag)
{
    return group_delete(door->log, group, diag);
}

static int delete_offsets(struct door *door, const char *group, const char *topic,
                          int32_t partition, struct diag *diag)
{
    return group_delete_offsets(door->log, group, topic, partition, diag);
}

static int find_time(struct door *door, const char *name, int32_t index, int64_t timestamp_ms,
                     int64_t *offset, struct diag *diag)
{
    struct partition *partition;
    TRY(partition_get(door->log, name, index, &partition, diag));
    return partition_find_time(partition, timestamp_ms, offset, NULL, diag);
}

static int delete_records(struct door *door, const char *name, const struct door_cut *cuts,
                          size_t count, struct diag *diag)
{
    for (size_t i = 0; i < count; i++) {
        struct partition *partition;
        TRY(partition_get(door->log, name, cuts[i].partition, &partition, diag));
        TRY(partition_delete_records(partition, cuts[i].offset, diag));
    }
    return 0;
}

const struct door_ops door_log_ops = {
    .close = close_log,
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
    .group_list = list_groups,
    .group_lag = lag_of_group,
    .group_reset = reset_group,
    .group_delete = delete_group,
    .group_delete_offsets = delete_offsets,
    .acl_list = log_acl_list,
    .acl_add = log_acl_add,
    .acl_delete = log_acl_delete,
};
