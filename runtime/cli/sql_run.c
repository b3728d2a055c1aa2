/* sql_run.c: a job of SQL files on its way (see sql_run.h).
 *
 * weir run and weir serve start a job in the same way: the flags become options, the files an app, and what has changed since the job last ran is
 * judged before anything else happens. What differs between them, when it ends and where its log is, is theirs. */
#include "runtime/cli/sql_run.h"

#include <inttypes.h>
#include <stdio.h>

int sql_run_options(const struct cli *cli, weir_options *options)
{
    int64_t threads, commit_ms, memory_mb;
    int exit_code = flag_number(cli, "threads", 1, 1024, 1, &threads);
    if (exit_code == 0)
        exit_code = flag_number(cli, "commit-interval", 1, 86400000, 100, &commit_ms);
    if (exit_code == 0)
        exit_code = flag_number(cli, "memory", 16, 1 << 20, 256, &memory_mb);
    if (exit_code != 0)
        return exit_code;
    options->from_beginning = flag_is_on(cli, "from-beginning");
    options->metrics = flag_text(cli, "metrics");
    options->threads = (int)threads;
    options->commit_interval_ms = commit_ms;
    options->memory_bytes = (size_t)memory_mb << 20;
    return 0;
}

int sql_run_load(struct cli *cli, struct sql_program **program)
{
    int exit_code = sql_job_load(cli, program);
    if (exit_code != 0 || sql_job_pipelines(*program) > 0 || (*program)->explained != NULL ||
        (*program)->copies != NULL)
        return exit_code;
    sql_job_message(cli, "nothing to run");
    hint("CREATE MATERIALIZED VIEW and INSERT INTO … SELECT make pipelines");
    return EXIT_USAGE;
}

weir_app *sql_run_app(const struct cli *cli, const struct sql_program *program,
                      const weir_options *options)
{
    char name[SQL_JOB_NAME_BYTES];
    sql_job_name(cli, name);
    weir_app *app = weir_app_open(name, options);
    int code = app == NULL ? ERR_NOMEM : sql_build(program, app);
    if (code == 0 && sql_job_pipelines(program) > 0)
        code = weir_app_check(app);
    if (code == 0)
        return app;
    sql_job_message(cli, weir_app_error(app));
    weir_app_close(app);
    return NULL;
}

int sql_run_exit(int code)
{
    return code == 0               ? EXIT_OK
           : code == WEIR_ESTATE   ? EXIT_USAGE
           : code == WEIR_ETIMEOUT ? EXIT_UNREACHABLE
                                   : EXIT_FAILED;
}

/* Compares the job with what it was, and lets what the command names be rebuilt. */
static int admit_changes(const struct cli *cli, const struct sql_program *program, weir_app *app,
                         bool *rebuilds)
{
    weir_view_plan *views;
    size_t count;
    *rebuilds = false;
    int code = weir_app_plan(app, &views, &count);
    if (code < 0) {
        message("%s", weir_app_error(app));
        return sql_run_exit(code);
    }
    int exit_code = sql_job_admit(cli, program, views, count, rebuilds);
    weir_free(views);
    return exit_code;
}

int sql_run_open(const struct cli *cli, const struct sql_program *program, weir_options *options,
                 weir_app **app)
{
    bool rebuilds = false;
    *app = sql_run_app(cli, program, options);
    if (*app == NULL)
        return EXIT_USAGE;
    int exit_code = options->from_beginning ? 0 : admit_changes(cli, program, *app, &rebuilds);
    if (exit_code == 0 && rebuilds) {
        weir_app_close(*app); /* options are an app's from its opening */
        options->on_change = WEIR_ON_CHANGE_REBUILD;
        *app = sql_run_app(cli, program, options);
        return *app == NULL ? EXIT_USAGE : 0;
    }
    if (exit_code != 0) {
        weir_app_close(*app);
        *app = NULL;
    }
    return exit_code;
}

void sql_run_summary(weir_app *app)
{
    weir_progress p;
    weir_app_progress(app, &p);
    fprintf(stderr,
            "{\"rows_in\":%" PRId64 ",\"rows_made\":%" PRId64 ",\"applied\":%" PRId64
            ",\"filtered\":%" PRId64 ",\"late\":%" PRId64 ",\"duplicate\":%" PRId64
            ",\"dead\":%" PRId64 ",\"unmatched\":%" PRId64 ",\"rows_out\":%" PRId64
            ",\"lag\":%" PRId64 ",\"seconds\":%.3f}\n",
            p.rows_in, p.rows_made, p.rows_applied, p.rows_filtered, p.rows_late, p.rows_duplicate,
            p.rows_dead, p.rows_unmatched, p.rows_out, p.lag, p.seconds);
}
