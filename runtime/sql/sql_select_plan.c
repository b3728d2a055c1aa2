/* sql_select_plan.c: what a SELECT over rows becomes: where its rows come from, a filter, a map.
 *
 * WHERE comes first, so that what is not wanted is not computed. A list that names the columns there are in their order is
 * no step at all. Every expression is compiled once against the columns it will see, for its type and so that each error
 * is shown in the file's own line; the app compiles the printed texts again when it runs. */
#include "runtime/sql/sql_scope.h"

#include <stdio.h>
#include <string.h>

int add_step(struct compile_file *file, struct relation *relation, enum step_kind kind,
             const char *text, struct step **out)
{
    struct step *step = arena_zalloc(&file->program->arena, sizeof *step);
    if (step == NULL || text == NULL)
        return ERR_NOMEM;
    step->kind = kind;
    step->text = text;
    struct step **end = &relation->steps;
    while (*end != NULL)
        end = &(*end)->next;
    *end = step;
    if (out != NULL)
        *out = step;
    return 0;
}

/* ---- FROM ---- */

static const struct relation *find_relation(const struct compile_file *file, const char *name,
                                            const struct relation *const *inner,
                                            uint32_t inner_count)
{
    const struct relation *found = NULL;
    for (uint32_t i = inner_count; i > 0; i--)
        if (strcmp(inner[i - 1]->name, name) == 0)
            return inner[i - 1];
    for (const struct relation *r = file->program->relations; r != NULL; r = r->next)
        if (r->kind != RELATION_RESULT && strcmp(r->name, name) == 0)
            found = r;
    return found;
}

/* What is made further down: to be moved, unless each waits for the other. */
static int misplaced_relation(struct compile_file *file, const struct sql_name *name,
                              const struct statement *below)
{
    const char *mine = file->current->name.text;
    bool is_elsewhere = below->file_name != file->current->file_name;
    unsigned line = 1;
    for (int32_t i = 0; i < below->name.at; i++)
        line += below->file_text[i] == '\n';
    if (mine != NULL && statement_reads(file, below, mine))
        return source_error(&file->source, ERR_INVALID, name->at, NULL,
                            "\"%s\" and \"%s\" read each other (\"%s\" is made in line %u%s%s)",
                            mine, name->text, name->text, line, is_elsewhere ? " of " : "",
                            is_elsewhere ? below->file_name : "");
    return source_error(&file->source, ERR_NOT_FOUND, name->at,
                        "a statement sees what stands before it: move that one up",
                        "table or view \"%s\" does not exist yet: it is made in line %u%s%s",
                        name->text, line, is_elsewhere ? " of " : "",
                        is_elsewhere ? below->file_name : "");
}

static int unknown_relation(struct compile_file *file, const struct sql_name *name)
{
    const char *names[STATEMENTS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < file->broken_count; i++)
        if (strcmp(file->broken[i], name->text) == 0)
            return ERR_STATE; /* its own error was told */
    for (const struct relation *r = file->program->relations; r != NULL && count < STATEMENTS_MAX;
         r = r->next)
        names[count++] = r->name;
    const char *close = closest_name(name->text, names, count);
    const struct statement *below = statement_below(file, name->text);
    char hint[128];
    if (below != NULL)
        return misplaced_relation(file, name, below);
    if (file->current->name.text != NULL && strcmp(file->current->name.text, name->text) == 0)
        return source_error(&file->source, ERR_INVALID, name->at, NULL, "\"%s\" reads itself",
                            name->text);
    if (close != NULL)
        snprintf(hint, sizeof hint, "did you mean \"%s\"?", close);
    else
        snprintf(hint, sizeof hint,
                 "CREATE TABLE %.40s (…) WITH (topic = '…') comes before what reads it",
                 name->text);
    return source_error(&file->source, ERR_NOT_FOUND, name->at, hint,
                        "table or view \"%s\" does not exist", name->text);
}

