/* test_agg_table.c: the table against an array that is searched linearly, with random operations.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "operators/agg_table.h"

static uint64_t random_state = 88172645463325252ULL;
static uint64_t random_u64(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}
static uint32_t random_below(uint32_t bound)
{
    return (uint32_t)(random_u64() % bound);
}

static struct agg_plan *count_plan(void)
{
    const struct agg_call call = {.func = AGG_COUNT_STAR, .result_type = COL_BIGINT};
    struct agg_plan *plan;
    assert_int_equal(agg_plan_create(&call, 1, &plan, NULL), 0);
    return plan;
}

static struct agg_table *table_of(const struct agg_plan *plan)
{
    struct agg_table *table;
    assert_int_equal(agg_table_create(plan, &table), 0);
    return table;
}

/* ---- the model ---- */

struct group {
    int64_t window;
    uint8_t key[1400];
    size_t key_size;
    int64_t number; /* kept in the entry's row, to see that entries do not mix */
    struct agg_entry *entry;
    bool dirty;
};
struct model {
    struct group *groups;
    size_t count, capacity;
};

static struct group *model_find(struct model *model, int64_t window, struct bytes key)
{
    for (size_t i = 0; i < model->count; i++)
        if (model->groups[i].window == window &&
            bytes_equal(bytes_of(model->groups[i].key, model->groups[i].key_size), key))
            return &model->groups[i];
    return NULL;
}

static struct group *model_add(struct model *model, int64_t window, struct bytes key)
{
    if (model->count == model->capacity) {
        model->capacity = model->capacity * 2 + 16;
        model->groups = realloc(model->groups, model->capacity * sizeof *model->groups);
        assert_non_null(model->groups);
    }
    struct group *group = &model->groups[model->count++];
    *group = (struct group){.window = window, .key_size = key.size};
    memcpy(group->key, key.data, key.size);
    return group;
}

static struct bytes random_key(uint8_t buffer[1400])
{
    static const size_t sizes[] = {0, 1, 2, 7, 8, 9, 10, 30, 511, 512, 513, 1400};
    size_t size = sizes[random_below(random_below(10) == 0 ? 12 : 8)];
    memset(buffer, 'k', size);
    if (size > 0)
        buffer[size - 1] = (uint8_t)random_below(40);
    return bytes_of(buffer, size);
}

static int64_t random_window(void)
{
    uint32_t choice = random_below(12);
    return choice == 0 ? WINDOW_NONE : ((int64_t)choice - 6) * 300000;
}

static int64_t *number_in(struct agg_entry *entry)
{
    return agg_entry_row(entry);
}

/* Probes a batch with repetitions; new entries get a number, known ones must show theirs. */
static void probe_some(struct agg_table *table, struct model *model)
{
    enum { N = 150 };
    static uint8_t buffers[N][1400];
    struct bytes keys[N] = {0};
    int64_t windows[N] = {0};
    struct agg_entry *entries[N];
    uint32_t n = random_below(N);
    bool windowed = random_below(4) != 0;
    for (uint32_t i = 0; i < n; i++) {
        keys[i] = random_key(buffers[i]);
        windows[i] = windowed ? random_window() : WINDOW_NONE;
    }
    assert_int_equal(agg_table_probe(table, n, windowed ? windows : NULL, keys, entries), 0);
    for (uint32_t i = 0; i < n; i++) {
        struct agg_entry *entry = entries[i];
        struct group *group = model_find(model, windows[i], keys[i]);
        assert_true(bytes_equal(agg_entry_key(entry), keys[i]));
        assert_int_equal(entry->window_start_ms, windows[i]);
        if (group == NULL) {
            assert_true(entry->is_new);
            assert_false(entry->is_dirty);
            assert_int_equal(entry->changelog_offset, -1);
            assert_int_equal(*number_in(entry), 0);
            entry->is_new = 0;
            group = model_add(model, windows[i], keys[i]);
            group->entry = entry;
            group->number = *number_in(entry) = (int64_t)random_u64();
        }
        assert_false(entry->is_new);
        assert_ptr_equal(entry, group->entry);
        assert_int_equal(*number_in(entry), group->number);
        if (random_below(3) == 0) {
            assert_int_equal(agg_table_mark(table, &entry, 1), 0);
            group->dirty = true;
        }
    }
}

