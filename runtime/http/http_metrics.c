/* http_metrics.c: /metrics: what the pipelines tell (weir_app_metrics), and the log in the words of kafka_exporter.
 *
 * Dashboards and alerts that were made for Kafka read these names and labels, so that they are kafka_exporter's to the letter: consumergroup,
 * topic, partition; a group without an offset in a partition has neither offset nor lag there. Here one broker, number 0, leads every
 * partition. Offsets come from memory; no file is looked at.
 *
 * One list of topics and one of groups is taken first, and every family is written from them, whole, as OpenMetrics wants it. What has
 * been deleted meanwhile is left out. */
#include <stdlib.h>

#include "runtime/base/utf8.h"
#include "runtime/http/http_internal.h"
#include "runtime/weir_handle.h"

static const struct http_media openmetrics = {"application/openmetrics-text", "1.0.0 0.0.1"},
                               plain_text = {"text/plain", "0.0.4"};

struct topic_reading {
    const weir_topic_info *info;
    struct range {
        int64_t start, end; /* end -1: the partition cannot be read */
    } * ranges;
};
struct group_reading {
    const weir_group_info *info;
    weir_group_lag *rows;
    size_t row_count;
};
struct reading {
    weir_topic_info *topic_infos;
    weir_group_info *group_infos;
    struct topic_reading *topics;
    struct group_reading *groups;
    size_t topic_count, group_count;
};

/* ---- reading ---- */

static int read_topic(weir_log *log, const weir_topic_info *info, struct topic_reading *topic)
{
    topic->info = info;
    topic->ranges = calloc((size_t)info->partitions + 1, sizeof *topic->ranges);
    if (topic->ranges == NULL)
        return WEIR_ENOMEM;
    for (int32_t p = 0; p < info->partitions; p++)
        if (handle_partition_range(log, info->name, p, &topic->ranges[p].start,
                                   &topic->ranges[p].end) < 0)
            topic->ranges[p].end = -1;
    return 0;
}

static int read_log(weir_log *log, struct reading *reading)
{
    TRY(weir_topic_list(log, &reading->topic_infos, &reading->topic_count));
    TRY(weir_group_list(log, &reading->group_infos, &reading->group_count));
    reading->topics = calloc(reading->topic_count + 1, sizeof *reading->topics);
    reading->groups = calloc(reading->group_count + 1, sizeof *reading->groups);
    if (reading->topics == NULL || reading->groups == NULL)
        return WEIR_ENOMEM;
    for (size_t i = 0; i < reading->topic_count; i++)
        TRY(read_topic(log, &reading->topic_infos[i], &reading->topics[i]));
    for (size_t i = 0; i < reading->group_count; i++) {
        struct group_reading *group = &reading->groups[i];
        group->info = &reading->group_infos[i];
        int rc = weir_group_describe(log, group->info->name, NULL, &group->rows, &group->row_count);
        if (rc < 0 && rc != WEIR_ENOTFOUND)
            return rc;
    }
    return 0;
}

static void reading_deinit(struct reading *reading)
{
    for (size_t i = 0; reading->topics != NULL && i < reading->topic_count; i++)
        free(reading->topics[i].ranges);
    for (size_t i = 0; reading->groups != NULL && i < reading->group_count; i++)
        weir_free(reading->groups[i].rows);
    free(reading->topics);
    free(reading->groups);
    weir_free(reading->topic_infos);
    weir_free(reading->group_infos);
}

/* ---- families ---- */

static void put_head(struct buf *out, const char *name, const char *help)
{
    buf_printf(out, "# TYPE %s gauge\n# HELP %s %s\n", name, name, help);
}

