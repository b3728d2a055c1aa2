/* test_expr_random.c: random expressions over uncast JSON and bigint columns against an interpreter
 * that knows nothing of columns: it walks the tree for one row at a time with its own arithmetic.
 * Each expression runs whole, cut into batches of 7 and 1 rows, and with a selection; values, NULLs
 * and rejected rows must agree. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "operators/expr.h"

static uint64_t random_state = 1;
static uint32_t pick(uint32_t n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 33) % n;
}

enum { RANDOM_ROWS = 600, VARIANTS = 4, TYPED = 2, TREE_MAX = 200 };
enum tree_kind {
    T_VARIANT,
    T_TYPED,
    T_INT,
    T_DECIMAL,
    T_ADD,
    T_SUB,
    T_MUL,
    T_DIV,
    T_MOD,
    T_NEG,
    T_CMP,
    T_TEXT_CMP,
    T_AND,
    T_OR,
    T_NOT,
    T_NULL_TEST,
    T_IN,
    T_BETWEEN,
    T_DISTINCT,
    T_CASE,
    T_COALESCE,
};
struct tree {
    enum tree_kind kind;
    uint32_t index;  /* column, operator or literal */
    int64_t literal; /* T_DECIMAL: hundredths */
    struct tree *args[3];
};
static struct tree trees[TREE_MAX];
static uint32_t tree_count;
static char sql[16384];
static size_t sql_size;

static const char *const texts[] = {"view", "click", "a longer text than others", ""};
static const char *const compare_names[] = {"=", "<>", "<", "<=", ">", ">="};

static void emit(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    sql_size += (size_t)vsnprintf(sql + sql_size, sizeof sql - sql_size, format, args);
    va_end(args);
    assert_true(sql_size < sizeof sql);
}

static struct tree *grow_number(uint32_t depth, bool typed);

static struct tree *grow(enum tree_kind kind)
{
    struct tree *tree = &trees[tree_count++];
    assert_true(tree_count <= TREE_MAX);
    *tree = (struct tree){.kind = kind};
    return tree;
}

static struct tree *grow_binary(enum tree_kind kind, const char *name, uint32_t depth, bool typed)
{
    struct tree *tree = grow(kind);
    emit("(");
    tree->args[0] = grow_number(depth - 1, typed);
    emit(" %s ", name);
    tree->args[1] = grow_number(depth - 1, typed);
    emit(")");
    return tree;
}

/* typed: every part is bigint by its type, so that / and % mean the same to both sides. */
static struct tree *grow_number(uint32_t depth, bool typed)
{
    struct tree *tree;
    if (depth == 0 || pick(4) == 0) {
        switch (typed ? 1 + pick(2) : pick(4)) {
        case 0:
            tree = grow(T_VARIANT);
            tree->index = pick(VARIANTS);
            emit("v%u", tree->index);
            return tree;
        case 1:
            tree = grow(T_TYPED);
            tree->index = pick(TYPED);
            emit("t%u", tree->index);
            return tree;
        case 2:
            tree = grow(T_INT);
            tree->literal = (int64_t)pick(20) - 5;
            emit("(%d)", (int)tree->literal);
            return tree;
        default:
            tree = grow(T_DECIMAL);
            tree->literal = (int64_t)pick(1000);
            emit("%d.%02d", (int)tree->literal / 100, (int)tree->literal % 100);
            return tree;
        }
    }
    switch (pick(7)) {
    case 0:
        return grow_binary(T_ADD, "+", depth, typed);
    case 1:
        return grow_binary(T_SUB, "-", depth, typed);
    case 2:
        return grow_binary(T_MUL, "*", depth, typed);
    case 3:
        return grow_binary(T_DIV, "/", depth, true);
    case 4:
        return grow_binary(T_MOD, "%", depth, true);
    case 5:
        tree = grow(T_NEG);
        emit("(- ");
        tree->args[0] = grow_number(depth - 1, typed);
        emit(")");
        return tree;
    default:
        if (typed)
            return grow_binary(T_ADD, "+", depth, typed);
        tree = grow(T_COALESCE);
        tree->index = pick(VARIANTS);
        tree->literal = pick(VARIANTS);
        emit("COALESCE(v%u, v%d)", tree->index, (int)tree->literal);
        return tree;
    }
}

