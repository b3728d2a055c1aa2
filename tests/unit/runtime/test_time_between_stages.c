/* test_time_between_stages.c: how far each source has come, where rows of several come together.
 *
 * A pipeline re-keys the rows of "in" (two partitions) into "mid", and a second one counts those by
 * windows of ten seconds, final. The test driver moves the clock. tests/cases shows that results come
 * out right; here is what a silent partition does, what the header says, and what becomes of records
 * that others write to the topic. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/weir.h"
#include "tests/support/scratch_dir.h"

#define START INT64_C(1772442000000) /* 2026-03-02T09:00:00Z, a whole minute */

struct life {
    weir_app *app;
    weir_test *test;
};

/* idle_ms: of the first pipeline's source; 0: none. counts: the second one is there as well. */
static weir_app *build(int64_t idle_ms, bool counts)
{
    weir_app *app = weir_app_open("job", NULL);
    weir_stream *in = weir_source(app, "in", WEIR_JSON, "ts");
    weir_lateness(in, 1000);
    weir_idle_close(in, idle_ms);
    weir_to(weir_rekey(weir_filter(in, "n >= 0"), "k"), "mid");
    if (!counts)
        return app;
    weir_stream *mid = weir_lateness(weir_source(app, "mid", WEIR_JSON, "ts"), 0);
    weir_stream *windows = weir_tumbling(weir_group_by(mid, "k"), WEIR_SECONDS(10));
    weir_to(weir_emit(weir_aggregate(windows, "count(*) AS n"), WEIR_EMIT_FINAL), "finals");
    return app;
}

static struct life begin_with(weir_app *app)
{
    struct life life = {app, NULL};
    weir_test_options options = {.start_ms = START, .partitions = 2};
    if (weir_test_open(life.app, &options, &life.test) < 0)
        fail_msg("%s", weir_log_error());
    return life;
}

static struct life begin(int64_t idle_ms)
{
    return begin_with(build(idle_ms, true));
}

static void end(struct life *life)
{
    assert_int_equal(weir_test_close(life->test), 0);
    weir_app_close(life->app);
}

static void work(struct life *life)
{
    if (weir_test_run(life->test) != 0)
        fail_msg("%s", weir_test_error(life->test));
}

/* A row whose event time is so many milliseconds after the start. */
static void send_row(struct life *life, int32_t partition, int n, int64_t after_ms)
{
    char value[100];
    snprintf(value, sizeof value, "{\"k\":\"a\",\"n\":%d,\"ts\":%lld}", n,
             (long long)(START + after_ms));
    assert_int_equal(weir_test_send(life->test, "in", partition, 0, NULL, value), 0);
}

/* Every record of a topic, for weir_free. */
static weir_record *read_all(struct life *life, const char *topic, size_t *count)
{
    weir_record *records;
    *count = 0;
    if (weir_topic_describe(weir_test_log(life->test), topic, NULL) < 0)
        return NULL;
    assert_int_equal(weir_test_rewind(life->test, topic), 0);
    assert_int_equal(weir_test_read(life->test, topic, &records, count), 0);
    return records;
}
static size_t count_of(struct life *life, const char *topic)
{
    size_t count;
    weir_free(read_all(life, topic, &count));
    return count;
}

/* ---- a silent partition ---- */

static void send_first(struct life *life)
{
    send_row(life, 0, 1, 0);
    send_row(life, 0, 1, 12000);
    send_row(life, 0, 1, 31500); /* with the lateness, up to 30.5 s */
    send_row(life, 1, 1, 3000);
    work(life);
}

static void test_a_silent_partition_holds_windows_open(void **state)
{
    (void)state;
    struct life life = begin(0);
    send_first(&life);
    assert_int_equal(weir_test_advance(life.test, WEIR_HOURS(1)), 0);
    work(&life);
    assert_int_equal(count_of(&life, "finals"), 0);
    send_row(&life, 1, -1, 11500); /* one that is filtered moves time as well */
    work(&life);
    assert_int_equal(count_of(&life, "finals"), 1);
    end(&life);
}

/* With an idle time it comes as far as the other one, and no further; what it then brings for closed
 * windows is late. */
static void test_until_its_idle_time(void **state)
{
    (void)state;
    struct life life = begin(2000);
    send_first(&life);
    assert_int_equal(count_of(&life, "finals"), 0);
    assert_int_equal(weir_test_advance(life.test, WEIR_HOURS(1)), 0);
    work(&life);
    assert_int_equal(weir_test_advance(life.test, WEIR_SECONDS(5)), 0);
    work(&life);
    assert_int_equal(count_of(&life, "finals"), 2);
    send_row(&life, 1, 1, 5000);
    send_row(&life, 1, 1, 33000);
    work(&life);
    assert_int_equal(count_of(&life, "finals.late"), 1);
    assert_int_equal(count_of(&life, "finals"), 2);
    send_row(&life, 0, 1, 41000);
    send_row(&life, 1, 1, 41000);
    work(&life);
    assert_int_equal(count_of(&life, "finals"), 3);
    /* A replay of the topic between, whose rows say so themselves. */
    weir_app_reset_options again = {
        .topic = "finals", .outputs = WEIR_OUTPUTS_CLEAR, .execute = true};
    assert_int_equal(weir_test_finish(life.test, false), 0);
    if (weir_app_reset(weir_test_log(life.test), "job", &again, NULL) < 0)
        fail_msg("%s", weir_log_error());
    assert_int_equal(weir_test_restart(life.test, NULL), 0);
    work(&life);
    assert_int_equal(count_of(&life, "finals"), 3);
    assert_int_equal(count_of(&life, "finals.late"), 2);
    end(&life);
}

/* ---- the header ---- */

