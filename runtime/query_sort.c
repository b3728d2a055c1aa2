/* query_sort.c: ORDER BY (see query_sort.h).
 *
 * A row is one block: its number, a byte a column that says NULL, and the columns' values as columns hold them; texts are
 * copied behind it. Rows of equal keys stay in the order in which they came, which is that of the view's keys. With a LIMIT
 * the rows that cannot be among the first are thrown away whenever there are twice as many as are asked for, so that the
 * memory is that of the answer and not of the view. */
#include "runtime/query_sort.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS_FIRST = 256, ROWS_SPARE = 1024 };

struct sort_row {
    uint64_t number;
    uint8_t data[] __attribute__((aligned(16)));
};

struct query_sort {
    const enum col_type *types;
    uint32_t column_count;
    const struct sort_key *keys;
    uint32_t key_count;
    int64_t keep;
    size_t *offsets; /* of values; before the first one are the bytes that say NULL */
    size_t row_bytes;
    struct arena arena;
    struct sort_row **rows;
    size_t count, capacity, next;
    uint64_t number;
    bool is_sorted;
};

int query_sort_create(const enum col_type *types, uint32_t column_count,
                      const struct sort_key *keys, uint32_t key_count, int64_t keep,
                      struct query_sort **result)
{
    struct query_sort *sort = calloc(1, sizeof *sort);
    *result = NULL;
    if (sort == NULL || (sort->offsets = calloc(column_count + 1, sizeof(size_t))) == NULL) {
        free(sort);
        return ERR_NOMEM;
    }
    sort->types = types;
    sort->column_count = column_count;
    sort->keys = keys;
    sort->key_count = key_count;
    sort->keep = keep;
    sort->row_bytes = column_count;
    for (uint32_t i = 0; i < column_count; i++) {
        sort->offsets[i] = (sort->row_bytes + 15) & ~(size_t)15;
        sort->row_bytes = sort->offsets[i] + col_type_bytes(types[i]);
    }
    arena_init(&sort->arena, 0);
    *result = sort;
    return 0;
}

void query_sort_destroy(struct query_sort *sort)
{
    if (sort == NULL)
        return;
    arena_deinit(&sort->arena);
    free(sort->rows);
    free(sort->offsets);
    free(sort);
}

size_t query_sort_bytes(const struct query_sort *sort)
{
    return sort->arena.held_bytes + sort->capacity * sizeof *sort->rows;
}

/* ---- order ---- */

static int double_order(double a, double b)
{
    if (isnan(a) || isnan(b))
        return (isnan(a) != 0) - (isnan(b) != 0);
    return (a > b) - (a < b);
}

static int variant_rank(const struct variant *v)
{
    switch ((enum variant_kind)v->kind) {
    case VARIANT_NULL:
        return 0;
    case VARIANT_FALSE:
        return 1;
    case VARIANT_TRUE:
        return 2;
    case VARIANT_INT:
    case VARIANT_NUMBER:
        return 3;
    case VARIANT_TEXT:
        return 4;
    case VARIANT_JSON:
        return 5;
    }
    return 6;
}

static bool variant_number(const struct variant *v, struct numeric *number)
{
    if (v->kind == VARIANT_INT) {
        *number = numeric_from_i64(v->i64);
        return true;
    }
    return numeric_parse(bytes_of(v->data, v->size), number) == 0;
}

static int variant_order(const struct variant *a, const struct variant *b)
{
    int rank = variant_rank(a);
    struct numeric x, y;
    if (rank != variant_rank(b))
        return rank - variant_rank(b);
    if (rank < 3)
        return 0;
    if (rank > 3)
        return bytes_compare(bytes_of(a->data, a->size), bytes_of(b->data, b->size));
    bool a_fits = variant_number(a, &x), b_fits = variant_number(b, &y);
    return a_fits && b_fits ? numeric_compare(x, y) : (int)b_fits - (int)a_fits;
}

int query_sort_compare(enum col_type type, const void *a, const void *b)
{
    switch (type) {
    case COL_BOOLEAN:
        return (int)*(const uint8_t *)a - (int)*(const uint8_t *)b;
    case COL_BIGINT:
    case COL_TIMESTAMPTZ:
    case COL_INTERVAL: {
        int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
        return (x > y) - (x < y);
    }
    case COL_DOUBLE:
        return double_order(*(const double *)a, *(const double *)b);
    case COL_NUMERIC:
        return numeric_compare(*(const struct numeric *)a, *(const struct numeric *)b);
    case COL_TEXT:
    case COL_BYTEA:
        return bytes_compare(*(const struct bytes *)a, *(const struct bytes *)b);
    case COL_VARIANT:
        return variant_order(a, b);
    case COL_TYPE_COUNT:
        break;
    }
    must(false && "a type of column");
}

