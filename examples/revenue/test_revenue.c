/* test_revenue.c: the tests of the revenue job, as its owner would write them: with weir.h's test
 * driver and nothing else. docs/testing-your-jobs.md explains them.
 *
 * Each test is a function; a condition that does not hold prints its line and ends the program with
 * 1. */
#include "revenue/revenue_job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NINE INT64_C(1772442000000) /* 2026-03-02T09:00:00Z */

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static weir_app *app;

/* The job as in production, on four partitions, at nine o'clock. */
static weir_test *open_job(void)
{
    weir_test *test;
    app = revenue_build(weir_app_open("revenue", NULL));
    if (weir_test_open(app, &(weir_test_options){.start_ms = NINE, .partitions = 4}, &test) < 0) {
        fprintf(stderr, "%s\n", weir_log_error());
        exit(1);
    }
    return test;
}

static void close_job(weir_test *test)
{
    CHECK(weir_test_close(test) == 0);
    weir_app_close(app);
}

/* A line of the books; minute is its time after nine. */
static int sell(weir_test *test, const char *country, int minute, int quantity, const char *price)
{
    char line[256];
    snprintf(line, sizeof line,
             "{\"customer_id\":\"c1\",\"country\":\"%s\",\"quantity\":%d,\"unit_price\":%s,"
             "\"ts\":%lld}",
             country, quantity, price, (long long)(NINE + minute * 60000));
    return weir_test_send(test, "online-retail", -1, 0, country, line);
}

/* The newest value of a key: the topic is a table, and the last record of a key is its row. */
static void newest(weir_test *test, const char *key, char *value, size_t value_size)
{
    weir_record *records;
    size_t count;
    value[0] = '\0';
    weir_test_rewind(test, "hourly-revenue");
    CHECK(weir_test_read(test, "hourly-revenue", &records, &count) == 0);
    for (size_t i = 0; i < count; i++)
        if (records[i].key_size == strlen(key) && memcmp(records[i].key, key, strlen(key)) == 0)
            snprintf(value, value_size, "%.*s", (int)records[i].value_size,
                     (const char *)records[i].value);
    weir_free(records);
}

#define NORWAY_AT_NINE "{\"country\":\"Norway\",\"window_start\":\"2026-03-02T09:00:00.000Z\"}"

static void sums_are_exact_and_returns_do_not_count(void)
{
    weir_test *test = open_job();
    char row[512];
    CHECK(sell(test, "Norway", 1, 3, "0.10") == 0);
    CHECK(sell(test, "Norway", 2, 1, "2.55") == 0);
    CHECK(sell(test, "Norway", 3, -1, "2.55") == 0); /* a return */
    CHECK(weir_test_run(test) == 0);
    newest(test, NORWAY_AT_NINE, row, sizeof row);
    CHECK(strstr(row, "\"revenue\":2.85,\"orders\":2") != NULL);

    char *state;
    CHECK(weir_test_get(test, "hourly-revenue", NORWAY_AT_NINE, &state) == 0);
    CHECK(strstr(state, "\"orders\":2") != NULL);
    weir_free(state);
    close_job(test);
}

static void a_line_that_comes_too_late_is_kept_elsewhere(void)
{
    weir_test *test = open_job();
    weir_record *late;
    size_t count;
    CHECK(sell(test, "Norway", 10, 1, "1.00") == 0);
    CHECK(weir_test_advance(test, WEIR_HOURS(2)) == 0); /* time for lines of eleven o'clock */
    CHECK(sell(test, "Norway", 120, 1, "1.00") == 0);
    CHECK(sell(test, "Norway", 11, 1, "1.00") == 0);
    CHECK(weir_test_run(test) == 0);
    CHECK(weir_test_read(test, "hourly-revenue.late", &late, &count) == 0);
    CHECK(count == 1);
    CHECK(strstr(late[0].value, "\"quantity\":1") != NULL);
    weir_free(late);
    close_job(test);
}

/* Lines that are not in the topic yet are sent: a kill may have taken them along. */
static int send_rest(weir_test *test)
{
    weir_record *sent;
    size_t count;
    weir_test_rewind(test, "online-retail");
    int rc = weir_test_read(test, "online-retail", &sent, &count);
    if (rc == WEIR_ENOTFOUND)
        rc = 0;
    weir_free(sent);
    for (size_t i = count; rc == 0 && i < 40; i++) {
        rc = sell(test, "Norway", (int)i, 1, "1.25");
        if (rc == 0 && i % 10 == 9)
            rc = weir_test_run(test);
    }
    return rc == 0 ? weir_test_run(test) : rc;
}

static void the_result_is_the_same_wherever_it_is_killed(void)
{
    const char *const *points = weir_test_points();
    int killed = 0;
    for (int i = 0; points[i] != NULL; i++) {
        weir_test *test = open_job();
        CHECK(weir_test_kill_at(test, points[i], 3) == 0);
        int rc;
        while ((rc = send_rest(test)) == WEIR_TEST_KILLED) {
            CHECK(weir_test_restart(test, NULL) == 0);
            killed++;
        }
        CHECK(rc == 0);
        char row[512];
        newest(test, NORWAY_AT_NINE, row, sizeof row);
        CHECK(strstr(row, "\"revenue\":50.00,\"orders\":40") != NULL);
        close_job(test);
    }
    CHECK(killed >= 15);
}

int main(void)
{
    sums_are_exact_and_returns_do_not_count();
    a_line_that_comes_too_late_is_kept_elsewhere();
    the_result_is_the_same_wherever_it_is_killed();
    printf("ok\n");
    return 0;
}
