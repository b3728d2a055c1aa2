/* test_producer.c: transactions as readers see them, fencing, and what goes wrong with a full disk.
 */
#include "log/log_internal.h"
#include "runtime/base/clock.h"
#include "runtime/base/io.h"
#include "tests/support/log_fixture.h"
#include "tests/support/scratch_dir.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { PARTITIONS = 3 };
struct setup {
    char *dir;
    struct log *log;
    struct partition *p[PARTITIONS];
    struct producer *a, *b;
};

static void open_all(struct setup *s)
{
    s->log = fixture_open(s->dir);
    if (topic_describe(s->log, "t", NULL, NULL) < 0)
        fixture_topic(s->log, "t", PARTITIONS, "1000");
    for (int32_t i = 0; i < PARTITIONS; i++)
        s->p[i] = fixture_partition(s->log, "t", i);
    assert_int_equal(producer_open(s->log, "a", &s->a, NULL), 0);
    assert_int_equal(producer_open(s->log, "b", &s->b, NULL), 0);
}

static void begin(struct setup *s)
{
    s->dir = scratch_dir_create();
    open_all(s);
}

static void end(struct setup *s)
{
    log_close(s->log);
    scratch_dir_remove(s->dir);
}

static int64_t stable(struct partition *partition)
{
    struct partition_offsets offsets;
    partition_offsets(partition, &offsets);
    return offsets.stable;
}

static void flush(struct partition *partition)
{
    struct partition_offsets offsets;
    partition_offsets(partition, &offsets);
    assert_int_equal(partition_wait(partition, offsets.end, -1), 0);
}

/* Two transactions on the same partitions, interleaved with a plain append; one commits, one
 * aborts. */
static void test_interleaved(void **state)
{
    (void)state;
    struct setup s;
    begin(&s);
    assert_int_equal(txn_begin(s.a, NULL), 0);
    assert_int_equal(txn_begin(s.b, NULL), 0);
    assert_int_equal(txn_begin(s.a, NULL), ERR_STATE);
    assert_int_equal(fixture_txn_append(s.a, s.p[0], 10, 2), 0);
    assert_int_equal(fixture_txn_append(s.b, s.p[0], 20, 2), 2);
    assert_int_equal(fixture_append(s.p[0], 30, 1), 4);
    assert_int_equal(fixture_txn_append(s.a, s.p[0], 12, 1), 5);
    assert_int_equal(fixture_txn_append(s.a, s.p[1], 40, 1), 0);
    assert_int_equal(fixture_txn_append(s.b, s.p[2], 50, 1), 0);
    for (int i = 0; i < PARTITIONS; i++)
        flush(s.p[i]);
    assert_int_equal(stable(s.p[0]), 0);
    assert_string_equal(fixture_values(s.p[0], READ_COMMITTED), "");
    assert_string_equal(fixture_values(s.p[0], READ_UNCOMMITTED), "10 11 20 21 30 12");
    assert_int_equal(txn_commit(s.a, NULL), 0);
    assert_int_equal(stable(s.p[0]), 2); /* b holds it */
    assert_string_equal(fixture_values(s.p[0], READ_COMMITTED), "10 11");
    assert_string_equal(fixture_values(s.p[1], READ_COMMITTED), "40");
    assert_string_equal(fixture_values(s.p[2], READ_COMMITTED), "");
    assert_int_equal(txn_abort(s.b, NULL), 0);
    for (int reopened = 0; reopened < 2; reopened++) {
        flush(s.p[0]);
        assert_int_equal(stable(s.p[0]), 8); /* six records, two markers */
        assert_string_equal(fixture_values(s.p[0], READ_COMMITTED), "10 11 30 12");
        assert_string_equal(fixture_values(s.p[0], READ_UNCOMMITTED), "10 11 20 21 30 12");
        assert_string_equal(fixture_values(s.p[1], READ_COMMITTED), "40");
        assert_string_equal(fixture_values(s.p[2], READ_COMMITTED), "");
        if (reopened == 0) {
            log_close(s.log);
            open_all(&s);
        }
    }
    /* The list that a fetch gives to a foreign client: producer b, first 2, its marker. */
    struct fetch fetch;
    fetch_init(&fetch);
    assert_int_equal(partition_fetch(s.p[0], 0, READ_COMMITTED, 10000, &fetch, NULL), 0);
    assert_int_equal(fetch.aborted_count, 1);
    assert_int_equal(fetch.aborted[0].producer_id, producer_id(s.b));
    assert_int_equal(fetch.aborted[0].first_offset, 2);
    assert_int_equal(fetch.aborted[0].last_offset, 7);
    assert_int_equal(partition_fetch(s.p[0], 0, READ_UNCOMMITTED, 10000, &fetch, NULL), 0);
    assert_int_equal(fetch.aborted_count, 0);
    fetch_deinit(&fetch);
    end(&s);
}