/* Topics are of [A-Za-z0-9._-]; what a group is called, anybody chose. */
static void put_label(struct buf *out, const char *name, const char *text)
{
    struct buf clean = {0};
    utf8_repair(&clean, bytes_text(text));
    buf_printf(out, "%s=\"", name);
    for (size_t i = 0; i < clean.size; i++) {
        if (clean.data[i] == '\n')
            buf_printf(out, "\\n");
        else if (clean.data[i] == '"' || clean.data[i] == '\\')
            buf_printf(out, "\\%c", clean.data[i]);
        else
            buf_u8(out, clean.data[i]);
    }
    buf_u8(out, '"');
    out->failed = out->failed || clean.failed;
    buf_deinit(&clean);
}

static int64_t end_of(const struct range *range)
{
    return range->end;
}
static int64_t start_of(const struct range *range)
{
    return range->start;
}
static int64_t zero(const struct range *range)
{
    (void)range;
    return 0;
}
static int64_t one(const struct range *range)
{
    (void)range;
    return 1;
}

static const struct partition_family {
    const char *name, *help;
    int64_t (*value)(const struct range *range);
} partition_families[] = {
    {"kafka_topic_partition_current_offset", "Current Offset of a Broker at Topic/Partition",
     end_of},
    {"kafka_topic_partition_oldest_offset", "Oldest Offset of a Broker at Topic/Partition",
     start_of},
    {"kafka_topic_partition_leader", "Leader Broker ID of this Topic/Partition", zero},
    {"kafka_topic_partition_leader_is_preferred",
     "1 if Topic/Partition is using the Preferred Broker", one},
    {"kafka_topic_partition_replicas", "Number of Replicas for this Topic/Partition", one},
    {"kafka_topic_partition_in_sync_replica", "Number of In-Sync Replicas for this Topic/Partition",
     one},
    {"kafka_topic_partition_under_replicated_partition", "1 if Topic/Partition is under Replicated",
     zero},
};

static int put_topics(struct http_exchange *exchange, const struct reading *reading,
                      struct diag *diag)
{
    struct buf *out = &exchange->out;
    put_head(out, "kafka_topic_partitions", "Number of partitions for this Topic");
    for (size_t i = 0; i < reading->topic_count; i++)
        buf_printf(out, "kafka_topic_partitions{topic=\"%s\"} %d\n", reading->topics[i].info->name,
                   (int)reading->topics[i].info->partitions);
    for (size_t f = 0; f < sizeof partition_families / sizeof *partition_families; f++) {
        const struct partition_family *family = &partition_families[f];
        put_head(out, family->name, family->help);
        for (size_t i = 0; i < reading->topic_count; i++)
            for (int32_t p = 0; p < reading->topics[i].info->partitions; p++)
                if (reading->topics[i].ranges[p].end >= 0)
                    buf_printf(out, "%s{topic=\"%s\",partition=\"%d\"} %lld\n", family->name,
                               reading->topics[i].info->name, (int)p,
                               (long long)family->value(&reading->topics[i].ranges[p]));
        TRY(http_take_room(exchange, diag));
    }
    return 0;
}

/* committed: the offset, else the lag. */
static void put_group_rows(struct buf *out, const struct reading *reading, const char *name,
                           const char *help, bool committed)
{
    put_head(out, name, help);
    for (size_t i = 0; i < reading->group_count; i++) {
        const struct group_reading *group = &reading->groups[i];
        for (size_t r = 0; r < group->row_count; r++) {
            const weir_group_lag *row = &group->rows[r];
            if (row->committed_offset < 0)
                continue;
            buf_printf(out, "%s{", name);
            put_label(out, "consumergroup", group->info->name);
            buf_printf(out, ",topic=\"%s\",partition=\"%d\"} %lld\n", row->topic,
                       (int)row->partition,
                       (long long)(committed ? row->committed_offset : row->lag));
        }
    }
}

