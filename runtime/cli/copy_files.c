/* copy_files.c: from COPY statements to jobs of runtime/copy, and back to sentences (see copy_files.h).
 *
 * A file's name that does not begin with / is looked for beside the SQL file that names it, so that a job does not depend on where it is started from. */
#include "runtime/cli/copy_files.h"

#include "runtime/cli/sql_run.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static char *path_of(const struct sql_copy *copy)
{
    const char *file = copy->statement->copy->file.text, *beside = copy->statement->file_name;
    const char *slash = strrchr(beside, '/');
    int size = file[0] != '/' && slash != NULL ? (int)(slash - beside) + 1 : 0;
    size_t room = (size_t)size + strlen(file) + 1;
    char *path = malloc(room);
    if (path != NULL)
        snprintf(path, room, "%.*s%s", size, beside, file);
    return path;
}

/* What is wrong with the file of a statement, where that names it. */
static void tell_error(const struct sql_copy *copy, int code, const char *what, const char *text)
{
    const struct statement *statement = copy->statement;
    struct diag diag = {0};
    const struct source source = {statement->file_text, &diag};
    source_error(&source, code, statement->copy->file.at, what, "%s", text);
    message("%s: %s", statement->file_name, diag.text);
}

uint32_t copy_files_count(const struct sql_program *program)
{
    uint32_t count = 0;
    for (const struct sql_copy *copy = program->copies; copy != NULL; copy = copy->next)
        count++;
    return count;
}

/* What compiles builds an app that the planner accepts, but for limits that only the planner knows. */
static int check_app(const struct sql_copy *copy, weir_app *app)
{
    if (app == NULL)
        return failed(ERR_NOMEM, NULL);
    int code = sql_build_copy(copy, app);
    if (code == 0)
        code = weir_app_check(app);
    if (code == 0)
        return 0;
    tell_error(copy, code, NULL, weir_app_error(app));
    return EXIT_USAGE;
}

static int check_file(const struct sql_copy *copy)
{
    struct copy_file *file;
    struct diag diag = {0};
    char *path = path_of(copy);
    if (path == NULL)
        return failed(ERR_NOMEM, NULL);
    int code = copy_file_open(path, &file, &diag);
    if (code < 0)
        tell_error(copy, code, NULL, diag.text);
    copy_file_close(file);
    free(path);
    return code < 0 ? EXIT_USAGE : 0;
}

int copy_files_check(const struct sql_program *program)
{
    int exit_code = 0;
    for (const struct sql_copy *copy = program->copies; copy != NULL; copy = copy->next) {
        weir_app *app = weir_app_open("check", NULL);
        int of_app = check_app(copy, app), of_file = check_file(copy);
        weir_app_close(app);
        exit_code = of_app != 0 ? of_app : of_file != 0 ? of_file : exit_code;
    }
    return exit_code;
}

/* ---- jobs ---- */

struct copying_files {
    const struct cli *cli;
    const struct sql_program *program;
    enum copy_mode mode;
    char name[SQL_JOB_NAME_BYTES];
    struct copy_job *jobs;
    char **paths;
    uint32_t count;
};

static int make_job(struct copying_files *files, const struct sql_copy *copy,
                    const weir_options *options)
{
    const struct copy_definition *how = copy->statement->copy;
    struct copy_job *job = &files->jobs[files->count];
    char *path = path_of(copy);
    *job = (struct copy_job){
        .name = copy->table->name,
        .topic = copy->table->topic,
        .file = how->file.text,
        .path = path,
        .syntax = {.format = how->format,
                   .header = how->header,
                   .delimiter = how->delimiter,
                   .quote = how->quote,
                   .escape = how->escape,
                   .null_text = how->null_text,
                   .column_count = copy->column_count,
                   .column_names = copy->column_names,
                   .force_null = copy->force_null,
                   .force_not_null = copy->force_not_null},
        .app = weir_app_open(files->name, options),
        .time_column = copy->result->time_column,
        .passes_rows = copy->passes_rows,
        .is_table = copy->table->key_count > 0,
        .partitioned_by = copy->partitioned_by,
        .partitions = copy->table->partitions,
        .retention_ms = copy->table->retention_ms,
        .fails_on_bad_row = copy->table->fails_on_bad_row,
        .meaning = copy->meaning,
    };
    files->paths[files->count++] = path;
    return path == NULL ? failed(ERR_NOMEM, NULL) : check_app(copy, job->app);
}

