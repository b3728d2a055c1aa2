/* compact_model.c: see compact_model.h. Content and offset are compared with the facts from every
 * offset on; nothing here asks the code under test what it did, but for how far a pass came. */
#include "tests/support/compact_model.h"
#include "runtime/base/clock.h"
#include "runtime/base/io.h"
#include "tests/support/log_fixture.h"
#include "tests/support/scratch_dir.h"

#include <inttypes.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct model *model;

static uint64_t next_random(void)
{
    model->random ^= model->random << 13;
    model->random ^= model->random >> 7;
    model->random ^= model->random << 17;
    return model->random;
}

int32_t model_below(int32_t bound)
{
    return (int32_t)(next_random() % (uint64_t)bound);
}

/* ---- the log under test ---- */

void world_open(struct world *world)
{
    struct log_options options = {.keeper_interval_ms = -1,
                                  .cleaner_bytes_per_s = -1,
                                  .cleaner_memory_bytes = world->memory_bytes};
    world->log = fixture_open_options(world->dir, &options);
    world->partition = fixture_partition(world->log, "t", 0);
}

void world_open_producers(struct world *world)
{
    for (int i = 0; i < PRODUCERS; i++) {
        char name[16];
        snprintf(name, sizeof name, "p%d", i);
        assert_int_equal(producer_open(world->log, name, &world->producers[i], NULL), 0);
        model->producer_ids[i] = producer_id(world->producers[i]);
        model->open[i] = -1;
    }
    model->producer_ids[PRODUCERS] = IDEMPOTENT_ID;
}

/* Across a restart only those producers are remembered for certain that number their batches. */
void world_close(struct world *world)
{
    for (int p = 0; p < PRODUCERS; p++)
        model->last_batch[p] = -1;
    for (int i = 0; i < PRODUCERS; i++)
        if (world->producers[i] != NULL)
            producer_close(world->producers[i]);
    memset(world->producers, 0, sizeof world->producers);
    log_close(world->log);
}

void world_make_topic(const char *dir, const char *segment_bytes, const char *retention_ms)
{
    struct log_options options = {.keeper_interval_ms = -1};
    struct log *log = fixture_open_options(dir, &options);
    struct config_entry config[] = {{"cleanup.policy", "compact"},
                                    {"segment.bytes", segment_bytes},
                                    {"delete.retention.ms", retention_ms},
                                    {"min.cleanable.dirty.ratio", "0"}};
    struct diag diag = {0};
    if (topic_create(log, "t", 1, config, 4, &diag) < 0)
        fail_msg("%s", diag.text);
    log_close(log);
}

/* Until the flusher has recorded every closed segment: they can be compacted then. */
void world_wait_recorded(struct partition *partition)
{
    for (bool all = false; !all;) {
        all = true;
        pthread_mutex_lock(&partition->list_mutex);
        for (int32_t i = 0; i + 1 < partition->segment_count; i++)
            all = all && partition->segments[i]->recorded;
        pthread_mutex_unlock(&partition->list_mutex);
        if (!all)
            sched_yield();
    }
    /* A decision whose marker is not known to be flushed holds compaction up as well. */
}

/* ---- writing ---- */

static struct fact *model_add_fact(int64_t offset, int32_t txn)
{
    assert_true(model->fact_count < FACT_LIMIT);
    struct fact *fact = &model->facts[model->fact_count++];
    *fact = (struct fact){.offset = offset, .txn = txn};
    return fact;
}

static void value_text(char text[64], int32_t value)
{
    /* Long enough that compression shrinks it, and that batches differ in size. */
    snprintf(text, 64, "value %06d of the key, padded%*s", value, value % 20, "");
}

