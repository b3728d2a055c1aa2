/* plan_latest.c: compiles tables: weir_latest, what may follow it, and the aggregates over a table (see
 * plan.h).
 *
 * From weir_latest on a view's rows are those of a table: one for each key, which change. Deletions
 * name their row by the record's key alone, which is text: it is read as the key's types with SQL's
 * own casts.
 *
 * Steps behind it work row by row, on the new row alone. What makes other rows of rows, or puts them
 * elsewhere, is refused: it would have to be undone row for row. An aggregate gets an operator of its
 * own before it, latest, which keeps of each row what the aggregate needs, evaluated: the groups, then
 * arguments and filters of the calls. The aggregate's own expressions become plain columns of that.
 * So what is taken back later is what was added. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/plan_compile.h"

/* "CAST(user_id AS text) AS user_id, …" over uncast values of these names. */
static int compile_record_key(struct keyed_params *params, struct diag *diag)
{
    const struct expr_list *key = params->key;
    struct buf text;
    enum col_type *types = calloc(key->count + 1, sizeof *types);
    struct named_columns columns = {(const char *const *)key->names, types, key->count};
    struct scope scope = named_columns_scope(&columns);
    if (types == NULL)
        return compile_no_memory(diag);
    buf_init(&text, 0);
    for (uint32_t i = 0; i < key->count; i++) {
        enum col_type type = expr_type(key->exprs[i]);
        buf_printf(&text, i > 0 ? ", " : "");
        if (type == COL_VARIANT)
            buf_printf(&text, "\"%s\" AS \"%s\"", key->names[i], key->names[i]);
        else
            buf_printf(&text, "CAST(\"%s\" AS %s) AS \"%s\"", key->names[i], col_type_name(type),
                       key->names[i]);
    }
    buf_u8(&text, 0);
    int rc = buf_ok(&text)
                 ? expr_parse_list((const char *)text.data, &scope, &params->record_key, diag)
                 : compile_no_memory(diag);
    buf_deinit(&text);
    free(types);
    return rc;
}

int compile_keyed(struct compile *c, const struct weir_stream *node)
{
    struct view *view = c->view;
    struct keyed_params *params = calloc(1, sizeof *params);
    view->keyed_op = (int)view->op_count;
    TRY(compile_add_op(c, "keyed", params));
    view->keyed = params;
    TRY(compile_in_context(c->diag, expr_parse_list(node->text, &c->scope, &params->key, c->diag),
                           view, "weir_latest"));
    return compile_in_context(c->diag, compile_record_key(params, c->diag), view, "weir_latest");
}

int compile_after_keyed(struct compile *c, const struct weir_stream *node)
{
    static const char *const refused[] = {[NODE_UNNEST] = "weir_unnest",
                                          [NODE_FLAT_MAP_FN] = "weir_flat_map_fn",
                                          [NODE_MERGE] = "weir_merge",
                                          [NODE_JOIN] = "weir_join",
                                          [NODE_REKEY] = "weir_rekey",
                                          [NODE_DISTINCT] = "weir_distinct"};
    if (c->view->keyed == NULL || node->kind >= sizeof refused / sizeof *refused ||
        refused[node->kind] == NULL)
        return 0;
    return diag_set(c->diag, ERR_UNSUPPORTED,
                    "stream to %s: %s behind weir_latest: a table has one row for each key, and "
                    "keeps it where it is: do that before weir_latest in a stream of its own, or "
                    "write the table to a topic with weir_to and read that",
                    c->view->sink->topic, refused[node->kind]);
}

/* ---- aggregates ---- */

int compile_check_net(struct compile *c, const struct weir_stream *aggregate)
{
    const char *topic = c->view->sink->topic;
    if (aggregate->parent->kind == NODE_WINDOW)
        return diag_set(c->diag, ERR_UNSUPPORTED,
                        "stream to %s: windows over a table: its rows may change at any time, so "
                        "that no window would ever close. Group by the time instead, as in "
                        "date_trunc('hour', created_at) AS hour",
                        topic);
    if (aggregate->name != NULL)
        return diag_set(c->diag, ERR_UNSUPPORTED,
                        "stream to %s: weir_aggregate_fn over a table: rows of a table change, and "
                        "a function cannot take back what it was given. count, sum and avg can",
                        topic);
    return 0;
}

