/* meta_record.c: what the values and keys in meta/ look like, byte by byte; each encoder beside its
 * decoder.
 *
 * All integers are big-endian, so that LMDB's memcmp order of the keys is numeric order (offsets
 * and ids are never negative). A "place" is a topic id and a partition number: records refer to
 * topics by id, so that a topic that was deleted and created again is never mistaken for the old
 * one. The checksum that ends each stored value is meta.c's.
 *
 *   place (20 bytes)      0  16 topic id              16  4 partition
 *
 *   topics: name (text)
 *     0 1 state: 0 live, 1 being deleted   1 16 topic id   17 4 partitions   21 8 created, epoch ms
 *     29 2 count of configuration entries  31 … each: u16 key size, key, u16 value size, value
 *   partitions: place
 *     0 8 flushed end   8 8 base offset of the segment that holds it, -1 none   16 8 position in it
 *     24 8 when that segment was created, epoch ms
 *   starts: place
 *     0 8 start offset
 *   segments: place, 20 8 base offset
 *     0 8 end offset   8 8 size in bytes   16 8 largest timestamp   24 8 last written, epoch ms
 *     32 4 flags, left out when none is set
 *   cleaned: place
 *     0 8 clean end   8 8 tombstone horizon   16 8 last pass, epoch ms
 *     24 8 last delete horizon, epoch ms, -1 none
 *   aborted: place, 20 8 first offset, 28 8 producer id
 *     0 8 offset of the abort marker
 *   producers: transactional id (text)
 *     0 8 producer id   8 2 epoch   10 8 updated, epoch ms   18 1 outcome   19 4 timeout, ms
 *     (directories of older versions end at 18)
 *   participants: 0 8 producer id
 *     0 2 epoch   2 4 count   6 … each: place, 20 8 lower bound
 *   decisions: 0 8 sequence number
 *     0 8 producer id   8 2 epoch   10 1 outcome (1 commit, 0 abort)   11 4 count
 *     15 … each: place, 20 8 first, 28 8 end offset
 *   offsets: group (text), 0, place
 *     0 8 offset   8 8 commit time, epoch ms   16 2 bit 15: of an app, the rest: metadata size
 *     18 … metadata
 *   txn-offsets: 0 8 producer id, 8 2 epoch, 10 … a key of offsets; values as there
 *   groups: group (text)
 *     0 4 generation   4 8 empty since, epoch ms, -1: it has members
 *     12 1 size, then protocol type   … 1 size, then assignor
 *   counters: name (text)
 *     0 8 number
 *
 * Decoders return ERR_CORRUPT for anything that has another shape: too short, too long, a count
 * that does not fit, a flag that nobody gave. */
#include "log/meta.h"

#include <string.h>

enum {
    TOPIC_FIXED_BYTES = 31,
    PARTITION_BYTES = 32,
    SEGMENT_KEY_BYTES = META_PLACE_BYTES + 8,
    SEGMENT_BYTES = 32,
    SEGMENT_FLAGGED_BYTES = 36,
    CLEANED_BYTES = 32,
    ABORTED_KEY_BYTES = META_PLACE_BYTES + 16,
    PRODUCER_BYTES = 23,
    PRODUCER_SHORT_BYTES = 18,
    PARTICIPANT_BYTES = META_PLACE_BYTES + 8,
    DECISION_PART_BYTES = META_PLACE_BYTES + 16,
    DECISION_FIXED_BYTES = 15,
    OFFSET_FIXED_BYTES = 18,
    OFFSET_OF_APP = 0x8000,
    TXN_OFFSET_KEY_BYTES = 10, /* in front of a key of offsets */
    TRUNCATION_FIXED_BYTES = 52,
    TRUNCATION_MARKER_BYTES = 19,
    TOPIC_NAME_LIMIT = 249
};

static int64_t load_i64(const uint8_t *at)
{
    return (int64_t)load_be64(at);
}

static void store_i64(uint8_t *at, int64_t value)
{
    store_be64(at, (uint64_t)value);
}

void meta_encode_place(uint8_t out[META_PLACE_BYTES], const struct meta_place *place)
{
    memcpy(out, place->topic.bytes, 16);
    store_be32(out + 16, (uint32_t)place->partition);
}

static void decode_place(const uint8_t *in, struct meta_place *place)
{
    memcpy(place->topic.bytes, in, 16);
    place->partition = (int32_t)load_be32(in + 16);
}

