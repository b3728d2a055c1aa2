/* drawn_expr.c: see the header.
 *
 * An operator is a line of a table: its result, its arguments, how it is written ($1 … for the
 * arguments), and a function that computes it. Those that do not evaluate all arguments, or take any
 * type, are cases of their own. Divisors are columns or literals, so that no drawn constant divides by
 * zero before there is a row; casts of texts are of columns, for the same reason. */
#include "tests/support/drawn_expr.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/base/error.h"

enum drawn_op {
    OP_COLUMN,
    OP_LITERAL,
    OP_CASE,
    OP_COALESCE,
    OP_NULLIF,
    OP_IS_NULL,
    OP_IS_NOT_NULL,
    OP_LESS,
    OP_LESS_EQUAL,
    OP_EQUAL,
    OP_NOT_EQUAL,
    OP_DISTINCT,
    OP_BETWEEN,
    OP_NOT_BETWEEN,
    OP_IN,
    OP_NOT_IN,
    OP_AND,
    OP_OR,
    OP_NOT,
    OP_IS_TRUE,
    OP_IS_NOT_TRUE,
    OP_IS_UNKNOWN,
    OP_LIKE,
    OP_PLUS,
    OP_MINUS,
    OP_TIMES,
    OP_DIVIDE,
    OP_MODULO,
    OP_ABS,
    OP_LENGTH,
    OP_AS_BIGINT,
    OP_NUMERIC_PLUS,
    OP_NUMERIC_MINUS,
    OP_NUMERIC_TIMES,
    OP_AS_NUMERIC,
    OP_ROUND,
    OP_UPPER,
    OP_LEFT,
    OP_CONCAT,
    OP_LATER,
    OP_MINUTE,
    OPS
};

