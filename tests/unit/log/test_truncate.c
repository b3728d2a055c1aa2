/* test_truncate.c: the end of a partition cut off, at every step of which the process may end. */
#include "log/log_internal.h"
#include "runtime/base/io.h"
#include "tests/support/log_fixture.h"
#include "tests/support/scratch_dir.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void assert_clean(struct partition *partition)
{
    struct verify_report report = {0};
    assert_int_equal(partition_verify(partition, NULL, NULL, &report, NULL), 0);
    assert_int_equal(report.findings, 0);
}

static int64_t end_of(struct partition *partition)
{
    struct partition_offsets offsets;
    partition_offsets(partition, &offsets);
    return offsets.end;
}

static struct truncation cut(struct partition *partition, int64_t offset)
{
    struct truncation truncation;
    struct diag diag = {0};
    if (partition_truncate(partition, offset, true, &truncation, &diag) < 0)
        fail_msg("partition_truncate: %s", diag.text);
    return truncation;
}

static void flip(const char *dir, const char *name, int64_t position)
{
    char *path = scratch_path(dir, "topics/t-0/%s", name);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, position, SEEK_SET), 0);
    int byte = fgetc(file);
    assert_int_equal(fseek(file, position, SEEK_SET), 0);
    fputc(byte ^ 1, file);
    fclose(file);
    free(path);
}

/* Offsets are used again, and the epoch tells which records they mean; also after more restarts. */
static void bug_11_batches_after_a_truncation_have_a_new_leader_epoch(void **state)
{
    (void)state;
    char *dir = scratch_dir_create(), *text;
    size_t size;
    struct log *log = fixture_open(dir);
    fixture_topic(log, "t", 1, NULL);
    struct partition *partition = fixture_partition(log, "t", 0);
    for (int64_t i = 0; i < 5; i++)
        assert_int_equal(fixture_append(partition, i * 2, 2), i * 2);
    assert_int_equal(partition_wait(partition, 10, 10000), 0);
    struct truncation plan;
    assert_int_equal(partition_truncate(partition, 7, false, &plan, NULL), 0);
    assert_int_equal(plan.offset, 6); /* the batch boundary below */
    assert_int_equal(plan.end, 10);
    assert_int_equal(plan.batches, 2);
    assert_int_equal(plan.leader_epoch, 1);
    assert_int_equal(partition_status(partition, NULL), 0);
    assert_int_equal(fixture_append(partition, 10, 1), 10); /* a plan changes nothing */
    plan = cut(partition, 7);
    assert_int_equal(plan.batches, 3);
    assert_int_equal(fixture_append(partition, 11, 1), ERR_STOPPED);
    log_close(log);
    for (int32_t epoch = 1; epoch <= 3; epoch++) {
        log = fixture_open(dir);
        partition = fixture_partition(log, "t", 0);
        assert_int_equal(partition_leader_epoch(partition), epoch);
        assert_int_equal(end_of(partition), 6);
        assert_string_equal(fixture_values(partition, READ_COMMITTED), "0 1 2 3 4 5");
        assert_int_equal(fixture_append(partition, 100 * epoch, 2), 6);
        assert_int_equal(partition_wait(partition, 8, 10000), 0);
        assert_clean(partition);
        log_close(log);
        log = fixture_open(dir);
        partition = fixture_partition(log, "t", 0);
        assert_int_equal(partition_leader_epoch(partition), epoch);
        struct fetch fetch;
        struct batch_header header;
        fetch_init(&fetch);
        assert_int_equal(partition_fetch(partition, 6, READ_COMMITTED, 4096, &fetch, NULL), 0);
        assert_int_equal(
            batch_parse_header(bytes_of(fetch.bytes.data, fetch.bytes.size), &header, NULL), 0);
        assert_int_equal(header.base_offset, 6);
        assert_int_equal(header.leader_epoch, epoch);
        fetch_deinit(&fetch);
        int32_t found;
        int64_t end;
        assert_int_equal(partition_epoch_end(partition, 0, &found, &end, NULL), 0);
        assert_int_equal(found, 0);
        assert_int_equal(end, 6);
        assert_int_equal(partition_epoch_end(partition, epoch, &found, &end, NULL), 0);
        assert_int_equal(found, epoch);
        assert_int_equal(end, 8);
        assert_int_equal(partition_epoch_end(partition, epoch + 1, &found, &end, NULL), 0);
        assert_int_equal(found, -1);
        if (epoch < 3)
            cut(partition, 6);
        log_close(log);
    }
    char *path = scratch_path(dir, "topics/t-0/leader-epoch-checkpoint");
    assert_int_equal(io_read_file(path, 100, &text, &size, NULL), 0);
    assert_string_equal(text, "0\n2\n0 0\n3 6\n");
    free(text);
    free(path);
    scratch_dir_remove(dir);
}

