/* admit.c: what happens to a batch between a producer and the log.
 *
 * Every way into a partition, partition_append and txn_append, begins here, and nowhere else is a
 * producer's batch looked at. In this order, cheapest first:
 *
 *   1. the header: exactly one batch, a codec that exists, as many records as offsets, neither a
 *      control batch nor one with a delete horizon, a sequence where there is a producer id
 *   2. the CRC, unless the caller has computed it
 *   3. the records, only where the topic needs them read: a key for each in a compacted topic, no
 *      timestamp too old where message.timestamp.before.max.ms limits it, another codec to write
 *   4. compression.type: the block of records, byte for byte, in the topic's codec. Offsets,
 *      timestamps, headers and the producer's fields stay what they were
 *   5. the largest timestamp against the clock (message.timestamp.after.max.ms)
 *
 * and max.message.bytes of what will be stored: at once when that is what came, else after 4.
 *
 * All of it runs before partition.mutex is taken, so that threads compress side by side. The one
 * thing that must not is LogAppendTime: in a partition it has to ascend with the offsets, so that
 * admit_stamp reads the clock under the mutex. A batch that comes with that mark already, because
 * an append failed after it was stamped and is tried again, or because it was read from another
 * topic, loses it in a topic with CreateTime: its records still have their own times.
 *
 * A plain batch for a plain topic pays for nothing but its CRC, as it must: no record is looked at
 * and no byte is copied. Topics that an app makes for itself (weir.internal) are not read for null
 * keys either, since only the engine writes to them and gives each record its key.
 *
 * Memory for decompressed and encoded blocks belongs to the thread, is used again for its next
 * batch, and is given back by admit_done when a batch made it large. */
#include "log/log_internal.h"
#include "runtime/base/clock.h"

#include <inttypes.h>
#include <stdlib.h>

enum { SCRATCH_KEEP_BYTES = 4 << 20 };
#define NO_TIMESTAMP (-1) /* as Kafka has it: a record whose producer gave none */

/* ---- memory of a thread ---- */

struct scratch {
    struct buf plain, encoded;
};

static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;
static pthread_key_t scratch_key;
static _Thread_local struct scratch *thread_scratch;

static void scratch_destroy(void *memory)
{
    struct scratch *scratch = memory;
    buf_deinit(&scratch->plain);
    buf_deinit(&scratch->encoded);
    free(scratch);
    thread_scratch = NULL;
}

static void scratch_make_key(void)
{
    must(pthread_key_create(&scratch_key, scratch_destroy) == 0);
}

static struct scratch *scratch_get(void)
{
    if (thread_scratch != NULL)
        return thread_scratch;
    pthread_once(&scratch_once, scratch_make_key);
    struct scratch *scratch = calloc(1, sizeof *scratch);
    if (scratch == NULL || pthread_setspecific(scratch_key, scratch) != 0) {
        free(scratch);
        return NULL;
    }
    thread_scratch = scratch;
    return scratch;
}

static void scratch_trim(struct buf *buf)
{
    if (buf->capacity > SCRATCH_KEEP_BYTES)
        buf_deinit(buf);
}

void admit_done(struct admission *admission)
{
    if (!admission->uses_scratch)
        return;
    scratch_trim(&thread_scratch->plain);
    scratch_trim(&thread_scratch->encoded);
}

/* ---- what the topic asks for ---- */

/* One look at the topic's values for the whole batch: they may be altered meanwhile. */
struct rules {
    const struct topic *topic;
    int32_t partition;
    int64_t max_message_bytes, before_max_ms, after_max_ms, now_ms;
    int compression;
    bool log_append_time, needs_keys;
};

