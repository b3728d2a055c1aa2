/* test_compact.c: compaction against a naive model.
 *
 * The model (tests/support/compact_model.h) is a list of facts: every record and marker that was appended, with its offset, time,
 * key, value and what became of its transaction. What compaction may and must do follows from the
 * facts alone: for each key the newest committed record below the cleaned end, as it was; all above
 * it untouched; nothing aborted visible, neither to our reader nor by Kafka's rule for readers
 * that filter by the list of aborted transactions. Content and offset are compared from every
 * offset on.
 *
 * The clock of the passes is the test's own (now_ms of topic_clean).
 *
 * WEIR_COMPACT_SEQUENCES: how many random sequences; the first argument: the first seed. */
#include "runtime/base/clock.h"
#include "runtime/base/io.h"
#include "tests/support/compact_model.h"
#include "tests/support/log_fixture.h"
#include "tests/support/scratch_dir.h"

#include <inttypes.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

static uint64_t first_seed = 1;

/* ---- the property ---- */

static void run_sequence(uint64_t seed)
{
    /* A map for 48 keys: passes end inside batches when there are more. */
    struct world world = {.dir = scratch_dir_create(), .memory_bytes = seed % 2 == 0 ? 1 : 0};
    model_start(seed, seed % 4 < 2 ? 14 : 150);
    world_make_topic(world.dir, seed % 3 == 0 ? "600" : seed % 3 == 1 ? "2000" : "9000", "1000");
    world_open(&world);
    world_open_producers(&world);
    int32_t passes = 4 + model_below(4);
    for (int32_t pass = 0; pass < passes; pass++) {
        world_write(&world, 5 + model_below(40));
        model->now_ms += model_below(3) == 0 ? RETENTION_MS + 1 : model_below(400);
        world_clean(&world);
        world_verify(world.partition, true, pass == passes - 1);
        world_verify_times(world.partition);
        if (model_below(3) == 0) {
            for (int p = 0; p < PRODUCERS; p++)
                world_end_txn(&world, p, model_below(2) == 0);
            world_close(&world);
            world_open(&world);
            world_verify(world.partition, true, false);
            world_open_producers(&world);
        }
    }
    world_close(&world);
    world_open(&world);
    log_close(world.log);
    scratch_dir_remove(world.dir);
}

static void test_random_against_model(void **state)
{
    (void)state;
    const char *text = getenv("WEIR_COMPACT_SEQUENCES");
    int sequences = text != NULL ? atoi(text) : 40;
    for (int i = 0; i < sequences; i++) {
        print_message("seed %" PRIu64 "\n", first_seed + (uint64_t)i);
        run_sequence(first_seed + (uint64_t)i);
    }
}

/* ---- named ---- */

/* A log with one compacted partition whose clock is the test's. */
struct small {
    char *dir;
    struct log *log;
    struct partition *partition;
    int64_t now_ms;
};

static void small_open(struct small *small)
{
    struct log_options options = {.keeper_interval_ms = -1, .cleaner_bytes_per_s = -1};
    small->log = fixture_open_options(small->dir, &options);
    small->partition = fixture_partition(small->log, "t", 0);
}

static void small_start(struct small *small)
{
    *small = (struct small){.dir = scratch_dir_create(), .now_ms = clock_wall_ms()};
    world_make_topic(small->dir, "1000000", "1000");
    small_open(small);
}

static void small_end(struct small *small)
{
    log_close(small->log);
    scratch_dir_remove(small->dir);
}

/* One record; value NULL: a tombstone. */
static uint8_t *one_record(const char *key, const char *value, size_t *size)
{
    struct batch_builder builder;
    struct bytes batch;
    batch_builder_init(&builder, CODEC_NONE);
    assert_int_equal(batch_builder_add(&builder, clock_wall_ms(), bytes_text(key),
                                       value != NULL ? bytes_text(value) : bytes_of(NULL, 0),
                                       bytes_of("", 0), 0),
                     0);
    assert_int_equal(batch_builder_finish(&builder, &batch), 0);
    uint8_t *copy = malloc(batch.size);
    memcpy(copy, batch.data, batch.size);
    *size = batch.size;
    batch_builder_deinit(&builder);
    return copy;
}

