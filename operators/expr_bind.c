/* expr_bind.c: from syntax to typed nodes: names, types, implicit conversions, constants.
 *
 * Types follow PostgreSQL's rules for the eight column types. An untyped literal takes the type of
 * what it meets; bigint widens to numeric and numeric to double precision. Uncast JSON meets a type
 * half-way: the typed side keeps its type and the JSON side is looked at row by row, so `status =
 * 'paid'` compares texts and rejects the row whose status is a number. JSON never becomes a time by
 * itself, since an integer could be seconds as well as milliseconds: that takes a written cast.
 *
 * Nodes whose arguments are all literals are evaluated here, once, by the same code that evaluates
 * batches. When that fails (1 / 0) the node stays as it is and fails in each row that reaches it,
 * so CASE still guards it. An untyped literal that cannot be read as the type it has to take is a
 * mistake in the text and is reported with its place. */
#include "operators/expr_internal.h"

#include "operators/expr_nodes.h"

#include <stdio.h>

const char *type_name(uint8_t type)
{
    static const char *const names[] = {[COL_VARIANT] = "json",
                                        [COL_BOOLEAN] = "boolean",
                                        [COL_BIGINT] = "bigint",
                                        [COL_DOUBLE] = "double precision",
                                        [COL_NUMERIC] = "numeric",
                                        [COL_TEXT] = "text",
                                        [COL_TIMESTAMPTZ] = "timestamptz",
                                        [COL_INTERVAL] = "interval",
                                        [COL_BYTEA] = "bytea",
                                        [TYPE_NUMBER] = "json number",
                                        [TYPE_UNKNOWN] = "unknown"};
    return names[type];
}

struct node *node_new(struct binder *binder, node_eval eval, uint8_t type, int32_t at,
                      uint32_t arg_count)
{
    struct node *node = arena_zalloc(binder->arena, sizeof *node);
    if (node == NULL)
        return NULL;
    node->eval = eval;
    node->type = type;
    node->at = at;
    node->arg_count = arg_count;
    if (arg_count > 0) {
        node->args = arena_zalloc(binder->arena, arg_count * sizeof(struct node *));
        if (node->args == NULL)
            return NULL;
    }
    return node;
}

/* ---- Literals ---- */

bool node_is_literal(const struct node *node)
{
    return node->eval == eval_literal;
}

bool node_is_null_literal(const struct node *node)
{
    return node_is_literal(node) && column_is_null(&node->value, 0);
}

/* A literal of the type from the first value of column. */
static int make_literal(struct binder *binder, uint8_t type, int32_t at,
                        const struct column *column, struct node **out)
{
    struct node *node = node_new(binder, eval_literal, type, at, 0);
    size_t size = col_type_bytes(column->type);
    if (node == NULL)
        return ERR_NOMEM;
    node->value = (struct column){.type = column->type, .constant = true};
    node->value.data = arena_zalloc(binder->arena, size);
    if (node->value.data == NULL)
        return ERR_NOMEM;
    *out = node;
    if (column_is_null(column, 0)) {
        if (column->type == COL_VARIANT)
            return 0;
        node->value.nulls = arena_zalloc(binder->arena, 1);
        if (node->value.nulls == NULL)
            return ERR_NOMEM;
        node->value.nulls[0] = 1;
        return 0;
    }
    memcpy(node->value.data, column->data, size);
    if (column->type == COL_TEXT || column->type == COL_BYTEA) {
        node->value.text[0] = arena_copy(binder->arena, column->text[0]);
        return node->value.text[0].data != NULL ? 0 : ERR_NOMEM;
    }
    struct variant *variant = node->value.variant;
    if (column->type == COL_VARIANT && variant->kind >= VARIANT_NUMBER) {
        struct bytes copy = arena_copy(binder->arena, bytes_of(variant->data, variant->size));
        variant->data = copy.data;
        return copy.data != NULL ? 0 : ERR_NOMEM;
    }
    return 0;
}

