/* folded_rows.h: the topic of an upsert table as what stands in it: the last record of each key, of those that have a value. */
#ifndef WEIR_TESTS_FOLDED_ROWS_H
#define WEIR_TESTS_FOLDED_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/weir.h"

enum { FOLDED_ROWS_MAX = 64 };
struct folded_rows {
    struct folded_row {
        char key[64], value[256];
        int64_t timestamp_ms; /* 0: of no interest */
    } items[FOLDED_ROWS_MAX];
    size_t count;
};

void folded_rows_add(struct folded_rows *rows, const char *key, const char *value);
/* Adds what the topic holds as of now. Records of one key lie in one partition. The test fails with the driver's error. */
void folded_rows_read(weir_test *test, const char *topic, struct folded_rows *rows);
/* Fails unless the topic holds these rows, in any order; sorts them. */
void folded_rows_check(weir_test *test, const char *topic, struct folded_rows *wanted);

#endif
