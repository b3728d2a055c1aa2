/* metrics.c: OpenMetrics text from a run (see metrics.h).
 *
 * One table lists the families; each has a function that gives its value for one task, or for the
 * app. A family is written whole before the next one, as the format wants it. Counters are those of
 * the progress records, so they go on over restarts and never count what was not committed;
 * histograms begin with the process, and those of stages are metrics_stage.c's.
 *
 * Locks: metrics.mutex, then run.mutex. Workers take neither for their gauges. */
#include "runtime/metrics.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/base/io.h"
#include "runtime/metrics_stage.h"
#include "runtime/run.h"

enum { PUBLISH_MS = 1000, STORE_LOOK_NS = 1000000000 };

struct metrics {
    pthread_mutex_t mutex;
    struct run *run; /* NULL: none is attached */
    char *text;      /* of the end of the last run */
    size_t text_size;
    int64_t next_ms;
    bool was_said; /* that the file cannot be written */
    struct histogram commits;
    struct stage_metrics *stages; /* of every stage that ever ran */
};

struct metrics *metrics_create(void)
{
    struct metrics *metrics = calloc(1, sizeof *metrics);
    if (metrics != NULL)
        pthread_mutex_init(&metrics->mutex, NULL);
    return metrics;
}

void metrics_destroy(struct metrics *metrics)
{
    if (metrics == NULL)
        return;
    pthread_mutex_destroy(&metrics->mutex);
    free(metrics->text);
    stage_metrics_free(metrics->stages);
    free(metrics);
}

/* ---- what is told ---- */

/* A value of one task; false: it has none now. With run.mutex held. */
typedef bool value_fn(struct run *run, const struct task *task, double *value);

static struct counts counts_of(const struct run *run, const struct task *task)
{
    return run->counts[task->index];
}
static bool is_source(const struct task *task)
{
    return task->stage->input != INPUT_PARTIALS;
}
static bool rows_in(struct run *run, const struct task *task, double *value)
{
    *value = (double)counts_of(run, task).rows_in;
    return is_source(task);
}
static bool rows_made(struct run *run, const struct task *task, double *value)
{
    *value = (double)counts_of(run, task).rows_made;
    return is_source(task);
}
static bool records_out(struct run *run, const struct task *task, double *value)
{
    *value = (double)counts_of(run, task).out;
    return true;
}
static bool input_position(struct run *run, const struct task *task, double *value)
{
    *value = (double)run->positions[task->index];
    return true;
}
static bool input_lag(struct run *run, const struct task *task, double *value)
{
    struct port_range range;
    if (run->port->ops->range(run->port, task->stage->input_topic, task->partition, &range, NULL) <
        0)
        return false;
    int64_t lag = range.stable - run->positions[task->index];
    *value = (double)(lag > 0 ? lag : 0);
    return true;
}
static bool watermark(struct run *run, const struct task *task, double *value)
{
    (void)run;
    int64_t time_ms = atomic_load(&task->gauges->watermark_ms);
    *value = (double)time_ms / 1000;
    return time_ms != TIME_NONE;
}
static bool watermark_delay(struct run *run, const struct task *task, double *value)
{
    if (!watermark(run, task, value))
        return false;
    *value = (double)clock_wall_ms() / 1000 - *value;
    return true;
}
static bool has_store(const struct task *task)
{
    return task->stage->changelog_topic[0] != '\0';
}
static bool table_entries(struct run *run, const struct task *task, double *value)
{
    (void)run;
    *value = (double)atomic_load(&task->gauges->table_entries);
    return task->stage->view->group != NULL;
}
static bool table_bytes(struct run *run, const struct task *task, double *value)
{
    (void)run;
    *value = (double)atomic_load(&task->gauges->table_bytes);
    return task->stage->view->group != NULL;
}
static bool store_entries(struct run *run, const struct task *task, double *value)
{
    (void)run;
    *value = (double)atomic_load(&task->gauges->store_entries);
    return has_store(task);
}
static bool store_bytes(struct run *run, const struct task *task, double *value)
{
    (void)run;
    *value = (double)atomic_load(&task->gauges->store_bytes);
    return has_store(task);
}
static bool store_lag(struct run *run, const struct task *task, double *value)
{
    struct port_range range;
    if (!has_store(task) || run->port->ops->range(run->port, task->stage->changelog_topic,
                                                  task->partition, &range, NULL) < 0)
        return false;
    int64_t lag = range.stable - atomic_load(&task->gauges->store_offset);
    *value = (double)(lag > 0 ? lag : 0);
    return true;
}
static bool restored(struct run *run, const struct task *task, double *value)
{
    (void)run;
    const struct task_gauges *gauges = task->gauges;
    int64_t from = atomic_load(&gauges->store_from), end = atomic_load(&gauges->store_end);
    /* Half of the work is reading, half is taking in. */
    int64_t came =
        (atomic_load(&gauges->store_offset) - from + atomic_load(&gauges->store_read) - from) / 2;
    *value = atomic_load(&gauges->is_restored) ? 1
             : end > from && came > 0          ? fmin((double)came / (double)(end - from), 1)
                                               : 0;
    return has_store(task);
}

