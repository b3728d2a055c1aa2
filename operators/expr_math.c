/* expr_math.c: abs, round, trunc, ceil, floor. Integers and numerics stay exact: round, ceil and
 * floor of a bigint or of an uncast JSON number give numeric (PostgreSQL would go through double
 * precision and lose digits above 2^53). */
#include "operators/expr_internal.h"

#include <math.h>

static int range(struct row_call *call, const char *type)
{
    return scalar_fail(call, "out_of_range", "%s out of range", type);
}

static int abs_bigint(struct row_call *call, const union scalar *args, union scalar *result)
{
    if (args[0].i64 == INT64_MIN)
        return range(call, "bigint");
    result->i64 = args[0].i64 < 0 ? -args[0].i64 : args[0].i64;
    return SCALAR_VALUE;
}

static int abs_numeric(struct row_call *call, const union scalar *args, union scalar *result)
{
    struct numeric value = args[0].numeric;
    if (value.scale == NUMBER_INTEGER && value.coefficient == INT64_MIN)
        return range(call, "bigint");
    if (value.coefficient < 0)
        value.coefficient = -value.coefficient;
    result->numeric = value;
    return SCALAR_VALUE;
}

static int abs_double(struct row_call *call, const union scalar *args, union scalar *result)
{
    (void)call;
    result->f64 = fabs(args[0].f64);
    return SCALAR_VALUE;
}

/* The second argument of round and trunc; beyond ±100 nothing changes any more. */
static int32_t digits_argument(const struct row_call *call, const union scalar *args)
{
    enum { LIMIT = 100 };
    if (call->node->arg_count < 2)
        return 0;
    return (int32_t)(args[1].i64 > LIMIT ? LIMIT : args[1].i64 < -LIMIT ? -LIMIT : args[1].i64);
}

static int round_numeric(struct row_call *call, const union scalar *args, union scalar *result)
{
    int32_t digits = digits_argument(call, args);
    return numeric_round(args[0].numeric, digits, &result->numeric) != 0 ? range(call, "numeric")
                                                                         : SCALAR_VALUE;
}

static int trunc_numeric(struct row_call *call, const union scalar *args, union scalar *result)
{
    int32_t digits = digits_argument(call, args);
    return numeric_truncate(args[0].numeric, digits, &result->numeric) != 0 ? range(call, "numeric")
                                                                            : SCALAR_VALUE;
}

static int ceil_numeric(struct row_call *call, const union scalar *args, union scalar *result)
{
    return numeric_ceil(args[0].numeric, &result->numeric) != 0 ? range(call, "numeric")
                                                                : SCALAR_VALUE;
}

static int floor_numeric(struct row_call *call, const union scalar *args, union scalar *result)
{
    return numeric_floor(args[0].numeric, &result->numeric) != 0 ? range(call, "numeric")
                                                                 : SCALAR_VALUE;
}

/* Half to even, as PostgreSQL does for double precision. */
static int round_double(struct row_call *call, const union scalar *args, union scalar *result)
{
    (void)call;
    result->f64 = rint(args[0].f64);
    return SCALAR_VALUE;
}

static int trunc_double(struct row_call *call, const union scalar *args, union scalar *result)
{
    (void)call;
    result->f64 = trunc(args[0].f64);
    return SCALAR_VALUE;
}

static int ceil_double(struct row_call *call, const union scalar *args, union scalar *result)
{
    (void)call;
    result->f64 = ceil(args[0].f64);
    return SCALAR_VALUE;
}

static int floor_double(struct row_call *call, const union scalar *args, union scalar *result)
{
    (void)call;
    result->f64 = floor(args[0].f64);
    return SCALAR_VALUE;
}

const struct function math_functions[] = {
    {"abs", "N:N", abs_numeric, false},
    {"abs", "i:i", abs_bigint, false},
    {"abs", "n:n", abs_numeric, false},
    {"abs", "d:d", abs_double, false},
    {"round", "n:n", round_numeric, false},
    {"round", "n:ni", round_numeric, false},
    {"round", "d:d", round_double, false},
    {"trunc", "n:n", trunc_numeric, false},
    {"trunc", "n:ni", trunc_numeric, false},
    {"trunc", "d:d", trunc_double, false},
    {"ceil", "n:n", ceil_numeric, false},
    {"ceil", "d:d", ceil_double, false},
    {"ceiling", "n:n", ceil_numeric, false},
    {"ceiling", "d:d", ceil_double, false},
    {"floor", "n:n", floor_numeric, false},
    {"floor", "d:d", floor_double, false},
    {NULL, NULL, NULL, false},
};
