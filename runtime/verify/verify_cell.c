/* verify_cell.c: one value by itself (see verify_parts.h): read from a column, kept, compared,
 * written back.
 *
 * The orders and forms are those that operators/README.md names, written down a second time: of equal
 * numbers the one with fewer decimals is smaller; JSON values order by kind (false, true, numbers, text, objects and
 * arrays), then by value, an integer token before another token of the same value; equal group
 * values have one form. */
#include <math.h>
#include <stdlib.h>

#include "runtime/verify/verify_parts.h"

void cell_read(struct cell *cell, const struct column *column, uint32_t row)
{
    uint32_t at = column_at(column, row);
    *cell = (struct cell){.type = column->type, .is_null = column_is_null(column, row)};
    if (cell->is_null)
        return;
    switch (column->type) {
    case COL_VARIANT:
        cell->variant = column->variant[at];
        break;
    case COL_BOOLEAN:
        cell->boolean = column->boolean[at];
        break;
    case COL_DOUBLE:
        cell->f64 = column->f64[at];
        break;
    case COL_NUMERIC:
        cell->numeric = column->numeric[at];
        break;
    case COL_TEXT:
    case COL_BYTEA:
        cell->text = column->text[at];
        break;
    default:
        cell->i64 = column->i64[at];
    }
}

static bool variant_has_bytes(const struct variant *value)
{
    return value->kind == VARIANT_NUMBER || value->kind == VARIANT_TEXT ||
           value->kind == VARIANT_JSON;
}

static struct bytes *bytes_in(struct cell *cell, struct bytes *of_variant)
{
    if (cell->is_null)
        return NULL;
    if (cell->type == COL_TEXT || cell->type == COL_BYTEA)
        return &cell->text;
    if (cell->type != COL_VARIANT || !variant_has_bytes(&cell->variant))
        return NULL;
    *of_variant = bytes_of(cell->variant.data, cell->variant.size);
    return of_variant;
}

int cell_keep(struct cell *kept, const struct cell *cell)
{
    struct cell copy = *cell;
    struct bytes of_variant, *bytes = bytes_in(&copy, &of_variant);
    copy.own = NULL;
    if (bytes != NULL) {
        copy.own = malloc(bytes->size + 1);
        if (copy.own == NULL)
            return ERR_NOMEM;
        verify_hold(bytes->size + 1);
        if (bytes->size > 0)
            memcpy(copy.own, bytes->data, bytes->size);
        bytes->data = copy.own;
        if (copy.type == COL_VARIANT)
            copy.variant.data = copy.own;
    }
    cell_release(kept);
    *kept = copy;
    return 0;
}

void cell_release(struct cell *cell)
{
    struct bytes of_variant;
    if (cell->own != NULL)
        verify_let_go(bytes_in(cell, &of_variant)->size + 1);
    free(cell->own);
    *cell = (struct cell){.is_null = true};
}

int cell_write(const struct cell *cell, struct column *column, struct arena *arena)
{
    static const struct variant null = {.kind = VARIANT_NULL};
    TRY(column_alloc(column, cell->type, 1, true, arena));
    if (cell->type == COL_VARIANT) {
        column->variant[0] = cell->is_null ? null : cell->variant;
        return 0;
    }
    column->nulls[0] = cell->is_null;
    memset(column->data, 0, col_type_bytes(cell->type));
    if (cell->is_null)
        return 0;
    switch (cell->type) {
    case COL_BOOLEAN:
        column->boolean[0] = cell->boolean;
        break;
    case COL_DOUBLE:
        column->f64[0] = cell->f64;
        break;
    case COL_NUMERIC:
        column->numeric[0] = cell->numeric;
        break;
    case COL_TEXT:
    case COL_BYTEA:
        column->text[0] = cell->text;
        break;
    default:
        column->i64[0] = cell->i64;
    }
    return 0;
}

/* ---- order ---- */

