/* agg_list.c: select lists with aggregates.
 *
 * The list is taken apart before anything is bound. Each distinct call of an aggregate becomes one
 * agg_call, its argument and FILTER compiled against the input; in the tree a reference to the
 * call's number takes its place. What is left is an expression over one result row: group columns,
 * window_start and window_end, call results. So `sum(x) / count(*)` costs two accumulators and one
 * division per emitted row, and count(*) written three times is counted once. */
#include "operators/expr_internal.h"

#include <stdio.h>
#include <stdlib.h>

enum { CALLS_MAX = 256 };

struct builder {
    struct source source;
    const struct scope *input;
    struct agg_list *list;
    struct syntax *calls[CALLS_MAX]; /* as written, before they were replaced */
};

/* ---- Collecting calls ---- */

const struct syntax *syntax_find_aggregate(const struct syntax *syntax)
{
    if (syntax == NULL)
        return NULL;
    if (syntax->kind == SYNTAX_CALL && is_aggregate_name(syntax->text))
        return syntax;
    for (uint32_t i = 0; i < syntax->arg_count; i++) {
        const struct syntax *found = syntax_find_aggregate(syntax->args[i]);
        if (found != NULL)
            return found;
    }
    return NULL;
}

static int check_aggregate(struct builder *builder, const struct syntax *call)
{
    const struct source *source = &builder->source;
    if (call->distinct && strcmp(call->text, "count") != 0)
        return source_error(source, ERR_UNSUPPORTED, call->at, "count(DISTINCT …) is",
                            "DISTINCT inside %s is not supported", call->text);
    if (call->star && strcmp(call->text, "count") != 0)
        return source_error(source, ERR_INVALID, call->at, "name a column", "%s(*) does not exist",
                            call->text);
    if (!call->star && call->arg_count != 1)
        return source_error(source, ERR_INVALID, call->at,
                            strcmp(call->text, "count") == 0 ? "count(*) counts rows" : NULL,
                            "%s takes one argument", call->text);
    const struct syntax *nested = call->star ? NULL : syntax_find_aggregate(call->args[0]);
    if (nested == NULL)
        nested = syntax_find_aggregate(call->filter);
    if (nested != NULL)
        return source_error(source, ERR_INVALID, nested->at,
                            "aggregate in one view, and again in the next",
                            "aggregates cannot be nested");
    return 0;
}

static int choose_function(struct builder *builder, const struct syntax *call, struct agg_call *agg)
{
    enum col_type type = agg->argument_type;
    bool numeric =
        type == COL_BIGINT || type == COL_NUMERIC || type == COL_DOUBLE || type == COL_VARIANT;
    const char *hint = NULL;
    if (strcmp(call->text, "count") == 0) {
        agg->func = call->star ? AGG_COUNT_STAR : call->distinct ? AGG_COUNT_DISTINCT : AGG_COUNT;
        agg->result_type = COL_BIGINT;
        return 0;
    }
    bool sum = strcmp(call->text, "sum") == 0, avg = strcmp(call->text, "avg") == 0;
    if (sum || avg) {
        agg->func = sum ? AGG_SUM : AGG_AVG;
        agg->result_type = type == COL_DOUBLE ? COL_DOUBLE : COL_NUMERIC;
        if (numeric)
            return 0;
        hint = type == COL_TEXT ? "write a cast, as in amount::numeric" : NULL;
    } else if (strcmp(call->text, "first") == 0 || strcmp(call->text, "last") == 0) {
        agg->func = call->text[0] == 'f' ? AGG_FIRST : AGG_LAST;
        agg->result_type = type;
        return 0;
    } else {
        agg->func = strcmp(call->text, "min") == 0 ? AGG_MIN : AGG_MAX;
        agg->result_type = type;
        if (type != COL_BOOLEAN && type != COL_BYTEA)
            return 0;
        hint = type == COL_BOOLEAN ? "count(*) FILTER (WHERE …) counts the rows where it is true"
                                   : "write encode(value, 'hex'), whose order is that of the bytes";
    }
    return source_error(&builder->source, ERR_INVALID, call->at, hint, "%s does not take %s",
                        call->text, col_type_name(type));
}

