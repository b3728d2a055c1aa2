/* orders.c: see the header. */
#include "tests/support/orders.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "tests/support/pairs.h"
#include "tests/support/topic_rows.h"

void orders_append(const char *dir, int32_t partition, const char *region, int first, int count)
{
    const struct bytes none = {NULL, 0};
    struct sender *sender;
    struct log *log = topic_log_open(dir);
    if (topic_describe(log, "orders", NULL, NULL) == ERR_NOT_FOUND)
        assert_int_equal(topic_create(log, "orders", 2, NULL, 0, NULL), 0);
    assert_int_equal(sender_open(log, "orders", NULL, &sender, NULL), 0);
    for (int i = first; i < first + count; i++) {
        char value[128];
        int size = snprintf(value, sizeof value, "{\"region\":\"%s\",\"amount\":%d,\"ts\":%d}",
                            region, i, 1000 + i);
        assert_int_equal(sender_send(sender, partition, 2000, none, bytes_of(value, (size_t)size),
                                     none, 0, NULL),
                         0);
    }
    assert_int_equal(sender_flush(sender, true, NULL), 0);
    sender_close(sender);
    log_close(log);
}

void orders_fill(const char *dir)
{
    orders_append(dir, 0, "north", 1, 10);
    orders_append(dir, 1, "south", 11, 4);
}

void orders_assert_table(const char *dir, const char *topic, const char *const keys[2],
                         const char *north, const char *south)
{
    static const char *const regions[] = {"north", "south"};
    struct pairs expected, actual;
    struct topic_rows rows;
    struct log *log = topic_log_open(dir);
    pairs_init(&expected);
    pairs_init(&actual);
    topic_rows_init(&rows);
    topic_rows_read(log, topic, READ_COMMITTED, &rows);
    topic_rows_latest(&rows);
    pairs_add_rows(&actual, &rows);
    if (north != NULL)
        pairs_add_text(&expected, (keys != NULL ? keys : regions)[0], north);
    if (south != NULL)
        pairs_add_text(&expected, (keys != NULL ? keys : regions)[1], south);
    assert_true(pairs_same(topic, &expected, &actual));
    topic_rows_deinit(&rows);
    pairs_deinit(&expected);
    pairs_deinit(&actual);
    log_close(log);
}
