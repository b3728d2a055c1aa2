/* clean_batch.c: what stays of a batch when its partition is compacted.
 *
 * Kafka's rules. A record goes when
 *   - the key map has a newer offset of its key;
 *   - it has no key: nothing can ever replace it, and nobody can ask for it;
 *   - it is a tombstone (no value) whose delete horizon has passed;
 *   - its transaction was aborted;
 *   - it lies below the partition's start offset.
 * Records at or above map_end are not judged, but the aborted ones: the map does not know what
 * follows them.
 *
 * The delete horizon: a reader that is behind must see that a key was deleted. So a tombstone is
 * not removed in the pass that removed what it deleted, but in one after delete.retention.ms. The
 * pass that first keeps it writes the time from which on it may go into the batch: attribute bit 6,
 * base_timestamp = now + delete.retention.ms, the records' timestamps relative to that. It is
 * written once and never moved, or a partition that is compacted often would keep its tombstones
 * for ever. That a tombstone goes only when all older values of its key are gone follows from the
 * order of the work: a pass rewrites a partition from its first segment on, in order, and a
 * tombstone is stamped by a pass that has its key in the map.
 *
 * While somebody follows the partition as a table (partition_keep_tombstones), the tombstones it
 * has not seen stay longer than that.
 *
 * Markers are never looked up by key: all of them have the same few keys. A marker stays as long as
 * anything stays of its transaction, because readers, and recovery, ask it for the outcome. One
 * whose data is all gone is stamped like a tombstone and goes later. With an abort marker its range
 * leaves the list of aborted transactions, in the same write to meta: Kafka's readers would take
 * later transactions of the producer for aborted if the list named a transaction that no marker
 * ends. The other way round nothing aborted can come back: the records went earlier, or in the same
 * pass, and a reader that still holds them looks again (partition_read.c).
 *
 * The last batch of each producer that is still known keeps its header, without records if need be:
 * its epoch and sequence are what a retry is told by.
 *
 * What the map knows of the dirty part fits into one bit a record: whether it is the newest of its
 * key. With that, a batch of which nothing is new is dropped without being decompressed, and the
 * records of the others are told apart without hashing their keys again.
 *
 * A batch that loses nothing is handed back as it is. Otherwise offsets, timestamps, headers and
 * the header's other fields stay as they were: kept records are copied byte for byte, and encoded
 * anew only where a stamp moves their base. */
#include "log/compact_internal.h"

#include <stdlib.h>

enum {
    LOOK_AHEAD = 32, /* records that are hashed and prefetched together */
    HELD_LEAST_MS = 60000
};

void cleaner_init(struct cleaner *cleaner, struct partition *partition)
{
    *cleaner = (struct cleaner){.partition = partition, .last_horizon_ms = -1};
    fetch_init(&cleaner->aborted);
    buf_init(&cleaner->plain, 0);
    buf_init(&cleaner->records, 0);
    buf_init(&cleaner->encoded, 0);
    buf_init(&cleaner->batch, 0);
    buf_init(&cleaner->ended, 0);
}

void cleaner_deinit(struct cleaner *cleaner)
{
    key_map_deinit(&cleaner->map);
    free(cleaner->newest);
    fetch_deinit(&cleaner->aborted);
    free(cleaner->with_data.ids);
    buf_deinit(&cleaner->plain);
    buf_deinit(&cleaner->records);
    buf_deinit(&cleaner->encoded);
    buf_deinit(&cleaner->batch);
    buf_deinit(&cleaner->ended);
}

/* ---- producers with data ---- */

static size_t id_home(const struct id_set *set, int64_t id)
{
    return (size_t)(((uint64_t)id * UINT64_C(0x9E3779B97F4A7C15)) >> 32) & (set->capacity - 1);
}

static bool id_has(const struct id_set *set, int64_t id)
{
    if (set->capacity == 0)
        return false;
    size_t at = id_home(set, id);
    while (set->ids[at] != -1 && set->ids[at] != id)
        at = (at + 1) & (set->capacity - 1);
    return set->ids[at] == id;
}

static void id_place(struct id_set *set, int64_t id)
{
    size_t at = id_home(set, id);
    while (set->ids[at] != -1)
        at = (at + 1) & (set->capacity - 1);
    set->ids[at] = id;
    set->count++;
}

