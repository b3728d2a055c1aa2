/* test_recovery_open.c: transactions of clients that stay open over a restart: which do, what they still have, and who may end them then. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "log/log_internal.h"
#include "runtime/base/clock.h"
#include "runtime/base/io.h"
#include "tests/support/log_fixture.h"
#include "tests/support/scratch_dir.h"

enum { TIMEOUT_MS = 60000 };
#define COUNTER "transactions_of_boot"

struct place {
    char *dir;
    struct log *log;
    struct partition *p[2];
    struct producer *producer;
    bool closes, commits, ends, fails; /* what the child does at its end */
};

static void open_place(struct place *place)
{
    static const struct log_options options = {.keeper_interval_ms = -1};
    place->log = fixture_open_options(place->dir, &options);
    for (int i = 0; i < 2; i++)
        place->p[i] = fixture_partition(place->log, "t", i);
}

static int setup(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    place->dir = scratch_dir_create();
    struct log *log = fixture_open(place->dir);
    fixture_topic(log, "t", 2, NULL);
    fixture_topic(log, "gone", 1, NULL);
    log_close(log);
    *state = place;
    return 0;
}

static int teardown(void **state)
{
    struct place *place = *state;
    log_close(place->log);
    scratch_dir_remove(place->dir);
    free(place);
    return 0;
}

/* A batch as the producer itself would send it. */
static int64_t send_numbered(struct producer *producer, struct partition *partition,
                             int32_t sequence, int32_t count)
{
    size_t size;
    int64_t offset = -1;
    uint8_t *batch = fixture_batch(sequence, count, 0, 1000, &size);
    batch_set_producer(batch, producer_id(producer), producer_epoch(producer), sequence, true);
    int rc = txn_append_numbered(producer, partition, batch, size, &offset, NULL);
    free(batch);
    return rc < 0 ? rc : offset;
}

static int add_offset(struct producer *producer, const char *topic, int64_t offset)
{
    struct group_offset one = {.offset = offset};
    snprintf(one.topic, sizeof one.topic, "%s", topic);
    return txn_add_offsets(producer, "g", &one, 1, NULL);
}

static int participate(struct place *place, struct producer *producer)
{
    struct partition *gone = fixture_partition(place->log, "gone", 0);
    struct partition *partitions[] = {place->p[0], place->p[1], gone};
    return txn_participate(producer, partitions, 3, NULL);
}

static int fail_flush(void *context, enum io_call call, const char *path, int fd, size_t *size)
{
    (void)context, (void)path, (void)fd, (void)size;
    return call == IO_FDATASYNC ? EIO : 0;
}

/* Whether the flush of the last batch is what stopped the log. A kill comes after the flusher has made a note of that. */
static bool failed(struct place *place)
{
    bool has_failed = partition_wait(place->p[1], 5, -1) < 0 && log_status(place->log, NULL) < 0;
    if (!place->closes)
        flusher_stop(place->log);
    io_set_fault(NULL, NULL);
    return has_failed;
}

/* One transaction that was committed (0 and 1 in each partition), and one with 2 and 3 that is open. */
static int write_in_child(void *context)
{
    struct place *place = context;
    open_place(place);
    if (producer_open_kept(place->log, "c", TIMEOUT_MS, false, &place->producer, NULL) < 0)
        return 1;
    for (int round = 0; round < 2; round++) {
        if (txn_begin(place->producer, NULL) < 0 || participate(place, place->producer) < 0)
            return 2;
        for (int i = 0; i < 2; i++) {
            if (place->fails && round == 1 && i == 1)
                io_set_fault(fail_flush, NULL);
            if (send_numbered(place->producer, place->p[i], 2 * round, 2) != 3 * round)
                return 3;
        }
        if (place->fails && round == 1) {
            if (!failed(place))
                return 6;
            break;
        }
        if (add_offset(place->producer, "t", 10 + round) < 0 ||
            add_offset(place->producer, "gone", 20) < 0)
            return 4;
        if (round == 0 && txn_commit(place->producer, NULL) < 0)
            return 5;
    }
    if (place->ends)
        (void)(place->commits ? txn_commit(place->producer, NULL)
                              : txn_abort(place->producer, NULL));
    if (place->closes)
        log_close(place->log);
    return 0;
}

static void leave_open(struct place *place, bool closes)
{
    place->closes = closes;
    assert_int_equal(fixture_child(write_in_child, place, NULL), 0);
}

static struct producer_record lookup(struct place *place)
{
    struct producer_record record;
    assert_int_equal(producer_lookup(place->log, "c", &record, NULL), 0);
    return record;
}

/* The client comes back with the epoch that it had. */
static int resume(struct place *place, struct producer **producer)
{
    return producer_resume(place->log, "c", lookup(place).producer_id, 0, producer, NULL);
}

