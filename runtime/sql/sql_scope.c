/* sql_scope.c: names in the expressions of a SELECT, and trees as texts.
 *
 * Resolving rewrites a tree in place: what is left are names of columns alone, so that the expression compiler needs
 * to know nothing of tables, and the printed text is one that the builder's functions take. */
#include "runtime/sql/sql_scope.h"

#include <stdio.h>
#include <string.h>

static int scope_grow(struct select_scope *scope, uint32_t more)
{
    struct arena *arena = &scope->file->program->arena;
    uint32_t capacity = scope->count + more + 2;
    struct scope_column *columns = arena_zalloc(arena, capacity * sizeof *columns);
    const char **names = arena_zalloc(arena, capacity * sizeof *names);
    enum col_type *types = arena_zalloc(arena, capacity * sizeof *types);
    if (columns == NULL || names == NULL || types == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < scope->count; i++) {
        columns[i] = scope->columns[i];
        names[i] = scope->names[i];
        types[i] = scope->types[i];
    }
    scope->columns = columns;
    scope->names = names;
    scope->types = types;
    return 0;
}

static bool is_taken(const struct select_scope *scope, const char *name)
{
    for (uint32_t i = 0; i < scope->count; i++)
        if (strcmp(scope->names[i], name) == 0)
            return true;
    return scope->owner_count > 0 &&
           (strcmp(name, "window_start") == 0 || strcmp(name, "window_end") == 0);
}

/* country, users_country, users_country_2, … */
static const char *free_name(const struct select_scope *scope, const char *alias, const char *name)
{
    char text[3 * EXPR_NAME_BYTES_MAX];
    if (!is_taken(scope, name))
        return name;
    snprintf(text, sizeof text, "%s_%s", alias, name);
    for (int i = 2; strlen(text) > EXPR_NAME_BYTES_MAX || is_taken(scope, text); i++)
        snprintf(text, sizeof text, "%.20s_%.20s_%d", alias, name, i);
    return arena_text(&scope->file->program->arena, text);
}

int scope_join(struct select_scope *scope, const struct relation *relation, const char *alias,
               int32_t at)
{
    alias = alias != NULL ? alias : relation->name;
    for (uint32_t i = 0; i < scope->owner_count; i++)
        if (strcmp(scope->owners[i].alias, alias) == 0)
            return source_error(&scope->file->source, ERR_EXISTS, at, "JOIN users AS other ON …",
                                "\"%s\" stands twice in FROM", alias);
    TRY(scope_grow(scope, relation->column_count));
    for (uint32_t i = 0; i < relation->column_count; i++) {
        const struct relation_column *column = &relation->columns[i];
        const char *name = free_name(scope, alias, column->name);
        if (name == NULL)
            return ERR_NOMEM;
        scope->columns[scope->count] = (struct scope_column){
            .shown = column->name,
            .type_name = column->type_name,
            .owner = scope->owner_count,
            .is_hidden = i >= relation->column_count - relation->hidden_count};
        scope->types[scope->count] = column->type;
        scope->names[scope->count++] = name;
    }
    scope->row_count = scope->count;
    scope->owners[scope->owner_count++] = (struct scope_owner){relation, alias};
    return 0;
}

int scope_add_windows(struct select_scope *scope)
{
    static const char *const bounds[] = {"window_start", "window_end"};
    TRY(scope_grow(scope, 2));
    for (int i = 0; i < 2; i++) {
        scope->columns[scope->count] = (struct scope_column){
            .shown = bounds[i], .type_name = "timestamptz", .owner = SCOPE_NO_OWNER};
        scope->types[scope->count] = COL_TIMESTAMPTZ;
        scope->names[scope->count++] = bounds[i];
    }
    scope->is_windowed = true;
    return 0;
}

int scope_open(struct select_scope *scope, struct compile_file *file,
               const struct relation *relation, const char *alias, bool is_windowed)
{
    *scope = (struct select_scope){.file = file,
                                   .relation = relation,
                                   .alias = alias != NULL            ? alias
                                            : relation->name != NULL ? relation->name
                                                                     : "the inner SELECT"};
    TRY(scope_join(scope, relation, scope->alias, -1));
    if (relation->placed_column > 0)
        scope->placed = scope->names[relation->placed_column - 1];
    return is_windowed ? scope_add_windows(scope) : 0;
}

struct named_columns scope_columns(const struct select_scope *scope)
{
    return (struct named_columns){scope->names, scope->types, scope->count};
}

