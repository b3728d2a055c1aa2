/* bench_latency.c: from the moment an event is due to the moment a reader sees the aggregate that
 * holds it.
 *
 * An open loop: event n is due at start + n/10 ms (10,000 a second) whatever the system does, so
 * that a stall is paid by every event that fell due in it. The producer sends what is due, waits
 * until that is on stable storage, and looks at the clock again. The job counts per user (1,000
 * users, the topic is partitioned by the user) and keeps the highest event number; it commits as
 * usual, exactly once: when its input is drained, at the latest after 100 ms. A reader of committed
 * records polls the output: the record of a user that says "last 4711" ends the wait of all events
 * of that user up to 4711. Producer, app and reader are threads of this process on one log.
 *
 * --flush MICROSECONDS: no file is flushed; each flush takes that time instead, side by side where the log flushes side by side,
 * and a write to meta takes two of them, as LMDB does. The disk then is always the same, and nobody else's: what is left is how
 * many flushes the program puts in a row. With or without it flushes are counted.
 *
 * flush_p50_ms and flush_p99_ms are the times that the flushes of files took in this very run (fdatasync is wrapped by the linker; LMDB's own are not
 * among them). An event takes four in a row, so a run on a disk whose p99 is 5 ms says nothing about a bar of 10.
 *
 * The first second is warm-up. The check: each record's count must be the number of that user's
 * events up to its last one, and every event must become visible. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

#include "runtime/base/clock.h"
#include "runtime/base/error.h"
#include "runtime/base/io.h"
#include "tests/support/bench_log.h"
#include "tests/support/bench_users.h"

enum {
    USERS = 1000,
    EVENTS_PER_S = 10000,
    EVENT_NS = 1000000000 / EVENTS_PER_S,
    WARM_UP_EVENTS = EVENTS_PER_S,
    SECONDS = 20,
    LOST_MS = 10000, /* no record for so long: something is lost */
    MAX_TIMED = 1 << 20,
};

static struct {
    int64_t flush_ns; /* 0: the disk's own */
    atomic_int_fast64_t files, meta_writes, timed;
    float flush_ms[MAX_TIMED];
} disk;

struct run {
    weir_log *log;
    weir_app *app;
    int app_code;
    int64_t events, start_ns;
    int64_t *next;                /* by event: the user's next one */
    int64_t first_waiting[USERS]; /* the user's first event that was not seen; INT64_MAX: none */
    int64_t seen_of_user[USERS];
    double *latency_ms; /* by event */
    int64_t seen;
    char check[256];
};

static void must_work(int rc, const char *error)
{
    if (rc >= 0)
        return;
    fprintf(stderr, "latency: %s\n", error);
    exit(1);
}

static void sleep_until(int64_t due_ns)
{
    struct timespec until = {.tv_sec = due_ns / 1000000000, .tv_nsec = due_ns % 1000000000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

static int note_flush(void *context, enum io_call call, const char *path, int fd, size_t *size)
{
    (void)context;
    (void)path;
    (void)fd;
    (void)size;
    bool is_file = call == IO_FDATASYNC || call == IO_FSYNC_DIR;
    if (is_file)
        atomic_fetch_add(&disk.files, 1);
    else if (call == IO_COMMIT)
        atomic_fetch_add(&disk.meta_writes, 1);
    else
        return 0;
    if (disk.flush_ns > 0)
        sleep_until(clock_mono_ns() + (is_file ? 1 : 2) * disk.flush_ns);
    return 0;
}

/* In the place of libc's in this program. */
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);

int __wrap_fdatasync(int fd)
{
    int64_t begin_ns = clock_mono_ns();
    int rc = __real_fdatasync(fd);
    int64_t took_ns = clock_mono_ns() - begin_ns, at = atomic_fetch_add(&disk.timed, 1);
    if (at < MAX_TIMED)
        disk.flush_ms[at] = (float)((double)took_ns / 1e6);
    return rc;
}

/* Takes --flush out of the arguments. */
static int take_flush(int argc, char **argv)
{
    int left = 0;
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--flush") != 0 || i + 1 == argc) {
            argv[left++] = argv[i];
            continue;
        }
        char *end;
        long long us = strtoll(argv[++i], &end, 10);
        if (*end != '\0' || us < 1 || us > 1000000) {
            fprintf(stderr, "latency: --flush takes microseconds, 1 to 1000000\n");
            exit(2);
        }
        disk.flush_ns = us * 1000;
    }
    argv[left] = NULL;
    return left;
}