enum arg {
    ARG_NONE,
    ARG_SAME,    /* of the result's type */
    ARG_ANY,     /* of any type, the same for all such arguments */
    ARG_LITERAL, /* of the result's type */
    ARG_BOOLEAN,
    ARG_BIGINT,
    ARG_TEXT,
    ARG_DIVISOR,
    ARG_TEXT_COLUMN,
    ARG_TENTHS, /* a literal with one digit behind the point */
};
static const struct drawn_form {
    const char *text;
    int type; /* of the result; DATUM_TYPES: any */
    enum arg args[DRAWN_ARGS_MAX];
    bool may_fail;
} forms[OPS] = {
    [OP_COLUMN] = {"", DATUM_TYPES, {ARG_NONE}, false},
    [OP_LITERAL] = {"", DATUM_TYPES, {ARG_NONE}, false},
    [OP_CASE] = {"CASE WHEN $1 THEN $2 ELSE $3 END",
                 DATUM_TYPES,
                 {ARG_BOOLEAN, ARG_SAME, ARG_SAME},
                 false},
    [OP_COALESCE] = {"coalesce($1, $2)", DATUM_TYPES, {ARG_SAME, ARG_SAME}, false},
    [OP_NULLIF] = {"nullif($1, $2)", DATUM_TYPES, {ARG_SAME, ARG_SAME}, false},
    [OP_IS_NULL] = {"$1 IS NULL", DATUM_BOOLEAN, {ARG_ANY}, false},
    [OP_IS_NOT_NULL] = {"$1 IS NOT NULL", DATUM_BOOLEAN, {ARG_ANY}, false},
    [OP_LESS] = {"$1 < $2", DATUM_BOOLEAN, {ARG_ANY, ARG_ANY}, false},
    [OP_LESS_EQUAL] = {"$1 <= $2", DATUM_BOOLEAN, {ARG_ANY, ARG_ANY}, false},
    [OP_EQUAL] = {"$1 = $2", DATUM_BOOLEAN, {ARG_ANY, ARG_ANY}, false},
    [OP_NOT_EQUAL] = {"$1 <> $2", DATUM_BOOLEAN, {ARG_ANY, ARG_ANY}, false},
    [OP_DISTINCT] = {"$1 IS DISTINCT FROM $2", DATUM_BOOLEAN, {ARG_ANY, ARG_ANY}, false},
    [OP_BETWEEN] = {"$1 BETWEEN $2 AND $3", DATUM_BOOLEAN, {ARG_ANY, ARG_ANY, ARG_ANY}, false},
    [OP_NOT_BETWEEN] = {"$1 NOT BETWEEN $2 AND $3",
                        DATUM_BOOLEAN,
                        {ARG_ANY, ARG_ANY, ARG_ANY},
                        false},
    [OP_IN] = {"$1 IN ($2, $3)", DATUM_BOOLEAN, {ARG_ANY, ARG_ANY, ARG_ANY}, false},
    [OP_NOT_IN] = {"$1 NOT IN ($2, $3, $4)",
                   DATUM_BOOLEAN,
                   {ARG_ANY, ARG_ANY, ARG_ANY, ARG_ANY},
                   false},
    [OP_AND] = {"$1 AND $2", DATUM_BOOLEAN, {ARG_BOOLEAN, ARG_BOOLEAN}, false},
    [OP_OR] = {"$1 OR $2", DATUM_BOOLEAN, {ARG_BOOLEAN, ARG_BOOLEAN}, false},
    [OP_NOT] = {"NOT $1", DATUM_BOOLEAN, {ARG_BOOLEAN}, false},
    [OP_IS_TRUE] = {"$1 IS TRUE", DATUM_BOOLEAN, {ARG_BOOLEAN}, false},
    [OP_IS_NOT_TRUE] = {"$1 IS NOT TRUE", DATUM_BOOLEAN, {ARG_BOOLEAN}, false},
    [OP_IS_UNKNOWN] = {"$1 IS UNKNOWN", DATUM_BOOLEAN, {ARG_BOOLEAN}, false},
    [OP_LIKE] = {"$1 LIKE 'a%'", DATUM_BOOLEAN, {ARG_TEXT}, false},
    [OP_PLUS] = {"$1 + $2", DATUM_BIGINT, {ARG_SAME, ARG_SAME}, true},
    [OP_MINUS] = {"$1 - $2", DATUM_BIGINT, {ARG_SAME, ARG_SAME}, true},
    [OP_TIMES] = {"$1 * $2", DATUM_BIGINT, {ARG_SAME, ARG_SAME}, true},
    [OP_DIVIDE] = {"$1 / $2", DATUM_BIGINT, {ARG_SAME, ARG_DIVISOR}, true},
    [OP_MODULO] = {"$1 % $2", DATUM_BIGINT, {ARG_SAME, ARG_DIVISOR}, true},
    [OP_ABS] = {"abs($1)", DATUM_BIGINT, {ARG_SAME}, true},
    [OP_LENGTH] = {"length($1)", DATUM_BIGINT, {ARG_TEXT}, false},
    [OP_AS_BIGINT] = {"$1::bigint", DATUM_BIGINT, {ARG_TEXT_COLUMN}, true},
    [OP_NUMERIC_PLUS] = {"$1 + $2", DATUM_NUMERIC, {ARG_SAME, ARG_SAME}, false},
    [OP_NUMERIC_MINUS] = {"$1 - $2", DATUM_NUMERIC, {ARG_SAME, ARG_SAME}, false},
    [OP_NUMERIC_TIMES] = {"$1 * $2", DATUM_NUMERIC, {ARG_SAME, ARG_TENTHS}, false},
    [OP_AS_NUMERIC] = {"$1::numeric", DATUM_NUMERIC, {ARG_BIGINT}, false},
    [OP_ROUND] = {"round($1, 1)", DATUM_NUMERIC, {ARG_SAME}, false},
    [OP_UPPER] = {"upper($1)", DATUM_TEXT, {ARG_SAME}, false},
    [OP_LEFT] = {"left($1, 2)", DATUM_TEXT, {ARG_SAME}, false},
    [OP_CONCAT] = {"$1 || $2", DATUM_TEXT, {ARG_SAME, ARG_LITERAL}, false},
    [OP_LATER] = {"$1 + INTERVAL '90 seconds'", DATUM_TIME, {ARG_SAME}, false},
    [OP_MINUTE] = {"date_trunc('minute', $1)", DATUM_TIME, {ARG_SAME}, false},
};

