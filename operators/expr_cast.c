/* expr_cast.c: conversions between types, written (::, CAST) and implied.
 *
 * A written cast follows PostgreSQL, and for uncast JSON does what PostgreSQL does for the type
 * that the row holds: a number token is cast from its own digits, never through a double. It fails
 * as "cast_failed". An implied conversion of JSON only checks that the row holds the type that is
 * needed, and fails as "type_mismatch": lower(x) does not turn the number 5 into '5' by surprise.
 *
 * Beyond PostgreSQL: a bigint or a text of digits casts to timestamptz as epoch milliseconds, which
 * is how events carry time. The conversions that aggregation lives on (JSON and bigint to numeric)
 * have loops of their own; the others go through one function per row. */
#include "operators/expr_nodes.h"

#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { QUOTED_BYTES = 40 };

/* ---- Errors ---- */

static const char *cast_class(const struct row_call *call)
{
    return call->node->explicit_cast ? "cast_failed" : "type_mismatch";
}

static int fail_syntax(struct row_call *call, const char *type, struct bytes text)
{
    return scalar_fail(call, cast_class(call), "invalid input syntax for type %s: \"%.*s\"", type,
                       clip(text, QUOTED_BYTES), (const char *)text.data);
}

static int fail_value_range(struct row_call *call, const char *type)
{
    return scalar_fail(call, call->node->explicit_cast ? "cast_failed" : "out_of_range",
                       "%s out of range", type);
}

static int fail_variant(struct row_call *call, const struct variant *v)
{
    char what[80];
    if (call->node->explicit_cast)
        return scalar_fail(call, "cast_failed", "cannot cast %s to %s", variant_describe(v, what),
                           call->node->target.name);
    return scalar_fail(call, "type_mismatch", "%s is needed here, not %s", call->node->target.name,
                       variant_describe(v, what));
}

static struct bytes trimmed(struct bytes text)
{
    static const char spaces[] = " \t\n\r\f\v";
    while (text.size > 0 && memchr(spaces, text.data[0], 6) != NULL) {
        text.data++;
        text.size--;
    }
    while (text.size > 0 && memchr(spaces, text.data[text.size - 1], 6) != NULL)
        text.size--;
    return text;
}

/* ---- To bigint, integer, smallint ---- */

static int integer_fit(struct row_call *call, int64_t value, union scalar *result)
{
    uint8_t bytes = call->node->target.integer_bytes;
    bool fits = bytes == 2 ? value == (int16_t)value : bytes == 4 ? value == (int32_t)value : true;
    if (!fits)
        return fail_value_range(call, call->node->target.name);
    result->i64 = value;
    return SCALAR_VALUE;
}

static int bigint_to_integer(struct row_call *call, const union scalar *args, union scalar *result)
{
    return integer_fit(call, args[0].i64, result);
}

static int numeric_to_integer(struct row_call *call, const union scalar *args, union scalar *result)
{
    int64_t value;
    struct numeric number = args[0].numeric;
    if (number.scale == NUMBER_INTEGER)
        return integer_fit(call, (int64_t)number.coefficient, result);
    if (!call->node->explicit_cast)
        return scalar_fail(call, "type_mismatch", "an integer is needed here, not a decimal");
    if (numeric_to_i64(number, &value) != 0)
        return fail_value_range(call, call->node->target.name);
    return integer_fit(call, value, result);
}

static int double_to_integer(struct row_call *call, const union scalar *args, union scalar *result)
{
    double value = rint(args[0].f64);
    if (!(value >= -9223372036854775808.0 && value < 9223372036854775808.0))
        return fail_value_range(call, call->node->target.name);
    return integer_fit(call, (int64_t)value, result);
}

static int boolean_to_integer(struct row_call *call, const union scalar *args, union scalar *result)
{
    (void)call;
    result->i64 = args[0].boolean;
    return SCALAR_VALUE;
}

