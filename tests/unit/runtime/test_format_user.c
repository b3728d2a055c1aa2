/* test_format_user.c: a user's own format in the test driver: a fixed-width one, as old files have
 * it. What its messages become, what happens to a group that it cannot write, kills and restarts,
 * other names, and what the builder refuses. Its verdicts row by row are tests/cases/users_format.case. */
#include "tests/support/job.h"
#include "tests/support/scratch_dir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Columns are as wide as the format's context says; a column of blanks is NULL. */
struct widths {
    size_t count, widths[8];
};

static int read_fixed(void *context, weir_call *call, const weir_value *key,
                      const weir_value *value, const weir_column *columns, size_t count,
                      weir_value *results)
{
    const struct widths *fixed = context;
    size_t at = 0;
    (void)key;
    for (size_t i = 0; i < count; i++) {
        size_t width = fixed->widths[i], from = at;
        at += width;
        if (value->type == WEIR_NULL || value->text.size < at) {
            char text[100];
            snprintf(text, sizeof text, "the record ends inside column %s", columns[i].name);
            weir_call_error(call, text);
            return -1;
        }
        while (width > 0 && value->text.data[from + width - 1] == ' ')
            width--;
        for (; width > 0 && value->text.data[from] == ' '; width--)
            from++;
        if (width > 0)
            results[i] =
                (weir_value){.type = columns[i].type, .text = {value->text.data + from, width}};
    }
    return 0;
}

static int write_fixed(void *context, weir_call *call, const weir_column *columns, size_t count,
                       const weir_value *values)
{
    static const char blanks[] = "                                ";
    const struct widths *fixed = context;
    (void)columns;
    for (size_t i = 0; i < count; i++) {
        size_t size = values[i].type == WEIR_NULL ? 0 : values[i].text.size;
        if (size > fixed->widths[i]) {
            weir_call_error(call, "the value is too wide");
            return -1;
        }
        weir_call_write(call, blanks, fixed->widths[i] - size);
        weir_call_write(call, values[i].text.data, size);
    }
    return 0;
}

static struct widths in_widths = {2, {4, 6}}, out_widths = {2, {5, 6}};

static weir_app *sums_app(const char *format_name)
{
    const weir_format_functions functions = {.decode = read_fixed, .encode = write_fixed};
    weir_app *app = weir_app_open("fixed", NULL);
    weir_format in = weir_format_add(app, format_name, &functions, &in_widths);
    weir_format out = weir_format_add(app, "fixed-out-1", &functions, &out_widths);
    weir_stream *rows =
        weir_source_columns(app, "amounts", in, "who text, amount numeric(6,2)", NULL);
    weir_stream *sums = weir_aggregate(weir_group_by(rows, "who"), "sum(amount) AS total");
    weir_to_as(weir_map(sums, "who, total"), "totals", out);
    return app;
}

static weir_test *open_test(weir_app *app)
{
    weir_test *test = NULL;
    if (weir_test_open(app, &(weir_test_options){.partitions = 2}, &test) < 0)
        fail_msg("%s", weir_log_error());
    return test;
}

static void ok(weir_test *test, int rc)
{
    if (rc != 0)
        fail_msg("%d: %s", rc, weir_test_error(test));
}

static void send(weir_test *test, const char *value)
{
    ok(test, weir_test_send(test, "amounts", -1, 0, NULL, value));
}

static const char *header(const weir_record *record, const char *name)
{
    static char text[600];
    for (size_t i = 0; i < record->header_count; i++)
        if (strcmp(record->headers[i].key, name) == 0) {
            snprintf(text, sizeof text, "%.*s", (int)record->headers[i].value_size,
                     (const char *)record->headers[i].value);
            return text;
        }
    return "";
}

/* The next dead letter has this message and value. */
static void expect_dead(weir_test *test, const char *error_class, const char *message,
                        const char *value)
{
    weir_record *records;
    size_t count;
    ok(test, weir_test_read(test, "fixed.dlq", &records, &count));
    assert_int_equal(1, count);
    assert_string_equal(error_class, header(&records[0], "weir.error.class"));
    assert_string_equal(message, header(&records[0], "weir.error.message"));
    assert_int_equal(strlen(value), records[0].value_size);
    assert_memory_equal(value, records[0].value, records[0].value_size);
    weir_free(records);
}

/* The table that the topic is: its last record of a key. */
static void expect_total(weir_test *test, const char *who, const char *value)
{
    weir_record *records;
    size_t count;
    const weir_record *last = NULL;
    ok(test, weir_test_rewind(test, "totals"));
    ok(test, weir_test_read(test, "totals", &records, &count));
    for (size_t i = 0; i < count; i++)
        if (records[i].key_size == strlen(who) && memcmp(records[i].key, who, strlen(who)) == 0)
            last = &records[i];
    assert_non_null(last);
    assert_int_equal(strlen(value), last->value_size);
    assert_memory_equal(value, last->value, last->value_size);
    weir_free(records);
}

