/* Group keys: the documented bytes, equal iff values are equal, back again, and safe against
 * damage. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "operators/group_key.h"
#include "tests/support/random_json.h"

static struct arena arena;

static struct bytes key_of(const struct column *columns, uint32_t count, uint32_t row)
{
    struct buf out = {0};
    group_key_encode(&out, columns, count, row);
    assert_true(buf_ok(&out));
    struct bytes key = arena_copy(&arena, bytes_of(out.data, out.size));
    buf_deinit(&out);
    return key;
}

static struct numeric number(const char *text)
{
    struct numeric value;
    assert_int_equal(0, numeric_parse(bytes_text(text), &value));
    return value;
}

static struct variant variant_of(enum variant_kind kind, const char *text)
{
    struct variant value = {.kind = (uint8_t)kind, .size = (uint32_t)strlen(text)};
    value.data = (const uint8_t *)text;
    return value;
}

static void expect_bytes(const struct column *column, const char *hex)
{
    struct bytes key = key_of(column, 1, 0);
    char text[512] = "";
    for (size_t i = 0; i < key.size; i++)
        sprintf(text + 2 * i, "%02x", key.data[i]);
    assert_string_equal(hex, text);
}

static void the_bytes_are_the_documented_ones(void **state)
{
    (void)state;
    uint8_t yes = 1, no = 0;
    int64_t integer = 1;
    struct column column = {.type = COL_BIGINT, .i64 = &integer, .nulls = &yes};
    expect_bytes(&column, "00");
    column.nulls = &no;
    expect_bytes(&column, "038000000000000001");
    integer = -1;
    expect_bytes(&column, "037fffffffffffffff");
    column.type = COL_INTERVAL;
    expect_bytes(&column, "037fffffffffffffff");
    column.type = COL_TIMESTAMPTZ;
    expect_bytes(&column, "077fffffffffffffff");
    struct bytes bytes = bytes_of("a\0\xff", 3);
    column = (struct column){.type = COL_BYTEA, .text = &bytes};
    expect_bytes(&column, "09036100ff");
    column = (struct column){.type = COL_BOOLEAN, .boolean = &no};
    expect_bytes(&column, "01");
    column.boolean = &yes;
    expect_bytes(&column, "02");
    struct numeric value = number("-1.50");
    column = (struct column){.type = COL_NUMERIC, .numeric = &value};
    expect_bytes(&column, "0401fffffffffffffffffffffffffffffff1");
    value = number("7.00");
    expect_bytes(&column, "038000000000000007");
    value = number("9223372036854775808");
    expect_bytes(&column, "040000000000000000008000000000000000");
    struct bytes text = bytes_text("ab");
    column = (struct column){.type = COL_TEXT, .text = &text};
    expect_bytes(&column, "05026162");
    double zero = -0.0;
    column = (struct column){.type = COL_DOUBLE, .f64 = &zero};
    expect_bytes(&column, "060000000000000000");
    zero = 1;
    expect_bytes(&column, "063ff0000000000000");
    struct variant variant = variant_of(VARIANT_JSON, "[1]");
    column = (struct column){.type = COL_VARIANT, .variant = &variant};
    expect_bytes(&column, "08035b315d");
    variant = variant_of(VARIANT_NULL, "");
    expect_bytes(&column, "00");
    variant = variant_of(VARIANT_NUMBER, "1e400");
    expect_bytes(&column, "08053165343030");
}

/* One group whatever the spelling and the type; different values never share a key. */
static void equal_values_equal_keys(void **state)
{
    (void)state;
    /* Each line is one group. */
    static const struct {
        enum variant_kind kind;
        const char *text;
    } groups[][6] = {
        {{VARIANT_NUMBER, "1"},
         {VARIANT_NUMBER, "1.0"},
         {VARIANT_NUMBER, "1.000"},
         {VARIANT_NUMBER, "10e-1"},
         {VARIANT_NUMBER, "0.1e1"}},
        {{VARIANT_NUMBER, "0"},
         {VARIANT_NUMBER, "-0"},
         {VARIANT_NUMBER, "0.00"},
         {VARIANT_NUMBER, "-0e5"}},
        {{VARIANT_NUMBER, "1.5"}, {VARIANT_NUMBER, "1.50"}, {VARIANT_NUMBER, "15e-1"}},
        {{VARIANT_NUMBER, "-1.5"}, {VARIANT_NUMBER, "-150e-2"}},
        {{VARIANT_NUMBER, "15"}, {VARIANT_NUMBER, "1.5e1"}},
        {{VARIANT_NUMBER, "9223372036854775808"}, {VARIANT_NUMBER, "9223372036854775808.0"}},
        {{VARIANT_NUMBER, "1e400"}},
        {{VARIANT_TEXT, "1"}},
        {{VARIANT_TEXT, ""}},
        {{VARIANT_TEXT, "true"}},
        {{VARIANT_TRUE, ""}},
        {{VARIANT_FALSE, ""}},
        {{VARIANT_NULL, ""}},
        {{VARIANT_JSON, "[1]"}},
        {{VARIANT_TEXT, "[1]"}},
        {{VARIANT_JSON, "{}"}},
    };
    enum { GROUPS = sizeof(groups) / sizeof(*groups) };
    struct bytes keys[GROUPS][6] = {{{0}}};
    for (int g = 0; g < GROUPS; g++)
        for (int i = 0; i < 6 && groups[g][i].text != NULL; i++) {
            struct variant value = variant_of(groups[g][i].kind, groups[g][i].text);
            struct column column = {.type = COL_VARIANT, .variant = &value};
            keys[g][i] = key_of(&column, 1, 0);
            struct numeric numeric;
            if (value.kind == VARIANT_NUMBER &&
                numeric_parse(bytes_text(groups[g][i].text), &numeric) == 0) {
                column = (struct column){.type = COL_NUMERIC, .numeric = &numeric};
                assert_true(bytes_equal(keys[g][i], key_of(&column, 1, 0)));
            }
        }
    for (int g = 0; g < GROUPS; g++)
        for (int i = 0; i < 6; i++)
            for (int h = 0; h < GROUPS; h++)
                for (int j = 0; j < 6; j++)
                    if (groups[g][i].text != NULL && groups[h][j].text != NULL)
                        assert_int_equal(g == h, bytes_equal(keys[g][i], keys[h][j]));
    int64_t one = 1;
    struct column column = {.type = COL_BIGINT, .i64 = &one};
    assert_true(bytes_equal(keys[0][0], key_of(&column, 1, 0)));
    double nans[] = {(double)NAN, -(double)NAN};
    struct column first = {.type = COL_DOUBLE, .f64 = &nans[0]},
                  second = {.type = COL_DOUBLE, .f64 = &nans[1]};
    assert_true(bytes_equal(key_of(&first, 1, 0), key_of(&second, 1, 0)));
}

