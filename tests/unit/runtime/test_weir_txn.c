/* test_weir_txn.c: transactions through weir.h alone: all or nothing for records and offsets together; who does not look at a failure is not
 * told a lie by the commit; processes that die in the middle, at named points and by kill -9 at any, against a naive result. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/io.h"
#include "tests/support/scratch_dir.h"
#include "tests/support/weir_fixture.h"

static char *directory;
static weir_log *log_;

static int setup(void **state)
{
    (void)state;
    directory = scratch_dir_create();
    log_ = weir_fixture_open(directory);
    assert_works(weir_topic_create(log_, "in", 2, NULL, 0), weir_log_error());
    assert_works(weir_topic_create(log_, "out", 2, NULL, 0), weir_log_error());
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (log_ != NULL)
        assert_works(weir_log_close(log_), weir_log_error());
    log_ = NULL;
    scratch_dir_remove(directory);
    return 0;
}

static weir_producer *open_transactional(const char *id)
{
    return weir_fixture_producer(log_, &(weir_producer_options){.transactional_id = id});
}

static void begin(weir_producer *producer)
{
    assert_works(weir_txn_begin(producer), weir_producer_error(producer));
}

static void send(weir_producer *producer, const char *topic, int32_t partition, const char *value)
{
    weir_record record = text_record(topic, NULL, value);
    assert_works(weir_send_to(producer, partition, &record), weir_producer_error(producer));
}

static void commit(weir_producer *producer)
{
    assert_works(weir_txn_commit(producer), weir_producer_error(producer));
}

static void assert_holds(const char *topic, int32_t partition, const char *values)
{
    assert_string_equal(weir_fixture_values(log_, topic, partition, WEIR_READ_COMMITTED), values);
}

/* Plain records, for a consumer to read. */
static void fill(const char *topic, int32_t partition, int first, int last)
{
    weir_producer *producer = weir_fixture_producer(log_, NULL);
    for (int i = first; i <= last; i++) {
        char text[16];
        snprintf(text, sizeof text, "%d", i);
        send(producer, topic, partition, text);
    }
    assert_works(weir_producer_close(producer), weir_log_error());
}

/* ---- all or nothing ---- */

static void a_commit_shows_all_and_an_abort_nothing(void **state)
{
    (void)state;
    weir_producer *producer = open_transactional("t");
    begin(producer);
    send(producer, "in", 0, "a");
    send(producer, "out", 1, "b");
    assert_works(weir_flush(producer, -1), weir_producer_error(producer));
    assert_holds("in", 0, "");
    assert_string_equal(weir_fixture_values(log_, "in", 0, WEIR_READ_UNCOMMITTED), "a");
    send(producer, "out", 0, "c");
    commit(producer);
    assert_holds("in", 0, "a");
    assert_holds("out", 1, "b");
    assert_holds("out", 0, "c");

    begin(producer);
    send(producer, "in", 0, "x");
    assert_works(weir_flush(producer, -1), weir_producer_error(producer));
    send(producer, "in", 0, "y");
    assert_works(weir_txn_abort(producer), weir_producer_error(producer));
    begin(producer);
    send(producer, "in", 0, "d");
    commit(producer);
    assert_holds("in", 0, "a d");
    assert_string_equal(weir_fixture_values(log_, "in", 0, WEIR_READ_UNCOMMITTED), "a x d");

    begin(producer); /* closing aborts, and so does nothing at all */
    send(producer, "in", 0, "z");
    assert_int_equal(weir_producer_close(producer), 0);
    assert_holds("in", 0, "a d");
    producer = open_transactional("t");
    begin(producer);
    commit(producer);
    assert_int_equal(weir_producer_close(producer), 0);
}

struct outcome {
    uint64_t tag;
    int32_t code;
    int64_t offset;
};
struct outcomes {
    struct outcome list[16];
    size_t count;
};