/* ---- topics ---- */

void meta_put_topic(struct meta_batch *batch, const char *name, const struct meta_topic *topic)
{
    struct buf value;
    buf_init(&value, 0);
    buf_u8(&value, (uint8_t)topic->state);
    buf_append(&value, topic->id.bytes, 16);
    buf_be32(&value, (uint32_t)topic->partitions);
    buf_be64(&value, (uint64_t)topic->created_ms);
    buf_be16(&value, topic->config_count);
    buf_append_bytes(&value, topic->config);
    if (buf_ok(&value))
        meta_put(batch, META_TOPICS, bytes_text(name), bytes_of(value.data, value.size));
    else
        batch->operations.failed = true;
    buf_deinit(&value);
}

void meta_delete_topic(struct meta_batch *batch, const char *name)
{
    meta_delete(batch, META_TOPICS, bytes_text(name));
}

int meta_read_topic(struct bytes key, struct bytes value, char name[250], struct meta_topic *topic)
{
    if (key.size == 0 || key.size > TOPIC_NAME_LIMIT || value.size < TOPIC_FIXED_BYTES ||
        value.data[0] > META_TOPIC_DELETING)
        return ERR_CORRUPT;
    memcpy(name, key.data, key.size);
    name[key.size] = '\0';
    topic->state = (enum meta_topic_state)value.data[0];
    memcpy(topic->id.bytes, value.data + 1, 16);
    topic->partitions = (int32_t)load_be32(value.data + 17);
    topic->created_ms = load_i64(value.data + 21);
    topic->config_count = load_be16(value.data + 29);
    topic->config = bytes_of(value.data + TOPIC_FIXED_BYTES, value.size - TOPIC_FIXED_BYTES);
    return topic->partitions > 0 ? 0 : ERR_CORRUPT;
}

/* ---- partitions ---- */

void meta_put_partition(struct meta_batch *batch, const struct meta_place *place,
                        const struct meta_partition *partition)
{
    uint8_t key[META_PLACE_BYTES], value[PARTITION_BYTES];
    meta_encode_place(key, place);
    store_i64(value, partition->flushed_end);
    store_i64(value + 8, partition->segment_base);
    store_i64(value + 16, partition->flushed_position);
    store_i64(value + 24, partition->segment_created_ms);
    meta_put(batch, META_PARTITIONS, bytes_of(key, sizeof key), bytes_of(value, sizeof value));
}

void meta_delete_partition(struct meta_batch *batch, const struct meta_place *place)
{
    uint8_t key[META_PLACE_BYTES];
    meta_encode_place(key, place);
    meta_delete(batch, META_PARTITIONS, bytes_of(key, sizeof key));
}

int meta_read_partition(struct bytes key, struct bytes value, struct meta_place *place,
                        struct meta_partition *partition)
{
    if (key.size != META_PLACE_BYTES || value.size != PARTITION_BYTES)
        return ERR_CORRUPT;
    decode_place(key.data, place);
    partition->flushed_end = load_i64(value.data);
    partition->segment_base = load_i64(value.data + 8);
    partition->flushed_position = load_i64(value.data + 16);
    partition->segment_created_ms = load_i64(value.data + 24);
    return 0;
}

void meta_put_start(struct meta_batch *batch, const struct meta_place *place, int64_t start_offset)
{
    uint8_t key[META_PLACE_BYTES], value[8];
    meta_encode_place(key, place);
    store_i64(value, start_offset);
    meta_put(batch, META_STARTS, bytes_of(key, sizeof key), bytes_of(value, sizeof value));
}

void meta_delete_start(struct meta_batch *batch, const struct meta_place *place)
{
    uint8_t key[META_PLACE_BYTES];
    meta_encode_place(key, place);
    meta_delete(batch, META_STARTS, bytes_of(key, sizeof key));
}

int meta_read_start(struct bytes key, struct bytes value, struct meta_place *place,
                    int64_t *start_offset)
{
    if (key.size != META_PLACE_BYTES || value.size != 8)
        return ERR_CORRUPT;
    decode_place(key.data, place);
    *start_offset = load_i64(value.data);
    return 0;
}

/* ---- segments ---- */

static void segment_key(uint8_t key[SEGMENT_KEY_BYTES], const struct meta_place *place,
                        int64_t base_offset)
{
    meta_encode_place(key, place);
    store_i64(key + META_PLACE_BYTES, base_offset);
}

