/* config_key.c: the configuration keys of a topic, as one table: what is checked, what is in force
 * when nothing is set, what `weir topic configs` prints and docs/configuration.md holds.
 *
 * Keys that Kafka has keep Kafka's name, meaning, unit and default; where one of these differs, the
 * line says how and why. Ours begin with "weir.". A key has one of three roles:
 *
 *   KEY_ACTS     the log or the engine acts on its value
 *   KEY_FIXED    only one value is true in this log. Tools that set it to that value succeed; any
 *                other value is refused with the reason, since accepting it would promise something
 *                that nobody keeps
 *   KEY_REFUSED  no value of it makes sense here
 *
 * Adding a key is one line here and, when the log itself acts on it, one line in config_effective.
 * The order is the alphabet's within a role: it is the order of every listing. */
#include "log/log_internal.h"

#include <inttypes.h>
#include <stdio.h>

enum { SEGMENT_BYTES_MIN = 256, INDEX_BYTES_MIN = 12 };

#define MOST      INT64_MAX
#define MOST_TEXT "9223372036854775807"

static const struct config_key keys[] = {
    /* ---- the log acts on these ---- */
    {.name = "cleanup.policy",
     .kind = KIND_POLICY,
     .fallback = "delete",
     .help = "What becomes of old records. delete: whole segments go by retention.ms and "
             "retention.bytes. compact: the last record of each key stays. Both, with a comma: "
             "compacted, and old segments go as well.",
     .differs = "The empty list of newer Kafka is refused: retention.ms=-1 keeps everything."},
    {.name = "compression.type",
     .kind = KIND_CHOICE,
     .choices = "producer uncompressed gzip snappy lz4 zstd",
     .fallback = "producer",
     .help =
         "The codec of stored batches. producer: as they arrive. Otherwise a batch with another "
         "codec is encoded anew before it is appended; its records stay byte for byte."},
    {.name = "delete.retention.ms",
     .kind = KIND_NUMBER,
     .unit = "ms",
     .max = MOST,
     .fallback = "86400000",
     .help =
         "How long compaction keeps a tombstone, and a transaction's marker without records, "
         "after it first met it. A reader that takes longer from the start may miss a deletion."},
    {.name = "max.compaction.lag.ms",
     .kind = KIND_NUMBER,
     .unit = "ms",
     .min = 1,
     .max = MOST,
     .fallback = MOST_TEXT,
     .help = "A segment that was last written longer ago is compacted whatever "
             "min.cleanable.dirty.ratio says; the active one is closed for it.",
     .differs = "Counts from the last write to the segment, not from its first record's "
                "timestamp."},
    {.name = "max.message.bytes",
     .kind = KIND_NUMBER,
     .unit = "bytes",
     .max = 1 << 30,
     .fallback = "104857600",
     .help = "The largest batch that is stored, after compression.type was applied.",
     .differs = "Kafka's default is 1048588: a broker bounds the memory that strangers make it "
                "take. A producer inside the process has the batch in memory already, and a row "
                "that an engine made must not fail for being wide. At most 1 GiB instead of 2."},
    {.name = "message.timestamp.after.max.ms",
     .kind = KIND_NUMBER,
     .unit = "ms",
     .max = MOST,
     .fallback = "3600000",
     .help = "A record may be so much ahead of the log's clock; one further ahead refuses its "
             "batch. Not looked at with LogAppendTime.",
     .differs = "One hour, as in Kafka 4.0; Kafka 3 has no limit. One event from a clock that is "
                "years ahead would close every window of a job."},
    {.name = "message.timestamp.before.max.ms",
     .kind = KIND_NUMBER,
     .unit = "ms",
     .max = MOST,
     .fallback = MOST_TEXT,
     .help = "A record may be so much behind the log's clock; one further behind refuses its "
             "batch. Not looked at with LogAppendTime, nor for records without a timestamp (-1)."},
    {.name = "message.timestamp.type",
     .kind = KIND_CHOICE,
     .choices = "CreateTime LogAppendTime",
     .fallback = "CreateTime",
     .help = "CreateTime: a record has the timestamp that its producer gave it. LogAppendTime: the "
             "log's clock at the append, one for the whole batch. Records appended before a change "
             "keep theirs."},
    {.name = "min.cleanable.dirty.ratio",
     .kind = KIND_RATIO,
     .max = 1,
     .fallback = "0.5",
     .help = "A partition is compacted when so large a part of its closed segments, by bytes, was "
             "written since it was compacted last."},
    {.name = "min.compaction.lag.ms",
     .kind = KIND_NUMBER,
     .unit = "ms",
     .max = MOST,
     .fallback = "0",
     .help = "A segment that was written more recently is not compacted yet.",
     .differs = "Counts from the last write to the segment, not from record timestamps."},
    {.name = "retention.bytes",
     .kind = KIND_NUMBER,
     .unit = "bytes",
     .min = -1,
     .max = MOST,
     .fallback = "-1",
     .help = "The oldest segments of a partition go while what is left is at least so large. -1: "
             "no limit. Only with delete in cleanup.policy."},
    {.name = "retention.ms",
     .kind = KIND_NUMBER,
     .unit = "ms",
     .min = -1,
     .max = MOST,
     .fallback = "604800000",
     .help = "A segment goes when so much time has passed since it was last written. -1: never. "
             "Only with delete in cleanup.policy.",
     .differs = "Kafka counts from the largest record timestamp in the segment. Here the log's "
                "clock at the last write counts: a replay of old events does not delete itself, "
                "and one timestamp from the future does not keep a segment for ever."},
    {.name = "segment.bytes",
     .kind = KIND_NUMBER,
     .unit = "bytes",
     .min = SEGMENT_BYTES_MIN,
     .max = INT32_MAX,
     .fallback = "1073741824",
     .help = "The active segment is closed before the batch that would make it larger. Only closed "
             "segments can be removed or compacted.",
     .differs = "At least 256 instead of 1 MiB (Kafka 4.0): small segments cost files, nothing "
                "else."},
    {.name = "segment.index.bytes",
     .kind = KIND_NUMBER,
     .unit = "bytes",
     .min = INDEX_BYTES_MIN,
     .max = INT32_MAX,
     .fallback = "10485760",
     .help = "The active segment is closed when its offset index (8 bytes for about 4 KiB of "
             "batches) or its time index (12 bytes) would grow larger.",
     .differs = "Index files are never preallocated: this is a limit, not space that is taken."},
    {.name = "segment.ms",
     .kind = KIND_NUMBER,
     .unit = "ms",
     .min = 1,
     .max = MOST,
     .fallback = "604800000",
     .help = "The active segment is closed with the first append after it is so old.",
     .differs = "Counts from when the file was made, not from the first record's timestamp."},
    {.name = "weir.internal",
     .kind = KIND_BOOL,
     .fallback = "false",
     .help = "The topic belongs to an app: jobs refuse to read or write it, and producing to it is "
             "refused.",
     .differs = "Kafka has no such key."},
    {.name = "weir.partitioned.by",
     .kind = KIND_TEXT,
     .fallback = NULL,
     .help = "The field whose value decides a record's partition, when all records of the topic "
             "were produced so. A job that groups by it needs no repartitioning.",
     .differs = "Kafka has no such key."},

    /* ---- Kafka's, with one value that is true here ---- */
    {.name = "compression.gzip.level",
     .role = KEY_FIXED,
     .fallback = "-1",
     .help = "gzip is written at its default level."},
    {.name = "compression.lz4.level",
     .role = KEY_FIXED,
     .fallback = "1",
     .help = "lz4 is written at its fast level.",
     .differs = "Kafka's default is 9."},
    {.name = "compression.zstd.level",
     .role = KEY_FIXED,
     .fallback = "3",
     .help = "zstd is written at its default level."},
    {.name = "file.delete.delay.ms",
     .role = KEY_FIXED,
     .fallback = "0",
     .help = "A removed segment's space is free at once: readers hold what they read.",
     .differs = "Kafka's default is 60000."},
    {.name = "flush.messages",
     .role = KEY_FIXED,
     .fallback = MOST_TEXT,
     .help = "No count of records forces a flush: with durability=commit an append is acknowledged "
             "only after a flush anyway, and appends that wait together share one."},
    {.name = "flush.ms",
     .role = KEY_FIXED,
     .fallback = MOST_TEXT,
     .help = "No topic has a flush interval of its own: the whole log flushes what nobody waits "
             "for every few milliseconds."},
    {.name = "follower.replication.throttled.replicas",
     .role = KEY_FIXED,
     .fallback = "",
     .help = "There are no followers."},
    {.name = "index.interval.bytes",
     .role = KEY_FIXED,
     .fallback = "4096",
     .help = "One index entry for so many bytes of batches."},
    {.name = "leader.replication.throttled.replicas",
     .role = KEY_FIXED,
     .fallback = "",
     .help = "There are no followers."},
    {.name = "local.retention.bytes",
     .role = KEY_FIXED,
     .fallback = "-2",
     .help = "All segments are local: retention.bytes is what counts."},
    {.name = "local.retention.ms",
     .role = KEY_FIXED,
     .fallback = "-2",
     .help = "All segments are local: retention.ms is what counts."},
    {.name = "message.downconversion.enable",
     .role = KEY_FIXED,
     .fallback = "false",
     .help = "Batches are read in the format they are stored in, version 2.",
     .differs = "Kafka 3's default is true; Kafka 4.0 has no such key."},
    {.name = "min.insync.replicas",
     .role = KEY_FIXED,
     .fallback = "1",
     .help = "A partition has one copy, in this directory."},
    {.name = "preallocate",
     .role = KEY_FIXED,
     .fallback = "false",
     .help = "Segment files grow as they are written."},
    {.name = "remote.log.copy.disable",
     .role = KEY_FIXED,
     .fallback = "false",
     .help = "There is no remote storage."},
    {.name = "remote.log.delete.on.disable",
     .role = KEY_FIXED,
     .fallback = "false",
     .help = "There is no remote storage."},
    {.name = "remote.storage.enable",
     .role = KEY_FIXED,
     .fallback = "false",
     .help = "There is no remote storage."},
    {.name = "segment.jitter.ms",
     .role = KEY_FIXED,
     .fallback = "0",
     .help = "Segments are closed on the next append after segment.ms; nothing happens to many "
             "topics at one moment that would have to be spread."},
    {.name = "unclean.leader.election.enable",
     .role = KEY_FIXED,
     .fallback = "false",
     .help = "There is no other replica that could be elected."},

    /* ---- Kafka's, refused ---- */
    {.name = "message.format.version",
     .role = KEY_REFUSED,
     .help = "batches have format version 2 (Kafka 0.11 and newer); Kafka 4.0 has no such key "
             "either"},
    {.name = "message.timestamp.difference.max.ms",
     .role = KEY_REFUSED,
     .help = "use message.timestamp.before.max.ms and message.timestamp.after.max.ms, as in Kafka "
             "4.0"},
};