static int id_add(struct id_set *set, int64_t id)
{
    if (id_has(set, id))
        return 0;
    if (set->count * 2 >= set->capacity) {
        struct id_set larger = {.capacity = set->capacity == 0 ? 64 : set->capacity * 2};
        larger.ids = malloc(larger.capacity * sizeof *larger.ids);
        if (larger.ids == NULL)
            return ERR_NOMEM;
        for (size_t i = 0; i < larger.capacity; i++)
            larger.ids[i] = -1;
        for (size_t i = 0; i < set->capacity; i++)
            if (set->ids[i] != -1)
                id_place(&larger, set->ids[i]);
        free(set->ids);
        *set = larger;
    }
    id_place(set, id);
    return 0;
}

/* Those behind it in its run move up, so that no search ends too early. */
static void id_remove(struct id_set *set, int64_t id)
{
    if (!id_has(set, id))
        return;
    size_t mask = set->capacity - 1, hole = id_home(set, id);
    while (set->ids[hole] != id)
        hole = (hole + 1) & mask;
    for (size_t at = (hole + 1) & mask; set->ids[at] != -1; at = (at + 1) & mask) {
        size_t home = id_home(set, set->ids[at]);
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            set->ids[hole] = set->ids[at];
            hole = at;
        }
    }
    set->ids[hole] = -1;
    set->count--;
}

/* ---- aborted transactions ---- */

int cleaner_begin_segment(struct cleaner *cleaner, const struct segment *segment, struct diag *diag)
{
    cleaner->aborted_first = 0;
    if (partition_collect_aborted(cleaner->partition, segment->base_offset, segment->end_offset,
                                  &cleaner->aborted) < 0)
        return diag_set(diag, ERR_NOMEM, "no memory for aborted transactions");
    return 0;
}

/* Batches come in order, so entries that end below this one are left behind for good. */
static bool is_aborted(struct cleaner *cleaner, const struct batch_header *header)
{
    const struct aborted *list = cleaner->aborted.aborted;
    size_t count = cleaner->aborted.aborted_count;
    if ((header->attributes & BATCH_ATTR_TRANSACTIONAL) == 0)
        return false;
    while (cleaner->aborted_first < count &&
           list[cleaner->aborted_first].last_offset < header->base_offset)
        cleaner->aborted_first++;
    for (size_t i = cleaner->aborted_first; i < count; i++) {
        if (list[i].first_offset > header->base_offset)
            return false;
        if (list[i].producer_id == header->producer_id &&
            header->base_offset <= list[i].last_offset)
            return true;
    }
    return false;
}

/* ---- reading ahead ---- */

struct ahead { /* some records of a batch, hashed, their slots on the way into the cache */
    struct record records[LOOK_AHEAD];
    struct hash128 hashes[LOOK_AHEAD];
    const uint8_t
        *ends[LOOK_AHEAD]; /* of each record's bytes; each begins where the one before ends */
    int count;
};

/* 0, also when there are none left; ERR_CORRUPT. */
static int look_ahead(const struct cleaner *cleaner, struct record_reader *reader, bool hashed,
                      int64_t *last_offset, struct ahead *ahead)
{
    int rc = 0;
    ahead->count = 0;
    while (ahead->count < LOOK_AHEAD &&
           (rc = record_reader_next(reader, &ahead->records[ahead->count])) == 1) {
        const struct record *record = &ahead->records[ahead->count];
        if (record->offset <= *last_offset)
            return ERR_CORRUPT;
        *last_offset = record->offset;
        if (hashed && record->key.data != NULL) {
            ahead->hashes[ahead->count] = hash128(record->key.data, record->key.size);
            key_map_prefetch(&cleaner->map, ahead->hashes[ahead->count]);
        }
        ahead->ends[ahead->count++] = reader->rest.data;
    }
    return rc < 0 ? rc : 0;
}

static int broken_records(const struct batch_header *header, int code, struct diag *diag)
{
    if (code != ERR_CORRUPT)
        return code;
    return diag_set(diag, code, "the records of the batch at offset %lld are broken",
                    (long long)header->base_offset);
}

/* ---- the map ---- */

static bool map_records(struct cleaner *cleaner, const struct ahead *ahead)
{
    for (int i = 0; i < ahead->count; i++) {
        const struct record *record = &ahead->records[i];
        if (record->offset < cleaner->clean_end)
            continue;
        if (record->key.data == NULL) {
            cleaner->keyless_removed++; /* as it will be when its batch is filtered */
            continue;
        }
        if (!key_map_put(&cleaner->map, ahead->hashes[i], record->offset)) {
            cleaner->map_end = record->offset;
            return false;
        }
    }
    return true;
}

