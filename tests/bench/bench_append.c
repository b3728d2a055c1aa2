/* bench_append.c: how fast records get into the log, and how fast they are safe there.
 *
 * sender       records of 100 bytes without key through the embedded sender with its defaults (lz4,
 *              256 KiB a batch), durability=os, one thread, one partition; until sender_flush
 * returned sender-none  the same without compression batches      batches of 1 MiB of random bytes,
 * encoded before, given to partition_append; durability=os, four partitions durable-1    one thread
 * that appends one record and waits until it is durable, again and again, beside a bare loop over
 * the same bytes: write, fdatasync. They take turns, so that both see the same disk. The bar is 0.6
 * of the bare loop durable-64   64 threads that do the same on one partition. The bar is ten times
 * what one of them gets alone txn          four participants, one small record each, committed; the
 * commit's latency
 *
 * Each run has a directory of its own and reads back what it wrote: the count, and a sum over the
 * contents, must be what the arithmetic of the generator says. */
#include "runtime/base/clock.h"
#include "runtime/base/io.h"
#include "tests/support/bench_log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SENDER_RECORDS = 10000000,
    PARTITIONS = 4,
    BATCH_VALUE_BYTES = 1 << 20,
    BATCH_COUNT = 1500,
    SLICES = 10, /* turns that durable-1 and the bare loop take */
    SLICE_WAITS = 100,
    THREADS = 64,
    THREAD_WAITS = 200,
    COMMITS = 300,
    FETCH_BYTES = 4 << 20
};

/* What a partition holds: records, and the sum over their contents. */
struct contents {
    int64_t count;
    uint64_t sum;
};

static void read_back(struct partition *partition, struct contents *contents)
{
    struct fetch fetch;
    struct fetch_reader reader;
    struct record record;
    struct diag diag = {0};
    int64_t at = 0;
    fetch_init(&fetch);
    fetch_reader_init(&reader);
    for (;;) {
        bench_must(partition_fetch(partition, at, READ_COMMITTED, FETCH_BYTES, &fetch, &diag),
                   &diag);
        if (fetch.next_offset == at)
            break;
        fetch_reader_start(&reader, &fetch, at);
        while (fetch_reader_next(&reader, &record) == 1) {
            contents->count++;
            contents->sum += bench_record_sum(record.value);
        }
        at = fetch.next_offset;
    }
    fetch_reader_deinit(&reader);
    fetch_deinit(&fetch);
}

static void check_contents(struct bench_case *one, struct partition *partition, int64_t count)
{
    struct contents found = {0};
    uint64_t sum = 0;
    char text[BENCH_RECORD_BYTES];
    for (int64_t n = 0; n < count; n++) {
        bench_record(n, text);
        sum += bench_record_sum(bytes_of(text, sizeof text));
    }
    read_back(partition, &found);
    if (found.count != count || found.sum != sum)
        snprintf(one->check, sizeof one->check,
                 "%" PRId64 " records with sum %" PRIx64 " instead of %" PRId64 " with %" PRIx64,
                 found.count, found.sum, count, sum);
}

/* ---- the sender ---- */

static void run_sender(struct bench_log *run, struct bench_case *one, enum codec codec)
{
    struct log_options options = {.durability = DURABILITY_OS};
    struct sender_options sending = {.codec = codec, .codec_is_set = true};
    struct log *log = bench_log_open(run, one->name, &options);
    struct sender *sender;
    struct diag diag = {0};
    char text[BENCH_RECORD_BYTES];
    int64_t count = SENDER_RECORDS / 100 * run->scale_percent;
    bench_topic(log, 1, NULL);
    bench_must(sender_open(log, "bench", &sending, &sender, &diag), &diag);
    int64_t now = clock_wall_ms(), began = clock_mono_ns();
    for (int64_t n = 0; n < count; n++) {
        bench_record(n, text);
        bench_must(sender_send(sender, -1, now + n / 1000000, bytes_of(NULL, 0),
                               bytes_of(text, sizeof text), bytes_of("", 0), 0, &diag),
                   &diag);
    }
    bench_must(sender_flush(sender, true, &diag), &diag);
    bench_add(one, (double)count / bench_seconds_since(began));
    sender_close(sender);
    check_contents(one, bench_partition(log, 0), count);
    log_close(log);
    bench_log_remove(run, one->name);
}

