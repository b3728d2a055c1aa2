/* cli_sql.c: weir check, explain and run: pipelines that are written in SQL.
 *
 * What can be known before anything runs is an error of the file and exit code 2, with every error of the file told at once.
 * A run ends with the sources (--until-end) or with a signal: then it commits what it has and says what it did. */
#include "runtime/cli/nouns.h"
#include "runtime/cli/sql_run.h"
#include "runtime/sql/sql_explain.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

/* ---- the job ---- */

/* Every file's name, ", " between. */
static void print_names(const struct cli *cli)
{
    for (int i = 0; i < cli->argument_count; i++)
        buf_printf(&out, "%s%s", i > 0 ? ", " : "", cli->arguments[i]);
}

/* What has become of each view since it last ran in the directory. */
static int print_changes(const struct cli *cli, const struct sql_program *program, weir_app *app)
{
    weir_view_plan *views;
    size_t count;
    bool rebuilds;
    int code = weir_app_plan(app, &views, &count);
    if (code < 0) {
        message("%s", weir_app_error(app));
        return EXIT_FAILED;
    }
    for (size_t i = 0; i < count; i++)
        if (views[i].change < WEIR_CHANGE_REUSABLE)
            buf_printf(&out, "%s: %s\n", views[i].topic, sql_job_change(views[i].change));
    (void)out_flush(); /* before what stderr says of the others */
    int exit_code = sql_job_admit(cli, program, views, count, &rebuilds);
    weir_free(views);
    return exit_code;
}

/* And of each file that is copied, first, as a run does it. */
static int print_state(const struct cli *cli, const struct sql_program *program, weir_app *app,
                       const weir_options *options)
{
    int exit_code = copy_files_run(cli, program, options, COPY_LOOK, 0);
    int changes = sql_job_pipelines(program) > 0 ? print_changes(cli, program, app) : 0;
    return exit_code != 0 ? exit_code : changes;
}

/* ---- explain ---- */

static bool look_at_topic(void *context, const char *topic, struct explain_topic *facts)
{
    weir_log *log = context;
    weir_topic_info info;
    if (weir_topic_describe(log, topic, &info) < 0)
        return false;
    *facts = (struct explain_topic){.partitions = info.partitions};
    if (weir_topic_config(log, topic, "weir.partitioned.by", facts->partitioned_by,
                          sizeof facts->partitioned_by) < 0)
        facts->partitioned_by[0] = '\0';
    for (int32_t p = 0; p < info.partitions; p++) {
        weir_partition_info partition;
        if (weir_partition_describe(log, topic, p, &partition) < 0)
            continue;
        facts->records += partition.end_offset - partition.start_offset;
        facts->bytes += partition.bytes;
    }
    return true;
}

static bool names_data(const struct cli *cli)
{
    return flag_text(cli, "data") != NULL || flag_text(cli, "bootstrap") != NULL;
}

static int open_log(const struct cli *cli, weir_log **log)
{
    int exit_code = data_check(cli, DATA_MUST_EXIST);
    if (exit_code != 0)
        return exit_code;
    weir_log_options options = {.must_exist = true, .read_only = true};
    if (weir_log_open(data_directory(cli), &options, log) == 0)
        return 0;
    message("%s", weir_log_error());
    return EXIT_FAILED;
}

static int explain_app(const struct sql_program *program, weir_app *app, weir_log *log,
                       enum explain_format format)
{
    struct diag diag = {0};
    struct explain explain = {program, app, log != NULL ? look_at_topic : NULL, log};
    int code = sql_explain_as(&explain, format, &out, &diag);
    return code < 0 ? failed(code, &diag) : 0;
}

static int run_explain(struct cli *cli)
{
    static const char *const formats[] = {"text", "dot", "json"};
    struct sql_program *program = NULL;
    weir_log *log = NULL;
    int format = flag_choice(cli, "format", formats, 3, EXPLAIN_TEXT);
    int exit_code = format < 0 ? EXIT_USAGE : names_data(cli) ? open_log(cli, &log) : 0;
    if (exit_code == 0)
        exit_code = sql_job_load(cli, &program);
    weir_app *app = exit_code == 0 ? sql_run_app(cli, program, NULL) : NULL;
    if (exit_code == 0 && app == NULL)
        exit_code = EXIT_USAGE;
    if (exit_code == 0)
        exit_code = explain_app(program, app, log, (enum explain_format)format);
    weir_app_close(app);
    if (log != NULL)
        weir_log_close(log);
    sql_program_destroy(program);
    return out_finish(exit_code);
}