/* What nothing else brings back: damage in the middle, and a cut right before it. */
static void test_way_out_of_damage(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log *log = fixture_open(dir);
    struct diag diag = {0};
    struct truncation plan;
    fixture_topic(log, "t", 1, NULL);
    struct partition *partition = fixture_partition(log, "t", 0);
    for (int64_t i = 0; i < 6; i++)
        assert_int_equal(fixture_append(partition, i, 1), i);
    assert_int_equal(partition_wait(partition, 6, 10000), 0);
    log_close(log);
    flip(dir, "00000000000000000000.log", 3 * 69 + 65); /* the fourth batch */
    log = fixture_open(dir);
    partition = fixture_partition(log, "t", 0);
    assert_int_equal(partition_status(partition, NULL), ERR_CORRUPT);
    assert_int_equal(partition_truncate(partition, 5, false, &plan, &diag), ERR_CORRUPT);
    assert_non_null(strstr(diag.text, "byte 207"));
    assert_non_null(strstr(diag.text, "ends at offset 3"));
    plan = cut(partition, 3);
    assert_int_equal(plan.offset, 3);
    assert_int_equal(plan.batches, 2); /* those behind the damage; the damaged one is none */
    assert_int_equal(plan.bytes, 3 * 69);
    log_close(log);
    log = fixture_open(dir);
    partition = fixture_partition(log, "t", 0);
    assert_int_equal(partition_status(partition, NULL), 0);
    assert_string_equal(fixture_values(partition, READ_COMMITTED), "0 1 2");
    assert_int_equal(fixture_append(partition, 33, 1), 3);
    assert_clean(partition);
    log_close(log);
    log = fixture_open(dir);
    assert_string_equal(fixture_values(fixture_partition(log, "t", 0), READ_COMMITTED), "0 1 2 33");
    log_close(log);
    scratch_dir_remove(dir);
}

/* Compaction may leave nothing of a segment: its file is empty, and still stands for its offsets. */
static void test_behind_an_empty_segment(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log_options options = {.keeper_interval_ms = -1};
    struct config_entry compacted = {"cleanup.policy", "compact"};
    struct log *log = fixture_open_options(dir, &options);
    struct keeper_report report = {0};
    fixture_topic(log, "t", 1, NULL);
    struct partition *partition = fixture_partition(log, "t", 0);
    assert_int_equal(fixture_append(partition, 0, 3), 0); /* without keys */
    assert_int_equal(partition_wait(partition, 3, 10000), 0);
    assert_int_equal(topic_alter(log, "t", &compacted, 1, NULL), 0);
    assert_int_equal(topic_clean(log, "t", 0, &report, NULL), 0);
    assert_int_equal(report.keyless_removed, 3);
    compacted.value = "delete";
    assert_int_equal(topic_alter(log, "t", &compacted, 1, NULL), 0);
    assert_int_equal(fixture_append(partition, 3, 1), 3);
    assert_int_equal(partition_wait(partition, 4, 10000), 0);
    assert_int_equal(cut(partition, 3).offset, 3);
    log_close(log);
    for (int i = 0; i < 2; i++) {
        log = fixture_open_options(dir, &options);
        partition = fixture_partition(log, "t", 0);
        assert_int_equal(partition_status(partition, NULL), 0);
        assert_int_equal(end_of(partition), 3 + i);
        assert_clean(partition);
        if (i == 0)
            assert_int_equal(fixture_append(partition, 33, 1), 3);
        assert_int_equal(partition_wait(partition, 4, 10000), 0);
        assert_string_equal(fixture_values(partition, READ_COMMITTED), "33");
        log_close(log);
    }
    scratch_dir_remove(dir);
}

