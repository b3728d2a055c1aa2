/* Rows of comma-separated values: RFC 4180's own examples, what is refused and where, NULL and
 * empty. Every record lies in memory of its exact size, so that a reader that goes one byte too far
 * is seen by the address sanitizer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "operators/csv_decode.h"

/* "a|b|-" for fields a, b and NULL; else "class: message". */
static void check(const char *record, uint32_t column_count, const char *expected)
{
    struct arena arena;
    struct column columns[8];
    char text[256] = "";
    size_t size = strlen(record), used = 0;
    uint8_t *memory = malloc(size > 0 ? size : 1);
    assert_non_null(memory);
    memcpy(memory, record, size);
    struct bytes doc = bytes_of(memory, size);
    arena_init(&arena, 0);
    struct reject_list rejects = {.arena = &arena};
    assert_int_equal(0, csv_decode(&doc, 1, column_count, &arena, columns, &rejects));
    for (uint32_t i = 0; rejects.count == 0 && i < column_count; i++) {
        bool is_null = columns[i].nulls[0] != 0;
        struct bytes field = is_null ? bytes_text("-") : columns[i].text[0];
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%.*s", i > 0 ? "|" : "",
                                 (int)field.size, (const char *)field.data);
    }
    if (rejects.count > 0) {
        assert_int_equal(1, rejects.count);
        snprintf(text, sizeof text, "%s: %s", rejects.items[0].error_class,
                 rejects.items[0].message);
        for (uint32_t i = 0; i < column_count; i++)
            assert_true(column_is_null(&columns[i], 0));
    }
    assert_string_equal(expected, text);
    arena_deinit(&arena);
    free(memory);
}

static void rows_of_the_rfc(void **state)
{
    (void)state;
    check("aaa,bbb,ccc\r\n", 3, "aaa|bbb|ccc");
    check("zzz,yyy,xxx", 3, "zzz|yyy|xxx");
    check("\"aaa\",\"bbb\",\"ccc\"\r\n", 3, "aaa|bbb|ccc");
    check("\"aaa\",\"b\r\nbb\",\"ccc\"\r\n", 3, "aaa|b\r\nbb|ccc");
    check("\"aaa\",\"b\"\"bb\",\"ccc\"", 3, "aaa|b\"bb|ccc");
    check("\"\"\"\"", 1, "\"");
    check(" a , b ", 2, " a | b ");
}

static void null_and_empty_differ(void **state)
{
    (void)state;
    check(",", 2, "-|-");
    check("\"\",", 2, "|-");
    check("", 1, "-");
    check("\n", 1, "-");
    check("a,,\"\"\n", 3, "a|-|");
}

static void bad_rows_say_where(void **state)
{
    (void)state;
    check("a\"b,c", 2, "csv_malformed: a quote inside a field that is not quoted, at byte 1 of 5");
    check("\"a\"b,c", 2, "csv_malformed: something follows a quoted field, at byte 3 of 6");
    check("a,\"b", 2, "csv_malformed: a quoted field is not closed, at byte 4 of 4");
    check("a,\"b\"\"", 2, "csv_malformed: a quoted field is not closed, at byte 6 of 6");
    check("a\nb", 1, "csv_malformed: a line ends before the record does, at byte 1 of 3");
    check("a\r\rb", 1, "csv_malformed: a line ends before the record does, at byte 1 of 4");
    check("a\n\n", 1, "csv_malformed: a line ends before the record does, at byte 1 of 2");
    check("a,b", 3, "csv_columns: the row has 2 fields and not 3");
    check("a,b,c,d,e,f,g,h,i", 2, "csv_columns: the row has 9 fields and not 2");
    check("a,\xC3", 2, "csv_utf8: the bytes are not valid UTF-8, at byte 2 of 3");
}

static void a_bad_row_leaves_its_neighbours_alone(void **state)
{
    (void)state;
    struct arena arena;
    struct column columns[1];
    struct bytes docs[] = {bytes_text("a"), bytes_text("b,c"), {NULL, 0}, bytes_text("\"d\"")};
    arena_init(&arena, 0);
    struct reject_list rejects = {.arena = &arena};
    assert_int_equal(0, csv_decode(docs, 4, 1, &arena, columns, &rejects));
    assert_int_equal(2, rejects.count);
    assert_int_equal(1, rejects.items[0].row);
    assert_int_equal(2, rejects.items[1].row);
    assert_string_equal("value_null", rejects.items[1].error_class);
    assert_true(bytes_equal(bytes_text("a"), columns[0].text[0]));
    assert_true(bytes_equal(bytes_text("d"), columns[0].text[3]));
    assert_true(columns[0].nulls[1] && columns[0].nulls[2]);
    arena_deinit(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_the_rfc),
        cmocka_unit_test(null_and_empty_differ),
        cmocka_unit_test(bad_rows_say_where),
        cmocka_unit_test(a_bad_row_leaves_its_neighbours_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
