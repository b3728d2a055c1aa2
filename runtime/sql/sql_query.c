/* sql_query.c: one SELECT over a view that is kept (see sql_query.h).
 *
 * The SELECT is compiled as one of a file is: the view's columns are a relation, and what comes out are steps as texts. So
 * WHERE, GROUP BY, HAVING and every expression mean what they mean in a pipeline, and are refused with the same words.
 *
 * ORDER BY is turned into columns behind the select list: an output's name is that output's expression (as in PostgreSQL
 * it comes before a column of that name), a number is the output at that place, all else an expression of its own, which is
 * grouped as the select list is. Whoever runs the steps sorts by those columns and does not show them. */
#include "runtime/sql/sql_query.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/sql/sql_nodes.h"
#include "runtime/sql/sql_scope.h"

/* ---- text → statement ---- */

static int read_order(struct parse *parse, const PgQuery__SelectStmt *statement,
                      struct query_statement *query)
{
    size_t count = statement->n_sort_clause;
    if (count > QUERY_ORDER_MAX)
        return source_error(&parse->source, ERR_TOO_LARGE, parse->near, NULL,
                            "ORDER BY has at most %d columns", QUERY_ORDER_MAX);
    query->order = arena_zalloc(parse->arena, (count + 1) * sizeof *query->order);
    if (query->order == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < count; i++) {
        struct order_item *item = &query->order[i];
        if (statement->sort_clause[i]->node_case != PG_QUERY__NODE__NODE_SORT_BY)
            return refuse_node(parse, statement->sort_clause[i]);
        const PgQuery__SortBy *by = statement->sort_clause[i]->sort_by;
        TRY(nodes_know(parse, &by->base, "ORDER BY", "node sortby_dir sortby_nulls"));
        if (by->sortby_dir == PG_QUERY__SORT_BY_DIR__SORTBY_USING)
            return nodes_refuse(parse, by->location, "ASC or DESC", "USING in ORDER BY");
        TRY(syntax_from_node(parse, by->node, &item->syntax));
        item->at = item->syntax->at;
        item->is_descending = by->sortby_dir == PG_QUERY__SORT_BY_DIR__SORTBY_DESC;
        item->nulls_first =
            by->sortby_nulls == PG_QUERY__SORT_BY_NULLS__SORTBY_NULLS_FIRST ||
            (by->sortby_nulls != PG_QUERY__SORT_BY_NULLS__SORTBY_NULLS_LAST && item->is_descending);
    }
    query->order_count = (uint32_t)count;
    return 0;
}

/* LIMIT ALL and LIMIT NULL are none. */
static int read_count(struct parse *parse, const PgQuery__Node *node, const char *what,
                      int64_t *count)
{
    struct syntax *syntax;
    char *end;
    if (node == NULL)
        return 0;
    TRY(syntax_from_node(parse, node, &syntax));
    if (syntax->kind == SYNTAX_NULL)
        return 0;
    if (syntax->kind == SYNTAX_NUMBER && syntax->text[0] != '-' && strlen(syntax->text) < 19) {
        *count = strtoll(syntax->text, &end, 10);
        if (*end == '\0')
            return 0;
    }
    return source_error(&parse->source, ERR_INVALID, syntax->at < 0 ? parse->near : syntax->at,
                        NULL, "%s takes a whole number that is not negative", what);
}

/* What only a question has is read here and taken off, so that the rest is read as any SELECT, with
 * every refusal that it has. */
