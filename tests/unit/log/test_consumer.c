/* test_consumer.c: the embedded consumer: alone, in groups, through joins, leaves, deaths and restarts.
 *
 * Time is the test's where time decides: consumers are polled with timeout 0 in one thread, and their coordinator's
 * clock moves by hand. The last test runs threads, with the real clock and short sessions. */
#include "log/consumer.h"
#include "log/log_internal.h"
#include "runtime/base/clock.h"
#include "tests/support/log_fixture.h"
#include "tests/support/scratch_dir.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *dir;
static struct log *log_;
static _Atomic int64_t now = 1000000;
static int64_t now_ms(void)
{
    return now;
}

static int setup(void **state)
{
    (void)state;
    dir = scratch_dir_create();
    log_ = fixture_open(dir);
    coordinator_set_clock(log_->coordinator, now_ms);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    log_close(log_);
    scratch_dir_remove(dir);
    return 0;
}

static void reopen(void)
{
    log_close(log_);
    log_ = fixture_open(dir);
    coordinator_set_clock(log_->coordinator, now_ms);
}

/* Appends and waits until readers see it. */
static void put_at(struct partition *partition, int64_t first, int32_t count, int64_t timestamp_ms)
{
    int64_t base = fixture_append_sized(partition, first, count, 10, timestamp_ms);
    assert_true(base >= 0);
    assert_int_equal(partition_wait(partition, base + count, -1), 0);
}

static void put(const char *topic, int32_t index, int64_t first, int32_t count)
{
    put_at(fixture_partition(log_, topic, index), first, count, 1);
}

/* ---- what a consumer was told ---- */

struct told {
    char text[1024]; /* "+t-0 t-1;-t-1;" assigned, revoked, lost (!) */
    size_t used;
    bool commits; /* in revoked */
    int commit_code;
    int64_t reset_from, reset_to;
};

static void tell(struct told *told, char sign, const struct topic_partition *partitions,
                 size_t count)
{
    told->used +=
        (size_t)snprintf(told->text + told->used, sizeof told->text - told->used, "%c", sign);
    for (size_t i = 0; i < count; i++)
        told->used +=
            (size_t)snprintf(told->text + told->used, sizeof told->text - told->used, "%s%s-%d",
                             i > 0 ? " " : "", partitions[i].topic, partitions[i].partition);
    told->used += (size_t)snprintf(told->text + told->used, sizeof told->text - told->used, ";");
    assert_true(told->used < sizeof told->text);
}

static void assigned(void *context, struct consumer *consumer,
                     const struct topic_partition *partitions, size_t count)
{
    (void)consumer;
    tell(context, '+', partitions, count);
}

static void revoked(void *context, struct consumer *consumer,
                    const struct topic_partition *partitions, size_t count)
{
    struct told *told = context;
    tell(told, '-', partitions, count);
    if (told->commits)
        told->commit_code = consumer_commit(consumer, NULL, 0, NULL);
}

static void lost(void *context, struct consumer *consumer, const struct topic_partition *partitions,
                 size_t count)
{
    struct told *told = context;
    tell(told, '!', partitions, count);
    told->commit_code = consumer_commit(consumer, NULL, 0, NULL);
}

static void was_reset(void *context, const struct topic_partition *partition, int64_t from,
                      int64_t to)
{
    struct told *told = context;
    (void)partition;
    told->reset_from = from;
    told->reset_to = to;
}

/* What it was told since the last call. */
static const char *news(struct told *told)
{
    static char text[1024];
    memcpy(text, told->text, sizeof text);
    told->text[0] = '\0';
    told->used = 0;
    return text;
}

static struct consumer_options options_of(struct told *told, enum assignor assignor)
{
    static const char *const topics[] = {"t"};
    return (struct consumer_options){.group = "g",
                                     .topics = topics,
                                     .topic_count = 1,
                                     .assignors = {assignor},
                                     .assigned = assigned,
                                     .revoked = revoked,
                                     .lost = lost,
                                     .was_reset = was_reset,
                                     .context = told};
}

static struct consumer *open_with(const struct consumer_options *options)
{
    struct consumer *consumer;
    struct diag diag = {0};
    if (consumer_open(log_, options, &consumer, &diag) < 0)
        fail_msg("%s", diag.text);
    return consumer;
}

