/* test_row_codec.c: rows of every type as bytes and back, and bytes that are no row. */
#include "operators/row_codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { COLUMNS = 9 };

static void make_columns(struct column *columns, struct arena *arena)
{
    static const enum col_type types[COLUMNS] = {COL_VARIANT,     COL_BOOLEAN,  COL_BIGINT,
                                                 COL_DOUBLE,      COL_NUMERIC,  COL_TEXT,
                                                 COL_TIMESTAMPTZ, COL_INTERVAL, COL_BYTEA};
    for (uint32_t c = 0; c < COLUMNS; c++)
        assert_int_equal(column_alloc(&columns[c], types[c], 2, types[c] != COL_VARIANT, arena), 0);
}

static void fill(struct column *columns)
{
    columns[0].variant[0] =
        (struct variant){.data = (const uint8_t *)"1.50", .size = 4, .kind = VARIANT_NUMBER};
    columns[1].boolean[0] = 1;
    columns[2].i64[0] = INT64_MIN;
    columns[3].f64[0] = -0.0;
    columns[4].numeric[0] = (struct numeric){-1500, 3};
    columns[5].text[0] = bytes_of("a\0b", 3);
    columns[6].i64[0] = 1772442000000;
    columns[7].i64[0] = -1;
    columns[8].text[0] = bytes_of("", 0);
    for (uint32_t c = 0; c < COLUMNS; c++)
        row_set_null(&columns[c], 1);
}

/* Zeros behind a point, the sign of zero, empty and NULL: all as they were. */
static void values_come_back_as_they_were(void **state)
{
    (void)state;
    struct arena arena;
    struct buf bytes[2];
    struct column in[COLUMNS], out[COLUMNS];
    arena_init(&arena, 0);
    make_columns(in, &arena);
    make_columns(out, &arena);
    fill(in);
    for (uint32_t row = 0; row < 2; row++) {
        buf_init(&bytes[row], 0);
        row_encode(&bytes[row], in, COLUMNS, row);
        assert_int_equal(row_decode(bytes_of(bytes[row].data, bytes[row].size), out, COLUMNS, row),
                         0);
    }
    assert_int_equal(out[0].variant[0].kind, VARIANT_NUMBER);
    assert_int_equal(out[0].variant[0].size, 4);
    assert_memory_equal(out[0].variant[0].data, "1.50", 4);
    assert_int_equal(out[1].boolean[0], 1);
    assert_true(out[2].i64[0] == INT64_MIN);
    assert_memory_equal(&out[3].f64[0], &in[3].f64[0], sizeof(double));
    assert_true(out[4].numeric[0].coefficient == -1500);
    assert_int_equal(out[4].numeric[0].scale, 3);
    assert_true(bytes_equal(out[5].text[0], in[5].text[0]));
    assert_true(out[6].i64[0] == in[6].i64[0]);
    assert_true(out[7].i64[0] == -1);
    assert_int_equal(out[8].text[0].size, 0);
    for (uint32_t c = 0; c < COLUMNS; c++) {
        assert_false(column_is_null(&out[c], 0));
        assert_true(column_is_null(&out[c], 1));
    }
    buf_deinit(&bytes[0]);
    buf_deinit(&bytes[1]);
    arena_deinit(&arena);
}

/* Each cut of a row is refused, and so is one with something behind it, of other columns or of
 * other types. */
static void what_is_no_row_is_refused(void **state)
{
    (void)state;
    struct arena arena;
    struct buf bytes;
    struct column columns[COLUMNS];
    arena_init(&arena, 0);
    buf_init(&bytes, 0);
    make_columns(columns, &arena);
    fill(columns);
    row_encode(&bytes, columns, COLUMNS, 0);
    for (size_t size = 0; size < bytes.size; size++) {
        uint8_t *copy = malloc(size + 1); /* so that a read behind it is seen */
        memcpy(copy, bytes.data, size);
        uint8_t *exact = realloc(copy, size > 0 ? size : 1);
        assert_int_equal(row_decode(bytes_of(exact, size), columns, COLUMNS, 0), ERR_CORRUPT);
        free(exact);
    }
    buf_u8(&bytes, 0);
    assert_int_equal(row_decode(bytes_of(bytes.data, bytes.size), columns, COLUMNS, 0),
                     ERR_CORRUPT);
    bytes.size--;
    assert_int_equal(row_decode(bytes_of(bytes.data, bytes.size), columns, COLUMNS - 1, 0),
                     ERR_CORRUPT);
    struct column swapped = columns[5];
    columns[5] = columns[6];
    columns[6] = swapped;
    assert_int_equal(row_decode(bytes_of(bytes.data, bytes.size), columns, COLUMNS, 0),
                     ERR_CORRUPT);
    buf_deinit(&bytes);
    arena_deinit(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_come_back_as_they_were),
        cmocka_unit_test(what_is_no_row_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