static int compare_rows(const void *a, const void *b, void *context)
{
    const struct query_sort *sort = context;
    const struct sort_row *x = *(struct sort_row *const *)a, *y = *(struct sort_row *const *)b;
    for (uint32_t k = 0; k < sort->key_count; k++) {
        const struct sort_key *key = &sort->keys[k];
        uint32_t c = key->column;
        if (x->data[c] || y->data[c]) {
            if (x->data[c] == y->data[c])
                continue;
            return (x->data[c] != 0) == key->nulls_first ? -1 : 1;
        }
        int order = query_sort_compare(sort->types[c], x->data + sort->offsets[c],
                                       y->data + sort->offsets[c]);
        if (order != 0)
            return key->is_descending ? -order : order;
    }
    return (x->number > y->number) - (x->number < y->number);
}

/* ---- rows ---- */

static bool keep_text(struct arena *arena, const uint8_t **data, size_t size)
{
    struct bytes copy = arena_copy(arena, bytes_of(*data, size));
    *data = copy.data;
    return copy.data != NULL;
}

/* Values that point elsewhere get what they point at. */
static bool keep_value(struct arena *arena, enum col_type type, void *value)
{
    if (type == COL_TEXT || type == COL_BYTEA) {
        struct bytes *text = value;
        return keep_text(arena, &text->data, text->size);
    }
    struct variant *variant = value;
    return type != COL_VARIANT || variant->kind < VARIANT_NUMBER ||
           keep_text(arena, &variant->data, variant->size);
}

static struct sort_row *new_row(struct query_sort *sort)
{
    if (sort->count == sort->capacity) {
        size_t capacity = sort->capacity > 0 ? sort->capacity * 2 : ROWS_FIRST;
        struct sort_row **rows = realloc(sort->rows, capacity * sizeof *rows);
        if (rows == NULL)
            return NULL;
        sort->rows = rows;
        sort->capacity = capacity;
    }
    return arena_alloc(&sort->arena, sizeof(struct sort_row) + sort->row_bytes);
}

/* Keeps the first rows in fresh memory. */
static int drop_rows(struct query_sort *sort)
{
    struct arena fresh;
    size_t bytes = sizeof(struct sort_row) + sort->row_bytes;
    bool is_kept = true;
    arena_init(&fresh, 0);
    qsort_r(sort->rows, sort->count, sizeof *sort->rows, compare_rows, sort);
    sort->count = (size_t)sort->keep;
    for (size_t i = 0; is_kept && i < sort->count; i++) {
        struct sort_row *copy = arena_alloc(&fresh, bytes);
        is_kept = copy != NULL;
        if (is_kept)
            memcpy(copy, sort->rows[i], bytes);
        for (uint32_t c = 0; is_kept && c < sort->column_count; c++)
            is_kept =
                copy->data[c] || keep_value(&fresh, sort->types[c], copy->data + sort->offsets[c]);
        sort->rows[i] = copy;
    }
    arena_deinit(&sort->arena);
    sort->arena = fresh;
    if (!is_kept)
        sort->count = 0;
    return is_kept ? 0 : ERR_NOMEM;
}

int query_sort_add(struct query_sort *sort, const struct batch *batch)
{
    for (uint32_t i = 0; i < batch->selected_count; i++) {
        uint32_t at = batch_row(batch, i);
        struct sort_row *row = new_row(sort);
        if (row == NULL)
            return ERR_NOMEM;
        row->number = sort->number++;
        for (uint32_t c = 0; c < sort->column_count; c++) {
            const struct column *column = &batch->columns[c];
            size_t bytes = col_type_bytes(sort->types[c]);
            void *value = row->data + sort->offsets[c];
            row->data[c] = column_is_null(column, at);
            memcpy(value, (const uint8_t *)column->data + column_at(column, at) * bytes, bytes);
            if (!row->data[c] && !keep_value(&sort->arena, sort->types[c], value))
                return ERR_NOMEM;
        }
        sort->rows[sort->count++] = row;
    }
    return sort->keep >= 0 && (int64_t)sort->count > 2 * sort->keep + ROWS_SPARE ? drop_rows(sort)
                                                                                 : 0;
}

int query_sort_next(struct query_sort *sort, struct arena *arena, struct batch *batch)
{
    if (!sort->is_sorted && sort->count > 0)
        qsort_r(sort->rows, sort->count, sizeof *sort->rows, compare_rows, sort);
    sort->is_sorted = true;
    uint32_t n = sort->count - sort->next < 1024 ? (uint32_t)(sort->count - sort->next) : 1024;
    struct column *columns = arena_alloc(arena, (sort->column_count + 1) * sizeof *columns);
    if (columns == NULL)
        return ERR_NOMEM;
    for (uint32_t c = 0; n > 0 && c < sort->column_count; c++) {
        enum col_type type = sort->types[c];
        size_t bytes = col_type_bytes(type);
        TRY(column_alloc(&columns[c], type, n, true, arena));
        for (uint32_t i = 0; i < n; i++) {
            const struct sort_row *row = sort->rows[sort->next + i];
            memcpy((uint8_t *)columns[c].data + i * bytes, row->data + sort->offsets[c], bytes);
            if (type != COL_VARIANT)
                columns[c].nulls[i] = row->data[c];
        }
    }
    sort->next += n;
    *batch = (struct batch){.row_count = n,
                            .selected_count = n,
                            .columns = columns,
                            .column_count = sort->column_count,
                            .arena = arena};
    return n > 0;
}