static int64_t time_of(const weir_record *record)
{
    assert_true(record->header_count > 0);
    assert_string_equal(record->headers[0].key, "weir.time");
    for (size_t i = 1; i < record->header_count; i++)
        assert_string_not_equal(record->headers[i].key, "weir.time");
    char text[32];
    snprintf(text, sizeof text, "%.*s", (int)record->headers[0].value_size,
             (const char *)record->headers[0].value);
    return strtoll(text, NULL, 10) - START;
}

static void test_what_rows_say(void **state)
{
    (void)state;
    struct life life = begin(0);
    static const struct {
        int n;
        int64_t after_ms, time_ms;
    } rows[] = {{1, 1000, 1000}, {2, 500, 1000},   {-1, 9000, 0},  {3, 2000, 9000},
                {4, 9500, 9500}, {5, -7000, 9500}, {6, 9500, 9500}};
    size_t count, sent = 0;
    weir_header own = {.key = "weir.time", .value = "7", .value_size = 1};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char value[100];
        snprintf(value, sizeof value, "{\"k\":\"a\",\"n\":%d,\"ts\":%lld}", rows[i].n,
                 (long long)(START + rows[i].after_ms));
        /* What a row says already, in a topic that others wrote, is not its source's time. */
        weir_record record = {.topic = "in",
                              .value = value,
                              .value_size = strlen(value),
                              .headers = &own,
                              .header_count = i % 2};
        assert_int_equal(weir_test_send_record(life.test, 0, &record), 0);
        sent += rows[i].n >= 0;
    }
    work(&life);
    weir_record *records = read_all(&life, "mid", &count);
    assert_int_equal(count, sent);
    for (size_t i = 0, at = 0; i < sizeof rows / sizeof *rows; i++) {
        char part[16];
        if (rows[i].n < 0)
            continue;
        snprintf(part, sizeof part, "\"n\":%d", rows[i].n);
        assert_non_null(memmem(records[at].value, records[at].value_size, part, strlen(part)));
        assert_int_equal(time_of(&records[at++]), rows[i].time_ms);
    }
    weir_free(records);
    end(&life);
}

/* The second pipeline comes later: nobody asked for the time of what was written until then, so those
 * rows are judged by their order, and say nothing; from then on rows do. */
static void test_a_reader_that_comes_later(void **state)
{
    (void)state;
    struct life life = begin_with(build(0, false));
    size_t count;
    send_row(&life, 0, 1, 25000);
    work(&life);
    send_row(&life, 1, 1, 3000);
    work(&life);
    weir_record *records = read_all(&life, "mid", &count);
    assert_int_equal(count, 2);
    assert_int_equal(records[0].header_count + records[1].header_count, 0);
    weir_free(records);
    weir_app *with_reader = build(0, true);
    assert_int_equal(weir_test_restart(life.test, with_reader), 0);
    weir_app_close(life.app);
    life.app = with_reader;
    work(&life);
    assert_int_equal(count_of(&life, "finals.late"), 1);
    assert_int_equal(count_of(&life, "finals"), 0);
    send_row(&life, 1, 1, 4000);
    send_row(&life, 0, 1, 41000);
    work(&life);
    assert_int_equal(count_of(&life, "finals"), 0); /* the slower partition holds them */
    send_row(&life, 1, 1, 41000);
    work(&life);
    assert_int_equal(count_of(&life, "finals.late"), 1);
    records = read_all(&life, "finals", &count); /* of 4 and of 25 seconds */
    assert_int_equal(count, 2);
    for (size_t i = 0; i < count; i++)
        assert_non_null(memmem(records[i].value, records[i].value_size, "\"n\":1}", 6));
    weir_free(records);
    end(&life);
}

/* ---- records of others ---- */

/* Rows that somebody else writes to the topic, and those with a damaged header, are judged by all
 * that came before them in the partition, and by what has closed. */
static void test_records_of_others(void **state)
{
    (void)state;
    static const char *const texts[] = {
        NULL, "", "12x", "99999999999999999999", "-", "-9223372036854775807"};
    struct life life = begin(0);
    send_row(&life, 0, 1, 25000);
    send_row(&life, 1, 1, 3000);
    work(&life);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char value[100];
        weir_header header = {.key = "weir.time",
                              .value = texts[i],
                              .value_size = texts[i] != NULL ? strlen(texts[i]) : 0};
        snprintf(value, sizeof value, "{\"k\":\"a\",\"n\":1,\"ts\":%lld}", (long long)START + 4000);
        weir_record record = {.topic = "mid",
                              .key = "a",
                              .key_size = 1,
                              .value = value,
                              .value_size = strlen(value),
                              .headers = &header,
                              .header_count = texts[i] != NULL};
        assert_int_equal(weir_test_send_record(life.test, -1, &record), 0);
    }
    work(&life);
    assert_int_equal(count_of(&life, "finals.late"), sizeof texts / sizeof *texts);
    send_row(&life, 1, 1, 4000); /* of ours, at the same time: not late */
    send_row(&life, 0, 1, 40000);
    send_row(&life, 1, 1, 40000);
    work(&life);
    assert_int_equal(count_of(&life, "finals.late"), sizeof texts / sizeof *texts);
    size_t count;
    weir_record *finals = read_all(&life, "finals", &count);
    assert_int_equal(count, 2);
    assert_non_null(memmem(finals[0].value, finals[0].value_size, "\"n\":2}", 6));
    weir_free(finals);
    end(&life);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_silent_partition_holds_windows_open),
        cmocka_unit_test(test_until_its_idle_time),
        cmocka_unit_test(test_what_rows_say),
        cmocka_unit_test(test_a_reader_that_comes_later),
        cmocka_unit_test(test_records_of_others),
    };
    scratch_dir_in_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