static void put(struct small *small, struct producer *producer, const char *key, const char *value)
{
    size_t size;
    uint8_t *batch = one_record(key, value, &size);
    assert_int_equal(producer != NULL
                         ? txn_append(producer, small->partition, batch, size, NULL, NULL)
                         : partition_append(small->partition, batch, size, NULL, NULL),
                     0);
    free(batch);
}

static void close_active(struct small *small)
{
    struct partition_offsets offsets;
    partition_offsets(small->partition, &offsets);
    assert_int_equal(partition_roll(small->partition, NULL), 0);
    assert_int_equal(partition_wait(small->partition, offsets.end, -1), 0);
    world_wait_recorded(small->partition);
}

/* A pass of the keeper (not asked for: only when it is due). */
static void keep(struct small *small, int64_t after_ms, struct keeper_report *report)
{
    *report = (struct keeper_report){0};
    assert_int_equal(log_keep_house(small->log, small->now_ms + after_ms, report, NULL), 0);
}

/* What READ_COMMITTED shows: "0 a=1, 3 b=-": offset, key, value or "-". */
static void expect_content(struct small *small, const char *expected)
{
    struct fetch fetch;
    struct fetch_reader reader;
    struct record record;
    char text[2000] = "";
    fetch_init(&fetch);
    fetch_reader_init(&reader);
    for (int64_t at = 0;; at = fetch.next_offset) {
        assert_int_equal(
            partition_fetch(small->partition, at, READ_COMMITTED, 1 << 20, &fetch, NULL), 0);
        if (fetch.next_offset == at)
            break;
        fetch_reader_start(&reader, &fetch, at);
        while (fetch_reader_next(&reader, &record) == 1) {
            size_t length = strlen(text);
            snprintf(text + length, sizeof text - length, "%s%" PRId64 " %.*s=%.*s",
                     length > 0 ? ", " : "", record.offset, (int)record.key.size,
                     (const char *)record.key.data,
                     record.value.data != NULL ? (int)record.value.size : 1,
                     record.value.data != NULL ? (const char *)record.value.data : "-");
        }
    }
    fetch_reader_deinit(&reader);
    fetch_deinit(&fetch);
    assert_string_equal(text, expected);
}

/* Dropped neither in the pass that drops what they delete, nor put off by passes that come before
 * their time, each of which finds something to do. */
static void bug_14_tombstones_go_at_their_horizon(void **state)
{
    (void)state;
    struct small small;
    struct keeper_report report;
    small_start(&small);
    put(&small, NULL, "a", "1");
    put(&small, NULL, "a", NULL);
    put(&small, NULL, "b", "1");
    close_active(&small);
    keep(&small, 0, &report);
    assert_int_equal(report.records_removed, 1);
    expect_content(&small, "1 a=-, 2 b=1");
    assert_int_equal(partition_tombstone_horizon(small.partition), 0);
    for (int64_t after = 300; after < 1000; after += 300) {
        put(&small, NULL, "b", "2");
        close_active(&small);
        keep(&small, after, &report);
        assert_int_equal(report.partitions_compacted, 1);
        assert_int_equal(report.tombstones_removed, 0);
    }
    expect_content(&small, "1 a=-, 5 b=2");
    put(&small, NULL, "b", "3");
    close_active(&small);
    keep(&small, 1000, &report);
    assert_int_equal(report.tombstones_removed, 1);
    expect_content(&small, "6 b=3");
    assert_int_equal(partition_tombstone_horizon(small.partition), 2);
    log_close(small.log);
    small_open(&small);
    assert_int_equal(partition_tombstone_horizon(small.partition), 2);
    small_end(&small);
}