static struct consumer *open_member(struct told *told, enum assignor assignor)
{
    struct consumer_options options = options_of(told, assignor);
    return open_with(&options);
}

/* Polls once without waiting; records as "t-0:1,2 " by values. */
static const char *poll_now(struct consumer *consumer)
{
    static char text[4096];
    const struct consumer_record *records;
    struct diag diag = {0};
    size_t used = 0;
    text[0] = '\0';
    int64_t count = consumer_poll(consumer, 0, &records, &diag);
    if (count < 0) {
        snprintf(text, sizeof text, "%s", error_text((int)count));
        return text;
    }
    for (int64_t i = 0; i < count; i++) {
        const char *value = (const char *)records[i].value.data;
        int length = 0;
        while (length < (int)records[i].value.size && value[length] != ' ')
            length++;
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%.*s", i > 0 ? "," : "",
                                 length, value);
    }
    return text;
}

/* Polls both until they have nothing to do. */
static void settle(struct consumer *a, struct consumer *b)
{
    for (int i = 0; i < 8; i++) {
        poll_now(a);
        if (b != NULL)
            poll_now(b);
    }
}

/* ---- alone ---- */

static void test_lone_reader(void **state)
{
    (void)state;
    struct told told = {0};
    fixture_topic(log_, "t", 2, NULL);
    put("t", 0, 1, 3);
    put("t", 1, 10, 2);
    struct consumer_options options = options_of(&told, ASSIGN_NONE);
    options.group = NULL;
    struct consumer *consumer = open_with(&options);
    assert_string_equal(poll_now(consumer), "1,2,3");
    assert_string_equal(news(&told), "+t-0 t-1;");
    assert_string_equal(poll_now(consumer), "10,11");
    assert_string_equal(poll_now(consumer), "");
    assert_int_equal(consumer_commit(consumer, NULL, 0, NULL), ERR_STATE);
    int64_t position;
    assert_int_equal(consumer_position(consumer, "t", 0, &position, NULL), 0);
    assert_int_equal(position, 3);
    assert_int_equal(consumer_position(consumer, "t", 2, &position, NULL), ERR_NOT_FOUND);
    put("t", 1, 12, 1);
    assert_string_equal(poll_now(consumer), "12");
    consumer_close(consumer);
    assert_string_equal(news(&told), "-t-0 t-1;");
}

static void test_options_are_checked(void **state)
{
    (void)state;
    struct told told = {0};
    struct consumer *consumer;
    fixture_topic(log_, "t", 1, NULL);
    struct consumer_options good = options_of(&told, ASSIGN_RANGE), bad = good;
    static const char *const unknown[] = {"none"};
    bad.topics = unknown;
    assert_int_equal(consumer_open(log_, &bad, &consumer, NULL), ERR_NOT_FOUND);
    assert_null(consumer);
    bad = good;
    bad.topic_count = 0;
    assert_int_equal(consumer_open(log_, &bad, &consumer, NULL), ERR_INVALID);
    struct topic_partition partition = {"t", 1};
    bad.partitions = &partition;
    bad.partition_count = 1;
    assert_int_equal(consumer_open(log_, &bad, &consumer, NULL), ERR_NOT_FOUND);
    bad = good;
    bad.group = "";
    assert_int_equal(consumer_open(log_, &bad, &consumer, NULL), ERR_INVALID);
    bad = good;
    bad.assignors[1] = (enum assignor)9;
    assert_int_equal(consumer_open(log_, &bad, &consumer, NULL), ERR_INVALID);
    consumer_close(NULL);
}

