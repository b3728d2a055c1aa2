/* test_sender.c: the embedded producer on a real log in a temporary directory: which partition a
 * record goes to (against the table of murmur2 that Kafka's clients produced), where batches are
 * cut, what a flush promises, and what happens to a batch that the log refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "log/log.h"
#include "runtime/base/clock.h"
#include "runtime/base/io.h"

enum { PARTITIONS = 12 };

static char directory[256];
static struct log *opened;

static int setup(void **state)
{
    (void)state;
    const char *parent = getenv("TMPDIR");
    snprintf(directory, sizeof directory, "%s/weir-sender-XXXXXX",
             parent != NULL ? parent : "/tmp");
    if (mkdtemp(directory) == NULL)
        return -1;
    struct diag diag = {0};
    int rc =
        log_open(directory, &(struct log_options){.durability = DURABILITY_COMMIT}, &opened, &diag);
    if (rc == 0)
        rc = topic_create(opened, "events", PARTITIONS, NULL, 0, &diag);
    if (rc < 0)
        fprintf(stderr, "%s\n", diag.text);
    return rc;
}

static int teardown(void **state)
{
    (void)state;
    clock_wall_replace(NULL);
    log_close(opened);
    return io_remove_tree(directory, NULL);
}

static struct sender *open_sender(const struct sender_options *options)
{
    struct sender *sender;
    struct diag diag = {0};
    if (sender_open(opened, "events", options, &sender, &diag) != 0)
        fail_msg("%s", diag.text);
    return sender;
}

static void send_text(struct sender *sender, int32_t partition, const char *key, const char *value)
{
    struct diag diag = {0};
    if (sender_send(sender, partition, INT64_MIN, bytes_text(key), bytes_text(value),
                    bytes_of(NULL, 0), 0, &diag) != 0)
        fail_msg("%s", diag.text);
}

static void flush(struct sender *sender)
{
    struct diag diag = {0};
    if (sender_flush(sender, true, &diag) != 0)
        fail_msg("%s", diag.text);
}

/* What a partition of the topic holds. */
struct content {
    struct fetch fetch;
    struct fetch_reader reader;
};

static void content_open(struct content *content, int32_t index)
{
    struct partition *partition;
    struct diag diag = {0};
    assert_int_equal(partition_get(opened, "events", index, &partition, &diag), 0);
    fetch_init(&content->fetch);
    if (partition_fetch(partition, 0, READ_COMMITTED, 64 << 20, &content->fetch, &diag) != 0)
        fail_msg("%s", diag.text);
    fetch_reader_init(&content->reader);
    fetch_reader_start(&content->reader, &content->fetch, 0);
}

static void content_close(struct content *content)
{
    fetch_reader_deinit(&content->reader);
    fetch_deinit(&content->fetch);
}

static int count_records(int32_t index)
{
    struct content content;
    struct record record;
    int count = 0;
    content_open(&content, index);
    while (fetch_reader_next(&content.reader, &record) == 1)
        count++;
    content_close(&content);
    return count;
}

static int64_t end_offset(int32_t index)
{
    struct partition *partition;
    struct partition_offsets offsets;
    assert_int_equal(partition_get(opened, "events", index, &partition, NULL), 0);
    partition_offsets(partition, &offsets);
    return offsets.end;
}

/* The only partition that has records; -1 when there are several or none. */
static int32_t only_partition(void)
{
    int32_t found = -1;
    for (int32_t i = 0; i < PARTITIONS; i++) {
        if (end_offset(i) == 0)
            continue;
        if (found >= 0)
            return -1;
        found = i;
    }
    return found;
}

/* ---- where records go ---- */

static void keys_go_where_kafka_puts_them(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        int32_t partition;
    } cases[] = {{"kafka", 4},  {"hello-world", 1}, {"user-42", 4},
                 {"foobar", 6}, {"21", 0},          {"k", 8}};
    struct sender *sender = open_sender(NULL);
    for (size_t i = 0; i < 6; i++)
        send_text(sender, -1, cases[i].key, cases[i].key);
    flush(sender);
    sender_close(sender);
    for (int32_t p = 0; p < PARTITIONS; p++) {
        struct content content;
        struct record record;
        content_open(&content, p);
        for (size_t i = 0; i < 6; i++) {
            if (cases[i].partition != p)
                continue;
            assert_int_equal(fetch_reader_next(&content.reader, &record), 1);
            assert_true(bytes_equal(record.key, bytes_text(cases[i].key)));
            assert_true(bytes_equal(record.value, bytes_text(cases[i].key)));
        }
        assert_int_equal(fetch_reader_next(&content.reader, &record), 0);
        content_close(&content);
    }
}

