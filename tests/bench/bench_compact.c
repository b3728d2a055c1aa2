/* bench_compact.c: how fast compaction works through a log, and in how much memory.
 *
 * A partition of a compacted topic is filled with ten versions of each of a million keys: 16-byte
 * keys, in another order in each round, values of 100 bytes as in the other benchmarks, in batches
 * as the embedded sender makes them. Then everything but an empty active segment is closed, and one
 * topic_clean goes through it: a million keys stay.
 *
 * lz4    compressed batches, the sender's default
 * none   without compression
 *
 * The rate is bytes of closed segments, as they lie on disk and each counted once, per second of
 * wall time, though all of them are read twice: once for the map of keys, once to be written anew.
 * `cpu` is the rate by the thread's CPU time, `plain` the rate in bytes of records before compression, `peak_mb` the process's
 * anonymous memory at its highest (of the pass alone: the log was filled by another process), with
 * the default of 64 MiB for a compaction; no limit on its speed. Durable: files and directories are
 * flushed as always.
 *
 * The check reads everything back: every key once, with the value of its last version. */
#include "log/log_internal.h"
#include "runtime/base/clock.h"
#include "tests/support/bench_harness.h"
#include "tests/support/bench_log.h"
#include "tests/support/memory_sampler.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { KEYS = 1000000, VERSIONS = 10, KEY_BYTES = 16, FETCH_BYTES = 1 << 20 };

static const struct log_options options = {
    .durability = DURABILITY_OS, .keeper_interval_ms = -1, .cleaner_bytes_per_s = -1};

/* The key that is written n-th in a round: an order of its own in each. The step is a prime that
 * does not divide the number of keys, so that every key comes once. */
static int64_t key_at(int64_t n, int64_t version, int64_t keys)
{
    return (n * INT64_C(382693) + version * 7919) % keys;
}

static double cpu_seconds(void)
{
    struct timespec at;
    must(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at) == 0);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static void key_text(int64_t key, char text[KEY_BYTES + 1])
{
    memcpy(text, "key-", 4);
    for (int i = KEY_BYTES - 1; i >= 4; i--, key /= 10)
        text[i] = (char)('0' + key % 10);
    text[KEY_BYTES] = '\0';
}

static void make_topic(struct log *log)
{
    struct config_entry config[] = {{"cleanup.policy", "compact"}};
    struct diag diag = {0};
    bench_must(topic_create(log, "bench", 1, config, 1, &diag), &diag);
}