static int read_query(struct parse *parse, PgQuery__Node *node, void *into)
{
    struct query_statement *query = into;
    if (node == NULL || node->node_case != PG_QUERY__NODE__NODE_SELECT_STMT)
        return nodes_refuse(parse, parse->near, "SELECT … FROM view",
                            "a statement that is no SELECT");
    PgQuery__SelectStmt *statement = node->select_stmt, plain = *statement;
    if (statement->limit_option == PG_QUERY__LIMIT_OPTION__LIMIT_OPTION_WITH_TIES)
        return nodes_refuse(parse, -1, "LIMIT", "FETCH FIRST … WITH TIES");
    TRY(read_order(parse, statement, query));
    TRY(read_count(parse, statement->limit_count, "LIMIT", &query->limit));
    TRY(read_count(parse, statement->limit_offset, "OFFSET", &query->offset));
    plain.n_sort_clause = 0;
    plain.limit_count = plain.limit_offset = NULL;
    plain.limit_option = PG_QUERY__LIMIT_OPTION__LIMIT_OPTION_DEFAULT;
    PgQuery__Node wrapped = *node;
    wrapped.select_stmt = &plain;
    TRY(nodes_select(parse, &wrapped, &query->select));
    const struct select *select = query->select;
    if (select->arm_count > 0)
        return nodes_refuse(parse, parse->near, "one question for each view", "UNION ALL");
    if (select->table_count > 0)
        return nodes_refuse(parse, select->tables[0].name.at, "ask the view itself", "WITH");
    if (select->from.kind == FROM_SELECT)
        return nodes_refuse(parse, select->from.at, "ask the view itself", "a SELECT in FROM");
    if (select->from.join_count > 0)
        return nodes_refuse(parse, select->from.joins[0].relation.at, "ask one view at a time",
                            "JOIN in a question");
    if (select->from.window != CALL_NONE)
        return nodes_refuse(parse, select->from.at,
                            "the view has its windows: window_start and window_end are columns",
                            "tumble, hop or session in a question");
    return 0;
}

struct parse_query {
    const char *text;
    struct arena *arena;
    struct query_statement *query;
    struct diag *diag;
    int rc;
};

/* FROM hourly-revenue: topics have such names, and SQL reads a minus. */
static void hint_quotes(struct diag *diag)
{
    size_t used = diag != NULL ? strlen(diag->text) : 0;
    if (diag == NULL || strstr(diag->text, "at or near \"-\"") == NULL ||
        strstr(diag->text, "\nhint: ") != NULL)
        return;
    snprintf(diag->text + used, sizeof diag->text - used,
             "\nhint: a name with other characters than letters, digits and _ stands in double "
             "quotes: FROM \"hourly-revenue\"");
}

static void parse_query(void *argument)
{
    struct parse_query *job = argument;
    struct parse parse = {.source = {job->text, job->diag}, .arena = job->arena};
    job->rc = nodes_parse(&parse, job->text, read_query, job->query);
    if (job->rc == ERR_INVALID)
        hint_quotes(job->diag);
}

int sql_parse_query(const char *text, size_t size, struct arena *arena,
                    struct query_statement *query, struct diag *diag)
{
    struct parse_query job = {.text = text, .arena = arena, .query = query, .diag = diag};
    *query = (struct query_statement){.limit = -1};
    if (size > EXPR_TEXT_BYTES_MAX)
        return diag_set(diag, ERR_TOO_LARGE, "the statement has %zu bytes; the limit is %d", size,
                        EXPR_TEXT_BYTES_MAX);
    TRY(nodes_check_text(text, size, diag));
    TRY(expr_on_large_stack(parse_query, &job, diag));
    return job.rc;
}

/* ---- statement → steps ---- */

struct planning {
    struct compile_file *file;
    const struct query_statement *query;
    struct select select; /* the statement's, with ORDER BY's columns behind its own */
    struct query_steps *steps;
};

/* first and last go by event time, and a row of a view has none. */
static int check_calls(const struct source *source, const struct syntax *syntax)
{
    if (syntax == NULL)
        return 0;
    if (syntax->kind == SYNTAX_CALL && syntax->text != NULL &&
        (strcmp(syntax->text, "first") == 0 || strcmp(syntax->text, "last") == 0))
        return source_error(
            source, ERR_UNSUPPORTED, syntax->at, "ORDER BY … LIMIT 1, or min(…) and max(…)",
            "%s goes by event time, which rows of a view do not have", syntax->text);
    for (uint32_t i = 0; i < syntax->arg_count; i++)
        TRY(check_calls(source, syntax->args[i]));
    return check_calls(source, syntax->filter);
}

/* The place that ORDER BY 2 names; 0: it is no number. */
static int order_place(const struct planning *p, const struct order_item *item, long *place)
{
    char *end;
    *place = 0;
    if (item->syntax->kind != SYNTAX_NUMBER)
        return 0;
    *place = strtol(item->syntax->text, &end, 10);
    if (*end == '\0' && *place >= 1)
        return 0;
    return source_error(&p->file->source, ERR_INVALID, item->at, NULL,
                        "ORDER BY position %s is not in the select list", item->syntax->text);
}

