/* fuzz_recovery.c: any bytes as the files of one partition. Opening the log must succeed; the
 * partition works or is stopped, and a partition that works takes an append, gives it back, and
 * opens again.
 *
 * A data directory is made once, in memory where the system has it, in two states: empty, and with
 * one batch below the recorded flushed end. Each run starts from a copy of one of them. Input: byte
 * 0: bit 0 which state, bits 1–2 whether index and time index are given too; bytes 1 and 2: their
 * sizes; then the bytes: index, time index, and what stands in .log from the end of the flushed
 * batch on (or, with bit 3, from byte 0 on: over it). */
#include "log/log.h"
#include "runtime/base/io.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STATES = 2, BATCH_LIMIT = 256 };

static char root[256];
static char *meta_copy[STATES];
static size_t meta_size[STATES];
static uint8_t flushed[BATCH_LIMIT];
static size_t flushed_size;

static const char *path_of(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/log/%s", root, name);
    return path;
}

static const char *segment_file(const char *suffix)
{
    char name[64];
    snprintf(name, sizeof name, "topics/t-0/00000000000000000000.%s", suffix);
    return path_of(name);
}

static void write_file(const char *path, const void *bytes, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    must(fd >= 0 && write(fd, bytes, size) == (ssize_t)size);
    close(fd);
}

static struct log *open_log(void)
{
    struct log *log;
    struct diag diag = {0};
    int rc = log_open(path_of(""), NULL, &log, &diag);
    if (rc < 0)
        fprintf(stderr, "%s\n", diag.text);
    must(rc == 0);
    return log;
}

static void make_batch(struct batch_builder *builder, struct bytes *batch)
{
    batch_builder_init(builder, CODEC_NONE);
    must(batch_builder_add(builder, 1000, bytes_text("k"), bytes_text("v"), bytes_of("", 0), 0) ==
         0);
    must(batch_builder_finish(builder, batch) == 0);
}

static int64_t append_one(struct partition *partition)
{
    struct batch_builder builder;
    struct bytes batch;
    int64_t base;
    make_batch(&builder, &batch);
    int rc = partition_append(partition, (uint8_t *)(uintptr_t)batch.data, batch.size, &base, NULL);
    must(rc == 0 && partition_wait(partition, base + 1, -1) == 0);
    if (flushed_size == 0) {
        must(batch.size <= sizeof flushed);
        memcpy(flushed, batch.data, batch.size);
        flushed_size = batch.size;
    }
    batch_builder_deinit(&builder);
    return base;
}

static void remove_root(void)
{
    (void)io_remove_tree(root, NULL);
}

static void set_up(void)
{
    struct partition *partition;
    snprintf(root, sizeof root, "%s/weir-fuzz-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    must(mkdtemp(root) != NULL);
    atexit(remove_root);
    struct log *log = open_log();
    must(topic_create(log, "t", 1, NULL, 0, NULL) == 0);
    log_close(log);
    must(io_read_file(path_of("meta/data.mdb"), 1 << 26, &meta_copy[0], &meta_size[0], NULL) == 0);
    log = open_log();
    must(partition_get(log, "t", 0, &partition, NULL) == 0);
    append_one(partition);
    log_close(log);
    must(io_read_file(path_of("meta/data.mdb"), 1 << 26, &meta_copy[1], &meta_size[1], NULL) == 0);
}

static void lay_out(const uint8_t *data, size_t size)
{
    uint8_t flags = data[0];
    size_t index_size = data[1], time_size = data[2], state = flags & 1;
    data += 3;
    size -= 3;
    (void)io_remove_tree(path_of("topics/t-0"), NULL);
    must(io_mkdir(path_of("topics/t-0"), NULL) == 0);
    write_file(path_of("meta/data.mdb"), meta_copy[state], meta_size[state]);
    if ((flags & 2) != 0) {
        index_size = index_size < size ? index_size : size;
        write_file(segment_file("index"), data, index_size);
        data += index_size;
        size -= index_size;
    }
    if ((flags & 4) != 0) {
        time_size = time_size < size ? time_size : size;
        write_file(segment_file("timeindex"), data, time_size);
        data += time_size;
        size -= time_size;
    }
    struct buf file = {0};
    if (state == 1 && (flags & 8) == 0)
        buf_append(&file, flushed, flushed_size);
    buf_append(&file, data, size);
    must(buf_ok(&file));
    write_file(segment_file("log"), file.data != NULL ? file.data : (const uint8_t *)"", file.size);
    buf_deinit(&file);
}

/* Reads everything; -1 when the partition was stopped on the way. */
static int64_t read_all(struct partition *partition)
{
    struct fetch fetch;
    struct fetch_reader reader;
    struct record record;
    int64_t at = 0, count = 0;
    int rc;
    fetch_init(&fetch);
    fetch_reader_init(&reader);
    while ((rc = partition_fetch(partition, at, READ_COMMITTED, 4096, &fetch, NULL)) == 0 &&
           fetch.next_offset > at) {
        fetch_reader_start(&reader, &fetch, at);
        while (fetch_reader_next(&reader, &record) == 1)
            count++;
        at = fetch.next_offset;
    }
    fetch_reader_deinit(&reader);
    fetch_deinit(&fetch);
    return rc == 0 ? count : -1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct partition *partition;
    int64_t offset, found;
    if (size < 3 || size > 1 << 16)
        return 0;
    if (root[0] == '\0')
        set_up();
    lay_out(data, size);
    struct log *log = open_log();
    must(partition_get(log, "t", 0, &partition, NULL) == 0);
    bool stopped = partition_status(partition, NULL) < 0;
    if (!stopped) {
        int64_t before = read_all(partition);
        (void)partition_find_time(partition, 500, &offset, &found, NULL);
        if (partition_status(partition, NULL) == 0) {
            append_one(partition);
            must(before < 0 || read_all(partition) == before + 1);
        }
        stopped = partition_status(partition, NULL) < 0;
    }
    log_close(log);
    log = open_log(); /* what was kept must be kept again */
    must(partition_get(log, "t", 0, &partition, NULL) == 0);
    must(stopped || partition_status(partition, NULL) == 0);
    log_close(log);
    return 0;
}
