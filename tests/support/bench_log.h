/* bench_log.h: what the benchmarks of the log alone share: options, a directory, repeated runs, one JSON line per case.
 *
 * A case is run several times (--repeat, three unless said otherwise); the line has the median and the best of them, the bar it is held
 * against, both as ratios (1 and more: reached), and what the check of its result said. What the fields mean: docs/benchmarks.md. */
#ifndef WEIR_TESTS_BENCH_LOG_H
#define WEIR_TESTS_BENCH_LOG_H

#include "log/log.h"

enum { BENCH_REPEAT_MAX = 25 };

struct bench_log {
    const char *bench;      /* the name in front of each line */
    char dir[512];          /* made by bench_log_start, removed by bench_log_end */
    int repeat;
    int64_t scale_percent;  /* --scale: how much of the usual work; 100 */
    const char *only;       /* --only TEXT: cases whose names contain it; NULL: all */
    bool keep, failed;
};
/* Parses the command line; ends the program (2) on a bad one. */
void bench_log_start(struct bench_log *run, const char *bench, int argc, char **argv);
bool bench_log_wants(const struct bench_log *run, const char *name);
/* The exit code: 4 when a check failed. */
int bench_log_end(struct bench_log *run);

struct bench_case {
    const char *name, *unit;
    double bar;               /* 0: none */
    bool less_is_better;      /* a time: the ratio is bar / value */
    char more[256];           /* further fields, each ending with a comma; empty: none */
    char check[256];          /* "" is ok */
    double values[BENCH_REPEAT_MAX];
    int count;
};
void bench_add(struct bench_case *one, double value);
/* Sorts the values and prints the line. */
void bench_print(struct bench_log *run, struct bench_case *one);
double bench_median(const double *values, int count);

/* Ends the program (1) with the error's text. */
void bench_must(int rc, const struct diag *diag);
/* An opened log in DIR/name with one topic "bench"; default options when options is NULL. */
struct log *bench_log_open(const struct bench_log *run, const char *name, const struct log_options *options);
void bench_topic(struct log *log, int32_t partitions, const char *segment_bytes);
struct partition *bench_partition(struct log *log, int32_t index);
void bench_log_remove(const struct bench_log *run, const char *name);
double bench_seconds_since(int64_t began_ns);

/* The n-th record of 100 bytes: what a line of a web server's log or a sensor's reading looks like, about half of it repeated from
 * record to record. A pure function of n. */
enum { BENCH_RECORD_BYTES = 100 };
void bench_record(int64_t n, char text[BENCH_RECORD_BYTES]);
/* The sum of bench_record_sum over records is what checks compare. */
uint64_t bench_record_sum(struct bytes value);

#endif
