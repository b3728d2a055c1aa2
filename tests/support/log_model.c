/* log_model.c: see log_model.h. */
#include "tests/support/log_model.h"
#include "runtime/base/clock.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct ledger *ledger;
struct model_totals *model_totals;

enum { VALUE_MOST_BYTES = 320 };

void model_begin(uint64_t seed, const char *dir)
{
    memset(ledger, 0, sizeof *ledger);
    ledger->random = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    for (int i = 0; i < 8; i++)
        model_random();
    for (int32_t n = 0; n < MODEL_PRODUCERS; n++) {
        ledger->current[n] = -1;
        ledger->group[n] = -1;
    }
    for (int32_t p = 0; p < MODEL_PARTITIONS; p++)
        ledger->start_most[p] = ledger->cut_asked[p] = -1;
    ledger->retention_ms = ledger->retention_bytes = -1;
    snprintf(ledger->dir, sizeof ledger->dir, "%s/log", dir);
}

uint64_t model_random(void)
{
    ledger->random ^= ledger->random << 13;
    ledger->random ^= ledger->random >> 7;
    ledger->random ^= ledger->random << 17;
    return ledger->random;
}

int32_t below(int32_t bound)
{
    return (int32_t)(model_random() % (uint64_t)bound);
}

struct log_options model_options(void)
{
    const int64_t year_ms = INT64_C(365) * 24 * 3600 * 1000;
    return (struct log_options){.keeper_interval_ms = -1,
                                .offsets_retention_ms = year_ms,
                                .producer_expiry_ms = year_ms,
                                .cleaner_bytes_per_s = -1};
}

const char *model_topic(int32_t p)
{
    return p < MODEL_PLAIN_PARTITIONS ? "m" : "c";
}

int32_t model_index(int32_t p)
{
    return p < MODEL_PLAIN_PARTITIONS ? p : p - MODEL_PLAIN_PARTITIONS;
}

/* ---- facts ---- */

int32_t model_note_batch(int32_t partition, int32_t txn, int32_t count)
{
    int32_t batch = ledger->batch_count, first = ledger->record_count;
    must(batch < MODEL_BATCHES && first + count <= MODEL_RECORDS);
    bool keyed = partition >= MODEL_PLAIN_PARTITIONS;
    for (int32_t i = 0; i < count; i++)
        ledger->records[first + i] = (struct record_fact){
            .partition = partition,
            .txn = txn,
            .batch = batch,
            .key = keyed ? below(MODEL_KEYS) : -1,
            .tombstone = keyed && below(4) == 0,
            .offset = UNKNOWN,
        };
    ledger->batches[batch] = (struct batch_fact){
        .first = first,
        .count = count,
        .codec = below(3) == 0 ? below(CODEC_ZSTD + 1) : CODEC_NONE,
        .value_bytes = 8 + below(VALUE_MOST_BYTES - 8),
        .timestamp_ms = clock_wall_ms(),
    };
    ledger->batch_count++;
    ledger->record_count += count;
    return batch;
}

void model_note_offsets(int32_t batch, int64_t base)
{
    const struct batch_fact *fact = &ledger->batches[batch];
    for (int32_t i = 0; i < fact->count; i++)
        ledger->records[fact->first + i].offset = base + i;
}

bool model_is_visible(const struct record_fact *fact)
{
    return fact->offset >= 0 && (fact->txn < 0 || ledger->txns[fact->txn].fate == FATE_COMMITTED);
}

/* ---- batches ---- */

static int64_t record_time(const struct batch_fact *batch, int32_t id)
{
    return batch->timestamp_ms - (id - batch->first) * 3;
}

/* The value of a record: its number, and spaces. */
static struct bytes record_value(const struct batch_fact *batch, int32_t id,
                                 char text[VALUE_MOST_BYTES + 1])
{
    if (ledger->records[id].tombstone)
        return bytes_of(NULL, 0);
    int size = snprintf(text, VALUE_MOST_BYTES + 1, "%-*" PRId32, batch->value_bytes, id);
    return bytes_of(text, (size_t)size);
}