/* Columns do not run into each other: ("a","bc") and ("ab","c") are two groups. */
static void columns_keep_apart(void **state)
{
    (void)state;
    struct bytes left[] = {bytes_text("a"), bytes_text("ab"), bytes_text(""), bytes_text("abc")};
    struct bytes right[] = {bytes_text("bc"), bytes_text("c"), bytes_text("abc"), bytes_text("")};
    struct column columns[] = {{.type = COL_TEXT, .text = left}, {.type = COL_TEXT, .text = right}};
    for (uint32_t i = 0; i < 4; i++)
        for (uint32_t j = 0; j < 4; j++)
            assert_int_equal(i == j, bytes_equal(key_of(columns, 2, i), key_of(columns, 2, j)));
}

/* ---- random rows of every type, through the batch encoder and back ---- */

enum { ROWS = 200 };
static struct random_json random_rows = {17};

static uint32_t below(uint32_t limit)
{
    return random_json_below(&random_rows, limit);
}

static struct bytes random_text(void)
{
    static const uint32_t sizes[] = {0, 1, 5, 127, 128, 300, 20000};
    size_t size = sizes[below(below(20) ? 5 : 7)];
    uint8_t *text = arena_alloc(&arena, size + 1);
    memset(text, 'a' + (int)below(3), size);
    return bytes_of(text, size);
}

static struct numeric random_numeric(void)
{
    static const char *const texts[] = {"0",
                                        "1.50",
                                        "-1.5",
                                        "100",
                                        "99999999999999999999999999999999999999",
                                        "1e-38",
                                        "-7",
                                        "9223372036854775808",
                                        "0.10"};
    return number(texts[below(sizeof(texts) / sizeof(*texts))]);
}

static struct variant random_variant(void)
{
    enum variant_kind kind = (enum variant_kind)below(VARIANT_JSON + 1);
    struct variant value = {.kind = (uint8_t)kind};
    if (kind == VARIANT_INT) {
        value.i64 = (int64_t)below(5) - 2;
    } else if (kind == VARIANT_TEXT) {
        struct bytes text = random_text();
        value.data = text.data;
        value.size = (uint32_t)text.size;
    } else if (kind >= VARIANT_NUMBER) {
        value = variant_of(kind, kind == VARIANT_JSON ? "{\"x\":1}" : below(2) ? "2.50" : "1e400");
    }
    return value;
}