static struct tree *grow_condition(uint32_t depth)
{
    struct tree *tree;
    switch (depth == 0 ? pick(2) : pick(10)) {
    case 0:
        tree = grow(T_CMP);
        tree->index = pick(6);
        emit("(");
        tree->args[0] = grow_number(2, false);
        emit(" %s ", compare_names[tree->index]);
        tree->args[1] = grow_number(2, false);
        emit(")");
        return tree;
    case 1:
        tree = grow(T_TEXT_CMP);
        tree->index = pick(6);
        tree->literal = pick(4);
        tree->args[0] = grow(T_VARIANT);
        tree->args[0]->index = pick(VARIANTS);
        emit("(v%u %s '%s')", tree->args[0]->index, compare_names[tree->index],
             texts[tree->literal]);
        return tree;
    case 2:
    case 3:
    case 4:
        tree = grow(pick(2) ? T_AND : T_OR);
        emit("(");
        tree->args[0] = grow_condition(depth - 1);
        emit(tree->kind == T_AND ? " AND " : " OR ");
        tree->args[1] = grow_condition(depth - 1);
        emit(")");
        return tree;
    case 5:
        tree = grow(T_NOT);
        emit("(NOT ");
        tree->args[0] = grow_condition(depth - 1);
        emit(")");
        return tree;
    case 6:
        tree = grow(T_NULL_TEST);
        emit("(");
        tree->args[0] = grow_number(2, false);
        emit(" IS NULL)");
        return tree;
    case 7:
        tree = grow(T_IN);
        tree->index = 2 + 5 * pick(2);
        tree->args[0] = grow(T_VARIANT);
        tree->args[0]->index = pick(VARIANTS);
        emit("(v%u IN (0", tree->args[0]->index);
        for (uint32_t i = 1; i < tree->index; i++)
            emit(",%u", i);
        emit("))");
        return tree;
    case 8:
        tree = grow(pick(2) ? T_BETWEEN : T_DISTINCT);
        emit("(");
        tree->args[0] = grow_number(1, false);
        emit(tree->kind == T_BETWEEN ? " BETWEEN " : " IS DISTINCT FROM ");
        tree->args[1] = grow_number(1, false);
        if (tree->kind == T_BETWEEN) {
            emit(" AND ");
            tree->args[2] = grow_number(1, false);
        }
        emit(")");
        return tree;
    default:
        tree = grow(T_CASE);
        emit("(CASE WHEN ");
        tree->args[0] = grow_condition(depth - 1);
        emit(" THEN ");
        tree->args[1] = grow_condition(depth - 1);
        emit(" ELSE ");
        tree->args[2] = grow_condition(depth - 1);
        emit(" END)");
        return tree;
    }
}

/* The interpreter's values: coefficient × 10^-scale; whole: bigint. */
enum naive_kind { N_NULL, N_NUMBER, N_TEXT, N_BOOLEAN, N_FAILED };
struct naive {
    enum naive_kind kind;
    __int128 coefficient;
    int scale;
    bool whole, truth;
    const char *text;
};
static struct naive variant_rows[VARIANTS][RANDOM_ROWS], typed_rows[TYPED][RANDOM_ROWS];
static bool row_failed;

static struct naive failed(void)
{
    row_failed = true;
    return (struct naive){.kind = N_NULL};
}

static __int128 power10(int n)
{
    __int128 p = 1;
    while (n-- > 0)
        p *= 10;
    return p;
}

static struct naive number(__int128 coefficient, int scale, bool whole)
{
    __int128 limit = power10(38);
    if (whole && (coefficient > INT64_MAX || coefficient < INT64_MIN))
        return failed();
    if (coefficient >= limit || coefficient <= -limit || scale > 38)
        return failed();
    return (struct naive){
        .kind = N_NUMBER, .coefficient = coefficient, .scale = scale, .whole = whole};
}

