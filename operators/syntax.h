/* syntax.h: SQL expressions before anything is known about their names: the tree that the parser makes, and the
 * ways from a tree to what expr.h offers for texts. Shared with the front-end for SQL files (runtime/sql), whose
 * statements hold such trees.
 *
 * A tree is arena memory of whoever parsed. Positions in it are byte offsets in the text of `source`, so that every message
 * shows the user's own line. */
#ifndef WEIR_OPERATORS_SYNTAX_H
#define WEIR_OPERATORS_SYNTAX_H

#include "operators/expr.h"

enum {
    EXPR_TEXT_BYTES_MAX = 32 * 1024, /* of one expression, or one statement */
    EXPR_DEPTH_MAX = 1000,           /* nested operators, calls and parentheses that matter */
    EXPR_NAME_BYTES_MAX = 59,        /* PostgreSQL's scanner cuts names silently at 63 */
};

enum syntax_kind {
    SYNTAX_NULL,
    SYNTAX_BOOLEAN,
    SYNTAX_NUMBER,
    SYNTAX_STRING,
    SYNTAX_COLUMN,
    SYNTAX_OPERATOR, /* text: + − * / % || -> ->> #> #>> ~ ~* !~ !~* = <> < <= > >=; one or two arguments */
    SYNTAX_AND,
    SYNTAX_OR,
    SYNTAX_NOT,
    SYNTAX_NULL_TEST,    /* negated: IS NOT NULL */
    SYNTAX_BOOLEAN_TEST, /* test; negated */
    SYNTAX_DISTINCT,     /* negated: IS NOT DISTINCT FROM */
    SYNTAX_IN,           /* arguments: operand, items… */
    SYNTAX_BETWEEN,      /* operand, low, high; symmetric */
    SYNTAX_LIKE,         /* operand, pattern; insensitive */
    SYNTAX_CASE,         /* operand or NULL, (when, then)…, else or NULL */
    SYNTAX_COALESCE,
    SYNTAX_NULLIF,
    SYNTAX_GREATEST,
    SYNTAX_LEAST,
    SYNTAX_CAST,
    SYNTAX_CALL,
    SYNTAX_AGGREGATE, /* agg_list.c: the result of call number `index` */
};
enum { TEST_TRUE, TEST_FALSE, TEST_UNKNOWN };

/* The target of a cast. */
struct sql_type {
    uint8_t type;             /* enum col_type */
    uint8_t integer_bytes;    /* 2, 4, 8 for smallint, integer, bigint */
    int32_t precision, scale; /* numeric(p,s); precision 0: as it comes */
    const char *name;         /* as PostgreSQL prints it */
};

struct syntax {
    enum syntax_kind kind;
    int32_t at;             /* byte offset in the user's text; −1: not known */
    const char *text;       /* digits, string, operator or function name */
    struct field_path path; /* SYNTAX_COLUMN */
    struct sql_type type;   /* SYNTAX_CAST */
    struct syntax **args;
    uint32_t arg_count;
    uint32_t index;        /* SYNTAX_AGGREGATE */
    struct syntax *filter; /* SYNTAX_CALL: FILTER (WHERE …) */
    int test;
    bool negated, insensitive, symmetric, truth;
    bool star, distinct; /* SYNTAX_CALL: f(*), f(DISTINCT …) */
};

struct target {
    struct syntax *syntax;
    const char *name; /* given with AS; NULL otherwise */
    int32_t at;
};
struct target_list {
    struct target *items;
    uint32_t count;
};

/* The text under compilation, for messages. */
struct source {
    const char *sql;
    struct diag *diag;
};
/* Sets diag to "<sentence>, line L, column C:\n  <the line>\n  ^\nhint: …" and returns code. */
int source_error(const struct source *source, int code, int32_t at, const char *hint,
                 const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Parses a select list into arena memory. ERR_INVALID, ERR_UNSUPPORTED, ERR_TOO_LARGE, ERR_NOMEM.
 */
int syntax_parse(const char *sql, struct arena *arena, struct target_list *list, struct diag *diag);

/* Fills names (room for targets->count, heap) and refuses missing and duplicate ones. */
int target_names(const struct target_list *targets, const struct source *source, char **names);
/* "a.b.c" */
void path_print(const struct field_path *path, char *text, size_t size);
/* The name PostgreSQL gives to an expression without AS, or NULL where that is ?column?. */
const char *syntax_name(const struct syntax *syntax);
bool syntax_equal(const struct syntax *a, const struct syntax *b);
/* Of names[0…count), the closest to name, or NULL when none is close. */
const char *closest_name(const char *name, const char *const *names, uint32_t count);
bool is_aggregate_name(const char *name);
/* The first call of an aggregate in a tree, or NULL. */
const struct syntax *syntax_find_aggregate(const struct syntax *syntax);
/* Appends the tree as SQL that parses to an equal one: names in double quotes where they need them, parentheses around
 * every operator. */
void syntax_print(const struct syntax *syntax, struct buf *out);
/* A name as SQL: in double quotes unless it is plain and no keyword. */
void syntax_print_name(const char *name, struct buf *out);

/* The text of an interval literal in milliseconds. ERR_INVALID, ERR_RANGE. */
int interval_parse(struct bytes text, int64_t *ms);

/* What expr.h's functions do with texts, from trees: source is where messages point into. */
int expr_of_syntax(const struct syntax *syntax, bool condition, const struct source *source,
                   const struct scope *scope, struct expr **expr);
/* Replaces the calls in the trees by their numbers. arena: of the trees. */
int agg_list_of_targets(const struct target_list *targets, struct arena *arena,
                        const struct source *source, const struct scope *input,
                        const struct named_columns *group_columns, bool windowed,
                        struct agg_list **list);

#endif