static int text_to_integer(struct row_call *call, const union scalar *args, union scalar *result)
{
    struct bytes text = trimmed(args[0].text);
    const char *type = call->node->target.name;
    size_t i = text.size > 0 && (text.data[0] == '-' || text.data[0] == '+');
    bool negative = i == 1 && text.data[0] == '-', overflow = false;
    int64_t value = 0;
    if (i == text.size)
        return fail_syntax(call, type, args[0].text);
    for (; i < text.size; i++) {
        unsigned digit = (unsigned)text.data[i] - '0';
        if (digit > 9)
            return fail_syntax(call, type, args[0].text);
        overflow |= __builtin_mul_overflow(value, (int64_t)10, &value);
        overflow |= __builtin_sub_overflow(value, (int64_t)digit, &value);
    }
    if (!negative)
        overflow |= __builtin_sub_overflow((int64_t)0, value, &value);
    if (overflow)
        return fail_value_range(call, type);
    return integer_fit(call, value, result);
}

static int variant_to_integer(struct row_call *call, const union scalar *args, union scalar *result)
{
    const struct variant *v = &args[0].variant;
    union scalar arg;
    if (v->kind == VARIANT_INT)
        return integer_fit(call, v->i64, result);
    if (!call->node->explicit_cast)
        return fail_variant(call, v);
    switch (v->kind) {
    case VARIANT_NUMBER:
        if (variant_number(v, &arg.numeric) < 0)
            return fail_value_range(call, call->node->target.name);
        return numeric_to_integer(call, &arg, result);
    case VARIANT_TEXT:
        arg.text = bytes_of(v->data, v->size);
        return text_to_integer(call, &arg, result);
    case VARIANT_FALSE:
    case VARIANT_TRUE:
        if (call->node->target.integer_bytes != 4)
            return fail_variant(call, v);
        result->i64 = v->kind == VARIANT_TRUE;
        return SCALAR_VALUE;
    default:
        return fail_variant(call, v);
    }
}

/* ---- To numeric ---- */

static int numeric_typed(struct row_call *call, struct numeric value, union scalar *result)
{
    const struct sql_type *target = &call->node->target;
    result->numeric = value;
    if (value.scale < 0)
        result->numeric.scale = 0;
    if (target->precision == 0)
        return SCALAR_VALUE;
    if (numeric_fit(result->numeric, target->precision, target->scale, &result->numeric) != 0)
        return scalar_fail(call, "cast_failed", "numeric(%d,%d) out of range", target->precision,
                           target->scale);
    return SCALAR_VALUE;
}

static int numeric_to_numeric(struct row_call *call, const union scalar *args, union scalar *result)
{
    return numeric_typed(call, args[0].numeric, result);
}

static int bigint_to_numeric(struct row_call *call, const union scalar *args, union scalar *result)
{
    return numeric_typed(call, numeric_from_i64(args[0].i64), result);
}

static int double_to_numeric(struct row_call *call, const union scalar *args, union scalar *result)
{
    struct numeric value;
    int rc = numeric_from_double(args[0].f64, &value);
    if (rc == ERR_INVALID)
        return scalar_fail(call, cast_class(call), "numeric has no NaN and no infinity");
    return rc != 0 ? fail_value_range(call, "numeric") : numeric_typed(call, value, result);
}

static int text_to_numeric(struct row_call *call, const union scalar *args, union scalar *result)
{
    struct numeric value;
    int rc = number_parse(trimmed(args[0].text), &value);
    if (rc == ERR_INVALID)
        return fail_syntax(call, "numeric", args[0].text);
    return rc != 0 ? fail_value_range(call, "numeric") : numeric_typed(call, value, result);
}

static int variant_to_numeric(struct row_call *call, const union scalar *args, union scalar *result)
{
    const struct variant *v = &args[0].variant;
    struct numeric value;
    union scalar text;
    int kind = variant_number(v, &value);
    if (kind > 0)
        return numeric_typed(call, value, result);
    if (kind < 0)
        return fail_value_range(call, "numeric");
    if (v->kind != VARIANT_TEXT || !call->node->explicit_cast)
        return fail_variant(call, v);
    text.text = bytes_of(v->data, v->size);
    return text_to_numeric(call, &text, result);
}

static int variant_to_number(struct row_call *call, const union scalar *args, union scalar *result)
{
    int rc = variant_to_numeric(call, args, result);
    if (rc == SCALAR_VALUE && args[0].variant.kind == VARIANT_INT)
        result->numeric.scale = NUMBER_INTEGER;
    return rc;
}

static int bigint_to_number(struct row_call *call, const union scalar *args, union scalar *result)
{
    (void)call;
    result->numeric = (struct numeric){args[0].i64, NUMBER_INTEGER};
    return SCALAR_VALUE;
}