static void note(void *context, const weir_delivery *delivery)
{
    struct outcomes *outcomes = context;
    assert_true(outcomes->count < 16);
    outcomes->list[outcomes->count++] =
        (struct outcome){delivery->tag, delivery->code, delivery->offset};
}

static void records_are_reported_when_their_transaction_ends(void **state)
{
    (void)state;
    struct outcomes seen = {.count = 0};
    weir_producer *producer = weir_fixture_producer(
        log_,
        &(weir_producer_options){.transactional_id = "t", .delivered = note, .context = &seen});
    weir_record record = text_record("in", NULL, "v");
    begin(producer);
    for (record.tag = 1; record.tag <= 2; record.tag++)
        assert_int_equal(weir_send_to(producer, 0, &record), 0);
    assert_int_equal(weir_flush(producer, -1), 0);
    assert_int_equal(seen.count, 0); /* durable, and may still come to nothing */
    assert_int_equal(weir_send_to(producer, 0, &record), 0);
    commit(producer);
    assert_int_equal(seen.count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(seen.list[i].tag, i + 1);
        assert_int_equal(seen.list[i].code, 0);
        assert_int_equal(seen.list[i].offset, i);
    }
    seen.count = 0;
    begin(producer);
    assert_int_equal(weir_send_to(producer, 0, &record), 0);
    assert_int_equal(weir_flush(producer, -1), 0);
    assert_int_equal(weir_send_to(producer, 0, &record), 0);
    assert_int_equal(weir_txn_abort(producer), 0);
    assert_int_equal(seen.count, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(seen.list[i].code, WEIR_ESTATE);
        assert_int_equal(seen.list[i].offset, -1);
    }
    assert_int_equal(weir_producer_close(producer), 0);
}

static void calls_out_of_order(void **state)
{
    (void)state;
    weir_producer *plain = weir_fixture_producer(log_, NULL);
    assert_int_equal(weir_txn_begin(plain), WEIR_ESTATE);
    assert_says(weir_producer_error(plain), "transactional_id");
    assert_int_equal(weir_txn_commit(plain), WEIR_ESTATE);
    assert_int_equal(weir_producer_close(plain), 0);
    weir_producer *producer = open_transactional("t");
    assert_int_equal(send_text(producer, "in", NULL, "v"), WEIR_ESTATE);
    assert_says(weir_producer_error(producer), "weir_txn_begin");
    assert_int_equal(weir_txn_commit(producer), WEIR_ESTATE);
    assert_int_equal(weir_txn_abort(producer), WEIR_ESTATE);
    assert_int_equal(weir_txn_group_offsets(producer, "g", NULL, 0), WEIR_ESTATE);
    begin(producer);
    assert_int_equal(weir_txn_begin(producer), WEIR_ESTATE);
    commit(producer);
    assert_int_equal(weir_producer_close(producer), 0);
}

static void a_commit_after_a_failure_is_an_abort(void **state)
{
    (void)state;
    weir_producer *producer = open_transactional("t");
    begin(producer);
    send(producer, "in", 0, "a");
    assert_int_equal(send_text(producer, "nowhere", NULL, "b"), WEIR_ENOTFOUND);
    send(producer, "in", 1, "c");
    assert_int_equal(weir_txn_commit(producer), WEIR_ENOTFOUND);
    assert_says(weir_producer_error(producer), "nowhere");
    assert_holds("in", 0, "");
    assert_holds("in", 1, "");

    /* A batch that the log refuses: found by the commit itself. */
    weir_config small = {"max.message.bytes", "300"};
    assert_works(weir_topic_create(log_, "small", 1, &small, 1), weir_log_error());
    char large[3000];
    for (size_t i = 0; i < sizeof large; i++)
        large[i] = (char)(i * 2654435761u >> 9);
    begin(producer);
    send(producer, "in", 0, "d");
    weir_record record = {.topic = "small", .value = large, .value_size = sizeof large};
    int rc = weir_send(producer, &record);
    assert_true(rc == 0 || rc == WEIR_ETOOLARGE);
    assert_int_equal(weir_txn_commit(producer), WEIR_ETOOLARGE);
    assert_holds("in", 0, "");

    begin(producer); /* and then all is well again */
    send(producer, "in", 0, "e");
    commit(producer);
    assert_holds("in", 0, "e");
    assert_int_equal(weir_producer_close(producer), 0);
}

