/* test_openmetrics.c: histograms as text, to the letter: a time that is a bucket's end belongs into that bucket, one beyond all of them into the
 * last, one below 0 counts as 0; and nothing is lost when several threads observe. Expected numbers are counted by hand. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/openmetrics.h"

static char *text_of(const struct histogram *histogram, enum histogram_scale scale)
{
    struct buf text;
    buf_init(&text, 0);
    openmetrics_head(&text, "x_seconds", "histogram", "seconds", "What X takes.");
    histogram_put(&text, histogram, scale, "x_seconds", "app=\"a\"");
    buf_u8(&text, '\0');
    assert_true(buf_ok(&text));
    return (char *)text.data;
}

static void test_text(void **state)
{
    (void)state;
    struct histogram histogram = {.sum_s = 0};
    static const double times[] = {0.0005, 0.001, 0.0015, 0.25, 10, 10.5, -3, 0};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        histogram_observe(&histogram, SCALE_OF_WORK, times[i]);
    char *text = text_of(&histogram, SCALE_OF_WORK);
    assert_string_equal(text, "# TYPE x_seconds histogram\n"
                              "# UNIT x_seconds seconds\n"
                              "# HELP x_seconds What X takes.\n"
                              "x_seconds_bucket{app=\"a\",le=\"0.001\"} 4\n"
                              "x_seconds_bucket{app=\"a\",le=\"0.002\"} 5\n"
                              "x_seconds_bucket{app=\"a\",le=\"0.005\"} 5\n"
                              "x_seconds_bucket{app=\"a\",le=\"0.01\"} 5\n"
                              "x_seconds_bucket{app=\"a\",le=\"0.02\"} 5\n"
                              "x_seconds_bucket{app=\"a\",le=\"0.05\"} 5\n"
                              "x_seconds_bucket{app=\"a\",le=\"0.1\"} 5\n"
                              "x_seconds_bucket{app=\"a\",le=\"0.2\"} 5\n"
                              "x_seconds_bucket{app=\"a\",le=\"0.5\"} 6\n"
                              "x_seconds_bucket{app=\"a\",le=\"1.0\"} 6\n"
                              "x_seconds_bucket{app=\"a\",le=\"2.0\"} 6\n"
                              "x_seconds_bucket{app=\"a\",le=\"5.0\"} 6\n"
                              "x_seconds_bucket{app=\"a\",le=\"10.0\"} 7\n"
                              "x_seconds_bucket{app=\"a\",le=\"+Inf\"} 8\n"
                              "x_seconds_count{app=\"a\"} 8\n"
                              "x_seconds_sum{app=\"a\"} 20.753\n");
    free(text);
}

/* A watermark of the year 1 is two thousand years behind, for any number of commits. */
static void test_delays(void **state)
{
    (void)state;
    struct histogram histogram = {.sum_s = 0};
    for (int i = 0; i < 1000; i++)
        histogram_observe(&histogram, SCALE_OF_DELAY, 62e9);
    histogram_observe(&histogram, SCALE_OF_DELAY, 86400);
    char *text = text_of(&histogram, SCALE_OF_DELAY);
    assert_non_null(strstr(text, "le=\"21600.0\"} 0\n"));
    assert_non_null(strstr(text, "le=\"86400.0\"} 1\n"));
    assert_non_null(strstr(text, "le=\"+Inf\"} 1001\n"));
    assert_non_null(strstr(text, "x_seconds_sum{app=\"a\"} 62000000086400\n"));
    free(text);
}

enum { THREADS = 4, TIMES = 20000 };

static void *observe(void *context)
{
    for (int i = 0; i < TIMES; i++)
        histogram_observe(context, SCALE_OF_WORK, i % 2 ? 0.5 : 1.5);
    return NULL;
}
static void test_threads(void **state)
{
    (void)state;
    struct histogram histogram = {.sum_s = 0};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, observe, &histogram), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    char *text = text_of(&histogram, SCALE_OF_WORK);
    assert_non_null(strstr(text, "le=\"0.2\"} 0\n"));
    assert_non_null(strstr(text, "le=\"0.5\"} 40000\n"));
    assert_non_null(strstr(text, "x_seconds_count{app=\"a\"} 80000\n"));
    assert_non_null(strstr(text, "x_seconds_sum{app=\"a\"} 80000\n"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_delays),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
