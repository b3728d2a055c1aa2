/* bench_recover.c: how long a log takes to open, and what it reads for that.
 *
 * open-1000, open-10000          one topic of that many partitions, each with records, closed
 * cleanly recover-1000, recover-10000    the same after a kill: every partition got a record, and
 * the process ended without closing closed-100GB                   10,000 partitions, each with a
 * closed segment of 10 MB, killed likewise
 *
 * The time is that of log_open, from the page cache, and `read_mb` what the process read through
 * read calls meanwhile (rchar of /proc/self/io; LMDB's mapping does not count there). Closed
 * segments of 100 GB take no such room here: each is one real batch, and then the file and its
 * record in meta are made longer with a hole. To open them is the same work as if they were full:
 * nothing may look inside, as `read_mb` shows. After each opening every partition must be in order
 * and end where the writer ended.
 *
 * Nothing is dropped from the page cache between the runs, so what is measured is the program's
 * work, not the disk's. */
#include "log/meta.h"
#include "runtime/base/clock.h"
#include "runtime/base/io.h"
#include "tests/support/bench_log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CLOSED_BYTES = 10 << 20 };

struct shape {
    const char *name;
    int32_t partitions;
    bool killed, closed_segments;
    double bar_ms;
};

static uint8_t *make_batch(size_t *size)
{
    struct batch_builder builder;
    struct bytes batch;
    char text[BENCH_RECORD_BYTES];
    bench_record(1, text);
    batch_builder_init(&builder, CODEC_NONE);
    must(batch_builder_add(&builder, clock_wall_ms(), bytes_of(NULL, 0),
                           bytes_of(text, sizeof text), bytes_of("", 0), 0) == 0);
    must(batch_builder_finish(&builder, &batch) == 0);
    uint8_t *copy = malloc(batch.size);
    must(copy != NULL);
    memcpy(copy, batch.data, batch.size);
    *size = batch.size;
    batch_builder_deinit(&builder);
    return copy;
}

/* One record more in every partition. */
static void append_all(struct log *log, int32_t partitions)
{
    size_t size;
    struct diag diag = {0};
    uint8_t *batch = make_batch(&size);
    for (int32_t p = 0; p < partitions; p++)
        bench_must(partition_append(bench_partition(log, p), batch, size, NULL, &diag), &diag);
    free(batch);
}

/* ---- closed segments with a hole at their end ---- */

struct lengthening {
    struct meta_batch batch;
    int32_t count;
};

static int lengthen_record(void *context, struct bytes key, struct bytes value, struct diag *diag)
{
    struct lengthening *lengthening = context;
    struct meta_place place;
    struct meta_segment segment;
    (void)diag;
    TRY(meta_read_segment(key, value, &place, &segment));
    segment.size_bytes = CLOSED_BYTES;
    meta_put_segment(&lengthening->batch, &place, &segment);
    lengthening->count++;
    return 0;
}

static void lengthen(struct bench_log *run, const struct shape *shape)
{
    char path[1024];
    struct meta *meta;
    struct diag diag = {0};
    struct lengthening lengthening = {.count = 0};
    meta_batch_init(&lengthening.batch);
    snprintf(path, sizeof path, "%s/%s/meta", run->dir, shape->name);
    bench_must(meta_open(path, 0, &meta, &diag), &diag);
    bench_must(
        meta_scan(meta, META_SEGMENTS, bytes_of(NULL, 0), lengthen_record, &lengthening, &diag),
        &diag);
    must(lengthening.count == shape->partitions);
    bench_must(meta_apply(meta, &lengthening.batch, &diag), &diag);
    meta_batch_deinit(&lengthening.batch);
    meta_close(meta);
    for (int32_t p = 0; p < shape->partitions; p++) {
        int fd;
        snprintf(path, sizeof path, "%s/%s/topics/bench-%d/%020d.log", run->dir, shape->name, p, 0);
        bench_must(io_open(path, O_RDWR, 0, &fd, &diag), &diag);
        bench_must(io_truncate(fd, CLOSED_BYTES, &diag), &diag);
        io_close(fd);
    }
}

