/* test_producer_timeout.c: transactions that are ended in their producer's stead, with a clock that the test
 * moves; producers that go on after a restart; batches that come late; ids that are forgotten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "log/log_internal.h"
#include "runtime/base/clock.h"
#include "runtime/base/io.h"
#include "tests/support/log_fixture.h"
#include "tests/support/scratch_dir.h"

enum { TIMEOUT_MS = 5000 };
#define DAY_MS (INT64_C(24) * 3600 * 1000)

struct place {
    char *dir;
    struct log *log;
    struct partition *p[2];
};

static const struct log_options OPTIONS = {.keeper_interval_ms = -1};

static void open_place(struct place *place)
{
    place->log = fixture_open_options(place->dir, &OPTIONS);
    if (topic_describe(place->log, "t", NULL, NULL) < 0)
        fixture_topic(place->log, "t", 2, NULL);
    for (int i = 0; i < 2; i++)
        place->p[i] = fixture_partition(place->log, "t", i);
}

static int setup(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    place->dir = scratch_dir_create();
    open_place(place);
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

static void reopen(struct place *place)
{
    log_close(place->log);
    open_place(place);
}

static void keep_house(struct place *place, int64_t after_ms)
{
    assert_int_equal(log_keep_house(place->log, clock_wall_ms() + after_ms, NULL, NULL), 0);
}

static int64_t end_of(struct partition *partition)
{
    struct partition_offsets offsets;
    partition_offsets(partition, &offsets);
    return offsets.end;
}

/* Once everything is flushed, so that only an open transaction holds it back. */
static int64_t stable(struct partition *partition)
{
    struct partition_offsets offsets;
    assert_int_equal(partition_wait(partition, end_of(partition), -1), 0);
    partition_offsets(partition, &offsets);
    return offsets.stable;
}

static struct producer *open_producer(struct place *place, const char *id, int32_t timeout_ms)
{
    struct producer *producer;
    assert_int_equal(producer_open(place->log, id, &producer, NULL), 0);
    assert_int_equal(producer_set_timeout(producer, timeout_ms, NULL), 0);
    return producer;
}

/* A batch as the producer itself would send it. */
static int64_t send_numbered(struct producer *producer, struct partition *partition, int16_t epoch,
                             int32_t sequence, int32_t count)
{
    size_t size;
    int64_t offset = -1;
    uint8_t *batch = fixture_batch(sequence, count, 0, 1000, &size);
    batch_set_producer(batch, producer_id(producer), epoch, sequence, true);
    int rc = txn_append_numbered(producer, partition, batch, size, &offset, NULL);
    free(batch);
    return rc < 0 ? rc : offset;
}

static void participate(struct producer *producer, struct partition *partition)
{
    assert_int_equal(txn_participate(producer, &partition, 1, NULL), 0);
}

static struct producer_record lookup(struct place *place, const char *id)
{
    struct producer_record record;
    assert_int_equal(producer_lookup(place->log, id, &record, NULL), 0);
    return record;
}

/* ---- timeouts ---- */

static void a_transaction_over_its_time_is_aborted(void **state)
{
    struct place *place = *state;
    struct producer *producer = open_producer(place, "slow", TIMEOUT_MS);
    struct diag diag;
    assert_int_equal(txn_begin(producer, NULL), 0);
    assert_int_equal(fixture_txn_append(producer, place->p[0], 1, 2), 0);
    assert_int_equal(fixture_txn_append(producer, place->p[1], 3, 1), 0);
    keep_house(place, TIMEOUT_MS - 2000);
    assert_int_equal(stable(place->p[0]), 0);
    assert_int_equal(fixture_txn_append(producer, place->p[0], 9, 1), 2);
    keep_house(place, TIMEOUT_MS);
    assert_int_equal(stable(place->p[0]), 4); /* three records and a marker */
    assert_int_equal(stable(place->p[1]), 2);
    assert_string_equal(fixture_values(place->p[0], READ_COMMITTED), "");
    assert_int_equal(txn_commit(producer, &diag), ERR_FENCED);
    assert_non_null(strstr(diag.text, "timeout of 5000 ms"));
    assert_int_equal(fixture_txn_append(producer, place->p[0], 5, 1), ERR_FENCED);
    assert_int_equal(txn_begin(producer, NULL), ERR_FENCED);
    assert_int_equal(lookup(place, "slow").epoch, 1);
    producer_close(producer);
    assert_int_equal(lookup(place, "slow").epoch, 1);
    producer = open_producer(place, "slow", TIMEOUT_MS);
    assert_int_equal(producer_epoch(producer), 2);
    assert_int_equal(txn_begin(producer, NULL), 0);
    assert_int_equal(fixture_txn_append(producer, place->p[0], 7, 1), 4);
    assert_int_equal(txn_commit(producer, NULL), 0);
    assert_string_equal(fixture_values(place->p[0], READ_COMMITTED), "7");
}

