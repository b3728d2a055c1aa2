/* test_clock.c: both directions of ISO 8601 against libc's gmtime and timegm over random instants
 * of the whole range, accepted and refused spellings, the clocks. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "runtime/base/clock.h"
#include "runtime/base/error.h"

static uint64_t random_state = 88172645463325252u;

static uint64_t random_u64(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* The same text by way of libc. */
static void libc_format(int64_t epoch_ms, char *text, size_t size)
{
    time_t seconds = floor_div(epoch_ms, 1000);
    struct tm tm;
    assert_non_null(gmtime_r(&seconds, &tm));
    long long year = (long long)tm.tm_year + 1900;
    const char *sign = year < 0 ? "-" : year > 9999 ? "+" : "";
    snprintf(text, size, "%s%04lld-%02d-%02dT%02d:%02d:%02d.%03dZ", sign, year < 0 ? -year : year,
             tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
             (int)((epoch_ms % 1000 + 1000) % 1000));
}

static void check_instant(int64_t epoch_ms)
{
    char text[40], expected[64];
    int64_t back;
    size_t size = time_format_iso(epoch_ms, text);
    libc_format(epoch_ms, expected, sizeof expected);
    assert_string_equal(text, expected);
    assert_int_equal(size, strlen(expected));
    assert_int_equal(time_parse_iso(bytes_of(text, size), &back), 0);
    assert_true(back == epoch_ms);
}

static void formatting_agrees_with_libc(void **state)
{
    (void)state;
    for (int i = 0; i < 200000; i++)
        check_instant((int64_t)random_u64() >> (random_u64() % 40));
    for (int64_t day = -800000; day < 3000000; day += 13) /* years -220 to 10183 */
        check_instant(day * 86400000 + (int64_t)(random_u64() % 86400000));
    static const int64_t edges[] = {0,
                                    1,
                                    -1,
                                    999,
                                    1000,
                                    -1000,
                                    -62167219200000,
                                    -62167219200001,
                                    253402300799999,
                                    253402300800000,
                                    INT64_MIN,
                                    INT64_MAX,
                                    951782400000,
                                    951868800000,
                                    4107542400000};
    for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++)
        check_instant(edges[i]);
}

static void every_day_of_random_years_agrees_with_timegm(void **state)
{
    (void)state;
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    for (int i = 0; i < 200; i++) {
        int year = (int)(random_u64() % 10000);
        if (i < 3)
            year = (int[]){1900, 2000, 2024}[i];
        for (int month = 1; month <= 12; month++) {
            for (int day = 1; day <= 32; day++) {
                char text[40];
                snprintf(text, sizeof text, "%04d-%02d-%02d", year, month, day);
                struct tm tm = {.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day};
                time_t expected = timegm(&tm);
                bool exists = tm.tm_mday == day && tm.tm_mon == month - 1; /* not normalised */
                assert_true(day > lengths[month - 1] || exists);
                int64_t parsed = 0;
                int rc = time_parse_iso(bytes_text(text), &parsed);
                assert_int_equal(rc, exists ? 0 : ERR_INVALID);
                assert_true(!exists || parsed == (int64_t)expected * 1000);
            }
        }
    }
}

static void accepted_spellings(void **state)
{
    (void)state;
    /* Expected: GNU date -u -d … +%s%3N. */
    static const struct {
        const char *text;
        int64_t epoch_ms;
    } cases[] = {
        {"2026-01-01", 1767225600000},
        {"2026-01-01T00:00:00.000Z", 1767225600000},
        {"2026-01-01T00:00", 1767225600000},
        {"2026-01-01 00:00", 1767225600000},
        {"2026-01-01 00:00Z", 1767225600000},
        {"2026-01-01T12:34:56", 1767270896000},
        {"2026-01-01T12:34:56Z", 1767270896000},
        {"2026-01-01T12:34:56.7Z", 1767270896700},
        {"2026-01-01T12:34:56.78Z", 1767270896780},
        {"2026-01-01T12:34:56.789Z", 1767270896789},
        {"2026-01-01T12:34:56.789999999999Z", 1767270896789},
        {"2026-01-01T12:34:56.789", 1767270896789},
        {"2026-01-01T12:34:56+02", 1767263696000},
        {"2026-01-01T12:34:56+02:00", 1767263696000},
        {"2026-01-01T12:34:56+0200", 1767263696000},
        {"2026-01-01T12:34:56.5-05:30", 1767290696500},
        {"2026-01-01T12:34-0530", 1767290640000},
        {"1969-12-31T23:59:59.9999Z", -1}, /* towards minus infinity */
        {"1969-12-31T23:59:59.0001Z", -1000},
        {"2024-02-29", 1709164800000},
        {"0000-01-01", -62167219200000},
        {"9999-12-31T23:59:59.999Z", 253402300799999},
        {"+10000-01-01T00:00:00.000Z", 253402300800000},
        {"-0001-12-31T23:59:59.999Z", -62167219200001},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t parsed = 0;
        if (time_parse_iso(bytes_text(cases[i].text), &parsed) != 0 || parsed != cases[i].epoch_ms)
            fail_msg("%s gives %lld", cases[i].text, (long long)parsed);
    }
}