int bind_null(struct binder *binder, uint8_t type, int32_t at, struct node **out)
{
    uint8_t null = 1;
    struct variant variant = {.kind = VARIANT_NULL};
    struct column column = {.type = type_layout(type), .constant = true, .nulls = &null};
    if (column.type == COL_VARIANT) {
        column.nulls = NULL;
        column.variant = &variant;
    }
    return make_literal(binder, type, at, &column, out);
}

static int bind_string(struct binder *binder, const struct syntax *syntax, struct node **out)
{
    struct bytes text = bytes_text(syntax->text);
    struct column column = {.type = COL_TEXT, .constant = true, .text = &text};
    return make_literal(binder, TYPE_UNKNOWN, syntax->at, &column, out);
}

static int bind_boolean(struct binder *binder, const struct syntax *syntax, struct node **out)
{
    uint8_t value = syntax->truth;
    struct column column = {.type = COL_BOOLEAN, .constant = true, .boolean = &value};
    return make_literal(binder, COL_BOOLEAN, syntax->at, &column, out);
}

static int bind_number(struct binder *binder, const struct syntax *syntax, struct node **out)
{
    struct numeric value;
    int64_t i64;
    struct column column = {.type = COL_NUMERIC, .constant = true, .numeric = &value};
    int rc = number_parse(bytes_text(syntax->text), &value);
    if (rc != 0)
        return source_error(&binder->source, ERR_INVALID, syntax->at, NULL,
                            "the number does not fit %d digits", NUMERIC_MAX_DIGITS);
    bool digits_only = strspn(syntax->text, "-0123456789") == strlen(syntax->text);
    if (digits_only && numeric_to_i64(value, &i64) == 0) {
        column.type = COL_BIGINT;
        column.i64 = &i64;
    }
    return make_literal(binder, (uint8_t)column.type, syntax->at, &column, out);
}

/* Evaluates a node whose arguments are literals. *failure is the message of a row error (in arena),
 * or NULL. */
static int evaluate_once(struct binder *binder, struct arena *arena, struct node *node,
                         struct node **out, const char **failure)
{
    struct batch batch = {.row_count = 1, .selected_count = 1, .arena = arena};
    struct reject_list rejects = {.arena = arena};
    struct eval_run run = {.batch = &batch, .arena = arena, .rejects = &rejects};
    struct eval eval = {.run = &run, .count = 1};
    struct column column;
    *failure = NULL;
    TRY(node_run(node, &eval, &column));
    if (rejects.count > 0) {
        *failure = rejects.items[0].message;
        return 0;
    }
    return make_literal(binder, node->type, node->at, &column, out);
}

int bind_fold(struct binder *binder, struct node **node)
{
    if (node_is_literal(*node) || (*node)->eval == eval_column || (*node)->eval == eval_record)
        return 0;
    for (uint32_t i = 0; i < (*node)->arg_count; i++) {
        if ((*node)->args[i] != NULL && !node_is_literal((*node)->args[i]))
            return 0;
    }
    struct arena arena;
    const char *failure;
    arena_init(&arena, 0);
    int rc = evaluate_once(binder, &arena, *node, node, &failure);
    arena_deinit(&arena);
    return rc;
}

/* ---- Conversions ---- */

static const char *coerce_hint(uint8_t from, uint8_t to)
{
    if (type_is_json(from) && to == COL_TIMESTAMPTZ)
        return "write a cast: field::timestamptz (epoch milliseconds or ISO 8601)";
    if (type_is_json(to) && from == COL_TIMESTAMPTZ)
        return "write a cast: field::timestamptz (epoch milliseconds or ISO 8601)";
    if (from == COL_BYTEA || to == COL_BYTEA)
        return "write a cast: field::bytea (\\x and hexadecimal digits), or convert_from(value, "
               "'UTF8')";
    return "write a cast, as in value::numeric";
}

static bool coercible(uint8_t from, uint8_t to)
{
    switch (from) {
    case COL_VARIANT:
        return to != COL_TIMESTAMPTZ && to != COL_INTERVAL && to != COL_BYTEA;
    case COL_BIGINT:
        return type_is_numeric(to) || to == COL_VARIANT;
    case COL_NUMERIC:
        return to == COL_DOUBLE || to == COL_VARIANT;
    case TYPE_NUMBER:
        return type_is_numeric(to) || to == COL_VARIANT;
    case COL_DOUBLE:
    case COL_BOOLEAN:
    case COL_TEXT:
        return to == COL_VARIANT;
    default:
        return false;
    }
}

