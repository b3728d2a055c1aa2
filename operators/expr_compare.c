/* expr_compare.c: comparison of two columns.
 *
 * The binder brings both sides to one type, or leaves one or both as uncast JSON. Typed pairs run
 * in loops over plain arrays, one per operator. Text is ordered by its bytes (PostgreSQL's "C"
 * collation); NaN equals itself and is above every other double, as in PostgreSQL.
 *
 * JSON is compared by what each row holds. The two common cases, texts against a literal and
 * integers against bigint, first run a loop that assumes it and collects the kinds it met; only
 * when another kind turns up are those rows looked at one by one. A value that does not fit the
 * other side (a number against a text) is a row error, never false: a filter that silently dropped
 * such rows would hide a producer's mistake. */
#include "operators/expr_nodes.h"

#include <math.h>

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* a op b, given a < b and a = b. */
ALWAYS_INLINE bool holds(enum compare_op op, bool less, bool equal)
{
    switch (op) {
    case COMPARE_EQ:
        return equal;
    case COMPARE_NE:
        return !equal;
    case COMPARE_LT:
        return less;
    case COMPARE_LE:
        return less | equal;
    case COMPARE_GT:
        return !less & !equal;
    default:
        return !less;
    }
}

static enum compare_op flip(enum compare_op op)
{
    static const enum compare_op flipped[] = {COMPARE_EQ, COMPARE_NE, COMPARE_GT,
                                              COMPARE_GE, COMPARE_LT, COMPARE_LE};
    return flipped[op];
}

/* ---- Typed pairs ---- */

ALWAYS_INLINE void i64_rows(const struct eval *eval, enum compare_op op, const struct column *a,
                            const struct column *b, uint8_t *restrict out)
{
    const uint16_t *rows = eval->rows;
    const int64_t *x = a->i64, *y = b->i64;
    bool a_constant = a->constant, b_constant = b->constant;
    for (uint32_t i = 0; i < eval->count; i++) {
        uint32_t row = row_at(rows, i);
        int64_t p = x[value_at(a_constant, row)], q = y[value_at(b_constant, row)];
        out[row] = holds(op, p < q, p == q);
    }
}

static void compare_i64(const struct eval *eval, enum compare_op op, const struct column *a,
                        const struct column *b, uint8_t *out)
{
    switch (op) {
    case COMPARE_EQ:
        i64_rows(eval, COMPARE_EQ, a, b, out);
        break;
    case COMPARE_NE:
        i64_rows(eval, COMPARE_NE, a, b, out);
        break;
    case COMPARE_LT:
        i64_rows(eval, COMPARE_LT, a, b, out);
        break;
    case COMPARE_LE:
        i64_rows(eval, COMPARE_LE, a, b, out);
        break;
    case COMPARE_GT:
        i64_rows(eval, COMPARE_GT, a, b, out);
        break;
    case COMPARE_GE:
        i64_rows(eval, COMPARE_GE, a, b, out);
        break;
    }
}

static void compare_boolean(const struct eval *eval, enum compare_op op, const struct column *a,
                            const struct column *b, uint8_t *out)
{
    for (uint32_t i = 0; i < eval->count; i++) {
        uint32_t row = row_at(eval->rows, i);
        uint8_t p = a->boolean[column_at(a, row)], q = b->boolean[column_at(b, row)];
        out[row] = holds(op, p < q, p == q);
    }
}

static int double_order(double a, double b)
{
    if (isnan(a) || isnan(b))
        return isnan(a) - isnan(b);
    return (a > b) - (a < b);
}

static void compare_double(const struct eval *eval, enum compare_op op, const struct column *a,
                           const struct column *b, uint8_t *out)
{
    for (uint32_t i = 0; i < eval->count; i++) {
        uint32_t row = row_at(eval->rows, i);
        int order = double_order(a->f64[column_at(a, row)], b->f64[column_at(b, row)]);
        out[row] = holds(op, order < 0, order == 0);
    }
}

