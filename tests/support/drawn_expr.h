/* drawn_expr.h: SQL expressions drawn at random, printed, and evaluated without any of the engine's means: one value at a time, numbers as 128-bit integers with a scale.
 *
 * The subset: columns and literals of five types; arithmetic, comparisons, three-valued logic, BETWEEN, IN, LIKE, IS …, CASE, COALESCE, NULLIF, a few functions. */
#ifndef WEIR_TESTS_DRAWN_EXPR_H
#define WEIR_TESTS_DRAWN_EXPR_H

#include "runtime/base/arena.h"
#include "runtime/base/bytes.h"
#include "tests/support/kill_ledger.h"

enum { DATUM_TEXT_BYTES = 96, DRAWN_SCOPE_MAX = 20, DRAWN_ARGS_MAX = 4 };
__extension__ typedef __int128 drawn_wide;

enum datum_type { DATUM_BOOLEAN, DATUM_BIGINT, DATUM_NUMERIC, DATUM_TEXT, DATUM_TIME, DATUM_TYPES };
struct datum {
    enum datum_type type;
    bool is_null;
    int scale;                 /* of a numeric: its value is n / 10^scale */
    drawn_wide n;              /* 0 or 1, an integer, a numeric's digits, milliseconds */
    char text[DATUM_TEXT_BYTES];
};

/* What an expression reads. */
struct drawn_scope {
    int count;
    enum datum_type types[DRAWN_SCOPE_MAX];
    const char *names[DRAWN_SCOPE_MAX], *owners[DRAWN_SCOPE_MAX]; /* owner: the alias in front of the name; NULL: none */
};

struct drawn_expr;
struct drawer {
    struct chance *chance;
    struct arena *arena;
    const struct drawn_scope *scope;
    bool is_safe;              /* nothing that fails for some rows */
};
const struct drawn_expr *drawn_expr_draw(const struct drawer *drawer, enum datum_type type, int depth);
/* A column of the scope by itself. */
const struct drawn_expr *drawn_column_of(const struct drawer *drawer, int column);
int drawn_expr_column(const struct drawn_expr *expr);   /* -1: it is more than a column */
bool drawn_expr_reads(const struct drawn_expr *expr);   /* any column */
/* Whether both are written alike. */
bool drawn_expr_same(const struct drawn_expr *a, const struct drawn_expr *b);
enum datum_type drawn_expr_type(const struct drawn_expr *expr);
void drawn_expr_print(const struct drawn_expr *expr, const struct drawn_scope *scope, struct buf *out);
/* NULL, or the class of the error that the row is rejected with. */
const char *drawn_expr_value(const struct drawn_expr *expr, const struct datum *row, struct datum *value);

/* ---- drawn_datum.c: values ---- */

struct datum datum_null(enum datum_type type);
struct datum datum_number(enum datum_type type, drawn_wide n, int scale);
struct datum datum_text(const char *text);
/* By their order; neither is NULL, both are of one type. */
int datum_compare(const struct datum *a, const struct datum *b);
/* As grouping does: NULL equals NULL. */
bool datum_same(const struct datum *a, const struct datum *b);
/* numeric(p, scale), half away from zero. */
struct datum datum_round(const struct datum *cell, int scale);
/* avg of integers, with PostgreSQL's scale: 16 significant digits at least, counted in groups of four. The count is below 10,000. */
struct datum datum_mean(drawn_wide sum, int64_t count);
void datum_print_json(const struct datum *cell, struct buf *out);
/* A number's digits behind so many more zeros that it has the scale, which is no smaller than its own; of two numbers the greater scale. */
drawn_wide datum_digits(const struct datum *datum, int scale);
int datum_scale(const struct datum *a, const struct datum *b);
void datum_print_time(drawn_wide time_ms, struct buf *out);
void datum_print_number(drawn_wide n, int scale, struct buf *out);

#endif
