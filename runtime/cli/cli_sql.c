/* cli_sql.c: weir check, explain and run: pipelines that are written in SQL.
 *
 * What can be known before anything runs is an error of the file and exit code 2, with every error of the file told at once.
 * A run ends with the sources (--until-end) or with a signal: then it commits what it has and says what it did. */
#include "runtime/cli/cli.h"
#include "runtime/cli/nouns.h"
#include "runtime/sql/sql.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the file ---- */

static int read_all(int fd, struct buf *text)
{
    for (;;) {
        uint8_t chunk[16384];
        ssize_t size = read(fd, chunk, sizeof chunk);
        if (size < 0 && errno == EINTR)
            continue;
        if (size <= 0)
            return size < 0 ? -1 : 0;
        buf_append(text, chunk, (size_t)size);
        if (!buf_ok(text) ||
            text->size > FILE_BYTES_MAX) /* one more than is taken is enough to refuse it */
            return 0;
    }
}

static int read_file(const char *path, struct buf *text)
{
    bool is_input = strcmp(path, "-") == 0;
    int fd = is_input ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    int rc = fd < 0 ? -1 : read_all(fd, text);
    int error = errno;
    if (fd >= 0 && !is_input)
        close(fd);
    if (rc < 0) {
        message("cannot read %s: %s", path, strerror(error));
        return EXIT_USAGE;
    }
    return buf_ok(text) ? 0 : failed(ERR_NOMEM, NULL);
}

static void tell(void *context, const char *text)
{
    message("%s: %s", (const char *)context, text);
}

/* The program of a file; an exit code after messages. */
static int load(struct cli *cli, struct sql_program **program)
{
    struct buf text;
    char *path = (char *)(uintptr_t)cli->arguments[0];
    buf_init(&text, 0);
    *program = NULL;
    int exit_code = read_file(path, &text);
    if (exit_code == 0) {
        int code = sql_compile((const char *)text.data, text.size, tell, path, program);
        if (code == ERR_NOMEM)
            exit_code = failed(code, NULL);
        else if (code < 0)
            exit_code = EXIT_USAGE;
    }
    buf_deinit(&text);
    return exit_code;
}

static uint32_t pipelines(const struct sql_program *program)
{
    uint32_t count = 0;
    for (const struct relation *r = program->relations; r != NULL; r = r->next)
        count += r->kind == RELATION_RESULT;
    return count;
}

/* shop.sql → shop: what is not allowed in a name becomes '-'. */
static void app_name(const struct cli *cli, char name[101])
{
    const char *given = flag_text(cli, "app"), *path = cli->arguments[0];
    const char *base = strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path;
    size_t size = strlen(base);
    if (size > 4 && strcmp(base + size - 4, ".sql") == 0)
        size -= 4;
    snprintf(name, 101, "%.*s", given != NULL ? 100 : (int)(size < 100 ? size : 100),
             given != NULL ? given : base);
    for (char *c = name; given == NULL && *c != '\0'; c++)
        if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-", *c) == NULL)
            *c = '-';
    if (given == NULL && (name[0] == '\0' || strcmp(name, "-") == 0))
        snprintf(name, 101, "weir");
}

/* ---- check, explain ---- */

/* What the expression compiler and the planner say of the whole. */
static int check_app(const struct sql_program *program, const char *path)
{
    weir_app *app = weir_app_open("check", NULL);
    int code = app == NULL ? ERR_NOMEM : sql_build(program, app);
    if (code == 0 && pipelines(program) > 0)
        code = weir_app_check(app);
    if (code < 0)
        message("%s: %s", path, weir_app_error(app));
    weir_app_close(app);
    return code < 0 ? EXIT_USAGE : 0;
}

static int run_check(struct cli *cli)
{
    struct sql_program *program;
    int exit_code = load(cli, &program);
    if (exit_code == 0)
        exit_code = check_app(program, cli->arguments[0]);
    if (exit_code == 0) {
        uint32_t count = pipelines(program);
        buf_printf(&out, "%s: ok, %u pipeline%s\n", cli->arguments[0], count,
                   count == 1 ? "" : "s");
    }
    sql_program_destroy(program);
    return out_finish(exit_code);
}

static int run_explain(struct cli *cli)
{
    struct sql_program *program;
    int exit_code = load(cli, &program);
    if (exit_code == 0)
        exit_code = check_app(program, cli->arguments[0]);
    if (exit_code == 0)
        sql_explain(program, &out);
    sql_program_destroy(program);
    return out_finish(exit_code);
}

/* ---- run ---- */

struct running {
    weir_app *app;
    bool shows_progress;
};

static void on_progress(void *context, const struct weir_progress *progress)
{
    struct running *running = context;
    if (interrupted())
        weir_app_stop(running->app);
    if (running->shows_progress)
        fprintf(stderr,
                "\r\033[K%" PRId64 " rows, %.0f rows/s, lag %" PRId64 ", %" PRId64 " late, %" PRId64
                " dead",
                progress->rows_in,
                progress->seconds > 0 ? (double)progress->rows_in / progress->seconds : 0.0,
                progress->lag, progress->rows_late, progress->rows_dead);
}

static void say_summary(const struct running *running)
{
    weir_progress p;
    weir_app_progress(running->app, &p);
    if (running->shows_progress)
        fprintf(stderr, "\r\033[K");
    fprintf(stderr,
            "{\"rows_in\":%" PRId64 ",\"rows_made\":%" PRId64 ",\"applied\":%" PRId64
            ",\"filtered\":%" PRId64 ",\"late\":%" PRId64 ",\"duplicate\":%" PRId64
            ",\"dead\":%" PRId64 ",\"rows_out\":%" PRId64 ",\"lag\":%" PRId64
            ",\"seconds\":%.3f}\n",
            p.rows_in, p.rows_made, p.rows_applied, p.rows_filtered, p.rows_late, p.rows_duplicate,
            p.rows_dead, p.rows_out, p.lag, p.seconds);
}

