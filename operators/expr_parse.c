/* expr_parse.c: from text to syntax, through PostgreSQL's own parser.
 *
 * libpg_query is PostgreSQL 15's grammar with its output as protobuf (its JSON output loses
 * negative integers). The text is put after "SELECT ", so that whatever stands in it is read
 * exactly as in psql; what a select list must not have (FROM, WHERE, a second statement) is then
 * found in the tree and refused. Positions that PostgreSQL reports are moved back by the prefix.
 *
 * The parser and protobuf-c recurse as deep as the text nests, so both run on a thread with a large
 * stack (expr_large_stack.c). What comes out of that thread is our own tree, no deeper than
 * EXPR_DEPTH_MAX; everything after it may recurse on any caller's stack.
 *
 * Each node type of PostgreSQL's that can be inside an expression either has a handler below or is
 * refused by name with its place. Nothing is skipped: a field of a handled node that would change
 * its meaning (DISTINCT, OVER, COLLATE, …) is checked. */
#include "operators/expr_parse.h"

#include <pg_query.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char prefix[] = "SELECT ";
enum { PREFIX_BYTES = sizeof prefix - 1 };

int32_t user_position(const struct parse *parse, int32_t location)
{
    return location < 0 || location < parse->shift ? -1 : location - parse->shift;
}

/* ---- The text ---- */

bool parse_utf8_valid(const uint8_t *text, size_t size, size_t *bad)
{
    size_t i = 0;
    while (i < size) {
        *bad = i;
        uint8_t c = text[i];
        size_t more = c < 0x80 ? 0 : (c & 0xE0) == 0xC0 ? 1 : (c & 0xF0) == 0xE0 ? 2 : 3;
        if (c >= 0x80 && (c < 0xC2 || c > 0xF4))
            return false;
        if (more >= size - i)
            return false;
        for (size_t k = 1; k <= more; k++) {
            if ((text[i + k] & 0xC0) != 0x80)
                return false;
        }
        uint8_t second = more > 0 ? text[i + 1] : 0;
        if ((c == 0xE0 && second < 0xA0) || (c == 0xED && second > 0x9F) ||
            (c == 0xF0 && second < 0x90) || (c == 0xF4 && second > 0x8F))
            return false;
        i += more + 1;
    }
    return true;
}

static int check_text(const struct source *source)
{
    size_t size = strnlen(source->sql, EXPR_TEXT_BYTES_MAX + 1), bad = 0;
    if (size > EXPR_TEXT_BYTES_MAX)
        return diag_set(source->diag, ERR_TOO_LARGE, "the expression is longer than %d bytes",
                        EXPR_TEXT_BYTES_MAX);
    if (!parse_utf8_valid((const uint8_t *)source->sql, size, &bad))
        return diag_set(source->diag, ERR_INVALID, "the expression is not valid UTF-8 at byte %zu",
                        bad);
    if (strspn(source->sql, " \t\r\n\f\v") == size)
        return diag_set(source->diag, ERR_INVALID, "the expression is empty");
    return 0;
}

/* ---- Nodes ---- */

static const struct {
    PgQuery__Node__NodeCase node;
    const char *what, *hint;
} refused[] = {
    {PG_QUERY__NODE__NODE_SUB_LINK, "a subquery", "join a table instead"},
    {PG_QUERY__NODE__NODE_PARAM_REF, "a parameter ($1)", "write the value"},
    {PG_QUERY__NODE__NODE_A_ARRAY_EXPR, "ARRAY[…]",
     "arrays have no type here; IN (…) takes a list"},
    {PG_QUERY__NODE__NODE_ROW_EXPR, "a row constructor", "compare the columns one by one with AND"},
    {PG_QUERY__NODE__NODE_A_INDIRECTION, "a subscript or field of an expression",
     "a field of a JSON object is written as a dotted name: customer.address.city"},
    {PG_QUERY__NODE__NODE_SQLVALUE_FUNCTION, "a value of the session or the clock",
     "a field that is named like an SQL keyword stands in double quotes: \"user\"; for the time "
     "use "
     "the event's own, so that a replay gives the same"},
    {PG_QUERY__NODE__NODE_COLLATE_CLAUSE, "COLLATE", "text is ordered by its bytes"},
    {PG_QUERY__NODE__NODE_GROUPING_FUNC, "GROUPING", NULL},
    {PG_QUERY__NODE__NODE_XML_EXPR, "XML", NULL},
    {PG_QUERY__NODE__NODE_XML_SERIALIZE, "XML", NULL},
    {PG_QUERY__NODE__NODE_A_STAR, "*", "name the columns"},
    {PG_QUERY__NODE__NODE_SET_TO_DEFAULT, "DEFAULT", NULL},
    {PG_QUERY__NODE__NODE_CURRENT_OF_EXPR, "CURRENT OF", NULL},
    {PG_QUERY__NODE__NODE_NAMED_ARG_EXPR, "a named argument", "pass arguments by position"},
};