static int grouped_inside(struct compile_file *file, int32_t at)
{
    return source_error(&file->source, ERR_UNSUPPORTED, at,
                        "CREATE MATERIALIZED VIEW it, with emit = 'final'",
                        "reading a grouped SELECT inside another one is not supported");
}

/* A table, or a stream whose rows are met within a time. */
static int find_joined(struct compile_file *file, const struct join_item *join,
                       const struct relation *const *inner, uint32_t inner_count,
                       const struct relation **relation)
{
    *relation = find_relation(file, join->relation.text, inner, inner_count);
    if (*relation == NULL)
        return unknown_relation(file, &join->relation);
    const char *name = join->relation.text;
    if ((*relation)->key_count > 0)
        return own_topic(file, relation);
    if ((*relation)->is_grouped && (*relation)->kind == RELATION_VIEW)
        return grouped_inside(file, join->relation.at);
    if ((*relation)->is_grouped && !(*relation)->emit_final)
        return source_error(&file->source, ERR_UNSUPPORTED, join->relation.at,
                            "select its groups, and window_start, under any names",
                            "%s cannot be joined: its columns do not hold the key of its results",
                            name);
    return own_topic(file, relation);
}

static int find_from(struct compile_file *file, const struct from_item *from,
                     const struct relation *const *inner, uint32_t inner_count,
                     const struct relation **relation)
{
    if (from->kind == FROM_SELECT) {
        struct relation *nested = arena_zalloc(&file->program->arena, sizeof *nested);
        if (nested == NULL)
            return ERR_NOMEM;
        nested->kind = RELATION_VIEW;
        nested->name = from->alias != NULL ? from->alias : "the inner SELECT";
        TRY(plan_select(file, from->select, inner, inner_count, nested));
        *relation = nested;
    } else {
        *relation = find_relation(file, from->relation.text, inner, inner_count);
        if (*relation == NULL)
            return unknown_relation(file, &from->relation);
    }
    if ((*relation)->is_grouped && !(*relation)->emit_final && (*relation)->key_count == 0)
        return source_error(&file->source, ERR_UNSUPPORTED, from->at,
                            "select its groups, and window_start, under any names",
                            "%s cannot be read: its results change, and its columns do not hold "
                            "their key",
                            (*relation)->name);
    if ((*relation)->is_grouped && (*relation)->kind == RELATION_VIEW)
        return grouped_inside(file, from->at);
    return 0;
}

/* Windows go by the event time and by nothing else. */
static int check_window_time(const struct select_scope *scope, const struct from_item *from)
{
    const struct relation *relation = scope->relation;
    const struct source *source = &scope->file->source;
    for (uint32_t i = 0; i < relation->column_count; i++)
        if (strcmp(relation->columns[i].name, "window_start") == 0 ||
            strcmp(relation->columns[i].name, "window_end") == 0)
            return source_error(source, ERR_INVALID, from->at,
                                "give it another name there: window_start AS minute",
                                "column \"%s\" of %s would be ambiguous in windows",
                                relation->columns[i].name, scope->alias);
    if (relation->time_column < 0)
        return source_error(source, ERR_INVALID, from->window_time->at,
                            "WITH (event_time = 'ts') on the table says which column it is",
                            "%s has no event time", scope->alias);
    const char *time = relation->columns[relation->time_column].name;
    if (from->window_time->kind != SYNTAX_COLUMN ||
        strcmp(from->window_time->path.parts[0], time) != 0)
        return source_error(source, ERR_INVALID, from->window_time->at,
                            "another column needs a table of its own: WITH (event_time = '…')",
                            "rows go into windows by their event time, which is %s", time);
    return 0;
}

/* ---- columns ---- */

static int add_target(struct target_list *targets, struct syntax *syntax, const char *name,
                      int32_t at)
{
    if (syntax == NULL)
        return ERR_NOMEM;
    targets->items[targets->count++] = (struct target){.syntax = syntax, .name = name, .at = at};
    return 0;
}

