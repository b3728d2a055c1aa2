/* sql_job.c: SQL files as a job: read, compiled together, compared with what the job was when it last ran.
 *
 * A file that changed is a changed job. What that means for each view is the engine's judgement (weir_app_plan); here it is said before
 * anything runs, and a view is built anew only when the command names it: state that took a day to build must not go because
 * of a typing error in a WHERE. */
#include "runtime/cli/sql_job.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- the files ---- */

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

static void tell(void *context, const char *name, const char *text)
{
    (void)context;
    message("%s: %s", name, text);
}

static int check_arguments(const struct cli *cli)
{
    for (int i = 0; i < cli->argument_count; i++)
        for (int k = 0; k < i; k++)
            if (strcmp(cli->arguments[i], cli->arguments[k]) == 0)
                return usage_error(cli, "%s is named twice", cli->arguments[i]);
    return 0;
}

int sql_job_load(struct cli *cli, struct sql_program **program)
{
    struct buf *texts = calloc((size_t)cli->argument_count, sizeof *texts);
    struct sql_text *files = calloc((size_t)cli->argument_count, sizeof *files);
    int exit_code = texts == NULL || files == NULL ? failed(ERR_NOMEM, NULL) : check_arguments(cli);
    int count = 0;
    *program = NULL;
    while (exit_code == 0 && count < cli->argument_count) {
        buf_init(&texts[count], 0);
        exit_code = read_file(cli->arguments[count], &texts[count]);
        files[count] = (struct sql_text){cli->arguments[count], (const char *)texts[count].data,
                                         texts[count].size};
        count++;
    }
    if (exit_code == 0) {
        int code = sql_compile_files(files, (uint32_t)count, tell, NULL, program);
        exit_code = code == ERR_NOMEM ? failed(code, NULL) : code < 0 ? EXIT_USAGE : 0;
    }
    for (int i = 0; i < count; i++)
        buf_deinit(&texts[i]);
    free(texts);
    free(files);
    return exit_code;
}

uint32_t sql_job_pipelines(const struct sql_program *program)
{
    uint32_t count = 0;
    for (const struct relation *r = program->relations; r != NULL; r = r->next)
        count += r->kind == RELATION_RESULT;
    return count;
}

void sql_job_name(const struct cli *cli, char name[SQL_JOB_NAME_BYTES])
{
    const char *given = flag_text(cli, "app"), *path = cli->arguments[0];
    const char *base = strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path;
    size_t size = strlen(base);
    if (size > 4 && strcmp(base + size - 4, ".sql") == 0)
        size -= 4;
    snprintf(name, SQL_JOB_NAME_BYTES, "%.*s",
             given != NULL ? SQL_JOB_NAME_BYTES - 1
                           : (int)(size < SQL_JOB_NAME_BYTES ? size : SQL_JOB_NAME_BYTES - 1),
             given != NULL ? given : base);
    for (char *c = name; given == NULL && *c != '\0'; c++)
        if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-", *c) == NULL)
            *c = '-';
    if (given == NULL && (name[0] == '\0' || strcmp(name, "-") == 0))
        snprintf(name, SQL_JOB_NAME_BYTES, "weir");
}

void sql_job_message(const struct cli *cli, const char *text)
{
    if (cli->argument_count == 1)
        message("%s: %s", cli->arguments[0], text);
    else
        message("%s", text);
}

/* ---- a changed file ---- */

const char *sql_job_change(weir_change change)
{
    static const char *const names[] = {[WEIR_CHANGE_NEW] = "new",
                                        [WEIR_CHANGE_NONE] = "unchanged",
                                        [WEIR_CHANGE_REUSABLE] =
                                            "changed, and its state is used on",
                                        [WEIR_CHANGE_REBUILD] = "must be rebuilt",
                                        [WEIR_CHANGE_REFUSED] = "refused"};
    return names[change];
}

static const struct relation *result_of_topic(const struct sql_program *program, const char *topic)
{
    for (const struct relation *r = program->relations; r != NULL; r = r->next)
        if (r->kind == RELATION_RESULT && strcmp(r->topic, topic) == 0)
            return r;
    return NULL;
}

static bool is_word_for(const char *word, const struct relation *result)
{
    return strcmp(word, "all") == 0 || strcmp(word, result->name) == 0 ||
           strcmp(word, result->topic) == 0;
}

static int check_words(const struct cli *cli, const struct sql_program *program)
{
    const char *word, *names[256];
    int at = 0, count = 0;
    for (const struct relation *r = program->relations; r != NULL && count < 256; r = r->next)
        if (r->kind == RELATION_RESULT)
            names[count++] = r->name;
    while ((word = flag_next(cli, "rebuild", &at)) != NULL) {
        bool is_known = false;
        for (const struct relation *r = program->relations; r != NULL; r = r->next)
            is_known |= r->kind == RELATION_RESULT && is_word_for(word, r);
        if (is_known)
            continue;
        const char *near = suggest(word, names, count);
        message("--rebuild: there is no view %s", word);
        if (near != NULL)
            hint("did you mean %s?", near);
        return EXIT_USAGE;
    }
    return 0;
}

static bool is_named(const struct cli *cli, const struct sql_program *program,
                     const struct relation *result)
{
    const char *word;
    int at = 0;
    while ((word = flag_next(cli, "rebuild", &at)) != NULL) {
        if (is_word_for(word, result))
            return true;
        for (const struct relation *r = program->relations; r != NULL; r = r->next)
            if (r->kind == RELATION_RESULT && is_word_for(word, r) &&
                sql_result_reads(program, result, r->topic))
                return true;
    }
    return false;
}

int sql_job_admit(const struct cli *cli, const struct sql_program *program,
                  const weir_view_plan *views, size_t count, bool *rebuilds)
{
    int exit_code = 0;
    *rebuilds = false;
    if (check_words(cli, program) != 0)
        return EXIT_USAGE;
    for (size_t i = 0; i < count; i++) {
        const struct relation *result = result_of_topic(program, views[i].topic);
        if (views[i].change < WEIR_CHANGE_REUSABLE || result == NULL)
            continue;
        bool is_rebuilt = views[i].change == WEIR_CHANGE_REBUILD && is_named(cli, program, result);
        message("%s: %s: %s", result->name,
                is_rebuilt ? "is rebuilt" : sql_job_change(views[i].change), views[i].reason);
        *rebuilds |= is_rebuilt;
        if (views[i].change == WEIR_CHANGE_REBUILD && !is_rebuilt) {
            hint(
                "--rebuild %s forgets its state and results and makes them again from its sources, "
                "and with them whatever reads it; another --app NAME begins beside it",
                result->name);
            exit_code = EXIT_USAGE;
        } else if (views[i].change == WEIR_CHANGE_REFUSED) {
            hint("--from-beginning forgets all views of the job; another --app NAME begins beside "
                 "it");
            exit_code = EXIT_USAGE;
        }
    }
    return exit_code;
}