static void test_positions(void **state)
{
    (void)state;
    struct told told = {0};
    fixture_topic(log_, "t", 1, NULL);
    struct partition *partition = fixture_partition(log_, "t", 0);
    for (int i = 0; i < 4; i++)
        put_at(partition, 10 * i, 2, 1000 + i);
    struct consumer_options options = options_of(&told, ASSIGN_NONE);
    struct topic_partition only = {"t", 0};
    options.topic_count = 0;
    options.partitions = &only;
    options.partition_count = 1;
    options.max_records = 3;
    struct consumer *consumer = open_with(&options);
    assert_string_equal(poll_now(consumer), "0,1,10"); /* across batches, as many as wanted */
    assert_string_equal(poll_now(consumer), "11,20,21");
    assert_int_equal(consumer_seek(consumer, "t", 0, 1, NULL), 0);
    assert_string_equal(poll_now(consumer), "1,10,11");
    assert_int_equal(consumer_seek(consumer, "t", 0, CONSUMER_END, NULL), 0);
    assert_string_equal(poll_now(consumer), "");
    assert_int_equal(consumer_seek(consumer, "t", 0, CONSUMER_BEGINNING, NULL), 0);
    assert_int_equal(consumer_pause(consumer, "t", 0, NULL), 0);
    assert_string_equal(poll_now(consumer), "");
    assert_int_equal(consumer_resume(consumer, "t", 0, NULL), 0);
    assert_string_equal(poll_now(consumer), "0,1,10");
    assert_int_equal(consumer_seek_time(consumer, "t", 0, 1003, NULL), 0);
    assert_string_equal(poll_now(consumer), "30,31");
    assert_int_equal(consumer_seek_time(consumer, "t", 0, 5000, NULL), 0);
    assert_string_equal(poll_now(consumer), "");
    assert_int_equal(consumer_seek(consumer, "t", 0, -3, NULL), ERR_INVALID);
    /* a standalone commit under the group's name */
    assert_int_equal(consumer_commit(consumer, NULL, 0, NULL), 0);
    struct group_offset offset = {
        .topic = "t", .partition = 0, .offset = 5, .metadata = bytes_text("note")};
    assert_int_equal(consumer_commit(consumer, &offset, 1, NULL), 0);
    struct buf metadata = {0};
    assert_int_equal(consumer_committed(consumer, "t", 0, &offset, &metadata, NULL), 0);
    assert_int_equal(offset.offset, 5);
    assert_true(bytes_equal(offset.metadata, bytes_text("note")));
    buf_deinit(&metadata);
    consumer_close(consumer);
    consumer = open_with(&options);
    assert_string_equal(poll_now(consumer), "21,30,31");
    consumer_close(consumer);
}

static void test_reset_policies(void **state)
{
    (void)state;
    struct told told = {0};
    fixture_topic(log_, "t", 1, NULL);
    struct partition *partition = fixture_partition(log_, "t", 0);
    put("t", 0, 0, 4);
    struct consumer_options options = options_of(&told, ASSIGN_NONE);
    options.group = NULL;
    options.reset = RESET_LATEST;
    struct consumer *consumer = open_with(&options);
    assert_string_equal(poll_now(consumer), "");
    put("t", 0, 4, 1);
    assert_string_equal(poll_now(consumer), "4");
    assert_int_equal(consumer_seek(consumer, "t", 0, 100, NULL), 0);
    assert_string_equal(poll_now(consumer), "");
    assert_int_equal(told.reset_from, 100);
    assert_int_equal(told.reset_to, 5);
    consumer_close(consumer);
    options.reset = RESET_EARLIEST;
    consumer = open_with(&options);
    assert_int_equal(partition_purge(partition, 2, NULL), 0);
    assert_int_equal(consumer_seek(consumer, "t", 1, 0, NULL), ERR_NOT_FOUND);
    assert_int_equal(consumer_seek(consumer, "t", 0, 1, NULL), 0); /* before the first poll */
    assert_string_equal(poll_now(consumer), "2,3,4");
    assert_int_equal(told.reset_from, 1);
    assert_int_equal(told.reset_to, 2);
    consumer_close(consumer);
    options.reset = RESET_ERROR;
    consumer = open_with(&options);
    assert_string_equal(poll_now(consumer), error_text(ERR_RANGE));
    assert_string_equal(poll_now(consumer), ""); /* left out */
    assert_int_equal(consumer_partition_status(consumer, "t", 0, NULL), ERR_RANGE);
    assert_int_equal(consumer_seek(consumer, "t", 0, 3, NULL), 0);
    assert_int_equal(consumer_partition_status(consumer, "t", 0, NULL), 0);
    assert_string_equal(poll_now(consumer), "3,4");
    consumer_close(consumer);
}

