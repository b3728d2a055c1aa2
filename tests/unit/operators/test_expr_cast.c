/* test_expr_cast.c: casts of uncast JSON, where PostgreSQL has no counterpart; those between typed
 * columns are in data/expressions.tsv. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/support/expression_rows.h"

static void json_to_numbers(void **state)
{
    (void)state;
    expect("x::bigint", "x:42", "42");
    expect("x::bigint", "x:2.5", "3");
    expect("x::bigint", "x:-2.5", "-3");
    expect("x::bigint", "x:1e3", "1000");
    expect("x::bigint", "x:\"17\"", "17");
    expect("x::bigint", "x:\"1.5\"", "!cast_failed");
    expect("x::bigint", "x:true", "!cast_failed");
    expect("x::integer", "x:true", "1");
    expect("x::bigint", "x:{}", "!cast_failed");
    expect("x::bigint", "", "NULL");
    expect("x::bigint", "x:null", "NULL");
    expect("x::smallint", "x:32768", "!cast_failed");
    expect("x::smallint", "x:-32768", "-32768");
    expect("x::integer", "x:2147483648", "!cast_failed");
    expect("x::bigint", "x:9223372036854775808", "!cast_failed");
    expect("x::bigint", "x:1e400", "!cast_failed");
    expect("x::numeric", "x:0.10", "0.10");
    expect("x::numeric", "x:1.5e2", "150");
    expect("x::numeric", "x:\"0.10\"", "0.10");
    expect("x::numeric", "x:123456789012345678901234567890.12345678",
           "123456789012345678901234567890.12345678");
    expect("x::numeric", "x:0.1000000000000000055511151231257827",
           "0.1000000000000000055511151231257827");
    expect("x::numeric", "x:1e39", "!cast_failed");
    expect("x::numeric", "x:false", "!cast_failed");
    expect("x::numeric(5,2)", "x:1.005", "1.01");
    expect("x::numeric(5,2)", "x:7", "7.00");
    expect("x::numeric(5,2)", "x:1000", "!cast_failed");
    expect("x::numeric(5,2)", "x:\"999.995\"", "!cast_failed");
    expect("x::double precision", "x:0.1", "0.10000000000000001");
    expect("x::double precision", "x:1e400", "!cast_failed");
    expect("x::double precision", "x:\"NaN\"", "nan");
    expect("x::double precision", "x:3", "3");
}

static void json_to_text_and_boolean(void **state)
{
    (void)state;
    expect("x::text", "x:1.50", "1.50");
    expect("x::text", "x:1e3", "1e3");
    expect("x::text", "x:-7", "-7");
    expect("x::text", "x:true", "true");
    expect("x::text", "x:[1,2]", "[1,2]");
    expect("x::text", "x:\"a_b\"", "a b");
    expect("x::boolean", "x:true", "true");
    expect("x::boolean", "x:\"no\"", "false");
    expect("x::boolean", "x:2", "true");
    expect("x::boolean", "x:0.5", "!cast_failed");
    expect("x::boolean", "x:\"perhaps\"", "!cast_failed");
}

static void json_to_times(void **state)
{
    (void)state;
    expect("x::timestamptz", "x:0", "1970-01-01T00:00:00.000Z");
    expect("x::timestamptz", "x:1700000000123", "2023-11-14T22:13:20.123Z");
    expect("x::timestamptz", "x:-1", "1969-12-31T23:59:59.999Z");
    expect("x::timestamptz", "x:\"1700000000123\"", "2023-11-14T22:13:20.123Z");
    expect("x::timestamptz", "x:\"2026-01-31T10:20:30.5+02:00\"", "2026-01-31T08:20:30.500Z");
    expect("x::timestamptz", "x:\"2026-01-31_10:20\"", "2026-01-31T10:20:00.000Z");
    expect("x::timestamptz", "x:\"yesterday\"", "!cast_failed");
    expect("x::timestamptz", "x:\"\"", "!cast_failed");
    expect("x::timestamptz", "x:1.5", "!cast_failed");
    expect("x::timestamptz", "x:true", "!cast_failed");
    expect("x::timestamptz", "x:\"99999999999999999999\"", "!cast_failed");
    expect("(x + 1)::timestamptz", "x:999", "1970-01-01T00:00:01.000Z");
    expect("(x * y)::timestamptz", "x:3 y:0.5", "!cast_failed");
    expect("(x * 0.5)::timestamptz", "x:3", "?-4");
    expect("x::interval", "x:\"90_seconds\"", "90000 ms");
    expect("x::interval", "x:\"1_month\"", "!cast_failed");
    expect("x::interval", "x:5", "!cast_failed");
}

static void refused_when_compiled(void **state)
{
    (void)state;
    expect("'abc'::bigint", "", "?-4");
    expect("'2026-02-30'::timestamptz", "", "?-4");
    expect("INTERVAL '1 month'", "", "?-4");
    expect("true::bigint", "", "?-4");
    expect("now_ts::timestamptz::bigint", "", "?-4");
    expect("x::json", "", "?-11");
    expect("x::varchar(3)", "", "?-11");
    expect("x::timestamp", "", "?-11");
    expect("x::date", "", "?-11");
    expect("x::real", "", "?-11");
    expect("x::bigint[]", "", "?-11");
    expect("x::numeric(39,2)", "", "?-4");
    expect("x::numeric(5,6)", "", "?-4");
    expect("x::money", "", "?-11");
    expect("INTERVAL '5' MINUTE", "", "?-11");
    expect("x::timestamptz(3)", "", "?-11");
}

/* Implied conversions look, they do not convert. */
static void implied(void **state)
{
    (void)state;
    expect("lower(x)", "x:\"ABC\"", "abc");
    expect("lower(x)", "x:5", "!type_mismatch");
    expect("lower(x)", "x:true", "!type_mismatch");
    expect("abs(x)", "x:-5", "5");
    expect("abs(x)", "x:-5.50", "5.50");
    expect("abs(x)", "x:\"5\"", "!type_mismatch");
    expect("abs(x)", "x:-9223372036854775808", "!out_of_range");
    expect("substr('hello', x)", "x:2", "ello");
    expect("substr('hello', x)", "x:2.0", "!type_mismatch");
    expect("NOT x", "x:true", "false");
    expect("NOT x", "x:1", "!type_mismatch");
    expect("x AND true", "x:\"true\"", "!type_mismatch");
    expect("x + 1.5::float8", "x:2", "3.5");
    expect("x + 1.5::float8", "x:\"2\"", "!type_mismatch");
    expect("x + INTERVAL '1 hour'", "", "?-4");
    expect("x > '2026-01-01'::timestamptz", "", "?-4");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_to_numbers), cmocka_unit_test(json_to_text_and_boolean),
        cmocka_unit_test(json_to_times),   cmocka_unit_test(refused_when_compiled),
        cmocka_unit_test(implied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
