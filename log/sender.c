/* sender.c: the embedded producer. Records are collected per partition and appended as one
 * compressed batch.
 *
 * It stands on the public functions of log.h alone and has no thread: a batch is appended by the
 * call that fills it, by sender_flush, or by sender_append_older, which whoever wants batches to
 * leave after some time calls. One thread at a time uses a sender; several senders may write to one
 * topic.
 *
 * Partition of a record: the one that was asked for; else, with a key, murmur2(key) mod partitions,
 * as Kafka's Java clients choose it; else the sticky partition, which changes when its batch is
 * appended. Sticking fills whole batches where a round robin over records would make as many small
 * ones as there are partitions. A sender starts at a partition of its own choice, so that many
 * short-lived senders do not all write to partition 0.
 *
 * A record that does not fit beside what is collected cuts the batch first, so batch_bytes is
 * passed only by a single record that is larger. Builders are made on the first record for a
 * partition: a sender for 10000 partitions that uses three holds three.
 *
 * With a producer the batches belong to its open transaction; what was appended for one that is
 * aborted is the log's business, what is still collected is sender_discard's.
 *
 * Topics grow, and may be deleted and made again. The sender goes on with the partitions it knows
 * until sender_refresh; records that are collected stay where they are, since partitions are only
 * ever added.
 *
 * What the topic would refuse for one record's sake (no key in a compacted topic, a time out of its
 * bounds) is refused when the record is sent, so that the others of its batch do not go with it.
 * Batches are compressed with the topic's compression.type to begin with, where it names a codec.
 *
 * What happens on failure: a batch that the log refuses for what it is (ERR_TOO_LARGE, ERR_INVALID)
 * would be refused again, so it is dropped and the error says how many records went with it. After
 * any other failure the batch stays collected and the next flush tries it again. */
#include "log/log.h"

#include <stdlib.h>
#include "runtime/base/clock.h"
#include "runtime/base/hash.h"

enum {
    SENDER_BATCH_BYTES = 256 << 10,
    RECORD_OVERHEAD_BYTES = 64, /* no record's framing is larger */
};

/* What is collected for one partition, and how far it must be acknowledged. */
struct slot {
    struct partition *partition;
    struct batch_builder *builder; /* NULL until the first record */
    struct sent_batch
        *sent; /* what will be reported of the batch; NULL: nobody asks, or no record yet */
    int32_t tag_capacity;
    int64_t first_ns;    /* when the first collected record came */
    int64_t wait_offset; /* end offset of the last append nobody waited for; 0: none */
};

struct sender {
    struct log *log;
    struct topic_info topic;
    struct sender_options options; /* with its defaults filled in */
    size_t collected_bytes;        /* of all slots */
    int32_t sticky;
    struct slot *slots; /* topic.partitions of them */
};

/* Makes slots for the topic as info describes it; on failure the sender is as it was. */
static int open_slots(struct sender *sender, const struct topic_info *info, struct diag *diag)
{
    size_t count = (size_t)info->partitions;
    bool is_other = memcmp(&info->id, &sender->topic.id, sizeof info->id) != 0;
    struct slot *slots = calloc(count, sizeof *slots);
    if (slots == NULL)
        return diag_set(diag, ERR_NOMEM, "out of memory for a sender to %s", info->name);
    int rc = 0;
    for (int32_t i = 0; rc == 0 && i < info->partitions; i++) {
        if (i < sender->topic.partitions)
            slots[i] = sender->slots[i];
        if (is_other)
            slots[i].wait_offset = 0; /* what nobody waited for went with the old topic */
        rc = partition_get(sender->log, info->name, i, &slots[i].partition, diag);
    }
    if (rc < 0) {
        free(slots);
        return rc;
    }
    free(sender->slots);
    sender->slots = slots;
    sender->topic = *info;
    return 0;
}

static bool holds_records(const struct slot *slot)
{
    return slot->builder != NULL && slot->builder->record_count > 0;
}

