/* kafka_request.c: one request: its header, its response's header, its handler's run.
 *
 *   request     size i32, api key i16, version i16, correlation id i32, client id (16-bit length), then tagged fields in flexible versions
 *   response    size i32, correlation id i32, then tagged fields in flexible versions, but for ApiVersions in no version
 *
 * ApiVersions is how a client finds out what else it may send, so a version of it that we do not know is no reason to hang up: its handler sees
 * request->version above the table's and answers in version 0. Any other key or version that is not in the table ends the connection, as with Kafka:
 * there is no body that such a client could read. */
#include "log/kafka/kafka_request.h"

#include <stdlib.h>

static int read_header(struct kafka_request *request, struct diag *diag)
{
    struct wire_reader *in = &request->in;
    *in = wire_reader_over(request->frame, false);
    int16_t key = wire_read_i16(in);
    request->version = wire_read_i16(in);
    request->correlation_id = wire_read_i32(in);
    if (!wire_read_ok(in))
        return diag_set(diag, ERR_CORRUPT, "a request of %zu bytes has no header",
                        request->frame.size);
    request->api = kafka_api_find(key);
    if (request->api == NULL)
        return diag_set(diag, ERR_UNSUPPORTED, "API key %d is not served", key);
    bool known =
        request->version >= request->api->min_served && request->version <= request->api->max;
    if (!known && key != KAFKA_API_VERSIONS)
        return diag_set(diag, ERR_UNSUPPORTED, "%s version %d is not served: %d to %d are",
                        request->api->name, request->version, request->api->min_served,
                        request->api->max);
    in->flexible = known && request->version >= request->api->first_flexible;
    request->client_id = wire_read_client_id(in);
    wire_read_tags(in);
    if (known && !wire_read_ok(in))
        return diag_set(diag, ERR_CORRUPT, "the header of a %s request: %s", request->api->name,
                        in->reason);
    return 0;
}

static struct kafka_request *request_over(const struct buf *frame)
{
    struct kafka_request *request = calloc(1, sizeof *request);
    if (request != NULL)
        request->frame = bytes_of(frame->data, frame->size);
    return request;
}

static void take_frame(struct kafka_request *request, struct buf *frame)
{
    request->frame_memory = *frame;
    *frame = (struct buf){0};
    arena_init(&request->arena, KAFKA_ARENA_FIXED_BYTES + 8 * request->frame.size);
    buf_init(&request->out, KAFKA_RESPONSE_BYTES);
    atomic_init(&request->holds, 0);
}

int kafka_request_create(struct buf *frame, struct kafka_request **request, struct diag *diag)
{
    struct kafka_request *made = request_over(frame);
    *request = NULL;
    if (made == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for a request");
    int rc = read_header(made, diag);
    if (rc < 0) {
        free(made);
        return rc;
    }
    take_frame(made, frame);
    *request = made;
    return 0;
}

int kafka_request_create_token(struct buf *frame, struct kafka_request **request)
{
    struct kafka_request *made = request_over(frame);
    *request = made;
    if (made == NULL)
        return ERR_NOMEM;
    made->api = &kafka_sasl_token;
    take_frame(made, frame);
    return 0;
}

void kafka_request_free(struct kafka_request *request)
{
    if (request->release != NULL)
        request->release(request);
    kafka_request_drop_pieces(request);
    buf_deinit(&request->frame_memory);
    buf_deinit(&request->out);
    arena_deinit(&request->arena);
    free(request);
}

void kafka_request_begin_response(struct kafka_request *request)
{
    bool flexible = request->version >= request->api->first_flexible;
    buf_clear(&request->out);
    kafka_request_drop_pieces(request);
    request->writer = (struct wire_writer){&request->out, flexible};
    wire_write_i32(&request->writer, 0); /* the size, when it is known */
    if (request->api->key == KAFKA_SASL_TOKEN)
        return;
    wire_write_i32(&request->writer, request->correlation_id);
    if (request->api->key != KAFKA_API_VERSIONS)
        wire_write_tags(&request->writer);
}

void kafka_request_complete(struct kafka_request *request)
{
    if (!buf_ok(&request->out)) {
        request->result = KAFKA_CLOSE;
        request->reason = "the response is too large, or there is no memory for it";
        return;
    }
    store_be32(request->out.data, (uint32_t)(request->out.size + request->pieces_bytes - 4));
}

bool kafka_request_run(struct kafka_request *request)
{
    kafka_handler run = request->park.resume != NULL ? request->park.resume : request->api->handle;
    bool has_effect =
        request->park.lets_pass; /* another request may change the session meanwhile */
    request->park = (struct kafka_park){0};
    kafka_request_begin_response(request);
    if (!has_effect)
        kafka_access_begin(request);
    struct acl_rules *rules = has_effect ? NULL : kafka_access_rules(request);
    enum kafka_result result = run(request);
    acl_rules_give_back(rules);
    if (result == KAFKA_CALLBACK)
        return true;
    request->result = result;
    if (result == KAFKA_ANSWER || result == KAFKA_LAST)
        kafka_request_complete(request);
    if (request->result == KAFKA_CLOSE && request->reason == NULL)
        request->reason =
            request->in.reason != NULL ? request->in.reason : "the request makes no sense";
    return false;
}

/* ---- what handlers share ---- */

char *kafka_request_text(struct kafka_request *request, struct bytes text)
{
    if (text.size > 0 && memchr(text.data, 0, text.size) != NULL)
        return NULL;
    char *copy = arena_alloc_aligned(&request->arena, text.size + 1, 1);
    if (copy == NULL)
        return NULL;
    if (text.size > 0)
        memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    return copy;
}

enum kafka_error kafka_topic_name(struct bytes text, char name[250])
{
    if (text.data == NULL || text.size >= 250 || memchr(text.data, 0, text.size) != NULL)
        return KAFKA_INVALID_TOPIC;
    memcpy(name, text.data, text.size);
    name[text.size] = '\0';
    return topic_name_check(name, NULL) == 0 ? KAFKA_NONE : KAFKA_INVALID_TOPIC;
}

enum kafka_error kafka_partition(struct kafka_request *request, struct bytes topic, int32_t index,
                                 struct partition **partition)
{
    char name[250];
    enum kafka_error error = KAFKA_NONE;
    if (request->api->rights.topic != 0)
        error = kafka_check_topic(request, topic);
    if (error != KAFKA_NONE)
        return error;
    if (kafka_topic_name(topic, name) != KAFKA_NONE)
        return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    return kafka_error_of(partition_get(request->log, name, index, partition, NULL));
}

enum kafka_error kafka_partition_for_writing(struct kafka_request *request, struct bytes topic,
                                             int32_t index, struct partition **partition)
{
    enum kafka_error error = kafka_partition(request, topic, index, partition);
    return error == KAFKA_NONE && partition_is_internal(*partition) ? KAFKA_INVALID_TOPIC : error;
}

enum kafka_error kafka_check_leader_epoch(struct partition *partition, int32_t epoch)
{
    int32_t ours = partition_leader_epoch(partition);
    if (epoch < 0 || epoch == ours)
        return KAFKA_NONE;
    return epoch < ours ? KAFKA_FENCED_LEADER_EPOCH : KAFKA_UNKNOWN_LEADER_EPOCH;
}

enum kafka_error kafka_topic_by_id(struct kafka_request *request, struct uuid id,
                                   struct topic_info *info)
{
    int code = topic_describe_id(request->log, id, info, NULL);
    return code == ERR_NOT_FOUND ? KAFKA_UNKNOWN_TOPIC_ID : kafka_error_of(code);
}
