/* bench_harness.c: runs a workload in four phases, each in a process of its own, so that none pays
 * for another's memory or caches:
 *
 *   generate   creates the topic (one partition per thread) and fills it with lz4 batches through
 *              the log's own sender
 *   limit      the fastest that simdjson alone gets the job's fields out of the same documents, one
 *              thread, best of 3 passes
 *   run        the job, from weir_app_run's start to its return: until_end, so the last commit
 *              covers the last event
 *   check      every committed output record is read back and compared with the generator's
 *              arithmetic
 *
 * The limit is taken immediately before the run, so that both see the same machine. It walks a
 * block of documents that fits in the second-level cache, over and over, because that is where the
 * engine finds its documents too (it has just decompressed them); a walk over memory would be
 * slower and would flatter the engine. Phases answer with lines "name value" on a pipe.
 *
 * With --sql the job runs in C and as a file of SQL, on the same events and with the same check, in turn
 * and each in a process of its own; a line with the ratios of the medians comes last.
 *
 * Memory is RssAnon + RssShmem of /proc/self/status, sampled every 50 ms while the job runs and
 * once at its end; RssFile, which is the page cache seen through mappings, is reported apart as
 * peak_mapped_mb. MB are 10^6 bytes. */
#include "tests/support/bench_harness.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log/log.h"
#include "operators/json_decode.h"
#include "runtime/base/clock.h"
#include "runtime/base/io.h"
#include "tests/support/job.h"
#include "tests/support/memory_sampler.h"

enum {
    THREADS_MAX = 64,
    VARIANTS_MAX = 8,
    LIMIT_BLOCK_DOCUMENTS = 4096,
    LIMIT_PASSES = 3,
    ROUNDS = 5,
    BLOCK_EVENTS = 1024
};

struct bench {
    const struct bench_workload *variants, *workload; /* workload: the variant that runs */
    size_t variant_count;
    int64_t only[VARIANTS_MAX]; /* variants to run; none: all */
    size_t only_count;
    const char *program;
    const char *phase; /* NULL: the parent of the phases */
    char *data;
    int64_t events; /* 0: as many as the variant says */
    int threads[THREADS_MAX], thread_count;
    int64_t commit_interval_ms;
    weir_durability durability;
    bool keep, print;
    bool compares; /* the job in C and as a file of SQL, in turn, ROUNDS times */
    bool is_sql;   /* of a phase: the latter */
};

static int failed(const char *what, const struct diag *diag)
{
    fprintf(stderr, "%s: %s\n", what, diag->text);
    return 1;
}

static int32_t partition_count(const struct bench *bench)
{
    int each = bench->workload->partitions_per_thread;
    return bench->threads[0] * (each > 0 ? each : 1);
}

/* ---- generate ---- */

static int send_events(const struct bench *bench, struct sender *sender, int32_t partitions,
                       struct diag *diag)
{
    const struct bench_workload *workload = bench->workload;
    static const struct bytes null_bytes;
    struct bench_event event;
    for (int64_t n = 0; n < bench->events; n++) {
        workload->event(workload, n, &event);
        bool has_key = event.key_size > 0;
        int32_t partition = has_key ? -1 : (int32_t)(n / BLOCK_EVENTS % partitions);
        TRY(sender_send(sender, partition, event.timestamp_ms,
                        has_key ? bytes_of(event.key, event.key_size) : null_bytes,
                        bytes_of(event.text, event.size), null_bytes, 0, diag));
    }
    return sender_flush(sender, true, diag);
}

static int send_table(const struct bench *bench, struct log *log, int32_t partitions,
                      struct diag *diag)
{
    const struct bench_workload *workload = bench->workload;
    static const struct bytes null_bytes;
    struct bench_event row;
    struct sender *sender;
    if (workload->table == NULL)
        return 0;
    TRY(topic_create(log, workload->table, partitions, NULL, 0, diag));
    TRY(sender_open(log, workload->table, NULL, &sender, diag));
    int rc = 0;
    for (int64_t n = 0; rc >= 0 && n < workload->table_rows; n++) {
        workload->table_row(n, &row);
        rc = sender_send(sender, -1, row.timestamp_ms, bytes_of(row.key, row.key_size),
                         bytes_of(row.text, row.size), null_bytes, 0, diag);
    }
    if (rc >= 0)
        rc = sender_flush(sender, true, diag);
    sender_close(sender);
    return rc;
}

