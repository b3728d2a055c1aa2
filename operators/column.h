/* column.h: columns, batches, and what may be done to the rows of one batch.
 *
 * A batch is up to BATCH_ROWS rows as plain arrays. Operators read the selected rows only. A filter shares the columns of its
 * input and writes a new selection; nobody changes a column that another batch shares. All memory is the batch arena's
 * or borrowed for at least as long; copying into state is the only way out. One thread owns a batch. */
#ifndef WEIR_OPERATORS_COLUMN_H
#define WEIR_OPERATORS_COLUMN_H

#include "operators/numeric.h"
#include "runtime/base/arena.h"
#include "runtime/base/bytes.h"

enum { BATCH_ROWS = 4096 };

enum col_type {
    COL_VARIANT = 0,   /* an uncast JSON value: each row has its own type; struct variant */
    COL_BOOLEAN,       /* uint8_t 0/1 */
    COL_BIGINT,        /* int64_t; smallint and integer too, range-checked by their casts */
    COL_DOUBLE,        /* double */
    COL_NUMERIC,       /* struct numeric */
    COL_TEXT,          /* struct bytes, valid UTF-8 */
    COL_TIMESTAMPTZ,   /* int64_t epoch milliseconds */
    COL_INTERVAL,      /* int64_t milliseconds (months are not supported) */
    COL_BYTEA,         /* struct bytes, any */
    COL_TYPE_COUNT
};
const char *col_type_name(enum col_type type);   /* "bigint", …; "json" for COL_VARIANT */

/* An uncast JSON value. Numbers keep their raw token until somebody needs them. */
enum variant_kind {
    VARIANT_NULL = 0,  /* JSON null or a missing field */
    VARIANT_FALSE, VARIANT_TRUE,
    VARIANT_INT,       /* integer token that fits int64: i64 */
    VARIANT_NUMBER,    /* any other number: raw token in data/size */
    VARIANT_TEXT,      /* unescaped UTF-8 in data/size */
    VARIANT_JSON,      /* object or array: raw JSON in data/size */
};
struct variant {
    union {
        int64_t i64;
        const uint8_t *data;
    };
    uint32_t size;
    uint8_t kind;      /* enum variant_kind */
};

struct column {
    enum col_type type;
    bool constant;             /* one value (index 0) stands for all rows */
    uint8_t *nulls;            /* one byte a row, 1 = NULL; NULL = none is. Variants carry their null in kind: nulls is NULL */
    union {
        void *data;
        uint8_t *boolean;
        int64_t *i64;          /* bigint, timestamptz, interval */
        double *f64;
        struct numeric *numeric;
        struct bytes *text;
        struct variant *variant;
    };
};
size_t col_type_bytes(enum col_type type);       /* of one value */
static inline uint32_t column_at(const struct column *column, uint32_t row) { return column->constant ? 0 : row; }
static inline bool column_is_null(const struct column *c, uint32_t row)
{
    row = column_at(c, row);
    return c->type == COL_VARIANT ? c->variant[row].kind == VARIANT_NULL : c->nulls != NULL && c->nulls[row];
}
/* Takes room for rows values (and nulls when with_nulls, zeroed) from the arena. ERR_NOMEM. */
int column_alloc(struct column *column, enum col_type type, uint32_t rows, bool with_nulls, struct arena *arena);

/* Where a row came from; kept for rows that were decoded from a topic. Borrowed from the fetched batch. */
struct source_row {
    int64_t offset, timestamp_ms;
    struct bytes key, value;
    struct bytes headers;
    int32_t header_count;
};

/* Where a row came from that an operator made of another one (unnest, flat_map_fn): the row of the task's input, and the how-manieth of it.
 * outer: the input row was made in the same way; arena memory. */
struct row_origin {
    uint32_t row;
    uint32_t element;
    const struct row_origin *outer;
};

/* What became of a row that did not pass: the runtime turns these into dead letters. */
struct reject {
    uint32_t row;
    const char *error_class;   /* constant or arena text: "json_malformed", "cast_failed", "division_by_zero", … */
    const char *message;       /* arena text */
    const char *element;       /* of a made row: its place, "2" or "2.0"; NULL: the row is one of the input */
    uint32_t step;             /* 1 + the operator of its chain that refused it, set by the chain; 0: what came before them did */
};
struct reject_list {
    struct reject *items;      /* arena memory */
    uint32_t count, capacity;
    struct arena *arena;
};
/* printf into the arena. ERR_NOMEM. */
int reject_add(struct reject_list *list, uint32_t row, const char *error_class, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

struct table_changes;
struct batch {
    uint32_t row_count;                /* physical rows */
    const uint16_t *selection;         /* rows that count, ascending; NULL: all */
    uint32_t selected_count;           /* = row_count when selection is NULL */
    struct column *columns;
    uint32_t column_count;
    const int64_t *event_time_ms;      /* per physical row; NULL when rows have none */
    const int64_t *watermark_ms;       /* of the row's source partition at its place; NULL: rows are never late */
    bool is_gone;                      /* results: keys of rows that no longer stand */
    const struct source_row *source;   /* per row of the task's input (batch_source); NULL when rows have none */
    const struct row_origin *made_from; /* per physical row of made rows; NULL: rows are those of the input */
    const int8_t *weights;             /* per physical row: 1 it came, −1 it no longer stands (op_latest.c); NULL: all came */
    bool is_table;                     /* rows of a table: those of source without a value take rows away, so that a batch goes on when none of its rows is left */
    const struct table_changes *changes; /* behind the operator keyed of such rows (join.h) */
    uint64_t origin;                   /* which partition of which input the rows are from: with source[].offset the place of a row, the same in every run */
    struct arena *arena;
};
/* The i-th selected row's physical index. */
static inline uint32_t batch_row(const struct batch *batch, uint32_t i) { return batch->selection ? batch->selection[i] : i; }
/* The record that a physical row came from; batch->source is not NULL. */
static inline const struct source_row *batch_source(const struct batch *batch, uint32_t row)
{
    return &batch->source[batch->made_from ? batch->made_from[row].row : row];
}
/* The rows of `in` that are named in rows[0 … count), one after the other; a constant stays one. ERR_NOMEM. */
int column_gather(const struct column *in, const uint32_t *rows, uint32_t count, struct arena *arena, struct column *out);

#endif