/* ---- making and opening ---- */

static int64_t make(struct bench_log *run, const struct shape *shape)
{
    struct log *log = bench_log_open(run, shape->name, NULL);
    bench_topic(log, shape->partitions, shape->closed_segments ? "256" : NULL);
    append_all(log, shape->partitions);
    append_all(log, shape->partitions);
    log_close(log);
    if (shape->closed_segments)
        lengthen(run, shape);
    return 2;
}

/* A life that ends as kill -9 ends it. */
static void live_and_die(struct bench_log *run, const struct shape *shape)
{
    fflush(NULL);
    pid_t child = fork();
    must(child >= 0);
    if (child == 0) {
        append_all(bench_log_open(run, shape->name, NULL), shape->partitions);
        _exit(0);
    }
    int status;
    must(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static int64_t bytes_read(void)
{
    FILE *file = fopen("/proc/self/io", "r");
    long long bytes = 0;
    if (file == NULL || fscanf(file, "rchar: %lld", &bytes) != 1)
        bytes = 0;
    if (file != NULL)
        fclose(file);
    return bytes;
}

static void check_partitions(struct bench_case *one, struct log *log, const struct shape *shape,
                             int64_t end)
{
    for (int32_t p = 0; p < shape->partitions; p++) {
        struct partition *partition = bench_partition(log, p);
        struct partition_offsets offsets;
        struct diag diag = {0};
        partition_offsets(partition, &offsets);
        if (partition_status(partition, &diag) < 0 || offsets.high_watermark != end)
            snprintf(one->check, sizeof one->check,
                     "partition %d ends at %" PRId64 ", not %" PRId64, p, offsets.high_watermark,
                     end);
    }
}

static void bench_shape(struct bench_log *run, const struct shape *shape)
{
    struct bench_case one = {
        .name = shape->name, .unit = "ms", .bar = shape->bar_ms, .less_is_better = true};
    int64_t read = 0;
    double closing_ms = 0;
    if (!bench_log_wants(run, shape->name))
        return;
    int64_t end = make(run, shape);
    for (int i = 0; i < run->repeat; i++) {
        if (shape->killed) {
            /* The third record closes the second one's segment where segments hold one each. */
            live_and_die(run, shape);
            end++;
        }
        int64_t before = bytes_read(), began = clock_mono_ns();
        struct log *log = bench_log_open(run, shape->name, NULL);
        bench_add(&one, bench_seconds_since(began) * 1e3);
        read = bytes_read() - before;
        check_partitions(&one, log, shape, end);
        began = clock_mono_ns();
        log_close(log);
        closing_ms = bench_seconds_since(began) * 1e3;
    }
    snprintf(one.more, sizeof one.more,
             "\"partitions\":%d,\"closed_gb\":%.0f,\"read_mb\":%.1f,\"close_ms\":%.0f,",
             shape->partitions,
             shape->closed_segments ? (double)shape->partitions * CLOSED_BYTES / 1e9 : 0.0,
             (double)read / 1e6, closing_ms);
    bench_print(run, &one);
    bench_log_remove(run, shape->name);
}

int main(int argc, char **argv)
{
    static const struct shape shapes[] = {
        {.name = "open-1000", .partitions = 1000, .bar_ms = 300},
        {.name = "recover-1000", .partitions = 1000, .killed = true, .bar_ms = 300},
        {.name = "open-10000", .partitions = 10000},
        {.name = "recover-10000", .partitions = 10000, .killed = true},
        {.name = "closed-100GB", .partitions = 10000, .killed = true, .closed_segments = true},
    };
    struct bench_log run;
    bench_log_start(&run, "recover", argc, argv);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        bench_shape(&run, &shapes[i]);
    return bench_log_end(&run);
}