static struct naive arithmetic(enum tree_kind kind, struct naive a, struct naive b)
{
    __int128 z;
    if ((a.kind != N_NULL && a.kind != N_NUMBER) || (b.kind != N_NULL && b.kind != N_NUMBER))
        return failed();
    if (a.kind == N_NULL || b.kind == N_NULL)
        return (struct naive){.kind = N_NULL};
    bool whole = a.whole && b.whole;
    if (kind == T_DIV || kind == T_MOD) {
        if (b.coefficient == 0)
            return failed();
        return number(kind == T_DIV ? a.coefficient / b.coefficient : a.coefficient % b.coefficient,
                      0, true);
    }
    if (kind == T_MUL) {
        if (__builtin_mul_overflow(a.coefficient, b.coefficient, &z))
            return failed();
        return number(z, a.scale + b.scale, whole);
    }
    int scale = a.scale > b.scale ? a.scale : b.scale;
    __int128 x, y;
    if (__builtin_mul_overflow(a.coefficient, power10(scale - a.scale), &x) ||
        __builtin_mul_overflow(b.coefficient, power10(scale - b.scale), &y))
        return failed();
    bool overflow =
        kind == T_ADD ? __builtin_add_overflow(x, y, &z) : __builtin_sub_overflow(x, y, &z);
    return overflow ? failed() : number(z, scale, whole);
}

static int order(struct naive a, struct naive b, bool *mismatch)
{
    *mismatch = a.kind != b.kind;
    if (*mismatch)
        return 0;
    if (a.kind == N_TEXT)
        return strcmp(a.text, b.text) < 0 ? -1 : strcmp(a.text, b.text) > 0;
    if (a.kind == N_BOOLEAN)
        return (int)a.truth - (int)b.truth;
    int scale = a.scale > b.scale ? a.scale : b.scale;
    long double x = (long double)a.coefficient / (long double)power10(a.scale);
    long double y = (long double)b.coefficient / (long double)power10(b.scale);
    __int128 p, q;
    if (__builtin_mul_overflow(a.coefficient, power10(scale - a.scale), &p) ||
        __builtin_mul_overflow(b.coefficient, power10(scale - b.scale), &q))
        return x < y ? -1 : x > y;
    return p < q ? -1 : p > q;
}

static struct naive truth(bool value)
{
    return (struct naive){.kind = N_BOOLEAN, .truth = value};
}

static struct naive compare(uint32_t op, struct naive a, struct naive b)
{
    bool mismatch;
    if (a.kind == N_NULL || b.kind == N_NULL)
        return (struct naive){.kind = N_NULL};
    int c = order(a, b, &mismatch);
    if (mismatch)
        return failed();
    return truth(op == 0   ? c == 0
                 : op == 1 ? c != 0
                 : op == 2 ? c < 0
                 : op == 3 ? c <= 0
                 : op == 4 ? c > 0
                           : c >= 0);
}

static struct naive run(const struct tree *t, uint32_t row);

static struct naive run_logic(const struct tree *t, uint32_t row)
{
    bool decisive = t->kind == T_OR;
    struct naive a = run(t->args[0], row);
    if (row_failed || (a.kind == N_BOOLEAN && a.truth == decisive))
        return a;
    struct naive b = run(t->args[1], row);
    if (b.kind == N_BOOLEAN && b.truth == decisive)
        return b;
    return a.kind == N_NULL ? a : b;
}

static struct naive run_in(const struct tree *t, uint32_t row)
{
    struct naive x = run(t->args[0], row);
    if (x.kind == N_NULL)
        return x;
    for (uint32_t i = 0; i < t->index; i++) {
        struct naive found = compare(0, x, number(i, 0, true));
        if (found.kind == N_NULL || found.truth)
            return found;
    }
    return truth(false);
}

static struct naive run_between(const struct tree *t, uint32_t row)
{
    struct naive x = run(t->args[0], row), low = run(t->args[1], row);
    struct naive above = compare(5, x, low);
    if (row_failed || (above.kind == N_BOOLEAN && !above.truth))
        return above;
    struct naive high = run(t->args[2], row), below = compare(3, x, high);
    if (below.kind == N_BOOLEAN && !below.truth)
        return below;
    return above.kind == N_NULL ? above : below;
}

