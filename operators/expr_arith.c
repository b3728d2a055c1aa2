/* expr_arith.c: + − * / % and unary minus, over bigint, numeric, double precision, times, and
 * uncast JSON.
 *
 * Typed operands run in loops over arrays; overflow and division by zero are row errors. Uncast
 * JSON computes by row: two integers as bigint does, anything else exactly, as numeric does. The
 * result keeps which of the two it was (scale NUMBER_INTEGER), so that a chain of operators behaves
 * as if each row had been typed before. The loop reads a raw number token with up to 18 digits
 * straight into a coefficient and a scale; longer ones and exponents take numeric_parse. */
#include "operators/expr_internal.h"

#include <math.h>

#define ALWAYS_INLINE static inline __attribute__((always_inline))

enum arith { ARITH_ADD, ARITH_SUBTRACT, ARITH_MULTIPLY, ARITH_DIVIDE, ARITH_MODULO, ARITH_NEGATE };

/* ---- Errors of a row ---- */

static int fail_zero(struct eval *eval, struct column *out, uint32_t row)
{
    return eval_fail(eval, out, row, "division_by_zero", "division by zero");
}

static int fail_range(struct eval *eval, struct column *out, uint32_t row, const char *type)
{
    return eval_fail(eval, out, row, "out_of_range", "%s out of range", type);
}

/* ---- bigint ---- */

enum step { STEP_OK, STEP_ZERO, STEP_RANGE };

ALWAYS_INLINE enum step i64_step(enum arith op, int64_t x, int64_t y, int64_t *z)
{
    switch (op) {
    case ARITH_ADD:
        return __builtin_add_overflow(x, y, z) ? STEP_RANGE : STEP_OK;
    case ARITH_SUBTRACT:
        return __builtin_sub_overflow(x, y, z) ? STEP_RANGE : STEP_OK;
    case ARITH_MULTIPLY:
        return __builtin_mul_overflow(x, y, z) ? STEP_RANGE : STEP_OK;
    case ARITH_NEGATE:
        return __builtin_sub_overflow((int64_t)0, x, z) ? STEP_RANGE : STEP_OK;
    default:
        if (y == 0)
            return STEP_ZERO;
        if (y == -1) {
            *z = 0;
            return op == ARITH_MODULO || !__builtin_sub_overflow((int64_t)0, x, z) ? STEP_OK
                                                                                   : STEP_RANGE;
        }
        *z = op == ARITH_DIVIDE ? x / y : x % y;
        return STEP_OK;
    }
}

ALWAYS_INLINE int i64_rows(struct eval *eval, enum arith op, const struct column *a,
                           const struct column *b, const char *type, struct column *out)
{
    const uint16_t *rows = eval->rows;
    const uint8_t *nulls = out->nulls;
    const int64_t *x = a->i64, *y = b->i64;
    int64_t *z = out->i64;
    bool a_constant = a->constant, b_constant = b->constant;
    for (uint32_t i = 0; i < eval->count; i++) {
        uint32_t row = row_at(rows, i);
        if (nulls != NULL && nulls[row])
            continue;
        enum step step =
            i64_step(op, x[value_at(a_constant, row)], y[value_at(b_constant, row)], &z[row]);
        if (__builtin_expect(step != STEP_OK, 0))
            TRY(step == STEP_ZERO ? fail_zero(eval, out, row) : fail_range(eval, out, row, type));
    }
    return 0;
}

static int run_both(const struct node *node, struct eval *eval, struct column columns[2],
                    struct column *out, bool merge)
{
    uint32_t last = node->arg_count - 1;
    TRY(node_run(node->args[0], eval, &columns[0]));
    if (last > 0)
        TRY(node_run(node->args[1], eval, &columns[1]));
    else
        columns[1] = columns[0];
    TRY(eval_alloc(eval, out, node->type, false));
    return merge ? eval_merge_nulls(eval, columns, 2, &out->nulls) : 0;
}