/* The loop under sum(amount::numeric): JSON to numeric. */
static int eval_variant_numeric(const struct node *node, struct eval *eval, struct column *out)
{
    struct column arg;
    TRY(node_run(node->args[0], eval, &arg));
    TRY(eval_alloc(eval, out, COL_NUMERIC, true));
    struct row_call call = {.eval = eval, .node = node};
    bool plain = node->target.precision == 0, any_null = false;
    for (uint32_t i = 0; i < eval->count; i++) {
        uint32_t row = call.row = row_at(eval->rows, i);
        const struct variant *v = &arg.variant[column_at(&arg, row)];
        struct numeric *to = &out->numeric[row];
        int64_t coefficient;
        union scalar in, result;
        if (plain && v->kind == VARIANT_INT) {
            *to = (struct numeric){v->i64, 0};
            continue;
        }
        if (plain && v->kind == VARIANT_NUMBER &&
            token_fast(v->data, v->size, &coefficient, &to->scale)) {
            to->coefficient = coefficient;
            continue;
        }
        in.variant = *v;
        int rc = v->kind == VARIANT_NULL ? SCALAR_NULL : node->scalar(&call, &in, &result);
        TRY(rc);
        if (rc == SCALAR_VALUE) {
            *to = result.numeric;
        } else {
            out->nulls[row] = 1;
            any_null = true;
        }
    }
    if (!any_null)
        out->nulls = NULL;
    return 0;
}

static int eval_bigint_numeric(const struct node *node, struct eval *eval, struct column *out)
{
    struct column arg;
    TRY(node_run(node->args[0], eval, &arg));
    TRY(eval_alloc(eval, out, COL_NUMERIC, false));
    TRY(eval_merge_nulls(eval, &arg, 1, &out->nulls));
    for (uint32_t i = 0; i < eval->count; i++) {
        uint32_t row = row_at(eval->rows, i);
        out->numeric[row] = (struct numeric){arg.i64[column_at(&arg, row)], 0};
    }
    return 0;
}

static int eval_number_numeric(const struct node *node, struct eval *eval, struct column *out)
{
    struct column arg;
    TRY(node_run(node->args[0], eval, &arg));
    TRY(eval_alloc(eval, out, COL_NUMERIC, false));
    TRY(eval_merge_nulls(eval, &arg, 1, &out->nulls));
    for (uint32_t i = 0; i < eval->count; i++) {
        uint32_t row = row_at(eval->rows, i);
        struct numeric value = arg.numeric[column_at(&arg, row)];
        value.scale = value.scale < 0 ? 0 : value.scale;
        out->numeric[row] = value;
    }
    return 0;
}

/* ---- To double precision ---- */

static int bigint_to_double(struct row_call *call, const union scalar *args, union scalar *result)
{
    (void)call;
    result->f64 = (double)args[0].i64;
    return SCALAR_VALUE;
}

static int numeric_to_double_scalar(struct row_call *call, const union scalar *args,
                                    union scalar *result)
{
    (void)call;
    struct numeric value = args[0].numeric;
    if (value.scale < 0)
        value.scale = 0;
    result->f64 = numeric_to_double(value);
    return SCALAR_VALUE;
}

/* strtod without the process's locale. */
static locale_t c_locale;
static pthread_once_t c_locale_once = PTHREAD_ONCE_INIT;
static void c_locale_make(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

static int text_to_double(struct row_call *call, const union scalar *args, union scalar *result)
{
    enum { LONGEST = 400 };
    struct bytes text = trimmed(args[0].text);
    char copy[LONGEST + 1], *end;
    pthread_once(&c_locale_once, c_locale_make);
    if (c_locale == (locale_t)0)
        return ERR_NOMEM;
    if (text.size == 0 || text.size > LONGEST || memchr(text.data, 'x', text.size) != NULL ||
        memchr(text.data, 'X', text.size) != NULL || memchr(text.data, '(', text.size) != NULL)
        return fail_syntax(call, "double precision", args[0].text);
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    result->f64 = strtod_l(copy, &end, c_locale);
    if (end != copy + text.size)
        return fail_syntax(call, "double precision", args[0].text);
    bool named = strpbrk(copy, "nN") != NULL;
    bool nonzero =
        copy[strcspn(copy, "123456789eE")] >= '1' && copy[strcspn(copy, "123456789eE")] <= '9';
    if ((isinf(result->f64) && !named) || (result->f64 == 0.0 && nonzero))
        return fail_value_range(call, "double precision");
    return SCALAR_VALUE;
}

static int variant_to_double(struct row_call *call, const union scalar *args, union scalar *result)
{
    const struct variant *v = &args[0].variant;
    union scalar text = {.text = bytes_of(v->data, v->size)};
    if (v->kind == VARIANT_INT) {
        result->f64 = (double)v->i64;
        return SCALAR_VALUE;
    }
    if (v->kind == VARIANT_NUMBER || (v->kind == VARIANT_TEXT && call->node->explicit_cast))
        return text_to_double(call, &text, result);
    return fail_variant(call, v);
}

/* ---- To boolean ---- */

static bool word_starts(struct bytes text, const char *word, size_t at_least)
{
    if (text.size < at_least || text.size > strlen(word))
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if ((text.data[i] | 0x20) != (uint8_t)word[i])
            return false;
    }
    return true;
}

