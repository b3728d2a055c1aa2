/* test_weir_consumer.c: consumers and groups through weir.h alone: what was sent is what is polled; positions, commits, members that share
 * partitions, resets; and what a caller does wrong. The group protocol and the assignors have tests of their own in unit/log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/scratch_dir.h"
#include "tests/support/weir_fixture.h"

static char *directory;
static weir_log *log_;
static const char *const events = "events";

static int setup(void **state)
{
    (void)state;
    directory = scratch_dir_create();
    log_ = weir_fixture_open(directory);
    assert_works(weir_topic_create(log_, events, 4, NULL, 0), weir_log_error());
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_works(weir_log_close(log_), weir_log_error());
    scratch_dir_remove(directory);
    return 0;
}

static void fill(int32_t partition, int first, int last)
{
    weir_producer *producer = weir_fixture_producer(log_, NULL);
    for (int i = first; i <= last; i++) {
        char text[16];
        snprintf(text, sizeof text, "%d", i);
        weir_record record = text_record(events, NULL, text);
        record.timestamp_ms = 1000 * i;
        record.flags = WEIR_HAS_TIMESTAMP;
        assert_works(weir_send_to(producer, partition, &record), weir_producer_error(producer));
    }
    assert_works(weir_producer_close(producer), weir_log_error());
}

static weir_consumer *open_reader(void)
{
    return weir_fixture_consumer(log_,
                                 &(weir_consumer_options){.topics = &events, .topic_count = 1});
}

static weir_consumer *open_member(const char *group)
{
    return weir_fixture_consumer(
        log_, &(weir_consumer_options){.group = group, .topics = &events, .topic_count = 1});
}

static size_t poll_some(weir_consumer *consumer, int32_t timeout_ms, const weir_record **records)
{
    size_t count;
    assert_works(weir_poll(consumer, timeout_ms, records, &count), weir_consumer_error(consumer));
    return count;
}

static void assert_value(const weir_record *record, const char *value)
{
    assert_int_equal(record->value_size, strlen(value));
    assert_memory_equal(record->value, value, strlen(value));
}

/* ---- records ---- */

static void assert_same_bytes(const void *a, size_t a_size, const void *b, size_t b_size)
{
    assert_int_equal(a == NULL, b == NULL);
    assert_int_equal(a_size, b_size);
    if (a_size > 0)
        assert_memory_equal(a, b, a_size);
}

static void assert_same_record(const weir_record *sent, const weir_record *polled)
{
    assert_string_equal(sent->topic, polled->topic);
    assert_same_bytes(sent->key, sent->key_size, polled->key, polled->key_size);
    assert_same_bytes(sent->value, sent->value_size, polled->value, polled->value_size);
    assert_int_equal(sent->timestamp_ms, polled->timestamp_ms);
    assert_int_equal(sent->header_count, polled->header_count);
    for (size_t i = 0; i < sent->header_count; i++) {
        const weir_header *a = &sent->headers[i], *b = &polled->headers[i];
        size_t key_size = a->key_size != 0 ? a->key_size : strlen(a->key);
        assert_same_bytes(a->key, key_size, b->key, b->key_size);
        assert_int_equal(b->key[b->key_size], '\0');
        assert_same_bytes(a->value, a->value_size, b->value, b->value_size);
    }
}

