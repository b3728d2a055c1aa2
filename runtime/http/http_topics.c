/* http_topics.c: topics: their names, and of one its partitions and its configuration. */
#include "runtime/http/http_internal.h"

static bool is_shown(const struct http_exchange *exchange, const weir_topic_info *topic,
                     bool shows_internal)
{
    return (shows_internal || !topic->internal) &&
           http_may(exchange, HTTP_TOPIC, topic->name, HTTP_DESCRIBE);
}

/* The page after the cursor, which is the name that the last one ended with. */
void http_get_topics(struct http_exchange *exchange)
{
    struct json *json = &exchange->json;
    weir_topic_info *topics;
    size_t count, i = 0;
    int64_t limit;
    bool shows_internal;
    const char *cursor = http_argument(exchange, "cursor");
    if (!http_argument_limit(exchange, &limit) ||
        !http_argument_truth(exchange, "internal", true, &shows_internal))
        return;
    int rc = weir_topic_list(exchange->http->log, &topics, &count);
    if (rc < 0) {
        http_fail_code(exchange, rc, weir_log_error());
        return;
    }
    const char *last = NULL;
    json_begin(json, '{');
    json_name(json, "topics");
    json_begin(json, '[');
    for (; i < count && limit > 0; i++) {
        const weir_topic_info *topic = &topics[i];
        if ((cursor != NULL && strcmp(topic->name, cursor) <= 0) ||
            !is_shown(exchange, topic, shows_internal))
            continue;
        json_begin(json, '{');
        json_member_text(json, "name", topic->name);
        json_member_text(json, "id", topic->id);
        json_member_int(json, "partitions", topic->partitions);
        json_member_bool(json, "internal", topic->internal);
        json_end(json, '}');
        last = topic->name;
        limit--;
    }
    while (i < count && !is_shown(exchange, &topics[i], shows_internal))
        i++;
    json_end(json, ']');
    json_member_text(json, "next_cursor", i < count ? last : NULL);
    json_end(json, '}');
    weir_free(topics);
}

static void put_partition(struct json *json, weir_log *log, const char *topic, int32_t partition)
{
    weir_partition_info info;
    int rc = weir_partition_describe(log, topic, partition, &info);
    json_begin(json, '{');
    json_member_int(json, "partition", partition);
    if (rc < 0) {
        json_member_text(json, "error", weir_log_error());
        json_end(json, '}');
        return;
    }
    json_member_text(json, "error", info.status < 0 ? info.reason : NULL);
    json_member_int(json, "start_offset", info.start_offset);
    json_member_int(json, "stable_offset", info.stable_offset);
    json_member_int(json, "high_watermark", info.high_watermark);
    json_member_int(json, "end_offset", info.end_offset);
    json_member_int(json, "segments", info.segments);
    json_member_int(json, "bytes", info.bytes + info.other_bytes);
    json_member_time(json, "first_timestamp", info.first_timestamp_ms, WEIR_NO_TIME);
    json_member_time(json, "max_timestamp", info.max_timestamp_ms, WEIR_NO_TIME);
    json_member_time(json, "last_write", info.last_write_ms, WEIR_NO_TIME);
    json_end(json, '}');
}

static int put_configs(struct json *json, weir_log *log, const char *topic)
{
    weir_config_value *values;
    size_t count;
    int rc = weir_topic_configs(log, topic, &values, &count);
    if (rc < 0)
        return rc;
    json_name(json, "config");
    json_begin(json, '{');
    for (size_t i = 0; i < count; i++) {
        json_name(json, values[i].key);
        json_begin(json, '{');
        json_member_text(json, "value", values[i].value);
        json_member_bool(json, "is_set", values[i].is_set);
        json_end(json, '}');
    }
    json_end(json, '}');
    weir_free(values);
    return 0;
}

/* The cursor is the number of the partition that comes next. */
void http_get_topic(struct http_exchange *exchange)
{
    struct json *json = &exchange->json;
    weir_log *log = exchange->http->log;
    const char *topic = exchange->parameters[0];
    weir_topic_info info;
    int64_t limit, from;
    if (!http_argument_limit(exchange, &limit) ||
        !http_argument_number(exchange, "cursor", 0, INT32_MAX, 0, &from))
        return;
    int rc = weir_topic_describe(log, topic, &info);
    if (rc == ERR_NOT_FOUND && !http_may(exchange, HTTP_CLUSTER, NULL, HTTP_DESCRIBE)) {
        http_fail(exchange, 404, NULL, "there is no topic %.250s", topic); /* and no other's name */
        return;
    }
    if (rc < 0) {
        http_fail_code(exchange, rc, weir_log_error());
        return;
    }
    int64_t end = from + limit < info.partitions ? from + limit : info.partitions;
    json_begin(json, '{');
    json_member_text(json, "name", info.name);
    json_member_text(json, "id", info.id);
    json_member_bool(json, "internal", info.internal);
    json_member_int(json, "partition_count", info.partitions);
    json_name(json, "partitions");
    json_begin(json, '[');
    for (int64_t p = from; p < end; p++)
        put_partition(json, log, topic, (int32_t)p);
    json_end(json, ']');
    json_name(json, "next_cursor");
    if (end < info.partitions)
        json_int(json, end);
    else
        json_null(json);
    if (http_may(exchange, HTTP_TOPIC, topic, HTTP_DESCRIBE_CONFIGS))
        rc = put_configs(json, log, topic);
    json_end(json, '}');
    if (rc < 0)
        http_fail_code(exchange, rc, weir_log_error());
}
