/* sql_select.c: SELECT: what it reads, which rows, which columns, how they are grouped.
 *
 * FROM is one thing: a name, a SELECT of its own in parentheses, or a call of tumble, hop or session over one of those, which
 * is how rows get windows; and then tables that its rows are joined with. A call's arguments are read here, as its first one is a relation
 * and no value. */
#include "runtime/sql/sql_nodes.h"

#include <string.h>

static int read_select(struct parse *parse, const PgQuery__SelectStmt *statement,
                       struct select **select);

/* ---- windows ---- */

static const struct {
    const char *name;
    enum window_call call;
    size_t arguments;
    const char *usage;
} windows[] = {
    {"tumble", CALL_TUMBLE, 3, "tumble(user_events, ts, INTERVAL '5 minutes')"},
    {"hop", CALL_HOP, 4,
     "hop(user_events, ts, INTERVAL '1 minute', INTERVAL '5 minutes'): the hop, then the size"},
    {"session", CALL_SESSION, 3, "session(user_events, ts, INTERVAL '30 minutes')"},
};

/* INTERVAL '5 minutes' as milliseconds. */
static int read_span(struct parse *parse, const PgQuery__Node *node, const char *usage,
                     int64_t *span_ms)
{
    struct syntax *syntax;
    TRY(syntax_from_node(parse, node, &syntax));
    if (syntax->kind == SYNTAX_CAST && syntax->type.type == COL_INTERVAL &&
        syntax->args[0]->kind == SYNTAX_STRING &&
        interval_parse(bytes_text(syntax->args[0]->text), span_ms) == 0 && *span_ms > 0)
        return 0;
    return source_error(&parse->source, ERR_INVALID, syntax->at, usage,
                        "a positive interval is expected");
}

static int read_window(struct parse *parse, const PgQuery__FuncCall *call, struct from_item *from)
{
    const char *name = call->n_funcname == 1 ? string_of(call->funcname[0]) : NULL;
    size_t w = 0, count = sizeof windows / sizeof windows[0];
    parse->near = from->at = user_position(parse, call->location);
    while (w < count && (name == NULL || strcmp(windows[w].name, name) != 0))
        w++;
    if (w == count)
        return source_error(&parse->source, ERR_UNSUPPORTED, from->at, windows[0].usage,
                            "a function in FROM must be tumble, hop or session");
    TRY(nodes_know(parse, &call->base, name, "funcname args funcformat"));
    if (call->n_args != windows[w].arguments)
        return source_error(&parse->source, ERR_INVALID, from->at, windows[w].usage,
                            "%s takes %zu arguments", name, windows[w].arguments);
    from->window = windows[w].call;
    const PgQuery__Node *relation = call->args[0];
    if (relation->node_case != PG_QUERY__NODE__NODE_COLUMN_REF ||
        relation->column_ref->n_fields != 1 || string_of(relation->column_ref->fields[0]) == NULL)
        return source_error(&parse->source, ERR_INVALID, from->at, windows[w].usage,
                            "the first argument of %s is a table or view", name);
    from->kind = FROM_RELATION;
    TRY(nodes_name(parse, string_of(relation->column_ref->fields[0]),
                   relation->column_ref->location, &from->relation));
    TRY(syntax_from_node(parse, call->args[1], &from->window_time));
    if (from->window == CALL_HOP)
        TRY(read_span(parse, call->args[2], windows[w].usage, &from->hop_ms));
    return read_span(parse, call->args[windows[w].arguments - 1], windows[w].usage, &from->size_ms);
}

/* ---- FROM ---- */

static int read_alias(struct parse *parse, const PgQuery__Alias *alias, struct from_item *from)
{
    struct sql_name name;
    if (alias == NULL)
        return 0;
    if (alias->n_colnames > 0)
        return nodes_refuse(parse, -1, "name columns with AS in the SELECT",
                            "an alias with column names");
    TRY(nodes_name(parse, alias->aliasname, -1, &name));
    from->alias = name.text;
    return 0;
}

