/* expr_eval.c: the driver of evaluation, and the nodes that decide which rows see which branch.
 *
 * A node is evaluated for a list of rows (or all) into a column that is indexed by physical row;
 * rows outside the list are left unwritten and never read. Nodes that choose (AND, OR, CASE,
 * COALESCE) evaluate their first argument for all rows and each further one for the rows that still
 * need it, so that `x <> 0 AND 1 / x > 2` never divides by zero. Inner loops run over plain arrays;
 * `rows` and the constant flags do not change inside a loop, so the compiler makes a version of it
 * for each.
 *
 * The value of a NULL row is not defined: whoever reads a value looks at the null first, or does
 * not care. */
#include "operators/expr_nodes.h"

#include <stdarg.h>
#include <stdio.h>

/* ---- Driver ---- */

int eval_alloc(struct eval *eval, struct column *out, uint8_t type, bool with_nulls)
{
    enum col_type layout = type_layout(type);
    return column_alloc(out, layout, eval->run->batch->row_count,
                        with_nulls && layout != COL_VARIANT, eval->run->arena);
}

static bool column_may_be_null(const struct column *c)
{
    return c->type == COL_VARIANT || c->nulls != NULL;
}

int eval_merge_nulls(struct eval *eval, const struct column *columns, uint32_t count,
                     uint8_t **nulls)
{
    bool any = false;
    *nulls = NULL;
    for (uint32_t i = 0; i < count; i++)
        any |= column_may_be_null(&columns[i]);
    if (!any)
        return 0;
    uint8_t *merged = arena_zalloc(eval->run->arena, eval->run->batch->row_count);
    if (merged == NULL)
        return ERR_NOMEM;
    const uint16_t *rows = eval->rows;
    for (uint32_t k = 0; k < count; k++) {
        const struct column *c = &columns[k];
        bool constant = c->constant;
        if (c->type == COL_VARIANT) {
            for (uint32_t i = 0; i < eval->count; i++) {
                uint32_t row = row_at(rows, i);
                merged[row] |= c->variant[value_at(constant, row)].kind == VARIANT_NULL;
            }
        } else if (c->nulls != NULL) {
            for (uint32_t i = 0; i < eval->count; i++) {
                uint32_t row = row_at(rows, i);
                merged[row] |= c->nulls[value_at(constant, row)];
            }
        }
    }
    *nulls = merged;
    return 0;
}

static int reject_once(struct eval_run *run, uint32_t row, const char *error_class,
                       const char *message)
{
    if (run->failed == NULL) {
        run->failed = arena_zalloc(run->arena, run->batch->row_count);
        if (run->failed == NULL)
            return ERR_NOMEM;
    }
    if (run->failed[row])
        return 0;
    run->failed[row] = 1;
    return reject_add(run->rejects, row, error_class, "%s", message);
}

bool eval_row_failed(const struct eval *eval, uint32_t row)
{
    return eval->run->failed != NULL && eval->run->failed[row];
}

int eval_fail(struct eval *eval, struct column *out, uint32_t row, const char *error_class,
              const char *format, ...)
{
    char message[512];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    if (out->type != COL_VARIANT && out->nulls == NULL) {
        out->nulls = arena_zalloc(eval->run->arena, eval->run->batch->row_count);
        if (out->nulls == NULL)
            return ERR_NOMEM;
    }
    column_set_null(out, row);
    return reject_once(eval->run, row, error_class, message);
}

int scalar_fail(struct row_call *call, const char *error_class, const char *format, ...)
{
    char message[512];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    TRY(reject_once(call->eval->run, call->row, error_class, message));
    return SCALAR_FAILED;
}

void column_set_null(struct column *column, uint32_t row)
{
    if (column->type == COL_VARIANT)
        column->variant[row].kind = VARIANT_NULL;
    else
        column->nulls[row] = 1;
}

