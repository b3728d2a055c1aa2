/* remote_sink.c: records to a topic behind a server (sink.h), through librdkafka's idempotent producer: each is written once, in order, and
 * acknowledged by all replicas; weir's acknowledgement means that it is on stable storage.
 *
 * Keys go where Kafka's Java clients and weir put them (murmur2); records without a key go anywhere.
 *
 * A server refuses whole batches. So what it would refuse a single record for is looked at here, where its line is known: a record without a key for a
 * compacted topic, a time too far back, a size. What it refuses all the same is lost from the batch's first line on. A server that
 * has gone away is waited for as long as reach.timeout_ms says; then all that it has not acknowledged is lost. */
#include "runtime/base/clock.h"
#include "runtime/cli/remote.h"
#include "runtime/cli/sink.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    SLICE_MS = 100,
    SERVE_RECORDS = 1000,          /* reports are taken after so many */
    RECORD_BYTES_MAX = 1000000000, /* librdkafka's limit */
    WAITING_KB = 256 << 10,
    RETRY_MS = 100, /* librdkafka's retry.backoff.ms */
};

struct remote_sink {
    struct sink base;
    struct remote *remote;
    rd_kafka_t *handle;
    rd_kafka_topic_t *topic;
    bool needs_keys;
    int64_t before_max_ms; /* INT64_MAX: times may be as old as they like */
    uint32_t sent_count;
    struct diag failure; /* code 0: none */
};

static struct remote_sink *of(struct sink *sink)
{
    return (struct remote_sink *)sink;
}

static void on_report(rd_kafka_t *handle, const rd_kafka_message_t *message, void *opaque)
{
    struct remote_sink *s = ((struct remote *)opaque)->sink;
    (void)handle;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    if (s->failure.code == 0) {
        /* rd_kafka_message_errstr of what was to be sent is its value. */
        int code = remote_error(s->remote, message->err, s->base.options.topic, NULL, &s->failure);
        if (code == ERR_INVALID || code == ERR_TOO_LARGE)
            s->failure.code = ERR_STATE; /* it is not about the record that is sent next */
    }
    s->base.options.lost(s->base.options.context, (int64_t)(uintptr_t)message->_private,
                         &s->failure);
}

/* Takes reports. What has failed, or that the server is gone. */
static int serve(struct remote_sink *s, int wait_ms, struct diag *diag)
{
    rd_kafka_poll(s->handle, wait_ms);
    if (s->failure.code == 0)
        remote_check(s->remote, s->handle, &s->failure);
    if (s->failure.code < 0)
        *diag = s->failure;
    return s->failure.code;
}

static int check_record(const struct remote_sink *s, int64_t timestamp_ms, struct bytes key,
                        struct diag *diag)
{
    if (s->needs_keys && key.data == NULL)
        return diag_set(diag, ERR_INVALID,
                        "a record for %s has no key: in a compacted topic (cleanup.policy) every "
                        "record needs one",
                        s->base.options.topic);
    if (s->before_max_ms == INT64_MAX || timestamp_ms == INT64_MIN ||
        timestamp_ms >= clock_wall_ms() - s->before_max_ms)
        return 0;
    return diag_set(diag, ERR_INVALID,
                    "a timestamp of %" PRId64 " for %s is more than %" PRId64
                    " ms behind the clock (message.timestamp.before.max.ms)",
                    timestamp_ms, s->base.options.topic, s->before_max_ms);
}

static rd_kafka_resp_err_t hand_over(struct remote_sink *s, int64_t timestamp_ms, struct bytes key,
                                     struct bytes value, int64_t line)
{
    return rd_kafka_producev(s->handle, RD_KAFKA_V_RKT(s->topic),
                             RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                             RD_KAFKA_V_KEY(key.data, key.size),
                             RD_KAFKA_V_VALUE((void *)(uintptr_t)value.data, value.size),
                             RD_KAFKA_V_TIMESTAMP(timestamp_ms == INT64_MIN ? 0 : timestamp_ms),
                             RD_KAFKA_V_OPAQUE((void *)(uintptr_t)line), RD_KAFKA_V_END);
}

static int send_record(struct sink *sink, int64_t timestamp_ms, struct bytes key,
                       struct bytes value, int64_t line, struct diag *diag)
{
    struct remote_sink *s = of(sink);
    TRY(check_record(s, timestamp_ms, key, diag));
    if (s->sent_count++ % SERVE_RECORDS == 0)
        TRY(serve(s, 0, diag));
    rd_kafka_resp_err_t error;
    while ((error = hand_over(s, timestamp_ms, key, value, line)) == RD_KAFKA_RESP_ERR__QUEUE_FULL)
        TRY(serve(s, SLICE_MS, diag));
    return error == RD_KAFKA_RESP_ERR_NO_ERROR
               ? 0
               : remote_error(s->remote, error, sink->options.topic, NULL, diag);
}

/* It waits a few milliseconds for more at most, and leaves by itself. */
static int hurry(struct sink *sink, struct diag *diag)
{
    return serve(of(sink), 0, diag);
}

static int finish(struct sink *sink, struct diag *diag)
{
    struct remote_sink *s = of(sink);
    while (rd_kafka_outq_len(s->handle) > 0) {
        rd_kafka_flush(s->handle, SLICE_MS);
        TRY(serve(s, 0, diag));
    }
    return serve(s, 0, diag);
}