static uint32_t count_inputs(const struct group_params *group)
{
    uint32_t count = group->groups->count;
    for (uint32_t i = 0; i < group->aggregates->call_count; i++)
        count += (uint32_t)(group->aggregates->calls[i].argument != NULL) +
                 (uint32_t)(group->aggregates->calls[i].filter != NULL);
    return count;
}

/* "c0 AS c0, c1 AS c1, …" over columns of those types: plain columns, in their order. */
static int parse_columns(struct compile *c, const enum col_type *types, uint32_t count,
                         struct expr_list **list)
{
    struct buf text;
    int rc = 0;
    char **names = calloc((size_t)count + 1, sizeof *names);
    buf_init(&text, 0);
    for (uint32_t i = 0; names != NULL && i < count; i++) {
        char name[16];
        snprintf(name, sizeof name, "c%u", i);
        names[i] = strdup(name);
        rc = names[i] == NULL ? ERR_NOMEM : rc;
        buf_printf(&text, i > 0 ? ", %s" : "%s", name);
    }
    buf_u8(&text, 0);
    if (names == NULL || rc < 0 || !buf_ok(&text)) {
        rc = compile_no_memory(c->diag);
    } else {
        struct named_columns columns = {(const char *const *)names, types, count};
        struct scope scope = named_columns_scope(&columns);
        rc = expr_parse_list((const char *)text.data, &scope, list, c->diag);
    }
    for (uint32_t i = 0; names != NULL && i < count; i++)
        free(names[i]);
    free(names);
    buf_deinit(&text);
    return rc;
}

static void swap(struct expr **a, struct expr **b)
{
    struct expr *other = *a;
    *a = *b;
    *b = other;
}

static void list_inputs(struct group_params *group, struct expr ***inputs)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < group->groups->count; i++)
        inputs[at++] = &group->groups->exprs[i];
    for (uint32_t i = 0; i < group->aggregates->call_count; i++) {
        struct agg_call *call = &group->aggregates->calls[i];
        if (call->argument != NULL)
            inputs[at++] = &call->argument;
        if (call->filter != NULL)
            inputs[at++] = &call->filter;
    }
}

int compile_latest(struct compile *c)
{
    struct group_params *group = c->view->group;
    struct latest_params *params = calloc(1, sizeof *params);
    uint32_t count = count_inputs(group);
    struct expr ***inputs = calloc((size_t)count + 1, sizeof *inputs);
    int rc = compile_add_op(c, "latest", params);
    if (rc == 0) {
        params->group = group;
        params->types = calloc((size_t)count + 1, sizeof *params->types);
        rc = inputs == NULL || params->types == NULL ? compile_no_memory(c->diag) : 0;
    }
    if (rc == 0) {
        list_inputs(group, inputs);
        for (uint32_t i = 0; i < count; i++)
            params->types[i] = expr_type(*inputs[i]);
        rc = parse_columns(c, params->types, count, &params->list);
    }
    for (uint32_t i = 0; rc == 0 && i < count; i++)
        swap(inputs[i], &params->list->exprs[i]);
    free(inputs);
    return rc;
}

/* ---- the table as a topic ---- */

bool plan_gives_changes(const struct view *view)
{
    return view->group != NULL ? !view->group->emit_final : view->keyed != NULL;
}

int compile_table_out(struct compile *c)
{
    struct view *view = c->view;
    if (view->group != NULL || view->keyed == NULL)
        return 0;
    const struct expr_list *key = view->keyed->key;
    view->key_names = json_names_create((const char *const *)key->names, key->count);
    return view->key_names != NULL ? 0 : compile_no_memory(c->diag);
}
