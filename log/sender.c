/* sender.c: the embedded producer. Records are collected per partition and appended as one
 * compressed batch.
 *
 * It stands on the public functions of log.h alone and has no thread: a batch is appended by the
 * call that fills it or by sender_flush. One thread owns a sender; several senders may write to one
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
    int64_t wait_offset;           /* end offset of the last append nobody waited for; 0: none */
};

struct sender {
    char topic[sizeof((struct topic_info *)NULL)->name];
    enum codec codec;
    size_t batch_bytes;
    int32_t sticky;
    int32_t partition_count;
    struct slot slots[];
};

static int open_slots(struct log *log, struct sender *sender, struct diag *diag)
{
    for (int32_t i = 0; i < sender->partition_count; i++)
        TRY(partition_get(log, sender->topic, i, &sender->slots[i].partition, diag));
    return 0;
}

int sender_open(struct log *log, const char *topic, const struct sender_options *options,
                struct sender **sender, struct diag *diag)
{
    struct topic_info info;
    *sender = NULL;
    TRY(topic_describe(log, topic, &info, diag));
    must(info.partitions > 0);
    size_t count = (size_t)info.partitions;
    struct sender *opened = calloc(1, sizeof *opened + count * sizeof opened->slots[0]);
    if (opened == NULL)
        return diag_set(diag, ERR_NOMEM, "out of memory for a sender to %s", topic);
    memcpy(opened->topic, info.name, sizeof opened->topic);
    opened->codec = options != NULL && options->codec_is_set ? options->codec : CODEC_LZ4;
    opened->batch_bytes =
        options != NULL && options->batch_bytes != 0 ? options->batch_bytes : SENDER_BATCH_BYTES;
    opened->partition_count = info.partitions;
    opened->sticky = (int32_t)((uint64_t)clock_mono_ns() / 1000 % count);
    int rc = open_slots(log, opened, diag);
    if (rc < 0) {
        sender_close(opened);
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
        return diag_set(diag, ERR_NOMEM, "out of memory for a batch of %s", sender->topic);
    batch_builder_init(slot->builder, sender->codec);
    return 0;
}

/* Appends what the slot collected. */
static int slot_append(struct sender *sender, struct slot *slot, struct diag *diag)
{
    struct batch_builder *builder = slot->builder;
    if (builder == NULL || builder->record_count == 0)
        return 0;
    int32_t index = (int32_t)(slot - sender->slots);
    struct bytes batch;
    int rc = batch_builder_finish(builder, &batch);
    if (rc < 0)
        return diag_set(diag, rc, "cannot build a batch of %d records for %s-%d: %s",
                        builder->record_count, sender->topic, index, error_text(rc));
    int64_t base_offset;
    struct diag reason = {.code = 0};
    rc = partition_append(slot->partition, builder->batch.data, batch.size, &base_offset, &reason);
    if (rc < 0 && rc != ERR_TOO_LARGE && rc != ERR_INVALID)
        return diag_set(diag, rc, "%s", reason.text);
    if (rc == 0)
        slot->wait_offset = base_offset + builder->record_count;
    else
        diag_set(diag, rc, "%d records for %s-%d dropped: %s", builder->record_count, sender->topic,
                 index, reason.text);
    batch_builder_reset(builder);
    if (index == sender->sticky)
        sender->sticky = (sender->sticky + 1) % sender->partition_count;
    return rc;
}

/* The index of the partition, or ERR_RANGE. */
static int32_t choose_partition(const struct sender *sender, int32_t partition, struct bytes key,
                                struct diag *diag)
{
    if (partition < -1 || partition >= sender->partition_count)
        return diag_set(diag, ERR_RANGE, "topic %s has partitions 0 to %d, not %d", sender->topic,
                        sender->partition_count - 1, partition);
    if (partition >= 0)
        return partition;
    if (key.data != NULL)
        return murmur2_partition(key.data, key.size, sender->partition_count);
    return sender->sticky;
}

static bool has_room(const struct sender *sender, const struct slot *slot, size_t size)
{
    size_t collected = batch_builder_bytes(slot->builder);
    return collected == 0 ||
           (collected < sender->batch_bytes && size <= sender->batch_bytes - collected);
}

int sender_send(struct sender *sender, int32_t partition, int64_t timestamp_ms, struct bytes key,
                struct bytes value, struct bytes headers, int32_t header_count, struct diag *diag)
{
    size_t size = key.size + value.size + headers.size + RECORD_OVERHEAD_BYTES;
    struct slot *slot;
    for (;;) {
        int32_t index = choose_partition(sender, partition, key, diag);
        TRY(index);
        slot = &sender->slots[index];
        TRY(slot_builder(sender, slot, diag));
        if (has_room(sender, slot, size))
            break;
        /* The append empties this slot and may move the sticky partition to another one. */
        TRY(slot_append(sender, slot, diag));
    }
    if (timestamp_ms == INT64_MIN)
        timestamp_ms = clock_wall_ms();
    int rc = batch_builder_add(slot->builder, timestamp_ms, key, value, headers, header_count);
    if (rc < 0)
        return diag_set(diag, rc, "a record of %zu bytes for %s-%d: %s", size, sender->topic,
                        (int)(slot - sender->slots), error_text(rc));
    return 0;
}

int sender_flush(struct sender *sender, bool wait, struct diag *diag)
{
    int first = 0;
    /* One refused batch does not hold back the others; the first failure is the one reported. */
    for (int32_t i = 0; i < sender->partition_count; i++) {
        int rc = slot_append(sender, &sender->slots[i], first == 0 ? diag : NULL);
        if (rc < 0 && first == 0)
            first = rc;
    }
    for (int32_t i = 0; wait && i < sender->partition_count; i++) {
        struct slot *slot = &sender->slots[i];
        if (slot->wait_offset == 0)
            continue;
        int rc = partition_wait(slot->partition, slot->wait_offset, -1);
        if (rc < 0) {
            if (first == 0)
                first = diag_set(diag, rc, "waiting for %s-%d to be flushed: %s", sender->topic, i,
                                 error_text(rc));
            continue;
        }
        slot->wait_offset = 0;
    }
    return first;
}

void sender_close(struct sender *sender)
{
    if (sender == NULL)
        return;
    for (int32_t i = 0; i < sender->partition_count; i++) {
        if (sender->slots[i].builder == NULL)
            continue;
        batch_builder_deinit(sender->slots[i].builder);
        free(sender->slots[i].builder);
    }
    free(sender);
}