const struct config_key *config_key_at(size_t i)
{
    return i < sizeof keys / sizeof *keys ? &keys[i] : NULL;
}

const struct config_key *config_key_find(const char *name)
{
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strcmp(keys[i].name, name) == 0)
            return &keys[i];
    return NULL;
}

static void choices_text(const char *choices, char *text, size_t text_size)
{
    size_t length = 0;
    for (const char *at = choices; *at != '\0' && length + 3 < text_size; at++) {
        if (*at == ' ')
            text[length++] = ',';
        text[length++] = *at;
    }
    text[length] = '\0';
}

void config_key_values(const struct config_key *key, char *text, size_t text_size)
{
    if (key->role == KEY_FIXED) {
        snprintf(text, text_size, "%s", key->fallback[0] != '\0' ? key->fallback : "nothing");
        return;
    }
    if (key->role == KEY_REFUSED) {
        snprintf(text, text_size, "none");
        return;
    }
    switch (key->kind) {
    case KIND_NUMBER:
        if (key->max == INT64_MAX)
            snprintf(text, text_size, "whole number from %" PRId64, key->min);
        else
            snprintf(text, text_size, "whole number from %" PRId64 " to %" PRId64, key->min,
                     key->max);
        break;
    case KIND_RATIO:
        snprintf(text, text_size, "number from %" PRId64 " to %" PRId64, key->min, key->max);
        break;
    case KIND_BOOL:
        snprintf(text, text_size, "true, false");
        break;
    case KIND_CHOICE:
        choices_text(key->choices, text, text_size);
        break;
    case KIND_POLICY:
        snprintf(text, text_size, "delete, compact, or both with a comma");
        break;
    case KIND_TEXT:
        snprintf(text, text_size, "text of at most %d bytes", CONFIG_TEXT_LIMIT_BYTES);
        break;
    }
}
