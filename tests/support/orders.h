/* orders.h: the input that tests of failing, resetting and changing jobs share, and their tables: rows {"region":…,"amount":n,"ts":1000 + n} in a topic
 * "orders" of two partitions. A mismatch fails the running cmocka test. */
#ifndef WEIR_TESTS_ORDERS_H
#define WEIR_TESTS_ORDERS_H

#include <stdint.h>

/* Amounts first … first + count − 1; makes the topic when it is missing. */
void orders_append(const char *dir, int32_t partition, const char *region, int first, int count);
/* orders-0: 1 … 10 of "north", 55 in all; orders-1: 11 … 14 of "south", 50. */
void orders_fill(const char *dir);
/* As a table by key the topic holds these two rows; NULL: there is none. keys NULL: the regions themselves. */
void orders_assert_table(const char *dir, const char *topic, const char *const keys[2], const char *north, const char *south);

#endif
