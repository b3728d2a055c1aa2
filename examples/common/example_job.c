/* example_job.c: options, signals and figures of the examples.
 *
 * A stop by signal is a clean stop: the handler calls weir_app_stop, which is safe there,
 * weir_app_run commits what it has and returns, and the next start goes on from that commit. The
 * handler is used once: a second signal ends the program at once, and even then nothing is lost or
 * counted twice, since the unfinished transaction is aborted when the directory is opened next. */
#include "common/example_job.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130, MAX_THREADS = 256 };
enum {
    OPT_DATA = 1,
    OPT_THREADS,
    OPT_UNTIL_END,
    OPT_CLOSE_WINDOWS,
    OPT_STAGE,
    OPT_FROM_BEGINNING,
    OPT_HELP
};

static void print_help(const struct job_about *about, FILE *out)
{
    fprintf(
        out,
        "%s: %s\n\n"
        "usage: %s [options]\n"
        "  --data DIR        directory of the log and the state [$WEIR_DATA, else ./weir-data]\n"
        "  --threads N       workers [1]\n"
        "  --until-end       stop at the end that the source topics have now\n"
        "  --close-windows   then close every open window (with --until-end)\n",
        about->name, about->summary, about->name);
    if (about->stages) {
        fprintf(out, "  --stage NAME      run one stage alone:");
        for (const char *const *stage = about->stages; *stage; stage++)
            fprintf(out, " %s", *stage);
        fprintf(out, "\n  --from-beginning  forget what those stages did and replay them\n");
    }
    fprintf(out, "  --help\n");
}

static void usage_error(const struct job_about *about, const char *what, const char *value)
{
    fprintf(stderr, "%s: %s%s\n", about->name, what, value);
    print_help(about, stderr);
    exit(EXIT_USAGE);
}

static int parse_threads(const struct job_about *about, const char *text)
{
    char *end;
    errno = 0;
    long threads = strtol(text, &end, 10);
    if (errno || end == text || *end || threads < 1 || threads > MAX_THREADS)
        usage_error(about, "--threads takes a number from 1 to 256, not ", text);
    return (int)threads;
}

static const char *parse_stage(const struct job_about *about, const char *text)
{
    for (const char *const *stage = about->stages; *stage; stage++)
        if (strcmp(*stage, text) == 0)
            return *stage;
    usage_error(about, "there is no stage ", text);
    return NULL;
}

/* One progress line on a terminal, rewritten in place. */
static void show_progress(void *context, const weir_progress *progress)
{
    double rate = progress->seconds > 0 ? (double)progress->rows_in / progress->seconds : 0;
    fprintf(stderr, "\r%s: %" PRId64 " rows, %.0f rows/s, lag %" PRId64 "\033[K",
            (const char *)context, progress->rows_in, rate, progress->lag);
}

struct job job_begin(int argc, char **argv, const struct job_about *about)
{
    static const struct option all[] = {
        {"data", required_argument, NULL, OPT_DATA},
        {"threads", required_argument, NULL, OPT_THREADS},
        {"until-end", no_argument, NULL, OPT_UNTIL_END},
        {"close-windows", no_argument, NULL, OPT_CLOSE_WINDOWS},
        {"help", no_argument, NULL, OPT_HELP},
        {"stage", required_argument, NULL, OPT_STAGE},
        {"from-beginning", no_argument, NULL, OPT_FROM_BEGINNING},
        {0},
    };
    struct job job = {.about = about, .options = {.data = getenv("WEIR_DATA")}};
    int opt;
    opterr = 0;
    while ((opt = getopt_long(argc, argv, ":", all, NULL)) != -1) {
        if ((opt == OPT_STAGE || opt == OPT_FROM_BEGINNING) && !about->stages)
            opt = '?';
        switch (opt) {
        case OPT_DATA:
            job.options.data = optarg;
            break;
        case OPT_THREADS:
            job.options.threads = parse_threads(about, optarg);
            break;
        case OPT_UNTIL_END:
            job.options.until_end = true;
            break;
        case OPT_CLOSE_WINDOWS:
            job.options.close_windows = true;
            break;
        case OPT_STAGE:
            job.stage = parse_stage(about, optarg);
            break;
        case OPT_FROM_BEGINNING:
            job.options.from_beginning = true;
            break;
        case OPT_HELP:
            print_help(about, stdout);
            exit(0);
        case ':':
            usage_error(about, "a value is missing after ", argv[optind - 1]);
            break;
        default:
            usage_error(about, "unknown option ", argv[optind - 1]);
        }
    }
    if (optind < argc)
        usage_error(about, "unexpected argument ", argv[optind]);
    if (job.options.close_windows && !job.options.until_end)
        usage_error(about, "--close-windows needs --until-end", "");
    if (isatty(STDERR_FILENO)) {
        job.options.progress = show_progress;
        job.options.progress_context = (void *)(uintptr_t)about->name;
    }
    return job;
}

bool job_has_stage(const struct job *job, const char *stage)
{
    return !job->stage || strcmp(job->stage, stage) == 0;
}

static weir_app *volatile running;
static volatile sig_atomic_t interrupted;

static void on_signal(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
    weir_app_stop(running);
}

static void report(const struct job *job, const weir_app *app)
{
    weir_progress p;
    weir_app_progress(app, &p);
    if (job->options.progress)
        fprintf(stderr, "\r\033[K");
    fprintf(stderr, "%s: %" PRId64 " rows in %.2f s, %.0f rows/s", job->about->name, p.rows_in,
            p.seconds, p.seconds > 0 ? (double)p.rows_in / p.seconds : 0);
    fprintf(stderr,
            " (%" PRId64 " applied, %" PRId64 " filtered, %" PRId64 " late, %" PRId64
            " dead letters); ",
            p.rows_applied, p.rows_filtered, p.rows_late, p.rows_dead);
    fprintf(stderr, "%" PRId64 " rows out in %" PRId64 " commits\n", p.rows_out, p.commits);
}

int job_run(const struct job *job, weir_app *app)
{
    if (!app) {
        fprintf(stderr, "%s: %s\n", job->about->name, weir_strerror(WEIR_ENOMEM));
        return EXIT_FAILED;
    }
    running = app;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);

    int rc = weir_app_run(app);
    if (rc < 0)
        fprintf(stderr, "%s%s: %s\n", job->options.progress ? "\r\033[K" : "", job->about->name,
                weir_app_error(app));
    else
        report(job, app);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    weir_app_close(app);
    return rc < 0 ? EXIT_FAILED : interrupted ? EXIT_INTERRUPTED : 0;
}
