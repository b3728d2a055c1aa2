/* folded_rows.c: see folded_rows.h. Rows are few, so that they are looked for one by one. */
#include "tests/support/folded_rows.h"
#include "tests/support/drawn_kills.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

void folded_rows_add(struct folded_rows *rows, const char *key, const char *value)
{
    assert_in_range(rows->count, 0, FOLDED_ROWS_MAX - 1);
    struct folded_row *row = &rows->items[rows->count++];
    row->timestamp_ms = 0;
    snprintf(row->key, sizeof row->key, "%s", key);
    snprintf(row->value, sizeof row->value, "%s", value);
}

static int compare_rows(const void *a, const void *b)
{
    return strcmp(((const struct folded_row *)a)->key, ((const struct folded_row *)b)->key);
}

void folded_rows_read(weir_test *test, const char *topic, struct folded_rows *rows)
{
    weir_record *records;
    size_t count;
    ok(test, weir_test_rewind(test, topic));
    ok(test, weir_test_read(test, topic, &records, &count));
    for (size_t i = 0; i < count; i++) {
        char key[64], value[256];
        size_t at = 0;
        snprintf(key, sizeof key, "%.*s", (int)records[i].key_size, (const char *)records[i].key);
        while (at < rows->count && strcmp(rows->items[at].key, key) != 0)
            at++;
        if (at < rows->count)
            rows->items[at] = rows->items[--rows->count];
        if (records[i].value == NULL)
            continue;
        snprintf(value, sizeof value, "%.*s", (int)records[i].value_size,
                 (const char *)records[i].value);
        folded_rows_add(rows, key, value);
        rows->items[rows->count - 1].timestamp_ms = records[i].timestamp_ms;
    }
    weir_free(records);
}

void folded_rows_check(weir_test *test, const char *topic, struct folded_rows *wanted)
{
    struct folded_rows came = {.count = 0};
    folded_rows_read(test, topic, &came);
    qsort(came.items, came.count, sizeof *came.items, compare_rows);
    qsort(wanted->items, wanted->count, sizeof *wanted->items, compare_rows);
    for (size_t i = 0; i < wanted->count && i < came.count; i++) {
        assert_string_equal(came.items[i].key, wanted->items[i].key);
        assert_string_equal(came.items[i].value, wanted->items[i].value);
        if (wanted->items[i].timestamp_ms != 0)
            assert_int_equal(came.items[i].timestamp_ms, wanted->items[i].timestamp_ms);
    }
    assert_int_equal(came.count, wanted->count);
}
