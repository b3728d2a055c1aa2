/* sql_program.c: files to a program: parsed one by one, then compiled as one text would be, in the order in which they are named.
 *
 * Every statement knows its file, so that a message shows the line where it stands. A file that cannot be read as a whole (not UTF-8,
 * a quote that never closes) ends it before anything is compiled: what is missing then would be missed everywhere. */
#include "runtime/sql/sql_compile.h"

#include <stdlib.h>
#include <string.h>

static void tell_error(struct compile_file *file, const char *name, const char *text)
{
    file->program->error_count++;
    if (file->tell != NULL)
        file->tell(file->context, name, text);
}

/* ---- parsing ---- */

static int too_many(struct compile_file *file)
{
    return diag_set(&file->diag, ERR_TOO_LARGE, "a program has at most %d statements",
                    STATEMENTS_MAX);
}

/* Adds a file's statements to *end. Its text is copied, as trees and messages point into it. */
static int parse_file_text(struct compile_file *file, const struct sql_text *from,
                           struct statement **end, uint32_t *count)
{
    struct arena *arena = &file->program->arena;
    const char *name = arena_text(arena, from->name);
    char *text = arena_alloc(arena, from->size + 1);
    if (name == NULL || text == NULL)
        return ERR_NOMEM;
    memcpy(text, from->text, from->size);
    text[from->size] = '\0';
    int rc = sql_parse(text, from->size, arena, end, &file->diag);
    for (struct statement *s = rc == 0 ? *end : NULL; s != NULL; s = s->next) {
        s->file_name = name;
        s->file_text = text;
        if (++*count > STATEMENTS_MAX)
            rc = too_many(file);
    }
    return rc;
}

static int parse_files(struct compile_file *file, const struct sql_text *texts, uint32_t count)
{
    struct statement **end = &file->statements;
    uint32_t statement_count = 0;
    int rc = 0;
    for (uint32_t i = 0; i < count && rc != ERR_NOMEM; i++) {
        file->diag = (struct diag){0};
        int failed = parse_file_text(file, &texts[i], end, &statement_count);
        if (failed < 0 && failed != ERR_NOMEM)
            tell_error(file, texts[i].name, file->diag.text);
        rc = failed < 0 ? failed : rc;
        while (*end != NULL)
            end = &(*end)->next;
    }
    return rc;
}

/* ---- compiling ---- */

/* What an EXPLAINed statement would make is taken away from the program again, so that no other statement sees it or is in its way. */
static int compile_explained(struct compile_file *file, const struct statement *statement)
{
    struct sql_program *program = file->program;
    struct relation **from = program->end;
    struct explained *explained = arena_zalloc(&program->arena, sizeof *explained);
    if (explained == NULL)
        return ERR_NOMEM;
    int rc = compile_statement(file, statement);
    explained->statement = statement;
    explained->relations = *from;
    *from = NULL;
    program->end = from;
    if (rc == 0) {
        *program->explained_end = explained;
        program->explained_end = &explained->next;
    }
    return rc;
}

static int compile_all(struct compile_file *file)
{
    for (const struct statement *s = file->statements; s != NULL; s = s->next) {
        file->diag = (struct diag){0};
        file->source.sql = s->file_text;
        file->current = s;
        int rc = s->error != NULL  ? ERR_INVALID
                 : s->is_explained ? compile_explained(file, s)
                                   : compile_statement(file, s);
        if (rc == ERR_NOMEM)
            return rc;
        const char *error = s->error != NULL ? s->error : file->diag.text;
        if (rc < 0 && error[0] != '\0')
            tell_error(file, s->file_name, error);
        if (rc < 0 && s->name.text != NULL && !s->is_explained && s->kind != STATEMENT_COPY &&
            file->broken_count < STATEMENTS_MAX)
            file->broken[file->broken_count++] = s->name.text;
    }
    own_topics_forget(file->program, NULL);
    for (const struct relation *r = file->program->relations;
         r != NULL && file->program->error_count == 0; r = r->next) {
        file->diag = (struct diag){0};
        if (options_check_use(file, r) < 0)
            tell_error(file, r->statement->file_name, file->diag.text);
    }
    return 0;
}