void meta_put_segment(struct meta_batch *batch, const struct meta_place *place,
                      const struct meta_segment *segment)
{
    uint8_t key[SEGMENT_KEY_BYTES], value[SEGMENT_FLAGGED_BYTES];
    size_t size = segment->flags == 0 ? SEGMENT_BYTES : SEGMENT_FLAGGED_BYTES;
    segment_key(key, place, segment->base_offset);
    store_i64(value, segment->end_offset);
    store_i64(value + 8, segment->size_bytes);
    store_i64(value + 16, segment->max_timestamp_ms);
    store_i64(value + 24, segment->last_write_ms);
    store_be32(value + SEGMENT_BYTES, segment->flags);
    meta_put(batch, META_SEGMENTS, bytes_of(key, sizeof key), bytes_of(value, size));
}

void meta_delete_segment(struct meta_batch *batch, const struct meta_place *place,
                         int64_t base_offset)
{
    uint8_t key[SEGMENT_KEY_BYTES];
    segment_key(key, place, base_offset);
    meta_delete(batch, META_SEGMENTS, bytes_of(key, sizeof key));
}

int meta_read_segment(struct bytes key, struct bytes value, struct meta_place *place,
                      struct meta_segment *segment)
{
    if (key.size != SEGMENT_KEY_BYTES ||
        (value.size != SEGMENT_BYTES && value.size != SEGMENT_FLAGGED_BYTES))
        return ERR_CORRUPT;
    decode_place(key.data, place);
    segment->base_offset = load_i64(key.data + META_PLACE_BYTES);
    segment->end_offset = load_i64(value.data);
    segment->size_bytes = load_i64(value.data + 8);
    segment->max_timestamp_ms = load_i64(value.data + 16);
    segment->last_write_ms = load_i64(value.data + 24);
    segment->flags = value.size == SEGMENT_BYTES ? 0 : load_be32(value.data + SEGMENT_BYTES);
    return (segment->flags & ~(uint32_t)META_SEGMENT_FLAGS) == 0 ? 0 : ERR_CORRUPT;
}

/* ---- compaction ---- */

void meta_put_cleaned(struct meta_batch *batch, const struct meta_place *place,
                      const struct meta_cleaned *cleaned)
{
    uint8_t key[META_PLACE_BYTES], value[CLEANED_BYTES];
    meta_encode_place(key, place);
    store_i64(value, cleaned->clean_end);
    store_i64(value + 8, cleaned->tombstone_horizon);
    store_i64(value + 16, cleaned->cleaned_ms);
    store_i64(value + 24, cleaned->last_horizon_ms);
    meta_put(batch, META_CLEANED, bytes_of(key, sizeof key), bytes_of(value, sizeof value));
}

void meta_delete_cleaned(struct meta_batch *batch, const struct meta_place *place)
{
    uint8_t key[META_PLACE_BYTES];
    meta_encode_place(key, place);
    meta_delete(batch, META_CLEANED, bytes_of(key, sizeof key));
}

int meta_read_cleaned(struct bytes key, struct bytes value, struct meta_place *place,
                      struct meta_cleaned *cleaned)
{
    if (key.size != META_PLACE_BYTES || value.size != CLEANED_BYTES)
        return ERR_CORRUPT;
    decode_place(key.data, place);
    cleaned->clean_end = load_i64(value.data);
    cleaned->tombstone_horizon = load_i64(value.data + 8);
    cleaned->cleaned_ms = load_i64(value.data + 16);
    cleaned->last_horizon_ms = load_i64(value.data + 24);
    return 0;
}

/* ---- aborted ranges ---- */

static void aborted_key(uint8_t key[ABORTED_KEY_BYTES], const struct meta_place *place,
                        const struct aborted *aborted)
{
    meta_encode_place(key, place);
    store_i64(key + META_PLACE_BYTES, aborted->first_offset);
    store_i64(key + META_PLACE_BYTES + 8, aborted->producer_id);
}

void meta_put_aborted(struct meta_batch *batch, const struct meta_place *place,
                      const struct aborted *aborted)
{
    uint8_t key[ABORTED_KEY_BYTES], value[8];
    aborted_key(key, place, aborted);
    store_i64(value, aborted->last_offset);
    meta_put(batch, META_ABORTED, bytes_of(key, sizeof key), bytes_of(value, sizeof value));
}

