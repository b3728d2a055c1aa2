/* test_pair_index.c: pairs in the order of their keys, against an array that says which are there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "operators/pair_index.h"
#include "tests/support/draw.h"

enum { KEYS = 300 };

static struct agg_plan *net_plan(struct agg_list **list)
{
    static const char *const names[] = {"x"};
    static const enum col_type types[] = {COL_BIGINT};
    struct named_columns columns = {names, types, 1};
    static const struct named_columns none = {0};
    struct scope scope = named_columns_scope(&columns);
    struct agg_plan *plan;
    assert_int_equal(expr_parse_aggregates("min(x) AS a", &scope, &none, false, list, NULL), 0);
    assert_int_equal(agg_plan_create_net((*list)->calls, 1, &plan, NULL), 0);
    return plan;
}

/* Against an array of marks: keys are two bytes, so that their order is that of their numbers. */
static void the_index_finds_what_is_next(void **state)
{
    (void)state;
    struct agg_list *list;
    struct agg_plan *plan = net_plan(&list);
    struct agg_table *table;
    struct pair_index *index;
    struct agg_entry *entries[KEYS] = {NULL};
    seed = 7;
    assert_int_equal(agg_table_create(plan, &table), 0);
    assert_int_equal(pair_index_create(&index), 0);
    size_t empty_bytes = pair_index_bytes(index);
    for (int turn = 0; turn < 5000; turn++) {
        uint32_t n = draw(KEYS), wanted = n;
        uint8_t text[2] = {(uint8_t)(n >> 8), (uint8_t)n};
        struct bytes key = bytes_of(text, 2);
        while (wanted < KEYS && entries[wanted] == NULL)
            wanted++;
        const struct pair_node *node = pair_index_seek(index, key);
        assert_ptr_equal(node != NULL ? pair_node_entry(node) : NULL,
                         wanted < KEYS ? entries[wanted] : NULL);
        if (entries[n] != NULL) {
            pair_index_remove(index, entries[n]);
            agg_table_remove(table, entries[n]);
            entries[n] = NULL;
        } else {
            assert_int_equal(agg_table_probe_pairs(table, 1, NULL, &key, &entries[n]), 0);
            assert_int_equal(pair_index_insert(index, entries[n]), 0);
        }
    }
    const struct pair_node *node = pair_index_seek(index, bytes_of("", 0));
    for (uint32_t i = 0; i < KEYS; i++) {
        if (entries[i] == NULL)
            continue;
        assert_ptr_equal(pair_node_entry(node), entries[i]);
        node = pair_node_next(node);
        pair_index_remove(index, entries[i]);
        entries[i] = NULL;
    }
    assert_null(node);
    assert_int_equal(pair_index_bytes(index), empty_bytes);
    pair_index_destroy(index);
    agg_table_destroy(table);
    agg_plan_destroy(plan);
    agg_list_destroy(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_index_finds_what_is_next)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