void eval_copy_rows(const struct eval *eval, struct column *out, const struct column *source)
{
    size_t size = col_type_bytes(out->type);
    uint8_t *to = out->data;
    const uint8_t *from = source->data;
    must(out->type == source->type);
    for (uint32_t i = 0; i < eval->count; i++) {
        uint32_t row = row_at(eval->rows, i), at = column_at(source, row);
        if (source->nulls != NULL && source->nulls[at]) {
            out->nulls[row] = 1;
            continue;
        }
        if (out->nulls != NULL)
            out->nulls[row] = 0;
        memcpy(to + row * size, from + at * size, size);
    }
}

/* ---- Leaves ---- */

int eval_column(const struct node *node, struct eval *eval, struct column *out)
{
    const struct batch *batch = eval->run->batch;
    must(node->column < batch->column_count);
    *out = batch->columns[node->column];
    must(out->type == (enum col_type)node->type);
    return 0;
}

int eval_literal(const struct node *node, struct eval *eval, struct column *out)
{
    (void)eval;
    *out = node->value;
    return 0;
}

/* ---- Scalars ---- */

void scalar_load(const struct column *column, uint32_t row, union scalar *value)
{
    uint32_t at = column_at(column, row);
    switch (column->type) {
    case COL_VARIANT:
        value->variant = column->variant[at];
        break;
    case COL_BOOLEAN:
        value->boolean = column->boolean[at];
        break;
    case COL_DOUBLE:
        value->f64 = column->f64[at];
        break;
    case COL_NUMERIC:
        value->numeric = column->numeric[at];
        break;
    case COL_TEXT:
    case COL_BYTEA:
        value->text = column->text[at];
        break;
    default:
        value->i64 = column->i64[at];
    }
}

void scalar_store(struct column *column, uint32_t row, const union scalar *value)
{
    switch (column->type) {
    case COL_VARIANT:
        column->variant[row] = value->variant;
        break;
    case COL_BOOLEAN:
        column->boolean[row] = value->boolean;
        break;
    case COL_DOUBLE:
        column->f64[row] = value->f64;
        break;
    case COL_NUMERIC:
        column->numeric[row] = value->numeric;
        break;
    case COL_TEXT:
    case COL_BYTEA:
        column->text[row] = value->text;
        break;
    default:
        column->i64[row] = value->i64;
    }
}

static int run_args(const struct node *node, struct eval *eval, struct column **columns)
{
    *columns = arena_alloc(eval->run->arena, (node->arg_count + 1) * sizeof **columns);
    if (*columns == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < node->arg_count; i++)
        TRY(node_run(node->args[i], eval, &(*columns)[i]));
    return 0;
}

static int scalar_rows(const struct node *node, struct eval *eval, const struct column *columns,
                       const uint8_t *nulls, struct column *out)
{
    uint32_t count = node->arg_count;
    bool sees_nulls = node->eval == eval_scalar_nulls;
    union scalar *args = arena_alloc(eval->run->arena, (count + 1) * sizeof *args);
    uint8_t *arg_nulls = arena_zalloc(eval->run->arena, count + 1);
    if (args == NULL || arg_nulls == NULL)
        return ERR_NOMEM;
    struct row_call call = {.eval = eval, .node = node, .arg_nulls = arg_nulls};
    for (uint32_t i = 0; i < eval->count; i++) {
        uint32_t row = call.row = row_at(eval->rows, i);
        union scalar result;
        int rc = SCALAR_NULL;
        if (nulls == NULL || !nulls[row]) {
            for (uint32_t k = 0; k < count; k++) {
                arg_nulls[k] = sees_nulls && column_is_null(&columns[k], row);
                if (!arg_nulls[k])
                    scalar_load(&columns[k], row, &args[k]);
            }
            rc = node->scalar(&call, args, &result);
            TRY(rc);
        }
        if (rc == SCALAR_VALUE)
            scalar_store(out, row, &result);
        else
            column_set_null(out, row);
    }
    return 0;
}