static int text_to_boolean(struct row_call *call, const union scalar *args, union scalar *result)
{
    struct bytes text = trimmed(args[0].text);
    bool digit = text.size == 1 && (text.data[0] == '0' || text.data[0] == '1');
    if (word_starts(text, "true", 1) || word_starts(text, "yes", 1) || word_starts(text, "on", 2) ||
        (digit && text.data[0] == '1'))
        result->boolean = 1;
    else if (word_starts(text, "false", 1) || word_starts(text, "no", 1) ||
             word_starts(text, "off", 2) || digit)
        result->boolean = 0;
    else
        return fail_syntax(call, "boolean", args[0].text);
    return SCALAR_VALUE;
}

static int bigint_to_boolean(struct row_call *call, const union scalar *args, union scalar *result)
{
    (void)call;
    result->boolean = args[0].i64 != 0;
    return SCALAR_VALUE;
}

static int variant_to_boolean(struct row_call *call, const union scalar *args, union scalar *result)
{
    const struct variant *v = &args[0].variant;
    if (v->kind == VARIANT_TRUE || v->kind == VARIANT_FALSE) {
        result->boolean = v->kind == VARIANT_TRUE;
        return SCALAR_VALUE;
    }
    if (call->node->explicit_cast && v->kind == VARIANT_INT) {
        result->boolean = v->i64 != 0;
        return SCALAR_VALUE;
    }
    if (call->node->explicit_cast && v->kind == VARIANT_TEXT) {
        union scalar text = {.text = bytes_of(v->data, v->size)};
        return text_to_boolean(call, &text, result);
    }
    return fail_variant(call, v);
}

/* ---- To text ---- */

int scalar_text_copy(struct row_call *call, const void *data, size_t size, union scalar *result)
{
    uint8_t *copy = arena_alloc_aligned(call->eval->run->arena, size + 1, 1);
    if (copy == NULL)
        return ERR_NOMEM;
    memcpy(copy, data, size);
    result->text = bytes_of(copy, size);
    return SCALAR_VALUE;
}

static int boolean_to_text(struct row_call *call, const union scalar *args, union scalar *result)
{
    (void)call;
    result->text = bytes_text(args[0].boolean ? "true" : "false");
    return SCALAR_VALUE;
}

static int bigint_to_text(struct row_call *call, const union scalar *args, union scalar *result)
{
    char text[24];
    int size = snprintf(text, sizeof text, "%lld", (long long)args[0].i64);
    return scalar_text_copy(call, text, (size_t)size, result);
}

static int double_to_text(struct row_call *call, const union scalar *args, union scalar *result)
{
    char text[40];
    return scalar_text_copy(call, text, double_print(args[0].f64, text), result);
}

static int numeric_to_text(struct row_call *call, const union scalar *args, union scalar *result)
{
    char text[NUMERIC_TEXT_BYTES];
    struct numeric value = args[0].numeric;
    if (value.scale < 0)
        value.scale = 0;
    return scalar_text_copy(call, text, numeric_print(value, text), result);
}

static int timestamptz_to_text(struct row_call *call, const union scalar *args,
                               union scalar *result)
{
    char text[48];
    return scalar_text_copy(call, text, timestamp_print(args[0].i64, text), result);
}