/* A conversion node over *node. */
static int convert(struct binder *binder, struct node **node, const struct sql_type *target,
                   bool explicit_cast, int32_t at)
{
    struct node *arg = *node;
    struct node *cast = node_new(binder, NULL, target->type, at, 1);
    if (cast == NULL)
        return ERR_NOMEM;
    cast->args[0] = arg;
    cast->target = *target;
    cast->explicit_cast = explicit_cast;
    cast->name = type_name(target->type);
    if (!cast_choose(arg->type, target, explicit_cast, &cast->eval, &cast->scalar))
        return source_error(&binder->source, ERR_INVALID, at, cast_hint(arg->type, target->type),
                            "cannot cast %s to %s", type_name(arg->type), target->name);
    *node = cast;
    return 0;
}

/* Reads an untyped literal as the type; what cannot be read is a mistake in the text. */
static int literal_as(struct binder *binder, struct node **node, const struct sql_type *target)
{
    int32_t at = (*node)->at;
    if (node_is_null_literal(*node))
        return bind_null(binder, target->type, at, node);
    (*node)->type = COL_TEXT;
    if (target->type == COL_TEXT)
        return 0;
    struct arena arena;
    const char *failure = NULL;
    TRY(convert(binder, node, target, true, at));
    arena_init(&arena, 0);
    int rc = evaluate_once(binder, &arena, *node, node, &failure);
    if (rc == 0 && failure != NULL)
        rc = source_error(&binder->source, ERR_INVALID, at, NULL, "%s", failure);
    arena_deinit(&arena);
    return rc;
}

int bind_coerce(struct binder *binder, struct node **node, uint8_t type)
{
    uint8_t from = (*node)->type;
    struct sql_type target = {.type = type, .integer_bytes = 8, .name = type_name(type)};
    if (from == type)
        return 0;
    if (from == TYPE_UNKNOWN) {
        if (type != COL_VARIANT && type != TYPE_NUMBER)
            return literal_as(binder, node, &target);
        if (type == TYPE_NUMBER) {
            target.type = COL_NUMERIC;
            target.name = "numeric";
            TRY(literal_as(binder, node, &target));
            return bind_coerce(binder, node, COL_VARIANT) == 0 ? bind_coerce(binder, node, type)
                                                               : ERR_NOMEM;
        }
        if (node_is_null_literal(*node))
            return bind_null(binder, COL_VARIANT, (*node)->at, node);
        (*node)->type = from = COL_TEXT;
    }
    if (!coercible(from, type))
        return source_error(&binder->source, ERR_INVALID, (*node)->at, coerce_hint(from, type),
                            "a value of type %s is needed here, not %s", type_name(type),
                            type_name(from));
    TRY(convert(binder, node, &target, false, (*node)->at));
    return bind_fold(binder, node);
}

int bind_cast(struct binder *binder, struct node **node, const struct sql_type *target, int32_t at)
{
    bool plain = target->precision == 0 && target->integer_bytes != 2 && target->integer_bytes != 4;
    if ((*node)->type == TYPE_UNKNOWN)
        return literal_as(binder, node, target);
    if ((*node)->type == target->type && plain)
        return 0;
    TRY(convert(binder, node, target, true, at));
    return bind_fold(binder, node);
}

/* ---- Common types ---- */

static uint8_t wider_number(uint8_t a, uint8_t b)
{
    if (a == COL_DOUBLE || b == COL_DOUBLE)
        return COL_DOUBLE;
    if (a == COL_NUMERIC || b == COL_NUMERIC)
        return COL_NUMERIC;
    return a == b ? a : TYPE_NUMBER;
}

