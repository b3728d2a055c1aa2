/* expr_internal.h: what the files of the expression compiler share; nobody else includes it.
 *
 *   expr_parse.c      text → PostgreSQL's protobuf tree → struct syntax (untyped; positions are
 * those of the user's text) expr_type.c       the types a cast can name           expr_source.c
 * messages with line, column and caret expr_bind.c       struct syntax → struct node: names through
 * a scope, types, implied casts, folded literals expr_eval.c       the driver; AND, OR, CASE,
 * COALESCE  expr.c           the public functions expr_arith.c      + − * / % expr_compare.c   = <>
 * < <= > >= expr_predicate.c  IS DISTINCT FROM, BETWEEN, IN        expr_like.c      LIKE, ILIKE
 *   expr_regex.c   ~ ~* !~ !~*
 *   expr_cast.c       conversions                          expr_number.c    numbers as tokens and
 * text expr_function.c   which function a call means; ||      expr_text.c, expr_math.c, expr_time.c
 * the functions expr_name.c       names of outputs                     field_set.c, agg_list.c
 *
 * Types inside the compiler are enum col_type plus two that no column outside ever has. TYPE_NUMBER
 * is what arithmetic on uncast JSON gives: each row is bigint or numeric. It is laid out as struct
 * numeric, with scale NUMBER_INTEGER (−1) for rows that are bigint, so that (a * b) / c divides as
 * integers exactly in the rows where a, b and c are integers. TYPE_UNKNOWN is an untyped literal
 * ('paid', NULL) until its surroundings give it a type. */
#ifndef WEIR_OPERATORS_EXPR_INTERNAL_H
#define WEIR_OPERATORS_EXPR_INTERNAL_H

#include "operators/syntax.h"

enum {
    EXPR_VALUE_BYTES_MAX = 16 * 1024 * 1024, /* of a text that a function makes */
    TYPE_NUMBER = COL_TYPE_COUNT,
    TYPE_UNKNOWN,
    NUMBER_INTEGER = -1,
};

/* ---- Nodes ---- */

struct node;
struct eval;
/* Evaluates for the rows of eval. 0 or ERR_NOMEM. */
typedef int (*node_eval)(const struct node *node, struct eval *eval, struct column *out);

union scalar {
    int64_t i64;
    double f64;
    uint8_t boolean;
    struct numeric numeric;
    struct bytes text;
    struct variant variant;
};

/* One row's call of a function or conversion. */
struct row_call {
    struct eval *eval;
    const struct node *node;
    const uint8_t *arg_nulls; /* for functions that see NULLs; NULL otherwise */
    uint32_t row;
};
enum { SCALAR_VALUE = 0, SCALAR_NULL = 1, SCALAR_FAILED = 2 };
typedef int (*scalar_fn)(struct row_call *call, const union scalar *args, union scalar *result);

enum compare_op { COMPARE_EQ, COMPARE_NE, COMPARE_LT, COMPARE_LE, COMPARE_GT, COMPARE_GE };
struct like_pattern;
struct in_set;
struct json_path;
struct regex;
struct regex_kept; /* expr_regex.c */

struct node {
    node_eval eval;
    uint8_t type;
    bool explicit_cast; /* conversions: written by the user (error class cast_failed), or implied
                           (type_mismatch) */
    bool flag;          /* negated, symmetric, … */
    uint8_t op;         /* enum compare_op, arithmetic operator, boolean test */
    uint32_t arg_count;
    struct node **args;
    int32_t at;
    uint32_t column;        /* column nodes */
    struct column value;    /* literal nodes: constant, memory of the expression */
    struct sql_type target; /* conversions */
    scalar_fn scalar;       /* functions and conversions */
    const char *name;       /* of the function or operator, for messages */
    const struct like_pattern *pattern;
    const struct in_set *set; /* IN over literals */
    const struct regex *regex; /* of a literal pattern; belongs to the expression */
    const struct json_path *path; /* of #> and #>> */
};

struct expr {
    struct arena arena;
    struct node *root;
    enum col_type type;
    struct regex_kept *regexes; /* that nodes use */
};

/* ---- Binding ---- */