static void fill(struct column *column, enum col_type type)
{
    assert_int_equal(0, column_alloc(column, type, ROWS, true, &arena));
    for (uint32_t i = 0; i < ROWS; i++) {
        if (column->nulls != NULL)
            column->nulls[i] = below(5) == 0;
        switch (type) {
        case COL_VARIANT:
            column->variant[i] = random_variant();
            break;
        case COL_BOOLEAN:
            column->boolean[i] = (uint8_t)below(2);
            break;
        case COL_DOUBLE:
            column->f64[i] = (double)below(7) / 2 - 1;
            break;
        case COL_NUMERIC:
            column->numeric[i] = random_numeric();
            break;
        case COL_TEXT:
        case COL_BYTEA:
            column->text[i] = random_text();
            break;
        default:
            column->i64[i] = below(10) ? (int64_t)below(100) - 50 : INT64_MIN;
        }
    }
}

static void expect_same(const struct column *a, uint32_t i, const struct column *b, uint32_t j)
{
    assert_int_equal(column_is_null(a, i), column_is_null(b, j));
    if (column_is_null(a, i))
        return;
    if (a->type == COL_NUMERIC)
        assert_int_equal(0, numeric_compare(a->numeric[i], b->numeric[j]));
    else if (a->type == COL_TEXT || a->type == COL_BYTEA)
        assert_true(bytes_equal(a->text[i], b->text[j]));
    else if (a->type != COL_VARIANT)
        assert_memory_equal((uint8_t *)a->data + i * col_type_bytes(a->type),
                            (uint8_t *)b->data + j * col_type_bytes(b->type),
                            col_type_bytes(a->type));
    /* A variant may come back in its canonical spelling: equal keys say that it is the same value.
     */
    assert_true(bytes_equal(key_of(a, 1, i), key_of(b, 1, j)));
}

static void keys_come_back(void **state)
{
    (void)state;
    for (int round = 0; round < 60; round++) {
        arena_reset(&arena);
        uint32_t count = 1 + below(4);
        struct column columns[4], back[4];
        for (uint32_t c = 0; c < count; c++)
            fill(
                &columns[c],
                (enum col_type)(round < 16 && count == 1 ? round % 9 : (int)below(COL_TYPE_COUNT)));
        uint16_t selection[ROWS];
        uint32_t selected = 0;
        for (uint16_t i = 0; i < ROWS; i++)
            if (below(3) || round % 3 == 0)
                selection[selected++] = i;
        struct batch batch = {.row_count = ROWS,
                              .selection = round % 3 ? selection : NULL,
                              .selected_count = selected,
                              .arena = &arena};
        struct bytes keys[ROWS];
        assert_int_equal(0, group_key_encode_batch(&batch, columns, count, keys));
        for (uint32_t c = 0; c < count; c++)
            assert_int_equal(0, column_alloc(&back[c], columns[c].type, ROWS, true, &arena));
        for (uint32_t i = 0; i < selected; i++) {
            uint32_t row = batch_row(&batch, i);
            assert_true(bytes_equal(keys[i], key_of(columns, count, row)));
            assert_int_equal(0, group_key_decode(keys[i], back, count, i, &arena));
            for (uint32_t c = 0; c < count; c++)
                expect_same(&columns[c], row, &back[c], i);
        }
    }
}

static void constants_make_keys(void **state)
{
    (void)state;
    struct bytes text = bytes_text("same");
    struct variant variant = variant_of(VARIANT_TEXT, "same");
    struct column columns[] = {{.type = COL_TEXT, .constant = true, .text = &text},
                               {.type = COL_VARIANT, .constant = true, .variant = &variant}};
    struct batch batch = {.row_count = 9, .selected_count = 9, .arena = &arena};
    for (int c = 0; c < 2; c++) {
        struct bytes keys[9];
        assert_int_equal(0, group_key_encode_batch(&batch, &columns[c], 1, keys));
        for (int i = 0; i < 9; i++)
            assert_true(bytes_equal(keys[0], keys[i]) && keys[i].size == 6);
    }
}