static void compare_numeric(const struct eval *eval, enum compare_op op, const struct column *a,
                            const struct column *b, const uint8_t *nulls, uint8_t *out)
{
    for (uint32_t i = 0; i < eval->count; i++) {
        uint32_t row = row_at(eval->rows, i);
        if (nulls != NULL && nulls[row])
            continue;
        const struct numeric *p = &a->numeric[column_at(a, row)];
        const struct numeric *q = &b->numeric[column_at(b, row)];
        if (p->scale == q->scale) {
            out[row] = holds(op, p->coefficient < q->coefficient, p->coefficient == q->coefficient);
        } else {
            int order = numeric_compare(*p, *q);
            out[row] = holds(op, order < 0, order == 0);
        }
    }
}

/* ---- Text ---- */

ALWAYS_INLINE uint64_t load64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
ALWAYS_INLINE uint32_t load32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* How a text of a fixed size is compared without a call: by loads from both ends that overlap in
 * the middle. */
enum text_width { WIDTH_EMPTY, WIDTH_BYTES, WIDTH_4, WIDTH_8, WIDTH_LONG };

static enum text_width text_width(size_t size)
{
    return size == 0    ? WIDTH_EMPTY
           : size < 4   ? WIDTH_BYTES
           : size < 8   ? WIDTH_4
           : size <= 16 ? WIDTH_8
                        : WIDTH_LONG;
}

ALWAYS_INLINE bool same_text(enum text_width width, const uint8_t *p, const uint8_t *q, size_t size)
{
    switch (width) {
    case WIDTH_EMPTY:
        return true;
    case WIDTH_BYTES:
        return ((p[0] ^ q[0]) | (p[size / 2] ^ q[size / 2]) | (p[size - 1] ^ q[size - 1])) == 0;
    case WIDTH_4:
        return ((load32(p) ^ load32(q)) | (load32(p + size - 4) ^ load32(q + size - 4))) == 0;
    case WIDTH_8:
        return ((load64(p) ^ load64(q)) | (load64(p + size - 8) ^ load64(q + size - 8))) == 0;
    default:
        return load64(p) == load64(q) && memcmp(p + 8, q + 8, size - 8) == 0;
    }
}

/* Rows of another size are compared with the literal itself, so that the loop has no branch on the
 * data. */
ALWAYS_INLINE void text_literal_rows(const struct eval *eval, enum text_width width, bool equal,
                                     const struct bytes *texts, struct bytes literal,
                                     const uint8_t *nulls, uint8_t *restrict out)
{
    const uint16_t *rows = eval->rows;
    for (uint32_t i = 0; i < eval->count; i++) {
        uint32_t row = row_at(rows, i);
        bool candidate = texts[row].size == literal.size && (nulls == NULL || !nulls[row]);
        const uint8_t *data = candidate ? texts[row].data : literal.data;
        out[row] = (candidate & same_text(width, data, literal.data, literal.size)) == equal;
    }
}

static void text_equals_literal(const struct eval *eval, bool equal, const struct bytes *texts,
                                struct bytes literal, const uint8_t *nulls, uint8_t *out)
{
    switch (text_width(literal.size)) {
    case WIDTH_EMPTY:
        text_literal_rows(eval, WIDTH_EMPTY, equal, texts, literal, nulls, out);
        break;
    case WIDTH_BYTES:
        text_literal_rows(eval, WIDTH_BYTES, equal, texts, literal, nulls, out);
        break;
    case WIDTH_4:
        text_literal_rows(eval, WIDTH_4, equal, texts, literal, nulls, out);
        break;
    case WIDTH_8:
        text_literal_rows(eval, WIDTH_8, equal, texts, literal, nulls, out);
        break;
    case WIDTH_LONG:
        text_literal_rows(eval, WIDTH_LONG, equal, texts, literal, nulls, out);
        break;
    }
}