static int make_jobs(struct copying_files *files, const weir_options *options)
{
    uint32_t count = copy_files_count(files->program);
    sql_job_name(files->cli, files->name);
    files->jobs = calloc(count + 1, sizeof *files->jobs);
    files->paths = calloc(count + 1, sizeof *files->paths);
    if (files->jobs == NULL || files->paths == NULL)
        return failed(ERR_NOMEM, NULL);
    int exit_code = 0;
    for (const struct sql_copy *copy = files->program->copies; exit_code == 0 && copy != NULL;
         copy = copy->next)
        exit_code = make_job(files, copy, options);
    return exit_code;
}

static bool is_stopped(void *context)
{
    (void)context;
    return interrupted();
}

/* ---- what is told ---- */

static const char *plural(int64_t count)
{
    return count == 1 ? "" : "s";
}

static void tell_look(const struct copy_job *job, const struct copy_outcome *outcome)
{
    buf_printf(&out, "%s: %s: ", job->name, job->file);
    if (outcome->state == COPY_STATE_DUE && outcome->reason != NULL)
        buf_printf(&out, "is copied again: %s\n", outcome->reason);
    else if (outcome->state == COPY_STATE_DUE && outcome->rows + outcome->dead == 0)
        buf_printf(&out, "is copied when the job begins\n");
    else
        buf_printf(&out, "%s, %" PRId64 " row%s%s%s\n",
                   outcome->state == COPY_STATE_DUE ? "copied in part" : "copied", outcome->rows,
                   plural(outcome->rows), outcome->reason != NULL ? "; kept: " : "",
                   outcome->reason != NULL ? outcome->reason : "");
}

static void tell(void *context, const struct copy_job *job, const struct copy_outcome *outcome)
{
    const struct copying_files *files = context;
    if (files->mode == COPY_LOOK)
        tell_look(job, outcome);
    else if (outcome->state == COPY_STATE_KEPT && files->mode == COPY_WRITE)
        message("%s: %s: %s; what was copied stays", job->name, job->file, outcome->reason);
    else if (outcome->state == COPY_STATE_WRITTEN && outcome->dead > 0)
        message("%s: %" PRId64 " row%s of %s copied, %" PRId64 " bad one%s in %s.dlq", job->name,
                outcome->rows, plural(outcome->rows), job->file, outcome->dead,
                plural(outcome->dead), files->name);
    else if (outcome->state == COPY_STATE_WRITTEN)
        message("%s: %" PRId64 " row%s of %s copied", job->name, outcome->rows,
                plural(outcome->rows), job->file);
}

static int tell_failure(const struct copying_files *files, uint32_t number, int code,
                        const struct diag *diag)
{
    const struct sql_copy *copy = files->program->copies;
    for (uint32_t i = 0; copy != NULL && i < number; i++)
        copy = copy->next;
    if (code == ERR_STOPPED)
        return EXIT_INTERRUPTED;
    if (copy == NULL)
        return failed(code, diag);
    tell_error(copy, code,
               code == ERR_EXISTS ? "--changed-copy keep goes on with what was copied, and "
                                    "--changed-copy again writes all rows of the file once more"
                                  : NULL,
               diag->text);
    return code == ERR_EXISTS || code == ERR_NOT_FOUND || code == ERR_STATE ? EXIT_USAGE
                                                                            : EXIT_FAILED;
}

int copy_files_run(const struct cli *cli, const struct sql_program *program,
                   const weir_options *options, enum copy_mode mode, int32_t new_partitions)
{
    static const char *const changes[] = {[COPY_CHANGED_FAILS] = "refuse",
                                          [COPY_CHANGED_STAYS] = "keep",
                                          [COPY_CHANGED_AGAIN] = "again"};
    struct copying_files files = {.cli = cli, .program = program, .mode = mode};
    struct diag diag = {0};
    uint32_t failed_at;
    if (program->copies == NULL)
        return 0;
    int changed = flag_choice(cli, "changed-copy", changes, 3, COPY_CHANGED_FAILS);
    int exit_code = changed < 0 ? EXIT_USAGE : make_jobs(&files, options);
    if (exit_code == 0) {
        const struct copy_run run = {.mode = mode,
                                     .changed = (enum copy_changed)changed,
                                     .new_partitions = new_partitions,
                                     .is_stopped = is_stopped,
                                     .tell = tell,
                                     .context = &files};
        int code = copy_jobs_run(&run, files.jobs, files.count, &failed_at, &diag);
        exit_code = code < 0 ? tell_failure(&files, failed_at, code, &diag) : 0;
    }
    for (uint32_t i = 0; i < files.count; i++) {
        weir_app_close(files.jobs[i].app);
        free(files.paths[i]);
    }
    free(files.jobs);
    free(files.paths);
    return exit_code;
}