struct drawn_expr {
    enum drawn_op op;
    enum datum_type type;
    int column;
    struct datum literal;
    const struct drawn_expr *args[DRAWN_ARGS_MAX];
};

/* ---- drawing ---- */

static struct drawn_expr *expr_of(const struct drawer *drawer, enum drawn_op op,
                                  enum datum_type type)
{
    struct drawn_expr *expr = arena_zalloc(drawer->arena, sizeof *expr);
    must(expr != NULL);
    expr->op = op;
    expr->type = type;
    return expr;
}

const struct drawn_expr *drawn_column_of(const struct drawer *drawer, int column)
{
    struct drawn_expr *expr = expr_of(drawer, OP_COLUMN, drawer->scope->types[column]);
    expr->column = column;
    return expr;
}

/* A column of the type; NULL when there is none. */
static const struct drawn_expr *any_column(const struct drawer *drawer, enum datum_type type)
{
    int places[DRAWN_SCOPE_MAX], count = 0;
    for (int i = 0; i < drawer->scope->count; i++)
        if (drawer->scope->types[i] == type)
            places[count++] = i;
    return count > 0 ? drawn_column_of(drawer, places[chance_below(drawer->chance, count)]) : NULL;
}

static const struct drawn_expr *literal_of(const struct drawer *drawer, struct datum cell)
{
    struct drawn_expr *expr = expr_of(drawer, OP_LITERAL, cell.type);
    expr->literal = cell;
    return expr;
}

static const struct drawn_expr *any_literal(const struct drawer *drawer, enum datum_type type,
                                            bool may_be_null)
{
    static const char *const texts[] = {"a", "b", "ab", "c", "A"};
    struct chance *chance = drawer->chance;
    if (may_be_null && chance_below(chance, 8) == 0)
        return literal_of(drawer, datum_null(type));
    switch (type) {
    case DATUM_BOOLEAN:
        return literal_of(drawer, datum_number(type, chance_below(chance, 2), 0));
    case DATUM_BIGINT:
        return literal_of(drawer, datum_number(type, chance_below(chance, 9) - 2, 0));
    case DATUM_NUMERIC: {
        int scale = (int)chance_below(chance, 3);
        return literal_of(drawer, datum_number(type, chance_below(chance, 900) - 200, scale));
    }
    case DATUM_TEXT:
        return literal_of(drawer, datum_text(texts[chance_below(chance, 5)]));
    case DATUM_TIME:
    case DATUM_TYPES:
        break;
    }
    return literal_of(
        drawer,
        datum_number(DATUM_TIME, INT64_C(1772442000000) + chance_below(chance, 90) * 1000, 0));
}

static const struct drawn_expr *leaf(const struct drawer *drawer, enum datum_type type)
{
    const struct drawn_expr *column =
        chance_below(drawer->chance, 5) > 0 ? any_column(drawer, type) : NULL;
    return column != NULL ? column : any_literal(drawer, type, true);
}

/* Not zero, when it is a literal. */
static const struct drawn_expr *divisor(const struct drawer *drawer)
{
    const struct drawn_expr *column =
        chance_below(drawer->chance, 3) == 0 ? any_column(drawer, DATUM_BIGINT) : NULL;
    return column != NULL
               ? column
               : literal_of(drawer,
                            datum_number(DATUM_BIGINT, 2 + chance_below(drawer->chance, 4), 0));
}