static void start_disk(void)
{
    io_set_flushing(disk.flush_ns == 0);
    (void)prctl(PR_SET_TIMERSLACK, 1000UL); /* of the threads to come, too */
    io_set_fault(note_flush, NULL);
}

static void *produce(void *context)
{
    struct run *run = context;
    weir_producer *producer;
    struct bench_event event;
    must_work(weir_producer_open(run->log, &(weir_producer_options){.linger_ms = -1}, &producer),
              weir_log_error());
    for (int64_t n = 0; n < run->events;) {
        sleep_until(run->start_ns + n * EVENT_NS);
        int64_t now_ns = clock_mono_ns();
        for (; n < run->events && run->start_ns + n * EVENT_NS <= now_ns; n++) {
            bench_user_event(USERS, false, n, &event);
            must_work(weir_send(producer, &(weir_record){.topic = "events",
                                                         .key = event.key,
                                                         .key_size = event.key_size,
                                                         .value = event.text,
                                                         .value_size = event.size}),
                      weir_producer_error(producer));
        }
        must_work(weir_flush(producer, -1), weir_producer_error(producer));
    }
    must_work(weir_producer_close(producer), weir_log_error());
    return NULL;
}

static void *work(void *context)
{
    struct run *run = context;
    run->app_code = weir_app_run(run->app);
    if (run->app_code < 0)
        fprintf(stderr, "latency: %s\n", weir_app_error(run->app));
    return NULL;
}

static void list_events_of_users(struct run *run)
{
    run->next = malloc((size_t)run->events * sizeof *run->next);
    run->latency_ms = calloc((size_t)run->events, sizeof *run->latency_ms);
    must(run->next != NULL && run->latency_ms != NULL);
    for (int user = 0; user < USERS; user++)
        run->first_waiting[user] = INT64_MAX;
    for (int64_t n = run->events - 1; n >= 0; n--) {
        uint32_t user = bench_user_of(USERS, n);
        run->next[n] = run->first_waiting[user];
        run->first_waiting[user] = n;
    }
}

/* One record of the output, seen now. */
static void see(struct run *run, const weir_record *record, int64_t now_ns)
{
    struct bytes rest = bytes_of(record->value, record->value_size), name;
    int64_t user, count, last;
    if (!bench_take_text(&rest, "{\"user\":") || !bench_take_quoted(&rest, &name) ||
        !bench_take_user(name, USERS, &user) || !bench_take_text(&rest, ",\"events\":") ||
        !bench_take_number(&rest, &count) || !bench_take_text(&rest, ",\"last\":") ||
        !bench_take_number(&rest, &last) || !bench_take_text(&rest, "}") || rest.size > 0) {
        snprintf(run->check, sizeof run->check, "unexpected row %.*s", (int)record->value_size,
                 (const char *)record->value);
        return;
    }
    int64_t n = run->first_waiting[user];
    for (; n <= last; n = run->next[n], run->seen_of_user[user]++, run->seen++)
        run->latency_ms[n] = (double)(now_ns - run->start_ns - n * EVENT_NS) / 1e6;
    run->first_waiting[user] = n;
    if (run->seen_of_user[user] != count)
        snprintf(run->check, sizeof run->check, "user %d: %lld events up to %lld, expected %lld",
                 (int)user, (long long)count, (long long)last, (long long)run->seen_of_user[user]);
}

