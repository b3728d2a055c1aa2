/* bench_harness.h: what every benchmark shares: phases in processes of their own, the clock, the memory sampler, the JSON line.
 *
 * A benchmark is a table (struct bench_workload): how its events look, what the job is, what must come out. */
#ifndef WEIR_TESTS_BENCH_HARNESS_H
#define WEIR_TESTS_BENCH_HARNESS_H

#include "runtime/base/bytes.h"
#include "runtime/weir.h"
#include "tests/support/bench_text.h"

enum { BENCH_EVENT_BYTES = 512, BENCH_FIELDS_MAX = 8 };

struct bench_event {
    int64_t timestamp_ms;
    char text[BENCH_EVENT_BYTES];
    size_t size;
    char key[64];
    size_t key_size;             /* 0: no key; blocks of 1,024 events take the partitions in turn */
};

struct bench_workload {
    const char *name;            /* as given on the command line */
    const char *app, *topic, *output;
    const char *partitioned_by;  /* the field whose text is the record key; NULL: none */
    const char *fields[BENCH_FIELDS_MAX]; /* top-level fields that the job reads; NULL-terminated */
    const char *variant_name;    /* what variants of a workload differ in: "keys" (groups per window), "percent" */
    int64_t variant;
    int64_t events;              /* by default */
    int partitions_per_thread;   /* 0: 1 */
    double memory_limit_mb;      /* the check fails when peak_rss_mb is above; 0: none */
    const char *table;           /* a topic of upserts that the job reads beside the events, written before them; NULL: none */
    int64_t table_rows;
    void (*table_row)(int64_t n, struct bench_event *row);
    /* The n-th event: a pure function of n. */
    void (*event)(const struct bench_workload *workload, int64_t n, struct bench_event *event);
    void (*build)(weir_app *app);
    const char *sql, *sql_output; /* the same job as a file of SQL that writes another topic, for --sql; NULL: there is none */
    /* The check: open, then row for each committed record of the output, partition by partition in offset order, then close compares with what
     * the arithmetic of event() says for n in [0, events). Each writes a sentence into why (why_size bytes) and returns false on a difference. */
    void *(*check_open)(const struct bench_workload *workload, int64_t events);
    bool (*check_row)(void *check, int32_t partition, struct bytes key, struct bytes value, char *why, size_t why_size);
    bool (*check_close)(void *check, char *why, size_t why_size);
};

/* Parses the command line, runs the variants (all, or those that --keys or --percent name), prints one JSON line per variant and thread
 * count. The exit code: 0, 1 (failed), 2 (usage), 4 (a result was wrong). */
int bench_main(const struct bench_workload *variants, size_t variant_count, int argc, char **argv);

#endif
