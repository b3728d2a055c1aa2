/* test_weir_log.c: the log through weir.h alone: opening and closing, topics, producers. What
 * records become is read back with the log's own reader, which has tests of its own (unit/log). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/io.h"
#include "tests/support/scratch_dir.h"
#include "tests/support/weir_fixture.h"

static char *directory;
static weir_log *opened;

static int setup(void **state)
{
    (void)state;
    directory = scratch_dir_create();
    opened = weir_fixture_open(directory);
    return weir_topic_create(opened, "events", 3, NULL, 0);
}

static int teardown(void **state)
{
    (void)state;
    int rc = weir_log_close(opened);
    if (rc < 0)
        fprintf(stderr, "%s\n", weir_log_error());
    opened = NULL;
    scratch_dir_remove(directory);
    return rc;
}

static weir_partition_info describe(const char *topic, int32_t partition)
{
    return weir_fixture_partition(opened, topic, partition);
}

static int64_t records_in(const char *topic, int32_t partitions)
{
    int64_t sum = 0;
    for (int32_t p = 0; p < partitions; p++)
        sum += describe(topic, p).high_watermark;
    return sum;
}

static weir_producer *open_producer(const weir_producer_options *options)
{
    return weir_fixture_producer(opened, options);
}

/* ---- opening and closing ---- */