/* Batches and markers in the file carry producer, epoch, sequences and the right attributes. */
static void test_what_is_stored(void **state)
{
    (void)state;
    struct setup s;
    begin(&s);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(txn_begin(s.a, NULL), 0);
        assert_true(fixture_txn_append(s.a, s.p[0], 1, 2) >= 0);
        assert_true(fixture_txn_append(s.a, s.p[0], 3, 1) >= 0);
        assert_int_equal(round == 0 ? txn_commit(s.a, NULL) : txn_abort(s.a, NULL), 0);
    }
    flush(s.p[0]);
    static const struct {
        uint16_t attributes;
        int32_t sequence, outcome;
    } wanted[] = {{0x10, 0, 0}, {0x10, 2, 0}, {0x30, -1, 1},
                  {0x10, 3, 0}, {0x10, 5, 0}, {0x30, -1, 0}};
    struct fetch fetch;
    fetch_init(&fetch);
    assert_int_equal(partition_fetch(s.p[0], 0, READ_UNCOMMITTED, 100000, &fetch, NULL), 0);
    struct bytes rest = bytes_of(fetch.bytes.data, fetch.bytes.size);
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        struct batch_header header;
        assert_int_equal(batch_parse_header(rest, &header, NULL), 0);
        struct bytes batch = bytes_of(rest.data, (size_t)header.size_bytes);
        assert_int_equal(batch_check_crc(batch, NULL), 0);
        assert_int_equal(header.attributes, wanted[i].attributes);
        assert_int_equal(header.base_sequence, wanted[i].sequence);
        assert_int_equal(header.producer_id, producer_id(s.a));
        assert_int_equal(header.producer_epoch, producer_epoch(s.a));
        if ((header.attributes & BATCH_ATTR_CONTROL) != 0) {
            assert_int_equal(header.size_bytes, 78);
            assert_int_equal(control_batch_decode(batch), wanted[i].outcome);
        }
        rest.data += batch.size;
        rest.size -= batch.size;
    }
    assert_int_equal(rest.size, 0);
    fetch_deinit(&fetch);
    end(&s);
}

static void test_fencing(void **state)
{
    (void)state;
    struct setup s;
    struct producer *newer;
    struct diag diag = {0};
    begin(&s);
    assert_int_equal(txn_begin(s.a, NULL), 0);
    assert_int_equal(fixture_txn_append(s.a, s.p[0], 1, 1), 0);
    assert_int_equal(producer_open(s.log, "a", &newer, NULL), 0);
    assert_int_equal(producer_id(newer), producer_id(s.a));
    assert_int_equal(producer_epoch(newer), producer_epoch(s.a) + 1);
    assert_int_equal(fixture_txn_append(s.a, s.p[0], 2, 1), ERR_FENCED);
    assert_int_equal(txn_commit(s.a, &diag), ERR_FENCED);
    assert_non_null(strstr(diag.text, "fenced"));
    assert_int_equal(txn_abort(s.a, NULL), ERR_FENCED);
    assert_int_equal(txn_begin(s.a, NULL), ERR_FENCED);
    flush(s.p[0]);
    assert_int_equal(stable(s.p[0]), 2); /* aborted before producer_open returned */
    assert_string_equal(fixture_values(s.p[0], READ_COMMITTED), "");
    assert_int_equal(txn_begin(newer, NULL), 0);
    assert_int_equal(fixture_txn_append(newer, s.p[0], 3, 1), 2);
    assert_int_equal(txn_commit(newer, NULL), 0);
    assert_string_equal(fixture_values(s.p[0], READ_COMMITTED), "3");
    producer_close(s.a);
    end(&s);
}

struct fence_race {
    struct log *log;
    atomic_int answer;
    atomic_bool answered;
};

static void note_answer(void *context, int code)
{
    struct fence_race *race = context;
    atomic_store(&race->answer, code);
    atomic_store(&race->answered, true);
}

/* A commit that is on its way when a newer handle is opened: it is committed and says so, or it is
 * not and says ERR_FENCED. */