static int64_t stable(struct partition *partition)
{
    struct partition_offsets offsets;
    partition_offsets(partition, &offsets);
    assert_int_equal(partition_wait(partition, offsets.end, -1), 0);
    partition_offsets(partition, &offsets);
    return offsets.stable;
}

static int64_t committed(struct place *place, const char *topic)
{
    struct group_offset offset = {.offset = -1};
    int rc = group_fetch(place->log, "g", topic, 0, &offset);
    free((void *)(uintptr_t)offset.metadata.data);
    return rc < 0 ? -1 : offset.offset;
}

static int count_one(void *context, struct bytes key, struct bytes value, struct diag *diag)
{
    (void)key, (void)value, (void)diag;
    ++*(int *)context;
    return 0;
}

/* Entries of meta that wait for the end of a transaction. */
static int put_aside(struct place *place)
{
    int count = 0;
    assert_int_equal(
        meta_scan(place->log->meta, META_TXN_OFFSETS, bytes_of(NULL, 0), count_one, &count, NULL),
        0);
    return count;
}

static int orphans(struct place *place)
{
    int count = 0;
    for (struct producer *p = place->log->producers; p != NULL; p = p->next)
        count += p->is_orphan;
    return count;
}

static void expect_open(struct place *place)
{
    assert_int_equal(lookup(place).outcome, TXN_OUTCOME_OPEN);
    assert_int_equal(lookup(place).epoch, 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(stable(place->p[i]), 3);
        assert_string_equal(fixture_values(place->p[i], READ_COMMITTED), "0 1");
    }
    assert_int_equal(committed(place, "t"), 10);
    assert_int_equal(group_offset_pending(place->log, "g", "t", 0), 1);
}

static void expect_aborted(struct place *place)
{
    for (int i = 0; i < 2; i++) {
        assert_string_equal(fixture_values(place->p[i], READ_COMMITTED), "0 1");
        assert_int_equal(stable(place->p[i]), 6);
    }
    assert_int_equal(committed(place, "t"), 10);
    assert_int_equal(group_offset_pending(place->log, "g", "t", 0), 0);
    assert_int_equal(put_aside(place), 0);
    assert_int_equal(orphans(place), 0);
}

/* As one does that is lost with the system: the one who had it may have the next epoch. */
static void expect_lost(struct place *place)
{
    struct producer *producer;
    expect_aborted(place);
    assert_int_equal(lookup(place).outcome, TXN_OUTCOME_CONTINUED);
    assert_int_equal(lookup(place).epoch, 1);
    assert_int_equal(resume(place, &producer), ERR_FENCED);
}

static int64_t counter(struct place *place, int64_t replace)
{
    char path[4096];
    struct meta *meta;
    struct meta_batch batch;
    int64_t value;
    snprintf(path, sizeof path, "%s/meta", place->dir);
    assert_int_equal(meta_open(path, 0, &meta, NULL), 0);
    assert_int_equal(meta_get_counter(meta, COUNTER, &value, NULL), 0);
    meta_batch_init(&batch);
    meta_put_counter(&batch, COUNTER, replace);
    if (replace >= 0)
        assert_int_equal(meta_apply(meta, &batch, NULL), 0);
    meta_batch_deinit(&batch);
    meta_close(meta);
    return value;
}

/* ---- who stays open ---- */

static void ends_as_it_would_have(struct place *place, bool commit)
{
    struct producer *producer;
    struct txn_description description;
    expect_open(place);
    assert_int_equal(resume(place, &producer), 0);
    assert_int_equal(orphans(place), 0);
    assert_int_equal(producer_outcome(producer), TXN_OUTCOME_OPEN);
    assert_int_equal(txn_describe(producer, &description, NULL), 0);
    assert_int_equal(description.partition_count, 3);
    assert_int_equal(description.began_ms, lookup(place).updated_ms);
    free(description.partitions);
    assert_int_equal(txn_begin(producer, NULL), ERR_STATE);
    /* The last batch again, a gap, and what follows. */
    assert_int_equal(send_numbered(producer, place->p[0], 2, 2), 3);
    assert_int_equal(send_numbered(producer, place->p[0], 5, 1), ERR_SEQUENCE);
    assert_int_equal(send_numbered(producer, place->p[0], 4, 1), 5);
    assert_int_equal(commit ? txn_commit(producer, NULL) : txn_abort(producer, NULL), 0);
    assert_string_equal(fixture_values(place->p[0], READ_COMMITTED), commit ? "0 1 2 3 4" : "0 1");
    assert_string_equal(fixture_values(place->p[1], READ_COMMITTED), commit ? "0 1 2 3" : "0 1");
    assert_int_equal(committed(place, "t"), commit ? 11 : 10);
    assert_int_equal(group_offset_pending(place->log, "g", "t", 0), 0);
    assert_int_equal(put_aside(place), 0);
    log_close(place->log);
    open_place(place);
    assert_int_equal(lookup(place).outcome, commit ? TXN_OUTCOME_COMMITTED : TXN_OUTCOME_ABORTED);
    assert_string_equal(fixture_values(place->p[1], READ_COMMITTED), commit ? "0 1 2 3" : "0 1");
    assert_int_equal(stable(place->p[1]), 6);
}

