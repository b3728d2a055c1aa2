/* test_http_accept.c: Accept headers as scrapers, browsers and RFC 9110 have them, and what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "runtime/http/http_internal.h"

static const struct http_media open_metrics = {"application/openmetrics-text", "1.0.0 0.0.1"},
                               plain = {"text/plain", "0.0.4"};

static void a_header_says_what_is_wanted(void **state)
{
    (void)state;
    static const struct {
        const char *accept;
        int wanted; /* 1: plain; -1: OpenMetrics; 0: neither more than the other */
    } cases[] = {
        {NULL, 0},
        {"", 0},
        {"*/*", 0},
        {"text/plain", 1},
        {"TEXT/Plain; Version=0.0.4", 1},
        {"text/plain;version=\"0.0.4\"", 1},
        {"text/plain;version=1.0.0", 0},
        {"text/plain;version=0.0", 0},
        {"text/*", 1},
        {"text/html", 0},
        {"text/plaintext", 0},
        {"application/openmetrics-text", -1},
        {"application/openmetrics-text; version=0.0.1", -1},
        {"application/openmetrics-text; version=2.0.0, text/plain;q=0.1", 1},
        {"text/plain;q=0.5, application/openmetrics-text;q=0.4", 1},
        {"text/plain;q=0.5, application/openmetrics-text;q=0.51", -1},
        {"text/plain;q=0.5 ,\t application/openmetrics-text ; q=0.500", 0},
        {"text/plain;q=0, */*", -1},
        {"text/*;q=0.9, text/plain;q=0.1, */*;q=0.5",
         -1}, /* what says more counts, not what is higher */
        {"a/b;c=\"d,text/plain;q=1\", application/openmetrics-text", -1},
        {"text/plain;q=2, application/openmetrics-text;q=0.1", -1},
        {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", 0},
        /* Prometheus 2.42, 2.55, 3.0 */
        {"application/openmetrics-text;version=1.0.0,application/"
         "openmetrics-text;version=0.0.1;q=0.75,"
         "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
         -1},
        {"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/"
         "openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
         "text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
         -1},
        /* before there was OpenMetrics */
        {"application/"
         "vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;"
         "q=0.7,text/plain;version=0.0.4;q=0.3,*/*;q=0.1",
         1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int wanted = http_prefers(cases[i].accept, &plain, &open_metrics) -
                     http_prefers(cases[i].accept, &open_metrics, &plain);
        if (wanted != cases[i].wanted)
            fail_msg("%s: %d", cases[i].accept, wanted);
    }
}

static void what_is_no_header_does_no_harm(void **state)
{
    (void)state;
    static const char *const texts[] = {",",
                                        ";",
                                        ",;,",
                                        "/",
                                        "*/",
                                        "text/plain;q",
                                        "text/plain;q=",
                                        "\"",
                                        "a;b=\"",
                                        "a;b=\"\\",
                                        "a;q=\"",
                                        "a;=",
                                        "a;version=\"",
                                        "text/plain;;;",
                                        "a;b=c",
                                        "text/plain;version=0123456789012345678901234567890"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char *copy = strdup(texts[i]); /* a sanitizer sees its end */
        http_prefers(copy, &plain, &open_metrics);
        free(copy);
    }
}

static void check_text(const char *openmetrics, const char *wanted)
{
    struct buf out = {0};
    http_metrics_as_text(bytes_text(openmetrics), &out);
    assert_true(buf_ok(&out));
    assert_int_equal(out.size, strlen(wanted));
    assert_memory_equal(out.data, wanted, out.size);
    buf_deinit(&out);
}

static void openmetrics_becomes_text(void **state)
{
    (void)state;
    check_text("# TYPE rows counter\n# HELP rows Rows.\nrows_total{a=\"# b\"} 1\n"
               "# TYPE app info\n# HELP app The app.\napp_info{v=\"1\"} 1\n"
               "# TYPE age_seconds gauge\n# UNIT age_seconds seconds\n# HELP age_seconds An "
               "age.\nage_seconds 0.5\n"
               "# TYPE took_seconds histogram\ntook_seconds_bucket{le=\"+Inf\"} 2\n# TYPE x "
               "unknown\nx 1\n# EOF\n",
               "# TYPE rows_total counter\n# HELP rows_total Rows.\nrows_total{a=\"# b\"} 1\n"
               "# TYPE app_info gauge\n# HELP app_info The app.\napp_info{v=\"1\"} 1\n"
               "# TYPE age_seconds gauge\n# HELP age_seconds An age.\nage_seconds 0.5\n"
               "# TYPE took_seconds histogram\ntook_seconds_bucket{le=\"+Inf\"} 2\n# TYPE x "
               "untyped\nx 1\n");
    check_text("", "");
    check_text("# EOF", "");
    check_text("x 1", "x 1\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_says_what_is_wanted),
        cmocka_unit_test(what_is_no_header_does_no_harm),
        cmocka_unit_test(openmetrics_becomes_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
