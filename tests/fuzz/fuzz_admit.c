/* fuzz_admit.c: any bytes as a producer's batch for topics that do something with it: each
 * compression.type, both timestamp types, compacted. A log is made once, in memory where the system
 * has it. What is refused leaves nothing behind. What is taken can be read back whole, with the
 * topic's codec and the records, keys, values, headers and times that came.
 *
 * Input: byte 0 names the topic, byte 1 how the batch is made, byte 2 its count of records; then
 *   bit 0 of byte 1 clear   a block of records, which gets a header that fits, in codec (bits 1–3)
 *   bit 0 of byte 1 set     a whole batch, whose length and CRC are made right
 * With bit 4 it goes through a transaction. */
#include "log/log_internal.h"
#include "runtime/base/hash.h"
#include "runtime/base/io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TYPES = 6, TOPICS = 2 * TYPES, PURGE_EVERY = 512 };

static struct log *opened;
static struct partition *partitions[TOPICS];
static struct producer *producer;
static char root[64];

static void must_work(int rc, const struct diag *diag)
{
    if (rc < 0)
        fprintf(stderr, "%s\n", diag->text);
    must(rc >= 0);
}

static void close_all(void)
{
    producer_close(producer);
    log_close(opened);
    (void)io_remove_tree(root, NULL);
}