static void take_dirty(struct agg_table *table, struct model *model)
{
    size_t expected = 0, seen = 0;
    for (size_t i = 0; i < model->count; i++)
        expected += model->groups[i].dirty;
    struct agg_entry *taken[50];
    for (uint32_t n; (n = agg_table_take_dirty(table, taken, 1 + random_below(50))) > 0; seen += n)
        for (uint32_t i = 0; i < n; i++) {
            struct group *group =
                model_find(model, taken[i]->window_start_ms, agg_entry_key(taken[i]));
            assert_true(group != NULL && group->dirty);
            assert_false(taken[i]->is_dirty);
            group->dirty = false;
        }
    assert_int_equal(seen, expected);
}

static void remove_group(struct agg_table *table, struct model *model, size_t at)
{
    agg_table_remove(table, model->groups[at].entry);
    model->groups[at] = model->groups[--model->count];
}

/* The last ones of the model, in one call. */
static void remove_some(struct agg_table *table, struct model *model)
{
    struct agg_entry *entries[300];
    size_t count = random_below(300);
    count = count < model->count ? count : model->count;
    for (size_t i = 0; i < count; i++)
        entries[i] = model->groups[--model->count].entry;
    agg_table_remove_many(table, entries, count);
}

/* Closes the first window the way that an operator does. */
static void close_first_window(struct agg_table *table, struct model *model)
{
    int64_t start;
    if (!agg_table_first_window(table, &start))
        return;
    struct agg_entry *entry = agg_table_window(table, start);
    while (entry != NULL) {
        struct agg_entry *next = agg_entry_next_in_window(entry);
        struct group *group = model_find(model, start, agg_entry_key(entry));
        assert_non_null(group);
        remove_group(table, model, (size_t)(group - model->groups));
        entry = next;
    }
    assert_null(agg_table_window(table, start));
}

static bool count_entry(void *context, struct agg_entry *entry)
{
    (void)entry;
    return ++*(size_t *)context % 7 != 0; /* stops now and then: the walk must be resumable */
}

static size_t walk_count(struct agg_table *table)
{
    size_t cursor = 0, seen = 0, before;
    do {
        before = seen;
        agg_table_each(table, &cursor, count_entry, &seen);
    } while (seen != before && seen % 7 == 0);
    return seen;
}

static void check_against(struct agg_table *table, struct model *model)
{
    int64_t first = INT64_MAX, start;
    assert_int_equal(agg_table_count(table), model->count);
    for (size_t i = 0; i < model->count; i++) {
        struct group *group = &model->groups[i];
        assert_ptr_equal(
            agg_table_find(table, group->window, bytes_of(group->key, group->key_size)),
            group->entry);
        assert_int_equal(*number_in(group->entry), group->number);
        if (group->window != WINDOW_NONE && group->window < first)
            first = group->window;
    }
    assert_int_equal(agg_table_first_window(table, &start), first != INT64_MAX);
    if (first != INT64_MAX)
        assert_int_equal(start, first);
    for (int w = -6; w < 7; w++) {
        int64_t window = w == -6 ? WINDOW_NONE : w * 300000;
        size_t listed = 0, expected = 0;
        for (size_t i = 0; i < model->count; i++)
            expected += model->groups[i].window == window && window != WINDOW_NONE;
        for (struct agg_entry *e = agg_table_window(table, window); e != NULL;
             e = agg_entry_next_in_window(e), listed++)
            assert_int_equal(e->window_start_ms, window);
        assert_int_equal(listed, expected);
    }
    assert_int_equal(walk_count(table), model->count);
    assert_null(agg_table_find(table, 12345, bytes_text("nobody")));
}