static void a_named_partition_wins_over_the_key(void **state)
{
    (void)state;
    struct sender *sender = open_sender(NULL);
    struct diag diag = {0};
    send_text(sender, 7, "kafka", "v");
    flush(sender);
    assert_int_equal(only_partition(), 7);
    struct bytes none = bytes_of(NULL, 0);
    assert_int_equal(sender_send(sender, PARTITIONS, 0, none, none, none, 0, &diag), ERR_RANGE);
    assert_non_null(strstr(diag.text, "events"));
    assert_int_equal(sender_send(sender, -2, 0, none, none, none, 0, &diag), ERR_RANGE);
    sender_close(sender);
}

static void null_keys_stick_to_one_partition_per_batch(void **state)
{
    (void)state;
    struct sender *sender = open_sender(NULL);
    for (int i = 0; i < 100; i++)
        send_text(sender, -1, NULL, "v");
    flush(sender);
    int32_t first = only_partition();
    assert_true(first >= 0);
    assert_int_equal(count_records(first), 100);
    for (int i = 0; i < 50; i++)
        send_text(sender, -1, NULL, "v");
    flush(sender);
    assert_int_equal(count_records(first), 100);
    assert_int_equal(count_records((first + 1) % PARTITIONS), 50);
    /* An empty key is a key: murmur2 of nothing, by the reference algorithm, is 0x106e08d9. */
    int before = count_records((int32_t)((0x106e08d9u & 0x7fffffffu) % PARTITIONS));
    send_text(sender, -1, "", "v");
    flush(sender);
    assert_int_equal(count_records((int32_t)((0x106e08d9u & 0x7fffffffu) % PARTITIONS)),
                     before + 1);
    sender_close(sender);
}

/* ---- batches ---- */

static void batches_are_cut_at_the_configured_size(void **state)
{
    (void)state;
    enum { BATCH_BYTES = 2000, RECORDS = 500 };
    struct sender_options options = {
        .codec = CODEC_NONE, .codec_is_set = true, .batch_bytes = BATCH_BYTES};
    struct sender *sender = open_sender(&options);
    char value[BATCH_BYTES * 2];
    memset(value, 'x', sizeof value);
    value[sizeof value - 1] = '\0';
    for (int i = 0; i < RECORDS; i++)
        send_text(sender, 3, "key", value + sizeof value - 2 - i % 100);
    send_text(sender, 3, "key", value); /* larger than a batch: one of its own */
    flush(sender);
    sender_close(sender);

    struct content content;
    struct batch_header header;
    struct bytes batch;
    int batches = 0, records = 0;
    content_open(&content, 3);
    while (fetch_reader_next_batch(&content.reader, &batch, &header) == 1) {
        assert_int_equal(header.attributes & BATCH_ATTR_CODEC, CODEC_NONE);
        assert_true(batch.size <= BATCH_HEADER_BYTES + BATCH_BYTES || header.record_count == 1);
        batches++;
        records += header.record_count;
    }
    content_close(&content);
    assert_int_equal(records, RECORDS + 1);
    assert_true(batches >= 15 && batches <= 40); /* about 30 KB of records */
}

static void the_codec_is_lz4_unless_set(void **state)
{
    (void)state;
    static const struct sender_options gzip = {.codec = CODEC_GZIP, .codec_is_set = true};
    static const struct sender_options not_set = {.codec = CODEC_GZIP, .codec_is_set = false};
    const struct sender_options *options[] = {NULL, &not_set, &gzip};
    static const int expected[] = {CODEC_LZ4, CODEC_LZ4, CODEC_GZIP};
    for (int i = 0; i < 3; i++) {
        struct sender *sender = open_sender(options[i]);
        for (int j = 0; j < 100; j++)
            send_text(sender, 0, "key", "a value that compresses");
        flush(sender);
        sender_close(sender);
    }
    struct content content;
    struct batch_header header;
    struct bytes batch;
    content_open(&content, 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fetch_reader_next_batch(&content.reader, &batch, &header), 1);
        assert_int_equal(header.attributes & BATCH_ATTR_CODEC, expected[i]);
    }
    content_close(&content);
}