static bool may_fail(const struct syntax *argument)
{
    return argument->kind != SYNTAX_COLUMN && argument->kind != SYNTAX_NULL &&
           argument->kind != SYNTAX_BOOLEAN && argument->kind != SYNTAX_NUMBER &&
           argument->kind != SYNTAX_STRING;
}

/* As in PostgreSQL, only rows that pass the FILTER have their argument computed, so that one may guard
 * the other: sum(a / b) FILTER (WHERE b <> 0). CASE says just that, and no aggregate counts NULLs. */
static int bind_argument(struct binder *binder, const struct syntax *call, struct expr **argument)
{
    struct syntax *parts[] = {NULL, call->filter, call->args[0], NULL};
    struct syntax guarded = {
        .kind = SYNTAX_CASE, .at = call->args[0]->at, .args = parts, .arg_count = 4};
    bool is_guarded = call->filter != NULL && may_fail(call->args[0]);
    return bind_expr(binder, is_guarded ? &guarded : call->args[0], false, argument);
}

static int add_call(struct builder *builder, const struct syntax *call, uint32_t index)
{
    struct agg_list *list = builder->list;
    struct agg_call *agg = &list->calls[index];
    struct binder binder = {.source = builder->source, .scope = builder->input};
    builder->calls[index] = NULL;
    list->call_count = index + 1;
    if (!call->star) {
        TRY(bind_argument(&binder, call, &agg->argument));
        agg->argument_type = expr_type(agg->argument);
    }
    if (call->filter != NULL)
        TRY(bind_expr(&binder, call->filter, true, &agg->filter));
    return choose_function(builder, call, agg);
}

static int replace_call(struct builder *builder, struct arena *arena, struct syntax *call)
{
    uint32_t index = 0, count = builder->list->call_count;
    TRY(check_aggregate(builder, call));
    while (index < count && !syntax_equal(builder->calls[index], call))
        index++;
    if (index == CALLS_MAX)
        return source_error(&builder->source, ERR_TOO_LARGE, call->at, NULL,
                            "more than %d aggregates in one list", CALLS_MAX);
    if (index == count) {
        struct syntax *original = arena_alloc(arena, sizeof *original);
        if (original == NULL)
            return ERR_NOMEM;
        *original = *call;
        TRY(add_call(builder, call, index));
        builder->calls[index] = original;
    }
    call->kind = SYNTAX_AGGREGATE;
    call->index = index;
    call->arg_count = 0;
    call->filter = NULL;
    call->star = false;
    return 0;
}

static int replace_calls(struct builder *builder, struct arena *arena, struct syntax *syntax)
{
    if (syntax == NULL)
        return 0;
    if (syntax->kind == SYNTAX_CALL && is_aggregate_name(syntax->text))
        return replace_call(builder, arena, syntax);
    for (uint32_t i = 0; i < syntax->arg_count; i++)
        TRY(replace_calls(builder, arena, syntax->args[i]));
    return replace_calls(builder, arena, syntax->filter);
}

/* ---- Outputs ---- */

struct output_scope {
    const struct named_columns *groups;
    bool windowed;
};

static int output_resolve(void *context, const struct field_path *path, enum col_type *type,
                          struct diag *diag)
{
    const struct output_scope *scope = context;
    const struct named_columns *groups = scope->groups;
    char name[512];
    path_print(path, name, sizeof name);
    for (uint32_t i = 0; i < groups->count; i++) {
        if (strcmp(groups->names[i], name) == 0) {
            *type = groups->types[i];
            return (int)i;
        }
    }
    *type = COL_TIMESTAMPTZ;
    if (scope->windowed && strcmp(name, "window_start") == 0)
        return (int)groups->count;
    if (scope->windowed && strcmp(name, "window_end") == 0)
        return (int)groups->count + 1;
    const char *close = closest_name(name, groups->names, groups->count);
    if (close != NULL)
        return diag_set(diag, ERR_NOT_FOUND,
                        "column \"%.200s\" is not grouped by and not inside an aggregate\n"
                        "hint: did you mean \"%.200s\"?",
                        name, close);
    return diag_set(diag, ERR_NOT_FOUND,
                    "column \"%.200s\" is not grouped by and not inside an aggregate%s", name,
                    strncmp(name, "window_", 7) == 0
                        ? "\nhint: window_start and window_end exist when rows are windowed"
                        : "\nhint: group by it, or write min(…) or max(…) around it");
}