static void a_newer_producer_fences_the_older(void **state)
{
    (void)state;
    weir_producer *old = open_transactional("t");
    begin(old);
    send(old, "in", 0, "old");
    assert_works(weir_flush(old, -1), weir_producer_error(old));
    weir_producer *new = open_transactional("t");
    assert_int_equal(weir_txn_commit(old), WEIR_EFENCED);
    assert_int_equal(weir_txn_begin(old), WEIR_EFENCED);
    begin(new);
    send(new, "in", 0, "new");
    commit(new);
    assert_holds("in", 0, "new");
    assert_int_equal(weir_producer_close(old), 0);
    assert_int_equal(weir_producer_close(new), 0);
}

static void a_transaction_has_its_time(void **state)
{
    (void)state;
    assert_works(weir_log_close(log_), weir_log_error());
    assert_works(weir_log_open(directory, &(weir_log_options){.keeper_interval_ms = 1000}, &log_),
                 weir_log_error());
    weir_producer *producer = weir_fixture_producer(
        log_, &(weir_producer_options){.transactional_id = "t", .transaction_timeout_ms = 1});
    begin(producer);
    send(producer, "in", 0, "too late");
    assert_works(weir_flush(producer, -1), weir_producer_error(producer));
    while (weir_fixture_partition(log_, "in", 0).stable_offset == 0)
        usleep(1000); /* the keeper aborts it within about a second */
    assert_int_equal(weir_txn_commit(producer), WEIR_EFENCED);
    assert_says(weir_producer_error(producer), "1 ms");
    assert_holds("in", 0, "");
    assert_int_equal(weir_producer_close(producer), 0);
}

/* ---- offsets ---- */

static size_t poll_some(weir_consumer *consumer, const weir_record **records)
{
    size_t count;
    assert_works(weir_poll(consumer, 5000, records, &count), weir_consumer_error(consumer));
    return count;
}

static void positions_move_with_the_transaction(void **state)
{
    (void)state;
    const char *topic = "in";
    const weir_record *records;
    fill("in", 0, 1, 5);
    weir_consumer *consumer = weir_fixture_consumer(
        log_, &(weir_consumer_options){
                  .group = "g", .topics = &topic, .topic_count = 1, .max_records = 3});
    weir_producer *producer = open_transactional("t");

    assert_int_equal(poll_some(consumer, &records), 3);
    begin(producer);
    send(producer, "out", 0, "123");
    assert_works(weir_txn_offsets(producer, consumer), weir_producer_error(producer));
    assert_works(weir_txn_abort(producer), weir_producer_error(producer));
    assert_int_equal(weir_fixture_committed(log_, "g", "in", 0), -1);
    assert_works(weir_consumer_rewind(consumer), weir_consumer_error(consumer));

    assert_int_equal(poll_some(consumer, &records), 3);
    assert_int_equal(records[0].offset, 0);
    begin(producer);
    send(producer, "out", 0, "123");
    assert_works(weir_txn_offsets(producer, consumer), weir_producer_error(producer));
    assert_int_equal(weir_fixture_committed(log_, "g", "in", 0), -1);
    commit(producer);
    assert_int_equal(weir_fixture_committed(log_, "g", "in", 0), 3);

    assert_int_equal(poll_some(consumer, &records), 2);
    assert_works(weir_consumer_rewind(consumer), weir_consumer_error(consumer));
    assert_int_equal(poll_some(consumer, &records), 2); /* the same two again */
    assert_int_equal(records[0].offset, 3);
    assert_int_equal(weir_consumer_close(consumer), 0);

    /* Of a group without members the caller may say what he likes. */
    weir_offset offset = {.topic = "in", .partition = 0, .offset = 5, .metadata = "by hand"};
    begin(producer);
    assert_int_equal(weir_txn_group_offsets(producer, "g", &offset, 1), 0);
    commit(producer);
    assert_int_equal(weir_fixture_committed(log_, "g", "in", 0), 5);
    begin(producer);
    assert_int_equal(weir_txn_group_offsets(producer, NULL, &offset, 1), WEIR_EINVALID);
    assert_int_equal(weir_txn_commit(producer), WEIR_EINVALID);
    assert_int_equal(weir_producer_close(producer), 0);
}