static int exit_of(int code)
{
    return code == 0               ? EXIT_OK
           : code == WEIR_ESTATE   ? EXIT_USAGE
           : code == WEIR_ETIMEOUT ? EXIT_UNREACHABLE
                                   : EXIT_FAILED;
}

static int run_app(struct cli *cli, const struct sql_program *program, weir_options *options)
{
    struct running running = {.shows_progress = terminal(STDERR_FILENO)};
    char name[101];
    app_name(cli, name);
    options->progress = on_progress;
    options->progress_context = &running;
    running.app = weir_app_open(name, options);
    int code = running.app == NULL ? ERR_NOMEM : sql_build(program, running.app);
    if (code == 0)
        code = weir_app_check(running.app);
    if (code < 0) {
        message("%s: %s", cli->arguments[0], weir_app_error(running.app));
        weir_app_close(running.app);
        return EXIT_USAGE;
    }
    interrupt_install();
    code = weir_app_run(running.app);
    if (code < 0)
        message("%s", weir_app_error(running.app));
    else
        say_summary(&running);
    weir_app_close(running.app);
    return interrupted() && code == 0 ? EXIT_INTERRUPTED : exit_of(code);
}

static int run_run(struct cli *cli)
{
    int64_t threads, commit_ms, memory_mb;
    weir_options options = {.until_end = flag_is_on(cli, "until-end"),
                            .close_windows = flag_is_on(cli, "close-windows"),
                            .from_beginning = flag_is_on(cli, "from-beginning"),
                            .on_change = flag_is_on(cli, "rebuild") ? WEIR_ON_CHANGE_REBUILD
                                                                    : WEIR_ON_CHANGE_REFUSE,
                            .metrics = flag_text(cli, "metrics"),
                            .data = data_directory(cli)};
    struct sql_program *program;
    int exit_code = flag_number(cli, "threads", 1, 1024, 1, &threads);
    if (exit_code == 0)
        exit_code = flag_number(cli, "commit-interval", 1, 86400000, 100, &commit_ms);
    if (exit_code == 0)
        exit_code = flag_number(cli, "memory", 16, 1 << 20, 256, &memory_mb);
    if (exit_code == 0)
        exit_code = data_check(cli, DATA_MUST_EXIST);
    if (exit_code != 0)
        return exit_code;
    if (options.close_windows && !options.until_end)
        return usage_error(cli, "--close-windows needs --until-end");
    options.threads = (int)threads;
    options.commit_interval_ms = commit_ms;
    options.memory_bytes = (size_t)memory_mb << 20;
    exit_code = load(cli, &program);
    if (exit_code == 0 && pipelines(program) == 0) {
        message("%s: nothing to run", cli->arguments[0]);
        hint("CREATE MATERIALIZED VIEW and INSERT INTO … SELECT make pipelines");
        exit_code = EXIT_USAGE;
    }
    if (exit_code == 0)
        exit_code = run_app(cli, program, &options);
    sql_program_destroy(program);
    return exit_code;
}

static const struct flag run_flags[] = {
    {"app", "NAME", "names the positions, the state and the internal topics [the file's name]",
     false, 0},
    {"until-end", NULL, "end where the sources ended when the run began", false, 0},
    {"close-windows", NULL,
     "with --until-end: close what is open then; rows that come later for it are late", false, 0},
    {"threads", "N", "workers [1]", false, 0},
    {"metrics", "FILE", "keep OpenMetrics text in FILE", false, 0},
    {"commit-interval", "MS", "from one commit to the next [100]", false, 0},
    {"memory", "MB", "budget of the process for state and buffers [256]", false, 0},
    {"rebuild", NULL,
     "build views anew whose statements now mean something else; without it that is an error",
     false, 0},
    {"from-beginning", NULL, "forget this app's positions and state, and replay", false, 0},
    {NULL, NULL, NULL, false, 0},
};

const struct command command_run = {
    .noun = "run",
    .arguments = "FILE.sql",
    .min_arguments = 1,
    .max_arguments = 1,
    .summary = "run the pipelines of an SQL file",
    .examples = "  weir run orders.sql\n"
                "  weir run orders.sql --until-end --close-windows\n"
                "  weir run orders.sql --threads 2 --metrics weir.prom\n",
    .details = "Runs until a signal, or with --until-end to the end of the sources; a second run "
               "goes on where the\n"
               "first stopped, exactly once. stderr ends with a JSON line: rows_in, applied, "
               "filtered, late, dead,\n"
               "rows_out, lag, seconds. FILE.sql may be - for standard input.\n",
    .flags = run_flags,
    .run = run_run,
};
const struct command command_check = {
    .noun = "check",
    .arguments = "FILE.sql",
    .min_arguments = 1,
    .max_arguments = 1,
    .summary = "everything about an SQL file that can be known before running",
    .examples = "  weir check orders.sql\n",
    .details = "Each error has line, column, the line itself and, where there is one, a hint; exit "
               "code 2.\n",
    .flags = NULL,
    .no_data = true,
    .run = run_check,
};
const struct command command_explain = {
    .noun = "explain",
    .arguments = "FILE.sql",
    .min_arguments = 1,
    .max_arguments = 1,
    .summary = "the steps of each pipeline of an SQL file",
    .examples = "  weir explain orders.sql\n",
    .details = "Each pipeline with its source, its steps as the C library would spell them, and "
               "its topic.\n",
    .flags = NULL,
    .no_data = true,
    .run = run_explain,
};
