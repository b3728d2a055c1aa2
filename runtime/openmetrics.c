/* openmetrics.c: heads of families, and histograms (see openmetrics.h).
 *
 * A bucket is counted alone and summed up when text is made, so that an observation is two atomic
 * additions. Its count in the text is the sum of the buckets that were read, so that the two agree
 * even beside a writer; the sum may be an observation ahead or behind. The ends of buckets are
 * printed from the table, as OpenMetrics spells numbers: "1.0", never "1". */
#include "runtime/openmetrics.h"

struct bound {
    const char *le;
    double seconds; /* the last bucket has no end */
};
static const struct bound work[] = {
    {"0.001", 0.001}, {"0.002", 0.002}, {"0.005", 0.005}, {"0.01", 0.01}, {"0.02", 0.02},
    {"0.05", 0.05},   {"0.1", 0.1},     {"0.2", 0.2},     {"0.5", 0.5},   {"1.0", 1},
    {"2.0", 2},       {"5.0", 5},       {"10.0", 10},     {"+Inf", 0}};
static const struct bound delay[] = {
    {"0.01", 0.01},   {"0.05", 0.05},     {"0.1", 0.1},       {"0.5", 0.5},
    {"1.0", 1},       {"2.0", 2},         {"5.0", 5},         {"10.0", 10},
    {"30.0", 30},     {"60.0", 60},       {"300.0", 300},     {"900.0", 900},
    {"3600.0", 3600}, {"21600.0", 21600}, {"86400.0", 86400}, {"+Inf", 0}};

static const struct scale {
    const struct bound *bounds;
    int count;
} scales[] = {
    [SCALE_OF_WORK] = {work, sizeof work / sizeof *work},
    [SCALE_OF_DELAY] = {delay, sizeof delay / sizeof *delay},
};
_Static_assert(sizeof work / sizeof *work <= HISTOGRAM_BUCKETS_MAX &&
                   sizeof delay / sizeof *delay <= HISTOGRAM_BUCKETS_MAX,
               "a histogram has room for every scale");

void histogram_observe(struct histogram *histogram, enum histogram_scale scale, double seconds)
{
    int bucket = 0;
    double sum_s = atomic_load_explicit(&histogram->sum_s, memory_order_relaxed);
    seconds = seconds > 0 ? seconds : 0;
    while (bucket + 1 < scales[scale].count && seconds > scales[scale].bounds[bucket].seconds)
        bucket++;
    atomic_fetch_add_explicit(&histogram->counts[bucket], 1, memory_order_relaxed);
    while (!atomic_compare_exchange_weak(&histogram->sum_s, &sum_s, sum_s + seconds))
        continue;
}

void histogram_put(struct buf *text, const struct histogram *histogram, enum histogram_scale scale,
                   const char *name, const char *labels)
{
    int64_t count = 0;
    for (int i = 0; i < scales[scale].count; i++) {
        count += atomic_load(&histogram->counts[i]);
        buf_printf(text, "%s_bucket{%s,le=\"%s\"} %lld\n", name, labels, scales[scale].bounds[i].le,
                   (long long)count);
    }
    buf_printf(text, "%s_count{%s} %lld\n", name, labels, (long long)count);
    buf_printf(text, "%s_sum{%s} %.15g\n", name, labels, atomic_load(&histogram->sum_s));
}

void openmetrics_head(struct buf *text, const char *name, const char *type, const char *unit,
                      const char *help)
{
    buf_printf(text, "# TYPE %s %s\n", name, type);
    if (unit != NULL)
        buf_printf(text, "# UNIT %s %s\n", name, unit);
    buf_printf(text, "# HELP %s %s\n", name, help);
}