static void it_goes_on_after_a_kill(void **state)
{
    struct place *place = *state;
    leave_open(place, false);
    open_place(place);
    ends_as_it_would_have(place, true);
}

/* Any number of restarts, of both kinds. */
static void it_goes_on_after_a_stop(void **state)
{
    struct place *place = *state;
    leave_open(place, true);
    for (int i = 0; i < 3; i++) {
        open_place(place);
        expect_open(place);
        log_close(place->log);
    }
    open_place(place);
    ends_as_it_would_have(place, false);
}

static void a_stop_counts_whatever_the_system_does_then(void **state)
{
    struct place *place = *state;
    leave_open(place, true);
    assert_int_equal(counter(place, -1), 1);
    open_place(place);
    log_close(place->log);
    assert_int_equal(counter(place, -1), 1);
    open_place(place);
    ends_as_it_would_have(place, true);
}

static void it_is_lost_with_the_system(void **state)
{
    struct place *place = *state;
    leave_open(place, false);
    int64_t ours = counter(place, 12345);
    assert_true(ours == 0 || ours > 1); /* 0: this system has no such id */
    open_place(place);
    expect_lost(place);
}

/* Also one that had survived a stop before. */
static void a_stop_counts_once(void **state)
{
    struct place *place = *state;
    leave_open(place, true);
    open_place(place);
    expect_open(place);
    log_close(place->log);
    assert_int_equal(counter(place, 12345), 1);
    open_place(place);
    expect_lost(place);
}

static void one_of_an_older_version_is_lost(void **state)
{
    struct place *place = *state;
    leave_open(place, false);
    counter(place, 0);
    open_place(place);
    expect_lost(place);
}

static void it_is_lost_with_bytes_of_its_partition(void **state)
{
    struct place *place = *state;
    char path[4096];
    leave_open(place, false);
    open_place(place);
    struct segment named = {.partition = place->p[1], .base_offset = 0};
    segment_path(&named, "log", path);
    log_close(place->log);
    FILE *file = fopen(path, "ab");
    assert_non_null(file);
    assert_int_equal(fputs("half a batch", file) >= 0, 1);
    assert_int_equal(fclose(file), 0);
    open_place(place);
    expect_lost(place);
}

/* The system may have let go of what it could not write: what is read again need not be on the disk. */
static void it_is_lost_with_a_failed_flush(void **state)
{
    (void)state;
    for (int closes = 0; closes < 2; closes++) {
        void *made;
        setup(&made);
        struct place *place = made;
        place->fails = true;
        leave_open(place, closes > 0);
        open_place(place);
        expect_lost(place);
        teardown(&made);
    }
}

static void it_is_aborted_when_its_abort_has_begun(void **state)
{
    struct place *place = *state;
    place->ends = true;
    assert_int_equal(fixture_child(write_in_child, place, "marker.abort:1"), 137);
    open_place(place);
    expect_lost(place);
}

/* At every step of the first commit and the second. */
static void it_is_committed_when_that_was_decided(void **state)
{
    static const char *const names[] = {"decide.prepared", "decide.before", "decide.done",
                                        "decide.stable",   "marker.commit", "decide.finished"};
    int decided = 0, open = 0;
    (void)state;
    for (size_t i = 0; i < 5 * sizeof names / sizeof *names; i++) {
        void *made;
        char point[64];
        setup(&made);
        struct place *place = made;
        snprintf(point, sizeof point, "%s:%zu", names[i / 5], i % 5 + 1);
        place->ends = place->commits = true;
        int status = fixture_child(write_in_child, place, point);
        assert_true(status == 0 || status == 137);
        open_place(place);
        bool is_open = group_offset_pending(place->log, "g", "t", 0) == 1;
        if (committed(place, "t") == 11) {
            assert_int_equal(lookup(place).outcome, TXN_OUTCOME_COMMITTED);
            assert_string_equal(fixture_values(place->p[0], READ_COMMITTED), "0 1 2 3");
            assert_string_equal(fixture_values(place->p[1], READ_COMMITTED), "0 1 2 3");
            assert_int_equal(put_aside(place), 0);
            decided += status == 137;
        } else if (committed(place, "t") == 10 && is_open) {
            expect_open(place);
            open++;
        }
        assert_int_equal(put_aside(place) > 0, is_open);
        teardown(&made);
    }
    assert_true(decided > 0 && open > 0);
}