static const struct drawn_expr *argument(const struct drawer *drawer, enum arg arg,
                                         enum datum_type type, enum datum_type any, int depth)
{
    switch (arg) {
    case ARG_SAME:
        return drawn_expr_draw(drawer, type, depth);
    case ARG_ANY:
        return drawn_expr_draw(drawer, any, depth);
    case ARG_LITERAL:
        return any_literal(drawer, type, false);
    case ARG_BOOLEAN:
        return drawn_expr_draw(drawer, DATUM_BOOLEAN, depth);
    case ARG_BIGINT:
        return drawn_expr_draw(drawer, DATUM_BIGINT, depth);
    case ARG_TEXT:
        return drawn_expr_draw(drawer, DATUM_TEXT, depth);
    case ARG_DIVISOR:
        return divisor(drawer);
    case ARG_TEXT_COLUMN:
        return any_column(drawer, DATUM_TEXT);
    case ARG_TENTHS:
        return literal_of(drawer,
                          datum_number(DATUM_NUMERIC, chance_below(drawer->chance, 99) - 20, 1));
    case ARG_NONE:
        break;
    }
    return NULL;
}

/* What gives the type; a cast of a text fails for most rows, and is rare. */
static enum drawn_op any_op(const struct drawer *drawer, enum datum_type type)
{
    for (;;) {
        enum drawn_op op = (enum drawn_op)(OP_CASE + chance_below(drawer->chance, OPS - OP_CASE));
        const struct drawn_form *form = &forms[op];
        if (form->type != DATUM_TYPES && form->type != (int)type)
            continue;
        if ((form->may_fail && drawer->is_safe) ||
            (op == OP_AS_BIGINT && chance_below(drawer->chance, 8) > 0))
            continue;
        return op;
    }
}

const struct drawn_expr *drawn_expr_draw(const struct drawer *drawer, enum datum_type type,
                                         int depth)
{
    enum datum_type any = (enum datum_type)chance_below(drawer->chance, DATUM_TYPES);
    if (depth == 0 || (type != DATUM_BOOLEAN && chance_below(drawer->chance, 3) == 0))
        return leaf(drawer, type);
    struct drawn_expr *expr = expr_of(drawer, any_op(drawer, type), type);
    const struct drawn_form *form = &forms[expr->op];
    for (int i = 0; i < DRAWN_ARGS_MAX && form->args[i] != ARG_NONE; i++) {
        expr->args[i] = argument(drawer, form->args[i], type, any, depth - 1);
        if (expr->args[i] == NULL)
            return leaf(drawer, type);
    }
    return expr;
}

int drawn_expr_column(const struct drawn_expr *expr)
{
    return expr->op == OP_COLUMN ? expr->column : -1;
}

bool drawn_expr_reads(const struct drawn_expr *expr)
{
    bool reads = expr->op == OP_COLUMN;
    for (int i = 0; i < DRAWN_ARGS_MAX && expr->args[i] != NULL; i++)
        reads |= drawn_expr_reads(expr->args[i]);
    return reads;
}

bool drawn_expr_same(const struct drawn_expr *a, const struct drawn_expr *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    bool same = a->op == b->op && a->type == b->type && a->column == b->column &&
                datum_same(&a->literal, &b->literal);
    for (int i = 0; i < DRAWN_ARGS_MAX && same; i++)
        same = drawn_expr_same(a->args[i], b->args[i]);
    return same;
}

enum datum_type drawn_expr_type(const struct drawn_expr *expr)
{
    return expr->type;
}

/* ---- printing ---- */