static void what_is_sent_is_what_is_polled(void **state)
{
    (void)state;
    static const weir_header headers[] = {
        {"trace", 0, "abc", 3}, {"trace", 0, "", 0}, {"", 0, NULL, 0}, {"nu\0l", 4, "\0\xff", 2}};
    static char large[300000];
    for (size_t i = 0; i < sizeof large; i++)
        large[i] = (char)(i * 2654435761u >> 11);
    const weir_record records[] = {
        {.topic = events, .timestamp_ms = 1, .value = "plain", .value_size = 5},
        {.topic = events, .timestamp_ms = 0, .flags = WEIR_HAS_TIMESTAMP, .key = "", .value = ""},
        {.topic = events, .timestamp_ms = -5, .key = "deleted", .key_size = 7},
        {.topic = events, .timestamp_ms = INT64_C(1) << 45, .headers = headers, .header_count = 4},
        {.topic = events,
         .timestamp_ms = 9,
         .value = large,
         .value_size = sizeof large,
         .headers = headers,
         .header_count = 1},
    };
    enum { COUNT = sizeof records / sizeof *records };
    for (weir_codec codec = WEIR_CODEC_DEFAULT; codec <= WEIR_CODEC_ZSTD; codec++) {
        weir_producer *producer =
            weir_fixture_producer(log_, &(weir_producer_options){.codec = codec});
        for (size_t i = 0; i < COUNT; i++)
            if (records[i].timestamp_ms < INT64_C(1) << 45)
                assert_works(weir_send_to(producer, 2, &records[i]), weir_producer_error(producer));
        assert_works(weir_producer_close(producer), weir_log_error());
    }
    weir_consumer *reader = open_reader();
    const weir_record *polled;
    int64_t offset = 0;
    for (size_t count; (count = poll_some(reader, 0, &polled)) > 0;)
        for (size_t i = 0; i < count; i++) {
            size_t which = (size_t)offset % (COUNT - 1);
            assert_same_record(&records[which < 3 ? which : 4], &polled[i]);
            assert_int_equal(polled[i].offset, offset++);
            assert_int_equal(polled[i].partition, 2);
            assert_int_equal(polled[i].flags, WEIR_HAS_TIMESTAMP);
        }
    assert_int_equal(offset, 6 * (COUNT - 1));
    assert_int_equal(weir_consumer_close(reader), 0);

    /* A time far ahead is the topic's to refuse (message.timestamp.after.max.ms): the record, and no other. */
    weir_producer *producer = weir_fixture_producer(log_, NULL);
    weir_record ahead = records[3];
    assert_int_equal(weir_send_to(producer, 3, &ahead), WEIR_EINVALID);
    ahead.timestamp_ms = 0;
    assert_works(weir_send_to(producer, 3, &ahead), weir_producer_error(producer));
    assert_works(weir_producer_close(producer), weir_log_error());
    reader = open_reader();
    assert_int_equal(weir_seek(reader, events, 2, WEIR_END), 0);
    assert_int_equal(poll_some(reader, 0, &polled), 1);
    assert_true(polled[0].timestamp_ms > INT64_C(1600000000000));
    ahead.timestamp_ms = polled[0].timestamp_ms;
    assert_same_record(&ahead, &polled[0]);
    assert_int_equal(weir_consumer_close(reader), 0);
}

static void polled_records_can_be_sent_on(void **state)
{
    (void)state;
    weir_header header = {.key = "h", .value = "x", .value_size = 1};
    weir_record record = text_record(events, "key", "value");
    record.flags = WEIR_HAS_TIMESTAMP; /* 1970-01-01T00:00 */
    record.headers = &header;
    record.header_count = 1;
    weir_producer *producer = weir_fixture_producer(log_, NULL);
    assert_works(weir_send(producer, &record), weir_producer_error(producer));
    assert_works(weir_flush(producer, -1), weir_producer_error(producer));
    assert_works(weir_topic_create(log_, "copy", 1, NULL, 0), weir_log_error());
    weir_consumer *reader = open_reader();
    const weir_record *polled;
    assert_int_equal(poll_some(reader, 0, &polled), 1);
    weir_record copy = polled[0];
    copy.topic = "copy";
    assert_works(weir_send(producer, &copy), weir_producer_error(producer));
    assert_works(weir_producer_close(producer), weir_log_error());
    assert_int_equal(weir_consumer_close(reader), 0);
    const char *topic = "copy";
    reader =
        weir_fixture_consumer(log_, &(weir_consumer_options){.topics = &topic, .topic_count = 1});
    assert_int_equal(poll_some(reader, 0, &polled), 1);
    record.topic = "copy";
    assert_same_record(&record, &polled[0]);
    assert_int_equal(weir_consumer_close(reader), 0);
}

