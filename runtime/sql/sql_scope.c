/* sql_scope.c: names in the expressions of a SELECT, and trees as texts.
 *
 * Resolving rewrites a tree in place: what is left are names of columns alone, so that the expression compiler needs
 * to know nothing of tables, and the printed text is one that the builder's functions take. */
#include "runtime/sql/sql_scope.h"

#include <stdio.h>
#include <string.h>

int scope_open(struct select_scope *scope, struct compile_file *file,
               const struct relation *relation, const char *alias, bool is_windowed)
{
    struct arena *arena = &file->program->arena;
    uint32_t extra = is_windowed ? 2 : 0;
    *scope = (struct select_scope){.file = file,
                                   .relation = relation,
                                   .alias = alias != NULL ? alias : relation->name,
                                   .is_windowed = is_windowed,
                                   .count = relation->column_count + extra};
    scope->names = arena_alloc(arena, (scope->count + 1) * sizeof *scope->names);
    scope->types = arena_alloc(arena, (scope->count + 1) * sizeof *scope->types);
    if (scope->names == NULL || scope->types == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < relation->column_count; i++) {
        scope->names[i] = relation->columns[i].name;
        scope->types[i] = relation->columns[i].type;
    }
    if (is_windowed) {
        scope->names[scope->count - 2] = "window_start";
        scope->names[scope->count - 1] = "window_end";
        scope->types[scope->count - 2] = scope->types[scope->count - 1] = COL_TIMESTAMPTZ;
    }
    return 0;
}

struct named_columns scope_columns(const struct select_scope *scope)
{
    return (struct named_columns){scope->names, scope->types, scope->count};
}

static int unknown_column(const struct select_scope *scope, const struct syntax *syntax,
                          const char *name)
{
    const struct source *source = &scope->file->source;
    const char *close = closest_name(name, scope->names, scope->count);
    char hint[160] = "";
    if (name[0] == '_')
        return source_error(source, ERR_UNSUPPORTED, syntax->at,
                            "declare what you need as a column of the record's value",
                            "system column %s is not supported", name);
    if (close != NULL)
        snprintf(hint, sizeof hint, "did you mean \"%s\"?", close);
    else if (strncmp(name, "window_", 7) == 0)
        snprintf(hint, sizeof hint, "windows come from FROM tumble(%s, …, INTERVAL '5 minutes')",
                 scope->relation->name != NULL ? scope->relation->name : "t");
    return source_error(source, ERR_NOT_FOUND, syntax->at, hint[0] != '\0' ? hint : NULL,
                        "column \"%s\" does not exist in %s", name, scope->alias);
}

static int resolve_column(const struct select_scope *scope, struct syntax *syntax)
{
    const struct source *source = &scope->file->source;
    const char *name = syntax->path.parts[0];
    if (syntax->path.count == 2 && scope->alias != NULL && strcmp(name, scope->alias) == 0)
        name = syntax->path.parts[1];
    else if (syntax->path.count > 1)
        return source_error(
            source, ERR_NOT_FOUND, syntax->at,
            "a field of a jsonb column is written as column -> 'field' or column ->> 'field'",
            "there is no table \"%s\" in FROM", name);
    for (uint32_t i = 0; i < scope->count; i++)
        if (strcmp(scope->names[i], name) == 0) {
            syntax->path = (struct field_path){.parts = {name}, .count = 1};
            return 0;
        }
    return unknown_column(scope, syntax, name);
}

int scope_resolve(const struct select_scope *scope, struct syntax *syntax)
{
    if (syntax == NULL)
        return 0;
    if (syntax->kind == SYNTAX_COLUMN)
        return resolve_column(scope, syntax);
    for (uint32_t i = 0; i < syntax->arg_count; i++)
        TRY(scope_resolve(scope, syntax->args[i]));
    return scope_resolve(scope, syntax->filter);
}

struct syntax *syntax_copy(struct arena *arena, const struct syntax *syntax)
{
    struct syntax *copy = arena_alloc(arena, sizeof *copy);
    if (copy == NULL)
        return NULL;
    *copy = *syntax;
    if (syntax->arg_count > 0) {
        copy->args = arena_zalloc(arena, syntax->arg_count * sizeof *copy->args);
        if (copy->args == NULL)
            return NULL;
    }
    for (uint32_t i = 0; i < syntax->arg_count; i++)
        if (syntax->args[i] != NULL &&
            (copy->args[i] = syntax_copy(arena, syntax->args[i])) == NULL)
            return NULL;
    if (syntax->filter != NULL && (copy->filter = syntax_copy(arena, syntax->filter)) == NULL)
        return NULL;
    return copy;
}

struct syntax *syntax_column(struct arena *arena, const char *name, int32_t at)
{
    struct syntax *syntax = arena_zalloc(arena, sizeof *syntax);
    if (syntax == NULL)
        return NULL;
    syntax->kind = SYNTAX_COLUMN;
    syntax->at = at;
    syntax->path = (struct field_path){.parts = {name}, .count = 1};
    return syntax;
}

static const char *take_text(struct arena *arena, struct buf *text)
{
    buf_u8(text, 0);
    const char *copy = buf_ok(text) ? arena_text(arena, (const char *)text->data) : NULL;
    buf_deinit(text);
    return copy;
}

const char *text_of_syntax(struct arena *arena, const struct syntax *syntax)
{
    struct buf text;
    buf_init(&text, 0);
    syntax_print(syntax, &text);
    if (buf_ok(&text) && text.data[0] == '(') { /* then they enclose all of it */
        text.size -= 2;
        memmove(text.data, text.data + 1, text.size);
    }
    return take_text(arena, &text);
}

const char *text_of_targets(struct arena *arena, const struct target_list *targets)
{
    struct buf text;
    buf_init(&text, 0);
    for (uint32_t i = 0; i < targets->count; i++) {
        const struct target *target = &targets->items[i];
        if (i > 0)
            buf_printf(&text, ", ");
        syntax_print(target->syntax, &text);
        if (target->syntax->kind == SYNTAX_COLUMN && target->syntax->path.count == 1 &&
            strcmp(target->syntax->path.parts[0], target->name) == 0)
            continue;
        buf_printf(&text, " AS ");
        syntax_print_name(target->name, &text);
    }
    return take_text(arena, &text);
}