int eval_scalar(const struct node *node, struct eval *eval, struct column *out)
{
    struct column *columns;
    uint8_t *nulls;
    TRY(run_args(node, eval, &columns));
    TRY(eval_merge_nulls(eval, columns, node->arg_count, &nulls));
    TRY(eval_alloc(eval, out, node->type, true));
    return scalar_rows(node, eval, columns, nulls, out);
}

int eval_scalar_nulls(const struct node *node, struct eval *eval, struct column *out)
{
    struct column *columns;
    TRY(run_args(node, eval, &columns));
    TRY(eval_alloc(eval, out, node->type, true));
    return scalar_rows(node, eval, columns, NULL, out);
}

/* ---- AND, OR, NOT ---- */

static int take_rows(struct eval *eval, struct eval *sub, uint16_t **rows)
{
    *rows = arena_alloc(eval->run->arena, (eval->count + 1) * sizeof **rows);
    *sub = (struct eval){eval->run, *rows, 0};
    return *rows != NULL ? 0 : ERR_NOMEM;
}

/* Folds one argument into out. A row is decided by `decisive` (true for OR), and leaves; NULL is
 * remembered. The rows that still need the next argument go to next (which may be the list they are
 * read from). */
static uint32_t logic_step(const struct eval *eval, const struct column *arg, bool decisive,
                           struct column *out, uint16_t *next)
{
    const uint16_t *rows = eval->rows;
    const uint8_t *values = arg->boolean, *nulls = arg->nulls, *failed = eval->run->failed;
    bool constant = arg->constant;
    uint32_t left = 0;
    for (uint32_t i = 0; i < eval->count; i++) {
        uint32_t row = row_at(rows, i), at = value_at(constant, row);
        bool null = nulls != NULL && nulls[at];
        bool decided = !null & (values[at] == decisive);
        out->nulls[row] = decided ? 0 : out->nulls[row] | null;
        out->boolean[row] = decided ? decisive : !decisive;
        next[left] = (uint16_t)row;
        left += !decided & !(failed != NULL && failed[row]);
    }
    return left;
}

int eval_logic(const struct node *node, struct eval *eval, struct column *out)
{
    struct eval sub;
    uint16_t *rows;
    TRY(eval_alloc(eval, out, COL_BOOLEAN, true));
    TRY(take_rows(eval, &sub, &rows));
    sub.rows = eval->rows;
    sub.count = eval->count;
    for (uint32_t i = 0; i < node->arg_count && sub.count > 0; i++) {
        struct column arg;
        TRY(node_run(node->args[i], &sub, &arg));
        sub.count = logic_step(&sub, &arg, node->flag, out, rows);
        sub.rows = rows;
    }
    return 0;
}

int eval_not(const struct node *node, struct eval *eval, struct column *out)
{
    struct column arg;
    TRY(node_run(node->args[0], eval, &arg));
    TRY(eval_alloc(eval, out, COL_BOOLEAN, false));
    TRY(eval_merge_nulls(eval, &arg, 1, &out->nulls));
    const uint16_t *rows = eval->rows;
    bool constant = arg.constant;
    for (uint32_t i = 0; i < eval->count; i++) {
        uint32_t row = row_at(rows, i);
        out->boolean[row] = !arg.boolean[value_at(constant, row)];
    }
    return 0;
}

/* ---- IS NULL, IS TRUE ---- */

int eval_null_test(const struct node *node, struct eval *eval, struct column *out)
{
    struct column arg;
    uint8_t *nulls;
    bool negated = node->flag;
    TRY(node_run(node->args[0], eval, &arg));
    TRY(eval_alloc(eval, out, COL_BOOLEAN, false));
    TRY(eval_merge_nulls(eval, &arg, 1, &nulls));
    const uint16_t *rows = eval->rows;
    for (uint32_t i = 0; i < eval->count; i++) {
        uint32_t row = row_at(rows, i);
        out->boolean[row] = (nulls != NULL && nulls[row]) != negated;
    }
    return 0;
}

