/* kafka_offset_commit.c: OffsetCommit (key 8, versions 2 to 9): how far a group has read.
 *
 *   request   group, generation i32, member id, v7+: instance id (nullable), v2–4: retention i64, topics {name, partitions {index i32, offset i64,
 *             v6+: leader epoch i32, metadata (nullable), tags}, tags}, tags
 *   response  v3+: throttle time i32, topics {name, partitions {index i32, error i16, tags}, tags}, tags
 *
 * Durable when it is answered. The right to commit is taken once for the whole request, so that no generation begins in the middle of it; then offsets are
 * written in groups of CHUNK, since one takes twenty times the room here that it takes in the request. Without a member (generation -1) anybody may commit
 * while the group has none. How long offsets are kept is the log's decision (offsets_retention_ms), not the client's. */
#include "log/coordinator.h"
#include "log/kafka/kafka_handlers.h"
#include "log/kafka/kafka_member.h"

#include <stdlib.h>

enum { CHUNK = 512 };

struct committing {
    struct kafka_request *request;
    struct kafka_group_member who;
    enum kafka_error refusal; /* of all of it */
    struct group_offset *offsets;
    size_t error_at[CHUNK]; /* where in the response the error of each stands */
    size_t count;
};

/* Writes what is collected, and what became of it into the response. */
static void flush(struct committing *c)
{
    struct kafka_request *request = c->request;
    if (c->count == 0)
        return;
    int code =
        group_commit_member(request->log, c->who.group, &c->who.member, c->offsets, c->count, NULL);
    enum kafka_error error = kafka_group_error_of(code);
    for (size_t i = 0; i < c->count && buf_ok(&request->out); i++)
        store_be16(request->out.data + c->error_at[i], (uint16_t)error);
    c->count = 0;
}

static enum kafka_error collect(struct committing *c, struct bytes topic, int32_t index,
                                int64_t offset, struct bytes metadata)
{
    struct partition *partition;
    enum kafka_error error = kafka_partition(c->request, topic, index, &partition);
    if (c->refusal != KAFKA_NONE)
        return c->refusal;
    if (error != KAFKA_NONE)
        return error;
    if (metadata.size > GROUP_METADATA_BYTES)
        return KAFKA_OFFSET_METADATA_TOO_LARGE;
    if (offset < 0)
        return KAFKA_INVALID_REQUEST;
    struct group_offset *entry = &c->offsets[c->count];
    *entry = (struct group_offset){.partition = index, .offset = offset, .metadata = metadata};
    must(kafka_topic_name(topic, entry->topic) == KAFKA_NONE);
    c->error_at[c->count] = c->request->out.size;
    c->count++;
    return KAFKA_NONE;
}

static void walk_partitions(struct committing *c, struct bytes topic, bool commits)
{
    struct wire_reader *in = &c->request->in;
    struct wire_writer *w = &c->request->writer;
    int32_t count = wire_read_array(in, in->flexible ? 14 : 14);
    if (commits)
        wire_write_array(w, count);
    for (int32_t i = 0; i < count && wire_read_ok(in); i++) {
        int32_t index = wire_read_i32(in);
        int64_t offset = wire_read_i64(in);
        if (c->request->version >= 6)
            wire_read_i32(in);
        struct bytes metadata = wire_read_nullable_string(in);
        wire_read_tags(in);
        if (!commits)
            continue;
        wire_write_i32(w, index);
        wire_write_i16(w, (int16_t)collect(c, topic, index, offset, metadata));
        wire_write_tags(w);
        if (c->count == CHUNK)
            flush(c);
    }
}

static bool walk(struct committing *c, bool commits)
{
    struct wire_reader *in = &c->request->in;
    struct wire_writer *w = &c->request->writer;
    int32_t topics = wire_read_array(in, in->flexible ? 3 : 6);
    if (commits)
        wire_write_array(w, topics);
    for (int32_t t = 0; t < topics && wire_read_ok(in); t++) {
        struct bytes topic = wire_read_string(in);
        if (commits)
            wire_write_string(w, topic);
        walk_partitions(c, topic, commits);
        wire_read_tags(in);
        if (commits)
            wire_write_tags(w);
    }
    wire_read_tags(in);
    return wire_read_ok(in);
}

static void commit(struct committing *c)
{
    struct coordinator *coordinator = log_coordinator(c->request->log);
    c->refusal = KAFKA_INVALID_GROUP_ID;
    if (group_name_check(c->who.group, NULL) == 0)
        c->refusal =
            (enum kafka_error)coordinator_commit_begin(coordinator, c->who.group, &c->who.member);
    if (c->request->version >= 3)
        wire_write_i32(&c->request->writer, 0);
    walk(c, true);
    flush(c);
    if (c->refusal == KAFKA_NONE)
        coordinator_commit_end(coordinator, c->who.group);
    wire_write_tags(&c->request->writer);
}

enum kafka_result kafka_handle_offset_commit(struct kafka_request *request)
{
    struct committing c = {.request = request, .who = kafka_read_member(request, 7)};
    if (request->version <= 4)
        wire_read_i64(&request->in);
    struct wire_reader topics = request->in;
    if (!walk(&c, false))
        return KAFKA_CLOSE;
    c.offsets = malloc(CHUNK * sizeof *c.offsets);
    if (c.offsets == NULL) {
        request->reason = "no memory";
        return KAFKA_CLOSE;
    }
    request->in = topics;
    commit(&c);
    free(c.offsets);
    return KAFKA_ANSWER;
}