static void without_a_timeout_it_stays_open(void **state)
{
    struct place *place = *state;
    struct producer *producer = open_producer(place, "patient", 0);
    assert_int_equal(producer_set_timeout(producer, -1, NULL), ERR_INVALID);
    assert_int_equal(txn_begin(producer, NULL), 0);
    assert_int_equal(fixture_txn_append(producer, place->p[0], 1, 1), 0);
    keep_house(place, 400 * DAY_MS);
    assert_int_equal(txn_commit(producer, NULL), 0);
    assert_string_equal(fixture_values(place->p[0], READ_COMMITTED), "1");
}

static void many_time_out_together(void **state)
{
    struct place *place = *state;
    struct producer *producers[150];
    char name[16];
    for (int i = 0; i < 150; i++) {
        snprintf(name, sizeof name, "p%d", i);
        producers[i] = open_producer(place, name, i % 3 == 0 ? 0 : TIMEOUT_MS);
        assert_int_equal(txn_begin(producers[i], NULL), 0);
        assert_int_equal(fixture_txn_append(producers[i], place->p[0], i, 1), i);
    }
    keep_house(place, TIMEOUT_MS);
    for (int i = 0; i < 150; i++)
        assert_int_equal(txn_commit(producers[i], NULL), i % 3 == 0 ? 0 : ERR_FENCED);
    assert_int_equal(stable(place->p[0]), 300);
}

/* A thread commits while another lets time pass: what the commit says is what readers see. */
struct race {
    struct producer *producer;
    int outcome;
};

static void *commit_it(void *context)
{
    struct race *race = context;
    race->outcome = txn_commit(race->producer, NULL);
    return NULL;
}

static void bug_20_a_commit_that_races_with_the_timeout_has_one_outcome(void **state)
{
    struct place *place = *state;
    int64_t committed = 0, aborted = 0;
    for (int i = 0; i < 60; i++) {
        struct race race = {.producer = open_producer(place, "racer", 1)};
        int64_t offset = end_of(place->p[0]);
        pthread_t thread;
        assert_int_equal(txn_begin(race.producer, NULL), 0);
        assert_int_equal(fixture_txn_append(race.producer, place->p[0], i, 1), offset);
        assert_int_equal(pthread_create(&thread, NULL, commit_it, &race), 0);
        keep_house(place, i % 2 == 0 ? TIMEOUT_MS : 1);
        pthread_join(thread, NULL);
        assert_true(race.outcome == 0 || race.outcome == ERR_FENCED);
        struct fixture_record *records;
        assert_int_equal(partition_wait(place->p[0], offset + 2, -1), 0);
        int64_t count = fixture_read(place->p[0], offset, READ_COMMITTED, 1 << 20, &records);
        assert_int_equal(count, race.outcome == 0);
        free(records);
        assert_int_equal(stable(place->p[0]), offset + 2);
        *(race.outcome == 0 ? &committed : &aborted) += 1;
        producer_close(race.producer);
    }
    assert_int_equal(committed + aborted, 60);
}

/* ---- timeouts and crashes ---- */

static int time_out_and_crash(void *context)
{
    struct place *place = context;
    open_place(place);
    struct producer *producer = open_producer(place, "slow", TIMEOUT_MS);
    if (txn_begin(producer, NULL) < 0 || fixture_txn_append(producer, place->p[0], 1, 3) < 0)
        return 1;
    keep_house(place, TIMEOUT_MS);
    log_close(place->log);
    return 0;
}

