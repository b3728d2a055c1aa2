/* top_reading.c: readings of a metrics file, what two of them make, and rows taken together.
 *
 * The families are those of runtime/metrics.c; what is not listed here is passed over, so that a newer
 * app can be looked at. A rate is the difference of two readings over the difference of the file's
 * times, since the file is what was true when it was written. A counter that went back (the app was
 * reset) has no rate. Quantiles are interpolated inside their bucket, as Prometheus does. */
#include "runtime/cli/top_reading.h"

#include "runtime/cli/metrics_text.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { FILE_BYTES_LIMIT = 64 << 20 };

static const struct {
    const char *name, *fate; /* fate: the label's value, NULL: none is asked for */
    enum top_number number;
} families[] = {
    {"weir_rows_in_total", NULL, TOP_ROWS_IN},
    {"weir_rows_total", "applied", TOP_APPLIED},
    {"weir_rows_total", "filtered", TOP_FILTERED},
    {"weir_rows_total", "late", TOP_LATE},
    {"weir_rows_total", "duplicate", TOP_DUPLICATE},
    {"weir_rows_total", "dead", TOP_DEAD},
    {"weir_rows_total", "unmatched", TOP_UNMATCHED},
    {"weir_records_out_total", NULL, TOP_OUT},
    {"weir_lag_records", NULL, TOP_LAG},
    {"weir_watermark_seconds", NULL, TOP_WATERMARK},
    {"weir_table_entries", NULL, TOP_TABLE_ENTRIES},
    {"weir_table_bytes", NULL, TOP_TABLE_BYTES},
    {"weir_store_entries", NULL, TOP_STORE_ENTRIES},
    {"weir_store_bytes", NULL, TOP_STORE_BYTES},
    {"weir_store_lag_records", NULL, TOP_STORE_LAG},
    {"weir_busy_seconds_total", NULL, TOP_BUSY},
    {"weir_restored_ratio", NULL, TOP_RESTORED},
};

void top_reading_deinit(struct top_reading *reading)
{
    free(reading->rows);
    free(reading->apps);
    *reading = (struct top_reading){0};
}

/* ---- a metrics file ---- */

static void copy_label(char *to, size_t size, struct bytes from)
{
    snprintf(to, size, "%.*s", (int)from.size, from.data != NULL ? (const char *)from.data : "");
}

static bool is_text(const char *text, struct bytes bytes)
{
    return bytes.data != NULL && bytes_equal(bytes_text(text), bytes);
}

struct top_row *top_reading_add(struct top_reading *reading)
{
    if (reading->row_count == reading->row_capacity) {
        size_t capacity = reading->row_capacity == 0 ? 64 : reading->row_capacity * 2;
        struct top_row *grown = realloc(reading->rows, capacity * sizeof *grown);
        if (grown == NULL)
            return NULL;
        reading->rows = grown;
        reading->row_capacity = capacity;
    }
    struct top_row *row = &reading->rows[reading->row_count++];
    *row = (struct top_row){.partitions = 1};
    return row;
}

static bool is_row_of(const struct top_row *row, int32_t partition, struct bytes stage,
                      struct bytes app)
{
    return row->partition == partition && is_text(row->stage, stage) && is_text(row->app, app);
}

/* The samples of a partition stand in many families, each in the order of the first, which made the
 * rows: the one that is looked for is nearly always the one behind the last. NULL: no memory. */
static struct top_row *take_row(struct top_reading *reading, const struct metric_sample *sample)
{
    struct bytes app = metric_label(sample, "app"), stage = metric_label(sample, "stage");
    char number[16];
    copy_label(number, sizeof number, metric_label(sample, "partition"));
    int32_t partition = (int32_t)strtol(number, NULL, 10);
    for (size_t i = 0; i < reading->row_count; i++) {
        size_t at = (reading->cursor + i) % reading->row_count;
        if (is_row_of(&reading->rows[at], partition, stage, app)) {
            reading->cursor = at + 1;
            return &reading->rows[at];
        }
    }
    struct top_row *row = top_reading_add(reading);
    if (row == NULL)
        return NULL;
    row->partition = partition;
    copy_label(row->app, sizeof row->app, app);
    copy_label(row->stage, sizeof row->stage, stage);
    copy_label(row->topic, sizeof row->topic, metric_label(sample, "topic"));
    return row;
}

static struct top_app *take_app(struct top_reading *reading, struct bytes name)
{
    for (size_t i = 0; i < reading->app_count; i++)
        if (is_text(reading->apps[i].name, name))
            return &reading->apps[i];
    struct top_app *grown = realloc(reading->apps, (reading->app_count + 1) * sizeof *grown);
    if (grown == NULL)
        return NULL;
    reading->apps = grown;
    struct top_app *app = &grown[reading->app_count++];
    *app = (struct top_app){.commit_p50_s = -1, .commit_p99_s = -1};
    copy_label(app->name, sizeof app->name, name);
    return app;
}