/* ---- positions of a lone reader ---- */

static void a_lone_reader_goes_where_it_likes(void **state)
{
    (void)state;
    const weir_record *records;
    int64_t offset;
    fill(1, 0, 9);
    weir_topic_partition place = {events, 1};
    weir_consumer *reader = weir_fixture_consumer(
        log_,
        &(weir_consumer_options){.partitions = &place, .partition_count = 1, .max_records = 4});
    assert_int_equal(poll_some(reader, 0, &records), 4);
    assert_int_equal(weir_position(reader, events, 1, &offset), 0);
    assert_int_equal(offset, 4);
    assert_int_equal(weir_seek(reader, events, 1, 8), 0);
    assert_int_equal(poll_some(reader, 0, &records), 2);
    assert_value(&records[0], "8");
    assert_int_equal(poll_some(reader, 0, &records), 0);
    assert_int_equal(weir_seek(reader, events, 1, WEIR_BEGINNING), 0);
    assert_int_equal(poll_some(reader, 0, &records), 4);
    assert_int_equal(records[0].offset, 0);
    assert_int_equal(weir_seek(reader, events, 1, WEIR_END), 0);
    assert_int_equal(poll_some(reader, 0, &records), 0);
    assert_int_equal(weir_seek_time(reader, events, 1, 6500), 0);
    assert_int_equal(poll_some(reader, 0, &records), 3);
    assert_value(&records[0], "7");
    assert_int_equal(weir_consumer_rewind(reader), 0); /* nothing is committed: to the beginning */
    assert_int_equal(weir_pause(reader, events, 1), 0);
    assert_int_equal(poll_some(reader, 0, &records), 0);
    assert_int_equal(weir_resume(reader, events, 1), 0);
    assert_int_equal(poll_some(reader, 0, &records), 4);
    assert_int_equal(weir_position(reader, events, 0, &offset), WEIR_ENOTFOUND);
    assert_int_equal(offset, -1);
    assert_int_equal(weir_seek(reader, "elsewhere", 0, 0), WEIR_ENOTFOUND);
    assert_int_equal(weir_commit(reader), WEIR_ESTATE);
    assert_true(strlen(weir_consumer_error(reader)) > 0);
    assert_int_equal(weir_consumer_close(reader), 0);
}

static void where_a_reader_begins(void **state)
{
    (void)state;
    const weir_record *records;
    size_t count;
    fill(0, 0, 4);
    assert_works(weir_delete_records(log_, events, 0, 3), weir_log_error());
    weir_consumer_options options = {.topics = &events, .topic_count = 1};
    weir_consumer *reader = weir_fixture_consumer(log_, &options);
    assert_int_equal(poll_some(reader, 0, &records), 2);
    assert_int_equal(records[0].offset, 3);
    assert_int_equal(weir_consumer_close(reader), 0);
    options.reset = WEIR_RESET_LATEST;
    reader = weir_fixture_consumer(log_, &options);
    assert_int_equal(poll_some(reader, 0, &records), 0);
    fill(0, 5, 5);
    assert_int_equal(poll_some(reader, 5000, &records), 1);
    assert_value(&records[0], "5");
    assert_int_equal(weir_consumer_close(reader), 0);
    options.reset = WEIR_RESET_ERROR;
    reader = weir_fixture_consumer(log_, &options);
    assert_int_equal(weir_seek(reader, events, 0, 1), 0); /* deleted */
    int rc = 0;
    for (int i = 0; rc == 0 && i < 8; i++) /* other partitions may answer first */
        rc = weir_poll(reader, 0, &records, &count);
    assert_int_equal(rc, WEIR_ERANGE);
    assert_says(weir_consumer_error(reader), "events-0");
    assert_int_equal(weir_consumer_close(reader), 0);
}