static bool has_name(const struct target_list *targets, const char *name)
{
    for (uint32_t i = 0; i < targets->count; i++)
        if (strcmp(targets->items[i].name, name) == 0)
            return true;
    return false;
}

/* *name: what it is called by itself, or NULL. */
static int name_item(struct compile_file *file, const struct select *select,
                     const struct select_item *item, const struct target_list *targets,
                     const char **name)
{
    char numbered[24];
    if (select->is_positional && (*name == NULL || has_name(targets, *name))) {
        snprintf(numbered, sizeof numbered, "column_%u", targets->count + 1);
        *name = arena_text(&file->program->arena, numbered);
        return *name != NULL ? 0 : ERR_NOMEM;
    }
    if (*name != NULL)
        return 0;
    return source_error(&file->source, ERR_INVALID, item->at, "give it a name with AS",
                        "this expression has no name");
}

static int expand_star(struct compile_file *file, const struct select_item *item,
                       const struct select_scope *scope, struct target_list *targets)
{
    uint32_t owner = 0;
    while (item->star_of != NULL && owner < scope->owner_count &&
           strcmp(item->star_of, scope->owners[owner].alias) != 0)
        owner++;
    if (owner == scope->owner_count)
        return source_error(&file->source, ERR_NOT_FOUND, item->at, NULL,
                            "there is no table \"%s\" in FROM", item->star_of);
    for (uint32_t c = 0; c < scope->count; c++) {
        struct scope_column *column = &scope->columns[c];
        bool is_wanted = item->star_of == NULL || column->owner == owner ||
                         (column->owner == SCOPE_NO_OWNER && owner == 0);
        if (!is_wanted || column->is_hidden)
            continue;
        column->is_used = true;
        TRY(add_target(targets, syntax_column(&file->program->arena, scope->names[c], item->at),
                       column->shown, item->at));
    }
    return 0;
}

static int check_names(struct compile_file *file, const struct target_list *targets)
{
    for (uint32_t i = 0; i < targets->count; i++)
        for (uint32_t k = 0; k < i; k++)
            if (strcmp(targets->items[i].name, targets->items[k].name) == 0)
                return source_error(&file->source, ERR_EXISTS, targets->items[i].at,
                                    "give one of them another name with AS",
                                    "two columns are named \"%s\"", targets->items[i].name);
    return 0;
}

/* The select list with stars written out, every name resolved, every column named. */
static int expand_items(struct compile_file *file, const struct select *select,
                        const struct select_scope *scope, struct target_list *targets)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < select->item_count; i++)
        most += select->items[i].syntax != NULL ? 1 : scope->count;
    *targets = (struct target_list){
        .items = arena_zalloc(&file->program->arena, (most + 1) * sizeof *targets->items)};
    if (targets->items == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < select->item_count; i++) {
        const struct select_item *item = &select->items[i];
        const char *name;
        if (item->syntax == NULL) {
            TRY(expand_star(file, item, scope, targets));
            continue;
        }
        name = item->name != NULL ? item->name : syntax_name(item->syntax);
        TRY(scope_resolve(scope, item->syntax));
        TRY(name_item(file, select, item, targets, &name));
        TRY(add_target(targets, item->syntax, name, item->at));
    }
    return check_names(file, targets);
}

static bool is_plain(const struct target *target, const char *name)
{
    return target->syntax->kind == SYNTAX_COLUMN &&
           strcmp(target->syntax->path.parts[0], name) == 0;
}

/* The columns that there are, in their order. */
static bool is_identity(const struct target_list *targets, const struct relation *base)
{
    if (targets->count != base->column_count)
        return false;
    for (uint32_t i = 0; i < targets->count; i++)
        if (!is_plain(&targets->items[i], base->columns[i].name) ||
            strcmp(targets->items[i].name, base->columns[i].name) != 0)
            return false;
    return true;
}