static void read_output(struct run *run)
{
    const char *topic = "user-last";
    weir_consumer *consumer;
    must_work(weir_consumer_open(run->log,
                                 &(weir_consumer_options){
                                     .topics = &topic, .topic_count = 1, .max_records = 10000},
                                 &consumer),
              weir_log_error());
    int64_t heard_ns = clock_mono_ns();
    while (run->seen < run->events && run->check[0] == '\0') {
        const weir_record *records;
        size_t count;
        must_work(weir_poll(consumer, 100, &records, &count), weir_consumer_error(consumer));
        int64_t now_ns = clock_mono_ns();
        for (size_t i = 0; i < count; i++)
            see(run, &records[i], now_ns);
        heard_ns = count > 0 ? now_ns : heard_ns;
        if (now_ns - heard_ns > LOST_MS * INT64_C(1000000))
            snprintf(run->check, sizeof run->check, "%lld of %lld events were never seen",
                     (long long)(run->events - run->seen), (long long)run->events);
    }
    weir_consumer_close(consumer);
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static int compare_floats(const void *a, const void *b)
{
    float left = *(const float *)a, right = *(const float *)b;
    return (left > right) - (left < right);
}

/* Of the flushes of files; 0 when there was none, as with --flush. */
static void sum_up_flushes(double *p50, double *p99)
{
    size_t count = (size_t)(disk.timed < MAX_TIMED ? disk.timed : MAX_TIMED);
    qsort(disk.flush_ms, count, sizeof *disk.flush_ms, compare_floats);
    *p50 = count > 0 ? (double)disk.flush_ms[count / 2] : 0;
    *p99 = count > 0 ? (double)disk.flush_ms[count * 99 / 100] : 0;
}

static void print(struct run *run)
{
    double *sorted = run->latency_ms + WARM_UP_EVENTS, load = 0, flush_p50, flush_p99;
    size_t count = (size_t)(run->events - WARM_UP_EVENTS);
    struct rusage usage;
    weir_progress progress;
    must(getrusage(RUSAGE_SELF, &usage) == 0);
    (void)getloadavg(&load, 1);
    weir_app_progress(run->app, &progress);
    qsort(sorted, count, sizeof *sorted, compare);
    sum_up_flushes(&flush_p50, &flush_p99);
    double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    double commits = progress.commits > 0 ? (double)progress.commits : 1;
    printf("{\"workload\":\"latency\",\"system\":\"weir\",\"threads\":1,\"keys\":%d,"
           "\"events\":%lld,\"events_per_s\":%d,\"p50_ms\":%.3f,\"p90_ms\":%.3f,\"p99_ms\":%.3f,"
           "\"p999_ms\":%.3f,\"max_ms\":%.3f,\"cpu_s_per_million\":%.3f,\"durability\":\"commit\","
           "\"commit_interval_ms\":100,\"commits\":%lld,\"flush_us\":%lld,"
           "\"flush_p50_ms\":%.3f,\"flush_p99_ms\":%.3f,\"flushes_per_commit\":%.2f,"
           "\"meta_writes_per_commit\":%.2f,\"load\":%.1f,"
           "\"check\":\"%s%s\"}\n",
           USERS, (long long)run->events, EVENTS_PER_S, sorted[count / 2], sorted[count * 9 / 10],
           sorted[count * 99 / 100], sorted[count / 1000 * 999], sorted[count - 1],
           cpu * 1e6 / (double)run->events, (long long)progress.commits,
           (long long)disk.flush_ns / 1000, flush_p50, flush_p99, (double)disk.files / commits,
           (double)disk.meta_writes / commits, load, run->check[0] != '\0' ? "failed: " : "ok",
           run->check);
}

static void set_up(struct run *run, const char *dir)
{
    weir_config config = {"weir.partitioned.by", "user"};
    must_work(weir_log_open(dir, NULL, &run->log), weir_log_error());
    must_work(weir_topic_create(run->log, "events", 1, &config, 1), weir_log_error());
    must_work(weir_topic_create(run->log, "user-last", 1, NULL, 0), weir_log_error());
    run->app = weir_app_open("latency", &(weir_options){.log = run->log});
    weir_stream *users =
        weir_group_by(weir_source(run->app, "events", WEIR_JSON, NULL), "\"user\"");
    weir_to(weir_aggregate(users, "count(*) AS events, max(event_id::bigint) AS last"),
            "user-last");
    list_events_of_users(run);
}

int main(int argc, char **argv)
{
    struct bench_log bench;
    struct run run = {0};
    pthread_t producer, worker;
    char dir[600];
    argc = take_flush(argc, argv);
    bench_log_start(&bench, "latency", argc, argv);
    start_disk();
    snprintf(dir, sizeof dir, "%s/log", bench.dir);
    run.events = (int64_t)SECONDS * EVENTS_PER_S * bench.scale_percent / 100 + WARM_UP_EVENTS;
    set_up(&run, dir);
    must(pthread_create(&worker, NULL, work, &run) == 0);
    run.start_ns = clock_mono_ns() + 500000000; /* the app opens its stores before */
    must(pthread_create(&producer, NULL, produce, &run) == 0);
    read_output(&run);
    pthread_join(producer, NULL);
    weir_app_stop(run.app);
    pthread_join(worker, NULL);
    if (run.app_code < 0 && run.check[0] == '\0')
        snprintf(run.check, sizeof run.check, "the app ended with code %d", run.app_code);
    print(&run);
    bench.failed = run.check[0] != '\0';
    weir_app_close(run.app);
    must_work(weir_log_close(run.log), weir_log_error());
    io_set_fault(NULL, NULL);
    free(run.next);
    free(run.latency_ms);
    return bench_log_end(&bench);
}