/* The location of any node, found through the message's description; −1 when its type has none. */
static int32_t node_location(const struct parse *parse, const ProtobufCMessage *message)
{
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field_by_name(message->descriptor, "location");
    if (field == NULL || field->type != PROTOBUF_C_TYPE_INT32)
        return -1;
    int32_t location;
    memcpy(&location, (const uint8_t *)message + field->offset, sizeof location);
    return user_position(parse, location);
}

int refuse_node(struct parse *parse, const PgQuery__Node *node)
{
    int32_t at = -1;
    char what[80];
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field(node->base.descriptor, node->node_case);
    if (field != NULL && node->alias != NULL)
        at = node_location(parse, (const ProtobufCMessage *)node->alias);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        if (refused[i].node == node->node_case)
            return source_error(&parse->source, ERR_UNSUPPORTED, at < 0 ? parse->near : at,
                                refused[i].hint, "%s is not supported", refused[i].what);
    }
    snprintf(what, sizeof what, "%s", field != NULL ? field->name : "an empty node");
    return source_error(&parse->source, ERR_UNSUPPORTED, at < 0 ? parse->near : at, NULL,
                        "PostgreSQL's node %s is not supported", what);
}

static struct syntax *syntax_new(struct parse *parse, enum syntax_kind kind, int32_t location,
                                 size_t arg_count)
{
    struct syntax *syntax = arena_zalloc(parse->arena, sizeof *syntax);
    if (syntax == NULL)
        return NULL;
    syntax->kind = kind;
    syntax->at = user_position(parse, location);
    if (syntax->at < 0)
        syntax->at = parse->near;
    syntax->arg_count = (uint32_t)arg_count;
    if (arg_count > 0) {
        syntax->args = arena_zalloc(parse->arena, arg_count * sizeof *syntax->args);
        if (syntax->args == NULL)
            return NULL;
    }
    return syntax;
}

static int parse_args(struct parse *parse, struct syntax *syntax, PgQuery__Node **nodes,
                      size_t first, size_t count)
{
    for (size_t i = 0; i < count; i++)
        TRY(syntax_from_node(parse, nodes[i], &syntax->args[first + i]));
    return 0;
}

const char *string_of(const PgQuery__Node *node)
{
    return node->node_case == PG_QUERY__NODE__NODE_STRING ? node->string->sval : NULL;
}

/* ---- Literals and names ---- */

static int parse_literal(struct parse *parse, const PgQuery__AConst *constant, struct syntax **out)
{
    struct syntax *syntax = syntax_new(parse, SYNTAX_NULL, constant->location, 0);
    if (syntax == NULL)
        return ERR_NOMEM;
    *out = syntax;
    char digits[16];
    const char *text = "";
    if (constant->isnull)
        return 0;
    switch (constant->val_case) {
    case PG_QUERY__A__CONST__VAL_IVAL:
        snprintf(digits, sizeof digits, "%d", constant->ival->ival);
        syntax->kind = SYNTAX_NUMBER;
        text = digits;
        break;
    case PG_QUERY__A__CONST__VAL_FVAL:
        syntax->kind = SYNTAX_NUMBER;
        text = constant->fval->fval;
        break;
    case PG_QUERY__A__CONST__VAL_BOOLVAL:
        syntax->kind = SYNTAX_BOOLEAN;
        syntax->truth = constant->boolval->boolval;
        break;
    case PG_QUERY__A__CONST__VAL_SVAL:
        syntax->kind = SYNTAX_STRING;
        text = constant->sval->sval;
        break;
    default:
        return source_error(&parse->source, ERR_UNSUPPORTED, syntax->at, NULL,
                            "a bit string is not supported");
    }
    syntax->text = arena_text(parse->arena, text);
    return syntax->text != NULL ? 0 : ERR_NOMEM;
}