int cleaner_map_batch(struct cleaner *cleaner, struct bytes batch, struct diag *diag)
{
    struct record_reader reader;
    struct ahead ahead;
    TRY(batch_parse_header(batch, &reader.header, diag));
    const struct batch_header *header = &reader.header;
    if ((header->attributes & BATCH_ATTR_CONTROL) != 0 || header->record_count == 0 ||
        batch_last_offset(header) < cleaner->clean_end || is_aborted(cleaner, header))
        return 0;
    TRY(record_reader_open(&reader, batch, BATCH_PLAIN_LIMIT_BYTES, &cleaner->plain, diag));
    int64_t last_offset = header->base_offset - 1;
    do {
        int rc = look_ahead(cleaner, &reader, true, &last_offset, &ahead);
        if (rc < 0)
            return broken_records(header, rc, diag);
        if (!map_records(cleaner, &ahead))
            return 1;
    } while (ahead.count == LOOK_AHEAD);
    return 0;
}

void cleaner_end_map(struct cleaner *cleaner, size_t memory_bytes)
{
    uint64_t count = (uint64_t)(cleaner->map_end - cleaner->clean_end);
    if (cleaner->map_end <= cleaner->clean_end || count / 8 >= memory_bytes)
        return;
    cleaner->newest = calloc(count / 64 + 1, sizeof *cleaner->newest);
    if (cleaner->newest != NULL)
        key_map_mark(&cleaner->map, cleaner->clean_end, cleaner->newest, count);
}

/* Whether the bits speak of all of a batch. */
static bool has_bits(const struct cleaner *cleaner, const struct batch_header *header)
{
    return cleaner->newest != NULL && header->base_offset >= cleaner->clean_end &&
           batch_last_offset(header) < cleaner->map_end;
}

static bool is_newest(const struct cleaner *cleaner, int64_t offset)
{
    uint64_t at = (uint64_t)(offset - cleaner->clean_end);
    return (cleaner->newest[at / 64] >> (at % 64) & 1) != 0;
}

static bool has_newest(const struct cleaner *cleaner, const struct batch_header *header)
{
    int64_t last = batch_last_offset(header);
    for (int64_t offset = header->base_offset; offset <= last; offset++)
        if (is_newest(cleaner, offset))
            return true;
    return false;
}

/* ---- rebuilding ---- */

/* Assembles a batch in cleaner->batch. */
static int rebuild(struct cleaner *cleaner, const struct batch_header *header, struct buf *records,
                   struct bytes *kept, struct diag *diag)
{
    buf_clear(&cleaner->batch);
    int rc = buf_ok(records)
                 ? batch_assemble(header, bytes_of(records->data, records->size), &cleaner->batch)
                 : ERR_NOMEM;
    if (rc < 0)
        return diag_set(diag, rc, "the batch at offset %lld cannot be written anew: %s",
                        (long long)header->base_offset, error_text(rc));
    *kept = bytes_of(cleaner->batch.data, cleaner->batch.size);
    cleaner->changed = true;
    return 0;
}

/* A retention that reaches over the end of time is for ever. */
static int64_t later(int64_t now_ms, int64_t wait_ms)
{
    return wait_ms > INT64_MAX - now_ms ? INT64_MAX : now_ms + wait_ms;
}

/* Encodes the kept records (in cleaner->records) again, relative to a delete horizon. */
static int stamp(struct cleaner *cleaner, struct batch_header *header, struct bytes *kept,
                 struct diag *diag)
{
    struct record_reader reader = {.header = *header,
                                   .rest = bytes_of(cleaner->records.data, cleaner->records.size)};
    struct record record;
    int64_t horizon = later(cleaner->now_ms, cleaner->delete_retention_ms);
    int rc;
    buf_clear(&cleaner->encoded);
    while ((rc = record_reader_next(&reader, &record)) == 1) {
        rc = record_encode(&cleaner->encoded,
                           (int64_t)((uint64_t)record.timestamp_ms - (uint64_t)horizon),
                           (int32_t)(record.offset - header->base_offset), record.key, record.value,
                           record.headers, record.header_count);
        if (rc < 0)
            break;
    }
    if (rc < 0)
        return broken_records(header, rc, diag);
    header->attributes |= BATCH_ATTR_DELETE_HORIZON;
    header->base_timestamp_ms = horizon;
    return rebuild(cleaner, header, &cleaner->encoded, kept, diag);
}

/* Something of the batch stays: its transaction's marker has to. */
static int note_data(struct cleaner *cleaner, const struct batch_header *header, struct diag *diag)
{
    if ((header->attributes & BATCH_ATTR_TRANSACTIONAL) == 0 ||
        (header->attributes & BATCH_ATTR_CONTROL) != 0)
        return 0;
    if (id_add(&cleaner->with_data, header->producer_id) < 0)
        return diag_set(diag, ERR_NOMEM, "no memory for producers");
    return 0;
}