static void slot_deinit(struct slot *slot)
{
    if (slot->builder != NULL)
        batch_builder_deinit(slot->builder);
    free(slot->builder);
    sent_batch_free(slot->sent);
    slot->builder = NULL;
    slot->sent = NULL;
}

int sender_refresh(struct sender *sender, struct diag *diag)
{
    struct topic_info info;
    TRY(topic_describe(sender->log, sender->topic.name, &info, diag));
    if (memcmp(&info.id, &sender->topic.id, sizeof info.id) == 0 &&
        info.partitions == sender->topic.partitions)
        return 0;
    for (int32_t i = info.partitions; i < sender->topic.partitions; i++) {
        if (holds_records(&sender->slots[i]))
            return diag_set(diag, ERR_NOT_FOUND,
                            "topic %s was made anew with %d partitions while records waited for "
                            "partition %d",
                            info.name, info.partitions, i);
        slot_deinit(&sender->slots[i]);
    }
    TRY(open_slots(sender, &info, diag));
    sender->sticky %= info.partitions;
    return 0;
}

int sender_open(struct log *log, const char *topic, const struct sender_options *options,
                struct sender **sender, struct diag *diag)
{
    struct topic_info info;
    *sender = NULL;
    TRY(topic_describe(log, topic, &info, diag));
    must(info.partitions > 0);
    struct sender *opened = calloc(1, sizeof *opened);
    if (opened == NULL)
        return diag_set(diag, ERR_NOMEM, "out of memory for a sender to %s", topic);
    opened->log = log;
    if (options != NULL)
        opened->options = *options;
    if (!opened->options.codec_is_set)
        opened->options.codec = CODEC_LZ4;
    if (opened->options.batch_bytes == 0)
        opened->options.batch_bytes = SENDER_BATCH_BYTES;
    opened->sticky = (int32_t)((uint64_t)clock_mono_ns() / 1000 % (uint64_t)info.partitions);
    int rc = open_slots(opened, &info, diag);
    if (rc < 0) {
        free(opened);
        return rc;
    }
    *sender = opened;
    return 0;
}

static int slot_builder(struct sender *sender, struct slot *slot, struct diag *diag)
{
    if (slot->builder != NULL)
        return 0;
    slot->builder = malloc(sizeof *slot->builder);
    if (slot->builder == NULL)
        return diag_set(diag, ERR_NOMEM, "out of memory for a batch of %s", sender->topic.name);
    batch_builder_init(slot->builder, sender->options.codec);
    return 0;
}

/* ---- reports ---- */

void sent_batch_free(struct sent_batch *sent)
{
    if (sent != NULL)
        free(sent->tags);
    free(sent);
}

/* Room for the report of one more record, so that nothing can fail once the batch has left. */
static int reserve_report(struct sender *sender, struct slot *slot, struct diag *diag)
{
    if (sender->options.appended == NULL)
        return 0;
    int32_t count = slot->builder->record_count;
    if (slot->sent == NULL) {
        slot->sent = calloc(1, sizeof *slot->sent);
        slot->tag_capacity = 0;
    }
    bool has_room = !sender->options.keep_tags || count < slot->tag_capacity;
    if (slot->sent != NULL && !has_room) {
        int32_t capacity = slot->tag_capacity > 0 ? slot->tag_capacity * 2 : 16;
        uint64_t *tags = realloc(slot->sent->tags, (size_t)capacity * sizeof *tags);
        if (tags != NULL) {
            slot->sent->tags = tags;
            slot->tag_capacity = capacity;
            has_room = true;
        }
    }
    if (slot->sent != NULL && has_room)
        return 0;
    return diag_set(diag, ERR_NOMEM, "out of memory for the report of a batch of %s",
                    sender->topic.name);
}