/* A finished batch of random records, whose facts are added with offsets from base on. */
static uint8_t *make_batch(int64_t base, int32_t txn, size_t *size)
{
    static const enum codec codecs[] = {CODEC_NONE, CODEC_LZ4, CODEC_ZSTD, CODEC_SNAPPY,
                                        CODEC_GZIP};
    struct batch_builder builder;
    struct buf headers = {0};
    struct bytes batch;
    int32_t count = 1 + model_below(7);
    batch_builder_init(&builder, codecs[model_below(5)]);
    for (int32_t i = 0; i < count; i++) {
        struct fact *fact = model_add_fact(base + i, txn);
        char key[16], value[64];
        model->time_ms += model_below(3) == 0 ? model_below(50) : 0;
        fact->timestamp_ms = model->time_ms - model_below(20);
        fact->key = model_below(model->keys);
        fact->value = model_below(5) == 0 ? -1 : model->next_value++;
        fact->has_header = model_below(4) == 0;
        snprintf(key, sizeof key, "key%d", fact->key);
        if (fact->value >= 0)
            value_text(value, fact->value);
        buf_clear(&headers);
        if (fact->has_header)
            headers_add(&headers, "h", bytes_text("x"));
        assert_int_equal(batch_builder_add(&builder, fact->timestamp_ms, bytes_text(key),
                                           fact->value >= 0 ? bytes_text(value) : bytes_of(NULL, 0),
                                           bytes_of(headers.size > 0 ? headers.data : (uint8_t *)"",
                                                    headers.size),
                                           fact->has_header ? 1 : 0),
                         0);
    }
    assert_int_equal(batch_builder_finish(&builder, &batch), 0);
    uint8_t *copy = malloc(batch.size);
    assert_non_null(copy);
    memcpy(copy, batch.data, batch.size);
    *size = batch.size;
    batch_builder_deinit(&builder);
    buf_deinit(&headers);
    return copy;
}

static void model_expect_base(int64_t base)
{
    assert_int_equal(base, model->end);
    model->end = model->facts[model->fact_count - 1].offset + 1;
}

void world_append(struct world *world, bool idempotent)
{
    size_t size;
    struct diag diag = {0};
    int64_t base = -1;
    int32_t first = model->fact_count;
    uint8_t *batch = make_batch(model->end, -1, &size);
    if (idempotent) {
        batch_set_producer(batch, IDEMPOTENT_ID, 0, model->sequence, false);
        model->sequence += model->fact_count - first;
    }
    if (partition_append(world->partition, batch, size, &base, &diag) < 0)
        fail_msg("%s", diag.text);
    free(batch);
    model_expect_base(base);
    if (idempotent)
        model->last_batch[PRODUCERS] = model->end - 1;
}

void world_append_txn(struct world *world, int32_t p)
{
    size_t size;
    struct diag diag = {0};
    int64_t base = -1;
    if (model->open[p] < 0) {
        assert_true(model->txn_count < TXN_LIMIT);
        assert_int_equal(txn_begin(world->producers[p], NULL), 0);
        model->open[p] = model->txn_count;
        model->txns[model->txn_count++] = (struct txn){FATE_OPEN, model->producer_ids[p], -1};
    }
    uint8_t *batch = make_batch(model->end, model->open[p], &size);
    if (txn_append(world->producers[p], world->partition, batch, size, &base, &diag) < 0)
        fail_msg("%s", diag.text);
    free(batch);
    model_expect_base(base);
    /* Only a partition that numbered batches are written to remembers producers. */
    model->last_batch[p] = model->sequence > 0 ? model->end - 1 : -1;
}

void world_end_txn(struct world *world, int32_t p, bool commit)
{
    struct partition_offsets offsets;
    if (model->open[p] < 0)
        return;
    struct txn *txn = &model->txns[model->open[p]];
    assert_int_equal(
        commit ? txn_commit(world->producers[p], NULL) : txn_abort(world->producers[p], NULL), 0);
    /* The commit's marker follows its answer: the next call of the producer waits for it. */
    assert_int_equal(txn_begin(world->producers[p], NULL), 0);
    assert_int_equal(txn_abort(world->producers[p], NULL), 0);
    partition_offsets(world->partition, &offsets);
    txn->fate = commit ? FATE_COMMITTED : FATE_ABORTED;
    txn->marker = model->end++;
    assert_int_equal(offsets.end, model->end);
    model->open[p] = -1;
}

void world_write(struct world *world, int32_t operations)
{
    for (int32_t i = 0; i < operations; i++) {
        int32_t p = model_below(PRODUCERS), what = model_below(12);
        if (what < 4)
            world_append(world, false);
        else if (what < 5)
            world_append(world, true);
        else if (what < 9)
            world_append_txn(world, p);
        else
            world_end_txn(world, p, what < 11);
    }
    assert_int_equal(partition_wait(world->partition, model->end, -1), 0);
    world_wait_recorded(world->partition);
}

/* ---- what the model says ---- */

static bool is_committed(const struct fact *fact)
{
    return fact->txn < 0 || model->txns[fact->txn].fate == FATE_COMMITTED;
}

