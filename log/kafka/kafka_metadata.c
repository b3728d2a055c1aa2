/* kafka_metadata.c: Metadata (key 3, versions 0 to 12): where the broker is, and which topics and partitions there are.
 *
 *   request   array of {v10+: id uuid, name (v10+: nullable), tags}; v4+: may create bool; v8–10: cluster operations bool; v8+: topic operations
 *             bool; tags. Null asks for all topics; before v1 an empty array does
 *   response  v3+: throttle time i32; brokers {node i32, host, port i32, v1+: rack, tags}; v2+: cluster id; v1+: controller i32;
 *             topics {error i16, name, v10+: id, v1+: internal bool, partitions {error i16, index i32, leader i32, v7+: leader epoch i32,
 *             replicas [i32], in sync [i32], v5+: offline [i32], tags}, v8+: operations i32, tags}; v8–10: operations i32; tags
 *
 * There is one broker, which leads every partition. A topic that is missing is created on the way, when the client lets us (before v4 every client
 * does) and the server was not told otherwise, and is there in the answer: no client has to ask twice. Each topic is answered once, however
 * often a request names it. */
#include "log/kafka/kafka_handlers.h"

#include <stdlib.h>

struct asked_topic {
    struct uuid id;
    struct bytes name; /* data NULL: asked by id, which counts wherever there is one */
};
struct asked {
    struct asked_topic *topics;
    int32_t count; /* -1: all */
    bool may_create, topic_operations, cluster_operations;
};

static bool is_nobody(struct uuid id)
{
    static const struct uuid zero;
    return memcmp(id.bytes, zero.bytes, sizeof id.bytes) == 0;
}

static bool read_topics(struct kafka_request *request, struct asked *asked)
{
    struct wire_reader *in = &request->in;
    bool has_ids = request->version >= 10;
    size_t item_bytes = has_ids ? 18 : 2;
    asked->count = request->version >= 1 ? wire_read_nullable_array(in, item_bytes)
                                         : wire_read_array(in, item_bytes);
    if (request->version == 0 && asked->count == 0 && wire_read_ok(in))
        asked->count = -1;
    if (asked->count <= 0)
        return true;
    asked->topics = arena_zalloc(&request->arena, (size_t)asked->count * sizeof *asked->topics);
    if (asked->topics == NULL) {
        wire_read_fail(in, "too many topics");
        return false;
    }
    for (int32_t i = 0; i < asked->count; i++) {
        struct asked_topic *topic = &asked->topics[i];
        if (has_ids)
            topic->id = wire_read_uuid(in);
        topic->name = has_ids ? wire_read_nullable_string(in) : wire_read_string(in);
        if (!is_nobody(topic->id))
            topic->name.data = NULL; /* Java's admin asks by id with an empty name */
        wire_read_tags(in);
    }
    return true;
}

static bool read_request(struct kafka_request *request, struct asked *asked)
{
    struct wire_reader *in = &request->in;
    *asked = (struct asked){.may_create = true};
    if (!read_topics(request, asked))
        return false;
    if (request->version >= 4)
        asked->may_create = wire_read_bool(in);
    if (request->version >= 8 && request->version <= 10)
        asked->cluster_operations = wire_read_bool(in);
    if (request->version >= 8)
        asked->topic_operations = wire_read_bool(in);
    wire_read_tags(in);
    return wire_read_ok(in);
}

static int compare_asked(const void *left, const void *right)
{
    const struct asked_topic *a = left, *b = right;
    if ((a->name.data == NULL) != (b->name.data == NULL))
        return a->name.data == NULL ? -1 : 1;
    return a->name.data == NULL ? memcmp(a->id.bytes, b->id.bytes, sizeof a->id.bytes)
                                : bytes_compare(a->name, b->name);
}

/* ---- the response ---- */

static void write_partition(struct kafka_request *request, const char *topic, int32_t index)
{
    struct wire_writer *w = &request->writer;
    struct partition *partition = NULL;
    int code = partition_get(request->log, topic, index, &partition, NULL);
    wire_write_i16(w, (int16_t)kafka_error_of(code));
    wire_write_i32(w, index);
    wire_write_i32(w, KAFKA_NODE_ID);
    if (request->version >= 7)
        wire_write_i32(w, partition == NULL ? -1 : partition_leader_epoch(partition));
    for (int i = 0; i < 2; i++) { /* replicas, in sync */
        wire_write_array(w, 1);
        wire_write_i32(w, KAFKA_NODE_ID);
    }
    if (request->version >= 5)
        wire_write_array(w, 0);
    wire_write_tags(w);
}

/* One topic; info NULL: there is none, for the reason in error. */
static void write_topic(struct kafka_request *request, const struct asked *asked,
                        enum kafka_error error, const struct asked_topic *topic,
                        const struct topic_info *info)
{
    struct wire_writer *w = &request->writer;
    struct bytes name = info != NULL ? bytes_text(info->name) : topic->name;
    wire_write_i16(w, (int16_t)error);
    if (name.data == NULL && request->version < 12)
        name = bytes_text(""); /* not nullable yet */
    wire_write_string(w, name);
    if (request->version >= 10)
        wire_write_uuid(w, info != NULL ? info->id : topic->id);
    if (request->version >= 1)
        wire_write_bool(w, info != NULL && info->internal);
    wire_write_array(w, info == NULL ? 0 : info->partitions);
    for (int32_t i = 0; info != NULL && i < info->partitions; i++)
        write_partition(request, info->name, i);
    if (request->version >= 8)
        wire_write_i32(w, asked->topic_operations && info != NULL
                              ? kafka_operations(request, ACL_TOPIC, name)
                              : KAFKA_OPERATIONS_NOT_ASKED);
    wire_write_tags(w);
}