static struct bytes record_key(int32_t id, char text[16])
{
    if (ledger->records[id].key < 0)
        return bytes_of(NULL, 0);
    int size = snprintf(text, 16, "k%" PRId32, ledger->records[id].key);
    return bytes_of(text, (size_t)size);
}

uint8_t *model_encode(int32_t batch, size_t *size)
{
    const struct batch_fact *fact = &ledger->batches[batch];
    struct batch_builder builder;
    struct bytes bytes;
    struct buf headers;
    char value[VALUE_MOST_BYTES + 1], key[16], number[16];
    batch_builder_init(&builder, (enum codec)fact->codec);
    buf_init(&headers, 0);
    for (int32_t id = fact->first; id < fact->first + fact->count; id++) {
        buf_clear(&headers);
        snprintf(number, sizeof number, "%" PRId32, id);
        headers_add(&headers, "id", bytes_text(number));
        must(batch_builder_add(&builder, record_time(fact, id), record_key(id, key),
                               record_value(fact, id, value), bytes_of(headers.data, headers.size),
                               1) == 0);
    }
    must(batch_builder_finish(&builder, &bytes) == 0);
    uint8_t *copy = malloc(bytes.size);
    must(copy != NULL);
    memcpy(copy, bytes.data, bytes.size);
    *size = bytes.size;
    buf_deinit(&headers);
    batch_builder_deinit(&builder);
    return copy;
}

/* ---- reading ---- */

/* The number in the record's only header; -1: something else. */
static int32_t record_id(const struct record *record)
{
    struct bytes headers = record->headers;
    struct header header;
    char text[16] = "";
    if (record->header_count != 1 || header_take(&headers, &header) < 0 ||
        !bytes_equal(header.key, bytes_text("id")) || header.value.size >= sizeof text)
        return -1;
    memcpy(text, header.value.data, header.value.size);
    return (int32_t)atoi(text);
}

static bool is_fact(const struct record *record, int32_t p, int32_t id)
{
    char value[VALUE_MOST_BYTES + 1], key[16];
    if (id < 0 || id >= ledger->record_count || ledger->records[id].partition != p)
        return false;
    const struct batch_fact *batch = &ledger->batches[ledger->records[id].batch];
    return record->timestamp_ms == record_time(batch, id) &&
           bytes_equal(record->key, record_key(id, key)) &&
           bytes_equal(record->value, record_value(batch, id, value));
}

/* One fetch's records. */
static int take_records(struct fetch_reader *reader, int32_t p, struct seen_record *seen,
                        int32_t *count, char why[256])
{
    struct record record;
    int rc;
    while ((rc = fetch_reader_next(reader, &record)) == 1) {
        int32_t id = record_id(&record);
        if (!is_fact(&record, p, id)) {
            snprintf(why, 256, "the record at %" PRId64 " (number %d) was never written so",
                     record.offset, id);
            return -1;
        }
        if (*count == MODEL_RECORDS || (*count > 0 && seen[*count - 1].offset >= record.offset)) {
            snprintf(why, 256, "offset %" PRId64 " does not ascend", record.offset);
            return -1;
        }
        seen[(*count)++] = (struct seen_record){record.offset, id};
    }
    if (rc < 0)
        snprintf(why, 256, "a batch cannot be decoded");
    return rc;
}

int32_t model_read(struct partition *partition, int32_t p, int64_t start, enum isolation isolation,
                   struct seen_record *seen, char why[256])
{
    struct fetch fetch;
    struct fetch_reader reader;
    struct diag diag = {0};
    int32_t count = 0;
    int rc;
    size_t most = (size_t)(1 + below(5000));
    fetch_init(&fetch);
    fetch_reader_init(&reader);
    for (int64_t at = start;; at = fetch.next_offset) {
        rc = partition_fetch(partition, at, isolation, most, &fetch, &diag);
        if (rc < 0)
            snprintf(why, 256, "fetch at %" PRId64 ": %.200s", at, diag.text);
        if (rc < 0 || fetch.next_offset == at)
            break;
        fetch_reader_start(&reader, &fetch, at);
        rc = take_records(&reader, p, seen, &count, why);
        if (rc < 0)
            break;
    }
    fetch_reader_deinit(&reader);
    fetch_deinit(&fetch);
    return rc < 0 ? -1 : count;
}

