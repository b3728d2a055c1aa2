/* test_expr_record.c: record_…(): keys, places, times and headers of the records that rows came from; headers that are cut or hostile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "operators/expr.h"
#include "operators/json_encode.h"
#include "runtime/base/error.h"

#define HEADERS(text)                                                                              \
    {                                                                                              \
        (const uint8_t *)(text), sizeof(text) - 1                                                  \
    }

/* The value of a text over one record, as JSON; "!class" when it is rejected. */
static void check(const struct source_row *record, const char *text, const char *expected)
{
    struct arena arena;
    struct buf out;
    struct diag diag = {0};
    struct expr_list *list;
    struct named_columns none = {NULL, NULL, 0};
    struct scope scope = named_columns_scope(&none);
    struct column column;
    arena_init(&arena, 0);
    buf_init(&out, 0);
    struct reject_list rejects = {.arena = &arena};
    struct batch batch = {
        .row_count = 1, .selected_count = 1, .source = record, .origin = 7, .arena = &arena};
    if (expr_parse_list(text, &scope, &list, &diag) < 0)
        fail_msg("%s: %s", text, diag.text);
    assert_int_equal(expr_eval(list->exprs[0], &batch, &column, &rejects), 0);
    if (rejects.count > 0)
        buf_printf(&out, "!%s", rejects.items[0].error_class);
    else
        json_encode_value(&out, &column, 0, true);
    buf_u8(&out, 0);
    if (strcmp((const char *)out.data, expected) != 0)
        fail_msg("%s: %s instead of %s", text, (const char *)out.data, expected);
    buf_deinit(&out);
    expr_list_destroy(list);
    arena_deinit(&arena);
}

static void places(void **state)
{
    (void)state;
    struct source_row row = {.offset = 41, .timestamp_ms = -5, .key = HEADERS("k\xc3\xa9")};
    check(&row, "record_key()", "\"k\xc3\xa9\"");
    check(&row, "record_partition()", "7");
    check(&row, "record_offset() + 1 AS x", "42");
    check(&row, "record_timestamp()", "-5");
    check(&row, "record_headers()", "{}");
    row.key = (struct bytes){NULL, 0};
    check(&row, "record_key()", "null");
    check(&row, "COALESCE(record_key(), 'none')", "\"none\"");
    row.key = (struct bytes)HEADERS("");
    check(&row, "record_key()", "\"\"");
    row.key = (struct bytes)HEADERS("\xff");
    check(&row, "record_key()", "!text_utf8");
    check(&row, "try(record_key())", "null");
    check(NULL, "record_offset()", "!no_record");
    check(NULL, "try(record_key())", "null");
}

/* Lengths are zigzag: 2 is 1, 1 is -1. */
static void headers(void **state)
{
    (void)state;
    static const struct {
        struct bytes bytes;
        const char *json;
    } cases[] = {
        {HEADERS("\x02"
                 "a"
                 "\x04"
                 "bc"),
         "{\"a\":\"bc\"}"},
        {HEADERS("\x02"
                 "a"
                 "\x01"
                 "\x00"
                 "\x00"),
         "{\"a\":null,\"\":\"\"}"},
        {HEADERS("\x02"
                 "a"
                 "\x02"
                 "1"
                 "\x02"
                 "b"
                 "\x02"
                 "2"
                 "\x02"
                 "a"
                 "\x02"
                 "3"),
         "{\"b\":\"2\",\"a\":\"3\"}"},
        {HEADERS("\x04"
                 "\"\n"
                 "\x04"
                 "\xff\x00"),
         "{\"\\\"\\n\":\"\\\\xff00\"}"},
        {HEADERS("\x02"
                 "a"
                 "\x04"
                 "b"),
         "{}"}, /* cut in its value */
        {HEADERS("\x02"
                 "a"
                 "\x02"
                 "b"
                 "\x08"
                 "c"),
         "{\"a\":\"b\"}"},
        {HEADERS("\x01"
                 "\x02"
                 "b"),
         "{}"}, /* no name */
        {HEADERS("\x03"
                 "a"),
         "{}"}, /* a length of -2 */
        {HEADERS("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), "{}"},
        {HEADERS("\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"
                 "a"),
         "{}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct source_row row = {.headers = cases[i].bytes, .header_count = 1};
        check(&row, "record_headers()", cases[i].json);
    }
    struct source_row row = {.headers = cases[0].bytes, .header_count = 1};
    check(&row, "record_headers() ->> 'a' AS x", "\"bc\"");
    check(&row, "record_headers() -> 'z' AS x", "null");
}

static void arguments(void **state)
{
    (void)state;
    struct named_columns none = {NULL, NULL, 0};
    struct scope scope = named_columns_scope(&none);
    struct diag diag = {0};
    struct expr_list *list;
    assert_int_equal(expr_parse_list("record_key(1) AS a", &scope, &list, &diag), ERR_INVALID);
    assert_non_null(strstr(diag.text, "record_key() takes no arguments, line 1, column 1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(places), cmocka_unit_test(headers),
                                       cmocka_unit_test(arguments)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