/* The type that all results of CASE, COALESCE, … are brought to. */
static int common_type(struct binder *binder, struct node **nodes, uint32_t count, const char *what,
                       uint8_t *out)
{
    uint8_t type = TYPE_UNKNOWN;
    bool json = false;
    for (uint32_t i = 0; i < count; i++) {
        uint8_t next = nodes[i] != NULL ? nodes[i]->type : TYPE_UNKNOWN;
        if (next == COL_VARIANT) {
            json = true;
            continue;
        }
        if (next == TYPE_UNKNOWN || next == type)
            continue;
        if (type == TYPE_UNKNOWN)
            type = next;
        else if (type_is_numeric(type) && type_is_numeric(next))
            type = wider_number(type, next);
        else
            return source_error(&binder->source, ERR_INVALID, nodes[i]->at,
                                "write a cast, as in value::text", "%s cannot mix types %s and %s",
                                what, type_name(type), type_name(next));
    }
    if (json && (type == COL_TIMESTAMPTZ || type == COL_INTERVAL || type == COL_BYTEA))
        return source_error(&binder->source, ERR_INVALID, nodes[0]->at,
                            coerce_hint(COL_VARIANT, type), "%s cannot mix types json and %s", what,
                            type_name(type));
    *out = json ? COL_VARIANT : type == TYPE_UNKNOWN ? COL_TEXT : type;
    return 0;
}

/* What the two sides of a comparison become; false: they cannot be compared. */
static bool comparand_types(uint8_t a, uint8_t b, uint8_t *a_out, uint8_t *b_out)
{
    uint8_t *unknown = a == TYPE_UNKNOWN ? a_out : b_out;
    if (a == TYPE_NUMBER)
        a = COL_NUMERIC;
    if (b == TYPE_NUMBER)
        b = COL_NUMERIC;
    *a_out = a;
    *b_out = b;
    if (a == TYPE_UNKNOWN && b == TYPE_UNKNOWN) {
        *a_out = *b_out = COL_TEXT;
        return true;
    }
    if (a == TYPE_UNKNOWN || b == TYPE_UNKNOWN) {
        uint8_t other = a == TYPE_UNKNOWN ? b : a;
        *unknown = other == COL_VARIANT ? COL_TEXT : other;
        return true;
    }
    if (a == COL_VARIANT || b == COL_VARIANT) {
        uint8_t other = a == COL_VARIANT ? b : a;
        return other != COL_TIMESTAMPTZ && other != COL_INTERVAL && other != COL_BYTEA;
    }
    if (type_is_numeric(a) && type_is_numeric(b)) {
        *a_out = *b_out = wider_number(a, b);
        return true;
    }
    return a == b;
}

static int not_comparable(struct binder *binder, int32_t at, const char *op, uint8_t a, uint8_t b)
{
    return source_error(&binder->source, ERR_INVALID, at, coerce_hint(a, b),
                        "operator %s does not compare %s with %s", op, type_name(a), type_name(b));
}

int bind_comparands(struct binder *binder, int32_t at, const char *op, struct node **a,
                    struct node **b)
{
    uint8_t a_type, b_type;
    if (!comparand_types((*a)->type, (*b)->type, &a_type, &b_type))
        return not_comparable(binder, at, op, (*a)->type, (*b)->type);
    TRY(bind_coerce(binder, a, a_type));
    return bind_coerce(binder, b, b_type);
}

static int comparand_family(uint8_t type)
{
    return type == COL_VARIANT || type == TYPE_UNKNOWN ? -1
           : type_is_numeric(type)                     ? COL_NUMERIC
                                                       : type;
}

/* nodes[0] is compared with each of the others, and evaluated once. */
static int bind_shared(struct binder *binder, int32_t at, const char *op, struct node **nodes,
                       uint32_t count, uint32_t step)
{
    uint8_t type = nodes[0]->type, other;
    int family = -1;
    for (uint32_t i = 1; i < count; i += step) {
        uint8_t before = type, next = nodes[i]->type;
        if (!comparand_types(before, next, &type, &other))
            return not_comparable(binder, at, op, before, next);
        int next_family =
            before == COL_VARIANT && next == TYPE_UNKNOWN && !node_is_null_literal(nodes[i])
                ? COL_TEXT
                : comparand_family(next);
        if (family >= 0 && next_family >= 0 && next_family != family)
            return source_error(&binder->source, ERR_INVALID, nodes[i]->at, NULL,
                                "values of one %s must have one type", op);
        if (next_family >= 0)
            family = next_family;
    }
    TRY(bind_coerce(binder, &nodes[0], type));
    for (uint32_t i = 1; i < count; i += step) {
        uint8_t same;
        must(comparand_types(type, nodes[i]->type, &same, &other) && same == type);
        TRY(bind_coerce(binder, &nodes[i], other));
    }
    return 0;
}