static void bug_16_a_crash_while_it_is_aborted_leaves_nothing_hanging(void **state)
{
    static const char *const points[] = {"timeout.before", "timeout.fenced", "decide.prepared",
                                         "flush.done",     "decide.before",  "decide.done",
                                         "decide.finished"};
    (void)state;
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        struct place place = {.dir = scratch_dir_create()};
        char point[64];
        int passing = strncmp(points[i], "timeout", 7) == 0 ? 1 : 0;
        /* The rounds before it pass the flusher's points an unknown number of times: try them all. */
        int crashed = 0;
        for (int n = 1; n <= (passing ? 1 : 6); n++) {
            snprintf(point, sizeof point, "%s:%d", points[i], n);
            int status = fixture_child(time_out_and_crash, &place, point);
            assert_true(status == 137 || status == 0);
            crashed += status == 137;
            open_place(&place);
            assert_int_equal(stable(place.p[0]), end_of(place.p[0]));
            assert_string_equal(fixture_values(place.p[0], READ_COMMITTED), "");
            log_close(place.log);
        }
        assert_true(crashed > 0);
        scratch_dir_remove(place.dir);
    }
}

/* ---- batches that are numbered by their producer ---- */

static void bug_16_a_late_batch_does_not_land_in_the_next_transaction(void **state)
{
    struct place *place = *state;
    struct producer *producer = open_producer(place, "remote", 0);
    assert_int_equal(send_numbered(producer, place->p[0], 0, 0, 1), ERR_STATE);
    assert_int_equal(txn_begin(producer, NULL), 0);
    assert_int_equal(send_numbered(producer, place->p[0], 0, 0, 1), ERR_STATE);
    participate(producer, place->p[0]);
    participate(producer, place->p[1]);
    assert_int_equal(send_numbered(producer, place->p[0], 0, 0, 2), 0);
    assert_int_equal(send_numbered(producer, place->p[1], 0, 0, 1), 0);
    assert_int_equal(txn_commit(producer, NULL), 0);
    /* Between two transactions, and in the next, before its partition is named again. */
    assert_int_equal(send_numbered(producer, place->p[0], 0, 2, 1), ERR_STATE);
    assert_int_equal(txn_begin(producer, NULL), 0);
    assert_int_equal(send_numbered(producer, place->p[0], 0, 2, 1), ERR_STATE);
    participate(producer, place->p[1]);
    assert_int_equal(send_numbered(producer, place->p[0], 0, 2, 1), ERR_STATE);
    assert_int_equal(send_numbered(producer, place->p[1], 0, 1, 1), 2);
    assert_int_equal(txn_commit(producer, NULL), 0);
    assert_int_equal(stable(place->p[0]), 3);
    assert_string_equal(fixture_values(place->p[0], READ_COMMITTED), "0 1");
    assert_string_equal(fixture_values(place->p[1], READ_COMMITTED), "0 1");
}

static void a_numbered_batch_is_written_once_in_its_transaction(void **state)
{
    struct place *place = *state;
    struct producer *producer = open_producer(place, "remote", 0);
    assert_int_equal(txn_begin(producer, NULL), 0);
    participate(producer, place->p[0]);
    assert_int_equal(fixture_append(place->p[0], 100, 5), 0);
    assert_int_equal(send_numbered(producer, place->p[0], 0, 0, 2), 5);
    assert_int_equal(send_numbered(producer, place->p[0], 0, 0, 2), 5);
    assert_int_equal(send_numbered(producer, place->p[0], 0, 3, 2), ERR_SEQUENCE);
    assert_int_equal(send_numbered(producer, place->p[0], 0, 2, 2), 7);
    assert_int_equal(end_of(place->p[0]), 9);
    assert_int_equal(txn_abort(producer, NULL), 0);
    /* The first batch of the next one may be a retry of what an ended one wrote: nothing is opened. */
    assert_int_equal(txn_begin(producer, NULL), 0);
    participate(producer, place->p[0]);
    assert_int_equal(send_numbered(producer, place->p[0], 0, 2, 2), 7);
    assert_int_equal(stable(place->p[0]), 10);
    assert_int_equal(send_numbered(producer, place->p[0], 0, 4, 1), 10);
    assert_int_equal(txn_commit(producer, NULL), 0);
    assert_string_equal(fixture_values(place->p[0], READ_COMMITTED), "100 101 102 103 104 4");
}