static int read_function(struct parse *parse, const PgQuery__RangeFunction *range,
                         struct from_item *from)
{
    TRY(nodes_know(parse, &range->base, "FROM", "functions alias"));
    const PgQuery__Node *list = range->n_functions == 1 ? range->functions[0] : NULL;
    const PgQuery__Node *call =
        list != NULL && list->node_case == PG_QUERY__NODE__NODE_LIST && list->list->n_items > 0
            ? list->list->items[0]
            : NULL;
    if (call == NULL || call->node_case != PG_QUERY__NODE__NODE_FUNC_CALL)
        return nodes_refuse(parse, -1, windows[0].usage, "this in FROM");
    TRY(read_window(parse, call->func_call, from));
    return read_alias(parse, range->alias, from);
}

static int read_from_node(struct parse *parse, const PgQuery__Node *node, struct from_item *from);

/* ---- joins ---- */

static int check_join(struct parse *parse, const PgQuery__JoinExpr *join)
{
    static const char *const hint = "FROM orders o LEFT JOIN users u ON u.user_id = o.user_id";
    if (join->is_natural)
        return nodes_refuse(parse, -1, hint, "NATURAL JOIN");
    if (join->n_using_clause > 0)
        return nodes_refuse(parse, -1, hint, "JOIN … USING");
    if (join->alias != NULL)
        return nodes_refuse(parse, -1, hint, "an alias of a whole join");
    if (join->jointype == PG_QUERY__JOIN_TYPE__JOIN_RIGHT)
        return nodes_refuse(parse, -1,
                            "what is kept stands on the left: stream LEFT JOIN table, or the two "
                            "streams the other way round",
                            "RIGHT JOIN");
    if (join->quals == NULL)
        return nodes_refuse(parse, -1, hint, "CROSS JOIN");
    return nodes_know(parse, &join->base, "JOIN", "jointype larg rarg quals");
}

/* (a JOIN b) JOIN c: the joins lie along the left. */
static int read_join(struct parse *parse, const PgQuery__JoinExpr *join, struct from_item *from)
{
    TRY(read_from_node(parse, join->larg, from));
    struct join_item *item = &from->joins[from->join_count];
    const PgQuery__Node *right = join->rarg;
    if (right != NULL && right->node_case == PG_QUERY__NODE__NODE_RANGE_VAR)
        parse->near = user_position(parse, right->range_var->location);
    TRY(check_join(parse, join));
    if (from->join_count == JOINS_MAX)
        return source_error(&parse->source, ERR_TOO_LARGE, parse->near,
                            "write the rows to a topic with INSERT, and join what reads it",
                            "a SELECT has at most %d joins", JOINS_MAX);
    if (right == NULL || right->node_case != PG_QUERY__NODE__NODE_RANGE_VAR)
        return nodes_refuse(parse, -1,
                            "give it a name with CREATE VIEW; a table stands right of each JOIN",
                            "this right of JOIN");
    TRY(nodes_relation(parse, right->range_var, &item->relation));
    const PgQuery__Alias *alias = right->range_var->alias;
    if (alias != NULL) {
        struct sql_name name;
        if (alias->n_colnames > 0)
            return nodes_refuse(parse, -1, "name columns with AS in the SELECT",
                                "an alias with column names");
        TRY(nodes_name(parse, alias->aliasname, -1, &name));
        item->alias = name.text;
    }
    item->is_left = join->jointype == PG_QUERY__JOIN_TYPE__JOIN_LEFT;
    item->is_full = join->jointype == PG_QUERY__JOIN_TYPE__JOIN_FULL;
    from->join_count++;
    return syntax_from_node(parse, join->quals, &item->on);
}

