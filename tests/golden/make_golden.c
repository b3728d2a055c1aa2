/* make_golden.c: makes the data directory of a golden archive. Run through tests/golden/make.sh;
 * the archives that exist are never made again: they are what older versions wrote.
 *
 *   make_golden DIR >facts
 *
 * Lives of the directory: one that ends by a clean close, one that ends in the middle of a
 * transaction, as kill -9 ends it. Timestamps and contents are fixed; topic ids, and times that
 * only the log sees, are not.
 *
 * Standard output says what was asked for beside the records, one fact a line:
 *   topic NAME PARTITIONS
 *   config TOPIC KEY VALUE
 *   start TOPIC PARTITION OFFSET
 *   end TOPIC PARTITION OFFSET       of the records, when the process died; recovery adds abort
 * markers group GROUP TOPIC PARTITION OFFSET METADATA gone TOPIC producer TRANSACTIONAL-ID
 * PRODUCER-ID EPOCH */
#include "log/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define FIRST_MS INT64_C(1700000000000)
enum { NUMBERED_ID = 4000 };

static struct log *the_log;

static void check(int rc, const struct diag *diag)
{
    if (rc >= 0)
        return;
    fprintf(stderr, "make_golden: %s: %s\n", error_text(rc), diag->text);
    exit(1);
}

static void open_log(const char *dir)
{
    struct log_options options = {.keeper_interval_ms = -1};
    struct diag diag = {0};
    check(log_open(dir, &options, &the_log, &diag), &diag);
}

static struct partition *get(const char *topic, int32_t index)
{
    struct partition *partition;
    struct diag diag = {0};
    check(partition_get(the_log, topic, index, &partition, &diag), &diag);
    return partition;
}

static void make_topic(const char *name, int32_t partitions, const struct config_entry *config,
                       size_t count)
{
    struct diag diag = {0};
    check(topic_create(the_log, name, partitions, config, count, &diag), &diag);
    printf("topic %s %d\n", name, partitions);
    for (size_t i = 0; i < count; i++)
        printf("config %s %s %s\n", name, config[i].key, config[i].value);
}

/* ---- batches ---- */

/* count records from number first on: every fourth without key, every fifth without value, every
 * sixth with an empty one, every third with headers. */
static void build(struct batch_builder *builder, int64_t first, int32_t count)
{
    struct diag diag = {0};
    for (int64_t n = first; n < first + count; n++) {
        char key[32], value[160];
        struct buf headers;
        buf_init(&headers, 0);
        int key_size = snprintf(key, sizeof key, "key-%" PRId64, n % 7);
        int value_size = snprintf(value, sizeof value, "{\"number\":%" PRId64 ",\"text\":\"%.*s\"}",
                                  n, (int)(n * 13 % 60),
                                  "a value that is as long as its number says, and no longer");
        if (n % 3 == 0) {
            headers_add(&headers, "origin", bytes_text("golden"));
            headers_add(&headers, "none", bytes_of(NULL, 0));
        }
        check(batch_builder_add(builder, FIRST_MS + n * 1000,
                                n % 4 == 0 ? bytes_of(NULL, 0) : bytes_of(key, (size_t)key_size),
                                n % 5 == 0   ? bytes_of(NULL, 0)
                                : n % 6 == 0 ? bytes_of("", 0)
                                             : bytes_of(value, (size_t)value_size),
                                bytes_of(headers.data, headers.size), n % 3 == 0 ? 2 : 0),
              &diag);
        buf_deinit(&headers);
    }
}

/* producer NULL: plain. */
static void append(struct producer *producer, const char *topic, int32_t index, enum codec codec,
                   int64_t first, int32_t count)
{
    struct batch_builder builder;
    struct bytes batch;
    struct diag diag = {0};
    batch_builder_init(&builder, codec);
    build(&builder, first, count);
    check(batch_builder_finish(&builder, &batch), &diag);
    check(producer != NULL
              ? txn_append(producer, get(topic, index), builder.batch.data, batch.size, NULL, &diag)
              : partition_append(get(topic, index), builder.batch.data, batch.size, NULL, &diag),
          &diag);
    batch_builder_deinit(&builder);
}

/* As an idempotent producer sends them: its numbers go on. */
static void append_numbered(const char *topic, int64_t first, int32_t count)
{
    struct batch_builder builder;
    struct bytes batch;
    struct diag diag = {0};
    batch_builder_init(&builder, CODEC_NONE);
    build(&builder, first, count);
    check(batch_builder_finish(&builder, &batch), &diag);
    batch_set_producer(builder.batch.data, NUMBERED_ID, 2, (int32_t)first, false);
    check(partition_append(get(topic, 0), builder.batch.data, batch.size, NULL, &diag), &diag);
    batch_builder_deinit(&builder);
}

/* A few keys again and again, every seventh time a tombstone, some in aborted transactions; what is closed is
 * compacted. */
static void compacted_topic(void)
{
    static const struct config_entry config[] = {{"segment.bytes", "1024"},
                                                 {"cleanup.policy", "compact"}};
    struct producer *producer;
    struct diag diag = {0};
    make_topic("compacted", 1, config, 2);
    check(producer_open(the_log, "golden-compacted", &producer, &diag), &diag);
    for (int64_t n = 0; n < 80; n++) {
        struct batch_builder builder;
        struct bytes batch;
        char key[16], value[32];
        int key_size = snprintf(key, sizeof key, "key-%" PRId64, n % 9);
        int value_size = snprintf(value, sizeof value, "value %" PRId64, n);
        batch_builder_init(&builder, CODEC_NONE);
        check(
            batch_builder_add(&builder, FIRST_MS + n, bytes_of(key, (size_t)key_size),
                              n % 7 == 0 ? bytes_of(NULL, 0) : bytes_of(value, (size_t)value_size),
                              bytes_of("", 0), 0),
            &diag);
        check(batch_builder_finish(&builder, &batch), &diag);
        struct partition *partition = get("compacted", 0);
        if (n % 10 != 0) {
            check(partition_append(partition, builder.batch.data, batch.size, NULL, &diag), &diag);
        } else {
            check(txn_begin(producer, &diag), &diag);
            check(txn_append(producer, partition, builder.batch.data, batch.size, NULL, &diag),
                  &diag);
            check(n % 20 == 0 ? txn_abort(producer, &diag) : txn_commit(producer, &diag), &diag);
        }
        batch_builder_deinit(&builder);
    }
    producer_close(producer);
    check(topic_clean(the_log, "compacted", 0, NULL, &diag), &diag);
}