static void offsets_of_no_group_or_another_log(void **state)
{
    (void)state;
    const char *topic = "in";
    weir_producer *producer = open_transactional("t");
    weir_consumer *lone =
        weir_fixture_consumer(log_, &(weir_consumer_options){.topics = &topic, .topic_count = 1});
    begin(producer);
    assert_int_equal(weir_txn_offsets(producer, NULL), WEIR_EINVALID);
    assert_int_equal(weir_txn_offsets(producer, lone), WEIR_ESTATE);
    assert_int_equal(weir_txn_commit(producer), WEIR_EINVALID); /* the first failure */
    assert_int_equal(weir_consumer_close(lone), 0);
    char *other_directory = scratch_dir_create();
    weir_log *other = weir_fixture_open(other_directory);
    assert_works(weir_topic_create(other, "in", 1, NULL, 0), weir_log_error());
    weir_consumer *stranger = weir_fixture_consumer(
        other, &(weir_consumer_options){.group = "g", .topics = &topic, .topic_count = 1});
    begin(producer);
    assert_int_equal(weir_txn_offsets(producer, stranger), WEIR_EINVALID);
    assert_int_equal(weir_txn_abort(producer), 0);
    assert_int_equal(weir_consumer_close(stranger), 0);
    assert_int_equal(weir_producer_close(producer), 0);
    assert_works(weir_log_close(other), weir_log_error());
    scratch_dir_remove(other_directory);
}

/* ---- processes that die ---- */

/* The job: numbers come in on both partitions of "in", each goes out as its double, to the partition of its own parity. */
enum { NUMBERS = 400 };

static int job_turn(weir_producer *producer, weir_consumer *consumer, size_t *count)
{
    const weir_record *records;
    if (weir_poll(consumer, 20, &records, count) < 0)
        return -1;
    if (*count == 0)
        return 0;
    int rc = weir_txn_begin(producer);
    for (size_t i = 0; rc == 0 && i < *count; i++) {
        char text[16], doubled[16];
        snprintf(text, sizeof text, "%.*s", (int)records[i].value_size,
                 (const char *)records[i].value);
        snprintf(doubled, sizeof doubled, "%d", 2 * atoi(text));
        weir_record record = text_record("out", NULL, doubled);
        rc = weir_send_to(producer, atoi(text) % 2, &record);
    }
    if (rc == 0)
        rc = weir_txn_offsets(producer, consumer);
    return rc == 0 ? weir_txn_commit(producer) : -1;
}

/* Runs in a child of its own until all is done. */
static int job(void)
{
    weir_log *log;
    weir_producer *producer;
    weir_consumer *consumer;
    const char *topic = "in";
    size_t count = 0;
    weir_consumer_options options = {
        .group = "doublers", .topics = &topic, .topic_count = 1, .max_records = 7};
    if (weir_log_open(directory, NULL, &log) < 0 ||
        weir_producer_open(log, &(weir_producer_options){.transactional_id = "doubler"},
                           &producer) < 0 ||
        weir_consumer_open(log, &options, &consumer) < 0)
        return 2;
    while (weir_fixture_committed(log, "doublers", "in", 0) < NUMBERS / 2 ||
           weir_fixture_committed(log, "doublers", "in", 1) < NUMBERS / 2)
        if (job_turn(producer, consumer, &count) < 0)
            return 3;
    weir_consumer_close(consumer);
    weir_producer_close(producer);
    return weir_log_close(log) == 0 ? 0 : 4;
}

