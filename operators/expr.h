/* expr.h: SQL expressions, from text to typed trees to columns.
 *
 * Parsing is PostgreSQL's (libpg_query, protobuf output; text is capped at 32 KiB and parsed on a thread with a large stack).
 * Every parse node without a handler is an error with position, caret and hint. Names are resolved through a scope, so the same
 * code serves JSON fields, output columns and aggregates. Evaluation is column-wise over the selected rows, with PostgreSQL's
 * three-valued logic; a row whose evaluation fails (cast, division by zero, overflow) is added to the reject list and its
 * value is NULL; CASE, COALESCE, AND and OR do not evaluate a branch for rows that do not need it.
 *
 * Types: see column.h. A column of type COL_VARIANT (an uncast JSON field) behaves by the value of each row: an integer token
 * is bigint, any other number exact numeric, a string text, true/false boolean; comparing or computing with values that do
 * not fit is a row error ("type_mismatch"). An untyped literal ('paid') takes the type of the other side; against a
 * variant it compares as text. integer / integer is integer division, as in PostgreSQL. bigint overflow is a row error.
 *
 * A compiled expression is immutable and may be evaluated by several threads, each with its own batch. */
#ifndef WEIR_OPERATORS_EXPR_H
#define WEIR_OPERATORS_EXPR_H

#include "operators/column.h"

/* A name used by an expression: parts of a dotted path (a.b.c reads field c of b of a). */
struct field_path {
    const char *parts[8];
    uint32_t count;
};

/* Resolves names while an expression is compiled. Returns the column index (≥ 0) and its type, or ERR_NOT_FOUND with a sentence and
 * hint in diag (the compiler adds line, column and caret). */
struct scope {
    int (*resolve)(void *context, const struct field_path *path, enum col_type *type, struct diag *diag);
    void *context;
};

/* A scope over JSON fields that accepts every name: each new path becomes the next column, of type COL_VARIANT. */
struct field_set;
struct field_set *field_set_create(void);
void field_set_destroy(struct field_set *fields);
struct scope field_set_scope(struct field_set *fields);
uint32_t field_set_count(const struct field_set *fields);
const struct field_path *field_set_path(const struct field_set *fields, uint32_t index);
/* Adds (or finds) a path given as text "a.b.c"; the column index or a negative code. */
int field_set_add(struct field_set *fields, const char *dotted_path, struct diag *diag);
/* Adds a column that no field of the event fills but an operator: its path has no parts, and no name finds it. The column index or a negative code. */
int field_set_add_made(struct field_set *fields, struct diag *diag);

/* A scope over named, typed columns (borrowed). */
struct named_columns {
    const char *const *names;
    const enum col_type *types;
    uint32_t count;
};
struct scope named_columns_scope(const struct named_columns *columns);

struct expr;
void expr_destroy(struct expr *expr);
enum col_type expr_type(const struct expr *expr);
/* Evaluates for the selected rows of batch; *out is arena memory of the batch (or shares an input column: a plain name costs
 * nothing). Rows that fail are added to rejects. 0, ERR_NOMEM. */
int expr_eval(const struct expr *expr, const struct batch *batch, struct column *out, struct reject_list *rejects);
/* Evaluates a boolean (or variant) expression and writes the rows where it is true into selection (room for selected_count) and their number
 * into *count. Rejected rows are left out. */
int expr_filter(const struct expr *expr, const struct batch *batch, uint16_t *selection, uint32_t *count, struct reject_list *rejects);
/* Marks every column index that the expression reads in used[]. */
void expr_uses(const struct expr *expr, bool *used, uint32_t count);
/* True when it is a plain column reference; *index receives it. */
bool expr_is_column(const struct expr *expr, uint32_t *index);
/* True when it is a cast of a plain column to this type, or a plain column of it. */
bool expr_is_cast_of_column(const struct expr *expr, enum col_type type, uint32_t *index);

/* One boolean condition: "quantity > 0 AND customer_id IS NOT NULL". */
int expr_parse_condition(const char *sql, const struct scope *scope, struct expr **expr, struct diag *diag);

/* A select list without aggregates: "country, quantity * unit_price AS amount". Unnamed expressions take PostgreSQL's name for them
 * (column name; function name; else ?column? is refused: "give it a name with AS"). Duplicate names are refused. */
struct expr_list {
    uint32_t count;
    struct expr **exprs;
    char **names;
};
int expr_parse_list(const char *sql, const struct scope *scope, struct expr_list **list, struct diag *diag);
void expr_list_destroy(struct expr_list *list);

/* A select list with aggregates: "sum(amount::numeric) AS revenue, count(*) AS orders, sum(x) / count(*) AS mean".
 * calls are the distinct aggregate calls with their arguments compiled against `input`; outputs are expressions over a row of
 * [group columns…, window_start, window_end when windowed, call results…] in that order. Every output must contain at least one
 * aggregate or only group columns. FILTER, and DISTINCT inside count, are supported; nested aggregates, other DISTINCT and ORDER BY
 * inside a call are refused. first and last go by event time (agg_edge.c). */
enum agg_func { AGG_COUNT_STAR, AGG_COUNT, AGG_SUM, AGG_AVG, AGG_MIN, AGG_MAX, AGG_FIRST, AGG_LAST, AGG_COUNT_DISTINCT, AGG_FUNCTION };
struct agg_function;
struct agg_call {
    enum agg_func func;
    struct expr *argument;     /* NULL for count(*) */
    struct expr *filter;       /* FILTER (WHERE …) or NULL */
    enum col_type argument_type;
    const struct agg_function *function; /* AGG_FUNCTION, the first of its calls; the others, and all other aggregates: NULL */
    enum col_type result_type; /* count: bigint; sum of bigint/numeric/variant: numeric; of double: double; avg: numeric or double; min/max/first/last: the argument's */
};
struct agg_list {
    uint32_t call_count;
    struct agg_call *calls;
    uint32_t output_count;
    struct expr **outputs;
    char **names;
};
int expr_parse_aggregates(const char *sql, const struct scope *input, const struct named_columns *group_columns, bool windowed,
                          struct agg_list **list, struct diag *diag);
void agg_list_destroy(struct agg_list *list);

/* Runs work(job) on a thread whose stack no text can exhaust, and waits: the parser needs one, and goes to one for each text unless it
 * is called from inside such work. Whoever parses many texts does it in there. Such threads stay, as many as ever worked at once. ERR_NOMEM: it did not run. */
int expr_on_large_stack(void (*work)(void *job), void *job, struct diag *diag);
/* Ends those of them that have no work, and waits: before a fork() whose child is to have been alone. Each that is started again takes a thread-specific key for good. */
void expr_large_stacks_end(void);

/* Appends bytes that say what a condition or select list means and nothing of how it is laid out: the same bytes, the same meaning. calls_only: of a list with
 * aggregates, the distinct calls alone, which is what state is kept for. Errors as expr_parse_list. */
int expr_canonical(const char *sql, bool calls_only, struct buf *out, struct diag *diag);

#endif