static void bench_sender(struct bench_log *run, const char *name, enum codec codec, double bar)
{
    struct bench_case one = {.name = name, .unit = "records/s", .bar = bar};
    if (!bench_log_wants(run, name))
        return;
    for (int i = 0; i < run->repeat; i++)
        run_sender(run, &one, codec);
    bench_print(run, &one);
}

/* ---- whole batches ---- */

static uint8_t *make_batch(const void *value, size_t value_bytes, size_t *size)
{
    struct batch_builder builder;
    struct bytes batch;
    batch_builder_init(&builder, CODEC_NONE);
    must(batch_builder_add(&builder, clock_wall_ms(), bytes_of(NULL, 0),
                           bytes_of(value, value_bytes), bytes_of("", 0), 0) == 0);
    must(batch_builder_finish(&builder, &batch) == 0);
    uint8_t *copy = malloc(batch.size);
    must(copy != NULL);
    memcpy(copy, batch.data, batch.size);
    *size = batch.size;
    batch_builder_deinit(&builder);
    return copy;
}

static uint8_t *make_big_batch(size_t *size)
{
    uint8_t *value = malloc(BATCH_VALUE_BYTES);
    must(value != NULL);
    for (size_t i = 0; i < BATCH_VALUE_BYTES; i++)
        value[i] = (uint8_t)rand();
    uint8_t *batch = make_batch(value, BATCH_VALUE_BYTES, size);
    free(value);
    return batch;
}

/* Every stored batch must be the one that was given, but for its base offset and leader epoch. */
static void check_batches(struct bench_case *one, struct partition *partition, const uint8_t *batch,
                          size_t size, int64_t count)
{
    struct fetch fetch;
    struct diag diag = {0};
    int64_t at = 0;
    fetch_init(&fetch);
    for (; at < count; at = fetch.next_offset) {
        bench_must(partition_fetch(partition, at, READ_COMMITTED, size, &fetch, &diag), &diag);
        if (fetch.next_offset != at + 1 || fetch.bytes.size != size ||
            memcmp(fetch.bytes.data + 16, batch + 16, size - 16) != 0) {
            snprintf(one->check, sizeof one->check, "the batch at %" PRId64 " is another one", at);
            break;
        }
    }
    fetch_deinit(&fetch);
}

static void run_batches(struct bench_log *run, struct bench_case *one, uint8_t *batch, size_t size)
{
    struct log_options options = {.durability = DURABILITY_OS};
    struct log *log = bench_log_open(run, one->name, &options);
    struct partition *partitions[PARTITIONS];
    struct diag diag = {0};
    int64_t count = BATCH_COUNT / 100 * run->scale_percent / PARTITIONS * PARTITIONS;
    bench_topic(log, PARTITIONS, NULL);
    for (int32_t p = 0; p < PARTITIONS; p++)
        partitions[p] = bench_partition(log, p);
    int64_t began = clock_mono_ns();
    for (int64_t i = 0; i < count; i++)
        bench_must(partition_append(partitions[i % PARTITIONS], batch, size, NULL, &diag), &diag);
    bench_add(one, (double)size * (double)count / 1e6 / bench_seconds_since(began));
    for (int32_t p = 0; p < PARTITIONS; p++)
        check_batches(one, partitions[p], batch, size, count / PARTITIONS);
    log_close(log);
    bench_log_remove(run, one->name);
}

static void bench_batches(struct bench_log *run)
{
    struct bench_case one = {.name = "batches", .unit = "MB/s", .bar = 1000};
    if (!bench_log_wants(run, one.name))
        return;
    size_t size;
    uint8_t *batch = make_big_batch(&size);
    for (int i = 0; i < run->repeat; i++)
        run_batches(run, &one, batch, size);
    bench_print(run, &one);
    free(batch);
}