/* The batch has left: it is reported and the slot is empty. */
static void slot_done(struct sender *sender, struct slot *slot, int64_t base_offset,
                      const struct diag *reason)
{
    struct sent_batch *sent = slot->sent;
    if (sent != NULL) {
        sent->context = sender->options.context;
        sent->partition = slot->partition;
        sent->index = (int32_t)(slot - sender->slots);
        sent->record_count = slot->builder->record_count;
        sent->base_offset = base_offset;
        sent->code = reason != NULL ? reason->code : 0;
        slot->sent = NULL;
    }
    sender->collected_bytes -= batch_builder_bytes(slot->builder);
    batch_builder_reset(slot->builder);
    if (sent != NULL)
        sender->options.appended(sender->options.context, sent, reason);
}

/* ---- appending ---- */

/* Appends what the slot collected. */
static int slot_append(struct sender *sender, struct slot *slot, struct diag *diag)
{
    if (!holds_records(slot))
        return 0;
    struct batch_builder *builder = slot->builder;
    int32_t index = (int32_t)(slot - sender->slots), count = builder->record_count;
    struct bytes batch;
    builder->codec = partition_codec(slot->partition, sender->options.codec);
    int rc = batch_builder_finish(builder, &batch);
    if (rc < 0)
        return diag_set(diag, rc, "cannot build a batch of %d records for %s-%d: %s", count,
                        sender->topic.name, index, error_text(rc));
    int64_t base_offset = -1;
    struct diag reason = {.code = 0};
    struct producer *producer = sender->options.producer;
    rc = producer != NULL ? txn_append(producer, slot->partition, builder->batch.data, batch.size,
                                       &base_offset, &reason)
                          : partition_append(slot->partition, builder->batch.data, batch.size,
                                             &base_offset, &reason);
    if (rc < 0 && rc != ERR_TOO_LARGE && rc != ERR_INVALID)
        return diag_set(diag, rc, "%s", reason.text);
    if (rc == 0)
        slot->wait_offset = base_offset + count;
    else
        diag_set(diag, rc, "%d records for %s-%d dropped: %s", count, sender->topic.name, index,
                 reason.text);
    slot_done(sender, slot, base_offset, rc < 0 ? &reason : NULL);
    if (index == sender->sticky)
        sender->sticky = (sender->sticky + 1) % sender->topic.partitions;
    return rc;
}

/* The index of the partition, or ERR_RANGE. */
static int32_t choose_partition(const struct sender *sender, int32_t partition, struct bytes key,
                                struct diag *diag)
{
    if (partition < -1 || partition >= sender->topic.partitions)
        return diag_set(diag, ERR_RANGE, "topic %s has partitions 0 to %d, not %d",
                        sender->topic.name, sender->topic.partitions - 1, partition);
    if (partition >= 0)
        return partition;
    if (key.data != NULL)
        return murmur2_partition(key.data, key.size, sender->topic.partitions);
    return sender->sticky;
}

static bool has_room(const struct sender *sender, const struct slot *slot, size_t size)
{
    size_t collected = batch_builder_bytes(slot->builder);
    return collected == 0 || (collected < sender->options.batch_bytes &&
                              size <= sender->options.batch_bytes - collected);
}

int sender_send_tagged(struct sender *sender, int32_t partition, int64_t timestamp_ms,
                       struct bytes key, struct bytes value, struct bytes headers,
                       int32_t header_count, uint64_t tag, struct diag *diag)
{
    size_t size = key.size + value.size + headers.size + RECORD_OVERHEAD_BYTES;
    struct slot *slot;
    for (;;) {
        int32_t index = choose_partition(sender, partition, key, diag);
        TRY(index);
        slot = &sender->slots[index];
        TRY(partition_admits_record(slot->partition, timestamp_ms, key, diag));
        TRY(slot_builder(sender, slot, diag));
        if (has_room(sender, slot, size))
            break;
        /* The append empties this slot and may move the sticky partition to another one. */
        TRY(slot_append(sender, slot, diag));
    }
    if (timestamp_ms == INT64_MIN)
        timestamp_ms = clock_wall_ms();
    TRY(reserve_report(sender, slot, diag));
    size_t before = batch_builder_bytes(slot->builder);
    if (before == 0)
        slot->first_ns = clock_mono_ns();
    int rc = batch_builder_add(slot->builder, timestamp_ms, key, value, headers, header_count);
    if (rc < 0)
        return diag_set(diag, rc, "a record of %zu bytes for %s-%d: %s", size, sender->topic.name,
                        (int)(slot - sender->slots), error_text(rc));
    sender->collected_bytes += batch_builder_bytes(slot->builder) - before;
    if (slot->sent != NULL && sender->options.keep_tags)
        slot->sent->tags[slot->builder->record_count - 1] = tag;
    return 0;
}