static void open_all(void)
{
    static const char *const types[TYPES] = {"producer", "uncompressed", "gzip",
                                             "snappy",   "lz4",          "zstd"};
    struct diag diag = {0};
    snprintf(root, sizeof root, "%s/weir-fuzz-admit-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    must(mkdtemp(root) != NULL);
    must_work(log_open(root, &(struct log_options){.durability = DURABILITY_OS}, &opened, &diag),
              &diag);
    for (int i = 0; i < TOPICS; i++) {
        char name[8];
        bool stamped = i >= TYPES;
        struct config_entry config[] = {
            {"compression.type", types[i % TYPES]},
            {"message.timestamp.type", stamped ? "LogAppendTime" : "CreateTime"},
            {"message.timestamp.after.max.ms", "9223372036854775807"},
            {"message.timestamp.before.max.ms", "9223372036854775806"},
            {"segment.bytes", "1048576"},
            {"max.message.bytes", "1048576"},
            /* compacted, so that the records are read where nothing else asks for it */
            {"cleanup.policy", i % TYPES == 0 || stamped ? "compact" : "delete"},
        };
        snprintf(name, sizeof name, "t%d", i);
        must_work(topic_create(opened, name, 1, config, sizeof config / sizeof *config, &diag),
                  &diag);
        must_work(partition_get(opened, name, 0, &partitions[i], &diag), &diag);
    }
    must_work(producer_open(opened, "fuzz", &producer, &diag), &diag);
    atexit(close_all);
}

/* The batch that the input describes; malloc'ed. NULL: it describes none. */
static uint8_t *make_batch(uint8_t how, uint8_t count, struct bytes in, size_t *size)
{
    struct buf out = {0};
    if ((how & 1) != 0) {
        if (in.size < BATCH_HEADER_BYTES)
            return NULL;
        buf_append_bytes(&out, in);
    } else {
        uint8_t header[BATCH_HEADER_BYTES] = {0};
        int codec = (how >> 1 & 7) % 5;
        header[22] = (uint8_t)codec;
        store_be32(header + 23, (uint32_t)count - 1);
        store_be64(header + 27, 1700000000000);
        store_be64(header + 35, 1700000000000);
        memset(header + 43, 0xff, 14); /* no producer */
        store_be32(header + 57, count);
        buf_append(&out, header, sizeof header);
        must(codec_compress((enum codec)codec, in, &out) == 0);
    }
    must(buf_ok(&out));
    uint8_t *batch = realloc(out.data, out.size); /* exact, so that a read past the end is seen */
    must(batch != NULL);
    *size = out.size;
    batch[16] = 2;
    store_be32(batch + 8, (uint32_t)*size - BATCH_OVERHEAD_BYTES);
    store_be32(batch + 17, crc32c(batch + 21, *size - 21));
    return batch;
}

static int append(struct partition *partition, bool in_transaction, uint8_t *batch, size_t size)
{
    struct diag diag = {0};
    if (!in_transaction)
        return partition_append(partition, batch, size, NULL, &diag);
    must_work(txn_begin(producer, &diag), &diag);
    int rc = txn_append(producer, partition, batch, size, NULL, &diag);
    must_work(rc == 0 ? txn_commit(producer, &diag) : txn_abort(producer, &diag), &diag);
    return rc;
}

/* Both batches hold the same records. */
static void compare(struct bytes came, struct bytes stored, bool stamped)
{
    struct record_reader a, b;
    struct record one, other;
    struct buf plain_a = {0}, plain_b = {0};
    must(record_reader_open(&a, came, BATCH_PLAIN_LIMIT_BYTES, &plain_a, NULL) == 0);
    must(record_reader_open(&b, stored, BATCH_PLAIN_LIMIT_BYTES, &plain_b, NULL) == 0);
    must(a.header.record_count == b.header.record_count);
    must(batch_check_crc(stored, NULL) == 0);
    must(stamped == ((b.header.attributes & BATCH_ATTR_LOG_APPEND_TIME) != 0));
    a.header.attributes &= (uint16_t)~BATCH_ATTR_LOG_APPEND_TIME; /* a topic may take it off */
    int rc;
    while ((rc = record_reader_next(&a, &one)) == 1) {
        must(record_reader_next(&b, &other) == 1);
        must(one.offset - a.header.base_offset == other.offset - b.header.base_offset);
        must(bytes_equal(one.key, other.key) && bytes_equal(one.value, other.value));
        must(bytes_equal(one.headers, other.headers) && one.header_count == other.header_count);
        must(other.timestamp_ms == (stamped ? b.header.max_timestamp_ms : one.timestamp_ms));
    }
    must(rc == 0 && record_reader_next(&b, &other) == 0);
    buf_deinit(&plain_a);
    buf_deinit(&plain_b);
}

static void check_stored(int topic, int64_t offset, struct bytes came)
{
    struct fetch fetch;
    struct diag diag = {0};
    fetch_init(&fetch);
    must_work(partition_fetch(partitions[topic], offset, READ_UNCOMMITTED, 1, &fetch, &diag),
              &diag);
    struct bytes stored = bytes_of(fetch.bytes.data, fetch.bytes.size);
    compare(came, stored, topic >= TYPES);
    if (topic % TYPES > 0)
        must((stored.data[22] & BATCH_ATTR_CODEC) == topic % TYPES - 1);
    fetch_deinit(&fetch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned accepted;
    size_t batch_size;
    if (size < 3)
        return 0;
    if (opened == NULL)
        open_all();
    int topic = data[0] % TOPICS;
    uint8_t *batch = make_batch(data[1], data[2], bytes_of(data + 3, size - 3), &batch_size);
    if (batch == NULL)
        return 0;
    uint8_t *came = malloc(batch_size);
    must(came != NULL);
    memcpy(came, batch, batch_size);
    struct partition_offsets before, after;
    partition_offsets(partitions[topic], &before);
    int rc = append(partitions[topic], (data[1] & 16) != 0, batch, batch_size);
    partition_offsets(partitions[topic], &after);
    if (rc == 0)
        check_stored(topic, before.end, bytes_of(came, batch_size));
    else
        must(after.end == before.end || (data[1] & 16) != 0);
    if (rc == 0 && ++accepted % PURGE_EVERY == 0)
        for (int i = 0; i < TOPICS; i++) {
            partition_offsets(partitions[i], &after);
            must_work(partition_purge(partitions[i], after.stable, &(struct diag){0}),
                      &(struct diag){0});
        }
    free(came);
    free(batch);
    return 0;
}