static const char *plain_type_name(const struct select_scope *scope, const struct target *target,
                                   enum col_type type)
{
    for (uint32_t i = 0; i < scope->row_count; i++)
        if (is_plain(target, scope->names[i]))
            return scope->columns[i].type_name;
    return target->syntax->kind == SYNTAX_CAST ? target->syntax->type.name : col_type_name(type);
}

/* Whether it is this column of the base's key: as it is, or of a FULL JOIN coalesce(left's, right's). */
static bool is_key(const struct select_scope *scope, const struct target *target, uint32_t k)
{
    const struct relation *base = scope->relation;
    const char *name = base->columns[base->keys[k]].name;
    const struct syntax *syntax = target->syntax;
    if (scope->full_keys == NULL)
        return is_plain(target, name);
    if (syntax->kind != SYNTAX_COALESCE || syntax->arg_count != 2)
        return false;
    for (uint32_t i = 0; i < 2; i++) {
        const struct target left = {.syntax = syntax->args[i]};
        const struct target right = {.syntax = syntax->args[1 - i]};
        if (is_plain(&left, name) && is_plain(&right, scope->full_keys[k]))
            return true;
    }
    return false;
}

/* A table that is filtered, mapped or joined with another one is a table: which of its columns are the key. */
static int keep_keys(struct compile_file *file, const struct target_list *targets,
                     const struct select_scope *scope, struct relation *out)
{
    const struct relation *base = scope->relation;
    if (base->key_count == 0)
        return 0;
    out->keys = arena_zalloc(&file->program->arena, base->key_count * sizeof *out->keys);
    if (out->keys == NULL)
        return ERR_NOMEM;
    out->key_count = base->key_count;
    out->key_names = base->key_names;
    for (uint32_t k = 0; k < base->key_count; k++) {
        out->keys[k] = UINT32_MAX;
        for (uint32_t i = 0; i < targets->count && base->keys[k] != UINT32_MAX; i++)
            if (is_key(scope, &targets->items[i], k))
                out->keys[k] = i;
    }
    return 0;
}

/* Rows that have met have two event times, and go by that of the right stream when the SELECT leaves out the left one's. -1: neither
 * is there; a LEFT JOIN's rows may not have the other. */
static int32_t find_other_time(const struct target_list *targets, const struct select_scope *scope,
                               const struct relation *out)
{
    for (const struct step *step = out->steps; step != NULL; step = step->next) {
        uint32_t column = 0;
        if (step->kind != STEP_WITHIN || step->is_left)
            continue;
        while (scope->columns[column].owner != step->owner)
            column++;
        column += (uint32_t)scope->owners[step->owner].relation->time_column;
        for (uint32_t i = 0; i < targets->count; i++)
            if (is_plain(&targets->items[i], scope->names[column]))
                return (int32_t)i;
    }
    return -1;
}

/* Rows that meet others, or their likes, do so elsewhere. */
static bool stays_in_place(const struct relation *rows)
{
    for (const struct step *step = rows->steps; step != NULL; step = step->next)
        if (step->kind == STEP_WITHIN || step->kind == STEP_DISTINCT)
            return false;
    return true;
}

static int plan_rows(struct compile_file *file, const struct target_list *targets,
                     const struct select_scope *scope, struct relation *out)
{
    const struct relation *base = scope->relation;
    struct named_columns columns = scope_columns(scope);
    struct scope input = named_columns_scope(&columns);
    struct arena *arena = &file->program->arena;
    out->columns = arena_zalloc(arena, (targets->count + 1) * sizeof *out->columns);
    if (out->columns == NULL)
        return ERR_NOMEM;
    out->time_column = -1;
    for (uint32_t i = 0; i < targets->count; i++) {
        const struct target *target = &targets->items[i];
        struct expr *expr;
        TRY(expr_of_syntax(target->syntax, false, &file->source, &input, &expr));
        enum col_type type = expr_type(expr);
        expr_destroy(expr);
        out->columns[i] = (struct relation_column){
            .name = target->name, .type = type, .type_name = plain_type_name(scope, target, type)};
        if (base->time_column >= 0 && scope->full_keys == NULL &&
            is_plain(target, base->columns[base->time_column].name))
            out->time_column = (int32_t)i;
        if (scope->placed != NULL && stays_in_place(out) && is_plain(target, scope->placed))
            out->placed_column = i + 1;
    }
    if (out->time_column < 0)
        out->time_column = find_other_time(targets, scope, out);
    out->column_count = targets->count;
    TRY(keep_keys(file, targets, scope, out));
    return scope->owner_count == 1 && is_identity(targets, base)
               ? 0
               : add_step(file, out, STEP_MAP, text_of_targets(arena, targets), NULL);
}