static enum kafka_error find_by_name(struct kafka_request *request, const struct asked *asked,
                                     struct bytes text, struct topic_info *info)
{
    char name[250];
    struct diag diag = {0};
    enum kafka_error error = kafka_check_topic(request, text);
    if (error != KAFKA_NONE)
        return error;
    if (kafka_topic_name(text, name) != KAFKA_NONE)
        return KAFKA_INVALID_TOPIC;
    int code = topic_describe(request->log, name, info, NULL);
    if (code != ERR_NOT_FOUND || !asked->may_create || request->options->refuses_new_topics)
        return kafka_error_of(code);
    if (!kafka_may_create(request, text))
        return KAFKA_TOPIC_AUTHORIZATION_FAILED;
    int32_t partitions = request->options->new_topic_partitions;
    code = topic_create(request->log, name, partitions > 0 ? partitions : 1, NULL, 0, &diag);
    if (code < 0 && code != ERR_EXISTS) {
        log_line('W', "kafka: cannot create topic %s for %s: %s", name, request->peer_host,
                 diag.text);
        return kafka_error_of(code);
    }
    return kafka_error_of(topic_describe(request->log, name, info, NULL));
}

/* An id is no secret, the name is. */
static enum kafka_error find_by_id(struct kafka_request *request, struct uuid id,
                                   struct topic_info *info)
{
    enum kafka_error error = kafka_topic_by_id(request, id, info);
    return error == KAFKA_NONE ? kafka_check_topic(request, bytes_text(info->name)) : error;
}

/* How many topics the answer has: the array's length comes before them. */
static int32_t drop_repeated(struct asked *asked)
{
    int32_t kept = 0;
    if (asked->count > 1)
        qsort(asked->topics, (size_t)asked->count, sizeof *asked->topics, compare_asked);
    for (int32_t i = 0; i < asked->count; i++)
        if (kept == 0 || compare_asked(&asked->topics[kept - 1], &asked->topics[i]) != 0)
            asked->topics[kept++] = asked->topics[i];
    return kept;
}

static void write_asked_topics(struct kafka_request *request, struct asked *asked)
{
    asked->count = drop_repeated(asked);
    wire_write_array(&request->writer, asked->count);
    for (int32_t i = 0; i < asked->count && buf_ok(&request->out); i++) {
        struct topic_info info;
        struct asked_topic *topic = &asked->topics[i];
        enum kafka_error error = topic->name.data != NULL
                                     ? find_by_name(request, asked, topic->name, &info)
                                     : find_by_id(request, topic->id, &info);
        write_topic(request, asked, error, topic, error == KAFKA_NONE ? &info : NULL);
    }
}

/* Those that the client may know of. */
static size_t keep_allowed(struct kafka_request *request, struct topic_info *list, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (kafka_check_topic(request, bytes_text(list[i].name)) == KAFKA_NONE)
            list[kept++] = list[i];
    return kept;
}

static bool write_all_topics(struct kafka_request *request, const struct asked *asked)
{
    struct topic_info *list = NULL;
    size_t count = 0;
    if (topic_list(request->log, &list, &count) < 0)
        return false;
    if (request->access.asks)
        count = keep_allowed(request, list, count);
    wire_write_array(&request->writer, (int32_t)count);
    for (size_t i = 0; i < count && buf_ok(&request->out); i++)
        write_topic(request, asked, KAFKA_NONE, NULL, &list[i]);
    free(list);
    return true;
}

static int write_cluster(struct kafka_request *request)
{
    struct wire_writer *w = &request->writer;
    struct uuid cluster;
    char cluster_text[23];
    TRY(log_cluster_id(request->log, &cluster, NULL));
    uuid_text(cluster, cluster_text);
    if (request->version >= 3)
        wire_write_i32(w, 0);
    wire_write_array(w, 1);
    wire_write_i32(w, KAFKA_NODE_ID);
    wire_write_text(w, request->advertised_host);
    wire_write_i32(w, request->advertised_port);
    if (request->version >= 1)
        wire_write_text(w, NULL);
    wire_write_tags(w);
    if (request->version >= 2)
        wire_write_text(w, cluster_text);
    if (request->version >= 1)
        wire_write_i32(w, KAFKA_NODE_ID);
    return 0;
}

enum kafka_result kafka_handle_metadata(struct kafka_request *request)
{
    struct wire_writer *w = &request->writer;
    struct asked asked;
    if (!read_request(request, &asked))
        return KAFKA_CLOSE;
    bool written = write_cluster(request) == 0;
    if (written && asked.count >= 0)
        write_asked_topics(request, &asked);
    else if (written)
        written = write_all_topics(request, &asked);
    if (!written) {
        request->reason = "the topics cannot be listed";
        return KAFKA_CLOSE;
    }
    if (request->version >= 8 && request->version <= 10)
        wire_write_i32(w, asked.cluster_operations ? kafka_cluster_operations(request)
                                                   : KAFKA_OPERATIONS_NOT_ASKED);
    wire_write_tags(w);
    return KAFKA_ANSWER;
}