static int parse_column(struct parse *parse, const PgQuery__ColumnRef *column, struct syntax **out)
{
    struct syntax *syntax = syntax_new(parse, SYNTAX_COLUMN, column->location, 0);
    if (syntax == NULL)
        return ERR_NOMEM;
    *out = syntax;
    size_t parts_max = sizeof syntax->path.parts / sizeof syntax->path.parts[0];
    if (column->n_fields > parts_max)
        return source_error(&parse->source, ERR_TOO_LARGE, syntax->at, NULL,
                            "a name has at most %zu parts", parts_max);
    for (size_t i = 0; i < column->n_fields; i++) {
        const char *part = string_of(column->fields[i]);
        if (part == NULL) {
            parse->near = syntax->at;
            return refuse_node(parse, column->fields[i]);
        }
        if (strlen(part) > EXPR_NAME_BYTES_MAX)
            return source_error(&parse->source, ERR_TOO_LARGE, syntax->at, NULL,
                                "a name is longer than %d bytes", EXPR_NAME_BYTES_MAX);
        syntax->path.parts[i] = arena_text(parse->arena, part);
        if (syntax->path.parts[i] == NULL)
            return ERR_NOMEM;
    }
    syntax->path.count = (uint32_t)column->n_fields;
    return 0;
}

/* ---- Operators ---- */

static const char *const known_operators[] = {
    "+", "-",  "*", "/",  "%", "||", "->", "->>", "#>", "#>>",
    "=", "<>", "<", "<=", ">", ">=", "~",  "~*",  "!~", "!~*"};

static const char *operator_hint(const char *name)
{
    if (strchr(name, '~') != NULL)
        return "LIKE, ILIKE and the regular expressions of ~ and ~* match patterns";
    if (strchr(name, '>') != NULL || strchr(name, '#') != NULL || strchr(name, '@') != NULL ||
        strchr(name, '?') != NULL)
        return "a field of a JSON object is written as a dotted name: customer.address.city";
    if (strcmp(name, "^") == 0)
        return "multiply instead";
    return NULL;
}

static int parse_operator(struct parse *parse, const PgQuery__AExpr *expr, struct syntax **out)
{
    const char *name = expr->n_name == 1 ? string_of(expr->name[0]) : NULL;
    int32_t at = user_position(parse, expr->location);
    if (name == NULL)
        return source_error(&parse->source, ERR_UNSUPPORTED, at, "write the operator alone",
                            "OPERATOR(…) is not supported");
    const char *known = NULL;
    for (size_t i = 0; i < sizeof known_operators / sizeof known_operators[0]; i++) {
        if (strcmp(known_operators[i], name) == 0)
            known = known_operators[i];
    }
    bool unary = expr->lexpr == NULL;
    if (known == NULL || expr->rexpr == NULL ||
        (unary && strcmp(name, "-") != 0 && strcmp(name, "+") != 0))
        return source_error(&parse->source, ERR_UNSUPPORTED, at, operator_hint(name),
                            "operator %s is not supported%s", name,
                            known != NULL ? " before one value" : "");
    struct syntax *syntax = syntax_new(parse, SYNTAX_OPERATOR, expr->location, unary ? 1 : 2);
    if (syntax == NULL)
        return ERR_NOMEM;
    *out = syntax;
    syntax->text = known;
    if (!unary)
        TRY(syntax_from_node(parse, expr->lexpr, &syntax->args[0]));
    return syntax_from_node(parse, expr->rexpr, &syntax->args[unary ? 0 : 1]);
}