static bool busy(struct run *run, const struct task *task, double *value)
{
    (void)run;
    *value = (double)atomic_load(&task->gauges->busy_ns) / 1e9;
    return true;
}
static bool rows_shared(struct run *run, const struct task *task, double *value)
{
    (void)run;
    *value = (double)atomic_load(&task->gauges->shared_rows);
    return task->stage->input == INPUT_ROWS;
}
static bool worker_of(struct run *run, const struct task *task, double *value)
{
    (void)run;
    *value = (double)atomic_load(&task->gauges->worker);
    return true;
}

static const struct family {
    const char *name, *type, *unit, *help;
    value_fn *value;
} families[] = {
    {"weir_rows_in", "counter", NULL, "Records read by a stage.", rows_in},
    {"weir_rows_shared", "counter", NULL,
     "Records that came to a stage decoded, by a read that it shares with others of the app.",
     rows_shared},
    {"weir_rows_made", "counter", NULL, "Rows added by unnesting.", rows_made},
    {"weir_records_out", "counter", NULL, "Records written to the output topic.", records_out},
    {"weir_input_offset", "gauge", NULL, "Committed position: the next offset to read.",
     input_position},
    {"weir_lag_records", "gauge", "records", "Records between the position and the input's end.",
     input_lag},
    {"weir_watermark_seconds", "gauge", "seconds",
     "How far event time has come, since 1970-01-01 UTC.", watermark},
    {"weir_watermark_delay_seconds", "gauge", "seconds",
     "How far the watermark is behind the wall clock.", watermark_delay},
    {"weir_table_entries", "gauge", "entries", "Groups held in memory.", table_entries},
    {"weir_table_bytes", "gauge", "bytes", "Memory that they take.", table_bytes},
    {"weir_store_entries", "gauge", "entries", "Groups held in the store.", store_entries},
    {"weir_store_bytes", "gauge", "bytes", "Pages in use in the store.", store_bytes},
    {"weir_store_lag_records", "gauge", "records",
     "Changelog records that the store has not taken in yet.", store_lag},
    {"weir_restored_ratio", "gauge", "ratio",
     "How much of the store was restored at the start: 1 when the task works.", restored},
    {"weir_busy_seconds", "counter", "seconds", "Time that the partition has taken of its worker.",
     busy},
    {"weir_worker", "gauge", NULL, "The worker that has the partition, from 0.", worker_of},
};

/* ---- text ---- */

/* Names of apps, stages and topics are of [A-Za-z0-9._-]: nothing needs escaping. */
static void put_labels(struct buf *text, const struct run *run, const struct task *task)
{
    buf_printf(text, "{app=\"%s\",stage=\"%s\",topic=\"%s\",partition=\"%d\"", run->app->name,
               task->stage->name, task->stage->input_topic, (int)task->partition);
}

static void put_family(struct buf *text, struct run *run, const struct family *family)
{
    const char *suffix = strcmp(family->type, "counter") == 0 ? "_total" : "";
    openmetrics_head(text, family->name, family->type, family->unit, family->help);
    for (uint32_t i = 0; i < run->task_count; i++) {
        double value;
        if (!family->value(run, &run->tasks[i], &value))
            continue;
        buf_printf(text, "%s%s", family->name, suffix);
        put_labels(text, run, &run->tasks[i]);
        buf_printf(text, "} %.15g\n", value);
    }
}

static void put_fates(struct buf *text, struct run *run)
{
    static const char *const fates[] = {"applied",   "filtered", "late",
                                        "duplicate", "dead",     "unmatched"};
    openmetrics_head(text, "weir_rows", "counter", NULL,
                     "What became of the rows: the sum over fate is rows in + made.");
    for (uint32_t i = 0; i < run->task_count; i++) {
        struct counts counts = run->counts[run->tasks[i].index];
        for (int field = 0; field < COUNT_FIELDS && is_source(&run->tasks[i]); field++)
            for (size_t f = 0; f < sizeof fates / sizeof fates[0]; f++) {
                if (strcmp(count_names[field], fates[f]) != 0)
                    continue;
                buf_printf(text, "weir_rows_total");
                put_labels(text, run, &run->tasks[i]);
                buf_printf(text, ",fate=\"%s\"} %lld\n", fates[f],
                           (long long)*counts_field(&counts, field));
            }
    }
}