static void a_numbered_batch_of_another_epoch_is_fenced(void **state)
{
    struct place *place = *state;
    struct producer *old = open_producer(place, "remote", 0);
    struct producer *producer = open_producer(place, "remote", 0);
    size_t size;
    assert_int_equal(txn_begin(producer, NULL), 0);
    participate(producer, place->p[0]);
    assert_int_equal(send_numbered(producer, place->p[0], 0, 0, 1), ERR_FENCED);
    assert_int_equal(send_numbered(producer, place->p[0], 2, 0, 1), ERR_FENCED);
    assert_int_equal(send_numbered(old, place->p[0], 0, 0, 1), ERR_FENCED);
    assert_int_equal(send_numbered(producer, place->p[0], 1, 0, 1), 0);
    /* Not transactional, or not of a producer at all. */
    uint8_t *batch = fixture_batch(0, 1, 0, 1000, &size);
    assert_int_equal(txn_append_numbered(producer, place->p[0], batch, size, NULL, NULL),
                     ERR_INVALID);
    batch_set_producer(batch, producer_id(producer), 1, 1, false);
    assert_int_equal(txn_append_numbered(producer, place->p[0], batch, size, NULL, NULL),
                     ERR_INVALID);
    free(batch);
}

static void bug_16_after_a_timeout_the_partition_knows_the_new_epoch(void **state)
{
    struct place *place = *state;
    struct producer *producer = open_producer(place, "remote", TIMEOUT_MS);
    assert_int_equal(txn_begin(producer, NULL), 0);
    participate(producer, place->p[0]);
    assert_int_equal(send_numbered(producer, place->p[0], 0, 0, 1), 0);
    keep_house(place, TIMEOUT_MS);
    struct producer_info *list;
    size_t count;
    assert_int_equal(partition_producers(place->p[0], &list, &count, NULL), 0);
    assert_int_equal(count, 1);
    assert_int_equal(list[0].epoch, 1);
    assert_int_equal(list[0].txn_first_offset, -1);
    free(list);
    assert_int_equal(send_numbered(producer, place->p[0], 0, 1, 1), ERR_FENCED);
}

/* ---- producers that outlive the process ---- */

static void bug_18_a_lost_answer_to_a_commit_can_be_given_again(void **state)
{
    struct place *place = *state;
    struct producer *producer = open_producer(place, "remote", TIMEOUT_MS), *again;
    int64_t id = producer_id(producer);
    assert_int_equal(producer_keep_outcome(producer, NULL), 0);
    assert_int_equal(producer_outcome(producer), TXN_OUTCOME_NONE);
    assert_int_equal(txn_begin(producer, NULL), 0);
    assert_int_equal(producer_outcome(producer), TXN_OUTCOME_OPEN);
    assert_int_equal(lookup(place, "remote").outcome, TXN_OUTCOME_OPEN);
    assert_int_equal(producer_keep_outcome(producer, NULL), ERR_STATE);
    participate(producer, place->p[0]);
    assert_int_equal(send_numbered(producer, place->p[0], 0, 0, 1), 0);
    assert_int_equal(txn_commit(producer, NULL), 0);
    assert_int_equal(producer_outcome(producer), TXN_OUTCOME_COMMITTED);
    assert_int_equal(producer_resume(place->log, "remote", id, 0, &again, NULL), ERR_BUSY);
    reopen(place);
    struct producer_record record = lookup(place, "remote");
    assert_int_equal(record.outcome, TXN_OUTCOME_COMMITTED);
    assert_int_equal(record.timeout_ms, TIMEOUT_MS);
    assert_int_equal(producer_resume(place->log, "remote", id, 1, &again, NULL), ERR_FENCED);
    assert_int_equal(producer_resume(place->log, "remote", id + 1, 0, &again, NULL), ERR_FENCED);
    assert_int_equal(producer_resume(place->log, "nobody", id, 0, &again, NULL), ERR_NOT_FOUND);
    assert_int_equal(producer_resume(place->log, "remote", id, 0, &again, NULL), 0);
    assert_int_equal(producer_outcome(again), TXN_OUTCOME_COMMITTED);
    assert_int_equal(producer_epoch(again), 0);
    /* It goes on with its sequence. */
    assert_int_equal(txn_begin(again, NULL), 0);
    participate(again, place->p[0]);
    assert_int_equal(send_numbered(again, place->p[0], 0, 2, 1), ERR_SEQUENCE);
    assert_int_equal(send_numbered(again, place->p[0], 0, 1, 1), 2);
    assert_int_equal(txn_abort(again, NULL), 0);
    assert_int_equal(lookup(place, "remote").outcome, TXN_OUTCOME_ABORTED);
    /* An empty one: nothing but the outcome is written. */
    assert_int_equal(txn_begin(again, NULL), 0);
    assert_int_equal(txn_commit(again, NULL), 0);
    assert_int_equal(lookup(place, "remote").outcome, TXN_OUTCOME_COMMITTED);
    assert_string_equal(fixture_values(place->p[0], READ_COMMITTED), "0");
}

