/* bench_restore.c: how long an app takes from its start to results that rest on its old state.
 *
 *   deleted   1,000,000 keys, the app ended well, DIR/state was removed: all of the state comes back
 *             from the changelog
 *   kept      100,000 users, 5,000,000 events; the app is killed (SIGKILL) as soon as it says that it
 *             has caught up: the log is recovered, and the store takes what its changelog has and it
 *             has not
 *
 * What is timed begins with weir_log_open and ends when a reader of committed records has seen the
 * results of 1,000 events, of users spread over all, that were sent right after the opening: the
 * log's recovery, the store, the first rows and the first commit are in it. Filling, and what is
 * timed, are processes of their own.
 *
 * The check: each of those 1,000 results must be the count that the user had, and one. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/base/io.h"
#include "runtime/weir.h"
#include "tests/support/bench_log.h"
#include "tests/support/bench_text.h"

enum { ASKED = 1000, LOST_MS = 60000, STRIDE = 7919 /* prime: users come in a scattered order */ };

struct one {
    const char *name;
    int64_t keys, events;
    bool kill;
    double bar;
};
static const struct one cases[] = {
    {"deleted", 1000000, 1000000, false, 1000000}, /* keys/s */
    {"kept", 100000, 5000000, true, 300},          /* ms */
};

static void must_work(int rc, const char *error)
{
    if (rc >= 0)
        return;
    fprintf(stderr, "restore: %s\n", error);
    exit(1);
}

static int64_t user_of(const struct one *one, int64_t n)
{
    return n * STRIDE % one->keys;
}

static void send_event(weir_producer *producer, int64_t user)
{
    char key[16], value[64];
    char *end = bench_put_digits(bench_put_text(key, "user-"), (uint64_t)user, 8);
    size_t key_size = (size_t)(end - key);
    int size = snprintf(value, sizeof value, "{\"user\":\"%.*s\",\"amount\":%d}", (int)key_size,
                        key, (int)(user % 100));
    must_work(weir_send(producer, &(weir_record){.topic = "events",
                                                 .key = key,
                                                 .key_size = key_size,
                                                 .value = value,
                                                 .value_size = (size_t)size}),
              weir_producer_error(producer));
}

static weir_app *build(const weir_options *options)
{
    weir_app *app = weir_app_open("restore", options);
    weir_stream *users = weir_group_by(weir_source(app, "events", WEIR_JSON, NULL), "\"user\"");
    weir_to(weir_aggregate(users, "count(*) AS events, sum(amount::bigint) AS amount"), "totals");
    return app;
}

static void say_caught_up(void *context, const weir_progress *progress)
{
    const struct one *one = context;
    if (progress->rows_in == one->events && one->kill)
        must(write(STDOUT_FILENO, "c", 1) == 1);
}

/* Sends the events and runs the app; the one that is to be killed never comes back. */
static int fill(const struct one *one, const char *dir)
{
    weir_log *log;
    weir_producer *producer;
    weir_config config = {"weir.partitioned.by", "user"};
    must_work(weir_log_open(dir, NULL, &log), weir_log_error());
    must_work(weir_topic_create(log, "events", 1, &config, 1), weir_log_error());
    must_work(weir_producer_open(log, NULL, &producer), weir_log_error());
    for (int64_t n = 0; n < one->events; n++)
        send_event(producer, user_of(one, n));
    must_work(weir_producer_close(producer), weir_log_error());
    weir_app *app = build(&(weir_options){.log = log,
                                          .until_end = !one->kill,
                                          .progress = say_caught_up,
                                          .progress_context = (void *)(uintptr_t)one});
    must_work(weir_app_run(app), weir_app_error(app));
    weir_app_close(app);
    must_work(weir_log_close(log), weir_log_error());
    return 0;
}

static void *work(void *app)
{
    must_work(weir_app_run(app), weir_app_error(app));
    return NULL;
}

/* Waits for the result of each user that was asked for; false with a sentence. */
static bool await_results(const struct one *one, weir_consumer *consumer, char *why, size_t size)
{
    int64_t until_ms = clock_mono_ms() + LOST_MS, each = one->events / one->keys, user, events;
    uint8_t *seen = calloc((size_t)one->keys, 1);
    must(seen != NULL);
    int left = ASKED;
    while (left > 0 && why[0] == '\0') {
        const weir_record *records;
        size_t count;
        must_work(weir_poll(consumer, 100, &records, &count), weir_consumer_error(consumer));
        for (size_t i = 0; i < count && why[0] == '\0'; i++) {
            struct bytes key = bytes_of(records[i].key, records[i].key_size), value, name;
            value = bytes_of(records[i].value, records[i].value_size);
            if (!bench_take_text(&key, "user-") || !bench_take_number(&key, &user) ||
                user >= one->keys || !bench_take_text(&value, "{\"user\":") ||
                !bench_take_quoted(&value, &name) || !bench_take_text(&value, ",\"events\":") ||
                !bench_take_number(&value, &events) || events != each + 1 ||
                !bench_take_text(&value, ",\"amount\":"))
                snprintf(why, size, "a result %.80s, expected %lld events",
                         (const char *)records[i].value, (long long)each + 1);
            else
                left -= !seen[user]++;
        }
        if (clock_mono_ms() > until_ms)
            snprintf(why, size, "%d of %d results were never seen", left, ASKED);
    }
    free(seen);
    return why[0] == '\0';
}