static const struct syntax *order_output(const struct planning *p, const struct syntax *syntax)
{
    if (syntax->kind != SYNTAX_COLUMN || syntax->path.count != 1)
        return syntax;
    for (uint32_t i = 0; i < p->query->select->item_count; i++) {
        const struct select_item *item = &p->query->select->items[i];
        if (item->name != NULL && item->syntax != NULL &&
            strcmp(item->name, syntax->path.parts[0]) == 0)
            return item->syntax;
    }
    return syntax;
}

/* The select list, and behind it what rows are ordered by. */
static int extend_items(struct planning *p)
{
    struct arena *arena = &p->file->program->arena;
    const struct select *written = p->query->select;
    uint32_t count = written->item_count;
    p->select = *written;
    p->select.is_positional = true;
    p->select.items =
        arena_zalloc(arena, (count + p->query->order_count + 1) * sizeof *p->select.items);
    if (p->select.items == NULL)
        return ERR_NOMEM;
    memcpy(p->select.items, written->items, count * sizeof *written->items);
    for (uint32_t i = 0; i < count; i++)
        TRY(check_calls(&p->file->source, written->items[i].syntax));
    TRY(check_calls(&p->file->source, written->having));
    for (uint32_t i = 0; i < p->query->order_count; i++) {
        const struct order_item *item = &p->query->order[i];
        long place;
        TRY(order_place(p, item, &place));
        if (place > 0)
            continue;
        struct syntax *copy = syntax_copy(arena, order_output(p, item->syntax));
        if (copy == NULL)
            return ERR_NOMEM;
        TRY(check_calls(&p->file->source, copy));
        p->select.items[count++] = (struct select_item){.syntax = copy, .at = item->at};
    }
    p->select.item_count = count;
    return 0;
}

static int place_order(struct planning *p)
{
    struct query_steps *steps = p->steps;
    uint32_t extra = p->select.item_count - p->query->select->item_count;
    steps->order =
        arena_zalloc(&p->file->program->arena, (p->query->order_count + 1) * sizeof *steps->order);
    if (steps->order == NULL)
        return ERR_NOMEM;
    steps->shown = steps->relation->column_count - extra;
    for (uint32_t i = 0, next = steps->shown; i < p->query->order_count; i++) {
        const struct order_item *item = &p->query->order[i];
        long place;
        TRY(order_place(p, item, &place));
        if (place > (long)steps->shown)
            return source_error(&p->file->source, ERR_INVALID, item->at, NULL,
                                "ORDER BY position %ld is not in the select list", place);
        steps->order[i] = place > 0 ? (uint32_t)place - 1 : next++;
    }
    return 0;
}

static int plan(struct planning *p, const struct query_columns *columns)
{
    struct arena *arena = &p->file->program->arena;
    struct relation *base = arena_zalloc(arena, sizeof *base);
    struct relation *out = arena_zalloc(arena, sizeof *out);
    if (base == NULL || out == NULL)
        return ERR_NOMEM;
    base->kind = RELATION_TABLE;
    base->name = columns->name;
    base->columns = columns->columns;
    base->column_count = columns->count;
    base->hidden_count = columns->hidden;
    base->time_column = -1;
    *p->steps = (struct query_steps){.relation = out};
    TRY(extend_items(p));
    TRY(plan_over(p->file, &p->select, base, NULL, out));
    p->steps->where = p->select.where;
    return place_order(p);
}

int sql_plan_query(struct sql_program *program, const char *text,
                   const struct query_statement *query, const struct query_columns *columns,
                   struct query_steps *steps, struct diag *diag)
{
    struct diag own = {0};
    struct compile_file *file = calloc(1, sizeof *file);
    if (file == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory to compile a question");
    file->program = program;
    file->source = (struct source){text, diag != NULL ? diag : &own};
    struct planning planning = {.file = file, .query = query, .steps = steps};
    int rc = plan(&planning, columns);
    free(file);
    return rc == ERR_NOMEM ? diag_set(diag, rc, "no memory to compile a question") : rc;
}