static void print_literal(const struct datum *cell, struct buf *out)
{
    static const char *const types[] = {"boolean", "bigint", "numeric", "text", "timestamptz"};
    if (cell->is_null) {
        buf_printf(out, "NULL::%s", types[cell->type]);
        return;
    }
    switch (cell->type) {
    case DATUM_TEXT:
        buf_printf(out, "'%s'", cell->text);
        break;
    case DATUM_TIME:
        buf_printf(out, "timestamptz '");
        datum_print_time(cell->n, out);
        buf_printf(out, "'");
        break;
    case DATUM_NUMERIC:
        if (cell->scale == 0) { /* a whole literal is a bigint */
            datum_print_number(cell->n, 0, out);
            buf_printf(out, "::numeric");
            break;
        }
        datum_print_json(cell, out);
        break;
    case DATUM_BOOLEAN:
    case DATUM_BIGINT:
    case DATUM_TYPES:
        datum_print_json(cell, out);
        break;
    }
}

static void print_column(const struct drawn_scope *scope, int column, struct buf *out)
{
    if (scope->owners[column] != NULL)
        buf_printf(out, "%s.", scope->owners[column]);
    buf_printf(out, "%s", scope->names[column]);
}

static void print_argument(const struct drawn_expr *arg, const struct drawn_scope *scope,
                           struct buf *out)
{
    bool is_plain = arg->op == OP_COLUMN;
    buf_printf(out, is_plain ? "" : "(");
    drawn_expr_print(arg, scope, out);
    buf_printf(out, is_plain ? "" : ")");
}

void drawn_expr_print(const struct drawn_expr *expr, const struct drawn_scope *scope,
                      struct buf *out)
{
    if (expr->op == OP_COLUMN) {
        print_column(scope, expr->column, out);
        return;
    }
    if (expr->op == OP_LITERAL) {
        print_literal(&expr->literal, out);
        return;
    }
    for (const char *at = forms[expr->op].text; *at != '\0'; at++)
        if (*at == '$')
            print_argument(expr->args[*++at - '1'], scope, out);
        else
            buf_u8(out, (uint8_t)*at);
}

/* ---- evaluating ---- */

static struct datum truth(bool value)
{
    return datum_number(DATUM_BOOLEAN, value, 0);
}

/* 0, 1, or -1 for NULL. */
static int truth_of(const struct datum *cell)
{
    return cell->is_null ? -1 : cell->n != 0;
}

static const char *logic_value(const struct drawn_expr *expr, const struct datum *row,
                               struct datum *value)
{
    bool decides = expr->op == OP_OR;
    struct datum left, right;
    const char *error = drawn_expr_value(expr->args[0], row, &left);
    if (error != NULL)
        return error;
    *value = truth(decides);
    if (truth_of(&left) == decides)
        return NULL;
    error = drawn_expr_value(expr->args[1], row, &right);
    if (error != NULL || truth_of(&right) == decides)
        return error;
    *value = left.is_null || right.is_null ? datum_null(DATUM_BOOLEAN) : truth(!decides);
    return NULL;
}

/* CASE and COALESCE compute what they need. */
static const char *branch_value(const struct drawn_expr *expr, const struct datum *row,
                                struct datum *value)
{
    const char *error = drawn_expr_value(expr->args[0], row, value);
    if (error != NULL)
        return error;
    if (expr->op == OP_CASE)
        return drawn_expr_value(expr->args[truth_of(value) == 1 ? 1 : 2], row, value);
    return value->is_null ? drawn_expr_value(expr->args[1], row, value) : NULL;
}

static struct datum equals(const struct datum *a, const struct datum *b)
{
    if (a->is_null || b->is_null)
        return datum_null(DATUM_BOOLEAN);
    return truth(datum_compare(a, b) == 0);
}

static struct datum negated(struct datum cell, bool is_negated)
{
    if (is_negated)
        cell.n = !cell.n;
    return cell;
}

