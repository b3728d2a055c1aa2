/* sql_group_plan.c: what a grouped SELECT becomes: a group, a window, an aggregate, and behind it a condition (HAVING)
 * and the columns of the select list.
 *
 * The engine's aggregate takes a list of calls and gives group columns, window bounds, calls. So the select list is taken
 * apart: each distinct call of an aggregate gets a name (that of the column it is, where it is one), and what the list says
 * of groups and calls becomes a map of results; no map where it says nothing more. A column may be used only where it is
 * grouped by, inside an aggregate, or as part of an expression that is grouped by, as in PostgreSQL. */
#include "operators/aggregate.h"
#include "runtime/sql/sql_scope.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CALLS_MAX = 256 };

struct grouping {
    struct compile_file *file;
    struct select_scope *scope;
    struct syntax **groups;   /* without the window's bounds */
    struct target_list named; /* the same with names */
    enum col_type *types;
    struct target_list calls;
    bool has_window_bounds;
};

static struct arena *arena_of(const struct grouping *g)
{
    return &g->file->program->arena;
}

static bool is_window_bound(const struct grouping *g, const struct syntax *syntax)
{
    return g->scope->is_windowed && syntax->kind == SYNTAX_COLUMN &&
           (strcmp(syntax->path.parts[0], "window_start") == 0 ||
            strcmp(syntax->path.parts[0], "window_end") == 0);
}

/* ---- GROUP BY ---- */

/* GROUP BY 2, and names that the select list gives, as in PostgreSQL: a column of the input comes first. */
static int find_output(const struct grouping *g, struct syntax *syntax,
                       const struct target_list *targets, struct syntax **out)
{
    *out = syntax;
    if (syntax->kind == SYNTAX_NUMBER) {
        char *end;
        long number = strtol(syntax->text, &end, 10);
        if (*end != '\0' || number < 1 || number > (long)targets->count)
            return source_error(&g->file->source, ERR_INVALID, syntax->at, NULL,
                                "GROUP BY position %s is not in the select list", syntax->text);
        *out = targets->items[number - 1].syntax;
        return 0;
    }
    if (syntax->kind != SYNTAX_COLUMN || syntax->path.count != 1)
        return 0;
    for (uint32_t i = 0; i < g->scope->count; i++)
        if (strcmp(g->scope->columns[i].shown, syntax->path.parts[0]) == 0)
            return 0;
    for (uint32_t i = 0; i < targets->count; i++)
        if (strcmp(targets->items[i].name, syntax->path.parts[0]) == 0)
            *out = targets->items[i].syntax;
    return 0;
}

static bool is_taken(const struct grouping *g, const char *name)
{
    for (uint32_t i = 0; i < g->named.count; i++)
        if (strcmp(g->named.items[i].name, name) == 0)
            return true;
    for (uint32_t i = 0; i < g->calls.count; i++)
        if (strcmp(g->calls.items[i].name, name) == 0)
            return true;
    return strcmp(name, "window_start") == 0 || strcmp(name, "window_end") == 0;
}

/* wanted, or with a number behind it when that is taken. */
static const char *free_name(const struct grouping *g, const char *wanted)
{
    char name[EXPR_NAME_BYTES_MAX + 16];
    if (!is_taken(g, wanted))
        return wanted;
    for (int number = 2;; number++) {
        snprintf(name, sizeof name, "%.*s_%d", EXPR_NAME_BYTES_MAX - 8, wanted, number);
        if (!is_taken(g, name))
            return arena_text(arena_of(g), name);
    }
}

static const char *group_name(const struct grouping *g, const struct syntax *group,
                              const struct target_list *targets)
{
    for (uint32_t i = 0; i < targets->count; i++)
        if (syntax_equal(targets->items[i].syntax, group) && !is_taken(g, targets->items[i].name))
            return targets->items[i].name;
    const char *name = syntax_name(group);
    return free_name(g, name != NULL ? name : "group");
}

static int add_group(struct grouping *g, struct syntax *group, const struct target_list *targets)
{
    struct named_columns columns = {g->scope->names, g->scope->types, g->scope->row_count};
    struct scope input = named_columns_scope(&columns);
    struct expr *expr;
    uint32_t n = g->named.count;
    for (uint32_t i = 0; i < n; i++)
        if (syntax_equal(g->groups[i], group))
            return 0;
    const struct syntax *aggregate = syntax_find_aggregate(group);
    if (aggregate != NULL)
        return source_error(&g->file->source, ERR_INVALID, aggregate->at, NULL,
                            "aggregates are not allowed in GROUP BY");
    const char *name = group_name(g, group, targets);
    if (name == NULL)
        return ERR_NOMEM;
    TRY(expr_of_syntax(group, false, &g->file->source, &input, &expr));
    g->types[n] = expr_type(expr);
    expr_destroy(expr);
    g->groups[n] = group;
    g->named.items[n] = (struct target){.syntax = group, .name = name, .at = group->at};
    g->named.count++;
    return 0;
}

