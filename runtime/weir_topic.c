/* weir_topic.c: topics and their partitions through weir.h: checks what a stranger may pass, and
 * lays results out as one block. */
#include "runtime/weir_handle.h"

#include <stdlib.h>
#include <string.h>

/* ---- topics ---- */

/* The caller's pairs as the log wants them; malloc'ed. */
static int translate_config(const weir_config *config, size_t count, struct config_entry **entries,
                            struct diag *diag)
{
    *entries = NULL;
    if (count > 0 && config == NULL)
        return diag_set(diag, ERR_INVALID, "config is NULL, config_count is %zu", count);
    if (count > 10000)
        return diag_set(diag, ERR_INVALID, "%zu configuration keys are more than there are", count);
    *entries = malloc((count + 1) * sizeof **entries);
    if (*entries == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for a topic's configuration");
    for (size_t i = 0; i < count; i++)
        (*entries)[i] = (struct config_entry){config[i].key, config[i].value};
    return 0;
}

int weir_topic_create(weir_log *log, const char *topic, int32_t partitions,
                      const weir_config *config, size_t config_count)
{
    struct diag diag = {.code = 0};
    struct config_entry *entries;
    TRY(handle_need(log, "topic", topic));
    int rc = translate_config(config, config_count, &entries, &diag);
    if (rc == 0)
        rc = topic_create(log->log, topic, partitions, entries, config_count, &diag);
    free(entries);
    return handle_result(rc, &diag);
}

int weir_topic_alter(weir_log *log, const char *topic, const weir_config *config,
                     size_t config_count)
{
    struct diag diag = {.code = 0};
    struct config_entry *entries;
    TRY(handle_need(log, "topic", topic));
    int rc = translate_config(config, config_count, &entries, &diag);
    if (rc == 0)
        rc = topic_alter(log->log, topic, entries, config_count, &diag);
    free(entries);
    return handle_result(rc, &diag);
}

int weir_topic_grow(weir_log *log, const char *topic, int32_t partitions)
{
    struct diag diag = {.code = 0};
    TRY(handle_need(log, "topic", topic));
    return handle_result(topic_grow(log->log, topic, partitions, &diag), &diag);
}

int weir_topic_delete(weir_log *log, const char *topic)
{
    struct diag diag = {.code = 0};
    TRY(handle_need(log, "topic", topic));
    return handle_result(topic_delete(log->log, topic, &diag), &diag);
}

static void fill_topic(const struct topic_info *from, weir_topic_info *to)
{
    *to = (weir_topic_info){.partitions = from->partitions, .internal = from->internal};
    memcpy(to->name, from->name, sizeof from->name);
    uuid_text(from->id, to->id);
}

int weir_topic_describe(weir_log *log, const char *topic, weir_topic_info *info)
{
    struct diag diag = {.code = 0};
    struct topic_info found;
    if (info != NULL)
        *info = (weir_topic_info){.partitions = 0};
    TRY(handle_need(log, "topic", topic));
    int rc = topic_describe(log->log, topic, &found, &diag);
    if (rc == 0 && info != NULL)
        fill_topic(&found, info);
    return handle_result(rc, &diag);
}

int weir_topic_list(weir_log *log, weir_topic_info **topics, size_t *count)
{
    struct topic_info *found = NULL;
    TRY(handle_need(log, "topics", topics));
    TRY(handle_need(log, "count", count));
    *topics = NULL;
    *count = 0;
    size_t found_count;
    int rc = topic_list(log->log, &found, &found_count);
    weir_topic_info *list = rc == 0 ? calloc(found_count + 1, sizeof *list) : NULL;
    if (rc == 0 && list == NULL)
        rc = ERR_NOMEM;
    for (size_t i = 0; rc == 0 && i < found_count; i++)
        fill_topic(&found[i], &list[i]);
    free(found);
    if (rc == 0) {
        *topics = list;
        *count = found_count;
    }
    return handle_result(rc, NULL);
}

/* ---- configuration ---- */

int weir_topic_config(weir_log *log, const char *topic, const char *key, char *value,
                      size_t value_size)
{
    struct diag diag = {.code = 0};
    TRY(handle_need(log, "topic", topic));
    TRY(handle_need(log, "key", key));
    TRY(handle_need(log, "value", value));
    if (value_size > 0)
        value[0] = '\0';
    int rc = topic_describe(log->log, topic, NULL, &diag);
    if (rc == 0) {
        rc = topic_config_get(log->log, topic, key, value, value_size);
        if (rc == ERR_NOT_FOUND)
            diag_set(&diag, rc, "topic %s has no value for %s", topic, key);
        else if (rc < 0)
            diag_set(&diag, rc, "the value of %s of topic %s does not fit into %zu bytes", key,
                     topic, value_size);
    }
    return handle_result(rc, &diag);
}

struct config_gather {
    struct buf texts; /* for each: key, 0, value, 0, '0' or '1' */
    size_t count;
};

static void gather_config(void *context, const char *key, const char *value, bool is_set)
{
    struct config_gather *gather = context;
    buf_append(&gather->texts, key, strlen(key) + 1);
    buf_append(&gather->texts, value, strlen(value) + 1);
    buf_u8(&gather->texts, is_set);
    gather->count++;
}

static weir_config_value *lay_out_configs(const struct config_gather *gather)
{
    weir_config_value *values = malloc((gather->count + 1) * sizeof *values + gather->texts.size);
    if (values == NULL)
        return NULL;
    char *text = (char *)(values + gather->count + 1);
    if (gather->texts.size > 0)
        memcpy(text, gather->texts.data, gather->texts.size);
    for (size_t i = 0; i < gather->count; i++) {
        values[i].key = text;
        text += strlen(text) + 1;
        values[i].value = text;
        text += strlen(text) + 1;
        values[i].is_set = *text++ != 0;
    }
    return values;
}

int weir_topic_configs(weir_log *log, const char *topic, weir_config_value **values, size_t *count)
{
    struct diag diag = {.code = 0};
    TRY(handle_need(log, "topic", topic));
    TRY(handle_need(log, "values", values));
    TRY(handle_need(log, "count", count));
    *values = NULL;
    *count = 0;
    struct config_gather gather = {.count = 0};
    buf_init(&gather.texts, 0);
    int rc = topic_describe(log->log, topic, NULL, &diag);
    if (rc == 0)
        rc = topic_config_each(log->log, topic, gather_config, &gather);
    if (rc == 0) {
        *values = buf_ok(&gather.texts) ? lay_out_configs(&gather) : NULL;
        rc = *values != NULL ? 0 : ERR_NOMEM;
        *count = rc == 0 ? gather.count : 0;
    }
    buf_deinit(&gather.texts);
    return handle_result(rc, &diag);
}

/* ---- partitions ---- */

int weir_partition_describe(weir_log *log, const char *topic, int32_t partition,
                            weir_partition_info *info)
{
    struct diag diag = {.code = 0};
    struct partition *found;
    TRY(handle_need(log, "topic", topic));
    TRY(handle_need(log, "info", info));
    *info = (weir_partition_info){.status = 0};
    TRY(handle_result(partition_get(log->log, topic, partition, &found, &diag), &diag));
    struct partition_description description = {.status = 0};
    int rc = partition_describe(found, &description, &diag);
    if (rc == 0) {
        info->status = description.status;
        if (info->status < 0)
            memcpy(info->reason, description.reason.text,
                   strnlen(description.reason.text, sizeof info->reason - 1));
        info->segments = (int32_t)description.segment_count;
        info->start_offset = description.offsets.start;
        info->stable_offset = description.offsets.stable;
        info->high_watermark = description.offsets.high_watermark;
        info->end_offset = description.offsets.end;
        info->bytes = description.bytes;
        info->other_bytes = description.other_bytes;
        info->first_timestamp_ms = description.first_timestamp_ms;
        info->max_timestamp_ms = description.max_timestamp_ms;
        info->last_write_ms = description.last_write_ms;
    }
    partition_description_deinit(&description);
    return handle_result(rc, &diag);
}

int handle_partition_range(weir_log *log, const char *topic, int32_t partition, int64_t *start,
                           int64_t *high_watermark)
{
    struct diag diag = {.code = 0};
    struct partition *found;
    struct partition_offsets offsets;
    TRY(handle_result(partition_get(log->log, topic, partition, &found, &diag), &diag));
    partition_offsets(found, &offsets);
    *start = offsets.start;
    *high_watermark = offsets.high_watermark;
    return 0;
}

#define SAME(a, b) _Static_assert((int)(a) == (int)(b), #a)
SAME(WEIR_VERIFY_RECORDS, VERIFY_RECORDS);
SAME(WEIR_VERIFY_INDEX, VERIFY_INDEX);
SAME(WEIR_VERIFY_FILES, VERIFY_FILES);
SAME(WEIR_VERIFY_META, VERIFY_META);

struct verify_call {
    void (*found)(void *context, const weir_finding *finding);
    void *context;
};

static void hand_over_finding(void *context, const struct verify_finding *from)
{
    const struct verify_call *call = context;
    weir_finding finding = {.kind = (weir_verify_kind)from->kind,
                            .partition = from->partition,
                            .topic = from->topic,
                            .file = from->file,
                            .position = from->position,
                            .offset = from->offset,
                            .text = from->text};
    call->found(call->context, &finding);
}

int weir_partition_verify(weir_log *log, const char *topic, int32_t partition,
                          void (*found)(void *context, const weir_finding *finding), void *context,
                          weir_verify_report *report)
{
    struct diag diag = {.code = 0};
    struct partition *verified;
    struct verify_report done = {.segments = 0};
    struct verify_call call = {found, context};
    if (report != NULL)
        *report = (weir_verify_report){.segments = 0};
    TRY(handle_need(log, "topic", topic));
    int rc = partition_get(log->log, topic, partition, &verified, &diag);
    if (rc == 0)
        rc = partition_verify(verified, found != NULL ? hand_over_finding : NULL, &call, &done,
                              &diag);
    if (report != NULL)
        *report = (weir_verify_report){.segments = done.segments,
                                       .batches = done.batches,
                                       .records = done.records,
                                       .bytes = done.bytes,
                                       .findings = done.findings};
    return handle_result(rc, &diag);
}

int weir_offset_at(weir_log *log, const char *topic, int32_t partition, int64_t timestamp_ms,
                   int64_t *offset)
{
    struct diag diag = {.code = 0};
    struct partition *found;
    int64_t found_timestamp_ms;
    TRY(handle_need(log, "topic", topic));
    TRY(handle_need(log, "offset", offset));
    *offset = -1;
    int rc = partition_get(log->log, topic, partition, &found, &diag);
    if (rc == 0)
        rc = partition_find_time(found, timestamp_ms, offset, &found_timestamp_ms, &diag);
    return handle_result(rc, &diag);
}

int weir_delete_records(weir_log *log, const char *topic, int32_t partition, int64_t before_offset)
{
    struct diag diag = {.code = 0};
    struct partition *found;
    TRY(handle_need(log, "topic", topic));
    int rc = partition_get(log->log, topic, partition, &found, &diag);
    if (rc == 0 && before_offset < -1)
        rc = diag_set(&diag, ERR_INVALID, "before_offset %lld is neither an offset nor -1",
                      (long long)before_offset);
    if (rc == 0) {
        struct partition_offsets offsets;
        partition_offsets(found, &offsets);
        rc = partition_delete_records(found, before_offset == -1 ? offsets.stable : before_offset,
                                      &diag);
    }
    return handle_result(rc, &diag);
}