static int interval_to_text(struct row_call *call, const union scalar *args, union scalar *result)
{
    char text[48];
    return scalar_text_copy(call, text, interval_print(args[0].i64, text), result);
}

static int variant_to_text(struct row_call *call, const union scalar *args, union scalar *result)
{
    const struct variant *v = &args[0].variant;
    union scalar value;
    if (v->kind == VARIANT_TEXT) {
        result->text = bytes_of(v->data, v->size);
        return SCALAR_VALUE;
    }
    if (!call->node->explicit_cast)
        return fail_variant(call, v);
    switch (v->kind) {
    case VARIANT_INT:
        value.i64 = v->i64;
        return bigint_to_text(call, &value, result);
    case VARIANT_FALSE:
    case VARIANT_TRUE:
        value.boolean = v->kind == VARIANT_TRUE;
        return boolean_to_text(call, &value, result);
    default:
        result->text = bytes_of(v->data, v->size);
        return SCALAR_VALUE;
    }
}

/* Texts column by column: most values are one already. */
static int eval_variant_text(const struct node *node, struct eval *eval, struct column *out)
{
    struct column arg;
    TRY(node_run(node->args[0], eval, &arg));
    TRY(eval_alloc(eval, out, COL_TEXT, true));
    struct row_call call = {.eval = eval, .node = node};
    bool any_null = false;
    for (uint32_t i = 0; i < eval->count; i++) {
        uint32_t row = call.row = row_at(eval->rows, i);
        const struct variant *v = &arg.variant[column_at(&arg, row)];
        union scalar in, result;
        if (v->kind == VARIANT_TEXT) {
            out->text[row] = bytes_of(v->data, v->size);
            continue;
        }
        in.variant = *v;
        int rc = v->kind == VARIANT_NULL ? SCALAR_NULL : node->scalar(&call, &in, &result);
        TRY(rc);
        if (rc == SCALAR_VALUE) {
            out->text[row] = result.text;
        } else {
            out->nulls[row] = 1;
            any_null = true;
        }
    }
    if (!any_null)
        out->nulls = NULL;
    return 0;
}

/* ---- To times ---- */

static int bigint_to_timestamptz(struct row_call *call, const union scalar *args,
                                 union scalar *result)
{
    (void)call;
    result->i64 = args[0].i64;
    return SCALAR_VALUE;
}

static int number_to_timestamptz(struct row_call *call, const union scalar *args,
                                 union scalar *result)
{
    if (args[0].numeric.scale != NUMBER_INTEGER)
        return scalar_fail(call, "cast_failed",
                           "a timestamptz is whole epoch milliseconds, not a decimal");
    result->i64 = (int64_t)args[0].numeric.coefficient;
    return SCALAR_VALUE;
}

static int text_to_timestamptz(struct row_call *call, const union scalar *args,
                               union scalar *result)
{
    if (timestamp_parse(trimmed(args[0].text), &result->i64) != 0)
        return fail_syntax(call, "timestamptz", args[0].text);
    return SCALAR_VALUE;
}

static int text_to_interval(struct row_call *call, const union scalar *args, union scalar *result)
{
    int rc = interval_parse(trimmed(args[0].text), &result->i64);
    if (rc == ERR_UNSUPPORTED)
        return scalar_fail(call, cast_class(call),
                           "an interval of months or years is not supported: their length varies");
    if (rc == ERR_RANGE)
        return fail_value_range(call, "interval");
    return rc != 0 ? fail_syntax(call, "interval", args[0].text) : SCALAR_VALUE;
}

static int variant_to_time(struct row_call *call, const union scalar *args, union scalar *result)
{
    const struct variant *v = &args[0].variant;
    bool timestamp = call->node->target.type == COL_TIMESTAMPTZ;
    union scalar text = {.text = bytes_of(v->data, v->size)};
    if (v->kind == VARIANT_TEXT)
        return timestamp ? text_to_timestamptz(call, &text, result)
                         : text_to_interval(call, &text, result);
    if (v->kind != VARIANT_INT || !timestamp)
        return fail_variant(call, v);
    result->i64 = v->i64;
    return SCALAR_VALUE;
}

/* ---- To JSON ---- */