/* Undecided and aborted records are passed over, and the position with them. */
static void test_isolation(void **state)
{
    (void)state;
    struct told told = {0};
    struct producer *producer;
    int64_t position;
    fixture_topic(log_, "t", 1, NULL);
    struct partition *partition = fixture_partition(log_, "t", 0);
    assert_int_equal(producer_open(log_, "p", &producer, NULL), 0);
    struct consumer_options options = options_of(&told, ASSIGN_NONE);
    options.group = NULL;
    struct consumer *committed = open_with(&options);
    options.isolation = READ_UNCOMMITTED;
    struct consumer *all = open_with(&options);
    assert_int_equal(txn_begin(producer, NULL), 0);
    fixture_txn_append(producer, partition, 1, 2);
    partition_wait(partition, 2, -1);
    assert_string_equal(poll_now(committed), "");
    assert_string_equal(poll_now(all), "1,2");
    assert_int_equal(txn_abort(producer, NULL), 0);
    put("t", 0, 3, 1);
    assert_string_equal(poll_now(committed), "3");
    assert_int_equal(consumer_position(committed, "t", 0, &position, NULL), 0);
    assert_int_equal(position, 4);
    assert_string_equal(poll_now(all), "3");
    consumer_close(committed);
    consumer_close(all);
    producer_close(producer);
}

/* More compressed batches than a poll has buffers for. */
static void test_many_small_compressed_batches(void **state)
{
    (void)state;
    struct told told = {0};
    fixture_topic(log_, "t", 1, NULL);
    struct sender *sender;
    char text[200];
    memset(text, 'x', sizeof text);
    assert_int_equal(sender_open(log_, "t", NULL, &sender, NULL), 0);
    for (int i = 0; i < 60; i++) {
        for (int k = 0; k < 5; k++) {
            snprintf(text, 8, "%d", i * 5 + k);
            text[strlen(text)] = ' ';
            assert_int_equal(sender_send(sender, 0, 0, bytes_of(NULL, 0),
                                         bytes_of(text, sizeof text), bytes_of(NULL, 0), 0, NULL),
                             0);
        }
        assert_int_equal(sender_flush(sender, i == 59, NULL), 0);
    }
    sender_close(sender);
    struct consumer_options options = options_of(&told, ASSIGN_NONE);
    options.group = NULL;
    options.max_records = 7; /* a poll ends inside a batch */
    struct consumer *consumer = open_with(&options);
    const struct consumer_record *records;
    int64_t expected = 0, count;
    while ((count = consumer_poll(consumer, 0, &records, NULL)) > 0)
        for (int64_t i = 0; i < count; i++, expected++) {
            assert_int_equal(records[i].offset, expected);
            assert_int_equal(atoi((const char *)records[i].value.data), expected);
        }
    assert_int_equal(count, 0);
    assert_int_equal(expected, 300);
    consumer_close(consumer);
}

static void *append_later(void *context)
{
    fixture_append(context, 7, 1);
    return NULL;
}

static void test_poll_waits_for_records_and_for_wake(void **state)
{
    (void)state;
    struct told told = {0};
    const struct consumer_record *records;
    pthread_t thread;
    fixture_topic(log_, "t", 1, NULL);
    struct consumer *consumer = open_member(&told, ASSIGN_RANGE);
    settle(consumer, NULL);
    coordinator_set_clock(log_->coordinator, clock_mono_ms);
    assert_int_equal(pthread_create(&thread, NULL, append_later, fixture_partition(log_, "t", 0)),
                     0);
    assert_int_equal(consumer_poll(consumer, -1, &records, NULL), 1);
    pthread_join(thread, NULL);
    consumer_wake(consumer);
    assert_int_equal(consumer_poll(consumer, -1, &records, NULL), 0);
    assert_int_equal(consumer_poll(consumer, 1, &records, NULL), 0); /* once */
    consumer_close(consumer);
}

/* ---- groups ---- */

