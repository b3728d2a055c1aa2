/* expr.c: the public face of expressions: compile, evaluate, filter, destroy.
 *
 * An expression owns one arena that holds its nodes, literals and names; compiling fills it,
 * destroying frees it, and nothing writes to it in between. What one evaluation needs lives in the
 * batch's arena.
 *
 * A row may fail in several places of one expression (1/x + 1/x). It is rejected once, with the
 * first failure, and its result is NULL whatever the rest made of it. Rejects of one evaluation are
 * put in row order, so that a batch cut into single rows gives the same list as the whole one. */
#include "operators/expr_internal.h"

#include "operators/expr_nodes.h"

#include <stdio.h>
#include <stdlib.h>

struct expr *expr_new(void)
{
    struct expr *expr = calloc(1, sizeof *expr);
    if (expr != NULL)
        arena_init(&expr->arena, 0);
    return expr;
}

void expr_destroy(struct expr *expr)
{
    if (expr == NULL)
        return;
    regex_list_destroy(expr->regexes);
    arena_deinit(&expr->arena);
    free(expr);
}

enum col_type expr_type(const struct expr *expr)
{
    return expr->type;
}

/* ---- Compilation ---- */

static int compile_condition(const struct target_list *targets, const char *sql,
                             const struct scope *scope, struct expr **expr, struct diag *diag)
{
    struct binder binder = {.source = {sql, diag}, .scope = scope};
    if (targets->count != 1)
        return source_error(&binder.source, ERR_INVALID, targets->items[1].at,
                            "join conditions with AND", "one condition is expected, not a list");
    if (targets->items[0].name != NULL)
        return source_error(&binder.source, ERR_INVALID, targets->items[0].at, NULL,
                            "a condition has no name (\"%s\")", targets->items[0].name);
    return bind_expr(&binder, targets->items[0].syntax, true, expr);
}

int expr_of_syntax(const struct syntax *syntax, bool condition, const struct source *source,
                   const struct scope *scope, struct expr **expr)
{
    struct binder binder = {.source = *source, .scope = scope};
    *expr = NULL;
    return bind_expr(&binder, syntax, condition, expr);
}

int expr_parse_condition(const char *sql, const struct scope *scope, struct expr **expr,
                         struct diag *diag)
{
    struct arena arena;
    struct target_list targets;
    *expr = NULL;
    arena_init(&arena, 0);
    int rc = syntax_parse(sql, &arena, &targets, diag);
    if (rc == 0)
        rc = compile_condition(&targets, sql, scope, expr, diag);
    arena_deinit(&arena);
    return rc;
}

int target_names(const struct target_list *targets, const struct source *source, char **names)
{
    for (uint32_t i = 0; i < targets->count; i++) {
        const struct target *target = &targets->items[i];
        const char *name = target->name != NULL ? target->name : syntax_name(target->syntax);
        if (name == NULL)
            return source_error(source, ERR_INVALID, target->at, "give it a name with AS",
                                "this expression has no name");
        for (uint32_t k = 0; k < i; k++) {
            if (strcmp(names[k], name) == 0)
                return source_error(source, ERR_EXISTS, target->at,
                                    "give one of them another name with AS",
                                    "two columns are named \"%s\"", name);
        }
        names[i] = strdup(name);
        if (names[i] == NULL)
            return ERR_NOMEM;
    }
    return 0;
}

static int compile_list(const struct target_list *targets, const char *sql,
                        const struct scope *scope, struct expr_list *list, struct diag *diag)
{
    struct binder binder = {.source = {sql, diag}, .scope = scope};
    list->exprs = calloc(targets->count, sizeof(struct expr *));
    list->names = calloc(targets->count, sizeof(char *));
    list->count = targets->count;
    if (list->exprs == NULL || list->names == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < targets->count; i++)
        TRY(bind_expr(&binder, targets->items[i].syntax, false, &list->exprs[i]));
    return target_names(targets, &binder.source, list->names);
}