static int64_t fixed_now(void)
{
    return INT64_C(1767225600123);
}

static void a_record_arrives_as_it_was_given(void **state)
{
    (void)state;
    clock_wall_replace(fixed_now);
    struct sender *sender = open_sender(NULL);
    struct buf headers = {0};
    struct bytes none = bytes_of(NULL, 0);
    char key[] = "key", value[] = "value";
    headers_add(&headers, "trace", bytes_text("abc"));
    headers_add(&headers, "empty", none);
    assert_int_equal(sender_send(sender, 5, 1000, bytes_text(key), bytes_text(value),
                                 bytes_of(headers.data, headers.size), 2, NULL),
                     0);
    memset(key, '#', 3); /* it was copied */
    memset(value, '#', 5);
    memset(headers.data, '#', headers.size);
    buf_deinit(&headers);
    assert_int_equal(sender_send(sender, 5, INT64_MIN, bytes_text("gone"), none, none, 0, NULL), 0);
    assert_int_equal(sender_send(sender, 5, -5, none, bytes_text(""), none, 0, NULL), 0);
    flush(sender);
    sender_close(sender);
    clock_wall_replace(NULL);

    struct content content;
    struct record record;
    struct header header;
    content_open(&content, 5);
    assert_int_equal(fetch_reader_next(&content.reader, &record), 1);
    assert_true(record.offset == 0 && record.timestamp_ms == 1000);
    assert_true(bytes_equal(record.key, bytes_text("key")));
    assert_true(bytes_equal(record.value, bytes_text("value")));
    assert_int_equal(record.header_count, 2);
    assert_int_equal(header_take(&record.headers, &header), 0);
    assert_true(bytes_equal(header.key, bytes_text("trace")));
    assert_true(bytes_equal(header.value, bytes_text("abc")));
    assert_int_equal(header_take(&record.headers, &header), 0);
    assert_null(header.value.data);
    assert_int_equal(fetch_reader_next(&content.reader, &record), 1);
    assert_true(record.offset == 1 && record.timestamp_ms == fixed_now());
    assert_null(record.value.data);
    assert_int_equal(fetch_reader_next(&content.reader, &record), 1);
    assert_true(record.offset == 2 && record.timestamp_ms == -5);
    assert_true(record.key.data == NULL && record.value.data != NULL && record.value.size == 0);
    content_close(&content);
}

/* ---- flushing ---- */

static void nothing_is_appended_before_a_flush_and_closing_is_none(void **state)
{
    (void)state;
    struct sender *sender = open_sender(NULL);
    flush(sender); /* nothing to do */
    send_text(sender, 2, NULL, "v");
    assert_int_equal(end_offset(2), 0);
    sender_close(sender);
    assert_int_equal(end_offset(2), 0);
    sender_close(NULL);
}

static void waiting_means_acknowledged(void **state)
{
    (void)state;
    struct sender *sender = open_sender(NULL);
    struct partition *partition;
    struct partition_offsets offsets;
    for (int round = 1; round <= 20; round++) {
        for (int32_t p = 0; p < PARTITIONS; p++)
            send_text(sender, p, NULL, "v");
        if (round % 2 == 0)
            assert_int_equal(sender_flush(sender, false, NULL), 0);
        flush(sender); /* also what an earlier flush did not wait for */
        for (int32_t p = 0; p < PARTITIONS; p++) {
            assert_int_equal(partition_get(opened, "events", p, &partition, NULL), 0);
            partition_offsets(partition, &offsets);
            assert_int_equal(offsets.end, round);
            assert_int_equal(offsets.high_watermark, round);
        }
    }
    sender_close(sender);
}

/* ---- failures ---- */

static void a_missing_topic_is_named(void **state)
{
    (void)state;
    struct sender *sender = (struct sender *)&opened;
    struct diag diag = {0};
    assert_int_equal(sender_open(opened, "nowhere", NULL, &sender, &diag), ERR_NOT_FOUND);
    assert_null(sender);
    assert_non_null(strstr(diag.text, "nowhere"));
}