static void test_eager_members_share(void **state)
{
    (void)state;
    struct told a_told = {0}, b_told = {0};
    fixture_topic(log_, "t", 3, NULL);
    struct consumer *a = open_member(&a_told, ASSIGN_RANGE);
    poll_now(a);
    assert_string_equal(news(&a_told), "+t-0 t-1 t-2;");
    struct consumer *b = open_member(&b_told, ASSIGN_RANGE);
    poll_now(b);
    assert_string_equal(news(&b_told), ""); /* a has not come yet */
    settle(a, b);
    const char *of_a = news(&a_told);
    bool a_first = strcmp(of_a, "-t-0 t-1 t-2;+t-0 t-1;") == 0; /* member ids are random */
    assert_true(a_first || strcmp(of_a, "-t-0 t-1 t-2;+t-2;") == 0);
    assert_string_equal(news(&b_told), a_first ? "+t-2;" : "+t-0 t-1;");
    consumer_close(b);
    settle(a, NULL);
    assert_string_equal(news(&a_told), a_first ? "-t-0 t-1;+t-0 t-1 t-2;" : "-t-2;+t-0 t-1 t-2;");
    consumer_close(a);
    assert_string_equal(news(&a_told), "-t-0 t-1 t-2;");
}

static void test_cooperative_members_keep_what_stays(void **state)
{
    (void)state;
    struct told a_told = {0}, b_told = {0};
    fixture_topic(log_, "t", 4, NULL);
    for (int32_t p = 0; p < 4; p++)
        put("t", p, p, 1);
    struct consumer *a = open_member(&a_told, ASSIGN_COOPERATIVE_STICKY);
    poll_now(a);
    assert_string_equal(news(&a_told), "+t-0 t-1 t-2 t-3;");
    struct consumer *b = open_member(&b_told, ASSIGN_COOPERATIVE_STICKY);
    poll_now(b);
    /* the rebalance runs, a reads on */
    assert_string_equal(poll_now(a), "1");
    for (int i = 0; i < 4; i++)
        poll_now(a);
    settle(a, b);
    assert_string_equal(news(&a_told), "-t-2 t-3;");
    assert_string_equal(news(&b_told), "+t-2 t-3;");
    struct group_member a_member, b_member;
    consumer_member(a, &a_member);
    consumer_member(b, &b_member);
    assert_int_equal(a_member.generation, 3); /* b came; t-2 and t-3 moved */
    assert_int_equal(b_member.generation, 3);
    consumer_close(a);
    settle(b, NULL);
    assert_string_equal(news(&b_told), "+t-0 t-1;");
    consumer_close(b);
}

static void test_sticky_keeps_through_an_eager_rebalance(void **state)
{
    (void)state;
    struct told a_told = {0}, b_told = {0}, d_told = {0};
    fixture_topic(log_, "t", 6, NULL);
    struct consumer *a = open_member(&a_told, ASSIGN_STICKY);
    poll_now(a);
    struct consumer *b = open_member(&b_told, ASSIGN_STICKY);
    settle(a, b);
    news(&a_told);
    news(&b_told);
    const struct topic_partition *had, *has;
    size_t count;
    consumer_assignment(a, &had, &count);
    assert_int_equal(count, 3);
    int32_t first[3] = {had[0].partition, had[1].partition, had[2].partition};
    struct consumer *d = open_member(&d_told, ASSIGN_STICKY);
    for (int i = 0; i < 8; i++) {
        poll_now(a);
        poll_now(b);
        poll_now(d);
    }
    consumer_assignment(a, &has, &count);
    assert_int_equal(count, 2);
    for (size_t i = 0; i < count; i++)
        assert_true(has[i].partition == first[0] || has[i].partition == first[1] ||
                    has[i].partition == first[2]);
    consumer_assignment(d, &has, &count);
    assert_int_equal(count, 2);
    consumer_close(a);
    consumer_close(b);
    consumer_close(d);
}

