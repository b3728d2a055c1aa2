/* bench_harness.h: what every benchmark shares: phases in processes of their own, the clock, the memory sampler, the JSON line.
 *
 * A benchmark is a table (struct bench_workload): how its events look, what the job is, what must come out. */
#ifndef WEIR_TESTS_BENCH_HARNESS_H
#define WEIR_TESTS_BENCH_HARNESS_H

#include "runtime/base/bytes.h"
#include "runtime/weir.h"

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
    int64_t keys;                /* groups; 0: not printed */
    int64_t events;              /* by default */
    /* The n-th event: a pure function of n. */
    void (*event)(int64_t n, struct bench_event *event);
    void (*build)(weir_app *app);
    /* The check: open, then row for each committed record of the output in offset order, then close compares with what the arithmetic of
     * event() says for n in [0, events). Each writes a sentence into why (why_size bytes) and returns false on a difference. */
    void *(*check_open)(int64_t events);
    bool (*check_row)(void *check, struct bytes key, struct bytes value, char *why, size_t why_size);
    bool (*check_close)(void *check, char *why, size_t why_size);
};

/* Parses the command line, runs, prints one JSON line per thread count. The exit code: 0, 1 (failed), 2 (usage), 4 (a result was wrong). */
int bench_main(const struct bench_workload *workload, int argc, char **argv);

/* A fixed 64-bit mix of n (splitmix64): the generators' only source of chance. */
uint64_t bench_mix(uint64_t n);
/* Reads text at the front of in: true and advanced when in starts with it. */
bool bench_take_text(struct bytes *in, const char *text);
/* Reads a non-negative integer at the front of in. */
bool bench_take_number(struct bytes *in, int64_t *number);
/* Reads a quoted text without escapes. */
bool bench_take_quoted(struct bytes *in, struct bytes *text);
/* Reads "2026-01-01T00:00:00.000Z" with its quotes. */
bool bench_take_time(struct bytes *in, int64_t *epoch_ms);

#endif
