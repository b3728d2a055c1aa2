/* kafka_offsets.c: the offsets that a request commits.
 *
 *   request   topics {name, partitions {index i32, offset i64, from a version on: leader epoch i32, metadata (nullable), tags}, tags}, tags
 *   response  topics {name, partitions {index i32, error i16, tags}, tags}, tags
 *
 * All of it is read once before anything is written. Then offsets are written in groups of KAFKA_OFFSETS_CHUNK, since one takes twenty times the room
 * here that it takes in the request; the errors of a group are filled in when it is known what became of it. */
#include "log/kafka/kafka_offsets.h"
#include "log/group.h"

#include <stdlib.h>

/* Writes what is collected, and what became of it into the response. */
static void flush(struct kafka_offsets *c)
{
    struct kafka_request *request = c->request;
    if (c->count == 0)
        return;
    enum kafka_error error = c->write(c->context, request, c->offsets, c->count);
    for (size_t i = 0; i < c->count && buf_ok(&request->out); i++)
        store_be16(request->out.data + c->error_at[i], (uint16_t)error);
    c->count = 0;
}

static enum kafka_error collect(struct kafka_offsets *c, struct bytes topic, int32_t index,
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

static void walk_partitions(struct kafka_offsets *c, struct bytes topic, bool commits)
{
    enum { SMALLEST_BYTES = 14 };
    struct wire_reader *in = &c->request->in;
    struct wire_writer *w = &c->request->writer;
    int32_t count = wire_read_array(in, SMALLEST_BYTES);
    if (commits)
        wire_write_array(w, count);
    for (int32_t i = 0; i < count && wire_read_ok(in); i++) {
        int32_t index = wire_read_i32(in);
        int64_t offset = wire_read_i64(in);
        if (c->request->version >= c->epoch_since)
            wire_read_i32(in);
        struct bytes metadata = wire_read_nullable_string(in);
        wire_read_tags(in);
        if (!commits)
            continue;
        wire_write_i32(w, index);
        wire_write_i16(w, (int16_t)collect(c, topic, index, offset, metadata));
        wire_write_tags(w);
        if (c->count == KAFKA_OFFSETS_CHUNK)
            flush(c);
    }
}

static bool walk(struct kafka_offsets *c, bool commits)
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

bool kafka_offsets_begin(struct kafka_offsets *c)
{
    c->topics = c->request->in;
    if (!walk(c, false))
        return false;
    c->offsets = malloc(KAFKA_OFFSETS_CHUNK * sizeof *c->offsets);
    if (c->offsets == NULL)
        c->request->reason = "no memory";
    return c->offsets != NULL;
}

void kafka_offsets_commit(struct kafka_offsets *c)
{
    c->request->in = c->topics;
    walk(c, true);
    flush(c);
    wire_write_tags(&c->request->writer);
    free(c->offsets);
}