static const struct fact *model_fact_at(int64_t offset)
{
    int32_t low = 0, high = model->fact_count;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (model->facts[middle].offset < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low < model->fact_count && model->facts[low].offset == offset ? &model->facts[low]
                                                                         : NULL;
}

static int64_t model_stable_offset(void)
{
    int64_t stable = model->end;
    for (int32_t i = 0; i < model->fact_count; i++)
        if (model->facts[i].txn >= 0 && model->txns[model->facts[i].txn].fate == FATE_OPEN &&
            model->facts[i].offset < stable)
            stable = model->facts[i].offset;
    return stable;
}

/* The newest committed fact of a key below an offset. */
static const struct fact *newest(int32_t key, int64_t end)
{
    const struct fact *found = NULL;
    for (int32_t i = 0; i < model->fact_count && model->facts[i].offset < end; i++)
        if (model->facts[i].key == key && is_committed(&model->facts[i]))
            found = &model->facts[i];
    return found;
}

enum presence { GONE, MAY_BE, MUST_BE };

/* Of a fact, to READ_COMMITTED, after passes up to clean_end; strict: only passes that ended. */
static enum presence presence_of(const struct fact *fact, int64_t clean_end, bool strict)
{
    if (!is_committed(fact) || fact->offset >= model_stable_offset())
        return GONE;
    if (fact->offset >= clean_end)
        return strict ? MUST_BE : MAY_BE;
    if (newest(fact->key, clean_end) != fact)
        return strict ? GONE : MAY_BE;
    if (fact->value >= 0)
        return strict || newest(fact->key, model_stable_offset()) == fact ? MUST_BE : MAY_BE;
    if (fact->stamped_ms != 0 && model->now_ms >= fact->stamped_ms + RETENTION_MS)
        return strict ? GONE : MAY_BE;
    return strict ? MUST_BE : MAY_BE;
}

/* A pass at now ended: tombstones below its end are stamped. */
void model_note_pass(int64_t clean_end)
{
    for (int32_t i = 0; i < model->fact_count; i++) {
        struct fact *fact = &model->facts[i];
        if (fact->offset < clean_end && fact->value < 0 && fact->stamped_ms == 0)
            fact->stamped_ms = model->now_ms;
    }
}

/* ---- what the log says ---- */

static void expect_record(const struct record *record)
{
    const struct fact *fact = model_fact_at(record->offset);
    char key[16], value[64];
    assert_non_null(fact);
    snprintf(key, sizeof key, "key%d", fact->key);
    assert_true(bytes_equal(record->key, bytes_text(key)));
    assert_int_equal(record->timestamp_ms, fact->timestamp_ms);
    assert_int_equal(record->header_count, fact->has_header ? 1 : 0);
    if (fact->has_header)
        assert_true(bytes_equal(record->headers, bytes_of("\2h\2x", 4)));
    if (fact->value >= 0) {
        value_text(value, fact->value);
        assert_true(bytes_equal(record->value, bytes_text(value)));
    } else {
        assert_null(record->value.data);
    }
}

/* The offsets that our reader shows from an offset on; checks each record on the way. */
static int32_t model_read_offsets(struct partition *partition, int64_t from, size_t max_bytes,
                                  int64_t *offsets)
{
    struct fetch fetch;
    struct fetch_reader reader;
    struct record record;
    struct diag diag = {0};
    int32_t count = 0;
    int rc;
    fetch_init(&fetch);
    fetch_reader_init(&reader);
    for (int64_t at = from;; at = fetch.next_offset) {
        if (partition_fetch(partition, at, READ_COMMITTED, max_bytes, &fetch, &diag) < 0)
            fail_msg("%s", diag.text);
        if (fetch.next_offset == at)
            break;
        fetch_reader_start(&reader, &fetch, at);
        while ((rc = fetch_reader_next(&reader, &record)) == 1) {
            assert_true(record.offset >= at && record.offset < fetch.next_offset);
            expect_record(&record);
            offsets[count++] = record.offset;
        }
        assert_int_equal(rc, 0);
    }
    fetch_reader_deinit(&reader);
    fetch_deinit(&fetch);
    return count;
}

/* The same as Kafka's consumer does it: a producer is aborted from an entry's first offset up to
 * its next abort marker. */
static int32_t read_as_kafka(struct partition *partition, int64_t from, int64_t *offsets)
{
    struct fetch fetch;
    struct buf plain = {0};
    int32_t count = 0;
    fetch_init(&fetch);
    for (int64_t at = from;; at = fetch.next_offset) {
        int64_t aborted[TXN_LIMIT];
        size_t aborted_count = 0, next = 0;
        assert_int_equal(partition_fetch(partition, at, READ_COMMITTED, 2000, &fetch, NULL), 0);
        if (fetch.next_offset == at)
            break;
        struct bytes rest = bytes_of(fetch.bytes.data, fetch.bytes.size);
        struct record_reader reader;
        struct record record;
        while (rest.size > 0) {
            assert_int_equal(
                record_reader_open(&reader, rest, BATCH_PLAIN_LIMIT_BYTES, &plain, NULL), 0);
            struct bytes batch;
            const struct batch_header *header = &reader.header;
            assert_int_equal(take_bytes(&rest, (size_t)header->size_bytes, &batch), 0);
            while (next < fetch.aborted_count &&
                   fetch.aborted[next].first_offset <= batch_last_offset(header))
                aborted[aborted_count++] = fetch.aborted[next++].producer_id;
            size_t found = 0;
            while (found < aborted_count && aborted[found] != header->producer_id)
                found++;
            if ((header->attributes & BATCH_ATTR_CONTROL) != 0) {
                if (control_batch_decode(batch) == 0 && found < aborted_count)
                    aborted[found] = aborted[--aborted_count];
                continue;
            }
            if ((header->attributes & BATCH_ATTR_TRANSACTIONAL) != 0 && found < aborted_count)
                continue;
            while (record_reader_next(&reader, &record) == 1)
                if (record.offset >= at)
                    offsets[count++] = record.offset;
        }
    }
    fetch_deinit(&fetch);
    buf_deinit(&plain);
    return count;
}

/* What is physically there: markers of transactions with data, newest batches of producers. */
static void expect_batches(struct partition *partition, int64_t clean_end, bool strict)
{
    struct fetch fetch;
    struct buf plain = {0};
    bool *has_data = calloc(TXN_LIMIT, sizeof *has_data), *has_marker = calloc(TXN_LIMIT, 1);
    bool has_last[PRODUCERS + 1] = {false};
    int64_t last = -1;
    fetch_init(&fetch);
    for (int64_t at = 0;; at = fetch.next_offset) {
        assert_int_equal(partition_fetch(partition, at, READ_UNCOMMITTED, 2000, &fetch, NULL), 0);
        if (fetch.next_offset == at)
            break;
        struct bytes rest = bytes_of(fetch.bytes.data, fetch.bytes.size), batch;
        while (rest.size > 0) {
            struct record_reader reader;
            struct record record;
            assert_int_equal(
                record_reader_open(&reader, rest, BATCH_PLAIN_LIMIT_BYTES, &plain, NULL), 0);
            const struct batch_header *header = &reader.header;
            assert_int_equal(take_bytes(&rest, (size_t)header->size_bytes, &batch), 0);
            assert_true(header->base_offset > last);
            last = batch_last_offset(header);
            for (int p = 0; p <= PRODUCERS; p++)
                if (header->producer_id == model->producer_ids[p] && last == model->last_batch[p])
                    has_last[p] = true;
            if ((header->attributes & BATCH_ATTR_CONTROL) != 0) {
                for (int32_t t = 0; t < model->txn_count; t++)
                    if (model->txns[t].marker == header->base_offset) {
                        assert_int_equal(model->txns[t].producer_id, header->producer_id);
                        assert_int_equal(control_batch_decode(batch),
                                         model->txns[t].fate == FATE_COMMITTED);
                        has_marker[t] = true;
                    }
                continue;
            }
            while (record_reader_next(&reader, &record) == 1) {
                const struct fact *fact = model_fact_at(record.offset);
                expect_record(&record);
                if (fact->txn >= 0)
                    has_data[fact->txn] = true;
                assert_true(!strict || record.offset >= clean_end || is_committed(fact));
            }
        }
    }
    for (int32_t t = 0; t < model->txn_count; t++)
        assert_true(!has_data[t] || model->txns[t].marker < 0 || has_marker[t]);
    for (int p = 0; p <= PRODUCERS; p++)
        if (model->last_batch[p] >= 0 && !has_last[p])
            fail_msg("the last batch of producer %" PRId64 ", which ends at %" PRId64 ", is gone",
                     model->producer_ids[p], model->last_batch[p]);
    fetch_deinit(&fetch);
    buf_deinit(&plain);
    free(has_data);
    free(has_marker);
}

int64_t world_cleaned_end(struct partition *partition)
{
    pthread_mutex_lock(&partition->purge_mutex);
    int64_t end = partition->cleaned.clean_end;
    pthread_mutex_unlock(&partition->purge_mutex);
    return end;
}

/* strict: no pass was interrupted since the last one that ended. */
static void expect_no_finding(void *context, const struct verify_finding *finding)
{
    (void)context;
    fail_msg("%s at byte %" PRId64 ": %s", finding->file, finding->position, finding->text);
}

void world_verify(struct partition *partition, bool strict, bool every_offset)
{
    if (strict) /* files, indexes and meta agree */
        assert_int_equal(partition_verify(partition, expect_no_finding, NULL, NULL, NULL), 0);
    int64_t *offsets = malloc(2 * FACT_LIMIT * sizeof *offsets), *again = offsets + FACT_LIMIT;
    int64_t clean_end = world_cleaned_end(partition);
    int32_t count = model_read_offsets(partition, 0, 1 << 20, offsets), at = 0;
    for (int32_t i = 0; i < model->fact_count; i++) {
        const struct fact *fact = &model->facts[i];
        enum presence presence = presence_of(fact, clean_end, strict);
        bool is_there = at < count && offsets[at] == fact->offset;
        if (presence != MAY_BE && is_there != (presence == MUST_BE))
            fail_msg("offset %" PRId64 " (key %d, value %d, txn %d) is %s; cleaned up to %" PRId64,
                     fact->offset, fact->key, fact->value, fact->txn, is_there ? "there" : "gone",
                     clean_end);
        at += is_there ? 1 : 0;
    }
    assert_int_equal(at, count);
    /* what a reader makes of it: the newest value of each key */
    for (int32_t key = 0; key < model->keys; key++) {
        const struct fact *fact = newest(key, model_stable_offset()), *shown = NULL;
        for (int32_t i = 0; i < count; i++)
            if (model_fact_at(offsets[i])->key == key)
                shown = model_fact_at(offsets[i]);
        if (fact == NULL || fact->value < 0)
            assert_true(shown == NULL || shown->value < 0);
        else
            assert_ptr_equal(shown, fact);
    }
    assert_int_equal(read_as_kafka(partition, 0, again), count);
    assert_memory_equal(again, offsets, (size_t)count * sizeof *offsets);
    expect_batches(partition, clean_end, strict);
    for (int64_t from = 0; every_offset && from <= model->end; from++) {
        int32_t skipped = 0;
        while (skipped < count && offsets[skipped] < from)
            skipped++;
        int32_t rest = from <= model_stable_offset() ? count - skipped : 0;
        assert_int_equal(model_read_offsets(partition, from, from % 2 == 0 ? 1 : 5000, again),
                         rest);
        assert_memory_equal(again, offsets + skipped, (size_t)rest * sizeof *offsets);
        assert_int_equal(read_as_kafka(partition, from, again), rest);
        assert_memory_equal(again, offsets + skipped, (size_t)rest * sizeof *offsets);
    }
    free(offsets);
}

void world_verify_times(struct partition *partition)
{
    int64_t *offsets = malloc(FACT_LIMIT * sizeof *offsets);
    int32_t count = model_read_offsets(partition, 0, 1 << 20, offsets);
    for (int round = 0; round < 20; round++) {
        int64_t wanted = model->time_ms - model_below(2000), offset, timestamp;
        assert_int_equal(partition_find_time(partition, wanted, &offset, &timestamp, NULL), 0);
        if (offset >= 0)
            assert_true(timestamp >= wanted);
        for (int32_t i = 0; i < count && (offset < 0 || offsets[i] < offset); i++)
            assert_true(model_fact_at(offsets[i])->timestamp_ms < wanted);
    }
    free(offsets);
}

void world_clean(struct world *world)
{
    struct keeper_report report = {0};
    struct diag diag = {0};
    if (topic_clean(world->log, "t", model->now_ms, &report, &diag) < 0)
        fail_msg("%s", diag.text);
    model_note_pass(world_cleaned_end(world->partition));
}

void model_start(uint64_t seed, int32_t keys)
{
    memset(model, 0, sizeof *model);
    model->keys = keys;
    model->random = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    model->now_ms = model->time_ms = clock_wall_ms();
    for (int p = 0; p <= PRODUCERS; p++) {
        model->last_batch[p] = -1;
        if (p < PRODUCERS)
            model->open[p] = -1;
    }
}
