/* plan_join.c: compiles joins and the tables that they take (see plan.h).
 *
 * A table has a chain of its own, from its source to the join, which is compiled as that of a view:
 * the same formats, scopes and steps. One of its operators is keyed (weir_latest): what stands before it
 * decides which rows count, what stands behind it what the table shows. The columns that the join
 * asks for are an expression list over what the chain gives, so that a table keeps these and
 * nothing else.
 *
 * The key is compared by value: an expression of the stream and the table's key column must have one
 * type, or one of them is an uncast JSON value. */
#include <stdlib.h>
#include <string.h>

#include "runtime/plan_compile.h"

static int compile_steps(struct compile *c, struct table *table, const struct weir_stream *join)
{
    struct weir_stream *chain[COMPILE_CHAIN_MAX];
    uint32_t count;
    if (compile_chain_of(join->table, chain, &count) < 0)
        return diag_set(c->diag, ERR_TOO_LARGE, "stream to %s: a table of more than %d steps",
                        c->view->sink->topic, PLAN_MAX_OPS);
    table->rows.source = chain[0];
    TRY(compile_source(c));
    for (uint32_t i = 1; i < count; i++)
        TRY(compile_row_step(c, chain[i]));
    TRY(compile_in_context(c->diag,
                           expr_parse_list(join->extra, &c->scope, &table->columns, c->diag),
                           c->view, "weir_join"));
    table->types = calloc(table->columns->count + 1, sizeof *table->types);
    if (table->types == NULL)
        return compile_no_memory(c->diag);
    for (uint32_t i = 0; i < table->columns->count; i++)
        table->types[i] = expr_type(table->columns->exprs[i]);
    table->by_event_time = table->rows.source->extra != NULL;
    return 0;
}

static int add_table(struct compile *c, const struct weir_stream *node, struct table **result)
{
    struct view *view = c->view;
    if (view->table_count == VIEW_TABLES_MAX)
        return diag_set(c->diag, ERR_TOO_LARGE, "stream to %s: more than %d joins",
                        view->sink->topic, VIEW_TABLES_MAX);
    struct table *table = calloc(1, sizeof *table);
    if (table == NULL)
        return compile_no_memory(c->diag);
    view->tables[view->table_count++] = *result = table;
    table->rows.sink = view->sink;
    table->rows.lead = &table->rows;
    table->rows.arm_count = 1;
    table->rows.upstream = -1;
    struct compile own = {.view = &table->rows, .diag = c->diag};
    int rc = compile_steps(&own, table, node);
    compile_columns_destroy(&own);
    return rc;
}

static int compare_key(struct compile *c, const struct expr_list *on, const struct table *table)
{
    const struct keyed_params *keyed = table->rows.keyed;
    if (on->count != keyed->key->count)
        return diag_set(c->diag, ERR_INVALID,
                        "stream to %s: weir_join: the key of table %s has %u columns, and %u are "
                        "compared with it",
                        c->view->sink->topic, table->rows.source->text, keyed->key->count,
                        on->count);
    for (uint32_t i = 0; i < on->count; i++) {
        enum col_type ours = expr_type(on->exprs[i]), its = expr_type(keyed->key->exprs[i]);
        bool are_numbers = (ours == COL_BIGINT || ours == COL_NUMERIC) &&
                           (its == COL_BIGINT || its == COL_NUMERIC);
        if (ours == its || ours == COL_VARIANT || its == COL_VARIANT || are_numbers)
            continue;
        return diag_set(c->diag, ERR_INVALID,
                        "stream to %s: weir_join: \"%s\" of table %s is %s, and what is compared "
                        "with it is %s: cast one of them",
                        c->view->sink->topic, keyed->key->names[i], table->rows.source->text,
                        col_type_name(its), col_type_name(ours));
    }
    return 0;
}

/* A table that is read by partition: rows meet it by the bytes of one text. */
static int compile_places(struct compile *c, struct join_params *params, struct table *table)
{
    struct keyed_params *keyed = table->rows.keyed;
    enum col_type type = expr_type(keyed->key->exprs[0]);
    if (keyed->key->count != 1 || (type != COL_TEXT && type != COL_VARIANT))
        return diag_set(
            c->diag, ERR_UNSUPPORTED,
            "stream to %s: table %s cannot be read by partition (weir_table_partitioned): "
            "its key must be one text, by whose bytes its records lie",
            c->view->sink->topic, table->rows.source->text);
    TRY(compile_find_field(c, params->on, &table->stream_field));
    table->by_partition = params->by_partition = true;
    keyed->placed_table = table->rows.source->text;
    return 0;
}

static bool is_by_partition(const struct weir_stream *table)
{
    while (table->kind != NODE_KEYED)
        table = table->parent;
    return table->is_partitioned;
}

/* The list needs names only for the parser. */
static int parse_on(struct compile *c, const struct weir_stream *node, struct expr_list **on)
{
    return compile_in_context(c->diag, expr_parse_list(node->text, &c->scope, on, c->diag), c->view,
                              "weir_join");
}

int compile_join(struct compile *c, const struct weir_stream *node)
{
    struct table *table;
    struct join_params *params = calloc(1, sizeof *params);
    uint32_t op = c->view->op_count;
    TRY(compile_add_op(c, "join", params));
    params->side = c->view->table_count;
    TRY(parse_on(c, node, &params->on));
    TRY(add_table(c, node, &table));
    TRY(compare_key(c, params->on, table));
    table->join_op = op;
    params->table = table->rows.source->text;
    params->keeps_unmatched = node->number_ms == WEIR_JOIN_LEFT;
    params->types = table->types;
    params->column_count = table->columns->count;
    if (is_by_partition(node->table))
        TRY(compile_places(c, params, table));
    c->view->is_remade = true; /* its rows have no bytes of their own */
    return compile_add_columns(c, "weir_join", (const char *const *)table->columns->names,
                               table->types, table->columns->count, &params->first_column);
}

void compile_tables_destroy(struct view *view)
{
    for (uint32_t i = 0; i < view->table_count; i++) {
        struct table *table = view->tables[i];
        compile_view_deinit(&table->rows);
        expr_list_destroy(table->columns);
        free(table->types);
        free((void *)(uintptr_t)table->stream_field);
        free(table);
    }
}
