/* bench_statements.c: several statements over one table: what N of them cost beside N times one.
 *
 * Documents of 195 bytes and seven fields (bench_users.h) in a topic of one partition, declared as a table
 * with all of them typed, two NOT NULL and a CHECK; four statements over it with few groups each, so that
 * reading is most of the work. Each of them runs alone, then the first two, then all four, each as an app of
 * its own in a process of its own, on one thread, until the end of the topic. Processor time is that of the
 * process in weir_app_run. The line of N statements has `cost`, their time over the mean time of the same
 * statements alone: 1 is what one statement costs, N what N would without sharing.
 *
 * The check: what stands in each view must be what the arithmetic of the events says. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/weir.h"
#include "tests/support/bench_log.h"
#include "tests/support/bench_users.h"
#include "tests/support/job.h"

enum { EVENTS = 2000000, USERS = 100000, STATEMENTS = 4, LITTLE_MS = 10100 };
#define BAR_COST 2.0 /* of four */

static const char table[] =
    "CREATE TABLE events (event_id text NOT NULL, \"user\" text NOT NULL, ts timestamptz, action "
    "text, page text, "
    "duration_ms bigint CHECK (duration_ms > 0), agent text) WITH (event_time = 'ts');";
static const char *const statements[STATEMENTS] = {
    "SELECT action, count(*) AS n FROM events GROUP BY action",
    ("SELECT window_start, sum(duration_ms) AS n FROM tumble(events, ts, INTERVAL '1 minute') "
     "GROUP BY window_start"),
    "SELECT duration_ms / 1000 AS seconds, count(*) AS n FROM events GROUP BY seconds",
    "SELECT action, count(*) AS n FROM events WHERE duration_ms < 10100 GROUP BY action",
};

static void must_work(int rc, const char *error)
{
    if (rc >= 0)
        return;
    fprintf(stderr, "statements: %s\n", error);
    exit(1);
}

/* ---- the events ---- */

static void fill(weir_log *log, int64_t events)
{
    weir_producer *producer;
    must_work(weir_topic_create(log, "events", 1, NULL, 0), weir_log_error());
    must_work(weir_producer_open(log, NULL, &producer), weir_log_error());
    for (int64_t n = 0; n < events; n++) {
        struct bench_event event;
        bench_user_event(USERS, false, n, &event);
        must_work(weir_send(producer, &(weir_record){.topic = "events",
                                                     .timestamp_ms = event.timestamp_ms,
                                                     .value = event.text,
                                                     .value_size = event.size}),
                  weir_producer_error(producer));
    }
    must_work(weir_producer_close(producer), weir_log_error());
}

static int64_t wanted(int statement, int64_t events)
{
    int64_t sum = 0;
    for (int64_t n = 0; n < events; n++) {
        int64_t duration_ms = bench_user_duration_ms(n);
        sum += statement == 1 ? duration_ms : statement == 3 ? duration_ms < LITTLE_MS : 1;
    }
    return sum;
}

/* ---- one run ---- */

