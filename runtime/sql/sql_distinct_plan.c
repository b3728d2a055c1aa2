/* sql_distinct_plan.c: SELECT DISTINCT ON (…): the first row of each key within a time.
 *
 * The rows are those that WHERE leaves, before the select list makes columns of them, so that the
 * key may be any expression over FROM. As in PostgreSQL a bare name is an output column first, and a
 * number its position. How far apart repeats may be stands in the statement's WITH: without it the keys of
 * all rows would be kept for ever. */
#include "runtime/sql/sql_compile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] = "CREATE VIEW v WITH (within = '24 hours') AS SELECT DISTINCT ON (id) …";

/* What an item of DISTINCT ON names. */
static int find_output(struct compile_file *file, struct syntax *syntax,
                       const struct target_list *targets, struct syntax **out)
{
    *out = syntax;
    if (syntax->kind == SYNTAX_NUMBER) {
        long position = strtol(syntax->text, NULL, 10);
        if (position < 1 || position > (long)targets->count)
            return source_error(&file->source, ERR_INVALID, syntax->at, NULL,
                                "DISTINCT ON position %s is not in the select list", syntax->text);
        *out = targets->items[position - 1].syntax;
    }
    if (syntax->kind == SYNTAX_COLUMN && syntax->path.count == 1)
        for (uint32_t i = 0; i < targets->count; i++)
            if (strcmp(targets->items[i].name, syntax->path.parts[0]) == 0)
                *out = targets->items[i].syntax;
    return 0;
}

/* Between the topic and these rows there is no other one. */
static bool is_distinct(const struct relation *relation)
{
    for (const struct step *step = relation->steps; step != NULL; step = step->next)
        if (step->kind == STEP_DISTINCT)
            return true;
    for (uint32_t i = 0; i < relation->arm_count; i++)
        if (is_distinct(relation->arms[i]))
            return true;
    return relation->base != NULL && is_distinct(relation->base);
}

int distinct_once(struct compile_file *file, const struct relation *relation, const char *what,
                  int32_t at)
{
    if (!is_distinct(relation))
        return 0;
    return source_error(&file->source, ERR_UNSUPPORTED, at,
                        "INSERT INTO a topic, and read that: its rows are distinct already",
                        "%s over rows of a DISTINCT ON is not supported", what);
}

static int read_within(struct compile_file *file, const struct select *select, int64_t *within_ms)
{
    const struct statement *statement = file->current;
    const struct sql_option *option = option_find(&statement->options, "within");
    if (option == NULL)
        return source_error(&file->source, ERR_INVALID, select->distinct[0]->at, usage,
                            "DISTINCT ON needs a bound: how far apart repeats may be");
    TRY(option_span(file, &statement->options, "within", within_ms));
    if (*within_ms > 0)
        return 0;
    return source_error(&file->source, ERR_INVALID, option->key.at, usage,
                        "within is a time of more than 0");
}

static bool is_taken(const struct target_list *keys, const char *name)
{
    for (uint32_t i = 0; i < keys->count; i++)
        if (strcmp(keys->items[i].name, name) == 0)
            return true;
    return false;
}

int plan_distinct(struct compile_file *file, const struct select *select,
                  const struct select_scope *scope, const struct target_list *targets,
                  struct relation *out)
{
    struct arena *arena = &file->program->arena;
    struct named_columns columns = scope_columns(scope);
    struct scope input = named_columns_scope(&columns);
    struct target_list keys = {
        .items = arena_zalloc(arena, (select->distinct_count + 1) * sizeof *keys.items)};
    struct step *step;
    int64_t within_ms;
    if (select->distinct_count == 0)
        return 0;
    if (keys.items == NULL)
        return ERR_NOMEM;
    TRY(read_within(file, select, &within_ms));
    TRY(distinct_once(file, scope->relation, "DISTINCT ON", select->distinct[0]->at));
    if (scope->relation->key_count > 0)
        return source_error(&file->source, ERR_UNSUPPORTED, select->distinct[0]->at,
                            "declare the topic once more, without PRIMARY KEY, to read its rows as "
                            "events",
                            "DISTINCT ON over a table, which has one row for each key already, is "
                            "not supported");
    for (uint32_t i = 0; i < select->distinct_count; i++) {
        struct syntax *key;
        struct expr *expr;
        char name[24];
        TRY(find_output(file, select->distinct[i], targets, &key));
        if (key == select->distinct[i])
            TRY(scope_resolve(scope, key));
        TRY(expr_of_syntax(key, false, &file->source, &input, &expr));
        expr_destroy(expr);
        const char *own = syntax_name(key);
        snprintf(name, sizeof name, "key_%u", i + 1);
        bool is_named = own != NULL && key->kind == SYNTAX_COLUMN && !is_taken(&keys, own);
        keys.items[keys.count] =
            (struct target){key, is_named ? own : arena_text(arena, name), key->at};
        if (keys.items[keys.count++].name == NULL)
            return ERR_NOMEM;
    }
    TRY(add_step(file, out, STEP_DISTINCT, text_of_targets(arena, &keys), &step));
    step->size_ms = within_ms;
    return 0;
}