/* ---- Forms ---- */

static int bind_args(struct binder *binder, const struct syntax *syntax, node_eval eval,
                     uint8_t type, struct node **out)
{
    struct node *node = node_new(binder, eval, type, syntax->at, syntax->arg_count);
    if (node == NULL)
        return ERR_NOMEM;
    *out = node;
    node->flag = syntax->negated;
    for (uint32_t i = 0; i < syntax->arg_count; i++) {
        if (syntax->args[i] != NULL)
            TRY(bind_syntax(binder, syntax->args[i], &node->args[i]));
    }
    return 0;
}

static int bind_column(struct binder *binder, const struct syntax *syntax, struct node **out)
{
    enum col_type type;
    struct diag found = {0};
    int index = binder->scope->resolve(binder->scope->context, &syntax->path, &type, &found);
    if (index < 0) {
        char *hint = strstr(found.text, "\nhint: ");
        if (hint != NULL)
            *hint = '\0';
        return source_error(&binder->source, index, syntax->at,
                            hint != NULL ? hint + strlen("\nhint: ") : NULL, "%s", found.text);
    }
    struct node *node = node_new(binder, eval_column, (uint8_t)type, syntax->at, 0);
    if (node == NULL)
        return ERR_NOMEM;
    node->column = (uint32_t)index;
    *out = node;
    return 0;
}

static int bind_aggregate(struct binder *binder, const struct syntax *syntax, struct node **out)
{
    must(binder->calls != NULL);
    struct node *node = node_new(binder, eval_column,
                                 (uint8_t)binder->calls[syntax->index].result_type, syntax->at, 0);
    if (node == NULL)
        return ERR_NOMEM;
    node->column = binder->first_call_column + syntax->index;
    *out = node;
    return 0;
}

static bool comparison_find(const char *name, enum compare_op *op)
{
    static const char *const names[] = {"=", "<>", "<", "<=", ">", ">="};
    for (uint8_t i = 0; i < 6; i++) {
        if (strcmp(names[i], name) == 0) {
            *op = (enum compare_op)i;
            return true;
        }
    }
    return false;
}

static int bind_operator(struct binder *binder, const struct syntax *syntax, struct node **out)
{
    enum compare_op op;
    if (strcmp(syntax->text, "||") == 0)
        return bind_concat_operator(binder, syntax, out);
    if (strchr(syntax->text, '~') != NULL)
        return bind_regex(binder, syntax, out);
    if (strncmp(syntax->text, "->", 2) == 0 || syntax->text[0] == '#')
        return bind_json_operator(binder, syntax, out);
    if (!comparison_find(syntax->text, &op))
        return bind_arithmetic(binder, syntax, out);
    TRY(bind_args(binder, syntax, eval_compare, COL_BOOLEAN, out));
    (*out)->op = (uint8_t)op;
    return bind_comparands(binder, syntax->at, syntax->text, &(*out)->args[0], &(*out)->args[1]);
}

static int bind_logic(struct binder *binder, const struct syntax *syntax, node_eval eval,
                      struct node **out)
{
    TRY(bind_args(binder, syntax, eval, COL_BOOLEAN, out));
    (*out)->flag = syntax->kind == SYNTAX_OR;
    for (uint32_t i = 0; i < syntax->arg_count; i++)
        TRY(bind_coerce(binder, &(*out)->args[i], COL_BOOLEAN));
    if (eval == eval_logic)
        fold_logic(out);
    return 0;
}

static int bind_boolean_test(struct binder *binder, const struct syntax *syntax, struct node **out)
{
    TRY(bind_args(binder, syntax, eval_boolean_test, COL_BOOLEAN, out));
    (*out)->op = (uint8_t)syntax->test;
    return bind_coerce(binder, &(*out)->args[0], COL_BOOLEAN);
}