static int eval_i64(const struct node *node, struct eval *eval, struct column *out)
{
    struct column c[2];
    struct column result;
    TRY(run_both(node, eval, c, &result, true));
    int rc = 0;
    switch ((enum arith)node->op) {
    case ARITH_ADD:
        rc = i64_rows(eval, ARITH_ADD, &c[0], &c[1], node->name, &result);
        break;
    case ARITH_SUBTRACT:
        rc = i64_rows(eval, ARITH_SUBTRACT, &c[0], &c[1], node->name, &result);
        break;
    case ARITH_MULTIPLY:
        rc = i64_rows(eval, ARITH_MULTIPLY, &c[0], &c[1], node->name, &result);
        break;
    case ARITH_DIVIDE:
        rc = i64_rows(eval, ARITH_DIVIDE, &c[0], &c[1], node->name, &result);
        break;
    case ARITH_MODULO:
        rc = i64_rows(eval, ARITH_MODULO, &c[0], &c[1], node->name, &result);
        break;
    case ARITH_NEGATE:
        rc = i64_rows(eval, ARITH_NEGATE, &c[0], &c[1], node->name, &result);
        break;
    }
    *out = result;
    return rc;
}

/* ---- double precision ---- */

static enum step double_step(enum arith op, double x, double y, double *z)
{
    switch (op) {
    case ARITH_ADD:
        *z = x + y;
        break;
    case ARITH_SUBTRACT:
        *z = x - y;
        break;
    case ARITH_MULTIPLY:
        *z = x * y;
        break;
    case ARITH_NEGATE:
        *z = -x;
        break;
    default:
        if (y == 0.0 && !isnan(x))
            return STEP_ZERO;
        *z = x / y;
    }
    if (isinf(*z) && !isinf(x) && !isinf(y))
        return STEP_RANGE;
    bool vanished = *z == 0.0 && x != 0.0 &&
                    ((op == ARITH_MULTIPLY && y != 0.0) || (op == ARITH_DIVIDE && !isinf(y)));
    return vanished ? STEP_RANGE : STEP_OK;
}

static int eval_double(const struct node *node, struct eval *eval, struct column *out)
{
    struct column c[2], result;
    TRY(run_both(node, eval, c, &result, true));
    const uint8_t *nulls = result.nulls;
    for (uint32_t i = 0; i < eval->count; i++) {
        uint32_t row = row_at(eval->rows, i);
        if (nulls != NULL && nulls[row])
            continue;
        enum step step = double_step((enum arith)node->op, c[0].f64[column_at(&c[0], row)],
                                     c[1].f64[column_at(&c[1], row)], &result.f64[row]);
        if (step == STEP_ZERO)
            TRY(fail_zero(eval, &result, row));
        else if (step == STEP_RANGE)
            TRY(fail_range(eval, &result, row, "double precision"));
    }
    *out = result;
    return 0;
}

/* ---- numeric ---- */

ALWAYS_INLINE bool narrow(int128 value)
{
    return (int128)(int64_t)value == value;
}

ALWAYS_INLINE int numeric_step(enum arith op, const struct numeric *x, const struct numeric *y,
                               struct numeric *z)
{
    switch (op) {
    case ARITH_ADD:
    case ARITH_SUBTRACT:
        if (x->scale == y->scale && narrow(x->coefficient) && narrow(y->coefficient)) {
            z->coefficient =
                op == ARITH_ADD ? x->coefficient + y->coefficient : x->coefficient - y->coefficient;
            z->scale = x->scale;
            return 0;
        }
        return op == ARITH_ADD ? numeric_add(*x, *y, z) : numeric_subtract(*x, *y, z);
    case ARITH_MULTIPLY:
        /* 2^63 × 2^63 < 10^38. */
        if (narrow(x->coefficient) && narrow(y->coefficient) &&
            x->scale + y->scale <= NUMERIC_MAX_DIGITS) {
            z->coefficient = x->coefficient * y->coefficient;
            z->scale = x->scale + y->scale;
            return 0;
        }
        return numeric_multiply(*x, *y, z);
    case ARITH_DIVIDE:
        return numeric_divide(*x, *y, z);
    case ARITH_MODULO:
        return numeric_modulo(*x, *y, z);
    default:
        *z = numeric_negate(*x);
        return 0;
    }
}

static int eval_numeric(const struct node *node, struct eval *eval, struct column *out)
{
    struct column c[2], result;
    TRY(run_both(node, eval, c, &result, true));
    const uint8_t *nulls = result.nulls;
    for (uint32_t i = 0; i < eval->count; i++) {
        uint32_t row = row_at(eval->rows, i);
        if (nulls != NULL && nulls[row])
            continue;
        int rc = numeric_step((enum arith)node->op, &c[0].numeric[column_at(&c[0], row)],
                              &c[1].numeric[column_at(&c[1], row)], &result.numeric[row]);
        if (rc == ERR_INVALID)
            TRY(fail_zero(eval, &result, row));
        else if (rc != 0)
            TRY(fail_range(eval, &result, row, "numeric"));
    }
    *out = result;
    return 0;
}