static void compare_text(const struct eval *eval, enum compare_op op, const struct column *a,
                         const struct column *b, const uint8_t *nulls, uint8_t *out)
{
    bool equality = op == COMPARE_EQ || op == COMPARE_NE;
    if (equality && b->constant && !a->constant && !column_is_null(b, 0)) {
        text_equals_literal(eval, op == COMPARE_EQ, a->text, b->text[0], nulls, out);
        return;
    }
    for (uint32_t i = 0; i < eval->count; i++) {
        uint32_t row = row_at(eval->rows, i);
        if (nulls != NULL && nulls[row])
            continue;
        struct bytes p = a->text[column_at(a, row)], q = b->text[column_at(b, row)];
        if (equality) {
            out[row] =
                (p.size == q.size && memcmp(p.data, q.data, p.size) == 0) == (op == COMPARE_EQ);
        } else {
            int order = bytes_compare(p, q);
            out[row] = holds(op, order < 0, order == 0);
        }
    }
}

/* ---- JSON ---- */

enum { KIND_TEXT = 1 << VARIANT_TEXT, KIND_INT = 1 << VARIANT_INT };

ALWAYS_INLINE uint32_t variant_literal_rows(const struct eval *eval, enum text_width width,
                                            bool equal, const struct variant *values,
                                            struct bytes literal, uint8_t *restrict out)
{
    const uint16_t *rows = eval->rows;
    uint32_t kinds = 0, size = (uint32_t)literal.size;
    for (uint32_t i = 0; i < eval->count; i++) {
        uint32_t row = row_at(rows, i);
        const struct variant *v = &values[row];
        kinds |= 1u << v->kind;
        bool candidate = (v->kind == VARIANT_TEXT) & (v->size == size);
        const uint8_t *data = candidate ? v->data : literal.data;
        out[row] = (candidate & same_text(width, data, literal.data, literal.size)) == equal;
    }
    return kinds;
}

/* Returns the kinds met; the result holds when they are all texts. */
static uint32_t variant_equals_literal(const struct eval *eval, bool equal,
                                       const struct variant *values, struct bytes literal,
                                       uint8_t *out)
{
    switch (text_width(literal.size)) {
    case WIDTH_EMPTY:
        return variant_literal_rows(eval, WIDTH_EMPTY, equal, values, literal, out);
    case WIDTH_BYTES:
        return variant_literal_rows(eval, WIDTH_BYTES, equal, values, literal, out);
    case WIDTH_4:
        return variant_literal_rows(eval, WIDTH_4, equal, values, literal, out);
    case WIDTH_8:
        return variant_literal_rows(eval, WIDTH_8, equal, values, literal, out);
    default:
        return variant_literal_rows(eval, WIDTH_LONG, equal, values, literal, out);
    }
}

ALWAYS_INLINE uint32_t variant_i64_rows(const struct eval *eval, enum compare_op op,
                                        const struct column *a, const struct column *b,
                                        uint8_t *restrict out)
{
    const uint16_t *rows = eval->rows;
    const struct variant *x = a->variant;
    const int64_t *y = b->i64;
    bool a_constant = a->constant, b_constant = b->constant;
    uint32_t kinds = 0;
    for (uint32_t i = 0; i < eval->count; i++) {
        uint32_t row = row_at(rows, i);
        const struct variant *v = &x[value_at(a_constant, row)];
        int64_t q = y[value_at(b_constant, row)];
        kinds |= 1u << v->kind;
        out[row] = holds(op, v->i64 < q, v->i64 == q);
    }
    return kinds;
}