static void note_horizon(struct cleaner *cleaner, const struct batch_header *header)
{
    if ((header->attributes & BATCH_ATTR_DELETE_HORIZON) != 0 &&
        header->base_timestamp_ms > cleaner->last_horizon_ms)
        cleaner->last_horizon_ms = header->base_timestamp_ms;
}

/* What is held is looked at again after a while, not in every pass. */
static void hold_horizon(struct cleaner *cleaner)
{
    int64_t wait = cleaner->delete_retention_ms;
    int64_t again = later(cleaner->now_ms, wait > HELD_LEAST_MS ? wait : HELD_LEAST_MS);
    if (again > cleaner->last_horizon_ms)
        cleaner->last_horizon_ms = again;
}

static bool is_last(const struct cleaner *cleaner, const struct batch_header *header)
{
    return header->producer_id >= 0 &&
           producer_state_is_last(cleaner->partition, header->producer_id,
                                  batch_last_offset(header));
}

/* No record stays: nothing, or the header of a producer's last batch. */
static int drop_batch(struct cleaner *cleaner, const struct batch_header *header,
                      struct bytes batch, struct bytes *kept, struct diag *diag)
{
    cleaner->removed += header->record_count;
    *kept = bytes_of(NULL, 0);
    if (!is_last(cleaner, header)) {
        cleaner->changed = true;
        return 0;
    }
    TRY(note_data(cleaner, header, diag));
    if (header->record_count == 0) {
        *kept = batch;
        return 0;
    }
    struct batch_header empty = *header;
    struct buf none = {0};
    empty.attributes &= (uint16_t) ~(BATCH_ATTR_CODEC | BATCH_ATTR_DELETE_HORIZON);
    empty.base_timestamp_ms = header->max_timestamp_ms;
    empty.record_count = 0;
    return rebuild(cleaner, &empty, &none, kept, diag);
}

/* ---- records ---- */

struct filtered { /* of one batch */
    int32_t kept, tombstones;
    int64_t max_timestamp_ms;
    bool horizon_passed, has_bits;
    bool is_held; /* tombstones whose horizon has passed are still needed */
};

static bool stays(struct cleaner *cleaner, struct filtered *filtered, const struct record *record,
                  struct hash128 hash)
{
    if (record->offset < cleaner->start_offset)
        return false;
    if (record->offset >= cleaner->map_end)
        return true;
    if (record->key.data == NULL)
        return false;
    if (filtered->has_bits ? !is_newest(cleaner, record->offset)
                           : key_map_get(&cleaner->map, hash) > record->offset)
        return false;
    if (record->value.data != NULL || !filtered->horizon_passed)
        return true;
    if (record->offset >= cleaner->tombstones_needed) {
        filtered->is_held = true;
        return true;
    }
    cleaner->tombstones_removed++;
    if (record->offset >= cleaner->tombstone_horizon)
        cleaner->tombstone_horizon = record->offset + 1;
    return false;
}

static void note_kept(struct filtered *filtered, const struct record *record)
{
    if (filtered->kept == 0 || record->timestamp_ms > filtered->max_timestamp_ms)
        filtered->max_timestamp_ms = record->timestamp_ms;
    if (record->value.data == NULL)
        filtered->tombstones++;
    filtered->kept++;
}

/* Puts the bytes of the records that stay into cleaner->records, in runs: *run is where the current
 * one began. */
static void keep_runs(struct cleaner *cleaner, const struct ahead *ahead, struct filtered *filtered,
                      const uint8_t **run, const uint8_t *at)
{
    for (int i = 0; i < ahead->count; at = ahead->ends[i++]) {
        if (stays(cleaner, filtered, &ahead->records[i], ahead->hashes[i])) {
            note_kept(filtered, &ahead->records[i]);
            continue;
        }
        buf_append(&cleaner->records, *run, (size_t)(at - *run));
        *run = ahead->ends[i];
    }
}

static int filter_records(struct cleaner *cleaner, struct record_reader *reader,
                          struct filtered *filtered)
{
    struct ahead ahead;
    const uint8_t *run = reader->rest.data;
    int64_t last_offset = reader->header.base_offset - 1;
    buf_clear(&cleaner->records);
    do {
        const uint8_t *at = reader->rest.data;
        TRY(look_ahead(cleaner, reader, !filtered->has_bits, &last_offset, &ahead));
        keep_runs(cleaner, &ahead, filtered, &run, at);
    } while (ahead.count == LOOK_AHEAD);
    buf_append(&cleaner->records, run, (size_t)(reader->rest.data - run));
    return buf_ok(&cleaner->records) ? 0 : ERR_NOMEM;
}