static int commit_and_crash(void *context)
{
    struct place *place = context;
    open_place(place);
    struct producer *producer;
    struct producer_record record;
    int rc = producer_lookup(place->log, "remote", &record, NULL);
    if (rc == ERR_NOT_FOUND)
        rc = producer_open(place->log, "remote", &producer, NULL);
    else
        rc = producer_resume(place->log, "remote", record.producer_id, record.epoch, &producer,
                             NULL);
    if (rc < 0 || producer_keep_outcome(producer, NULL) < 0 || txn_begin(producer, NULL) < 0 ||
        fixture_txn_append(producer, place->p[0], 7, 1) < 0 || txn_commit(producer, NULL) < 0)
        return 1;
    log_close(place->log);
    return 0;
}

/* Whatever the moment, the record says the same as the log, and an open one lost its epoch. */
static void bug_18_after_a_crash_the_outcome_is_what_readers_see(void **state)
{
    static const char *const points[] = {"append.written:1", "decide.prepared:1", "flush.done:1",
                                         "decide.before:1",  "decide.done:1",     "decide.stable:1",
                                         "marker.commit:1",  "decide.finished:1", NULL};
    (void)state;
    int outcomes[2] = {0};
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        struct place place = {.dir = scratch_dir_create()};
        open_place(&place);
        producer_close(open_producer(&place, "remote", 0));
        log_close(place.log);
        assert_int_equal(fixture_child(commit_and_crash, &place, points[i]),
                         points[i] == NULL ? 0 : 137);
        open_place(&place);
        struct producer_record record = lookup(&place, "remote");
        bool committed = strcmp(fixture_values(place.p[0], READ_COMMITTED), "7") == 0;
        bool begun = end_of(place.p[0]) > 0; /* the earliest points come before that */
        if (committed)
            assert_int_equal(record.outcome, TXN_OUTCOME_COMMITTED);
        else if (begun)
            assert_int_equal(record.outcome, TXN_OUTCOME_CONTINUED);
        else
            assert_true(record.outcome == TXN_OUTCOME_NONE ||
                        record.outcome == TXN_OUTCOME_CONTINUED);
        if (begun)
            assert_int_equal(record.epoch, committed ? 0 : 1);
        outcomes[committed] += begun;
        assert_int_equal(stable(place.p[0]), end_of(place.p[0]));
        log_close(place.log);
        scratch_dir_remove(place.dir);
    }
    assert_true(outcomes[0] > 0 && outcomes[1] > 0);
}