static uint32_t variant_compare_i64(const struct eval *eval, enum compare_op op,
                                    const struct column *a, const struct column *b, uint8_t *out)
{
    switch (op) {
    case COMPARE_EQ:
        return variant_i64_rows(eval, COMPARE_EQ, a, b, out);
    case COMPARE_NE:
        return variant_i64_rows(eval, COMPARE_NE, a, b, out);
    case COMPARE_LT:
        return variant_i64_rows(eval, COMPARE_LT, a, b, out);
    case COMPARE_LE:
        return variant_i64_rows(eval, COMPARE_LE, a, b, out);
    case COMPARE_GT:
        return variant_i64_rows(eval, COMPARE_GT, a, b, out);
    default:
        return variant_i64_rows(eval, COMPARE_GE, a, b, out);
    }
}

enum order_result { ORDER_OK, ORDER_MISMATCH, ORDER_RANGE };

static int is_boolean(const struct variant *v)
{
    return v->kind == VARIANT_TRUE || v->kind == VARIANT_FALSE;
}

/* token_fast gives scales up to 18, so a bigint scaled up stays below 2^127. */
static const int64_t power_of_ten[] = {1,
                                       10,
                                       100,
                                       1000,
                                       10000,
                                       100000,
                                       1000000,
                                       10000000,
                                       100000000,
                                       1000000000,
                                       10000000000,
                                       100000000000,
                                       1000000000000,
                                       10000000000000,
                                       100000000000000,
                                       1000000000000000,
                                       10000000000000000,
                                       100000000000000000,
                                       1000000000000000000};

static enum order_result number_order(const struct variant *v, const struct column *b, uint32_t at,
                                      int *order)
{
    struct numeric value, other;
    if (v->kind == VARIANT_INT && b->type == COL_BIGINT) {
        *order = (v->i64 > b->i64[at]) - (v->i64 < b->i64[at]);
        return ORDER_OK;
    }
    int64_t coefficient;
    if (v->kind == VARIANT_NUMBER && b->type == COL_BIGINT &&
        token_fast(v->data, v->size, &coefficient, &value.scale)) {
        int128 scaled = (int128)b->i64[at] * power_of_ten[value.scale];
        *order = (coefficient > scaled) - (coefficient < scaled);
        return ORDER_OK;
    }
    int kind = variant_number(v, &value);
    if (kind <= 0)
        return kind == 0 ? ORDER_MISMATCH : ORDER_RANGE;
    if (b->type == COL_DOUBLE) {
        *order = double_order(numeric_to_double(value), b->f64[at]);
        return ORDER_OK;
    }
    other = b->type == COL_BIGINT ? numeric_from_i64(b->i64[at]) : b->numeric[at];
    *order = numeric_compare(value, other);
    return ORDER_OK;
}

static enum order_result variant_order(const struct variant *v, const struct variant *w, int *order)
{
    if (v->kind == VARIANT_INT && w->kind == VARIANT_INT) {
        *order = (v->i64 > w->i64) - (v->i64 < w->i64);
    } else if (v->kind == VARIANT_TEXT && w->kind == VARIANT_TEXT) {
        *order = bytes_compare(bytes_of(v->data, v->size), bytes_of(w->data, w->size));
    } else if (is_boolean(v) && is_boolean(w)) {
        *order = (int)v->kind - (int)w->kind;
    } else {
        struct numeric a, b;
        int a_kind = variant_number(v, &a), b_kind = variant_number(w, &b);
        if (a_kind <= 0 || b_kind <= 0)
            return a_kind == 0 || b_kind == 0 ? ORDER_MISMATCH : ORDER_RANGE;
        *order = numeric_compare(a, b);
    }
    return ORDER_OK;
}

static enum order_result json_order(const struct variant *v, const struct column *b, uint32_t at,
                                    int *order)
{
    switch (b->type) {
    case COL_VARIANT:
        return variant_order(v, &b->variant[at], order);
    case COL_TEXT:
        if (v->kind != VARIANT_TEXT)
            return ORDER_MISMATCH;
        *order = bytes_compare(bytes_of(v->data, v->size), b->text[at]);
        return ORDER_OK;
    case COL_BOOLEAN:
        if (!is_boolean(v))
            return ORDER_MISMATCH;
        *order = (v->kind == VARIANT_TRUE) - (int)b->boolean[at];
        return ORDER_OK;
    default:
        return number_order(v, b, at, order);
    }
}

