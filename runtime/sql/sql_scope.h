/* sql_scope.h: the names that the expressions of one SELECT may use. */
#ifndef WEIR_SQL_SCOPE_H
#define WEIR_SQL_SCOPE_H

#include "runtime/sql/sql.h"

/* The files under compilation. */
struct compile_file {
    struct sql_program *program;
    void (*tell)(void *context, const char *name, const char *text);
    void *context;
    struct statement *statements;      /* of all files, in their order */
    const struct statement *current;   /* under compilation */
    struct diag diag;            /* of the statement under compilation */
    struct source source;        /* where its messages point into, and go: diag */
    const char *broken[STATEMENTS_MAX]; /* relations whose statements have errors: who reads them is not told of more */
    uint32_t broken_count;
};

/* A SELECT's input: its relation's columns, under their names and the relation's; behind them those of the tables that it is joined with, and last the windows' bounds. */
struct scope_column {
    const char *shown;           /* as it is written; rows may have it under another name */
    const char *type_name;
    uint32_t owner;              /* which relation of FROM; SCOPE_NO_OWNER: window_start, window_end */
    bool is_hidden, is_used;
};
enum { SCOPE_NO_OWNER = UINT32_MAX };
struct scope_owner {
    const struct relation *relation;
    const char *alias;           /* what stands before a dot */
};
struct select_scope {
    struct compile_file *file;
    const struct relation *relation; /* the first */
    const char *alias;
    struct scope_owner owners[JOINS_MAX + 1];
    uint32_t owner_count;
    const char *placed;          /* what rows call the column by whose text they lie in partitions; NULL: nobody says */
    const char **full_keys;      /* of a FULL JOIN of two tables: what rows call the columns of the right one's key; NULL: there is none */
    bool is_windowed;            /* window_start and window_end exist too */
    struct scope_column *columns;
    const char **names;          /* in the rows */
    enum col_type *types;
    uint32_t row_count;          /* without the windows' */
    uint32_t count, capacity;
};
int scope_open(struct select_scope *scope, struct compile_file *file, const struct relation *relation, const char *alias, bool is_windowed);
/* One more relation, before the windows are added: names that are taken get another one in the rows. */
int scope_join(struct select_scope *scope, const struct relation *relation, const char *alias, int32_t at);
/* The windows' bounds; nothing can be joined behind them. */
int scope_add_windows(struct select_scope *scope);
/* The same as the expression compiler takes it, for trees that scope_resolve has gone over. */
struct named_columns scope_columns(const struct select_scope *scope);
/* Turns the names in a tree into those of columns alone ("e.user_id" into user_id). ERR_NOT_FOUND, with place and hint. */
int scope_resolve(const struct select_scope *scope, struct syntax *syntax);
/* The same, and no column counts as used. */
int scope_resolve_unused(const struct select_scope *scope, struct syntax *syntax);
/* Which columns a resolved tree reads: 1 those before column `first`, 2 those from there on; both, or 0. */
unsigned scope_sides(const struct select_scope *scope, uint32_t first, const struct syntax *syntax);
/* The names that the relations themselves have for the columns from `first` on, in place of those in the rows. */
void scope_use_own_names(const struct select_scope *scope, uint32_t first, struct syntax *syntax);
void scope_mark_used(const struct select_scope *scope, const struct syntax *syntax);

/* A copy of a tree, its nodes and lists; texts are shared. */
struct syntax *syntax_copy(struct arena *arena, const struct syntax *syntax);
struct syntax *syntax_column(struct arena *arena, const char *name, int32_t at);
/* Texts in the program's arena. */
const char *text_of_syntax(struct arena *arena, const struct syntax *syntax);
/* "expr AS name, …" */
const char *text_of_targets(struct arena *arena, const struct target_list *targets);
/* Arena memory; NULL: there is none left. */
const char *const *names_of_targets(struct arena *arena, const struct target_list *targets);

/* sql_program.c. The statement behind the current one that makes this name; NULL: none does. */
const struct statement *statement_below(const struct compile_file *file, const char *name);
/* Whether a statement reads a name, itself or through what other statements make, wherever those stand. */
bool statement_reads(const struct compile_file *file, const struct statement *statement, const char *name);