static void bug_17_offsets_of_a_lost_transaction_do_not_count_as_committed(void **state)
{
    struct place *place = *state;
    struct producer *producer = open_producer(place, "remote", 0), *again;
    int64_t id = producer_id(producer);
    struct group_offset offset = {.topic = "t", .partition = 0, .offset = 5};
    assert_int_equal(producer_keep_outcome(producer, NULL), 0);
    assert_int_equal(txn_begin(producer, NULL), 0);
    assert_int_equal(txn_commit(producer, NULL), 0); /* the outcome of the one before */
    assert_int_equal(txn_begin(producer, NULL), 0);
    assert_int_equal(txn_add_offsets(producer, "g", &offset, 1, NULL), 0);
    reopen(place); /* aborts it; whoever goes on must not take that for its commit */
    assert_int_equal(producer_resume(place->log, "remote", id, 0, &again, NULL), ERR_FENCED);
    assert_int_equal(lookup(place, "remote").epoch, 1);
    assert_int_equal(lookup(place, "remote").outcome, TXN_OUTCOME_CONTINUED);
}

static void one_that_goes_on_is_not_fenced_by_another(void **state)
{
    struct place *place = *state;
    struct producer *producer, *next;
    assert_int_equal(producer_open_kept(place->log, "remote", -1, false, &producer, NULL),
                     ERR_INVALID);
    assert_int_equal(producer_open_kept(place->log, "", 1, false, &producer, NULL), ERR_INVALID);
    assert_int_equal(producer_open_kept(place->log, "remote", TIMEOUT_MS, false, &producer, NULL),
                     0);
    struct producer_record record = lookup(place, "remote");
    assert_int_equal(record.outcome, TXN_OUTCOME_NONE);
    assert_int_equal(record.timeout_ms, TIMEOUT_MS);
    assert_false(producer_is_fenced(producer));
    assert_int_equal(producer_open_kept(place->log, "remote", 2 * TIMEOUT_MS, true, &next, NULL),
                     0);
    record = lookup(place, "remote");
    assert_int_equal(record.outcome, TXN_OUTCOME_CONTINUED);
    assert_int_equal(record.epoch, 1);
    assert_int_equal(record.timeout_ms, 2 * TIMEOUT_MS);
    assert_true(producer_is_fenced(producer));
    /* From its first transaction on nobody has to believe who comes with the epoch before. */
    assert_int_equal(txn_begin(next, NULL), 0);
    assert_int_equal(lookup(place, "remote").outcome, TXN_OUTCOME_OPEN);
    producer_close(producer);
}

struct told {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    int count, code;
};

static void tell(void *context, int code)
{
    struct told *told = context;
    pthread_mutex_lock(&told->mutex);
    told->count++;
    told->code = code;
    pthread_cond_signal(&told->cond);
    pthread_mutex_unlock(&told->mutex);
}

static void an_abort_does_not_make_its_caller_wait(void **state)
{
    struct place *place = *state;
    struct told told = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, -1};
    struct producer *producer;
    assert_int_equal(producer_open_kept(place->log, "remote", TIMEOUT_MS, false, &producer, NULL),
                     0);
    assert_int_equal(txn_abort_start(producer, tell, &told, NULL), ERR_STATE);
    assert_int_equal(txn_begin(producer, NULL), 0);
    participate(producer, place->p[0]);
    assert_int_equal(send_numbered(producer, place->p[0], 0, 0, 1), 0);
    assert_int_equal(txn_abort_start(producer, tell, &told, NULL), 0);
    pthread_mutex_lock(&told.mutex);
    while (told.count == 0)
        pthread_cond_wait(&told.cond, &told.mutex);
    assert_int_equal(told.code, 0);
    pthread_mutex_unlock(&told.mutex);
    assert_int_equal(producer_outcome(producer), TXN_OUTCOME_ABORTED);
    assert_string_equal(fixture_values(place->p[0], READ_COMMITTED), "");
    assert_int_equal(told.count, 1);
}

static int note_name(void *context, const char *name, const struct producer_record *record)
{
    struct buf *names = context;
    buf_printf(names, "%s:%d ", name, record->outcome);
    return strcmp(name, "stop") == 0 ? ERR_RANGE : 0;
}