static void test_revoked_is_the_last_chance_to_commit(void **state)
{
    (void)state;
    for (int round = 0; round < 2; round++) {
        struct told a_told = {.commits = true}, b_told = {.commits = true};
        enum assignor assignor = round == 0 ? ASSIGN_RANGE : ASSIGN_COOPERATIVE_STICKY;
        struct consumer_options options = options_of(&a_told, assignor);
        char group[8];
        snprintf(group, sizeof group, "g%d", round);
        if (round == 0)
            fixture_topic(log_, "t", 2, NULL);
        options.group = group;
        put("t", 0, 1, 3);
        put("t", 1, 1, 3);
        struct consumer *a = open_with(&options);
        assert_string_not_equal(poll_now(a), "");
        assert_string_not_equal(poll_now(a), "");
        options.context = &b_told;
        struct consumer *b = open_with(&options);
        for (int i = 0; i < 8; i++) { /* nothing is read twice */
            assert_string_equal(poll_now(b), "");
            assert_string_equal(poll_now(a), "");
        }
        assert_int_equal(a_told.commit_code, 0);
        consumer_close(a);
        consumer_close(b);
    }
}

static void test_member_that_does_not_poll_loses_its_partitions(void **state)
{
    (void)state;
    struct told a_told = {0}, b_told = {0};
    fixture_topic(log_, "t", 2, NULL);
    put("t", 0, 1, 1);
    put("t", 1, 2, 1);
    struct consumer *a = open_member(&a_told, ASSIGN_COOPERATIVE_STICKY);
    struct consumer *b = open_member(&b_told, ASSIGN_COOPERATIVE_STICKY);
    settle(a, b);
    news(&a_told);
    news(&b_told);
    for (int i = 0; i < 16; i++) { /* a is dead for 48 s */
        now += 3000;
        poll_now(b);
    }
    const struct topic_partition *partitions;
    size_t count;
    consumer_assignment(b, &partitions, &count);
    assert_int_equal(count, 2);
    /* and finds out when it is back */
    assert_int_equal(consumer_commit(a, NULL, 0, NULL), ERR_MEMBER);
    poll_now(a);
    const char *told = news(&a_told);
    assert_true(told[0] == '!');
    assert_int_equal(a_told.commit_code, ERR_MEMBER);
    settle(a, b);
    consumer_assignment(a, &partitions, &count);
    assert_int_equal(count, 1);
    consumer_close(a);
    consumer_close(b);
}

static void test_commits_of_an_old_generation_are_refused(void **state)
{
    (void)state;
    struct told a_told = {0}, b_told = {0};
    fixture_topic(log_, "t", 2, NULL);
    struct consumer *a = open_member(&a_told, ASSIGN_RANGE);
    struct group_offset offset = {.topic = "t", .partition = 0, .offset = 7};
    assert_int_equal(consumer_commit(a, &offset, 1, NULL), ERR_MEMBER); /* not joined yet */
    poll_now(a);
    struct group_member old;
    consumer_member(a, &old);
    char id[200];
    snprintf(id, sizeof id, "%s", old.member_id);
    old.member_id = id;
    assert_int_equal(group_commit_member(log_, "g", &old, &offset, 1, NULL), 0);
    assert_int_equal(group_commit(log_, "g", &offset, 1, NULL), ERR_MEMBER); /* standalone */
    struct consumer *b = open_member(&b_told, ASSIGN_RANGE);
    settle(a, b);
    offset.offset = 3;
    assert_int_equal(group_commit_member(log_, "g", &old, &offset, 1, NULL), ERR_MEMBER);
    struct producer *producer;
    assert_int_equal(producer_open(log_, "p", &producer, NULL), 0);
    assert_int_equal(txn_begin(producer, NULL), 0);
    assert_int_equal(txn_add_offsets_member(producer, "g", &old, &offset, 1, NULL), ERR_MEMBER);
    consumer_member(a, &old);
    offset.offset = 8;
    assert_int_equal(txn_add_offsets_member(producer, "g", &old, &offset, 1, NULL), 0);
    assert_int_equal(txn_commit(producer, NULL), 0);
    producer_close(producer);
    assert_int_equal(group_fetch(log_, "g", "t", 0, &offset), 0);
    assert_int_equal(offset.offset, 8);
    consumer_close(a);
    consumer_close(b);
    assert_int_equal(group_commit(log_, "g", &offset, 1, NULL), 0);
}