static void put_commits(struct buf *text, const struct metrics *metrics, const char *app)
{
    static const char name[] = "weir_commit_latency_seconds";
    char labels[300];
    snprintf(labels, sizeof labels, "app=\"%s\"", app);
    openmetrics_head(text, name, "histogram", "seconds",
                     "From the making of a commit to its decision.");
    histogram_put(text, &metrics->commits, SCALE_OF_WORK, name, labels);
}

static void put_memory(struct buf *text, const struct run *run)
{
    const struct memory *memory = &run->memory;
    int64_t tables = 0, partials = 0, pending = 0;
    for (uint32_t i = 0; i < run->task_count; i++) {
        const struct task_gauges *gauges = run->tasks[i].gauges;
        int64_t bytes = atomic_load(&gauges->table_bytes);
        *(has_store(&run->tasks[i]) ? &tables : &partials) += bytes;
        pending += atomic_load(&gauges->pending_bytes);
    }
    const char *app = run->app->name;
    openmetrics_head(
        text, "weir_memory_bytes", "gauge", "bytes",
        "Memory in use: groups with a store, groups on their way to a re-keying, output that "
        "waits for a commit.");
    buf_printf(text, "weir_memory_bytes{app=\"%s\",kind=\"tables\"} %lld\n", app,
               (long long)tables);
    buf_printf(text, "weir_memory_bytes{app=\"%s\",kind=\"partials\"} %lld\n", app,
               (long long)partials);
    buf_printf(text, "weir_memory_bytes{app=\"%s\",kind=\"pending\"} %lld\n", app,
               (long long)pending);
    openmetrics_head(text, "weir_memory_budget_bytes", "gauge", "bytes",
                     "memory_bytes of the options.");
    buf_printf(text, "weir_memory_budget_bytes{app=\"%s\"} %lld\n", app,
               (long long)memory->budget_bytes);
}

static void put_all(struct buf *text, const struct metrics *metrics, struct run *run)
{
    pthread_mutex_lock(&run->mutex);
    put_fates(text, run);
    for (size_t f = 0; f < sizeof families / sizeof families[0]; f++)
        put_family(text, run, &families[f]);
    put_commits(text, metrics, run->app->name);
    stage_metrics_put(text, run);
    put_memory(text, run);
    openmetrics_head(text, "weir_app", "info", NULL, "The app and the library's version.");
    buf_printf(text, "weir_app_info{app=\"%s\",version=\"%s\"} 1\n", run->app->name,
               weir_version());
    pthread_mutex_unlock(&run->mutex);
    buf_printf(text, "# EOF\n");
}

/* ---- a run ---- */

static int attach_stages(struct metrics *metrics, struct run *run, struct diag *diag)
{
    for (uint32_t i = 0; i < run->task_count; i++) {
        struct task_gauges *gauges = run->tasks[i].gauges;
        gauges->stage = stage_metrics_of(&metrics->stages, run->tasks[i].stage);
        if (gauges->stage == NULL)
            return diag_set(diag, ERR_NOMEM, "no memory for metrics");
    }
    return 0;
}

int metrics_attach(struct metrics *metrics, struct run *run, struct diag *diag)
{
    TRY(attach_stages(metrics, run, diag));
    pthread_mutex_lock(&metrics->mutex);
    metrics->run = run;
    pthread_mutex_unlock(&metrics->mutex);
    metrics->next_ms = 0;
    metrics->was_said = false;
    const char *path = run->app->options.metrics;
    if (path == NULL)
        return 0;
    struct buf text;
    buf_init(&text, 0);
    put_all(&text, metrics, run);
    int rc = buf_ok(&text) ? io_write_file(path, text.data, text.size, diag)
                           : diag_set(diag, ERR_NOMEM, "no memory for metrics");
    buf_deinit(&text);
    metrics->was_said = rc < 0;
    return rc;
}

void metrics_detach(struct metrics *metrics)
{
    struct buf text;
    pthread_mutex_lock(&metrics->mutex);
    if (metrics->run != NULL) {
        buf_init(&text, 0);
        put_all(&text, metrics, metrics->run);
        free(metrics->text);
        metrics->text_size = buf_ok(&text) ? text.size : 0;
        metrics->text = buf_ok(&text) ? malloc(text.size + 1) : NULL;
        if (metrics->text != NULL)
            memcpy(metrics->text, text.data, text.size);
        buf_deinit(&text);
    }
    metrics->run = NULL;
    pthread_mutex_unlock(&metrics->mutex);
}