static int take_task_sample(struct top_reading *reading, const struct metric_sample *sample)
{
    struct bytes fate = metric_label(sample, "fate");
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        if (!is_text(families[i].name, sample->name) ||
            (families[i].fate != NULL && !is_text(families[i].fate, fate)))
            continue;
        struct top_row *row = take_row(reading, sample);
        if (row == NULL)
            return ERR_NOMEM;
        row->numbers[families[i].number] = sample->value;
        row->has[families[i].number] = true;
    }
    return 0;
}

static int take_app_sample(struct top_reading *reading, const struct metric_sample *sample)
{
    struct top_app *app = take_app(reading, metric_label(sample, "app"));
    if (app == NULL)
        return ERR_NOMEM;
    if (is_text("weir_app_info", sample->name)) {
        copy_label(app->version, sizeof app->version, metric_label(sample, "version"));
    } else if (is_text("weir_memory_bytes", sample->name)) {
        app->memory_bytes += sample->value;
    } else if (is_text("weir_memory_budget_bytes", sample->name)) {
        app->memory_budget_bytes = sample->value;
    } else if (is_text("weir_commit_latency_seconds_count", sample->name)) {
        app->commits = sample->value;
    } else if (is_text("weir_commit_latency_seconds_bucket", sample->name) &&
               app->bucket_count < TOP_BUCKETS_MAX) {
        char end[32];
        copy_label(end, sizeof end, metric_label(sample, "le"));
        app->bucket_ends[app->bucket_count] = strtod(end, NULL); /* "+Inf" is one, too */
        app->buckets[app->bucket_count++] = sample->value;
    }
    return 0;
}

static int read_samples(struct top_reading *reading, struct bytes bytes, struct diag *diag)
{
    struct metrics_text text;
    struct metric_sample sample;
    int code, rc = 0;
    metrics_text_start(&text, bytes);
    while (rc == 0 && (code = metrics_text_next(&text, &sample, diag)) == 1) {
        bool is_ours = metric_label(&sample, "app").data != NULL && sample.name.size > 5 &&
                       memcmp(sample.name.data, "weir_", 5) == 0;
        if (is_ours)
            rc = metric_label(&sample, "partition").data != NULL
                     ? take_task_sample(reading, &sample)
                     : take_app_sample(reading, &sample);
    }
    if (rc < 0)
        return diag_set(diag, rc, "no memory for metrics");
    TRY(code);
    return reading->app_count > 0
               ? 0
               : diag_set(diag, ERR_INVALID, "it holds no metrics of a weir app");
}

static int read_bytes(int fd, struct buf *bytes, struct diag *diag)
{
    for (;;) {
        uint8_t *at = buf_reserve(bytes, 64 << 10);
        if (at == NULL || bytes->size > FILE_BYTES_LIMIT)
            return diag_set(diag, at == NULL ? ERR_NOMEM : ERR_TOO_LARGE,
                            "it has more than %d bytes", FILE_BYTES_LIMIT);
        ssize_t size = read(fd, at, 64 << 10);
        if (size < 0 && errno == EINTR)
            continue;
        if (size <= 0)
            return size < 0 ? diag_errno(diag, "it cannot be read") : 0;
        bytes->size += (size_t)size;
    }
}

static int64_t time_of(const struct stat *status)
{
    return (int64_t)status->st_mtim.tv_sec * 1000000000 + status->st_mtim.tv_nsec;
}

int64_t top_reading_file_time(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 ? time_of(&status) : 0;
}

