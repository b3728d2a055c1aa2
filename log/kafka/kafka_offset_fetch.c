/* kafka_offset_fetch.c: OffsetFetch (key 9, versions 1 to 9): how far groups have read.
 *
 *   request   v1–7: group, topics (v2+: nullable) {name, [index i32], tags}; v8+: groups {group, v9+: member id (nullable), member epoch i32,
 *             topics (nullable) {name, [index i32], tags}, tags}; v7+: require stable bool; tags
 *   response  v3+: throttle time i32; v1–7: topics {name, partitions {index i32, offset i64, v5+: leader epoch i32, metadata (nullable), error i16,
 *             tags}, tags}, v2+: error i16; v8+: groups {group, topics as above, error i16, tags}; tags
 *
 * Null topics ask for all that the group has committed. What was never committed (or whose group or topic there is none) has offset -1 and no error: clients take an error
 * there for the end of their world. Whoever asks for stable offsets gets error 88 where a transaction that is not decided adds one, and asks again. */
#include "log/kafka/kafka_handlers.h"
#include "log/kafka/kafka_member.h"

#include <stdlib.h>

enum { NO_OFFSET = -1 };

static void write_offset(struct kafka_request *request, int32_t index, int64_t offset,
                         struct bytes metadata, enum kafka_error error)
{
    struct wire_writer *w = &request->writer;
    wire_write_i32(w, index);
    wire_write_i64(w, offset);
    if (request->version >= 5)
        wire_write_i32(w, -1);
    wire_write_string(w, metadata.data != NULL ? metadata : bytes_of("", 0));
    wire_write_i16(w, (int16_t)error);
    wire_write_tags(w);
}

static void answer_partition(struct kafka_request *request, const char *group, struct bytes topic,
                             int32_t index, bool stable)
{
    struct group_offset offset = {.offset = NO_OFFSET};
    char name[250];
    enum kafka_error error = KAFKA_NONE;
    bool known = kafka_topic_name(topic, name) == KAFKA_NONE && group_name_check(group, NULL) == 0;
    if (known && stable && group_offset_pending(request->log, group, name, index) == 1) {
        write_offset(request, index, NO_OFFSET, bytes_of("", 0), KAFKA_UNSTABLE_OFFSET_COMMIT);
        return;
    }
    buf_clear(request->scratch);
    int code =
        known ? group_fetch_metadata(request->log, group, name, index, &offset, request->scratch)
              : 0;
    if (code < 0 && code != ERR_NOT_FOUND)
        error = kafka_group_error_of(code);
    if (code < 0)
        offset = (struct group_offset){.offset = NO_OFFSET};
    write_offset(request, index, offset.offset, offset.metadata, error);
}

/* error: of the group; before version 2 there is no other place for it than each partition. */
static void answer_topics(struct kafka_request *request, const char *group, int32_t topics,
                          bool stable, enum kafka_error group_error)
{
    struct wire_reader *in = &request->in;
    struct wire_writer *w = &request->writer;
    wire_write_array(w, topics);
    for (int32_t t = 0; t < topics && wire_read_ok(in) && buf_ok(&request->out); t++) {
        struct bytes topic = wire_read_string(in);
        int32_t count = wire_read_array(in, 4);
        enum kafka_error error =
            group_error != KAFKA_NONE ? group_error : kafka_check_topic(request, topic);
        wire_write_string(w, topic);
        wire_write_array(w, count);
        for (int32_t i = 0; i < count; i++) {
            int32_t index = wire_read_i32(in);
            if (error != KAFKA_NONE)
                write_offset(request, index, NO_OFFSET, bytes_of("", 0), error);
            else
                answer_partition(request, group, topic, index, stable);
        }
        wire_read_tags(in);
        wire_write_tags(w);
    }
}

static size_t same_topic(const struct group_offset *offsets, size_t count, size_t from)
{
    size_t end = from;
    while (end < count && strcmp(offsets[end].topic, offsets[from].topic) == 0)
        end++;
    return end - from;
}

/* Those of topics that the client may know of. */
static size_t keep_allowed(struct kafka_request *request, struct group_offset *offsets,
                           size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (kafka_check_topic(request, bytes_text(offsets[i].topic)) == KAFKA_NONE)
            offsets[kept++] = offsets[i];
    return kept;
}

