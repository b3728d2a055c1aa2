/* bench_append.c: what the log alone does: appends, durable waits, sequential reads, transactions.
 * One JSON line each.
 *
 *   bench_append [DIR]     DIR is made and removed; default: a directory under $TMPDIR or /tmp
 *
 * append    256 KiB batches of random bytes to four partitions, then one wait for all: MB/s to
 * stable storage fetch     the same bytes read back in 1 MiB fetches, CRC checked, from the page
 * cache: MB/s wait      one small record and a wait for it, again and again: the latency of a
 * durable append, microseconds txn       four participants, one small record each, commit: the
 * latency of a commit, microseconds */
#include "log/log.h"
#include "runtime/base/clock.h"
#include "runtime/base/io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PARTITIONS = 4,
    BATCHES = 2000,
    VALUE_BYTES = 256 << 10,
    FETCH_BYTES = 1 << 20,
    WAITS = 500,
    COMMITS = 300
};

static struct partition *partitions[PARTITIONS];

static double seconds_since(int64_t began_ns)
{
    return (double)(clock_mono_ns() - began_ns) / 1e9;
}

static void check(int rc, const struct diag *diag)
{
    if (rc >= 0)
        return;
    fprintf(stderr, "%s: %s\n", error_text(rc), diag->text);
    exit(1);
}

static uint8_t *make_batch(size_t value_bytes, size_t *size)
{
    struct batch_builder builder;
    struct bytes batch;
    uint8_t *value = malloc(value_bytes);
    must(value != NULL);
    for (size_t i = 0; i < value_bytes; i++)
        value[i] = (uint8_t)rand();
    batch_builder_init(&builder, CODEC_NONE);
    must(batch_builder_add(&builder, clock_wall_ms(), bytes_of(NULL, 0),
                           bytes_of(value, value_bytes), bytes_of("", 0), 0) == 0);
    must(batch_builder_finish(&builder, &batch) == 0);
    uint8_t *copy = malloc(batch.size);
    must(copy != NULL);
    memcpy(copy, batch.data, batch.size);
    *size = batch.size;
    batch_builder_deinit(&builder);
    free(value);
    return copy;
}

static void wait_all(void)
{
    for (int i = 0; i < PARTITIONS; i++) {
        struct partition_offsets offsets;
        partition_offsets(partitions[i], &offsets);
        check(partition_wait(partitions[i], offsets.end, -1), &(struct diag){0});
    }
}

static void bench_append(struct diag *diag)
{
    size_t size;
    uint8_t *batch = make_batch(VALUE_BYTES, &size);
    int64_t began = clock_mono_ns();
    for (int i = 0; i < BATCHES; i++)
        check(partition_append(partitions[i % PARTITIONS], batch, size, NULL, diag), diag);
    wait_all();
    printf("{\"bench\":\"append\",\"mb_per_s\":%.0f}\n",
           (double)size * BATCHES / 1e6 / seconds_since(began));
    free(batch);
}

static void bench_fetch(struct diag *diag)
{
    struct fetch fetch;
    int64_t began = clock_mono_ns(), bytes = 0;
    fetch_init(&fetch);
    for (int i = 0; i < PARTITIONS; i++) {
        int64_t at = 0;
        for (;;) {
            check(partition_fetch(partitions[i], at, READ_COMMITTED, FETCH_BYTES, &fetch, diag),
                  diag);
            if (fetch.next_offset == at)
                break;
            bytes += (int64_t)fetch.bytes.size;
            at = fetch.next_offset;
        }
    }
    printf("{\"bench\":\"fetch\",\"mb_per_s\":%.0f}\n", (double)bytes / 1e6 / seconds_since(began));
    fetch_deinit(&fetch);
}

static void bench_wait(struct diag *diag)
{
    size_t size;
    uint8_t *batch = make_batch(100, &size);
    int64_t began = clock_mono_ns();
    for (int i = 0; i < WAITS; i++) {
        int64_t base;
        check(partition_append(partitions[0], batch, size, &base, diag), diag);
        check(partition_wait(partitions[0], base + 1, -1), diag);
    }
    printf("{\"bench\":\"wait\",\"us\":%.0f}\n", seconds_since(began) * 1e6 / WAITS);
    free(batch);
}

static void bench_txn(struct log *log, struct diag *diag)
{
    struct producer *producer;
    size_t size;
    uint8_t *batch = make_batch(100, &size);
    check(producer_open(log, "bench", &producer, diag), diag);
    int64_t began = clock_mono_ns();
    for (int i = 0; i < COMMITS; i++) {
        check(txn_begin(producer, diag), diag);
        check(txn_participate(producer, partitions, PARTITIONS, diag), diag);
        for (int p = 0; p < PARTITIONS; p++)
            check(txn_append(producer, partitions[p], batch, size, NULL, diag), diag);
        check(txn_commit(producer, diag), diag);
    }
    printf("{\"bench\":\"txn\",\"us\":%.0f}\n", seconds_since(began) * 1e6 / COMMITS);
    producer_close(producer);
    free(batch);
}

int main(int argc, char **argv)
{
    char dir[512];
    struct log *log;
    struct diag diag = {0};
    const char *base = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%s/weir-bench-XXXXXX", base != NULL ? base : "/tmp");
    if (argc > 1)
        snprintf(dir, sizeof dir, "%s", argv[1]);
    else if (mkdtemp(dir) == NULL)
        return 1;
    check(log_open(dir, NULL, &log, &diag), &diag);
    check(topic_create(log, "bench", PARTITIONS, NULL, 0, &diag), &diag);
    for (int32_t i = 0; i < PARTITIONS; i++)
        check(partition_get(log, "bench", i, &partitions[i], &diag), &diag);
    bench_append(&diag);
    bench_fetch(&diag);
    bench_wait(&diag);
    bench_txn(log, &diag);
    log_close(log);
    check(io_remove_tree(dir, &diag), &diag);
    return 0;
}