static void random_operations_match_the_model(void **unused)
{
    (void)unused;
    struct agg_plan *plan = count_plan();
    for (int life = 0; life < 4; life++) {
        struct agg_table *table = table_of(plan);
        struct model model = {0};
        for (int step = 0; step < 250; step++) {
            uint32_t choice = random_below(10);
            if (choice < 5)
                probe_some(table, &model);
            else if (choice < 7) {
                take_dirty(table, &model); /* removed entries must not be on the dirty list */
                for (uint32_t i = random_below(100); i > 0 && model.count > 0; i--)
                    remove_group(table, &model, random_below((uint32_t)model.count));
            } else if (choice == 7) {
                take_dirty(table, &model);
                close_first_window(table, &model);
            } else if (choice == 8) {
                take_dirty(table, &model);
                if (random_below(2) == 0)
                    remove_some(table, &model);
            } else if (random_below(12) == 0) {
                agg_table_clear(table);
                model.count = 0;
            }
            if (step % 5 == 0)
                check_against(table, &model);
        }
        check_against(table, &model);
        take_dirty(table, &model);
        while (model.count > 0)
            remove_group(table, &model, random_below((uint32_t)model.count));
        check_against(table, &model);
        probe_some(table, &model);
        check_against(table, &model);
        free(model.groups);
        agg_table_destroy(table);
    }
    agg_plan_destroy(plan);
}

static void the_dirty_list_keeps_the_order_of_marking(void **unused)
{
    (void)unused;
    struct agg_plan *plan = count_plan();
    struct agg_table *table = table_of(plan);
    struct bytes keys[] = {bytes_text("a"), bytes_text("b"), bytes_text("c")};
    struct agg_entry *entries[3];
    assert_int_equal(agg_table_probe(table, 3, NULL, keys, entries), 0);
    struct agg_entry *marked[] = {entries[2], entries[0], entries[2]}, *taken[3];
    assert_int_equal(agg_table_mark(table, marked, 3), 0);
    assert_int_equal(agg_table_take_dirty(table, taken, 1), 1);
    assert_ptr_equal(taken[0], entries[2]);
    assert_int_equal(agg_table_take_dirty(table, taken, 3), 1);
    assert_ptr_equal(taken[0], entries[0]);
    assert_int_equal(agg_table_take_dirty(table, taken, 3), 0);
    assert_int_equal(agg_table_mark(table, entries, 1), 0);
    assert_int_equal(agg_table_mark(table, entries, 2), 0);
    assert_int_equal(agg_table_take_dirty(table, taken, 3), 2);
    assert_ptr_equal(taken[0], entries[0]);
    assert_ptr_equal(taken[1], entries[1]);
    agg_table_destroy(table);
    agg_plan_destroy(plan);
}

static void many_groups_in_little_memory(void **unused)
{
    (void)unused;
    enum { GROUPS = 200000, BATCH = 4096 };
    struct agg_plan *plan = count_plan();
    struct agg_table *table = table_of(plan);
    static char texts[BATCH][16];
    static struct bytes keys[BATCH];
    static int64_t windows[BATCH];
    static struct agg_entry *entries[BATCH];
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t from = 0; from < GROUPS; from += BATCH) {
            uint32_t n = GROUPS - from < BATCH ? GROUPS - from : BATCH;
            for (uint32_t i = 0; i < n; i++) {
                keys[i] = bytes_of(
                    texts[i], (size_t)snprintf(texts[i], sizeof texts[i], "user%06u", from + i));
                windows[i] = (int64_t)((from + i) % 50) * 1000;
            }
            assert_int_equal(agg_table_probe(table, n, windows, keys, entries), 0);
            for (uint32_t i = 0; i < n; i++)
                assert_int_equal(++*number_in(entries[i]), pass + 1);
        }
        assert_int_equal(agg_table_count(table), GROUPS);
    }
    assert_true(agg_table_bytes(table) <= (size_t)128 * GROUPS);
    size_t cursor = 0, seen = 0, full = agg_table_bytes(table);
    for (size_t before = 1; before != seen;) {
        before = seen;
        agg_table_each(table, &cursor, count_entry, &seen);
    }
    assert_int_equal(seen, GROUPS);
    int64_t start, expected = 0;
    while (agg_table_first_window(table, &start)) {
        assert_int_equal(start, expected);
        expected += 1000;
        for (struct agg_entry *e = agg_table_window(table, start), *next; e != NULL; e = next) {
            next = agg_entry_next_in_window(e);
            agg_table_remove(table, e);
        }
    }
    assert_int_equal(expected, 50000);
    assert_int_equal(agg_table_count(table), 0);
    assert_true(agg_table_bytes(table) < full / 4);
    agg_table_destroy(table);
    agg_plan_destroy(plan);
}