int eval_boolean_test(const struct node *node, struct eval *eval, struct column *out)
{
    struct column arg;
    TRY(node_run(node->args[0], eval, &arg));
    TRY(eval_alloc(eval, out, COL_BOOLEAN, false));
    for (uint32_t i = 0; i < eval->count; i++) {
        uint32_t row = row_at(eval->rows, i), at = column_at(&arg, row);
        bool null = arg.nulls != NULL && arg.nulls[at];
        bool holds = node->op == TEST_UNKNOWN
                         ? null
                         : !null && (arg.boolean[at] != 0) == (node->op == TEST_TRUE);
        out->boolean[row] = holds != node->flag;
    }
    return 0;
}

/* ---- CASE ---- */

/* Splits the rows of rest by a condition into taken and (in place) those that are left. */
static void split_rows(struct eval *rest, const struct column *condition, struct eval *taken,
                       uint16_t *taken_rows, uint16_t *rest_rows, struct column *out)
{
    uint32_t left = 0;
    taken->count = 0;
    for (uint32_t i = 0; i < rest->count; i++) {
        uint32_t row = row_at(rest->rows, i), at = column_at(condition, row);
        bool null = condition->nulls != NULL && condition->nulls[at];
        if (eval_row_failed(rest, row))
            column_set_null(out, row);
        else if (!null && condition->boolean[at])
            taken_rows[taken->count++] = (uint16_t)row;
        else
            rest_rows[left++] = (uint16_t)row;
    }
    rest->rows = rest_rows;
    rest->count = left;
}

static int case_otherwise(const struct node *otherwise, struct eval *rest, struct column *out)
{
    struct column value;
    if (rest->count == 0)
        return 0;
    if (otherwise != NULL) {
        TRY(node_run(otherwise, rest, &value));
        eval_copy_rows(rest, out, &value);
        return 0;
    }
    for (uint32_t i = 0; i < rest->count; i++)
        column_set_null(out, row_at(rest->rows, i));
    return 0;
}

/* The operand is evaluated once, for all rows; conditions only for rows that no earlier one took.
 */
int eval_case(const struct node *node, struct eval *eval, struct column *out)
{
    struct eval rest, taken;
    uint16_t *rest_rows, *taken_rows;
    struct column operand, condition, value;
    const struct node *operand_node = node->args[0];
    TRY(eval_alloc(eval, out, node->type, true));
    TRY(take_rows(eval, &rest, &rest_rows));
    TRY(take_rows(eval, &taken, &taken_rows));
    rest.rows = eval->rows;
    rest.count = eval->count;
    if (operand_node != NULL)
        TRY(node_run(operand_node, eval, &operand));
    for (uint32_t i = 1; i + 1 < node->arg_count && rest.count > 0; i += 2) {
        TRY(node_run(node->args[i], &rest, &condition));
        if (operand_node != NULL) {
            struct column when = condition;
            TRY(compare_columns(&rest, COMPARE_EQ, &operand, &when, &condition));
        }
        split_rows(&rest, &condition, &taken, taken_rows, rest_rows, out);
        if (taken.count == 0)
            continue;
        TRY(node_run(node->args[i + 1], &taken, &value));
        eval_copy_rows(&taken, out, &value);
    }
    return case_otherwise(node->args[node->arg_count - 1], &rest, out);
}

/* ---- COALESCE, NULLIF, GREATEST, LEAST ---- */