/* ---- the whole ---- */

static bool reads_joined(const struct select_scope *scope, const struct syntax *syntax)
{
    if (syntax == NULL)
        return false;
    if (syntax->kind == SYNTAX_COLUMN)
        for (uint32_t i = scope->relation->column_count; i < scope->row_count; i++)
            if (strcmp(scope->names[i], syntax->path.parts[0]) == 0)
                return true;
    for (uint32_t i = 0; i < syntax->arg_count; i++)
        if (reads_joined(scope, syntax->args[i]))
            return true;
    return false;
}

/* A condition on what stands left of the joins holds before them as well as behind, but for a FULL JOIN: rows that nobody wants look up nothing. So does one
 * on the right stream of two that meet. */
static int add_where(struct compile_file *file, const struct select_scope *scope,
                     struct syntax *condition, struct relation *out)
{
    if (scope->owner_count > 1 && condition->kind == SYNTAX_AND) {
        for (uint32_t i = 0; i < condition->arg_count; i++)
            TRY(add_where(file, scope, condition->args[i], out));
        return 0;
    }
    struct step *joins = out->steps, **place = &out->steps;
    const char *text = text_of_syntax(&file->program->arena, condition);
    bool is_behind =
             scope->owner_count == 1 || scope->full_keys != NULL || reads_joined(scope, condition),
         is_taken = false;
    if (is_behind)
        TRY(within_take_where(file, scope, condition, out, &is_taken));
    if (is_taken)
        return 0;
    if (is_behind) {
        scope_mark_used(scope, condition);
        return add_step(file, out, STEP_FILTER, text, NULL);
    }
    while (*place != NULL && (*place)->kind == STEP_FILTER)
        place = &(*place)->next;
    joins = *place;
    struct step *step = arena_zalloc(&file->program->arena, sizeof *step);
    if (step == NULL || text == NULL)
        return ERR_NOMEM;
    *step = (struct step){.kind = STEP_FILTER, .text = text, .next = joins};
    *place = step;
    return 0;
}

static int plan_where(struct compile_file *file, const struct select *select,
                      const struct select_scope *scope, struct relation *out)
{
    struct named_columns columns = {scope->names, scope->types, scope->row_count};
    struct scope input = named_columns_scope(&columns);
    struct expr *expr;
    if (select->where == NULL)
        return 0;
    TRY(scope_resolve_unused(scope, select->where));
    const struct syntax *aggregate = syntax_find_aggregate(select->where);
    if (aggregate != NULL)
        return source_error(&file->source, ERR_INVALID, aggregate->at,
                            "HAVING is about results, WHERE about rows",
                            "aggregates are not allowed in WHERE");
    TRY(expr_of_syntax(select->where, true, &file->source, &input, &expr));
    expr_destroy(expr);
    return add_where(file, scope, select->where, out);
}

static bool is_grouped(const struct select *select, const struct target_list *targets)
{
    if (select->group_count > 0 || select->having != NULL)
        return true;
    for (uint32_t i = 0; i < targets->count; i++)
        if (syntax_find_aggregate(targets->items[i].syntax) != NULL)
            return true;
    return false;
}