static void transactions_can_be_looked_at(void **state)
{
    struct place *place = *state;
    struct txn_description description;
    struct producer *producer;
    struct buf names = {0};
    assert_int_equal(producer_open_kept(place->log, "a/2", TIMEOUT_MS, false, &producer, NULL), 0);
    open_producer(place, "a/1", 0);
    open_producer(place, "b", 0);
    int64_t begin_ms = clock_wall_ms();
    assert_int_equal(txn_describe(producer, &description, NULL), 0);
    assert_int_equal(description.phase, TXN_IS_NONE);
    assert_int_equal(description.began_ms, -1);
    assert_int_equal(description.partition_count, 0);
    free(description.partitions);
    assert_int_equal(txn_begin(producer, NULL), 0);
    participate(producer, place->p[1]);
    participate(producer, place->p[0]);
    assert_int_equal(txn_describe(producer, &description, NULL), 0);
    assert_int_equal(description.phase, TXN_IS_OPEN);
    assert_in_range(description.began_ms, begin_ms, clock_wall_ms());
    assert_int_equal(description.partition_count, 2);
    for (int i = 0; i < 2; i++) {
        assert_string_equal(description.partitions[i].topic, "t");
        assert_int_equal(description.partitions[i].partition, i);
    }
    free(description.partitions);
    /* The set that the next transaction inherits for recovery's sake is not what it has named. */
    assert_int_equal(txn_commit(producer, NULL), 0);
    assert_int_equal(txn_begin(producer, NULL), 0);
    participate(producer, place->p[1]);
    assert_int_equal(txn_describe(producer, &description, NULL), 0);
    assert_int_equal(description.partition_count, 1);
    assert_int_equal(description.partitions[0].partition, 1);
    free(description.partitions);
    assert_int_equal(producer_each(place->log, "a/", note_name, &names, NULL), 0);
    assert_int_equal(producer_each(place->log, "", note_name, &names, NULL), 0);
    buf_u8(&names, 0);
    assert_string_equal((char *)names.data, "a/1:0 a/2:1 a/1:0 a/2:1 b:0 ");
    open_producer(place, "stop", 0);
    open_producer(place, "tail", 0);
    buf_clear(&names);
    assert_int_equal(producer_each(place->log, "", note_name, &names, NULL), ERR_RANGE);
    buf_u8(&names, 0);
    assert_string_equal((char *)names.data, "a/1:0 a/2:1 b:0 stop:0 ");
    buf_deinit(&names);
}

/* ---- epochs and ids ---- */

static void set_epoch(struct place *place, const char *name, int16_t epoch)
{
    struct producer_record now = lookup(place, name);
    struct meta_producer record = {
        .producer_id = now.producer_id, .epoch = epoch, .updated_ms = now.updated_ms};
    struct meta_batch batch;
    meta_batch_init(&batch);
    meta_put_producer(&batch, name, &record);
    assert_int_equal(log_meta_apply(place->log, &batch, NULL), 0);
    meta_batch_deinit(&batch);
}

static void bug_19_an_epoch_that_is_used_up_gives_a_new_id(void **state)
{
    struct place *place = *state;
    struct producer *producer = open_producer(place, "old", 0);
    int64_t id = producer_id(producer);
    producer_close(producer);
    set_epoch(place, "old", 32765);
    producer = open_producer(place, "old", TIMEOUT_MS);
    assert_int_equal(producer_id(producer), id);
    assert_int_equal(producer_epoch(producer), 32766);
    /* The last epoch can be fenced by a timeout as well. */
    assert_int_equal(txn_begin(producer, NULL), 0);
    assert_int_equal(fixture_txn_append(producer, place->p[0], 1, 1), 0);
    keep_house(place, TIMEOUT_MS);
    assert_int_equal(txn_commit(producer, NULL), ERR_FENCED);
    assert_int_equal(lookup(place, "old").epoch, 32767);
    producer_close(producer);
    reopen(place);
    producer = open_producer(place, "old", 0);
    assert_true(producer_id(producer) != id);
    assert_int_equal(producer_epoch(producer), 0);
    assert_int_equal(txn_begin(producer, NULL), 0);
    assert_int_equal(fixture_txn_append(producer, place->p[0], 2, 1), 2);
    assert_int_equal(txn_commit(producer, NULL), 0);
    assert_string_equal(fixture_values(place->p[0], READ_COMMITTED), "2");
}