int sender_send(struct sender *sender, int32_t partition, int64_t timestamp_ms, struct bytes key,
                struct bytes value, struct bytes headers, int32_t header_count, struct diag *diag)
{
    return sender_send_tagged(sender, partition, timestamp_ms, key, value, headers, header_count, 0,
                              diag);
}

size_t sender_collected_bytes(const struct sender *sender)
{
    return sender->collected_bytes;
}

int sender_append_older(struct sender *sender, int64_t before_ns, int64_t *oldest_ns,
                        struct diag *diag)
{
    int first = 0;
    *oldest_ns = INT64_MAX;
    for (int32_t i = 0; sender->collected_bytes > 0 && i < sender->topic.partitions; i++) {
        struct slot *slot = &sender->slots[i];
        if (!holds_records(slot))
            continue;
        if (slot->first_ns <= before_ns) {
            int rc = slot_append(sender, slot, first == 0 ? diag : NULL);
            first = first == 0 ? rc : first;
        }
        if (holds_records(slot) && slot->first_ns < *oldest_ns)
            *oldest_ns = slot->first_ns;
    }
    return first;
}

void sender_discard(struct sender *sender, const struct diag *reason)
{
    for (int32_t i = 0; sender->collected_bytes > 0 && i < sender->topic.partitions; i++) {
        struct slot *slot = &sender->slots[i];
        if (holds_records(slot))
            slot_done(sender, slot, -1, reason);
    }
}

int sender_wait(struct sender *sender, int32_t timeout_ms, struct diag *diag)
{
    int64_t until_ms = timeout_ms < 0 ? INT64_MAX : clock_mono_ms() + timeout_ms;
    int first = 0;
    for (int32_t i = 0; i < sender->topic.partitions; i++) {
        struct slot *slot = &sender->slots[i];
        if (slot->wait_offset == 0)
            continue;
        int64_t left_ms = timeout_ms < 0 ? -1 : until_ms - clock_mono_ms();
        int rc = partition_wait(slot->partition, slot->wait_offset,
                                timeout_ms >= 0 && left_ms < 0 ? 0 : (int32_t)left_ms);
        if (rc < 0 && first == 0)
            first = diag_set(diag, rc, "waiting for %s-%d to be flushed: %s", sender->topic.name, i,
                             error_text(rc));
        if (rc == 0 || rc == ERR_NOT_FOUND) /* a deleted topic is said once */
            slot->wait_offset = 0;
    }
    return first;
}

int sender_flush(struct sender *sender, bool wait, struct diag *diag)
{
    int first = 0;
    /* One refused batch does not hold back the others; the first failure is the one reported. */
    for (int32_t i = 0; i < sender->topic.partitions; i++) {
        int rc = slot_append(sender, &sender->slots[i], first == 0 ? diag : NULL);
        if (rc < 0 && first == 0)
            first = rc;
    }
    int rc = wait ? sender_wait(sender, -1, first == 0 ? diag : NULL) : 0;
    return first < 0 ? first : rc;
}

void sender_close(struct sender *sender)
{
    if (sender == NULL)
        return;
    for (int32_t i = 0; i < sender->topic.partitions; i++)
        slot_deinit(&sender->slots[i]);
    free(sender->slots);
    free(sender);
}