/* ---- the rules of compaction ---- */

/* Whether the passes that were asked for allow the tombstone to be gone: one that kept it and set its horizon, and one when that had come.
 * With delete.retention.ms=0 it may be the same: where the table of keys is small, one pass follows the other in one call. */
static bool may_be_forgotten(const struct record_fact *fact, int32_t p)
{
    for (int32_t i = 0; i < ledger->pass_count; i++)
        for (int32_t j = i; j < ledger->pass_count; j++)
            if (fact->offset < ledger->passes[i].end[p] &&
                ledger->passes[j].now_ms >=
                    ledger->passes[i].now_ms + ledger->passes[i].delete_retention_ms)
                return true;
    return false;
}

struct key_check {
    int64_t newest_absent; /* of the visible facts of the key that are not shown; -1: all are */
    int64_t oldest_shown, newest_shown;
    int32_t newest;       /* id of the newest visible fact; -1: none */
    int64_t newest_below; /* the newest visible one below clean_end */
};

static void look_at_key(int32_t p, int32_t key, int64_t start, int64_t clean_end, const bool *shown,
                        struct key_check *check)
{
    *check = (struct key_check){-1, INT64_MAX, -1, -1, -1};
    for (int32_t id = 0; id < ledger->record_count; id++) {
        const struct record_fact *fact = &ledger->records[id];
        if (fact->partition != p || fact->key != key || fact->offset < start ||
            !model_is_visible(fact))
            continue;
        if (check->newest < 0 || ledger->records[check->newest].offset < fact->offset)
            check->newest = id;
        if (fact->offset < clean_end && fact->offset > check->newest_below)
            check->newest_below = fact->offset;
        if (!shown[id] && fact->offset > check->newest_absent)
            check->newest_absent = fact->offset;
        if (shown[id] && fact->offset < check->oldest_shown)
            check->oldest_shown = fact->offset;
        if (shown[id] && fact->offset > check->newest_shown)
            check->newest_shown = fact->offset;
    }
}

/* The records of a key that are left are its newest ones, without a hole; none are left only when the newest was a tombstone
 * whose time had come; below what is compacted at most the newest is left. */
int model_check_compacted(int32_t p, int64_t start, int64_t clean_end, int64_t forgotten,
                          const bool *shown, char why[256])
{
    for (int32_t key = 0; key < MODEL_KEYS; key++) {
        struct key_check check;
        look_at_key(p, key, start, clean_end, shown, &check);
        if (check.newest < 0)
            continue;
        const struct record_fact *newest = &ledger->records[check.newest];
        if (check.newest_absent > check.oldest_shown) {
            snprintf(why, 256,
                     "key %d: the record at %" PRId64 " is gone, an older one at %" PRId64
                     " is there",
                     key, check.newest_absent, check.oldest_shown);
            return -1;
        }
        if (!shown[check.newest] && !(newest->tombstone && may_be_forgotten(newest, p))) {
            snprintf(why, 256, "key %d: its newest record at %" PRId64 " is gone (%s)", key,
                     newest->offset, newest->tombstone ? "a tombstone, too early" : "no tombstone");
            return -1;
        }
        if (!shown[check.newest] && forgotten <= newest->offset) {
            snprintf(why, 256,
                     "key %d: the tombstone at %" PRId64 " is gone, the horizon is %" PRId64, key,
                     newest->offset, forgotten);
            return -1;
        }
        if (check.oldest_shown < check.newest_below) {
            snprintf(why, 256,
                     "key %d: the record at %" PRId64 " is there below %" PRId64
                     ", though one at %" PRId64 " is newer",
                     key, check.oldest_shown, clean_end, check.newest_below);
            return -1;
        }
    }
    return 0;
}