static void isolation_decides_what_is_seen(void **state)
{
    (void)state;
    weir_producer *producer =
        weir_fixture_producer(log_, &(weir_producer_options){.transactional_id = "t"});
    for (int i = 0; i < 3; i++) {
        char text[8];
        snprintf(text, sizeof text, "%d", i);
        weir_record record = text_record(events, NULL, text);
        assert_int_equal(weir_txn_begin(producer), 0);
        assert_int_equal(weir_send_to(producer, 0, &record), 0);
        assert_int_equal(weir_flush(producer, -1),
                         0); /* what an abort finds collected never gets into the log */
        if (i < 2)
            assert_int_equal(i == 0 ? weir_txn_commit(producer) : weir_txn_abort(producer), 0);
    }
    assert_string_equal(weir_fixture_values(log_, events, 0, WEIR_READ_COMMITTED), "0");
    assert_string_equal(weir_fixture_values(log_, events, 0, WEIR_READ_UNCOMMITTED), "0 1 2");
    assert_int_equal(weir_txn_commit(producer), 0);
    assert_string_equal(weir_fixture_values(log_, events, 0, WEIR_READ_COMMITTED), "0 2");
    assert_int_equal(weir_producer_close(producer), 0);
}

/* ---- waiting ---- */

static void *wake_it(void *context)
{
    weir_consumer_wake(context);
    return NULL;
}

static void polls_wait_and_are_woken(void **state)
{
    (void)state;
    const weir_record *records;
    pthread_t thread;
    weir_consumer *reader = open_reader();
    assert_int_equal(pthread_create(&thread, NULL, wake_it, reader), 0);
    assert_int_equal(poll_some(reader, -1, &records), 0); /* or it would wait for ever */
    assert_int_equal(pthread_join(thread, NULL), 0);
    weir_consumer_wake(reader);
    assert_int_equal(poll_some(reader, -1, &records), 0);

    assert_int_equal(poll_some(reader, 0, &records), 0);
    struct pollfd ready = {.fd = weir_consumer_fd(reader), .events = POLLIN};
    fill(3, 7, 7);
    assert_int_equal(poll(&ready, 1, 5000), 1);
    assert_int_equal(poll_some(reader, 0, &records), 1);
    assert_value(&records[0], "7");
    assert_int_equal(weir_consumer_close(reader), 0);
}

/* ---- members ---- */

struct seen_calls {
    int assigned, revoked, lost;
    int poll_rc, close_rc, commit_rc;
};

static void count_assigned(void *context, weir_consumer *consumer,
                           const weir_topic_partition *partitions, size_t count)
{
    struct seen_calls *seen = context;
    const weir_record *records;
    size_t polled;
    int64_t offset;
    for (size_t i = 0; i < count; i++)
        assert_int_equal(
            weir_position(consumer, partitions[i].topic, partitions[i].partition, &offset), 0);
    seen->assigned += (int)count;
    seen->poll_rc = weir_poll(consumer, 0, &records, &polled);
    seen->close_rc = weir_consumer_close(consumer);
}

static void count_revoked(void *context, weir_consumer *consumer,
                          const weir_topic_partition *partitions, size_t count)
{
    struct seen_calls *seen = context;
    (void)partitions;
    seen->revoked += (int)count;
    seen->commit_rc = weir_commit(consumer);
}

/* Polls both until they have every partition between them; counts records of each. */
static void poll_both(weir_consumer *a, weir_consumer *b, size_t *a_records, size_t *b_records)
{
    const weir_record *records;
    const weir_topic_partition *partitions;
    size_t a_count, b_count;
    do {
        *a_records += poll_some(a, 5, &records);
        *b_records += poll_some(b, 5, &records);
        assert_int_equal(weir_assignment(a, &partitions, &a_count), 0);
        assert_int_equal(weir_assignment(b, &partitions, &b_count), 0);
    } while (a_count != 2 || b_count != 2);
}