static void opening_takes_the_directory(void **state)
{
    (void)state;
    weir_log *second = opened;
    assert_int_equal(weir_log_open(directory, NULL, &second), WEIR_EBUSY);
    assert_null(second);
    assert_says(weir_log_error(), "this process");
    pid_t child = fork();
    if (child == 0) {
        char other[32];
        int rc = weir_log_open(directory, NULL, &second);
        snprintf(other, sizeof other, "%ld", (long)getppid());
        _exit(rc == WEIR_EBUSY && strstr(weir_log_error(), other) != NULL ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(weir_log_status(opened), 0);
}

static void a_log_with_open_handles_is_not_closed(void **state)
{
    (void)state;
    weir_producer *producer = open_producer(NULL);
    assert_int_equal(weir_log_close(opened), WEIR_EBUSY);
    assert_says(weir_log_error(), "producers: 1");
    assert_int_equal(send_text(producer, "events", "k", "v"), 0);
    assert_int_equal(weir_flush(producer, -1), 0);
    assert_int_equal(weir_producer_close(producer), 0);
}

static void what_cannot_be_opened(void **state)
{
    (void)state;
    weir_log *log = opened;
    char *missing = scratch_path(directory, "missing");
    assert_int_equal(weir_log_open(missing, &(weir_log_options){.must_exist = true}, &log),
                     WEIR_ENOTFOUND);
    assert_null(log);
    assert_says(weir_log_error(), missing);
    assert_int_equal(weir_log_open(missing, &(weir_log_options){.segment_ms = -1}, &log),
                     WEIR_EINVALID);
    assert_int_equal(weir_log_open(missing, &(weir_log_options){.reserved = {0, 1}}, &log),
                     WEIR_EINVALID);
    assert_says(weir_log_error(), "newer");
    assert_int_equal(access(missing, F_OK), -1);
    free(missing);
}

static void null_is_an_answer_and_no_crash(void **state)
{
    (void)state;
    weir_log *log;
    weir_topic_info *topics;
    weir_config_value *values;
    weir_partition_info info;
    char text[8];
    size_t count;
    int64_t offset;
    assert_int_equal(weir_log_open(NULL, NULL, &log), WEIR_EINVALID);
    assert_int_equal(weir_log_open(directory, NULL, NULL), WEIR_EINVALID);
    assert_int_equal(weir_log_close(NULL), 0);
    assert_int_equal(weir_log_status(NULL), WEIR_EINVALID);
    assert_int_equal(weir_log_clean(NULL, NULL, NULL), WEIR_EINVALID);
    assert_int_equal(weir_topic_create(NULL, "t", 1, NULL, 0), WEIR_EINVALID);
    assert_int_equal(weir_topic_create(opened, NULL, 1, NULL, 0), WEIR_EINVALID);
    assert_int_equal(weir_topic_create(opened, "t", 1, NULL, 1), WEIR_EINVALID);
    assert_int_equal(weir_topic_create(opened, "t", 1, &(weir_config){NULL, NULL}, 1),
                     WEIR_EINVALID);
    assert_int_equal(weir_topic_alter(opened, NULL, NULL, 0), WEIR_EINVALID);
    assert_int_equal(weir_topic_grow(opened, NULL, 4), WEIR_EINVALID);
    assert_int_equal(weir_topic_delete(opened, NULL), WEIR_EINVALID);
    assert_int_equal(weir_topic_describe(NULL, "events", NULL), WEIR_EINVALID);
    assert_int_equal(weir_topic_describe(opened, "events", NULL), 0);
    assert_int_equal(weir_topic_list(opened, NULL, &count), WEIR_EINVALID);
    assert_int_equal(weir_topic_list(opened, &topics, NULL), WEIR_EINVALID);
    assert_int_equal(weir_topic_config(opened, "events", NULL, text, sizeof text), WEIR_EINVALID);
    assert_int_equal(weir_topic_config(opened, "events", "retention.ms", NULL, 0), WEIR_EINVALID);
    assert_int_equal(weir_topic_configs(opened, NULL, &values, &count), WEIR_EINVALID);
    assert_int_equal(weir_partition_describe(opened, NULL, 0, &info), WEIR_EINVALID);
    assert_int_equal(weir_partition_describe(opened, "events", 0, NULL), WEIR_EINVALID);
    assert_int_equal(weir_offset_at(opened, NULL, 0, 0, &offset), WEIR_EINVALID);
    assert_int_equal(weir_delete_records(opened, NULL, 0, 0), WEIR_EINVALID);
    assert_int_equal(weir_producer_open(NULL, NULL, NULL), WEIR_EINVALID);
    assert_int_equal(weir_producer_close(NULL), 0);
    assert_int_equal(weir_send(NULL, NULL), WEIR_EINVALID);
    assert_int_equal(weir_send_to(NULL, 0, NULL), WEIR_EINVALID);
    assert_int_equal(weir_flush(NULL, 0), WEIR_EINVALID);
    assert_int_equal(weir_txn_begin(NULL), WEIR_EINVALID);
    assert_int_equal(weir_txn_commit(NULL), WEIR_EINVALID);
    assert_int_equal(weir_txn_abort(NULL), WEIR_EINVALID);
    assert_int_equal(weir_txn_group_offsets(NULL, "g", NULL, 0), WEIR_EINVALID);
    assert_non_null(weir_producer_error(NULL));
    weir_free(NULL);
}

static void a_log_that_is_only_read(void **state)
{
    (void)state;
    weir_producer *producer = open_producer(NULL);
    assert_int_equal(send_text(producer, "events", "kafka", "v"), 0);
    assert_int_equal(weir_producer_close(producer), 0);
    assert_int_equal(weir_log_close(opened), 0);
    opened = NULL;
    weir_log_options options = {.read_only = true};
    assert_works(weir_log_open(directory, &options, &opened), weir_log_error());
    assert_int_equal(weir_log_status(opened), WEIR_EREADONLY);
    assert_string_equal(weir_fixture_values(opened, "events", 1, WEIR_READ_COMMITTED), "v");
    assert_int_equal(weir_producer_open(opened, NULL, &producer), WEIR_EREADONLY);
    assert_int_equal(weir_topic_create(opened, "t", 1, NULL, 0), WEIR_EREADONLY);
    assert_int_equal(weir_delete_records(opened, "events", 1, -1), WEIR_EREADONLY);
    assert_true(strlen(weir_log_error()) > 0);
}

/* ---- apps on an open log ---- */

static weir_app *counting_app(weir_log *log)
{
    weir_app *app = weir_app_open("counter", &(weir_options){.log = log, .until_end = true});
    weir_stream *rows = weir_group_by(weir_source(app, "events", WEIR_JSON, NULL), "k");
    weir_to(weir_aggregate(rows, "count(*) AS n"), "counts");
    return app;
}

struct in_run {
    int inner_rc, progress_calls;
};

/* Called from inside a run: the same app once more would open the same stores twice. */
static void run_again(void *context, const struct weir_progress *progress)
{
    struct in_run *in_run = context;
    (void)progress;
    if (in_run->progress_calls++ > 0)
        return;
    weir_app *twin = counting_app(opened);
    in_run->inner_rc = weir_app_run(twin);
    weir_app_close(twin);
}

static void an_app_runs_on_an_open_log(void **state)
{
    (void)state;
    weir_producer *producer = open_producer(NULL);
    for (int i = 0; i < 30; i++)
        assert_int_equal(send_text(producer, "events", NULL, "{\"k\":1}"), 0);
    assert_int_equal(weir_flush(producer, -1), 0);

    struct in_run in_run = {0};
    weir_app *app = weir_app_open("counter", &(weir_options){.log = opened,
                                                             .until_end = true,
                                                             .progress = run_again,
                                                             .progress_context = &in_run});
    weir_stream *rows = weir_group_by(weir_source(app, "events", WEIR_JSON, NULL), "k");
    weir_to(weir_aggregate(rows, "count(*) AS n"), "counts");
    if (weir_app_run(app) < 0)
        fail_msg("%s", weir_app_error(app));
    assert_int_equal(in_run.inner_rc, WEIR_EBUSY);
    assert_true(records_in("counts", 3) > 0);

    assert_int_equal(send_text(producer, "events", NULL, "{\"k\":1}"),
                     0); /* the log is still open */
    assert_int_equal(weir_flush(producer, -1), 0);
    weir_progress progress;
    assert_int_equal(weir_app_run(app), 0);
    weir_app_progress(app, &progress);
    assert_int_equal(progress.rows_in, 1);
    assert_int_equal(weir_producer_close(producer), 0);
    assert_int_equal(weir_log_close(opened), WEIR_EBUSY);
    assert_says(weir_log_error(), "apps: 1");
    weir_app_close(app);

    app = weir_app_open("counter", &(weir_options){.log = opened, .data = directory});
    assert_int_equal(weir_app_run(app), WEIR_EINVALID);
    weir_app_close(app);
    app = weir_app_open("counter", &(weir_options){.data = directory, .until_end = true});
    weir_to(weir_source(app, "events", WEIR_JSON, NULL), "copies");
    assert_int_equal(weir_app_run(app), WEIR_EBUSY);
    assert_says(weir_app_error(app), "weir_options.log");
    weir_app_close(app);
}

/* ---- texts ---- */

static void *fail_in_a_thread(void *context)
{
    (void)context;
    assert_string_equal(weir_log_error(), "");
    assert_int_equal(weir_topic_describe(opened, "elsewhere", NULL), WEIR_ENOTFOUND);
    assert_says(weir_log_error(), "elsewhere");
    return NULL;
}

static void a_text_belongs_to_its_thread(void **state)
{
    (void)state;
    pthread_t thread;
    assert_int_equal(weir_topic_describe(opened, "here", NULL), WEIR_ENOTFOUND);
    assert_int_equal(pthread_create(&thread, NULL, fail_in_a_thread, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_says(weir_log_error(), "here");
}

/* ---- topics ---- */

static void topics_are_made_described_altered_grown_and_deleted(void **state)
{
    (void)state;
    weir_topic_info info, *topics;
    size_t count;
    weir_config config[] = {{"cleanup.policy", "compact"}, {"segment.bytes", "1048576"}};
    assert_int_equal(weir_topic_create(opened, "prices", 2, config, 2), 0);
    assert_int_equal(weir_topic_create(opened, "prices", 2, NULL, 0), WEIR_EEXISTS);
    assert_int_equal(weir_topic_create(opened, "a/b", 2, NULL, 0), WEIR_EINVALID);
    assert_int_equal(weir_topic_create(opened, "none", 0, NULL, 0), WEIR_EINVALID);
    assert_int_equal(weir_topic_create(opened, "none", 1, &(weir_config){"retention.msec", "1"}, 1),
                     WEIR_EINVALID);
    assert_says(weir_log_error(), "retention.ms");
    assert_int_equal(weir_topic_describe(opened, "prices", &info), 0);
    assert_string_equal(info.name, "prices");
    assert_int_equal(strlen(info.id), 22);
    assert_int_equal(info.partitions, 2);
    assert_int_equal(weir_topic_describe(opened, "price", &info), WEIR_ENOTFOUND);
    assert_says(weir_log_error(), "prices");
    assert_int_equal(info.partitions, 0);

    assert_int_equal(weir_topic_list(opened, &topics, &count), 0);
    assert_int_equal(count, 2);
    assert_string_equal(topics[0].name, "events");
    assert_string_equal(topics[1].name, "prices");
    weir_free(topics);

    assert_int_equal(weir_topic_grow(opened, "prices", 2), WEIR_EINVALID);
    assert_int_equal(weir_topic_grow(opened, "prices", 5), 0);
    assert_int_equal(weir_topic_describe(opened, "prices", &info), 0);
    assert_int_equal(info.partitions, 5);
    assert_int_equal(weir_topic_delete(opened, "prices"), 0);
    assert_int_equal(weir_topic_delete(opened, "prices"), WEIR_ENOTFOUND);
    assert_int_equal(weir_topic_describe(opened, "prices", NULL), WEIR_ENOTFOUND);
}

static void configuration_as_text(void **state)
{
    (void)state;
    char value[32];
    weir_config_value *values;
    size_t count;
    weir_config alter = {"retention.ms", "1000"};
    assert_int_equal(weir_topic_alter(opened, "events", &alter, 1), 0);
    assert_int_equal(weir_topic_config(opened, "events", "retention.ms", value, sizeof value), 0);
    assert_string_equal(value, "1000");
    assert_int_equal(weir_topic_config(opened, "events", "retention.ms", value, 4), WEIR_ETOOLARGE);
    assert_int_equal(weir_topic_config(opened, "events", "no.such.key", value, sizeof value),
                     WEIR_ENOTFOUND);
    assert_says(weir_log_error(), "no.such.key");
    assert_int_equal(weir_topic_config(opened, "nowhere", "retention.ms", value, sizeof value),
                     WEIR_ENOTFOUND);
    assert_int_equal(weir_topic_configs(opened, "events", &values, &count), 0);
    bool found = false;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(values[i].is_set, strcmp(values[i].key, "retention.ms") == 0);
        found = found || (values[i].is_set && strcmp(values[i].value, "1000") == 0);
    }
    assert_true(found);
    weir_free(values);
    alter.value = NULL;
    assert_int_equal(weir_topic_alter(opened, "events", &alter, 1), 0);
    assert_int_equal(weir_topic_config(opened, "events", "retention.ms", value, sizeof value), 0);
    assert_string_equal(value, "604800000");
}

/* ---- producers ---- */

/* Partitions of Kafka's DefaultPartitioner (kafka-clients 3.9, murmur2): "apple" → see test_hash
 * for the function; here only that equal keys meet and that an explicit partition is obeyed. */
static void keys_choose_partitions(void **state)
{
    (void)state;
    weir_producer *producer = open_producer(NULL);
    for (int i = 0; i < 10; i++)
        assert_int_equal(send_text(producer, "events", "kafka", "v"), 0);
    assert_int_equal(weir_flush(producer, -1), 0);
    /* murmur2("kafka") = 0xd067cf64; & 0x7fffffff = 0x5067cf64 = 1348980580; mod 3 = 1 */
    assert_int_equal(describe("events", 1).high_watermark, 10);
    weir_record record = text_record("events", "kafka", "v");
    assert_int_equal(weir_send_to(producer, 2, &record), 0);
    assert_int_equal(weir_send_to(producer, 3, &record), WEIR_ERANGE);
    assert_says(weir_producer_error(producer), "0 to 2");
    assert_int_equal(weir_send_to(producer, -1, &record), WEIR_EINVALID);
    assert_int_equal(weir_flush(producer, -1), 0);
    assert_int_equal(describe("events", 2).high_watermark, 1);
    assert_int_equal(weir_producer_close(producer), 0);
}

struct seen {
    uint64_t tags[4096];
    int64_t offsets[4096];
    int32_t codes[4096], partitions[4096];
    size_t count;
    weir_producer *producer;
    int inner_rc;
};

static void note_delivery(void *context, const weir_delivery *delivery)
{
    struct seen *seen = context;
    assert_true(seen->count < 4096);
    seen->tags[seen->count] = delivery->tag;
    seen->offsets[seen->count] = delivery->offset;
    seen->codes[seen->count] = delivery->code;
    seen->partitions[seen->count++] = delivery->partition;
    if (seen->producer != NULL)
        seen->inner_rc = weir_flush(seen->producer, 0);
}

static void every_record_is_reported_once_in_order(void **state)
{
    (void)state;
    struct seen seen = {.count = 0};
    weir_producer *producer = open_producer(&(weir_producer_options){
        .delivered = note_delivery, .context = &seen, .batch_bytes = 500, .linger_ms = -1});
    for (uint64_t i = 0; i < 1000; i++) {
        weir_record record = text_record("events", NULL, "twenty bytes of value");
        record.tag = i;
        assert_int_equal(weir_send_to(producer, (int32_t)(i % 3), &record), 0);
    }
    assert_int_equal(weir_flush(producer, -1), 0);
    assert_int_equal(seen.count, 1000);
    int64_t next_offset[3] = {0};
    for (size_t i = 0; i < seen.count; i++) {
        int32_t p = seen.partitions[i];
        assert_int_equal(seen.codes[i], 0);
        assert_int_equal(seen.offsets[i], next_offset[p]);
        assert_int_equal(seen.tags[i], (uint64_t)next_offset[p] * 3 + (uint64_t)p);
        next_offset[p]++;
    }
    seen.producer = producer;
    weir_record record = text_record("events", "k", "v");
    assert_int_equal(weir_send(producer, &record), 0);
    assert_int_equal(weir_flush(producer, -1), 0);
    assert_int_equal(seen.inner_rc, WEIR_ESTATE); /* a callback must not use its producer */
    seen.producer = NULL;
    assert_int_equal(weir_producer_close(producer), 0);
}

static void a_record_leaves_by_itself(void **state)
{
    (void)state;
    weir_producer *producer = open_producer(&(weir_producer_options){.linger_ms = 1});
    assert_int_equal(send_text(producer, "events", "kafka", "v"), 0);
    while (describe("events", 1).high_watermark == 0)
        usleep(200); /* the test's time limit is the limit */
    assert_int_equal(send_text(producer, "events", "kafka", "v"),
                     0); /* the thread sleeps and is woken */
    while (describe("events", 1).high_watermark == 1)
        usleep(200);
    assert_int_equal(weir_producer_close(producer), 0);
}

static void closing_writes_what_waits(void **state)
{
    (void)state;
    weir_producer *producer = open_producer(&(weir_producer_options){.linger_ms = -1});
    assert_int_equal(send_text(producer, "events", "kafka", "v"), 0);
    assert_int_equal(records_in("events", 3), 0);
    assert_int_equal(weir_producer_close(producer), 0);
    assert_int_equal(records_in("events", 3), 1);
}

static void memory_is_bounded(void **state)
{
    (void)state;
    weir_producer *producer = open_producer(
        &(weir_producer_options){.linger_ms = -1, .memory_bytes = 1000, .batch_bytes = 100000});
    for (int i = 0; i < 100; i++)
        assert_int_equal(send_text(producer, "events", "kafka", "a value of thirty two bytes here"),
                         0);
    weir_partition_info info = describe("events", 1);
    assert_true(info.end_offset > 50 && info.end_offset < 100);
    assert_int_equal(weir_producer_close(producer), 0);
}

static void lost_records_are_never_forgotten(void **state)
{
    (void)state;
    struct seen seen = {.count = 0};
    weir_config limit = {"max.message.bytes", "300"};
    assert_int_equal(weir_topic_create(opened, "small", 2, &limit, 1), 0);
    char large[2000];
    for (size_t i = 0; i < sizeof large; i++)
        large[i] = (char)(i * 2654435761u >> 7); /* does not compress */
    weir_record record = {.topic = "small", .value = large, .value_size = sizeof large, .tag = 7};

    /* Found by the flush itself. */
    weir_producer *producer = open_producer(
        &(weir_producer_options){.delivered = note_delivery, .context = &seen, .linger_ms = -1});
    assert_int_equal(weir_send_to(producer, 0, &record), 0);
    assert_int_equal(weir_send_to(producer, 1, &record), 0);
    assert_int_equal(send_text(producer, "events", "kafka", "good"), 0);
    assert_int_equal(weir_flush(producer, -1), WEIR_ETOOLARGE);
    assert_says(weir_producer_error(producer), "2 records");
    assert_says(weir_producer_error(producer), "small-0");
    assert_says(weir_producer_error(producer), "small-1");
    assert_int_equal(seen.count, 3);
    assert_int_equal(seen.codes[0] + seen.codes[1] + seen.codes[2], 2 * WEIR_ETOOLARGE);
    assert_int_equal(describe("events", 1).high_watermark, 1); /* the others went through */
    assert_int_equal(weir_flush(producer, -1), 0);             /* told once */

    /* Found by a send that had to make room: told by it and by the flush. */
    assert_int_equal(weir_send_to(producer, 0, &record), 0);
    weir_producer *roomy = producer;
    int rc = 0;
    for (int i = 0; rc == 0 && i < 1000; i++)
        rc = weir_send_to(roomy, 0, &record);
    assert_int_equal(rc, WEIR_ETOOLARGE);
    assert_int_equal(weir_flush(producer, -1), WEIR_ETOOLARGE);
    assert_int_equal(weir_producer_close(producer), 0);

    /* Found by the thread: told by the next send and by the flush. */
    producer = open_producer(&(weir_producer_options){.linger_ms = 1});
    assert_int_equal(weir_send_to(producer, 0, &record), 0);
    weir_record small = text_record("events", "kafka", "good");
    int64_t taken = 0;
    while ((rc = weir_send(producer, &small)) == 0)
        taken++;
    assert_int_equal(rc, WEIR_ETOOLARGE);
    assert_says(weir_producer_error(producer), "1 earlier records");
    assert_int_equal(weir_send(producer, &small), 0); /* told: it goes on */
    assert_int_equal(weir_flush(producer, -1), WEIR_ETOOLARGE);
    assert_int_equal(describe("events", 1).high_watermark, 1 + taken + 1);
    assert_int_equal(weir_producer_close(producer), 0);

    /* Found by closing. */
    producer = open_producer(&(weir_producer_options){.linger_ms = -1});
    assert_int_equal(weir_send_to(producer, 0, &record), 0);
    assert_int_equal(weir_producer_close(producer), WEIR_ETOOLARGE);
    assert_says(weir_log_error(), "small-0");
}

/* Fails writes with this errno while it is not 0. */
static atomic_int write_errno, sync_errno;

static int fail_io(void *context, enum io_call call, const char *path, int fd, size_t *size)
{
    (void)context;
    (void)path;
    (void)fd;
    (void)size;
    if (call == IO_PWRITE || call == IO_RESERVE)
        return atomic_load(&write_errno);
    return call == IO_FDATASYNC ? atomic_load(&sync_errno) : 0;
}

static void a_full_disk_delays_and_loses_nothing(void **state)
{
    (void)state;
    struct seen seen = {.count = 0};
    weir_producer *producer = open_producer(&(weir_producer_options){
        .delivered = note_delivery, .context = &seen, .linger_ms = 1, .memory_bytes = 2000});
    assert_int_equal(send_text(producer, "events", "kafka", "before"), 0);
    assert_int_equal(weir_flush(producer, -1), 0);
    io_set_fault(fail_io, NULL);
    atomic_store(&write_errno, ENOSPC);
    int taken = 1, rc;
    while ((rc = send_text(producer, "events", "kafka", "while it is full")) == 0)
        taken++; /* until the thread, or the limit of memory, has found out */
    assert_int_equal(rc, WEIR_EFULL);
    assert_int_equal(weir_flush(producer, -1), WEIR_EFULL);
    assert_true(strlen(weir_producer_error(producer)) > 0);
    atomic_store(&write_errno, 0);
    assert_int_equal(weir_flush(producer, -1), 0);
    assert_int_equal(describe("events", 1).high_watermark, taken);
    assert_int_equal(seen.count, taken);
    for (size_t i = 0; i < seen.count; i++)
        assert_true(seen.codes[i] == 0 && seen.offsets[i] == (int64_t)i);

    weir_producer *transactional = open_producer(&(weir_producer_options){.transactional_id = "t"});
    assert_int_equal(weir_txn_begin(transactional), 0);
    assert_int_equal(send_text(transactional, "events", "kafka", "in vain"), 0);
    atomic_store(&write_errno, ENOSPC);
    assert_int_equal(weir_txn_commit(transactional), WEIR_EFULL);
    atomic_store(&write_errno, 0);
    assert_int_equal(weir_txn_begin(transactional), 0);
    assert_int_equal(send_text(transactional, "events", "kafka", "in the end"), 0);
    assert_int_equal(weir_txn_commit(transactional), 0);
    io_set_fault(NULL, NULL);
    assert_says(weir_fixture_values(opened, "events", 1, WEIR_READ_COMMITTED), "in the end");
    assert_null(strstr(weir_fixture_values(opened, "events", 1, WEIR_READ_COMMITTED), "in vain"));
    assert_int_equal(weir_producer_close(transactional), 0);
    assert_int_equal(weir_producer_close(producer), 0);
}

static void a_failed_flush_is_told_and_final(void **state)
{
    (void)state;
    struct seen seen = {.count = 0};
    weir_producer *producer = open_producer(
        &(weir_producer_options){.delivered = note_delivery, .context = &seen, .linger_ms = -1});
    assert_int_equal(send_text(producer, "events", "kafka", "before"), 0);
    assert_int_equal(weir_flush(producer, -1), 0);
    io_set_fault(fail_io, NULL);
    atomic_store(&sync_errno, EIO);
    assert_int_equal(send_text(producer, "events", "kafka", "not durable"), 0);
    assert_true(weir_flush(producer, -1) < 0);
    assert_int_equal(seen.count, 1); /* nobody knows of the second */
    atomic_store(&sync_errno, 0);
    assert_true(weir_log_status(opened) < 0);
    assert_int_equal(weir_topic_create(opened, "t", 1, NULL, 0), weir_log_status(opened));
    assert_true(weir_flush(producer, -1) < 0);
    assert_true(weir_producer_close(producer) < 0);
    assert_int_equal(seen.count, 2);
    assert_true(seen.codes[1] < 0);
    io_set_fault(NULL, NULL);
    assert_int_equal(weir_log_close(opened), 0);
    opened = weir_fixture_open(directory); /* and it goes on */
    producer = open_producer(NULL);
    assert_int_equal(send_text(producer, "events", "kafka", "after"), 0);
    assert_int_equal(weir_producer_close(producer), 0);
}

static void topics_that_go_and_come(void **state)
{
    (void)state;
    weir_producer *producer = open_producer(&(weir_producer_options){.linger_ms = -1});
    assert_int_equal(send_text(producer, "nowhere", "k", "v"), WEIR_ENOTFOUND);
    assert_int_equal(send_text(producer, "events", "kafka", "1"), 0);
    assert_int_equal(weir_topic_delete(opened, "events"), 0);
    assert_int_equal(weir_flush(producer, -1), WEIR_ENOTFOUND);
    assert_says(weir_producer_error(producer), "1 records are lost");
    assert_int_equal(weir_topic_create(opened, "events", 3, NULL, 0), 0);
    assert_int_equal(send_text(producer, "events", "kafka", "2"), 0);
    assert_int_equal(weir_flush(producer, -1), 0);
    assert_int_equal(describe("events", 1).high_watermark, 1);
    /* Deleted and made anew while a record waits: it goes to the new one. */
    assert_int_equal(send_text(producer, "events", "kafka", "3"), 0);
    assert_int_equal(weir_topic_delete(opened, "events"), 0);
    assert_int_equal(weir_topic_create(opened, "events", 3, NULL, 0), 0);
    assert_int_equal(weir_flush(producer, -1), 0);
    assert_int_equal(describe("events", 1).high_watermark, 1);
    /* Grown: 1348980580 mod 4 = 0 */
    assert_int_equal(weir_topic_grow(opened, "events", 4), 0);
    assert_int_equal(weir_flush(producer, -1), 0);
    assert_int_equal(send_text(producer, "events", "kafka", "4"), 0);
    assert_int_equal(weir_flush(producer, -1), 0);
    assert_int_equal(describe("events", 0).high_watermark, 1);
    assert_int_equal(weir_producer_close(producer), 0);
}

static void records_that_cannot_be(void **state)
{
    (void)state;
    weir_producer *producer = open_producer(NULL);
    weir_record bad[] = {
        {.value = "v", .value_size = 1},
        {.topic = "events", .value_size = 1},
        {.topic = "events", .key_size = 1},
        {.topic = "events", .header_count = 1},
        {.topic = "events", .headers = &(weir_header){.value = "v"}, .header_count = 1},
        {.topic = "events",
         .headers = &(weir_header){.key = "k", .value_size = 1},
         .header_count = 1},
        {.topic = "events", .flags = 2},
        {.topic = "events", .reserved = {1}},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(weir_send(producer, &bad[i]), WEIR_EINVALID);
        assert_true(strlen(weir_producer_error(producer)) > 0);
    }
    weir_record huge = {.topic = "events", .value = "v", .value_size = (size_t)2 << 30};
    assert_int_equal(weir_send(producer, &huge), WEIR_ETOOLARGE);
    assert_int_equal(weir_flush(producer, -2), WEIR_EINVALID);
    assert_int_equal(weir_flush(producer, -1), 0);
    assert_string_equal(weir_producer_error(producer), "");
    assert_int_equal(records_in("events", 3), 0);
    assert_int_equal(weir_producer_close(producer), 0);
    assert_int_equal(weir_producer_open(opened, &(weir_producer_options){.codec = 9}, &producer),
                     WEIR_EINVALID);
    assert_null(producer);
    assert_int_equal(
        weir_producer_open(opened, &(weir_producer_options){.linger_ms = -2}, &producer),
        WEIR_EINVALID);
    char id[500];
    memset(id, 'x', sizeof id - 1);
    id[sizeof id - 1] = '\0';
    assert_int_equal(
        weir_producer_open(opened, &(weir_producer_options){.transactional_id = id}, &producer),
        WEIR_EINVALID);
    assert_says(weir_log_error(), "400");
    assert_int_equal(weir_producer_open(opened,
                                        &(weir_producer_options){.transactional_id = "kafka:mine"},
                                        &producer),
                     WEIR_EINVALID);
    assert_says(weir_log_error(), "clients of the server");
}

static void *send_many(void *context)
{
    weir_producer *producer =
        open_producer(&(weir_producer_options){.linger_ms = 1, .batch_bytes = 2000});
    for (int i = 0; i < 2000; i++)
        assert_int_equal(send_text(producer, "events", context, "from a thread of its own"), 0);
    assert_int_equal(weir_flush(producer, -1), 0);
    assert_int_equal(weir_producer_close(producer), 0);
    return NULL;
}

static void a_log_is_shared_by_threads(void **state)
{
    (void)state;
    pthread_t threads[4];
    char *keys[] = {"a", "b", "c", "d"};
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, send_many, keys[i]), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(records_in("events", 3), 8000);
}

/* ---- partitions ---- */

static void times_and_deletion(void **state)
{
    (void)state;
    int64_t offset;
    weir_producer *producer = open_producer(NULL);
    for (int i = 0; i < 10; i++) {
        weir_record record = text_record("events", NULL, "v");
        record.timestamp_ms = i * 1000;
        record.flags = WEIR_HAS_TIMESTAMP; /* or the first would be sent with the time of day */
        assert_int_equal(weir_send_to(producer, 0, &record), 0);
    }
    assert_int_equal(weir_flush(producer, -1), 0);
    assert_int_equal(weir_offset_at(opened, "events", 0, 3500, &offset), 0);
    assert_int_equal(offset, 4);
    assert_int_equal(weir_offset_at(opened, "events", 0, -1, &offset), 0);
    assert_int_equal(offset, 0);
    assert_int_equal(weir_offset_at(opened, "events", 0, 9001, &offset), 0);
    assert_int_equal(offset, -1);
    assert_int_equal(weir_offset_at(opened, "events", 7, 0, &offset), WEIR_ENOTFOUND);
    assert_int_equal(weir_delete_records(opened, "events", 0, 4), 0);
    assert_int_equal(describe("events", 0).start_offset, 4);
    assert_int_equal(weir_delete_records(opened, "events", 0, 11), WEIR_ERANGE);
    assert_int_equal(weir_delete_records(opened, "events", 0, -2), WEIR_EINVALID);
    assert_int_equal(weir_delete_records(opened, "events", 0, -1), 0);
    assert_int_equal(describe("events", 0).start_offset, 10);
    assert_int_equal(describe("events", 0).end_offset, 10);
    assert_int_equal(weir_producer_close(producer), 0);
    assert_int_equal(weir_log_clean(opened, NULL, NULL), 0);
}

static void keep_finding(void *context, const weir_finding *finding)
{
    char *text = context;
    assert_string_equal(finding->topic, "events");
    if (finding->kind == WEIR_VERIFY_RECORDS && text[0] == '\0')
        snprintf(text, 512, "%s at %lld: %s", finding->file, (long long)finding->position,
                 finding->text);
}

static void partitions_are_described_and_verified(void **state)
{
    (void)state;
    weir_partition_info info = describe("events", 1);
    assert_true(info.first_timestamp_ms == WEIR_NO_TIME && info.max_timestamp_ms == WEIR_NO_TIME);
    weir_producer *producer = open_producer(&(weir_producer_options){.codec = WEIR_CODEC_NONE});
    for (int64_t ms = 3000; ms > 0; ms -= 1000) {
        weir_record record = text_record("events", "kafka", "a value to be damaged");
        record.timestamp_ms = ms;
        assert_int_equal(weir_send(producer, &record), 0);
    }
    assert_int_equal(weir_producer_close(producer), 0);
    info = describe("events", 1);
    assert_int_equal(info.first_timestamp_ms, 3000);
    assert_int_equal(info.max_timestamp_ms, 3000);
    assert_true(info.last_write_ms > INT64_C(1600000000000));
    assert_int_equal(info.segments, 1);
    assert_true(info.bytes > 3 * 21);

    char text[512] = "";
    weir_verify_report report;
    assert_int_equal(weir_partition_verify(opened, "events", 1, keep_finding, text, &report), 0);
    assert_string_equal(text, "");
    assert_int_equal(report.records, 3);
    assert_int_equal(report.findings, 0);
    assert_int_equal(weir_partition_verify(opened, "events", 9, NULL, NULL, NULL), WEIR_ENOTFOUND);
    assert_int_equal(weir_partition_verify(opened, NULL, 0, NULL, NULL, NULL), WEIR_EINVALID);

    char *path = scratch_path(directory, "topics/events-1/00000000000000000000.log");
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    assert_int_equal(fseek(file, 80, SEEK_SET), 0);
    assert_int_equal(fputc('X', file), 'X');
    assert_int_equal(fclose(file), 0);
    assert_int_equal(weir_partition_verify(opened, "events", 1, keep_finding, text, &report), 0);
    assert_true(report.findings > 0);
    assert_says(text, path);
    free(path);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(opening_takes_the_directory),
        CASE(a_log_with_open_handles_is_not_closed),
        CASE(what_cannot_be_opened),
        CASE(null_is_an_answer_and_no_crash),
        CASE(a_log_that_is_only_read),
        CASE(an_app_runs_on_an_open_log),
        CASE(a_text_belongs_to_its_thread),
        CASE(topics_are_made_described_altered_grown_and_deleted),
        CASE(configuration_as_text),
        CASE(keys_choose_partitions),
        CASE(every_record_is_reported_once_in_order),
        CASE(a_record_leaves_by_itself),
        CASE(closing_writes_what_waits),
        CASE(memory_is_bounded),
        CASE(lost_records_are_never_forgotten),
        CASE(a_full_disk_delays_and_loses_nothing),
        CASE(a_failed_flush_is_told_and_final),
        CASE(topics_that_go_and_come),
        CASE(records_that_cannot_be),
        CASE(a_log_is_shared_by_threads),
        CASE(times_and_deletion),
        CASE(partitions_are_described_and_verified),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