/* Also when nobody writes any more, and after a restart; but not while a table needs them. */
static void bug_14_tombstones_go_without_new_records(void **state)
{
    (void)state;
    struct small small;
    struct keeper_report report;
    small_start(&small);
    put(&small, NULL, "a", "1");
    put(&small, NULL, "a", NULL);
    close_active(&small);
    keep(&small, 0, &report);
    keep(&small, 999, &report);
    assert_int_equal(report.partitions_compacted, 0);
    log_close(small.log);
    small_open(&small);
    partition_keep_tombstones(small.partition, 1);
    keep(&small, 1000, &report);
    assert_int_equal(report.tombstones_removed, 0);
    expect_content(&small, "1 a=-");
    keep(&small, 1001, &report); /* what is held does not make every pass one */
    assert_int_equal(report.partitions_compacted, 0);
    partition_keep_tombstones(small.partition, 2);
    keep(&small, 1000 + 60000, &report);
    assert_int_equal(report.tombstones_removed, 1);
    expect_content(&small, "");
    keep(&small, 1000 + 120000, &report);
    assert_int_equal(report.partitions_compacted, 0);
    small_end(&small);
}

/* Its sequence is what a retry is told by, also after a restart. */
static void bug_14_the_last_batch_of_a_producer_stays(void **state)
{
    (void)state;
    struct small small;
    struct keeper_report report;
    size_t size;
    int64_t base;
    small_start(&small);
    for (int32_t sequence = 0; sequence < 3; sequence++) {
        uint8_t *batch = one_record("a", "1", &size);
        batch_set_producer(batch, 4000, 7, sequence, false);
        assert_int_equal(partition_append(small.partition, batch, size, &base, NULL), 0);
        assert_int_equal(base, sequence);
        free(batch);
    }
    put(&small, NULL, "a", "2");
    close_active(&small);
    keep(&small, 0, &report);
    expect_content(&small, "3 a=2");
    struct fetch fetch;
    struct batch_header header;
    fetch_init(&fetch);
    assert_int_equal(partition_fetch(small.partition, 0, READ_COMMITTED, 1 << 20, &fetch, NULL), 0);
    assert_int_equal(
        batch_parse_header(bytes_of(fetch.bytes.data, fetch.bytes.size), &header, NULL), 0);
    assert_int_equal(header.base_offset, 2);
    assert_int_equal(header.record_count, 0);
    assert_int_equal(header.producer_id, 4000);
    assert_int_equal(header.producer_epoch, 7);
    assert_int_equal(header.base_sequence, 2);
    assert_int_equal(header.size_bytes, BATCH_HEADER_BYTES);
    fetch_deinit(&fetch);
    log_close(small.log);
    small_open(&small);
    uint8_t *again = one_record("a", "1", &size);
    batch_set_producer(again, 4000, 7, 2, false);
    assert_int_equal(partition_append(small.partition, again, size, &base, NULL), 0);
    assert_int_equal(base, 2);
    free(again);
    small_end(&small);
}

static void run_txn(struct small *small, struct producer *producer, const char *key,
                    const char *value, bool commit)
{
    assert_int_equal(txn_begin(producer, NULL), 0);
    put(small, producer, key, value);
    assert_int_equal(commit ? txn_commit(producer, NULL) : txn_abort(producer, NULL), 0);
}

/* The keys of all markers are the same four bytes: whoever looks them up by key keeps one of each.
 * Aborted data must stay aborted, committed data committed, in passes before the markers' horizon
 * and after it, and after a restart. */
static void bug_15_markers_are_not_looked_up_by_key(void **state)
{
    (void)state;
    struct small small;
    struct keeper_report report;
    struct producer *one, *two;
    small_start(&small);
    assert_int_equal(producer_open(small.log, "one", &one, NULL), 0);
    assert_int_equal(producer_open(small.log, "two", &two, NULL), 0);
    run_txn(&small, one, "a", "good", true);   /* 0, marker 1 */
    run_txn(&small, one, "a", "bad", false);   /* 2, 3 */
    run_txn(&small, two, "b", "good", true);   /* 4, 5 */
    run_txn(&small, two, "b", "bad", false);   /* 6, 7 */
    assert_int_equal(txn_begin(two, NULL), 0); /* its marker lies in the next segment */
    put(&small, two, "a", "bad");              /* 8 */
    close_active(&small);
    assert_int_equal(txn_abort(two, NULL), 0); /* 9 */
    run_txn(&small, one, "c", "good", true);   /* 10, 11 */
    for (int64_t after = 0; after <= 4000; after += 500) {
        keep(&small, after, &report);
        expect_content(&small, "0 a=good, 4 b=good, 10 c=good");
        close_active(&small);
        keep(&small, after, &report);
        expect_content(&small, "0 a=good, 4 b=good, 10 c=good");
        put(&small, NULL, "x", NULL); /* something to do */
        put(&small, NULL, "x", NULL);
        close_active(&small);
        keep(&small, after + 100000, &report); /* and all tombstones gone */
        keep(&small, after + 300000, &report);
    }
    producer_close(one);
    producer_close(two);
    log_close(small.log);
    small_open(&small);
    expect_content(&small, "0 a=good, 4 b=good, 10 c=good");
    /* the producer's next transaction is not taken for the aborted one */
    assert_int_equal(producer_open(small.log, "two", &two, NULL), 0);
    run_txn(&small, two, "d", "good", true);
    small_end(&small);
}

