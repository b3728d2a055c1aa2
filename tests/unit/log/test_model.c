/* test_model.c: the log against a naive model, over random operations and crashes.
 *
 * A sequence is some lives of one data directory. In each life a child process opens the log and
 * does random things: plain appends, transactions of two producers over three partitions
 * (committed, aborted, left open, fenced), rolls (segments are tiny), purges, a second topic that
 * comes and goes. The child ends by a clean close, by _exit in the middle, or at a random crash
 * point, which may lie in log_open. What it did is written down in shared memory before and after
 * each call: the ledger.
 *
 * Then the parent opens the log and compares. What was answered must be so; what was being asked
 * when the child died may be so or not, but as a whole: a batch is there or not, a transaction is
 * committed in all partitions with its group offset, or in none. The parent writes into the ledger
 * what it found, closes, and the next life begins.
 *
 * The oracle is the ledger alone; nothing in it comes from the code under test but offsets it
 * returned.
 *
 * Processes are killed here, not machines, so memory-backed files show the same and cost no
 * flushes: /dev/shm is used unless TMPDIR says otherwise.
 *
 * WEIR_MODEL_SEQUENCES: how many (300); the first argument: the first seed. */
#include "runtime/base/clock.h"
#include "runtime/base/io.h"
#include "tests/support/log_fixture.h"
#include "tests/support/scratch_dir.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    PARTITIONS = 3,
    PRODUCERS = 2,
    RECORD_LIMIT = 4096,
    TXN_LIMIT = 512,
    LIVES = 3,
    OPERATIONS = 24,
    NOT_THERE = -2,
    UNKNOWN = -1
};

enum txn_fate { FATE_OPEN, FATE_ASKED, FATE_COMMITTED, FATE_ABORTED };

struct record_fact {
    int32_t partition, txn, batch; /* txn -1: plain */
    int64_t offset;                /* UNKNOWN until the append returned */
};
struct txn_fact {
    enum txn_fate fate;
    int32_t producer;
    int64_t group_offset; /* -1: none */
};
struct ledger {
    uint64_t random;
    int32_t record_count, txn_count, batch_count;
    struct record_fact records[RECORD_LIMIT];
    struct txn_fact txns[TXN_LIMIT];
    int64_t start[PARTITIONS], start_asked[PARTITIONS];
    int64_t group[PRODUCERS]; /* last committed offset of group g<n> */
    int64_t next_group_offset;
    int32_t current[PRODUCERS]; /* open transaction, -1 none */
    char dir[512];
    int clean;
};

static struct ledger *ledger;
static uint64_t first_seed = 1;

static uint64_t next_random(void)
{
    ledger->random ^= ledger->random << 13;
    ledger->random ^= ledger->random >> 7;
    ledger->random ^= ledger->random << 17;
    return ledger->random;
}

static int32_t below(int32_t bound)
{
    return (int32_t)(next_random() % (uint64_t)bound);
}

static const char *const crash_names[] = {"flush.before",
                                          "flush.done",
                                          "decide.prepared",
                                          "decide.before",
                                          "decide.done",
                                          "decide.stable",
                                          "decide.finished",
                                          "decision.remove",
                                          "marker.commit",
                                          "marker.abort",
                                          "append.written",
                                          "roll.created",
                                          "roll.done",
                                          "participants.before",
                                          "participants.after",
                                          "producer.open.before",
                                          "producer.open.fenced",
                                          "producer.open.after",
                                          "purge.begin",
                                          "purge.recorded",
                                          "purge.removed",
                                          "topic.create.recorded",
                                          "topic.create.directory",
                                          "topic.delete.begin",
                                          "topic.delete.recorded",
                                          "topic.delete.renamed",
                                          "topic.delete.removed",
                                          "recovery.begin",
                                          "recovery.marker",
                                          "recovery.abort",
                                          "recovery.flushed",
                                          "recovery.done"};
