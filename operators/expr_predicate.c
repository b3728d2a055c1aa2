/* expr_predicate.c: the predicates that are made of comparisons: = < …, IS DISTINCT FROM, BETWEEN,
 * IN.
 *
 * The shared operand (x in x BETWEEN a AND b, x IN (…)) is evaluated once. Further arguments are
 * evaluated for the rows that still need them, as PostgreSQL does when it rewrites BETWEEN into AND
 * and IN into OR.
 *
 * IN over many literals of one type becomes a binary search in a sorted array; over few, or over
 * expressions, it is one comparison loop per item, and rows that have matched drop out. NULL among
 * the items makes a miss NULL. */
#include "operators/expr_nodes.h"

#include <stdlib.h>

int eval_compare(const struct node *node, struct eval *eval, struct column *out)
{
    struct column a, b;
    TRY(node_run(node->args[0], eval, &a));
    TRY(node_run(node->args[1], eval, &b));
    return compare_columns(eval, (enum compare_op)node->op, &a, &b, out);
}

static int new_rows(struct eval *eval, struct eval *sub, uint16_t **rows)
{
    *rows = arena_alloc(eval->run->arena, (eval->count + 1) * sizeof **rows);
    *sub = (struct eval){eval->run, *rows, 0};
    return *rows != NULL ? 0 : ERR_NOMEM;
}

/* ---- IS DISTINCT FROM ---- */

int eval_distinct(const struct node *node, struct eval *eval, struct column *out)
{
    struct column a, b, equal;
    struct eval both;
    uint16_t *rows;
    TRY(node_run(node->args[0], eval, &a));
    TRY(node_run(node->args[1], eval, &b));
    TRY(eval_alloc(eval, out, COL_BOOLEAN, true));
    TRY(new_rows(eval, &both, &rows));
    for (uint32_t i = 0; i < eval->count; i++) {
        uint32_t row = row_at(eval->rows, i);
        bool a_null = column_is_null(&a, row), b_null = column_is_null(&b, row);
        out->boolean[row] = (a_null != b_null) != node->flag;
        if (!a_null && !b_null)
            rows[both.count++] = (uint16_t)row;
    }
    TRY(compare_columns(&both, COMPARE_EQ, &a, &b, &equal));
    for (uint32_t i = 0; i < both.count; i++) {
        uint32_t row = rows[i];
        if (column_is_null(&equal, row))
            out->nulls[row] = 1;
        else
            out->boolean[row] = (equal.boolean[row] == 0) != node->flag;
    }
    return 0;
}

/* ---- BETWEEN ---- */

enum truth { FALSE3, TRUE3, NULL3 };

static enum truth truth_at(const struct column *c, uint32_t row)
{
    uint32_t at = column_at(c, row);
    return c->nulls != NULL && c->nulls[at] ? NULL3 : c->boolean[at] ? TRUE3 : FALSE3;
}
static enum truth and3(enum truth a, enum truth b)
{
    return a == FALSE3 || b == FALSE3 ? FALSE3 : a == NULL3 || b == NULL3 ? NULL3 : TRUE3;
}
static enum truth or3(enum truth a, enum truth b)
{
    return a == TRUE3 || b == TRUE3 ? TRUE3 : a == NULL3 || b == NULL3 ? NULL3 : FALSE3;
}
static void store_truth(struct column *out, uint32_t row, enum truth value, bool negated)
{
    out->nulls[row] = value == NULL3;
    out->boolean[row] = (value == TRUE3) != negated;
}

static int between_symmetric(const struct node *node, struct eval *eval, const struct column *x,
                             const struct column *low, struct column *out)
{
    struct column high, c[4];
    TRY(node_run(node->args[2], eval, &high));
    TRY(compare_columns(eval, COMPARE_GE, x, low, &c[0]));
    TRY(compare_columns(eval, COMPARE_LE, x, &high, &c[1]));
    TRY(compare_columns(eval, COMPARE_GE, x, &high, &c[2]));
    TRY(compare_columns(eval, COMPARE_LE, x, low, &c[3]));
    for (uint32_t i = 0; i < eval->count; i++) {
        uint32_t row = row_at(eval->rows, i);
        store_truth(out, row,
                    or3(and3(truth_at(&c[0], row), truth_at(&c[1], row)),
                        and3(truth_at(&c[2], row), truth_at(&c[3], row))),
                    node->flag);
    }
    return 0;
}