static int filter_data(struct cleaner *cleaner, const struct batch_header *header,
                       struct bytes batch, struct bytes *kept, struct diag *diag)
{
    struct record_reader reader;
    bool stamped = (header->attributes & BATCH_ATTR_DELETE_HORIZON) != 0;
    struct filtered filtered = {.horizon_passed =
                                    stamped && cleaner->now_ms >= header->base_timestamp_ms,
                                .has_bits = has_bits(cleaner, header)};
    if (filtered.has_bits && !has_newest(cleaner, header))
        return drop_batch(cleaner, header, batch, kept, diag);
    TRY(record_reader_open(&reader, batch, BATCH_PLAIN_LIMIT_BYTES, &cleaner->plain, diag));
    int rc = filter_records(cleaner, &reader, &filtered);
    if (rc < 0)
        return broken_records(header, rc, diag);
    if (filtered.kept == 0)
        return drop_batch(cleaner, header, batch, kept, diag);
    TRY(note_data(cleaner, header, diag));
    cleaner->kept += filtered.kept;
    cleaner->removed += header->record_count - filtered.kept;
    struct batch_header rest = *header;
    rest.record_count = filtered.kept;
    if ((header->attributes & BATCH_ATTR_LOG_APPEND_TIME) == 0)
        rest.max_timestamp_ms = filtered.max_timestamp_ms;
    bool is_cleaned = batch_last_offset(header) < cleaner->map_end;
    if (filtered.tombstones > 0 && !stamped && is_cleaned)
        rc = stamp(cleaner, &rest, kept, diag);
    else if (filtered.kept < header->record_count)
        rc = rebuild(cleaner, &rest, &cleaner->records, kept, diag);
    else
        *kept = batch;
    if (filtered.tombstones > 0)
        note_horizon(cleaner, &rest);
    if (filtered.is_held)
        hold_horizon(cleaner);
    return rc;
}

/* ---- markers ---- */

static int end_transaction(struct cleaner *cleaner, const struct batch_header *header, int outcome,
                           struct diag *diag)
{
    struct aborted ended = {header->producer_id, -1, header->base_offset};
    cleaner->markers_removed++;
    if (outcome == 0)
        buf_append(&cleaner->ended, &ended, sizeof ended);
    return buf_ok(&cleaner->ended) ? 0 : diag_set(diag, ERR_NOMEM, "no memory for markers");
}

static int filter_marker(struct cleaner *cleaner, const struct batch_header *header,
                         struct bytes batch, struct bytes *kept, struct diag *diag)
{
    int outcome = control_batch_decode(batch);
    *kept = batch;
    if (outcome < 0)
        return 0; /* no end of a transaction: Kafka has other control batches, which stay */
    bool has_data = id_has(&cleaner->with_data, header->producer_id);
    id_remove(&cleaner->with_data, header->producer_id);
    if (has_data || header->base_offset >= cleaner->map_end)
        return 0;
    struct batch_header rest = *header;
    if ((header->attributes & BATCH_ATTR_DELETE_HORIZON) == 0) {
        buf_clear(&cleaner->records);
        buf_append(&cleaner->records, batch.data + BATCH_HEADER_BYTES,
                   (size_t)header->size_bytes - BATCH_HEADER_BYTES);
        TRY(stamp(cleaner, &rest, kept, diag));
    } else if (cleaner->now_ms >= header->base_timestamp_ms && !is_last(cleaner, header)) {
        *kept = bytes_of(NULL, 0);
        cleaner->changed = true;
        return end_transaction(cleaner, header, outcome, diag);
    }
    note_horizon(cleaner, &rest);
    return 0;
}

/* ---- batches ---- */

int cleaner_filter_batch(struct cleaner *cleaner, struct bytes batch, struct bytes *kept,
                         struct diag *diag)
{
    struct batch_header header = {0};
    TRY(batch_parse_header(batch, &header, diag));
    if ((header.attributes & BATCH_ATTR_CONTROL) != 0)
        return filter_marker(cleaner, &header, batch, kept, diag);
    if (header.record_count == 0 || batch_last_offset(&header) < cleaner->start_offset ||
        is_aborted(cleaner, &header))
        return drop_batch(cleaner, &header, batch, kept, diag);
    if (header.base_offset >= cleaner->map_end) {
        *kept = batch;
        cleaner->kept += header.record_count;
        return note_data(cleaner, &header, diag);
    }
    return filter_data(cleaner, &header, batch, kept, diag);
}
