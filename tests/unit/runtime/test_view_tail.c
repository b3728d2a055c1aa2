/* test_view_tail.c: a changelog's tail against a plain list that is searched from its end, with runs that were taken on the way: those go on being what they were. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/view_tail.h"

enum { CHANGES = 4000, KEYS = 97, TAKEN = 16 };

struct change {
    char key[8];
    int32_t value; /* −1: it went */
};
static struct change changes[CHANGES];

static void draw_changes(void)
{
    uint32_t seed = 7;
    for (int i = 0; i < CHANGES; i++) {
        seed = seed * 1664525 + 1013904223;
        snprintf(changes[i].key, sizeof changes[i].key, "k%u", (seed >> 8) % KEYS);
        changes[i].value = (seed >> 20) % 5 == 0 ? -1 : i;
    }
}

/* The last change of the key in [from, end); NULL: there is none. */
static const struct change *last_of(const char *key, int from, int end)
{
    for (int i = end; i-- > from;)
        if (strcmp(changes[i].key, key) == 0)
            return &changes[i];
    return NULL;
}

static void check_entry(const struct tail_entry *entry, const struct change *change)
{
    assert_int_equal(entry->offset, change - changes);
    if (change->value < 0) {
        assert_null(entry->value.data);
        return;
    }
    assert_int_equal(entry->value.size, sizeof change->value);
    assert_memory_equal(entry->value.data, &change->value, sizeof change->value);
}

/* What is below stored may be there or not; everything else is, and nothing from end on. */
static void check_runs(const struct tail_runs *runs, int stored, int end)
{
    size_t expected = 0, walked = 0;
    struct bytes before = {NULL, 0};
    struct tail_walk walk;
    for (int k = 0; k < KEYS; k++) {
        char key[8];
        snprintf(key, sizeof key, "k%d", k);
        const struct tail_entry *entry = tail_runs_find(runs, bytes_text(key));
        const struct change *change = last_of(key, stored, end);
        if (change != NULL)
            check_entry(entry, change);
        else if (entry != NULL)
            check_entry(entry, last_of(key, 0, end));
        expected += entry != NULL;
    }
    for (tail_walk_begin(&walk, runs, bytes_of("", 0)); walk.entry != NULL; tail_walk_next(&walk)) {
        assert_true(before.data == NULL || bytes_compare(before, walk.entry->key) < 0);
        assert_ptr_equal(tail_runs_find(runs, walk.entry->key), walk.entry);
        before = walk.entry->key;
        walked++;
    }
    assert_int_equal(walked, expected);
}

static void hold(struct view_tail *tail, int i)
{
    struct bytes value = {NULL, 0};
    if (changes[i].value >= 0)
        value = bytes_of(&changes[i].value, sizeof changes[i].value);
    assert_int_equal(view_tail_hold(tail, bytes_text(changes[i].key), value, i), 0);
}

static void test_against_a_list(void **unused)
{
    (void)unused;
    struct view_tail tail = {.held = NULL};
    struct {
        struct tail_runs runs;
        int stored, end;
    } taken[TAKEN];
    int count = 0, end = 0, stored = 0, number = 0;
    uint32_t seed = 3;
    draw_changes();
    for (int i = 0; i < CHANGES; i++) {
        hold(&tail, i);
        seed = seed * 1664525 + 1013904223;
        if ((seed >> 16) % 9 != 0)
            continue;
        end = i + 1 - (int)((seed >> 24) % 3 < 1 ? 0 : (i - end) / 3); /* some stay held */
        if ((seed >> 12) % 20 == 0)
            stored = end - (int)((seed >> 4) % 50);
        stored = stored < 0 ? 0 : stored;
        assert_int_equal(view_tail_settle(&tail, end, stored, (seed >> 9) % 30 == 0), 0);
        struct tail_runs runs;
        tail_runs_take(&tail, &runs);
        check_runs(&runs, stored, end);
        assert_true(runs.count < 14);
        if (++number % 20 == 0 && count < TAKEN) {
            taken[count].runs = runs;
            taken[count].stored = stored;
            taken[count++].end = end;
        } else {
            tail_runs_give_back(&runs);
        }
    }
    assert_int_equal(count, TAKEN);
    for (int i = 0; i < count; i++) {
        check_runs(&taken[i].runs, taken[i].stored, taken[i].end);
        tail_runs_give_back(&taken[i].runs);
    }
    assert_int_equal(view_tail_settle(&tail, CHANGES, CHANGES, true), 0); /* the store has it all */
    assert_int_equal(tail.runs.count, 0);
    view_tail_deinit(&tail);
}

/* Many changes of few keys take the memory of few. */
static void test_memory_is_that_of_keys(void **unused)
{
    (void)unused;
    struct view_tail tail = {.held = NULL};
    size_t most = 0;
    draw_changes();
    for (int64_t i = 0; i < 200000; i++) {
        assert_int_equal(view_tail_hold(&tail, bytes_text(changes[i % CHANGES].key),
                                        bytes_of("1234567890", 10), i),
                         0);
        if (i % 500 == 0)
            assert_int_equal(view_tail_settle(&tail, i, 0, false), 0);
        most = view_tail_bytes(&tail) > most ? view_tail_bytes(&tail) : most;
    }
    assert_true(most < (size_t)1 << 20);
    view_tail_deinit(&tail);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_a_list),
                                       cmocka_unit_test(test_memory_is_that_of_keys)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
