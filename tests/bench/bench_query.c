/* bench_query.c: rows of a view by their keys, inside the process.
 *
 * A job has counted 1,000,000 users and ended. Each question asks for one of them, drawn at random, by its key:
 *
 *   prepared  the question is compiled; what is timed is weir_query_rewind and weir_query_next
 *   text      weir_query_open of a new text, weir_query_next, weir_query_close, while another query
 *             keeps the view open: parsing, names and types, the plan, the look-up
 *   first     the same with nothing open: the view's description and its store are opened, too
 *
 * The check: every answer must be what the arithmetic of the events says. The bar is the 99th percentile of the first two. */
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

enum { KEYS = 1000000, STRIDE = 7919, PREPARED = 2000, BAR_US = 1000 };

struct one {
    const char *name;
    int questions;
    double bar_us; /* 0: none */
};
static const struct one cases[] = {
    {"prepared", 20000, BAR_US}, {"text", 5000, BAR_US}, {"first", 500, 0}};

static void must_work(int rc, const char *error)
{
    if (rc >= 0)
        return;
    fprintf(stderr, "query: %s\n", error);
    exit(1);
}

/* ---- the view ---- */

static int64_t amount_of(int64_t user)
{
    return user % 97;
}

static void send_event(weir_producer *producer, int64_t user)
{
    char key[16], value[64];
    char *end = bench_put_digits(bench_put_text(key, "user-"), (uint64_t)user, 8);
    size_t key_size = (size_t)(end - key);
    int size = snprintf(value, sizeof value, "{\"user\":\"%.*s\",\"amount\":%d}", (int)key_size,
                        key, (int)amount_of(user));
    must_work(weir_send(producer, &(weir_record){.topic = "events",
                                                 .key = key,
                                                 .key_size = key_size,
                                                 .value = value,
                                                 .value_size = (size_t)size}),
              weir_producer_error(producer));
}

static void fill(const char *dir)
{
    weir_log *log;
    weir_producer *producer;
    weir_config config = {"weir.partitioned.by", "user"};
    must_work(weir_log_open(dir, NULL, &log), weir_log_error());
    must_work(weir_topic_create(log, "events", 1, &config, 1), weir_log_error());
    must_work(weir_producer_open(log, NULL, &producer), weir_log_error());
    for (int64_t n = 0; n < KEYS; n++)
        send_event(producer, n * STRIDE % KEYS);
    must_work(weir_producer_close(producer), weir_log_error());
    weir_app *app = weir_app_open("ask", &(weir_options){.log = log, .until_end = true});
    weir_stream *users = weir_group_by(weir_source(app, "events", WEIR_JSON, NULL), "\"user\"");
    weir_to(weir_aggregate(users, "count(*) AS events, sum(amount::bigint) AS amount"), "totals");
    must_work(weir_app_run(app), weir_app_error(app));
    weir_app_close(app);
    must_work(weir_log_close(log), weir_log_error());
}

