/* openmetrics.h: what families of OpenMetrics text are made of: their heads, and histograms of times. */
#ifndef WEIR_RUNTIME_OPENMETRICS_H
#define WEIR_RUNTIME_OPENMETRICS_H

#include <stdatomic.h>
#include <stdint.h>

#include "runtime/base/bytes.h"

enum { HISTOGRAM_BUCKETS_MAX = 16 };

/* Which ends the buckets have. */
enum histogram_scale {
    SCALE_OF_WORK,                    /* 1 ms to 10 s: what a commit takes */
    SCALE_OF_DELAY,                   /* 10 ms to a day: how late something is, how long a restore takes */
};

/* How often something took how long. Zero is empty. Anybody may write and read, without a lock. */
struct histogram {
    atomic_int_fast64_t counts[HISTOGRAM_BUCKETS_MAX]; /* of one bucket each: text has their running sums */
    _Atomic double sum_s;
};
/* A time below 0 counts as 0, so that the sum never falls. */
void histogram_observe(struct histogram *histogram, enum histogram_scale scale, double seconds);
/* Its samples; labels: "app=\"shop\"", without braces and not empty. The family's head comes before. */
void histogram_put(struct buf *text, const struct histogram *histogram, enum histogram_scale scale, const char *name, const char *labels);

/* # TYPE, # UNIT (NULL: none), # HELP. */
void openmetrics_head(struct buf *text, const char *name, const char *type, const char *unit, const char *help);

#endif