static void many_windows_leave_in_order(void **unused)
{
    (void)unused;
    enum { WINDOWS = 50000 };
    struct agg_plan *plan = count_plan();
    struct agg_table *table = table_of(plan);
    struct bytes key = bytes_text("k");
    for (int64_t i = 0; i < WINDOWS; i++) {
        int64_t start = (i * 7919 % WINDOWS - WINDOWS / 2) * 60000; /* a permutation */
        struct agg_entry *entry;
        assert_int_equal(agg_table_probe(table, 1, &start, &key, &entry), 0);
        assert_true(entry->is_new);
    }
    int64_t start;
    for (int64_t i = 0; i < WINDOWS; i++) {
        assert_true(agg_table_first_window(table, &start));
        assert_int_equal(start, (i - WINDOWS / 2) * 60000);
        agg_table_remove(table, agg_table_window(table, start));
    }
    assert_false(agg_table_first_window(table, &start));
    agg_table_destroy(table);
    agg_plan_destroy(plan);
}

/* max(text): the rows own memory, which the table must see and free. */
static void text_accumulators_are_counted_and_freed(void **unused)
{
    (void)unused;
    enum { GROUPS = 2000, TEXT = 100 };
    const struct agg_call call = {
        .func = AGG_MAX, .argument_type = COL_TEXT, .result_type = COL_TEXT};
    struct agg_plan *plan;
    assert_int_equal(agg_plan_create(&call, 1, &plan, NULL), 0);
    struct agg_table *table = table_of(plan);
    struct arena arena;
    arena_init(&arena, 0);
    static uint32_t numbers[GROUPS];
    static struct bytes keys[GROUPS];
    static struct agg_entry *entries[GROUPS];
    static void *rows[GROUPS];
    char text[TEXT];
    memset(text, 'x', sizeof text);
    for (uint32_t i = 0; i < GROUPS; i++) {
        numbers[i] = i;
        keys[i] = bytes_of(&numbers[i], sizeof numbers[i]);
    }
    assert_int_equal(agg_table_probe(table, GROUPS, NULL, keys, entries), 0);
    size_t before = agg_table_bytes(table);
    struct column argument, none = {0};
    assert_int_equal(column_alloc(&argument, COL_TEXT, 1, false, &arena), 0);
    argument.constant = true;
    argument.text[0] = bytes_of(text, sizeof text);
    for (uint32_t i = 0; i < GROUPS; i++)
        rows[i] = agg_entry_row(entries[i]);
    struct batch batch = {.row_count = GROUPS, .selected_count = GROUPS, .arena = &arena};
    assert_int_equal(agg_update(plan, &batch, &argument, &none, rows), 0);
    size_t after = agg_table_bytes(table);
    assert_true(after - before >= (size_t)GROUPS * TEXT);
    assert_true(after - before <= (size_t)GROUPS * (TEXT + 40));
    for (uint32_t i = 0; i < GROUPS; i += 2)
        agg_table_remove(table, entries[i]);
    size_t half = agg_table_bytes(table);
    assert_true(half < after - (size_t)GROUPS / 2 * TEXT);
    agg_table_clear(table);
    assert_int_equal(agg_table_count(table), 0);
    assert_true(agg_table_bytes(table) < before);
    assert_int_equal(agg_table_probe(table, GROUPS, NULL, keys, entries), 0);
    assert_true(entries[7]->is_new);
    arena_deinit(&arena);
    agg_table_destroy(table); /* LeakSanitizer sees what is left */
    agg_plan_destroy(plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations_match_the_model),
        cmocka_unit_test(the_dirty_list_keeps_the_order_of_marking),
        cmocka_unit_test(many_groups_in_little_memory),
        cmocka_unit_test(many_windows_leave_in_order),
        cmocka_unit_test(text_accumulators_are_counted_and_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