enum { CRASH_NAME_COUNT = sizeof crash_names / sizeof *crash_names };
static int64_t crashes[CRASH_NAME_COUNT];

/* ---- the child ---- */

struct life {
    struct log *log;
    struct partition *partitions[PARTITIONS];
    struct producer *producers[PRODUCERS];
};

/* In the child a failed expectation is exit code 3 and a line. */
#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: in the child: %s\n", __FILE__, __LINE__, #condition);          \
            _exit(3);                                                                              \
        }                                                                                          \
    } while (0)

static int32_t note_records(int32_t partition, int32_t txn, int32_t count)
{
    int32_t first = ledger->record_count;
    for (int32_t i = 0; i < count; i++)
        ledger->records[first + i] =
            (struct record_fact){partition, txn, ledger->batch_count, UNKNOWN};
    ledger->batch_count++;
    ledger->record_count += count;
    return first;
}

static void note_offsets(int32_t first, int32_t count, int64_t base)
{
    for (int32_t i = 0; i < count; i++)
        ledger->records[first + i].offset = base + i;
}

static void do_append(struct life *life)
{
    int32_t p = below(PARTITIONS), count = 1 + below(4);
    int32_t first = note_records(p, -1, count);
    int64_t base = fixture_append_sized(life->partitions[p], first, count, (size_t)(1 + below(300)),
                                        clock_wall_ms());
    EXPECT(base >= 0);
    note_offsets(first, count, base);
    if (below(3) == 0)
        EXPECT(partition_wait(life->partitions[p], base + count, 10000) == 0);
}

static void do_producer_open(struct life *life, int32_t n)
{
    char name[8];
    struct producer *old = life->producers[n];
    int32_t open = ledger->current[n];
    snprintf(name, sizeof name, "tx%d", n);
    EXPECT(producer_open(life->log, name, &life->producers[n], NULL) == 0);
    if (open >= 0)
        ledger->txns[open].fate = FATE_ABORTED;
    ledger->current[n] = -1;
    if (old == NULL)
        return;
    /* The old handle is fenced, whatever it tries. */
    size_t size;
    uint8_t *batch = fixture_batch(0, 1, 1, clock_wall_ms(), &size);
    EXPECT(txn_append(old, life->partitions[0], batch, size, NULL, NULL) == ERR_FENCED);
    EXPECT(txn_commit(old, NULL) == ERR_FENCED);
    free(batch);
    producer_close(old);
}

static void do_txn_step(struct life *life)
{
    int32_t n = below(PRODUCERS), t = ledger->current[n];
    struct producer *producer = life->producers[n];
    if (producer == NULL) {
        do_producer_open(life, n);
        return;
    }
    if (t < 0) {
        EXPECT(txn_begin(producer, NULL) == 0);
        t = ledger->txn_count++;
        ledger->txns[t] = (struct txn_fact){FATE_OPEN, n, -1};
        ledger->current[n] = t;
        if (below(2) == 0)
            EXPECT(txn_participate(producer, life->partitions, PARTITIONS, NULL) == 0);
    }
    for (int32_t i = below(4); i >= 0; i--) {
        int32_t p = below(PARTITIONS), count = 1 + below(3);
        int32_t first = note_records(p, t, count);
        int64_t base = fixture_txn_append(producer, life->partitions[p], first, count);
        EXPECT(base >= 0);
        note_offsets(first, count, base);
        struct partition_offsets offsets;
        partition_offsets(life->partitions[p], &offsets);
        EXPECT(offsets.stable <= base); /* nobody may read it yet */
    }
    if (below(2) == 0) {
        char group[8];
        struct group_offset offset = {
            .topic = "m", .partition = 0, .offset = ledger->next_group_offset++};
        snprintf(group, sizeof group, "g%d", n);
        EXPECT(txn_add_offsets(producer, group, &offset, 1, NULL) == 0);
        ledger->txns[t].group_offset = offset.offset;
    }
    int32_t end = below(8);
    if (end < 4) {
        ledger->txns[t].fate = FATE_ASKED;
        EXPECT(txn_commit(producer, NULL) == 0);
        ledger->txns[t].fate = FATE_COMMITTED;
        if (ledger->txns[t].group_offset >= 0)
            ledger->group[n] = ledger->txns[t].group_offset;
        ledger->current[n] = -1;
    } else if (end < 6) {
        EXPECT(txn_abort(producer, NULL) == 0);
        ledger->txns[t].fate = FATE_ABORTED;
        ledger->current[n] = -1;
    }
}