static int bind_distinct(struct binder *binder, const struct syntax *syntax, struct node **out)
{
    TRY(bind_args(binder, syntax, eval_distinct, COL_BOOLEAN, out));
    return bind_comparands(binder, syntax->at, "IS DISTINCT FROM", &(*out)->args[0],
                           &(*out)->args[1]);
}

static int bind_between(struct binder *binder, const struct syntax *syntax, struct node **out)
{
    TRY(bind_args(binder, syntax, eval_between, COL_BOOLEAN, out));
    (*out)->op = syntax->symmetric;
    return bind_shared(binder, syntax->at, "BETWEEN", (*out)->args, 3, 1);
}

static int bind_in(struct binder *binder, const struct syntax *syntax, struct node **out)
{
    TRY(bind_args(binder, syntax, eval_in, COL_BOOLEAN, out));
    TRY(bind_shared(binder, syntax->at, "IN", (*out)->args, (*out)->arg_count, 1));
    return in_set_prepare(binder, *out);
}

/* CASE: args = operand or NULL, (when, then)…, else or NULL. */
static int bind_case(struct binder *binder, const struct syntax *syntax, struct node **out)
{
    TRY(bind_args(binder, syntax, eval_case, COL_TEXT, out));
    struct node *node = *out;
    uint32_t whens = (node->arg_count - 2) / 2, last = node->arg_count - 1;
    if (node->args[0] != NULL) {
        TRY(bind_shared(binder, syntax->at, "CASE", node->args, last, 2));
    } else {
        for (uint32_t i = 0; i < whens; i++)
            TRY(bind_coerce(binder, &node->args[1 + 2 * i], COL_BOOLEAN));
    }
    struct node **results = arena_alloc(binder->arena, (whens + 1) * sizeof *results);
    if (results == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < whens; i++)
        results[i] = node->args[2 + 2 * i];
    results[whens] = node->args[last];
    TRY(common_type(binder, results, whens + 1, "CASE", &node->type));
    for (uint32_t i = 0; i < whens; i++)
        TRY(bind_coerce(binder, &node->args[2 + 2 * i], node->type));
    if (node->args[last] != NULL)
        TRY(bind_coerce(binder, &node->args[last], node->type));
    return node->args[0] == NULL ? fold_case(binder, out) : 0;
}

static int bind_choice(struct binder *binder, const struct syntax *syntax, node_eval eval,
                       const char *what, struct node **out)
{
    TRY(bind_args(binder, syntax, eval, COL_TEXT, out));
    struct node *node = *out;
    TRY(common_type(binder, node->args, node->arg_count, what, &node->type));
    if (eval != eval_coalesce && node->type == TYPE_NUMBER)
        node->type = COL_NUMERIC;
    for (uint32_t i = 0; i < node->arg_count; i++)
        TRY(bind_coerce(binder, &node->args[i], node->type));
    node->flag = syntax->kind == SYNTAX_GREATEST;
    if (eval == eval_coalesce)
        fold_coalesce(out);
    return 0;
}

/* NULLIF(a, b) has the type of a, but compares at the types that a = b would have. */
static int bind_nullif(struct binder *binder, const struct syntax *syntax, struct node **out)
{
    TRY(bind_args(binder, syntax, eval_nullif, COL_TEXT, out));
    struct node *node = *out;
    uint8_t a_type, b_type;
    if (!comparand_types(node->args[0]->type, node->args[1]->type, &a_type, &b_type))
        return not_comparable(binder, syntax->at, "=", node->args[0]->type, node->args[1]->type);
    if (node->args[0]->type == TYPE_UNKNOWN)
        TRY(bind_coerce(binder, &node->args[0], a_type));
    TRY(bind_coerce(binder, &node->args[1], b_type));
    node->type = node->args[0]->type;
    node->target = (struct sql_type){.type = a_type, .integer_bytes = 8, .name = type_name(a_type)};
    return 0;
}

static int bind_cast_syntax(struct binder *binder, const struct syntax *syntax, struct node **out)
{
    TRY(bind_syntax(binder, syntax->args[0], out));
    return bind_cast(binder, out, &syntax->type, syntax->at);
}