static int order_i64(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int order_numeric(struct numeric a, struct numeric b)
{
    int order = numeric_compare(a, b);
    return order != 0 ? order : (a.scale > b.scale) - (a.scale < b.scale);
}

static int sign_of(int order)
{
    return (order > 0) - (order < 0);
}

/* Numbers stand together, whatever their token. */
static int rank_of(const struct variant *value)
{
    return value->kind == VARIANT_NUMBER ? VARIANT_INT : value->kind;
}

static struct numeric variant_number(const struct variant *value)
{
    struct numeric number = numeric_from_i64(0);
    if (value->kind == VARIANT_INT)
        return numeric_from_i64(value->i64);
    if (numeric_parse(bytes_of(value->data, value->size), &number) < 0)
        return numeric_from_i64(0);
    return number;
}

static int order_variant(const struct variant *a, const struct variant *b)
{
    int rank = rank_of(a);
    if (rank != rank_of(b))
        return rank < rank_of(b) ? -1 : 1;
    if (rank == VARIANT_INT) {
        int order = numeric_compare(variant_number(a), variant_number(b));
        if (order != 0 || a->kind != b->kind)
            return order != 0 ? order : a->kind == VARIANT_INT ? -1 : 1;
    }
    if (!variant_has_bytes(a))
        return 0;
    return sign_of(bytes_compare(bytes_of(a->data, a->size), bytes_of(b->data, b->size)));
}

int cell_order(const struct cell *a, const struct cell *b)
{
    switch (a->type) {
    case COL_VARIANT:
        return order_variant(&a->variant, &b->variant);
    case COL_BOOLEAN:
        return order_i64(a->boolean != 0, b->boolean != 0);
    case COL_DOUBLE:
        return (a->f64 > b->f64) - (a->f64 < b->f64);
    case COL_NUMERIC:
        return order_numeric(a->numeric, b->numeric);
    case COL_TEXT:
    case COL_BYTEA:
        return sign_of(bytes_compare(a->text, b->text));
    default:
        return order_i64(a->i64, b->i64);
    }
}

/* ---- forms ---- */

bool cell_number(const struct cell *cell, struct numeric *number)
{
    switch (cell->type) {
    case COL_BIGINT:
        *number = numeric_from_i64(cell->i64);
        return true;
    case COL_NUMERIC:
        *number = cell->numeric;
        return true;
    case COL_VARIANT:
        if (cell->variant.kind == VARIANT_INT) {
            *number = numeric_from_i64(cell->variant.i64);
            return true;
        }
        return cell->variant.kind == VARIANT_NUMBER &&
               numeric_parse(bytes_of(cell->variant.data, cell->variant.size), number) == 0;
    default:
        return false;
    }
}

static int canonical_variant(struct variant *value, struct arena *arena)
{
    struct numeric number;
    int64_t whole;
    char text[NUMERIC_TEXT_BYTES];
    if (value->kind != VARIANT_NUMBER ||
        numeric_parse(bytes_of(value->data, value->size), &number) < 0)
        return 0;
    number = numeric_canonical(number);
    if (number.scale == 0 && numeric_to_i64(number, &whole) == 0) {
        *value = (struct variant){.i64 = whole, .kind = VARIANT_INT};
        return 0;
    }
    struct bytes copy = arena_copy(arena, bytes_of(text, numeric_print(number, text)));
    if (copy.data == NULL)
        return ERR_NOMEM;
    value->data = copy.data;
    value->size = (uint32_t)copy.size;
    return 0;
}

int cell_canonical(struct cell *cell, struct arena *arena)
{
    if (cell->is_null)
        return 0;
    if (cell->type == COL_NUMERIC)
        cell->numeric = numeric_canonical(cell->numeric);
    else if (cell->type == COL_DOUBLE)
        cell->f64 = isnan(cell->f64) ? (double)NAN : cell->f64 == 0 ? 0.0 : cell->f64;
    else if (cell->type == COL_VARIANT)
        return canonical_variant(&cell->variant, arena);
    return 0;
}

static void put_text(struct buf *out, char tag, struct bytes text)
{
    buf_u8(out, (uint8_t)tag);
    buf_be64(out, text.size);
    buf_append_bytes(out, text);
}

/* Numbers are the text of their value, whatever type they came as. */
static void put_number(struct buf *out, struct numeric number)
{
    char text[NUMERIC_TEXT_BYTES];
    put_text(out, '#', bytes_of(text, numeric_print(numeric_canonical(number), text)));
}

static void put_word(struct buf *out, char tag, const void *word)
{
    uint64_t bits;
    memcpy(&bits, word, sizeof bits);
    buf_u8(out, (uint8_t)tag);
    buf_be64(out, bits);
}

static void put_variant(const struct variant *value, struct buf *out)
{
    struct cell cell = {.type = COL_VARIANT, .variant = *value};
    struct numeric number;
    if (value->kind == VARIANT_NULL)
        buf_u8(out, '0');
    else if (value->kind == VARIANT_FALSE || value->kind == VARIANT_TRUE)
        buf_u8(out, value->kind == VARIANT_TRUE ? 't' : 'f');
    else if (cell_number(&cell, &number))
        put_number(out, number);
    else
        put_text(out, value->kind == VARIANT_TEXT ? 's' : 'j', bytes_of(value->data, value->size));
}

int cell_put(const struct cell *cell, struct buf *out, struct arena *arena)
{
    struct cell form = *cell;
    struct numeric number;
    TRY(cell_canonical(&form, arena));
    if (form.is_null)
        buf_u8(out, '0');
    else if (form.type == COL_VARIANT)
        put_variant(&form.variant, out);
    else if (form.type == COL_BOOLEAN)
        buf_u8(out, form.boolean ? 't' : 'f');
    else if (form.type == COL_TEXT || form.type == COL_BYTEA)
        put_text(out, form.type == COL_TEXT ? 's' : 'b', form.text);
    else if (form.type == COL_DOUBLE)
        put_word(out, 'd', &form.f64);
    else if (form.type == COL_TIMESTAMPTZ)
        put_word(out, 'T', &form.i64);
    else if (cell_number(&form, &number))
        put_number(out, number);
    else
        put_word(out, 'i', &form.i64);
    return buf_ok(out) ? 0 : ERR_NOMEM;
}

int verify_name(struct verify *v, const struct column *columns, uint32_t count, struct arena *arena,
                struct hash128 *name)
{
    buf_clear(&v->scratch);
    for (uint32_t i = 0; i < count; i++) {
        struct cell cell;
        cell_read(&cell, &columns[i], 0);
        if (cell_put(&cell, &v->scratch, arena) < 0)
            return verify_no_memory(v);
    }
    *name = hash128(v->scratch.data, v->scratch.size);
    return 0;
}
