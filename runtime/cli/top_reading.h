/* top_reading.h: what apps were doing at one moment, as 'weir top' shows it: from a metrics file, or from a directory that nobody holds. One thread. */
#ifndef WEIR_CLI_TOP_READING_H
#define WEIR_CLI_TOP_READING_H

#include "log/log.h"

/* Of one partition of a stage, or of several taken together. */
enum top_number {
    TOP_ROWS_IN,
    TOP_APPLIED,
    TOP_FILTERED,
    TOP_LATE,
    TOP_DUPLICATE,
    TOP_DEAD,
    TOP_UNMATCHED,
    TOP_OUT,
    TOP_LAG,
    TOP_WATERMARK,     /* seconds since 1970; of several: the least */
    TOP_TABLE_ENTRIES,
    TOP_TABLE_BYTES,
    TOP_STORE_ENTRIES,
    TOP_STORE_BYTES,
    TOP_STORE_LAG,
    TOP_BUSY,          /* seconds */
    TOP_RESTORED,      /* 0 to 1; of several: the least */
    TOP_NUMBERS
};
/* Rates per second, of what counts up. */
enum top_rate { TOP_IN_RATE, TOP_OUT_RATE, TOP_BUSY_RATE, TOP_RATES };

struct top_row {
    char app[250], stage[600], topic[250]; /* topic: its input */
    int32_t partition;                     /* -1: of several */
    int32_t partitions;                    /* how many it stands for */
    int32_t without_watermark;             /* of those */
    double numbers[TOP_NUMBERS];
    bool has[TOP_NUMBERS];
    double rates[TOP_RATES];               /* 0 before top_reading_rates */
};

enum { TOP_BUCKETS_MAX = 32 };
struct top_app {
    char name[250], version[32];           /* version "": not known */
    double bucket_ends[TOP_BUCKETS_MAX], buckets[TOP_BUCKETS_MAX]; /* of commit latencies: seconds, and commits up to there */
    int bucket_count;
    double commits;
    double memory_bytes, memory_budget_bytes; /* budget 0: not known */
    double commit_rate, commit_p50_s, commit_p99_s; /* quantiles negative: not known */
};

struct top_reading {
    int64_t time_ns;                       /* of the wall clock */
    struct top_row *rows;                  /* a partition each */
    size_t row_count, row_capacity, cursor;
    struct top_app *apps;
    size_t app_count;
};

void top_reading_deinit(struct top_reading *reading);
/* Reads a metrics file; the time is that of the file. ERR_IO, ERR_CORRUPT with the line, ERR_INVALID: no metrics of an app. */
int top_reading_file(const char *path, struct top_reading *reading, struct diag *diag);
/* Reads the same text from memory; the time is that of now. As top_reading_file. */
int top_reading_text(struct bytes text, struct top_reading *reading, struct diag *diag);
/* When the file was written, by the wall clock; 0: there is none. */
int64_t top_reading_file_time(const char *path);
/* Reads progress topics and stores. app NULL: of all apps. What one store does not tell is missing and said as a message. */
int top_reading_directory(struct log *log, const char *app, struct top_reading *reading, struct diag *diag);
/* A new row of one partition; NULL: no memory. */
struct top_row *top_reading_add(struct top_reading *reading);
/* Fills rates and commit quantiles of now: from what has changed since before, which may be NULL. */
void top_reading_rates(struct top_reading *now, const struct top_reading *before);

/* One row each stage (or each partition), in the order of names. *rows is the caller's. NULL app: all. */
int top_reading_collapse(const struct top_reading *reading, const char *app, bool by_partition, struct top_row **rows, size_t *count);
/* What all rows come to. */
struct top_row top_rows_total(const struct top_row *rows, size_t count);

#endif
