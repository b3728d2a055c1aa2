/* log_fixture.c: see log_fixture.h. */
#include "tests/support/fork_child.h"
#include "tests/support/log_fixture.h"
#include "runtime/base/clock.h"
#include "runtime/base/io.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ThreadSanitizer waits a second at the end of each process; children end by the hundred here. */
__attribute__((visibility("default"))) const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "atexit_sleep_ms=0";
}

struct log *fixture_open_options(const char *dir, const struct log_options *options)
{
    struct log *log;
    struct diag diag = {0};
    int rc = log_open(dir, options, &log, &diag);
    if (rc < 0)
        fail_msg("log_open: %s", diag.text);
    return log;
}

struct log *fixture_open(const char *dir)
{
    struct log_options options = {0};
    return fixture_open_options(dir, &options);
}

void fixture_topic(struct log *log, const char *name, int32_t partitions, const char *segment_bytes)
{
    struct config_entry config[] = {{"segment.bytes", segment_bytes}};
    struct diag diag = {0};
    if (topic_create(log, name, partitions, config, segment_bytes != NULL ? 1 : 0, &diag) < 0)
        fail_msg("topic_create: %s", diag.text);
}

struct partition *fixture_partition(struct log *log, const char *topic, int32_t index)
{
    struct partition *partition;
    struct diag diag = {0};
    if (partition_get(log, topic, index, &partition, &diag) < 0)
        fail_msg("partition_get: %s", diag.text);
    return partition;
}

uint8_t *fixture_batch(int64_t first, int32_t count, size_t value_bytes, int64_t timestamp_ms,
                       size_t *size)
{
    struct batch_builder builder;
    struct bytes batch;
    char value[4096];
    batch_builder_init(&builder, CODEC_NONE);
    for (int32_t i = 0; i < count; i++) {
        int length = snprintf(value, sizeof value, "%-*" PRId64, (int)value_bytes, first + i);
        assert_true(length > 0 && (size_t)length < sizeof value);
        assert_int_equal(batch_builder_add(&builder, timestamp_ms, bytes_of(NULL, 0),
                                           bytes_of(value, (size_t)length), bytes_of("", 0), 0),
                         0);
    }
    assert_int_equal(batch_builder_finish(&builder, &batch), 0);
    uint8_t *copy = malloc(batch.size);
    assert_non_null(copy);
    memcpy(copy, batch.data, batch.size);
    *size = batch.size;
    batch_builder_deinit(&builder);
    return copy;
}

int64_t fixture_append_sized(struct partition *partition, int64_t first, int32_t count,
                             size_t value_bytes, int64_t timestamp_ms)
{
    size_t size;
    int64_t base = -1;
    uint8_t *batch = fixture_batch(first, count, value_bytes, timestamp_ms, &size);
    int rc = partition_append(partition, batch, size, &base, NULL);
    free(batch);
    return rc < 0 ? rc : base;
}

int64_t fixture_append(struct partition *partition, int64_t first, int32_t count)
{
    return fixture_append_sized(partition, first, count, 1, clock_wall_ms());
}

int64_t fixture_txn_append(struct producer *producer, struct partition *partition, int64_t first,
                           int32_t count)
{
    size_t size;
    int64_t base = -1;
    uint8_t *batch = fixture_batch(first, count, 1, clock_wall_ms(), &size);
    int rc = txn_append(producer, partition, batch, size, &base, NULL);
    free(batch);
    return rc < 0 ? rc : base;
}

int64_t fixture_read(struct partition *partition, int64_t from, enum isolation isolation,
                     size_t max_bytes, struct fixture_record **records)
{
    struct fetch fetch;
    struct fetch_reader reader;
    struct record record;
    int64_t count = 0, capacity = 0, at = from, last = from - 1, result = 0;
    *records = NULL;
    fetch_init(&fetch);
    fetch_reader_init(&reader);
    for (;;) {
        result = partition_fetch(partition, at, isolation, max_bytes, &fetch, NULL);
        if (result < 0 || fetch.next_offset == at)
            break;
        fetch_reader_start(&reader, &fetch, at);
        while (fetch_reader_next(&reader, &record) == 1) {
            if (count == capacity) {
                capacity = capacity == 0 ? 64 : capacity * 2;
                *records = realloc(*records, (size_t)capacity * sizeof **records);
                assert_non_null(*records);
            }
            char text[32] = {0};
            memcpy(text, record.value.data, record.value.size < 31 ? record.value.size : 31);
            assert_true(record.offset > last);
            last = record.offset;
            (*records)[count++] = (struct fixture_record){record.offset, atoll(text)};
        }
        at = fetch.next_offset;
    }
    fetch_reader_deinit(&reader);
    fetch_deinit(&fetch);
    if (result < 0) {
        free(*records);
        *records = NULL;
        return result;
    }
    return count;
}

const char *fixture_values(struct partition *partition, enum isolation isolation)
{
    static char text[65536];
    struct fixture_record *records;
    struct partition_offsets offsets;
    partition_offsets(partition, &offsets);
    int64_t count = fixture_read(partition, offsets.start, isolation, 65536, &records);
    size_t used = 0;
    text[0] = '\0';
    if (count < 0)
        snprintf(text, sizeof text, "error %" PRId64, count);
    for (int64_t i = 0; i < count && used + 24 < sizeof text; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%" PRId64, i > 0 ? " " : "",
                                 records[i].value);
    free(records);
    return text;
}

int fixture_child(int (*fn)(void *context), void *context, const char *crash_at)
{
    pid_t pid = fork_child();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (crash_at != NULL)
            setenv("WEIR_CRASH_AT", crash_at, 1);
        else
            unsetenv("WEIR_CRASH_AT");
        crash_point_rearm();
        _exit(fn(context));
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status))
        fail_msg("the child was ended by signal %d", WTERMSIG(status));
    return WEXITSTATUS(status);
}