static int read_groups(struct grouping *g, const struct select *select,
                       const struct target_list *targets)
{
    struct arena *arena = arena_of(g);
    g->groups = arena_zalloc(arena, (select->group_count + 1) * sizeof(struct syntax *));
    g->named.items = arena_zalloc(arena, (select->group_count + 1) * sizeof *g->named.items);
    g->types = arena_zalloc(arena, (select->group_count + 1) * sizeof *g->types);
    g->calls.items = arena_zalloc(arena, CALLS_MAX * sizeof *g->calls.items);
    if (g->groups == NULL || g->named.items == NULL || g->types == NULL || g->calls.items == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < select->group_count; i++) {
        struct syntax *group;
        TRY(find_output(g, select->groups[i], targets, &group));
        TRY(scope_resolve(g->scope, group));
        if (is_window_bound(g, group))
            g->has_window_bounds = true;
        else
            TRY(add_group(g, group, targets));
    }
    if (g->scope->is_windowed && !g->has_window_bounds)
        return source_error(&g->file->source, ERR_INVALID, select->from.at,
                            "GROUP BY …, window_start, window_end",
                            "rows in windows are grouped by their windows");
    if (g->named.count > 0)
        return 0;
    /* All rows, or all of a window: one group, of a value that is always the same. */
    struct syntax *all = arena_zalloc(arena, sizeof *all);
    if (all == NULL)
        return ERR_NOMEM;
    *all = (struct syntax){.kind = SYNTAX_BOOLEAN, .at = select->at, .truth = true};
    g->groups[0] = all;
    g->types[0] = COL_BOOLEAN;
    g->named.items[0] = (struct target){.syntax = all, .name = "everything", .at = select->at};
    g->named.count = 1;
    return 0;
}

/* ---- the select list ---- */

/* Replaces what is grouped by with the group's name. */
static int replace_groups(const struct grouping *g, struct syntax **place)
{
    struct syntax *syntax = *place;
    if (syntax == NULL)
        return 0;
    for (uint32_t i = 0; i < g->named.count; i++)
        if (syntax->kind != SYNTAX_BOOLEAN && syntax_equal(syntax, g->groups[i])) {
            *place = syntax_column(arena_of(g), g->named.items[i].name, syntax->at);
            return *place != NULL ? 0 : ERR_NOMEM;
        }
    if ((syntax->kind == SYNTAX_CALL && is_aggregate_name(syntax->text)) ||
        is_window_bound(g, syntax))
        return 0;
    if (syntax->kind == SYNTAX_COLUMN)
        return source_error(&g->file->source, ERR_INVALID, syntax->at,
                            "group by it, or write min(…) or max(…) around it",
                            "column \"%s\" is not grouped by and not inside an aggregate",
                            syntax->path.parts[0]);
    for (uint32_t i = 0; i < syntax->arg_count; i++)
        TRY(replace_groups(g, &syntax->args[i]));
    return 0;
}

static int add_call(struct grouping *g, struct syntax *call, const char *wanted)
{
    for (uint32_t i = 0; i < g->calls.count; i++)
        if (syntax_equal(g->calls.items[i].syntax, call))
            return 0;
    if (g->calls.count == CALLS_MAX)
        return source_error(&g->file->source, ERR_TOO_LARGE, call->at, NULL,
                            "more than %d aggregates in one SELECT", CALLS_MAX);
    const char *name = free_name(g, wanted);
    struct syntax *copy = syntax_copy(arena_of(g), call);
    if (name == NULL || copy == NULL)
        return ERR_NOMEM;
    g->calls.items[g->calls.count++] =
        (struct target){.syntax = copy, .name = name, .at = call->at};
    return 0;
}

static int collect_calls(struct grouping *g, struct syntax *syntax)
{
    if (syntax == NULL)
        return 0;
    if (syntax->kind == SYNTAX_CALL && is_aggregate_name(syntax->text))
        return add_call(g, syntax, syntax->text);
    for (uint32_t i = 0; i < syntax->arg_count; i++)
        TRY(collect_calls(g, syntax->args[i]));
    return 0;
}

/* Replaces calls with their names. */
static int replace_calls(const struct grouping *g, struct syntax **place)
{
    struct syntax *syntax = *place;
    if (syntax == NULL)
        return 0;
    for (uint32_t i = 0; i < g->calls.count; i++)
        if (syntax_equal(syntax, g->calls.items[i].syntax)) {
            *place = syntax_column(arena_of(g), g->calls.items[i].name, syntax->at);
            return *place != NULL ? 0 : ERR_NOMEM;
        }
    for (uint32_t i = 0; i < syntax->arg_count; i++)
        TRY(replace_calls(g, &syntax->args[i]));
    return 0;
}

