/* test_memory.c: the parts of the budget never add up to more than the budget and what is granted beside it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runtime/memory.h"

#define MIB ((size_t)1 << 20)

static void test_one_table(void **state)
{
    (void)state;
    struct memory memory;
    size_t said = 0;
    memory_init(&memory, 256 * MIB, 1, 1, 1, 0);
    assert_int_equal(memory_table_budget(&memory, 0), 128 * MIB);
    assert_int_equal(memory_table_most(&memory, 0), 144 * MIB);
    assert_int_equal(memory_checkpoint_bytes(&memory), 192 * MIB);
    memory_table_holds(&memory, &said, 100 * MIB);
    assert_int_equal(memory_checkpoint_bytes(&memory), 92 * MIB);
    memory_table_holds(&memory, &said, 128 * MIB);
    assert_int_equal(said, 128 * MIB);
    /* What a table holds itself is not taken from it. */
    assert_int_equal(memory_table_budget(&memory, said), 128 * MIB);
    assert_int_equal(memory_checkpoint_bytes(&memory), 64 * MIB);
    /* A table that is over does not take what a checkpoint needs to relieve it. */
    memory_table_holds(&memory, &said, 192 * MIB);
    assert_int_equal(memory_checkpoint_bytes(&memory), 64 * MIB);
    memory_table_holds(&memory, &said, 0);
    assert_int_equal(memory_checkpoint_bytes(&memory), 192 * MIB);
}

/* Sixteen partitions: a busy one may have what the others leave, and when all are busy they come to
 * what one would have. */
static void test_tables_share(void **state)
{
    (void)state;
    enum { TABLES = 16 };
    struct memory memory;
    size_t said[TABLES] = {0}, sum = 0;
    memory_init(&memory, 256 * MIB, 2, 1, TABLES, TABLES);
    assert_int_equal(memory.tables_bytes, 96 * MIB);
    assert_int_equal(memory_table_budget(&memory, 0), 96 * MIB);
    memory_table_holds(&memory, &said[0], 90 * MIB);
    assert_int_equal(memory_table_budget(&memory, said[0]), 96 * MIB);
    assert_int_equal(memory_table_budget(&memory, said[1]), 6 * MIB);
    /* The others take their shares, and the first must give way. */
    for (int i = 1; i < TABLES; i++)
        memory_table_holds(&memory, &said[i], 6 * MIB);
    assert_int_equal(memory_table_budget(&memory, said[0]), 6 * MIB);
    for (int i = 0; i < TABLES; i++) {
        memory_table_holds(&memory, &said[i], memory_table_budget(&memory, said[i]));
        sum += said[i];
    }
    assert_int_equal(sum, memory.tables_bytes);
    assert_int_equal(memory.tables_held_bytes, sum);
}

/* Everything at its most at the same time stays within the budget, until there are so many tasks that
 * the least that each must have comes to more. */
static void test_sum(void **state)
{
    (void)state;
    for (uint32_t stores = 1; stores <= 64; stores *= 4)
        for (uint32_t preaggregating = 0; preaggregating <= stores; preaggregating += stores) {
            struct memory memory;
            size_t said = 0;
            memory_init(&memory, 256 * MIB, 4, 1, stores, preaggregating);
            memory_table_holds(&memory, &said, memory.tables_most_bytes);
            size_t sum = said + memory.partials_bytes * preaggregating + memory.pending_bytes * 4 +
                         memory_checkpoint_bytes(&memory) + memory_dirty_bytes(256 * MIB);
            assert_true(sum <= (stores <= 16 ? 256 : 288) * MIB);
        }
    /* Buffers of tasks count, and a quarter is left whatever they take. */
    struct memory many;
    memory_init(&many, 256 * MIB, 2, 32, 16, 16);
    assert_int_equal(many.budget_bytes, (256 - 26 * 5) * MIB);
    memory_init(&many, 64 * MIB, 2, 32, 16, 16);
    assert_int_equal(many.budget_bytes, 16 * MIB);
    assert_int_equal(memory_restore_bytes(256 * MIB, 4), 32 * MIB);
    assert_true(memory_restore_bytes(1, 4) >= MIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_one_table),
                                       cmocka_unit_test(test_tables_share),
                                       cmocka_unit_test(test_sum)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