static int read_joins(struct parse *parse, const PgQuery__JoinExpr *join, struct from_item *from)
{
    if (from->joins == NULL)
        from->joins = arena_zalloc(parse->arena, (JOINS_MAX + 1) * sizeof *from->joins);
    if (from->joins == NULL)
        return ERR_NOMEM;
    if (parse->depth >= SELECT_DEPTH_MAX)
        return source_error(&parse->source, ERR_TOO_LARGE, parse->near, NULL,
                            "a SELECT has at most %d joins", JOINS_MAX);
    parse->depth++;
    int rc = read_join(parse, join, from);
    parse->depth--;
    return rc;
}

static int read_from_node(struct parse *parse, const PgQuery__Node *node, struct from_item *from)
{
    switch (node->node_case) {
    case PG_QUERY__NODE__NODE_RANGE_VAR:
        from->kind = FROM_RELATION;
        TRY(nodes_relation(parse, node->range_var, &from->relation));
        from->at = from->relation.at;
        return read_alias(parse, node->range_var->alias, from);
    case PG_QUERY__NODE__NODE_RANGE_FUNCTION:
        return read_function(parse, node->range_function, from);
    case PG_QUERY__NODE__NODE_RANGE_SUBSELECT: {
        const PgQuery__RangeSubselect *range = node->range_subselect;
        from->kind = FROM_SELECT;
        from->at = parse->near;
        TRY(nodes_know(parse, &range->base, "FROM", "subquery alias"));
        TRY(read_alias(parse, range->alias, from));
        return nodes_select(parse, range->subquery, &from->select);
    }
    case PG_QUERY__NODE__NODE_JOIN_EXPR:
        return read_joins(parse, node->join_expr, from);
    default:
        return refuse_node(parse, node);
    }
}

static int read_from(struct parse *parse, const PgQuery__SelectStmt *statement,
                     struct from_item *from)
{
    if (statement->n_from_clause == 0)
        return source_error(&parse->source, ERR_INVALID, parse->near, NULL,
                            "a SELECT needs FROM: rows come from a table or view");
    if (statement->n_from_clause > 1)
        return nodes_refuse(parse, -1, "FROM orders o JOIN users u ON u.user_id = o.user_id",
                            "a list in FROM (a join)");
    return read_from_node(parse, statement->from_clause[0], from);
}

/* ---- columns ---- */

/* *, or e.* */
static bool is_star(const PgQuery__Node *node, const char **of)
{
    if (node == NULL || node->node_case != PG_QUERY__NODE__NODE_COLUMN_REF)
        return false;
    const PgQuery__ColumnRef *column = node->column_ref;
    if (column->n_fields == 0 || column->n_fields > 2 ||
        column->fields[column->n_fields - 1]->node_case != PG_QUERY__NODE__NODE_A_STAR)
        return false;
    *of = column->n_fields == 2 ? string_of(column->fields[0]) : NULL;
    return column->n_fields == 1 || *of != NULL;
}

static int read_item(struct parse *parse, const PgQuery__Node *node, struct select_item *item)
{
    const char *of;
    if (node->node_case != PG_QUERY__NODE__NODE_RES_TARGET)
        return refuse_node(parse, node);
    const PgQuery__ResTarget *target = node->res_target;
    item->at = parse->near = user_position(parse, target->location);
    TRY(nodes_know(parse, &target->base, "a select list", "name val"));
    if (is_star(target->val, &of)) {
        item->star_of = of != NULL ? arena_text(parse->arena, of) : NULL;
        return of != NULL && item->star_of == NULL ? ERR_NOMEM : 0;
    }
    if (target->name != NULL && target->name[0] != '\0') {
        struct sql_name name;
        TRY(nodes_name(parse, target->name, target->location, &name));
        item->name = name.text;
    }
    return syntax_from_node(parse, target->val, &item->syntax);
}