void metrics_publish(struct metrics *metrics, bool now)
{
    struct run *run = metrics->run;
    struct diag diag = {0};
    struct buf text;
    if (run == NULL || run->app->options.metrics == NULL ||
        (!now && clock_mono_ms() < metrics->next_ms))
        return;
    metrics->next_ms = clock_mono_ms() + PUBLISH_MS;
    buf_init(&text, 0);
    put_all(&text, metrics, run);
    int rc = buf_ok(&text) ? io_write_file(run->app->options.metrics, text.data, text.size, &diag)
                           : diag_set(&diag, ERR_NOMEM, "no memory for metrics");
    buf_deinit(&text);
    if (rc < 0 && !metrics->was_said)
        log_line('W', "app %s: metrics are not written: %s", run->app->name, diag.text);
    metrics->was_said = rc < 0;
}

struct task_gauges *metrics_gauges(const struct metrics *metrics, const struct plan *plan,
                                   const struct stage *stage, int32_t partition)
{
    const struct run *run = metrics != NULL ? metrics->run : NULL;
    if (run == NULL || run->plan != plan || stage < plan->stages ||
        stage >= plan->stages + plan->stage_count)
        return NULL;
    return run->tasks[run->first_task[stage - plan->stages] + (uint32_t)partition].gauges;
}

/* A look into the store is a system's call or two: once a second is enough. */
static void look_at_store(struct task *task)
{
    struct state_statistics statistics;
    int64_t now_ns = clock_mono_ns(), last_ns = atomic_load(&task->gauges->stored_ns);
    if (!task->has_store || (last_ns != 0 && now_ns - last_ns < STORE_LOOK_NS) ||
        state_stat(task->store.state, &statistics, NULL) < 0)
        return;
    atomic_store(&task->gauges->stored_ns, now_ns);
    atomic_store(&task->gauges->store_entries, (int64_t)statistics.entries);
    atomic_store(&task->gauges->store_bytes, (int64_t)statistics.used_bytes);
}

void metrics_task(struct task *task)
{
    struct task_gauges *gauges = task->gauges;
    size_t entries;
    if (gauges == NULL)
        return;
    atomic_store(&gauges->watermark_ms, task->committed_watermark_ms);
    atomic_store(&gauges->pending_bytes, (int64_t)task->pending_bytes);
    if (!task->has_store)
        return;
    atomic_store(&gauges->table_bytes, (int64_t)chain_held(&task->chain, &entries));
    atomic_store(&gauges->table_entries, (int64_t)entries);
    look_at_store(task);
}

void metrics_commit(struct metrics *metrics, double seconds)
{
    histogram_observe(&metrics->commits, SCALE_OF_WORK, seconds);
}

/* ---- tasks, one by one ---- */

static void read_task(struct run *run, const struct task *task, struct task_reading *reading)
{
    double lag, part;
    *reading = (struct task_reading){.pipeline = task->stage->view->sink->topic,
                                     .stage = task->stage->name,
                                     .input = task->stage->input_topic,
                                     .partition = task->partition,
                                     .position = run->positions[task->index],
                                     .lag = input_lag(run, task, &lag) ? (int64_t)lag : -1,
                                     .watermark_ms = atomic_load(&task->gauges->watermark_ms),
                                     .counts = &run->counts[task->index],
                                     .reads_rows = is_source(task),
                                     .is_open = atomic_load(&task->gauges->is_restored)};
    reading->has_store = restored(run, task, &part);
    reading->restored = reading->is_open ? 1 : reading->has_store ? part : 0;
}

bool metrics_read_tasks(struct metrics *metrics,
                        void (*fn)(void *context, const struct task_reading *reading),
                        void *context)
{
    pthread_mutex_lock(&metrics->mutex);
    struct run *run = metrics->run;
    if (run != NULL) {
        pthread_mutex_lock(&run->mutex);
        for (uint32_t i = 0; i < run->task_count; i++) {
            struct task_reading reading;
            read_task(run, &run->tasks[i], &reading);
            fn(context, &reading);
        }
        pthread_mutex_unlock(&run->mutex);
    }
    pthread_mutex_unlock(&metrics->mutex);
    return run != NULL;
}

/* ---- weir.h ---- */

int weir_app_metrics(weir_app *app, char **text)
{
    struct buf buf;
    if (text == NULL)
        return ERR_INVALID;
    *text = NULL;
    if (app == NULL)
        return ERR_INVALID;
    struct metrics *metrics = app->metrics;
    buf_init(&buf, 0);
    pthread_mutex_lock(&metrics->mutex);
    if (metrics->run != NULL)
        put_all(&buf, metrics, metrics->run);
    else if (metrics->text != NULL)
        buf_append(&buf, metrics->text, metrics->text_size);
    else
        buf_printf(&buf, "# EOF\n");
    pthread_mutex_unlock(&metrics->mutex);
    buf_u8(&buf, '\0');
    bool ok = buf_ok(&buf) && (*text = malloc(buf.size)) != NULL;
    if (ok)
        memcpy(*text, buf.data, buf.size);
    buf_deinit(&buf);
    return ok ? 0 : ERR_NOMEM;
}