static struct rules rules_of(const struct partition *partition)
{
    struct topic *topic = partition->topic;
    return (struct rules){
        .topic = topic,
        .partition = partition->index,
        .max_message_bytes = atomic_load(&topic->max_message_bytes),
        .before_max_ms = atomic_load(&topic->timestamp_before_max_ms),
        .after_max_ms = atomic_load(&topic->timestamp_after_max_ms),
        .now_ms = clock_wall_ms(),
        .compression = atomic_load(&topic->compression),
        .log_append_time = atomic_load(&topic->log_append_time),
        .needs_keys = atomic_load(&topic->compacted) && !atomic_load(&topic->internal),
    };
}

static bool codec_changes(const struct rules *rules, const struct batch_header *header)
{
    return rules->compression != COMPRESSION_PRODUCER &&
           rules->compression != (header->attributes & BATCH_ATTR_CODEC);
}

/* The batch is stamped, and the topic wants the times of the records. */
static bool loses_its_stamp(const struct rules *rules, const struct batch_header *header)
{
    return !rules->log_append_time && (header->attributes & BATCH_ATTR_LOG_APPEND_TIME) != 0;
}

static bool limits_the_past(const struct rules *rules)
{
    return !rules->log_append_time && rules->before_max_ms != INT64_MAX;
}

/* ---- the header ---- */

static int check_size(const struct rules *rules, size_t size, struct diag *diag)
{
    if ((int64_t)size <= rules->max_message_bytes)
        return 0;
    return diag_set(diag, ERR_TOO_LARGE,
                    "a batch of %zu bytes for %s-%d: max.message.bytes is %" PRId64, size,
                    rules->topic->name, rules->partition, rules->max_message_bytes);
}

static int check_marks(const struct rules *rules, const struct batch_header *header,
                       struct diag *diag)
{
    if ((header->attributes & BATCH_ATTR_CONTROL) != 0)
        return diag_set(diag, ERR_INVALID, "control batches are written by the log itself");
    if ((header->attributes & BATCH_ATTR_DELETE_HORIZON) != 0)
        return diag_set(diag, ERR_INVALID,
                        "a batch for %s-%d has a delete horizon: only compaction sets it",
                        rules->topic->name, rules->partition);
    if ((header->attributes & BATCH_ATTR_CODEC) > CODEC_ZSTD)
        return diag_set(diag, ERR_UNSUPPORTED, "a batch for %s-%d has codec %d, which is none",
                        rules->topic->name, rules->partition,
                        header->attributes & BATCH_ATTR_CODEC);
    return 0;
}

static int check_header(const struct rules *rules, struct bytes batch, struct batch_header *header,
                        struct diag *diag)
{
    int rc = batch_parse_header(batch, header, diag);
    if (rc == ERR_RANGE)
        rc = diag_set(diag, ERR_CORRUPT, "a batch for %s-%d is cut: %zu bytes", rules->topic->name,
                      rules->partition, batch.size);
    TRY(rc);
    if ((size_t)header->size_bytes != batch.size)
        return diag_set(diag, ERR_INVALID, "%zu bytes for %s-%d are not exactly one batch",
                        batch.size, rules->topic->name, rules->partition);
    if (header->record_count < 1 || header->record_count - 1 != header->last_offset_delta)
        return diag_set(
            diag, ERR_INVALID, "a batch for %s-%d has %d records but last offset delta %d",
            rules->topic->name, rules->partition, header->record_count, header->last_offset_delta);
    TRY(check_marks(rules, header, diag));
    if (header->producer_id >= 0 && header->base_sequence < 0)
        return diag_set(
            diag, ERR_INVALID, "a batch of producer %" PRId64 " for %s-%d has sequence %d",
            header->producer_id, rules->topic->name, rules->partition, header->base_sequence);
    return 0;
}

/* ---- times ---- */