static void members_share_partitions(void **state)
{
    (void)state;
    struct seen_calls seen = {0};
    const weir_record *records;
    const weir_topic_partition *mine, *theirs;
    size_t my_count, their_count, total = 0, ignored = 0;
    for (int32_t p = 0; p < 4; p++)
        fill(p, p * 10, p * 10 + 4);
    weir_consumer *a =
        weir_fixture_consumer(log_, &(weir_consumer_options){.group = "g",
                                                             .topics = &events,
                                                             .topic_count = 1,
                                                             .assigned = count_assigned,
                                                             .revoked = count_revoked,
                                                             .context = &seen});
    while (total < 20)
        total += poll_some(a, 1000, &records);
    assert_int_equal(total, 20);
    assert_int_equal(seen.assigned, 4);
    assert_int_equal(seen.poll_rc, WEIR_ESTATE);
    assert_int_equal(seen.close_rc, WEIR_ESTATE);

    weir_consumer *b = open_member("g");
    poll_both(a, b, &ignored, &ignored);
    assert_true(seen.revoked >= 2); /* which committed: nothing is read again */
    assert_int_equal(seen.commit_rc, 0);
    assert_int_equal(ignored, 0);
    assert_int_equal(weir_assignment(a, &mine, &my_count), 0);
    assert_int_equal(weir_assignment(b, &theirs, &their_count), 0);
    for (size_t i = 0; i < my_count; i++)
        for (size_t j = 0; j < their_count; j++)
            assert_int_not_equal(mine[i].partition, theirs[j].partition);

    weir_group_info info;
    assert_works(weir_group_describe(log_, "g", &info, NULL, NULL), weir_log_error());
    assert_string_equal(info.state, "Stable");
    assert_string_equal(info.assignor, "range");
    assert_int_equal(info.members, 2);
    assert_int_equal(info.lag, 0);
    assert_int_equal(weir_log_close(log_), WEIR_EBUSY);
    assert_says(weir_log_error(), "consumers: 2");

    assert_int_equal(weir_consumer_close(a), 0);
    fill(0, 90, 90);
    fill(3, 91, 91);
    for (total = 0; total < 2;)
        total += poll_some(b, 1000, &records);
    assert_int_equal(weir_assignment(b, &theirs, &their_count), 0);
    assert_int_equal(their_count, 4);
    assert_int_equal(weir_consumer_close(b), 0);
}

static void commits_survive_a_restart(void **state)
{
    (void)state;
    const weir_record *records;
    const char *metadata;
    int64_t offset;
    fill(2, 0, 9);
    weir_consumer *member = weir_fixture_consumer(
        log_, &(weir_consumer_options){
                  .group = "g", .topics = &events, .topic_count = 1, .max_records = 4});
    assert_int_equal(poll_some(member, 5000, &records), 4);
    assert_works(weir_commit(member), weir_consumer_error(member));
    assert_int_equal(poll_some(member, 5000, &records), 4); /* not committed */
    assert_int_equal(weir_consumer_close(member), 0);
    assert_works(weir_log_close(log_), weir_log_error());
    log_ = weir_fixture_open(directory);
    member = open_member("g");
    assert_int_equal(poll_some(member, 5000, &records), 6);
    assert_value(&records[0], "4");
    weir_offset by_hand = {.topic = events, .partition = 2, .offset = 5, .metadata = "half of it"};
    assert_works(weir_commit_offsets(member, &by_hand, 1), weir_consumer_error(member));
    assert_int_equal(weir_committed(member, events, 2, &offset, &metadata), 0);
    assert_int_equal(offset, 5);
    assert_string_equal(metadata, "half of it");
    assert_int_equal(weir_committed(member, events, 1, &offset, &metadata), 0);
    assert_string_equal(metadata, "");
    assert_works(weir_consumer_rewind(member), weir_consumer_error(member));
    assert_int_equal(poll_some(member, 5000, &records), 5);
    assert_value(&records[0], "5");
    assert_int_equal(weir_commit_offsets(member, NULL, 1), WEIR_EINVALID);
    assert_int_equal(weir_consumer_close(member), 0);
}