static void test_fencing_races_a_commit(void **state)
{
    (void)state;
    struct setup s;
    int committed = 0;
    begin(&s);
    for (int i = 0; i < 60; i++) {
        struct fence_race race = {.log = s.log};
        struct producer *newer;
        char expected[32] = "";
        struct partition *p = s.p[i % PARTITIONS];
        struct partition_offsets before;
        partition_offsets(p, &before);
        assert_int_equal(txn_begin(s.a, NULL), 0);
        assert_true(fixture_txn_append(s.a, p, i, 1) >= 0);
        assert_int_equal(txn_commit_start(s.a, note_answer, &race, NULL), 0);
        for (volatile int spin = (i * 7919) % 200000; spin > 0; spin--)
            ;
        assert_int_equal(producer_open(s.log, "a", &newer, NULL), 0);
        while (!atomic_load(
            &race.answered)) /* the transaction is over; its owner hears of it any moment */
            sched_yield();
        int answer = atomic_load(&race.answer);
        assert_true(answer == 0 || answer == ERR_FENCED);
        committed += answer == 0;
        if (answer == 0)
            snprintf(expected, sizeof expected, "%d", i);
        flush(p);
        struct fixture_record *records;
        int64_t count = fixture_read(p, before.end, READ_COMMITTED, 1000, &records);
        assert_int_equal(count, answer == 0);
        free(records);
        producer_close(s.a);
        s.a = newer;
    }
    (void)committed;
    end(&s);
}

static void test_epoch_runs_out(void **state)
{
    (void)state;
    struct setup s;
    struct meta_batch batch;
    begin(&s);
    int64_t id = producer_id(s.a);
    producer_close(s.a);
    meta_batch_init(&batch);
    struct meta_producer record = {.producer_id = id, .epoch = 32765};
    meta_put_producer(&batch, "a", &record);
    assert_int_equal(meta_apply(s.log->meta, &batch, NULL), 0);
    meta_batch_deinit(&batch);
    assert_int_equal(producer_open(s.log, "a", &s.a, NULL), 0);
    assert_int_equal(producer_epoch(s.a), 32766);
    assert_int_equal(producer_id(s.a), id);
    producer_close(s.a);
    assert_int_equal(producer_open(s.log, "a", &s.a, NULL), 0);
    assert_int_equal(producer_epoch(s.a), 0);
    assert_int_not_equal(producer_id(s.a), id);
    end(&s);
}

static void test_roll_inside_a_transaction(void **state)
{
    (void)state;
    struct setup s;
    struct partition_files files;
    begin(&s);
    for (int round = 0; round < 3; round++) {
        assert_int_equal(txn_begin(s.a, NULL), 0);
        for (int i = 0; i < 40; i++)
            assert_true(fixture_txn_append(s.a, s.p[0], round * 100 + i, 1) >= 0);
        assert_int_equal(round == 1 ? txn_abort(s.a, NULL) : txn_commit(s.a, NULL), 0);
    }
    partition_files(s.p[0], &files);
    assert_true(files.segments > 5);
    for (int reopened = 0; reopened < 2; reopened++) {
        struct fixture_record *records;
        flush(s.p[0]);
        assert_int_equal(fixture_read(s.p[0], 0, READ_COMMITTED, 300, &records), 80);
        for (int i = 0; i < 80; i++)
            assert_int_equal(records[i].value, i < 40 ? i : 200 + i - 40);
        free(records);
        if (reopened == 0) {
            log_close(s.log);
            open_all(&s);
        }
    }
    end(&s);
}