static void a_refused_batch_is_dropped_aloud_and_the_others_go_on(void **state)
{
    (void)state;
    struct sender *sender = open_sender(NULL);
    struct bytes none = bytes_of(NULL, 0);
    struct diag diag = {0};
    int64_t tomorrow = clock_wall_ms() + 86400000;
    struct config_entry any = {"message.timestamp.after.max.ms", "9223372036854775807"};
    struct config_entry usual = {"message.timestamp.after.max.ms", NULL};
    assert_int_equal(topic_alter(opened, "events", &any, 1, &diag), 0);
    send_text(sender, 0, NULL, "good");
    for (int i = 0; i < 3; i++)
        assert_int_equal(sender_send(sender, 1, tomorrow, none, bytes_text("bad"), none, 0, NULL),
                         0);
    send_text(sender, 2, NULL, "good");
    assert_int_equal(topic_alter(opened, "events", &usual, 1, &diag), 0);
    assert_int_equal(sender_flush(sender, true, &diag), ERR_INVALID);
    assert_non_null(strstr(diag.text, "3 records for events-1 dropped"));
    assert_true(end_offset(0) == 1 && end_offset(1) == 0 && end_offset(2) == 1);
    send_text(sender, 1, NULL, "good");
    flush(sender);
    assert_int_equal(end_offset(1), 1);
    sender_close(sender);
}

static void a_batch_over_the_topics_limit_is_dropped(void **state)
{
    (void)state;
    struct config_entry small = {"max.message.bytes", "1000"};
    struct sender_options plain = {.codec = CODEC_NONE, .codec_is_set = true};
    struct diag diag = {0};
    assert_int_equal(topic_alter(opened, "events", &small, 1, &diag), 0);
    struct sender *sender = open_sender(&plain);
    char value[1200];
    memset(value, 'x', sizeof value);
    value[sizeof value - 1] = '\0';
    send_text(sender, 4, NULL, value);
    assert_int_equal(sender_flush(sender, true, &diag), ERR_TOO_LARGE);
    assert_non_null(strstr(diag.text, "1 records for events-4 dropped"));
    flush(sender);
    assert_int_equal(end_offset(4), 0);
    sender_close(sender);
}

static void a_record_that_the_topic_refuses_takes_no_other_with_it(void **state)
{
    (void)state;
    struct config_entry config[] = {{"cleanup.policy", "compact"},
                                    {"message.timestamp.before.max.ms", "60000"}};
    struct diag diag = {0};
    struct bytes none = bytes_of(NULL, 0), key = bytes_text("k"), value = bytes_text("v");
    struct sender *sender = open_sender(NULL);
    assert_int_equal(topic_alter(opened, "events", config, 2, &diag), 0); /* seen at once */
    assert_int_equal(sender_send(sender, 0, INT64_MIN, key, value, none, 0, &diag), 0);
    assert_int_equal(sender_send(sender, 0, INT64_MIN, none, value, none, 0, &diag), ERR_INVALID);
    assert_non_null(strstr(diag.text, "no key"));
    assert_int_equal(sender_send(sender, 0, 1000, key, value, none, 0, &diag), ERR_INVALID);
    assert_non_null(strstr(diag.text, "message.timestamp.before.max.ms"));
    assert_int_equal(sender_send(sender, 0, clock_wall_ms() + 86400000, key, value, none, 0, &diag),
                     ERR_INVALID);
    assert_non_null(strstr(diag.text, "message.timestamp.after.max.ms"));
    assert_int_equal(sender_send(sender, 0, -1, key, value, none, 0, &diag), 0);
    flush(sender);
    assert_int_equal(end_offset(0), 2);
    sender_close(sender);
}

static int stored_codec(int32_t index)
{
    struct partition *partition;
    struct fetch fetch;
    struct batch_header header = {0};
    struct diag diag = {0};
    assert_int_equal(partition_get(opened, "events", index, &partition, &diag), 0);
    fetch_init(&fetch);
    assert_int_equal(partition_fetch(partition, 0, READ_COMMITTED, 1, &fetch, &diag), 0);
    assert_int_equal(
        batch_parse_header(bytes_of(fetch.bytes.data, fetch.bytes.size), &header, &diag), 0);
    fetch_deinit(&fetch);
    return header.attributes & BATCH_ATTR_CODEC;
}