void meta_delete_aborted(struct meta_batch *batch, const struct meta_place *place,
                         const struct aborted *aborted)
{
    uint8_t key[ABORTED_KEY_BYTES];
    aborted_key(key, place, aborted);
    meta_delete(batch, META_ABORTED, bytes_of(key, sizeof key));
}

int meta_read_aborted(struct bytes key, struct bytes value, struct meta_place *place,
                      struct aborted *aborted)
{
    if (key.size != ABORTED_KEY_BYTES || value.size != 8)
        return ERR_CORRUPT;
    decode_place(key.data, place);
    aborted->first_offset = load_i64(key.data + META_PLACE_BYTES);
    aborted->producer_id = load_i64(key.data + META_PLACE_BYTES + 8);
    aborted->last_offset = load_i64(value.data);
    return 0;
}

/* ---- producers ---- */

void meta_put_producer(struct meta_batch *batch, const char *transactional_id,
                       const struct meta_producer *producer)
{
    uint8_t value[PRODUCER_BYTES];
    store_i64(value, producer->producer_id);
    store_be16(value + 8, (uint16_t)producer->epoch);
    store_i64(value + 10, producer->updated_ms);
    value[18] = (uint8_t)producer->outcome;
    store_be32(value + 19, (uint32_t)producer->timeout_ms);
    meta_put(batch, META_PRODUCERS, bytes_text(transactional_id), bytes_of(value, sizeof value));
}

int meta_read_producer(struct bytes value, struct meta_producer *producer)
{
    bool is_short = value.size == PRODUCER_SHORT_BYTES;
    if (!is_short && (value.size != PRODUCER_BYTES || value.data[18] > TXN_OUTCOME_CONTINUED))
        return ERR_CORRUPT;
    producer->outcome = is_short ? TXN_OUTCOME_NONE : (enum txn_outcome)value.data[18];
    producer->timeout_ms = is_short ? 0 : (int32_t)load_be32(value.data + 19);
    producer->producer_id = load_i64(value.data);
    producer->epoch = (int16_t)load_be16(value.data + 8);
    producer->updated_ms = load_i64(value.data + 10);
    return producer->producer_id >= 0 && producer->epoch >= 0 ? 0 : ERR_CORRUPT;
}

/* ---- participants ---- */

void meta_put_participants(struct meta_batch *batch, int64_t producer_id, int16_t epoch,
                           const struct meta_participant *participants, uint32_t count)
{
    uint8_t key[8], one[PARTICIPANT_BYTES];
    struct buf value;
    buf_init(&value, 0);
    store_i64(key, producer_id);
    buf_be16(&value, (uint16_t)epoch);
    buf_be32(&value, count);
    for (uint32_t i = 0; i < count; i++) {
        meta_encode_place(one, &participants[i].place);
        store_i64(one + META_PLACE_BYTES, participants[i].lower_bound);
        buf_append(&value, one, sizeof one);
    }
    if (buf_ok(&value))
        meta_put(batch, META_PARTICIPANTS, bytes_of(key, sizeof key),
                 bytes_of(value.data, value.size));
    else
        batch->operations.failed = true;
    buf_deinit(&value);
}

void meta_delete_participants(struct meta_batch *batch, int64_t producer_id)
{
    uint8_t key[8];
    store_i64(key, producer_id);
    meta_delete(batch, META_PARTICIPANTS, bytes_of(key, sizeof key));
}

int meta_read_participants(struct bytes key, struct bytes value,
                           struct meta_participants *participants)
{
    if (key.size != 8 || value.size < 6)
        return ERR_CORRUPT;
    participants->producer_id = load_i64(key.data);
    participants->epoch = (int16_t)load_be16(value.data);
    participants->count = load_be32(value.data + 2);
    participants->rest = bytes_of(value.data + 6, value.size - 6);
    return participants->rest.size == (size_t)participants->count * PARTICIPANT_BYTES ? 0
                                                                                      : ERR_CORRUPT;
}

int meta_take_participant(struct meta_participants *participants,
                          struct meta_participant *participant)
{
    struct bytes one;
    TRY(take_bytes(&participants->rest, PARTICIPANT_BYTES, &one));
    decode_place(one.data, &participant->place);
    participant->lower_bound = load_i64(one.data + META_PLACE_BYTES);
    return 0;
}

/* ---- decisions ---- */