/* Everything that the group has committed; the list is sorted. What cannot be read is not nothing: its reader would begin anew. */
static enum kafka_error answer_all(struct kafka_request *request, const char *group, bool stable)
{
    struct wire_writer *w = &request->writer;
    struct group_offset *offsets = NULL;
    size_t count = 0;
    int32_t topics = 0;
    int code = group_name_check(group, NULL) == 0
                   ? group_describe(request->log, group, &offsets, &count)
                   : ERR_NOT_FOUND;
    if (code < 0)
        count = 0;
    if (request->access.asks)
        count = keep_allowed(request, offsets, count);
    for (size_t i = 0; i < count; i += same_topic(offsets, count, i))
        topics++;
    wire_write_array(w, topics);
    for (size_t i = 0, end; i < count; i = end) {
        end = i + same_topic(offsets, count, i);
        wire_write_text(w, offsets[i].topic);
        wire_write_array(w, (int32_t)(end - i));
        for (size_t p = i; p < end; p++)
            answer_partition(request, group, bytes_text(offsets[p].topic), offsets[p].partition,
                             stable);
        wire_write_tags(w);
    }
    free(offsets);
    return code == ERR_NOT_FOUND ? KAFKA_NONE : kafka_group_error_of(code);
}

/* Passes over the topics. */
static void skip_topics(struct kafka_request *request)
{
    struct wire_reader *in = &request->in;
    int32_t topics = request->version >= 2 ? wire_read_nullable_array(in, in->flexible ? 3 : 6)
                                           : wire_read_array(in, 6);
    for (int32_t t = 0; t < topics && wire_read_ok(in); t++) {
        wire_read_string(in);
        int32_t count = wire_read_array(in, 4);
        for (int32_t i = 0; i < count; i++)
            wire_read_i32(in);
        wire_read_tags(in);
    }
}

static enum kafka_error answer_group(struct kafka_request *request, const char *group, bool stable)
{
    struct wire_reader *in = &request->in;
    enum kafka_error error = kafka_check_group(request, group);
    if (error != KAFKA_NONE && request->version >= 2) {
        skip_topics(request);
        wire_write_array(&request->writer, 0);
        return error;
    }
    int32_t topics = request->version >= 2 ? wire_read_nullable_array(in, in->flexible ? 3 : 6)
                                           : wire_read_array(in, 6);
    if (topics < 0)
        return answer_all(request, group, stable);
    answer_topics(request, group, topics, stable, error);
    return error;
}

static const char *read_group(struct kafka_request *request)
{
    const char *group = kafka_read_text(request);
    if (request->version >= 9) {
        wire_read_nullable_string(&request->in);
        wire_read_i32(&request->in);
    }
    return group;
}

/* Whether stable offsets are asked for stands behind everything that it is about. */
static bool read_stable(struct kafka_request *request)
{
    struct wire_reader *in = &request->in;
    struct wire_reader body = *in;
    bool stable = false;
    int32_t groups = request->version >= 8 ? wire_read_array(in, 3) : 1;
    for (int32_t i = 0; i < groups && wire_read_ok(in); i++) {
        wire_read_string(in);
        if (request->version >= 9) {
            wire_read_nullable_string(in);
            wire_read_i32(in);
        }
        skip_topics(request);
        if (request->version >= 8)
            wire_read_tags(in);
    }
    if (request->version >= 7)
        stable = wire_read_bool(in);
    wire_read_tags(in);
    if (wire_read_ok(in))
        *in = body;
    return stable;
}

enum kafka_result kafka_handle_offset_fetch(struct kafka_request *request)
{
    struct wire_reader *in = &request->in;
    struct wire_writer *w = &request->writer;
    bool stable = read_stable(request);
    if (!wire_read_ok(in))
        return KAFKA_CLOSE;
    if (request->version >= 3)
        wire_write_i32(w, 0);
    int32_t groups = request->version >= 8 ? wire_read_array(in, 3) : 1;
    if (request->version >= 8)
        wire_write_array(w, groups);
    for (int32_t i = 0; i < groups && wire_read_ok(in) && buf_ok(&request->out); i++) {
        const char *group = read_group(request);
        if (request->version >= 8)
            wire_write_text(w, group);
        enum kafka_error error = answer_group(request, group, stable);
        if (request->version >= 2)
            wire_write_i16(w, (int16_t)error);
        if (request->version >= 8) {
            wire_read_tags(in);
            wire_write_tags(w);
        }
    }
    wire_write_tags(w);
    return wire_read_ok(in) ? KAFKA_ANSWER : KAFKA_CLOSE;
}