static struct naive run(const struct tree *t, uint32_t row)
{
    struct naive a, b;
    switch (t->kind) {
    case T_VARIANT:
        return variant_rows[t->index][row];
    case T_TYPED:
        return typed_rows[t->index][row];
    case T_INT:
        return number(t->literal, 0, true);
    case T_DECIMAL:
        return number(t->literal, 2, false);
    case T_ADD:
    case T_SUB:
    case T_MUL:
    case T_DIV:
    case T_MOD:
        a = run(t->args[0], row);
        b = run(t->args[1], row);
        return arithmetic(t->kind, a, b);
    case T_NEG:
        return arithmetic(T_SUB, number(0, 0, true), run(t->args[0], row));
    case T_COALESCE:
        a = variant_rows[t->index][row];
        return a.kind != N_NULL ? a : variant_rows[t->literal][row];
    case T_CMP:
        a = run(t->args[0], row);
        b = run(t->args[1], row);
        return compare(t->index, a, b);
    case T_TEXT_CMP:
        return compare(t->index, run(t->args[0], row),
                       (struct naive){.kind = N_TEXT, .text = texts[t->literal]});
    case T_AND:
    case T_OR:
        return run_logic(t, row);
    case T_NOT:
        a = run(t->args[0], row);
        return a.kind == N_NULL ? a : truth(!a.truth);
    case T_NULL_TEST:
        return truth(run(t->args[0], row).kind == N_NULL);
    case T_IN:
        return run_in(t, row);
    case T_BETWEEN:
        return run_between(t, row);
    case T_DISTINCT:
        a = run(t->args[0], row);
        b = run(t->args[1], row);
        if (a.kind == N_NULL || b.kind == N_NULL)
            return truth(a.kind != b.kind);
        return compare(1, a, b);
    default:
        a = run(t->args[0], row);
        if (row_failed)
            return a;
        return run(t->args[a.kind == N_BOOLEAN && a.truth ? 1 : 2], row);
    }
}

/* Fills the rows of both sides. uniform: variants are all integers, or all texts, so that the tight
 * loops run. */
static void fill(bool uniform, struct column columns[VARIANTS + TYPED], char (*tokens)[16])
{
    for (uint32_t c = 0; c < VARIANTS; c++) {
        for (uint32_t row = 0; row < RANDOM_ROWS; row++) {
            struct naive *n = &variant_rows[c][row];
            struct variant *v = &columns[c].variant[row];
            int64_t value = (int64_t)pick(30) - 8;
            uint32_t kind = uniform ? (c < 3 ? 0 : 3) : pick(20);
            if (kind < 3 || (kind > 6 && kind < 14)) {
                *n = number(value, 0, true);
                *v = (struct variant){.i64 = value, .kind = VARIANT_INT};
            } else if (kind == 3 || kind == 4) {
                const char *text = texts[pick(4)];
                *n = (struct naive){.kind = N_TEXT, .text = text};
                *v = (struct variant){.data = (const uint8_t *)text,
                                      .size = (uint32_t)strlen(text),
                                      .kind = VARIANT_TEXT};
            } else if (kind == 5) {
                *n = truth(value > 0);
                *v = (struct variant){.kind = value > 0 ? VARIANT_TRUE : VARIANT_FALSE};
            } else if (kind == 6) {
                *n = (struct naive){.kind = N_NULL};
                *v = (struct variant){.kind = VARIANT_NULL};
            } else {
                char *token = tokens[c * RANDOM_ROWS + row];
                uint32_t hundredths = pick(900);
                snprintf(token, 16, "%u.%02u", hundredths / 100, hundredths % 100);
                *n = number(hundredths, 2, false);
                *v = (struct variant){.data = (const uint8_t *)token,
                                      .size = (uint32_t)strlen(token),
                                      .kind = VARIANT_NUMBER};
            }
        }
    }
    for (uint32_t c = 0; c < TYPED; c++) {
        for (uint32_t row = 0; row < RANDOM_ROWS; row++) {
            int64_t value = pick(50) == 0 ? INT64_MAX - pick(3) : (int64_t)pick(12) - 4;
            bool null = c == 1 && pick(8) == 0;
            columns[VARIANTS + c].i64[row] = value;
            if (c == 1)
                columns[VARIANTS + c].nulls[row] = null;
            typed_rows[c][row] = null ? (struct naive){.kind = N_NULL} : number(value, 0, true);
        }
    }
}

