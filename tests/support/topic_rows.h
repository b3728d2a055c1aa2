/* topic_rows.h: whole topics as arrays, and lines into topics: what tests need of the log. Errors end the program. */
#ifndef WEIR_TESTS_TOPIC_ROWS_H
#define WEIR_TESTS_TOPIC_ROWS_H

#include "log/log.h"
#include "runtime/base/arena.h"

struct topic_row {
    int32_t partition;
    int64_t offset, timestamp_ms;
    struct bytes key, value, headers;
    int32_t header_count;
};
struct topic_rows {
    struct topic_row *items;
    size_t count, capacity;
    struct arena arena;          /* owns what the rows point to */
};

/* Opens a directory's log with test-sized defaults; the directory may be new. */
struct log *topic_log_open(const char *dir);

/* Every record of the topic that a reader of this isolation sees, partition after partition. A topic that does not exist has none. */
void topic_rows_read(struct log *log, const char *topic, enum isolation isolation, struct topic_rows *rows);
/* Adds the records of one partition from an offset on; *next receives where to go on. */
void topic_rows_read_partition(struct log *log, const char *topic, int32_t partition, int64_t from, enum isolation isolation,
                               struct topic_rows *rows, int64_t *next);
/* How many records the topic of this directory's log has. */
size_t topic_rows_count(const char *dir, const char *topic);
void topic_rows_init(struct topic_rows *rows);
void topic_rows_deinit(struct topic_rows *rows);

/* The rows that a table by key holds: of each key the last record, none when that is a tombstone; sorted by key.
 * Rows are reordered and count shrinks. */
void topic_rows_latest(struct topic_rows *rows);
/* Sorts by key, then value, then position. */
void topic_rows_sort(struct topic_rows *rows);

/* The value of a header; .data NULL when it is missing. */
struct bytes topic_row_header(const struct topic_row *row, const char *name);
/* As an integer; ends the program when it is missing or no integer. */
int64_t topic_row_header_i64(const struct topic_row *row, const char *name);

#endif