int eval_between(const struct node *node, struct eval *eval, struct column *out)
{
    struct column x, low, high, above, below;
    struct eval rest;
    uint16_t *rows;
    TRY(node_run(node->args[0], eval, &x));
    TRY(node_run(node->args[1], eval, &low));
    TRY(eval_alloc(eval, out, COL_BOOLEAN, true));
    if (node->op)
        return between_symmetric(node, eval, &x, &low, out);
    TRY(compare_columns(eval, COMPARE_GE, &x, &low, &above));
    TRY(new_rows(eval, &rest, &rows));
    for (uint32_t i = 0; i < eval->count; i++) {
        uint32_t row = row_at(eval->rows, i);
        enum truth value = truth_at(&above, row);
        store_truth(out, row, value, node->flag);
        if (value != FALSE3 && !eval_row_failed(eval, row))
            rows[rest.count++] = (uint16_t)row;
    }
    if (rest.count == 0)
        return 0;
    TRY(node_run(node->args[2], &rest, &high));
    TRY(compare_columns(&rest, COMPARE_LE, &x, &high, &below));
    for (uint32_t i = 0; i < rest.count; i++) {
        uint32_t row = rows[i];
        store_truth(out, row, and3(truth_at(&above, row), truth_at(&below, row)), node->flag);
    }
    return 0;
}

/* ---- IN ---- */

enum { SET_ITEMS_MIN = 5 };

struct in_set {
    bool text; /* texts, else bigints */
    bool has_null;
    uint32_t count;
    struct bytes *texts; /* by size, then bytes */
    int64_t *integers;
};

static int order_texts(const void *a, const void *b)
{
    const struct bytes *x = a, *y = b;
    if (x->size != y->size)
        return x->size < y->size ? -1 : 1;
    return memcmp(x->data, y->data, x->size);
}