static int bind_form(struct binder *binder, const struct syntax *syntax, struct node **out)
{
    switch (syntax->kind) {
    case SYNTAX_NULL:
        return bind_null(binder, TYPE_UNKNOWN, syntax->at, out);
    case SYNTAX_BOOLEAN:
        return bind_boolean(binder, syntax, out);
    case SYNTAX_NUMBER:
        return bind_number(binder, syntax, out);
    case SYNTAX_STRING:
        return bind_string(binder, syntax, out);
    case SYNTAX_COLUMN:
        return bind_column(binder, syntax, out);
    case SYNTAX_OPERATOR:
        return bind_operator(binder, syntax, out);
    case SYNTAX_AND:
    case SYNTAX_OR:
        return bind_logic(binder, syntax, eval_logic, out);
    case SYNTAX_NOT:
        return bind_logic(binder, syntax, eval_not, out);
    case SYNTAX_NULL_TEST:
        return bind_args(binder, syntax, eval_null_test, COL_BOOLEAN, out);
    case SYNTAX_BOOLEAN_TEST:
        return bind_boolean_test(binder, syntax, out);
    case SYNTAX_DISTINCT:
        return bind_distinct(binder, syntax, out);
    case SYNTAX_IN:
        return bind_in(binder, syntax, out);
    case SYNTAX_BETWEEN:
        return bind_between(binder, syntax, out);
    case SYNTAX_LIKE:
        return bind_like(binder, syntax, out);
    case SYNTAX_CASE:
        return bind_case(binder, syntax, out);
    case SYNTAX_COALESCE:
        return bind_choice(binder, syntax, eval_coalesce, "COALESCE", out);
    case SYNTAX_NULLIF:
        return bind_nullif(binder, syntax, out);
    case SYNTAX_GREATEST:
    case SYNTAX_LEAST:
        return bind_choice(binder, syntax, eval_extreme,
                           syntax->kind == SYNTAX_GREATEST ? "GREATEST" : "LEAST", out);
    case SYNTAX_CAST:
        return bind_cast_syntax(binder, syntax, out);
    case SYNTAX_CALL:
        return bind_call(binder, syntax, out);
    case SYNTAX_AGGREGATE:
        return bind_aggregate(binder, syntax, out);
    }
    must(false);
    return ERR_STATE;
}

int bind_syntax(struct binder *binder, const struct syntax *syntax, struct node **out)
{
    *out = NULL;
    TRY(bind_form(binder, syntax, out));
    return bind_fold(binder, out);
}

/* ---- Expressions ---- */

static int bind_root(struct binder *binder, const struct syntax *syntax, bool condition,
                     struct expr *expr)
{
    TRY(bind_syntax(binder, syntax, &expr->root));
    uint8_t type = expr->root->type;
    if (condition) {
        if (type != COL_BOOLEAN && type != COL_VARIANT && type != TYPE_UNKNOWN)
            return source_error(&binder->source, ERR_INVALID, syntax->at,
                                "compare it with something, as in x <> 0",
                                "a condition must be boolean, not %s", type_name(type));
        TRY(bind_coerce(binder, &expr->root, COL_BOOLEAN));
    } else if (type == TYPE_UNKNOWN) {
        TRY(bind_coerce(binder, &expr->root, COL_TEXT));
    } else if (type == TYPE_NUMBER) {
        TRY(bind_coerce(binder, &expr->root, COL_NUMERIC));
    }
    expr->type = (enum col_type)expr->root->type;
    return 0;
}

int bind_expr(struct binder *binder, const struct syntax *syntax, bool condition, struct expr **out)
{
    struct expr *expr = expr_new();
    *out = NULL;
    if (expr == NULL)
        return diag_set(binder->source.diag, ERR_NOMEM, "no memory to compile an expression");
    binder->arena = &expr->arena;
    binder->regexes = &expr->regexes;
    int rc = bind_root(binder, syntax, condition, expr);
    if (rc < 0) {
        if (rc == ERR_NOMEM)
            diag_set(binder->source.diag, ERR_NOMEM, "no memory to compile an expression");
        expr_destroy(expr);
        return rc;
    }
    *out = expr;
    return 0;
}