static double cpu_seconds(void)
{
    struct rusage usage;
    must(getrusage(RUSAGE_SELF, &usage) == 0);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void build(weir_app *app, const char *name, int first, int count)
{
    struct job job = {.app = name};
    char text[4096];
    int size = snprintf(text, sizeof text, "%s", table);
    for (int i = first; i < first + count; i++)
        size += snprintf(text + size, sizeof text - (size_t)size,
                         "CREATE MATERIALIZED VIEW \"%s-%d\" AS %s;", name, i, statements[i]);
    must(job_set_sql(&job, text, (size_t)size) == 0);
    job_build(&job, app);
    job_release(&job);
}

static int64_t sum_of(weir_log *log, const char *app, int statement)
{
    char text[128];
    const weir_value *row;
    weir_query *query;
    int64_t sum = 0;
    int rc;
    snprintf(text, sizeof text, "SELECT n::bigint FROM \"%s-%d\"", app, statement);
    must_work(weir_query_open(log, text, NULL, &query), weir_log_error());
    while ((rc = weir_query_next(query, &row)) > 0)
        sum += row[0].i64;
    must_work(rc, weir_query_error(query));
    weir_query_close(query);
    return sum;
}

/* Seconds of processor and wall, and whether the results are right, through a pipe. */
struct result {
    double cpu, seconds;
    bool is_right;
};

static struct result run_here(const char *dir, const char *name, int first, int count,
                              const int64_t *sums)
{
    struct result result = {.is_right = true};
    weir_log *log;
    must_work(weir_log_open(dir, NULL, &log), weir_log_error());
    weir_app *app =
        weir_app_open(name, &(weir_options){.log = log, .threads = 1, .until_end = true});
    must(app != NULL);
    build(app, name, first, count);
    double before = cpu_seconds();
    int64_t began_ns = clock_mono_ns();
    must_work(weir_app_run(app), weir_app_error(app));
    result.seconds = (double)(clock_mono_ns() - began_ns) / 1e9;
    result.cpu = cpu_seconds() - before;
    weir_app_close(app);
    for (int i = first; i < first + count; i++)
        result.is_right &= sum_of(log, name, i) == sums[i];
    must_work(weir_log_close(log), weir_log_error());
    return result;
}

static struct result run_apart(const char *dir, const char *name, int first, int count,
                               const int64_t *sums)
{
    struct result result;
    int ends[2], status;
    must(pipe(ends) == 0);
    fflush(stdout);
    pid_t child = fork();
    must(child >= 0);
    if (child == 0) {
        result = run_here(dir, name, first, count, sums);
        must(write(ends[1], &result, sizeof result) == (ssize_t)sizeof result);
        exit(0);
    }
    close(ends[1]);
    bool is_told = read(ends[0], &result, sizeof result) == (ssize_t)sizeof result;
    close(ends[0]);
    must(waitpid(child, &status, 0) == child);
    if (!is_told || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        exit(1);
    return result;
}

/* ---- cases ---- */

static void add(struct bench_case *one, struct result result, double value)
{
    bench_add(one, value);
    if (!result.is_right)
        snprintf(one->check, sizeof one->check, "failed: a view is not what the events say");
}

int main(int argc, char **argv)
{
    struct bench_log run;
    bench_log_start(&run, "statements", argc, argv);
    int64_t events = EVENTS * run.scale_percent / 100, sums[STATEMENTS];
    weir_log *log;
    must_work(weir_log_open(run.dir, NULL, &log), weir_log_error());
    fill(log, events);
    must_work(weir_log_close(log), weir_log_error());
    for (int i = 0; i < STATEMENTS; i++)
        sums[i] = wanted(i, events);
    struct bench_case alone = {.name = "alone", .unit = "cpu_us_per_event", .less_is_better = true};
    struct bench_case two = {.name = "2", .unit = "cost", .less_is_better = true};
    struct bench_case four = {.name = "4", .unit = "cost", .less_is_better = true, .bar = BAR_COST};
    snprintf(alone.more, sizeof alone.more, "\"events\":%lld,", (long long)events);
    for (int round = 0; round < run.repeat; round++) {
        double ones[STATEMENTS], all = 0;
        char name[32];
        for (int i = 0; i < STATEMENTS; i++) {
            snprintf(name, sizeof name, "one-%d-%d", i, round);
            struct result result = run_apart(run.dir, name, i, 1, sums);
            ones[i] = result.cpu;
            all += result.cpu;
            add(&alone, result, result.cpu * 1e6 / (double)events);
        }
        snprintf(name, sizeof name, "two-%d", round);
        struct result result = run_apart(run.dir, name, 0, 2, sums);
        add(&two, result, result.cpu * 2 / (ones[0] + ones[1]));
        snprintf(name, sizeof name, "four-%d", round);
        result = run_apart(run.dir, name, 0, STATEMENTS, sums);
        add(&four, result, result.cpu * STATEMENTS / all);
    }
    bench_print(&run, &alone);
    bench_print(&run, &two);
    bench_print(&run, &four);
    return bench_log_end(&run);
}