static void say_offsets(const char *topic, int32_t partitions)
{
    for (int32_t i = 0; i < partitions; i++) {
        struct partition_offsets offsets;
        partition_offsets(get(topic, i), &offsets);
        printf("start %s %d %" PRId64 "\nend %s %d %" PRId64 "\n", topic, i, offsets.start, topic,
               i, offsets.end);
    }
}

static void fill_group(struct group_offset *offset, const char *group, const char *topic,
                       int32_t partition, int64_t at, const char *metadata)
{
    *offset = (struct group_offset){
        .partition = partition, .offset = at, .metadata = bytes_text(metadata)};
    snprintf(offset->topic, sizeof offset->topic, "%s", topic);
    printf("group %s %s %d %" PRId64 " %s\n", group, topic, partition, at, metadata);
}

/* ---- the two lives ---- */

static void first_life(const char *dir)
{
    static const struct config_entry events[] = {{"segment.bytes", "2048"}, {"retention.ms", "-1"}};
    static const struct config_entry kept[] = {{"retention.ms", "-1"}};
    struct diag diag = {0};
    struct group_offset offset;
    struct producer *producer;
    open_log(dir);
    make_topic("events", 2, events, 2);
    make_topic("codecs", 1, kept, 1);
    make_topic("transactions", 2, events, 2);
    make_topic("empty", 3, kept, 1);
    make_topic("numbered", 1, events, 2);
    check(topic_create(the_log, "gone", 1, NULL, 0, &diag), &diag);
    append(NULL, "gone", 0, CODEC_NONE, 0, 3);
    check(topic_delete(the_log, "gone", &diag), &diag);
    printf("gone gone\n");
    for (int64_t n = 0; n < 120; n += 6)
        append(NULL, "events", n % 4 == 0 ? 0 : 1, n % 5 == 0 ? CODEC_LZ4 : CODEC_NONE, n, 6);
    for (int codec = CODEC_NONE; codec <= CODEC_ZSTD; codec++)
        append(NULL, "codecs", 0, (enum codec)codec, codec * 20, 20);
    for (int64_t n = 0; n < 90; n += 9)
        append_numbered("numbered", n, 9);
    compacted_topic();
    check(partition_wait(get("events", 0), 60, -1), &diag);
    check(partition_purge(get("events", 0), 33, &diag), &diag);
    check(producer_open(the_log, "golden-tx", &producer, &diag), &diag);
    for (int t = 0; t < 8; t++) {
        check(txn_begin(producer, &diag), &diag);
        append(producer, "transactions", t % 2, CODEC_LZ4, t * 10, 4);
        append(producer, "transactions", 0, CODEC_NONE, t * 10 + 4, 3);
        append(NULL, "transactions", 1, CODEC_NONE, 1000 + t, 1);
        if (t == 5) {
            fill_group(&offset, "from-a-transaction", "events", 1, 17, "");
            check(txn_add_offsets(producer, "from-a-transaction", &offset, 1, &diag), &diag);
        }
        check(t % 3 == 1 ? txn_abort(producer, &diag) : txn_commit(producer, &diag), &diag);
    }
    fill_group(&offset, "plain", "events", 0, 40, "some metadata");
    check(group_commit(the_log, "plain", &offset, 1, &diag), &diag);
    producer_close(producer);
    log_close(the_log);
}

/* Ends with an open transaction, a plain tail and no clean close. */
static void second_life(const char *dir)
{
    struct diag diag = {0};
    struct producer *producer;
    struct partition_offsets offsets;
    open_log(dir);
    check(producer_open(the_log, "golden-tx", &producer, &diag), &diag);
    check(txn_begin(producer, &diag), &diag);
    append(producer, "transactions", 0, CODEC_LZ4, 200, 5);
    append(producer, "transactions", 1, CODEC_ZSTD, 205, 5);
    append(NULL, "transactions", 1, CODEC_NONE, 2000, 2);
    append(NULL, "events", 1, CODEC_SNAPPY, 300, 9);
    append_numbered("numbered", 90, 9);
    printf("numbered numbered %d 2 90 9 90\n", NUMBERED_ID);
    for (int32_t i = 0; i < 2; i++) {
        partition_offsets(get("transactions", i), &offsets);
        check(partition_wait(get("transactions", i), offsets.end, -1), &diag);
    }
    say_offsets("events", 2);
    say_offsets("codecs", 1);
    say_offsets("transactions", 2);
    say_offsets("empty", 3);
    say_offsets("numbered", 1);
    say_offsets("compacted", 1);
    printf("producer golden-tx %" PRId64 " %d\n", producer_id(producer), producer_epoch(producer));
    fflush(stdout);
    _exit(0);
}

int main(int argc, char **argv)
{
    int status;
    if (argc != 2) {
        fprintf(stderr, "usage: make_golden DIR\n");
        return 2;
    }
    first_life(argv[1]);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        second_life(argv[1]);
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status)
               ? WEXITSTATUS(status)
               : 1;
}