static int order_integers(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The type of set that fits, or COL_VARIANT for none. */
static uint8_t set_type(const struct node *node)
{
    uint8_t operand = node->args[0]->type, type = COL_VARIANT;
    if (node->arg_count <= SET_ITEMS_MIN ||
        (operand != COL_TEXT && operand != COL_BIGINT && operand != COL_VARIANT))
        return COL_VARIANT;
    for (uint32_t i = 1; i < node->arg_count; i++) {
        const struct node *item = node->args[i];
        if (!node_is_literal(item))
            return COL_VARIANT;
        if (node_is_null_literal(item))
            continue;
        if (type != COL_VARIANT && item->type != type)
            return COL_VARIANT;
        type = item->type;
    }
    return type == COL_TEXT || type == COL_BIGINT ? type : COL_VARIANT;
}

int in_set_prepare(struct binder *binder, struct node *node)
{
    uint8_t type = set_type(node);
    if (type == COL_VARIANT)
        return 0;
    struct in_set *set = arena_zalloc(binder->arena, sizeof *set);
    if (set == NULL)
        return ERR_NOMEM;
    set->text = type == COL_TEXT;
    set->texts = arena_alloc(binder->arena, node->arg_count * sizeof *set->texts);
    set->integers = arena_alloc(binder->arena, node->arg_count * sizeof *set->integers);
    if (set->texts == NULL || set->integers == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 1; i < node->arg_count; i++) {
        const struct column *value = &node->args[i]->value;
        if (column_is_null(value, 0))
            set->has_null = true;
        else if (set->text)
            set->texts[set->count++] = value->text[0];
        else
            set->integers[set->count++] = value->i64[0];
    }
    if (set->text)
        qsort(set->texts, set->count, sizeof *set->texts, order_texts);
    else
        qsort(set->integers, set->count, sizeof *set->integers, order_integers);
    node->set = set;
    return 0;
}

static bool set_has_text(const struct in_set *set, struct bytes text)
{
    return bsearch(&text, set->texts, set->count, sizeof text, order_texts) != NULL;
}

static bool set_has_integer(const struct in_set *set, int64_t value)
{
    return bsearch(&value, set->integers, set->count, sizeof value, order_integers) != NULL;
}

/* 1 found, 0 not, −1 the value does not fit the set's type, ERR_RANGE. */
static int set_has_variant(const struct in_set *set, const struct variant *v)
{
    struct numeric number;
    if (set->text)
        return v->kind == VARIANT_TEXT ? set_has_text(set, bytes_of(v->data, v->size)) : -1;
    if (v->kind == VARIANT_INT)
        return set_has_integer(set, v->i64);
    int kind = variant_number(v, &number);
    if (kind <= 0)
        return kind == 0 ? -1 : ERR_RANGE;
    number = numeric_canonical(number);
    int64_t whole;
    return number.scale == 0 && numeric_to_i64(number, &whole) == 0 && set_has_integer(set, whole);
}

static int in_set_row(const struct node *node, struct eval *eval, const struct column *x,
                      uint32_t row, struct column *out)
{
    const struct in_set *set = node->set;
    uint32_t at = column_at(x, row);
    char what[80];
    int found;
    if (column_is_null(x, row)) {
        out->nulls[row] = 1;
        return 0;
    }
    if (x->type == COL_VARIANT)
        found = set_has_variant(set, &x->variant[at]);
    else
        found = set->text ? set_has_text(set, x->text[at]) : set_has_integer(set, x->i64[at]);
    if (found == ERR_RANGE)
        return eval_fail(eval, out, row, "out_of_range", "a number does not fit %d digits",
                         NUMERIC_MAX_DIGITS);
    if (found < 0)
        return eval_fail(eval, out, row, "type_mismatch", "cannot compare %s with %s",
                         variant_describe(&x->variant[at], what), set->text ? "text" : "bigint");
    out->nulls[row] = !found && set->has_null;
    out->boolean[row] = (found != 0) != node->flag;
    return 0;
}

static int in_items(const struct node *node, struct eval *eval, const struct column *x,
                    struct column *out)
{
    struct eval rest;
    uint16_t *rows;
    TRY(new_rows(eval, &rest, &rows));
    rest.rows = eval->rows;
    rest.count = eval->count;
    for (uint32_t i = 0; i < eval->count; i++)
        out->boolean[row_at(eval->rows, i)] = node->flag;
    for (uint32_t k = 1; k < node->arg_count && rest.count > 0; k++) {
        struct column item, equal;
        TRY(node_run(node->args[k], &rest, &item));
        TRY(compare_columns(&rest, COMPARE_EQ, x, &item, &equal));
        uint32_t left = 0;
        for (uint32_t i = 0; i < rest.count; i++) {
            uint32_t row = row_at(rest.rows, i);
            enum truth value = truth_at(&equal, row);
            if (value == TRUE3) {
                out->boolean[row] = !node->flag;
                out->nulls[row] = 0;
                continue;
            }
            out->nulls[row] |= value == NULL3;
            if (!eval_row_failed(&rest, row))
                rows[left++] = (uint16_t)row;
        }
        rest.rows = rows;
        rest.count = left;
    }
    return 0;
}

int eval_in(const struct node *node, struct eval *eval, struct column *out)
{
    struct column x;
    TRY(node_run(node->args[0], eval, &x));
    TRY(eval_alloc(eval, out, COL_BOOLEAN, true));
    if (node->set == NULL)
        return in_items(node, eval, &x, out);
    for (uint32_t i = 0; i < eval->count; i++)
        TRY(in_set_row(node, eval, &x, row_at(eval->rows, i), out));
    return 0;
}
