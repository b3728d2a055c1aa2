/* bench_read.c: how fast one thread gets records out of the log again, from the page cache.
 *
 * A partition is filled with records of 100 bytes by the embedded sender, and read from start to
 * end in fetches of 1 MiB: partition_fetch (CRC of each batch), then fetch_reader_next to each
 * record, whose value is looked at. The first pass, which warms the cache, does not count.
 *
 * lz4   the sender's default: decompression counts
 * none  without compression: more bytes to copy and to check
 * fetch of uncompressed batches alone, nothing decoded: MB/s
 * time  partition_find_time for random times: microseconds each
 *
 * Rates are per second of the thread's CPU time, that is per core, so that a shared machine shows
 * the same as an idle one; `wall` is the rate by the clock on the wall. */
#include "runtime/base/clock.h"
#include "tests/support/bench_harness.h"
#include "tests/support/bench_log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { RECORDS = 5000000, FETCH_BYTES = 1 << 20, LOOKUPS = 20000, RECORDS_PER_MS = 10 };

static double cpu_seconds(void)
{
    struct timespec at;
    must(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at) == 0);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

struct source {
    struct log *log;
    struct partition *partition;
    int64_t count, first_ms;
    uint64_t sum;
};

static void fill(struct bench_log *run, const char *name, enum codec codec, struct source *source)
{
    struct log_options options = {.durability = DURABILITY_OS};
    struct sender_options sending = {.codec = codec, .codec_is_set = true};
    struct sender *sender;
    struct diag diag = {0};
    char text[BENCH_RECORD_BYTES];
    *source = (struct source){.count = RECORDS / 100 * run->scale_percent};
    source->first_ms = clock_wall_ms() - source->count / RECORDS_PER_MS;
    source->log = bench_log_open(run, name, &options);
    bench_topic(source->log, 1, NULL);
    bench_must(sender_open(source->log, "bench", &sending, &sender, &diag), &diag);
    for (int64_t n = 0; n < source->count; n++) {
        bench_record(n, text);
        source->sum += bench_record_sum(bytes_of(text, sizeof text));
        bench_must(sender_send(sender, 0, source->first_ms + n / RECORDS_PER_MS, bytes_of(NULL, 0),
                               bytes_of(text, sizeof text), bytes_of("", 0), 0, &diag),
                   &diag);
    }
    bench_must(sender_flush(sender, true, &diag), &diag);
    sender_close(sender);
    source->partition = bench_partition(source->log, 0);
}

static void drop(struct bench_log *run, const char *name, struct source *source)
{
    log_close(source->log);
    bench_log_remove(run, name);
}

/* One pass over everything; decode: down to each record. Returns the bytes fetched. */
static int64_t pass(struct source *source, bool decode, struct bench_case *one)
{
    struct fetch fetch;
    struct fetch_reader reader;
    struct record record;
    struct diag diag = {0};
    int64_t at = 0, bytes = 0, count = 0;
    uint64_t sum = 0;
    fetch_init(&fetch);
    fetch_reader_init(&reader);
    for (;;) {
        bench_must(
            partition_fetch(source->partition, at, READ_COMMITTED, FETCH_BYTES, &fetch, &diag),
            &diag);
        if (fetch.next_offset == at)
            break;
        bytes += (int64_t)fetch.bytes.size;
        if (decode) {
            fetch_reader_start(&reader, &fetch, at);
            while (fetch_reader_next(&reader, &record) == 1) {
                count++;
                sum += bench_record_sum(record.value);
            }
        }
        at = fetch.next_offset;
    }
    fetch_reader_deinit(&reader);
    fetch_deinit(&fetch);
    if (at != source->count || (decode && (count != source->count || sum != source->sum)))
        snprintf(one->check, sizeof one->check,
                 "%" PRId64 " records with sum %" PRIx64 " instead of %" PRId64 " with %" PRIx64,
                 count, sum, source->count, source->sum);
    return bytes;
}

static void bench_decode(struct bench_log *run, const char *name, enum codec codec)
{
    struct bench_case one = {.name = name, .unit = "records/s", .bar = 5e6};
    struct source source;
    double wall[BENCH_REPEAT_MAX];
    if (!bench_log_wants(run, name))
        return;
    fill(run, name, codec, &source);
    pass(&source, true, &one);
    for (int i = 0; i < run->repeat; i++) {
        int64_t began = clock_mono_ns();
        double cpu = cpu_seconds();
        pass(&source, true, &one);
        wall[i] = (double)source.count / bench_seconds_since(began);
        bench_add(&one, (double)source.count / (cpu_seconds() - cpu));
    }
    snprintf(one.more, sizeof one.more, "\"wall\":%.6g,", bench_median(wall, one.count));
    bench_print(run, &one);
    drop(run, name, &source);
}

/* ---- without decoding ---- */

static void run_find_time(struct source *source, struct bench_case *one, int64_t seed)
{
    struct diag diag = {0};
    double cpu = cpu_seconds();
    for (int64_t i = 0; i < LOOKUPS; i++) {
        int64_t ms =
            (int64_t)(bench_mix((uint64_t)(seed + i)) % (uint64_t)(source->count / RECORDS_PER_MS));
        int64_t offset, found;
        bench_must(
            partition_find_time(source->partition, source->first_ms + ms, &offset, &found, &diag),
            &diag);
        if (offset != ms * RECORDS_PER_MS || found != source->first_ms + ms)
            snprintf(one->check, sizeof one->check,
                     "%" PRId64 " ms after the first: offset %" PRId64 " instead of %" PRId64, ms,
                     offset, ms * RECORDS_PER_MS);
    }
    bench_add(one, (cpu_seconds() - cpu) * 1e6 / LOOKUPS);
}

static void bench_fetch(struct bench_log *run)
{
    struct bench_case fetch = {.name = "fetch", .unit = "MB/s"};
    struct bench_case find = {.name = "time", .unit = "us", .less_is_better = true};
    struct source source;
    if (!bench_log_wants(run, fetch.name) && !bench_log_wants(run, find.name))
        return;
    fill(run, fetch.name, CODEC_NONE, &source);
    pass(&source, false, &fetch);
    for (int i = 0; i < run->repeat; i++) {
        double cpu = cpu_seconds();
        int64_t bytes = pass(&source, false, &fetch);
        bench_add(&fetch, (double)bytes / 1e6 / (cpu_seconds() - cpu));
    }
    bench_print(run, &fetch);
    for (int i = 0; i < run->repeat; i++)
        run_find_time(&source, &find, (int64_t)i * LOOKUPS);
    bench_print(run, &find);
    drop(run, fetch.name, &source);
}

int main(int argc, char **argv)
{
    struct bench_log run;
    bench_log_start(&run, "read", argc, argv);
    bench_decode(&run, "lz4", CODEC_LZ4);
    bench_decode(&run, "none", CODEC_NONE);
    bench_fetch(&run);
    return bench_log_end(&run);
}