static int read_items(struct parse *parse, const PgQuery__SelectStmt *statement,
                      struct select *select)
{
    size_t count = statement->n_target_list;
    if (count > SQL_COLUMNS_MAX)
        return source_error(&parse->source, ERR_TOO_LARGE, parse->near, NULL,
                            "a SELECT has at most %d columns", SQL_COLUMNS_MAX);
    if (count == 0)
        return source_error(&parse->source, ERR_INVALID, parse->near, NULL,
                            "a SELECT needs columns");
    select->items = arena_zalloc(parse->arena, count * sizeof *select->items);
    if (select->items == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < count; i++)
        TRY(read_item(parse, statement->target_list[i], &select->items[i]));
    select->item_count = (uint32_t)count;
    return 0;
}

static int read_groups(struct parse *parse, const PgQuery__SelectStmt *statement,
                       struct select *select)
{
    size_t count = statement->n_group_clause;
    if (count > SQL_COLUMNS_MAX)
        return source_error(&parse->source, ERR_TOO_LARGE, parse->near, NULL,
                            "GROUP BY has at most %d columns", SQL_COLUMNS_MAX);
    select->groups = arena_zalloc(parse->arena, (count + 1) * sizeof(struct syntax *));
    if (select->groups == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < count; i++) {
        if (statement->group_clause[i]->node_case == PG_QUERY__NODE__NODE_GROUPING_SET)
            return nodes_refuse(parse, statement->group_clause[i]->grouping_set->location,
                                "one view for each way to group", "GROUPING SETS, CUBE or ROLLUP");
        TRY(syntax_from_node(parse, statement->group_clause[i], &select->groups[i]));
    }
    select->group_count = (uint32_t)count;
    return 0;
}

static int read_distinct(struct parse *parse, const PgQuery__SelectStmt *statement,
                         struct select *select)
{
    size_t count = statement->n_distinct_clause;
    if (count > SQL_COLUMNS_MAX)
        return source_error(&parse->source, ERR_TOO_LARGE, parse->near, NULL,
                            "DISTINCT ON has at most %d columns", SQL_COLUMNS_MAX);
    select->distinct = arena_zalloc(parse->arena, count * sizeof(struct syntax *));
    if (select->distinct == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < count; i++)
        TRY(syntax_from_node(parse, statement->distinct_clause[i], &select->distinct[i]));
    select->distinct_count = (uint32_t)count;
    if (select->group_count > 0 || statement->having_clause != NULL)
        return source_error(&parse->source, ERR_UNSUPPORTED, select->distinct[0]->at,
                            "make the rows distinct in an inner SELECT, and group those",
                            "DISTINCT ON with GROUP BY or HAVING is not supported");
    return 0;
}

/* ---- WITH ---- */

static int read_with(struct parse *parse, const PgQuery__WithClause *with, struct select *select)
{
    if (with == NULL)
        return 0;
    TRY(nodes_know(parse, &with->base, "WITH", "ctes"));
    select->tables = arena_zalloc(parse->arena, (with->n_ctes + 1) * sizeof *select->tables);
    if (select->tables == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < with->n_ctes; i++) {
        if (with->ctes[i]->node_case != PG_QUERY__NODE__NODE_COMMON_TABLE_EXPR)
            return refuse_node(parse, with->ctes[i]);
        const PgQuery__CommonTableExpr *table = with->ctes[i]->common_table_expr;
        struct common_table *to = &select->tables[i];
        TRY(nodes_name(parse, table->ctename, table->location, &to->name));
        parse->near = to->name.at;
        if (table->n_aliascolnames > 0)
            return nodes_refuse(parse, table->location, "name columns with AS in the SELECT",
                                "WITH name (columns)");
        TRY(nodes_know(parse, &table->base, "WITH", "ctename ctequery"));
        TRY(nodes_select(parse, table->ctequery, &to->select));
        select->table_count++;
    }
    return 0;
}