static int check_past(const struct rules *rules, int64_t timestamp_ms, struct diag *diag)
{
    /* A clock so early that the smallest time allowed does not exist allows all. */
    if (!limits_the_past(rules) || timestamp_ms == NO_TIMESTAMP ||
        rules->now_ms < INT64_MIN + rules->before_max_ms ||
        timestamp_ms >= rules->now_ms - rules->before_max_ms)
        return 0;
    return diag_set(diag, ERR_INVALID,
                    "a timestamp of %" PRId64 " for %s-%d is more than %" PRId64
                    " ms behind the clock (message.timestamp.before.max.ms)",
                    timestamp_ms, rules->topic->name, rules->partition, rules->before_max_ms);
}

static int check_future(const struct rules *rules, int64_t timestamp_ms, struct diag *diag)
{
    if (rules->log_append_time || timestamp_ms <= rules->now_ms ||
        rules->after_max_ms > INT64_MAX - rules->now_ms ||
        timestamp_ms <= rules->now_ms + rules->after_max_ms)
        return 0;
    return diag_set(diag, ERR_INVALID,
                    "a timestamp of %" PRId64 " for %s-%d is more than %" PRId64
                    " ms ahead of the clock (message.timestamp.after.max.ms)",
                    timestamp_ms, rules->topic->name, rules->partition, rules->after_max_ms);
}

/* ---- the records ---- */

static inline int check_record(const struct rules *rules, const struct record_reader *reader,
                               const struct record *record, struct diag *diag)
{
    int32_t index = reader->index - 1;
    if (record->offset - reader->header.base_offset != index)
        return diag_set(
            diag, ERR_CORRUPT, "record %d of a batch for %s-%d has offset delta %" PRId64, index,
            rules->topic->name, rules->partition, record->offset - reader->header.base_offset);
    if (rules->needs_keys && record->key.data == NULL)
        return diag_set(diag, ERR_INVALID,
                        "record %d of a batch for %s-%d has no key: in a compacted topic "
                        "(cleanup.policy) every record needs one",
                        index, rules->topic->name, rules->partition);
    return check_past(rules, record->timestamp_ms, diag);
}

/* Reads the records through. *block: all of them, plain; in plain or in the batch itself.
 * *max_timestamp_ms: of their own times. */
static int check_records(const struct rules *rules, struct bytes batch, struct buf *plain,
                         struct bytes *block, int64_t *max_timestamp_ms, struct diag *diag)
{
    struct record_reader reader;
    struct record record;
    int rc;
    TRY(record_reader_open(&reader, batch, BATCH_PLAIN_LIMIT_BYTES, plain, diag));
    reader.header.attributes &= (uint16_t)~BATCH_ATTR_LOG_APPEND_TIME;
    *block = reader.rest;
    *max_timestamp_ms = INT64_MIN;
    while ((rc = record_reader_next(&reader, &record)) == 1) {
        TRY(check_record(rules, &reader, &record, diag));
        if (record.timestamp_ms > *max_timestamp_ms)
            *max_timestamp_ms = record.timestamp_ms;
    }
    if (rc < 0)
        return diag_set(diag, rc, "record %d of %d of a batch for %s-%d is broken", reader.index,
                        reader.header.record_count, rules->topic->name, rules->partition);
    return 0;
}

static int recode(const struct rules *rules, struct bytes batch, struct bytes block,
                  struct buf *encoded, struct admission *admission, struct diag *diag)
{
    int rc = batch_recode(batch, block, (enum codec)rules->compression, encoded);
    if (rc < 0)
        return diag_set(diag, rc, "a batch for %s-%d cannot be encoded as %s: %s",
                        rules->topic->name, rules->partition, codec_name(rules->compression),
                        error_text(rc));
    TRY(check_size(rules, encoded->size, diag));
    admission->batch = encoded->data;
    return batch_parse_header(bytes_of(encoded->data, encoded->size), &admission->header, diag);
}