int top_reading_file(const char *path, struct top_reading *reading, struct diag *diag)
{
    struct buf bytes = {0};
    struct diag inner = {0};
    struct stat status;
    *reading = (struct top_reading){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return diag_errno(diag, "cannot read the metrics file %s", path);
    /* The file is replaced, never written in place: what is open stays what it is. */
    int code = fstat(fd, &status) == 0 ? read_bytes(fd, &bytes, &inner)
                                       : diag_errno(&inner, "it cannot be read");
    close(fd);
    reading->time_ns = code == 0 ? time_of(&status) : 0;
    if (code == 0)
        code = read_samples(reading,
                            bytes_of(bytes.size > 0 ? bytes.data : (const uint8_t *)"", bytes.size),
                            &inner);
    buf_deinit(&bytes);
    if (code < 0)
        top_reading_deinit(reading);
    return code < 0 ? diag_set(diag, code, "metrics file %s: %s", path, inner.text) : 0;
}

int top_reading_text(struct bytes text, struct top_reading *reading, struct diag *diag)
{
    struct timespec now;
    *reading = (struct top_reading){0};
    clock_gettime(CLOCK_REALTIME, &now);
    reading->time_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    int code = read_samples(reading, text, diag);
    if (code < 0)
        top_reading_deinit(reading);
    return code;
}

/* ---- two readings ---- */

static double rate(double now, double before, double seconds)
{
    return now >= before && seconds > 0 ? (now - before) / seconds : 0;
}

/* The same partition in another reading, where it most likely stands at the same index. */
static const struct top_row *find_row(const struct top_reading *reading, const struct top_row *like,
                                      size_t index)
{
    for (size_t i = 0; i < reading->row_count; i++) {
        const struct top_row *row = &reading->rows[(index + i) % reading->row_count];
        if (row->partition == like->partition && strcmp(row->stage, like->stage) == 0 &&
            strcmp(row->app, like->app) == 0)
            return row;
    }
    return NULL;
}

static const struct top_app *find_app(const struct top_reading *reading, const char *name)
{
    for (size_t i = 0; i < reading->app_count; i++)
        if (strcmp(reading->apps[i].name, name) == 0)
            return &reading->apps[i];
    return NULL;
}

/* Where the share of counts lies; the last bucket has no end, so its beginning is the answer there. */
static double quantile(const struct top_app *app, const double *counts, double share)
{
    int last = app->bucket_count - 1;
    if (last < 0 || !(counts[last] > 0))
        return -1;
    double wanted = share * counts[last];
    int i = 0;
    while (i < last && counts[i] < wanted)
        i++;
    double begin = i > 0 ? app->bucket_ends[i - 1] : 0, under = i > 0 ? counts[i - 1] : 0;
    if (i == last || !(counts[i] > under))
        return begin;
    return begin + (app->bucket_ends[i] - begin) * (wanted - under) / (counts[i] - under);
}

/* Of the commits between the readings; of all when there were none, or the process is another. */
static void app_rates(struct top_app *app, const struct top_app *before, double seconds)
{
    double counts[TOP_BUCKETS_MAX];
    bool is_same = before != NULL && before->bucket_count == app->bucket_count &&
                   app->commits > before->commits;
    for (int i = 0; i < app->bucket_count; i++)
        counts[i] = app->buckets[i] - (is_same ? before->buckets[i] : 0);
    app->commit_p50_s = quantile(app, counts, 0.5);
    app->commit_p99_s = quantile(app, counts, 0.99);
    app->commit_rate = before != NULL ? rate(app->commits, before->commits, seconds) : 0;
}

void top_reading_rates(struct top_reading *now, const struct top_reading *before)
{
    static const enum top_number counters[TOP_RATES] = {TOP_ROWS_IN, TOP_OUT, TOP_BUSY};
    double seconds = before != NULL ? (double)(now->time_ns - before->time_ns) / 1e9 : 0;
    for (size_t i = 0; i < now->row_count; i++) {
        struct top_row *row = &now->rows[i];
        const struct top_row *old = before != NULL ? find_row(before, row, i) : NULL;
        for (int r = 0; r < TOP_RATES; r++)
            row->rates[r] =
                old != NULL && row->has[counters[r]]
                    ? rate(row->numbers[counters[r]], old->numbers[counters[r]], seconds)
                    : 0;
    }
    for (size_t i = 0; i < now->app_count; i++)
        app_rates(&now->apps[i], before != NULL ? find_app(before, now->apps[i].name) : NULL,
                  seconds);
}

/* ---- rows together ---- */

static void add_row(struct top_row *sum, const struct top_row *row)
{
    for (int n = 0; n < TOP_NUMBERS; n++) {
        bool is_least = n == TOP_WATERMARK || n == TOP_RESTORED;
        if (!row->has[n])
            continue;
        if (is_least)
            sum->numbers[n] =
                sum->has[n] ? fmin(sum->numbers[n], row->numbers[n]) : row->numbers[n];
        else
            sum->numbers[n] += row->numbers[n];
        sum->has[n] = true;
    }
    for (int r = 0; r < TOP_RATES; r++)
        sum->rates[r] += row->rates[r];
    sum->partitions += row->partitions;
    sum->without_watermark += row->without_watermark;
}

static int compare_rows(const void *a, const void *b)
{
    const struct top_row *left = a, *right = b;
    int order = strcmp(left->app, right->app);
    if (order == 0)
        order = strcmp(left->stage, right->stage);
    return order != 0 ? order
                      : (left->partition > right->partition) - (left->partition < right->partition);
}

static bool goes_with(const struct top_row *stage, const struct top_row *row)
{
    return strcmp(stage->app, row->app) == 0 && strcmp(stage->stage, row->stage) == 0;
}

int top_reading_collapse(const struct top_reading *reading, const char *app, bool by_partition,
                         struct top_row **rows, size_t *count)
{
    struct top_row *sorted = malloc((reading->row_count + 1) * sizeof *sorted);
    size_t sorted_count = 0, kept = 0;
    *rows = sorted;
    *count = 0;
    if (sorted == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < reading->row_count; i++)
        if (app == NULL || strcmp(reading->rows[i].app, app) == 0)
            sorted[sorted_count++] = reading->rows[i];
    qsort(sorted, sorted_count, sizeof *sorted, compare_rows);
    for (size_t i = 0; i < sorted_count; i++) {
        struct top_row row = sorted[i];
        row.without_watermark = !row.has[TOP_WATERMARK];
        if (!by_partition && kept > 0 && goes_with(&sorted[kept - 1], &row)) {
            add_row(&sorted[kept - 1], &row);
            sorted[kept - 1].partition = -1;
        } else {
            sorted[kept++] = row;
        }
    }
    *count = kept;
    return 0;
}

struct top_row top_rows_total(const struct top_row *rows, size_t count)
{
    struct top_row total = {.partition = -1};
    for (size_t i = 0; i < count; i++)
        add_row(&total, &rows[i]);
    return total;
}
