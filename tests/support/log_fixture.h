/* log_fixture.h: what the tests of the log share: batches of numbered records, reading them back, lives in a child
 * process that may crash at a named point. Failures end the test through cmocka's assertions. */
#ifndef WEIR_TESTS_LOG_FIXTURE_H
#define WEIR_TESTS_LOG_FIXTURE_H

#include "log/log.h"

/* Opens or fails the test. segment_bytes 0: the default. */
struct log *fixture_open(const char *dir);
struct log *fixture_open_options(const char *dir, const struct log_options *options);
void fixture_topic(struct log *log, const char *name, int32_t partitions, const char *segment_bytes);
struct partition *fixture_partition(struct log *log, const char *topic, int32_t index);

/* A finished, uncompressed batch of count records with values "<first>", "<first + 1>" … padded with spaces to value_bytes; malloc'ed. */
uint8_t *fixture_batch(int64_t first, int32_t count, size_t value_bytes, int64_t timestamp_ms, size_t *size);
/* Appends such a batch and returns its base offset, or the error. */
int64_t fixture_append(struct partition *partition, int64_t first, int32_t count);
int64_t fixture_append_sized(struct partition *partition, int64_t first, int32_t count, size_t value_bytes, int64_t timestamp_ms);
int64_t fixture_txn_append(struct producer *producer, struct partition *partition, int64_t first, int32_t count);

struct fixture_record {
    int64_t offset, value;
};
/* All records from offset on that the isolation shows; *records is malloc'ed. Checks that offsets ascend. Returns the count, or the
 * error of the fetch that failed. */
int64_t fixture_read(struct partition *partition, int64_t from, enum isolation isolation, size_t max_bytes,
                     struct fixture_record **records);
/* The values as text: "1 2 3". Static buffer. */
const char *fixture_values(struct partition *partition, enum isolation isolation);

/* Runs fn in a child process with WEIR_CRASH_AT=crash_at (NULL: none). The child ends with _exit(fn's result), never by return.
 * Returns the exit status: 137 when it crashed at the point. No log may be open in the parent. */
int fixture_child(int (*fn)(void *context), void *context, const char *crash_at);

#endif