/* ---- Uncast JSON ---- */

enum loaded { LOADED_NULL, LOADED_VALUE, LOADED_MISMATCH, LOADED_RANGE };

ALWAYS_INLINE enum loaded load_variant(const struct variant *v, struct numeric *value)
{
    int64_t coefficient;
    if (v->kind == VARIANT_INT) {
        *value = (struct numeric){v->i64, NUMBER_INTEGER};
        return LOADED_VALUE;
    }
    if (v->kind == VARIANT_NULL)
        return LOADED_NULL;
    if (v->kind != VARIANT_NUMBER)
        return LOADED_MISMATCH;
    if (token_fast(v->data, v->size, &coefficient, &value->scale)) {
        value->coefficient = coefficient;
        return LOADED_VALUE;
    }
    return numeric_parse(bytes_of(v->data, v->size), value) == 0 ? LOADED_VALUE : LOADED_RANGE;
}

ALWAYS_INLINE enum loaded load_number(const struct column *c, uint32_t row, struct numeric *value)
{
    uint32_t at = column_at(c, row);
    if (c->type == COL_VARIANT)
        return load_variant(&c->variant[at], value);
    if (c->nulls != NULL && c->nulls[at])
        return LOADED_NULL;
    if (c->type == COL_BIGINT)
        *value = (struct numeric){c->i64[at], NUMBER_INTEGER};
    else
        *value = c->numeric[at];
    return LOADED_VALUE;
}

ALWAYS_INLINE enum step number_step(enum arith op, struct numeric *x, struct numeric *y,
                                    struct numeric *z)
{
    if (x->scale < 0 && y->scale < 0) {
        int64_t value;
        enum step step = i64_step(op, (int64_t)x->coefficient, (int64_t)y->coefficient, &value);
        if (step == STEP_OK)
            *z = (struct numeric){value, NUMBER_INTEGER};
        return step;
    }
    if (x->scale < 0)
        x->scale = 0;
    if (y->scale < 0)
        y->scale = 0;
    int rc = numeric_step(op, x, y, z);
    return rc == 0 ? STEP_OK : rc == ERR_INVALID ? STEP_ZERO : STEP_RANGE;
}

static int load_failed(struct eval *eval, struct column *out, uint32_t row, enum loaded loaded,
                       const struct column *c)
{
    char what[80];
    if (loaded == LOADED_RANGE)
        return eval_fail(eval, out, row, "out_of_range", "a number does not fit %d digits",
                         NUMERIC_MAX_DIGITS);
    return eval_fail(eval, out, row, "type_mismatch", "cannot compute with %s",
                     variant_describe(&c->variant[column_at(c, row)], what));
}

/* One row that the loop did not finish: NULL, or an error. */
static int number_unusual(struct eval *eval, struct column *out, uint32_t row, enum loaded a_loaded,
                          enum loaded b_loaded, const struct column c[2])
{
    if (a_loaded > LOADED_VALUE)
        return load_failed(eval, out, row, a_loaded, &c[0]);
    if (b_loaded > LOADED_VALUE)
        return load_failed(eval, out, row, b_loaded, &c[1]);
    if (out->nulls == NULL) {
        out->nulls = arena_zalloc(eval->run->arena, eval->run->batch->row_count);
        if (out->nulls == NULL)
            return ERR_NOMEM;
    }
    column_set_null(out, row);
    return 0;
}

ALWAYS_INLINE int number_rows(struct eval *eval, enum arith op, const struct column c[2],
                              struct column *out)
{
    struct numeric *z = out->numeric;
    for (uint32_t i = 0; i < eval->count; i++) {
        uint32_t row = row_at(eval->rows, i);
        struct numeric x, y;
        enum loaded a = load_number(&c[0], row, &x), b = load_number(&c[1], row, &y);
        if (__builtin_expect(a != LOADED_VALUE || b != LOADED_VALUE, 0)) {
            TRY(number_unusual(eval, out, row, a, b, c));
            continue;
        }
        enum step step = number_step(op, &x, &y, &z[row]);
        if (__builtin_expect(step == STEP_ZERO, 0))
            TRY(fail_zero(eval, out, row));
        else if (__builtin_expect(step == STEP_RANGE, 0))
            TRY(fail_range(eval, out, row, x.scale < 0 ? "bigint" : "numeric"));
    }
    return 0;
}