static void test_states(void **state)
{
    (void)state;
    struct setup s;
    struct producer *plain;
    struct group_offset offset = {.topic = "t", .partition = 0, .offset = 1},
                        unknown = {.topic = "none"};
    begin(&s);
    assert_int_equal(fixture_txn_append(s.a, s.p[0], 1, 1), ERR_STATE);
    assert_int_equal(txn_commit(s.a, NULL), ERR_STATE);
    assert_int_equal(txn_abort(s.a, NULL), ERR_STATE);
    assert_int_equal(txn_add_offsets(s.a, "g", &offset, 1, NULL), ERR_STATE);
    assert_int_equal(txn_participate(s.a, s.p, 3, NULL), ERR_STATE);
    assert_int_equal(txn_begin(s.a, NULL), 0);
    assert_int_equal(txn_commit(s.a, NULL), 0); /* empty: nothing to decide */
    assert_int_equal(txn_begin(s.a, NULL), 0);
    assert_int_equal(txn_participate(s.a, s.p, 3, NULL), 0);
    assert_int_equal(txn_abort(s.a, NULL), 0);
    assert_int_equal(txn_begin(s.a, NULL), 0);
    assert_int_equal(txn_add_offsets(s.a, "g", &unknown, 1, NULL), ERR_NOT_FOUND);
    assert_int_equal(txn_add_offsets(s.a, "", &offset, 1, NULL), ERR_INVALID);
    assert_int_equal(txn_add_offsets(s.a, "g", &offset, 1, NULL), 0);
    assert_int_equal(txn_commit(s.a, NULL), 0); /* offsets alone */
    assert_int_equal(group_fetch(s.log, "g", "t", 0, &offset), 0);
    assert_int_equal(offset.offset, 1);
    assert_int_equal(producer_open(s.log, NULL, &plain, NULL), 0);
    assert_int_not_equal(producer_id(plain), producer_id(s.a));
    assert_int_equal(txn_begin(plain, NULL), ERR_STATE);
    producer_close(plain);
    assert_int_equal(producer_open(s.log, "", &plain, NULL), ERR_INVALID);
    struct partition_offsets offsets;
    partition_offsets(s.p[0], &offsets);
    assert_int_equal(offsets.end, 0); /* no marker where nothing was written */
    end(&s);
}

static void test_close_aborts(void **state)
{
    (void)state;
    struct setup s;
    begin(&s);
    assert_int_equal(txn_begin(s.a, NULL), 0);
    assert_int_equal(fixture_txn_append(s.a, s.p[0], 1, 1), 0);
    producer_close(s.a);
    flush(s.p[0]);
    assert_int_equal(stable(s.p[0]), 2);
    assert_int_equal(txn_begin(s.b, NULL), 0);
    assert_int_equal(fixture_txn_append(s.b, s.p[0], 2, 1), 2);
    log_close(s.log); /* with b's transaction open */
    open_all(&s);
    assert_int_equal(stable(s.p[0]), 4);
    assert_string_equal(fixture_values(s.p[0], READ_COMMITTED), "");
    end(&s);
}

static void test_deleted_participant(void **state)
{
    (void)state;
    struct setup s;
    begin(&s);
    fixture_topic(s.log, "gone", 1, NULL);
    struct partition *gone = fixture_partition(s.log, "gone", 0);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(txn_begin(s.a, NULL), 0);
        assert_true(fixture_txn_append(s.a, s.p[0], round, 1) >= 0);
        if (round == 0)
            assert_int_equal(fixture_txn_append(s.a, gone, 1, 1), 0);
        if (round == 0)
            assert_int_equal(topic_delete(s.log, "gone", NULL), 0);
        else
            assert_int_equal(fixture_txn_append(s.a, gone, 1, 1), ERR_NOT_FOUND);
        assert_int_equal(txn_commit(s.a, NULL), 0);
    }
    assert_string_equal(fixture_values(s.p[0], READ_COMMITTED), "0 1");
    end(&s);
}

/* ---- a full disk ---- */

struct fault {
    enum io_call call;
    size_t size; /* of the pwrite to fail, 0: any */
    const char *file;
    atomic_int seen;
    int count; /* so many fail */
};

static int fail_call(void *context, enum io_call call, const char *path, int fd, size_t *size)
{
    struct fault *fault = context;
    char link[64], name[512] = "";
    (void)path;
    if (call != fault->call || (fault->size != 0 && *size != fault->size))
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (readlink(link, name, sizeof name - 1) <= 0 || strstr(name, fault->file) == NULL)
        return 0;
    return atomic_fetch_add(&fault->seen, 1) < fault->count ? ENOSPC : 0;
}

/* No room can be reserved: the commit becomes an abort and says so. */
static void test_no_room_for_markers(void **state)
{
    (void)state;
    struct setup s;
    begin(&s);
    assert_int_equal(txn_begin(s.a, NULL), 0);
    assert_int_equal(fixture_txn_append(s.a, s.p[0], 1, 1), 0);
    assert_int_equal(fixture_txn_append(s.a, s.p[1], 2, 1), 0);
    struct fault fault = {.call = IO_RESERVE, .file = "t-1/", .count = 1000};
    io_set_fault(fail_call, &fault);
    assert_int_equal(txn_commit(s.a, NULL), ERR_FULL);
    io_set_fault(NULL, NULL);
    assert_string_equal(fixture_values(s.p[0], READ_COMMITTED), "");
    flush(s.p[0]);
    assert_int_equal(stable(s.p[0]), 2);
    assert_int_equal(txn_begin(s.a, NULL), 0);
    assert_int_equal(fixture_txn_append(s.a, s.p[0], 3, 1), 2);
    assert_int_equal(txn_commit(s.a, NULL), 0);
    assert_string_equal(fixture_values(s.p[0], READ_COMMITTED), "3");
    end(&s);
}