int sql_compile_files(const struct sql_text *texts, uint32_t count,
                      void (*tell)(void *context, const char *name, const char *text),
                      void *context, struct sql_program **out)
{
    struct compile_file *file = calloc(1, sizeof *file);
    struct sql_program *program = calloc(1, sizeof *program);
    *out = NULL;
    if (file == NULL || program == NULL) {
        free(file);
        free(program);
        return ERR_NOMEM;
    }
    program->end = &program->relations;
    program->explained_end = &program->explained;
    program->copies_end = &program->copies;
    arena_init(&program->arena, 0);
    file->program = program;
    file->source = (struct source){"", &file->diag};
    file->tell = tell;
    file->context = context;
    int rc = parse_files(file, texts, count);
    if (rc == 0)
        rc = compile_all(file);
    free(file);
    if (rc == ERR_NOMEM) {
        sql_program_destroy(program);
        return rc;
    }
    *out = program;
    return rc < 0 ? rc : program->error_count > 0 ? ERR_INVALID : 0;
}

struct one_text {
    void (*tell)(void *context, const char *text);
    void *context;
};

static void tell_text(void *context, const char *name, const char *text)
{
    const struct one_text *one = context;
    (void)name;
    if (one->tell != NULL)
        one->tell(one->context, text);
}

int sql_compile(const char *text, size_t size, void (*tell)(void *context, const char *text),
                void *context, struct sql_program **program)
{
    struct sql_text only = {"", text, size};
    struct one_text one = {tell, context};
    return sql_compile_files(&only, 1, tell_text, &one, program);
}

void sql_program_destroy(struct sql_program *program)
{
    if (program == NULL)
        return;
    arena_deinit(&program->arena);
    free(program);
}

/* ---- what stands further down ---- */

static bool reads_name(const struct select *select, const char *name)
{
    for (uint32_t i = 0; i < select->arm_count; i++)
        if (reads_name(select->arms[i], name))
            return true;
    for (uint32_t i = 0; i < select->table_count; i++)
        if (reads_name(select->tables[i].select, name))
            return true;
    for (uint32_t i = 0; i < select->from.join_count; i++)
        if (strcmp(select->from.joins[i].relation.text, name) == 0)
            return true;
    if (select->from.kind == FROM_SELECT)
        return reads_name(select->from.select, name);
    return select->from.kind == FROM_RELATION && strcmp(select->from.relation.text, name) == 0;
}

static bool creates(const struct statement *statement, const char *name)
{
    return statement->error == NULL && statement->kind != STATEMENT_DROP &&
           statement->kind != STATEMENT_COPY && !statement->is_explained && statement->name.text != NULL &&
           strcmp(statement->name.text, name) == 0;
}

const struct statement *statement_below(const struct compile_file *file, const char *name)
{
    const struct statement *s = file->current != NULL ? file->current->next : NULL;
    while (s != NULL && !creates(s, name))
        s = s->next;
    return s;
}

/* Goes the way that names go, each of a statement once: `seen` is how many have been looked at, in the order of their finding. */
bool statement_reads(const struct compile_file *file, const struct statement *statement,
                     const char *name)
{
    const struct statement *seen[STATEMENTS_MAX];
    uint32_t count = 0;
    seen[count++] = statement;
    for (uint32_t i = 0; i < count; i++) {
        if (seen[i]->error != NULL || seen[i]->select == NULL)
            continue;
        if (reads_name(seen[i]->select, name))
            return true;
        for (const struct statement *s = file->statements; s != NULL; s = s->next) {
            bool is_new = s->name.text != NULL && !s->is_explained &&
                          reads_name(seen[i]->select, s->name.text);
            for (uint32_t k = 0; k < count && is_new; k++)
                is_new = seen[k] != s;
            if (is_new && count < STATEMENTS_MAX)
                seen[count++] = s;
        }
    }
    return false;
}