static int eval_number(const struct node *node, struct eval *eval, struct column *out)
{
    struct column c[2], result;
    TRY(run_both(node, eval, c, &result, false));
    int rc = 0;
    switch ((enum arith)node->op) {
    case ARITH_ADD:
        rc = number_rows(eval, ARITH_ADD, c, &result);
        break;
    case ARITH_SUBTRACT:
        rc = number_rows(eval, ARITH_SUBTRACT, c, &result);
        break;
    case ARITH_MULTIPLY:
        rc = number_rows(eval, ARITH_MULTIPLY, c, &result);
        break;
    case ARITH_DIVIDE:
        rc = number_rows(eval, ARITH_DIVIDE, c, &result);
        break;
    case ARITH_MODULO:
        rc = number_rows(eval, ARITH_MODULO, c, &result);
        break;
    case ARITH_NEGATE:
        rc = number_rows(eval, ARITH_NEGATE, c, &result);
        break;
    }
    *out = result;
    return rc;
}

/* ---- interval × number ---- */

static int eval_interval_scale(const struct node *node, struct eval *eval, struct column *out)
{
    struct column c[2], result;
    TRY(run_both(node, eval, c, &result, true));
    const uint8_t *nulls = result.nulls;
    for (uint32_t i = 0; i < eval->count; i++) {
        uint32_t row = row_at(eval->rows, i);
        if (nulls != NULL && nulls[row])
            continue;
        double factor = c[1].f64[column_at(&c[1], row)];
        double ms = (double)c[0].i64[column_at(&c[0], row)];
        if (node->op == ARITH_DIVIDE && factor == 0.0) {
            TRY(fail_zero(eval, &result, row));
            continue;
        }
        ms = rint(node->op == ARITH_DIVIDE ? ms / factor : ms * factor);
        if (ms >= -9.2233720368547758e18 && ms < 9.2233720368547758e18)
            result.i64[row] = (int64_t)ms;
        else
            TRY(fail_range(eval, &result, row, "interval"));
    }
    *out = result;
    return 0;
}

/* ---- Binding ---- */

static int arith_find(const struct syntax *syntax)
{
    static const char symbols[] = "+-*/%";
    if (syntax->arg_count == 1)
        return ARITH_NEGATE;
    return (int)(strchr(symbols, syntax->text[0]) - symbols);
}

static int refuse_types(struct binder *binder, const struct syntax *syntax, uint8_t a, uint8_t b)
{
    const char *hint = type_is_json(a) || type_is_json(b)
                           ? "write a cast: field::timestamptz, field::interval, field::numeric"
                       : a == COL_TEXT || b == COL_TEXT ? "write a cast, as in value::numeric"
                       : syntax->text[0] == '%'         ? "write a cast to numeric"
                                                        : NULL;
    if (syntax->arg_count == 1)
        return source_error(&binder->source, ERR_INVALID, syntax->at, hint,
                            "operator %s does not take %s", syntax->text, type_name(a));
    return source_error(&binder->source, ERR_INVALID, syntax->at, hint,
                        "operator %s does not take %s and %s", syntax->text, type_name(a),
                        type_name(b));
}

/* The type that an untyped literal takes beside a value of type other. */
static uint8_t literal_type(enum arith op, uint8_t other, bool null)
{
    if (other == COL_TIMESTAMPTZ)
        return op == ARITH_ADD ? COL_INTERVAL : COL_TIMESTAMPTZ;
    if (other == COL_INTERVAL)
        return op == ARITH_ADD || op == ARITH_SUBTRACT ? COL_INTERVAL : COL_DOUBLE;
    if (type_is_json(other))
        return null ? COL_BIGINT : COL_NUMERIC;
    return other;
}

static int type_literals(struct binder *binder, const struct syntax *syntax, enum arith op,
                         struct node **args)
{
    bool a_unknown = args[0]->type == TYPE_UNKNOWN;
    bool b_unknown = syntax->arg_count == 2 && args[1]->type == TYPE_UNKNOWN;
    if (syntax->arg_count == 1 || (a_unknown && b_unknown))
        return a_unknown ? refuse_types(binder, syntax, TYPE_UNKNOWN, TYPE_UNKNOWN) : 0;
    if (a_unknown && type_is_numeric(args[1]->type) + (args[1]->type >= COL_TIMESTAMPTZ) +
                             (args[1]->type == COL_VARIANT) >
                         0)
        return bind_coerce(binder, &args[0],
                           literal_type(op, args[1]->type, node_is_null_literal(args[0])));
    if (b_unknown && type_is_numeric(args[0]->type) + (args[0]->type >= COL_TIMESTAMPTZ) +
                             (args[0]->type == COL_VARIANT) >
                         0)
        return bind_coerce(binder, &args[1],
                           literal_type(op, args[0]->type, node_is_null_literal(args[1])));
    return 0;
}