void meta_put_decision(struct meta_batch *batch, const struct meta_decision *decision,
                       const struct meta_decision_part *parts)
{
    uint8_t key[8], one[DECISION_PART_BYTES];
    struct buf value;
    buf_init(&value, 0);
    store_be64(key, decision->sequence);
    buf_be64(&value, (uint64_t)decision->producer_id);
    buf_be16(&value, (uint16_t)decision->epoch);
    buf_u8(&value, decision->commit ? 1 : 0);
    buf_be32(&value, decision->count);
    for (uint32_t i = 0; i < decision->count; i++) {
        meta_encode_place(one, &parts[i].place);
        store_i64(one + META_PLACE_BYTES, parts[i].first_offset);
        store_i64(one + META_PLACE_BYTES + 8, parts[i].end_offset);
        buf_append(&value, one, sizeof one);
    }
    if (buf_ok(&value))
        meta_put(batch, META_DECISIONS, bytes_of(key, sizeof key),
                 bytes_of(value.data, value.size));
    else
        batch->operations.failed = true;
    buf_deinit(&value);
}

void meta_delete_decision(struct meta_batch *batch, uint64_t sequence)
{
    uint8_t key[8];
    store_be64(key, sequence);
    meta_delete(batch, META_DECISIONS, bytes_of(key, sizeof key));
}

int meta_read_decision(struct bytes key, struct bytes value, struct meta_decision *decision)
{
    if (key.size != 8 || value.size < DECISION_FIXED_BYTES || value.data[10] > 1)
        return ERR_CORRUPT;
    decision->sequence = load_be64(key.data);
    decision->producer_id = load_i64(value.data);
    decision->epoch = (int16_t)load_be16(value.data + 8);
    decision->commit = value.data[10] == 1;
    decision->count = load_be32(value.data + 11);
    decision->rest = bytes_of(value.data + DECISION_FIXED_BYTES, value.size - DECISION_FIXED_BYTES);
    return decision->rest.size == (size_t)decision->count * DECISION_PART_BYTES ? 0 : ERR_CORRUPT;
}

int meta_take_decision_part(struct meta_decision *decision, struct meta_decision_part *part)
{
    struct bytes one;
    TRY(take_bytes(&decision->rest, DECISION_PART_BYTES, &one));
    decode_place(one.data, &part->place);
    part->first_offset = load_i64(one.data + META_PLACE_BYTES);
    part->end_offset = load_i64(one.data + META_PLACE_BYTES + 8);
    return 0;
}

/* ---- group offsets ---- */

void meta_encode_offset_key(struct buf *out, const char *group, const struct meta_place *place)
{
    uint8_t place_bytes[META_PLACE_BYTES];
    meta_encode_place(place_bytes, place);
    buf_append(out, group, strlen(group) + 1);
    buf_append(out, place_bytes, sizeof place_bytes);
}

int meta_read_offset_key(struct bytes key, struct bytes *group, struct meta_place *place)
{
    if (key.size < META_PLACE_BYTES + 2 || key.data[key.size - META_PLACE_BYTES - 1] != 0)
        return ERR_CORRUPT;
    *group = bytes_of(key.data, key.size - META_PLACE_BYTES - 1);
    decode_place(key.data + key.size - META_PLACE_BYTES, place);
    return 0;
}

void meta_put_offset(struct meta_batch *batch, const char *group, const struct meta_place *place,
                     const struct meta_offset *offset)
{
    struct buf key, value;
    buf_init(&key, 0);
    buf_init(&value, 0);
    meta_encode_offset_key(&key, group, place);
    buf_be64(&value, (uint64_t)offset->offset);
    buf_be64(&value, (uint64_t)offset->commit_time_ms);
    must(offset->metadata.size <= META_METADATA_BYTES);
    buf_be16(&value, (uint16_t)(offset->metadata.size | (offset->of_app ? OFFSET_OF_APP : 0)));
    buf_append_bytes(&value, offset->metadata);
    if (buf_ok(&key) && buf_ok(&value))
        meta_put(batch, META_OFFSETS, bytes_of(key.data, key.size),
                 bytes_of(value.data, value.size));
    else
        batch->operations.failed = true;
    buf_deinit(&key);
    buf_deinit(&value);
}

void meta_delete_offset(struct meta_batch *batch, const char *group, const struct meta_place *place)
{
    struct buf key;
    buf_init(&key, 0);
    meta_encode_offset_key(&key, group, place);
    if (buf_ok(&key))
        meta_delete(batch, META_OFFSETS, bytes_of(key.data, key.size));
    else
        batch->operations.failed = true;
    buf_deinit(&key);
}