static int token_to_variant(struct row_call *call, const char *text, size_t size,
                            union scalar *result)
{
    int64_t value;
    int32_t scale;
    union scalar copy;
    bool whole = memchr(text, '.', size) == NULL && memchr(text, 'e', size) == NULL;
    if (whole && token_fast((const uint8_t *)text, (uint32_t)size, &value, &scale)) {
        result->variant = (struct variant){.i64 = value, .kind = VARIANT_INT};
        return SCALAR_VALUE;
    }
    TRY(scalar_text_copy(call, text, size, &copy));
    result->variant =
        (struct variant){.data = copy.text.data, .size = (uint32_t)size, .kind = VARIANT_NUMBER};
    return SCALAR_VALUE;
}

static int bigint_to_variant(struct row_call *call, const union scalar *args, union scalar *result)
{
    (void)call;
    int64_t value = args[0].i64;
    result->variant = (struct variant){.i64 = value, .kind = VARIANT_INT};
    return SCALAR_VALUE;
}

static int numeric_to_variant(struct row_call *call, const union scalar *args, union scalar *result)
{
    char text[NUMERIC_TEXT_BYTES];
    struct numeric value = args[0].numeric;
    if (value.scale < 0)
        value.scale = 0;
    return token_to_variant(call, text, numeric_print(value, text), result);
}

static int double_to_variant(struct row_call *call, const union scalar *args, union scalar *result)
{
    char text[40];
    if (isnan(args[0].f64) || isinf(args[0].f64))
        return scalar_fail(call, "out_of_range", "JSON has no NaN and no infinity");
    return token_to_variant(call, text, double_print(args[0].f64, text), result);
}

static int boolean_to_variant(struct row_call *call, const union scalar *args, union scalar *result)
{
    (void)call;
    uint8_t kind = args[0].boolean ? VARIANT_TRUE : VARIANT_FALSE;
    result->variant = (struct variant){.kind = kind};
    return SCALAR_VALUE;
}

static int text_to_variant(struct row_call *call, const union scalar *args, union scalar *result)
{
    (void)call;
    struct bytes text = args[0].text;
    result->variant =
        (struct variant){.data = text.data, .size = (uint32_t)text.size, .kind = VARIANT_TEXT};
    return SCALAR_VALUE;
}

/* ---- The table ---- */

static const struct {
    uint8_t from, to;
    bool written_only;
    scalar_fn scalar;
    node_eval eval; /* NULL: eval_scalar */
} casts[] = {
    {COL_BIGINT, COL_BIGINT, true, bigint_to_integer, NULL},
    {COL_NUMERIC, COL_BIGINT, true, numeric_to_integer, NULL},
    {TYPE_NUMBER, COL_BIGINT, false, numeric_to_integer, NULL},
    {COL_DOUBLE, COL_BIGINT, true, double_to_integer, NULL},
    {COL_TEXT, COL_BIGINT, true, text_to_integer, NULL},
    {COL_BOOLEAN, COL_BIGINT, true, boolean_to_integer, NULL},
    {COL_VARIANT, COL_BIGINT, false, variant_to_integer, NULL},
    {COL_BIGINT, COL_NUMERIC, false, bigint_to_numeric, eval_bigint_numeric},
    {COL_NUMERIC, COL_NUMERIC, true, numeric_to_numeric, NULL},
    {COL_DOUBLE, COL_NUMERIC, true, double_to_numeric, NULL},
    {COL_TEXT, COL_NUMERIC, true, text_to_numeric, NULL},
    {COL_VARIANT, COL_NUMERIC, false, variant_to_numeric, eval_variant_numeric},
    {COL_BIGINT, TYPE_NUMBER, false, bigint_to_number, NULL},
    {COL_VARIANT, TYPE_NUMBER, false, variant_to_number, NULL},
    {COL_BIGINT, COL_DOUBLE, false, bigint_to_double, NULL},
    {COL_NUMERIC, COL_DOUBLE, false, numeric_to_double_scalar, NULL},
    {TYPE_NUMBER, COL_DOUBLE, false, numeric_to_double_scalar, NULL},
    {COL_TEXT, COL_DOUBLE, true, text_to_double, NULL},
    {COL_VARIANT, COL_DOUBLE, false, variant_to_double, NULL},
    {COL_TEXT, COL_BOOLEAN, true, text_to_boolean, NULL},
    {COL_BIGINT, COL_BOOLEAN, true, bigint_to_boolean, NULL},
    {COL_VARIANT, COL_BOOLEAN, false, variant_to_boolean, NULL},
    {COL_BOOLEAN, COL_TEXT, true, boolean_to_text, NULL},
    {COL_BIGINT, COL_TEXT, true, bigint_to_text, NULL},
    {COL_NUMERIC, COL_TEXT, true, numeric_to_text, NULL},
    {TYPE_NUMBER, COL_TEXT, true, numeric_to_text, NULL},
    {COL_DOUBLE, COL_TEXT, true, double_to_text, NULL},
    {COL_TIMESTAMPTZ, COL_TEXT, true, timestamptz_to_text, NULL},
    {COL_INTERVAL, COL_TEXT, true, interval_to_text, NULL},
    {COL_VARIANT, COL_TEXT, false, variant_to_text, eval_variant_text},
    {COL_BIGINT, COL_TIMESTAMPTZ, true, bigint_to_timestamptz, NULL},
    {TYPE_NUMBER, COL_TIMESTAMPTZ, true, number_to_timestamptz, NULL},
    {COL_TEXT, COL_TIMESTAMPTZ, true, text_to_timestamptz, NULL},
    {COL_VARIANT, COL_TIMESTAMPTZ, true, variant_to_time, NULL},
    {COL_TEXT, COL_INTERVAL, true, text_to_interval, NULL},
    {COL_VARIANT, COL_INTERVAL, true, variant_to_time, NULL},
    {COL_BIGINT, COL_VARIANT, false, bigint_to_variant, NULL},
    {COL_NUMERIC, COL_VARIANT, false, numeric_to_variant, NULL},
    {TYPE_NUMBER, COL_VARIANT, false, numeric_to_variant, NULL},
    {COL_DOUBLE, COL_VARIANT, false, double_to_variant, NULL},
    {COL_BOOLEAN, COL_VARIANT, false, boolean_to_variant, NULL},
    {COL_TEXT, COL_VARIANT, false, text_to_variant, NULL},
    {COL_TEXT, COL_BYTEA, true, text_to_bytea, NULL},
    {COL_VARIANT, COL_BYTEA, true, variant_to_bytea, NULL},
    {COL_BYTEA, COL_TEXT, true, bytea_to_text, NULL},
};