static int generate(const struct bench *bench)
{
    struct log_options options = {.durability = DURABILITY_COMMIT};
    struct diag diag = {0};
    struct log *log;
    struct sender *sender;
    const struct bench_workload *workload = bench->workload;
    struct config_entry config = {"weir.partitioned.by", workload->partitioned_by};
    int32_t partitions = partition_count(bench);
    if (log_open(bench->data, &options, &log, &diag) < 0)
        return failed("generate", &diag);
    if (topic_create(log, workload->topic, partitions, &config, workload->partitioned_by != NULL,
                     &diag) < 0 ||
        sender_open(log, workload->topic, NULL, &sender, &diag) < 0)
        return failed("generate", &diag);
    int rc = send_table(bench, log, partitions, &diag);
    if (rc >= 0)
        rc = send_events(bench, sender, partitions, &diag);
    sender_close(sender);
    log_close(log);
    return rc < 0 ? failed("generate", &diag) : 0;
}

/* ---- print ---- */

/* The events as lines of timestamp, key and document, which hold neither tabs nor line feeds: for
 * whoever wants to load the same input into something else. */
static int print_events(const struct bench *bench)
{
    struct bench_event event;
    for (int64_t n = 0; n < bench->events; n++) {
        bench->workload->event(bench->workload, n, &event);
        printf("%lld\t%.*s\t%.*s\n", (long long)event.timestamp_ms, (int)event.key_size, event.key,
               (int)event.size, event.text);
        if (ferror(stdout))
            break;
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        perror("print");
        return 1;
    }
    return 0;
}

/* ---- limit ---- */

static double documents_per_second(const struct field_path *const *paths, uint32_t path_count,
                                   const struct buf *ndjson, int64_t documents, int64_t repeats)
{
    uint64_t sum = 0;
    int64_t seen = 0, start = clock_mono_ns();
    for (int64_t i = 0; i < repeats; i++)
        seen += json_parse_limit(paths, path_count, ndjson->data, ndjson->size, &sum);
    int64_t took = clock_mono_ns() - start;
    if (seen != documents * repeats || sum == 0) {
        fprintf(stderr, "limit: simdjson saw %lld documents of %lld\n", (long long)seen,
                (long long)(documents * repeats));
        exit(1);
    }
    return (double)seen * 1e9 / (double)took;
}

static int limit(const struct bench *bench)
{
    const struct bench_workload *workload = bench->workload;
    struct field_path paths[BENCH_FIELDS_MAX];
    const struct field_path *path_pointers[BENCH_FIELDS_MAX];
    uint32_t path_count = 0;
    for (; path_count < BENCH_FIELDS_MAX && workload->fields[path_count] != NULL; path_count++) {
        paths[path_count] =
            (struct field_path){.parts = {workload->fields[path_count]}, .count = 1};
        path_pointers[path_count] = &paths[path_count];
    }
    struct buf ndjson;
    struct bench_event event;
    buf_init(&ndjson, 0);
    for (int64_t n = 0; n < LIMIT_BLOCK_DOCUMENTS; n++) {
        workload->event(workload, n, &event);
        buf_append(&ndjson, event.text, event.size);
        buf_u8(&ndjson, '\n');
    }
    must(buf_reserve(&ndjson, 64) != NULL);
    memset(ndjson.data + ndjson.size, ' ', 64);
    double best = 0;
    for (int pass = 0; pass < LIMIT_PASSES; pass++) {
        double rate =
            documents_per_second(path_pointers, path_count, &ndjson, LIMIT_BLOCK_DOCUMENTS,
                                 bench->events / LIMIT_BLOCK_DOCUMENTS / LIMIT_PASSES + 1);
        best = rate > best ? rate : best;
    }
    printf("limit %.0f\n", best);
    buf_deinit(&ndjson);
    return 0;
}

/* ---- run ---- */