static void a_kind_that_does_not_fit_is_corrupt(void **state)
{
    (void)state;
    static const enum col_type written[] = {COL_BOOLEAN,     COL_BIGINT,  COL_DOUBLE, COL_TEXT,
                                            COL_TIMESTAMPTZ, COL_NUMERIC, COL_BYTEA};
    struct numeric half = number("0.5");
    uint8_t yes = 1;
    int64_t one = 1;
    double real = 1.5;
    struct bytes text = bytes_text("x");
    void *values[] = {&yes, &one, &real, &text, &one, &half, &text};
    for (int w = 0; w < 7; w++)
        for (int type = 1; type < COL_TYPE_COUNT; type++) {
            struct column from = {.type = written[w], .data = values[w]}, to;
            assert_int_equal(0, column_alloc(&to, (enum col_type)type, 1, true, &arena));
            bool fits = written[w] == (enum col_type)type ||
                        (written[w] == COL_BIGINT && (type == COL_NUMERIC || type == COL_INTERVAL));
            assert_int_equal(fits ? 0 : ERR_CORRUPT,
                             group_key_decode(key_of(&from, 1, 0), &to, 1, 0, &arena));
        }
    struct column variant;
    assert_int_equal(0, column_alloc(&variant, COL_VARIANT, 1, false, &arena));
    struct column real_column = {.type = COL_DOUBLE, .f64 = &real},
                  time_column = {.type = COL_TIMESTAMPTZ, .i64 = &one},
                  bytes_column = {.type = COL_BYTEA, .text = &text};
    assert_int_equal(0, group_key_decode(key_of(&bytes_column, 1, 0), &variant, 1, 0, &arena));
    assert_int_equal(VARIANT_TEXT, variant.variant[0].kind);
    assert_memory_equal("\\x78", variant.variant[0].data, variant.variant[0].size);
    assert_int_equal(0, group_key_decode(key_of(&real_column, 1, 0), &variant, 1, 0, &arena));
    assert_int_equal(VARIANT_NUMBER, variant.variant[0].kind);
    assert_memory_equal("1.5", variant.variant[0].data, 3);
    assert_int_equal(0, group_key_decode(key_of(&time_column, 1, 0), &variant, 1, 0, &arena));
    assert_int_equal(VARIANT_TEXT, variant.variant[0].kind);
    assert_memory_equal("1970-01-01T00:00:00.001Z", variant.variant[0].data,
                        variant.variant[0].size);
}

/* Every truncation and every extra byte is refused; a flipped bit is refused or is another value. */
static void damaged_keys_are_refused_or_other_values(void **state)
{
    (void)state;
    for (int round = 0; round < 3000; round++) {
        arena_reset(&arena);
        struct column columns[3], back[3];
        for (int c = 0; c < 3; c++) {
            enum col_type type = (enum col_type)below(COL_TYPE_COUNT);
            struct random_json at = random_rows;
            fill(&columns[c], type);
            random_rows.state = at.state * 31 + 7;
            assert_int_equal(0, column_alloc(&back[c], type, 1, true, &arena));
        }
        struct bytes key = key_of(columns, 3, below(ROWS));
        for (size_t cut = 0; cut < key.size && cut < 600; cut++)
            assert_int_equal(ERR_CORRUPT,
                             group_key_decode(bytes_of(key.data, cut), back, 3, 0, &arena));
        uint8_t *damaged = (uint8_t *)arena_copy(&arena, key).data;
        damaged[below((uint32_t)(key.size < 64 ? key.size : 64))] ^= (uint8_t)(1u << below(8));
        int rc = group_key_decode(bytes_of(damaged, key.size), back, 3, 0, &arena);
        assert_true(rc == 0 || rc == ERR_CORRUPT);
        uint8_t *longer = arena_alloc(&arena, key.size + 1);
        memcpy(longer, key.data, key.size);
        longer[key.size] = 0;
        assert_int_equal(ERR_CORRUPT,
                         group_key_decode(bytes_of(longer, key.size + 1), back, 3, 0, &arena));
    }
}

static void lack_of_memory_is_an_error_code(void **state)
{
    (void)state;
    struct arena small;
    struct column columns[2];
    fill(&columns[0], COL_TEXT);
    fill(&columns[1], COL_BIGINT);
    struct bytes keys[ROWS];
    for (uint32_t count = 1; count <= 2; count++) {
        arena_init(&small, 512);
        struct batch batch = {.row_count = ROWS, .selected_count = ROWS, .arena = &small};
        assert_int_equal(ERR_NOMEM, group_key_encode_batch(&batch, columns, count, keys));
        arena_deinit(&small);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bytes_are_the_documented_ones),
        cmocka_unit_test(equal_values_equal_keys),
        cmocka_unit_test(columns_keep_apart),
        cmocka_unit_test(keys_come_back),
        cmocka_unit_test(constants_make_keys),
        cmocka_unit_test(a_kind_that_does_not_fit_is_corrupt),
        cmocka_unit_test(damaged_keys_are_refused_or_other_values),
        cmocka_unit_test(lack_of_memory_is_an_error_code),
    };
    arena_init(&arena, 0);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_deinit(&arena);
    return failed;
}
