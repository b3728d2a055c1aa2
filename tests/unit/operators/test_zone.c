/* test_zone.c: TZif files: rules as RFC 8536 and POSIX describe them, damage of every kind, names.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "operators/zone.h"
#include "runtime/base/io.h"

/* A version 2 file with one type and no change: what counts is the rule. */
static struct bytes file_of(const char *rule, int32_t offset_s, uint8_t *out)
{
    static const uint8_t counts[24] = {[19] = 1, [23] = 4};
    uint8_t *at = out;
    for (int block = 0; block < 2; block++) {
        memcpy(at, "TZif2", 5);
        memset(at + 5, 0, 15);
        memcpy(at + 20, counts, 24);
        at += 44;
        store_be32(at, (uint32_t)offset_s);
        memcpy(at + 4, "\0\0LMT", 6);
        at += 10;
    }
    at += sprintf((char *)at, "\n%s\n", rule);
    return bytes_of(out, (size_t)(at - out));
}

static struct zone *zone_by(const char *rule)
{
    uint8_t file[1024];
    struct zone *zone;
    struct diag diag = {0};
    if (zone_parse(file_of(rule, 0, file), &zone, &diag) < 0)
        fail_msg("%s: %s", rule, diag.text);
    return zone;
}

static void expect_change(const char *rule, int64_t at_s, int64_t before_s, int64_t after_s)
{
    struct zone *zone = zone_by(rule);
    struct zone_span before = zone_span_at(zone, at_s * 1000 - 1),
                     after = zone_span_at(zone, at_s * 1000);
    if (before.offset_ms != before_s * 1000 || after.offset_ms != after_s * 1000 ||
        before.to_ms != at_s * 1000 || after.from_ms != at_s * 1000)
        fail_msg("%s at %lld: %lld s before, %lld s after", rule, (long long)at_s,
                 (long long)before.offset_ms / 1000, (long long)after.offset_ms / 1000);
    zone_close(zone);
}

/* The rules are those of RFC 8536 (appendix B, section 3.3.1) and of POSIX; instants from the calendar by hand and `date -u`. */
static void test_rules(void **state)
{
    (void)state;
    /* Friday after the fourth Thursday of March, 02:00: 2013-03-29 00:00 UTC */
    expect_change("IST-2IDT,M3.4.4/26,M10.5.0", 1364515200, 7200, 10800);
    expect_change("IST-2IDT,M3.4.4/26,M10.5.0", 1382828400, 10800, 7200); /* 2013-10-26 23:00 */
    /* and 400 years and 4000 years after: the calendar repeats */
    expect_change("IST-2IDT,M3.4.4/26,M10.5.0", 1364515200 + INT64_C(12622780800), 7200, 10800);
    expect_change("IST-2IDT,M3.4.4/26,M10.5.0", 1364515200 + INT64_C(126227808000), 7200, 10800);
    /* Nuuk: the Saturday evening before the last Sunday: 2024-03-31 01:00 UTC */
    expect_change("<-02>2<-01>,M3.5.0/-1,M10.5.0/0", 1711846800, -7200, -3600);
    expect_change("IST-1GMT0,M10.5.0,M3.5.0/1", 1774746000, 0, 3600); /* 2026-03-29 01:00 UTC */
    expect_change("EST5EDT,J60,J300", 1772348400 + 3600 * 0, -18000, -14400); /* 2026-03-01 07:00 */
    expect_change("EST5EDT,59,299", 1772348400, -18000, -14400);
    expect_change("EST5EDT,J60,J300", 1835503200 + 3600 * 1, -18000, -14400); /* leap: 2028-03-01 */
    /* saving all year, as POSIX writes it */
    struct zone *zone = zone_by("EST5EDT,0/0,J365/25");
    for (int64_t day = 30000; day < 31000; day++)
        assert_int_equal(zone_span_at(zone, day * 86400000).offset_ms, -4 * 3600000);
    zone_close(zone);
    zone = zone_by("<+0545>-5:45");
    assert_int_equal(zone_span_at(zone, 0).offset_ms,
                     0); /* the file's own type; no rule changes it */
    assert_int_equal(zone_span_at(zone, 0).to_ms, INT64_MAX);
    zone_close(zone);
}

static void test_bad_rules(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "X",
        "CE-1",
        "CET",
        "CET-25",
        "CET-1CEST,M3.5.0",
        "CET-1CEST",
        "CET-1CEST,M13.5.0,M10.5.0",
        "CET-1CEST,M3.6.0,M10.5.0",
        "CET-1CEST,M3.5.7,M10.5.0",
        "CET-1CEST,M3.5,M10.5.0",
        "CET-1CEST,J0,J5",
        "CET-1CEST,366,1",
        "CET-1CEST,M3.5.0/168,M10.5.0",
        "<CET-1",
        "CET-1CEST,M3.5.0,M10.5.0x",
        "CET-1:60",
        "CET-1CEST,99999999999999999999,1",
        "\x01\x02\x03",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint8_t file[1024];
        struct zone *zone;
        if (zone_parse(file_of(bad[i], 0, file), &zone, NULL) != ERR_CORRUPT)
            fail_msg("'%s' was taken for a rule", bad[i]);
        assert_null(zone);
    }
}