/* Members in threads of their own: each record is seen by one of them. */
enum { SHARED_RECORDS = 4000 };
static atomic_int seen_by[SHARED_RECORDS], seen_in_all;

static void *read_shared(void *context)
{
    const weir_record *records;
    size_t count;
    weir_consumer *member = open_member("threads");
    (void)context;
    while (atomic_load(&seen_in_all) < SHARED_RECORDS) {
        assert_works(weir_poll(member, 20, &records, &count), weir_consumer_error(member));
        for (size_t i = 0; i < count; i++) {
            char text[16];
            snprintf(text, sizeof text, "%.*s", (int)records[i].value_size,
                     (const char *)records[i].value);
            if (atomic_fetch_add(&seen_by[atoi(text)], 1) == 0)
                atomic_fetch_add(&seen_in_all, 1);
        }
        int rc = weir_commit(member);
        assert_true(rc == 0 || rc == WEIR_EREBALANCE || rc == WEIR_EMEMBER);
    }
    assert_int_equal(weir_consumer_close(member), 0);
    return NULL;
}

static void members_in_threads(void **state)
{
    (void)state;
    pthread_t threads[3];
    memset(seen_by, 0, sizeof seen_by);
    atomic_store(&seen_in_all, 0);
    for (int32_t p = 0; p < 4; p++)
        fill(p, p * 1000, p * 1000 + 999);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_shared, NULL), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < SHARED_RECORDS; i++)
        assert_true(atomic_load(&seen_by[i]) >= 1);
    for (int32_t p = 0; p < 4; p++)
        assert_true(weir_fixture_committed(log_, "threads", events, p) <= 1000);
}

/* ---- groups ---- */