static int choose_numbers(struct binder *binder, struct node *node, enum arith op, bool *fits)
{
    uint8_t a = node->args[0]->type, b = node->args[node->arg_count - 1]->type, type;
    *fits = (type_is_numeric(a) || a == COL_VARIANT) && (type_is_numeric(b) || b == COL_VARIANT);
    if (!*fits)
        return 0;
    if (a == COL_DOUBLE || b == COL_DOUBLE)
        type = COL_DOUBLE;
    else if (a == COL_NUMERIC || b == COL_NUMERIC)
        type = COL_NUMERIC;
    else
        type = a == COL_BIGINT && b == COL_BIGINT ? COL_BIGINT : TYPE_NUMBER;
    *fits = !(type == COL_DOUBLE && op == ARITH_MODULO);
    node->type = type;
    node->name = "bigint";
    node->eval = type == COL_DOUBLE    ? eval_double
                 : type == COL_NUMERIC ? eval_numeric
                 : type == COL_BIGINT  ? eval_i64
                                       : eval_number;
    for (uint32_t i = 0; i < node->arg_count && type != TYPE_NUMBER; i++)
        TRY(bind_coerce(binder, &node->args[i], type));
    return 0;
}

/* interval × number and interval ÷ number; the interval goes first. */
static int choose_interval_scale(struct binder *binder, struct node *node, enum arith op,
                                 bool *fits)
{
    if (op == ARITH_MULTIPLY && node->args[1]->type == COL_INTERVAL) {
        struct node *number = node->args[0];
        node->args[0] = node->args[1];
        node->args[1] = number;
    }
    uint8_t b = node->args[1]->type;
    *fits = node->args[0]->type == COL_INTERVAL && (type_is_numeric(b) || b == COL_VARIANT);
    if (!*fits)
        return 0;
    node->type = COL_INTERVAL;
    node->eval = eval_interval_scale;
    return bind_coerce(binder, &node->args[1], COL_DOUBLE);
}

static bool choose_times(struct node *node, enum arith op)
{
    uint8_t a = node->args[0]->type, b = node->args[node->arg_count - 1]->type;
    node->eval = eval_i64;
    node->name = "timestamptz";
    node->type = COL_TIMESTAMPTZ;
    if ((op == ARITH_ADD || op == ARITH_SUBTRACT) && a == COL_TIMESTAMPTZ && b == COL_INTERVAL)
        return true;
    if (op == ARITH_ADD && a == COL_INTERVAL && b == COL_TIMESTAMPTZ)
        return true;
    node->type = COL_INTERVAL;
    node->name = "interval";
    if (op == ARITH_SUBTRACT && a == COL_TIMESTAMPTZ && b == COL_TIMESTAMPTZ)
        return true;
    return (op == ARITH_ADD || op == ARITH_SUBTRACT || op == ARITH_NEGATE) && a == COL_INTERVAL &&
           b == COL_INTERVAL;
}

int bind_arithmetic(struct binder *binder, const struct syntax *syntax, struct node **out)
{
    enum arith op = (enum arith)arith_find(syntax);
    struct node *node = node_new(binder, NULL, COL_BIGINT, syntax->at, syntax->arg_count);
    if (node == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < syntax->arg_count; i++)
        TRY(bind_syntax(binder, syntax->args[i], &node->args[i]));
    node->op = (uint8_t)op;
    TRY(type_literals(binder, syntax, op, node->args));
    uint8_t a = node->args[0]->type, b = node->args[node->arg_count - 1]->type;
    bool fits;
    TRY(choose_numbers(binder, node, op, &fits));
    if (!fits && choose_times(node, op))
        fits = true;
    else if (!fits && (op == ARITH_MULTIPLY || op == ARITH_DIVIDE))
        TRY(choose_interval_scale(binder, node, op, &fits));
    if (!fits)
        return refuse_types(binder, syntax, a, b);
    *out = syntax->arg_count == 1 && syntax->text[0] == '+' ? node->args[0] : node;
    return 0;
}