static void ids_that_nobody_uses_are_forgotten(void **state)
{
    struct place *place = *state;
    struct producer *held = open_producer(place, "held", 0);
    struct producer *closed = open_producer(place, "closed", 0);
    struct producer_record record;
    int64_t id = producer_id(closed);
    producer_close(closed);
    keep_house(place, 7 * DAY_MS - 60000);
    assert_int_equal(lookup(place, "closed").producer_id, id);
    keep_house(place, 7 * DAY_MS); /* within the hour: not looked at */
    assert_int_equal(lookup(place, "closed").producer_id, id);
    keep_house(place, 7 * DAY_MS + 3600 * 1000);
    assert_int_equal(producer_lookup(place->log, "closed", &record, NULL), ERR_NOT_FOUND);
    assert_int_equal(lookup(place, "held").producer_id, producer_id(held));
    closed = open_producer(place, "closed", 0);
    assert_true(producer_id(closed) != id);
}

/* ---- zombies ---- */

struct zombie {
    struct place *place;
    struct producer *producer;
    int64_t committed; /* how many values this one was told are in */
    int64_t values[1000];
};

/* Commits one record after the other until it learns that somebody took its place. */
static void *work_until_fenced(void *context)
{
    struct zombie *zombie = context;
    for (int64_t value = 0; value < 1000; value++) {
        int rc = txn_begin(zombie->producer, NULL);
        if (rc == 0 && fixture_txn_append(zombie->producer, zombie->place->p[0], value, 1) < 0)
            rc = ERR_FENCED;
        if (rc == 0)
            rc = txn_commit(zombie->producer, NULL);
        if (rc < 0)
            break;
        zombie->values[zombie->committed++] = value;
    }
    return NULL;
}

static void bug_20_a_fenced_commit_is_never_reported_as_done(void **state)
{
    struct place *place = *state;
    for (int round = 0; round < 10; round++) {
        struct zombie zombie = {.place = place, .producer = open_producer(place, "same", 0)};
        pthread_t thread;
        int64_t from = end_of(place->p[0]);
        assert_int_equal(pthread_create(&thread, NULL, work_until_fenced, &zombie), 0);
        while (end_of(place->p[0]) < from + 2 * round)
            sched_yield();
        struct producer *heir = open_producer(place, "same", 0);
        int64_t end = end_of(place->p[0]); /* the heir is open: nothing of the zombie follows */
        pthread_join(thread, NULL);
        assert_int_equal(end_of(place->p[0]), end);
        assert_int_equal(partition_wait(place->p[0], end, -1), 0);
        struct fixture_record *records;
        int64_t count = fixture_read(place->p[0], from, READ_COMMITTED, 1 << 20, &records);
        assert_int_equal(count, zombie.committed);
        for (int64_t i = 0; i < count; i++)
            assert_int_equal(records[i].value, zombie.values[i]);
        free(records);
        producer_close(zombie.producer);
        producer_close(heir);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_transaction_over_its_time_is_aborted),
        TEST(without_a_timeout_it_stays_open),
        TEST(many_time_out_together),
        TEST(bug_20_a_commit_that_races_with_the_timeout_has_one_outcome),
        cmocka_unit_test(bug_16_a_crash_while_it_is_aborted_leaves_nothing_hanging),
        TEST(bug_16_a_late_batch_does_not_land_in_the_next_transaction),
        TEST(a_numbered_batch_is_written_once_in_its_transaction),
        TEST(a_numbered_batch_of_another_epoch_is_fenced),
        TEST(bug_16_after_a_timeout_the_partition_knows_the_new_epoch),
        TEST(bug_18_a_lost_answer_to_a_commit_can_be_given_again),
        cmocka_unit_test(bug_18_after_a_crash_the_outcome_is_what_readers_see),
        TEST(bug_17_offsets_of_a_lost_transaction_do_not_count_as_committed),
        TEST(one_that_goes_on_is_not_fenced_by_another),
        TEST(an_abort_does_not_make_its_caller_wait),
        TEST(transactions_can_be_looked_at),
        TEST(bug_19_an_epoch_that_is_used_up_gives_a_new_id),
        TEST(ids_that_nobody_uses_are_forgotten),
        TEST(bug_20_a_fenced_commit_is_never_reported_as_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