/* ---- types ---- */

static int copy_targets(const struct grouping *g, const struct target_list *from,
                        struct target_list *to)
{
    to->items = arena_alloc(arena_of(g), (from->count + 1) * sizeof *to->items);
    to->count = from->count;
    if (to->items == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < from->count; i++) {
        to->items[i] = from->items[i];
        to->items[i].syntax = syntax_copy(arena_of(g), from->items[i].syntax);
        if (to->items[i].syntax == NULL)
            return ERR_NOMEM;
    }
    return 0;
}

/* Compiles a list over results as the engine will, for its types. *list is the caller's. */
static int compile_results(const struct grouping *g, const struct target_list *targets,
                           struct agg_list **list)
{
    struct named_columns columns = {g->scope->names, g->scope->types, g->scope->row_count};
    struct scope input = named_columns_scope(&columns);
    const char **names = arena_alloc(arena_of(g), (g->named.count + 1) * sizeof *names);
    struct target_list copy;
    if (names == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < g->named.count; i++)
        names[i] = g->named.items[i].name;
    struct named_columns groups = {names, g->types, g->named.count};
    TRY(copy_targets(g, targets, &copy));
    return agg_list_of_targets(&copy, arena_of(g), &g->file->source, &input, &groups,
                               g->scope->is_windowed, list);
}

/* Rows of a table change: what one brought must be there to be taken back. */
static int check_net(const struct grouping *g, struct target *target)
{
    struct target_list targets = {target, 1};
    struct agg_list *list;
    struct agg_plan *plan = NULL;
    struct diag diag = {.code = 0};
    if (g->scope->relation->key_count == 0 || target->syntax == NULL)
        return 0;
    const struct syntax *call = syntax_find_aggregate(target->syntax);
    TRY(compile_results(g, &targets, &list));
    int rc = agg_plan_create_net(list->calls, list->call_count, &plan, &diag);
    agg_list_destroy(list);
    if (rc == ERR_UNSUPPORTED)
        return source_error(&g->file->source, rc, call != NULL ? call->at : target->at, NULL, "%s",
                            diag.text);
    if (rc == 0)
        agg_plan_destroy(plan);
    return rc;
}

static int check_having(const struct grouping *g, struct syntax *having)
{
    struct target target = {.syntax = having, .name = "having", .at = having->at};
    struct target_list targets = {&target, 1};
    struct agg_list *list;
    TRY(compile_results(g, &targets, &list));
    enum col_type type = expr_type(list->outputs[0]);
    agg_list_destroy(list);
    if (type != COL_BOOLEAN)
        return source_error(&g->file->source, ERR_INVALID, having->at, NULL,
                            "HAVING must be boolean, not %s", col_type_name(type));
    return 0;
}

static int set_columns(const struct grouping *g, const struct target_list *targets,
                       struct relation *out)
{
    struct agg_list *list;
    out->columns = arena_zalloc(arena_of(g), (targets->count + 1) * sizeof *out->columns);
    if (out->columns == NULL)
        return ERR_NOMEM;
    TRY(compile_results(g, targets, &list));
    out->time_column = -1;
    for (uint32_t i = 0; i < targets->count; i++) {
        enum col_type type = expr_type(list->outputs[i]);
        const struct syntax *syntax = targets->items[i].syntax;
        out->columns[i] = (struct relation_column){
            .name = targets->items[i].name,
            .type = type,
            .type_name = syntax->kind == SYNTAX_CAST ? syntax->type.name : col_type_name(type)};
        if (out->time_column < 0 && is_window_bound(g, syntax) &&
            strcmp(syntax->path.parts[0], "window_start") == 0)
            out->time_column = (int32_t)i;
    }
    out->column_count = targets->count;
    agg_list_destroy(list);
    return 0;
}

/* The columns in which the results' record keys can be found again: those are made of the groups, and of the window's start. */
static int find_result_key(const struct grouping *g, const struct target_list *targets,
                           struct relation *out)
{
    uint32_t count = g->named.count + g->scope->is_windowed;
    struct target_list key = {.items = arena_zalloc(arena_of(g), (count + 1) * sizeof *key.items)};
    if (key.items == NULL)
        return ERR_NOMEM;
    for (uint32_t k = 0; k < count; k++) {
        const char *name = k < g->named.count ? g->named.items[k].name : "window_start";
        uint32_t i = 0;
        while (i < targets->count && (targets->items[i].syntax->kind != SYNTAX_COLUMN ||
                                      strcmp(targets->items[i].syntax->path.parts[0], name) != 0))
            i++;
        if (i == targets->count)
            return 0;
        key.items[key.count] =
            (struct target){syntax_column(arena_of(g), targets->items[i].name, -1), name, -1};
        if (key.items[key.count++].syntax == NULL)
            return ERR_NOMEM;
    }
    out->result_key = key;
    return 0;
}