struct binder {
    struct source source;
    const struct scope *scope;
    struct arena *arena;          /* of the expression that is being made */
    struct regex_kept **regexes;  /* of the same */
    const struct agg_call *calls; /* agg_list.c: what SYNTAX_AGGREGATE refers to; NULL elsewhere */
    uint32_t first_call_column;
};
int bind_syntax(struct binder *binder, const struct syntax *syntax, struct node **node);
/* Makes an expression: binds, gives an untyped result its type, folds. condition: the result must
 * be boolean. */
int bind_expr(struct binder *binder, const struct syntax *syntax, bool condition,
              struct expr **expr);

struct node *node_new(struct binder *binder, node_eval eval, uint8_t type, int32_t at,
                      uint32_t arg_count);
/* Converts *node implicitly (a literal is read as the type; a JSON value must already have it).
 * ERR_INVALID with position. */
int bind_coerce(struct binder *binder, struct node **node, uint8_t type);
/* An explicit cast. */
int bind_cast(struct binder *binder, struct node **node, const struct sql_type *target, int32_t at);
int bind_call(struct binder *binder, const struct syntax *syntax,
              struct node **node); /* expr_function.c */
int bind_like(struct binder *binder, const struct syntax *syntax,
              struct node **node); /* expr_like.c */
int bind_regex(struct binder *binder, const struct syntax *syntax,
               struct node **node); /* expr_regex.c: ~ ~* !~ !~* */
void regex_list_destroy(struct regex_kept *list);
int bind_arithmetic(struct binder *binder, const struct syntax *syntax,
                    struct node **node); /* expr_arith.c */
/* Coerces both sides of a comparison to types that compare_columns takes. */
int bind_comparands(struct binder *binder, int32_t at, const char *op, struct node **a,
                    struct node **b);
/* Replaces a node whose arguments are all literals by its value, unless its evaluation fails (then
 * each row will). */
int bind_fold(struct binder *binder, struct node **node);
/* expr_fold.c: arguments of AND, OR, CASE without an operand, and COALESCE that no row ever needs go; what is left may be one of them. */
void fold_logic(struct node **node);
int fold_case(struct binder *binder, struct node **node);
void fold_coalesce(struct node **node);
int bind_null(struct binder *binder, uint8_t type, int32_t at, struct node **out);
const char *type_name(uint8_t type);
static inline bool type_is_numeric(uint8_t type)
{
    return type == COL_BIGINT || type == COL_NUMERIC || type == COL_DOUBLE || type == TYPE_NUMBER;
}
static inline bool type_is_json(uint8_t type)
{
    return type == COL_VARIANT || type == TYPE_NUMBER;
}
/* How a value of the type is laid out in a column. */
static inline enum col_type type_layout(uint8_t type)
{
    return type == TYPE_NUMBER    ? COL_NUMERIC
           : type == TYPE_UNKNOWN ? COL_TEXT
                                  : (enum col_type)type;
}
bool node_is_literal(const struct node *node);
bool node_is_null_literal(const struct node *node);

/* ---- Evaluation ---- */

struct eval_run {
    const struct batch *batch;
    struct arena *arena;
    struct reject_list *rejects;
    uint8_t *
        failed; /* per physical row, 1: already rejected by this expression; NULL until the first */
};
struct eval {
    struct eval_run *run;
    const uint16_t *rows; /* physical rows to evaluate, ascending; NULL: 0 … count − 1 */
    uint32_t count;
};
static inline uint32_t row_at(const uint16_t *rows, uint32_t i)
{
    return rows ? rows[i] : i;
}
static inline uint32_t value_at(bool constant, uint32_t row)
{
    return constant ? 0 : row;
}
static inline int node_run(const struct node *node, struct eval *eval, struct column *out)
{
    return node->eval(node, eval, out);
}
/* Room for one value per physical row; nulls when with_nulls, zeroed. */
int eval_alloc(struct eval *eval, struct column *out, uint8_t type, bool with_nulls);
/* The NULLs of the inputs together, as a new array in *nulls; NULL when there are none. Variants
 * are looked at only when look_at_kinds. */