static void check_rows(const struct expr *expr, const struct tree *tree,
                       const struct column *columns, uint32_t first, uint32_t count, uint32_t step)
{
    struct column cut[VARIANTS + TYPED], out;
    static uint16_t selection[RANDOM_ROWS];
    struct arena arena;
    arena_init(&arena, 0);
    struct reject_list rejects = {.arena = &arena};
    struct batch batch = {.row_count = count,
                          .selected_count = count,
                          .columns = cut,
                          .column_count = VARIANTS + TYPED,
                          .arena = &arena};
    for (uint32_t c = 0; c < VARIANTS + TYPED; c++) {
        cut[c] = columns[c];
        cut[c].data = (uint8_t *)columns[c].data + first * col_type_bytes(columns[c].type);
        cut[c].nulls = columns[c].nulls != NULL ? columns[c].nulls + first : NULL;
    }
    if (step > 1) {
        batch.selection = selection;
        batch.selected_count = 0;
        for (uint32_t row = 0; row < count; row += step)
            selection[batch.selected_count++] = (uint16_t)row;
    }
    assert_int_equal(expr_eval(expr, &batch, &out, &rejects), 0);
    uint32_t next = 0;
    for (uint32_t i = 0; i < batch.selected_count; i++) {
        uint32_t row = batch_row(&batch, i);
        row_failed = false;
        struct naive expected = run(tree, first + row);
        bool rejected = next < rejects.count && rejects.items[next].row == row;
        next += rejected;
        bool null = column_is_null(&out, row);
        bool same = rejected == row_failed && null == (row_failed || expected.kind == N_NULL) &&
                    (null || (out.boolean[column_at(&out, row)] != 0) == expected.truth);
        if (!same) {
            print_error("%s\nrow %u of %u step %u: rejected %d (%s), null %d, value %d; expected "
                        "failed %d kind %d truth %d\n",
                        sql, row, count, step, rejected,
                        rejected ? rejects.items[next - 1].message : "", null,
                        null ? -1 : out.boolean[column_at(&out, row)], row_failed,
                        (int)expected.kind, expected.truth);
            fail();
        }
    }
    assert_int_equal(next, rejects.count);
    arena_deinit(&arena);
}

static void random_expressions(void **state)
{
    (void)state;
    static const char *const names[] = {"v0", "v1", "v2", "v3", "t0", "t1"};
    static const enum col_type types[] = {COL_VARIANT, COL_VARIANT, COL_VARIANT,
                                          COL_VARIANT, COL_BIGINT,  COL_BIGINT};
    static char tokens[VARIANTS * RANDOM_ROWS][16];
    struct named_columns named = {names, types, VARIANTS + TYPED};
    struct scope scope = named_columns_scope(&named);
    struct column columns[VARIANTS + TYPED];
    struct arena arena;
    uint32_t compiled = 0;
    arena_init(&arena, 0);
    for (uint32_t c = 0; c < VARIANTS + TYPED; c++)
        assert_int_equal(
            column_alloc(&columns[c], types[c], RANDOM_ROWS, c == VARIANTS + 1, &arena), 0);
    for (uint32_t round = 0; round < 1500; round++) {
        struct expr *expr;
        struct diag diag;
        if (round % 100 == 0)
            fill(round % 200 == 0, columns, tokens);
        tree_count = 0;
        sql_size = 0;
        const struct tree *tree = grow_condition(3);
        int rc = expr_parse_condition(sql, &scope, &expr, &diag);
        if (rc != 0)
            print_error("%s\n", diag.text);
        assert_int_equal(rc, 0);
        compiled++;
        check_rows(expr, tree, columns, 0, RANDOM_ROWS, 1);
        check_rows(expr, tree, columns, 0, RANDOM_ROWS, 3);
        for (uint32_t row = 0; row < 70; row += 7)
            check_rows(expr, tree, columns, row, 7, 1);
        for (uint32_t row = 0; row < 20; row++)
            check_rows(expr, tree, columns, row, 1, 1);
        expr_destroy(expr);
    }
    assert_int_equal(compiled, 1500);
    arena_deinit(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_expressions)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