/* Rows of a group come topic by topic. */
static void put_group_sums(struct buf *out, const struct reading *reading, const char *name,
                           const char *help, bool committed)
{
    put_head(out, name, help);
    for (size_t i = 0; i < reading->group_count; i++) {
        const struct group_reading *group = &reading->groups[i];
        int64_t sum = 0;
        bool has_offset = false;
        for (size_t r = 0; r < group->row_count; r++) {
            const weir_group_lag *row = &group->rows[r];
            bool is_last = r + 1 == group->row_count || strcmp(row[1].topic, row->topic) != 0;
            has_offset |= row->committed_offset >= 0;
            if (row->committed_offset >= 0)
                sum += committed ? row->committed_offset : row->lag;
            if (is_last && has_offset) {
                buf_printf(out, "%s{", name);
                put_label(out, "consumergroup", group->info->name);
                buf_printf(out, ",topic=\"%s\"} %lld\n", row->topic, (long long)sum);
            }
            sum = is_last ? 0 : sum;
            has_offset = has_offset && !is_last;
        }
    }
}

static void put_groups(struct buf *out, const struct reading *reading)
{
    put_group_rows(out, reading, "kafka_consumergroup_current_offset",
                   "Current Offset of a ConsumerGroup at Topic/Partition", true);
    put_group_sums(out, reading, "kafka_consumergroup_current_offset_sum",
                   "Current Offset of a ConsumerGroup at Topic for all partitions", true);
    put_group_rows(out, reading, "kafka_consumergroup_lag",
                   "Current Approximate Lag of a ConsumerGroup at Topic/Partition", false);
    put_group_sums(out, reading, "kafka_consumergroup_lag_sum",
                   "Current Approximate Lag of a ConsumerGroup at Topic for all partitions", false);
    put_head(out, "kafka_consumergroup_members", "Amount of members in a consumer group");
    for (size_t i = 0; i < reading->group_count; i++) {
        buf_printf(out, "kafka_consumergroup_members{");
        put_label(out, "consumergroup", reading->groups[i].info->name);
        buf_printf(out, "} %d\n", (int)reading->groups[i].info->members);
    }
}

/* ---- the answer ---- */

/* What the app tells, without its last line. */
static int put_app(struct buf *out, weir_app *app)
{
    static const char end[] = "# EOF\n";
    char *text;
    if (app == NULL)
        return 0;
    TRY(weir_app_metrics(app, &text));
    size_t size = strlen(text), tail = sizeof end - 1;
    if (size >= tail && strcmp(text + size - tail, end) == 0)
        size -= tail;
    buf_append(out, text, size);
    weir_free(text);
    return 0;
}

static void put_as_text(struct http_exchange *exchange)
{
    struct buf text = {0};
    http_metrics_as_text(bytes_of(exchange->out.data, exchange->out.size), &text);
    text.failed = text.failed || exchange->out.failed;
    buf_deinit(&exchange->out);
    exchange->out = text;
    exchange->content_type = "text/plain; version=0.0.4; charset=utf-8";
}

void http_get_metrics(struct http_exchange *exchange)
{
    struct reading reading = {0};
    struct diag diag = {.code = 0};
    struct buf *out = &exchange->out;
    int rc = put_app(out, exchange->http->app);
    if (rc == 0)
        rc = read_log(exchange->http->log, &reading);
    if (rc < 0)
        diag_set(&diag, rc, "%s", weir_log_error());
    if (rc == 0)
        rc = http_take_room(exchange, &diag);
    if (rc == 0) {
        put_head(out, "kafka_brokers", "Number of Brokers in the Kafka Cluster");
        buf_printf(out, "kafka_brokers 1\n");
        rc = put_topics(exchange, &reading, &diag);
    }
    if (rc == 0) {
        exchange->content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        put_groups(out, &reading);
        if (exchange->http->metrics != NULL)
            exchange->http->metrics(exchange->http->metrics_context, out);
        buf_printf(out, "# EOF\n");
        if (http_prefers(exchange->accept, &plain_text, &openmetrics))
            put_as_text(exchange);
    } else {
        http_fail_code(exchange, rc, diag.text);
    }
    reading_deinit(&reading);
}