/* operand OP right, where the right side may be a list. */
static int parse_special(struct parse *parse, const PgQuery__AExpr *expr, enum syntax_kind kind,
                         bool negated, struct syntax **out)
{
    PgQuery__Node **items = (PgQuery__Node **)&expr->rexpr;
    size_t count = 1;
    if (expr->rexpr != NULL && expr->rexpr->node_case == PG_QUERY__NODE__NODE_LIST) {
        items = expr->rexpr->list->items;
        count = expr->rexpr->list->n_items;
    }
    struct syntax *syntax = syntax_new(parse, kind, expr->location, count + 1);
    if (syntax == NULL)
        return ERR_NOMEM;
    *out = syntax;
    syntax->negated = negated;
    TRY(syntax_from_node(parse, expr->lexpr, &syntax->args[0]));
    return parse_args(parse, syntax, items, 1, count);
}

static int parse_expr(struct parse *parse, const PgQuery__AExpr *expr, struct syntax **out)
{
    const char *name = expr->n_name > 0 ? string_of(expr->name[0]) : NULL;
    bool not_name = name != NULL && (name[0] == '!' || strcmp(name, "<>") == 0);
    int32_t at = user_position(parse, expr->location);
    switch (expr->kind) {
    case PG_QUERY__A__EXPR__KIND__AEXPR_OP:
        return parse_operator(parse, expr, out);
    case PG_QUERY__A__EXPR__KIND__AEXPR_DISTINCT:
        return parse_special(parse, expr, SYNTAX_DISTINCT, false, out);
    case PG_QUERY__A__EXPR__KIND__AEXPR_NOT_DISTINCT:
        return parse_special(parse, expr, SYNTAX_DISTINCT, true, out);
    case PG_QUERY__A__EXPR__KIND__AEXPR_NULLIF:
        return parse_special(parse, expr, SYNTAX_NULLIF, false, out);
    case PG_QUERY__A__EXPR__KIND__AEXPR_IN:
        return parse_special(parse, expr, SYNTAX_IN, not_name, out);
    case PG_QUERY__A__EXPR__KIND__AEXPR_LIKE:
        return parse_special(parse, expr, SYNTAX_LIKE, not_name, out);
    case PG_QUERY__A__EXPR__KIND__AEXPR_ILIKE:
        TRY(parse_special(parse, expr, SYNTAX_LIKE, not_name, out));
        (*out)->insensitive = true;
        return 0;
    case PG_QUERY__A__EXPR__KIND__AEXPR_BETWEEN:
        return parse_special(parse, expr, SYNTAX_BETWEEN, false, out);
    case PG_QUERY__A__EXPR__KIND__AEXPR_NOT_BETWEEN:
        return parse_special(parse, expr, SYNTAX_BETWEEN, true, out);
    case PG_QUERY__A__EXPR__KIND__AEXPR_BETWEEN_SYM:
    case PG_QUERY__A__EXPR__KIND__AEXPR_NOT_BETWEEN_SYM:
        TRY(parse_special(parse, expr, SYNTAX_BETWEEN,
                          expr->kind == PG_QUERY__A__EXPR__KIND__AEXPR_NOT_BETWEEN_SYM, out));
        (*out)->symmetric = true;
        return 0;
    case PG_QUERY__A__EXPR__KIND__AEXPR_OP_ANY:
    case PG_QUERY__A__EXPR__KIND__AEXPR_OP_ALL:
        return source_error(&parse->source, ERR_UNSUPPORTED, at, "use IN (…)",
                            "ANY and ALL are not supported");
    case PG_QUERY__A__EXPR__KIND__AEXPR_SIMILAR:
        return source_error(&parse->source, ERR_UNSUPPORTED, at, "use LIKE",
                            "SIMILAR TO is not supported");
    default:
        return source_error(&parse->source, ERR_UNSUPPORTED, at, NULL,
                            "this kind of operator is not supported");
    }
}