static int64_t fill_segments(struct partition *partition)
{
    for (int64_t i = 0; i < 110; i++)
        assert_int_equal(fixture_append_sized(partition, i * 8, 8, 3000, 1000 + i), i * 8);
    assert_int_equal(partition_wait(partition, 880, 10000), 0);
    return 880;
}

/* In the middle of a closed segment, at the border of one, in the first, at its very start. */
static void test_any_segment(void **state)
{
    (void)state;
    for (int64_t offset = 0; offset <= 880; offset += offset == 0 ? 8 : 96) {
        char *dir = scratch_dir_create();
        struct log *log = fixture_open(dir);
        fixture_topic(log, "t", 1, "1048576");
        struct partition *partition = fixture_partition(log, "t", 0);
        fill_segments(partition);
        log_close(log);
        log = fixture_open(dir);
        struct truncation plan = cut(fixture_partition(log, "t", 0), offset);
        assert_int_equal(plan.offset, offset);
        assert_int_equal(plan.batches, (880 - offset) / 8);
        log_close(log);
        log = fixture_open(dir);
        partition = fixture_partition(log, "t", 0);
        assert_int_equal(partition_status(partition, NULL), 0);
        assert_int_equal(end_of(partition), offset);
        assert_clean(partition);
        struct fixture_record *records;
        assert_int_equal(fixture_read(partition, 0, READ_COMMITTED, 1 << 20, &records), offset);
        for (int64_t i = 0; i < offset; i++)
            assert_int_equal(records[i].value, i);
        free(records);
        assert_int_equal(fixture_append(partition, 7, 1), offset);
        assert_int_equal(partition_wait(partition, offset + 1, 10000), 0);
        int64_t found, time;
        assert_int_equal(partition_find_time(partition, 1000 + 5, &found, &time, NULL), 0);
        assert_int_equal(found, offset > 40 ? 40 : offset);
        log_close(log);
        scratch_dir_remove(dir);
    }
}

/* A: committed below the cut. B: its commit lies beyond. C: its abort lies beyond. D: aborted below. E: open at the end. */
static void test_transactions(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log *log = fixture_open(dir);
    fixture_topic(log, "t", 2, NULL);
    struct partition *partition = fixture_partition(log, "t", 0);
    struct producer *producers[5];
    for (int i = 0; i < 5; i++) {
        char id[2] = {(char)('A' + i), '\0'};
        assert_int_equal(producer_open(log, id, &producers[i], NULL), 0);
        assert_int_equal(txn_begin(producers[i], NULL), 0);
    }
    assert_int_equal(fixture_txn_append(producers[0], partition, 10, 1), 0);
    assert_int_equal(fixture_txn_append(producers[3], partition, 13, 1), 1);
    assert_int_equal(txn_commit(producers[0], NULL), 0);
    assert_int_equal(txn_abort(producers[3], NULL), 0);
    while (end_of(partition) < 4) /* both markers */
        assert_int_equal(partition_wait(partition, end_of(partition), 10000), 0);
    assert_int_equal(fixture_txn_append(producers[1], partition, 11, 1), 4);
    assert_int_equal(fixture_txn_append(producers[2], partition, 12, 1), 5);
    assert_int_equal(fixture_txn_append(producers[4], partition, 14, 1), 6);
    assert_int_equal(fixture_append(partition, 20, 1), 7);
    assert_int_equal(fixture_append(partition, 21, 1), 8);
    assert_int_equal(txn_commit(producers[1], NULL), 0);
    assert_int_equal(txn_abort(producers[2], NULL), 0);
    while (end_of(partition) < 11)
        assert_int_equal(partition_wait(partition, end_of(partition), 10000), 0);
    struct truncation plan = cut(partition, 8);
    assert_int_equal(plan.offset, 8);
    assert_int_equal(plan.committed, 1);
    assert_int_equal(plan.aborted, 2);
    for (int i = 0; i < 5; i++)
        producer_close(producers[i]);
    log_close(log);
    log = fixture_open(dir);
    partition = fixture_partition(log, "t", 0);
    assert_int_equal(partition_status(partition, NULL), 0);
    assert_string_equal(fixture_values(partition, READ_COMMITTED), "10 11 20");
    assert_string_equal(fixture_values(partition, READ_UNCOMMITTED), "10 13 11 12 14 20");
    struct partition_offsets offsets;
    partition_offsets(partition, &offsets);
    assert_int_equal(offsets.end, 11); /* three markers behind offset 7 */
    assert_int_equal(offsets.stable, offsets.end);
    assert_clean(partition);
    /* and the producers go on */
    struct producer *again;
    assert_int_equal(producer_open(log, "E", &again, NULL), 0);
    assert_int_equal(txn_begin(again, NULL), 0);
    assert_true(fixture_txn_append(again, partition, 30, 1) >= 11);
    assert_int_equal(txn_commit(again, NULL), 0);
    assert_string_equal(fixture_values(partition, READ_COMMITTED), "10 11 20 30");
    producer_close(again);
    log_close(log);
    scratch_dir_remove(dir);
}