static void do_purge(struct life *life)
{
    int32_t p = below(PARTITIONS);
    struct partition_offsets offsets;
    partition_offsets(life->partitions[p], &offsets);
    if (offsets.stable <= offsets.start)
        return;
    int64_t to = offsets.start + below((int32_t)(offsets.stable - offsets.start)) / 2;
    ledger->start_asked[p] = to;
    EXPECT(partition_purge(life->partitions[p], to, NULL) == 0);
    ledger->start[p] = to;
}

static void do_side_topic(struct life *life)
{
    if (topic_describe(life->log, "side", NULL, NULL) == 0) {
        EXPECT(topic_delete(life->log, "side", NULL) == 0);
        return;
    }
    EXPECT(topic_create(life->log, "side", 2, NULL, 0, NULL) == 0);
    struct partition *partition;
    EXPECT(partition_get(life->log, "side", 1, &partition, NULL) == 0);
    EXPECT(fixture_append(partition, 1, 1) == 0);
}

static void open_life(struct life *life)
{
    struct log_options options = {.flush_interval_ms = 1 + below(20)};
    struct diag diag = {0};
    int rc = log_open(ledger->dir, &options, &life->log, &diag);
    if (rc < 0)
        fprintf(stderr, "log_open: %s\n", diag.text);
    EXPECT(rc == 0);
    if (topic_describe(life->log, "m", NULL, NULL) < 0) {
        char bytes[16];
        snprintf(bytes, sizeof bytes, "%d", 400 + below(3000));
        struct config_entry config = {"segment.bytes", bytes};
        EXPECT(topic_create(life->log, "m", PARTITIONS, &config, 1, NULL) == 0);
    }
    for (int32_t p = 0; p < PARTITIONS; p++)
        EXPECT(partition_get(life->log, "m", p, &life->partitions[p], NULL) == 0);
}

static int live(void *context)
{
    struct life life = {0};
    (void)context;
    open_life(&life);
    for (int32_t i = below(OPERATIONS); i >= 0; i--) {
        int32_t what = below(20);
        if (what < 7)
            do_append(&life);
        else if (what < 16)
            do_txn_step(&life);
        else if (what < 17)
            do_producer_open(&life, below(PRODUCERS));
        else if (what < 19)
            do_purge(&life);
        else
            do_side_topic(&life);
    }
    if (!ledger->clean)
        return 0; /* _exit: as good as kill -9 */
    log_close(life.log);
    return 0;
}

/* Opens and is gone: meant to crash during recovery. */
static int open_only(void *context)
{
    struct life life = {0};
    (void)context;
    open_life(&life);
    return 0;
}

/* ---- the parent: comparing ---- */

static void check_uncommitted(struct partition *partition, int32_t p, int64_t start)
{
    struct fixture_record *records;
    int64_t count =
        fixture_read(partition, start, READ_UNCOMMITTED, (size_t)(1 + below(5000)), &records);
    assert_true(count >= 0);
    int64_t *seen = malloc(RECORD_LIMIT * sizeof *seen);
    for (int32_t i = 0; i < RECORD_LIMIT; i++)
        seen[i] = NOT_THERE;
    for (int64_t i = 0; i < count; i++) {
        int64_t id = records[i].value;
        assert_true(id >= 0 && id < ledger->record_count);
        assert_int_equal(ledger->records[id].partition, p);
        assert_int_equal(seen[id], NOT_THERE); /* nothing twice */
        seen[id] = records[i].offset;
    }
    for (int32_t id = 0; id < ledger->record_count; id++) {
        struct record_fact *fact = &ledger->records[id];
        if (fact->partition != p)
            continue;
        bool later_of_batch = id > 0 && ledger->records[id - 1].batch == fact->batch;
        if (fact->offset == UNKNOWN) {
            if (later_of_batch) /* a batch is there as a whole or not */
                assert_int_equal(seen[id],
                                 seen[id - 1] == NOT_THERE ? NOT_THERE : seen[id - 1] + 1);
            fact->offset = seen[id];
        } else if (fact->offset >= start) {
            assert_int_equal(seen[id], fact->offset);
        } else {
            assert_int_equal(seen[id], NOT_THERE);
        }
    }
    free(seen);
    free(records);
}