static int parse_bool(struct parse *parse, const PgQuery__BoolExpr *expr, struct syntax **out)
{
    enum syntax_kind kind;
    switch (expr->boolop) {
    case PG_QUERY__BOOL_EXPR_TYPE__AND_EXPR:
        kind = SYNTAX_AND;
        break;
    case PG_QUERY__BOOL_EXPR_TYPE__OR_EXPR:
        kind = SYNTAX_OR;
        break;
    case PG_QUERY__BOOL_EXPR_TYPE__NOT_EXPR:
        kind = SYNTAX_NOT;
        break;
    default:
        return source_error(&parse->source, ERR_UNSUPPORTED, parse->near, NULL,
                            "this boolean operator is not supported");
    }
    struct syntax *syntax = syntax_new(parse, kind, expr->location, expr->n_args);
    if (syntax == NULL)
        return ERR_NOMEM;
    *out = syntax;
    return parse_args(parse, syntax, expr->args, 0, expr->n_args);
}

static int parse_null_test(struct parse *parse, const PgQuery__NullTest *test, struct syntax **out)
{
    struct syntax *syntax = syntax_new(parse, SYNTAX_NULL_TEST, test->location, 1);
    if (syntax == NULL)
        return ERR_NOMEM;
    *out = syntax;
    if (test->nulltesttype != PG_QUERY__NULL_TEST_TYPE__IS_NULL &&
        test->nulltesttype != PG_QUERY__NULL_TEST_TYPE__IS_NOT_NULL)
        return source_error(&parse->source, ERR_UNSUPPORTED, syntax->at, NULL,
                            "this test is not supported");
    syntax->negated = test->nulltesttype == PG_QUERY__NULL_TEST_TYPE__IS_NOT_NULL;
    return syntax_from_node(parse, test->arg, &syntax->args[0]);
}

static int parse_boolean_test(struct parse *parse, const PgQuery__BooleanTest *test,
                              struct syntax **out)
{
    struct syntax *syntax = syntax_new(parse, SYNTAX_BOOLEAN_TEST, test->location, 1);
    if (syntax == NULL)
        return ERR_NOMEM;
    *out = syntax;
    switch (test->booltesttype) {
    case PG_QUERY__BOOL_TEST_TYPE__IS_TRUE:
    case PG_QUERY__BOOL_TEST_TYPE__IS_NOT_TRUE:
        syntax->test = TEST_TRUE;
        break;
    case PG_QUERY__BOOL_TEST_TYPE__IS_FALSE:
    case PG_QUERY__BOOL_TEST_TYPE__IS_NOT_FALSE:
        syntax->test = TEST_FALSE;
        break;
    case PG_QUERY__BOOL_TEST_TYPE__IS_UNKNOWN:
    case PG_QUERY__BOOL_TEST_TYPE__IS_NOT_UNKNOWN:
        syntax->test = TEST_UNKNOWN;
        break;
    default:
        return source_error(&parse->source, ERR_UNSUPPORTED, syntax->at, NULL,
                            "this test is not supported");
    }
    syntax->negated = test->booltesttype == PG_QUERY__BOOL_TEST_TYPE__IS_NOT_TRUE ||
                      test->booltesttype == PG_QUERY__BOOL_TEST_TYPE__IS_NOT_FALSE ||
                      test->booltesttype == PG_QUERY__BOOL_TEST_TYPE__IS_NOT_UNKNOWN;
    return syntax_from_node(parse, test->arg, &syntax->args[0]);
}

/* ---- CASE and its relatives ---- */

static int parse_case(struct parse *parse, const PgQuery__CaseExpr *expr, struct syntax **out)
{
    struct syntax *syntax = syntax_new(parse, SYNTAX_CASE, expr->location, 2 + 2 * expr->n_args);
    if (syntax == NULL)
        return ERR_NOMEM;
    *out = syntax;
    if (expr->arg != NULL)
        TRY(syntax_from_node(parse, expr->arg, &syntax->args[0]));
    for (size_t i = 0; i < expr->n_args; i++) {
        if (expr->args[i]->node_case != PG_QUERY__NODE__NODE_CASE_WHEN)
            return refuse_node(parse, expr->args[i]);
        const PgQuery__CaseWhen *when = expr->args[i]->case_when;
        TRY(syntax_from_node(parse, when->expr, &syntax->args[1 + 2 * i]));
        TRY(syntax_from_node(parse, when->result, &syntax->args[2 + 2 * i]));
    }
    if (expr->defresult != NULL)
        return syntax_from_node(parse, expr->defresult, &syntax->args[syntax->arg_count - 1]);
    return 0;
}