static void groups_are_described_reset_and_deleted(void **state)
{
    (void)state;
    const weir_record *records;
    weir_group_info info, *groups;
    weir_group_lag *lag;
    weir_group_reset_row *rows;
    size_t count;
    fill(0, 0, 9);
    weir_consumer *member =
        weir_fixture_consumer(log_, &(weir_consumer_options){.group = "g",
                                                             .client_id = "tester",
                                                             .topics = &events,
                                                             .topic_count = 1,
                                                             .max_records = 6});
    assert_int_equal(poll_some(member, 5000, &records), 6);
    assert_works(weir_commit(member), weir_consumer_error(member));
    assert_works(weir_group_describe(log_, "g", &info, &lag, &count), weir_log_error());
    assert_string_equal(info.name, "g");
    assert_int_equal(info.members, 1);
    assert_int_equal(info.lag, 4);
    assert_int_equal(count, 4);
    assert_string_equal(lag[0].topic, events);
    assert_int_equal(lag[0].committed_offset, 6);
    assert_int_equal(lag[0].end_offset, 10);
    assert_int_equal(lag[0].lag, 4);
    assert_string_equal(lag[0].client_id, "tester");
    assert_string_equal(lag[0].metadata, "");
    weir_free(lag);

    weir_group_reset_options reset = {
        .to = WEIR_RESET_BY_SHIFT, .number = -2, .topic = events, .one_partition = true};
    assert_int_equal(weir_group_reset(log_, "g", &reset, &rows, &count), WEIR_EBUSY);
    assert_int_equal(weir_group_delete(log_, "g"), WEIR_EBUSY);
    assert_int_equal(weir_consumer_close(member), 0);

    assert_works(weir_group_reset(log_, "g", &reset, &rows, &count), weir_log_error());
    assert_int_equal(count, 1);
    assert_int_equal(rows[0].old_offset, 6);
    assert_int_equal(rows[0].new_offset, 4);
    weir_free(rows);
    assert_int_equal(weir_fixture_committed(log_, "g", events, 0), 6); /* that was a dry run */
    reset.execute = true;
    assert_works(weir_group_reset(log_, "g", &reset, NULL, NULL), weir_log_error());
    assert_int_equal(weir_fixture_committed(log_, "g", events, 0), 4);
    reset.to = WEIR_RESET_TO_TIME;
    reset.number = 7500;
    assert_works(weir_group_reset(log_, "g", &reset, NULL, NULL), weir_log_error());
    assert_int_equal(weir_fixture_committed(log_, "g", events, 0), 8);
    reset.to = 9;
    assert_int_equal(weir_group_reset(log_, "g", &reset, NULL, NULL), WEIR_EINVALID);

    assert_works(weir_group_list(log_, &groups, &count), weir_log_error());
    assert_int_equal(count, 1);
    assert_string_equal(groups[0].name, "g");
    assert_string_equal(groups[0].state, "Empty");
    weir_free(groups);
    assert_works(weir_group_delete_offsets(log_, "g", events, 0), weir_log_error());
    assert_int_equal(weir_fixture_committed(log_, "g", events, 0), -1);
    assert_int_equal(weir_group_delete_offsets(log_, "g", events, 0), WEIR_ENOTFOUND);
    weir_producer *producer =
        weir_fixture_producer(log_, &(weir_producer_options){.transactional_id = "t"});
    assert_int_equal(weir_txn_begin(producer), 0);
    assert_int_equal(
        weir_txn_group_offsets(producer, "g", &(weir_offset){.topic = events, .offset = 1}, 1), 0);
    assert_int_equal(weir_txn_commit(producer), 0);
    assert_int_equal(weir_producer_close(producer), 0);
    assert_works(weir_group_delete(log_, "g"), weir_log_error());
    assert_int_equal(weir_group_delete(log_, "g"), WEIR_ENOTFOUND);
    assert_int_equal(weir_group_describe(log_, "g", &info, NULL, NULL), WEIR_ENOTFOUND);
}

/* ---- mistakes ---- */

static void null_is_an_answer_and_no_crash(void **state)
{
    (void)state;
    const weir_record *records;
    const weir_topic_partition *partitions;
    weir_consumer *consumer;
    weir_group_info *groups;
    size_t count;
    int64_t offset;
    assert_int_equal(weir_consumer_open(NULL, NULL, &consumer), WEIR_EINVALID);
    assert_int_equal(weir_consumer_open(log_, NULL, &consumer), WEIR_EINVALID);
    assert_null(consumer);
    assert_int_equal(weir_consumer_open(log_, &(weir_consumer_options){.topics = &events}, NULL),
                     WEIR_EINVALID);
    assert_int_equal(weir_consumer_close(NULL), 0);
    assert_int_equal(weir_poll(NULL, 0, &records, &count), WEIR_EINVALID);
    weir_consumer_wake(NULL);
    assert_int_equal(weir_consumer_fd(NULL), WEIR_EINVALID);
    assert_int_equal(weir_commit(NULL), WEIR_EINVALID);
    assert_int_equal(weir_commit_offsets(NULL, NULL, 0), WEIR_EINVALID);
    assert_int_equal(weir_committed(NULL, events, 0, &offset, NULL), WEIR_EINVALID);
    assert_int_equal(weir_assignment(NULL, &partitions, &count), WEIR_EINVALID);
    assert_int_equal(weir_position(NULL, events, 0, &offset), WEIR_EINVALID);
    assert_int_equal(weir_seek(NULL, events, 0, 0), WEIR_EINVALID);
    assert_int_equal(weir_seek_time(NULL, events, 0, 0), WEIR_EINVALID);
    assert_int_equal(weir_consumer_rewind(NULL), WEIR_EINVALID);
    assert_int_equal(weir_pause(NULL, events, 0), WEIR_EINVALID);
    assert_int_equal(weir_resume(NULL, events, 0), WEIR_EINVALID);
    assert_non_null(weir_consumer_error(NULL));
    assert_int_equal(weir_group_list(NULL, &groups, &count), WEIR_EINVALID);
    assert_int_equal(weir_group_list(log_, NULL, &count), WEIR_EINVALID);
    assert_int_equal(weir_group_describe(log_, NULL, NULL, NULL, NULL), WEIR_EINVALID);
    assert_int_equal(weir_group_reset(log_, "g", NULL, NULL, NULL), WEIR_EINVALID);
    assert_int_equal(weir_group_delete(log_, NULL), WEIR_EINVALID);
    assert_int_equal(weir_group_delete_offsets(log_, "g", NULL, 0), WEIR_EINVALID);
    consumer = open_reader();
    assert_int_equal(weir_poll(consumer, 0, NULL, &count), WEIR_EINVALID);
    assert_int_equal(weir_poll(consumer, 0, &records, NULL), WEIR_EINVALID);
    assert_int_equal(weir_poll(consumer, -2, &records, &count), WEIR_EINVALID);
    assert_int_equal(weir_seek(consumer, NULL, 0, 0), WEIR_EINVALID);
    assert_int_equal(weir_position(consumer, events, 0, NULL), WEIR_EINVALID);
    assert_int_equal(weir_assignment(consumer, NULL, &count), WEIR_EINVALID);
    assert_int_equal(weir_committed(consumer, NULL, 0, &offset, NULL), WEIR_EINVALID);
    assert_int_equal(weir_consumer_close(consumer), 0);
}