/* Reserved, decided, and then the marker fails all the same: committed; the producer waits until
 * the markers are written. */
static void test_marker_is_retried(void **state)
{
    (void)state;
    struct setup s;
    /* One each: a thread of the log may look at the first when the second is set. */
    struct fault faults[2] = {{.call = IO_PWRITE, .size = 78, .file = "t-0/", .count = 1},
                              {.call = IO_PWRITE, .size = 78, .file = "t-0/", .count = 1}};
    begin(&s);
    for (int commit = 1; commit >= 0; commit--) {
        assert_int_equal(txn_begin(s.a, NULL), 0);
        assert_true(fixture_txn_append(s.a, s.p[0], 1 + commit, 1) >= 0);
        io_set_fault(fail_call, &faults[commit]);
        assert_int_equal(commit ? txn_commit(s.a, NULL) : txn_abort(s.a, NULL),
                         commit ? 0 : ERR_FULL);
        int rc;
        while ((rc = txn_begin(s.a, NULL)) == ERR_FULL)
            usleep(1000);
        io_set_fault(NULL, NULL);
        assert_int_equal(rc, 0);
        assert_int_equal(txn_abort(s.a, NULL), 0);
    }
    flush(s.p[0]);
    assert_int_equal(stable(s.p[0]), 4);
    assert_string_equal(fixture_values(s.p[0], READ_COMMITTED), "2");
    end(&s);
}

/* Whoever opens the id meanwhile gets it once the markers are written; while nothing can be, an error that says so. */
static void test_opening_waits_for_markers(void **state)
{
    (void)state;
    struct setup s;
    struct producer *next;
    struct diag diag = {0};
    struct fault faults[3] = {{.call = IO_PWRITE, .size = 78, .file = "t-0/", .count = 3},
                              {.call = IO_PWRITE, .size = 78, .file = "t-0/", .count = 3},
                              {.call = IO_PWRITE, .size = 78, .file = "t-0/", .count = INT32_MAX}};
    begin(&s);
    for (int commit = 1; commit >= 0; commit--) {
        assert_int_equal(txn_begin(s.a, NULL), 0);
        assert_true(fixture_txn_append(s.a, s.p[0], 1 + commit, 1) >= 0);
        io_set_fault(fail_call, &faults[commit]);
        assert_int_equal(commit ? txn_commit(s.a, NULL) : txn_abort(s.a, NULL),
                         commit ? 0 : ERR_FULL);
        assert_int_equal(producer_open(s.log, "a", &next, &diag), 0);
        assert_true(atomic_load(&faults[commit].seen) > 3);
        io_set_fault(NULL, NULL);
        producer_close(s.a);
        s.a = next;
    }
    assert_int_equal(txn_begin(s.a, NULL), 0);
    assert_true(fixture_txn_append(s.a, s.p[0], 3, 1) >= 0);
    io_set_fault(fail_call, &faults[2]);
    assert_int_equal(producer_open(s.log, "a", &next, &diag), ERR_FULL);
    assert_non_null(strstr(diag.text, "cannot be finished yet"));
    io_set_fault(NULL, NULL);
    assert_int_equal(producer_open(s.log, "a", &next, NULL), 0);
    producer_close(s.a);
    s.a = next;
    flush(s.p[0]);
    assert_string_equal(fixture_values(s.p[0], READ_COMMITTED), "2");
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interleaved),
        cmocka_unit_test(test_what_is_stored),
        cmocka_unit_test(test_fencing),
        cmocka_unit_test(test_fencing_races_a_commit),
        cmocka_unit_test(test_epoch_runs_out),
        cmocka_unit_test(test_roll_inside_a_transaction),
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_close_aborts),
        cmocka_unit_test(test_deleted_participant),
        cmocka_unit_test(test_no_room_for_markers),
        cmocka_unit_test(test_marker_is_retried),
        cmocka_unit_test(test_opening_waits_for_markers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