static int parse_min_max(struct parse *parse, const PgQuery__MinMaxExpr *expr, struct syntax **out)
{
    if (expr->op != PG_QUERY__MIN_MAX_OP__IS_GREATEST && expr->op != PG_QUERY__MIN_MAX_OP__IS_LEAST)
        return source_error(&parse->source, ERR_UNSUPPORTED, user_position(parse, expr->location),
                            NULL, "this function is not supported");
    struct syntax *syntax = syntax_new(
        parse, expr->op == PG_QUERY__MIN_MAX_OP__IS_GREATEST ? SYNTAX_GREATEST : SYNTAX_LEAST,
        expr->location, expr->n_args);
    if (syntax == NULL)
        return ERR_NOMEM;
    *out = syntax;
    return parse_args(parse, syntax, expr->args, 0, expr->n_args);
}

/* ---- Casts ---- */

static int parse_cast(struct parse *parse, const PgQuery__TypeCast *cast, struct syntax **out)
{
    struct syntax *syntax = syntax_new(parse, SYNTAX_CAST, cast->location, 1);
    if (syntax == NULL)
        return ERR_NOMEM;
    *out = syntax;
    if (cast->type_name == NULL)
        return source_error(&parse->source, ERR_INVALID, syntax->at, NULL, "a cast needs a type");
    TRY(type_from_name(parse, cast->type_name, syntax->at, &syntax->type));
    return syntax_from_node(parse, cast->arg, &syntax->args[0]);
}

/* ---- Calls ---- */

static int check_call(struct parse *parse, const PgQuery__FuncCall *call, int32_t at)
{
    if (call->over != NULL)
        return source_error(&parse->source, ERR_UNSUPPORTED, at,
                            "windows over time come from tumble and GROUP BY",
                            "a window function (OVER) is not supported");
    if (call->n_agg_order > 0)
        return source_error(&parse->source, ERR_UNSUPPORTED, at, NULL,
                            "%s inside a call is not supported",
                            call->agg_within_group ? "WITHIN GROUP" : "ORDER BY");
    if (call->func_variadic)
        return source_error(&parse->source, ERR_UNSUPPORTED, at, NULL, "VARIADIC is not supported");
    return 0;
}

static int parse_call(struct parse *parse, const PgQuery__FuncCall *call, struct syntax **out)
{
    struct syntax *syntax = syntax_new(parse, SYNTAX_CALL, call->location, call->n_args);
    if (syntax == NULL)
        return ERR_NOMEM;
    *out = syntax;
    TRY(check_call(parse, call, syntax->at));
    const char *name =
        call->n_funcname > 0 ? string_of(call->funcname[call->n_funcname - 1]) : NULL;
    const char *schema = call->n_funcname == 2 ? string_of(call->funcname[0]) : NULL;
    if (name == NULL || call->n_funcname > 2 ||
        (call->n_funcname == 2 && (schema == NULL || strcmp(schema, "pg_catalog") != 0)))
        return source_error(&parse->source, ERR_UNSUPPORTED, syntax->at, NULL,
                            "a function's name has no schema here");
    syntax->text = arena_text(parse->arena, name);
    if (syntax->text == NULL)
        return ERR_NOMEM;
    syntax->star = call->agg_star;
    syntax->distinct = call->agg_distinct;
    if (call->agg_filter != NULL)
        TRY(syntax_from_node(parse, call->agg_filter, &syntax->filter));
    return parse_args(parse, syntax, call->args, 0, call->n_args);
}

/* ---- The walk ---- */

