/* test_altered_topics.c: an app that finds one of its topics with more partitions than before, or with its end cut off.
 *
 * Keys move when a topic grows, so state and rows that lie where the old count put them would be wrong.
 * Either the results are right all the same (compared with counts made here, from the rows that were
 * sent), or the app refuses to start and says what to do; from_beginning then gives right results. */
#include "log/log.h"
#include "tests/support/job.h"
#include "tests/support/scratch_dir.h"
#include "tests/support/topic_rows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { USERS = 23, ROWS = 300 };

struct world {
    char *dir;
    int64_t sent[USERS]; /* the truth */
};

static void world_open(struct world *world, int32_t partitions, const char *partitioned_by)
{
    struct config_entry promise = {"weir.partitioned.by", partitioned_by};
    *world = (struct world){.dir = scratch_dir_create()};
    struct log *log = topic_log_open(world->dir);
    assert_int_equal(
        topic_create(log, "events", partitions, &promise, partitioned_by != NULL, NULL), 0);
    log_close(log);
}

static void send_rows(struct world *world)
{
    struct log *log = topic_log_open(world->dir);
    struct sender *sender;
    assert_int_equal(sender_open(log, "events", NULL, &sender, NULL), 0);
    for (int i = 0; i < ROWS; i++) {
        char key[16], value[64];
        int user = i * 7 % USERS;
        snprintf(key, sizeof key, "u%d", user);
        snprintf(value, sizeof value, "{\"user\":\"%s\",\"ts\":%d}", key, i);
        world->sent[user]++;
        assert_int_equal(sender_send(sender, -1, 1000, bytes_text(key), bytes_text(value),
                                     bytes_of(NULL, 0), 0, NULL),
                         0);
    }
    assert_int_equal(sender_flush(sender, true, NULL), 0);
    sender_close(sender);
    log_close(log);
}

static void grow(struct world *world, const char *topic, int32_t partitions)
{
    struct log *log = topic_log_open(world->dir);
    assert_int_equal(topic_grow(log, topic, partitions, NULL), 0);
    log_close(log);
}

static int run(const struct world *world, const struct job *job, bool from_beginning, char *error)
{
    weir_options options = {
        .data = world->dir, .until_end = true, .from_beginning = from_beginning};
    return job_run(job, &options, NULL, error, 512);
}

/* A table must hold each key once, in one partition, with the true count. */
static void assert_counts(const struct world *world, const char *topic)
{
    struct log *log = topic_log_open(world->dir);
    struct topic_rows rows;
    struct topic_info info;
    int64_t counted[USERS] = {0};
    assert_int_equal(topic_describe(log, topic, &info, NULL), 0);
    for (int32_t p = 0; p < info.partitions; p++) {
        int64_t next;
        topic_rows_init(&rows);
        topic_rows_read_partition(log, topic, p, 0, READ_COMMITTED, &rows, &next);
        topic_rows_latest(&rows); /* of this partition alone, as a reader of it would see */
        for (size_t i = 0; i < rows.count; i++) {
            char text[128] = {0};
            int user;
            long long n;
            memcpy(text, rows.items[i].value.data,
                   rows.items[i].value.size < 127 ? rows.items[i].value.size : 127);
            assert_int_equal(sscanf(text, "{\"user\":\"u%d\",\"n\":%lld", &user, &n), 2);
            assert_int_equal(counted[user], 0); /* not in another partition too */
            counted[user] = n;
        }
        topic_rows_deinit(&rows);
    }
    for (int u = 0; u < USERS; u++)
        assert_int_equal(counted[u], world->sent[u]);
    log_close(log);
}

static struct job counting(void)
{
    struct job job = {.app = "app"};
    job_add(&job, JOB_SOURCE, "events", "ts", 0);
    job_add(&job, JOB_GROUP, "\"user\"", NULL, 0);
    job_add(&job, JOB_AGGREGATE, "count(*) AS n", NULL, 0);
    job_add(&job, JOB_TO, "counts", NULL, 0);
    return job;
}

static void delete_topic(const struct world *world, const char *topic)
{
    struct log *log = topic_log_open(world->dir);
    assert_int_equal(topic_delete(log, topic, NULL), 0);
    log_close(log);
}

/* in_the_way: a topic to delete before, NULL: none. */
static void refused_then_right_from_the_beginning(struct world *world, const struct job *job,
                                                  const char *table, const char *in_the_way)
{
    char error[512];
    for (int i = 0; i < 2; i++) { /* it stays refused, and nothing is spoilt by trying */
        assert_int_equal(run(world, job, false, error), WEIR_ESTATE);
        if (strstr(error, "from_beginning") == NULL)
            fail_msg("%s", error);
    }
    if (in_the_way != NULL)
        delete_topic(world, in_the_way);
    int rc = run(world, job, true, error);
    if (rc < 0)
        fail_msg("%s", error);
    assert_counts(world, table);
}

static void source_grows(int32_t partitions, const char *partitioned_by)
{
    struct world world;
    struct job job = counting();
    char error[512];
    world_open(&world, partitions, partitioned_by);
    send_rows(&world);
    assert_int_equal(run(&world, &job, false, error), 0);
    assert_counts(&world, "counts");
    grow(&world, "events", 4);
    send_rows(&world);
    refused_then_right_from_the_beginning(&world, &job, "counts", NULL);
    send_rows(&world);
    assert_int_equal(run(&world, &job, false, error), 0);
    assert_counts(&world, "counts");
    scratch_dir_remove(world.dir);
}

static void test_source_of_a_rekeyed_aggregate(void **state)
{
    (void)state;
    source_grows(2, NULL);
}