/* ---- EXPLAIN ---- */

/* What the EXPLAIN statements of the files tell, each of what its statement alone would be. */
static int tell_explained(const struct cli *cli, const struct sql_program *program, weir_log *log)
{
    int exit_code = 0;
    for (const struct explained *e = program->explained; exit_code == 0 && e != NULL; e = e->next) {
        struct sql_program only = {.relations = e->relations};
        if (e->relations == NULL)
            continue; /* IF NOT EXISTS, and it does */
        weir_app *app = sql_run_app(cli, &only, NULL);
        exit_code =
            app == NULL ? EXIT_USAGE : explain_app(&only, app, log, e->statement->explain_format);
        weir_app_close(app);
        buf_printf(&out,
                   e->next != NULL && e->statement->explain_format == EXPLAIN_TEXT ? "\n" : "");
    }
    return exit_code;
}

/* With what the directory's topics say, when one is looked at. */
static int tell_plans(const struct cli *cli, const struct sql_program *program, bool has_data)
{
    weir_log *log = NULL;
    if (program->explained == NULL)
        return 0;
    int exit_code = has_data ? open_log(cli, &log) : 0;
    if (exit_code == 0)
        exit_code = tell_explained(cli, program, log);
    if (log != NULL)
        weir_log_close(log);
    return exit_code == 0 ? out_flush() : exit_code;
}

/* ---- check ---- */