static int node_dispatch(struct parse *parse, const PgQuery__Node *node, struct syntax **out)
{
    switch (node->node_case) {
    case PG_QUERY__NODE__NODE_A_CONST:
        return parse_literal(parse, node->a_const, out);
    case PG_QUERY__NODE__NODE_COLUMN_REF:
        return parse_column(parse, node->column_ref, out);
    case PG_QUERY__NODE__NODE_A_EXPR:
        return parse_expr(parse, node->a_expr, out);
    case PG_QUERY__NODE__NODE_BOOL_EXPR:
        return parse_bool(parse, node->bool_expr, out);
    case PG_QUERY__NODE__NODE_NULL_TEST:
        return parse_null_test(parse, node->null_test, out);
    case PG_QUERY__NODE__NODE_BOOLEAN_TEST:
        return parse_boolean_test(parse, node->boolean_test, out);
    case PG_QUERY__NODE__NODE_CASE_EXPR:
        return parse_case(parse, node->case_expr, out);
    case PG_QUERY__NODE__NODE_COALESCE_EXPR: {
        const PgQuery__CoalesceExpr *coalesce = node->coalesce_expr;
        *out = syntax_new(parse, SYNTAX_COALESCE, coalesce->location, coalesce->n_args);
        return *out != NULL ? parse_args(parse, *out, coalesce->args, 0, coalesce->n_args)
                            : ERR_NOMEM;
    }
    case PG_QUERY__NODE__NODE_MIN_MAX_EXPR:
        return parse_min_max(parse, node->min_max_expr, out);
    case PG_QUERY__NODE__NODE_TYPE_CAST:
        return parse_cast(parse, node->type_cast, out);
    case PG_QUERY__NODE__NODE_FUNC_CALL:
        return parse_call(parse, node->func_call, out);
    default:
        return refuse_node(parse, node);
    }
}

int syntax_from_node(struct parse *parse, const PgQuery__Node *node, struct syntax **out)
{
    *out = NULL;
    if (node == NULL)
        return source_error(&parse->source, ERR_INVALID, parse->near, NULL, "a value is missing");
    if (parse->depth >= EXPR_DEPTH_MAX)
        return source_error(&parse->source, ERR_TOO_LARGE, parse->near,
                            "split it into two views, or write a long list of OR as IN (…)",
                            "the expression is nested deeper than %d levels", EXPR_DEPTH_MAX);
    parse->depth++;
    int rc = node_dispatch(parse, node, out);
    parse->depth--;
    return rc;
}

/* What may not follow a select list, and how it is called. */
static const char *trailing_clause(const PgQuery__SelectStmt *select)
{
    return select->op != PG_QUERY__SET_OPERATION__SETOP_NONE ? "UNION, INTERSECT or EXCEPT"
           : select->with_clause != NULL                     ? "WITH"
           : select->n_distinct_clause > 0                   ? "DISTINCT"
           : select->into_clause != NULL                     ? "INTO"
           : select->n_from_clause > 0                       ? "FROM"
           : select->where_clause != NULL                    ? "WHERE"
           : select->n_group_clause > 0                      ? "GROUP BY"
           : select->having_clause != NULL                   ? "HAVING"
           : select->n_window_clause > 0                     ? "WINDOW"
           : select->n_values_lists > 0                      ? "VALUES"
           : select->n_sort_clause > 0                       ? "ORDER BY"
           : select->limit_offset != NULL                    ? "OFFSET"
           : select->limit_count != NULL                     ? "LIMIT"
           : select->n_locking_clause > 0                    ? "FOR UPDATE"
                                                             : NULL;
}

int targets_from_nodes(struct parse *parse, PgQuery__Node **nodes, size_t count,
                       struct target_list *list)
{
    list->items = arena_zalloc(parse->arena, count * sizeof *list->items);
    if (list->items == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < count; i++) {
        const PgQuery__Node *node = nodes[i];
        if (node->node_case != PG_QUERY__NODE__NODE_RES_TARGET)
            return refuse_node(parse, node);
        struct target *target = &list->items[i];
        target->at = parse->near = user_position(parse, node->res_target->location);
        TRY(syntax_from_node(parse, node->res_target->val, &target->syntax));
        const char *name = node->res_target->name;
        if (name == NULL || name[0] == '\0')
            continue;
        if (strlen(name) > EXPR_NAME_BYTES_MAX)
            return source_error(&parse->source, ERR_TOO_LARGE, target->at, NULL,
                                "a name is longer than %d bytes", EXPR_NAME_BYTES_MAX);
        target->name = arena_text(parse->arena, name);
        if (target->name == NULL)
            return ERR_NOMEM;
    }
    list->count = (uint32_t)count;
    return 0;
}