static void test_source_with_one_partition(void **state)
{
    (void)state;
    source_grows(1, NULL);
}

static void test_source_that_was_partitioned_by_the_group(void **state)
{
    (void)state;
    source_grows(2, "user");
}

/* Without state nothing depends on where a row lies: it goes on. */
static void test_source_of_a_filter(void **state)
{
    (void)state;
    struct world world;
    struct job job = {.app = "app"};
    char error[512];
    job_add(&job, JOB_SOURCE, "events", "ts", 0);
    job_add(&job, JOB_FILTER, "ts >= 0", NULL, 0);
    job_add(&job, JOB_TO, "kept", NULL, 0);
    world_open(&world, 2, NULL);
    send_rows(&world);
    assert_int_equal(run(&world, &job, false, error), 0);
    grow(&world, "events", 4);
    send_rows(&world);
    assert_int_equal(run(&world, &job, false, error), 0);
    grow(&world, "kept", 3);
    send_rows(&world);
    assert_int_equal(run(&world, &job, false, error), 0);
    struct log *log = topic_log_open(world.dir);
    struct topic_rows rows;
    int64_t seen[USERS] = {0};
    topic_rows_init(&rows);
    topic_rows_read(log, "kept", READ_COMMITTED, &rows);
    assert_int_equal(rows.count, 3 * ROWS);
    for (size_t i = 0; i < rows.count; i++) {
        char key[16] = {0};
        assert_true(rows.items[i].key.size < sizeof key);
        memcpy(key, rows.items[i].key.data, rows.items[i].key.size);
        seen[atoi(key + 1)]++;
    }
    assert_memory_equal(seen, world.sent, sizeof seen);
    topic_rows_deinit(&rows);
    log_close(log);
    scratch_dir_remove(world.dir);
}

/* The old rows of a key would stay in the partition that it had. */
static void test_output_of_an_aggregate(void **state)
{
    (void)state;
    struct world world;
    struct job job = counting();
    char error[512];
    world_open(&world, 2, NULL);
    send_rows(&world);
    assert_int_equal(run(&world, &job, false, error), 0);
    grow(&world, "counts", 5);
    send_rows(&world);
    refused_then_right_from_the_beginning(&world, &job, "counts", "counts");
    scratch_dir_remove(world.dir);
}

/* A stage's output that the next stage reads. */
static void test_topic_between_two_stages(void **state)
{
    (void)state;
    struct world world;
    struct job job = {.app = "app"};
    char error[512];
    job_add(&job, JOB_SOURCE, "events", "ts", 0);
    job_add(&job, JOB_FILTER, "ts >= 0", NULL, 0);
    job_add(&job, JOB_TO, "kept", NULL, 0);
    job_add(&job, JOB_SOURCE, "kept", "ts", 0);
    job_add(&job, JOB_GROUP, "\"user\"", NULL, 0);
    job_add(&job, JOB_AGGREGATE, "count(*) AS n", NULL, 0);
    job_add(&job, JOB_TO, "counts", NULL, 0);
    world_open(&world, 2, NULL);
    send_rows(&world);
    assert_int_equal(run(&world, &job, false, error), 0);
    assert_counts(&world, "counts");
    grow(&world, "kept", 3);
    send_rows(&world);
    /* what was filtered already would be filtered a second time into the same topic */
    refused_then_right_from_the_beginning(&world, &job, "counts", "kept");
    scratch_dir_remove(world.dir);
}

static void truncate_topic(const struct world *world, const char *topic, int32_t partitions)
{
    struct log *log = topic_log_open(world->dir);
    for (int32_t p = 0; p < partitions; p++) {
        struct partition *partition;
        struct truncation truncation;
        assert_int_equal(partition_get(log, topic, p, &partition, NULL), 0);
        assert_int_equal(partition_truncate(partition, 0, true, &truncation, NULL), 0);
    }
    log_close(log);
}

/* What the app has read, or what its stores are made of, is gone: it says so, and can start anew. */
static void cut_off(const char *topic)
{
    struct world world;
    struct job job = counting();
    char error[512];
    world_open(&world, 2, NULL);
    send_rows(&world);
    assert_int_equal(run(&world, &job, false, error), 0);
    truncate_topic(&world, topic, 2);
    if (strcmp(topic, "events") == 0)
        memset(world.sent, 0, sizeof world.sent);
    for (int i = 0; i < 2; i++) {
        assert_true(run(&world, &job, false, error) < 0);
        if (strstr(error, "from_beginning") == NULL)
            fail_msg("%s", error);
    }
    delete_topic(&world, "counts");
    send_rows(&world);
    int rc = run(&world, &job, true, error);
    if (rc < 0)
        fail_msg("%s", error);
    assert_counts(&world, "counts");
    scratch_dir_remove(world.dir);
}

static void test_source_is_cut_off(void **state)
{
    (void)state;
    cut_off("events");
}

static void test_changelog_is_cut_off(void **state)
{
    (void)state;
    cut_off("app-counts-changelog");
}

int main(void)
{
    scratch_dir_in_memory();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_source_of_a_rekeyed_aggregate),
        cmocka_unit_test(test_source_with_one_partition),
        cmocka_unit_test(test_source_that_was_partitioned_by_the_group),
        cmocka_unit_test(test_source_of_a_filter),
        cmocka_unit_test(test_output_of_an_aggregate),
        cmocka_unit_test(test_topic_between_two_stages),
        cmocka_unit_test(test_source_is_cut_off),
        cmocka_unit_test(test_changelog_is_cut_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
