/* sql_table.c: CREATE TABLE: columns, where they are in a record, what a good row is. */
#include "runtime/sql/sql_nodes.h"

#include <string.h>

static struct column_check *add_check(struct parse *parse, struct column_check ***end)
{
    struct column_check *check = arena_zalloc(parse->arena, sizeof *check);
    if (check != NULL) {
        **end = check;
        *end = &check->next;
    }
    return check;
}

/* A constraint's name is the class of rows that break it, which goes into headers and metrics. */
static bool is_class(const char *text)
{
    size_t size = strlen(text);
    return size > 0 && size <= 60 && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_") == size;
}

static int read_check(struct parse *parse, const PgQuery__Constraint *constraint,
                      struct column_check ***end)
{
    struct column_check *check = add_check(parse, end);
    if (check == NULL)
        return ERR_NOMEM;
    check->at = parse->near = user_position(parse, constraint->location);
    check->error_class = "check";
    if (constraint->conname != NULL && constraint->conname[0] != '\0') {
        if (!is_class(constraint->conname))
            return source_error(&parse->source, ERR_INVALID, check->at,
                                "the name becomes the class of the rows that fail",
                                "a constraint's name has 1 to 60 characters of [a-z0-9_]");
        check->error_class = arena_text(parse->arena, constraint->conname);
        if (check->error_class == NULL)
            return ERR_NOMEM;
    }
    TRY(nodes_know(parse, &constraint->base, "CHECK",
                   "contype conname raw_expr initially_valid skip_validation"));
    return syntax_from_node(parse, constraint->raw_expr, &check->condition);
}

static int read_column_constraint(struct parse *parse, const PgQuery__Node *node,
                                  struct column_definition *column, struct column_check ***end)
{
    if (node->node_case != PG_QUERY__NODE__NODE_CONSTRAINT)
        return refuse_node(parse, node);
    const PgQuery__Constraint *constraint = node->constraint;
    switch (constraint->contype) {
    case PG_QUERY__CONSTR_TYPE__CONSTR_NOTNULL:
        column->not_null = true;
        return nodes_know(parse, &constraint->base, "NOT NULL", "contype initially_valid");
    case PG_QUERY__CONSTR_TYPE__CONSTR_NULL:
        return nodes_know(parse, &constraint->base, "NULL", "contype initially_valid");
    case PG_QUERY__CONSTR_TYPE__CONSTR_CHECK:
        return read_check(parse, constraint, end);
    case PG_QUERY__CONSTR_TYPE__CONSTR_PRIMARY:
        column->is_primary_key = true;
        return nodes_know(parse, &constraint->base, "PRIMARY KEY", "contype initially_valid");
    case PG_QUERY__CONSTR_TYPE__CONSTR_DEFAULT:
        return nodes_refuse(parse, constraint->location, "COALESCE(column, value) in the SELECT",
                            "DEFAULT");
    case PG_QUERY__CONSTR_TYPE__CONSTR_UNIQUE:
        return nodes_refuse(parse, constraint->location,
                            "PRIMARY KEY keeps the latest row of a key", "UNIQUE");
    case PG_QUERY__CONSTR_TYPE__CONSTR_FOREIGN:
        return nodes_refuse(parse, constraint->location, NULL, "REFERENCES");
    default:
        return nodes_refuse(parse, constraint->location, NULL, "this constraint");
    }
}

/* jsonb is a value that expressions reach into; all other types are those of casts. */
static int read_type(struct parse *parse, const PgQuery__ColumnDef *definition,
                     struct column_definition *column)
{
    const PgQuery__TypeName *type = definition->type_name;
    if (type == NULL)
        return source_error(&parse->source, ERR_INVALID, column->name.at, NULL,
                            "column %s needs a type", column->name.text);
    const char *name = type->n_names > 0 ? string_of(type->names[type->n_names - 1]) : NULL;
    if (name != NULL && type->n_names == 1 && strcmp(name, "jsonb") == 0) {
        column->type = (struct sql_type){.type = COL_VARIANT, .name = "jsonb"};
        return nodes_know(parse, &type->base, "a type", "names typemod");
    }
    return type_from_name(parse, type, column->name.at, &column->type);
}

static int read_path(struct parse *parse, const struct option_list *options,
                     struct column_definition *column)
{
    column->path = (struct field_path){.parts = {column->name.text}, .count = 1};
    for (uint32_t i = 0; i < options->count; i++) {
        const struct sql_option *option = &options->items[i];
        if (strcmp(option->key.text, "path") != 0)
            return source_error(&parse->source, ERR_INVALID, option->key.at,
                                "OPTIONS (path 'properties.page')", "a column has no option %s",
                                option->key.text);
        char *parts = arena_text(parse->arena, option->value);
        if (parts == NULL)
            return ERR_NOMEM;
        column->has_path = true;
        column->path.count = 0;
        for (char *part = parts, *dot; part != NULL; part = dot) {
            dot = strchr(part, '.');
            if (dot != NULL)
                *dot++ = '\0';
            if (part[0] == '\0' || strlen(part) > EXPR_NAME_BYTES_MAX ||
                column->path.count == sizeof column->path.parts / sizeof column->path.parts[0])
                return source_error(&parse->source, ERR_INVALID, option->key.at,
                                    "OPTIONS (path 'properties.page'): at most 8 names of 59 bytes",
                                    "'%s' is no path", option->value);
            column->path.parts[column->path.count++] = part;
        }
    }
    return 0;
}