/* Of an aborted transaction nothing is left in the end: no record, no marker, no range. */
static void test_aborted_ranges_go_with_their_markers(void **state)
{
    (void)state;
    struct small small;
    struct keeper_report report;
    struct producer *producer;
    small_start(&small);
    assert_int_equal(producer_open(small.log, "p", &producer, NULL), 0);
    run_txn(&small, producer, "a", "bad", false);
    run_txn(&small, producer, "b", "good", true);
    run_txn(&small, producer, "b", "better", true);
    producer_close(producer);
    close_active(&small);
    keep(&small, 0, &report);
    assert_int_equal(report.markers_removed, 0);
    assert_int_equal(small.partition->aborted_count, 1);
    keep(&small, 1000, &report);
    assert_int_equal(report.markers_removed, 2);
    assert_int_equal(small.partition->aborted_count, 0);
    expect_content(&small, "4 b=better");
    log_close(small.log);
    small_open(&small);
    assert_int_equal(small.partition->aborted_count, 0);
    expect_content(&small, "4 b=better");
    small_end(&small);
}

/* A decision that meta still has protects its marker; one that a stopped partition keeps there for
 * ever, too: recovery would write another marker, into a later transaction. */
static void test_decisions_hold_compaction_back(void **state)
{
    (void)state;
    struct small small;
    struct keeper_report report;
    struct meta_batch batch;
    small_start(&small);
    for (int i = 0; i < 3; i++) {
        put(&small, NULL, "a", "1");
        put(&small, NULL, "a", "2");
        close_active(&small);
    }
    struct meta_decision decision = {
        .sequence = 1 << 20, .producer_id = 1, .commit = true, .count = 1};
    struct meta_decision_part part = {partition_place(small.partition), 2, 4};
    meta_batch_init(&batch);
    meta_put_decision(&batch, &decision, &part);
    assert_int_equal(meta_apply(small.log->meta, &batch, NULL), 0);
    keep(&small, 0, &report);
    expect_content(&small, "3 a=2, 4 a=1, 5 a=2");
    meta_batch_clear(&batch);
    meta_delete_decision(&batch, decision.sequence);
    assert_int_equal(meta_apply(small.log->meta, &batch, NULL), 0);
    meta_batch_deinit(&batch);
    keep(&small, 0, &report);
    expect_content(&small, "5 a=2");
    small_end(&small);
}

/* When a pass is due: dirty ratio, both lags. */
static void test_when_a_pass_is_due(void **state)
{
    (void)state;
    struct small small;
    struct keeper_report report;
    struct config_entry config[] = {{"min.cleanable.dirty.ratio", "0.5"},
                                    {"min.compaction.lag.ms", "5000"},
                                    {"max.compaction.lag.ms", "60000"}};
    small_start(&small);
    assert_int_equal(topic_alter(small.log, "t", config, 3, NULL), 0);
    for (int i = 0; i < 10; i++) {
        char key[2] = {(char)('a' + i), 0};
        put(&small, NULL, key, "1");
    }
    close_active(&small);
    keep(&small, 1000, &report); /* too young */
    assert_int_equal(report.partitions_compacted, 0);
    keep(&small, 20000, &report); /* all of it is dirty */
    assert_int_equal(report.partitions_compacted, 1);
    put(&small, NULL, "a", "2");
    close_active(&small);
    keep(&small, 20000, &report); /* one of eleven is */
    assert_int_equal(report.partitions_compacted, 0);
    keep(&small, 70000, &report); /* but it waits for too long */
    assert_int_equal(report.partitions_compacted, 1);
    put(&small, NULL, "a", "3"); /* in the active one: it is rolled for that */
    keep(&small, 70000, &report);
    assert_int_equal(report.partitions_compacted, 0);
    world_wait_recorded(small.partition);
    keep(&small, 70000, &report);
    assert_int_equal(report.partitions_compacted, 1);
    expect_content(&small, "1 b=1, 2 c=1, 3 d=1, 4 e=1, 5 f=1, 6 g=1, 7 h=1, 8 i=1, 9 j=1, 11 a=3");
    small_end(&small);
}