/* What the engine has no form of in a session, whose cells are counted apart until they meet. */
static int check_session(const struct grouping *g, const struct from_item *from)
{
    for (uint32_t i = 0; from->window == CALL_SESSION && i < g->calls.count; i++)
        if (g->calls.items[i].syntax->distinct)
            return source_error(&g->file->source, ERR_UNSUPPORTED, g->calls.items[i].syntax->at,
                                "tumble and hop have it",
                                "count(DISTINCT …) over sessions is not supported");
    return 0;
}

/* ---- steps ---- */

static int add_window(const struct grouping *g, const struct from_item *from, struct relation *out)
{
    static const enum step_kind kinds[] = {
        [CALL_TUMBLE] = STEP_TUMBLE, [CALL_HOP] = STEP_HOP, [CALL_SESSION] = STEP_SESSION};
    struct step *step;
    if (from->window == CALL_NONE)
        return 0;
    TRY(add_step(g->file, out, kinds[from->window], "", &step));
    step->size_ms = from->size_ms;
    step->hop_ms = from->hop_ms;
    return 0;
}

/* What the engine gives by itself: groups, window bounds, calls. */
static bool is_natural(const struct grouping *g, const struct target_list *targets)
{
    uint32_t bounds = g->scope->is_windowed ? 2 : 0, at = 0;
    if (targets->count != g->named.count + bounds + g->calls.count)
        return false;
    for (uint32_t i = 0; i < targets->count; i++) {
        const char *name = i < g->named.count                  ? g->named.items[i].name
                           : i == g->named.count && bounds     ? "window_start"
                           : i == g->named.count + 1 && bounds ? "window_end"
                                                               : g->calls.items[at++].name;
        const struct syntax *syntax = targets->items[i].syntax;
        if (syntax->kind != SYNTAX_COLUMN || strcmp(syntax->path.parts[0], name) != 0 ||
            strcmp(targets->items[i].name, name) != 0)
            return false;
    }
    return true;
}

static int add_aggregate(struct grouping *g, struct relation *out)
{
    if (g->calls.count == 0) { /* GROUP BY alone: which groups there are */
        struct syntax *count = arena_zalloc(arena_of(g), sizeof *count);
        if (count == NULL)
            return ERR_NOMEM;
        *count = (struct syntax){.kind = SYNTAX_CALL, .at = -1, .text = "count", .star = true};
        TRY(add_call(g, count, "rows"));
    }
    return add_step(g->file, out, STEP_AGGREGATE, text_of_targets(arena_of(g), &g->calls), NULL);
}

int plan_grouped(struct compile_file *file, const struct select *select, struct select_scope *scope,
                 const struct target_list *targets, struct relation *out)
{
    struct grouping g = {.file = file, .scope = scope};
    struct syntax *having = select->having;
    struct arena *arena = arena_of(&g);
    if (having != NULL)
        TRY(scope_resolve(scope, having));
    TRY(read_groups(&g, select, targets));
    for (uint32_t i = 0; i < targets->count; i++)
        TRY(replace_groups(&g, &targets->items[i].syntax));
    TRY(replace_groups(&g, &having));
    for (uint32_t i = 0; i < targets->count; i++)
        TRY(check_net(&g, &targets->items[i]));
    TRY(check_net(&g, &(struct target){.syntax = having, .name = "having", .at = -1}));
    TRY(set_columns(&g, targets, out));
    TRY(find_result_key(&g, targets, out));
    if (having != NULL)
        TRY(check_having(&g, having));
    for (uint32_t i = 0; i < targets->count; i++) {
        struct syntax *syntax = targets->items[i].syntax;
        if (syntax->kind == SYNTAX_CALL && is_aggregate_name(syntax->text))
            TRY(add_call(&g, syntax, targets->items[i].name));
    }
    for (uint32_t i = 0; i < targets->count; i++)
        TRY(collect_calls(&g, targets->items[i].syntax));
    TRY(collect_calls(&g, having));
    TRY(check_session(&g, &select->from));

    out->is_grouped = true;
    TRY(add_step(file, out, STEP_GROUP, text_of_targets(arena, &g.named), NULL));
    TRY(add_window(&g, &select->from, out));
    TRY(add_aggregate(&g, out));
    if (having != NULL) {
        TRY(replace_calls(&g, &having));
        TRY(add_step(file, out, STEP_FILTER, text_of_syntax(arena, having), NULL));
    }
    for (uint32_t i = 0; i < targets->count; i++)
        TRY(replace_calls(&g, &targets->items[i].syntax));
    return is_natural(&g, targets)
               ? 0
               : add_step(file, out, STEP_MAP, text_of_targets(arena, targets), NULL);
}