/* A process of its own, so that none of its memory is about. */
static void fill_apart(const char *dir)
{
    int status;
    fflush(stdout);
    pid_t child = fork();
    must(child >= 0);
    if (child == 0) {
        fill(dir);
        exit(0);
    }
    must(waitpid(child, &status, 0) == child);
    must(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- questions ---- */

static uint64_t seed = 42;
static int64_t draw_user(void)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (int64_t)((seed >> 33) % KEYS);
}

static weir_query *ask(weir_log *log, int64_t user)
{
    char text[128];
    weir_query *query;
    snprintf(text, sizeof text, "SELECT events, amount FROM totals WHERE \"user\" = 'user-%08lld'",
             (long long)user);
    must_work(weir_query_open(log, text, NULL, &query), weir_log_error());
    return query;
}

static bool is_right(weir_query *query, const weir_value *row, int64_t user)
{
    char amount[24];
    int size = snprintf(amount, sizeof amount, "%lld", (long long)amount_of(user));
    if (row == NULL || row[0].type != WEIR_BIGINT || row[0].i64 != 1 ||
        row[1].type != WEIR_NUMERIC || row[1].text.size != (size_t)size ||
        memcmp(row[1].text.data, amount, (size_t)size) != 0)
        return false;
    return weir_query_next(query, &row) == 0;
}

/* Nanoseconds of one question; a wrong answer sets why. */
static int64_t ask_text(weir_log *log, char *why, size_t size)
{
    const weir_value *row = NULL;
    int64_t user = draw_user(), began_ns = clock_mono_ns();
    weir_query *query = ask(log, user);
    must_work(weir_query_next(query, &row), weir_query_error(query));
    int64_t took_ns = clock_mono_ns() - began_ns;
    if (!is_right(query, row, user))
        snprintf(why, size, "the answer for user %lld", (long long)user);
    began_ns = clock_mono_ns();
    weir_query_close(query);
    return took_ns + clock_mono_ns() - began_ns;
}

static int64_t ask_prepared(weir_query *const *queries, const int64_t *users, char *why,
                            size_t size)
{
    const weir_value *row = NULL;
    int64_t which = draw_user() % PREPARED, began_ns = clock_mono_ns();
    must_work(weir_query_rewind(queries[which]), "rewind");
    must_work(weir_query_next(queries[which], &row), weir_query_error(queries[which]));
    int64_t took_ns = clock_mono_ns() - began_ns;
    if (!is_right(queries[which], row, users[which]))
        snprintf(why, size, "the answer for user %lld", (long long)users[which]);
    return took_ns;
}

static void run_prepared(weir_log *log, const struct one *one, int64_t *took_ns, char *why,
                         size_t size)
{
    static weir_query *queries[PREPARED];
    static int64_t users[PREPARED];
    for (int i = 0; i < PREPARED; i++) {
        users[i] = draw_user();
        queries[i] = ask(log, users[i]);
    }
    for (int i = 0; i < one->questions; i++)
        took_ns[i] = ask_prepared(queries, users, why, size);
    for (int i = 0; i < PREPARED; i++)
        weir_query_close(queries[i]);
}

static void run_case(const char *dir, const struct one *one, int64_t *took_ns, char *why,
                     size_t size)
{
    weir_log *log;
    weir_query *keeper = NULL;
    const weir_value *row;
    must_work(weir_log_open(dir, NULL, &log), weir_log_error());
    if (strcmp(one->name, "first") != 0) {
        keeper = ask(log, 0);
        must_work(weir_query_next(keeper, &row), weir_query_error(keeper));
    }
    if (strcmp(one->name, "prepared") == 0)
        run_prepared(log, one, took_ns, why, size);
    for (int i = 0; strcmp(one->name, "prepared") != 0 && i < one->questions; i++)
        took_ns[i] = ask_text(log, why, size);
    weir_query_close(keeper);
    must_work(weir_log_close(log), weir_log_error());
}

static int compare_times(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void print(const struct one *one, int64_t *took_ns, const char *why)
{
    double load = 0;
    int n = one->questions;
    (void)getloadavg(&load, 1);
    qsort(took_ns, (size_t)n, sizeof *took_ns, compare_times);
    printf(
        "{\"workload\":\"query\",\"system\":\"weir\",\"case\":\"%s\",\"keys\":%d,\"questions\":%d,"
        "\"p50_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f,",
        one->name, KEYS, n, (double)took_ns[n / 2] / 1e3,
        (double)took_ns[(int64_t)n * 99 / 100] / 1e3, (double)took_ns[n - 1] / 1e3);
    if (one->bar_us > 0)
        printf("\"bar_p99_us\":%.0f,", one->bar_us);
    printf("\"load\":%.1f,\"check\":\"%s%s\"}\n", load, why[0] != '\0' ? "failed: " : "ok", why);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct bench_log bench;
    char dir[600];
    struct diag diag = {0};
    bench_log_start(&bench, "query", argc, argv);
    snprintf(dir, sizeof dir, "%s/query", bench.dir);
    fill_apart(dir);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char why[256] = "";
        if (!bench_log_wants(&bench, cases[i].name))
            continue;
        int64_t *took_ns = calloc((size_t)cases[i].questions, sizeof *took_ns);
        must(took_ns != NULL);
        run_case(dir, &cases[i], took_ns, why, sizeof why);
        print(&cases[i], took_ns, why);
        bench.failed |= why[0] != '\0';
        free(took_ns);
    }
    bench_must(io_remove_tree(dir, &diag), &diag);
    return bench_log_end(&bench);
}