/* ---- durable acknowledgements ---- */

static void append_and_wait(struct partition *partition, uint8_t *batch, size_t size)
{
    struct diag diag = {0};
    int64_t base;
    bench_must(partition_append(partition, batch, size, &base, &diag), &diag);
    bench_must(partition_wait(partition, base + 1, -1), &diag);
}

static double waits_per_second(struct partition *partition, uint8_t *batch, size_t size, int count)
{
    int64_t began = clock_mono_ns();
    for (int i = 0; i < count; i++)
        append_and_wait(partition, batch, size);
    return count / bench_seconds_since(began);
}

/* The loop that anybody would write: the same bytes at the end of a file, and a flush. */
struct bare {
    int fd;
    int64_t size;
};

static double bare_per_second(struct bare *bare, const uint8_t *batch, size_t size, int count)
{
    struct diag diag = {0};
    int64_t began = clock_mono_ns();
    for (int i = 0; i < count; i++, bare->size += (int64_t)size) {
        bench_must(io_pwrite(bare->fd, batch, size, bare->size, &diag), &diag);
        bench_must(io_fdatasync(bare->fd, &diag), &diag);
    }
    return count / bench_seconds_since(began);
}

struct waiter {
    pthread_t thread;
    struct partition *partition;
    size_t size;
    uint8_t *batch;
};

static void *wait_thread(void *context)
{
    struct waiter *waiter = context;
    for (int i = 0; i < THREAD_WAITS; i++)
        append_and_wait(waiter->partition, waiter->batch, waiter->size);
    return NULL;
}