/* x >= low AND x <= high, the latter where the former is not false. */
static const char *between_value(const struct drawn_expr *expr, const struct datum *row,
                                 struct datum *value)
{
    struct datum v[3];
    const char *error = drawn_expr_value(expr->args[0], row, &v[0]);
    if (error == NULL)
        error = drawn_expr_value(expr->args[1], row, &v[1]);
    if (error != NULL)
        return error;
    *value = truth(false);
    int above = v[0].is_null || v[1].is_null ? -1 : datum_compare(&v[0], &v[1]) >= 0;
    if (above == 0)
        return NULL;
    error = drawn_expr_value(expr->args[2], row, &v[2]);
    int below = v[0].is_null || v[2].is_null ? -1 : datum_compare(&v[0], &v[2]) <= 0;
    if (below != 0)
        *value = above < 0 || below < 0 ? datum_null(DATUM_BOOLEAN) : truth(true);
    return error;
}

/* x = a OR x = b OR …: items behind one that is equal are not computed. */
static const char *in_value(const struct drawn_expr *expr, const struct datum *row,
                            struct datum *value)
{
    struct datum x, item, found = truth(false);
    const char *error = drawn_expr_value(expr->args[0], row, &x);
    for (int i = 1; i < DRAWN_ARGS_MAX && expr->args[i] != NULL && error == NULL; i++) {
        error = drawn_expr_value(expr->args[i], row, &item);
        struct datum one = equals(&x, &item);
        if (one.is_null || truth_of(&one) == 1)
            found = one;
        if (truth_of(&one) == 1)
            break;
    }
    *value = found;
    return error;
}

/* BETWEEN and IN, as what they stand for. */
static const char *listed_value(const struct drawn_expr *expr, const struct datum *row,
                                struct datum *value)
{
    bool is_in = expr->op == OP_IN || expr->op == OP_NOT_IN;
    const char *error = is_in ? in_value(expr, row, value) : between_value(expr, row, value);
    *value = negated(*value, expr->op == OP_NOT_IN || expr->op == OP_NOT_BETWEEN);
    return error;
}

/* What computes with NULLs, and says something of them. */
static bool null_aware(enum drawn_op op, const struct datum *v, struct datum *value)
{
    switch (op) {
    case OP_IS_NULL:
    case OP_IS_NOT_NULL:
        *value = truth(v[0].is_null == (op == OP_IS_NULL));
        return true;
    case OP_IS_TRUE:
    case OP_IS_NOT_TRUE:
        *value = truth((truth_of(&v[0]) == 1) == (op == OP_IS_TRUE));
        return true;
    case OP_IS_UNKNOWN:
        *value = truth(v[0].is_null);
        return true;
    case OP_DISTINCT:
        *value = truth(!datum_same(&v[0], &v[1]));
        return true;
    case OP_NULLIF: {
        struct datum same = equals(&v[0], &v[1]);
        *value = truth_of(&same) == 1 ? datum_null(v[0].type) : v[0];
        return true;
    }
    default:
        return false;
    }
}

static const char *bigint_value(drawn_wide n, struct datum *value)
{
    *value = datum_number(DATUM_BIGINT, n, 0);
    return n > INT64_MAX || n < INT64_MIN ? "out_of_range" : NULL;
}

/* Of an integer's digits, a sign perhaps in front; drawn texts have no blanks. */
static const char *bigint_of_text(const char *text, struct datum *value)
{
    char *end;
    long long n = strtoll(text, &end, 10);
    return *text == '\0' || *end != '\0' ? "cast_failed" : bigint_value(n, value);
}

static const char *integers(enum drawn_op op, const struct datum *v, struct datum *value)
{
    switch (op) {
    case OP_PLUS:
        return bigint_value(v[0].n + v[1].n, value);
    case OP_MINUS:
        return bigint_value(v[0].n - v[1].n, value);
    case OP_TIMES:
        return bigint_value(v[0].n * v[1].n, value);
    case OP_DIVIDE:
        return v[1].n == 0 ? "division_by_zero" : bigint_value(v[0].n / v[1].n, value);
    case OP_MODULO:
        return v[1].n == 0 ? "division_by_zero" : bigint_value(v[0].n % v[1].n, value);
    case OP_ABS:
        return bigint_value(v[0].n < 0 ? -v[0].n : v[0].n, value);
    case OP_LENGTH:
        return bigint_value((drawn_wide)strlen(v[0].text), value);
    default:
        return bigint_of_text(v[0].text, value);
    }
}