static void refused_spellings(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        "2026",
        "2026-01",
        "2026-1-1",
        "2026-00-01",
        "2026-13-01",
        "2026-01-00",
        "2026-01-32",
        "2023-02-29",
        "1900-02-29",
        "2026-01-01T",
        "2026-01-01Z",
        "2026-01-01T12",
        "2026-01-01T12Z",
        "2026-01-01T24:00",
        "2026-01-01T12:60",
        "2026-01-01T12:34:60",
        "2026-01-01T12:34:",
        "2026-01-01T12:34:5",
        "2026-01-01T12:34:56.",
        "2026-01-01T12:34:56.Z",
        "2026-01-01T12:34:56,5",
        "2026-01-01T12:34:56ZZ",
        "2026-01-01T12:34:56 Z",
        "2026-01-01T12:34:56+",
        "2026-01-01T12:34:56+2",
        "2026-01-01T12:34:56+02:",
        "2026-01-01T12:34:56+02:0",
        "2026-01-01T12:34:56+24:00",
        "2026-01-01T12:34:56+02:60",
        "2026-01-01T12:34:56+02:00:00",
        "2026-01-01_12:34:56",
        " 2026-01-01",
        "2026-01-01 ",
        "20260101",
        "2026/01/01",
        "+123-01-01",
        "-1234567890-01-01",
        "+999999999-01-01",
        "+292278994-08-17T07:12:55.808Z", /* INT64_MAX + 1 */
        "-292275055-05-16T16:47:04.191Z", /* INT64_MIN - 1 */
        "2026-01-0\xb9",
        "99999-01-01",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t parsed = 77;
        if (time_parse_iso(bytes_text(cases[i]), &parsed) != ERR_INVALID || parsed != 77)
            fail_msg("%s was accepted", cases[i]);
    }
    int64_t parsed;
    assert_int_equal(time_parse_iso(bytes_of(NULL, 0), &parsed), ERR_INVALID);
    assert_int_equal(time_parse_iso(bytes_of("2026-01-01\0", 11), &parsed), ERR_INVALID);
}

/* Random edits of a valid text must never read outside of it (AddressSanitizer watches) and, when
 * accepted, must survive a round trip. */
static void mangled_texts_are_parsed_safely(void **state)
{
    (void)state;
    static const char alphabet[] = "0123456789+-:.TZ ";
    for (int i = 0; i < 300000; i++) {
        char valid[40];
        size_t size = time_format_iso((int64_t)random_u64() >> 20, valid);
        for (int edits = 0; edits < 2; edits++)
            valid[random_u64() % size] = alphabet[random_u64() % (sizeof alphabet - 1)];
        size_t cut = random_u64() % (size + 1);
        uint8_t *exact = malloc(cut + 1);
        memcpy(exact, valid, cut);
        int64_t parsed, again;
        if (time_parse_iso(bytes_of(exact, cut), &parsed) == 0) {
            char text[40];
            size_t length = time_format_iso(parsed, text);
            assert_int_equal(time_parse_iso(bytes_of(text, length), &again), 0);
            assert_true(again == parsed);
        }
        free(exact);
    }
}

static int64_t fixed_now(void)
{
    return 1234567890123;
}

static void the_wall_clock_can_be_replaced(void **state)
{
    (void)state;
    clock_wall_replace(fixed_now);
    assert_true(clock_wall_ms() == 1234567890123);
    clock_wall_replace(NULL);
    int64_t before = (int64_t)time(NULL) * 1000, now = clock_wall_ms();
    assert_true(now >= before - 1000 && now <= before + 60000);
}

static void the_monotonic_clock_does_not_go_back(void **state)
{
    (void)state;
    int64_t last = clock_mono_ns();
    for (int i = 0; i < 1000; i++) {
        int64_t now = clock_mono_ns();
        assert_true(now >= last);
        last = now;
    }
    assert_true(clock_mono_ms() >= last / 1000000);
}

static void the_virtual_clock_stands_still_but_for_waits(void **state)
{
    (void)state;
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
    const int64_t start = INT64_C(1767225600000), day_ns = INT64_C(86400) * 1000000000;
    clock_virtual_start(start);
    assert_true(clock_is_virtual());
    int64_t mono = clock_mono_ns();
    assert_true(mono > 400 * day_ns); /* ages can be taken off */
    assert_int_equal(clock_wall_ms(), start);
    clock_virtual_advance(1500);
    assert_int_equal(clock_wall_ms(), start + 1500);
    assert_int_equal(clock_mono_ns(), mono + INT64_C(1500000000));
    pthread_mutex_lock(&mutex);
    assert_int_equal(clock_cond_wait(&cond, &mutex, mono + day_ns), ETIMEDOUT);
    pthread_mutex_unlock(&mutex);
    assert_int_equal(clock_wall_ms(), start + 86400000);
    clock_sleep_until(mono); /* the past: no way back */
    assert_int_equal(clock_mono_ns(), mono + day_ns);
    clock_sleep_until(mono + 2 * day_ns);
    assert_int_equal(clock_wall_ms(), start + 2 * 86400000);
    clock_virtual_stop();
    assert_false(clock_is_virtual());
    assert_true(clock_wall_ms() >= (int64_t)time(NULL) * 1000 - 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formatting_agrees_with_libc),
        cmocka_unit_test(every_day_of_random_years_agrees_with_timegm),
        cmocka_unit_test(accepted_spellings),
        cmocka_unit_test(refused_spellings),
        cmocka_unit_test(mangled_texts_are_parsed_safely),
        cmocka_unit_test(the_wall_clock_can_be_replaced),
        cmocka_unit_test(the_monotonic_clock_does_not_go_back),
        cmocka_unit_test(the_virtual_clock_stands_still_but_for_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