static bool is_union_all(const PgQuery__SelectStmt *statement)
{
    return statement->op == PG_QUERY__SET_OPERATION__SETOP_UNION && statement->all;
}

/* a UNION ALL b UNION ALL c is ((a, b), c): the arms lie along the left. */
static int read_union(struct parse *parse, const PgQuery__SelectStmt *statement,
                      struct select *select)
{
    uint32_t count = 1;
    if (!is_union_all(statement))
        return nodes_refuse(
            parse, -1,
            statement->op == PG_QUERY__SET_OPERATION__SETOP_UNION ? "UNION ALL keeps all rows"
                                                                  : NULL,
            statement->op == PG_QUERY__SET_OPERATION__SETOP_UNION ? "UNION"
                                                                  : "INTERSECT or EXCEPT");
    TRY(read_with(parse, statement->with_clause, select));
    for (const PgQuery__SelectStmt *s = statement; is_union_all(s); s = s->larg) {
        TRY(nodes_know(parse, &s->base, "UNION ALL",
                       s == statement ? "op all larg rarg with_clause" : "op all larg rarg"));
        if (++count > UNION_ARMS_MAX)
            return source_error(&parse->source, ERR_TOO_LARGE, parse->near, NULL,
                                "UNION ALL of more than %d SELECTs", UNION_ARMS_MAX);
    }
    select->arms = arena_zalloc(parse->arena, count * sizeof(struct select *));
    if (select->arms == NULL)
        return ERR_NOMEM;
    const PgQuery__SelectStmt *rest = statement;
    for (uint32_t i = count; i > 1; rest = rest->larg)
        TRY(read_select(parse, rest->rarg, &select->arms[--i]));
    select->arm_count = count;
    return read_select(parse, rest, &select->arms[0]);
}

static int read_select(struct parse *parse, const PgQuery__SelectStmt *statement,
                       struct select **out)
{
    struct select *select = arena_zalloc(parse->arena, sizeof *select);
    if (select == NULL)
        return ERR_NOMEM;
    *out = select;
    select->at = parse->near;
    if (statement->op != PG_QUERY__SET_OPERATION__SETOP_NONE)
        return read_union(parse, statement, select);
    bool is_on = statement->n_distinct_clause > 0 &&
                 statement->distinct_clause[0]->node_case != PG_QUERY__NODE__NODE__NOT_SET;
    TRY(nodes_know(parse, &statement->base, "SELECT",
                   is_on ? "target_list from_clause where_clause group_clause having_clause "
                           "with_clause op all distinct_clause"
                         : "target_list from_clause where_clause group_clause having_clause "
                           "with_clause op all"));
    TRY(read_with(parse, statement->with_clause, select));
    TRY(read_items(parse, statement, select));
    select->at = select->items[0].at;
    TRY(read_from(parse, statement, &select->from));
    if (statement->where_clause != NULL)
        TRY(syntax_from_node(parse, statement->where_clause, &select->where));
    TRY(read_groups(parse, statement, select));
    if (is_on)
        TRY(read_distinct(parse, statement, select));
    if (statement->having_clause != NULL)
        return syntax_from_node(parse, statement->having_clause, &select->having);
    return 0;
}

int nodes_select(struct parse *parse, const PgQuery__Node *node, struct select **select)
{
    if (node == NULL || node->node_case != PG_QUERY__NODE__NODE_SELECT_STMT)
        return node == NULL ? source_error(&parse->source, ERR_INVALID, parse->near, NULL,
                                           "a SELECT is expected")
                            : refuse_node(parse, node);
    if (parse->depth >= SELECT_DEPTH_MAX)
        return source_error(&parse->source, ERR_TOO_LARGE, parse->near,
                            "give the inner one a name with CREATE VIEW",
                            "SELECTs are nested deeper than %d levels", SELECT_DEPTH_MAX);
    parse->depth++;
    int rc = read_select(parse, node->select_stmt, select);
    parse->depth--;
    return rc;
}