/* A damaged partition keeps a decision in meta alive: it must not stop what is left after the cut. */
static int commit_and_die(void *context)
{
    struct log *log = fixture_open(context);
    struct producer *producer;
    fixture_topic(log, "t", 2, NULL);
    struct partition *partition = fixture_partition(log, "t", 0);
    if (producer_open(log, "p", &producer, NULL) < 0 || txn_begin(producer, NULL) < 0)
        return 1;
    for (int64_t i = 0; i < 4; i++)
        if (fixture_txn_append(producer, partition, i, 1) != i)
            return 1;
    if (fixture_txn_append(producer, fixture_partition(log, "t", 1), 50, 1) != 0)
        return 1;
    return txn_commit(producer, NULL);
}

static void test_decision_that_meta_still_holds(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    assert_int_equal(fixture_child(commit_and_die, dir, "decide.done:1"), 137);
    flip(dir, "00000000000000000000.log", 2 * 69 + 65);
    struct log *log = fixture_open(dir);
    struct partition *partition = fixture_partition(log, "t", 0);
    assert_int_equal(partition_status(partition, NULL), ERR_CORRUPT);
    assert_string_equal(fixture_values(fixture_partition(log, "t", 1), READ_COMMITTED), "50");
    struct truncation plan = cut(partition, 2);
    assert_int_equal(plan.decisions, 1); /* said before it happens */
    assert_int_equal(plan.committed, 1);
    log_close(log);
    for (int i = 0; i < 2; i++) {
        log = fixture_open(dir);
        partition = fixture_partition(log, "t", 0);
        assert_int_equal(partition_status(partition, NULL), 0);
        assert_string_equal(fixture_values(partition, READ_COMMITTED), "0 1");
        assert_string_equal(fixture_values(fixture_partition(log, "t", 1), READ_COMMITTED), "50");
        assert_clean(partition);
        log_close(log);
    }
    scratch_dir_remove(dir);
}

/* What meta still holds is the decision of the transaction before the one that is cut. */
static int commit_then_cut(void *context)
{
    struct log *log = fixture_open(context);
    struct producer *producer;
    struct truncation truncation;
    fixture_topic(log, "t", 2, NULL);
    struct partition *partition = fixture_partition(log, "t", 0);
    if (producer_open(log, "p", &producer, NULL) < 0 || txn_begin(producer, NULL) < 0 ||
        fixture_txn_append(producer, fixture_partition(log, "t", 1), 50, 1) != 0 ||
        txn_commit(producer, NULL) < 0 || txn_begin(producer, NULL) < 0 ||
        fixture_txn_append(producer, partition, 0, 1) != 0 ||
        fixture_txn_append(producer, partition, 1, 1) != 1 ||
        partition_wait(partition, 2, 10000) < 0)
        return 1;
    return partition_truncate(partition, 1, true, &truncation, NULL); /* and no clean close */
}