/* Consume, transform, produce: the heir waits for the last transaction, and does nothing twice. */
static void test_heir_waits_for_an_open_transaction(void **state)
{
    (void)state;
    struct told a_told = {0}, b_told = {0};
    struct producer *producer;
    struct group_member member;
    int64_t position;
    fixture_topic(log_, "t", 1, NULL);
    put("t", 0, 1, 3);
    struct consumer *a = open_member(&a_told, ASSIGN_RANGE);
    assert_string_equal(poll_now(a), "1,2,3");
    consumer_member(a, &member);
    struct group_offset offset = {.topic = "t", .partition = 0, .offset = 2};
    assert_int_equal(producer_open(log_, "p", &producer, NULL), 0);
    assert_int_equal(txn_begin(producer, NULL), 0);
    assert_int_equal(txn_add_offsets_member(producer, "g", &member, &offset, 1, NULL), 0);
    consumer_close(a);
    struct consumer *b = open_member(&b_told, ASSIGN_RANGE);
    assert_string_equal(poll_now(b), "");
    assert_string_equal(news(&b_told), "+t-0;");
    assert_int_equal(consumer_position(b, "t", 0, &position, NULL), ERR_BUSY);
    assert_int_equal(txn_commit(producer, NULL), 0);
    assert_string_equal(poll_now(b), "3");
    assert_int_equal(txn_begin(producer, NULL), 0); /* one that is aborted counts for nothing */
    consumer_member(b, &member);
    offset.offset = 3;
    assert_int_equal(txn_add_offsets_member(producer, "g", &member, &offset, 1, NULL), 0);
    consumer_close(b);
    b = open_member(&b_told, ASSIGN_RANGE);
    assert_string_equal(poll_now(b), "");
    assert_int_equal(txn_abort(producer, NULL), 0);
    assert_string_equal(poll_now(b), "3");
    consumer_close(b);
    producer_close(producer);
}

static void test_static_member_comes_back(void **state)
{
    (void)state;
    struct told a_told = {0}, b_told = {0};
    fixture_topic(log_, "t", 2, NULL);
    struct consumer_options options = options_of(&a_told, ASSIGN_RANGE);
    options.instance_id = "one";
    struct consumer *a = open_with(&options);
    options.context = &b_told;
    options.instance_id = "two";
    struct consumer *b = open_with(&options);
    settle(a, b);
    news(&a_told);
    assert_string_equal(news(&b_told), "+t-1;");
    consumer_close(b); /* does not leave */
    settle(a, NULL);
    b = open_with(&options);
    poll_now(b);
    assert_string_equal(news(&b_told), "-t-1;+t-1;");
    settle(a, b);
    assert_string_equal(news(&a_told), ""); /* no rebalance */
    struct told other_told = {0};
    options.context = &other_told;
    struct consumer *other = open_with(&options);
    poll_now(other);
    assert_string_equal(news(&other_told), "+t-1;");
    assert_string_equal(poll_now(b), error_text(ERR_FENCED));
    assert_string_equal(news(&b_told), "!t-1;");
    assert_string_equal(poll_now(b), error_text(ERR_FENCED));
    consumer_close(a);
    consumer_close(b);
    consumer_close(other);
}

static void test_new_partitions_find_a_reader(void **state)
{
    (void)state;
    struct told a_told = {0}, lone_told = {0};
    fixture_topic(log_, "t", 1, NULL);
    struct consumer *a = open_member(&a_told, ASSIGN_RANGE);
    struct consumer_options options = options_of(&lone_told, ASSIGN_NONE);
    options.group = NULL;
    options.reset = RESET_LATEST;
    struct consumer *lone = open_with(&options);
    settle(a, lone);
    news(&a_told);
    news(&lone_told);
    assert_int_equal(topic_grow(log_, "t", 2, NULL), 0);
    put("t", 1, 5, 1);
    now += 3000; /* the next heartbeat looks */
    assert_string_equal(poll_now(a), "5");
    assert_string_equal(news(&a_told), "-t-0;+t-0 t-1;");
    assert_string_equal(poll_now(lone), "5"); /* what came before it was noticed counts as new */
    assert_string_equal(news(&lone_told), "+t-1;");
    consumer_close(a);
    consumer_close(lone);
}