int meta_read_offset(struct bytes value, struct meta_offset *offset)
{
    if (value.size < OFFSET_FIXED_BYTES)
        return ERR_CORRUPT;
    offset->offset = load_i64(value.data);
    offset->commit_time_ms = load_i64(value.data + 8);
    offset->metadata = bytes_of(value.data + OFFSET_FIXED_BYTES, value.size - OFFSET_FIXED_BYTES);
    uint16_t size = load_be16(value.data + 16);
    offset->of_app = (size & OFFSET_OF_APP) != 0;
    return offset->metadata.size == (size & ~(unsigned)OFFSET_OF_APP) ? 0 : ERR_CORRUPT;
}

/* ---- group offsets of open transactions ---- */

static void encode_txn_offset_key(struct buf *key, int64_t producer_id, int16_t epoch,
                                  struct bytes offset_key)
{
    buf_clear(key);
    buf_be64(key, (uint64_t)producer_id);
    buf_be16(key, (uint16_t)epoch);
    buf_append_bytes(key, offset_key);
}

/* Puts or deletes one for each that offsets has. */
static void each_txn_offset(struct meta_batch *batch, int64_t producer_id, int16_t epoch,
                            const struct meta_batch *offsets, bool deletes)
{
    struct bytes rest = bytes_of(offsets->operations.data, offsets->operations.size);
    struct meta_operation operation;
    struct buf key = {0};
    while (meta_next_operation(&rest, &operation)) {
        must(operation.table == META_OFFSETS && !operation.is_delete);
        encode_txn_offset_key(&key, producer_id, epoch, operation.key);
        if (!buf_ok(&key))
            batch->operations.failed = true;
        else if (deletes)
            meta_delete(batch, META_TXN_OFFSETS, bytes_of(key.data, key.size));
        else
            meta_put(batch, META_TXN_OFFSETS, bytes_of(key.data, key.size), operation.value);
    }
    buf_deinit(&key);
}

void meta_put_txn_offsets(struct meta_batch *batch, int64_t producer_id, int16_t epoch,
                          const struct meta_batch *offsets)
{
    each_txn_offset(batch, producer_id, epoch, offsets, false);
}

void meta_delete_txn_offsets(struct meta_batch *batch, int64_t producer_id, int16_t epoch,
                             const struct meta_batch *offsets)
{
    each_txn_offset(batch, producer_id, epoch, offsets, true);
}

int meta_read_txn_offset_key(struct bytes key, int64_t *producer_id, int16_t *epoch,
                             struct bytes *offset_key)
{
    if (key.size <= TXN_OFFSET_KEY_BYTES)
        return ERR_CORRUPT;
    *producer_id = load_i64(key.data);
    *epoch = (int16_t)load_be16(key.data + 8);
    *offset_key = bytes_of(key.data + TXN_OFFSET_KEY_BYTES, key.size - TXN_OFFSET_KEY_BYTES);
    return 0;
}

/* ---- groups ---- */

void meta_put_group(struct meta_batch *batch, const char *group, const struct meta_group *record)
{
    struct buf value;
    buf_init(&value, 0);
    must(record->protocol_type.size <= UINT8_MAX && record->assignor.size <= UINT8_MAX);
    buf_be32(&value, (uint32_t)record->generation);
    buf_be64(&value, (uint64_t)record->empty_since_ms);
    buf_u8(&value, (uint8_t)record->protocol_type.size);
    buf_append_bytes(&value, record->protocol_type);
    buf_u8(&value, (uint8_t)record->assignor.size);
    buf_append_bytes(&value, record->assignor);
    if (buf_ok(&value))
        meta_put(batch, META_GROUPS, bytes_text(group), bytes_of(value.data, value.size));
    else
        batch->operations.failed = true;
    buf_deinit(&value);
}

void meta_delete_group(struct meta_batch *batch, const char *group)
{
    meta_delete(batch, META_GROUPS, bytes_text(group));
}

int meta_read_group(struct bytes value, struct meta_group *record)
{
    uint32_t generation;
    uint64_t empty_since;
    uint8_t size;
    TRY(take_be32(&value, &generation));
    TRY(take_be64(&value, &empty_since));
    TRY(take_u8(&value, &size));
    TRY(take_bytes(&value, size, &record->protocol_type));
    TRY(take_u8(&value, &size));
    TRY(take_bytes(&value, size, &record->assignor));
    record->generation = (int32_t)generation;
    record->empty_since_ms = (int64_t)empty_since;
    return value.size == 0 && record->generation >= 0 ? 0 : ERR_CORRUPT;
}