/* Whether what the SELECT does with its rows has to begin at a topic when they come of a join of two streams. */
static bool begins_at_topic(const struct select *select)
{
    bool has_aggregate = false;
    for (uint32_t i = 0; i < select->item_count; i++)
        has_aggregate |= select->items[i].syntax != NULL &&
                         syntax_find_aggregate(select->items[i].syntax) != NULL;
    return has_aggregate || select->group_count > 0 || select->having != NULL ||
           select->distinct_count > 0 || select->from.join_count > 0;
}

static int plan_tables(struct compile_file *file, const struct select *select,
                       const struct relation **inner, uint32_t *inner_count)
{
    for (uint32_t i = 0; i < select->table_count; i++) {
        struct relation *table = arena_zalloc(&file->program->arena, sizeof *table);
        if (table == NULL)
            return ERR_NOMEM;
        table->kind = RELATION_VIEW;
        table->name = select->tables[i].name.text;
        TRY(plan_select(file, select->tables[i].select, inner, *inner_count, table));
        inner[(*inner_count)++] = table;
    }
    return 0;
}

int plan_over(struct compile_file *file, const struct select *select, const struct relation *base,
              const struct relation *const *joined, struct relation *out)
{
    struct select_scope scope;
    struct target_list targets;
    const struct from_item *from = &select->from;
    if (begins_at_topic(select))
        TRY(own_topic(file, &base));
    TRY(scope_open(&scope, file, base, from->alias, false));
    out->base = base;
    TRY(plan_joins(file, select, joined, &scope, out));
    if (from->window != CALL_NONE) {
        TRY(scope_resolve(&scope, from->window_time));
        TRY(check_window_time(&scope, from));
        TRY(scope_add_windows(&scope));
    }
    TRY(expand_items(file, select, &scope, &targets));
    TRY(plan_where(file, select, &scope, out));
    TRY(plan_distinct(file, select, &scope, &targets, out));
    bool grouped = is_grouped(select, &targets);
    if (grouped && select->distinct_count > 0)
        return source_error(&file->source, ERR_UNSUPPORTED, select->distinct[0]->at,
                            "make the rows distinct in an inner SELECT, and aggregate those",
                            "DISTINCT ON with aggregates is not supported");
    TRY(check_table(file, select, base, grouped));
    if (!grouped && from->window != CALL_NONE)
        return source_error(&file->source, ERR_UNSUPPORTED, from->at,
                            "GROUP BY …, window_start, window_end",
                            "rows in windows need GROUP BY");
    TRY(grouped ? plan_grouped(file, select, &scope, &targets, out)
                : plan_rows(file, &targets, &scope, out));
    TRY(plan_join_columns(file, &scope, out));
    return own_topic_of_steps(file, &scope, out);
}

/* ---- UNION ALL ---- */

/* As in PostgreSQL columns go by their positions and have the first SELECT's names. */
static int fit_arm(struct compile_file *file, const struct select *select,
                   const struct relation *first, struct relation *arm)
{
    struct arena *arena = &file->program->arena;
    struct target_list targets = {
        .items = arena_zalloc(arena, (first->column_count + 1) * sizeof *targets.items),
        .count = first->column_count};
    bool differs = false;
    if (targets.items == NULL)
        return ERR_NOMEM;
    if (arm->column_count != first->column_count)
        return source_error(&file->source, ERR_INVALID, select->at, NULL,
                            "the first SELECT of UNION ALL has %u columns, this one %u",
                            first->column_count, arm->column_count);
    for (uint32_t i = 0; i < arm->column_count; i++) {
        struct relation_column *column = &arm->columns[i];
        if (column->type != first->columns[i].type)
            return source_error(&file->source, ERR_INVALID, select->at, "write a cast",
                                "column %u of UNION ALL is %s (\"%s\") in the first SELECT, %s in "
                                "this one",
                                i + 1, first->columns[i].type_name, first->columns[i].name,
                                column->type_name);
        differs |= strcmp(column->name, first->columns[i].name) != 0;
        targets.items[i] = (struct target){syntax_column(arena, column->name, select->at),
                                           first->columns[i].name, select->at};
        if (targets.items[i].syntax == NULL)
            return ERR_NOMEM;
    }
    return differs ? add_step(file, arm, STEP_MAP, text_of_targets(arena, &targets), NULL) : 0;
}