static int parse_tree(struct parse *parse, const PgQuery__ParseResult *tree,
                      struct target_list *list)
{
    const struct source *source = &parse->source;
    if (tree->n_stmts != 1)
        return source_error(source, ERR_INVALID,
                            tree->n_stmts > 1 ? user_position(parse, tree->stmts[1]->stmt_location)
                                              : -1,
                            NULL, "one expression is expected, not several statements");
    const PgQuery__Node *statement = tree->stmts[0]->stmt;
    if (statement == NULL || statement->node_case != PG_QUERY__NODE__NODE_SELECT_STMT)
        return source_error(source, ERR_INVALID, -1, NULL, "an expression is expected");
    const char *clause = trailing_clause(statement->select_stmt);
    if (clause != NULL)
        return source_error(source, ERR_UNSUPPORTED, -1,
                            "an expression stands alone; clauses belong to the statement around it",
                            "%s is not supported in an expression", clause);
    if (statement->select_stmt->n_target_list == 0)
        return source_error(source, ERR_INVALID, -1, NULL, "the expression is empty");
    return targets_from_nodes(parse, statement->select_stmt->target_list,
                              statement->select_stmt->n_target_list, list);
}

/* PostgreSQL counts characters from 1. */
int32_t cursor_position(const struct parse *parse, const char *parsed, int cursor)
{
    if (cursor <= 0)
        return -1;
    const char *c = parsed;
    for (int left = cursor - 1; left > 0 && *c != '\0'; left--) {
        do
            c++;
        while (((unsigned char)*c & 0xC0) == 0x80);
    }
    return user_position(parse, (int32_t)(c - parsed));
}

struct parse_job {
    struct parse parse;
    struct target_list *list;
    int rc;
};

bool parse_was_too_deep(const char *message)
{
    return strstr(message, "memory exhausted") != NULL || strstr(message, "stack depth") != NULL;
}

static int parser_error(const struct parse_job *job, const char *wrapped, const PgQueryError *error)
{
    if (parse_was_too_deep(error->message))
        return source_error(&job->parse.source, ERR_TOO_LARGE, -1, NULL,
                            "the expression is nested too deeply");
    return source_error(&job->parse.source, ERR_INVALID,
                        cursor_position(&job->parse, wrapped, error->cursorpos), NULL, "%s",
                        error->message);
}

static void parse_text(void *argument)
{
    struct parse_job *job = argument;
    size_t size = strlen(job->parse.source.sql);
    char *wrapped = malloc(PREFIX_BYTES + size + 1);
    job->rc = ERR_NOMEM;
    if (wrapped == NULL)
        return;
    memcpy(wrapped, prefix, PREFIX_BYTES);
    memcpy(wrapped + PREFIX_BYTES, job->parse.source.sql, size + 1);
    PgQueryProtobufParseResult result = pg_query_parse_protobuf(wrapped);
    PgQuery__ParseResult *tree = NULL;
    if (result.error != NULL) {
        job->rc = parser_error(job, wrapped, result.error);
    } else {
        tree = pg_query__parse_result__unpack(NULL, result.parse_tree.len,
                                              (const uint8_t *)result.parse_tree.data);
        if (tree != NULL)
            job->rc = parse_tree(&job->parse, tree, job->list);
    }
    if (tree != NULL)
        pg_query__parse_result__free_unpacked(tree, NULL);
    pg_query_free_protobuf_parse_result(result);
    free(wrapped);
}

int syntax_parse(const char *sql, struct arena *arena, struct target_list *list, struct diag *diag)
{
    struct parse_job job = {
        .parse = {.source = {sql, diag}, .arena = arena, .shift = PREFIX_BYTES, .near = -1},
        .list = list};
    *list = (struct target_list){0};
    TRY(check_text(&job.parse.source));
    TRY(expr_on_large_stack(parse_text, &job, diag));
    if (job.rc == ERR_NOMEM)
        return diag_set(diag, ERR_NOMEM, "no memory to parse an expression");
    return job.rc;
}
