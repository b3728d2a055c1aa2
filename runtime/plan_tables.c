/* plan_tables.c: compiles joins of two tables (see plan.h).
 *
 * Both ways to the join are arms that end there, each with a weir_latest on it: what stands before that
 * decides which rows count, what stands behind it what the table shows. A map of the columns that the join
 * takes is the arm's last operator, and changes of both tables are written to one topic. What stands
 * behind the join is compiled once, as a view that begins with those columns (struct view.joined) and is
 * a table again: it reads that topic, keeps the rows of both sides, and writes the sink under the key
 * of the left table.
 *
 * Keys are compared, and placed, by their binary form, in which equal values have equal bytes. A full
 * join writes keys that the left table may not have, so that both must have one type. */
#include <stdlib.h>

#include "runtime/format.h"
#include "runtime/plan_compile.h"

static const char what[] = "weir_join";

static struct join_tables_params *params_of(const struct view *view)
{
    return (struct join_tables_params *)(uintptr_t)view->join_tables;
}

/* ---- a side ---- */

static int begin_joined(struct view *lead, const struct weir_stream *node, struct diag *diag)
{
    if (lead->joined != NULL)
        return 0;
    struct join_tables_params *params = calloc(1, sizeof *params);
    struct compile c = {.diag = diag};
    TRY(compile_begin_joined(lead, diag));
    c.view = lead->joined;
    TRY(compile_add_op(&c, "join_tables", params));
    params->keeps_left = node->number_ms != WEIR_JOIN_INNER;
    params->keeps_right = node->number_ms == WEIR_JOIN_FULL;
    lead->joined->join_tables = params;
    return 0;
}

static int check_key(const struct view *left, const struct view *right, struct diag *diag)
{
    const struct expr_list *ours = left->keyed->key, *its = right->keyed->key;
    if (ours->count != its->count)
        return diag_set(diag, ERR_INVALID,
                        "stream to %s: %s: the key of table %s has %u columns, and that of table "
                        "%s %u",
                        left->sink->topic, what, left->source->text, ours->count,
                        right->source->text, its->count);
    for (uint32_t i = 0; i < ours->count; i++) {
        enum col_type a = expr_type(ours->exprs[i]), b = expr_type(its->exprs[i]);
        if (a == b || (compile_are_comparable(a, b) && !left->join_tables->keeps_right))
            continue;
        return diag_set(diag, ERR_INVALID,
                        "stream to %s: %s: \"%s\" of table %s is %s, and \"%s\" of table %s is %s: "
                        "cast one of them before weir_latest",
                        left->sink->topic, what, ours->names[i], left->source->text,
                        col_type_name(a), its->names[i], right->source->text, col_type_name(b));
    }
    return 0;
}

static int add_columns_op(struct compile *c, const char *columns, struct map_params **params)
{
    *params = calloc(1, sizeof **params);
    TRY(compile_add_op(c, "map", *params));
    return compile_side_columns(c, what, columns, &(*params)->list);
}

int compile_table_side(struct compile *c, const struct arm_chain *chain)
{
    struct view *lead = (struct view *)(uintptr_t)c->view->lead;
    const struct weir_stream *node = chain->steps[chain->within];
    struct map_params *map;
    TRY(begin_joined(lead, node, c->diag));
    struct join_tables_params *join = params_of(lead->joined);
    c->view->join_tables = join;
    must(c->view->keyed != NULL && c->view->arm == chain->side);
    if (chain->side == JOIN_TABLES_RIGHT)
        TRY(check_key(lead, c->view, c->diag));
    TRY(add_columns_op(c, chain->side == JOIN_TABLES_LEFT ? NULL : node->extra, &map));
    join->column_counts[chain->side] = map->list->count;
    return compile_types_of(map->list, &join->types[chain->side], c->diag);
}

/* ---- behind the join ---- */

static const struct expr_list *columns_of(const struct view *arm)
{
    const struct map_params *map = arm->ops[arm->op_count - 1].params;
    return map->list;
}

static int add_columns(struct compile *c, const struct view *lead)
{
    struct join_tables_params *join = params_of(c->view);
    uint32_t first;
    for (const struct view *arm = lead; arm != NULL; arm = arm->next_arm)
        TRY(compile_add_columns(c, what, (const char *const *)columns_of(arm)->names,
                                join->types[arm->arm], join->column_counts[arm->arm], &first));
    join->result_names = json_names_create(c->columns.names, c->columns.count);
    return join->result_names != NULL ? 0 : compile_no_memory(c->diag);
}

int compile_joined_tables(struct compile *c, const struct view *lead)
{
    c->view->keyed = lead->keyed;
    return add_columns(c, lead);
}
