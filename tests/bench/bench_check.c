/* bench_check.c: how long it takes to say that a file of 30 statements is right.
 *
 *   process  sql_compile of the text and the topology that it gives, which is what `weir check` does
 *   command  `weir check FILE` from the start of the process to its end
 *
 * The file is what people write: five tables with types, paths, NOT NULL and CHECK, one with a key,
 * views on them, joins, groups in windows with HAVING and FILTER, INSERTs. Times are of the wall; the bar
 * is on the median of the command, since a busy machine stretches single runs. */
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/base/error.h"
#include "tests/support/job.h"
#include "tests/support/scratch_dir.h"

extern char **environ;

enum { TABLES = 5, STATEMENTS = 30, IN_PROCESS = 100, COMMANDS = 40, BAR_MS = 50 };

/* ---- the file ---- */

static void write_tables(struct buf *out, int n)
{
    buf_printf(out,
               "CREATE TABLE orders%d (id text NOT NULL, shop text OPTIONS (path 'place.shop') NOT "
               "NULL, status text, amount numeric(10,2) CONSTRAINT positive CHECK (amount > 0), "
               "quantity integer CHECK (quantity BETWEEN 1 AND 1000), ts timestamptz)\n"
               "WITH (topic = 'orders%d', event_time = 'ts', lateness = '30 seconds');\n",
               n, n);
}

static void write_views(struct buf *out, int n)
{
    buf_printf(
        out,
        "CREATE VIEW paid%d AS SELECT id, upper(shop) AS shop, amount * quantity AS total, "
        "ts FROM orders%d WHERE status = 'paid' AND amount IS NOT NULL;\n"
        "CREATE VIEW placed%d AS SELECT p.id, p.total, p.ts, coalesce(s.city, 'nowhere') AS "
        "city FROM paid%d AS p LEFT JOIN shops AS s ON s.shop = p.shop;\n"
        "CREATE MATERIALIZED VIEW hourly%d AS SELECT city, window_start, sum(total) AS "
        "revenue, count(*) FILTER (WHERE total > 100) AS large FROM tumble(placed%d, ts, "
        "INTERVAL '1 hour') GROUP BY city, window_start HAVING count(*) > 1;\n"
        "CREATE MATERIALIZED VIEW daily%d AS SELECT shop, date_trunc('day', ts) AS day, "
        "avg(total) AS mean, max(total) AS most FROM paid%d GROUP BY shop, day;\n"
        "INSERT INTO large%d SELECT id, city, total, CASE WHEN total > 1000 THEN 'huge' ELSE "
        "'large' END AS size FROM placed%d WHERE total > 100 AND id LIKE 'o-%%';\n",
        n, n, n, n, n, n, n, n, n, n);
}

static void write_file(struct buf *out)
{
    int statements = 0;
    buf_printf(out, "CREATE TABLE shops (shop text PRIMARY KEY, city text, region text) "
                    "WITH (topic = 'shops');\n");
    for (int n = 0; n < TABLES - 1; n++) {
        write_tables(out, n);
        write_views(out, n);
    }
    for (int n = 0; n < TABLES; n++)
        buf_printf(out, "CREATE VIEW region%d AS SELECT * FROM shops WHERE region = 'r%d';\n", n,
                   n);
    must(buf_ok(out));
    for (size_t i = 0; i < out->size; i++)
        statements += out->data[i] == ';';
    must(statements == STATEMENTS);
}

/* ---- timing ---- */

static int compare_times(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double report(const char *name, double *times_ms, int count, double bar_ms)
{
    qsort(times_ms, (size_t)count, sizeof *times_ms, compare_times);
    double median_ms = times_ms[count / 2];
    printf("{\"workload\":\"check\",\"case\":\"%s\",\"statements\":%d,\"runs\":%d,\"median_ms\":"
           "%.2f,\"p95_ms\":%.2f,\"most_ms\":%.2f,\"bar_ms\":%.0f,\"check\":\"%s\"}\n",
           name, STATEMENTS, count, median_ms, times_ms[count * 95 / 100], times_ms[count - 1],
           bar_ms, median_ms <= bar_ms ? "ok" : "failed: over the bar");
    return median_ms;
}

static double check_here(const struct buf *text)
{
    int64_t start = clock_mono_ns();
    struct job job = {.app = "check"};
    must(job_set_sql(&job, (const char *)text->data, text->size) == 0);
    weir_app *app = weir_app_open(job.app, NULL);
    must(app != NULL);
    job_build(&job, app);
    weir_app_close(app);
    job_release(&job);
    return (double)(clock_mono_ns() - start) / 1e6;
}

static double run_command(const char *weir, const char *file)
{
    char *const arguments[] = {(char *)(uintptr_t)weir, "check", (char *)(uintptr_t)file, NULL};
    posix_spawn_file_actions_t actions;
    int64_t start = clock_mono_ns();
    pid_t child;
    int status;
    must(posix_spawn_file_actions_init(&actions) == 0);
    must(posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO) == 0);
    must(posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", 1, 0) == 0);
    int rc = posix_spawn(&child, weir, &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (rc != 0) {
        fprintf(stderr, "%s: %s\n", weir, strerror(rc));
        exit(1);
    }
    while (waitpid(child, &status, 0) < 0)
        must(errno == EINTR);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        fprintf(stderr, "weir check %s failed\n", file);
        exit(1);
    }
    return (double)(clock_mono_ns() - start) / 1e6;
}

/* build/…/weir of build/…/bench/bench_check. */
static char *beside(const char *program)
{
    const char *slash = strrchr(program, '/');
    char *path;
    must(slash != NULL && asprintf(&path, "%.*s/../weir", (int)(slash - program), program) > 0);
    return path;
}

int main(int argc, char **argv)
{
    double times_ms[IN_PROCESS];
    struct buf text;
    if (argc > 1) {
        fprintf(stderr, "usage: %s\n", argv[0]);
        return 2;
    }
    buf_init(&text, 0);
    write_file(&text);
    char *root = scratch_dir_create(), *file = scratch_path(root, "shops.sql");
    FILE *out = fopen(file, "w");
    must(out != NULL && fwrite(text.data, 1, text.size, out) == text.size && fclose(out) == 0);
    for (int i = 0; i < IN_PROCESS; i++)
        times_ms[i] = check_here(&text);
    report("process", times_ms, IN_PROCESS, BAR_MS);
    char *weir = beside(argv[0]);
    for (int i = 0; i < COMMANDS; i++)
        times_ms[i] = run_command(weir, file);
    double median_ms = report("command", times_ms, COMMANDS, BAR_MS);
    free(weir);
    free(file);
    scratch_dir_remove(root);
    buf_deinit(&text);
    return median_ms <= BAR_MS ? 0 : 4;
}