int expr_parse_list(const char *sql, const struct scope *scope, struct expr_list **out,
                    struct diag *diag)
{
    struct arena arena;
    struct target_list targets;
    struct expr_list *list = calloc(1, sizeof *list);
    *out = NULL;
    if (list == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory to compile an expression");
    arena_init(&arena, 0);
    int rc = syntax_parse(sql, &arena, &targets, diag);
    if (rc == 0)
        rc = compile_list(&targets, sql, scope, list, diag);
    arena_deinit(&arena);
    if (rc == 0)
        *out = list;
    else
        expr_list_destroy(list);
    return rc;
}

void expr_list_destroy(struct expr_list *list)
{
    if (list == NULL)
        return;
    for (uint32_t i = 0; i < list->count; i++) {
        if (list->exprs != NULL)
            expr_destroy(list->exprs[i]);
        if (list->names != NULL)
            free(list->names[i]);
    }
    free(list->exprs);
    free(list->names);
    free(list);
}

/* ---- Evaluation ---- */

static int compare_rejects(const void *a, const void *b)
{
    const struct reject *x = a, *y = b;
    return x->row < y->row ? -1 : x->row > y->row;
}

/* Makes the failed rows NULL in a column that may be shared: they get a copy. */
static int clear_failed(struct eval *eval, struct column *out)
{
    struct column own;
    TRY(eval_alloc(eval, &own, (uint8_t)out->type, out->type != COL_VARIANT));
    eval_copy_rows(eval, &own, out);
    for (uint32_t i = 0; i < eval->count; i++) {
        uint32_t row = row_at(eval->rows, i);
        if (eval->run->failed[row])
            column_set_null(&own, row);
    }
    *out = own;
    return 0;
}

static int evaluate(const struct expr *expr, struct eval *eval, struct column *out)
{
    struct reject_list *rejects = eval->run->rejects;
    uint32_t first = rejects->count;
    TRY(node_run(expr->root, eval, out));
    if (eval->run->failed == NULL)
        return 0;
    if (rejects->count - first > 1)
        qsort(rejects->items + first, rejects->count - first, sizeof *rejects->items,
              compare_rejects);
    return clear_failed(eval, out);
}

int expr_eval(const struct expr *expr, const struct batch *batch, struct column *out,
              struct reject_list *rejects)
{
    struct eval_run run = {.batch = batch, .arena = batch->arena, .rejects = rejects};
    struct eval eval = {&run, batch->selection, batch->selected_count};
    return evaluate(expr, &eval, out);
}

/* A JSON value as a condition: true passes, false and null do not, anything else is rejected. */
static int filter_variants(struct eval *eval, const struct column *column, uint16_t *selection,
                           uint32_t *count)
{
    char what[80];
    for (uint32_t i = 0; i < eval->count; i++) {
        uint32_t row = row_at(eval->rows, i);
        const struct variant *value = &column->variant[column_at(column, row)];
        if (value->kind == VARIANT_TRUE)
            selection[(*count)++] = (uint16_t)row;
        else if (value->kind > VARIANT_TRUE)
            TRY(reject_add(eval->run->rejects, row, "type_mismatch",
                           "a condition must be boolean, not %s", variant_describe(value, what)));
    }
    return 0;
}

static void filter_booleans(const struct eval *eval, const struct column *column,
                            uint16_t *selection, uint32_t *count)
{
    const uint16_t *rows = eval->rows;
    const uint8_t *values = column->boolean, *nulls = column->nulls;
    bool constant = column->constant;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < eval->count; i++) {
        uint32_t row = row_at(rows, i), at = value_at(constant, row);
        bool pass = (values[at] != 0) & (nulls == NULL || !nulls[at]);
        selection[kept] = (uint16_t)row;
        kept += pass;
    }
    *count = kept;
}

int expr_filter(const struct expr *expr, const struct batch *batch, uint16_t *selection,
                uint32_t *count, struct reject_list *rejects)
{
    struct eval_run run = {.batch = batch, .arena = batch->arena, .rejects = rejects};
    struct eval eval = {&run, batch->selection, batch->selected_count};
    struct column column;
    *count = 0;
    must(expr->type == COL_BOOLEAN || expr->type == COL_VARIANT);
    TRY(evaluate(expr, &eval, &column));
    if (expr->type == COL_VARIANT)
        return filter_variants(&eval, &column, selection, count);
    filter_booleans(&eval, &column, selection, count);
    return 0;
}

/* ---- Inspection ---- */

static void node_uses(const struct node *node, bool *used, uint32_t count)
{
    if (node == NULL)
        return;
    if (node->eval == eval_column && node->column < count)
        used[node->column] = true;
    for (uint32_t i = 0; i < node->arg_count; i++)
        node_uses(node->args[i], used, count);
}

void expr_uses(const struct expr *expr, bool *used, uint32_t count)
{
    node_uses(expr->root, used, count);
}

bool expr_is_cast_of_column(const struct expr *expr, enum col_type type, uint32_t *index)
{
    const struct node *node = expr->root;
    if (expr->type != type)
        return false;
    if (node->explicit_cast && node->arg_count == 1)
        node = node->args[0];
    *index = node->column;
    return node->eval == eval_column;
}

bool expr_is_column(const struct expr *expr, uint32_t *index)
{
    if (expr->root->eval != eval_column)
        return false;
    *index = expr->root->column;
    return true;
}