static void consumers_that_cannot_be(void **state)
{
    (void)state;
    const char *nowhere = "nowhere", *null = NULL;
    weir_topic_partition place = {events, 9}, nameless = {NULL, 0};
    const struct {
        weir_consumer_options options;
        int code;
    } bad[] = {
        {{.group = "g"}, WEIR_EINVALID},
        {{.topic_count = 1}, WEIR_EINVALID},
        {{.topics = &null, .topic_count = 1}, WEIR_EINVALID},
        {{.topics = &nowhere, .topic_count = 1}, WEIR_ENOTFOUND},
        {{.partitions = &place, .partition_count = 1}, WEIR_ENOTFOUND},
        {{.partitions = &nameless, .partition_count = 1}, WEIR_EINVALID},
        {{.topics = &events, .topic_count = 1, .partitions = &place, .partition_count = 1},
         WEIR_EINVALID},
        {{.topics = &events, .topic_count = 1, .reset = 7}, WEIR_EINVALID},
        {{.topics = &events, .topic_count = 1, .isolation = 7}, WEIR_EINVALID},
        {{.topics = &events, .topic_count = 1, .assignors = {9}}, WEIR_EINVALID},
        {{.topics = &events, .topic_count = 1, .session_timeout_ms = -1}, WEIR_EINVALID},
        {{.topics = &events, .topic_count = 1, .reserved = {1}}, WEIR_EINVALID},
        {{.group = "", .topics = &events, .topic_count = 1}, WEIR_EINVALID},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        weir_consumer *consumer;
        assert_int_equal(weir_consumer_open(log_, &bad[i].options, &consumer), bad[i].code);
        assert_null(consumer);
        assert_true(strlen(weir_log_error()) > 0);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(what_is_sent_is_what_is_polled),
        CASE(polled_records_can_be_sent_on),
        CASE(a_lone_reader_goes_where_it_likes),
        CASE(where_a_reader_begins),
        CASE(isolation_decides_what_is_seen),
        CASE(polls_wait_and_are_woken),
        CASE(members_share_partitions),
        CASE(commits_survive_a_restart),
        CASE(members_in_threads),
        CASE(groups_are_described_reset_and_deleted),
        CASE(null_is_an_answer_and_no_crash),
        CASE(consumers_that_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