static int run_check(struct cli *cli)
{
    struct sql_program *program;
    weir_options options = {.data = data_directory(cli)};
    bool has_data = names_data(cli);
    int exit_code = has_data ? data_check(cli, DATA_MUST_EXIST) : 0;
    if (exit_code != 0)
        return exit_code;
    exit_code = sql_job_load(cli, &program);
    weir_app *app = exit_code == 0 ? sql_run_app(cli, program, &options) : NULL;
    if (exit_code == 0 && app == NULL)
        exit_code = EXIT_USAGE;
    if (exit_code == 0)
        exit_code = tell_plans(cli, program, has_data);
    if (exit_code == 0 && !has_data)
        exit_code = copy_files_check(program);
    if (exit_code == 0) {
        uint32_t count = sql_job_pipelines(program), copies = copy_files_count(program);
        print_names(cli);
        buf_printf(&out, ": ok, %u pipeline%s", count, count == 1 ? "" : "s");
        if (copies > 0)
            buf_printf(&out, ", %u cop%s", copies, copies == 1 ? "y" : "ies");
        buf_printf(&out, "\n");
        if (has_data)
            exit_code = print_state(cli, program, app, &options);
    }
    weir_app_close(app);
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

static int run_app(struct cli *cli, const struct sql_program *program, weir_options *options)
{
    struct running running = {.shows_progress = terminal(STDERR_FILENO)};
    options->progress = on_progress;
    options->progress_context = &running;
    int exit_code = sql_run_open(cli, program, options, &running.app);
    if (exit_code == 0)
        exit_code = copy_files_run(cli, program, options, COPY_WRITE, 0);
    if (exit_code != 0) {
        weir_app_close(running.app);
        return exit_code;
    }
    int code = weir_app_run(running.app);
    if (running.shows_progress)
        fprintf(stderr, "\r\033[K");
    if (code < 0)
        message("%s", weir_app_error(running.app));
    else
        sql_run_summary(running.app);
    weir_app_close(running.app);
    return interrupted() && code == 0 ? EXIT_INTERRUPTED : sql_run_exit(code);
}

static int run_run(struct cli *cli)
{
    weir_options options = {.until_end = flag_is_on(cli, "until-end"),
                            .close_windows = flag_is_on(cli, "close-windows"),
                            .data = data_directory(cli)};
    struct sql_program *program;
    int exit_code = sql_run_options(cli, &options);
    if (exit_code != 0)
        return exit_code;
    if (options.close_windows && !options.until_end)
        return usage_error(cli, "--close-windows needs --until-end");
    exit_code = sql_run_load(cli, &program);
    if (exit_code == 0)
        exit_code = data_check(cli, program->copies != NULL ? DATA_MAY_CREATE : DATA_MUST_EXIST);
    if (exit_code == 0)
        exit_code = tell_plans(cli, program, true);
    if (exit_code == 0)
        interrupt_install(); /* before the directory is taken: whoever sees that may send a signal */
    if (exit_code == 0 && sql_job_pipelines(program) > 0)
        exit_code = run_app(cli, program, &options);
    else if (exit_code == 0)
        exit_code = copy_files_run(cli, program, &options, COPY_WRITE, 0);
    sql_program_destroy(program);
    return exit_code;
}

static const struct flag run_flags[] = {
    {"until-end", NULL, "end where the sources ended when the run began", false, 0},
    {"close-windows", NULL,
     "with --until-end: close what is open then; rows that come later for it are late", false, 0},
    SQL_RUN_FLAGS,
    {NULL, NULL, NULL, false, 0},
};

static const struct flag explain_flags[] = {
    {"format", "FORMAT", "text, dot (Graphviz) or json [text]", false, 0},
    {"app", "NAME", "the job's name, as for weir run [the first file's name]", false, 0},
    {NULL, NULL, NULL, false, 0},
};
static const struct flag check_flags[] = {
    {"app", "NAME", "the job's name, as for weir run [the first file's name]", false, 0},
    {"rebuild", "VIEW", "what weir run would be told to build anew", true, 0},
    COPY_FILES_FLAGS,
    {NULL, NULL, NULL, false, 0},
};

const struct command command_run = {
    .noun = "run",
    .arguments = "FILE.sql…",
    .min_arguments = 1,
    .max_arguments = CLI_ARGUMENTS_MAX,
    .summary = "run the pipelines of SQL files",
    .examples = "  weir run orders.sql\n"
                "  weir run orders.sql --until-end --close-windows\n"
                "  weir run tables.sql views.sql --app shop --threads 2 --metrics weir.prom\n"
                "  weir run orders.sql --rebuild hourly\n",
    .details = "Several files are one program: each sees what those before it say. Runs until a "
               "signal, or with --until-end to the end of the sources; a second run "
               "goes on where the\n"
               "first stopped, exactly once. stderr ends with a JSON line: rows_in, applied, "
               "filtered, late, dead,\n"
               "rows_out, lag, seconds. FILE.sql may be - for standard input. Files of COPY are "
               "copied before, once.\n",
    .flags = run_flags,
    .run = run_run,
};
const struct command command_check = {
    .noun = "check",
    .arguments = "FILE.sql…",
    .min_arguments = 1,
    .max_arguments = CLI_ARGUMENTS_MAX,
    .summary = "everything about SQL files that can be known before running",
    .examples = "  weir check orders.sql\n"
                "  weir check tables.sql views.sql\n"
                "  weir check orders.sql --data /srv/weir --rebuild hourly\n",
    .details =
        "Each error has line, column, the line itself and, where there is one, a hint; exit "
        "code 2. With --data (or\n"
        "WEIR_DATA) each view is also compared with what it was when it last ran there: new, "
        "unchanged, changed\n"
        "with its state used on, to be rebuilt, or refused; what 'weir run' would refuse is exit "
        "code 2.\n",
    .flags = check_flags,
    .run = run_check,
};
const struct command command_explain = {
    .noun = "explain",
    .arguments = "FILE.sql…",
    .min_arguments = 1,
    .max_arguments = CLI_ARGUMENTS_MAX,
    .summary = "the steps of each pipeline of SQL files",
    .examples = "  weir explain orders.sql\n"
                "  weir explain orders.sql --data /srv/weir\n"
                "  weir explain orders.sql --format dot | dot -Tsvg >orders.svg\n"
                "  weir explain orders.sql --format json\n",
    .details =
        "Each pipeline with its sources, its steps as the C library would spell them, its "
        "topics, and what crosses\n"
        "between partitions. With --data (or WEIR_DATA) partitions, records and bytes are those of "
        "the topics that are there.\n",
    .flags = explain_flags,
    .run = run_explain,
};