/* A topic that becomes a compacted one may hold records without a key: they go. */
static void test_records_without_key_go(void **state)
{
    (void)state;
    struct small small;
    struct keeper_report report;
    struct config_entry off[] = {{"cleanup.policy", "delete"}},
                        on[] = {{"cleanup.policy", "compact"}};
    small_start(&small);
    assert_int_equal(topic_alter(small.log, "t", off, 1, NULL), 0);
    assert_int_equal(fixture_append(small.partition, 0, 5), 0);
    put(&small, NULL, "a", "1");
    close_active(&small);
    assert_int_equal(topic_alter(small.log, "t", on, 1, NULL), 0);
    keep(&small, 0, &report);
    assert_int_equal(report.keyless_removed, 5);
    expect_content(&small, "5 a=1");
    small_end(&small);
}

static void fill_some(struct small *small)
{
    small_start(small);
    for (int i = 0; i < 100; i++)
        put(small, NULL, i % 2 == 0 ? "a" : "b", "a value of some length");
    close_active(small);
    log_close(small->log);
}

/* Reading and writing together are not faster than they may be. */
static void test_a_pass_keeps_to_its_rate(void **state)
{
    (void)state;
    struct small small;
    struct keeper_report report = {0};
    struct log_options options = {.keeper_interval_ms = -1, .cleaner_bytes_per_s = 100000};
    fill_some(&small);
    small.log = fixture_open_options(small.dir, &options);
    int64_t began = clock_mono_ns();
    assert_int_equal(topic_clean(small.log, "t", 0, &report, NULL), 0);
    int64_t spent_ms = (clock_mono_ns() - began) / 1000000;
    assert_true(report.bytes_read > 10000);
    assert_true(spent_ms >= (report.bytes_read + report.bytes_written) * 1000 / 100000 - 1);
    small_end(&small);
}

/* Closing a log does not wait for a pass that would take hours. */
static void test_closing_ends_a_pass(void **state)
{
    (void)state;
    struct small small;
    struct log_options options = {.keeper_interval_ms = 1, .cleaner_bytes_per_s = 1};
    fill_some(&small);
    small.log = fixture_open_options(small.dir, &options);
    while (pthread_mutex_trylock(&small.log->keeper.pass_mutex) == 0) {
        pthread_mutex_unlock(&small.log->keeper.pass_mutex);
        sched_yield();
    }
    int64_t began = clock_mono_ns();
    log_close(small.log);
    assert_true(clock_mono_ns() - began < INT64_C(10000000000));
    small_open(&small);
    assert_int_equal(world_cleaned_end(small.partition), 0);
    small_end(&small);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        first_seed = strtoull(argv[1], NULL, 10);
    scratch_dir_in_memory();
    model = mmap(NULL, sizeof *model, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_against_model),
        cmocka_unit_test(bug_14_tombstones_go_at_their_horizon),
        cmocka_unit_test(bug_14_tombstones_go_without_new_records),
        cmocka_unit_test(bug_14_the_last_batch_of_a_producer_stays),
        cmocka_unit_test(bug_15_markers_are_not_looked_up_by_key),
        cmocka_unit_test(test_aborted_ranges_go_with_their_markers),
        cmocka_unit_test(test_decisions_hold_compaction_back),
        cmocka_unit_test(test_when_a_pass_is_due),
        cmocka_unit_test(test_records_without_key_go),
        cmocka_unit_test(test_a_pass_keeps_to_its_rate),
        cmocka_unit_test(test_closing_ends_a_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