static void test_decision_of_an_earlier_transaction(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    assert_int_equal(fixture_child(commit_then_cut, dir, NULL), 0);
    for (int i = 0; i < 2; i++) {
        struct log *log = fixture_open(dir);
        struct partition *partition = fixture_partition(log, "t", 0);
        assert_string_equal(fixture_values(partition, READ_UNCOMMITTED), "0");
        assert_string_equal(fixture_values(partition, READ_COMMITTED), "");
        assert_string_equal(fixture_values(fixture_partition(log, "t", 1), READ_COMMITTED), "50");
        assert_clean(partition);
        log_close(log);
    }
    scratch_dir_remove(dir);
}

/* ---- closed segments that a crash kept from being recorded ---- */

static int cut_behind_unrecorded(void *context)
{
    struct log *log = fixture_open(context);
    struct partition *partition = fixture_partition(log, "t", 0);
    struct meta_place place = partition_place(partition);
    struct meta_batch batch;
    const int64_t bases[] = {0, 3, 6};
    for (int s = 0; s < 3; s++) {
        if (fixture_append(partition, bases[s], 1) != bases[s] ||
            fixture_append(partition, bases[s] + 1, 2) != bases[s] + 1 ||
            (s < 2 && partition_roll(partition, NULL) < 0))
            return 3;
    }
    if (partition_wait(partition, 9, -1) < 0)
        return 4;
    int64_t at;
    if (sscanf(getenv("WEIR_TEST_CUT"), "%" SCNd64, &at) != 1)
        return 5;
    cut(partition, at);
    /* As if the flusher had not come to it. */
    meta_batch_init(&batch);
    for (int s = 0; s < 2; s++)
        meta_delete_segment(&batch, &place, bases[s]);
    if (log_meta_apply(log, &batch, NULL) < 0)
        return 6;
    _exit(0);
}

static void test_behind_unrecorded_segments(void **state)
{
    (void)state;
    static const int64_t cuts[] = {8, 7, 6, 4, 3, 1};
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        char *dir = scratch_dir_create(), text[24];
        struct log *log = fixture_open(dir);
        struct fixture_record *records;
        int64_t end = cuts[i] == 8 ? 7 : cuts[i]; /* a batch begins at 7 */
        fixture_topic(log, "t", 1, NULL);
        log_close(log);
        snprintf(text, sizeof text, "%" PRId64, cuts[i]);
        setenv("WEIR_TEST_CUT", text, 1);
        assert_int_equal(fixture_child(cut_behind_unrecorded, dir, NULL), 0);
        for (int opening = 0; opening < 2; opening++) {
            log = fixture_open(dir);
            struct partition *partition = fixture_partition(log, "t", 0);
            assert_int_equal(partition_status(partition, NULL), 0);
            assert_int_equal(end_of(partition), end + opening);
            assert_int_equal(fixture_append(partition, 100, 1), end + opening);
            assert_int_equal(partition_wait(partition, end + opening + 1, -1), 0);
            assert_int_equal(fixture_read(partition, 0, READ_COMMITTED, 1 << 20, &records),
                             end + opening + 1);
            free(records);
            assert_clean(partition);
            log_close(log);
        }
        scratch_dir_remove(dir);
    }
}

static int open_and_close(void *context)
{
    log_close(fixture_open(context));
    return 0;
}

