/* function.h: operators that call a function of the user's, row by row: filter_fn, map_fn, flat_map_fn, peek.
 *
 * The function gets the values of a select list; invoke is the runtime's adapter to what weir.h calls that function. Its verdict on a
 * row may depend on those values alone. Shared by tasks, and so by threads. */
#ifndef WEIR_OPERATORS_FUNCTION_H
#define WEIR_OPERATORS_FUNCTION_H

#include "operators/column_list.h"
#include "operators/op.h"
#include "operators/value.h"

enum { FUNCTION_MESSAGE_BYTES = 512, FUNCTION_ROWS_MAX = 65536, FUNCTION_VALUE_BYTES_MAX = 16 << 20 };

struct function_call;
struct function_params {
    struct expr_list *arguments;
    const char *name;                 /* for messages */
    struct column_list *results;      /* map_fn, flat_map_fn */
    /* filter_fn: 1 keeps, 0 drops; the others: 0. Negative: the row is a dead letter. results (map_fn) are NULLs before the call. */
    int (*invoke)(const struct function_params *params, struct function_call *call, const struct value *values, struct value *results);
    void *function_and_context;       /* the adapter's */
};

/* What belongs to the call for one row; the function leaves a message here, and gives rows (flat_map_fn). */
struct function_call {
    struct op_call *op;
    const struct function_params *params;
    int64_t event_time_ms;            /* INT64_MIN: none */
    bool has_failed;                  /* what was given did not fit: the row is rejected whatever the function returns */
    bool is_out_of_memory;
    char message[FUNCTION_MESSAGE_BYTES];
    struct column *given;             /* flat_map_fn: the rows of this call so far */
    uint32_t given_count, given_capacity;
    struct buf *out;                  /* a format's encode: what it writes; NULL elsewhere */
};
void function_fail(struct function_call *call, const char *message);
/* flat_map_fn: one more row; values in the order of the declared columns. ERR_INVALID: it does not fit, and the input row will be rejected. */
int function_give(struct function_call *call, const struct value *values);

/* A format's encode: appends to the record's value. ERR_INVALID: elsewhere, or over 16 MiB; the row will be rejected. */
int function_write(struct function_call *call, const void *data, size_t size);

/* The arguments of a batch. Rows whose arguments cannot be computed are rejected and leave out's selection (out = in otherwise). */
struct function_arguments {
    struct column *columns;
    struct value *values;             /* of one row */
};
int function_arguments_eval(const struct function_params *params, struct op_call *op, const struct batch *in, struct batch *out,
                            struct function_arguments *arguments);
/* Calls the function for a row. Its answer; ERR_NOMEM; or ERR_INVALID, and the row was rejected. */
int function_invoke(struct function_call *call, const struct function_arguments *arguments, const struct batch *in, uint32_t row,
                    struct value *results);
/* Rejects the row with call->message. ERR_INVALID or ERR_NOMEM. */
int function_reject(struct function_call *call, uint32_t row);
int function_columns_alloc(const struct column_list *list, uint32_t rows, struct arena *arena, struct column **columns);

#endif