static struct datum numerics(enum drawn_op op, const struct datum *v)
{
    int scale = datum_scale(&v[0], &v[1]);
    switch (op) {
    case OP_NUMERIC_PLUS:
        return datum_number(DATUM_NUMERIC, datum_digits(&v[0], scale) + datum_digits(&v[1], scale),
                            scale);
    case OP_NUMERIC_MINUS:
        return datum_number(DATUM_NUMERIC, datum_digits(&v[0], scale) - datum_digits(&v[1], scale),
                            scale);
    case OP_NUMERIC_TIMES:
        return datum_number(DATUM_NUMERIC, v[0].n * v[1].n, v[0].scale + v[1].scale);
    case OP_ROUND:
        return datum_round(&v[0], 1);
    default:
        return datum_number(DATUM_NUMERIC, v[0].n, 0);
    }
}

static struct datum texts(enum drawn_op op, const struct datum *v)
{
    char text[2 * DATUM_TEXT_BYTES];
    snprintf(text, sizeof text, "%s%s", v[0].text, op == OP_CONCAT ? v[1].text : "");
    if (op == OP_LEFT && strlen(text) > 2)
        text[2] = '\0';
    for (char *c = text; op == OP_UPPER && *c != '\0'; c++)
        *c = (char)(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
    return datum_text(text);
}

/* Of values that are all there. */
static const char *computed(enum drawn_op op, const struct datum *v, struct datum *value)
{
    if (op >= OP_PLUS && op <= OP_AS_BIGINT)
        return integers(op, v, value);
    if (op >= OP_NUMERIC_PLUS && op <= OP_ROUND)
        *value = numerics(op, v);
    else if (op >= OP_UPPER && op <= OP_CONCAT)
        *value = texts(op, v);
    else if (op == OP_LATER || op == OP_MINUTE)
        *value =
            datum_number(DATUM_TIME, op == OP_LATER ? v[0].n + 90000 : v[0].n - v[0].n % 60000, 0);
    else if (op == OP_LIKE)
        *value = truth(v[0].text[0] == 'a');
    else if (op == OP_NOT)
        *value = truth(v[0].n == 0);
    else {
        int order = datum_compare(&v[0], &v[1]);
        *value = truth(op == OP_LESS         ? order < 0
                       : op == OP_LESS_EQUAL ? order <= 0
                       : op == OP_EQUAL      ? order == 0
                                             : order != 0);
    }
    return NULL;
}

const char *drawn_expr_value(const struct drawn_expr *expr, const struct datum *row,
                             struct datum *value)
{
    struct datum values[DRAWN_ARGS_MAX] = {{.is_null = false}};
    bool has_null = false;
    int count = 0;
    if (expr->op == OP_COLUMN || expr->op == OP_LITERAL) {
        *value = expr->op == OP_COLUMN ? row[expr->column] : expr->literal;
        return NULL;
    }
    if (expr->op == OP_AND || expr->op == OP_OR)
        return logic_value(expr, row, value);
    if (expr->op == OP_CASE || expr->op == OP_COALESCE)
        return branch_value(expr, row, value);
    if (expr->op >= OP_BETWEEN && expr->op <= OP_NOT_IN)
        return listed_value(expr, row, value);
    while (count < DRAWN_ARGS_MAX && expr->args[count] != NULL) {
        const char *error = drawn_expr_value(expr->args[count], row, &values[count]);
        if (error != NULL)
            return error;
        has_null |= values[count++].is_null;
    }
    if (null_aware(expr->op, values, value))
        return NULL;
    *value = datum_null(expr->type);
    return has_null ? NULL : computed(expr->op, values, value);
}