int eval_coalesce(const struct node *node, struct eval *eval, struct column *out)
{
    struct eval rest;
    uint16_t *rows;
    struct column value;
    TRY(node_run(node->args[0], eval, &value));
    if (!column_may_be_null(&value)) {
        *out = value;
        return 0;
    }
    TRY(eval_alloc(eval, out, node->type, true));
    TRY(take_rows(eval, &rest, &rows));
    rest.rows = eval->rows;
    rest.count = eval->count;
    for (uint32_t k = 0;;) {
        eval_copy_rows(&rest, out, &value);
        uint32_t left = 0;
        for (uint32_t i = 0; i < rest.count; i++) {
            uint32_t row = row_at(rest.rows, i);
            rows[left] = (uint16_t)row;
            left += column_is_null(out, row) && !eval_row_failed(&rest, row);
        }
        rest.rows = rows;
        rest.count = left;
        if (++k >= node->arg_count || left == 0)
            return 0;
        TRY(node_run(node->args[k], &rest, &value));
    }
}

/* Rows for which the argument cannot be computed are NULL, and good rows. What failed in there is noted apart and forgotten. */
int eval_try(const struct node *node, struct eval *eval, struct column *out)
{
    struct reject_list unseen = {.arena = eval->run->arena};
    struct eval_run run = {
        .batch = eval->run->batch, .arena = eval->run->arena, .rejects = &unseen};
    struct eval inner = {.run = &run, .rows = eval->rows, .count = eval->count};
    struct column value;
    TRY(node_run(node->args[0], &inner, &value));
    if (run.failed == NULL) {
        *out = value;
        return 0;
    }
    TRY(eval_alloc(eval, out, node->type, true));
    eval_copy_rows(eval, out, &value);
    for (uint32_t i = 0; i < eval->count; i++) {
        uint32_t row = row_at(eval->rows, i);
        if (run.failed[row])
            column_set_null(out, row);
    }
    return 0;
}

int eval_nullif(const struct node *node, struct eval *eval, struct column *out)
{
    struct column a, b, compared_a, equal;
    TRY(node_run(node->args[0], eval, &a));
    TRY(node_run(node->args[1], eval, &b));
    compared_a = a;
    if (node->target.type != node->type)
        TRY(cast_column(eval, node->type, &node->target, &a, &compared_a));
    TRY(compare_columns(eval, COMPARE_EQ, &compared_a, &b, &equal));
    TRY(eval_alloc(eval, out, node->type, true));
    eval_copy_rows(eval, out, &a);
    for (uint32_t i = 0; i < eval->count; i++) {
        uint32_t row = row_at(eval->rows, i);
        if (!column_is_null(&equal, row) && equal.boolean[column_at(&equal, row)])
            column_set_null(out, row);
    }
    return 0;
}

/* The rows where next beats the best so far. */
static int extreme_step(struct eval *eval, const struct column *next, bool greatest,
                        struct eval *winners, uint16_t *rows, struct column *best)
{
    struct column better;
    TRY(compare_columns(eval, greatest ? COMPARE_GT : COMPARE_LT, next, best, &better));
    winners->count = 0;
    for (uint32_t i = 0; i < eval->count; i++) {
        uint32_t row = row_at(eval->rows, i);
        if (column_is_null(next, row) || eval_row_failed(eval, row))
            continue;
        if (column_is_null(best, row) || (!column_is_null(&better, row) && better.boolean[row]))
            rows[winners->count++] = (uint16_t)row;
    }
    eval_copy_rows(winners, best, next);
    return 0;
}

int eval_extreme(const struct node *node, struct eval *eval, struct column *out)
{
    struct eval winners;
    uint16_t *rows;
    struct column next;
    TRY(eval_alloc(eval, out, node->type, true));
    TRY(take_rows(eval, &winners, &rows));
    TRY(node_run(node->args[0], eval, &next));
    eval_copy_rows(eval, out, &next);
    for (uint32_t i = 1; i < node->arg_count; i++) {
        TRY(node_run(node->args[i], eval, &next));
        TRY(extreme_step(eval, &next, node->flag, &winners, rows, out));
    }
    return 0;
}