int eval_merge_nulls(struct eval *eval, const struct column *columns, uint32_t count,
                     uint8_t **nulls);
/* Rejects row (once per expression) and makes it NULL in out. */
int eval_fail(struct eval *eval, struct column *out, uint32_t row, const char *error_class,
              const char *format, ...) __attribute__((format(printf, 5, 6)));
/* The same for a scalar function: returns SCALAR_FAILED or ERR_NOMEM. */
int scalar_fail(struct row_call *call, const char *error_class, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool eval_row_failed(const struct eval *eval, uint32_t row);
/* Copies the rows of eval from source (any of them) into out, which has nulls when its type keeps
 * them apart. */
void eval_copy_rows(const struct eval *eval, struct column *out, const struct column *source);
void column_set_null(struct column *column, uint32_t row);
static inline bool column_has_null(const struct column *c, uint32_t row)
{
    return column_is_null(c, row);
}

/* a op b for the rows of eval; the types must be a pair that bind_comparands makes. */
int compare_columns(struct eval *eval, enum compare_op op, const struct column *a,
                    const struct column *b, struct column *out);
int eval_column(const struct node *node, struct eval *eval, struct column *out);
int eval_literal(const struct node *node, struct eval *eval, struct column *out);
/* Calls node->scalar for each row; NULL when an argument is NULL. */
int eval_scalar(const struct node *node, struct eval *eval, struct column *out);
/* The same, but the function sees NULL arguments (call->arg_nulls). */
int eval_scalar_nulls(const struct node *node, struct eval *eval, struct column *out);
void scalar_load(const struct column *column, uint32_t row, union scalar *value);
void scalar_store(struct column *column, uint32_t row, const union scalar *value);

/* A number token as 64-bit coefficient and scale; false: too long or has an exponent (use
 * numeric_parse). */
bool token_fast(const uint8_t *data, uint32_t size, int64_t *coefficient, int32_t *scale);
/* numeric_parse, and the forms ".5" and "5." that SQL also takes. */
int number_parse(struct bytes text, struct numeric *value);
/* The number in a variant: 1 an integer, 2 a numeric, 0 not a number, < 0 ERR_RANGE. */
int variant_number(const struct variant *variant, struct numeric *value);
/* What a variant is, in a sentence: "a text ('abc')". Writes at most 80 bytes. */
const char *variant_describe(const struct variant *variant, char *text);
int scalar_text_copy(struct row_call *call, const void *data, size_t size, union scalar *result);
/* At most max bytes of text, cut between characters; for messages. */
int clip(struct bytes text, size_t max);

int bind_concat_operator(struct binder *binder, const struct syntax *syntax,
                         struct node **node); /* || */
int bind_json_operator(struct binder *binder, const struct syntax *syntax,
                       struct node **node); /* expr_json.c: -> ->> #> #>> */

/* One entry a function. signature: result letter, ':', argument letters: t text, i bigint, n
 * numeric, d double, N number of uncast JSON (or bigint), z timestamptz, v interval, b boolean, y
 * bytea, f g e a time field's name (a literal; passed as its number), h a form of bytes as text and
 * u an encoding (likewise), * any number of anything, as text. Of several entries of a name the
 * first that fits is taken. */
struct function {
    const char *name;
    const char *signature;
    scalar_fn call;
    bool sees_nulls;
};
extern const struct function text_functions[], math_functions[], time_functions[],
    bytea_functions[];
/* The number of a time field, or −1. letter: f any field, g one that date_trunc takes, e one that
 * an interval has. */
int time_field_find(const char *name, char letter);
/* The number of a form of bytes (letter h) or of an encoding (u), or −1. */
int bytea_name_find(const char *name, char letter);
size_t interval_print(int64_t ms, char *text);       /* ≤ 48 bytes */
size_t timestamp_print(int64_t ms, char *text);      /* PostgreSQL's form in UTC; ≤ 48 bytes */
int timestamp_parse(struct bytes text, int64_t *ms); /* digits: epoch ms, else ISO 8601 */
size_t double_print(double value, char *text); /* shortest that reads back the same; ≤ 40 bytes */

#endif