static void batches_have_the_topics_codec(void **state)
{
    (void)state;
    static const char *const types[] = {"uncompressed", "gzip", "snappy", "lz4", "zstd", NULL};
    static const int expected[] = {CODEC_NONE, CODEC_GZIP, CODEC_SNAPPY,
                                   CODEC_LZ4,  CODEC_ZSTD, CODEC_LZ4};
    char value[1000];
    memset(value, 'x', sizeof value);
    value[sizeof value - 1] = '\0';
    for (int32_t i = 0; i < 6; i++) {
        struct config_entry config = {"compression.type", types[i]};
        assert_int_equal(topic_alter(opened, "events", &config, 1, NULL), 0);
        struct sender *sender = open_sender(NULL);
        send_text(sender, i, NULL, value);
        flush(sender);
        assert_int_equal(stored_codec(i), expected[i]);
        sender_close(sender);
    }
}

/* ---- for a producer above it ---- */

struct reports {
    struct {
        int32_t index, record_count;
        int64_t base_offset;
        int code;
        uint64_t first_tag, last_tag;
    } list[8];
    int count;
};

static void keep_report(void *context, struct sent_batch *sent, const struct diag *reason)
{
    struct reports *reports = context;
    assert_true(reports->count < 8);
    assert_int_equal(sent->code, reason != NULL ? reason->code : 0);
    assert_ptr_equal(sent->context, context);
    reports->list[reports->count].index = sent->index;
    reports->list[reports->count].record_count = sent->record_count;
    reports->list[reports->count].base_offset = sent->base_offset;
    reports->list[reports->count].code = sent->code;
    reports->list[reports->count].first_tag = sent->tags[0];
    reports->list[reports->count++].last_tag = sent->tags[sent->record_count - 1];
    sent_batch_free(sent);
}

static void send_tagged(struct sender *sender, int32_t partition, uint64_t tag)
{
    struct bytes none = bytes_of(NULL, 0);
    assert_int_equal(
        sender_send_tagged(sender, partition, INT64_MIN, none, bytes_text("v"), none, 0, tag, NULL),
        0);
}

static void every_batch_is_reported_with_its_tags(void **state)
{
    (void)state;
    struct reports reports = {.count = 0};
    struct sender *sender = open_sender(
        &(struct sender_options){.appended = keep_report, .keep_tags = true, .context = &reports});
    for (uint64_t tag = 0; tag < 100; tag++) /* more than the first room for tags */
        send_tagged(sender, 3, tag);
    send_tagged(sender, 5, 100);
    flush(sender);
    assert_int_equal(reports.count, 2);
    assert_true(reports.list[0].index == 3 && reports.list[0].record_count == 100);
    assert_true(reports.list[0].first_tag == 0 && reports.list[0].last_tag == 99);
    assert_true(reports.list[1].index == 5 && reports.list[1].first_tag == 100);
    assert_true(reports.list[0].base_offset == 0 && reports.list[0].code == 0);
    send_tagged(sender, 3, 101);
    flush(sender);
    assert_int_equal(reports.list[2].base_offset, 100);
    send_tagged(sender, 3, 102);
    struct diag reason = {.code = ERR_STATE, .text = "given up"};
    sender_discard(sender, &reason);
    assert_int_equal(reports.count, 4);
    assert_true(reports.list[3].code == ERR_STATE && reports.list[3].base_offset == -1);
    assert_int_equal(sender_collected_bytes(sender), 0);
    send_tagged(sender, 3,
                103); /* closing with something collected leaks nothing and says nothing */
    sender_close(sender);
    assert_int_equal(reports.count, 4);
    assert_int_equal(end_offset(3), 101);
}

static void old_batches_leave_alone(void **state)
{
    (void)state;
    int64_t oldest_ns;
    struct sender *sender = open_sender(NULL);
    assert_int_equal(sender_append_older(sender, INT64_MAX, &oldest_ns, NULL), 0);
    assert_true(oldest_ns == INT64_MAX);
    send_text(sender, 1, NULL, "a");
    int64_t between_ns = clock_mono_ns();
    while (clock_mono_ns() == between_ns)
        ;
    send_text(sender, 2, NULL, "b");
    send_text(sender, 1, NULL, "c"); /* joins a: a batch is as old as its first record */
    assert_int_equal(sender_append_older(sender, between_ns, &oldest_ns, NULL), 0);
    assert_int_equal(end_offset(1), 2);
    assert_int_equal(end_offset(2), 0);
    assert_true(oldest_ns > between_ns && oldest_ns <= clock_mono_ns());
    assert_int_equal(sender_append_older(sender, oldest_ns, &oldest_ns, NULL), 0);
    assert_int_equal(end_offset(2), 1);
    assert_true(oldest_ns == INT64_MAX);
    assert_int_equal(sender_wait(sender, -1, NULL), 0);
    sender_close(sender);
}