/* In a process of its own, so that its memory is not counted. */
static void fill(struct bench_log *run, const char *name, enum codec codec, int64_t keys)
{
    fflush(NULL);
    pid_t child = fork();
    must(child >= 0);
    if (child > 0) {
        int status;
        must(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
        return;
    }
    struct log *log = bench_log_open(run, name, &options);
    struct sender_options sending = {.codec = codec, .codec_is_set = true};
    struct sender *sender;
    struct diag diag = {0};
    int64_t now_ms = clock_wall_ms();
    make_topic(log);
    bench_must(sender_open(log, "bench", &sending, &sender, &diag), &diag);
    for (int64_t version = 0; version < VERSIONS; version++)
        for (int64_t n = 0; n < keys; n++) {
            char key[KEY_BYTES + 1], text[BENCH_RECORD_BYTES];
            int64_t k = key_at(n, version, keys);
            key_text(k, key);
            bench_record(version * keys + k, text);
            bench_must(sender_send(sender, 0, now_ms, bytes_text(key), bytes_of(text, sizeof text),
                                   bytes_of("", 0), 0, &diag),
                       &diag);
        }
    bench_must(sender_flush(sender, true, &diag), &diag);
    sender_close(sender);
    bench_must(partition_roll(bench_partition(log, 0), &diag), &diag);
    log_close(log);
    _exit(0);
}

static int64_t closed_bytes(struct partition *partition)
{
    int64_t bytes = 0;
    for (int32_t i = 0; i + 1 < partition->segment_count; i++)
        bytes += atomic_load(&partition->segments[i]->size_bytes);
    return bytes;
}

/* Every key once, with its last version. */
static void check(struct partition *partition, int64_t keys, struct bench_case *one)
{
    struct fetch fetch;
    struct fetch_reader reader;
    struct record record;
    struct diag diag = {0};
    uint8_t *seen = calloc((size_t)keys, 1);
    int64_t count = 0, wrong = 0;
    must(seen != NULL);
    fetch_init(&fetch);
    fetch_reader_init(&reader);
    for (int64_t at = 0;; at = fetch.next_offset) {
        bench_must(partition_fetch(partition, at, READ_COMMITTED, FETCH_BYTES, &fetch, &diag),
                   &diag);
        if (fetch.next_offset == at)
            break;
        fetch_reader_start(&reader, &fetch, at);
        while (fetch_reader_next(&reader, &record) == 1) {
            char key[KEY_BYTES + 1] = {0}, text[BENCH_RECORD_BYTES];
            memcpy(key, record.key.data, record.key.size < KEY_BYTES ? record.key.size : KEY_BYTES);
            int64_t k = atoll(key + 4);
            bool known = k >= 0 && k < keys && seen[k] == 0;
            bench_record((VERSIONS - 1) * keys + (known ? k : 0), text);
            if (!known || !bytes_equal(record.value, bytes_of(text, sizeof text)))
                wrong++;
            else
                seen[k] = 1;
            count++;
        }
    }
    if (wrong != 0 || count != keys)
        snprintf(one->check, sizeof one->check,
                 "%" PRId64 " records of %" PRId64 " keys, %" PRId64 " of them wrong", count, keys,
                 wrong);
    fetch_reader_deinit(&reader);
    fetch_deinit(&fetch);
    free(seen);
}

struct result {
    double peak_mb, plain_rate, cpu_rate;
    int64_t bytes_in, bytes_out;
};

/* One pass over what is closed. */
static void clean(struct log *log, int64_t records, struct bench_case *one, struct result *result)
{
    struct partition *partition = bench_partition(log, 0);
    struct keeper_report report = {0};
    struct memory_sampler sampler;
    struct diag diag = {0};
    result->bytes_in = closed_bytes(partition);
    memory_sampler_start(&sampler);
    int64_t began = clock_mono_ns();
    double cpu = cpu_seconds();
    bench_must(topic_clean(log, "bench", 0, &report, &diag), &diag);
    double seconds = bench_seconds_since(began);
    cpu = cpu_seconds() - cpu;
    memory_sampler_stop(&sampler);
    result->cpu_rate = (double)result->bytes_in / 1e6 / cpu;
    result->bytes_out = closed_bytes(partition);
    if (sampler.peak_anonymous_mb > result->peak_mb)
        result->peak_mb = sampler.peak_anonymous_mb;
    result->plain_rate = (double)(records * (KEY_BYTES + BENCH_RECORD_BYTES)) / 1e6 / seconds;
    if (report.partitions_compacted != 1)
        snprintf(one->check, sizeof one->check, "nothing was compacted");
    bench_add(one, (double)result->bytes_in / 1e6 / seconds);
}

static void print(struct bench_log *run, struct bench_case *one, const struct result *result)
{
    snprintf(one->more, sizeof one->more,
             "\"cpu\":%.6g,\"plain\":%.6g,\"mb_before\":%.0f,\"mb_after\":%.0f,\"peak_mb\":%.1f,",
             result->cpu_rate, result->plain_rate, (double)result->bytes_in / 1e6,
             (double)result->bytes_out / 1e6, result->peak_mb);
    bench_print(run, one);
}

static void bench_clean(struct bench_log *run, const char *name, enum codec codec)
{
    struct bench_case one = {.name = name, .unit = "MB/s", .bar = 200};
    struct result result = {0};
    int64_t keys = KEYS / 100 * run->scale_percent;
    if (!bench_log_wants(run, name))
        return;
    for (int i = 0; i < run->repeat; i++) {
        fill(run, name, codec, keys);
        struct log *log = bench_log_open(run, name, &options);
        clean(log, keys * VERSIONS, &one, &result);
        check(bench_partition(log, 0), keys, &one);
        log_close(log);
        bench_log_remove(run, name);
    }
    print(run, &one, &result);
}

int main(int argc, char **argv)
{
    struct bench_log run;
    bench_log_start(&run, "compact", argc, argv);
    bench_clean(&run, "lz4", CODEC_LZ4);
    bench_clean(&run, "none", CODEC_NONE);
    return bench_log_end(&run);
}