uint32_t relation_source_count(const struct relation *relation)
{
    while (relation->arm_count == 0 && relation->base != NULL)
        relation = relation->base;
    return relation->arm_count > 0 ? relation->source_count : 1;
}

/* Rows of two streams come to where others are from a topic of their own. */
static int begin_arm(struct compile_file *file, struct relation **arm)
{
    const struct relation *rows = *arm;
    if (!rows_have_met(rows))
        return 0;
    TRY(own_topic(file, &rows));
    *arm = relation_over(&file->program->arena, rows);
    return *arm != NULL ? 0 : ERR_NOMEM;
}

static int plan_union(struct compile_file *file, const struct select *select,
                      const struct relation *const *inner, uint32_t inner_count,
                      struct relation *out)
{
    struct arena *arena = &file->program->arena;
    out->arms = arena_zalloc(arena, select->arm_count * sizeof(struct relation *));
    if (out->arms == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < select->arm_count; i++) {
        struct relation *arm = arena_zalloc(arena, sizeof *arm);
        if (arm == NULL)
            return ERR_NOMEM;
        arm->kind = RELATION_VIEW;
        arm->name = "a SELECT of UNION ALL";
        select->arms[i]->is_positional = i > 0 || select->is_positional;
        TRY(plan_select(file, select->arms[i], inner, inner_count, arm));
        if (arm->key_count > 0)
            return source_error(&file->source, ERR_UNSUPPORTED, select->arms[i]->at, NULL,
                                "UNION ALL of a table of the latest rows is not supported");
        if (arm->is_grouped)
            return source_error(&file->source, ERR_UNSUPPORTED, select->arms[i]->at,
                                "CREATE MATERIALIZED VIEW it, with emit = 'final'",
                                "UNION ALL of a grouped SELECT is not supported");
        TRY(distinct_once(file, arm, "UNION ALL", select->arms[i]->at));
        TRY(begin_arm(file, &arm));
        out->arms[i] = arm;
        out->source_count += relation_source_count(arm);
        if (out->source_count > UNION_SOURCES_MAX)
            return source_error(&file->source, ERR_TOO_LARGE, select->arms[i]->at,
                                "INSERT INTO a topic brings rows together once for all readers",
                                "UNION ALL of more than %d sources, counted through the views",
                                UNION_SOURCES_MAX);
        if (i == 0) {
            out->time_column = arm->time_column;
            continue;
        }
        TRY(fit_arm(file, select->arms[i], out->arms[0], arm));
        if (arm->time_column != out->time_column)
            out->time_column = -1;
    }
    out->arm_count = select->arm_count;
    out->columns = out->arms[0]->columns;
    out->column_count = out->arms[0]->column_count;
    return 0;
}

int plan_select(struct compile_file *file, const struct select *select,
                const struct relation *const *inner, uint32_t inner_count, struct relation *out)
{
    const struct relation **known = arena_alloc(
        &file->program->arena, (inner_count + select->table_count + 1) * sizeof(struct relation *));
    const struct relation *base;
    if (known == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < inner_count; i++)
        known[i] = inner[i];
    TRY(plan_tables(file, select, known, &inner_count));
    if (select->arm_count > 0)
        return plan_union(file, select, known, inner_count, out);
    const struct relation *joined[JOINS_MAX];
    TRY(find_from(file, &select->from, known, inner_count, &base));
    TRY(system_columns_add(file, select, &base));
    for (uint32_t i = 0; i < select->from.join_count; i++)
        TRY(find_joined(file, &select->from.joins[i], known, inner_count, &joined[i]));
    return plan_over(file, select, base, joined, out);
}
