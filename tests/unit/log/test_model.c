/* test_model.c: the log against a naive model, over random operations and crashes.
 *
 * A sequence is some lives of one data directory. In each life a child process opens the log and
 * does random things to five partitions, three of a topic that retention shortens and two of one that is
 * compacted: plain appends, transactions of two producers over all of them (committed, aborted, left
 * open, fenced), batches of idempotent producers, sent again and out of order, rolls (segments are
 * tiny), delete-records, passes of retention and compaction with a clock that is moved on, changes of the
 * configuration, an end cut off, a third topic that comes and goes. The child ends by a clean close, by _exit
 * in the middle, or at a random crash point, which may lie in log_open. What it did is written
 * down in shared memory before and after each call: the ledger (tests/support/log_model.h).
 *
 * Then the parent opens the log and compares. What was answered must be so; what was being asked
 * when the child died may be so or not, but as a whole: a batch is there or not, a transaction is
 * committed in all partitions with its group offset, or in none. A compacted partition must show, of each
 * key, its newest records without a hole, at least one unless it was a tombstone whose time had come.
 * The parent writes into the ledger what it found, closes, and the next life begins.
 *
 * The oracle is the ledger alone; nothing in it comes from the code under test but offsets it
 * returned.
 *
 * Processes are killed here, not machines, so memory-backed files show the same and cost no
 * flushes: /dev/shm is used unless TMPDIR says otherwise.
 *
 * WEIR_MODEL_SEQUENCES: how many (200); the first argument: the first seed. WEIR_MODEL_VERBOSE=1 prints each seed. */
#include "tests/support/log_fixture.h"
#include "tests/support/log_model.h"
#include "tests/support/scratch_dir.h"

#include <inttypes.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

enum { LIVES = 3, DEFAULT_SEQUENCES = 200, ENOUGH_TO_SEE_ALL = 300 };

static uint64_t first_seed = 1;
static char doing[160]; /* for who has to repeat it; empty when all went well */

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
                                          "retention.rolled",
                                          "segment.renamed",
                                          "segment.unlinked",
                                          "snapshot.written",
                                          "snapshot.renamed",
                                          "snapshot.removed",
                                          "snapshot.done",
                                          "compact.written",
                                          "swap.begin",
                                          "swap.recorded",
                                          "swap.renamed",
                                          "swap.removed",
                                          "swap.flushed",
                                          "swap.done",
                                          "truncate.recorded",
                                          "truncate.begin",
                                          "truncate.removed",
                                          "truncate.shortened",
                                          "truncate.marked",
                                          "truncate.files",
                                          "recovery.swap",
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
                                        "recovery.flushed", "recovery.done",   "flush.before",
                                        "recovery.swap",    "truncate.begin",  "truncate.shortened",
                                        "truncate.marked",  "truncate.files"};
    for (int32_t i = below(3); i > 0; i--) {
        char crash_at[64];
        const char *name = names[below((int32_t)(sizeof names / sizeof *names))];
        snprintf(crash_at, sizeof crash_at, "%s:%d", name, 1 + below(2));
        if (fixture_child(model_open_only, NULL, crash_at) == 137)
            crashes[find_name(name)]++;
    }
}

static void run_sequence(uint64_t seed)
{
    char *dir = scratch_dir_create();
    model_begin(seed, dir);
    for (int life = 0; life < LIVES; life++) {
        int32_t end = below(8), name = below(CRASH_NAME_COUNT);
        char crash_at[64];
        snprintf(crash_at, sizeof crash_at, "%s:%d", crash_names[name],
                 1 + below(below(3) == 0 ? 12 : 3));
        ledger->clean = end < 2;
        snprintf(doing, sizeof doing, "seed %" PRIu64 ", life %d, %s", seed, life,
                 end < 2   ? "closed"
                 : end < 3 ? "left"
                           : crash_at);
        int status = fixture_child(model_live, NULL, end < 3 ? NULL : crash_at);
        if (status == 137)
            crashes[name]++;
        else if (status != 0)
            fail_msg("the child failed");
        crash_in_recovery();
        model_compare();
    }
    scratch_dir_remove(dir);
    doing[0] = '\0';
}

static int say_what_failed(void **state)
{
    (void)state;
    if (doing[0] != '\0')
        print_message("failed in: %s, of %s\n", doing, ledger->dir);
    return 0;
}

static void test_sequences(void **state)
{
    (void)state;
    const char *text = getenv("WEIR_MODEL_SEQUENCES");
    int64_t count = text != NULL ? atoll(text) : DEFAULT_SEQUENCES;
    for (int64_t i = 0; i < count; i++) {
        if (getenv("WEIR_MODEL_VERBOSE") != NULL)
            fprintf(stderr, "seed %" PRIu64 "\n", first_seed + (uint64_t)i);
        run_sequence(first_seed + (uint64_t)i);
    }
    int hit = 0;
    for (int i = 0; i < CRASH_NAME_COUNT; i++)
        hit += crashes[i] > 0;
    print_message("%d of %d crash points were hit; %" PRId64 " segments deleted, %" PRId64
                  " records compacted away, %" PRId64 " tombstones and %" PRId64
                  " markers, %" PRId64 " batches sent again, %" PRId64 " ends cut off\n",
                  hit, CRASH_NAME_COUNT, model_totals->segments_deleted,
                  model_totals->records_removed, model_totals->tombstones_removed,
                  model_totals->markers_removed, model_totals->retries, model_totals->cuts);
    if (count < ENOUGH_TO_SEE_ALL)
        return;
    for (int i = 0; i < CRASH_NAME_COUNT; i++)
        if (crashes[i] == 0)
            print_message("never hit: %s\n", crash_names[i]);
    assert_true(model_totals->segments_deleted > 0 && model_totals->retries > 0);
}

static void *shared(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must(memory != MAP_FAILED);
    return memory;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        first_seed = (uint64_t)atoll(argv[1]);
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0);
    /* LMDB asks for megabytes of zeros at each opening: fresh pages have them, and cost nothing until they are touched. */
    mallopt(M_MMAP_THRESHOLD, 128 << 10);
    ledger = shared(sizeof *ledger);
    model_totals = shared(sizeof *model_totals);
    const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(test_sequences, say_what_failed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