static int unknown_column(const struct select_scope *scope, const struct syntax *syntax,
                          const char *name)
{
    const struct source *source = &scope->file->source;
    const char **shown =
        arena_alloc(&scope->file->program->arena, (scope->count + 1) * sizeof *shown);
    char hint[160] = "";
    if (shown == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < scope->count; i++)
        shown[i] = scope->columns[i].shown;
    const char *close = closest_name(name, shown, scope->count);
    if (name[0] == '_')
        return source_error(source, ERR_NOT_FOUND, syntax->at,
                            "_key, _topic, _partition, _offset, _timestamp and _headers are there "
                            "in a SELECT over a table itself: a view has those that it selects",
                            "column \"%s\" does not exist in %s", name,
                            scope->owner_count > 1 ? "FROM" : scope->alias);
    if (close != NULL)
        snprintf(hint, sizeof hint, "did you mean \"%s\"?", close);
    else if (strncmp(name, "window_", 7) == 0)
        snprintf(hint, sizeof hint, "windows come from FROM tumble(%s, …, INTERVAL '5 minutes')",
                 scope->relation->name != NULL ? scope->relation->name : "t");
    return source_error(source, ERR_NOT_FOUND, syntax->at, hint[0] != '\0' ? hint : NULL,
                        "column \"%s\" does not exist in %s", name,
                        scope->owner_count > 1 ? "FROM" : scope->alias);
}

/* "a.b": b of the relation a, whose number is *owner. */
static int resolve_owner(const struct select_scope *scope, const struct syntax *syntax,
                         const char **name, uint32_t *owner)
{
    *name = syntax->path.parts[0];
    *owner = SCOPE_NO_OWNER;
    if (syntax->path.count == 1)
        return 0;
    for (uint32_t i = 0; i < scope->owner_count && syntax->path.count == 2; i++)
        if (strcmp(scope->owners[i].alias, *name) == 0) {
            *name = syntax->path.parts[1];
            *owner = i;
            return 0;
        }
    return source_error(
        &scope->file->source, ERR_NOT_FOUND, syntax->at,
        "a field of a jsonb column is written as column -> 'field' or column ->> 'field'",
        "there is no table \"%s\" in FROM", *name);
}

static int resolve_column(const struct select_scope *scope, struct syntax *syntax)
{
    const char *name;
    uint32_t owner, found = UINT32_MAX;
    TRY(resolve_owner(scope, syntax, &name, &owner));
    for (uint32_t i = 0; i < scope->count; i++) {
        if (strcmp(scope->columns[i].shown, name) != 0 ||
            (owner != SCOPE_NO_OWNER && scope->columns[i].owner != owner &&
             scope->columns[i].owner != SCOPE_NO_OWNER))
            continue;
        if (found != UINT32_MAX) {
            char hint[160];
            snprintf(hint, sizeof hint, "%.60s.%s or %.60s.%s",
                     scope->owners[scope->columns[found].owner].alias, name,
                     scope->columns[i].owner != SCOPE_NO_OWNER
                         ? scope->owners[scope->columns[i].owner].alias
                         : "",
                     name);
            return source_error(&scope->file->source, ERR_INVALID, syntax->at, hint,
                                "column \"%s\" is ambiguous", name);
        }
        found = i;
    }
    if (found == UINT32_MAX)
        return unknown_column(scope, syntax, name);
    scope->columns[found].is_used = true;
    syntax->path = (struct field_path){.parts = {scope->names[found]}, .count = 1};
    return 0;
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

int scope_resolve_unused(const struct select_scope *scope, struct syntax *syntax)
{
    bool *was_used = arena_zalloc(&scope->file->program->arena, scope->count + 1);
    if (was_used == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < scope->count; i++)
        was_used[i] = scope->columns[i].is_used;
    TRY(scope_resolve(scope, syntax));
    for (uint32_t i = 0; i < scope->count; i++)
        scope->columns[i].is_used = was_used[i];
    return 0;
}

unsigned scope_sides(const struct select_scope *scope, uint32_t first, const struct syntax *syntax)
{
    unsigned sides = 0;
    if (syntax == NULL)
        return 0;
    if (syntax->kind == SYNTAX_COLUMN)
        for (uint32_t i = 0; i < scope->count; i++)
            if (strcmp(scope->names[i], syntax->path.parts[0]) == 0)
                sides |= i < first ? 1 : 2;
    for (uint32_t i = 0; i < syntax->arg_count; i++)
        sides |= scope_sides(scope, first, syntax->args[i]);
    return sides | scope_sides(scope, first, syntax->filter);
}

void scope_use_own_names(const struct select_scope *scope, uint32_t first, struct syntax *syntax)
{
    if (syntax == NULL)
        return;
    if (syntax->kind == SYNTAX_COLUMN)
        for (uint32_t i = first; i < scope->count; i++)
            if (strcmp(scope->names[i], syntax->path.parts[0]) == 0) {
                syntax->path.parts[0] = scope->columns[i].shown;
                break;
            }
    for (uint32_t i = 0; i < syntax->arg_count; i++)
        scope_use_own_names(scope, first, syntax->args[i]);
    scope_use_own_names(scope, first, syntax->filter);
}

void scope_mark_used(const struct select_scope *scope, const struct syntax *syntax)
{
    if (syntax == NULL)
        return;
    if (syntax->kind == SYNTAX_COLUMN)
        for (uint32_t i = 0; i < scope->count; i++)
            scope->columns[i].is_used |= strcmp(scope->names[i], syntax->path.parts[0]) == 0;
    for (uint32_t i = 0; i < syntax->arg_count; i++)
        scope_mark_used(scope, syntax->args[i]);
    scope_mark_used(scope, syntax->filter);
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
