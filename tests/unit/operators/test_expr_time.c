/* test_expr_time.c: times against libc's gmtime_r and timegm over a wide range, and the edges of
 * int64; values of PostgreSQL's are in data/expressions.tsv. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <cmocka.h>

#include "tests/support/expression_rows.h"

static uint64_t random_state = 42;
static uint64_t random_next(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static void expect_number(const char *sql, const char *fields, long long expected)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", expected);
    expect(sql, fields, text);
}

static void fields_as_libc(void **state)
{
    (void)state;
    for (int i = 0; i < 400; i++) {
        int64_t seconds = (int64_t)(random_next() % 8000000000u) - 2000000000;
        time_t when = (time_t)seconds;
        char fields[64], week[8], isoyear[8];
        struct tm tm;
        gmtime_r(&when, &tm);
        snprintf(fields, sizeof fields, "t:%lld", (long long)seconds * 1000);
        expect_number("extract(year FROM t::timestamptz)", fields, tm.tm_year + 1900);
        expect_number("extract(month FROM t::timestamptz)", fields, tm.tm_mon + 1);
        expect_number("extract(day FROM t::timestamptz)", fields, tm.tm_mday);
        expect_number("extract(hour FROM t::timestamptz)", fields, tm.tm_hour);
        expect_number("extract(minute FROM t::timestamptz)", fields, tm.tm_min);
        expect_number("extract(dow FROM t::timestamptz)", fields, tm.tm_wday);
        expect_number("extract(doy FROM t::timestamptz)", fields, tm.tm_yday + 1);
        strftime(week, sizeof week, "%V", &tm);
        strftime(isoyear, sizeof isoyear, "%G", &tm);
        expect_number("extract(week FROM t::timestamptz)", fields, atoi(week));
        expect_number("extract(isoyear FROM t::timestamptz)", fields, atoi(isoyear));
        tm.tm_sec = tm.tm_min = tm.tm_hour = 0;
        tm.tm_mday = 1;
        struct tm month = tm;
        expect_number("extract(epoch FROM date_trunc('month', t::timestamptz))::bigint", fields,
                      timegm(&month));
        tm.tm_mon = 0;
        expect_number("extract(epoch FROM date_trunc('year', t::timestamptz))::bigint", fields,
                      timegm(&tm));
    }
}

static void edges(void **state)
{
    (void)state;
    expect("x::timestamptz + INTERVAL '1 second'", "x:9223372036854775807", "!out_of_range");
    expect("x::timestamptz - y::timestamptz", "x:9223372036854775807 y:-1", "!out_of_range");
    expect("date_trunc('year', x::timestamptz)", "x:-9223372036854775808", "!out_of_range");
    expect("date_trunc('second', x::timestamptz)", "x:-9223372036854775808", "!out_of_range");
    expect("extract(year FROM x::timestamptz)", "x:9223372036854775807", "292278994");
    expect("to_timestamp(x)", "x:1700000000", "2023-11-14T22:13:20.000Z");
    expect("to_timestamp(x)", "x:1700000000.0005", "2023-11-14T22:13:20.001Z");
    expect("to_timestamp(x)", "x:1e30", "!out_of_range");
    expect("to_timestamp(x)", "x:\"1\"", "!type_mismatch");
    expect("to_timestamp('NaN'::float8)", "", "!out_of_range");
    expect("x::timestamptz + y * INTERVAL '1 minute'", "x:0 y:90", "1970-01-01T01:30:00.000Z");
    expect("x::timestamptz - y::timestamptz", "x:90061001 y:0", "90061001 ms");
    expect("INTERVAL '1 day 01:01:01.001'::text", "", "1 day 01:01:01.001");
    expect("-INTERVAL '2 days 3 hours'", "", "-183600000 ms");
    expect("INTERVAL '2562047788015 hours' * x", "x:2", "!out_of_range");
    expect("extract(dow FROM INTERVAL '1 day')", "", "?-4");
    expect("extract(epoch FROM x)", "", "?-4");
    expect("date_trunc('dow', x::timestamptz)", "", "?-4");
    expect("date_trunc(y, x::timestamptz)", "", "?-4");
    expect("date_trunc('day', x::timestamptz, 'Europe/Berlin')", "", "?-4");
    expect("x::timestamptz AT TIME ZONE 'UTC'", "", "?-11");
    expect("now()", "", "?-11");
    expect("current_date", "", "?-11");
}

static void intervals_that_are_none(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",        "day",      "1 2 3", "1 dayy", "1:",           "1:2:",
        "1:2:3:4", "--1 hour", "ago",   "1e3 s",  "1 hour extra", "99999999999999999999 s",
        "1 month", "3 years",  ":30"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char sql[128];
        snprintf(sql, sizeof sql, "INTERVAL '%s'", bad[i]);
        expect(sql, "", "?-4");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(fields_as_libc), cmocka_unit_test(edges),
                                       cmocka_unit_test(intervals_that_are_none)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