/* ---- who ends it ---- */

static void its_time_goes_on(void **state)
{
    struct place *place = *state;
    struct producer *producer;
    leave_open(place, false);
    open_place(place);
    int64_t began_ms = lookup(place).updated_ms;
    assert_int_equal(log_keep_house(place->log, began_ms + TIMEOUT_MS - 1, NULL, NULL), 0);
    expect_open(place);
    assert_int_equal(log_keep_house(place->log, began_ms + TIMEOUT_MS, NULL, NULL), 0);
    expect_aborted(place);
    assert_int_equal(lookup(place).epoch, 1);
    assert_int_equal(lookup(place).outcome, TXN_OUTCOME_NONE);
    assert_int_equal(resume(place, &producer), ERR_FENCED);
    assert_int_equal(producer_open_kept(place->log, "c", TIMEOUT_MS, false, &producer, NULL), 0);
    assert_int_equal(producer_epoch(producer), 2);
}

static void a_newer_producer_fences_it(void **state)
{
    struct place *place = *state;
    struct producer *producer, *old;
    leave_open(place, true);
    open_place(place);
    assert_int_equal(producer_open_kept(place->log, "c", TIMEOUT_MS, false, &producer, NULL), 0);
    assert_int_equal(producer_epoch(producer), 1);
    expect_aborted(place);
    assert_int_equal(resume(place, &old), ERR_FENCED);
    assert_int_equal(txn_begin(producer, NULL), 0);
    assert_int_equal(participate(place, producer), 0);
    assert_int_equal(send_numbered(producer, place->p[0], 0, 1), 6);
    assert_int_equal(txn_commit(producer, NULL), 0);
    assert_string_equal(fixture_values(place->p[0], READ_COMMITTED), "0 1 0");
}

static int fence_in_child(void *context)
{
    struct place *place = context;
    struct producer *producer;
    open_place(place);
    return producer_open_kept(place->log, "c", TIMEOUT_MS, false, &producer, NULL) < 0;
}

/* The one who was to be fenced is not, but what it had is aborted: it must not be committed as empty. */
static void a_restart_between_the_abort_and_the_new_epoch(void **state)
{
    struct place *place = *state;
    struct producer *producer;
    leave_open(place, false);
    assert_int_equal(fixture_child(fence_in_child, place, "producer.open.fenced"), 137);
    open_place(place);
    expect_aborted(place);
    assert_int_equal(lookup(place).epoch, 0);
    assert_int_equal(lookup(place).outcome, TXN_OUTCOME_ABORTED);
    assert_int_equal(resume(place, &producer), 0);
    assert_int_equal(txn_commit(producer, NULL), ERR_STATE);
}

static void a_topic_that_is_gone_is_no_part_of_it(void **state)
{
    struct place *place = *state;
    struct producer *producer;
    leave_open(place, false);
    open_place(place);
    assert_int_equal(topic_delete(place->log, "gone", NULL), 0);
    log_close(place->log);
    open_place(place);
    expect_open(place);
    assert_int_equal(put_aside(place), 1);
    assert_int_equal(resume(place, &producer), 0);
    assert_int_equal(txn_commit(producer, NULL), 0);
    assert_int_equal(committed(place, "t"), 11);
    assert_string_equal(fixture_values(place->p[0], READ_COMMITTED), "0 1 2 3");
}

/* Readers wait as they would with the server running. */
static void who_only_reads_leaves_it_alone(void **state)
{
    struct place *place = *state;
    struct log *log;
    leave_open(place, false);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(log_open(place->dir, &(struct log_options){.read_only = true}, &log, NULL),
                         0);
        struct partition *partition = fixture_partition(log, "t", 0);
        assert_string_equal(fixture_values(partition, READ_COMMITTED), "0 1");
        assert_string_equal(fixture_values(partition, READ_UNCOMMITTED), "0 1 2 3");
        log_close(log);
    }
    open_place(place);
    ends_as_it_would_have(place, true);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_goes_on_after_a_kill),
        TEST(it_goes_on_after_a_stop),
        TEST(a_stop_counts_whatever_the_system_does_then),
        TEST(it_is_lost_with_the_system),
        TEST(a_stop_counts_once),
        TEST(one_of_an_older_version_is_lost),
        TEST(it_is_lost_with_bytes_of_its_partition),
        cmocka_unit_test(it_is_lost_with_a_failed_flush),
        TEST(it_is_aborted_when_its_abort_has_begun),
        cmocka_unit_test(it_is_committed_when_that_was_decided),
        TEST(its_time_goes_on),
        TEST(a_newer_producer_fences_it),
        TEST(a_restart_between_the_abort_and_the_new_epoch),
        TEST(a_topic_that_is_gone_is_no_part_of_it),
        TEST(who_only_reads_leaves_it_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
