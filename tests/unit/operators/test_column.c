/* Columns are aligned and typed, null bytes start at zero, reject lists grow and keep their text
 * valid. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "operators/column.h"

static void types_have_names_and_sizes(void **state)
{
    (void)state;
    assert_string_equal("json", col_type_name(COL_VARIANT));
    assert_string_equal("bigint", col_type_name(COL_BIGINT));
    assert_string_equal("double precision", col_type_name(COL_DOUBLE));
    for (int type = 0; type < COL_TYPE_COUNT; type++) {
        assert_true(col_type_bytes((enum col_type)type) > 0);
        for (int other = 0; other < type; other++)
            assert_string_not_equal(col_type_name((enum col_type)type),
                                    col_type_name((enum col_type)other));
    }
    assert_int_equal(16, col_type_bytes(COL_VARIANT));
    assert_int_equal(1, col_type_bytes(COL_BOOLEAN));
    assert_int_equal(8, col_type_bytes(COL_TIMESTAMPTZ));
}

static void columns_are_aligned_and_not_null(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 0);
    for (int type = 0; type < COL_TYPE_COUNT; type++)
        for (uint32_t rows = 0; rows < 100; rows += 33) {
            struct column column;
            memset(&column, 0xAA, sizeof(column));
            assert_int_equal(0, column_alloc(&column, (enum col_type)type, rows, true, &arena));
            assert_int_equal(type, column.type);
            assert_false(column.constant);
            assert_int_equal(0, (uintptr_t)column.data % 64);
            memset(column.data, 0, rows * col_type_bytes((enum col_type)type));
            for (uint32_t row = 0; row < rows; row++)
                assert_int_equal(type == COL_VARIANT, column_is_null(&column, row));
            if (column.nulls != NULL && rows > 0) {
                column.nulls[rows - 1] = 1;
                assert_true(column_is_null(&column, rows - 1));
            }
            assert_int_equal(0, column_alloc(&column, (enum col_type)type, rows, false, &arena));
            assert_null(column.nulls);
        }
    arena_deinit(&arena);
}

static void constants_stand_for_all_rows(void **state)
{
    (void)state;
    int64_t five = 5;
    uint8_t null = 1;
    struct column column = {.type = COL_BIGINT, .constant = true, .i64 = &five};
    assert_int_equal(0, column_at(&column, 4095));
    assert_false(column_is_null(&column, 4095));
    column.nulls = &null;
    assert_true(column_is_null(&column, 4095));
}

static void lack_of_memory_is_an_error_code(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 4096);
    struct column column;
    assert_int_equal(ERR_NOMEM, column_alloc(&column, COL_NUMERIC, BATCH_ROWS, true, &arena));
    struct reject_list list = {.arena = &arena};
    uint32_t added = 0;
    while (reject_add(&list, added, "class", "row %u", added) == 0)
        added++;
    assert_true(added < 1000);
    assert_int_equal(added, list.count);
    arena_deinit(&arena);
}

static void rejects_keep_their_order(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 0);
    struct reject_list list = {.arena = &arena};
    for (uint32_t i = 0; i < 1000; i++)
        assert_int_equal(
            0, reject_add(&list, i * 3, i % 2 ? "odd" : "even", "number %u of %s", i, "many"));
    assert_int_equal(1000, list.count);
    for (uint32_t i = 0; i < 1000; i++) {
        char text[64];
        snprintf(text, sizeof(text), "number %u of many", i);
        assert_int_equal(i * 3, list.items[i].row);
        assert_string_equal(i % 2 ? "odd" : "even", list.items[i].error_class);
        assert_string_equal(text, list.items[i].message);
    }
    arena_deinit(&arena);
}

/* A message that quotes a long value is cut between characters, at any of their bytes. */
static void long_messages_are_cut_between_characters(void **state)
{
    (void)state;
    static const char *const characters[] = {"x", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"};
    struct arena arena;
    arena_init(&arena, 0);
    struct reject_list list = {.arena = &arena};
    for (size_t kind = 0; kind < 4; kind++)
        for (size_t shift = 0; shift < 4; shift++) {
            char text[3000] = "....";
            size_t step = strlen(characters[kind]), size = shift;
            for (; size + step < sizeof(text); size += step)
                memcpy(text + size, characters[kind], step);
            text[size] = 0;
            assert_int_equal(0, reject_add(&list, 0, "class", "%s", text));
            const char *message = list.items[list.count - 1].message;
            size_t length = strlen(message);
            assert_true(length <= 1024 && length > 1000);
            assert_memory_equal(text, message, length);
            assert_int_equal(0, (length - shift) % step);
        }
    arena_deinit(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_have_names_and_sizes),
        cmocka_unit_test(columns_are_aligned_and_not_null),
        cmocka_unit_test(constants_stand_for_all_rows),
        cmocka_unit_test(lack_of_memory_is_an_error_code),
        cmocka_unit_test(rejects_keep_their_order),
        cmocka_unit_test(long_messages_are_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