static void test_crash_at_every_step(void **state)
{
    (void)state;
    static const char *const points[] = {
        "truncate.begin:1",  "truncate.removed:1", "truncate.removed:2", "truncate.shortened:1",
        "truncate.marked:1", "truncate.files:1",   "truncate.recorded:1"};
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        char *dir = scratch_dir_create();
        struct log *log = fixture_open(dir);
        struct producer *producer;
        fixture_topic(log, "t", 1, "1048576");
        struct partition *partition = fixture_partition(log, "t", 0);
        assert_int_equal(producer_open(log, "p", &producer, NULL), 0);
        for (int64_t n = 0; n < 40; n++)
            assert_int_equal(fixture_append_sized(partition, n * 8, 8, 3000, 1000 + n), n * 8);
        assert_int_equal(txn_begin(producer, NULL), 0);
        assert_int_equal(fixture_txn_append(producer, partition, 999, 1), 320);
        for (int64_t n = 0; n < 60; n++)
            assert_int_equal(fixture_append_sized(partition, 0, 8, 3000, 1000 + n), 321 + n * 8);
        cut(partition, 329);
        producer_close(producer);
        log_close(log);
        assert_int_equal(fixture_child(open_and_close, dir, points[i]), 137);
        log = fixture_open(dir);
        partition = fixture_partition(log, "t", 0);
        assert_int_equal(partition_status(partition, NULL), 0);
        assert_int_equal(end_of(partition), 330);
        assert_int_equal(partition_leader_epoch(partition), 1);
        assert_clean(partition);
        struct fixture_record *records;
        assert_int_equal(fixture_read(partition, 0, READ_COMMITTED, 1 << 20, &records), 328);
        free(records);
        log_close(log);
        scratch_dir_remove(dir);
    }
}

static void test_refusals(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log *log = fixture_open(dir);
    struct truncation plan;
    fixture_topic(log, "t", 1, NULL);
    struct partition *partition = fixture_partition(log, "t", 0);
    assert_int_equal(partition_truncate(partition, 1, true, &plan, NULL), ERR_RANGE);
    assert_int_equal(partition_truncate(partition, -1, true, &plan, NULL), ERR_RANGE);
    for (int64_t i = 0; i < 4; i++)
        assert_int_equal(fixture_append(partition, i, 1), i);
    assert_int_equal(partition_wait(partition, 4, 10000), 0);
    assert_int_equal(partition_truncate(partition, 5, true, &plan, NULL), ERR_RANGE);
    assert_int_equal(partition_purge(partition, 2, NULL), 0);
    assert_int_equal(partition_truncate(partition, 1, true, &plan, NULL), ERR_RANGE);
    assert_int_equal(partition_truncate(partition, 4, true, &plan, NULL), 0); /* nothing to do */
    assert_int_equal(plan.bytes, 0);
    assert_int_equal(partition_status(partition, NULL), 0);
    assert_int_equal(fixture_append(partition, 4, 1), 4);
    assert_int_equal(topic_delete(log, "t", NULL), 0);
    assert_int_equal(partition_truncate(partition, 2, true, &plan, NULL), ERR_NOT_FOUND);
    log_close(log);
    scratch_dir_remove(dir);
}

/* Deleted before the log is opened again: the cut is forgotten. */
static void test_deleted_topic(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log *log = fixture_open(dir);
    fixture_topic(log, "t", 1, NULL);
    struct partition *partition = fixture_partition(log, "t", 0);
    assert_int_equal(fixture_append(partition, 1, 1), 0);
    assert_int_equal(fixture_append(partition, 2, 1), 1);
    cut(partition, 1);
    assert_int_equal(topic_delete(log, "t", NULL), 0);
    fixture_topic(log, "t", 1, NULL);
    assert_int_equal(fixture_append(fixture_partition(log, "t", 0), 7, 3), 0);
    log_close(log);
    log = fixture_open(dir);
    assert_string_equal(fixture_values(fixture_partition(log, "t", 0), READ_COMMITTED), "7 8 9");
    log_close(log);
    scratch_dir_remove(dir);
}

int main(void)
{
    scratch_dir_in_memory();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bug_11_batches_after_a_truncation_have_a_new_leader_epoch),
        cmocka_unit_test(test_way_out_of_damage),
        cmocka_unit_test(test_behind_an_empty_segment),
        cmocka_unit_test(test_any_segment),
        cmocka_unit_test(test_transactions),
        cmocka_unit_test(test_decision_that_meta_still_holds),
        cmocka_unit_test(test_decision_of_an_earlier_transaction),
        cmocka_unit_test(test_behind_unrecorded_segments),
        cmocka_unit_test(test_crash_at_every_step),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_deleted_topic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