static void a_sender_learns_of_grown_and_new_topics(void **state)
{
    (void)state;
    struct sender *sender = open_sender(NULL);
    struct bytes none = bytes_of(NULL, 0);
    assert_int_equal(topic_grow(opened, "events", PARTITIONS + 1, NULL), 0);
    assert_int_equal(sender_send(sender, PARTITIONS, INT64_MIN, none, none, none, 0, NULL),
                     ERR_RANGE);
    send_text(sender, 4, NULL, "waits");
    assert_int_equal(sender_refresh(sender, NULL), 0);
    assert_int_equal(sender_send(sender, PARTITIONS, INT64_MIN, none, none, none, 0, NULL), 0);
    flush(sender);
    assert_int_equal(end_offset(PARTITIONS), 1);
    assert_int_equal(end_offset(4), 1);

    send_text(sender, 4, NULL, "for the new topic");
    assert_int_equal(topic_delete(opened, "events", NULL), 0);
    assert_int_equal(sender_flush(sender, true, NULL), ERR_NOT_FOUND);
    assert_int_equal(sender_refresh(sender, NULL), ERR_NOT_FOUND);
    assert_int_equal(topic_create(opened, "events", 3, NULL, 0, NULL), 0);
    struct diag diag = {.code = 0};
    assert_int_equal(sender_refresh(sender, &diag), ERR_NOT_FOUND); /* it has no partition 4 */
    assert_non_null(strstr(diag.text, "partition 4"));
    assert_int_equal(topic_grow(opened, "events", 5, NULL), 0);
    assert_int_equal(sender_refresh(sender, NULL), 0);
    flush(sender);
    assert_int_equal(end_offset(4), 1);
    sender_close(sender);
}

static void a_senders_batches_can_belong_to_a_transaction(void **state)
{
    (void)state;
    struct producer *producer;
    struct partition_offsets offsets;
    struct partition *partition;
    assert_int_equal(producer_open(opened, "t", &producer, NULL), 0);
    struct sender *sender = open_sender(&(struct sender_options){.producer = producer});
    send_text(sender, 0, NULL, "a");
    assert_int_equal(sender_flush(sender, true, NULL),
                     ERR_STATE); /* kept: no transaction is open */
    assert_int_equal(txn_begin(producer, NULL), 0);
    assert_int_equal(sender_flush(sender, true, NULL), 0);
    assert_int_equal(partition_get(opened, "events", 0, &partition, NULL), 0);
    partition_offsets(partition, &offsets);
    assert_true(offsets.high_watermark == 1 && offsets.stable == 0);
    assert_int_equal(txn_commit(producer, NULL), 0);
    partition_offsets(partition, &offsets);
    assert_true(offsets.stable >= 1);
    sender_close(sender);
    producer_close(producer);
}

int main(void)
{
#define ON_A_NEW_LOG(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        ON_A_NEW_LOG(keys_go_where_kafka_puts_them),
        ON_A_NEW_LOG(a_named_partition_wins_over_the_key),
        ON_A_NEW_LOG(null_keys_stick_to_one_partition_per_batch),
        ON_A_NEW_LOG(batches_are_cut_at_the_configured_size),
        ON_A_NEW_LOG(the_codec_is_lz4_unless_set),
        ON_A_NEW_LOG(a_record_arrives_as_it_was_given),
        ON_A_NEW_LOG(nothing_is_appended_before_a_flush_and_closing_is_none),
        ON_A_NEW_LOG(waiting_means_acknowledged),
        ON_A_NEW_LOG(a_missing_topic_is_named),
        ON_A_NEW_LOG(a_refused_batch_is_dropped_aloud_and_the_others_go_on),
        ON_A_NEW_LOG(a_batch_over_the_topics_limit_is_dropped),
        ON_A_NEW_LOG(a_record_that_the_topic_refuses_takes_no_other_with_it),
        ON_A_NEW_LOG(batches_have_the_topics_codec),
        ON_A_NEW_LOG(every_batch_is_reported_with_its_tags),
        ON_A_NEW_LOG(old_batches_leave_alone),
        ON_A_NEW_LOG(a_sender_learns_of_grown_and_new_topics),
        ON_A_NEW_LOG(a_senders_batches_can_belong_to_a_transaction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