static double cpu_seconds(void)
{
    struct rusage usage;
    must(getrusage(RUSAGE_SELF, &usage) == 0);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* Compiling the file is part of what a run of it takes. */
static void build_job(const struct bench *bench, weir_app *app)
{
    struct job job = {.app = bench->workload->app};
    if (!bench->is_sql) {
        bench->workload->build(app);
        return;
    }
    must(job_set_sql(&job, bench->workload->sql, strlen(bench->workload->sql)) == 0);
    job_build(&job, app);
    job_release(&job);
}

static int run(const struct bench *bench)
{
    weir_options options = {
        .data = bench->data,
        .threads = bench->threads[0],
        .durability = bench->durability,
        .commit_interval_ms = bench->commit_interval_ms,
        .until_end = true,
    };
    char name[64];
    snprintf(name, sizeof name, "%s%s", bench->workload->app, bench->is_sql ? "-sql" : "");
    weir_app *app = weir_app_open(name, &options);
    must(app != NULL);
    build_job(bench, app);
    struct memory_sampler sampler;
    memory_sampler_start(&sampler);
    double cpu = cpu_seconds();
    int64_t start = clock_mono_ns();
    int rc = weir_app_run(app);
    int64_t took = clock_mono_ns() - start;
    cpu = cpu_seconds() - cpu;
    memory_sampler_stop(&sampler);
    weir_progress progress;
    weir_app_progress(app, &progress);
    if (rc < 0)
        fprintf(stderr, "run: %s\n", weir_app_error(app));
    weir_app_close(app);
    printf("seconds %.6f\ncpu %.6f\nrss %.1f\nmapped %.1f\ncommits %lld\nrows_out %lld\n",
           (double)took / 1e9, cpu, sampler.peak_anonymous_mb, sampler.peak_mapped_mb,
           (long long)progress.commits, (long long)progress.rows_out);
    return rc < 0;
}

/* ---- check ---- */

static bool check_partition(const struct bench *bench, int32_t index, struct partition *partition,
                            void *check, char *why, size_t why_size)
{
    struct fetch fetch;
    struct fetch_reader reader;
    struct diag diag = {0};
    struct partition_offsets offsets;
    bool ok = true;
    fetch_init(&fetch);
    fetch_reader_init(&reader);
    partition_offsets(partition, &offsets);
    for (int64_t offset = offsets.start; ok;) {
        int rc = partition_fetch(partition, offset, READ_COMMITTED, 4 << 20, &fetch, &diag);
        if (rc < 0)
            snprintf(why, why_size, "%.200s", diag.text);
        if (rc < 0 || fetch.next_offset == offset) {
            ok = rc == 0;
            break;
        }
        struct record record;
        fetch_reader_start(&reader, &fetch, offset);
        while (ok && (rc = fetch_reader_next(&reader, &record)) == 1)
            ok = bench->workload->check_row(check, index, record.key, record.value, why, why_size);
        if (ok && rc < 0) {
            snprintf(why, why_size, "the output topic is damaged at offset %lld",
                     (long long)offset);
            ok = false;
        }
        offset = fetch.next_offset;
    }
    fetch_reader_deinit(&reader);
    fetch_deinit(&fetch);
    return ok;
}

static int check(const struct bench *bench)
{
    const struct bench_workload *workload = bench->workload;
    struct log_options options = {.durability = DURABILITY_COMMIT, .must_exist = true};
    struct diag diag = {0};
    struct log *log;
    struct topic_info info;
    char why[256] = "";
    const char *output = bench->is_sql ? workload->sql_output : workload->output;
    if (log_open(bench->data, &options, &log, &diag) < 0 ||
        topic_describe(log, output, &info, &diag) < 0)
        return failed("check", &diag);
    void *context = workload->check_open(workload, bench->events);
    bool ok = true;
    for (int32_t i = 0; ok && i < info.partitions; i++) {
        struct partition *partition;
        if (partition_get(log, output, i, &partition, &diag) < 0)
            return failed("check", &diag);
        ok = check_partition(bench, i, partition, context, why, sizeof why);
    }
    bool ends_well =
        workload->check_close(context, ok ? why : why + sizeof why - 1, ok ? sizeof why : 1);
    ok = ok && ends_well;
    printf("check %s%s\n", ok ? "ok" : "failed: ", ok ? "" : why);
    log_close(log);
    return 0;
}

/* ---- the parent ---- */

struct result {
    double limit, seconds, cpu, rss, mapped;
    char commits[32], check[300];
};

static void read_result(FILE *answers, struct result *result)
{
    char line[512];
    while (fgets(line, sizeof line, answers) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        (void)sscanf(line, "limit %lf", &result->limit);
        (void)sscanf(line, "seconds %lf", &result->seconds);
        (void)sscanf(line, "cpu %lf", &result->cpu);
        (void)sscanf(line, "rss %lf", &result->rss);
        (void)sscanf(line, "mapped %lf", &result->mapped);
        (void)sscanf(line, "commits %31s", result->commits);
        if (strncmp(line, "check ", 6) == 0)
            snprintf(result->check, sizeof result->check, "%.280s", line + 6);
    }
}

/* Runs one phase as a fresh process of this program and collects what it says. */
static bool run_phase(const struct bench *bench, int threads, const char *phase,
                      struct result *result)
{
    char events[32], thread_text[16], interval[32], variant[32];
    snprintf(events, sizeof events, "%lld", (long long)bench->events);
    snprintf(variant, sizeof variant, "%lld", (long long)bench->workload->variant);
    snprintf(thread_text, sizeof thread_text, "%d", threads);
    snprintf(interval, sizeof interval, "%lld", (long long)bench->commit_interval_ms);
    const char *durability = bench->durability == WEIR_DURABILITY_OS ? "os" : "commit";
    int ends[2];
    must(pipe(ends) == 0);
    pid_t child = fork();
    must(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execl("/proc/self/exe", bench->program, "--phase", phase, "--data", bench->data, "--keys",
              variant, "--events", events, "--threads", thread_text, "--commit-interval", interval,
              "--durability", durability, bench->is_sql ? "--sql" : (char *)NULL, (char *)NULL);
        perror("exec");
        _exit(127);
    }
    close(ends[1]);
    FILE *answers = fdopen(ends[0], "r");
    must(answers != NULL);
    read_result(answers, result);
    fclose(answers);
    int status;
    while (waitpid(child, &status, 0) < 0)
        must(errno == EINTR);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    snprintf(result->check, sizeof result->check, "failed: phase %s ended with %s %d", phase,
             WIFSIGNALED(status) ? "signal" : "code",
             WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return false;
}

static void print_result(const struct bench *bench, int threads, const struct result *result)
{
    const struct bench_workload *workload = bench->workload;
    double rate = result->seconds > 0 ? (double)bench->events / result->seconds : 0;
    char check[2 * sizeof result->check];
    size_t size = 0;
    for (const char *c = result->check; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\')
            check[size++] = '\\';
        check[size++] = *c;
    }
    check[size] = '\0';
    printf("{\"workload\":\"%s\",\"system\":\"%s\",\"threads\":%d,", workload->name,
           bench->is_sql ? "weir-sql" : "weir", threads);
    printf("\"%s\":%lld,", workload->variant_name, (long long)workload->variant);
    printf("\"events\":%lld,\"seconds\":%.3f,\"events_per_s\":%.0f,\"limit_events_per_s\":%.0f,"
           "\"ratio\":%.4f,\"cpu_s_per_million\":%.4f,\"peak_rss_mb\":%.1f,\"peak_mapped_mb\":%.1f,"
           "\"durability\":\"%s\",\"commit_interval_ms\":%lld,\"commits\":%s,\"check\":\"%s\"}\n",
           (long long)bench->events, result->seconds, rate, result->limit,
           result->limit > 0 ? rate / result->limit : 0, result->cpu * 1e6 / (double)bench->events,
           result->rss, result->mapped, bench->durability == WEIR_DURABILITY_OS ? "os" : "commit",
           (long long)bench->commit_interval_ms, result->commits, check);
    fflush(stdout);
}

static volatile sig_atomic_t interrupted;
static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

/* Runs and checks the job of the one language or the other, and prints the line. */
static int run_and_check(struct bench *bench, int threads, bool is_sql, struct result *result)
{
    const struct bench_workload *workload = bench->workload;
    bench->is_sql = is_sql;
    bool ok =
        run_phase(bench, threads, "run", result) && run_phase(bench, threads, "check", result);
    if (ok && strcmp(result->check, "ok") == 0 && workload->memory_limit_mb > 0 &&
        result->rss > workload->memory_limit_mb)
        snprintf(result->check, sizeof result->check,
                 "failed: %.1f MB of memory, the limit is %.1f", result->rss,
                 workload->memory_limit_mb);
    print_result(bench, threads, result);
    bench->is_sql = false;
    return !ok ? 1 : strcmp(result->check, "ok") != 0 ? 4 : 0;
}

/* One variant at one thread count in a directory of its own: a JSON line for each language; which of
 * the two goes first changes from round to round. results: C's, SQL's. */
static int run_one(struct bench *bench, const char *base, int threads, int round,
                   struct result results[2])
{
    const struct bench_workload *workload = bench->workload;
    struct diag diag;
    char *path;
    must(asprintf(&path, "%s/weir-bench-%s-XXXXXX", base, workload->name) > 0);
    if (mkdtemp(path) == NULL) {
        perror(path);
        return 1;
    }
    bench->data = path;
    fprintf(stderr, "%s: %lld events, %d thread(s), data in %s\n", workload->name,
            (long long)bench->events, threads, path);
    results[0] = (struct result){.commits = "0", .check = "failed: not run"};
    bool ok = run_phase(bench, threads, "generate", &results[0]) &&
              run_phase(bench, threads, "limit", &results[0]);
    int code = 1;
    results[1] = results[0];
    if (!ok)
        print_result(bench, threads, &results[0]);
    else if (!bench->compares)
        code = run_and_check(bench, threads, false, &results[0]);
    else {
        int first = round % 2, rc = run_and_check(bench, threads, first == 1, &results[first]);
        code = run_and_check(bench, threads, first == 0, &results[1 - first]);
        code = rc != 0 ? rc : code;
    }
    if (!bench->keep && io_remove_tree(path, &diag) < 0)
        failed("clean-up", &diag);
    free(path);
    return code;
}

static int compare_numbers(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Below 1 SQL took longer. */
static int run_compared(struct bench *bench, const char *base, int threads)
{
    double speeds[ROUNDS], cpus[ROUNDS];
    struct result results[2];
    for (int round = 0; round < ROUNDS; round++) {
        int code = interrupted ? 130 : run_one(bench, base, threads, round, results);
        if (code != 0)
            return code;
        speeds[round] = results[0].seconds / results[1].seconds;
        cpus[round] = results[0].cpu / results[1].cpu;
    }
    qsort(speeds, ROUNDS, sizeof *speeds, compare_numbers);
    qsort(cpus, ROUNDS, sizeof *cpus, compare_numbers);
    printf("{\"workload\":\"sql-%s\",\"threads\":%d,\"rounds\":%d,\"sql_to_c\":%.3f,"
           "\"sql_to_c_lowest\":%.3f,\"sql_to_c_highest\":%.3f,\"cpu_sql_to_c\":%.3f}\n",
           bench->workload->name, threads, ROUNDS, speeds[ROUNDS / 2], speeds[0],
           speeds[ROUNDS - 1], cpus[ROUNDS / 2]);
    return 0;
}

static bool wants(const struct bench *bench, const struct bench_workload *variant)
{
    for (size_t i = 0; i < bench->only_count; i++)
        if (bench->only[i] == variant->variant)
            return true;
    return bench->only_count == 0;
}

static int run_all(struct bench *bench)
{
    const char *parent = getenv("TMPDIR");
    const char *base = bench->data != NULL ? bench->data : parent != NULL ? parent : "/var/tmp";
    int64_t events = bench->events;
    int code = 0;
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    for (size_t v = 0; v < bench->variant_count; v++) {
        bench->workload = &bench->variants[v];
        bench->events = events > 0 ? events : bench->workload->events;
        for (int i = 0; wants(bench, bench->workload) && i < bench->thread_count; i++) {
            int threads = bench->threads[i];
            struct result results[2];
            int rc = interrupted       ? 130
                     : bench->compares ? run_compared(bench, base, threads)
                                       : run_one(bench, base, threads, 0, results);
            code = rc != 0 ? rc : code;
        }
    }
    return code;
}

/* ---- the command line ---- */

static const char usage_text[] =
    "[--events N] [--threads N[,N]…] [--durability commit|os] "
    "[--commit-interval MS] [--data DIR] [--keep]\n"
    "       [--keys N[,N]…] or [--percent N[,N]…]: only these "
    "variants, where the workload has some\n"
    "       --print: no run, only the events of the first variant as "
    "lines of timestamp, key and document, separated by tabs\n"
    "       --sql: the job in C and as a file of SQL, in turn, and then "
    "the ratios of their medians, where the workload has a file\n"
    "\n"
    "Prints one JSON line per variant and thread count. Data goes into a new "
    "directory under DIR ($TMPDIR, else /var/tmp) and is removed\n"
    "unless --keep. The environment may say the same: "
    "WEIR_BENCH_EVENTS, WEIR_BENCH_THREADS, WEIR_BENCH_DURABILITY.\n";

static bool parse_threads(struct bench *bench, const char *text)
{
    bench->thread_count = 0;
    while (*text != '\0' && bench->thread_count < THREADS_MAX) {
        char *end;
        long threads = strtol(text, &end, 10);
        if (end == text || threads < 1 || threads > 1024 || (*end != ',' && *end != '\0'))
            return false;
        bench->threads[bench->thread_count++] = (int)threads;
        text = *end == ',' ? end + 1 : end;
    }
    return bench->thread_count > 0;
}

static bool parse_variants(struct bench *bench, const char *text)
{
    bench->only_count = 0;
    while (*text != '\0' && bench->only_count < VARIANTS_MAX) {
        char *end;
        long long value = strtoll(text, &end, 10);
        bool known = false;
        for (size_t i = 0; i < bench->variant_count; i++)
            known |= bench->variants[i].variant == value;
        if (end == text || !known || (*end != ',' && *end != '\0'))
            return false;
        bench->only[bench->only_count++] = value;
        text = *end == ',' ? end + 1 : end;
    }
    return bench->only_count > 0;
}

static bool parse_option(struct bench *bench, int option, const char *value)
{
    char *end = NULL;
    switch (option) {
    case 'e':
        bench->events = strtoll(value, &end, 10);
        return *end == '\0' && bench->events > 0;
    case 't':
        return parse_threads(bench, value);
    case 'u':
        bench->durability = strcmp(value, "os") == 0 ? WEIR_DURABILITY_OS : WEIR_DURABILITY_COMMIT;
        return strcmp(value, "os") == 0 || strcmp(value, "commit") == 0;
    case 'c':
        bench->commit_interval_ms = strtoll(value, &end, 10);
        return *end == '\0' && bench->commit_interval_ms > 0;
    case 'v':
        return parse_variants(bench, value);
    case 'd':
        bench->data = strdup(value);
        return bench->data != NULL;
    case 'p':
        bench->phase = value;
        return true;
    case 'k':
        return bench->keep = true;
    case 's':
        bench->compares = bench->phase == NULL;
        bench->is_sql = !bench->compares;
        return bench->variants[0].sql != NULL;
    case 'r':
        return bench->print = true;
    default:
        return false;
    }
}

static bool parse_environment(struct bench *bench)
{
    static const struct {
        const char *name;
        int option;
    } variables[] = {
        {"WEIR_BENCH_EVENTS", 'e'}, {"WEIR_BENCH_THREADS", 't'}, {"WEIR_BENCH_DURABILITY", 'u'}};
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        const char *value = getenv(variables[i].name);
        if (value != NULL && value[0] != '\0' && !parse_option(bench, variables[i].option, value))
            return false;
    }
    return true;
}

int bench_main(const struct bench_workload *variants, size_t variant_count, int argc, char **argv)
{
    static const struct option options[] = {
        {"events", required_argument, NULL, 'e'},
        {"threads", required_argument, NULL, 't'},
        {"durability", required_argument, NULL, 'u'},
        {"commit-interval", required_argument, NULL, 'c'},
        {"data", required_argument, NULL, 'd'},
        {"keys", required_argument, NULL, 'v'},
        {"percent", required_argument, NULL, 'v'},
        {"phase", required_argument, NULL, 'p'},
        {"keep", no_argument, NULL, 'k'},
        {"sql", no_argument, NULL, 's'},
        {"print", no_argument, NULL, 'r'},
        {NULL, 0, NULL, 0},
    };
    struct bench bench = {.variants = variants,
                          .variant_count = variant_count,
                          .program = argv[0],
                          .threads = {1},
                          .thread_count = 1,
                          .commit_interval_ms = 100};
    bool ok = parse_environment(&bench);
    for (int option; ok && (option = getopt_long(argc, argv, "", options, NULL)) != -1;)
        ok = parse_option(&bench, option, optarg);
    if (!ok || optind < argc) {
        fprintf(stderr, "usage: %s %s", argv[0], usage_text);
        return 2;
    }
    if (bench.phase == NULL && !bench.print)
        return run_all(&bench);
    for (size_t i = 0; i < variant_count; i++)
        if (bench.workload == NULL && wants(&bench, &variants[i]))
            bench.workload = &variants[i];
    if (bench.print) {
        bench.events = bench.events > 0 ? bench.events : bench.workload->events;
        return print_events(&bench);
    }
    static const struct {
        const char *name;
        int (*run)(const struct bench *bench);
    } phases[] = {{"generate", generate}, {"limit", limit}, {"run", run}, {"check", check}};
    for (size_t i = 0; i < sizeof phases / sizeof phases[0]; i++)
        if (strcmp(bench.phase, phases[i].name) == 0)
            return phases[i].run(&bench);
    return 2;
}