static int compare_numbers(const void *a, const void *b)
{
    const int *left = a, *right = b;
    return (*left > *right) - (*left < *right);
}

/* Each double once. */
static void assert_each_once(void)
{
    int seen[2 * NUMBERS], count = 0;
    for (int32_t p = 0; p < 2; p++) {
        char *copy = strdup(weir_fixture_values(log_, "out", p, WEIR_READ_COMMITTED)), *rest = copy;
        for (char *word; (word = strsep(&rest, " ")) != NULL && word[0] != '\0';) {
            assert_true(count < 2 * NUMBERS);
            seen[count++] = atoi(word);
            assert_int_equal(atoi(word) / 2 % 2, p);
        }
        free(copy);
    }
    assert_int_equal(count, NUMBERS);
    qsort(seen, NUMBERS, sizeof *seen, compare_numbers);
    for (int i = 0; i < NUMBERS; i++)
        assert_int_equal(seen[i], 2 * i);
}

static void fill_numbers(void)
{
    weir_producer *producer = weir_fixture_producer(log_, NULL);
    for (int i = 0; i < NUMBERS; i++) {
        char text[16];
        snprintf(text, sizeof text, "%d", i);
        send(producer, "in", i / (NUMBERS / 2), text);
    }
    assert_works(weir_producer_close(producer), weir_log_error());
    assert_works(weir_log_close(log_), weir_log_error());
    log_ = NULL;
}

static pid_t start_job(const char *crash_at)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child != 0)
        return child;
    if (crash_at != NULL)
        setenv("WEIR_CRASH_AT", crash_at, 1);
    crash_point_rearm();
    _exit(job());
}

static int finish_job(pid_t child)
{
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void exactly_once_when_killed_at_any_point(void **state)
{
    (void)state;
    const char *cycles_text = getenv("WEIR_KILL_CYCLES");
    int cycles = cycles_text != NULL ? atoi(cycles_text) : 12, kills = 0;
    unsigned seed = (unsigned)time(NULL);
    print_message("seed %u\n", seed);
    fill_numbers();
    for (int i = 0; i < cycles; i++) {
        pid_t child = start_job(NULL);
        usleep((unsigned)rand_r(&seed) % 12000); /* chance, not synchronisation */
        kill(child, SIGKILL);
        kills += finish_job(child) == 128 + SIGKILL;
    }
    assert_true(kills > 0);
    assert_int_equal(finish_job(start_job(NULL)), 0);
    log_ = weir_fixture_open(directory);
    assert_each_once();
}

static void exactly_once_across_crash_points(void **state)
{
    (void)state;
    static const char *const points[] = {
        "append.written:3",      "participants.before:1", "participants.after:1",
        "flush.before:9",        "flush.done:7",          "decide.prepared:8",
        "decide.before:2",       "decide.done:2",         "decide.stable:3",
        "marker.commit:4",       "decide.finished:12",    "producer.open.before:1",
        "producer.open.after:1",
    };
    int crashes = 0;
    fill_numbers();
    for (size_t i = 0; i < sizeof points / sizeof *points; i++)
        crashes += finish_job(start_job(points[i])) == 137;
    assert_int_equal(crashes, sizeof points / sizeof *points);
    assert_int_equal(finish_job(start_job(NULL)), 0);
    log_ = weir_fixture_open(directory);
    assert_each_once();
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_commit_shows_all_and_an_abort_nothing),
        CASE(records_are_reported_when_their_transaction_ends),
        CASE(calls_out_of_order),
        CASE(a_commit_after_a_failure_is_an_abort),
        CASE(a_newer_producer_fences_the_older),
        CASE(a_transaction_has_its_time),
        CASE(positions_move_with_the_transaction),
        CASE(offsets_of_no_group_or_another_log),
        CASE(exactly_once_when_killed_at_any_point),
        CASE(exactly_once_across_crash_points),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