static void reads_and_writes(void **state)
{
    (void)state;
    weir_app *app = sums_app("fixed-in-1");
    weir_test *test = open_test(app);
    send(test, "anna  1.50");
    send(test, "bob   2.25 and what else there is");
    send(test, "anna 10.00");
    send(test, "          ");
    ok(test, weir_test_run(test));
    expect_total(test, "anna", " anna 11.50");
    expect_total(test, "bob", "  bob  2.25");
    expect_total(test, "{\"who\":null}", "           ");
    weir_test_close(test);
    weir_app_close(app);
}

static void its_words_stand_in_dead_letters(void **state)
{
    (void)state;
    weir_app *app = sums_app("fixed-in-1");
    weir_test *test = open_test(app);
    send(test, "anna");
    ok(test, weir_test_run(test));
    expect_dead(test, "decode", "fixed-in-1: the record ends inside column amount", "anna");
    send(test, "anna1,5   ");
    ok(test, weir_test_run(test));
    expect_dead(test, "decode",
                "fixed-in-1: amount: a text that is not a number was given as numeric",
                "anna1,5   ");
    send(test, "anna 12345");
    ok(test, weir_test_run(test));
    expect_dead(test, "cast_failed", "numeric(6,2) out of range", "anna 12345");
    weir_test_close(test);
    weir_app_close(app);
}

/* A result that cannot be written: the group's last record stands, its state goes on. */
static void a_group_that_cannot_be_written(void **state)
{
    (void)state;
    weir_app *app = sums_app("fixed-in-1");
    weir_test *test = open_test(app);
    char *json;
    send(test, "anna1     ");
    ok(test, weir_test_run(test));
    expect_total(test, "anna", " anna  1.00");
    send(test, "anna999   ");
    ok(test, weir_test_run(test));
    expect_dead(test, "encode", "fixed-out-1: the value is too wide", "{\"who\":\"anna\"}");
    expect_total(test, "anna", " anna  1.00");
    ok(test, weir_test_get(test, "totals", "anna", &json));
    assert_string_equal("{\"who\":\"anna\",\"total\":1000.00}", json);
    weir_free(json);
    send(test, "anna-999.5");
    ok(test, weir_test_run(test));
    expect_total(test, "anna", " anna  0.50");
    weir_test_close(test);
    weir_app_close(app);
}

static void goes_on_after_kills(void **state)
{
    (void)state;
    static const char *const points[] = {"commit_before_append", "commit_between_outputs",
                                         "commit_before_progress", "checkpoint_before"};
    weir_app *app = sums_app("fixed-in-1");
    weir_test *test = open_test(app);
    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
        send(test, "anna     1");
        ok(test, weir_test_kill_at(test, points[i], 1));
        int rc = weir_test_run(test);
        if (rc == 0)
            rc = weir_test_advance(test, WEIR_SECONDS(20));
        if (rc == 0)
            rc = weir_test_run(test);
        assert_int_equal(WEIR_TEST_KILLED, rc);
        ok(test, weir_test_restart(test, NULL));
        ok(test, weir_test_run(test));
    }
    expect_total(test, "anna", " anna  4.00");
    weir_test_close(test);
    weir_app_close(app);
}

static void another_name_is_another_source(void **state)
{
    (void)state;
    weir_app *app = sums_app("fixed-in-1"), *changed = sums_app("fixed-in-2");
    weir_test *test = open_test(app);
    send(test, "anna     1");
    ok(test, weir_test_run(test));
    ok(test, weir_test_restart(test, changed));
    assert_int_equal(WEIR_ESTATE, weir_test_run(test));
    assert_non_null(strstr(weir_test_error(test), "totals"));
    weir_test_close(test);
    weir_app_close(changed);
    weir_app_close(app);
}

/* Of what was written the form changes, and not what the state means. */
static void another_output_format_goes_on(void **state)
{
    (void)state;
    weir_app *apps[2];
    for (int i = 0; i < 2; i++) {
        const weir_format_functions functions = {.decode = read_fixed, .encode = write_fixed};
        apps[i] = weir_app_open("fixed", NULL);
        weir_format in = weir_format_add(apps[i], "fixed-in-1", &functions, &in_widths);
        weir_stream *rows =
            weir_source_columns(apps[i], "amounts", in, "who text, amount numeric(6,2)", NULL);
        weir_to_as(weir_aggregate(weir_group_by(rows, "who"), "sum(amount) AS total"), "totals",
                   i == 0 ? WEIR_JSON : WEIR_CSV);
    }
    weir_test *test = open_test(apps[0]);
    send(test, "a, b     1");
    ok(test, weir_test_run(test));
    expect_total(test, "a, b", "{\"who\":\"a, b\",\"total\":1.00}");
    ok(test, weir_test_restart(test, apps[1]));
    send(test, "a, b     2");
    ok(test, weir_test_run(test));
    expect_total(test, "a, b", "\"a, b\",3.00");
    weir_test_close(test);
    weir_app_close(apps[0]);
    weir_app_close(apps[1]);
}