/* Requests that are out are given up with the rest: what becomes of them nobody knows, and their lines count as lost. */
static int give_up(struct sink *sink, const struct diag *reason, struct diag *diag)
{
    struct remote_sink *s = of(sink);
    int64_t until_ms = clock_mono_ms() + s->remote->reach.timeout_ms;
    (void)diag;
    if (s->failure.code == 0)
        s->failure = *reason;
    if (reason->code != ERR_TIMEOUT) /* the server is there, and answers for what has left */
        while (rd_kafka_outq_len(s->handle) > 0 && clock_mono_ms() < until_ms)
            rd_kafka_flush(s->handle, SLICE_MS);
    rd_kafka_purge(s->handle, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    while (rd_kafka_outq_len(s->handle) > 0 && clock_mono_ms() < until_ms)
        rd_kafka_flush(s->handle, SLICE_MS);
    return 0;
}

static void close_sink(struct sink *sink)
{
    struct remote_sink *s = of(sink);
    if (s->topic != NULL)
        rd_kafka_topic_destroy(s->topic);
    if (s->handle != NULL)
        rd_kafka_destroy(s->handle);
    s->remote->sink = NULL;
    free(s);
}

static const struct sink_ops remote_sink_ops = {
    .send = send_record,
    .hurry = hurry,
    .finish = finish,
    .give_up = give_up,
    .close = close_sink,
};

static int create_handle(struct remote_sink *s, struct diag *diag)
{
    static const char *const codecs[] = {"none", "gzip", "snappy", "lz4", "zstd"};
    char batch[24], largest[24], waiting[24], retries[24];
    const struct sink_options *options = &s->base.options;
    int64_t max_bytes = options->max_message_bytes;
    rd_kafka_conf_t *conf = remote_conf(s->remote, diag);
    if (conf == NULL)
        return ERR_INVALID;
    max_bytes = max_bytes < 1000               ? 1000
                : max_bytes > RECORD_BYTES_MAX ? RECORD_BYTES_MAX
                                               : max_bytes;
    snprintf(batch, sizeof batch, "%zu", options->batch_bytes > 0 ? options->batch_bytes : 1);
    snprintf(largest, sizeof largest, "%lld", (long long)max_bytes);
    snprintf(waiting, sizeof waiting, "%d", WAITING_KB);
    remote_set(conf, "client.id", "weir-produce");
    remote_set(conf, "enable.idempotence", "true");
    remote_set(conf, "compression.codec", codecs[options->codec]);
    remote_set(conf, "message.max.bytes", largest);
    remote_set(conf, "batch.size", batch);
    remote_set(conf, "queue.buffering.max.kbytes", waiting);
    remote_set(conf, "queue.buffering.max.messages", "1000000");
    remote_set(conf, "linger.ms", "5");
    /* A server that is there and refuses, since its disk is full, is asked again for as long as one that is not there. */
    snprintf(retries, sizeof retries, "%d", 1 + s->remote->reach.timeout_ms / RETRY_MS);
    remote_set(conf, "message.send.max.retries", retries);
    rd_kafka_conf_set_dr_msg_cb(conf, on_report);
    return remote_create(RD_KAFKA_PRODUCER, conf, &s->handle, diag);
}

static int create_topic_handle(struct remote_sink *s, struct diag *diag)
{
    char text[512];
    rd_kafka_topic_conf_t *conf = rd_kafka_topic_conf_new();
    if (rd_kafka_topic_conf_set(conf, "partitioner", "murmur2_random", text, sizeof text) ==
        RD_KAFKA_CONF_OK)
        s->topic = rd_kafka_topic_new(s->handle, s->base.options.topic, conf);
    return s->topic != NULL ? 0 : diag_set(diag, ERR_NOMEM, "no memory for a producer");
}

static int read_rules(struct remote_sink *s, struct door *door, struct diag *diag)
{
    char text[64];
    const char *topic = s->base.options.topic;
    TRY(door_config(door, topic, "cleanup.policy", text, sizeof text, diag));
    s->needs_keys = strstr(text, "compact") != NULL;
    s->before_max_ms = INT64_MAX;
    TRY(door_config(door, topic, "message.timestamp.before.max.ms", text, sizeof text, diag));
    if (parse_integer(text, &s->before_max_ms) < 0)
        s->before_max_ms = INT64_MAX;
    TRY(door_config(door, topic, "message.timestamp.type", text, sizeof text, diag));
    if (strcmp(text, "LogAppendTime") == 0)
        s->before_max_ms = INT64_MAX;
    return 0;
}

int remote_sink_open(struct door *door, const struct sink_options *options, struct sink **sink,
                     struct diag *diag)
{
    struct remote_sink *s = calloc(1, sizeof *s);
    if (s == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for a producer");
    s->base = (struct sink){&remote_sink_ops, *options};
    s->remote = door->remote;
    s->remote->sink = s;
    int code = read_rules(s, door, diag);
    if (code == 0)
        code = create_handle(s, diag);
    if (code == 0)
        code = create_topic_handle(s, diag);
    if (code == 0)
        *sink = &s->base;
    else
        close_sink(&s->base);
    return code;
}