/* What is timed. */
static int start_again(const struct one *one, const char *dir)
{
    weir_log *log;
    weir_producer *producer;
    weir_consumer *consumer;
    pthread_t worker;
    char why[256] = "";
    const char *topic = "totals";
    int64_t began_ns = clock_mono_ns();
    must_work(weir_log_open(dir, NULL, &log), weir_log_error());
    must_work(weir_producer_open(log, NULL, &producer), weir_log_error());
    for (int64_t i = 0; i < ASKED; i++)
        send_event(producer, i * (one->keys / ASKED));
    must_work(weir_producer_close(producer), weir_log_error());
    weir_app *app = build(&(weir_options){.log = log});
    must_work(weir_consumer_open(log,
                                 &(weir_consumer_options){.topics = &topic,
                                                          .topic_count = 1,
                                                          .reset = WEIR_RESET_LATEST,
                                                          .max_records = ASKED},
                                 &consumer),
              weir_log_error());
    must_work(weir_seek(consumer, topic, 0, WEIR_END), weir_consumer_error(consumer));
    must(pthread_create(&worker, NULL, work, app) == 0);
    bool ok = await_results(one, consumer, why, sizeof why);
    double ready_ms = (double)(clock_mono_ns() - began_ns) / 1e6;
    weir_app_stop(app);
    pthread_join(worker, NULL);
    weir_app_close(app);
    weir_consumer_close(consumer);
    must_work(weir_log_close(log), weir_log_error());
    printf("%.3f %s\n", ready_ms, ok ? "ok" : why);
    return 0;
}

/* Runs a step as a process of its own; its standard output is the result's. */
static pid_t start(const struct one *one, const char *dir,
                   int (*step)(const struct one *one, const char *dir), FILE **answers)
{
    int ends[2];
    fflush(stdout);
    must(pipe(ends) == 0);
    pid_t child = fork();
    must(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        exit(step(one, dir));
    }
    close(ends[1]);
    *answers = fdopen(ends[0], "r");
    must(*answers != NULL);
    return child;
}

static void run_case(struct bench_log *bench, const struct one *one, struct bench_case *result)
{
    char dir[600], state[620], answer[300] = "";
    struct diag diag = {0};
    double ready_ms = 0;
    FILE *answers;
    snprintf(dir, sizeof dir, "%s/%s", bench->dir, one->name);
    pid_t child = start(one, dir, fill, &answers);
    if (one->kill && fgetc(answers) == 'c')
        kill(child, SIGKILL);
    fclose(answers);
    int status;
    must(waitpid(child, &status, 0) == child);
    must(one->kill ? WIFSIGNALED(status) : WIFEXITED(status) && WEXITSTATUS(status) == 0);
    snprintf(state, sizeof state, "%s/state", dir);
    if (!one->kill)
        bench_must(io_remove_tree(state, &diag), &diag);
    child = start(one, dir, start_again, &answers);
    if (fgets(answer, sizeof answer, answers) == NULL ||
        sscanf(answer, "%lf %255[^\n]", &ready_ms, result->check) != 2)
        snprintf(result->check, sizeof result->check, "it did not start");
    else if (strcmp(result->check, "ok") == 0)
        result->check[0] = '\0';
    fclose(answers);
    must(waitpid(child, &status, 0) == child);
    bench_add(result, ready_ms);
    bench_must(io_remove_tree(dir, &diag), &diag);
}

static void print(const struct one *one, const struct bench_case *result)
{
    double median = bench_median(result->values, result->count), best = result->values[0], load = 0;
    for (int i = 1; i < result->count; i++)
        best = result->values[i] < best ? result->values[i] : best;
    (void)getloadavg(&load, 1);
    printf("{\"workload\":\"restore\",\"system\":\"weir\",\"case\":\"%s\",\"keys\":%lld,"
           "\"ready_ms\":%.1f,\"best_ready_ms\":%.1f,",
           one->name, (long long)one->keys, median, best);
    if (!one->kill)
        printf("\"keys_per_s\":%.0f,\"best_keys_per_s\":%.0f,", (double)one->keys * 1e3 / median,
               (double)one->keys * 1e3 / best);
    printf("\"bar\":%.0f,\"runs\":%d,\"durability\":\"commit\",\"load\":%.1f,\"check\":\"%s%s\"}\n",
           one->bar, result->count, load, result->check[0] != '\0' ? "failed: " : "ok",
           result->check);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct bench_log bench;
    bench_log_start(&bench, "restore", argc, argv);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bench_case result = {.name = cases[i].name};
        if (!bench_log_wants(&bench, cases[i].name))
            continue;
        for (int run = 0; run < bench.repeat && result.check[0] == '\0'; run++)
            run_case(&bench, &cases[i], &result);
        print(&cases[i], &result);
        bench.failed |= result.check[0] != '\0';
    }
    return bench_log_end(&bench);
}