static double many_per_second(struct partition *partition, const char *text)
{
    struct waiter waiters[THREADS];
    for (int i = 0; i < THREADS; i++) {
        waiters[i].partition = partition;
        waiters[i].batch = make_batch(text, BENCH_RECORD_BYTES, &waiters[i].size);
    }
    int64_t began = clock_mono_ns();
    for (int i = 0; i < THREADS; i++)
        must(pthread_create(&waiters[i].thread, NULL, wait_thread, &waiters[i]) == 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(waiters[i].thread, NULL);
    double rate = THREADS * THREAD_WAITS / bench_seconds_since(began);
    for (int i = 0; i < THREADS; i++)
        free(waiters[i].batch);
    return rate;
}

static void check_durable(struct bench_case *one, struct partition *partition, const char *text,
                          int64_t count)
{
    struct contents found = {0};
    struct partition_offsets offsets;
    partition_offsets(partition, &offsets);
    read_back(partition, &found);
    uint64_t sum = (uint64_t)count * bench_record_sum(bytes_of(text, BENCH_RECORD_BYTES));
    if (found.count != count || found.sum != sum || offsets.high_watermark != count)
        snprintf(one->check, sizeof one->check,
                 "%" PRId64 " records below high watermark %" PRId64 " instead of %" PRId64,
                 found.count, offsets.high_watermark, count);
}

/* One repetition of both: the figure of one waiter is the bar of 64. */
static void run_durable(struct bench_log *run, struct bench_case *alone, struct bench_case *many,
                        double *bare_rates, double *many_ratios)
{
    char path[1024], text[BENCH_RECORD_BYTES];
    struct diag diag = {0};
    struct bare bare = {.size = 0};
    size_t size;
    double rates[SLICES], bares[SLICES];
    struct log *log = bench_log_open(run, "durable", NULL);
    bench_topic(log, 1, NULL);
    struct partition *partition = bench_partition(log, 0);
    bench_record(1, text);
    uint8_t *batch = make_batch(text, sizeof text, &size);
    snprintf(path, sizeof path, "%s/bare", run->dir);
    bench_must(io_open(path, O_RDWR | O_CREAT | O_TRUNC, 0644, &bare.fd, &diag), &diag);
    for (int i = 0; i < SLICES; i++) {
        bares[i] = bare_per_second(&bare, batch, size, SLICE_WAITS);
        rates[i] = waits_per_second(partition, batch, size, SLICE_WAITS);
    }
    bare_rates[alone->count] = bench_median(bares, SLICES);
    bench_add(alone, bench_median(rates, SLICES));
    double rate = many_per_second(partition, text);
    many_ratios[many->count] = rate / alone->values[many->count];
    bench_add(many, rate);
    check_durable(many, partition, text, SLICES * SLICE_WAITS + THREADS * THREAD_WAITS);
    memcpy(alone->check, many->check, sizeof alone->check);
    io_close(bare.fd);
    free(batch);
    log_close(log);
    bench_log_remove(run, "durable");
}

static void bench_durable(struct bench_log *run)
{
    struct bench_case alone = {.name = "durable-1", .unit = "acknowledged/s"};
    struct bench_case many = {.name = "durable-64", .unit = "acknowledged/s"};
    double bares[BENCH_REPEAT_MAX], ratios[BENCH_REPEAT_MAX];
    if (!bench_log_wants(run, alone.name) && !bench_log_wants(run, many.name))
        return;
    for (int i = 0; i < run->repeat; i++)
        run_durable(run, &alone, &many, bares, ratios);
    double bare = bench_median(bares, alone.count);
    alone.bar = 0.6 * bare;
    many.bar = 10 * bench_median(alone.values, alone.count);
    snprintf(alone.more, sizeof alone.more, "\"write_and_fdatasync_per_s\":%.6g,", bare);
    snprintf(many.more, sizeof many.more, "\"times_one_waiter\":%.1f,",
             bench_median(ratios, many.count));
    bench_print(run, &alone);
    bench_print(run, &many);
}

/* ---- transactions ---- */

static void run_txn(struct bench_log *run, struct bench_case *one)
{
    char text[BENCH_RECORD_BYTES];
    struct diag diag = {0};
    struct producer *producer;
    struct partition *partitions[PARTITIONS];
    size_t size;
    struct log *log = bench_log_open(run, one->name, NULL);
    bench_topic(log, PARTITIONS, NULL);
    bench_record(1, text);
    uint8_t *batch = make_batch(text, sizeof text, &size);
    for (int32_t p = 0; p < PARTITIONS; p++)
        partitions[p] = bench_partition(log, p);
    bench_must(producer_open(log, "bench", &producer, &diag), &diag);
    int64_t began = clock_mono_ns();
    for (int i = 0; i < COMMITS; i++) {
        bench_must(txn_begin(producer, &diag), &diag);
        bench_must(txn_participate(producer, partitions, PARTITIONS, &diag), &diag);
        for (int p = 0; p < PARTITIONS; p++)
            bench_must(txn_append(producer, partitions[p], batch, size, NULL, &diag), &diag);
        bench_must(txn_commit(producer, &diag), &diag);
    }
    bench_add(one, bench_seconds_since(began) * 1e6 / COMMITS);
    producer_close(producer);
    for (int p = 0; p < PARTITIONS; p++) {
        struct contents found = {0};
        read_back(partitions[p], &found);
        if (found.count != COMMITS)
            snprintf(one->check, sizeof one->check, "%" PRId64 " committed records instead of %d",
                     found.count, COMMITS);
    }
    free(batch);
    log_close(log);
    bench_log_remove(run, one->name);
}

static void bench_txn(struct bench_log *run)
{
    struct bench_case one = {.name = "txn", .unit = "us", .less_is_better = true};
    if (!bench_log_wants(run, one.name))
        return;
    for (int i = 0; i < run->repeat; i++)
        run_txn(run, &one);
    bench_print(run, &one);
}

int main(int argc, char **argv)
{
    struct bench_log run;
    bench_log_start(&run, "append", argc, argv);
    bench_sender(&run, "sender", CODEC_LZ4, 2e6);
    bench_sender(&run, "sender-none", CODEC_NONE, 0);
    bench_batches(&run);
    bench_durable(&run);
    bench_txn(&run);
    return bench_log_end(&run);
}