static int read_column(struct parse *parse, const PgQuery__ColumnDef *definition,
                       struct statement *statement, struct column_check ***end)
{
    struct column_definition *column = &statement->columns[statement->column_count];
    struct option_list options;
    TRY(nodes_name(parse, definition->colname, definition->location, &column->name));
    parse->near = column->name.at;
    TRY(nodes_know(parse, &definition->base, "a column",
                   "colname type_name is_local constraints fdwoptions"));
    for (uint32_t i = 0; i < statement->column_count; i++)
        if (strcmp(statement->columns[i].name.text, column->name.text) == 0)
            return source_error(&parse->source, ERR_INVALID, column->name.at, NULL,
                                "two columns are named \"%s\"", column->name.text);
    if (column->name.text[0] == '_')
        return source_error(&parse->source, ERR_INVALID, column->name.at,
                            "\"name\" text OPTIONS (path '_name') gives the field another name",
                            "a column's name does not begin with _, as system columns' do");
    TRY(read_type(parse, definition, column));
    TRY(nodes_options(parse, definition->fdwoptions, definition->n_fdwoptions, &options));
    TRY(read_path(parse, &options, column));
    for (size_t i = 0; i < definition->n_constraints; i++)
        TRY(read_column_constraint(parse, definition->constraints[i], column, end));
    statement->column_count++;
    return 0;
}

static int read_primary_key(struct parse *parse, const PgQuery__Constraint *constraint,
                            struct statement *statement)
{
    parse->near = user_position(parse, constraint->location);
    TRY(nodes_know(parse, &constraint->base, "PRIMARY KEY",
                   "contype conname keys initially_valid"));
    for (size_t i = 0; i < constraint->n_keys; i++) {
        const char *name = string_of(constraint->keys[i]);
        uint32_t c = 0;
        while (c < statement->column_count && name != NULL &&
               strcmp(statement->columns[c].name.text, name) != 0)
            c++;
        if (name == NULL || c == statement->column_count)
            return source_error(&parse->source, ERR_INVALID, parse->near, NULL,
                                "column \"%s\" of PRIMARY KEY does not exist",
                                name != NULL ? name : "");
        statement->columns[c].is_primary_key = true;
    }
    return 0;
}

static int read_table_constraint(struct parse *parse, const PgQuery__Constraint *constraint,
                                 struct statement *statement, struct column_check ***end)
{
    if (constraint->contype == PG_QUERY__CONSTR_TYPE__CONSTR_CHECK)
        return read_check(parse, constraint, end);
    if (constraint->contype == PG_QUERY__CONSTR_TYPE__CONSTR_PRIMARY)
        return read_primary_key(parse, constraint, statement);
    return nodes_refuse(parse, constraint->location, "CHECK and PRIMARY KEY are",
                        "this constraint");
}

int nodes_create_table(struct parse *parse, const PgQuery__CreateStmt *create,
                       struct statement *statement)
{
    struct column_check **end = &statement->checks;
    TRY(nodes_relation(parse, create->relation, &statement->name));
    statement->only_if = create->if_not_exists;
    TRY(nodes_know(parse, &create->base, "CREATE TABLE",
                   "relation table_elts options if_not_exists"));
    TRY(nodes_options(parse, create->options, create->n_options, &statement->options));
    if (create->n_table_elts > SQL_COLUMNS_MAX)
        return source_error(&parse->source, ERR_TOO_LARGE, statement->name.at, NULL,
                            "a table has at most %d columns", SQL_COLUMNS_MAX);
    statement->columns =
        arena_zalloc(parse->arena, (create->n_table_elts + 1) * sizeof *statement->columns);
    if (statement->columns == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < create->n_table_elts; i++) {
        const PgQuery__Node *node = create->table_elts[i];
        if (node->node_case == PG_QUERY__NODE__NODE_COLUMN_DEF)
            TRY(read_column(parse, node->column_def, statement, &end));
        else if (node->node_case == PG_QUERY__NODE__NODE_CONSTRAINT)
            TRY(read_table_constraint(parse, node->constraint, statement, &end));
        else
            return refuse_node(parse, node);
    }
    if (statement->column_count == 0)
        return source_error(&parse->source, ERR_INVALID, statement->name.at,
                            "CREATE TABLE t (user_id text, ts timestamptz) WITH (topic = 't')",
                            "table %s has no columns", statement->name.text);
    return 0;
}