bool cast_choose(uint8_t from, const struct sql_type *target, bool explicit_cast, node_eval *eval,
                 scalar_fn *scalar)
{
    bool typed_numeric = target->precision != 0;
    if (from == TYPE_NUMBER && target->type == COL_NUMERIC) {
        *scalar = numeric_to_numeric;
        *eval = typed_numeric ? eval_scalar : eval_number_numeric;
        return true;
    }
    if (from == COL_BOOLEAN && target->type == COL_BIGINT && target->integer_bytes != 4)
        return false;
    for (size_t i = 0; i < sizeof casts / sizeof casts[0]; i++) {
        if (casts[i].from != from || casts[i].to != target->type ||
            (casts[i].written_only && !explicit_cast))
            continue;
        *scalar = casts[i].scalar;
        *eval = casts[i].eval != NULL && !(typed_numeric && from == COL_BIGINT) ? casts[i].eval
                                                                                : eval_scalar;
        return true;
    }
    return false;
}

const char *cast_hint(uint8_t from, uint8_t to)
{
    if (from == COL_BOOLEAN && to == COL_BIGINT)
        return "cast to integer, or use CASE WHEN … THEN 1 ELSE 0 END";
    if (from == COL_TIMESTAMPTZ || from == COL_INTERVAL)
        return "extract(epoch FROM …) gives seconds";
    if (to == COL_TIMESTAMPTZ)
        return "to_timestamp(…) takes epoch seconds";
    return NULL;
}

static int eval_borrowed(const struct node *node, struct eval *eval, struct column *out)
{
    (void)eval;
    *out = node->value;
    return 0;
}

int cast_column(struct eval *eval, uint8_t from, const struct sql_type *target,
                const struct column *in, struct column *out)
{
    struct node source = {.eval = eval_borrowed, .type = from, .value = *in};
    struct node *args[] = {&source};
    struct node cast = {.type = target->type,
                        .args = args,
                        .arg_count = 1,
                        .target = *target,
                        .name = type_name(target->type)};
    must(cast_choose(from, target, false, &cast.eval, &cast.scalar));
    return node_run(&cast, eval, out);
}