/* Notes which records of partition p are shown. */
static void read_committed(struct partition *partition, int64_t start, bool *shown)
{
    struct fixture_record *records;
    int64_t count =
        fixture_read(partition, start, READ_COMMITTED, (size_t)(1 + below(5000)), &records);
    assert_true(count >= 0);
    for (int64_t i = 0; i < count; i++) {
        assert_true(records[i].value >= 0 && records[i].value < ledger->record_count);
        assert_int_equal(ledger->records[records[i].value].offset, records[i].offset);
        shown[records[i].value] = true;
    }
    free(records);
}

/* What became of the transactions that were being committed. */
static void settle_asked(struct log *log, const bool *shown, const int64_t *starts)
{
    for (int32_t t = 0; t < ledger->txn_count; t++) {
        struct txn_fact *txn = &ledger->txns[t];
        if (txn->fate == FATE_OPEN)
            txn->fate = FATE_ABORTED;
        if (txn->fate != FATE_ASKED)
            continue;
        enum txn_fate fate = FATE_ABORTED;
        if (txn->group_offset >= 0) {
            struct group_offset offset;
            char group[8];
            snprintf(group, sizeof group, "g%d", txn->producer);
            assert_int_equal(group_fetch(log, group, "m", 0, &offset), 0);
            if (offset.offset == txn->group_offset)
                fate = FATE_COMMITTED;
        } else {
            for (int32_t id = 0; id < ledger->record_count; id++)
                if (ledger->records[id].txn == t && shown[id] &&
                    ledger->records[id].offset >= starts[ledger->records[id].partition])
                    fate = FATE_COMMITTED;
        }
        txn->fate = fate;
        if (fate == FATE_COMMITTED && txn->group_offset >= 0)
            ledger->group[txn->producer] = txn->group_offset;
    }
}

static void check_shown(const bool *shown, const int64_t *starts)
{
    for (int32_t id = 0; id < ledger->record_count; id++) {
        const struct record_fact *fact = &ledger->records[id];
        bool exists = fact->offset >= starts[fact->partition];
        bool expected = exists && (fact->txn < 0 || ledger->txns[fact->txn].fate == FATE_COMMITTED);
        if (shown[id] != expected)
            fail_msg("record %d at %" PRId64 " of partition %d, transaction %d: %s", id,
                     fact->offset, fact->partition, fact->txn,
                     expected ? "is missing" : "must not be shown");
    }
}

static void check_groups(struct log *log)
{
    for (int32_t n = 0; n < PRODUCERS; n++) {
        struct group_offset offset;
        char group[8];
        snprintf(group, sizeof group, "g%d", n);
        assert_int_equal(group_fetch(log, group, "m", 0, &offset), 0);
        assert_int_equal(offset.offset, ledger->group[n]);
    }
}

