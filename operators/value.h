/* value.h: one value by itself, as it crosses to a function that the user wrote.
 *
 * Columns hold a batch's values as plain arrays; a C function sees one row at a time. weir.h has the same struct under the name
 * weir_value (runtime/ holds the two together with static asserts), so that this folder need not know it. Numerics and JSON cross as
 * exact text, everything else by value. */
#ifndef WEIR_OPERATORS_VALUE_H
#define WEIR_OPERATORS_VALUE_H

#include "operators/column.h"

enum value_type {
    VALUE_NULL = 0,
    VALUE_BOOLEAN,
    VALUE_BIGINT,
    VALUE_DOUBLE,
    VALUE_NUMERIC,     /* text: decimal digits, exact */
    VALUE_TEXT,        /* text: UTF-8 */
    VALUE_TIMESTAMP,   /* i64: epoch milliseconds */
    VALUE_INTERVAL,    /* i64: milliseconds */
    VALUE_JSON,        /* text: an object or array as it came */
    VALUE_BYTEA,       /* text: any bytes */
    VALUE_TYPE_COUNT
};
struct value {
    enum value_type type;
    union {
        bool boolean;
        int64_t i64;
        double f64;
        struct {
            const char *data;
            size_t size;
        } text;
    };
};
const char *value_type_name(enum value_type type);

/* The value in a column at a physical row. Text borrows from the column, or from the arena. ERR_NOMEM. */
int value_get(const struct column *column, uint32_t row, struct arena *arena, struct value *value);
/* Puts a value into a column that has room for it, and nulls unless it holds JSON; text is copied into the arena. The type must be the
 * column's; a bigint may also go into a numeric or double column, a text into one of bytes, and a column of JSON takes anything but an interval (times as
 * ISO 8601 text, bytes as \x and hexadecimal digits). 0, ERR_NOMEM, or ERR_INVALID with a sentence in *problem (constant or arena text); the row is NULL then. */
int value_put(const struct value *value, struct column *column, uint32_t row, struct arena *arena, const char **problem);

#endif