static void test_damage(void **state)
{
    (void)state;
    char *data;
    size_t size;
    struct zone *zone;
    struct diag diag;
    assert_int_equal(
        io_read_file("/usr/share/zoneinfo/Europe/Berlin", 1 << 20, &data, &size, &diag), 0);
    assert_int_equal(zone_parse(bytes_of(data, size), &zone, &diag), 0);
    uint64_t hash = zone_hash(zone);
    zone_close(zone);
    /* Cut anywhere. What is read is a copy of its own size, so that a sanitizer sees each byte that is too far. */
    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *copy = malloc(cut + 1);
        memcpy(copy, data, cut);
        assert_int_equal(zone_parse(bytes_of(copy, cut), &zone, &diag), ERR_CORRUPT);
        free(copy);
    }
    /* Any byte changed: refused, or other rules, or something that is not looked at. */
    uint32_t refused = 0, changed = 0;
    for (size_t at = 0; at < size; at++) {
        uint8_t *copy = malloc(size);
        memcpy(copy, data, size);
        copy[at] ^= 0x81;
        int rc = zone_parse(bytes_of(copy, size), &zone, &diag);
        refused += rc < 0;
        changed += rc == 0 && zone_hash(zone) != hash;
        zone_close(zone);
        free(copy);
    }
    assert_true(refused > 30 && changed > 100);
    free(data);
}

static void expect_unknown(const char *name, int code, const char *part)
{
    struct zone *zone;
    struct diag diag = {0};
    assert_int_equal(zone_open(name, &zone, &diag), code);
    assert_null(zone);
    if (strstr(diag.text, part) == NULL)
        fail_msg("%s: '%s' does not contain '%s'", name, diag.text, part);
}

static void test_names(void **state)
{
    (void)state;
    expect_unknown("Europe/Berln", ERR_NOT_FOUND, "did you mean \"Europe/Berlin\"");
    expect_unknown("europe/berlin", ERR_NOT_FOUND, "did you mean \"Europe/Berlin\"");
    expect_unknown("America/New York", ERR_NOT_FOUND, "did you mean \"America/New_York\"");
    expect_unknown("Berlin", ERR_NOT_FOUND, "did you mean \"Europe/Berlin\"");
    expect_unknown("Nowhere/Atall/Really", ERR_NOT_FOUND, "names are like Europe/Berlin");
    expect_unknown("Europe", ERR_NOT_FOUND, "not known");
    expect_unknown("../../../etc/passwd", ERR_NOT_FOUND, "not known");
    expect_unknown("/etc/passwd", ERR_NOT_FOUND, "not known");
    expect_unknown("Europe/", ERR_NOT_FOUND, "not known");
    expect_unknown("tzdata.zi", ERR_NOT_FOUND, "not known");
    expect_unknown("", ERR_INVALID, "like Europe/Berlin");
    expect_unknown(NULL, ERR_INVALID, "like Europe/Berlin");
    char longest[400];
    memset(longest, 'A', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    expect_unknown(longest, ERR_INVALID, "like Europe/Berlin");
    setenv("TZDIR", "/nonexistent", 1);
    expect_unknown("Europe/Berlin", ERR_NOT_FOUND, "install the package tzdata");
    unsetenv("TZDIR");
}

static void test_calendar(void **state)
{
    (void)state;
    int64_t days = -800000;
    int64_t year = -221, seen_year;
    int month, seen_month = 0;
    zone_date_of(days, &year, &month);
    days = zone_days_of(year, month, 1);
    for (int i = 0; i < 60000; i++) {
        static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
        bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        assert_int_equal(zone_days_of(year, month, 1), days);
        zone_date_of(days, &seen_year, &seen_month);
        assert_true(seen_year == year && seen_month == month);
        days += lengths[month - 1] + (month == 2 && is_leap);
        zone_date_of(days - 1, &seen_year, &seen_month);
        assert_true(seen_year == year && seen_month == month);
        year += month == 12;
        month = month % 12 + 1;
    }
    assert_int_equal(zone_days_of(1970, 1, 1), 0);
    assert_int_equal(zone_days_of(2000, 3, 1), 11017);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),    cmocka_unit_test(test_bad_rules),
        cmocka_unit_test(test_damage),   cmocka_unit_test(test_names),
        cmocka_unit_test(test_calendar),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