/* The way of a batch whose records the topic wants read or written anew. */
static int admit_records(const struct rules *rules, struct bytes batch, struct admission *admission,
                         struct diag *diag)
{
    struct bytes block;
    int64_t max_timestamp_ms;
    struct scratch *scratch = scratch_get();
    if (scratch == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for a batch for %s-%d", rules->topic->name,
                        rules->partition);
    admission->uses_scratch = true;
    TRY(check_records(rules, batch, &scratch->plain, &block, &max_timestamp_ms, diag));
    bool unstamp = loses_its_stamp(rules, &admission->header);
    if (codec_changes(rules, &admission->header))
        TRY(recode(rules, batch, block, &scratch->encoded, admission, diag));
    if (unstamp) {
        batch_set_time(admission->batch, false, max_timestamp_ms);
        admission->header.attributes &= (uint16_t)~BATCH_ATTR_LOG_APPEND_TIME;
        admission->header.max_timestamp_ms = max_timestamp_ms;
    }
    return 0;
}

/* ---- all of it ---- */

int admit_batch(const struct partition *partition, uint8_t *batch, size_t size, enum crc_check crc,
                struct admission *admission, struct diag *diag)
{
    struct rules rules = rules_of(partition);
    struct bytes bytes = bytes_of(batch, size);
    atomic_store_explicit(&partition->topic->seen_ms, rules.now_ms, memory_order_relaxed);
    *admission = (struct admission){.batch = batch, .log_append_time = rules.log_append_time};
    if (rules.compression == COMPRESSION_PRODUCER)
        TRY(check_size(&rules, size, diag));
    TRY(check_header(&rules, bytes, &admission->header, diag));
    const struct batch_header *header = &admission->header;
    bool changes = codec_changes(&rules, header);
    if (!changes)
        TRY(check_size(&rules, size, diag));
    if (crc == CRC_CHECK)
        TRY(batch_check_crc(bytes, diag));
    int rc = 0;
    if (changes || rules.needs_keys || limits_the_past(&rules) || loses_its_stamp(&rules, header))
        rc = admit_records(&rules, bytes, admission, diag);
    if (rc == 0)
        rc = check_future(&rules, header->max_timestamp_ms, diag);
    if (rc < 0)
        admit_done(admission);
    return rc;
}

void admit_stamp(struct admission *admission)
{
    if (!admission->log_append_time)
        return;
    int64_t now_ms = clock_wall_ms();
    batch_set_time(admission->batch, true, now_ms);
    admission->header.max_timestamp_ms = now_ms;
    admission->header.attributes |= BATCH_ATTR_LOG_APPEND_TIME;
}

/* ---- for who collects records ---- */

/* Most records: the time is near that of the last admission, and the clock need not be asked. */
static bool is_plainly_in_time(const struct topic *topic, int64_t timestamp_ms)
{
    int64_t seen_ms = atomic_load_explicit(&topic->seen_ms, memory_order_relaxed);
    return atomic_load(&topic->timestamp_before_max_ms) == INT64_MAX &&
           (timestamp_ms <= seen_ms ||
            timestamp_ms - seen_ms <= atomic_load(&topic->timestamp_after_max_ms));
}

int partition_admits_record(const struct partition *partition, int64_t timestamp_ms,
                            struct bytes key, struct diag *diag)
{
    const struct topic *topic = partition->topic;
    bool in_time = timestamp_ms == INT64_MIN || is_plainly_in_time(topic, timestamp_ms);
    if (in_time && (key.data != NULL || !atomic_load(&topic->compacted)))
        return 0;
    struct rules rules = rules_of(partition);
    if (rules.needs_keys && key.data == NULL)
        return diag_set(diag, ERR_INVALID,
                        "a record for %s-%d has no key: in a compacted topic (cleanup.policy) "
                        "every record needs one",
                        topic->name, partition->index);
    if (in_time)
        return 0;
    TRY(check_past(&rules, timestamp_ms, diag));
    return check_future(&rules, timestamp_ms, diag);
}

enum codec partition_codec(const struct partition *partition, enum codec codec)
{
    int compression = atomic_load(&partition->topic->compression);
    return compression == COMPRESSION_PRODUCER ? codec : (enum codec)compression;
}