/* ---- truncations ---- */

void meta_put_truncation(struct meta_batch *batch, const struct meta_place *place,
                         const struct meta_truncation *truncation)
{
    uint8_t key[META_PLACE_BYTES];
    struct buf value;
    meta_encode_place(key, place);
    buf_init(&value, 0);
    buf_be64(&value, (uint64_t)truncation->offset);
    buf_be64(&value, (uint64_t)truncation->segment_base);
    buf_be64(&value, (uint64_t)truncation->position);
    buf_be64(&value, (uint64_t)truncation->segment_end);
    buf_be64(&value, (uint64_t)truncation->max_timestamp_ms);
    buf_be32(&value, truncation->flags);
    buf_be32(&value, (uint32_t)truncation->leader_epoch);
    buf_be32(&value, truncation->count);
    for (uint32_t i = 0; i < truncation->count; i++) {
        buf_be64(&value, (uint64_t)truncation->markers[i].producer_id);
        buf_be64(&value, (uint64_t)truncation->markers[i].first_offset);
        buf_be16(&value, (uint16_t)truncation->markers[i].epoch);
        buf_u8(&value, truncation->markers[i].commit);
    }
    if (buf_ok(&value))
        meta_put(batch, META_TRUNCATIONS, bytes_of(key, sizeof key),
                 bytes_of(value.data, value.size));
    else
        batch->operations.failed = true;
    buf_deinit(&value);
}

void meta_delete_truncation(struct meta_batch *batch, const struct meta_place *place)
{
    uint8_t key[META_PLACE_BYTES];
    meta_encode_place(key, place);
    meta_delete(batch, META_TRUNCATIONS, bytes_of(key, sizeof key));
}

int meta_read_truncation(struct bytes key, struct bytes value, struct meta_place *place,
                         struct meta_truncation *truncation)
{
    if (key.size != META_PLACE_BYTES || value.size < TRUNCATION_FIXED_BYTES)
        return ERR_CORRUPT;
    decode_place(key.data, place);
    truncation->offset = load_i64(value.data);
    truncation->segment_base = load_i64(value.data + 8);
    truncation->position = load_i64(value.data + 16);
    truncation->segment_end = load_i64(value.data + 24);
    truncation->max_timestamp_ms = load_i64(value.data + 32);
    truncation->flags = load_be32(value.data + 40);
    truncation->leader_epoch = (int32_t)load_be32(value.data + 44);
    truncation->count = load_be32(value.data + 48);
    if (truncation->count > TRUNCATION_MARKERS ||
        value.size != TRUNCATION_FIXED_BYTES + (size_t)truncation->count * TRUNCATION_MARKER_BYTES)
        return ERR_CORRUPT;
    const uint8_t *at = value.data + TRUNCATION_FIXED_BYTES;
    for (uint32_t i = 0; i < truncation->count; i++, at += TRUNCATION_MARKER_BYTES)
        truncation->markers[i] = (struct meta_truncation_marker){
            load_i64(at), load_i64(at + 8), (int16_t)load_be16(at + 16), at[18] != 0};
    return truncation->offset >= 0 && truncation->position >= 0 ? 0 : ERR_CORRUPT;
}

/* ---- counters ---- */

void meta_put_counter(struct meta_batch *batch, const char *name, int64_t value)
{
    uint8_t bytes[8];
    store_i64(bytes, value);
    meta_put(batch, META_COUNTERS, bytes_text(name), bytes_of(bytes, sizeof bytes));
}

int meta_get_counter(struct meta *meta, const char *name, int64_t *value, struct diag *diag)
{
    struct buf bytes;
    buf_init(&bytes, 0);
    int rc = meta_get(meta, META_COUNTERS, bytes_text(name), &bytes, diag);
    *value = rc == 0 && bytes.size == 8 ? load_i64(bytes.data) : 0;
    if (rc == 0 && bytes.size != 8)
        rc = diag_set(diag, ERR_CORRUPT, "meta: counter %s has %zu bytes instead of 8", name,
                      bytes.size);
    buf_deinit(&bytes);
    return rc == ERR_NOT_FOUND ? 0 : rc;
}
