/* bench_log.c: see bench_log.h. */
#include "tests/support/bench_log.h"
#include "runtime/base/clock.h"
#include "runtime/base/io.h"
#include "tests/support/bench_harness.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void usage(const char *bench)
{
    fprintf(
        stderr,
        "usage: tests/bench/run.sh %s [--repeat N] [--scale PERCENT] [--only TEXT] [--data DIR] "
        "[--keep]\n",
        bench);
    exit(2);
}

static int64_t number_argument(const struct bench_log *run, const char *text, int64_t most)
{
    char *end = NULL;
    long long value = text != NULL ? strtoll(text, &end, 10) : 0;
    if (text == NULL || *end != '\0' || value < 1 || value > most)
        usage(run->bench);
    return value;
}

void bench_log_start(struct bench_log *run, const char *bench, int argc, char **argv)
{
    const char *parent = getenv("TMPDIR");
    *run = (struct bench_log){.bench = bench, .repeat = 3, .scale_percent = 100};
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--keep") == 0) {
            run->keep = true;
            continue;
        }
        i++;
        if (strcmp(argv[i - 1], "--repeat") == 0)
            run->repeat = (int)number_argument(run, value, BENCH_REPEAT_MAX);
        else if (strcmp(argv[i - 1], "--scale") == 0)
            run->scale_percent = number_argument(run, value, 10000);
        else if (strcmp(argv[i - 1], "--only") == 0 && value != NULL)
            run->only = value;
        else if (strcmp(argv[i - 1], "--data") == 0 && value != NULL)
            parent = value;
        else
            usage(bench);
    }
    snprintf(run->dir, sizeof run->dir, "%s/weir-bench-XXXXXX",
             parent != NULL ? parent : "/var/tmp");
    if (mkdtemp(run->dir) == NULL) {
        perror(run->dir);
        exit(1);
    }
}

bool bench_log_wants(const struct bench_log *run, const char *name)
{
    return run->only == NULL || strstr(name, run->only) != NULL;
}

int bench_log_end(struct bench_log *run)
{
    struct diag diag;
    if (run->keep)
        fprintf(stderr, "kept %s\n", run->dir);
    else
        bench_must(io_remove_tree(run->dir, &diag), &diag);
    return run->failed ? 4 : 0;
}

/* ---- one case ---- */

void bench_add(struct bench_case *one, double value)
{
    must(one->count < BENCH_REPEAT_MAX);
    one->values[one->count++] = value;
}

static int compare_values(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

double bench_median(const double *values, int count)
{
    double sorted[BENCH_REPEAT_MAX];
    must(count > 0 && count <= BENCH_REPEAT_MAX);
    memcpy(sorted, values, (size_t)count * sizeof *values);
    qsort(sorted, (size_t)count, sizeof *sorted, compare_values);
    return count % 2 == 1 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

static double ratio_of(const struct bench_case *one, double value)
{
    return one->less_is_better ? one->bar / value : value / one->bar;
}

void bench_print(struct bench_log *run, struct bench_case *one)
{
    double median = bench_median(one->values, one->count), best = one->values[0], load = 0;
    for (int i = 1; i < one->count; i++)
        if (one->less_is_better ? one->values[i] < best : one->values[i] > best)
            best = one->values[i];
    (void)getloadavg(&load, 1);
    printf("{\"bench\":\"%s\",\"case\":\"%s\",\"unit\":\"%s\",\"median\":%.6g,\"best\":%.6g,",
           run->bench, one->name, one->unit, median, best);
    if (one->bar > 0)
        printf("\"bar\":%.6g,\"ratio\":%.2f,\"best_ratio\":%.2f,", one->bar, ratio_of(one, median),
               ratio_of(one, best));
    printf("%s\"runs\":%d,\"load\":%.1f,\"check\":\"%s%s\"}\n", one->more, one->count, load,
           one->check[0] != '\0' ? "failed: " : "ok", one->check);
    fflush(stdout);
    run->failed = run->failed || one->check[0] != '\0';
}

/* ---- the log ---- */

void bench_must(int rc, const struct diag *diag)
{
    if (rc >= 0)
        return;
    fprintf(stderr, "%s: %s\n", error_text(rc), diag->text);
    exit(1);
}

struct log *bench_log_open(const struct bench_log *run, const char *name,
                           const struct log_options *options)
{
    char path[1024];
    struct log *log;
    struct diag diag = {0};
    snprintf(path, sizeof path, "%s/%s", run->dir, name);
    bench_must(log_open(path, options, &log, &diag), &diag);
    return log;
}

void bench_topic(struct log *log, int32_t partitions, const char *segment_bytes)
{
    struct config_entry config = {"segment.bytes", segment_bytes};
    struct diag diag = {0};
    bench_must(
        topic_create(log, "bench", partitions, &config, segment_bytes != NULL ? 1 : 0, &diag),
        &diag);
}

struct partition *bench_partition(struct log *log, int32_t index)
{
    struct partition *partition;
    struct diag diag = {0};
    bench_must(partition_get(log, "bench", index, &partition, &diag), &diag);
    return partition;
}

void bench_log_remove(const struct bench_log *run, const char *name)
{
    char path[1024];
    struct diag diag = {0};
    snprintf(path, sizeof path, "%s/%s", run->dir, name);
    bench_must(io_remove_tree(path, &diag), &diag);
}

double bench_seconds_since(int64_t began_ns)
{
    return (double)(clock_mono_ns() - began_ns) / 1e9;
}

/* ---- records ---- */

static void put_hex(char *at, uint64_t value)
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 15; i >= 0; i--, value >>= 4)
        at[i] = digits[value & 15];
}

void bench_record(int64_t n, char text[BENCH_RECORD_BYTES])
{
    static const char form[BENCH_RECORD_BYTES + 1] =
        "{\"id\":\"0000000000000000\",\"session\":\"0000000000000000\",\"state\":\"active\","
        "\"reading\":"
        "\"0000000000000000\"}";
    _Static_assert(sizeof form == BENCH_RECORD_BYTES + 1, "a record has 100 bytes");
    memcpy(text, form, BENCH_RECORD_BYTES);
    put_hex(text + 7, (uint64_t)n);
    put_hex(text + 36, bench_mix((uint64_t)n / 16));
    put_hex(text + 82, bench_mix((uint64_t)n) & 0xffffffff);
}

uint64_t bench_record_sum(struct bytes value)
{
    uint64_t id, reading;
    if (value.size != BENCH_RECORD_BYTES)
        return 1;
    memcpy(&id, value.data + 15, sizeof id);
    memcpy(&reading, value.data + 90, sizeof reading);
    return id * UINT64_C(0x9E3779B97F4A7C15) + reading;
}
