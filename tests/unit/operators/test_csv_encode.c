/* test_csv_encode.c: rows as CSV byte by byte, and back through the decoder. What other readers make
 * of them is tests/package/test_csv.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "operators/csv_decode.h"
#include "operators/csv_encode.h"
#include "operators/value_text.h"

static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_deinit(&arena);
    return 0;
}

static void expect_row(const struct column *columns, uint32_t count, const char *text)
{
    struct buf out;
    buf_init(&out, 0);
    csv_encode_row(&out, columns, count, 0);
    buf_u8(&out, 0);
    assert_string_equal(text, (const char *)out.data);
    buf_deinit(&out);
}

static void fields_are_quoted_where_they_must(void **state)
{
    (void)state;
    static const char *const texts[][2] = {
        {"plain", "plain"}, {"", "\"\""},         {"a,b", "\"a,b\""}, {"a\"b", "\"a\"\"b\""},
        {"\"", "\"\"\"\""}, {"a\nb", "\"a\nb\""}, {"\r", "\"\r\""},   {" a ", " a "},
        {"'a';", "'a';"},   {"é", "é"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct bytes text = bytes_text(texts[i][0]);
        struct variant variant = {
            .data = text.data, .size = (uint32_t)text.size, .kind = VARIANT_TEXT};
        expect_row(&(struct column){.type = COL_TEXT, .text = &text}, 1, texts[i][1]);
        expect_row(&(struct column){.type = COL_VARIANT, .variant = &variant}, 1, texts[i][1]);
    }
    struct bytes none = {NULL, 0};
    expect_row(&(struct column){.type = COL_TEXT, .text = &none}, 1, "\"\"");
    expect_row(&(struct column){.type = COL_BYTEA, .text = &none}, 1, "\\x");
}

static void values_have_the_text_that_casts_read(void **state)
{
    (void)state;
    uint8_t yes = 1, null = 1;
    int64_t number = -5, time = 1767225600007, span = -3661500;
    double real = 0.1;
    struct bytes bytes = bytes_of("\0,", 2);
    struct numeric exact = {1250, 2};
    struct variant integer = {.kind = VARIANT_INT, .i64 = 7}, truth = {.kind = VARIANT_TRUE},
                   nothing = {.kind = VARIANT_NULL};
    const struct column row[] = {
        {.type = COL_BOOLEAN, .boolean = &yes},
        {.type = COL_BIGINT, .i64 = &number},
        {.type = COL_TIMESTAMPTZ, .i64 = &time},
        {.type = COL_INTERVAL, .i64 = &span},
        {.type = COL_DOUBLE, .f64 = &real},
        {.type = COL_NUMERIC, .numeric = &exact},
        {.type = COL_BYTEA, .text = &bytes},
        {.type = COL_VARIANT, .variant = &integer},
        {.type = COL_VARIANT, .variant = &truth},
        {.type = COL_VARIANT, .variant = &nothing},
        {.type = COL_BIGINT, .i64 = &number, .nulls = &null},
    };
    expect_row(row, sizeof row / sizeof row[0],
               "true,-5,2026-01-01T00:00:00.007Z,-01:01:01.5,0.1,12.50,\\x002c,7,true,,");
    expect_row(row, 0, "");
}

static uint32_t random_state = 1;
static uint32_t below(uint32_t n)
{
    random_state = random_state * 1103515245u + 12345;
    return (random_state >> 8) % n;
}

static void rows_come_back(void **state)
{
    (void)state;
    enum { COLUMNS = 4, ROWS = 64 };
    static const char bytes[] = "ab,\"\n\r \t\0'\x7f";
    for (int round = 0; round < 200; round++) {
        struct column columns[COLUMNS], back[COLUMNS];
        struct bytes docs[ROWS];
        arena_reset(&arena);
        struct reject_list rejects = {.arena = &arena};
        for (int c = 0; c < COLUMNS; c++) {
            assert_int_equal(0, column_alloc(&columns[c], COL_TEXT, ROWS, true, &arena));
            for (uint32_t r = 0; r < ROWS; r++) {
                uint8_t *text = arena_alloc(&arena, 8);
                uint32_t size = below(8);
                for (uint32_t i = 0; i < size; i++)
                    text[i] = (uint8_t)bytes[below(sizeof bytes)];
                columns[c].text[r] = bytes_of(text, size);
                columns[c].nulls[r] = below(5) == 0;
            }
        }
        uint32_t count = 1 + below(COLUMNS);
        for (uint32_t r = 0; r < ROWS; r++) {
            struct buf out;
            buf_init(&out, 0);
            csv_encode_row(&out, columns, count, r);
            docs[r] =
                arena_copy(&arena, bytes_of(out.size > 0 ? out.data : (uint8_t *)"", out.size));
            buf_deinit(&out);
        }
        assert_int_equal(0, csv_decode(docs, ROWS, count, &arena, back, &rejects));
        assert_int_equal(0, rejects.count);
        for (uint32_t c = 0; c < count; c++)
            for (uint32_t r = 0; r < ROWS; r++) {
                assert_int_equal(columns[c].nulls[r], back[c].nulls[r]);
                if (!back[c].nulls[r])
                    assert_true(bytes_equal(columns[c].text[r], back[c].text[r]));
            }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_quoted_where_they_must),
        cmocka_unit_test(values_have_the_text_that_casts_read),
        cmocka_unit_test(rows_come_back),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