static int build_outputs(struct builder *builder, const struct target_list *targets,
                         const struct named_columns *groups, bool windowed)
{
    struct agg_list *list = builder->list;
    struct output_scope context = {groups, windowed};
    struct scope scope = {.resolve = output_resolve, .context = &context};
    struct binder binder = {.source = builder->source,
                            .scope = &scope,
                            .calls = list->calls,
                            .first_call_column = groups->count + (windowed ? 2 : 0)};
    for (uint32_t i = 0; i < targets->count; i++)
        TRY(bind_expr(&binder, targets->items[i].syntax, false, &list->outputs[i]));
    return target_names(targets, &builder->source, list->names);
}

static int build(struct builder *builder, struct arena *arena, const struct target_list *targets,
                 const struct named_columns *groups, bool windowed)
{
    struct agg_list *list = builder->list;
    list->calls = calloc(CALLS_MAX, sizeof *list->calls);
    list->outputs = calloc(targets->count, sizeof(struct expr *));
    list->names = calloc(targets->count, sizeof(char *));
    list->output_count = targets->count;
    if (list->calls == NULL || list->outputs == NULL || list->names == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < targets->count; i++)
        TRY(replace_calls(builder, arena, targets->items[i].syntax));
    return build_outputs(builder, targets, groups, windowed);
}

static int compile_targets(const struct target_list *targets, struct arena *arena,
                           const struct source *source, const struct scope *input,
                           const struct named_columns *groups, bool windowed, struct agg_list **out)
{
    static const struct named_columns none = {0};
    struct builder *builder = calloc(1, sizeof *builder);
    struct agg_list *list = calloc(1, sizeof *list);
    int rc = ERR_NOMEM;
    if (builder != NULL && list != NULL) {
        *builder = (struct builder){.source = *source, .input = input, .list = list};
        rc = build(builder, arena, targets, groups != NULL ? groups : &none, windowed);
    }
    free(builder);
    if (rc == 0)
        *out = list;
    else
        agg_list_destroy(list);
    return rc;
}

int agg_list_of_targets(const struct target_list *targets, struct arena *arena,
                        const struct source *source, const struct scope *input,
                        const struct named_columns *group_columns, bool windowed,
                        struct agg_list **out)
{
    *out = NULL;
    int rc = compile_targets(targets, arena, source, input, group_columns, windowed, out);
    if (rc == ERR_NOMEM)
        diag_set(source->diag, ERR_NOMEM, "no memory to compile an expression");
    return rc;
}

int expr_parse_aggregates(const char *sql, const struct scope *input,
                          const struct named_columns *group_columns, bool windowed,
                          struct agg_list **out, struct diag *diag)
{
    struct arena arena;
    struct target_list targets;
    struct source source = {sql, diag};
    *out = NULL;
    arena_init(&arena, 0);
    int rc = syntax_parse(sql, &arena, &targets, diag);
    if (rc == 0)
        rc = agg_list_of_targets(&targets, &arena, &source, input, group_columns, windowed, out);
    arena_deinit(&arena);
    return rc;
}

void agg_list_destroy(struct agg_list *list)
{
    if (list == NULL)
        return;
    for (uint32_t i = 0; i < list->call_count; i++) {
        expr_destroy(list->calls[i].argument);
        expr_destroy(list->calls[i].filter);
    }
    for (uint32_t i = 0; i < list->output_count; i++) {
        if (list->outputs != NULL)
            expr_destroy(list->outputs[i]);
        if (list->names != NULL)
            free(list->names[i]);
    }
    free(list->calls);
    free(list->outputs);
    free(list->names);
    free(list);
}