/* sql_select_plan.c, sql_group_plan.c: the steps of a SELECT, and the columns that it gives. */
int plan_select(struct compile_file *file, const struct select *select, const struct relation *const *inner, uint32_t inner_count,
                struct relation *out);
/* The same over one relation, whatever FROM says; joined are those of its joins. */
int plan_over(struct compile_file *file, const struct select *select, const struct relation *base, const struct relation *const *joined, struct relation *out);
/* sql_join_plan.c. Adds the joins to the scope and their steps to out. Their columns are known when all of the SELECT has been read: plan_join_columns. */
int plan_joins(struct compile_file *file, const struct select *select, const struct relation *const *joined, struct select_scope *scope, struct relation *out);
/* sql_tables_plan.c. What a SELECT over a table cannot do; which tables a SELECT cannot join, before they are; that a join of two tables, the second of which is in the scope from its column `first` on,
 * goes by both keys: equals has what ON says of each column of the right one's. Sets full_keys. */
int check_table(struct compile_file *file, const struct select *select, const struct relation *base, bool is_grouped);
int check_tables_of(struct compile_file *file, const struct select *select, const struct relation *base);
int check_joined_tables(struct select_scope *scope, const struct join_item *item, uint32_t first, struct syntax *const *equals);
int plan_join_columns(struct compile_file *file, const struct select_scope *scope, struct relation *out);
/* sql_within_plan.c: one join of what stands left with a stream, by a key and a bound of time. */
int plan_within(struct compile_file *file, const struct join_item *item, const struct relation *right, struct select_scope *scope, struct relation *out);
/* A condition of WHERE that speaks of the right stream of a JOIN alone holds before rows meet as well: then it is taken. */
int within_take_where(struct compile_file *file, const struct select_scope *scope, const struct syntax *condition, struct relation *out, bool *is_taken);
/* How many topics' rows come together in those of a relation. */
uint32_t relation_source_count(const struct relation *relation);
/* A relation of the same rows, for steps of its own. NULL: no memory. */
struct relation *relation_over(struct arena *arena, const struct relation *base);
/* sql_own_topic.c: rows of two streams that have met, where something comes behind them that has to begin at a topic.
 * Whether the rows are joined from two streams, or from two tables, with no topic behind that. */
bool rows_have_met(const struct relation *relation);
/* *relation becomes one that reads its rows from a topic of their own, if they have met. */
int own_topic(struct compile_file *file, const struct relation **relation);
/* The same of a SELECT's rows as far as `out` has them: its used columns are written, and out goes on with what reads them. */
int own_topic_of_rows(struct compile_file *file, const struct select_scope *scope, struct relation *out);
/* The same for rows that are to lie by the text of a used column, in as many partitions as a table's topic has. */
int own_topic_by(struct compile_file *file, const struct select_scope *scope, const char *column, const char *like, struct relation *out);
/* The same before the first of out's steps that has to begin at a topic. */
int own_topic_of_steps(struct compile_file *file, const struct select_scope *scope, struct relation *out);
/* Takes away the topics that nothing reads: of this statement, or of all (NULL). */
void own_topics_forget(struct sql_program *program, const struct statement *statement);
/* sql_system.c. Whether the SELECT's expressions name a column, alone or behind this alias; NULL: behind any. */
bool select_names(const struct select *select, const char *alias, const char *name);
/* sql_system.c. *relation with the system columns that the SELECT names, hidden, when it is a table and names any. */
int system_columns_add(struct compile_file *file, const struct select *select, const struct relation **relation);
/* sql_distinct_plan.c: the step of DISTINCT ON, when there is one. */
int plan_distinct(struct compile_file *file, const struct select *select, const struct select_scope *scope, const struct target_list *targets, struct relation *out);
/* ERR_UNSUPPORTED when rows come from a DISTINCT ON: what cannot be done with them. */
int distinct_once(struct compile_file *file, const struct relation *relation, const char *what, int32_t at);
int plan_grouped(struct compile_file *file, const struct select *select, struct select_scope *scope, const struct target_list *targets, struct relation *out);
int add_step(struct compile_file *file, struct relation *relation, enum step_kind kind, const char *text, struct step **step);

#endif