static int json_mismatch(struct eval *eval, struct column *out, uint32_t row,
                         enum order_result result, const struct variant *v, const struct column *b)
{
    char left[80], right[80];
    uint32_t at = column_at(b, row);
    if (result == ORDER_RANGE)
        return eval_fail(eval, out, row, "out_of_range", "a number does not fit %d digits",
                         NUMERIC_MAX_DIGITS);
    return eval_fail(eval, out, row, "type_mismatch", "cannot compare %s with %s",
                     variant_describe(v, left),
                     b->type == COL_VARIANT ? variant_describe(&b->variant[at], right)
                                            : type_name((uint8_t)b->type));
}

static int json_rows(struct eval *eval, enum compare_op op, const struct column *a,
                     const struct column *b, struct column *out)
{
    const uint8_t *nulls = out->nulls;
    for (uint32_t i = 0; i < eval->count; i++) {
        uint32_t row = row_at(eval->rows, i);
        int order;
        if (nulls != NULL && nulls[row])
            continue;
        const struct variant *v = &a->variant[column_at(a, row)];
        enum order_result result = json_order(v, b, column_at(b, row), &order);
        if (result == ORDER_OK)
            out->boolean[row] = holds(op, order < 0, order == 0);
        else
            TRY(json_mismatch(eval, out, row, result, v, b));
    }
    return 0;
}

/* a is JSON, b anything. */
static int compare_json(struct eval *eval, enum compare_op op, const struct column *a,
                        const struct column *b, struct column *out)
{
    uint32_t kinds = 0;
    bool equality = op == COMPARE_EQ || op == COMPARE_NE;
    if (b->type == COL_TEXT && b->constant && !a->constant && equality && !column_is_null(b, 0)) {
        kinds =
            variant_equals_literal(eval, op == COMPARE_EQ, a->variant, b->text[0], out->boolean);
        if ((kinds & ~(uint32_t)KIND_TEXT) == 0)
            return 0;
    } else if (b->type == COL_BIGINT && b->nulls == NULL) {
        kinds = variant_compare_i64(eval, op, a, b, out->boolean);
        if ((kinds & ~(uint32_t)KIND_INT) == 0)
            return 0;
    }
    const struct column both[] = {*a, *b};
    TRY(eval_merge_nulls(eval, both, 2, &out->nulls));
    return json_rows(eval, op, a, b, out);
}

int compare_columns(struct eval *eval, enum compare_op op, const struct column *a,
                    const struct column *b, struct column *out)
{
    struct column result;
    const struct column both[] = {*a, *b};
    TRY(eval_alloc(eval, &result, COL_BOOLEAN, false));
    if (a->type == COL_VARIANT || b->type == COL_VARIANT) {
        bool swap = a->type != COL_VARIANT;
        TRY(compare_json(eval, swap ? flip(op) : op, &both[swap], &both[!swap], &result));
        *out = result;
        return 0;
    }
    must(a->type == b->type);
    TRY(eval_merge_nulls(eval, both, 2, &result.nulls));
    switch (a->type) {
    case COL_BOOLEAN:
        compare_boolean(eval, op, &both[0], &both[1], result.boolean);
        break;
    case COL_DOUBLE:
        compare_double(eval, op, &both[0], &both[1], result.boolean);
        break;
    case COL_NUMERIC:
        compare_numeric(eval, op, &both[0], &both[1], result.nulls, result.boolean);
        break;
    case COL_TEXT:
    case COL_BYTEA:
        compare_text(eval, op, &both[0], &both[1], result.nulls, result.boolean);
        break;
    default:
        compare_i64(eval, op, &both[0], &both[1], result.boolean);
    }
    *out = result;
    return 0;
}