static void test_deleted_topic(void **state)
{
    (void)state;
    struct told told = {0};
    fixture_topic(log_, "t", 1, NULL);
    fixture_topic(log_, "u", 1, NULL);
    static const char *const topics[] = {"u", "t", "t"};
    struct consumer_options options = options_of(&told, ASSIGN_COOPERATIVE_STICKY);
    options.topics = topics;
    options.topic_count = 3;
    put("t", 0, 1, 1);
    put("u", 0, 2, 1);
    struct consumer *consumer = open_with(&options);
    assert_string_equal(poll_now(consumer), "1");
    assert_string_equal(poll_now(consumer), "2");
    assert_int_equal(topic_delete(log_, "t", NULL), 0);
    assert_int_equal(consumer_commit(consumer, NULL, 0, NULL), 0); /* what is left */
    assert_string_equal(poll_now(consumer), error_text(ERR_NOT_FOUND));
    assert_string_equal(poll_now(consumer), "");
    now += 3000;
    settle(consumer, NULL);
    assert_string_equal(news(&told), "+t-0 u-0;-t-0;");
    consumer_close(consumer);
}

static void test_no_common_assignor(void **state)
{
    (void)state;
    struct told a_told = {0}, b_told = {0};
    fixture_topic(log_, "t", 2, NULL);
    struct consumer *a = open_member(&a_told, ASSIGN_RANGE);
    settle(a, NULL);
    struct consumer *b = open_member(&b_told, ASSIGN_STICKY);
    assert_string_equal(poll_now(b), error_text(ERR_INVALID));
    consumer_close(a);
    assert_string_equal(poll_now(b), ""); /* asks again */
    assert_string_equal(news(&b_told), "+t-0 t-1;");
    consumer_close(b);
}

static void test_positions_and_generation_survive_reopening(void **state)
{
    (void)state;
    struct told told = {0};
    fixture_topic(log_, "t", 1, NULL);
    put("t", 0, 1, 3);
    struct consumer *consumer = open_member(&told, ASSIGN_RANGE);
    assert_string_equal(poll_now(consumer), "1,2,3");
    assert_int_equal(consumer_commit(consumer, NULL, 0, NULL), 0);
    consumer_close(consumer);
    reopen();
    put("t", 0, 4, 1);
    consumer = open_member(&told, ASSIGN_RANGE);
    assert_string_equal(poll_now(consumer), "4");
    struct group_member member;
    consumer_member(consumer, &member);
    assert_int_equal(member.generation, 3); /* 1, then 2 when it became empty */
    consumer_close(consumer);
}

static void poll_inside(void *context, struct consumer *consumer,
                        const struct topic_partition *partitions, size_t count)
{
    const struct consumer_record *records;
    (void)partitions;
    (void)count;
    *(int *)context = (int)consumer_poll(consumer, 0, &records, NULL);
}

static void test_callbacks_must_not_poll(void **state)
{
    (void)state;
    int code = 0;
    fixture_topic(log_, "t", 1, NULL);
    struct consumer_options options = options_of(NULL, ASSIGN_RANGE);
    options.assigned = poll_inside;
    options.revoked = NULL;
    options.context = &code;
    struct consumer *consumer = open_with(&options);
    poll_now(consumer);
    assert_int_equal(code, ERR_STATE);
    consumer_close(consumer);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_lone_reader),
        CASE(test_options_are_checked),
        CASE(test_positions),
        CASE(test_reset_policies),
        CASE(test_isolation),
        CASE(test_many_small_compressed_batches),
        CASE(test_poll_waits_for_records_and_for_wake),
        CASE(test_eager_members_share),
        CASE(test_cooperative_members_keep_what_stays),
        CASE(test_sticky_keeps_through_an_eager_rebalance),
        CASE(test_revoked_is_the_last_chance_to_commit),
        CASE(test_member_that_does_not_poll_loses_its_partitions),
        CASE(test_commits_of_an_old_generation_are_refused),
        CASE(test_heir_waits_for_an_open_transaction),
        CASE(test_static_member_comes_back),
        CASE(test_new_partitions_find_a_reader),
        CASE(test_deleted_topic),
        CASE(test_no_common_assignor),
        CASE(test_positions_and_generation_survive_reopening),
        CASE(test_callbacks_must_not_poll),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