static void compare(void)
{
    static bool shown[RECORD_LIMIT];
    int64_t starts[PARTITIONS] = {0};
    struct log *log = fixture_open(ledger->dir);
    memset(shown, 0, sizeof shown);
    if (topic_describe(log, "m", NULL, NULL) == 0) {
        for (int32_t p = 0; p < PARTITIONS; p++) {
            struct partition *partition = fixture_partition(log, "m", p);
            struct partition_offsets offsets;
            struct diag diag = {0};
            if (partition_status(partition, &diag) < 0)
                fail_msg("partition %d: %s", p, diag.text);
            partition_offsets(partition, &offsets);
            assert_int_equal(offsets.stable, offsets.end);
            if (offsets.start != ledger->start_asked[p])
                assert_int_equal(offsets.start, ledger->start[p]);
            ledger->start[p] = ledger->start_asked[p] = starts[p] = offsets.start;
            check_uncommitted(partition, p, offsets.start);
            read_committed(partition, offsets.start, shown);
        }
    } else {
        assert_int_equal(ledger->record_count, 0);
    }
    settle_asked(log, shown, starts);
    check_shown(shown, starts);
    if (topic_describe(log, "m", NULL, NULL) == 0)
        check_groups(log);
    for (int32_t n = 0; n < PRODUCERS; n++)
        ledger->current[n] = -1;
    log_close(log);
}

static int32_t find_name(const char *name)
{
    int32_t i = 0;
    while (strcmp(crash_names[i], name) != 0)
        i++;
    return i;
}

/* A crash, and then crashes while recovering from it. */
static void crash_in_recovery(void)
{
    static const char *const names[] = {"recovery.begin",   "recovery.marker", "recovery.abort",
                                        "recovery.flushed", "recovery.done",   "flush.before"};
    for (int32_t i = below(3); i > 0; i--) {
        char crash_at[64];
        const char *name = names[below(6)];
        snprintf(crash_at, sizeof crash_at, "%s:%d", name, 1 + below(2));
        if (fixture_child(open_only, NULL, crash_at) == 137)
            crashes[find_name(name)]++;
    }
}

static void run_sequence(uint64_t seed)
{
    char *dir = scratch_dir_create();
    memset(ledger, 0, sizeof *ledger);
    ledger->random = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    for (int i = 0; i < 8; i++)
        next_random();
    for (int32_t n = 0; n < PRODUCERS; n++) {
        ledger->current[n] = -1;
        ledger->group[n] = -1;
    }
    snprintf(ledger->dir, sizeof ledger->dir, "%s/log", dir);
    for (int life = 0; life < LIVES; life++) {
        int32_t end = below(8), name = below(CRASH_NAME_COUNT);
        char crash_at[64];
        snprintf(crash_at, sizeof crash_at, "%s:%d", crash_names[name],
                 1 + below(below(3) == 0 ? 12 : 3));
        ledger->clean = end < 2;
        int status = fixture_child(live, NULL, end < 3 ? NULL : crash_at);
        if (status == 137)
            crashes[name]++;
        else if (status != 0)
            fail_msg("seed %" PRIu64 ", life %d, %s: the child failed", seed, life, crash_at);
        crash_in_recovery();
        compare();
    }
    scratch_dir_remove(dir);
}

static void test_sequences(void **state)
{
    (void)state;
    const char *text = getenv("WEIR_MODEL_SEQUENCES");
    int64_t count = text != NULL ? atoll(text) : 300;
    for (int64_t i = 0; i < count; i++) {
        if (getenv("WEIR_MODEL_VERBOSE") != NULL)
            fprintf(stderr, "seed %" PRIu64 "\n", first_seed + (uint64_t)i);
        run_sequence(first_seed + (uint64_t)i);
    }
    int hit = 0;
    for (int i = 0; i < CRASH_NAME_COUNT; i++)
        hit += crashes[i] > 0;
    print_message("%d of %d crash points were hit\n", hit, CRASH_NAME_COUNT);
    if (count >= 300)
        for (int i = 0; i < CRASH_NAME_COUNT; i++)
            if (crashes[i] == 0)
                print_message("never hit: %s\n", crash_names[i]);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        first_seed = (uint64_t)atoll(argv[1]);
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0);
    ledger = mmap(NULL, sizeof *ledger, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (ledger == MAP_FAILED)
        return 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sequences)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