static void too_much_is_refused(void **state)
{
    (void)state;
    weir_app *app = weir_app_open("fixed", NULL);
    weir_format pairs = job_add_pairs(app);
    weir_stream *rows = weir_source_columns(app, "amounts", pairs, "huge text", NULL);
    weir_to_as(weir_map(rows, "huge"), "out", pairs);
    weir_test *test = open_test(app);
    send(test, "huge=0123456789abcdef");
    ok(test, weir_test_run(test));
    expect_dead(test, "encode", "pairs-1: the format wrote more than 16 MiB",
                "huge=0123456789abcdef");
    weir_test_close(test);
    weir_app_close(app);
}

static void expect(weir_app *app, int code, const char *part)
{
    assert_int_equal(code, weir_app_check(app));
    if (strstr(weir_app_error(app), part) == NULL)
        fail_msg("'%s' does not contain '%s'", weir_app_error(app), part);
    weir_app_close(app);
}

static void what_the_builder_refuses(void **state)
{
    (void)state;
    const weir_format_functions both = {.decode = read_fixed, .encode = write_fixed},
                                nothing = {.decode = NULL},
                                newer = {.decode = read_fixed, .reserved = {1}},
                                reads = {.decode = read_fixed}, writes = {.encode = write_fixed};
    const struct {
        const char *name;
        const weir_format_functions *functions;
        int code;
        const char *part;
    } bad[] = {
        {"", &both, WEIR_EINVALID, "printable"},
        {NULL, &both, WEIR_EINVALID, "printable"},
        {"json", &both, WEIR_EEXISTS, "already"},
        {"raw", &both, WEIR_EEXISTS, "already"},
        {"f", NULL, WEIR_EINVALID, "needs a function"},
        {"f", &nothing, WEIR_EINVALID, "needs a function"},
        {"f", &newer, WEIR_EINVALID, "reserved"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        weir_app *app = weir_app_open("a", NULL);
        assert_int_equal(0, weir_format_add(app, bad[i].name, bad[i].functions, NULL));
        expect(app, bad[i].code, bad[i].part);
    }
    weir_app *app = weir_app_open("a", NULL);
    assert_true(weir_format_add(app, "f", &both, NULL) > 0);
    assert_int_equal(0, weir_format_add(app, "f", &both, NULL));
    expect(app, WEIR_EEXISTS, "f already");
    app = weir_app_open("a", NULL);
    weir_to(weir_source(app, "in", weir_format_add(app, "f", &both, NULL), NULL), "out");
    expect(app, WEIR_EINVALID, "weir_source_columns");
    app = weir_app_open("a", NULL);
    weir_to(
        weir_source_columns(app, "in", weir_format_add(app, "f", &writes, NULL), "a text", NULL),
        "out");
    expect(app, WEIR_EUNSUPPORTED, "no function that reads");
    app = weir_app_open("a", NULL);
    weir_stream *rows =
        weir_source_columns(app, "in", weir_format_add(app, "f", &reads, NULL), "a text", NULL);
    weir_to_as(weir_map(rows, "a"), "out", weir_format_add(app, "f", &reads, NULL));
    expect(app, WEIR_EEXISTS, "f already");
    app = weir_app_open("a", NULL);
    weir_format only_reads = weir_format_add(app, "f", &reads, NULL);
    weir_to_as(weir_map(weir_source_columns(app, "in", only_reads, "a text", NULL), "a"), "out",
               only_reads);
    expect(app, WEIR_EUNSUPPORTED, "no function that writes");
    app = weir_app_open("a", NULL);
    weir_to(weir_source_columns(app, "in", weir_format_add(app, "f", &reads, NULL),
                                "a interval, b boolean", "b"),
            "out");
    expect(app, WEIR_EINVALID, "is boolean, and not timestamptz");
    assert_int_equal(0, weir_format_add(NULL, "f", &both, NULL));
    assert_int_equal(WEIR_EINVALID, weir_call_write(NULL, "x", 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_and_writes),
        cmocka_unit_test(its_words_stand_in_dead_letters),
        cmocka_unit_test(a_group_that_cannot_be_written),
        cmocka_unit_test(goes_on_after_kills),
        cmocka_unit_test(another_name_is_another_source),
        cmocka_unit_test(another_output_format_goes_on),
        cmocka_unit_test(too_much_is_refused),
        cmocka_unit_test(what_the_builder_refuses),
    };
    scratch_dir_in_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
